#ifndef LISTENER_H
#define LISTENER_H

#include "addr.h"

#include <event2/event.h>
#include <stdbool.h>

/*
 * Accepting connections on one address.
 *
 * When descriptors run out, one that was kept in reserve lets each client be told to come
 * again.  If even that has gone the listener rests for a while instead of spinning; the
 * connections wait in the kernel's queue.
 */
struct listener;

/* FD is non-blocking and the callee's from now on. */
typedef void listener_accept_cb(int fd, const struct addr *client, void *arg);

struct listener_events {
	listener_accept_cb *accepted;
	/* FD is the last descriptor that there is: it is to be closed at once.  NULL: it
	 * is closed without a word. */
	listener_accept_cb *crowded;
};

/* Opens a listening socket on ADDR (IPv6 is not dual-stack: give both).  -1: errno. */
int listener_bind(const struct addr *addr, int backlog) MUST_CHECK;

/* Lets a listening socket take connections to addresses that are not this machine's, as
 * TPROXY hands them over.  Takes CAP_NET_RAW unless it is so already.  False: errno. */
bool listener_make_transparent(int fd) MUST_CHECK;

/* Accepts on FD, which becomes the listener's.  REST is how many seconds it pauses when
 * descriptors or memory for a connection are not to be had.  The kernel keeps the first
 * packet of each connection, for who asks (TCP_SAVED_SYN). */
struct listener *listener_new(struct event_base *base, int fd, unsigned rest,
			      const struct listener_events *events, void *arg);

/* Stops accepting and closes the socket.  NULL is fine. */
void listener_free(struct listener *listener);

#endif
