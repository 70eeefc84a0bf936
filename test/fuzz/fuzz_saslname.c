#include "saslname.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * Lines of a client: the argument of AUTH, then answers.  Promises kept for any input: a
 * name is short, has no control characters, and is there once; and an AUTH that was given up
 * has none.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_name(const char *name)
{
	assert(strlen(name) > 0 && strlen(name) <= SASLNAME_MAX);
	for (; *name; name++)
		assert((unsigned char)*name >= ' ' && *name != '\x7f');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = xstrndup(size > 0 ? (const char *)data : "", size);
	char *rest = copy, *line = strsep(&rest, "\n"), *name;
	struct saslname auth = { 0 };

	saslname_begin(&auth, line);
	while ((line = strsep(&rest, "\n")))
		saslname_hear(&auth, line);
	name = saslname_take(&auth);
	if (name)
		check_name(name);
	free(name);
	name = saslname_take(&auth);
	assert(!name);
	saslname_begin(&auth, copy);
	saslname_forget(&auth);
	name = saslname_take(&auth);
	assert(!name);
	free(copy);
	return 0;
}
