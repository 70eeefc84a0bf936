#include "ratestore.h"

#include "log.h"
#include "loop.h"
#include "stats.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define HOUR INT64_C(3600000)

enum {
	MANY = 100000,
};

static char path[64];
static struct event_base *base;
static int64_t now; /* ours: nothing here waits for time to pass */

static int
make_path(void **state)
{
	(void)state;
	strcpy(path, "/tmp/test-ratestore-XXXXXX");
	now = ratestore_now();
	base = event_base_new();
	return mkdtemp(path) ? 0 : -1;
}

static int
remove_one(const char *name, const struct stat *info, int kind, struct FTW *ftw)
{
	(void)info, (void)kind, (void)ftw;
	return remove(name);
}

static int
remove_path(void **state)
{
	(void)state;
	event_base_free(base);
	return nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct ratestore *
open_with(struct ratestore_setup setup)
{
	struct ratestore *store;
	char why[256];

	setup.path = path;
	setup.period_ms = setup.period_ms ?: HOUR;
	setup.most = setup.most ?: MANY;
	if (!ratestore_ready(path, why, sizeof(why)))
		fail_msg("%s", why);
	store = ratestore_new(&setup);
	assert_true(ratestore_begin(store, base, now));
	return store;
}

static struct ratestore *
open_store(void)
{
	return open_with((struct ratestore_setup){ 0 });
}

static struct rate_key
client(unsigned number)
{
	char text[32];
	struct addr addr;

	snprintf(text, sizeof(text), "10.%u.%u.%u", number >> 16 & 255,
	         number >> 8 & 255, number & 255);
	assert_true(addr_parse(&addr, text, 0));
	return rate_key_of(&addr, 64, "");
}

static bool
take(struct ratestore *store, const struct rate_key *key, uint64_t limit)
{
	return ratestore_take(store, key, RATE_MESSAGES, 1, limit, now);
}

/* How much could still be taken of a large limit. */
static uint64_t
counted(struct ratestore *store, const struct rate_key *key, enum rate rate)
{
	uint64_t low = 0, high = UINT64_C(1) << 40, limit = high;

	while (low < high) {
		uint64_t half = (low + high) / 2;

		if (ratestore_has_room(store, key, rate, limit - half, limit, now))
			high = half;
		else
			low = half + 1;
	}
	return low;
}

static bool
exists(const char *name)
{
	char *whole = xasprintf("%s/%s", path, name);
	bool is_there = access(whole, F_OK) == 0;

	free(whole);
	return is_there;
}

/* ---- who is counted -------------------------------------------------------------------- */

static bool
same_key(const char *a, const char *b, unsigned prefix6, const char *ident_a,
         const char *ident_b)
{
	struct addr one, other;
	struct rate_key x, y;

	assert_true(addr_parse(&one, a, 25) && addr_parse(&other, b, 26));
	x = rate_key_of(&one, prefix6, ident_a);
	y = rate_key_of(&other, prefix6, ident_b);
	return memcmp(&x, &y, sizeof(x)) == 0;
}

static void
test_keys(void **state)
{
	char ident[200];

	(void)state;
	assert_true(same_key("192.0.2.1", "192.0.2.1", 64, "", ""));
	assert_false(same_key("192.0.2.1", "192.0.2.0", 64, "", ""));
	assert_true(same_key("192.0.2.1", "::ffff:192.0.2.1", 64, "", ""));
	assert_true(same_key("2001:db8::1", "2001:db8::ffff", 64, "", ""));
	assert_false(same_key("2001:db8::1", "2001:db8:0:1::1", 64, "", ""));
	assert_true(same_key("2001:db8::1", "2001:db8:0:1::1", 48, "", ""));
	assert_false(same_key("2001:db8::1", "2001:db8::2", 128, "", ""));
	assert_true(same_key("2001:db8::1", "fe80::1", 0, "", ""));
	assert_false(same_key("192.0.2.1", "192.0.2.1", 64, "joe", "jim"));
	assert_true(same_key("192.0.2.1", "192.0.2.1", 64, "joe", "joe"));
	memset(ident, 'x', sizeof(ident) - 1);
	ident[sizeof(ident) - 1] = '\0';
	assert_true(same_key("192.0.2.1", "192.0.2.1", 64, ident, ident));
}

/* ---- counting --------------------------------------------------------------------------- */

static void
test_limit(void **state)
{
	struct ratestore *store = open_store();
	struct rate_key joe = client(1), jim = client(2);

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_true(take(store, &joe, 3));
	for (int i = 0; i < 3; i++)
		assert_false(take(store, &joe, 3));
	assert_int_equal(counted(store, &joe, RATE_MESSAGES), 3); /* no try counts */
	assert_true(take(store, &jim, 3));
	assert_true(take(store, &joe, 0)); /* there is no limit */
	assert_false(ratestore_take(store, &jim, RATE_BYTES, 1001, 1000, now));
	assert_true(ratestore_take(store, &jim, RATE_BYTES, 1000, 1000, now));
	assert_false(ratestore_has_room(store, &jim, RATE_BYTES, 1, 1000, now));
	assert_false(
		ratestore_has_room(store, &jim, RATE_BYTES, UINT64_MAX, 1000, now));
	ratestore_note(store, &joe, RATE_AUTH_REJECTS, 9, now);
	assert_false(ratestore_has_room(store, &joe, RATE_AUTH_REJECTS, 1, 9, now));
	assert_true(ratestore_has_room(store, &joe, RATE_AUTH_REJECTS, 1, 10, now));
	now += HOUR + HOUR / 4;
	assert_true(take(store, &joe, 1));
	assert_false(take(store, &joe, 1));
	ratestore_free(store);
}

static void
test_servers(void **state)
{
	struct ratestore *store = open_with(
		(struct ratestore_setup){ .servers_ms = HOUR });
	struct rate_key joe = client(1);
	struct addr server[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_true(addr_parse(&server[i],
		                       i == 3 ? "2001:db8::25" : "192.0.2.25", 25));
	server[1].v4.sin_addr.s_addr ^= htonl(1);
	server[2].v4.sin_addr.s_addr ^= htonl(2);
	assert_true(ratestore_call(store, &joe, &server[0], 2, now));
	assert_true(ratestore_call(store, &joe, &server[0], 2, now));
	assert_true(ratestore_call(store, &joe, &server[1], 2, now + HOUR / 2));
	assert_false(ratestore_call(store, &joe, &server[2], 2, now + HOUR / 2));
	assert_false(ratestore_call(store, &joe, &server[3], 2, now + HOUR / 2));
	assert_true(ratestore_call(store, &joe, &server[1], 2, now + HOUR / 2));
	/* The first one is forgotten. */
	assert_true(ratestore_call(store, &joe, &server[3], 2, now + HOUR + 1));
	assert_false(ratestore_call(store, &joe, &server[0], 2, now + HOUR + 1));
	assert_true(ratestore_call(store, &joe, &server[0], 0, now + HOUR + 1));
	ratestore_free(store);
}

/* ---- keeping ----------------------------------------------------------------------------- */

static void
test_restart(void **state)
{
	struct ratestore_setup setup = { .servers_ms = HOUR, .generation = 5 };
	struct ratestore *store = open_with(setup);
	struct rate_key joe = client(1), jim = client(2);
	struct addr server;

	(void)state;
	assert_true(addr_parse(&server, "192.0.2.25", 25));
	for (int i = 0; i < 40; i++)
		assert_true(take(store, &joe, 0));
	ratestore_note(store, &jim, RATE_BYTES, 123456, now);
	assert_true(ratestore_call(store, &jim, &server, 1, now));
	ratestore_free(store);

	store = open_with(setup);
	assert_int_equal(ratestore_clients(store), 2);
	assert_int_equal(counted(store, &joe, RATE_MESSAGES), 40);
	assert_int_equal(counted(store, &jim, RATE_BYTES), 123456);
	server.v4.sin_addr.s_addr ^= htonl(1);
	assert_false(ratestore_call(store, &jim, &server, 1, now));
	ratestore_free(store);

	setup.generation = 6; /* everybody begins anew */
	store = open_with(setup);
	assert_int_equal(ratestore_clients(store), 0);
	assert_int_equal(counted(store, &joe, RATE_MESSAGES), 0);
	ratestore_free(store);

	store = open_with(setup);
	now += 3 * HOUR; /* what nobody asked for is forgotten, too */
	assert_true(take(store, &joe, 0));
	ratestore_free(store);
	store = open_with(setup);
	assert_int_equal(ratestore_clients(store), 1);
	ratestore_free(store);
	now += 3 * HOUR;
	store = open_with(setup);
	assert_int_equal(ratestore_clients(store), 0);
	ratestore_free(store);
}

static void
add_messages(const char *ident, struct rate_record *record, void *arg)
{
	(void)ident;
	*(uint64_t *)arg += rate_record_sum(record, RATE_MESSAGES);
}

/* Without an orderly end, too: what is older than a second or two is in the file. */
static void
test_by_itself(void **state)
{
	struct ratestore *store = open_store();
	struct rate_key joe = client(1);
	pid_t child;
	int status;

	(void)state;
	assert_true(take(store, &joe, 0));
	loop_turn(base, 1500);
	assert_true(take(store, &joe, 0)); /* this not yet */
	child = fork();
	if (child == 0) {
		struct addr addr;
		uint64_t sum = 0;
		char why[256];

		if (!addr_parse(&addr, "10.0.0.1", 0) ||
		    !ratestore_look(path, &addr, 64, add_messages, &sum, why,
		                    sizeof(why)))
			sum = 99;
		_exit((int)sum);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, W_EXITCODE(1, 0));
	ratestore_free(store);
}

static void
tell(int fd, char what)
{
	assert_int_equal(write(fd, &what, 1), 1);
}

static void
hear(int fd)
{
	char what;

	assert_int_equal(read(fd, &what, 1), 1);
}

/* One that is being replaced and its successor: nothing is lost, nothing counts twice. */
static void
test_two_processes(void **state)
{
	int there[2], back[2], status;
	struct rate_key joe = client(1);
	struct ratestore *store;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(there) | pipe(back), 0);
	child = fork();
	if (child == 0) {
		base = event_base_new();
		store = open_store();
		ratestore_note(store, &joe, RATE_RECIPIENTS, 10, now);
		(void)ratestore_flush(store, now);
		tell(back[1], 'a');
		hear(there[0]); /* the other has begun, and counted */
		ratestore_note(store, &joe, RATE_RECIPIENTS, 7, now);
		ratestore_free(store);
		tell(back[1], 'b');
		_exit(0);
	}
	hear(back[0]);
	store = open_store();
	assert_int_equal(counted(store, &joe, RATE_RECIPIENTS), 10);
	ratestore_note(store, &joe, RATE_RECIPIENTS, 100, now);
	assert_true(ratestore_flush(store, now));
	tell(there[1], 'x');
	hear(back[0]);
	ratestore_note(store, &joe, RATE_RECIPIENTS, 1000, now);
	assert_true(ratestore_flush(store, now));
	assert_int_equal(counted(store, &joe, RATE_RECIPIENTS), 1117);
	ratestore_free(store);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	store = open_store();
	assert_int_equal(counted(store, &joe, RATE_RECIPIENTS), 1117);
	ratestore_free(store);
	for (int i = 0; i < 2; i++) {
		close(there[i]);
		close(back[i]);
	}
}

static unsigned looked;

static void
on_look(const char *ident, struct rate_record *record, void *arg)
{
	uint64_t *sum = arg;

	looked += strcmp(ident, "joe") == 0 ? 100 : 1;
	*sum += rate_record_sum(record, RATE_MESSAGES);
}

/* From another process, with the daemon or without; and nothing is made by a look. */
static void
test_look(void **state)
{
	struct ratestore *store;
	struct rate_key key;
	struct addr addr, next;
	uint64_t sum = 0;
	char why[256];
	int status;
	pid_t child;

	(void)state;
	assert_true(addr_parse(&addr, "192.0.2.1", 0));
	assert_true(addr_parse(&next, "192.0.2.2", 0));
	looked = 0;
	assert_true(ratestore_look(path, &addr, 64, on_look, &sum, why, sizeof(why)));
	assert_false(exists("data.mdb") || exists("lock.mdb"));
	child = fork();
	if (child == 0) {
		base = event_base_new();
		store = open_store();
		key = rate_key_of(&addr, 64, "");
		(void)take(store, &key, 0);
		key = rate_key_of(&addr, 64, "joe");
		(void)take(store, &key, 0);
		key = rate_key_of(&next, 64, "jim");
		(void)take(store, &key, 0);
		(void)ratestore_flush(store, now);
		_exit(0); /* it dies */
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(ratestore_look(path, &addr, 64, on_look, &sum, why, sizeof(why)));
	assert_int_equal(looked, 101);
	assert_int_equal(sum, 2);
}

/* ---- bounds -------------------------------------------------------------------------------- */

static void
test_most(void **state)
{
	struct ratestore_setup setup = { .most = 100 };
	struct ratestore *store = open_with(setup);
	struct rate_key busy = client(0), key;
	int64_t forgotten = stats_get(STAT_rate_forgotten);

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		key = client(1 + i);
		assert_true(take(store, &key, 0));
		assert_true(take(store, &busy, 0));
		now++;
		if (i % 64 == 0)
			assert_true(ratestore_flush(store, now));
	}
	assert_int_equal(ratestore_clients(store), 100);
	assert_int_equal(stats_get(STAT_rate_forgotten) - forgotten, 901);
	assert_int_equal(counted(store, &busy, RATE_MESSAGES),
	                 1000); /* it was never quiet */
	key = client(1000);
	assert_int_equal(counted(store, &key, RATE_MESSAGES), 1);
	key = client(900);
	assert_int_equal(counted(store, &key, RATE_MESSAGES), 0);
	ratestore_free(store);
	setup.most = 1000; /* the file has forgotten them as well */
	store = open_with(setup);
	assert_int_equal(ratestore_clients(store), 100);
	ratestore_set_most(store, 10);
	assert_true(take(store, &key, 0));
	assert_int_equal(ratestore_clients(store), 10);
	ratestore_free(store);
	setup.most = 5; /* the newest are left */
	store = open_with(setup);
	assert_int_equal(ratestore_clients(store), 5);
	assert_int_equal(counted(store, &key, RATE_MESSAGES), 1);
	ratestore_free(store);
}

/* The file is full, or cannot be written: counting goes on, and is made up for later. */
static void
test_full(void **state)
{
	struct ratestore_setup setup = { .room = 65536, .most_room = 65536 };
	struct ratestore *store = open_with(setup);
	struct rate_key key;

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		key = client(i);
		ratestore_note(store, &key, RATE_BYTES, i, now);
	}
	assert_false(ratestore_flush(store, now));
	assert_false(ratestore_flush(store, now));
	for (unsigned i = 0; i < 2000; i++) {
		key = client(i);
		assert_int_equal(counted(store, &key, RATE_BYTES), i);
	}
	ratestore_free(store);

	setup.most_room = (size_t)64 << 20; /* it grows */
	store = open_with(setup);
	for (unsigned i = 0; i < 2000; i++) {
		key = client(i);
		ratestore_note(store, &key, RATE_RECIPIENTS, i, now);
	}
	assert_true(ratestore_flush(store, now));
	ratestore_free(store);
	store = open_with(setup);
	for (unsigned i = 0; i < 2000; i++) {
		key = client(i);
		assert_int_equal(counted(store, &key, RATE_RECIPIENTS), i);
	}
	ratestore_free(store);
}

