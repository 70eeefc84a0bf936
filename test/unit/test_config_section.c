#include "config_rows.h"

/*
 * Listen and policy sections: what is understood, what is refused and in which words.
 */

/* It is another each time. */
static void
hide_name(char *text)
{
	size_t size = strlen(config_row_file);
	char *at;

	while ((at = strstr(text, config_row_file))) {
		memcpy(at, "FILE", 4);
		memmove(at + 4, at + size, strlen(at + size) + 1);
	}
}

/* What is noted, then the sections as they are printed; or the complaints. */
static char *
sections_of(const char *text)
{
	char why[4096], *outcome, *dump;
	size_t size;
	FILE *out = open_memstream(&outcome, &size), *dumped;
	struct config *cfg;

	config_row_file = config_row_write(text, strlen(text));
	cfg = config_load(config_row_file, why, sizeof(why), config_row_note, out);
	if (cfg) {
		dumped = open_memstream(&dump, &size);
		config_dump(cfg, true, dumped);
		fclose(dumped);
		for (char *at = dump; (at = strchr(at, '\n')); at++)
			if (strncmp(at, "\nlisten \"", 9) == 0 ||
			    strncmp(at, "\npolicy \"", 9) == 0) {
				fputs(at + 1, out);
				break;
			}
		free(dump);
	} else {
		config_row_complaints(why, out);
	}
	config_drop(cfg);
	fclose(out);
	unlink(config_row_file);
	hide_name(outcome);
	free(config_row_file);
	return outcome;
}

