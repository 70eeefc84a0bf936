#include "http.h"

#include <assert.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

/*
 * libcurl's multi interface, in the loop.
 */
enum {
	UNREAD_MAX = 65536,  /* bytes of an answer that nobody reads */
	HEADERS_MAX = 65536, /* bytes of its headers */
	IDLE_MOST = 8,       /* connections that are kept for the next one */
	FORGOTTEN_MS = 100,  /* after its time: libcurl has forgotten the call */
};

/* A socket of libcurl's. */
struct http_socket {
	struct http *http;
	struct event *event;
	TAILQ_ENTRY(http_socket) link;
};

struct http {
	struct event_base *base;
	CURLM *multi;
	struct event *timer; /* when libcurl wants to look again */
	TAILQ_HEAD(, http_socket) sockets;
	unsigned calls;
};

struct http_call {
	struct http *http;
	CURL *easy;
	struct event *time_up;
	struct curl_slist *headers;
	struct spool *message;  /* that is posted; NULL: there is none */
	uint64_t sent, to_send; /* bytes of what is posted */
	http_done_cb *done;
	void *arg;
	char *answer; /* if somebody reads it */
	size_t answered, answer_room, answer_most;
	size_t headers_answered; /* bytes */
	bool is_too_long;        /* the answer */
	bool is_early;           /* and before we had said all */
	char error[CURL_ERROR_SIZE];
};

/* ---- what is sent ---------------------------------------------------------------- */

static size_t
on_more_wanted(char *to, size_t one, size_t size, void *arg)
{
	struct http_call *call = arg;
	ssize_t got = spool_read_message(call->message, to, one * size, call->sent);

	if (got < 0)
		return CURL_READFUNC_ABORT;
	call->sent += (uint64_t)got;
	return (size_t)got;
}

/* A connection that was kept may turn out to be closed: then it is sent once more. */
static int
on_rewind(void *arg, curl_off_t offset, int origin)
{
	struct http_call *call = arg;

	if (origin != SEEK_SET || offset < 0)
		return CURL_SEEKFUNC_FAIL;
	call->sent = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static bool
set_message(struct http_call *call)
{
	CURL *easy = call->easy;

	return curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_more_wanted) ==
	               CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_READDATA, call) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_rewind) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_SEEKDATA, call) == CURLE_OK;
}

static bool
set_content(struct http_call *call, const struct http_request *request)
{
	CURL *easy = call->easy;

	if (request->body) {
		call->to_send = strlen(request->body);
		return curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body) ==
		               CURLE_OK &&
		       curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
		                        (curl_off_t)call->to_send) == CURLE_OK;
	}
	call->message = spool_hold(request->message);
	call->to_send = spool_message_size(call->message);
	return set_message(call) &&
	       curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
	                        (curl_off_t)call->to_send) == CURLE_OK;
}

/* ---- what is answered ------------------------------------------------------------ */

/* Twice as much each time: nothing that the other side says makes room before it came. */
static void
make_room(struct http_call *call, size_t more)
{
	size_t need = call->answered + more;

	if (need <= call->answer_room)
		return;
	call->answer_room = need > 2 * call->answer_room ? need : 2 * call->answer_room;
	call->answer = xrealloc(call->answer, call->answer_room);
}

/* If nobody reads it, enough is known of an answer that is longer: its status. */
static size_t
on_answer(char *at, size_t one, size_t size, void *arg)
{
	struct http_call *call = arg;
	size_t more = one * size;

	if (call->message && call->sent < call->to_send)
		call->is_early = true;
	if (more >
	    (call->answer_most > 0 ? call->answer_most : UNREAD_MAX) - call->answered) {
		call->is_too_long = true;
		return 0;
	}
	if (call->answer_most > 0) {
		make_room(call, more);
		memcpy(call->answer + call->answered, at, more);
	}
	call->answered += more;
	return more;
}

static size_t
on_header(char *at, size_t one, size_t size, void *arg)
{
	struct http_call *call = arg;

	(void)at;
	call->headers_answered += one * size;
	if (call->headers_answered <= HEADERS_MAX)
		return one * size;
	call->is_too_long = true;
	return 0;
}

static bool
set_ears(struct http_call *call)
{
	CURL *easy = call->easy;

	return curl_easy_setopt(easy, CURLOPT_PRIVATE, call) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_WRITEDATA, call) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_HEADERDATA, call) == CURLE_OK;
}

