#include "control.h"

#include "clock.h"
#include "pidfile.h"
#include "status.h"
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * A daemon is held by a process descriptor from the moment it is found, so that no signal
 * ever goes to another process that got its number.
 */
struct daemon {
	const struct config *cfg;
	pid_t pid;
	int handle;
	char *state; /* its state file, seen from where we are */
};

enum {
	ANSWER_MS = 5000,    /* to write a state file, or to end */
	RELOAD_MS = 10000,   /* names may have to be looked up */
	UPGRADE_MS = 310000, /* signatures are loaded, beside those of the old one */
	BEFORE_MS = 2000,    /* see reload() */
	LOOK_MS = 10,
};

/* ---- the daemon -------------------------------------------------------------------------- */

static int
not_running(const struct config *cfg)
{
	return terminal_failure(
		EXIT_NOT_RUNNING,
		"no daemon runs for this configuration (pidfile = \"%s\")",
		cfg->pidfile);
}

/* The name of a process as the kernel has it; false if there is none. */
static bool
name_of(pid_t pid, char name[static 32])
{
	char path[64];
	FILE *file;
	bool got;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	got = fgets(name, 32, file);
	fclose(file);
	return got;
}

/* The pidfile may be in a directory that the daemon's user can write.  Whoever has broken
 * into that user shall not choose whom root signals: no process of another name. */
static bool
is_one_of_us(pid_t pid)
{
	char its[32], ours[32];

	return !name_of(pid, its) || !name_of(getpid(), ours) || strcmp(its, ours) == 0;
}

/* Who holds the pidfile after the descriptor was made is who the descriptor stands for. */
static int
hold(struct daemon *d, char *why, size_t why_size)
{
	pid_t still;

	d->handle = (int)syscall(SYS_pidfd_open, d->pid, 0);
	if (d->handle < 0 && errno != ESRCH)
		return terminal_failure(EXIT_FAILURE, "pidfd_open(2) for pid %d: %s",
		                        (int)d->pid, strerror(errno));
	if (!is_one_of_us(d->pid))
		return terminal_failure(
			EXIT_FAILURE,
			"pidfile = \"%s\": pid %d is another program; look who "
			"wrote that file, nothing was signalled",
			d->cfg->pidfile, (int)d->pid);
	still = pidfile_owner(d->cfg->pidfile, why, why_size);
	if (d->handle >= 0 && still == d->pid)
		return EXIT_SUCCESS;
	return still < 0 ? terminal_failure(EXIT_FAILURE, "%s", why)
	                 : not_running(d->cfg);
}

static int
find(struct daemon *d)
{
	const struct config *cfg = d->cfg;
	char why[1024];

	if (!cfg->pidfile[0])
		return terminal_failure(
			EXIT_FAILURE,
			"pidfile is empty in %s: without it no daemon can be "
			"found; set it, and restart the daemon",
			cfg->file ? cfg->file : "this configuration");
	d->pid = pidfile_owner(cfg->pidfile, why, sizeof(why));
	if (d->pid < 0)
		return terminal_failure(EXIT_FAILURE, "%s", why);
	return d->pid == 0 ? not_running(cfg) : hold(d, why, sizeof(why));
}

/* The daemon writes below its root directory. */
static struct daemon
daemon_of(const struct config *cfg)
{
	return (struct daemon){
		.cfg = cfg,
		.handle = -1,
		.state = xasprintf("%s%s", cfg->chroot_path, cfg->statefile),
	};
}

static int
daemon_release(struct daemon *d, int code)
{
	if (d->handle >= 0)
		close(d->handle);
	free(d->state);
	return code;
}

/* Here and below: EXIT_NOT_RUNNING and EXIT_NO_ANSWER still have to be said, by explain();
 * all else has been. */
static int
tell(const struct daemon *d, int number)
{
	if (syscall(SYS_pidfd_send_signal, d->handle, number, NULL, 0) == 0)
		return EXIT_SUCCESS;
	if (errno == ESRCH)
		return EXIT_NOT_RUNNING;
	return terminal_failure(
		EXIT_FAILURE,
		"cannot signal the daemon (pid %d): %s; do this as root, or as "
		"the user that it runs as",
		(int)d->pid, strerror(errno));
}

static bool
ends_within(const struct daemon *d, int milliseconds)
{
	struct pollfd end = { .fd = d->handle, .events = POLLIN };

	return poll(&end, 1, milliseconds) > 0;
}

/* ---- its state file ----------------------------------------------------------------------- */

/* The file as it was.  While it is held open no other can get its inode number. */
struct before {
	int fd;
	struct stat info;
};

static void
look_before(struct before *before, const char *path)
{
	before->fd = open(path, O_PATH | O_CLOEXEC);
	if (before->fd >= 0 && fstat(before->fd, &before->info) != 0) {
		close(before->fd);
		before->fd = -1;
	}
}

static bool
is_fresh(const struct before *before, const char *path)
{
	struct stat info;

	if (stat(path, &info) != 0)
		return false;
	return before->fd < 0 || info.st_ino != before->info.st_ino ||
	       info.st_dev != before->info.st_dev;
}

