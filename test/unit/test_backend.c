#include "backend_internal.h"

#include "loop.h"
#include "stats.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * Calls against servers that do as they are told, each in a thread of its own.  The protocol
 * is a toy: HELLO, the message in pieces with <> around them, END; the answer is a line,
 * "yes" or another; "more" asks for all of the message where the first bytes were sent only.
 */
enum {
	SERVERS = 3,
	TALKS = 8, /* that one server is ready for */
	HEAD = 4,
	BIG = 5 << 20,
};

/* One letter is one thing that it does, in one talk:
 *   r  reads up to END or the end      R  reads 1000 bytes
 *   y  says yes    n  says no     b  says half a line     h  says "more"
 *   u  says "cannot"                   c  says "call again"
 *   s  sleeps till the world ends      w  sleeps 0.3 s
 * and at the end of its letters it closes. */
struct server {
	pthread_t thread;
	int listening;
	bool is_tcp, is_running;
	char name[80];
	char talks[TALKS][16];
	unsigned talked;
	char *got; /* in the last talk, ends with a NUL */
	size_t size;
	struct world *world;
};

struct world {
	char directory[64];
	struct event_base *base;
	struct spool_budget *budget;
	struct backends *backends;
	struct spool *message;
	struct server servers[SERVERS];
	struct string_list list;
	char *names[SERVERS];
	int over[2]; /* a pipe: closed when sleepers may wake */
	struct backend_call *call;
	unsigned done;
	enum backend_end end;
	char why[300];
	uint64_t first_bytes; /* 0: no limit */
	unsigned most;
	bool with_head;
	int64_t timeout_s;
	char *words; /* to which pieces lead */
};

/* ---- the other side -------------------------------------------------------------------- */

static void
take(struct server *server, int fd, size_t most)
{
	char scratch[65536];
	ssize_t got;

	while (server->size < most) {
		size_t want = most - server->size;

		got = read(fd, scratch,
		           want < sizeof(scratch) ? want : sizeof(scratch));
		if (got <= 0)
			return;
		server->got = realloc(server->got, server->size + (size_t)got + 1);
		memcpy(server->got + server->size, scratch, (size_t)got);
		server->size += (size_t)got;
		server->got[server->size] = '\0';
		if (server->size >= 3 &&
		    memcmp(server->got + server->size - 3, "END", 3) == 0)
			return;
	}
}

static void
say(int fd, const char *text)
{
	(void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void
sleep_until_over(struct server *server)
{
	char c;

	(void)!read(server->world->over[0], &c, 1);
}

static void
follow(struct server *server, int fd, const char *script)
{
	server->size = 0;
	for (; *script; script++)
		switch (*script) {
		case 'r':
			take(server, fd, SIZE_MAX);
			break;
		case 'R':
			take(server, fd, 1000);
			break;
		case 'y':
			say(fd, "yes\n");
			break;
		case 'n':
			say(fd, "no\n");
			break;
		case 'b':
			say(fd, "ye");
			break;
		case 'h':
			say(fd, "more\n");
			break;
		case 'u':
			say(fd, "cannot\n");
			break;
		case 'c':
			say(fd, "call again\n");
			break;
		case 'w':
			usleep(300000);
			break;
		case 's':
			sleep_until_over(server);
			break;
		}
}

static void *
serve(void *arg)
{
	struct server *server = arg;

	for (unsigned i = 0; i < TALKS && server->talks[i][0]; i++) {
		int fd = accept(server->listening, NULL, NULL);

		if (fd < 0)
			return NULL;
		__atomic_add_fetch(&server->talked, 1, __ATOMIC_SEQ_CST);
		follow(server, fd, server->talks[i]);
		close(fd);
	}
	return NULL;
}

static void
listen_path(struct server *server)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	strcpy(at.sun_path, server->name);
	server->listening = socket(AF_UNIX, SOCK_STREAM, 0);
	unlink(at.sun_path);
	assert_int_equal(bind(server->listening, (struct sockaddr *)&at, sizeof(at)),
	                 0);
}

static void
listen_tcp(struct server *server)
{
	struct addr at;
	char text[ADDR_TEXT_SIZE];

	assert_true(addr_parse(&at, "127.0.0.1", 0));
	server->listening = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(server->listening, &at.any, addr_size(&at)), 0);
	at = addr_local(server->listening);
	strcpy(server->name, addr_full(&at, text));
}

