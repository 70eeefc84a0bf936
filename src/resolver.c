/* Newer versions of c-ares call half of what older ones have deprecated. */
#define CARES_NO_DEPRECATED

#include "resolver.h"

#include "stats.h"

#include <ares.h>
#include <assert.h>
#include <event2/event_struct.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum {
	TRY_MS = 2000, /* until another server is asked; then longer */
	TRIES = 3,
	PORT_QUESTIONS = 50, /* on one UDP port: a forger has to guess it, too */

	CLASS_IN = 1, /* RFC 1035 3.2.4 and 3.2.2 */
	TYPE_A = 1,
	TYPE_PTR = 12,
	TYPE_TXT = 16,
	TYPE_AAAA = 28,
};

/* A socket of c-ares. */
struct resolver_socket {
	struct resolver *resolver;
	ares_socket_t fd;
	struct event *event;
	TAILQ_ENTRY(resolver_socket) link;
};

struct resolver {
	ares_channel channel;
	struct event_base *base; /* NULL until resolver_start() */
	struct event *timer;     /* when c-ares wants to look again */
	TAILQ_HEAD(, resolver_socket) sockets;
	unsigned questions; /* that c-ares works on, the cancelled included */
	unsigned owned;     /* that somebody waits for */
};

/*
 * A question belongs to who asked until it is answered or cancelled, and to c-ares until
 * that has called back; it cannot be taken from c-ares alone.  Who lets go last frees it.
 */
struct resolver_question {
	struct resolver *resolver;
	enum resolver_type type;
	resolver_answer_cb *answered; /* NULL: nobody waits for it any more */
	void *arg;
	struct event event; /* time is up, or made active: the answer is there */
	bool asked;         /* c-ares works on it */
	struct resolver_answer answer;
};

/* ---- the loop and c-ares -------------------------------------------------------- */

static void
timer_set(struct resolver *resolver)
{
	struct timeval left;

	if (ares_timeout(resolver->channel, NULL, &left))
		evtimer_add(resolver->timer, &left);
	else
		evtimer_del(resolver->timer);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct resolver *resolver = arg;

	(void)fd;
	(void)what;
	ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	timer_set(resolver);
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct resolver *resolver = ((struct resolver_socket *)arg)->resolver;

	ares_process_fd(resolver->channel, what & EV_READ ? fd : ARES_SOCKET_BAD,
	                what & EV_WRITE ? fd : ARES_SOCKET_BAD);
	timer_set(resolver);
}

static void
socket_forget(struct resolver_socket *sock)
{
	TAILQ_REMOVE(&sock->resolver->sockets, sock, link);
	event_free(sock->event);
	free(sock);
}

static struct resolver_socket *
socket_find(struct resolver *resolver, ares_socket_t fd)
{
	struct resolver_socket *sock;

	TAILQ_FOREACH(sock, &resolver->sockets, link)
	{
		if (sock->fd == fd)
			return sock;
	}
	sock = xcalloc(1, sizeof(*sock));
	sock->resolver = resolver;
	sock->fd = fd;
	sock->event = event_new(resolver->base, fd, EV_READ, on_socket, sock);
	TAILQ_INSERT_TAIL(&resolver->sockets, sock, link);
	return sock;
}

/* c-ares wants to know of one of its sockets; it tells before it closes it. */
static void
on_wanted(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct resolver_socket *sock = socket_find(arg, fd);
	short what = (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));

	event_del(sock->event);
	if (what == 0) {
		socket_forget(sock);
		return;
	}
	event_assign(sock->event, sock->resolver->base, fd, (short)(what | EV_PERSIST),
	             on_socket, sock);
	event_add(sock->event, NULL);
}

/* ---- answers --------------------------------------------------------------------- */

static void
answer_clear(struct resolver_answer *answer)
{
	for (size_t i = 0; answer->texts && i < answer->count; i++)
		free(answer->texts[i]);
	free(answer->texts);
	free(answer->addrs);
	*answer = (struct resolver_answer){ .result = RESOLVER_FAILED };
}

/* SIZE bytes of text, if they are text. */
static void
add_text(struct resolver_answer *answer, const char *text, size_t size)
{
	if (answer->count == RESOLVER_ANSWERS_MAX || memchr(text, '\0', size))
		return;
	if (!answer->texts)
		answer->texts = xcalloc(RESOLVER_ANSWERS_MAX, sizeof(*answer->texts));
	answer->texts[answer->count++] = xstrndup(text, size);
}

