#include "conn.h"

#include "memory.h"

#include <assert.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	READ_LEAST = 4096, /* in one go, however short memory is */
	CHAIN_HEAD = 64, /* of evbuffer's, at most; it takes powers of two, with that */
};

struct conn {
	const struct conn_events *events;
	void *owner;
	struct evbuffer *input, *output;
	struct event readable, writable;
	uint64_t received;
	int fd;
	int error; /* of a write; told by on_writable() */
	bool connecting;
	bool want_input; /* what the owner asked for */
	bool waiting;    /* for the kernel to take more output */
	bool eof;        /* the peer will send no more */
	bool finishing;  /* we will send no more, once the output is empty */
	bool finished;   /* and have said so */
	bool lost;
};

/* One for all: what is read goes from here to the input in its true size, so that
 * ten thousand short lines do not hold ten thousand large blocks. */
static char *scratch;
static size_t scratch_size;

void
conn_set_read_size(size_t size)
{
	scratch = xrealloc(scratch, size);
	scratch_size = size;
}

/* Reading is on if it is wanted, possible, and there is anything to come. */
static void
read_switch(struct conn *conn)
{
	bool on = conn->want_input && !conn->connecting && !conn->eof && !conn->lost;

	if (on == (bool)event_pending(&conn->readable, EV_READ, NULL))
		return;
	if (on)
		event_add(&conn->readable, NULL);
	else
		event_del(&conn->readable);
}

/* Calls out: the conn may be gone afterwards. */
static void
conn_lose(struct conn *conn, int error)
{
	enum conn_end why = conn->connecting ? CONN_UNREACHABLE : CONN_RESET;

	conn->lost = true;
	conn->connecting = false;
	event_del(&conn->writable);
	read_switch(conn);
	conn->events->lost(conn, why, error, conn->owner);
}

/* One turn's worth from the peer to the input. */
static ssize_t
receive(struct conn *conn)
{
	size_t most = memory_share(scratch_size, READ_LEAST);
	ssize_t got;

	if (most >= READ_LEAST)
		most -= CHAIN_HEAD;
	got = recv(conn->fd, scratch, most, 0);
	if (got <= 0)
		return got;
	conn->received += (uint64_t)got;
	evbuffer_add(conn->input, scratch, (size_t)got);
	return got;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;
	ssize_t got = receive(conn);

	(void)fd;
	(void)what;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < 0) {
		conn_lose(conn, errno);
		return;
	}
	if (got == 0) {
		conn->eof = true;
		read_switch(conn);
	}
	conn->events->input(conn, conn->owner);
}

/* Writes what the kernel takes.  False: there is nothing more to be done now. */
static bool
write_some(struct conn *conn)
{
	while (evbuffer_get_length(conn->output) > 0) {
		if (evbuffer_write(conn->output, conn->fd) >= 0 || errno == EINTR)
			continue;
		if (errno != EAGAIN)
			conn->error = errno;
		return false;
	}
	return true;
}

void
conn_flush(struct conn *conn)
{
	if (conn->waiting || conn->lost)
		return;
	if (conn->connecting) {
		conn->waiting = true; /* for on_connected() */
		return;
	}
	if (!write_some(conn)) {
		conn->waiting = true;
		event_add(&conn->writable, NULL);
		if (conn->error != 0) /* tell it from the loop, not from here */
			event_active(&conn->writable, EV_WRITE, 0);
		return;
	}
	if (conn->finishing && !conn->finished) {
		shutdown(conn->fd, SHUT_WR);
		conn->finished = true;
	}
}

static void
on_connected(struct conn *conn)
{
	socklen_t size = sizeof(conn->error);

	if (conn->error == 0)
		getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &conn->error, &size);
	if (conn->error != 0) {
		conn_lose(conn, conn->error);
		return;
	}
	conn->connecting = false;
	read_switch(conn);
	if (conn->waiting) { /* the owner was ahead of the connection */
		conn->waiting = false;
		conn_flush(conn);
	}
	conn->events->connected(conn, conn->owner);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;

	(void)fd;
	(void)what;
	if (conn->connecting) {
		on_connected(conn);
		return;
	}
	conn->waiting = false;
	if (conn->error == 0)
		conn_flush(conn);
	if (conn->error != 0) {
		/* A peer that breaks off often says why; the words may still be in the
		 * kernel, and nothing will tell us to read them after this. */
		(void)receive(conn);
		conn_lose(conn, conn->error);
		return;
	}
	conn->events->drained(conn, conn->owner);
}

