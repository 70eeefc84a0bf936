#ifndef BACKEND_INTERNAL_H
#define BACKEND_INTERNAL_H

#include "backend.h"

#include <sys/queue.h>
#include <sys/un.h>

/*
 * For backend*.c alone:
 *
 *   backend.c         calls: the servers one after another, one conversation with each
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
	unsigned strikes;	/* times in a row that it was found to be down */
	unsigned doubts;	/* since it answered last */
	int64_t until_us;	/* is left alone until then; 0: it is up */
	int64_t asked_us;	/* when it was last looked for */
	bool on_trial;		/* it was down, and a call tries it */
	bool was_missed;	/* when it was found to be down: not reached at all */
	bool was_said;		/* in the log, that it is down */
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

/* What a call has seen of a server that it held.  TRIED: it was the one that tried. */
void backend_server_begin(struct backend_server *server, bool *tried);
void backend_server_reached(struct backend_server *server, bool tried);
void backend_server_answered(struct backend_server *server, bool tried);
void backend_server_missed(struct backend_server *server, bool tried, const char *why);
void backend_server_failed(struct backend_server *server, bool tried, const char *why);
void backend_server_left(struct backend_server *server, bool tried); /* none of these */

#endif
