#include "statestore_internal.h"

#include "log.h"
#include "statecode.h"
#include "stats.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 * What clients did.  PREFIX:rate:GENERATION:CLIENT is a hash: each gateway has its own
 * field there, which nobody else writes, with all that it has counted of that client.  So
 * it does no harm to write it again, and all fields but one's own are what the others have.
 */
enum {
	WINDOW = 256,        /* clients under way at one time */
	REFUSED_S = 10,      /* between two tries with a server that takes nothing */
	ODD_S = 60,          /* until all is told again when a key is something else */
	GATEWAYS_MOST = 256, /* that are looked at */
	KEY_SIZE = 512,
};

struct state_counts {
	struct statestore *store;
	struct ratestore *rates;
	char identity[NAME_SIZE];
	struct event *soon;
	unsigned under_way;
	unsigned rests;     /* seconds */
	unsigned until_all; /* the same; 0: not planned */
};

/* One client that is told, and asked for. */
struct ask {
	struct state_counts *counts;
	struct rate_key key;
	uint32_t generation;
	bool writes;
	bool refused;
};

static void pump(struct state_counts *counts, bool at_once);

/* ---- keys ------------------------------------------------------------------------------- */

static bool
is_mapped(const unsigned char *host)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(host, mapped, sizeof(mapped)) == 0;
}

/* Of the client that rate_key_of() has made KEY of.  What a peer has said is at its end. */
static size_t
write_key(const struct ask *ask, char to[static KEY_SIZE])
{
	const struct rate_key *key = &ask->key;
	const unsigned char *host = (const unsigned char *)key->at + 1;
	unsigned bits = (unsigned char)key->at[0];
	size_t ident = key->size - 1 - RATE_HOST_SIZE, size;
	char text[INET6_ADDRSTRLEN], net[8] = "";

	if (is_mapped(host))
		inet_ntop(AF_INET, host + 12, text, sizeof(text));
	else
		inet_ntop(AF_INET6, host, text, sizeof(text));
	if (bits < 128)
		snprintf(net, sizeof(net), "/%u", bits);
	size = (size_t)snprintf(to, KEY_SIZE, "%.200s:rate:%" PRIu32 ":%s%s%s",
	                        statestore_prefix(ask->counts->store), ask->generation,
	                        text, net, ident > 0 ? "-" : "");
	memcpy(to + size, key->at + 1 + RATE_HOST_SIZE, ident);
	return size + ident;
}

/* ---- answers ---------------------------------------------------------------------------- */

/* One of a transaction's commands was not even queued. */
static void
on_queued(const struct link_answer *answer, void *arg)
{
	struct ask *ask = arg;

	if (!answer || answer->kind != LINK_REFUSAL)
		return;
	ask->refused = true;
	statestore_refused(ask->counts->store, answer->text);
}

static void
on_written(const struct link_answer *answer, void *arg)
{
	struct ask *ask = arg;
	struct statestore *store = ask->counts->store;

	if (!answer || ask->refused)
		return;
	if (answer->kind == LINK_REFUSAL) {
		ask->refused = true;
		statestore_refused(store, answer->text);
		return;
	}
	for (size_t i = 0; answer->kind == LINK_LIST && i < answer->size; i++)
		if (answer->list[i]->kind == LINK_REFUSAL) {
			statestore_odd(store, answer->list[i]->text);
			return;
		}
	stats_add(STAT_state_counts_told, 1);
	statestore_taken(store);
}

/* Nothing in it matters any more: its gateway has gone, or has nothing to do with this
 * client. */
static bool
is_over(const struct rate_record *record)
{
	for (enum rate rate = 0; rate < RATES; rate++)
		if (rate_record_sum(record, rate) > 0)
			return false;
	return record->server_count == 0;
}

static void
remove_field(const struct ask *ask, const struct link_answer *field)
{
	struct link *talk = statestore_talk(ask->counts->store);
	char key[KEY_SIZE];
	struct link_word words[] = { link_text("HDEL"),
		                     { key, write_key(ask, key) },
		                     { field->text, field->size } };

	if (talk && !ask->refused)
		link_ask(talk, words, 3, NULL, NULL);
}

/* What one other gateway has, to SUM. */
static void
add_field(const struct ask *ask, const struct link_answer *field,
          const struct link_answer *value, struct rate_record *sum, int64_t now)
{
	const struct ratestore_setup *setup = ratestore_setup_of(ask->counts->rates);
	struct rate_record record;

	if (value->kind != LINK_TEXT ||
	    !statecode_take_record(&record, value->text, value->size)) {
		statestore_odd(ask->counts->store, "a count that cannot be read");
		return;
	}
	rate_record_advance(&record, setup->period_ms, now);
	rate_record_forget(&record, now - setup->servers_ms);
	if (is_over(&record)) {
		remove_field(ask, field);
	} else {
		rate_record_advance(sum, setup->period_ms, now);
		rate_record_merge(sum, &record);
	}
	rate_record_clear(&record);
}

static void
add_all(const struct ask *ask, const struct link_answer *fields)
{
	struct state_counts *counts = ask->counts;
	size_t count = fields->size / 2;
	int64_t now = ratestore_now();
	struct rate_record sum = { 0 };

	if (count > GATEWAYS_MOST) {
		statestore_odd(counts->store,
		               "counts of more gateways than there can be");
		count = GATEWAYS_MOST;
	}
	for (size_t i = 0; i < count; i++) {
		const struct link_answer *field = fields->list[2 * i];

		if (field->kind == LINK_TEXT && !link_says(field, counts->identity))
			add_field(ask, field, fields->list[2 * i + 1], &sum, now);
	}
	if (!is_over(&sum))
		stats_add(STAT_state_counts_heard, 1);
	ratestore_take_others(counts->rates, &ask->key, &sum);
}

