#include "reaction.h"

#include <stdlib.h>

struct reactions {
	struct event_base *base; /* NULL until reactions_start() */
};

struct reactions *
reactions_new(const struct config *cfg, char *why, size_t why_size)
{
	struct reactions *reactions = xcalloc(1, sizeof(*reactions));

	(void)cfg;
	(void)why;
	(void)why_size;
	return reactions;
}

bool
reactions_start(struct reactions *reactions, struct event_base *base)
{
	reactions->base = base;
	return true;
}

void
reactions_reconfigure(struct reactions *reactions, const struct config *cfg)
{
	(void)reactions;
	(void)cfg;
}

void
reactions_free(struct reactions *reactions)
{
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

	(void)reactions;
	(void)keeps;
	(void)locks;
	(void)runs;
}
