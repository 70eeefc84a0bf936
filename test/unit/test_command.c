#include "bytes.h"
#include "command.h"
#include "feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char line[COMMAND_AUTH_MAX + 1];

/* What is read from an input, one after the other: VERB[line]<argument>, LONG, BROKEN. */
static const struct {
	struct bytes input;
	bool opaque;
	const char *read;
} rows[] = {
	{ B("QUIT\r\n"), false, "QUIT[QUIT]<>" },
	{ B("quit\r\n"), false, "QUIT[quit]<>" },
	{ B("QUIT\n"), false, "QUIT[QUIT]<>" },
	{ B("QUIT"), false, "" },
	{ B("QUIT\r"), false, "" },
	{ B(""), false, "" },
	{ B("\r\n"), false, "?[]<>" },
	{ B("\n"), false, "?[]<>" },
	{ B("\n\r\n\n"), false, "?[]<> ?[]<> ?[]<>" },
	{ B("EHLO a\r\nMAIL FROM:<b>\r\n"), false,
	  "EHLO[EHLO a]<a> MAIL[MAIL FROM:<b>]<FROM:<b>>" },
	{ B("lhlo a\n"), false, "LHLO[lhlo a]<a>" },
	{ B("EHLO a\nRSET\nNO"), false, "EHLO[EHLO a]<a> RSET[RSET]<>" },
	{ B("EHLO \t a b \r\n"), false, "EHLO[EHLO \t a b ]<a b >" },
	{ B("DATA \r\n"), false, "DATA[DATA ]<>" },
	{ B("DATA\t\r\n"), false, "DATA[DATA\t]<>" },
	{ B("\t DATA\v\f\r\n"), false, "DATA[\t DATA\v\f]<>" },
	{ B("DATAX\r\n"), false, "?[DATAX]<>" },
	{ B("DAT\r\n"), false, "?[DAT]<>" },
	{ B("DATA:\r\n"), false, "?[DATA:]<>" },
	{ B("BDAT 5 LAST\r\n"), false, "BDAT[BDAT 5 LAST]<5 LAST>" },
	{ B("StArTtLs\r\n"), false, "STARTTLS[StArTtLs]<>" },
	{ B("XCLIENT ADDR=1.2.3.4\r\n"), false,
	  "XCLIENT[XCLIENT ADDR=1.2.3.4]<ADDR=1.2.3.4>" },
	{ B("\xc4\xb0QUIT\r\n"), false, "?[\xc4\xb0QUIT]<>" },
	{ B("VRFY \xc5\xbc\r\n"), false, "VRFY[VRFY \xc5\xbc]<\xc5\xbc>" },
	{ B("\x1b[2J %s\r\n"), false, "?[\x1b[2J %s]<%s>" },
	{ B("QUIT\0\r\n"), false, "BROKEN" },
	{ B("\0\r\nQUIT\r\n"), false, "BROKEN QUIT[QUIT]<>" },
	{ B("RSET\rDATA\r\n"), false, "BROKEN" },
	{ B("RSET\r\r\n"), false, "BROKEN" },
	{ B("\r\r\n"), false, "BROKEN" },
	{ B("AUTH\0x\r\n"), false, "BROKEN" },
	{ B("AUTH PLAIN\r\n"), false, "AUTH[AUTH PLAIN]<PLAIN>" },
	{ B("DATA\r\n"), true, "?[DATA]<>" },
	{ B("QUIT x\r\nRSET\r\n"), true, "?[QUIT x]<x> ?[RSET]<>" },
	{ B("*\r\n"), true, "?[*]<>" },
	{ B("\r\n"), true, "?[]<>" },
	{ B("YWJj\0\r\n"), true, "BROKEN" },
};

static void
note(char *read, size_t size, const char *words)
{
	size_t at = strlen(read);

	snprintf(read + at, size - at, "%s%s", at > 0 ? " " : "", words);
}

