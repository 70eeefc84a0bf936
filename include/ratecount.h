#ifndef RATECOUNT_H
#define RATECOUNT_H

#include "xalloc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * How often something happened within the last period; and whom somebody called.
 *
 * A period is counted in RATE_PARTS parts, and the part that is under way is one more.
 * What happened is forgotten with its part: at the earliest a period later, at the latest
 * a period and a part.  So there is no span of a period, wherever it begins, in which more
 * is counted than a limit allows.
 *
 * Times are milliseconds since 1970, given by the caller, for counts outlive the process.
 * A clock that is put back makes the newest part longer; one that was put back by more
 * than all that is counted makes a new beginning.
 */
enum rate {
	RATE_CONNECTIONS,
	RATE_MESSAGES,
	RATE_RECIPIENTS,
	RATE_BYTES,
	RATE_MAILFROM_REJECTS,
	RATE_RCPTTO_REJECTS,
	RATE_AUTH_REJECTS,
	RATES,
};

enum {
	RATE_PARTS = 4,
	RATE_SLOTS = RATE_PARTS + 1,
	RATE_HOST_SIZE = 16,
	RATE_SERVERS_MAX = 1024,
};

struct rate_server {
	uint8_t host[RATE_HOST_SIZE];	/* IPv6, or IPv4 in IPv6 */
	int64_t used;			/* when it was called last */
};

struct rate_record {			/* all zero: nothing has happened */
	int64_t part_ms;		/* length of a part */
	int64_t newest;			/* when the newest part began: a multiple of it */
	int64_t touched;		/* when something was counted last */
	uint64_t at[RATE_SLOTS][RATES];	/* newest part first */
	struct rate_server *servers;	/* owned */
	uint32_t server_count;
	uint32_t generation;		/* the caller's */
};

/* How long a part is. */
int64_t rate_part_ms(int64_t period_ms);

/* Lets time pass; a record that was made with another period is taken over as it is. */
void rate_record_advance(struct rate_record *record, int64_t period_ms, int64_t now);

/* To the newest part.  Never wraps around. */
void rate_record_add(struct rate_record *record, enum rate rate, uint64_t amount);

uint64_t rate_record_sum(const struct rate_record *record, enum rate rate);

/* Adds all of FROM, which has been advanced with the same period. */
void rate_record_merge(struct rate_record *record, const struct rate_record *from);

/* NULL: it has not been called. */
struct rate_server *rate_record_server(const struct rate_record *record,
				       const uint8_t host[static RATE_HOST_SIZE]);
/* Called at USED.  Of more than RATE_SERVERS_MAX the one that was called longest ago makes
 * room. */
void rate_record_call(struct rate_record *record,
		      const uint8_t host[static RATE_HOST_SIZE], int64_t used);
/* Forgets servers that were called last before BEFORE. */
void rate_record_forget(struct rate_record *record, int64_t before);

/* Leaves it all zero. */
void rate_record_clear(struct rate_record *record);

/* Copies, the servers too; TO had none. */
void rate_record_copy(struct rate_record *to, const struct rate_record *from);

/* For keeping, on this machine: its byte order is the machine's.  Returns the size, at most
 * RATE_ENCODED_MAX. */
enum {
	RATE_ENCODED_MAX = 64 + RATE_SLOTS * RATES * 8 +
			   RATE_SERVERS_MAX * (int)sizeof(struct rate_server),
};
size_t rate_record_encode(const struct rate_record *record, void *to, size_t room);

/* False: it is none; RECORD is all zero then. */
bool rate_record_decode(struct rate_record *record, const void *from,
			size_t size) MUST_CHECK;

#endif
