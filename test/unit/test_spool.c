#include "spool_internal.h"

#include "loop.h"
#include "stats.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char head[] = "From: head\r\n\r\n";

enum {
	HEAD = sizeof(head) - 1,
	BIG = 1 << 20,
};

struct world {
	char directory[64];
	struct event_base *base;
	struct spool_budget *budget;
};

static int
setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	strcpy(world->directory, "/tmp/test_spool.XXXXXX");
	assert_non_null(mkdtemp(world->directory));
	world->base = event_base_new();
	*state = world;
	return 0;
}

/* Whatever a test did: no name is left behind, and the counters are back at nothing. */
static int
teardown(void **state)
{
	struct world *world = *state;

	spool_budget_free(world->budget);
	event_base_free(world->base);
	assert_int_equal(rmdir(world->directory), 0);
	assert_int_equal(stats_get(STAT_spool_memory), 0);
	assert_int_equal(stats_get(STAT_spool_disk), 0);
	free(world);
	return 0;
}

static void
limit(struct world *world, size_t memory_each, size_t memory_all, uint64_t disk_all)
{
	struct spool_limits limits = { .path = world->directory,
		                       .memory_each = memory_each,
		                       .memory_all = memory_all,
		                       .disk_all = disk_all };

	if (world->budget)
		spool_budget_set(world->budget, &limits);
	else
		world->budget = spool_budget_new(world->base, &limits);
}

static void
on_space(void *arg)
{
	++*(int *)arg;
}

/* That of client number CLIENT. */
static struct spool *
spool_of(struct world *world, unsigned client, spool_space_cb *space, void *arg)
{
	struct spool *spool = spool_new(world->budget, head, HEAD, space, arg);
	struct addr addr;
	char text[32];

	snprintf(text, sizeof(text), "10.0.%u.%u", client / 250, client % 250 + 1);
	assert_true(addr_parse(&addr, text, 0));
	spool_set_client(spool, &addr);
	return spool;
}

/* Each is another client's. */
static struct spool *
spool(struct world *world, int *wakes)
{
	static unsigned client = 1000;

	return spool_of(world, client++, on_space, wakes);
}

/* Byte number N of every message here. */
static char
letter(size_t n)
{
	return (char)(n * 131 >> 3 ^ n);
}

/* Appends the next SIZE bytes, in chains of odd sizes as sockets make them. */
static enum spool_result
append(struct spool *spool, size_t size)
{
	struct evbuffer *message = evbuffer_new(), *part = evbuffer_new();
	size_t at = spool_message_size(spool), end = at + size;
	enum spool_result result;

	while (at < end) {
		size_t piece = 1 + at * 7919 % 3000;
		char *bytes;

		if (piece > end - at)
			piece = end - at;
		bytes = malloc(piece);
		for (size_t i = 0; i < piece; i++)
			bytes[i] = letter(at + i);
		evbuffer_add(part, bytes, piece);
		evbuffer_add_buffer(message, part);
		free(bytes);
		at += piece;
	}
	result = spool_append(spool, message);
	assert_int_equal(evbuffer_get_length(message), size);
	evbuffer_free(message);
	evbuffer_free(part);
	return result;
}

static void
check_bytes(const char *bytes, size_t from, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		char right = from + i < HEAD ? head[from + i] : letter(from + i - HEAD);

		if (bytes[i] != right)
			fail_msg("byte %zu is wrong", from + i);
	}
}

/* The spool holds head and MESSAGE bytes, read at once, in pieces and across its end. */
static void
check_content(struct spool *spool, size_t message)
{
	size_t size = HEAD + message, piece = size / 7 + 1;
	char *to = malloc(size + 10);

	assert_int_equal(spool_message_size(spool), message);
	assert_int_equal(spool_size(spool), size);
	assert_int_equal(spool_read(spool, to, size, 0), size);
	check_bytes(to, 0, size);
	assert_int_equal(spool_read(spool, to, size + 10, 0), size);
	for (size_t at = 0; at < size; at += piece) {
		size_t left = size - at < piece ? size - at : piece;

		assert_int_equal(spool_read(spool, to, piece, at), left);
		check_bytes(to, at, left);
	}
	assert_int_equal(spool_read(spool, to, 10, size - 1), 1);
	assert_int_equal(spool_read(spool, to, 10, size), 0);
	assert_int_equal(spool_read(spool, to, 10, size + 1), 0);
	assert_int_equal(spool_read(spool, to, 10, UINT64_MAX), 0);
	assert_int_equal(spool_read(spool, to, 0, 0), 0);
	if (spool_memory(spool))
		check_bytes(spool_memory(spool), 0, size);
	free(to);
}

