#include "config_internal.h"

#include "utf8.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

/*
 * What options say together about changes in a message that is held.
 */
enum {
	LONGEST_TAG = 100,
};

static bool
has_only(const char *text, const char *others)
{
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr(others, *text))
			return false;
	return true;
}

/* RFC 8601 2.5, RFC 2045 5.1: what every reader finds again without quotes. */
static bool
is_authserv_id(const char *text)
{
	return has_only(text, ".-_");
}

/* What others write, though a colon should be in quotes. */
static bool
are_authserv_ids(const struct string_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (!has_only(list->at[i], ".-_:"))
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
		return ": must be a name of letters, digits, and any of .-_";
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

/* ---- what is doubtful ------------------------------------------------------------ */

static bool
tags(const struct config *cfg)
{
	return cfg->on_spam == ACTION_TAG || cfg->on_spam_suspect == ACTION_TAG;
}

static bool
tells_of_viruses(const struct config *cfg)
{
	return cfg->result_headers & RESULT_HEADERS_VIRUS && cfg->antivirus_type;
}

static bool
tells_of_spam(const struct config *cfg)
{
	return cfg->result_headers & RESULT_HEADERS_SPAM && cfg->antispam_type;
}

/* CFG, or what inherits from it, may be the place where the scanner is. */
static bool
any_below(const struct config *cfg, bool (*is)(const struct config *cfg))
{
	const struct sections *sections = cfg->root->sections;

	for (size_t i = 0; i < sections->snapshot_count; i++) {
		const struct config *its = sections->snapshots[i];

		if (its &&
		    (!cfg->policy_section ||
		     its->policy_section == cfg->policy_section) &&
		    (cfg->policy_section || !cfg->listen_section ||
		     its->listen_section == cfg->listen_section) &&
		    is(its))
			return true;
	}
	return false;
}

static void
doubt_stream(const struct config *cfg, struct result_doubt *doubt)
{
	if (!cfg->result_headers || cfg->delivery != DELIVERY_STREAM)
		return;
	*doubt = (struct result_doubt){
		{ "result_headers", "delivery" },
		"result_headers: with delivery = stream none are written, for "
		"the server has the header section before anybody has looked "
		"at the message; those of others are removed"
	};
}

static void
doubt_viruses(const struct config *cfg, struct result_doubt *doubt)
{
	if (cfg->result_headers & RESULT_HEADERS_VIRUS &&
	    !any_below(cfg, tells_of_viruses))
		*doubt = (struct result_doubt){
			{ "result_headers" },
			"result_headers: virus has no effect but to remove the header "
			"of others, for antivirus_type is off"
		};
}

static void
doubt_spam(const struct config *cfg, struct result_doubt *doubt)
{
	if (cfg->result_headers & RESULT_HEADERS_SPAM && !any_below(cfg, tells_of_spam))
		*doubt = (struct result_doubt){
			{ "result_headers" },
			"result_headers: spam has no effect but to remove the headers "
			"of others, for antispam_type is off"
		};
}

/* They go, for anybody could have written them. */
static void
doubt_trusted(const struct config *cfg, struct result_doubt *doubt)
{
	const struct string_list *ids = &cfg->authserv_trusted;

	for (size_t i = 0; i < ids->count; i++) {
		if (!config_is_own_name(cfg, ids->at[i]))
			continue;
		*doubt = (struct result_doubt){
			.options = { "authserv_trusted", "authserv_id", "proxy_name" }
		};
		snprintf(doubt->words, sizeof(doubt->words),
		         "authserv_trusted: \"%s\" is our own name (authserv_id, or "
		         "proxy_name); results that come in under it are removed all "
		         "the same, for anybody can have written them",
		         ids->at[i]);
		return;
	}
}

static void
doubt_noop(const struct config *cfg, struct result_doubt *doubt)
{
	enum { PATIENCE = 300 };

	if (cfg->delivery != DELIVERY_STREAM && cfg->hold_noop >= PATIENCE)
		*doubt = (struct result_doubt){
			{ "hold_noop", "delivery" },
			"hold_noop: servers may hang up after 300 seconds without a "
			"command (RFC 5321 4.5.3.2.7), and a message that is held by "
			"then has to be sent again; 60 is well below"
		};
}

/* What is larger than the one and not than the other is spam, and known to be. */
static void
doubt_gap(const struct config *cfg, struct result_doubt *doubt)
{
	if (cfg->delivery != DELIVERY_AUTO || !cfg->antispam_type || !tags(cfg) ||
	    cfg->hold_max_size >= cfg->spam_max_size)
		return;
	*doubt = (struct result_doubt){
		.options = { "hold_max_size", "spam_max_size", "delivery", "on_spam",
		             "on_spam_suspect", "antispam_type" }
	};
	snprintf(doubt->words, sizeof(doubt->words),
	         "hold_max_size: is less than spam_max_size; spam of more than %" PRId64
	         " and up to %" PRId64 " bytes is found, and passes untagged "
	         "(delivery = auto)",
	         cfg->hold_max_size, cfg->spam_max_size);
}

size_t
config_results_doubts(const struct config *cfg,
                      struct result_doubt doubts[static RESULT_DOUBTS])
{
	static void (*const rows[RESULT_DOUBTS])(const struct config *cfg,
	                                         struct result_doubt *doubt) = {
		doubt_stream,  doubt_viruses, doubt_spam,
		doubt_trusted, doubt_noop,    doubt_gap,
	};
	size_t count = 0;

	for (size_t i = 0; i < RESULT_DOUBTS; i++) {
		doubts[count].words[0] = '\0';
		rows[i](cfg, &doubts[count]);
		if (doubts[count].words[0])
			count++;
	}
	return count;
}
