#include "body.h"
#include "bytes.h"
#include "feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *title;
	struct bytes wire;
	enum body_step step;
	struct bytes message;
	struct bytes left;
} clean_rows[] = {
	{ "empty message", B(".\r\n"), BODY_END, B(""), B("") },
	{ "one line", B("hi\r\n.\r\n"), BODY_END, B("hi\r\n"), B("") },
	{ "two lines", B("a\r\nb\r\n.\r\n"), BODY_END, B("a\r\nb\r\n"), B("") },
	{ "one empty line", B("\r\n.\r\n"), BODY_END, B("\r\n"), B("") },
	{ "a doubled dot", B("..\r\n.\r\n"), BODY_END, B(".\r\n"), B("") },
	{ "a doubled dot, text", B("a\r\n..b\r\n.\r\n"), BODY_END, B("a\r\n.b\r\n"),
	  B("") },
	{ "three dots", B("...\r\n.\r\n"), BODY_END, B("..\r\n"), B("") },
	{ "a needless dot", B(".x\r\n.\r\n"), BODY_END, B("x\r\n"), B("") },
	{ "a dot in a line", B("a.b\r\n.\r\n"), BODY_END, B("a.b\r\n"), B("") },
	{ "a dot at the end", B("a.\r\n.\r\n"), BODY_END, B("a.\r\n"), B("") },
	{ "commands behind", B(".\r\nQUIT\r\n"), BODY_END, B(""), B("QUIT\r\n") },
	{ "an end behind", B(".\r\n.\r\n"), BODY_END, B(""), B(".\r\n") },
	{ "no end yet", B("hi\r\n"), BODY_MORE, B("hi\r\n"), B("") },
	{ "a lone dot, no end", B("hi\r\n."), BODY_MORE, B("hi\r\n"), B("") },
	{ "a CR is held back", B("hi\r\n.\r"), BODY_MORE, B("hi\r\n"), B("") },
	{ "a CR in text, too", B("hi\r"), BODY_MORE, B("hi"), B("") },
	{ "nothing", B(""), BODY_MORE, B(""), B("") },
	{ "dot and blank", B("\r\n. \r\n.\r\n"), BODY_END, B("\r\n \r\n"), B("") },
	{ "dot and tab", B("\r\n.\t\r\n.\r\n"), BODY_END, B("\r\n\t\r\n"), B("") },
	{ "blank and dot", B("\r\n .\r\n.\r\n"), BODY_END, B("\r\n .\r\n"), B("") },
	{ "NEL is text", B("\x85.\x85\r\n.\x85\r\n.\r\n"), BODY_END,
	  B("\x85.\x85\r\n\x85\r\n"), B("") },
	{ "VT and FF are text", B("\v.\v\f.\f\r\n.\r\n"), BODY_END, B("\v.\v\f.\f\r\n"),
	  B("") },
	{ "NUL is text", B("a\0b\r\n\0\r\n.\r\n"), BODY_END, B("a\0b\r\n\0\r\n"),
	  B("") },
	{ "NULs, dot, and more", B("\0.x\r\n\0..\r\n.\r\n"), BODY_END,
	  B("\0.x\r\n\0..\r\n"), B("") },
	{ "8 bits are text", B("\xff\xfe\x80\r\n.\r\n"), BODY_END,
	  B("\xff\xfe\x80\r\n"), B("") },
};

/*
 * Ends of message that someone, somewhere, takes for one.  The first twelve are those of
 * the published smuggling tools, by their numbers there.  Each is tried between other
 * text, in the header, and at the very start.
 */
