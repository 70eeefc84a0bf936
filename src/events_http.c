#include "events_internal.h"

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
	ANSWER_MAX = 65536, /* bytes, headers included: nobody reads it */
	IDLE_MOST = 8,      /* connections that are kept for the next one */
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
	struct curl_slist *headers;
	struct event *timer; /* when libcurl wants to look again */
	TAILQ_HEAD(, http_socket) sockets;
	unsigned calls;
};

struct http_call {
	struct http *http;
	CURL *easy;
	http_done_cb *done;
	void *arg;
	size_t answered; /* bytes */
	char error[CURL_ERROR_SIZE];
};

/* ---- one call -------------------------------------------------------------------- */

/* Enough is known of an answer that is longer: its status. */
static size_t
on_answer(char *at, size_t one, size_t size, void *arg)
{
	struct http_call *call = arg;

	(void)at;
	call->answered += one * size;
	return call->answered > ANSWER_MAX ? 0 : one * size;
}

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
set_ears(struct http_call *call)
{
	CURL *easy = call->easy;

	return curl_easy_setopt(easy, CURLOPT_PRIVATE, call) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_WRITEDATA, call) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_answer) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_HEADERDATA, call) == CURLE_OK;
}

static bool
set_request(CURL *easy, const struct http *http, const struct http_request *request)
{
	long size = (long)strlen(request->body);

	return curl_easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_HTTPHEADER, http->headers) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, size) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long)request->seconds) ==
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
	call->easy = curl_easy_init();
	if (!call->easy || !set_manners(call->easy) || !set_ears(call) ||
	    !set_request(call->easy, http, request) ||
	    curl_multi_add_handle(http->multi, call->easy) != CURLM_OK)
		abort(); /* there is no memory: see xalloc.h */
	http->calls++;
	return call;
}

void
http_cancel(struct http_call *call)
{
	if (!call)
		return;
	curl_multi_remove_handle(call->http->multi, call->easy);
	curl_easy_cleanup(call->easy);
	call->http->calls--;
	free(call);
}

/* An answer whose status is there is one, whatever comes, or does not, behind that. */
static void
finish(struct http_call *call, CURLcode result)
{
	http_done_cb *done = call->done;
	void *arg = call->arg;
	char error[CURL_ERROR_SIZE];
	long status = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status < 200)
		status = 0;
	snprintf(error, sizeof(error), "%s",
	         call->error[0] ? call->error : curl_easy_strerror(result));
	http_cancel(call);
	done((int)status, error, arg);
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

	(void)multi;
	if (milliseconds < 0)
		evtimer_del(http->timer);
	else
		event_add(http->timer,
		          &(struct timeval){ .tv_sec = milliseconds / 1000,
		                             .tv_usec = milliseconds % 1000 * 1000 });
	return 0;
}

/* ---- birth and death ------------------------------------------------------------- */

/* Without "Expect:" a receiver would be asked before a longer one. */
static void
add_headers(struct http *http)
{
	static const char *const headers[] = { "Content-Type: application/json",
		                               "Accept:", "Expect:" };

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		http->headers = curl_slist_append(http->headers, headers[i]);
}

static bool
set_up(struct http *http)
{
	CURLM *multi = http->multi;

	return http->timer && multi && http->headers &&
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
	add_headers(http);
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
	curl_slist_free_all(http->headers);
	free(http);
	curl_global_cleanup();
}
