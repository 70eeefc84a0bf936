#include "secret.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const struct {
	const char *text;
	size_t size; /* 0: up to its NUL */
	mode_t mode;
	const char *secret, *why; /* one of them */
} rows[] = {
	{ "0123456789abcdef\n", 0, 0600, "0123456789abcdef", NULL },
	{ "0123456789abcdef", 0, 0640, "0123456789abcdef", NULL },
	{ "0123456789 abcdef \t\r\n\n", 0, 0400, "0123456789 abcdef", NULL },
	{ "0123456789abcde\n", 0, 0600, NULL, "too short" },
	{ "", 0, 0600, NULL, "too short" },
	{ "0123456789abcdef\nmore\n", 0, 0600, NULL, "one line" },
	{ "0123456789abcdef\0\n", 18, 0600, NULL, "one line" },
	{ "0123456789abcdef\n", 0, 0644, NULL, "chmod" },
	{ "0123456789abcdef\n", 0, 0602, NULL, "chmod" },
	{ "0123456789abcdef\n", 0, 0660, NULL, "chmod" },
};

static void
a_secret_is_one_line_that_others_cannot_read(void **unused)
{
	char path[] = "/tmp/gated-secret-XXXXXX", why[256];
	int fd = mkstemp(path);

	(void)unused;
	for (size_t n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
		size_t size = rows[n].size ? rows[n].size : strlen(rows[n].text);
		struct secret secret = { .size = 99 };
		bool good;

		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, rows[n].text, size, 0), size);
		assert_int_equal(fchmod(fd, rows[n].mode), 0);
		good = secret_read(&secret, path, SECRET_MIN, why, sizeof(why));
		if (good != !rows[n].why)
			fail_msg("row %zu: %s", n, good ? "taken" : why);
		if (good) {
			assert_int_equal(secret.size, strlen(rows[n].secret));
			assert_memory_equal(secret.bytes, rows[n].secret, secret.size);
			continue;
		}
		assert_int_equal(secret.size, 0);
		assert_non_null(strstr(why, path));
		assert_non_null(strstr(why, rows[n].why));
	}
	close(fd);
	unlink(path);
}

static void
a_secret_has_a_longest(void **unused)
{
	char path[] = "/tmp/gated-secret-XXXXXX", why[256], text[4096];
	int fd = mkstemp(path);

	(void)unused;
	memset(text, 'a', sizeof(text));
	for (size_t size = SECRET_MAX - 1; size < SECRET_MAX + 40; size++) {
		struct secret secret;

		assert_int_equal(pwrite(fd, text, size, 0), size);
		assert_int_equal(
			secret_read(&secret, path, SECRET_MIN, why, sizeof(why)),
			size <= SECRET_MAX);
	}
	close(fd);
	unlink(path);
}

static void
what_is_no_file_is_named(void **unused)
{
	static const char *const paths[] = { "/nonexistent/key", "/tmp", "/dev/zero" };
	struct secret secret;
	char why[256];

	(void)unused;
	for (int i = 0; i < 3; i++) {
		assert_false(secret_read(&secret, paths[i], 1, why, sizeof(why)));
		assert_non_null(strstr(why, paths[i]));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_secret_is_one_line_that_others_cannot_read),
		cmocka_unit_test(a_secret_has_a_longest),
		cmocka_unit_test(what_is_no_file_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
