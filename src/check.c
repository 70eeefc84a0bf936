#include "check_internal.h"

#include "header.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct checks {
	struct event_base *base; /* NULL until checks_start() */
	struct resolver *resolver;
	bool explain;    /* one message: readers alone, and each of them answers */
	unsigned rounds; /* under way */
	bool loaded[CHECKS_MOST];
	void *state[CHECKS_MOST];
};

struct check_round {
	struct checks *checks;
	/* Activated by the last answer; NULL while they are started. */
	struct event *over;
	bool certain; /* one has found what no other can undo: the rest need not look */
	check_done_cb *done;
	void *arg;
	enum stage stage;
	struct evidence evidence;
	/* One for each run; the caller's while they are started. */
	struct findings *found;
	size_t unanswered;
	struct check_run run[CHECKS_MOST];
};

size_t
check_head(const struct config *cfg, char to[static CHECK_HEAD_SIZE])
{
	static const char first[] = "Received: from smtp-gated\r\n";
	int size;

	if (header_is_name(cfg->spool_header))
		size = snprintf(to, CHECK_HEAD_SIZE, "%s%s: smtp-gated\r\n", first,
		                cfg->spool_header);
	else
		size = snprintf(to, CHECK_HEAD_SIZE, "%s", first);
	assert(size > 0 && size < CHECK_HEAD_SIZE);
	return (size_t)size;
}

static bool
needs(const struct checks *checks, const struct check_rule *rule,
      const struct config *cfg)
{
	if (checks->explain)
		return rule->reads && rule->wanted(cfg);
	return !rule->load || rule->standby || config_any(cfg, rule->wanted);
}

/* Frees CHECKS if it fails. */
static struct checks *
load(struct checks *checks, const struct config *cfg, char *why, size_t why_size)
{
	for (size_t i = 0; i < check_rule_count; i++) {
		if (!needs(checks, check_rules[i], cfg))
			continue;
		if (check_rules[i]->load)
			checks->state[i] = check_rules[i]->load(cfg, why, why_size);
		if (check_rules[i]->load && !checks->state[i]) {
			checks_free(checks);
			return NULL;
		}
		checks->loaded[i] = true;
	}
	return checks;
}

struct checks *
checks_new(const struct config *cfg, char *why, size_t why_size)
{
	return load(xcalloc(1, sizeof(struct checks)), cfg, why, why_size);
}

struct checks *
checks_new_to_explain(const struct config *cfg, char *why, size_t why_size)
{
	struct checks *checks = xcalloc(1, sizeof *checks);

	checks->explain = true;
	return load(checks, cfg, why, why_size);
}

bool
checks_ready(struct checks *checks, char *why, size_t why_size)
{
	for (size_t i = 0; i < check_rule_count; i++)
		if (checks->loaded[i] && check_rules[i]->ready &&
		    !check_rules[i]->ready(checks->state[i], why, why_size))
			return false;
	return true;
}

bool
checks_start(struct checks *checks, struct event_base *base, struct resolver *resolver)
{
	assert(!checks->base);
	checks->base = base;
	checks->resolver = resolver;
	for (size_t i = 0; i < check_rule_count; i++)
		if (checks->loaded[i] && check_rules[i]->begin &&
		    !check_rules[i]->begin(checks->state[i], base))
			return false;
	return true;
}

void
checks_reconfigure(struct checks *checks, const struct config *cfg)
{
	for (size_t i = 0; i < check_rule_count; i++)
		if (checks->loaded[i] && check_rules[i]->reconfigure)
			check_rules[i]->reconfigure(checks->state[i], cfg);
}

void
checks_hand_over(struct checks *checks)
{
	for (size_t i = 0; i < check_rule_count; i++)
		if (checks->loaded[i] && check_rules[i]->hand_over)
			check_rules[i]->hand_over(checks->state[i]);
}

void
checks_take_over(struct checks *checks)
{
	for (size_t i = 0; i < check_rule_count; i++)
		if (checks->loaded[i] && check_rules[i]->take_over)
			check_rules[i]->take_over(checks->state[i]);
}

void
checks_share(struct checks *checks, struct statestore *store)
{
	for (size_t i = 0; i < check_rule_count; i++)
		if (checks->loaded[i] && check_rules[i]->share)
			check_rules[i]->share(checks->state[i], store);
}

void
checks_free(struct checks *checks)
{
	if (!checks)
		return;
	assert(checks->rounds == 0);
	for (size_t i = 0; i < check_rule_count; i++)
		if (checks->loaded[i] && check_rules[i]->unload)
			check_rules[i]->unload(checks->state[i]);
	free(checks);
}

