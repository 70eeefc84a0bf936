#include "session_internal.h"

#include "resultheader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * A message that the server hears of when it is judged.
 *
 * The client's DATA gets our own 354, and the message waits in its spool.  Upon a good
 * verdict the server gets DATA, and what it says to that, or to the message, is the
 * client's final reply: nothing is acknowledged by us.  Upon a bad one the server gets
 * RSET, and the session goes on.
 *
 * With delivery = auto a message that grows too large goes over: the server gets DATA,
 * what has come so far, and the rest as it comes.
 */
enum {
	/* Most that is read from a spool in one go; libevent adds a head, and rounds up to a
	 * power of two. */
	PIECE = 65536 - 256,
};

/* ---- our own commands ------------------------------------------------------------- */

static void
ask(struct session *s, enum reply_subject subject, enum verb verb)
{
	struct evbuffer *out = conn_output(s->server);
	const char *name = verb_name(verb);
	struct expected *reply;

	evbuffer_add(out, name, strlen(name));
	evbuffer_add(out, "\r\n", 2);
	reply = pipeline_push(&s->owed,
	                      subject == SUBJECT_HELD ? PLAN_SWALLOW : PLAN_FORWARD);
	reply->subject = (unsigned char)subject;
	reply->verb = (unsigned char)verb;
	reply->ends_group = true;
}

/* Not every server takes commands in groups, and what a DATA of the client's leads to
 * depends on the replies before it. */
void
session_ask_later(struct session *s, enum reply_subject subject, enum verb verb)
{
	struct expected *later = pipeline_push(&s->owed, PLAN_LATER);

	later->subject = (unsigned char)subject;
	later->verb = (unsigned char)verb;
	later->ends_group = true;
	session_answer_due(s);
}

/* ---- DATA of the client ----------------------------------------------------------- */

/*
 * Without a recipient there is nothing to hold: the server says so itself, or knows
 * better.  What nobody reads need not wait either.  A size that MAIL declares says nothing
 * where something may be written into the message: spam would declare a large one.
 */
bool
session_holds(const struct session *s)
{
	if (!s->mail || s->mail->recipients == 0 || !session_body_is_kept(s))
		return false;
	return config_judges_first(s->cfg,
	                           resultheader_writes(s->cfg) ? 0 : s->mail->declared);
}

static void
await_noop(struct session *s)
{
	if (s->cfg->hold_noop > 0)
		session_set_noop(s, s->cfg->hold_noop);
}

void
session_hold_begin(struct session *s)
{
	session_body_begin(s, &session_hold);
	await_noop(s);
}

/* From here on it is one that comes from its spool. */
static void
taken(struct session *s)
{
	s->mail->way = s->mail->chunks > 0 ? &session_chunk : &session_stream;
	session_enter(s, SESSION_REPLAYING);
}

void
session_hold_due(struct session *s, enum reply_subject subject, enum verb verb)
{
	if (subject == SUBJECT_HELD && verb == VERB_BDAT) {
		taken(s);
	} else if (subject == SUBJECT_COMMAND && s->mail && s->mail->binary) {
		session_answer(s, 503, "5.5.1", s->cfg->msg_bdat_next);
	} else if (subject != SUBJECT_COMMAND || !session_holds(s)) {
		ask(s, subject, verb);
	} else {
		session_say(s, 354, NULL, s->cfg->msg_go_ahead);
		session_hold_begin(s);
	}
}

/* ---- while it comes and is judged ------------------------------------------------- */

/* Nothing is owed but to us.  What was found before that remains the reason. */
static void
lose_server(struct session *s)
{
	session_drop_server(s);
	pipeline_fini(&s->owed);
	if (!s->mail->doom)
		session_doom(s, DOOM_BY_LOSS);
}

/* A NOOP that is refused has kept the server awake, too, but some count that as an error
 * of the client's.  False: this was no answer to a NOOP or a piece, or a last word. */
