#include "resultheader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char gate[] = "gate.example", nothing[] = "";

static struct config
config_with(int headers)
{
	return (struct config){
		.result_headers = headers,
		.proxy_name = gate,
		.authserv_id = nothing,
		.subject_tag = nothing,
		.on_virus = ACTION_PASS,
		.on_spam = ACTION_PASS,
		.on_spam_suspect = ACTION_PASS,
		.spam_threshold = 7000,
	};
}

static struct finding
saw(enum check_family family, const char *check, enum finding_kind kind,
    const char *name)
{
	struct finding found = { .family = family, .check = check, .kind = kind };

	snprintf(found.name, sizeof(found.name), "%s", name);
	return found;
}

static struct finding
virus_check(const char *check, enum finding_kind kind, const char *name)
{
	return saw(FAMILY_ANTIVIRUS, check, kind, name);
}

static struct finding
scored(const char *check, enum finding_kind kind, double score, const char *name)
{
	struct finding found = saw(FAMILY_ANTISPAM, check, kind, name);

	found.has_score = true;
	found.score = score;
	return found;
}

static char *
pass(const struct retouch *what, const char *text)
{
	struct retouch_filter *filter = retouch_filter_new(what);
	struct evbuffer *in = retouch_filter_input(filter), *out = evbuffer_new();
	size_t size;
	char *result;

	evbuffer_add(in, text, strlen(text));
	retouch_filter(filter, out, true);
	size = evbuffer_get_length(out);
	result = calloc(1, size + 1);
	evbuffer_remove(out, result, size);
	assert_int_equal(strlen(result), size);
	evbuffer_free(out);
	retouch_filter_free(filter);
	return result;
}

/* A message of one line, as it is delivered. */
static char *
delivered(const struct config *cfg, const struct resultheader_facts *facts)
{
	struct retouch *changes = retouch_new();
	char *result;

	resultheader_add(changes, cfg, facts);
	result = pass(changes, "Subject: hello\r\n\r\n");
	retouch_free(changes);
	return result;
}

/* ---- what checks have found ------------------------------------------------------- */

static void
gives(const struct config *cfg, const struct finding *found, size_t count,
      const char *expected)
{
	struct verdict verdict;
	struct evidence evidence = { 0 };
	struct resultheader_facts facts = { .evidence = &evidence,
		                            .found = found,
		                            .count = count,
		                            .verdict = &verdict };
	char *result;

	verdict_weigh(&verdict, cfg, found, count);
	assert_true(verdict.act <= VERDICT_TAG);
	result = delivered(cfg, &facts);
	assert_string_equal(result, expected);
	free(result);
}

#define REST "Subject: hello\r\n\r\n"
#define GIVES(cfg, expected, ...) \
	gives(cfg, (const struct finding[]){ __VA_ARGS__ }, \
	      sizeof((const struct finding[]){ __VA_ARGS__ }) / \
	              sizeof(struct finding), \
	      expected REST)

static void
test_virus(void **state)
{
	struct config cfg = config_with(RESULT_HEADERS_VIRUS);

	(void)state;
	GIVES(&cfg, "X-Virus-Scanned: by libclamav at gate.example; clean\r\n",
	      virus_check("libclamav", FOUND_NOTHING, ""));
	GIVES(&cfg, "X-Virus-Scanned: by libclamav, clamd at gate.example; clean\r\n",
	      virus_check("libclamav", FOUND_NOTHING, ""),
	      saw(FAMILY_ANTISPAM, "rspamd", FOUND_SPAM, "reject"),
	      virus_check("clamd", FOUND_NOTHING, ""));
	GIVES(&cfg,
	      "X-Virus-Scanned: by libclamav at gate.example; found: Eicar-Test\r\n",
	      virus_check("libclamav", FOUND_VIRUS, "Eicar-Test"));
	GIVES(&cfg,
	      "X-Virus-Scanned: by libclamav, clamd at gate.example; found: A, B?? "
	      "clean? X:"
	      "\r\n 1 ?\r\n",
	      virus_check("libclamav", FOUND_VIRUS, "A"),
	      virus_check("clamd", FOUND_VIRUS, "B); clean(\r\nX: 1\r\n\r\n\xc3"));
}