static struct conn *
conn_new(struct event_base *base, int fd, const struct conn_events *events, void *owner)
{
	struct conn *conn = xcalloc(1, sizeof(*conn));
	int on = 1;

	if (!scratch)
		conn_set_read_size(65536);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	conn->fd = fd;
	conn->events = events;
	conn->owner = owner;
	conn->want_input = true;
	conn->input = evbuffer_new();
	conn->output = evbuffer_new();
	event_assign(&conn->readable, base, fd, EV_READ | EV_PERSIST, on_readable,
	             conn);
	event_assign(&conn->writable, base, fd, EV_WRITE, on_writable, conn);
	return conn;
}

struct conn *
conn_accepted(struct event_base *base, int fd, const struct conn_events *events,
              void *owner)
{
	struct conn *conn = conn_new(base, fd, events, owner);

	read_switch(conn);
	return conn;
}

/* Never more than usual: the option only takes away. */
static void
limit_hops(int fd, int family, unsigned hops)
{
	int level = family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
	int option = family == AF_INET6 ? IPV6_UNICAST_HOPS : IP_TTL;
	int usual = 0, most = (int)hops;
	socklen_t size = sizeof(usual);

	if (hops > 0 && getsockopt(fd, level, option, &usual, &size) == 0 &&
	    most < usual)
		setsockopt(fd, level, option, &most, sizeof(most));
}

/* The source port is chosen at connect(), when the kernel knows the whole 4-tuple. */
static bool
bind_source(int fd, const struct conn_source *from)
{
	int on = 1, family = addr_family(&from->addr);

	if (family == AF_UNSPEC)
		return true;
	if (from->is_foreign && family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on)) != 0)
		return false;
	if (from->is_foreign && family == AF_INET &&
	    setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on)) != 0)
		return false;
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	return bind(fd, &from->addr.any, addr_size(&from->addr)) == 0;
}

struct conn *
conn_connect(struct event_base *base, const struct addr *to,
             const struct conn_source *from, const struct conn_events *events,
             void *owner)
{
	int fd = socket(addr_family(to), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct conn *conn;
	int error;

	if (fd < 0)
		return NULL;
	limit_hops(fd, addr_family(to), from->hops);
	if (!bind_source(fd, from)) {
		error = errno;
		close(fd);
		errno = error;
		return NULL;
	}
	conn = conn_new(base, fd, events, owner);
	conn->connecting = true;
	event_add(&conn->writable, NULL);
	if (connect(fd, &to->any, addr_size(to)) != 0 && errno != EINPROGRESS) {
		conn->error = errno;
		event_active(&conn->writable, EV_WRITE, 0);
	}
	return conn;
}

void
conn_free(struct conn *conn)
{
	if (!conn)
		return;
	event_del(&conn->readable);
	event_del(&conn->writable);
	evbuffer_free(conn->input);
	evbuffer_free(conn->output);
	close(conn->fd);
	free(conn);
}

struct evbuffer *
conn_input(struct conn *conn)
{
	return conn->input;
}

struct evbuffer *
conn_output(struct conn *conn)
{
	return conn->output;
}

int
conn_fd(const struct conn *conn)
{
	return conn->fd;
}

void
conn_rouse(struct conn *conn)
{
	assert(!conn->connecting && evbuffer_get_length(conn->output) == 0);
	if (!conn->lost)
		event_active(&conn->writable, EV_WRITE, 0);
}

size_t
conn_backlog(const struct conn *conn)
{
	return evbuffer_get_length(conn->output);
}

void
conn_want_input(struct conn *conn, bool want)
{
	if (want == conn->want_input)
		return;
	conn->want_input = want;
	read_switch(conn);
}

bool
conn_at_eof(const struct conn *conn)
{
	return conn->eof;
}

void
conn_finish(struct conn *conn)
{
	conn->finishing = true;
	conn_flush(conn);
}

bool
conn_finished(const struct conn *conn)
{
	return conn->finished || conn->lost;
}

uint64_t
conn_received(const struct conn *conn)
{
	return conn->received;
}
