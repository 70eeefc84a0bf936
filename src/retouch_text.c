#include "retouch_internal.h"

#include "utf8.h"
#include "xalloc.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/*
 * Texts of others, as they may stand in a header section.
 */

char *
retouch_take_text(struct evbuffer *lines)
{
	size_t size = evbuffer_get_length(lines);
	char *text = xmalloc(size + 1);

	evbuffer_remove(lines, text, size);
	text[size] = '\0';
	evbuffer_free(lines);
	return text;
}

/* ---- a field ---------------------------------------------------------------------- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* VALUE without what could end its line, blanks at its ends, and more than one in a row.
 * Where a line ended there is a blank. */
static char *
clean(const char *value)
{
	char *text = xmalloc(strlen(value) + 1), *end = text;

	for (; *value; value++) {
		unsigned char c = (unsigned char)*value;
		bool blank = strchr(" \t\r\n", c) != NULL;

		if (c == '\r' || c == '\n')
			c = ' ';
		else if (c >= 0x7f)
			c = c == 0x7f ? '\0' : '?';
		else if (c < ' ' && !blank)
			c = '\0';
		if (c && !(blank && (end == text || is_blank(end[-1]))))
			*end++ = (char)c;
	}
	while (end > text && is_blank(end[-1]))
		end--;
	*end = '\0';
	return text;
}

/* Lines are folded in front of their blanks, which stay: unfolded it is the same text. */
void
retouch_put_field(struct evbuffer *to, const char *name, const char *value)
{
	char *text = clean(value);
	size_t line = strlen(name) + 2;

	evbuffer_add_printf(to, "%s: ", name);
	for (const char *at = text; *at;) {
		size_t blanks = strspn(at, " \t");
		size_t size = blanks + strcspn(at + blanks, " \t");

		if (blanks > 0 && line + size > HEADER_LINE) {
			evbuffer_add(to, "\r\n", 2);
			line = 0;
		}
		if (line + size > HEADER_LINE_MAX)
			size = HEADER_LINE_MAX - line;
		evbuffer_add(to, at, size);
		line += size;
		at += size;
		if (line == HEADER_LINE_MAX && *at && !is_blank(*at)) {
			evbuffer_add(to, "\r\n ", 3);
			line = 1;
		}
	}
	evbuffer_add(to, "\r\n", 2);
	free(text);
}

/* ---- a subject -------------------------------------------------------------------- */

/* Text that has the beginning of an encoded-word in it would be taken for one. */
bool
retouch_is_plain(const char *text)
{
	for (const char *at = text; *at; at++)
		if (*at < ' ' || *at > '~')
			return false;
	return !strstr(text, "=?");
}

bool
retouch_is_value(const char *value)
{
	for (; *value; value++)
		if ((unsigned char)*value >= 0x7f)
			return false;
	return true;
}

enum {
	/* Of text in one encoded-word: with "Subject: " in front it makes a line of 73, and
	 * 76 is the most (RFC 2047 2). */
	WORD_BYTES = 39,
	WORD_SIZE = WORD_BYTES / 3 * 4 + 1, /* in base64, and a NUL */
};

/* One encoded-word of the text AT; returns where the rest begins. */
static const unsigned char *
put_one_word(struct evbuffer *to, const unsigned char *at)
{
	unsigned char word[WORD_BYTES], text[WORD_SIZE];
	size_t size = 0;

	while (*at) {
		size_t one = utf8_size((const char *)at), takes = one ? one : 1;

		if (size + takes > WORD_BYTES)
			break;
		if (!one)
			word[size++] = '?';
		else if (one > 1 || (*at >= ' ' && *at < 0x7f))
			for (size_t i = 0; i < one; i++)
				word[size++] = at[i];
		else
			word[size++] = ' '; /* a line's end, a control character */
		at += takes;
	}
	evbuffer_add(to, "=?UTF-8?B?", 10);
	evbuffer_add(to, text, (size_t)EVP_EncodeBlock(text, word, (int)size));
	evbuffer_add(to, "?=", 2);
	return at;
}

void
retouch_put_words(struct evbuffer *to, const char *text)
{
	const unsigned char *at = (const unsigned char *)text;

	while (*at) {
		if (at != (const unsigned char *)text)
			evbuffer_add(to, "\r\n ", 3);
		at = put_one_word(to, at);
	}
}

void
retouch_put_subject(struct evbuffer *to, const char *prefix, const char *text)
{
	char *whole = xasprintf("%s%s", prefix ? prefix : "", text);
	size_t size = strlen(whole);

	while (size > 0 && is_blank(whole[size - 1]))
		whole[--size] = '\0';
	if (retouch_is_plain(whole)) {
		retouch_put_field(to, "Subject", whole);
	} else {
		evbuffer_add_printf(to, "Subject: ");
		retouch_put_words(to, whole);
		evbuffer_add(to, "\r\n", 2);
	}
	free(whole);
}

/* A blank between two encoded-words is none (RFC 2047 6.2): there it must be inside, and
 * outside anywhere else. */
void
retouch_put_prefix(struct evbuffer *to, const char *prefix, size_t line, bool is_over,
                   bool is_word)
{
	char *text = xstrdup(prefix);
	size_t size = strlen(text);
	bool has_blank = size > 0 && is_blank(text[size - 1]);
	bool is_plain = retouch_is_plain(prefix);

	while (size > 0 && is_blank(text[size - 1]))
		text[--size] = '\0';
	evbuffer_add(to, " ", 1);
	if (is_plain)
		evbuffer_add(to, text, size);
	else
		retouch_put_words(to, is_word ? prefix : text);
	if (!is_over && (!is_plain || line + size + 2 > HEADER_LINE))
		evbuffer_add(to, "\r\n ", 3);
	else if (!is_over && (has_blank || is_word))
		evbuffer_add(to, " ", 1);
	free(text);
}
