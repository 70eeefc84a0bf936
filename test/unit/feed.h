#ifndef FEED_H
#define FEED_H

#include <stddef.h>

/*
 * How bytes may arrive: whole, cut in two at every place, and byte by byte.
 *
 * A parser must come to the same end each time.  For input of SIZE bytes there are
 * FEED_WAYS(SIZE); in each of them, feed_next() says how many bytes come next when AT
 * have come.
 */
#define FEED_WAYS(size) ((size) + 2)

static inline size_t
feed_next(size_t way, size_t at, size_t size)
{
	if (way > size)
		return 1;
	return at < way ? way - at : size - at;
}

#endif
