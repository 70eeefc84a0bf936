#ifndef TERMINAL_H
#define TERMINAL_H

#include "xalloc.h"

/*
 * Words to who has called us: for the tasks of the command line, not for the daemon.
 */

/* Says what is wrong, to stderr.  Returns CODE, the exit status that this leads to. */
int PRINTF(2, 3) terminal_failure(int code, const char *format, ...);

/* The exit status when all is printed that was to be: EXIT_FAILURE, and says why, if it did
 * not get where standard output leads. */
int terminal_printed(void);

#endif
