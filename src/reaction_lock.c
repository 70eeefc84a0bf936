#include "reaction_internal.h"

#include "log.h"

#include <stdio.h>
#include <stdlib.h>

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
log_lock(const struct occurrence *what, const char *result, const char *name)
{
	const struct evidence *evidence = what->evidence;

	log_event(evidence->log, LOG_LOCK_EVENT, log_text("result", result),
	          log_text("finding", finding_word(what->verdict->because.kind)),
	          log_addr("client", evidence->client),
	          log_text("ident", evidence->ident[0] ? evidence->ident : NULL),
	          log_text("file", name),
	          log_number("duration", what->cfg->lock_duration));
}

/* Where clients are locked, the script is for a client's first finding: for the others
 * there is the lock, and none is for whom is never to be locked.  If the lock could not be
 * made somebody should know. */
bool
reaction_lock(struct lockfiles *locks, const struct occurrence *what, char **file)
{
	const struct evidence *evidence = what->evidence;
	char *words = words_about(what), name[LOCKFILE_NAME_SIZE];
	enum lockfile_result result = lockfile_make(
		locks, evidence->client, evidence->ident, what->cfg->lock_duration,
		words, name);

	free(words);
	*file = NULL;
	switch (result) {
	case LOCKFILE_MADE:
		log_lock(what, "made", name);
		*file = xasprintf("%s/%s", what->cfg->lock_path, name);
		return true;
	case LOCKFILE_ALREADY:
		return false;
	case LOCKFILE_IS_NEVER:
		log_lock(what, "never", name);
		return false;
	case LOCKFILE_FAILED:
		return true;
	}
	abort(); /* no such thing: a result */
}
