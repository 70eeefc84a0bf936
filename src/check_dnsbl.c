#include "check_dnsbl_internal.h"

#include "stats.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/*
 * What do lists in DNS know of the client's address?
 *
 * All are asked at the same time.  A list that is slow or gone holds up a few clients for
 * a while, then nobody any more, and decides nothing: what others have said counts.
 */
struct state {
	struct event_base *base; /* NULL until begin() */
	struct dnsbl_lists *lists;
	TAILQ_HEAD(, dnsbl_job) jobs;
};

static bool
is_wanted(const struct config *cfg)
{
	return cfg->dnsbl.count > 0;
}

static struct state *
state_of(const struct dnsbl_job *job)
{
	return job->run->state;
}

/* Nobody waits for it any more: so nothing is known of the list. */
static void
forget_question(struct dnsbl_entry *entry)
{
	if (!entry->question)
		return;
	resolver_cancel(entry->question);
	entry->question = NULL;
	dnsbl_lists_left(state_of(entry->job)->lists, entry->zone.name,
	                 entry->is_trial);
}

static void
forget_questions(struct dnsbl_job *job)
{
	for (size_t i = 0; i < job->count; i++)
		forget_question(&job->entries[i]);
	resolver_cancel(job->reason);
	job->reason = NULL;
}

static void
job_free(struct dnsbl_job *job)
{
	forget_questions(job);
	evtimer_del(&job->late);
	evtimer_del(&job->turn);
	TAILQ_REMOVE(&state_of(job)->jobs, job, link);
	free(job);
}

/* ---- the end ---------------------------------------------------------------------------- */

static void
over(struct dnsbl_job *job)
{
	struct check_run *run = job->run;
	enum finding_kind kind = dnsbl_kind(job);

	if (dnsbl_some(job, true, DNSBL_TELLS_LISTED))
		stats_add(STAT_dnsbl_spared, 1);
	run->found->kind = kind;
	dnsbl_tell(job, kind);
	job_free(job);
	check_answer(run);
}

/* ---- the reason ----------------------------------------------------------------------- */

/* Words of strangers, for a reply and the log: printable, and of one line. */
static void
keep_words(struct dnsbl_job *job, const char *text)
{
	size_t size = 0;

	for (; *text && size + 1 < sizeof(job->words); text++)
		job->words[size++] = *text >= ' ' && *text <= '~' ? *text : '?';
	job->words[size] = '\0';
}

static void
on_reason(const struct resolver_answer *answer, void *arg)
{
	struct dnsbl_job *job = arg;

	job->reason = NULL;
	if (answer->count > 0)
		keep_words(job, answer->texts[0]);
	over(job);
}

static void
ask_reason(struct dnsbl_job *job)
{
	struct check_run *run = job->run;
	const struct dnsbl_zone *zone = &dnsbl_gravest(job)->zone;
	char name[DNSBL_NAME_SIZE];

	dnsbl_name(zone, run->evidence->client, name);
	if (dnsbl_lists_rests(state_of(job)->lists, zone->name) &&
	    !resolver_knows(run->resolver, RESOLVER_TXT, name)) {
		over(job);
		return;
	}
	job->reason = resolver_ask(run->resolver, RESOLVER_TXT, name,
	                           (unsigned)run->cfg->timeout_lookup, on_reason, job);
}

/* ---- answers -------------------------------------------------------------------------- */

static enum dnsbl_answer
answer_of(const struct dnsbl_entry *entry, const struct resolver_answer *answer)
{
	if (answer->result == RESOLVER_FAILED)
		return DNSBL_FAILED;
	switch (dnsbl_word(&entry->zone, answer->addrs, answer->count)) {
	case DNSBL_NOT_LISTED:
		return DNSBL_TELLS_NOTHING;
	case DNSBL_LISTED:
		return DNSBL_TELLS_LISTED;
	case DNSBL_REFUSED:
		return DNSBL_FAILED;
	}
	abort(); /* no such thing: a word */
}

