#ifndef XCLIENT_H
#define XCLIENT_H

#include "addr.h"
#include "reply.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Who a client is, in words for the server behind us: XCLIENT and XFORWARD, which are
 * extensions of Postfix (its XCLIENT_README and XFORWARD_README).
 *
 * XCLIENT changes whom the server takes the client for, until the connection ends, and
 * the server greets anew.  XFORWARD changes what it logs, until the next mail has ended.
 */
enum {			/* attributes */
	XCLIENT_ADDR = 1 << 0,
	XCLIENT_PORT = 1 << 1,
	XCLIENT_NAME = 1 << 2,
	XCLIENT_REVERSE_NAME = 1 << 3,
	XCLIENT_DESTADDR = 1 << 4,
	XCLIENT_DESTPORT = 1 << 5,
	XCLIENT_SOURCE = 1 << 6,
	XCLIENT_PROTO = 1 << 7,
	XCLIENT_HELO = 1 << 8,

	/* What there is to be said before the client has spoken, and what afterwards. */
	XCLIENT_ALL = XCLIENT_ADDR | XCLIENT_PORT | XCLIENT_NAME |
		      XCLIENT_REVERSE_NAME | XCLIENT_DESTADDR | XCLIENT_DESTPORT,
	XFORWARD_ALL = XCLIENT_ADDR | XCLIENT_PORT | XCLIENT_NAME | XCLIENT_SOURCE |
		       XCLIENT_PROTO | XCLIENT_HELO,
};

enum {
	XCLIENT_COMMAND_MAX = 512,	/* longest command, CRLF and all */
	XCLIENT_VALUE_MAX = 255,	/* longest value, before it is encoded */
};

/* What is known of a client. */
struct xclient_facts {
	struct addr client;		/* with its port */
	struct addr dialled;		/* where it came to; may be no address */
	const char *name;		/* DNS, forth and back; NULL: none */
	const char *reverse_name;	/* DNS, one way only; NULL: none */
	bool name_unsure;		/* DNS did not answer: there may be a name */
	bool is_local;			/* it runs on this very machine */
	bool esmtp;			/* it said EHLO */
	const char *helo;		/* what it said there; NULL: nothing yet */
};

/* The attributes that a line of an EHLO reply offers with KEYWORD ("XCLIENT",
 * "XFORWARD"), of those known here; 0 if it offers none of them, or something else. */
unsigned xclient_offered(const struct reply_line *line, const char *keyword);

/*
 * Writes "VERB NAME=VALUE ..." CRLF with these attributes to LINE, terminated; returns its
 * size.  Values are encoded as xtext (RFC 3461 section 4).  What is not known, cannot be a
 * value, or does not fit, is [UNAVAILABLE].
 */
size_t xclient_command(const char *verb, unsigned attributes,
		       const struct xclient_facts *facts,
		       char line[static XCLIENT_COMMAND_MAX + 1]);

/*
 * True if NAME, which may come from anybody's DNS, is a host name (RFC 1123 2.1): letters,
 * digits and hyphens between dots, no more than 253 bytes, and not an address.
 */
bool xclient_is_host_name(const char *name);

#endif
