#include "retouch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *
pass(const struct retouch *what, const char *text, size_t size, size_t cut)
{
	struct retouch_filter *filter = retouch_filter_new(what);
	struct evbuffer *in = retouch_filter_input(filter), *out = evbuffer_new();
	char *result;

	evbuffer_add(in, text, cut);
	retouch_filter(filter, out, false);
	evbuffer_add(in, text + cut, size - cut);
	retouch_filter(filter, out, true);
	size = evbuffer_get_length(out);
	result = calloc(1, size + 1);
	evbuffer_remove(out, result, size);
	evbuffer_free(out);
	retouch_filter_free(filter);
	return result;
}

/* However the message is cut in two. */
static void
gives(const struct retouch *what, const char *text, const char *expected)
{
	size_t size = strlen(text);

	for (size_t cut = 0; cut <= size; cut++) {
		char *result = pass(what, text, size, cut);

		assert_string_equal(result, expected);
		free(result);
	}
}

static struct retouch *
removes(const char *name, unsigned which)
{
	struct retouch *what = retouch_new();

	assert_true(retouch_is_empty(what));
	assert_true(retouch_remove(what, name, which));
	assert_false(retouch_is_empty(what));
	return what;
}

static struct retouch *
tags(const char *prefix)
{
	struct retouch *what = retouch_new();

	assert_true(retouch_subject_prefix(what, prefix));
	return what;
}

static struct retouch *
adds(const char *name, const char *value)
{
	struct retouch *what = retouch_new();

	assert_true(retouch_add(what, name, value));
	return what;
}

/* ---- removing -------------------------------------------------------------------- */

#define REST "\r\nX-Spam: text\r\n\r\nX-Spam: text\r\n"

static void
test_removed(void **state)
{
	struct retouch *what = removes("X-Spam", 0);

	(void)state;
	gives(what, "", "");
	gives(what, "\r\n", "\r\n");
	gives(what, REST, REST);
	gives(what, "A: 1\r\n" REST, "A: 1\r\n" REST);
	gives(what, "X-Spam: 1\r\nA: 1\r\n" REST, "A: 1\r\n" REST);
	gives(what, "A: 1\r\nX-Spam: 1\r\n" REST, "A: 1\r\n" REST);
	gives(what, "A: 1\r\nX-Spam:1\r\n 2\r\n\t3\r\nB: 1\r\n" REST,
	      "A: 1\r\nB: 1\r\n" REST);
	gives(what, "x-SPAM : 1\r\nX-Spam\t:\r\n  \r\n 2\r\nB:\r\n  \r\n c\r\n" REST,
	      "B:\r\n  \r\n c\r\n" REST);
	gives(what, "X-Spam-Flag: 1\r\nX-Spa: 1\r\nX Spam: 1\r\nX-Spam a\r\n" REST,
	      "X-Spam-Flag: 1\r\nX-Spa: 1\r\nX Spam: 1\r\nX-Spam a\r\n" REST);
	gives(what, "no field\r\nX-Spam: 1\r\nB: 1\r\n" REST,
	      "no field\r\nB: 1\r\n" REST);
	gives(what, "From x\r\nX-Spam: 1\r\n 2\r\nB: 1\r\n" REST,
	      "From x\r\nB: 1\r\n" REST);
	gives(what, ">From x: 1\r\nX-Spam: 1\r\n" REST, ">From x: 1\r\n" REST);
	gives(what, " 1\r\nX-Spam: 1\r\n" REST, " 1\r\n" REST);
	gives(what,
	      "X\x01-Sp\x7f"
	      "am: 1\r\n\x01X-Spam: 1\r\n" REST,
	      REST);
	gives(what, "X-Spam: 1", "");
	gives(what, "A: 1\r\nX-Spam: 1\r", "A: 1\r\n");
	retouch_free(what);
}

/* Some readers put the lines of a field together before they look for its colon. */
static void
test_removed_name(void **state)
{
	struct retouch *what = removes("X-Spam", 0);

	(void)state;
	gives(what, "X-Spam\r\n : 1\r\n 2\r\nx-spam \r\n \r\n\t: 1\r\nB: 1\r\n" REST,
	      "B: 1\r\n" REST);
	gives(what, "X-Spam\r\n a: 1\r\nB: 1\r\nX-Spam\r\n: 1\r\n" REST,
	      "B: 1\r\n: 1\r\n" REST);
	gives(what, "X-Spa\r\n : 1\r\nX-Spam a\r\n : 1\r\n" REST,
	      "X-Spa\r\n : 1\r\nX-Spam a\r\n : 1\r\n" REST);
	gives(what, "X-Spam\r\nX-Spam: 1\r\n\x0b : 1\r\n" REST, "\x0b : 1\r\n" REST);
	gives(what, "X-Spam\r\n\r\n : 1\r\n", "\r\n : 1\r\n");
	gives(what, "X-Spam", "");
	retouch_free(what);
}

