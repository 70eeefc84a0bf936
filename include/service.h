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

/* Serves until told to stop.  FOREGROUND: stay attached, log to stderr.  Takes CFG over.
 * Returns the exit code; what went wrong before sessions are served has been said on
 * stderr. */
int service_run(struct config *cfg, bool foreground);

#endif
