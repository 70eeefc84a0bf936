#include "config_rows.h"

#include "check.h"
#include "clock.h"

/*
 * The checks that answer at once and keep nothing: regular expressions, AUTH, early
 * talkers.  What is known at a stage, in; a finding, out.
 */
static struct event_base *base;

static int
begin(void **state)
{
	(void)state;
	base = event_base_new();
	return base ? 0 : -1;
}

static int
end(void **state)
{
	(void)state;
	event_base_free(base);
	return 0;
}

static struct checks *
checks_of(const struct config *cfg)
{
	char why[256];
	struct checks *checks = checks_new(cfg, why, sizeof(why));

	if (!checks)
		fail_msg("%s", why);
	assert_true(checks_ready(checks, why, sizeof(why)));
	assert_true(checks_start(checks, base));
	return checks;
}

/* What weighs most, as the session would have it. */
static struct finding
look(struct checks *checks, const struct config *cfg, enum stage stage,
     const struct evidence *evidence)
{
	struct finding gravest = { .kind = FOUND_NOTHING };
	struct findings found;

	assert_null(check_start(checks, cfg, stage, evidence, &found, NULL, NULL));
	for (size_t i = 0; i < found.count; i++)
		if (finding_gravity(found.at[i].kind) > finding_gravity(gravest.kind))
			gravest = found.at[i];
	return gravest;
}