/* What nobody has looked at is never called clean, whatever the reason. */
static void
test_not_scanned(void **state)
{
	struct config cfg = config_with(RESULT_HEADERS_VIRUS);
	struct finding skipped = virus_check("libclamav", FOUND_NOTHING, "");

	(void)state;
	skipped.skipped = "auth_skip";
	GIVES(&cfg, "X-Virus-Scanned: no (libclamav: unscannable) at gate.example\r\n",
	      virus_check("libclamav", FOUND_UNSCANNABLE, "too big"));
	GIVES(&cfg, "X-Virus-Scanned: no (libclamav: failed) at gate.example\r\n",
	      virus_check("libclamav", FOUND_FAILED, "no memory"));
	GIVES(&cfg, "X-Virus-Scanned: no (libclamav: auth_skip) at gate.example\r\n",
	      skipped);
	GIVES(&cfg,
	      "X-Virus-Scanned: no (libclamav: auth_skip; clamd: failed) at "
	      "gate.example\r\n",
	      skipped, virus_check("clamd", FOUND_FAILED, ");\n by it; clean"));
	GIVES(&cfg,
	      "X-Virus-Scanned: by clamd at gate.example; clean; not by all "
	      "(libclamav:\r\n"
	      " engine-failed)\r\n",
	      virus_check("libclamav", FOUND_ENGINE_FAILED,
	                  "127.0.0.1:29998: Connection refused"),
	      virus_check("clamd", FOUND_NOTHING, ""));
	GIVES(&cfg,
	      "X-Virus-Scanned: by clamd at gate.example; found: A; not by all "
	      "(libclamav:"
	      "\r\n auth_skip)\r\n",
	      skipped, virus_check("clamd", FOUND_VIRUS, "A"));
	GIVES(&cfg, "", scored("rspamd", FOUND_NOTHING, 0, ""));
}

static void
test_spam(void **state)
{
	struct config cfg = config_with(RESULT_HEADERS_SPAM);
	struct finding skipped = saw(FAMILY_ANTISPAM, "spamassassin", FOUND_NOTHING,
	                             "");

	(void)state;
	skipped.skipped = "spam_max_size";
	GIVES(&cfg,
	      "X-Spam-Flag: YES\r\nX-Spam-Score: 15.00\r\n"
	      "X-Spam-Status: Yes, score=15.00 required=7.00 by=spamassassin "
	      "found=A,B\r\n",
	      scored("spamassassin", FOUND_SPAM, 15, "A,B"));
	GIVES(&cfg,
	      "X-Spam-Flag: NO\r\nX-Spam-Score: -1.50\r\n"
	      "X-Spam-Status: No, score=-1.50 required=7.00 by=spamassassin\r\n",
	      scored("spamassassin", FOUND_NOTHING, -1.5, ""));
	GIVES(&cfg,
	      "X-Spam-Flag: NO\r\nX-Spam-Score: 0.00\r\n"
	      "X-Spam-Status: No, score=0.00 by=rspamd\r\n",
	      scored("rspamd", FOUND_NOTHING, -0.0, ""));
	GIVES(&cfg,
	      "X-Spam-Flag: YES\r\n"
	      "X-Spam-Status: Yes, by=rspamd found=add-header?--X:1\r\n",
	      saw(FAMILY_ANTISPAM, "rspamd", FOUND_SPAM_SUSPECT,
	          "add header;\r\nX: 1"));
	GIVES(&cfg, "X-Spam-Status: Unknown, not-by=spamassassin:spam_max_size\r\n",
	      skipped);
	GIVES(&cfg,
	      "X-Spam-Status: Unknown, "
	      "not-by=spamassassin:spam_max_size,rspamd:spam-failed\r\n",
	      skipped, saw(FAMILY_ANTISPAM, "rspamd", FOUND_SPAM_FAILED, "HTTP 500"));
	GIVES(&cfg,
	      "X-Spam-Flag: YES\r\nX-Spam-Score: 16.00\r\n"
	      "X-Spam-Status: Yes, score=16.00 by=spamassassin,rspamd\r\n"
	      " found=A,B;add-header:GTUBE\r\n",
	      scored("spamassassin", FOUND_SPAM, 16, "A,B"),
	      scored("rspamd", FOUND_SPAM_SUSPECT, 7, "add header: GTUBE"));
	GIVES(&cfg,
	      "X-Spam-Flag: NO\r\nX-Spam-Score: 1.00\r\n"
	      "X-Spam-Status: No, score=1.00 by=rspamd "
	      "not-by=spamassassin:spam_max_size\r\n",
	      skipped, scored("rspamd", FOUND_NOTHING, 1, ""));
	GIVES(&cfg, "", virus_check("libclamav", FOUND_NOTHING, ""));
}

