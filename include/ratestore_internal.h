#ifndef RATESTORE_INTERNAL_H
#define RATESTORE_INTERNAL_H

#include "ratestore.h"
#include "siphash.h"
#include "workers.h"

#include <sys/queue.h>

/*
 * ratestore.c: what is in memory.
 */
struct rate_entry {
	TAILQ_ENTRY(rate_entry) link;	/* by when they were touched, newest first */
	TAILQ_ENTRY(rate_entry) dirty;	/* while MORE is there */
	struct rate_entry *next;	/* of the same bucket */
	struct rate_record all;		/* what the file had, and what has come since */
	struct rate_record *more;	/* of these, what no batch has taken yet; or NULL */
	TAILQ_ENTRY(rate_entry) share;	/* while it is to be told */
	enum rate_share {
		RATE_SHARE_NO,
		RATE_SHARE_LATER,
		RATE_SHARE_NOW,
	} sharing;
	int64_t shared;			/* when it was told last */
	struct rate_record *others;	/* what other gateways have counted, or NULL */
	struct rate_item *item;		/* in the batch that is on its way, or NULL */
	bool is_kept;			/* the file may have it */
	uint8_t size;
	char key[];
};

TAILQ_HEAD(rate_entries, rate_entry);

struct rate_forgotten {
	STAILQ_ENTRY(rate_forgotten) link;
	int64_t touched;
	struct rate_key key;
};

struct ratestore {
	struct ratestore_setup setup;
	char *path;
	struct siphash_key secret;
	struct rate_entry **buckets;
	size_t mask, count;
	struct rate_entries by_time, dirty;
	struct rate_entries share_later, share_now;
	ratestore_wake_cb *wake;	/* NULL: nothing is shared */
	void *wake_arg;
	STAILQ_HEAD(, rate_forgotten) forgotten; /* that the file may still have */
	size_t forgotten_count;
	struct event_base *base;	/* NULL until it begins */
	struct event *flush, *sweep;
	struct workers *workers;
	struct ratefile *file;		/* NULL: there is none */
	struct rate_job *job;		/* on its way, or NULL */
	bool failed;			/* the file; it has been said */
	int64_t full_said;
};

struct rate_entry *ratestore_insert(struct ratestore *store,
				    const struct rate_key *key);
/* Forgets what of it no batch has taken. */
void ratestore_settle(struct ratestore *store, struct rate_entry *entry);
/* All that is over or too much, at once: nobody is served yet. */
void ratestore_forget_old(struct ratestore *store, int64_t now);

struct rate_entry *ratestore_find(const struct ratestore *store,
				  const struct rate_key *key);

/*
 * ratestore_share.c: from there to other gateways, and back.
 */

/* It has come, or done something; it is about to go. */
void ratestore_share_entry(struct ratestore *store, struct rate_entry *entry,
			   int64_t now);
void ratestore_unshare(struct ratestore *store, struct rate_entry *entry);

/* What others have counted of it, and OWN. */
uint64_t ratestore_others_sum(struct ratestore *store, const struct rate_entry *entry,
			      enum rate rate, int64_t now, uint64_t own);
/* Servers that it called by way of others alone; and is HOST one of these? */
uint64_t ratestore_others_servers(const struct rate_entry *entry);
bool ratestore_others_call(const struct rate_entry *entry,
			   const uint8_t host[static RATE_HOST_SIZE]);

/*
 * ratestore_keep.c: from there to what keeps it, and back.
 */
void ratestore_plan_flush(struct ratestore *store);

/* ratestore_keep.c: reads all that is in the file; there must be none of it yet.  False:
 * WHY. */
bool ratestore_read(struct ratestore *store, int64_t now, char *why,
		    size_t why_size) MUST_CHECK;
void ratestore_on_flush(evutil_socket_t fd, short what, void *store);
/* The entry is about to go: the file shall not have it either. */
void ratestore_unkeep(struct ratestore *store, const struct rate_entry *entry);
bool ratestore_load(struct ratestore *store, int64_t now, char *why,
		    size_t why_size) MUST_CHECK;

/*
 * What keeps the counts: a file of LMDB.
 *
 * Everything but ratefile_open() may be called in any thread, by one at a time.
 */
#define RATEFILE_DATA "data.mdb"

struct ratefile;

/* One client in a batch that goes out. */
struct rate_item {
	struct rate_key key;
	bool forget;			/* it is to be deleted, unless others have touched it since */
	struct rate_record record;	/* what is to be added; then what there is */
	void *owner;			/* the store's */
};

struct rate_batch {
	size_t count;
	struct rate_item *items;
	int64_t now, period_ms, servers_ms;
	uint32_t generation;
};

/* NULL: WHY, and *DAMAGED if that is not the world's fault but the file's. */
struct ratefile *ratefile_open(const char *path, size_t room, size_t most_room,
			       bool *damaged, char *why, size_t why_size) MUST_CHECK;
void ratefile_close(struct ratefile *file);	/* NULL is fine */

/* Reads all of it, and begins to write.  WHY, unless it is good.  May die of it. */
enum ratefile_state {
	RATEFILE_GOOD,
	RATEFILE_DAMAGED,
	RATEFILE_FAILED,		/* by permission, or for want of something */
};

enum ratefile_state ratefile_examine(const char *path, char *why, size_t why_size);

/* All or nothing, and on disk when it returns.  False: WHY, and no item has changed. */
bool ratefile_write(struct ratefile *file, struct rate_batch *batch, char *why,
		    size_t why_size) MUST_CHECK;

/* Calls EACH for all that begins with PREFIX.  RECORD is EACH's to keep or clear.  False:
 * WHY. */
typedef void ratefile_each_cb(const struct rate_key *key, struct rate_record *record,
			      void *arg);
bool ratefile_each(struct ratefile *file, const struct rate_key *prefix,
		   ratefile_each_cb *each, void *arg, char *why,
		   size_t why_size) MUST_CHECK;

/* Puts words into WHY.  Returns false. */
bool PRINTF(3, 4) ratefile_fail(char *why, size_t why_size, const char *format, ...);

#endif