/* For those to whom a CR or LF ends a line it vanishes; for the others lines stay apart. */
static void
test_bare(void **state)
{
	struct retouch *what = removes("X-Spam", 0);

	(void)state;
	gives(what, "A: 1\nX-Spam: 1\r\nB: 1\r\n" REST, "A: 1\n\r\nB: 1\r\n" REST);
	gives(what, "A: 1\rX-Spam: 1\r\n 2\r\nB: 1\r\n" REST,
	      "A: 1\r\r\nB: 1\r\n" REST);
	gives(what, "A: 1\r\nX-Spam: 1\nB: 1\r\n" REST, "A: 1\r\nB: 1\r\n" REST);
	gives(what, "A: 1\r\nX-Spam: 1\n\r\nB: 1\r\n" REST, "A: 1\r\nB: 1\r\n" REST);
	gives(what, "A: 1\nX-Spam: 1\n\r\nB: 1\r\n" REST, "A: 1\n\r\nB: 1\r\n" REST);
	gives(what, "A: 1\n\nX-Spam: 1\r\n" REST, "A: 1\n\n\r\n" REST);
	gives(what, "A: 1\n\r\nX-Spam: 1\r\n" REST, "A: 1\n\r\n" REST);
	gives(what, "A: 1\r\n\nX-Spam: 1\r\n" REST, "A: 1\r\n\n\r\n" REST);
	retouch_free(what);
}

static void
test_which(void **state)
{
	struct retouch *what = removes("x-spam", 2);

	(void)state;
	gives(what, "X-Spam: 1\r\nX-Spam: 2\r\n a\r\nX-Spam: 3\r\n" REST,
	      "X-Spam: 1\r\nX-Spam: 3\r\n" REST);
	assert_true(retouch_remove(what, "X-Spam", 3));
	assert_true(retouch_remove(what, "B", 0));
	gives(what, "X-Spam: 1\r\nX-Spam: 2\r\n a\r\nB: 1\r\nX-Spam: 3\r\n" REST,
	      "X-Spam: 1\r\n" REST);
	assert_false(retouch_remove(what, "", 0));
	assert_false(retouch_remove(what, "a b", 0));
	retouch_free(what);
}

/* Who is trusted is told from the first word; what is not plain is not. */
static void
test_trusted(void **state)
{
	char edge[] = "edge", gate[] = "mx.gate", *names[] = { edge, gate };
	struct string_list trusted = { 2, names };
	struct retouch *what = removes("Authentication-Results", 0);

	(void)state;
	retouch_trust(what, &trusted, "MX.GATE");
#define RESULTS(words) "Authentication-Results:" words "\r\n"
	gives(what, RESULTS("edge; none") "\r\n", RESULTS("edge; none") "\r\n");
	gives(what, RESULTS("\r\n\tEDGE 1; none") "A: 1\r\n",
	      RESULTS("\r\n\tEDGE 1; none") "A: 1\r\n");
	gives(what, RESULTS(" (a) edge; none") RESULTS(" (b (c) mx.gate; none) edge"),
	      "");
	gives(what, RESULTS(" edge (a)\r\n ; none") RESULTS(" other; none"),
	      RESULTS(" edge (a)\r\n ; none"));
	gives(what, RESULTS("mx.gate; none") RESULTS("\"edge\"; none") "\r\n", "\r\n");
	gives(what,
	      RESULTS("edges; none") RESULTS("edge.x; none") RESULTS("edge(; none"),
	      "");
	gives(what, RESULTS("") RESULTS(" (edge; none") RESULTS("edge\""), "");
	gives(what, "A: 1\r\nAuthentication-Results:edge", "A: 1\r\n");
	retouch_free(what);
}

