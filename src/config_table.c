#include "config_internal.h"

#include <syslog.h>

/*
 * The options, from options.def, with the words that some of them may have.
 */

static const struct word mode_words[] = {
	{ "fixed", ROUTE_BY_FIXED },
	{ "fixed+xclient", ROUTE_BY_FIXED_XCLIENT },
	{ "netfilter", ROUTE_BY_NETFILTER },
	{ "tproxy", ROUTE_BY_TPROXY },
	{ "tproxy,netfilter", ROUTE_BY_TPROXY_NETFILTER },
	{ "getsockname", ROUTE_BY_GETSOCKNAME },
	{ "remote-udp", ROUTE_BY_REMOTE_UDP },
	{ "remote", ROUTE_BY_REMOTE },
	{ 0 },
};

static const struct word send_proxy_words[] = {
	{ "no", SEND_PROXY_NO },
	{ "v1", SEND_PROXY_V1 },
	{ "v2", SEND_PROXY_V2 },
	{ 0 },
};

static const struct word newline_words[] = {
	{ "normalise", NEWLINE_NORMALISE },
	{ "reject", NEWLINE_REJECT },
	{ "pass", NEWLINE_PASS },
	{ 0 },
};

static const struct word delivery_words[] = {
	{ "stream", DELIVERY_STREAM },
	{ "hold", DELIVERY_HOLD },
	{ "auto", DELIVERY_AUTO },
	{ 0 },
};

static const struct word statefile_words[] = {
	{ "human", STATEFILE_HUMAN },
	{ "flat", STATEFILE_FLAT },
	{ "slots", STATEFILE_SLOTS },
	{ 0 },
};

static const struct word antivirus_words[] = {
	{ "off", 0 },
	{ "libclamav", ANTIVIRUS_LIBCLAMAV },
	{ "clamd", ANTIVIRUS_CLAMD },
	{ "icap", ANTIVIRUS_ICAP },
	{ 0 },
};

static const struct word antispam_words[] = {
	{ "off", 0 },
	{ "spamassassin", ANTISPAM_SPAMASSASSIN },
	{ "rspamd", ANTISPAM_RSPAMD },
	{ 0 },
};

static const struct word log_from_words[] = {
	{ "off", 0 },
	{ "accepted", LOG_ADDRESSES_ACCEPTED },
	{ "rejected", LOG_ADDRESSES_REJECTED },
	{ "base64", LOG_ADDRESSES_BASE64 },
	{ 0 },
};

static const struct word log_to_words[] = {
	{ "off", 0 },
	{ "first", LOG_ADDRESSES_FIRST },
	{ "accepted", LOG_ADDRESSES_ACCEPTED },
	{ "rejected", LOG_ADDRESSES_REJECTED },
	{ "base64", LOG_ADDRESSES_BASE64 },
	{ 0 },
};

static const struct word reload_words[] = {
	{ "concurrent", SIGNATURE_RELOAD_CONCURRENT },
	{ "in_place", SIGNATURE_RELOAD_IN_PLACE },
	{ 0 },
};

static const struct word action_words[] = {
	{ "pass", ACTION_PASS },
	{ "defer", ACTION_DEFER },
	{ "refuse", ACTION_REFUSE },
	{ "hangup", ACTION_HANG_UP },
	{ 0 },
};

static const struct word spam_action_words[] = {
	{ "pass", ACTION_PASS },      { "tag", ACTION_TAG },
	{ "defer", ACTION_DEFER },    { "refuse", ACTION_REFUSE },
	{ "hangup", ACTION_HANG_UP }, { 0 },
};

/* Findings that go together.  All messages can be kept; not all clients can be locked out. */
static const struct word keep_words[] = {
	{ "always", CLASS_CLEAN },
	{ "virus", CLASS_VIRUS },
	{ "spam", CLASS_SPAM },
	{ "maxhost", CLASS_MAXHOST },
	{ "maxident", CLASS_MAXIDENT },
	{ "dnsbl", CLASS_DNSBL },
	{ "spf", CLASS_SPF },
	{ "regex", CLASS_REGEX },
	{ "earlytalk", CLASS_EARLYTALK },
	{ "ratelimit", CLASS_RATELIMIT },
	{ "error", CLASS_ERROR },
	{ "unscannable", CLASS_UNSCANNABLE },
	{ "newline", CLASS_NEWLINE },
	{ "size", CLASS_SIZE },
	{ "noauth", CLASS_NOAUTH },
	{ "load", CLASS_LOAD },
	{ "locked", CLASS_LOCKED },
	{ "rate", CLASS_RATE },
	{ "spfother", CLASS_SPF_OTHER },
	{ "suspect", CLASS_SUSPECT },
	{ "never", 0 },
	{ 0 },
};

