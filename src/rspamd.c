#include "rspamd.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const action_words[] = {
	[RSPAMD_NO_ACTION] = "no action",
	[RSPAMD_GREYLIST] = "greylist",
	[RSPAMD_ADD_HEADER] = "add header",
	[RSPAMD_REWRITE_SUBJECT] = "rewrite subject",
	[RSPAMD_SOFT_REJECT] = "soft reject",
	[RSPAMD_REJECT] = "reject",
	[RSPAMD_QUARANTINE] = "quarantine",
	[RSPAMD_DISCARD] = "discard",
};

enum {
	ACTIONS = sizeof(action_words) / sizeof(action_words[0]),
	SYMBOLS_MOST = 16, /* that are told */
};

const char *
rspamd_action_word(enum rspamd_action action)
{
	return action_words[action];
}

/* ---- what it is told ------------------------------------------------------------- */

/* As much as fits, and what cannot be printed as '?'. */
static void
copy_clean(char *to, size_t size, const char *from)
{
	size_t length = strnlen(from, size - 1);

	for (size_t i = 0; i < length; i++)
		to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
	to[length] = '\0';
}

static char *
make_header(const char *name, const char *before, const char *value, const char *behind)
{
	char clean[RSPAMD_VALUE_MAX + 1];

	copy_clean(clean, sizeof(clean), value);
	return xasprintf("%s: %s%s%s", name, before, clean, behind);
}

char *
rspamd_header(const char *name, const char *value)
{
	return make_header(name, "", value, "");
}

char *
rspamd_header_path(const char *name, const char *path)
{
	return make_header(name, "<", path, ">");
}

/* ---- what it answers ------------------------------------------------------------- */

struct symbol {
	const char *name;
	double score;
};

/* The heaviest come first; COUNT of them are known. */
static size_t
insert(struct symbol *symbols, size_t count, const char *name, double score)
{
	size_t at = count;

	while (at > 0 && symbols[at - 1].score < score)
		at--;
	if (at == SYMBOLS_MOST)
		return count;
	if (count < SYMBOLS_MOST)
		count++;
	memmove(&symbols[at + 1], &symbols[at], (count - at - 1) * sizeof(*symbols));
	symbols[at] = (struct symbol){ name, score };
	return count;
}

/* Those of a test pattern weigh nothing, but speak for all that was found: if nothing
 * weighs, all are named. */
static size_t
collect(json_t *from, bool with_light, struct symbol *symbols)
{
	size_t count = 0;
	const char *name;
	json_t *symbol;

	json_object_foreach(from, name, symbol)
	{
		double score = json_number_value(json_object_get(symbol, "score"));

		if (score > 0 || with_light)
			count = insert(symbols, count, name, score);
	}
	return count;
}

static void
name_symbols(json_t *from, struct rspamd_answer *answer)
{
	struct symbol symbols[SYMBOLS_MOST];
	size_t count = collect(from, false, symbols), length = 0;

	if (count == 0)
		count = collect(from, true, symbols);
	for (size_t i = 0; i < count; i++) {
		size_t more = strlen(symbols[i].name) + (i > 0);

		if (more >= sizeof(answer->symbols) - length)
			return;
		if (i > 0)
			answer->symbols[length++] = ',';
		copy_clean(answer->symbols + length, sizeof(answer->symbols) - length,
		           symbols[i].name);
		length = strlen(answer->symbols);
	}
}

static enum rspamd_result
say(struct rspamd_answer *answer, enum rspamd_result result, const char *words)
{
	copy_clean(answer->words, sizeof(answer->words), words);
	return result;
}

static enum rspamd_result
read_action(const char *word, struct rspamd_answer *answer)
{
	for (enum rspamd_action action = 0; (int)action < ACTIONS; action++) {
		if (strcmp(word, action_words[action]) != 0)
			continue;
		answer->action = action;
		return RSPAMD_ANSWERED;
	}
	return say(answer, RSPAMD_STRANGE, word);
}

