#include "backend_http.h"
#include "check_spam_internal.h"
#include "clock.h"
#include "rspamd.h"
#include "stats.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * rspamd, by HTTP.  It is told all that we know of a message, and says what it would do
 * with it: its thresholds are its own.  What it would change in a message, its answer says,
 * too; that is done with a message which is held.
 */
enum {
	FAULT_SIZE = 128,
	HEADERS_MOST = 120, /* a hundred recipients, and what there is beside them */
};

struct rspamd {
	struct event_base *base;
	struct backends *backends;
	struct http *http; /* NULL until there is something to ask */
	bool is_wanted;    /* at the start */
};

/* One message. */
struct rspamd_job {
	struct check_run *run;
	struct backend_post *post;
	enum rspamd_result result;
	struct rspamd_answer answer;
	int64_t began_us;
	char fault[FAULT_SIZE];
	char *headers[HEADERS_MOST + 1];
	size_t header_count;
};

/* ---- what it is told ------------------------------------------------------------- */

static void
add(struct rspamd_job *job, char *header)
{
	assert(job->header_count < HEADERS_MOST);
	job->headers[job->header_count++] = header;
}

/* What has no value is not told: a header that is empty would say that it is empty. */
static void
tell(struct rspamd_job *job, const char *name, const char *value)
{
	if (value && *value)
		add(job, rspamd_header(name, value));
}

static void
tell_path(struct rspamd_job *job, const char *name, const char *path)
{
	add(job, rspamd_header_path(name, path));
}

static void
tell_paths(struct rspamd_job *job, const struct evidence *evidence)
{
	if (evidence->sender)
		tell_path(job, "From", evidence->sender);
	for (unsigned i = 0; i < evidence->path_count && i < HEADERS_MOST - 20; i++)
		tell_path(job, "Rcpt", evidence->paths[i]);
}

/* That somebody has authenticated counts, too, if it is not known who it was. */
static void
tell_user(struct rspamd_job *job, const struct evidence *evidence)
{
	if (evidence->authenticated)
		tell(job, "User", evidence->user ? evidence->user : "authenticated");
}

static void
tell_all(struct rspamd_job *job, const struct config *cfg,
         const struct evidence *evidence)
{
	char host[ADDR_TEXT_SIZE], id[64];

	snprintf(id, sizeof(id), "%.40s.%u", evidence->log->session,
	         evidence->log->mail);
	add(job, xstrdup("Content-Type: message/rfc822"));
	if (addr_family(evidence->client) != AF_UNSPEC)
		tell(job, "IP", addr_text(evidence->client, host));
	tell(job, "Helo", evidence->helo);
	tell_user(job, evidence);
	tell(job, "Queue-Id", id);
	tell(job, "MTA-Name", cfg->proxy_name);
	tell_paths(job, evidence);
}

/* ---- what it answers ------------------------------------------------------------- */

/* What retouch refuses is no field, or too much of them: it is left out. */
static void
add_field(void *arg, const char *name, const char *value)
{
	(void)retouch_add(arg, name, value);
}

static void
remove_field(void *arg, const char *name, unsigned which)
{
	(void)retouch_remove(arg, name, which);
}

static void
set_subject(void *arg, const char *text)
{
	(void)retouch_subject_as_is(arg, text);
}

static void
leave_subject(void *arg, const char *text)
{
	(void)arg, (void)text;
}

/* Only its last word on a message is taken, and that is one with 200. */
static bool
may_change(const struct check_run *run, int status)
{
	return status == 200 && run->cfg->rspamd_headers && run->evidence->changes;
}

static enum rspamd_result
read_answer(struct rspamd_job *job, int status, const char *body, size_t size)
{
	struct check_run *run = job->run;
	bool marks = run->cfg->on_spam_suspect == ACTION_TAG;
	struct rspamd_changer changer = {
		.add = add_field,
		.remove = remove_field,
		.subject = marks ? set_subject : leave_subject,
		.arg = run->evidence->changes,
	};

	return rspamd_read(body, size, &job->answer,
	                   may_change(run, status) ? &changer : NULL);
}

static enum backend_word
hear(int status, const char *body, size_t size, void *owner)
{
	struct rspamd_job *job = owner;

	job->result = read_answer(job, status, size > 0 ? body : "", size);
	snprintf(job->fault, sizeof(job->fault), "HTTP %d: %.80s", status,
	         job->answer.words);
	switch (job->result) {
	case RSPAMD_ANSWERED:
	case RSPAMD_STRANGE:
		return status == 200 ? BACKEND_DONE : BACKEND_BABBLE;
	case RSPAMD_REFUSED:
		return BACKEND_UNABLE;
	case RSPAMD_MALFORMED:
		return BACKEND_BABBLE;
	}
	abort(); /* no such thing: a result */
}

