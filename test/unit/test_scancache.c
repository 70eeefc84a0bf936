#include "scancache.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A digest for each NUMBER; those of one CHAIN begin alike. */
static const unsigned char *
digest(uint32_t chain, uint32_t number)
{
	static _Thread_local unsigned char made[SCANCACHE_DIGEST];

	memset(made, 0, sizeof made);
	memcpy(made, &chain, sizeof chain);
	memcpy(made + SCANCACHE_DIGEST - sizeof number, &number, sizeof number);
	return made;
}

static void
assert_known(struct scancache *cache, uint32_t chain, uint32_t number, const char *name)
{
	char found[64] = "untouched";

	if (!scancache_find(cache, digest(chain, number), found, sizeof found))
		fail_msg("%u is not known", number);
	assert_string_equal(found, name);
}

static void
assert_unknown(struct scancache *cache, uint32_t chain, uint32_t number)
{
	char found[64] = "untouched";

	assert_false(scancache_find(cache, digest(chain, number), found, sizeof found));
	assert_string_equal(found, "untouched");
}

static void
what_was_put_is_found(void **state)
{
	struct scancache *cache = scancache_new(100);

	(void)state;
	assert_true(scancache_is_on(cache));
	assert_unknown(cache, 1, 1);
	scancache_put(cache, digest(1, 1), "");
	scancache_put(cache, digest(2, 2), "Eicar-Test");
	assert_known(cache, 1, 1, "");
	assert_known(cache, 2, 2, "Eicar-Test");
	assert_unknown(cache, 1, 2); /* a chain alone is no digest */
	assert_int_equal(scancache_count(cache), 2);
	scancache_free(cache);
	scancache_free(NULL);
}

static void
names_are_cut_to_the_room_there_is(void **state)
{
	struct scancache *cache = scancache_new(1);
	char name[4] = "";

	(void)state;
	scancache_put(cache, digest(1, 1), "Eicar");
	assert_true(scancache_find(cache, digest(1, 1), name, sizeof name));
	assert_string_equal(name, "Eic");
	scancache_free(cache);
}

static void
the_first_verdict_stays(void **state)
{
	struct scancache *cache = scancache_new(2);

	(void)state;
	scancache_put(cache, digest(1, 1), "One");
	scancache_put(cache, digest(1, 1), "Other");
	assert_known(cache, 1, 1, "One");
	assert_int_equal(scancache_count(cache), 1);
	scancache_free(cache);
}

/* CHAINS chains for what comes. */
static void
assert_oldest_goes(uint32_t most, uint32_t chains)
{
	enum { PUT = 1000 };
	struct scancache *cache = scancache_new(most);

	for (uint32_t i = 0; i < PUT; i++) {
		uint32_t first = i + 1 - most; /* that is still there */

		scancache_put(cache, digest(i % chains, i), i % 2 ? "Odd" : "");
		assert_known(cache, i % chains, i, i % 2 ? "Odd" : "");
		if (i >= most)
			assert_unknown(cache, (first - 1) % chains, first - 1);
		if (i + 1 >= most)
			assert_known(cache, first % chains, first,
			             first % 2 ? "Odd" : "");
	}
	assert_int_equal(scancache_count(cache), most);
	scancache_free(cache);
}

/* Whatever the limit, and if all of them are in one chain. */
static void
the_oldest_goes(void **state)
{
	(void)state;
	for (uint32_t most = 1; most < 70; most += 1 + most / 8)
		for (uint32_t chains = 1; chains <= 64; chains *= 8)
			assert_oldest_goes(most, chains);
}

static void
a_limit_of_none_keeps_none(void **state)
{
	struct scancache *cache = scancache_new(0);

	(void)state;
	assert_false(scancache_is_on(cache));
	scancache_put(cache, digest(1, 1), "");
	assert_unknown(cache, 1, 1);
	assert_int_equal(scancache_count(cache), 0);
	scancache_free(cache);
}

static void
another_limit_forgets(void **state)
{
	struct scancache *cache = scancache_new(10);

	(void)state;
	scancache_put(cache, digest(1, 1), "Eicar");
	scancache_limit(cache, 10);
	assert_known(cache, 1, 1, "Eicar");
	scancache_limit(cache, 20);
	assert_unknown(cache, 1, 1);
	scancache_put(cache, digest(1, 1), "Eicar");
	scancache_limit(cache, 0);
	assert_unknown(cache, 1, 1);
	assert_false(scancache_is_on(cache));
	scancache_limit(cache, 1);
	scancache_put(cache, digest(1, 1), "");
	assert_known(cache, 1, 1, "");
	scancache_free(cache);
}

/* -- threads ------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 20000, DIGESTS = 300 };

/* Puts what it does not find, as scans do; what is found must be what belongs to it. */
static void *
look_and_put(void *arg)
{
	struct scancache *cache = arg;
	uint32_t random = (uint32_t)(uintptr_t)&random;

	for (unsigned i = 0; i < ROUNDS; i++) {
		char name[16], found[16];
		uint32_t number;

		random = random * 1664525 + 1013904223;
		number = (random >> 16) % DIGESTS;
		snprintf(name, sizeof name, "N%u", number);
		if (!scancache_find(cache, digest(number % 16, number), found,
		                    sizeof found))
			scancache_put(cache, digest(number % 16, number), name);
		else if (strcmp(found, name) != 0)
			return cache; /* the verdict on another */
	}
	return NULL;
}

static void
threads_share_it(void **state)
{
	struct scancache *cache = scancache_new(DIGESTS / 2);
	pthread_t threads[THREADS];
	void *wrong;

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, look_and_put, cache),
		                 0);
	for (int i = 0; i < 100; i++) {
		scancache_limit(cache, DIGESTS / 2 + (unsigned)i % 3);
		assert_in_range(scancache_count(cache), 0, DIGESTS);
	}
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
	scancache_free(cache);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_put_is_found),
		cmocka_unit_test(names_are_cut_to_the_room_there_is),
		cmocka_unit_test(the_first_verdict_stays),
		cmocka_unit_test(the_oldest_goes),
		cmocka_unit_test(a_limit_of_none_keeps_none),
		cmocka_unit_test(another_limit_forgets),
		cmocka_unit_test(threads_share_it),
	};

	return cmocka_run_group_tests_name("scancache", tests, NULL, NULL);
}
