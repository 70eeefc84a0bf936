#include "log_internal.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- quoting ---------------------------------------------------------------------- */

/* echo -n ann@example.net | openssl md5 -binary | base64 */
#define ANN_HASHED "MKioNUizazpO98377Rr+Og=="

#define ROW(in, out) \
	{ \
		in, sizeof(in) - 1, out \
	}

static const struct {
	const char *in;
	size_t size;
	const char *out;
} quotes[] = {
	ROW("", "\"\""),
	ROW("word", "word"),
	ROW("<user@example.net>", "<user@example.net>"),
	ROW("!#$%&'()*+,-./:;?@[]^_`{|}~", "!#$%&'()*+,-./:;?@[]^_`{|}~"),
	ROW("two words", "\"two words\""),
	ROW(" ", "\" \""),
	ROW("\"", "\"\\\"\""),
	ROW("\\", "\"\\\\\""),
	ROW("a=b", "\"a=b\""),
	ROW("\r\n", "\"\\r\\n\""),
	ROW("\t", "\"\\t\""),
	ROW("\0", "\"\\x00\""),
	ROW("a\0b", "\"a\\x00b\""),
	ROW("\x01\x1b\x7f", "\"\\x01\\x1b\\x7f\""),
	ROW("\x80\xff", "\"\\x80\\xff\""),
	ROW("\xc3\xa9", "\"\\xc3\\xa9\""),
	ROW("1\nclose s=0 end=client-quit", "\"1\\nclose s=0 end=client-quit\""),
};

static void
a_value_is_bare_or_quoted(void **unused)
{
	char out[128];

	(void)unused;
	for (size_t n = 0; n < sizeof(quotes) / sizeof(quotes[0]); n++)
		assert_string_equal(
			log_quote(out, sizeof(out), quotes[n].in, quotes[n].size),
			quotes[n].out);
}

static unsigned char
unescape(const char **at)
{
	static const char names[] = "nrt\"\\", bytes[] = "\n\r\t\"\\";
	unsigned value;

	if (**at != '\\')
		return (unsigned char)*(*at)++;
	(*at)++;
	if (**at == 'x') {
		assert_int_equal(sscanf(*at, "x%2x", &value), 1);
		*at += 3;
		return (unsigned char)value;
	}
	assert_non_null(strchr(names, **at));
	return (unsigned char)bytes[strchr(names, *(*at)++) - names];
}

/* Undoes log_quote(); returns how many bytes stood there and whether they were cut. */
static size_t
unquote(const char *text, unsigned char *to, bool *cut)
{
	size_t size = strlen(text), got = 0;
	const char *end = text + size;

	*cut = false;
	if (text[0] != '"') {
		memcpy(to, text, size);
		return size;
	}
	assert_true(size >= 2 && end[-1] == '"');
	end--;
	text++;
	while (text < end)
		to[got++] = unescape(&text);
	assert_ptr_equal(text, end);
	if (got >= 3 && memcmp(to + got - 3, "...", 3) == 0) {
		*cut = true;
		got -= 3;
	}
	return got;
}

static void
every_byte_can_be_read_back(void **unused)
{
	unsigned char back[64];
	char out[64];
	bool cut;

	(void)unused;
	for (int byte = 0; byte < 256; byte++) {
		char in[3] = { 'x', (char)byte, 'y' };

		log_quote(out, sizeof(out), in, sizeof(in));
		for (const char *c = out; *c; c++)
			assert_in_range(*c, 0x20, 0x7e);
		assert_int_equal(unquote(out, back, &cut), sizeof(in));
		assert_memory_equal(back, in, sizeof(in));
	}
}

/* Random bytes into rooms of every size: what is there is the beginning, and what is
 * not there is marked. */
static void
an_overlong_value_is_cut_and_says_so(void **unused)
{
	unsigned char in[300], back[300];

	(void)unused;
	srand(1);
	for (size_t room = LOG_QUOTE_MIN; room <= 200; room++)
		for (int round = 0; round < 50; round++) {
			size_t size = (size_t)rand() % sizeof(in), got;
			int alphabet = round % 2 ? 256 : 26;
			char *out = malloc(room); /* ASan guards its end */
			bool cut;

			for (size_t i = 0; i < size; i++)
				in[i] = (unsigned char)('a' + rand() % alphabet);
			log_quote(out, room, (char *)in, size);
			got = unquote(out, back, &cut);
			assert_memory_equal(back, in, got);
			assert_true(cut ? got < size : got == size);
			free(out);
		}
}

