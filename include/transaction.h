#ifndef TRANSACTION_H
#define TRANSACTION_H

#include "body.h"
#include "check.h"
#include "header.h"
#include "outcome.h"
#include "retouch.h"
#include "spool.h"
#include "verdict.h"

/*
 * One mail: envelope, content, verdict (RFC 5321 3.3).
 *
 * Whether a mail is open is for the server to say; a transaction begins with its word on
 * MAIL (or with its 354, if it wanted no MAIL) and ends with the last word on the content,
 * or with RSET, HELO, EHLO, LHLO.
 */
struct delivery;		/* a way to deliver: see session_internal.h */

enum {
	EARLY_MOST = 3,		/* kinds of findings that a message can have before its end */
	TRANSACTION_PATHS = 100,	/* of recipients that are remembered */
	TRANSACTION_PATH_BYTES = 16384,	/* of all of them together */
};

struct transaction {
	struct log_ctx log;
	char *sender;			/* owned; NULL: not known */
	unsigned recipients;		/* that the server accepted */
	char **paths;			/* of the first of them, as far as known; owned */
	unsigned path_count;
	size_t path_bytes;
	uint64_t declared;		/* size that MAIL has declared; 0: none */
	const struct delivery *way;	/* how it reaches the server; NULL before its content */
	struct body_decoder decoder;
	struct body_encoder encoder;
	struct evbuffer *message;	/* decoded, on its way to spool and server */
	struct evbuffer *gathered;	/* for the next piece; NULL: it is not sent by pieces */
	uint64_t chunk_size, chunk_left;	/* of the client's chunk */
	uint64_t chunks;		/* that the client has sent; 0: it comes by DATA */
	char *header;			/* ours, to be put in; owned, NULL: none */
	char *header_blank;		/* with header_facts.blank; owned, NULL: none */
	uint64_t header_at;		/* where it is in the spool, once it is placed */
	struct header_place place;
	struct retouch *intake;		/* headers of others that go; owned, NULL: none */
	struct retouch *changes;	/* if it was held; owned, NULL: nothing can be changed */
	struct retouch_filter *filter;	/* by the one while it comes, by the other when the
					 * server gets it; owned, NULL: nothing changes */
	const char *spf;		/* word of SPF's result; NULL: not asked */
	struct spool *spool;		/* NULL if no check wants it */
	struct check_round *round;	/* while it is judged */
	struct verdict verdict;
	struct outcome outcome;		/* what the server says of its content */
	uint64_t size;			/* bytes of content, decoded, our header left out */
	struct finding early[EARLY_MOST];	/* let pass, until the end is judged */
	unsigned early_count;
	uint64_t judged_at;		/* ms, monotonic: when the dot was seen */
	uint64_t replayed;		/* bytes of the spool that the server got from there */
	bool binary;			/* it need not have lines */
	bool last_chunk;		/* the client's chunk is its last */
	bool complete;			/* the lone dot was seen, or the end of the last chunk */
	bool judged;			/* held, and to be delivered: the server gets all of it */
	enum {
		DOOM_NONE,
		DOOM_BY_VERDICT,	/* the verdict stands before the end */
		DOOM_BY_REPLY,		/* the server refused before it had the end */
		DOOM_BY_LOSS,		/* the server is gone */
	} doom;				/* content is discarded; why */
	bool untagged;			/* the server had its subject before the verdict */
	bool unchecked;			/* it could not be stored, and passes nevertheless */
	bool waits_for_space;		/* the spool took nothing: SPOOL_WAIT */
};

struct transaction *transaction_new(const struct log_ctx *session, unsigned number,
				    const char *sender);

/* The server accepted a recipient; PATH may be NULL. */
void transaction_add_recipient(struct transaction *mail, const char *path);

/* The first of them; NULL: there is none, or it is not known. */
const char *transaction_recipient(const struct transaction *mail);

/* What can be seen of a message without looking into it: of SIZE bytes so far, with BARE
 * newlines in it that stand alone.  Returns how many are FOUND. */
enum {
	TRANSACTION_FAULTS = 2,
};
size_t transaction_faults(const struct config *cfg, uint64_t size, uint64_t bare,
			  struct finding found[static TRANSACTION_FAULTS]);

/* The mail needs its spool no more; without one is fine.  A check may hold on to it. */
void transaction_drop_spool(struct transaction *mail);

void transaction_free(struct transaction *mail);	/* NULL is fine */

#endif
