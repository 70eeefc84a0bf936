#include "statestore_internal.h"

#include "clock.h"
#include "log.h"
#include "siphash.h"
#include "stats.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	TICK_MS = 1000,
	PAUSE_MS = 250, /* before it is tried again; twice as long each time */
	PAUSE_MOST_MS = 10000,
	STEADY_MS = 10000, /* what lasts so long was no failure */
	FAREWELL_MS = 1000,
	REASONS_MOST = 8, /* that are said while it cannot be used */
};

struct statestore {
	struct caller *caller;
	char *prefix, *identity_path;
	struct event_base *base;
	struct event *tick, *retry;
	int64_t since_ms; /* it is up, or is not */
	bool has_left;
	bool trouble_said, refusal_said, oddness_said, has_been_up;
	unsigned failures;
	uint64_t reasons[REASONS_MOST]; /* that have been said: their hashes */
	size_t reason_count;
	struct siphash_key secret;
	char identity[NAME_SIZE]; /* of this gateway, for good */
	char nonce[NAME_SIZE];    /* of this process */
	char life[NAME_SIZE];     /* of what the server has, see ask_life() */
	bool is_life_known, is_life_asked;
	struct state_counts *counts;
	struct state_locks *locks;
};

/* ---- what is said ----------------------------------------------------------------------- */

