#include "proxyproto.h"

#include "feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIG "\r\n\r\n\0\r\nQUIT\n"

/* A case: bytes, and what becomes of them.  A string's own NUL is not part of it. */
#define BYTES(text) text, sizeof(text) - 1

#define FOUR    "\xc0\x00\x02\x01\xcb\x00\x71\x19\x9c\x40\x00\x19"
#define TOLD    "tcp 192.0.2.1:40000 203.0.113.25:25"
#define HOST(n) "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0" n
#define SIX     HOST("\x01") HOST("\x19") "\x9c\x40\x00\x19"
#define TOLD6   "tcp [2001:db8::1]:40000 [2001:db8::19]:25"

#define TEN   "0123456789"
#define FIFTY TEN TEN TEN TEN TEN

static const struct {
	const char *bytes;
	size_t size;
	const char *outcome; /* "SIZE VERSION KIND ...", "more", or words */
} rows[] = {
	/* version 1 */
	{ BYTES(""), "more" },
	{ BYTES("P"), "more" },
	{ BYTES("PROXY "), "more" },
	{ BYTES("PROXY TCP4 192.0.2.1 203.0.113.25 40000 25\r"), "more" },
	{ BYTES("PROXY TCP4 192.0.2.1 203.0.113.25 40000 25\r\n"), "44 1 " TOLD },
	{ BYTES("PROXY TCP4 192.0.2.1 203.0.113.25 40000 25\r\nEHLO a\r\n"),
	  "44 1 " TOLD },
	{ BYTES("PROXY TCP4 192.0.2.1 203.0.113.25 40000 25\r\n\r\n\0"), "44 1 " TOLD },
	{ BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
	  "56 1 tcp 255.255.255.255:65535 255.255.255.255:65535" },
	{ BYTES("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), "32 1 tcp 0.0.0.0:0 0.0.0.0:0" },
	{ BYTES("PROXY TCP6 2001:db8::1 2001:db8::19 40000 25\r\n"), "46 1 " TOLD6 },
	{ BYTES("PROXY TCP6 2001:DB8:0:0::1 2001:0db8:0:0:0:0:0:19 40000 25\r\n"),
	  "60 1 " TOLD6 },
	{ BYTES("PROXY TCP6 ::ffff:c000:201 ::ffff:cb00:7119 40000 25\r\n"),
	  "54 1 " TOLD },
	{ BYTES("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:203.0.113.25 40000 25\r\n"),
	  "58 1 " TOLD },
	{ BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
	  "104 1 tcp [ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535 "
	  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
	{ BYTES("PROXY UNKNOWN\r\n"), "15 1 unknown" },
	{ BYTES("PROXY UNKNOWN \r\n"), "16 1 unknown" },
	{ BYTES("PROXY UNKNOWN what ever  stands here\r\nEHLO"), "38 1 unknown" },
	{ BYTES("PROXY UNKNOWN " FIFTY TEN TEN TEN TEN "0\r\n"), "107 1 unknown" },
	{ BYTES("PROXY UNKNOWN " FIFTY TEN TEN TEN TEN "01\r\n"),
	  "the line is longer than 107 bytes" },
	{ BYTES("PROXY UNKNOWN " FIFTY TEN TEN TEN TEN "01"), "more" },
	{ BYTES("PROXY UNKNOWN " FIFTY TEN TEN TEN TEN "012"),
	  "the line is longer than 107 bytes" },
	{ BYTES("PROXY UNKNOWN " FIFTY FIFTY), "the line is longer than 107 bytes" },
	{ BYTES("PROXY UNKNOWN x\ny\r\n"), "there is a LF without a CR before it" },
	{ BYTES("PROXY UNKNOWN x\ry\r\n"), "there is a CR without a LF behind it" },
	{ BYTES("PROXY UNKNOWN\r\r\n"), "there is a CR without a LF behind it" },
	{ BYTES("PROXY UNKNOWN x\0y\r\n"), "there is a NUL in the line" },
	{ BYTES("PROXY TCP4 192.0.2.1 203.0.113.25 40000 25\n"),
	  "there is a LF without a CR before it" },
	{ BYTES("PROXY TCP4 192.0.2.1 203.0.113.25 40000 25\rX"),
	  "there is a CR without a LF behind it" },
	{ BYTES("PROXY TCP4 192.0.2.1 203.0.113.25 40000 25\0\r\n"),
	  "there is a NUL in the line" },
#define PROTOCOL "the protocol is not TCP4, TCP6 or UNKNOWN"
	{ BYTES("PROXY \r\n"), PROTOCOL },
	{ BYTES("PROXY UNKNOWNX\r\n"), PROTOCOL },
	{ BYTES("PROXY unknown\r\n"), PROTOCOL },
	{ BYTES("PROXY TCP 192.0.2.1 203.0.113.25 40000 25\r\n"), PROTOCOL },
	{ BYTES("PROXY TCP5 192.0.2.1 203.0.113.25 40000 25\r\n"), PROTOCOL },
	{ BYTES("PROXY TCP44 192.0.2.1 203.0.113.25 40000 25\r\n"), PROTOCOL },
	{ BYTES("PROXY tcp4 192.0.2.1 203.0.113.25 40000 25\r\n"), PROTOCOL },
	{ BYTES("PROXY UDP4 192.0.2.1 203.0.113.25 40000 25\r\n"), PROTOCOL },
	{ BYTES("PROXY  TCP4 192.0.2.1 203.0.113.25 40000 25\r\n"), PROTOCOL },
	{ BYTES("PROXY TCP4\t192.0.2.1 203.0.113.25 40000 25\r\n"), PROTOCOL },
#define SHAPE "there are not two addresses and two ports, with one space before each"
	{ BYTES("PROXY TCP4\r\n"), SHAPE },
	{ BYTES("PROXY TCP4 \r\n"), SHAPE },
	{ BYTES("PROXY TCP4 192.0.2.1\r\n"), SHAPE },
	{ BYTES("PROXY TCP4 192.0.2.1 203.0.113.25 40000\r\n"), SHAPE },
	{ BYTES("PROXY TCP4 192.0.2.1 203.0.113.25 40000 \r\n"), SHAPE },
	{ BYTES("PROXY TCP4 192.0.2.1 203.0.113.25 40000 25 \r\n"), SHAPE },
	{ BYTES("PROXY TCP4 192.0.2.1 203.0.113.25 40000 25 25\r\n"), SHAPE },
	{ BYTES("PROXY TCP4  192.0.2.1 203.0.113.25 40000 25\r\n"), SHAPE },
	{ BYTES("PROXY TCP4 192.0.2.1 203.0.113.25  40000 25\r\n"), SHAPE },
#define CLIENT "the client's address or port is wrong"
	{ BYTES("PROXY TCP4 192.0.2 203.0.113.25 40000 25\r\n"), CLIENT },
	{ BYTES("PROXY TCP4 192.0.2.256 203.0.113.25 40000 25\r\n"), CLIENT },
	{ BYTES("PROXY TCP4 192.0.02.1 203.0.113.25 40000 25\r\n"), CLIENT },
	{ BYTES("PROXY TCP4 192.0.2.1. 203.0.113.25 40000 25\r\n"), CLIENT },
	{ BYTES("PROXY TCP4 0xc0000201 203.0.113.25 40000 25\r\n"), CLIENT },
	{ BYTES("PROXY TCP4 ::ffff:192.0.2.1 203.0.113.25 40000 25\r\n"), CLIENT },
	{ BYTES("PROXY TCP6 192.0.2.1 203.0.113.25 40000 25\r\n"), CLIENT },
	{ BYTES("PROXY TCP6 2001:db8::1::1 2001:db8::19 40000 25\r\n"), CLIENT },
	{ BYTES("PROXY TCP6 [2001:db8::1] 2001:db8::19 40000 25\r\n"), CLIENT },
	{ BYTES("PROXY TCP6 fe80::1%lo 2001:db8::19 40000 25\r\n"), CLIENT },
	{ BYTES("PROXY TCP6 1:2:3:4:5:6:7 2001:db8::19 40000 25\r\n"), CLIENT },
	{ BYTES("PROXY TCP6 1:2:3:4:5:6:7:8:9 2001:db8::19 40000 25\r\n"), CLIENT },
	{ BYTES("PROXY TCP6 12345:: 2001:db8::19 40000 25\r\n"), CLIENT },
	{ BYTES("PROXY TCP4 192.0.2.1 203.0.113.25 040000 25\r\n"), CLIENT },
	{ BYTES("PROXY TCP4 192.0.2.1 203.0.113.25 65536 25\r\n"), CLIENT },
	{ BYTES("PROXY TCP4 192.0.2.1 203.0.113.25 99999 25\r\n"), CLIENT },
	{ BYTES("PROXY TCP4 192.0.2.1 203.0.113.25 4294967321 25\r\n"), CLIENT },
	{ BYTES("PROXY TCP4 192.0.2.1 203.0.113.25 -1 25\r\n"), CLIENT },
	{ BYTES("PROXY TCP4 192.0.2.1 203.0.113.25 +1 25\r\n"), CLIENT },
	{ BYTES("PROXY TCP4 192.0.2.1 203.0.113.25 0x19 25\r\n"), CLIENT },
#define SERVER "the destination's address or port is wrong"
	{ BYTES("PROXY TCP4 192.0.2.1 2001:db8::19 40000 25\r\n"), SERVER },
	{ BYTES("PROXY TCP6 2001:db8::1 203.0.113.25 40000 25\r\n"), SERVER },
	{ BYTES("PROXY TCP4 192.0.2.1 mx.example 40000 25\r\n"), SERVER },
	{ BYTES("PROXY TCP4 192.0.2.1 203.0.113.25 40000 00\r\n"), SERVER },
	{ BYTES("PROXY TCP4 192.0.2.1 203.0.113.25 40000 25x\r\n"), SERVER },

/* neither version */
#define NEITHER "it begins neither as version 1 nor as version 2 does"
	{ BYTES("EHLO client.example\r\n"), NEITHER },
	{ BYTES("p"), NEITHER },
	{ BYTES(" PROXY TCP4 192.0.2.1 203.0.113.25 40000 25\r\n"), NEITHER },
	{ BYTES("PROXY\tTCP4 192.0.2.1 203.0.113.25 40000 25\r\n"), NEITHER },
	{ BYTES("PROXYTCP4"), NEITHER },
	{ BYTES("PR\r\n"), NEITHER },
	{ BYTES("\n"), NEITHER },
	{ BYTES("\r\nEHLO client.example\r\n"), NEITHER },
	{ BYTES("\r\n\r\n\0\r\nQUIT\r"), NEITHER },
	{ BYTES("\0"), NEITHER },
	{ BYTES("\x16\x03\x01\x02\x00"), NEITHER },

	/* version 2 */
	{ BYTES("\r"), "more" },
	{ BYTES(SIG), "more" },
	{ BYTES(SIG "\x21"), "more" },
	{ BYTES(SIG "\x21\x11"), "more" },
	{ BYTES(SIG "\x21\x11\x00"), "more" },
	{ BYTES(SIG "\x21\x11\x00\x0c"), "more" },
	{ BYTES(SIG "\x21\x11\x00\x0c" FOUR), "28 2 " TOLD },
	{ BYTES(SIG "\x21\x11\x00\x0c" FOUR "EHLO a\r\n"), "28 2 " TOLD },
	{ BYTES(SIG "\x21\x21\x00\x24" SIX), "52 2 " TOLD6 },
	{ BYTES(SIG "\x21\x21\x00\x24" SIX SIG), "52 2 " TOLD6 },
	{ BYTES(SIG "\x21\x21\x00\x24\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x01"
	            "\0\0\0\0\0\0\0\0\0\0\xff\xff\xcb\x00\x71\x19\x9c\x40\x00\x19"),
	  "52 2 " TOLD },
	/* what else comes by datagram, socket or nothing known */
	{ BYTES(SIG "\x21\x12\x00\x0c" FOUR), "28 2 unknown" },
	{ BYTES(SIG "\x21\x22\x00\x24" SIX), "52 2 unknown" },
	{ BYTES(SIG "\x21\x00\x00\x00"), "16 2 unknown" },
	{ BYTES(SIG "\x21\x00\x00\x03xyz"), "19 2 unknown" },
	{ BYTES(SIG "\x21\x01\x00\x01x"), "17 2 unknown" },
	{ BYTES(SIG "\x21\x10\x00\x01x"), "17 2 unknown" },
	/* the proxy itself: whatever it says of addresses is not looked at */
	{ BYTES(SIG "\x20\x00\x00\x00"), "16 2 local" },
	{ BYTES(SIG "\x20\x11\x00\x00"), "16 2 local" },
	{ BYTES(SIG "\x20\xff\x00\x02xy"), "18 2 local" },
	{ BYTES(SIG "\x20\x11\x00\x0c" FOUR), "28 2 local" },
	{ BYTES(SIG "\x20\x00\x00\x04\x01\xff\xff\x00"), "20 2 local" },
	/* TLVs */
	{ BYTES(SIG "\x21\x11\x00\x0f" FOUR "\x04\x00\x00"), "31 2 " TOLD },
	{ BYTES(SIG "\x21\x11\x00\x11" FOUR "\x05\x00\x02zz"), "33 2 " TOLD },
	{ BYTES(SIG "\x21\x11\x00\x15" FOUR "\x05\x00\x02zz\xe0\x00\x01y"),
	  "37 2 " TOLD },
	{ BYTES(SIG "\x21\x21\x00\x27" SIX "\xff\x00\x00"), "55 2 " TOLD6 },
#define TLV "a TLV is longer than what is left"
	{ BYTES(SIG "\x21\x11\x00\x0d" FOUR "\x04"), TLV },
	{ BYTES(SIG "\x21\x11\x00\x0e" FOUR "\x04\x00"), TLV },
	{ BYTES(SIG "\x21\x11\x00\x0f" FOUR "\x04\x00\x01"), TLV },
	{ BYTES(SIG "\x21\x11\x00\x0f" FOUR "\x04\xff\xff"), TLV },
	{ BYTES(SIG "\x21\x11\x00\x11" FOUR "\x04\x00\x01x\x04"), TLV },
	{ BYTES(SIG "\x21\x22\x00\x25" SIX "\x04"), TLV },
/* wrong */
#define COMMAND "the version is not 2, or the command neither LOCAL nor PROXY"
	{ BYTES(SIG "\x22"), COMMAND },
	{ BYTES(SIG "\x2f\x11\x00\x0c" FOUR), COMMAND },
	{ BYTES(SIG "\x11\x11\x00\x0c" FOUR), COMMAND },
	{ BYTES(SIG "\x31\x11\x00\x0c" FOUR), COMMAND },
	{ BYTES(SIG "\x01\x11\x00\x0c" FOUR), COMMAND },
#define FAMILY "there is no such address family or transport"
	{ BYTES(SIG "\x21\x41"), FAMILY },
	{ BYTES(SIG "\x21\xf1\x00\x0c" FOUR), FAMILY },
	{ BYTES(SIG "\x21\x13\x00\x0c" FOUR), FAMILY },
	{ BYTES(SIG "\x21\x1f\x00\x0c" FOUR), FAMILY },
#define SHORT "it is too short for its addresses"
	{ BYTES(SIG "\x21\x11\x00\x0b"), SHORT },
	{ BYTES(SIG "\x21\x11\x00\x00"), SHORT },
	{ BYTES(SIG "\x21\x21\x00\x23"), SHORT },
	{ BYTES(SIG "\x21\x21\x00\x0c" FOUR), SHORT },
	{ BYTES(SIG "\x21\x31\x00\xd7"), SHORT },
#define LONG "it is longer than 4096 bytes"
	{ BYTES(SIG "\x21\x11\x0f\xf1"), LONG },
	{ BYTES(SIG "\x21\x11\xff\xff"), LONG },
	{ BYTES(SIG "\x20\x00\xff\xff"), LONG },
	{ BYTES(SIG "\x21\x11\x0f\xf0"), "more" },
};

static const char *
outcome_of(const char *bytes, size_t size, char outcome[static 300])
{
	char client[ADDR_TEXT_SIZE], server[ADDR_TEXT_SIZE];
	struct proxyproto header;
	const char *why = NULL;
	int used;

	switch (proxyproto_read(bytes, size, &header, &why)) {
	case PROXYPROTO_MORE:
		return "more";
	case PROXYPROTO_MALFORMED:
		return why;
	case PROXYPROTO_WHOLE:
		break;
	}
	used = snprintf(outcome, 300, "%zu %u %s", header.size, header.version,
	                proxyproto_kind_word(header.kind));
	if (header.kind == PROXYPROTO_TCP)
		snprintf(outcome + used, 300 - (size_t)used, " %s %s",
		         addr_full(&header.client, client),
		         addr_full(&header.server, server));
	else
		assert_int_equal(addr_family(&header.client), AF_UNSPEC);
	return outcome;
}

/* As it is read when it comes in pieces: up to the first that is not "more".  Each piece
 * lies in memory of its own, so that what reads beyond is found. */
static const char *
outcome_in_pieces(const char *bytes, size_t size, size_t way, char outcome[static 300])
{
	const char *got = "more";
	size_t at = 0;

	while (at < size && strcmp(got, "more") == 0) {
		char *come;

		at += feed_next(way, at, size);
		come = malloc(at);
		assert_non_null(come);
		memcpy(come, bytes, at);
		got = outcome_of(come, at, outcome);
		free(come);
	}
	return got;
}

static void
headers_are_read_however_they_come(void **unused)
{
	char outcome[300];

	(void)unused;
	for (size_t n = 0; n < sizeof(rows) / sizeof(rows[0]); n++)
		for (size_t way = 0; way < FEED_WAYS(rows[n].size); way++) {
			const char *got = outcome_in_pieces(rows[n].bytes, rows[n].size,
			                                    way, outcome);

			if (strcmp(got, rows[n].outcome) != 0)
				fail_msg("row %zu, way %zu: %.*s\n  came %s\n  not  %s",
				         n, way, (int)rows[n].size, rows[n].bytes, got,
				         rows[n].outcome);
		}
}

/* A header that is whole is not whole with any of its bytes missing at the end. */
static void
part_of_a_header_is_none(void **unused)
{
	char outcome[300];

	(void)unused;
	for (size_t n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
		size_t whole = strtoul(rows[n].outcome, NULL, 10);

		for (size_t size = 0; size < whole; size++)
			assert_string_equal(outcome_of(rows[n].bytes, size, outcome),
			                    "more");
	}
}

static void
sockets_of_the_proxys_machine_are_told_apart(void **unused)
{
	char header[16 + 216 + 3] = SIG "\x21\x31\x00\xdb", outcome[300];

	(void)unused;
	memcpy(header + 16 + 216, "\x04\x00\x00", 3);
	assert_string_equal(outcome_of(header, sizeof(header), outcome), "235 2 unix");
	assert_string_equal(outcome_of(header, sizeof(header) - 1, outcome), "more");
	header[13] = 0x32;
	assert_string_equal(outcome_of(header, sizeof(header), outcome), "235 2 unix");
	header[16 + 216 + 2] = 1;
	assert_string_equal(outcome_of(header, sizeof(header), outcome), TLV);
}

static void
the_longest_header_is_taken(void **unused)
{
	char header[PROXYPROTO_MAX] = SIG "\x21\x11\x0f\xf0" FOUR, outcome[300];
	size_t tlv = sizeof(header) - 28;

	(void)unused;
	header[28] = 0x04;
	header[29] = (char)((tlv - 3) >> 8);
	header[30] = (char)(tlv - 3);
	assert_string_equal(outcome_of(header, sizeof(header), outcome),
	                    "4096 2 " TOLD);
	assert_string_equal(outcome_of(header, sizeof(header) - 1, outcome), "more");
}

/* ---- writing ----------------------------------------------------------------------- */

static const struct {
	const char *client, *server; /* ports 40000 and 25 */
	const char *line;
	size_t binary; /* bytes of version 2 */
	const char *outcome;
} written[] = {
	{ "192.0.2.1", "203.0.113.25", "TCP4 192.0.2.1 203.0.113.25 40000 25", 28,
	  TOLD },
	{ "255.255.255.255", "255.255.255.255",
	  "TCP4 255.255.255.255 255.255.255.255 40000 25", 28,
	  "tcp 255.255.255.255:40000 255.255.255.255:25" },
	{ "2001:db8::1", "2001:db8::19", "TCP6 2001:db8::1 2001:db8::19 40000 25", 52,
	  TOLD6 },
	{ "fedc:ba98:7654:3210:fedc:ba98:7654:3210",
	  "fedc:ba98:7654:3210:fedc:ba98:7654:3210",
	  "TCP6 fedc:ba98:7654:3210:fedc:ba98:7654:3210 "
	  "fedc:ba98:7654:3210:fedc:ba98:7654:3210 40000 25",
	  52,
	  "tcp [fedc:ba98:7654:3210:fedc:ba98:7654:3210]:40000 "
	  "[fedc:ba98:7654:3210:fedc:ba98:7654:3210]:25" },
	/* one family for both: IPv4 becomes IPv6, without dots */
	{ "192.0.2.1", "2001:db8::19", "TCP6 ::ffff:c000:201 2001:db8::19 40000 25", 52,
	  "tcp 192.0.2.1:40000 [2001:db8::19]:25" },
	{ "2001:db8::1", "0.0.0.1", "TCP6 2001:db8::1 ::ffff:0:1 40000 25", 52,
	  "tcp [2001:db8::1]:40000 0.0.0.1:25" },
	{ "::192.0.2.1", "::1", "TCP6 ::c000:201 ::1 40000 25", 52,
	  "tcp [::192.0.2.1]:40000 [::1]:25" },
	{ "fe80::1%lo", "::1", "TCP6 fe80::1 ::1 40000 25", 52,
	  "tcp [fe80::1]:40000 [::1]:25" },
	/* no address */
	{ "192.0.2.1", NULL, "UNKNOWN", 16, "unknown" },
	{ NULL, "192.0.2.1", "UNKNOWN", 16, "unknown" },
	{ NULL, NULL, "UNKNOWN", 16, "unknown" },
};

static struct addr
address(const char *text, uint16_t port)
{
	struct addr addr = { 0 };

	if (text)
		assert_true(addr_parse(&addr, text, port));
	return addr;
}

static void
what_is_written_is_read(void **unused)
{
	char out[PROXYPROTO_OURS_MAX], line[200], outcome[300], expected[300];

	(void)unused;
	for (size_t n = 0; n < sizeof(written) / sizeof(written[0]); n++) {
		struct addr client = address(written[n].client, 40000);
		struct addr server = address(written[n].server, 25);
		size_t size = proxyproto_write(out, 1, &client, &server);

		snprintf(line, sizeof(line), "PROXY %s\r\n", written[n].line);
		assert_int_equal(size, strlen(line));
		assert_memory_equal(out, line, size);
		snprintf(expected, sizeof(expected), "%zu 1 %s", size,
		         written[n].outcome);
		assert_string_equal(outcome_of(out, size, outcome), expected);

		size = proxyproto_write(out, 2, &client, &server);
		assert_int_equal(size, written[n].binary);
		snprintf(expected, sizeof(expected), "%zu 2 %s", size,
		         written[n].outcome);
		assert_string_equal(outcome_of(out, size, outcome), expected);
	}
}

/* Not only what we read ourselves: byte for byte what the specification draws. */
static void
version_2_is_written_as_specified(void **unused)
{
	static const char four[] = SIG "\x21\x11\x00\x0c" FOUR;
	static const char six[] = SIG "\x21\x21\x00\x24" SIX;
	static const char none[] = SIG "\x21\x00\x00\x00";
	char out[PROXYPROTO_OURS_MAX];
	struct addr client = address("192.0.2.1", 40000), nobody = { 0 };
	struct addr server = address("203.0.113.25", 25);

	(void)unused;
	assert_int_equal(proxyproto_write(out, 2, &client, &server), sizeof(four) - 1);
	assert_memory_equal(out, four, sizeof(four) - 1);
	client = address("2001:db8::1", 40000);
	server = address("2001:db8::19", 25);
	assert_int_equal(proxyproto_write(out, 2, &client, &server), sizeof(six) - 1);
	assert_memory_equal(out, six, sizeof(six) - 1);
	assert_int_equal(proxyproto_write(out, 2, &nobody, &server), sizeof(none) - 1);
	assert_memory_equal(out, none, sizeof(none) - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_are_read_however_they_come),
		cmocka_unit_test(part_of_a_header_is_none),
		cmocka_unit_test(sockets_of_the_proxys_machine_are_told_apart),
		cmocka_unit_test(the_longest_header_is_taken),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(version_2_is_written_as_specified),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
