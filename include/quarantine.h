#ifndef QUARANTINE_H
#define QUARANTINE_H

#include "addr.h"
#include "config.h"
#include "log.h"
#include "spool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Messages that are kept, for the administrator to look at and perhaps to release.
 *
 * Each is two files in one directory: ID.eml, the message as it was scanned, byte for
 * byte, and ID.json, which says who, when, from whom, for whom, and what was found.  The
 * json file comes last: what has none has not been written to its end.  ID is made of
 * time, session and number of the mail, never of what peers say.
 *
 * All of it happens in the loop, in steps that are small whatever the sizes are.  Files
 * that anybody else has put into the directory are never written to or followed.
 */
struct quarantine;

enum {
	QUARANTINE_ID_SIZE = 48,
};

struct quarantine_limits {
	uint64_t size;		/* bytes of all that is kept; 0: no limit */
	int64_t age;		/* seconds; 0: no limit */
	mode_t mode;		/* permissions of the files */
};

/* What there is to be said of a message.  Texts are from outside, whatever they hold; NULL:
 * not known. */
struct quarantine_note {
	const struct log_ctx *log;
	const struct addr *client, *server;
	const char *ident, *helo;
	bool authenticated;
	const char *user;		/* as whom */
	bool binary;			/* it came with BODY=BINARYMIME */
	bool lmtp;			/* the server speaks LMTP */
	const char *sender;
	char *const *recipients;
	unsigned recipient_count;	/* of these */
	unsigned recipients_total;	/* that the server accepted */
	const char *finding, *name, *check, *action;	/* words of the log */
};

/* Opens the DIRECTORY, from the root that we have and as the user that we are.  Looks, when
 * the loop turns, for what is in it.  NULL: WHY. */
struct quarantine *quarantine_new(struct event_base *base, const char *directory,
				  const struct quarantine_limits *limits, char *why,
				  size_t why_size) MUST_CHECK;

void quarantine_set(struct quarantine *quarantine,
		    const struct quarantine_limits *limits);

/* Writes what is not written yet, whatever the time.  NULL is fine. */
void quarantine_free(struct quarantine *quarantine);

/* Keeps a message: SPOOL, which is sealed and will be held as long as it takes.  Puts its
 * ID into ID.  The file of one that is in a file is there at once, that of another one
 * soon.  False: it is not kept, and it was logged why. */
bool quarantine_keep(struct quarantine *quarantine, struct spool *spool,
		     const struct quarantine_note *note,
		     char id[static QUARANTINE_ID_SIZE]) MUST_CHECK;

/* The path of a kept message; to be freed. */
char *quarantine_path(const struct quarantine *quarantine, const char *id) MUST_CHECK;

/* Where CFG keeps messages, seen from the daemon's root. */
const char *quarantine_directory(const struct config *cfg);

/*
 * --quarantine: what there is, one of them, away with some, one of them to its server or to a
 * file; with a daemon running or without.  ARGS are the words behind the name of the
 * configuration file.  Says what went wrong; returns the exit code.
 */
enum {
	EXIT_NOT_TAKEN = 5,	/* the server has not taken what was to be released */
};

struct quarantine_wish {
	const struct config *cfg;
	char **args;		/* ends with NULL */
	const char *to;		/* file to write to, "-": standard output */
	const char *server;	/* to release to, "HOST:PORT" */
	const char *older;	/* than this age */
	bool remove;		/* it, when it has been released */
};

int quarantine_command(const struct quarantine_wish *wish);

#endif
