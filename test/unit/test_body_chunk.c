#include "body.h"
#include "bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *title;
	struct bytes content, normalised, passed;
	unsigned bare;
} chunk_rows[] = {
	{ "nothing", B(""), B(""), B(""), 0 },
	{ "no newline at the end", B("hi"), B("hi"), B("hi"), 0 },
	{ "dots are text", B(".\r\n..\r\nx\r\n.\r\nQUIT\r\n"),
	  B(".\r\n..\r\nx\r\n.\r\nQUIT\r\n"), B(".\r\n..\r\nx\r\n.\r\nQUIT\r\n"), 0 },
	{ "NULs are text", B("\0.\r\n\0"), B("\0.\r\n\0"), B("\0.\r\n\0"), 0 },
	{ "a lone LF", B("a\nb"), B("a\r\nb"), B("a\nb"), 1 },
	{ "a lone CR", B("a\rb"), B("a\r\nb"), B("a\rb"), 1 },
	{ "a CR at the very end", B("a\r"), B("a\r\n"), B("a\r"), 1 },
	{ "CRs and LFs", B("\n\r\r\n\n\r"), B("\r\n\r\n\r\n\r\n\r\n"),
	  B("\n\r\r\n\n\r"), 4 },
};

/* As two chunks of AT and the rest, the bytes one by one if SLOWLY; a command that stands
 * behind each of them is left where it is. */
static void
assert_chunks(const struct bytes *in, size_t at, bool slowly,
              enum body_newlines newlines, const struct bytes *want, unsigned bare)
{
	struct body_decoder dec = { .newlines = newlines };
	struct evbuffer *wire = evbuffer_new(), *message = evbuffer_new();
	const char *text = in->at;
	uint64_t sizes[] = { at, in->size - at };

	for (int chunk = 0; chunk < 2; text += sizes[chunk++]) {
		uint64_t left = sizes[chunk];

		for (size_t i = 0; slowly && i < sizes[chunk]; i++) {
			evbuffer_add(wire, text + i, 1);
			body_decode_chunk(&dec, wire, &left, message);
			assert_int_equal(left, sizes[chunk] - i - 1);
		}
		if (!slowly)
			evbuffer_add(wire, text, sizes[chunk]);
		evbuffer_add(wire, "BDAT", 4);
		body_decode_chunk(&dec, wire, &left, message);
		assert_int_equal(left, 0);
		assert_int_equal(evbuffer_get_length(wire), 4);
		evbuffer_drain(wire, 4);
	}
	body_decode_last_chunk(&dec, message);
	assert_int_equal(dec.bare, bare);
	assert_int_equal(evbuffer_get_length(message), want->size);
	if (want->size > 0)
		assert_memory_equal(evbuffer_pullup(message, -1), want->at, want->size);
	evbuffer_free(wire);
	evbuffer_free(message);
}

static void
chunks_may_be_cut_anywhere(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof(chunk_rows) / sizeof(chunk_rows[0]); i++) {
		const struct bytes *in = &chunk_rows[i].content;

		for (size_t at = 0; at <= in->size; at++) {
			for (int slowly = 0; slowly < 2; slowly++) {
				assert_chunks(in, at, slowly, BODY_NORMALISE,
				              &chunk_rows[i].normalised,
				              chunk_rows[i].bare);
				assert_chunks(in, at, slowly, BODY_PASS,
				              &chunk_rows[i].passed,
				              chunk_rows[i].bare);
				assert_chunks(in, at, slowly, BODY_BINARY, in, 0);
			}
		}
	}
}

/* A lone newline at every place of more than a block, and of more than is copied. */
static void
large_chunks_are_searched_whole(void **unused)
{
	static char text[6000], want[6001];
	struct bytes in = { text, sizeof(text) }, out = { want, sizeof(want) };

	(void)unused;
	for (size_t at = 0; at < sizeof(text); at += at < 300 ? 1 : 97) {
		memset(text, 'x', sizeof(text));
		memset(want, 'x', sizeof(want));
		text[at] = '\n';
		want[at] = '\r';
		want[at + 1] = '\n';
		assert_chunks(&in, 5000, false, BODY_NORMALISE, &out, 1);
		assert_chunks(&in, at, false, BODY_BINARY, &in, 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_may_be_cut_anywhere),
		cmocka_unit_test(large_chunks_are_searched_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
