#include "reply.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
	CODE_SIZE = 3,
};

/* A line as it came, without its line end. */
struct raw_line {
	const char *text;
	size_t size;
};

/* evbuffer_add() fails for want of memory, or on a buffer that was frozen: ours both. */
static void
put(struct evbuffer *out, const char *text, size_t size)
{
	int failed = evbuffer_add(out, text, size);

	assert(!failed);
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\v' || c == '\f';
}

/* The code of a line; 0 if it is no line of a reply.  LAST: it ends the reply. */
static int
line_code(const char *line, size_t size, bool *last)
{
	if (size < CODE_SIZE || line[0] < '2' || line[0] > '5' || !is_digit(line[1]) ||
	    !is_digit(line[2]))
		return 0;
	*last = size == CODE_SIZE || line[CODE_SIZE] == ' ';
	if (!*last && line[CODE_SIZE] != '-')
		return 0;
	if (memchr(line, '\0', size) || memchr(line, '\r', size))
		return 0;
	return (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
}

/* The size, line end and all, of the line that starts behind those that were seen; 0 if
 * its end is not here.  LIMIT: bytes to look at. */
static size_t
find_line(const struct reply_reader *reader, struct evbuffer *input, size_t limit,
          struct evbuffer_ptr *start)
{
	struct evbuffer_ptr from = *start, end = *start, found;

	if (reader->searched >= limit ||
	    evbuffer_ptr_set(input, &from, reader->searched, EVBUFFER_PTR_ADD) < 0 ||
	    evbuffer_ptr_set(input, &end, limit, EVBUFFER_PTR_ADD) < 0)
		return 0;
	found = evbuffer_search_range(input, "\n", 1, &from, &end);
	return found.pos < 0 ? 0 : (size_t)(found.pos - start->pos) + 1;
}

/* Takes a whole line of SIZE bytes into account. */
static enum reply_step
read_line(struct reply_reader *reader, struct evbuffer *input, size_t size,
          struct evbuffer_ptr *start)
{
	char line[REPLY_LINE_MAX];
	ev_ssize_t copied = evbuffer_copyout_from(input, start, line, size);
	size_t length = size - 1;
	bool last = false;
	int code;

	assert(copied >= 0 && (size_t)copied == size);
	if (length > 0 && line[length - 1] == '\r')
		length--;
	code = line_code(line, length, &last);
	if (code == 0 || (reader->code != 0 && reader->code != code))
		return REPLY_MALFORMED;
	reader->code = code;
	reader->size += size;
	reader->searched = 0;
	return last ? REPLY_WHOLE : REPLY_MORE;
}

/* The bytes are pulled together only once, when all of them are there: so an endless
 * reply costs no more than its length. */
static enum reply_step
take_reply(struct reply_reader *reader, struct evbuffer *input, struct reply *reply)
{
	reply->code = reader->code;
	reply->size = reader->size;
	reply->text = (const char *)evbuffer_pullup(input, (ev_ssize_t)reader->size);
	assert(reply->text);
	*reader = (struct reply_reader){ 0 };
	return REPLY_WHOLE;
}

enum reply_step
reply_read(struct reply_reader *reader, struct evbuffer *input, struct reply *reply)
{
	size_t there = evbuffer_get_length(input);
	struct evbuffer_ptr start;

	while (there > reader->size) {
		size_t rest = REPLY_MAX - reader->size;
		size_t limit = rest < REPLY_LINE_MAX ? rest : REPLY_LINE_MAX;
		size_t seen = there - reader->size;
		int failed;
		size_t size;

		failed = evbuffer_ptr_set(input, &start, reader->size,
		                          EVBUFFER_PTR_SET);
		assert(!failed);
		size = find_line(reader, input, seen < limit ? seen : limit, &start);
		if (size == 0 && seen >= limit)
			return REPLY_MALFORMED;
		if (size == 0) {
			reader->searched = seen;
			return REPLY_MORE;
		}
		switch (read_line(reader, input, size, &start)) {
		case REPLY_MORE:
			break;
		case REPLY_WHOLE:
			return take_reply(reader, input, reply);
		case REPLY_MALFORMED:
			return REPLY_MALFORMED;
		}
	}
	return REPLY_MORE;
}

static bool
next_raw(const struct reply *reply, size_t *at, struct raw_line *line)
{
	const char *start = reply->text + *at;
	const char *end;

	if (*at >= reply->size)
		return false;
	end = memchr(start, '\n', reply->size - *at);
	assert(end);
	*at += (size_t)(end + 1 - start);
	if (end > start && end[-1] == '\r')
		end--;
	line->text = start;
	line->size = (size_t)(end - start);
	assert(line->size >= CODE_SIZE);
	return true;
}

static struct reply_line
line_of(const struct raw_line *raw)
{
	size_t skip = raw->size > CODE_SIZE ? CODE_SIZE + 1 : CODE_SIZE;

	return (struct reply_line){ raw->text + skip, raw->size - skip };
}

bool
reply_next_line(const struct reply *reply, size_t *at, struct reply_line *line)
{
	struct raw_line raw;

	if (!next_raw(reply, at, &raw))
		return false;
	*line = line_of(&raw);
	return true;
}

void
reply_first_words(const struct reply *reply, char *words, size_t size)
{
	struct reply_line line = { "", 0 };
	size_t at = 0;

	(void)reply_next_line(reply, &at, &line);
	snprintf(words, size, "%.*s", (int)line.size, line.text);
}

bool
reply_offers(const struct reply_line *line, const char *keyword)
{
	size_t size = strlen(keyword);
	size_t at = 0;
	char next;

	/* There should be no blanks here, but clients skip them. */
	while (at < line->size && is_blank(line->text[at]))
		at++;
	if (line->size - at < size || strncasecmp(line->text + at, keyword, size) != 0)
		return false;
	if (line->size - at == size)
		return true;
	next = line->text[at + size];
	return is_blank(next) || (next == '=' && strcasecmp(keyword, "AUTH") == 0);
}

bool
reply_offers_size(const struct reply_line *line, uint64_t *most)
{
	const char *at = line->text, *end = line->text + line->size;

	*most = 0;
	if (!reply_offers(line, "SIZE"))
		return false;
	while (at < end && is_blank(*at))
		at++;
	at += strlen("SIZE");
	while (at < end && is_blank(*at))
		at++;
	for (; at < end && is_digit(*at); at++) {
		uint64_t digit = (uint64_t)(*at - '0');

		if (*most > (UINT64_MAX - digit) / 10)
			*most = UINT64_MAX;
		else
			*most = *most * 10 + digit;
	}
	return true;
}

static bool
has_only_crlf(const struct reply *reply)
{
	const char *at = reply->text, *end = reply->text + reply->size;

	while ((at = memchr(at, '\n', (size_t)(end - at)))) {
		if (at[-1] != '\r')
			return false;
		at++;
	}
	return true;
}

/* Writes a line with CRLF and with the mark of LAST or of not last.  A bare CODE stays
 * one: only a last line is. */
static void
put_line(struct evbuffer *out, const char *code, const struct reply_line *line,
         bool last)
{
	put(out, code, CODE_SIZE);
	if (line->text) {
		put(out, last ? " " : "-", 1);
		put(out, line->text, line->size);
	}
	put(out, "\r\n", 2);
}

static bool
edit_nothing(struct reply_line *line, void *arg)
{
	(void)line;
	(void)arg;
	return true;
}

void
reply_forward(const struct reply *reply, struct evbuffer *out)
{
	if (has_only_crlf(reply))
		put(out, reply->text, reply->size);
	else
		reply_forward_edited(reply, out, edit_nothing, NULL);
}

/* NULL as text: there is the code, and not even a blank. */
static bool
next_words(const struct reply *reply, size_t *at, struct reply_line *line)
{
	struct raw_line raw;

	if (!next_raw(reply, at, &raw))
		return false;
	*line = line_of(&raw);
	if (raw.size == CODE_SIZE)
		line->text = NULL;
	return true;
}

void
reply_forward_edited(const struct reply *reply, struct evbuffer *out,
                     reply_edit_cb *edit, void *arg)
{
	struct reply_line shown, next;
	size_t at = 0;

	if (!next_words(reply, &at, &shown))
		return;
	while (next_words(reply, &at, &next)) {
		if (next.text && !edit(&next, arg))
			continue;
		put_line(out, reply->text, &shown, false);
		shown = next;
	}
	put_line(out, reply->text, &shown, true);
}

/* Writes one line of our own; SIZE bytes of TEXT. */
static void
make_line(struct evbuffer *out, int code, const char *enhanced, const char *text,
          size_t size, bool last)
{
	char line[REPLY_OURS_MAX + 1];
	size_t room = REPLY_OURS_MAX - strlen("\r\n");
	int head = snprintf(line, room, "%d%c%s%s", code, last ? ' ' : '-',
	                    enhanced ? enhanced : "", enhanced ? " " : "");
	size_t at = (size_t)head;

	assert(head > 0 && at < room);
	for (size_t i = 0; i < size && at < room; i++)
		line[at++] = text[i];
	for (size_t i = 0; i < at; i++) {
		if (line[i] < ' ' || line[i] > '~')
			line[i] = '?';
	}
	line[at++] = '\r';
	line[at++] = '\n';
	put(out, line, at);
}

void
reply_make(struct evbuffer *out, int code, const char *enhanced, const char *text)
{
	const char *newline;

	assert(code >= 200 && code <= 599);
	while ((newline = strchr(text, '\n'))) {
		make_line(out, code, enhanced, text, (size_t)(newline - text), false);
		text = newline + 1;
	}
	make_line(out, code, enhanced, text, strlen(text), true);
}