/* Who tags says why, asked or not. */
static void
test_tag(void **state)
{
	static char mark[] = "[SPAM] ";
	static const char tagged[] =
		"X-Spam-Flag: YES\r\nX-Spam-Score: 9.00\r\n"
		"X-Spam-Status: Yes, score=9.00 required=7.00 by=spamassassin\r\n"
		"Subject: [SPAM] hello\r\n\r\n";
	struct config cfg = config_with(0);
	struct finding spam = scored("spamassassin", FOUND_SPAM, 9, "");

	(void)state;
	cfg.subject_tag = mark;
	GIVES(&cfg, "", spam);
	cfg.on_spam = ACTION_TAG;
	gives(&cfg, &spam, 1, tagged);
	GIVES(&cfg, "", scored("spamassassin", FOUND_NOTHING, 1, ""));
	cfg.result_headers = RESULT_HEADERS_SPAM;
	gives(&cfg, &spam, 1, tagged);
}

/* ---- Authentication-Results ------------------------------------------------------- */

#define NAME "Authentication-Results: "

static char *
authenticated(const struct config *cfg, const char *spf,
              const struct evidence *evidence)
{
	struct verdict verdict = { .act = VERDICT_DELIVER };
	struct resultheader_facts facts = { .evidence = evidence,
		                            .verdict = &verdict,
		                            .spf = spf };

	return delivered(cfg, &facts);
}

static void
says(const char *spf, struct evidence evidence, const char *expected)
{
	struct config cfg = config_with(RESULT_HEADERS_AUTH);
	char *result = authenticated(&cfg, spf, &evidence);

	assert_string_equal(result, expected);
	free(result);
}

#define SAYS(spf, expected, ...) \
	says(spf, (struct evidence){ __VA_ARGS__ }, \
	     NAME "gate.example; " expected "\r\n" REST)

static void
test_auth(void **state)
{
	(void)state;
	SAYS(NULL, "none", .sender = "ann@a.example", .helo = "h.example");
	SAYS("pass", "spf=pass smtp.mailfrom=ann@a.example", .sender = "ann@a.example",
	     .helo = "h.example");
	SAYS("fail", "spf=fail smtp.mailfrom=ann@a.example", .sender = "ann@a.example");
	SAYS("pass", "spf=pass smtp.helo=h.example", .sender = "", .helo = "h.example");
	SAYS("none", "spf=none smtp.helo=h.example", .helo = "h.example");
	SAYS("temperror", "spf=temperror", .sender = "");
	SAYS(NULL, "auth=pass", .authenticated = true);
	SAYS(NULL, "auth=pass smtp.auth=ann", .authenticated = true, .user = "ann");
	SAYS(NULL, "auth=pass smtp.auth=\"a b ?c\"", .authenticated = true,
	     .user = "a b  c");
	SAYS(NULL, "none", .user = "ann");
	SAYS("pass", "auth=pass smtp.auth=ann; spf=pass\r\n smtp.mailfrom=a@b.example",
	     .authenticated = true, .user = "ann", .sender = "a@b.example");
	SAYS("pass", "spf=pass smtp.helo=\"[192.0.2.1]\"", .helo = "[192.0.2.1]");
}

/* A local part in quotes is one as it is, unless it would become another when it is
 * written. */
static void
test_quoted(void **state)
{
#define FROM(address, as) SAYS("pass", "spf=pass smtp.mailfrom=" as, .sender = address)
#define SAME(address)     FROM(address, address)
	(void)state;
	SAME("\"a b;c\"@a.io");
	SAME("\"a\\\"@\\\\(\"@a.io");
	SAME("\"\"@a.io");
	FROM("\"a  b\"@a.io", "\"\\\"a ?b\\\"@a.io\"");
	FROM("\"a\\ b\"@a.io", "\"\\\"a\\\\ b\\\"@a.io\"");
	FROM("\"a\tb\"@a.io", "\"\\\"a?b\\\"@a.io\"");
	FROM("\"a@a.io", "\"\\\"a@a.io\"");
	FROM("\"a\\", "\"\\\"a\\\\\"");
	FROM("\"a\"b@a.io", "\"\\\"a\\\"b@a.io\"");
	FROM("\"a\"@pass", "\"\\\"a\\\"@pass\"");
	FROM("\"a\"@x;b=c", "\"\\\"a\\\"@x;b=c\"");
}

