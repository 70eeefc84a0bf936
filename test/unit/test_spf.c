#include "spf_internal.h"

#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * How it asks and is answered, and what it may cost.  What records mean is for test/spf,
 * case by case.
 */
struct row {
	const char *name;
	enum spf_type type;
	enum spf_found found;
	const char *values[12];
};

static struct addr
at(const char *text)
{
	struct addr addr;

	assert_true(addr_parse(&addr, text, 0));
	return addr;
}

static void
answer(struct spf *spf, const struct spf_question *question, const struct row *rows)
{
	struct addr addrs[12];
	struct spf_answer answer = { .found = SPF_NO_NAME, .addrs = addrs };

	while (rows->name && (strcmp(rows->name, question->name) != 0 ||
	                      rows->type != question->type))
		rows++;
	if (rows->name) {
		answer.found = rows->found;
		answer.texts = rows->values;
	}
	for (; rows->name && rows->values[answer.count]; answer.count++)
		if (question->type == SPF_A || question->type == SPF_AAAA)
			addrs[answer.count] = at(rows->values[answer.count]);
	spf_answer(spf, question->id, &answer);
}

/* All questions of a turn, the order of their answers drawn from SEED. */
static struct spf_result
evaluate(const struct spf_subject *subject, const struct row *rows, unsigned seed)
{
	struct spf *spf = spf_new(subject);
	struct spf_question asked[SPF_NAMES_MAX];
	struct spf_result result;
	size_t count = 0;

	while (!spf_result(spf)) {
		size_t chosen;

		while (count < SPF_NAMES_MAX && spf_ask(spf, &asked[count]))
			count++;
		assert(count > 0);
		chosen = seed % count;
		seed /= (unsigned)count;
		answer(spf, &asked[chosen], rows);
		asked[chosen] = asked[--count];
	}
	result = *spf_result(spf);
	spf_free(spf);
	return result;
}

static const struct row mail_hosts[] = {
	{ "a.test", SPF_TXT, SPF_THERE_IS, { "v=spf1 mx ~a:late.test -all" } },
	{ "a.test",
	  SPF_MX,
	  SPF_THERE_IS,
	  { "h1.test", "h2.test.", "h3.test", "h4.test" } },
	{ "h1.test", SPF_A, SPF_NO_ANSWER, { NULL } },
	{ "h2.test", SPF_A, SPF_NO_DATA, { NULL } },
	{ "h3.test", SPF_A, SPF_THERE_IS, { "192.0.2.3", "192.0.2.4" } },
	{ "late.test", SPF_A, SPF_THERE_IS, { "192.0.2.5" } },
	{ .name = NULL },
};

/* One of the hosts does not answer: who is another is accepted all the same, who is none
 * is not known to be none. */
static void
test_4_6_order_of_answers(void **state)
{
	struct spf_subject good = { at("192.0.2.4"), "x.test", "ann@a.test", NULL, 0 };
	struct spf_subject bad = { at("192.0.2.5"), "x.test", "ann@a.test", NULL, 0 };

	(void)state;
	for (unsigned seed = 0; seed < 24; seed++) {
		assert_int_equal(evaluate(&good, mail_hosts, seed).verdict, SPF_PASS);
		assert_int_equal(evaluate(&bad, mail_hosts, seed).verdict,
		                 SPF_TEMPERROR);
	}
}

static void
test_asks_hosts_at_once(void **state)
{
	struct spf_subject subject = { at("192.0.2.4"), "x.test", "ann@a.test", NULL,
		                       0 };
	struct spf *spf = spf_new(&subject);
	struct spf_question question, hosts[4];

	(void)state;
	for (int turn = 0; turn < 2; turn++) { /* the record, its MX */
		assert_true(spf_ask(spf, &question));
		assert_int_equal(question.type, turn == 0 ? SPF_TXT : SPF_MX);
		assert_string_equal(question.name, "a.test");
		assert_false(spf_ask(spf, &hosts[0]));
		answer(spf, &question, mail_hosts);
	}
	for (size_t i = 0; i < 4; i++)
		assert_true(spf_ask(spf, &hosts[i]));
	assert_false(spf_ask(spf, &question));
	assert_string_equal(hosts[1].name, "h2.test"); /* without its dot */
	for (size_t i = 0; i < 4; i++) {
		assert_null(spf_result(spf));
		answer(spf, &hosts[3 - i], mail_hosts);
	}
	assert_int_equal(spf_result(spf)->verdict, SPF_PASS);
	assert_string_equal(spf_result(spf)->term, "mx");
	assert_string_equal(spf_result(spf)->domain, "a.test");
	assert_false(spf_ask(spf, &question));
	spf_free(spf);
}

