#include "saslname.h"

#include "command.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* To be freed. */
static char *
base64(const char *text, size_t size)
{
	char *all = calloc(1, size * 2 + 5);

	EVP_EncodeBlock((unsigned char *)all, (const unsigned char *)text, (int)size);
	return all;
}

static void
hear(struct saslname *auth, const char *text, size_t size)
{
	char *line = base64(text, size);

	saslname_hear(auth, line);
	free(line);
}

static void
takes(struct saslname *auth, const char *expected)
{
	char *name = saslname_take(auth);

	if (expected)
		assert_non_null(name);
	if (expected)
		assert_string_equal(name, expected);
	else
		assert_null(name);
	free(name);
	assert_null(saslname_take(auth)); /* once */
}

/* With the first words in the command, and as the answer to a challenge. */
static void
both_ways(const char *mechanism, const char *text, size_t size, const char *more,
          const char *expected)
{
	struct saslname auth = { 0 };
	char *first = base64(text, size);
	char *argument = xasprintf("%s %s", mechanism, first);

	saslname_begin(&auth, argument);
	if (more)
		saslname_hear(&auth, more);
	takes(&auth, expected);
	saslname_begin(&auth, mechanism);
	saslname_hear(&auth, first);
	if (more)
		saslname_hear(&auth, more);
	takes(&auth, expected);
	free(argument);
	free(first);
}

#define BOTH(mechanism, text, more, expected) \
	both_ways(mechanism, text, sizeof(text) - 1, more, expected)

static void
plain_names_whose_password_it_is(void **state)
{
	(void)state;
	BOTH("PLAIN", "\0alice\0secret", NULL, "alice");
	BOTH("plain", "\0alice@example.org\0", NULL, "alice@example.org");
	BOTH("PLAIN", "boss\0alice\0secret", NULL, "alice");
	BOTH("PLAIN", "\0caf\xc3\xa9 au lait\0x", NULL, "caf\xc3\xa9 au lait");
	BOTH("PLAIN", "", NULL, NULL);
	BOTH("PLAIN", "alice", NULL, NULL);
	BOTH("PLAIN", "\0alice", NULL, NULL);
	BOTH("PLAIN", "\0\0secret", NULL, NULL);
	BOTH("PLAIN", "\0alice\0secret\0", NULL, NULL);
	BOTH("PLAIN", "\0alice\0sec\0ret", NULL, NULL);
	BOTH("PLAIN", "\0al\nice\0secret", NULL, NULL);
	BOTH("PLAIN", "\0al\x7fice\0secret", NULL, NULL);
}

static void
login_names_first(void **state)
{
	(void)state;
	BOTH("LOGIN", "alice", "c2VjcmV0", "alice");
	BOTH("LOGIN", "alice", "DATA", "alice");
	BOTH("LOGIN", "alice", NULL, NULL);
	BOTH("LOGIN", "al\0ice", "c2VjcmV0", NULL);
	BOTH("LOGIN", "", "c2VjcmV0", NULL);
}

/* A server that overlooks the initial response asks for the name again. */
static void
who_is_named_twice_is_not_known(void **state)
{
	struct saslname auth = { 0 };

	(void)state;
	saslname_begin(&auth, "LOGIN YWxpY2U=");
	hear(&auth, "mallory", 7);
	hear(&auth, "secret", 6);
	takes(&auth, NULL);
	saslname_begin(&auth, "PLAIN AGFsaWNlAHNlY3JldA==");
	hear(&auth, "\0mallory\0secret", 15);
	takes(&auth, NULL);
	saslname_begin(&auth, "XOAUTH2");
	hear(&auth, "user=alice\1auth=Bearer x\1\1", 26);
	hear(&auth, "user=mallory\1auth=Bearer x\1\1", 28);
	takes(&auth, NULL);
	saslname_begin(&auth, "SCRAM-SHA-256 biwsbj1hLHI9eA==");
	for (int i = 0; i < 3; i++)
		saslname_hear(&auth, "");
	takes(&auth, NULL);
	saslname_begin(&auth, "PLAIN AGFsaWNlAHNlY3JldA==");
	for (int i = 0; i < 256; i++)
		saslname_hear(&auth, ""); /* nothing overflows */
	takes(&auth, NULL);
}

