#include "retouch_internal.h"

#include "base64.h"
#include "xalloc.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/*
 * Does a subject begin with a text already?  Another gateway like us may have put it there:
 * as it is, or in encoded-words (RFC 2047).
 */
static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The value of a field that begins at TEXT, unfolded; more may follow it. */
static char *
unfolded(const unsigned char *text, size_t size)
{
	char *value = xmalloc(size + 1), *end = value;

	for (size_t at = 0; at < size && text[at]; at++) {
		if (text[at] != '\r' && text[at] != '\n') {
			*end++ = (char)text[at];
			continue;
		}
		while (at + 1 < size && (text[at + 1] == '\r' || text[at + 1] == '\n'))
			at++;
		if (at + 1 == size || !is_blank((char)text[at + 1]))
			break;
	}
	*end = '\0';
	return value;
}

/* A word as we write them, decoded to TO: fewer bytes than it had.  Returns where the rest
 * begins; NULL: there is none at AT. */
static const char *
decode_word(const char *at, char **to)
{
	static const char begin[] = "=?UTF-8?B?";
	const char *end;
	size_t size;

	if (strncasecmp(at, begin, sizeof(begin) - 1) != 0)
		return NULL;
	at += sizeof(begin) - 1;
	end = strchr(at, '?');
	if (!end || end[1] != '=' ||
	    !base64_decode(at, (size_t)(end - at), (unsigned char *)*to, &size))
		return NULL;
	*to += size;
	return end + 2;
}

/* The same text, without the words that it begins with: a blank between two of them is none
 * (RFC 2047 6.2). */
static char *
decoded(const char *value)
{
	char *text = xmalloc(strlen(value) + 1), *end = text;
	const char *at = value + strspn(value, " \t"), *rest;

	while ((rest = decode_word(at + strspn(at, " \t"), &end)))
		at = rest;
	memcpy(end, at, strlen(at) + 1);
	return text;
}

bool
retouch_is_tagged(const unsigned char *text, size_t size, const char *prefix)
{
	char *value = unfolded(text, size), *subject = decoded(value);
	size_t all = strlen(prefix), most = all;
	bool is;

	while (most > 0 && is_blank(prefix[most - 1]))
		most--;
	is = most > 0 && strncmp(subject, prefix, most) == 0 &&
	     (most == all || !subject[most] || is_blank(subject[most]));
	free(subject);
	free(value);
	return is;
}