/* What a white list spares, nobody else needs to be waited for. */
static void
go_on(struct dnsbl_job *job)
{
	bool is_spared = dnsbl_some(job, true, DNSBL_TELLS_LISTED);

	if (!is_spared &&
	    (dnsbl_some(job, true, DNSBL_ASKED) || dnsbl_some(job, false, DNSBL_ASKED)))
		return;
	forget_questions(job);
	if (dnsbl_kind(job) == FOUND_DNSBL)
		ask_reason(job);
	else
		over(job);
}

/* ---- lists that fail ------------------------------------------------------------------ */

/* A zone's answer is one for all its entries: each may wait for other addresses. */
static void
fail(struct dnsbl_job *job, const struct dnsbl_entry *asked)
{
	for (size_t i = 0; i < job->count; i++)
		if (dnsbl_same_list(&job->entries[i], asked))
			job->entries[i].answer = DNSBL_FAILED;
}

/* It is left alone from now on: whoever waits for it goes on without. */
static void
wait_no_more(struct state *state, const char *zone)
{
	struct dnsbl_job *job;

	TAILQ_FOREACH(job, &state->jobs, link)
	for (size_t i = 0; i < job->count; i++) {
		struct dnsbl_entry *entry = &job->entries[i];

		if (!entry->question || entry->is_known ||
		    strcasecmp(entry->zone.name, zone) != 0)
			continue;
		stats_add(STAT_dnsbl_silent, 1);
		forget_question(entry);
		fail(job, entry);
		job->is_alone = true;
		event_active(&job->turn, EV_TIMEOUT, 0);
	}
}

static void
list_failed(const struct dnsbl_entry *entry, const char *why)
{
	struct state *state = state_of(entry->job);

	stats_add(STAT_dnsbl_silent, 1);
	if (!entry->is_known &&
	    dnsbl_lists_failed(state->lists, entry->zone.name, entry->is_trial,
	                       entry->is_white ? "dnswl" : "dnsbl", why))
		wait_no_more(state, entry->zone.name);
}

static void
list_answered(const struct dnsbl_entry *entry)
{
	if (!entry->is_known)
		dnsbl_lists_answered(state_of(entry->job)->lists, entry->zone.name);
}

/* It is not to blame. */
static void
list_unasked(const struct dnsbl_entry *entry)
{
	stats_add(STAT_dnsbl_unasked, 1);
	dnsbl_lists_left(state_of(entry->job)->lists, entry->zone.name,
	                 entry->is_trial);
}

static void
on_answer(const struct resolver_answer *answer, void *arg)
{
	struct dnsbl_entry *asked = arg;
	struct dnsbl_job *job = asked->job;

	asked->question = NULL;
	for (size_t i = 0; i < job->count; i++)
		if (dnsbl_same_list(&job->entries[i], asked))
			job->entries[i].answer = answer_of(&job->entries[i], answer);
	if (answer->is_unasked)
		list_unasked(asked);
	else if (asked->answer == DNSBL_FAILED)
		list_failed(asked,
		            answer->result == RESOLVER_FAILED
		                    ? "no name server could tell"
		                    : "it refuses to answer you (127.255.255.0/24)");
	else
		list_answered(asked);
	go_on(job);
}

static void
on_turn(int fd, short what, void *arg)
{
	struct dnsbl_job *job = arg;

	(void)fd;
	(void)what;
	if (!job->reason) /* or another answer was the last one */
		go_on(job);
}

static void
on_late(int fd, short what, void *arg)
{
	struct dnsbl_job *job = arg;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < job->count; i++) {
		struct dnsbl_entry *entry = &job->entries[i];

		if (!entry->question)
			continue;
		resolver_cancel(entry->question);
		entry->question = NULL;
		fail(job, entry);
		list_failed(entry, "no answer in time");
	}
	job->is_late = true;
	over(job);
}

/* ---- questions ------------------------------------------------------------------------ */

static bool
is_asked(const struct dnsbl_job *job, const struct dnsbl_entry *entry)
{
	for (const struct dnsbl_entry *other = job->entries; other < entry; other++)
		if (dnsbl_same_list(other, entry))
			return true;
	return false;
}

