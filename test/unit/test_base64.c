#include "base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void
check(const char *text, size_t size, const char *wanted, size_t wanted_size)
{
	unsigned char got[256];
	size_t count = 99;

	assert_true(size <= sizeof(got));
	assert_true(base64_decode(text, size, got, &count));
	assert_int_equal(count, wanted_size);
	assert_memory_equal(got, wanted, wanted_size);
}

/* RFC 4648 section 10. */
static void
test_vectors(void **state)
{
	static const char *const rows[][2] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(rows[i][1], strlen(rows[i][1]), rows[i][0], strlen(rows[i][0]));
	check("AP+/AA==", 8, "\0\xff\xbf\0", 4);
}

/* What some readers take, and others read otherwise or not at all. */
static void
test_refused(void **state)
{
	static const char *const rows[] = {
		"Z",        "Zg",     "Zg=",     "Zg==Zg==", "Zh==",
		"Zm9=",     "Zm9v\n", " Zm9v",   "Zm9v    ", "    ",
		"====",     "Z===",   "Zm=v",    "Zm9-",     "Zm_v",
		"Zm9v====", "Zm\nv",  "Zm9\xff", "=Zm9",     "Zm9v\r\n\r\n",
	};
	unsigned char got[64];
	size_t count;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (base64_decode(rows[i], strlen(rows[i]), got, &count))
			fail_msg("\"%s\" was taken", rows[i]);
	assert_false(base64_decode("Zm\0v", 4, got, &count));
}

/* Longer than what is decoded at once; padding and blanks are wrong at every place of it. */
static void
test_long(void **state)
{
	unsigned char got[BASE64_BYTES(200)], zeros[BASE64_BYTES(200)] = { 0 };
	char text[200];
	size_t count;

	(void)state;
	memset(text, 'A', sizeof(text));
	check(text, sizeof(text), (const char *)zeros, sizeof(zeros));
	for (size_t at = 0; at < sizeof(text) - 1; at++) {
		text[at] = at % 2 ? '=' : ' ';
		assert_false(base64_decode(text, sizeof(text), got, &count));
		text[at] = 'A';
	}
	text[63] = text[62] = '='; /* the end of a piece, and not of the text */
	assert_false(base64_decode(text, sizeof(text), got, &count));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
