#include "ratestore_internal.h"

#include "log.h"
#include "stats.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	SWEEP = 1000, /* clients that are forgotten at once */
	SWEEP_AGAIN_MS = 20,
	SWEEP_LATEST_MS = 3600000,
	SAY_AGAIN_MS = 600000,
	STACK = 1 << 20,
};

int64_t
ratestore_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- keys --------------------------------------------------------------------------- */

/* In the form that struct rate_server has. */
static void
host_of(const struct addr *addr, uint8_t host[static RATE_HOST_SIZE])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	memset(host, 0, RATE_HOST_SIZE);
	if (addr_family(addr) == AF_INET6) {
		memcpy(host, &addr->v6.sin6_addr, RATE_HOST_SIZE);
	} else {
		memcpy(host, mapped, sizeof(mapped));
		memcpy(host + sizeof(mapped), &addr->v4.sin_addr, 4);
	}
}

struct rate_key
rate_key_of(const struct addr *client, unsigned prefix6, const char *ident)
{
	bool is_six = addr_family(client) == AF_INET6;
	struct addr_net net = addr_net_of(client, is_six ? prefix6 : 128);
	struct rate_key key = { .size = 1 + RATE_HOST_SIZE };
	size_t size = strlen(ident);
	uint8_t host[RATE_HOST_SIZE];

	host_of(&net.first, host);
	key.at[0] = (char)(is_six ? prefix6 : 128);
	memcpy(key.at + 1, host, sizeof(host));
	if (size >= sizeof(key.at) - key.size)
		size = sizeof(key.at) - key.size - 1;
	memcpy(key.at + key.size, ident, size);
	key.size += size;
	return key;
}

/* Nobody outside can make many clients meet in one bucket. */
static size_t
bucket_of(const struct ratestore *store, const char *key, size_t size)
{
	return (size_t)siphash(&store->secret, key, size) & store->mask;
}

struct rate_entry *
ratestore_find(const struct ratestore *store, const struct rate_key *key)
{
	struct rate_entry *entry = store->buckets[bucket_of(store, key->at, key->size)];

	while (entry && (entry->size != key->size ||
	                 memcmp(entry->key, key->at, key->size) != 0))
		entry = entry->next;
	return entry;
}

/* ---- entries -------------------------------------------------------------------------- */

struct rate_entry *
ratestore_insert(struct ratestore *store, const struct rate_key *key)
{
	struct rate_entry *entry = xcalloc(1, sizeof(*entry) + key->size);
	struct rate_entry *
		*bucket = &store->buckets[bucket_of(store, key->at, key->size)];

	memcpy(entry->key, key->at, key->size);
	entry->size = (uint8_t)key->size;
	entry->next = *bucket;
	*bucket = entry;
	TAILQ_INSERT_HEAD(&store->by_time, entry, link);
	stats_set(STAT_rate_clients, (int64_t)++store->count);
	return entry;
}

void
ratestore_settle(struct ratestore *store, struct rate_entry *entry)
{
	if (!entry->more)
		return;
	TAILQ_REMOVE(&store->dirty, entry, dirty);
	rate_record_clear(entry->more);
	free(entry->more);
	entry->more = NULL;
}

static void
discard(struct ratestore *store, struct rate_entry *entry)
{
	struct rate_entry *
		*at = &store->buckets[bucket_of(store, entry->key, entry->size)];

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	ratestore_settle(store, entry);
	ratestore_unshare(store, entry);
	TAILQ_REMOVE(&store->by_time, entry, link);
	if (entry->item)
		entry->item->owner = NULL;
	rate_record_clear(&entry->all);
	free(entry);
	stats_set(STAT_rate_clients, (int64_t)--store->count);
}

/* From the file as well. */
static void
forget(struct ratestore *store, struct rate_entry *entry)
{
	ratestore_unkeep(store, entry);
	discard(store, entry);
}

/* ---- time ------------------------------------------------------------------------------- */

/* All that can be known of a client is over by then. */
int64_t
ratestore_lifetime(const struct ratestore *store)
{
	int64_t period = store->setup.period_ms;
	int64_t counts = period + rate_part_ms(period);

	return counts > store->setup.servers_ms ? counts : store->setup.servers_ms;
}

static void
plan(struct event *event, int64_t milliseconds)
{
	struct timeval when = { .tv_sec = (time_t)(milliseconds / 1000),
		                .tv_usec = (suseconds_t)(milliseconds % 1000 * 1000) };

	event_add(event, &when);
}

