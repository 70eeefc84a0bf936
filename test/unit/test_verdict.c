#include "verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct config
config_with(int on_unscannable, int on_scan_failed, bool ignore_errors)
{
	static char virus[] = "Virus found:", unscannable[] = "Cannot scan:";
	static char failed[] = "Scanner error", newline[] = "Stray newline";

	return (struct config){
		.on_unscannable = on_unscannable,
		.on_scan_failed = on_scan_failed,
		.on_virus = ACTION_REFUSE,
		.on_bare_newline = ACTION_REFUSE,
		.ignore_errors = ignore_errors,
		.msg_virus_found = virus,
		.msg_unscannable = unscannable,
		.msg_scanner_failed = failed,
		.msg_bare_newline = newline,
	};
}

static struct finding
finding(enum finding_kind kind, const char *name)
{
	struct finding found = { .kind = kind, .check = "test" };

	snprintf(found.name, sizeof(found.name), "%s", name);
	return found;
}

static const struct {
	const char *title;
	enum finding_kind kind;
	const char *name;
	int on_unscannable, on_scan_failed;
	bool ignore_errors;
	enum verdict_act act;
	int code;
	const char *enhanced, *text;
} rows[] = {
	{ "clean", FOUND_NOTHING, "", ACTION_REFUSE, ACTION_REFUSE, false,
	  VERDICT_DELIVER, 0, NULL, "" },
	{ "virus", FOUND_VIRUS, "Eicar-Test", ACTION_PASS, ACTION_PASS, true,
	  VERDICT_REFUSE, 550, "5.7.1", "Virus found: Eicar-Test" },
	{ "nameless virus", FOUND_VIRUS, "", ACTION_PASS, ACTION_PASS, true,
	  VERDICT_REFUSE, 550, "5.7.1", "Virus found:" },
	{ "virus with a bad name", FOUND_VIRUS, "a\r\n250 \x1b\xc5\x7f%s", 0, 0, false,
	  VERDICT_REFUSE, 550, "5.7.1", "Virus found: a??250 ???%s" },
	{ "unscannable, pass", FOUND_UNSCANNABLE, "too big", ACTION_PASS, ACTION_REFUSE,
	  false, VERDICT_DELIVER, 0, NULL, "" },
	{ "unscannable, refuse", FOUND_UNSCANNABLE, "too big", ACTION_REFUSE,
	  ACTION_PASS, true, VERDICT_REFUSE, 554, "5.7.1", "Cannot scan: too big" },
	{ "unscannable, defer", FOUND_UNSCANNABLE, "encrypted", ACTION_DEFER,
	  ACTION_PASS, true, VERDICT_DEFER, 451, "4.7.1", "Cannot scan: encrypted" },
	{ "failed, pass", FOUND_FAILED, "no memory", ACTION_REFUSE, ACTION_PASS, false,
	  VERDICT_DELIVER, 0, NULL, "" },
	{ "failed, refuse", FOUND_FAILED, "no memory", ACTION_PASS, ACTION_REFUSE,
	  false, VERDICT_REFUSE, 554, "5.3.0", "Scanner error" },
	{ "failed, defer", FOUND_FAILED, "no memory", ACTION_PASS, ACTION_DEFER, false,
	  VERDICT_DEFER, 451, "4.3.0", "Scanner error" },
	{ "failed, errors ignored", FOUND_FAILED, "x", ACTION_REFUSE, ACTION_REFUSE,
	  true, VERDICT_DELIVER, 0, NULL, "" },
	{ "bare newline", FOUND_BARE_NEWLINE, "", ACTION_PASS, ACTION_PASS, true,
	  VERDICT_REFUSE, 550, "5.6.0", "Stray newline" },
};

static void
a_finding_leads_to_what_the_configuration_says(void **unused)
{
	(void)unused;
	for (size_t n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
		struct config cfg = config_with(rows[n].on_unscannable,
		                                rows[n].on_scan_failed,
		                                rows[n].ignore_errors);
		struct finding found = finding(rows[n].kind, rows[n].name);
		struct verdict verdict;

		print_message("%s\n", rows[n].title);
		verdict_weigh(&verdict, &cfg, &found, 1);
		assert_int_equal(verdict.act, rows[n].act);
		assert_int_equal(verdict.code, rows[n].code);
		assert_string_equal(verdict.text, rows[n].text);
		if (rows[n].enhanced)
			assert_string_equal(verdict.enhanced, rows[n].enhanced);
		else
			assert_null(verdict.enhanced);
		assert_int_equal(verdict.because.kind, rows[n].kind);
		assert_string_equal(verdict.because.name, rows[n].name);
	}
}

