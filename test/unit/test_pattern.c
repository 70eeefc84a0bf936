#include "pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/*
 * A regular expression is what its text says, and never costs more than it may.
 */
enum {
	STEPS = 100000, /* the default of regex_match_limit */
};

static struct pattern *
pattern_of(const char *text)
{
	char why[256] = "";
	struct pattern *pattern = pattern_new(text, why, sizeof(why));

	if (!pattern)
		fail_msg("%s: %s", text, why);
	return pattern;
}

static const struct {
	const char *text, *subject;
	enum pattern_answer answer;
} finds[] = {
	{ "spam", "no-spam-here", PATTERN_FOUND },
	{ "spam", "no-SPAM-here", PATTERN_ABSENT },
	{ "(?i)spam", "no-SPAM-here", PATTERN_FOUND },
	{ "^spam", "no-spam", PATTERN_ABSENT },
	{ "spam$", "spam.example", PATTERN_ABSENT },
	{ "^$", "", PATTERN_FOUND },
	{ "^[^@]+@[^@]+$", "me@example.com", PATTERN_FOUND },
	{ "^[^@]+@[^@]+$", "", PATTERN_ABSENT },
	{ "^[^@]+@[^@]+$", "a@b@c", PATTERN_ABSENT },
	{ "\\.com$", "exampleXcom", PATTERN_ABSENT },
	{ "^(?!.*@example\\.org$)", "me@example.com", PATTERN_FOUND },
	{ "^(?!.*@example\\.org$)", "me@example.org", PATTERN_ABSENT },
	{ "^..$", "\xC5\x84", PATTERN_FOUND }, /* a byte is a character */
	{ "(*UTF)^.$", "\xC5\x84", PATTERN_FOUND },
	{ "(*UTF)^.$", "\xC5", PATTERN_UNDECIDED },
	{ "(?C1)a", "a", PATTERN_FOUND }, /* a callout of its own does nothing */
	{ "(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", PATTERN_UNDECIDED },
};

static void
test_finds(void **state)
{
	char why[256];

	(void)state;
	for (size_t i = 0; i < sizeof(finds) / sizeof(finds[0]); i++) {
		struct pattern *pattern = pattern_of(finds[i].text);
		const char *subject = finds[i].subject;

		why[0] = '\0';
		if (pattern_find(pattern, subject, strlen(subject), STEPS, why,
		                 sizeof(why)) != finds[i].answer)
			fail_msg("%s in %s: %s", finds[i].text, subject, why);
		assert_true((finds[i].answer == PATTERN_UNDECIDED) == (why[0] != '\0'));
		pattern_drop(pattern);
	}
}

/* Only SIZE bytes of it, be there more. */
static void
test_size(void **state)
{
	struct pattern *pattern = pattern_of("b");
	char why[256];

	(void)state;
	assert_int_equal(pattern_find(pattern, "aab", 2, STEPS, why, sizeof(why)),
	                 PATTERN_ABSENT);
	assert_int_equal(pattern_find(pattern, "aab", 3, STEPS, why, sizeof(why)),
	                 PATTERN_FOUND);
	pattern_drop(pattern);
}

static const struct {
	const char *text, *why;
} faults[] = {
	{ "^(a", "missing closing parenthesis, at byte 3" },
	{ "a)", "unmatched closing parenthesis, at byte 1" },
	{ "[a", "missing terminating ] for character class, at byte 2" },
	{ "*a", "quantifier does not follow a repeatable item, at byte 0" },
	{ "\\", "\\ at end of pattern, at byte 1" },
	{ "((a{1,900}){1,900}){1,900}", "regular expression is too large, at byte 26" },
};

static void
test_faults(void **state)
{
	char why[256];

	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		assert_null(pattern_new(faults[i].text, why, sizeof(why)));
		assert_string_equal(why, faults[i].why);
	}
}