static const struct config_row accepted[] = {
	{ "port = 25\n", "" },
	{ "listen \"in\" {\n\tport = 26\n}\n", "listen \"in\" {\n\tport = 26\n}\n" },
	{ "listen in {\nport=26\n}", "listen \"in\" {\n\tport = 26\n}\n" },
	{ "listen 'in' { # inside\n// a comment\n\n ; another\nport = 26 # its port\n} "
	  "/* the end */",
	  "listen \"in\" {\n\tport = 26\n}\n" },
	{ "policy \"a.b-c_9\" {\n\tclients = {10.0.0.0/8,\n\t\t\"2001:db8::/32\"\n}\n\t"
	  "scan_max_size = 2M\n}\n",
	  "policy \"a.b-c_9\" {\n\tclients = {\"10.0.0.0/8\", \"2001:db8::/32\"}\n\t"
	  "scan_max_size = 2097152\n}\n" },
	{ "policy a {\nmsg_hello = \"} \\\"x\\\" {\"\n}\n",
	  "policy \"a\" {\n\tmsg_hello = \"} \\\"x\\\" {\"\n}\n" },
	/* the same name for both kinds; the order of the file */
	{ "policy b {\nantivirus_type = off\nservers = 192.0.2.1\n}\nlisten b {\nport "
	  "= "
	  "26\n}\n"
	  "policy a {\nlisteners = {default, b}\n}\n",
	  "listen \"b\" {\n\tport = 26\n}\n\npolicy \"b\" {\n\tservers = "
	  "{\"192.0.2.1\"}\n\tantivirus_type = {}\n}\n\npolicy \"a\" {\n\tlisteners = "
	  "{\"default\", \"b\"}\n}\n" },
	/* only sections listen; one has no address of its own */
	{ "bind_address = {}\nlisten a {\naddress = 127.0.0.1\n}\nlisten b {\naddress "
	  "= "
	  "{}\n}\n",
	  "listen \"a\" {\n\taddress = {\"127.0.0.1\"}\n}\n\nlisten \"b\" {\n\taddress "
	  "= "
	  "{}\n}\n" },
	/* the main part need not be complete then */
	{ "bind_address = {}\nmode = fixed\nlisten a {\naddress = "
	  "127.0.0.1\nfixed_server "
	  "= here\n}\n",
	  "listen \"a\" {\n\taddress = {\"127.0.0.1\"}\n\tfixed_server = "
	  "\"here\"\n}\n" },
	/* what the main part says behind a section is for it as well */
	{ "listen a {\nmode = fixed\nport = 1\n}\nfixed_server = here\n",
	  "listen \"a\" {\n\tport = 1\n\tmode = fixed\n}\n" },
	/* what should be known */
	{ "listen a {\nport = 1\nport = 2\n}\nlisten b {\nport = 3\n}\nport = 4\n",
	  "note 3: port: given again; this line counts, line 2 does not\n"
	  "listen \"a\" {\n\tport = 2\n}\n\nlisten \"b\" {\n\tport = 3\n}\n" },
	{ "policy a {\nscan_max_size = 500M\n}\n",
	  "note 2: policy \"a\": scan_max_size: a message larger than "
	  "scan_max_unpacked "
	  "is never scanned in full\npolicy \"a\" {\n\tscan_max_size = "
	  "524288000\n}\n" },
	{ "timeout_judging = 10\nlisten a {\nport = 1\ntimeout_judging = 11\n}\n",
	  "note 1: timeout_judging: is over before timeout_scanner; a scan that takes "
	  "longer counts as failed, not as unscannable\n"
	  "note 4: listen \"a\": timeout_judging: is over before timeout_scanner; a "
	  "scan "
	  "that takes longer counts as failed, not as unscannable\n"
	  "listen \"a\" {\n\tport = 1\n\ttimeout_judging = 11\n}\n" },
	{ "listen a {\nport = 1\nfixed_server = here\n}\n",
	  "note 3: listen \"a\": fixed_server: has no effect unless mode is fixed\n"
	  "listen \"a\" {\n\tport = 1\n\tfixed_server = \"here\"\n}\n" },
	/* a scanner that some have is for what others say of it */
	{ "delivery = hold\nresult_headers = spam\npolicy a {\nclients = 192.0.2.1\n"
	  "antispam_type = rspamd\n}\n",
	  "policy \"a\" {\n\tclients = {\"192.0.2.1\"}\n\tantispam_type = "
	  "{rspamd}\n}\n" },
	{ "delivery = hold\nantispam_type = rspamd\npolicy a {\nantispam_type = off\n"
	  "result_headers = spam\n}\n",
	  "note 5: policy \"a\": result_headers: spam has no effect but to remove the "
	  "headers of others, for antispam_type is off\n"
	  "policy \"a\" {\n\tantispam_type = {}\n\tresult_headers = {spam}\n}\n" },
	{ "listen a {\nport = 1\nantispam_type = rspamd\ndelivery = hold\n}\n"
	  "policy b {\nlisteners = a\nhold_noop = 5m\nresult_headers = spam\n}\n",
	  "note 8: policy \"b\": hold_noop: servers may hang up after 300 seconds "
	  "without "
	  "a command (RFC 5321 4.5.3.2.7), and a message that is held by then has to "
	  "be "
	  "sent again; 60 is well below\n"
	  "listen \"a\" {\n\tport = 1\n\tdelivery = hold\n\tantispam_type = "
	  "{rspamd}\n}\n\npolicy \"b\" {\n\tlisteners = {\"a\"}\n\thold_noop = 300\n"
	  "\tresult_headers = {spam}\n}\n" },
	{ "delivery = auto\nantispam_type = rspamd\npolicy a {\non_spam = tag\n"
	  "hold_max_size = 4096\nclients = ::1\n}\n",
	  "note 5: policy \"a\": hold_max_size: is less than spam_max_size; spam of "
	  "more "
	  "than 4096 and up to 500000 bytes is found, and passes untagged (delivery = "
	  "auto)\npolicy \"a\" {\n\tclients = {\"::1\"}\n\thold_max_size = 4096\n"
	  "\ton_spam = tag\n}\n" },
	{ "policy a {\nantivirus_type = off\n}\npolicy b {\nclients = 192.0.2.1\n}\n",
	  "note 1: policy \"a\": is for everything, so that no policy behind it ever "
	  "applies\npolicy \"a\" {\n\tantivirus_type = {}\n}\n\npolicy \"b\" "
	  "{\n\tclients "
	  "= {\"192.0.2.1\"}\n}\n" },
	{ "limit_virt_size = 1M\nantivirus_type = off\npolicy a {\nclients = "
	  "192.0.2.1\n"
	  "antivirus_type = libclamav\n}\n",
	  "note 1: limit_virt_size: a signature database alone needs over 1 GiB; "
	  "loading "
	  "it may fail\npolicy \"a\" {\n\tclients = {\"192.0.2.1\"}\n\tantivirus_type "
	  "= "
	  "{libclamav}\n}\n" },
};

#define NO_END(line) \
#line ": the section that begins here does not end: \"}\" is missing\n"
#define BRACE      "\"{\" must follow the name of the section, in the same line\n"
#define NAME(word) "a section needs a name: " word " \"name\" {\n"
#define LETTERS    " is no name of a section: letters, digits and -_. only, 64 at most\n"
#define PROCESS    "is for the whole daemon, and cannot stand in a section\n"

