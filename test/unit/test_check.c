#include "config_rows.h"

#include "check_internal.h"
#include "loop.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/*
 * A round of several checks, whatever they are: which answer ends it, what becomes of those
 * that fail, and who is still asked.  The table of checks is ours here: three scanners of
 * viruses, one of spam, and one that looks at no message and answers at once.
 */
enum who {
	FIRST,
	SECOND,
	THIRD,
	SPAM,
	PLAIN,
	ALL,
};

static struct {
	bool wanted;
	bool later;             /* answers when told to, not at once */
	enum finding_kind says; /* at once */
	struct check_run *run;  /* under way: to be answered, or cancelled */
	unsigned starts, cancels;
} that[ALL];

static void
say(enum who who, enum finding_kind kind)
{
	struct check_run *run = that[who].run;

	assert_non_null(run);
	that[who].run = NULL;
	run->found->kind = kind;
	check_answer(run);
}

static void
begin_look(struct check_run *run, enum who who)
{
	assert_null(that[who].run);
	that[who].starts++;
	that[who].run = run;
	if (!that[who].later)
		say(who, that[who].says);
}

static void
end_look(struct check_run *run, enum who who)
{
	assert_ptr_equal(run, that[who].run);
	that[who].run = NULL;
	that[who].cancels++;
}

static void *
load_nothing(const struct config *cfg, char *why, size_t why_size)
{
	static char state;

	(void)cfg, (void)why, (void)why_size;
	return &state;
}

#define CHECK(id, word, its_family, reader) \
	static bool wanted_##id(const struct config *cfg) \
	{ \
		(void)cfg; \
		return that[id].wanted; \
	} \
	static void start_##id(struct check_run *run) \
	{ \
		begin_look(run, id); \
	} \
	static void cancel_##id(struct check_run *run) \
	{ \
		end_look(run, id); \
	} \
	static const struct check_rule rule_##id = { \
		.name = word, \
		.family = its_family, \
		.stages = STAGE_MESSAGE, \
		.reads = reader, \
		.wanted = wanted_##id, \
		.load = load_nothing, \
		.start = start_##id, \
		.cancel = cancel_##id, \
	};
CHECK(PLAIN, "plain", FAMILY_NONE, false)
CHECK(FIRST, "first", FAMILY_ANTIVIRUS, true)
CHECK(SECOND, "second", FAMILY_ANTIVIRUS, true)
CHECK(THIRD, "third", FAMILY_ANTIVIRUS, true)
CHECK(SPAM, "spam", FAMILY_ANTISPAM, true)

/* In place of those of check_rules.c. */
const struct check_rule *const check_rules[] = {
	[PLAIN] = &rule_PLAIN, [FIRST] = &rule_FIRST, [SECOND] = &rule_SECOND,
	[THIRD] = &rule_THIRD, [SPAM] = &rule_SPAM,
};
const size_t check_rule_count = ALL;

/* -- rounds ---------------------------------------------------------------------------- */

static struct event_base *base;
static struct config *cfg;
static struct checks *checks;
static struct check_round *round_now;
static struct findings result;
static unsigned results;

static void
on_done(const struct findings *found, void *arg)
{
	assert_ptr_equal(arg, &result);
	result = *found;
	results++;
	round_now = NULL;
}

static int
set_up(void **state)
{
	(void)state;
	memset(that, 0, sizeof(that));
	memset(&result, 0, sizeof(result));
	results = 0;
	base = event_base_new();
	cfg = config_row_load("antivirus_type = off\n");
	return base ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	check_cancel(round_now);
	round_now = NULL;
	checks_free(checks);
	checks = NULL;
	config_drop(cfg);
	event_base_free(base);
	return 0;
}

static void
want(enum who who, bool later, enum finding_kind says)
{
	that[who].wanted = true;
	that[who].later = later;
	that[who].says = says;
}

#define at_once(who, says) want(who, false, says)
#define is_later(who)      want(who, true, FOUND_NOTHING)

