#ifndef SERVICE_H
#define SERVICE_H

#include "config.h"

#include <stdbool.h>

/*
 * The daemon: start, signals, shutdown.
 */

/* Before anything else: takes note of what a predecessor that is to be replaced, or a
 * service manager, has handed to this process.  Returns the first descriptor behind that.
 * May fork: the caller goes on in the child. */
unsigned service_inherit(void);

/* What the start would look at beyond CFG itself, and has a file of its own.  Says on stderr
 * what is wrong with that; false: it would not start.  The process may be another user
 * afterwards, and is to end. */
bool service_check(const struct config *cfg) MUST_CHECK;

/* Serves until told to stop.  FOREGROUND: stay attached, log to stderr.  Takes CFG over.
 * Returns the exit code; what went wrong before sessions are served has been said on
 * stderr. */
int service_run(struct config *cfg, bool foreground);

#endif