/* Takes what there is and notes it. */
static void
take(struct command_reader *reader, struct evbuffer *input, bool opaque, char *read,
     size_t size)
{
	static char words[3 * COMMAND_AUTH_MAX];

	for (;;) {
		struct command command;

		switch (command_read(reader, input, opaque, line, &command)) {
		case COMMAND_MORE:
			assert_int_equal(reader->searched, evbuffer_get_length(input));
			return;
		case COMMAND_LINE:
			assert_ptr_equal(command.line, line);
			assert_int_equal(command.size, strlen(line));
			snprintf(words, sizeof(words), "%s[%s]<%s>",
			         verb_name(command.verb), command.line,
			         command.argument);
			note(read, size, words);
			break;
		case COMMAND_TOO_LONG:
			note(read, size, "LONG");
			break;
		case COMMAND_BROKEN:
			note(read, size, "BROKEN");
			break;
		}
	}
}

static void
feed(struct bytes bytes, size_t way, bool opaque, char *read, size_t size)
{
	struct command_reader reader = { 0 };
	struct evbuffer *input = evbuffer_new();

	read[0] = '\0';
	for (size_t at = 0, next; at < bytes.size; at += next) {
		next = feed_next(way, at, bytes.size);
		assert_int_equal(evbuffer_add(input, bytes.at + at, next), 0);
		take(&reader, input, opaque, read, size);
		assert_true(evbuffer_get_length(input) < COMMAND_AUTH_MAX);
	}
	evbuffer_free(input);
}

static void
lines_are_read_the_same_however_they_arrive(void **unused)
{
	char read[8192];

	(void)unused;
	for (size_t n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
		for (size_t way = 0; way < FEED_WAYS(rows[n].input.size); way++) {
			feed(rows[n].input, way, rows[n].opaque, read, sizeof(read));
			if (strcmp(read, rows[n].read) != 0)
				fail_msg("row %zu, way %zu: read '%s', wanted '%s'", n,
				         way, read, rows[n].read);
		}
	}
}

static void
every_verb_is_known_by_its_name(void **unused)
{
	(void)unused;
	assert_string_equal(verb_name(VERB_UNKNOWN), "?");
	for (int verb = VERB_UNKNOWN + 1; verb < VERB_COUNT; verb++) {
		struct command command;
		const char *name = verb_name(verb);

		command_parse(&command, name, strlen(name));
		assert_int_equal(command.verb, verb);
		assert_string_equal(command.argument, "");
	}
}

/* A line with HEAD and END, filled up to SIZE bytes; and QUIT behind it. */
static struct bytes
long_line(const char *head, const char *end, size_t size)
{
	char *text = malloc(size + 6);

	assert_non_null(text);
	memset(text, 'x', size);
	memcpy(text, head, strlen(head));
	memcpy(text + size - strlen(end), end, strlen(end));
	memcpy(text + size, "QUIT\r\n", 6);
	return (struct bytes){ text, size + 6 };
}

static const struct {
	const char *head, *end;
	size_t size;
	bool opaque;
	bool fits;
} long_rows[] = {
	{ "MAIL ", "\r\n", COMMAND_MAX, false, true },
	{ "MAIL ", "\r\n", COMMAND_MAX + 1, false, false },
	{ "MAIL ", "\n", COMMAND_MAX, false, true },
	{ "MAIL ", "\n", COMMAND_MAX + 1, false, false },
	{ "MAIL ", "\r\n", (size_t)10 * COMMAND_AUTH_MAX, false, false },
	{ "", "\r\n", COMMAND_MAX + 1, false, false },
	{ "AUTH ", "\r\n", COMMAND_MAX + 1, false, true },
	{ "AUTH ", "\r\n", COMMAND_AUTH_MAX, false, true },
	{ "auth\t", "\r\n", COMMAND_AUTH_MAX, false, true },
	{ " AUTH ", "\r\n", COMMAND_AUTH_MAX, false, true },
	{ "AUTH ", "\r\n", COMMAND_AUTH_MAX + 1, false, false },
	{ "AUTHX ", "\r\n", COMMAND_MAX + 1, false, false },
	{ "AUTH", "\r\n", COMMAND_MAX + 1, false, false },
	{ "", "\r\n", COMMAND_AUTH_MAX, true, true },
	{ "", "\n", COMMAND_AUTH_MAX, true, true },
	{ "", "\r\n", COMMAND_AUTH_MAX + 1, true, false },
};

