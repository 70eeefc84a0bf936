#include "lookup.h"

#include "feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * The bytes are written out, for other programs know them: those of version 0x0402 are what
 * 1.4 sends, those of 0x0500 were made with the hmac module of Python.
 */
static const char plain_question[] =
	"52504844" /* RPHD */
	"55667788" /* cookie */
	"00000007" /* secret */
	"0402"
	"0001"
	"c0000207"
	"0a000009"
	"9c41"
	"23ef"
	"0000000000000000000000000000000000000000000000000000000000000000"
	"000000000000";
static const char plain_answer[] =
	"52504844"
	"55667788"
	"00000007"
	"0402"
	"0012"
	"c0000207"
	"c6336419"
	"9c41"
	"0019"
	"616e6e0000000000000000000000000000000000000000000000000000000000"
	"000000000000";
static const char keyed_question[] = "5250484411223344556677880500000100069c4123ef0000"
				     "20010db8000000000000000000000007"
				     "20010db8000000000000000000000009"
				     "0000000000000000000000000000000000000000000000000"
				     "0000000000000000000000000000000"
				     "e518cf08a83237f77c1daaac7fd0d1e6";
static const char keyed_answer[] = "5250484411223344556677880500001200069c4100190000"
				   "20010db8000000000000000000000007"
				   "20010db8000000000000000000000025"
				   "616e6e000000000000000000000000000000000000000000000"
				   "00000000000000000000000000000"
				   "0b231e5a4f93c657b53f952f29abf66c";
static const char keyed_four[] = "5250484411223344556677880500001200049c4100190000"
				 "c0000207000000000000000000000000"
				 "c6336419000000000000000000000000"
				 "31302e312e312e310000000000000000000000000000000000000"
				 "000000000000000000000000000"
				 "8ffc750191dbf8e26b05428a28420d49";

static size_t
bytes_of(const char *hex, unsigned char to[static LOOKUP_DATAGRAM_MAX])
{
	size_t size = 0;
	unsigned byte;

	for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
		to[size++] = (unsigned char)byte;
	return size;
}

static struct addr
at(const char *host, uint16_t port)
{
	struct addr addr;

	assert_true(addr_parse(&addr, host, port));
	return addr;
}

static struct lookup_secrets
secrets_of(uint32_t number, const char *key)
{
	struct lookup_secrets secrets = { .number = number };

	secrets.key.size = strlen(key);
	memcpy(secrets.key.bytes, key, strlen(key));
	return secrets;
}

#define KEY "0123456789abcdef-key"

static struct lookup_question
four(enum lookup_version version)
{
	return (struct lookup_question){ .version = version,
		                         .cookie = 0x1122334455667788,
		                         .client = at("192.0.2.7", 40001),
		                         .gateway = at("10.0.0.9", 9199) };
}

static struct lookup_question
six(void)
{
	return (struct lookup_question){ .version = LOOKUP_KEYED,
		                         .cookie = 0x1122334455667788,
		                         .client = at("2001:db8::7", 40001),
		                         .gateway = at("2001:db8::9", 9199) };
}

/* ---- datagrams ---------------------------------------------------------------------- */

static void
the_bytes_of_a_question_are_these(void **unused)
{
	struct lookup_secrets secrets = secrets_of(7, KEY);
	unsigned char made[LOOKUP_DATAGRAM_MAX], known[LOOKUP_DATAGRAM_MAX];
	struct lookup_question question = four(LOOKUP_PLAIN);

	(void)unused;
	assert_int_equal(bytes_of(plain_question, known), LOOKUP_PLAIN_SIZE);
	assert_int_equal(lookup_write_question(&question, &secrets, made),
	                 LOOKUP_PLAIN_SIZE);
	assert_memory_equal(made, known, LOOKUP_PLAIN_SIZE);
	question = six();
	assert_int_equal(bytes_of(keyed_question, known), LOOKUP_KEYED_SIZE);
	assert_int_equal(lookup_write_question(&question, &secrets, made),
	                 LOOKUP_KEYED_SIZE);
	assert_memory_equal(made, known, LOOKUP_KEYED_SIZE);
}

