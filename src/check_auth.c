#include "check_internal.h"

#include <stdlib.h>

/*
 * Who must authenticate, and has not, may not send a message.
 */
static bool
is_wanted(const struct config *cfg)
{
	return cfg->auth_require != AUTH_REQUIRE_NO;
}

static bool
must_authenticate(const struct config *cfg, const struct evidence *evidence)
{
	switch ((enum auth_require)cfg->auth_require) {
	case AUTH_REQUIRE_NO:
		return false;
	case AUTH_REQUIRE_IF_SUPPORTED:
		return evidence->auth_offered;
	case AUTH_REQUIRE_MANDATORY:
		return true;
	}
	abort(); /* no such thing: a value of auth_require */
}

static void
start(struct check_run *run)
{
	const struct evidence *evidence = run->evidence;

	if (!evidence->authenticated && must_authenticate(run->cfg, evidence))
		run->found->kind = FOUND_NO_AUTH;
	check_answer(run);
}

const struct check_rule check_auth = {
	.name = "auth",
	.stages = STAGE_DATA,
	.wanted = is_wanted,
	.start = start,
};
