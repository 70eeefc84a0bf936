#include "ratecount.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOUR INT64_C(3600000)
#define PART (HOUR / RATE_PARTS)

/* A moment at which a part begins. */
#define NOON (INT64_C(1800000) * 1000000 / PART * PART)

static struct rate_record
at(int64_t now, uint64_t messages)
{
	struct rate_record record = { 0 };

	rate_record_advance(&record, HOUR, now);
	rate_record_add(&record, RATE_MESSAGES, messages);
	record.touched = now;
	return record;
}

static uint64_t
sum_at(struct rate_record *record, int64_t now)
{
	rate_record_advance(record, HOUR, now);
	return rate_record_sum(record, RATE_MESSAGES);
}

/* What happened counts for a period at least, and for a part more at most. */
static void
test_window(void **state)
{
	(void)state;
	for (int64_t begin = NOON; begin < NOON + PART; begin += PART / 7) {
		struct rate_record record = at(begin, 5);

		for (int64_t age = 0; age <= HOUR; age += PART / 3)
			assert_int_equal(sum_at(&record, begin + age), 5);
		assert_int_equal(sum_at(&record, begin + HOUR + PART), 0);
	}
}

/* Whatever is taken as soon as there is room: in no span of a period is there more. */
static void
test_never_more(void **state)
{
	enum { MINUTE = 60000, TIMES = 600, LIMIT = 7 };
	int taken[TIMES] = { 0 };
	struct rate_record record = { 0 };

	(void)state;
	for (int i = 0; i < TIMES; i++)
		while (sum_at(&record, NOON + (int64_t)i * MINUTE) < LIMIT) {
			rate_record_add(&record, RATE_MESSAGES, 1);
			taken[i]++;
		}
	for (int i = 0; i + 60 <= TIMES; i++) {
		int sum = 0;

		for (int k = 0; k < 60; k++)
			sum += taken[i + k];
		assert_true(sum <= LIMIT);
	}
	for (int i = 0, sum = 0; i < TIMES; i++) {
		sum += taken[i];
		if (i == TIMES - 1) /* and a client gets most of what it may have */
			assert_true(sum >= LIMIT * (TIMES / 75));
	}
}

static void
test_counts_apart(void **state)
{
	struct rate_record record = { 0 };

	(void)state;
	rate_record_advance(&record, HOUR, NOON);
	for (int rate = 0; rate < RATES; rate++)
		rate_record_add(&record, (enum rate)rate, 10u + (unsigned)rate);
	for (int rate = 0; rate < RATES; rate++)
		assert_int_equal(rate_record_sum(&record, (enum rate)rate), 10 + rate);
	rate_record_add(&record, RATE_BYTES, UINT64_MAX - 1);
	assert_true(rate_record_sum(&record, RATE_BYTES) == UINT64_MAX);
	rate_record_add(&record, RATE_BYTES, 5);
	assert_true(rate_record_sum(&record, RATE_BYTES) == UINT64_MAX);
}

static void
test_clock_put_back(void **state)
{
	struct rate_record record = at(NOON, 5);

	(void)state;
	assert_int_equal(sum_at(&record, NOON - HOUR / 2), 5);
	assert_int_equal(record.newest, NOON);
	rate_record_add(&record, RATE_MESSAGES, 2);
	assert_int_equal(sum_at(&record, NOON + HOUR), 7);
	record = at(NOON, 5); /* it was a wrong year */
	assert_int_equal(sum_at(&record, NOON - 10 * HOUR), 0);
	rate_record_add(&record, RATE_MESSAGES, 1);
	assert_int_equal(sum_at(&record, NOON - 9 * HOUR), 1);
	assert_int_equal(sum_at(&record, NOON - 8 * HOUR), 0);
}

/* Nothing is forgiven, and nothing is counted twice, when the period becomes another. */
static void
test_other_period(void **state)
{
	struct rate_record record = at(NOON, 5);

	(void)state;
	(void)sum_at(&record, NOON + PART);
	rate_record_add(&record, RATE_MESSAGES, 3);
	rate_record_advance(&record, 10 * HOUR, NOON + PART + 1);
	assert_int_equal(rate_record_sum(&record, RATE_MESSAGES), 8);
	rate_record_advance(&record, 10 * HOUR, NOON + 9 * HOUR);
	assert_int_equal(rate_record_sum(&record, RATE_MESSAGES), 8);

	record = at(NOON, 5);
	(void)sum_at(&record, NOON + 2 * PART);
	rate_record_add(&record, RATE_MESSAGES, 3);
	rate_record_advance(&record, 60000, NOON + 2 * PART + 1);
	assert_int_equal(rate_record_sum(&record, RATE_MESSAGES), 3);
	rate_record_advance(&record, 60000, NOON + 2 * PART + 80000);
	assert_int_equal(rate_record_sum(&record, RATE_MESSAGES), 0);
}

