#ifndef BODY_H
#define BODY_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Message content on the wire: lines with doubled dots, ended by a lone dot
 * (RFC 5321 4.1.1.4, 4.5.2).
 *
 * Decoding turns wire bytes into message bytes, encoding goes the other way.  Content
 * crosses the gateway only through both.  So what we send has one end of message, and
 * only where we put it, whatever the sender tried to hide in it.
 *
 * On the wire only CRLF ends a line, and only CRLF.CRLF (or .CRLF at the very start) ends
 * a message.  A CR or LF that stands alone is content: what becomes of it is the
 * newline policy, which never moves the end of the message.
 *
 * A coder serves one message and starts as { 0 } (BODY_NORMALISE).
 */
enum body_newlines {
	BODY_NORMALISE,		/* each CR or LF that stands alone becomes CRLF */
	BODY_PASS,		/* they stay as they are */
	BODY_BINARY,		/* so do they, and are nothing odd: content without lines
				 * (BINARYMIME, RFC 3030 section 3), by chunks only */
};

enum body_step {
	BODY_MORE,		/* everything was used; more is to come */
	BODY_END,		/* the lone dot was seen; what follows it is left in WIRE */
};

struct body_decoder {
	enum body_newlines newlines;
	enum {
		DECODE_LINE_START,
		DECODE_TEXT,
		DECODE_CR,		/* held back until the next byte is known */
		DECODE_DOT,		/* the first byte of a line, removed */
		DECODE_DOT_CR,		/* the CR is held back, too */
		DECODE_BARE,		/* behind a lone CR or LF that became CRLF */
		DECODE_NULS,		/* a line of NULs so far */
		DECODE_NULS_DOT,	/* a line of NULs and one dot, not in front */
	} state;
	uint64_t bare;		/* CRs and LFs seen standing alone */
};

struct body_encoder {
	enum {
		ENCODE_LINE_START,
		ENCODE_TEXT,
		ENCODE_CR,
	} state;
};

/* Moves content from WIRE to MESSAGE, undotted and with newlines as the policy says.  With
 * BODY_NORMALISE, MESSAGE gets no CR and no LF but in CRLF.  A CRLF comes whole, never half
 * by one call and half by the next.  Call again when WIRE has grown, but not after
 * BODY_END.
 *
 * Some receivers ignore NULs (".<NUL>" and "<NUL>." are on the lists of known attacks).
 * So with BODY_NORMALISE, a line that is a lone dot but for NULs in front of it gets a
 * second dot at its end, in what is scanned and what is sent alike. */
enum body_step body_decode(struct body_decoder *dec, struct evbuffer *wire,
			   struct evbuffer *message);

/*
 * Content that comes by chunks (BDAT, RFC 3030 section 2): no dots, and no end to be found
 * in it; the newline policy is the same, with a CR held back from one chunk to the next.
 *
 * Moves content from WIRE to MESSAGE, at most LEFT bytes of the wire, and takes what it
 * moved off LEFT.  body_decode_last_chunk() when the last one is all here: a CR at the very
 * end stands alone.
 */
void body_decode_chunk(struct body_decoder *dec, struct evbuffer *wire, uint64_t *left,
		       struct evbuffer *message);
void body_decode_last_chunk(struct body_decoder *dec, struct evbuffer *message);

/* Moves all of FROM to the end of TO; little is copied, so that it takes little memory. */
void body_move(struct evbuffer *to, struct evbuffer *from);

/* Moves all of MESSAGE to WIRE, dotted. */
void body_encode(struct body_encoder *enc, struct evbuffer *message,
		 struct evbuffer *wire);

/* Writes the end of the message: the dot that hands it over. */
void body_encode_end(const struct body_encoder *enc, struct evbuffer *wire);

#endif
