#include "lockfile_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/*
 * Locks that other gateways have made, and what they are told of ours.
 */

static int64_t
milliseconds(const struct timespec *time)
{
	return (int64_t)time->tv_sec * 1000 + time->tv_nsec / 1000000;
}

static void
read_words(const struct lockfiles *locks, const char *name, char *words)
{
	int fd = openat(locks->directory, name,
	                O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t size = fd >= 0 ? read(fd, words, LOCKFILE_WORDS_SIZE - 1) : 0;

	if (fd >= 0)
		close(fd);
	words[size > 0 ? size : 0] = '\0';
	words[strcspn(words, "\n")] = '\0';
	lockfile_make_printable(words);
}

enum lockfile_state
lockfile_read(struct lockfiles *locks, const char *name, struct lockfile_fact *fact)
{
	struct stat info;

	*fact = (struct lockfile_fact){ 0 };
	if (!lockfile_find_directory(locks) ||
	    fstatat(locks->directory, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
		return LOCKFILE_FREE;
	if (info.st_uid != geteuid())
		return LOCKFILE_NEVER;
	if (!S_ISREG(info.st_mode) ||
	    lockfile_is_stale(info.st_mtime, locks->rules.longest))
		return LOCKFILE_FREE;
	fact->since_ms = milliseconds(&info.st_mtim);
	read_words(locks, name, fact->words);
	return LOCKFILE_LOCKED;
}

/* As clients are cut here. */
static bool
is_ours_to_lock(const struct lockfiles *locks, const struct addr_net *net)
{
	return addr_net_is_host(net) || (addr_family(&net->first) == AF_INET6 &&
	                                 net->bits == locks->rules.prefix6);
}

static bool
make_as_old(const struct lockfiles *locks, const char *name, int64_t since_ms)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
		                     { .tv_sec = since_ms / 1000,
		                       .tv_nsec = since_ms % 1000 * 1000000 } };

	return utimensat(locks->directory, name, times, AT_SYMLINK_NOFOLLOW) == 0;
}

enum lockfile_result
lockfile_put(struct lockfiles *locks, const char *name,
             const struct lockfile_fact *fact)
{
	char ident[LOCKFILE_IDENT_SIZE], because[LOCKFILE_NAME_SIZE];
	struct lockfile_fact there;
	struct addr_net net;

	if (!lockfile_parse(name, &net, ident) || !is_ours_to_lock(locks, &net)) {
		errno = EINVAL;
		return LOCKFILE_FAILED;
	}
	if (lockfile_look(locks, &net.first, ident, locks->rules.longest, because) ==
	    LOCKFILE_NEVER)
		return LOCKFILE_IS_NEVER;
	if (lockfile_read(locks, name, &there) == LOCKFILE_LOCKED) {
		if (there.since_ms < fact->since_ms)
			(void)make_as_old(locks, name, fact->since_ms);
		return LOCKFILE_ALREADY;
	}
	if (!lockfile_write(locks, name, fact->words) ||
	    !make_as_old(locks, name, fact->since_ms))
		return LOCKFILE_FAILED;
	return LOCKFILE_MADE;
}

bool
lockfile_take_away(struct lockfiles *locks, const char *name, int64_t until_ms)
{
	struct stat info;

	return lockfile_find_directory(locks) &&
	       fstatat(locks->directory, name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
	       lockfile_is_of(&info, geteuid()) &&
	       milliseconds(&info.st_mtim) <= until_ms &&
	       unlinkat(locks->directory, name, 0) == 0;
}
