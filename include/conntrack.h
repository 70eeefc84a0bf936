#ifndef CONNTRACK_H
#define CONNTRACK_H

#include "addr.h"

/*
 * What connection tracking knows of a connection.  Takes CAP_NET_ADMIN at the time of
 * asking; some microseconds, does not block.
 */
struct conntrack_entry {
	struct addr client;	/* who called, and whom, before any translation */
	struct addr server;
};

/* Finds the connection whose replies go from NEAR to FAR, in this network namespace and
 * ZONE (0: none).
 * Returns 0, ENOENT when there is none, or another errno. */
int conntrack_find(const struct addr *near, const struct addr *far, uint16_t zone,
		   struct conntrack_entry *found) MUST_CHECK;

#endif
