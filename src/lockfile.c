#include "lockfile_internal.h"

#include "log.h"
#include "stats.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	CANDIDATES = 4,
	SWEEP_AT_MOST = 60,    /* seconds between two sweeps */
	SWEEP_IN_A_TURN = 256, /* files; about half a millisecond */
};

/* ---- the rules -------------------------------------------------------------- */

static void
prolong(struct config *cfg, void *arg)
{
	int64_t *longest = arg;

	if (cfg->lock_duration == LOCKFILE_FOR_EVER || *longest == LOCKFILE_FOR_EVER)
		*longest = LOCKFILE_FOR_EVER;
	else if (cfg->lock_duration > *longest)
		*longest = cfg->lock_duration;
}

struct lockfile_rules
lockfile_rules(const struct config *cfg)
{
	struct lockfile_rules rules = {
		.mode = (unsigned)cfg->lock_perm,
		.prefix6 = (unsigned)cfg->lock_prefix6,
		.longest = cfg->lock_duration,
	};

	if (cfg->root)
		config_each(cfg->root, prolong, &rules.longest);
	return rules;
}

/* Once, until it works again. */
static void
trouble(struct lockfiles *locks, int error)
{
	if (!locks->troubled)
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "locks cannot be looked up: nobody is "
		                           "locked out"),
		          log_text("lock_path", locks->path), log_error(error));
	locks->troubled = true;
}

/* ---- the directory -------------------------------------------------------- */

static void
forget_directory(struct lockfiles *locks)
{
	if (locks->directory >= 0)
		close(locks->directory);
	locks->directory = -1;
}

bool
lockfile_find_directory(struct lockfiles *locks)
{
	struct stat info;

	if (stat(locks->path, &info) != 0)
		return false;
	if (locks->directory >= 0 && info.st_dev == locks->device &&
	    info.st_ino == locks->inode)
		return true;
	forget_directory(locks);
	locks->directory = open(locks->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (locks->directory < 0 || fstat(locks->directory, &info) != 0)
		return false;
	locks->device = info.st_dev;
	locks->inode = info.st_ino;
	return true;
}

static bool
make_directory(struct lockfiles *locks)
{
	if (lockfile_find_directory(locks))
		return true;
	if (errno != ENOENT)
		return false;
	return mkdir(locks->path, 0750) == 0 && lockfile_find_directory(locks);
}

/* Whoever can write to it can lock clients, and make others never be locked. */
static void
note_openness(const struct lockfiles *locks)
{
	struct stat info;

	if (fstat(locks->directory, &info) == 0 && (info.st_mode & S_IWOTH))
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "everybody can make locks, and see to it "
		                           "that clients are never locked: chmod o-w"),
		          log_text("lock_path", locks->path));
}

struct lockfiles *
lockfile_new(const char *path, const struct lockfile_rules *rules)
{
	struct lockfiles *locks = xcalloc(1, sizeof(*locks));

	locks->path = xstrdup(path);
	locks->rules = *rules;
	locks->directory = -1;
	return locks;
}

bool
lockfile_ready(struct lockfiles *locks, char *why, size_t why_size)
{
	const char *what = "cannot use that directory";

	if (make_directory(locks)) {
		if (access(locks->path, R_OK | W_OK | X_OK) == 0) {
			note_openness(locks);
			return true;
		}
		what = "cannot make files there";
	}
	snprintf(why, why_size,
	         "lock_path = \"%s\": %s: %s%s; lock_duration = 0 does without it",
	         locks->path, what, strerror(errno),
	         errno == EACCES ? "; it must be writable for set_user" : "");
	return false;
}

void
lockfile_set(struct lockfiles *locks, const struct lockfile_rules *rules)
{
	locks->rules = *rules;
	if (locks->sweep && !locks->sweeping)
		event_active(locks->sweep, EV_TIMEOUT, 0);
}

void
lockfile_free(struct lockfiles *locks)
{
	if (!locks)
		return;
	if (locks->sweep)
		event_free(locks->sweep);
	if (locks->sweeping)
		closedir(locks->sweeping);
	forget_directory(locks);
	free(locks->path);
	free(locks);
}

/* ---- looking -------------------------------------------------------------- */

struct candidates {
	size_t count;
	char name[CANDIDATES][LOCKFILE_NAME_SIZE];
};

static struct addr_net
host_of(const struct addr *client)
{
	return addr_net_of(client, 128);
}