static unsigned
names_in(const char *directory)
{
	DIR *list = opendir(directory);
	struct dirent *entry;
	unsigned count = 0;

	while ((entry = readdir(list)))
		count += entry->d_name[0] != '.';
	closedir(list);
	return count;
}

/* ---- where it is --------------------------------------------------------------------- */

static void
a_small_message_stays_in_memory(void **state)
{
	int wakes = 0;
	struct spool *message;

	limit(*state, 4096, BIG, BIG);
	message = spool(*state, &wakes);
	assert_int_equal(append(message, 0), SPOOL_OK);
	assert_int_equal(append(message, 4000), SPOOL_OK);
	assert_int_equal(append(message, 96), SPOOL_OK);
	spool_seal(message);
	assert_non_null(spool_memory(message));
	check_content(message, 4096);
	assert_true(stats_get(STAT_spool_memory) >= 4096);
	assert_int_equal(stats_get(STAT_spool_disk), 0);
	spool_drop(message);
	assert_int_equal(wakes, 0);
}

static void
an_empty_message_has_a_head(void **state)
{
	int wakes = 0;
	struct spool *message;

	limit(*state, 4096, BIG, BIG);
	message = spool(*state, &wakes);
	spool_seal(message);
	check_content(message, 0);
	spool_drop(message);
}

static void
a_byte_too_many_goes_to_a_file(void **state)
{
	struct world *world = *state;
	int wakes = 0;
	struct spool *message;

	limit(world, 4096, BIG, BIG);
	message = spool(world, &wakes);
	assert_int_equal(append(message, 4096), SPOOL_OK);
	assert_non_null(spool_memory(message));
	assert_int_equal(append(message, 1), SPOOL_OK);
	assert_null(spool_memory(message));
	assert_int_equal(append(message, 0), SPOOL_OK);
	assert_int_equal(append(message, 5000), SPOOL_OK);
	assert_int_equal(stats_get(STAT_spool_memory), 0);
	assert_int_equal(stats_get(STAT_spool_disk), HEAD + 4096 + 1 + 5000);
	assert_int_equal(names_in(world->directory), 0);
	spool_seal(message);
	check_content(message, 4096 + 1 + 5000);
	spool_drop(message);
}

/* Memory is the sum over messages; one that has to leave makes room for others. */
static void
used_up_memory_sends_messages_to_files(void **state)
{
	int wakes = 0;
	struct spool *a, *b, *c;

	limit(*state, 10000, 17000, 0);
	a = spool(*state, &wakes);
	b = spool(*state, &wakes);
	c = spool(*state, &wakes);
	assert_int_equal(append(a, 8000), SPOOL_OK);
	assert_int_equal(append(b, 6000), SPOOL_OK);
	assert_int_equal(append(c, 3000), SPOOL_OK);
	assert_true(stats_get(STAT_spool_memory) <= 17000);
	spool_seal(a);
	spool_seal(b);
	spool_seal(c);
	assert_non_null(spool_memory(a));
	assert_null(spool_memory(b));
	assert_non_null(spool_memory(c));
	check_content(a, 8000);
	check_content(b, 6000);
	check_content(c, 3000);
	spool_drop(a);
	spool_drop(b);
	spool_drop(c);
}

static void
a_held_message_outlives_its_first_owner(void **state)
{
	int wakes = 0;
	struct spool *message;

	limit(*state, 4096, BIG, BIG);
	message = spool(*state, &wakes);
	assert_int_equal(append(message, 5000), SPOOL_OK);
	spool_seal(message);
	assert_ptr_equal(spool_hold(message), message);
	spool_drop(message);
	check_content(message, 5000);
	spool_drop(message);
	spool_drop(NULL);
}

/* ---- whatever the pieces ---------------------------------------------------------------- */

static void
content_is_the_same_whatever_the_pieces(void **state)
{
	int wakes = 0;

	srand(7);
	for (int round = 0; round < 60; round++) {
		size_t most = (size_t)1 << rand() % 15;
		struct spool *message;

		limit(*state, 4096 << rand() % 5, (size_t)rand() % 40000, 0);
		message = spool(*state, &wakes);
		for (int pieces = rand() % 40; pieces >= 0; pieces--)
			assert_int_equal(append(message, (size_t)rand() % most),
			                 SPOOL_OK);
		spool_seal(message);
		check_content(message, spool_message_size(message));
		spool_drop(message);
	}
}