/* SCRIPTS: one for each talk, with blanks between. */
static void
start_server(struct world *world, unsigned number, const char *scripts)
{
	struct server *server = &world->servers[number];
	char copy[256];
	unsigned count = 0;

	strcpy(copy, scripts);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		strcpy(server->talks[count++], word);
	if (server->is_tcp)
		listen_tcp(server);
	else
		listen_path(server);
	assert_int_equal(listen(server->listening, 4), 0);
	server->is_running = true;
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void
stop_server(struct server *server)
{
	if (!server->is_running)
		return;
	shutdown(server->listening, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->listening);
	if (!server->is_tcp)
		unlink(server->name);
	server->is_running = false;
}

static unsigned
talked(const struct server *server)
{
	return __atomic_load_n(&server->talked, __ATOMIC_SEQ_CST);
}

/* ---- the toy's protocol ---------------------------------------------------------------- */

static void
begin(struct evbuffer *out, void *owner)
{
	struct world *world = owner;

	evbuffer_add(out, "HELLO", 5);
	if (world->first_bytes > 0)
		backend_limit(world->call, world->first_bytes);
	backend_most(world->call, world->most);
}

static void
piece(struct evbuffer *out, const char *at, size_t size, void *owner)
{
	(void)owner;
	evbuffer_add(out, "<", 1);
	evbuffer_add(out, at, size);
	evbuffer_add(out, ">", 1);
}

static void
end(struct evbuffer *out, void *owner)
{
	(void)owner;
	evbuffer_add(out, "END", 3);
}

static enum backend_word
answer(struct evbuffer *in, bool eof, void *owner)
{
	struct world *world = owner;
	char *line = evbuffer_readln(in, NULL, EVBUFFER_EOL_LF);
	enum backend_word word = BACKEND_BABBLE;

	(void)eof;
	if (!line)
		return BACKEND_MORE;
	if (strcmp(line, "yes") == 0)
		word = BACKEND_DONE;
	if (strcmp(line, "cannot") == 0)
		word = BACKEND_UNABLE;
	if (strcmp(line, "call again") == 0)
		word = BACKEND_AGAIN;
	if (strcmp(line, "more") == 0) {
		backend_limit(world->call, UINT64_MAX);
		evbuffer_add(backend_output(world->call), "MORE", 4);
		word = BACKEND_MORE;
	}
	free(line);
	return word;
}

static const struct backend_engine engine = {
	.name = "toy",
	.option = "toy_path",
	.begin = begin,
	.piece = piece,
	.end = end,
	.answer = answer,
};

static void
on_done(enum backend_end how, const char *why, void *owner)
{
	struct world *world = owner;

	world->done++;
	world->end = how;
	snprintf(world->why, sizeof(world->why), "%s", why);
}

/* ---- the world ------------------------------------------------------------------------- */

static int
setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct spool_limits limits = { .memory_each = 1 << 20, .memory_all = 1 << 20 };

	strcpy(world->directory, "/tmp/test_backend.XXXXXX");
	assert_non_null(mkdtemp(world->directory));
	assert_int_equal(pipe(world->over), 0);
	limits.path = world->directory;
	world->base = event_base_new();
	world->budget = spool_budget_new(world->base, &limits);
	world->backends = backends_new(world->base);
	for (unsigned i = 0; i < SERVERS; i++) {
		world->servers[i].world = world;
		snprintf(world->servers[i].name, sizeof(world->servers[i].name),
		         "%s/%u", world->directory, i);
	}
	world->timeout_s = 10;
	backend_pace.first_us = 300000;
	*state = world;
	return 0;
}

static int
teardown(void **state)
{
	struct world *world = *state;

	close(world->over[1]);
	for (unsigned i = 0; i < SERVERS; i++) {
		stop_server(&world->servers[i]);
		free(world->servers[i].got);
	}
	close(world->over[0]);
	backends_free(world->backends);
	spool_drop(world->message);
	spool_budget_free(world->budget);
	event_base_free(world->base);
	assert_int_equal(rmdir(world->directory), 0);
	assert_int_equal(stats_get(STAT_scanners_down), 0);
	free(world);
	return 0;
}

static void
make_message(struct world *world, size_t size)
{
	struct evbuffer *bytes = evbuffer_new();

	for (size_t at = 0; at < size; at += 16)
		evbuffer_add_printf(bytes, "%14zu\r\n", at);
	world->message = spool_new(world->budget, "HEAD", HEAD, NULL, NULL);
	assert_int_equal(spool_append(world->message, bytes), SPOOL_OK);
	spool_seal(world->message);
	evbuffer_free(bytes);
}

