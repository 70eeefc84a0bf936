/* Newer versions of c-ares call half of what older ones have deprecated. */
#define CARES_NO_DEPRECATED

#include "resolver_internal.h"

#include "clock.h"
#include "stats.h"

#include <ares.h>
#include <assert.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/queue.h>

enum {
	TRY_MS = 2000, /* until another server is asked; then longer */
	TRIES = 3,
	PORT_QUESTIONS = 50, /* on one UDP port: a forger has to guess it, too */

	CLASS_IN = 1, /* RFC 1035 3.2.4 and 3.2.2 */
	TYPE_A = 1,
	TYPE_NS = 2,
	TYPE_PTR = 12,
	TYPE_MX = 15,
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
	struct resolver_cache *cache;
	struct resolver_rest *rest; /* NULL until resolver_start() */
	int64_t probed_us; /* when they were last asked whether they are there */
	unsigned servers;
	uint32_t ttl_min, ttl_max;
	TAILQ_HEAD(, resolver_question) waiting;
	unsigned questions; /* that c-ares works on, the cancelled included */
	unsigned owned;     /* that somebody waits for */
};

/*
 * A question belongs to who asked until it is answered or cancelled, and to c-ares until
 * that has called back; it cannot be taken from c-ares alone.  Who lets go last frees it.
 */
