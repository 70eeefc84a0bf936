#include "events.h"

#include "clock.h"
#include "http.h"
#include "stats.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum {
	CALLS_MOST = 4,  /* under way to one receiver */
	PAUSE_MS = 1000, /* after a failure; twice as long after each further one */
	PAUSE_MOST_MS = 60000,
	PATIENCE_S = 3, /* with receivers when the daemon ends */
	SILENCE_S = 60, /* between two lines about the same trouble */
};

/* One event, until it is taken or dropped. */
struct post {
	struct receiver *receiver;
	struct http_call *call; /* NULL: it waits */
	TAILQ_ENTRY(post) link;
	char *body, *finding;
	struct log_ctx log;
	struct addr client;
	unsigned tries;
	int64_t began_ms;
	int64_t due_ms; /* not before */
};

TAILQ_HEAD(post_list, post);

/* A URL that something is for. */
struct receiver {
	struct events *events;
	TAILQ_ENTRY(receiver) link;
	char *url, *shown; /* without what only the two may know */
	struct post_list waiting, running;
	unsigned waiting_count, running_count;
	unsigned failures;      /* since it has taken or refused one */
	int64_t rests_until_ms; /* because of these */
	struct event *timer;    /* when there is something to be tried again */
};

enum trouble {
	TROUBLE_RETRY,
	TROUBLE_REFUSED,
	TROUBLE_GIVEN_UP,
	TROUBLE_FULL,
	TROUBLE_END,
	TROUBLES
};

static const char *const trouble_words[] = {
	[TROUBLE_RETRY] = "not taken: tried again later",
	[TROUBLE_REFUSED] =
		"dropped: the receiver refuses it, see there for the reason",
	[TROUBLE_GIVEN_UP] = "dropped: not taken, and tried event_retries times again",
	[TROUBLE_FULL] = "dropped: event_queue of them wait for the receiver",
	[TROUBLE_END] = "dropped: the daemon ends",
};

/* After a line about a trouble there are none for a while. */
struct silence {
	struct events *events;
	enum trouble trouble;
	struct event *timer; /* pending: one was just logged */
	unsigned count;      /* since then */
};

struct events {
	struct event_base *base;
	struct http *http; /* NULL until there is something to tell */
	struct events_limits limits;
	char *ca_file;
	TAILQ_HEAD(, receiver) receivers;
	struct silence silences[TROUBLES];
	unsigned count;
	bool out_of_time; /* at the end */
};

static void try_next(struct receiver *receiver);

/* ---- what goes wrong ------------------------------------------------------------- */

static void
silence_tell(struct silence *silence)
{
	if (silence->count == 0)
		return;
	log_event(NULL, LOG_EVENT_FAILED_EVENT,
	          log_text("text", trouble_words[silence->trouble]),
	          log_number("events", silence->count));
	silence->count = 0;
}

static void
on_silence_over(evutil_socket_t fd, short what, void *arg)
{
	struct silence *silence = arg;

	(void)fd, (void)what;
	if (silence->count == 0)
		return;
	silence_tell(silence);
	event_add(silence->timer, &(struct timeval){ .tv_sec = SILENCE_S });
}

/* STATUS 0: there was no answer, and ERROR, unless NULL, says why. */
static void
note(const struct post *post, enum trouble trouble, int status, const char *error)
{
	const struct receiver *receiver = post->receiver;
	struct silence *silence = &receiver->events->silences[trouble];

	if (evtimer_pending(silence->timer, NULL)) {
		silence->count++;
		return;
	}
	log_event(&post->log, LOG_EVENT_FAILED_EVENT,
	          log_text("text", trouble_words[trouble]),
	          log_text("url", receiver->shown), log_text("finding", post->finding),
	          log_addr("client", &post->client),
	          status > 0 ? log_number("status", status) : log_text("error", error));
	event_add(silence->timer, &(struct timeval){ .tv_sec = SILENCE_S });
}

/* ---- one event ------------------------------------------------------------------- */

static struct post *
post_new(struct receiver *receiver, const struct events_subject *subject, char *body)
{
	struct post *post = xcalloc(1, sizeof(*post));

	post->receiver = receiver;
	post->body = body;
	post->finding = xstrdup(subject->finding);
	post->log = *subject->log;
	post->client = *subject->client;
	post->began_ms = clock_ms();
	stats_set(STAT_events_now, ++receiver->events->count);
	return post;
}

static void
post_free(struct post *post)
{
	stats_set(STAT_events_now, --post->receiver->events->count);
	free(post->body);
	free(post->finding);
	free(post);
}

static void
post_drop(struct post *post, enum trouble trouble, int status, const char *error)
{
	stats_add(STAT_events_dropped, 1);
	note(post, trouble, status, error);
	post_free(post);
}

