#include "service_internal.h"

#include "log.h"
#include "privilege.h"
#include "stats.h"
#include "systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * A new program in place of this one, and no client that notices.
 *
 * The old process starts the new one with its listening sockets, as a service manager
 * would (systemd.h), with its locked pidfile, and with a pipe.  Both accept clients from
 * the moment the new one is ready; it says so in the pipe, and the old one closes its
 * sockets and ends with its last session.  If the pipe ends without that word, nothing has
 * happened but a line in the log.
 */

#define HANDED "SMTP_GATED_HANDED"
#define READY  "ready %d"

extern char **environ;

enum {
	PATIENCE_S = 300,   /* for a new one: it loads signatures, beside us */
	FAREWELL_MS = 2000, /* for the old one, to write what it counted */
};

struct upgrade {
	struct service *service;
	struct event *heard;
	int report;
	pid_t starter; /* the first of its two processes; it ends when it has begun */
	size_t size;
	char words[2048];
};

/* ---- the new one ------------------------------------------------------------------- */

/* What we were handed; nobody else is asked. */
static struct {
	int report, pidfile; /* -1: nothing */
} handed = { -1, -1 };

/* The environment is for children as well, and for theirs: it counts only if our parent
 * has written it. */
static bool
read_environment(void)
{
	const char *text = getenv(HANDED);
	int parent, report, pidfile, all = -1;

	if (!text ||
	    sscanf(text, "%d %d %d%n", &parent, &report, &pidfile, &all) != 3 ||
	    all < 0 || text[all] != '\0' || parent != getppid())
		return false;
	handed.report = report;
	handed.pidfile = pidfile;
	return true;
}

/* The numbers in it were not known when it was written. */
static void
sign_environment(void)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", (int)getpid());
	setenv("LISTEN_PID", number, 1);
	if (getenv("WATCHDOG_PID"))
		setenv("WATCHDOG_PID", number, 1);
	unsetenv(HANDED);
}

unsigned
service_inherit(void)
{
	int first;

	if (!read_environment())
		return (unsigned)systemd_first_free();
	/* Nobody's child: so that the service manager, not our predecessor, is told how
	 * we end.  No thread has been started yet. */
	switch (fork()) {
	case -1:
		_exit(EXIT_FAILURE);
	case 0:
		break;
	default:
		_exit(EXIT_SUCCESS);
	}
	sign_environment();
	fcntl(handed.report, F_SETFD, FD_CLOEXEC);
	first = systemd_first_free();
	first = handed.report >= first ? handed.report + 1 : first;
	return (unsigned)(handed.pidfile >= first ? handed.pidfile + 1 : first);
}

bool
upgrade_waited_for(void)
{
	return handed.report >= 0;
}

/* Our predecessor closes its end when it has written what we have to know. */
static void
await_farewell(int report)
{
	struct pollfd end = { .fd = report };

	(void)poll(&end, 1, FAREWELL_MS);
}

bool
upgrade_ready(void)
{
	char words[32];
	int size = snprintf(words, sizeof(words), READY "\n", (int)getpid());
	bool told;

	if (handed.report < 0)
		return true;
	told = write(handed.report, words, (size_t)size) == size;
	if (told)
		await_farewell(handed.report);
	close(handed.report);
	handed.report = -1;
	return told;
}

struct pidfile *
upgrade_pidfile(const struct config *cfg)
{
	int fd = handed.pidfile;

	handed.pidfile = -1;
	return fd >= 0 ? pidfile_inherit(cfg->pidfile, fd) : NULL;
}

/* ---- the old one ---------------------------------------------------------------------- */

void
upgrade_cancel(struct service *service)
{
	struct upgrade *upgrade = service->upgrade;

	if (!upgrade)
		return;
	event_free(upgrade->heard);
	close(upgrade->report);
	kill(upgrade->starter, SIGKILL); /* in case that it is no program of ours */
	waitpid(upgrade->starter, NULL, 0);
	free(upgrade);
	service->upgrade = NULL;
}