static void
the_longest_bare_value_fits_exactly(void **unused)
{
	char out[32];

	(void)unused;
	assert_string_equal(log_quote(out, 32, "0123456789012345678901234567890", 31),
	                    "0123456789012345678901234567890");
	assert_string_equal(log_quote(out, 32, "01234567890123456789012345678901", 32),
	                    "\"01234567890123456789012...\"");
}

/* ---- addresses of mail ---------------------------------------------------------------- */

static const char *
shown(struct log_field field, bool hides)
{
	static char box[LOG_SHOWN_SIZE], text[LOG_SHOWN_SIZE];
	struct log_ctx ctx = { .hides_mailboxes = hides };
	struct log_field is = log_shown(&ctx, &field, box);

	assert_int_equal(is.kind, LOG_FIELD_TEXT);
	assert_true(is.text.size < sizeof(text));
	memcpy(text, is.text.at, is.text.size);
	text[is.text.size] = '\0';
	return text;
}

static void
an_address_is_whole_or_cut_or_hashed(void **unused)
{
	(void)unused;
	assert_string_equal(shown(log_mailbox("k", "ann@example.net", false, 0), true),
	                    "ann@example.net");
	assert_string_equal(
		shown(log_mailbox("k", "ann@example.net", false, 15), false),
		"ann@example.net");
	assert_string_equal(
		shown(log_mailbox("k", "ann@example.net", false, 14), false),
		"ann@example.ne...");
	assert_string_equal(shown(log_mailbox("k", "ann@example.net", true, 4), false),
	                    ANN_HASHED);
	assert_string_equal(shown(log_mailbox("k", "", true, 4), false), "");
}

static const struct {
	const char *text, *shown;
} sentences[] = {
	{ "no address", "no address" },
	{ "ann@x.test", "(hidden)" },
	{ "550 <ann@x.test>: who", "550 <(hidden)>: who" },
	{ "ann@x.test,bob@y.test", "(hidden),(hidden)" },
	{ "to:ann+a.b=c@x.test;", "to:(hidden);" },
	{ "<@relay.test:ann@x.test>", "<(hidden):(hidden)>" },
	{ "\"ann b\"@x.test went", "(hidden) went" },
	{ "a \"@x.test", "(hidden)" },
	{ "ann@[192.0.2.1] went", "(hidden) went" },
	{ "ann@[192.0.2.1 went", "(hidden) went" },
	{ "ann@x@y@", "(hidden)" },
	{ "@", "(hidden)" },
	{ "j\xc3\xb6rg@x.test", "(hidden)" },
	{ "for [ann.b]@x.test", "for (hidden)" },
	{ "ann(b)@x.test", "(hidden)" },
};

static void
addresses_in_texts_are_hidden(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++) {
		assert_string_equal(shown(log_text("k", sentences[i].text), true),
		                    sentences[i].shown);
		assert_string_equal(shown(log_text("k", sentences[i].text), false),
		                    sentences[i].text);
	}
}

/* Whatever it is that somebody has to say. */
static void
no_text_keeps_an_address(void **unused)
{
	static const char alphabet[] = "@@ab<>[]\"\" ,:\0\xc3";

	(void)unused;
	srand(2);
	for (int round = 0; round < 20000; round++) {
		size_t size = (size_t)rand() % (round % 100 ? 30 : LOG_SHOWN_SIZE - 1);
		char *text = malloc(size + 1); /* ASan guards its end */
		struct log_ctx ctx = { .hides_mailboxes = true };
		struct log_field field = log_bytes("k", text, size), is;
		char box[LOG_SHOWN_SIZE];

		for (size_t i = 0; i < size; i++)
			text[i] = alphabet[(size_t)rand() % (sizeof(alphabet) - 1)];
		is = log_shown(&ctx, &field, box);
		assert_true(is.text.size < LOG_SHOWN_SIZE);
		assert_null(memchr(is.text.at, '@', is.text.size));
		free(text);
	}
}

/* ---- lines to stderr ---------------------------------------------------------------- */

static char captured[65536];

static int
capture_begin(FILE **file)
{
	int before = dup(STDERR_FILENO);

	fflush(stderr);
	*file = tmpfile();
	assert_non_null(*file);
	dup2(fileno(*file), STDERR_FILENO);
	return before;
}

/* What was written to stderr since; in the static buffer. */
static const char *
capture_end(int before, FILE *file)
{
	size_t size;

	dup2(before, STDERR_FILENO);
	close(before);
	rewind(file);
	size = fread(captured, 1, sizeof(captured) - 1, file);
	captured[size] = '\0';
	fclose(file);
	return captured;
}

