#include "explain_internal.h"

#include "xalloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What the header section of a message loses and gets: it goes through the filters that mail
 * goes through, and what differs is told.
 */
enum {
	FIELDS_MOST = 1000, /* of a header section, that are compared */
};

struct fields {
	struct evbuffer *bytes;
	size_t count;
	struct field {
		const char *at;
		size_t size; /* its end left out */
		bool is_on_both_sides;
	} field[FIELDS_MOST];
};

/* Of a line and those that go on it, to the last end of them. */
static size_t
field_size(const char *at, size_t size)
{
	const char *end = at;

	while ((end = memmem(end, size - (size_t)(end - at), "\r\n", 2))) {
		end += 2;
		if (end == at + size || (*end != ' ' && *end != '\t'))
			return (size_t)(end - at);
	}
	return size;
}

/* Up to the empty line. */
static void
find_fields(struct fields *fields)
{
	size_t left = evbuffer_get_length(fields->bytes), size;
	const char *at = (const char *)evbuffer_pullup(fields->bytes, -1);

	for (; left > 0 && fields->count < FIELDS_MOST; at += size, left -= size) {
		if (left >= 2 && memcmp(at, "\r\n", 2) == 0)
			return;
		size = field_size(at, left);
		fields->field[fields->count++] = (struct field){ at, size, false };
	}
}

static bool
has(struct fields *fields, const struct field *wanted)
{
	for (size_t i = 0; i < fields->count; i++) {
		struct field *field = &fields->field[i];

		if (field->is_on_both_sides || field->size != wanted->size ||
		    memcmp(field->at, wanted->at, wanted->size) != 0)
			continue;
		field->is_on_both_sides = true;
		return true;
	}
	return false;
}

/* In one line: the ends within a field are none for who reads it. */
static void
print_field(const char *what, const struct field *field)
{
	char *text = xmalloc(field->size + 1), *end = text;

	for (size_t i = 0; i < field->size; i++)
		if (field->at[i] != '\r' && field->at[i] != '\n')
			*end++ = field->at[i] ?: '?';
	*end = '\0';
	printf("%-13s ", what);
	explain_print_outside(text);
	putchar('\n');
	free(text);
}

static void
print_difference(struct fields *before, struct fields *after)
{
	find_fields(before);
	find_fields(after);
	for (size_t i = 0; i < before->count; i++)
		if (!has(after, &before->field[i]))
			print_field("removes", &before->field[i]);
	for (size_t i = 0; i < after->count; i++)
		if (!after->field[i].is_on_both_sides)
			print_field("writes", &after->field[i]);
}

static void
pass(const struct retouch *what, struct evbuffer *head)
{
	struct evbuffer *changed = evbuffer_new();
	struct retouch_filter *filter;

	if (!retouch_is_empty(what)) {
		filter = retouch_filter_new(what);
		evbuffer_add_buffer(retouch_filter_input(filter), head);
		retouch_filter(filter, changed, true);
		evbuffer_add_buffer(head, changed);
		retouch_filter_free(filter);
	}
	evbuffer_free(changed);
}

void
explain_print_changes(const struct explain_input *input, const struct retouch *changes)
{
	struct fields *before = xcalloc(1, sizeof(*before));
	struct fields *after = xcalloc(1, sizeof(*after));

	before->bytes = evbuffer_new();
	after->bytes = evbuffer_new();
	evbuffer_add_buffer_reference(before->bytes, input->head);
	evbuffer_add_buffer_reference(after->bytes, input->head);
	pass(input->intake, after->bytes);
	pass(changes, after->bytes);
	print_difference(before, after);
	evbuffer_free(before->bytes);
	evbuffer_free(after->bytes);
	free(before);
	free(after);
}