static const struct config_row refused[] = {
	/* policies with the listeners that they are for */
	{ "listen a {\nport = 1\n}\npolicy b {\nlisteners = a\non_spam = tag\n}\n",
	  "6: policy \"b\": on_spam: tag needs delivery = hold, or auto: with stream "
	  "the "
	  "server has the subject before anybody has looked at the message\n" },
	{ "delivery = hold\nlisten a {\nport = 1\ndelivery = stream\n}\npolicy b {\n"
	  "on_spam = tag\n}\n",
	  "7: policy \"b\": on_spam: tag needs delivery = hold, or auto: with stream "
	  "the "
	  "server has the subject before anybody has looked at the message\n" },
	/* the shape */
	{ "\nlisten \"in\" {\nport = 1\n", NO_END(2) },
	{ "listen a {\nport = 1\n\nlisten b {\nport = 2\n}\n",
	  "4: a section cannot begin within another: is the \"}\" of that in line 1 "
	  "missing?\n" },
	{ "listen {\nport = 1\n}\n", "1: " NAME("listen") },
	{ "policy\nforbid_starttls = 1\n", "1: " NAME("policy") NO_END(1) },
	{ "policy\nport = 1\n",
	  "1: " NAME("policy")
	          NO_END(1) "2: port: is needed before a policy is found, and "
	                    "cannot stand in one; it may stand in a listen section\n" },
	{ "policy \"\" {\nclients = 192.0.2.1\n}\n", "1: \"\"" LETTERS },
	{ "policy \"a b\" {\nclients = 192.0.2.1\n}\n", "1: \"a b\"" LETTERS },
	{ "policy \"a b\" {\nclients = 192.0.2.1\n}\npolicy a {\nclients = "
	  "192.0.2.1\n}\n",
	  "1: \"a b\"" LETTERS },
	{ "policy a/b {\nclients = 192.0.2.1\n}\n", "1: a/b" LETTERS },
	{ "policy "
	  "a123456789b123456789c123456789d123456789e123456789f123456789abcde {\n"
	  "clients = 192.0.2.1\n}\n",
	  "1: a123456789b123456789c123456789d123456789e123456789f123456789" LETTERS },
	{ "policy a\n{\nclients = 192.0.2.1\n}\n", "1: " BRACE },
	{ "policy a clients = 192.0.2.1\n}\n",
	  "1: " BRACE "1: the section has no option in it\n" },
	{ "policy a { clients = 192.0.2.1\n}\n",
	  "1: \"clients\" must begin a line: each option of a section has one\n"
	  "1: the section has no option in it\n" },
	{ "policy a {\nclients = 192.0.2.1 }\n",
	  "2: clients: the \"}\" of a section needs a line of its own\n" },
	{ "policy a {\nclients = {192.0.2.1} }\nport = 1\n",
	  "2: clients: the \"}\" of a section needs a line of its own\n" },
	{ "policy a {\nclients = 192.0.2.1\n} port = 2\nport = 3\n",
	  "3: nothing may stand behind the \"}\" of a section\n" },
	{ "policy a {\nclients = {192.0.2.1\n}\nport = 1\n",
	  NO_END(1) "4: port: is needed before a policy is found, and cannot stand in "
	            "one; it may stand in a listen section\n" },
	{ "policy a {\n}\n", "1: the section has no option in it\n" },
	{ "policy a {}\n", "1: the section has no option in it\n" },
	{ "\npolicy a {\n\n# clients = 192.0.2.1\n\n}\n",
	  "2: the section has no option in it\n" },
	{ "port = 1\n}\n", "2: \"}\" ends nothing: no section is open here\n" },
	{ "listen = 127.0.0.1\n",
	  "1: listen is no option but begins a section: listen \"name\" {\n" },
	{ "policy += {\n",
	  "1: policy is no option but begins a section: policy \"name\" {\n" },
	{ "listen a {\npolicy b {\n",
	  "1: the section has no option in it\n"
	  "2: a section cannot begin within another: is the \"}\" of that in line 1 "
	  "missing?\n" NO_END(2) "2: the section has no option in it\n" },
	{ "port = 1\nlisden \"a\" {\nport = 2\nclients = ::1\n}\nlog_level = debug\n",
	  "2: no such section: \"lisden\"; there are listen and policy sections\n" },
	/* names */
	{ "listen a {\nport = 1\n}\nlisten a {\nport = 2\n}\n",
	  "4: listen \"a\": there is one of that name in line 1\n" },
	{ "listen default {\nport = 1\n}\n",
	  "1: listen \"default\": is the listener that the main part describes; take "
	  "another name\n" },
	{ "policy a {\nlisteners = {default, b}\n}\nlisten a {\nport = 1\n}\n",
	  "2: listeners: there is no section listen \"b\"; \"default\" is that of the "
	  "main part\n" },
	/* options */
	{ "listen a {\nprt = 1\n}\n",
	  "2: no such option: \"prt\"; did you mean \"port\"?\n" },
	{ "listen a {\nmsg_nomem = x\n}\n",
	  "2: msg_nomem: has no effect any more: this cannot happen any more; delete "
	  "it\n" },
	{ "\nlisten a {\nport = 1\npidfile = /run/x\n}\n", "4: pidfile: " PROCESS },
	{ "policy a {\nlog_level = debug\n}\n", "2: log_level: " PROCESS },
	{ "policy a {\nbind_address = ::1\n}\n", "2: bind_address: " PROCESS },
	{ "listen a {\nbind_address = ::1\n}\n",
	  "2: bind_address: is the main part's; in a listen section write address\n" },
	{ "address = ::1\n", "1: address: stands in listen sections only\n" },
	{ "policy a {\naddress = ::1\n}\n",
	  "2: address: stands in listen sections only\n" },
	{ "clients = ::1\nlisten a {\nservers = ::1\nlisteners = b\n}\n",
	  "1: clients: stands in policy sections only\n"
	  "3: servers: stands in policy sections only\n"
	  "4: listeners: stands in policy sections only\n" },
	{ "policy a {\nport = 1\n\nmode = fixed\n}\n",
	  "2: port: is needed before a policy is found, and cannot stand in one; it "
	  "may "
	  "stand in a listen section\n"
	  "4: mode: is needed before a policy is found, and cannot stand in one; it "
	  "may "
	  "stand in a listen section\n" },
	{ "policy a {\nclients += ::1\n}\n", "2: clients: += adds to what the main "
	                                     "part says, and to nothing in a section; "
	                                     "write the whole list\n" },
	/* values, each with its line */
	{ "port = 0\npolicy a {\n\nscan_max_size = 1X\nclients = {::1,\n 1.2.3}\n}\n"
	  "bare_newline = pas\n",
	  "1: port: \"0\" is out of range; allowed: 1 to 65535\n"
	  "4: scan_max_size: \"1X\" is no whole number or has an unknown unit; "
	  "allowed: "
	  "1024 to 1073741823 bytes, or with K, M, G\n"
	  "6: clients: \"1.2.3\" is no network; allowed: an IPv4 or IPv6 address, "
	  "alone "
	  "or as in 192.0.2.0/24\n"
	  "8: bare_newline: no such word: \"pas\"; allowed: normalise, reject, "
	  "pass\n" },
	{ "policy a {\nclients = {::1, ::1}\n}\n",
	  "2: clients: \"::1\" is listed twice\n" },
	/* together */
	{ "listen a {\nport = 1\nmode = fixed\n}\n",
	  "3: listen \"a\": mode: fixed needs fixed_server, an address or a host "
	  "name\n" },
	{ "mode = fixed\nlisten a {\nport = 1\n}\n",
	  "1: mode: fixed needs fixed_server, an address or a host name\n" },
	{ "bind_address = {}\npolicy a {\nclients = ::1\n}\n",
	  "1: bind_address: at least one address is needed\n" },
	{ "bind_address = 127.0.0.1\nlisten a {\nforbid_starttls = yes\n}\n",
	  "2: listen \"a\": 127.0.0.1 port 9199 is where the main part listens: give "
	  "it "
	  "an address or a port of its own\n" },
	{ "listen a {\nport = 1\naddress = ::1\n}\nlisten b {\naddress = {::2, "
	  "::1}\nport = "
	  "1\n}\n",
	  "5: listen \"b\": ::1 port 1 is where listen \"a\" listens: give it an "
	  "address "
	  "or a port of its own\n" },
	/* files of 1.4 */
	{ "port 25\nlisten \"in\" {\n",
	  "note 1: written in the syntax of smtp-gated 1.4, which is still understood; "
	  "\"smtp-gated --import FILE\" prints it in today's\n2: sections cannot stand "
	  "in the syntax of 1.4; \"smtp-gated --import\" prints "
	  "a file in which they can\n" },
};

static void
test_accepted(void **state)
{
	(void)state;
	config_rows_check(accepted, sizeof(accepted) / sizeof(accepted[0]),
	                  sections_of);
}

static void
test_refused(void **state)
{
	(void)state;
	config_rows_check(refused, sizeof(refused) / sizeof(refused[0]), sections_of);
}

static void
test_as_many_as_there_can_be(void **state)
{
	char *text, *outcome;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	for (int i = 1; i <= SECTIONS_MOST; i++)
		fprintf(out,
		        "listen l%d {\nport = %d\n}\npolicy p%d {\nclients = "
		        "10.0.0.%d\n}\n",
		        i, i, i, i);
	fflush(out);
	config_drop(config_row_load(text));
	fprintf(out, "listen l {\nport = 1000\n}\npolicy p {\nlog_level = debug\n}\n");
	fclose(out);
	outcome = sections_of(text);
	assert_string_equal(
		outcome,
		"385: listen \"l\": there can be 64 listen sections, and no more\n"
		"388: policy \"p\": there can be 64 policy sections, and no more\n"
		"389: log_level: " PROCESS);
	free(outcome);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_as_many_as_there_can_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