static void
test_bounds(void **state)
{
	struct retouch *what = retouch_new();
	char *value = malloc(RETOUCH_BYTES + 1);
	unsigned count = 0;

	(void)state;
	while (count < 1000 && retouch_remove(what, "A", 0))
		count++;
	assert_int_equal(count, RETOUCH_REMOVALS);
	memset(value, 'a', RETOUCH_BYTES);
	value[RETOUCH_BYTES] = '\0';
	assert_false(retouch_add(what, "A", value));
	assert_false(retouch_subject(what, value));
	assert_false(retouch_subject_prefix(what, value));
	for (count = 0; count < 1000 && retouch_add(what, "A", "b"); count++)
		;
	assert_int_equal(count, RETOUCH_FIELDS);
	free(value);
	retouch_free(what);
}

/* No more of it waits inside than it takes to know whose it is. */
static void
test_trusted_at_once(void **state)
{
	char edge[] = "edge", *names[] = { edge };
	struct string_list trusted = { 1, names };
	struct retouch *what = removes("Authentication-Results", 0);
	struct retouch_filter *filter;
	struct evbuffer *in, *out = evbuffer_new();

	(void)state;
	retouch_trust(what, &trusted, "gate");
	filter = retouch_filter_new(what);
	in = retouch_filter_input(filter);
	evbuffer_add_printf(in, "Authentication-Results: edge");
	retouch_filter(filter, out, false);
	assert_int_equal(evbuffer_get_length(out), 0);
	evbuffer_add_printf(in, ";");
	retouch_filter(filter, out, false);
	assert_int_equal(evbuffer_get_length(out), 29);
	evbuffer_add_printf(in, "\r\nAuthentication-Results: edge-other;");
	retouch_filter(filter, out, false);
	assert_int_equal(evbuffer_get_length(out), 31);
	assert_int_equal(evbuffer_get_length(in), 0);
	retouch_filter(filter, out, true);
	assert_int_equal(evbuffer_get_length(out), 31);
	evbuffer_free(out);
	retouch_filter_free(filter);
	retouch_free(what);
}

/* A name that is hidden among very many control characters, a field without end, very many
 * fields: nothing piles up inside. */
static void
test_long(void **state)
{
	struct retouch *what = removes("X-Spam", 0);
	struct retouch_filter *filter = retouch_filter_new(what);
	struct evbuffer *in = retouch_filter_input(filter), *out = evbuffer_new();
	char piece[5000];

	(void)state;
	evbuffer_add_printf(in, "X-Sp");
	memset(piece, 1, sizeof(piece));
	evbuffer_add(in, piece, sizeof(piece));
	evbuffer_add_printf(in, "am: 1\r\nA: ");
	retouch_filter(filter, out, false);
	assert_true(evbuffer_get_length(out) <= 3);
	memset(piece, 'a', sizeof(piece));
	for (int i = 0; i < 2000; i++) {
		evbuffer_add(in, piece, sizeof(piece));
		retouch_filter(filter, out, false);
		assert_true(evbuffer_get_length(out) >= sizeof(piece) - 1024);
		evbuffer_drain(out, evbuffer_get_length(out));
	}
	evbuffer_add_printf(in, "\r\n");
	retouch_filter(filter, out, false);
	evbuffer_drain(out, evbuffer_get_length(out));
	for (int i = 0; i < 100000; i++) {
		evbuffer_add_printf(in, i % 2 ? "X-Spam: 1\r\n" : "B: 1\r\n");
		retouch_filter(filter, out, false);
		assert_int_equal(evbuffer_get_length(out), i % 2 ? 0 : 6);
		evbuffer_drain(out, evbuffer_get_length(out));
	}
	evbuffer_free(out);
	retouch_filter_free(filter);
	retouch_free(what);
}

/* ---- adding ---------------------------------------------------------------------- */

