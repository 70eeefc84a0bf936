#include "statecode.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- numbers: seven bits a byte, the lowest first --------------------------------------- */

static char *
put_number(char *to, uint64_t number)
{
	for (; number >= 0x80; number >>= 7)
		*to++ = (char)(number | 0x80);
	*to++ = (char)number;
	return to;
}

struct reader {
	const unsigned char *at, *end;
	bool failed;
};

static uint64_t
take_number(struct reader *reader)
{
	uint64_t number = 0;

	for (unsigned shift = 0; shift < 63 && reader->at < reader->end; shift += 7) {
		unsigned char byte = *reader->at++;

		number |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return number;
	}
	reader->failed = true;
	return 0;
}

/* At most MOST. */
static uint64_t
take_upto(struct reader *reader, uint64_t most)
{
	uint64_t number = take_number(reader);

	if (number > most)
		reader->failed = true;
	return reader->failed ? 0 : number;
}

/* ---- counts ----------------------------------------------------------------------------- */

enum {
	LAYOUT = 1, /* another one begins with another byte */
};

static const uint64_t longest_ms = UINT64_C(1) << 40; /* of a part: 34 years */
static const uint64_t latest_ms = UINT64_C(1) << 48;

/*
 * LAYOUT, length of a part, number of the newest, a bit for each count that is not 0, these
 * counts; how many servers, and of each its address and when it was called.
 */
size_t
statecode_put_record(const struct rate_record *record,
                     char to[static STATECODE_RECORD_MAX])
{
	const uint64_t *counts = &record->at[0][0];
	uint64_t filled = 0;
	char *at = to;

	assert(record->part_ms > 0);
	for (int i = 0; i < RATE_SLOTS * RATES; i++)
		filled |= counts[i] > 0 ? UINT64_C(1) << i : 0;
	*at++ = LAYOUT;
	at = put_number(at, (uint64_t)record->part_ms);
	at = put_number(at, (uint64_t)(record->newest / record->part_ms));
	at = put_number(at, filled);
	for (int i = 0; i < RATE_SLOTS * RATES; i++)
		if (counts[i] > 0)
			at = put_number(at, counts[i] < STATECODE_COUNT_MOST
			                            ? counts[i]
			                            : STATECODE_COUNT_MOST);
	at = put_number(at, record->server_count);
	for (uint32_t i = 0; i < record->server_count; i++) {
		memcpy(at, record->servers[i].host, RATE_HOST_SIZE);
		at = put_number(at + RATE_HOST_SIZE, (uint64_t)record->servers[i].used);
	}
	return (size_t)(at - to);
}

static void
take_counts(struct rate_record *record, struct reader *reader)
{
	uint64_t filled = take_upto(reader, (UINT64_C(1) << (RATE_SLOTS * RATES)) - 1);
	uint64_t *counts = &record->at[0][0];

	for (int i = 0; i < RATE_SLOTS * RATES; i++)
		if (filled >> i & 1)
			counts[i] = take_upto(reader, STATECODE_COUNT_MOST);
}

static void
take_servers(struct rate_record *record, struct reader *reader)
{
	uint64_t count = take_upto(reader, RATE_SERVERS_MAX);
	uint8_t host[RATE_HOST_SIZE];

	for (uint64_t i = 0; i < count && !reader->failed; i++) {
		if (reader->end - reader->at < RATE_HOST_SIZE) {
			reader->failed = true;
			return;
		}
		memcpy(host, reader->at, sizeof(host));
		reader->at += sizeof(host);
		rate_record_call(record, host, (int64_t)take_upto(reader, latest_ms));
	}
}

bool
statecode_take_record(struct rate_record *record, const char *from, size_t size)
{
	struct reader reader = { .at = (const unsigned char *)from };
	uint64_t part, newest;

	reader.end = reader.at + size;
	*record = (struct rate_record){ 0 };
	if (size == 0 || *reader.at++ != LAYOUT)
		return false;
	part = take_upto(&reader, longest_ms);
	newest = take_upto(&reader, latest_ms);
	if (reader.failed || part == 0 || newest > latest_ms / part)
		return false;
	record->part_ms = (int64_t)part;
	record->newest = (int64_t)(newest * part);
	take_counts(record, &reader);
	take_servers(record, &reader);
	if (!reader.failed && reader.at == reader.end)
		return true;
	rate_record_clear(record);
	return false;
}

/* ---- locks ------------------------------------------------------------------------------ */

size_t
statecode_put_lock(const struct state_lock *lock, char to[static STATECODE_LOCK_SIZE])
{
	int size = snprintf(to, STATECODE_LOCK_SIZE, "%" PRId64 " %c %s", lock->when,
	                    lock->is_locked ? '+' : '-', lock->words);

	assert(size > 0 && size < STATECODE_LOCK_SIZE);
	return (size_t)size;
}

bool
statecode_take_lock(struct state_lock *lock, const char *from, size_t size)
{
	const char *end = from + size;
	uint64_t when = 0;
	size_t left;

	*lock = (struct state_lock){ 0 };
	for (; from < end && *from >= '0' && *from <= '9'; from++) {
		when = 10 * when + (uint64_t)(*from - '0');
		if (when > latest_ms)
			return false;
	}
	if (when == 0 || end - from < 3 || from[0] != ' ' || from[2] != ' ' ||
	    (from[1] != '+' && from[1] != '-'))
		return false;
	lock->when = (int64_t)when;
	lock->is_locked = from[1] == '+';
	left = (size_t)(end - from) - 3;
	if (left >= sizeof(lock->words))
		left = sizeof(lock->words) - 1;
	memcpy(lock->words, from + 3, left);
	return true;
}