static const struct row {
	const char *text; /* of the configuration */
	enum stage stage;
	struct evidence evidence;
	enum finding_kind kind;
	const char *name;
} rows[] = {
#define HELO(text, said) \
	text, STAGE_HELO, \
	{ \
		.helo = (said) \
	}
#define MAIL(text, path) \
	text, STAGE_MAIL, \
	{ \
		.helo = "mx.example", .sender = (path) \
	}
#define RCPT(text, path) \
	text, STAGE_RCPT, \
	{ \
		.recipient = (path) \
	}
	/* regex_reject_helo, regex_enforce_helo */
	{ HELO("regex_reject_helo = a\n", "bab"), FOUND_REGEX_HELO,
	  "regex_reject_helo" },
	{ HELO("regex_reject_helo = a\n", "BAB"), FOUND_NOTHING, "" },
	{ HELO("regex_reject_helo = 'b$'\n", "ab \t\v\f"), FOUND_REGEX_HELO,
	  "regex_reject_helo" },
	{ HELO("regex_enforce_helo = '^a b$'\n", "a b "), FOUND_NOTHING, "" },
	{ HELO("regex_enforce_helo = a\n", "bab"), FOUND_NOTHING, "" },
	{ HELO("regex_enforce_helo = a\n", "b"), FOUND_REGEX_HELO,
	  "regex_enforce_helo" },
	{ HELO("regex_enforce_helo = a\n", ""), FOUND_REGEX_HELO,
	  "regex_enforce_helo" },
	{ HELO("regex_enforce_helo = a\nregex_reject_helo = c\n", "ac"),
	  FOUND_REGEX_HELO, "regex_reject_helo" },
	{ HELO("regex_reject_mail_from = a\nregex_reject_rcpt_to = a\n", "a"),
	  FOUND_NOTHING, "" },
	/* at MAIL once more, and for who said none */
	{ "regex_reject_helo = a\n",
	  STAGE_MAIL,
	  { .helo = "a", .sender = "b" },
	  FOUND_REGEX_HELO,
	  "regex_reject_helo" },
	{ "regex_enforce_helo = a\n",
	  STAGE_MAIL,
	  { .sender = "b" },
	  FOUND_REGEX_HELO,
	  "regex_enforce_helo" },
	{ "regex_reject_helo = a\n", STAGE_MAIL, { .sender = "a" }, FOUND_NOTHING, "" },
	{ "regex_reject_helo = a\n", STAGE_RCPT, { .helo = "a" }, FOUND_NOTHING, "" },
	/* regex_reject_mail_from, regex_enforce_mail_from */
	{ MAIL("regex_reject_mail_from = '^a@b$'\n", "a@b"), FOUND_REGEX_MAIL_FROM,
	  "regex_reject_mail_from" },
	{ MAIL("regex_reject_mail_from = '^a@b$'\n", "a@bc"), FOUND_NOTHING, "" },
	{ MAIL("regex_reject_mail_from = '^$'\n", ""), FOUND_REGEX_MAIL_FROM,
	  "regex_reject_mail_from" },
	{ MAIL("regex_reject_mail_from = a\n", NULL), FOUND_REGEX_MAIL_FROM,
	  "regex_reject_mail_from: no address in it" },
	{ MAIL("regex_enforce_mail_from = '@'\n", "a@b"), FOUND_NOTHING, "" },
	{ MAIL("regex_enforce_mail_from = '@'\n", ""), FOUND_REGEX_MAIL_FROM,
	  "regex_enforce_mail_from" },
	{ MAIL("regex_enforce_mail_from = '@'\n", NULL), FOUND_REGEX_MAIL_FROM,
	  "regex_enforce_mail_from: no address in it" },
	{ MAIL("regex_reject_rcpt_to = a\n", NULL), FOUND_NOTHING, "" },
	/* regex_reject_rcpt_to, regex_enforce_rcpt_to */
	{ RCPT("regex_reject_rcpt_to = '^root'\n", "root@b"), FOUND_REGEX_RCPT_TO,
	  "regex_reject_rcpt_to" },
	{ RCPT("regex_reject_rcpt_to = '^root'\n", "ann@b"), FOUND_NOTHING, "" },
	{ RCPT("regex_enforce_rcpt_to = '@b$'\n", "root@b"), FOUND_NOTHING, "" },
	{ RCPT("regex_enforce_rcpt_to = '@b$'\n", "root@bc"), FOUND_REGEX_RCPT_TO,
	  "regex_enforce_rcpt_to" },
	{ RCPT("regex_enforce_rcpt_to = '@b$'\n", NULL), FOUND_REGEX_RCPT_TO,
	  "regex_enforce_rcpt_to: no address in it" },
	/* regex_match_limit */
	{ RCPT("regex_reject_rcpt_to = '(a+)+$'\nregex_match_limit = 1000\n",
	       "aaaaaaaaaa!"),
	  FOUND_CHECK_FAILED, "regex_reject_rcpt_to: more than 1000 steps" },
	{ RCPT("regex_reject_rcpt_to = '(a+)+$'\nregex_match_limit = 10000\n",
	       "aaaaaaaaaa!"),
	  FOUND_NOTHING, "" },
	{ RCPT("regex_enforce_rcpt_to = '(a+)+$'\nregex_match_limit = 1000\n",
	       "aaaaaaaaaa!"),
	  FOUND_CHECK_FAILED, "regex_enforce_rcpt_to: more than 1000 steps" },
	{ RCPT("regex_enforce_rcpt_to = '(a+)+$'\nregex_match_limit = 1000\n"
	       "regex_reject_rcpt_to = '!'\n",
	       "aaaaaaaaaa!"),
	  FOUND_REGEX_RCPT_TO, "regex_reject_rcpt_to" },
	{ RCPT("regex_reject_rcpt_to = '(*UTF)a'\n", "\xC5"), FOUND_CHECK_FAILED,
	  "regex_reject_rcpt_to: UTF-8 error: 1 byte missing at end" },
	/* auth_skip = regex: HELO waits for MAIL, and who authenticated is spared */
	{ HELO("auth_skip = regex\nregex_reject_helo = a\n", "a"), FOUND_NOTHING, "" },
	{ "auth_skip = regex\nregex_reject_helo = a\n",
	  STAGE_MAIL,
	  { .helo = "a", .sender = "b" },
	  FOUND_REGEX_HELO,
	  "regex_reject_helo" },
	{ "auth_skip = regex\nregex_reject_helo = a\nregex_reject_mail_from = b\n",
	  STAGE_MAIL,
	  { .helo = "a", .sender = "b", .authenticated = true },
	  FOUND_NOTHING,
	  "" },
	{ "auth_skip = {direct, antivir, antispam, dnsbl}\nregex_reject_rcpt_to = b\n",
	  STAGE_RCPT,
	  { .recipient = "b", .authenticated = true },
	  FOUND_REGEX_RCPT_TO,
	  "regex_reject_rcpt_to" },
	{ "auth_skip = none\nregex_reject_rcpt_to = b\n",
	  STAGE_RCPT,
	  { .recipient = "b", .authenticated = true },
	  FOUND_REGEX_RCPT_TO,
	  "regex_reject_rcpt_to" },
	/* auth_require */
	{ "auth_require = no\n",
	  STAGE_DATA,
	  { .auth_offered = true },
	  FOUND_NOTHING,
	  "" },
	{ "auth_require = ifsupported\n", STAGE_DATA, { 0 }, FOUND_NOTHING, "" },
	{ "auth_require = ifsupported\n",
	  STAGE_DATA,
	  { .auth_offered = true },
	  FOUND_NO_AUTH,
	  "" },
	{ "auth_require = ifsupported\n",
	  STAGE_DATA,
	  { .auth_offered = true, .authenticated = true },
	  FOUND_NOTHING,
	  "" },
	{ "auth_require = mandatory\n", STAGE_DATA, { 0 }, FOUND_NO_AUTH, "" },
	{ "auth_require = mandatory\n",
	  STAGE_DATA,
	  { .authenticated = true },
	  FOUND_NOTHING,
	  "" },
	{ "auth_require = mandatory\n",
	  STAGE_MAIL,
	  { .sender = "a" },
	  FOUND_NOTHING,
	  "" },
	/* earlytalker */
	{ "", STAGE_GREETING, { .spoke_early = true }, FOUND_EARLYTALK, "" },
	{ "", STAGE_GREETING, { 0 }, FOUND_NOTHING, "" },
	{ "earlytalker = no\n",
	  STAGE_GREETING,
	  { .spoke_early = true },
	  FOUND_NOTHING,
	  "" },
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		char *text = xasprintf("antivirus_type = off\nlock_duration = 0\n%s",
		                       row->text);
		struct config *cfg = config_row_load(text);
		struct checks *checks = checks_of(cfg);
		struct finding found = look(checks, cfg, row->stage, &row->evidence);

		if (found.kind != row->kind || strcmp(found.name, row->name) != 0)
			fail_msg("row %zu: %s\ncame %s \"%s\"", i, row->text,
			         finding_word(found.kind), found.name);
		checks_free(checks);
		config_drop(cfg);
		free(text);
	}
}

