#include "quarantine_internal.h"

#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Whoever can write to the directory can plant things in it.  So every name is opened
 * without following links, new files never take the place of others, what is read is an
 * ordinary file that has no other name, and nothing waits for a pipe to be opened.
 */

enum {
	FORSAKEN_SECONDS = 3600, /* so long nobody writes at one */
};

static const char *const endings[] = {
	[STORE_MESSAGE] = ".eml",
	[STORE_NOTE] = ".json",
};
static const char half[] = ".tmp";

enum {
	KINDS = sizeof(endings) / sizeof(endings[0]),
};

/* ---- names -------------------------------------------------------------------------- */

size_t
store_begin_id(char id[static QUARANTINE_ID_SIZE], time_t time)
{
	struct tm utc;

	gmtime_r(&time, &utc);
	return strftime(id, QUARANTINE_ID_SIZE, "%Y%m%dT%H%M%SZ", &utc);
}

void
store_id(char id[static QUARANTINE_ID_SIZE], time_t time, const struct log_ctx *log,
         unsigned attempt)
{
	const char *session = log->session[0] ? log->session : "0";
	size_t at = store_begin_id(id, time);

	at += (size_t)snprintf(id + at, QUARANTINE_ID_SIZE - at, "-%s-%u", session,
	                       log->mail);
	if (attempt > 0)
		snprintf(id + at, QUARANTINE_ID_SIZE - at, "-%u", attempt);
	assert(store_is_id(id));
}

/* PATTERN has a 9 for each digit; other characters stand for themselves. */
static bool
begins_like(const char *text, const char *pattern)
{
	for (; *pattern; text++, pattern++)
		if (*pattern == '9' ? !isdigit((unsigned char)*text)
		                    : *text != *pattern)
			return false;
	return true;
}

/* A hyphen and some characters; returns how many. */
static size_t
part(const char *text, const char *of, size_t most)
{
	size_t size = text[0] == '-' ? strspn(text + 1, of) : 0;

	return size == 0 || size > most ? 0 : size + 1;
}

bool
store_is_id(const char *text)
{
	static const char time[] = "99999999T999999Z", digits[] = "0123456789";
	static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	size_t session, mail, at = sizeof(time) - 1;

	if (!begins_like(text, time))
		return false;
	session = part(text + at, letters, 11);
	mail = session ? part(text + at + session, digits, 10) : 0;
	if (mail == 0)
		return false;
	at += session + mail;
	return text[at + part(text + at, digits, 2)] == '\0';
}

time_t
store_time(const char *id)
{
	struct tm utc = { 0 };

	assert(store_is_id(id));
	if (!strptime(id, "%Y%m%dT%H%M%SZ", &utc))
		return 0;
	return timegm(&utc);
}

void
store_name(char name[static STORE_NAME_SIZE], const char *id, enum store_kind kind)
{
	snprintf(name, STORE_NAME_SIZE, "%s%s", id, endings[kind]);
}

/* It begins with a dot, and is no name of a message. */
void
store_half_name(char name[static STORE_NAME_SIZE], const char *id, enum store_kind kind)
{
	snprintf(name, STORE_NAME_SIZE, ".%s%s%s", id, endings[kind], half);
}

/* The ID in a name that we have made up; false: it is another's. */
static bool
id_of(const char *name, struct store_entry *entry, bool *is_half)
{
	const char *begin = name + (*name == '.');
	size_t size = strlen(begin), tail = 0;

	*is_half = *name == '.';
	if (*is_half) {
		if (size < strlen(half) ||
		    strcmp(begin + size - strlen(half), half) != 0)
			return false;
		size -= strlen(half);
	}
	for (size_t i = 0; i < KINDS; i++)
		if (size > strlen(endings[i]) &&
		    strncmp(begin + size - strlen(endings[i]), endings[i],
		            strlen(endings[i])) == 0) {
			tail = strlen(endings[i]);
			entry->is_message = i == STORE_MESSAGE;
		}
	if (tail == 0 || size - tail >= QUARANTINE_ID_SIZE)
		return false;
	snprintf(entry->id, sizeof(entry->id), "%.*s", (int)(size - tail), begin);
	return store_is_id(entry->id);
}

/* ---- files -------------------------------------------------------------------------- */

