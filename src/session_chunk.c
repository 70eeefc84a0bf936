#include "session_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * A message that comes by chunks (BDAT, RFC 3030 section 2), and how the server gets it.
 *
 * Each chunk is a short stay in BODY.  We answer those that are not the last: that
 * acknowledges nothing, for only the reply to the last is one to the message.  The server
 * gets what has come in pieces of its own, whatever the client's chunks were: as many as
 * are in a segment make one.  Its last piece has LAST, and goes out when the message is
 * judged and all pieces before were taken; without it there is no message, and the server
 * lives on after RSET.
 *
 * What the server has against a piece is the client's reply to its next chunk, and then
 * the mail is over.
 */
enum {
	PIECE_LEAST = 65536, /* that goes out while others are unanswered */
	UNANSWERED_MOST = 8,
};

/* ---- pieces to the server ---------------------------------------------------------- */

static size_t
gathered(const struct session *s)
{
	return s->mail->gathered ? evbuffer_get_length(s->mail->gathered) : 0;
}

static struct expected *
put_piece(struct session *s, const char *last, enum reply_plan plan)
{
	struct evbuffer *out = conn_output(s->server);
	struct expected *reply = pipeline_push(&s->owed, plan);

	evbuffer_add_printf(out, "BDAT %zu%s\r\n", gathered(s), last);
	if (s->mail->gathered)
		body_move(out, s->mail->gathered);
	reply->verb = VERB_BDAT;
	return reply;
}

static bool
is_piece_due(const struct session *s)
{
	size_t share = session_backlog_max(s) / 4;
	size_t least = share < PIECE_LEAST ? share : PIECE_LEAST;
	unsigned most = s->pipelining ? UNANSWERED_MOST : 1;
	bool comes = s->state != SESSION_REPLAYING && s->state != SESSION_OFFERING;

	if (gathered(s) == 0 || s->owed.count >= most ||
	    !pipeline_owes_pieces(&s->owed))
		return false;
	if (gathered(s) >= least)
		return true;
	return comes && s->owed.count == 0 && s->mail->chunk_left == 0;
}

static void
send_pieces(struct session *s)
{
	if (s->server && !s->mail->doom && is_piece_due(s))
		put_piece(s, "", PLAN_SWALLOW)->subject = SUBJECT_PIECE;
}

/* All before it were taken.  The server's reply is the client's. */
static void
send_last(struct session *s)
{
	session_content_sent(s, put_piece(s, " LAST", PLAN_FORWARD));
}

static void
hear(struct session *s)
{
	session_hear_words(s);
	send_pieces(s);
}

static bool
pass(struct session *s)
{
	struct transaction *mail = s->mail;

	if (!mail->gathered)
		mail->gathered = evbuffer_new();
	body_move(mail->gathered, mail->message);
	send_pieces(s);
	return true;
}

static void
release(struct session *s)
{
	s->mail->judged = true;
	if (s->owed.count == 0)
		send_last(s);
	else
		session_enter(s, SESSION_OFFERING);
}

const struct delivery session_chunk = {
	.keeps_server = true,
	.hear = hear,
	.pass = pass,
	.release = release,
	.give_up = session_reset_mail,
};

static void
go_on(struct session *s)
{
	if (s->state != SESSION_OFFERING)
		send_pieces(s);
	else if (s->mail->doom)
		session_body_complete(s);
	else if (s->owed.count == 0)
		send_last(s);
}

/* The mail may be over already: then nobody wants to know. */
void
session_chunk_reply(struct session *s, const struct reply *reply)
{
	if (reply->code == 421) {
		session_server_leaves(s, reply);
		return;
	}
	if (s->mail && !s->mail->doom && reply->code >= 400)
		session_doom_by_reply(s, reply);
	evbuffer_drain(conn_input(s->server), reply->size);
	pipeline_done(&s->owed);
	if (s->mail)
		go_on(s);
	if (s->state != SESSION_CLOSING)
		session_answer_due(s);
}

/* ---- chunks of the client ---------------------------------------------------------- */

static void
throw_away(struct session *s, uint64_t size)
{
	s->chunk_left = size;
	s->window_from = conn_received(s->client);
}

void
session_chunk_throw(struct session *s, const struct command *command)
{
	struct chunk chunk;

	if (!command_chunk(command->argument, &chunk))
		abort(); /* see session_chunk_refused() */
	throw_away(s, chunk.size);
}

static bool
has_recipient(const struct session *s)
{
	return s->mail && s->mail->recipients > 0;
}

static void
refuse(struct session *s, uint64_t size)
{
	session_answer(s, 503, "5.5.1", s->cfg->msg_no_recipients);
	throw_away(s, size);
}