static void
a_question_is_read_as_it_was_written(void **unused)
{
	struct lookup_secrets secrets = secrets_of(7, KEY);
	const char *const texts[] = { plain_question, keyed_question };
	unsigned char bytes[LOOKUP_DATAGRAM_MAX];
	struct lookup_question question;

	(void)unused;
	for (int i = 0; i < 2; i++) {
		struct lookup_question want = i ? six() : four(LOOKUP_PLAIN);
		size_t size = bytes_of(texts[i], bytes);

		assert_int_equal(lookup_read_question(bytes, size, &secrets, &question),
		                 LOOKUP_FINE);
		assert_int_equal(question.version, want.version);
		assert_int_equal(question.cookie, i ? want.cookie : 0x55667788);
		assert_true(addr_equal(&question.client, &want.client));
		assert_true(addr_equal(&question.gateway, &want.gateway));
	}
}

static const struct {
	const char *hex;
	bool is_six;
	enum lookup_version version;
	const char *server, *ident;
} answers[] = {
	{ plain_answer, false, LOOKUP_PLAIN, "198.51.100.25", "ann" },
	{ keyed_answer, true, LOOKUP_KEYED, "2001:db8::25", "ann" },
	{ keyed_four, false, LOOKUP_KEYED, "198.51.100.25", "10.1.1.1" },
};

static void
answers_are_read_and_written(void **unused)
{
	struct lookup_secrets secrets = secrets_of(7, KEY);
	unsigned char bytes[LOOKUP_DATAGRAM_MAX], made[LOOKUP_DATAGRAM_MAX];

	(void)unused;
	for (size_t n = 0; n < sizeof(answers) / sizeof(answers[0]); n++) {
		struct lookup_question question = answers[n].is_six
		                                          ? six()
		                                          : four(answers[n].version);
		struct addr server = at(answers[n].server, 25);
		size_t size = bytes_of(answers[n].hex, bytes);
		struct lookup_answer answer;

		assert_int_equal(
			lookup_read_answer(bytes, size, &secrets, &question, &answer),
			LOOKUP_FINE);
		assert_int_equal(answer.result, LOOKUP_FOUND);
		assert_true(addr_equal(&answer.server, &server));
		assert_string_equal(answer.ident, answers[n].ident);
		assert_int_equal(
			lookup_write_answer(&question, &answer, &secrets, made), size);
		assert_memory_equal(made, bytes, size);
	}
}

/* Every bit counts: of a signed datagram, no other one is taken. */
static void
no_bit_of_a_keyed_datagram_can_be_turned(void **unused)
{
	struct lookup_secrets secrets = secrets_of(0, KEY);
	struct lookup_question question = six(), read;
	unsigned char bytes[LOOKUP_DATAGRAM_MAX];
	struct lookup_answer answer;

	(void)unused;
	for (size_t bit = 0; bit < 8 * LOOKUP_KEYED_SIZE; bit++) {
		size_t size = bytes_of(keyed_answer, bytes);

		bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
		if (lookup_read_answer(bytes, size, &secrets, &question, &answer) ==
		    LOOKUP_FINE)
			fail_msg("answer, bit %zu", bit);
		size = bytes_of(keyed_question, bytes);
		bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
		if (lookup_read_question(bytes, size, &secrets, &read) == LOOKUP_FINE)
			fail_msg("question, bit %zu", bit);
	}
}

static void
no_other_size_is_taken(void **unused)
{
	struct lookup_secrets secrets = secrets_of(7, KEY);
	const char *const texts[] = { plain_answer, keyed_answer };
	struct lookup_answer answer;

	(void)unused;
	for (int i = 0; i < 2; i++) {
		struct lookup_question question = i ? six() : four(LOOKUP_PLAIN), read;
		unsigned char known[LOOKUP_DATAGRAM_MAX];
		size_t right = bytes_of(texts[i], known);

		for (size_t size = 0; size <= LOOKUP_DATAGRAM_MAX + 1; size++) {
			unsigned char *bytes = calloc(1, size + 1);

			memcpy(bytes, known, size < right ? size : right);
			if (size != right &&
			    lookup_read_answer(bytes, size, &secrets, &question,
			                       &answer) != LOOKUP_MALFORMED)
				fail_msg("%zu bytes", size);
			assert_int_not_equal(
				lookup_read_question(bytes, size, &secrets, &read),
				LOOKUP_FINE);
			free(bytes);
		}
	}
}

