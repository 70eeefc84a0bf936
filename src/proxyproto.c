#include "proxyproto.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* What both versions begin with; no byte of one is the other's. */
static const char line_begin[] = "PROXY ";
static const uint8_t signature[12] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
	                               0x0a, 'Q',  'U',  'I',  'T',  0x0a };

enum {
	/* Of the fixed part of version 2 (section 2.2). */
	AT_COMMAND = sizeof(signature),
	AT_FAMILY,
	AT_LENGTH,
	FIXED_SIZE = AT_LENGTH + 2,

	VERSION_2 = 0x20,
	COMMAND_LOCAL = 0,
	COMMAND_PROXY = 1,

	FAMILY_UNSPEC = 0,
	FAMILY_INET,
	FAMILY_INET6,
	FAMILY_UNIX,
	FAMILIES,

	TRANSPORT_UNSPEC = 0,
	TRANSPORT_STREAM,
	TRANSPORT_DGRAM,
	TRANSPORTS,

	TLV_HEAD = 3, /* type and length */
};

const char *
proxyproto_kind_word(enum proxyproto_kind kind)
{
	static const char *const words[] = {
		[PROXYPROTO_LOCAL] = "local",
		[PROXYPROTO_UNKNOWN] = "unknown",
		[PROXYPROTO_UNIX] = "unix",
		[PROXYPROTO_TCP] = "tcp",
	};

	return words[kind];
}

static enum proxyproto_step
malformed(const char **why, const char *words)
{
	*why = words;
	return PROXYPROTO_MALFORMED;
}

/* ---- version 1: a line of text (section 2.1) ------------------------------------ */

/* The line up to and with its CRLF, if it is whole; its first byte is known.  CR or LF alone
 * would end it for another reader, so they may not be in it, not even behind UNKNOWN. */
static enum proxyproto_step
find_line(const char *text, size_t size, size_t *line_size, const char **why)
{
	for (size_t i = 1; i < size && i < PROXYPROTO_V1_MAX; i++) {
		if (text[i] == '\0')
			return malformed(why, "there is a NUL in the line");
		if (text[i] == '\n' && text[i - 1] != '\r')
			return malformed(why, "there is a LF without a CR before it");
		if (text[i] != '\n' && text[i - 1] == '\r')
			return malformed(why, "there is a CR without a LF behind it");
		if (text[i] == '\n') {
			*line_size = i + 1;
			return PROXYPROTO_WHOLE;
		}
	}
	if (size >= PROXYPROTO_V1_MAX)
		return malformed(why, "the line is longer than 107 bytes");
	return PROXYPROTO_MORE;
}

/* Decimal, without leading zeros. */
static bool
read_port(const char *text, uint16_t *port)
{
	size_t size = strlen(text);
	uint32_t number = 0;

	if (size == 0 || size > 5 || strspn(text, "0123456789") != size ||
	    (text[0] == '0' && size > 1))
		return false;
	for (; *text; text++)
		number = number * 10 + (uint32_t)(*text - '0');
	*port = (uint16_t)number;
	return number <= UINT16_MAX;
}

/* inet_pton(3) takes what the specification takes: no leading zeros in IPv4, no scopes.
 * It also takes ::ffff:192.0.2.1, which HAProxy sends of IPv4 clients on IPv6 sockets. */
static bool
read_address(struct addr *addr, int family, const char *host, const char *port)
{
	struct addr raw = { .any.sa_family = (sa_family_t)family };
	uint16_t number;

	if (inet_pton(family, host,
	              family == AF_INET6 ? (void *)&raw.v6.sin6_addr
	                                 : (void *)&raw.v4.sin_addr) != 1 ||
	    !read_port(port, &number))
		return false;
	addr_set_port(&raw, number);
	*addr = addr_from(&raw.any);
	return true;
}