static void
ask(struct world *world, size_t count)
{
	struct backend_question question = {
		.engine = &engine,
		.servers = &world->list,
		.message = world->message,
		.with_head = world->with_head,
		.timeout_s = world->timeout_s,
	};

	for (size_t i = 0; i < count; i++)
		world->names[i] = world->servers[i].name;
	world->list = (struct string_list){ .count = count, .at = world->names };
	world->done = 0;
	world->call = backend_ask(world->backends, &question, on_done, world);
	assert_int_equal(world->done, 0);
}

static void
ask_and_wait(struct world *world, size_t count)
{
	ask(world, count);
	LOOP_UNTIL(world->base, world->done > 0);
	assert_int_equal(world->done, 1);
}

static void
fail_three_times(struct world *world, size_t count)
{
	for (unsigned i = 0; i < BACKEND_DOUBTS; i++) {
		assert_int_equal(stats_get(STAT_scanners_down), 0);
		ask_and_wait(world, count);
		assert_int_equal(world->end, BACKEND_FAILED);
	}
	assert_int_equal(stats_get(STAT_scanners_down), 1);
}

/* ---- one server ------------------------------------------------------------------------ */

static void
test_small(void **state)
{
	struct world *world = *state;

	make_message(world, 32);
	start_server(world, 0, "ry ry");
	ask_and_wait(world, 1);
	assert_int_equal(world->end, BACKEND_ANSWERED);
	assert_string_equal(world->why, "");
	assert_string_equal(world->servers[0].got,
	                    "HELLO<             0\r\n            16\r\n>END");
	world->with_head = true;
	ask_and_wait(world, 1);
	assert_string_equal(world->servers[0].got,
	                    "HELLO<HEAD             0\r\n            16\r\n>END");
}

/* What one server got, without the toy's own bytes, is the message. */
static void
assert_got_message(const struct world *world)
{
	const struct server *server = &world->servers[0];
	size_t size = 0, whole = (size_t)spool_message_size(world->message);
	char *plain = malloc(server->size + 1), *right = malloc(whole);

	for (size_t at = 5; at + 3 < server->size; at++)
		if (server->got[at] != '<' && server->got[at] != '>')
			plain[size++] = server->got[at];
	assert_int_equal(size, whole);
	assert_int_equal(spool_read_message(world->message, right, whole, 0), whole);
	assert_memory_equal(plain, right, whole);
	free(plain);
	free(right);
}

static void
test_big_by_path_and_address(void **state)
{
	struct world *world = *state;

	make_message(world, BIG);
	start_server(world, 0, "wry");
	ask_and_wait(world, 1);
	assert_int_equal(world->end, BACKEND_ANSWERED);
	stop_server(&world->servers[0]);
	assert_got_message(world);
	world->servers[0].is_tcp = true;
	start_server(world, 0, "wry");
	ask_and_wait(world, 1);
	assert_int_equal(world->end, BACKEND_ANSWERED);
	stop_server(&world->servers[0]);
	assert_got_message(world);
}

/* It has an opinion before it has read all, and closes with our bytes unread. */
static void
test_early_answer(void **state)
{
	struct world *world = *state;

	make_message(world, BIG);
	for (int tcp = 0; tcp < 2; tcp++) {
		world->servers[0].is_tcp = tcp;
		start_server(world, 0, "Ry y Rwy");
		for (unsigned i = 0; i < 3; i++) {
			ask_and_wait(world, 1);
			assert_int_equal(world->end, BACKEND_ANSWERED);
		}
		stop_server(&world->servers[0]);
	}
}

static void
test_two_halves(void **state)
{
	struct world *world = *state;

	make_message(world, 64);
	world->first_bytes = 20;
	start_server(world, 0, "why whry");
	ask_and_wait(world, 1);
	assert_int_equal(world->end, BACKEND_ANSWERED);
	ask_and_wait(world, 1);
	assert_int_equal(world->end, BACKEND_ANSWERED);
	assert_string_equal(world->servers[0].got,
	                    "HELLO<             0\r\n    >MORE<        16\r\n"
	                    "            32\r\n            48\r\n>END");
}

/* It wants one connection at a time: the next call waits for the end of the first. */
static void
test_most(void **state)
{
	struct world *world = *state;
	struct backend_call *first;

	make_message(world, 32);
	world->most = 1;
	start_server(world, 0, "s ry ry");
	ask(world, 1);
	first = world->call;
	LOOP_UNTIL(world->base, talked(&world->servers[0]) == 1);
	ask(world, 1);
	loop_turn(world->base, 100);
	assert_int_equal(talked(&world->servers[0]), 1);
	assert_int_equal(world->done, 0);
	assert_int_equal(write(world->over[1], "!", 1), 1);
	backend_cancel(first);
	LOOP_UNTIL(world->base, world->done > 0);
	assert_int_equal(world->end, BACKEND_ANSWERED);
}

