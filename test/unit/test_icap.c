#include "icap.h"

#include "feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- requests --------------------------------------------------------------------------- */

static void
assert_written(struct evbuffer *out, const char *text)
{
	size_t size = evbuffer_get_length(out);

	assert_int_equal(size, strlen(text));
	assert_memory_equal(evbuffer_pullup(out, -1), text, size);
	evbuffer_drain(out, size);
}

static void
test_options(void **state)
{
	struct evbuffer *out = evbuffer_new();

	(void)state;
	icap_put_options(out, "icap://[2001:db8::1]:99/av?x=1");
	assert_written(out, "OPTIONS icap://[2001:db8::1]:99/av?x=1 ICAP/1.0\r\n"
	                    "Host: [2001:db8::1]:99\r\n"
	                    "User-Agent: smtp-gated/" PROGRAM_VERSION "\r\n"
	                    "Encapsulated: null-body=0\r\n\r\n");
	evbuffer_free(out);
}

static void
test_respmod(void **state)
{
	struct evbuffer *out = evbuffer_new();
	struct icap_request request = { .url = "icap://192.0.2.1/av", .size = 1234567 };

	(void)state;
	icap_put_respmod(out, &request);
	assert_written(out, "RESPMOD icap://192.0.2.1/av ICAP/1.0\r\n"
	                    "Host: 192.0.2.1\r\n"
	                    "User-Agent: smtp-gated/" PROGRAM_VERSION "\r\n"
	                    "Allow: 204\r\n"
	                    "Encapsulated: req-hdr=0, res-hdr=68, res-body=142\r\n\r\n"
	                    "GET http://mail.invalid/message.eml HTTP/1.1\r\n"
	                    "Host: mail.invalid\r\n\r\n"
	                    "HTTP/1.1 200 OK\r\n"
	                    "Content-Type: message/rfc822\r\n"
	                    "Content-Length: 1234567\r\n\r\n");
	request.has_preview = true;
	request.preview = 1024;
	icap_put_respmod(out, &request);
	assert_non_null(strstr((char *)evbuffer_pullup(out, -1),
	                       "Allow: 204\r\nPreview: 1024\r\nEncapsulated:"));
	evbuffer_drain(out, evbuffer_get_length(out));
	icap_put_chunk(out, "0123456789abcdefg", 17);
	icap_put_stop(out, ICAP_STOP_PREVIEW);
	icap_put_stop(out, ICAP_STOP_SHORT);
	icap_put_stop(out, ICAP_STOP_ALL);
	assert_written(out,
	               "11\r\n0123456789abcdefg\r\n0\r\n\r\n0; ieof\r\n\r\n0\r\n\r\n");
	evbuffer_free(out);
}

/* ---- answers ---------------------------------------------------------------------------- */

#define OK      "ICAP/1.0 200 OK\r\n"
#define INNER   "HTTP/1.1 200 OK\r\n\r\n"        /* 19 bytes */
#define BLOCKED "HTTP/1.0 403 Forbidden\r\n\r\n" /* 26 bytes */
#define ONE     "1\r\nx\r\n0\r\n\r\n"

