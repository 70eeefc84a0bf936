#include "config_internal.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* What a tidied text consists of, as libconfuse's lexer will see it. */
struct token {
	enum {
		TOKEN_END = 0,
		TOKEN_WORD = 'w',
		TOKEN_STRING = '"',
		TOKEN_ADD = '+', /* the other marks are their own character */
	} kind;
	int line;
	const char *at, *end;
};

static const char *
skip_string(const char *at)
{
	char quote = *at++;

	for (; *at != quote; at++)
		if (*at == '\\' && at[1] && at[1] != '\n')
			at++;
	return at + 1;
}

static struct token
token_at(const char *at, int line)
{
	struct token token = { .kind = TOKEN_WORD };

	for (; *at && strchr(" \t\n", *at); at++)
		line += *at == '\n';
	token.line = line;
	token.at = at;
	token.end = at + strcspn(at, " \t\n={},+\"'");
	if (token.end > at)
		return token;
	if (*at == '"' || *at == '\'') {
		token.kind = TOKEN_STRING;
		token.end = skip_string(at);
		return token;
	}
	token.kind = (unsigned char)*at;
	token.end = at + (*at != '\0') + (at[0] == '+' && at[1] == '=');
	return token;
}

static struct token
token_after(const struct token *token)
{
	return token_at(token->end, token->line);
}

static bool
is_value(const struct token *token)
{
	return token->kind == TOKEN_WORD || token->kind == TOKEN_STRING;
}

static bool
is_sign(const struct token *token)
{
	return token->kind == '=' || token->kind == TOKEN_ADD;
}

/* It is the name of an option that is being given a value. */
static bool
is_name(const struct token *token)
{
	struct token next = token_after(token);

	return token->kind == TOKEN_WORD && is_sign(&next) && next.line == token->line;
}

static int
shown(const struct token *token)
{
	enum { LONGEST = 60 };

	return token->end - token->at < LONGEST ? (int)(token->end - token->at)
	                                        : LONGEST;
}

static void PRINTF(3, 4)
	fault(struct statement *found, int line, const char *format, ...)
{
	va_list args;

	found->why_line = line;
	va_start(args, format);
	vsnprintf(found->why, sizeof(found->why), format, args);
	va_end(args);
}

static bool
is_string(const struct option *opt)
{
	return opt->kind == OPTION_STR || opt->kind == OPTION_TEXT ||
	       opt->kind == OPTION_REGEX;
}

/* What is behind the opening brace.  Returns the closing one, or the last token that may
 * belong to the list. */
static struct token
read_list(struct statement *found, struct token brace)
{
	struct token last = brace, next = token_after(&brace);

	if (found->opt && !option_is_many(found->opt)) {
		fault(found, brace.line, "there is only one value, without braces");
		return brace;
	}
	for (; next.kind != '}'; last = next, next = token_after(&next)) {
		if (next.kind == TOKEN_END || is_name(&next)) {
			fault(found, brace.line,
			      "the list that begins here does not end: \"}\" is "
			      "missing");
			return last;
		}
		if (is_value(&last) && is_value(&next)) {
			fault(found, next.line, "\",\" is missing before %.*s",
			      shown(&next), next.at);
			return next;
		}
	}
	return next;
}

/* VALUE and NEXT together are a number, as in 50 M. */
static bool
is_torn_number(const struct option *opt, const struct token *value,
               const struct token *next)
{
	char *whole;
	int64_t number;
	bool is_number;

	if (opt->kind != OPTION_INT || value->kind != TOKEN_WORD ||
	    next->kind != TOKEN_WORD)
		return false;
	whole = xasprintf("%.*s%.*s", shown(value), value->at, shown(next), next->at);
	is_number = option_number(opt, whole, &number);
	free(whole);
	return is_number;
}

static enum section_kind section_of(const struct token *token);

