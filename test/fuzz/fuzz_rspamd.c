#include "rspamd.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * What an rspamd may answer, and what peers may say that it is told.  Promises kept for any
 * input: nothing is read beyond it; what is taken can be used; and a header is one line.
 */
static void
check_words(const char *words, size_t size)
{
	assert(strlen(words) < size);
	for (; *words; words++)
		assert(*words >= ' ' && *words <= '~');
}

static void
check_header(char *header, const char *start)
{
	assert(strncmp(header, start, strlen(start)) == 0);
	check_words(header, RSPAMD_VALUE_MAX + 20);
	free(header);
}

struct heard {
	unsigned count;
	bool subject;
};

static void
hear_text(struct heard *heard, const char *text)
{
	assert(heard->count++ < RSPAMD_CHANGES_MOST);
	assert(strlen(text) < RSPAMD_ANSWER_MAX);
}

static void
hear_add(void *arg, const char *name, const char *value)
{
	hear_text(arg, name);
	assert(strlen(value) < RSPAMD_ANSWER_MAX);
}

static void
hear_remove(void *arg, const char *name, unsigned which)
{
	hear_text(arg, name);
	assert(which <= 1000000);
}

static void
hear_subject(void *arg, const char *text)
{
	struct heard *heard = arg;

	assert(!heard->subject && strlen(text) < RSPAMD_ANSWER_MAX);
	heard->subject = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rspamd_answer answer;
	struct heard heard = { 0 };
	struct rspamd_changer changer = { hear_add, hear_remove, hear_subject, &heard };
	enum rspamd_result result = rspamd_read((const char *)data, size, &answer,
	                                        &changer);
	char *text;

	check_words(answer.words, sizeof(answer.words));
	check_words(answer.symbols, sizeof(answer.symbols));
	assert(isfinite(answer.score) && isfinite(answer.required));
	assert(result == RSPAMD_ANSWERED || (heard.count == 0 && !heard.subject));
	assert(!heard.subject || answer.action == RSPAMD_REWRITE_SUBJECT);
	if (result == RSPAMD_ANSWERED)
		assert(rspamd_action_word(answer.action));
	else
		assert(result != RSPAMD_MALFORMED || answer.words[0] != '\0');
	text = malloc(size + 1);
	memcpy(text, data, size);
	text[size] = '\0';
	check_header(rspamd_header("Helo", text), "Helo: ");
	check_header(rspamd_header_path("From", text), "From: <");
	free(text);
	return 0;
}