static void
plan_sweep(struct ratestore *store, int64_t now)
{
	struct rate_entry *last = TAILQ_LAST(&store->by_time, rate_entries);
	int64_t left;

	if (!last || !store->sweep || event_pending(store->sweep, EV_TIMEOUT, NULL))
		return;
	left = last->all.touched + ratestore_lifetime(store) - now;
	if (left < SWEEP_AGAIN_MS)
		left = SWEEP_AGAIN_MS;
	plan(store->sweep, left < SWEEP_LATEST_MS ? left : SWEEP_LATEST_MS);
}

static void
sweep(struct ratestore *store, int64_t now)
{
	struct rate_entry *last;

	for (int i = 0; i < SWEEP && (last = TAILQ_LAST(&store->by_time, rate_entries));
	     i++) {
		if (last->all.touched + ratestore_lifetime(store) >= now)
			break;
		forget(store, last);
	}
	plan_sweep(store, now);
}

static void
on_sweep(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	sweep(arg, ratestore_now());
}

/* All that is not to be known any more, at once: nobody is served yet. */
void
ratestore_forget_old(struct ratestore *store, int64_t now)
{
	struct rate_entry *last;

	while ((last = TAILQ_LAST(&store->by_time, rate_entries)) &&
	       (last->all.touched + ratestore_lifetime(store) < now ||
	        store->count > store->setup.most))
		forget(store, last);
}

static void
make_room(struct ratestore *store, int64_t now)
{
	if (store->count < store->setup.most)
		return;
	while (store->count >= store->setup.most) {
		stats_add(STAT_rate_forgotten, 1);
		forget(store, TAILQ_LAST(&store->by_time, rate_entries));
	}
	if (store->full_said != 0 && now - store->full_said < SAY_AGAIN_MS)
		return;
	store->full_said = now;
	log_event(NULL, LOG_TROUBLE_EVENT,
	          log_text("text", "more clients than ratelimit_max: those that were "
	                           "quiet longest are forgotten"),
	          log_number("ratelimit_max", (int64_t)store->setup.most));
}

/* ---- counting ----------------------------------------------------------------------------- */

/* As it stands now; NULL: nothing is known of the client. */
static struct rate_entry *
look_up(struct ratestore *store, const struct rate_key *key, int64_t now)
{
	struct rate_entry *entry = ratestore_find(store, key);

	if (entry)
		rate_record_advance(&entry->all, store->setup.period_ms, now);
	return entry;
}

/* Where something is to be counted. */
static struct rate_entry *
touch(struct ratestore *store, const struct rate_key *key, int64_t now)
{
	struct rate_entry *entry = ratestore_find(store, key);

	if (entry) {
		TAILQ_REMOVE(&store->by_time, entry, link);
		TAILQ_INSERT_HEAD(&store->by_time, entry, link);
	} else {
		make_room(store, now);
		entry = ratestore_insert(store, key);
	}
	if (!entry->more && store->file) {
		entry->more = xcalloc(1, sizeof(*entry->more));
		TAILQ_INSERT_TAIL(&store->dirty, entry, dirty);
		ratestore_plan_flush(store);
	}
	rate_record_advance(&entry->all, store->setup.period_ms, now);
	entry->all.touched = now;
	if (entry->more) {
		rate_record_advance(entry->more, store->setup.period_ms, now);
		entry->more->touched = now;
	}
	plan_sweep(store, now);
	ratestore_share_entry(store, entry, now);
	return entry;
}

void
ratestore_note(struct ratestore *store, const struct rate_key *key, enum rate rate,
               uint64_t amount, int64_t now)
{
	struct rate_entry *entry = touch(store, key, now);

	rate_record_add(&entry->all, rate, amount);
	if (entry->more)
		rate_record_add(entry->more, rate, amount);
}

bool
ratestore_has_room(struct ratestore *store, const struct rate_key *key, enum rate rate,
                   uint64_t amount, uint64_t limit, int64_t now)
{
	struct rate_entry *entry = limit > 0 ? look_up(store, key, now) : NULL;
	uint64_t sum = entry ? rate_record_sum(&entry->all, rate) : 0;

	if (entry && entry->others)
		sum = ratestore_others_sum(store, entry, rate, now, sum);

	return limit == 0 || (amount <= limit && sum <= limit - amount);
}

bool
ratestore_take(struct ratestore *store, const struct rate_key *key, enum rate rate,
               uint64_t amount, uint64_t limit, int64_t now)
{
	if (!ratestore_has_room(store, key, rate, amount, limit, now))
		return false;
	ratestore_note(store, key, rate, amount, now);
	return true;
}

static bool
calls_enough(const struct ratestore *store, struct rate_entry *entry, uint64_t limit,
             int64_t now)
{
	if (entry->all.server_count >= limit)
		return true;
	if (!entry->others)
		return false;
	rate_record_forget(entry->others, now - store->setup.servers_ms);
	return entry->all.server_count + ratestore_others_servers(entry) >= limit;
}

