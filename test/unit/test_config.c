#include "config_rows.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>

#define MODES \
	"fixed, \"fixed+xclient\", netfilter, tproxy, \"tproxy,netfilter\", " \
	"getsockname, remote-udp, remote"
#define RANGE_PORT "allowed: 1 to 65535\n"
#define WORDS_BOOL "allowed: true, false, yes, no, on, off, 1, 0\n"

#define NO_VALUE \
	"there is no value in this line; write it behind the \"=\", or \"\" for " \
	"none\n"
#define NO_NAME \
	"there should be the name of an option here, and its value behind a \"=\"\n"
#define NO_COMMENT \
	"\"#\" in a value needs quotes around all of it; before a comment there must " \
	"be a blank\n"
#define NEEDS_QUOTES(what) \
	"\"" what \
	"\" is not part of the value: one with a blank or any of = { } , \" ' " \
	"in it needs quotes around all of it\n"
#define NEEDS_BRACES "more than one value needs braces and commas: {a, b}\n"
#define STAR(line)   #line ": \"*\" needs quotes around its value\n"

/* What the grammar takes, and what comes of it. */
static const struct config_row accepted[] = {
	{ "", "" },
	{ "\n\n", "" },
	{ "# port = 1\n; port = 2\n\t ; port = 3\n// port = 4\n/* port = 5\n */\n",
	  "" },
	{ "#\n;\n//\n/**/\n", "" },
	{ "port = 25", "port = 25\n" },
	{ "port=25\n", "port = 25\n" },
	{ "port = \"25\"", "port = 25\n" },
	{ "port = '25'", "port = 25\n" },
	{ "port = 25 # the usual\n", "port = 25\n" },
	{ "port = 25 // the usual\n", "port = 25\n" },
	{ "/* a */ port = 25 /* b */\n", "port = 25\n" },
	{ "\xEF\xBB\xBFport = 25\r\n\r\n; x\r\n", "port = 25\n" },
	/* numbers */
	{ "on_takeover_cmds = 0\n", "on_takeover_cmds = 0\n" },
	{ "scan_max_size = 64K\n", "scan_max_size = 65536\n" },
	{ "scan_max_size = 64k\n", "scan_max_size = 65536\n" },
	{ "scan_max_size = 100M\n", "" },
	{ "spool_disk_all = 2G\n", "spool_disk_all = 2147483648\n" },
	{ "timeout_idle = 90s\n", "timeout_idle = 90\n" },
	{ "timeout_idle = 10m\n", "timeout_idle = 600\n" },
	{ "timeout_idle = 2h\n", "timeout_idle = 7200\n" },
	{ "timeout_idle = 1d\n", "timeout_idle = 86400\n" },
	/* booleans and words */
	{ "forbid_starttls = true\n", "forbid_starttls = true\n" },
	{ "forbid_starttls = Yes\n", "forbid_starttls = true\n" },
	{ "forbid_starttls = 1\n", "forbid_starttls = true\n" },
	{ "scan_encrypted = off\n", "scan_encrypted = false\n" },
	{ "bare_newline = reject\n", "bare_newline = reject\n" },
	{ "bare_newline = PASS\n", "bare_newline = pass\n" },
	{ "antivirus_type = off\n", "antivirus_type = {}\n" },
	{ "spool_leave_on = {never, never}\n", "spool_leave_on = {}\n" },
	{ "antivirus_type = clamd\n", "antivirus_type = {clamd}\n" },
	{ "spam_threshold = 6.50\n", "spam_threshold = 6.5\n" },
	{ "spam_threshold = -0.125\n", "spam_threshold = -0.125\n" },
	{ "on_unscannable = defer\n", "on_unscannable = defer\n" },
	{ "on_scan_failed = pass\n", "on_scan_failed = pass\n" },
	{ "log_level = debug\n", "log_level = debug\n" },
	{ "log_level = 4\n", "log_level = warning\n" },
	{ "log_facility = local7\n", "log_facility = local7\n" },
	{ "statefile_perm = 0600\n", "statefile_perm = 0600\n" },
	{ "statefile_perm = 600\n", "statefile_perm = 0600\n" },
	{ "statefile_perm = 0660\n", "" },
	{ "statefile_perm = 0\n", "statefile_perm = 0000\n" },
	{ "limit_core_size = 0\nlimit_virt_size = 4G\nlimit_fsize = -1\n",
	  "limit_core_size = 0\nlimit_virt_size = 4294967296\n" },
	{ "priority = -20\n", "priority = -20\n" },
	{ "set_user = 65534\nset_group = nogroup\nchroot_path = /srv\nallow_root = "
	  "yes\n",
	  "chroot_path = \"/srv\"\nset_user = \"65534\"\nset_group = \"nogroup\"\n"
	  "allow_root = true\n" },
	{ "statefile = \"\"\n", "statefile = \"\"\n" },
	/* any of several words */
	{ "statefile_type = flat\n", "statefile_type = {flat}\n" },
	{ "statefile_type = {slots, flat, HUMAN, flat}\n",
	  "statefile_type = {human, flat, slots}\n" },
	{ "statefile_type = {\"slots\", \"human\"}\n", "" },
	{ "statefile_type += flat\n", "statefile_type = {human, flat, slots}\n" },
	{ "statefile_type = {flat}\nstatefile_type += human\n",
	  "statefile_type = {human, flat}\n" },
	/* strings */
	{ "mode = tproxy\n", "mode = tproxy\n" },
	{ "mode = \"tproxy,netfilter\"\n", "mode = \"tproxy,netfilter\"\n" },
	{ "mode = getsockname\n", "mode = getsockname\n" },
	{ "proxy_name = mx.example.org\n", "proxy_name = \"mx.example.org\"\n" },
	{ "msg_hello = \"a \\\"b\\\" \\\\ \\${HOME} $5 #;'\"\n",
	  "msg_hello = \"a \\\"b\\\" \\\\ \\${HOME} \\$5 #;'\"\n" },
	{ "msg_hello = 'a \"b\" \\' \\\\ \\n ${HOME}'\n",
	  "msg_hello = \"a \\\"b\\\" ' \\\\ \\\\n \\${HOME}\"\n" },
	{ "msg_hello = \"\"\n", "msg_hello = \"\"\n" },
	{ "msg_hello = \"; # /* // = {\"\n", "msg_hello = \"; # /* // = {\"\n" },
	{ "msg_hello = Dzie\xC5\x84\n",
	  "note 1: msg_hello: is not plain ASCII; there will be a \"?\" in place of "
	  "each byte that is not\nmsg_hello = \"Dzie\xC5\x84\"\n" },
	{ "\nabuse = \"\xC5\x84@b\"\n",
	  "note 2: abuse: is not plain ASCII; there will be a \"?\" in place of each "
	  "byte that is not\nabuse = \"\xC5\x84@b\"\n" },
	{ "locale = pl_PL.UTF-8\n", "locale = \"pl_PL.UTF-8\"\n" },
	{ "nat_header_type = IP-only\nnat_header = .x\n",
	  "nat_header_type = ip-only\nnat_header = \".x\"\n" },
	{ "nat_header_type = none\n", "nat_header_type = none\n" },
	{ "nat_header_type = 2\n", "nat_header_type = ip-only\n" },
	{ "pidfile = /a//b\n", "pidfile = \"/a//b\"\n" },
	{ "outgoing_addr = 2001:db8::1\n", "outgoing_addr = \"2001:db8::1\"\n" },
	/* regular expressions */
	{ "regex_reject_helo = '^[^.]*$'\n", "regex_reject_helo = \"^[^.]*\\$\"\n" },
	{ "regex_enforce_mail_from = \"(?i)@a\\\\.b\\$\"\n",
	  "regex_enforce_mail_from = \"(?i)@a\\\\.b\\$\"\n" },
	{ "regex_enforce_rcpt_to = plain\nregex_enforce_rcpt_to = \"\"\n",
	  "note 2: regex_enforce_rcpt_to: given again; this line counts, line 1 does "
	  "not\n" },
	{ "regex_match_limit = 1000\n", "regex_match_limit = 1000\n" },
	/* lists */
	{ "bind_address = 127.0.0.1\n", "bind_address = {\"127.0.0.1\"}\n" },
	{ "bind_address = {127.0.0.1,\n \"::1\"}\n",
	  "bind_address = {\"127.0.0.1\", \"::1\"}\n" },
	{ "bind_address += 127.0.0.1\n",
	  "bind_address = {\"0.0.0.0\", \"::\", \"127.0.0.1\"}\n" },
	/* networks, as they are understood */
	{ "proxy_protocol_from = {}\n", "" },
	{ "proxy_protocol_from = 10.0.0.0/8\n",
	  "proxy_protocol_from = {\"10.0.0.0/8\"}\n" },
	{ "proxy_protocol_from = {2001:DB8::/32, \"::ffff:192.0.2.0/120\",\n"
	  "192.0.2.1/32}\nproxy_protocol_from += '::1'\n",
	  "proxy_protocol_from = {\"2001:db8::/32\", \"192.0.2.0/24\", "
	  "\"192.0.2.1\", \"::1\"}\n" },
	{ "mode = fixed\nfixed_server = a\nsend_proxy = V2\n",
	  "mode = fixed\nfixed_server = \"a\"\nsend_proxy = v2\n" },
	/* what should be known */
	{ "\nproxy_protocol_from = ::/0\n",
	  "note 2: proxy_protocol_from: ::/0 lets everybody say who they are and "
	  "where they want to go\nproxy_protocol_from = {\"::/0\"}\n" },
	{ "send_proxy = v1\n",
	  "note 1: send_proxy: unless mode is fixed, every server that clients call "
	  "must expect the header\nsend_proxy = v1\n" },
	{ "mode = fixed\nfixed_server = a\nserver_protocol = LMTP\n",
	  "mode = fixed\nfixed_server = \"a\"\nserver_protocol = lmtp\n" },
	{ "server_protocol = lmtp\n",
	  "note 1: server_protocol: unless mode is fixed, every server that clients "
	  "call must speak LMTP\nserver_protocol = lmtp\n" },
	{ "mode = fixed\nfixed_server = a\nserver_protocol = lmtp\n"
	  "auth_skip = direct\n",
	  "note 4: auth_skip: direct has no effect on clients that speak SMTP where "
	  "server_protocol is lmtp\nmode = fixed\nfixed_server = \"a\"\n"
	  "server_protocol = lmtp\nauth_skip = {direct}\n" },
	{ "port = 1\nport = 2\n",
	  "note 2: port: given again; this line counts, line 1 does not\nport = 2\n" },
	{ "bind_address = ::1\nbind_address = {127.0.0.1}\n",
	  "note 2: bind_address: given again; this line counts, line 1 does not\n"
	  "bind_address = {\"127.0.0.1\"}\n" },
	{ "bind_address = ::1\nbind_address += 127.0.0.1\n",
	  "bind_address = {\"::1\", \"127.0.0.1\"}\n" },
	{ "\nfixed_server = a\n",
	  "note 2: fixed_server: has no effect unless mode is fixed\n"
	  "fixed_server = \"a\"\n" },
	{ "\nlimit_data_size = 200M\n",
	  "note 2: limit_data_size: a signature database alone needs over 1 GiB; "
	  "loading it may fail\nlimit_data_size = 209715200\n" },
	{ "limit_virt_size = 200M\nantivirus_type = off\n",
	  "limit_virt_size = 209715200\nantivirus_type = {}\n" },
	{ "scan_max_size = 500M\n", "note 1: scan_max_size: a message larger than "
	                            "scan_max_unpacked is never scanned "
	                            "in full\nscan_max_size = 524288000\n" },
	{ "scan_max_size = 50M\nsize_limit = 60M\n",
	  "note 1: scan_max_size: is less than size_limit; messages of more than "
	  "52428800 and up to 62914560 bytes are unscannable, see on_unscannable "
	  "(pass)\nscan_max_size = 52428800\nsize_limit = 62914560\n" },
	{ "result_headers = {virus, auth}\n",
	  "note 1: result_headers: with delivery = stream none are written, for the "
	  "server has the header section before anybody has looked at the message; "
	  "those of others are removed\nresult_headers = {virus, auth}\n" },
	{ "delivery = hold\nresult_headers = {virus, spam, auth}\nantivirus_type = "
	  "off\n",
	  "note 2: result_headers: virus has no effect but to remove the header of "
	  "others, for antivirus_type is off\n"
	  "note 2: result_headers: spam has no effect but to remove the headers of "
	  "others, for antispam_type is off\n"
	  "delivery = hold\nantivirus_type = {}\nresult_headers = {virus, spam, "
	  "auth}\n" },
	{ "delivery = hold\nresult_headers = {virus, spam}\nantispam_type = rspamd\n",
	  "delivery = hold\nantispam_type = {rspamd}\nresult_headers = {virus, "
	  "spam}\n" },
	{ "authserv_id = mx.example\nauthserv_trusted = {a.example, MX.example}\n",
	  "note 2: authserv_trusted: \"MX.example\" is our own name (authserv_id, or "
	  "proxy_name); results that come in under it are removed all the same, for "
	  "anybody can have written them\n"
	  "authserv_id = \"mx.example\"\n"
	  "authserv_trusted = {\"a.example\", \"MX.example\"}\n" },
	{ "proxy_name = gate\nauthserv_trusted = gate\n",
	  "note 2: authserv_trusted: \"gate\" is our own name (authserv_id, or "
	  "proxy_name); results that come in under it are removed all the same, for "
	  "anybody can have written them\n"
	  "proxy_name = \"gate\"\nauthserv_trusted = {\"gate\"}\n" },
	{ "proxy_name = gate\nauthserv_id = mx\nauthserv_trusted = gate\n",
	  "proxy_name = \"gate\"\nauthserv_id = \"mx\"\n"
	  "authserv_trusted = {\"gate\"}\n" },
	{ "delivery = auto\nhold_noop = 300\n",
	  "note 2: hold_noop: servers may hang up after 300 seconds without a command "
	  "(RFC 5321 4.5.3.2.7), and a message that is held by then has to be sent "
	  "again; 60 is well below\ndelivery = auto\nhold_noop = 300\n" },
	{ "delivery = hold\nhold_noop = 299\n", "delivery = hold\nhold_noop = 299\n" },
	{ "hold_noop = 300\n", "hold_noop = 300\n" },
	{ "delivery = auto\non_spam = tag\nantispam_type = rspamd\n"
	  "hold_max_size = 200000\n",
	  "note 4: hold_max_size: is less than spam_max_size; spam of more than 200000 "
	  "and up to 500000 bytes is found, and passes untagged (delivery = auto)\n"
	  "delivery = auto\nhold_max_size = 200000\nantispam_type = {rspamd}\n"
	  "on_spam = tag\n" },
	{ "delivery = auto\non_spam = tag\nantispam_type = rspamd\n"
	  "hold_max_size = 500000\n",
	  "delivery = auto\nhold_max_size = 500000\nantispam_type = {rspamd}\n"
	  "on_spam = tag\n" },
	{ "delivery = auto\nantispam_type = rspamd\nhold_max_size = 200000\n",
	  "delivery = auto\nhold_max_size = 200000\nantispam_type = {rspamd}\n" },
	{ "antivirus_type = off\nscan_max_size = 50M\nsize_limit = 60M\n",
	  "antivirus_type = {}\nscan_max_size = 52428800\nsize_limit = 62914560\n" },
	{ "\nspool_memory_all = 300M\n",
	  "note 2: spool_memory_all: is part of memory_budget, and more than it; "
	  "messages have memory_budget at most\nspool_memory_all = 314572800\n" },
	{ "memory_budget = 0\nspool_memory_all = 300M\n",
	  "spool_memory_all = 314572800\nmemory_budget = 0\n" },
	{ "\ntimeout_judging = 10\ntimeout_scanner = 30\n",
	  "note 2: timeout_judging: is over before timeout_scanner; a scan that takes "
	  "longer counts as failed, not as unscannable\ntimeout_judging = 10\n" },
};

