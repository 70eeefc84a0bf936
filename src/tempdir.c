#include "tempdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	RANDOM_SIZE = 6, /* characters of a name */
	TRIES = 20,
	DEPTH_MOST = 200, /* directories in each other, each takes a descriptor */
	OPEN = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
};

static const char characters[] = "0123456789abcdefghijklmnopqrstuv"; /* 32 */

struct tempdir {
	pthread_mutex_t mutex;
	char *parent, *path;
	const char *name; /* in path */
	int fd;           /* locked */
	unsigned losses;
};

/* -- what is in it --------------------------------------------------------------------- */

static bool empty_directory(int fd, dev_t device, unsigned depth);

static bool
is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Something in AT, whatever it is.  What is mounted there is not ours. */
static bool
remove_entry(int at, const char *name, dev_t device, unsigned depth)
{
	struct stat is;
	int fd;
	bool done;

	if (unlinkat(at, name, 0) == 0)
		return true;
	if (errno != EISDIR && errno != EPERM)
		return errno == ENOENT;
	if (unlinkat(at, name, AT_REMOVEDIR) == 0)
		return true;
	fd = openat(at, name, OPEN);
	if (fd < 0)
		return false;
	done = depth < DEPTH_MOST && fstat(fd, &is) == 0 && is.st_dev == device &&
	       empty_directory(fd, device, depth + 1);
	close(fd);
	return done && unlinkat(at, name, AT_REMOVEDIR) == 0;
}

/* FD stays open. */
static bool
empty_directory(int fd, dev_t device, unsigned depth)
{
	int copy = openat(fd, ".", OPEN);
	DIR *directory = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;
	bool done = true;

	if (!directory) {
		if (copy >= 0)
			close(copy);
		return false;
	}
	while ((entry = readdir(directory)))
		if (!is_dot(entry->d_name))
			done &= remove_entry(fd, entry->d_name, device, depth);
	closedir(directory);
	return done;
}

/* FD is the directory NAME in PARENT. */
static void
remove_all(int parent, const char *name, int fd)
{
	struct stat is;

	if (fstat(fd, &is) == 0 && empty_directory(fd, is.st_dev, 0))
		(void)unlinkat(parent, name, AT_REMOVEDIR); /* or it stays */
}

/* -- whose it is ------------------------------------------------------------------------- */

/* Nobody else could put anything there. */
static bool
is_private(const struct stat *is)
{
	return S_ISDIR(is->st_mode) && is->st_uid == geteuid() &&
	       (is->st_mode & 07777 & ~S_ISGID) == 0700;
}

/* 0, or why FD is not ours alone from now on. */
static int
lock_error(int fd)
{
	struct stat is;

	if (fstat(fd, &is) < 0)
		return errno;
	if (!is_private(&is))
		return EPERM;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno;
	/* Whoever had the lock may have removed it. */
	return fstat(fd, &is) == 0 && is.st_nlink == 0 ? ENOENT : 0;
}

/* Opens and locks NAME in PARENT.  -1: errno; it is another's, or has gone meanwhile. */
static int
take(int parent, const char *name, bool needs_lock)
{
	int fd = openat(parent, name, OPEN), error;

	if (fd < 0)
		return -1;
	error = lock_error(fd);
	/* NFS locks no directories: there nobody sweeps. */
	if (error == 0 || (!needs_lock && (error == EBADF || error == ENOLCK)))
		return fd;
	close(fd);
	errno = error;
	return -1;
}

static bool
is_alike(const char *name, const char *prefix)
{
	size_t size = strlen(prefix);

	return strncmp(name, prefix, size) == 0 && strlen(name + size) == RANDOM_SIZE &&
	       strspn(name + size, characters) == RANDOM_SIZE;
}

/* Removes those that nobody has locked. */
static void
sweep(const char *parent, const char *prefix)
{
	DIR *directory = opendir(parent);
	const struct dirent *entry;

	if (!directory)
		return;
	while ((entry = readdir(directory))) {
		int fd;

		if (!is_alike(entry->d_name, prefix))
			continue;
		fd = take(dirfd(directory), entry->d_name, true);
		if (fd < 0)
			continue;
		remove_all(dirfd(directory), entry->d_name, fd);
		close(fd);
	}
	closedir(directory);
}

