#include "route.h"
#include "route_loop.h"

#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * What can be seen without packet filter rules; test/net has those.
 */
static char empty[] = "", named[] = "198.51.100.25";

static struct config
settings(int mode, const char *fixed, uint16_t fixed_port)
{
	struct config cfg = { .mode = mode, .port = 9199, .local_servers = true };

	cfg.fixed_server = fixed ? named : empty;
	if (fixed)
		assert_true(addr_parse(&cfg.fixed, fixed, fixed_port));
	return cfg;
}

static struct route_query
query(const char *client, const char *local)
{
	struct route_query query = { .fd = -1 };

	assert_true(addr_parse(&query.client, client, 40000));
	assert_true(addr_parse(&query.local, local, 9199));
	return query;
}

static void
never(const struct route_answer *answer, void *arg)
{
	(void)answer;
	(void)arg;
	fail_msg("an answer at once was told later, too");
}

/* Of a mode that knows at once. */
static struct route_answer
ask(const struct config *cfg, const struct route_query *from)
{
	struct route_answer answer = { .why = { "unset" }, .ident = "unset" };

	assert_null(route_start(NULL, cfg, from, &answer, never, NULL));
	assert_string_equal(answer.ident, "");
	return answer;
}

/* Port 9199 of every address is ours. */
static int
listens(void **unused)
{
	struct addr at;

	(void)unused;
	assert_true(addr_parse(&at, "127.0.0.1", 9199));
	route_loop_add_entrance(&at);
	return 0;
}

static int
listens_no_more(void **unused)
{
	(void)unused;
	route_loop_forget_entrances();
	return 0;
}

static const struct {
	const char *server;
	uint16_t port;
	const char *local; /* where the client came in */
	enum route_result result;
} fixed[] = {
	{ "198.51.100.25", 25, "198.51.100.1", ROUTE_FOUND },
	{ "2001:db8::25", 25, "198.51.100.1", ROUTE_FOUND },
	/* Our own port at another host is another program. */
	{ "198.51.100.25", 9199, "198.51.100.1", ROUTE_FOUND },
	/* A server on this machine is fine, ourselves are not. */
	{ "127.0.0.1", 25, "127.0.0.1", ROUTE_FOUND },
	{ "127.0.0.1", 9199, "127.0.0.1", ROUTE_LOOP },
	{ "127.0.0.1", 9199, "198.51.100.1", ROUTE_LOOP },
	{ "127.8.8.8", 9199, "127.0.0.1", ROUTE_LOOP },
	{ "::1", 9199, "127.0.0.1", ROUTE_LOOP },
	{ "0.0.0.0", 9199, "127.0.0.1", ROUTE_LOOP },
	{ "::ffff:127.0.0.1", 9199, "127.0.0.1", ROUTE_LOOP },
	/* Not ours as the kernel knows it, but it is where the client came in (TPROXY). */
	{ "198.51.100.25", 9199, "198.51.100.25", ROUTE_LOOP },
};

static void
mode_fixed_leads_to_the_fixed_server(void **unused)
{
	(void)unused;
	for (size_t n = 0; n < sizeof(fixed) / sizeof(fixed[0]); n++) {
		struct config cfg = settings(ROUTE_BY_FIXED, fixed[n].server,
		                             fixed[n].port);
		struct route_query from = query("198.51.100.99", fixed[n].local);
		struct route_answer answer = ask(&cfg, &from);

		if (answer.result != fixed[n].result)
			fail_msg("%s port %d", fixed[n].server, fixed[n].port);
		assert_true(addr_equal(&answer.server, &cfg.fixed));
		assert_string_equal(answer.why.text, "");
	}
}

static const struct {
	const char *meant; /* as a PROXY header says */
	uint16_t port;
	enum route_result result;
} meant[] = {
	{ "198.51.100.25", 25, ROUTE_FOUND },
	{ "2001:db8::25", 587, ROUTE_FOUND },
	/* A server on this machine is fine if local_servers says so, ourselves are not,
	 * nor is nowhere. */
	{ "127.0.0.1", 25, ROUTE_FOUND },
	{ "127.0.0.1", 9199, ROUTE_LOOP },
	{ "::1", 9199, ROUTE_LOOP },
	{ "198.51.100.1", 9199, ROUTE_LOOP },
	{ "198.51.100.2", 9199, ROUTE_FOUND },
	{ "0.0.0.0", 25, ROUTE_UNKNOWN },
	{ "::", 25, ROUTE_UNKNOWN },
	{ "198.51.100.25", 0, ROUTE_UNKNOWN },
};

