#include "config_rows.h"

#include "dnsbl.h"

/*
 * How lists in DNS are written, which name is asked for, and what answers mean.
 */
enum { FIRST = 0x7f000000, LAST = 0x7fffffff };

static const struct {
	const char *text;
	const char *name; /* NULL: it is refused */
	uint32_t first, last;
	unsigned weight;
	const char *fault; /* how it begins */
} entries[] = {
	{ "zen.example", "zen.example", FIRST, LAST, 1, NULL },
	{ "zen.example.", "zen.example", FIRST, LAST, 1, NULL },
	{ "A-b_c.4", "A-b_c.4", FIRST, LAST, 1, NULL },
	{ "z.example*2", "z.example", FIRST, LAST, 2, NULL },
	{ "z.example.*1000", "z.example", FIRST, LAST, 1000, NULL },
	{ "z.example=127.0.0.2", "z.example", 0x7f000002, 0x7f000002, 1, NULL },
	{ "z.example=127.0.0.2*3", "z.example", 0x7f000002, 0x7f000002, 3, NULL },
	{ "z.example=127.0.0.2-127.0.1.1", "z.example", 0x7f000002, 0x7f000101, 1,
	  NULL },
	{ "z.example=127.0.0.4-127.0.0.4*9", "z.example", 0x7f000004, 0x7f000004, 9,
	  NULL },
	{ "z.example=127.0.0.8/29", "z.example", 0x7f000008, 0x7f00000f, 1, NULL },
	{ "z.example=127.0.0.9/32", "z.example", 0x7f000009, 0x7f000009, 1, NULL },
	{ "z.example=127.0.0.0/8*5", "z.example", FIRST, LAST, 5, NULL },
	{ "z.example=127.255.254.255", "z.example", 0x7ffffeff, 0x7ffffeff, 1, NULL },
	{ .text = "", .fault = "is no zone" },
	{ .text = ".", .fault = "is no zone" },
	{ .text = ".a", .fault = "is no zone" },
	{ .text = "a..b", .fault = "is no zone" },
	{ .text = "a..", .fault = "is no zone" },
	{ .text = "a b", .fault = "is no zone" },
	{ .text = "a,b", .fault = "is no zone" },
	{ .text = "*2", .fault = "is no zone" },
	{ .text = "=127.0.0.2", .fault = "is no zone" },
	{ .text = "zażółć.example", .fault = "is no zone" },
	{ .text = "127.0.0.2", .fault = "begins with an address" },
	{ .text = "a=", .fault = "has something else behind its =" },
	{ .text = "a=*2", .fault = "has something else behind its =" },
	{ .text = "a=127.0.0", .fault = "has something else behind its =" },
	{ .text = "a=127.0.0.2-", .fault = "has something else behind its =" },
	{ .text = "a=-127.0.0.2", .fault = "has something else behind its =" },
	{ .text = "a=127.0.0.3-127.0.0.2", .fault = "has something else behind its =" },
	{ .text = "a=127.0.0.2-127.0.0.3-127.0.0.4",
	  .fault = "has something else behind its =" },
	{ .text = "a=127.0.0.2/24", .fault = "has something else behind its =" },
	{ .text = "a=127.0.0.0/33", .fault = "has something else behind its =" },
	{ .text = "a=0.0.0.0/0", .fault = "has something else behind its =" },
	{ .text = "a=::1", .fault = "has something else behind its =" },
	{ .text = "a=127.0.0.2=127.0.0.3", .fault = "has something else behind its =" },
	{ .text = "a=126.0.0.1", .fault = "waits for what no list says" },
	{ .text = "a=127.0.0.1-128.0.0.1", .fault = "waits for what no list says" },
	{ .text = "a=127.255.255.254", .fault = "waits for what no list says" },
	{ .text = "a*", .fault = "has something else behind its *" },
	{ .text = "a*0", .fault = "has something else behind its *" },
	{ .text = "a*01", .fault = "has something else behind its *" },
	{ .text = "a*-1", .fault = "has something else behind its *" },
	{ .text = "a*1001", .fault = "has something else behind its *" },
	{ .text = "a*99999999999999999999",
	  .fault = "has something else behind its *" },
	{ .text = "a*2=127.0.0.2", .fault = "has something else behind its *" },
	{ .text = "a*2*2", .fault = "has something else behind its *" },
};

