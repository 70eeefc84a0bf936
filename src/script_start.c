#include "script_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * From a call to a process.  Never fork(): there are other threads, and with a gigabyte of
 * signatures it takes 17 ms to copy what only exec() is to throw away.
 */

/* The new process has what the thread that starts it has. */
static void
become_modest(void)
{
	cap_t none = cap_init();

	(void)cap_reset_ambient();
	if (none)
		(void)cap_set_proc(none);
	cap_free(none);
	/* Linux keeps one for each thread. */
	errno = 0;
	if (getpriority(PRIO_PROCESS, 0) < 0 && errno == 0)
		(void)setpriority(PRIO_PROCESS, 0, 0);
}

/* A pipe. */
struct way {
	int read, write;
};

static bool
way_open(struct way *way)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	*way = (struct way){ .read = ends[0], .write = ends[1] };
	/* Ours; the other end is another matter. */
	return fcntl(way->read, F_SETFL, O_NONBLOCK) == 0;
}

static void
end_close(int *end)
{
	if (*end >= 0)
		close(*end);
	*end = -1;
}

/* No signal is ignored or held; there is no descriptor but the standard ones. */
static int
prepare(posix_spawn_file_actions_t *moves, posix_spawnattr_t *attributes, int input,
        int output)
{
	const short flags = POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
	                    POSIX_SPAWN_SETSIGDEF;
	sigset_t signals;
	int error;

	sigfillset(&signals);
	error = posix_spawnattr_setsigdefault(attributes, &signals);
	sigemptyset(&signals);
	error = error ? error : posix_spawnattr_setsigmask(attributes, &signals);
	error = error ? error : posix_spawnattr_setflags(attributes, flags);
	error = error ? error : posix_spawn_file_actions_addchdir_np(moves, "/");
	error = error ? error
	              : posix_spawn_file_actions_adddup2(moves, input, STDIN_FILENO);
	error = error ? error
	              : posix_spawn_file_actions_adddup2(moves, output, STDOUT_FILENO);
	error = error ? error
	              : posix_spawn_file_actions_adddup2(moves, output, STDERR_FILENO);
	return error ? error
	             : posix_spawn_file_actions_addclosefrom_np(moves,
	                                                        STDERR_FILENO + 1);
}

static int
spawn(const struct script_call *call, int input, int output, pid_t *pid)
{
	posix_spawn_file_actions_t moves;
	posix_spawnattr_t attributes;
	int error;

	posix_spawn_file_actions_init(&moves);
	posix_spawnattr_init(&attributes);
	error = prepare(&moves, &attributes, input, output);
	if (error == 0)
		error = posix_spawn(pid, call->arguments[0], &moves, &attributes,
		                    call->arguments, call->environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&moves);
	return error;
}

/* To be heard when it ends.  What cannot be heard must not run. */
static int
watch(struct script_child *child)
{
	int error;

	child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
	if (child->pidfd >= 0)
		return 0;
	error = errno;
	kill(-child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
	return error;
}

int
script_start(const struct script_call *call, struct script_child *child)
{
	/* The first in place of /dev/null, which chroot_path need not have. */
	struct way input = { -1, -1 }, output = { -1, -1 };
	int error = 0;

	*child = (struct script_child){ .pidfd = -1, .output = -1 };
	become_modest();
	if (!way_open(&input) || !way_open(&output))
		error = errno;
	end_close(&input.write);
	if (error == 0)
		error = spawn(call, input.read, output.write, &child->pid);
	if (error == 0)
		error = watch(child);
	if (error == 0) {
		child->output = output.read;
		output.read = -1;
	}
	end_close(&input.read);
	end_close(&output.read);
	end_close(&output.write);
	return error;
}

/* ---- what to look at ------------------------------------------------------------- */

bool
script_is_there(const char *path, char *why, size_t why_size)
{
	struct stat info;

	if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
		errno = EACCES;
	else if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0)
		return true;
	snprintf(why, why_size, "%s; %s", strerror(errno), script_hint_start(errno));
	return false;
}

const char *
script_hint_start(int error)
{
	switch (error) {
	case ENOENT:
		return "it is not there (seen from chroot_path, if that is set), or "
		       "what its first line names is not; it is named by its path "
		       "alone, without arguments";
	case ENOTDIR:
	case EACCES:
	case EPERM:
		return "set_user must be able to reach and execute it, and what its "
		       "first line names: chmod, noexec mounts, AppArmor, the unit";
	case ENOEXEC:
		return "its first line does not say by what it is to be run: "
		       "#!/bin/sh, for example";
	case EAGAIN:
	case ENOMEM:
		return "there may be no more processes: TasksMax= of the unit, "
		       "ulimit -u";
	case EMFILE:
	case ENFILE:
		return "descriptors have run out: LimitNOFILE= of the unit, ulimit -n";
	case ENOSYS:
		return "this needs Linux 5.3";
	}
	return "smtp-gated(8), ACTION SCRIPT, says how it is started";
}

const char *
script_hint_end(const siginfo_t *end, bool too_long)
{
	if (too_long)
		return "it took longer than timeout_script, or than the few seconds "
		       "that are left when the daemon ends, and was told to end";
	if (end->si_code != CLD_EXITED)
		return "a signal has ended it; if that was not you: memory limits of "
		       "the unit, limit_virt_size, limit_fsize";
	if (end->si_status == 127 || end->si_status == 126)
		return "a command in it cannot be found or executed: it has a PATH of "
		       "the usual directories, and all that of set_user and the unit";
	return "what it said is in the lines above; smtp-gated(8), ACTION SCRIPT, says "
	       "what it may and may not";
}