static const char *
advice(const char *why)
{
	static const struct {
		const char *begins, *advice;
	} all[] = {
		{ "WRONGPASS",
		  "; see state_password_file, and the user in state_server" },
		{ "NOAUTH", "; it wants a password: see state_password_file" },
		{ "NOPERM",
		  "; its ACL must allow this user the keys and the channel of "
		  "state_prefix, see smtp-gated(8)" },
		{ "READONLY", "; it is a replica: state_server must be the primary" },
		{ "MISCONF", "; it cannot write its own snapshots: see its log" },
		{ "OOM", "; it is full: see maxmemory there" },
		{ "MOVED", "; a cluster is not supported" },
		{ "DENIED", "; protected-mode: give it a password, or let us use its "
		            "socket" },
		{ "Permission denied",
		  "; the daemon's user must be in the group of that socket" },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (strncmp(why, all[i].begins, strlen(all[i].begins)) == 0)
			return all[i].advice;
	return "";
}

static void
trouble(struct statestore *store, const char *text, const char *why)
{
	char *words = xasprintf("%.200s%s", why, advice(why));

	log_event(NULL, LOG_TROUBLE_EVENT, log_text("text", text),
	          log_text("state_server", caller_server(store->caller)),
	          log_text("why", words));
	free(words);
}

void
statestore_refused(struct statestore *store, const char *why)
{
	stats_add(STAT_state_refused, 1);
	if (!store->refusal_said)
		trouble(store,
		        "the state server refuses what it is told: locks and counts of "
		        "this gateway reach no other",
		        why);
	store->refusal_said = true;
}

void
statestore_taken(struct statestore *store)
{
	if (!store->refusal_said)
		return;
	store->refusal_said = false;
	log_event(NULL, LOG_SHARED_EVENT,
	          log_text("text", "the state server takes what it is told again"),
	          log_text("state_server", caller_server(store->caller)));
}

/* Once; the counter has how often. */
void
statestore_odd(struct statestore *store, const char *what)
{
	stats_add(STAT_state_odd, 1);
	if (!store->oddness_said)
		trouble(store,
		        "the state server has what no gateway has put there; that is "
		        "passed over",
		        what);
	store->oddness_said = true;
}

/* False: that has been said of this outage, or enough. */
static bool
is_new_reason(struct statestore *store, const char *why)
{
	uint64_t hash = siphash(&store->secret, why, strlen(why));

	for (size_t i = 0; i < store->reason_count; i++)
		if (store->reasons[i] == hash)
			return false;
	if (store->reason_count == REASONS_MOST)
		return false;
	store->reasons[store->reason_count++] = hash;
	return true;
}

/* What it was lost by is seldom why it stays away: each reason is said, once. */
static void
say_lost(struct statestore *store, const char *why)
{
	if (!store->trouble_said) {
		store->since_ms = clock_ms();
		store->reason_count = 0;
	}
	if (is_new_reason(store, why))
		trouble(store,
		        store->trouble_said ? "the state server still cannot be used"
		                            : "the state server cannot be used: until "
		                              "it can, locks "
		                              "and counts are this gateway's alone",
		        why);
	store->trouble_said = true;
}

static void
say_up(struct statestore *store)
{
	const char *server = caller_server(store->caller);

	if (store->trouble_said)
		log_event(NULL, LOG_SHARED_EVENT,
		          log_text("text", "the state server can be used again: locks "
		                           "and counts are shared"),
		          log_text("state_server", server),
		          log_number("ms", clock_ms() - store->since_ms));
	else if (!store->has_been_up)
		log_event(NULL, LOG_SHARED_EVENT,
		          log_text("text", "locks and counts are shared with other "
		                           "gateways"),
		          log_text("state_server", server),
		          log_text("gateway", store->identity));
	store->has_been_up = true;
	store->trouble_said = false;
}

/* ---- it is lost ------------------------------------------------------------------------- */

static void
hang_up(struct statestore *store)
{
	bool was_up = caller_talk(store->caller);

	caller_hang_up(store->caller);
	stats_set(STAT_state_connected, 0);
	if (was_up && store->counts)
		counts_down(store->counts);
	if (was_up && store->locks)
		locks_down(store->locks);
}

/* Gateways that lost it together do not come back together. */
static void
plan_retry(struct statestore *store)
{
	int64_t pause = PAUSE_MS;

	for (unsigned i = 0; i < store->failures && pause < PAUSE_MOST_MS; i++)
		pause *= 2;
	if (pause > PAUSE_MOST_MS)
		pause = PAUSE_MOST_MS;
	pause -= (int64_t)(siphash_random_key().half[0] % (uint64_t)pause) / 2;
	store->failures++;
	event_add(store->retry, &(struct timeval){ .tv_sec = pause / 1000,
	                                           .tv_usec = pause % 1000 * 1000 });
}

static void
on_lost(const char *why, void *arg)
{
	struct statestore *store = arg;
	bool was_up = caller_talk(store->caller);

	if (store->has_left)
		return;
	if (was_up)
		stats_add(STAT_state_lost, 1);
	if (was_up && clock_ms() - store->since_ms > STEADY_MS)
		store->failures = 0;
	say_lost(store, why);
	hang_up(store);
	plan_retry(store);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct statestore *store = arg;

	(void)fd, (void)what;
	caller_call(store->caller);
}

/* ---- it is there ------------------------------------------------------------------------ */

static void
introduce(struct statestore *store)
{
	char *words = xasprintf("gateway %s %s", store->identity, store->nonce);
	struct link_word publish[] = { link_text("PUBLISH"),
		                       link_text(caller_channel(store->caller)),
		                       link_text(words) };

	link_ask(caller_talk(store->caller), publish, 3, NULL, NULL);
	free(words);
}

static void
tell_all(struct statestore *store)
{
	if (store->counts)
		counts_up(store->counts);
	if (store->locks)
		locks_up(store->locks);
}

static void
on_life(const struct link_answer *answer, void *arg)
{
	struct statestore *store = arg;
	bool was_known = store->is_life_known;

	store->is_life_asked = false;
	if (!answer || (answer->kind != LINK_TEXT && answer->kind != LINK_NOTHING) ||
	    (was_known && strncmp(answer->text, store->life, NAME_SIZE - 1) == 0))
		return;
	snprintf(store->life, NAME_SIZE, "%.16s", answer->text);
	store->is_life_known = true;
	if (!was_known || !store->life[0])
		return; /* told all by now; or nothing can be told yet */
	log_event(NULL, LOG_SHARED_EVENT,
	          log_text("text", "the state server has lost what it had: all is told "
	                           "again"),
	          log_text("state_server", caller_server(store->caller)));
	tell_all(store);
}

/* PREFIX:life is a random text, of whoever finds none.  If it is another one than before,
 * the server has been emptied under us. */
static void
ask_life(struct statestore *store)
{
	struct link *talk = caller_talk(store->caller);
	char *key, life[NAME_SIZE];
	struct link_word set[] = {
		link_text("SET"), { 0 }, { life, NAME_SIZE - 1 }, link_text("NX")
	};
	struct link_word get[] = { link_text("GET"), { 0 } };

	if (!talk || store->is_life_asked)
		return;
	store->is_life_asked = true;
	name_make(life);
	key = xasprintf("%.200s:life", store->prefix);
	set[1] = get[1] = link_text(key);
	link_ask(talk, set, 4, NULL, NULL);
	link_ask(talk, get, 2, on_life, store);
	free(key);
}

static void
on_up(void *arg)
{
	struct statestore *store = arg;

	stats_set(STAT_state_connected, 1);
	say_up(store);
	store->since_ms = clock_ms();
	introduce(store);
	store->is_life_known = false;
	ask_life(store); /* before anything is told */
	tell_all(store);
}

/* "NAME NONCE" of a gateway that has come. */
static void
meet(struct statestore *store, const char *text)
{
	if (strncmp(text, store->identity, NAME_SIZE - 1) != 0 ||
	    text[NAME_SIZE - 1] != ' ' || strcmp(text + NAME_SIZE, store->nonce) == 0)
		return;
	name_make(store->identity);
	name_keep(store->identity, store->identity_path);
	log_event(NULL, LOG_SHARED_EVENT,
	          log_text("text", "another gateway has the name of this one (a copy "
	                           "of its ratelimit_path, or the same one: each "
	                           "daemon needs its own): this one has a new name"),
	          log_text("gateway", store->identity));
	if (store->counts)
		counts_rename(store->counts, store->identity);
}

static void
on_news(const struct link_answer *text, void *arg)
{
	struct statestore *store = arg;

	if (link_says(text, "gateway "))
		meet(store, text->text + 8);
	else if (link_says(text, "lock ") && store->locks)
		locks_heard(store->locks, text->text + 5, text->size - 5);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct statestore *store = arg;

	(void)fd, (void)what;
	caller_tick(store->caller);
	ask_life(store);
	if (store->counts)
		counts_tick(store->counts);
	if (store->locks)
		locks_tick(store->locks);
}

/* ---- for what is shared ----------------------------------------------------------------- */

struct link *
statestore_talk(struct statestore *store)
{
	return caller_talk(store->caller);
}

struct event_base *
statestore_base(struct statestore *store)
{
	return store->base;
}

const char *
statestore_prefix(const struct statestore *store)
{
	return store->prefix;
}

const char *
statestore_channel(const struct statestore *store)
{
	return caller_channel(store->caller);
}

/* ---- birth and death -------------------------------------------------------------------- */

struct statestore *
statestore_new(const struct statestore_setup *setup, char *why, size_t why_size)
{
	struct caller *caller = caller_new(setup, why, why_size);
	struct statestore *store;

	assert(setup->seconds > 0);
	if (!caller)
		return NULL;
	store = xcalloc(1, sizeof(*store));
	store->caller = caller;
	store->prefix = xstrdup(setup->prefix);
	store->identity_path = xstrdup(setup->identity_path);
	name_make(store->nonce);
	store->secret = siphash_random_key();
	return store;
}

void
statestore_share_counts(struct statestore *store, struct ratestore *rates)
{
	assert(!store->base && !store->counts);
	store->counts = counts_new(store, rates);
}

void
statestore_share_locks(struct statestore *store, const char *path,
                       const struct lockfile_rules *rules)
{
	assert(!store->base && !store->locks);
	store->locks = locks_new(store, path, rules);
}

void
statestore_set_locks(struct statestore *store, const struct lockfile_rules *rules)
{
	if (store->locks)
		locks_set(store->locks, rules);
}

void
statestore_start(struct statestore *store, struct event_base *base,
                 struct resolver *resolver)
{
	static const struct caller_ears ears = { .up = on_up,
		                                 .lost = on_lost,
		                                 .news = on_news };

	store->base = base;
	name_find(store->identity, store->identity_path);
	store->tick = event_new(base, -1, EV_PERSIST, on_tick, store);
	store->retry = evtimer_new(base, on_retry, store);
	if (!store->tick || !store->retry)
		abort(); /* there is no memory: see xalloc.h */
	event_add(store->tick, &(struct timeval){ .tv_sec = TICK_MS / 1000 });
	caller_start(store->caller, base, resolver, &ears, store);
	if (store->counts)
		counts_start(store->counts, store->identity);
	if (store->locks)
		locks_start(store->locks);
	caller_call(store->caller);
}

void
statestore_leave(struct statestore *store)
{
	if (!store || !store->base || store->has_left)
		return;
	store->has_left = true;
	event_del(store->tick);
	event_del(store->retry);
	hang_up(store);
	locks_free(store->locks);
	counts_free(store->counts);
	store->locks = NULL;
	store->counts = NULL;
}

void
statestore_finish(struct statestore *store)
{
	int64_t until = clock_ms() + FAREWELL_MS;
	struct timeval pause = { .tv_usec = 10000 };

	if (!store || !store->counts || !caller_talk(store->caller))
		return;
	counts_tick(store->counts);
	while (caller_talk(store->caller) && counts_are_busy(store->counts) &&
	       clock_ms() < until) {
		event_base_loopexit(store->base, &pause);
		event_base_loop(store->base, 0);
	}
}

void
statestore_free(struct statestore *store)
{
	if (!store)
		return;
	statestore_leave(store);
	locks_free(store->locks);
	counts_free(store->counts);
	caller_free(store->caller);
	if (store->tick)
		event_free(store->tick);
	if (store->retry)
		event_free(store->retry);
	free(store->prefix);
	free(store->identity_path);
	free(store);
}
