#ifndef PIECES_H
#define PIECES_H

#include <assert.h>
#include <event2/buffer.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/*
 * A promise of all that read what arrives: in which pieces it does so does not matter.
 */

/* Reads what there is in INPUT, and writes what came of it to TOLD; false: it is malformed. */
typedef bool pieces_take_cb(void *reader, struct evbuffer *input,
                            struct evbuffer *told);

static struct evbuffer *
pieces_read(const uint8_t *data, size_t size, size_t piece, pieces_take_cb *take,
            void *reader)
{
	struct evbuffer *input = evbuffer_new(), *told = evbuffer_new();

	for (size_t at = 0; at < size; at += piece) {
		evbuffer_add(input, data + at, size - at < piece ? size - at : piece);
		if (!take(reader, input, told))
			break;
	}
	evbuffer_free(input);
	return told;
}

/* WHOLE and PIECES are two readers that have read nothing yet, but are the same. */
static void
pieces_check(const uint8_t *data, size_t size, size_t piece, pieces_take_cb *take,
             void *whole, void *pieces)
{
	struct evbuffer *first = pieces_read(data, size, size, take, whole);
	struct evbuffer *second = pieces_read(data, size, piece, take, pieces);
	size_t told = evbuffer_get_length(first);

	assert(told == evbuffer_get_length(second));
	assert(told == 0 || memcmp(evbuffer_pullup(first, -1),
	                           evbuffer_pullup(second, -1), told) == 0);
	evbuffer_free(first);
	evbuffer_free(second);
}

#endif
