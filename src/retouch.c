#include "retouch_internal.h"

#include "xalloc.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct retouch *
retouch_new(void)
{
	struct retouch *retouch = xcalloc(1, sizeof(*retouch));

	retouch->fields = evbuffer_new();
	assert(retouch->fields); /* see xalloc.h */
	retouch->most_fields = RETOUCH_FIELDS;
	retouch->most_bytes = RETOUCH_BYTES;
	return retouch;
}

void
retouch_free(struct retouch *retouch)
{
	if (!retouch)
		return;
	evbuffer_free(retouch->fields);
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

/* Folding adds to it: at most three bytes for each that is there. */
bool
retouch_add(struct retouch *retouch, const char *name, const char *value)
{
	size_t most = strlen(name) + 4 + 3 * strlen(value);

	if (!header_is_name(name) || retouch->field_count == retouch->most_fields ||
	    most > retouch->most_bytes - evbuffer_get_length(retouch->fields))
		return false;
	retouch_put_field(retouch->fields, name, value);
	retouch->field_count++;
	return true;
}

void
retouch_reserve(struct retouch *retouch)
{
	enum { FIELDS = 8, BYTES = 65536 };

	retouch->most_fields = retouch->field_count + FIELDS;
	retouch->most_bytes = evbuffer_get_length(retouch->fields) + BYTES;
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