#define class_words (&keep_words[1])

static const struct word auth_require_words[] = {
	{ "no", AUTH_REQUIRE_NO },
	{ "ifsupported", AUTH_REQUIRE_IF_SUPPORTED },
	{ "mandatory", AUTH_REQUIRE_MANDATORY },
	{ 0 },
};

static const struct word auth_skip_words[] = {
	{ "none", 0 },
	{ "direct", AUTH_SKIP_DIRECT },
	{ "antivir", AUTH_SKIP_ANTIVIRUS },
	{ "antispam", AUTH_SKIP_ANTISPAM },
	{ "dnsbl", AUTH_SKIP_DNSBL },
	{ "regex", AUTH_SKIP_REGEX },
	{ 0 },
};

static const struct word spf_words[] = {
	{ "none", SPF_OFF },
	{ "incoming", SPF_INCOMING },
	{ "outgoing", SPF_OUTGOING },
	{ "fixed", SPF_FIXED },
	{ 0 },
};

static const struct word header_words[] = {
	{ "none", NAT_HEADER_NONE },
	{ "ip-only", NAT_HEADER_IP_ONLY },
	{ "generic", NAT_HEADER_GENERIC },
	{ 0 },
};

static const struct word result_words[] = {
	{ "none", 0 },
	{ "virus", RESULT_HEADERS_VIRUS },
	{ "spam", RESULT_HEADERS_SPAM },
	{ "auth", RESULT_HEADERS_AUTH },
	{ 0 },
};

static const struct word level_words[] = {
	{ "emerg", LOG_EMERG }, { "alert", LOG_ALERT },     { "crit", LOG_CRIT },
	{ "err", LOG_ERR },     { "warning", LOG_WARNING }, { "notice", LOG_NOTICE },
	{ "info", LOG_INFO },   { "debug", LOG_DEBUG },     { 0 },
};

static const struct word facility_words[] = {
	{ "auth", LOG_AUTH },     { "authpriv", LOG_AUTHPRIV },
	{ "cron", LOG_CRON },     { "daemon", LOG_DAEMON },
	{ "ftp", LOG_FTP },       { "lpr", LOG_LPR },
	{ "mail", LOG_MAIL },     { "news", LOG_NEWS },
	{ "syslog", LOG_SYSLOG }, { "user", LOG_USER },
	{ "uucp", LOG_UUCP },     { "local0", LOG_LOCAL0 },
	{ "local1", LOG_LOCAL1 }, { "local2", LOG_LOCAL2 },
	{ "local3", LOG_LOCAL3 }, { "local4", LOG_LOCAL4 },
	{ "local5", LOG_LOCAL5 }, { "local6", LOG_LOCAL6 },
	{ "local7", LOG_LOCAL7 }, { 0 },
};

#define ROW(k, n, fl, text) \
	.kind = OPTION_##k, .name = #n, .field = offsetof(struct config, n), \
	.flags = (fl), .help = (text)

const struct option config_options[] = {
#define OPT_SECTION(title)         { .kind = OPTION_SECTION, .help = title },
#define OPT_BOOL(n, def, fl, text) { ROW(BOOL, n, fl, text) },
#define OPT_INT(n, def, lo, hi, un, fl, text) \
	{ ROW(INT, n, fl, text), .low = lo, .high = hi, .unit = un },
#define OPT_STR(n, def, fl, text)        { ROW(STR, n, fl, text) },
#define OPT_REGEX(n, fl, text)           { ROW(REGEX, n, fl, text) },
#define OPT_WORD(n, def, list, fl, text) { ROW(WORD, n, fl, text), .words = list },
#define OPT_MASK(n, def, list, fl, text) { ROW(MASK, n, fl, text), .words = list },
#define OPT_LIST(n, def, fl, text)       { ROW(LIST, n, fl, text) },
#define OPT_NETS(n, def, fl, text)       { ROW(NETS, n, fl, text) },
#define OPT_TEXT(n, def, text)           { ROW(TEXT, n, 0, text) },
#include "options.def"
	{ .kind = OPTION_NONE },
};
