#include "config_rows.h"

/*
 * Listeners and policies: which snapshot a session is given, why, and what a reload keeps.
 */

static struct addr
address(const char *text)
{
	struct addr addr = { 0 };

	assert_true(!*text || addr_parse(&addr, text, 25));
	return addr;
}

static const char *
policy_for(struct config *cfg, const char *listener, const char *client,
           const char *server)
{
	struct config *is = config_listener(cfg, listener);
	struct addr from = address(client), to = address(server);

	assert_non_null(is);
	is = config_policy(is, &from, &to);
	assert_string_equal(is->listener, listener);
	return is->policy ?: "-";
}

static const char family[] =
	"bind_address = {}\n"
	"scan_max_size = 1M\nmsg_hello = main\ntimeout_idle = 1\n"
	"listen in {\n"
	"	port = 1\n	address = {127.0.0.1, 127.0.0.2}\n"
	"	msg_hello = in\n	scan_max_size = 2M\n}\n"
	"listen out {\n	port = 2\n	address = 127.0.0.3\n}\n"
	"policy white {\n	clients = 192.0.2.0/24\n"
	"	antivirus_type = off\n}\n"
	"policy pair {\n	clients = {10.0.0.0/8, 2001:db8::/32}\n"
	"	servers = 192.0.2.7\n	scan_max_size = 4M\n}\n"
	"policy inside {\n	listeners = in\n	clients = 10.1.0.0/16\n"
	"	msg_hello = inside\n}\n"
	"policy servers {\n	servers = 192.0.2.0/28\n}\n";

/* First match wins; any of a list, all of the lists. */
static void
test_policy_of(void **state)
{
	static const struct {
		const char *listener, *client, *server, *policy;
	} rows[] = {
		{ "in", "192.0.2.255", "192.0.2.7", "white" },
		{ "in", "192.0.3.0", "192.0.2.7", "servers" },
		{ "in", "10.0.0.1", "192.0.2.7", "pair" },
		{ "in", "2001:db8::7", "192.0.2.7", "pair" },
		{ "in", "::ffff:10.1.2.3", "192.0.2.8", "inside" },
		{ "out", "10.1.2.3", "192.0.2.8", "servers" },
		{ "out", "10.1.2.3", "192.0.2.16", "-" },
		{ "out", "::1", "::1", "-" },
		{ "default", "10.1.2.3", "192.0.2.7", "pair" },
		{ "in", "", "192.0.2.7", "servers" }, /* the client is not known */
		{ "in", "10.1.2.3", "", "inside" },
		{ "in", "", "", "-" },
	};
	struct config *cfg = config_row_load(family);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(policy_for(cfg, rows[i].listener, rows[i].client,
		                               rows[i].server),
		                    rows[i].policy);
	assert_null(config_listener(cfg, "white"));
	config_drop(cfg);
}

/* A policy goes before its listener, that before the main part, that before the default. */
static void
test_values(void **state)
{
	struct config *cfg = config_row_load(family), *in, *is;
	struct addr client = address("10.1.2.3"), server = address("192.0.2.8");
	struct addr other = address("192.0.2.7"), white = address("192.0.2.1");

	(void)state;
	in = config_listener(cfg, "in");
	assert_int_equal(in->port, 1);
	assert_int_equal(in->bind_address.count, 2);
	assert_string_equal(in->bind_address.at[1], "127.0.0.2");
	assert_int_equal(in->scan_max_size, 2 << 20);
	assert_int_equal(in->timeout_idle, 1);
	assert_int_equal(in->timeout_body, 180);
	is = config_policy(in, &client, &server);
	assert_string_equal(is->msg_hello, "inside");
	assert_int_equal(is->scan_max_size, 2 << 20);
	assert_int_equal(is->port, 1);
	assert_ptr_equal(config_policy(is, &client, &server), is);
	is = config_policy(is, &client, &other); /* from another policy as well */
	assert_string_equal(is->msg_hello, "in");
	assert_int_equal(is->scan_max_size, 4 << 20);
	is = config_policy(config_listener(cfg, "out"), &white, &server);
	assert_int_equal(is->antivirus_type, 0);
	assert_int_equal(is->scan_max_size, 1 << 20);
	assert_string_equal(is->msg_hello, "main");
	assert_int_equal(cfg->antivirus_type, ANTIVIRUS_LIBCLAMAV);
	assert_int_equal(cfg->port, 9199);
	config_drop(cfg);
}

/* Whoever holds one holds all. */
static void
test_hold_any(void **state)
{
	struct config *cfg = config_row_load(family), *is;
	struct addr client = address("10.1.2.3"), server = address("192.0.2.8");

	(void)state;
	is = config_hold(config_policy(config_listener(cfg, "in"), &client, &server));
	assert_int_equal(cfg->references, 2);
	config_drop(cfg);
	assert_string_equal(is->msg_hello, "inside");
	assert_string_equal(is->root->msg_hello, "main");
	config_drop(is);
}

