#ifndef SECRET_H
#define SECRET_H

#include "xalloc.h"

#include <stdbool.h>

/*
 * What two programs share and nobody else shall know, read from a file.
 */
enum {
	SECRET_MIN = 16,	/* bytes of a key that are not guessed */
	SECRET_MAX = 256,
};

struct secret {
	size_t size;		/* 0: there is none */
	unsigned char bytes[SECRET_MAX];
};

/* Reads the one line of FILE, at least LEAST and at most SECRET_MAX bytes; its end, and
 * blanks before it, do not count.  False: WHY names FILE and says what is wrong with it;
 * a file that everybody can read is wrong. */
bool secret_read(struct secret *secret, const char *file, size_t least, char *why,
		 size_t why_size) MUST_CHECK;

#endif
