#ifndef BACKEND_HTTP_H
#define BACKEND_HTTP_H

#include "backend.h"
#include "http.h"

/*
 * The same as backend.h for scanners that speak HTTP: a message is POSTed to the first of
 * their URLs that takes it.
 */
struct backend_post;			/* one message, under way */

struct backend_post_question {
	/* Its name, option and fault() count; nothing else of it is asked. */
	const struct backend_engine *engine;
	const struct string_list *servers;	/* URLs, or paths of sockets; lives as long */
	const char *path;		/* that is asked for there, "/checkv2"; static */
	const char *const *headers;	/* as http.h has them; lives as long */
	struct spool *message;		/* sealed; held by the call */
	size_t answer_most;		/* bytes of an answer */
	int64_t timeout_s;		/* for all of it */

	/* A server has answered with STATUS: BACKEND_DONE; BACKEND_UNABLE, if it says that
	 * it cannot; or BACKEND_BABBLE. */
	enum backend_word (*answer)(int status, const char *body, size_t size, void *owner);
};

/* DONE is called from the loop, never from within.  QUESTION is copied. */
struct backend_post *backend_post(struct backends *backends, struct http *http,
				  const struct backend_post_question *question,
				  backend_done_cb *done, void *owner) MUST_CHECK;

/* DONE will not be called.  NULL is fine. */
void backend_post_cancel(struct backend_post *post);

#endif
