#ifndef BACKEND_INTERNAL_H
#define BACKEND_INTERNAL_H

#include "backend.h"
#include "backoff.h"

#include "conn.h"

#include <assert.h>
#include <event2/event_struct.h>
#include <sys/queue.h>
#include <sys/un.h>

/*
 * For backend*.c alone:
 *
 *   backend.c         calls: the servers one after another
 *   backend_talk.c    a talk with one of them
 *   backend_server.c  servers: which are down, until when, and what is said of it
 */

/* Where a server is: one of both. */
struct backend_place {
	struct addr addr;	/* no address: a socket */
	struct sockaddr_un path;
};

/* Of TEXT as options have it; PORT for one that has none.  False: it is no place. */
bool backend_place_read(struct backend_place *place, const char *text,
			uint16_t port) MUST_CHECK;

/* One server of one engine.  There are only those that a call knows, or that are down. */
struct backend_server {
	TAILQ_ENTRY(backend_server) link;
	const struct backend_engine *engine;
	char *name;		/* as its option has it, owned */
	unsigned calls;		/* that hold it */
	unsigned talks;		/* of these, that ask it now */
	unsigned most;		/* of talks; 0: any number */
	int64_t asked_us;	/* when it was last looked for, */
	int64_t answered_us;	/* and when it last answered */
	struct backoff backoff;
	bool was_missed;	/* when it was found to be down: not reached at all */
};

/* How patient we are; tests are less so. */
struct backend_pace {
	int64_t first_us;	/* how long a server is left alone at first */
	int64_t most_us;	/* and after many failures */
	int64_t connect_us;	/* longest that a connection may take */
};
extern struct backend_pace backend_pace;

enum {
	BACKEND_DOUBTS = 3,	/* failures in a row that do not come of the message */
};

struct backends {
	struct event_base *base;
	TAILQ_HEAD(backend_servers, backend_server) servers;
	unsigned calls;
};

/* The one of ENGINE that its option calls NAME; made if need be, and held. */
struct backend_server *backend_server_hold(struct backends *backends,
					   const struct backend_engine *engine,
					   const char *name);
void backend_server_drop(struct backends *backends, struct backend_server *server);

void backend_servers_free(struct backends *backends);

/* True if a call may ask it now: it is up, or it is time that someone tries. */
bool backend_server_is_ready(const struct backend_server *server, int64_t now_us);

bool backend_server_is_full(const struct backend_server *server);

/* What a call has seen of a server that it held.  TRIED: it was the one that tried. */
void backend_server_begin(struct backend_server *server, bool *tried);
void backend_server_reached(struct backend_server *server, bool tried);
void backend_server_answered(struct backend_server *server, bool tried);
/* No answer in time, since then; unless it has answered others meanwhile, it has failed. */
void backend_server_slow(struct backend_server *server, bool tried, int64_t since_us);
void backend_server_missed(struct backend_server *server, bool tried, const char *why);
void backend_server_failed(struct backend_server *server, bool tried, const char *why);
void backend_server_left(struct backend_server *server, bool tried); /* none of these */

/* ---- calls ------------------------------------------------------------------------------ */

enum {
	BACKEND_WHY_SIZE = 256,
};

struct backend_call {
	struct backends *backends;
	struct backend_question question;
	backend_done_cb *done;
	void *owner;
	struct backend_server **servers; /* of the question, in its order; held */
	size_t count, at;                /* AT: talks to this one; COUNT: to none */
	bool *asked;                     /* those that have had their chance */
	bool tried;                      /* this one was down */
	struct conn *conn;               /* NULL: not yet, or not any more */
	struct event turn;               /* goes on when the loop turns */
	struct event late;               /* for all of it */
	struct event attempt;            /* for this server */
	int64_t deadline_us, begun_us; /* of this server's turn */
	uint64_t limit, sent; /* bytes of what is sent of the spool */
	uint64_t dismissed;   /* bytes that came, and are not of the answer */
	bool is_connected, is_sent;
	bool was_connected; /* to any of them */
	char why[BACKEND_WHY_SIZE]; /* what the last one that failed lacked */
};

/* The server that it talks to: there is one. */
static inline struct backend_server *
backend_call_server(const struct backend_call *call)
{
	assert(call->at < call->count);
	return call->servers[call->at];
}

/* The index of the next server to ask, or COUNT. */
size_t backend_call_next(const struct backend_call *call);

/* How a talk has ended.  The call may be gone afterwards, or talk to the next server. */
void backend_call_answered(struct backend_call *call);
void backend_call_again(struct backend_call *call);
/* The server was not reached; failed, and another may be asked or not; has gone. */
void backend_call_miss(struct backend_call *call, const char *what);
void backend_call_fail(struct backend_call *call, const char *what, bool may_ask_others);
void backend_call_lose(struct backend_call *call, const char *what);
/* It is not to blame. */
void backend_call_fail_ourselves(struct backend_call *call, const char *what, int error);

/* ---- talks ------------------------------------------------------------------------------ */

/* Of a connection that is made, its owner being a call. */
extern const struct conn_events backend_talk_events;

/* It is connected.  The call may be gone afterwards, as above; so it may be here: */
void backend_talk_begin(struct backend_call *call);

/* Sends what can be sent now. */
void backend_talk_on(struct backend_call *call);

#endif