static void
test_added(void **state)
{
	struct retouch *what = adds("X-A", "1");

	(void)state;
	assert_true(retouch_add(what, "X-B", " 2\r\n\t3\r4\n 5\x01\xc3\xa4 "));
#define OURS "X-A: 1\r\nX-B: 2 3 4 5??\r\n"
	gives(what, "From x\r\nX-A: 7\r\n", "From x\r\n" OURS "X-A: 7\r\n");
	gives(what, "From x\r\n", "From x\r\n" OURS);
	gives(what, "\r", OURS "\r\n\r");
	assert_true(retouch_remove(what, "x-a", 0));
	gives(what, "", OURS);
	gives(what, "\r\ntext\r\n", OURS "\r\ntext\r\n");
	gives(what, "X-A: 7\r\nB: 1\r\n\r\n", OURS "B: 1\r\n\r\n");
	gives(what, "From x\r\nX-A: 7\r\nB: 1\r\n\r\n",
	      "From x\r\n" OURS "B: 1\r\n\r\n");
	gives(what, " text\r\n", OURS "\r\n text\r\n");
	retouch_free(what);
	assert_false(retouch_is_empty(what = adds("X-E", "")));
	gives(what, "A: 1\r\n\r\n", "X-E: \r\nA: 1\r\n\r\n");
	gives(what, "From x\r\nA: 1\r\n\r\n", "From x\r\nX-E: \r\nA: 1\r\n\r\n");
	retouch_free(what);
}

static void
test_folded(void **state)
{
	struct retouch *what;
	char value[3001], *result, *line;

	(void)state;
	what = adds("X-A", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "
	                   "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\tcccccccccccc  d");
	gives(what, "A: 1\r\n\r\n",
	      "X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "
	      "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n\tcccccccccccc d\r\n"
	      "A: 1\r\n\r\n");
	retouch_free(what);
	memset(value, 'a', 3000);
	value[3000] = '\0';
	what = adds("X-A", value);
	result = pass(what, "\r\n", 2, 0);
	for (line = strtok(result, "\r\n"); line; line = strtok(NULL, "\r\n"))
		assert_true(strlen(line) <= HEADER_LINE_MAX);
	free(result);
	retouch_free(what);
}

/* ---- subjects -------------------------------------------------------------------- */

static void
test_tagged(void **state)
{
	struct retouch *what = tags("[SPAM] ");

	(void)state;
	gives(what, "Subject: Hello you\r\n\r\n", "Subject: [SPAM] Hello you\r\n\r\n");
	gives(what, "subject :Hello\r\n\r\n", "subject : [SPAM] Hello\r\n\r\n");
	gives(what, "A: 1\r\nSubject: a\r\n b\r\nB: 1\r\nSUBJECT: c\r\n\r\n",
	      "A: 1\r\nSubject: [SPAM] a\r\n b\r\nB: 1\r\nSUBJECT: [SPAM] c\r\n\r\n");
	gives(what, "Subject:\r\n a\r\n\r\n", "Subject: [SPAM]\r\n a\r\n\r\n");
	gives(what, "Subject:\r\n\r\n", "Subject: [SPAM]\r\n\r\n");
	gives(what, "Subject: \r\nA: 1\r\n\r\n", "Subject: [SPAM] \r\nA: 1\r\n\r\n");
	gives(what, "Subject:", "Subject: [SPAM]");
	gives(what, "Subject: =?UTF-8?Q?=C3=A4?=\r\n\r\n",
	      "Subject: [SPAM] =?UTF-8?Q?=C3=A4?=\r\n\r\n");
	gives(what, "A: 1\r\n\r\nSubject: text\r\n",
	      "A: 1\r\nSubject: [SPAM]\r\n\r\nSubject: text\r\n");
	gives(what, "\r\ntext\r\n", "Subject: [SPAM]\r\n\r\ntext\r\n");
	gives(what, "text\r\n", "Subject: [SPAM]\r\ntext\r\n");
	gives(what, " text\r\n", "Subject: [SPAM]\r\n\r\n text\r\n");
	gives(what, "A: 1\r\n", "A: 1\r\nSubject: [SPAM]\r\n");
	gives(what, "A: 1", "A: 1\r\nSubject: [SPAM]\r\n");
	gives(what, "", "Subject: [SPAM]\r\n");
	gives(what, "From a\r\n b\r\n", "From a\r\nSubject: [SPAM]\r\n\r\n b\r\n");
	gives(what, "A: 1\r\ntext\r\nSubject: b\r\n\r\n",
	      "A: 1\r\nSubject: [SPAM]\r\ntext\r\nSubject: [SPAM] b\r\n\r\n");
	gives(what, "A: 1\n\r\nSubject: b\r\n\r\n",
	      "A: 1\n\r\nSubject: [SPAM] b\r\n\r\n");
	retouch_free(what);
	what = tags("X");
	gives(what, "Subject: a\r\n\r\n", "Subject: Xa\r\n\r\n");
	gives(what, "Subject:=?UTF-8?Q?a?=\r\n\r\n",
	      "Subject: X =?UTF-8?Q?a?=\r\n\r\n");
	assert_true(retouch_subject_prefix(what, ""));
	assert_true(retouch_is_empty(what));
	retouch_free(what);
}

