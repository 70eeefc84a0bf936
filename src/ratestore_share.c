#include "ratestore_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * Two lists of clients that are to be told: those that have come cannot wait, for what
 * they may do here depends on what they did elsewhere; of the others there are many, and
 * they are told once a second whatever they do.
 */

static struct rate_entries *
list_of(struct ratestore *store, enum rate_share sharing)
{
	return sharing == RATE_SHARE_NOW ? &store->share_now : &store->share_later;
}

static void
move(struct ratestore *store, struct rate_entry *entry, enum rate_share sharing)
{
	if (entry->sharing != RATE_SHARE_NO)
		TAILQ_REMOVE(list_of(store, entry->sharing), entry, share);
	entry->sharing = sharing;
	if (sharing != RATE_SHARE_NO)
		TAILQ_INSERT_TAIL(list_of(store, sharing), entry, share);
}

void
ratestore_share_entry(struct ratestore *store, struct rate_entry *entry, int64_t now)
{
	int64_t age = now - entry->shared;

	if (!store->wake || entry->sharing == RATE_SHARE_NOW)
		return;
	if (age >= 0 && age < RATESTORE_SHARE_MS) {
		if (entry->sharing == RATE_SHARE_NO)
			move(store, entry, RATE_SHARE_LATER);
		return;
	}
	move(store, entry, RATE_SHARE_NOW);
	store->wake(store->wake_arg);
}

void
ratestore_unshare(struct ratestore *store, struct rate_entry *entry)
{
	move(store, entry, RATE_SHARE_NO);
	if (!entry->others)
		return;
	rate_record_clear(entry->others);
	free(entry->others);
	entry->others = NULL;
}

void
ratestore_share(struct ratestore *store, ratestore_wake_cb *wake, void *arg)
{
	store->wake = wake;
	store->wake_arg = arg;
}

bool
ratestore_share_next(struct ratestore *store, bool at_once, int64_t now,
                     struct rate_key *key, struct rate_record *own)
{
	struct rate_entry *entry = TAILQ_FIRST(&store->share_now);

	if (!entry && !at_once)
		entry = TAILQ_FIRST(&store->share_later);
	if (!entry)
		return false;
	move(store, entry, RATE_SHARE_NO);
	entry->shared = now;
	rate_record_advance(&entry->all, store->setup.period_ms, now);
	rate_record_forget(&entry->all, now - store->setup.servers_ms);
	rate_record_copy(own, &entry->all);
	*key = (struct rate_key){ .size = entry->size };
	memcpy(key->at, entry->key, entry->size);
	return true;
}

void
ratestore_share_again(struct ratestore *store, const struct rate_key *key)
{
	struct rate_entry *entry = ratestore_find(store, key);

	if (entry && entry->sharing == RATE_SHARE_NO)
		move(store, entry, RATE_SHARE_LATER);
}

void
ratestore_share_all(struct ratestore *store)
{
	struct rate_entry *entry;

	TAILQ_FOREACH(entry, &store->by_time, link)
	{
		if (entry->sharing == RATE_SHARE_NO)
			move(store, entry, RATE_SHARE_LATER);
	}
}

bool
ratestore_has_news(const struct ratestore *store)
{
	return !TAILQ_EMPTY(&store->share_now) || !TAILQ_EMPTY(&store->share_later);
}

/* ---- what the others have --------------------------------------------------------------- */

void
ratestore_take_others(struct ratestore *store, const struct rate_key *key,
                      struct rate_record *others)
{
	struct rate_entry *entry = ratestore_find(store, key);

	if (entry && (entry->others || others->part_ms > 0)) {
		if (!entry->others)
			entry->others = xcalloc(1, sizeof(*entry->others));
		rate_record_clear(entry->others);
		*entry->others = *others;
		*others = (struct rate_record){ 0 };
	}
	rate_record_clear(others);
}

uint64_t
ratestore_others_sum(struct ratestore *store, const struct rate_entry *entry,
                     enum rate rate, int64_t now, uint64_t own)
{
	uint64_t sum;

	assert(entry->others);
	rate_record_advance(entry->others, store->setup.period_ms, now);
	sum = rate_record_sum(entry->others, rate);
	return sum > UINT64_MAX - own ? UINT64_MAX : sum + own;
}

uint64_t
ratestore_others_servers(const struct rate_entry *entry)
{
	const struct rate_record *others = entry->others;
	uint64_t count = 0;

	for (uint32_t i = 0; others && i < others->server_count; i++)
		count += !rate_record_server(&entry->all, others->servers[i].host);
	return count;
}

bool
ratestore_others_call(const struct rate_entry *entry,
                      const uint8_t host[static RATE_HOST_SIZE])
{
	return entry->others && rate_record_server(entry->others, host);
}

const struct ratestore_setup *
ratestore_setup_of(const struct ratestore *store)
{
	return &store->setup;
}
