#ifndef XALLOC_H
#define XALLOC_H

#include <stddef.h>

/*
 * Memory that is there, or the program is not.
 *
 * What peers can make us hold is bounded by options, so running out of memory is a
 * fault of the machine or of ours: it is said on stderr and the program aborts.
 * Nothing here returns NULL.  Sizes must not be zero.
 */

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF(at, first) __attribute__((format(printf, at, first)))

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t size);
char *xasprintf(const char *format, ...) PRINTF(1, 2);

#endif
