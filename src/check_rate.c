#include "check_internal.h"

#include "command.h"
#include "ratestore.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * How much of everything a client has had within ratelimit_period: ratecount.h says how
 * that is counted.
 *
 * What we can stop is counted when it is let through, so that many sessions at one time
 * cannot have it all at once; what a server refuses, and that it refused it, when it has
 * done so.  Nothing is counted that was turned away for being too much: who comes again
 * and again need not wait longer.
 */
struct check_rate {
	struct ratestore *store;
	char *path;
};

enum takes {
	TAKES,    /* it is counted here */
	HAS_ROOM, /* it will be counted later, if it comes to that */
};

/* The limits, in the order in which they are looked at. */
static const struct rate_limit {
	enum stage stage;
	enum rate rate;
	enum takes takes;
	enum finding_kind kind;
	size_t limit; /* the option: where it is in struct config */
} limits[] = {
#define LIMIT(stage, what, takes, option) \
	{ \
		STAGE_##stage, RATE_##what, takes, FOUND_RATELIMIT_##what, \
			offsetof(struct config, ratelimit_##option) \
	}
	LIMIT(CONNECT, CONNECTIONS, TAKES, connections),
	LIMIT(AUTH, AUTH_REJECTS, HAS_ROOM, auth_rejects),
	LIMIT(MAIL, MAILFROM_REJECTS, HAS_ROOM, mailfrom_rejects),
	LIMIT(MAIL, MESSAGES, HAS_ROOM, messages),
	LIMIT(MAIL, BYTES, HAS_ROOM, bytes),
	LIMIT(RCPT, RCPTTO_REJECTS, HAS_ROOM, rcptto_rejects),
	LIMIT(RCPT, RECIPIENTS, TAKES, recipients),
	LIMIT(DATA, MESSAGES, TAKES, messages),
	LIMIT(MESSAGE, BYTES, TAKES, bytes),
#undef LIMIT
};

/* What it would need to be let through. */
static uint64_t
amount_of(const struct rate_limit *limit, const struct evidence *evidence)
{
	uint64_t size;

	if (limit->rate != RATE_BYTES)
		return 1;
	if (limit->stage == STAGE_MESSAGE)
		return evidence->size;
	return command_size(evidence->argument, &size) && size > 0 ? size : 1;
}

static struct rate_key
key_of(const struct config *cfg, const struct evidence *evidence)
{
	return rate_key_of(evidence->client, (unsigned)cfg->ratelimit_prefix6,
	                   evidence->ident ?: "");
}

/* ---- looking ------------------------------------------------------------------------ */

static bool
is_within(struct ratestore *store, const struct rate_limit *limit,
          const struct check_run *run, const struct rate_key *key, int64_t now)
{
	uint64_t amount = amount_of(limit, run->evidence), most;
	int64_t option;

	memcpy(&option, (const char *)run->cfg + limit->limit, sizeof(option));
	most = (uint64_t)option;
	if (limit->takes == TAKES)
		return ratestore_take(store, key, limit->rate, amount, most, now);
	return ratestore_has_room(store, key, limit->rate, amount, most, now);
}

static void
found(struct check_run *run, enum finding_kind kind, int64_t limit, int64_t seconds)
{
	run->found->kind = kind;
	snprintf(run->found->name, sizeof(run->found->name),
	         "limit %" PRId64 " in %" PRId64 " s", limit, seconds);
}

static void
look_at_limits(struct check_run *run, struct ratestore *store,
               const struct rate_key *key, int64_t now)
{
	const struct config *cfg = run->cfg;
	int64_t most;

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		if (limits[i].stage != run->stage ||
		    is_within(store, &limits[i], run, key, now))
			continue;
		memcpy(&most, (const char *)cfg + limits[i].limit, sizeof(most));
		found(run, limits[i].kind, most, cfg->ratelimit_period);
		return;
	}
}

static void
look_at_server(struct check_run *run, struct ratestore *store,
               const struct rate_key *key, int64_t now)
{
	const struct config *cfg = run->cfg;

	if (!ratestore_call(store, key, run->evidence->server,
	                    (uint64_t)cfg->ratelimit_dst, now))
		found(run, FOUND_RATELIMIT_DST, cfg->ratelimit_dst,
		      cfg->ratelimit_dst_expiration);
}

