#ifndef UTF8_H
#define UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the character that TEXT, which a NUL ends, begins with (RFC 3629), that NUL
 * included; 0: it is none. */
size_t utf8_size(const char *text);

/* True if all of TEXT is UTF-8. */
bool utf8_is(const char *text);

#endif
