#include "config_internal.h"

#include "dnsbl.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 * What options say together, each of them being right by itself: what cannot be, and what
 * is doubtful.
 */

/* Today's database of ClamAV needs more. */
#define SIGNATURES_SIZE (INT64_C(1) << 30)

struct together {
	struct report *report;
	struct config *cfg;
	const struct section *looked_at; /* what is noted of others was noted before */
};

/* Where a snapshot has the value of an option from. */
struct place {
	const struct section *section; /* NULL: the main part */
	int line;                      /* 0: it is not given */
};

static struct place
place_of(const struct config *cfg, const char *name)
{
	const struct option *opt = option_find(name, strlen(name));
	const struct section *sections[] = { cfg->policy_section, cfg->listen_section };

	for (size_t i = 0; i < 2; i++)
		if (section_gives(sections[i], opt))
			return (struct place){
				sections[i], sections[i]->given[opt - config_options]
			};
	return (struct place){ NULL, cfg->root->sections->given[opt - config_options] };
}

/* Where the first of these NAMES that is given is: in a section, if one is in any. */
static struct place
place_of_any(const struct config *cfg, const char *const *names)
{
	struct place place = { NULL, 0 };

	for (; *names; names++) {
		struct place its = place_of(cfg, *names);

		if (!place.line || (its.section && !place.section))
			place = its;
	}
	return place;
}

static struct place
place_of_either(const struct config *cfg, const char *name, const char *other)
{
	return place_of_any(cfg, (const char *const[]){ name, other, NULL });
}

/* A snapshot inherits what its listener and the main part have: it is said once. */
static void
complain(struct together *together, struct place place, const char *words)
{
	char *prefix = section_prefix(place.section);
	char *whole = xasprintf("%s%s", prefix, words);

	if (!report_has(together->report, whole))
		report_words(place.line, whole, together->report);
	free(whole);
	free(prefix);
}

/* CFG is the main part's, or PLACE is in a section of its. */
static void
remark(struct together *together, const struct config *cfg, struct place place,
       const char *words)
{
	char *prefix = section_prefix(place.section);

	if (cfg == cfg->root || (place.section && place.section == together->looked_at))
		report_note_at(together->report, place.line, "%s%s", prefix, words);
	free(prefix);
}

/* A limit that the signatures would exceed: libclamav fails, or the daemon later. */
static void
note_memory_limit(struct together *together, const char *name, int64_t limit)
{
	if (config_any(together->cfg, config_has_libclamav) && limit >= 0 &&
	    limit < SIGNATURES_SIZE)
		report_note_at(together->report, place_of(together->cfg, name).line,
		               "%s: a signature database alone needs over 1 GiB; "
		               "loading it may fail",
		               name);
}

static void
note_doubtful_main(struct together *together)
{
	const struct config *cfg = together->cfg;

	if (cfg->legacy && !place_of(cfg, "antivirus_type").line)
		report_note_at(together->report, 1,
		               "antivirus_type: is not given; 1.4 did not scan then, "
		               "and this version does");
	note_memory_limit(together, "limit_virt_size", cfg->limit_virt_size);
	note_memory_limit(together, "limit_data_size", cfg->limit_data_size);
}

/* Who is listed may name any client, and mostly any destination. */
static void
note_proxies(struct together *together, const struct config *cfg)
{
	const struct addr_nets *nets = &cfg->proxy_protocol_from;
	char text[ADDR_TEXT_SIZE], words[256];

	for (size_t i = 0; i < nets->count; i++) {
		if (nets->at[i].bits != 0)
			continue;
		snprintf(words, sizeof(words),
		         "proxy_protocol_from: %s lets everybody say who they are and "
		         "where they want to go",
		         addr_net_text(&nets->at[i], text));
		remark(together, cfg, place_of(cfg, "proxy_protocol_from"), words);
	}
	if (cfg->send_proxy != SEND_PROXY_NO && !config_is_fixed(cfg))
		remark(together, cfg, place_of_either(cfg, "send_proxy", "mode"),
		       "send_proxy: unless mode is fixed, every server that clients "
		       "call must expect the header");
}

