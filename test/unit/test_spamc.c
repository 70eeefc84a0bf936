#include "spamc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OK   "SPAMD/1.1 0 EX_OK\r\n"
#define SPAM "Spam: True ; 15.0 / 5.0\r\n"

/* From a copy of that very size: the sanitizers see what reads beyond it. */
static enum spamc_step
read_copy(const char *text, size_t size, bool at_eof, struct spamc_answer *answer)
{
	char *copy = malloc(size > 0 ? size : 1);
	enum spamc_step step;

	memcpy(copy, text, size);
	step = spamc_read(copy, size, at_eof, answer);
	free(copy);
	return step;
}

/* Nothing is whole before it is. */
static void
read_all(const char *text, struct spamc_answer *answer)
{
	size_t size = strlen(text);

	for (size_t cut = 0; cut < size; cut++)
		assert_int_equal(read_copy(text, cut, false, answer), SPAMC_MORE);
	assert_int_equal(read_copy(text, size, false, answer), SPAMC_WHOLE);
	assert_int_equal(read_copy(text, size, true, answer), SPAMC_WHOLE);
}

static void
the_request_names_the_size(void **state)
{
	char to[SPAMC_REQUEST_SIZE];
	size_t size = spamc_request(to, 1234);

	(void)state;
	assert_int_equal(size, strlen(to));
	assert_string_equal(to, "SYMBOLS SPAMC/1.5\r\nContent-length: 1234\r\n\r\n");
	size = spamc_request(to, UINT64_MAX);
	assert_int_equal(size, strlen(to));
}

static void
what_spamd_says_is_read(void **state)
{
	static const char longer[] = OK SPAM "Content-length: 5\r\n\r\nGTUBE,X";
	struct spamc_answer answer;

	(void)state;
	read_all(OK "Content-length: 17\r\nSpam: True ; 1000.0 / 5.0\r\n\r\n"
	            "GTUBE,MSGID_SHORT",
	         &answer);
	assert_int_equal(answer.code, 0);
	assert_true(answer.is_spam);
	assert_true(answer.score == 1000.0 && answer.threshold == 5.0);
	assert_string_equal(answer.words, "EX_OK");
	assert_string_equal(answer.rules, "GTUBE,MSGID_SHORT");
	read_all("SPAMD/1.1 0 EX_OK\nSpam: False ; -0.1 / 5.0\nContent-length: 0\n\n",
	         &answer);
	assert_false(answer.is_spam);
	assert_true(answer.score == -0.1);
	assert_string_equal(answer.rules, "");
	assert_int_equal(read_copy(longer, strlen(longer), false, &answer),
	                 SPAMC_WHOLE);
	assert_string_equal(answer.rules, "GTUBE");
}

