#ifndef CONN_H
#define CONN_H

#include "addr.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <stdbool.h>

/*
 * One TCP connection: two byte queues and the events that fill and empty them.
 *
 * What the peer sends waits in conn_input() until its owner takes it; what the owner puts
 * into conn_output() goes out with conn_flush().  A write is tried at once, and only what
 * the kernel does not take waits for the loop.  TCP_NODELAY is on: one flush is one write.
 *
 * A conn belongs to its owner, who frees it; it owns the descriptor.  Reading is on from
 * the start and is switched by conn_want_input() alone.
 */
struct conn;

enum conn_end {
	CONN_RESET,		/* the peer broke it off, or a write failed */
	CONN_UNREACHABLE,	/* it could not be made at all */
};

/* Where a connection that we make comes from; { 0 } leaves all of it to the kernel. */
struct conn_source {
	struct addr addr;	/* no address: one that the kernel chooses */
	bool is_foreign;	/* ADDR is another host's (IP_TRANSPARENT: CAP_NET_RAW) */
	unsigned hops;		/* most hops (TTL), where fewer than usual; 0: as usual */
};

/* Called by the loop, never from within a function of this header.  Each may free the
 * conn, and its owner: nothing of either is touched afterwards. */
struct conn_events {
	void (*connected)(struct conn *conn, void *owner);
	/* Input has grown, or conn_at_eof() has become true. */
	void (*input)(struct conn *conn, void *owner);
	/* Some or all of an output that had to wait has gone out. */
	void (*drained)(struct conn *conn, void *owner);
	/* No byte goes either way any more; ERROR is an errno.  Input stays readable. */
	void (*lost)(struct conn *conn, enum conn_end why, int error, void *owner);
};

/* Takes over an accepted descriptor, which is non-blocking. */
struct conn *conn_accepted(struct event_base *base, int fd,
			   const struct conn_events *events, void *owner);

/* Starts to connect to TO; connected() or lost() follows.  NULL with errno if no descriptor
 * could be had or FROM cannot be used. */
struct conn *conn_connect(struct event_base *base, const struct addr *to,
			  const struct conn_source *from,
			  const struct conn_events *events, void *owner) MUST_CHECK;

/* Closes at once; what was not flushed is lost.  NULL is fine. */
void conn_free(struct conn *conn);

struct evbuffer *conn_input(struct conn *conn);
struct evbuffer *conn_output(struct conn *conn);
int conn_fd(const struct conn *conn);

/* Sends what is in the output, now as far as the kernel takes it, the rest when it can.
 * Trouble is told by lost(), later. */
void conn_flush(struct conn *conn);

/* Lets the loop call drained() soon, as if the output had had to wait.  To be called with
 * nothing in it. */
void conn_rouse(struct conn *conn);

/* Bytes in the output. */
size_t conn_backlog(const struct conn *conn);

/* Switches reading.  Cheap when nothing changes. */
void conn_want_input(struct conn *conn, bool want);

/* True once the peer has said that it will send no more; what it sent is in the input. */
bool conn_at_eof(const struct conn *conn);

/* Tells the peer that no more will come, behind what is in the output. */
void conn_finish(struct conn *conn);

/* True when conn_finish() was called and all of the output is with the kernel. */
bool conn_finished(const struct conn *conn);

/* Bytes received so far. */
uint64_t conn_received(const struct conn *conn);

/* Most bytes that one turn reads from one peer (option buffer_size); for all conns. */
void conn_set_read_size(size_t size);

#endif
