#ifndef WIRE_H
#define WIRE_H

#include "config.h"

#include <event2/event.h>

/*
 * What becomes of mail when the daemon does not serve: netfilter's rules.
 *
 * The rules that --nft prints hand on only what goes to a port in their set "alive", whose
 * elements expire.  With nft_alive the daemon renews them, from its loop: if it dies or
 * hangs, the rules are as good as gone after nft_timeout, and mail passes unscanned, or is
 * refused, as they were printed.
 */

enum wire_fail {
	WIRE_OPEN,	/* mail passes unscanned */
	WIRE_CLOSED,	/* mail is refused */
};

/* Prints rules for nft(8) that hand clients to this configuration.  False: WHY says why
 * there are none of that kind. */
bool wire_print(const struct config *cfg, enum wire_fail fail, FILE *out, char *why,
		size_t why_size) MUST_CHECK;

struct wire;

/* Begins to renew; needs CAP_NET_ADMIN.  That the table is not there yet is logged, once,
 * and tried again.  NULL with errno: EPERM, the capability is not there. */
struct wire *wire_new(struct event_base *base, const struct config *cfg) MUST_CHECK;

/* Ends it; the elements go as well, at once, unless somebody else renews them from now on
 * (STAY).  NULL is fine. */
void wire_free(struct wire *wire, bool stay);

#endif
