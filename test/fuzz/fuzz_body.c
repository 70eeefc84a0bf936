#include "body.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

/*
 * The first byte says how the rest is treated: bit 0, the newline policy; bit 1, with a
 * large piece of text in front, so that there is something to move; the others, the size
 * of the pieces in which it arrives the second time.
 *
 * Promises kept for any input: the pieces do not matter; what was normalised has no CR
 * and no LF but in CRLF; what was decoded, encoded and decoded again is the same; and the
 * encoding has one end, at its end.
 */
static const char large[5000] = { 'x' };

struct decoded {
	struct body_decoder dec;
	enum body_step step;
	struct evbuffer *wire, *message; /* left over, and decoded */
};

static void
add_large(struct evbuffer *buf)
{
	int failed = evbuffer_add_reference(buf, large, sizeof(large), NULL, NULL);

	assert(!failed);
}

static struct decoded
decode(const uint8_t *data, size_t size, size_t piece, uint8_t flags)
{
	struct decoded d = { .dec.newlines = flags & 1 ? BODY_PASS : BODY_NORMALISE };

	d.wire = evbuffer_new();
	d.message = evbuffer_new();
	if (flags & 2)
		add_large(d.wire);
	for (size_t at = 0; at < size; at += piece) {
		evbuffer_add(d.wire, data + at, size - at < piece ? size - at : piece);
		if (d.step == BODY_MORE)
			d.step = body_decode(&d.dec, d.wire, d.message);
	}
	return d;
}

static void
forget(struct decoded *d)
{
	evbuffer_free(d->wire);
	evbuffer_free(d->message);
}

static void
assert_same(struct evbuffer *a, struct evbuffer *b)
{
	size_t size = evbuffer_get_length(a);

	assert(size == evbuffer_get_length(b));
	assert(size == 0 ||
	       memcmp(evbuffer_pullup(a, -1), evbuffer_pullup(b, -1), size) == 0);
}

static void
assert_no_bare_newline(struct evbuffer *message)
{
	size_t size = evbuffer_get_length(message);
	const unsigned char *text = evbuffer_pullup(message, -1);

	for (size_t i = 0; i < size; i++) {
		if (text[i] == '\r')
			assert(i + 1 < size && text[i + 1] == '\n');
		if (text[i] == '\n')
			assert(i > 0 && text[i - 1] == '\r');
	}
}

/* Encodes MESSAGE whole, and in pieces, and decodes it again. */
static void
assert_goes_round(const struct decoded *d, size_t piece)
{
	size_t size = evbuffer_get_length(d->message);
	const unsigned char *text = evbuffer_pullup(d->message, -1);
	struct body_encoder whole = { 0 }, pieces = { 0 };
	struct body_decoder dec = { .newlines = d->dec.newlines };
	struct evbuffer *in = evbuffer_new(), *a = evbuffer_new(), *b = evbuffer_new();
	enum body_step step;

	evbuffer_add(in, text, size);
	body_encode(&whole, in, a);
	body_encode_end(&whole, a);
	for (size_t at = 0; at < size; at += piece) {
		evbuffer_add(in, text + at, size - at < piece ? size - at : piece);
		body_encode(&pieces, in, b);
		assert(evbuffer_get_length(in) == 0);
	}
	body_encode_end(&pieces, b);
	assert_same(a, b);

	step = body_decode(&dec, a, in);
	assert(step == BODY_END && evbuffer_get_length(a) == 0);
	assert_same(in, d->message);
	evbuffer_free(in);
	evbuffer_free(a);
	evbuffer_free(b);
}

/* By chunks of PIECE bytes, with something behind each. */
static struct decoded
decode_chunks(const uint8_t *data, size_t size, size_t piece,
              enum body_newlines newlines)
{
	struct decoded d = { .dec.newlines = newlines };

	d.wire = evbuffer_new();
	d.message = evbuffer_new();
	for (size_t at = 0; at < size; at += piece) {
		uint64_t left = size - at < piece ? size - at : piece;

		evbuffer_add(d.wire, data + at, left);
		evbuffer_add(d.wire, "NOOP", 4);
		body_decode_chunk(&d.dec, d.wire, &left, d.message);
		assert(left == 0 && evbuffer_get_length(d.wire) == 4);
		evbuffer_drain(d.wire, 4);
	}
	body_decode_last_chunk(&d.dec, d.message);
	return d;
}

/* However it is cut, and unchanged where it has to be. */
static void
try_chunks(const uint8_t *data, size_t size, size_t piece, enum body_newlines newlines)
{
	struct decoded whole = decode_chunks(data, size, size, newlines);
	struct decoded pieces = decode_chunks(data, size, piece, newlines);

	assert(whole.dec.bare == pieces.dec.bare);
	assert_same(whole.message, pieces.message);
	if (newlines == BODY_NORMALISE)
		assert_no_bare_newline(whole.message);
	else
		assert(evbuffer_get_length(whole.message) == size &&
		       memcmp(evbuffer_pullup(whole.message, -1), data, size) == 0);
	forget(&whole);
	forget(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct decoded whole, pieces;
	size_t piece;

	if (size < 2)
		return 0;
	piece = (size_t)(data[0] >> 2) + 1;
	whole = decode(data + 1, size - 1, size, data[0]);
	pieces = decode(data + 1, size - 1, piece, data[0]);

	assert(whole.step == pieces.step);
	assert(whole.dec.bare == pieces.dec.bare);
	assert(whole.dec.state == pieces.dec.state);
	assert_same(whole.message, pieces.message);
	assert_same(whole.wire, pieces.wire);
	if (!(data[0] & 1))
		assert_no_bare_newline(whole.message);
	if (whole.step == BODY_END)
		assert_goes_round(&whole, piece);
	forget(&whole);
	forget(&pieces);
	try_chunks(data + 1, size - 1, piece, BODY_NORMALISE);
	try_chunks(data + 1, size - 1, piece, BODY_PASS);
	try_chunks(data + 1, size - 1, piece, BODY_BINARY);
	return 0;
}
