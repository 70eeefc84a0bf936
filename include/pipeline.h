#ifndef PIPELINE_H
#define PIPELINE_H

#include "command.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The replies still owed to the client, in the order it must see them.
 *
 * SMTP answers commands strictly in order, also when they come in groups (RFC 2920).  We
 * forward some commands, answer some ourselves, and send some of our own; this queue keeps
 * the three apart.  A local answer never overtakes a server's.
 */
enum reply_plan {
	PLAN_FORWARD,	/* the server will answer; the client shall see it */
	PLAN_SWALLOW,	/* the server will answer; the client never asked */
	PLAN_ANSWER,	/* the server was not asked; we answer when it is due */
	PLAN_LATER,	/* nobody was asked: what is to be done is seen when it is due */
};

/* What the reply is to: a verb, or one of the things that are not commands. */
enum reply_subject {
	SUBJECT_COMMAND,	/* see verb */
	SUBJECT_GREETING,	/* the server's first words */
	SUBJECT_CHALLENGED,	/* an answer to an AUTH challenge */
	SUBJECT_CONTENT,	/* the message that was just handed over */
	SUBJECT_PIECE,		/* a part of a message, not its last; the client never asked */
	SUBJECT_HELD,		/* a command of ours for the sake of a held message; see verb */
};

struct expected {
	unsigned char plan;	/* enum reply_plan */
	unsigned char subject;	/* enum reply_subject */
	unsigned char verb;	/* enum verb */
	bool ends_group;	/* no further command is read before this reply */
	unsigned char end;	/* not 0: our answer is the last word of the session, and why */
	bool binary;		/* MAIL with BODY=BINARYMIME */
	bool last;		/* BDAT with LAST */
	bool faulty;		/* BDAT with something else behind its size */
	int code;		/* of our answer (PLAN_ANSWER) */
	const char *enhanced;	/* of our answer, static */
	char *text;		/* owned: our answer, or what the command was about */
	uint64_t size;		/* of the message, as MAIL declares it, 0: it does not; or of
				 * the chunk of BDAT */
	const char *spf;	/* word of SPF's result for MAIL, static; NULL: not asked */
};

/* A ring that grows from nothing to what its user allows. */
struct pipeline {
	struct expected *ring;
	unsigned size, first, count;
};

void pipeline_init(struct pipeline *line);
void pipeline_fini(struct pipeline *line);

/* Puts an entry at the end and returns it, zeroed but for PLAN; valid until the next
 * push.  The caller has seen to the limit. */
struct expected *pipeline_push(struct pipeline *line, enum reply_plan plan);

/* The reply that is due next, or NULL when nothing is owed. */
struct expected *pipeline_due(const struct pipeline *line);

/* Removes the entry that was due, with its text. */
void pipeline_done(struct pipeline *line);

/* Replies that the server owes (PLAN_FORWARD, PLAN_SWALLOW). */
bool pipeline_awaits_server(const struct pipeline *line);

/* True while nothing is owed to the client itself, but parts of a message. */
bool pipeline_owes_pieces(const struct pipeline *line);

/* True if the last entry must be answered before the next command is read. */
bool pipeline_group_ended(const struct pipeline *line);

#endif
