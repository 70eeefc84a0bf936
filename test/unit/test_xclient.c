#include "xclient.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct addr
addr(const char *text, uint16_t port)
{
	struct addr addr = { 0 };

	assert_true(addr_parse(&addr, text, port));
	return addr;
}

static void
says(const char *verb, unsigned attributes, const struct xclient_facts *facts,
     const char *expected)
{
	char line[XCLIENT_COMMAND_MAX + 1];
	size_t size = xclient_command(verb, attributes, facts, line);

	assert_int_equal(size, strlen(line));
	assert_string_equal(line, expected);
}

static void
test_xclient(void **state)
{
	struct xclient_facts facts = {
		.client = addr("192.0.2.7", 4711),
		.dialled = addr("198.51.100.1", 25),
		.name = "mail.example.org",
		.reverse_name = "mail.example.org",
	};

	(void)state;
	says("XCLIENT", XCLIENT_ADDR, &facts, "XCLIENT ADDR=192.0.2.7\r\n");
	says("XCLIENT", XCLIENT_ALL, &facts,
	     "XCLIENT ADDR=192.0.2.7 PORT=4711 DESTADDR=198.51.100.1 DESTPORT=25 "
	     "NAME=mail.example.org\r\n");
	facts.name = NULL;
	says("XCLIENT", XCLIENT_NAME | XCLIENT_REVERSE_NAME, &facts,
	     "XCLIENT NAME=[UNAVAILABLE] REVERSE_NAME=mail.example.org\r\n");
	facts.name_unsure = true;
	says("XCLIENT", XCLIENT_NAME | XCLIENT_REVERSE_NAME, &facts,
	     "XCLIENT NAME=[TEMPUNAVAIL] REVERSE_NAME=mail.example.org\r\n");
	facts.reverse_name = NULL;
	says("XCLIENT", XCLIENT_NAME | XCLIENT_REVERSE_NAME, &facts,
	     "XCLIENT NAME=[TEMPUNAVAIL] REVERSE_NAME=[TEMPUNAVAIL]\r\n");
	facts.name_unsure = false;
	says("XCLIENT", XCLIENT_NAME | XCLIENT_REVERSE_NAME, &facts,
	     "XCLIENT NAME=[UNAVAILABLE] REVERSE_NAME=[UNAVAILABLE]\r\n");
}

/* IPv6 is marked; the scope of a link-local address means nothing to the server. */
static void
test_addresses(void **state)
{
	struct xclient_facts facts = { .client = addr("2001:db8::1", 1) };

	(void)state;
	says("XCLIENT", XCLIENT_ADDR | XCLIENT_PORT, &facts,
	     "XCLIENT ADDR=IPV6:2001:db8::1 PORT=1\r\n");
	says("XCLIENT", XCLIENT_DESTADDR | XCLIENT_DESTPORT, &facts,
	     "XCLIENT DESTADDR=[UNAVAILABLE] DESTPORT=[UNAVAILABLE]\r\n");
	facts.client = addr("fe80::1%lo", 65535);
	says("XCLIENT", XCLIENT_ADDR | XCLIENT_PORT, &facts,
	     "XCLIENT ADDR=IPV6:fe80::1 PORT=65535\r\n");
	facts.client = addr("::ffff:192.0.2.7", 0);
	says("XCLIENT", XCLIENT_ADDR | XCLIENT_PORT, &facts,
	     "XCLIENT ADDR=192.0.2.7 PORT=[UNAVAILABLE]\r\n");
}