/* A server of SMTP does not know LHLO. */
static void
note_lmtp(struct together *together, const struct config *cfg)
{
	if (cfg->server_protocol != SERVER_LMTP)
		return;
	if (!config_is_fixed(cfg) && !cfg->policy_section)
		remark(together, cfg, place_of_either(cfg, "server_protocol", "mode"),
		       "server_protocol: unless mode is fixed, every server that "
		       "clients call must speak LMTP");
	if (cfg->auth_skip & AUTH_SKIP_DIRECT)
		remark(together, cfg,
		       place_of_either(cfg, "auth_skip", "server_protocol"),
		       "auth_skip: direct has no effect on clients that speak SMTP "
		       "where server_protocol is lmtp");
}

/* As 1.4 did it, and safe only behind a packet filter. */
static void
note_remote(struct together *together, const struct config *cfg)
{
	if ((cfg->mode == ROUTE_BY_REMOTE || cfg->mode == ROUTE_BY_REMOTE_UDP) &&
	    !cfg->remote_host[0])
		remark(together, cfg, place_of_either(cfg, "mode", "remote_host"),
		       "mode: who connects is asked itself where it goes to, for "
		       "remote_host is empty; nobody but the router may reach the "
		       "port of this gateway");
}

static bool
is_ascii(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

/* Replies and headers are ASCII (RFC 5321 4.2, RFC 5322 2.2). */
static void
note_texts(struct together *together, const struct config *cfg)
{
	char words[128];

	for (const struct option *opt = config_options; opt->kind != OPTION_NONE;
	     opt++) {
		if ((opt->kind != OPTION_TEXT &&
		     opt->field != offsetof(struct config, abuse)) ||
		    is_ascii(*(char **)option_field(cfg, opt)))
			continue;
		snprintf(words, sizeof(words),
		         "%s: is not plain ASCII; there will be a \"?\" in place of "
		         "each byte that is not",
		         opt->name);
		remark(together, cfg, place_of(cfg, opt->name), words);
	}
}

/* The weights of all entries together; those of dnswl say nothing. */
static int64_t
weight_of(const struct string_list *list)
{
	struct dnsbl_zone zone;
	int64_t weight = 0;

	for (size_t i = 0; i < list->count; i++)
		if (!dnsbl_zone_read(&zone, list->at[i]))
			weight += zone.weight;
	return weight;
}

static void
note_lists(struct together *together, const struct config *cfg)
{
	if (cfg->dnsbl.count > 0 && weight_of(&cfg->dnsbl) < cfg->dnsbl_threshold)
		remark(together, cfg, place_of_either(cfg, "dnsbl_threshold", "dnsbl"),
		       "dnsbl_threshold: is more than all of dnsbl weigh together: "
		       "nobody is ever refused");
	if (weight_of(&cfg->dnswl) > (int64_t)cfg->dnswl.count)
		remark(together, cfg, place_of(cfg, "dnswl"),
		       "dnswl: a weight has no effect here: who is on any of these "
		       "lists is spared");
}

static void
check_list(struct together *together, const struct config *cfg, const char *name,
           const struct string_list *list)
{
	char words[128];

	if (list->count <= DNSBL_ZONES_MAX)
		return;
	snprintf(words, sizeof(words), "%s: has %zu entries, and %d are the most", name,
	         list->count, DNSBL_ZONES_MAX);
	complain(together, place_of(cfg, name), words);
}

static void
note_rates(struct together *together, const struct config *cfg)
{
	static const struct {
		const char *name;
		size_t field;
	} limits[] = {
#define LIMIT(name) { #name, offsetof(struct config, name) }
		LIMIT(ratelimit_connections),      LIMIT(ratelimit_messages),
		LIMIT(ratelimit_recipients),       LIMIT(ratelimit_bytes),
		LIMIT(ratelimit_mailfrom_rejects), LIMIT(ratelimit_rcptto_rejects),
		LIMIT(ratelimit_auth_rejects),
#undef LIMIT
	};
	char words[128];

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		if (cfg->root->ratelimit_period != 0 ||
		    *(const int64_t *)((const char *)cfg + limits[i].field) == 0)
			continue;
		snprintf(words, sizeof(words),
		         "%s: has no effect unless ratelimit_period is set",
		         limits[i].name);
		remark(together, cfg, place_of(cfg, limits[i].name), words);
	}
}

