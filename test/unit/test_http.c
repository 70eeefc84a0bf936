#include "http.h"

#include "loop.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * A server in the same loop: what it gets, and what is made of what it answers.
 */
enum {
	TALKS = 20,
	BIG = 3 << 20,
	MOST = 1000,
};

struct talk { /* one connection */
	int fd;
	struct event *event;
	struct evbuffer *input;
	bool is_deaf; /* it has said all, and reads on */
};

static struct event_base *base;
static struct http *http;
static struct spool_budget *budget;
static int listening;
static struct event *event;
static struct talk talks[TALKS];
static unsigned talk_count;
static char url[64], directory[64], unix_path[108];
static const char *answer; /* NULL: there is none */
static bool is_early;      /* at the first bytes, not when all is there */
static bool closes;
static size_t got;       /* bytes of the last content */
static char words[4096]; /* the beginning of the last request */

static unsigned dones;
static struct http_answer last;
static char last_error[512], last_body[2 * MOST];

#define OK "HTTP/1.1 200 ok\r\nContent-Length: 5\r\n\r\nwords"

/* ---- the server ------------------------------------------------------------------ */

static void
talk_end(struct talk *talk)
{
	event_free(talk->event);
	evbuffer_free(talk->input);
	close(talk->fd);
	*talk = (struct talk){ .fd = -1 };
}

/* Bytes of content that the request announces; they have come when it is true. */
static bool
is_complete(struct evbuffer *input)
{
	size_t size = evbuffer_get_length(input);
	struct evbuffer_ptr end = evbuffer_search(input, "\r\n\r\n", 4, NULL);
	const char *length;

	if (end.pos < 0)
		return false;
	evbuffer_copyout(input, words, sizeof(words) - 1);
	words[size < sizeof(words) ? size : sizeof(words) - 1] = '\0';
	length = strcasestr(words, "Content-Length: ");
	assert_non_null(length);
	got = size - (size_t)end.pos - 4;
	return got == strtoul(length + 16, NULL, 10);
}

static void
on_bytes(evutil_socket_t fd, short what, void *arg)
{
	struct talk *talk = arg;
	int size = evbuffer_read(talk->input, fd, 1 << 20);

	(void)what;
	if (size <= 0) {
		talk_end(talk);
		return;
	}
	if (talk->is_deaf)
		evbuffer_drain(talk->input, evbuffer_get_length(talk->input));
	if (talk->is_deaf || (!is_complete(talk->input) && !is_early) || !answer)
		return;
	talk->is_deaf = is_early;
	assert_int_equal(send(fd, answer, strlen(answer), MSG_NOSIGNAL),
	                 strlen(answer));
	evbuffer_drain(talk->input, evbuffer_get_length(talk->input));
	if (closes)
		talk_end(talk);
}

static void
on_connection(evutil_socket_t fd, short what, void *arg)
{
	struct talk *talk = &talks[talk_count++];

	(void)what, (void)arg;
	assert_true(talk_count <= TALKS);
	talk->fd = accept(fd, NULL, NULL);
	assert_true(talk->fd >= 0);
	evutil_make_socket_nonblocking(talk->fd);
	talk->input = evbuffer_new();
	talk->event = event_new(base, talk->fd, EV_READ | EV_PERSIST, on_bytes, talk);
	event_add(talk->event, NULL);
}

static void
serve(int fd, const struct sockaddr *at, socklen_t size)
{
	listening = fd;
	assert_int_equal(bind(fd, at, size), 0);
	assert_int_equal(listen(fd, 10), 0);
	event = event_new(base, fd, EV_READ | EV_PERSIST, on_connection, NULL);
	event_add(event, NULL);
}

static void
serve_tcp(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(at);

	serve(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), (struct sockaddr *)&at,
	      size);
	getsockname(listening, (struct sockaddr *)&at, &size);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/x", ntohs(at.sin_port));
}

static void
serve_no_more(void)
{
	if (listening < 0)
		return;
	event_free(event);
	close(listening);
	listening = -1;
	for (unsigned i = 0; i < talk_count; i++)
		if (talks[i].fd >= 0)
			talk_end(&talks[i]);
	talk_count = 0;
}