static bool
greets_main(const struct config *cfg)
{
	return strcmp(cfg->msg_hello, "main") == 0 && cfg->port == 9199;
}

static bool
greets_inside(const struct config *cfg)
{
	return strcmp(cfg->msg_hello, "inside") == 0;
}

/* Any snapshot that a session may get: not those of a main part that nobody comes to. */
static void
test_any(void **state)
{
	struct config *cfg = config_row_load(family);

	(void)state;
	assert_true(config_any(cfg, config_has_libclamav));
	assert_true(config_any(config_listener(cfg, "out"), greets_inside));
	assert_false(config_any(cfg, greets_main));
	config_drop(cfg);
	cfg = config_row_load("antivirus_type = off\nmsg_hello = main\n");
	assert_true(config_any(cfg, greets_main));
	assert_false(config_any(cfg, config_has_libclamav));
	config_drop(cfg);
}

static void
test_resolve(void **state)
{
	struct config *cfg = config_row_load(
		"bind_address = {}\nmode = fixed\nfixed_server = no..name\n"
		"listen a {\naddress = ::1\nfixed_server = 192.0.2.1\n}\n"
		"listen b {\naddress = ::2\nfixed_server = "
		"192.0.2.2\nfixed_server_port = "
		"26\n}\n"
		"policy p {\nclients = 10.0.0.0/8\n}\n");
	struct addr client = address("10.0.0.1"), server = address("");
	char why[256], text[ADDR_TEXT_SIZE];
	struct config *is;

	(void)state;
	assert_true(config_resolve(cfg, why, sizeof(why)));
	is = config_policy(config_listener(cfg, "a"), &client, &server);
	assert_string_equal(is->policy, "p");
	assert_string_equal(addr_full(&is->fixed, text), "192.0.2.1:25");
	is = config_listener(cfg, "b");
	assert_string_equal(addr_full(&is->fixed, text), "192.0.2.2:26");
	config_drop(cfg);
	cfg = config_row_load(
		"listen a {\nport = 1\nmode = fixed\nfixed_server = no..name\n}\n");
	assert_false(config_resolve(cfg, why, sizeof(why)));
	assert_non_null(strstr(
		why,
		": listen \"a\": fixed_server: \"no..name\" cannot be looked up: "));
	config_drop(cfg);
}

/* ---- why ---------------------------------------------------------------------------------- */

static void
test_show_for(void **state)
{
	static const struct {
		const char *name, *listener, *client, *server, *words;
	} rows[] = {
		{ "scan_max_size", "in", "10.1.2.3", "192.0.2.7",
		  "scan_max_size = 4194304\n"
		  "# listener \"in\", policy \"pair\"; client 10.1.2.3 is in "
		  "10.0.0.0/8; "
		  "server 192.0.2.7 is in 192.0.2.7\n"
		  "# scan_max_size: policy \"pair\" says so\n" },
		{ "scan_max_size", "in", "10.1.2.3", "",
		  "scan_max_size = 2097152\n"
		  "# listener \"in\", policy \"inside\"; client 10.1.2.3 is in "
		  "10.1.0.0/16\n"
		  "# policy \"pair\" may apply instead: it asks for a server\n"
		  "# scan_max_size: listen \"in\" says so\n" },
		{ "scan_max_size", "", "::1", "::1",
		  "scan_max_size = 1048576\n"
		  "# listener \"default\", no policy\n"
		  "# scan_max_size: the main part says so, line 2\n" },
		{ "timeout_body", "", "", "192.0.2.1",
		  "timeout_body = 180\n"
		  "# listener \"default\", policy \"servers\"; server 192.0.2.1 is in "
		  "192.0.2.0/28\n"
		  "# policy \"white\" may apply instead: it asks for a client\n"
		  "# timeout_body: the default\n" },
		{ "bind_address", "out", "", "",
		  "bind_address = {\"127.0.0.3\"}\n"
		  "# listener \"out\", no policy\n"
		  "# policy \"white\" may apply instead: it asks for a client\n"
		  "# bind_address: listen \"out\" says so\n" },
		{ "prt", "out", "", "", "" },
		{ "port", "white", "", "", "" },
	};
	struct config *cfg = config_row_load(family);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct addr client = address(rows[i].client);
		struct addr server = address(rows[i].server);
		char *words;
		size_t size;
		FILE *out = open_memstream(&words, &size);
		bool shown = config_show_for(
			cfg, rows[i].name, *rows[i].listener ? rows[i].listener : NULL,
			*rows[i].client ? &client : NULL,
			*rows[i].server ? &server : NULL, out);

		fclose(out);
		assert_string_equal(words, rows[i].words);
		assert_int_equal(shown, *rows[i].words != '\0');
		free(words);
	}
	config_drop(cfg);
}

