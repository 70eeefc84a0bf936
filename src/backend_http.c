#include "backend_http.h"

#include "backend_internal.h"
#include "clock.h"

#include <assert.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Calls by HTTP: the servers one after another, one POST to each.
 */
enum {
	LEAST_MS = 10, /* that a server gets, however late it is */
	WHY_SIZE = 256,
};

struct backend_post {
	struct backends *backends;
	struct http *http;
	struct backend_post_question question;
	backend_done_cb *done;
	void *owner;
	struct backend_server **servers; /* of the question, in its order; held */
	bool *asked;                     /* those that have had their chance */
	size_t count, at;                /* AT: is asked; COUNT: none is */
	bool tried;                      /* this one was down */
	bool is_cut;                     /* it does not get all of the time */
	bool was_connected;              /* to any of them */
	struct http_call *call;
	struct event turn;             /* goes on when the loop turns */
	int64_t deadline_us, begun_us; /* of this server's turn */
	char why[WHY_SIZE];            /* what the last one that failed lacked */
};

static void try_next(struct backend_post *post);

static struct backend_server *
server_of(const struct backend_post *post)
{
	assert(post->at < post->count);
	return post->servers[post->at];
}

static void
post_free(struct backend_post *post)
{
	http_cancel(post->call);
	event_del(&post->turn);
	for (size_t i = 0; i < post->count; i++)
		backend_server_drop(post->backends, post->servers[i]);
	free(post->servers);
	free(post->asked);
	spool_drop(post->question.message);
	post->backends->calls--;
	free(post);
}

static void
finish(struct backend_post *post, enum backend_end end)
{
	backend_done_cb *done = post->done;
	void *owner = post->owner;
	char why[WHY_SIZE];

	memcpy(why, post->why, sizeof(why));
	post_free(post);
	done(end, end == BACKEND_ANSWERED ? "" : why, owner);
}

/* ---- what comes of one ---------------------------------------------------------------- */

static int64_t
left_ms(const struct backend_post *post)
{
	return (post->deadline_us - clock_us()) / 1000;
}

static void
say_why(struct backend_post *post, const char *what)
{
	snprintf(post->why, sizeof(post->why), "%.100s: %.140s", server_of(post)->name,
	         what);
}

/* This server has not been reached.  Another one may be, if there is time. */
static void
miss(struct backend_post *post, const char *what)
{
	say_why(post, what);
	backend_server_missed(server_of(post), post->tried, what);
	post->at = post->count;
	try_next(post);
}

/* This one has, and that was of no use. */
static void
fail(struct backend_post *post, const char *what)
{
	say_why(post, what);
	backend_server_failed(server_of(post), post->tried, what);
	post->at = post->count;
	try_next(post);
}

/* This one has not answered, and may only be slow. */
static void
give_up(struct backend_post *post)
{
	say_why(post, "no answer in time");
	backend_server_slow(server_of(post), post->tried, post->begun_us);
	post->at = post->count;
	try_next(post);
}

static const char *
fault_of(const struct backend_post *post)
{
	const struct backend_engine *with = post->question.engine;
	const char *fault = with->fault ? with->fault(post->owner) : NULL;

	return fault ? fault : "its answer makes no sense";
}

static void
read_answer(struct backend_post *post, const struct http_answer *answer)
{
	if (post->question.answer(answer->status, answer->body, answer->size,
	                          post->owner) != BACKEND_DONE) {
		fail(post, fault_of(post));
		return;
	}
	backend_server_answered(server_of(post), post->tried);
	finish(post, BACKEND_ANSWERED);
}

static void
on_done(const struct http_answer *answer, void *arg)
{
	struct backend_post *post = arg;

	post->call = NULL;
	post->was_connected |= answer->was_connected;
	if (answer->is_whole)
		read_answer(post, answer);
	else if (!answer->was_connected)
		miss(post, answer->was_timed_out ? "cannot be reached" : answer->error);
	else if (answer->was_timed_out)
		give_up(post);
	else
		fail(post, answer->error);
}

/* ---- one after another ---------------------------------------------------------------- */

