#ifndef BYTES_H
#define BYTES_H

#include <stddef.h>

/* A literal, NULs and all. */
struct bytes {
	const char *at;
	size_t size;
};

#define B(text) \
	{ \
		text, sizeof(text) - 1 \
	}

#endif
