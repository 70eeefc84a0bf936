#ifndef ROUTE_H
#define ROUTE_H

#include "addr.h"
#include "config.h"

/*
 * Where did this client mean to go?
 */
enum route_result {
	ROUTE_FOUND,
	ROUTE_NOT_REDIRECTED,	/* it came straight to us: we are nobody's open relay */
	ROUTE_LOOP,		/* it would lead back to ourselves */
	ROUTE_UNKNOWN,		/* the kernel does not tell; the words are in WHY */
};

struct route_query {
	int fd;			/* the client's socket */
	struct addr client;	/* its far end */
	struct addr local;	/* its near end */
};

struct route_words {		/* what to tell the administrator, if anything */
	char text[256];
};

/* Finds the destination as the mode of CFG says.  Does not block. */
enum route_result route_find(const struct config *cfg, const struct route_query *query,
			     struct addr *server, struct route_words *why);

/* Says whether the configured way can work at all; called once at the start.  False: WHY
 * says what is missing. */
bool route_check(const struct config *cfg, struct route_words *why);

#endif
