#include "loop.h"
#include "resolver_internal.h"
#include "stats.h"
#include "xclient.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * Against a name server of our own, which says what a row tells it to, right or wrong.
 * (That real ones are understood is for test/real.)
 */
enum {
	TYPE_A = 1,
	TYPE_NS = 2,
	TYPE_CNAME = 5,
	TYPE_SOA = 6,
	TYPE_PTR = 12,
	TYPE_MX = 15,
	TYPE_TXT = 16,
	TYPE_AAAA = 28,
	NXDOMAIN = 3,
	SERVFAIL = 2,
};

/* How it answers all questions for one name. */
struct zone_row {
	const char *name;
	int type;
	enum {
		TELLS,
		HAS_NONE,  /* no such record */
		KNOWS_NOT, /* NXDOMAIN */
		FAILS,     /* SERVFAIL */
		IS_SILENT,
		SAYS_RUBBISH,   /* the head of an answer, and then bytes */
		TELLS_WRONG_ID, /* as one who guesses would */
		TELLS_OTHER,    /* an answer to another question */
	} how;
	size_t count;
	const char *data; /* wire format of one record, */
	size_t size;      /* and its size */
};

#define WIRE(bytes) bytes, sizeof(bytes) - 1

static const struct zone_row zone[] = {
	{ "a.test", TYPE_A, TELLS, 1, WIRE("\xc0\0\2\1") },
	{ "many.test", TYPE_A, TELLS, 30, WIRE("\xc0\0\2\1") },
	{ "a.test", TYPE_AAAA, HAS_NONE, 0, NULL, 0 },
	{ "aaaa.test", TYPE_AAAA, TELLS, 2,
	  WIRE("\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1") },
	{ "mapped.test", TYPE_AAAA, TELLS, 1,
	  WIRE("\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1") },
	{ "short.test", TYPE_A, TELLS, 1, WIRE("\xc0\0\2") },
	{ "none.test", TYPE_A, KNOWS_NOT, 0, NULL, 0 },
	{ "fails.test", TYPE_A, FAILS, 0, NULL, 0 },
	{ "silent.test", TYPE_A, IS_SILENT, 0, NULL, 0 },
	{ "rubbish.test", TYPE_A, SAYS_RUBBISH, 0, NULL, 0 },
	{ "guessed.test", TYPE_A, TELLS_WRONG_ID, 1, WIRE("\x7f\0\0\1") },
	{ "other.test", TYPE_A, TELLS_OTHER, 1, WIRE("\x7f\0\0\1") },
	{ "text.test", TYPE_TXT, TELLS, 1, WIRE("\6v=spf1\5 -all\0") },
	{ "texts.test", TYPE_TXT, TELLS, 3, WIRE("\3one") },
	{ "nul.test", TYPE_TXT, TELLS, 1, WIRE("\3a\0b") },
	{ "empty.test", TYPE_TXT, TELLS, 1, WIRE("\0") },
	{ "mx.test", TYPE_MX, TELLS, 2, WIRE("\0\12\1a\4test\0") },
	{ "nomail.test", TYPE_MX, TELLS, 1, WIRE("\0\0\0") },
	{ "b\\.a c.test", TYPE_A, TELLS, 1, WIRE("\xc0\0\2\1") },
	/* how long they hold: see below */
	{ "second.test", TYPE_A, TELLS, 1, WIRE("\xc0\0\2\1") },
	{ "never.test", TYPE_A, TELLS, 1, WIRE("\xc0\0\2\1") },
	{ "gone.test", TYPE_A, KNOWS_NOT, 0, NULL, 0 },
	{ "gonesecond.test", TYPE_A, KNOWS_NOT, 0, NULL, 0 },
	{ "gonesoon.test", TYPE_A, HAS_NONE, 0, NULL, 0 },
	/* names: forth and back again */
	{ "1.2.0.192.in-addr.arpa", TYPE_PTR, TELLS, 1, WIRE("\1a\4test\0") },
	{ "2.2.0.192.in-addr.arpa", TYPE_PTR, TELLS, 1, WIRE("\1a\4test\0") },
	{ "3.2.0.192.in-addr.arpa", TYPE_PTR, TELLS, 1, WIRE("\4none\4test\0") },
	{ "4.2.0.192.in-addr.arpa", TYPE_PTR, TELLS, 1, WIRE("\5fails\4test\0") },
	{ "5.2.0.192.in-addr.arpa", TYPE_PTR, TELLS, 1,
	  WIRE("\x1e"
	       "evil\r\nMAIL FROM:<root@evil.t>\4test\0") },
	{ "6.2.0.192.in-addr.arpa", TYPE_PTR, TELLS, 1, WIRE("\1a\3b\0c\4test\0") },
	{ "7.2.0.192.in-addr.arpa", TYPE_PTR, TELLS, 1, WIRE("\3a.b\4test\0") },
	{ "8.2.0.192.in-addr.arpa", TYPE_PTR, TELLS, 1, WIRE("\0") },
	{ "9.2.0.192.in-addr.arpa", TYPE_PTR, FAILS, 0, NULL, 0 },
	{ "10.2.0.192.in-addr.arpa", TYPE_PTR, KNOWS_NOT, 0, NULL, 0 },
	{ "11.2.0.192.in-addr.arpa", TYPE_PTR, IS_SILENT, 0, NULL, 0 },
	{ "12.2.0.192.in-addr.arpa", TYPE_PTR, TELLS, 1, WIRE("\6silent\4test\0") },
	{ "13.2.0.192.in-addr.arpa", TYPE_PTR, TELLS, 1,
	  WIRE("\3192\1"
	       "0\1"
	       "2\2"
	       "13\0") },
	{ "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
	  TYPE_PTR, TELLS, 1, WIRE("\4aaaa\4test\0") },
	/* are you there? */
	{ "", TYPE_NS, HAS_NONE, 0, NULL, 0 },
};

