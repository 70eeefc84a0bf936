#include "addr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct addr_net
network(const char *text)
{
	struct addr_net net;
	char why[256];

	if (!addr_net_parse(&net, text, why, sizeof(why)))
		fail_msg("\"%s\" %s", text, why);
	return net;
}

static struct addr
address(const char *text)
{
	struct addr addr;

	if (!addr_parse(&addr, text, 25))
		fail_msg("%s is not taken for an address", text);
	return addr;
}

static const struct {
	const char *text;
	unsigned bits;
	const char *printed;
} good[] = {
	{ "192.0.2.1", 32, "192.0.2.1" },
	{ "192.0.2.1/32", 32, "192.0.2.1" },
	{ "192.0.2.0/24", 24, "192.0.2.0/24" },
	{ "192.0.2.128/25", 25, "192.0.2.128/25" },
	{ "10.0.0.0/8", 8, "10.0.0.0/8" },
	{ "128.0.0.0/1", 1, "128.0.0.0/1" },
	{ "0.0.0.0/0", 0, "0.0.0.0/0" },
	{ "2001:db8::1", 128, "2001:db8::1" },
	{ "2001:DB8:0::/32", 32, "2001:db8::/32" },
	{ "2001:db8:8000::/33", 33, "2001:db8:8000::/33" },
	{ "[2001:db8::]/32", 32, "2001:db8::/32" },
	{ "2001:db8::2/127", 127, "2001:db8::2/127" },
	{ "::/0", 0, "::/0" },
	{ "fe80::/10", 10, "fe80::/10" },
	{ "fe80::%lo/64", 64, "fe80::%lo/64" },
	{ "fe80::1%lo", 128, "fe80::1%lo" },
	/* IPv4 as IPv6 is IPv4 */
	{ "::ffff:192.0.2.1", 32, "192.0.2.1" },
	{ "::ffff:192.0.2.0/120", 24, "192.0.2.0/24" },
	{ "::ffff:0:0/96", 0, "0.0.0.0/0" },
};

static void
a_network_is_read_and_printed(void **unused)
{
	char text[ADDR_TEXT_SIZE];

	(void)unused;
	for (size_t n = 0; n < sizeof(good) / sizeof(good[0]); n++) {
		struct addr_net net = network(good[n].text), again;

		assert_int_equal(net.bits, good[n].bits);
		assert_int_equal(addr_port(&net.first), 0);
		assert_string_equal(addr_net_text(&net, text), good[n].printed);
		again = network(text);
		assert_true(addr_net_equal(&net, &again));
	}
}

#define NONE \
	"is no network; allowed: an IPv4 or IPv6 address, alone or as in 192.0.2.0/24"
#define BITS4 "needs a number of bits behind the \"/\", 0 to 32"
#define BITS6 "needs a number of bits behind the \"/\", 0 to 128"

static const struct {
	const char *text, *why;
} bad[] = {
	{ "", NONE },
	{ "/", NONE },
	{ "/24", NONE },
	{ "10/8", NONE },
	{ "10.0.0/8", NONE },
	{ "192.0.2.256/24", NONE },
	{ "mx.example/24", NONE },
	{ "192.0.2.0 /24", NONE },
	{ "*", NONE },
	{ "192.0.2.1-192.0.2.9", NONE },
	{ "fe80::%nosuch0/64", NONE },
	{ "192.0.2.0/", BITS4 },
	{ "192.0.2.0/33", BITS4 },
	{ "192.0.2.0/024", BITS4 },
	{ "192.0.2.0/00", BITS4 },
	{ "192.0.2.0/-1", BITS4 },
	{ "192.0.2.0/+8", BITS4 },
	{ "192.0.2.0/ 24", BITS4 },
	{ "192.0.2.0/24 ", BITS4 },
	{ "192.0.2.0/24/24", BITS4 },
	{ "192.0.2.0/4294967320", BITS4 },
	{ "192.0.2.0/255.255.255.0", BITS4 },
	{ "2001:db8::/", BITS6 },
	{ "2001:db8::/129", BITS6 },
	{ "2001:db8::/0x20", BITS6 },
	{ "::ffff:0.0.0.0/95",
	  "is IPv4 written as IPv6, and needs 96 bits at least; write it as IPv4" },
	/* which of the two is meant? */
	{ "192.0.2.1/24", "has bits set behind its first 24; write 192.0.2.0/24 for "
	                  "the network, or 192.0.2.1 for the one address" },
	{ "192.0.2.1/31", "has bits set behind its first 31; write 192.0.2.0/31 for "
	                  "the network, or 192.0.2.1 for the one address" },
	{ "0.0.0.1/0", "has bits set behind its first 0; write 0.0.0.0/0 for the "
	               "network, or 0.0.0.1 for the one address" },
	{ "2001:db8::1/64", "has bits set behind its first 64; write 2001:db8::/64 "
	                    "for the network, or 2001:db8::1 for the one address" },
	{ "::ffff:192.0.2.1/120", "has bits set behind its first 24; write "
	                          "192.0.2.0/24 for the network, or 192.0.2.1 for the "
	                          "one address" },
};