/* The options that findings.def names, as fields. */
static int *
action_of(struct config *cfg, enum finding_kind kind)
{
	switch (kind) {
	case FOUND_NOTHING:
	case FOUND_KINDS:
		break;
#define FINDING(id, word, option, ...) \
	case FOUND_##id: \
		return &cfg->option;
#include "findings.def"
	}
	fail();
	return NULL;
}

static void
check_reply(const struct verdict *verdict, int class, const char *enhanced)
{
	assert_int_equal(verdict->code / 100, class);
	assert_memory_equal(verdict->enhanced, enhanced, 2);
	assert_true(strlen(verdict->text) > 5);
}

static void
every_finding_obeys_its_option(void **unused)
{
	char why[256];
	struct config *cfg = config_load(NULL, why, sizeof(why), NULL, NULL);

	(void)unused;
	for (enum finding_kind kind = FOUND_NOTHING + 1; kind < FOUND_KINDS; kind++) {
		struct finding found = finding(kind, "x");
		struct verdict verdict;

		print_message("%s\n", finding_word(kind));
		*action_of(cfg, kind) = ACTION_PASS;
		verdict_weigh(&verdict, cfg, &found, 1);
		assert_int_equal(verdict.act, VERDICT_DELIVER);
		*action_of(cfg, kind) = ACTION_DEFER;
		verdict_weigh(&verdict, cfg, &found, 1);
		assert_int_equal(verdict.act, VERDICT_DEFER);
		assert_int_equal(verdict_greeting_code(&verdict), 421);
		check_reply(&verdict, 4, "4.");
		*action_of(cfg, kind) = ACTION_REFUSE;
		verdict_weigh(&verdict, cfg, &found, 1);
		assert_int_equal(verdict.act, VERDICT_REFUSE);
		assert_int_equal(verdict_greeting_code(&verdict), 554);
		check_reply(&verdict, 5, "5.");
		*action_of(cfg, kind) = ACTION_HANG_UP;
		verdict_weigh(&verdict, cfg, &found, 1);
		assert_int_equal(verdict.act, VERDICT_HANG_UP);
		check_reply(&verdict, 5, "5.");
	}
	config_drop(cfg);
}

/* A mark is more than nothing, and less than what keeps a message back. */
static void
what_is_tagged_is_delivered(void **unused)
{
	char why[256];
	struct config *cfg = config_load(NULL, why, sizeof(why), NULL, NULL);
	struct finding found[] = { finding(FOUND_SPAM, "x"),
		                   finding(FOUND_SPAM_SUSPECT, "y"),
		                   finding(FOUND_FAILED, "z") };
	struct verdict verdict;

	(void)unused;
	cfg->on_spam = ACTION_PASS;
	cfg->on_spam_suspect = ACTION_TAG;
	cfg->on_scan_failed = ACTION_DEFER;
	verdict_weigh(&verdict, cfg, found, 2);
	assert_int_equal(verdict.act, VERDICT_TAG);
	assert_int_equal(verdict.because.kind, FOUND_SPAM_SUSPECT);
	assert_int_equal(verdict.code, 0);
	assert_string_equal(verdict_word(verdict.act), "tag");
	assert_false(verdict_is_certain(cfg, &found[1]));
	verdict_weigh(&verdict, cfg, found, 3);
	assert_int_equal(verdict.act, VERDICT_DEFER);
	cfg->on_spam = ACTION_REFUSE;
	verdict_weigh(&verdict, cfg, found, 3);
	assert_int_equal(verdict.act, VERDICT_REFUSE);
	config_drop(cfg);
}