/* What is refused, in which words. */
static const struct config_row refused[] = {
	{ "\n\nprot = 1\n", "3: no such option: \"prot\"; did you mean \"port\"?\n" },
	{ "log-level = 1\n",
	  "1: no such option: \"log-level\"; did you mean \"log_level\"?\n" },
	{ "wizardry = 1\n",
	  "1: no such option: \"wizardry\"; \"smtp-gated -t\" prints all that "
	  "there are\n" },
	{ "msg_nomem = x\n",
	  "1: msg_nomem: has no effect any more: this cannot happen any "
	  "more; delete it\n" },
	{ "port = 25\nlog_mail_from = {off, accepted, rejected}\n",
	  "2: log_mail_from: \"off\" means nothing at all, and contradicts "
	  "\"accepted\"; leave out one of them\n" },
	{ "antivirus_type = {\nlibclamav,\nOFF\n}\n",
	  "3: antivirus_type: \"OFF\" means nothing at all, and contradicts "
	  "\"libclamav\"; leave out one of them\n" },
	{ "auth_skip = {none, direct}\nantispam_type = {rspamd, off}\n",
	  "1: auth_skip: \"none\" means nothing at all, and contradicts "
	  "\"direct\"; leave out one of them\n"
	  "2: antispam_type: \"off\" means nothing at all, and contradicts "
	  "\"rspamd\"; leave out one of them\n" },
	{ "policy p {\nclients = ::1\nlock_on = {virus, never}\n}\n",
	  "3: lock_on: \"never\" means nothing at all, and contradicts \"virus\"; "
	  "leave out one of them\n" },
	{ "log_rcpt_to += off\n", "1: log_rcpt_to: \"off\" means nothing at all, and "
	                          "contradicts \"first\"; leave out one of them\n" },
	{ "antispam_type = x\n", "1: antispam_type: no such word: \"x\"; allowed: off, "
	                         "spamassassin, rspamd\n" },
	{ "spam_threshold = 1.2345\n",
	  "1: spam_threshold: \"1.2345\" is no number with up to three decimals; "
	  "allowed: -1000 to 1000 points\n" },
	{ "spam_threshold = 1000.001\n",
	  "1: spam_threshold: \"1000.001\" is out of range; allowed: -1000 to 1000 "
	  "points\n" },
	{ "spam_threshold = 1e3\n",
	  "1: spam_threshold: \"1e3\" is no number with up to three decimals; "
	  "allowed: -1000 to 1000 points\n" },
	{ "antivirus_path = \"localhost:3310\"\n",
	  "1: antivirus_path: \"localhost:3310\" is no server: the absolute path of "
	  "its "
	  "socket, or ADDRESS:PORT, with an IPv6 address in brackets\n" },
	{ "antispam_path = \"::1:783\"\n",
	  "1: antispam_path: \"::1:783\" is no server: the absolute path of its "
	  "socket, or ADDRESS:PORT, with an IPv6 address in brackets\n" },
	/* no password in a message */
	{ "state_server = \"redis://:secret@\"\n",
	  "1: state_server: it has no host, "
	  "or one that cannot be, behind the \"//\"\n" },
	{ "icap_url = \"icap://127.0.0.1:1344\"\n",
	  "1: icap_url: \"icap://127.0.0.1:1344\" lacks the name of a service, as in "
	  "icap://ADDRESS:PORT/SERVICE\n" },
	{ "icap_url = \"icap://localhost/av\"\n",
	  "1: icap_url: \"icap://localhost/av\" has no numeric address, or no port: "
	  "icap://ADDRESS:PORT/SERVICE, with an IPv6 address in brackets\n" },
	{ "pid_hash_size = 1\n",
	  "1: pid_hash_size: has no effect any more: there is no such "
	  "table any more; delete it\n" },
	{ "dspam_storage = x\n",
	  "1: dspam_storage: cannot be used any more: DSPAM is no "
	  "longer supported; delete it\n" },
	/* networks */
	{ "\nproxy_protocol_from = {192.0.2.1,\n192.0.2.0/42, mx.example,\n "
	  "192.0.2.7/24}\n",
	  "3: proxy_protocol_from: \"192.0.2.0/42\" needs a number of bits behind "
	  "the \"/\", 0 to 32\n"
	  "3: proxy_protocol_from: \"mx.example\" is no network; allowed: an IPv4 or "
	  "IPv6 address, alone or as in 192.0.2.0/24\n"
	  "4: proxy_protocol_from: \"192.0.2.7/24\" has bits set behind its first "
	  "24; write 192.0.2.0/24 for the network, or 192.0.2.7 for the one "
	  "address\n" },
	{ "proxy_protocol_from = {192.0.2.0/24,\n::ffff:192.0.2.0/120}\n",
	  "2: proxy_protocol_from: \"::ffff:192.0.2.0/120\" is listed twice\n" },
	{ "proxy_protocol_from = \"\"\n",
	  "1: proxy_protocol_from: \"\" is no network; allowed: an IPv4 or IPv6 "
	  "address, alone or as in 192.0.2.0/24\n" },
	{ "proxy_protocol_from = ::1 127.0.0.1\n",
	  "1: proxy_protocol_from: more than one value needs braces and commas: {a, "
	  "b}\n" },
	{ "send_proxy = yes\n",
	  "1: send_proxy: no such word: \"yes\"; allowed: no, v1, v2\n" },
	/* numbers */
	{ "port = x\n", "1: port: \"x\" is no whole number; " RANGE_PORT },
	{ "port = \"\"\n", "1: port: \"\" is no whole number; " RANGE_PORT },
	{ "port = \" 1\"\n", "1: port: \" 1\" is no whole number; " RANGE_PORT },
	{ "port = 1.5\n", "1: port: \"1.5\" is no whole number; " RANGE_PORT },
	{ "port = 1K\n", "1: port: \"1K\" is no whole number; " RANGE_PORT },
	{ "port = 0\n", "1: port: \"0\" is out of range; " RANGE_PORT },
	{ "port = -1\n", "1: port: \"-1\" is out of range; " RANGE_PORT },
	{ "\nport = 65536\n", "2: port: \"65536\" is out of range; " RANGE_PORT },
	{ "port = 99999999999999999999\n",
	  "1: port: \"99999999999999999999\" is out of range; " RANGE_PORT },
	{ "timeout_idle = 99999999999999999999999\n",
	  "1: timeout_idle: \"99999999999999999999999\" is out of range; allowed: "
	  "1 to 86400 s, or with m, h, d\n" },
	{ "priority = -99999999999999999999\n",
	  "1: priority: \"-99999999999999999999\" is out of range; allowed: -20 to "
	  "19\n" },
	{ "port = 025\n",
	  "1: port: \"025\" may be taken for octal or hexadecimal; write a "
	  "plain decimal number\n" },
	{ "port = 0x19\n",
	  "1: port: \"0x19\" may be taken for octal or hexadecimal; write a "
	  "plain decimal number\n" },
	{ "timeout_idle = 1w\n",
	  "1: timeout_idle: \"1w\" is no whole number or has an unknown "
	  "unit; allowed: 1 to 86400 s, or with m, h, d\n" },
	{ "timeout_idle = 2d\n",
	  "1: timeout_idle: \"2d\" is out of range; allowed: 1 to 86400 "
	  "s, or with m, h, d\n" },
	{ "scan_max_size = 9G\n",
	  "1: scan_max_size: \"9G\" is out of range; allowed: 1024 to "
	  "1073741823 bytes, or with K, M, G\n" },
	{ "scan_max_size = 9000000000G\n",
	  "1: scan_max_size: \"9000000000G\" is out of range; allowed: 1024 to "
	  "1073741823 bytes, or with K, M, G\n" },
	{ "statefile_perm = 0680\n",
	  "1: statefile_perm: \"0680\" is no octal number; allowed: 0000 to 0777 "
	  "octal\n" },
	{ "statefile_perm = 1777\n",
	  "1: statefile_perm: \"1777\" is out of range; allowed: 0000 to 0777 "
	  "octal\n" },
	{ "statefile_perm = -1\n",
	  "1: statefile_perm: \"-1\" is out of range; allowed: 0000 to 0777 octal\n" },
	{ "statefile_perm = 0x1b0\n",
	  "1: statefile_perm: \"0x1b0\" is no octal number; allowed: 0000 to 0777 "
	  "octal\n" },
	{ "priority = 20\n",
	  "1: priority: \"20\" is out of range; allowed: -20 to 19\n" },
	{ "limit_fsize = -2\n",
	  "1: limit_fsize: \"-2\" is out of range; allowed: -1 to 1125899906842624 "
	  "bytes, or with K, M, G\n" },
	/* booleans and words */
	{ "statefile_type = {human,\nslot}\n",
	  "2: statefile_type: no such word: \"slot\"; allowed: human, flat, slots\n" },
	{ "statefile_type = 0\n",
	  "1: statefile_type: no such word: \"0\"; allowed: human, flat, slots\n" },
	{ "\nstatefile_type = {}\n",
	  "2: statefile_type: at least one word is needed; for no file at all let "
	  "statefile be empty\n" },
	{ "chroot_path = srv\n",
	  "1: chroot_path: \"srv\" is no absolute path: it must begin with \"/\"\n" },
	{ "set_user = \"a b\"\n",
	  "1: set_user: \"a b\" must be one word of plain ASCII, without blanks\n" },
	{ "ignore_errors = maybe\n",
	  "1: ignore_errors: \"maybe\" is neither true nor false; " WORDS_BOOL },
	{ "bare_newline = fix\n",
	  "1: bare_newline: no such word: \"fix\"; allowed: normalise, "
	  "reject, pass\n" },
	{ "bare_newline = 1\n",
	  "1: bare_newline: no such word: \"1\"; allowed: normalise, "
	  "reject, pass\n" },
	{ "log_level = 8\n",
	  "1: log_level: no such word: \"8\"; allowed: emerg, alert, crit, "
	  "err, warning, notice, info, debug\n" },
	{ "mode = pf\n",
	  "1: mode: \"pf\" is for BSD systems, and this one is for Linux; "
	  "allowed: " MODES "\n" },
	{ "mode = none\n", "1: mode: no such word: \"none\"; allowed: " MODES "\n" },
	/* strings */
	{ "proxy_name = \"\"\n", "1: proxy_name: it must not be empty\n" },
	{ "proxy_name = \"a b\"\n",
	  "1: proxy_name: \"a b\" must be one word of plain ASCII, without blanks\n" },
	{ "spool_path = msg\n",
	  "1: spool_path: \"msg\" is no absolute path: it must begin with \"/\"\n" },
	{ "spool_header = X:\n",
	  "1: spool_header: \"X:\" is no name of a header: up to 64 "
	  "characters of plain ASCII, no blank, no colon\n" },
	{ "nat_header = \"X-A: b\"\n", "1: nat_header: \"X-A: b\" is no name of a "
	                               "header: up to 64 characters of plain "
	                               "ASCII, no blank, no colon\n" },
	{ "nat_header = "
	  "a23456789b23456789c23456789d23456789e23456789f23456789g23456789hx\n",
	  "1: nat_header: "
	  "\"a23456789b23456789c23456789d23456789e23456789f23456789g23456789hx\" "
	  "is no name of a header: up to 64 characters of plain ASCII, no blank, no "
	  "colon\n" },
	{ "nat_header = \"\"\n", "1: nat_header: it must not be empty\n" },
	{ "nat_header_type = 3\n", "1: nat_header_type: no such word: \"3\"; allowed: "
	                           "none, ip-only, generic\n" },
	{ "locale = \"pl PL\"\n",
	  "1: locale: \"pl PL\" must be one word of plain ASCII, without blanks\n" },
	{ "outgoing_addr = here\n",
	  "1: outgoing_addr: \"here\" is no IPv4 or IPv6 address\n" },
	{ "bind_address = fe80::1\n",
	  "1: bind_address: \"fe80::1\" is a link-local address and needs its "
	  "interface, as in fe80::1%eth0\n" },
	{ "outgoing_addr = fe80::1%nowhere\n",
	  "1: outgoing_addr: \"fe80::1%nowhere\" is no IPv6 address, or this host "
	  "has no such interface\n" },
	{ "bind_address = {127.0.0.1, 127.0.0.1}\n",
	  "1: bind_address: \"127.0.0.1\" is listed twice\n" },
	{ "bind_address = {::1,\n0:0::1,\n::2\n}\n",
	  "2: bind_address: \"0:0::1\" is listed twice\n" },
	{ "bind_address += ::\n", "1: bind_address: \"::\" is listed twice\n" },
	{ "bind_address = {::1,\n10.0.0.256}\n",
	  "2: bind_address: \"10.0.0.256\" is no IPv4 or IPv6 address\n" },
	{ "bind_address = {}\n", "1: bind_address: at least one address is needed\n" },
	{ "\nbind_address = {\"\"}\n", "2: bind_address: it must not be empty\n" },
	{ "mode = fixed\n",
	  "1: mode: fixed needs fixed_server, an address or a host name\n" },
	{ "on_spam_suspect = tag\n",
	  "1: on_spam_suspect: tag needs delivery = hold, or auto: with stream the "
	  "server has the subject before anybody has looked at the message\n" },
	{ "delivery = stream\non_spam = tag\n",
	  "2: on_spam: tag needs delivery = hold, or auto: with stream the server "
	  "has the subject before anybody has looked at the message\n" },
	{ "on_virus = tag\n", "1: on_virus: no such word: \"tag\"; allowed: pass, "
	                      "defer, refuse, hangup\n" },
	{ "authserv_id = 'a;b'\n",
	  "1: authserv_id: must be a name of letters, digits, and any of .-_\n" },
	{ "authserv_trusted = 'a:b'\nauthserv_id = 'a:b'\n",
	  "2: authserv_id: must be a name of letters, digits, and any of .-_\n" },
	{ "authserv_trusted = {a, 'b;'}\n",
	  "1: authserv_trusted: must be names of letters, digits, and any of .-_:\n" },
	{ "subject_tag = \"a\xff\"\n",
	  "1: subject_tag: must be UTF-8 without control characters, at most 100 "
	  "bytes\n" },
	{ "spf = fixed\n", "1: spf: fixed needs spf_fixed_ip, an address\n" },
	{ "antivirus_type = {clamd, icap}\nantivirus_path = {}\n",
	  "1: antivirus_type: clamd needs antivirus_path, whom to ask\n"
	  "1: antivirus_type: icap needs icap_url, whom to ask\n" },
	{ "antispam_type = {spamassassin, rspamd}\nantispam_path = {}\nrspamd_url = "
	  "{}\n",
	  "1: antispam_type: spamassassin needs antispam_path, whom to ask\n"
	  "1: antispam_type: rspamd needs rspamd_url, whom to ask\n" },
	{ "spf_fixed_ip = mx.example.test\n",
	  "1: spf_fixed_ip: \"mx.example.test\" is no IPv4 or IPv6 address\n" },
	/* syntax: one option in a line, and all of its value */
	{ "x = 1\nport 25\n",
	  "1: no such option: \"x\"; \"smtp-gated -t\" prints all that "
	  "there are\n2: port: there is no \"=\" between name and value\n" },
	{ "port = 1\nport 25\n",
	  "2: port: there is no \"=\" between name and value\n" },
	{ "port = 1\nprot 25\n",
	  "2: no such option: \"prot\"; did you mean \"port\"?\n" },
	{ "port\n=\n25\n", "1: port: there is no \"=\" between name and value\n"
	                   "2: " NO_NAME "3: no such option: \"25\"; \"smtp-gated -t\" "
	                   "prints all that there are\n" },
	{ "port =\n",
	  "1: port: there is no value in this line; write it behind the \"=\"\n" },
	{ "port = 1\nfixed_server =\n", "2: fixed_server: " NO_VALUE },
	{ "fixed_server =", "1: fixed_server: " NO_VALUE },
	{ "fixed_server =\nport = 2525\n", "1: fixed_server: " NO_VALUE },
	{ "fixed_server = # none\n\n\nport = 2525\n", "1: fixed_server: " NO_VALUE },
	{ "port == 1\n", "1: port: \"=\" needs quotes around its value\n" },
	{ "port = {1}\n", "1: port: there is only one value, without braces\n" },
	{ "}\n", "1: \"}\" ends nothing: no section is open here\n" },
	{ "\"port\" = 1\n", "1: " NO_NAME },
	{ "port = 25 mode = netfilter\n",
	  "1: port: \"mode\" must begin a line: one option in each\n" },
	{ "port = 25 /* a\n*/ mode = netfilter\nprot = 1\n",
	  "3: no such option: \"prot\"; did you mean \"port\"?\n" },
	{ "msg_hello = Hello there\n", "1: msg_hello: " NEEDS_QUOTES("there") },
	{ "msg_hello = it's\nport = 1 'x'\n",
	  "1: a string begins with ' and does not end in this line\n"
	  "2: port: \"'x'\" is not part of the value; a comment begins with "
	  "\"#\"\n" },
	{ "msg_hello = \"Hello\" \"there\"\n",
	  "1: msg_hello: " NEEDS_QUOTES("\"there\"") },
	{ "regex_reject_helo = '^(a'\n",
	  "1: regex_reject_helo: \"^(a\" is no regular expression: missing closing "
	  "parenthesis, at byte 3\n" },
	{ "\nregex_enforce_mail_from = 'a)'\npolicy p {\nregex_reject_rcpt_to = "
	  "'[z-a]'\n}\n",
	  "2: regex_enforce_mail_from: \"a)\" is no regular expression: unmatched "
	  "closing parenthesis, at byte 1\n"
	  "4: regex_reject_rcpt_to: \"[z-a]\" is no regular expression: range out of "
	  "order in character class, at byte 3\n" },
	{ "regex_enforce_rcpt_to = a b\n",
	  "1: regex_enforce_rcpt_to: " NEEDS_QUOTES("b") },
	{ "msg_hello = a=b\n", "1: msg_hello: " NEEDS_QUOTES("=") },
	{ "msg_hello = a, b\n", "1: msg_hello: " NEEDS_QUOTES(",") },
	{ "msg_hello = a#b\n", "1: " NO_COMMENT },
	{ "port = 25# the usual\n", "1: " NO_COMMENT },
	{ "timeout_idle = 5 m\n",
	  "1: timeout_idle: there must be no blank in a number: write 5m\n" },
	{ "scan_max_size = 50 M\n",
	  "1: scan_max_size: there must be no blank in a number: write 50M\n" },
	{ "port = 25 26\n",
	  "1: port: there must be no blank in a number: write 2526\n" },
	{ "port = 25 ; the usual\n",
	  "1: port: a comment behind a value begins with \"#\"; \";\" is one at the "
	  "beginning of a line only\n" },
	{ "mode = netfilter really\n",
	  "1: mode: \"really\" is not part of the value; a comment begins with "
	  "\"#\"\n" },
	{ "bind_address = 1.2.3.4 5.6.7.8\n", "1: bind_address: " NEEDS_BRACES },
	{ "bind_address = a, b\n", "1: bind_address: " NEEDS_BRACES },
	{ "statefile_type = human, flat\n", "1: statefile_type: " NEEDS_BRACES },
	{ "bind_address = {::1\n::2}\n",
	  "2: bind_address: \",\" is missing before ::2\n" },
	{ "\nbind_address = {::1,\n::2\nport = 1\nprot = 1\n",
	  "2: bind_address: the list that begins here does not end: \"}\" is "
	  "missing\n5: no such option: \"prot\"; did you mean \"port\"?\n" },
	/* syntax: what libconfuse says itself */
	{ "port += 1\n", "1: attempt to append to non-list option 'port'\n" },
	{ "bind_address = {,}\n", "1: unexpected token ','\n" },
	/* syntax: what it would take for something else */
	{ "proxy_name = *\n", "1: \"*\" needs quotes around its value\n" },
	{ "msg_hello = a+b\n", "1: \"+\" needs quotes around its value\n" },
	{ "msg_hello = (a)\n", "1: \"(\" needs quotes around its value\n" },
	{ "port = 1\nmsg_hello = \"a\nmode = fixed\n",
	  "2: a string begins with \" and does not end in this line\n" },
	{ "msg_hello = 'a\nport = 2\n",
	  "1: a string begins with ' and does not end in this line\n" },
	{ "msg_hello = 'a",
	  "1: a string begins with ' and does not end in this line\n" },
	{ "msg_hello = \"a\\", "1: a backslash in a string must be one of \\\" \\\\ "
	                       "\\$; or use 'single quotes'\n" },
	{ "msg_hello = \"a\\nb\"", "1: a backslash in a string must be one of \\\" "
	                           "\\\\ \\$; or use 'single quotes'\n" },
	{ "\n/* a\n\n",
	  "2: the comment that begins here with /* does not end: */ is missing\n" },
	{ "msg_hello = \"${HOME}\"\n",
	  "1: ${...} is not replaced by anything here; for these "
	  "very characters write \"\\${\" or '${'\n" },
	{ "msg_hello = ${HOME}\n",
	  "1: ${...} is not replaced by anything here; for these very "
	  "characters write \"\\${\" or '${'\n" },
	{ "\nmsg_hello = \"\033[31m\"\n",
	  "2: there is a control character in a string\n" },
	{ "port = \0012\n", "1: there is a control character\n" },
	{ "port = 1\rport = 2\n", "1: there is a control character\n" },
	/* more than one */
	{ "mode = fixed\nstatefile_type = {}\nbind_address = {}\n",
	  "1: mode: fixed needs fixed_server, an address or a host name\n"
	  "2: statefile_type: at least one word is needed; for no file at all let "
	  "statefile be empty\n"
	  "3: bind_address: at least one address is needed\n" },
	{ "port = x\nprot = 1\nmsg_hello = \"\nmode = no\nbind_address = {a,\nb\n}\n"
	  "max_connections = 0\n",
	  "1: port: \"x\" is no whole number; " RANGE_PORT
	  "2: no such option: \"prot\"; did you mean \"port\"?\n"
	  "3: a string begins with \" and does not end in this line\n"
	  "4: mode: no such word: \"no\"; allowed: " MODES "\n"
	  "5: bind_address: \"a\" is no IPv4 or IPv6 address\n"
	  "6: bind_address: \"b\" is no IPv4 or IPv6 address\n"
	  "8: max_connections: \"0\" is out of range; allowed: 1 to 1000000\n" },
	{ "port = 0\n*\n*\n*\n*\n*\n*\n*\n*\n*\n*\n",
	  "1: port: \"0\" is out of range; " RANGE_PORT STAR(2) STAR(3) STAR(4) STAR(5)
	          STAR(6) STAR(7) STAR(8) STAR(9) STAR(10) },
};

