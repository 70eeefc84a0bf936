#ifndef LOCKFILE_INTERNAL_H
#define LOCKFILE_INTERNAL_H

#include "lockfile.h"

#include <dirent.h>
#include <sys/stat.h>
#include <time.h>

/*
 * For lockfile*.c alone.
 */

struct lockfiles {
	char *path;
	struct lockfile_rules rules;
	int directory;	/* O_PATH; -1: it is not there, or was not */
	dev_t device;
	ino_t inode;
	bool troubled;	/* that has been said */
	size_t count;	/* of files: at the last sweep, and made since */
	struct event *sweep;
	DIR *sweeping;	/* NULL: no sweep is under way */
	size_t swept;	/* files that it has found, and left */
	size_t spared;	/* of these, those of other users */
	bool spared_said;
};

/* Makes the descriptor that of the directory which has the name now.  It is kept so that
 * looking takes no new one: there may be none left.  False: errno. */
bool lockfile_find_directory(struct lockfiles *locks);

/* Makes the file.  False: errno. */
bool lockfile_write(struct lockfiles *locks, const char *name, const char *words);

/* Of a lock that was made, or touched, at SINCE. */
static inline bool
lockfile_is_stale(time_t since, int64_t duration)
{
	return duration != LOCKFILE_FOR_EVER && time(NULL) - since > duration;
}

/* The file itself and not what a link leads to; true if it is a file, and USER's. */
static inline bool
lockfile_is_of(const struct stat *info, uid_t user)
{
	return S_ISREG(info->st_mode) && info->st_uid == user;
}

/* What is said of a client comes from mail, and is shown on terminals. */
static inline void
lockfile_make_printable(char *words)
{
	for (; *words; words++)
		if (*words < ' ' || *words > '~')
			*words = '?';
}

#endif