const char *
stage_word(enum stage stage)
{
	switch (stage) {
	case STAGE_CONNECT:
		return "connect";
	case STAGE_GREETING:
		return "greeting";
	case STAGE_HELO:
		return "helo";
	case STAGE_AUTH:
		return "auth";
	case STAGE_MAIL:
		return "mail";
	case STAGE_RCPT:
		return "rcpt";
	case STAGE_DATA:
		return "data";
	case STAGE_MESSAGE:
		return "message";
	}
	abort(); /* no such thing: a stage */
}

unsigned
check_stages(const struct config *cfg)
{
	unsigned stages = 0;

	for (size_t i = 0; i < check_rule_count; i++)
		if (check_rules[i]->wanted(cfg))
			stages |= check_rules[i]->stages;
	return stages;
}

static bool
is_spared(const struct check_rule *rule, const struct config *cfg, bool authenticated)
{
	return authenticated && (cfg->auth_skip & rule->skip);
}

bool
check_reads(const struct config *cfg, bool authenticated)
{
	for (size_t i = 0; i < check_rule_count; i++)
		if (check_rules[i]->reads && check_rules[i]->wanted(cfg) &&
		    !is_spared(check_rules[i], cfg, authenticated))
			return true;
	return false;
}

bool
check_looks(const struct config *cfg)
{
	return check_reads(cfg, false);
}

void
check_note(struct checks *checks, const struct config *cfg, enum happening what,
           const struct evidence *evidence)
{
	for (size_t i = 0; i < check_rule_count; i++)
		if (checks->loaded[i] && check_rules[i]->note &&
		    check_rules[i]->wanted(cfg))
			check_rules[i]->note(checks->state[i], cfg, what, evidence);
}

/* ---- a round --------------------------------------------------------------- */

static void
round_free(struct check_round *round)
{
	round->checks->rounds--;
	event_free(round->over);
	free(round->found);
	free(round);
}

/* They look no more; what they have found is nothing. */
static void
cancel_rest(struct check_round *round)
{
	for (size_t i = 0; i < round->found->count; i++) {
		if (round->run[i].answered)
			continue;
		assert(round->run[i].rule->cancel); /* or it would have answered */
		round->run[i].rule->cancel(&round->run[i]);
		round->run[i].answered = round->run[i].ended = true;
	}
	round->unanswered = 0;
}

/* True if one of the virus scanners did look at the message. */
static bool
was_scanned(const struct check_round *round)
{
	for (size_t i = 0; i < round->found->count; i++) {
		enum finding_kind kind = round->found->at[i].kind;
		const struct check_run *run = &round->run[i];

		if (run->rule->family == FAMILY_ANTIVIRUS && !run->ended &&
		    !run->found->skipped &&
		    (kind == FOUND_NOTHING || kind == FOUND_VIRUS))
			return true;
	}
	return false;
}

/* A scanner that fails weighs less where others have looked. */
static void
weigh_failures(struct check_round *round)
{
	if (!was_scanned(round))
		return;
	for (size_t i = 0; i < round->found->count; i++)
		if (round->found->at[i].kind == FOUND_FAILED)
			round->found->at[i].kind = FOUND_ENGINE_FAILED;
}

static void
round_over(int fd, short what, void *arg)
{
	struct check_round *round = arg;
	check_done_cb *done = round->done;
	void *done_arg = round->arg;
	struct findings *found = round->found;

	(void)fd;
	(void)what;
	cancel_rest(round);
	weigh_failures(round);
	round->found = NULL;
	round_free(round);
	done(found, done_arg);
	free(found);
}

/* By way of an event, once all are started: whoever answers then may be deep inside of
 * code that does not expect a session to end under it. */
void
check_answer(struct check_run *run)
{
	struct check_round *round = run->round;

	assert(!run->answered);
	run->answered = true;
	run->found->family = run->rule->family;
	round->unanswered--;
	if (!round->checks->explain && verdict_is_certain(run->cfg, run->found))
		round->certain = true;
	if ((round->unanswered == 0 || round->certain) && round->over)
		event_active(round->over, EV_TIMEOUT, 0);
}

bool
check_is_too_big(struct check_run *run)
{
	uint64_t size = spool_message_size(run->evidence->message);

	if (size <= (uint64_t)run->cfg->scan_max_size)
		return false;
	run->found->kind = FOUND_UNSCANNABLE;
	strcpy(run->found->name, "too big");
	check_answer(run);
	return true;
}

