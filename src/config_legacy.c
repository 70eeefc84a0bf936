#include "config_internal.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- what became of it -------------------------------------------------------------- */

/* Options of 1.4 that options.def does not have. */
static const struct old_option old_options[] = {
	{ "pid_hash_size", OBSOLETE, "", "there is no such table any more" },
	{ "host_hash_size", OBSOLETE, "", "there is no such table any more" },

	{ "dspam_storage", GONE, "", "DSPAM is no longer supported" },

	{ "ratelimit_expiration", RENAMED, "", "ratelimit_period" },

	{ "msg_unknown_virus", OBSOLETE, "", "a virus always has a name" },
	{ "msg_malformed_ip", OBSOLETE, "", "this cannot happen any more" },
	{ "msg_cannot_connect", OBSOLETE, "", "see msg_connect_failed" },
	{ "msg_spool_open_fail", OBSOLETE, "", "see msg_spool_problem" },
	{ "msg_pipeline_full", OBSOLETE, "", "a client that is ahead is made to wait" },
	{ "msg_lookup_nomem", OBSOLETE, "", "see msg_lookup_failed" },
	{ "msg_lookup_unknown", OBSOLETE, "", "see msg_lookup_failed" },
	{ "msg_nomem", OBSOLETE, "", "this cannot happen any more" },
	{ "msg_unknown_scanner", OBSOLETE, "", "this cannot happen any more" },
	{ "msg_ratelimit_error", OBSOLETE, "", "see msg_check_failed" },
	{ "msg_ratelimit_helo", OBSOLETE, "", "see msg_rate_reject" },
	{ "msg_ratelimit_mailfrom", OBSOLETE, "", "see msg_ratelimit_messages" },
};

enum { OLD_OPTIONS = sizeof(old_options) / sizeof(old_options[0]) };

static const struct old_value old_values[] = {
#define MODES_NOW \
	"fixed, \"fixed+xclient\", netfilter, tproxy, \"tproxy,netfilter\", " \
	"getsockname, remote-udp, remote"
#define INSIDE \
	"libclamav scans inside of the daemon; write libclamav or clamd in its place"
#define BSD_ONLY "is for BSD systems, and this one is for Linux; allowed: " MODES_NOW
	{ "mode", "ipfw", NULL, BSD_ONLY },
	{ "mode", "ipfilter", NULL, BSD_ONLY },
	{ "mode", "pf", NULL, BSD_ONLY },
	{ "antivirus_type", "mksd", NULL, "is no longer supported: " INSIDE },
	{ "scan_max_size", "0", NULL,
	  "turned scanning off in 1.4; write antivirus_type off in its place" },
	{ "spam_max_size", "0", NULL,
	  "turned the search for spam off in 1.4; write antispam_type off in its "
	  "place" },
	{ "outgoing_addr", "0.0.0.0", "", NULL },
	{ "statefile_type", "0", "human", NULL },
	{ "statefile_type", "2", "flat", NULL },
	{ "statefile_type", "4", "slots", NULL },
	{ "log_level", "panic", "emerg", NULL },
	{ "log_level", "error", "err", NULL },
	{ "log_level", "warn", "warning", NULL },
	{ "log_facility", "security", "auth", NULL },
};

enum { OLD_VALUES = sizeof(old_values) / sizeof(old_values[0]) };

const struct old_option *
legacy_old_option(const char *name, size_t size)
{
	for (size_t i = 0; i < OLD_OPTIONS; i++)
		if (strlen(old_options[i].name) == size &&
		    memcmp(old_options[i].name, name, size) == 0)
			return &old_options[i];
	return NULL;
}

const struct old_value *
legacy_old_value(const char *name, const char *value)
{
	for (size_t i = 0; i < OLD_VALUES; i++)
		if (strcmp(old_values[i].name, name) == 0 &&
		    strcmp(old_values[i].value, value) == 0)
			return &old_values[i];
	return NULL;
}

void
legacy_fate_words(const struct old_option *old, char *words, size_t size)
{
	static const char *const fates[] = {
		[OBSOLETE] = "has no effect any more",
		[GONE] = "cannot be used any more",
		[RENAMED] = "is called something else by now",
	};

	snprintf(words, size, "%s%s%s", fates[old->fate], old->hint ? ": " : "",
	         old->hint ? old->hint : "");
}

bool
config_old_option(const char *name, size_t size, char *words, size_t words_size)
{
	const struct old_option *old = legacy_old_option(name, size);

	if (old)
		legacy_fate_words(old, words, words_size);
	return old;
}

bool
config_old_value(const char *name, const char *value, char *words, size_t words_size)
{
	const struct old_value *old = legacy_old_value(name, value);

	if (!old || !old->why)
		return false;
	snprintf(words, words_size, "\"%s\" %s", value, old->why);
	return true;
}

const char *
config_old_name(size_t index)
{
	return index < OLD_OPTIONS ? old_options[index].name : NULL;
}

/* ---- is it one? --------------------------------------------------------------------- */

size_t
legacy_name_size(const char *text)
{
	size_t size = 0;

	while (isalnum((unsigned char)text[size]) || text[size] == '_')
		size++;
	return size;
}

const char *
legacy_next_line(const char *at)
{
	at += strcspn(at, "\n");
	return *at ? at + 1 : at;
}

bool
legacy_is_section(const char *line)
{
	size_t size = legacy_name_size(line);

	for (int kind = SECTION_LISTEN; kind <= SECTION_POLICY; kind++)
		if (strlen(section_word(kind)) == size &&
		    memcmp(section_word(kind), line, size) == 0)
			return true;
	return false;
}

enum config_syntax
config_syntax_of(const char *text)
{
	enum config_syntax syntax = SYNTAX_NONE;

	for (const char *at = text; *at; at = legacy_next_line(at)) {
		size_t size;

		at += strspn(at, " \t");
		if (strchr("#;\r\n", *at))
			continue;
		if (legacy_is_section(at))
			return SYNTAX_NATIVE;
		size = legacy_name_size(at);
		at += size;
		if (size == 0 || !strchr(" \t\r\n", *at))
			return SYNTAX_NATIVE;
		at += strspn(at, " \t\r");
		if (*at == '=' || (at[0] == '+' && at[1] == '='))
			return SYNTAX_NATIVE;
		syntax = SYNTAX_LEGACY;
		if (*at && *at != '\n')
			break;
		/* a name without a value: the next line will tell */
	}
	return syntax;
}