static const struct {
	const char *title;
	struct bytes wire;
	struct bytes normalised;
	struct bytes passed;
	unsigned bare;
} smuggler_rows[] = {
	{ "01 LF . LF", B("\n.\n"), B("\r\n.\r\n"), B("\n.\n"), 2 },
	{ "02 LF . CR", B("\n.\r"), B("\r\n.\r\n"), B("\n.\r"), 2 },
	{ "03 CR . LF", B("\r.\n"), B("\r\n.\r\n"), B("\r.\n"), 2 },
	{ "04 CR . CR", B("\r.\r"), B("\r\n.\r\n"), B("\r.\r"), 2 },
	{ "05 LF . CRLF", B("\n.\r\n"), B("\r\n.\r\n"), B("\n.\r\n"), 1 },
	{ "06 CR . CRLF", B("\r.\r\n"), B("\r\n.\r\n"), B("\r.\r\n"), 1 },
	{ "07 CRLF . LF", B("\r\n.\n"), B("\r\n\r\n"), B("\r\n\n"), 1 },
	{ "08 CRLF . CR", B("\r\n.\r"), B("\r\n\r\n"), B("\r\n\r"), 1 },
	{ "09 CRLF . CR CRLF", B("\r\n.\r\r\n"), B("\r\n\r\n\r\n"), B("\r\n\r\r\n"),
	  1 },
	{ "10 CR CRLF . CR CRLF", B("\r\r\n.\r\r\n"), B("\r\n\r\n\r\n\r\n"),
	  B("\r\r\n\r\r\n"), 2 },
	{ "11 CRLF NUL . CRLF", B("\r\n\0.\r\n"), B("\r\n\0..\r\n"), B("\r\n\0.\r\n"),
	  0 },
	{ "12 CRLF . NUL CRLF", B("\r\n.\0\r\n"), B("\r\n\0\r\n"), B("\r\n\0\r\n"), 0 },
	{ "NULs around the dot", B("\r\n\0\0.\0\r\n"), B("\r\n\0\0.\0.\r\n"),
	  B("\r\n\0\0.\0\r\n"), 0 },
	{ "dot, NUL, dot", B("\r\n.\0.\r\n"), B("\r\n\0..\r\n"), B("\r\n\0.\r\n"), 0 },
	{ "LF NUL . LF", B("\n\0.\n"), B("\r\n\0..\r\n"), B("\n\0.\n"), 2 },
	{ "CR NUL . CR", B("\r\0.\r"), B("\r\n\0..\r\n"), B("\r\0.\r"), 2 },
	{ "NUL inside CRLF", B("\r\0\n.\r\0\n"), B("\r\n\0\r\n.\r\n\0\r\n"),
	  B("\r\0\n.\r\0\n"), 4 },
	{ "LF CR", B("\n\r.\n\r"), B("\r\n\r\n.\r\n\r\n"), B("\n\r.\n\r"), 4 },
	{ "LF CRLF", B("\n\r\n..\n\r\n"), B("\r\n\r\n.\r\n\r\n"), B("\n\r\n.\n\r\n"),
	  2 },
	{ "CRs in a row", B("\r\r\r\n"), B("\r\n\r\n\r\n"), B("\r\r\r\n"), 2 },
	{ "LFs in a row", B("\n\n\n"), B("\r\n\r\n\r\n"), B("\n\n\n"), 3 },
	{ "dot CR dot CRLF", B("\r\n.\r.\r\n"), B("\r\n\r\n.\r\n"), B("\r\n\r.\r\n"),
	  1 },
	{ "two dots and LF", B("\r\n..\n"), B("\r\n.\r\n"), B("\r\n.\n"), 1 },
};

/* The same without anything in front: the start of the content starts a line. */
static const struct {
	const char *title;
	struct bytes wire;
	struct bytes normalised;
	struct bytes passed;
	unsigned bare;
} start_rows[] = {
	{ ". LF", B(".\n"), B("\r\n"), B("\n"), 1 },
	{ ". CR", B(".\r"), B("\r\n"), B("\r"), 1 },
	{ ". CR CRLF", B(".\r\r\n"), B("\r\n\r\n"), B("\r\r\n"), 1 },
	{ ". NUL CRLF", B(".\0\r\n"), B("\0\r\n"), B("\0\r\n"), 0 },
	{ "NUL . CRLF", B("\0.\r\n"), B("\0..\r\n"), B("\0.\r\n"), 0 },
	{ "LF", B("\n"), B("\r\n"), B("\n"), 1 },
	{ "CR", B("\r"), B("\r\n"), B("\r"), 1 },
	{ ".. LF", B("..\n"), B(".\r\n"), B(".\n"), 1 },
};

static const struct bytes before[] = {
	B(""),
	B("some text"),
	B("some text\r\n"),
	B("Subject: test\r\nX-Header: value"),
	B("Subject: test\r\n\r\n..text."),
};

static const struct bytes before_decoded[] = {
	B(""),
	B("some text"),
	B("some text\r\n"),
	B("Subject: test\r\nX-Header: value"),
	B("Subject: test\r\n\r\n.text."),
};

