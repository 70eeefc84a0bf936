#ifndef CLAMAV_WORLD_H
#define CLAMAV_WORLD_H

#include "check_clamav_internal.h"
#include "stats.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * What tests of the check by libclamav have in common: a directory of their own, with
 * signatures and mails, a configuration, and messages that are judged by it.
 */

enum where {
	IN_MEMORY,
	IN_FILE,
};

static char *top; /* mails, signatures, temporary files */
static struct config cfg;
static struct event_base *base;
static struct checks *checks;
static struct spool_budget *budgets[2];

__attribute__((unused)) static double
milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static char *
path_of(const char *name)
{
	return xasprintf("%s/%s", top, name);
}

/* -- the world -------------------------------------------------------------------- */

/* The defaults of options.def, with our directories. */
static void
config_defaults(void)
{
	static const struct config defaults = {
#define OPT_BOOL(name, value, ...) .name = value,
#define OPT_INT(name, value, ...)  .name = value,
#define OPT_REAL(name, value, ...) .name = value,
#define OPT_STR(name, value, ...)  .name = (char *)value,
#define OPT_WORD(name, value, ...) .name = value,
#include "options.def"
	};

	cfg = defaults;
	cfg.antivirus_type = ANTIVIRUS_LIBCLAMAV;
	cfg.signature_path = path_of("db");
	cfg.scan_path = path_of("tmp");
	cfg.scan_workers = 2;
	cfg.lock_duration = 0;
	/* test_check_clamav_reload.c is about changes; nobody else shall look for them. */
	clamav_pace.settle_ms = clamav_pace.tick_ms = 3600000;
}

static int
teardown(void **state)
{
	(void)state;
	umount2(cfg.scan_path, MNT_DETACH); /* of a test that failed */
	free(cfg.signature_path);
	free(cfg.scan_path);
	return 0;
}

static void
world_begin(void)
{
	char why[CLAMAV_WHY_SIZE] = "";

	checks = checks_new(&cfg, why, sizeof why);
	if (!checks || !checks_ready(checks, why, sizeof why))
		fail_msg("%s", why);
	assert_true(checks_start(checks, base, NULL));
	stats_set(STAT_scan_cache_hits, 0);
	stats_set(STAT_scan_cache_misses, 0);
	stats_set(STAT_scan_cache_entries, 0);
}

static void
world_end(void)
{
	checks_free(checks);
	checks = NULL;
	assert_int_equal(stats_get(STAT_scans_now), 0); /* whatever became of them */
}

static struct spool_budget *
new_budget(size_t each, size_t all)
{
	struct spool_limits limits = { .memory_each = each, .memory_all = all };

	limits.path = top;
	return spool_budget_new(base, &limits);
}

static int
group_setup(void **state)
{
	(void)state;
	top = xasprintf("%s/gated-clamav-XXXXXX",
	                getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(top))
		return -1;
	base = event_base_new();
	budgets[IN_MEMORY] = new_budget(64 << 20, 1 << 30);
	budgets[IN_FILE] = new_budget(1, 0);
	return 0;
}

__attribute__((unused)) static int
group_setup_with_mails(void **state)
{
	char *command, *tmp;
	int failed;

	if (group_setup(state) < 0)
		return -1;
	tmp = path_of("tmp");
	command = xasprintf(
		"python3 '%s/test/unit/clamav_mails.py' '%s' && mkdir -m 700 -p '%s'",
		SOURCE_DIR, top, tmp);
	failed = system(command);
	free(command);
	free(tmp);
	return failed ? -1 : 0;
}

static int
group_teardown(void **state)
{
	char *command = xasprintf("rm -rf '%s'", top);
	int result = system(command);

	(void)state;
	spool_budget_free(budgets[IN_MEMORY]);
	spool_budget_free(budgets[IN_FILE]);
	event_base_free(base);
	free(command);
	free(top);
	return result;
}

/* -- messages --------------------------------------------------------------------- */

/* Takes the MESSAGE. */
static struct spool *
spool_of(struct evbuffer *message, enum where where)
{
	char head[CHECK_HEAD_SIZE];
	struct spool *spool = spool_new(budgets[where], head, check_head(&cfg, head),
	                                NULL, NULL);

	assert_int_equal(spool_append(spool, message), SPOOL_OK);
	evbuffer_free(message);
	spool_seal(spool);
	assert_int_equal(spool_memory(spool) == NULL, where == IN_FILE);
	return spool;
}

__attribute__((unused)) static struct spool *
spool_bytes(const char *data, size_t size, enum where where)
{
	struct evbuffer *message = evbuffer_new();

	evbuffer_add_reference(message, data, size, NULL, NULL);
	return spool_of(message, where);
}

/* One that clamav_mails.py made; it is in "mails/" unless the name says where. */
__attribute__((unused)) static char *
mail_bytes(const char *name, size_t *size)
{
	char *path = xasprintf("%s/%s%s", top, strchr(name, '/') ? "" : "mails/", name);
	FILE *file = fopen(path, "rb");
	struct stat stat = { 0 };
	char *data;

	if (!file || fstat(fileno(file), &stat) < 0)
		fail_msg("%s: %s", path, strerror(errno));
	data = xmalloc((size_t)stat.st_size + 1);
	*size = fread(data, 1, (size_t)stat.st_size, file);
	assert_int_equal(*size, stat.st_size);
	fclose(file);
	free(path);
	return data;
}

struct judged {
	struct finding found;
	unsigned calls;
};

/* Other checks look at messages as well; what they find is not asked here. */
static void
judged_cb(const struct findings *found, void *arg)
{
	struct judged *judged = arg;

	for (size_t i = 0; i < found->count; i++) {
		if (strcmp(found->at[i].check, "libclamav") != 0)
			continue;
		judged->found = found->at[i];
		judged->calls++;
	}
}

/* Begins to judge its message, and drops that: the check holds what it needs.  NULL: it was
 * judged at once. */
static struct check_round *
begin_with(const struct evidence *evidence, struct judged *judged)
{
	struct check_round *round;
	struct findings at_once;

	memset(judged, 0, sizeof *judged);
	round = check_start(checks, &cfg, STAGE_MESSAGE, evidence, &at_once, judged_cb,
	                    judged);
	assert_int_equal(judged->calls, 0);
	if (round)
		assert_int_equal(at_once.count, 0);
	else
		judged_cb(&at_once, judged);
	spool_drop(evidence->message);
	return round;
}

__attribute__((unused)) static struct check_round *
begin(struct spool *spool, struct judged *judged)
{
	return begin_with(&(struct evidence){ .message = spool }, judged);
}

static void
finish(const struct judged *judged)
{
	while (judged->calls == 0)
		assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
	assert_int_equal(judged->calls, 1);
	assert_string_equal(judged->found.check, "libclamav");
}

#endif
