#ifndef SESSION_H
#define SESSION_H

#include "addr.h"
#include "check.h"
#include "config.h"
#include "reaction.h"
#include "resolver.h"
#include "spool.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * One client, one server, and the talk between them.
 */
struct sessions;		/* the registry: all sessions of the process */

/* What sessions work with.  All but CFG outlives them; CFG, that of the main part, is held
 * by the registry, and each session holds that of its listener or policy. */
struct session_world {
	struct event_base *base;
	struct config *cfg;
	struct checks *checks;
	struct reactions *reactions;
	struct spool_budget *budget;
	struct resolver *resolver;
};

/* EMPTIED is called from the loop whenever the last session has gone. */
struct sessions *sessions_new(const struct session_world *world,
			      void (*emptied)(void *arg), void *arg);

/* Ends every session at once (clients that can still read get 421) and frees. */
void sessions_free(struct sessions *all);

/* Sessions under way. */
unsigned sessions_count(const struct sessions *all);	/* NULL: none */

/* Sessions born from now on are born with CFG, which is held; the old one is dropped. */
void sessions_reconfigure(struct sessions *all, struct config *cfg);

/* What there is to be said of one session. */
struct session_info {
	const char *id;
	const char *state;		/* the word of the log */
	const char *listener;
	const char *policy;		/* NULL: none */
	struct addr client, server;	/* server: no address while it is not known */
	const char *ident;		/* as a helper says; may be empty */
	uint64_t client_received, server_received;	/* bytes that came from each */
	int64_t age_ms;
	unsigned mail;			/* number of the mail under way, or of the last */
	bool auth_offered;		/* by the server */
	bool authenticated;
};

/* Calls EACH for every session, oldest first. */
void sessions_each(const struct sessions *all,
		   void (*each)(const struct session_info *info, void *arg), void *arg);

/* A client has come: FD (non-blocking) is the session's from now on.  LISTENER is the
 * snapshot of the listener that it came to, from what sessions_reconfigure() was given
 * last. */
void session_begin(struct sessions *all, struct config *listener, int fd,
		   const struct addr *client);

/* A client has come, and FD is the last descriptor that there was: it is closed, with a
 * word to the client. */
void session_begin_not(struct sessions *all, const struct config *listener, int fd,
		       const struct addr *client);

/* Descriptors that so many sessions at one time may need, and sessions that there can be
 * with so many descriptors. */
uint64_t sessions_descriptors(int64_t sessions);
unsigned sessions_possible(uint64_t descriptors);

#endif
