#include "check_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * The checks of limits, each alone, and that they answer at once.
 */
static struct config cfg;

/* The kernel's, as far as this program knows: a load cannot be made to order. */
static double load;
static unsigned asked;

int
sysinfo(struct sysinfo *info)
{
	*info = (struct sysinfo){ 0 };
	info->loads[0] = (unsigned long)(load * (1 << SI_LOAD_SHIFT));
	asked++;
	return 0;
}

static struct finding
look(const struct check_rule *rule, struct evidence evidence)
{
	struct check_round *none = NULL;
	struct finding found = { .kind = FOUND_NOTHING };
	struct check_run run = { .rule = rule,
		                 .cfg = &cfg,
		                 .evidence = &evidence,
		                 .found = &found,
		                 .round = none };

	assert_true(rule->wanted(&cfg));
	rule->start(&run);
	assert_true(run.answered);
	return found;
}

/* What a real round does with it is check.c's. */
void
check_answer(struct check_run *run)
{
	assert_false(run->answered);
	run->answered = true;
}

static void
one_session_more_is_too_many(void **state)
{
	struct finding found;

	(void)state;
	cfg = (struct config){ .max_per_host = 3, .max_per_ident = 2 };
	assert_int_equal(
		look(&check_limit_host, (struct evidence){ .of_host = 3 }).kind,
		FOUND_NOTHING);
	found = look(&check_limit_host, (struct evidence){ .of_host = 4 });
	assert_int_equal(found.kind, FOUND_MAX_HOST);
	assert_string_equal(found.name, "4, limit 3");
	assert_int_equal(
		look(&check_limit_ident, (struct evidence){ .of_ident = 2 }).kind,
		FOUND_NOTHING);
	found = look(&check_limit_ident,
	             (struct evidence){ .of_ident = 3, .of_host = 3 });
	assert_int_equal(found.kind, FOUND_MAX_IDENT);
	assert_string_equal(found.name, "3, limit 2");
}

static void
the_load_is_asked_for_once_a_second(void **state)
{
	struct finding found;

	(void)state;
	cfg = (struct config){ .max_load = 4 };
	load = 4.0;
	assert_int_equal(look(&check_limit_load, (struct evidence){ 0 }).kind,
	                 FOUND_NOTHING);
	load = 4.5;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(look(&check_limit_load, (struct evidence){ 0 }).kind,
		                 FOUND_NOTHING);
	assert_int_equal(asked, 1);
	usleep(1050000);
	found = look(&check_limit_load, (struct evidence){ 0 });
	assert_int_equal(found.kind, FOUND_LOAD);
	assert_string_equal(found.name, "4.50, limit 4");
	assert_int_equal(asked, 2);
}

static void
declared_sizes_are_compared(void **state)
{
	static const struct {
		const char *argument;
		bool large;
	} rows[] = {
		{ "FROM:<a@b> SIZE=1000", false },
		{ "FROM:<a@b> SIZE=1001", true },
		{ "FROM:<a@b> SIZE=0", false },
		{ "FROM:<a@b> SIZE=99999999999999999999", true },
		{ "FROM:<a@b>", false },
		{ "FROM:<a@b> SIZE=1001x", false }, /* the server says no to that */
	};

	(void)state;
	cfg = (struct config){ .size_limit = 1000 };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct finding found = look(
			&check_limit_size,
			(struct evidence){ .argument = rows[i].argument });

		if (found.kind != (rows[i].large ? FOUND_SIZE : FOUND_NOTHING))
			fail_msg("%s", rows[i].argument);
	}
}

static void
what_is_not_limited_is_not_looked_at(void **state)
{
	(void)state;
	cfg = (struct config){ 0 };
	assert_false(check_limit_host.wanted(&cfg));
	assert_false(check_limit_ident.wanted(&cfg));
	assert_false(check_limit_load.wanted(&cfg));
	assert_false(check_limit_size.wanted(&cfg));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_session_more_is_too_many),
		cmocka_unit_test(the_load_is_asked_for_once_a_second),
		cmocka_unit_test(declared_sizes_are_compared),
		cmocka_unit_test(what_is_not_limited_is_not_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
