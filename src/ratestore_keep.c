#include "ratestore_internal.h"

#include "log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	FLUSH_MS = 1000,
	RETRY_MS = 10000,
	BATCH = 1024, /* clients that go out at once: 1 ms of the loop's time */
	FORGOTTEN_MOST = 65536, /* deletions that wait for the file */
};

struct rate_job {
	struct work work; /* first: the two are cast into each other */
	struct ratestore *store;
	struct rate_batch batch;
	bool good;
	char why[256];
};

/* ---- to the file -------------------------------------------------------------------- */

static void
plan(struct ratestore *store, int milliseconds)
{
	struct timeval when = { .tv_sec = milliseconds / 1000,
		                .tv_usec = (suseconds_t)(milliseconds % 1000) * 1000 };

	if (store->flush && !store->job &&
	    !event_pending(store->flush, EV_TIMEOUT, NULL))
		event_add(store->flush, &when);
}

void
ratestore_plan_flush(struct ratestore *store)
{
	plan(store, FLUSH_MS);
}

void
ratestore_unkeep(struct ratestore *store, const struct rate_entry *entry)
{
	struct rate_forgotten *gone;

	if (!store->file || (!entry->is_kept && !entry->item) ||
	    store->forgotten_count == FORGOTTEN_MOST)
		return;
	gone = xcalloc(1, sizeof(*gone));
	gone->touched = entry->all.touched;
	gone->key.size = entry->size;
	memcpy(gone->key.at, entry->key, entry->size);
	STAILQ_INSERT_TAIL(&store->forgotten, gone, link);
	store->forgotten_count++;
	ratestore_plan_flush(store);
}

static void
fill_forgotten(struct ratestore *store, struct rate_batch *batch)
{
	struct rate_forgotten *gone;

	while (batch->count < BATCH / 2 && (gone = STAILQ_FIRST(&store->forgotten))) {
		batch->items[batch->count++] = (struct rate_item){
			.key = gone->key,
			.forget = true,
			.record.touched = gone->touched
		};
		STAILQ_REMOVE_HEAD(&store->forgotten, link);
		store->forgotten_count--;
		free(gone);
	}
}

static void
fill_entry(struct ratestore *store, struct rate_batch *batch, struct rate_entry *entry)
{
	struct rate_item *item = &batch->items[batch->count++];

	*item = (struct rate_item){ .key.size = entry->size,
		                    .record = *entry->more,
		                    .owner = entry };
	memcpy(item->key.at, entry->key, entry->size);
	*entry->more = (struct rate_record){ 0 }; /* it is the item's by now */
	ratestore_settle(store, entry);
	entry->item = item;
}

static struct rate_job *
job_new(struct ratestore *store, int64_t now)
{
	struct rate_job *job = xcalloc(1, sizeof(*job));
	struct rate_entry *entry;

	job->store = store;
	job->batch = (struct rate_batch){
		.items = xcalloc(BATCH, sizeof(*job->batch.items)),
		.now = now,
		.period_ms = store->setup.period_ms,
		.servers_ms = store->setup.servers_ms,
		.generation = store->setup.generation,
	};
	fill_forgotten(store, &job->batch);
	while (job->batch.count < BATCH && (entry = TAILQ_FIRST(&store->dirty)))
		fill_entry(store, &job->batch, entry);
	return job;
}

static void
run(struct work *work)
{
	struct rate_job *job = (struct rate_job *)work;

	job->good = ratefile_write(job->store->file, &job->batch, job->why,
	                           sizeof(job->why));
}

/* What the file has now, and what has come since. */
static void
absorb(struct ratestore *store, struct rate_entry *entry, struct rate_item *item,
       int64_t now)
{
	rate_record_clear(&entry->all);
	entry->all = item->record;
	item->record = (struct rate_record){ 0 };
	entry->is_kept = true;
	if (!entry->more)
		return;
	rate_record_advance(&entry->all, store->setup.period_ms, now);
	rate_record_advance(entry->more, store->setup.period_ms, now);
	rate_record_merge(&entry->all, entry->more);
}

/* It goes out with what comes next. */
static void
take_back(struct ratestore *store, struct rate_entry *entry, struct rate_item *item,
          int64_t now)
{
	if (!entry->more) {
		entry->more = xcalloc(1, sizeof(*entry->more));
		TAILQ_INSERT_TAIL(&store->dirty, entry, dirty);
	}
	rate_record_advance(entry->more, store->setup.period_ms, now);
	rate_record_advance(&item->record, store->setup.period_ms, now);
	rate_record_merge(entry->more, &item->record);
}

