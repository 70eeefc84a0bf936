#include "clamdproto.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

/*
 * Promises kept for any input: nothing is said before there is an end, or too much; words are
 * printable, end, and fit; clean is what says so, and nothing else.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char clean[] = "stream: OK";
	struct evbuffer *in = evbuffer_new();
	size_t room = size > 0 ? (size_t)data[0] + 1 : 1;
	char words[256];
	enum clamdproto_answer answer;

	if (size > 0)
		evbuffer_add(in, data + 1, size - 1);
	answer = clamdproto_read(in, words, room);
	assert(memchr(words, '\0', room));
	for (const char *c = words; *c; c++)
		assert(*c >= ' ' && *c <= '~');
	if (answer == CLAMDPROTO_MORE)
		assert(evbuffer_get_length(in) < CLAMDPROTO_ANSWER_MAX);
	assert((answer == CLAMDPROTO_CLEAN) ==
	       (size == sizeof(clean) + 1 &&
	        memcmp(data + 1, clean, sizeof(clean)) == 0));
	evbuffer_free(in);
	return 0;
}
