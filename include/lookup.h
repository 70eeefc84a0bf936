#ifndef LOOKUP_H
#define LOOKUP_H

#include "addr.h"
#include "secret.h"

#include <event2/buffer.h>

/*
 * How a gateway asks the router that redirected a connection where it was meant to go.
 *
 * Two protocols, both of smtp-gated 1.4, and what had to be added to them:
 *
 * Datagrams, version 0x0402, in network byte order, packed, 66 bytes both ways:
 *	u32 magic "RPHD", u32 cookie, u32 secret, u16 version, u16 flags, u32 src, u32 dst,
 *	u16 src_port, u16 dst_port, 32 bytes ident, 6 bytes mac (never used).
 * The question has the connection as the gateway sees it, the answer has its destination
 * in dst and dst_port.  The secret goes in the clear, and IPv6 does not fit.
 *
 * Datagrams, version 0x0500, 112 bytes both ways:
 *	u32 magic, u64 cookie, u16 version, u16 flags, u16 family (4 or 6), u16 src_port,
 *	u16 dst_port, u16 0, 16 bytes src, 16 bytes dst (IPv4: 4 bytes and zeros), 40 bytes
 *	ident, 16 bytes code.
 * The code is the first half of HMAC-SHA-256 (RFC 2104) over what stands before it, with
 * a key that both sides know.  The version stands where it stood, and the size differs,
 * so neither can be taken for the other.
 *
 * Lines over TCP, an extended ident protocol (RFC 1413), one question to a connection:
 *	client_port , gateway_port
 *	client_port , gateway_port : ORIGIN : address : port : ident
 *	client_port , gateway_port : ERROR : NO-USER		(or another word)
 * The addresses are those of the connection that asks.  Where they are not, our gateway
 * asks "client_port , gateway_port : FOR : client_address , gateway_address".  An IPv6
 * address stands in brackets.
 *
 * Nothing here trusts a byte; what cannot be followed exactly is a fault.
 */
enum lookup_version {
	LOOKUP_PLAIN = 0x0402,
	LOOKUP_KEYED = 0x0500,
};

enum {
	LOOKUP_PLAIN_SIZE = 66,
	LOOKUP_KEYED_SIZE = 112,
	LOOKUP_DATAGRAM_MAX = LOOKUP_KEYED_SIZE,
	LOOKUP_IDENT_SIZE = 64,
	LOOKUP_LINE_SIZE = 256,
};

struct lookup_secrets {
	uint32_t number;	/* of version 0x0402 */
	struct secret key;	/* of version 0x0500 */
};

struct lookup_question {
	enum lookup_version version;	/* of datagrams */
	uint64_t cookie;		/* the same; 0x0402 has room for half of it */
	struct addr client, gateway;	/* the connection as the gateway sees it */
	bool names_hosts;		/* of a line: that their addresses are in it */
};

enum lookup_result {
	LOOKUP_FOUND,
	LOOKUP_NOT_FOUND,	/* there is no such connection, or it was not redirected */
	LOOKUP_FAILED,		/* the helper cannot find out */
};

struct lookup_answer {
	enum lookup_result result;
	struct addr server;
	char ident[LOOKUP_IDENT_SIZE];	/* clean: letters, digits, and . : _ - @ + */
};

enum lookup_fault {
	LOOKUP_FINE,
	LOOKUP_MALFORMED,	/* wrong size, magic, version, flags, or text */
	LOOKUP_STRANGE,		/* it answers another question */
	LOOKUP_FORGED,		/* wrong secret or code */
	LOOKUP_UNUSABLE,	/* genuine, but nobody can connect to that destination */
};

/* What a fault is called in the log. */
const char *lookup_fault_words(enum lookup_fault fault);

/* True if a datagram can carry it: 0x0402 only IPv4, 0x0500 only with a key. */
bool lookup_can_carry(const struct lookup_question *question,
		      const struct lookup_secrets *secrets);

/* Datagrams.  Writing returns the size. */
size_t lookup_write_question(const struct lookup_question *question,
			     const struct lookup_secrets *secrets,
			     unsigned char to[static LOOKUP_DATAGRAM_MAX]);
enum lookup_fault lookup_read_question(const unsigned char *from, size_t size,
				       const struct lookup_secrets *secrets,
				       struct lookup_question *question) MUST_CHECK;

/* Returns 0 if the version has no word for the answer (0x0402: failed). */
size_t lookup_write_answer(const struct lookup_question *question,
			   const struct lookup_answer *answer,
			   const struct lookup_secrets *secrets,
			   unsigned char to[static LOOKUP_DATAGRAM_MAX]);
enum lookup_fault lookup_read_answer(const unsigned char *from, size_t size,
				     const struct lookup_secrets *secrets,
				     const struct lookup_question *question,
				     struct lookup_answer *answer) MUST_CHECK;

/* Lines, with CRLF when written and without when read.  A question that does not name
 * hosts leaves their addresses as they are and sets the ports. */
void lookup_write_question_line(const struct lookup_question *question,
				char to[static LOOKUP_LINE_SIZE]);
enum lookup_fault lookup_read_question_line(const char *line,
					    struct lookup_question *question) MUST_CHECK;
void lookup_write_answer_line(const struct lookup_question *question,
			      const struct lookup_answer *answer,
			      char to[static LOOKUP_LINE_SIZE]);
enum lookup_fault lookup_read_answer_line(const char *line,
					  const struct lookup_question *question,
					  struct lookup_answer *answer) MUST_CHECK;

enum lookup_step {
	LOOKUP_MORE,		/* the line is not whole yet */
	LOOKUP_LINE,
	LOOKUP_TOO_LONG,	/* or with a NUL in it */
};

/* Takes a line out of INPUT, without its end.  AT_EOF: what is there is all. */
enum lookup_step lookup_take_line(struct evbuffer *input, bool at_eof,
				  char line[static LOOKUP_LINE_SIZE]) MUST_CHECK;

/* Puts into TO what may pass of an ident: other characters become '_'; "-" becomes empty. */
void lookup_clean_ident(char to[static LOOKUP_IDENT_SIZE], const char *from, size_t size);

#endif
