#include "lookup_internal.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <string.h>

/*
 * Datagrams.
 */
enum {
	MAGIC = 0x52504844, /* "RPHD" */

	FLAG_QUESTION = 0x0001,
	FLAG_ANSWER = 0x0002,
	FLAG_FOUND = 0x0010,
	FLAG_NOT_FOUND = 0x0020,
	FLAG_FAILED = 0x0040, /* 0x0500 only */

	/* where what stands; magic is at 0 in both */
	COOKIE_AT = 4,
	VERSION_AT = 12,
	FLAGS_AT = 14,

	PLAIN_SECRET_AT = 8,
	PLAIN_SRC_AT = 16,
	PLAIN_DST_AT = 20,
	PLAIN_SRC_PORT_AT = 24,
	PLAIN_DST_PORT_AT = 26,
	PLAIN_IDENT_AT = 28,
	PLAIN_IDENT_SIZE = 32,

	KEYED_FAMILY_AT = 16,
	KEYED_SRC_PORT_AT = 18,
	KEYED_DST_PORT_AT = 20,
	KEYED_ZERO_AT = 22,
	KEYED_SRC_AT = 24,
	KEYED_DST_AT = 40,
	KEYED_IDENT_AT = 56,
	KEYED_IDENT_SIZE = 40,
	KEYED_CODE_AT = 96,
};

const char *
lookup_fault_words(enum lookup_fault fault)
{
	switch (fault) {
	case LOOKUP_FINE:
		return "fine";
	case LOOKUP_MALFORMED:
		return "malformed";
	case LOOKUP_STRANGE:
		return "to another question";
	case LOOKUP_FORGED:
		return "wrong secret or key";
	case LOOKUP_UNUSABLE:
		return "no destination that can be used";
	}
	return "";
}

/* ---- numbers ------------------------------------------------------------------------ */

static void
put(unsigned char *to, uint64_t number, size_t size)
{
	while (size-- > 0) {
		to[size] = (unsigned char)number;
		number >>= 8;
	}
}

static uint64_t
get(const unsigned char *from, size_t size)
{
	uint64_t number = 0;

	while (size-- > 0)
		number = number << 8 | *from++;
	return number;
}

/* ---- addresses ---------------------------------------------------------------------- */

/* Four or sixteen bytes at TO. */
static void
put_host(unsigned char *to, const struct addr *addr)
{
	if (addr_family(addr) == AF_INET6)
		memcpy(to, &addr->v6.sin6_addr, 16);
	else if (addr_family(addr) == AF_INET)
		memcpy(to, &addr->v4.sin_addr, 4);
}

static struct addr
get_host(const unsigned char *from, int family, uint16_t port)
{
	struct addr addr = { 0 };

	if (family == AF_INET6) {
		addr.v6.sin6_family = AF_INET6;
		memcpy(&addr.v6.sin6_addr, from, 16);
		addr = addr_from(&addr.any);
	} else {
		addr.v4.sin_family = AF_INET;
		memcpy(&addr.v4.sin_addr, from, 4);
	}
	addr_set_port(&addr, port);
	return addr;
}

static bool
is_loopback(const struct addr *addr)
{
	if (addr_family(addr) == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&addr->v6.sin6_addr);
	return ntohl(addr->v4.sin_addr.s_addr) >> 24 == 127;
}

/* Nobody but who is on this machine means its loopback: a helper that lies would open it
 * to the world. */
bool
lookup_is_usable(const struct addr *server, const struct addr *client)
{
	uint32_t four;

	if (addr_family(server) != addr_family(client) || addr_port(server) == 0 ||
	    addr_is_any(server))
		return false;
	if (is_loopback(server))
		return is_loopback(client);
	if (addr_family(server) == AF_INET6)
		return !IN6_IS_ADDR_MULTICAST(&server->v6.sin6_addr) &&
		       !IN6_IS_ADDR_LINKLOCAL(&server->v6.sin6_addr);
	four = ntohl(server->v4.sin_addr.s_addr);
	return four >> 24 != 0 && four >> 28 < 0xe; /* multicast, and class E */
}

