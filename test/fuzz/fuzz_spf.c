#include "spf_internal.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * Lines: flags, a HELO, a sender, and what DNS says.  Which of these answers a question
 * depends on the question alone; its first letter says how: T no answer, N no name, D no
 * data, else these are values, with tabs between them.
 *
 * Promises kept for any input: there is a result behind as many questions as the header
 * says; every name can be asked for; an explanation is printable, and there is one only
 * for a fail; the order of answers changes nothing.
 */
enum {
	LINES_MAX = 64,
	VALUES_MAX = 16,
};

struct lines {
	size_t count;
	char *at[LINES_MAX];
};

static void
split(struct lines *lines, char *text)
{
	lines->count = 0;
	while (text && lines->count < LINES_MAX)
		lines->at[lines->count++] = strsep(&text, "\n");
}

static const char *
choose(const struct lines *lines, const struct spf_question *question)
{
	unsigned hash = (unsigned)question->type * 31;

	if (lines->count < 4)
		return "N";
	for (const char *at = question->name; *at; at++)
		hash = hash * 33 + (unsigned char)*at;
	if (question->type == SPF_TXT && hash % 4 == 0)
		return lines->at[3]; /* so that it meets records often */
	return lines->at[3 + hash % (lines->count - 3)];
}

static void
answer(struct spf *spf, const struct lines *lines, const struct spf_question *question,
       const struct addr *client)
{
	char *text = strdup(choose(lines, question)), *rest = text;
	const char *texts[VALUES_MAX];
	struct addr addrs[VALUES_MAX];
	struct spf_answer answer = { SPF_THERE_IS, 0, addrs, texts };

	answer.found = *text == 'T'   ? SPF_NO_ANSWER
	               : *text == 'N' ? SPF_NO_NAME
	               : *text == 'D' ? SPF_NO_DATA
	                              : SPF_THERE_IS;
	while (answer.found == SPF_THERE_IS && rest && answer.count < VALUES_MAX) {
		texts[answer.count] = strsep(&rest, "\t");
		addrs[answer.count] = *client;
		if (texts[answer.count][0] != '=')
			addrs[answer.count].v4.sin_addr.s_addr ^= 0x11000000;
		answer.count++;
	}
	spf_answer(spf, question->id, &answer);
	free(text);
}

static struct spf_result
evaluate(const struct lines *lines, const struct spf_subject *subject, bool last_first)
{
	struct spf *spf = spf_new(subject);
	struct spf_question asked[SPF_NAMES_MAX];
	struct spf_result result;
	size_t count = 0, total = 0;

	while (!spf_result(spf)) {
		while (count < SPF_NAMES_MAX && spf_ask(spf, &asked[count])) {
			assert(spf_can_ask(asked[count].name));
			count++;
			total++;
		}
		assert(count > 0 && total <= SPF_QUESTIONS_MAX);
		if (last_first) {
			answer(spf, lines, &asked[--count], &subject->client);
			continue;
		}
		answer(spf, lines, &asked[0], &subject->client);
		count--;
		memmove(asked, asked + 1, count * sizeof(asked[0]));
	}
	result = *spf_result(spf);
	spf_free(spf);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct spf_subject subject = { .receiver = "mx.test", .now = 1 };
	struct spf_result one, other;
	struct lines lines;
	bool good;

	memcpy(text, data, size);
	text[size] = '\0';
	split(&lines, text);
	good = addr_parse(&subject.client,
	                  lines.at[0][0] == '6' ? "2001:db8::1" : "192.0.2.1", 0);
	assert(good);
	subject.helo = lines.count > 1 ? lines.at[1] : NULL;
	subject.sender = lines.count > 2 ? lines.at[2] : NULL;
	one = evaluate(&lines, &subject, false);
	other = evaluate(&lines, &subject, true);
	assert(one.verdict == other.verdict && strcmp(one.term, other.term) == 0);
	assert(strcmp(one.explanation, other.explanation) == 0);
	assert(one.explanation[0] == '\0' || one.verdict == SPF_FAIL);
	for (const char *at = one.explanation; *at; at++)
		assert(*at >= ' ' && *at <= '~');
	for (const char *at = one.term; *at; at++)
		assert(*at > ' ' && *at <= '~');
	assert((one.verdict == SPF_TEMPERROR || one.verdict == SPF_PERMERROR) ==
	       (one.problem[0] != '\0'));
	free(text);
	return 0;
}
