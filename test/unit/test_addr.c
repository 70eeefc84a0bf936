#include "addr.h"

#include <ifaddrs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct addr
parsed(const char *text, uint16_t port)
{
	struct addr addr;

	if (!addr_parse(&addr, text, port))
		fail_msg("%s is not taken for an address", text);
	return addr;
}

static const struct {
	const char *text;
	int family;
	const char *host, *full;
} good[] = {
	{ "192.0.2.1", AF_INET, "192.0.2.1", "192.0.2.1:25" },
	{ "0.0.0.0", AF_INET, "0.0.0.0", "0.0.0.0:25" },
	{ "255.255.255.255", AF_INET, "255.255.255.255", "255.255.255.255:25" },
	{ "::", AF_INET6, "::", "[::]:25" },
	{ "::1", AF_INET6, "::1", "[::1]:25" },
	{ "[::1]", AF_INET6, "::1", "[::1]:25" },
	{ "2001:DB8:0:0::1", AF_INET6, "2001:db8::1", "[2001:db8::1]:25" },
	{ "1:2:3:4:5:6:7:8", AF_INET6, "1:2:3:4:5:6:7:8", "[1:2:3:4:5:6:7:8]:25" },
	{ "::ffff:192.0.2.1", AF_INET, "192.0.2.1", "192.0.2.1:25" },
	{ "[::ffff:c000:201]", AF_INET, "192.0.2.1", "192.0.2.1:25" },
	{ "::192.0.2.1", AF_INET6, "::192.0.2.1", "[::192.0.2.1]:25" },
	{ "64:ff9b::192.0.2.1", AF_INET6, "64:ff9b::c000:201",
	  "[64:ff9b::c000:201]:25" },
	{ "fe80::1%lo", AF_INET6, "fe80::1%lo", "[fe80::1%lo]:25" },
	{ "[fe80::1%lo]", AF_INET6, "fe80::1%lo", "[fe80::1%lo]:25" },
};

static void
an_address_is_read_and_printed(void **unused)
{
	char host[ADDR_TEXT_SIZE], full[ADDR_TEXT_SIZE];

	(void)unused;
	for (size_t n = 0; n < sizeof(good) / sizeof(good[0]); n++) {
		struct addr addr = parsed(good[n].text, 25), again;

		assert_int_equal(addr_family(&addr), good[n].family);
		assert_int_equal(addr_port(&addr), 25);
		assert_string_equal(addr_text(&addr, host), good[n].host);
		assert_string_equal(addr_full(&addr, full), good[n].full);
		again = parsed(host, 25);
		assert_true(addr_equal(&addr, &again));
	}
}

/* Short forms of IPv4 are refused: in a configuration they are slips of the pen. */
static const char *const junk[] = {
	"",
	"[]",
	"[",
	"]",
	"192.0.2",
	"192.0.2.256",
	"192.0.2.1.1",
	"127.1",
	"1",
	"0x7f.0.0.1",
	"0177.0.0.1",
	"192.0.2.1 ",
	" 192.0.2.1",
	"192.0.2.1:25",
	"[::1]:25",
	"[::1",
	"::1]",
	"[[::1]]",
	"::g",
	":",
	":::",
	"1:2:3:4:5:6:7:8:9",
	"localhost",
	"fe80::1%nosuch0",
	"::ffff:192.0.2.256",
	"*",
	"192.0.2.0/24",
};

static void
anything_else_is_refused(void **unused)
{
	struct addr addr;
	char ones[1000];

	(void)unused;
	memset(ones, '1', sizeof(ones) - 1);
	ones[sizeof(ones) - 1] = '\0';
	assert_false(addr_parse(&addr, ones, 25));
	for (size_t n = 0; n < sizeof(junk) / sizeof(junk[0]); n++)
		if (addr_parse(&addr, junk[n], 25))
			fail_msg("\"%s\" is taken for an address", junk[n]);
}

static void
no_address_prints_as_a_dash(void **unused)
{
	struct addr none = { 0 };
	struct sockaddr unix_socket = { .sa_family = AF_UNIX };
	char text[ADDR_TEXT_SIZE];

	(void)unused;
	assert_string_equal(addr_text(&none, text), "-");
	assert_string_equal(addr_full(&none, text), "-");
	none = addr_from(&unix_socket);
	assert_int_equal(addr_family(&none), AF_UNSPEC);
	none = addr_local(-1);
	assert_int_equal(addr_family(&none), AF_UNSPEC);
	none = addr_peer(STDIN_FILENO);
	assert_int_equal(addr_family(&none), AF_UNSPEC);
}

static void
the_longest_address_fits(void **unused)
{
	struct addr addr = parsed("fedc:ba98:7654:3210:fedc:ba98:7654:3210", 65535);
	char text[ADDR_TEXT_SIZE];

	(void)unused;
	addr.v6.sin6_scope_id = UINT32_MAX;
	assert_string_equal(addr_text(&addr, text),
	                    "fedc:ba98:7654:3210:fedc:ba98:7654:3210%4294967295");
	assert_string_equal(
		addr_full(&addr, text),
		"[fedc:ba98:7654:3210:fedc:ba98:7654:3210%4294967295]:65535");
}

static void
names_are_looked_up(void **unused)
{
	struct addr addr;
	const char *why = NULL;

	(void)unused;
	assert_true(addr_resolve(&addr, "localhost", 25, &why));
	assert_true(addr_is_ours(&addr));
	assert_int_equal(addr_port(&addr), 25);
	assert_true(addr_resolve(&addr, "::ffff:192.0.2.1", 25, &why));
	assert_int_equal(addr_family(&addr), AF_INET);
	why = NULL;
	assert_false(addr_resolve(&addr, "no host has this name", 25, &why));
	assert_non_null(why);
}