static enum lookup_fault
read_plain_with(size_t where, unsigned char value, struct lookup_answer *answer)
{
	struct lookup_secrets secrets = secrets_of(7, "");
	struct lookup_question question = four(LOOKUP_PLAIN);
	unsigned char bytes[LOOKUP_DATAGRAM_MAX];
	size_t size = bytes_of(plain_answer, bytes);

	bytes[where] = value;
	return lookup_read_answer(bytes, size, &secrets, &question, answer);
}

static const struct {
	size_t where;
	unsigned char value;
	enum lookup_fault fault;
} turns[] = {
	{ 0, 'X', LOOKUP_MALFORMED }, /* magic */
	{ 4, 0xff, LOOKUP_STRANGE },  /* cookie, both ends of it */
	{ 7, 0xff, LOOKUP_STRANGE },
	{ 8, 0xff, LOOKUP_FORGED }, /* secret */
	{ 11, 0xff, LOOKUP_FORGED },
	{ 13, 0x03, LOOKUP_MALFORMED }, /* version */
	{ 12, 0x05, LOOKUP_MALFORMED },
	{ 15, 0x11, LOOKUP_MALFORMED }, /* flags: question, found */
	{ 15, 0x02, LOOKUP_MALFORMED }, /* answer, but which */
	{ 15, 0x32, LOOKUP_MALFORMED }, /* found and not */
	{ 15, 0x42, LOOKUP_MALFORMED }, /* 0x0402 does not fail */
	{ 14, 0x80, LOOKUP_MALFORMED },
	{ 16, 0xff, LOOKUP_FINE },     /* a helper may put the true client there */
	{ 27, 0x00, LOOKUP_UNUSABLE }, /* port 0 */
	{ 20, 0x7f, LOOKUP_UNUSABLE }, /* 127.51.100.25 */
	{ 20, 0xe0, LOOKUP_UNUSABLE }, /* 224.51.100.25 */
	{ 20, 0xff, LOOKUP_UNUSABLE },
	{ 20, 0x00, LOOKUP_UNUSABLE },
	{ 60, 0xff, LOOKUP_FINE }, /* mac: not used */
};

static void
a_plain_answer_is_taken_only_if_it_is_ours(void **unused)
{
	(void)unused;
	for (size_t n = 0; n < sizeof(turns) / sizeof(turns[0]); n++) {
		struct lookup_answer answer;

		if (read_plain_with(turns[n].where, turns[n].value, &answer) !=
		    turns[n].fault)
			fail_msg("byte %zu = %02x", turns[n].where, turns[n].value);
	}
}

static void
not_found_is_told_from_failed(void **unused)
{
	struct lookup_secrets secrets = secrets_of(7, KEY);
	unsigned char bytes[LOOKUP_DATAGRAM_MAX];

	(void)unused;
	for (int i = 0; i < 2; i++) {
		struct lookup_question question = i ? six() : four(LOOKUP_PLAIN);
		struct lookup_answer none = { .result = LOOKUP_NOT_FOUND }, read;
		size_t size = lookup_write_answer(&question, &none, &secrets, bytes);

		assert_int_equal(
			lookup_read_answer(bytes, size, &secrets, &question, &read),
			LOOKUP_FINE);
		assert_int_equal(read.result, LOOKUP_NOT_FOUND);
		none.result = LOOKUP_FAILED;
		size = lookup_write_answer(&question, &none, &secrets, bytes);
		assert_int_equal(size, i ? LOOKUP_KEYED_SIZE : 0);
		if (size > 0)
			assert_int_equal(lookup_read_answer(bytes, size, &secrets,
			                                    &question, &read),
			                 LOOKUP_FINE);
		if (size > 0)
			assert_int_equal(read.result, LOOKUP_FAILED);
	}
}

