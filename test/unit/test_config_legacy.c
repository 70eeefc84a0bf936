#include "config_rows.h"

#define SYNTAX \
	"note 1: written in the syntax of smtp-gated 1.4, which is still understood; " \
	"\"smtp-gated --import FILE\" prints it in today's\n"
#define UNSCANNED \
	"note 1: antivirus_type: is not given; 1.4 did not scan then, and this " \
	"version does\n"
#define NO_COMMENT \
	" is all value: in files of 1.4 only a number may have a comment behind it; " \
	"give it a line of its own\n"
#define MODES \
	"; allowed: fixed, \"fixed+xclient\", netfilter, tproxy, " \
	"\"tproxy,netfilter\", " \
	"getsockname, remote-udp, remote\n"

/* What each line of a file of 1.4 leads to.  What is said of every such file comes before
 * it, and is left out here; a complaint begins with its line's number. */
static const struct config_row lines[] = {
	{ "port 25", "port = 25\n" },
	{ "port\t\t25 \t\r\n", "port = 25\n" },
	{ "# port 1\n; port 2\n  ;port 3\n\n\tport 25\n", "port = 25\n" },
	{ "port 25\nport 26\n", "note 2: port: given again; this line counts, "
	                        "line 1 does not\nport = 26\n" },
	/* numbers */
	{ "port 0x19\n", "port = 25\n" },
	{ "port 031\n", "port = 25\n" },
	{ "scan_max_size 1M\n", "scan_max_size = 1048576\n" },
	{ "timeout_idle 0\n",
	  "note 1: timeout_idle: 0 is not possible any more; 86400 is used\n"
	  "timeout_idle = 86400\n" },
	{ "timeout_scanner 900\n",
	  "note 1: timeout_scanner: 900 is not possible any more; 540 is used\n"
	  "timeout_scanner = 540\n" },
	{ "scan_max_size 4000000000\nscan_max_size 1073741823\n",
	  "note 1: scan_max_size: 4000000000 is not possible any more; "
	  "1073741823 is "
	  "used\n"
	  "note 2: scan_max_size: given again; this line counts, line 1 does "
	  "not\n"
	  "note 2: scan_max_size: a message larger than scan_max_unpacked is "
	  "never "
	  "scanned "
	  "in full\nscan_max_size = 1073741823\n" },
	{ "buffer_size 100\n",
	  "note 1: buffer_size: 100 is not possible any more; 512 is used\n"
	  "buffer_size = 512\n" },
	{ "connect_queue 0\n",
	  "note 1: connect_queue: 0 is not possible any more; 1 is used\n"
	  "connect_queue = 1\n" },
	{ "port 99999\n", "1: port: \"99999\" is out of range; allowed: 1 to 65535\n" },
	{ "port 0\n", "1: port: \"0\" is out of range; allowed: 1 to 65535\n" },
	{ "max_connections 0\n", "1: max_connections: \"0\" is out of range; "
	                         "allowed: 1 to 1000000\n" },
	{ "port smtp\n",
	  "1: port: \"smtp\" is no whole number; allowed: 1 to 65535\n" },
	{ "port\n", "1: port: \"\" is no whole number; allowed: 1 to 65535\n" },
	{ "scan_max_size 0\n",
	  "1: scan_max_size: \"0\" turned scanning off in 1.4; write "
	  "antivirus_type off in its place\n" },
	{ "port 0x19 # the usual\n", "port = 25\n" },
	{ "port 25;the usual\n", "1: port: \"25;the usual\" is no whole "
	                         "number; allowed: 1 to 65535\n" },
	{ "port 25\t ; \"the\" usual /*\n", "port = 25\n" },
	{ "scan_max_size 10 M\n",
	  "1: scan_max_size: \"10 M\" is no whole number or has an unknown "
	  "unit; "
	  "allowed: 1024 to 1073741823 bytes, or with K, M, G\n" },
	{ "antivirus_type off\nscan_max_size 0 # off\n", "antivirus_type = {}\n" },
	{ "scan_max_size 0\nantivirus_type libclamav\nantivirus_type\tOFF \r\n",
	  "note 3: antivirus_type: given again; this line counts, line 2 does "
	  "not\n"
	  "antivirus_type = {}\n" },
	{ "antivirus_type off\nantivirus_type libclamav\nscan_max_size 0\n",
	  "note 2: antivirus_type: given again; this line counts, line 1 does "
	  "not\n"
	  "3: scan_max_size: \"0\" turned scanning off in 1.4; write "
	  "antivirus_type "
	  "off in its place\n" },
	{ "scan_max_size 0 # off\n",
	  "1: scan_max_size: \"0\" turned scanning off in 1.4; write "
	  "antivirus_type off in its place\n" },
	/* booleans */
	{ "forbid_starttls 1\n", "forbid_starttls = true\n" },
	{ "forbid_starttls YES\n", "forbid_starttls = true\n" },
	{ "forbid_starttls on\n", "forbid_starttls = true\n" },
	{ "forbid_starttls 0\n", "" },
	{ "forbid_starttls no\n", "" },
	{ "forbid_starttls off\n", "" },
	{ "ignore_errors 2\n",
	  "1: ignore_errors: \"2\" is neither true nor false; allowed: "
	  "true, false, yes, no, on, off, 1, 0\n" },
	/* words, and their numbers */
	{ "log_level 7\n", "log_level = debug\n" },
	{ "log_level warn\n", "log_level = warning\n" },
	{ "log_level error\n", "log_level = err\n" },
	{ "log_level panic\n", "log_level = emerg\n" },
	{ "log_facility mail\n", "log_facility = mail\n" },
	{ "log_facility security\n", "log_facility = auth\n" },
	{ "log_level none\n",
	  "1: log_level: no such word: \"none\"; allowed: emerg, alert, "
	  "crit, err, warning, notice, info, debug\n" },
	/* strings: to the end of the line, whatever is in them */
	{ "msg_hello it's \"me\" \\ ${HOME} $1 # ; // /* = {x}\n",
	  "msg_hello = \"it's \\\"me\\\" \\\\ \\${HOME} \\$1 # ; // /* = "
	  "{x}\"\n" },
	{ "regex_reject_helo ^(a|b c)\\.d$ # x\n",
	  "regex_reject_helo = \"^(a|b c)\\\\.d\\$ # x\"\n" },
	{ "regex_enforce_helo\nregex_enforce_mail_from (\n",
	  "2: regex_enforce_mail_from: \"(\" is no regular expression: missing "
	  "closing parenthesis, at byte 1\n" },
	{ "msg_hello \"\n", "msg_hello = \"\\\"\"\n" },
	{ "msg_hello \\\n", "msg_hello = \"\\\\\"\n" },
	{ "msg_hello Dzie\xF1 dobry\n",
	  "note 1: msg_hello: is not plain ASCII; there will be a \"?\" in place of "
	  "each byte that is not\nmsg_hello = \"Dzie\xF1 dobry\"\n" },
	{ "nat_header_type 1\nnat_header X-Who\nabuse call +00 000, or write\n",
	  "nat_header = \"X-Who\"\nabuse = \"call +00 000, or write\"\n" },
	{ "nat_header_type none\nlocale pl_PL\n",
	  "nat_header_type = none\nlocale = \"pl_PL\"\n" },
	{ "msg_hello\n", "msg_hello = \"\"\n" },
	{ "proxy_name *\n", "" },
	{ "outgoing_addr 0.0.0.0\n", "" },
	{ "outgoing_addr 10.0.0.1\n", "outgoing_addr = \"10.0.0.1\"\n" },
	{ "msg_hello \033[1m\n", "1: there is a control character in a string\n" },
	/* lists */
	{ "bind_address 10.0.0.1\n", "bind_address = {\"10.0.0.1\"}\n" },
	{ "bind_address 10.0.0.1 , ::1,,\n",
	  "bind_address = {\"10.0.0.1\", \"::1\"}\n" },
	{ "bind_address 10.0.0.1 10.0.0.2\n",
	  "1: bind_address: \"10.0.0.1 10.0.0.2\" is no IPv4 or IPv6 "
	  "address\n" },
	{ "bind_address ,\n", "1: bind_address: at least one address is needed\n" },
	{ "bind_address \"x\n",
	  "1: bind_address: \"\"x\" is no IPv4 or IPv6 address\n" },
	{ "lock_on never, virus\n",
	  "note 1: lock_on: \"never, virus\": the word for nothing at all is left out, "
	  "the others count, as in 1.4\nlock_on = {virus}\n" },
	{ "lock_on never , never\nauth_skip none\n", "lock_on = {}\n" },
	/* modes: never one for another */
	{ "mode netfilter\n", "" },
	{ "mode fixed\nfixed_server 10.0.0.1\n",
	  "mode = fixed\nfixed_server = \"10.0.0.1\"\n" },
	{ "mode fixed\nfixed_server\n",
	  "1: mode: fixed needs fixed_server, an address or a host name\n" },
	{ "mode fixed+xclient\nfixed_server 10.0.0.1\n",
	  "mode = \"fixed+xclient\"\nfixed_server = \"10.0.0.1\"\n" },
	{ "mode fixed+xclient\n",
	  "1: mode: fixed+xclient needs fixed_server, an address "
	  "or a host name\n" },
	{ "mode tproxy\n", "mode = tproxy\n" },
	{ "mode tproxy,netfilter\n", "mode = \"tproxy,netfilter\"\n" },
	{ "mode getsockname\n", "mode = getsockname\n" },
	{ "mode tproxy\noutgoing_addr 10.0.0.1\n",
	  "note 2: outgoing_addr: has no effect in mode tproxy, in which servers see "
	  "the client's own address\noutgoing_addr = \"10.0.0.1\"\nmode = tproxy\n" },
	{ "mode remote\nremote_host 192.0.2.1\n",
	  "mode = remote\nremote_host = \"192.0.2.1\"\n" },
	{ "mode remote-udp\nremote_udp_secret 0x10\nremote_udp_retries 5\n",
	  "note 1: mode: who connects is asked itself where it goes to, for "
	  "remote_host is empty; nobody but the router may reach the port of "
	  "this gateway\n"
	  "mode = remote-udp\nremote_udp_retries = 5\nremote_udp_secret = 16\n" },
	{ "mode ipfw\n",
	  "1: mode: \"ipfw\" is for BSD systems, and this one is for Linux" MODES },
	{ "mode pf\n",
	  "1: mode: \"pf\" is for BSD systems, and this one is for Linux" MODES },
	{ "mode ipfilter\n",
	  "1: mode: \"ipfilter\" is for BSD systems, and this one is for Linux" MODES },
	{ "mode netfilter ; comment\n", "1: mode: \"netfilter ; comment\"" NO_COMMENT },
	{ "bind_address ::1, ::2 # a\n",
	  "1: bind_address: \"::1, ::2 # a\"" NO_COMMENT },
	{ "ignore_errors no\t#\n", "1: ignore_errors: \"no\t#\"" NO_COMMENT },
	{ "proxy_name gate ;a\n", "1: proxy_name: \"gate ;a\"" NO_COMMENT },
	{ "spool_path /a ; b\nproxy_name gate;a#b\n",
	  "proxy_name = \"gate;a#b\"\nspool_path = \"/a ; b\"\n" },
	{ "mode none\n", "1: mode: no such word: \"none\"" MODES },
	/* scanners */
	{ "antivirus_type off\n", "antivirus_type = {}\n" },
	{ "antivirus_type clamd\nantivirus_path 127.0.0.1:3310\n",
	  "antivirus_type = {clamd}\nantivirus_path = {\"127.0.0.1:3310\"}\n" },
	{ "spam_max_load 1.5\n",
	  "note 1: spam_max_load: 1.5 is not possible any more; 2 is used\n"
	  "spam_max_load = 2\n" },
	{ "antivirus_type mksd\n", "1: antivirus_type: \"mksd\" is no longer "
	                           "supported: libclamav scans inside of the "
	                           "daemon; write libclamav or clamd in its place\n" },
	{ "dspam_storage /x\n",
	  "1: dspam_storage: cannot be used any more: DSPAM is no longer "
	  "supported; delete it\n" },
	/* without effect: said, unless it was off */
	{ "pid_hash_size 4096\n",
	  "note 1: pid_hash_size: has no effect any more: there is no "
	  "such table any more\n" },
	/* what is logged */
	{ "email_length 9\nlog_helo yes\nlog_mail_from accepted,rejected\n"
	  "log_rcpt_to base64\n",
	  "log_helo = true\nlog_mail_from = {accepted, rejected}\n"
	  "log_rcpt_to = {base64}\nemail_length = 9\n" },
	{ "log_rcpt_to off\n", "log_rcpt_to = {}\n" },
	/* lists in DNS */
	{ "dnsbl zen.example , b.example.\n",
	  "dnsbl = {\"zen.example\", \"b.example.\"}\n" },
	{ "chroot_path\nmsg_nomem \nspf none\nspam_max_load 0\nauth_require "
	  "no\nsize_limit "
	  "0\n"
	  "limit_virt_size -1\nantispam_type off\n",
	  "" },
	/* the one number with a fraction */
	{ "max_load 8.5\n",
	  "note 1: max_load: 8.5 is not possible any more; 9 is used\n"
	  "max_load = 9\n" },
	{ "max_load 0.2   # low\n",
	  "note 1: max_load: 0.2 is not possible any more; 1 is used\n"
	  "max_load = 1\n" },
	{ "max_load 2.0\n", "max_load = 2\n" },
	{ "max_load 2\n", "max_load = 2\n" },
	/* the process */
	{ "set_user mail\nset_group 8\nchroot_path /srv\npriority 5\n",
	  "chroot_path = \"/srv\"\nset_user = \"mail\"\nset_group = \"8\"\n"
	  "priority = 5\n" },
	{ "priority -30\n",
	  "note 1: priority: -30 is not possible any more; -20 is used\n"
	  "priority = -20\n" },
	{ "limit_core_size 64M\n", "limit_core_size = 67108864\n" },
	{ "limit_core_size -2\n", "note 1: limit_core_size: -2 is not possible "
	                          "any more; -1 is used\n" },
	{ "limit_virt_size 64M\nlimit_data_size 67108864\n",
	  "note 1: limit_virt_size: 67108864 is not possible any more; -1 is "
	  "used\n"
	  "note 2: limit_data_size: 67108864 is not possible any more; -1 is "
	  "used\n" },
	{ "limit_virt_size 2G\n", "limit_virt_size = 2147483648\n" },
	{ "limit_fsize 100M\n", "limit_fsize = 104857600\n" },
	/* the state file */
	{ "statefile /var/run/smtp-gated/state\n",
	  "statefile = \"/var/run/smtp-gated/state\"\n" },
	{ "statefile_perm 0640\n", "statefile_perm = 0640\n" },
	{ "statefile_perm 416\n", "statefile_perm = 0640\n" },
	{ "statefile_perm 0x1a0\n", "statefile_perm = 0640\n" },
	{ "statefile_perm 660\n",
	  "1: statefile_perm: \"660\" is out of range; in a file of 1.4 a "
	  "number is "
	  "decimal unless it begins with 0: allowed are 0000 to 0777\n" },
	{ "statefile_perm rw\n", "1: statefile_perm: \"rw\" is no octal number; "
	                         "allowed: 0000 to 0777 octal\n" },
	{ "statefile_type human,slots\n", "" },
	{ "statefile_type flat\n", "statefile_type = {flat}\n" },
	{ "statefile_type slots, flat ,human\n",
	  "statefile_type = {human, flat, slots}\n" },
	{ "statefile_type 0\n", "statefile_type = {human}\n" },
	{ "statefile_type 2\n", "statefile_type = {flat}\n" },
	{ "statefile_type 4\n", "statefile_type = {slots}\n" },
	{ "statefile_type 6\n", "1: statefile_type: no such word: \"6\"; "
	                        "allowed: human, flat, slots\n" },
	{ "statefile_type human,none\n",
	  "1: statefile_type: no such word: \"none\"; allowed: human, flat, "
	  "slots\n" },
	{ "statefile_type ,\n", "1: statefile_type: at least one word is "
	                        "needed; for no file at all let "
	                        "statefile be empty\n" },
	{ "auth_require mandatory\nauth_skip regex, direct\nearlytalker no\n",
	  "auth_require = mandatory\nauth_skip = {direct, regex}\nearlytalker = "
	  "false\n" },
	{ "auth_require ifsupported\nauth_skip antivir,antispam,dnsbl\nearlytalker 1\n",
	  "auth_require = ifsupported\nauth_skip = {antivir, antispam, dnsbl}\n" },
	{ "auth_skip none\n", "" },
	{ "auth_require yes\n", "1: auth_require: no such word: \"yes\"; allowed: no, "
	                        "ifsupported, mandatory\n" },
	/* several of them */
	{ "mode pf\nport x\nprot 1\ndspam_storage x\nproxy_name \001\n= 1\n",
	  "1: mode: \"pf\" is for BSD systems, and this one is for Linux" MODES
	  "2: port: \"x\" is no whole number; allowed: 1 to 65535\n"
	  "3: no such option: \"prot\"; did you mean \"port\"?\n"
	  "4: dspam_storage: cannot be used any more: DSPAM is no longer "
	  "supported; "
	  "delete it\n"
	  "5: there is a control character in a string\n"
	  "6: there is no name of an option at the beginning of this line\n" },
	/* what is none of it */
	{ "prot 25\n", "1: no such option: \"prot\"; did you mean \"port\"?\n" },
	{ "port 25\nprot 25 \"\n",
	  "2: no such option: \"prot\"; did you mean \"port\"?\n" },
	{ "port 25\nport = 26\n", "2: port: there is a \"=\", but the file began in "
	                          "the syntax of 1.4, which has "
	                          "none; write all lines one way\n" },
	{ "port 25\n\n{ x\n",
	  "3: there is no name of an option at the beginning of this line\n" },
	{ "port 25\nport=26\n",
	  "2: there is no name of an option at the beginning of this line\n" },
};

