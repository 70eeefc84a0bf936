#include "check_internal.h"

#include "clock.h"
#include "mailbox.h"
#include "spf.h"
#include "stats.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * Has the sender's domain mail sent from this address?  Its records are in DNS (spf.h);
 * all questions for one sender together have timeout_lookup.
 */
struct asked {
	struct job *job;
	unsigned id;                        /* of the evaluator's question */
	struct resolver_question *question; /* NULL: it is answered */
};

struct job {
	struct check_run *run;
	struct spf *spf;
	struct addr address; /* that it is about */
	int64_t until_ms;
	struct asked asked[SPF_NAMES_MAX];
};

static void go_on(struct job *job);

static bool
is_wanted(const struct config *cfg)
{
	return cfg->spf != SPF_OFF;
}

static void
job_free(struct job *job)
{
	for (size_t i = 0; i < SPF_NAMES_MAX; i++)
		resolver_cancel(job->asked[i].question);
	spf_free(job->spf);
	free(job);
}

/* ---- what came out ------------------------------------------------------------------ */

static enum finding_kind
kind_of(enum spf_verdict verdict)
{
	switch (verdict) {
	case SPF_NONE:
	case SPF_NEUTRAL:
	case SPF_PASS:
		return FOUND_NOTHING;
	case SPF_FAIL:
		return FOUND_SPF;
	case SPF_SOFTFAIL:
		return FOUND_SPF_SOFTFAIL;
	case SPF_TEMPERROR:
		return FOUND_SPF_TEMPERROR;
	case SPF_PERMERROR:
		return FOUND_SPF_PERMERROR;
	}
	abort(); /* no such thing: a verdict */
}

static void
log_result(const struct job *job, const struct spf_result *result)
{
	const struct evidence *evidence = job->run->evidence;

	log_event(evidence->log, LOG_SPF_EVENT,
	          log_text("result", spf_word(result->verdict)),
	          log_text("domain", result->domain[0] ? result->domain : NULL),
	          log_text("term", result->term), log_addr("of", &job->address),
	          log_text("problem", result->problem[0] ? result->problem : NULL),
	          mailbox_from(job->run->cfg, evidence->sender),
	          log_text("helo", evidence->helo));
}

/* Whose words an explanation is has to be clear (RFC 7208 6.2, 11.3).  Of a long domain,
 * its end tells most. */
static void
name_finding(struct finding *found, const struct spf_result *result)
{
	enum { DOMAIN_MOST = sizeof(found->name) / 2 };
	const char *words = result->problem[0]       ? result->problem
	                    : result->explanation[0] ? result->explanation
	                                             : spf_word(result->verdict);
	size_t size = strlen(result->domain);
	size_t skipped = size > DOMAIN_MOST ? size - DOMAIN_MOST : 0;

	size = (size_t)snprintf(found->name, sizeof(found->name),
	                        "%s%.*s: ", skipped ? "..." : "", (int)DOMAIN_MOST,
	                        result->domain + skipped);
	snprintf(found->name + size, sizeof(found->name) - size, "%.*s",
	         (int)(sizeof(found->name) - size - 1), words);
}

static void
over(struct job *job)
{
	const struct spf_result *result = spf_result(job->spf);
	struct check_run *run = job->run;

	log_result(job, result);
	run->found->result = spf_word(result->verdict);
	if (!run->cfg->spf_log_only)
		run->found->kind = kind_of(result->verdict);
	if (run->found->kind != FOUND_NOTHING)
		name_finding(run->found, result);
	job_free(job);
	check_answer(run);
}

/* ---- questions ------------------------------------------------------------------------- */

static enum resolver_type
type_of(enum spf_type type)
{
	switch (type) {
	case SPF_TXT:
		return RESOLVER_TXT;
	case SPF_A:
		return RESOLVER_A;
	case SPF_AAAA:
		return RESOLVER_AAAA;
	case SPF_MX:
		return RESOLVER_MX;
	case SPF_PTR:
		return RESOLVER_PTR;
	}
	abort(); /* no such thing: a type */
}