#define ROWS(rows) rows, sizeof(rows) / sizeof(rows[0])

static void
test_accepted(void **state)
{
	(void)state;
	config_rows_check(ROWS(accepted), config_row_outcome);
}

static void
test_refused(void **state)
{
	(void)state;
	config_rows_check(ROWS(refused), config_row_outcome);
}

/* libconfuse's lexer must not stay inside of what a broken file left open. */
static void
test_broken_then_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		char *outcome = config_row_outcome(refused[i].text);

		free(outcome);
		outcome = config_row_outcome("port = 25\n");
		assert_string_equal(outcome, "port = 25\n");
		free(outcome);
	}
}

static void
refuses_file(const char *file, const char *expected)
{
	char why[256];

	assert_null(config_load(file, why, sizeof(why), NULL, NULL));
	assert_string_equal(why, expected);
}

#define NO_FILE \
	": is no regular file; a configuration is not read from a pipe, socket or " \
	"device"

static void
test_fifo_and_socket(void **state)
{
	char directory[] = "/tmp/test_config.XXXXXX", why[256];
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	char *fifo, *expected;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_non_null(mkdtemp(directory));
	fifo = xasprintf("%s/f", directory);
	expected = xasprintf("%s" NO_FILE, fifo);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_null(config_load(fifo, why, sizeof(why), NULL, NULL));
	assert_string_equal(why, expected);
	unlink(fifo);
	memcpy(name.sun_path, fifo, strlen(fifo));
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_null(config_load(fifo, why, sizeof(why), NULL, NULL));
	assert_string_equal(why, expected);
	unlink(fifo);
	rmdir(directory);
	close(fd);
	free(expected);
	free(fifo);
}