/* Its queue is full: there is no event for when it is not. */
static void
test_full_queue(void **state)
{
	struct world *world = *state;
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fds[16];

	make_message(world, 32);
	start_server(world, 0, "s ry ry ry ry ry ry");
	strcpy(at.sun_path, world->servers[0].name);
	for (unsigned i = 0; i < 7; i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (connect(fds[i], (struct sockaddr *)&at, sizeof(at)) < 0)
			assert_int_equal(errno, EAGAIN);
		usleep(20000);
	}
	ask(world, 1);
	loop_turn(world->base, 100);
	assert_int_equal(world->done, 0);
	for (unsigned i = 0; i < 7; i++)
		close(fds[i]);
	assert_int_equal(write(world->over[1], "!", 1), 1);
	LOOP_UNTIL(world->base, world->done > 0);
	assert_int_equal(world->end, BACKEND_ANSWERED);
}

/* ---- servers that fail ----------------------------------------------------------------- */

/* At each step; the other one answers in its place.  The third time in a row the first is
 * down: it is not asked for the fourth. */
static void
test_next_one(void **state)
{
	struct world *world = *state;

	backend_pace.first_us = 60000000;
	make_message(world, BIG);
	start_server(world, 0, "R r w u");
	start_server(world, 1, "ry ry ry ry");
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(stats_get(STAT_scanners_down), i == 3);
		ask_and_wait(world, 2);
		assert_int_equal(world->end, BACKEND_ANSWERED);
		assert_int_equal(talked(&world->servers[0]), i < 3 ? i + 1 : 3);
	}
}

/* It says that it cannot; or wants to be asked once more on another connection. */
static void
test_unable_and_again(void **state)
{
	struct world *world = *state;

	make_message(world, 32);
	start_server(world, 0, "ru rc ry");
	start_server(world, 1, "ry");
	ask_and_wait(world, 2);
	assert_int_equal(world->end, BACKEND_ANSWERED);
	assert_int_equal(talked(&world->servers[1]), 1);
	ask_and_wait(world, 1);
	assert_int_equal(world->end, BACKEND_ANSWERED);
	assert_int_equal(talked(&world->servers[0]), 3);
}

/* Half of an answer, or nonsense: what another one might say is no answer to that. */
static void
test_half_and_babble(void **state)
{
	struct world *world = *state;

	make_message(world, 32);
	start_server(world, 0, "rb rn");
	start_server(world, 1, "ry");
	ask_and_wait(world, 2);
	assert_int_equal(world->end, BACKEND_FAILED);
	assert_non_null(strstr(world->why, "hung up in its answer"));
	ask_and_wait(world, 2);
	assert_int_equal(world->end, BACKEND_FAILED);
	assert_non_null(strstr(world->why, "makes no sense"));
	assert_int_equal(talked(&world->servers[1]), 0);
}

/* It is left alone, then tried by one call alone, and is back. */
static void
test_breaker(void **state)
{
	struct world *world = *state;
	struct backend_call *other;
	struct backend_question question;

	backend_pace.first_us = 1000000;
	make_message(world, 32);
	ask_and_wait(world, 1);
	assert_int_equal(world->end, BACKEND_UNREACHABLE);
	assert_non_null(strstr(world->why, "No such file"));
	start_server(world, 0, "wry ry ry");
	for (unsigned i = 0; i < 5; i++) {
		ask_and_wait(world, 1);
		assert_int_equal(world->end, BACKEND_UNREACHABLE);
	}
	assert_int_equal(talked(&world->servers[0]), 0);
	usleep(1300000);
	ask_and_wait(world, 1);
	assert_int_equal(world->end, BACKEND_ANSWERED);
	assert_int_equal(stats_get(STAT_scanners_down), 0);
	ask_and_wait(world, 1);
	assert_int_equal(world->end, BACKEND_ANSWERED);
	question = (struct backend_question){ .engine = &engine,
		                              .servers = &world->list,
		                              .message = world->message,
		                              .timeout_s = 5 };
	other = backend_ask(world->backends, &question, on_done, world);
	backend_cancel(other);
}

/* While it is tried others are told so; who tries may go away, then another one does. */
static void
test_one_tries(void **state)
{
	struct world *world = *state;
	struct backend_call *trying;

	make_message(world, 32);
	start_server(world, 0, "r r r s ry");
	fail_three_times(world, 1);
	usleep(400000);
	ask(world, 1);
	trying = world->call;
	LOOP_UNTIL(world->base, talked(&world->servers[0]) == 4);
	ask_and_wait(world, 1);
	assert_int_equal(world->end, BACKEND_UNREACHABLE);
	backend_cancel(trying);
	assert_int_equal(write(world->over[1], "!", 1), 1);
	ask_and_wait(world, 1);
	assert_int_equal(world->end, BACKEND_ANSWERED);
}

