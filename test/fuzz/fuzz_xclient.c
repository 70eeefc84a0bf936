#include "xclient.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * Four texts, each ended by a newline or the end: a line of an EHLO reply, a name, a
 * reverse name, a HELO; in front of them a byte of flags.
 *
 * Promises kept for any input: a command is one line that is no longer than it may be; it
 * has the attributes that were asked for, each once, and nothing in a value that is not
 * xtext; only host names are told.
 */
enum {
	IS_XFORWARD = 1,
	IS_IPV6 = 2,
	IS_UNSURE = 4,
	IS_LOCAL = 8,
	IS_ESMTP = 16,
	HAS_NO_NAME = 32,
	HAS_NO_HELO = 64,
};

static unsigned
count(const char *text, const char *word)
{
	unsigned times = 0;

	while ((text = strstr(text, word))) {
		times++;
		text += strlen(word);
	}
	return times;
}

static void
check_line(const char *line, size_t size, unsigned attributes)
{
	assert(size == strlen(line) && size <= XCLIENT_COMMAND_MAX);
	assert(strcspn(line, "\r\n") == size - 2);
	assert(strcmp(line + size - 2, "\r\n") == 0);
	for (size_t i = 0; i < size - 2; i++)
		assert(line[i] >= ' ' && line[i] <= '~');
	assert(count(line, " ADDR=") == !!(attributes & XCLIENT_ADDR));
	assert(count(line, " HELO=") == !!(attributes & XCLIENT_HELO));
	assert(count(line, " NAME=") == !!(attributes & XCLIENT_NAME));
	assert(count(line, " ") == count(line, "="));
}

static void
check_name(const char *line, const char *name)
{
	const char *at = strstr(line, " NAME=");

	if (!at || !name)
		return;
	at += strlen(" NAME=");
	assert(at[0] == '[' ||
	       (strncmp(at, name, strlen(name)) == 0 &&
	        strspn(name, "0123456789abcdefghijklmnopqrstuvwxyz"
	                     "ABCDEFGHIJKLMNOPQRSTUVWXYZ-.") == strlen(name)));
}

/* Cuts the next text off. */
static char *
next(char **rest)
{
	char *text = strsep(rest, "\n");

	return text ? text : (char *)"";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned flags = size > 0 ? data[0] : 0;
	char *copy = size > 1 ? xstrndup((const char *)data + 1, size - 1)
	                      : xstrdup("");
	char *rest = copy, *ehlo = next(&rest), *name = next(&rest);
	char *reverse = next(&rest), *helo = next(&rest);
	const char *verb = flags & IS_XFORWARD ? "XFORWARD" : "XCLIENT";
	struct reply_line offer = { ehlo, strlen(ehlo) };
	unsigned attributes = xclient_offered(&offer, verb);
	struct xclient_facts facts = {
		.name = flags & HAS_NO_NAME ? NULL : name,
		.reverse_name = reverse,
		.name_unsure = flags & IS_UNSURE,
		.is_local = flags & IS_LOCAL,
		.esmtp = flags & IS_ESMTP,
		.helo = flags & HAS_NO_HELO ? NULL : helo,
	};
	char line[XCLIENT_COMMAND_MAX + 1];

	attributes &= flags & IS_XFORWARD ? XFORWARD_ALL : XCLIENT_ALL;
	if (!addr_parse(&facts.client, flags & IS_IPV6 ? "2001:db8::1" : "192.0.2.1",
	                1))
		abort();
	facts.dialled = facts.client;
	size = xclient_command(verb, attributes, &facts, line);
	check_line(line, size, attributes);
	check_name(line, facts.name);
	free(copy);
	return 0;
}
