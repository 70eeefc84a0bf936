#include "rspamd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static enum rspamd_result
read_text(const char *text, struct rspamd_answer *answer)
{
	size_t size = strlen(text);
	char *copy = malloc(size > 0 ? size : 1);
	enum rspamd_result result;

	memcpy(copy, text, size);
	result = rspamd_read(copy, size, answer, NULL);
	free(copy);
	return result;
}

static void
what_rspamd_says_is_read(void **state)
{
	struct rspamd_answer answer;

	(void)state;
	assert_int_equal(
		read_text(
			"{\"is_skipped\":false,\"score\":7.25,\"required_score\":15.0,"
			"\"action\":\"add header\",\"symbols\":{"
			"\"LIGHT\":{\"name\":\"LIGHT\",\"score\":0.25},"
			"\"HAM\":{\"name\":\"HAM\",\"score\":-1.0},"
			"\"NOTHING\":{\"name\":\"NOTHING\",\"score\":0.0},"
			"\"HEAVY\":{\"name\":\"HEAVY\",\"score\":8,\"options\":[\"x\"]}"
			"},"
			"\"messages\":{},\"message-id\":\"1@x\"}",
			&answer),
		RSPAMD_ANSWERED);
	assert_int_equal(answer.action, RSPAMD_ADD_HEADER);
	assert_true(answer.score == 7.25 && answer.required == 15);
	assert_string_equal(answer.symbols, "HEAVY,LIGHT");
	assert_string_equal(answer.words, "");
}

/* Of rspamd's own test pattern. */
static void
what_weighs_nothing_is_named_if_it_is_all(void **state)
{
	struct rspamd_answer answer;

	(void)state;
	assert_int_equal(read_text("{\"score\":15,\"action\":\"reject\","
	                           "\"symbols\":{\"GTUBE\":{\"score\":0.0}}}",
	                           &answer),
	                 RSPAMD_ANSWERED);
	assert_int_equal(answer.action, RSPAMD_REJECT);
	assert_string_equal(answer.symbols, "GTUBE");
	assert_true(answer.required == 0);
}

static void
each_action_is_known(void **state)
{
	(void)state;
	for (enum rspamd_action action = 0; action <= RSPAMD_DISCARD; action++) {
		struct rspamd_answer answer;
		char text[100];

		snprintf(text, sizeof(text), "{\"score\":-1.5,\"action\":\"%s\"}",
		         rspamd_action_word(action));
		assert_int_equal(read_text(text, &answer), RSPAMD_ANSWERED);
		assert_int_equal(answer.action, action);
		assert_true(answer.score == -1.5);
		assert_string_equal(answer.symbols, "");
	}
}

