#include "outcome.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void
outcome_begin(struct outcome *outcome, unsigned replies)
{
	assert(replies > 0 && outcome->safest.code == 0);
	outcome->awaited = replies;
}

/* The larger, the less is taken for granted. */
static int
caution(int code)
{
	if (code == 0)
		return 0;
	if (code < 400)
		return 1;
	return code < 500 ? 3 : 2;
}

static void
keep(struct outcome *outcome, const struct reply *reply)
{
	char *text = xmalloc(reply->size);

	memcpy(text, reply->text, reply->size);
	free((char *)outcome->safest.text);
	outcome->safest = *reply;
	outcome->safest.text = text;
}

void
outcome_add(struct outcome *outcome, const struct reply *reply)
{
	bool accepted = reply->code < 300;

	assert(outcome->awaited > 0 && reply->size > 0);
	outcome->awaited--;
	outcome->accepted += accepted;
	outcome->refused += !accepted;
	if (caution(reply->code) > caution(outcome->safest.code))
		keep(outcome, reply);
}

bool
outcome_is_partial(const struct outcome *outcome)
{
	return outcome->awaited > 0 && outcome->safest.code != 0;
}

const char *
outcome_word(const struct outcome *outcome)
{
	if (outcome->accepted == 0)
		return "no";
	return outcome->refused + outcome->awaited == 0 ? "yes" : "some";
}

void
outcome_fini(struct outcome *outcome)
{
	free((char *)outcome->safest.text);
	*outcome = (struct outcome){ 0 };
}