static void
rate_start(struct check_run *run)
{
	const struct check_rate *rate = run->state;
	struct rate_key key = key_of(run->cfg, run->evidence);
	int64_t now = ratestore_now();

	look_at_limits(run, rate->store, &key, now);
	if (run->stage == STAGE_CONNECT && run->found->kind == FOUND_NOTHING)
		look_at_server(run, rate->store, &key, now);
	check_answer(run);
}

static void
count(const struct check_rate *rate, const struct config *cfg,
      const struct evidence *evidence, enum rate what)
{
	struct rate_key key = key_of(cfg, evidence);

	ratestore_note(rate->store, &key, what, 1, ratestore_now());
}

static void
rate_note(void *state, const struct config *cfg, enum happening what,
          const struct evidence *evidence)
{
	switch (what) {
	case HAPPENED_MAIL_REJECTED:
		count(state, cfg, evidence, RATE_MAILFROM_REJECTS);
		break;
	case HAPPENED_RCPT_REJECTED:
		count(state, cfg, evidence, RATE_RCPTTO_REJECTS);
		break;
	case HAPPENED_AUTH_REJECTED:
		count(state, cfg, evidence, RATE_AUTH_REJECTS);
		break;
	case HAPPENED_MAIL_ACCEPTED:
	case HAPPENED_RCPT_ACCEPTED:
	case HAPPENED_AUTH_ACCEPTED:
	case HAPPENED_CONTENT:
		break;
	}
}

/* ---- the store ----------------------------------------------------------------------- */

/* A restart alone changes it, so that limits can come and go with a reload. */
static bool
rate_wanted(const struct config *cfg)
{
	return cfg->ratelimit_period > 0;
}

static void *
rate_load(const struct config *cfg, char *why, size_t why_size)
{
	struct check_rate *rate = xcalloc(1, sizeof(*rate));
	struct ratestore_setup setup = {
		.path = cfg->ratelimit_path,
		.period_ms = cfg->ratelimit_period * 1000,
		.generation = (uint32_t)cfg->ratelimit_generation,
		.most = (size_t)cfg->ratelimit_max,
	};

	(void)why, (void)why_size;
	if (cfg->ratelimit_dst_expiration > 0)
		setup.servers_ms = cfg->ratelimit_dst_expiration * 1000;
	rate->path = xstrdup(cfg->ratelimit_path);
	rate->store = ratestore_new(&setup);
	return rate;
}

static bool
rate_ready(void *state, char *why, size_t why_size)
{
	const struct check_rate *rate = state;
	char words[256];

	if (ratestore_ready(rate->path, words, sizeof(words)))
		return true;
	snprintf(why, why_size, "ratelimit_path = \"%s\": %s", rate->path, words);
	return false;
}

static bool
rate_begin(void *state, struct event_base *base)
{
	const struct check_rate *rate = state;

	return ratestore_begin(rate->store, base, ratestore_now());
}

static void
rate_hand_over(void *state)
{
	const struct check_rate *rate = state;

	ratestore_hand_over(rate->store, ratestore_now());
}

static void
rate_take_over(void *state)
{
	const struct check_rate *rate = state;

	ratestore_take_over(rate->store, ratestore_now());
}

static void
rate_share(void *state, struct statestore *store)
{
	const struct check_rate *rate = state;

	statestore_share_counts(store, rate->store);
}

static void
rate_reconfigure(void *state, const struct config *cfg)
{
	const struct check_rate *rate = state;

	ratestore_set_most(rate->store, (size_t)cfg->ratelimit_max);
	ratestore_set_generation(rate->store, (uint32_t)cfg->ratelimit_generation);
}

static void
rate_unload(void *state)
{
	struct check_rate *rate = state;

	ratestore_free(rate->store);
	free(rate->path);
	free(rate);
}

const struct check_rule check_rate = {
	.name = "ratelimit",
	.stages = STAGE_CONNECT | STAGE_AUTH | STAGE_MAIL | STAGE_RCPT | STAGE_DATA |
	          STAGE_MESSAGE,
	.wanted = rate_wanted,
	.load = rate_load,
	.ready = rate_ready,
	.begin = rate_begin,
	.reconfigure = rate_reconfigure,
	.unload = rate_unload,
	.hand_over = rate_hand_over,
	.take_over = rate_take_over,
	.share = rate_share,
	.start = rate_start,
	.note = rate_note,
};
