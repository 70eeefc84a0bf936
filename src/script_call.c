#include "script_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What a program is called with, and that none of it does harm there: scripts print their
 * environment to terminals, mails, files with a line for each client.
 */

#define STANDARD_PATH \
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- cleaning -------------------------------------------------------------------- */

/* The size of the character of UTF-8 that AT begins with, and which it is; 0: it begins
 * with none (RFC 3629: the shortest form, no surrogates). */
static size_t
decode(const unsigned char *at, uint32_t *which)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t size = *at < 0x80   ? 1
	              : *at < 0xc0 ? 0
	              : *at < 0xe0 ? 2
	              : *at < 0xf0 ? 3
	              : *at < 0xf8 ? 4
	                           : 0;

	if (size <= 1) {
		*which = *at;
		return size;
	}
	*which = *at & (0x7fU >> size);
	for (size_t i = 1; i < size; i++) {
		if ((at[i] & 0xc0) != 0x80) /* its NUL, too */
			return 0;
		*which = *which << 6 | (at[i] & 0x3fU);
	}
	if (*which < least[size] || *which > 0x10ffff ||
	    (*which >= 0xd800 && *which <= 0xdfff))
		return 0;
	return size;
}

/* Neither ends a line, nor moves what is shown somewhere else. */
static bool
is_harmless(uint32_t which)
{
	static const struct {
		uint32_t first, last;
	} harmful[] = {
		{ 0x00, 0x1f },     { 0x7f, 0x9f },     { 0x061c, 0x061c },
		{ 0x200e, 0x200f }, /* direction of writing */
		{ 0x2028, 0x202e }, /* ends of lines and paragraphs, direction */
		{ 0x2066, 0x2069 }, /* direction */
		{ 0xfeff, 0xfeff }, { 0xfff9, 0xfffb }, { 0xe0000, 0xe007f },
	};

	for (size_t i = 0; i < sizeof(harmful) / sizeof(harmful[0]); i++)
		if (which >= harmful[i].first && which <= harmful[i].last)
			return false;
	return true;
}

size_t
script_clean(char *to, size_t size, const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t used = 0;
	uint32_t which;

	while (*at) {
		size_t length = decode(at, &which);
		bool good = length > 0 && is_harmless(which);

		if (used + (good ? length : 1) >= size)
			break;
		if (good)
			memcpy(to + used, at, length);
		else
			to[used] = '?';
		used += good ? length : 1;
		at += length > 0 ? length : 1;
	}
	to[used] = '\0';
	return used;
}

/* ---- calls ----------------------------------------------------------------------- */

/* WORD, which is owned by the list from now on, behind the others. */
static void
add(char ***list, size_t *count, char *word)
{
	*list = xrealloc(*list, (*count + 2) * sizeof(**list));
	(*list)[(*count)++] = word;
	(*list)[*count] = NULL;
}

struct script_call *
script_call_new(const char *path, const struct script_subject *subject)
{
	struct script_call *call = xcalloc(1, sizeof(*call));

	assert(path[0] == '/');
	if (subject->log)
		call->log = *subject->log;
	if (subject->client)
		call->client = *subject->client;
	call->finding = xstrdup(subject->finding);
	add(&call->arguments, &call->argument_count, xstrdup(path));
	add(&call->environment, &call->variable_count, xstrdup(STANDARD_PATH));
	return call;
}

void
script_call_argument(struct script_call *call, const char *value)
{
	char clean[SCRIPT_VALUE_MAX + 1];

	if (script_clean(clean, sizeof(clean), value) > 1 && clean[0] == '-')
		clean[0] = '?';
	add(&call->arguments, &call->argument_count, xstrdup(clean));
}

void
script_call_variable(struct script_call *call, const char *name, const char *value)
{
	char clean[SCRIPT_VALUE_MAX + 1];

	script_clean(clean, sizeof(clean), value);
	add(&call->environment, &call->variable_count, xasprintf("%s=%s", name, clean));
}

static void
free_list(char **list)
{
	for (size_t i = 0; list[i]; i++)
		free(list[i]);
	free(list);
}

void
script_call_free(struct script_call *call)
{
	if (!call)
		return;
	free_list(call->arguments);
	free_list(call->environment);
	free(call->finding);
	free(call);
}