static void
anything_else_is_refused_in_words(void **unused)
{
	struct addr_net net;
	char why[256], ones[1000];

	(void)unused;
	for (size_t n = 0; n < sizeof(bad) / sizeof(bad[0]); n++) {
		if (addr_net_parse(&net, bad[n].text, why, sizeof(why)))
			fail_msg("\"%s\" is taken for a network", bad[n].text);
		assert_string_equal(why, bad[n].why);
	}
	memset(ones, '1', sizeof(ones) - 1);
	ones[sizeof(ones) - 1] = '\0';
	assert_false(addr_net_parse(&net, ones, why, sizeof(why)));
}

static const struct {
	const char *net, *addr;
	bool within;
} members[] = {
	{ "192.0.2.1", "192.0.2.1", true },
	{ "192.0.2.1", "192.0.2.0", false },
	{ "192.0.2.0/24", "192.0.2.0", true },
	{ "192.0.2.0/24", "192.0.2.255", true },
	{ "192.0.2.0/24", "192.0.1.255", false },
	{ "192.0.2.0/24", "192.0.3.0", false },
	{ "192.0.2.8/29", "192.0.2.7", false },
	{ "192.0.2.8/29", "192.0.2.8", true },
	{ "192.0.2.8/29", "192.0.2.15", true },
	{ "192.0.2.8/29", "192.0.2.16", false },
	{ "128.0.0.0/1", "127.255.255.255", false },
	{ "128.0.0.0/1", "255.255.255.255", true },
	{ "0.0.0.0/0", "203.0.113.9", true },
	{ "2001:db8::/32", "2001:db8:ffff::1", true },
	{ "2001:db8::/32", "2001:db9::1", false },
	{ "2001:db8:8000::/33", "2001:db8:7fff::1", false },
	{ "2001:db8:8000::/33", "2001:db8:8000::1", true },
	{ "2001:db8::2/127", "2001:db8::3", true },
	{ "2001:db8::2/127", "2001:db8::1", false },
	{ "2001:db8::1", "2001:db8::1", true },
	{ "2001:db8::1", "2001:db8::2", false },
	{ "::/0", "2001:db8::1", true },
	/* families never mix, however an IPv4 address is written */
	{ "::/0", "192.0.2.1", false },
	{ "::/0", "::ffff:192.0.2.1", false },
	{ "0.0.0.0/0", "::ffff:192.0.2.1", true },
	{ "0.0.0.0/0", "::192.0.2.1", false },
	{ "::ffff:192.0.2.0/120", "192.0.2.77", true },
	{ "::ffff:0:0/96", "2001:db8::1", false },
	/* links */
	{ "fe80::/10", "fe80::1%lo", true },
	{ "fe80::/10", "fe80::1%9999", true },
	{ "fe80::%lo/64", "fe80::1%lo", true },
	{ "fe80::%lo/64", "fe80::1%9999", false },
	{ "fe80::%lo/64", "fe80::1", false },
};

