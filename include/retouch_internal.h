#ifndef RETOUCH_INTERNAL_H
#define RETOUCH_INTERNAL_H

#include "retouch.h"

/*
 * The inside of retouch*.c, for these alone.
 */
struct removal {
	char name[HEADER_NAME_MAX + 1];	/* in small letters */
	unsigned which;			/* 0: all */
};

struct retouch {
	struct removal removals[RETOUCH_REMOVALS];
	unsigned removal_count;
	unsigned field_count;
	struct evbuffer *fields;	/* whole lines, in their order */
	char *prefix;			/* of the subject; NULL: none */
	char *subject;			/* another one; NULL: as it was */
};

/* retouch_text.c: appends a field, folded. */
void retouch_put_field(struct evbuffer *to, const char *name, const char *value);

#endif
