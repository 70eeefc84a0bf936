#include "outcome.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
add(struct outcome *outcome, const char *line)
{
	char text[64]; /* gone when this returns, as a server's input is */
	struct reply reply = { .code = atoi(line), .text = text };

	reply.size = (size_t)snprintf(text, sizeof(text), "%s\r\n", line);
	outcome_add(outcome, &reply);
	memset(text, '?', sizeof(text));
}

static const struct {
	const char *replies[4];
	const char *safest, *word;
	unsigned accepted, refused;
} rows[] = {
	{ { "250 a" }, "250 a", "yes", 1, 0 },
	{ { "550 a" }, "550 a", "no", 0, 1 },
	{ { "450 a" }, "450 a", "no", 0, 1 },
	{ { "250 a", "251 b", "250 c" }, "250 a", "yes", 3, 0 },
	{ { "250 a", "450 b", "550 c" }, "450 b", "some", 1, 2 },
	{ { "250 a", "550 b", "450 c" }, "450 c", "some", 1, 2 },
	{ { "450 a", "250 b", "550 c" }, "450 a", "some", 1, 2 },
	{ { "450 a", "550 b", "250 c" }, "450 a", "some", 1, 2 },
	{ { "550 a", "250 b", "450 c" }, "450 c", "some", 1, 2 },
	{ { "550 a", "450 b", "250 c" }, "450 b", "some", 1, 2 },
	{ { "250 a", "550 b", "554 c", "250 d" }, "550 b", "some", 2, 2 },
	{ { "250 a", "452 b", "421 c", "250 d" }, "452 b", "some", 2, 2 },
	{ { "554 a", "550 b" }, "554 a", "no", 0, 2 },
};

static void
the_safest_is_kept(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct outcome outcome = { 0 };
		unsigned count = 0;

		while (count < 4 && rows[i].replies[count])
			count++;
		outcome_begin(&outcome, count);
		for (unsigned n = 0; n < count; n++)
			add(&outcome, rows[i].replies[n]);
		assert_int_equal(outcome.awaited, 0);
		assert_int_equal(outcome.accepted, rows[i].accepted);
		assert_int_equal(outcome.refused, rows[i].refused);
		assert_int_equal(outcome.safest.code, atoi(rows[i].safest));
		assert_int_equal(outcome.safest.size, strlen(rows[i].safest) + 2);
		assert_memory_equal(outcome.safest.text, rows[i].safest,
		                    strlen(rows[i].safest));
		assert_string_equal(outcome_word(&outcome), rows[i].word);
		assert_false(outcome_is_partial(&outcome));
		outcome_fini(&outcome);
	}
}

static void
what_is_not_here_is_not_accepted(void **unused)
{
	struct outcome outcome = { 0 };

	(void)unused;
	assert_string_equal(outcome_word(&outcome), "no");
	assert_false(outcome_is_partial(&outcome));
	outcome_begin(&outcome, 2);
	assert_false(outcome_is_partial(&outcome));
	add(&outcome, "250 a");
	assert_true(outcome_is_partial(&outcome));
	assert_string_equal(outcome_word(&outcome), "some");
	add(&outcome, "250 b");
	assert_false(outcome_is_partial(&outcome));
	assert_string_equal(outcome_word(&outcome), "yes");
	outcome_fini(&outcome);
	outcome_fini(&outcome);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_safest_is_kept),
		cmocka_unit_test(what_is_not_here_is_not_accepted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
