#ifndef EXPLAIN_INTERNAL_H
#define EXPLAIN_INTERNAL_H

#include "explain.h"
#include "spool.h"
#include "verdict.h"

/* A message as it lies in a file. */
struct explain_input {
	const char *name;	/* of the file, for people */
	int fd;
	uint64_t size;		/* as a message; read by explain_read() */
	uint64_t bare;		/* CRs in it that stand alone */
};

/* False: it has been said why. */
bool explain_open(struct explain_input *input, const char *file) MUST_CHECK;
void explain_close(struct explain_input *input);

/*
 * Reads all of it into SPOOL (NULL: nobody wants it) and seals that, as if a client had sent
 * it: each LF and each CRLF is the end of a line, the last line has one, and dots are those
 * of the message (they are doubled and undoubled on the wire).  A CR that stands alone is
 * what bare_newline makes of it.  False: it has been said why.
 */
bool explain_read(struct explain_input *input, const struct config *cfg,
		  struct spool *spool) MUST_CHECK;

/* Prints what was found, a line each, and what that leads to. */
void explain_print(const struct explain_wish *wish, const struct explain_input *input,
		   const struct finding *found, size_t count, const struct verdict *verdict);

#endif