static int
await(const struct daemon *d, const struct before *before, int patience_ms)
{
	int64_t until = clock_ms() + patience_ms;

	while (!is_fresh(before, d->state)) {
		if (ends_within(d, LOOK_MS))
			return EXIT_NOT_RUNNING;
		if (clock_ms() > until)
			return EXIT_NO_ANSWER;
	}
	return EXIT_SUCCESS;
}

/* Makes the daemon write. */
static int
ask(const struct daemon *d, int patience_ms)
{
	struct before before;
	int code;

	look_before(&before, d->state);
	code = tell(d, SIGUSR1);
	if (code == EXIT_SUCCESS)
		code = await(d, &before, patience_ms);
	if (before.fd >= 0)
		close(before.fd);
	return code;
}

static int
explain(const struct daemon *d, int code)
{
	if (code == EXIT_NOT_RUNNING)
		return terminal_failure(code, "the daemon (pid %d) has just ended",
		                        (int)d->pid);
	if (code == EXIT_NO_ANSWER)
		return terminal_failure(code,
		                        "the daemon (pid %d) runs, but has not written "
		                        "statefile = \"%s\" in time; its log says why",
		                        (int)d->pid, d->state);
	return code;
}

/* The whole of it, owned by the caller; NULL: it has been said why. */
static char *
read_state(const struct daemon *d)
{
	FILE *file = fopen(d->state, "re");
	char *text = NULL;
	size_t size = 0;

	/* There is no NUL in it: this reads to its end. */
	if (!file || (getdelim(&text, &size, '\0', file) < 0 && ferror(file))) {
		terminal_failure(EXIT_FAILURE, "statefile = \"%s\": %s", d->state,
		                 strerror(errno));
		free(text);
		text = NULL;
	}
	if (file)
		fclose(file);
	return text;
}

/* ---- -s and -S ------------------------------------------------------------------------------- */

static int
refresh(struct daemon *d)
{
	const char *file = d->cfg->file;
	int code;

	if (!d->cfg->statefile[0])
		return terminal_failure(
			EXIT_FAILURE,
			"statefile is empty in %s: the daemon has nowhere to "
			"write its state",
			file ? file : "this configuration");
	code = find(d);
	return code == EXIT_SUCCESS ? explain(d, ask(d, ANSWER_MS)) : code;
}

static int
print(const char *text)
{
	fputs(text, stdout);
	return terminal_printed();
}

static int
print_state(const struct daemon *d)
{
	char *text = read_state(d);
	int code = text ? print(text) : EXIT_FAILURE;

	free(text);
	return code;
}

int
control_status(const struct config *cfg)
{
	struct daemon d = daemon_of(cfg);
	int code = refresh(&d);

	if (code == EXIT_SUCCESS)
		code = print_state(&d);
	return daemon_release(&d, code);
}

int
control_statefile(const struct config *cfg)
{
	struct daemon d = daemon_of(cfg);
	int code = refresh(&d);

	if (code == EXIT_SUCCESS)
		code = print(d.state);
	if (code == EXIT_SUCCESS)
		code = print("\n");
	return daemon_release(&d, code);
}

/* ---- -r ---------------------------------------------------------------------------------------- */

struct reloads {
	int64_t done, failed;
};

static int
count_reloads(const struct daemon *d, struct reloads *reloads, int patience_ms)
{
	int code = ask(d, patience_ms);
	char *text;

	if (code != EXIT_SUCCESS)
		return code;
	text = read_state(d);
	if (!text)
		return EXIT_FAILURE;
	reloads->done = status_number(text, "reloads");
	reloads->failed = status_number(text, "reloads_failed");
	free(text);
	return EXIT_SUCCESS;
}

/* Until one of the counters has moved. */
static int
await_reload(const struct daemon *d, const struct reloads *before)
{
	int64_t until = clock_ms() + RELOAD_MS;
	struct reloads after;
	int code;

	do {
		code = count_reloads(d, &after, RELOAD_MS);
		if (code != EXIT_SUCCESS)
			return explain(d, code);
		if (after.failed > before->failed)
			return terminal_failure(EXIT_FAILURE,
			                        "the daemon (pid %d) has kept its old "
			                        "configuration: its log says why",
			                        (int)d->pid);
		if (after.done > before->done)
			return print("reloaded\n");
	} while (!ends_within(d, LOOK_MS) && clock_ms() < until);
	return terminal_failure(
		EXIT_NO_ANSWER,
		"the daemon (pid %d) has not read its configuration again "
		"within %d seconds; its log may say why",
		(int)d->pid, RELOAD_MS / 1000);
}

static bool
counts_are_written(const struct config *cfg)
{
	return cfg->statefile[0] &&
	       ((unsigned)cfg->statefile_type & (STATEFILE_HUMAN | STATEFILE_FLAT));
}

/*
 * A daemon that does not answer before may still write to where its old configuration
 * says, or no counters; the new one, if it takes it, will make it tell here.  A failure it
 * would tell there.
 */
