#include "backend_internal.h"

#include "clock.h"
#include "conn.h"

#include <assert.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Calls.
 *
 * A server that answers before it has taken all (too big, or it knows enough) closes its
 * end with our bytes unread, and the next write fails.  What it said is there still: it is
 * read before the failure counts.
 */
enum {
	PIECE_SIZE = 65536,           /* of the message, at a time */
	PIECES_A_TURN = 4,            /* other sessions want to live, too */
	BACKLOG_MAX = 4 * PIECE_SIZE, /* bytes that the kernel has not taken */
	ANSWER_MAX = 1 << 20,         /* bytes that no parser has taken */
	AGAIN_US = 20000,             /* until a full socket is tried again */
	WHY_SIZE = 256,
};

struct backend_call {
	struct backends *backends;
	struct backend_question question;
	backend_done_cb *done;
	void *owner;
	struct backend_server **servers; /* of the question, in its order; held */
	size_t count, at;                /* AT: talks to this one; COUNT: to none */
	bool *asked;                     /* those that have had their chance */
	bool tried;                      /* this one was down */
	struct conn *conn;               /* NULL: not yet, or not any more */
	struct event turn;               /* goes on when the loop turns */
	struct event late;               /* for all of it */
	struct event attempt;            /* for this server */
	int64_t deadline_us;
	uint64_t limit, sent; /* bytes of what is sent of the spool */
	uint64_t dismissed;   /* bytes that came, and are not of the answer */
	bool is_connected, is_sent;
	bool was_connected; /* to any of them */
	char why[WHY_SIZE]; /* what the last one that failed lacked */
};

/* ---- the end of a call ---------------------------------------------------------------- */

static void
forget_conn(struct backend_call *call)
{
	conn_free(call->conn);
	call->conn = NULL;
	call->is_connected = false;
	event_del(&call->attempt);
	event_del(&call->turn);
}

static void
call_free(struct backend_call *call)
{
	forget_conn(call);
	event_del(&call->late);
	for (size_t i = 0; i < call->count; i++)
		backend_server_drop(call->backends, call->servers[i]);
	free(call->servers);
	free(call->asked);
	spool_drop(call->question.message);
	call->backends->calls--;
	free(call);
}

static void
finish(struct backend_call *call, enum backend_end end)
{
	backend_done_cb *done = call->done;
	void *owner = call->owner;
	char why[WHY_SIZE];

	memcpy(why, call->why, sizeof(why));
	call_free(call);
	done(end, end == BACKEND_ANSWERED ? "" : why, owner);
}

static struct backend_server *
server_of(const struct backend_call *call)
{
	assert(call->at < call->count);
	return call->servers[call->at];
}

static void
say_why(struct backend_call *call, const char *what)
{
	snprintf(call->why, sizeof(call->why), "%.120s: %.120s", server_of(call)->name,
	         what);
}

/* ---- the next server ------------------------------------------------------------------ */

static void try_next(struct backend_call *call);
static void prepare(struct backend_call *call);

static void
give_up(struct backend_call *call, bool may_ask_others)
{
	forget_conn(call);
	call->at = call->count;
	if (may_ask_others)
		try_next(call);
	else
		finish(call, BACKEND_FAILED);
}

/* This server has not been reached. */
static void
miss(struct backend_call *call, const char *what)
{
	say_why(call, what);
	backend_server_missed(server_of(call), call->tried, what);
	give_up(call, true);
}

/* This server has, and that was of no use. */
static void
fail(struct backend_call *call, const char *what, bool may_ask_others)
{
	say_why(call, what);
	backend_server_failed(server_of(call), call->tried, what);
	give_up(call, may_ask_others);
}

/* It has gone.  If nothing of an answer has come, another one may answer. */
static void
lose(struct backend_call *call, const char *what)
{
	fail(call, what, conn_received(call->conn) == call->dismissed);
}

/* Index of the next one to ask, or COUNT. */
static size_t
find_ready(const struct backend_call *call)
{
	int64_t now_us = clock_us();

	for (size_t i = 0; i < call->count; i++)
		if (!call->asked[i] &&
		    backend_server_is_ready(call->servers[i], now_us))
			return i;
	return call->count;
}

/* Unless one that was asked has left a word. */
static void
say_nobody(struct backend_call *call)
{
	const struct backend_engine *engine = call->question.engine;

	if (call->why[0])
		return;
	snprintf(call->why, sizeof(call->why),
	         call->count == 0 ? "%s is not in %s" : "no %s answers (%s)",
	         engine->name, engine->option);
}

/* ---- talking -------------------------------------------------------------------------- */

static uint64_t
bytes_to_send(const struct backend_call *call)
{
	const struct spool *message = call->question.message;
	uint64_t all = call->question.with_head ? spool_size(message)
	                                        : spool_message_size(message);

	return all < call->limit ? all : call->limit;
}

