#ifndef EXPLAIN_INTERNAL_H
#define EXPLAIN_INTERNAL_H

#include "explain.h"
#include "retouch.h"
#include "spool.h"
#include "verdict.h"

/* A message as it lies in a file. */
struct explain_input {
	const char *name;	/* of the file, for people */
	int fd;
	uint64_t size;		/* as a message; read by explain_read() */
	uint64_t bare;		/* CRs in it that stand alone */
	struct evbuffer *head;	/* how it begins, before anything was removed; owned */
	struct retouch *intake;	/* what is removed before it is scanned; owned, NULL: nothing */
};

/* What is said of the message. */
struct explain_outcome {
	const struct finding *found;
	size_t count;
	const struct verdict *verdict;
	const struct retouch *changes;	/* as it is delivered; NULL: it is not held */
	bool untagged;			/* it should be tagged, but is too large */
};

/* False: it has been said why. */
bool explain_open(struct explain_input *input, const char *file) MUST_CHECK;
void explain_close(struct explain_input *input);

/*
 * Reads all of it into SPOOL (NULL: nobody wants it) and seals that, as if a client had sent
 * it: each LF and each CRLF is the end of a line, the last line has one, and dots are those
 * of the message (they are doubled and undoubled on the wire).  A CR that stands alone is
 * what bare_newline makes of it, and headers that are ours alone are gone.  False: it has
 * been said why.
 */
bool explain_read(struct explain_input *input, const struct config *cfg,
		  struct spool *spool) MUST_CHECK;

/* Prints what was found, a line each, and what that leads to. */
void explain_print(const struct explain_wish *wish, const struct explain_input *input,
		   const struct explain_outcome *outcome);

/* explain_header.c: prints the fields that are removed from its header section when it comes
 * in and by CHANGES, and those that are written, a line each. */
void explain_print_changes(const struct explain_input *input,
			   const struct retouch *changes);

/* explain_print.c: prints TEXT, which is from outside: what a terminal might take for more
 * than text is left out. */
void explain_print_outside(const char *text);

#endif
