#include "peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static struct addr_net
network(const char *text, unsigned bits)
{
	struct addr addr;

	assert_true(addr_parse(&addr, text, 25));
	return addr_net_of(&addr, bits);
}

static struct peer *
enter(struct peers *peers, const char *text, unsigned bits, const char *ident)
{
	struct addr_net net = network(text, bits);

	return peers_enter(peers, &net, ident);
}

static void
sessions_of_one_network_are_counted_together(void **state)
{
	static const struct {
		const char *client;
		unsigned bits, count;
	} rows[] = {
		{ "192.0.2.1", 128, 1 },       { "192.0.2.2", 128, 1 },
		{ "192.0.2.1", 128, 2 },       { "2001:db8::1", 64, 1 },
		{ "2001:db8::ffff:1", 64, 2 }, { "2001:db8:0:1::1", 64, 1 },
		{ "2001:db8::1", 128, 1 },     { "2001:db8:0:ff::1", 56, 1 },
		{ "2001:db8::1", 56, 2 },      { "::ffff:192.0.2.1", 64, 3 },
		{ "::c000:201", 128, 1 },
	};
	enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
	struct peers *peers = peers_new();
	struct peer *held[ROWS];

	(void)state;
	for (int i = 0; i < ROWS; i++) {
		struct addr_net net = network(rows[i].client, rows[i].bits);

		assert_int_equal(peers_sessions(peers, &net), rows[i].count - 1);
		held[i] = enter(peers, rows[i].client, rows[i].bits, NULL);
		assert_int_equal(peers_sessions(peers, &net), rows[i].count);
		assert_int_equal(peer_count(held[i]), rows[i].count);
	}
	for (int i = 0; i < ROWS; i++)
		peers_leave(peers, held[i]);
	assert_int_equal(peers_known(peers), 0);
	peers_free(peers);
}

static void
an_ident_counts_for_its_address_alone(void **state)
{
	struct peers *peers = peers_new();
	struct peer *a = enter(peers, "192.0.2.1", 128, "alice");
	struct peer *again = enter(peers, "192.0.2.1", 128, "alice");
	struct peer *b = enter(peers, "192.0.2.1", 128, "alic");
	struct peer *c = enter(peers, "192.0.2.2", 128, "alice");
	struct peer *d = enter(peers, "192.0.2.1", 128, "");
	struct peer *host = enter(peers, "192.0.2.1", 128, NULL);

	(void)state;
	assert_ptr_equal(a, again);
	assert_int_equal(peer_count(a), 2);
	assert_int_equal(peer_count(b), 1);
	assert_int_equal(peer_count(c), 1);
	assert_int_equal(peer_count(d), 1);
	assert_int_equal(peer_count(host), 1);
	assert_int_equal(peers_known(peers), 5);

	peers_leave(peers, a);
	assert_int_equal(peer_count(again), 1);
	peers_leave(peers, again);
	peers_leave(peers, b);
	peers_leave(peers, c);
	peers_leave(peers, d);
	peers_leave(peers, host);
	peers_leave(peers, NULL);
	assert_int_equal(peer_count(NULL), 0);
	assert_int_equal(peers_known(peers), 0);
	peers_free(peers);
}

static void
a_link_has_its_own(void **state)
{
	struct addr_net one = network("fe80::1", 64), other = one;
	struct peers *peers = peers_new();
	struct peer *a, *b;

	(void)state;
	one.first.v6.sin6_scope_id = 1;
	other.first.v6.sin6_scope_id = 2;
	a = peers_enter(peers, &one, NULL);
	b = peers_enter(peers, &other, NULL);
	assert_ptr_not_equal(a, b);
	peers_leave(peers, a);
	peers_leave(peers, b);
	peers_free(peers);
}

/* ---- many ------------------------------------------------------------------------- */

enum { MANY = 100000 };

static uint64_t
nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Number I of many, as an attacker would number them: one behind the other. */
static struct addr_net
numbered(uint32_t i)
{
	struct addr addr = { .v4 = { .sin_family = AF_INET,
		                     .sin_addr.s_addr = htonl(0x0a000000 + i) } };

	return addr_net_of(&addr, 32);
}

static void
a_hundred_thousand_cost_what_one_costs(void **state)
{
	static struct peer *held[MANY], *again[MANY];
	struct peers *peers = peers_new();
	uint64_t begun = nanoseconds(), entered, looked, left;

	(void)state;
	for (uint32_t i = 0; i < MANY; i++) {
		struct addr_net net = numbered(i);

		held[i] = peers_enter(peers, &net, NULL);
	}
	entered = nanoseconds();
	for (uint32_t i = 0; i < MANY; i++) {
		struct addr_net net = numbered(i);

		again[i] = peers_enter(peers, &net, NULL);
	}
	looked = nanoseconds();
	assert_int_equal(peers_known(peers), MANY);
	for (uint32_t i = 0; i < MANY; i++) {
		assert_ptr_equal(held[i], again[i]);
		assert_int_equal(peer_count(held[i]), 2);
		peers_leave(peers, again[i]);
	}
	left = nanoseconds();
	for (uint32_t i = 0; i < MANY; i++)
		peers_leave(peers, held[i]);
	assert_int_equal(peers_known(peers), 0);
	peers_free(peers);
	print_message(
		"%d counts: %llu ns to make one, %llu to find it, %llu to leave\n",
		MANY, (unsigned long long)(entered - begun) / MANY,
		(unsigned long long)(looked - entered) / MANY,
		(unsigned long long)(left - looked) / MANY);
	/* A list would take a thousand times as long; sanitizers and a busy machine do
	 * not. */
	assert_true((looked - entered) / MANY < 20000);
}

/* Comings and goings without order: the counts are those of a plain array. */
static void
nothing_is_lost_on_the_way(void **state)
{
	enum { CLIENTS = 700, STEPS = 200000 };
	static unsigned count[CLIENTS];
	static struct peer *held[CLIENTS];
	struct peers *peers = peers_new();
	size_t known = 0;
	unsigned seed = 1;

	(void)state;
	for (int step = 0; step < STEPS; step++) {
		/* Now more come than go, now the other way round. */
		bool come = (unsigned)(rand_r(&seed) % 10) < (step / 20000 % 2 ? 3 : 7);
		uint32_t who = (uint32_t)rand_r(&seed) % CLIENTS;
		struct addr_net net = numbered(who);

		if (come) {
			held[who] = peers_enter(peers, &net, NULL);
			known += count[who]++ == 0;
			assert_int_equal(peer_count(held[who]), count[who]);
		} else if (count[who] > 0) {
			peers_leave(peers, held[who]);
			known -= --count[who] == 0;
		}
		assert_int_equal(peers_known(peers), known);
	}
	for (uint32_t who = 0; who < CLIENTS; who++)
		while (count[who]-- > 0)
			peers_leave(peers, held[who]);
	assert_int_equal(peers_known(peers), 0);
	peers_free(peers);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sessions_of_one_network_are_counted_together),
		cmocka_unit_test(an_ident_counts_for_its_address_alone),
		cmocka_unit_test(a_link_has_its_own),
		cmocka_unit_test(a_hundred_thousand_cost_what_one_costs),
		cmocka_unit_test(nothing_is_lost_on_the_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