static void
other_answers_are_none(void **state)
{
	static const struct {
		const char *text;
		enum rspamd_result result;
		const char *words;
	} rows[] = {
		{ "", RSPAMD_MALFORMED, NULL },
		{ "{", RSPAMD_MALFORMED, NULL },
		{ "[]", RSPAMD_MALFORMED, "no action in its answer" },
		{ "{}", RSPAMD_MALFORMED, "no action in its answer" },
		{ "{}{}", RSPAMD_MALFORMED, NULL },
		{ "<html>", RSPAMD_MALFORMED, NULL },
		{ "{\"score\":1}", RSPAMD_MALFORMED, "no action in its answer" },
		{ "{\"score\":1,\"action\":7}", RSPAMD_MALFORMED,
		  "no action in its answer" },
		{ "{\"action\":\"reject\"}", RSPAMD_MALFORMED,
		  "no score in its answer" },
		{ "{\"score\":\"1\",\"action\":\"reject\"}", RSPAMD_MALFORMED,
		  "no score in its answer" },
		{ "{\"score\":1e999,\"action\":\"reject\"}", RSPAMD_MALFORMED, NULL },
		{ "{\"score\":nan,\"action\":\"reject\"}", RSPAMD_MALFORMED, NULL },
		{ "{\"score\":1,\"action\":\"Reject\"}", RSPAMD_STRANGE, "Reject" },
		{ "{\"score\":1,\"action\":\"a\\nb\\u00e9\"}", RSPAMD_STRANGE,
		  "a?b??" },
		{ "{\"error\":\"invalid\\r\\ncommand\"}", RSPAMD_REFUSED,
		  "invalid??command" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rspamd_answer answer;

		assert_int_equal(read_text(rows[i].text, &answer), rows[i].result);
		assert_true(answer.words[0] != '\0');
		if (rows[i].words)
			assert_string_equal(answer.words, rows[i].words);
	}
}

/* Nobody cuts an answer so that it says less, or says something else. */
static void
a_part_is_malformed(void **state)
{
	static const char text[] = "{\"score\":15,\"action\":\"reject\"}";

	(void)state;
	for (size_t cut = 0; cut < strlen(text); cut++) {
		struct rspamd_answer answer;

		assert_int_equal(rspamd_read(text, cut, &answer, NULL),
		                 RSPAMD_MALFORMED);
	}
}

static void
symbols_are_cut_between_two(void **state)
{
	struct rspamd_answer answer;
	char text[4000] = "{\"score\":1,\"action\":\"reject\",\"symbols\":{";

	(void)state;
	for (int i = 0; i < 40; i++)
		sprintf(text + strlen(text),
		        "\"A_SYMBOL_WITH_A_NAME_%03d\":{\"score\":%d.5},", i, i);
	strcat(text, "\"X\":null,\"Y\":{\"score\":\"9\"}}}");
	assert_int_equal(read_text(text, &answer), RSPAMD_ANSWERED);
	assert_int_equal(strlen(answer.symbols), 10 * 25 - 1);
	assert_memory_equal(answer.symbols, "A_SYMBOL_WITH_A_NAME_039,", 25);
	assert_string_equal(answer.symbols + 9 * 25, "A_SYMBOL_WITH_A_NAME_030");
}

static void
hostile_answers_are_malformed(void **state)
{
	char *text = malloc(RSPAMD_ANSWER_MAX + 1);
	struct rspamd_answer answer;

	(void)state;
	memset(text, '[', RSPAMD_ANSWER_MAX + 1);
	assert_int_equal(rspamd_read(text, RSPAMD_ANSWER_MAX, &answer, NULL),
	                 RSPAMD_MALFORMED);
	assert_int_equal(rspamd_read(text, RSPAMD_ANSWER_MAX + 1, &answer, NULL),
	                 RSPAMD_MALFORMED);
	assert_string_equal(answer.words, "its answer is too long");
	memset(text, '"', 10);
	assert_int_equal(
		rspamd_read("{\"score\":1,\"action\":\"re\0ject\"}", 30, &answer, NULL),
		RSPAMD_MALFORMED);
	free(text);
}

/* ---- what it would change -------------------------------------------------------- */

struct heard {
	char words[2000];
	unsigned count;
};

static void
note(struct heard *heard, const char *kind, const char *name, const char *rest)
{
	size_t used = strlen(heard->words);

	heard->count++;
	snprintf(heard->words + used, sizeof(heard->words) - used, "%s %s=%s|", kind,
	         name, rest);
}

static void
on_add(void *arg, const char *name, const char *value)
{
	note(arg, "add", name, value);
}

static void
on_remove(void *arg, const char *name, unsigned which)
{
	char words[20];

	snprintf(words, sizeof(words), "%u", which);
	note(arg, "remove", name, words);
}

static void
on_subject(void *arg, const char *text)
{
	note(arg, "subject", "", text);
}

static enum rspamd_result
hear(struct heard *heard, const char *action, const char *more)
{
	struct rspamd_changer changer = { on_add, on_remove, on_subject, heard };
	struct rspamd_answer answer;
	char *text = xasprintf("{\"score\":1,\"action\":\"%s\",%s}", action, more);
	enum rspamd_result result;

	*heard = (struct heard){ 0 };
	result = rspamd_read(text, strlen(text), &answer, &changer);
	free(text);
	return result;
}

static void
what_it_would_change_is_told(void **state)
{
	static const struct {
		const char *json, *told;
	} rows[] = {
		{ "\"milter\":{\"add_headers\":{\"X-Bar\":{\"value\":\"++\",\"order\":"
		  "0},"
		  "\"X-Spam\":\"Yes\",\"X-Two\":[\"a\",{\"order\":1,\"value\":\"b\"}]}"
		  "}",
		  "add X-Bar=++|add X-Spam=Yes|add X-Two=a|add X-Two=b|" },
		{ "\"milter\":{\"add_headers\":{\"X-Spam\":\"No\"},"
		  "\"remove_headers\":{\"X-Spam\":0,\"X-Old\":2,\"X-All\":[1,3]}}",
		  "remove X-Spam=0|remove X-Old=2|remove X-All=1|remove X-All=3|"
		  "add X-Spam=No|" },
		{ "\"milter\":{\"add_headers\":{\"X\":\"y\"}},\"dkim-signature\":\"v=1;"
		  " a\"",
		  "add DKIM-Signature=v=1; a|add X=y|" },
		{ "\"dkim-signature\":[\"v=1; a\",\"v=1; b\",7]",
		  "add DKIM-Signature=v=1; a|add DKIM-Signature=v=1; b|" },
		{ "\"milter\":{\"add_headers\":{\"X\":\"a\\r\\nEvil: b\\u00e9\"}}",
		  "add X=a\r\nEvil: b\xc3\xa9|" },
		/* odd ones */
		{ "\"milter\":{\"add_headers\":{\"A\":7,\"B\":null,\"C\":[[\"x\"],{}],"
		  "\"D\":{\"value\":{}},\"E\":{\"order\":1},\"F\":true,\"\":\"\"}}",
		  "add =|" },
		{ "\"milter\":{\"remove_headers\":{\"A\":-1,\"B\":1.5,\"C\":\"0\","
		  "\"D\":null,\"E\":1e300,\"F\":1000001,\"G\":2.0,\"H\":[-1,{},[0]]}}",
		  "remove G=2|" },
		{ "\"milter\":[],\"dkim-signature\":{}", "" },
		{ "\"milter\":{\"add_headers\":[\"X\"],\"remove_headers\":\"X\"}", "" },
		{ "\"milter\":null,\"dkim-signature\":0,\"subject\":7", "" },
		{ "\"milter\":{\"add_headers\":{}},\"subject\":\"***SPAM*** x\"", "" },
	};
	struct heard heard;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(hear(&heard, "add header", rows[i].json),
		                 RSPAMD_ANSWERED);
		assert_string_equal(heard.words, rows[i].told);
	}
	assert_int_equal(
		hear(&heard, "rewrite subject", "\"subject\":\"SPAM \\u00e9\""),
		RSPAMD_ANSWERED);
	assert_string_equal(heard.words, "subject =SPAM \xc3\xa9|");
	assert_int_equal(hear(&heard, "rewrite subject", "\"subject\":[\"SPAM\"]"),
	                 RSPAMD_ANSWERED);
	assert_string_equal(heard.words, "");
}

