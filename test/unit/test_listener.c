#include "listener.h"

#include "log.h"
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	MOST = 16,
};

struct world {
	struct event_base *base;
	struct listener *listener;
	struct addr at;
	int callers[MOST], accepted[MOST];
	struct addr clients[MOST]; /* as the listener named them */
	unsigned called, count, crowded;
};

static void
on_accepted(int fd, const struct addr *client, void *arg)
{
	struct world *world = arg;

	assert_true(world->count < MOST);
	world->clients[world->count] = *client;
	world->accepted[world->count++] = fd;
}

/* As the daemon does it: a word, and the door. */
static void
on_crowd(int fd, const struct addr *client, void *arg)
{
	struct world *world = arg;
	struct addr caller = addr_local(world->callers[world->crowded++]);

	assert_true(addr_equal(client, &caller));
	assert_int_equal(send(fd, "421\r\n", 5, MSG_NOSIGNAL), 5);
	close(fd);
}

static int
setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	world->base = event_base_new();
	*state = world;
	return 0;
}

static int
teardown(void **state)
{
	struct world *world = *state;

	listener_free(world->listener);
	for (unsigned i = 0; i < world->called; i++)
		close(world->callers[i]);
	for (unsigned i = 0; i < world->count; i++)
		close(world->accepted[i]);
	event_base_free(world->base);
	free(world);
	return 0;
}

static int
bound(struct world *world, const char *text, uint16_t port)
{
	int fd;

	assert_true(addr_parse(&world->at, text, port));
	fd = listener_bind(&world->at, 10);
	if (fd >= 0)
		world->at = addr_local(fd);
	return fd;
}

static void
listens(struct world *world, const char *text, unsigned rest)
{
	static const struct listener_events events = { .accepted = on_accepted,
		                                       .crowded = on_crowd };
	int fd = bound(world, text, 0);

	assert_true(fd >= 0);
	world->listener = listener_new(world->base, fd, rest, &events, world);
}

