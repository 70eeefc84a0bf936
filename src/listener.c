#include "listener.h"

#include "log.h"

#include <errno.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct listener {
	struct evconnlistener *socket;
	struct event *rested;
	unsigned rest;
	int reserve; /* a descriptor; -1: it has gone */
	const struct listener_events *events;
	void *arg;
};

/* ---- accepting ---------------------------------------------------------------------- */

static void
on_accepted(struct evconnlistener *socket, evutil_socket_t fd, struct sockaddr *from,
            int size, void *arg)
{
	struct listener *listener = arg;
	struct addr client = addr_from(from);

	(void)socket;
	(void)size;
	listener->events->accepted(fd, &client, listener->arg);
}

/* ---- no descriptors left ------------------------------------------------------------- */

/* A file of its own, which needs no path: what is short may be files of the whole system
 * (ENFILE), and the root may be another by now. */
static void
reserve(struct listener *listener)
{
	if (listener->reserve < 0)
		listener->reserve = eventfd(0, EFD_CLOEXEC);
}

static void
turn_away(struct listener *listener, int fd, const struct sockaddr *from)
{
	struct addr client = addr_from(from);

	if (listener->events->crowded)
		listener->events->crowded(fd, &client, listener->arg);
	else
		close(fd);
}

/* What the reserve is for.  False: it was of no use; errno. */
static bool
accept_in_reserve(struct listener *listener)
{
	struct sockaddr_storage from = { 0 };
	socklen_t size = sizeof(from);
	int fd;

	if (listener->reserve < 0)
		return false;
	close(listener->reserve);
	listener->reserve = -1;
	fd = accept4(evconnlistener_get_fd(listener->socket), (struct sockaddr *)&from,
	             &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return errno == EAGAIN || errno == ECONNABORTED || errno == EINTR;
	turn_away(listener, fd, (struct sockaddr *)&from);
	reserve(listener);
	return true;
}

static void
begin_rest(struct listener *listener, int error)
{
	struct timeval rest = { .tv_sec = listener->rest };

	log_event(NULL, LOG_TROUBLE_EVENT,
	          log_text("text", "cannot accept connections, resting (enfile_sleep); "
	                           "raise the limit of open files or lower "
	                           "max_connections"),
	          log_error(error), log_number("seconds", listener->rest));
	evconnlistener_disable(listener->socket);
	event_add(listener->rested, &rest);
}

/* accept(2) failed for want of something.  If it is not to be had by giving up the
 * reserve: wait until some of it may have come back. */
static void
on_error(struct evconnlistener *socket, void *arg)
{
	struct listener *listener = arg;
	int error = errno;

	(void)socket;
	if ((error != EMFILE && error != ENFILE) || !accept_in_reserve(listener))
		begin_rest(listener, error);
	reserve(listener);
}

static void
on_rested(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;

	(void)fd;
	(void)what;
	reserve(listener);
	evconnlistener_enable(listener->socket);
}

/* ---- sockets --------------------------------------------------------------------------- */

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
             const struct listener_events *events, void *arg)
{
	struct listener *listener = xcalloc(1, sizeof(*listener));
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_SAVE_SYN, &on, sizeof(on));
	listener->rest = rest;
	listener->reserve = -1;
	reserve(listener);
	listener->events = events;
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
	if (listener->reserve >= 0)
		close(listener->reserve);
	event_free(listener->rested);
	free(listener);
}