/* It lives until the last that holds it lets go. */
static void
test_shared(void **state)
{
	struct pattern *pattern = pattern_of("a");
	char why[256];

	(void)state;
	assert_ptr_equal(pattern_hold(pattern), pattern);
	pattern_drop(pattern);
	assert_string_equal(pattern_text(pattern), "a");
	assert_int_equal(pattern_find(pattern, "a", 1, STEPS, why, sizeof(why)),
	                 PATTERN_FOUND);
	pattern_drop(pattern);
	assert_null(pattern_hold(NULL));
	pattern_drop(NULL);
	assert_string_equal(pattern_text(NULL), "");
}

/* The limit is what makes the difference, and it says so. */
static void
test_limit(void **state)
{
	struct pattern *pattern = pattern_of("(a+)+$");
	const char *subject = "aaaaaaaaaa!"; /* some 4000 steps */
	char why[256];

	(void)state;
	assert_int_equal(
		pattern_find(pattern, subject, strlen(subject), 1000, why, sizeof(why)),
		PATTERN_UNDECIDED);
	assert_string_equal(why, "more than 1000 steps");
	assert_int_equal(pattern_find(pattern, subject, strlen(subject), 10000, why,
	                              sizeof(why)),
	                 PATTERN_ABSENT);
	pattern_drop(pattern);
}

static double
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/*
 * Expressions that take for ever, or nearly, against 2000 bytes that were chosen for that.
 * The last two stay below PCRE2's own match limit at every byte where they begin, and
 * take 40 ms and more with nothing but that.
 */
static const char *const catastrophes[] = {
	"(a+)+$",
	"(a|aa)+$",
	"(.*)(.*)(.*)(.*)(.*)[yz]",
	"(?:.*?)*?[yz]",
	"(?:(?:(?:a*)*)*)*[yz]",
	"(a*)*\\1\\1\\1[xy]",
	"a*a*a*[yz]",
	"(?:(?<=a)(?=(.*+))\\1|a)*[xy]",
};

enum {
	SUBJECT = 2000,
	/* One step may look at all of the subject, and sanitizers make that slow: a
	 * bound for them, and for a machine that is busy. */
	MOST_US = 500000,
};

static double
time_of(const char *text, const char *subject)
{
	struct pattern *pattern = pattern_of(text);
	char why[256];
	double began = now_us();

	assert_int_equal(
		pattern_find(pattern, subject, SUBJECT, STEPS, why, sizeof(why)),
		PATTERN_UNDECIDED);
	pattern_drop(pattern);
	return now_us() - began;
}

static void
test_catastrophes(void **state)
{
	char subject[SUBJECT + 1];
	double worst = 0;

	(void)state;
	memset(subject, 'a', SUBJECT);
	for (size_t i = 79; i < SUBJECT; i += 80)
		subject[i] = 'c';
	subject[SUBJECT - 1] = '!';
	for (size_t i = 0; i < sizeof(catastrophes) / sizeof(catastrophes[0]); i++) {
		double us = time_of(catastrophes[i], subject);

		print_message("%9.1f us  %s\n", us, catastrophes[i]);
		worst = us > worst ? us : worst;
	}
	assert_true(worst < MOST_US);
}

/* What it costs where it costs nothing out of the ordinary: printed, for people. */
static void
test_cost(void **state)
{
	enum { ROUNDS = 10000 };
	struct pattern *pattern = pattern_of("^([a-z0-9-]+\\.)+[a-z]{2,}$");
	const char *subject = "mail.example.com";
	char why[256];
	double began = now_us();

	(void)state;
	for (int i = 0; i < ROUNDS; i++)
		assert_int_equal(pattern_find(pattern, subject, strlen(subject), STEPS,
		                              why, sizeof(why)),
		                 PATTERN_FOUND);
	print_message("%9.3f us  %s\n", (now_us() - began) / ROUNDS,
	              pattern_text(pattern));
	pattern_drop(pattern);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_finds),  cmocka_unit_test(test_size),
		cmocka_unit_test(test_faults), cmocka_unit_test(test_shared),
		cmocka_unit_test(test_limit),  cmocka_unit_test(test_catastrophes),
		cmocka_unit_test(test_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
