#ifndef VERDICT_H
#define VERDICT_H

#include "config.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Findings, weighed by the configuration: what we do.
 *
 * A check sees, it never decides: it leaves a finding.  What a finding leads to is the
 * administrator's table, read in one pure function.
 */
enum finding_kind {
	FOUND_NOTHING,		/* the check looked at all of it, and it is clean */
	FOUND_VIRUS,
	FOUND_UNSCANNABLE,	/* some of it could not be looked at; name says why */
	FOUND_FAILED,		/* the check itself failed; name says how */
	FOUND_BARE_NEWLINE,	/* a CR or LF stood alone, and that is refused */
};

enum {
	FINDING_NAME_SIZE = 128,
};

struct finding {		/* what one check saw */
	enum finding_kind kind;
	const char *check;	/* the check's name, static */
	char name[FINDING_NAME_SIZE];	/* of the virus, or the reason; from outside! */
	unsigned scan_us;	/* microseconds it looked, waiting for its turn left out */
};

enum verdict_act {
	VERDICT_DELIVER,
	VERDICT_REFUSE,		/* for good: 5yz */
	VERDICT_DEFER,		/* for now: 4yz */
};

struct verdict {		/* what we do about it */
	enum verdict_act act;
	int code;		/* of our reply; 0 when delivered */
	const char *enhanced;	/* enhanced status code of it (RFC 3463), static */
	char text[256];		/* of our reply: printable ASCII, one line */
	struct finding because;	/* the finding that decided, or FOUND_NOTHING */
};

/* Decides.  The gravest finding wins: virus, bare newline, failed, unscannable, nothing;
 * but one that the configuration lets pass hides none that it does not.
 * No findings at all is what a configuration without checks gives: deliver. */
void verdict_weigh(struct verdict *verdict, const struct config *cfg,
		   const struct finding *found, size_t count);

/* The graver finding has the larger number. */
int finding_gravity(enum finding_kind kind);

/* "clean", "virus", "unscannable", "failed", "bare-newline": words of the log. */
const char *finding_word(enum finding_kind kind);
const char *verdict_word(enum verdict_act act);

#endif