/* Who has the key asks for nothing less; who has none believes no code. */
static void
versions_do_not_mix(void **unused)
{
	struct lookup_secrets with = secrets_of(7, KEY), without = secrets_of(7, "");
	struct lookup_question question = four(LOOKUP_KEYED), read;
	unsigned char bytes[LOOKUP_DATAGRAM_MAX];
	struct lookup_answer answer;
	size_t size = bytes_of(plain_answer, bytes);

	(void)unused;
	assert_int_equal(lookup_read_answer(bytes, size, &with, &question, &answer),
	                 LOOKUP_MALFORMED);
	size = lookup_write_question(&question, &without, bytes);
	assert_int_equal(lookup_read_question(bytes, size, &without, &read),
	                 LOOKUP_FORGED);
	assert_true(lookup_can_carry(&question, &with));
	assert_false(lookup_can_carry(&question, &without));
	question = six();
	question.version = LOOKUP_PLAIN;
	assert_false(lookup_can_carry(&question, &with));
	question = four(LOOKUP_PLAIN);
	assert_true(lookup_can_carry(&question, &without));
	question.gateway = at("2001:db8::9", 9199);
	assert_false(lookup_can_carry(&question, &without));
}

/* ---- lines -------------------------------------------------------------------------- */

static const struct {
	const char *line;
	enum lookup_fault fault;
	bool is_six;
	enum lookup_result result;
	const char *server; /* NULL: it is not found */
	uint16_t port;
	const char *ident;
} lines[] = {
	{ "40001 , 9199 : ORIGIN : 198.51.100.25 : 25 : ann", LOOKUP_FINE, false,
	  LOOKUP_FOUND, "198.51.100.25", 25, "ann" },
	{ "40001,9199:ORIGIN:198.51.100.25:587:-", LOOKUP_FINE, false, LOOKUP_FOUND,
	  "198.51.100.25", 587, "" },
	{ "\t40001 ,\t9199 : ORIGIN : 198.51.100.25 : 25 :  ", LOOKUP_FINE, false,
	  LOOKUP_FOUND, "198.51.100.25", 25, "" },
	{ "40001 , 9199 : ORIGIN : [2001:db8::25] : 25 : 2001:db8::7", LOOKUP_FINE,
	  true, LOOKUP_FOUND, "2001:db8::25", 25, "2001:db8::7" },
	{ "40001 , 9199 : ORIGIN : 198.51.100.25 : 25 : a\"b c\x80%s", LOOKUP_FINE,
	  false, LOOKUP_FOUND, "198.51.100.25", 25, "a_b_c__s" },
	{ "40001 , 9199 : ERROR : NO-USER", LOOKUP_FINE, false, LOOKUP_NOT_FOUND, NULL,
	  0, "" },
	{ "40001 , 9199 : ERROR : UNKNOWN-ERROR", LOOKUP_FINE, false, LOOKUP_FAILED,
	  NULL, 0, "" },
	{ "40001 , 9199 : ERROR : HIDDEN-USER", LOOKUP_FINE, false, LOOKUP_FAILED, NULL,
	  0, "" },
	{ "40002 , 9199 : ORIGIN : 198.51.100.25 : 25 : ann", LOOKUP_STRANGE, false, 0,
	  NULL, 0, "" },
	{ "40001 , 9198 : ORIGIN : 198.51.100.25 : 25 : ann", LOOKUP_STRANGE, false, 0,
	  NULL, 0, "" },
	{ "40002 , 9199 : ERROR : NO-USER", LOOKUP_STRANGE, false, 0, NULL, 0, "" },
	/* Of another family, and what nobody can have dialled. */
	{ "40001 , 9199 : ORIGIN : [2001:db8::25] : 25 : -", LOOKUP_UNUSABLE, false, 0,
	  NULL, 0, "" },
	{ "40001 , 9199 : ORIGIN : 198.51.100.25 : 25 : -", LOOKUP_UNUSABLE, true, 0,
	  NULL, 0, "" },
	{ "40001 , 9199 : ORIGIN : [::1] : 25 : -", LOOKUP_UNUSABLE, true, 0, NULL, 0,
	  "" },
	{ "40001 , 9199 : ORIGIN : [::] : 25 : -", LOOKUP_UNUSABLE, true, 0, NULL, 0,
	  "" },
	{ "40001 , 9199 : ORIGIN : [fe80::1] : 25 : -", LOOKUP_UNUSABLE, true, 0, NULL,
	  0, "" },
	{ "40001 , 9199 : ORIGIN : [ff02::1] : 25 : -", LOOKUP_UNUSABLE, true, 0, NULL,
	  0, "" },
	{ "40001 , 9199 : ORIGIN : 127.0.0.1 : 25 : -", LOOKUP_UNUSABLE, false, 0, NULL,
	  0, "" },
	{ "40001 , 9199 : ORIGIN : [::ffff:127.0.0.1] : 25 : -", LOOKUP_UNUSABLE, true,
	  0, NULL, 0, "" },
	{ "", LOOKUP_MALFORMED, false, 0, NULL, 0, "" },
	{ "40001 , 9199", LOOKUP_MALFORMED, false, 0, NULL, 0, "" },
	{ "40001 , 9199 :", LOOKUP_MALFORMED, false, 0, NULL, 0, "" },
	{ "40001 , 9199 : USERID : UNIX : ann", LOOKUP_MALFORMED, false, 0, NULL, 0,
	  "" },
	{ "40001 , 9199 : ORIGINS : 198.51.100.25 : 25 : ann", LOOKUP_MALFORMED, false,
	  0, NULL, 0, "" },
	{ "40001 , 9199 : ORIGIN", LOOKUP_MALFORMED, false, 0, NULL, 0, "" },
	{ "40001 , 9199 : ORIGIN : 198.51.100.25 : 25", LOOKUP_MALFORMED, false, 0,
	  NULL, 0, "" },
	{ "40001 , 9199 : ORIGIN : 198.51.100.256 : 25 : -", LOOKUP_MALFORMED, false, 0,
	  NULL, 0, "" },
	{ "40001 , 9199 : ORIGIN : 198.51.100 : 25 : -", LOOKUP_MALFORMED, false, 0,
	  NULL, 0, "" },
	{ "40001 , 9199 : ORIGIN : mx.example : 25 : -", LOOKUP_MALFORMED, false, 0,
	  NULL, 0, "" },
	{ "40001 , 9199 : ORIGIN : 2001:db8::25 : 25 : -", LOOKUP_MALFORMED, true, 0,
	  NULL, 0, "" },
	{ "40001 , 9199 : ORIGIN : [fe80::1%lo] : 25 : -", LOOKUP_MALFORMED, true, 0,
	  NULL, 0, "" },
	{ "40001 , 9199 : ORIGIN : 198.51.100.25 : 0 : -", LOOKUP_MALFORMED, false, 0,
	  NULL, 0, "" },
	{ "40001 , 9199 : ORIGIN : 198.51.100.25 : 65561 : -", LOOKUP_MALFORMED, false,
	  0, NULL, 0, "" },
	{ "40001 , 9199 : ORIGIN : 198.51.100.25 : 4294967321 : -", LOOKUP_MALFORMED,
	  false, 0, NULL, 0, "" },
	{ "40001 , 9199 : ORIGIN : 198.51.100.25 : -25 : -", LOOKUP_MALFORMED, false, 0,
	  NULL, 0, "" },
	{ "+40001 , 9199 : ORIGIN : 198.51.100.25 : 25 : -", LOOKUP_MALFORMED, false, 0,
	  NULL, 0, "" },
	{ "0x9c41 , 9199 : ORIGIN : 198.51.100.25 : 25 : -", LOOKUP_MALFORMED, false, 0,
	  NULL, 0, "" },
	{ "105537 , 9199 : ORIGIN : 198.51.100.25 : 25 : -", LOOKUP_MALFORMED, false, 0,
	  NULL, 0, "" },
};