/* A minute, and no SOA, unless it is said here. */
static const struct age {
	const char *name;
	uint32_t ttl;
	uint32_t soa_ttl, soa_least; /* 0: there is no SOA */
} ages[] = {
	{ "second.test", 1, 0, 0 },     { "never.test", UINT32_C(0x80000000), 0, 0 },
	{ "gone.test", 0, 600, 600 },   { "gonesecond.test", 0, 600, 1 },
	{ "gonesoon.test", 0, 1, 600 }, { "", 60, 0, 0 },
};

struct server {
	int fd;
	struct event *event;
	unsigned asked;
};

struct answerer {
	struct event_base *base;
	struct server server;
	struct config *cfg;
	struct resolver *resolver;
};

/* ---- the name server ------------------------------------------------------------ */

/* Reads the question's name; returns where it ends. */
static size_t
read_name(const unsigned char *packet, size_t size, char name[256])
{
	size_t at = 12, out = 0;

	while (at < size && packet[at] != 0) {
		memcpy(name + out, packet + at + 1, packet[at]);
		out += packet[at];
		at += packet[at] + 1u;
		name[out++] = '.';
	}
	name[out > 0 ? out - 1 : 0] = '\0';
	return at + 1;
}

static const struct zone_row *
row_of(const char *name, int type)
{
	for (size_t i = 0; i < sizeof(zone) / sizeof(zone[0]); i++)
		if (strcasecmp(zone[i].name, name) == 0 && zone[i].type == type)
			return &zone[i];
	return NULL;
}

static size_t
put(unsigned char *packet, size_t at, uint32_t number, size_t size)
{
	for (size_t i = 0; i < size; i++)
		packet[at + i] = (unsigned char)(number >> 8 * (size - 1 - i));
	return at + size;
}

/* Whose name is that of the question. */
static size_t
put_record(unsigned char *packet, size_t at, int type, uint32_t ttl, const char *data,
           size_t size)
{
	at = put(packet, at, 0xc00c, 2);
	at = put(packet, at, (uint32_t)type, 2);
	at = put(packet, at, 1, 2);
	at = put(packet, at, ttl, 4);
	at = put(packet, at, (uint32_t)size, 2);
	memcpy(packet + at, data, size);
	return at + size;
}

