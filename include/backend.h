#ifndef BACKEND_H
#define BACKEND_H

#include "config.h"
#include "spool.h"

#include <event2/buffer.h>
#include <event2/event.h>

/*
 * Scanners that are other processes: which of their servers is asked, and one conversation
 * with it about one message.
 *
 * The servers of an engine are tried in turn, in the order of its option.  One that cannot
 * be reached, or fails three times in a row (the message may be to blame), is left alone for
 * a while, longer each time; that is logged once, and once when it is back.  If none is left
 * a call ends at once, but for one now and then that tries: what is down costs neither time
 * nor connections.
 *
 * A call connects, sends what its owner makes, with no more in memory than a few pieces,
 * and gives what comes back to the owner's parser; a server may answer before it has got
 * all.  It tries the next server if one fails before a byte of its answer has come.  Time
 * limits are the call's, not the server's.
 */
struct backends;		/* all servers of all engines, and which are down */
struct backend_call;		/* one conversation */

struct backends *backends_new(struct event_base *base);
void backends_free(struct backends *backends);	/* no call is under way; NULL is fine */

enum backend_word {		/* what a parser says of the answer so far */
	BACKEND_MORE,		/* it is not whole */
	BACKEND_DONE,		/* it is; what follows is thrown away */
	BACKEND_BABBLE,		/* that is no answer: the server has failed */
	BACKEND_UNABLE,		/* it says that it cannot: the next one is asked */
	BACKEND_AGAIN,		/* it wants another connection: it is asked once more */
};

/* How to talk to an engine; constant. */
struct backend_engine {
	const char *name;	/* for the log: "clamd" */
	const char *option;	/* that has its servers, for the log: "antivirus_path" */
	uint16_t port;		/* of a server that has none; 0: each has one */

	/* Connected, perhaps not for the first time: puts what comes first into OUT. */
	void (*begin)(struct evbuffer *out, void *owner);
	/* Puts SIZE bytes of the message, at AT, into OUT as the protocol wants them. */
	void (*piece)(struct evbuffer *out, const char *at, size_t size, void *owner);
	/* All of the message is out: puts its end into OUT. */
	void (*end)(struct evbuffer *out, void *owner);
	/* IN has grown, or (EOF) ends here.  May take from it. */
	enum backend_word (*answer)(struct evbuffer *in, bool eof, void *owner);
	/* What was wrong with the answer, for the log.  NULL, or it returns NULL: no idea. */
	const char *(*fault)(void *owner);
};

struct backend_question {
	const struct backend_engine *engine;
	/* Paths of sockets, ADDRESS:PORT, or SCHEME://ADDRESS:PORT/WHATEVER; lives as long. */
	const struct string_list *servers;
	struct spool *message;	/* sealed; held by the call */
	bool with_head;		/* the spool's head is sent, too */
	int64_t timeout_s;	/* for all of it */
};

enum backend_end {
	BACKEND_ANSWERED,
	BACKEND_UNREACHABLE,	/* no server could be had, or none at the moment */
	BACKEND_FAILED,		/* it went away, or babbled */
	BACKEND_TIMED_OUT,
};

/* WHY: words for people, "" if it was answered.  The call is gone by then. */
typedef void backend_done_cb(enum backend_end end, const char *why, void *owner);

/* DONE is called from the loop, never from within.  QUESTION is copied. */
struct backend_call *backend_ask(struct backends *backends,
				 const struct backend_question *question,
				 backend_done_cb *done, void *owner) MUST_CHECK;

/* DONE will not be called.  NULL is fine. */
void backend_cancel(struct backend_call *call);

/*
 * For protocols in which the server has a say before all is sent; within begin() and
 * answer() alone.
 *
 * No more of the message than BYTES goes out, until another call says otherwise: all of it,
 * unless begin() has said less.  What answer() puts into the output is sent.
 */
void backend_limit(struct backend_call *call, uint64_t bytes);
struct evbuffer *backend_output(struct backend_call *call);

/* The server it talks to wants no more than MOST connections at the same time; 0: as many as
 * there are.  Who comes when all are full waits. */
void backend_most(struct backend_call *call, unsigned most);

/* What has come so far is not of the answer to the message: if that does not come, another
 * server may be asked. */
void backend_dismiss(struct backend_call *call);

/* The server that it talks to, as the list has it; "" if none. */
const char *backend_server(const struct backend_call *call);

#endif