static enum spf_found
found_of(const struct resolver_answer *answer)
{
	switch (answer->result) {
	case RESOLVER_FOUND:
		return SPF_THERE_IS;
	case RESOLVER_NOTHING:
		return answer->has_no_name ? SPF_NO_NAME : SPF_NO_DATA;
	case RESOLVER_FAILED:
		return SPF_NO_ANSWER;
	}
	abort(); /* no such thing: a result */
}

static void
on_answer(const struct resolver_answer *answer, void *arg)
{
	struct asked *asked = arg;
	struct job *job = asked->job;
	struct spf_answer says = {
		.found = found_of(answer),
		.count = answer->count,
		.addrs = answer->addrs,
		.texts = (const char *const *)answer->texts,
	};

	asked->question = NULL;
	spf_answer(job->spf, asked->id, &says);
	go_on(job);
}

static struct asked *
free_place(struct job *job)
{
	for (size_t i = 0; i < SPF_NAMES_MAX; i++)
		if (!job->asked[i].question)
			return &job->asked[i];
	abort(); /* it does not ask more at a time */
}

static void
ask(struct job *job, const struct spf_question *question)
{
	const struct spf_answer late = { .found = SPF_NO_ANSWER };
	int64_t left = job->until_ms - clock_ms();
	struct asked *asked;

	if (left <= 0) {
		spf_answer(job->spf, question->id, &late);
		return;
	}
	asked = free_place(job);
	asked->job = job;
	asked->id = question->id;
	asked->question = resolver_ask(job->run->resolver, type_of(question->type),
	                               question->name, (unsigned)(left + 999) / 1000,
	                               on_answer, asked);
}

static void
go_on(struct job *job)
{
	struct spf_question question;

	while (spf_ask(job->spf, &question))
		ask(job, &question);
	if (spf_result(job->spf))
		over(job);
}

/* ---- a run -------------------------------------------------------------------------------- */

static struct addr
address_of(const struct config *cfg, const struct evidence *evidence)
{
	struct addr fixed = { 0 };

	switch ((enum spf_address)cfg->spf) {
	case SPF_OFF:
	case SPF_INCOMING:
		return *evidence->client;
	case SPF_OUTGOING:
		return *evidence->outgoing;
	case SPF_FIXED:
		if (!addr_parse(&fixed, cfg->spf_fixed_ip, 0))
			abort(); /* config.c has seen to it */
		return fixed;
	}
	abort(); /* no such thing: a value of spf */
}

/* A route in front of the address (RFC 5321 4.1.2, A-d-l) says nothing. */
static const char *
without_route(const char *path)
{
	const char *colon = path[0] == '@' ? strchr(path, ':') : NULL;

	return colon ? colon + 1 : path;
}

/* MAIL without a path is the server's to refuse. */
static void
start(struct check_run *run)
{
	const struct evidence *evidence = run->evidence;
	struct spf_subject subject = {
		.helo = evidence->helo,
		.receiver = run->cfg->proxy_name,
		.now = time(NULL),
	};
	struct job *job;

	if (!evidence->sender) {
		check_answer(run);
		return;
	}
	job = xcalloc(1, sizeof(*job));
	job->run = run;
	job->address = address_of(run->cfg, evidence);
	job->until_ms = clock_ms() + (int64_t)run->cfg->timeout_lookup * 1000;
	subject.client = job->address;
	subject.sender = without_route(evidence->sender);
	job->spf = spf_new(&subject);
	run->job = job;
	stats_add(STAT_spf_asked, 1);
	go_on(job);
}

static void
cancel(struct check_run *run)
{
	job_free(run->job);
}

const struct check_rule check_spf = {
	.name = "spf",
	.stages = STAGE_MAIL,
	.wanted = is_wanted,
	.start = start,
	.cancel = cancel,
};