/* Our words are "[WERBÄ]" and, where a blank must be inside of them, "[WERBÄ] ". */
static void
test_tagged_words(void **state)
{
	struct retouch *what = tags("[WERB\xc3\x84] ");

	(void)state;
	gives(what, "Subject: a b\r\n\r\n",
	      "Subject: =?UTF-8?B?W1dFUkLDhF0=?=\r\n a b\r\n\r\n");
	gives(what, "Subject: =?utf-8?q?b?=\r\n\r\n",
	      "Subject: =?UTF-8?B?W1dFUkLDhF0g?=\r\n =?utf-8?q?b?=\r\n\r\n");
	gives(what, "Subject:\r\n =?utf-8?q?b?=\r\n\r\n",
	      "Subject: =?UTF-8?B?W1dFUkLDhF0g?=\r\n =?utf-8?q?b?=\r\n\r\n");
	gives(what, "A: 1\r\n\r\n",
	      "A: 1\r\nSubject: =?UTF-8?B?W1dFUkLDhF0=?=\r\n\r\n");
	retouch_free(what);
	what = tags("=?x ");
	gives(what, "Subject: a\r\n\r\n", "Subject: =?UTF-8?B?PT94?=\r\n a\r\n\r\n");
	retouch_free(what);
}

/* By another gateway before, or so it seems: that is enough. */
static void
test_tagged_already(void **state)
{
	static const char *const stays[][2] = {
		{ "[SPAM] ", "Subject: [SPAM] Hello\r\n\r\n" },
		{ "[SPAM] ", "Subject:[SPAM]\r\n Hello\r\nA: 1\r\n\r\n" },
		{ "[SPAM] ", "Subject:\r\n \t[SPAM]\tHello\r\n\r\n" },
		{ "[SPAM] ", "Subject: [SPAM]\r\n\r\n" },
		{ "[SPAM] ", "Subject: [SPAM]" },
		{ "[SPAM] ", "Subject: =?UTF-8?B?W1NQQU1dIMOk?=\r\n\r\n" },
		{ "[SPAM] ",
		  "Subject: =?utf-8?b?W1NQ?=\r\n =?UTF-8?B?QU1d?= x\r\n\r\n" },
		{ "[WERB\xc3\x84] ",
		  "Subject: =?UTF-8?B?W1dFUkLDhF0=?=\r\n a b\r\n\r\n" },
		{ "[WERB\xc3\x84] ", "Subject: [WERB\xc3\x84] a\r\n\r\n" },
		{ "X", "Subject: Xa\r\n\r\n" },
	};
	static const char *const changes[][2] = {
		{ "[SPAM] ", "Subject: [SPAM]Hello\r\n\r\n" },
		{ "[SPAM] ", "Subject: Re: [SPAM] Hello\r\n\r\n" },
		{ "[SPAM] ", "Subject: [SPA\r\nM] A: 1\r\n\r\n" },
		{ "[SPAM] ", "Subject: [SPA\r\n M] a\r\n\r\n" },
		{ "[SPAM] ", "Subject:\r\n[SPAM] A: 1\r\n\r\n" },
		{ "[SPAM] ", "Subject: =?UTF-8?B?W1NQQU1d\r\n\r\n" },
		{ "[SPAM] ", "Subject: =?UTF-8?B?W1NQQU1dw6Q=?=\r\n\r\n" },
		{ " ", "Subject:  a\r\n\r\n" },
	};
	struct retouch *what;

	(void)state;
	for (size_t i = 0; i < sizeof(stays) / sizeof(stays[0]); i++) {
		what = tags(stays[i][0]);
		gives(what, stays[i][1], stays[i][1]);
		retouch_free(what);
	}
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		const char *text = changes[i][1];
		char *result;

		what = tags(changes[i][0]);
		result = pass(what, text, strlen(text), 0);
		assert_string_not_equal(result, text);
		free(result);
		retouch_free(what);
	}
}

