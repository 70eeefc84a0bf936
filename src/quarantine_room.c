#include "quarantine_internal.h"

#include "stats.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum {
	STEP_NAMES = 128, /* looked at in a step */
	STEP_DROPS = 32,  /* messages removed in a step */
	SCAN_LEAST = 5,   /* seconds between two looks at all names */
	SCAN_MOST = 3600,
};

/* ---- what there is -------------------------------------------------------------------- */

static void
count(const struct room *room)
{
	stats_set(STAT_quarantine_now, (int64_t)room->kept.messages);
	stats_set(STAT_quarantine_bytes, (int64_t)room->kept.charge);
}

void
room_add(struct room *room, const char *id, uint64_t size)
{
	struct store_entry entry = store_entry(id, size);

	store_list_add(&room->kept, &entry);
	count(room);
}

void
room_forget(struct room *room, const char *id)
{
	store_list_forget(&room->kept, id);
	count(room);
}

static struct timespec
change_time(const struct room *room)
{
	struct stat info = { 0 };

	(void)fstat(room->directory, &info);
	return info.st_mtim;
}

void
room_before_change(struct room *room)
{
	struct timespec now = change_time(room);

	room->is_shared |= now.tv_sec != room->changed.tv_sec ||
	                   now.tv_nsec != room->changed.tv_nsec;
}

void
room_after_change(struct room *room)
{
	room->changed = change_time(room);
}

/* ---- looking at all names ----------------------------------------------------------------- */

static void
scan_open(struct room *room)
{
	room->waits = false;
	room->is_shared = false;
	room_after_change(room);
	room->scan = store_scan_begin(room->directory);
	if (!room->scan)
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "cannot see what is in the quarantine"),
		          log_text("quarantine_path", room->path), log_error(errno));
}

/* It begins with the next second that nothing is being written: then names tell what can be
 * found from what is kept meanwhile. */
static void
scan_when_possible(struct room *room)
{
	if (time(NULL) - room->scanned != -1 && !room->is_busy(NULL, room->arg))
		scan_open(room);
}

static void
note_found(const struct store_entry *entry, void *arg)
{
	struct room *room = arg;

	if (strcmp(entry->id, room->unfound) < 0)
		store_list_add(&room->found, entry);
}

/* True if there is more to come. */
static bool
scan_some(struct room *room)
{
	if (store_scan_some(room->scan, STEP_NAMES, note_found, room))
		return true;
	store_scan_end(room->scan);
	room->scan = NULL;
	for (size_t i = 0; i < room->kept.count; i++)
		if (strcmp(room->kept.at[i].id, room->unfound) >= 0)
			store_list_add(&room->found, &room->kept.at[i]);
	store_list_clear(&room->kept);
	room->kept = room->found;
	room->found = (struct store_list){ 0 };
	count(room);
	return false;
}

static bool
is_scanning(const struct room *room)
{
	return room->scan || room->waits;
}

/* Before any is dropped for its size it should be known what there still is. */
static bool
scan_is_due(struct room *room)
{
	time_t since = time(NULL) - room->scanned;

	room_before_change(room);
	if (is_scanning(room) || (since >= 0 && since < SCAN_LEAST))
		return false;
	return since < 0 || since > SCAN_MOST || room->is_shared;
}

static void
scan_soon(struct room *room)
{
	room->scanned = time(NULL) + 1;
	store_begin_id(room->unfound, room->scanned);
	room->waits = true;
}

/* ---- making room ------------------------------------------------------------------------ */

/* An eighth more while it is looked whether others have made room: no more, for nobody knows
 * how long that takes. */
static bool
is_over(const struct room *room)
{
	uint64_t most = room->limits->size;

	if (is_scanning(room))
		most += most / 8;
	return most > 0 && room->kept.charge > most;
}

/* Why the oldest has to go; NULL: it may stay, or must until it has been written. */
static const char *
why_drop(const struct room *room)
{
	const struct store_entry *oldest = store_list_oldest(&room->kept);
	int64_t age = room->limits->age;
	const char *why = NULL;

	if (!oldest || room->is_stuck)
		return NULL;
	if (age > 0 && store_time(oldest->id) <= time(NULL) - age)
		why = "age";
	else if (is_over(room))
		why = "size";
	return why && !room->is_busy(oldest->id, room->arg) ? why : NULL;
}

struct dropped {
	unsigned count;
	uint64_t bytes;
	char oldest[QUARANTINE_ID_SIZE], newest[QUARANTINE_ID_SIZE];
};

/* What others have removed already makes room as well. */
static void
drop_oldest(struct room *room, struct dropped *dropped)
{
	const struct store_entry *oldest = store_list_oldest(&room->kept);
	bool removed = store_remove(room->directory, oldest->id);

	room->is_stuck = !removed && errno != ENOENT;
	if (room->is_stuck) {
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "a kept message cannot be removed; it will "
		                           "be tried again"),
		          log_text("quarantine_path", room->path),
		          log_text("id", oldest->id), log_error(errno));
		return;
	}
	if (removed) {
		if (dropped->count++ == 0)
			memcpy(dropped->oldest, oldest->id, QUARANTINE_ID_SIZE);
		memcpy(dropped->newest, oldest->id, QUARANTINE_ID_SIZE);
	}
	dropped->bytes += oldest->charge;
	store_list_drop_oldest(&room->kept);
}

/* Those of one reason, so that it can be told in a line. */
static void
drop_some(struct room *room)
{
	struct dropped dropped = { 0 };
	const char *why = why_drop(room);

	room_before_change(room);
	for (unsigned i = 0; i < STEP_DROPS && why_drop(room) == why; i++)
		drop_oldest(room, &dropped);
	room_after_change(room);
	count(room);
	if (dropped.count == 0)
		return;
	stats_add(STAT_quarantine_dropped, dropped.count);
	log_event(NULL, LOG_DISCARDED_EVENT, log_text("why", why),
	          log_number("messages", dropped.count),
	          log_number("bytes", (int64_t)dropped.bytes),
	          log_text("oldest", dropped.oldest),
	          log_text("newest", dropped.newest));
}

/* ---- steps ------------------------------------------------------------------------------- */

enum room_step
room_go_on(struct room *room)
{
	bool more = false;

	if (room->waits)
		scan_when_possible(room);
	if (room->scan)
		more = scan_some(room);
	if (why_drop(room)) {
		if (scan_is_due(room))
			scan_soon(room);
		else
			drop_some(room);
	}
	if (more || why_drop(room))
		return ROOM_MORE;
	return room->waits ? ROOM_LATER : ROOM_DONE;
}

void
room_look(struct room *room)
{
	room->is_stuck = false;
	if (scan_is_due(room))
		scan_soon(room);
}

void
room_open(struct room *room)
{
	memcpy(room->unfound, "~", 2); /* nothing: that is behind all IDs */
	scan_open(room);
	while (room->scan && scan_some(room))
		;
	room->scanned = time(NULL);
}

void
room_close(struct room *room)
{
	store_scan_end(room->scan);
	store_list_clear(&room->kept);
	store_list_clear(&room->found);
}
