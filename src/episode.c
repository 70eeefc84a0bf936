#include "episode.h"

#include "clock.h"

enum {
	SAY_AGAIN_MS = 60000,
};

bool
episode_meets(struct episode *episode, int error)
{
	int64_t now = clock_ms();

	episode->met++;
	if (episode->error == error &&
	    (episode->told || now - episode->told_at < SAY_AGAIN_MS))
		return false;
	episode->error = error;
	episode->told_at = now;
	episode->told = true;
	return true;
}

bool
episode_ends(struct episode *episode, uint64_t *met)
{
	if (!episode->told)
		return false;
	*met = episode->met;
	episode->met = 0;
	episode->told = false;
	return true;
}
