#include "memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum {
	MB = 1 << 20,
};

static int
give_back(void **state)
{
	(void)state;
	memory_take(-(int64_t)memory_taken());
	memory_limit(0);
	return 0;
}

static void
without_a_limit_there_is_always_room(void **state)
{
	(void)state;
	memory_take((int64_t)1 << 40);
	assert_true(memory_has(UINT64_MAX >> 1));
	assert_int_equal(memory_share(262144, MEMORY_LEAST), 262144);
}

static void
what_is_given_back_is_there_again(void **state)
{
	(void)state;
	memory_limit(100);
	assert_true(memory_has(100));
	assert_false(memory_has(101));
	memory_take(60);
	assert_true(memory_has(40));
	assert_false(memory_has(41));
	memory_take(-20);
	assert_int_equal(memory_taken(), 40);
	assert_true(memory_has(60));
}

static void
a_share_becomes_less_and_never_nothing(void **state)
{
	size_t before = 262144;

	(void)state;
	memory_limit(10 * MB);
	assert_int_equal(memory_share(262144, MEMORY_LEAST), 262144);
	while (memory_taken() < 12 * MB) {
		size_t share = memory_share(262144, MEMORY_LEAST);

		assert_true(share <= before);
		assert_true(share >= MEMORY_LEAST);
		before = share;
		memory_take(10000);
	}
	assert_int_equal(before, MEMORY_LEAST);
	assert_int_equal(memory_share(5000, MEMORY_LEAST), 5000);
}

/* Thousands that fill what they may have, all the time: that is the promise. */
static void
all_together_stay_within_the_limit(void **state)
{
	enum { MANY = 500, LIMIT = 64 * MB };
	static size_t holds[MANY];

	(void)state;
	memory_limit(LIMIT);
	for (int round = 0; round < 200; round++) {
		for (int i = 0; i < MANY; i++) {
			if (holds[i] >= memory_share(1 * MB, MEMORY_LEAST))
				continue;
			holds[i] += 4096;
			memory_take(4096);
		}
		assert_true(memory_taken() <= LIMIT);
	}
	assert_true(memory_taken() > LIMIT / 2);
}

#define MEMORY(test) cmocka_unit_test_teardown(test, give_back)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		MEMORY(without_a_limit_there_is_always_room),
		MEMORY(what_is_given_back_is_there_again),
		MEMORY(a_share_becomes_less_and_never_nothing),
		MEMORY(all_together_stay_within_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