static void
a_network_knows_its_members(void **unused)
{
	(void)unused;
	for (size_t n = 0; n < sizeof(members) / sizeof(members[0]); n++) {
		struct addr_net net = network(members[n].net);
		struct addr addr = address(members[n].addr);

		if (addr_net_contains(&net, &addr) != members[n].within)
			fail_msg("%s is %sin %s", members[n].addr,
			         members[n].within ? "not " : "", members[n].net);
	}
}

/* Of each length: the first and last address are in it, their neighbours are not. */
static void
each_length_has_its_edges(void **unused)
{
	(void)unused;
	for (unsigned bits = 1; bits <= 32; bits++) {
		uint32_t size = bits == 32 ? 1 : UINT32_C(1) << (32 - bits);
		uint32_t first = UINT32_C(0xAAAAAAAA) / size * size;
		struct addr_net net = { .first.v4.sin_family = AF_INET, .bits = bits };
		struct addr addr = { .v4.sin_family = AF_INET };

		net.first.v4.sin_addr.s_addr = htonl(first);
		addr.v4.sin_addr.s_addr = htonl(first);
		assert_true(addr_net_contains(&net, &addr));
		addr.v4.sin_addr.s_addr = htonl(first + size - 1);
		assert_true(addr_net_contains(&net, &addr));
		addr.v4.sin_addr.s_addr = htonl(first - 1);
		assert_false(addr_net_contains(&net, &addr));
		addr.v4.sin_addr.s_addr = htonl(first + size);
		assert_false(addr_net_contains(&net, &addr));
	}
}

static void
no_address_is_nowhere(void **unused)
{
	struct addr none = { 0 };
	struct addr_net every = network("0.0.0.0/0"), nothing = { 0 };

	(void)unused;
	assert_false(addr_net_contains(&every, &none));
	assert_false(addr_net_contains(&nothing, &none));
}

static void
equal_is_the_same_network(void **unused)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} pairs[] = {
		{ "192.0.2.0/24", "192.0.2.0/24", true },
		{ "192.0.2.0/24", "::ffff:192.0.2.0/120", true },
		{ "192.0.2.0/24", "192.0.2.0/25", false },
		{ "192.0.2.0/24", "192.0.3.0/24", false },
		{ "192.0.2.1", "192.0.2.1/32", true },
		{ "0.0.0.0/0", "::/0", false },
		{ "fe80::/64", "fe80::%lo/64", false },
	};

	(void)unused;
	for (size_t n = 0; n < sizeof(pairs) / sizeof(pairs[0]); n++) {
		struct addr_net a = network(pairs[n].a), b = network(pairs[n].b);

		if (addr_net_equal(&a, &b) != pairs[n].equal)
			fail_msg("%s and %s", pairs[n].a, pairs[n].b);
	}
}

static void
a_list_contains_what_one_of_its_networks_does(void **unused)
{
	struct addr_nets nets = { 0 }, others = { 0 };
	struct addr four = address("192.0.2.9"), six = address("2001:db8::9");
	struct addr_net net = network("192.0.2.0/24");

	(void)unused;
	assert_false(addr_nets_contain(&nets, &four));
	addr_nets_add(&nets, &net);
	assert_true(addr_nets_contain(&nets, &four));
	assert_false(addr_nets_contain(&nets, &six));
	assert_false(addr_nets_equal(&nets, &others));
	addr_nets_add(&others, &net);
	assert_true(addr_nets_equal(&nets, &others));
	net = network("2001:db8::/32");
	addr_nets_add(&nets, &net);
	assert_true(addr_nets_contain(&nets, &six));
	net = network("2001:db8::/33");
	addr_nets_add(&others, &net);
	assert_false(addr_nets_equal(&nets, &others));
	addr_nets_clear(&nets);
	addr_nets_clear(&others);
	assert_false(addr_nets_contain(&nets, &four));
	assert_true(addr_nets_equal(&nets, &others));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_network_is_read_and_printed),
		cmocka_unit_test(anything_else_is_refused_in_words),
		cmocka_unit_test(a_network_knows_its_members),
		cmocka_unit_test(each_length_has_its_edges),
		cmocka_unit_test(no_address_is_nowhere),
		cmocka_unit_test(equal_is_the_same_network),
		cmocka_unit_test(a_list_contains_what_one_of_its_networks_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
