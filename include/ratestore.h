#ifndef RATESTORE_H
#define RATESTORE_H

#include "addr.h"
#include "ratecount.h"

#include <event2/event.h>
#include <stdio.h>

/*
 * What each client did within the last period: in memory, kept in a file.
 *
 * Every question is answered at once, from memory.  What has been counted since goes to the
 * file in a thread, once a second while there is something: sums go out as what is to be
 * added, and come back as what the file has by then, so that two processes (one that is
 * being replaced and its successor) count together.  Nobody waits for a disk.  A store that
 * is elsewhere (ratestore_internal.h: what keeps) fits in the same way: it gets what is to
 * be added and answers later.
 *
 * A file that fails is logged, and counting goes on in memory.  There are MOST clients at
 * most: then the one that was quiet longest is forgotten.
 *
 * NOW: milliseconds since 1970.
 */
struct ratestore;

struct ratestore_setup {
	const char *path;	/* a directory, which exists; copied */
	int64_t period_ms;
	int64_t servers_ms;	/* how long a server is remembered; 0: none is */
	uint32_t generation;	/* counts of another are as if they were none */
	size_t most;		/* clients */
	size_t room;		/* bytes of the file at first; 0: what MOST needs */
	size_t most_room;	/* that it may grow to; 0: a lot more */
};

/* Who is counted: an address, IPv6 by its first bits, and who is there as a helper says. */
enum {
	RATE_KEY_SIZE = 88,
};

struct rate_key {
	size_t size;
	char at[RATE_KEY_SIZE];	/* zero behind SIZE */
};

struct rate_key rate_key_of(const struct addr *client, unsigned prefix6,
			    const char *ident);

/* A wall clock for NOW. */
int64_t ratestore_now(void);

/*
 * Can the file be had, and is it whole?  A damaged one is looked at in a process of its
 * own, which may die of it; it is moved aside, which is logged.  False: WHY.  Before there
 * are threads, and before ratestore_begin().
 */
bool ratestore_ready(const char *path, char *why, size_t why_size) MUST_CHECK;

struct ratestore *ratestore_new(const struct ratestore_setup *setup);

/* Reads the file and starts the thread; after this the process must not fork.  False:
 * errno. */
bool ratestore_begin(struct ratestore *store, struct event_base *base,
		     int64_t now) MUST_CHECK;

/* Writes what is left.  NULL is fine. */
void ratestore_free(struct ratestore *store);

/* Another limit takes effect with the next client. */
void ratestore_set_most(struct ratestore *store, size_t most);

/* If it is another, all counts begin anew. */
void ratestore_set_generation(struct ratestore *store, uint32_t generation);

/* Counts AMOUNT unless that would be more than LIMIT (0: there is none) within a period:
 * false, and nothing is counted. */
bool ratestore_take(struct ratestore *store, const struct rate_key *key, enum rate rate,
		    uint64_t amount, uint64_t limit, int64_t now) MUST_CHECK;

/* Would it? */
bool ratestore_has_room(struct ratestore *store, const struct rate_key *key,
			enum rate rate, uint64_t amount, uint64_t limit,
			int64_t now) MUST_CHECK;

/* Counts what has happened. */
void ratestore_note(struct ratestore *store, const struct rate_key *key,
		    enum rate rate, uint64_t amount, int64_t now);

/* Remembers that SERVER is called unless it is one more than LIMIT (0: there is none):
 * false. */
bool ratestore_call(struct ratestore *store, const struct rate_key *key,
		    const struct addr *server, uint64_t limit,
		    int64_t now) MUST_CHECK;

/* Clients in memory. */
size_t ratestore_clients(const struct ratestore *store);

/* Waits until what has been counted is in the file, or cannot be: false. */
bool ratestore_flush(struct ratestore *store, int64_t now);

/* Another process counts from now on: it finds all in the file.  In that one: reads the file
 * once more, before anything is counted. */
void ratestore_hand_over(struct ratestore *store, int64_t now);
void ratestore_take_over(struct ratestore *store, int64_t now);

/*
 * Sharing with other gateways (statestore.h): what is counted here goes out, client by
 * client, and what all of the others have counted comes in, and counts for limits as well.
 * It is not in the file, which has what was counted here.
 *
 * A client that comes is told, and asked for, at once, unless that was done within the
 * last second; whatever it did is, within a second.
 */
typedef void ratestore_wake_cb(void *arg);

enum {
	RATESTORE_SHARE_MS = 1000,
};

/* WAKE is called when there is something that is to be told at once.  NULL: no more. */
void ratestore_share(struct ratestore *store, ratestore_wake_cb *wake, void *arg);

/* The next client: KEY, and in OWN, to be cleared, what it did here.  False: there is none;
 * with AT_ONCE, none that cannot wait. */
bool ratestore_share_next(struct ratestore *store, bool at_once, int64_t now,
			  struct rate_key *key, struct rate_record *own) MUST_CHECK;

/* It could not be told: again, later; all of them. */
void ratestore_share_again(struct ratestore *store, const struct rate_key *key);
void ratestore_share_all(struct ratestore *store);

/* True if any wait. */
bool ratestore_has_news(const struct ratestore *store);

/* What the others have, all together, advanced to now; it is taken over. */
void ratestore_take_others(struct ratestore *store, const struct rate_key *key,
			   struct rate_record *others);

/* How long counts of a client can matter. */
int64_t ratestore_lifetime(const struct ratestore *store);
const struct ratestore_setup *ratestore_setup_of(const struct ratestore *store);

/*
 * For another process: reads the file as it is.  Calls EACH for whatever is kept of the
 * client CLIENT, with each of its idents; RECORD lives until the call returns.  Nothing is
 * made or changed.  False: WHY.
 */
typedef void ratestore_each_cb(const char *ident, struct rate_record *record, void *arg);

bool ratestore_look(const char *path, const struct addr *client, unsigned prefix6,
		    ratestore_each_cb *each, void *arg, char *why,
		    size_t why_size) MUST_CHECK;

/* For the process that does it, since it may die of a damaged file: nobody reports that, and
 * it does not take for ever. */
void ratestore_die_quietly(void);

#endif