/* -- making it --------------------------------------------------------------------------- */

/* Makes NAME in PARENT, and locks it; AGAIN: if it is there that is fine.  -1: errno. */
static int
make_in(int parent, const char *name, bool again)
{
	if (mkdirat(parent, name, 0700) < 0 && (errno != EEXIST || !again))
		return -1;
	return take(parent, name, false);
}

static int
make(const struct tempdir *tempdir, bool again)
{
	int parent = open(tempdir->parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd, error;

	if (parent < 0)
		return -1;
	fd = make_in(parent, tempdir->name, again);
	error = errno;
	close(parent);
	errno = error;
	return fd;
}

static void
find_name(struct tempdir *tempdir, const char *prefix)
{
	unsigned char random[RANDOM_SIZE] = { 0 };
	char word[RANDOM_SIZE + 1] = "";

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		abort(); /* up to 256 bytes are always given */
	for (size_t i = 0; i < RANDOM_SIZE; i++)
		word[i] = characters[random[i] % 32];
	free(tempdir->path);
	tempdir->path = xasprintf("%s/%s%s", tempdir->parent, prefix, word);
	tempdir->name = strrchr(tempdir->path, '/') + 1;
}

struct tempdir *
tempdir_new(const char *parent, const char *prefix)
{
	struct tempdir *tempdir = xcalloc(1, sizeof *tempdir);
	int error;

	tempdir->parent = xstrdup(parent);
	pthread_mutex_init(&tempdir->mutex, NULL);
	sweep(parent, prefix);
	tempdir->fd = -1;
	/* A name is not free, or another has swept it away before it was locked. */
	for (unsigned i = 0; i < TRIES && tempdir->fd < 0; i++) {
		find_name(tempdir, prefix);
		tempdir->fd = make(tempdir, false);
		if (tempdir->fd < 0 && errno != EEXIST && errno != ENOENT &&
		    errno != EWOULDBLOCK)
			break;
	}
	if (tempdir->fd >= 0)
		return tempdir;
	error = errno;
	tempdir_free(tempdir);
	errno = error;
	return NULL;
}

void
tempdir_free(struct tempdir *tempdir)
{
	int parent;

	if (!tempdir)
		return;
	parent = open(tempdir->parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (tempdir->fd >= 0)
		remove_all(parent, tempdir->name, tempdir->fd);
	if (tempdir->fd >= 0)
		close(tempdir->fd);
	if (parent >= 0)
		close(parent);
	pthread_mutex_destroy(&tempdir->mutex);
	free(tempdir->parent);
	free(tempdir->path);
	free(tempdir);
}

const char *
tempdir_path(const struct tempdir *tempdir)
{
	return tempdir->path;
}

/* What is there is what we have locked. */
static bool
is_there(const struct tempdir *tempdir)
{
	struct stat is, ours;

	return lstat(tempdir->path, &is) == 0 && is_private(&is) &&
	       fstat(tempdir->fd, &ours) == 0 && is.st_dev == ours.st_dev &&
	       is.st_ino == ours.st_ino;
}

static bool
make_again(struct tempdir *tempdir)
{
	int fd = make(tempdir, true);

	if (fd < 0)
		return false;
	close(tempdir->fd);
	tempdir->fd = fd;
	tempdir->losses++;
	return true;
}

bool
tempdir_ready(struct tempdir *tempdir)
{
	bool is_ready;

	pthread_mutex_lock(&tempdir->mutex);
	is_ready = is_there(tempdir) || make_again(tempdir);
	pthread_mutex_unlock(&tempdir->mutex);
	return is_ready;
}

unsigned
tempdir_losses(struct tempdir *tempdir)
{
	unsigned losses;

	pthread_mutex_lock(&tempdir->mutex);
	losses = tempdir->losses;
	pthread_mutex_unlock(&tempdir->mutex);
	return losses;
}
