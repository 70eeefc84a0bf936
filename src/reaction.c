#include "reaction_internal.h"

#include <stdlib.h>

struct reactions {
	struct event_base *base;       /* NULL until reactions_start() */
	struct script_limits limits;   /* until there are scripts */
	struct scripts *scripts;       /* NULL until reactions_start() */
	struct events *events;         /* NULL until reactions_start() */
	struct quarantine *quarantine; /* NULL: no message is ever kept */
	struct lockfiles *locks;
};

struct reactions *
reactions_new(const struct config *cfg)
{
	struct reactions *reactions = xcalloc(1, sizeof(*reactions));
	struct lockfile_rules rules = lockfile_rules(cfg);

	reactions->limits = reaction_script_limits(cfg);
	reactions->locks = lockfile_new(cfg->lock_path, &rules);
	return reactions;
}

bool
reactions_start(struct reactions *reactions, struct event_base *base,
                const struct config *cfg, char *why, size_t why_size)
{
	struct events_limits event_limits = reaction_event_limits(cfg);

	reactions->base = base;
	reactions->scripts = scripts_new(base, &reactions->limits);
	reactions->events = events_new(base, &event_limits);
	lockfile_start(reactions->locks, base);
	return reaction_keeper(&reactions->quarantine, base, cfg, why, why_size);
}

void
reactions_reconfigure(struct reactions *reactions, const struct config *cfg)
{
	struct lockfile_rules rules = lockfile_rules(cfg);
	struct script_limits limits = reaction_script_limits(cfg);
	struct events_limits event_limits = reaction_event_limits(cfg);
	char why[512];

	lockfile_set(reactions->locks, &rules);
	scripts_set(reactions->scripts, &limits);
	events_set(reactions->events, &event_limits);
	if (!reaction_keeper(&reactions->quarantine, reactions->base, cfg, why,
	                     sizeof(why)))
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "no message will be kept"),
		          log_text("why", why));
}

bool
reactions_are_busy(const struct reactions *reactions)
{
	return scripts_are_busy(reactions->scripts);
}

void
reactions_on_idle(struct reactions *reactions, void (*idle)(void *arg), void *arg)
{
	scripts_on_idle(reactions->scripts, idle, arg);
}

void
reactions_finish(struct reactions *reactions)
{
	if (!reactions)
		return;
	scripts_free(reactions->scripts);
	reactions->scripts = NULL;
	events_free(reactions->events);
	reactions->events = NULL;
}

void
reactions_free(struct reactions *reactions)
{
	if (!reactions)
		return;
	reactions_finish(reactions);
	quarantine_free(reactions->quarantine);
	lockfile_free(reactions->locks);
	free(reactions);
}

/* The order matters: script and event tell of the file that was kept and of the lock. */
void
reaction_to(struct reactions *reactions, const struct occurrence *what)
{
	unsigned class = finding_class(what->verdict->because.kind);
	bool keeps = what->evidence->message &&
	             (what->cfg->spool_leave_on & (class | CLASS_CLEAN));
	bool found = what->verdict->because.kind != FOUND_NOTHING;
	bool locks = what->verdict->act >= VERDICT_REFUSE &&
	             (what->cfg->lock_on & class);
	bool runs = found && (what->cfg->script_on & class);
	bool tells = found && (what->cfg->event_on & class);
	struct reaction_marks marks = { 0 };
	char *lock_file = NULL, *kept = NULL;

	if (keeps)
		marks.spool_name = kept = reaction_keep(reactions->quarantine, what);
	if (locks && what->cfg->lock_duration != 0) {
		runs = reaction_lock(reactions->locks, what, &lock_file) && runs;
		marks.lock_file = lock_file;
		marks.lock_duration = lock_file ? what->cfg->lock_duration : 0;
	}
	if (runs)
		reaction_script(reactions->scripts, what, &marks);
	if (tells)
		reaction_event(reactions->events, what, &marks);
	free(lock_file);
	free(kept);
}