static void
a_line_is_followed_exactly_or_not_at_all(void **unused)
{
	(void)unused;
	for (size_t n = 0; n < sizeof(lines) / sizeof(lines[0]); n++) {
		struct lookup_question question = lines[n].is_six ? six()
		                                                  : four(LOOKUP_PLAIN);
		struct lookup_answer answer = { 0 };
		struct addr server;

		if (lookup_read_answer_line(lines[n].line, &question, &answer) !=
		    lines[n].fault)
			fail_msg("%s", lines[n].line);
		if (lines[n].fault != LOOKUP_FINE)
			continue;
		assert_int_equal(answer.result, lines[n].result);
		assert_string_equal(answer.ident, lines[n].ident);
		if (!lines[n].server)
			continue;
		server = at(lines[n].server, lines[n].port);
		if (!addr_equal(&answer.server, &server))
			fail_msg("%s", lines[n].line);
	}
}

/* What is written is read as it was meant; without its CRLF, as it is taken from a peer. */
static void
lines_are_read_as_they_were_written(void **unused)
{
	(void)unused;
	for (int i = 0; i < 8; i++) {
		struct lookup_question asked = i & 1 ? six() : four(LOOKUP_PLAIN);
		struct lookup_question question = { .client = at("203.0.113.1", 1),
			                            .gateway = at("203.0.113.2", 2) };
		struct lookup_answer told = {
			LOOKUP_FOUND,
			at(i & 1 ? "2001:db8::25" : "198.51.100.25", 25),
			{ 0 }
		};
		struct lookup_answer answer;
		char line[LOOKUP_LINE_SIZE];

		asked.names_hosts = i & 2;
		lookup_write_question_line(&asked, line);
		assert_non_null(strstr(line, "\r\n"));
		line[strlen(line) - 2] = '\0';
		assert_int_equal(lookup_read_question_line(line, &question),
		                 LOOKUP_FINE);
		assert_int_equal(question.names_hosts, asked.names_hosts);
		assert_int_equal(addr_port(&question.client), 40001);
		assert_int_equal(addr_port(&question.gateway), 9199);
		assert_int_equal(addr_same_host(&question.client, &asked.client),
		                 asked.names_hosts);
		assert_int_equal(addr_same_host(&question.gateway, &asked.gateway),
		                 asked.names_hosts);
		snprintf(told.ident, sizeof(told.ident), "%s", i & 4 ? "ann" : "");
		lookup_write_answer_line(&asked, &told, line);
		line[strlen(line) - 2] = '\0';
		assert_int_equal(lookup_read_answer_line(line, &asked, &answer),
		                 LOOKUP_FINE);
		assert_true(addr_equal(&answer.server, &told.server));
		assert_string_equal(answer.ident, told.ident);
	}
}

