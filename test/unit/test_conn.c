#include "conn.h"

#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define MEGABYTE ((size_t)1 << 20)

enum moment {
	NEVER,
	AT_CONNECTED,
	AT_INPUT,
	AT_EOF,
	AT_DRAINED,
	AT_LOST,
};

/* The owner of a conn: counts what it is told, and may end the conn in the middle. */
struct owner {
	struct conn *conn;
	unsigned connected, input, drained, lost;
	enum conn_end why;
	int error;
	enum moment free_at;
	bool calling;         /* we are inside a function of conn.h */
	struct conn *echo_to; /* input goes to the output of this one */
};

static void
moment(struct owner *owner, enum moment now)
{
	assert_false(owner->calling);
	if (owner->free_at != now)
		return;
	conn_free(owner->conn);
	owner->conn = NULL;
}

static void
on_connected(struct conn *conn, void *arg)
{
	struct owner *owner = arg;

	assert_ptr_equal(conn, owner->conn);
	owner->connected++;
	moment(owner, AT_CONNECTED);
}

static void
on_input(struct conn *conn, void *arg)
{
	struct owner *owner = arg;

	assert_ptr_equal(conn, owner->conn);
	owner->input++;
	if (owner->echo_to) {
		evbuffer_add_buffer(conn_output(owner->echo_to), conn_input(conn));
		conn_flush(owner->echo_to);
	}
	moment(owner, conn_at_eof(conn) ? AT_EOF : AT_INPUT);
}

static void
on_drained(struct conn *conn, void *arg)
{
	struct owner *owner = arg;

	assert_ptr_equal(conn, owner->conn);
	owner->drained++;
	moment(owner, AT_DRAINED);
}

static void
on_lost(struct conn *conn, enum conn_end why, int error, void *arg)
{
	struct owner *owner = arg;

	assert_ptr_equal(conn, owner->conn);
	owner->lost++;
	owner->why = why;
	owner->error = error;
	moment(owner, AT_LOST);
}

static const struct conn_events events = {
	.connected = on_connected,
	.input = on_input,
	.drained = on_drained,
	.lost = on_lost,
};

/* ---- the other side: a plain socket of ours ------------------------------------------- */

struct world {
	struct event_base *base;
	int listening;
	struct addr at;
	struct owner owner;
	int peer; /* -1 after it was closed */
};

static int
setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	world->base = event_base_new();
	world->peer = -1;
	assert_true(addr_parse(&world->at, "127.0.0.1", 0));
	world->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(world->listening, &world->at.any, addr_size(&world->at)),
	                 0);
	assert_int_equal(listen(world->listening, 10), 0);
	world->at = addr_local(world->listening);
	*state = world;
	return 0;
}

static int
teardown(void **state)
{
	struct world *world = *state;

	conn_free(world->owner.conn);
	if (world->peer >= 0)
		close(world->peer);
	close(world->listening);
	event_base_free(world->base);
	free(world);
	return 0;
}

/* A conn that was accepted; the peer called. */
static struct conn *
accepted(struct world *world)
{
	int fd;

	world->peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(world->peer, &world->at.any, addr_size(&world->at)),
	                 0);
	fd = accept4(world->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fd >= 0);
	world->owner.conn = conn_accepted(world->base, fd, &events, &world->owner);
	return world->owner.conn;
}

/* A conn that calls; the peer is what listens. */
static struct conn *
calling(struct world *world, const char *from)
{
	struct conn_source source = { 0 };

	if (from)
		assert_true(addr_parse(&source.addr, from, 0));
	world->owner.calling = true;
	world->owner.conn = conn_connect(world->base, &world->at, &source, &events,
	                                 &world->owner);
	world->owner.calling = false;
	return world->owner.conn;
}

static void
peer_sends(struct world *world, const char *text)
{
	assert_int_equal(send(world->peer, text, strlen(text), MSG_NOSIGNAL),
	                 strlen(text));
}