static void
test_too_large(void **state)
{
	char *text = xcalloc(1, CONFIG_LARGEST_FILE + 2), *file, *expected;

	(void)state;
	memset(text, '\n', CONFIG_LARGEST_FILE + 1);
	file = config_row_write(text, CONFIG_LARGEST_FILE + 1);
	expected = xasprintf(
		"%s: is larger than 262144 bytes: this is no configuration file", file);
	refuses_file(file, expected);
	unlink(file);
	free(expected);
	free(file);
	free(text);
}

static void
test_no_file(void **state)
{
	char *file = config_row_write("port = 1\nport\0 = 2", 18), expected[256];

	(void)state;
	refuses_file("/nowhere/at.all",
	             "/nowhere/at.all: cannot be opened: No such file or directory");
	refuses_file("/tmp", "/tmp: cannot be read: Is a directory");
	refuses_file("", "the name of the configuration file is empty");
	refuses_file("/dev/zero", "/dev/zero" NO_FILE);
	snprintf(expected, sizeof(expected),
	         "%s:2: there is a NUL byte: this is no text file", file);
	refuses_file(file, expected);
	unlink(file);
	free(file);
}

/* ---- a file in a directory ---------------------------------------------------------- */

static void
test_load_at(void **state)
{
	char *file = config_row_write("port = 25\n", 10), *bad, why[256];
	int directory = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct config *cfg;

	(void)state;
	assert_true(directory >= 0);
	cfg = config_load_at(directory, strrchr(file, '/') + 1, "/shown/conf", why,
	                     sizeof(why), NULL, NULL);
	assert_non_null(cfg);
	assert_int_equal(cfg->port, 25);
	assert_string_equal(cfg->file, "/shown/conf");
	config_drop(cfg);
	unlink(file);
	assert_null(config_load_at(directory, strrchr(file, '/') + 1, "/shown/conf",
	                           why, sizeof(why), NULL, NULL));
	assert_string_equal(why,
	                    "/shown/conf: cannot be opened: No such file or directory");
	bad = config_row_write("\nport = x\n", 10);
	assert_null(config_load_at(directory, strrchr(bad, '/') + 1, "/shown/conf", why,
	                           sizeof(why), NULL, NULL));
	assert_string_equal(why,
	                    "/shown/conf:2: port: \"x\" is no whole number; allowed: "
	                    "1 to 65535");
	unlink(bad);
	free(bad);
	free(file);
	close(directory);
}