static enum rspamd_result
read_object(json_t *root, struct rspamd_answer *answer)
{
	const char *error = json_string_value(json_object_get(root, "error"));
	const char *action = json_string_value(json_object_get(root, "action"));
	json_t *score = json_object_get(root, "score");

	if (error)
		return say(answer, RSPAMD_REFUSED, error);
	if (!action)
		return say(answer, RSPAMD_MALFORMED, "no action in its answer");
	if (!json_is_number(score) || !isfinite(json_number_value(score)))
		return say(answer, RSPAMD_MALFORMED, "no score in its answer");
	answer->score = json_number_value(score);
	answer->required = json_number_value(json_object_get(root, "required_score"));
	name_symbols(json_object_get(root, "symbols"), answer);
	return read_action(action, answer);
}

/* ---- what it would change --------------------------------------------------------- */

struct telling {
	const struct rspamd_changer *to;
	unsigned left; /* of RSPAMD_CHANGES_MOST */
};

static bool
may_tell(struct telling *telling)
{
	if (telling->left == 0)
		return false;
	telling->left--;
	return true;
}

/* "text", or {"value":"text", ...}: where it shall stand is not for us. */
static void
tell_field(struct telling *telling, const char *name, json_t *value)
{
	const char *text = json_is_object(value)
	                           ? json_string_value(json_object_get(value, "value"))
	                           : json_string_value(value);

	if (text && may_tell(telling))
		telling->to->add(telling->to->arg, name, text);
}

static void
tell_removal(struct telling *telling, const char *name, json_t *which)
{
	double number = json_is_number(which) ? json_number_value(which) : -1;

	if (number >= 0 && number <= 1000000 && floor(number) == number &&
	    may_tell(telling))
		telling->to->remove(telling->to->arg, name, (unsigned)number);
}

typedef void tell_cb(struct telling *telling, const char *name, json_t *one);

/* VALUE is one, or a list of them. */
static void
tell_each(struct telling *telling, tell_cb *tell, const char *name, json_t *value)
{
	size_t i;
	json_t *one;

	if (!json_is_array(value)) {
		tell(telling, name, value);
		return;
	}
	json_array_foreach(value, i, one)
	{
		tell(telling, name, one);
	}
}

static void
tell_changes(json_t *root, enum rspamd_action action,
             const struct rspamd_changer *changer)
{
	struct telling telling = { .to = changer, .left = RSPAMD_CHANGES_MOST };
	const char *subject = json_string_value(json_object_get(root, "subject"));
	json_t *milter = json_object_get(root, "milter");
	const char *name;
	json_t *value;

	tell_each(&telling, tell_field, "DKIM-Signature",
	          json_object_get(root, "dkim-signature"));
	json_object_foreach(json_object_get(milter, "remove_headers"), name, value)
	{
		tell_each(&telling, tell_removal, name, value);
	}
	json_object_foreach(json_object_get(milter, "add_headers"), name, value)
	{
		tell_each(&telling, tell_field, name, value);
	}
	if (action == RSPAMD_REWRITE_SUBJECT && subject)
		changer->subject(changer->arg, subject);
}

/* jansson limits the depth. */
enum rspamd_result
rspamd_read(const char *text, size_t size, struct rspamd_answer *answer,
            const struct rspamd_changer *changer)
{
	enum rspamd_result result;
	json_error_t error;
	json_t *root;

	*answer = (struct rspamd_answer){ 0 };
	if (size > RSPAMD_ANSWER_MAX)
		return say(answer, RSPAMD_MALFORMED, "its answer is too long");
	root = json_loadb(text, size, 0, &error);
	if (!root)
		return say(answer, RSPAMD_MALFORMED, error.text);
	result = read_object(root, answer);
	if (result == RSPAMD_ANSWERED && changer)
		tell_changes(root, answer->action, changer);
	json_decref(root);
	return result;
}
