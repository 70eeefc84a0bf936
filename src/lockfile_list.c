#include "lockfile_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Looking at locks from another process, as root perhaps: what is in the directory was put
 * there by others.  Nothing is opened but files of the daemon's user.
 */

struct view {
	int directory;
	uid_t user;
	const struct lockfile_rules *rules;
};

static void
read_words(const struct view *view, struct lockfile_entry *entry)
{
	int fd = openat(view->directory, entry->name,
	                O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat info;
	ssize_t size = 0;

	if (fd < 0)
		return;
	if (fstat(fd, &info) == 0 && lockfile_is_of(&info, view->user))
		size = read(fd, entry->words, sizeof(entry->words) - 1);
	close(fd);
	entry->words[size < 0 ? 0 : size] = '\0';
	entry->words[strcspn(entry->words, "\n")] = '\0';
	lockfile_make_printable(entry->words);
}

/* Is it the name of a lock that a client can have, as networks are cut now? */
static bool
means_clients(const struct view *view, struct lockfile_entry *entry)
{
	if (!lockfile_parse(entry->name, &entry->net, entry->ident)) {
		entry->net = (struct addr_net){ 0 };
		return false;
	}
	return addr_net_is_host(&entry->net) ||
	       (addr_family(&entry->net.first) == AF_INET6 &&
	        !addr_is_link_local(&entry->net.first) &&
	        entry->net.bits == view->rules->prefix6);
}

static enum lockfile_kind
kind_of(const struct view *view, struct lockfile_entry *entry, const struct stat *info)
{
	if (!means_clients(view, entry))
		return LOCKFILE_KIND_ODD;
	if (info->st_uid != view->user)
		return LOCKFILE_KIND_NEVER;
	if (!S_ISREG(info->st_mode))
		return LOCKFILE_KIND_ODD;
	return lockfile_is_stale(info->st_mtime, view->rules->longest)
	               ? LOCKFILE_KIND_STALE
	               : LOCKFILE_KIND_LOCKED;
}

/* False: it has gone. */
static bool
describe(const struct view *view, const char *name, struct lockfile_entry *entry)
{
	struct stat info;

	*entry = (struct lockfile_entry){ 0 };
	if (strlen(name) >= sizeof(entry->name) ||
	    fstatat(view->directory, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	memcpy(entry->name, name, strlen(name));
	entry->owner = info.st_uid;
	entry->since = info.st_mtime;
	if (view->rules->longest != LOCKFILE_FOR_EVER)
		entry->until = info.st_mtime + (time_t)view->rules->longest;
	entry->kind = kind_of(view, entry, &info);
	if (lockfile_is_of(&info, view->user))
		read_words(view, entry);
	return true;
}

static int
by_name(const void *a, const void *b)
{
	return strverscmp(((const struct lockfile_entry *)a)->name,
	                  ((const struct lockfile_entry *)b)->name);
}

bool
lockfile_list(const char *path, uid_t user, const struct lockfile_rules *rules,
              struct lockfile_entry **entries, size_t *count)
{
	DIR *directory = opendir(path);
	struct view view = { .user = user, .rules = rules };
	const struct dirent *file;
	size_t room = 0;

	*entries = NULL;
	*count = 0;
	if (!directory)
		return false;
	view.directory = dirfd(directory);
	while ((file = readdir(directory))) {
		if (strcmp(file->d_name, ".") == 0 || strcmp(file->d_name, "..") == 0)
			continue;
		if (*count == room) {
			room = room ? 2 * room : 64;
			*entries = xrealloc(*entries, room * sizeof(**entries));
		}
		if (describe(&view, file->d_name, &(*entries)[*count]))
			++*count;
	}
	closedir(directory);
	if (*count > 0)
		qsort(*entries, *count, sizeof(**entries), by_name);
	return true;
}

bool
lockfile_remove(const char *path, uid_t user, const struct lockfile_entry *entry)
{
	int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), error;
	struct stat info;
	bool removed;

	if (directory < 0)
		return false;
	removed = fstatat(directory, entry->name, &info, AT_SYMLINK_NOFOLLOW) == 0;
	if (removed && !lockfile_is_of(&info, user)) {
		errno = EPERM;
		removed = false;
	}
	removed = removed && unlinkat(directory, entry->name, 0) == 0;
	error = errno;
	close(directory);
	errno = error;
	return removed;
}
