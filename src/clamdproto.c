#include "clamdproto.h"

#include <assert.h>
#include <string.h>

static const char subject[] = "stream: ";

const char clamdproto_instream[] = "zINSTREAM";
const size_t clamdproto_instream_size = sizeof(clamdproto_instream);

void
clamdproto_chunk(unsigned char to[static CLAMDPROTO_CHUNK_SIZE], uint32_t size)
{
	to[0] = (unsigned char)(size >> 24);
	to[1] = (unsigned char)(size >> 16);
	to[2] = (unsigned char)(size >> 8);
	to[3] = (unsigned char)size;
}

/* It comes from outside, and goes to the log and into replies. */
static void
keep_words(char *words, size_t words_size, const char *text, size_t size)
{
	size_t kept = size < words_size ? size : words_size - 1;

	for (size_t i = 0; i < kept; i++)
		words[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	words[kept] = '\0';
}

/* Takes END off TEXT of SIZE bytes, if something stands in front of it. */
static bool
cut_end(const char *text, size_t *size, const char *end)
{
	size_t end_size = strlen(end);

	if (*size <= end_size || memcmp(text + *size - end_size, end, end_size) != 0)
		return false;
	*size -= end_size;
	return true;
}

static enum clamdproto_answer
read_line(const char *text, size_t size, char *words, size_t words_size)
{
	static const char limit[] = "INSTREAM size limit exceeded. ERROR";
	size_t skip = sizeof(subject) - 1;
	enum clamdproto_answer answer = CLAMDPROTO_MALFORMED;
	bool about_stream = size > skip && memcmp(text, subject, skip) == 0;

	if (size == sizeof(limit) - 1 && memcmp(text, limit, size) == 0)
		return CLAMDPROTO_TOO_BIG;
	if (about_stream) {
		text += skip;
		size -= skip;
	}
	if (about_stream && size == 2 && memcmp(text, "OK", 2) == 0)
		return CLAMDPROTO_CLEAN;
	if (about_stream && cut_end(text, &size, " FOUND"))
		answer = CLAMDPROTO_FOUND;
	else if (cut_end(text, &size, " ERROR"))
		answer = CLAMDPROTO_ERROR;
	keep_words(words, words_size, text, size);
	return answer;
}

enum clamdproto_answer
clamdproto_read(struct evbuffer *input, char *words, size_t words_size)
{
	char text[CLAMDPROTO_ANSWER_MAX];
	ev_ssize_t there = evbuffer_copyout(input, text, sizeof(text));
	size_t size = there > 0 ? (size_t)there : 0;
	const char *end = memchr(text, '\0', size);

	assert(words_size > 0);
	words[0] = '\0';
	if (!end && size < sizeof(text))
		return CLAMDPROTO_MORE;
	if (end && (size_t)(end - text) + 1 == evbuffer_get_length(input))
		return read_line(text, size - 1, words, words_size);
	keep_words(words, words_size, text, end ? (size_t)(end - text) : size);
	return CLAMDPROTO_MALFORMED;
}
