#include "xalloc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* No log here, and no stdio: both may want memory. */
static void *
granted(void *memory)
{
	static const char words[] = "smtp-gated: out of memory\n";

	if (memory)
		return memory;
	(void)!write(STDERR_FILENO, words, sizeof(words) - 1);
	abort();
}

void *
xmalloc(size_t size)
{
	assert(size > 0);
	return granted(malloc(size));
}

void *
xcalloc(size_t count, size_t size)
{
	assert(count > 0 && size > 0);
	return granted(calloc(count, size));
}

void *
xrealloc(void *old, size_t size)
{
	assert(size > 0);
	return granted(realloc(old, size));
}

char *
xstrdup(const char *text)
{
	return granted(strdup(text));
}

char *
xstrndup(const char *text, size_t size)
{
	size_t length = strnlen(text, size);
	char *copy = xmalloc(length + 1);

	memcpy(copy, text, length);
	copy[length] = '\0';
	return copy;
}

char *
xasprintf(const char *format, ...)
{
	va_list args;
	char *text = NULL;
	int size;

	va_start(args, format);
	size = vasprintf(&text, format, args);
	va_end(args);
	return granted(size < 0 ? NULL : text);
}