/* There is something behind the value, in the same line. */
static void
refuse_next(struct statement *found, const struct token *value,
            const struct token *next)
{
	const struct option *opt = found->opt;

	if (next->kind == '}' && found->section != SECTION_MAIN) {
		found->leaves = true;
		fault(found, next->line,
		      "the \"}\" of a section needs a line of its own");
	} else if (is_name(next))
		fault(found, next->line,
		      "\"%.*s\" must begin a line: one option in each", shown(next),
		      next->at);
	else if (*next->at == ';')
		fault(found, next->line,
		      "a comment behind a value begins with \"#\"; \";\" is one at "
		      "the beginning of a line only");
	else if (opt && option_is_many(opt) && value->kind != '}')
		fault(found, next->line,
		      "more than one value needs braces and commas: {a, b}");
	else if (opt && is_torn_number(opt, value, next))
		fault(found, next->line,
		      "there must be no blank in a number: write %.*s%.*s",
		      shown(value), value->at, shown(next), next->at);
	else if (opt && is_string(opt))
		fault(found, next->line,
		      "\"%.*s\" is not part of the value: one with a blank or any of "
		      "= { } , \" ' in it needs quotes around all of it",
		      shown(next), next->at);
	else
		fault(found, next->line,
		      "\"%.*s\" is not part of the value; a comment begins with \"#\"",
		      shown(next), next->at);
}

/* Returns the last token that is read. */
static struct token
read_statement(struct statement *found, struct token name)
{
	struct token sign = token_after(&name), value, next;

	if (name.kind != TOKEN_WORD) {
		fault(found, name.line,
		      "there should be the name of an option here, and its value "
		      "behind a \"=\"");
		return name;
	}
	found->size = (size_t)(name.end - name.at);
	found->opt = option_find(name.at, found->size);
	if (!is_sign(&sign) || sign.line != name.line) {
		fault(found, name.line, "there is no \"=\" between name and value");
		return name;
	}
	found->adds = sign.kind == TOKEN_ADD;
	if (section_of(&name) != SECTION_MAIN) {
		found->size = 0;
		fault(found, name.line,
		      "%.*s is no option but begins a section: %.*s \"name\" {",
		      shown(&name), name.at, shown(&name), name.at);
		return sign;
	}
	value = token_after(&sign);
	if (value.kind == TOKEN_END || value.line != sign.line) {
		fault(found, sign.line,
		      "there is no value in this line; write it behind the \"=\"%s",
		      found->opt && is_string(found->opt) ? ", or \"\" for none" : "");
		return sign;
	}
	if (value.kind == '{')
		value = read_list(found, value);
	else if (!is_value(&value))
		fault(found, value.line, "\"%c\" needs quotes around its value",
		      *value.at);
	next = token_after(&value);
	if (!found->why[0] && next.kind != TOKEN_END && next.line == value.line)
		refuse_next(found, &value, &next);
	return value;
}

/* ---- sections ------------------------------------------------------------------------- */

static const char *const section_words[] = {
	[SECTION_LISTEN] = "listen",
	[SECTION_POLICY] = "policy",
	[SECTION_UNKNOWN] = "",
};

const char *
section_word(enum section_kind kind)
{
	return section_words[kind];
}

char *
section_prefix(const struct section *section)
{
	if (!section)
		return xstrdup("");
	return xasprintf("%s \"%s\": ", section_word(section->kind), section->name);
}

static enum section_kind
section_of(const struct token *token)
{
	size_t size = (size_t)(token->end - token->at);

	for (int kind = SECTION_LISTEN; kind <= SECTION_POLICY; kind++)
		if (token->kind == TOKEN_WORD && strlen(section_words[kind]) == size &&
		    memcmp(section_words[kind], token->at, size) == 0)
			return kind;
	return SECTION_MAIN;
}

/* Names are bare words of the log, and those of systemd's sockets. */
static bool
read_title(struct statement *found, const struct token *token)
{
	const char *at = token->at, *end = token->end;

	if (token->kind == TOKEN_STRING) {
		at++;
		end--;
	}
	if (at == end || (size_t)(end - at) >= sizeof(found->title))
		return false;
	for (const char *letter = at; letter < end; letter++)
		if (!isalnum((unsigned char)*letter) && !strchr("-_.", *letter))
			return false;
	memcpy(found->title, at, (size_t)(end - at));
	return true;
}