/* Whatever is asked for, there is more of it. */
static void
answer_badly(struct spf *spf, const struct spf_question *question)
{
	static const char *const names[] = { "a.a.test", "b.a.test", "c.a.test",
		                             "d.a.test", "e.a.test", "f.a.test",
		                             "g.a.test", "h.a.test", "i.a.test",
		                             "j.a.test" };
	static const char
		*record = "v=spf1 mx mx mx mx mx mx mx mx mx mx -all exp=why.test";
	static const char *why = "for %{p}";
	struct addr addrs[10];
	struct spf_answer answer = { SPF_THERE_IS, 1, addrs, &record };

	for (size_t i = 0; i < 10; i++)
		addrs[i] = at("203.0.113.1");
	if (question->type != SPF_TXT) {
		answer.count = 10;
		answer.texts = names;
	} else if (strcmp(question->name, "why.test") == 0) {
		answer.texts = &why;
	}
	spf_answer(spf, question->id, &answer);
}

/* 11.1: it is as many questions as the header says, and not one more. */
static void
test_4_6_4_most_questions(void **state)
{
	struct spf_subject subject = { at("192.0.2.4"), "x.test", "ann@a.test", NULL,
		                       0 };
	struct spf *spf = spf_new(&subject);
	struct spf_question question;
	unsigned count = 0;

	(void)state;
	while (!spf_result(spf)) {
		assert_true(spf_ask(spf, &question));
		answer_badly(spf, &question);
		count++;
	}
	assert_int_equal(count, SPF_QUESTIONS_MAX);
	assert_int_equal(spf_result(spf)->verdict, SPF_FAIL);
	assert_string_equal(spf_result(spf)->explanation, "for unknown");
	spf_free(spf);
}

/* The session ends: nothing leaks, wherever it is. */
static void
test_freed_at_any_time(void **state)
{
	static const struct row rows[] = {
		{ "a.test",
		  SPF_TXT,
		  SPF_THERE_IS,
		  { "v=spf1 include:b.test mx ptr -all exp=w.test" } },
		{ "b.test", SPF_TXT, SPF_THERE_IS, { "v=spf1 redirect=c.test" } },
		{ "c.test", SPF_TXT, SPF_THERE_IS, { "v=spf1 a:x.%{p}.test -all" } },
		{ "a.test", SPF_MX, SPF_THERE_IS, { "h1.test", "h2.test" } },
		{ "4.2.0.192.in-addr.arpa", SPF_PTR, SPF_THERE_IS, { "h1.test" } },
		{ "h1.test", SPF_A, SPF_THERE_IS, { "192.0.2.77" } },
		{ "w.test", SPF_TXT, SPF_THERE_IS, { "why %{p}" } },
		{ .name = NULL },
	};
	struct spf_subject subject = { at("192.0.2.4"), "x.test", "ann@a.test", NULL,
		                       0 };
	bool is_over = false;
	unsigned answers = 0;

	(void)state;
	while (!is_over) {
		struct spf *spf = spf_new(&subject);
		struct spf_question question;

		for (unsigned i = 0; i < answers && spf_ask(spf, &question); i++)
			answer(spf, &question, rows);
		is_over = spf_result(spf);
		if (is_over)
			assert_string_equal(spf_result(spf)->explanation,
			                    "why unknown");
		spf_free(spf);
		answers++;
	}
	assert_true(answers > 8);
	spf_free(NULL);
}

static struct spf_result
with_record(const char *record, const char *sender, const char *helo)
{
	struct row rows[] = {
		{ "a.test", SPF_TXT, SPF_THERE_IS, { record } },
		{ "why.test", SPF_TXT, SPF_THERE_IS, { "%{r} at %{t}" } },
		{ .name = NULL },
	};
	struct spf_subject subject = { at("192.0.2.4"), helo, sender, "mx.our.test",
		                       1234567890123 };

	return evaluate(&subject, rows, 0);
}

static char *
repeat(const char *first, const char *text, size_t size)
{
	char *whole = xmalloc(size + 1);

	for (size_t i = 0; i < size; i++)
		whole[i] = i < strlen(first) ? first[i]
		                             : text[(i - strlen(first)) % strlen(text)];
	whole[size] = '\0';
	return whole;
}

