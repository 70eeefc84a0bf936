#include "check_internal.h"

#include "dnsbl.h"
#include "stats.h"

#include <assert.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What do lists in DNS know of the client's address?
 *
 * All are asked at the same time.  A list that is slow or gone holds up one client for a
 * while and decides nothing: what others have said by then counts.
 */
enum {
	ENTRIES_MAX = 2 * DNSBL_ZONES_MAX,
	NAMES_SIZE = 1024, /* of lists, for the log */
};

struct state {
	struct event_base *base; /* NULL until begin() */
};

enum answer {
	ASKED,
	TELLS_NOTHING,
	TELLS_LISTED,
	FAILED,
};

struct entry {
	struct job *job;
	struct dnsbl_zone zone;
	bool is_white;
	enum answer answer;
	struct resolver_question
		*question; /* NULL: it is answered, or another asks it */
};

struct job {
	struct check_run *run;
	struct event late;
	struct resolver_question *reason; /* NULL: it is not asked for */
	char words[FINDING_NAME_SIZE];    /* the reason */
	bool is_late;
	size_t count;
	struct entry entries[ENTRIES_MAX];
};

static bool
is_wanted(const struct config *cfg)
{
	return cfg->dnsbl.count > 0;
}

static void
forget_questions(struct job *job)
{
	for (size_t i = 0; i < job->count; i++) {
		resolver_cancel(job->entries[i].question);
		job->entries[i].question = NULL;
	}
	resolver_cancel(job->reason);
	job->reason = NULL;
}

static void
job_free(struct job *job)
{
	forget_questions(job);
	evtimer_del(&job->late);
	free(job);
}

/* ---- what they say together ----------------------------------------------------------- */

/* Any of the white or of the black ones that answers so. */
static bool
some(const struct job *job, bool is_white, enum answer answer)
{
	for (size_t i = 0; i < job->count; i++)
		if (job->entries[i].is_white == is_white &&
		    job->entries[i].answer == answer)
			return true;
	return false;
}

static int64_t
score_of(const struct job *job)
{
	int64_t score = 0;

	for (size_t i = 0; i < job->count; i++)
		if (!job->entries[i].is_white && job->entries[i].answer == TELLS_LISTED)
			score += job->entries[i].zone.weight;
	return score;
}

/* Who is listed by enough while nobody can tell whether a white list spares it has not been
 * decided on, nor has who might be listed by more. */
static enum finding_kind
kind_of(const struct job *job)
{
	bool is_listed = score_of(job) >= job->run->cfg->dnsbl_threshold;

	if (some(job, true, TELLS_LISTED))
		return FOUND_NOTHING;
	if (is_listed)
		return some(job, true, FAILED) ? FOUND_DNSBL_FAILED : FOUND_DNSBL;
	return some(job, false, FAILED) ? FOUND_DNSBL_FAILED : FOUND_NOTHING;
}

/* Of those that have the client, the first of which none weighs more. */
static const struct entry *
gravest(const struct job *job)
{
	const struct entry *found = NULL;

	for (size_t i = 0; i < job->count; i++)
		if (job->entries[i].answer == TELLS_LISTED &&
		    !job->entries[i].is_white &&
		    (!found || job->entries[i].zone.weight > found->zone.weight))
			found = &job->entries[i];
	assert(found); /* or the score would be 0 */
	return found;
}

static const struct entry *
any_failed(const struct job *job)
{
	for (size_t i = 0; i < job->count; i++)
		if (job->entries[i].answer == FAILED)
			return &job->entries[i];
	abort(); /* or there was no such finding */
}

/* ---- what came out ------------------------------------------------------------------- */

static bool
is_same_zone(const struct entry *a, const struct entry *b)
{
	return strcasecmp(a->zone.name, b->zone.name) == 0;
}

