#include "memory.h"

enum {
	/* A connection may hold so much of what is left: an eighth.  With so many that
	 * all want more (N), each comes to have 1 / (N + 8) of the limit, and 8 such parts
	 * stay free for those that come next. */
	PART_OF_REST = 8,
};

static uint64_t most_of_all, taken;

void
memory_limit(uint64_t most)
{
	most_of_all = most;
}

void
memory_take(int64_t bytes)
{
	taken += (uint64_t)bytes;
}

uint64_t
memory_taken(void)
{
	return taken;
}

bool
memory_has(uint64_t more)
{
	return most_of_all == 0 || taken + more <= most_of_all;
}

size_t
memory_share(size_t most, size_t least)
{
	uint64_t rest = most_of_all > taken ? most_of_all - taken : 0;

	if (most_of_all == 0 || rest / PART_OF_REST >= most)
		return most;
	if (rest / PART_OF_REST > least)
		return (size_t)(rest / PART_OF_REST);
	return most < least ? most : least;
}