/* Splits TEXT at single spaces.  False: there are not exactly COUNT words. */
static bool
split(char *text, const char *words[], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		words[i] = strsep(&text, " ");
		if (!words[i] || !*words[i])
			return false;
	}
	return !text;
}

/* What is behind PROXY and its space, without the CRLF. */
static enum proxyproto_step
read_words(char *text, struct proxyproto *header, const char **why)
{
	enum { CLIENT, SERVER, CLIENT_PORT, SERVER_PORT, WORDS };
	const char *protocol = strsep(&text, " "), *words[WORDS];
	int family;

	header->kind = PROXYPROTO_UNKNOWN;
	if (strcmp(protocol, "UNKNOWN") == 0)
		return PROXYPROTO_WHOLE;
	header->kind = PROXYPROTO_TCP;
	if (strcmp(protocol, "TCP4") != 0 && strcmp(protocol, "TCP6") != 0)
		return malformed(why, "the protocol is not TCP4, TCP6 or UNKNOWN");
	family = protocol[3] == '6' ? AF_INET6 : AF_INET;
	if (!split(text, words, WORDS))
		return malformed(why, "there are not two addresses and two ports, with "
		                      "one space before each");
	if (!read_address(&header->client, family, words[CLIENT], words[CLIENT_PORT]))
		return malformed(why, "the client's address or port is wrong");
	if (!read_address(&header->server, family, words[SERVER], words[SERVER_PORT]))
		return malformed(why, "the destination's address or port is wrong");
	return PROXYPROTO_WHOLE;
}

static enum proxyproto_step
read_v1(const char *text, size_t size, struct proxyproto *header, const char **why)
{
	const size_t begin = sizeof(line_begin) - 1;
	char line[PROXYPROTO_V1_MAX + 1];
	enum proxyproto_step step = find_line(text, size, &header->size, why);

	if (step != PROXYPROTO_WHOLE)
		return step;
	header->version = 1;
	memcpy(line, text + begin, header->size - begin);
	line[header->size - begin - 2] = '\0';
	return read_words(line, header, why);
}

/* ---- version 2: binary (section 2.2) ------------------------------------------- */

static unsigned
number16(const uint8_t *bytes)
{
	return (unsigned)bytes[0] << 8 | bytes[1];
}

static bool
is_local(const uint8_t *bytes)
{
	return bytes[AT_COMMAND] == (VERSION_2 | COMMAND_LOCAL);
}

static unsigned
family_of(const uint8_t *bytes)
{
	return bytes[AT_FAMILY] >> 4;
}

static unsigned
transport_of(const uint8_t *bytes)
{
	return bytes[AT_FAMILY] & 0x0f;
}

/* Bytes of both addresses, and ports if there are any. */
static size_t
block_size(unsigned family)
{
	static const size_t sizes[FAMILIES] = {
		[FAMILY_UNSPEC] = 0,
		[FAMILY_INET] = 12,  /* two of 4, and two ports of 2 */
		[FAMILY_INET6] = 36, /* two of 16, and the same */
		[FAMILY_UNIX] = 216, /* two of 108 */
	};

	return sizes[family];
}

/* The same of this header; 0: there are none that a receiver should look at. */
static size_t
announced(const uint8_t *bytes)
{
	if (is_local(bytes) || transport_of(bytes) == TRANSPORT_UNSPEC)
		return 0;
	return block_size(family_of(bytes));
}

static struct addr
address_at(const uint8_t *host, const uint8_t *port, unsigned family)
{
	struct addr raw = { 0 };

	if (family == FAMILY_INET6) {
		raw.v6.sin6_family = AF_INET6;
		memcpy(&raw.v6.sin6_addr, host, 16);
	} else {
		raw.v4.sin_family = AF_INET;
		memcpy(&raw.v4.sin_addr, host, 4);
	}
	addr_set_port(&raw, (uint16_t)number16(port));
	return addr_from(&raw.any);
}