static bool
is_all(const struct backend_call *call)
{
	const struct spool *message = call->question.message;

	return call->sent == (call->question.with_head ? spool_size(message)
	                                               : spool_message_size(message));
}

/* False: errno. */
static bool
send_piece(struct backend_call *call, size_t size)
{
	static char scratch[PIECE_SIZE]; /* the loop's alone */
	const struct spool *message = call->question.message;
	uint64_t skip = call->question.with_head
	                        ? 0
	                        : spool_size(message) - spool_message_size(message);
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

/* No server is to blame, and none can help. */
static void
fail_ourselves(struct backend_call *call, const char *what, int error)
{
	snprintf(call->why, sizeof(call->why), "%s: %s", what, strerror(error));
	backend_server_left(server_of(call), call->tried);
	finish(call, BACKEND_FAILED);
}

/* What fits, and no more than one turn may take.  Calls out when it fails. */
static void
send_some(struct backend_call *call)
{
	unsigned pieces = 0;

	while (!call->is_sent && conn_backlog(call->conn) < BACKLOG_MAX &&
	       pieces++ < PIECES_A_TURN) {
		uint64_t rest = bytes_to_send(call) - call->sent;

		if (rest > 0 &&
		    !send_piece(call, rest < PIECE_SIZE ? (size_t)rest : PIECE_SIZE)) {
			fail_ourselves(call, "cannot read the message", errno);
			return;
		}
		if (is_all(call)) {
			call->is_sent = true;
			call->question.engine->end(conn_output(call->conn),
			                           call->owner);
		} else if (rest == 0) {
			break; /* until the owner lets more pass */
		}
	}
	conn_flush(call->conn);
	if (!call->is_sent && bytes_to_send(call) > call->sent &&
	    conn_backlog(call->conn) < BACKLOG_MAX)
		event_active(&call->turn, EV_TIMEOUT, 0);
}

/* It has closed, or soon will, and there was nothing wrong with that. */
static void
connect_again(struct backend_call *call)
{
	forget_conn(call);
	prepare(call);
}

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
		backend_server_answered(server_of(call), call->tried);
		finish(call, BACKEND_ANSWERED);
		return false;
	case BACKEND_UNABLE:
		fail(call, fault_of(call, "it says that it cannot"), true);
		return false;
	case BACKEND_AGAIN:
		connect_again(call);
		return false;
	case BACKEND_BABBLE:
		break;
	}
	fail(call, fault_of(call, "its answer makes no sense"), false);
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
		lose(call, conn_received(conn) > call->dismissed
		                   ? "it has hung up in its answer"
		                   : "it has hung up without an answer");
	else
		send_some(call);
}

static void
on_lost(struct conn *conn, enum conn_end why, int error, void *owner)
{
	struct backend_call *call = owner;

	if (conn_received(conn) > 0 && !hear(call, true))
		return;
	if (why == CONN_UNREACHABLE)
		miss(call, strerror(error));
	else
		lose(call, strerror(error));
}

static void
on_drained(struct conn *conn, void *owner)
{
	struct backend_call *call = owner;

	if (conn_backlog(conn) < BACKLOG_MAX / 2)
		send_some(call);
}

/* One that was down, and may hang, gets half of the time if there are others. */
static void
limit_attempt(struct backend_call *call)
{
	int64_t left_us = call->deadline_us - clock_us();
	struct timeval most;

	event_del(&call->attempt);
	if (!call->tried || left_us <= 0 || find_ready(call) == call->count)
		return;
	left_us /= 2;
	most = (struct timeval){ left_us / 1000000, left_us % 1000000 };
	evtimer_add(&call->attempt, &most);
}

static void
talk(struct backend_call *call)
{
	call->is_connected = call->was_connected = true;
	backend_server_reached(server_of(call), call->tried);
	limit_attempt(call);
	call->question.engine->begin(conn_output(call->conn), call->owner);
	send_some(call);
}

static void
on_connected(struct conn *conn, void *owner)
{
	(void)conn;
	talk(owner);
}

static const struct conn_events events = {
	.connected = on_connected,
	.input = on_input,
	.drained = on_drained,
	.lost = on_lost,
};

/* ---- connecting ----------------------------------------------------------------------- */

static void
wait_until_it_has_room(struct backend_call *call)
{
	const struct timeval pause = { .tv_usec = AGAIN_US };

	evtimer_add(&call->turn, &pause);
}

/* A socket that listens is connected at once, or its queue is full. */
static void
connect_path(struct backend_call *call, const struct sockaddr_un *path)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error;

	if (fd < 0) {
		fail_ourselves(call, "no socket", errno);
		return;
	}
	if (connect(fd, (const struct sockaddr *)path, sizeof(*path)) == 0) {
		call->conn = conn_accepted(call->backends->base, fd, &events, call);
		talk(call);
		return;
	}
	error = errno;
	close(fd);
	if (error == EAGAIN)
		wait_until_it_has_room(call);
	else
		miss(call, strerror(error));
}