/* No permission, no directory: that is the administrator's to know at the start. */
static void
test_not_ready(void **state)
{
	struct ratestore *store;
	struct rate_key joe = client(1);
	char why[256] = "";
	char *inside = xasprintf("%s/data.mdb", path);

	(void)state;
	assert_int_equal(mkdir(inside, 0700), 0);
	assert_false(ratestore_ready(path, why, sizeof(why)));
	assert_non_null(strstr(why, "Is a directory"));
	assert_false(exists("damaged.mdb"));

	/* And if it goes away between that and the beginning, mail passes all the same. */
	store = ratestore_new(&(struct ratestore_setup){
		.path = path, .period_ms = HOUR, .most = 10 });
	assert_true(ratestore_begin(store, base, now));
	assert_true(take(store, &joe, 1));
	assert_false(take(store, &joe, 1));
	assert_false(ratestore_flush(store, now));
	ratestore_free(store);
	free(inside);
}

static void
fill(unsigned count)
{
	struct ratestore *store = open_store();

	for (unsigned i = 0; i < count; i++) {
		struct rate_key key = client(i);

		ratestore_note(store, &key, RATE_BYTES, i, now);
	}
	ratestore_free(store);
}

/* Damage of each kind: what is left of the file is moved aside, and we begin anew. */
static void
test_damaged(void **state)
{
	static const struct {
		off_t at;
		size_t size;
	} damages[] = { { 0, 64 }, { 0, 8192 }, { 8192, 4096 }, { 8192, 1 << 20 } };
	char *data = xasprintf("%s/data.mdb", path), *noise = malloc(1 << 20);
	struct ratestore *store;

	(void)state;
	srandom(1);
	for (size_t i = 0; i < 1 << 20; i++)
		noise[i] = (char)random();
	for (size_t i = 0; i <= sizeof(damages) / sizeof(damages[0]); i++) {
		int fd;

		fill(5000);
		fd = open(data, O_WRONLY | O_CLOEXEC);
		if (i == sizeof(damages) / sizeof(damages[0]))
			assert_int_equal(ftruncate(fd, 16384), 0);
		else
			assert_true(pwrite(fd, noise, damages[i].size, damages[i].at) >
			            0);
		close(fd);
		store = open_store();
		assert_true(exists("damaged.mdb"));
		assert_int_equal(ratestore_clients(store), 0);
		ratestore_free(store);
		assert_int_equal(truncate(data, 0), 0);
	}
	free(noise);
	free(data);
}

