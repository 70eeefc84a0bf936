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
	struct removal *removals;	/* owned */
	unsigned removal_count;
	char **fields;			/* owned: whole lines, in their order */
	unsigned field_count;
	unsigned leading;		/* so many of them are in front of the others */
	bool leads;			/* one that is added is behind these */
	unsigned most_fields;
	size_t bytes, most_bytes;	/* of them */
	const struct string_list *trusted;	/* not NULL: whose results stay */
	const char *ours;
	char *prefix;			/* of the subject; NULL: none */
	char *subject;			/* another one; NULL: as it was */
	bool subject_is_value;		/* of a field, and all of it */
};

/* retouch_text.c: appends a field, folded. */
void retouch_put_field(struct evbuffer *to, const char *name, const char *value);

/* retouch_text.c: what LINES has, as a text of its own; LINES is freed. */
char *retouch_take_text(struct evbuffer *lines);

/* retouch_text.c: true if TEXT may stand in a subject as it is. */
bool retouch_is_plain(const char *text);

/* retouch_text.c: appends TEXT, which is UTF-8, as encoded-words (RFC 2047), with folds
 * between them. */
void retouch_put_words(struct evbuffer *to, const char *text);

/* retouch_text.c: true if VALUE may be encoded already: it is ASCII. */
bool retouch_is_value(const char *value);

/* retouch_text.c: appends a subject that is PREFIX, unless NULL, and TEXT. */
void retouch_put_subject(struct evbuffer *to, const char *prefix, const char *text);

/* retouch_tagged.c: true if the value of a subject, which begins at TEXT, begins with this
 * PREFIX already, be it in encoded-words. */
bool retouch_is_tagged(const unsigned char *text, size_t size, const char *prefix);

/* retouch_text.c: appends the PREFIX of a subject that goes on, behind "Subject:".  LINE: so
 * long is the line that gets it without; IS_OVER: there is nothing more in it; IS_WORD: what
 * comes next is an encoded-word. */
void retouch_put_prefix(struct evbuffer *to, const char *prefix, size_t line,
			bool is_over, bool is_word);

#endif
