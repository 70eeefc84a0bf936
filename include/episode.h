#ifndef EPISODE_H
#define EPISODE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Trouble that comes, stays for a while, and goes: said when it begins and when it is over,
 * not each time that it is met.  One that comes and goes and comes is said once a minute.
 *
 * { 0 } is no trouble.  Any thread, but one at a time.
 */
struct episode {
	int error;		/* the errno that was told last; 0: none ever */
	int64_t told_at;	/* ms, monotonic */
	bool told;		/* that it began: so its end is told as well */
	uint64_t met;		/* times since it was told to have ended */
};

/* ERROR (an errno) was met.  True: say so. */
bool episode_meets(struct episode *episode, int error);

/* What failed has worked.  True: say so; it had failed MET times. */
bool episode_ends(struct episode *episode, uint64_t *met);

#endif
