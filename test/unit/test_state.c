#include "statecode.h"
#include "statestore_internal.h"
#include "stateurl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- URLs ------------------------------------------------------------------------------- */

static void
reads_as(const char *text, const char *shown, const char *user, const char *password)
{
	struct stateurl url;
	const char *fault = stateurl_read(&url, text);
	char *words;

	if (fault)
		fail_msg("%s: %s", text, fault);
	words = stateurl_text(&url);
	assert_string_equal(words, shown);
	assert_string_equal(url.user ?: "-", user);
	assert_string_equal(url.password ?: "-", password);
	free(words);
	stateurl_clear(&url);
}

/* What is secret is not shown. */
static void
test_urls(void **state)
{
	(void)state;
	reads_as("redis://localhost", "redis://localhost:6379/0", "-", "-");
	reads_as("redis://10.0.0.5:7000/15", "redis://10.0.0.5:7000/15", "-", "-");
	reads_as("redis://10.0.0.5/", "redis://10.0.0.5:6379/0", "-", "-");
	reads_as("redis://[2001:db8::5]:7000", "redis://[2001:db8::5]:7000/0", "-",
	         "-");
	reads_as("redis://:pw@a.example", "redis://a.example:6379/0", "-", "pw");
	reads_as("redis://u:p:w@a.example", "redis://a.example:6379/0", "u", "p:w");
	reads_as("redis://u@a.example", "redis://a.example:6379/0", "u", "-");
	reads_as("unix://u@/s", "unix:///s?db=0", "u", "-");
	reads_as("redis://u%40v:%2f%3A%25@a", "redis://a:6379/0", "u@v", "/:%");
	reads_as("redis://u:p@w@a", "redis://a:6379/0", "u", "p@w");
	reads_as("unix:///run/redis.sock", "unix:///run/redis.sock?db=0", "-", "-");
	reads_as("unix:///s?db=7", "unix:///s?db=7", "-", "-");
	reads_as("unix://u:pw@/s", "unix:///s?db=0", "u", "pw");
}

static void
test_no_urls(void **state)
{
	static const char *const wrong[] = {
		"",
		"localhost",
		"http://localhost",
		"redis:/localhost",
		"redis://",
		"redis:///0",
		"redis://a b",
		"redis://a:",
		"redis://a:0",
		"redis://a:65536",
		"redis://a:1x",
		"redis://a/x",
		"redis://a/-1",
		"redis://a/16384",
		"redis://a/1/2",
		"redis://a/99999999999999999999",
		"redis://a?db=1",
		"redis://@a",
		"redis://u%@a",
		"redis://u:%@a",
		"redis://u:%2@a",
		"redis://u:%00@a",
		"redis://%zz:p@a",
		"redis://[::1",
		"redis://[]",
		"redis://[::1]x",
		"redis://[host]",
		"redis://a\n",
		"redis://\xc3\xa9",
		"unix://relative",
		"unix:///s?db=",
		"unix:///s?db=x",
		"unix:///s?x",
		"unix:///s#x",
		"unix:///"
		"123456789012345678901234567890123456789012345678901234567890123456789"
		"012345678901234567890123456789012345678",
	};
	struct stateurl url;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (!stateurl_read(&url, wrong[i]))
			fail_msg("taken for a URL: %s", wrong[i]);
		assert_null(url.host);
		assert_null(url.password);
	}
}

/* ---- counts ----------------------------------------------------------------------------- */

static struct rate_record
some_record(void)
{
	struct rate_record record = { 0 };
	uint8_t host[RATE_HOST_SIZE] = { 1, 2, 3 };

	rate_record_advance(&record, 3600000, INT64_C(1764000000000));
	rate_record_add(&record, RATE_CONNECTIONS, 1);
	rate_record_add(&record, RATE_BYTES, UINT64_C(1) << 40);
	rate_record_advance(&record, 3600000, INT64_C(1764001000000));
	rate_record_add(&record, RATE_AUTH_REJECTS, 127);
	rate_record_add(&record, RATE_MESSAGES, 128);
	rate_record_call(&record, host, INT64_C(1764001000000));
	host[15] = 255;
	rate_record_call(&record, host, INT64_C(1764001000001));
	return record;
}

static void
test_record(void **state)
{
	struct rate_record record = some_record(), back;
	char bytes[STATECODE_RECORD_MAX];
	size_t size = statecode_put_record(&record, bytes);

	(void)state;
	assert_true(statecode_take_record(&back, bytes, size));
	assert_int_equal(back.part_ms, record.part_ms);
	assert_int_equal(back.newest, record.newest);
	assert_memory_equal(back.at, record.at, sizeof(record.at));
	assert_int_equal(back.server_count, 2);
	assert_memory_equal(back.servers, record.servers, 2 * sizeof(*record.servers));
	rate_record_clear(&back);
	for (size_t cut = 0; cut < size; cut++)
		assert_false(statecode_take_record(&back, bytes, cut));
	assert_false(statecode_take_record(&back, bytes, size + 1));
	rate_record_clear(&record);
}

