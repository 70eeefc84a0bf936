#include "command.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

static const char *const verb_names[VERB_COUNT] = { [VERB_UNKNOWN] = "?",
#define V(name) [VERB_##name] = #name,
	                                            VERBS(V)
#undef V
};

const char *
verb_name(enum verb verb)
{
	assert((unsigned)verb < VERB_COUNT);
	return verb_names[verb];
}

bool
verb_is_hello(enum verb verb)
{
	return verb == VERB_HELO || verb == VERB_EHLO || verb == VERB_LHLO;
}

/* What servers take for a blank, not only what RFC 5321 does: to Postfix and Sendmail,
 * "<TAB>DATA<VT>" is DATA.  So it is to us, or they would hear what we did not. */
static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\v' || c == '\f';
}

static const char *
skip_blanks(const char *text)
{
	while (is_blank(*text))
		text++;
	return text;
}

/* The end of the word that starts at TEXT. */
static const char *
word_end(const char *text)
{
	while (*text != '\0' && !is_blank(*text))
		text++;
	return text;
}

static enum verb
verb_of(const char *word, size_t size)
{
	for (int verb = VERB_UNKNOWN + 1; verb < VERB_COUNT; verb++) {
		const char *name = verb_names[verb];

		if (strlen(name) == size && strncasecmp(name, word, size) == 0)
			return verb;
	}
	return VERB_UNKNOWN;
}

void
command_parse(struct command *command, const char *line, size_t size)
{
	const char *word = skip_blanks(line);
	const char *end = word_end(word);

	command->verb = verb_of(word, (size_t)(end - word));
	command->line = line;
	command->size = size;
	command->argument = skip_blanks(end);
}

/* The longest line that may start like this.  (While fewer bytes than the shorter limit
 * are here, it does not matter which one is returned.) */
static size_t
line_limit(struct evbuffer *input, bool opaque)
{
	char head[64 + 1];
	struct command command;
	ev_ssize_t size;

	if (opaque)
		return COMMAND_AUTH_MAX;
	size = evbuffer_copyout(input, head, sizeof(head) - 1);
	if (size <= 0)
		return COMMAND_MAX;
	head[size] = '\0';
	head[strcspn(head, "\r\n")] = '\0';
	command_parse(&command, head, strlen(head));
	return command.verb == VERB_AUTH ? COMMAND_AUTH_MAX : COMMAND_MAX;
}

/* The number of bytes up to and with the first LF of INPUT, or 0 if there is none.  Looks
 * at the bytes from FROM to before TO, where TO is at most what there is. */
static size_t
find_line(struct evbuffer *input, size_t from, size_t to)
{
	struct evbuffer_ptr start, end, found;

	if (from >= to || evbuffer_ptr_set(input, &start, from, EVBUFFER_PTR_SET) < 0 ||
	    evbuffer_ptr_set(input, &end, to, EVBUFFER_PTR_SET) < 0)
		return 0;
	found = evbuffer_search_range(input, "\n", 1, &start, &end);
	return found.pos < 0 ? 0 : (size_t)found.pos + 1;
}

/* Throws away an over-long line, as much of it as is here. */
static enum command_step
skip_line(struct command_reader *reader, struct evbuffer *input)
{
	size_t there = evbuffer_get_length(input);
	size_t size = find_line(input, 0, there);

	evbuffer_drain(input, size > 0 ? size : there);
	*reader = (struct command_reader){ .skipping = size == 0 };
	return size > 0 ? COMMAND_TOO_LONG : COMMAND_MORE;
}

/* Takes SIZE bytes, line end and all, out of INPUT. */
static enum command_step
take_line(struct evbuffer *input, size_t size, char *line, size_t *length)
{
	int taken = evbuffer_remove(input, line, size);

	assert(taken >= 0 && (size_t)taken == size);
	size--;
	if (size > 0 && line[size - 1] == '\r')
		size--;
	line[size] = '\0';
	*length = size;
	if (memchr(line, '\0', size) || memchr(line, '\r', size))
		return COMMAND_BROKEN;
	return COMMAND_LINE;
}