static void
load_checks(bool explain)
{
	char why[64];

	checks = explain ? checks_new_to_explain(cfg, why, sizeof(why))
	                 : checks_new(cfg, why, sizeof(why));
	assert_non_null(checks);
	assert_true(checks_start(checks, base, NULL));
}

static void
start(void)
{
	struct evidence evidence = { 0 };

	if (!checks)
		load_checks(false);
	round_now = check_start(checks, cfg, STAGE_MESSAGE, &evidence, &result, on_done,
	                        &result);
	assert_int_equal(results, 0);
}

static void
turn(void)
{
	loop_turn(base, 1);
}

/* What it is called in the log: failures can be read. */
static void
assert_found(enum who who, const char *word)
{
	for (size_t i = 0; i < result.count; i++) {
		if (strcmp(result.at[i].check, check_rules[who]->name) != 0)
			continue;
		assert_string_equal(finding_word(result.at[i].kind), word);
		return;
	}
	fail_msg("nothing by %s", check_rules[who]->name);
}

/* -- which answer ends it ------------------------------------------------------------------ */

static void
all_at_once(void **state)
{
	(void)state;
	at_once(FIRST, FOUND_NOTHING);
	at_once(SECOND, FOUND_UNSCANNABLE);
	start();
	assert_null(round_now);
	assert_int_equal(result.count, 2);
	assert_found(FIRST, "clean");
	assert_found(SECOND, "unscannable");
	turn();
	assert_int_equal(results, 0);
}

static void
none_wanted(void **state)
{
	(void)state;
	start();
	assert_null(round_now);
	assert_int_equal(result.count, 0);
}

static void
waits_for_the_last(void **state)
{
	(void)state;
	is_later(FIRST);
	is_later(SPAM);
	start();
	assert_non_null(round_now);
	say(SPAM, FOUND_SPAM_SUSPECT); /* passes: on_spam_suspect */
	turn();
	assert_int_equal(results, 0);
	say(FIRST, FOUND_NOTHING);
	assert_int_equal(results, 0); /* never from within */
	turn();
	assert_int_equal(results, 1);
	assert_found(FIRST, "clean");
	assert_found(SPAM, "spam-suspect");
	assert_int_equal(that[FIRST].cancels + that[SPAM].cancels, 0);
}

static void
refusal_ends_those_that_look(void **state)
{
	(void)state;
	is_later(FIRST);
	is_later(SECOND);
	is_later(SPAM);
	start();
	say(SECOND, FOUND_VIRUS);
	turn();
	assert_int_equal(results, 1);
	assert_found(SECOND, "virus");
	assert_int_equal(that[FIRST].cancels, 1);
	assert_int_equal(that[SPAM].cancels, 1);
}

static void
refusal_at_once_keeps_others_from_looking(void **state)
{
	(void)state;
	at_once(FIRST, FOUND_VIRUS);
	is_later(SECOND);
	at_once(SPAM, FOUND_NOTHING);
	start();
	assert_null(round_now);
	assert_int_equal(result.count, 3);
	assert_found(FIRST, "virus");
	assert_int_equal(that[SECOND].starts + that[SPAM].starts, 0);
	turn();
	assert_int_equal(results, 0);
}

static void
refusal_at_once_ends_those_before(void **state)
{
	(void)state;
	is_later(FIRST);
	at_once(SECOND, FOUND_VIRUS);
	is_later(THIRD);
	start();
	assert_null(round_now);
	assert_int_equal(that[FIRST].cancels, 1);
	assert_int_equal(that[THIRD].starts, 0);
}

/* What reads no message costs nothing, and may know more. */
static void
who_reads_nothing_is_asked_all_the_same(void **state)
{
	(void)state;
	at_once(PLAIN, FOUND_LOCKED);
	at_once(FIRST, FOUND_VIRUS);
	at_once(SECOND, FOUND_NOTHING);
	start();
	assert_null(round_now);
	assert_int_equal(that[SECOND].starts, 0);
	assert_int_equal(that[PLAIN].starts, 1);
	assert_found(PLAIN, "locked");
}

