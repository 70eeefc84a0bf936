#ifndef HTTP_H
#define HTTP_H

#include "spool.h"
#include "xalloc.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * HTTP POSTs, one by one, in the loop (libcurl).
 *
 * Connections are kept for the next one where the server allows that.  Redirections are
 * not followed, and proxies of the environment are not asked.
 */
struct http;

/* It makes no connection yet. */
struct http *http_new(struct event_base *base) MUST_CHECK;

/* None may be under way.  NULL is fine. */
void http_free(struct http *http);

struct http_request {
	const char *url;
	const char *unix_path;		/* a socket to call instead of URL's host; NULL: none */
	const char *ca_file;		/* certificates; "": those of the system */
	const char *const *headers;	/* "Name: value", with no newline in it; NULL ends them */
	/* What is posted: BODY, which lives until it is done or cancelled; or, if that is
	 * NULL, the message of a sealed spool, of which a reference is taken. */
	const char *body;
	struct spool *message;
	unsigned connect_ms;		/* that it may take to connect; 0: as long as all of it */
	unsigned milliseconds;		/* that all of it may take */
	size_t answer_most;		/* bytes of the answer; 0: nobody reads it */
};

/* What came of it, until the call returns. */
struct http_answer {
	int status;		/* 0: there was none, and ERROR says why */
	bool was_connected;	/* the server was to be had */
	bool was_timed_out;	/* time was up, for connecting or for all of it */
	bool is_whole;		/* it is all there, and was given when we had said all;
				 * if not, ERROR says why.  Never so if nobody reads it */
	const char *error;
	const char *body;	/* not terminated */
	size_t size;
};

typedef void http_done_cb(const struct http_answer *answer, void *arg);

struct http_call;			/* one POST, under way */

/* DONE is called from the loop, never from within.  The call is gone by then. */
struct http_call *http_post(struct http *http, const struct http_request *request,
			    http_done_cb *done, void *arg) MUST_CHECK;

/* DONE will not be called.  NULL is fine. */
void http_cancel(struct http_call *call);

#endif
