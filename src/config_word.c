#include "config_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/*
 * The words that options have, one of several or any of them, for people to read.
 */

const char *
config_word(const struct config *cfg, const char *name)
{
	const struct option *opt = option_find(name, strlen(name));

	if (!opt || opt->kind != OPTION_WORD)
		return NULL;
	for (const struct word *word = opt->words; word->text; word++)
		if (word->value == *(const int *)option_field(cfg, opt))
			return word->text;
	return NULL;
}

struct words {
	const struct option *opt;
	unsigned mask; /* a bit for each word of the option's that is there */
};

static bool
has_word(const struct config *cfg, const struct option *opt, const struct word *word)
{
	const void *value = option_field(cfg, opt);

	if (opt->kind == OPTION_WORD)
		return *(const int *)value == word->value;
	assert(opt->kind == OPTION_MASK);
	return *(const unsigned *)value & (unsigned)word->value;
}

static void
add_words(struct config *cfg, void *arg)
{
	struct words *words = arg;
	unsigned bit = 1;

	if (!config_serves(cfg))
		return;
	for (const struct word *word = words->opt->words; word->text; word++, bit <<= 1)
		if (has_word(cfg, words->opt, word))
			words->mask |= bit;
}

const char *
config_words(struct config *cfg, const char *name, char text[static CONFIG_WORDS_SIZE])
{
	struct words words = { .opt = option_find(name, strlen(name)) };
	unsigned bit = 1;
	size_t size = 0;

	assert(words.opt);
	config_each(cfg, add_words, &words);
	text[0] = '\0';
	for (const struct word *word = words.opt->words; word->text; word++, bit <<= 1)
		if (words.mask & bit)
			size += (size_t)snprintf(text + size, CONFIG_WORDS_SIZE - size,
			                         "%s%s", size > 0 ? "," : "",
			                         word->text);
	assert(size < CONFIG_WORDS_SIZE);
	return size > 0 ? text : "off";
}