/* The largest there is fits, and comes back. */
static void
test_largest_record(void **state)
{
	static char bytes[STATECODE_RECORD_MAX];
	struct rate_record record = { 0 }, back;
	uint8_t host[RATE_HOST_SIZE] = { 0 };
	size_t size;

	(void)state;
	rate_record_advance(&record, 1, INT64_C(1) << 47);
	for (int slot = 0; slot < RATE_SLOTS; slot++)
		for (int rate = 0; rate < RATES; rate++)
			record.at[slot][rate] = UINT64_MAX;
	for (int i = 0; i < RATE_SERVERS_MAX; i++) {
		memcpy(host, &i, sizeof(i));
		rate_record_call(&record, host, INT64_C(1) << 47);
	}
	size = statecode_put_record(&record, bytes);
	assert_true(size <= sizeof(bytes));
	assert_true(statecode_take_record(&back, bytes, size));
	assert_int_equal(back.at[4][6], STATECODE_COUNT_MOST);
	assert_int_equal(back.server_count, RATE_SERVERS_MAX);
	rate_record_clear(&back);
	rate_record_clear(&record);
}

/* Each byte of a good one, turned into each other one: nothing breaks, and what is taken can
 * be counted with. */
static void
test_damaged_record(void **state)
{
	struct rate_record record = some_record(), back, sum = { 0 };
	char bytes[STATECODE_RECORD_MAX];
	size_t size = statecode_put_record(&record, bytes);

	(void)state;
	for (size_t at = 0; at < size; at++)
		for (unsigned value = 0; value < 256; value++) {
			char was = bytes[at];

			bytes[at] = (char)value;
			if (statecode_take_record(&back, bytes, size)) {
				rate_record_advance(&back, 3600000,
				                    INT64_C(1764001000000));
				rate_record_advance(&sum, 3600000,
				                    INT64_C(1764001000000));
				rate_record_merge(&sum, &back);
			}
			rate_record_clear(&back);
			bytes[at] = was;
		}
	rate_record_clear(&sum);
	rate_record_clear(&record);
}

/* ---- locks ------------------------------------------------------------------------------ */

static void
test_lock(void **state)
{
	struct state_lock lock = { .when = INT64_C(1764001000123), .is_locked = true },
			  back;
	char text[STATECODE_LOCK_SIZE];
	size_t size;

	(void)state;
	strcpy(lock.words, "virus Eicar s=abc");
	size = statecode_put_lock(&lock, text);
	assert_string_equal(text, "1764001000123 + virus Eicar s=abc");
	assert_true(statecode_take_lock(&back, text, size));
	assert_int_equal(back.when, lock.when);
	assert_true(back.is_locked);
	assert_string_equal(back.words, lock.words);
	assert_true(statecode_take_lock(&back, "1 - ", 4));
	assert_false(back.is_locked);
	memset(lock.words, 'x', sizeof(lock.words) - 1);
	lock.when = (INT64_C(1) << 48);
	size = statecode_put_lock(&lock, text);
	assert_true(statecode_take_lock(&back, text, size));
	assert_string_equal(back.words, lock.words);
}

static void
test_no_lock(void **state)
{
	static const char *const wrong[] = { "",
		                             " ",
		                             "1",
		                             "1 ",
		                             "1 +",
		                             "0 + x",
		                             "x + x",
		                             "-1 + x",
		                             "1 * x",
		                             "1+ x",
		                             "1 +x",
		                             " 1 + x",
		                             "99999999999999999999999999 + x" };
	struct state_lock lock;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (statecode_take_lock(&lock, wrong[i], strlen(wrong[i])))
			fail_msg("taken for a lock: %s", wrong[i]);
}

/* ---- the mirror ------------------------------------------------------------------------- */

static void
remove_odd(struct mirror_entry *entry, void *arg)
{
	if (entry->when % 2 == 1)
		mirror_remove(arg, entry);
}

static void
test_mirror(void **state)
{
	struct mirror *mirror = mirror_new();
	struct mirror_entry *entry;
	char name[32];

	(void)state;
	for (int i = 0; i < MIRROR_MOST; i++) {
		snprintf(name, sizeof(name), "client-%d", i);
		entry = mirror_add(mirror, name);
		assert_non_null(entry);
		entry->when = i;
	}
	assert_null(mirror_add(mirror, "one more"));
	mirror_each(mirror, remove_odd, mirror);
	assert_null(mirror_find(mirror, "client-77777"));
	assert_int_equal(mirror_find(mirror, "client-77778")->when, 77778);
	assert_non_null(mirror_add(mirror, "one more"));
	mirror_free(mirror);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_no_urls),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_largest_record),
		cmocka_unit_test(test_damaged_record),
		cmocka_unit_test(test_lock),
		cmocka_unit_test(test_no_lock),
		cmocka_unit_test(test_mirror),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