/* ---- texts of a length -------------------------------------------------------------- */

static char *
outcome_of_length(const char *name, char first, size_t size)
{
	char *value = xmalloc(size + 1), *text, *outcome;

	memset(value, 'x', size);
	value[0] = first;
	value[size] = '\0';
	text = xasprintf("%s = %s\n", name, value);
	outcome = config_row_outcome(text);
	free(text);
	free(value);
	return outcome;
}

static void
test_lengths(void **state)
{
	static const struct {
		const char *name;
		char first;
		size_t size;
		const char *complaint;
	} rows[] = {
		{ "msg_hello", 'x', 400, NULL },
		{ "msg_hello", 'x', 401, "1: msg_hello: is longer than 400 bytes\n" },
		{ "regex_reject_helo", 'x', 1000, NULL },
		{ "regex_reject_helo", 'x', 1001,
		  "1: regex_reject_helo: is longer than 1000 bytes\n" },
		{ "spool_path", '/', 1000, NULL },
		{ "spool_path", '/', 1001,
		  "1: spool_path: is longer than 1000 bytes\n" },
		{ "spool_path", 'x', 100000,
		  "1: spool_path: is longer than 1000 bytes\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *outcome = outcome_of_length(rows[i].name, rows[i].first,
		                                  rows[i].size);

		if (rows[i].complaint)
			assert_string_equal(outcome, rows[i].complaint);
		else
			assert_int_equal(outcome[0], rows[i].name[0]);
		free(outcome);
	}
}