static enum finding_kind
failure_of(const struct check_rule *rule)
{
	switch (rule->family) {
	case FAMILY_ANTIVIRUS:
		return FOUND_FAILED;
	case FAMILY_ANTISPAM:
		return FOUND_SPAM_FAILED;
	case FAMILY_NONE:
		break;
	}
	return FOUND_CHECK_FAILED;
}

/* A reload asks for a check that was not asked for at the start: such options need a
 * restart.  What nobody looked at is not clean. */
static void
not_loaded(struct check_run *run)
{
	run->found->kind = failure_of(run->rule);
	strcpy(run->found->name, "not loaded, restart needed");
	check_answer(run);
}

static void
round_add(struct check_round *round, size_t rule, const struct config *cfg)
{
	const struct checks *checks = round->checks;
	struct findings *found = round->found;
	size_t index = found->count++;

	found->at[index] = (struct finding){ .kind = FOUND_NOTHING,
		                             .check = check_rules[rule]->name,
		                             .family = check_rules[rule]->family };
	round->run[index] = (struct check_run){
		.rule = check_rules[rule],
		.start = checks->loaded[rule] ? check_rules[rule]->start : not_loaded,
		.state = checks->state[rule],
		.resolver = checks->resolver,
		.cfg = cfg,
		.stage = round->stage,
		.evidence = &round->evidence,
		.found = &found->at[index],
		.round = round,
	};
}

/* Some will answer later: from now on the findings are the round's own. */
static void
round_goes_on(struct check_round *round)
{
	struct findings *own = xmalloc(sizeof *own);

	*own = *round->found;
	for (size_t i = 0; i < own->count; i++)
		round->run[i].found = &own->at[i];
	round->found->count = 0;
	round->found = own;
	round->over = event_new(round->checks->base, -1, 0, round_over, round);
	if (!round->over)
		abort(); /* there is no memory: see xalloc.h */
	round->checks->rounds++;
}

/* That it did not read the message is told with the verdict. */
static bool
is_skipped(const struct check_run *run)
{
	return run->rule->reads &&
	       is_spared(run->rule, run->cfg, run->evidence->authenticated);
}

/* Nobody reads a message of which it is known already that it will not pass. */
static void
begin_runs(struct check_round *round)
{
	for (size_t i = 0; i < round->found->count; i++) {
		struct check_run *run = &round->run[i];

		assert(run->start);
		if (is_skipped(run)) {
			run->found->skipped = "auth_skip";
		} else if (!round->certain || !run->rule->reads) {
			run->start(run);
			continue;
		}
		run->answered = run->ended = true;
		round->unanswered--;
	}
}

static bool
looks(const struct checks *checks, const struct check_rule *rule,
      const struct config *cfg, enum stage stage, const struct evidence *evidence)
{
	if (!(rule->stages & stage) || !rule->wanted(cfg))
		return false;
	return (!checks->explain || rule->reads) &&
	       (rule->reads || !is_spared(rule, cfg, evidence->authenticated));
}

struct check_round *
check_start(struct checks *checks, const struct config *cfg, enum stage stage,
            const struct evidence *evidence, struct findings *found,
            check_done_cb *done, void *arg)
{
	struct check_round *round = NULL;

	assert(checks->base);
	found->count = 0;
	for (size_t i = 0; i < check_rule_count; i++) {
		if (!looks(checks, check_rules[i], cfg, stage, evidence))
			continue;
		if (!round) {
			round = xmalloc(sizeof *round);
			*round = (struct check_round){ .checks = checks,
				                       .done = done,
				                       .arg = arg,
				                       .stage = stage,
				                       .evidence = *evidence,
				                       .found = found };
		}
		round_add(round, i, cfg);
	}
	if (!round)
		return NULL;
	round->unanswered = found->count;
	begin_runs(round);
	if (round->certain)
		cancel_rest(round);
	if (round->unanswered > 0) {
		round_goes_on(round);
		return round;
	}
	weigh_failures(round);
	free(round);
	return NULL;
}

void
check_expire(struct check_round *round, struct findings *found)
{
	for (size_t i = 0; i < round->found->count; i++) {
		const struct check_run *run = &round->run[i];

		if (run->answered || round->certain) /* nobody waits for it */
			continue;
		run->found->kind = failure_of(run->rule);
		strcpy(run->found->name, "no verdict in time");
	}
	cancel_rest(round);
	weigh_failures(round);
	*found = *round->found;
	round_free(round);
}

void
check_cancel(struct check_round *round)
{
	if (!round)
		return;
	cancel_rest(round);
	round_free(round);
}
