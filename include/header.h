#ifndef HEADER_H
#define HEADER_H

#include "addr.h"

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * The header that we put into messages: what it says of their client, and where it stands.
 *
 * Behind a router that hides its clients, all mail comes from one address; this header
 * tells whoever looks into a complaint which of them it was.
 */
enum {
	HEADER_MAX = 4096,	/* longest header, all its lines */
	HEADER_NAME_MAX = 64,	/* longest name of one */
	HEADER_LINE = 78,	/* lines are folded at (RFC 5322 2.1.1) ... */
	HEADER_LINE_MAX = 998,	/* ... and never longer than this, CRLF not counted */
};

/* True if NAME can be that of a header field (RFC 5322 3.6.8), and is no longer than
 * HEADER_NAME_MAX. */
bool header_is_name(const char *name);

/* What is said.  All texts may come from outside: what is not printable ASCII becomes '?'. */
struct header_facts {
	const char *name;	/* of the header: header_is_name() */
	struct addr client;	/* with its port */
	const char *ident;	/* who it is behind its router; empty: not known */
	const char *by;		/* who we are */
	const char *id;		/* of this mail, in our log */
	const char *abuse;	/* where to complain; empty: nowhere */
	bool blank;		/* of port and id, which differ from mail to mail, each
				 * character is a zero: to tell whether two mails are the
				 * same but for these.  All else, the size too, stays */
};

/*
 * Write the header to TEXT, terminated, each line ended by CRLF; return its size.
 *
 *	X-Nat-Received: from [192.0.2.7]:4711 [ident-empty]
 *		by gate.example with TPROXY id 1795405860.kc3f8a2m.1
 *		abuse-to abuse@example.org
 *
 * is the generic one, word for word what smtp-gated 1.4 wrote, for those who search for it;
 * an IPv6 address is [IPv6:2001:db8::7] (RFC 5321 4.1.3).  The other one has the address
 * alone.
 */
size_t header_generic(const struct header_facts *facts, char text[static HEADER_MAX]);
size_t header_ip_only(const struct header_facts *facts, char text[static HEADER_MAX]);

/*
 * Where it stands.
 *
 * It goes in front of the message, so that what servers make of the message itself stays
 * what it is.  Two beginnings are other than that:
 *
 * - Blanks.  A first line that begins with a blank would go on our header, and say in it
 *   whatever its sender likes.  It cannot be part of any header (RFC 5322 2.2.3: folding
 *   needs a line to fold), so the header section ends there: an empty line follows ours.
 *   Postfix takes such a message so, too.  Control characters count as blanks: some servers
 *   drop them, some take them for white space.
 *
 * - "From ", with or without a '>' in front: the line that separates mails in a mailbox,
 *   left in by senders that read one.  Servers know it as the very first line only; behind
 *   a header it is none, and the real headers below it would become text.  So ours follows
 *   it.
 *
 * A first line that is no header at all, or an empty one, needs nothing: with or without
 * our header, the body begins there.
 */
struct header_place {
	enum {
		HEADER_AT_START,	/* the message has not begun, as far as we know */
		HEADER_IN_MAILBOX_LINE,
		HEADER_PLACED,
	} state;		/* starts as { 0 } */
	size_t at;		/* once placed: where in the MESSAGE of that call */
};

/*
 * Puts HEADER (whole lines) where it belongs, once that is known.  MESSAGE has what was
 * decoded and not passed on yet; no CRLF may be divided between two calls.  ALL: nothing
 * more will come.  False: pass nothing of MESSAGE on, and call again with more.
 */
bool header_put(struct header_place *place, const char *header, struct evbuffer *message,
		bool all) MUST_CHECK;

#endif
