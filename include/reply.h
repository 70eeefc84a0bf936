#ifndef REPLY_H
#define REPLY_H

#include "xalloc.h"

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Lines from a server: one reply of one or more lines (RFC 5321 4.2), and replies that we
 * make ourselves.
 */
enum {
	REPLY_LINE_MAX = 4096,	/* longest line; RFC 5321 4.5.3.1.5 allows 512 */
	REPLY_MAX = 65536,	/* longest reply, all lines together */
	REPLY_OURS_MAX = 512,	/* longest line that we make (RFC 5321 4.5.3.1.5) */
};

enum reply_step {
	REPLY_MORE,		/* no whole reply yet */
	REPLY_WHOLE,
	REPLY_MALFORMED,	/* not SMTP: see reply_read() */
};

/* Starts as { 0 }, and again after each whole reply: reply_read() sees to it. */
struct reply_reader {
	size_t size;		/* bytes of whole lines seen so far */
	size_t searched;	/* bytes behind them known to have no LF */
	int code;		/* of these lines; 0: none yet */
};

/* A whole reply.  TEXT points into the input and is gone when that is touched. */
struct reply {
	int code;
	const char *text;	/* all lines with their line ends, not terminated */
	size_t size;
};

/* One line of a reply, without code, separator and line end. */
struct reply_line {
	const char *text;
	size_t size;
};

/*
 * Looks for a whole reply at the head of INPUT, which it leaves there: the caller drains
 * reply->size bytes when done with it.  A line ends with LF or CRLF.  Malformed is: no
 * three digits 200..599 in front; anything but ' ', '-' or the line's end behind them;
 * another code than the lines before; a NUL, a CR inside; a line or reply over its limit.
 */
enum reply_step reply_read(struct reply_reader *reader, struct evbuffer *input,
			   struct reply *reply) MUST_CHECK;

/* Walks over the lines: AT starts at 0.  False when there are no more. */
bool reply_next_line(const struct reply *reply, size_t *at, struct reply_line *line);

/* Puts the words of the first line into WORDS, terminated, cut to fit. */
void reply_first_words(const struct reply *reply, char *words, size_t size);

/* True if the line of an EHLO reply offers KEYWORD (RFC 5321 4.1.1.1), in any case; "AUTH"
 * also if spelled AUTH=... as before RFC 4954. */
bool reply_offers(const struct reply_line *line, const char *keyword);

/* Writes the reply to OUT, each line ended by CRLF. */
void reply_forward(const struct reply *reply, struct evbuffer *out);

/* Like reply_forward(), but asks EDIT about each line except the first: false leaves it
 * out, and LINE may be given other words, which live until the end of this call.  The last
 * line that is left is marked as the last. */
typedef bool reply_edit_cb(struct reply_line *line, void *arg);

void reply_forward_edited(const struct reply *reply, struct evbuffer *out,
			  reply_edit_cb *edit, void *arg);

/* The number behind the keyword of a line that offers SIZE (RFC 1870 section 3); 0: there
 * is none, or it is 0, and there is no fixed limit.  False: it does not offer that. */
bool reply_offers_size(const struct reply_line *line, uint64_t *most);

/*
 * Writes a reply of our own: "CODE[ ENHANCED] TEXT" CRLF.  ENHANCED (RFC 3463) may be NULL.
 * Bytes of TEXT that are not printable ASCII become '?'; the line is cut to REPLY_OURS_MAX.
 * A newline in TEXT starts another line of the same reply.
 */
void reply_make(struct evbuffer *out, int code, const char *enhanced, const char *text);

#endif
