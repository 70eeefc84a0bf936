#ifndef ROUTE_H
#define ROUTE_H

#include "addr.h"
#include "config.h"

#include <event2/event.h>

/*
 * Where did this client mean to go?
 *
 * Most modes know at once.  Some have to ask another host; then the answer comes from the
 * loop, unless the question is withdrawn before.
 */
enum route_result {
	ROUTE_FOUND,
	ROUTE_NOT_REDIRECTED,	/* it came straight to us: we are nobody's open relay */
	ROUTE_LOOP,		/* it would lead back to ourselves */
	ROUTE_MISMATCH,		/* who was asked answered what nobody can follow */
	ROUTE_UNKNOWN,		/* nobody tells; the words are in WHY */
};

struct route_query {
	int fd;			/* the client's socket; open as long as the question */
	struct addr client;	/* its far end */
	struct addr local;	/* its near end */
	struct addr meant;	/* the destination, if a PROXY header has told it */
};

struct route_words {		/* what to tell the administrator, if anything */
	char text[256];
};

enum {
	ROUTE_IDENT_SIZE = 64,
};

struct route_answer {
	enum route_result result;
	struct addr server;
	unsigned hops;			/* that are left beyond us; 0: not known */
	char ident[ROUTE_IDENT_SIZE];	/* of whom, as a helper says; may be empty */
	struct route_words why;
};

struct route;			/* a question under way */

/* ANSWER lives until the call returns.  The question is gone by then. */
typedef void route_done_cb(const struct route_answer *answer, void *arg);

/*
 * Finds the destination as the mode of CFG says; what a PROXY header has told, every mode
 * but fixed takes for its answer.  Does not block.  Returns NULL when it is
 * known at once, in ANSWER; DONE is not called then.  Else DONE is called from the loop,
 * never from within.  How long that may take the caller decides: there is no time limit
 * here.  CFG must live as long as the question.
 */
struct route *route_start(struct event_base *base, const struct config *cfg,
			  const struct route_query *query, struct route_answer *answer,
			  route_done_cb *done, void *arg) MUST_CHECK;

/* Withdraws a question: DONE will not be called.  NULL is fine. */
void route_cancel(struct route *route);

/* Says whom a question is waiting for, and what went wrong so far. */
void route_describe(const struct route *route, struct route_words *words);

/* True if the listening sockets have to take connections to addresses that are not ours. */
bool route_takes_foreign(const struct config *cfg);

/* True if the server is to see the address of CLIENT, and not one of ours. */
bool route_as_client(const struct config *cfg, const struct addr *client);

/* Says whether the configured way can work at all; called once at the start, when the
 * entrances are open (route_loop.h).  False: WHY says what is missing. */
bool route_check(const struct config *cfg, struct route_words *why);

#endif
