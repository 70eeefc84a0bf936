#include "dnsbl.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LABEL_MAX = 63,
};

static const uint32_t answers_first = UINT32_C(0x7f000000); /* 127.0.0.0/8 */
static const uint32_t answers_last = UINT32_C(0x7fffffff);
/* What large lists say to resolvers that ask too much, or by way of others. */
static const uint32_t refusals_first = UINT32_C(0x7fffff00);

/* ---- an entry ------------------------------------------------------------------------- */

static bool
is_zone(const char *name, size_t size)
{
	size_t label = 0;

	for (size_t i = 0; i < size; i++) {
		if (name[i] == '.' ? label == 0
		                   : !strchr("abcdefghijklmnopqrstuvwxyz"
		                             "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		                             "0123456789-_",
		                             name[i]))
			return false;
		label = name[i] == '.' ? 0 : label + 1;
		if (label > LABEL_MAX)
			return false;
	}
	return label > 0;
}

static const char *
read_name(struct dnsbl_zone *zone, const char *text, size_t size)
{
	struct addr addr;

	if (size > 0 && text[size - 1] == '.')
		size--;
	if (size >= sizeof(zone->name))
		return "has a name that is too long to be a zone: up to 180 bytes";
	if (!is_zone(text, size))
		return "is no zone: letters, digits, - and _, with single dots between "
		       "them";
	memcpy(zone->name, text, size);
	zone->name[size] = '\0';
	if (addr_parse(&addr, zone->name, 0))
		return "begins with an address, and the name of a list belongs there";
	return NULL;
}

static bool
read_number(const char *text, size_t size, uint32_t *number)
{
	char copy[INET_ADDRSTRLEN];
	struct in_addr addr;

	if (size >= sizeof(copy))
		return false;
	memcpy(copy, text, size);
	copy[size] = '\0';
	if (inet_pton(AF_INET, copy, &addr) != 1)
		return false;
	*number = ntohl(addr.s_addr);
	return true;
}

static bool
read_net(struct dnsbl_zone *zone, const char *text, size_t size)
{
	char copy[INET_ADDRSTRLEN + sizeof("/32")], why[256];
	struct addr_net net;

	if (size >= sizeof(copy))
		return false;
	memcpy(copy, text, size);
	copy[size] = '\0';
	if (!addr_net_parse(&net, copy, why, sizeof(why)) ||
	    addr_family(&net.first) != AF_INET || net.bits == 0)
		return false;
	zone->first = ntohl(net.first.v4.sin_addr.s_addr);
	zone->last = zone->first | (uint32_t)(UINT64_C(0xffffffff) >> net.bits);
	return true;
}

static bool
read_range(struct dnsbl_zone *zone, const char *text, size_t size)
{
	const char *dash = memchr(text, '-', size);
	size_t first = dash ? (size_t)(dash - text) : size;

	if (memchr(text, '/', size))
		return read_net(zone, text, size);
	if (!read_number(text, first, &zone->first))
		return false;
	zone->last = zone->first;
	return !dash || (read_number(dash + 1, size - first - 1, &zone->last) &&
	                 zone->first <= zone->last);
}

static const char *
read_answers(struct dnsbl_zone *zone, const char *text, size_t size)
{
	if (!read_range(zone, text, size))
		return "has something else behind its = than 127.0.0.2, "
		       "127.0.0.2-127.0.0.11 or 127.0.0.0/24";
	if (zone->first < answers_first || zone->last > answers_last ||
	    zone->first >= refusals_first)
		return "waits for what no list says: its answers are in 127.0.0.0/8, "
		       "and "
		       "in 127.255.255.0/24 it refuses to tell";
	return NULL;
}

static const char *
read_weight(struct dnsbl_zone *zone, const char *text)
{
	size_t size = strspn(text, "0123456789");
	long weight = size > 0 && size <= 4 ? strtol(text, NULL, 10) : 0;

	if (text[size] != '\0' || text[0] == '0' || weight < 1 ||
	    weight > DNSBL_WEIGHT_MAX)
		return "has something else behind its * than a weight from 1 to 1000";
	zone->weight = (unsigned)weight;
	return NULL;
}

const char *
dnsbl_zone_read(struct dnsbl_zone *zone, const char *text)
{
	size_t size = strcspn(text, "=*");
	const char *fault = read_name(zone, text, size);

	zone->first = answers_first;
	zone->last = answers_last;
	zone->weight = 1;
	text += size;
	if (!fault && *text == '=') {
		size = strcspn(++text, "*");
		fault = read_answers(zone, text, size);
		text += size;
	}
	if (!fault && *text == '*')
		fault = read_weight(zone, text + 1);
	return fault;
}

/* ---- a question and its answer ---------------------------------------------------------- */

static const struct {
	uint32_t first;
	unsigned bits;
} unknown[] = {
	/* This host, private, of a carrier (RFC 6598), loopback, of a link; many and none. */
	{ UINT32_C(0x00000000), 8 },  { UINT32_C(0x0a000000), 8 },
	{ UINT32_C(0x64400000), 10 }, { UINT32_C(0x7f000000), 8 },
	{ UINT32_C(0xa9fe0000), 16 }, { UINT32_C(0xac100000), 12 },
	{ UINT32_C(0xc0a80000), 16 }, { UINT32_C(0xe0000000), 3 },
};

bool
dnsbl_can_know(const struct addr *addr)
{
	uint32_t host;

	if (addr_family(addr) == AF_INET6) /* 2000::/3: all that is global */
		return (addr->v6.sin6_addr.s6_addr[0] & 0xe0) == 0x20;
	if (addr_family(addr) != AF_INET)
		return false;
	host = ntohl(addr->v4.sin_addr.s_addr);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		if ((host ^ unknown[i].first) >> (32 - unknown[i].bits) == 0)
			return false;
	return true;
}

void
dnsbl_name(const struct dnsbl_zone *zone, const struct addr *addr,
           char name[static DNSBL_NAME_SIZE])
{
	const char *arpa = addr_family(addr) == AF_INET ? "in-addr.arpa" : "ip6.arpa";
	char reverse[ADDR_REVERSE_SIZE];

	addr_reverse(addr, reverse);
	assert(strlen(reverse) > strlen(arpa));
	snprintf(name, DNSBL_NAME_SIZE, "%.*s%s", (int)(strlen(reverse) - strlen(arpa)),
	         reverse, zone->name);
}

enum dnsbl_word
dnsbl_word(const struct dnsbl_zone *zone, const struct addr *addrs, size_t count)
{
	enum dnsbl_word word = DNSBL_NOT_LISTED;
	uint32_t answer;

	for (size_t i = 0; i < count; i++) {
		if (addr_family(&addrs[i]) != AF_INET)
			continue;
		answer = ntohl(addrs[i].v4.sin_addr.s_addr);
		if (answer >= refusals_first && answer <= answers_last)
			return DNSBL_REFUSED;
		if (answer >= zone->first && answer <= zone->last)
			word = DNSBL_LISTED;
	}
	return word;
}