static const struct bytes behind = B("MAIL FROM:<smuggler>\r\n");

static void
add(struct evbuffer *buf, struct bytes bytes)
{
	assert_int_equal(evbuffer_add(buf, bytes.at, bytes.size), 0);
}

static void
assert_holds(struct evbuffer *buf, struct bytes wanted, const char *title, size_t way)
{
	size_t size = evbuffer_get_length(buf);
	const char *held = size > 0 ? (const char *)evbuffer_pullup(buf, -1) : "";

	if (size != wanted.size || memcmp(held, wanted.at, size) != 0)
		fail_msg("%s, way %zu: got %zu bytes '%.*s', wanted %zu '%.*s'", title,
		         way, size, (int)size, held, wanted.size, (int)wanted.size,
		         wanted.at);
}

static struct bytes
bytes_of(struct evbuffer *buf)
{
	size_t size = evbuffer_get_length(buf);

	return (struct bytes){ size > 0 ? (const char *)evbuffer_pullup(buf, -1) : "",
		               size };
}

/* Decodes INPUT as it arrives in one of its ways; what is behind the end stays in WIRE. */
static enum body_step
decode(struct body_decoder *dec, struct bytes input, size_t way, struct evbuffer *wire,
       struct evbuffer *message)
{
	enum body_step step = BODY_MORE;
	size_t at = 0;

	while (at < input.size) {
		size_t next = feed_next(way, at, input.size);

		add(wire, (struct bytes){ input.at + at, next });
		at += next;
		if (step == BODY_MORE)
			step = body_decode(dec, wire, message);
	}
	return step;
}

/* What was decoded, encoded and decoded again is the same, with one end at its end. */
static void
assert_goes_round(enum body_newlines newlines, struct bytes message, const char *title)
{
	for (size_t way = 0; way < FEED_WAYS(message.size); way++) {
		struct body_encoder enc = { 0 };
		struct body_decoder dec = { .newlines = newlines };
		struct evbuffer *in = evbuffer_new(), *wire = evbuffer_new();
		struct evbuffer *again = evbuffer_new();

		for (size_t at = 0, next; at < message.size; at += next) {
			next = feed_next(way, at, message.size);
			add(in, (struct bytes){ message.at + at, next });
			body_encode(&enc, in, wire);
			assert_int_equal(evbuffer_get_length(in), 0);
		}
		body_encode_end(&enc, wire);
		assert_int_equal(body_decode(&dec, wire, again), BODY_END);
		assert_holds(wire, (struct bytes)B(""), title, way);
		assert_holds(again, message, title, way);
		evbuffer_free(in);
		evbuffer_free(wire);
		evbuffer_free(again);
	}
}

static void
check_row(const char *title, enum body_newlines newlines, struct bytes input,
          enum body_step wanted_step, struct bytes wanted, struct bytes left,
          unsigned bare)
{
	for (size_t way = 0; way < FEED_WAYS(input.size); way++) {
		struct body_decoder dec = { .newlines = newlines };
		struct evbuffer *wire = evbuffer_new(), *message = evbuffer_new();
		enum body_step step = decode(&dec, input, way, wire, message);

		if (step != wanted_step)
			fail_msg("%s, way %zu: step %d", title, way, (int)step);
		assert_holds(message, wanted, title, way);
		assert_holds(wire, left, title, way);
		assert_int_equal(dec.bare, bare);
		evbuffer_free(wire);
		evbuffer_free(message);
	}
	if (wanted_step == BODY_END)
		assert_goes_round(newlines, wanted, title);
}

static void
clean_content_is_decoded_alike_by_both_policies(void **unused)
{
	(void)unused;
	for (size_t n = 0; n < sizeof(clean_rows) / sizeof(clean_rows[0]); n++) {
		for (int newlines = BODY_NORMALISE; newlines <= BODY_PASS; newlines++)
			check_row(clean_rows[n].title, newlines, clean_rows[n].wire,
			          clean_rows[n].step, clean_rows[n].message,
			          clean_rows[n].left, 0);
	}
}

