#include "spool_internal.h"

#include "log.h"
#include "memory.h"
#include "stats.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/*
 * What all spools together may take, and who waits for whom.
 *
 * It is shared so that it needs no promise of anybody's to end: whoever takes much leaves
 * as much to others, so there is always some left for a client that comes next.  A client
 * that fills its share has its messages ended one after the other, oldest first, for many
 * that are half there would be in each other's way for ever.
 */
enum {
	GO_TOGETHER = 4, /* messages of one client, when it has little left */
	WAKE_AT_ONCE = 16,
	SLOW_MS = 1000, /* for a piece of a message: then something is wrong */
};

/* ---- shares ---------------------------------------------------------------------- */

static struct spool_share *
share_of(struct peer *client)
{
	struct spool_share **share = (struct spool_share **)peer_place(client);

	if (!*share) {
		*share = xcalloc(1, sizeof(**share));
		TAILQ_INIT(&(*share)->by_age);
	}
	return *share;
}

/* There may be room: who waits tries again when the loop turns. */
static void
rouse(struct spool_budget *budget)
{
	if (!TAILQ_EMPTY(&budget->waiters))
		event_active(budget->wake, 0, 0);
}

void
spool_charge(struct spool *spool, ssize_t memory, int64_t disk)
{
	struct spool_budget *budget = spool->budget;

	budget->memory_used += (size_t)memory;
	budget->disk_used += (uint64_t)disk;
	spool->share->memory += (size_t)memory;
	spool->share->disk += (uint64_t)disk;
	memory_take(memory);
	stats_set(STAT_spool_memory, (int64_t)budget->memory_used);
	stats_set(STAT_spool_disk, (int64_t)budget->disk_used);
	if (memory < 0 || disk < 0)
		rouse(budget);
}

void
spool_enter(struct spool *spool, const struct addr *client)
{
	struct spool_budget *budget = spool->budget;
	struct addr_net net = addr_net_of(
		client, addr_family(client) == AF_INET6 ? budget->limits.prefix6 : 32);

	spool->client = peers_enter(budget->clients, &net, NULL);
	spool->share = share_of(spool->client);
	spool->number = ++budget->number;
	spool->open = true;
	TAILQ_INSERT_TAIL(&budget->by_age, spool, of_all);
	TAILQ_INSERT_TAIL(&spool->share->by_age, spool, of_client);
	spool_charge(spool, (ssize_t)spool->capacity, 0);
}

static void
waiter_remove(struct spool *spool)
{
	if (!spool->waiting)
		return;
	TAILQ_REMOVE(&spool->budget->waiters, spool, wait);
	spool->waiting = false;
}

/* Another one is the oldest now. */
void
spool_close(struct spool *spool)
{
	if (!spool->open)
		return;
	waiter_remove(spool);
	spool->open = false;
	if (spool->fd >= 0) {
		spool->budget->disk_sealed += spool->size;
		spool->share->sealed += spool->size;
	}
	TAILQ_REMOVE(&spool->budget->by_age, spool, of_all);
	TAILQ_REMOVE(&spool->share->by_age, spool, of_client);
	rouse(spool->budget);
}

void
spool_leave(struct spool *spool)
{
	spool_close(spool);
	if (spool->fd >= 0) {
		spool->budget->disk_sealed -= spool->size;
		spool->share->sealed -= spool->size;
		spool_charge(spool, 0, -(int64_t)spool->size);
	} else {
		spool_charge(spool, -(ssize_t)spool->capacity, 0);
	}
	if (peer_count(spool->client) == 1) {
		free(spool->share);
		*peer_place(spool->client) = NULL;
	}
	peers_leave(spool->budget->clients, spool->client);
}

/* ---- how much --------------------------------------------------------------------- */

/* A client holds no more than it leaves to others. */
static bool
may_hold(const struct spool *spool, size_t capacity)
{
	size_t most = spool->budget->limits.memory_all;
	size_t more = capacity - spool->capacity;
	size_t all = spool->budget->memory_used + more;

	return all <= most && spool->share->memory + more <= most - all &&
	       memory_has(more);
}

size_t
spool_capacity_for(const struct spool *spool, size_t more)
{
	size_t most = spool->head + spool->budget->limits.memory_each;
	size_t want = spool->size + more, capacity = 2 * spool->capacity;

	if (want <= spool->capacity)
		return spool->capacity;
	if (want > most)
		return 0;
	if (capacity > most)
		capacity = most;
	if (capacity < want)
		capacity = want;
	return may_hold(spool, capacity) ? capacity : 0;
}

/* Of those of its client that need files, it is one of the oldest. */
static bool
goes_first(const struct spool *spool)
{
	const struct spool *at;
	unsigned before = 0;

	TAILQ_FOREACH(at, &spool->share->by_age, of_client)
	{
		if (at == spool)
			return true;
		if ((at->fd >= 0 || at->waiting) && ++before == GO_TOGETHER)
			return false;
	}
	return true;
}