static void
cram_names_before_the_digest(void **state)
{
	struct saslname auth = { 0 };

	(void)state;
	saslname_begin(&auth, "CRAM-MD5");
	hear(&auth, "tim b913a602c7eda7a495b4e6e7334d3890", 36);
	takes(&auth, "tim");
	saslname_begin(&auth, "cram-md5");
	hear(&auth, "tim the other b913a602c7eda7a495b4e6e7334d3890", 46);
	takes(&auth, "tim the other");
	saslname_begin(&auth, "CRAM-MD5");
	hear(&auth, "tim", 3);
	takes(&auth, NULL);
	saslname_begin(&auth, "CRAM-MD5 dGlt"); /* there is nothing to begin with */
	hear(&auth, "tim b913a602c7eda7a495b4e6e7334d3890", 36);
	takes(&auth, NULL);
	saslname_begin(&auth, "CRAM-MD5");
	hear(&auth, " b913a602c7eda7a495b4e6e7334d3890", 33);
	takes(&auth, NULL);
}

static void
scram_names_in_n(void **state)
{
	(void)state;
	BOTH("SCRAM-SHA-1", "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL", "Yz1iaXdz", "user");
	BOTH("SCRAM-SHA-256-PLUS", "p=tls-exporter,,n=a=2Cb=3Dc,r=x", "Yz0=", "a,b=c");
	BOTH("scram-sha-256", "y,a=boss,n=alice,r=x,ext=1", "Yz0=", "alice");
	BOTH("SCRAM-SHA-1", "n,,n=a=2Xb,r=x", "Yz0=", NULL);
	BOTH("SCRAM-SHA-1", "n,,n=a=2,r=x", "Yz0=", NULL);
	BOTH("SCRAM-SHA-1", "n,,n=,r=x", "Yz0=", NULL);
	BOTH("SCRAM-SHA-1", "n,,n=alice", "Yz0=", NULL);
	BOTH("SCRAM-SHA-1", "n,,m=x,n=alice,r=x", "Yz0=", NULL);
	BOTH("SCRAM-SHA-1", ",,n=alice,r=x", "Yz0=", NULL);
	BOTH("SCRAM-SHA-1", "n,n=alice", "Yz0=", NULL);
	BOTH("SCRAM-SHA-1", "n,,n=alice,r=x", NULL, NULL);
	BOTH("SCRAM-", "n,,n=alice,r=x", "Yz0=", NULL);
}

static void
oauth_names_beside_the_token(void **state)
{
	(void)state;
	BOTH("XOAUTH2", "user=a@b.example\1auth=Bearer ya29\1\1", NULL, "a@b.example");
	BOTH("XOAUTH2", "User=a@b.example\1auth=Bearer ya29\1\1", NULL, NULL);
	BOTH("XOAUTH2", "user=a@b.example", NULL, NULL);
	BOTH("XOAUTH2", "user=\1auth=Bearer ya29\1\1", NULL, NULL);
	BOTH("OAUTHBEARER", "n,a=a@b.example,\1host=x\1auth=Bearer v\1\1", NULL,
	     "a@b.example");
	BOTH("OAUTHBEARER", "n,a=a=2Cb,\1auth=Bearer v\1\1", NULL, "a,b");
	BOTH("OAUTHBEARER", "n,,\1auth=Bearer v\1\1", NULL, NULL);
	BOTH("OAUTHBEARER", "n,b=c,\1auth=Bearer v\1\1", NULL, NULL);
}

static void
of_others_nothing_is_known(void **state)
{
	static const char *const mechanisms[] = {
		"GSSAPI", "NTLM",   "EXTERNAL", "DIGEST-MD5", "PLAINX", "PLAI",
		"LOGINS", "SCRAM-", "XOAUTH",   "ANONYMOUS",  "=",      "",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
		BOTH(mechanisms[i], "\0alice\0secret", NULL, NULL);
		BOTH(mechanisms[i], "alice", "c2VjcmV0", NULL);
	}
}