/* "a.example,b.example"; one that has entries in a row is named once. */
static const char *
names_of(const struct job *job, bool is_white, enum answer answer,
         char names[static NAMES_SIZE])
{
	size_t size = 0;

	for (size_t i = 0; i < job->count; i++) {
		const struct entry *entry = &job->entries[i];

		if (entry->is_white != is_white || entry->answer != answer ||
		    (i > 0 && is_same_zone(entry - 1, entry) &&
		     entry[-1].is_white == is_white && entry[-1].answer == answer) ||
		    size + strlen(entry->zone.name) + 2 > NAMES_SIZE)
			continue;
		size += (size_t)sprintf(names + size, "%s%s", size ? "," : "",
		                        entry->zone.name);
	}
	return size ? names : NULL;
}

static void
log_result(const struct job *job, enum finding_kind kind)
{
	const struct evidence *evidence = job->run->evidence;
	bool is_spared = some(job, true, TELLS_LISTED);
	char black[NAMES_SIZE], white[NAMES_SIZE], failed[NAMES_SIZE];
	char no_white[NAMES_SIZE];
	const char *listed_by = names_of(job, false, TELLS_LISTED, black);
	const char *spared_by = names_of(job, true, TELLS_LISTED, white);
	const char *unknown = names_of(job, false, FAILED, failed);
	const char *no_sparing = names_of(job, true, FAILED, no_white);

	if (!listed_by && !spared_by && !unknown && !no_sparing)
		return; /* nobody knows it: so it is with most */
	log_event(evidence->log, LOG_DNSBL_EVENT,
	          log_text("result", is_spared ? "spared" : finding_word(kind)),
	          log_addr("client", evidence->client),
	          log_number("score", score_of(job)), log_text("lists", listed_by),
	          log_text("white", spared_by), log_text("failed", unknown),
	          log_text("white-failed", no_sparing),
	          log_text("why", job->is_late ? "timeout_lookup" : NULL),
	          log_text("reason", job->words[0] ? job->words : NULL));
}

/* "list: its reason"; of a long name its end, which tells most. */
static void
name_finding(const struct job *job, enum finding_kind kind)
{
	enum { ZONE_MOST = FINDING_NAME_SIZE / 2 };
	struct finding *found = job->run->found;
	const struct entry *entry = kind == FOUND_DNSBL ? gravest(job)
	                                                : any_failed(job);
	const char *name = entry->zone.name;
	size_t size = strlen(name);
	size_t skipped = size > ZONE_MOST ? size - ZONE_MOST : 0;
	const char *words = kind == FOUND_DNSBL ? job->words : "no answer";

	size = (size_t)snprintf(found->name, sizeof(found->name), "%s%s%s",
	                        skipped ? "..." : "", name + skipped,
	                        *words ? ": " : "");
	snprintf(found->name + size, sizeof(found->name) - size, "%.*s",
	         (int)(sizeof(found->name) - size - 1), words);
}

static void
over(struct job *job)
{
	struct check_run *run = job->run;
	enum finding_kind kind = kind_of(job);

	if (some(job, true, TELLS_LISTED))
		stats_add(STAT_dnsbl_spared, 1);
	log_result(job, kind);
	run->found->kind = kind;
	if (kind != FOUND_NOTHING)
		name_finding(job, kind);
	job_free(job);
	check_answer(run);
}

/* ---- the reason ----------------------------------------------------------------------- */

/* Words of strangers, for a reply and the log: printable, and of one line. */
static void
keep_words(struct job *job, const char *text)
{
	size_t size = 0;

	for (; *text && size + 1 < sizeof(job->words); text++)
		job->words[size++] = *text >= ' ' && *text <= '~' ? *text : '?';
	job->words[size] = '\0';
}

static void
on_reason(const struct resolver_answer *answer, void *arg)
{
	struct job *job = arg;

	job->reason = NULL;
	if (answer->count > 0)
		keep_words(job, answer->texts[0]);
	over(job);
}

static void
ask_reason(struct job *job)
{
	struct check_run *run = job->run;
	char name[DNSBL_NAME_SIZE];

	dnsbl_name(&gravest(job)->zone, run->evidence->client, name);
	job->reason = resolver_ask(run->resolver, RESOLVER_TXT, name,
	                           (unsigned)run->cfg->timeout_lookup, on_reason, job);
}

