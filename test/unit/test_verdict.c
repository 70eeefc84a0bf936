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
	{ "clean", FOUND_NOTHING, "", UNSCANNABLE_REFUSE, FAILED_REFUSE, false,
	  VERDICT_DELIVER, 0, NULL, "" },
	{ "virus", FOUND_VIRUS, "Eicar-Test", UNSCANNABLE_PASS, FAILED_PASS, true,
	  VERDICT_REFUSE, 550, "5.7.1", "Virus found: Eicar-Test" },
	{ "nameless virus", FOUND_VIRUS, "", UNSCANNABLE_PASS, FAILED_PASS, true,
	  VERDICT_REFUSE, 550, "5.7.1", "Virus found:" },
	{ "virus with a bad name", FOUND_VIRUS, "a\r\n250 \x1b\xc5\x7f%s", 0, 0, false,
	  VERDICT_REFUSE, 550, "5.7.1", "Virus found: a??250 ???%s" },
	{ "unscannable, pass", FOUND_UNSCANNABLE, "too big", UNSCANNABLE_PASS,
	  FAILED_REFUSE, false, VERDICT_DELIVER, 0, NULL, "" },
	{ "unscannable, refuse", FOUND_UNSCANNABLE, "too big", UNSCANNABLE_REFUSE,
	  FAILED_PASS, true, VERDICT_REFUSE, 554, "5.7.1", "Cannot scan: too big" },
	{ "unscannable, defer", FOUND_UNSCANNABLE, "encrypted", UNSCANNABLE_DEFER,
	  FAILED_PASS, true, VERDICT_DEFER, 451, "4.7.1", "Cannot scan: encrypted" },
	{ "failed, pass", FOUND_FAILED, "no memory", UNSCANNABLE_REFUSE, FAILED_PASS,
	  false, VERDICT_DELIVER, 0, NULL, "" },
	{ "failed, refuse", FOUND_FAILED, "no memory", UNSCANNABLE_PASS, FAILED_REFUSE,
	  false, VERDICT_REFUSE, 554, "5.3.0", "Scanner error" },
	{ "failed, defer", FOUND_FAILED, "no memory", UNSCANNABLE_PASS, FAILED_DEFER,
	  false, VERDICT_DEFER, 451, "4.3.0", "Scanner error" },
	{ "failed, errors ignored", FOUND_FAILED, "x", UNSCANNABLE_REFUSE,
	  FAILED_REFUSE, true, VERDICT_DELIVER, 0, NULL, "" },
	{ "bare newline", FOUND_BARE_NEWLINE, "", UNSCANNABLE_PASS, FAILED_PASS, true,
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

static void
no_findings_deliver(void **unused)
{
	struct config cfg = config_with(UNSCANNABLE_REFUSE, FAILED_REFUSE, false);
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
	struct config refuse = config_with(UNSCANNABLE_REFUSE, FAILED_REFUSE, false);
	struct config pass = config_with(UNSCANNABLE_PASS, FAILED_PASS, false);

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
	struct config cfg = config_with(UNSCANNABLE_REFUSE, FAILED_DEFER, true);

	(void)unused;
	assert_wins(&cfg, FOUND_UNSCANNABLE, FOUND_FAILED);
}

static void
the_first_of_equals_is_named(void **unused)
{
	struct config cfg = config_with(UNSCANNABLE_PASS, FAILED_PASS, false);
	struct finding found[] = { finding(FOUND_NOTHING, ""),
		                   finding(FOUND_VIRUS, "one"),
		                   finding(FOUND_VIRUS, "two") };
	struct verdict verdict;

	(void)unused;
	verdict_weigh(&verdict, &cfg, found, 3);
	assert_string_equal(verdict.text, "Virus found: one");
}

static void
a_long_text_is_cut(void **unused)
{
	struct config cfg = config_with(UNSCANNABLE_PASS, FAILED_PASS, false);
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
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_finding_leads_to_what_the_configuration_says),
		cmocka_unit_test(no_findings_deliver),
		cmocka_unit_test(the_gravest_finding_wins),
		cmocka_unit_test(a_finding_that_passes_hides_none_that_does_not),
		cmocka_unit_test(the_first_of_equals_is_named),
		cmocka_unit_test(a_long_text_is_cut),
		cmocka_unit_test(words_are_those_of_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