/* FIRST, SECOND and THIRD in one; the caller frees what it points to. */
static struct bytes
join(struct bytes first, struct bytes second, struct bytes third)
{
	size_t size = first.size + second.size + third.size;
	char *all = malloc(size + 1);

	assert_non_null(all);
	memcpy(all, first.at, first.size);
	memcpy(all + first.size, second.at, second.size);
	memcpy(all + first.size + second.size, third.at, third.size);
	return (struct bytes){ all, size };
}

static void
check_smuggler(const char *title, enum body_newlines newlines, size_t where,
               struct bytes sequence, struct bytes becomes, unsigned bare)
{
	const struct bytes tail = B("MAIL FROM:<smuggler>\r\n.\r\nQUIT\r\n");
	const struct bytes left = B("QUIT\r\n");
	struct bytes wire = join(before[where], sequence, tail);
	struct bytes message = join(before_decoded[where], becomes, behind);

	check_row(title, newlines, wire, BODY_END, message, left, bare);
	free((char *)wire.at);
	free((char *)message.at);
}

static void
smugglers_do_not_move_the_end(void **unused)
{
	(void)unused;
	for (size_t n = 0; n < sizeof(smuggler_rows) / sizeof(smuggler_rows[0]); n++) {
		for (size_t where = 0; where < sizeof(before) / sizeof(before[0]);
		     where++) {
			check_smuggler(smuggler_rows[n].title, BODY_NORMALISE, where,
			               smuggler_rows[n].wire,
			               smuggler_rows[n].normalised,
			               smuggler_rows[n].bare);
			check_smuggler(smuggler_rows[n].title, BODY_PASS, where,
			               smuggler_rows[n].wire, smuggler_rows[n].passed,
			               smuggler_rows[n].bare);
		}
	}
}

static void
nor_do_they_at_the_very_start(void **unused)
{
	(void)unused;
	for (size_t n = 0; n < sizeof(start_rows) / sizeof(start_rows[0]); n++) {
		check_smuggler(start_rows[n].title, BODY_NORMALISE, 0,
		               start_rows[n].wire, start_rows[n].normalised,
		               start_rows[n].bare);
		check_smuggler(start_rows[n].title, BODY_PASS, 0, start_rows[n].wire,
		               start_rows[n].passed, start_rows[n].bare);
	}
}

static void
encoding_ends_a_message_that_lacks_its_last_newline(void **unused)
{
	static const struct {
		const char *title;
		struct bytes message;
		struct bytes wire;
	} rows[] = {
		{ "nothing", B(""), B(".\r\n") },
		{ "a whole line", B("a\r\n"), B("a\r\n.\r\n") },
		{ "half a line", B(".a\r\nb"), B("..a\r\nb\r\n.\r\n") },
		{ "a CR", B("a\r"), B("a\r\r\n.\r\n") },
		{ "an LF", B("a\n"), B("a\n\r\n.\r\n") },
		{ "a dot", B("."), B("..\r\n.\r\n") },
		{ "LF and dot", B("a\n.\n"), B("a\n.\n\r\n.\r\n") },
		{ "CR and dot", B("a\r.\r"), B("a\r.\r\r\n.\r\n") },
		{ "CRLF and dots", B("\r\n...\r\n."), B("\r\n....\r\n..\r\n.\r\n") },
	};

	(void)unused;
	for (size_t n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
		struct bytes text = rows[n].message;

		for (size_t way = 0; way < FEED_WAYS(text.size); way++) {
			struct body_encoder enc = { 0 };
			struct evbuffer *message = evbuffer_new(),
					*wire = evbuffer_new();

			for (size_t at = 0, next; at < text.size; at += next) {
				next = feed_next(way, at, text.size);
				add(message, (struct bytes){ text.at + at, next });
				body_encode(&enc, message, wire);
			}
			body_encode_end(&enc, wire);
			assert_holds(wire, rows[n].wire, rows[n].title, way);
			evbuffer_free(message);
			evbuffer_free(wire);
		}
	}
}

/* Large enough that whole pieces of memory are moved: lines short and long, dots, stray
 * newlines, each as often as its turn in a fixed row of random numbers. */
