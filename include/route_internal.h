#ifndef ROUTE_INTERNAL_H
#define ROUTE_INTERNAL_H

#include "lookup.h"
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

/*
 * What both ways to ask the router have in common: whom they ask, and what they make of
 * its answer.  Begins the own part of each.
 */
struct route_helper {
	struct addr asked;	/* the router's helper */
	struct addr from;	/* our address that asks; no address: any */
	struct lookup_question question;
};

/* Fills it in from what ROUTE asks. */
void route_helper_init(struct route_helper *helper, const struct route *route);

/* Puts an answer into ROUTE. */
void route_helper_take(struct route *route, const struct route_helper *helper,
		       const struct lookup_answer *answer);

/* Puts into ROUTE's answer that there is none: who was asked, and the words. */
void route_helper_fail(struct route *route, const struct route_helper *helper,
		       enum route_result result, const char *words);

extern const struct route_way route_by_datagrams;	/* mode remote-udp */
extern const struct route_way route_by_line;		/* mode remote */

#endif