static size_t
put_records(const struct zone_row *row, unsigned char *packet, size_t at)
{
	unsigned char soa[2 + 5 * 4] = { 0 };
	const struct age *age = ages;

	while (age->name[0] && strcmp(age->name, row->name) != 0)
		age++;
	for (size_t i = 0; i < row->count; i++)
		at = put_record(packet, at, row->type, age->ttl, row->data, row->size);
	if (age->soa_ttl == 0)
		return at;
	packet[9] = 1;
	put(soa, sizeof(soa) - 4, age->soa_least, 4);
	return put_record(packet, at, TYPE_SOA, age->soa_ttl, (const char *)soa,
	                  sizeof(soa));
}

/* Turns the question in PACKET, whose name ends at AT, into an answer. */
static size_t
answer(const struct zone_row *row, unsigned char *packet, size_t at, size_t size)
{
	size_t end = at + 4;

	assert_true(end <= size);
	packet[2] = 0x81; /* an answer, recursion wanted */
	packet[3] = 0x80; /* and available */
	packet[7] = (unsigned char)row->count;
	packet[9] = packet[11] = 0;
	switch (row->how) {
	case TELLS_WRONG_ID:
		packet[0] ^= 0x55;
		break;
	case TELLS_OTHER:
		packet[13] ^= 1;
		break;
	case KNOWS_NOT:
		packet[3] |= NXDOMAIN;
		break;
	case FAILS:
		packet[3] |= SERVFAIL;
		break;
	case SAYS_RUBBISH:
		packet[7] = 200;
		memset(packet + end, 0xc0, 100);
		return end + 100;
	case TELLS:
	case HAS_NONE:
	case IS_SILENT:
		break;
	}
	return put_records(row, packet, end);
}

static void
on_question(evutil_socket_t fd, short what, void *arg)
{
	struct server *server = arg;
	unsigned char packet[4096];
	struct sockaddr_storage from;
	socklen_t from_size = sizeof(from);
	const struct zone_row *row;
	char name[256];
	ssize_t size;
	size_t at;

	(void)what;
	size = recvfrom(fd, packet, sizeof(packet), 0, (struct sockaddr *)&from,
	                &from_size);
	assert_true(size > 12);
	at = read_name(packet, (size_t)size, name);
	server->asked += name[0] != '\0';
	row = row_of(name, packet[at] << 8 | packet[at + 1]);
	if (!row)
		fail_msg("nobody should ask for %s", name);
	if (row->how == IS_SILENT)
		return;
	at = answer(row, packet, at, (size_t)size);
	sendto(fd, packet, at, 0, (struct sockaddr *)&from, from_size);
}

static void
begin(struct answerer *all)
{
	struct addr addr;
	char why[512];

	*all = (struct answerer){ .base = event_base_new() };
	all->server.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_true(addr_parse(&addr, "127.0.0.1", 0));
	assert_int_equal(bind(all->server.fd, &addr.any, addr_size(&addr)), 0);
	all->server.event = event_new(all->base, all->server.fd, EV_READ | EV_PERSIST,
	                              on_question, &all->server);
	event_add(all->server.event, NULL);
	all->cfg = config_load(NULL, why, sizeof(why), NULL, NULL);
	assert_non_null(all->cfg);
	addr = addr_local(all->server.fd);
	all->cfg->resolver_port = addr_port(&addr);
	all->cfg->resolver.count = 1;
	all->cfg->resolver.at = xcalloc(1, sizeof(char *));
	all->cfg->resolver.at[0] = xstrdup("127.0.0.1");
	all->resolver = resolver_new(all->cfg, why, sizeof(why));
	if (!all->resolver)
		fail_msg("%s", why);
	resolver_start(all->resolver, all->base);
}

static void
end(struct answerer *all)
{
	resolver_free(all->resolver);
	config_drop(all->cfg);
	event_free(all->server.event);
	close(all->server.fd);
	event_base_free(all->base);
}

/* ---- questions ---------------------------------------------------------------------- */

/* What came back, as text: "FOUND a b", "NOTHING", "FAILED", "FAILED unasked". */
struct told {
	char text[2048];
	unsigned times;
};

static const char *const results[] = {
	[RESOLVER_FOUND] = "FOUND",
	[RESOLVER_NOTHING] = "NOTHING",
	[RESOLVER_FAILED] = "FAILED",
};