/* 3.4: large ones are taken, but not of any size. */
static void
test_3_4_size_of_record(void **state)
{
	char *most = repeat("v=spf1", " ", strlen("v=spf1") + SPF_RECORD_MAX);
	char *more = repeat("v=spf1", " ", strlen("v=spf1") + SPF_RECORD_MAX + 1);
	char *terms = repeat("v=spf1 ", "a ", 16000);

	(void)state;
	assert_int_equal(with_record(most, "ann@a.test", "x.test").verdict,
	                 SPF_NEUTRAL);
	assert_int_equal(with_record(more, "ann@a.test", "x.test").verdict,
	                 SPF_PERMERROR);
	assert_string_equal(with_record(terms, "ann@a.test", "x.test").problem,
	                    "too many terms ask for what is not there");
	free(most);
	free(more);
	free(terms);
}

/* What a client says may be of any length. */
static void
test_long_words(void **state)
{
	char *local = repeat("x", "y.", 100000);
	char *sender = xasprintf("%s@a.test", local);
	char *domain = xasprintf("ann@%sa.test", local);

	(void)state;
	assert_int_equal(
		with_record("v=spf1 exists:%{s}.%{h}.a.test -all", sender, local)
			.verdict,
		SPF_FAIL);
	assert_int_equal(with_record("v=spf1 -all", domain, local).verdict, SPF_NONE);
	assert_int_equal(with_record("v=spf1 -all", "", local).verdict, SPF_NONE);
	free(local);
	free(sender);
	free(domain);
}

static void
test_7_2_receiver_and_time(void **state)
{
	(void)state;
	assert_string_equal(
		with_record("v=spf1 -all exp=why.test", "ann@a.test", "x").explanation,
		"mx.our.test at 1234567890123");
}

static void
test_long_term(void **state)
{
	char *include = repeat("v=spf1 include:", "x.", 415);
	char *record = xasprintf("%stest", include);
	struct spf_result result = with_record(record, "ann@a.test", "x");

	(void)state;
	assert_int_equal(result.verdict, SPF_PERMERROR);
	assert_int_equal(strlen(result.term), SPF_TERM_SIZE - 1);
	assert_memory_equal(result.term, "include:x.x.x.", 14);
	free(record);
	free(include);
}

/* A client that has no address is in no network, not even in all of them. */
static void
test_no_address(void **state)
{
	static const struct row rows[] = {
		{ "a.test",
		  SPF_TXT,
		  SPF_THERE_IS,
		  { "v=spf1 ip4:0.0.0.0/0 ip6:::/0 a/0 mx/0 ptr ~all" } },
		{ "a.test", SPF_A, SPF_THERE_IS, { "192.0.2.1" } },
		{ "a.test", SPF_MX, SPF_THERE_IS, { "a.test" } },
		{ .name = NULL },
	};
	struct spf_subject subject = { .sender = "ann@a.test" };

	(void)state;
	assert_int_equal(evaluate(&subject, rows, 0).verdict, SPF_SOFTFAIL);
}

static void
test_words(void **state)
{
	(void)state;
	assert_string_equal(spf_word(SPF_NONE), "none");
	assert_string_equal(spf_word(SPF_PERMERROR), "permerror");
	assert_string_equal(spf_word(SPF_TEMPERROR), "temperror");
}

/* Every short text behind "v=spf1 ": it is read without looking beyond it, and what is
 * taken for a term is one when it stands alone. */
static void
test_12_every_short_term(void **state)
{
	static const char letters[] = "a:/1%{d}=.-";
	size_t count = sizeof(letters) - 1, all = count * count * count * count * count;
	unsigned good = 0;

	(void)state;
	for (size_t n = 0; n < all; n++) {
		char *text = xmalloc(5); /* not ended by a NUL */
		struct spf_span rest = { text, 5 };
		struct spf_term term;
		const char *why;
		size_t left = n;

		for (size_t i = 0; i < 5; i++, left /= count)
			text[i] = letters[left % count];
		if (spf_next_term(&rest, &term, &why)) {
			assert_null(why);
			assert_int_equal(rest.size, 0);
			assert_true(
				term.domain.size == 0 ||
				spf_is_macro_string(term.domain, SPF_OF_EXPLANATIONS));
			good++;
		} else {
			assert_non_null(why);
		}
		free(text);
	}
	assert_true(good > 100 && good < all / 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_4_6_order_of_answers),
		cmocka_unit_test(test_asks_hosts_at_once),
		cmocka_unit_test(test_4_6_4_most_questions),
		cmocka_unit_test(test_freed_at_any_time),
		cmocka_unit_test(test_3_4_size_of_record),
		cmocka_unit_test(test_long_words),
		cmocka_unit_test(test_7_2_receiver_and_time),
		cmocka_unit_test(test_long_term),
		cmocka_unit_test(test_no_address),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_12_every_short_term),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