/* ---- questions ------------------------------------------------------------------------ */

static enum answer
answer_of(const struct entry *entry, const struct resolver_answer *answer)
{
	if (answer->result == RESOLVER_FAILED)
		return FAILED;
	switch (dnsbl_word(&entry->zone, answer->addrs, answer->count)) {
	case DNSBL_NOT_LISTED:
		return TELLS_NOTHING;
	case DNSBL_LISTED:
		return TELLS_LISTED;
	case DNSBL_REFUSED:
		return FAILED;
	}
	abort(); /* no such thing: a word */
}

/* What a white list spares, nobody else needs to be waited for. */
static void
go_on(struct job *job)
{
	bool is_spared = some(job, true, TELLS_LISTED);

	if (!is_spared && (some(job, true, ASKED) || some(job, false, ASKED)))
		return;
	forget_questions(job);
	if (kind_of(job) == FOUND_DNSBL)
		ask_reason(job);
	else
		over(job);
}

/* It answers all entries of its zone: each may wait for other addresses. */
static void
on_answer(const struct resolver_answer *answer, void *arg)
{
	struct entry *asked = arg;
	struct job *job = asked->job;

	asked->question = NULL;
	for (size_t i = 0; i < job->count; i++)
		if (is_same_zone(&job->entries[i], asked))
			job->entries[i].answer = answer_of(&job->entries[i], answer);
	if (asked->answer == FAILED)
		stats_add(STAT_dnsbl_silent, 1);
	go_on(job);
}

static void
on_late(int fd, short what, void *arg)
{
	struct job *job = arg;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < job->count; i++) {
		if (job->entries[i].question)
			stats_add(STAT_dnsbl_silent, 1);
		if (job->entries[i].answer == ASKED)
			job->entries[i].answer = FAILED;
	}
	job->is_late = true;
	over(job);
}

static bool
is_asked(const struct job *job, const struct entry *entry)
{
	for (const struct entry *other = job->entries; other < entry; other++)
		if (is_same_zone(other, entry))
			return true;
	return false;
}

static void
ask(struct job *job)
{
	const struct check_run *run = job->run;
	char name[DNSBL_NAME_SIZE];

	for (size_t i = 0; i < job->count; i++) {
		struct entry *entry = &job->entries[i];

		if (is_asked(job, entry))
			continue;
		dnsbl_name(&entry->zone, run->evidence->client, name);
		entry->question = resolver_ask(run->resolver, RESOLVER_A, name,
		                               (unsigned)run->cfg->timeout_lookup,
		                               on_answer, entry);
	}
}

/* ---- a run ------------------------------------------------------------------------------ */

static void
add_entries(struct job *job, const struct string_list *list, bool is_white)
{
	for (size_t i = 0; i < list->count; i++) {
		struct entry *entry = &job->entries[job->count++];

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
set_time(struct job *job, struct event_base *base)
{
	int64_t ms = job->run->cfg->timeout_lookup * 900;
	struct timeval limit = { ms / 1000, ms % 1000 * 1000 };

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
	struct job *job;

	if (is_at_mail != !!(cfg->auth_skip & AUTH_SKIP_DNSBL) ||
	    !dnsbl_can_know(run->evidence->client)) {
		check_answer(run);
		return;
	}
	job = xcalloc(1, sizeof(*job));
	job->run = run;
	run->job = job;
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
	(void)cfg;
	(void)why;
	(void)why_size;
	return xcalloc(1, sizeof(struct state));
}

static bool
begin(void *state, struct event_base *base)
{
	((struct state *)state)->base = base;
	return true;
}

const struct check_rule check_dnsbl = {
	.name = "dnsbl",
	.stages = STAGE_CONNECT | STAGE_MAIL,
	.skip = AUTH_SKIP_DNSBL,
	.standby = true,
	.wanted = is_wanted,
	.load = load,
	.begin = begin,
	.unload = free,
	.start = start,
	.cancel = cancel,
};
