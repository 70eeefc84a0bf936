#include "header.h"

#include "body.h"
#include "feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct addr
addr(const char *text, uint16_t port)
{
	struct addr addr = { 0 };

	assert_true(addr_parse(&addr, text, port));
	return addr;
}

static struct header_facts
facts(void)
{
	return (struct header_facts){
		.name = "X-Nat-Received",
		.client = addr("192.0.2.7", 4711),
		.ident = "",
		.by = "gate.example",
		.id = "1795405860.kc3f8a2m.1",
		.abuse = "",
	};
}

static void
says(const struct header_facts *facts, const char *expected)
{
	char text[HEADER_MAX];
	size_t size = header_generic(facts, text);

	assert_int_equal(size, strlen(text));
	assert_string_equal(text, expected);
}

/* ---- what it says ---------------------------------------------------------------- */

static void
test_generic(void **state)
{
	struct header_facts of = facts();

	(void)state;
	says(&of, "X-Nat-Received: from [192.0.2.7]:4711 [ident-empty]\r\n"
	          "\tby gate.example with TPROXY id 1795405860.kc3f8a2m.1\r\n");
	of.ident = "10.1.2.3";
	of.abuse = "abuse@example.org";
	says(&of, "X-Nat-Received: from [192.0.2.7]:4711 [ident 10.1.2.3]\r\n"
	          "\tby gate.example with TPROXY id 1795405860.kc3f8a2m.1\r\n"
	          "\tabuse-to abuse@example.org\r\n");
}

/* IPv6 as RFC 5321 writes it; the scope of a link-local address means nothing elsewhere. */
static void
test_addresses(void **state)
{
	struct header_facts of = facts();
	char text[HEADER_MAX];

	(void)state;
	of.client = addr("2001:db8::7", 65535);
	says(&of, "X-Nat-Received: from [IPv6:2001:db8::7]:65535 [ident-empty]\r\n"
	          "\tby gate.example with TPROXY id 1795405860.kc3f8a2m.1\r\n");
	of.client = addr("fe80::1%lo", 1);
	says(&of, "X-Nat-Received: from [IPv6:fe80::1]:1 [ident-empty]\r\n"
	          "\tby gate.example with TPROXY id 1795405860.kc3f8a2m.1\r\n");
	header_ip_only(&of, text);
	assert_string_equal(text, "X-Nat-Received: fe80::1\r\n");
	of.client = addr("::ffff:192.0.2.7", 2);
	assert_int_equal(header_ip_only(&of, text), 27);
	assert_string_equal(text, "X-Nat-Received: 192.0.2.7\r\n");
}