static bool
call(struct world *world, const char *text)
{
	struct addr to;
	int fd;

	assert_true(addr_parse(&to, text, addr_port(&world->at)));
	fd = socket(addr_family(&to), SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	world->callers[world->called++] = fd;
	return connect(fd, &to.any, addr_size(&to)) == 0;
}

static void
check_accepted(struct world *world, const char *text)
{
	struct addr caller;
	char name[ADDR_TEXT_SIZE];

	assert_true(call(world, text));
	LOOP_UNTIL(world->base, world->count == world->called);
	assert_int_equal(world->count, world->called);
	caller = addr_local(world->callers[world->called - 1]);
	assert_true(addr_equal(&world->clients[world->count - 1], &caller));
	assert_string_equal(addr_text(&caller, name), text);
}

static void
both_families_are_accepted(void **state)
{
	static const char *const texts[] = { "127.0.0.1", "::1" };
	struct world *world = *state;

	for (int i = 0; i < 2; i++) {
		listens(world, texts[i], 1);
		check_accepted(world, texts[i]);
		check_accepted(world, texts[i]);
		listener_free(world->listener);
		world->listener = NULL;
		assert_false(call(world, texts[i]));
		close(world->callers[--world->called]);
	}
}

static void
descriptors_are_as_promised(void **state)
{
	struct world *world = *state;

	listens(world, "127.0.0.1", 1);
	check_accepted(world, "127.0.0.1");
	assert_true(fcntl(world->accepted[0], F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(world->accepted[0], F_GETFD) & FD_CLOEXEC);
}

/* Both addresses of the default, 0.0.0.0 and ::, must fit on one port. */
static void
ipv6_leaves_ipv4_alone(void **state)
{
	struct world *world = *state;
	int four = -1, six = -1;

	for (unsigned tries = 0; four < 0 && tries < 10; tries++) {
		if (six >= 0)
			close(six);
		six = bound(world, "::", 0); /* free for IPv6, and for IPv4 mostly */
		assert_true(six >= 0);
		four = bound(world, "0.0.0.0", addr_port(&world->at));
	}
	assert_true(four >= 0);
	close(four);
	assert_false(call(world, "127.0.0.1"));
	four = bound(world, "0.0.0.0", addr_port(&world->at));
	assert_true(four >= 0);
	assert_true(call(world, "127.0.0.1"));
	close(four);
	close(six);
}

static void
an_unusable_address_is_told(void **state)
{
	struct world *world = *state;
	int fd = bound(world, "127.0.0.1", 0);

	assert_true(fd >= 0);
	errno = 0;
	assert_int_equal(bound(world, "127.0.0.1", addr_port(&world->at)), -1);
	assert_int_equal(errno, EADDRINUSE);
	errno = 0;
	assert_int_equal(bound(world, "198.51.100.222", 0), -1);
	assert_int_equal(errno, EADDRNOTAVAIL);
	close(fd);
}

/* A port whose last connections are in TIME-WAIT can be had again at once. */
static void
a_restart_gets_its_port_back(void **state)
{
	struct world *world = *state;
	int fd;

	listens(world, "127.0.0.1", 1);
	check_accepted(world, "127.0.0.1");
	close(world->accepted[--world->count]); /* we close first: TIME-WAIT is ours */
	close(world->callers[--world->called]);
	listener_free(world->listener);
	world->listener = NULL;
	fd = bound(world, "127.0.0.1", addr_port(&world->at));
	assert_true(fd >= 0);
	close(fd);
}

/* ---- no descriptors left ------------------------------------------------------------------ */

/* Nobody can open anything any more; returns the limit as it was. */
static struct rlimit
forbid_descriptors(void)
{
	struct rlimit limit, tight;

	getrlimit(RLIMIT_NOFILE, &limit);
	tight = limit;
	tight.rlim_cur = 3;
	setrlimit(RLIMIT_NOFILE, &tight);
	return limit;
}

/* All descriptors up to the limit, which becomes a low one, are taken. */
static unsigned
take_descriptors(struct rlimit *before, int taken[static 256])
{
	struct rlimit tight;
	unsigned count = 0;
	int highest = dup(0);

	close(highest);
	getrlimit(RLIMIT_NOFILE, before);
	tight = *before;
	tight.rlim_cur = (rlim_t)highest + 10;
	setrlimit(RLIMIT_NOFILE, &tight);
	while (count < 256 && (taken[count] = dup(0)) >= 0)
		count++;
	assert_int_equal(errno, EMFILE);
	return count;
}

static void
the_reserve_tells_each_to_come_again(void **state)
{
	struct world *world = *state;
	struct rlimit limit;
	int taken[256];
	unsigned count;
	char word[8];

	listens(world, "127.0.0.1", 3600);
	for (int i = 0; i < 3; i++)
		assert_true(call(world, "127.0.0.1"));
	count = take_descriptors(&limit, taken);
	LOOP_UNTIL(world->base, world->crowded == 3);
	while (count > 0)
		close(taken[--count]);
	setrlimit(RLIMIT_NOFILE, &limit);
	assert_int_equal(world->crowded, 3);
	assert_int_equal(world->count, 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(recv(world->callers[i], word, sizeof(word), 0), 5);
		assert_int_equal(recv(world->callers[i], word, sizeof(word), 0), 0);
	}

	/* No rest, which would be an hour: who comes now comes in. */
	assert_true(call(world, "127.0.0.1"));
	LOOP_UNTIL(world->base, world->count == 1);
	assert_int_equal(world->count, 1);
}

static double
processor_seconds(void)
{
	return (double)clock() / CLOCKS_PER_SEC;
}

static void
without_descriptors_it_rests(void **state)
{
	struct world *world = *state;
	int kept = dup(STDERR_FILENO);
	char line[1000];
	FILE *said = tmpfile();
	double used = processor_seconds(), start;
	struct rlimit limit;

	listens(world, "127.0.0.1", 1);
	assert_true(call(world, "127.0.0.1"));
	assert_true(call(world, "127.0.0.1"));
	dup2(fileno(said), STDERR_FILENO);
	limit = forbid_descriptors();
	start = loop_clock();
	loop_turn(world->base, 700);
	setrlimit(RLIMIT_NOFILE, &limit);
	dup2(kept, STDERR_FILENO);
	close(kept);
	assert_int_equal(world->count, 0);
	assert_true(processor_seconds() - used < 0.3);

	/* Said once for that rest, with what can be done about it. */
	rewind(said);
	assert_non_null(fgets(line, sizeof(line), said));
	assert_non_null(strstr(line, "max_connections"));
	assert_non_null(strstr(line, "Too many open files"));
	assert_null(fgets(line, sizeof(line), said));
	fclose(said);

	/* It is still resting; then those that waited come in. */
	loop_turn(world->base, 50);
	if (loop_clock() - start < 0.9) /* else it was a busy machine */
		assert_int_equal(world->count, 0);
	LOOP_UNTIL(world->base, world->count == 2);
	assert_int_equal(world->count, 2);
	check_accepted(world, "127.0.0.1");
}

static void
it_can_be_freed_while_it_rests(void **state)
{
	struct world *world = *state;
	struct rlimit limit;

	log_open(LOG_TO_STDERR, LOG_ERR, LOG_DAEMON);
	listens(world, "127.0.0.1", 1);
	assert_true(call(world, "127.0.0.1"));
	limit = forbid_descriptors();
	loop_turn(world->base, 100);
	setrlimit(RLIMIT_NOFILE, &limit);
	listener_free(world->listener);
	listener_free(NULL);
	world->listener = NULL;
	loop_turn(world->base, 1200);
	assert_int_equal(world->count, 0);
}

#define WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD(both_families_are_accepted),
		WORLD(descriptors_are_as_promised),
		WORLD(ipv6_leaves_ipv4_alone),
		WORLD(an_unusable_address_is_told),
		WORLD(a_restart_gets_its_port_back),
		WORLD(the_reserve_tells_each_to_come_again),
		WORLD(without_descriptors_it_rests),
		WORLD(it_can_be_freed_while_it_rests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
