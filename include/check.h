#ifndef CHECK_H
#define CHECK_H

#include "addr.h"
#include "config.h"
#include "log.h"
#include "spool.h"
#include "verdict.h"

#include <event2/event.h>

/*
 * What is known at a stage, in; findings, out.
 *
 * A virus scanner, a block list, a regex, a rate limit differ in when they look and how
 * long they take.  Each is a check: one row in check.c.  The checks of one stage run side
 * by side; a round is over when all of them have answered.
 */
enum stage {
	STAGE_MESSAGE = 1 << 0,		/* the message is complete, its dot is held */
};

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
	struct spool *message;		/* sealed; at STAGE_MESSAGE only */
};

/* Engines, threads and connections that checks need; one for the process. */
struct checks;

/* Loads what any snapshot of CFG's file asks for (signatures ...).  NULL: WHY says what is wrong and what to do
 * about it. */
struct checks *checks_new(const struct config *cfg, char *why,
			  size_t why_size) MUST_CHECK;

/* To be asked when privileges are gone and the root directory is another: can they work
 * like that?  False: WHY. */
bool checks_ready(struct checks *checks, char *why, size_t why_size) MUST_CHECK;

/* Starts threads; after this the process must not fork.  False: errno. */
bool checks_start(struct checks *checks, struct event_base *base) MUST_CHECK;

/* Lets CFG, a reloaded configuration, have what it can have without a restart, at once or,
 * where something must be loaded first, as soon as that is done.  Asks for a look at
 * whatever may have changed, too.  To be called in the loop. */
void checks_reconfigure(struct checks *checks, const struct config *cfg);

/* No round may be under way: cancel them first.  Waits for threads that still look at
 * something (cancelled looks end early).  NULL is fine. */
void checks_free(struct checks *checks);

/* Stages at which any check of CFG wants to look. */
unsigned check_stages(const struct config *cfg);

/* True if there are any; for config_any(). */
bool check_looks(const struct config *cfg);

struct check_round;			/* the checks of one stage, under way */

/* FOUND lives until the call returns.  The round is gone by then. */
typedef void check_done_cb(const struct finding *found, size_t count, void *arg);

/* Starts the checks of a stage.  CFG must live as long as the round.  DONE is called from the loop, never from within.  NULL if
 * no check looks at this stage: then DONE is not called, and nothing is found. */
struct check_round *check_start(struct checks *checks, const struct config *cfg,
				enum stage stage, const struct evidence *evidence,
				check_done_cb *done, void *arg) MUST_CHECK;

/* Forgets a round: DONE will not be called.  NULL is fine. */
void check_cancel(struct check_round *round);

#endif