/* Once is a slow message; again and again is a server that hangs. */
static void
test_silent(void **state)
{
	struct world *world = *state;

	make_message(world, 32);
	world->timeout_s = 1;
	start_server(world, 0, "s s s ry");
	for (unsigned i = 0; i < BACKEND_DOUBTS; i++) {
		assert_int_equal(stats_get(STAT_scanners_down), 0);
		ask_and_wait(world, 1);
		assert_int_equal(world->end, BACKEND_TIMED_OUT);
		assert_int_equal(write(world->over[1], "!", 1), 1);
	}
	assert_int_equal(stats_get(STAT_scanners_down), 1);
	ask_and_wait(world, 1);
	assert_int_equal(world->end, BACKEND_UNREACHABLE);
}

/* One that was down and hangs gets half of the time, the other one the rest. */
static void
test_trial_hangs(void **state)
{
	struct world *world = *state;

	make_message(world, 32);
	world->timeout_s = 2;
	start_server(world, 0, "r r r s");
	start_server(world, 1, "ry");
	fail_three_times(world, 1);
	usleep(400000);
	ask_and_wait(world, 2);
	assert_int_equal(world->end, BACKEND_ANSWERED);
	assert_int_equal(talked(&world->servers[0]), 4);
	assert_int_equal(talked(&world->servers[1]), 1);
}

static void
test_no_servers(void **state)
{
	struct world *world = *state;

	make_message(world, 32);
	ask_and_wait(world, 0);
	assert_int_equal(world->end, BACKEND_UNREACHABLE);
	assert_string_equal(world->why, "toy is not in toy_path");
}

/* At any moment. */
static void
test_cancel(void **state)
{
	struct world *world = *state;

	make_message(world, BIG);
	start_server(world, 0, "r r r r r r r r");
	backend_cancel(NULL);
	for (int turns = 0; turns < 7; turns++) {
		ask(world, 1);
		for (int i = 0; i < turns; i++)
			event_base_loop(world->base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
		backend_cancel(world->call);
		loop_turn(world->base, 5);
		assert_int_equal(world->done, 0);
	}
	assert_int_equal(stats_get(STAT_scanners_down), 0);
}

static void
test_places(void **state)
{
	struct backend_place place;
	char text[ADDR_TEXT_SIZE], path[200];
	static const struct {
		const char *text, *addr;
		uint16_t port;
	} rows[] = {
		{ "127.0.0.1:3310", "127.0.0.1:3310", 0 },
		{ "[::1]:3310", "[::1]:3310", 0 },
		{ "127.0.0.1", "127.0.0.1:1344", 1344 },
		{ "[::1]", "[::1]:1344", 1344 },
		{ "icap://127.0.0.1/avscan?x=a:b", "127.0.0.1:1344", 1344 },
		{ "icap://[2001:db8::1]:99/echo", "[2001:db8::1]:99", 1344 },
		{ "http://127.0.0.1:11333", "127.0.0.1:11333", 80 },
		{ "127.0.0.1", NULL, 0 },
		{ "127.0.0.1:0", NULL, 0 },
		{ "localhost:3310", NULL, 0 },
		{ "relative/path", NULL, 0 },
		{ "", NULL, 5 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool good = backend_place_read(&place, rows[i].text, rows[i].port);

		assert_int_equal(good, rows[i].addr != NULL);
		if (good)
			assert_string_equal(addr_full(&place.addr, text), rows[i].addr);
	}
	assert_true(backend_place_read(&place, "/run/a", 5));
	assert_int_equal(addr_family(&place.addr), AF_UNSPEC);
	assert_string_equal(place.path.sun_path, "/run/a");
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[108] = '\0';
	assert_false(backend_place_read(&place, path, 5));
	path[107] = '\0';
	assert_true(backend_place_read(&place, path, 5));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_small),           TEST(test_big_by_path_and_address),
		TEST(test_early_answer),    TEST(test_two_halves),
		TEST(test_full_queue),      TEST(test_most),
		TEST(test_next_one),        TEST(test_unable_and_again),
		TEST(test_half_and_babble), TEST(test_breaker),
		TEST(test_one_tries),       TEST(test_silent),
		TEST(test_trial_hangs),     TEST(test_no_servers),
		TEST(test_cancel),          cmocka_unit_test(test_places),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