static void
on_answer(const struct resolver_answer *answer, void *arg)
{
	struct told *told = arg;
	char text[ADDR_TEXT_SIZE];
	size_t at;

	told->times++;
	at = (size_t)sprintf(told->text, "%s%s", results[answer->result],
	                     answer->is_unasked ? " unasked" : "");
	for (size_t i = 0; i < answer->count && answer->addrs; i++)
		at += (size_t)sprintf(told->text + at, " %s",
		                      addr_text(&answer->addrs[i], text));
	for (size_t i = 0; i < answer->count && answer->texts; i++)
		at += (size_t)sprintf(told->text + at, " {%s}", answer->texts[i]);
}

static void
test_answers(void **state)
{
	static const struct {
		enum resolver_type type;
		const char *name, *told;
	} rows[] = {
		{ RESOLVER_A, "a.test", "FOUND 192.0.2.1" },
		{ RESOLVER_A, "A.TEST", "FOUND 192.0.2.1" },
		{ RESOLVER_AAAA, "a.test", "NOTHING" },
		{ RESOLVER_AAAA, "aaaa.test", "FOUND 2001:db8::1 2001:db8::1" },
		{ RESOLVER_AAAA, "mapped.test", "FOUND 192.0.2.1" },
		{ RESOLVER_A, "none.test", "NOTHING" },
		{ RESOLVER_A, "fails.test", "FAILED" },
		{ RESOLVER_A, "rubbish.test", "FAILED" },
		{ RESOLVER_A, "short.test", "NOTHING" },
		{ RESOLVER_TXT, "text.test", "FOUND {v=spf1 -all}" },
		{ RESOLVER_TXT, "texts.test", "FOUND {one} {one} {one}" },
		{ RESOLVER_TXT, "nul.test", "FOUND {a\x1a\x62}" },
		{ RESOLVER_TXT, "empty.test", "FOUND {}" },
		{ RESOLVER_PTR, "1.2.0.192.in-addr.arpa", "FOUND {a.test}" },
		{ RESOLVER_MX, "mx.test", "FOUND {a.test} {a.test}" },
		{ RESOLVER_MX, "nomail.test", "FOUND {}" },
		{ RESOLVER_A, "b\\.a c.test", "FOUND 192.0.2.1" },
		/* never sent */
		{ RESOLVER_A, "a..test", "NOTHING" },
		{ RESOLVER_A,
		  "0123456789012345678901234567890123456789012345678901234567890123."
		  "test",
		  "NOTHING" },
	};
	struct answerer all;

	(void)state;
	begin(&all);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct told told = { .times = 0 };

		assert_non_null(resolver_ask(all.resolver, rows[i].type, rows[i].name,
		                             30, on_answer, &told));
		assert_int_equal(told.times, 0); /* never from within */
		LOOP_UNTIL(all.base, told.times > 0);
		loop_turn(all.base, 5);
		assert_int_equal(told.times, 1);
		if (strcmp(told.text, rows[i].told) != 0)
			fail_msg("%s: %s, not %s", rows[i].name, told.text,
			         rows[i].told);
	}
	end(&all);
}

/* ---- answers that still hold ----------------------------------------------------------- */

/* Asks as often; returns how often the name server was asked. */
static unsigned
asked_for(struct answerer *all, const char *name, unsigned times, const char *text)
{
	unsigned before = all->server.asked;
	int64_t cached = stats_get(STAT_dns_cached);
	int64_t questions = stats_get(STAT_dns_questions);

	for (unsigned i = 0; i < times; i++) {
		struct told told = { .times = 0 };

		resolver_ask(all->resolver, RESOLVER_A, name, 30, on_answer, &told);
		assert_int_equal(told.times, 0);
		LOOP_UNTIL(all->base, told.times > 0);
		assert_string_equal(told.text, text);
	}
	cached = stats_get(STAT_dns_cached) - cached;
	questions = stats_get(STAT_dns_questions) - questions;
	assert_int_equal(cached + questions, times);
	assert_true(all->server.asked - before >= questions);
	return (unsigned)questions;
}

