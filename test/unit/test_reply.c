#include "bytes.h"
#include "feed.h"
#include "reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

/* What is read from an input, one after the other: code{line|line}, MALFORMED. */
static const struct {
	const char *title;
	struct bytes input;
	const char *read;
} rows[] = {
	{ "one line", B("250 ok\r\n"), "250{ok}" },
	{ "several", B("250-a\r\n250-b\r\n250 c\r\n"), "250{a|b|c}" },
	{ "two replies", B("250 ok\r\n354 go\r\n"), "250{ok} 354{go}" },
	{ "no CR", B("250 ok\n"), "250{ok}" },
	{ "mixed", B("250-a\n250 b\r\n"), "250{a|b}" },
	{ "half a line", B("250 o"), "" },
	{ "no end", B("250 ok\r"), "" },
	{ "half a reply", B("250-a\r\n250-b\r\n"), "" },
	{ "half behind", B("220 hi\r\n250-a\r\n25"), "220{hi}" },
	{ "nothing", B(""), "" },
	{ "code alone", B("250\r\n"), "250{}" },
	{ "code alone, LF", B("250\n"), "250{}" },
	{ "code alone, last", B("250-a\r\n250\r\n"), "250{a|}" },
	{ "no text", B("250 \r\n"), "250{}" },
	{ "no text, more", B("250-\r\n250 \r\n"), "250{|}" },
	{ "8 bits", B("250 \xc5\xbc\x80\r\n"), "250{\xc5\xbc\x80}" },
	{ "lowest code", B("200 x\r\n"), "200{x}" },
	{ "highest code", B("599 x\r\n"), "599{x}" },
	{ "dashes in text", B("250 -a\r\n250--\r\n250  -\r\n"), "250{-a} 250{-| -}" },
	{ "no separator", B("250OK\r\n"), "MALFORMED" },
	{ "a tab", B("250\tok\r\n"), "MALFORMED" },
	{ "two digits", B("25\r\n"), "MALFORMED" },
	{ "two digits and text", B("25 ok\r\n"), "MALFORMED" },
	{ "four digits", B("2500 ok\r\n"), "MALFORMED" },
	{ "code too high", B("999 x\r\n"), "MALFORMED" },
	{ "code just too high", B("600 x\r\n"), "MALFORMED" },
	{ "code too low", B("199 x\r\n"), "MALFORMED" },
	{ "code 000", B("000 x\r\n"), "MALFORMED" },
	{ "negative", B("-50 x\r\n"), "MALFORMED" },
	{ "hex", B("2a0 x\r\n"), "MALFORMED" },
	{ "blank in front", B(" 250 x\r\n"), "MALFORMED" },
	{ "empty line", B("\r\n"), "MALFORMED" },
	{ "empty line, LF", B("\n"), "MALFORMED" },
	{ "words", B("SSH-2.0-x\r\n"), "MALFORMED" },
	{ "HTTP", B("HTTP/1.1 400 Bad Request\r\n"), "MALFORMED" },
	{ "NUL in text", B("250 o\0k\r\n"), "MALFORMED" },
	{ "NUL at the end", B("250 ok\0\r\n"), "MALFORMED" },
	{ "NUL in the code", B("25\0 ok\r\n"), "MALFORMED" },
	{ "NUL for separator", B("250\0ok\r\n"), "MALFORMED" },
	{ "CR in text", B("250 o\rk\r\n"), "MALFORMED" },
	{ "two CRs", B("250 ok\r\r\n"), "MALFORMED" },
	{ "CR for separator", B("250\rok\r\n"), "MALFORMED" },
	{ "code changes", B("250-a\r\n251 b\r\n"), "MALFORMED" },
	{ "code changes, more", B("250-a\r\n550-b\r\n550 c\r\n"), "MALFORMED" },
	{ "text inside", B("250-a\r\nb\r\n250 c\r\n"), "MALFORMED" },
	{ "good, then bad", B("220 hi\r\n250OK\r\n"), "220{hi} MALFORMED" },
	{ "bad, then good", B("nonsense\r\n250 ok\r\n"), "MALFORMED" },
};

static void
note(char *read, size_t size, const char *words)
{
	size_t at = strlen(read);

	snprintf(read + at, size - at, "%s%s", at > 0 ? " " : "", words);
}

static void
note_reply(const struct reply *reply, char *read, size_t size)
{
	struct reply_line line;
	char words[1024];
	size_t at = 0;
	int used = snprintf(words, sizeof(words), "%d", reply->code);

	while (reply_next_line(reply, &at, &line))
		used += snprintf(words + used, sizeof(words) - (size_t)used, "%s%.*s",
		                 words[3] == '\0' ? "{" : "|", (int)line.size,
		                 line.text);
	snprintf(words + used, sizeof(words) - (size_t)used, "}");
	note(read, size, words);
}