static void
fill_large(struct evbuffer *wire, size_t size)
{
	static const char *const parts[] = {
		"\r\n", ".", "..", "\r\n.x", "\r\n..", "\n", "\r", "text", "\r\n.\r",
	};
	unsigned seed = 1;

	while (evbuffer_get_length(wire) < size) {
		unsigned pick;

		seed = seed * 1103515245 + 12345;
		pick = (seed >> 16) % 2000;
		if (pick < sizeof(parts) / sizeof(parts[0]))
			evbuffer_add(wire, parts[pick], strlen(parts[pick]));
		else
			evbuffer_add(wire, "0123456789ABCDEF", 1 + pick % 16);
	}
	evbuffer_add(wire, "\r\n.\r\n", 5);
}

/* MESSAGE, whose pieces may be as large as you like, comes back as WANTED. */
static void
assert_large_goes_round(enum body_newlines newlines, struct evbuffer *message,
                        struct evbuffer *wanted)
{
	struct body_encoder enc = { 0 };
	struct body_decoder dec = { .newlines = newlines };
	struct evbuffer *wire = evbuffer_new(), *again = evbuffer_new();

	body_encode(&enc, message, wire);
	body_encode_end(&enc, wire);
	assert_int_equal(body_decode(&dec, wire, again), BODY_END);
	assert_holds(again, bytes_of(wanted), "large, again", 0);
	evbuffer_free(wire);
	evbuffer_free(again);
}

static void
large_content_is_the_same_in_pieces_of_any_size(void **unused)
{
	static const size_t sizes[] = { 1, 2, 3, 7, 1460, 4096, 5000, 65536, 1000000 };
	struct evbuffer *all = evbuffer_new(), *first = evbuffer_new();

	(void)unused;
	fill_large(all, 400000);
	for (int newlines = BODY_NORMALISE; newlines <= BODY_PASS; newlines++) {
		for (size_t n = 0; n < sizeof(sizes) / sizeof(sizes[0]); n++) {
			struct bytes input = bytes_of(all);
			struct body_decoder dec = { .newlines = newlines };
			struct evbuffer *wire = evbuffer_new(),
					*message = evbuffer_new();
			enum body_step step = BODY_MORE;

			for (size_t at = 0, next; at < input.size; at += next) {
				next = input.size - at;
				next = next < sizes[n] ? next : sizes[n];
				assert_int_equal(step, BODY_MORE);
				add(wire, (struct bytes){ input.at + at, next });
				step = body_decode(&dec, wire, message);
			}
			assert_int_equal(step, BODY_END);
			if (n == 0)
				add(first, bytes_of(message));
			assert_holds(message, bytes_of(first), "large", sizes[n]);
			assert_large_goes_round(newlines, message, first);
			evbuffer_free(wire);
			evbuffer_free(message);
		}
		evbuffer_drain(first, evbuffer_get_length(first));
	}
	evbuffer_free(all);
	evbuffer_free(first);
}

/* Content that needs no change is skipped in blocks.  Wherever in a block something odd
 * stands, it comes out as if each byte had come alone. */
static void
nothing_odd_hides_in_a_block(void **unused)
{
	static const char *const odd[] = {
		"\r",        "\n",          "\r\n.", "\r\n..",
		"\r\n.\r\n", "\r\n\0.\r\n", "\n.",   "\r\r\n",
	};
	static const size_t sizes[] = { 1, 1, 3, 4, 5, 6, 2, 3 };

	(void)unused;
	for (size_t n = 0; n < sizeof(odd) / sizeof(odd[0]); n++) {
		for (size_t at = 0; at < 200; at++) {
			struct body_decoder whole = { 0 }, alone = { 0 };
			struct evbuffer *all = evbuffer_new(), *wire = evbuffer_new();
			struct evbuffer *a = evbuffer_new(), *b = evbuffer_new();
			enum body_step step = BODY_MORE;
			struct bytes input;

			for (size_t i = 0; i < at; i++)
				evbuffer_add(all,
				             i % 30 < 28 ? "x" : &"\r\n"[i % 30 - 28],
				             1);
			evbuffer_add(all, odd[n], sizes[n]);
			for (size_t i = 0; i < 200; i++)
				evbuffer_add(all,
				             i % 30 < 28 ? "y" : &"\r\n"[i % 30 - 28],
				             1);
			evbuffer_add(all, "\r\n.\r\n", 5);
			input = bytes_of(all);
			for (size_t i = 0; i < input.size && step == BODY_MORE; i++) {
				add(wire, (struct bytes){ input.at + i, 1 });
				step = body_decode(&alone, wire, b);
			}
			assert_int_equal(body_decode(&whole, all, a), BODY_END);
			assert_int_equal(step, BODY_END);
			assert_holds(a, bytes_of(b), odd[n], at);
			assert_int_equal(whole.bare, alone.bare);
			evbuffer_free(all);
			evbuffer_free(wire);
			evbuffer_free(a);
			evbuffer_free(b);
		}
	}
}