static const struct row {
	const char *text;
	enum icap_step step;
	int code, http_code;
	enum icap_threat threat;
	const char *name;
	const char *content;
} rows[] = {
	/* c-icap 0.5.10: clean, its 403 page, its echo. */
	{ "ICAP/1.0 204 Unmodified\r\nServer: C-ICAP/0.5.10\r\nConnection: "
	  "keep-alive\r\n"
	  "ISTag: \"CI0001-L5\"\r\n\r\n",
	  ICAP_WHOLE, 204, 0, ICAP_NO_THREAT, "", "" },
	{ OK "X-Infection-Found: Type=0; Resolution=2; Threat=Eicar-Test-Signature;\r\n"
	     "Encapsulated: res-hdr=0, res-body=26\r\n\r\n" BLOCKED
	     "5\r\n<html\r\n1\r\n>\r\n0\r\n\r\n",
	  ICAP_WHOLE, 200, 403, ICAP_VIRUS, "Eicar-Test-Signature", "<html>" },
	{ OK "Encapsulated: res-hdr=0, res-body=19\r\n\r\n" INNER ONE, ICAP_WHOLE, 200,
	  200, ICAP_NO_THREAT, "", "x" },
	/* Other engines, as they are known to speak. */
	{ OK "X-Virus-ID: Troj/Doc-A\r\nEncapsulated: res-hdr=0, "
	     "null-body=26\r\n\r\n" BLOCKED,
	  ICAP_WHOLE, 200, 403, ICAP_VIRUS, "Troj/Doc-A", "" },
	{ "ICAP/1.0 204 No\r\nX-Virus-ID: no threats\r\nX-Response-Info: "
	  "passed\r\n\r\n",
	  ICAP_WHOLE, 204, 0, ICAP_NO_THREAT, "", "" },
	{ OK "Encapsulated: res-hdr=0, res-body=50\r\n\r\n"
	     "HTTP/1.0 307 Go\r\nX-Virus-ID: {HEX}EICAR.TEST.3\r\n\r\n" ONE,
	  ICAP_WHOLE, 200, 307, ICAP_VIRUS, "{HEX}EICAR.TEST.3", "x" },
	{ "ICAP/1.0 201 Created\r\nX-Infection-Found: Type=2; Resolution=2; "
	  "Threat=Container size violation\r\nX-Virus-ID: any\r\n\r\n",
	  ICAP_WHOLE, 201, 0, ICAP_CONTAINER, "Container size violation", "" },
	{ OK "X-Virus-ID: Policy\r\nX-Infection-Found: Type=1; Resolution=0; "
	     "Threat=;\r\n\r\n",
	  ICAP_WHOLE, 200, 0, ICAP_POLICY, "Policy", "" },
	{ OK "X-Violations-Found: "
	     "1\r\n\tmessage.eml\r\n\tW32.Klez\r\n\t4711\r\n\t2\r\n\r\n",
	  ICAP_WHOLE, 200, 0, ICAP_VIRUS, "W32.Klez", "" },
	{ OK "X-Violations-Found: 0\r\n\r\n", ICAP_WHOLE, 200, 0, ICAP_NO_THREAT, "",
	  "" },
	{ OK "X-FSecure-Infection-Name: \"Malware.A\"\r\n\r\n", ICAP_WHOLE, 200, 0,
	  ICAP_VIRUS, "Malware.A", "" },
	{ OK "x-virus-id:\ta\x1b\x80"
	     "b \r\n\r\n",
	  ICAP_WHOLE, 200, 0, ICAP_VIRUS, "a??b", "" },
	/* Headers of ICAP mean nothing in HTTP; extensions of chunks and trailers nothing. */
	{ OK "Encapsulated: req-hdr=0,res-hdr=35 , res-body=54\r\n\r\n"
	     "GET / HTTP/1.1\r\nEncapsulated: x\r\n\r\n" INNER
	     "1; a=b\r\nx\r\n000a \r\n0123456789\r\n0;x\r\nA: b\r\n\r\n",
	  ICAP_WHOLE, 200, 200, ICAP_NO_THREAT, "", "x0123456789" },
	{ "ICAP/1.0 100 Continue\r\n\r\n", ICAP_CONTINUE, 0, 0, ICAP_NO_THREAT, "",
	  "" },
	/* What is no answer. */
	{ "HTTP/1.1 200 OK\r\n\r\n", ICAP_MALFORMED, -1, 0, ICAP_NO_THREAT, "", "" },
	{ "ICAP/1.0 20 OK\r\n", ICAP_MALFORMED, -1, 0, ICAP_NO_THREAT, "", "" },
	{ "ICAP/1.0 2040 OK\r\n", ICAP_MALFORMED, -1, 0, ICAP_NO_THREAT, "", "" },
	{ "ICAP/1.0 099 OK\r\n", ICAP_MALFORMED, -1, 0, ICAP_NO_THREAT, "", "" },
	{ "ICAP/1.0 204 OK\n", ICAP_MALFORMED, 0, 0, ICAP_NO_THREAT, "", "" },
	{ "\r\n", ICAP_MALFORMED, -1, 0, ICAP_NO_THREAT, "", "" },
	{ "ICAP/1.0 100 Go\r\nEncapsulated: null-body=3\r\n\r\n", ICAP_MALFORMED, 0, 0,
	  ICAP_NO_THREAT, "", "" },
	{ OK "no colon\r\n", ICAP_MALFORMED, 200, 0, ICAP_NO_THREAT, "", "" },
	{ OK "a\rb: c\r\n", ICAP_MALFORMED, 200, 0, ICAP_NO_THREAT, "", "" },
	{ OK "Encapsulated: res-hdr=0\r\n", ICAP_MALFORMED, 200, 0, ICAP_NO_THREAT, "",
	  "" },
	{ OK "Encapsulated: res-hdr=1, res-body=2\r\n", ICAP_MALFORMED, 200, 0,
	  ICAP_NO_THREAT, "", "" },
	{ OK "Encapsulated: res-hdr=0, res-hdr=9, res-body=2\r\n", ICAP_MALFORMED, 200,
	  0, ICAP_NO_THREAT, "", "" },
	{ OK "Encapsulated: res-hdr=0, res-body=70000\r\n", ICAP_MALFORMED, 200, 0,
	  ICAP_NO_THREAT, "", "" },
	{ OK "Encapsulated: res-hdr=0, res-body=9999999999\r\n", ICAP_MALFORMED, 200, 0,
	  ICAP_NO_THREAT, "", "" },
	{ OK "Encapsulated: res-body=0, res-hdr=0\r\n", ICAP_MALFORMED, 200, 0,
	  ICAP_NO_THREAT, "", "" },
	{ OK "Encapsulated: res-body=0x\r\n", ICAP_MALFORMED, 200, 0, ICAP_NO_THREAT,
	  "", "" },
	{ OK "Encapsulated:\r\n", ICAP_MALFORMED, 200, 0, ICAP_NO_THREAT, "", "" },
	/* Headers of HTTP that end elsewhere than they should. */
	{ OK "Encapsulated: res-hdr=0, res-body=18\r\n\r\n" INNER ONE, ICAP_MALFORMED,
	  200, 200, ICAP_NO_THREAT, "", "" },
	{ OK "Encapsulated: res-hdr=0, res-body=17\r\n\r\n" INNER ONE, ICAP_MALFORMED,
	  200, 200, ICAP_NO_THREAT, "", "" },
	{ OK "Encapsulated: res-hdr=0, res-body=22\r\n\r\n" INNER ONE, ICAP_MALFORMED,
	  200, 200, ICAP_NO_THREAT, "", "" },
	/* Chunks. */
	{ OK "Encapsulated: res-body=0\r\n\r\n-1\r\n", ICAP_MALFORMED, 200, 0,
	  ICAP_NO_THREAT, "", "" },
	{ OK "Encapsulated: res-body=0\r\n\r\n0x1\r\n", ICAP_MALFORMED, 200, 0,
	  ICAP_NO_THREAT, "", "" },
	{ OK "Encapsulated: res-body=0\r\n\r\n123456789\r\n", ICAP_MALFORMED, 200, 0,
	  ICAP_NO_THREAT, "", "" },
	{ OK "Encapsulated: res-body=0\r\n\r\n\r\n", ICAP_MALFORMED, 200, 0,
	  ICAP_NO_THREAT, "", "" },
	{ OK "Encapsulated: res-body=0\r\n\r\n1\r\nxy\r\n", ICAP_MALFORMED, 200, 0,
	  ICAP_NO_THREAT, "", "x" },
	/* Not yet. */
	{ OK "Encapsulated: res-hdr=0, res-body=19\r\n\r\n" INNER "2\r\nx", ICAP_MORE,
	  200, 200, ICAP_NO_THREAT, "", "x" },
};