/* What 1.4 and its users know. */
static void
words_of_scripts_and_masks(void **unused)
{
	(void)unused;
	assert_string_equal(finding_script_word(FOUND_VIRUS), "VIRUS");
	assert_string_equal(finding_script_word(FOUND_MAX_HOST), "MAX_HOST");
	assert_string_equal(finding_script_word(FOUND_MAX_IDENT), "MAX_IDENT");
	assert_string_equal(finding_script_word(FOUND_REGEX_HELO), "REGEX_HELO");
	assert_string_equal(finding_script_word(FOUND_REGEX_MAIL_FROM),
	                    "REGEX_MAIL_FROM");
	assert_string_equal(finding_script_word(FOUND_REGEX_RCPT_TO), "REGEX_RCPT_TO");
	assert_string_equal(finding_script_word(FOUND_EARLYTALK), "EARLYTALK");
	assert_string_equal(finding_script_word(FOUND_RATELIMIT_MAILFROM_REJECTS),
	                    "RATELIMIT_MAILFROM_REJECTS");
	assert_string_equal(finding_script_word(FOUND_RATELIMIT_RCPTTO_REJECTS),
	                    "RATELIMIT_RCPTTO_REJECTS");
	assert_string_equal(finding_script_word(FOUND_NOTHING), "");
	assert_int_equal(finding_class(FOUND_NOTHING), CLASS_CLEAN);
	assert_int_equal(finding_class(FOUND_VIRUS), CLASS_VIRUS);
	assert_int_equal(finding_class(FOUND_REGEX_HELO), CLASS_REGEX);
	assert_int_equal(finding_class(FOUND_RATELIMIT_AUTH_REJECTS), CLASS_RATELIMIT);
	assert_int_equal(finding_class(FOUND_RATELIMIT_MESSAGES), CLASS_RATE);
	assert_int_equal(finding_counter(FOUND_VIRUS), STAT_mails_infected);
	assert_int_equal(finding_counter(FOUND_LOCKED), STAT_refused_lock);
}

static void
no_findings_deliver(void **unused)
{
	struct config cfg = config_with(ACTION_REFUSE, ACTION_REFUSE, false);
	struct verdict verdict;

	(void)unused;
	verdict_weigh(&verdict, &cfg, NULL, 0);
	assert_int_equal(verdict.act, VERDICT_DELIVER);
	assert_int_equal(verdict.code, 0);
	assert_string_equal(verdict.text, "");
	assert_int_equal(verdict.because.kind, FOUND_NOTHING);
}

static void
assert_wins(const struct config *cfg, enum finding_kind winner, enum finding_kind loser)
{
	struct finding found[3] = { finding(loser, "loser"), finding(winner, "winner"),
		                    finding(loser, "loser") };
	struct verdict verdict;

	verdict_weigh(&verdict, cfg, found, 3);
	assert_int_equal(verdict.because.kind, winner);
	verdict_weigh(&verdict, cfg, found + 1, 2);
	assert_int_equal(verdict.because.kind, winner);
	verdict_weigh(&verdict, cfg, found, 2);
	assert_int_equal(verdict.because.kind, winner);
}

static void
the_gravest_finding_wins(void **unused)
{
	static const enum finding_kind order[] = {
		FOUND_VIRUS,       FOUND_BARE_NEWLINE, FOUND_FAILED,
		FOUND_UNSCANNABLE, FOUND_NOTHING,
	};
	struct config refuse = config_with(ACTION_REFUSE, ACTION_REFUSE, false);
	struct config pass = config_with(ACTION_PASS, ACTION_PASS, false);

	(void)unused;
	for (size_t i = 0; i < 5; i++) {
		for (size_t k = i + 1; k < 5; k++) {
			assert_wins(&refuse, order[i], order[k]);
			assert_wins(&pass, order[i], order[k]);
		}
	}
}

/* A scanner that failed and is forgiven must not wave through what another one could not
 * look at. */
static void
a_finding_that_passes_hides_none_that_does_not(void **unused)
{
	struct config cfg = config_with(ACTION_REFUSE, ACTION_DEFER, true);

	(void)unused;
	assert_wins(&cfg, FOUND_UNSCANNABLE, FOUND_FAILED);
}

static void
the_first_of_equals_is_named(void **unused)
{
	struct config cfg = config_with(ACTION_PASS, ACTION_PASS, false);
	struct finding found[] = { finding(FOUND_NOTHING, ""),
		                   finding(FOUND_VIRUS, "one"),
		                   finding(FOUND_VIRUS, "two") };
	struct verdict verdict;

	(void)unused;
	verdict_weigh(&verdict, &cfg, found, 3);
	assert_string_equal(verdict.text, "Virus found: one");
}