static void
connect_addr(struct backend_call *call, const struct addr *to)
{
	const struct conn_source anywhere = { 0 };

	call->conn = conn_connect(call->backends->base, to, &anywhere, &events, call);
	if (!call->conn)
		fail_ourselves(call, "no socket", errno);
}

static void
connect_now(struct backend_call *call)
{
	struct backend_place place;

	if (!backend_place_read(&place, server_of(call)->name,
	                        call->question.engine->port))
		miss(call, "is no address, and no path of a socket");
	else if (addr_family(&place.addr) == AF_UNSPEC)
		connect_path(call, &place.path);
	else
		connect_addr(call, &place.addr);
}

static void
on_attempt_late(int fd, short what, void *arg)
{
	struct backend_call *call = arg;

	(void)fd, (void)what;
	if (call->is_connected)
		lose(call, "no answer in time");
	else
		miss(call, "cannot be reached");
}

static void
on_turn(int fd, short what, void *arg)
{
	struct backend_call *call = arg;

	(void)fd, (void)what;
	if (call->is_connected)
		send_some(call);
	else if (call->at == call->count)
		try_next(call);
	else
		connect_now(call);
}

/* Nothing has been said yet. */
static void
prepare(struct backend_call *call)
{
	const struct timeval most = { backend_pace.connect_us / 1000000,
		                      backend_pace.connect_us % 1000000 };

	call->limit = UINT64_MAX;
	call->sent = call->dismissed = 0;
	call->is_sent = false;
	evtimer_add(&call->attempt, &most);
	connect_now(call);
}

static void
try_next(struct backend_call *call)
{
	call->at = find_ready(call);
	if (call->at == call->count) {
		say_nobody(call);
		finish(call,
		       call->was_connected ? BACKEND_FAILED : BACKEND_UNREACHABLE);
		return;
	}
	call->asked[call->at] = true;
	backend_server_begin(server_of(call), &call->tried);
	prepare(call);
}

/* ---- from outside --------------------------------------------------------------------- */

static void
on_late(int fd, short what, void *arg)
{
	struct backend_call *call = arg;

	(void)fd, (void)what;
	if (call->at < call->count) {
		say_why(call, "no answer in time");
		if (call->is_connected)
			backend_server_failed(server_of(call), call->tried,
			                      "no answer in time");
		else
			backend_server_missed(server_of(call), call->tried,
			                      "cannot be reached");
	}
	finish(call, BACKEND_TIMED_OUT);
}

static void
hold_servers(struct backend_call *call)
{
	const struct backend_question *question = &call->question;

	call->count = call->at = question->servers->count;
	if (call->count == 0)
		return;
	call->servers = xcalloc(call->count, sizeof(call->servers[0]));
	call->asked = xcalloc(call->count, sizeof(call->asked[0]));
	for (size_t i = 0; i < call->count; i++)
		call->servers[i] = backend_server_hold(call->backends, question->engine,
		                                       question->servers->at[i]);
}

struct backend_call *
backend_ask(struct backends *backends, const struct backend_question *question,
            backend_done_cb *done, void *owner)
{
	struct backend_call *call = xcalloc(1, sizeof(*call));
	const struct timeval most = { .tv_sec = question->timeout_s };

	call->backends = backends;
	call->question = *question;
	call->question.message = spool_hold(question->message);
	call->done = done;
	call->owner = owner;
	call->deadline_us = clock_us() + question->timeout_s * 1000000;
	hold_servers(call);
	backends->calls++;
	evtimer_assign(&call->turn, backends->base, on_turn, call);
	evtimer_assign(&call->late, backends->base, on_late, call);
	evtimer_assign(&call->attempt, backends->base, on_attempt_late, call);
	evtimer_add(&call->late, &most);
	event_active(&call->turn, EV_TIMEOUT, 0);
	return call;
}

void
backend_cancel(struct backend_call *call)
{
	if (!call)
		return;
	if (call->at < call->count)
		backend_server_left(server_of(call), call->tried);
	call_free(call);
}

void
backend_limit(struct backend_call *call, uint64_t bytes)
{
	call->limit = bytes;
}

void
backend_dismiss(struct backend_call *call)
{
	call->dismissed = conn_received(call->conn);
}

struct evbuffer *
backend_output(struct backend_call *call)
{
	assert(call->conn);
	return conn_output(call->conn);
}

const char *
backend_server(const struct backend_call *call)
{
	return call->at < call->count ? server_of(call)->name : "";
}

struct backends *
backends_new(struct event_base *base)
{
	struct backends *backends = xcalloc(1, sizeof(*backends));

	backends->base = base;
	TAILQ_INIT(&backends->servers);
	return backends;
}

void
backends_free(struct backends *backends)
{
	if (!backends)
		return;
	assert(backends->calls == 0);
	backend_servers_free(backends);
	free(backends);
}