static void
test_kept(void **state)
{
	static const char found[] = "FOUND 192.0.2.1";
	struct answerer all;

	(void)state;
	begin(&all);
	assert_int_equal(asked_for(&all, "a.test", 3, found), 1);
	assert_int_equal(asked_for(&all, "A.Test", 1, found), 0);
	assert_int_equal(asked_for(&all, "gone.test", 3, "NOTHING"), 1);
	assert_int_equal(asked_for(&all, "none.test", 3, "NOTHING"), 3); /* no SOA */
	assert_int_equal(asked_for(&all, "fails.test", 2, "FAILED"), 2);
	assert_int_equal(asked_for(&all, "never.test", 2, found), 2);
	assert_int_equal(asked_for(&all, "second.test", 2, found), 1);
	assert_int_equal(asked_for(&all, "gonesecond.test", 2, "NOTHING"), 1);
	assert_int_equal(asked_for(&all, "gonesoon.test", 2, "NOTHING"), 1);
	loop_turn(all.base, 1100);
	assert_int_equal(asked_for(&all, "second.test", 2, found), 1);
	assert_int_equal(asked_for(&all, "gonesecond.test", 2, "NOTHING"), 1);
	assert_int_equal(asked_for(&all, "gonesoon.test", 2, "NOTHING"), 1);
	assert_int_equal(asked_for(&all, "gone.test", 1, "NOTHING"), 0);
	end(&all);
	assert_int_equal(stats_get(STAT_dns_cache), 0);
}

static void
again(struct answerer *all)
{
	char why[512];

	resolver_free(all->resolver);
	all->resolver = resolver_new(all->cfg, why, sizeof(why));
	assert_non_null(all->resolver);
	resolver_start(all->resolver, all->base);
}

static void
test_kept_for_how_long(void **state)
{
	static const char found[] = "FOUND 192.0.2.1";
	struct answerer all;

	(void)state;
	begin(&all);
	all.cfg->resolver_ttl_min = 600;
	again(&all);
	assert_int_equal(asked_for(&all, "never.test", 2, found), 1);
	assert_int_equal(asked_for(&all, "second.test", 1, found), 1);
	loop_turn(all.base, 1100);
	assert_int_equal(asked_for(&all, "second.test", 1, found), 0);
	all.cfg->resolver_ttl_min = 0;
	all.cfg->resolver_ttl_max = 1;
	again(&all);
	assert_int_equal(asked_for(&all, "a.test", 2, found), 1);
	loop_turn(all.base, 1100);
	assert_int_equal(asked_for(&all, "a.test", 2, found), 1);
	all.cfg->resolver_cache = 0;
	again(&all);
	assert_int_equal(asked_for(&all, "a.test", 2, found), 2);
	end(&all);
}

/* Many names, much text: it never holds more than it may, and what is asked for stays. */
static void
test_kept_is_bounded(void **state)
{
	enum { ROOM = 100000, NAMES = 5000 };
	struct resolver_cache *cache = resolver_cache_new(ROOM);
	char first[] = "v=spf1 -all", second[] = "something else";
	char *texts[] = { first, second };
	struct resolver_answer answer = { .result = RESOLVER_FOUND,
		                          .count = 2,
		                          .texts = texts };
	struct resolver_answer got;
	unsigned kept = 0;
	char name[32];

	(void)state;
	for (unsigned i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "n%u.test", i);
		resolver_cache_put(cache, RESOLVER_TXT, name, &answer, 600);
		assert_true(stats_get(STAT_dns_cache) <= ROOM);
		got = (struct resolver_answer){ .count = 0 };
		assert_true(resolver_cache_get(cache, RESOLVER_TXT, "n0.test", &got));
		assert_string_equal(got.texts[1], texts[1]);
		resolver_answer_clear(&got);
	}
	for (unsigned i = 0; i < NAMES; i++) {
		got = (struct resolver_answer){ .count = 0 };
		snprintf(name, sizeof(name), "n%u.test", i);
		kept += resolver_cache_get(cache, RESOLVER_TXT, name, &got);
		resolver_answer_clear(&got);
		assert_false(resolver_cache_get(cache, RESOLVER_MX, name, &got));
	}
	assert_in_range(kept, 200, 1000);
	assert_true(stats_get(STAT_dns_cache) > ROOM / 2);
	resolver_cache_free(cache);
	assert_int_equal(stats_get(STAT_dns_cache), 0);
}