/* Whatever it was: two gateways leave what one does. */
static void
test_tagged_twice(void **state)
{
	static const char *const prefixes[] = { "[SPAM] ", "X", "[WERB\xc3\x84] ",
		                                "=?x ", "\xe2\x82\xac" };
	static const char *const texts[] = {
		"Subject: a b\r\n\r\n",
		"subject :a\r\n b\r\n",
		"Subject:\r\n a\r\n\r\n",
		"Subject:\r\n\r\n",
		"Subject:",
		"Subject:=?UTF-8?Q?a?= b\r\n\r\n",
		"Subject:\r\n =?UTF-8?B?YQ==?=\r\n =?UTF-8?B?YQ==?=\r\n\r\n",
		"Subject: a\r\nSubject: [SPAM] b\r\n\r\n",
		"A: 1\r\n\r\ntext",
		"text\r\n",
		"",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++) {
			struct retouch *what = tags(prefixes[i]);
			char *once = pass(what, texts[k], strlen(texts[k]), 0);

			assert_string_not_equal(once, texts[k]);
			gives(what, once, once);
			free(once);
			retouch_free(what);
		}
}

/* Lines that become too long are folded; longest is the fold's blank and what was there. */
static void
test_tagged_long(void **state)
{
	struct retouch *what = tags("[SPAM] ");
	char text[2000], expected[2000], a[1800];

	(void)state;
	for (unsigned size = 60; size < 1700;
	     size = size < 70 ? size + 1 : size + 500) {
		memset(a, 'a', size);
		a[size] = '\0';
		snprintf(text, sizeof(text), "Subject: %s\r\n\r\n", a);
		snprintf(expected, sizeof(expected), "Subject: [SPAM]%s%s\r\n\r\n",
		         size + 17 > 78 ? "\r\n " : " ", a);
		gives(what, text, expected);
	}
	retouch_free(what);
}

static void
test_replaced(void **state)
{
	struct retouch *what = retouch_new();

	(void)state;
	assert_true(retouch_subject(what, "New"));
	gives(what, "Subject: a\r\n b\r\nA: 1\r\nSubject: c\r\n\r\n",
	      "Subject: New\r\nA: 1\r\n\r\n");
	gives(what, "A: 1\r\n\r\n", "Subject: New\r\nA: 1\r\n\r\n");
	assert_true(retouch_subject_prefix(what, "[SPAM] "));
	gives(what, "Subject: a\r\n\r\n", "Subject: [SPAM] New\r\n\r\n");
	assert_true(retouch_subject(what, "\xff\xe2\x82\xac\nb"));
	gives(what, "Subject: a\r\n\r\n",
	      "Subject: =?UTF-8?B?W1NQQU1dID/igqwgYg==?=\r\n\r\n");
	/* No character is divided: 13 of three bytes go into a word. */
	assert_true(retouch_subject_prefix(what, ""));
	assert_true(retouch_subject(what,
	                            "a\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac"
	                            "\u20ac\u20ac\u20ac\u20ac\u20ac"));
	gives(what, "\r\n",
	      "Subject: "
	      "=?UTF-8?B?YeKCrOKCrOKCrOKCrOKCrOKCrOKCrOKCrOKCrOKCrOKCrOKCrA==?=\r\n"
	      " =?UTF-8?B?4oKs?=\r\n\r\n");
	retouch_free(what);
}

static void
test_replaced_as_is(void **state)
{
	struct retouch *what = retouch_new();

	(void)state;
	assert_true(retouch_subject_prefix(what, "[SPAM] "));
	assert_true(retouch_subject_as_is(what, "=?UTF-8?Q?caf=C3=A9?=\r\nb"));
	gives(what, "Subject: a\r\nA: 1\r\n\r\n",
	      "Subject: =?UTF-8?Q?caf=C3=A9?= b\r\nA: 1\r\n\r\n");
	assert_true(retouch_subject_as_is(what, "\xe2\x82\xac"));
	gives(what, "\r\n", "Subject: =?UTF-8?B?4oKs?=\r\n\r\n");
	assert_true(retouch_subject(what, "b"));
	gives(what, "\r\n", "Subject: [SPAM] b\r\n\r\n");
	retouch_free(what);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_removed_name),
		cmocka_unit_test(test_bare),
		cmocka_unit_test(test_which),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_trusted),
		cmocka_unit_test(test_trusted_at_once),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_added),
		cmocka_unit_test(test_folded),
		cmocka_unit_test(test_tagged),
		cmocka_unit_test(test_tagged_words),
		cmocka_unit_test(test_tagged_already),
		cmocka_unit_test(test_tagged_twice),
		cmocka_unit_test(test_tagged_long),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_replaced_as_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