/* KIND "NAME" {, in one line.  Returns the last token of it that is there. */
static struct token
read_head(struct statement *found, struct token word, enum section_kind kind)
{
	struct token title = token_after(&word), brace, next;
	const char *name = section_words[kind];

	found->kind = STATEMENT_HEAD;
	if (found->section != SECTION_MAIN)
		fault(found, word.line,
		      "a section cannot begin within another: is the \"}\" of that in "
		      "line %d missing?",
		      found->section_line);
	found->section = kind;
	found->section_line = word.line;
	if (!is_value(&title) || title.line != word.line) {
		fault(found, word.line, "a section needs a name: %s \"name\" {", name);
		return title.kind == '{' && title.line == word.line ? title : word;
	}
	if (!read_title(found, &title))
		fault(found, word.line,
		      "%.*s is no name of a section: letters, digits and -_. only, %zu "
		      "at most",
		      shown(&title), title.at, sizeof(found->title) - 1);
	brace = token_after(&title);
	if (brace.kind != '{' || brace.line != word.line)
		fault(found, word.line,
		      "\"{\" must follow the name of the section, in the same line");
	if (brace.kind != '{')
		return title;
	next = token_after(&brace);
	if (next.kind != TOKEN_END && next.kind != '}' && next.line == brace.line)
		fault(found, brace.line,
		      "\"%.*s\" must begin a line: each option of a section has one",
		      shown(&next), next.at);
	return brace;
}

static struct token
read_close(struct statement *found, struct token brace)
{
	struct token next = token_after(&brace);

	if (found->section == SECTION_MAIN) {
		fault(found, brace.line, "\"}\" ends nothing: no section is open here");
		return brace;
	}
	found->kind = STATEMENT_CLOSE;
	found->leaves = true;
	if (next.kind != TOKEN_END && next.line == brace.line)
		fault(found, brace.line,
		      "nothing may stand behind the \"}\" of a section");
	return brace;
}

/* The text is over. */
static bool
read_end(struct statement *found, const struct token *end)
{
	enum section_kind kind = found->section;
	int line = found->section_line;

	if (kind == SECTION_MAIN)
		return false;
	*found = (struct statement){ .next = end->end,
		                     .next_line = end->line,
		                     .name = end->at,
		                     .line = line,
		                     .kind = STATEMENT_CLOSE,
		                     .section = kind,
		                     .section_line = line,
		                     .leaves = true };
	fault(found, line,
	      "the section that begins here does not end: \"}\" is missing");
	return true;
}

/* ---- one by one ----------------------------------------------------------------------- */

/* WORD "NAME" {, but there is no such section. */
static bool
is_unknown_head(const struct token *word)
{
	struct token title = token_after(word), brace = token_after(&title);

	return word->kind == TOKEN_WORD && is_value(&title) && brace.kind == '{' &&
	       brace.line == word->line;
}

static struct token
read_unknown_head(struct statement *found, struct token word)
{
	struct token title = token_after(&word);

	found->kind = STATEMENT_HEAD;
	found->section = SECTION_UNKNOWN;
	found->section_line = word.line;
	fault(found, word.line,
	      "no such section: \"%.*s\"; there are listen and policy sections",
	      shown(&word), word.at);
	return token_after(&title);
}

static struct token
read_any(struct statement *found, struct token first)
{
	struct token next = token_after(&first);
	enum section_kind kind = section_of(&first);

	if (first.kind == '}')
		return read_close(found, first);
	if (kind != SECTION_MAIN && !is_sign(&next))
		return read_head(found, first, kind);
	if (is_unknown_head(&first))
		return read_unknown_head(found, first);
	return read_statement(found, first);
}

bool
config_next_statement(struct statement *found)
{
	struct token name = token_at(found->next, found->next_line), last;

	if (found->leaves)
		found->section = SECTION_MAIN;
	found->leaves = false;
	if (name.kind == TOKEN_END)
		return read_end(found, &name);
	*found = (struct statement){ .name = name.at,
		                     .line = name.line,
		                     .section = found->section,
		                     .section_line = found->section_line };
	last = read_any(found, name);
	found->next = last.end;
	if (found->why[0]) /* go on in the next line */
		found->next += strcspn(found->next, "\n");
	found->next_line = last.line;
	return true;
}
