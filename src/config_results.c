#include "config_internal.h"

#include "utf8.h"

#include <ctype.h>
#include <string.h>

/*
 * What options say together about changes in a message that is held.
 */
enum {
	LONGEST_TAG = 100,
};

/* RFC 8601 2.5: what every reader finds again without quotes. */
static bool
is_authserv_id(const char *text)
{
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr(".-_:", *text))
			return false;
	return true;
}

static bool
are_authserv_ids(const struct string_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (!is_authserv_id(list->at[i]))
			return false;
	return true;
}

static bool
is_tag(const char *text)
{
	for (const char *at = text; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			return false;
	return strlen(text) <= LONGEST_TAG && utf8_is(text);
}

const char *
config_results_fault(const struct config *cfg, const char **option)
{
	const char *const tag_needs = ": tag needs delivery = hold, or auto: with "
				      "stream the server has the subject before "
				      "anybody has looked at the message";

	if (!is_authserv_id(cfg->authserv_id)) {
		*option = "authserv_id";
		return ": must be a name of letters, digits, and any of .-_:";
	}
	if (!are_authserv_ids(&cfg->authserv_trusted)) {
		*option = "authserv_trusted";
		return ": must be names of letters, digits, and any of .-_:";
	}
	if (!is_tag(cfg->subject_tag)) {
		*option = "subject_tag";
		return ": must be UTF-8 without control characters, at most 100 "
		       "bytes";
	}
	if (cfg->delivery != DELIVERY_STREAM)
		return NULL;
	*option = cfg->on_spam == ACTION_TAG ? "on_spam" : "on_spam_suspect";
	if (cfg->on_spam == ACTION_TAG || cfg->on_spam_suspect == ACTION_TAG)
		return tag_needs;
	return NULL;
}

const char *
config_results_doubt(const struct config *cfg)
{
	if (cfg->result_headers && cfg->delivery == DELIVERY_STREAM)
		return "result_headers: with delivery = stream none are written, for "
		       "the server has the header section before anybody has looked "
		       "at the message; those of others are removed";
	return NULL;
}
