#include "config_internal.h"

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
	return opt->kind == OPTION_STR || opt->kind == OPTION_TEXT;
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

/* There is something behind the value, in the same line. */
static void
refuse_next(struct statement *found, const struct token *value,
            const struct token *next)
{
	const struct option *opt = found->opt;

	if (is_name(next))
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

bool
config_next_statement(struct statement *found)
{
	struct token name = token_at(found->next, found->next_line), last;

	if (name.kind == TOKEN_END)
		return false;
	*found = (struct statement){ .name = name.at, .line = name.line };
	last = read_statement(found, name);
	found->next = last.end;
	if (found->why[0]) /* go on in the next line */
		found->next += strcspn(found->next, "\n");
	found->next_line = last.line;
	return true;
}
