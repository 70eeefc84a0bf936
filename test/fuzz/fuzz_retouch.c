#include "retouch.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * A byte of flags, a prefix and a value that end with a NUL each, and a message.
 *
 * Promises kept for any input: how the message is cut does not matter; what nobody asked
 * to be changed is as it was; what is removed is not there any more; and no line of ours
 * is too long.
 */
enum {
	IS_TAGGED = 1,
	IS_ADDED = 2,
	PIECES = 4, /* and above: how many bytes come at once */
};

static struct evbuffer *
pass(const struct retouch *what, const char *text, size_t size, size_t piece)
{
	struct retouch_filter *filter = retouch_filter_new(what);
	struct evbuffer *in = retouch_filter_input(filter), *out = evbuffer_new();

	for (size_t at = 0; at < size; at += piece) {
		evbuffer_add(in, text + at, size - at < piece ? size - at : piece);
		retouch_filter(filter, out, false);
	}
	retouch_filter(filter, out, true);
	retouch_filter_free(filter);
	return out;
}

static bool
are_same(struct evbuffer *a, struct evbuffer *b)
{
	size_t size = evbuffer_get_length(a);

	return size == evbuffer_get_length(b) &&
	       (size == 0 ||
	        memcmp(evbuffer_pullup(a, -1), evbuffer_pullup(b, -1), size) == 0);
}

/* What was removed once stays so: nothing can be hidden in something that is removed. */
static void
check_removed(const char *text, size_t size, size_t piece)
{
	struct retouch *what = retouch_new();
	struct evbuffer *once, *twice;
	bool added = retouch_remove(what, "X-A", 0);

	assert(added);
	once = pass(what, text, size, piece);
	assert(evbuffer_get_length(once) <= size);
	twice = pass(what, (const char *)evbuffer_pullup(once, -1),
	             evbuffer_get_length(once), 1 + piece * 2);
	assert(are_same(once, twice));
	evbuffer_free(once);
	evbuffer_free(twice);
	retouch_free(what);
}

/* Who is trusted is told as soon as it can be, and never another way with more. */
static void
check_trusted(const char *text, size_t size, size_t piece)
{
	char id[] = "a", *ids[] = { id };
	const struct string_list trusted = { 1, ids };
	struct retouch *what = retouch_new();
	struct evbuffer *whole, *cut;
	bool added = retouch_remove(what, "Authentication-Results", 0);

	assert(added);
	retouch_trust(what, &trusted, "b");
	whole = pass(what, text, size, size + 1);
	cut = pass(what, text, size, piece);
	assert(are_same(whole, cut));
	evbuffer_free(whole);
	evbuffer_free(cut);
	retouch_free(what);
}

static char *
next(char **rest, const char *end)
{
	char *text = *rest;

	*rest = memchr(text, '\0', (size_t)(end - text));
	*rest = *rest ? *rest + 1 : (char *)end;
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned flags = size > 0 ? data[0] : 0;
	size_t left = size > 0 ? size - 1 : 0, piece = flags / PIECES + 1;
	char *copy = calloc(1, left + 1), *rest = copy, *end = copy + left;
	struct retouch *what = retouch_new();
	const char *prefix, *value;
	struct evbuffer *whole, *cut;

	if (left > 0)
		memcpy(copy, data + 1, left);
	prefix = next(&rest, end);
	value = next(&rest, end);
	left = (size_t)(end - rest);
	if (flags & IS_TAGGED && !retouch_subject_prefix(what, prefix))
		assert(strlen(prefix) > RETOUCH_PREFIX);
	if (flags & IS_ADDED && !retouch_add(what, "X-A", value))
		assert(3 * strlen(value) + 7 > RETOUCH_BYTES);
	whole = pass(what, rest, left, left + 1);
	cut = pass(what, rest, left, piece);
	assert(are_same(whole, cut));
	assert(evbuffer_get_length(whole) >= left ||
	       (flags & IS_TAGGED)); /* a blank may have gone */
	if (retouch_is_empty(what))
		assert(evbuffer_get_length(whole) == left);
	check_removed(rest, left, piece);
	check_trusted(rest, left, piece);
	evbuffer_free(whole);
	evbuffer_free(cut);
	retouch_free(what);
	free(copy);
	return 0;
}
