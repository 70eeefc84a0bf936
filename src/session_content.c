#include "session_internal.h"

#include "stats.h"

/*
 * The last words on a message: the server's, and ours.
 *
 * An SMTP server says one, an LMTP server one for each recipient that it accepted (RFC 2033
 * 4.2); and so many does the client expect.  Where the one side speaks LMTP and the other
 * does not, the safest of all stands for all of them.
 */

bool
session_server_is_lmtp(const struct session *s)
{
	return s->lmtp || s->cfg->server_protocol == SERVER_LMTP;
}

unsigned
session_content_replies(const struct session *s)
{
	return session_server_is_lmtp(s) ? s->mail->recipients : 1;
}

/* Last words that the client waits for; with none of its content here, or some of it, it
 * listens for no more than one. */
static unsigned
last_words(const struct session *s)
{
	const struct transaction *mail = s->mail;

	if (!s->lmtp || !mail || !mail->complete || mail->recipients == 0)
		return 1;
	return mail->recipients - mail->outcome.accepted - mail->outcome.refused;
}

void
session_say_last(struct session *s, int code, const char *enhanced, const char *text)
{
	for (unsigned left = last_words(s); left > 0; left--)
		session_say(s, code, enhanced, text);
}

/* A long one has all its lines once, and one the other times: together they could be very
 * much. */
void
session_forward_last(struct session *s, const struct reply *reply)
{
	bool is_long = reply->size > REPLY_OURS_MAX;
	char words[256];

	reply_forward(reply, conn_output(s->client));
	reply_first_words(reply, words, sizeof(words));
	for (unsigned left = last_words(s); left > 1; left--) {
		if (is_long)
			session_say(s, reply->code, NULL, words);
		else
			reply_forward(reply, conn_output(s->client));
	}
}

/* ---- what came of it ---------------------------------------------------------------- */

/* Of several alone, and only where each has an answer of its own. */
static struct log_field
count_field(const struct session *s, const char *name, unsigned count)
{
	const struct transaction *mail = s->mail;
	bool is_said = mail->recipients > 1 && session_server_is_lmtp(s) &&
	               mail->outcome.safest.code != 0;

	return is_said ? log_number(name, count) : log_text(name, NULL);
}

static void
log_delivered(const struct session *s, int code, const char *words)
{
	const struct transaction *mail = s->mail;
	const struct outcome *outcome = &mail->outcome;

	log_event(&mail->log, LOG_DELIVERED_EVENT,
	          log_text("accepted", outcome_word(outcome)), log_number("code", code),
	          session_reply_field(s, words), mailbox_from(s->cfg, mail->sender),
	          mailbox_to(s->cfg, transaction_recipient(mail)),
	          log_number("rcpts", mail->recipients),
	          count_field(s, "took", outcome->accepted),
	          count_field(s, "refused", outcome->refused),
	          log_number("size", (int64_t)mail->size), session_chunks_field(s));
}

/* True if a client was told so: by each of its replies, or, if there is one for all, by
 * that. */
static bool
is_delivered(const struct session *s, const struct outcome *outcome)
{
	return outcome->accepted > 0 &&
	       (s->lmtp || outcome->refused + outcome->awaited == 0);
}

static void
account(struct session *s)
{
	const struct outcome *outcome = &s->mail->outcome;
	bool delivered = is_delivered(s, outcome);
	char words[256];

	reply_first_words(&outcome->safest, words, sizeof(words));
	log_delivered(s, outcome->safest.code, words);
	s->delivered += delivered;
	stats_add(STAT_mails_delivered, delivered);
	stats_add(STAT_mails_lmtp, delivered && session_server_is_lmtp(s));
}

void
session_content_refused(struct session *s)
{
	log_delivered(s, s->mail->verdict.code, s->mail->verdict.text);
}

void
session_content_declined(struct session *s, int code, const char *words)
{
	log_delivered(s, code, words);
	session_forget_mail(s);
	session_enter(s, SESSION_RELAYING);
}

void
session_content_cut(struct session *s)
{
	if (s->mail && outcome_is_partial(&s->mail->outcome))
		account(s);
}

/* ---- the server's words ------------------------------------------------------------- */

void
session_content_sent(struct session *s, struct expected *last)
{
	last->subject = SUBJECT_CONTENT;
	outcome_begin(&s->mail->outcome, session_content_replies(s));
	transaction_drop_spool(s->mail);
	session_enter(s, SESSION_DELIVERING);
}

static void
all_is_said(struct session *s)
{
	bool partial = outcome_is_partial(&s->mail->outcome);
	bool by_chunks = pipeline_due(&s->owed)->verb == VERB_BDAT;
	int code = s->mail->outcome.safest.code;

	pipeline_done(&s->owed);
	if (!s->lmtp)
		reply_forward(&s->mail->outcome.safest, conn_output(s->client));
	if (partial) {
		session_end(s, END_SERVER_CLOSED);
		return;
	}
	account(s);
	session_forget_mail(s);
	session_enter(s, SESSION_RELAYING);
	if (by_chunks && code >= 400)
		session_reset_mail(s);
	session_answer_due(s);
}

/* A server that closes will not say the rest. */
void
session_content_reply(struct session *s, const struct reply *reply)
{
	struct outcome *outcome = &s->mail->outcome;
	int code = reply->code;

	outcome_add(outcome, reply);
	if (s->lmtp)
		reply_forward(reply, conn_output(s->client));
	evbuffer_drain(conn_input(s->server), reply->size);
	if (outcome->awaited == 0 || code == 421)
		all_is_said(s);
}
