#ifndef STATESTORE_H
#define STATESTORE_H

#include "lockfile.h"
#include "ratestore.h"
#include "resolver.h"
#include "secret.h"

#include <event2/event.h>

/*
 * What several gateways share through a server of Redis or Valkey: who is locked out, and
 * what each client did.
 *
 * Nobody waits for it.  Locks are the files of each gateway and counts are in its memory,
 * and both answer at once; what the others have reaches them from here.  A server that is
 * slow, gone, or refuses what it is told, is said once and tried again: until then each
 * gateway goes on by itself, and afterwards they agree again.
 *
 * All that is shared can be told twice, and in any order.  Each gateway keeps what it has
 * counted itself under its own name, and only that, so that nothing counts twice, and a
 * server that has lost everything gets it again.  A lock is what became of it last.
 */
struct statestore;

struct statestore_setup {
	const char *server;		/* see stateurl.h; all of these are copied */
	const char *password_file;	/* "": none */
	const char *prefix;		/* of all keys */
	const char *ca_file;		/* "": the system's */
	unsigned seconds;		/* for one answer */
	const char *identity_path;	/* directory of the gateway's name; "": none */
};

/* Reads the password, while that can be read.  NULL: WHY. */
struct statestore *statestore_new(const struct statestore_setup *setup, char *why,
				  size_t why_size) MUST_CHECK;

/* Before statestore_start(); each once. */
void statestore_share_counts(struct statestore *store, struct ratestore *rates);
void statestore_share_locks(struct statestore *store, const char *path,
			    const struct lockfile_rules *rules);
void statestore_set_locks(struct statestore *store, const struct lockfile_rules *rules);

/* Calls the server from now on.  RESOLVER must live as long. */
void statestore_start(struct statestore *store, struct event_base *base,
		      struct resolver *resolver);

/* Another process goes on in our place: hangs up, for good.  NULL is fine. */
void statestore_leave(struct statestore *store);

/* What has been counted has a second to go out, while the loop turns.  NULL is fine. */
void statestore_finish(struct statestore *store);

/* Before what is shared is freed.  NULL is fine. */
void statestore_free(struct statestore *store);

#endif
