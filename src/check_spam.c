#include "check_spam_internal.h"

#include "stats.h"

#include <stdio.h>

static bool
is_too_big(const struct check_run *run)
{
	return spool_message_size(run->evidence->message) >
	       (uint64_t)run->cfg->spam_max_size;
}

static bool
is_too_busy(const struct config *cfg)
{
	return cfg->spam_max_load > 0 && check_load() > (double)cfg->spam_max_load;
}

bool
check_spam_is_spared(struct check_run *run)
{
	if (is_too_big(run)) {
		stats_add(STAT_spam_too_big, 1);
		run->found->skipped = "spam_max_size";
	} else if (is_too_busy(run->cfg)) {
		stats_add(STAT_spam_overload, 1);
		run->found->skipped = "spam_max_load";
	} else {
		return false;
	}
	check_answer(run);
	return true;
}

void
check_spam_failed(struct check_run *run, enum backend_end end, const char *why)
{
	run->found->kind = FOUND_SPAM_FAILED;
	snprintf(run->found->name, sizeof(run->found->name), "%.100s%s", why,
	         end == BACKEND_TIMED_OUT ? " (timeout_spam)" : "");
}

/* What is not spam has points, too: they are logged. */
void
check_spam_scored(struct check_run *run, enum finding_kind kind, double score,
                  const char *name)
{
	struct finding *found = run->found;

	found->kind = kind;
	found->score = score;
	found->has_score = true;
	if (kind != FOUND_NOTHING)
		snprintf(found->name, sizeof(found->name), "%s", name);
}