static void
remember_forgotten(struct ratestore *store, const struct rate_item *item)
{
	struct rate_forgotten *gone = xcalloc(1, sizeof(*gone));

	gone->key = item->key;
	gone->touched = item->record.touched;
	STAILQ_INSERT_HEAD(&store->forgotten, gone, link);
	store->forgotten_count++;
}

static void
say(struct ratestore *store, const struct rate_job *job)
{
	if (job->good == !store->failed)
		return;
	store->failed = !job->good;
	if (job->good)
		log_event(NULL, LOG_CONFIG_EVENT,
		          log_text("text", "counts of clients are kept in the file "
		                           "again"),
		          log_text("ratelimit_path", store->path));
	else
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "counts of clients cannot be kept; counting "
		                           "goes on in memory, and is lost at the end"),
		          log_text("ratelimit_path", store->path),
		          log_text("why", job->why));
}

static void
job_end(struct rate_job *job, int64_t now)
{
	struct ratestore *store = job->store;

	for (size_t i = 0; i < job->batch.count; i++) {
		struct rate_item *item = &job->batch.items[i];
		struct rate_entry *entry = item->owner;

		if (entry)
			entry->item = NULL;
		if (entry && job->good)
			absorb(store, entry, item, now);
		else if (entry)
			take_back(store, entry, item, now);
		else if (item->forget && !job->good)
			remember_forgotten(store, item);
		rate_record_clear(&item->record);
	}
	say(store, job);
	store->job = NULL;
	free(job->batch.items);
	free(job);
}

static bool
has_more(const struct ratestore *store)
{
	return !TAILQ_EMPTY(&store->dirty) || !STAILQ_EMPTY(&store->forgotten);
}

static void
done(struct work *work)
{
	struct rate_job *job = (struct rate_job *)work;
	struct ratestore *store = job->store;
	bool good = job->good, full = job->batch.count == BATCH;

	job_end(job, ratestore_now());
	if (has_more(store))
		plan(store, !good ? RETRY_MS : full ? 1 : FLUSH_MS);
}

void
ratestore_on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct ratestore *store = arg;

	(void)fd, (void)what;
	if (store->job || !store->workers || !has_more(store))
		return;
	store->job = job_new(store, ratestore_now());
	store->job->work.run = run;
	store->job->work.done = done;
	workers_start(store->workers, &store->job->work);
}

bool
ratestore_flush(struct ratestore *store, int64_t now)
{
	bool good = store->file;

	assert(!store->job);
	while (good && has_more(store)) {
		struct rate_job *job = job_new(store, now);

		run(&job->work);
		good = job->good;
		job_end(job, now);
	}
	return good;
}

/* ---- from the file ------------------------------------------------------------------ */

static void
take_over(const struct rate_key *key, struct rate_record *record, void *arg)
{
	struct ratestore *store = arg;
	struct rate_entry *entry = ratestore_insert(store, key);

	entry->all = *record;
	entry->is_kept = true;
	if (record->generation != store->setup.generation)
		entry->all.touched = 0; /* sweep() will find it */
}

static int
by_touched(const void *a, const void *b)
{
	const struct rate_entry *one = *(struct rate_entry *const *)a;
	const struct rate_entry *other = *(struct rate_entry *const *)b;

	return (one->all.touched > other->all.touched) -
	       (one->all.touched < other->all.touched);
}

/* They were read in the order of their keys. */
static void
sort(struct ratestore *store)
{
	struct rate_entry **list, *entry;
	size_t count = 0;

	if (store->count == 0)
		return;
	list = xcalloc(store->count, sizeof(struct rate_entry *));
	TAILQ_FOREACH(entry, &store->by_time, link)
	{
		list[count++] = entry;
	}
	qsort(list, count, sizeof(struct rate_entry *), by_touched);
	TAILQ_INIT(&store->by_time);
	for (size_t i = 0; i < count; i++)
		TAILQ_INSERT_HEAD(&store->by_time, list[i], link);
	free(list);
}

bool
ratestore_read(struct ratestore *store, int64_t now, char *why, size_t why_size)
{
	static const struct rate_key all;
	bool good = ratefile_each(store->file, &all, take_over, store, why, why_size);

	sort(store);
	ratestore_forget_old(store, now);
	return good;
}

bool
ratestore_load(struct ratestore *store, int64_t now, char *why, size_t why_size)
{
	const struct ratestore_setup *setup = &store->setup;
	size_t room = setup->room ?: ((size_t)16 << 20) + setup->most * 2048;
	bool damaged;

	store->file = ratefile_open(store->path, room, setup->most_room ?: 64 * room,
	                            &damaged, why, why_size);
	return store->file && ratestore_read(store, now, why, why_size);
}