static void
check_long(size_t n, struct bytes bytes, size_t way)
{
	char *read = malloc((size_t)4 * COMMAND_AUTH_MAX);
	bool fits;

	assert_non_null(read);
	feed(bytes, way, long_rows[n].opaque, read, (size_t)4 * COMMAND_AUTH_MAX);
	fits = strncmp(read, "LONG ", 5) != 0;
	if (fits != long_rows[n].fits)
		fail_msg("row %zu, way %zu: read '%.40s'", n, way, read);
	if (!strstr(read, long_rows[n].opaque ? " ?[QUIT]<>" : " QUIT[QUIT]<>"))
		fail_msg("row %zu, way %zu: QUIT is lost", n, way);
	free(read);
}

static void
long_lines_end_where_the_limit_says(void **unused)
{
	(void)unused;
	for (size_t n = 0; n < sizeof(long_rows) / sizeof(long_rows[0]); n++) {
		struct bytes bytes = long_line(long_rows[n].head, long_rows[n].end,
		                               long_rows[n].size);
		size_t step = bytes.size < (size_t)3 * COMMAND_MAX ? 13 : 997;

		for (size_t way = 0; way < bytes.size; way += step)
			check_long(n, bytes, way);
		for (size_t way = bytes.size - 10; way < FEED_WAYS(bytes.size); way++)
			check_long(n, bytes, way);
		free((char *)bytes.at);
	}
}

static void
a_line_without_end_is_not_kept(void **unused)
{
	struct command_reader reader = { 0 };
	struct evbuffer *input = evbuffer_new();
	struct command command;
	static char flood[4096];

	(void)unused;
	memset(flood, 'x', sizeof(flood));
	for (int i = 0; i < 10000; i++) {
		assert_int_equal(evbuffer_add(input, flood, sizeof(flood)), 0);
		assert_int_equal(command_read(&reader, input, false, line, &command),
		                 COMMAND_MORE);
		assert_int_equal(evbuffer_get_length(input), 0);
	}
	assert_int_equal(evbuffer_add(input, "\nNOOP\n", 6), 0);
	assert_int_equal(command_read(&reader, input, false, line, &command),
	                 COMMAND_TOO_LONG);
	assert_int_equal(command_read(&reader, input, false, line, &command),
	                 COMMAND_LINE);
	assert_int_equal(command.verb, VERB_NOOP);
	evbuffer_free(input);
}