static void
keep(const char *at, size_t size, void *arg)
{
	evbuffer_add(arg, at, size);
}

static enum icap_step
feed(struct icap_reader *reader, const char *text, size_t way, struct evbuffer *content)
{
	struct evbuffer *in = evbuffer_new();
	size_t size = strlen(text);
	enum icap_step step = ICAP_MORE;

	for (size_t at = 0; at < size && step == ICAP_MORE;) {
		size_t next = feed_next(way, at, size);

		evbuffer_add(in, text + at, next);
		at += next;
		step = icap_read(reader, in, keep, content);
		if (step == ICAP_WHOLE || step == ICAP_CONTINUE) {
			assert_int_equal(at, size);
			assert_int_equal(evbuffer_get_length(in), 0);
		}
	}
	evbuffer_free(in);
	return step;
}

static void
check_row(const struct row *row, size_t way)
{
	struct evbuffer *content = evbuffer_new();
	struct icap_reader reader = { 0 };
	enum icap_step step = feed(&reader, row->text, way, content);
	const struct icap_answer *answer = &reader.answer;

	if (step != row->step)
		print_error("%s\n", row->text);
	assert_int_equal(step, row->step);
	if (step != ICAP_MALFORMED) {
		assert_int_equal(answer->code, row->code);
		assert_int_equal(answer->http_code, row->http_code);
		assert_int_equal(answer->threat, row->threat);
		assert_string_equal(answer->name, row->name);
		evbuffer_add(content, "", 1);
		assert_string_equal(evbuffer_pullup(content, -1), row->content);
	}
	evbuffer_free(content);
}