/* Reads what there is; false when it is malformed. */
static bool
take(struct reply_reader *reader, struct evbuffer *input, char *read, size_t size)
{
	struct reply reply;

	for (;;) {
		switch (reply_read(reader, input, &reply)) {
		case REPLY_MORE:
			return true;
		case REPLY_WHOLE:
			note_reply(&reply, read, size);
			evbuffer_drain(input, reply.size);
			assert_int_equal(reader->size, 0);
			assert_int_equal(reader->searched, 0);
			assert_int_equal(reader->code, 0);
			break;
		case REPLY_MALFORMED:
			note(read, size, "MALFORMED");
			return false;
		}
	}
}

static void
replies_are_read_the_same_however_they_arrive(void **unused)
{
	(void)unused;
	for (size_t n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
		struct bytes bytes = rows[n].input;

		for (size_t way = 0; way < FEED_WAYS(bytes.size); way++) {
			struct reply_reader reader = { 0 };
			struct evbuffer *input = evbuffer_new();
			char read[4096] = "";

			for (size_t at = 0, next; at < bytes.size; at += next) {
				next = feed_next(way, at, bytes.size);
				evbuffer_add(input, bytes.at + at, next);
				if (!take(&reader, input, read, sizeof(read)))
					break;
			}
			if (strcmp(read, rows[n].read) != 0)
				fail_msg("%s, way %zu: read '%s', wanted '%s'",
				         rows[n].title, way, read, rows[n].read);
			evbuffer_free(input);
		}
	}
}

/* Feeds COUNT lines of SIZE bytes ("250-xxx" CRLF), the last being "250 " if LAST, in
 * pieces of PIECE bytes, and returns what came of it. */
static enum reply_step
read_many(size_t count, size_t size, bool last, size_t piece)
{
	struct reply_reader reader = { 0 };
	struct evbuffer *input = evbuffer_new();
	enum reply_step step = REPLY_MORE;
	size_t total = count * size;
	char *text = malloc(total);
	struct reply reply = { 0 };

	assert_non_null(text);
	memset(text, 'x', total);
	for (size_t i = 0; i < count; i++) {
		memcpy(text + i * size, last && i == count - 1 ? "250 " : "250-", 4);
		memcpy(text + (i + 1) * size - 2, "\r\n", 2);
	}
	for (size_t at = 0; at < total && step == REPLY_MORE; at += piece) {
		evbuffer_add(input, text + at, total - at < piece ? total - at : piece);
		step = reply_read(&reader, input, &reply);
	}
	if (step == REPLY_WHOLE) {
		assert_int_equal(reply.size, total);
		assert_memory_equal(reply.text, text, total);
	}
	evbuffer_free(input);
	free(text);
	return step;
}

static void
lines_and_replies_have_their_limits(void **unused)
{
	static const struct {
		size_t count, size;
		bool last;
		enum reply_step step;
	} limits[] = {
		{ 1, REPLY_LINE_MAX, true, REPLY_WHOLE },
		{ 1, REPLY_LINE_MAX + 1, true, REPLY_MALFORMED },
		{ 2, REPLY_LINE_MAX + 1, true, REPLY_MALFORMED },
		{ 1, 65536, true, REPLY_MALFORMED },
		{ REPLY_MAX / REPLY_LINE_MAX, REPLY_LINE_MAX, true, REPLY_WHOLE },
		{ REPLY_MAX / 16, 16, true, REPLY_WHOLE },
		{ REPLY_MAX / 16 + 1, 16, true, REPLY_MALFORMED },
		{ REPLY_MAX / 16, 16, false, REPLY_MORE },
		{ 1000000, 16, false, REPLY_MALFORMED },
		{ REPLY_MAX / 8, 8, false, REPLY_MORE },
		{ REPLY_MAX / 7, 7, true, REPLY_WHOLE },
		{ REPLY_MAX / 7 + 1, 7, true, REPLY_MALFORMED },
	};
	static const size_t pieces[] = { 1, 7, 1460, 65536, 100000000 };

	(void)unused;
	for (size_t n = 0; n < sizeof(limits) / sizeof(limits[0]); n++) {
		for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++) {
			enum reply_step step = read_many(limits[n].count,
			                                 limits[n].size, limits[n].last,
			                                 pieces[p]);

			if (step != limits[n].step)
				fail_msg("row %zu, pieces of %zu: %d", n, pieces[p],
				         (int)step);
		}
	}
}

