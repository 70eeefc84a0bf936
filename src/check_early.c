#include "check_internal.h"

/*
 * Who talks before the greeting does not listen: what spreads viruses and spam often does
 * that, mail servers do not (RFC 5321 3.1).
 */
static bool
is_wanted(const struct config *cfg)
{
	return cfg->earlytalker;
}

static void
start(struct check_run *run)
{
	if (run->evidence->spoke_early)
		run->found->kind = FOUND_EARLYTALK;
	check_answer(run);
}

const struct check_rule check_early = {
	.name = "early",
	.stages = STAGE_GREETING,
	.wanted = is_wanted,
	.start = start,
};
