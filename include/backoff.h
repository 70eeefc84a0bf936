#ifndef BACKOFF_H
#define BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Who fails is left alone for a while.
 *
 * After some failures in a row it is not asked for a while.  When that is over, one asks,
 * on trial, and the others go on without it until that one knows; if it fails as well, the
 * while doubles.  Each is a bit longer or shorter than the last, so that those who share
 * what failed do not all come back at the same moment.
 *
 * Pure: the time is the caller's, and so are the words for the log, which are due once when
 * it is left alone for the first time, and once when it is back.
 */
struct backoff_pace {
	unsigned patience;		/* failures in a row that it may have; 0 is as 1 */
	int64_t first_us, most_us;	/* how long it is left alone at first, and at most */
};

struct backoff {			/* all zero: nothing is known against it */
	unsigned failures;		/* in a row */
	unsigned rests;			/* in a row */
	int64_t until_us;		/* it is left alone until then; 0: it is not */
	bool on_trial;
	bool is_said;
};

enum backoff_turn {
	BACKOFF_ASK,
	BACKOFF_TRY,			/* it was left alone: the one who tries */
	BACKOFF_LEAVE,
};

/* May it be asked?  Who is told so says afterwards how that went, with TRIED if it was
 * to try. */
enum backoff_turn backoff_turn(struct backoff *backoff, int64_t now_us);

/* True if that is to be logged: it is back. */
bool backoff_answered(struct backoff *backoff);

/* True if that is to be logged: it is left alone.  A failure of who had asked before that
 * is none. */
bool backoff_failed(struct backoff *backoff, const struct backoff_pace *pace, bool tried,
		    int64_t now_us);

/* Who asked will never know: the next may try. */
void backoff_left(struct backoff *backoff, bool tried);

/* It is left alone, or on trial. */
bool backoff_rests(const struct backoff *backoff);

#endif
