#include "check_clamav_internal.h"
#include "stats.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * What libclamav says, and how much of it is logged.
 */

static int log_pipe[2], real_stderr;

static void
catch_log(void)
{
	assert_int_equal(pipe2(log_pipe, O_NONBLOCK), 0);
	fflush(stderr);
	real_stderr = dup(2);
	dup2(log_pipe[1], 2);
}

/* What was logged meanwhile; to be freed. */
static char *
caught(void)
{
	char *text = xcalloc(1, 65536);
	ssize_t size;

	dup2(real_stderr, 2);
	close(real_stderr);
	close(log_pipe[1]);
	size = read(log_pipe[0], text, 65535);
	close(log_pipe[0]);
	text[size > 0 ? size : 0] = '\0';
	return text;
}

static unsigned
count(const char *text, const char *word)
{
	unsigned times = 0;

	for (; (text = strstr(text, word)); text += strlen(word))
		times++;
	return times;
}

/* It complains of a file of that NAME: a way to make it say what we like. */
static void
make_it_speak(const char *name)
{
	assert_null(cl_cvdhead(name));
}

static void
words_are_quoted_cut_and_counted(void **state)
{
	char name[1000], *log;
	struct clamav_words words = { 0 };

	(void)state;
	stats_set(STAT_scan_complaints, 0);
	clamav_hear_words();
	clamav_log_last_words();
	clamav_collect_words(&words);
	for (int i = 0; i < 5; i++)
		make_it_speak("/none/a\x1b[2J\"b\xff");
	make_it_speak("/none/one\nverdict s=forged");
	memset(name, 'x', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	make_it_speak(name);
	clamav_collect_words(NULL);
	make_it_speak("/none/nobody listens");
	catch_log();
	clamav_log_words(&words, NULL);
	log = caught();
	assert_non_null(strstr(log, "a\\x1b[2J\\\"b\\xff"));
	assert_non_null(strstr(log, "times=5\n"));
	assert_null(strstr(log, "forged"));
	assert_null(strstr(log, "nobody"));
	assert_int_equal(count(log, "\n"), 3);
	assert_true(strlen(log) < 900);
	assert_int_equal(stats_get(STAT_scan_complaints), 7);
	free(log);
}

/* However many, and the weightier ones are among those that are kept. */
static void
words_of_one_scan_are_few(void **state)
{
	struct clamav_words words = { 0 };
	char *log;

	(void)state;
	stats_set(STAT_scan_complaints, 0);
	clamav_log_last_words();
	clamav_collect_words(&words);
	for (int i = 0; i < 10000; i++) {
		char name[32];

		snprintf(name, sizeof name, "/none/%d", i);
		make_it_speak(name);
	}
	clamav_collect_words(NULL);
	catch_log();
	clamav_log_words(&words, NULL);
	log = caught();
	assert_int_equal(count(log, "\n"), CLAMAV_LINES + 1);
	assert_non_null(strstr(log, "times=9992"));
	assert_int_equal(stats_get(STAT_scan_complaints), 10000);
	free(log);
}

static void
words_of_all_scans_are_not_many(void **state)
{
	struct clamav_words words = { .line = { { CL_MSG_WARN, 1, "trouble" } },
		                      .lines = 1 };
	char *log;

	(void)state;
	clamav_log_last_words();
	catch_log();
	for (int i = 0; i < 1000; i++)
		clamav_log_words(&words, NULL);
	log = caught();
	assert_int_equal(count(log, "text=trouble"), 60);
	assert_int_equal(count(log, "\n"), 60);
	free(log);
	catch_log();
	clamav_log_last_words();
	log = caught();
	assert_int_equal(count(log, "\n"), 1);
	assert_non_null(strstr(log, "times=940"));
	free(log);
}

static void
weightier_words_take_the_place_of_others(void **state)
{
	struct clamav_words words = { .lines = CLAMAV_LINES };

	(void)state;
	for (int i = 0; i < CLAMAV_LINES; i++)
		words.line[i] = (struct clamav_line){ CL_MSG_WARN, 3, "" };
	clamav_collect_words(&words);
	make_it_speak("/none/error");
	clamav_collect_words(NULL);
	assert_int_equal(words.line[0].level, CL_MSG_ERROR);
	assert_int_equal(words.line[0].times, 1);
	assert_int_equal(words.line[1].level, CL_MSG_WARN);
	assert_int_equal(words.left_out, 3);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_quoted_cut_and_counted),
		cmocka_unit_test(words_of_one_scan_are_few),
		cmocka_unit_test(words_of_all_scans_are_not_many),
		cmocka_unit_test(weightier_words_take_the_place_of_others),
	};

	return cmocka_run_group_tests_name("check_clamav_words", tests, NULL, NULL);
}