/* A packet may end anywhere, and lie about what is in it. */
static void
test_ttl_of_packets(void **state)
{
	static const unsigned char packet[] =
		"\0\1\x81\x80\0\1\0\2\0\0\0\0"
		"\1a\4test\0\0\1\0\1"
		"\xc0\x0c\0\5\0\1\0\0\0\x20\0\2\xc0\x0c"
		"\1b\xc0\x0e\0\1\0\1\0\0\0\x10\0\4\xc0\0\2\1";
	size_t whole = sizeof(packet) - 1;

	(void)state;
	assert_int_equal(resolver_packet_ttl(packet, whole, false), 16);
	assert_int_equal(resolver_packet_ttl(packet, whole, true), 0);
	assert_int_equal(resolver_packet_ttl(NULL, 0, false), 0);
	for (size_t size = 0; size < whole; size++) {
		unsigned char *part = xmalloc(size + 1); /* so that more is noticed */

		memcpy(part + 1, packet, size);
		assert_int_equal(resolver_packet_ttl(part + 1, size, false), 0);
		free(part);
	}
}

static void
test_many_records(void **state)
{
	struct told told = { .times = 0 };
	struct answerer all;

	(void)state;
	begin(&all);
	resolver_ask(all.resolver, RESOLVER_A, "many.test", 30, on_answer, &told);
	LOOP_UNTIL(all.base, told.times > 0);
	assert_int_equal(strlen(told.text),
	                 strlen("FOUND") + 30 * strlen(" 192.0.2.1"));
	end(&all);
}

/* Silence, and answers of others, end when their time is up; the failure is counted. */
static void
test_time_is_up(void **state)
{
	static const char *const names[] = { "silent.test", "guessed.test",
		                             "other.test" };
	struct answerer all;
	int64_t failed;

	(void)state;
	begin(&all);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct told told = { .times = 0 };
		double start = loop_clock(), start_here = loop_here();

		failed = stats_get(STAT_dns_failed);
		resolver_ask(all.resolver, RESOLVER_A, names[i], 1, on_answer, &told);
		LOOP_UNTIL(all.base, told.times > 0);
		assert_string_equal(told.text, "FAILED");
		assert_true(loop_clock() - start > 0.9);
		assert_true(loop_here() - start_here < 3);
		assert_int_equal(stats_get(STAT_dns_failed), failed + 1);
	}
	assert_true(all.server.asked >= 3);
	end(&all); /* while c-ares still waits for answers */
}

/* Nobody is there at all. */
static void
test_no_server(void **state)
{
	struct told told = { .times = 0 };
	struct answerer all;

	(void)state;
	begin(&all);
	resolver_free(all.resolver);
	all.cfg->resolver_port = 1;
	all.resolver = resolver_new(all.cfg, told.text, sizeof(told.text));
	assert_non_null(all.resolver);
	resolver_start(all.resolver, all.base);
	resolver_ask(all.resolver, RESOLVER_A, "a.test", 5, on_answer, &told);
	LOOP_UNTIL(all.base, told.times > 0);
	assert_string_equal(told.text, "FAILED unasked");
	end(&all);
}

/* One name that nobody answers for says nothing of the others. */
static void
test_silent_name(void **state)
{
	struct told silent = { .times = 0 }, told = { .times = 0 };
	struct answerer all;
	double start = loop_clock();

	(void)state;
	begin(&all);
	resolver_ask(all.resolver, RESOLVER_A, "silent.test", 5, on_answer, &silent);
	LOOP_UNTIL(all.base, silent.times > 0 || loop_clock() > start + 4.5);
	assert_int_equal(stats_get(STAT_dns_gone), 0);
	resolver_ask(all.resolver, RESOLVER_A, "a.test", 5, on_answer, &told);
	LOOP_UNTIL(all.base, told.times > 0);
	assert_string_equal(told.text, "FOUND 192.0.2.1");
	LOOP_UNTIL(all.base, silent.times > 0);
	assert_string_equal(silent.text, "FAILED");
	end(&all);
}