/* What is locked if CLIENT is.  All of a link have one link-local network. */
static struct addr_net
net_of(const struct lockfiles *locks, const struct addr *client)
{
	if (addr_family(client) != AF_INET6 || addr_is_link_local(client))
		return host_of(client);
	return addr_net_of(client, locks->rules.prefix6);
}

static void
add_candidate(struct candidates *all, const struct addr_net *net, const char *ident)
{
	if (lockfile_name(all->name[all->count], net, ident))
		all->count++;
}

/* The most special first. */
static void
add_candidates(struct candidates *all, const struct lockfiles *locks,
               const struct addr *client, const char *ident)
{
	struct addr_net host = host_of(client), net = net_of(locks, client);

	add_candidate(all, &host, ident);
	if (!addr_net_is_host(&net))
		add_candidate(all, &net, ident);
}

/* What this one file says. */
static enum lockfile_state
examine(struct lockfiles *locks, const char *name, int64_t duration)
{
	struct stat info;

	if (fstatat(locks->directory, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
		if (errno != ENOENT)
			trouble(locks, errno);
		return LOCKFILE_FREE;
	}
	if (info.st_uid != geteuid())
		return LOCKFILE_NEVER;
	if (!S_ISREG(info.st_mode))
		return LOCKFILE_FREE;
	if (lockfile_is_stale(info.st_mtime, locks->rules.longest) &&
	    unlinkat(locks->directory, name, 0) == 0)
		stats_add(STAT_locks_expired, 1);
	return lockfile_is_stale(info.st_mtime, duration) ? LOCKFILE_FREE
	                                                  : LOCKFILE_LOCKED;
}

enum lockfile_state
lockfile_look(struct lockfiles *locks, const struct addr *client, const char *ident,
              int64_t duration, char name[static LOCKFILE_NAME_SIZE])
{
	enum lockfile_state state = LOCKFILE_FREE;
	struct candidates all = { 0 };

	name[0] = '\0';
	if (!lockfile_find_directory(locks)) {
		if (errno != ENOENT) /* without a directory there are no locks */
			trouble(locks, errno);
		return LOCKFILE_FREE;
	}
	locks->troubled = false;
	if (ident[0])
		add_candidates(&all, locks, client, ident);
	add_candidates(&all, locks, client, "");
	for (size_t i = 0; i < all.count && state == LOCKFILE_FREE; i++) {
		state = examine(locks, all.name[i], duration);
		if (state != LOCKFILE_FREE)
			memcpy(name, all.name[i], LOCKFILE_NAME_SIZE);
	}
	return state;
}

/* ---- making --------------------------------------------------------------- */

/* An old one of ours may be in the way, which is a lock to others but not to this client's
 * configuration: then all begin anew. */
static bool
make_way(const struct lockfiles *locks, const char *name)
{
	struct stat info;

	if (fstatat(locks->directory, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	if (!lockfile_is_of(&info, geteuid())) {
		errno = EEXIST;
		return false;
	}
	return unlinkat(locks->directory, name, 0) == 0;
}

static int
create(const struct lockfiles *locks, const char *name)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(locks->directory, name, flags, 0600);

	if (fd < 0 && errno == EEXIST && make_way(locks, name))
		fd = openat(locks->directory, name, flags, 0600);
	return fd;
}

/* An empty file is a lock as well: where there is no room for the words, there are none. */
static void
inscribe(int fd, const char *words)
{
	char line[LOCKFILE_WORDS_SIZE];
	size_t size;

	snprintf(line, sizeof(line) - 1, "%s", words);
	lockfile_make_printable(line);
	size = strlen(line);
	line[size++] = '\n';
	(void)!write(fd, line, size);
}

bool
lockfile_write(struct lockfiles *locks, const char *name, const char *words)
{
	int fd = -1;

	if (locks->count >= LOCKFILE_MOST)
		errno = EDQUOT;
	else if (make_directory(locks))
		fd = create(locks, name);
	if (fd < 0)
		return false;
	inscribe(fd, words);
	(void)!fchmod(fd, locks->rules.mode);
	close(fd);
	locks->count++;
	return true;
}

static void
note_failure(const struct lockfiles *locks, const struct addr *client,
             const char *ident, int error)
{
	const char *text = "a client cannot be locked";
	char host[ADDR_TEXT_SIZE];

	if (error == EEXIST)
		text = "a client cannot be locked: what has the name is no file";
	if (error == EDQUOT)
		text = "a client cannot be locked: too many are (smtp-gated --locks)";
	log_event(NULL, LOG_TROUBLE_EVENT, log_text("text", text),
	          log_text("lock_path", locks->path),
	          log_text("client", addr_text(client, host)),
	          log_text("ident", ident[0] ? ident : NULL), log_error(error));
}

enum lockfile_result
lockfile_make(struct lockfiles *locks, const struct addr *client, const char *ident,
              int64_t duration, const char *words, char name[static LOCKFILE_NAME_SIZE])
{
	struct addr_net net = net_of(locks, client);
	int error;

	switch (lockfile_look(locks, client, ident, duration, name)) {
	case LOCKFILE_LOCKED:
		return LOCKFILE_ALREADY;
	case LOCKFILE_NEVER:
		return LOCKFILE_IS_NEVER;
	case LOCKFILE_FREE:
		break;
	}
	errno = ENAMETOOLONG;
	if (lockfile_name(name, &net, ident) && lockfile_write(locks, name, words)) {
		stats_add(STAT_locks_made, 1);
		return LOCKFILE_MADE;
	}
	error = errno;
	note_failure(locks, client, ident, error);
	name[0] = '\0';
	errno = error;
	return LOCKFILE_FAILED;
}

/* ---- sweeping ------------------------------------------------------------- */

static bool
sweep_begin(struct lockfiles *locks)
{
	int fd;

	if (locks->rules.longest == 0 || !lockfile_find_directory(locks))
		return false;
	fd = openat(locks->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	locks->sweeping = fd < 0 ? NULL : fdopendir(fd);
	if (fd >= 0 && !locks->sweeping)
		close(fd);
	locks->swept = locks->spared = 0;
	return locks->sweeping;
}

/* Only what is named like a lock is one: whatever else is there is not for us to remove. */
static bool
is_to_be_removed(struct lockfiles *locks, const char *name)
{
	char ident[LOCKFILE_IDENT_SIZE];
	struct addr_net net;
	struct stat info;

	if (fstatat(dirfd(locks->sweeping), name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
	    !lockfile_parse(name, &net, ident))
		return false;
	if (!lockfile_is_of(&info, geteuid())) {
		locks->spared++;
		return false;
	}
	return lockfile_is_stale(info.st_mtime, locks->rules.longest);
}

/* True if there is more to be done. */
static bool
sweep_some(struct lockfiles *locks)
{
	for (int i = 0; i < SWEEP_IN_A_TURN; i++) {
		const struct dirent *file = readdir(locks->sweeping);

		if (!file)
			return false;
		if (!is_to_be_removed(locks, file->d_name) ||
		    unlinkat(dirfd(locks->sweeping), file->d_name, 0) != 0)
			locks->swept++;
		else
			stats_add(STAT_locks_expired, 1);
	}
	return true;
}

/* Locks of a daemon that ran as another user would be a white list without a word. */
static void
say_spared(struct lockfiles *locks)
{
	if (locks->spared > 0 && !locks->spared_said)
		log_event(NULL, LOG_CONFIG_EVENT,
		          log_text("text",
		                   "files of other users in lock_path: these clients "
		                   "are never locked; see --locks"),
		          log_text("lock_path", locks->path),
		          log_number("count", (int64_t)locks->spared));
	locks->spared_said = true;
}

/* Short locks are removed soon: nobody sees much of a stale one. */
static struct timeval
pause_between(const struct lockfiles *locks)
{
	int64_t seconds = locks->rules.longest / 4;

	if (locks->rules.longest == LOCKFILE_FOR_EVER || seconds > SWEEP_AT_MOST)
		seconds = SWEEP_AT_MOST;
	return (struct timeval){ .tv_sec = seconds < 1 ? 1 : seconds };
}

static void
on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct lockfiles *locks = arg;
	struct timeval pause = pause_between(locks), soon = { .tv_usec = 1000 };

	(void)fd, (void)what;
	if ((locks->sweeping || sweep_begin(locks)) && sweep_some(locks)) {
		event_add(locks->sweep, &soon);
		return;
	}
	if (locks->sweeping) {
		closedir(locks->sweeping);
		locks->count = locks->swept;
		say_spared(locks);
	}
	locks->sweeping = NULL;
	if (locks->rules.longest != 0)
		event_add(locks->sweep, &pause);
}

void
lockfile_start(struct lockfiles *locks, struct event_base *base)
{
	struct timeval at_once = { 0 };

	if (locks->rules.longest != 0)
		(void)!lockfile_find_directory(
			locks); /* now, and not with the first session */
	locks->sweep = event_new(base, -1, 0, on_sweep, locks);
	event_add(locks->sweep, &at_once);
}
