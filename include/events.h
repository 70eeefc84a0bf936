#ifndef EVENTS_H
#define EVENTS_H

#include "addr.h"
#include "log.h"
#include "xalloc.h"

#include <event2/event.h>

/*
 * A URL that is told what was found, by HTTP POST (libcurl in the loop).
 *
 * Nobody waits for it.  Each URL is a receiver of its own: one that hangs holds up no
 * other.  What it does not take (no answer, 3yz, 408, 429, 5yz) is tried again, later each
 * time and one at a time; what it refuses (4yz) is dropped, and so is what comes while too
 * many wait.  What is dropped is logged at once, then once a minute.
 *
 * What waits is in no certain order, and one may come twice: after an answer that was
 * lost.  Redirections are not followed, and proxies of the environment are not asked.
 */
struct events;

struct events_limits {
	unsigned waiting;	/* for one URL, 1 at least; more are dropped */
	unsigned seconds;	/* that one POST may take */
	unsigned retries;	/* after the first try of one */
	const char *ca_file;	/* certificates; "": those of the system.  Copied. */
};

struct events *events_new(struct event_base *base,
			  const struct events_limits *limits) MUST_CHECK;

/* For the tries that come. */
void events_set(struct events *events, const struct events_limits *limits);

/* What an event is about: it is logged, and copied. */
struct events_subject {
	const struct log_ctx *log;
	const char *finding;		/* its word */
	const struct addr *client;
};

/* Tells URL, of http or https, of SUBJECT: BODY, a JSON object, is taken over.  What
 * becomes of it is logged and counted. */
void events_post(struct events *events, const char *url,
		 const struct events_subject *subject, char *body);

/* What waits has a few seconds, during which the loop turns; then it is dropped.  NULL
 * is fine. */
void events_free(struct events *events);

#endif
