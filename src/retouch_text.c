#include "retouch_internal.h"

#include "xalloc.h"

#include <stdlib.h>
#include <string.h>

/*
 * Texts of others, as they may stand in a header section.
 */

/* ---- a field ---------------------------------------------------------------------- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* VALUE without what could end its line, and blanks at its ends.  Where a line ended there
 * is a blank. */
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
		if (c && !(blank && (end == text || (c == ' ' && is_blank(end[-1])))))
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