static void
test_entries(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		struct dnsbl_zone zone;
		const char *fault = dnsbl_zone_read(&zone, entries[i].text);

		if (!entries[i].name) {
			if (!fault || strncmp(fault, entries[i].fault,
			                      strlen(entries[i].fault)) != 0)
				fail_msg("%s: %s", entries[i].text,
				         fault ? fault : "fine");
			continue;
		}
		if (fault)
			fail_msg("%s: %s", entries[i].text, fault);
		assert_string_equal(zone.name, entries[i].name);
		assert_int_equal(zone.first, entries[i].first);
		assert_int_equal(zone.last, entries[i].last);
		assert_int_equal(zone.weight, entries[i].weight);
	}
}

/* The longest that there can be, and one byte more; with an address it is a name of DNS. */
static void
test_longest(void **state)
{
	struct dnsbl_zone zone;
	char text[256], name[DNSBL_NAME_SIZE];
	struct addr addr;

	(void)state;
	memset(text, 'a', sizeof(text));
	text[60] = text[120] = '.';
	text[180] = '\0';
	assert_null(dnsbl_zone_read(&zone, text));
	assert_true(addr_parse(&addr, "2001:db8::1", 0));
	dnsbl_name(&zone, &addr, name);
	assert_true(strlen(name) <= 253);
	assert_string_equal(name + 64, text);
	text[180] = 'a';
	text[181] = '\0';
	assert_non_null(dnsbl_zone_read(&zone, text));
	text[64 + 61] = '\0';
	text[61] = text[60] = 'a';
	assert_non_null(dnsbl_zone_read(&zone, text)); /* a label of more than 63 */
}

static void
test_names(void **state)
{
	static const char *const rows[][2] = {
		{ "192.0.2.1", "1.2.0.192.bl.example" },
		{ "::ffff:192.0.2.1", "1.2.0.192.bl.example" },
		{ "2001:db8:1:2:3:4:567:89ab",
		  "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2."
		  "bl.example" },
	};
	struct dnsbl_zone zone;

	(void)state;
	assert_null(dnsbl_zone_read(&zone, "bl.example."));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char name[DNSBL_NAME_SIZE];
		struct addr addr;

		assert_true(addr_parse(&addr, rows[i][0], 25));
		dnsbl_name(&zone, &addr, name);
		assert_string_equal(name, rows[i][1]);
	}
}

static void
test_who(void **state)
{
	static const char *const known[] = {
		"1.0.0.0",     "9.255.255.255", "11.0.0.0",   "100.63.0.1",
		"100.128.0.0", "172.15.0.1",    "172.32.0.0", "192.167.0.1",
		"192.169.0.1", "223.255.0.1",   "2000::",     "3fff:ffff::1",
		"169.253.0.1", "192.0.2.1",     "126.0.0.1",  "128.0.0.1"
	};
	static const char *const unknown_to[] = {
		"0.0.0.0",
		"10.1.2.3",
		"100.64.0.1",
		"100.127.255.255",
		"127.0.0.2",
		"169.254.1.1",
		"172.16.0.1",
		"172.31.255.255",
		"192.168.9.9",
		"224.0.0.1",
		"255.255.255.255",
		"::",
		"::1",
		"fe80::1",
		"fc00::1",
		"fdff::1",
		"ff02::1",
		"64:ff9b::10.0.0.1",
		"4000::",
		"::ffff:10.0.0.1",
	};
	struct addr addr = { 0 };

	(void)state;
	assert_false(dnsbl_can_know(&addr));
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		assert_true(addr_parse(&addr, known[i], 0));
		if (!dnsbl_can_know(&addr))
			fail_msg("%s is not asked about", known[i]);
	}
	for (size_t i = 0; i < sizeof(unknown_to) / sizeof(unknown_to[0]); i++) {
		assert_true(addr_parse(&addr, unknown_to[i], 0));
		if (dnsbl_can_know(&addr))
			fail_msg("%s is asked about", unknown_to[i]);
	}
}