static void
test_names(void **state)
{
	static const char *const good[] = { "X", "X-Nat-Received", ".x", "a_b", "1",
		                            "~!" };
	static const char *const bad[] = { "",     "a b",  "a:",    ":",     "a\r\nb",
		                           "a\tb", "\xe4", "a\x7f", "\x01a", " a" };
	char name[HEADER_NAME_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(header_is_name(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(header_is_name(bad[i]));
	memset(name, 'a', sizeof(name));
	name[HEADER_NAME_MAX + 1] = '\0';
	assert_false(header_is_name(name));
	name[HEADER_NAME_MAX] = '\0';
	assert_true(header_is_name(name));
}

/* An ident comes from a helper, who has it from whomever. */
static void
test_foreign_values(void **state)
{
	struct header_facts of = facts();

	(void)state;
	of.ident = "a] [ident b";
	of.by = "gate id 1\r\nX-Evil: yes";
	of.id = "\xff\x00";
	of.abuse = "\r\n\r\nevil\x1b[0m  abuse@example.org ";
	says(&of, "X-Nat-Received: from [192.0.2.7]:4711 [ident a???ident?b]\r\n"
	          "\tby gate?id?1??X-Evil:?yes with TPROXY id ?\r\n"
	          "\tabuse-to ????evil?[0m abuse@example.org\r\n");
	of = facts();
	of.abuse = "   ";
	says(&of, "X-Nat-Received: from [192.0.2.7]:4711 [ident-empty]\r\n"
	          "\tby gate.example with TPROXY id 1795405860.kc3f8a2m.1\r\n");
}

static void
test_folded(void **state)
{
	struct header_facts of = facts();

	(void)state;
	of.client = addr("2001:db8:1111:2222:3333:4444:5555:6666", 65535);
	of.ident = "somebody";
	of.by = "a-gateway-with-a-rather-long-name.in-a-domain.example.org";
	of.abuse = "write to abuse@example.org, or call +00 000 000000 at any time of "
		   "the day or the night";
	says(&of, "X-Nat-Received: from "
	          "[IPv6:2001:db8:1111:2222:3333:4444:5555:6666]:65535\r\n"
	          "\t[ident somebody]\r\n"
	          "\tby a-gateway-with-a-rather-long-name.in-a-domain.example.org with "
	          "TPROXY id\r\n"
	          "\t1795405860.kc3f8a2m.1\r\n"
	          "\tabuse-to write to abuse@example.org, or call +00 000 000000 at "
	          "any time "
	          "of\r\n"
	          "\tthe day or the night\r\n");
}

/* One field, whatever the values are: nothing of them begins a line. */
static void
is_sound(const char *text, size_t size, const char *name)
{
	const char *line = text, *end;

	assert_int_equal(strlen(text), size);
	assert_true(size < HEADER_MAX);
	assert_memory_equal(text, name, strlen(name));
	assert_memory_equal(text + strlen(name), ":", 1);
	for (; *line; line = end + 2) {
		size_t length;

		end = strstr(line, "\r\n");
		assert_non_null(end);
		length = (size_t)(end - line);
		for (const char *at = line; at < end; at++)
			assert_true((*at >= ' ' && *at <= '~') ||
			            (*at == '\t' && at == line && line > text));
		assert_true((*line == '\t') == (line > text));
		assert_true(length > 1 && line[1] != ' ');
		assert_true(length <= HEADER_LINE_MAX);
		if (length > HEADER_LINE) /* only what cannot be divided */
			assert_true(line > text && !memchr(line, ' ', length));
	}
}

static const char *
random_value(char *value, size_t most)
{
	static const char letters[] = "\r\n\t \x01\x7f\xff]:[ab.@";
	size_t size = (size_t)rand() % (most + 1);

	for (size_t i = 0; i < size; i++)
		value[i] = letters[(size_t)rand() % (sizeof(letters) - 1)];
	if (rand() % 4 == 0)
		memset(value, 'x', size);
	value[size] = '\0';
	return value;
}

/* TEXT, with zeros in place of some characters and else the same; of two mails that differ
 * in port and id alone, the same. */
static void
is_blanked(const struct header_facts *facts, const char *text)
{
	struct header_facts of = *facts;
	char blank[HEADER_MAX], other[HEADER_MAX], id[128];

	of.blank = true;
	assert_int_equal(header_generic(&of, blank), strlen(text));
	for (size_t i = 0; text[i]; i++)
		assert_true(blank[i] == text[i] || (blank[i] == '0' && text[i] > ' '));
	memset(id, 'x', sizeof(id));
	id[strlen(facts->id)] = '\0';
	of.id = id;
	of.client = addr("192.0.2.7", 9999);
	header_generic(&of, other);
	assert_string_equal(blank, other);
}

static void
test_blank(void **state)
{
	struct header_facts of = facts();
	char text[HEADER_MAX];

	(void)state;
	header_generic(&of, text);
	is_blanked(&of, text);
	of.blank = true;
	says(&of, "X-Nat-Received: from [192.0.2.7]:0000 [ident-empty]\r\n"
	          "\tby gate.example with TPROXY id 000000000000000000000\r\n");
	of.client = addr("2001:db8::1", 40711);
	of.ident = "4711";
	says(&of, "X-Nat-Received: from [IPv6:2001:db8::1]:00000 [ident 4711]\r\n"
	          "\tby gate.example with TPROXY id 000000000000000000000\r\n");
}

static void
test_any_values(void **state)
{
	char ident[64], by[1001], id[64], abuse[1001], text[HEADER_MAX];

	(void)state;
	srand(20261123);
	for (int i = 0; i < 20000; i++) {
		struct header_facts of = facts();
		size_t most = (size_t[]){ 10, 80, 1000 }[i % 3];

		of.ident = random_value(ident, 60);
		of.by = random_value(by, most);
		of.id = random_value(id, 60);
		of.abuse = random_value(abuse, most);
		is_sound(text, header_generic(&of, text), of.name);
		is_blanked(&of, text);
	}
}

/* ---- where it stands ------------------------------------------------------------- */

#define H "X-Our: header\r\n\twith two lines\r\n"

/* As a session does it: WIRE comes in pieces, is decoded, and passed on as far as it may
 * be.  The result is malloc'd. */
static char *
place(const char *wire, size_t size, size_t way, enum body_newlines newlines,
      size_t *placed)
{
	struct evbuffer *input = evbuffer_new(), *message = evbuffer_new();
	struct evbuffer *passed = evbuffer_new();
	struct body_decoder dec = { .newlines = newlines };
	struct header_place place = { 0 };
	size_t header_at = 0;
	int was;
	bool all = false;
	char *text;

	for (size_t at = 0, next; at < size && !all; at += next) {
		next = feed_next(way, at, size);
		evbuffer_add(input, wire + at, next);
		all = body_decode(&dec, input, message) == BODY_END;
		was = place.state;
		if (!header_put(&place, H, message, all)) {
			assert_false(all);
			continue;
		}
		if (was != HEADER_PLACED && place.state == HEADER_PLACED)
			header_at = evbuffer_get_length(passed) + place.at;
		evbuffer_add_buffer(passed, message);
	}
	assert_true(all);
	assert_int_equal(place.state, HEADER_PLACED);
	*placed = evbuffer_get_length(passed);
	text = calloc(1, *placed + 1);
	evbuffer_copyout(passed, text, *placed);
	assert_memory_equal(text + header_at, H, strlen(H));
	evbuffer_free(input);
	evbuffer_free(message);
	evbuffer_free(passed);
	return text;
}

struct beginning {
	const char *message;
	size_t size;
	const char *expected;
	size_t expected_size;
};

#define ROW(message, expected) \
	{ \
		message, sizeof(message) - 1, expected, sizeof(expected) - 1 \
	}

static void
all_ways(const struct beginning *row, enum body_newlines newlines)
{
	char wire[256];
	size_t size, wire_size = row->size + strlen(".\r\n");

	memcpy(wire, row->message, row->size);
	memcpy(wire + row->size, ".\r\n", 3);
	for (size_t way = 0; way < FEED_WAYS(wire_size); way++) {
		char *text = place(wire, wire_size, way, newlines, &size);

		if (size != row->expected_size ||
		    memcmp(text, row->expected, size) != 0)
			fail_msg("message \"%s\", cut at %zu: \"%s\", not \"%s\"",
			         row->message, way, text, row->expected);
		free(text);
	}
}

/* However a message begins, the server's view of it is what it would be without us. */
static void
test_beginnings(void **state)
{
	static const struct beginning rows[] = {
		ROW("Subject: x\r\n\r\nbody\r\n", H "Subject: x\r\n\r\nbody\r\n"),
		ROW("", H),            /* nothing at all */
		ROW("\r\n", H "\r\n"), /* no header */
		ROW("\r\nbody\r\n", H "\r\nbody\r\n"),
		ROW("no header\r\n", H "no header\r\n"),
		ROW(": x\r\n", H ": x\r\n"),
		/* what would go on our header */
		ROW(" evil\r\nSubject: x\r\n", H "\r\n evil\r\nSubject: x\r\n"),
		ROW("\tevil\r\n", H "\r\n\tevil\r\n"),
		ROW(" \r\nSubject: x\r\n", H "\r\n \r\nSubject: x\r\n"),
		/* ... if somebody drops the first byte, or takes it for a blank */
		ROW("\0 evil\r\n", H "\r\n\0 evil\r\n"),
		ROW("\0Subject: x\r\n", H "\r\n\0Subject: x\r\n"),
		ROW("\v evil\r\n", H "\r\n\v evil\r\n"),
		ROW("\f evil\r\n", H "\r\n\f evil\r\n"),
		ROW("\x1b evil\r\n", H "\r\n\x1b evil\r\n"),
		ROW("\x7f evil\r\n", H "\x7f evil\r\n"),
		ROW("\xef\xbb\xbfSubject: x\r\n", H "\xef\xbb\xbfSubject: x\r\n"),
		/* lines of a mailbox */
		ROW("From ann Mon Jan\r\nSubject: x\r\n",
		    "From ann Mon Jan\r\n" H "Subject: x\r\n"),
		ROW(">From ann\r\nSubject: x\r\n", ">From ann\r\n" H "Subject: x\r\n"),
		ROW("From \r\n", "From \r\n" H),
		ROW("From ann\r\n\r\nbody\r\n", "From ann\r\n" H "\r\nbody\r\n"),
		ROW("From ann\r\n evil\r\n", "From ann\r\n" H "\r\n evil\r\n"),
		ROW("From ann\r\nFrom bob\r\n", "From ann\r\n" H "From bob\r\n"),
		/* none of a mailbox */
		ROW("From: ann\r\n", H "From: ann\r\n"),
		ROW(">From: ann\r\n", H ">From: ann\r\n"),
		ROW(">>From ann\r\n", H ">>From ann\r\n"),
		ROW("From\r\n", H "From\r\n"),
		ROW(" From ann\r\n", H "\r\n From ann\r\n"),
		ROW("from ann\r\n", H "from ann\r\n"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		all_ways(&rows[i], BODY_NORMALISE);
		all_ways(&rows[i], BODY_PASS);
	}
}

/* With bare_newline = pass, a CR or LF alone may be the first byte. */
static void
test_bare_newlines(void **state)
{
	static const struct beginning rows[] = {
		ROW("\n evil\r\n", H "\r\n\n evil\r\n"),
		ROW("\r evil\r\n", H "\r\n\r evil\r\n"),
		ROW("\r\r\n evil\r\n", H "\r\n\r\r\n evil\r\n"),
		ROW("\r\r\r\n evil\r\n", H "\r\n\r\r\r\n evil\r\n"),
		ROW("From a\n evil\r\nx\r\n", "From a\n evil\r\n" H "x\r\n"),
		ROW("From a\r\r\nx\r\n", "From a\r\r\n" H "x\r\n"),
		ROW("From a\r\n\rx\r\n", "From a\r\n" H "\r\n\rx\r\n"),
	};
	static const struct beginning normalised[] = {
		ROW("\n evil\r\n", H "\r\n evil\r\n"),
		ROW("\r evil\r\n", H "\r\n evil\r\n"),
		ROW("From a\nx\r\n", "From a\r\n" H "x\r\n"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		all_ways(&rows[i], BODY_PASS);
	for (size_t i = 0; i < sizeof(normalised) / sizeof(normalised[0]); i++)
		all_ways(&normalised[i], BODY_NORMALISE);
}

/* Nothing waits but what may still become something else. */
static void
test_passes_at_once(void **state)
{
	struct evbuffer *message = evbuffer_new();
	struct header_place place = { 0 };

	(void)state;
	evbuffer_add(message, "From ann, and so on", 19);
	assert_true(header_put(&place, H, message, false));
	assert_int_equal(evbuffer_get_length(message), 19);
	evbuffer_drain(message, 19);
	evbuffer_add(message, " and on", 7);
	assert_true(header_put(&place, H, message, false));
	evbuffer_drain(message, 7);
	evbuffer_add(message, "\r\n", 2);
	assert_false(header_put(&place, H, message, false));
	evbuffer_add(message, "S", 1);
	assert_true(header_put(&place, H, message, false));
	assert_int_equal(evbuffer_get_length(message), 3 + strlen(H));

	/* It may have been stored in vain, and come again. */
	assert_true(header_put(&place, H, message, false));
	assert_int_equal(evbuffer_get_length(message), 3 + strlen(H));
	evbuffer_free(message);
}

/* No decoder leaves a last line without its end, but that is not for us to know. */
static void
test_no_line_end(void **state)
{
	static const char *const rows[][2] = {
		{ "", H },
		{ "\r", H "\r\n\r" },
		{ "From", H "From" },
		{ ">", H ">" },
		{ "From ann", "From ann\r\n" H },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct evbuffer *message = evbuffer_new();
		struct header_place place = { 0 };
		size_t size = strlen(rows[i][1]);

		evbuffer_add(message, rows[i][0], strlen(rows[i][0]));
		assert_true(header_put(&place, H, message, true));
		assert_int_equal(evbuffer_get_length(message), size);
		assert_memory_equal(evbuffer_pullup(message, -1), rows[i][1], size);
		evbuffer_free(message);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_generic),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_foreign_values),
		cmocka_unit_test(test_folded),
		cmocka_unit_test(test_blank),
		cmocka_unit_test(test_any_values),
		cmocka_unit_test(test_beginnings),
		cmocka_unit_test(test_bare_newlines),
		cmocka_unit_test(test_passes_at_once),
		cmocka_unit_test(test_no_line_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
