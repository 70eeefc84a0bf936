#include "pattern.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/*
 * Without the JIT compiler of PCRE2: it needs memory that is written and executed, which
 * our service is denied, and for subjects as short as ours it gains some tenths of a
 * microsecond.
 */

enum {
	HEAP_KIB = 4096, /* most memory of one search, freed behind it */
	WORDS_SIZE = 128,
};

struct pattern {
	unsigned references;
	char *text;
	pcre2_code *code;
};

struct search {
	uint64_t steps, most;
};

static void
error_words(int error, char words[static WORDS_SIZE])
{
	if (pcre2_get_error_message(error, (PCRE2_UCHAR *)words, WORDS_SIZE) < 0)
		snprintf(words, WORDS_SIZE, "error %d of PCRE2", error);
}

struct pattern *
pattern_new(const char *text, char *why, size_t why_size)
{
	struct pattern *pattern;
	char words[WORDS_SIZE];
	PCRE2_SIZE offset;
	pcre2_code *code;
	int error;

	/* PCRE2_AUTO_CALLOUT: on_step() is called for every item. */
	code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
	                     PCRE2_AUTO_CALLOUT, &error, &offset, NULL);
	if (!code) {
		error_words(error, words);
		snprintf(why, why_size, "%s, at byte %zu", words, offset);
		return NULL;
	}
	pattern = xcalloc(1, sizeof(*pattern));
	pattern->references = 1;
	pattern->text = xstrdup(text);
	pattern->code = code;
	return pattern;
}

struct pattern *
pattern_hold(struct pattern *pattern)
{
	if (pattern)
		pattern->references++;
	return pattern;
}

void
pattern_drop(struct pattern *pattern)
{
	if (!pattern || --pattern->references > 0)
		return;
	pcre2_code_free(pattern->code);
	free(pattern->text);
	free(pattern);
}

const char *
pattern_text(const struct pattern *pattern)
{
	return pattern ? pattern->text : "";
}

static int
on_step(pcre2_callout_block *at, void *arg)
{
	struct search *search = arg;

	(void)at;
	return ++search->steps > search->most ? PCRE2_ERROR_CALLOUT : 0;
}

/* PCRE2's own limits are a net beneath ours. */
static pcre2_match_context *
limits_new(struct search *search)
{
	pcre2_match_context *limits = pcre2_match_context_create(NULL);
	uint32_t most = search->most < UINT32_MAX ? (uint32_t)search->most : UINT32_MAX;

	if (!limits)
		abort(); /* there is no memory: see xalloc.h */
	pcre2_set_match_limit(limits, most);
	pcre2_set_depth_limit(limits, most);
	pcre2_set_heap_limit(limits, HEAP_KIB);
	pcre2_set_callout(limits, on_step, search);
	return limits;
}

static enum pattern_answer
answer(int result, uint64_t steps, char *why, size_t why_size)
{
	char words[WORDS_SIZE];

	if (result >= 0)
		return PATTERN_FOUND;
	if (result == PCRE2_ERROR_NOMATCH)
		return PATTERN_ABSENT;
	if (result == PCRE2_ERROR_CALLOUT) {
		snprintf(why, why_size, "more than %" PRIu64 " steps", steps);
		return PATTERN_UNDECIDED;
	}
	error_words(result, words);
	snprintf(why, why_size, "%s", words);
	return PATTERN_UNDECIDED;
}

enum pattern_answer
pattern_find(const struct pattern *pattern, const char *subject, size_t size,
             uint64_t steps, char *why, size_t why_size)
{
	struct search search = { .most = steps };
	pcre2_match_context *limits = limits_new(&search);
	pcre2_match_data *match = pcre2_match_data_create(1, NULL);
	int result;

	if (!match)
		abort(); /* there is no memory: see xalloc.h */
	result = pcre2_match(pattern->code, (PCRE2_SPTR)subject, size, 0, 0, match,
	                     limits);
	pcre2_match_data_free(match);
	pcre2_match_context_free(limits);
	return answer(result, steps, why, why_size);
}
