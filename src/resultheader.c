#include "resultheader.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	VALUE_SIZE = 4096,
};

struct value {
	char text[VALUE_SIZE];
	size_t size;
};

static void PRINTF(2, 3) put(struct value *value, const char *format, ...)
{
	size_t room = sizeof(value->text) - value->size;
	va_list args;
	int size;

	va_start(args, format);
	size = vsnprintf(value->text + value->size, room, format, args);
	va_end(args);
	value->size += (size_t)size < room ? (size_t)size : room - 1;
}

/* Words from outside, without what parts our own. */
static void
put_words(struct value *value, const char *words)
{
	for (; *words; words++)
		put(value, "%c", strchr(";()\\\"", *words) ? '?' : *words);
}

static const char *
separator(const char **next, const char *then)
{
	const char *now = *next;

	*next = then;
	return now;
}

/* ---- whose headers they are -------------------------------------------------------- */

static bool
tags_any(const struct config *cfg)
{
	return cfg->on_spam == ACTION_TAG || cfg->on_spam_suspect == ACTION_TAG;
}

static const char *
our_id(const struct config *cfg)
{
	return cfg->authserv_id[0] ? cfg->authserv_id : cfg->proxy_name;
}

/* There is room for them: nobody else has asked for anything. */
static void
remove_all(struct retouch *retouch, const char *name)
{
	if (!retouch_remove(retouch, name, 0))
		abort();
}

bool
resultheader_writes(const struct config *cfg)
{
	return cfg->result_headers || tags_any(cfg);
}

struct retouch *
resultheader_intake(const struct config *cfg)
{
	struct retouch *retouch;

	if (!resultheader_writes(cfg))
		return NULL;
	retouch = retouch_new();
	if (cfg->result_headers & RESULT_HEADERS_VIRUS)
		remove_all(retouch, "X-Virus-Scanned");
	if (cfg->result_headers & RESULT_HEADERS_SPAM || tags_any(cfg)) {
		remove_all(retouch, "X-Spam-Flag");
		remove_all(retouch, "X-Spam-Score");
		remove_all(retouch, "X-Spam-Status");
	}
	if (cfg->result_headers & RESULT_HEADERS_AUTH) {
		remove_all(retouch, "Authentication-Results");
		retouch_trust(retouch, &cfg->authserv_trusted, our_id(cfg));
	}
	return retouch;
}

/* ---- X-Virus-Scanned --------------------------------------------------------------- */

static bool
has_looked(const struct finding *found)
{
	return !found->skipped &&
	       (found->kind == FOUND_NOTHING || found->kind == FOUND_VIRUS ||
	        found->kind == FOUND_SPAM || found->kind == FOUND_SPAM_SUSPECT ||
	        found->kind == FOUND_GREYLIST);
}

/* The next of a family, from AT on, that has looked, or has not; NULL: no more. */
static const struct finding *
next_of(const struct resultheader_facts *facts, enum check_family family, bool looked,
        size_t *at)
{
	while (*at < facts->count) {
		const struct finding *found = &facts->found[(*at)++];

		if (found->family == family && has_looked(found) == looked)
			return found;
	}
	return NULL;
}

/* How those are listed who have not looked. */
struct style {
	const char *before, *because, *between, *behind;
};

/* Who of a family has not looked, and the kind of reason: its words, with addresses and paths
 * of ours, are in the log.  Returns how many these are. */
static size_t
put_others(struct value *value, const struct resultheader_facts *facts,
           enum check_family family, const struct style *style)
{
	const char *next = style->before;
	const struct finding *found;
	size_t at = 0, count = 0;

	for (; (found = next_of(facts, family, false, &at)); count++)
		put(value, "%s%s%s%s", separator(&next, style->between), found->check,
		    style->because, found->skipped ?: finding_word(found->kind));
	if (count > 0)
		put(value, "%s", style->behind);
	return count;
}

/* Who of a family has; returns how many these are. */
static size_t
put_who(struct value *value, const struct resultheader_facts *facts,
        enum check_family family, const char *before, const char *between)
{
	const char *next = before;
	const struct finding *found;
	size_t at = 0, count = 0;

	for (; (found = next_of(facts, family, true, &at)); count++)
		put(value, "%s%s", separator(&next, between), found->check);
	return count;
}

static bool
has_virus(const struct resultheader_facts *facts, struct value *value)
{
	const char *next = "; found: ";

	for (size_t i = 0; i < facts->count; i++) {
		if (facts->found[i].kind != FOUND_VIRUS)
			continue;
		put(value, "%s", separator(&next, ", "));
		put_words(value, facts->found[i].name);
	}
	return next[0] == ',';
}