static void
failed(const char *why)
{
	stats_add(STAT_upgrades_failed, 1);
	log_event(NULL, LOG_TROUBLE_EVENT,
	          log_text("text", "no other program has taken over; this one goes on"),
	          log_text("why", why));
}

/* The whole lines that it has said by now; 0, or its number once it is ready. */
static pid_t
take_words(struct upgrade *upgrade)
{
	char *line = upgrade->words, *end;
	int ready = 0;

	for (; !ready && (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		if (sscanf(line, READY, &ready) != 1)
			log_event(NULL, LOG_TROUBLE_EVENT,
			          log_text("text", "the new program says"),
			          log_text("why", line));
	}
	upgrade->size -= (size_t)(line - upgrade->words);
	memmove(upgrade->words, line, upgrade->size + 1);
	return (pid_t)ready;
}

static void
on_heard(evutil_socket_t fd, short what, void *arg)
{
	struct upgrade *upgrade = arg;
	struct service *service = upgrade->service;
	size_t room = sizeof(upgrade->words) - 1 - upgrade->size;
	ssize_t got = read(fd, upgrade->words + upgrade->size, room);
	pid_t ready;

	if (what & EV_TIMEOUT) {
		upgrade_cancel(service);
		failed("it was not ready within five minutes, and is given up");
		return;
	}
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	upgrade->size += got > 0 ? (size_t)got : 0;
	upgrade->words[upgrade->size] = '\0';
	ready = take_words(upgrade);
	if (!ready && got > 0 && upgrade->size < sizeof(upgrade->words) - 1)
		return;
	if (ready) {
		statestore_leave(service->shared);
		checks_hand_over(service->checks);
	}
	upgrade_cancel(service);
	if (ready)
		service_give_way(service, ready);
	else
		failed("it did not start; it, or the log, says why");
}

/* NAME=VALUE in place of what ENVIRON says of NAME. */
static void
set_word(char **environment, char *word)
{
	size_t size = strcspn(word, "=") + 1;
	size_t i = 0;

	while (environment[i] && strncmp(environment[i], word, size) != 0)
		i++;
	environment[i] = word;
}

static char *
names_of(const struct service *service)
{
	char *names = xstrdup("LISTEN_FDNAMES=");

	for (size_t i = 0; i < service->entrance_count; i++) {
		char *more = xasprintf("%s%s%s", names, i > 0 ? ":" : "",
		                       service->entrances[i].name);

		free(names);
		names = more;
	}
	return names;
}

/*
 * The descriptors that it finds: 3 and on, the sockets; then the pipe; then the pidfile.
 * They are copied to where nothing else is first, since what has to be moved may be where
 * something has to go.
 */
struct luggage {
	int *fds;
	size_t count;
};

static bool
pack(struct luggage *luggage, int fd, size_t most)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1 + (int)most);

	if (copy < 0)
		return false;
	luggage->fds[luggage->count++] = copy;
	return true;
}

static bool
pack_all(struct luggage *luggage, const struct service *service, int report)
{
	size_t most = service->entrance_count + 2;
	bool good = true;

	*luggage = (struct luggage){ .fds = xcalloc(most, sizeof(int)) };
	for (size_t i = 0; good && i < service->entrance_count; i++)
		good = pack(luggage, service->entrances[i].fd, most);
	good = good && pack(luggage, report, most);
	if (good && service->pidfile)
		good = pack(luggage, pidfile_fd(service->pidfile), most);
	return good;
}

static void
unpack(struct luggage *luggage)
{
	for (size_t i = 0; i < luggage->count; i++)
		close(luggage->fds[i]);
	free(luggage->fds);
}

/* 0, or an error number. */
static int
spawn(const struct service *service, const struct luggage *luggage, char **environment,
      pid_t *child)
{
	char *with_f[] = { service->program, (char[]){ "-f" }, service->config_path,
		           NULL };
	char *without[] = { service->program, service->config_path, NULL };
	posix_spawn_file_actions_t moves;
	int error;

	posix_spawn_file_actions_init(&moves);
	for (size_t i = 0; i < luggage->count; i++)
		posix_spawn_file_actions_adddup2(&moves, luggage->fds[i],
		                                 STDERR_FILENO + 1 + (int)i);
	if (!service->foreground) /* nobody else would hear why it does not start */
		posix_spawn_file_actions_adddup2(
			&moves, luggage->fds[service->entrance_count], STDERR_FILENO);
	error = posix_spawn(child, service->program, &moves, NULL,
	                    service->foreground ? with_f : without, environment);
	posix_spawn_file_actions_destroy(&moves);
	return error;
}

