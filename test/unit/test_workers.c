#include "workers.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	STACK = 1 << 20,
};

struct job {
	struct work work; /* first: the two are cast into each other */
	int ran, done;
	pthread_t ran_in, done_in;
	atomic_bool *gate; /* run() waits for it, unless NULL */
	atomic_bool begun;
	int order; /* of done() */
};

static int done_count;

static void
job_run(struct work *work)
{
	struct job *job = (struct job *)work;

	atomic_store(&job->begun, true);
	while (job->gate && !atomic_load(job->gate))
		usleep(200);
	job->ran++;
	job->ran_in = pthread_self();
}

static void
job_done(struct work *work)
{
	struct job *job = (struct job *)work;

	job->done++;
	job->done_in = pthread_self();
	job->order = done_count++;
}

static void
job_init(struct job *job, atomic_bool *gate)
{
	memset(job, 0, sizeof *job);
	job->work.run = job_run;
	job->work.done = job_done;
	job->gate = gate;
}

/* Runs the loop until COUNT jobs are done, ten seconds at most. */
static void
loop_until_done(struct event_base *base, int count)
{
	for (int i = 0; done_count < count && i < 1000; i++) {
		event_base_loopexit(base, &(struct timeval){ 0, 10000 });
		event_base_dispatch(base);
	}
	assert_int_equal(done_count, count);
}

static void
wait_begun(struct job *job)
{
	while (!atomic_load(&job->begun))
		usleep(200);
}

static void
each_job_runs_once_in_a_thread_and_is_done_in_the_loop(void **state)
{
	enum { JOBS = 2000 };
	struct event_base *base = event_base_new();
	struct workers *pool = workers_new(base, "scan", 4, STACK);
	struct job *jobs = calloc(JOBS, sizeof *jobs);

	(void)state;
	done_count = 0;
	for (int i = 0; i < JOBS; i++) {
		job_init(&jobs[i], NULL);
		workers_start(pool, &jobs[i].work);
	}
	assert_int_equal(done_count, 0); /* not from within workers_start() */
	loop_until_done(base, JOBS);
	for (int i = 0; i < JOBS; i++) {
		assert_int_equal(jobs[i].ran, 1);
		assert_int_equal(jobs[i].done, 1);
		assert_false(pthread_equal(jobs[i].ran_in, pthread_self()));
		assert_true(pthread_equal(jobs[i].done_in, pthread_self()));
	}
	workers_free(pool);
	event_base_free(base);
	free(jobs);
}

static void
one_thread_keeps_the_order(void **state)
{
	enum { JOBS = 100 };
	struct event_base *base = event_base_new();
	struct workers *pool = workers_new(base, "scan", 1, STACK);
	struct job jobs[JOBS];

	(void)state;
	done_count = 0;
	for (int i = 0; i < JOBS; i++) {
		job_init(&jobs[i], NULL);
		workers_start(pool, &jobs[i].work);
	}
	loop_until_done(base, JOBS);
	for (int i = 0; i < JOBS; i++)
		assert_int_equal(jobs[i].order, i);
	workers_free(pool);
	event_base_free(base);
}

/* One has a hundred large jobs waiting, another comes with small ones, a third with a
 * large one. */
static void
clients_take_turns_by_what_their_jobs_cost(void **state)
{
	enum { MANY = 100, LARGE = 30000000, SMALL = 10000 };
	struct event_base *base = event_base_new();
	struct workers *pool = workers_new(base, "scan", 1, STACK);
	struct job first, many[MANY], small[2], large;
	atomic_bool gate = false;

	(void)state;
	done_count = 0;
	job_init(&first, &gate);
	workers_start(pool, &first.work);
	wait_begun(&first);
	for (int i = 0; i < MANY; i++) {
		job_init(&many[i], NULL);
		many[i].work.client = many;
		many[i].work.cost = LARGE;
		workers_start(pool, &many[i].work);
	}
	job_init(&large, NULL);
	large.work.client = &large;
	large.work.cost = LARGE;
	workers_start(pool, &large.work);
	for (int i = 0; i < 2; i++) {
		job_init(&small[i], NULL);
		small[i].work.client = small;
		small[i].work.cost = SMALL;
		workers_start(pool, &small[i].work);
	}
	atomic_store(&gate, true);
	loop_until_done(base, 1 + MANY + 1 + 2);
	assert_int_equal(first.order, 0);
	assert_int_equal(small[0].order, 1);
	assert_int_equal(small[1].order, 2);
	assert_in_range(large.order, 3, 5);
	for (int i = 1; i < MANY; i++)
		assert_true(many[i].order > many[i - 1].order);
	workers_free(pool);
	event_base_free(base);
}

