#ifndef STATUS_H
#define STATUS_H

#include "config.h"
#include "session.h"

#include <stdbool.h>
#include <time.h>

/*
 * The state file: what the daemon does, for people (human), for scripts (flat), and a row
 * for each session (slots).  smtp-gated(8) describes it; the human form and the columns of
 * the slots are those of smtp-gated 1.4.
 *
 * Whoever reads it sees a whole one: it is written beside and renamed over.
 */

struct status_source {
	const struct config *cfg;
	const struct sessions *sessions;
	time_t started;
	time_t reloaded;	/* 0: never */
};

/* Writes cfg->statefile.  False: WHY says what is wrong, and with which option.
 * Ten thousand sessions take some milliseconds. */
bool status_write(const struct status_source *source, char *why,
		  size_t why_size) MUST_CHECK;

/* What a state file says of itself, from its text: the number behind "NAME:" at the start
 * of a line, in the flat form and in the human one.  -1: it is not there. */
int64_t status_number(const char *text, const char *name);

#endif
