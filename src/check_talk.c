#include "check_talk_internal.h"

#include "check_spam_internal.h"
#include "clock.h"
#include "stats.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void *
check_talk_load(const struct config *cfg, char *why, size_t why_size)
{
	(void)cfg, (void)why, (void)why_size;
	return xcalloc(1, sizeof(struct check_talk_state));
}

bool
check_talk_begin(void *state, struct event_base *base)
{
	((struct check_talk_state *)state)->backends = backends_new(base);
	return true;
}

void
check_talk_unload(void *state)
{
	backends_free(((struct check_talk_state *)state)->backends);
	free(state);
}

static void
talk_free(struct check_talk *talk)
{
	stats_add(STAT_scans_now, -1);
	free(talk);
}

static bool
is_for_spam(const struct check_run *run)
{
	return run->rule->family == FAMILY_ANTISPAM;
}

/* Nobody knows whether a message that no answer came to would take as long again, or whether
 * the scanner hangs: it has not been looked at. */
static void
say_failure(struct check_run *run, enum backend_end end, const char *why)
{
	struct finding *found = run->found;

	if (is_for_spam(run)) {
		check_spam_failed(run, end, why);
		return;
	}
	found->kind = FOUND_FAILED;
	snprintf(found->name, sizeof(found->name), "%.100s%s", why,
	         end == BACKEND_TIMED_OUT ? " (timeout_scanner)" : "");
}

static void
on_done(enum backend_end end, const char *why, void *owner)
{
	struct check_talk *talk = owner;
	struct check_run *run = talk->run;

	if (end == BACKEND_ANSWERED)
		talk->say(talk);
	else
		say_failure(run, end, why);
	run->found->scan_us = (unsigned)(clock_us() - talk->begin_us);
	talk_free(talk);
	check_answer(run);
}

void
check_talk_start(struct check_run *run, const struct backend_engine *engine,
                 const struct string_list *servers, size_t size,
                 void (*say)(struct check_talk *talk))
{
	const struct backend_question question = {
		.engine = engine,
		.servers = servers,
		.message = run->evidence->message,
		.with_head = !is_for_spam(run),
		.timeout_s = is_for_spam(run) ? run->cfg->timeout_spam
		                              : run->cfg->timeout_scanner,
	};
	struct check_talk_state *state = run->state;
	struct check_talk *talk;

	if (is_for_spam(run) ? check_spam_is_spared(run) : check_is_too_big(run))
		return;
	assert(size >= sizeof(*talk));
	talk = xcalloc(1, size);
	talk->run = run;
	talk->say = say;
	talk->begin_us = clock_us();
	talk->call = backend_ask(state->backends, &question, on_done, talk);
	run->job = talk;
	stats_add(STAT_scans_now, 1);
}

const char *
check_talk_fault(void *owner)
{
	const struct check_talk *talk = owner;

	return talk->words[0] ? talk->words : NULL;
}

void
check_talk_cancel(struct check_run *run)
{
	struct check_talk *talk = run->job;

	backend_cancel(talk->call);
	talk_free(talk);
}
