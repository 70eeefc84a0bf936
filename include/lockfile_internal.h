#ifndef LOCKFILE_INTERNAL_H
#define LOCKFILE_INTERNAL_H

#include "lockfile.h"

#include <sys/stat.h>
#include <time.h>

/*
 * For lockfile*.c alone.
 */

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
