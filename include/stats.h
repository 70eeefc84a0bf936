#ifndef STATS_H
#define STATS_H

#include <stdint.h>

/*
 * The counters (stats.def).  One set for the process, touched by the loop's thread only.
 */
enum counter {
#define STAT(name, help) STAT_##name,
#include "stats.def"
#undef STAT
	STAT_COUNT
};

void stats_add(enum counter which, int64_t amount);
void stats_set(enum counter which, int64_t value);
int64_t stats_get(enum counter which);
const char *stats_name(enum counter which);
const char *stats_help(enum counter which);

#endif