/* ---- there and back ----------------------------------------------------------------- */

static char *
dump(const struct config *cfg, bool texts)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	config_dump(cfg, texts, out);
	fclose(out);
	return text;
}

/* As a file has it. */
static void
number_of(const struct option *opt, int64_t number, char *text, size_t size)
{
	FILE *out = fmemopen(text, size, "w");

	assert_non_null(out);
	option_print_number(opt, number, out);
	fclose(out);
}

static void
same(const struct config *a, const struct config *b)
{
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE; opt++)
		if (!option_equal(opt, a, b))
			fail_msg("%s is not the same", opt->name);
}

static void
test_dump_reads_back(void **state)
{
	static const char *const texts[] = {
		"",
		"msg_hello = \"\\\"\\\\\\${x}'#;/*\"\nbind_address = {\"::1\", "
		"10.0.0.1}\n"
		"mode = fixed\nfixed_server = \"#a\"\nscan_encrypted = no\nlog_level = "
		"0\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct config *cfg = config_row_load(texts[i]), *again;
		char *text = dump(cfg, true);

		again = config_row_load(text);
		same(cfg, again);
		config_drop(again);
		config_drop(cfg);
		free(text);
	}
}

/* Every option away from its default, one by one. */
static void
test_each_option_reads_back(void **state)
{
	(void)state;
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE;
	     opt++) {
		struct config *cfg = config_row_load(
				      "mode = fixed\nfixed_server = here\n"
				      "delivery = auto\n"), /* for tag */
			*again;
		char number[32], *text;

		if (opt->flags & (OPT_ONLY_LISTEN | OPT_ONLY_POLICY)) {
			config_drop(cfg);
			continue;
		}
		if (opt->kind == OPTION_BOOL)
			option_set(cfg, opt,
			           *(bool *)option_field(cfg, opt) ? "0" : "1");
		if (opt->kind == OPTION_WORD || opt->kind == OPTION_MASK)
			option_set(cfg, opt, opt->words[1].text);
		if (opt->kind == OPTION_NETS)
			option_set(cfg, opt, "192.0.2.0/24");
		if (opt->kind == OPTION_INT) {
			number_of(opt, opt->high, number, sizeof(number));
			option_set(cfg, opt, number);
		}
		if (opt->kind == OPTION_TEXT || opt->kind == OPTION_REGEX)
			option_set(cfg, opt, " \"${odd}\" \\ ");
		text = dump(cfg, true);
		again = config_row_load(text);
		same(cfg, again);
		config_drop(again);
		config_drop(cfg);
		free(text);
	}
}