/* Whatever the client meant: without this chunk it is not the message, so none of it may
 * be delivered, nor what comes behind. */
static void
refuse_faulty(struct session *s, uint64_t size)
{
	session_answer(s, 501, "5.5.4", s->cfg->msg_bdat_syntax);
	throw_away(s, size);
	if (s->mail)
		session_reset_mail(s);
}

/* Where it is not offered nobody should send it; who does sends content right behind,
 * which must never be taken for commands.  Of one without a size nobody knows the end: the
 * session is over; and it is refused for good, as it would be the same the next time. */
bool
session_chunk_refused(struct session *s, const struct command *command)
{
	struct chunk chunk;

	if (command->verb != VERB_BDAT)
		return false;
	if (!command_chunk(command->argument, &chunk)) {
		session_log_fault(s,
		                  "no size can be read: nobody knows where its content "
		                  "ends",
		                  command);
		session_answer_last(s, END_CLIENT_PROTOCOL, 501, "5.5.4",
		                    s->cfg->msg_client_error);
	} else if (!s->chunking) {
		session_refuse_command(s, command);
		throw_away(s, chunk.size);
	} else if (chunk.faulty) {
		session_log_fault(s,
		                  "behind the size stands something else than LAST: "
		                  "the message is over",
		                  command);
		session_chunk_command(s, command);
	} else if (pipeline_owes_pieces(&s->owed) && !has_recipient(s)) {
		refuse(s, chunk.size);
	} else {
		return false;
	}
	return true;
}

/* Behind other commands it waits until they are answered: on these depends what it is. */
void
session_chunk_command(struct session *s, const struct command *command)
{
	struct expected *later;
	struct chunk chunk;

	if (!command_chunk(command->argument, &chunk))
		abort(); /* see session_chunk_refused() */
	if (pipeline_owes_pieces(&s->owed)) {
		session_chunk_due(s, &chunk);
		return;
	}
	later = pipeline_push(&s->owed, PLAN_LATER);
	later->subject = SUBJECT_COMMAND;
	later->verb = VERB_BDAT;
	later->size = chunk.size;
	later->last = chunk.last;
	later->faulty = chunk.faulty;
	later->ends_group = true;
	session_answer_due(s);
}

static void
begin(struct session *s)
{
	if (session_holds(s))
		session_hold_begin(s);
	else
		session_body_begin(s, &session_chunk);
}

void
session_chunk_due(struct session *s, const struct chunk *chunk)
{
	struct transaction *mail = s->mail;

	if (chunk->faulty) {
		refuse_faulty(s, chunk->size);
		return;
	}
	if (!has_recipient(s)) {
		refuse(s, chunk->size);
		return;
	}
	mail->chunk_size = mail->chunk_left = chunk->size;
	mail->last_chunk = chunk->last;
	mail->chunks++;
	if (mail->way)
		session_body_next_chunk(s);
	else
		begin(s);
}

/* It is where it has to be, which is nothing that the client could build on. */
void
session_chunk_over(struct session *s)
{
	char words[64];

	snprintf(words, sizeof(words), "%" PRIu64 " octets", s->mail->chunk_size);
	session_say(s, 250, "2.0.0", words);
	session_enter(s, SESSION_RELAYING);
}

/* Many that come in time are no drip, however many they are. */
void
session_chunk_window_over(struct session *s)
{
	uint64_t least = (uint64_t)(s->cfg->min_body_rate * s->cfg->timeout_command);

	if (conn_received(s->client) - s->window_from < least) {
		session_end(s, END_CLIENT_SLOW);
		return;
	}
	s->window_from = conn_received(s->client);
	session_set_due(s, s->cfg->timeout_command);
}

/* ---- between them ------------------------------------------------------------------- */

bool
session_between_chunks(const struct session *s)
{
	return s->state == SESSION_RELAYING && s->mail && s->mail->way;
}

/* What would begin another mail, or change who the client is (RFC 3030 section 2). */
bool
session_chunk_intruded(struct session *s, const struct command *command)
{
	static const bool intrudes[VERB_COUNT] = {
		[VERB_MAIL] = true, [VERB_RCPT] = true,     [VERB_DATA] = true,
		[VERB_AUTH] = true, [VERB_STARTTLS] = true, [VERB_XFORWARD] = true,
	};

	if (!session_between_chunks(s) || !intrudes[command->verb])
		return false;
	session_answer(s, 503, "5.5.1", s->cfg->msg_bdat_next);
	return true;
}

struct log_field
session_chunks_field(const struct session *s)
{
	return s->mail->chunks > 0 ? log_number("chunks", (int64_t)s->mail->chunks)
	                           : log_text("chunks", NULL);
}
