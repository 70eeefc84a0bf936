#ifndef PROXYPROTO_H
#define PROXYPROTO_H

#include "addr.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Headers of the PROXY protocol, versions 1 and 2: what a proxy says in front of a
 * connection about the client that it makes it for.
 *
 * The specification is proxy-protocol.txt of HAProxy; numbers of sections below are its.
 * Whether a header is to be expected is not to be found out from the bytes (section 2):
 * who calls here knows that there must be one.
 */
enum {
	PROXYPROTO_V1_MAX = 107,	/* longest line, CRLF and all (section 2.1) */
	PROXYPROTO_MAX = 4096,		/* longest header that we take; one without TLVs has
					 * 232 bytes at most, certificates may be in those */
	PROXYPROTO_OURS_MAX = 108,	/* longest that we write, and a NUL */
};

enum proxyproto_kind {
	PROXYPROTO_LOCAL,	/* the proxy speaks for itself, as in a health check */
	PROXYPROTO_UNKNOWN,	/* for a client that it cannot name */
	PROXYPROTO_UNIX,	/* for one that came by a socket of its own machine */
	PROXYPROTO_TCP,		/* for the client at this address */
};

struct proxyproto {
	unsigned version;		/* 1 or 2 */
	enum proxyproto_kind kind;
	struct addr client, server;	/* of kind TCP: who called, and whom */
	size_t size;			/* bytes of the header */
};

enum proxyproto_step {
	PROXYPROTO_MORE,	/* the header is not whole yet */
	PROXYPROTO_WHOLE,
	PROXYPROTO_MALFORMED,	/* it is none, and more bytes will not make it one */
};

/*
 * Looks for a whole header at the head of SIZE BYTES.  Keeps nothing between calls: give it
 * all that has come so far, again.  It never asks for more than PROXYPROTO_MAX bytes.
 * MALFORMED: WHY points at (static) words that say what the header does wrong.  It is said
 * as soon as it is certain, and is the same however the bytes came.
 */
enum proxyproto_step proxyproto_read(const void *bytes, size_t size,
				     struct proxyproto *header,
				     const char **why) MUST_CHECK;

/*
 * Writes a header of kind TCP into OUT and returns its size.  If only one of the addresses
 * is IPv4, it is written as IPv6 (::ffff:a.b.c.d), for a header has one family.  If one is
 * no address, the kind is UNKNOWN.  Scopes of IPv6 mean nothing elsewhere, and are left
 * out.
 */
size_t proxyproto_write(char out[static PROXYPROTO_OURS_MAX], unsigned version,
			const struct addr *client, const struct addr *server);

/* The log's word for a kind. */
const char *proxyproto_kind_word(enum proxyproto_kind kind);

#endif
