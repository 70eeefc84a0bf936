#ifndef BASE64_H
#define BASE64_H

#include <stdbool.h>
#include <stddef.h>

/*
 * RFC 4648 section 4, the same for every reader: no blanks, no line ends, all of the padding,
 * and no bits that mean nothing.  By libcrypto.
 */

/* How many bytes SIZE characters can be, at most. */
#define BASE64_BYTES(size) ((size) / 4 * 3)

/* Decodes to TO, which has room for BASE64_BYTES(SIZE), and counts in GOT what there is.
 * False: TEXT is nothing of the kind; TO may have some of it all the same. */
bool base64_decode(const char *text, size_t size, unsigned char *to, size_t *got);

#endif