/* Servers that are there and say nothing: nobody waits for them for long. */
static void
test_silent_server(void **state)
{
	struct told first = { .times = 0 }, second = { .times = 0 };
	struct answerer all;
	double start = loop_here();

	(void)state;
	begin(&all);
	event_del(all.server.event);
	resolver_ask(all.resolver, RESOLVER_A, "a.test", 60, on_answer, &first);
	LOOP_UNTIL(all.base, first.times > 0);
	assert_string_equal(first.text, "FAILED unasked");
	assert_true(loop_here() - start < 20);
	assert_int_equal(stats_get(STAT_dns_gone), 1);
	start = loop_here();
	resolver_ask(all.resolver, RESOLVER_A, "a.test", 60, on_answer, &second);
	LOOP_UNTIL(all.base, second.times > 0);
	assert_string_equal(second.text, "FAILED unasked");
	assert_true(loop_here() - start < 0.5);

	event_add(all.server.event, NULL); /* what was asked before is answered now */
	LOOP_UNTIL(all.base, stats_get(STAT_dns_gone) == 0);
	assert_int_equal(stats_get(STAT_dns_gone), 0);
	second.times = 0;
	resolver_ask(all.resolver, RESOLVER_TXT, "text.test", 5, on_answer, &second);
	LOOP_UNTIL(all.base, second.times > 0);
	assert_string_equal(second.text, "FOUND {v=spf1 -all}");
	end(&all);
}

static void
test_cancel(void **state)
{
	struct told told = { .times = 0 };
	struct answerer all;

	(void)state;
	begin(&all);
	for (unsigned turn = 0; turn < 200;
	     turn++) { /* whatever has happened by then */
		struct resolver_question *question = resolver_ask(
			all.resolver, RESOLVER_A, turn % 2 ? "a.test" : "a..test", 30,
			on_answer, &told);

		if (turn % 3 == 0)
			event_base_loop(all.base, EVLOOP_NONBLOCK);
		if (told.times == 0)
			resolver_cancel(question);
		told.times = 0;
	}
	for (int i = 0; i < 20; i++)
		loop_turn(all.base, 5);
	assert_int_equal(told.times, 0);
	resolver_cancel(NULL);
	end(&all);
}

/* The name server is asked no more questions at a time than the header says; what is
 * beyond fails, and does so at once. */
static void
test_bounded(void **state)
{
	struct resolver_question *asked[RESOLVER_QUESTIONS_MAX];
	struct told told = { .times = 0 }, late = { .times = 0 };
	struct answerer all;

	(void)state;
	begin(&all);
	for (size_t i = 0; i < RESOLVER_QUESTIONS_MAX; i++)
		asked[i] = resolver_ask(all.resolver, RESOLVER_A, "silent.test", 60,
		                        on_answer, &told);
	resolver_ask(all.resolver, RESOLVER_A, "a.test", 60, on_answer, &late);
	assert_int_equal(late.times, 0);
	LOOP_UNTIL(all.base, late.times > 0);
	assert_string_equal(late.text, "FAILED unasked");
	for (size_t i = 0; i < RESOLVER_QUESTIONS_MAX; i++)
		resolver_cancel(asked[i]);
	late.times = 0; /* those that are cancelled still count */
	resolver_ask(all.resolver, RESOLVER_A, "a.test", 60, on_answer, &late);
	LOOP_UNTIL(all.base, late.times > 0);
	assert_string_equal(late.text, "FAILED unasked");
	assert_int_equal(told.times, 0);
	end(&all);
}

/* A failed question leaves what it was asked by free to ask again, and to end. */
struct chain {
	struct resolver *resolver;
	unsigned left;
};

static void
ask_again(const struct resolver_answer *answer, void *arg)
{
	struct chain *chain = arg;

	assert_int_equal(answer->result, RESOLVER_FOUND);
	if (--chain->left > 0)
		resolver_ask(chain->resolver, RESOLVER_A, "a.test", 30, ask_again,
		             chain);
}