/* Servers may differ in what such a line is. */
static void
what_is_no_base64_names_nobody(void **state)
{
	static const char *const arguments[] = {
		"PLAIN AGFsaWNlAHNlY3JldA=",
		"PLAIN AGFsaWNlAHNlY3JldA",
		"PLAIN AGFsaWNlAHNlY3JldA===",
		"PLAIN AGFsaWNlAHNlY3JldB==",
		"PLAIN AGFsaWNl=AHNlY3JldA=",
		"PLAIN AGFsaWNlAHNlY3Jl-A==",
		"PLAIN AGFsaWNlAHNlY3JldA== more",
		"PLAIN AGFsaWNl AHNlY3JldA==",
		"PLAIN *",
		"PLAIN =",
		"PLAIN ==",
		"PLAIN ====",
		"PLAIN \xc3\xa9==",
		"PLAIN A",
	};
	struct saslname auth = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(arguments) / sizeof(arguments[0]); i++) {
		saslname_begin(&auth, arguments[i]);
		takes(&auth, NULL);
		saslname_begin(&auth, "PLAIN");
		saslname_hear(&auth, arguments[i] + strlen("PLAIN "));
		takes(&auth, NULL);
	}
	saslname_begin(&auth, "  \t PLAIN \t AGFsaWNlAHNlY3JldA== \t ");
	takes(&auth, "alice");
}

/* It names the same, or nobody. */
static void
a_part_names_nobody_else(void **state)
{
	static const char text[] = "\0alice@example.org\0a rather long secret";
	char *whole = base64(text, sizeof(text) - 1);

	(void)state;
	for (size_t cut = 0; cut <= strlen(whole); cut++) {
		char *argument = xasprintf("PLAIN %.*s", (int)cut, whole);
		struct saslname auth = { 0 };
		char *name;

		saslname_begin(&auth, argument);
		name = saslname_take(&auth);
		if (name)
			assert_string_equal(name, "alice@example.org");
		if (cut == strlen(whole))
			assert_non_null(name);
		free(name);
		free(argument);
	}
	free(whole);
}

static void
names_are_not_too_long(void **state)
{
	struct saslname auth = { 0 };
	char text[SASLNAME_MAX + 1], big[COMMAND_AUTH_MAX + 9], *line;

	(void)state;
	memset(text, 'a', sizeof(text));
	saslname_begin(&auth, "LOGIN");
	hear(&auth, text, SASLNAME_MAX);
	saslname_hear(&auth, "c2VjcmV0");
	line = xstrndup(text, SASLNAME_MAX);
	takes(&auth, line);
	free(line);
	saslname_begin(&auth, "LOGIN");
	hear(&auth, text, SASLNAME_MAX + 1);
	saslname_hear(&auth, "c2VjcmV0");
	takes(&auth, NULL);
	for (size_t size = COMMAND_AUTH_MAX - 4; size <= COMMAND_AUTH_MAX + 8;
	     size += 4) {
		memset(big, 'Y', size);
		big[size] = '\0';
		saslname_begin(&auth, "LOGIN");
		saslname_hear(&auth, big);
		saslname_hear(&auth, "c2VjcmV0");
		takes(&auth, NULL);
	}
}

static void
what_failed_is_forgotten(void **state)
{
	struct saslname auth = { 0 };

	(void)state;
	saslname_begin(&auth, "PLAIN AGFsaWNlAHNlY3JldA==");
	saslname_forget(&auth);
	takes(&auth, NULL);
	saslname_begin(&auth, "PLAIN AGFsaWNlAHNlY3JldA==");
	saslname_begin(&auth, "GSSAPI");
	takes(&auth, NULL);
	saslname_hear(&auth, "YWxpY2U="); /* nothing was begun */
	takes(&auth, NULL);
	saslname_begin(&auth, "LOGIN");
	saslname_hear(&auth, "*");
	saslname_hear(&auth, "c2VjcmV0");
	takes(&auth, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_names_whose_password_it_is),
		cmocka_unit_test(login_names_first),
		cmocka_unit_test(who_is_named_twice_is_not_known),
		cmocka_unit_test(cram_names_before_the_digest),
		cmocka_unit_test(scram_names_in_n),
		cmocka_unit_test(oauth_names_beside_the_token),
		cmocka_unit_test(of_others_nothing_is_known),
		cmocka_unit_test(what_is_no_base64_names_nobody),
		cmocka_unit_test(a_part_names_nobody_else),
		cmocka_unit_test(names_are_not_too_long),
		cmocka_unit_test(what_failed_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