/* The server is asked to try again: another may still refuse for good. */
static void
deferral_ends_nothing(void **state)
{
	(void)state;
	is_later(FIRST);
	is_later(SPAM);
	start();
	say(SPAM, FOUND_GREYLIST);
	turn();
	assert_int_equal(results, 0);
	say(FIRST, FOUND_VIRUS);
	turn();
	assert_int_equal(results, 1);
	assert_found(SPAM, "greylist");
	assert_found(FIRST, "virus");
}

/* It is the configuration that says what is certain. */
static void
virus_that_passes_ends_nothing(void **state)
{
	(void)state;
	config_drop(cfg);
	cfg = config_row_load("antivirus_type = off\non_virus = pass\n"
	                      "on_spam_suspect = hangup\n");
	is_later(FIRST);
	is_later(SECOND);
	is_later(SPAM);
	start();
	say(FIRST, FOUND_VIRUS);
	turn();
	assert_int_equal(results, 0);
	say(SPAM, FOUND_SPAM_SUSPECT);
	turn();
	assert_int_equal(results, 1);
	assert_int_equal(that[SECOND].cancels, 1);
}

static void
answers_of_one_turn(void **state)
{
	(void)state;
	is_later(FIRST);
	is_later(SECOND);
	is_later(THIRD);
	start();
	say(FIRST, FOUND_VIRUS);
	say(SECOND, FOUND_UNSCANNABLE);
	turn();
	turn();
	assert_int_equal(results, 1);
	assert_found(FIRST, "virus");
	assert_found(SECOND, "unscannable");
	assert_int_equal(that[SECOND].cancels, 0);
	assert_int_equal(that[THIRD].cancels, 1);
}

static void
two_rounds_are_two(void **state)
{
	struct evidence evidence = { 0 };
	struct check_round *other;
	struct check_run *run;

	(void)state;
	is_later(FIRST);
	start();
	run = that[FIRST].run;
	that[FIRST].run = NULL;
	other = check_start(checks, cfg, STAGE_MESSAGE, &evidence, &result, on_done,
	                    &result);
	say(FIRST, FOUND_VIRUS);
	turn();
	assert_int_equal(results, 1);
	assert_found(FIRST, "virus");
	that[FIRST].run = run;
	say(FIRST, FOUND_NOTHING);
	turn();
	assert_int_equal(results, 2);
	assert_found(FIRST, "clean");
	assert_non_null(other);
}

/* -- who fails ------------------------------------------------------------------------------- */

static const struct failure_row {
	enum finding_kind first, second, third;
	const char *becomes; /* of the first, which failed */
} failures[] = {
	{ FOUND_FAILED, FOUND_NOTHING, FOUND_FAILED, "engine-failed" },
	{ FOUND_FAILED, FOUND_VIRUS, FOUND_FAILED, "engine-failed" },
	{ FOUND_FAILED, FOUND_NOTHING, FOUND_NOTHING, "engine-failed" },
	{ FOUND_FAILED, FOUND_UNSCANNABLE, FOUND_NOTHING, "engine-failed" },
	/* Who could not look has not looked. */
	{ FOUND_FAILED, FOUND_UNSCANNABLE, FOUND_FAILED, "failed" },
	{ FOUND_FAILED, FOUND_FAILED, FOUND_FAILED, "failed" },
	{ FOUND_UNSCANNABLE, FOUND_FAILED, FOUND_FAILED, "unscannable" },
};