/* No byte more is waited for than a line may have. */
static void
a_line_without_end_is_malformed_at_its_limit(void **unused)
{
	struct reply_reader reader = { 0 };
	struct evbuffer *input = evbuffer_new();
	struct reply reply;

	(void)unused;
	evbuffer_add(input, "250 ", 4);
	while (evbuffer_get_length(input) < REPLY_LINE_MAX) {
		assert_int_equal(reply_read(&reader, input, &reply), REPLY_MORE);
		evbuffer_add(input, "x", 1);
	}
	assert_int_equal(reply_read(&reader, input, &reply), REPLY_MALFORMED);
	assert_int_equal(reply_read(&reader, input, &reply), REPLY_MALFORMED);
	evbuffer_free(input);
}

static void
offers_are_found(void **unused)
{
	static const struct {
		const char *line, *keyword;
		bool offered;
	} offers[] = {
		{ "STARTTLS", "STARTTLS", true },   { "starttls", "STARTTLS", true },
		{ "STARTTLS x", "STARTTLS", true }, { "STARTTLS\t", "STARTTLS", true },
		{ " STARTTLS", "STARTTLS", true },  { "STARTTLSX", "STARTTLS", false },
		{ "STARTTL", "STARTTLS", false },   { "X STARTTLS", "STARTTLS", false },
		{ "", "STARTTLS", false },          { "SIZE 1000", "SIZE", true },
		{ "SIZE=1000", "SIZE", false },     { "AUTH PLAIN", "AUTH", true },
		{ "AUTH=PLAIN", "AUTH", true },     { "auth=login", "AUTH", true },
		{ "AUTHX", "AUTH", false },         { "AUTH-X", "AUTH", false },
	};

	(void)unused;
	for (size_t n = 0; n < sizeof(offers) / sizeof(offers[0]); n++) {
		char *text = xstrndup(offers[n].line, strlen(offers[n].line));
		struct reply_line line = { text, strlen(text) };

		if (reply_offers(&line, offers[n].keyword) != offers[n].offered)
			fail_msg("'%s' in '%s'", offers[n].keyword, text);
		free(text);
	}
}

/* Hides the lines that begin with one of the letters in ARG. */
/* Leaves out lines that begin with a letter of ARG; "x" becomes longer words. */
static bool
edit_letters(struct reply_line *line, void *arg)
{
	static const char longer[] = "SIZE 1000";

	if (line->size == 1 && line->text[0] == 'x')
		*line = (struct reply_line){ longer, sizeof(longer) - 1 };
	return line->size == 0 || !strchr(arg, line->text[0]);
}

static void
assert_holds(struct evbuffer *buf, const char *wanted, const char *title)
{
	size_t size = evbuffer_get_length(buf);
	const char *held = size > 0 ? (const char *)evbuffer_pullup(buf, -1) : "";

	if (size != strlen(wanted) || memcmp(held, wanted, size) != 0)
		fail_msg("%s: got '%.*s', wanted '%s'", title, (int)size, held, wanted);
}

static void
replies_are_forwarded_with_lines_edited(void **unused)
{
	static const struct {
		const char *reply, *hide, *forwarded;
	} forwards[] = {
		{ "250 a\r\n", "", "250 a\r\n" },
		{ "250 a\n", "", "250 a\r\n" },
		{ "250\r\n", "", "250\r\n" },
		{ "250\n", "", "250\r\n" },
		{ "250-a\r\n250 b\r\n", "", "250-a\r\n250 b\r\n" },
		{ "250-a\n250-b\r\n250 c\n", "", "250-a\r\n250-b\r\n250 c\r\n" },
		{ "250-a\r\n250\r\n", "", "250-a\r\n250\r\n" },
		{ "250 a\r\n", "a", "250 a\r\n" },
		{ "250-a\r\n250 b\r\n", "a", "250-a\r\n250 b\r\n" },
		{ "250-a\r\n250 b\r\n", "b", "250 a\r\n" },
		{ "250-a\r\n250-b\r\n250 c\r\n", "b", "250-a\r\n250 c\r\n" },
		{ "250-a\r\n250-b\r\n250 c\r\n", "c", "250-a\r\n250 b\r\n" },
		{ "250-a\r\n250-b\r\n250 c\r\n", "bc", "250 a\r\n" },
		{ "250-a\r\n250-b\n250-c\r\n250 b\n", "b", "250-a\r\n250 c\r\n" },
		{ "250-a\r\n250-\r\n250 b\r\n", "b", "250-a\r\n250 \r\n" },
		{ "250-a\r\n250-b\r\n250\r\n", "b", "250-a\r\n250\r\n" },
		{ "250-\r\n250 b\r\n", "b", "250 \r\n" },
		{ "250-x\r\n250-x\n250-y\r\n250 x\r\n", "y",
		  "250-x\r\n250-SIZE 1000\r\n250 SIZE 1000\r\n" },
	};

	(void)unused;
	for (size_t n = 0; n < sizeof(forwards) / sizeof(forwards[0]); n++) {
		const char *text = forwards[n].reply;
		struct reply reply = { 250, text, strlen(text) };
		struct evbuffer *out = evbuffer_new();

		reply_forward_edited(&reply, out, edit_letters,
		                     (char *)forwards[n].hide);
		assert_holds(out, forwards[n].forwarded, text);
		evbuffer_drain(out, evbuffer_get_length(out));
		if (forwards[n].hide[0] == '\0') {
			reply_forward(&reply, out);
			assert_holds(out, forwards[n].forwarded, text);
		}
		evbuffer_free(out);
	}
}