/* ---- cost ------------------------------------------------------------------------------------ */

static int
by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
microseconds(void)
{
	return loop_clock() * 1e6;
}

static double
report(const char *what, double *times)
{
	qsort(times, MANY, sizeof(*times), by_size);
	printf("%-34s %6.2f us (median), %6.2f us (99 %%), %8.2f us (most)\n", what,
	       times[MANY / 2], times[MANY - MANY / 100], times[MANY - 1]);
	return times[MANY / 2];
}

static double
resident_mb(void)
{
	long pages = 0, shared;
	FILE *file = fopen("/proc/self/statm", "re");

	assert_int_equal(fscanf(file, "%*d %ld %ld", &pages, &shared), 2);
	fclose(file);
	return (double)(pages - shared) * 4096 / 1e6; /* the mapped file is no memory */
}

static void
test_cost(void **state)
{
	static double times[MANY];
	double before = resident_mb(), start, writing = 0;
	struct ratestore *store = open_store();
	struct stat info;
	char *data = xasprintf("%s/data.mdb", path);

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		struct rate_key key = client(i * 2654435761u);

		start = microseconds();
		ratestore_note(store, &key, RATE_CONNECTIONS, 1, now);
		times[i] = microseconds() - start;
		if (i % 1000 != 999)
			continue;
		start = microseconds();
		assert_true(ratestore_flush(store, now));
		writing += microseconds() - start;
	}
	report("first count of each client", times);
	printf("100000 clients:                    %6.1f MB\n", resident_mb() - before);
	printf("writing all, by the thousand:      %6.1f ms\n", writing / 1000);
	for (unsigned i = 0; i < MANY; i++) {
		struct rate_key key = client((unsigned)random() * 2654435761u);

		start = microseconds();
		(void)!ratestore_has_room(store, &key, RATE_MESSAGES, 1, 100, now);
		times[i] = microseconds() - start;
	}
	assert_true(report("look-up of one of 100000", times) < 50);
	for (unsigned i = 0; i < MANY; i++) {
		struct rate_key key = client((unsigned)(random() % MANY) * 2654435761u);

		start = microseconds();
		(void)!ratestore_take(store, &key, RATE_MESSAGES, 1, 100, now);
		times[i] = microseconds() - start;
	}
	assert_true(report("update of one of 100000", times) < 100);
	ratestore_free(store);
	assert_int_equal(stat(data, &info), 0);
	printf("the file:                          %6.1f MB\n",
	       (double)info.st_size / 1e6);
	free(data);
	start = microseconds();
	store = open_store();
	printf("opening and reading all of it:     %6.1f ms\n",
	       (microseconds() - start) / 1000);
	assert_true(ratestore_clients(store) > MANY * 99 / 100);
	ratestore_free(store);
}

