#include "scancache.h"

#include <assert.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A ring of entries, in the order in which they came, and chains of those whose digests
 * begin alike.  calloc(3) gives large tables as pages that exist when they are touched.
 */
struct entry {
	unsigned char digest[SCANCACHE_DIGEST];
	char *name;    /* NULL: clean */
	uint32_t next; /* of its chain; as in chains */
};

struct scancache {
	pthread_mutex_t mutex;
	struct entry *ring;
	uint32_t *chains; /* number of an entry, from 1 on; 0: none */
	uint32_t most, count;
	uint32_t oldest; /* when it is full: where the next one goes */
	uint32_t mask;   /* of chains */
};

/* -- the table, with the mutex held, or nobody else there ---------------------------- */

static uint32_t *
chain_of(const struct scancache *cache, const unsigned char *digest)
{
	uint32_t begin;

	memcpy(&begin, digest, sizeof(begin));
	return &cache->chains[begin & cache->mask];
}

static struct entry *
find(const struct scancache *cache, const unsigned char *digest)
{
	uint32_t number;

	if (cache->most == 0)
		return NULL;
	for (number = *chain_of(cache, digest); number != 0;
	     number = cache->ring[number - 1].next)
		if (memcmp(cache->ring[number - 1].digest, digest, SCANCACHE_DIGEST) ==
		    0)
			return &cache->ring[number - 1];
	return NULL;
}

static void
take_out(struct scancache *cache, struct entry *entry)
{
	uint32_t number = (uint32_t)(entry - cache->ring) + 1;
	uint32_t *at = chain_of(cache, entry->digest);

	while (*at != number) {
		assert(*at != 0);
		at = &cache->ring[*at - 1].next;
	}
	*at = entry->next;
	free(entry->name);
	entry->name = NULL;
}

/* Where the next one goes; the oldest makes room. */
static struct entry *
make_room(struct scancache *cache)
{
	struct entry *entry;

	if (cache->count < cache->most)
		return &cache->ring[cache->count++];
	entry = &cache->ring[cache->oldest];
	cache->oldest = (cache->oldest + 1) % cache->most;
	take_out(cache, entry);
	return entry;
}

static void
put(struct scancache *cache, const unsigned char *digest, const char *name)
{
	struct entry *entry = make_room(cache);
	uint32_t *chain = chain_of(cache, digest);

	memcpy(entry->digest, digest, SCANCACHE_DIGEST);
	entry->name = name[0] != '\0' ? xstrdup(name) : NULL;
	entry->next = *chain;
	*chain = (uint32_t)(entry - cache->ring) + 1;
}

static void
empty(struct scancache *cache)
{
	for (uint32_t i = 0; i < cache->count; i++)
		free(cache->ring[i].name);
	free(cache->ring);
	free(cache->chains);
	cache->ring = NULL;
	cache->chains = NULL;
	cache->most = cache->count = cache->oldest = 0;
}

static void
make(struct scancache *cache, uint32_t most)
{
	uint32_t chains = 1;

	if (most == 0)
		return;
	while (chains < most)
		chains *= 2;
	cache->most = most;
	cache->mask = chains - 1;
	cache->ring = xcalloc(most, sizeof *cache->ring);
	cache->chains = xcalloc(chains, sizeof *cache->chains);
}

/* -- for all threads ------------------------------------------------------------------- */

struct scancache *
scancache_new(unsigned most)
{
	struct scancache *cache = xcalloc(1, sizeof *cache);

	pthread_mutex_init(&cache->mutex, NULL);
	make(cache, most);
	return cache;
}

void
scancache_free(struct scancache *cache)
{
	if (!cache)
		return;
	empty(cache);
	pthread_mutex_destroy(&cache->mutex);
	free(cache);
}

void
scancache_limit(struct scancache *cache, unsigned most)
{
	pthread_mutex_lock(&cache->mutex);
	if (cache->most != most) {
		empty(cache);
		make(cache, most);
	}
	pthread_mutex_unlock(&cache->mutex);
}

bool
scancache_is_on(struct scancache *cache)
{
	bool is_on;

	pthread_mutex_lock(&cache->mutex);
	is_on = cache->most > 0;
	pthread_mutex_unlock(&cache->mutex);
	return is_on;
}

unsigned
scancache_count(struct scancache *cache)
{
	unsigned count;

	pthread_mutex_lock(&cache->mutex);
	count = cache->count;
	pthread_mutex_unlock(&cache->mutex);
	return count;
}

bool
scancache_find(struct scancache *cache,
               const unsigned char digest[static SCANCACHE_DIGEST], char *name,
               size_t size)
{
	const struct entry *entry;

	pthread_mutex_lock(&cache->mutex);
	entry = find(cache, digest);
	if (entry)
		snprintf(name, size, "%s", entry->name ? entry->name : "");
	pthread_mutex_unlock(&cache->mutex);
	return entry;
}

void
scancache_put(struct scancache *cache,
              const unsigned char digest[static SCANCACHE_DIGEST], const char *name)
{
	pthread_mutex_lock(&cache->mutex);
	if (cache->most > 0 && !find(cache, digest))
		put(cache, digest, name);
	pthread_mutex_unlock(&cache->mutex);
}