/* Each new one is another client's, and small; the large one gets its turn nevertheless. */
struct endless {
	struct job job;
	struct workers *pool;
	unsigned *left;
	atomic_bool *large_begun;
	bool *too_late;
};

static void
endless_done(struct work *work)
{
	struct endless *small = (struct endless *)work;

	done_count++;
	if (atomic_load(small->large_begun))
		return;
	if (--*small->left == 0) {
		*small->too_late = true;
		return;
	}
	workers_start(small->pool, work);
}

static void
small_jobs_without_end_do_not_keep_a_large_one_waiting(void **state)
{
	enum { SMALL = 5, COST = 10000, LARGE = COST * 100 };
	struct event_base *base = event_base_new();
	struct workers *pool = workers_new(base, "scan", 1, STACK);
	struct endless small[SMALL];
	unsigned left = 3000;
	bool too_late = false;
	struct job large;

	(void)state;
	done_count = 0;
	job_init(&large, NULL);
	for (int i = 0; i < SMALL; i++) {
		job_init(&small[i].job, NULL);
		small[i].job.work.done = endless_done;
		small[i].job.work.client = &small[i];
		small[i].job.work.cost = COST;
		small[i].pool = pool;
		small[i].left = &left;
		small[i].large_begun = &large.begun;
		small[i].too_late = &too_late;
		workers_start(pool, &small[i].job.work);
	}
	large.work.client = &large;
	large.work.cost = LARGE;
	workers_start(pool, &large.work);
	for (int i = 0; large.done == 0 && !too_late && i < 1000; i++) {
		event_base_loopexit(base, &(struct timeval){ 0, 10000 });
		event_base_dispatch(base);
	}
	assert_int_equal(large.done, 1);
	assert_false(too_late);
	workers_free(pool);
	event_base_free(base);
}

static void
only_a_job_that_waits_can_be_cancelled(void **state)
{
	struct event_base *base = event_base_new();
	struct workers *pool = workers_new(base, "scan", 1, STACK);
	atomic_bool gate = false;
	struct job runs, waits, last;

	(void)state;
	done_count = 0;
	job_init(&runs, &gate);
	job_init(&waits, NULL);
	job_init(&last, NULL);
	workers_start(pool, &runs.work);
	workers_start(pool, &waits.work);
	workers_start(pool, &last.work);
	wait_begun(&runs);
	assert_false(workers_cancel(pool, &runs.work));
	assert_true(workers_cancel(pool, &waits.work));
	atomic_store(&gate, true);
	wait_begun(&last); /* then "runs" has ended, and its done() is owed */
	assert_false(workers_cancel(pool, &runs.work));
	loop_until_done(base, 2);
	assert_int_equal(waits.ran, 0);
	assert_int_equal(waits.done, 0);
	assert_false(workers_cancel(pool, &last.work));

	/* What was cancelled, or is done, may be started again. */
	workers_start(pool, &waits.work);
	workers_start(pool, &runs.work);
	loop_until_done(base, 4);
	assert_int_equal(runs.done, 2);
	workers_free(pool);
	event_base_free(base);
}

static void *
open_later(void *gate)
{
	usleep(50000);
	atomic_store((atomic_bool *)gate, true);
	return NULL;
}

static void
freeing_calls_done_for_all_and_runs_none(void **state)
{
	struct event_base *base = event_base_new();
	struct workers *pool = workers_new(base, "scan", 1, STACK);
	atomic_bool gate = false;
	struct job jobs[4];
	pthread_t opener;

	(void)state;
	done_count = 0;
	for (int i = 0; i < 4; i++) {
		job_init(&jobs[i], &gate);
		workers_start(pool, &jobs[i].work);
	}
	wait_begun(&jobs[0]);
	pthread_create(&opener, NULL, open_later, &gate);
	workers_free(pool);
	pthread_join(opener, NULL);
	assert_int_equal(done_count, 4);
	assert_int_equal(jobs[0].ran, 1);
	for (int i = 1; i < 4; i++) {
		assert_int_equal(jobs[i].ran, 0);
		assert_int_equal(jobs[i].done, 1);
	}
	workers_free(NULL);
	event_base_free(base);
}

struct canceller {
	struct job job;
	struct workers *pool;
	struct work *other;
	bool cancelled;
};

static void
cancel_other(struct work *work)
{
	struct canceller *canceller = (struct canceller *)work;

	job_done(work);
	canceller->cancelled = workers_cancel(canceller->pool, canceller->other);
}

