#ifndef SPAMC_H
#define SPAMC_H

#include "xalloc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What spamd, the daemon of SpamAssassin, is asked, and what it answers (version 1.5 of its
 * protocol):
 *
 *	SYMBOLS SPAMC/1.5		SPAMD/1.1 0 EX_OK
 *	Content-length: 1234		Content-length: 17
 *					Spam: True ; 1000.0 / 5.0
 *	the message
 *					GTUBE,MSGID_SHORT
 *
 * A line ends with CRLF or LF.  A code other than 0 says that it has not looked, and why.
 * Malformed is whatever leaves a doubt: no such line, the same one twice, a score that is
 * no number, a NUL, an end before the end, more than SPAMC_ANSWER_MAX.
 */
enum {
	SPAMC_REQUEST_SIZE = 96,
	SPAMC_ANSWER_MAX = 16384,
	SPAMC_WORDS_SIZE = 128,
	SPAMC_RULES_SIZE = 256,
};

/* What is sent before a message of SIZE bytes.  Returns its length. */
size_t spamc_request(char to[static SPAMC_REQUEST_SIZE], uint64_t size);

enum spamc_step {
	SPAMC_MORE,		/* it is not whole yet */
	SPAMC_WHOLE,
	SPAMC_MALFORMED,
};

struct spamc_answer {
	int code;		/* 0: it has looked, and these hold; else they are nothing */
	bool is_spam;		/* in its own opinion */
	double score, threshold;
	char words[SPAMC_WORDS_SIZE];	/* of its first line; printable */
	char rules[SPAMC_RULES_SIZE];	/* that hit, "A,B"; as many as fit; printable */
};

/* Reads what has come so far.  AT_EOF: nothing more will. */
enum spamc_step spamc_read(const char *text, size_t size, bool at_eof,
			   struct spamc_answer *answer) MUST_CHECK;

#endif