static void
test_id(void **state)
{
	static char mx[] = "mx.example", odd[] = "a@b.example";
	struct config cfg = config_with(RESULT_HEADERS_AUTH);
	struct evidence evidence = { 0 };
	char *result;

	(void)state;
	cfg.authserv_id = mx;
	result = authenticated(&cfg, NULL, &evidence);
	assert_string_equal(result, NAME "mx.example; none\r\n" REST);
	free(result);
	cfg.authserv_id = odd; /* no token, and no address is allowed here */
	result = authenticated(&cfg, NULL, &evidence);
	assert_string_equal(result, NAME "\"a@b.example\"; none\r\n" REST);
	free(result);
}

/* ---- beside what rspamd writes ----------------------------------------------------- */

struct field {
	const char *name, *value;
};

/* What a message gets of THEIRS, rspamd's, and of ours. */
static void
beside(const struct field *theirs, size_t count, int headers, bool authenticated,
       const char *expected)
{
	struct config cfg = config_with(headers);
	struct evidence evidence = { .authenticated = authenticated };
	struct finding spam = scored("rspamd", FOUND_SPAM_SUSPECT, 7, "add header");
	struct verdict verdict;
	struct resultheader_facts facts = { &evidence, &spam, 1, &verdict, NULL };
	struct retouch *changes = retouch_new();
	char *result;

	for (size_t i = 0; i < count; i++)
		assert_true(retouch_add(changes, theirs[i].name, theirs[i].value));
	verdict_weigh(&verdict, &cfg, &spam, 1);
	resultheader_add(changes, &cfg, &facts);
	result = pass(changes, REST);
	assert_string_equal(result, expected);
	free(result);
	retouch_free(changes);
}

#define BESIDE(headers, authenticated, expected, ...) \
	beside((const struct field[]){ __VA_ARGS__ }, \
	       sizeof((const struct field[]){ __VA_ARGS__ }) / sizeof(struct field), \
	       headers, authenticated, expected REST)

#define OUR_SPAM \
	"X-Spam-Flag: YES\r\nX-Spam-Score: 7.00\r\n" \
	"X-Spam-Status: Yes, score=7.00 by=rspamd found=add-header\r\n"

/* Ours are above; of one name there is ours alone, where we write it. */
static void
test_beside_rspamd(void **state)
{
#define SPAMD { "X-Spamd-Bar", "+++" }
#define STATUS \
	{ \
		"x-spam-status", "No" \
	}
#define FLAG \
	{ \
		"X-Spam-Flag", "NO" \
	}
#define SCORE \
	{ \
		"X-Spam-Score", "1" \
	}
#define LEVEL \
	{ \
		"X-Spam-Level", "*" \
	}
#define VIRUS \
	{ \
		"X-Virus-Scanned", "rspamd" \
	}
	(void)state;
	BESIDE(RESULT_HEADERS_SPAM, false,
	       OUR_SPAM "X-Spamd-Bar: +++\r\nX-Spam-Level: *\r\n"
	                "X-Virus-Scanned: rspamd\r\n",
	       SPAMD, STATUS, FLAG, SCORE, LEVEL, VIRUS);
	BESIDE(RESULT_HEADERS_VIRUS, false,
	       "x-spam-status: No\r\nX-Virus-Scanned: rspamd\r\n", STATUS, VIRUS);
	BESIDE(0, false, "x-spam-status: No\r\nX-Spam-Flag: NO\r\n", STATUS, FLAG);
}

/* Those that say nothing go; ours does if others say something. */
static void
test_auth_beside_rspamd(void **state)
{
#define RESULTS(value) { "authentication-results", "gate.example;" value }
#define THEIRS         "authentication-results: gate.example;"
#define NONE           NAME "gate.example; none\r\n"
#define PASS           NAME "gate.example; auth=pass\r\n"
	(void)state;
	BESIDE(RESULT_HEADERS_AUTH, false, NONE, RESULTS("\r\n\tnone"));
	BESIDE(RESULT_HEADERS_AUTH, false, NONE, RESULTS(" NONE ;"));
	BESIDE(RESULT_HEADERS_AUTH, false, NONE, RESULTS(""));
	BESIDE(RESULT_HEADERS_AUTH, true, PASS, RESULTS(" none"));
	BESIDE(RESULT_HEADERS_AUTH, true, PASS THEIRS " none=pass\r\n",
	       RESULTS(" none=pass"));
	BESIDE(RESULT_HEADERS_AUTH, false, THEIRS " dkim=none\r\n",
	       RESULTS(" dkim=none"), RESULTS(" none"));
	BESIDE(RESULT_HEADERS_SPAM, false, OUR_SPAM THEIRS " none\r\n",
	       RESULTS(" none"));
#undef VIRUS
#undef THEIRS
}