bool
ratestore_call(struct ratestore *store, const struct rate_key *key,
               const struct addr *server, uint64_t limit, int64_t now)
{
	struct rate_entry *entry = look_up(store, key, now);
	uint8_t host[RATE_HOST_SIZE];

	if (store->setup.servers_ms <= 0)
		return true;
	host_of(server, host);
	if (entry) {
		rate_record_forget(&entry->all, now - store->setup.servers_ms);
		if (limit > 0 && calls_enough(store, entry, limit, now) &&
		    !rate_record_server(&entry->all, host) &&
		    !ratestore_others_call(entry, host))
			return false;
	}
	entry = touch(store, key, now);
	rate_record_call(&entry->all, host, now);
	if (entry->more)
		rate_record_call(entry->more, host, now);
	return true;
}

size_t
ratestore_clients(const struct ratestore *store)
{
	return store->count;
}

/* ---- birth and death ---------------------------------------------------------------------- */

static size_t
bucket_count(size_t most)
{
	size_t count = 1024;

	while (count < most && count < (size_t)1 << 24)
		count *= 2;
	return count;
}

struct ratestore *
ratestore_new(const struct ratestore_setup *setup)
{
	struct ratestore *store = xcalloc(1, sizeof(*store));
	size_t buckets = bucket_count(setup->most);

	assert(setup->period_ms > 0 && setup->most > 0);
	store->setup = *setup;
	store->setup.path = store->path = xstrdup(setup->path);
	store->secret = siphash_random_key();
	store->buckets = xcalloc(buckets, sizeof(struct rate_entry *));
	store->mask = buckets - 1;
	TAILQ_INIT(&store->by_time);
	TAILQ_INIT(&store->dirty);
	TAILQ_INIT(&store->share_later);
	TAILQ_INIT(&store->share_now);
	STAILQ_INIT(&store->forgotten);
	return store;
}

bool
ratestore_begin(struct ratestore *store, struct event_base *base, int64_t now)
{
	char why[256];

	assert(!store->workers);
	store->base = base;
	store->workers = workers_new(base, "rate", 1, STACK);
	if (!store->workers)
		return false;
	store->flush = evtimer_new(base, ratestore_on_flush, store);
	store->sweep = evtimer_new(base, on_sweep, store);
	if (!ratestore_load(store, now, why, sizeof(why))) {
		store->failed = true;
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "counts of clients cannot be kept; counting "
		                           "goes on in memory, and is lost at the end"),
		          log_text("ratelimit_path", store->path),
		          log_text("why", why));
	}
	plan_sweep(store, now);
	return true;
}

void
ratestore_set_most(struct ratestore *store, size_t most)
{
	assert(most > 0);
	store->setup.most = most;
}

static void
discard_all(struct ratestore *store)
{
	struct rate_entry *entry, *next;

	for (entry = TAILQ_FIRST(&store->by_time); entry; entry = next) {
		next = TAILQ_NEXT(entry, link);
		discard(store, entry);
	}
}

/* What the file has of another generation counts for nothing, and goes when it is read. */
void
ratestore_set_generation(struct ratestore *store, uint32_t generation)
{
	if (store->setup.generation == generation)
		return;
	store->setup.generation = generation;
	discard_all(store);
}

/* What the thread has, or was to get, is written when it has ended. */
void
ratestore_hand_over(struct ratestore *store, int64_t now)
{
	workers_free(store->workers);
	store->workers = NULL;
	(void)ratestore_flush(store, now);
	store->workers = workers_new(store->base, "rate", 1, STACK);
}

void
ratestore_take_over(struct ratestore *store, int64_t now)
{
	char why[256];

	if (!store->file)
		return;
	assert(!store->job && TAILQ_EMPTY(&store->dirty));
	discard_all(store);
	if (!ratestore_read(store, now, why, sizeof(why)))
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "what our predecessor counted last cannot "
		                           "be read"),
		          log_text("ratelimit_path", store->path),
		          log_text("why", why));
}

void
ratestore_free(struct ratestore *store)
{
	struct rate_forgotten *gone;

	if (!store)
		return;
	workers_free(store->workers);
	(void)ratestore_flush(store, ratestore_now());
	discard_all(store);
	while ((gone = STAILQ_FIRST(&store->forgotten))) {
		STAILQ_REMOVE_HEAD(&store->forgotten, link);
		free(gone);
	}
	ratefile_close(store->file);
	if (store->flush)
		event_free(store->flush);
	if (store->sweep)
		event_free(store->sweep);
	free(store->buckets);
	free(store->path);
	free(store);
}