/* ---- with other gateways ---------------------------------------------------------------- */

static unsigned woken;

static void
on_wake(void *arg)
{
	(void)arg;
	woken++;
}

/* What one of the others is, as far as we know: so many messages, and a server. */
static void
others_have(struct ratestore *store, const struct rate_key *key, uint64_t messages,
            const char *called)
{
	struct rate_record others = { 0 };
	uint8_t host[RATE_HOST_SIZE] = { [10] = 0xff, [11] = 0xff };
	struct addr addr;

	rate_record_advance(&others, HOUR, now);
	rate_record_add(&others, RATE_MESSAGES, messages);
	if (called) {
		assert_true(addr_parse(&addr, called, 0));
		memcpy(host + 12, &addr.v4.sin_addr, 4);
		rate_record_call(&others, host, now);
	}
	ratestore_take_others(store, key, &others);
	assert_null(others.servers);
}

/* It counts, passes with its time, and is neither in the file nor told as our own. */
static void
test_others_count(void **state)
{
	struct ratestore *store = open_store();
	struct rate_key joe = client(1), jim = client(2), key;
	struct rate_record own;

	(void)state;
	ratestore_share(store, on_wake, NULL);
	assert_true(take(store, &joe, 10));
	others_have(store, &joe, 8, NULL);
	others_have(store, &jim, 8, NULL); /* who is not here */
	assert_true(take(store, &joe, 10));
	assert_false(take(store, &joe, 10));
	assert_true(take(store, &jim, 1));
	assert_true(ratestore_share_next(store, true, now, &key, &own));
	assert_memory_equal(&key, &joe, sizeof(key));
	assert_int_equal(rate_record_sum(&own, RATE_MESSAGES), 2);
	rate_record_clear(&own);
	assert_true(ratestore_flush(store, now));
	assert_false(take(store, &joe, 10));
	others_have(store, &joe, 0,
	            NULL); /* it is what there is now, not what is more */
	assert_true(take(store, &joe, 3));
	others_have(store, &joe, UINT64_MAX, NULL);
	assert_false(take(store, &joe, 10));
	now += 2 * HOUR;
	assert_true(take(store, &joe, 1));
	assert_true(ratestore_flush(store, now));
	ratestore_free(store);
	store = open_store();
	assert_int_equal(counted(store, &joe, RATE_MESSAGES), 1);
	ratestore_free(store);
}