/* ---- ident -------------------------------------------------------------------------- */

void
lookup_clean_ident(char to[static LOOKUP_IDENT_SIZE], const char *from, size_t size)
{
	static const char fine[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		"0123456789.:_-@+";
	size_t used = 0;

	for (; used < size && used < LOOKUP_IDENT_SIZE - 1 && from[used] != '\0';
	     used++)
		to[used] = strchr(fine, from[used]) ? from[used] : '_';
	to[used] = '\0';
	if (strcmp(to, "-") == 0)
		to[0] = '\0';
}

/* ---- datagrams, both versions ------------------------------------------------------- */

void
lookup_sign(const unsigned char *datagram, const struct secret *key,
            unsigned char code[static LOOKUP_CODE_SIZE])
{
	unsigned char whole[EVP_MAX_MD_SIZE];
	unsigned size = 0;

	memset(code, 0, LOOKUP_CODE_SIZE);
	if (HMAC(EVP_sha256(), key->bytes, (int)key->size, datagram, KEYED_CODE_AT,
	         whole, &size))
		memcpy(code, whole, LOOKUP_CODE_SIZE);
}

static size_t
write_plain(const struct lookup_question *question, unsigned flags,
            const struct addr *to_be, const char *ident,
            const struct lookup_secrets *secrets, unsigned char *to)
{
	memset(to, 0, LOOKUP_PLAIN_SIZE);
	put(to, MAGIC, 4);
	put(to + COOKIE_AT, question->cookie, 4);
	put(to + PLAIN_SECRET_AT, secrets->number, 4);
	put(to + VERSION_AT, LOOKUP_PLAIN, 2);
	put(to + FLAGS_AT, flags, 2);
	put_host(to + PLAIN_SRC_AT, &question->client);
	put(to + PLAIN_SRC_PORT_AT, addr_port(&question->client), 2);
	put_host(to + PLAIN_DST_AT, to_be);
	put(to + PLAIN_DST_PORT_AT, addr_port(to_be), 2);
	memcpy(to + PLAIN_IDENT_AT, ident, strnlen(ident, PLAIN_IDENT_SIZE - 1));
	return LOOKUP_PLAIN_SIZE;
}

static size_t
write_keyed(const struct lookup_question *question, unsigned flags,
            const struct addr *to_be, const char *ident,
            const struct lookup_secrets *secrets, unsigned char *to)
{
	bool six = addr_family(&question->client) == AF_INET6;

	memset(to, 0, LOOKUP_KEYED_SIZE);
	put(to, MAGIC, 4);
	put(to + COOKIE_AT, question->cookie, 8);
	put(to + VERSION_AT, LOOKUP_KEYED, 2);
	put(to + FLAGS_AT, flags, 2);
	put(to + KEYED_FAMILY_AT, six ? 6 : 4, 2);
	put_host(to + KEYED_SRC_AT, &question->client);
	put(to + KEYED_SRC_PORT_AT, addr_port(&question->client), 2);
	put_host(to + KEYED_DST_AT, to_be);
	put(to + KEYED_DST_PORT_AT, addr_port(to_be), 2);
	memcpy(to + KEYED_IDENT_AT, ident, strnlen(ident, KEYED_IDENT_SIZE - 1));
	lookup_sign(to, &secrets->key, to + KEYED_CODE_AT);
	return LOOKUP_KEYED_SIZE;
}

static size_t
write_datagram(const struct lookup_question *question, unsigned flags,
               const struct addr *to_be, const char *ident,
               const struct lookup_secrets *secrets, unsigned char *to)
{
	switch (question->version) {
	case LOOKUP_PLAIN:
		return write_plain(question, flags, to_be, ident, secrets, to);
	case LOOKUP_KEYED:
		return write_keyed(question, flags, to_be, ident, secrets, to);
	}
	return 0;
}

/* What both have in common: is it one, and from who knows the secret? */
static enum lookup_fault
check_plain(const unsigned char *from, const struct lookup_secrets *secrets)
{
	unsigned char secret[4];

	put(secret, secrets->number, 4);
	return CRYPTO_memcmp(secret, from + PLAIN_SECRET_AT, 4) == 0 ? LOOKUP_FINE
	                                                             : LOOKUP_FORGED;
}

static enum lookup_fault
check_keyed(const unsigned char *from, const struct lookup_secrets *secrets)
{
	unsigned char copy[LOOKUP_KEYED_SIZE], code[LOOKUP_CODE_SIZE];

	if (secrets->key.size < SECRET_MIN)
		return LOOKUP_FORGED;
	memcpy(copy, from, sizeof(copy));
	lookup_sign(copy, &secrets->key, code);
	return CRYPTO_memcmp(code, from + KEYED_CODE_AT, LOOKUP_CODE_SIZE) == 0
	               ? LOOKUP_FINE
	               : LOOKUP_FORGED;
}

static enum lookup_fault
check(const unsigned char *from, size_t size, const struct lookup_secrets *secrets,
      enum lookup_version *version)
{
	if (size < FLAGS_AT + 2 || get(from, 4) != MAGIC)
		return LOOKUP_MALFORMED;
	if (size == LOOKUP_PLAIN_SIZE && get(from + VERSION_AT, 2) == LOOKUP_PLAIN) {
		*version = LOOKUP_PLAIN;
		return check_plain(from, secrets);
	}
	if (size == LOOKUP_KEYED_SIZE && get(from + VERSION_AT, 2) == LOOKUP_KEYED) {
		*version = LOOKUP_KEYED;
		return check_keyed(from, secrets);
	}
	return LOOKUP_MALFORMED;
}

static uint64_t
cookie_of(const unsigned char *from, enum lookup_version version)
{
	return get(from + COOKIE_AT, version == LOOKUP_KEYED ? 8 : 4);
}

/* The two ends in it; false: there is no such family. */
static bool
get_ends(const unsigned char *from, enum lookup_version version, struct addr *src,
         struct addr *dst)
{
	uint64_t number = get(from + KEYED_FAMILY_AT, 2);
	int family = number == 6 ? AF_INET6 : AF_INET;

	if (version == LOOKUP_PLAIN) {
		*src = get_host(from + PLAIN_SRC_AT, AF_INET,
		                (uint16_t)get(from + PLAIN_SRC_PORT_AT, 2));
		*dst = get_host(from + PLAIN_DST_AT, AF_INET,
		                (uint16_t)get(from + PLAIN_DST_PORT_AT, 2));
		return true;
	}
	if ((number != 4 && number != 6) || get(from + KEYED_ZERO_AT, 2) != 0)
		return false;
	*src = get_host(from + KEYED_SRC_AT, family,
	                (uint16_t)get(from + KEYED_SRC_PORT_AT, 2));
	*dst = get_host(from + KEYED_DST_AT, family,
	                (uint16_t)get(from + KEYED_DST_PORT_AT, 2));
	return true;
}

/* ---- questions ---------------------------------------------------------------------- */

static bool
is_pair(const struct lookup_question *question)
{
	return addr_family(&question->client) == addr_family(&question->gateway) &&
	       addr_family(&question->client) != AF_UNSPEC &&
	       addr_port(&question->client) != 0 && addr_port(&question->gateway) != 0;
}

bool
lookup_can_carry(const struct lookup_question *question,
                 const struct lookup_secrets *secrets)
{
	if (!is_pair(question))
		return false;
	if (question->version == LOOKUP_KEYED)
		return secrets->key.size >= SECRET_MIN;
	return addr_family(&question->client) == AF_INET;
}

size_t
lookup_write_question(const struct lookup_question *question,
                      const struct lookup_secrets *secrets,
                      unsigned char to[static LOOKUP_DATAGRAM_MAX])
{
	return write_datagram(question, FLAG_QUESTION, &question->gateway, "", secrets,
	                      to);
}

enum lookup_fault
lookup_read_question(const unsigned char *from, size_t size,
                     const struct lookup_secrets *secrets,
                     struct lookup_question *question)
{
	struct lookup_question read = { 0 };
	enum lookup_fault fault = check(from, size, secrets, &read.version);

	if (fault != LOOKUP_FINE)
		return fault;
	if (get(from + FLAGS_AT, 2) != FLAG_QUESTION)
		return LOOKUP_MALFORMED;
	read.cookie = cookie_of(from, read.version);
	if (!get_ends(from, read.version, &read.client, &read.gateway) ||
	    !is_pair(&read))
		return LOOKUP_MALFORMED;
	*question = read;
	return LOOKUP_FINE;
}

/* ---- answers ------------------------------------------------------------------------ */

static unsigned
flag_of(enum lookup_result result)
{
	switch (result) {
	case LOOKUP_FOUND:
		return FLAG_FOUND;
	case LOOKUP_NOT_FOUND:
		return FLAG_NOT_FOUND;
	case LOOKUP_FAILED:
		return FLAG_FAILED;
	}
	return FLAG_FAILED;
}

size_t
lookup_write_answer(const struct lookup_question *question,
                    const struct lookup_answer *answer,
                    const struct lookup_secrets *secrets,
                    unsigned char to[static LOOKUP_DATAGRAM_MAX])
{
	const struct addr *server = answer->result == LOOKUP_FOUND ? &answer->server
	                                                           : &question->gateway;

	if (answer->result == LOOKUP_FAILED && question->version == LOOKUP_PLAIN)
		return 0;
	return write_datagram(question, FLAG_ANSWER | flag_of(answer->result), server,
	                      answer->ident, secrets, to);
}

static bool
get_result(const unsigned char *from, enum lookup_version version,
           enum lookup_result *result)
{
	uint64_t flags = get(from + FLAGS_AT, 2);

	if (flags == (FLAG_ANSWER | FLAG_FOUND))
		*result = LOOKUP_FOUND;
	else if (flags == (FLAG_ANSWER | FLAG_NOT_FOUND))
		*result = LOOKUP_NOT_FOUND;
	else if (flags == (FLAG_ANSWER | FLAG_FAILED) && version == LOOKUP_KEYED)
		*result = LOOKUP_FAILED;
	else
		return false;
	return true;
}

enum lookup_fault
lookup_read_answer(const unsigned char *from, size_t size,
                   const struct lookup_secrets *secrets,
                   const struct lookup_question *question, struct lookup_answer *answer)
{
	struct lookup_answer read = { 0 };
	enum lookup_version version = question->version;
	enum lookup_fault fault = check(from, size, secrets, &version);
	struct addr client;

	if (fault != LOOKUP_FINE)
		return fault;
	if (version != question->version || !get_result(from, version, &read.result))
		return LOOKUP_MALFORMED;
	if (cookie_of(from, version) !=
	    (version == LOOKUP_PLAIN ? (uint32_t)question->cookie : question->cookie))
		return LOOKUP_STRANGE;
	if (!get_ends(from, version, &client, &read.server))
		return LOOKUP_MALFORMED;
	if (version == LOOKUP_PLAIN)
		lookup_clean_ident(read.ident, (const char *)from + PLAIN_IDENT_AT,
		                   PLAIN_IDENT_SIZE - 1);
	else
		lookup_clean_ident(read.ident, (const char *)from + KEYED_IDENT_AT,
		                   KEYED_IDENT_SIZE - 1);
	if (read.result == LOOKUP_FOUND &&
	    !lookup_is_usable(&read.server, &question->client))
		return LOOKUP_UNUSABLE;
	*answer = read;
	return LOOKUP_FINE;
}
