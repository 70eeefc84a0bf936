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
 * Calls: the servers one after another, until one has answered or time is up.
 */
enum {
	AGAIN_US = 20000, /* until what is full is tried again */
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
	char why[BACKEND_WHY_SIZE];

	memcpy(why, call->why, sizeof(why));
	call_free(call);
	done(end, end == BACKEND_ANSWERED ? "" : why, owner);
}

static void
say_why(struct backend_call *call, const char *what)
{
	snprintf(call->why, sizeof(call->why), "%.120s: %.120s",
	         backend_call_server(call)->name, what);
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
void
backend_call_miss(struct backend_call *call, const char *what)
{
	say_why(call, what);
	backend_server_missed(backend_call_server(call), call->tried, what);
	give_up(call, true);
}

/* This server has, and that was of no use. */
void
backend_call_fail(struct backend_call *call, const char *what, bool may_ask_others)
{
	say_why(call, what);
	backend_server_failed(backend_call_server(call), call->tried, what);
	give_up(call, may_ask_others);
}

/* It has gone.  If nothing of an answer has come, another one may answer. */
void
backend_call_lose(struct backend_call *call, const char *what)
{
	backend_call_fail(call, what, conn_received(call->conn) == call->dismissed);
}

void
backend_call_answered(struct backend_call *call)
{
	backend_server_answered(backend_call_server(call), call->tried);
	finish(call, BACKEND_ANSWERED);
}

/* No server is to blame, and none can help. */
void
backend_call_fail_ourselves(struct backend_call *call, const char *what, int error)
{
	snprintf(call->why, sizeof(call->why), "%s: %s", what, strerror(error));
	backend_server_left(backend_call_server(call), call->tried);
	finish(call, BACKEND_FAILED);
}

/* It has closed, or soon will, and there was nothing wrong with that. */
void
backend_call_again(struct backend_call *call)
{
	forget_conn(call);
	prepare(call);
}

/* Index of the next one to ask, or COUNT. */
size_t
backend_call_next(const struct backend_call *call)
{
	int64_t now_us = clock_us();

	for (size_t i = 0; i < call->count; i++)
		if (!call->asked[i] && !backend_server_is_full(call->servers[i]) &&
		    backend_server_is_ready(call->servers[i], now_us))
			return i;
	return call->count;
}

/* True if one would do, if it had not so many calls. */
static bool
is_any_full(const struct backend_call *call)
{
	int64_t now_us = clock_us();

	for (size_t i = 0; i < call->count; i++)
		if (!call->asked[i] && backend_server_is_full(call->servers[i]) &&
		    backend_server_is_ready(call->servers[i], now_us))
			return true;
	return false;
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
		backend_call_fail_ourselves(call, "no socket", errno);
		return;
	}
	if (connect(fd, (const struct sockaddr *)path, sizeof(*path)) == 0) {
		call->conn = conn_accepted(call->backends->base, fd,
		                           &backend_talk_events, call);
		backend_talk_begin(call);
		return;
	}
	error = errno;
	close(fd);
	if (error == EAGAIN)
		wait_until_it_has_room(call);
	else
		backend_call_miss(call, strerror(error));
}

static void
connect_addr(struct backend_call *call, const struct addr *to)
{
	const struct conn_source anywhere = { 0 };

	call->conn = conn_connect(call->backends->base, to, &anywhere,
	                          &backend_talk_events, call);
	if (!call->conn)
		backend_call_fail_ourselves(call, "no socket", errno);
}

static void
connect_now(struct backend_call *call)
{
	struct backend_place place;

	if (!backend_place_read(&place, backend_call_server(call)->name,
	                        call->question.engine->port))
		backend_call_miss(call, "is no address, and no path of a socket");
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
		backend_call_lose(call, "no answer in time");
	else
		backend_call_miss(call, "cannot be reached");
}

static void
on_turn(int fd, short what, void *arg)
{
	struct backend_call *call = arg;

	(void)fd, (void)what;
	if (call->is_connected)
		backend_talk_on(call);
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
	call->at = backend_call_next(call);
	if (call->at == call->count && is_any_full(call)) {
		wait_until_it_has_room(call);
		return;
	}
	if (call->at == call->count) {
		say_nobody(call);
		finish(call,
		       call->was_connected ? BACKEND_FAILED : BACKEND_UNREACHABLE);
		return;
	}
	call->asked[call->at] = true;
	call->begun_us = clock_us();
	backend_server_begin(backend_call_server(call), &call->tried);
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
			backend_server_slow(backend_call_server(call), call->tried,
			                    call->begun_us);
		else
			backend_server_missed(backend_call_server(call), call->tried,
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
	call->servers = xcalloc(call->count, sizeof(struct backend_server *));
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
		backend_server_left(backend_call_server(call), call->tried);
	call_free(call);
}

void
backend_limit(struct backend_call *call, uint64_t bytes)
{
	call->limit = bytes;
}

void
backend_most(struct backend_call *call, unsigned most)
{
	backend_call_server(call)->most = most;
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
	return call->at < call->count ? backend_call_server(call)->name : "";
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
