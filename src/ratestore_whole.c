#include "ratestore_internal.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Is the file whole?  LMDB trusts what it reads, and may die of a damaged file, or go round
 * in circles.  So a child looks at all of it first, and what it dies of is moved aside.
 */

#define LOCK    "lock.mdb"
#define DAMAGED "damaged.mdb"

void
ratestore_die_quietly(void)
{
	static const int deadly[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL };

	for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
		signal(deadly[i], SIG_DFL);
	alarm(60); /* pages that lead in a circle */
}

/* Whatever it dies of is no concern of anybody else. */
static _Noreturn void
examine_in_child(const char *path, int report)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char why[256] = "";
	int code;

	ratestore_die_quietly();
	if (null >= 0)
		dup2(null, STDERR_FILENO);
	code = (int)ratefile_examine(path, why, sizeof(why));
	(void)!write(report, why, strlen(why));
	_exit(code);
}

/* One of the above. */
static int
examine_apart(const char *path, char *why, size_t why_size)
{
	ssize_t size;
	int ends[2], status;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) != 0 || (child = fork()) < 0) {
		(void)ratefile_fail(why, why_size, "cannot look at it: %s",
		                    strerror(errno));
		return RATEFILE_FAILED;
	}
	if (child == 0)
		examine_in_child(path, ends[1]);
	close(ends[1]);
	size = read(ends[0], why, why_size - 1);
	why[size > 0 ? size : 0] = '\0';
	close(ends[0]);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	(void)ratefile_fail(why, why_size, "whoever reads it dies (%s)",
	                    strsignal(WTERMSIG(status)));
	return RATEFILE_DAMAGED;
}

/* The lock file belongs to what was there. */
static bool
move_aside(const char *path, const char *what, char *why, size_t why_size)
{
	char *data = xasprintf("%s/" RATEFILE_DATA, path);
	char *lock = xasprintf("%s/" LOCK, path);
	char *aside = xasprintf("%s/" DAMAGED, path);
	bool moved = rename(data, aside) == 0 && (unlink(lock) == 0 || errno == ENOENT);

	if (moved)
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text",
		                   "the counts of clients are damaged; they were moved "
		                   "aside, and counting begins anew"),
		          log_text("why", what), log_text("file", aside));
	else
		(void)ratefile_fail(
			why, why_size,
			RATEFILE_DATA
			" in it is damaged (%s), and cannot be moved aside: %s",
			what, strerror(errno));
	free(aside);
	free(lock);
	free(data);
	return moved;
}

bool
ratestore_ready(const char *path, char *why, size_t why_size)
{
	char what[256];
	int found = examine_apart(path, what, sizeof(what));

	if (found == RATEFILE_DAMAGED) {
		if (!move_aside(path, what, why, why_size))
			return false;
		found = examine_apart(path, what, sizeof(what));
	}
	return found == RATEFILE_GOOD || ratefile_fail(why, why_size, "%s", what);
}
