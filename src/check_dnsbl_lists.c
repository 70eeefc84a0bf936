#include "check_dnsbl_internal.h"

#include "clock.h"
#include "stats.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

/*
 * Lists that do not answer.
 *
 * Each client would wait for them in vain, so they are left alone for a while, and one
 * client alone tries again.  There is a record of those only that have failed.
 */
static const struct backoff_pace pace = {
	.patience = 3,
	.first_us = 10000000,
	.most_us = 300000000,
};

enum {
	RECORDS_MAX = 1024, /* no configuration has so many; others are asked as ever */
};

struct record {
	TAILQ_ENTRY(record) link;
	struct backoff backoff;
	bool is_wanted; /* by the configuration that is looked at */
	char name[DNSBL_ZONE_SIZE];
};

struct dnsbl_lists {
	TAILQ_HEAD(, record) records;
	unsigned count;
};

struct dnsbl_lists *
dnsbl_lists_new(void)
{
	struct dnsbl_lists *lists = xcalloc(1, sizeof(*lists));

	TAILQ_INIT(&lists->records);
	return lists;
}

static void
forget(struct dnsbl_lists *lists, struct record *record)
{
	stats_add(STAT_dnsbl_resting, -(int64_t)backoff_rests(&record->backoff));
	TAILQ_REMOVE(&lists->records, record, link);
	lists->count--;
	free(record);
}

void
dnsbl_lists_free(struct dnsbl_lists *lists)
{
	struct record *record, *next;

	if (!lists)
		return;
	for (record = TAILQ_FIRST(&lists->records); record; record = next) {
		next = TAILQ_NEXT(record, link);
		forget(lists, record);
	}
	free(lists);
}

static struct record *
find(const struct dnsbl_lists *lists, const char *name)
{
	struct record *record;

	TAILQ_FOREACH(record, &lists->records, link)
	{
		if (strcasecmp(record->name, name) == 0)
			return record;
	}
	return NULL;
}

/* NULL: there are too many. */
static struct record *
make(struct dnsbl_lists *lists, const char *name)
{
	struct record *record;

	if (lists->count == RECORDS_MAX)
		return NULL;
	record = xcalloc(1, sizeof(*record));
	strncpy(record->name, name, sizeof(record->name) - 1);
	TAILQ_INSERT_HEAD(&lists->records, record, link);
	lists->count++;
	return record;
}

/* ---- reloads -------------------------------------------------------------------------- */

static void
want(struct dnsbl_lists *lists, const struct string_list *list)
{
	struct dnsbl_zone zone;
	struct record *record;

	for (size_t i = 0; i < list->count; i++) {
		if (dnsbl_zone_read(&zone, list->at[i]))
			abort(); /* config.c has seen to it */
		record = find(lists, zone.name);
		if (record)
			record->is_wanted = true;
	}
}

static void
want_those_of(struct config *cfg, void *arg)
{
	want(arg, &cfg->dnsbl);
	want(arg, &cfg->dnswl);
}

void
dnsbl_lists_keep(struct dnsbl_lists *lists, const struct config *cfg)
{
	struct record *record, *next;

	TAILQ_FOREACH(record, &lists->records, link)
	record->is_wanted = false;
	if (cfg->root)
		config_each(cfg->root, want_those_of, lists);
	for (record = TAILQ_FIRST(&lists->records); record; record = next) {
		next = TAILQ_NEXT(record, link);
		if (!record->is_wanted)
			forget(lists, record);
	}
}

/* ---- when they are asked -------------------------------------------------------------- */

enum backoff_turn
dnsbl_lists_turn(struct dnsbl_lists *lists, const char *name)
{
	struct record *record = find(lists, name);

	return record ? backoff_turn(&record->backoff, clock_us()) : BACKOFF_ASK;
}

bool
dnsbl_lists_rests(const struct dnsbl_lists *lists, const char *name)
{
	const struct record *record = find(lists, name);

	return record && backoff_rests(&record->backoff);
}

void
dnsbl_lists_left(struct dnsbl_lists *lists, const char *name, bool tried)
{
	struct record *record = find(lists, name);

	if (record)
		backoff_left(&record->backoff, tried);
}

void
dnsbl_lists_answered(struct dnsbl_lists *lists, const char *name)
{
	struct record *record = find(lists, name);

	if (!record)
		return;
	if (backoff_rests(&record->backoff))
		stats_add(STAT_dnsbl_resting, -1);
	if (backoff_answered(&record->backoff))
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "this list answers again, and is asked"),
		          log_text("list", record->name));
	forget(lists, record);
}

static void
say(const struct record *record, const char *option, const char *why)
{
	log_event(NULL, LOG_TROUBLE_EVENT,
	          log_text("text",
	                   "this list does not answer, and is left alone for a "
	                   "while: on_dnsbl_failed says what becomes of clients "
	                   "meanwhile; see whether it exists still and lets your "
	                   "name servers ask, or take it out of the option"),
	          log_text("list", record->name), log_text("option", option),
	          log_text("why", why));
}

bool
dnsbl_lists_failed(struct dnsbl_lists *lists, const char *name, bool tried,
                   const char *option, const char *why)
{
	struct record *record = find(lists, name) ?: make(lists, name);
	bool rested;

	if (!record)
		return false;
	rested = backoff_rests(&record->backoff);
	if (backoff_failed(&record->backoff, &pace, tried, clock_us()))
		say(record, option, why);
	if (rested || !backoff_rests(&record->backoff))
		return false;
	stats_add(STAT_dnsbl_resting, 1);
	return true;
}