static void
add_virus(struct retouch *changes, const struct config *cfg,
          const struct resultheader_facts *facts)
{
	static const struct style some = { "; not by all (", ": ", "; ", ")" };
	static const struct style none = { "no (", ": ", "; ", ")" };
	struct value value = { 0 };

	if (put_who(&value, facts, FAMILY_ANTIVIRUS, "by ", ", ") > 0) {
		put(&value, " at %s", cfg->proxy_name);
		if (!has_virus(facts, &value))
			put(&value, "; clean");
		put_others(&value, facts, FAMILY_ANTIVIRUS, &some);
	} else if (put_others(&value, facts, FAMILY_ANTIVIRUS, &none) > 0) {
		put(&value, " at %s", cfg->proxy_name);
	} else {
		return;
	}
	retouch_withdraw(changes, "X-Virus-Scanned", NULL);
	retouch_add(changes, "X-Virus-Scanned", value.text);
}

/* ---- X-Spam-* ---------------------------------------------------------------------- */

/* As SpamAssassin writes X-Spam-Status: a word, a comma, and clauses NAME=VALUE in which there
 * is no blank. */

static bool
is_spam(enum finding_kind kind)
{
	return kind == FOUND_SPAM || kind == FOUND_SPAM_SUSPECT;
}

static bool
any_spam(const struct resultheader_facts *facts)
{
	for (size_t i = 0; i < facts->count; i++)
		if (is_spam(facts->found[i].kind))
			return true;
	return false;
}

/* SpamAssassin's threshold is ours; rspamd has its own. */
static bool
asked_spamassassin_only(const struct resultheader_facts *facts)
{
	for (size_t i = 0; i < facts->count; i++)
		if (facts->found[i].family == FAMILY_ANTISPAM &&
		    facts->found[i].has_score &&
		    strcmp(facts->found[i].check, "spamassassin") != 0)
			return false;
	return true;
}

/* The same words as one, without blanks. */
static void
put_word(struct value *value, const char *words)
{
	char word[FINDING_NAME_SIZE], *end = word;

	for (size_t at = 0; words[at] && at < sizeof(word) - 1; at++) {
		bool is_blank = (unsigned char)words[at] <= ' ' || words[at] == 0x7f;

		if (!is_blank)
			*end++ = words[at];
		else if (end == word || end[-1] != ':')
			*end++ = '-';
	}
	*end = '\0';
	put_words(value, word);
}

static void
put_found(struct value *value, const struct resultheader_facts *facts)
{
	const char *next = " found=";
	const struct finding *found;
	size_t at = 0;

	while ((found = next_of(facts, FAMILY_ANTISPAM, true, &at))) {
		if (!found->name[0])
			continue;
		put(value, "%s", separator(&next, ";"));
		put_word(value, found->name);
	}
}

/* What rspamd would write under these names is not what all of us have found. */
static void
withdraw_spam(struct retouch *changes)
{
	retouch_withdraw(changes, "X-Spam-Flag", NULL);
	retouch_withdraw(changes, "X-Spam-Score", NULL);
	retouch_withdraw(changes, "X-Spam-Status", NULL);
}

/* Nobody has looked: it says so, and is neither spam nor none. */
static void
add_unknown_spam(struct retouch *changes, const struct resultheader_facts *facts)
{
	static const struct style none = { "Unknown, not-by=", ":", ",", "" };
	struct value value = { 0 };

	if (put_others(&value, facts, FAMILY_ANTISPAM, &none) > 0)
		retouch_add(changes, "X-Spam-Status", value.text);
}

static void
add_spam(struct retouch *changes, const struct config *cfg,
         const struct resultheader_facts *facts)
{
	const struct verdict *verdict = facts->verdict;
	static const struct style some = { " not-by=", ":", ",", "" };
	struct value value = { 0 }, who = { 0 };
	bool yes = any_spam(facts);
	char score[64];

	withdraw_spam(changes);
	if (put_who(&who, facts, FAMILY_ANTISPAM, " by=", ",") == 0) {
		add_unknown_spam(changes, facts);
		return;
	}
	retouch_add(changes, "X-Spam-Flag", yes ? "YES" : "NO");
	put(&value, "%s,", yes ? "Yes" : "No");
	if (verdict->has_score) {
		snprintf(score, sizeof(score), "%.2f",
		         verdict->score + 0.0); /* no -0.0 */
		retouch_add(changes, "X-Spam-Score", score);
		put(&value, " score=%s", score);
		if (asked_spamassassin_only(facts))
			put(&value, " required=%.2f",
			    (double)cfg->spam_threshold / 1000);
	}
	put(&value, "%s", who.text);
	put_found(&value, facts);
	put_others(&value, facts, FAMILY_ANTISPAM, &some);
	retouch_add(changes, "X-Spam-Status", value.text);
}

/* ---- Authentication-Results --------------------------------------------------------- */

enum {
	/* The longest path has 64 + 1 + 255 (RFC 5321 4.5.3.1); with each of them escaped
	 * it is still on one line. */
	LONGEST_PROPERTY = 320,
};

/* Dots part words that are not empty. */
static bool
is_dotted(const char *text, size_t size)
{
	char before = '.';

	for (size_t i = 0; i < size; before = text[i++])
		if (text[i] == '.' && before == '.')
			return false;
	return before != '.';
}

