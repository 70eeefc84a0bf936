#ifndef PEERS_H
#define PEERS_H

#include "addr.h"

/*
 * How many sessions each client has: counted by the network that it is in, or by its
 * address and what a helper calls it.
 *
 * Each session holds its counts from when they are known to its end, so there are never
 * more of them than sessions.  A look-up takes the same time however many there are, and
 * whatever addresses and names their owners choose.
 */
struct peers;
struct peer;			/* one count */

struct peers *peers_new(void);
void peers_free(struct peers *peers);	/* all must have left; NULL is fine */

/* One more of those of NET and, unless it is NULL, IDENT.  The count is held until
 * peers_leave(). */
struct peer *peers_enter(struct peers *peers, const struct addr_net *net,
			 const char *ident) MUST_CHECK;
void peers_leave(struct peers *peers, struct peer *peer);	/* NULL is fine */

/* How many of NET have entered without an ident. */
unsigned peers_sessions(const struct peers *peers, const struct addr_net *net);

/* How many hold it, the caller included; NULL: none. */
unsigned peer_count(const struct peer *peer);

/* Where the caller may keep something of its own for a count: NULL at first, and NULL again
 * when the last one leaves. */
void **peer_place(struct peer *peer);

/* How many counts there are. */
size_t peers_known(const struct peers *peers);

#endif
