#ifndef RETOUCH_H
#define RETOUCH_H

#include "config.h"
#include "header.h"

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * What is changed in the header section of one message, and the filter that does it.
 *
 * Bytes that nobody asked to be changed stay as they are: signatures (DKIM) that do not
 * cover what was changed still verify.
 */
enum {
	RETOUCH_REMOVALS = 64,		/* most names to be removed */
	RETOUCH_FIELDS = 64,		/* most fields to be added */
	RETOUCH_BYTES = 65536,		/* all that is added, together */
	RETOUCH_SUBJECT = 4096,		/* longest subject */
	RETOUCH_PREFIX = 256,		/* longest prefix of one */
};

struct retouch;

struct retouch *retouch_new(void);
void retouch_free(struct retouch *retouch);		/* NULL is fine */

/* True if nothing is to be changed; NULL is fine. */
bool retouch_is_empty(const struct retouch *retouch);

/*
 * Wishes.  Texts may come from outside.  False: it cannot be had (no name of a field, or
 * too much), and nothing has changed.
 */

/* Fields of this NAME, in any case of letters, go: WHICH of them, counted from the top
 * from 1 on, or all with 0.  Of the message as it came: fields that are added stay. */
bool retouch_remove(struct retouch *retouch, const char *name, unsigned which);

/* A field is put on top, below those that were asked for earlier.  VALUE is folded at its
 * blanks; line ends in it are blanks, other control characters vanish, and what is not
 * ASCII becomes '?'. */
bool retouch_add(struct retouch *retouch, const char *name, const char *value);

/* Of Authentication-Results that are to be removed those stay that begin with one of these
 * IDS, unless that is OURS (RFC 8601 2.5), in any case of letters.  Both must live as
 * long. */
void retouch_trust(struct retouch *retouch, const struct string_list *ids,
		   const char *ours);

/* From now on fields are put above those that were added before, which others have asked
 * for.  There is room for some, whatever these were. */
void retouch_lead(struct retouch *retouch);

/* Of the fields of this NAME, in any case of letters, that were added before retouch_lead()
 * those go that IS says so of; NULL: all.  Its VALUE may be folded.  Returns how many of the
 * name stay. */
unsigned retouch_withdraw(struct retouch *retouch, const char *name,
			  bool (*is)(const char *value));

/* UTF-8.  The subject begins with this TEXT, all of them if there are several, those left
 * alone that do already; where there is none one is added.  Each replaces the prefix asked
 * for before; empty: none. */
bool retouch_subject_prefix(struct retouch *retouch, const char *text);

/* UTF-8.  The subject is this TEXT, whatever it was; a prefix still goes in front. */
bool retouch_subject(struct retouch *retouch, const char *text);

/* The subject is this VALUE of a field, in which words may be encoded already (RFC 2047);
 * no prefix goes in front, whoever asks for one. */
bool retouch_subject_as_is(struct retouch *retouch, const char *value);

/*
 * The filter, for one message.
 *
 * For removing, the header section goes to the first empty line.  Lines that are no field
 * do not end it, though for some readers they do: nobody misses a result of a scanner in
 * the text that follows.  Names are told as the most lenient reader would: in any case,
 * with blanks or line ends before the colon, with control characters in between, behind a CR
 * or LF that stands alone.
 *
 * Fields are added where header_put() puts them; a subject that was missing goes to the
 * end of the header section.
 */
struct retouch_filter;

/* WHAT must live as long, and stay as it is. */
struct retouch_filter *retouch_filter_new(const struct retouch *what);
void retouch_filter_free(struct retouch_filter *filter);	/* NULL is fine */

/* Where the message goes in, in pieces cut anywhere: append, and take nothing out. */
struct evbuffer *retouch_filter_input(struct retouch_filter *filter);

/* Moves what went in to TO, changed; a little may stay inside till more comes.  ALL: this
 * was the last.  No CRLF is divided between two calls that was not before. */
void retouch_filter(struct retouch_filter *filter, struct evbuffer *to, bool all);

#endif
