#ifndef EXPLAIN_H
#define EXPLAIN_H

#include "addr.h"
#include "config.h"

/*
 * What becomes of one message, and why: for people and scripts, without a daemon.
 *
 * The scanners are those of a configuration, and so is the verdict; but here all of them
 * answer, and nothing follows from it: nothing is counted, kept, locked or told.  No file
 * of a daemon that runs is touched.
 */
enum {
	EXIT_REFUSED = 6,	/* the message would be refused for good */
	EXIT_DEFERRED = 7,	/* ... for now */
};

struct explain_wish {
	struct config *cfg;	/* the snapshot that applies; its directories may be set */
	const char *message;	/* a file; "-": standard input */
	const struct addr *client, *server; /* no address: not known */
	const char *helo, *sender, *recipient; /* for scanners that want to know; may be NULL */
};

/* Returns the exit status: EXIT_SUCCESS if the message would be delivered, one of the above,
 * or EXIT_FAILURE, and has said why.  Root becomes set_user in it. */
int explain_message(const struct explain_wish *wish);

#endif
