#ifndef LOG_INTERNAL_H
#define LOG_INTERNAL_H

#include "log.h"

/* The loggers' sockets, for tests; the paths are not copied.  Before log_open(). */
void log_set_sockets(const char *syslog, const char *journal);

#endif
