#include "statestore_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/*
 * Locks are files that anybody may make, touch or remove: inotify says which, and the
 * directory is read as a whole when it cannot have said all.
 */
#define CHANGES \
	(IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE | IN_MOVE | IN_DELETE_SELF | \
	 IN_MOVE_SELF | IN_ONLYDIR)

enum {
	EVENTS_SIZE = 16384,
	FILES_IN_A_TURN = 256,
	TURN_US = 1000,
};

struct watch {
	char *path;
	const struct watch_ears *ears;
	void *arg;
	int inotify, directory; /* -1: it cannot be had, it is not there */
	struct event *heard, *turn;
	DIR *scanning;
};

/* ---- all of it -------------------------------------------------------------------------- */

static void
scan_end(struct watch *watch)
{
	if (watch->scanning)
		closedir(watch->scanning);
	watch->scanning = NULL;
}

void
watch_scan(struct watch *watch)
{
	scan_end(watch);
	watch->scanning = opendir(watch->path);
	event_active(watch->turn, EV_TIMEOUT, 0);
}

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct watch *watch = arg;
	const struct dirent *file = NULL;

	(void)fd, (void)what;
	for (int i = 0; i < FILES_IN_A_TURN && watch->scanning; i++) {
		file = readdir(watch->scanning);
		if (!file)
			break;
		if (file->d_name[0] != '.')
			watch->ears->seen(file->d_name, watch->arg);
	}
	if (watch->scanning && file) {
		event_add(watch->turn, &(struct timeval){ .tv_usec = TURN_US });
		return;
	}
	scan_end(watch);
	watch->ears->all_seen(watch->arg);
}

/* ---- what changes ----------------------------------------------------------------------- */

/* True: it was about the directory itself, or some were lost. */
static bool
hear(struct watch *watch, const struct inotify_event *event)
{
	if (event->wd != watch->directory && !(event->mask & IN_Q_OVERFLOW))
		return false; /* of a directory that was there before */
	if (event->mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF)) {
		if (!(event->mask & IN_IGNORED))
			inotify_rm_watch(watch->inotify, watch->directory);
		watch->directory = -1;
		return true;
	}
	if (event->mask & IN_Q_OVERFLOW)
		return true;
	if (event->len > 0 && event->name[0] != '.')
		watch->ears->seen(event->name, watch->arg);
	return false;
}

static void
on_heard(evutil_socket_t fd, short what, void *arg)
{
	char events[EVENTS_SIZE]
		__attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t size = read(fd, events, sizeof(events));
	const struct inotify_event *event;
	bool scan = false;

	(void)what;
	for (const char *at = events; size > 0 && at < events + size;
	     at += sizeof(*event) + event->len) {
		event = (const struct inotify_event *)(const void *)at;
		scan |= hear(arg, event);
	}
	if (scan)
		watch_scan(arg);
}

void
watch_tick(struct watch *watch)
{
	if (watch->directory >= 0 || watch->inotify < 0)
		return;
	watch->directory = inotify_add_watch(watch->inotify, watch->path, CHANGES);
	if (watch->directory >= 0)
		watch_scan(watch);
}

/* ---- birth and death -------------------------------------------------------------------- */

struct watch *
watch_new(struct event_base *base, const char *path, const struct watch_ears *ears,
          void *arg)
{
	struct watch *watch = xcalloc(1, sizeof(*watch));

	watch->path = xstrdup(path);
	watch->ears = ears;
	watch->arg = arg;
	watch->directory = -1;
	watch->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	watch->turn = evtimer_new(base, on_turn, watch);
	if (watch->inotify >= 0)
		watch->heard = event_new(base, watch->inotify, EV_READ | EV_PERSIST,
		                         on_heard, watch);
	if (!watch->turn || (watch->inotify >= 0 && !watch->heard))
		abort(); /* there is no memory: see xalloc.h */
	if (watch->heard)
		event_add(watch->heard, NULL);
	watch_tick(watch);
	return watch;
}

bool
watch_hears(const struct watch *watch)
{
	return watch->directory >= 0;
}

void
watch_free(struct watch *watch)
{
	if (!watch)
		return;
	scan_end(watch);
	event_free(watch->turn);
	if (watch->heard)
		event_free(watch->heard);
	if (watch->inotify >= 0)
		close(watch->inotify);
	free(watch->path);
	free(watch);
}
