#include "retouch_internal.h"

#include "xalloc.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct retouch *
retouch_new(void)
{
	struct retouch *retouch = xcalloc(1, sizeof(*retouch));

	retouch->most_fields = RETOUCH_FIELDS;
	retouch->most_bytes = RETOUCH_BYTES;
	return retouch;
}

void
retouch_free(struct retouch *retouch)
{
	if (!retouch)
		return;
	for (unsigned i = 0; i < retouch->field_count; i++)
		free(retouch->fields[i]);
	free(retouch->fields);
	free(retouch->removals);
	free(retouch->prefix);
	free(retouch->subject);
	free(retouch);
}

bool
retouch_is_empty(const struct retouch *retouch)
{
	return !retouch || (retouch->removal_count == 0 && retouch->field_count == 0 &&
	                    !retouch->prefix && !retouch->subject);
}

bool
retouch_remove(struct retouch *retouch, const char *name, unsigned which)
{
	struct removal *removal;
	size_t at = 0;

	if (!header_is_name(name) || retouch->removal_count == RETOUCH_REMOVALS)
		return false;
	retouch->removals = xrealloc(retouch->removals,
	                             (retouch->removal_count + 1) * sizeof(*removal));
	removal = &retouch->removals[retouch->removal_count++];
	for (; name[at]; at++)
		removal->name[at] = (char)tolower((unsigned char)name[at]);
	removal->name[at] = '\0';
	removal->which = which;
	return true;
}

static char *
make_field(const char *name, const char *value)
{
	struct evbuffer *line = evbuffer_new();

	assert(line); /* see xalloc.h */
	retouch_put_field(line, name, value);
	return retouch_take_text(line);
}

/* Folding adds to it: at most three bytes for each that is there. */
bool
retouch_add(struct retouch *retouch, const char *name, const char *value)
{
	size_t most = strlen(name) + 4 + 3 * strlen(value);
	unsigned at = retouch->leads ? retouch->leading : retouch->field_count;
	char **fields;

	if (!header_is_name(name) || retouch->field_count == retouch->most_fields ||
	    most > retouch->most_bytes - retouch->bytes)
		return false;
	fields = xrealloc(retouch->fields,
	                  (retouch->field_count + 1) * sizeof(*fields));
	memmove(&fields[at + 1], &fields[at],
	        (retouch->field_count - at) * sizeof(*fields));
	fields[at] = make_field(name, value);
	retouch->fields = fields;
	retouch->field_count++;
	retouch->leading += retouch->leads;
	retouch->bytes += strlen(fields[at]);
	return true;
}

void
retouch_lead(struct retouch *retouch)
{
	enum { FIELDS = 8, BYTES = 65536 };

	retouch->leads = true;
	retouch->most_fields = retouch->field_count + FIELDS;
	retouch->most_bytes = retouch->bytes + BYTES;
}

unsigned
retouch_withdraw(struct retouch *retouch, const char *name,
                 bool (*is)(const char *value))
{
	unsigned kept = retouch->leading, stay = 0;
	size_t size = strlen(name);

	for (unsigned i = kept; i < retouch->field_count; i++) {
		char *field = retouch->fields[i];
		bool has_name = strncasecmp(field, name, size) == 0 &&
		                field[size] == ':';

		if (has_name && (!is || is(field + size + 1))) {
			retouch->bytes -= strlen(field);
			free(field);
			continue;
		}
		stay += has_name;
		retouch->fields[kept++] = field;
	}
	retouch->field_count = kept;
	return stay;
}

void
retouch_trust(struct retouch *retouch, const struct string_list *ids, const char *ours)
{
	retouch->trusted = ids;
	retouch->ours = ours;
}

static bool
set_text(char **text, const char *to, size_t most)
{
	if (strlen(to) > most)
		return false;
	free(*text);
	*text = xstrdup(to);
	return true;
}

bool
retouch_subject_prefix(struct retouch *retouch, const char *text)
{
	if (!set_text(&retouch->prefix, text, RETOUCH_PREFIX))
		return false;
	if (!*text) {
		free(retouch->prefix);
		retouch->prefix = NULL;
	}
	return true;
}

bool
retouch_subject(struct retouch *retouch, const char *text)
{
	if (!set_text(&retouch->subject, text, RETOUCH_SUBJECT))
		return false;
	retouch->subject_is_value = false;
	return true;
}

bool
retouch_subject_as_is(struct retouch *retouch, const char *value)
{
	if (!set_text(&retouch->subject, value, RETOUCH_SUBJECT))
		return false;
	retouch->subject_is_value = true;
	return true;
}