/* ---- waiting ------------------------------------------------------------------------------ */

static void
the_younger_wait_for_room_in_files(void **state)
{
	struct world *world = *state;
	int wakes = 0;
	struct spool *oldest, *younger;
	int64_t waits = stats_get(STAT_spool_waits);

	limit(world, 4096, BIG, 20000);
	oldest = spool(world, &wakes);
	younger = spool(world, &wakes);
	assert_int_equal(append(oldest, 15000), SPOOL_OK);
	assert_int_equal(append(younger, 1000), SPOOL_OK);
	assert_int_equal(append(younger, 6000), SPOOL_WAIT);
	assert_int_equal(stats_get(STAT_spool_waits), waits + 1);
	assert_int_equal(spool_message_size(younger), 1000);
	loop_turn(world->base, 20);
	assert_int_equal(wakes, 0);

	/* However full it is, the oldest goes on. */
	assert_int_equal(append(oldest, 100000), SPOOL_OK);
	spool_seal(oldest);

	/* Now it is the oldest itself; but what is sealed will soon make room. */
	loop_turn(world->base, 20);
	assert_int_equal(wakes, 0);
	check_content(oldest, 115000);
	spool_drop(oldest);
	assert_int_equal(wakes, 0); /* from the loop, not from within */
	LOOP_UNTIL(world->base, wakes > 0);
	assert_int_equal(append(younger, 60000), SPOOL_OK);
	spool_seal(younger);
	check_content(younger, 61000);
	spool_drop(younger);
	loop_turn(world->base, 20);
	assert_int_equal(wakes, 1);
}

static void
freed_files_wake_who_waits(void **state)
{
	struct world *world = *state;
	int wakes = 0, no_wakes = 0;
	struct spool *sealed, *oldest, *younger;

	limit(world, 4096, BIG, 20000);
	sealed = spool(world, &no_wakes);
	assert_int_equal(append(sealed, 15000), SPOOL_OK);
	spool_seal(sealed);
	oldest = spool(world, &no_wakes);
	younger = spool(world, &wakes);
	assert_int_equal(append(younger, 6000), SPOOL_WAIT);
	spool_drop(sealed);
	LOOP_UNTIL(world->base, wakes > 0);
	assert_int_equal(wakes, 1);
	assert_int_equal(append(younger, 6000), SPOOL_OK);
	spool_drop(younger);
	spool_drop(oldest);
	assert_int_equal(no_wakes, 0);
}

/* Files are used up and memory is, too; memory comes free. */
static void
freed_memory_wakes_who_waits(void **state)
{
	struct world *world = *state;
	int wakes = 0, no_wakes = 0;
	struct spool *file, *memory, *oldest, *younger;

	limit(world, 16384, 33000, 20000);
	file = spool(world, &no_wakes);
	assert_int_equal(append(file, 19000), SPOOL_OK);
	spool_seal(file);
	memory = spool(world, &no_wakes);
	assert_int_equal(append(memory, 16000), SPOOL_OK);
	spool_seal(memory);
	oldest = spool(world, &no_wakes);
	younger = spool(world, &wakes);
	assert_int_equal(append(younger, 9000), SPOOL_WAIT);
	spool_drop(memory);
	LOOP_UNTIL(world->base, wakes > 0);
	assert_int_equal(wakes, 1);
	assert_int_equal(append(younger, 9000), SPOOL_OK);
	assert_non_null(spool_memory(younger));
	spool_drop(younger);
	spool_drop(oldest);
	spool_drop(file);
}

static void
a_larger_limit_wakes_who_waits(void **state)
{
	struct world *world = *state;
	int wakes = 0, no_wakes = 0;
	struct spool *oldest, *younger;

	limit(world, 4096, BIG, 20000);
	oldest = spool(world, &no_wakes);
	younger = spool(world, &wakes);
	assert_int_equal(append(oldest, 19000), SPOOL_OK);
	assert_int_equal(append(younger, 9000), SPOOL_WAIT);
	limit(world, 4096, BIG, 40000);
	LOOP_UNTIL(world->base, wakes > 0);
	assert_int_equal(wakes, 1);
	assert_int_equal(append(younger, 9000), SPOOL_OK);
	spool_drop(younger);
	spool_drop(oldest);
}