struct resolver_question {
	struct resolver *resolver;
	TAILQ_ENTRY(resolver_question) link; /* while somebody waits for it */
	enum resolver_type type;
	resolver_answer_cb *answered; /* NULL: nobody waits for it any more */
	void *arg;
	struct event event; /* time is up, or made active: the answer is there */
	bool asked;         /* c-ares works on it */
	int64_t asked_us;
	char *name; /* NULL: c-ares was not asked */
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

/* What the system says of a server is no word of its own.  (To read would take from
 * c-ares what the system has to say.) */
static bool
has_packet(int fd)
{
	int size = 0;

	return ioctl(fd, FIONREAD, &size) == 0 && size > 0;
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct resolver *resolver = ((struct resolver_socket *)arg)->resolver;

	if ((what & EV_READ) && has_packet(fd))
		resolver_rest_heard(resolver->rest);
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

/* ---- questions -------------------------------------------------------------------- */

static void
question_free(struct resolver_question *question)
{
	resolver_answer_clear(&question->answer);
	free(question->name);
	free(question);
}

/* What holds is kept, even if nobody waits for it any more. */
static void
remember(const struct resolver_question *question, const unsigned char *packet,
         int size)
{
	const struct resolver *resolver = question->resolver;
	bool is_negative = question->answer.result == RESOLVER_NOTHING;
	uint32_t ttl;

	if (question->answer.result == RESOLVER_FAILED || !packet)
		return;
	ttl = resolver_packet_ttl(packet, (size_t)size, is_negative);
	if (ttl < resolver->ttl_min)
		ttl = resolver->ttl_min;
	if (ttl > resolver->ttl_max)
		ttl = resolver->ttl_max;
	resolver_cache_put(resolver->cache, question->type, question->name,
	                   &question->answer, ttl);
}

/* c-ares says this also of servers that have answered, with a failure. */
static bool
is_nobody(const struct resolver *resolver, int status, int64_t asked_us)
{
	return status == ARES_ECONNREFUSED &&
	       resolver_rest_silent(resolver->rest, asked_us);
}

/* Called by c-ares: from the loop, from within ares_query(), or from ares_destroy(). */
static void
on_packet(void *arg, int status, int timeouts, unsigned char *packet, int size)
{
	struct resolver_question *question = arg;

	(void)timeouts;
	question->asked = false;
	question->resolver->questions--;
	question->answer.is_unasked = is_nobody(question->resolver, status,
	                                        question->asked_us);
	if (question->answer.is_unasked)
		resolver_rest_refused(question->resolver->rest);
	resolver_answer_read(&question->answer, question->type, status, packet,
	                     (size_t)size);
	remember(question, packet, size);
	if (question->answered)
		event_active(&question->event, EV_TIMEOUT, 0);
	else
		question_free(question);
}

static void
let_go(struct resolver_question *question)
{
	evtimer_del(&question->event);
	question->resolver->owned--;
	TAILQ_REMOVE(&question->resolver->waiting, question, link);
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
	resolver_answer_clear(&answer);
}

static int
dns_type(enum resolver_type type)
{
	static const int types[] = {
		[RESOLVER_A] = TYPE_A,     [RESOLVER_AAAA] = TYPE_AAAA,
		[RESOLVER_PTR] = TYPE_PTR, [RESOLVER_TXT] = TYPE_TXT,
		[RESOLVER_MX] = TYPE_MX,
	};

	return types[type];
}

/* A name may be anything that DNS can have; a backslash has a meaning to c-ares. */
static bool
escape_name(const char *name, char to[static 2 * RESOLVER_NAME_SIZE])
{
	size_t size = 0;

	if (strlen(name) >= RESOLVER_NAME_SIZE)
		return false;
	for (; *name; name++) {
		if (*name == '\\')
			to[size++] = '\\';
		to[size++] = *name;
	}
	to[size] = '\0';
	return true;
}

static struct resolver_question *
question_new(struct resolver *resolver, enum resolver_type type,
             resolver_answer_cb *answered, void *arg)
{
	struct resolver_question *question = xcalloc(1, sizeof(*question));

	question->resolver = resolver;
	question->type = type;
	question->answered = answered;
	question->arg = arg;
	question->answer.result = RESOLVER_FAILED;
	evtimer_assign(&question->event, resolver->base, on_due, question);
	resolver->owned++;
	TAILQ_INSERT_TAIL(&resolver->waiting, question, link);
	return question;
}

/* Puts it to c-ares. */
static void
question_send(struct resolver_question *question, const char *name, unsigned seconds)
{
	struct resolver *resolver = question->resolver;
	struct timeval limit = { seconds, 0 };
	char escaped[2 * RESOLVER_NAME_SIZE];

	stats_add(STAT_dns_questions, 1);
	if (!escape_name(name, escaped)) {
		question->answer.result = RESOLVER_NOTHING;
		question->answer.has_no_name = true;
		event_active(&question->event, EV_TIMEOUT, 0);
		return;
	}
	if (resolver->questions >= RESOLVER_QUESTIONS_MAX ||
	    resolver_rest_lasts(resolver->rest)) {
		question->answer.is_unasked = true;
		event_active(&question->event, EV_TIMEOUT, 0);
		return;
	}
	evtimer_add(&question->event, &limit);
	question->name = xstrdup(name);
	question->asked = true;
	question->asked_us = clock_us();
	resolver->questions++;
	resolver_rest_asked(resolver->rest);
	ares_query(resolver->channel, escaped, CLASS_IN, dns_type(question->type),
	           on_packet, question);
	timer_set(resolver);
}

struct resolver_question *
resolver_ask(struct resolver *resolver, enum resolver_type type, const char *name,
             unsigned seconds, resolver_answer_cb *answered, void *arg)
{
	struct resolver_question *question = question_new(resolver, type, answered,
	                                                  arg);

	assert(resolver->base);
	if (resolver_cache_get(resolver->cache, type, name, &question->answer)) {
		stats_add(STAT_dns_cached, 1);
		event_active(&question->event, EV_TIMEOUT, 0);
	} else {
		question_send(question, name, seconds);
	}
	return question;
}

bool
resolver_knows(const struct resolver *resolver, enum resolver_type type,
               const char *name)
{
	return resolver_cache_has(resolver->cache, type, name);
}

void
resolver_cancel(struct resolver_question *question)
{
	if (question)
		let_go(question);
}

/* ---- name servers that are gone ------------------------------------------------------- */

static bool
is_busy(void *arg)
{
	const struct resolver *resolver = arg;

	return resolver->questions > 0;
}

static void
on_probed(void *arg, int status, int timeouts, unsigned char *packet, int size)
{
	struct resolver *resolver = arg;

	(void)timeouts;
	(void)packet;
	(void)size;
	if (is_nobody(resolver, status, resolver->probed_us))
		resolver_rest_refused(resolver->rest);
}

/* The servers of the root: whoever does not know them says so.  c-ares asks all its
 * servers, one after another. */
static unsigned
probe(void *arg)
{
	struct resolver *resolver = arg;

	resolver->probed_us = clock_us();
	ares_query(resolver->channel, ".", CLASS_IN, TYPE_NS, on_probed, resolver);
	timer_set(resolver);
	return resolver->servers * TRY_MS + TRY_MS / 4;
}

static void
on_gone(void *arg)
{
	struct resolver *resolver = arg;
	struct resolver_question *question;

	TAILQ_FOREACH(question, &resolver->waiting, link)
	{
		if (!question->asked)
			continue;
		question->answer.is_unasked = true;
		event_active(&question->event, EV_TIMEOUT, 0);
	}
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

static int
count_servers(struct resolver *resolver)
{
	struct ares_addr_port_node *list = NULL;
	int status = ares_get_servers_ports(resolver->channel, &list);

	for (struct ares_addr_port_node *at = list; at; at = at->next)
		resolver->servers++;
	if (list)
		ares_free_data(list);
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
	TAILQ_INIT(&resolver->waiting);
	resolver->cache = resolver_cache_new((size_t)cfg->resolver_cache);
	resolver->ttl_min = (uint32_t)cfg->resolver_ttl_min;
	resolver->ttl_max = (uint32_t)cfg->resolver_ttl_max;
	if (status == ARES_SUCCESS)
		status = ares_init_options(&resolver->channel, &options, mask);
	if (status == ARES_SUCCESS)
		status = use_servers(resolver, cfg);
	if (status == ARES_SUCCESS)
		status = count_servers(resolver);
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
	static const struct resolver_rest_calls calls = { is_busy, probe, on_gone };

	assert(!resolver->base);
	resolver->base = base;
	resolver->rest = resolver_rest_new(base, &calls, resolver);
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
	resolver_rest_free(resolver->rest);
	resolver_cache_free(resolver->cache);
	free(resolver);
	ares_library_cleanup();
}
