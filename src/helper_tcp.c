#include "helper_internal.h"

#include "conn.h"
#include "listener.h"
#include "log.h"

#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

enum {
	CALLERS_MOST = 1000, /* at one time, on one socket */
	SECONDS_MOST = 10,   /* from the call to the end of it */
};

struct caller {
	struct helper_lines *lines;
	struct conn *conn;
	struct event timer;
	struct addr who;
	bool answered;
	LIST_ENTRY(caller) link;
};

struct helper_lines {
	struct helper *helper;
	struct listener *listener;
	unsigned count;
	LIST_HEAD(, caller) callers;
};

static void
caller_free(struct caller *caller)
{
	LIST_REMOVE(caller, link);
	caller->lines->count--;
	evtimer_del(&caller->timer);
	conn_free(caller->conn);
	free(caller);
}

/* ---- one line ----------------------------------------------------------------------- */

/* False: it cannot be followed. */
static bool
answer(struct caller *caller, const char *line)
{
	struct lookup_question question = {
		.client = addr_local(conn_fd(caller->conn)),
		.gateway = caller->who,
	};
	char text[LOOKUP_LINE_SIZE];
	struct lookup_answer found;

	if (lookup_read_question_line(line, &question) != LOOKUP_FINE)
		return false;
	helper_answer(caller->lines->helper, &question, &found);
	lookup_write_answer_line(&question, &found, text);
	evbuffer_add(conn_output(caller->conn), text, strlen(text));
	conn_finish(caller->conn);
	conn_flush(caller->conn);
	caller->answered = true;
	return true;
}

/* The caller ends the call, once it has been answered. */
static void
on_input(struct conn *conn, void *owner)
{
	struct caller *caller = owner;
	char line[LOOKUP_LINE_SIZE];
	enum lookup_step step = LOOKUP_MORE;

	if (!caller->answered)
		step = lookup_take_line(conn_input(conn), conn_at_eof(conn), line);
	if (step == LOOKUP_TOO_LONG || (step == LOOKUP_LINE && !answer(caller, line))) {
		helper_refuse(caller->lines->helper, &caller->who,
		              lookup_fault_words(LOOKUP_MALFORMED));
		caller_free(caller);
		return;
	}
	if (caller->answered)
		evbuffer_drain(conn_input(conn), evbuffer_get_length(conn_input(conn)));
	if (conn_at_eof(conn) && (!caller->answered || conn_finished(conn)))
		caller_free(caller);
}

static void
on_drained(struct conn *conn, void *owner)
{
	on_input(conn, owner);
}

static void
on_lost(struct conn *conn, enum conn_end why, int error, void *owner)
{
	(void)conn;
	(void)why;
	(void)error;
	caller_free(owner);
}

static const struct conn_events events = {
	.input = on_input,
	.drained = on_drained,
	.lost = on_lost,
};

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct caller *caller = arg;

	(void)fd;
	(void)what;
	if (!caller->answered)
		helper_refuse(caller->lines->helper, &caller->who, "too slow");
	caller_free(caller);
}

/* ---- callers ------------------------------------------------------------------------ */

static void
on_accepted(int fd, const struct addr *who, void *arg)
{
	const struct timeval most = { .tv_sec = SECONDS_MOST };
	struct helper_lines *lines = arg;
	struct caller *caller;

	if (!addr_nets_contain(&lines->helper->allowed, who)) {
		helper_refuse(lines->helper, who, "not allowed");
		close(fd);
		return;
	}
	if (lines->count >= CALLERS_MOST) {
		helper_refuse(lines->helper, who, "too many at one time");
		close(fd);
		return;
	}
	caller = xcalloc(1, sizeof(*caller));
	caller->lines = lines;
	caller->who = *who;
	caller->conn = conn_accepted(lines->helper->base, fd, &events, caller);
	evtimer_assign(&caller->timer, lines->helper->base, on_timer, caller);
	evtimer_add(&caller->timer, &most);
	LIST_INSERT_HEAD(&lines->callers, caller, link);
	lines->count++;
}

struct helper_lines *
helper_lines_new(struct helper *helper, int fd)
{
	static const struct listener_events clients = { .accepted = on_accepted };
	struct helper_lines *lines = xcalloc(1, sizeof(*lines));

	lines->helper = helper;
	LIST_INIT(&lines->callers);
	lines->listener = listener_new(helper->base, fd, 1, &clients, lines);
	return lines;
}

void
helper_lines_free(struct helper_lines *lines)
{
	struct caller *next;

	if (!lines)
		return;
	for (struct caller *caller = LIST_FIRST(&lines->callers); caller;
	     caller = next) {
		next = LIST_NEXT(caller, link);
		caller_free(caller);
	}
	listener_free(lines->listener);
	free(lines);
}