/* Nobody takes what was not looked at for clean. */
static void
who_did_not_look_is_told(void **unused)
{
	struct config cfg = config_with(ACTION_PASS, ACTION_PASS, false);
	struct finding found[] = { finding(FOUND_NOTHING, ""),
		                   finding(FOUND_NOTHING, ""),
		                   finding(FOUND_NOTHING, "") };
	struct verdict verdict;

	(void)unused;
	found[0].check = "spamassassin";
	found[0].skipped = "spam_max_size";
	found[2].check = "rspamd";
	found[2].skipped = "auth_skip";
	verdict_weigh(&verdict, &cfg, found, 3);
	assert_string_equal(verdict.skipped,
	                    "spamassassin:spam_max_size,rspamd:auth_skip");
	assert_string_equal(verdict.because.check, "test");
	assert_null(verdict.because.skipped);
	verdict_weigh(&verdict, &cfg, found, 1);
	assert_string_equal(verdict.because.skipped, "spam_max_size");
	verdict_weigh(&verdict, &cfg, found + 1, 1);
	assert_string_equal(verdict.skipped, "");
}

static void
a_long_text_is_cut(void **unused)
{
	struct config cfg = config_with(ACTION_PASS, ACTION_PASS, false);
	struct finding found = finding(FOUND_VIRUS, "");
	struct verdict verdict;
	char words[1000];

	(void)unused;
	memset(words, 'w', sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	cfg.msg_virus_found = words;
	memset(found.name, 'n', sizeof(found.name) - 1);
	verdict_weigh(&verdict, &cfg, &found, 1);
	assert_int_equal(strlen(verdict.text), sizeof(verdict.text) - 1);
}

static void
words_are_those_of_the_log(void **unused)
{
	(void)unused;
	assert_string_equal(finding_word(FOUND_NOTHING), "clean");
	assert_string_equal(finding_word(FOUND_VIRUS), "virus");
	assert_string_equal(finding_word(FOUND_UNSCANNABLE), "unscannable");
	assert_string_equal(finding_word(FOUND_FAILED), "failed");
	assert_string_equal(finding_word(FOUND_BARE_NEWLINE), "bare-newline");
	assert_string_equal(verdict_word(VERDICT_DELIVER), "deliver");
	assert_string_equal(verdict_word(VERDICT_REFUSE), "refuse");
	assert_string_equal(verdict_word(VERDICT_DEFER), "defer");
	assert_string_equal(verdict_word(VERDICT_HANG_UP), "hang-up");
}

static struct finding
scored(enum finding_kind kind, double score)
{
	struct finding found = finding(kind, "");

	found.has_score = true;
	found.score = score;
	return found;
}

/* Of what decided; else the most, for scanners count in ways of their own. */
static void
points_are_those_of_what_decided(void **unused)
{
	struct config cfg = config_with(ACTION_PASS, ACTION_PASS, false);
	static char spam[] = "Spam";
	struct verdict verdict;

	(void)unused;
	cfg.on_spam = ACTION_REFUSE;
	cfg.msg_spam_found = spam;
	verdict_weigh(&verdict, &cfg,
	              (struct finding[]){ finding(FOUND_NOTHING, ""),
	                                  scored(FOUND_NOTHING, -2),
	                                  scored(FOUND_NOTHING, -1) },
	              3);
	assert_true(verdict.has_score && verdict.score == -1);
	verdict_weigh(
		&verdict, &cfg,
		(struct finding[]){ scored(FOUND_NOTHING, 20), scored(FOUND_SPAM, 16) },
		2);
	assert_true(verdict.has_score && verdict.score == 16);
	assert_string_equal(verdict.text, "Spam");
	verdict_weigh(&verdict, &cfg,
	              (struct finding[]){ scored(FOUND_NOTHING, 3),
	                                  finding(FOUND_VIRUS, "x") },
	              2);
	assert_true(verdict.has_score && verdict.score == 3);
	verdict_weigh(&verdict, &cfg, (struct finding[]){ finding(FOUND_VIRUS, "x") },
	              1);
	assert_false(verdict.has_score);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(points_are_those_of_what_decided),
		cmocka_unit_test(a_finding_leads_to_what_the_configuration_says),
		cmocka_unit_test(every_finding_obeys_its_option),
		cmocka_unit_test(what_is_tagged_is_delivered),
		cmocka_unit_test(words_of_scripts_and_masks),
		cmocka_unit_test(no_findings_deliver),
		cmocka_unit_test(the_gravest_finding_wins),
		cmocka_unit_test(a_finding_that_passes_hides_none_that_does_not),
		cmocka_unit_test(the_first_of_equals_is_named),
		cmocka_unit_test(who_did_not_look_is_told),
		cmocka_unit_test(a_long_text_is_cut),
		cmocka_unit_test(words_are_those_of_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
