#include "script_internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/*
 * What programs say, standard output and standard error: for the log, and not too much.
 */
enum {
	LINES_MAX = 20, /* in the log, of one call */
};

bool
script_words_are_full(const struct script_words *words)
{
	return words->used == sizeof(words->at);
}

/* What is beyond the limit must be read as well: a program would wait for that. */
bool
script_words_read(struct script_words *words, int fd)
{
	static char
		rest[65536]; /* the size of a pipe; the loop's thread alone is here */
	size_t room = sizeof(words->at) - words->used;
	ssize_t got = room > 0 ? read(fd, words->at + words->used, room)
	                       : read(fd, rest, sizeof(rest));

	if (got < 0)
		return errno == EAGAIN || errno == EINTR;
	if (room > 0)
		words->used += (size_t)got;
	else
		words->unkept += (uint64_t)got;
	return got > 0;
}

/* The size of the line at AT; *MORE: what it and its end take. */
static size_t
line_size(const char *at, size_t left, size_t *more)
{
	const char *end = memchr(at, '\n', left);
	size_t size = end ? (size_t)(end - at) : left;

	*more = end ? size + 1 : size;
	return size > 0 && at[size - 1] == '\r' ? size - 1 : size;
}

void
script_words_log(const struct script_words *words, const struct script_call *call)
{
	uint64_t left_out = words->unkept;
	unsigned lines = 0;
	size_t more;

	for (size_t at = 0; at < words->used; at += more) {
		size_t size = line_size(words->at + at, words->used - at, &more);

		if (size == 0)
			continue;
		if (++lines > LINES_MAX)
			left_out += more;
		else
			log_event(&call->log, LOG_SCRIPT_SAYS_EVENT,
			          log_bytes("text", words->at + at, size));
	}
	if (left_out > 0)
		log_event(&call->log, LOG_SCRIPT_SAYS_EVENT,
		          log_text("text", "and more, which is not logged"),
		          log_number("bytes", (int64_t)left_out));
}

size_t
script_words_last(const struct script_words *words, const char **line)
{
	size_t last = 0, more;

	*line = NULL;
	for (size_t at = 0; at < words->used; at += more) {
		size_t size = line_size(words->at + at, words->used - at, &more);

		if (size > 0) {
			*line = words->at + at;
			last = size;
		}
	}
	return last;
}