/* Two processes count, in whatever order they tell of it. */
static void
test_merge(void **state)
{
	(void)state;
	for (int apart = 0; apart < 2 * RATE_SLOTS; apart++) {
		int64_t later = NOON + apart * PART;
		struct rate_record a = at(NOON, 5), b = at(later, 3);
		struct rate_record c = at(NOON, 5), d = at(later, 3);
		uint64_t sum = apart < RATE_SLOTS ? 8 : 3;

		rate_record_merge(&a, &b);
		rate_record_merge(&d, &c);
		assert_memory_equal(&a, &d, sizeof(a));
		assert_int_equal(sum_at(&a, later), sum);
		assert_int_equal(a.touched, later);
	}
}

/* ---- servers ------------------------------------------------------------------------- */

static const uint8_t *
host(unsigned number)
{
	static uint8_t bytes[RATE_HOST_SIZE];

	memcpy(bytes + 12, &number, sizeof(number));
	return bytes;
}

static void
test_servers(void **state)
{
	struct rate_record record = { 0 }, other = { 0 };

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		rate_record_call(&record, host(i), NOON + i);
	rate_record_call(&record, host(7), NOON + 500);
	rate_record_call(&record, host(7), NOON + 400);
	assert_int_equal(record.server_count, 100);
	assert_int_equal(rate_record_server(&record, host(7))->used, NOON + 500);
	assert_null(rate_record_server(&record, host(100)));
	rate_record_forget(&record, NOON + 90);
	assert_int_equal(record.server_count, 11);
	assert_non_null(rate_record_server(&record, host(7)));
	assert_null(rate_record_server(&record, host(89)));
	for (unsigned i = 0; i < 2 * RATE_SERVERS_MAX; i++)
		rate_record_call(&record, host(i), NOON + 1000 + i);
	assert_int_equal(record.server_count, RATE_SERVERS_MAX);
	assert_null(rate_record_server(&record, host(7))); /* the oldest made room */

	rate_record_copy(&other, &record);
	rate_record_clear(&record);
	assert_int_equal(other.server_count, RATE_SERVERS_MAX);
	rate_record_forget(&other, INT64_MAX);
	assert_null(other.servers);
	rate_record_clear(&other);
}

/* ---- keeping -------------------------------------------------------------------------- */

static void
check_kept(const struct rate_record *record)
{
	static char bytes[RATE_ENCODED_MAX + 1];
	size_t size = rate_record_encode(record, bytes, RATE_ENCODED_MAX);
	struct rate_record again;

	assert_true(size <= RATE_ENCODED_MAX);
	for (size_t cut = 0; cut < size; cut++)
		assert_false(rate_record_decode(&again, bytes, cut));
	assert_false(rate_record_decode(&again, bytes, size + 1));
	assert_true(rate_record_decode(&again, bytes, size));
	assert_memory_equal(again.at, record->at, sizeof(again.at));
	assert_int_equal(again.newest, record->newest);
	assert_int_equal(again.part_ms, record->part_ms);
	assert_int_equal(again.touched, record->touched);
	assert_int_equal(again.generation, record->generation);
	assert_int_equal(again.server_count, record->server_count);
	for (unsigned i = 0; i < record->server_count; i++)
		assert_memory_equal(&again.servers[i], &record->servers[i],
		                    sizeof(again.servers[i]));
	rate_record_clear(&again);
}

static void
test_keeping(void **state)
{
	struct rate_record record = at(NOON, 0);

	(void)state;
	check_kept(&record);
	record.generation = 77;
	rate_record_add(&record, RATE_BYTES, UINT64_MAX);
	rate_record_advance(&record, HOUR, NOON + PART);
	rate_record_add(&record, RATE_AUTH_REJECTS, 1);
	check_kept(&record);
	for (int i = 0; i < RATE_SLOTS; i++)
		for (int rate = 0; rate < RATES; rate++)
			record.at[i][rate] = (uint64_t)i << 40 | (unsigned)(rate + 1);
	for (unsigned i = 0; i < RATE_SERVERS_MAX; i++)
		rate_record_call(&record, host(i), NOON + i);
	check_kept(&record);
	rate_record_clear(&record);
}

/* What is no record is none, whatever is in it: nothing is read beyond its end. */
static void
test_nonsense(void **state)
{
	struct rate_record record = at(NOON, 3), again;
	char bytes[RATE_ENCODED_MAX];
	size_t size;

	(void)state;
	rate_record_call(&record, host(1), NOON);
	size = rate_record_encode(&record, bytes, sizeof(bytes));
	for (size_t i = 0; i < size; i++)
		for (int bit = 0; bit < 8; bit++) {
			char *copy = malloc(size);

			memcpy(copy, bytes, size);
			copy[i] ^= (char)(1 << bit);
			if (rate_record_decode(&again, copy, size)) {
				rate_record_advance(&again, HOUR, NOON);
				rate_record_clear(&again);
			}
			free(copy);
		}
	rate_record_clear(&record);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_never_more),
		cmocka_unit_test(test_counts_apart),
		cmocka_unit_test(test_clock_put_back),
		cmocka_unit_test(test_other_period),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_servers),
		cmocka_unit_test(test_keeping),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
