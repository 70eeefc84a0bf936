#ifndef STATECODE_H
#define STATECODE_H

#include "ratecount.h"

/*
 * What gateways tell each other, in bytes: what one of them has counted of a client, and
 * what became of a lock.  What comes from there is looked at as if anybody had written it.
 */

/* ---- counts ----------------------------------------------------------------------------- */

enum {
	STATECODE_RECORD_MAX = 16 + 5 + RATE_SLOTS * RATES * 10 +
			       RATE_SERVERS_MAX * (RATE_HOST_SIZE + 10),
};

/* Counts that no limit can be meant for are no counts. */
#define STATECODE_COUNT_MOST (UINT64_C(1) << 51)

/* Returns the size, at most STATECODE_RECORD_MAX. */
size_t statecode_put_record(const struct rate_record *record,
			    char to[static STATECODE_RECORD_MAX]);

/* False: it is none, and RECORD all zero.  When it was touched, and of which generation it
 * is, is not told. */
bool statecode_take_record(struct rate_record *record, const char *from,
			   size_t size) MUST_CHECK;

/* ---- locks ------------------------------------------------------------------------------ */

enum {
	STATECODE_WORDS_SIZE = 256,
	STATECODE_LOCK_SIZE = STATECODE_WORDS_SIZE + 32,
};

struct state_lock {
	int64_t when;		/* it was made or removed: milliseconds since 1970 */
	bool is_locked;
	char words[STATECODE_WORDS_SIZE];	/* why */
};

/* As text: "WHEN + WORDS", with "-" if it was removed.  Returns the size. */
size_t statecode_put_lock(const struct state_lock *lock,
			  char to[static STATECODE_LOCK_SIZE]);
bool statecode_take_lock(struct state_lock *lock, const char *from, size_t size) MUST_CHECK;

#endif