static void
read_block(const uint8_t *block, unsigned family, struct proxyproto *header)
{
	size_t host = family == FAMILY_INET6 ? 16 : 4;

	header->client = address_at(block, block + 2 * host, family);
	header->server = address_at(block + host, block + 2 * host + 2, family);
}

/* Type, length and value, one behind the other, up to the very end.  We need none of what
 * they tell; but a length that leads out of the header says that it is no header. */
static bool
tlvs_fit(const uint8_t *at, size_t left)
{
	size_t size;

	while (left >= TLV_HEAD) {
		size = TLV_HEAD + number16(at + 1);
		if (size > left)
			return false;
		at += size;
		left -= size;
	}
	return left == 0;
}

/* The fixed part, as much as is here: wrong bytes are told before the rest has come. */
static enum proxyproto_step
check_fixed(const uint8_t *bytes, size_t size, const char **why)
{
	unsigned length;

	if (size <= AT_COMMAND)
		return PROXYPROTO_MORE;
	if (!is_local(bytes) && bytes[AT_COMMAND] != (VERSION_2 | COMMAND_PROXY))
		return malformed(why, "the version is not 2, or the command neither "
		                      "LOCAL nor PROXY");
	if (size <= AT_FAMILY)
		return PROXYPROTO_MORE;
	if (!is_local(bytes) &&
	    (family_of(bytes) >= FAMILIES || transport_of(bytes) >= TRANSPORTS))
		return malformed(why, "there is no such address family or transport");
	if (size < FIXED_SIZE)
		return PROXYPROTO_MORE;
	length = number16(bytes + AT_LENGTH);
	if (length > PROXYPROTO_MAX - FIXED_SIZE)
		return malformed(why, "it is longer than 4096 bytes");
	if (length < announced(bytes))
		return malformed(why, "it is too short for its addresses");
	return size < FIXED_SIZE + length ? PROXYPROTO_MORE : PROXYPROTO_WHOLE;
}

static enum proxyproto_kind
kind_of(const uint8_t *bytes)
{
	if (is_local(bytes))
		return PROXYPROTO_LOCAL;
	if (family_of(bytes) == FAMILY_UNIX)
		return PROXYPROTO_UNIX;
	if (family_of(bytes) == FAMILY_UNSPEC ||
	    transport_of(bytes) != TRANSPORT_STREAM)
		return PROXYPROTO_UNKNOWN; /* mail does not come in datagrams */
	return PROXYPROTO_TCP;
}

static enum proxyproto_step
read_v2(const uint8_t *bytes, size_t size, struct proxyproto *header, const char **why)
{
	enum proxyproto_step step = check_fixed(bytes, size, why);
	const uint8_t *block = bytes + FIXED_SIZE;
	size_t addresses;

	if (step != PROXYPROTO_WHOLE)
		return step;
	header->version = 2;
	header->kind = kind_of(bytes);
	header->size = FIXED_SIZE + number16(bytes + AT_LENGTH);
	addresses = announced(bytes);
	if (addresses > 0 &&
	    !tlvs_fit(block + addresses, header->size - FIXED_SIZE - addresses))
		return malformed(why, "a TLV is longer than what is left");
	if (header->kind == PROXYPROTO_TCP)
		read_block(block, family_of(bytes), header);
	return PROXYPROTO_WHOLE;
}

/* ---- reading ------------------------------------------------------------------- */

/* As far as they go, BYTES are what BEGINS. */
static bool
may_begin(const void *bytes, size_t size, const void *begins, size_t begin_size)
{
	return memcmp(bytes, begins, size < begin_size ? size : begin_size) == 0;
}

enum proxyproto_step
proxyproto_read(const void *bytes, size_t size, struct proxyproto *header,
                const char **why)
{
	*header = (struct proxyproto){ 0 };
	if (size == 0)
		return PROXYPROTO_MORE;
	if (may_begin(bytes, size, line_begin, sizeof(line_begin) - 1))
		return read_v1(bytes, size, header, why);
	if (may_begin(bytes, size, signature, sizeof(signature)))
		return read_v2(bytes, size, header, why);
	return malformed(why, "it begins neither as version 1 nor as version 2 does");
}

