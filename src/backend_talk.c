#include "backend_internal.h"

#include "clock.h"

#include <errno.h>
#include <string.h>

/*
 * A talk with one server.
 *
 * A server that answers before it has taken all (too big, or it knows enough) closes its
 * end with our bytes unread, and the next write fails.  What it said is there still: it is
 * read before the failure counts.
 */
enum {
	PIECE_SIZE = 32768,           /* of the message, at a time */
	PIECES_A_TURN = 8,            /* other sessions want to live, too */
	BACKLOG_MAX = 2 * PIECE_SIZE, /* bytes that the kernel has not taken */
	ANSWER_MAX = 1 << 20,         /* bytes that no parser has taken */
};

/* ---- sending -------------------------------------------------------------------------- */

static uint64_t
all_bytes(const struct backend_call *call)
{
	const struct spool *message = call->question.message;

	return call->question.with_head ? spool_size(message)
	                                : spool_message_size(message);
}

/* Bytes to be sent still, for now: the owner may hold some back. */
static uint64_t
bytes_left(const struct backend_call *call)
{
	uint64_t all = all_bytes(call), most = all < call->limit ? all : call->limit;

	return most > call->sent ? most - call->sent : 0;
}

/* False: errno. */
static bool
send_piece(struct backend_call *call, size_t size)
{
	static char scratch[PIECE_SIZE]; /* the loop's alone */
	const struct spool *message = call->question.message;
	uint64_t skip = spool_size(message) - all_bytes(call);
	const char *at = spool_memory(message);

	if (at)
		at += skip + call->sent;
	else if (spool_read(message, scratch, size, skip + call->sent) != (ssize_t)size)
		return false; /* nobody can have shortened it: the disk */
	call->sent += size;
	call->question.engine->piece(conn_output(call->conn), at ? at : scratch, size,
	                             call->owner);
	return true;
}

/* What fits, and no more than one turn may take.  Calls out when it fails. */
void
backend_talk_on(struct backend_call *call)
{
	unsigned pieces = 0;

	while (!call->is_sent && conn_backlog(call->conn) < BACKLOG_MAX &&
	       pieces++ < PIECES_A_TURN) {
		uint64_t rest = bytes_left(call);

		if (rest > 0 &&
		    !send_piece(call, rest < PIECE_SIZE ? (size_t)rest : PIECE_SIZE)) {
			backend_call_fail_ourselves(call, "cannot read the message",
			                            errno);
			return;
		}
		if (call->sent == all_bytes(call)) {
			call->is_sent = true;
			call->question.engine->end(conn_output(call->conn),
			                           call->owner);
		} else if (rest == 0) {
			break; /* until the owner lets more pass */
		}
	}
	conn_flush(call->conn);
	if (!call->is_sent && bytes_left(call) > 0 &&
	    conn_backlog(call->conn) < BACKLOG_MAX)
		event_active(&call->turn, EV_TIMEOUT, 0);
}

/* ---- hearing -------------------------------------------------------------------------- */

static const char *
fault_of(const struct backend_call *call, const char *usual)
{
	const struct backend_engine *with = call->question.engine;
	const char *fault = with->fault ? with->fault(call->owner) : NULL;

	return fault ? fault : usual;
}

/* Reads what has come.  False: the call is over, or talks to another server. */
static bool
hear(struct backend_call *call, bool eof)
{
	struct evbuffer *in = conn_input(call->conn);

	switch (call->question.engine->answer(in, eof, call->owner)) {
	case BACKEND_MORE:
		if (evbuffer_get_length(in) <= ANSWER_MAX)
			return true;
		break;
	case BACKEND_DONE:
		backend_call_answered(call);
		return false;
	case BACKEND_UNABLE:
		backend_call_fail(call, fault_of(call, "it says that it cannot"), true);
		return false;
	case BACKEND_AGAIN:
		backend_call_again(call);
		return false;
	case BACKEND_BABBLE:
		break;
	}
	backend_call_fail(call, fault_of(call, "its answer makes no sense"), false);
	return false;
}

static void
on_input(struct conn *conn, void *owner)
{
	struct backend_call *call = owner;
	bool eof = conn_at_eof(conn);

	if (!hear(call, eof))
		return;
	if (eof)
		backend_call_lose(call, conn_received(conn) > call->dismissed
		                                ? "it has hung up in its answer"
		                                : "it has hung up without an answer");
	else
		backend_talk_on(call);
}

static void
on_lost(struct conn *conn, enum conn_end why, int error, void *owner)
{
	struct backend_call *call = owner;

	if (conn_received(conn) > 0 && !hear(call, true))
		return;
	if (why == CONN_UNREACHABLE)
		backend_call_miss(call, strerror(error));
	else
		backend_call_lose(call, strerror(error));
}

static void
on_drained(struct conn *conn, void *owner)
{
	struct backend_call *call = owner;

	if (conn_backlog(conn) < BACKLOG_MAX / 2)
		backend_talk_on(call);
}

/* ---- the beginning ---------------------------------------------------------------------- */

/* One that was down, and may hang, gets half of the time if there are others. */
static void
limit_attempt(struct backend_call *call)
{
	int64_t left_us = call->deadline_us - clock_us();
	struct timeval most;

	event_del(&call->attempt);
	if (!call->tried || left_us <= 0 || backend_call_next(call) == call->count)
		return;
	left_us /= 2;
	most = (struct timeval){ left_us / 1000000, left_us % 1000000 };
	evtimer_add(&call->attempt, &most);
}

void
backend_talk_begin(struct backend_call *call)
{
	call->is_connected = call->was_connected = true;
	backend_server_reached(backend_call_server(call), call->tried);
	limit_attempt(call);
	call->question.engine->begin(conn_output(call->conn), call->owner);
	backend_talk_on(call);
}

static void
on_connected(struct conn *conn, void *owner)
{
	(void)conn;
	backend_talk_begin(owner);
}

const struct conn_events backend_talk_events = {
	.connected = on_connected,
	.input = on_input,
	.drained = on_drained,
	.lost = on_lost,
};