/* Only where somebody has set a limit: without one all that is larger is in the gap. */
/* Who lets mail pass that nobody has scanned hardly wants to stop what one of two has. */
static void
note_engines(struct together *together, const struct config *cfg)
{
	bool are_many = (cfg->antivirus_type & (cfg->antivirus_type - 1)) != 0;

	if (are_many && cfg->on_scan_failed == ACTION_PASS &&
	    cfg->on_engine_failed != ACTION_PASS && !cfg->ignore_errors)
		remark(together, cfg,
		       place_of_either(cfg, "on_engine_failed", "on_scan_failed"),
		       "on_engine_failed: does not pass what one scanner has failed on "
		       "and another found clean, while on_scan_failed passes what none "
		       "has looked at");
}

static void
note_gap(struct together *together, const struct config *cfg)
{
	char words[256];

	if (cfg->antivirus_type == 0 || cfg->size_limit <= cfg->scan_max_size)
		return;
	snprintf(words, sizeof(words),
	         "scan_max_size: is less than size_limit; messages of more than "
	         "%" PRId64 " and up to %" PRId64 " bytes are unscannable, see "
	         "on_unscannable (%s)",
	         cfg->scan_max_size, cfg->size_limit,
	         config_word(cfg, "on_unscannable"));
	remark(together, cfg, place_of_either(cfg, "scan_max_size", "size_limit"),
	       words);
}

static void
note_memory(struct together *together, const struct config *cfg)
{
	if (cfg->memory_budget > 0 && cfg->spool_memory_all > cfg->memory_budget)
		remark(together, cfg,
		       place_of_either(cfg, "spool_memory_all", "memory_budget"),
		       "spool_memory_all: is part of memory_budget, and more than it; "
		       "messages have memory_budget at most");
}

static void
note_results(struct together *together, const struct config *cfg)
{
	struct result_doubt doubts[RESULT_DOUBTS];
	size_t count = config_results_doubts(cfg, doubts);

	for (size_t i = 0; i < count; i++)
		remark(together, cfg, place_of_any(cfg, doubts[i].options),
		       doubts[i].words);
}

/* What is allowed, but may not do what was meant. */
static void
note_doubtful(struct together *together, const struct config *cfg)
{
	if (!config_is_fixed(cfg) && cfg->fixed_server[0] &&
	    !(cfg == cfg->root && config_any(cfg, config_is_fixed)))
		remark(together, cfg, place_of(cfg, "fixed_server"),
		       "fixed_server: has no effect unless mode is fixed");
	if (cfg->mode == ROUTE_BY_TPROXY && cfg->outgoing_addr[0])
		remark(together, cfg, place_of_either(cfg, "outgoing_addr", "mode"),
		       "outgoing_addr: has no effect in mode tproxy, in which servers "
		       "see the client's own address");
	note_proxies(together, cfg);
	note_remote(together, cfg);
	note_lmtp(together, cfg);
	note_texts(together, cfg);
	note_lists(together, cfg);
	note_rates(together, cfg);
	if (cfg->scan_max_unpacked < cfg->scan_max_size)
		remark(together, cfg,
		       place_of_either(cfg, "scan_max_size", "scan_max_unpacked"),
		       "scan_max_size: a message larger than scan_max_unpacked is "
		       "never scanned in full");
	note_gap(together, cfg);
	note_engines(together, cfg);
	note_results(together, cfg);
	note_memory(together, cfg);
	if (cfg->timeout_judging < cfg->timeout_scanner)
		remark(together, cfg,
		       place_of_either(cfg, "timeout_judging", "timeout_scanner"),
		       "timeout_judging: is over before timeout_scanner; a scan that "
		       "takes longer counts as failed, not as unscannable");
}

