#include "stats.h"

static int64_t counters[STAT_COUNT];

static const struct {
	const char *name, *help;
} rows[] = {
#define STAT(name, help) [STAT_##name] = { #name, help },
#include "stats.def"
#undef STAT
};

void
stats_add(enum counter which, int64_t amount)
{
	counters[which] += amount;
}

void
stats_set(enum counter which, int64_t value)
{
	counters[which] = value;
}

int64_t
stats_get(enum counter which)
{
	return counters[which];
}

const char *
stats_name(enum counter which)
{
	return rows[which].name;
}

const char *
stats_help(enum counter which)
{
	return rows[which].help;
}