static void
who_is_abandoned_is_not_woken(void **state)
{
	struct world *world = *state;
	int wakes = 0;
	struct spool *oldest, *a, *b, *c;

	limit(world, 4096, BIG, 20000);
	oldest = spool(world, &wakes);
	assert_int_equal(append(oldest, 19000), SPOOL_OK);
	a = spool(world, &wakes);
	b = spool(world, &wakes);
	c = spool(world, &wakes);
	assert_int_equal(append(a, 9000), SPOOL_WAIT);
	assert_int_equal(append(b, 9000), SPOOL_WAIT);
	assert_int_equal(append(c, 9000), SPOOL_WAIT);
	spool_abandon(a);
	spool_seal(b);
	spool_drop(c);
	spool_drop(oldest);
	loop_turn(world->base, 20);
	assert_int_equal(wakes, 0);
	spool_drop(a);
	spool_drop(b);
}

/* An owner that tries again when it is woken, as sessions do. */
struct trier {
	struct spool *spool, *drops;
	unsigned tries;
	bool done;
};

static void
try_again(void *arg)
{
	struct trier *trier = arg;

	trier->tries++;
	spool_drop(trier->drops);
	trier->drops = NULL;
	trier->done = append(trier->spool, 9000) == SPOOL_OK;
}

static void
many_waiters_all_come_through(void **state)
{
	struct world *world = *state;
	struct trier triers[5] = { 0 };
	int wakes = 0;
	struct spool *oldest;

	limit(world, 4096, BIG, 20000);
	oldest = spool(world, &wakes);
	assert_int_equal(append(oldest, 19000), SPOOL_OK);
	for (int i = 0; i < 5; i++) {
		triers[i].spool = spool_of(world, 100 + (unsigned)i, try_again,
		                           &triers[i]);
		assert_int_equal(append(triers[i].spool, 9000), SPOOL_WAIT);
	}
	spool_drop(oldest);
	for (int i = 0; i < 5; i++) {
		LOOP_UNTIL(world->base, triers[i].done);
		assert_true(triers[i].done);
		spool_seal(triers[i].spool);
		check_content(triers[i].spool, 9000);
		spool_drop(triers[i].spool);
	}
	for (int i = 0; i < 5; i++)
		assert_in_range(triers[i].tries, 1, i + 1);
}

/* The first one woken ends the one that waits last. */
static void
a_waiter_may_end_another(void **state)
{
	struct world *world = *state;
	struct trier first = { 0 }, last = { 0 };
	int wakes = 0;
	struct spool *oldest;

	limit(world, 4096, BIG, 20000);
	oldest = spool(world, &wakes);
	assert_int_equal(append(oldest, 19000), SPOOL_OK);
	first.spool = spool_of(world, 1, try_again, &first);
	last.spool = spool_of(world, 2, try_again, &last);
	assert_int_equal(append(first.spool, 9000), SPOOL_WAIT);
	assert_int_equal(append(last.spool, 9000), SPOOL_WAIT);
	first.drops = last.spool;
	limit(world, 4096, BIG, 20001); /* is not enough */
	loop_turn(world->base, 20);
	assert_int_equal(first.tries, 0);
	limit(world, 4096, BIG, 80000);
	LOOP_UNTIL(world->base, first.done);
	loop_turn(world->base, 20);
	assert_int_equal(first.tries, 1);
	assert_int_equal(last.tries, 0);
	spool_drop(first.spool);
	spool_drop(oldest);
}

/* ---- shares ------------------------------------------------------------------------------- */

/* Whatever one client has begun, another's message finds room. */
static void
a_client_leaves_as_much_as_it_takes(void **state)
{
	enum { MANY = 200, DISK = 1000000, PIECE = 5000 };
	struct world *world = *state;
	struct spool *hostile[MANY], *honest;
	int wakes = 0;

	limit(world, 4096, 100000, DISK);
	for (int i = 0; i < MANY; i++) {
		hostile[i] = spool_of(world, 1, on_space, &wakes);
		while (append(hostile[i], PIECE) == SPOOL_OK &&
		       spool_message_size(hostile[i]) < 100000)
			continue;
	}
	/* Its oldest may have gone beyond the half, to where a quarter is left. */
	assert_in_range(stats_get(STAT_spool_disk), DISK / 4, DISK - DISK / 4);
	assert_true(stats_get(STAT_spool_memory) <= 50000 + (MANY + 1) * (HEAD + 1));
	honest = spool_of(world, 2, on_space, &wakes);
	assert_int_equal(append(honest, 4000), SPOOL_OK);
	spool_seal(honest);
	assert_non_null(spool_memory(honest));
	spool_drop(honest);
	honest = spool_of(world, 3, on_space, &wakes);
	assert_int_equal(append(honest, 120000), SPOOL_OK);
	spool_drop(honest);
	for (int i = 0; i < MANY; i++)
		spool_drop(hostile[i]);
}

