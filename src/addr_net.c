#include "addr.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The address itself, in network order. */
static const uint8_t *
host_bytes(const struct addr *addr)
{
	return addr_family(addr) == AF_INET6 ? addr->v6.sin6_addr.s6_addr
	                                     : (const uint8_t *)&addr->v4.sin_addr;
}

static unsigned
host_bits(const struct addr *addr)
{
	return addr_family(addr) == AF_INET6 ? 128 : 32;
}

static uint32_t
scope(const struct addr *addr)
{
	return addr_family(addr) == AF_INET6 ? addr->v6.sin6_scope_id : 0;
}

static bool
same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

/* The first address of the network that ADDR is in. */
static struct addr
first_of(const struct addr *addr, unsigned bits)
{
	struct addr first = *addr;
	uint8_t *bytes = (uint8_t *)host_bytes(&first);

	for (unsigned bit = bits; bit < host_bits(addr); bit++)
		bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	return first;
}

struct addr_net
addr_net_of(const struct addr *addr, unsigned bits)
{
	struct addr_net net = { .bits = bits };

	if (bits > host_bits(addr))
		net.bits = host_bits(addr);
	net.first = first_of(addr, net.bits);
	addr_set_port(&net.first, 0);
	return net;
}

bool
addr_net_is_host(const struct addr_net *net)
{
	return net->bits == host_bits(&net->first);
}

bool
addr_is_link_local(const struct addr *addr)
{
	return addr_family(addr) == AF_INET6 &&
	       IN6_IS_ADDR_LINKLOCAL(&addr->v6.sin6_addr);
}

/* ---- reading -------------------------------------------------------------- */

static bool
read_host(struct addr *addr, const char *text, size_t size)
{
	char host[ADDR_TEXT_SIZE];

	if (size >= sizeof(host))
		return false;
	memcpy(host, text, size);
	host[size] = '\0';
	return addr_parse(addr, host, 0);
}

/* A plain decimal number up to MOST. */
static bool
read_bits(unsigned *bits, const char *text, unsigned most)
{
	size_t size = strlen(text);

	*bits = 0;
	if (size == 0 || size > 3 || (size > 1 && text[0] == '0'))
		return false;
	for (; *text; text++) {
		if (!isdigit((unsigned char)*text))
			return false;
		*bits = *bits * 10 + (unsigned)(*text - '0');
	}
	return *bits <= most;
}

/* IPv4 in IPv6 has become IPv4: its first 96 bits are gone. */
static bool
unmap_bits(struct addr_net *net)
{
	if (net->bits < 96)
		return false;
	net->bits -= 96;
	return true;
}

static bool
refuse(char *why, size_t why_size, const char *words)
{
	snprintf(why, why_size, "%s", words);
	return false;
}

/* Is it the network that is meant, or the address? */
static bool
is_first(const struct addr_net *net, char *why, size_t why_size)
{
	struct addr_net right = { first_of(&net->first, net->bits), net->bits };
	char host[ADDR_TEXT_SIZE], whole[ADDR_TEXT_SIZE];

	if (addr_net_equal(net, &right))
		return true;
	snprintf(why, why_size,
	         "has bits set behind its first %u; write %s for the network, or %s "
	         "for the one address",
	         net->bits, addr_net_text(&right, whole), addr_text(&net->first, host));
	return false;
}

bool
addr_net_parse(struct addr_net *net, const char *text, char *why, size_t why_size)
{
	size_t size = strcspn(text, "/");
	bool written_as_six = memchr(text, ':', size);
	unsigned most = written_as_six ? 128 : 32;

	if (!read_host(&net->first, text, size))
		return refuse(why, why_size,
		              "is no network; allowed: an IPv4 or IPv6 address, alone "
		              "or as in 192.0.2.0/24");
	net->bits = most;
	if (text[size] == '/' && !read_bits(&net->bits, text + size + 1, most))
		return refuse(why, why_size,
		              written_as_six ? "needs a number of bits behind the "
		                               "\"/\", 0 to 128"
		                             : "needs a number of bits behind the "
		                               "\"/\", 0 to 32");
	if (written_as_six && addr_family(&net->first) == AF_INET && !unmap_bits(net))
		return refuse(why, why_size,
		              "is IPv4 written as IPv6, and needs 96 bits at least; "
		              "write it as IPv4");
	return is_first(net, why, why_size);
}

const char *
addr_net_text(const struct addr_net *net, char text[static ADDR_TEXT_SIZE])
{
	char host[ADDR_TEXT_SIZE];

	addr_text(&net->first, host);
	if (addr_net_is_host(net))
		snprintf(text, ADDR_TEXT_SIZE, "%s", host);
	else
		snprintf(text, ADDR_TEXT_SIZE, "%.59s/%u", host, net->bits);
	return text;
}

/* ---- comparing -------------------------------------------------------------- */

bool
addr_net_contains(const struct addr_net *net, const struct addr *addr)
{
	if (addr_family(addr) != addr_family(&net->first) ||
	    addr_family(addr) == AF_UNSPEC)
		return false;
	if (scope(&net->first) != 0 && scope(&net->first) != scope(addr))
		return false;
	return same_bits(host_bytes(&net->first), host_bytes(addr), net->bits);
}

bool
addr_net_equal(const struct addr_net *a, const struct addr_net *b)
{
	return a->bits == b->bits && scope(&a->first) == scope(&b->first) &&
	       addr_same_host(&a->first, &b->first);
}

/* ---- lists --------------------------------------------------------------------- */

bool
addr_nets_contain(const struct addr_nets *nets, const struct addr *addr)
{
	for (size_t i = 0; i < nets->count; i++)
		if (addr_net_contains(&nets->at[i], addr))
			return true;
	return false;
}

void
addr_nets_add(struct addr_nets *nets, const struct addr_net *net)
{
	nets->at = xrealloc(nets->at, (nets->count + 1) * sizeof(*nets->at));
	nets->at[nets->count++] = *net;
}

void
addr_nets_clear(struct addr_nets *nets)
{
	free(nets->at);
	*nets = (struct addr_nets){ 0 };
}

bool
addr_nets_equal(const struct addr_nets *a, const struct addr_nets *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!addr_net_equal(&a->at[i], &b->at[i]))
			return false;
	return true;
}
