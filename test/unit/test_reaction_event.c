#include "config_internal.h"
#include "reaction_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * What event_url is told, and what it can be.
 */
static struct config cfg = { .proxy_name = (char *)"gate.example" };
static struct log_ctx log_of = { .session = "unit" };
static struct addr client, nowhere;

static void
assert_body(const struct occurrence *what, const struct reaction_marks *marks,
            const char *expected)
{
	char *body = reaction_event_body(what, marks, 1234567890);

	assert_string_equal(body, expected);
	free(body);
}

static void
all_that_can_be_known(void **state)
{
	struct addr server;
	struct evidence evidence = {
		.log = &log_of,
		.client = &client,
		.server = &server,
		.ident = "joe",
		.helo = "\"\\\r\n\x80\xc3\xbc\xe2\x80\xae",
		.sender = "a@client.example",
		.recipients = 4,
		.size = 12345678901,
		.of_ident = 2,
		.authenticated = true,
		.user = "ann@example.org",
	};
	struct verdict verdict = { .act = VERDICT_HANG_UP,
		                   .because = { .kind = FOUND_VIRUS, .name = "Eicar" },
		                   .has_score = true,
		                   .score = 7.3 };
	struct occurrence what = { .cfg = &cfg,
		                   .evidence = &evidence,
		                   .verdict = &verdict };
	struct reaction_marks marks = { "/spool/\xff.eml", "/lock/192.0.2.7", 3600 };

	(void)state;
	log_of.mail = 3;
	assert_true(addr_parse(&server, "2001:db8::25", 25));
	assert_true(addr_parse(&what.local, "198.51.100.1", 9199));
	assert_body(
		&what, &marks,
		"{\"schema\":1,\"finding\":\"virus\",\"action\":\"hang-up\","
		"\"session\":\"unit\",\"mail\":3,"
		"\"proxy_name\":\"gate.example\",\"found\":\"VIRUS\","
		"\"virus_name\":\"Eicar\",\"spam_score\":7.3,"
		"\"source_ip\":\"192.0.2.7\",\"source_port\":40000,"
		"\"target_ip\":\"2001:db8::25\",\"target_port\":25,"
		"\"local_ip\":\"198.51.100.1\",\"local_port\":9199,"
		"\"ident\":\"joe\",\"ident_count\":2,"
		"\"helo\":\"\\\"\\\\???\xc3\xbc?\",\"mail_from\":\"a@client.example\","
		"\"rcpts_total\":4,\"size\":12345678901,\"transaction\":3,"
		"\"auth\":true,\"auth_user\":\"ann@example.org\",\"spool_name\":\"/"
		"spool/?.eml\","
		"\"lock_file\":\"/lock/192.0.2.7\",\"lock_duration\":3600,"
		"\"time\":\"2009-02-13 23:31:30\",\"unixtime\":1234567890}");
}

/* Of a client that was turned away before it said a word. */
static void
all_that_cannot_be_known(void **state)
{
	struct evidence evidence = {
		.log = &log_of, .client = &client, .server = &nowhere, .ident = ""
	};
	struct verdict verdict = { .act = VERDICT_DEFER,
		                   .because = { .kind = FOUND_MAX_HOST } };
	struct occurrence what = { .cfg = &cfg,
		                   .evidence = &evidence,
		                   .verdict = &verdict };
	struct reaction_marks marks = { 0 };

	(void)state;
	log_of.mail = 0;
	assert_body(&what, &marks,
	            "{\"schema\":1,\"finding\":\"max-host\",\"action\":\"defer\","
	            "\"session\":\"unit\",\"mail\":null,"
	            "\"proxy_name\":\"gate.example\",\"found\":\"MAX_HOST\","
	            "\"virus_name\":null,\"spam_score\":null,"
	            "\"source_ip\":\"192.0.2.7\",\"source_port\":40000,"
	            "\"target_ip\":null,\"target_port\":null,"
	            "\"local_ip\":null,\"local_port\":null,"
	            "\"ident\":null,\"ident_count\":0,"
	            "\"helo\":null,\"mail_from\":null,"
	            "\"rcpts_total\":0,\"size\":0,\"transaction\":0,"
	            "\"auth\":false,\"auth_user\":null,\"spool_name\":null,"
	            "\"lock_file\":null,\"lock_duration\":0,"
	            "\"time\":\"2009-02-13 23:31:30\",\"unixtime\":1234567890}");
}

static void
urls_that_can_be_called_and_others(void **state)
{
	static const char *const good[] = {
		"http://a",
		"https://a.example:65535",
		"http://192.0.2.1:8080/x?y=@#z",
		"http://[::1]",
		"https://[2001:db8::1]:443/",
		"http://a_b-c/%C3%A4",
	};
	static const char *const bad[] = {
		"",
		"a",
		"HTTP://a",
		"http:/a",
		"ftp://a",
		"file:///etc",
		"http://",
		"http:///x",
		"http://:1",
		"http://a:",
		"http://a:0",
		"http://a:65536",
		"http://a:x",
		"http://a:99999999999999999999",
		"http://a:1x",
		"http://[::1",
		"http://[::1]x",
		"http://j@a",
		"http://j:p@a/",
		"http://a b",
		"http://a\n",
		"http://\xc3\xa4",
		"http://a\x7f",
		"http://a,b",
		"http://?x",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_null(config_url_fault(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(config_url_fault(bad[i]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_can_be_known),
		cmocka_unit_test(all_that_cannot_be_known),
		cmocka_unit_test(urls_that_can_be_called_and_others),
	};

	setenv("TZ", "UTC", 1);
	if (!addr_parse(&client, "192.0.2.7", 40000))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
