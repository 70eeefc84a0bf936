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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rspamd_answer answer;
	enum rspamd_result result = rspamd_read((const char *)data, size, &answer);
	char *text;

	check_words(answer.words, sizeof(answer.words));
	check_words(answer.symbols, sizeof(answer.symbols));
	assert(isfinite(answer.score) && isfinite(answer.required));
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