static void
test_ask_from_answer(void **state)
{
	struct answerer all;
	struct chain chain = { .left = 50 };

	(void)state;
	begin(&all);
	chain.resolver = all.resolver;
	resolver_ask(all.resolver, RESOLVER_A, "a.test", 30, ask_again, &chain);
	LOOP_UNTIL(all.base, chain.left == 0);
	assert_int_equal(chain.left, 0);
	end(&all);
}

/* ---- names ---------------------------------------------------------------------------- */

static void
test_reverse(void **state)
{
	char name[ADDR_REVERSE_SIZE];
	struct addr addr;

	(void)state;
	assert_true(addr_parse(&addr, "192.0.2.250", 25));
	addr_reverse(&addr, name);
	assert_string_equal(name, "250.2.0.192.in-addr.arpa");
	assert_true(addr_parse(&addr, "fe80:1234::abcd:ef01%lo", 25));
	addr_reverse(&addr, name);
	assert_string_equal(name, "1.0.f.e.d.c.b.a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
	                          "4.3.2.1.0.8.e.f.ip6.arpa");
	assert_true(addr_parse(&addr, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 25));
	addr_reverse(&addr, name);
	assert_int_equal(strlen(name), strlen("f.") * 32 + strlen("ip6.arpa"));
}

static void
on_host(const struct resolver_host *host, void *arg)
{
	struct told *told = arg;

	told->times++;
	sprintf(told->text, "%s %s%s", host->name[0] ? host->name : "-",
	        host->verified ? "verified" : "alone", host->unsure ? " unsure" : "");
}

static void
test_names(void **state)
{
	static const char *const rows[][2] = {
		{ "192.0.2.1", "a.test verified" },
		{ "2001:db8::1", "aaaa.test verified" },
		{ "192.0.2.2", "a.test alone" }, /* it claims to be another */
		{ "192.0.2.3", "none.test alone" },
		{ "192.0.2.4", "fails.test alone unsure" },
		{ "192.0.2.5", "- alone" }, /* no host names, and what they could do: */
		{ "192.0.2.6", "- alone" },
		{ "192.0.2.7", "- alone" },
		{ "192.0.2.8", "- alone" },
		{ "192.0.2.13", "- alone" },
		{ "192.0.2.9", "- alone unsure" },
		{ "192.0.2.10", "- alone" },
		{ "192.0.2.11", "- alone unsure" },
		{ "192.0.2.12", "silent.test alone unsure" },
	};
	struct answerer all;
	struct addr addr;

	(void)state;
	begin(&all);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct told told = { .times = 0 };

		assert_true(addr_parse(&addr, rows[i][0], 4711));
		resolver_name_start(all.resolver, &addr, 1, on_host, &told);
		assert_int_equal(told.times, 0);
		LOOP_UNTIL(all.base, told.times > 0);
		assert_int_equal(told.times, 1);
		if (strcmp(told.text, rows[i][1]) != 0)
			fail_msg("%s: %s, not %s", rows[i][0], told.text, rows[i][1]);
	}
	end(&all);
}

static void
test_naming_cancelled(void **state)
{
	struct told told = { .times = 0 };
	struct answerer all;
	struct addr addr;

	(void)state;
	begin(&all);
	assert_true(addr_parse(&addr, "192.0.2.12", 0));
	for (int turns = 0; turns < 8;
	     turns++) { /* in the first question, in the second */
		struct resolver_naming *naming = resolver_name_start(
			all.resolver, &addr, 30, on_host, &told);

		for (int i = 0; i < turns; i++)
			loop_turn(all.base, 3);
		resolver_name_cancel(naming);
	}
	loop_turn(all.base, 20);
	assert_int_equal(told.times, 0);
	resolver_name_cancel(NULL);
	end(&all);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_kept_for_how_long),
		cmocka_unit_test(test_kept_is_bounded),
		cmocka_unit_test(test_ttl_of_packets),
		cmocka_unit_test(test_many_records),
		cmocka_unit_test(test_time_is_up),
		cmocka_unit_test(test_no_server),
		cmocka_unit_test(test_silent_name),
		cmocka_unit_test(test_silent_server),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_ask_from_answer),
		cmocka_unit_test(test_reverse),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_naming_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
