#include "spamc.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/*
 * What a spamd may answer.  Promises kept for any input: nothing is read beyond it; what is
 * taken can be used (numbers are numbers, words are printable); and what was decided from a
 * part of it stands whatever comes behind.
 */
static void
check_words(const char *words, size_t size)
{
	assert(strlen(words) < size);
	for (; *words; words++)
		assert(*words >= ' ' && *words <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct spamc_answer answer, part;
	enum spamc_step step = spamc_read(text, size, false, &answer);
	enum spamc_step at_eof = spamc_read(text, size, true, &part);

	assert(at_eof != SPAMC_MORE);
	assert(step == SPAMC_MORE || step == at_eof);
	assert(step != SPAMC_MORE || size < SPAMC_ANSWER_MAX);
	check_words(answer.words, sizeof(answer.words));
	check_words(answer.rules, sizeof(answer.rules));
	assert(isfinite(answer.score) && isfinite(answer.threshold));
	if (size == 0)
		return 0;
	at_eof = spamc_read(text, size / 2, false, &part);
	assert(at_eof == SPAMC_MORE || size > SPAMC_ANSWER_MAX || at_eof == step ||
	       memchr(text, '\0', size));
	if (at_eof == SPAMC_WHOLE && step == SPAMC_WHOLE)
		assert(part.code == answer.code && part.is_spam == answer.is_spam &&
		       part.score == answer.score);
	return 0;
}