static void
add_host(struct resolver_answer *answer, const struct hostent *host)
{
	struct addr addr = { 0 };

	if (!answer->addrs)
		answer->addrs = xcalloc(RESOLVER_ANSWERS_MAX, sizeof(*answer->addrs));
	for (char **at = host->h_addr_list; *at && answer->count < RESOLVER_ANSWERS_MAX;
	     at++) {
		addr.any.sa_family = (sa_family_t)host->h_addrtype;
		if (host->h_addrtype == AF_INET)
			memcpy(&addr.v4.sin_addr, *at, sizeof(addr.v4.sin_addr));
		else
			memcpy(&addr.v6.sin6_addr, *at, sizeof(addr.v6.sin6_addr));
		answer->addrs[answer->count++] = addr_from(&addr.any);
	}
}

static int
read_addresses(struct resolver_answer *answer, enum resolver_type type,
               const unsigned char *packet, int size)
{
	struct hostent *host = NULL;
	int status = type == RESOLVER_A
	                     ? ares_parse_a_reply(packet, size, &host, NULL, NULL)
	                     : ares_parse_aaaa_reply(packet, size, &host, NULL, NULL);

	if (status != ARES_SUCCESS)
		return status;
	add_host(answer, host);
	ares_free_hostent(host);
	return status;
}

/* The address that c-ares wants here goes into the hostent and nowhere else.  It refuses
 * what can be no host name: then there is none, and asking again would not help. */
static int
read_names(struct resolver_answer *answer, const unsigned char *packet, int size)
{
	struct in_addr none = { 0 };
	struct hostent *host = NULL;
	int status = ares_parse_ptr_reply(packet, size, &none, sizeof(none), AF_INET,
	                                  &host);

	if (status != ARES_SUCCESS)
		return status == ARES_EBADRESP ? ARES_ENODATA : status;
	for (char **at = host->h_aliases; at && *at; at++)
		add_text(answer, *at, strlen(*at));
	ares_free_hostent(host);
	return status;
}

/* A record is one or more strings, which belong together (RFC 7208 3.3). */
static int
read_texts(struct resolver_answer *answer, const unsigned char *packet, int size)
{
	struct ares_txt_ext *list = NULL, *next;
	int status = ares_parse_txt_reply_ext(packet, size, &list);
	char *whole = xmalloc((size_t)size + 1);
	size_t length = 0;

	for (struct ares_txt_ext *part = list; part; part = next) {
		next = part->next;
		assert(length + part->length <= (size_t)size);
		memcpy(whole + length, part->txt, part->length);
		length += part->length;
		if (next && !next->record_start)
			continue;
		add_text(answer, whole, length);
		length = 0;
	}
	free(whole);
	if (list)
		ares_free_data(list);
	return status;
}

static int
read_packet(struct resolver_answer *answer, enum resolver_type type,
            const unsigned char *packet, int size)
{
	switch (type) {
	case RESOLVER_A:
	case RESOLVER_AAAA:
		return read_addresses(answer, type, packet, size);
	case RESOLVER_PTR:
		return read_names(answer, packet, size);
	case RESOLVER_TXT:
		return read_texts(answer, packet, size);
	}
	return ARES_EBADRESP;
}

static enum resolver_result
result_of(int status, size_t count)
{
	if (status == ARES_ENOTFOUND || status == ARES_ENODATA ||
	    status == ARES_EBADNAME)
		return RESOLVER_NOTHING;
	if (status != ARES_SUCCESS)
		return RESOLVER_FAILED;
	return count > 0 ? RESOLVER_FOUND : RESOLVER_NOTHING;
}

/* ---- questions -------------------------------------------------------------------- */

static void
question_free(struct resolver_question *question)
{
	answer_clear(&question->answer);
	free(question);
}

/* Called by c-ares: from the loop, from within ares_query(), or from ares_destroy(). */
static void
on_packet(void *arg, int status, int timeouts, unsigned char *packet, int size)
{
	struct resolver_question *question = arg;
	struct resolver_answer *answer = &question->answer;

	(void)timeouts;
	question->asked = false;
	question->resolver->questions--;
	if (!question->answered) {
		question_free(question);
		return;
	}
	if (status == ARES_SUCCESS)
		status = read_packet(answer, question->type, packet, size);
	answer->result = result_of(status, answer->count);
	event_active(&question->event, EV_TIMEOUT, 0);
}

static void
let_go(struct resolver_question *question)
{
	evtimer_del(&question->event);
	question->resolver->owned--;
	question->answered = NULL;
	if (!question->asked)
		question_free(question);
}

/* Time is up, or the answer is there. */
static void
on_due(evutil_socket_t fd, short what, void *arg)
{
	struct resolver_question *question = arg;
	resolver_answer_cb *answered = question->answered;
	struct resolver_answer answer = question->answer;

	(void)fd;
	(void)what;
	if (answer.result == RESOLVER_FAILED)
		stats_add(STAT_dns_failed, 1);
	question->answer = (struct resolver_answer){ .result = RESOLVER_FAILED };
	arg = question->arg;
	let_go(question);
	answered(&answer, arg);
	answer_clear(&answer);
}

