#ifndef SERVICE_H
#define SERVICE_H

#include "config.h"

#include <stdbool.h>

/*
 * The daemon: start, signals, shutdown.
 */

/* Serves until told to stop.  FOREGROUND: stay attached, log to stderr.  Takes CFG over.
 * Returns the exit code; what went wrong before sessions are served has been said on
 * stderr. */
int service_run(struct config *cfg, bool foreground);

#endif