static void
scores_are_read(void **state)
{
	static const struct {
		const char *words;
		double score, threshold;
	} rows[] = {
		{ "True ; 15.0 / 5.0", 15, 5 },
		{ "True;15/5", 15, 5 },
		{ "true \t;\t15,25  /  5,5 \t", 15.25, 5.5 },
		{ "Yes ; 15.0625 / 5", 15.0625, 5 },
		{ "No ; -12.5 / -3", -12.5, -3 },
		{ "FALSE ; -1.5 / 5.0", -1.5, 5 },
		{ "False ; 0.000000001 / 999999999.0", 0.000000001, 999999999 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct spamc_answer answer;
		char text[200];

		snprintf(text, sizeof(text),
		         "spamd/1.5  0\tEX_OK\r\nCONTENT-LENGTH :  0 \r\nspam : %s\r\n"
		         "DidSet: local\r\n\r\n",
		         rows[i].words);
		read_all(text, &answer);
		assert_true(answer.score == rows[i].score);
		assert_true(answer.threshold == rows[i].threshold);
	}
}

/* It closes, or says no length: then its end is the end. */
static void
an_end_may_stand_for_a_length(void **state)
{
	static const char text[] = OK SPAM "\r\nGTUBE,\r\n X Y\001\r\n";
	struct spamc_answer answer;

	(void)state;
	assert_int_equal(read_copy(text, strlen(text), false, &answer), SPAMC_MORE);
	assert_int_equal(read_copy(text, strlen(text), true, &answer), SPAMC_WHOLE);
	assert_string_equal(answer.rules, "GTUBE,XY");
}

static void
a_code_is_enough(void **state)
{
	struct spamc_answer answer;

	(void)state;
	read_all("SPAMD/1.0 76 Bad header line: FOO\001\r\n", &answer);
	assert_int_equal(answer.code, 76);
	assert_string_equal(answer.words, "Bad header line: FOO?");
	read_all("SPAMD/1.1 79\n", &answer);
	assert_int_equal(answer.code, 79);
	assert_string_equal(answer.words, "");
}

static void
rules_are_cut_between_two(void **state)
{
	struct spamc_answer answer;
	char text[2000], body[1000] = "";

	(void)state;
	for (int i = 0; i < 60; i++)
		sprintf(body + strlen(body), "%sRULE_%03d", i > 0 ? "," : "", i);
	snprintf(text, sizeof(text), OK SPAM "Content-length: %zu\r\n\r\n%s",
	         strlen(body), body);
	read_all(text, &answer);
	assert_int_equal(strlen(answer.rules), 28 * 9 - 1);
	assert_string_equal(answer.rules + 27 * 9, "RULE_027");
}

static void
doubtful_answers_are_malformed(void **state)
{
	static const char *const rows[] = {
		"\r\n",
		"220 mail.example ESMTP\r\n",
		"HTTP/1.1 200 OK\r\n\r\n",
		"SPAMD 0 EX_OK\r\n",
		"SPAMD/1 0 EX_OK\r\n",
		"SPAMD/1.1\r\n",
		"SPAMD/1.1 \r\n",
		"SPAMD/1.1 EX_OK\r\n",
		"SPAMD/1.1 0EX_OK\r\n",
		"SPAMD/1.10 EX_OK\r\n",
		"SPAMD/1.1 -1 EX_OK\r\n",
		"SPAMD/1.1 1000 EX_OK\r\n",
		"SPAMD/100.1 0 EX_OK\r\n",
		OK "\r\n",
		OK "Content-length: 0\r\n\r\n",
		OK "Spam\r\n\r\n",
		OK "Spam:\r\n",
		OK "Spam: Maybe ; 1.0 / 5.0\r\n",
		OK "Spam: True\r\n",
		OK "Spam: True 15.0 / 5.0\r\n",
		OK "Spam: True ; 15.0\r\n",
		OK "Spam: True ; 15.0 /\r\n",
		OK "Spam: True ; / 5.0\r\n",
		OK "Spam: True ; nan / 5.0\r\n",
		OK "Spam: True ; inf / 5.0\r\n",
		OK "Spam: True ; 1e3 / 5.0\r\n",
		OK "Spam: True ; 0x10 / 5.0\r\n",
		OK "Spam: True ; 15. / 5.0\r\n",
		OK "Spam: True ; .5 / 5.0\r\n",
		OK "Spam: True ; 1.000,0 / 5.0\r\n",
		OK "Spam: True ; 15.0 / 5.0 x\r\n",
		OK "Spam: True ; 15.0 / 5.0 / 1\r\n",
		OK "Spam: True ; 9999999999 / 5.0\r\n",
		OK "Spam: True ; 1.9999999999 / 5.0\r\n",
		OK SPAM "Spam: False ; 0.0 / 5.0\r\n",
		OK SPAM "Content-length: 5\r\nContent-length: 5\r\n",
		OK SPAM "Content-length: x\r\n",
		OK SPAM "Content-length: -1\r\n",
		OK SPAM "Content-length: 1 2\r\n",
		OK SPAM "Content-length: 16385\r\n",
		OK SPAM "Content-length: 4294967296\r\n",
	};
	struct spamc_answer answer;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (read_copy(rows[i], strlen(rows[i]), false, &answer) !=
		    SPAMC_MALFORMED)
			fail_msg("taken: %s", rows[i]);
	assert_int_equal(read_copy("SPAMD/1.1 0 EX\0OK", 17, false, &answer),
	                 SPAMC_MALFORMED);
}

/* What is cut off is not taken for less. */
static void
an_end_in_the_middle_is_malformed(void **state)
{
	static const char text[] = OK SPAM "Content-length: 5\r\n\r\nGTUBE";
	struct spamc_answer answer;

	(void)state;
	for (size_t cut = 0; cut < sizeof(text) - 1; cut++)
		assert_int_equal(read_copy(text, cut, true, &answer), SPAMC_MALFORMED);
}

static void
size_is_limited(void **state)
{
	static char text[SPAMC_ANSWER_MAX + 1];
	struct spamc_answer answer;

	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		/* One endless line; endless lines; an endless body. */
		memset(text, 'x', sizeof(text));
		if (kind > 0)
			memcpy(text, OK, strlen(OK));
		for (size_t at = strlen(OK); kind == 1 && at + 10 <= sizeof(text);
		     at += 10)
			memcpy(text + at, "X: 456789\n", 10);
		if (kind == 2)
			memcpy(text + strlen(OK), SPAM "\r\n", strlen(SPAM) + 2);
		assert_int_equal(read_copy(text, SPAMC_ANSWER_MAX - 1, false, &answer),
		                 SPAMC_MORE);
		assert_int_equal(read_copy(text, SPAMC_ANSWER_MAX, false, &answer),
		                 SPAMC_MALFORMED);
		assert_int_equal(read_copy(text, SPAMC_ANSWER_MAX + 1, false, &answer),
		                 SPAMC_MALFORMED);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_request_names_the_size),
		cmocka_unit_test(what_spamd_says_is_read),
		cmocka_unit_test(scores_are_read),
		cmocka_unit_test(an_end_may_stand_for_a_length),
		cmocka_unit_test(a_code_is_enough),
		cmocka_unit_test(rules_are_cut_between_two),
		cmocka_unit_test(doubtful_answers_are_malformed),
		cmocka_unit_test(an_end_in_the_middle_is_malformed),
		cmocka_unit_test(size_is_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
