#include "resolver_internal.h"

#include "clock.h"
#include "stats.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/random.h>

/*
 * Answers that still hold: see resolver_internal.h.
 */
enum {
	ROWS = 4096,
	PIECE = 16, /* what malloc() adds to each */
};

struct entry {
	LIST_ENTRY(entry) beside; /* of the same row */
	TAILQ_ENTRY(entry) older; /* asked for before */
	enum resolver_type type;
	char *name;
	struct resolver_answer answer;
	int64_t over_ms;
	size_t cost;
};

struct resolver_cache {
	uint64_t secret; /* so that nobody can choose names for one row */
	size_t room, used;
	LIST_HEAD(, entry) rows[ROWS];
	TAILQ_HEAD(entries, entry) entries; /* the latest first */
};

struct resolver_cache *
resolver_cache_new(size_t bytes)
{
	struct resolver_cache *cache = xcalloc(1, sizeof(*cache));

	cache->room = bytes;
	if (getrandom(&cache->secret, sizeof(cache->secret), 0) < 0)
		cache->secret = (uint64_t)clock_us();
	TAILQ_INIT(&cache->entries);
	return cache;
}

static void
used(struct resolver_cache *cache, size_t more, size_t less)
{
	cache->used += more - less;
	stats_add(STAT_dns_cache, (int64_t)more - (int64_t)less);
}

static void
forget(struct resolver_cache *cache, struct entry *entry)
{
	used(cache, 0, entry->cost);
	LIST_REMOVE(entry, beside);
	TAILQ_REMOVE(&cache->entries, entry, older);
	resolver_answer_clear(&entry->answer);
	free(entry->name);
	free(entry);
}

void
resolver_cache_free(struct resolver_cache *cache)
{
	if (!cache)
		return;
	while (!TAILQ_EMPTY(&cache->entries))
		forget(cache, TAILQ_FIRST(&cache->entries));
	free(cache);
}

static size_t
row_of(const struct resolver_cache *cache, enum resolver_type type, const char *name)
{
	uint64_t hash = cache->secret ^ (uint64_t)type;

	for (; *name; name++) {
		hash ^= (unsigned char)tolower((unsigned char)*name);
		hash *= UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 29;
	}
	return hash % ROWS;
}

static struct entry *
find(const struct resolver_cache *cache, enum resolver_type type, const char *name)
{
	struct entry *entry;

	LIST_FOREACH(entry, &cache->rows[row_of(cache, type, name)], beside)
	{
		if (entry->type == type && strcasecmp(entry->name, name) == 0)
			return entry;
	}
	return NULL;
}

bool
resolver_cache_get(struct resolver_cache *cache, enum resolver_type type,
                   const char *name, struct resolver_answer *answer)
{
	struct entry *entry = find(cache, type, name);

	if (!entry)
		return false;
	if (entry->over_ms <= clock_ms()) {
		forget(cache, entry);
		return false;
	}
	TAILQ_REMOVE(&cache->entries, entry, older);
	TAILQ_INSERT_HEAD(&cache->entries, entry, older);
	resolver_answer_copy(answer, &entry->answer);
	return true;
}

bool
resolver_cache_has(const struct resolver_cache *cache, enum resolver_type type,
                   const char *name)
{
	const struct entry *entry = find(cache, type, name);

	return entry && entry->over_ms > clock_ms();
}

static size_t
cost_of(const struct entry *entry)
{
	const struct resolver_answer *answer = &entry->answer;
	size_t cost = sizeof(*entry) + PIECE + strlen(entry->name) + PIECE;

	if (answer->addrs)
		cost += answer->count * sizeof(*answer->addrs) + PIECE;
	for (size_t i = 0; answer->texts && i < answer->count; i++)
		cost += sizeof(char *) + strlen(answer->texts[i]) + PIECE;
	return cost;
}

static void
make_room(struct resolver_cache *cache)
{
	struct entry *entry = TAILQ_LAST(&cache->entries, entries);

	while (entry && cache->used > cache->room) {
		struct entry *later = TAILQ_PREV(entry, entries, older);

		forget(cache, entry);
		entry = later;
	}
}

void
resolver_cache_put(struct resolver_cache *cache, enum resolver_type type,
                   const char *name, const struct resolver_answer *answer,
                   uint32_t seconds)
{
	struct entry *entry = find(cache, type, name);

	if (entry)
		forget(cache, entry);
	if (seconds == 0)
		return;
	entry = xcalloc(1, sizeof(*entry));
	entry->type = type;
	entry->name = xstrdup(name);
	entry->over_ms = clock_ms() + (int64_t)seconds * 1000;
	resolver_answer_copy(&entry->answer, answer);
	entry->cost = cost_of(entry);
	LIST_INSERT_HEAD(&cache->rows[row_of(cache, type, name)], entry, beside);
	TAILQ_INSERT_HEAD(&cache->entries, entry, older);
	used(cache, entry->cost, 0);
	make_room(cache);
}
