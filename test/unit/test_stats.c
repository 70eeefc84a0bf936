#include "stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void
counters_start_at_nothing_and_count_apart(void **unused)
{
	(void)unused;
	for (int i = 0; i < STAT_COUNT; i++)
		assert_int_equal(stats_get(i), 0);
	for (int i = 0; i < STAT_COUNT; i++)
		stats_add(i, i + 1);
	stats_add(STAT_mails, -1);
	stats_set(STAT_spool_disk, INT64_MAX);
	for (int i = 0; i < STAT_COUNT; i++) {
		if (i != STAT_mails && i != STAT_spool_disk)
			assert_int_equal(stats_get(i), i + 1);
	}
	assert_int_equal(stats_get(STAT_mails), STAT_mails);
	assert_true(stats_get(STAT_spool_disk) == INT64_MAX);
}

/* They are words of the metrics as well: [a-z_]+, each once. */
static void
every_counter_has_a_name_of_its_own_and_help(void **unused)
{
	(void)unused;
	for (int i = 0; i < STAT_COUNT; i++) {
		const char *name = stats_name(i);

		assert_true(strlen(name) > 0);
		assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"),
		                 strlen(name));
		assert_true(strlen(stats_help(i)) > 5);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(stats_name(k), name);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_start_at_nothing_and_count_apart),
		cmocka_unit_test(every_counter_has_a_name_of_its_own_and_help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