static void
peer_resets(struct world *world)
{
	struct linger hard = { .l_onoff = 1 };

	setsockopt(world->peer, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(world->peer);
	world->peer = -1;
}

/* What the peer gets until the end or until SIZE bytes have come, as the loop turns. */
static size_t
peer_reads(struct world *world, char *to, size_t size)
{
	double start = loop_clock();
	size_t got = 0;

	while (got < size && loop_clock() < start + 60) {
		ssize_t more = recv(world->peer, to + got, size - got, MSG_DONTWAIT);

		if (more == 0)
			break;
		if (more > 0)
			got += (size_t)more;
		else
			loop_turn(world->base, 1);
	}
	return got;
}

static char
letter(size_t n)
{
	return (char)(n * 131 >> 3 ^ n);
}

static void
put(struct conn *conn, size_t size)
{
	char *bytes = malloc(size);

	for (size_t i = 0; i < size; i++)
		bytes[i] = letter(i);
	evbuffer_add(conn_output(conn), bytes, size);
	free(bytes);
}

static void
check_bytes(const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != letter(i))
			fail_msg("byte %zu is wrong", i);
}

static void
flush(struct world *world)
{
	world->owner.calling = true;
	conn_flush(world->owner.conn);
	world->owner.calling = false;
}

static void
check_input(struct conn *conn, const char *text)
{
	struct evbuffer *input = conn_input(conn);
	char *bytes = (char *)evbuffer_pullup(input, -1);

	assert_int_equal(evbuffer_get_length(input), strlen(text));
	if (text[0])
		assert_memory_equal(bytes, text, strlen(text));
}

/* ---- bytes ---------------------------------------------------------------------------- */

