#ifndef TASK_H
#define TASK_H

#include <stdbool.h>

/*
 * What the program can be asked to do, one call each; all return its exit status, and have
 * said what is wrong if that is not 0.  The arguments are main.c's matter.
 */

/* What a task may be told beside its argument. */
enum {
	DETAIL_CLIENT,
	DETAIL_SERVER,
	DETAIL_LISTENER,
	DETAIL_TO,
	DETAIL_OLDER,
	DETAIL_DELETE,
	DETAIL_HELO,
	DETAIL_FROM,
	DETAIL_RCPT,
	DETAILS,
};

struct wish {
	const struct task *task;
	bool foreground;
	const char *argument;	/* of the task; NULL: it has none */
	const char *file;	/* of configuration; NULL: none was given */
	char **words;		/* behind the file; ends with NULL */
	const char *details[DETAILS];	/* NULL: not told */
};

int task_serve(const struct wish *wish);
int task_dump(const struct wish *wish);
int task_dump_all(const struct wish *wish);
int task_show(const struct wish *wish);
int task_findings(const struct wish *wish);
int task_scan(const struct wish *wish);
int task_check(const struct wish *wish);
int task_import(const struct wish *wish);
int task_status(const struct wish *wish);
int task_status_file(const struct wish *wish);
int task_reload(const struct wish *wish);
int task_upgrade(const struct wish *wish);
int task_stop(const struct wish *wish);
int task_nft(const struct wish *wish);
int task_locks(const struct wish *wish);
int task_unlock(const struct wish *wish);
int task_rates(const struct wish *wish);
int task_quarantine(const struct wish *wish);
int task_version(const struct wish *wish);
int task_versions(const struct wish *wish);

/* The task was asked for in a way that has no meaning: WHY, or NULL if that was said. */
int task_misused(const char *why);

#endif
