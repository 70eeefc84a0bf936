#include "check_clamav_internal.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/*
 * inotify, to know early.  It may miss changes (on network file systems, below links that
 * are turned, when it has run out of watches): somebody must look now and then all the
 * same.
 *
 * A writer that never rests costs us one wakeup between two calls of
 * clamav_watch_listen(): then we do not listen, and the kernel keeps no more than
 * max_queued_events.
 */

#define ON_SELF \
	(IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVE | \
	 IN_DELETE_SELF | IN_MOVE_SELF)
#define ON_PARENT (IN_CREATE | IN_DELETE | IN_MOVE | IN_ATTRIB | IN_ONLYDIR)

enum {
	EVENTS_SIZE = 16384,
	/* What max_queued_events (16384) may have kept. */
	DRAIN_MOST = 64,
};

struct clamav_watch {
	int inotify; /* -1: it cannot be had */
	int self, parent;
	char *name; /* of the path, in its parent */
	struct event_base *base;
	struct event *heard;
	void (*changed)(void *arg);
	void *arg;
};

static bool
is_about_us(const struct clamav_watch *watch, const struct inotify_event *event)
{
	if (event->mask & IN_IGNORED)
		return false;
	if (event->wd == watch->self) /* or its own, then without a name */
		return event->len == 0 || clamav_files_is_database(event->name);
	if (event->wd == watch->parent)
		return event->len > 0 && strcmp(event->name, watch->name) == 0;
	return true; /* of a watch that we have not been told of yet, or lost events */
}

/* False: there was nothing to read.  FOUND becomes true if something was about us. */
static bool
read_events(const struct clamav_watch *watch, bool *found)
{
	char events[EVENTS_SIZE]
		__attribute__((aligned(__alignof__(struct inotify_event))));
	const struct inotify_event *event;
	ssize_t size = read(watch->inotify, events, sizeof events);

	for (const char *at = events; size > 0 && at < events + size;
	     at += sizeof *event + event->len) {
		event = (const struct inotify_event *)(const void *)at;
		*found |= is_about_us(watch, event);
	}
	return size > 0;
}

static void
on_heard(int fd, short what, void *arg)
{
	struct clamav_watch *watch = arg;
	bool found = false;

	(void)fd;
	(void)what;
	read_events(watch, &found);
	if (!found)
		return;
	event_del(watch->heard);
	watch->changed(watch->arg);
}

/* If not: looking now and then must do. */
static void
try_inotify(struct clamav_watch *watch)
{
	watch->self = watch->parent = -1;
	watch->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (watch->inotify < 0)
		return;
	watch->heard = event_new(watch->base, watch->inotify, EV_READ | EV_PERSIST,
	                         on_heard, watch);
	if (!watch->heard)
		abort(); /* there is no memory: see xalloc.h */
}

struct clamav_watch *
clamav_watch_new(struct event_base *base, void (*changed)(void *arg), void *arg)
{
	struct clamav_watch *watch = xcalloc(1, sizeof *watch);

	watch->base = base;
	watch->changed = changed;
	watch->arg = arg;
	watch->name = xstrdup("");
	try_inotify(watch);
	return watch;
}

void
clamav_watch_free(struct clamav_watch *watch)
{
	if (!watch)
		return;
	if (watch->heard)
		event_free(watch->heard);
	if (watch->inotify >= 0)
		close(watch->inotify);
	free(watch->name);
	free(watch);
}

struct clamav_aim
clamav_watch_listen(struct clamav_watch *watch)
{
	struct clamav_aim aim = { .self = -1, .parent = -1 };
	bool found = false;

	if (watch->inotify < 0)
		try_inotify(watch);
	aim.inotify = watch->inotify;
	if (watch->inotify < 0) {
		aim.error = errno;
		return aim;
	}
	for (int i = 0; i < DRAIN_MOST && read_events(watch, &found); i++)
		continue;
	event_add(watch->heard, NULL);
	return aim;
}

void
clamav_watch_aim(struct clamav_aim *aim, const char *path)
{
	char *copy;

	if (aim->inotify < 0)
		return;
	copy = xstrdup(path);
	aim->parent = inotify_add_watch(aim->inotify, dirname(copy), ON_PARENT);
	free(copy);
	aim->self = inotify_add_watch(aim->inotify, path, ON_SELF);
	/* What is not there is said by others; its parent tells when it comes. */
	if (aim->self < 0 && (errno != ENOENT || aim->parent < 0))
		aim->error = errno;
}

static void
forget(const struct clamav_watch *watch, int old, const struct clamav_aim *aim)
{
	if (old >= 0 && old != aim->self && old != aim->parent)
		(void)inotify_rm_watch(watch->inotify, old); /* or it has gone itself */
}

void
clamav_watch_aimed(struct clamav_watch *watch, const struct clamav_aim *aim,
                   const char *path)
{
	char *copy;

	if (watch->inotify < 0)
		return;
	forget(watch, watch->self, aim);
	forget(watch, watch->parent, aim);
	watch->self = aim->self;
	watch->parent = aim->parent;
	copy = xstrdup(path);
	free(watch->name);
	watch->name = xstrdup(basename(copy));
	free(copy);
}
