#include "listener.h"

#include "log.h"

#include <errno.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

struct listener {
	struct evconnlistener *socket;
	struct event *rested;
	unsigned rest;
	listener_accept_cb *accepted;
	void *arg;
};

static void
on_accepted(struct evconnlistener *socket, evutil_socket_t fd, struct sockaddr *from,
            int size, void *arg)
{
	struct listener *listener = arg;
	struct addr client = addr_from(from);

	(void)socket;
	(void)size;
	listener->accepted(fd, &client, listener->arg);
}

/* accept(2) failed for want of something: wait until some of it may have come back. */
static void
on_error(struct evconnlistener *socket, void *arg)
{
	struct listener *listener = arg;
	struct timeval rest = { .tv_sec = listener->rest };

	log_event(NULL, LOG_TROUBLE_EVENT,
	          log_text("text", "cannot accept connections, resting (enfile_sleep); "
	                           "raise the limit of open files or lower "
	                           "max_connections"),
	          log_error(errno), log_number("seconds", listener->rest));
	evconnlistener_disable(socket);
	event_add(listener->rested, &rest);
}

static void
on_rested(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;

	(void)fd;
	(void)what;
	evconnlistener_enable(listener->socket);
}

int
listener_bind(const struct addr *addr, int backlog)
{
	int fd = socket(addr_family(addr), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	                0);
	int on = 1, error;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (addr_family(addr) == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, &addr->any, addr_size(addr)) == 0 && listen(fd, backlog) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

bool
listener_make_transparent(int fd)
{
	struct addr at = addr_local(fd);
	bool is_six = addr_family(&at) == AF_INET6;
	int level = is_six ? IPPROTO_IPV6 : IPPROTO_IP;
	int option = is_six ? IPV6_TRANSPARENT : IP_TRANSPARENT;
	int on = 0;
	socklen_t size = sizeof(on);

	if (getsockopt(fd, level, option, &on, &size) == 0 && on)
		return true;
	on = 1;
	return setsockopt(fd, level, option, &on, sizeof(on)) == 0;
}

struct listener *
listener_new(struct event_base *base, int fd, unsigned rest,
             listener_accept_cb *accepted, void *arg)
{
	struct listener *listener = xcalloc(1, sizeof(*listener));
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_SAVE_SYN, &on, sizeof(on));
	listener->rest = rest;
	listener->accepted = accepted;
	listener->arg = arg;
	listener->rested = evtimer_new(base, on_rested, listener);
	listener->socket = evconnlistener_new(
		base, on_accepted, listener,
		LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_CLOSE_ON_FREE, 0, fd);
	evconnlistener_set_error_cb(listener->socket, on_error);
	return listener;
}

void
listener_free(struct listener *listener)
{
	if (!listener)
		return;
	evconnlistener_free(listener->socket);
	event_free(listener->rested);
	free(listener);
}