#define CAPTURE(statement) \
	do { \
		FILE *capture_file; \
		int capture_before = capture_begin(&capture_file); \
		statement; \
		capture_end(capture_before, capture_file); \
	} while (0)

/* As log_error() has them, in a language that is not English. */
static struct log_field
system_words(const char *text)
{
	struct log_field field = log_text("error", text);

	field.kind = LOG_FIELD_SYSTEM;
	return field;
}

static void
a_line_is_event_session_mail_and_fields(void **unused)
{
	struct log_ctx session = { .session = "0abcdefg" };
	struct log_ctx mail = { .session = "0abcdefg", .mail = 12 };
	struct log_ctx nothing = { 0 };
	struct addr server, none = { 0 };

	(void)unused;
	log_open(LOG_TO_STDERR, LOG_DEBUG, LOG_MAIL);
	assert_true(addr_parse(&server, "2001:db8::1", 25));
	CAPTURE({
		log_event(NULL, LOG_START_EVENT);
		log_event(&nothing, LOG_STOP_EVENT);
		log_event(&session, LOG_CLOSE_EVENT, log_text("end", "client-quit"),
		          log_text("left_out", NULL), log_number("in", -3),
		          log_real("seconds", 1.5));
		log_event(&mail, LOG_FOUND_EVENT, log_text("name", "a b\n"),
		          log_addr("server", &server), log_addr("client", &none),
		          log_bytes("raw", "a\0b", 3), log_bytes("empty", "", 0));
		log_event(NULL, LOG_TROUBLE_EVENT, log_error(ENOENT));
		log_event(NULL, LOG_FATAL_EVENT, system_words("b\xc5\x82\xc4\x85\x64"),
		          system_words("a\n\x7f\x01\""), log_text("own", "\xc5\x82"));
		log_event(NULL, LOG_REPLY_EVENT, log_number("least", INT64_MIN),
		          log_number("most", INT64_MAX), log_real("huge", 1e300));
	});
	assert_non_null(strstr(captured,
	                       "start\nstop\nclose s=0abcdefg end=client-quit "
	                       "in=-3 seconds=1.500\n"));
	assert_non_null(strstr(captured, "found s=0abcdefg t=12 name=\"a b\\n\" "
	                                 "server=[2001:db8::1]:25 client=- "
	                                 "raw=\"a\\x00b\" empty=\"\"\n"));
	assert_non_null(
		strstr(captured, "trouble error=\"No such file or directory\"\n"));
	assert_non_null(strstr(captured, "fatal error=\"b\xc5\x82\xc4\x85\x64\" "
	                                 "error=\"a\\n\\x7f\\x01\\\"\" "
	                                 "own=\"\\xc5\\x82\"\n"));
	assert_non_null(strstr(captured, "reply least=-9223372036854775808 "
	                                 "most=9223372036854775807 huge="));
}

static void
only_wanted_levels_are_written(void **unused)
{
	(void)unused;
	log_open(LOG_TO_STDERR, LOG_NOTICE, LOG_MAIL);
	assert_true(log_wanted(LOG_FATAL_EVENT));
	assert_true(log_wanted(LOG_FOUND_EVENT));
	assert_false(log_wanted(LOG_CLOSE_EVENT));
	assert_false(log_wanted(LOG_COMMAND_EVENT));
	CAPTURE({
		log_event(NULL, LOG_CLOSE_EVENT);
		log_event(NULL, LOG_FOUND_EVENT);
		log_event(NULL, LOG_STATE_EVENT);
	});
	assert_string_equal(captured, "found\n");
}

/* More than fits: whole fields are left out, the line stays one line. */
static void
an_overlong_line_stays_whole(void **unused)
{
	char big[2000], *last;

	(void)unused;
	log_open(LOG_TO_STDERR, LOG_DEBUG, LOG_MAIL);
	memset(big, '\n', sizeof(big));
	CAPTURE(log_event(
		NULL, LOG_MAIL_EVENT, log_bytes("a", big, sizeof(big)),
		log_bytes("b", big, sizeof(big)), log_bytes("c", big, sizeof(big)),
		log_bytes("d", big, sizeof(big)), log_bytes("e", big, sizeof(big)),
		log_bytes("f", big, sizeof(big)), log_bytes("g", big, sizeof(big)),
		log_bytes("h", big, sizeof(big)), log_bytes("i", big, sizeof(big)),
		log_text("z", "end")));
	assert_true(strlen(captured) <= 4096);
	assert_ptr_equal(strchr(captured, '\n'), captured + strlen(captured) - 1);
	last = strrchr(captured, ' ');
	assert_string_equal(last, " z=end\n");
	assert_memory_equal(last - 4, "...\"", 4);
}