static void
check_failures(bool later)
{
	const char *was;

	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		const struct failure_row *row = &failures[i];
		const enum finding_kind said[] = { row->first, row->second,
			                           row->third };

		results = 0;
		for (enum who who = FIRST; who <= THIRD; who++)
			want(who, later, said[who - FIRST]);
		at_once(SPAM, FOUND_NOTHING); /* does not look for viruses */
		start();
		for (enum who who = FIRST; later && who <= THIRD; who++)
			say(who, said[who - FIRST]);
		turn();
		assert_int_equal(results, later);
		for (size_t at = 0; at < result.count; at++)
			if (strcmp(result.at[at].check, "first") == 0) {
				was = finding_word(result.at[at].kind);
				if (strcmp(was, row->becomes) != 0)
					fail_msg("row %zu: %s", i, was);
			}
	}
}

static void
failure_beside_others(void **state)
{
	(void)state;
	config_drop(cfg); /* or a virus ends the round before the third fails */
	cfg = config_row_load("antivirus_type = off\non_virus = defer\n"
	                      "on_unscannable = defer\n");
	check_failures(false);
	check_failures(true);
}

/* Nor has who was not asked to the end. */
static void
who_was_ended_has_not_looked(void **state)
{
	(void)state;
	config_drop(cfg);
	cfg = config_row_load("antivirus_type = off\non_unscannable = refuse\n");
	is_later(FIRST);
	is_later(SECOND);
	is_later(THIRD);
	start();
	say(FIRST, FOUND_FAILED);
	say(SECOND, FOUND_UNSCANNABLE);
	turn();
	assert_int_equal(results, 1);
	assert_int_equal(that[THIRD].cancels, 1);
	assert_found(FIRST, "failed");

	results = 0;
	at_once(FIRST, FOUND_FAILED);
	at_once(SECOND, FOUND_UNSCANNABLE);
	start();
	assert_null(round_now);
	assert_int_equal(that[THIRD].starts, 1);
	assert_found(FIRST, "failed");
}

static void
spam_that_fails_is_its_own(void **state)
{
	(void)state;
	at_once(FIRST, FOUND_NOTHING);
	at_once(SPAM, FOUND_SPAM_FAILED);
	start();
	assert_found(SPAM, "spam-failed");
	assert_found(FIRST, "clean");
}

/* A reload may ask for what was not there at the start. */
static void
not_loaded(void **state)
{
	(void)state;
	load_checks(false);
	at_once(PLAIN, FOUND_NOTHING);
	at_once(FIRST, FOUND_NOTHING);
	at_once(SPAM, FOUND_NOTHING);
	start();
	assert_null(round_now);
	assert_found(PLAIN, "check-failed");
	assert_found(FIRST, "failed");
	assert_found(SPAM, "spam-failed");
	assert_int_equal(that[PLAIN].starts + that[FIRST].starts + that[SPAM].starts,
	                 0);
	for (size_t i = 0; i < result.count; i++)
		assert_string_equal(result.at[i].name, "not loaded, restart needed");
}

static void
not_loaded_beside_one_that_looks(void **state)
{
	(void)state;
	at_once(FIRST, FOUND_NOTHING);
	load_checks(false);
	at_once(SECOND, FOUND_NOTHING);
	start();
	assert_found(FIRST, "clean");
	assert_found(SECOND, "engine-failed");
}

/* -- time is over ------------------------------------------------------------------------------ */

static void
expired(void **state)
{
	(void)state;
	is_later(PLAIN);
	is_later(FIRST);
	is_later(SECOND);
	is_later(SPAM);
	start();
	say(SECOND, FOUND_NOTHING);
	check_expire(round_now, &result);
	round_now = NULL;
	assert_found(PLAIN, "check-failed");
	assert_found(FIRST, "engine-failed");
	assert_found(SECOND, "clean");
	assert_found(SPAM, "spam-failed");
	assert_string_equal(result.at[0].name, "no verdict in time");
	assert_int_equal(that[FIRST].cancels, 1);
	assert_int_equal(that[SECOND].cancels, 0);
	turn();
	assert_int_equal(results, 0);
}