static bool
take_word(struct session *s, const struct reply *reply)
{
	const struct expected *due = pipeline_due(&s->owed);
	int code = reply->code;
	bool answers = due && code != 421 && (code < 300 || code > 399);

	if (answers && code >= 400) {
		if (due->subject == SUBJECT_HELD)
			s->noop_at = 0;
		else if (!s->mail->doom)
			session_doom_by_reply(s, reply);
	}
	if (!answers && code != 421)
		session_log_nonsense(s, "nobody has asked for this reply");
	evbuffer_drain(conn_input(s->server), reply->size);
	if (answers)
		pipeline_done(&s->owed);
	return answers;
}

void
session_hear_words(struct session *s)
{
	struct reply reply;

	for (;;) {
		switch (reply_read(&s->replies, conn_input(s->server), &reply)) {
		case REPLY_WHOLE:
			if (take_word(s, &reply))
				continue;
			break;
		case REPLY_MALFORMED:
			session_log_nonsense(s, "this is no reply of SMTP");
			break;
		case REPLY_MORE:
			if (!session_server_gone(s))
				return;
			break;
		}
		lose_server(s);
		return;
	}
}

/* Without it servers would hang up on a client that is slow to send. */
void
session_hold_noop(struct session *s)
{
	bool waits = s->state == SESSION_BODY || s->state == SESSION_JUDGING ||
	             session_between_chunks(s);

	s->noop_at = 0;
	if (!waits || !s->mail->way->holds || session_server_gone(s))
		return;
	if (s->owed.count == 0)
		ask(s, SUBJECT_HELD, VERB_NOOP);
	await_noop(s);
}

static void
offer(struct session *s)
{
	session_enter(s, SESSION_OFFERING);
	session_ask_later(s, SUBJECT_HELD, s->mail->chunks > 0 ? VERB_BDAT : VERB_DATA);
}

/* It is at rest; and is it too large for that? */
static bool
pass(struct session *s)
{
	struct transaction *mail = s->mail;

	evbuffer_drain(mail->message, evbuffer_get_length(mail->message));
	if (s->cfg->delivery != DELIVERY_AUTO ||
	    mail->size <= (uint64_t)s->cfg->hold_max_size)
		return true;
	offer(s);
	return false;
}

/* ---- the verdict ------------------------------------------------------------------ */

static void
release(struct session *s)
{
	struct transaction *mail = s->mail;

	mail->judged = true;
	retouch_filter_free(mail->filter);
	mail->filter = retouch_is_empty(mail->changes)
	                       ? NULL
	                       : retouch_filter_new(mail->changes);
	offer(s);
}

/* For the client the mail is over, and so it must be for the server.  A server that has
 * left meanwhile cannot be used any more. */
void
session_reset_mail(struct session *s)
{
	session_forget_mail(s);
	if (!s->server) {
		session_end(s, END_SERVER_LOST);
		return;
	}
	if (s->state != SESSION_RELAYING)
		session_enter(s, SESSION_RELAYING);
	session_ask_later(s, SUBJECT_HELD, VERB_RSET);
}

const struct delivery session_hold = {
	.holds = true,
	.keeps_server = true,
	.hear = session_hear_words,
	.pass = pass,
	.release = release,
	.give_up = session_reset_mail,
};

/* ---- offering it to the server ---------------------------------------------------- */

/* Not: it is in the middle of a message, or waits for what we say about that. */
static bool
client_listens(const struct session *s)
{
	return !s->mail || s->mail->judged || s->state == SESSION_RELAYING;
}

/* The server leaves: the client hears so, now or at its dot. */
static void
server_left(struct session *s, enum session_end why)
{
	if (client_listens(s)) {
		session_end(s, why);
		return;
	}
	lose_server(s);
	session_body_resume(s);
}

static void
declined(struct session *s, int code, const char *words)
{
	if (client_listens(s)) {
		session_content_declined(s, code, words);
		session_ask_later(s, SUBJECT_HELD, VERB_RSET);
		return;
	}
	session_body_resume(s);
	await_noop(s);
}