static const struct {
	const char *a, *b;
	bool same_host;
} pairs[] = {
	{ "192.0.2.1", "192.0.2.1", true },
	{ "192.0.2.1", "192.0.2.2", false },
	{ "192.0.2.1", "::ffff:192.0.2.1", true },
	{ "192.0.2.1", "::192.0.2.1", false },
	{ "0.0.0.0", "::", false },
	{ "2001:db8::1", "2001:db8:0::1", true },
	{ "2001:db8::1", "2001:db8::1:1", false },
	{ "fe80::1%lo", "fe80::1%9999", false },
	{ "fe80::1%lo", "fe80::1", true }, /* netfilter does not tell the interface */
};

static void
equal_is_same_host_and_same_port(void **unused)
{
	(void)unused;
	for (size_t n = 0; n < sizeof(pairs) / sizeof(pairs[0]); n++) {
		struct addr a = parsed(pairs[n].a, 25), b = parsed(pairs[n].b, 25);

		if (addr_same_host(&a, &b) != pairs[n].same_host ||
		    addr_same_host(&b, &a) != pairs[n].same_host)
			fail_msg("%s and %s", pairs[n].a, pairs[n].b);
		assert_int_equal(addr_equal(&a, &b), pairs[n].same_host);
		addr_set_port(&b, 26);
		assert_int_equal(addr_same_host(&a, &b), pairs[n].same_host);
		assert_false(addr_equal(&a, &b));
	}
}

static void
no_address_equals_nothing(void **unused)
{
	struct addr none = { 0 }, any = parsed("0.0.0.0", 0);

	(void)unused;
	assert_false(addr_same_host(&none, &none));
	assert_false(addr_same_host(&none, &any));
	assert_false(addr_is_any(&none));
	assert_false(addr_is_ours(&none));
}

static void
any_is_the_address_of_all_interfaces(void **unused)
{
	static const struct {
		const char *text;
		bool any;
	} rows[] = { { "0.0.0.0", true },  { "::", true },   { "::ffff:0.0.0.0", true },
		     { "0.0.0.1", false }, { "::1", false }, { "127.0.0.1", false } };

	(void)unused;
	for (size_t n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
		struct addr addr = parsed(rows[n].text, 25);

		assert_int_equal(addr_is_any(&addr), rows[n].any);
	}
}

/* A listener on :: that takes IPv4 as well, and an IPv4 client of it. */
static void
ends_of_a_mapped_connection_are_plain_ipv4(void **unused)
{
	struct addr at = parsed("::", 0), local, peer, client;
	int off = 0, listening, calling, accepted;
	char text[ADDR_TEXT_SIZE];

	(void)unused;
	listening = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listening, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	assert_int_equal(bind(listening, &at.any, addr_size(&at)), 0);
	assert_int_equal(listen(listening, 1), 0);
	local = addr_local(listening);
	at = parsed("127.0.0.1", addr_port(&local));
	calling = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(calling, &at.any, addr_size(&at)), 0);
	accepted = accept(listening, NULL, NULL);

	local = addr_local(accepted);
	peer = addr_peer(accepted);
	client = addr_local(calling);
	assert_string_equal(addr_text(&local, text), "127.0.0.1");
	assert_true(addr_equal(&local, &at));
	assert_true(addr_equal(&peer, &client));
	close(accepted);
	close(calling);
	close(listening);
}

static const struct {
	const char *text;
	bool ours;
} owned[] = {
	{ "127.0.0.1", true },
	{ "127.9.8.7", true },
	{ "::1", true },
	{ "::ffff:127.0.0.1", true },
	{ "0.0.0.0", true },
	{ "::", true },
	{ "192.0.2.1", false },
	{ "198.51.100.255", false },
	{ "224.0.0.1", false },
	{ "255.255.255.255", false },
	{ "2001:db8::1", false },
	{ "ff02::1", false },
	{ "fe80::dead:beef%lo", false },
};

static void
own_addresses_are_known(void **unused)
{
	(void)unused;
	for (size_t n = 0; n < sizeof(owned) / sizeof(owned[0]); n++)
		for (uint16_t port = 0; port <= 25; port += 25) {
			struct addr addr = parsed(owned[n].text, port);

			if (addr_is_ours(&addr) != owned[n].ours)
				fail_msg("%s is %sours", owned[n].text,
				         owned[n].ours ? "not " : "");
		}
}

static void
addresses_of_every_interface_are_ours(void **unused)
{
	struct ifaddrs *list, *each;
	char text[ADDR_TEXT_SIZE];
	int seen = 0;

	(void)unused;
	assert_int_equal(getifaddrs(&list), 0);
	for (each = list; each; each = each->ifa_next) {
		struct addr addr;

		if (!each->ifa_addr || (each->ifa_addr->sa_family != AF_INET &&
		                        each->ifa_addr->sa_family != AF_INET6))
			continue;
		addr = addr_from(each->ifa_addr);
		if (!addr_is_ours(&addr))
			fail_msg("%s of %s is not ours", addr_text(&addr, text),
			         each->ifa_name);
		seen++;
	}
	freeifaddrs(list);
	assert_true(seen > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_read_and_printed),
		cmocka_unit_test(anything_else_is_refused),
		cmocka_unit_test(no_address_prints_as_a_dash),
		cmocka_unit_test(the_longest_address_fits),
		cmocka_unit_test(names_are_looked_up),
		cmocka_unit_test(equal_is_same_host_and_same_port),
		cmocka_unit_test(no_address_equals_nothing),
		cmocka_unit_test(any_is_the_address_of_all_interfaces),
		cmocka_unit_test(ends_of_a_mapped_connection_are_plain_ipv4),
		cmocka_unit_test(own_addresses_are_known),
		cmocka_unit_test(addresses_of_every_interface_are_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