/* A scanner elsewhere, and nobody to ask: each message would fail. */
static void
check_scanners(struct together *together, const struct config *cfg)
{
	const struct {
		bool is_wanted;
		const char *type, *word, *name;
		const struct string_list *servers;
	} rows[] = {
		{ cfg->antivirus_type & ANTIVIRUS_CLAMD, "antivirus_type", "clamd",
		  "antivirus_path", &cfg->antivirus_path },
		{ cfg->antivirus_type & ANTIVIRUS_ICAP, "antivirus_type", "icap",
		  "icap_url", &cfg->icap_url },
		{ cfg->antispam_type & ANTISPAM_SPAMASSASSIN, "antispam_type",
		  "spamassassin", "antispam_path", &cfg->antispam_path },
		{ cfg->antispam_type & ANTISPAM_RSPAMD, "antispam_type", "rspamd",
		  "rspamd_url", &cfg->rspamd_url },
	};
	char words[128];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!rows[i].is_wanted || rows[i].servers->count > 0)
			continue;
		snprintf(words, sizeof(words), "%s: %s needs %s, whom to ask",
		         rows[i].type, rows[i].word, rows[i].name);
		complain(together, place_of_either(cfg, rows[i].type, rows[i].name),
		         words);
	}
}

static void
check_results(struct together *together, const struct config *cfg)
{
	const char *option, *fault = config_results_fault(cfg, &option);
	char *words;

	if (!fault)
		return;
	words = xasprintf("%s%s", option, fault);
	complain(together, place_of_either(cfg, option, "delivery"), words);
	free(words);
}

/* What each option alone does not tell; CFG is what a listener or a policy comes to. */
static void
check_snapshot(struct together *together, const struct config *cfg)
{
	bool is_needed = config_serves(cfg) || cfg->root->sections->listens.count == 0;

	char words[128];

	check_list(together, cfg, "dnsbl", &cfg->dnsbl);
	check_list(together, cfg, "dnswl", &cfg->dnswl);
	check_scanners(together, cfg);
	check_results(together, cfg);
	if (cfg->spf == SPF_FIXED && !cfg->spf_fixed_ip[0])
		complain(together, place_of_either(cfg, "spf", "spf_fixed_ip"),
		         "spf: fixed needs spf_fixed_ip, an address");
	if (!config_is_fixed(cfg) || cfg->fixed_server[0] || !is_needed)
		return;
	snprintf(words, sizeof(words),
	         "mode: %s needs fixed_server, an address or a host name",
	         config_word(cfg, "mode"));
	complain(together, place_of_either(cfg, "mode", "fixed_server"), words);
}

static void
check_main(struct together *together)
{
	const struct config *cfg = together->cfg;
	const char *fault = config_login_fault(cfg);
	char words[256];

	if (fault) {
		snprintf(words, sizeof(words), "state_server: it %s", fault);
		complain(together, place_of(cfg, "state_server"), words);
	}
	if (!config_serves(cfg) && cfg->sections->listens.count == 0)
		complain(together, place_of(cfg, "bind_address"),
		         "bind_address: at least one address is needed");
	if (!cfg->statefile_type)
		complain(together, place_of(cfg, "statefile_type"),
		         "statefile_type: at least one word is needed; for no file "
		         "at all let statefile be empty");
}

/* A policy may be for some listeners only. */
static bool
is_first_of_policy(const struct sections *sections, size_t at)
{
	const struct section *policy = sections->snapshots[at]->policy_section;

	for (size_t i = 0; policy && i < at; i++)
		if (sections->snapshots[i] &&
		    sections->snapshots[i]->policy_section == policy)
			return false;
	return true;
}

/* Calls SEE with what each listener and each policy comes to; ALL: a policy with each
 * listener that it is for, not with the first alone. */
static void
see_each(struct together *together, bool all,
         void (*see)(struct together *together, const struct config *cfg))
{
	const struct sections *sections = together->cfg->sections;

	for (size_t i = 0; i < sections->snapshot_count; i++) {
		const struct config *cfg = sections->snapshots[i];

		if (!cfg || (!all && !is_first_of_policy(sections, i)))
			continue;
		together->looked_at = cfg->policy_section ?: cfg->listen_section;
		see(together, cfg);
	}
}

bool
config_check_together(struct report *report, struct config *cfg)
{
	struct together together = { .report = report, .cfg = cfg };

	sections_derive(cfg);
	check_main(&together);
	see_each(&together, true, check_snapshot);
	sections_check(cfg, report);
	if (report->fault_count > 0)
		return false;
	note_doubtful_main(&together);
	see_each(&together, false, note_doubtful);
	return true;
}