static void
a_broken_stderr_is_counted(void **unused)
{
	uint64_t before = log_lost();
	int kept = dup(STDERR_FILENO);

	(void)unused;
	log_open(LOG_TO_STDERR, LOG_DEBUG, LOG_MAIL);
	close(STDERR_FILENO);
	log_event(NULL, LOG_START_EVENT);
	dup2(kept, STDERR_FILENO);
	close(kept);
	assert_int_equal(log_lost() - before, 1);
}

static void
the_journal_behind_stderr_is_recognised(void **unused)
{
	struct stat is;
	char text[64];

	(void)unused;
	assert_int_equal(fstat(STDERR_FILENO, &is), 0);
	unsetenv("JOURNAL_STREAM");
	assert_false(log_stderr_is_journal());
	setenv("JOURNAL_STREAM", "nonsense", 1);
	assert_false(log_stderr_is_journal());
	snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)is.st_dev,
	         (uintmax_t)is.st_ino);
	setenv("JOURNAL_STREAM", text, 1);
	assert_true(log_stderr_is_journal());
	snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)is.st_dev,
	         (uintmax_t)is.st_ino + 1);
	setenv("JOURNAL_STREAM", text, 1);
	assert_false(log_stderr_is_journal());
	unsetenv("JOURNAL_STREAM");
}

/* ---- datagrams ------------------------------------------------------------------------ */

struct logger {
	char directory[64], path[80];
	int fd;
};

static void
logger_listen(struct logger *logger)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", logger->path);
	logger->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(logger->fd, (struct sockaddr *)&at, sizeof(at)), 0);
}

static void
logger_close(struct logger *logger)
{
	close(logger->fd);
	unlink(logger->path);
}

static int
logger_setup(void **state)
{
	struct logger *logger = calloc(1, sizeof(*logger));

	strcpy(logger->directory, "/tmp/test_log.XXXXXX");
	assert_non_null(mkdtemp(logger->directory));
	snprintf(logger->path, sizeof(logger->path), "%s/log", logger->directory);
	logger_listen(logger);
	log_set_sockets(logger->path, logger->path);
	*state = logger;
	return 0;
}

static int
logger_teardown(void **state)
{
	struct logger *logger = *state;

	log_close();
	log_open(LOG_TO_STDERR, LOG_INFO, LOG_DAEMON);
	logger_close(logger);
	rmdir(logger->directory);
	free(logger);
	return 0;
}

/* The next packet, or NULL. */
static const char *
logger_read(struct logger *logger)
{
	ssize_t got = recv(logger->fd, captured, sizeof(captured) - 1, 0);

	if (got < 0)
		return NULL;
	captured[got] = '\0';
	assert_int_equal(strlen(captured), got);
	return captured;
}

static void
syslog_gets_priority_name_and_line(void **state)
{
	struct logger *logger = *state;
	char expected[128];

	log_open(LOG_TO_SYSLOG, LOG_INFO, LOG_MAIL);
	log_event(NULL, LOG_TROUBLE_EVENT, log_text("text", "a b"));
	snprintf(expected, sizeof(expected), "<%d>smtp-gated[%d]: trouble text=\"a b\"",
	         LOG_MAIL | LOG_WARNING, (int)getpid());
	assert_string_equal(logger_read(logger), expected);
	log_event(NULL, LOG_STATE_EVENT);
	assert_null(logger_read(logger));
}

static void
the_journal_gets_fields(void **state)
{
	struct log_ctx mail = { .session = "0abcdefg", .mail = 3 };

	log_open(LOG_TO_JOURNAL, LOG_INFO, LOG_MAIL);
	log_event(&mail, LOG_FOUND_EVENT, log_text("name", "Eicar-Test"),
	          log_text("two_words", "a b"), log_text("two_lines", "a\nb"),
	          log_number("size", 68), system_words("\xc5\x82 b"));
	assert_string_equal(logger_read(*state),
	                    "PRIORITY=5\nSYSLOG_FACILITY=2\n"
	                    "SYSLOG_IDENTIFIER=smtp-gated\n"
	                    "MESSAGE=found s=0abcdefg t=3 name=Eicar-Test "
	                    "two_words=\"a b\" two_lines=\"a\\nb\" size=68 "
	                    "error=\"\xc5\x82 b\"\n"
	                    "SESSION=0abcdefg\nMAIL=3\nNAME=Eicar-Test\n"
	                    "TWO_WORDS=a b\nTWO_LINES=\"a\\nb\"\nSIZE=68\n"
	                    "ERROR=\xc5\x82 b\n");
}

