#include "workers.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

TAILQ_HEAD(work_queue, work);

struct workers {
	pthread_mutex_t lock; /* of everything up to the threads, and of work->state */
	pthread_cond_t some;  /* there is something in the queue, or closing */
	struct work_queue queue; /* jobs that no thread has begun, by FINISH */
	double served;           /* what each client could have had by now */
	unsigned waiting;        /* jobs in the queue */
	struct work_queue ended; /* jobs whose done() is owed, in order */
	bool closing;

	int pipe; /* an eventfd: jobs have ended */
	struct event *event;
	bool busy; /* a done() is being called; the loop's */
	unsigned count;
	pthread_t thread[];
};

/* Calls done() for what has ended up to now; without the lock, so it may start jobs. */
static void
call_done(struct workers *pool)
{
	struct work_queue ended = TAILQ_HEAD_INITIALIZER(ended);
	struct work *work;

	pthread_mutex_lock(&pool->lock);
	TAILQ_CONCAT(&ended, &pool->ended, link);
	pthread_mutex_unlock(&pool->lock);
	pool->busy = true;
	while ((work = TAILQ_FIRST(&ended))) {
		TAILQ_REMOVE(&ended, work, link);
		work->done(work);
	}
	pool->busy = false;
}

static void
jobs_ended(int fd, short what, void *arg)
{
	struct workers *pool = arg;
	uint64_t count;
	ssize_t got;

	(void)what;
	got = read(fd, &count, sizeof count);
	/* It counts, it holds no jobs: if it was empty after all, so is the list. */
	assert(got == sizeof count || errno == EAGAIN || errno == EINTR);
	call_done(pool);
}

/* A full counter (2^64 - 2 jobs) cannot be, and nothing else makes this fail. */
static void
tell_loop(const struct workers *pool)
{
	uint64_t one = 1;
	ssize_t put;

	do
		put = write(pool->pipe, &one, sizeof one);
	while (put < 0 && errno == EINTR);
	assert(put == sizeof one);
}

/* ---- the queue; all with the lock ---------------------------------------------------- */

/*
 * FINISH is when a job would end if all clients were served at once, each a little at a
 * time; the earliest is begun first.  A client's next job begins, so reckoned, when its
 * last one ends, and none before now.
 */
static void
queue_put(struct workers *pool, struct work *work)
{
	double begin = pool->served;
	struct work *at;

	TAILQ_FOREACH_REVERSE(at, &pool->queue, work_queue, link)
	if (at->client == work->client)
		break;
	if (at && at->finish > begin)
		begin = at->finish;
	work->finish = begin + (double)work->cost + 1;
	TAILQ_FOREACH_REVERSE(at, &pool->queue, work_queue, link)
	if (at->finish <= work->finish)
		break;
	if (at)
		TAILQ_INSERT_AFTER(&pool->queue, at, work, link);
	else
		TAILQ_INSERT_HEAD(&pool->queue, work, link);
	pool->waiting++;
	work->state = WORK_QUEUED;
}

static void
queue_remove(struct workers *pool, struct work *work)
{
	TAILQ_REMOVE(&pool->queue, work, link);
	pool->waiting--;
}

/* Time goes on for all that wait by what one of them gets, shared among them; so whoever
 * waits will be the first some day, whatever comes later. */
static struct work *
queue_take(struct workers *pool)
{
	struct work *work = TAILQ_FIRST(&pool->queue);

	pool->served += ((double)work->cost + 1) / pool->waiting;
	queue_remove(pool, work);
	return work;
}

/* ---- threads -------------------------------------------------------------------------- */

/* The next job; NULL when the pool closes.  Called with the lock. */
static struct work *
next_job(struct workers *pool)
{
	struct work *work;

	while (!pool->closing && TAILQ_EMPTY(&pool->queue))
		pthread_cond_wait(&pool->some, &pool->lock);
	if (pool->closing)
		return NULL;
	work = queue_take(pool);
	work->state = WORK_RUNNING;
	return work;
}

static void *
work_on(void *arg)
{
	struct workers *pool = arg;
	struct work *work;

	pthread_mutex_lock(&pool->lock);
	while ((work = next_job(pool))) {
		pthread_mutex_unlock(&pool->lock);
		work->run(work);
		pthread_mutex_lock(&pool->lock);
		work->state = WORK_ENDED;
		TAILQ_INSERT_TAIL(&pool->ended, work, link);
		tell_loop(pool);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* Signals are for the loop's thread: the new ones inherit a mask that blocks all. */
static int
start_threads(struct workers *pool, const char *name, unsigned count, size_t stack)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	char numbered[16];
	int error;

	error = pthread_attr_init(&attributes);
	if (error != 0)
		return error;
	error = pthread_attr_setstacksize(&attributes, stack);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (error == 0 && pool->count < count) {
		pthread_t *thread = &pool->thread[pool->count];

		error = pthread_create(thread, &attributes, work_on, pool);
		if (error != 0)
			break;
		snprintf(numbered, sizeof numbered, "%.8s-%u", name, pool->count++);
		pthread_setname_np(*thread, numbered);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return error;
}

struct workers *
workers_new(struct event_base *base, const char *name, unsigned count, size_t stack)
{
	struct workers *pool;
	int error;

	assert(count > 0);
	pool = xcalloc(1, sizeof *pool + count * sizeof pool->thread[0]);
	TAILQ_INIT(&pool->queue);
	TAILQ_INIT(&pool->ended);
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->some, NULL);
	pool->pipe = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	error = pool->pipe < 0 ? errno : 0;
	if (error == 0) {
		pool->event = event_new(base, pool->pipe, EV_READ | EV_PERSIST,
		                        jobs_ended, pool);
		if (!pool->event || event_add(pool->event, NULL) < 0)
			error = ENOMEM;
	}
	if (error == 0)
		error = start_threads(pool, name, count, stack);
	if (error == 0)
		return pool;
	workers_free(pool);
	errno = error;
	return NULL;
}

void
workers_start(struct workers *pool, struct work *work)
{
	pthread_mutex_lock(&pool->lock);
	assert(!pool->closing);
	assert(work->state != WORK_QUEUED && work->state != WORK_RUNNING);
	queue_put(pool, work);
	pthread_cond_signal(&pool->some);
	pthread_mutex_unlock(&pool->lock);
}

bool
workers_cancel(struct workers *pool, struct work *work)
{
	bool mine;

	pthread_mutex_lock(&pool->lock);
	mine = work->state == WORK_QUEUED;
	if (mine) {
		queue_remove(pool, work);
		work->state = WORK_IDLE;
	}
	pthread_mutex_unlock(&pool->lock);
	return mine;
}

/* Tells the threads to end after their job, waits, and takes what none has begun. */
static void
stop_threads(struct workers *pool)
{
	struct work *work;

	pthread_mutex_lock(&pool->lock);
	pool->closing = true;
	pthread_cond_broadcast(&pool->some);
	TAILQ_FOREACH(work, &pool->queue, link)
	work->state = WORK_ENDED;
	TAILQ_CONCAT(&pool->ended, &pool->queue, link);
	pthread_mutex_unlock(&pool->lock);
	while (pool->count > 0)
		pthread_join(pool->thread[--pool->count], NULL);
}

void
workers_free(struct workers *pool)
{
	if (!pool)
		return;
	assert(!pool->busy);
	stop_threads(pool);
	call_done(pool);
	if (pool->event)
		event_free(pool->event);
	if (pool->pipe >= 0)
		close(pool->pipe);
	pthread_cond_destroy(&pool->some);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}