static char *
without(char *outcome, const char *words)
{
	char *at = strstr(outcome, words);

	if (at)
		memmove(at, at + strlen(words), strlen(at + strlen(words)) + 1);
	return outcome;
}

/* The name of the file in the first note is another one every time. */
static char *
outcome_of_file(const char *text)
{
	char *outcome = config_row_outcome(text);
	char *from = strstr(outcome, "--import /tmp/"),
	     *to = from ? strchr(from, '"') : NULL;

	if (!to)
		return outcome;
	from += strlen("--import ");
	memcpy(from, "FILE", 4);
	memmove(from + 4, to, strlen(to) + 1);
	return outcome;
}

static char *
outcome_of_lines(const char *text)
{
	char *outcome = outcome_of_file(text);

	assert_memory_equal(outcome, SYNTAX, strlen(SYNTAX));
	return without(without(outcome, SYNTAX), UNSCANNED);
}

#define ROWS(rows) rows, sizeof(rows) / sizeof(rows[0])

static void
test_lines(void **state)
{
	(void)state;
	config_rows_check(ROWS(lines), outcome_of_lines);
}

/* What is said of a whole file. */
static const struct config_row files[] = {
	{ "port 25\n", SYNTAX UNSCANNED "port = 25\n" },
	{ "antivirus_type off\n", SYNTAX "antivirus_type = {}\n" },
	{ "antivirus_type libclamav\n", SYNTAX },
	{ "port = 25\n", "port = 25\n" },
};

