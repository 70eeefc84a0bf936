#ifndef SCRIPT_H
#define SCRIPT_H

#include "addr.h"
#include "log.h"

#include <event2/event.h>
#include <stdbool.h>

/*
 * A program of the administrator's, started because something was found.
 *
 * It is started without a shell and nobody waits for it: a thread starts it, for that takes
 * up to 20 ms on a busy machine; the loop hears that it has ended.  There is a limit to how
 * many run at one time, how many wait for that, how long one may take, and how much of what
 * it says is kept.
 *
 * It is the leader of a session and process group of its own, which end with it, has no
 * capability and no descriptor of ours, nothing to read, an environment of what it is given
 * and a PATH, and the root directory for its working directory.
 */

/* What a program is called with.  Most of it comes from strangers: */
struct script_call;

enum {
	SCRIPT_VALUE_MAX = 1024, /* bytes of an argument or value, cut at a character */
};

/* Puts TEXT, cleaned as values are, into TO of SIZE, at least 4; cut at a character.
 * Returns its length. */
size_t script_clean(char *to, size_t size, const char *text);

/* What the call is for: it is logged, and copied. */
struct script_subject {
	const struct log_ctx *log;
	const char *finding;		/* its word */
	const struct addr *client;
};

/* PATH: absolute. */
struct script_call *script_call_new(const char *path,
				    const struct script_subject *subject) MUST_CHECK;

/* A further argument; a variable of the environment.  VALUE is cleaned on the way: what is
 * no UTF-8, controls a terminal, or turns its writing around becomes "?", each; so does the
 * "-" in front of an argument that is longer, for it is no option. */
void script_call_argument(struct script_call *call, const char *value);
void script_call_variable(struct script_call *call, const char *name,
			  const char *value);

/* NULL is fine. */
void script_call_free(struct script_call *call);

/* Those that run, and those that wait for it. */
struct scripts;

struct script_limits {
	unsigned most;			/* that run at one time; 1 at least */
	unsigned waiting;		/* more are dropped */
	unsigned seconds;		/* until one is told to end */
};

struct scripts *scripts_new(struct event_base *base,
			    const struct script_limits *limits) MUST_CHECK;

/* For the calls that come, and for those that wait. */
void scripts_set(struct scripts *scripts, const struct script_limits *limits);

/* Takes CALL over.  What becomes of it is logged and counted. */
void scripts_run(struct scripts *scripts, struct script_call *call);

/* Drops what waits.  What runs has a few seconds to end, during which the loop turns; then
 * it is told to, then killed.  NULL is fine. */
void scripts_free(struct scripts *scripts);

/* True while any runs or waits. */
bool scripts_are_busy(const struct scripts *scripts);

/* IDLE is called from the loop each time that the last has ended. */
void scripts_on_idle(struct scripts *scripts, void (*idle)(void *arg), void *arg);

/* True if PATH can be started, as far as can be told from here; else WHY. */
bool script_is_there(const char *path, char *why, size_t why_size) MUST_CHECK;

#endif
