#include "pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct pidfile {
	int directory; /* stays the same one after chdir(2) and chroot(2) */
	char *name;    /* in it */
	int fd;        /* locked */
	bool others;   /* inherited, and not ours yet */
};

enum {
	PID_TEXT_SIZE = 16,   /* a number, its newline and NUL, and more */
	TAKE_ATTEMPTS = 100,  /* the file changed under us as often as that? */
	OWNER_ATTEMPTS = 100, /* of ten milliseconds */
};

static void PRINTF(4, 5)
	complain(char *why, size_t size, const char *path, const char *format, ...)
{
	int used = snprintf(why, size, "pidfile = \"%s\": ", path);
	va_list args;

	if (used < 0 || (size_t)used >= size)
		return;
	va_start(args, format);
	vsnprintf(why + used, size - (size_t)used, format, args);
	va_end(args);
}

static void
complain_error(char *why, size_t size, const char *path, int error)
{
	const char *advice = "";

	if (error == ENOENT || error == ENOTDIR)
		advice = "; make its directory first (RuntimeDirectory= of a systemd "
			 "unit does)";
	else if (error == ELOOP)
		advice = "; it is, or leads through, a symbolic link";
	complain(why, size, path, "%s%s", strerror(error), advice);
}

/* ---- what the file says ------------------------------------------------------------ */

/* The number in it; 0: it is empty; -1: it holds something else. */
static pid_t
read_number(int fd)
{
	char text[PID_TEXT_SIZE + 1], *end;
	ssize_t size = pread(fd, text, PID_TEXT_SIZE, 0);
	long number;

	if (size <= 0)
		return size == 0 ? 0 : -1;
	text[size] = '\0';
	number = strtol(text, &end, 10);
	if (end == text || text[0] < '0' || text[0] > '9' || number > INT_MAX)
		return -1;
	end += *end == '\n';
	return end == text + size ? (pid_t)number : -1;
}

/* ---- the lock -------------------------------------------------------------------------- */

static bool
lock(int fd)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_SETLK, &whole) == 0;
}

static bool
is_locked(int fd)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
}

/* Whoever ends removes the file: what we have opened may not be it any more. */
static bool
is_in_place(const struct pidfile *file)
{
	struct stat ours, there;

	return fstat(file->fd, &ours) == 0 &&
	       fstatat(file->directory, file->name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/* ---- taking ------------------------------------------------------------------------------ */

static struct pidfile *
pidfile_new(const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t size = slash ? (size_t)(slash - path) + 1 : 0;
	char *directory = size > 0 ? xstrndup(path, size) : xstrdup(".");
	struct pidfile *file = xcalloc(1, sizeof(*file));

	file->directory = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	file->name = xstrdup(path + size);
	file->fd = -1;
	free(directory);
	return file;
}

static void
pidfile_free(struct pidfile *file)
{
	int error = errno;

	if (file->fd >= 0)
		close(file->fd);
	if (file->directory >= 0)
		close(file->directory);
	free(file->name);
	free(file);
	errno = error;
}

/* The mistyped name of a file that somebody needs must not cost him that file. */
static bool
is_ours_to_write(const struct pidfile *file)
{
	struct stat info;

	return fstat(file->fd, &info) == 0 && S_ISREG(info.st_mode) &&
	       info.st_nlink <= 1 && read_number(file->fd) >= 0;
}

/* False: errno; EWOULDBLOCK, another one has it; EEXIST, it is no pidfile. */
static bool
open_and_lock(struct pidfile *file)
{
	mode_t mask;

	if (file->fd >= 0)
		close(file->fd);
	mask = umask(022);
	file->fd = openat(file->directory, file->name,
	                  O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
	                          O_CLOEXEC,
	                  0644);
	umask(mask);
	if (file->fd < 0)
		return false;
	if (!is_ours_to_write(file)) {
		errno = EEXIST;
		return false;
	}
	return lock(file->fd);
}

static void
complain_taken(char *why, size_t size, const char *path, int fd)
{
	char number[32] = "";
	pid_t pid = read_number(fd);

	if (pid > 0)
		snprintf(number, sizeof(number), ", pid %d", (int)pid);
	complain(why, size, path,
	         "another smtp-gated runs with this file%s; end that one first "
	         "(smtp-gated -K), or give this one a pidfile of its own",
	         number);
}

struct pidfile *
pidfile_take(const char *path, char *why, size_t why_size)
{
	struct pidfile *file = pidfile_new(path);

	for (int i = 0; file->directory >= 0 && i < TAKE_ATTEMPTS; i++) {
		errno = EAGAIN;
		if (!open_and_lock(file))
			break;
		if (is_in_place(file))
			return file;
	}
	if (file->fd >= 0 && errno == EEXIST)
		complain(why, why_size, path,
		         "this is no pidfile, it is left alone; remove it if nobody "
		         "needs it");
	else if (file->fd >= 0 && (errno == EAGAIN || errno == EACCES))
		complain_taken(why, why_size, path, file->fd);
	else
		complain_error(why, why_size, path, errno);
	pidfile_free(file);
	return NULL;
}

int
pidfile_fd(const struct pidfile *file)
{
	return file->fd;
}

struct pidfile *
pidfile_inherit(const char *path, int fd)
{
	struct pidfile *file = pidfile_new(path);

	file->fd = fd;
	file->others = true;
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (file->directory >= 0 && is_in_place(file))
		return file;
	pidfile_free(file);
	return NULL;
}

void
pidfile_leave(struct pidfile *file)
{
	if (file)
		pidfile_free(file);
}

bool
pidfile_write(struct pidfile *file)
{
	char text[PID_TEXT_SIZE];
	int size = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	file->others = false;
	return ftruncate(file->fd, 0) == 0 &&
	       pwrite(file->fd, text, (size_t)size, 0) == size;
}

void
pidfile_drop(struct pidfile *file)
{
	if (!file)
		return;
	if (!file->others && is_in_place(file) &&
	    unlinkat(file->directory, file->name, 0) != 0)
		(void)!ftruncate(file->fd, 0);
	pidfile_free(file);
}

/* ---- asking -------------------------------------------------------------------------------- */

/* As pidfile_owner(), but -1 with errno; EBUSY: locked, and without a number. */
static pid_t
owner_now(const char *path)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	pid_t pid = 0;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
	if (is_locked(fd)) {
		pid = read_number(fd);
		pid = pid > 0 ? pid : -1;
	}
	close(fd);
	errno = EBUSY;
	return pid;
}

pid_t
pidfile_owner(const char *path, char *why, size_t why_size)
{
	static const struct timespec pause = { .tv_nsec = 10000000 };
	pid_t pid;

	for (int i = 0; i < OWNER_ATTEMPTS; i++) {
		pid = owner_now(path);
		if (pid >= 0)
			return pid;
		if (errno != EBUSY) {
			complain_error(why, why_size, path, errno);
			return -1;
		}
		nanosleep(&pause, NULL);
	}
	complain(why, why_size, path,
	         "a daemon is just starting or ending here; try again in a moment");
	return -1;
}
