#include "reaction_internal.h"

#include <stdlib.h>

struct reactions {
	struct script_limits limits; /* until there are scripts */
	struct scripts *scripts;     /* NULL until reactions_start() */
	struct lockfiles *locks;
};

struct reactions *
reactions_new(const struct config *cfg, char *why, size_t why_size)
{
	struct reactions *reactions = xcalloc(1, sizeof(*reactions));
	struct lockfile_rules rules = lockfile_rules(cfg);

	(void)why;
	(void)why_size;
	reactions->limits = reaction_script_limits(cfg);
	reactions->locks = lockfile_new(cfg->lock_path, &rules);
	return reactions;
}

bool
reactions_start(struct reactions *reactions, struct event_base *base)
{
	reactions->scripts = scripts_new(base, &reactions->limits);
	lockfile_start(reactions->locks, base);
	return true;
}

void
reactions_reconfigure(struct reactions *reactions, const struct config *cfg)
{
	struct script_limits limits = reaction_script_limits(cfg);
	struct lockfile_rules rules = lockfile_rules(cfg);

	scripts_set(reactions->scripts, &limits);
	lockfile_set(reactions->locks, &rules);
}

void
reactions_finish(struct reactions *reactions)
{
	if (!reactions)
		return;
	scripts_free(reactions->scripts);
	reactions->scripts = NULL;
}

void
reactions_free(struct reactions *reactions)
{
	if (!reactions)
		return;
	reactions_finish(reactions);
	lockfile_free(reactions->locks);
	free(reactions);
}

/* The order matters: the script is told of the file that was kept and of the lock. */
void
reaction_to(struct reactions *reactions, const struct occurrence *what)
{
	unsigned class = finding_class(what->verdict->because.kind);
	bool keeps = what->evidence->message &&
	             (what->cfg->spool_leave_on & (class | CLASS_CLEAN));
	bool found = what->verdict->because.kind != FOUND_NOTHING;
	bool locks = found && (what->cfg->lock_on & class);
	bool runs = found && (what->cfg->script_on & class);
	struct reaction_marks marks = { 0 };
	char *lock_file = NULL;

	(void)keeps;
	if (locks && what->cfg->lock_duration != 0) {
		runs = reaction_lock(reactions->locks, what, &lock_file) && runs;
		marks.lock_file = lock_file;
		marks.lock_duration = lock_file ? what->cfg->lock_duration : 0;
	}
	if (runs)
		reaction_script(reactions->scripts, what, &marks);
	free(lock_file);
}
