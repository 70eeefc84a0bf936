#ifndef TEMPDIR_H
#define TEMPDIR_H

#include "xalloc.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * A directory for temporary files that is ours alone, below one that may be anybody's.
 *
 * It is called PREFIX and six characters that nobody can foresee, has mode 0700, and is
 * locked (flock(2)) for as long as we live: so it can be told from one that somebody was
 * killed in.  Those are emptied and removed when another is made; those of other processes,
 * other users, and whatever else is called like them stay as they are.  No link is followed
 * below the parent, nothing but directories is opened.
 *
 * systemd-tmpfiles, which removes old files, leaves locked directories alone (tmpfiles.d(5)).
 */
struct tempdir;

/* NULL: errno; the directory below PARENT could not be made. */
struct tempdir *tempdir_new(const char *parent, const char *prefix) MUST_CHECK;

/* Removes it, and all that is in it.  NULL is fine. */
void tempdir_free(struct tempdir *tempdir);

const char *tempdir_path(const struct tempdir *tempdir);

/*
 * To be asked before it is used: true if it is there and ours; if it has gone it is made
 * again, under the same name.  False: errno.
 *
 * Any thread may call: here threads do share something, behind a mutex that is held for
 * these few system calls.
 */
bool tempdir_ready(struct tempdir *tempdir) MUST_CHECK;

/* How often it was made again; any thread.  Another number: files that were in it are
 * gone. */
unsigned tempdir_losses(struct tempdir *tempdir);

#endif
