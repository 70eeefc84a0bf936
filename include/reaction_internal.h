#ifndef REACTION_INTERNAL_H
#define REACTION_INTERNAL_H

#include "events.h"
#include "lockfile.h"
#include "quarantine.h"
#include "reaction.h"
#include "script.h"

#include <time.h>

/*
 * The inside of reaction*.c.
 */

/* What the reactions to a finding have left so far, for the next one to know. */
struct reaction_marks {
	const char *spool_name;		/* path of the message that is kept; NULL: none is */
	const char *lock_file;		/* path of the lock that was made; NULL: none was */
	int64_t lock_duration;		/* seconds, of that */
};

/* Opens the quarantine, unless there is one or CFG needs none; gives it CFG's limits.
 * False: WHY. */
bool reaction_keeper(struct quarantine **quarantine, struct event_base *base,
		     const struct config *cfg, char *why, size_t why_size) MUST_CHECK;

/* Keeps the message of WHAT.  Its path, to be freed; NULL: it is not kept, which was
 * logged. */
char *reaction_keep(struct quarantine *quarantine,
		    const struct occurrence *what) MUST_CHECK;
/* Locks the client of WHAT out; FILE becomes the path of the lock, to be freed, if one was
 * made, else NULL.  False: it was locked already, or never is to be, and the script is not
 * for that. */
bool reaction_lock(struct lockfiles *locks, const struct occurrence *what,
		   char **file) MUST_CHECK;

/*
 * What is told of a finding, to scripts and to receivers of events: one list for both.
 * Of AUTH whether it was, and by whom, never with what.
 */
enum fact_kind {
	FACT_TEXT,		/* from anywhere: to be cleaned; "": there is none */
	FACT_NUMBER,
	FACT_REAL,
	FACT_YES_NO,		/* NUMBER is 1 or 0 */
};

struct fact {
	const char *name;	/* in capitals, as scripts have it */
	enum fact_kind kind;
	const char *text;
	int64_t number;
	double real;
	bool is_unknown;	/* of a number, be it real: there is none */
};

enum {
	FACT_COUNT = 24,
	FACT_TIME_SIZE = 24,
};

struct facts {
	struct fact at[FACT_COUNT];
	char hosts[3][ADDR_TEXT_SIZE], time[FACT_TIME_SIZE]; /* texts of some */
};

/* Of WHAT, found at NOW.  Good as long as WHAT and MARKS are, and not to be copied. */
void reaction_facts(struct facts *facts, const struct occurrence *what,
		    const struct reaction_marks *marks, time_t now);

struct script_limits reaction_script_limits(const struct config *cfg);

/* Runs the script for WHAT, if there is one. */
void reaction_script(struct scripts *scripts, const struct occurrence *what,
		     const struct reaction_marks *marks);

/* What it is called with, found at NOW. */
struct script_call *reaction_script_call(const struct occurrence *what,
					 const struct reaction_marks *marks,
					 time_t now) MUST_CHECK;

struct events_limits reaction_event_limits(const struct config *cfg);

/* Tells event_url of WHAT, if there is one. */
void reaction_event(struct events *events, const struct occurrence *what,
		    const struct reaction_marks *marks);

/* What it is told, found at NOW: a JSON object.  To be freed. */
char *reaction_event_body(const struct occurrence *what,
			  const struct reaction_marks *marks, time_t now) MUST_CHECK;

#endif