static int
spawn_in_environment(const struct service *service, const struct luggage *luggage,
                     pid_t *child)
{
	int count = (int)service->entrance_count;
	int after = STDERR_FILENO + 1 + count;
	char *handed_word = xasprintf(HANDED "=%d %d %d", (int)getpid(), after,
	                              service->pidfile ? after + 1 : -1);
	char *count_word = xasprintf("LISTEN_FDS=%d", count);
	char *names = names_of(service);
	size_t size = 0;
	char **environment;
	int error;

	while (environ[size])
		size++;
	environment = xcalloc(size + 4, sizeof(*environment));
	memcpy(environment, environ, size * sizeof(*environment));
	set_word(environment, handed_word);
	set_word(environment, count_word);
	set_word(environment, names);
	error = spawn(service, luggage, environment, child);
	free(environment);
	free(names);
	free(count_word);
	free(handed_word);
	return error;
}

/* It needs what we may, and is no more than we are: privilege.h. */
static int
start_other(const struct service *service, int report, pid_t *child)
{
	struct luggage luggage;
	int error = EMFILE;

	if (pack_all(&luggage, service, report)) {
		privilege_lend(true);
		error = spawn_in_environment(service, &luggage, child);
		privilege_lend(false);
	}
	unpack(&luggage);
	return error;
}

static bool
is_possible(const struct service *service, const char **why)
{
	if (service->stopping)
		*why = "this one is about to end";
	else if (service->cfg->chroot_path[0])
		*why = "chroot_path: the program is not to be seen from here; restart "
		       "the daemon";
	else if (!service->config_path)
		*why = "there is no configuration file";
	else
		return true;
	return false;
}

static struct upgrade *
upgrade_new(struct service *service, int report, pid_t starter)
{
	static const struct timeval patience = { .tv_sec = PATIENCE_S };
	struct upgrade *upgrade = xcalloc(1, sizeof(*upgrade));

	upgrade->service = service;
	upgrade->report = report;
	upgrade->starter = starter;
	upgrade->heard = event_new(service->base, report, EV_READ | EV_PERSIST,
	                           on_heard, upgrade);
	event_add(upgrade->heard, &patience);
	return upgrade;
}

void
upgrade_begin(struct service *service)
{
	const char *why;
	pid_t starter;
	int ends[2], error;

	if (service->upgrade) {
		log_event(
			NULL, LOG_CONFIG_EVENT,
			log_text("text", "another one is about to take over already"));
		return;
	}
	if (!is_possible(service, &why)) {
		failed(why);
		return;
	}
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
		failed(strerror(errno));
		return;
	}
	error = start_other(service, ends[1], &starter);
	close(ends[1]);
	if (error != 0) {
		close(ends[0]);
		failed(strerror(error));
		return;
	}
	log_event(NULL, LOG_CONFIG_EVENT,
	          log_text("text", "starting the program anew, to take over"),
	          log_text("program", service->program),
	          log_text("config", service->config_path));
	service->upgrade = upgrade_new(service, ends[0], starter);
}

/* ---- where both are to be found ---------------------------------------------------------- */

void
upgrade_remember(struct service *service)
{
	const char *file = service->cfg->file;
	char program[PATH_MAX], *here;
	ssize_t size = readlink("/proc/self/exe", program, sizeof(program) - 1);

	if (size <= 0 || !file)
		return;
	program[size] = '\0';
	here = file[0] == '/' ? xstrdup("") : getcwd(NULL, 0);
	if (!here)
		return;
	service->program = xstrdup(program);
	service->config_path = xasprintf("%s%s%s", here, here[0] ? "/" : "", file);
	free(here);
}