static int
reload(struct daemon *d)
{
	struct reloads before = { -1, -1 };
	int code = find(d);

	if (code != EXIT_SUCCESS)
		return code;
	if (!counts_are_written(d->cfg)) {
		code = explain(d, tell(d, SIGHUP));
		return code == EXIT_SUCCESS
		               ? print("told; its log says whether it has reloaded\n")
		               : code;
	}
	code = count_reloads(d, &before, BEFORE_MS);
	if (before.done < 0)
		before = (struct reloads){ .done = 0, .failed = INT64_MAX };
	if (code == EXIT_SUCCESS || code == EXIT_NO_ANSWER)
		code = tell(d, SIGHUP);
	return code == EXIT_SUCCESS ? await_reload(d, &before) : explain(d, code);
}

int
control_reload(const struct config *cfg)
{
	struct daemon d = daemon_of(cfg);

	return daemon_release(&d, reload(&d));
}

/* ---- --upgrade --------------------------------------------------------------------------- */

/* Between two that have been asked for, since a failure is known by its counter alone. */
static int64_t
failed_upgrades(const struct daemon *d)
{
	char *text = NULL;
	int64_t failed;

	if (counts_are_written(d->cfg) && ask(d, BEFORE_MS) == EXIT_SUCCESS)
		text = read_state(d);
	failed = text ? status_number(text, "upgrades_failed") : -1;
	free(text);
	return failed;
}

/* Who has taken over; 0: nobody. */
static pid_t
successor(const struct daemon *d, int patience_ms)
{
	int64_t until = clock_ms() + patience_ms;
	char why[1024];
	pid_t owner;

	for (;;) {
		owner = pidfile_owner(d->cfg->pidfile, why, sizeof(why));
		if (owner > 0 && owner != d->pid)
			return owner;
		if (clock_ms() >= until)
			return 0;
		poll(NULL, 0, LOOK_MS);
	}
}

static int
await_successor(const struct daemon *d, int64_t failed)
{
	int64_t until = clock_ms() + UPGRADE_MS;
	pid_t owner;
	bool ended;

	do {
		/* Without sessions it ends at once, and its successor, which was there
		 * before, has yet to write the pidfile. */
		ended = ends_within(d, 10 * LOOK_MS);
		owner = successor(d, ended ? ANSWER_MS : 0);
		if (owner > 0) {
			printf("process %d has taken over from %d\n", (int)owner,
			       (int)d->pid);
			return print("");
		}
		if (ended)
			return terminal_failure(
				EXIT_FAILURE,
				"the daemon (pid %d) has ended, and no other "
				"has taken over: its log says why",
				(int)d->pid);
		if (failed >= 0 && failed_upgrades(d) > failed)
			return terminal_failure(
				EXIT_FAILURE,
				"the daemon (pid %d) goes on, no other program "
				"has taken over: its log says why",
				(int)d->pid);
	} while (clock_ms() < until);
	return terminal_failure(
		EXIT_NO_ANSWER,
		"the daemon (pid %d) has not been replaced within %d seconds; "
		"its log may say why",
		(int)d->pid, UPGRADE_MS / 1000);
}

static int
upgrade(struct daemon *d)
{
	int code = find(d);
	int64_t failed;

	if (code != EXIT_SUCCESS)
		return code;
	failed = failed_upgrades(d);
	code = tell(d, SIGUSR2);
	return code == EXIT_SUCCESS ? await_successor(d, failed) : explain(d, code);
}

int
control_upgrade(const struct config *cfg)
{
	struct daemon d = daemon_of(cfg);

	return daemon_release(&d, upgrade(&d));
}

/* ---- -K ------------------------------------------------------------------------------------------ */

static int
still_serves(const struct daemon *d)
{
	int code = d->cfg->statefile[0] ? ask(d, ANSWER_MS) : EXIT_NO_ANSWER;
	char *text = code == EXIT_SUCCESS ? read_state(d) : NULL;
	int64_t sessions = text ? status_number(text, "sessions_now") : -1;

	free(text);
	if (code == EXIT_NOT_RUNNING)
		return EXIT_SUCCESS;
	if (sessions < 0)
		return terminal_failure(
			EXIT_NO_ANSWER,
			"the daemon (pid %d) has been told to end, but still "
			"runs; if it waits for sessions, once more -K ends it "
			"at once",
			(int)d->pid);
	return terminal_failure(
		EXIT_NO_ANSWER,
		"the daemon (pid %d) still serves %" PRId64 " session%s; it "
		"ends when they have ended; once more -K ends it at once",
		(int)d->pid, sessions, sessions == 1 ? "" : "s");
}

static int
stop(struct daemon *d)
{
	int code = find(d);

	if (code != EXIT_SUCCESS)
		return code;
	code = tell(d, SIGTERM);
	if (code == EXIT_FAILURE)
		return code;
	return ends_within(d, ANSWER_MS) ? EXIT_SUCCESS : still_serves(d);
}

int
control_stop(const struct config *cfg)
{
	struct daemon d = daemon_of(cfg);

	return daemon_release(&d, stop(&d));
}