static int
set_up(void **state)
{
	(void)state;
	base = event_base_new();
	http = http_new(base);
	strcpy(directory, "/tmp/test_http.XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(unix_path, sizeof(unix_path), "%s/socket", directory);
	budget = spool_budget_new(base, &(struct spool_limits){ .path = directory,
	                                                        .memory_each = 100000,
	                                                        .memory_all = 100000 });
	answer = OK;
	is_early = closes = false;
	dones = 0;
	got = 0;
	serve_tcp();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	serve_no_more();
	http_free(http);
	spool_budget_free(budget);
	unlink(unix_path);
	assert_int_equal(rmdir(directory), 0);
	event_base_free(base);
	return 0;
}

/* ---- the client ------------------------------------------------------------------ */

static void
on_done(const struct http_answer *what, void *arg)
{
	(void)arg;
	dones++;
	last = *what;
	snprintf(last_error, sizeof(last_error), "%s", what->error);
	assert_true(what->size < sizeof(last_body));
	memcpy(last_body, what->body ? what->body : "", what->size);
	last_body[what->size] = '\0';
}

static struct spool *
spool_of(size_t size)
{
	struct spool *spool = spool_new(budget, "head", 4, NULL, NULL);
	struct evbuffer *content = evbuffer_new();
	char *bytes = malloc(size + 1);

	memset(bytes, 'm', size);
	evbuffer_add(content, bytes, size);
	free(bytes);
	assert_int_equal(spool_append(spool, content), SPOOL_OK);
	evbuffer_free(content);
	spool_seal(spool);
	return spool;
}

static const char *const headers[] = { "Content-Type: message/rfc822", "IP: 192.0.2.1",
	                               NULL };

static struct http_request
request_of(struct spool *message)
{
	return (struct http_request){ .url = url,
		                      .ca_file = "",
		                      .headers = headers,
		                      .message = message,
		                      .milliseconds = 5000,
		                      .answer_most = MOST };
}

static struct http_call *
start(const struct http_request *request)
{
	struct http_call *call = http_post(http, request, on_done, NULL);

	assert_int_equal(dones, 0);
	return call;
}

static void
ask(size_t size)
{
	struct spool *spool = spool_of(size);
	struct http_request request = request_of(spool);

	dones = 0;
	(void)start(&request);
	spool_drop(spool); /* it is held */
	LOOP_UNTIL(base, dones > 0);
	assert_int_equal(dones, 1);
}

static void
assert_answered(const char *body)
{
	assert_int_equal(last.status, 200);
	assert_true(last.is_whole && last.was_connected);
	assert_string_equal(last_body, body);
}

static void
assert_failed(const char *why)
{
	assert_false(last.is_whole);
	if (!strstr(last_error, why))
		fail_msg("\"%s\" is not in \"%s\"", why, last_error);
}

/* ---- tests ----------------------------------------------------------------------- */

static void
a_message_is_posted(void **state)
{
	(void)state;
	for (size_t size = 0; size <= BIG; size = 3 * size + 7) {
		ask(size); /* in memory, then in a file */
		assert_answered("words");
		assert_int_equal(got, size);
	}
	assert_memory_equal(words, "POST /x HTTP/1.1\r\n", 18);
	assert_non_null(strstr(words, "\r\nIP: 192.0.2.1\r\n"));
	assert_non_null(strstr(words, "\r\nContent-Type: message/rfc822\r\n"));
	assert_non_null(strstr(words, "\r\n\r\nmmm")); /* without the head */
	assert_null(strstr(words, "Expect"));
	assert_int_equal(talk_count, 1); /* the connection was kept */
}

static void
a_kept_connection_that_is_gone_is_made_again(void **state)
{
	(void)state;
	ask(10);
	talk_end(&talks[0]);
	ask(BIG);
	assert_answered("words");
	assert_int_equal(got, BIG);
	assert_int_equal(talk_count, 2);
}

static void
it_goes_to_a_unix_socket(void **state)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct spool *spool = spool_of(5000);
	struct http_request request = request_of(spool);

	(void)state;
	serve_no_more();
	strcpy(at.sun_path, unix_path);
	serve(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), (struct sockaddr *)&at,
	      sizeof(at));
	request.url = "http://localhost/y";
	request.unix_path = unix_path;
	(void)start(&request);
	LOOP_UNTIL(base, dones > 0);
	assert_answered("words");
	assert_memory_equal(words, "POST /y ", 8);
	assert_int_equal(got, 5000);
	spool_drop(spool);
}

/* Each in its own way, and none of them an answer. */
static void
what_goes_wrong_is_told(void **state)
{
	static const struct {
		const char *answer, *why;
	} rows[] = {
		{ "", "Empty reply" },
		{ "HTTP/1.1 200 ok\r\nContent-Length: 50\r\n\r\nwords", "remaining" },
		{ "HTTP/1.1 200 ok\r\nContent-Length: 5\r\n", "" },
		{ "HTTP/1.1 200 ok\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "" },
		{ "HTTP/1.1 1", "" },
		{ "SPAMD/1.1 0 EX_OK\r\n\r\n", "HTTP/0.9" },
		{ "220 mail.example ESMTP\r\n", "HTTP/0.9" },
	};

	(void)state;
	closes = true;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		answer = rows[i].answer;
		ask(10);
		assert_failed(rows[i].why);
		assert_true(last_error[0] != '\0');
		assert_true(last.was_connected && !last.was_timed_out);
	}
	serve_no_more();
	ask(10);
	assert_failed("connect");
	assert_false(last.was_connected);
	assert_int_equal(last.status, 0);
}

