#ifndef LOOKUP_INTERNAL_H
#define LOOKUP_INTERNAL_H

#include "lookup.h"

/* Somebody that one can connect to, and that CLIENT can have dialled. */
bool lookup_is_usable(const struct addr *server, const struct addr *client);

enum {
	LOOKUP_CODE_SIZE = 16,
};

/* Makes the code of a datagram of version 0x0500. */
void lookup_sign(const unsigned char *datagram, const struct secret *key,
		 unsigned char code[static LOOKUP_CODE_SIZE]);

#endif