static void
a_header_tells_what_else_is_asked_for(void **unused)
{
	struct config netfilter = settings(ROUTE_BY_NETFILTER, NULL, 0);
	struct config always = settings(ROUTE_BY_FIXED, "203.0.113.25", 25);

	(void)unused;
	for (size_t n = 0; n < sizeof(meant) / sizeof(meant[0]); n++) {
		struct route_query from = query("198.51.100.99", "198.51.100.1");
		struct route_answer answer;

		assert_true(addr_parse(&from.meant, meant[n].meant, meant[n].port));
		answer = ask(&netfilter, &from);
		if (answer.result != meant[n].result)
			fail_msg("%s port %d", meant[n].meant, meant[n].port);
		assert_true(addr_equal(&answer.server, &from.meant));
		assert_int_equal(answer.why.text[0] != '\0',
		                 meant[n].result == ROUTE_UNKNOWN);
		answer = ask(&always, &from);
		assert_int_equal(answer.result, ROUTE_FOUND);
		assert_true(addr_equal(&answer.server, &always.fixed));
	}
}

static void
the_start_refuses_what_cannot_work(void **unused)
{
	struct config none = settings(ROUTE_BY_FIXED, NULL, 0);
	struct config itself = settings(ROUTE_BY_FIXED, "127.0.0.1", 9199);
	struct config fine = settings(ROUTE_BY_FIXED, "127.0.0.1", 25);
	struct config netfilter = settings(ROUTE_BY_NETFILTER, NULL, 0);
	struct route_words why;

	(void)unused;
	assert_false(route_check(&none, &why));
	assert_non_null(strstr(why.text, "fixed_server"));
	assert_false(route_check(&itself, &why));
	assert_non_null(strstr(why.text, "fixed_server"));
	assert_true(route_check(&fine, &why));
	assert_string_equal(why.text, "");
	assert_true(route_check(&netfilter, &why));
}

/* A plain connection to our port: we are nobody's open relay. */
static void
who_comes_straight_to_us_is_told_apart(void **unused)
{
	static const char *const texts[] = { "127.0.0.1", "::1" };
	struct config cfg = settings(ROUTE_BY_NETFILTER, NULL, 0);

	(void)unused;
	for (int i = 0; i < 2; i++) {
		int listening, calling;
		struct addr at;
		struct route_query from = { 0 };
		struct route_answer answer;

		assert_true(addr_parse(&at, texts[i], 0));
		listening = socket(addr_family(&at), SOCK_STREAM | SOCK_CLOEXEC, 0);
		calling = socket(addr_family(&at), SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(listening, &at.any, addr_size(&at)), 0);
		assert_int_equal(listen(listening, 1), 0);
		at = addr_local(listening);
		route_loop_add_entrance(&at);
		assert_int_equal(connect(calling, &at.any, addr_size(&at)), 0);
		from.fd = accept(listening, NULL, NULL);
		from.client = addr_peer(from.fd);
		from.local = addr_local(from.fd);
		answer = ask(&cfg, &from);
		if (answer.result != ROUTE_NOT_REDIRECTED)
			fail_msg("%s: %s", texts[i], answer.why.text);
		route_loop_forget_entrances();
		close(from.fd);
		close(calling);
		close(listening);
	}
}

/* A connection that the kernel no longer knows: an answer, and words if it is unusual. */
static void
a_vanished_connection_is_not_found(void **unused)
{
	struct config cfg = settings(ROUTE_BY_NETFILTER, NULL, 0);
	struct route_query from = query("198.51.100.99", "198.51.100.1");
	struct route_answer answer = ask(&cfg, &from);

	(void)unused;
	assert_true(answer.result == ROUTE_NOT_REDIRECTED ||
	            (answer.result == ROUTE_UNKNOWN && answer.why.text[0] != '\0'));
}

/* ---- loops ------------------------------------------------------------------------- */

