#include "outcome.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/*
 * How many replies a server owes to a message, and what it says.
 *
 * Promises kept for any input: who hears a single word hears one that the server has said,
 * and yes only if it never said no; "again" if it ever said that.
 */
struct said {
	bool yes, no, again;
};

static void
note(struct said *said, int code)
{
	said->yes |= code < 300;
	said->no |= code >= 500;
	said->again |= code >= 400 && code < 500;
}

static void
check(const struct outcome *outcome, const struct said *said, unsigned count)
{
	const struct reply *safest = &outcome->safest;
	const char *word = outcome_word(outcome);
	char code[12];

	assert(outcome->accepted + outcome->refused == count);
	assert(outcome_is_partial(outcome) == (count > 0 && outcome->awaited > 0));
	if (count == 0)
		return;
	assert(safest->size > 0 && safest->text[safest->size - 1] == '\n');
	snprintf(code, sizeof(code), "%d", safest->code);
	assert(safest->size > 3 &&
	       memcmp(safest->text, code, 3) == 0); /* no NUL behind */
	if (said->again)
		assert(safest->code >= 400 && safest->code < 500);
	else
		assert(said->no ? safest->code >= 500 : safest->code < 300);
	if (!said->yes)
		assert(strcmp(word, "no") == 0);
	else if (said->no || said->again || outcome->awaited > 0)
		assert(strcmp(word, "some") == 0);
	else
		assert(strcmp(word, "yes") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct evbuffer *input = evbuffer_new();
	struct outcome outcome = { 0 };
	struct reply_reader reader = { 0 };
	struct said said = { 0 };
	struct reply reply;
	unsigned count = 0;

	outcome_begin(&outcome, size > 0 ? data[0] + 1 : 1);
	if (size > 1)
		evbuffer_add(input, data + 1, size - 1);
	while (outcome.awaited > 0 &&
	       reply_read(&reader, input, &reply) == REPLY_WHOLE) {
		size_t used = reply.size;

		if (reply.code < 300 || reply.code > 399) { /* 3yz is no answer */
			note(&said, reply.code);
			outcome_add(&outcome, &reply);
			count++;
		}
		evbuffer_drain(input, used);
		check(&outcome, &said, count);
	}
	outcome_fini(&outcome);
	evbuffer_free(input);
	return 0;
}