/* ---- one call -------------------------------------------------------------------- */

static void on_time_up(evutil_socket_t fd, short what, void *arg);

/* What starts programs must not leave our connections to them. */
static curl_socket_t
on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	(void)arg, (void)purpose;
	return socket(address->family, address->socktype | SOCK_CLOEXEC,
	              address->protocol);
}

/* With QUICK_EXIT a thread that still looks up a name is left to itself when time is up:
 * else the loop would wait for it. */
static bool
set_manners(CURL *easy)
{
	return curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") ==
	               CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
	                        (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_USERAGENT,
	                        "smtp-gated/" PROGRAM_VERSION) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open) == CURLE_OK;
}

static bool
add_header(struct http_call *call, const char *header)
{
	struct curl_slist *longer = curl_slist_append(call->headers, header);

	assert(!strpbrk(header, "\r\n"));
	if (longer)
		call->headers = longer;
	return longer != NULL;
}

/* Without "Expect:" a server would be asked before a longer one. */
static bool
set_headers(struct http_call *call, const struct http_request *request)
{
	for (const char *const *at = request->headers; *at; at++)
		if (!add_header(call, *at))
			return false;
	return add_header(call, "Accept:") && add_header(call, "Expect:") &&
	       curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers) ==
	               CURLE_OK;
}

static struct timeval
time_of(long milliseconds)
{
	return (struct timeval){ .tv_sec = milliseconds / 1000,
		                 .tv_usec = milliseconds % 1000 * 1000 };
}

/* libcurl 7.88 forgets CURLOPT_TIMEOUT_MS when another of its timers is late and comes in
 * the millisecond before it: such a call would not end.  So we look, too, a moment later,
 * for libcurl knows more of what took so long. */
static bool
set_limits(struct http_call *call, const struct http_request *request)
{
	unsigned connect = request->connect_ms > 0 ? request->connect_ms
	                                           : request->milliseconds;
	struct timeval later = time_of((long)request->milliseconds + FORGOTTEN_MS);

	call->time_up = evtimer_new(call->http->base, on_time_up, call);
	return call->time_up && event_add(call->time_up, &later) == 0 &&
	       curl_easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect) ==
	               CURLE_OK &&
	       curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS,
	                        (long)request->milliseconds) == CURLE_OK;
}

static bool
set_receiver(CURL *easy, const struct http_request *request)
{
	return curl_easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, request->unix_path) ==
	               CURLE_OK &&
	       (!request->ca_file[0] ||
	        curl_easy_setopt(easy, CURLOPT_CAINFO, request->ca_file) == CURLE_OK);
}

struct http_call *
http_post(struct http *http, const struct http_request *request, http_done_cb *done,
          void *arg)
{
	struct http_call *call = xcalloc(1, sizeof(*call));

	call->http = http;
	call->done = done;
	call->arg = arg;
	call->answer_most = request->answer_most;
	call->easy = curl_easy_init();
	if (!call->easy || !set_manners(call->easy) || !set_ears(call) ||
	    !set_receiver(call->easy, request) || !set_headers(call, request) ||
	    !set_content(call, request) || !set_limits(call, request) ||
	    curl_multi_add_handle(http->multi, call->easy) != CURLM_OK)
		abort(); /* there is no memory: see xalloc.h */
	http->calls++;
	return call;
}

static void
call_free(struct http_call *call)
{
	curl_slist_free_all(call->headers);
	spool_drop(call->message);
	free(call->answer);
	free(call);
}

/* Out of libcurl's hands, and no longer one of those under way. */
static void
take_out(struct http_call *call)
{
	event_free(call->time_up);
	curl_multi_remove_handle(call->http->multi, call->easy);
	curl_easy_cleanup(call->easy);
	call->easy = NULL;
	call->http->calls--;
}

void
http_cancel(struct http_call *call)
{
	if (!call)
		return;
	take_out(call);
	call_free(call);
}

static const char *
error_of(const struct http_call *call, CURLcode result)
{
	if (call->is_too_long)
		return "its answer is too long";
	if (call->is_early || result == CURLE_OK)
		return "it answered before it had all of the message";
	return call->error[0] ? call->error : curl_easy_strerror(result);
}

/* An answer whose status is there is one, whatever comes, or does not, behind that; for
 * those who read it, only a whole one is. */