static const char *
fault(void *owner)
{
	return ((struct rspamd_job *)owner)->fault;
}

static const struct backend_engine engine = {
	.name = "rspamd",
	.option = "rspamd_url",
	.fault = fault,
};

static enum finding_kind
kind_of(enum rspamd_action action)
{
	switch (action) {
	case RSPAMD_NO_ACTION:
		return FOUND_NOTHING;
	case RSPAMD_GREYLIST:
	case RSPAMD_SOFT_REJECT:
		return FOUND_GREYLIST;
	case RSPAMD_ADD_HEADER:
	case RSPAMD_REWRITE_SUBJECT:
		return FOUND_SPAM_SUSPECT;
	case RSPAMD_REJECT:
	case RSPAMD_QUARANTINE:
	case RSPAMD_DISCARD:
		return FOUND_SPAM;
	}
	abort(); /* no such thing: an action */
}

static void
judge(struct check_run *run, const struct rspamd_job *job)
{
	const struct rspamd_answer *answer = &job->answer;
	char words[FINDING_NAME_SIZE];

	if (job->result == RSPAMD_STRANGE) {
		snprintf(words, sizeof(words), "its action is not known here: %.60s",
		         answer->words);
		check_spam_failed(run, BACKEND_ANSWERED, words);
		return;
	}
	snprintf(words, sizeof(words), "%s%s%.100s", rspamd_action_word(answer->action),
	         answer->symbols[0] ? ": " : "", answer->symbols);
	check_spam_scored(run, kind_of(answer->action), answer->score, words);
}

/* ---- one message ----------------------------------------------------------------- */

static void
job_free(struct rspamd_job *job)
{
	stats_add(STAT_scans_now, -1);
	for (size_t i = 0; i < job->header_count; i++)
		free(job->headers[i]);
	free(job);
}

static void
on_done(enum backend_end end, const char *why, void *owner)
{
	struct rspamd_job *job = owner;
	struct check_run *run = job->run;

	run->found->scan_us = (unsigned)(clock_us() - job->began_us);
	if (end == BACKEND_ANSWERED)
		judge(run, job);
	else
		check_spam_failed(run, end, why);
	job_free(job);
	check_answer(run);
}

static void
ask(struct check_run *run, struct rspamd *rspamd)
{
	struct rspamd_job *job = xcalloc(1, sizeof(*job));
	struct backend_post_question question = {
		.engine = &engine,
		.servers = &run->cfg->rspamd_url,
		.path = "/checkv2",
		.headers = (const char *const *)job->headers,
		.message = run->evidence->message,
		.answer_most = RSPAMD_ANSWER_MAX,
		.timeout_s = run->cfg->timeout_spam,
		.answer = hear,
	};

	stats_add(STAT_scans_now, 1);
	run->job = job;
	job->run = run;
	job->began_us = clock_us();
	tell_all(job, run->cfg, run->evidence);
	job->post = backend_post(rspamd->backends, rspamd->http, &question, on_done,
	                         job);
}

static void
start(struct check_run *run)
{
	struct rspamd *rspamd = run->state;

	if (check_spam_is_spared(run))
		return;
	if (!rspamd->http)
		rspamd->http = http_new(rspamd->base);
	ask(run, rspamd);
}

static void
cancel(struct check_run *run)
{
	struct rspamd_job *job = run->job;

	backend_post_cancel(job->post);
	job_free(job);
}

/* ---- the process ----------------------------------------------------------------- */

static bool
is_wanted(const struct config *cfg)
{
	return cfg->antispam_type & ANTISPAM_RSPAMD;
}

static void *
load(const struct config *cfg, char *why, size_t why_size)
{
	struct rspamd *rspamd = xcalloc(1, sizeof(*rspamd));

	(void)why, (void)why_size;
	rspamd->is_wanted = config_any(cfg, is_wanted);
	return rspamd;
}

static bool
begin(void *state, struct event_base *base)
{
	struct rspamd *rspamd = state;

	rspamd->base = base;
	rspamd->backends = backends_new(base);
	if (rspamd->is_wanted)
		rspamd->http = http_new(base);
	return true;
}

static void
unload(void *state)
{
	struct rspamd *rspamd = state;

	backends_free(rspamd->backends);
	http_free(rspamd->http);
	free(rspamd);
}

const struct check_rule check_rspamd = {
	.name = "rspamd",
	.family = FAMILY_ANTISPAM,
	.stages = STAGE_MESSAGE,
	.skip = AUTH_SKIP_ANTISPAM,
	.reads = true,
	.standby = true,
	.wanted = is_wanted,
	.load = load,
	.begin = begin,
	.unload = unload,
	.start = start,
	.cancel = cancel,
};
