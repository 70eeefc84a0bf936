#ifndef ROUTE_LOOP_H
#define ROUTE_LOOP_H

#include "addr.h"

#include <sys/queue.h>

/*
 * What would go round: connections that lead back to ourselves.
 *
 * A loop makes a session of each turn, and would take all that there are.  It is seen by
 * where it leads (one of our listening sockets), by where it comes from (one of our own
 * connections to servers, as it left us), and, when another gateway that makes connections
 * anew lies in between, by its hops: like a router we pass on one hop less than we got, so
 * that what goes round among gateways of this kind ends by itself.  What goes round through
 * strangers is bounded by how many sessions may wait for one server.
 *
 * One process, one loop: what is remembered here is the process's.
 */

/* Remembers one of our listening sockets by its address; forgets all of them. */
void route_loop_add_entrance(const struct addr *at);
void route_loop_forget_entrances(void);

/* True if SERVER is this machine, at a port that we listen on. */
bool route_loop_is_entrance(const struct addr *server);

/*
 * A connection to a server; { 0 } is none.  It is its owner's, who tells of its life:
 * begin when it is being made (FD is its socket), greeted when the server has spoken, end
 * when it is over, at any time, once or more often.
 */
struct route_call {
	LIST_ENTRY(route_call) link;
	struct addr from, to;	/* its near end, and where it goes */
	unsigned *waiting;	/* count of those to that server; NULL: not one of them */
	bool is_known;
};

void route_call_begin(struct route_call *call, int fd, const struct addr *server);
void route_call_greeted(struct route_call *call);
void route_call_end(struct route_call *call);

/* True if this connection, as CLIENT has made it to DIALLED, is one of these: it has come
 * back.  The address of a client alone does not tell: connections to two destinations may
 * have one near end. */
bool route_loop_is_call(const struct addr *client, const struct addr *dialled);

/* How many calls wait for the first word of SERVER.  Two servers may share a number, so it
 * can be too high, rarely. */
unsigned route_loop_waiting(const struct addr *server);

/* How many hops the client's connection (FD) still had when it came; 0: the kernel does
 * not tell.  It tells once. */
unsigned route_loop_hops(int fd);

#endif