static void
a_network_of_ipv6_is_one_client(void **state)
{
	struct world *world = *state;
	struct spool_limits limits = { .path = world->directory,
		                       .memory_each = 4096,
		                       .memory_all = BIG,
		                       .prefix6 = 64 };
	static const char *const texts[] = { "2001:db8::1", "2001:db8::2:0:0:1",
		                             "2001:db8:0:1::1", "192.0.2.1",
		                             "::ffff:192.0.2.1" };
	struct spool *spools[5];
	struct addr addr;

	world->budget = spool_budget_new(world->base, &limits);
	for (int i = 0; i < 5; i++) {
		spools[i] = spool_new(world->budget, head, HEAD, on_space, NULL);
		assert_true(addr_parse(&addr, texts[i], 0));
		spool_set_client(spools[i], &addr);
	}
	assert_ptr_equal(spool_client(spools[0]), spool_client(spools[1]));
	assert_ptr_not_equal(spool_client(spools[0]), spool_client(spools[2]));
	assert_ptr_not_equal(spool_client(spools[0]), spool_client(spools[3]));
	assert_ptr_equal(spool_client(spools[3]), spool_client(spools[4]));
	for (int i = 0; i < 5; i++)
		spool_drop(spools[i]);
}

static const char *woken[10];
static unsigned woken_count;

static void
note_woken(void *arg)
{
	if (woken_count < 10)
		woken[woken_count++] = arg;
}

/* Not in the order in which they began to wait. */
static void
who_has_least_goes_first_then_the_oldest(void **state)
{
	struct world *world = *state;
	struct spool *full, *much, *older, *old, *least;
	int wakes = 0;

	woken_count = 0;
	limit(world, 4096, 5000, 100000);
	full = spool(world, &wakes);
	much = spool_of(world, 1, note_woken, (char *)"much");
	older = spool_of(world, 1, note_woken, (char *)"older");
	old = spool_of(world, 1, note_woken, (char *)"old");
	least = spool_of(world, 2, note_woken, (char *)"least");
	assert_int_equal(append(much, 10000), SPOOL_OK);
	assert_int_equal(append(full, 84000), SPOOL_OK);
	assert_int_equal(append(old, 9000), SPOOL_WAIT);
	assert_int_equal(append(older, 9000), SPOOL_WAIT);
	assert_int_equal(append(least, 9000), SPOOL_WAIT);
	spool_drop(full);
	LOOP_UNTIL(world->base, woken_count >= 3);
	assert_int_equal(woken_count, 3);
	assert_string_equal(woken[0], "least");
	assert_string_equal(woken[1], "older");
	assert_string_equal(woken[2], "old");
	spool_drop(much);
	spool_drop(older);
	spool_drop(old);
	spool_drop(least);
}

/* Many that are half there would be in each other's way. */
static void
a_crowd_of_one_client_is_ended_in_turn(void **state)
{
	enum { CROWD = 20, SIZE = 10000, DISK = 60000 };
	struct world *world = *state;
	struct trier triers[CROWD] = { 0 };
	unsigned ended = 0;

	limit(world, 4096, 0, DISK);
	for (int i = 0; i < CROWD; i++) {
		triers[i].spool = spool_of(world, 1, try_again, &triers[i]);
		(void)append(triers[i].spool, 1000);
	}
	/* Each wants to have SIZE, by pieces of 9000; whoever has it goes. */
	for (int i = 0; i < CROWD; i++) {
		if (spool_message_size(triers[i].spool) == 1000)
			triers[i].done = append(triers[i].spool, 9000) == SPOOL_OK;
		LOOP_UNTIL(world->base, triers[i].done);
		assert_true(triers[i].done);
		assert_true(stats_get(STAT_spool_disk) <= DISK + SIZE);
		for (int j = i + 5; j < CROWD; j++)
			assert_false(triers[j].done);
		spool_seal(triers[i].spool);
		spool_drop(triers[i].spool);
		ended++;
	}
	assert_int_equal(ended, CROWD);
}

