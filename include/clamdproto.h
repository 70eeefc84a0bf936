#ifndef CLAMDPROTO_H
#define CLAMDPROTO_H

#include "xalloc.h"

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * clamd's INSTREAM, see clamd(8): a command, the message in chunks, one answer.
 *
 * Each chunk has its size in front; one of no size ends the message.  The command begins
 * with 'z', so that the answer ends with a NUL and nothing in it can end it earlier.
 */
enum {
	CLAMDPROTO_CHUNK_SIZE = 4,	/* bytes of a chunk's size */
	CLAMDPROTO_ANSWER_MAX = 4096,	/* bytes of an answer, its NUL included */
};

/* The command, and its size, NUL included. */
extern const char clamdproto_instream[];
extern const size_t clamdproto_instream_size;

/* What stands in front of a chunk of SIZE bytes. */
void clamdproto_chunk(unsigned char to[static CLAMDPROTO_CHUNK_SIZE], uint32_t size);

enum clamdproto_answer {
	CLAMDPROTO_MORE,	/* it is not whole yet */
	CLAMDPROTO_CLEAN,
	CLAMDPROTO_FOUND,	/* WORDS: the name of a virus, or of what it counts as one */
	CLAMDPROTO_TOO_BIG,	/* longer than its StreamMaxLength */
	CLAMDPROTO_ERROR,	/* WORDS: why it could not look */
	CLAMDPROTO_MALFORMED,	/* WORDS: how it begins */
};

/* Reads the answer that INPUT must be, all of it.  WORDS are printable ASCII, cut to
 * WORDS_SIZE; "" unless said above. */
enum clamdproto_answer clamdproto_read(struct evbuffer *input, char *words,
				       size_t words_size) MUST_CHECK;

#endif
