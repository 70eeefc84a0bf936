#ifndef ICAP_H
#define ICAP_H

#include "xalloc.h"

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * ICAP (RFC 3507) as a client that has messages looked at: OPTIONS, and RESPMOD of an answer
 * of HTTP whose content the message is.
 *
 * What came of a message is told by the answer's code and by headers that engines put into
 * it, or into the answer of HTTP that is in it (draft-stecher-icap-subid, and what is
 * spoken); the content that comes back is handed to whoever compares it.
 */
enum {
	ICAP_PORT = 1344,
	ICAP_LINE_MAX = 8192,	    /* bytes of a line, its end included */
	ICAP_HEADER_MAX = 65536,    /* bytes of all lines of an answer */
	ICAP_NAME_SIZE = 128,
	ICAP_TAG_SIZE = 64,
};

/* ---- requests --------------------------------------------------------------------------- */

/* URL is that of the service: icap://ADDRESS:PORT/SERVICE. */
void icap_put_options(struct evbuffer *out, const char *url);

struct icap_request {
	const char *url;
	uint64_t size;		/* of the content */
	bool has_preview;	/* PREVIEW bytes come first, and then an answer is awaited */
	uint64_t preview;	/* no more than SIZE */
};
void icap_put_respmod(struct evbuffer *out, const struct icap_request *request);

/* SIZE bytes of content, more than none. */
void icap_put_chunk(struct evbuffer *out, const char *at, size_t size);

enum icap_stop {
	ICAP_STOP_PREVIEW,	/* the preview is over, there is more */
	ICAP_STOP_SHORT,	/* the preview was all there is */
	ICAP_STOP_ALL,
};
void icap_put_stop(struct evbuffer *out, enum icap_stop stop);

/* ---- answers ---------------------------------------------------------------------------- */

enum icap_threat {
	ICAP_NO_THREAT,
	ICAP_VIRUS,
	ICAP_POLICY,		/* not a virus, but not wanted either */
	ICAP_CONTAINER,		/* it could not be unpacked: too big, too deep, encrypted */
};

struct icap_answer {
	int code;		/* of ICAP */
	int http_code;		/* of the answer in it; 0: there is none */
	bool has_content;
	bool is_last;		/* the server will close the connection */
	enum icap_threat threat;
	char name[ICAP_NAME_SIZE];	/* of the threat, printable; may be empty */
	char tag[ICAP_TAG_SIZE];	/* ISTag; another one: other options */
	/* To OPTIONS. */
	bool offers_respmod;
	int64_t preview;	/* bytes; -1: none is wanted */
	int64_t ttl_s;		/* of these options; -1: not said */
	int64_t connections;	/* at the same time; -1: not said */
};

/* SIZE bytes of content. */
typedef void icap_content_cb(const char *at, size_t size, void *arg);

struct icap_reader {		/* zero it before each answer */
	enum {
		ICAP_AT_STATUS,
		ICAP_AT_HEADER,
		ICAP_AT_INNER,		/* headers of HTTP */
		ICAP_AT_CHUNK,
		ICAP_AT_CONTENT,
		ICAP_AT_CHUNK_END,
		ICAP_AT_TRAILER,
	} at;
	bool is_known;		/* all but the content has been read: ANSWER is valid */
	bool was_blank;		/* the line before */
	unsigned folded;	/* lines that continue the header WHICH */
	int which;
	size_t lines;		/* bytes of them */
	uint64_t left;		/* bytes of the headers of HTTP, or of a chunk */
	struct icap_answer answer;
};

enum icap_step {
	ICAP_MORE,
	ICAP_CONTINUE,		/* 100: the rest of the content is wanted; READER is new */
	ICAP_WHOLE,
	ICAP_MALFORMED,
};

/* Takes what there is of an answer out of IN. */
enum icap_step icap_read(struct icap_reader *reader, struct evbuffer *in,
			 icap_content_cb *content, void *arg) MUST_CHECK;

#endif
