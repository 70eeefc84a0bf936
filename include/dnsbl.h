#ifndef DNSBL_H
#define DNSBL_H

#include "addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Lists of addresses in DNS (RFC 5782): how an entry of options dnsbl and dnswl is
 * written, which name is asked for, and what an answer means.
 *
 *	zone			listed is who gets any answer in 127.0.0.0/8
 *	zone=127.0.0.2		only this one
 *	zone=127.0.0.2-127.0.0.11	one from the first to the last of these
 *	zone=127.0.0.0/24	one of this network
 *	...*2			counts twice
 */
enum {
	DNSBL_ZONES_MAX = 16,	/* of each of the two options */
	DNSBL_WEIGHT_MAX = 1000,
	DNSBL_ZONE_SIZE = 181,	/* with its NUL: an address in nibbles comes before it */
	DNSBL_NAME_SIZE = ADDR_REVERSE_SIZE + DNSBL_ZONE_SIZE,
};

struct dnsbl_zone {
	char name[DNSBL_ZONE_SIZE];	/* no dot behind it */
	uint32_t first, last;		/* answers that are a listing; host byte order */
	unsigned weight;
};

/* Reads an entry.  NULL, or what is wrong with TEXT ("is no ..."), static. */
const char *dnsbl_zone_read(struct dnsbl_zone *zone, const char *text) MUST_CHECK;

/* True if a list of the world can know ADDR: not for addresses of this machine and of
 * private networks, of a link, or of nobody. */
bool dnsbl_can_know(const struct addr *addr);

/* Puts the name at which ZONE has ADDR into NAME. */
void dnsbl_name(const struct dnsbl_zone *zone, const struct addr *addr,
		char name[static DNSBL_NAME_SIZE]);

enum dnsbl_word {
	DNSBL_NOT_LISTED,
	DNSBL_LISTED,
	DNSBL_REFUSED,		/* it does not answer us: 127.255.255.0/24 */
};

/* What COUNT addresses, the answer of ZONE, say. */
enum dnsbl_word dnsbl_word(const struct dnsbl_zone *zone, const struct addr *addrs,
			   size_t count);

#endif
