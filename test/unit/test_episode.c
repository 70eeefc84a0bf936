#include "episode.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
it_is_told_when_it_begins_and_when_it_ends(void **state)
{
	struct episode episode = { 0 };
	uint64_t met = 0;

	(void)state;
	assert_false(episode_ends(&episode, &met));
	assert_true(episode_meets(&episode, ENOSPC));
	assert_false(episode_meets(&episode, ENOSPC));
	assert_false(episode_meets(&episode, ENOSPC));
	assert_true(episode_ends(&episode, &met));
	assert_int_equal(met, 3);
	assert_false(episode_ends(&episode, &met));
}

static void
another_trouble_is_news(void **state)
{
	struct episode episode = { 0 };
	uint64_t met = 0;

	(void)state;
	assert_true(episode_meets(&episode, ENOSPC));
	assert_true(episode_meets(&episode, ENOENT));
	assert_false(episode_meets(&episode, ENOENT));
	assert_true(episode_ends(&episode, &met));
	assert_int_equal(met, 3);
}

/* A disk that is full to the brim has room for one message, and then none again. */
static void
what_comes_and_goes_is_told_once_a_minute(void **state)
{
	struct episode episode = { 0 };
	uint64_t met = 0;

	(void)state;
	assert_true(episode_meets(&episode, ENOSPC));
	assert_true(episode_ends(&episode, &met));
	for (int i = 0; i < 100; i++) {
		assert_false(episode_meets(&episode, ENOSPC));
		assert_false(episode_ends(&episode, &met));
	}
	episode.told_at -= 61000;
	assert_true(episode_meets(&episode, ENOSPC));
	assert_true(episode_ends(&episode, &met));
	assert_int_equal(met, 101);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_told_when_it_begins_and_when_it_ends),
		cmocka_unit_test(another_trouble_is_news),
		cmocka_unit_test(what_comes_and_goes_is_told_once_a_minute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