/* ---- writing ------------------------------------------------------------------- */

/* What a header says of one end: both ends have the same family. */
struct end {
	struct in6_addr six;
	struct in_addr four;
	uint16_t port;
};

static struct end
end_of(const struct addr *addr)
{
	struct end end = { .port = addr_port(addr) };

	if (addr_family(addr) == AF_INET6) {
		end.six = addr->v6.sin6_addr;
		return end;
	}
	end.four = addr->v4.sin_addr;
	end.six.s6_addr[10] = end.six.s6_addr[11] = 0xff;
	memcpy(&end.six.s6_addr[12], &end.four, 4);
	return end;
}

/* Only hexadecimal digits and colons: the specification knows no dots in IPv6. */
static const char *
text_of(const struct end *end, bool four, char text[static INET6_ADDRSTRLEN])
{
	const uint8_t *six = end->six.s6_addr;

	inet_ntop(four ? AF_INET : AF_INET6,
	          four ? (const void *)&end->four : (const void *)six, text,
	          INET6_ADDRSTRLEN);
	if (!four && strchr(text, '.'))
		snprintf(text, INET6_ADDRSTRLEN, "::%s%x:%x", six[10] ? "ffff:" : "",
		         number16(six + 12), number16(six + 14));
	return text;
}

static size_t
write_v1(char *out, bool four, const struct end *client, const struct end *server)
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
	int size = snprintf(out, PROXYPROTO_OURS_MAX, "PROXY TCP%d %s %s %u %u\r\n",
	                    four ? 4 : 6, text_of(client, four, from),
	                    text_of(server, four, to), client->port, server->port);

	assert(size > 0 && size <= PROXYPROTO_V1_MAX);
	return (size_t)size;
}

static char *
put(char *out, const void *bytes, size_t size)
{
	memcpy(out, bytes, size);
	return out + size;
}

static char *
put16(char *out, unsigned number)
{
	*out++ = (char)(number >> 8);
	*out++ = (char)number;
	return out;
}

static char *
put_fixed(char *out, unsigned family, unsigned transport)
{
	out = put(out, signature, sizeof(signature));
	*out++ = VERSION_2 | COMMAND_PROXY;
	*out++ = (char)(family << 4 | transport);
	return put16(out, (unsigned)block_size(family));
}

static size_t
write_v2(char *out, bool four, const struct end *client, const struct end *server)
{
	size_t host = four ? 4 : 16;
	char *at = put_fixed(out, four ? FAMILY_INET : FAMILY_INET6, TRANSPORT_STREAM);

	at = put(at, four ? (const void *)&client->four : &client->six, host);
	at = put(at, four ? (const void *)&server->four : &server->six, host);
	at = put16(at, client->port);
	at = put16(at, server->port);
	return (size_t)(at - out);
}

static size_t
write_unknown(char *out, unsigned version)
{
	static const char line[] = "PROXY UNKNOWN\r\n";

	if (version == 1)
		return (size_t)(put(out, line, sizeof(line) - 1) - out);
	return (size_t)(put_fixed(out, FAMILY_UNSPEC, TRANSPORT_UNSPEC) - out);
}

size_t
proxyproto_write(char out[static PROXYPROTO_OURS_MAX], unsigned version,
                 const struct addr *client, const struct addr *server)
{
	bool four = addr_family(client) == AF_INET && addr_family(server) == AF_INET;
	struct end from, to;

	assert(version == 1 || version == 2);
	if (addr_family(client) == AF_UNSPEC || addr_family(server) == AF_UNSPEC)
		return write_unknown(out, version);
	from = end_of(client);
	to = end_of(server);
	return version == 1 ? write_v1(out, four, &from, &to)
	                    : write_v2(out, four, &from, &to);
}