/* ---- a reader, strict: RFC 8601 2.2 ------------------------------------------------ */

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"
#define ATEXT   LETTERS DIGITS "!#$%&'*+-/=?^_`{|}~"
#define TOKEN   LETTERS DIGITS "!#$%&'*+-.^_`{|}~"

static bool
took(const char **at, const char *text)
{
	size_t size = strlen(text);

	if (strncmp(*at, text, size) != 0)
		return false;
	*at += size;
	return true;
}

static bool
some_of(const char **at, const char *set)
{
	size_t size = strspn(*at, set);

	*at += size;
	return size > 0;
}

static bool
quoted(const char **at)
{
	if (!took(at, "\""))
		return false;
	for (; **at != '"'; ++*at) {
		if (**at == '\\')
			++*at;
		if ((**at < ' ' || **at > '~') && **at != '\t')
			return false;
	}
	return took(at, "\"");
}

/* Of [ [ local-part ] "@" ] domain-name. */
static bool
address(const char **at)
{
	const char *before = *at;
	unsigned parts = 0;

	if (!quoted(at))
		do
			if (!some_of(at, ATEXT))
				return *at = before, false;
		while (took(at, "."));
	if (!took(at, "@"))
		return *at = before, false;
	do {
		if (!some_of(at, LETTERS DIGITS))
			return false;
		some_of(at, LETTERS DIGITS "-");
		if ((*at)[-1] == '-')
			return false;
		parts++;
	} while (took(at, "."));
	return parts > 1;
}

static bool
property(const char **at, const char *name)
{
	return !took(at, name) ||
	       (took(at, "=") && (address(at) || quoted(at) || some_of(at, TOKEN)));
}

/* The field, unfolded: FIRST of REST's fields, nothing beside it. */
static bool
is_right(const char *at)
{
	return (quoted(&at) || some_of(&at, TOKEN)) && took(&at, "; auth=pass") &&
	       property(&at, " smtp.auth") && took(&at, "; spf=pass") &&
	       property(&at, " smtp.mailfrom") && property(&at, " smtp.helo") && !*at;
}

/* One field, and the rest is as it was. */
static char *
only_field(const char *header)
{
	char *text = calloc(1, strlen(header) + 1), *end = text;
	size_t line = 0;

	assert_int_equal(strncmp(header, NAME, strlen(NAME)), 0);
	for (header += strlen(NAME); strcmp(header, REST) != 0; header++) {
		if (header[0] == '\r') {
			assert_int_equal(header[1], '\n');
			line = 0;
			header++;
			if (strcmp(header + 1, REST) != 0)
				assert_int_equal(header[1], ' ');
			continue;
		}
		assert_true(*header >= ' ' && *header <= '~');
		assert_true(++line <= 998);
		*end++ = *header;
	}
	return text;
}

static void
holds_with(const char *text)
{
	struct config cfg = config_with(RESULT_HEADERS_AUTH);
	struct evidence as_sender = { .authenticated = true,
		                      .user = text,
		                      .sender = text };
	struct evidence as_helo = { .authenticated = true, .user = text, .helo = text };
	const struct evidence *ways[] = { &as_sender, &as_helo };

	for (size_t i = 0; i < 2; i++) {
		char *result = authenticated(&cfg, "pass", ways[i]);
		char *field = only_field(result);

		if (!is_right(field))
			fail_msg("not a field: %s", field);
		free(field);
		free(result);
	}
}

