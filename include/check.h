#ifndef CHECK_H
#define CHECK_H

#include "addr.h"
#include "config.h"
#include "log.h"
#include "resolver.h"
#include "retouch.h"
#include "spool.h"
#include "statestore.h"
#include "verdict.h"

#include <event2/event.h>

/*
 * What is known at a stage, in; findings, out.
 *
 * A virus scanner, a block list, a regex, a rate limit, a lock differ in when they look
 * and how long they take.  Each is a check: one row in check_rules.c.  The checks of one stage
 * run side by side; a round is over when all of them have answered, or one has found what no
 * other can undo.
 */
enum stage {
	STAGE_CONNECT = 1 << 0,		/* both ends are known, the server is not called yet */
	STAGE_GREETING = 1 << 1,	/* the server's greeting is about to be passed on */
	STAGE_HELO = 1 << 2,		/* these commands are about to be passed on: */
	STAGE_AUTH = 1 << 3,
	STAGE_MAIL = 1 << 4,
	STAGE_RCPT = 1 << 5,
	STAGE_DATA = 1 << 6,
	STAGE_MESSAGE = 1 << 7,		/* the message is complete, its dot is held */
};

/* The log's word for a stage. */
const char *stage_word(enum stage stage);

/*
 * What a spool must begin with, for scanners to take what follows for mail.  Written to
 * TO; returns its size.  Constant for a CFG.
 */
enum {
	CHECK_HEAD_SIZE = 512,
};
size_t check_head(const struct config *cfg, char to[static CHECK_HEAD_SIZE]);

/* What a check may look at.  What it points to lives until the round is over or
 * cancelled; a job in a thread takes its own references. */
struct evidence {
	const struct log_ctx *log;
	const struct addr *client, *server;
	const struct addr *outgoing;	/* our end of the server's connection; no address
					 * before, or if nobody wants to know (spf) */
	const char *ident;	/* of the client, as a helper says; may be empty */
	const char *helo;	/* argument of the last HELO or EHLO, be it refused; NULL: none yet */
	const char *sender;	/* path of MAIL; NULL: none, or no path; from STAGE_MAIL on */
	const char *recipient;	/* path of RCPT; at STAGE_RCPT only */
	const char *argument;	/* all of the command's; at its stage only, never of AUTH */
	unsigned recipients;	/* that the server accepted */
	char *const *paths;	/* of the first of these, as far as known */
	unsigned path_count;
	uint64_t size;		/* bytes of content; at STAGE_MESSAGE only */
	bool binary;		/* the message need not have lines (BODY=BINARYMIME) */
	bool lmtp;		/* the server speaks LMTP */
	unsigned of_host, of_ident;	/* sessions now of this client, this one included */
	bool spoke_early;	/* bytes came before the greeting; at STAGE_GREETING only */
	bool auth_offered;	/* by the server, at any time */
	bool authenticated;
	const char *user;	/* as whom (saslname.h); NULL: not authenticated, or not known */
	struct spool *message;	/* sealed; at STAGE_MESSAGE only, and NULL if nobody reads it */
	const char *header_blank;	/* our header in it, with header_facts.blank; NULL: none */
	uint64_t header_at;	/* where that is in the message */
	struct retouch *changes;	/* a check adds what it wants to be changed in the
				 * message if that is delivered; NULL: it has gone on
				 * already, nothing can be changed */
};

/* Engines, threads and connections that checks need; one for the process. */
struct checks;

/* Loads what any snapshot of CFG's file asks for (signatures ...).  NULL: WHY says what is wrong and what to do
 * about it. */
struct checks *checks_new(const struct config *cfg, char *why,
			  size_t why_size) MUST_CHECK;

/* The same, to explain what becomes of one message: only what reads messages with this CFG,
 * a snapshot, is there, nothing is counted or kept, and a round ends when all have answered. */
struct checks *checks_new_to_explain(const struct config *cfg, char *why,
				     size_t why_size) MUST_CHECK;

/* To be asked when privileges are gone and the root directory is another: can they work
 * like that?  False: WHY. */
bool checks_ready(struct checks *checks, char *why, size_t why_size) MUST_CHECK;

/* Starts threads; after this the process must not fork.  RESOLVER, which is asked when a
 * round is, must live as long; NULL: there is none.  False: errno. */
bool checks_start(struct checks *checks, struct event_base *base,
		  struct resolver *resolver) MUST_CHECK;

/* Lets CFG, a reloaded configuration, have what it can have without a restart, at once or,
 * where something must be loaded first, as soon as that is done.  Asks for a look at
 * whatever may have changed, too.  To be called in the loop. */
void checks_reconfigure(struct checks *checks, const struct config *cfg);

/* Another process serves from now on: lets it know what it has to; here it is that one, and
 * serves nobody yet. */
void checks_hand_over(struct checks *checks);
void checks_take_over(struct checks *checks);

/* What checks know is shared through STORE, which has not started. */
void checks_share(struct checks *checks, struct statestore *store);

/* No round may be under way: cancel them first.  Waits for threads that still look at
 * something (cancelled looks end early).  NULL is fine. */
void checks_free(struct checks *checks);

/* Stages at which any check of CFG wants to look. */
unsigned check_stages(const struct config *cfg);

/* True if a check of CFG wants to read the messages of such a client. */
bool check_reads(const struct config *cfg, bool authenticated);

/* True if there are any that read; for config_any(). */
bool check_looks(const struct config *cfg);

enum {
	CHECKS_MOST = 24,	/* there are no more of them */
};

/* What the checks of one stage have found; one for each that looked. */
struct findings {
	size_t count;
	struct finding at[CHECKS_MOST];
};

struct check_round;			/* the checks of one stage, under way */

/* FOUND lives until the call returns.  The round is gone by then. */
typedef void check_done_cb(const struct findings *found, void *arg);

/*
 * Starts the checks of a stage.  CFG must live as long as the round.  NULL: all of them,
 * or none, have looked, and FOUND is what they found; DONE will not be called.  Else DONE
 * is called from the loop, never from within, and FOUND is nothing.
 */
struct check_round *check_start(struct checks *checks, const struct config *cfg,
				enum stage stage, const struct evidence *evidence,
				struct findings *found, check_done_cb *done,
				void *arg) MUST_CHECK;

/* Forgets a round: DONE will not be called.  NULL is fine. */
void check_cancel(struct check_round *round);

/* Nobody waits any longer: FOUND is what there is by now, and who has not answered has
 * failed.  DONE will not be called, the round is gone. */
void check_expire(struct check_round *round, struct findings *found);

/* What became of what a stage let pass; for checks that count. */
enum happening {
	HAPPENED_MAIL_ACCEPTED,		/* by the server, these; rejected: for good, 5yz */
	HAPPENED_MAIL_REJECTED,
	HAPPENED_RCPT_ACCEPTED,
	HAPPENED_RCPT_REJECTED,
	HAPPENED_AUTH_ACCEPTED,
	HAPPENED_AUTH_REJECTED,
	HAPPENED_CONTENT,		/* a message came whole; its size is in the evidence */
};

/* Tells all checks of CFG. */
void check_note(struct checks *checks, const struct config *cfg,
		enum happening what, const struct evidence *evidence);

#endif
