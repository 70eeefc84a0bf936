#include "backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/*
 * Who fails is left alone, for longer each time, and tried by one.
 */
static const struct backoff_pace pace = { .patience = 3,
	                                  .first_us = 1000,
	                                  .most_us = 9000 };

static struct backoff
resting(int64_t now)
{
	struct backoff backoff = { 0 };

	assert_false(backoff_failed(&backoff, &pace, false, now));
	assert_false(backoff_failed(&backoff, &pace, false, now));
	assert_false(backoff_rests(&backoff));
	assert_int_equal(backoff_turn(&backoff, now), BACKOFF_ASK);
	assert_true(backoff_failed(&backoff, &pace, false, now));
	assert_true(backoff_rests(&backoff));
	return backoff;
}

static void
an_answer_begins_anew(void **state)
{
	struct backoff backoff = { 0 };

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_false(backoff_failed(&backoff, &pace, false, i));
		assert_false(backoff_failed(&backoff, &pace, false, i));
		assert_false(backoff_answered(&backoff));
	}
	assert_int_equal(backoff_turn(&backoff, 0), BACKOFF_ASK);
}

static void
one_tries(void **state)
{
	struct backoff backoff = resting(50);

	(void)state;
	assert_int_equal(backoff_turn(&backoff, 50 + 749), BACKOFF_LEAVE);
	assert_int_equal(backoff_turn(&backoff, 50 + 1251), BACKOFF_TRY);
	assert_int_equal(backoff_turn(&backoff, 50 + 1251), BACKOFF_LEAVE);
	backoff_left(&backoff, false); /* somebody else, who asked long before */
	assert_int_equal(backoff_turn(&backoff, 50 + 1251), BACKOFF_LEAVE);
	backoff_left(&backoff, true);
	assert_int_equal(backoff_turn(&backoff, 50 + 1252), BACKOFF_TRY);
	assert_true(backoff_answered(&backoff));
	assert_false(backoff_rests(&backoff));
	assert_int_equal(backoff_turn(&backoff, 0), BACKOFF_ASK);
	assert_false(backoff_failed(&backoff, &pace, false, 0)); /* as if never */
}

/* Those who had asked before it was left alone come back, one after another. */
static void
late_failures_are_none(void **state)
{
	struct backoff backoff = resting(0);

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_false(backoff_failed(&backoff, &pace, false, 0));
	assert_int_equal(backoff_turn(&backoff, 1251), BACKOFF_TRY);
}

static void
each_rest_is_longer(void **state)
{
	static const int64_t rests[] = { 1000, 2000, 4000, 8000, 9000, 9000, 9000 };
	int64_t others = 0;

	(void)state;
	for (int round = 0; round < 50; round++) {
		struct backoff backoff = resting(0);

		for (size_t i = 0; i < sizeof(rests) / sizeof(rests[0]); i++) {
			assert_in_range(backoff.until_us, rests[i] * 3 / 4,
			                rests[i] * 5 / 4);
			others += backoff.until_us != rests[i];
			assert_int_equal(backoff_turn(&backoff, 20000), BACKOFF_TRY);
			assert_false(backoff_failed(&backoff, &pace, true, 0));
		}
		assert_true(backoff_answered(&backoff));
	}
	assert_true(others > 100); /* they do differ */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_begins_anew),
		cmocka_unit_test(one_tries),
		cmocka_unit_test(late_failures_are_none),
		cmocka_unit_test(each_rest_is_longer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
