#ifndef LOOP_H
#define LOOP_H

#include <event2/event.h>
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

#endif