/* Index of the next one to ask, or COUNT. */
static size_t
find_ready(const struct backend_post *post)
{
	int64_t now_us = clock_us();

	for (size_t i = 0; i < post->count; i++)
		if (!post->asked[i] &&
		    backend_server_is_ready(post->servers[i], now_us))
			return i;
	return post->count;
}

static bool
ends_with(const char *text, size_t size, const char *end)
{
	size_t length = strlen(end);

	return size >= length && memcmp(text + size - length, end, length) == 0;
}

/* Of SERVER, be it given with the path or without.  To be freed. */
static char *
url_of(const char *server, const char *path)
{
	size_t size = strlen(server);

	if (server[0] == '/')
		return xasprintf("http://localhost%s", path);
	if (ends_with(server, size, path))
		return xstrdup(server);
	while (size > 0 && server[size - 1] == '/')
		size--;
	return xasprintf("%.*s%s", (int)size, server, path);
}

/* One that was down, and may hang, gets half of the time if there are others. */
static void
ask(struct backend_post *post, int64_t left)
{
	const char *name = server_of(post)->name;
	struct http_request request = {
		.url = url_of(name, post->question.path),
		.unix_path = name[0] == '/' ? name : NULL,
		.ca_file = "",
		.headers = post->question.headers,
		.message = post->question.message,
		.connect_ms = (unsigned)(backend_pace.connect_us / 1000),
		.answer_most = post->question.answer_most,
	};

	post->is_cut = post->tried && find_ready(post) != post->count;
	request.milliseconds = (unsigned)(post->is_cut ? (left + 1) / 2 : left);
	post->call = http_post(post->http, &request, on_done, post);
	free((char *)request.url);
}

/* Unless one that was asked has left a word. */
static void
say_nobody(struct backend_post *post)
{
	const struct backend_engine *engine = post->question.engine;

	if (post->why[0])
		return;
	snprintf(post->why, sizeof(post->why),
	         post->count == 0 ? "%s is not in %s" : "no %s answers (%s)",
	         engine->name, engine->option);
}

static void
try_next(struct backend_post *post)
{
	int64_t left = left_ms(post);

	post->at = find_ready(post);
	if (post->at == post->count || left <= 0) {
		say_nobody(post);
		post->at = post->count;
		finish(post, left <= 0             ? BACKEND_TIMED_OUT
		             : post->was_connected ? BACKEND_FAILED
		                                   : BACKEND_UNREACHABLE);
		return;
	}
	post->asked[post->at] = true;
	post->begun_us = clock_us();
	backend_server_begin(server_of(post), &post->tried);
	ask(post, left);
}

static void
on_turn(int fd, short what, void *arg)
{
	(void)fd, (void)what;
	try_next(arg);
}

/* ---- from outside --------------------------------------------------------------------- */

static void
hold_servers(struct backend_post *post)
{
	const struct backend_post_question *question = &post->question;

	post->count = post->at = question->servers->count;
	if (post->count == 0)
		return;
	post->servers = xcalloc(post->count, sizeof(void *));
	post->asked = xcalloc(post->count, sizeof(post->asked[0]));
	for (size_t i = 0; i < post->count; i++)
		post->servers[i] = backend_server_hold(post->backends, question->engine,
		                                       question->servers->at[i]);
}

struct backend_post *
backend_post(struct backends *backends, struct http *http,
             const struct backend_post_question *question, backend_done_cb *done,
             void *owner)
{
	struct backend_post *post = xcalloc(1, sizeof(*post));

	post->backends = backends;
	post->http = http;
	post->question = *question;
	post->question.message = spool_hold(question->message);
	post->done = done;
	post->owner = owner;
	post->deadline_us = clock_us() + question->timeout_s * 1000000;
	hold_servers(post);
	backends->calls++;
	evtimer_assign(&post->turn, backends->base, on_turn, post);
	event_active(&post->turn, EV_TIMEOUT, 0);
	return post;
}

void
backend_post_cancel(struct backend_post *post)
{
	if (!post)
		return;
	if (post->at < post->count)
		backend_server_left(server_of(post), post->tried);
	post_free(post);
}
