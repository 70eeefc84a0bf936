#ifndef WORKERS_H
#define WORKERS_H

#include "xalloc.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

/*
 * Threads: one job in, one report out.
 *
 * A job owns what it uses.  run() is called in a thread and may touch nothing but the
 * job; done() is called once in the loop, by way of an event pipe (an eventfd), in the
 * order in which jobs ended.  Threads do not log; they bring words home.
 *
 * Jobs of one client are begun in order.  Between clients it is fair: each is given as much
 * of the threads as any other, by the cost of its jobs, so that somebody's one small job
 * does not wait behind another's hundred large ones.  (It is what packet schedulers do:
 * weighted fair queueing.)
 */
struct work {
	void (*run)(struct work *work);		/* in a thread: no session, no log */
	void (*done)(struct work *work);	/* in the loop, exactly once */
	const void *client;			/* whose it is; compared, no more; or NULL */
	uint64_t cost;				/* about how long it takes, in any unit */
	TAILQ_ENTRY(work) link;			/* the pool's */
	double finish;				/* the pool's: its place in the queue */
	enum work_state {			/* the pool's */
		WORK_IDLE,
		WORK_QUEUED,
		WORK_RUNNING,
		WORK_ENDED,
	} state;
};

struct workers;

/* Starts COUNT threads, called NAME-0 and so on, with blocked signals and a stack of STACK
 * bytes.  NULL with errno if they cannot be had. */
struct workers *workers_new(struct event_base *base, const char *name, unsigned count,
			    size_t stack) MUST_CHECK;

/* Queues a job; the pool has it until done(). */
void workers_start(struct workers *pool, struct work *work);

/* Takes a job back that no thread has begun: true, and neither run() nor done() will be
 * called.  False: it runs or has run, and done() will come. */
bool workers_cancel(struct workers *pool, struct work *work) MUST_CHECK;

/* Waits for the jobs that run, then calls done() for every job that is left, drops none
 * silently: also for jobs that never ran.  Not to be called from a done().  NULL is
 * fine. */
void workers_free(struct workers *pool);

#endif
