#ifndef PIDFILE_H
#define PIDFILE_H

#include "xalloc.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * The pidfile: who is the daemon of this configuration?
 *
 * The daemon holds a lock on the open file (fcntl(2), F_OFD_SETLK) for as long as it
 * lives; it goes away with the process, however that ends.  So a file without a lock is
 * stale, two daemons cannot have one file, and nobody is signalled who merely has the same
 * number.  The lock survives fork(): the child of a daemon that goes to the background has
 * it.  Unlike flock(2), others can see it without taking it, so that nobody who asks ever
 * stands in the way of a daemon that starts.
 */
struct pidfile;

/* Takes the lock, and makes the file if need be (0644, never through a symbolic link; a
 * file that holds anything but a number is left alone).  NULL with WHY: another one runs
 * (its pid is named), or the file cannot be made. */
struct pidfile *pidfile_take(const char *path, char *why, size_t why_size) MUST_CHECK;

/* The open, locked file, for a successor; it stays the pidfile's. */
int pidfile_fd(const struct pidfile *file);

/* The successor's side: takes over FD, which is locked, as the file at PATH.  Until
 * pidfile_write() it is still the predecessor's, and pidfile_drop() leaves it alone.  NULL,
 * and FD is closed: it is not the file at PATH any more. */
struct pidfile *pidfile_inherit(const char *path, int fd) MUST_CHECK;

/* The predecessor's side: the file is another's from now on.  NULL is fine. */
void pidfile_leave(struct pidfile *file);

/* Writes the number of the calling process.  False: errno. */
bool pidfile_write(struct pidfile *file) MUST_CHECK;

/* Removes the file, also after chdir(2) and chroot(2), or empties it where it cannot be
 * removed any more, and gives the lock back.  NULL is fine.  For the daemon alone: a parent
 * that leaves its child in the background must not call this. */
void pidfile_drop(struct pidfile *file);

/* For everybody else: the daemon that holds PATH.  0: none runs (no file, or a stale one).
 * -1: WHY says why that is not known.  Waits up to a second for a daemon that is just
 * starting to write its number. */
pid_t pidfile_owner(const char *path, char *why, size_t why_size) MUST_CHECK;

#endif