static void
other_statuses_are_answers(void **state)
{
	(void)state;
	answer = "HTTP/1.1 404 no\r\nContent-Length: 2\r\n\r\nno";
	ask(10);
	assert_int_equal(last.status, 404);
	assert_true(last.is_whole);
	assert_string_equal(last_body, "no");
}

static void
a_long_answer_is_none(void **state)
{
	char text[3 * MOST];
	int size;

	(void)state;
	for (int more = 0; more < 2; more++) {
		size = snprintf(text, sizeof(text),
		                "HTTP/1.1 200 ok\r\nContent-Length: %d\r\n\r\n",
		                MOST + more);
		memset(text + size, 'x', MOST + (size_t)more);
		text[size + MOST + more] = '\0';
		answer = text;
		ask(10);
		assert_int_equal(last.is_whole, more == 0);
		assert_int_equal(last.status, 200);
	}
	assert_string_equal(last_error, "its answer is too long");
}

static void
endless_headers_are_none(void **state)
{
	static char text[200000] = "HTTP/1.1 200 ok\r\n";

	(void)state;
	while (strlen(text) < sizeof(text) - 100)
		strcat(text, "X: 45678901234567890123456789012345678901234567890\r\n");
	answer = text;
	ask(10);
	assert_failed("its answer is too long");
}

/* It cannot know what it says. */
static void
an_early_answer_is_none(void **state)
{
	(void)state;
	is_early = true;
	for (int i = 0; i < 2; i++) {
		closes = i == 1;
		ask(BIG);
		assert_failed("");
		assert_true(last_error[0] != '\0');
	}
}

/* On a busy machine it may be up before there is a connection. */
static void
time_is_limited(void **state)
{
	struct spool *spool = spool_of(BIG);
	struct http_request request = request_of(spool);

	(void)state;
	answer = NULL;
	request.milliseconds = 300;
	last.was_connected = false;
	for (int i = 0; i < 10 && !last.was_connected; i++) {
		double began = loop_clock();

		dones = 0;
		(void)start(&request);
		LOOP_UNTIL(base, dones > 0);
		assert_failed("");
		assert_true(last.was_timed_out && last_error[0] != '\0');
		assert_true(loop_clock() - began >= 0.29);
	}
	assert_true(last.was_connected);
	spool_drop(spool);
}

static void
spin_until(double when)
{
	while (loop_clock() < when)
		;
}

/* The loop comes late for another timer of libcurl's (200 ms: another address would be
 * tried), and just before time is up for some of these calls. */
static void
time_is_limited_when_the_loop_was_late(void **state)
{
	struct spool *spool = spool_of(10);
	struct http_request request = request_of(spool);
	double began = loop_clock();

	(void)state;
	answer = NULL;
	request.milliseconds = 210;
	for (unsigned i = 0; i < TALKS; i++) {
		spin_until(began + i * 0.0002);
		(void)start(&request);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	loop_turn(base, 50);
	spin_until(began + 0.2115);
	LOOP_UNTIL(base, dones == TALKS);
	assert_int_equal(dones, TALKS);
	assert_true(last.was_timed_out);
	spool_drop(spool);
}

/* At any time; and nothing of it is left: the sanitizers and the teardown look. */
static void
it_can_be_cancelled(void **state)
{
	(void)state;
	answer = NULL;
	for (int turns = 0; turns < 6; turns++) {
		struct spool *spool = spool_of(BIG);
		struct http_request request = request_of(spool);
		struct http_call *call = start(&request);

		for (int i = 0; i < turns; i++)
			event_base_loop(base, EVLOOP_ONCE);
		http_cancel(call);
		spool_drop(spool);
		loop_turn(base, 5);
	}
	assert_int_equal(dones, 0);
	http_cancel(NULL);
}

#define RUNS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RUNS(a_message_is_posted),
		RUNS(a_kept_connection_that_is_gone_is_made_again),
		RUNS(it_goes_to_a_unix_socket),
		RUNS(what_goes_wrong_is_told),
		RUNS(other_statuses_are_answers),
		RUNS(a_long_answer_is_none),
		RUNS(endless_headers_are_none),
		RUNS(an_early_answer_is_none),
		RUNS(time_is_limited),
		RUNS(time_is_limited_when_the_loop_was_late),
		RUNS(it_can_be_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