static void
any_port_that_we_listen_on_leads_back(void **unused)
{
	struct config cfg = settings(ROUTE_BY_FIXED, "127.0.0.1", 2525);
	struct route_query from = query("198.51.100.99", "127.0.0.1");
	struct addr more;

	(void)unused;
	assert_int_equal(ask(&cfg, &from).result, ROUTE_FOUND);
	assert_true(addr_parse(&more, "::", 2525)); /* handed over, say */
	route_loop_add_entrance(&more);
	assert_int_equal(ask(&cfg, &from).result, ROUTE_LOOP);
}

static const struct {
	int mode;
	const char *client, *local;
	uint16_t port;
	enum route_result result;
	bool as_client;
} local[] = {
	{ ROUTE_BY_TPROXY, "198.51.100.99", "192.0.2.25", 25, ROUTE_FOUND, true },
	{ ROUTE_BY_TPROXY, "2001:db8::99", "2001:db8:1::25", 25, ROUTE_FOUND, true },
	{ ROUTE_BY_TPROXY, "10.0.0.9", "192.0.2.25", 25, ROUTE_FOUND, true },
	/* Our own port at another host is another program. */
	{ ROUTE_BY_TPROXY, "198.51.100.99", "192.0.2.25", 9199, ROUTE_FOUND, true },
	/* Straight to us. */
	{ ROUTE_BY_TPROXY, "198.51.100.99", "127.0.0.1", 9199, ROUTE_NOT_REDIRECTED,
	  true },
	{ ROUTE_BY_TPROXY, "2001:db8::99", "::1", 9199, ROUTE_NOT_REDIRECTED, true },
	/* A server on this machine would reply past us; to ourselves it would not. */
	{ ROUTE_BY_TPROXY, "198.51.100.99", "127.0.0.1", 25, ROUTE_LOOP, true },
	{ ROUTE_BY_GETSOCKNAME, "198.51.100.99", "127.0.0.1", 25, ROUTE_FOUND, false },
	{ ROUTE_BY_GETSOCKNAME, "198.51.100.99", "192.0.2.25", 25, ROUTE_FOUND, false },
	{ ROUTE_BY_GETSOCKNAME, "198.51.100.99", "127.0.0.1", 9199,
	  ROUTE_NOT_REDIRECTED, false },
	{ ROUTE_BY_TPROXY_NETFILTER, "198.51.100.99", "192.0.2.25", 25, ROUTE_FOUND,
	  true },
	{ ROUTE_BY_TPROXY_NETFILTER, "198.51.100.99", "127.0.0.1", 9199,
	  ROUTE_NOT_REDIRECTED, true },
};

static void
servers_of_this_machine_are_out_of_reach(void **unused)
{
	static const int modes[] = { ROUTE_BY_NETFILTER, ROUTE_BY_GETSOCKNAME,
		                     ROUTE_BY_TPROXY };
	struct route_query from = query("198.51.100.99", "198.51.100.1");

	(void)unused;
	assert_true(addr_parse(&from.meant, "127.0.0.1", 25));
	for (size_t n = 0; n < sizeof(modes) / sizeof(modes[0]); n++) {
		struct config cfg = settings(modes[n], NULL, 0);
		struct route_answer answer;

		cfg.local_servers = false;
		answer = ask(&cfg, &from);
		assert_int_equal(answer.result, ROUTE_LOOP);
		assert_non_null(strstr(answer.why.text, "fib daddr type != local"));
	}
}

static void
the_name_of_the_socket_is_the_destination(void **unused)
{
	(void)unused;
	for (size_t n = 0; n < sizeof(local) / sizeof(local[0]); n++) {
		struct config cfg = settings(local[n].mode, NULL, 0);
		struct route_query from = query(local[n].client, local[n].local);
		struct route_answer answer;

		addr_set_port(&from.local, local[n].port);
		answer = ask(&cfg, &from);
		if (answer.result != local[n].result)
			fail_msg("row %zu: %d %s", n, answer.result, answer.why.text);
		assert_true(addr_equal(&answer.server, &from.local));
		assert_int_equal(route_as_client(&cfg, &from.client),
		                 local[n].as_client);
		assert_true(route_takes_foreign(&cfg));
	}
}

