#include "check_internal.h"

#include "clock.h"
#include "command.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/sysinfo.h>

/*
 * What is counted while it lasts: sessions of one client, the load, the size of a message.
 * (How much of it comes in the course of time is another check's.)
 */

static void
found(struct check_run *run, enum finding_kind kind, uint64_t is, int64_t most)
{
	run->found->kind = kind;
	snprintf(run->found->name, sizeof(run->found->name),
	         "%" PRIu64 ", limit %" PRId64, is, most);
}

/* ---- sessions ----------------------------------------------------------------------- */

static bool
wants_host(const struct config *cfg)
{
	return cfg->max_per_host > 0;
}

static void
look_at_host(struct check_run *run)
{
	if (run->evidence->of_host > run->cfg->max_per_host)
		found(run, FOUND_MAX_HOST, run->evidence->of_host,
		      run->cfg->max_per_host);
	check_answer(run);
}

const struct check_rule check_limit_host = {
	.name = "max_per_host",
	.stages = STAGE_CONNECT,
	.wanted = wants_host,
	.start = look_at_host,
};

static bool
wants_ident(const struct config *cfg)
{
	return cfg->max_per_ident > 0;
}

static void
look_at_ident(struct check_run *run)
{
	if (run->evidence->of_ident > run->cfg->max_per_ident)
		found(run, FOUND_MAX_IDENT, run->evidence->of_ident,
		      run->cfg->max_per_ident);
	check_answer(run);
}

const struct check_rule check_limit_ident = {
	.name = "max_per_ident",
	.stages = STAGE_CONNECT,
	.wanted = wants_ident,
	.start = look_at_ident,
};

/* ---- the load ------------------------------------------------------------------------ */

/* The kernel reckons it anew every five seconds: to ask once in one is enough.  (Of /proc,
 * where getloadavg(3) looks, there may be nothing in our root.) */
double
check_load(void)
{
	static int64_t asked;
	static double load;
	int64_t now = clock_ms();
	struct sysinfo info;

	if (asked != 0 && now - asked < 1000)
		return load;
	asked = now;
	if (sysinfo(&info) == 0)
		load = (double)info.loads[0] / (1 << SI_LOAD_SHIFT);
	return load;
}

static bool
wants_load(const struct config *cfg)
{
	return cfg->max_load > 0;
}

static void
look_at_load(struct check_run *run)
{
	double load = check_load();

	if (load > (double)run->cfg->max_load) {
		run->found->kind = FOUND_LOAD;
		snprintf(run->found->name, sizeof(run->found->name),
		         "%.2f, limit %" PRId64, load, run->cfg->max_load);
	}
	check_answer(run);
}

const struct check_rule check_limit_load = {
	.name = "max_load",
	.stages = STAGE_CONNECT,
	.wanted = wants_load,
	.start = look_at_load,
};

/* ---- the size that MAIL declares -------------------------------------------------------- */

static bool
wants_size(const struct config *cfg)
{
	return cfg->size_limit > 0;
}

static void
look_at_size(struct check_run *run)
{
	uint64_t size;

	if (command_size(run->evidence->argument, &size) &&
	    size > (uint64_t)run->cfg->size_limit)
		found(run, FOUND_SIZE, size, run->cfg->size_limit);
	check_answer(run);
}

const struct check_rule check_limit_size = {
	.name = "size_limit",
	.stages = STAGE_MAIL,
	.wanted = wants_size,
	.start = look_at_size,
};