static int
dns_type(enum resolver_type type)
{
	static const int types[] = {
		[RESOLVER_A] = TYPE_A,
		[RESOLVER_AAAA] = TYPE_AAAA,
		[RESOLVER_PTR] = TYPE_PTR,
		[RESOLVER_TXT] = TYPE_TXT,
	};

	return types[type];
}

struct resolver_question *
resolver_ask(struct resolver *resolver, enum resolver_type type, const char *name,
             unsigned seconds, resolver_answer_cb *answered, void *arg)
{
	struct resolver_question *question = xcalloc(1, sizeof(*question));
	struct timeval limit = { seconds, 0 };

	assert(resolver->base);
	question->resolver = resolver;
	question->type = type;
	question->answered = answered;
	question->arg = arg;
	question->answer.result = RESOLVER_FAILED;
	evtimer_assign(&question->event, resolver->base, on_due, question);
	resolver->owned++;
	stats_add(STAT_dns_questions, 1);
	if (resolver->questions >= RESOLVER_QUESTIONS_MAX) {
		event_active(&question->event, EV_TIMEOUT, 0);
		return question;
	}
	evtimer_add(&question->event, &limit);
	resolver->questions++;
	question->asked = true;
	ares_query(resolver->channel, name, CLASS_IN, dns_type(type), on_packet,
	           question);
	timer_set(resolver);
	return question;
}

void
resolver_cancel(struct resolver_question *question)
{
	if (question)
		let_go(question);
}

/* ---- birth and death ----------------------------------------------------------------- */

/* The servers of the configuration.  They are addresses: config.c has seen to it. */
static int
use_servers(struct resolver *resolver, const struct config *cfg)
{
	size_t count = cfg->resolver.count;
	struct ares_addr_port_node *list;
	struct addr addr;
	int status;

	if (count == 0)
		return ARES_SUCCESS;
	list = xcalloc(count, sizeof(*list));
	for (size_t i = 0; i < count; i++) {
		if (!addr_parse(&addr, cfg->resolver.at[i], 0))
			continue;
		list[i].family = addr_family(&addr);
		list[i].udp_port = list[i].tcp_port = (int)cfg->resolver_port;
		if (list[i].family == AF_INET)
			memcpy(&list[i].addr, &addr.v4.sin_addr, 4);
		else
			memcpy(&list[i].addr, &addr.v6.sin6_addr, 16);
		list[i].next = i + 1 < count ? &list[i + 1] : NULL;
	}
	status = ares_set_servers_ports(resolver->channel, list);
	free(list);
	return status;
}

struct resolver *
resolver_new(const struct config *cfg, char *why, size_t why_size)
{
	struct resolver *resolver = xcalloc(1, sizeof(*resolver));
	struct ares_options options = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
		.timeout = TRY_MS,
		.tries = TRIES,
		.sock_state_cb = on_wanted,
		.sock_state_cb_data = resolver,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
	           ARES_OPT_SOCK_STATE_CB;
	int status = ares_library_init(ARES_LIB_INIT_ALL);

#ifdef ARES_OPT_UDP_MAX_QUERIES /* of 1.20; before, a port lives as long as it is busy */
	mask |= ARES_OPT_UDP_MAX_QUERIES;
	options.udp_max_queries = PORT_QUESTIONS;
#endif
	TAILQ_INIT(&resolver->sockets);
	if (status == ARES_SUCCESS)
		status = ares_init_options(&resolver->channel, &options, mask);
	if (status == ARES_SUCCESS)
		status = use_servers(resolver, cfg);
	if (status == ARES_SUCCESS)
		return resolver;
	snprintf(why, why_size, "DNS (option resolver, /etc/resolv.conf): %s",
	         ares_strerror(status));
	resolver_free(resolver);
	return NULL;
}

void
resolver_start(struct resolver *resolver, struct event_base *base)
{
	assert(!resolver->base);
	resolver->base = base;
	resolver->timer = evtimer_new(base, on_timer, resolver);
	if (!resolver->timer)
		abort(); /* there is no memory: see xalloc.h */
}

void
resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return;
	assert(resolver->owned == 0);
	if (resolver->channel)
		ares_destroy(resolver->channel); /* calls back for all it has */
	assert(resolver->questions == 0 && TAILQ_EMPTY(&resolver->sockets));
	if (resolver->timer)
		event_free(resolver->timer);
	free(resolver);
	ares_library_cleanup();
}
