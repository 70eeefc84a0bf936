#ifndef LOOP_H
#define LOOP_H

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

/*
 * Running the event loop in tests: until something holds, but never for ever.
 */
static inline void
loop_turn(struct event_base *base, int milliseconds)
{
	struct timeval limit = { milliseconds / 1000, milliseconds % 1000 * 1000 };

	event_base_loopexit(base, &limit);
	event_base_loop(base, 0);
}

static inline double
loop_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Gives up after a minute, for a busy machine: assert what you wanted afterwards. */
#define LOOP_UNTIL(base, condition) \
	for (double loop_start = loop_clock(); \
	     !(condition) && loop_clock() < loop_start + 60;) \
	loop_turn(base, 2)

/*
 * A clock that stands still while this machine is taken away, or too busy to let us run:
 * for what must be quick.  (What must take its time is measured by loop_clock().)
 */
enum {
	LOOP_TICK_MS = 5,
	LOOP_AWAY_MS = 50,	/* that a tick may be late */
};

static _Atomic int64_t loop_away_us, loop_tick_us;

static inline int64_t
loop_late(int64_t now_us)
{
	int64_t late = now_us - atomic_load(&loop_tick_us);

	return late > 1000 * LOOP_AWAY_MS ? late : 0;
}

static inline void *
loop_attend(void *arg)
{
	const struct timespec tick = { .tv_nsec = LOOP_TICK_MS * 1000000 };

	for (;;) {
		nanosleep(&tick, NULL);
		int64_t now_us = (int64_t)(1e6 * loop_clock());

		atomic_fetch_add(&loop_away_us, loop_late(now_us));
		atomic_store(&loop_tick_us, now_us);
	}
	return arg;
}

static inline double
loop_here(void)
{
	int64_t now_us = (int64_t)(1e6 * loop_clock());
	pthread_t thread;

	if (atomic_load(&loop_tick_us) == 0) {
		atomic_store(&loop_tick_us, now_us);
		if (pthread_create(&thread, NULL, loop_attend, NULL) == 0)
			pthread_detach(thread);
	}
	return (double)(now_us - atomic_load(&loop_away_us) - loop_late(now_us)) / 1e6;
}

#endif