static void
test_files(void **state)
{
	(void)state;
	config_rows_check(ROWS(files), outcome_of_file);
}

static void
test_which_syntax(void **state)
{
	static const struct {
		const char *text;
		enum config_syntax syntax;
	} rows[] = {
		{ "port 25\n", SYNTAX_LEGACY },
		{ "  port\t25", SYNTAX_LEGACY },
		{ "# x = 1\n; y = 2\n\n\r\nport 25\n", SYNTAX_LEGACY },
		{ "chroot_path\nport 25\n", SYNTAX_LEGACY },
		{ "chroot_path\n\nport = 25\n", SYNTAX_NATIVE },
		{ "chroot_path", SYNTAX_LEGACY },
		{ "msg_hello a = b\n", SYNTAX_LEGACY },
		{ "", SYNTAX_NONE },
		{ "\n \r\n\t; port 25\n", SYNTAX_NONE },
		{ "# port 25\n", SYNTAX_NONE },
		{ "port = 25\n", SYNTAX_NATIVE },
		{ "port=25\n", SYNTAX_NATIVE },
		{ "port\n=25\n", SYNTAX_NATIVE },
		{ "bind_address += x\n", SYNTAX_NATIVE },
		{ "bind_address+={x}\n", SYNTAX_NATIVE },
		{ "/* a */ port 25\n", SYNTAX_NATIVE },
		{ "// port 25\n", SYNTAX_NATIVE },
		{ "\"port\" 25\n", SYNTAX_NATIVE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (config_syntax_of(rows[i].text) != rows[i].syntax)
			fail_msg("%s", rows[i].text);
}

/* Every option that 1.4 had: the file that names it is read, or refused with a reason. */
static void
test_all_old_names(void **state)
{
	/* The list in the manual of 1.4, in its order. */
	static const char *const names =
		"proxy_name bind_address port outgoing_addr pidfile chroot_path "
		"set_user "
		"set_group priority connect_queue enfile_sleep on_takeover_cmds "
		"buffer_size "
		"pipeline_size pid_hash_size host_hash_size limit_core_size "
		"limit_virt_size "
		"limit_data_size limit_fsize mode fixed_server fixed_server_port "
		"remote_port "
		"remote_udp_retries remote_udp_secret statefile statefile_perm "
		"statefile_type "
		"lock_on lock_duration lock_path lock_perm action_script spool_path "
		"spool_perm "
		"spool_leave_on spool_header timeout_direct timeout_lookup "
		"timeout_scanner "
		"timeout_spam timeout_session timeout_idle timeout_connect "
		"auth_require "
		"auth_skip max_connections max_per_host max_per_ident max_load "
		"size_limit "
		"scan_max_size spam_max_size spam_max_load spam_threshold "
		"ignore_errors "
		"log_helo log_mail_from log_rcpt_to email_length log_level "
		"log_facility "
		"nat_header nat_header_type abuse antivirus_type antivirus_path "
		"antispam_type "
		"antispam_path dspam_storage dnsbl spf spf_log_only spf_fixed_ip "
		"regex_enforce_helo regex_enforce_mail_from regex_enforce_rcpt_to "
		"regex_reject_helo regex_reject_mail_from regex_reject_rcpt_to "
		"earlytalker "
		"forbid_starttls ratelimit_path ratelimit_period ratelimit_expiration "
		"ratelimit_generation ratelimit_connections ratelimit_messages "
		"ratelimit_recipients ratelimit_bytes ratelimit_mailfrom_rejects "
		"ratelimit_rcptto_rejects ratelimit_auth_rejects "
		"ratelimit_dst_expiration "
		"locale msg_virus_found msg_virus_no_more msg_virus_locked "
		"msg_spam_found "
		"msg_unknown_virus msg_scanner_failed msg_malformed_ip "
		"msg_cannot_connect "
		"msg_spool_problem msg_spool_open_fail msg_pipeline_full "
		"msg_lookup_failed "
		"msg_lookup_notfound msg_lookup_timeout msg_lookup_mismatch "
		"msg_lookup_nomem "
		"msg_lookup_unknown msg_connect_timeout msg_connect_failed "
		"msg_session_timeout msg_sign_off msg_hello msg_proto_error "
		"msg_transaction_failed msg_unimpl_command msg_temp_unavail "
		"msg_max_reached "
		"msg_max_per_host msg_max_per_ident msg_system_load msg_nomem "
		"msg_unknown_scanner msg_auth_required msg_loop_avoidance "
		"msg_size_limit "
		"msg_fixed_xclient_fail msg_dnsdb_reject msg_spf_reject "
		"msg_rate_reject "
		"msg_ratelimit_error msg_ratelimit_messages msg_ratelimit_rcptto "
		"msg_ratelimit_rcptto_rejects msg_ratelimit_helo "
		"msg_ratelimit_mailfrom "
		"msg_ratelimit_mailfrom_rejects msg_ratelimit_dst msg_earlytalker "
		"msg_regex_helo msg_regex_mail_from msg_regex_rcpt_to";
	char *copy = xstrdup(names), *rest, why[256];
	size_t known = 0, old = 0;

	(void)state;
	for (char *name = strtok_r(copy, " ", &rest); name;
	     name = strtok_r(NULL, " ", &rest)) {
		bool ours = option_find(name, strlen(name));
		bool was = config_old_option(name, strlen(name), why, sizeof(why));

		if (ours == was)
			fail_msg("%s: %s", name, ours ? "both" : "neither");
		known += ours;
		old += was;
	}
	for (size_t i = 0; config_old_name(i); i++)
		old--;
	assert_int_equal(old, 0); /* the table has no other rows, and none twice */
	assert_true(known > 30);
	free(copy);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_which_syntax),
		cmocka_unit_test(test_all_old_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