static void
post_wait(struct post *post)
{
	TAILQ_INSERT_TAIL(&post->receiver->waiting, post, link);
	post->receiver->waiting_count++;
}

static void
post_leave(struct post *post)
{
	struct receiver *receiver = post->receiver;

	TAILQ_REMOVE(&receiver->waiting, post, link);
	receiver->waiting_count--;
}

static void
log_taken(const struct post *post, int status)
{
	log_event(&post->log, LOG_EVENT_EVENT, log_text("url", post->receiver->shown),
	          log_text("finding", post->finding), log_addr("client", &post->client),
	          log_number("status", status), log_number("tries", post->tries),
	          log_number("ms", clock_ms() - post->began_ms));
}

/* ---- receivers ------------------------------------------------------------------- */

/* Scheme, host and port: what comes behind may be a secret. */
static char *
shown_of(const char *url)
{
	const char *host = strstr(url, "//");

	assert(host);
	host += 2;
	return xstrndup(url, (size_t)(host - url) + strcspn(host, "/?#"));
}

static void
on_time(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	try_next(arg);
}

static struct receiver *
receiver_of(struct events *events, const char *url)
{
	struct receiver *receiver;

	TAILQ_FOREACH(receiver, &events->receivers, link)
	{
		if (strcmp(receiver->url, url) == 0)
			return receiver;
	}
	receiver = xcalloc(1, sizeof(*receiver));
	receiver->events = events;
	receiver->url = xstrdup(url);
	receiver->shown = shown_of(url);
	receiver->timer = evtimer_new(events->base, on_time, receiver);
	TAILQ_INIT(&receiver->waiting);
	TAILQ_INIT(&receiver->running);
	TAILQ_INSERT_TAIL(&events->receivers, receiver, link);
	return receiver;
}

static void
receiver_free(struct receiver *receiver)
{
	assert(receiver->waiting_count == 0 && receiver->running_count == 0);
	TAILQ_REMOVE(&receiver->events->receivers, receiver, link);
	event_free(receiver->timer);
	free(receiver->url);
	free(receiver->shown);
	free(receiver);
}

/* One that fails is tried with one at a time. */
static bool
is_busy(const struct receiver *receiver)
{
	return receiver->running_count >= (receiver->failures > 0 ? 1 : CALLS_MOST);
}

static bool
rests(const struct receiver *receiver)
{
	return clock_ms() < receiver->rests_until_ms;
}

/* The one that is to be tried first. */
static struct post *
next_of(const struct receiver *receiver)
{
	int64_t now = clock_ms();
	struct post *post, *next = NULL;

	TAILQ_FOREACH(post, &receiver->waiting, link)
	{
		if (post->due_ms <= now)
			return post;
		if (!next || post->due_ms < next->due_ms)
			next = post;
	}
	return next;
}

/* When NEXT can be tried. */
static void
wake_for(struct receiver *receiver, const struct post *next)
{
	int64_t at = next->due_ms > receiver->rests_until_ms ? next->due_ms
	                                                     : receiver->rests_until_ms;
	int64_t left = at - clock_ms() + 1;

	left = left > 1 ? left : 1;
	event_add(receiver->timer, &(struct timeval){ .tv_sec = left / 1000,
	                                              .tv_usec = left % 1000 * 1000 });
}

/* ---- trying ---------------------------------------------------------------------- */

/* After so many failures. */
static int64_t
pause_ms(unsigned failures)
{
	int64_t pause = PAUSE_MS;

	while (--failures > 0 && pause < PAUSE_MOST_MS)
		pause *= 2;
	return pause < PAUSE_MOST_MS ? pause : PAUSE_MOST_MS;
}

/* Several that fail together are one failure. */
static void
on_failure(struct post *post, int status, const char *error)
{
	struct receiver *receiver = post->receiver;

	if (!rests(receiver))
		receiver->rests_until_ms = clock_ms() + pause_ms(++receiver->failures);
	if (post->tries > receiver->events->limits.retries) {
		post_drop(post, TROUBLE_GIVEN_UP, status, error);
		return;
	}
	stats_add(STAT_events_retried, 1);
	note(post, TROUBLE_RETRY, status, error);
	post->due_ms = clock_ms() + pause_ms(post->tries);
	post_wait(post);
}

static void
on_answer(struct post *post, int status)
{
	post->receiver->failures = 0;
	post->receiver->rests_until_ms = 0;
	if (status >= 300) {
		post_drop(post, TROUBLE_REFUSED, status, NULL);
		return;
	}
	stats_add(STAT_events, 1);
	log_taken(post, status);
	post_free(post);
}

/* It takes it, or never will. */
static bool
is_final(int status)
{
	return status / 100 == 2 ||
	       (status / 100 == 4 && status != 408 && status != 429);
}

