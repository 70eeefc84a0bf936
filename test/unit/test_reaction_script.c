#include "reaction_internal.h"
#include "script_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * What the action script is told.
 */
static struct config cfg;
static struct addr client, server;
static struct log_ctx log_of = { .session = "unit", .mail = 3 };
static struct evidence evidence;
static struct verdict verdict;
static struct occurrence what;
static struct reaction_marks marks;

static int
set_up(void **state)
{
	(void)state;
	setenv("TZ", "UTC", 1);
	cfg = (struct config){ .proxy_name = (char *)"gate.example",
		               .action_script = (char *)"/bin/true" };
	assert_true(addr_parse(&client, "192.0.2.7", 40000));
	assert_true(addr_parse(&server, "2001:db8::25", 25));
	evidence = (struct evidence){
		.log = &log_of,
		.client = &client,
		.server = &server,
		.ident = "joe",
		.helo = "pc.example",
		.sender = "a@client.example",
		.recipients = 4,
		.size = 12345678901,
		.of_ident = 2,
		.authenticated = true,
		.user = "ann\n@example.org",
	};
	verdict = (struct verdict){ .because = { .kind = FOUND_VIRUS, .name = "Eicar" },
		                    .has_score = true,
		                    .score = 7.3 };
	what = (struct occurrence){ .cfg = &cfg,
		                    .evidence = &evidence,
		                    .verdict = &verdict };
	assert_true(addr_parse(&what.local, "198.51.100.1", 9199));
	marks = (struct reaction_marks){ .spool_name = "/spool/x.eml",
		                         .lock_file = "/lock/192.0.2.7",
		                         .lock_duration = 3600 };
	return 0;
}

/* The lists are the same, word for word. */
static void
assert_list(char **list, const char *const *expected)
{
	for (; *expected; list++, expected++) {
		assert_non_null(*list);
		assert_string_equal(*list, *expected);
	}
	assert_null(*list);
}

static void
a_virus_with_all_that_can_be_known(void **state)
{
	struct script_call *call = reaction_script_call(&what, &marks, 1234567890);

	(void)state;
	assert_list(call->arguments,
	            (const char *[]){ "/bin/true", "VIRUS", "192.0.2.7", "joe",
	                              "2001:db8::25", NULL });
	assert_list(call->environment + 1,
	            (const char *[]){ "PROXY_NAME=gate.example",
	                              "FOUND=VIRUS",
	                              "VIRUS_NAME=Eicar",
	                              "SPAM_SCORE=7.30",
	                              "SOURCE_IP=192.0.2.7",
	                              "SOURCE_PORT=40000",
	                              "TARGET_IP=2001:db8::25",
	                              "TARGET_PORT=25",
	                              "LOCAL_IP=198.51.100.1",
	                              "LOCAL_PORT=9199",
	                              "IDENT=joe",
	                              "IDENT_COUNT=2",
	                              "HELO=pc.example",
	                              "MAIL_FROM=a@client.example",
	                              "RCPTS_TOTAL=4",
	                              "SIZE=12345678901",
	                              "TRANSACTION=3",
	                              "AUTH=1",
	                              "AUTH_USER=ann?@example.org",
	                              "SPOOL_NAME=/spool/x.eml",
	                              "LOCK_FILE=/lock/192.0.2.7",
	                              "LOCK_DURATION=3600",
	                              "TIME=2009-02-13 23:31:30",
	                              "UNIXTIME=1234567890",
	                              NULL });
	script_call_free(call);
}

/* Of a client that was turned away before it said a word. */
static void
an_early_end_with_all_that_cannot_be_known(void **state)
{
	struct addr nowhere = { 0 };
	struct script_call *call;

	(void)state;
	log_of.mail = 0;
	evidence = (struct evidence){
		.log = &log_of, .client = &client, .server = &nowhere, .ident = ""
	};
	verdict.because = (struct finding){ .kind = FOUND_MAX_HOST };
	verdict.has_score = false;
	what.local = nowhere;
	marks = (struct reaction_marks){ 0 };
	call = reaction_script_call(&what, &marks, 0);
	assert_list(call->arguments, (const char *[]){ "/bin/true", "MAX_HOST",
	                                               "192.0.2.7", "-", "-", NULL });
	assert_list(call->environment + 1, (const char *[]){ "PROXY_NAME=gate.example",
	                                                     "FOUND=MAX_HOST",
	                                                     "VIRUS_NAME=",
	                                                     "SPAM_SCORE=",
	                                                     "SOURCE_IP=192.0.2.7",
	                                                     "SOURCE_PORT=40000",
	                                                     "TARGET_IP=",
	                                                     "TARGET_PORT=",
	                                                     "LOCAL_IP=",
	                                                     "LOCAL_PORT=",
	                                                     "IDENT=",
	                                                     "IDENT_COUNT=0",
	                                                     "HELO=",
	                                                     "MAIL_FROM=",
	                                                     "RCPTS_TOTAL=0",
	                                                     "SIZE=0",
	                                                     "TRANSACTION=0",
	                                                     "AUTH=0",
	                                                     "AUTH_USER=",
	                                                     "SPOOL_NAME=",
	                                                     "LOCK_FILE=",
	                                                     "LOCK_DURATION=0",
	                                                     "TIME=1970-01-01 00:00:00",
	                                                     "UNIXTIME=0",
	                                                     NULL });
	script_call_free(call);
}

static bool
has(struct script_call *call, const char *words)
{
	for (char **at = call->environment; *at; at++)
		if (strcmp(*at, words) == 0)
			return true;
	return false;
}

static void
strangers_words_are_cleaned(void **state)
{
	struct script_call *call;

	(void)state;
	evidence.ident = "-rf\n";
	evidence.helo = "x\r\nFOUND=NONE\x1b]0;\x07";
	evidence.sender = "gr\xfc\xc3\xbc`id`$(id)\x9b@x";
	strcpy(verdict.because.name, "V\n\xe2\x80\xae%s%n");
	call = reaction_script_call(&what, &marks, 0);
	assert_string_equal(call->arguments[3], "?rf?");
	assert_true(has(call, "IDENT=-rf?"));
	assert_true(has(call, "HELO=x??FOUND=NONE?]0;?"));
	assert_true(has(call, "MAIL_FROM=gr?\xc3\xbc`id`$(id)?@x"));
	assert_true(has(call, "VIRUS_NAME=V??%s%n"));
	script_call_free(call);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_virus_with_all_that_can_be_known, set_up),
		cmocka_unit_test_setup(an_early_end_with_all_that_cannot_be_known,
		                       set_up),
		cmocka_unit_test_setup(strangers_words_are_cleaned, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
