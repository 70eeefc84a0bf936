#ifndef VERDICT_H
#define VERDICT_H

#include "config.h"
#include "stats.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Findings, weighed by the configuration: what we do.
 *
 * A check sees, it never decides: it leaves a finding.  What a finding leads to is the
 * administrator's table (findings.def and the options it names), read in one pure
 * function.
 */
enum finding_kind {
	FOUND_NOTHING,		/* the check looked at all of it, and it is clean; unless
				 * it was skipped */
#define FINDING(id, ...) FOUND_##id,
#include "findings.def"
	FOUND_KINDS
};

enum {
	FINDING_NAME_SIZE = 128,
};

/* Checks that do the same in several ways. */
enum check_family {
	FAMILY_NONE,
	FAMILY_ANTIVIRUS,
	FAMILY_ANTISPAM,
};

struct finding {		/* what one check saw */
	enum finding_kind kind;
	const char *check;	/* the check's name, static */
	char name[FINDING_NAME_SIZE];	/* of the virus, or the reason; from outside! */
	unsigned scan_us;	/* microseconds it looked, waiting for its turn left out */
	bool cached;		/* known from a message like this one */
	const char *skipped;	/* the option for which it did not look; NULL: it did.  Static */
	bool has_score;
	double score;		/* points of a spam scanner */
	enum check_family family;	/* of the check */
	const char *result;	/* a word for what it came to, whatever was found, as SPF has
				 * it; NULL: none.  Static */
};

enum verdict_act {
	VERDICT_DELIVER,	/* go on as if nothing had been found */
	VERDICT_TAG,		/* deliver it with a mark that all can see */
	VERDICT_DEFER,		/* for now: 4yz */
	VERDICT_REFUSE,		/* for good: 5yz */
	VERDICT_HANG_UP,	/* the same, and the session is over */
};

struct verdict {		/* what we do about it */
	enum verdict_act act;
	int code;		/* of our reply; 0 when delivered */
	const char *enhanced;	/* enhanced status code of it (RFC 3463), static */
	char text[512];		/* of our reply: printable ASCII, one line */
	struct finding because;	/* the finding that decided, or FOUND_NOTHING */
	bool has_score;		/* a spam scanner gave points, whatever decided */
	double score;		/* of the one that decided, else the most that any gave */
	char skipped[128];	/* checks that did not look, and the options for which:
				 * "spamassassin:spam_max_size,..."; or "" */
};

/* Decides.  The gravest finding wins, the later row of findings.def; but one that the
 * configuration lets pass hides none that it does not.
 * No findings at all is what a configuration without checks gives: deliver. */
void verdict_weigh(struct verdict *verdict, const struct config *cfg,
		   const struct finding *found, size_t count);

/* True if nothing that other checks may find can undo what this leads to with CFG: it is
 * refused for good. */
bool verdict_is_certain(const struct config *cfg, const struct finding *found);

/* The reply's code to a client that has not been greeted yet (RFC 5321 3.1): 554, or 421
 * for now. */
int verdict_greeting_code(const struct verdict *verdict);

/* The graver finding has the larger number. */
int finding_gravity(enum finding_kind kind);

/* "clean", "virus", "unscannable" ...: words of the log. */
const char *finding_word(enum finding_kind kind);
const char *verdict_word(enum verdict_act act);

/* Its bit of lock_on, script_on and spool_leave_on; CLASS_CLEAN for FOUND_NOTHING. */
enum finding_class finding_class(enum finding_kind kind);

/* What counts it; STAT_mails_clean for FOUND_NOTHING. */
enum counter finding_counter(enum finding_kind kind);

/* FOUND of the action script; "" for FOUND_NOTHING. */
const char *finding_script_word(enum finding_kind kind);

/* What a finding leads to with CFG, beside the reply. */
struct finding_effect {
	const char *option;	/* that decides, by name; NULL: FOUND_NOTHING */
	enum finding_action action;	/* its value */
	bool locks;		/* the client out */
	bool runs_script;
	bool tells;		/* event_url */
	bool keeps;		/* the message */
};
void finding_effect(struct finding_effect *effect, const struct config *cfg,
		    enum finding_kind kind);

/* Its word in the configuration. */
const char *finding_action_word(enum finding_action action);

/* One line for each finding, for people: what it leads to with CFG. */
void findings_print(const struct config *cfg, FILE *out);

#endif