static void
test_answers(void **state)
{
	static const struct {
		const char *entry;
		const char *answers[3];
		enum dnsbl_word word;
	} rows[] = {
		{ "a", { 0 }, DNSBL_NOT_LISTED },
		{ "a", { "127.0.0.2" }, DNSBL_LISTED },
		{ "a", { "127.255.254.255" }, DNSBL_LISTED },
		{ "a", { "127.255.255.0" }, DNSBL_REFUSED },
		{ "a", { "127.0.0.2", "127.255.255.254" }, DNSBL_REFUSED },
		{ "a", { "126.255.255.255", "128.0.0.0" }, DNSBL_NOT_LISTED },
		{ "a", { "203.0.113.1", "127.0.0.9" }, DNSBL_LISTED },
		{ "a", { "::1" }, DNSBL_NOT_LISTED },
		{ "a=127.0.0.2-127.0.0.4",
		  { "127.0.0.1", "127.0.0.5" },
		  DNSBL_NOT_LISTED },
		{ "a=127.0.0.2-127.0.0.4", { "127.0.0.2" }, DNSBL_LISTED },
		{ "a=127.0.0.2-127.0.0.4",
		  { "127.0.0.1", "127.0.0.5", "127.0.0.4" },
		  DNSBL_LISTED },
		{ "a=127.0.0.2", { "127.255.255.1" }, DNSBL_REFUSED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dnsbl_zone zone;
		struct addr addrs[3];
		size_t count = 0;

		assert_null(dnsbl_zone_read(&zone, rows[i].entry));
		for (; count < 3 && rows[i].answers[count]; count++)
			assert_true(
				addr_parse(&addrs[count], rows[i].answers[count], 0));
		if (dnsbl_word(&zone, addrs, count) != rows[i].word)
			fail_msg("row %zu", i);
	}
}

/* What a file that has them comes to, and what is said of it. */
static const struct config_row rows_of_files[] = {
	{ "dnsbl = {zen.example, \"b.example=127.0.0.2*2\"}\n",
	  "dnsbl = {\"zen.example\", \"b.example=127.0.0.2*2\"}\n" },
	{ "dnsbl = {a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,\"p*16\"}\ndnsbl_threshold = 31\n"
	  "on_dnsbl = hangup\non_dnsbl_failed = defer\nmsg_dnsdb_reject = No\n",
	  "on_dnsbl_failed = defer\non_dnsbl = hangup\n"
	  "dnsbl = {\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\", \"i\", "
	  "\"j\", "
	  "\"k\", \"l\", \"m\", \"n\", \"o\", \"p*16\"}\ndnsbl_threshold = 31\n"
	  "msg_dnsdb_reject = \"No\"\n" },
	{ "dnsbl = a.example\ndnsbl_threshold = 2\n",
	  "note 2: dnsbl_threshold: is more than all of dnsbl weigh together: nobody "
	  "is ever refused\ndnsbl = {\"a.example\"}\ndnsbl_threshold = 2\n" },
	{ "dnswl = \"a.example*2\"\n",
	  "note 1: dnswl: a weight has no effect here: who is on any of these lists "
	  "is spared\ndnswl = {\"a.example*2\"}\n" },
	{ "\ndnsbl = {good.example, \"a=b\"}\n",
	  "2: dnsbl: \"a=b\" has something else behind its = than 127.0.0.2, "
	  "127.0.0.2-127.0.0.11 or 127.0.0.0/24\n" },
	{ "dnswl = \"a..b\"\n",
	  "1: dnswl: \"a..b\" is no zone: letters, digits, - and _, with single dots "
	  "between them\n" },
	{ "policy a {\ndnsbl = \"a*0\"\n}\n",
	  "2: dnsbl: \"a*0\" has something else behind its * than a weight from 1 to "
	  "1000\n" },
	{ "dnsbl = {a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q}\n",
	  "1: dnsbl: has 17 entries, and 16 are the most\n" },
	{ "dnsbl_threshold = 0\n",
	  "1: dnsbl_threshold: \"0\" is out of range; allowed: 1 to 16000\n" },
};

static void
test_options(void **state)
{
	(void)state;
	config_rows_check(rows_of_files,
	                  sizeof(rows_of_files) / sizeof(rows_of_files[0]),
	                  config_row_outcome);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries), cmocka_unit_test(test_longest),
		cmocka_unit_test(test_names),   cmocka_unit_test(test_who),
		cmocka_unit_test(test_answers), cmocka_unit_test(test_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
