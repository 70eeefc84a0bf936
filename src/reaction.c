#include "reaction_internal.h"

#include "lockfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct reactions {
	struct event_base *base;       /* NULL until reactions_start() */
	struct script_limits limits;   /* until there are scripts */
	struct scripts *scripts;       /* NULL until reactions_start() */
	struct quarantine *quarantine; /* NULL: no message is ever kept */
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
reactions_start(struct reactions *reactions, struct event_base *base,
                const struct config *cfg, char *why, size_t why_size)
{
	reactions->base = base;
	reactions->scripts = scripts_new(base, &reactions->limits);
	lockfile_start(reactions->locks, base);
	return reaction_keeper(&reactions->quarantine, base, cfg, why, why_size);
}

void
reactions_reconfigure(struct reactions *reactions, const struct config *cfg)
{
	struct lockfile_rules rules = lockfile_rules(cfg);
	struct script_limits limits = reaction_script_limits(cfg);
	char why[512];

	lockfile_set(reactions->locks, &rules);
	scripts_set(reactions->scripts, &limits);
	if (!reaction_keeper(&reactions->quarantine, reactions->base, cfg, why,
	                     sizeof(why)))
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "no message will be kept"),
		          log_text("why", why));
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
	quarantine_free(reactions->quarantine);
	lockfile_free(reactions->locks);
	free(reactions);
}

/* ---- locks ------------------------------------------------------------------ */

struct lock {
	enum lockfile_result result;
	char name[LOCKFILE_NAME_SIZE]; /* of its file; may be empty */
};

/* What --locks says of it, and who opens the file sees. */
static char *
words_about(const struct occurrence *what)
{
	const struct finding *because = &what->verdict->because;
	time_t now = time(NULL);
	char when[32] = "-";
	struct tm parts;

	if (localtime_r(&now, &parts))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &parts);
	return xasprintf("%s%s%s s=%s %s", finding_word(because->kind),
	                 because->name[0] ? " " : "", because->name,
	                 what->evidence->log->session, when);
}

static void
log_lock(const struct occurrence *what, const struct lock *lock)
{
	static const char *const results[] = {
		[LOCKFILE_MADE] = "made",
		[LOCKFILE_IS_NEVER] = "never",
	};
	const struct evidence *evidence = what->evidence;
	int64_t duration = what->cfg->lock_duration;
	bool made = lock->result == LOCKFILE_MADE;

	if (!made && lock->result != LOCKFILE_IS_NEVER)
		return; /* nothing has changed, or it is said in trouble */
	log_event(evidence->log, LOG_LOCK_EVENT,
	          log_text("result", results[lock->result]),
	          log_text("finding", finding_word(what->verdict->because.kind)),
	          log_addr("client", evidence->client),
	          log_text("ident", evidence->ident[0] ? evidence->ident : NULL),
	          log_text("file", lock->name), log_number("duration", duration));
}

static struct lock
lock_client(struct reactions *reactions, const struct occurrence *what)
{
	const struct evidence *evidence = what->evidence;
	char *words = words_about(what);
	struct lock lock;

	lock.result = lockfile_make(reactions->locks, evidence->client, evidence->ident,
	                            what->cfg->lock_duration, words, lock.name);
	free(words);
	log_lock(what, &lock);
	return lock;
}

/* Where clients are locked, the script is for a client's first finding: for the others
 * there is the lock, and none is for whom is never to be locked.  If the lock could not be
 * made somebody should know. */
static bool
is_told(const struct lock *lock)
{
	return lock->result == LOCKFILE_MADE || lock->result == LOCKFILE_FAILED;
}

/* ---- all of it --------------------------------------------------------------- */

/* The order matters: the script is told of the file that was kept and of the lock. */
void
reaction_to(struct reactions *reactions, const struct occurrence *what)
{
	unsigned class = finding_class(what->verdict->because.kind);
	bool keeps = what->evidence->message &&
	             (what->cfg->spool_leave_on & (class | CLASS_CLEAN));
	bool found = what->verdict->because.kind != FOUND_NOTHING;
	bool locks = found && (what->cfg->lock_on & class) &&
	             what->cfg->lock_duration != 0;
	bool runs = found && (what->cfg->script_on & class);
	struct reaction_marks marks = { 0 };
	struct lock lock = { .name = "" };
	char *lock_file = NULL, *kept = NULL;

	if (keeps)
		marks.spool_name = kept = reaction_keep(reactions->quarantine, what);
	if (locks) {
		lock = lock_client(reactions, what);
		runs = runs && is_told(&lock);
	}
	if (locks && lock.result == LOCKFILE_MADE) {
		lock_file = xasprintf("%s/%s", what->cfg->lock_path, lock.name);
		marks.lock_file = lock_file;
		marks.lock_duration = what->cfg->lock_duration;
	}
	if (runs)
		reaction_script(reactions->scripts, what, &marks);
	free(lock_file);
	free(kept);
}