static void
lines_of_1_4_are_these(void **unused)
{
	struct lookup_question question = four(LOOKUP_PLAIN);
	struct lookup_answer answer = { LOOKUP_FOUND, at("198.51.100.25", 25), "" };
	char line[LOOKUP_LINE_SIZE];

	(void)unused;
	lookup_write_question_line(&question, line);
	assert_string_equal(line, "40001 , 9199\r\n");
	lookup_write_answer_line(&question, &answer, line);
	assert_string_equal(line, "40001 , 9199 : ORIGIN : 198.51.100.25 : 25 : -\r\n");
}

static void
odd_questions_are_refused(void **unused)
{
	static const char *const odd[] = {
		"",
		"40001",
		"40001 ,",
		", 9199",
		"40001 , 9199 x",
		"40001 , 9199 :",
		"40001 , 9199 : FOR",
		"40001 , 9199 : FOR : 192.0.2.7",
		"40001 , 9199 : FOR : 192.0.2.7 , 2001:db8::9",
		"40001 , 9199 : FOR : 192.0.2.7 , [2001:db8::9]",
		"40001 , 9199 : FOR : 192.0.2.7 , 10.0.0.9 x",
		"40001 , 9199 : FOR : [2001:db8::7 , [2001:db8::9]",
		"40001 , 9199 : ORIGIN : 192.0.2.7 , 10.0.0.9",
		"40001 9199",
		"0 , 9199",
	};

	(void)unused;
	for (size_t n = 0; n < sizeof(odd) / sizeof(odd[0]); n++) {
		struct lookup_question question = four(LOOKUP_PLAIN);

		if (lookup_read_question_line(odd[n], &question) != LOOKUP_MALFORMED)
			fail_msg("%s", odd[n]);
	}
}

/* ---- where a line ends -------------------------------------------------------------- */