/* In the very turn in which the answer came that ends it. */
static void
expired_too_late(void **state)
{
	(void)state;
	is_later(FIRST);
	is_later(SPAM);
	start();
	say(SPAM, FOUND_SPAM);
	check_expire(round_now, &result);
	round_now = NULL;
	assert_found(SPAM, "spam");
	assert_found(FIRST, "clean"); /* it did not fail: nobody waited for it */
	assert_int_equal(that[FIRST].cancels, 1);
	turn();
	assert_int_equal(results, 0);
}

/* -- cancelled ----------------------------------------------------------------------------------- */

static void
cancel(void)
{
	check_cancel(round_now);
	round_now = NULL;
	turn();
	assert_int_equal(results, 0);
}

static void
cancelled_before_any_answer(void **state)
{
	(void)state;
	is_later(FIRST);
	is_later(SECOND);
	start();
	cancel();
	assert_int_equal(that[FIRST].cancels, 1);
	assert_int_equal(that[SECOND].cancels, 1);
}

static void
cancelled_between_answers(void **state)
{
	(void)state;
	at_once(FIRST, FOUND_NOTHING);
	is_later(SECOND);
	is_later(THIRD);
	start();
	say(SECOND, FOUND_NOTHING);
	turn();
	cancel();
	assert_int_equal(that[FIRST].cancels + that[SECOND].cancels, 0);
	assert_int_equal(that[THIRD].cancels, 1);
}

static void
cancelled_when_it_is_certain(void **state)
{
	(void)state;
	is_later(FIRST);
	is_later(SECOND);
	start();
	say(FIRST, FOUND_VIRUS);
	cancel();
	assert_int_equal(that[FIRST].cancels, 0);
	assert_int_equal(that[SECOND].cancels, 1);
}

static void
cancelled_when_all_have_answered(void **state)
{
	(void)state;
	is_later(FIRST);
	start();
	say(FIRST, FOUND_NOTHING);
	cancel();
	assert_int_equal(that[FIRST].cancels, 0);
}

static void
no_round_cancelled(void **state)
{
	(void)state;
	load_checks(false);
	check_cancel(NULL);
}

/* -- to explain ------------------------------------------------------------------------------------ */

static void
explained_by_all(void **state)
{
	(void)state;
	at_once(FIRST, FOUND_VIRUS);
	is_later(SECOND);
	at_once(THIRD, FOUND_FAILED);
	is_later(SPAM);
	at_once(PLAIN, FOUND_LOCKED); /* of the client, not of the message */
	load_checks(true);
	start();
	assert_non_null(round_now);
	say(SPAM, FOUND_SPAM);
	turn();
	assert_int_equal(results, 0);
	say(SECOND, FOUND_NOTHING);
	turn();
	assert_int_equal(results, 1);
	assert_int_equal(result.count, 4);
	assert_found(FIRST, "virus");
	assert_found(SECOND, "clean");
	assert_found(THIRD, "engine-failed");
	assert_found(SPAM, "spam");
	assert_int_equal(that[PLAIN].starts, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_at_once),
		TEST(none_wanted),
		TEST(waits_for_the_last),
		TEST(refusal_ends_those_that_look),
		TEST(refusal_at_once_keeps_others_from_looking),
		TEST(refusal_at_once_ends_those_before),
		TEST(who_reads_nothing_is_asked_all_the_same),
		TEST(deferral_ends_nothing),
		TEST(virus_that_passes_ends_nothing),
		TEST(answers_of_one_turn),
		TEST(two_rounds_are_two),
		TEST(failure_beside_others),
		TEST(who_was_ended_has_not_looked),
		TEST(spam_that_fails_is_its_own),
		TEST(not_loaded),
		TEST(not_loaded_beside_one_that_looks),
		TEST(expired),
		TEST(expired_too_late),
		TEST(cancelled_before_any_answer),
		TEST(cancelled_between_answers),
		TEST(cancelled_when_it_is_certain),
		TEST(cancelled_when_all_have_answered),
		TEST(no_round_cancelled),
		TEST(explained_by_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
