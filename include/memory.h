#ifndef MEMORY_H
#define MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What all messages, and all that waits for a peer, may take of memory together (option
 * memory_budget).
 *
 * Nothing waits for memory: a message can go to a file, and what waits for a peer becomes
 * less when more is not read.  So, the less is left, the less each connection may hold; the
 * more connections there are, the less it is for each, and never nothing.  The limit is
 * exceeded by no more than MEMORY_LEAST and a read for each connection.
 *
 * There is one memory: this is the process's, and the loop's.
 */
enum {
	MEMORY_LEAST = 16384,	/* what a connection may always hold for its peer */
};

/* 0: no limit. */
void memory_limit(uint64_t most);

/* So many bytes are taken, or, below 0, given back. */
void memory_take(int64_t bytes);

uint64_t memory_taken(void);

/* True if there is room for so much more. */
bool memory_has(uint64_t more);

/* How much of something one connection may hold now: MOST, or less, but never less than
 * LEAST unless MOST is. */
size_t memory_share(size_t most, size_t least);

#endif