static void
a_done_while_freeing_finds_no_job_to_cancel(void **state)
{
	struct event_base *base = event_base_new();
	struct workers *pool = workers_new(base, "scan", 1, STACK);
	struct canceller first;
	struct job second;

	(void)state;
	done_count = 0;
	job_init(&first.job, NULL);
	job_init(&second, NULL);
	first.job.work.done = cancel_other;
	first.pool = pool;
	first.other = &second.work;
	workers_start(pool, &first.job.work);
	workers_start(pool, &second.work);
	workers_free(pool);
	assert_false(first.cancelled);
	assert_int_equal(done_count, 2);
	event_base_free(base);
}

struct chain {
	struct job job;
	struct workers *pool;
	int left;
};

static void
start_again(struct work *work)
{
	struct chain *chain = (struct chain *)work;

	job_done(work);
	if (--chain->left > 0)
		workers_start(chain->pool, work);
}

static void
a_done_may_start_jobs(void **state)
{
	struct event_base *base = event_base_new();
	struct workers *pool = workers_new(base, "scan", 2, STACK);
	struct chain chain = { .pool = pool, .left = 100 };

	(void)state;
	done_count = 0;
	job_init(&chain.job, NULL);
	chain.job.work.done = start_again;
	workers_start(pool, &chain.job.work);
	loop_until_done(base, 100);
	assert_int_equal(chain.job.ran, 100);
	workers_free(pool);
	event_base_free(base);
}

struct look {
	struct job job;
	sigset_t blocked;
	size_t stack;
	char name[16];
};

static void
look_around(struct work *work)
{
	struct look *look = (struct look *)work;
	pthread_attr_t attributes;

	pthread_sigmask(SIG_SETMASK, NULL, &look->blocked);
	pthread_getname_np(pthread_self(), look->name, sizeof look->name);
	pthread_getattr_np(pthread_self(), &attributes);
	pthread_attr_getstacksize(&attributes, &look->stack);
	pthread_attr_destroy(&attributes);
	job_run(work);
}

static void
threads_block_signals_and_have_name_and_stack(void **state)
{
	static const int signals[] = { SIGTERM, SIGHUP,  SIGINT,
		                       SIGUSR1, SIGCHLD, SIGPIPE };
	struct event_base *base = event_base_new();
	struct workers *pool = workers_new(base, "scan", 1, (size_t)16 << 20);
	struct look look;
	sigset_t mine;

	(void)state;
	done_count = 0;
	job_init(&look.job, NULL);
	look.job.work.run = look_around;
	workers_start(pool, &look.job.work);
	loop_until_done(base, 1);
	pthread_sigmask(SIG_SETMASK, NULL, &mine);
	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
		assert_true(sigismember(&look.blocked, signals[i]));
		assert_false(sigismember(&mine, signals[i]));
	}
	assert_string_equal(look.name, "scan-0");
	assert_true(look.stack >= (size_t)16 << 20);
	workers_free(pool);
	event_base_free(base);
}

static void
what_cannot_be_had_is_refused_with_errno(void **state)
{
	struct event_base *base = event_base_new();
	struct rlimit limit, none;
	int next;

	(void)state;
	errno = 0;
	assert_null(workers_new(base, "scan", 1, 1)); /* less than PTHREAD_STACK_MIN */
	assert_int_equal(errno, EINVAL);

	getrlimit(RLIMIT_NOFILE, &limit);
	next = dup(0);
	close(next);
	none = limit;
	none.rlim_cur = (rlim_t)next;
	setrlimit(RLIMIT_NOFILE, &none);
	errno = 0;
	assert_null(workers_new(base, "scan", 1, STACK));
	assert_int_equal(errno, EMFILE);
	setrlimit(RLIMIT_NOFILE, &limit);
	event_base_free(base);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			each_job_runs_once_in_a_thread_and_is_done_in_the_loop),
		cmocka_unit_test(one_thread_keeps_the_order),
		cmocka_unit_test(clients_take_turns_by_what_their_jobs_cost),
		cmocka_unit_test(
			small_jobs_without_end_do_not_keep_a_large_one_waiting),
		cmocka_unit_test(only_a_job_that_waits_can_be_cancelled),
		cmocka_unit_test(freeing_calls_done_for_all_and_runs_none),
		cmocka_unit_test(a_done_while_freeing_finds_no_job_to_cancel),
		cmocka_unit_test(a_done_may_start_jobs),
		cmocka_unit_test(threads_block_signals_and_have_name_and_stack),
		cmocka_unit_test(what_cannot_be_had_is_refused_with_errno),
	};

	return cmocka_run_group_tests_name("workers", tests, NULL, NULL);
}