static void
test_others_call(void **state)
{
	struct ratestore_setup setup = { .servers_ms = HOUR };
	struct ratestore *store = open_with(setup);
	struct rate_key joe = client(1);
	struct addr server[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_true(addr_parse(
			&server[i],
			(const char *[]){ "192.0.2.1", "192.0.2.2", "192.0.2.3" }[i],
			25));
	ratestore_share(store, on_wake, NULL);
	assert_true(ratestore_call(store, &joe, &server[0], 2, now));
	others_have(store, &joe, 0, "192.0.2.1");
	assert_true(ratestore_call(store, &joe, &server[1], 3, now));
	others_have(store, &joe, 0, "192.0.2.3");
	assert_true(ratestore_call(store, &joe, &server[2], 3, now));
	assert_false(ratestore_call(store, &joe,
	                            &(struct addr){ .v4 = { .sin_family = AF_INET } },
	                            3, now));
	ratestore_free(store);
}

/* At once who comes, unless that was within the last second; then once a second. */
static void
test_who_is_told(void **state)
{
	struct ratestore *store = open_store();
	struct rate_key joe = client(1), key;
	struct rate_record own;

	(void)state;
	assert_true(take(store, &joe, 0));
	ratestore_share(store, on_wake, NULL);
	assert_false(ratestore_has_news(store));
	ratestore_share_all(store);
	assert_false(ratestore_share_next(store, true, now, &key, &own));
	assert_true(ratestore_share_next(store, false, now, &key, &own));
	woken = 0;
	now += RATESTORE_SHARE_MS - 1;
	assert_true(take(store, &joe, 0));
	assert_int_equal(woken, 0);
	assert_false(ratestore_share_next(store, true, now, &key, &own));
	assert_true(ratestore_has_news(store));
	now += 1;
	assert_true(take(store, &joe, 0));
	assert_true(take(store, &joe, 0));
	assert_int_equal(woken, 1);
	assert_true(ratestore_share_next(store, true, now, &key, &own));
	assert_int_equal(rate_record_sum(&own, RATE_MESSAGES), 4);
	assert_false(ratestore_has_news(store));
	ratestore_share_again(store, &joe);
	joe = client(2);
	ratestore_share_again(store, &joe);
	assert_true(ratestore_share_next(store, false, now, &key, &own));
	assert_false(ratestore_share_next(store, false, now, &key, &own));
	ratestore_share_all(store);
	ratestore_free(store);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_path, remove_path)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		TEST(test_others_count),
		TEST(test_others_call),
		TEST(test_who_is_told),
		TEST(test_limit),
		TEST(test_servers),
		TEST(test_restart),
		TEST(test_by_itself),
		TEST(test_two_processes),
		TEST(test_look),
		TEST(test_most),
		TEST(test_full),
		TEST(test_not_ready),
		TEST(test_damaged),
		TEST(test_cost),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