int
store_open(const char *path)
{
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int
store_begin(int directory, const char *id, enum store_kind kind, mode_t mode)
{
	char name[STORE_NAME_SIZE];
	int fd, error;

	store_half_name(name, id, kind);
	fd = openat(directory, name,
	            O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || fchmod(fd, mode) == 0)
		return fd;
	error = errno;
	store_abort(directory, fd, id, kind);
	errno = error;
	return -1;
}

bool
store_write(int fd, const void *bytes, size_t size)
{
	const char *at = bytes;

	while (size > 0) {
		ssize_t done = write(fd, at, size);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return false;
		at += done;
		size -= (size_t)done;
	}
	return true;
}

/* Where the file system cannot do it at once, the file has two names for a moment. */
static bool
rename_to_new(int directory, const char *from, const char *to)
{
	if (renameat2(directory, from, directory, to, RENAME_NOREPLACE) == 0)
		return true;
	if (errno != EINVAL && errno != ENOSYS)
		return false;
	return linkat(directory, from, directory, to, 0) == 0 &&
	       unlinkat(directory, from, 0) == 0;
}

bool
store_finish(int directory, int fd, const char *id, enum store_kind kind)
{
	char from[STORE_NAME_SIZE], to[STORE_NAME_SIZE];
	int error;

	store_half_name(from, id, kind);
	store_name(to, id, kind);
	if (close(fd) == 0 && rename_to_new(directory, from, to))
		return true;
	error = errno;
	unlinkat(directory, from, 0);
	errno = error;
	return false;
}

void
store_abort(int directory, int fd, const char *id, enum store_kind kind)
{
	char name[STORE_NAME_SIZE];

	close(fd);
	store_half_name(name, id, kind);
	unlinkat(directory, name, 0);
}

int
store_read(int directory, const char *id, enum store_kind kind)
{
	char name[STORE_NAME_SIZE];
	struct stat info;
	int fd;

	store_name(name, id, kind);
	fd = openat(directory, name,
	            O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_nlink == 1)
		return fd;
	close(fd);
	errno = EMLINK;
	return -1;
}

bool
store_remove(int directory, const char *id)
{
	char name[STORE_NAME_SIZE];

	store_name(name, id, STORE_NOTE);
	if (unlinkat(directory, name, 0) != 0 && errno != ENOENT)
		return false;
	store_name(name, id, STORE_MESSAGE);
	return unlinkat(directory, name, 0) == 0;
}

uint64_t
store_blocks(uint64_t size)
{
	return (size + STORE_BLOCK - 1) / STORE_BLOCK * STORE_BLOCK;
}

struct store_entry
store_entry(const char *id, uint64_t size)
{
	struct store_entry entry = { .charge = store_blocks(size) + STORE_BLOCK,
		                     .is_message = true };

	snprintf(entry.id, sizeof(entry.id), "%s", id);
	return entry;
}

/* ---- all of them ---------------------------------------------------------------------- */

struct store_scan {
	DIR *stream;
};

struct store_scan *
store_scan_begin(int directory)
{
	int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct store_scan *scan;
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);

	if (!stream) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	scan = xcalloc(1, sizeof(*scan));
	scan->stream = stream;
	return scan;
}

static bool
is_forsaken(const struct stat *info)
{
	return time(NULL) - info->st_mtime > FORSAKEN_SECONDS;
}

/* True if NAME is of a kept message. */
static bool
look_at(int directory, const char *name, struct store_entry *entry)
{
	struct stat info;
	bool is_half;

	if (!id_of(name, entry, &is_half) ||
	    fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	if (is_half && is_forsaken(&info))
		unlinkat(directory, name, 0);
	entry->charge = store_blocks((uint64_t)info.st_size);
	return !is_half;
}

bool
store_scan_some(struct store_scan *scan, unsigned most,
                void (*each)(const struct store_entry *entry, void *arg), void *arg)
{
	struct store_entry entry;
	const struct dirent *found;

	while (most-- > 0) {
		found = readdir(scan->stream);
		if (!found)
			return false;
		if (look_at(dirfd(scan->stream), found->d_name, &entry))
			each(&entry, arg);
	}
	return true;
}

void
store_scan_end(struct store_scan *scan)
{
	if (!scan)
		return;
	closedir(scan->stream);
	free(scan);
}