static void
test_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t way = 0; way < FEED_WAYS(strlen(rows[i].text)); way++)
			check_row(&rows[i], way);
}

static void
test_what_services_say(void **state)
{
	struct icap_reader reader = { 0 };
	const struct icap_answer *answer = &reader.answer;

	(void)state;
	assert_int_equal(feed(&reader,
	                      OK
	                      "Methods: RESPMOD, REQMOD\r\nISTag: \"CI0001-L5\"\r\n"
	                      "Transfer-Preview: *\r\nOptions-TTL: 3600\r\n"
	                      "Preview: 1024\r\nAllow: 204\r\nMax-Connections: 20\r\n"
	                      "Encapsulated: null-body=0\r\n\r\n",
	                      0, NULL),
	                 ICAP_WHOLE);
	assert_true(answer->offers_respmod);
	assert_false(answer->is_last);
	assert_int_equal(answer->preview, 1024);
	assert_int_equal(answer->ttl_s, 3600);
	assert_int_equal(answer->connections, 20);
	assert_string_equal(answer->tag, "CI0001-L5");
	reader = (struct icap_reader){ 0 };
	assert_int_equal(
		feed(&reader,
	             "ICAP/1.0 200 OK\r\nMethods: REQMOD\r\nPreview: -1\r\n"
	             "Options-TTL: 10000000000000000\r\nConnection: Close\r\n\r\n",
	             0, NULL),
		ICAP_WHOLE);
	assert_false(answer->offers_respmod);
	assert_true(answer->is_last);
	assert_int_equal(answer->preview, -1);
	assert_int_equal(answer->ttl_s, -1);
	assert_int_equal(answer->connections, -1);
}

/* TEXT again and again: at most so many bytes are taken before it is no answer. */
static void
check_endless(const char *begin, const char *text, size_t most)
{
	struct evbuffer *in = evbuffer_new();
	struct icap_reader reader = { 0 };
	enum icap_step step = ICAP_MORE;
	size_t taken = 0;

	evbuffer_add(in, begin, strlen(begin));
	while (step == ICAP_MORE) {
		evbuffer_add(in, text, strlen(text));
		taken += strlen(text);
		step = icap_read(&reader, in, keep, NULL);
		assert_true(taken <= most);
	}
	assert_int_equal(step, ICAP_MALFORMED);
	evbuffer_free(in);
}

static void
test_endless(void **state)
{
	(void)state;
	check_endless("", "x", ICAP_LINE_MAX);
	check_endless("ICAP/1.0 204 ", "x", ICAP_LINE_MAX);
	check_endless(OK, "A: b\r\n", ICAP_HEADER_MAX);
	check_endless(OK "X-Violations-Found: 1\r\n", " b\r\n", ICAP_HEADER_MAX);
	check_endless(OK "Encapsulated: res-body=0\r\n\r\n0\r\n", "A: b\r\n",
	              ICAP_HEADER_MAX + 10);
	check_endless(OK "Encapsulated: res-body=0\r\n\r\n1;", "x", ICAP_LINE_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_respmod),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_what_services_say),
		cmocka_unit_test(test_endless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
