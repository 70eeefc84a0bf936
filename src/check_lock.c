#include "check_internal.h"

#include "lockfile.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * Is this client locked out?  When it comes, and again before a message is accepted: the
 * lock may be for what it did in another session, or made by hand.
 */
struct lock_check {
	struct lockfiles *locks;
	bool wanted; /* at the start */
};

static bool
is_wanted(const struct config *cfg)
{
	return cfg->lock_duration != 0;
}

static void *
load(const struct config *cfg, char *why, size_t why_size)
{
	struct lock_check *check = xcalloc(1, sizeof(*check));
	struct lockfile_rules rules = lockfile_rules(cfg);

	(void)why, (void)why_size;
	check->locks = lockfile_new(cfg->lock_path, &rules);
	check->wanted = config_any(cfg, is_wanted);
	return check;
}

static bool
ready(void *state, char *why, size_t why_size)
{
	const struct lock_check *check = state;

	return !check->wanted || lockfile_ready(check->locks, why, why_size);
}

static void
reconfigure(void *state, const struct config *cfg)
{
	struct lockfile_rules rules = lockfile_rules(cfg);
	const struct lock_check *check = state;
	char why[512];

	lockfile_set(check->locks, &rules);
	if (config_any(cfg, is_wanted) &&
	    !lockfile_ready(check->locks, why, sizeof(why)))
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "nobody can be locked out"),
		          log_text("why", why));
}

static void
unload(void *state)
{
	struct lock_check *check = state;

	lockfile_free(check->locks);
	free(check);
}

static void
start(struct check_run *run)
{
	const struct evidence *evidence = run->evidence;
	const struct lock_check *check = run->state;
	char name[LOCKFILE_NAME_SIZE];

	if (lockfile_look(check->locks, evidence->client, evidence->ident,
	                  run->cfg->lock_duration, name) == LOCKFILE_LOCKED) {
		run->found->kind = FOUND_LOCKED;
		snprintf(run->found->name, sizeof(run->found->name), "%.*s",
		         (int)sizeof(run->found->name) - 1, name);
	}
	check_answer(run);
}

const struct check_rule check_lock = {
	.name = "lock",
	.stages = STAGE_CONNECT | STAGE_MESSAGE,
	.wanted = is_wanted,
	.standby = true,
	.load = load,
	.ready = ready,
	.reconfigure = reconfigure,
	.unload = unload,
	.start = start,
};