static const struct {
	const char *client;
	bool as_client; /* it is public */
} kinds[] = {
	{ "9.255.255.255", true },
	{ "10.0.0.0", false },
	{ "10.255.255.255", false },
	{ "11.0.0.0", true },
	{ "172.15.255.255", true },
	{ "172.16.0.0", false },
	{ "172.31.255.255", false },
	{ "172.32.0.0", true },
	{ "192.167.255.255", true },
	{ "192.168.0.0", false },
	{ "192.168.255.255", false },
	{ "192.169.0.0", true },
	{ "169.253.255.255", true },
	{ "169.254.0.0", false },
	{ "169.254.255.255", false },
	{ "169.255.0.0", true },
	{ "127.0.0.1", false },
	{ "128.0.0.0", true },
	{ "::ffff:10.0.0.1", false },
	{ "::ffff:11.0.0.1", true },
	{ "fbff::1", true },
	{ "fc00::1", false },
	{ "fdff:ffff::1", false },
	{ "fe00::1", true },
	{ "fe80::1", false },
	{ "febf::1", false },
	{ "fec0::1", true },
	{ "2001:db8::1", true },
	{ "::1", false },
};

static void
the_kind_of_client_chooses_the_way(void **unused)
{
	struct config cfg = settings(ROUTE_BY_TPROXY_NETFILTER, NULL, 0);
	struct config netfilter = settings(ROUTE_BY_NETFILTER, NULL, 0);

	(void)unused;
	for (size_t n = 0; n < sizeof(kinds) / sizeof(kinds[0]); n++) {
		struct route_query from = query(kinds[n].client, "192.0.2.25");

		if (route_as_client(&cfg, &from.client) != kinds[n].as_client)
			fail_msg("%s", kinds[n].client);
		assert_false(route_as_client(&netfilter, &from.client));
		/* The name of the socket says nothing of a private client's server. */
		assert_int_equal(ask(&cfg, &from).result == ROUTE_FOUND,
		                 kinds[n].as_client);
	}
	assert_false(route_takes_foreign(&netfilter));
}

/* A connection of this process to itself: the ends of it, and where it leads. */
struct pair {
	int listening, calling, accepted;
	struct addr at;
};

static struct pair
connected(const char *text, int hops)
{
	struct pair pair;
	int on = 1, family;

	assert_true(addr_parse(&pair.at, text, 0));
	family = addr_family(&pair.at);
	pair.listening = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pair.calling = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(pair.listening, &pair.at.any, addr_size(&pair.at)), 0);
	setsockopt(pair.listening, IPPROTO_TCP, TCP_SAVE_SYN, &on, sizeof(on));
	assert_int_equal(listen(pair.listening, 1), 0);
	pair.at = addr_local(pair.listening);
	if (hops)
		setsockopt(pair.calling, family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP,
		           family == AF_INET6 ? IPV6_UNICAST_HOPS : IP_TTL, &hops,
		           sizeof(hops));
	assert_int_equal(connect(pair.calling, &pair.at.any, addr_size(&pair.at)), 0);
	pair.accepted = accept(pair.listening, NULL, NULL);
	assert_true(pair.accepted >= 0);
	return pair;
}

static void
pair_close(const struct pair *pair)
{
	close(pair->listening);
	close(pair->calling);
	close(pair->accepted);
}

static void
our_own_call_is_known_when_it_comes_back(void **unused)
{
	struct config cfg = settings(ROUTE_BY_FIXED, "198.51.100.25", 25);
	struct pair pair = connected("127.0.0.1", 0), other = connected("::1", 0);
	struct route_query from = { .fd = pair.accepted, .local = pair.at };
	struct route_call call = { 0 };
	struct route_answer answer;

	(void)unused;
	from.client = addr_peer(pair.accepted);
	assert_int_equal(ask(&cfg, &from).result, ROUTE_FOUND);
	route_call_begin(&call, pair.calling, &pair.at);
	answer = ask(&cfg, &from);
	assert_int_equal(answer.result, ROUTE_LOOP);
	assert_non_null(strstr(answer.why.text, "our own connection"));
	route_call_greeted(&call); /* it still is one */
	assert_int_equal(ask(&cfg, &from).result, ROUTE_LOOP);
	from.fd = other.accepted;
	assert_int_equal(ask(&cfg, &from).result, ROUTE_FOUND);
	from.fd = pair.accepted;
	route_call_end(&call);
	route_call_end(&call);
	assert_int_equal(ask(&cfg, &from).result, ROUTE_FOUND);
	pair_close(&pair);
	pair_close(&other);
}

