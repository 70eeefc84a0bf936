#include "ratecount.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- time --------------------------------------------------------------------------- */

int64_t
rate_part_ms(int64_t period_ms)
{
	return (period_ms + RATE_PARTS - 1) / RATE_PARTS;
}

static void
move(struct rate_record *record, int64_t steps)
{
	size_t by = steps < RATE_SLOTS ? (size_t)steps : RATE_SLOTS;

	memmove(record->at[by], record->at[0],
	        (RATE_SLOTS - by) * sizeof(record->at[0]));
	memset(record->at[0], 0, by * sizeof(record->at[0]));
}

static uint64_t
sum_of(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static void
add_slot(uint64_t to[static RATES], const uint64_t from[static RATES])
{
	for (int rate = 0; rate < RATES; rate++)
		to[rate] = sum_of(to[rate], from[rate]);
}

/* Puts what was counted in parts of another length to where it ended: it stays a little
 * longer rather than too short. */
static void
cut_anew(struct rate_record *record, int64_t part_ms, int64_t now)
{
	struct rate_record fresh = *record;

	memset(fresh.at, 0, sizeof(fresh.at));
	fresh.part_ms = part_ms;
	fresh.newest = now / part_ms * part_ms;
	for (int i = 0; i < RATE_SLOTS && record->part_ms > 0; i++) {
		int64_t end = record->newest + (1 - i) * record->part_ms - 1;
		int64_t age;

		end = end > now ? now : end;
		age = (fresh.newest - end / part_ms * part_ms) / part_ms;
		if (age < RATE_SLOTS)
			add_slot(fresh.at[age], record->at[i]);
	}
	*record = fresh;
}

void
rate_record_advance(struct rate_record *record, int64_t period_ms, int64_t now)
{
	int64_t part_ms = rate_part_ms(period_ms), steps;

	assert(part_ms > 0 && now >= 0);
	if (record->part_ms != part_ms)
		cut_anew(record, part_ms, now);
	steps = now / part_ms - record->newest / part_ms;
	if (steps < -RATE_SLOTS)
		steps = RATE_SLOTS; /* it was counted in a future that is none any more */
	else if (steps <= 0)
		return;
	move(record, steps);
	record->newest = now / part_ms * part_ms;
}

/* ---- counting ------------------------------------------------------------------------- */

void
rate_record_add(struct rate_record *record, enum rate rate, uint64_t amount)
{
	record->at[0][rate] = sum_of(record->at[0][rate], amount);
}

uint64_t
rate_record_sum(const struct rate_record *record, enum rate rate)
{
	uint64_t sum = 0;

	for (int i = 0; i < RATE_SLOTS; i++)
		sum = sum_of(sum, record->at[i][rate]);
	return sum;
}

void
rate_record_merge(struct rate_record *record, const struct rate_record *from)
{
	int64_t part_ms = record->part_ms, steps;

	assert(part_ms > 0 && part_ms == from->part_ms);
	if (from->newest > record->newest) {
		move(record, (from->newest - record->newest) / part_ms);
		record->newest = from->newest;
	}
	steps = (record->newest - from->newest) / part_ms;
	for (int64_t i = 0; i + steps < RATE_SLOTS; i++)
		add_slot(record->at[i + steps], from->at[i]);
	if (from->touched > record->touched)
		record->touched = from->touched;
	for (uint32_t i = 0; i < from->server_count; i++)
		rate_record_call(record, from->servers[i].host, from->servers[i].used);
}

/* ---- servers ---------------------------------------------------------------------------- */

struct rate_server *
rate_record_server(const struct rate_record *record,
                   const uint8_t host[static RATE_HOST_SIZE])
{
	for (uint32_t i = 0; i < record->server_count; i++)
		if (memcmp(record->servers[i].host, host, RATE_HOST_SIZE) == 0)
			return &record->servers[i];
	return NULL;
}

static struct rate_server *
oldest(const struct rate_record *record)
{
	struct rate_server *oldest = record->servers;

	for (uint32_t i = 1; i < record->server_count; i++)
		if (record->servers[i].used < oldest->used)
			oldest = &record->servers[i];
	return oldest;
}

static struct rate_server *
room_for_server(struct rate_record *record)
{
	uint32_t count = record->server_count;

	if (count == RATE_SERVERS_MAX)
		return oldest(record);
	/* 1, 2, 4, 8 ...: no other size is ever needed. */
	if ((count & (count - 1)) == 0)
		record->servers = xrealloc(record->servers,
		                           (count ? 2 * count : 1) *
		                                   sizeof(*record->servers));
	return &record->servers[record->server_count++];
}

void
rate_record_call(struct rate_record *record, const uint8_t host[static RATE_HOST_SIZE],
                 int64_t used)
{
	struct rate_server *server = rate_record_server(record, host);

	if (!server) {
		server = room_for_server(record);
		memcpy(server->host, host, RATE_HOST_SIZE);
		server->used = used;
	}
	if (server->used < used)
		server->used = used;
}

/* Gives a list the size that room_for_server() expects of its count. */
static struct rate_server *
list_of(const void *from, uint32_t count)
{
	struct rate_server *list;
	uint32_t size = 1;

	if (count == 0)
		return NULL;
	while (size < count)
		size *= 2;
	list = xmalloc(size * sizeof(*list));
	memcpy(list, from, count * sizeof(*list));
	return list;
}

void
rate_record_forget(struct rate_record *record, int64_t before)
{
	struct rate_server *all = record->servers;
	uint32_t left = 0;

	for (uint32_t i = 0; i < record->server_count; i++)
		if (all[i].used >= before)
			all[left++] = all[i];
	if (left == record->server_count)
		return;
	record->servers = list_of(all, left);
	record->server_count = left;
	free(all);
}

void
rate_record_clear(struct rate_record *record)
{
	free(record->servers);
	*record = (struct rate_record){ 0 };
}

void
rate_record_copy(struct rate_record *to, const struct rate_record *from)
{
	*to = *from;
	to->servers = list_of(from->servers, from->server_count);
}

/* ---- keeping ------------------------------------------------------------------------------ */

enum {
	LAYOUT = 0x52430001, /* what follows; another one is another number */
};

/* Then the counts that are not 0, in the order of the bits of FILLED; then the servers. */
struct header {
	uint32_t layout, generation;
	int64_t part_ms, newest, touched;
	uint64_t filled;
	uint64_t server_count;
};

_Static_assert(RATE_SLOTS *RATES <= 64, "a bit for each count");
_Static_assert(sizeof(struct header) <= 64, "RATE_ENCODED_MAX");

size_t
rate_record_encode(const struct rate_record *record, void *to, size_t room)
{
	const uint64_t *counts = &record->at[0][0];
	size_t servers = record->server_count * sizeof(*record->servers);
	struct header head = { .layout = LAYOUT,
		               .generation = record->generation,
		               .part_ms = record->part_ms,
		               .newest = record->newest,
		               .touched = record->touched,
		               .server_count = record->server_count };
	char *at = (char *)to + sizeof(head);

	assert(room >= RATE_ENCODED_MAX);
	for (int i = 0; i < RATE_SLOTS * RATES; i++) {
		if (counts[i] == 0)
			continue;
		head.filled |= UINT64_C(1) << i;
		memcpy(at, &counts[i], sizeof(counts[i]));
		at += sizeof(counts[i]);
	}
	memcpy(to, &head, sizeof(head));
	if (servers > 0)
		memcpy(at, record->servers, servers);
	return (size_t)(at - (char *)to) + servers;
}

static bool
is_sound(const struct header *head, size_t size)
{
	size_t counts = (size_t)__builtin_popcountll(head->filled) * sizeof(uint64_t);

	return head->layout == LAYOUT && head->filled >> (RATE_SLOTS * RATES) == 0 &&
	       head->server_count <= RATE_SERVERS_MAX && head->part_ms > 0 &&
	       head->newest >= 0 && head->touched >= 0 &&
	       head->part_ms <= INT64_MAX / 16 && head->newest <= INT64_MAX / 16 &&
	       size == sizeof(*head) + counts +
	                       head->server_count * sizeof(struct rate_server);
}

bool
rate_record_decode(struct rate_record *record, const void *from, size_t size)
{
	const char *at = (const char *)from + sizeof(struct header);
	uint64_t *counts = &record->at[0][0];
	struct header head;

	*record = (struct rate_record){ 0 };
	if (size < sizeof(head))
		return false;
	memcpy(&head, from, sizeof(head));
	if (!is_sound(&head, size))
		return false;
	record->part_ms = head.part_ms;
	record->newest = head.newest;
	record->touched = head.touched;
	record->generation = head.generation;
	for (int i = 0; i < RATE_SLOTS * RATES; i++)
		if (head.filled >> i & 1) {
			memcpy(&counts[i], at, sizeof(counts[i]));
			at += sizeof(counts[i]);
		}
	record->server_count = (uint32_t)head.server_count;
	record->servers = list_of(at, record->server_count);
	return true;
}