static void
bytes_pass_both_ways(void **state)
{
	struct world *world = *state;
	struct conn *near = calling(world, NULL), *far;
	struct owner echo = { 0 };
	char *bytes;
	int fd;

	LOOP_UNTIL(world->base, world->owner.connected);
	assert_int_equal(world->owner.connected, 1);
	fd = accept4(world->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	far = echo.conn = echo.echo_to = conn_accepted(world->base, fd, &events, &echo);
	put(near, MEGABYTE);
	flush(world);
	LOOP_UNTIL(world->base, conn_received(near) >= MEGABYTE);
	assert_int_equal(conn_received(near), MEGABYTE);
	assert_int_equal(conn_received(far), MEGABYTE);
	bytes = (char *)evbuffer_pullup(conn_input(near), -1);
	check_bytes(bytes, MEGABYTE);
	assert_int_equal(world->owner.lost + echo.lost, 0);
	conn_free(far);
}

static void
one_turn_reads_no_more_than_its_size(void **state)
{
	struct world *world = *state;
	struct conn *conn = accepted(world);
	char bytes[5000] = { 0 };

	conn_set_read_size(512);
	assert_int_equal(send(world->peer, bytes, sizeof(bytes), 0), sizeof(bytes));
	LOOP_UNTIL(world->base, conn_received(conn) == sizeof(bytes));
	conn_set_read_size(65536);
	assert_int_equal(evbuffer_get_length(conn_input(conn)), sizeof(bytes));
	assert_int_equal(world->owner.input, 10);
}

static void
a_slow_reader_gets_everything(void **state)
{
	struct world *world = *state;
	struct conn *conn = accepted(world);
	int small = 16384;
	char *bytes = calloc(2, MEGABYTE);

	setsockopt(conn_fd(conn), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	put(conn, 2 * MEGABYTE);
	flush(world);
	assert_true(conn_backlog(conn) >
	            MEGABYTE); /* the kernel has not taken it all */
	loop_turn(world->base, 50);
	assert_true(world->owner.drained < 10); /* nor does the loop spin */
	assert_int_equal(peer_reads(world, bytes, 2 * MEGABYTE), 2 * MEGABYTE);
	check_bytes(bytes, 2 * MEGABYTE);
	free(bytes);
	LOOP_UNTIL(world->base, conn_backlog(conn) == 0);
	assert_int_equal(conn_backlog(conn), 0);
	assert_true(world->owner.drained > 1);
	assert_int_equal(world->owner.lost, 0);
}

static void
what_goes_out_at_once_is_not_drained(void **state)
{
	struct world *world = *state;
	struct conn *conn = accepted(world);
	char bytes[10];

	put(conn, 10);
	assert_int_equal(conn_backlog(conn), 10);
	flush(world);
	assert_int_equal(conn_backlog(conn), 0);
	assert_int_equal(recv(world->peer, bytes, 10, 0), 10);
	flush(world);
	loop_turn(world->base, 20);
	assert_int_equal(world->owner.drained, 0);
}

/* A flush is one packet: small ones do not wait for acknowledgements (Nagle). */
static void
sockets_do_not_wait(void **state)
{
	struct world *world = *state;
	struct conn *conn = accepted(world);
	socklen_t size = sizeof(int);
	int value = 0;

	getsockopt(conn_fd(conn), IPPROTO_TCP, TCP_NODELAY, &value, &size);
	assert_true(value);
	getsockopt(conn_fd(conn), SOL_SOCKET, SO_KEEPALIVE, &value, &size);
	assert_true(value);
	assert_true(fcntl(conn_fd(conn), F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(conn_fd(conn), F_GETFL) & O_NONBLOCK);
}

static void
input_can_be_switched_off_and_on(void **state)
{
	struct world *world = *state;
	struct conn *conn = accepted(world);

	conn_want_input(conn, false);
	conn_want_input(conn, false);
	peer_sends(world, "one");
	loop_turn(world->base, 50);
	assert_int_equal(world->owner.input, 0);
	conn_want_input(conn, true);
	conn_want_input(conn, true);
	LOOP_UNTIL(world->base, world->owner.input);
	check_input(conn, "one");
	conn_want_input(conn, false);
	peer_sends(world, "two");
	close(world->peer);
	world->peer = -1;
	loop_turn(world->base, 50);
	assert_int_equal(world->owner.input, 1);
	assert_false(conn_at_eof(conn));
	conn_want_input(conn, true);
	LOOP_UNTIL(world->base, conn_at_eof(conn));
	check_input(conn, "onetwo");
}

/* ---- ends ------------------------------------------------------------------------------ */

static void
eof_is_told_behind_the_last_byte(void **state)
{
	struct world *world = *state;
	struct conn *conn = accepted(world);
	unsigned told;

	peer_sends(world, "last");
	shutdown(world->peer, SHUT_WR);
	LOOP_UNTIL(world->base, conn_at_eof(conn));
	assert_true(conn_at_eof(conn));
	check_input(conn, "last");
	told = world->owner.input;
	loop_turn(world->base, 50);
	assert_int_equal(world->owner.input, told); /* once, and the loop is idle */
	assert_int_equal(world->owner.lost, 0);
	put(conn, 3); /* half closed is not closed */
	flush(world);
	LOOP_UNTIL(world->base, conn_backlog(conn) == 0);
	assert_int_equal(world->owner.lost, 0);
}

static void
a_reset_is_told_once(void **state)
{
	struct world *world = *state;
	struct conn *conn = accepted(world);

	peer_resets(world);
	LOOP_UNTIL(world->base, world->owner.lost);
	loop_turn(world->base, 20);
	assert_int_equal(world->owner.lost, 1);
	assert_int_equal(world->owner.why, CONN_RESET);
	assert_int_equal(world->owner.error, ECONNRESET);
	assert_int_equal(world->owner.input, 0);
	assert_false(conn_at_eof(conn));

	/* Nothing is done with it any more. */
	put(conn, 10);
	flush(world);
	conn_want_input(conn, false);
	conn_want_input(conn, true);
	conn_finish(conn);
	assert_true(conn_finished(conn));
	loop_turn(world->base, 20);
	assert_int_equal(world->owner.lost, 1);
	assert_int_equal(conn_backlog(conn), 10);
}

static void
a_failing_write_is_told_by_the_loop(void **state)
{
	struct world *world = *state;
	struct conn *conn = accepted(world);

	conn_want_input(conn, false); /* so that only writing can find out */
	peer_resets(world);
	for (int i = 0; i < 3; i++) {
		put(conn, 10);
		flush(world);
	}
	assert_int_equal(world->owner.lost, 0);
	LOOP_UNTIL(world->base, world->owner.lost);
	loop_turn(world->base, 20);
	assert_int_equal(world->owner.lost, 1);
	assert_int_equal(world->owner.why, CONN_RESET);
	assert_true(world->owner.error == EPIPE || world->owner.error == ECONNRESET);
	assert_int_equal(world->owner.drained, 0);
}

static void
a_reset_while_output_waits_is_told(void **state)
{
	struct world *world = *state;
	struct conn *conn = accepted(world);

	conn_want_input(conn, false);
	put(conn, 8 * MEGABYTE);
	flush(world);
	assert_true(conn_backlog(conn) > 0);
	loop_turn(world->base, 20);
	peer_resets(world);
	LOOP_UNTIL(world->base, world->owner.lost);
	assert_int_equal(world->owner.lost, 1);
	assert_int_equal(world->owner.why, CONN_RESET);
}

/* A server that says why it closes, while we are still sending: the words are in the
 * kernel when our write fails. */
static void
last_words_survive_a_failing_write(void **state)
{
	struct world *world = *state;
	struct conn *conn = accepted(world);

	put(conn, 1000);
	flush(world);
	peer_sends(world, "552 too big\r\n");
	close(world->peer); /* with unread input: a reset */
	world->peer = -1;
	usleep(20000);
	put(conn, 1000);
	flush(world);
	LOOP_UNTIL(world->base, world->owner.lost);
	assert_int_equal(world->owner.lost, 1);
	check_input(conn, "552 too big\r\n");
	assert_int_equal(conn_received(conn), 13);
}

static void
finishing_comes_behind_all_output(void **state)
{
	struct world *world = *state;
	struct conn *conn = accepted(world);
	char *bytes = calloc(4 * MEGABYTE + 1, 1);

	put(conn, 4 * MEGABYTE);
	assert_false(conn_finished(conn));
	conn_finish(conn);
	assert_false(conn_finished(conn));
	assert_int_equal(peer_reads(world, bytes, 4 * MEGABYTE + 1), 4 * MEGABYTE);
	check_bytes(bytes, 4 * MEGABYTE);
	free(bytes);
	assert_true(conn_finished(conn));
	assert_int_equal(world->owner.lost, 0);
	peer_sends(world, "still here"); /* it may answer */
	LOOP_UNTIL(world->base, world->owner.input);
	check_input(conn, "still here");
}

/* ---- calling ------------------------------------------------------------------------------ */

static void
nobody_there_is_unreachable(void **state)
{
	struct world *world = *state;

	close(world->listening); /* the port is free now */
	world->listening = -1;
	assert_non_null(calling(world, NULL));
	LOOP_UNTIL(world->base, world->owner.lost);
	loop_turn(world->base, 20);
	assert_int_equal(world->owner.lost, 1);
	assert_int_equal(world->owner.why, CONN_UNREACHABLE);
	assert_int_equal(world->owner.error, ECONNREFUSED);
	assert_int_equal(world->owner.connected, 0);
}

/* connect(2) fails at once; it is told by the loop as well. */
static void
an_impossible_destination_is_unreachable(void **state)
{
	struct world *world = *state;

	assert_true(addr_parse(&world->at, "255.255.255.255", 25));
	assert_non_null(calling(world, NULL));
	assert_int_equal(world->owner.lost, 0);
	LOOP_UNTIL(world->base, world->owner.lost);
	assert_int_equal(world->owner.lost, 1);
	assert_int_equal(world->owner.why, CONN_UNREACHABLE);
	assert_int_not_equal(world->owner.error, 0);
}

/* Fewer hops than usual are what it takes; more it does not. */
static void
hops_are_only_ever_taken_away(void **state)
{
	static const struct {
		unsigned hops;
		int left; /* 0: as many as usual */
	} rows[] = { { 0, 0 }, { 1, 1 }, { 7, 7 }, { 255, 0 } };
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct conn_source from = { .hops = rows[i].hops };
		int usual = 0, left = 0, plain = socket(AF_INET, SOCK_STREAM, 0);
		socklen_t size = sizeof(int);
		struct conn *conn = conn_connect(world->base, &world->at, &from,
		                                 &events, &world->owner);

		assert_non_null(conn);
		getsockopt(plain, IPPROTO_IP, IP_TTL, &usual, &size);
		getsockopt(conn_fd(conn), IPPROTO_IP, IP_TTL, &left, &size);
		assert_int_equal(left, rows[i].left ?: usual);
		close(plain);
		conn_free(conn);
	}
}

/* Another host's address takes a capability: with it we get what we asked for, and without
 * we are told. */
static void
a_foreign_source_takes_a_capability(void **state)
{
	struct world *world = *state;
	struct conn_source from = { .is_foreign = true };
	struct addr source;
	struct conn *conn;

	assert_true(addr_parse(&from.addr, "198.51.100.222", 0));
	conn = conn_connect(world->base, &world->at, &from, &events, &world->owner);
	if (!conn) {
		assert_int_equal(errno, EPERM);
		assert_int_not_equal(geteuid(), 0);
		return;
	}
	source = addr_local(conn_fd(conn));
	assert_true(addr_same_host(&source, &from.addr));
	assert_int_not_equal(addr_port(&source), 0);
	conn_free(conn);
}

static void
the_source_address_can_be_chosen(void **state)
{
	struct world *world = *state;
	char text[ADDR_TEXT_SIZE];
	struct addr source;

	assert_non_null(calling(world, "127.0.0.77"));
	LOOP_UNTIL(world->base, world->owner.connected);
	world->peer = accept(world->listening, NULL, NULL);
	source = addr_peer(world->peer);
	assert_string_equal(addr_text(&source, text), "127.0.0.77");
}

static void
what_cannot_be_tried_is_null(void **state)
{
	struct world *world = *state;
	struct rlimit limit, none;
	struct conn *conn;
	int error;

	errno = 0;
	assert_null(calling(world, "198.51.100.222"));
	assert_int_equal(errno, EADDRNOTAVAIL);
	getrlimit(RLIMIT_NOFILE, &limit);
	none = limit;
	none.rlim_cur = 3;
	setrlimit(RLIMIT_NOFILE, &none);
	conn = calling(world, NULL);
	error = errno;
	setrlimit(RLIMIT_NOFILE, &limit);
	assert_null(conn);
	assert_int_equal(error, EMFILE);
	loop_turn(world->base, 20);
	assert_int_equal(world->owner.lost, 0);
}

/* Flushed before the connection stands: it goes out when it does. */
static void
output_may_be_ahead_of_the_connection(void **state)
{
	struct world *world = *state;
	struct conn *conn = calling(world, NULL);
	char bytes[101] = { 0 };

	put(conn, 100);
	flush(world);
	conn_finish(conn);
	world->peer = accept(world->listening, NULL, NULL);
	assert_int_equal(peer_reads(world, bytes, sizeof(bytes)), 100);
	check_bytes(bytes, 100);
	assert_int_equal(world->owner.connected, 1);
	assert_true(conn_finished(conn));
}

static void
input_switched_off_before_the_connection_stays_off(void **state)
{
	struct world *world = *state;
	struct conn *conn = calling(world, NULL);

	conn_want_input(conn, false);
	world->peer = accept(world->listening, NULL, NULL);
	peer_sends(world, "220 hello");
	LOOP_UNTIL(world->base, world->owner.connected);
	loop_turn(world->base, 50);
	assert_int_equal(world->owner.input, 0);
	conn_want_input(conn, true);
	LOOP_UNTIL(world->base, world->owner.input);
	check_input(conn, "220 hello");
}

/* ---- freeing in the middle ------------------------------------------------------------------ */

static void
run_until_freed(struct world *world)
{
	LOOP_UNTIL(world->base, !world->owner.conn);
	assert_null(world->owner.conn);
	loop_turn(world->base, 20);
}

static void
freed_when_connected(void **state)
{
	struct world *world = *state;

	world->owner.free_at = AT_CONNECTED;
	calling(world, NULL);
	put(world->owner.conn, 100);
	flush(world);
	run_until_freed(world);
}

static void
freed_when_input_comes(void **state)
{
	struct world *world = *state;

	world->owner.free_at = AT_INPUT;
	accepted(world);
	peer_sends(world, "a");
	run_until_freed(world);
}

static void
freed_at_eof(void **state)
{
	struct world *world = *state;

	world->owner.free_at = AT_EOF;
	accepted(world);
	shutdown(world->peer, SHUT_WR);
	run_until_freed(world);
}

static void
freed_when_drained(void **state)
{
	struct world *world = *state;
	char bytes[65536];

	world->owner.free_at = AT_DRAINED;
	put(accepted(world), 8 * MEGABYTE);
	flush(world);
	peer_sends(world, "both at once");
	for (int i = 0; i < 1000 && world->owner.conn; i++) {
		(void)!recv(world->peer, bytes, sizeof(bytes), MSG_DONTWAIT);
		loop_turn(world->base, 1);
	}
	run_until_freed(world);
}

static void
freed_when_lost(void **state)
{
	struct world *world = *state;

	world->owner.free_at = AT_LOST;
	accepted(world);
	peer_resets(world);
	run_until_freed(world);
}

static void
freed_when_a_write_fails(void **state)
{
	struct world *world = *state;

	world->owner.free_at = AT_LOST;
	conn_want_input(accepted(world), false);
	peer_resets(world);
	put(world->owner.conn, 10);
	flush(world);
	put(world->owner.conn, 10);
	flush(world);
	run_until_freed(world);
}

static void
freed_when_unreachable(void **state)
{
	struct world *world = *state;

	world->owner.free_at = AT_LOST;
	close(world->listening);
	world->listening = -1;
	calling(world, NULL);
	run_until_freed(world);
}

static void
freed_before_anything(void **state)
{
	struct world *world = *state;

	conn_free(calling(world, NULL));
	world->owner.conn = NULL;
	conn_free(NULL);
	loop_turn(world->base, 20);
	assert_int_equal(world->owner.connected + world->owner.lost, 0);
}

#define WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD(bytes_pass_both_ways),
		WORLD(one_turn_reads_no_more_than_its_size),
		WORLD(a_slow_reader_gets_everything),
		WORLD(what_goes_out_at_once_is_not_drained),
		WORLD(sockets_do_not_wait),
		WORLD(input_can_be_switched_off_and_on),
		WORLD(eof_is_told_behind_the_last_byte),
		WORLD(a_reset_is_told_once),
		WORLD(a_failing_write_is_told_by_the_loop),
		WORLD(a_reset_while_output_waits_is_told),
		WORLD(last_words_survive_a_failing_write),
		WORLD(finishing_comes_behind_all_output),
		WORLD(nobody_there_is_unreachable),
		WORLD(an_impossible_destination_is_unreachable),
		WORLD(the_source_address_can_be_chosen),
		WORLD(hops_are_only_ever_taken_away),
		WORLD(a_foreign_source_takes_a_capability),
		WORLD(what_cannot_be_tried_is_null),
		WORLD(output_may_be_ahead_of_the_connection),
		WORLD(input_switched_off_before_the_connection_stays_off),
		WORLD(freed_when_connected),
		WORLD(freed_when_input_comes),
		WORLD(freed_at_eof),
		WORLD(freed_when_drained),
		WORLD(freed_when_lost),
		WORLD(freed_when_a_write_fails),
		WORLD(freed_when_unreachable),
		WORLD(freed_before_anything),
	};

	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
