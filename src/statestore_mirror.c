#include "statestore_internal.h"

#include "siphash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct mirror {
	struct siphash_key secret;
	struct mirror_entry *buckets[MIRROR_BUCKETS];
	size_t count;
};

struct mirror *
mirror_new(void)
{
	struct mirror *mirror = xcalloc(1, sizeof(*mirror));

	mirror->secret = siphash_random_key();
	return mirror;
}

static struct mirror_entry **
place_of(struct mirror *mirror, const char *name)
{
	struct mirror_entry *
		*at = &mirror->buckets[siphash(&mirror->secret, name, strlen(name)) %
	                               MIRROR_BUCKETS];

	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

struct mirror_entry *
mirror_find(struct mirror *mirror, const char *name)
{
	return *place_of(mirror, name);
}

struct mirror_entry *
mirror_add(struct mirror *mirror, const char *name)
{
	struct mirror_entry **at = place_of(mirror, name);
	size_t size = strlen(name) + 1;

	assert(!*at);
	if (mirror->count >= MIRROR_MOST)
		return NULL;
	*at = xcalloc(1, sizeof(**at) + size);
	memcpy((*at)->name, name, size);
	mirror->count++;
	return *at;
}

void
mirror_remove(struct mirror *mirror, struct mirror_entry *entry)
{
	struct mirror_entry **at = place_of(mirror, entry->name);

	assert(*at == entry);
	*at = entry->next;
	free(entry);
	mirror->count--;
}

void
mirror_slice(struct mirror *mirror, size_t bucket, mirror_each_cb *each, void *arg)
{
	struct mirror_entry *entry, *next;

	for (entry = mirror->buckets[bucket]; entry; entry = next) {
		next = entry->next;
		each(entry, arg);
	}
}

void
mirror_each(struct mirror *mirror, mirror_each_cb *each, void *arg)
{
	for (size_t i = 0; i < MIRROR_BUCKETS; i++)
		mirror_slice(mirror, i, each, arg);
}

static void
remove_one(struct mirror_entry *entry, void *arg)
{
	mirror_remove(arg, entry);
}

void
mirror_free(struct mirror *mirror)
{
	mirror_each(mirror, remove_one, mirror);
	free(mirror);
}