enum command_step
command_read(struct command_reader *reader, struct evbuffer *input, bool opaque,
             char line[static COMMAND_AUTH_MAX + 1], struct command *command)
{
	size_t there = evbuffer_get_length(input);
	size_t limit, size, length;
	enum command_step step;

	if (reader->skipping)
		return skip_line(reader, input);

	limit = line_limit(input, opaque);
	size = find_line(input, reader->searched, there < limit ? there : limit);
	if (size == 0 && there >= limit)
		return skip_line(reader, input);
	reader->searched = size == 0 ? there : 0;
	if (size == 0)
		return COMMAND_MORE;

	step = take_line(input, size, line, &length);
	if (step != COMMAND_LINE)
		return step;
	command_parse(command, line, length);
	if (opaque)
		command->verb = VERB_UNKNOWN;
	return COMMAND_LINE;
}

/* The '>' that closes a path, the blank or end behind a naked one; NULL if a quote is
 * open.  In quotes (RFC 5321 4.1.2, Quoted-string) both are ordinary. */
static const char *
path_end(const char *path, bool bracketed)
{
	bool quoted = false;

	for (; *path != '\0'; path++) {
		if (*path == '"')
			quoted = !quoted;
		else if (quoted && *path == '\\' && path[1] != '\0')
			path++;
		else if (!quoted && (bracketed ? *path == '>' : is_blank(*path)))
			return path;
	}
	return bracketed || quoted ? NULL : path;
}

const char *
command_path(const char *argument, const char *keyword, size_t *size)
{
	const char *path, *end;
	bool bracketed;

	if (strncasecmp(argument, keyword, strlen(keyword)) != 0)
		return NULL;
	path = skip_blanks(argument + strlen(keyword));
	if (*path != ':')
		return NULL;
	path = skip_blanks(path + 1);
	bracketed = *path == '<';
	if (bracketed)
		path++;

	end = path_end(path, bracketed);
	if (!end)
		return NULL;
	if (bracketed && end[1] != '\0' && !is_blank(end[1]))
		return NULL;
	if (!bracketed && end == path)
		return NULL;
	*size = (size_t)(end - path);
	return path;
}

/* Walks over the words behind the first; WORD starts as the argument. */
static bool
next_parameter(const char **word, size_t *size)
{
	*word = skip_blanks(word_end(*word));
	*size = (size_t)(word_end(*word) - *word);
	return *size > 0;
}

bool
command_has_parameter(const char *argument, const char *parameter)
{
	const char *word = argument;
	size_t size;

	while (next_parameter(&word, &size))
		if (size == strlen(parameter) &&
		    strncasecmp(word, parameter, size) == 0)
			return true;
	return false;
}

enum {
	SIZE_DIGITS = 20,
};

/* False: these are no 1 to 20 digits. */
static bool
read_size(const char *digits, size_t count, uint64_t *size)
{
	if (count == 0 || count > SIZE_DIGITS)
		return false;
	*size = 0;
	for (; count > 0; digits++, count--) {
		uint64_t digit = (uint64_t)(*digits - '0');

		if (*digits < '0' || *digits > '9')
			return false;
		if (*size > (UINT64_MAX - digit) / 10)
			*size = UINT64_MAX;
		else
			*size = *size * 10 + digit;
	}
	return true;
}

bool
command_size(const char *argument, uint64_t *size)
{
	static const char name[] = "SIZE=";
	const size_t length = sizeof(name) - 1;
	const char *word = argument;
	bool declared = false;
	size_t word_size;

	*size = 0;
	while (next_parameter(&word, &word_size)) {
		uint64_t one;

		if (word_size < length || strncasecmp(word, name, length) != 0)
			continue;
		if (!read_size(word + length, word_size - length, &one))
			return false;
		declared = true;
		if (one > *size)
			*size = one;
	}
	return declared;
}

/* Whatever stands behind a size that can be read, it is known where the chunk ends. */
static void
read_last(const char *rest, struct chunk *chunk)
{
	const char *word = skip_blanks(rest);
	const char *end = word_end(word);

	chunk->last = end - word == 4 && strncasecmp(word, "LAST", 4) == 0;
	chunk->faulty = *skip_blanks(end) != '\0' || (end > word && !chunk->last);
}

bool
command_chunk(const char *argument, struct chunk *chunk)
{
	const uint64_t most = UINT64_C(1) << 62;
	const char *at = argument;
	uint64_t value = 0;

	for (; *at >= '0' && *at <= '9'; at++) {
		uint64_t digit = (uint64_t)(*at - '0');

		if (value > (most - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	if (at == argument || (*at != '\0' && !is_blank(*at)))
		return false;
	chunk->size = value;
	read_last(at, chunk);
	return true;
}