/*
 * Beyond the limit only the oldest of all may go on, and not even that one while there are
 * messages to wait for that are complete and will soon be gone; and beyond its share only
 * the oldest of a client, by the same rule, as long as a quarter is left to others.
 */
bool
spool_may_write(const struct spool *spool, size_t more)
{
	const struct spool_budget *budget = spool->budget;
	const struct spool_share *share = spool->share;
	uint64_t most = budget->limits.disk_all;
	uint64_t new_bytes = more + (spool->fd < 0 ? spool->size : 0);
	uint64_t all = budget->disk_used + new_bytes, ours = share->disk + new_bytes;

	if (most == 0)
		return true;
	if (all <= most && ours <= most - all &&
	    (ours <= (most - all) / 2 || goes_first(spool)))
		return true;
	if (TAILQ_FIRST(&share->by_age) == spool && share->sealed == 0 &&
	    all <= most - most / 4)
		return true;
	return TAILQ_FIRST(&budget->by_age) == spool && budget->disk_sealed == 0;
}

/* ---- waiting ------------------------------------------------------------------------ */

void
spool_wait(struct spool *spool, size_t wants)
{
	spool->wants = wants;
	spool->waiting = true;
	TAILQ_INSERT_TAIL(&spool->budget->waiters, spool, wait);
	stats_add(STAT_spool_waits, 1);
}

static bool
may_go_on(const struct spool *spool)
{
	return (spool->fd < 0 && spool_capacity_for(spool, spool->wants) > 0) ||
	       spool_may_write(spool, spool->wants);
}

/* That of the client which has least; of that client's, the oldest. */
static bool
is_before(const struct spool *a, const struct spool *b)
{
	if (a->share->disk != b->share->disk)
		return a->share->disk < b->share->disk;
	return a->number < b->number;
}

static struct spool *
next_waiter(struct spool_budget *budget)
{
	struct spool *spool, *next = NULL;

	TAILQ_FOREACH(spool, &budget->waiters, wait)
	if ((!next || is_before(spool, next)) && may_go_on(spool))
		next = spool;
	return next;
}

/* One after the other, for what one takes another has not; and a few at a time, for each
 * of them is work for others, too. */
static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct spool_budget *budget = arg;
	struct spool *spool;

	(void)fd;
	(void)what;
	for (unsigned i = 0; i < WAKE_AT_ONCE; i++) {
		spool = next_waiter(budget);
		if (!spool)
			return;
		waiter_remove(spool);
		spool->space(spool->arg);
	}
	rouse(budget);
}

/* ---- trouble ------------------------------------------------------------------------ */

static void
note_slow(struct spool_budget *budget, int64_t ms)
{
	uint64_t times;

	if (ms < SLOW_MS) {
		(void)episode_ends(&budget->slowness, &times);
		return;
	}
	stats_add(STAT_spool_slow, 1);
	if (episode_meets(&budget->slowness, ETIMEDOUT))
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text",
		                   "writing a piece of a message took long, and all "
		                   "sessions have waited: spool_path needs a faster "
		                   "disk, or memory (tmpfs)"),
		          log_text("spool_path", budget->limits.path),
		          log_number("ms", ms));
}

void
spool_note(struct spool_budget *budget, int error, int64_t ms)
{
	note_slow(budget, ms);
	if (error == 0)
		return;
	stats_add(STAT_spool_failed, 1);
	if (episode_meets(&budget->trouble, error))
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text",
		                   "a message cannot be stored for scanning; see the "
		                   "free space and the permissions of spool_path"),
		          log_text("spool_path", budget->limits.path),
		          log_error(error));
}

/* The first bytes of a message fit into a disk on which there is no room for it. */
void
spool_note_whole(struct spool_budget *budget)
{
	uint64_t times;

	if (episode_ends(&budget->trouble, &times))
		log_event(NULL, LOG_RECOVERED_EVENT,
		          log_text("text", "messages can be stored again"),
		          log_text("spool_path", budget->limits.path),
		          log_number("failed", (int64_t)times));
}

/* ---- the budget ---------------------------------------------------------------------- */

struct spool_budget *
spool_budget_new(struct event_base *base, const struct spool_limits *limits)
{
	struct spool_budget *budget = xcalloc(1, sizeof(*budget));

	TAILQ_INIT(&budget->by_age);
	TAILQ_INIT(&budget->waiters);
	budget->clients = peers_new();
	budget->wake = event_new(base, -1, 0, on_wake, budget);
	spool_budget_set(budget, limits);
	return budget;
}

void
spool_budget_set(struct spool_budget *budget, const struct spool_limits *limits)
{
	char *path = xstrdup(limits->path);

	free((char *)budget->limits.path);
	budget->limits = *limits;
	budget->limits.path = path;
	rouse(budget);
}

void
spool_budget_free(struct spool_budget *budget)
{
	if (!budget)
		return;
	assert(TAILQ_EMPTY(&budget->by_age));
	event_free(budget->wake);
	peers_free(budget->clients);
	free((char *)budget->limits.path);
	free(budget);
}