static void
finish(struct http_call *call, CURLcode result)
{
	struct http_answer answer = { .body = call->answer, .size = call->answered };
	curl_off_t sent = 0, connected_us = 0;
	long status = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(call->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	curl_easy_getinfo(call->easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
	answer.was_connected = connected_us > 0;
	answer.was_timed_out = result == CURLE_OPERATION_TIMEDOUT;
	answer.status = status < 200 ? 0 : (int)status;
	answer.is_whole = call->answer_most > 0 && answer.status > 0 &&
	                  result == CURLE_OK && !call->is_early &&
	                  (uint64_t)sent == call->to_send;
	answer.error = error_of(call, result);
	take_out(call);
	call->done(&answer, call->arg);
	call_free(call);
}

static void
on_time_up(evutil_socket_t fd, short what, void *arg)
{
	struct http_call *call = arg;

	(void)fd, (void)what;
	snprintf(call->error, sizeof(call->error), "it took too long");
	finish(call, CURLE_OPERATION_TIMEDOUT);
}

/* ---- the loop and libcurl -------------------------------------------------------- */

static void
act(struct http *http, curl_socket_t fd, int what)
{
	struct CURLMsg *message;
	struct http_call *call;
	int count;

	curl_multi_socket_action(http->multi, fd, what, &count);
	while ((message = curl_multi_info_read(http->multi, &count))) {
		CURLcode result = message->data.result;

		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
		finish(call, result);
	}
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	const struct http_socket *sock = arg;

	act(sock->http, fd,
	    (what & EV_READ ? CURL_CSELECT_IN : 0) |
	            (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void
socket_forget(struct http_socket *sock)
{
	if (!sock)
		return;
	TAILQ_REMOVE(&sock->http->sockets, sock, link);
	event_free(sock->event);
	free(sock);
}

static struct http_socket *
socket_new(struct http *http, curl_socket_t fd, short what)
{
	struct http_socket *sock = xcalloc(1, sizeof(*sock));

	sock->http = http;
	sock->event = event_new(http->base, fd, (short)(what | EV_PERSIST), on_socket,
	                        sock);
	if (!sock->event)
		abort(); /* there is no memory: see xalloc.h */
	event_add(sock->event, NULL);
	TAILQ_INSERT_TAIL(&http->sockets, sock, link);
	return sock;
}

/* libcurl wants to know of one of its sockets; it tells before it closes it. */
static int
on_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct http *http = arg;
	struct http_socket *sock = NULL;

	(void)easy;
	socket_forget(known);
	if (what != CURL_POLL_REMOVE)
		sock = socket_new(http, fd,
		                  (short)((what & CURL_POLL_IN ? EV_READ : 0) |
		                          (what & CURL_POLL_OUT ? EV_WRITE : 0)));
	curl_multi_assign(http->multi, fd, sock);
	return 0;
}

static int
on_timer_wanted(CURLM *multi, long milliseconds, void *arg)
{
	struct http *http = arg;
	struct timeval when = time_of(milliseconds);

	(void)multi;
	if (milliseconds < 0)
		evtimer_del(http->timer);
	else
		event_add(http->timer, &when);
	return 0;
}

/* ---- birth and death ------------------------------------------------------------- */

static bool
set_up(struct http *http)
{
	CURLM *multi = http->multi;

	return http->timer && multi &&
	       curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_wanted) ==
	               CURLM_OK &&
	       curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, http) == CURLM_OK &&
	       curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted) ==
	               CURLM_OK &&
	       curl_multi_setopt(multi, CURLMOPT_TIMERDATA, http) == CURLM_OK &&
	       curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)IDLE_MOST) ==
	               CURLM_OK;
}

struct http *
http_new(struct event_base *base)
{
	struct http *http = xcalloc(1, sizeof(*http));

	http->base = base;
	TAILQ_INIT(&http->sockets);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		abort(); /* there is no memory: see xalloc.h */
	http->multi = curl_multi_init();
	http->timer = evtimer_new(base, on_timer, http);
	if (!set_up(http))
		abort(); /* the same */
	return http;
}

void
http_free(struct http *http)
{
	struct http_socket *sock, *next;

	if (!http)
		return;
	assert(http->calls == 0);
	curl_multi_cleanup(http->multi);
	for (sock = TAILQ_FIRST(&http->sockets); sock; sock = next) {
		next = TAILQ_NEXT(sock, link);
		socket_forget(sock);
	}
	event_free(http->timer);
	free(http);
	curl_global_cleanup();
}