static void
go_on(struct session *s, enum verb verb, int code, const char *words)
{
	if (code == 421)
		server_left(s, END_SERVER_CLOSED);
	else if (verb == VERB_DATA && code == 354)
		taken(s);
	else if (verb == VERB_DATA)
		declined(s, code, words);
	if (s->state != SESSION_CLOSING)
		session_answer_due(s);
}

/* Of what the server says to us the client hears its refusal of the message, and its
 * last word. */
void
session_hold_reply(struct session *s, const struct expected *due,
                   const struct reply *reply)
{
	enum verb verb = (enum verb)due->verb;
	int code = reply->code;
	bool refuses = code == 421 || (verb == VERB_DATA && code >= 400);
	char words[256];

	reply_first_words(reply, words, sizeof(words));
	if (refuses && client_listens(s))
		session_forward_last(s, reply);
	else if (refuses && code != 421)
		session_doom_by_reply(s, reply);
	if (verb == VERB_NOOP && code >= 400)
		s->noop_at = 0;
	evbuffer_drain(conn_input(s->server), reply->size);
	pipeline_done(&s->owed);
	go_on(s, verb, code, words);
}

void
session_turn_offering(struct session *s)
{
	session_take_replies(s);
	if (s->state == SESSION_OFFERING && session_server_gone(s))
		server_left(s, END_SERVER_LOST);
}

/* ---- giving it to the server ------------------------------------------------------ */

static void
on_spool_failed(struct session *s, int error)
{
	log_event(&s->mail->log, LOG_TROUBLE_EVENT,
	          log_text("text", "a message that was stored cannot be read again; "
	                           "see the file system of spool_path"),
	          log_text("spool_path", s->cfg->spool_path), log_error(error));
	session_end(s, END_SPOOL);
}

/* On its way to the server it is changed, if it was held to its end. */
static bool
is_changed(const struct transaction *mail)
{
	return mail->judged && mail->filter;
}

/* What was read goes on.  ALL: there is no more.  False: the session is in another state. */
static bool
pass_read(struct session *s, bool all)
{
	struct transaction *mail = s->mail;

	if (is_changed(mail))
		retouch_filter(mail->filter, mail->message, all);
	return mail->way->pass(s);
}

/* At most MOST bytes.  False: there is no more, or none that can be read. */
static bool
replay_piece(struct session *s, size_t most)
{
	struct transaction *mail = s->mail;
	uint64_t left = spool_message_size(mail->spool) - mail->replayed;
	size_t size = most < PIECE ? most : PIECE;
	struct evbuffer *to = is_changed(mail) ? retouch_filter_input(mail->filter)
	                                       : mail->message;
	struct evbuffer_iovec room;
	ssize_t got;

	if (left == 0)
		return false;
	if (size > left)
		size = (size_t)left;
	if (evbuffer_reserve_space(to, (ev_ssize_t)size, &room, 1) != 1)
		abort(); /* there is no memory: see xalloc.h */
	got = spool_read_message(mail->spool, room.iov_base, size, mail->replayed);
	if (got <= 0) {
		on_spool_failed(s, got < 0 ? errno : ENODATA);
		return false;
	}
	room.iov_len = (size_t)got;
	evbuffer_commit_space(to, &room, 1);
	mail->replayed += (uint64_t)got;
	return pass_read(s, false);
}

static void
replayed(struct session *s)
{
	if (s->mail->judged) {
		pass_read(s, true);
		s->mail->way->release(s);
	} else {
		session_body_resume(s);
	}
}

/* The server refuses it, or is gone. */
static void
replay_doomed(struct session *s)
{
	if (s->mail->judged)
		session_body_complete(s);
	else
		session_body_resume(s);
}

/* So much in one turn: others wait for theirs. */
void
session_turn_replaying(struct session *s)
{
	size_t most = session_backlog_max(s);

	s->mail->way->hear(s);
	if (s->mail->doom) {
		replay_doomed(s);
		return;
	}
	while (session_server_backlog(s) < most)
		if (!replay_piece(s, most - session_server_backlog(s))) {
			if (s->state == SESSION_REPLAYING)
				replayed(s);
			return;
		}
}
