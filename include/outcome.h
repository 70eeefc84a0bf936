#ifndef OUTCOME_H
#define OUTCOME_H

#include "reply.h"

/*
 * What a server says of one message: once, or with LMTP once for each recipient that it
 * accepted (RFC 2033 4.2), in their order.
 *
 * Who can hear a single word only gets the safest one.  If the message is to be sent again
 * to one of them that word says so, for nobody's copy may be lost, and those who have theirs
 * may get it twice; else, if it reached not all, it says that; else all have it.
 */
struct outcome {
	unsigned awaited;	/* replies that the server owes still */
	unsigned accepted, refused;	/* of those that are here */
	struct reply safest;	/* the first of its kind; its text is ours; code 0: none yet */
};

/* So many REPLIES will come.  OUTCOME is { 0 }. */
void outcome_begin(struct outcome *outcome, unsigned replies);

/* One of them is here, 2yz, 4yz or 5yz.  Of all of them one is kept. */
void outcome_add(struct outcome *outcome, const struct reply *reply);

/* Some are here and some are not. */
bool outcome_is_partial(const struct outcome *outcome);

/* "yes", "no"; "some" if it is the one for these and the other for those. */
const char *outcome_word(const struct outcome *outcome);

void outcome_fini(struct outcome *outcome);

#endif
