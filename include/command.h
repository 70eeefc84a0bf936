#ifndef COMMAND_H
#define COMMAND_H

#include "xalloc.h"

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A line from a client: verb and argument (RFC 5321 4.1.1).
 *
 * A line ends with LF; a CR before it belongs to the end.  (RFC 5321 wants CRLF; people
 * at a terminal and old scripts send LF, servers take it, and we send CRLF on.)  A line
 * with a NUL or with a CR inside is BROKEN: servers disagree on what such a line is, so
 * it is never passed on.
 */
#define VERBS(V) \
	V(HELO) V(EHLO) V(LHLO) V(MAIL) V(RCPT) V(DATA) V(BDAT) V(RSET) V(NOOP) V(QUIT) \
	V(VRFY) V(EXPN) V(HELP) V(AUTH) V(STARTTLS) V(ETRN) V(TURN) V(ATRN) V(BURL) \
	V(XCLIENT) V(XFORWARD) V(XEXCH50)

enum verb {
	VERB_UNKNOWN,
#define V(name) VERB_##name,
	VERBS(V)
#undef V
	VERB_COUNT,
};

enum {
	COMMAND_MAX = 2048,	/* longest line, CRLF and all (RFC 5321 4.5.3.1.4 plus
				 * parameters of the extensions) */
	COMMAND_AUTH_MAX = 16384,	/* longest AUTH line or answer (RFC 4954 section 4:
					 * 12288) */
};

enum command_step {
	COMMAND_MORE,		/* no whole line yet */
	COMMAND_LINE,		/* one line was taken */
	COMMAND_TOO_LONG,	/* one over-long line was thrown away, to its end */
	COMMAND_BROKEN,		/* one line with NUL or CR in it was thrown away */
};

/* Starts as { 0 }; remembers between calls that an over-long line is being skipped. */
struct command_reader {
	size_t searched;	/* bytes of the input already known to have no LF */
	bool skipping;
};

struct command {
	enum verb verb;
	const char *line;	/* without its line end; NUL-terminated */
	size_t size;
	const char *argument;	/* behind the verb and its blanks; "" if none */
};

/*
 * Takes one line from INPUT.  On COMMAND_LINE, LINE (of COMMAND_AUTH_MAX + 1 bytes) holds
 * it and COMMAND points into LINE.  OPAQUE: the line answers an AUTH challenge (RFC 4954
 * section 4), is not a command, and its verb is VERB_UNKNOWN.  In the other cases COMMAND
 * is untouched.
 */
enum command_step command_read(struct command_reader *reader, struct evbuffer *input,
			       bool opaque, char line[static COMMAND_AUTH_MAX + 1],
			       struct command *command) MUST_CHECK;

/* Splits LINE (NUL-terminated, SIZE bytes) into verb and argument. */
void command_parse(struct command *command, const char *line, size_t size);

/* The verb's name in capitals; "?" for VERB_UNKNOWN. */
const char *verb_name(enum verb verb);

/* HELO, EHLO, and LHLO, which is the one of LMTP (RFC 2033 4.1). */
bool verb_is_hello(enum verb verb);

/*
 * The path of MAIL FROM:<path> or RCPT TO:<path> (RFC 5321 4.1.2), without the angle
 * brackets, source routes and all.  Returns its first byte in ARGUMENT and sets SIZE; NULL
 * if ARGUMENT does not look like one.  KEYWORD is "FROM" or "TO".
 */
const char *command_path(const char *argument, const char *keyword, size_t *size);

/* True if ARGUMENT has PARAMETER ("NAME" or "NAME=VALUE") behind its path, in any case
 * (RFC 5321 4.1.1.11). */
bool command_has_parameter(const char *argument, const char *parameter);

/* The size of the message that ARGUMENT declares behind its path (RFC 1870 section 3:
 * SIZE= and 1 to 20 digits): the largest, if there are several; what is too large to be
 * counted is UINT64_MAX.  False: it declares none, or what the server will not take. */
bool command_size(const char *argument, uint64_t *size) MUST_CHECK;

/* What BDAT announces (RFC 3030 section 2). */
struct chunk {
	uint64_t size;
	bool last;
	bool faulty;	/* behind the size stands something else than LAST */
};

/* Reads a BDAT argument: digits, at most 2^62, then nothing or blanks and LAST.  False: no
 * size can be read, and nobody knows where the chunk ends. */
bool command_chunk(const char *argument, struct chunk *chunk) MUST_CHECK;

#endif
