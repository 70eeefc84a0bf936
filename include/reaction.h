#ifndef REACTION_H
#define REACTION_H

#include "check.h"
#include "config.h"
#include "verdict.h"

/*
 * What a finding leads to beside the reply: its message is kept, its client locked out, the
 * action script run, event_url told; which of these, the masks spool_leave_on, lock_on,
 * script_on and event_on say.
 */
struct reactions;

/* All that is known of a finding when the verdict stands.  Nothing here is owned. */
struct occurrence {
	const struct config *cfg;
	const struct evidence *evidence;
	const struct verdict *verdict;
	struct addr local;		/* our end of the client's connection */
};

/* True if a message of CFG can be kept: any is spooled at all.  For config_any(). */
bool reaction_may_keep(const struct config *cfg);

/* Those to findings of CFG's file. */
struct reactions *reactions_new(const struct config *cfg) MUST_CHECK;

/* From now on they may be asked for; CFG as the daemon sees it, from the root that it has
 * by now.  False: WHY. */
bool reactions_start(struct reactions *reactions, struct event_base *base,
		     const struct config *cfg, char *why, size_t why_size) MUST_CHECK;

/* CFG was reloaded. */
void reactions_reconfigure(struct reactions *reactions, const struct config *cfg);

/* No more will be asked for: gives scripts that run, and events that wait, a few seconds,
 * while the loop turns.  NULL is fine. */
void reactions_finish(struct reactions *reactions);

/* Waits for nothing more.  NULL is fine. */
void reactions_free(struct reactions *reactions);

/* True while action scripts run or wait; IDLE is called from the loop when the last of them
 * has ended. */
bool reactions_are_busy(const struct reactions *reactions);
void reactions_on_idle(struct reactions *reactions, void (*idle)(void *arg), void *arg);

/* Does all that WHAT leads to.  Nothing here blocks or fails loudly: what goes wrong is
 * logged. */
void reaction_to(struct reactions *reactions, const struct occurrence *what);

#endif