static bool
is_of_now(const struct ask *ask)
{
	return ask->generation == ratestore_setup_of(ask->counts->rates)->generation;
}

/* The last answer for this client. */
static void
on_read(const struct link_answer *answer, void *arg)
{
	struct ask *ask = arg;
	struct state_counts *counts = ask->counts;

	counts->under_way--;
	if (!answer || ask->refused)
		ratestore_share_again(counts->rates, &ask->key);
	if (ask->refused)
		counts->rests = REFUSED_S;
	if (answer && answer->kind == LINK_REFUSAL) {
		statestore_odd(counts->store, answer->text);
		if (counts->until_all == 0)
			counts->until_all = ODD_S;
	} else if (answer && answer->kind == LINK_LIST && is_of_now(ask))
		add_all(ask, answer);
	free(ask);
	if (answer && counts->under_way == WINDOW - 1)
		pump(counts, counts->rests > 0);
}

/* ---- questions -------------------------------------------------------------------------- */

/* All or nothing, so that no key is there that does not expire by itself. */
static void
write_own(struct link *talk, struct ask *ask, struct link_word key,
          const struct rate_record *own)
{
	static char bytes[STATECODE_RECORD_MAX];
	char lifetime[32];
	struct link_word multi = link_text("MULTI"), exec = link_text("EXEC");
	struct link_word set[] = {
		link_text("HSET"), key, link_text(ask->counts->identity), { bytes, 0 }
	};
	struct link_word expire[] = { link_text("PEXPIRE"), key, { lifetime, 0 } };

	set[3].size = statecode_put_record(own, bytes);
	expire[2].size = (size_t)snprintf(lifetime, sizeof(lifetime), "%" PRId64,
	                                  ratestore_lifetime(ask->counts->rates));
	link_ask(talk, &multi, 1, NULL, NULL);
	link_ask(talk, set, 4, on_queued, ask);
	link_ask(talk, expire, 3, NULL, NULL);
	link_ask(talk, &exec, 1, on_written, ask);
}

static void
ask_for(struct state_counts *counts, struct link *talk, const struct rate_key *key,
        const struct rate_record *own)
{
	struct ask *ask = xcalloc(1, sizeof(*ask));
	char name[KEY_SIZE];
	struct link_word read[] = { link_text("HGETALL"), { name, 0 } };

	ask->counts = counts;
	ask->key = *key;
	ask->generation = ratestore_setup_of(counts->rates)->generation;
	read[1].size = write_key(ask, name);
	if (!is_over(own))
		write_own(talk, ask, read[1], own);
	link_ask(talk, read, 2, on_read, ask);
	counts->under_way++;
}

static void
pump(struct state_counts *counts, bool at_once)
{
	struct link *talk = statestore_talk(counts->store);
	int64_t now = ratestore_now();
	struct rate_record own;
	struct rate_key key;

	while (talk && counts->under_way < WINDOW &&
	       ratestore_share_next(counts->rates, at_once, now, &key, &own)) {
		ask_for(counts, talk, &key, &own);
		rate_record_clear(&own);
	}
}

static void
on_soon(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	pump(arg, true);
}

static void
on_wake(void *arg)
{
	struct state_counts *counts = arg;

	/* In the next turn: who comes together is asked for together. */
	if (statestore_talk(counts->store) && !evtimer_pending(counts->soon, NULL))
		event_add(counts->soon, &(struct timeval){ 0 });
}

void
counts_tick(struct state_counts *counts)
{
	if (counts->rests > 0)
		counts->rests--;
	if (counts->until_all > 0 && --counts->until_all == 0)
		ratestore_share_all(counts->rates);
	pump(counts, counts->rests > 0);
}

/* ---- birth and death -------------------------------------------------------------------- */

struct state_counts *
counts_new(struct statestore *store, struct ratestore *rates)
{
	struct state_counts *counts = xcalloc(1, sizeof(*counts));

	counts->store = store;
	counts->rates = rates;
	return counts;
}

void
counts_start(struct state_counts *counts, const char *identity)
{
	counts->soon = evtimer_new(statestore_base(counts->store), on_soon, counts);
	if (!counts->soon)
		abort(); /* there is no memory: see xalloc.h */
	snprintf(counts->identity, sizeof(counts->identity), "%s", identity);
	ratestore_share(counts->rates, on_wake, counts);
}

/* The server may be another one, or have lost what it had. */
void
counts_up(struct state_counts *counts)
{
	counts->rests = 0;
	ratestore_share_all(counts->rates);
	pump(counts, false);
}

void
counts_down(struct state_counts *counts)
{
	event_del(counts->soon);
}

void
counts_rename(struct state_counts *counts, const char *identity)
{
	snprintf(counts->identity, sizeof(counts->identity), "%s", identity);
	ratestore_share_all(counts->rates);
}

bool
counts_are_busy(const struct state_counts *counts)
{
	return counts->under_way > 0 || ratestore_has_news(counts->rates);
}

void
counts_free(struct state_counts *counts)
{
	if (!counts)
		return;
	ratestore_share(counts->rates, NULL, NULL);
	if (counts->soon)
		event_free(counts->soon);
	free(counts);
}