/* The kernel gives two connections one near end if they go to different places. */
static void
stranger_with_the_port_of_our_call_is_none(void **unused)
{
	struct config cfg = settings(ROUTE_BY_FIXED, "198.51.100.25", 25);
	struct pair pair = connected("127.0.0.1", 0);
	struct route_query from = { .fd = pair.accepted, .local = pair.at };
	struct route_call call = { 0 };
	struct addr elsewhere = pair.at;

	(void)unused;
	addr_set_port(&elsewhere, addr_port(&pair.at) ^ 1);
	from.client = addr_peer(pair.accepted);
	route_call_begin(&call, pair.calling, &elsewhere);
	assert_int_equal(ask(&cfg, &from).result, ROUTE_FOUND);
	route_call_begin(&call, pair.calling, &pair.at);
	assert_int_equal(ask(&cfg, &from).result, ROUTE_LOOP);
	route_call_end(&call);
	pair_close(&pair);
}

static void
calls_wait_until_they_are_greeted(void **unused)
{
	struct pair pair = connected("127.0.0.1", 0);
	struct route_call one = { 0 }, two = { 0 };
	struct addr other;

	(void)unused;
	assert_true(addr_parse(&other, "192.0.2.25", 25));
	assert_int_equal(route_loop_waiting(&pair.at), 0);
	route_call_begin(&one, pair.calling, &pair.at);
	route_call_begin(&two, pair.accepted, &pair.at);
	assert_int_equal(route_loop_waiting(&pair.at), 2);
	assert_int_equal(route_loop_waiting(&other), 0);
	route_call_greeted(&one);
	route_call_greeted(&one);
	assert_int_equal(route_loop_waiting(&pair.at), 1);
	route_call_end(&one);
	assert_int_equal(route_loop_waiting(&pair.at), 1);
	route_call_begin(&two, pair.accepted, &other); /* the old one is over then */
	assert_int_equal(route_loop_waiting(&pair.at), 0);
	assert_int_equal(route_loop_waiting(&other), 1);
	route_call_end(&two);
	assert_int_equal(route_loop_waiting(&other), 0);
	pair_close(&pair);
}

static void
hops_are_those_of_the_first_packet(void **unused)
{
	static const char *const texts[] = { "127.0.0.1", "::1" };
	struct config cfg = settings(ROUTE_BY_FIXED, "198.51.100.25", 25);

	(void)unused;
	for (int i = 0; i < 2; i++) {
		struct pair pair = connected(texts[i], 7),
			    last = connected(texts[i], 1);
		struct route_query from = { .fd = pair.accepted };
		struct route_answer answer = ask(&cfg, &from);

		assert_int_equal(answer.result, ROUTE_FOUND);
		assert_int_equal(answer.hops, 7);
		assert_int_equal(ask(&cfg, &from).hops, 0); /* told once */
		from.fd = last.accepted;
		answer = ask(&cfg, &from);
		assert_int_equal(answer.result, ROUTE_LOOP);
		assert_non_null(strstr(answer.why.text, "no hops left"));
		pair_close(&pair);
		pair_close(&last);
	}
	assert_int_equal(route_loop_hops(-1), 0);
}

#define LISTENING(test) cmocka_unit_test_setup_teardown(test, listens, listens_no_more)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		LISTENING(mode_fixed_leads_to_the_fixed_server),
		LISTENING(a_header_tells_what_else_is_asked_for),
		LISTENING(the_start_refuses_what_cannot_work),
		LISTENING(any_port_that_we_listen_on_leads_back),
		LISTENING(servers_of_this_machine_are_out_of_reach),
		LISTENING(the_name_of_the_socket_is_the_destination),
		LISTENING(the_kind_of_client_chooses_the_way),
		cmocka_unit_test(our_own_call_is_known_when_it_comes_back),
		cmocka_unit_test(stranger_with_the_port_of_our_call_is_none),
		cmocka_unit_test(calls_wait_until_they_are_greeted),
		cmocka_unit_test(hops_are_those_of_the_first_packet),
		cmocka_unit_test(who_comes_straight_to_us_is_told_apart),
		cmocka_unit_test(a_vanished_connection_is_not_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
