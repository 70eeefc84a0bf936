#include "route_internal.h"

#include "conn.h"
#include "stats.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Mode remote: one line asks, one line answers, over a connection of its own.
 */
struct calling {
	struct route_helper helper;
	struct conn *conn;
	bool connected;
};

static void
answered_badly(struct route *route, const char *words)
{
	struct calling *own = route->own;

	route_helper_fail(route, &own->helper, ROUTE_MISMATCH, words);
	route_answered(route);
}

static void
take_line(struct route *route, const char *line)
{
	struct calling *own = route->own;
	struct lookup_answer answer;
	enum lookup_fault fault = lookup_read_answer_line(line, &own->helper.question,
	                                                  &answer);

	switch (fault) {
	case LOOKUP_FINE:
		route_helper_take(route, &own->helper, &answer);
		route_answered(route);
		break;
	case LOOKUP_UNUSABLE:
		answered_badly(route, "names a destination that cannot be one");
		break;
	case LOOKUP_STRANGE:
		answered_badly(route, "answers about another connection");
		break;
	case LOOKUP_MALFORMED:
	case LOOKUP_FORGED:
		answered_badly(route, "answers what cannot be followed");
		break;
	}
}

/* True when the question is over, and ROUTE gone. */
static bool
take_input(struct route *route, bool at_end)
{
	struct calling *own = route->own;
	char line[LOOKUP_LINE_SIZE];

	switch (lookup_take_line(conn_input(own->conn), at_end, line)) {
	case LOOKUP_MORE:
		if (!at_end)
			return false;
		answered_badly(route, "closed without an answer");
		return true;
	case LOOKUP_LINE:
		take_line(route, line);
		return true;
	case LOOKUP_TOO_LONG:
		answered_badly(route, "answers what cannot be followed");
		return true;
	}
	return false;
}

static void
on_connected(struct conn *conn, void *owner)
{
	struct route *route = owner;
	struct calling *own = route->own;

	(void)conn;
	own->connected = true;
}

static void
on_input(struct conn *conn, void *owner)
{
	(void)take_input(owner, conn_at_eof(conn));
}

static void
on_drained(struct conn *conn, void *owner)
{
	(void)conn;
	(void)owner;
}

static void
on_lost(struct conn *conn, enum conn_end why, int error, void *owner)
{
	struct route *route = owner;
	struct calling *own = route->own;
	char words[128];

	(void)why;
	if (evbuffer_get_length(conn_input(conn)) > 0) {
		(void)take_input(route, true);
		return;
	}
	snprintf(words, sizeof(words), "cannot be asked: %s", strerror(error));
	route_helper_fail(route, &own->helper, ROUTE_UNKNOWN, words);
	route_answered(route);
}

static const struct conn_events events = {
	.connected = on_connected,
	.input = on_input,
	.drained = on_drained,
	.lost = on_lost,
};

/* ---- the way ------------------------------------------------------------------------ */

static bool
start(struct route *route)
{
	struct calling *own = xcalloc(1, sizeof(*own));
	struct conn_source from = { 0 };
	char line[LOOKUP_LINE_SIZE];

	route_helper_init(&own->helper, route);
	from.addr = own->helper.from;
	own->conn = conn_connect(route->base, &own->helper.asked, &from, &events,
	                         route);
	if (!own->conn) {
		snprintf(line, sizeof(line), "cannot be asked: %s", strerror(errno));
		route_helper_fail(route, &own->helper, ROUTE_UNKNOWN, line);
		free(own);
		return false;
	}
	route->own = own;
	stats_add(STAT_lookups, 1);
	lookup_write_question_line(&own->helper.question, line);
	evbuffer_add(conn_output(own->conn), line, strlen(line));
	conn_flush(own->conn);
	return true;
}

static void
stop(struct route *route)
{
	struct calling *own = route->own;

	conn_free(own->conn);
	free(own);
}

static void
describe(const struct route *route, struct route_words *words)
{
	const struct calling *own = route->own;
	char asked[ADDR_TEXT_SIZE];

	snprintf(words->text, sizeof(words->text),
	         own->connected ? "the helper at %s has not answered"
	                        : "the helper at %s does not take the call",
	         addr_full(&own->helper.asked, asked));
}

const struct route_way route_by_line = { start, stop, describe };