/* smtp-gated -t | sed -e 's/^[^#]/;&/': all that is there is commented out. */
static void
test_dump_as_template(void **state)
{
	struct config *cfg = config_row_load(""), *again;
	char *text = dump(cfg, true);
	char *template = xmalloc(2 * strlen(text) + 1), *to = template;

	(void)state;
	for (const char *at = text; *at; at++) {
		if ((at == text || at[-1] == '\n') && !strchr("#\n", *at))
			*to++ = ';';
		*to++ = *at;
	}
	*to = '\0';
	assert_non_null(strstr(template, "\n;port = 9199\n"));
	again = config_row_load(template);
	same(cfg, again);
	config_drop(again);
	config_drop(cfg);
	free(template);
	free(text);
}

static void
test_dump_looks(void **state)
{
	struct config *cfg = config_row_load("");
	char *text = dump(cfg, false), *whole = dump(cfg, true), *rest;

	(void)state;
	assert_non_null(strstr(text, "\n\n## Spool\n\n"));
	assert_non_null(strstr(
		text,
		"\n# TCP port to listen on. Allowed: 1 to 65535. [listener, restart]\n"
		"port = 9199\n"));
	assert_non_null(strstr(text,
	                       "\n# Connecting to a server. Allowed: 1 to 3600 s.\n"
	                       "timeout_connect = 30\n"));
	assert_non_null(strstr(text, "Any of: off, libclamav,\n"
	                             "# clamd, icap.\n"
	                             "antivirus_type = {libclamav}\n"));
	assert_null(strstr(text, "msg_"));
	assert_null(strstr(text, "## Texts"));
	assert_non_null(strstr(whole, "\nmsg_hello = \"Hello\"\n"));
	for (char *line = strtok_r(whole, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest))
		if (*line == '#' && strlen(line) > 80)
			fail_msg("too long: %s", line);
	free(whole);
	free(text);
	config_drop(cfg);
}