/* Nobody asks for what no option wants. */
static void
test_stages(void **state)
{
	struct config *cfg = config_row_load(
		"antivirus_type = off\nearlytalker = no\n");
	unsigned none = check_stages(cfg);

	(void)state;
	config_drop(cfg);
	cfg = config_row_load("antivirus_type = off\nregex_enforce_rcpt_to = a\n");
	assert_int_equal(check_stages(cfg) & ~none,
	                 STAGE_GREETING | STAGE_HELO | STAGE_MAIL | STAGE_RCPT);
	config_drop(cfg);
	cfg = config_row_load("antivirus_type = off\nauth_require = mandatory\n");
	assert_int_equal(check_stages(cfg) & ~none, STAGE_GREETING | STAGE_DATA);
	config_drop(cfg);
}

/* What a whole session's looks cost: printed, for people. */
static void
test_cost(void **state)
{
	enum { ROUNDS = 10000 };
	struct config *cfg = config_row_load(
		"antivirus_type = off\nlock_duration = 0\nauth_require = mandatory\n"
		"regex_enforce_helo = '^([a-z0-9-]+\\.)+[a-z]{2,}$'\n"
		"regex_reject_helo = '^\\['\n"
		"regex_enforce_mail_from = '^$|@(mail\\.)?example\\.com$'\n"
		"regex_reject_mail_from = '(?i)^(abuse|root)@'\n"
		"regex_enforce_rcpt_to = '^[^@]+@[^@]+$'\n"
		"regex_reject_rcpt_to = '[%!|]'\n");
	struct checks *checks = checks_of(cfg);
	struct evidence evidence = { .helo = "mail.example.com",
		                     .sender = "ann@example.com",
		                     .recipient = "ben@example.org",
		                     .authenticated = true };
	static const enum stage stages[] = { STAGE_GREETING, STAGE_HELO, STAGE_MAIL,
		                             STAGE_RCPT, STAGE_DATA };
	uint64_t began = clock_us();

	(void)state;
	for (int i = 0; i < ROUNDS; i++)
		for (size_t at = 0; at < sizeof(stages) / sizeof(stages[0]); at++)
			assert_int_equal(look(checks, cfg, stages[at], &evidence).kind,
			                 FOUND_NOTHING);
	print_message("%.3f us for a session with one mail\n",
	              (double)(clock_us() - began) / ROUNDS);
	checks_free(checks);
	config_drop(cfg);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_stages),
		cmocka_unit_test(test_cost),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