static void
who_has_not_answered_changes_nothing(void **state)
{
	static const char change[] = "\"dkim-signature\":\"v=1\"";
	struct heard heard;

	(void)state;
	assert_int_equal(hear(&heard, "shrug", change), RSPAMD_STRANGE);
	assert_int_equal(heard.count, 0);
	assert_int_equal(
		hear(&heard, "reject", "\"error\":\"x\",\"dkim-signature\":\"v=1\""),
		RSPAMD_REFUSED);
	assert_int_equal(heard.count, 0);
	assert_int_equal(hear(&heard, "reject", change), RSPAMD_ANSWERED);
	assert_int_equal(heard.count, 1);
}

static void
changes_are_bounded(void **state)
{
	char *text = calloc(1, RSPAMD_ANSWER_MAX);
	struct heard heard;

	(void)state;
	strcpy(text, "\"dkim-signature\":[\"\"");
	for (int i = 0; i < 10000; i++)
		strcat(text + 7 * i, ",\"1234\"");
	strcat(text, "]");
	assert_int_equal(hear(&heard, "no action", text), RSPAMD_ANSWERED);
	assert_int_equal(heard.count, RSPAMD_CHANGES_MOST);
	free(text);
}

/* ---- what it is told -------------------------------------------------------------- */

static void
assert_header(char *made, const char *expected)
{
	assert_string_equal(made, expected);
	free(made);
}

static void
headers_have_one_line(void **state)
{
	char value[RSPAMD_VALUE_MAX + 100];
	char *header;

	(void)state;
	assert_header(rspamd_header("Helo", "mail.example"), "Helo: mail.example");
	assert_header(rspamd_header("Helo", "a\r\nIP: 127.0.0.1\r\n\r\n"),
	              "Helo: a??IP: 127.0.0.1????");
	assert_header(rspamd_header("Helo", "\x01\x7f\xc3\xa9\xff\t"), "Helo: ??????");
	assert_header(rspamd_header_path("From", ""), "From: <>");
	assert_header(rspamd_header_path("Rcpt", "a\nb@c"), "Rcpt: <a?b@c>");
	memset(value, 'v', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	header = rspamd_header("X", value);
	assert_int_equal(strlen(header), 3 + RSPAMD_VALUE_MAX);
	free(header);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_rspamd_says_is_read),
		cmocka_unit_test(what_weighs_nothing_is_named_if_it_is_all),
		cmocka_unit_test(each_action_is_known),
		cmocka_unit_test(other_answers_are_none),
		cmocka_unit_test(a_part_is_malformed),
		cmocka_unit_test(symbols_are_cut_between_two),
		cmocka_unit_test(hostile_answers_are_malformed),
		cmocka_unit_test(what_it_would_change_is_told),
		cmocka_unit_test(who_has_not_answered_changes_nothing),
		cmocka_unit_test(changes_are_bounded),
		cmocka_unit_test(headers_have_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