/* The journal ends a field at a newline: with one, a peer could write fields of its own. */
static void
a_peer_cannot_forge_fields_of_the_journal(void **state)
{
	char forged[] = "x\nPRIORITY=0\nMESSAGE=all is well\n_UID=0";
	char *line, *rest;
	int lines = 0;

	log_open(LOG_TO_JOURNAL, LOG_INFO, LOG_MAIL);
	log_event(NULL, LOG_FOUND_EVENT, log_bytes("name", forged, sizeof(forged)));
	assert_non_null(logger_read(*state));
	for (line = strtok_r(captured, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		assert_int_not_equal(line[0], '_');
		assert_string_not_equal(line, "PRIORITY=0");
		assert_string_not_equal(line, "MESSAGE=all is well");
		lines++;
	}
	assert_int_equal(lines, 5);
}

static void
a_full_logger_is_counted_and_does_not_block(void **state)
{
	struct logger *logger = *state;
	uint64_t before = log_lost();
	int sent = 0, got = 0;

	log_open(LOG_TO_SYSLOG, LOG_INFO, LOG_MAIL);
	alarm(30); /* a blocking send ends the test */
	while (log_lost() < before + 100) {
		log_event(NULL, LOG_START_EVENT, log_number("number", sent++));
		assert_true(sent < 1000000);
	}
	alarm(0);
	while (logger_read(logger))
		got++;
	assert_int_equal(got + 100, sent);

	log_event(NULL, LOG_STOP_EVENT); /* there is room again */
	assert_non_null(strstr(logger_read(logger), ": stop"));
	assert_int_equal(log_lost(), before + 100);
}

static void
a_restarted_logger_is_found_again(void **state)
{
	struct logger *logger = *state;
	uint64_t before = log_lost();

	log_open(LOG_TO_SYSLOG, LOG_INFO, LOG_MAIL);
	logger_close(logger);
	log_event(NULL, LOG_START_EVENT, log_number("number", 1));
	log_event(NULL, LOG_START_EVENT, log_number("number", 2));
	assert_int_equal(log_lost(), before + 2);
	logger_listen(logger);
	log_event(NULL, LOG_START_EVENT, log_number("number", 3));
	assert_non_null(strstr(logger_read(logger), "number=3"));
	assert_int_equal(log_lost(), before + 2);
}

static void
a_logger_may_start_after_us(void **state)
{
	struct logger *logger = *state;

	logger_close(logger);
	log_open(LOG_TO_JOURNAL, LOG_INFO, LOG_MAIL);
	logger_listen(logger);
	log_event(NULL, LOG_START_EVENT);
	assert_non_null(strstr(logger_read(logger), "MESSAGE=start\n"));
}

#define WITH_LOGGER(test) \
	cmocka_unit_test_setup_teardown(test, logger_setup, logger_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_is_bare_or_quoted),
		cmocka_unit_test(every_byte_can_be_read_back),
		cmocka_unit_test(an_overlong_value_is_cut_and_says_so),
		cmocka_unit_test(the_longest_bare_value_fits_exactly),
		cmocka_unit_test(an_address_is_whole_or_cut_or_hashed),
		cmocka_unit_test(addresses_in_texts_are_hidden),
		cmocka_unit_test(no_text_keeps_an_address),
		cmocka_unit_test(a_line_is_event_session_mail_and_fields),
		cmocka_unit_test(only_wanted_levels_are_written),
		cmocka_unit_test(an_overlong_line_stays_whole),
		cmocka_unit_test(a_broken_stderr_is_counted),
		cmocka_unit_test(the_journal_behind_stderr_is_recognised),
		WITH_LOGGER(syslog_gets_priority_name_and_line),
		WITH_LOGGER(the_journal_gets_fields),
		WITH_LOGGER(a_peer_cannot_forge_fields_of_the_journal),
		WITH_LOGGER(a_full_logger_is_counted_and_does_not_block),
		WITH_LOGGER(a_restarted_logger_is_found_again),
		WITH_LOGGER(a_logger_may_start_after_us),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