static void
offers_of_size_are_read(void **unused)
{
	static const struct {
		const char *line;
		bool offers;
		uint64_t most;
	} lines[] = {
		{ "SIZE 1000", true, 1000 },
		{ "size\t 52428800 ", true, 52428800 },
		{ " SIZE 7", true, 7 },
		{ "SIZE", true, 0 },
		{ "SIZE 0", true, 0 },
		{ "SIZE many", true, 0 },
		{ "SIZE 18446744073709551615", true, UINT64_MAX },
		{ "SIZE 18446744073709551616", true, UINT64_MAX },
		{ "SIZE 99999999999999999999999", true, UINT64_MAX },
		{ "SIZES 1", false, 0 },
		{ "XSIZE 1", false, 0 },
		{ "", false, 0 },
	};

	(void)unused;
	for (size_t n = 0; n < sizeof(lines) / sizeof(lines[0]); n++) {
		/* Of its exact size: a byte read behind it is found out. */
		size_t size = strlen(lines[n].line);
		char *text = memcpy(malloc(size + 1), lines[n].line, size);
		struct reply_line line = { realloc(text, size ?: 1), size };
		uint64_t most = 5;

		if (reply_offers_size(&line, &most) != lines[n].offers ||
		    most != lines[n].most)
			fail_msg("%s", lines[n].line);
		free((char *)line.text);
	}
}

static void
our_replies_are_made(void **unused)
{
	static const struct {
		int code;
		const char *enhanced, *text, *made;
	} ours[] = {
		{ 250, "2.0.0", "Ok", "250 2.0.0 Ok\r\n" },
		{ 220, NULL, "gate.example", "220 gate.example\r\n" },
		{ 250, NULL, "gate\nPIPELINING\n8BITMIME",
		  "250-gate\r\n250-PIPELINING\r\n250 8BITMIME\r\n" },
		{ 550, "5.7.1", "a\nb", "550-5.7.1 a\r\n550 5.7.1 b\r\n" },
		{ 250, NULL, "", "250 \r\n" },
		{ 554, "5.7.1", "x\r\ty\x1b[2J\x7f\xc5\xbc%s%n",
		  "554 5.7.1 x??y?[2J???%s%n\r\n" },
	};

	(void)unused;
	for (size_t n = 0; n < sizeof(ours) / sizeof(ours[0]); n++) {
		struct evbuffer *out = evbuffer_new();

		reply_make(out, ours[n].code, ours[n].enhanced, ours[n].text);
		assert_holds(out, ours[n].made, ours[n].text);
		evbuffer_free(out);
	}
}

static void
our_lines_are_cut_to_their_limit(void **unused)
{
	for (size_t size = REPLY_OURS_MAX - 20; size < REPLY_OURS_MAX + 20; size++) {
		struct evbuffer *out = evbuffer_new();
		struct reply_reader reader = { 0 };
		struct reply reply = { 0 };
		char *text = malloc(size + 1);
		size_t whole = strlen("550 5.7.1 ") + size + 2;

		(void)unused;
		assert_non_null(text);
		memset(text, 'x', size);
		text[size] = '\0';
		reply_make(out, 550, "5.7.1", text);
		assert_int_equal(evbuffer_get_length(out),
		                 whole < REPLY_OURS_MAX ? whole : REPLY_OURS_MAX);
		assert_int_equal(reply_read(&reader, out, &reply), REPLY_WHOLE);
		assert_int_equal(reply.size, evbuffer_get_length(out));
		evbuffer_free(out);
		free(text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_are_read_the_same_however_they_arrive),
		cmocka_unit_test(lines_and_replies_have_their_limits),
		cmocka_unit_test(a_line_without_end_is_malformed_at_its_limit),
		cmocka_unit_test(offers_are_found),
		cmocka_unit_test(replies_are_forwarded_with_lines_edited),
		cmocka_unit_test(offers_of_size_are_read),
		cmocka_unit_test(our_replies_are_made),
		cmocka_unit_test(our_lines_are_cut_to_their_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