/* Who waits in vain must not turn the loop into a busy one. */
static void
waiting_is_idle(void **state)
{
	struct world *world = *state;
	struct trier trier = { 0 };
	int wakes = 0;
	struct spool *oldest;

	limit(world, 4096, BIG, 20000);
	oldest = spool(world, &wakes);
	assert_int_equal(append(oldest, 19000), SPOOL_OK);
	trier.spool = spool_of(world, 1, try_again, &trier);
	assert_int_equal(append(trier.spool, 9000), SPOOL_WAIT);
	for (int i = 0; i < 10; i++)
		assert_int_equal(append(oldest, 1000), SPOOL_OK);
	loop_turn(world->base, 100);
	assert_int_equal(trier.tries, 0);
	spool_drop(trier.spool);
	spool_drop(oldest);
}

/* ---- trouble -------------------------------------------------------------------------------- */

static void
a_missing_directory_is_told(void **state)
{
	struct world *world = *state;
	struct spool_limits limits = { .path = "/nowhere/at/all",
		                       .memory_each = 4096,
		                       .memory_all = BIG };
	int wakes = 0;
	struct spool *message;

	world->budget = spool_budget_new(world->base, &limits);
	message = spool(world, &wakes);
	assert_int_equal(append(message, 4096), SPOOL_OK);
	errno = 0;
	assert_int_equal(append(message, 1), SPOOL_FAILED);
	assert_int_equal(errno, ENOENT);
	spool_drop(message);
}

/* A real one: a file system of 64 kB. */
static void
a_full_disk_is_told(void **state)
{
	struct world *world = *state;
	int wakes = 0;
	struct spool *at_spill, *later, *small;
	enum spool_result result = SPOOL_OK;

	if (mount("tmpfs", world->directory, "tmpfs", 0, "size=64k") != 0)
		skip();
	limit(world, 100000, BIG, 0);
	small = spool(world, &wakes);
	at_spill = spool(world, &wakes);
	later = spool(world, &wakes);
	assert_int_equal(append(small, 4000), SPOOL_OK);
	assert_int_equal(append(at_spill, 100000), SPOOL_OK);
	errno = 0;
	assert_int_equal(append(at_spill, 1), SPOOL_FAILED);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(stats_get(STAT_spool_disk), 0);

	limit(world, 4096, BIG, 0);
	errno = 0;
	for (int i = 0; i < 100 && result == SPOOL_OK; i++)
		result = append(later, 5000);
	assert_int_equal(result, SPOOL_FAILED);
	assert_int_equal(errno, ENOSPC);
	assert_in_range(stats_get(STAT_spool_disk), 50000, 65536);

	/* The misfortune of others is not that of a message in memory. */
	spool_seal(small);
	check_content(small, 4000);
	spool_drop(small);
	spool_drop(at_spill);
	spool_drop(later);
	assert_int_equal(names_in(world->directory), 0);
	assert_int_equal(umount(world->directory), 0);
}

static void
a_slow_disk_is_counted(void **state)
{
	struct world *world = *state;
	int64_t slow = stats_get(STAT_spool_slow);

	limit(world, 4096, BIG, 0);
	spool_note(world->budget, 0, 200);
	assert_int_equal(stats_get(STAT_spool_slow), slow);
	spool_note(world->budget, 0, 1000);
	spool_note(world->budget, 0, 3000);
	assert_int_equal(stats_get(STAT_spool_slow), slow + 2);
	assert_true(world->budget->slowness.told);
	spool_note(world->budget, 0, 10);
	assert_false(world->budget->slowness.told);
}

#define WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD(a_small_message_stays_in_memory),
		WORLD(an_empty_message_has_a_head),
		WORLD(a_byte_too_many_goes_to_a_file),
		WORLD(used_up_memory_sends_messages_to_files),
		WORLD(a_held_message_outlives_its_first_owner),
		WORLD(content_is_the_same_whatever_the_pieces),
		WORLD(the_younger_wait_for_room_in_files),
		WORLD(freed_files_wake_who_waits),
		WORLD(freed_memory_wakes_who_waits),
		WORLD(a_larger_limit_wakes_who_waits),
		WORLD(who_is_abandoned_is_not_woken),
		WORLD(many_waiters_all_come_through),
		WORLD(a_waiter_may_end_another),
		WORLD(a_client_leaves_as_much_as_it_takes),
		WORLD(a_network_of_ipv6_is_one_client),
		WORLD(who_has_least_goes_first_then_the_oldest),
		WORLD(a_crowd_of_one_client_is_ended_in_turn),
		WORLD(waiting_is_idle),
		WORLD(a_missing_directory_is_told),
		WORLD(a_full_disk_is_told),
		WORLD(a_slow_disk_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
