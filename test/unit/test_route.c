#include "route.h"

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
	struct config cfg = { .mode = mode, .port = 9199 };

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
	/* A server on this machine is fine, ourselves are not, nor is nowhere. */
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
		cfg.port = addr_port(&at);
		assert_int_equal(connect(calling, &at.any, addr_size(&at)), 0);
		from.fd = accept(listening, NULL, NULL);
		from.client = addr_peer(from.fd);
		from.local = addr_local(from.fd);
		answer = ask(&cfg, &from);
		if (answer.result != ROUTE_NOT_REDIRECTED)
			fail_msg("%s: %s", texts[i], answer.why.text);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mode_fixed_leads_to_the_fixed_server),
		cmocka_unit_test(a_header_tells_what_else_is_asked_for),
		cmocka_unit_test(the_start_refuses_what_cannot_work),
		cmocka_unit_test(who_comes_straight_to_us_is_told_apart),
		cmocka_unit_test(a_vanished_connection_is_not_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