static void
on_done(const struct http_answer *answer, void *arg)
{
	struct post *post = arg;
	struct receiver *receiver = post->receiver;

	post->call = NULL;
	TAILQ_REMOVE(&receiver->running, post, link);
	receiver->running_count--;
	if (is_final(answer->status))
		on_answer(post, answer->status);
	else
		on_failure(post, answer->status, answer->error);
	try_next(receiver);
}

static void
try(struct post *post)
{
	struct receiver *receiver = post->receiver;
	struct events *events = receiver->events;
	static const char *const headers[] = { "Content-Type: application/json", NULL };
	struct http_request request = {
		.url = receiver->url,
		.ca_file = events->ca_file,
		.headers = headers,
		.body = post->body,
		.milliseconds = 1000 * events->limits.seconds,
	};

	if (!events->http)
		events->http = http_new(events->base);
	post_leave(post);
	TAILQ_INSERT_TAIL(&receiver->running, post, link);
	receiver->running_count++;
	post->tries++;
	post->call = http_post(events->http, &request, on_done, post);
}

/* Tries what can be tried now; a receiver that nothing is for is gone then. */
static void
try_next(struct receiver *receiver)
{
	struct post *next = NULL;

	while (!is_busy(receiver) && (next = next_of(receiver))) {
		if (rests(receiver) || next->due_ms > clock_ms()) {
			wake_for(receiver, next);
			return;
		}
		try(next);
	}
	if (receiver->running_count == 0 && receiver->waiting_count == 0)
		receiver_free(receiver);
}

void
events_post(struct events *events, const char *url,
            const struct events_subject *subject, char *body)
{
	struct receiver *receiver = receiver_of(events, url);
	struct post *post = post_new(receiver, subject, body);

	if ((is_busy(receiver) || rests(receiver)) &&
	    receiver->waiting_count >= events->limits.waiting) {
		post_drop(post, TROUBLE_FULL, 0, NULL);
		return;
	}
	post_wait(post);
	try_next(receiver);
}

/* ---- all of them ----------------------------------------------------------------- */

struct events *
events_new(struct event_base *base, const struct events_limits *limits)
{
	struct events *events = xcalloc(1, sizeof(*events));

	events->base = base;
	TAILQ_INIT(&events->receivers);
	for (enum trouble trouble = 0; trouble < TROUBLES; trouble++) {
		struct silence *silence = &events->silences[trouble];

		silence->events = events;
		silence->trouble = trouble;
		silence->timer = evtimer_new(base, on_silence_over, silence);
	}
	events_set(events, limits);
	return events;
}

void
events_set(struct events *events, const struct events_limits *limits)
{
	assert(limits->waiting > 0 && limits->seconds > 0);
	free(events->ca_file);
	events->ca_file = xstrdup(limits->ca_file);
	events->limits = *limits;
	events->limits.ca_file = NULL;
}

static void
drop_all(struct receiver *receiver)
{
	struct silence *silence = &receiver->events->silences[TROUBLE_END];
	struct post *post;

	while ((post = TAILQ_FIRST(&receiver->running))) {
		http_cancel(post->call);
		TAILQ_REMOVE(&receiver->running, post, link);
		receiver->running_count--;
		post_wait(post);
	}
	while ((post = TAILQ_FIRST(&receiver->waiting))) {
		TAILQ_REMOVE(&receiver->waiting, post, link);
		receiver->waiting_count--;
		stats_add(STAT_events_dropped, 1);
		silence->count++;
		post_free(post);
	}
	receiver_free(receiver);
}

static void
on_out_of_time(evutil_socket_t fd, short what, void *arg)
{
	struct events *events = arg;

	(void)fd, (void)what;
	events->out_of_time = true;
}

static void
be_patient(struct events *events)
{
	struct event *limit = evtimer_new(events->base, on_out_of_time, events);

	event_add(limit, &(struct timeval){ .tv_sec = PATIENCE_S });
	while (!TAILQ_EMPTY(&events->receivers) && !events->out_of_time &&
	       event_base_loop(events->base, EVLOOP_ONCE) == 0)
		;
	event_free(limit);
}

void
events_free(struct events *events)
{
	struct receiver *receiver, *next;

	if (!events)
		return;
	be_patient(events);
	for (receiver = TAILQ_FIRST(&events->receivers); receiver; receiver = next) {
		next = TAILQ_NEXT(receiver, link);
		drop_all(receiver);
	}
	for (enum trouble trouble = 0; trouble < TROUBLES; trouble++) {
		silence_tell(&events->silences[trouble]);
		event_free(events->silences[trouble].timer);
	}
	http_free(events->http);
	free(events->ca_file);
	free(events);
}