static const struct {
	const char *bytes;
	size_t size;
	bool eof;
	enum lookup_step step;
	const char *line;
} ends[] = {
#define B(text) text, sizeof(text) - 1
	{ B("1 , 2\r\n"), false, LOOKUP_LINE, "1 , 2" },
	{ B("1 , 2\n"), false, LOOKUP_LINE, "1 , 2" },
	{ B("1 , 2\r\nmore"), false, LOOKUP_LINE, "1 , 2" },
	{ B("1 , 2"), false, LOOKUP_MORE, NULL },
	{ B("1 , 2"), true, LOOKUP_LINE, "1 , 2" },
	{ B(""), true, LOOKUP_MORE, NULL },
	{ B("\n"), false, LOOKUP_LINE, "" },
	{ B("1 ,\0 2\r\n"), false, LOOKUP_TOO_LONG, NULL },
};

static void
a_line_ends_where_it_ends(void **unused)
{
	(void)unused;
	for (size_t n = 0; n < sizeof(ends) / sizeof(ends[0]); n++)
		for (size_t way = 0; way < FEED_WAYS(ends[n].size); way++) {
			struct evbuffer *input = evbuffer_new();
			enum lookup_step step = LOOKUP_MORE;
			char line[LOOKUP_LINE_SIZE];
			size_t fed = 0;

			while (step == LOOKUP_MORE && fed < ends[n].size) {
				size_t next = feed_next(way, fed, ends[n].size);

				evbuffer_add(input, ends[n].bytes + fed, next);
				fed += next;
				step = lookup_take_line(
					input, ends[n].eof && fed == ends[n].size,
					line);
			}
			if (step != ends[n].step)
				fail_msg("row %zu way %zu: %d", n, way, step);
			if (ends[n].line)
				assert_string_equal(line, ends[n].line);
			evbuffer_free(input);
		}
}

static void
a_line_is_bounded(void **unused)
{
	char line[LOOKUP_LINE_SIZE];

	(void)unused;
	for (size_t size = LOOKUP_LINE_SIZE - 2; size < LOOKUP_LINE_SIZE + 2; size++) {
		struct evbuffer *input = evbuffer_new();

		for (size_t i = 0; i < size; i++)
			evbuffer_add(input, "x", 1);
		assert_int_equal(lookup_take_line(input, false, line),
		                 size < LOOKUP_LINE_SIZE ? LOOKUP_MORE
		                                         : LOOKUP_TOO_LONG);
		evbuffer_add(input, "\n", 1);
		assert_int_equal(lookup_take_line(input, false, line),
		                 size < LOOKUP_LINE_SIZE ? LOOKUP_LINE
		                                         : LOOKUP_TOO_LONG);
		evbuffer_free(input);
	}
}

static void
an_ident_is_harmless(void **unused)
{
	char ident[LOOKUP_IDENT_SIZE], longest[2 * LOOKUP_IDENT_SIZE];

	(void)unused;
	lookup_clean_ident(ident, "../../x\r\n\x1b[0m$(id)\0tail", 25);
	assert_string_equal(ident, ".._.._x____0m__id_");
	lookup_clean_ident(ident, "-", 1);
	assert_string_equal(ident, "");
	lookup_clean_ident(ident, "--", 2);
	assert_string_equal(ident, "--");
	memset(longest, 'a', sizeof(longest));
	lookup_clean_ident(ident, longest, sizeof(longest));
	assert_int_equal(strlen(ident), LOOKUP_IDENT_SIZE - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_bytes_of_a_question_are_these),
		cmocka_unit_test(a_question_is_read_as_it_was_written),
		cmocka_unit_test(answers_are_read_and_written),
		cmocka_unit_test(no_bit_of_a_keyed_datagram_can_be_turned),
		cmocka_unit_test(no_other_size_is_taken),
		cmocka_unit_test(a_plain_answer_is_taken_only_if_it_is_ours),
		cmocka_unit_test(not_found_is_told_from_failed),
		cmocka_unit_test(versions_do_not_mix),
		cmocka_unit_test(a_line_is_followed_exactly_or_not_at_all),
		cmocka_unit_test(lines_are_read_as_they_were_written),
		cmocka_unit_test(lines_of_1_4_are_these),
		cmocka_unit_test(odd_questions_are_refused),
		cmocka_unit_test(a_line_ends_where_it_ends),
		cmocka_unit_test(a_line_is_bounded),
		cmocka_unit_test(an_ident_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