/* What was answered before holds, also when the list is left alone. */
static void
ask_list(struct dnsbl_job *job, struct dnsbl_entry *entry)
{
	const struct check_run *run = job->run;
	enum backoff_turn turn = BACKOFF_ASK;
	char name[DNSBL_NAME_SIZE];

	dnsbl_name(&entry->zone, run->evidence->client, name);
	entry->is_known = resolver_knows(run->resolver, RESOLVER_A, name);
	if (!entry->is_known)
		turn = dnsbl_lists_turn(state_of(job)->lists, entry->zone.name);
	if (turn == BACKOFF_LEAVE) {
		stats_add(STAT_dnsbl_unasked, 1);
		fail(job, entry);
		job->is_alone = true;
		return;
	}
	entry->is_trial = turn == BACKOFF_TRY;
	entry->question = resolver_ask(run->resolver, RESOLVER_A, name,
	                               (unsigned)run->cfg->timeout_lookup, on_answer,
	                               entry);
}

static void
ask(struct dnsbl_job *job)
{
	for (size_t i = 0; i < job->count; i++)
		if (!is_asked(job, &job->entries[i]))
			ask_list(job, &job->entries[i]);
	go_on(job);
}

/* ---- a run ------------------------------------------------------------------------------ */

static void
add_entries(struct dnsbl_job *job, const struct string_list *list, bool is_white)
{
	for (size_t i = 0; i < list->count; i++) {
		struct dnsbl_entry *entry = &job->entries[job->count++];

		assert(i <
		       DNSBL_ZONES_MAX); /* config.c has seen to it, and to these: */
		if (dnsbl_zone_read(&entry->zone, list->at[i]))
			abort();
		entry->job = job;
		entry->is_white = is_white;
	}
}

/* The session has timeout_lookup for all its checks here: we are through before. */
static void
set_time(struct dnsbl_job *job, struct event_base *base)
{
	int64_t ms = job->run->cfg->timeout_lookup * 900;
	struct timeval limit;

	if (ms > DNSBL_WAIT_MS)
		ms = DNSBL_WAIT_MS;
	limit = (struct timeval){ ms / 1000, ms % 1000 * 1000 };
	evtimer_assign(&job->turn, base, on_turn, job);
	evtimer_assign(&job->late, base, on_late, job);
	evtimer_add(&job->late, &limit);
}

/* If who authenticates is to be spared, nobody is looked at before MAIL. */
static void
start(struct check_run *run)
{
	const struct config *cfg = run->cfg;
	bool is_at_mail = run->stage == STAGE_MAIL;
	struct state *state = run->state;
	struct dnsbl_job *job;

	if (is_at_mail != !!(cfg->auth_skip & AUTH_SKIP_DNSBL) ||
	    !dnsbl_can_know(run->evidence->client)) {
		check_answer(run);
		return;
	}
	job = xcalloc(1, sizeof(*job));
	job->run = run;
	run->job = job;
	TAILQ_INSERT_TAIL(&state->jobs, job, link);
	add_entries(job, &cfg->dnswl, true);
	add_entries(job, &cfg->dnsbl, false);
	set_time(job, state->base);
	stats_add(STAT_dnsbl_asked, 1);
	ask(job);
}

static void
cancel(struct check_run *run)
{
	job_free(run->job);
}

static void *
load(const struct config *cfg, char *why, size_t why_size)
{
	struct state *state = xcalloc(1, sizeof(*state));

	(void)cfg;
	(void)why;
	(void)why_size;
	TAILQ_INIT(&state->jobs);
	state->lists = dnsbl_lists_new();
	return state;
}

static void
unload(void *arg)
{
	struct state *state = arg;

	dnsbl_lists_free(state->lists);
	free(state);
}

static bool
begin(void *state, struct event_base *base)
{
	((struct state *)state)->base = base;
	return true;
}

static void
reconfigure(void *state, const struct config *cfg)
{
	dnsbl_lists_keep(((struct state *)state)->lists, cfg);
}

const struct check_rule check_dnsbl = {
	.name = "dnsbl",
	.stages = STAGE_CONNECT | STAGE_MAIL,
	.skip = AUTH_SKIP_DNSBL,
	.standby = true,
	.wanted = is_wanted,
	.load = load,
	.begin = begin,
	.reconfigure = reconfigure,
	.unload = unload,
	.start = start,
	.cancel = cancel,
};
