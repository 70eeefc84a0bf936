#include "events.h"

#include "loop.h"
#include "stats.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * Receivers in the same loop: what they take, when they are tried again, and that they do
 * not get into each other's way.
 */
struct place { /* one receiver */
	int fd;
	struct event *event;
	char url[64];
	const char *answer; /* NULL: there is none, and the connection stays open */
	unsigned count;
	double first, last; /* when it was told */
	char words[4096];
	int open[16]; /* connections that stay open */
	unsigned open_count;
};

static struct event_base *base;
static struct place one, other;

#define OK "HTTP/1.1 200 ok\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
#define NO "HTTP/1.1 500 no\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

/* What is sent to it is small, and comes in one piece. */
static void
on_request(evutil_socket_t fd, short what, void *arg)
{
	struct place *place = arg;
	ssize_t size = recv(fd, place->words, sizeof(place->words) - 1, 0);

	(void)what;
	place->words[size > 0 ? size : 0] = '\0';
	place->last = loop_clock();
	if (place->count++ == 0)
		place->first = place->last;
	if (!place->answer) {
		place->open[place->open_count++] = fd;
		return;
	}
	assert_int_equal(send(fd, place->answer, strlen(place->answer), 0),
	                 strlen(place->answer));
	close(fd);
}

static void
on_connection(evutil_socket_t fd, short what, void *arg)
{
	int taken = accept(fd, NULL, NULL);

	(void)what;
	assert_true(taken >= 0);
	event_base_once(base, taken, EV_READ, on_request, arg, NULL);
}

static void
open_place(struct place *place, const char *answer)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(at);

	*place = (struct place){ .answer = answer };
	place->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(place->fd, (struct sockaddr *)&at, size), 0);
	assert_int_equal(listen(place->fd, 100), 0);
	getsockname(place->fd, (struct sockaddr *)&at, &size);
	snprintf(place->url, sizeof(place->url), "http://127.0.0.1:%d/x",
	         ntohs(at.sin_port));
	place->event = event_new(base, place->fd, EV_READ | EV_PERSIST, on_connection,
	                         place);
	event_add(place->event, NULL);
}

static void
close_place(struct place *place)
{
	event_free(place->event);
	close(place->fd);
	while (place->open_count > 0)
		close(place->open[--place->open_count]);
}

static int
set_up(void **state)
{
	(void)state;
	base = event_base_new();
	stats_set(STAT_events, 0);
	stats_set(STAT_events_now, 0);
	stats_set(STAT_events_retried, 0);
	stats_set(STAT_events_dropped, 0);
	open_place(&one, OK);
	open_place(&other, OK);
	return base ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	close_place(&one);
	close_place(&other);
	event_base_free(base);
	return 0;
}

static struct events *
events_of(unsigned waiting, unsigned seconds, unsigned retries)
{
	return events_new(base,
	                  &(struct events_limits){ waiting, seconds, retries, "" });
}

static void
post(struct events *events, const struct place *place, const char *body)
{
	static const struct log_ctx log = { .session = "unit", .mail = 1 };
	static const struct addr client;

	events_post(events, place->url,
	            &(struct events_subject){ &log, "virus", &client }, xstrdup(body));
}

static void
assert_counts(int taken, int now, int retried, int dropped)
{
	assert_int_equal(stats_get(STAT_events), taken);
	assert_int_equal(stats_get(STAT_events_now), now);
	assert_int_equal(stats_get(STAT_events_retried), retried);
	assert_int_equal(stats_get(STAT_events_dropped), dropped);
}

static void
it_is_told_what_is_posted(void **state)
{
	struct events *events = events_of(10, 5, 0);

	(void)state;
	post(events, &one, "{\"a\":1}");
	assert_counts(0, 1, 0, 0);
	LOOP_UNTIL(base, stats_get(STAT_events) == 1);
	assert_counts(1, 0, 0, 0);
	assert_memory_equal(one.words, "POST /x HTTP/1.1\r\n", 18);
	assert_non_null(strstr(one.words, "Content-Type: application/json\r\n"));
	assert_non_null(strstr(one.words, "\r\n\r\n{\"a\":1}"));
	events_free(events);
}

/* While it fails one is tried at a time, each in its turn; then all of them. */
static void
an_outage_costs_nothing(void **state)
{
	struct events *events = events_of(10, 5, 1);

	(void)state;
	one.answer = NO;
	for (int i = 0; i < 8; i++)
		post(events, &one, "{}");
	LOOP_UNTIL(base, one.count == 5); /* four at once, one a second later */
	assert_in_range((int)(10 * (one.last - one.first)), 9, 200);
	one.answer = OK;
	LOOP_UNTIL(base, stats_get(STAT_events) == 8);
	assert_counts(8, 0, 5, 0);
	events_free(events);
}

static void
one_that_hangs_holds_up_no_other(void **state)
{
	struct events *events = events_of(3, 300, 5);
	double began;

	(void)state;
	one.answer = NULL;
	for (int i = 0; i < 20; i++)
		post(events, &one, "{}");
	assert_counts(0, 4 + 3, 0, 20 - 4 - 3);
	post(events, &other, "{}");
	LOOP_UNTIL(base, stats_get(STAT_events) == 1);
	assert_int_equal(stats_get(STAT_events), 1);
	LOOP_UNTIL(base, one.count == 4);
	assert_int_equal(one.count, 4);
	began = loop_clock();
	events_free(events);
	assert_in_range((int)(10 * (loop_clock() - began)), 29, 500);
	assert_counts(1, 0, 0, 20);
}

static void
limits_can_change(void **state)
{
	struct events *events = events_of(3, 300, 0);

	(void)state;
	one.answer = NULL;
	events_set(events, &(struct events_limits){ 5, 1, 0, "" });
	for (int i = 0; i < 20; i++)
		post(events, &one, "{}");
	assert_counts(0, 4 + 5, 0, 20 - 4 - 5);
	LOOP_UNTIL(base, one.count == 4);
	one.answer = OK;
	LOOP_UNTIL(base, stats_get(STAT_events_now) == 0);
	assert_counts(5, 0, 0,
	              15); /* four had a second; the others, then, were taken */
	events_free(events);
	events_free(NULL);
}

static void
the_end_waits_for_what_can_be_told(void **state)
{
	struct events *events = events_of(100, 5, 0);
	double began = loop_here();

	(void)state;
	for (int i = 0; i < 50; i++)
		post(events, &one, "{}");
	events_free(events);
	assert_counts(50, 0, 0, 0);
	assert_true(loop_here() - began < 2.9); /* that it would wait */
}

#define RUNS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RUNS(it_is_told_what_is_posted),          RUNS(an_outage_costs_nothing),
		RUNS(one_that_hangs_holds_up_no_other),   RUNS(limits_can_change),
		RUNS(the_end_waits_for_what_can_be_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