static void
test_odd(void **state)
{
	static const char *const texts[] = {
		"",
		" ",
		"\"",
		"\\",
		"a\\",
		"a\"",
		"\\\"",
		"a b",
		"a  b",
		"(a",
		"a)",
		"a;b",
		"a; spf=pass",
		"a\r\nX: 1",
		"a\r\n\r\nb",
		"\n",
		"\ta\t",
		"a\x01",
		"\x7f",
		"\xc3\xa9@b.example",
		"@",
		"a@",
		"@b.example",
		"a@b",
		"a@b@c.d",
		"a..b@c.example",
		".a@b.example",
		"a.@b.example",
		"a@b..example",
		"a@-b.example",
		"a@b-.example",
		"a@b_c.example",
		"a@.b.example",
		"a@b.example.",
		"a+b@c.example",
		"\"a b\"@c.example",
		"a=b",
		"[1.2.3.4]",
		"[IPv6:2001:db8::1]",
		"<a@b.example>",
		"a,b",
		"@a:b@c.example",
		"=?x?q?y?=",
		"a@b.example\" smtp.auth=\"c",
		"a%s%n",
		"-a",
		"_",
		".",
		"..",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		holds_with(texts[i]);
}

/* Each byte, alone, in front, behind, and in the middle. */
static void
test_bytes(void **state)
{
	char text[32];

	(void)state;
	for (int byte = 1; byte < 256; byte++) {
		snprintf(text, sizeof(text), "%c", byte);
		holds_with(text);
		snprintf(text, sizeof(text), "%ca@b.example%c", byte, byte);
		holds_with(text);
		snprintf(text, sizeof(text), "a%cb@c%cd.example", byte, byte);
		holds_with(text);
	}
}

static void
test_long(void **state)
{
	static const char *const words[] = { "a",  "\"", "\\", "a\"",
		                             "a ", "a.", "a@", "\xff" };
	static const size_t times[] = { 60,  150, 250, 320,  321,  480,  490,  499, 500,
		                        990, 998, 999, 1999, 2000, 2047, 4090, 9000 };
	char *text = calloc(1, 20000);

	(void)state;
	for (size_t word = 0; word < sizeof(words) / sizeof(words[0]); word++)
		for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
			size_t size = strlen(words[word]);

			for (size_t k = 0; k < times[i]; k++)
				memcpy(text + k * size, words[word], size + 1);
			holds_with(text);
		}
	free(text);
}

/* Cut it would be the name of another. */
static void
test_too_long(void **state)
{
	char text[1025];

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	SAYS("pass", "auth=pass; spf=pass", .authenticated = true, .user = text,
	     .sender = text);
	text[320] = '\0';
	says("pass", (struct evidence){ .sender = text },
	     NAME "gate.example; spf=pass\r\n smtp.mailfrom="
	          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	          "\r\n" REST);
}

/* ---- intake ------------------------------------------------------------------------ */

#define VIRUS   "X-Virus-Scanned: by evil\r\n"
#define SPAM    "X-SPAM-flag: NO\r\nX-Spam-Score : 0\r\nX-Spam-Status: No\r\n"
#define OURS    NAME "GATE.example; spf=pass\r\n"
#define OTHERS  NAME "evil.example; spf=pass\r\n"
#define TRUSTED NAME "edge.example 1; spf=pass\r\n"

static void
keeps(const struct config *cfg, const char *expected)
{
	struct retouch *intake = resultheader_intake(cfg);
	char *result;

	assert_non_null(intake);
	result = pass(intake, VIRUS SPAM OURS OTHERS TRUSTED REST VIRUS);
	assert_string_equal(result, expected);
	free(result);
	retouch_free(intake);
}

static void
test_intake(void **state)
{
	struct config cfg = config_with(0);
	char edge[] = "edge.example", own[] = "gate.example", *ids[] = { edge, own };
	static char mx[] = "evil.example";

	(void)state;
	assert_null(resultheader_intake(&cfg));
	cfg.result_headers = RESULT_HEADERS_VIRUS;
	keeps(&cfg, SPAM OURS OTHERS TRUSTED REST VIRUS);
	cfg.result_headers = RESULT_HEADERS_SPAM;
	keeps(&cfg, VIRUS OURS OTHERS TRUSTED REST VIRUS);
	cfg.result_headers = 0;
	cfg.on_spam_suspect = ACTION_TAG;
	keeps(&cfg, VIRUS OURS OTHERS TRUSTED REST VIRUS);
	cfg.on_spam_suspect = ACTION_PASS;
	cfg.result_headers = RESULT_HEADERS_AUTH;
	keeps(&cfg, VIRUS SPAM REST VIRUS);
	cfg.authserv_trusted = (struct string_list){ .count = 2, .at = ids };
	keeps(&cfg, VIRUS SPAM TRUSTED REST VIRUS);
	cfg.authserv_id = mx; /* then the other name is not ours */
	keeps(&cfg, VIRUS SPAM OURS TRUSTED REST VIRUS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_virus),
		cmocka_unit_test(test_not_scanned),
		cmocka_unit_test(test_spam),
		cmocka_unit_test(test_tag),
		cmocka_unit_test(test_auth),
		cmocka_unit_test(test_quoted),
		cmocka_unit_test(test_id),
		cmocka_unit_test(test_odd),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_intake),
		cmocka_unit_test(test_beside_rspamd),
		cmocka_unit_test(test_auth_beside_rspamd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
