#include "pipeline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void
nothing_is_owed_at_first(void **unused)
{
	struct pipeline line;

	(void)unused;
	pipeline_init(&line);
	assert_null(line.ring);
	assert_null(pipeline_due(&line));
	assert_false(pipeline_awaits_server(&line));
	assert_false(pipeline_group_ended(&line));
	pipeline_fini(&line);
}

static void
an_entry_starts_empty_even_in_a_used_place(void **unused)
{
	struct pipeline line;

	(void)unused;
	pipeline_init(&line);
	for (int i = 0; i < 100; i++) {
		struct expected *entry = pipeline_push(&line, PLAN_ANSWER);

		assert_int_equal(entry->plan, PLAN_ANSWER);
		assert_int_equal(entry->subject, SUBJECT_COMMAND);
		assert_int_equal(entry->verb, VERB_UNKNOWN);
		assert_false(entry->ends_group);
		assert_int_equal(entry->code, 0);
		assert_null(entry->enhanced);
		assert_null(entry->text);
		assert_int_equal(entry->size, 0);
		*entry = (struct expected){
			.plan = PLAN_ANSWER,
			.subject = SUBJECT_CONTENT,
			.verb = VERB_QUIT,
			.ends_group = true,
			.end = 7,
			.binary = true,
			.last = true,
			.code = 250,
			.enhanced = "2.0.0",
			.text = xstrdup("x"),
			.size = 4096,
			.spf = "pass",
		};
		pipeline_done(&line);
	}
	pipeline_fini(&line);
}

/* The queue against numbers that count up: pushed and done in uneven turns, so that the
 * ring grows while its start stands at any place. */
static void
replies_are_due_in_their_order(void **unused)
{
	(void)unused;
	for (unsigned burst = 1; burst < 70; burst++) {
		struct pipeline line;
		int pushed = 0, done = 0;

		pipeline_init(&line);
		for (int round = 0; round < 20; round++) {
			for (unsigned i = 0; i < burst; i++) {
				struct expected *entry = pipeline_push(&line,
				                                       PLAN_FORWARD);

				entry->code = pushed++;
				entry->text = xasprintf("%d", entry->code);
			}
			for (unsigned i = 0; i < (burst + 1) / 2; i++) {
				assert_int_equal(pipeline_due(&line)->code, done);
				assert_int_equal(atoi(pipeline_due(&line)->text), done);
				pipeline_done(&line);
				done++;
			}
		}
		assert_int_equal(line.count, pushed - done);
		while (pipeline_due(&line)) {
			assert_int_equal(pipeline_due(&line)->code, done++);
			pipeline_done(&line);
		}
		assert_int_equal(pushed, done);
		pipeline_fini(&line);
	}
}

static void
texts_left_behind_are_freed(void **unused)
{
	struct pipeline line;

	(void)unused;
	pipeline_init(&line);
	for (int i = 0; i < 50; i++)
		pipeline_push(&line, PLAN_ANSWER)->text = xstrdup(
			"seen by ASan if lost");
	pipeline_done(&line);
	pipeline_fini(&line);
	assert_null(pipeline_due(&line));
}

static void
only_answers_do_not_await_the_server(void **unused)
{
	static const struct {
		enum reply_plan plans[3];
		bool awaits;
	} rows[] = {
		{ { PLAN_ANSWER, PLAN_ANSWER, PLAN_ANSWER }, false },
		{ { PLAN_FORWARD, PLAN_ANSWER, PLAN_ANSWER }, true },
		{ { PLAN_ANSWER, PLAN_SWALLOW, PLAN_ANSWER }, true },
		{ { PLAN_ANSWER, PLAN_ANSWER, PLAN_FORWARD }, true },
	};

	(void)unused;
	for (size_t n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
		struct pipeline line;

		pipeline_init(&line);
		for (size_t i = 0; i < 3; i++)
			pipeline_push(&line, rows[n].plans[i]);
		assert_int_equal(pipeline_awaits_server(&line), rows[n].awaits);
		pipeline_fini(&line);
	}
}

static void
the_last_entry_ends_the_group(void **unused)
{
	struct pipeline line;

	(void)unused;
	pipeline_init(&line);
	pipeline_push(&line, PLAN_FORWARD)->ends_group = true;
	assert_true(pipeline_group_ended(&line));
	pipeline_push(&line, PLAN_FORWARD);
	assert_false(pipeline_group_ended(&line));
	pipeline_push(&line, PLAN_FORWARD)->ends_group = true;
	assert_true(pipeline_group_ended(&line));
	pipeline_done(&line);
	pipeline_done(&line);
	assert_true(pipeline_group_ended(&line));
	pipeline_done(&line);
	assert_false(pipeline_group_ended(&line));
	pipeline_fini(&line);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_owed_at_first),
		cmocka_unit_test(an_entry_starts_empty_even_in_a_used_place),
		cmocka_unit_test(replies_are_due_in_their_order),
		cmocka_unit_test(texts_left_behind_are_freed),
		cmocka_unit_test(only_answers_do_not_await_the_server),
		cmocka_unit_test(the_last_entry_ends_the_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