static void
a_line_may_be_of_any_length(void **unused)
{
	static char line[300000];
	struct body_decoder dec = { 0 };
	struct body_encoder enc = { 0 };
	struct evbuffer *wire = evbuffer_new(), *message = evbuffer_new();

	(void)unused;
	memset(line, 'x', sizeof(line));
	memcpy(line, "..", 2);
	memcpy(line + sizeof(line) - 2, "\r\n", 2);
	add(wire, (struct bytes){ line, sizeof(line) });
	add(wire, (struct bytes)B(".\r\n"));
	assert_int_equal(body_decode(&dec, wire, message), BODY_END);
	assert_holds(message, (struct bytes){ line + 1, sizeof(line) - 1 }, "long", 0);

	body_encode(&enc, message, wire);
	assert_holds(wire, (struct bytes){ line, sizeof(line) }, "long", 0);
	evbuffer_free(wire);
	evbuffer_free(message);
}

/* A peer that sends a byte at a time must not make us hold a piece of memory for each. */
static void
small_pieces_are_packed(void **unused)
{
	struct body_decoder dec = { 0 };
	struct body_encoder enc = { 0 };
	struct evbuffer *in = evbuffer_new(), *message = evbuffer_new();
	struct evbuffer *wire = evbuffer_new();
	const int total = 200000;

	(void)unused;
	for (int i = 0; i < total; i++) {
		const char *byte = i % 50 < 48 ? "x" : &"\r\n"[i % 2];

		assert_int_equal(evbuffer_add(in, byte, 1), 0);
		assert_int_equal(body_decode(&dec, in, message), BODY_MORE);
		assert_int_equal(evbuffer_add(in, byte, 1), 0);
		body_encode(&enc, in, wire);
	}
	assert_int_equal(evbuffer_get_length(message), total);
	assert_int_equal(evbuffer_get_length(wire), total);
	assert_true(evbuffer_peek(message, -1, NULL, NULL, 0) < total / 500);
	assert_true(evbuffer_peek(wire, -1, NULL, NULL, 0) < total / 500);
	evbuffer_free(in);
	evbuffer_free(message);
	evbuffer_free(wire);
}

/* And a large piece that needs no change is moved, not copied. */
static void
large_pieces_are_moved(void **unused)
{
	static char text[65536];
	struct body_decoder dec = { 0 };
	struct body_encoder enc = { 0 };
	struct evbuffer *wire = evbuffer_new(), *message = evbuffer_new();
	struct evbuffer_iovec piece;

	(void)unused;
	memset(text, 'x', sizeof(text));
	for (size_t at = 78; at < sizeof(text); at += 78)
		memcpy(text + at - 2, "\r\n", 2);
	assert_int_equal(evbuffer_add_reference(wire, text, sizeof(text), NULL, NULL),
	                 0);

	assert_int_equal(body_decode(&dec, wire, message), BODY_MORE);
	evbuffer_peek(message, -1, NULL, &piece, 1);
	assert_ptr_equal(piece.iov_base, text);

	body_encode(&enc, message, wire);
	evbuffer_peek(wire, -1, NULL, &piece, 1);
	assert_ptr_equal(piece.iov_base, text);
	assert_int_equal(evbuffer_get_length(wire), sizeof(text));
	evbuffer_free(wire);
	evbuffer_free(message);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean_content_is_decoded_alike_by_both_policies),
		cmocka_unit_test(smugglers_do_not_move_the_end),
		cmocka_unit_test(nor_do_they_at_the_very_start),
		cmocka_unit_test(encoding_ends_a_message_that_lacks_its_last_newline),
		cmocka_unit_test(large_content_is_the_same_in_pieces_of_any_size),
		cmocka_unit_test(nothing_odd_hides_in_a_block),
		cmocka_unit_test(a_line_may_be_of_any_length),
		cmocka_unit_test(small_pieces_are_packed),
		cmocka_unit_test(large_pieces_are_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
