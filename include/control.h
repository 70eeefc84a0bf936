#ifndef CONTROL_H
#define CONTROL_H

#include "config.h"

/*
 * Talking to the daemon that serves a configuration, from another process: by its pidfile,
 * by signals, and by the state file.
 *
 * Each says on stderr what went wrong and returns the exit code: EXIT_SUCCESS,
 * EXIT_FAILURE or one of these (smtp-gated(8)).
 */
enum {
	EXIT_USAGE = 2,		/* an argument is not what it should be */
	EXIT_NOT_RUNNING = 3,	/* there is no daemon for this configuration */
	EXIT_NO_ANSWER = 4,	/* there is one, but it does not do what it was told */
};

/* -s: makes the daemon write its state file, waits for the new one, prints it. */
int control_status(const struct config *cfg);

/* -S: the same, and prints its name. */
int control_statefile(const struct config *cfg);

/* -r: tells the daemon to read its configuration again, and returns when it says that it
 * has; EXIT_FAILURE: it kept the old one.  What it says are the counters `reloads' and
 * `reloads_failed' of the state file; without them (statefile_type = slots) nobody knows,
 * and that is said. */
int control_reload(const struct config *cfg);

/* --upgrade: tells the daemon to start its program anew and to give way to it, and returns
 * when the new process serves; EXIT_FAILURE: the old one goes on. */
int control_upgrade(const struct config *cfg);

/* -K: tells the daemon to end, and returns when it is gone; if it still serves sessions
 * after some seconds, says how many and returns EXIT_NO_ANSWER.  A second time ends it at
 * once. */
int control_stop(const struct config *cfg);

/* --locks: prints the files of lock_path: who is locked, or never is, and until when.  It
 * does not matter whether the daemon runs. */
int control_locks(const struct config *cfg);

/* --unlock: removes all locks of CLIENT, an address or a network, as --locks shows it.
 * EXIT_FAILURE: there was none, or it could not be removed; files that make it never be
 * locked stay, which is said. */
int control_unlock(const struct config *cfg, const char *client);

#endif
