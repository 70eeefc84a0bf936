#ifndef EVENTS_INTERNAL_H
#define EVENTS_INTERNAL_H

#include "events.h"

#include <stdbool.h>

/*
 * The inside of events*.c: POSTs, one by one.
 */
struct http;

/* It makes no connection yet. */
struct http *http_new(struct event_base *base) MUST_CHECK;

/* None may be under way.  NULL is fine. */
void http_free(struct http *http);

struct http_request {
	const char *url;
	const char *body;	/* lives until it is done or cancelled */
	const char *ca_file;	/* "": those of the system */
	unsigned seconds;
};

/* STATUS: of the answer; 0: there was none, and ERROR says why, until the call returns. */
typedef void http_done_cb(int status, const char *error, void *arg);

struct http_call;			/* one POST, under way */

/* DONE is called from the loop, never from within.  The call is gone by then. */
struct http_call *http_post(struct http *http, const struct http_request *request,
			    http_done_cb *done, void *arg) MUST_CHECK;

/* DONE will not be called.  NULL is fine. */
void http_cancel(struct http_call *call);

#endif