/* ---- reloads ------------------------------------------------------------------------------- */

static void
collect(const char *listener, const char *option, void *arg)
{
	fprintf(arg, "%s:%s ", listener ?: "", option);
}

/* What is said of a reload of FRESH; the snapshot that is in force then. */
static struct config *
reload(struct config *running, const char *text, const char *said)
{
	struct config *fresh = config_row_load(text);
	char *words;
	size_t size;
	FILE *out = open_memstream(&words, &size);

	config_keep(fresh, running, collect, out);
	fclose(out);
	assert_string_equal(words, said);
	free(words);
	config_drop(running);
	return fresh;
}

#define TWO(port, hello) \
	"listen a {\nport = " port "\naddress = ::1\nmode = fixed\nfixed_server = " \
	"192.0.2.1\nmsg_hello = " hello "\n}\n"

/* Listeners stay as they are, what sessions do changes. */
static void
test_keep_listeners(void **state)
{
	char why[256], text[ADDR_TEXT_SIZE];
	struct config *cfg = config_row_load(
			      "port = 1\nmsg_hello = old\n" TWO("2", "old")),
		      *is;

	(void)state;
	assert_true(config_resolve(cfg, why, sizeof(why)));
	cfg = reload(cfg, "port = 1\n" TWO("2", "new"), "");
	is = config_listener(cfg, "a");
	assert_string_equal(is->msg_hello, "new");
	assert_string_equal(addr_full(&is->fixed, text), "192.0.2.1:25");
	/* a port changes, here and there */
	cfg = reload(cfg, "port = 3\n" TWO("4", "newer"), ":port a:port ");
	is = config_listener(cfg, "a");
	assert_int_equal(cfg->port, 1);
	assert_int_equal(is->port, 2);
	assert_string_equal(is->msg_hello, "newer");
	/* what was given is inherited now */
	cfg = reload(cfg, "port = 1\nlisten a {\naddress = ::1\n}\n",
	             "a:port a:mode a:fixed_server ");
	is = config_listener(cfg, "a");
	assert_int_equal(is->port, 2);
	assert_int_equal(is->mode, ROUTE_BY_FIXED);
	assert_string_equal(is->fixed_server, "192.0.2.1");
	assert_string_equal(is->msg_hello, "Hello");
	assert_string_equal(addr_full(&is->fixed, text), "192.0.2.1:25");
	/* one comes, one goes */
	cfg = reload(cfg,
	             "port = 1\nlisten b {\nport = 9\n}\n"
	             "policy p {\nlisteners = b\nmsg_hello = p\n}\n",
	             "a:listen b:listen ");
	is = config_listener(cfg, "a");
	assert_int_equal(is->port, 2);
	assert_null(config_listener(cfg, "b"));
	assert_string_equal(policy_for(cfg, "a", "::1", "::1"), "-");
	assert_string_equal(addr_full(&is->fixed, text), "192.0.2.1:25");
	config_drop(cfg);
}

/* Policies are read anew; only a scanner must be there. */
static void
test_keep_policies(void **state)
{
#define WHITE "policy p {\nclients = 10.0.0.0/8\nantivirus_type = off\n}\n"
#define BLACK "policy p {\nclients = 10.0.0.0/8\nantivirus_type = libclamav\n}\n"
	struct config *cfg = config_row_load("port = 1\n"), *is;
	struct addr client = address("10.0.0.1"), none = address("");

	(void)state;
	cfg = reload(cfg, "port = 1\n" WHITE, "");
	is = config_policy(cfg, &client, &none);
	assert_int_equal(is->antivirus_type, 0);
	cfg = reload(cfg, "port = 1\n", "");
	is = config_policy(cfg, &client, &none);
	assert_ptr_equal(is, cfg);
	config_drop(cfg);

	cfg = config_row_load("antivirus_type = off\n");
	cfg = reload(cfg, "antivirus_type = off\n" BLACK, ":antivirus_type ");
	is = config_policy(cfg, &client, &none);
	assert_string_equal(is->policy, "p");
	assert_int_equal(is->antivirus_type, 0);
	config_drop(cfg);

	cfg = config_row_load("antivirus_type = off\n" BLACK);
	cfg = reload(cfg,
	             "antivirus_type = off\n" BLACK "policy q {\nclients = ::/0\n}\n",
	             "");
	is = config_policy(cfg, &client, &none);
	assert_int_equal(is->antivirus_type, ANTIVIRUS_LIBCLAMAV);
	config_drop(cfg);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policy_of),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_hold_any),
		cmocka_unit_test(test_any),
		cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_show_for),
		cmocka_unit_test(test_keep_listeners),
		cmocka_unit_test(test_keep_policies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