static void
test_xforward(void **state)
{
	struct xclient_facts facts = { .client = addr("192.0.2.7", 4711) };

	(void)state;
	says("XFORWARD", XFORWARD_ALL, &facts,
	     "XFORWARD ADDR=192.0.2.7 PORT=4711 NAME=[UNAVAILABLE] SOURCE=REMOTE "
	     "PROTO=[UNAVAILABLE] HELO=[UNAVAILABLE]\r\n");
	facts.is_local = facts.esmtp = true;
	facts.helo = "client.example";
	says("XFORWARD", XFORWARD_ALL, &facts,
	     "XFORWARD ADDR=192.0.2.7 PORT=4711 NAME=[UNAVAILABLE] SOURCE=LOCAL "
	     "PROTO=ESMTP HELO=client.example\r\n");
	facts.esmtp = false;
	facts.helo = "";
	says("XFORWARD", XCLIENT_PROTO | XCLIENT_HELO, &facts,
	     "XFORWARD PROTO=SMTP HELO=[UNAVAILABLE]\r\n");
}

/* What a client says in HELO, and what the server gets. */
static void
test_helo(void **state)
{
	static const char *const rows[][2] = {
		{ "a+b=c", "a+2Bb+3Dc" },        { "[192.0.2.1]", "[192.0.2.1]" },
		{ "+++", "+2B+2B+2B" },          { "~!\"%", "~!\"%" },
		{ "a b", "[UNAVAILABLE]" },      { "a\tb", "[UNAVAILABLE]" },
		{ "a\rb", "[UNAVAILABLE]" },     { "a\nMAIL", "[UNAVAILABLE]" },
		{ "a\x7f", "[UNAVAILABLE]" },    { "a\x1b", "[UNAVAILABLE]" },
		{ "\xc3\xa4", "[UNAVAILABLE]" },
	};
	struct xclient_facts facts = { 0 };
	char expected[128];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		facts.helo = rows[i][0];
		snprintf(expected, sizeof(expected), "XFORWARD HELO=%s\r\n",
		         rows[i][1]);
		says("XFORWARD", XCLIENT_HELO, &facts, expected);
	}
}

/* The longest that there can be is no longer than a command may be; a HELO that does not
 * fit is left out, as is one that may not be sent at all. */
static void
test_longest(void **state)
{
	char name[254], helo[300], line[XCLIENT_COMMAND_MAX + 1];
	struct xclient_facts facts = {
		.client = addr("2001:db8:1111:2222:3333:4444:5555:6666", 65535),
		.dialled = addr("2001:db8:1111:2222:3333:4444:5555:7777", 65535),
		.name_unsure = true,
		.helo = helo,
		.esmtp = true,
	};
	size_t size, without;

	(void)state;
	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 4 == 3 ? '.' : 'a';
	name[253] = '\0';
	assert_true(xclient_is_host_name(name));
	facts.name = facts.reverse_name = name;
	size = xclient_command("XCLIENT", XCLIENT_ALL, &facts, line);
	assert_true(size < XCLIENT_COMMAND_MAX);
	assert_non_null(strstr(line, name));
	facts.name = NULL;
	size = xclient_command("XCLIENT", XCLIENT_ALL, &facts, line);
	assert_true(size < XCLIENT_COMMAND_MAX);
	assert_non_null(strstr(line, name));

	facts.name = name;
	without = xclient_command("XFORWARD", XFORWARD_ALL & ~XCLIENT_HELO, &facts,
	                          line);
	for (size_t length = 1; length < sizeof(helo); length++) {
		bool fits;

		memset(helo, '=', length);
		helo[length] = '\0';
		size = xclient_command("XFORWARD", XFORWARD_ALL, &facts, line);
		assert_true(size <= XCLIENT_COMMAND_MAX);
		assert_string_equal(line + size - 2, "\r\n");
		fits = strstr(line, " HELO=+3D") != NULL;
		assert_true(fits || strstr(line, " HELO=[UNAVAILABLE]\r\n"));
		assert_true(fits == (without + strlen(" HELO=") + 3 * length <=
		                     XCLIENT_COMMAND_MAX));
	}
	for (size_t length = 250; length <= 260; length++) {
		memset(helo, 'h', length);
		helo[length] = '\0';
		xclient_command("XFORWARD", XCLIENT_HELO, &facts, line);
		assert_true((strstr(line, "HELO=hhhh") != NULL) == (length <= 255));
	}
}

