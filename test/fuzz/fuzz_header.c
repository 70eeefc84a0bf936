#include "header.h"

#include "body.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * A byte of flags, four texts of which each ends with a NUL, and content on the wire.
 *
 * Promises kept for any input: the header is one field, whose lines are printable and not
 * too long; it stands at the beginning of a line; without it, and without the empty line
 * that may follow it, the message is what it was; and nothing can go on the header.
 */
enum {
	IS_IPV6 = 1,
	IS_BARE_PASSED = 2,
	PIECES = 4, /* and above: how many bytes come at once */
};

static size_t
check_header(const char *text, size_t size)
{
	size_t line = 0;

	assert(strlen(text) == size && size < HEADER_MAX);
	assert(strncmp(text, "X-Our: from [", 13) == 0);
	assert(strcmp(text + size - 2, "\r\n") == 0);
	for (size_t i = 0; i < size; i++) {
		if (text[i] == '\r') {
			assert(text[i + 1] == '\n' && i - line <= HEADER_LINE_MAX);
			line = i + 2;
			assert(!text[line] ||
			       (text[line] == '\t' && text[line + 1] > ' '));
		} else {
			assert((text[i] >= ' ' && text[i] <= '~') || i == line ||
			       i == line - 1);
		}
	}
	return size;
}

static char *
next(char **rest, const char *end)
{
	char *text = *rest;

	*rest = memchr(text, '\0', (size_t)(end - text));
	*rest = *rest ? *rest + 1 : (char *)end;
	return text;
}

/* Decodes WIRE in pieces; with a header, it is put in. */
static struct evbuffer *
decode(const char *wire, size_t size, size_t piece, unsigned flags, const char *header)
{
	struct body_decoder dec = { 0 };
	struct evbuffer *input = evbuffer_new(), *message = evbuffer_new();
	struct evbuffer *passed = evbuffer_new();
	struct header_place place = { 0 };
	bool all = false;

	dec.newlines = flags & IS_BARE_PASSED ? BODY_PASS : BODY_NORMALISE;
	for (size_t at = 0; at < size && !all; at += piece) {
		evbuffer_add(input, wire + at, size - at < piece ? size - at : piece);
		all = body_decode(&dec, input, message) == BODY_END;
		if (!header || header_put(&place, header, message, all))
			evbuffer_add_buffer(passed, message);
	}
	assert(!header || !all || place.state == HEADER_PLACED);
	if (header &&
	    place.state != HEADER_PLACED) /* cut off: as if the end came now */
		assert(header_put(&place, header, message, true) &&
		       evbuffer_add_buffer(passed, message) == 0);
	else
		evbuffer_add_buffer(passed, message);
	evbuffer_free(input);
	evbuffer_free(message);
	return passed;
}

static void
check_place(struct evbuffer *plain, struct evbuffer *with, const char *header)
{
	size_t size = evbuffer_get_length(plain), length = strlen(header), at, more;
	struct evbuffer_ptr found = evbuffer_search(with, header, length, NULL);
	const char *a = (const char *)evbuffer_pullup(plain, -1), *b;

	assert(found.pos >= 0);
	at = (size_t)found.pos;
	b = (const char *)evbuffer_pullup(with, -1);
	assert(at == 0 || (at >= 7 && memcmp(b + at - 2, "\r\n", 2) == 0));
	assert(memcmp(b, a ? a : "", at < size ? at : size) == 0);
	more = evbuffer_get_length(with) - length - size;
	assert(more == 0 || more == 2);
	if (at > size) /* the mailbox's line had no end */
		return;
	assert(memcmp(b + at + length + more, a ? a + at : "", size - at) == 0);
	assert(more == 0 || memcmp(b + at + length, "\r\n", 2) == 0);
	if (more == 0 && size > at)
		assert((unsigned char)a[at] > ' ' ||
		       (size > at + 1 && memcmp(a + at, "\r\n", 2) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned flags = size > 0 ? data[0] : 0;
	size_t left = size > 0 ? size - 1 : 0;
	char *copy = calloc(1, left + 1), *rest = copy, *end = copy + left;
	struct header_facts facts = { .name = "X-Our" };
	struct evbuffer *plain, *with;
	char header[HEADER_MAX];

	if (left > 0)
		memcpy(copy, data + 1, left);
	facts.ident = next(&rest, end);
	facts.by = next(&rest, end);
	facts.id = next(&rest, end);
	facts.abuse = next(&rest, end);
	if (strlen(facts.ident) < 64 &&
	    addr_parse(&facts.client, flags & IS_IPV6 ? "2001:db8::1" : "192.0.2.1",
	               1)) {
		check_header(header, header_generic(&facts, header));
		plain = decode(rest, (size_t)(end - rest), left + 1, flags, NULL);
		with = decode(rest, (size_t)(end - rest), flags / PIECES + 1, flags,
		              header);
		check_place(plain, with, header);
		evbuffer_free(plain);
		evbuffer_free(with);
	}
	free(copy);
	return 0;
}
