#ifndef RSPAMD_H
#define RSPAMD_H

#include "xalloc.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * What rspamd is told beside a message, in headers of HTTP, and what it answers, in JSON
 * (POST /checkv2):
 *
 *	{"score":15.0,"required_score":15.0,"action":"reject",
 *	 "symbols":{"GTUBE":{"name":"GTUBE","score":0.0, ...}, ...}, ...}
 *
 * What is told comes from peers: a byte of it that is not printable ASCII goes as '?', so
 * that no value can end its line.  Malformed is an answer that is no JSON, has no action,
 * or no score that is a number.
 */
enum {
	RSPAMD_VALUE_MAX = 1000,	/* bytes of a header's value; the rest is cut off */
	RSPAMD_ANSWER_MAX = 262144,
	RSPAMD_WORDS_SIZE = 128,
	RSPAMD_SYMBOLS_SIZE = 256,
	RSPAMD_CHANGES_MOST = 256,	/* that it may want, see below; the rest is left out */
};

/* "NAME: VALUE"; with "<>" around it, if VALUE is a path of the envelope (RFC 5321).  To be
 * freed. */
char *rspamd_header(const char *name, const char *value) MUST_CHECK;
char *rspamd_header_path(const char *name, const char *path) MUST_CHECK;

enum rspamd_action {
	RSPAMD_NO_ACTION,
	RSPAMD_GREYLIST,
	RSPAMD_ADD_HEADER,
	RSPAMD_REWRITE_SUBJECT,
	RSPAMD_SOFT_REJECT,
	RSPAMD_REJECT,
	RSPAMD_QUARANTINE,
	RSPAMD_DISCARD,
};

/* Its word: "no action", "add header" ... */
const char *rspamd_action_word(enum rspamd_action action);

enum rspamd_result {
	RSPAMD_ANSWERED,
	RSPAMD_REFUSED,		/* it has not looked, and WORDS says why */
	RSPAMD_STRANGE,		/* an action that we do not know: WORDS is its name */
	RSPAMD_MALFORMED,	/* WORDS says in what */
};

struct rspamd_answer {
	enum rspamd_action action;
	double score, required;		/* required: 0 if it does not say */
	char words[RSPAMD_WORDS_SIZE];	/* printable */
	char symbols[RSPAMD_SYMBOLS_SIZE];	/* that speak for spam, "A,B", what weighs
						 * most first; as many as fit; printable */
};

/*
 * What it would change in the header section, told one by one:
 *
 *	"milter":{"add_headers":{"X-Spam":{"value":"Yes","order":1}, "X-Note":["a","b"]},
 *		  "remove_headers":{"X-Spam":0}},
 *	"dkim-signature":"v=1; ...", "subject":"***SPAM*** ..."
 *
 * Texts are from outside, UTF-8, of any length and with any characters but NUL.  What is of
 * another shape is left out, and so are fields that are counted from the end.  Signatures
 * come first.  WHICH: 1 is the first of its name, 0 means all.
 */
struct rspamd_changer {
	void (*add)(void *arg, const char *name, const char *value);
	void (*remove)(void *arg, const char *name, unsigned which);
	void (*subject)(void *arg, const char *text);	/* with RSPAMD_REWRITE_SUBJECT only */
	void *arg;
};

/* CHANGER hears of changes if the result is RSPAMD_ANSWERED; NULL: nobody wants to know. */
enum rspamd_result rspamd_read(const char *text, size_t size,
			       struct rspamd_answer *answer,
			       const struct rspamd_changer *changer) MUST_CHECK;

#endif
