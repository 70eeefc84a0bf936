#include "clamdproto.h"

#include "feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ANSWER(text) text, sizeof(text)
#define BARE(text)   text, sizeof(text) - 1

static const struct {
	const char *text;
	size_t size;
	enum clamdproto_answer answer;
	const char *words;
} rows[] = {
	/* What clamd 1.4.6 says. */
	{ ANSWER("stream: OK"), CLAMDPROTO_CLEAN, "" },
	{ ANSWER("stream: Eicar-Test-Signature FOUND"), CLAMDPROTO_FOUND,
	  "Eicar-Test-Signature" },
	{ ANSWER("stream: Heuristics.Limits.Exceeded.MaxScanSize FOUND"),
	  CLAMDPROTO_FOUND, "Heuristics.Limits.Exceeded.MaxScanSize" },
	{ ANSWER("INSTREAM size limit exceeded. ERROR"), CLAMDPROTO_TOO_BIG, "" },
	{ ANSWER("stream: Can't allocate memory ERROR"), CLAMDPROTO_ERROR,
	  "Can't allocate memory" },
	{ ANSWER("INSTREAM: Can't open file or directory ERROR"), CLAMDPROTO_ERROR,
	  "INSTREAM: Can't open file or directory" },
	{ ANSWER("UNKNOWN COMMAND"), CLAMDPROTO_MALFORMED, "UNKNOWN COMMAND" },
	{ ANSWER("COMMAND READ TIMED OUT"), CLAMDPROTO_MALFORMED,
	  "COMMAND READ TIMED OUT" },
	/* What it does not say. */
	{ ANSWER(""), CLAMDPROTO_MALFORMED, "" },
	{ ANSWER("OK"), CLAMDPROTO_MALFORMED, "OK" },
	{ ANSWER("stream: "), CLAMDPROTO_MALFORMED, "stream: " },
	{ ANSWER("stream: OK "), CLAMDPROTO_MALFORMED, "OK " },
	{ ANSWER("stream: ok"), CLAMDPROTO_MALFORMED, "ok" },
	{ ANSWER("stream: OK FOUND"), CLAMDPROTO_FOUND, "OK" },
	{ ANSWER("stream:  FOUND"), CLAMDPROTO_MALFORMED, " FOUND" },
	{ ANSWER("stream: FOUND"), CLAMDPROTO_MALFORMED, "FOUND" },
	{ ANSWER("a FOUND"), CLAMDPROTO_MALFORMED, "a FOUND" },
	{ ANSWER("stream: a\r\nb\x80\x1b FOUND"), CLAMDPROTO_FOUND, "a??b??" },
	{ ANSWER(" ERROR"), CLAMDPROTO_MALFORMED, " ERROR" },
	{ ANSWER("stream: OK\0stream: OK"), CLAMDPROTO_MALFORMED, "stream: OK" },
	{ BARE("stream: OK\0x"), CLAMDPROTO_MALFORMED, "stream: OK" },
	/* Not yet. */
	{ BARE(""), CLAMDPROTO_MORE, "" },
	{ BARE("stream: OK"), CLAMDPROTO_MORE, "" },
	{ BARE("stream: OK\n"), CLAMDPROTO_MORE, "" },
};

/* However it arrives, nothing is said of it before its end is there. */
static void
read_in_way(size_t row, size_t way)
{
	struct evbuffer *input = evbuffer_new();
	enum clamdproto_answer answer = CLAMDPROTO_MORE;
	size_t size = rows[row].size, at = 0;
	char words[64];

	while (at < size && answer == CLAMDPROTO_MORE) {
		size_t next = feed_next(way, at, size);

		evbuffer_add(input, rows[row].text + at, next);
		at += next;
		answer = clamdproto_read(input, words, sizeof(words));
		if (at < size && answer != CLAMDPROTO_MORE)
			assert_non_null(memchr(rows[row].text, '\0', at));
	}
	if (at == size) {
		assert_int_equal(answer, rows[row].answer);
		if (size > 0)
			assert_string_equal(words, rows[row].words);
	}
	evbuffer_free(input);
}

static void
test_answers(void **state)
{
	(void)state;
	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++)
		for (size_t way = 0; way < FEED_WAYS(rows[row].size); way++)
			read_in_way(row, way);
}

/* One that never ends is none, as soon as it is too long. */
static void
test_endless(void **state)
{
	struct evbuffer *input = evbuffer_new();
	char words[64];

	(void)state;
	for (int i = 0; i < CLAMDPROTO_ANSWER_MAX - 1; i++)
		evbuffer_add(input, "x", 1);
	assert_int_equal(clamdproto_read(input, words, sizeof(words)), CLAMDPROTO_MORE);
	evbuffer_add(input, "x", 1);
	assert_int_equal(clamdproto_read(input, words, sizeof(words)),
	                 CLAMDPROTO_MALFORMED);
	assert_int_equal(strlen(words), sizeof(words) - 1);
	evbuffer_free(input);
}

static void
test_sending(void **state)
{
	unsigned char size[CLAMDPROTO_CHUNK_SIZE];

	(void)state;
	assert_int_equal(clamdproto_instream_size, 10);
	assert_memory_equal(clamdproto_instream, "zINSTREAM", 10);
	clamdproto_chunk(size, 0x01020304);
	assert_memory_equal(size, "\x01\x02\x03\x04", 4);
	clamdproto_chunk(size, 0);
	assert_memory_equal(size, "\0\0\0\0", 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_sending),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