/* A name is looked at again where it is written. */
static void
test_names_are_data(void **state)
{
	struct xclient_facts facts = {
		.name = "evil\r\nMAIL FROM:<a@b>",
		.reverse_name = "a LOGIN=root",
	};

	(void)state;
	says("XCLIENT", XCLIENT_NAME, &facts, "XCLIENT NAME=[UNAVAILABLE]\r\n");
	facts.name = NULL;
	says("XCLIENT", XCLIENT_REVERSE_NAME, &facts,
	     "XCLIENT REVERSE_NAME=[UNAVAILABLE]\r\n");
}

static void
test_host_names(void **state)
{
	static const char *const good[] = {
		"a",       "a.b",           "mail.example.org",
		"1.a",     "3com.example",  "a-b.c-d",
		"x--y",    "MAIL.EXAMPLE",  "xn--bcher-kva.example",
		"1.2.3.a", "123.example.4a"
	};
	static const char *const bad[] = {
		"",     ".",         "a.",      ".a",          "a..b", "-a",
		"a-",   "a.-b",      "a-.b",    "a_b",         "a b",  "a\tb",
		"a\n",  "a\r\nb",    "a+b",     "a=b",         "a/b",  "a\\b",
		"1",    "192.0.2.1", "a.1",     "a.12",        "[a]",  "a:b",
		"\xe4", "a\x7f",     "a\x01.b", "2001:db8::1", "*.a",  "a.b\\000.c"
	};
	char name[300];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!xclient_is_host_name(good[i]))
			fail_msg("%s is one", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (xclient_is_host_name(bad[i]))
			fail_msg("%s is none", bad[i]);
	for (size_t size = 60; size <= 70; size++) {
		memset(name, 'a', size);
		name[size] = '\0';
		assert_true(xclient_is_host_name(name) == (size <= 63));
	}
	for (size_t size = 250; size <= 260; size++) {
		for (size_t i = 0; i < size; i++)
			name[i] = i % 50 == 10 ? '.' : 'a';
		name[size] = '\0';
		assert_true(xclient_is_host_name(name) == (size <= 253));
	}
}

/* Every byte, alone and in the middle, against the sentence in the header. */
static void
test_host_name_bytes(void **state)
{
	char name[] = "a?b.c";

	(void)state;
	for (int c = 1; c < 256; c++) {
		bool wanted = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		              (c >= 'A' && c <= 'Z') || c == '-' || c == '.';

		name[1] = (char)c;
		assert_true(xclient_is_host_name(name) == wanted);
	}
}

static void
test_offered(void **state)
{
	static const struct {
		const char *line;
		unsigned xclient, xforward;
	} rows[] = {
		{ "XCLIENT NAME ADDR", XCLIENT_NAME | XCLIENT_ADDR, 0 },
		{ "xclient\tname  aDDr ", XCLIENT_NAME | XCLIENT_ADDR, 0 },
		{ " XCLIENT ADDR", XCLIENT_ADDR, 0 },
		{ "XCLIENT", 0, 0 },
		{ "XCLIENTADDR ADDR", 0, 0 },
		{ "XCLIENT NAMES ADDRESS LOGIN SESSION =", 0, 0 },
		{ "XCLIENT REVERSE_NAME PORT DESTADDR DESTPORT",
		  XCLIENT_REVERSE_NAME | XCLIENT_PORT | XCLIENT_DESTADDR |
		          XCLIENT_DESTPORT,
		  0 },
		{ "XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT", 0, XFORWARD_ALL },
		{ "SIZE XCLIENT ADDR", 0, 0 },
		{ "", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct reply_line line = { rows[i].line, strlen(rows[i].line) };

		assert_int_equal(xclient_offered(&line, "XCLIENT"), rows[i].xclient);
		assert_int_equal(xclient_offered(&line, "XFORWARD"), rows[i].xforward);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_xclient),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_xforward),
		cmocka_unit_test(test_helo),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_names_are_data),
		cmocka_unit_test(test_host_names),
		cmocka_unit_test(test_host_name_bytes),
		cmocka_unit_test(test_offered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
