#ifndef ROUTE_INTERNAL_H
#define ROUTE_INTERNAL_H

#include "route.h"

/*
 * A way to find a destination that takes time.
 */
struct route_way {
	/* Begins to ask; what it needs goes to OWN.  False: the answer is there already,
	 * or it cannot be asked, and the answer says so; stop() is not called then. */
	bool (*start)(struct route *route);
	/* The question is over, answered or not: frees what start() made. */
	void (*stop)(struct route *route);
	void (*describe)(const struct route *route, struct route_words *words);
};

struct route {
	const struct route_way *way;
	struct event_base *base;
	const struct config *cfg;
	struct route_query query;
	struct route_answer answer;
	void *own;		/* the way's */
	route_done_cb *done;
	void *arg;
};

/* The answer is in ROUTE: to be called by a way, from the loop.  ROUTE is gone then. */
void route_answered(struct route *route);

/* The near end of the client's socket (tproxy, getsockname). */
void route_local(const struct route_query *query, struct route_answer *answer);

/* The one of these two that the client's address asks for (tproxy,netfilter). */
void route_by_kind(const struct config *cfg, const struct route_query *query,
		   struct route_answer *answer);

/* The cheap way: what REDIRECT and DNAT on this machine left with the socket.  False: they
 * did not, or connection tracking is not at work here. */
bool route_original(const struct route_query *query, struct addr *server);

/* SO_ORIGINAL_DST / IP6T_SO_ORIGINAL_DST, then conntrack itself where they are silent. */
void route_netfilter(const struct config *cfg, const struct route_query *query,
		     struct route_answer *answer);

#endif