static void
the_path_is_found(void **unused)
{
	static const struct {
		const char *argument, *keyword, *path; /* NULL: not one */
	} paths[] = {
		{ "FROM:<a@b>", "FROM", "a@b" },
		{ "from:<a@b> SIZE=1", "FROM", "a@b" },
		{ "FROM:<>", "FROM", "" },
		{ "FROM:<> BODY=8BITMIME", "FROM", "" },
		{ "FROM: <a@b>", "FROM", "a@b" },
		{ "FROM : <a@b>", "FROM", "a@b" },
		{ "FROM:\t<a@b>\t", "FROM", "a@b" },
		{ "TO:<a@b>", "TO", "a@b" },
		{ "TO:<@x,@y:a@b>", "TO", "@x,@y:a@b" },
		{ "TO:<Postmaster>", "TO", "Postmaster" },
		{ "TO:<\"a>b\"@c>", "TO", "\"a>b\"@c" },
		{ "TO:<\"a b\"@c> X", "TO", "\"a b\"@c" },
		{ "TO:<\"a\\\">b\"@c>", "TO", "\"a\\\">b\"@c" },
		{ "TO:<\"a\\\\\"@c>", "TO", "\"a\\\\\"@c" },
		{ "TO:<a@[IPv6:::1]>", "TO", "a@[IPv6:::1]" },
		{ "TO:<\xc5\xbc@\xc5\xbc.pl> SMTPUTF8", "TO", "\xc5\xbc@\xc5\xbc.pl" },
		{ "FROM:a@b", "FROM", "a@b" },
		{ "FROM: a@b SIZE=1", "FROM", "a@b" },
		{ "FROM:\"a b\"@c X", "FROM", "\"a b\"@c" },
		{ "FROM:", "FROM", NULL },
		{ "FROM: ", "FROM", NULL },
		{ "FROM", "FROM", NULL },
		{ "", "FROM", NULL },
		{ "FRO", "FROM", NULL },
		{ "FROM<a@b>", "FROM", NULL },
		{ "FROMX:<a@b>", "FROM", NULL },
		{ "TO:<a@b>", "FROM", NULL },
		{ "<a@b>", "TO", NULL },
		{ "FROM:<a@b", "FROM", NULL },
		{ "FROM:<", "FROM", NULL },
		{ "FROM:<a@b>x", "FROM", NULL },
		{ "FROM:<a@b>>", "FROM", NULL },
		{ "FROM:<\"a@b>", "FROM", NULL },
		{ "FROM:<\"a@b\\", "FROM", NULL },
		{ "FROM:\"a b", "FROM", NULL },
	};

	(void)unused;
	for (size_t n = 0; n < sizeof(paths) / sizeof(paths[0]); n++) {
		char *argument = xstrdup(paths[n].argument);
		size_t size = 0;
		const char *path = command_path(argument, paths[n].keyword, &size);

		if (!path != !paths[n].path)
			fail_msg("'%s': %s", argument, path ? "a path" : "no path");
		if (path && (size != strlen(paths[n].path) ||
		             memcmp(path, paths[n].path, size) != 0))
			fail_msg("'%s': got '%.*s'", argument, (int)size, path);
		free(argument);
	}
}

static void
parameters_are_whole_words(void **unused)
{
	static const struct {
		const char *argument;
		bool has;
	} lines[] = {
		{ "FROM:<a@b> BODY=BINARYMIME", true },
		{ "FROM:<a@b> SIZE=1\tbody=BinaryMime  RET=HDRS", true },
		{ "FROM: <a@b> BODY=BINARYMIME", true },
		{ "FROM:<a@b>", false },
		{ "FROM:<a@b> BODY=BINARYMIMES", false },
		{ "FROM:<a@b> XBODY=BINARYMIME", false },
		{ "FROM:<a@b> BODY=8BITMIME", false },
		{ "", false },
	};

	(void)unused;
	for (size_t n = 0; n < sizeof(lines) / sizeof(lines[0]); n++)
		if (command_has_parameter(lines[n].argument, "BODY=BINARYMIME") !=
		    lines[n].has)
			fail_msg("%s", lines[n].argument);
}

static void
declared_sizes_are_taken_strictly(void **unused)
{
	static const struct {
		const char *argument;
		bool declared;
		uint64_t size;
	} lines[] = {
		{ "FROM:<a@b> SIZE=1000", true, 1000 },
		{ "FROM:<a@b> body=8bitmime size=0001000 AUTH=<>", true, 1000 },
		{ "FROM:<a@b> SIZE=0", true, 0 },
		{ "FROM:<> SIZE=18446744073709551615", true, UINT64_MAX },
		{ "FROM:<> SIZE=18446744073709551616", true, UINT64_MAX },
		{ "FROM:<> SIZE=99999999999999999999", true, UINT64_MAX },
		{ "FROM:<a@b> SIZE=5 SIZE=7 SIZE=6", true, 7 },
		{ "FROM:<> SIZE=000000000000000000001", false, 0 },
		{ "FROM:<a@b> SIZE=", false, 0 },
		{ "FROM:<a@b> SIZE", false, 0 },
		{ "FROM:<a@b> SIZE=-1", false, 0 },
		{ "FROM:<a@b> SIZE=+1", false, 0 },
		{ "FROM:<a@b> SIZE=0x10", false, 0 },
		{ "FROM:<a@b> SIZE=1e9", false, 0 },
		{ "FROM:<a@b> SIZE=1 SIZE=x", false, 0 },
		{ "FROM:<a@b> SIZE= 1", false, 0 },
		{ "FROM:<a@b> XSIZE=1", false, 0 },
		{ "FROM:<a@b>", false, 0 },
		{ "", false, 0 },
	};

	(void)unused;
	for (size_t n = 0; n < sizeof(lines) / sizeof(lines[0]); n++) {
		uint64_t size = 0;

		if (command_size(lines[n].argument, &size) != lines[n].declared ||
		    (lines[n].declared && size != lines[n].size))
			fail_msg("%s", lines[n].argument);
	}
}