/* ---- the rest ----------------------------------------------------------------------- */

static void
test_show(void **state)
{
	struct config *cfg = config_row_load("");
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	assert_true(config_show(cfg, "bind_address", out));
	assert_true(config_show(cfg, "msg_hello", out));
	assert_false(config_show(cfg, "bind_addres", out));
	assert_false(config_show(cfg, "", out));
	fclose(out);
	assert_string_equal(
		text, "bind_address = {\"0.0.0.0\", \"::\"}\nmsg_hello = \"Hello\"\n");
	free(text);
	config_drop(cfg);
}

static void
test_nearest(void **state)
{
	static const struct {
		const char *name, *nearest;
	} rows[] = {
		{ "prt", "port" },
		{ "timeout_scaner", "timeout_scanner" },
		{ "Timeout_Idle", "timeout_idle" },
		{ "scan_maxsize", "scan_max_size" },
		{ "max_conections", "max_connections" },
		{ "msg_virus", "on_virus" },
		{ "", NULL },
		{ "something_else_altogether", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *nearest = config_nearest(rows[i].name);

		if (rows[i].nearest)
			assert_string_equal(nearest ? nearest : "-", rows[i].nearest);
		else
			assert_string_equal(nearest ? nearest : "-", "-");
	}
}

static void
collect(const char *listener, const char *name, void *arg)
{
	fprintf(arg, "%s%s%s ", listener ?: "", listener ? ":" : "", name);
}

static void
test_keep(void **state)
{
	struct config *running = config_row_load(
		"mode = fixed\nfixed_server = 127.0.0.9\nset_user = mail\n"
		"bind_address = {127.0.0.1, ::1}\n");
	struct config *fresh = config_row_load(
		"port = 26\nbind_address = ::1\nmax_connections = 3\n"
		"pidfile = \"\"\nstatefile_type = flat\n");
	char *text, why[256], address[ADDR_TEXT_SIZE];
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	assert_true(config_resolve(running, why, sizeof(why)));
	config_keep(fresh, running, collect, out);
	config_keep(fresh, running, collect, out); /* nothing is left that differs */
	fclose(out);
	assert_string_equal(text, "bind_address port pidfile set_user mode "
	                          "fixed_server ");
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE; opt++)
		if (opt->flags & OPT_RESTART)
			assert_true(option_equal(opt, fresh, running));
	assert_int_equal(fresh->max_connections, 3);
	assert_int_equal(fresh->statefile_type, STATEFILE_FLAT);
	assert_string_equal(addr_full(&fresh->fixed, address), "127.0.0.9:25");
	free(text);
	config_drop(running);
	assert_string_equal(fresh->set_user, "mail"); /* its own copies */
	assert_string_equal(fresh->bind_address.at[1], "::1");
	config_drop(fresh);
}

static void
test_hold_and_drop(void **state)
{
	struct config *cfg = config_row_load("");

	(void)state;
	assert_ptr_equal(config_hold(cfg), cfg);
	assert_int_equal(cfg->references, 2);
	config_drop(cfg);
	assert_int_equal(cfg->references, 1);
	config_drop(cfg);
	config_drop(NULL);
}

static void
test_resolve(void **state)
{
	struct config *cfg = config_row_load("");
	char why[256] = "", text[ADDR_TEXT_SIZE];

	(void)state;
	assert_true(config_resolve(cfg, why, sizeof(why)));
	config_drop(cfg);
	cfg = config_row_load(
		"mode = fixed\nfixed_server = 2001:db8::25\nfixed_server_port = 26\n");
	assert_true(config_resolve(cfg, why, sizeof(why)));
	assert_string_equal(addr_full(&cfg->fixed, text), "[2001:db8::25]:26");
	config_drop(cfg);
	cfg = config_row_load("mode = fixed\nfixed_server = no..name\n");
	assert_false(config_resolve(cfg, why, sizeof(why)));
	assert_non_null(
		strstr(why, ": fixed_server: \"no..name\" cannot be looked up: "));
	config_drop(cfg);
}

static void
test_samples(void **state)
{
	static const struct {
		const char *file;
		int mode;
	} rows[] = {
		{ SOURCE_DIR "/conf/fixed.conf", ROUTE_BY_FIXED },
		{ SOURCE_DIR "/conf/fixed-xclient.conf", ROUTE_BY_FIXED_XCLIENT },
		{ SOURCE_DIR "/conf/nat.conf", ROUTE_BY_NETFILTER },
		{ SOURCE_DIR "/conf/remote.conf", ROUTE_BY_REMOTE_UDP },
		{ SOURCE_DIR "/conf/nat-advanced.conf", ROUTE_BY_NETFILTER },
		{ SOURCE_DIR "/conf/tproxy.conf", ROUTE_BY_TPROXY },
	};
	char why[512];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config *cfg = config_load(rows[i].file, why, sizeof(why), NULL,
		                                 NULL);

		if (!cfg)
			fail_msg("%s", why);
		assert_false(cfg->legacy);
		assert_int_equal(cfg->mode, rows[i].mode);
		config_drop(cfg);
	}
}

/* The rows of options.def themselves: each default is a value that may be given. */
static void
test_defaults_are_allowed(void **state)
{
	struct config *cfg = config_row_load("");
	char why[512];

	(void)state;
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE;
	     opt++) {
		const struct string_list *list = option_field(cfg, opt);
		char number[32];

		if (opt->kind == OPTION_INT) {
			number_of(opt, *(int64_t *)option_field(cfg, opt), number,
			          sizeof(number));
			assert_true(option_check(opt, number, why, sizeof(why)));
		}
		if (opt->kind == OPTION_STR || opt->kind == OPTION_TEXT)
			assert_true(option_check(opt, *(char **)option_field(cfg, opt),
			                         why, sizeof(why)));
		for (size_t i = 0; opt->kind == OPTION_LIST && i < list->count; i++)
			assert_true(option_check(opt, list->at[i], why, sizeof(why)));
		if (opt->name)
			assert_false(config_old_option(opt->name, strlen(opt->name),
			                               why, sizeof(why)));
	}
	config_drop(cfg);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_broken_then_good),
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_fifo_and_socket),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_load_at),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_dump_reads_back),
		cmocka_unit_test(test_each_option_reads_back),
		cmocka_unit_test(test_dump_as_template),
		cmocka_unit_test(test_dump_looks),
		cmocka_unit_test(test_show),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_keep),
		cmocka_unit_test(test_hold_and_drop),
		cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_samples),
		cmocka_unit_test(test_defaults_are_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