static bool
is_token(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr("._-+", text[i]))
			return false;
	return size > 0;
}

/* RFC 6376 3.5: at least two labels, no hyphen at the end of any. */
static bool
is_domain(const char *text)
{
	size_t size = strlen(text);

	for (size_t i = 0; i < size; i++) {
		bool at_end = i == 0 || text[i - 1] == '.' || i + 1 == size ||
		              text[i + 1] == '.';

		if (!isalnum((unsigned char)text[i]) && text[i] != '.' &&
		    (text[i] != '-' || at_end))
			return false;
	}
	return strchr(text, '.') && is_dotted(text, size);
}

/* Size of the quoted string at TEXT; 0: it is none that stays what it is when the field is
 * written, which may end a line at each blank, and leaves one of two. */
static size_t
quoted_size(const char *text)
{
	size_t at = 1;

	if (text[0] != '"')
		return 0;
	for (; text[at] != '"'; at++) {
		at += text[at] == '\\';
		if (text[at] < ' ' || text[at] > '~' ||
		    (text[at] == ' ' && strchr(" \\", text[at - 1])))
			return 0;
	}
	return at + 1;
}

/* Of [ [ local-part ] "@" ] domain-name (RFC 8601 2.2), where the local part may be quoted
 * (RFC 5321 4.1.2): so written, every reader has the address that was in the envelope. */
static bool
is_address(const char *text)
{
	size_t quoted = quoted_size(text), local = quoted ?: strcspn(text, "@");

	return text[local] == '@' && is_domain(text + local + 1) &&
	       (quoted > 0 || (is_token(text, local) && is_dotted(text, local)));
}

/* A value (RFC 2045 5.1): as it is, or quoted.  Of two blanks one would be lost when the
 * field is written, and it would be another one's name. */
static void
put_value(struct value *value, const char *text)
{
	char before = '\0';

	if (is_token(text, strlen(text))) {
		put(value, "%s", text);
		return;
	}
	put(value, "\"");
	for (; *text; before = *text++) {
		bool is_plain = *text >= ' ' && *text <= '~' &&
		                (*text != ' ' || before != ' ');

		if (*text == '"' || *text == '\\')
			put(value, "\\");
		put(value, "%c", is_plain ? *text : '?');
	}
	put(value, "\"");
}

/* What is too long is left out: cut it would be another one's. */
static void
put_property(struct value *value, const char *name, const char *text)
{
	if (!text || strlen(text) > LONGEST_PROPERTY)
		return;
	put(value, " smtp.%s=", name);
	if (is_address(text))
		put(value, "%s", text);
	else
		put_value(value, text);
}

/* What is asked about is the sender's domain, or without a sender its host's name. */
static void
put_spf(struct value *value, const struct resultheader_facts *facts)
{
	const struct evidence *evidence = facts->evidence;

	put(value, "; spf=%s", facts->spf);
	if (evidence->sender && evidence->sender[0])
		put_property(value, "mailfrom", evidence->sender);
	else
		put_property(value, "helo", evidence->helo);
}

static void
put_auth(struct value *value, const char *user)
{
	put(value, "; auth=pass");
	put_property(value, "auth", user);
}

/* Of Authentication-Results: nothing is known. */
static bool
says_none(const char *text)
{
	static const char blanks[] = "; \t\r\n";
	const char *at = text + strcspn(text, ";");

	at += strspn(at, blanks);
	if (strncasecmp(at, "none", 4) == 0)
		at += 4;
	return !at[strspn(at, blanks)];
}

/* Of rspamd's those stay that say something; that nothing is known would not be true then. */
static void
add_auth(struct retouch *changes, const struct config *cfg,
         const struct resultheader_facts *facts)
{
	struct value value = { 0 };
	bool knows = facts->evidence->authenticated || facts->spf;

	if (retouch_withdraw(changes, "Authentication-Results", says_none) > 0 &&
	    !knows)
		return;
	put_value(&value, our_id(cfg));
	if (facts->evidence->authenticated)
		put_auth(&value, facts->evidence->user);
	if (facts->spf)
		put_spf(&value, facts);
	if (!knows)
		put(&value, "; none");
	retouch_add(changes, "Authentication-Results", value.text);
}

/* ---- all of it ---------------------------------------------------------------------- */

void
resultheader_add(struct retouch *changes, const struct config *cfg,
                 const struct resultheader_facts *facts)
{
	bool tags = facts->verdict->act == VERDICT_TAG;

	retouch_lead(changes);
	if (cfg->result_headers & RESULT_HEADERS_AUTH)
		add_auth(changes, cfg, facts);
	if (cfg->result_headers & RESULT_HEADERS_VIRUS)
		add_virus(changes, cfg, facts);
	if (cfg->result_headers & RESULT_HEADERS_SPAM || tags)
		add_spam(changes, cfg, facts);
	if (tags && cfg->subject_tag[0])
		retouch_subject_prefix(changes, cfg->subject_tag);
}
