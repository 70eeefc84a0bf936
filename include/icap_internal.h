#ifndef ICAP_INTERNAL_H
#define ICAP_INTERNAL_H

#include "icap.h"

/*
 * For icap*.c alone:
 *
 *   icap.c         requests, and the parts that an answer has
 *   icap_header.c  what headers of answers say
 */

/* Takes a line of headers, of ICAP or of the HTTP in it (INNER), into account.  False: it is
 * none. */
bool icap_note_header(struct icap_reader *reader, const char *line, bool inner) MUST_CHECK;

#endif
