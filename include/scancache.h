#ifndef SCANCACHE_H
#define SCANCACHE_H

#include "xalloc.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Verdicts that are known, by a digest of what was judged.
 *
 * A verdict is a name, that of a virus, or the empty one: clean.  What goes into a digest,
 * and which verdicts may be kept at all, is for the caller to say.  Digests must be such
 * that nobody outside can choose them: then chains stay short.
 *
 * There is a limit to how many are kept; beyond it the oldest goes, however often it was
 * asked for: so none stays for ever.  Memory is taken as they come.
 *
 * Any thread may call: here threads do share something, behind one mutex that is held for
 * less than a microsecond, and never while anything is scanned, hashed or read.
 */
enum {
	SCANCACHE_DIGEST = 32,		/* bytes */
};

struct scancache;

/* MOST: verdicts that are kept; 0: none. */
struct scancache *scancache_new(unsigned most) MUST_CHECK;
void scancache_free(struct scancache *cache);	/* NULL is fine */

/* From now on; if it is another number, what was known is forgotten. */
void scancache_limit(struct scancache *cache, unsigned most);

/* False: it keeps none, so that no digest is needed. */
bool scancache_is_on(struct scancache *cache) MUST_CHECK;

unsigned scancache_count(struct scancache *cache);

/* True: NAME, of SIZE bytes, is what was put for DIGEST, cut to that. */
bool scancache_find(struct scancache *cache,
		    const unsigned char digest[static SCANCACHE_DIGEST], char *name,
		    size_t size) MUST_CHECK;

/* The first verdict stays: of two threads that judged the same, both found it. */
void scancache_put(struct scancache *cache,
		   const unsigned char digest[static SCANCACHE_DIGEST], const char *name);

#endif