static void
chunk_sizes_are_taken_strictly(void **unused)
{
	static const struct {
		const char *argument;
		bool good;
		uint64_t size;
		bool last, faulty;
	} chunks[] = {
		{ "0", true, 0, false, false },
		{ "5", true, 5, false, false },
		{ "5 LAST", true, 5, true, false },
		{ "0 last", true, 0, true, false },
		{ "86 \t LaSt", true, 86, true, false },
		{ "007", true, 7, false, false },
		{ "2147483648", true, 2147483648, false, false },
		{ "4294967296", true, 4294967296, false, false },
		{ "4611686018427387904", true, UINT64_C(1) << 62, false, false },
		{ "4611686018427387905", false, 0, false, false },
		{ "9223372036854775808", false, 0, false, false },
		{ "18446744073709551616", false, 0, false, false },
		{ "18446744073709551621", false, 0, false, false },
		{ "99999999999999999999999999999999", false, 0, false, false },
		{ "", false, 0, false, false },
		{ " ", false, 0, false, false },
		{ "LAST", false, 0, false, false },
		{ "-1", false, 0, false, false },
		{ "+1", false, 0, false, false },
		{ "0x10", false, 0, false, false },
		{ "1e3", false, 0, false, false },
		{ "5 ", true, 5, false, false },
		{ "5LAST", false, 0, false, false },
		{ "5 LAST ", true, 5, true, false },
		{ "5 LASTX", true, 5, false, true },
		{ "5 LAS", true, 5, false, true },
		{ "5 LAST LAST", true, 5, true, true },
		{ "5 6", true, 5, false, true },
		{ "5\vLAST", true, 5, true, false },
		{ "\xd9\xa3", false, 0, false, false },
		{ "5 \t\f", true, 5, false, false },
		{ "5\tlast\t", true, 5, true, false },
		{ "10 FIRST", true, 10, false, true },
		{ "3 LAST foo", true, 3, true, true },
		{ "3 foo LAST", true, 3, false, true },
		{ "3 LAST,", true, 3, false, true },
		{ "3,LAST", false, 0, false, false },
		{ "4611686018427387905 LAST", false, 0, false, false },
	};

	(void)unused;
	for (size_t n = 0; n < sizeof(chunks) / sizeof(chunks[0]); n++) {
		struct chunk chunk = { 0 };
		bool good = command_chunk(chunks[n].argument, &chunk);

		if (good != chunks[n].good)
			fail_msg("'%s': %d", chunks[n].argument, good);
		if (good &&
		    (chunk.size != chunks[n].size || chunk.last != chunks[n].last ||
		     chunk.faulty != chunks[n].faulty))
			fail_msg("'%s': %llu %d %d", chunks[n].argument,
			         (unsigned long long)chunk.size, chunk.last,
			         chunk.faulty);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_read_the_same_however_they_arrive),
		cmocka_unit_test(every_verb_is_known_by_its_name),
		cmocka_unit_test(long_lines_end_where_the_limit_says),
		cmocka_unit_test(a_line_without_end_is_not_kept),
		cmocka_unit_test(the_path_is_found),
		cmocka_unit_test(parameters_are_whole_words),
		cmocka_unit_test(declared_sizes_are_taken_strictly),
		cmocka_unit_test(chunk_sizes_are_taken_strictly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
