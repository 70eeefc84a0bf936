#include "session_internal.h"

#include "stats.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What the server says: passed on to the client in order, and watched for what it means
 * for us.
 */

/* Exim's: clients may talk before the greeting. */
static const char *const early[] = { "PIPECONNECT", "X_PIPE_CONNECT" };

/* Extensions that we cannot follow: what they bring past us would go unscanned, or would
 * be misread. */
static const char *const hidden[] = {
	"XEXCH50", "XCLIENT", "XFORWARD", "BURL", "ATRN", "TURN", "X-ANONYMOUSTLS",
};

static bool
offers_any(const struct reply_line *line, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (reply_offers(line, names[i]))
			return true;
	return false;
}

static bool
hides(const struct session *s, const struct reply_line *line)
{
	if (session_hides_starttls(s) && reply_offers(line, "STARTTLS"))
		return true;
	if (s->cfg->earlytalker &&
	    offers_any(line, early, sizeof(early) / sizeof(early[0])))
		return true;
	if (!s->chunking && reply_offers(line, "CHUNKING"))
		return true;
	if (!s->binarymime && reply_offers(line, "BINARYMIME"))
		return true;
	return offers_any(line, hidden, sizeof(hidden) / sizeof(hidden[0]));
}

struct ehlo_editing {
	const struct session *session;
	char size[sizeof("SIZE ") + 20];
};

/* What would be refused by us is better not sent.  A server that does not offer SIZE would
 * refuse MAIL with it, so there we offer none either. */
static void
lower_size(struct reply_line *line, struct ehlo_editing *editing)
{
	uint64_t ours = (uint64_t)editing->session->cfg->size_limit, most;

	if (ours == 0 || !reply_offers_size(line, &most) || (most > 0 && most <= ours))
		return;
	snprintf(editing->size, sizeof(editing->size), "SIZE %" PRIu64, ours);
	*line = (struct reply_line){ editing->size, strlen(editing->size) };
}

static bool
edit_ehlo(struct reply_line *line, void *arg)
{
	struct ehlo_editing *editing = arg;

	if (hides(editing->session, line))
		return false;
	lower_size(line, editing);
	return true;
}

/* The reply to HELO has one line (RFC 5321 4.1.1.1). */
static bool
edit_helo(struct reply_line *line, void *arg)
{
	(void)line;
	(void)arg;
	return false;
}

static bool
ehlo_offers(const struct reply *reply, const char *keyword)
{
	struct reply_line line;
	size_t at = 0;

	if (!reply_next_line(reply, &at, &line)) /* the greeting */
		return false;
	while (reply_next_line(reply, &at, &line))
		if (reply_offers(&line, keyword))
			return true;
	return false;
}

/* ---- what replies mean ------------------------------------------------------ */

static void
mail_accepted(struct session *s, const struct expected *was)
{
	session_forget_mail(s);
	s->mail = transaction_new(&s->log, ++s->mails, was->text);
	s->mail->declared = was->size;
	s->mail->binary = was->binary;
	s->mail->spf = was->spf;
	log_event(&s->mail->log, LOG_MAIL_EVENT, mailbox_from(s->cfg, was->text));
	session_note(s, HAPPENED_MAIL_ACCEPTED, was->text);
}

static void
recipient_accepted(struct session *s, const char *recipient)
{
	if (s->mail)
		transaction_add_recipient(s->mail, recipient);
	if (s->cfg->log_rcpt_to & LOG_ADDRESSES_ACCEPTED)
		log_event(s->mail ? &s->mail->log : &s->log, LOG_RCPT_EVENT,
		          mailbox_to(s->cfg, recipient));
	session_note(s, HAPPENED_RCPT_ACCEPTED, recipient);
}

/* "5.1.1", where TEXT begins with such a status (RFC 3463); else 0. */
static size_t
status_size(const char *text)
{
	size_t size = 1, digits;

	if (text[0] == '\0' || !strchr("245", text[0]))
		return 0;
	for (int part = 0; part < 2; part++) {
		if (text[size] != '.')
			return 0;
		digits = strspn(text + ++size, "0123456789");
		if (digits == 0 || digits > 3)
			return 0;
		size += digits;
	}
	return text[size] == ' ' || text[size] == '\0' ? size : 0;
}

/* Servers write whom they mean in ways that nobody can know: by the name alone, or with
 * "(at)".  Where addresses are hidden, the status alone is said. */
struct log_field
session_reply_field(const struct session *s, const char *words)
{
	size_t size;

	if (!words || !s->log.hides_mailboxes)
		return log_text("reply", words);
	size = status_size(words);
	return log_bytes("reply", size > 0 ? words : NULL, size);
}

/* A client that guesses names must not fill the log. */
void
session_log_rejected(struct session *s, enum verb verb, const char *path, int code,
                     const char *words)
{
	enum { LOGGED_MOST = 100 };
	unsigned which = verb == VERB_MAIL ? s->cfg->log_mail_from
	                                   : s->cfg->log_rcpt_to;

	if (!(which & LOG_ADDRESSES_REJECTED) || s->rejections_logged == LOGGED_MOST)
		return;
	s->rejections_logged++;
	log_event(s->mail ? &s->mail->log : &s->log, LOG_REJECTED_EVENT,
	          log_text("verb", verb_name(verb)),
	          log_text("by", words ? "server" : "us"), log_number("code", code),
	          session_reply_field(s, words),
	          mailbox_from(s->cfg, verb == VERB_MAIL ? path : NULL),
	          mailbox_to(s->cfg, verb == VERB_RCPT ? path : NULL),
	          log_addr("client", &s->client_addr));
}

/* For good: who is told to come again (greylisted) has done nothing wrong. */
static void
note_rejected(struct session *s, enum verb verb, const char *path, int code,
              const char *words)
{
	if (verb == VERB_MAIL || verb == VERB_RCPT)
		session_log_rejected(s, verb, path, code, words);
	if (code < 500)
		return;
	if (verb == VERB_MAIL)
		session_note(s, HAPPENED_MAIL_REJECTED, path);
	else if (verb == VERB_RCPT)
		session_note(s, HAPPENED_RCPT_REJECTED, path);
}

/* Nothing may stand before the server's TLS, from either side. */
static void
starttls_answered(struct session *s, int code)
{
	if (code != 220)
		return;
	if (evbuffer_get_length(conn_input(s->client)) > 0 ||
	    evbuffer_get_length(conn_input(s->server)) > 0)
		session_end(s, END_INJECTION);
	else
		session_direct_starttls(s);
}

/* Who has authenticated stays so until the server has accepted another one. */
static void
note_user(struct session *s, int code)
{
	s->authenticated |= code == 235;
	if (code == 334)
		return;
	if (code != 235) {
		saslname_forget(&s->auth);
		return;
	}
	free(s->user);
	s->user = saslname_take(&s->auth);
}

static void
auth_answered(struct session *s, int code)
{
	s->opaque = code == 334;
	note_user(s, code);
	if (code == 235) {
		stats_add(STAT_auth_accepted, 1);
		session_note(s, HAPPENED_AUTH_ACCEPTED, NULL);
		session_direct_auth(s);
	} else if (code >= 400) {
		stats_add(STAT_auth_rejected, 1);
		if (code >= 500)
			session_note(s, HAPPENED_AUTH_REJECTED, NULL);
	}
}

static void
command_answered(struct session *s, const struct expected *was, int code,
                 const char *words)
{
	enum verb verb = (enum verb)was->verb;
	const char *about = was->text;
	bool accepted = code >= 200 && code <= 299;
	bool is_hello = verb_is_hello(verb);

	if (is_hello && s->cfg->log_helo)
		log_event(&s->log, LOG_HELO_EVENT, log_text("verb", verb_name(verb)),
		          log_text("helo", about), log_number("code", code),
		          log_addr("client", &s->client_addr));
	if (verb == VERB_QUIT)
		session_end(s, END_CLIENT_QUIT);
	else if (verb == VERB_STARTTLS)
		starttls_answered(s, code);
	else if (verb == VERB_AUTH || (verb == VERB_UNKNOWN && code < 400))
		auth_answered(s, code);
	else if (verb == VERB_DATA && code == 354)
		session_body_begin(s, &session_stream);
	else if (!accepted)
		note_rejected(s, verb, about, code, words);
	else if (verb == VERB_MAIL)
		mail_accepted(s, was);
	else if (verb == VERB_RCPT)
		recipient_accepted(s, about);
	else if (verb == VERB_RSET || is_hello)
		session_forget_mail(s);
	if (accepted && is_hello)
		session_note_hello(s, verb, about);
}

/* Without recipients LMTP has no reply to content: 354 is no answer then (RFC 2033 4.2).
 * Content without lines comes by BDAT alone (RFC 3030 section 3), and what is to be held is
 * asked of the server later: 354 is an answer to what was not quite DATA. */
static bool
may_want_content(const struct session *s)
{
	bool has_recipients = s->mail && s->mail->recipients > 0;

	return (has_recipients || !session_server_is_lmtp(s)) &&
	       !(s->mail && s->mail->binary) && !session_holds(s);
}

/* What it would do with a message after another reply nobody knows. */
static bool
fits_held(enum verb verb, int code)
{
	bool accepted = code >= 200 && code <= 299;

	if (verb == VERB_DATA)
		return code == 354 || code >= 400;
	return accepted || code == 421 || (verb != VERB_RSET && code >= 400);
}

/*
 * 3yz asks for more (RFC 5321 4.2.1): content after DATA when it is 354, answers after
 * AUTH, or after another name for it, when it is 334.  After anything else we would not
 * know what the client's next bytes are.
 */
static bool
makes_sense(const struct session *s, const struct expected *due, int code)
{
	if (due->subject == SUBJECT_HELD)
		return fits_held((enum verb)due->verb, code);
	if (code < 300 || code > 399)
		return true;
	switch ((enum reply_subject)due->subject) {
	case SUBJECT_COMMAND:
		return (code == 354 && due->verb == VERB_DATA && may_want_content(s)) ||
		       (code == 334 &&
		        (due->verb == VERB_AUTH || due->verb == VERB_UNKNOWN));
	case SUBJECT_CHALLENGED: /* our own "*" is no answer to go on from */
		return code == 334 && due->plan == PLAN_FORWARD;
	case SUBJECT_HELD: /* see above */
	case SUBJECT_GREETING:
	case SUBJECT_CONTENT:
	case SUBJECT_PIECE:
		return false;
	}
	return false;
}

/* ---- passing on --------------------------------------------------------------- */

/* With what the server can do: HELO has that only where it went out as another verb. */
static bool
answers_hello(const struct session *s, const struct expected *due,
              const struct reply *reply)
{
	if (due->subject != SUBJECT_COMMAND || reply->code != 250)
		return false;
	return due->verb == VERB_EHLO || due->verb == VERB_LHLO ||
	       (due->verb == VERB_HELO && s->cfg->server_protocol == SERVER_LMTP);
}

static void
forward(struct session *s, const struct expected *due, const struct reply *reply)
{
	struct evbuffer *out = conn_output(s->client);
	struct ehlo_editing editing = { .session = s };

	if (due->plan == PLAN_SWALLOW)
		return;
	if (!answers_hello(s, due, reply))
		reply_forward(reply, out);
	else if (due->verb == VERB_HELO)
		reply_forward_edited(reply, out, edit_helo, NULL);
	else
		reply_forward_edited(reply, out, edit_ehlo, &editing);
}

/* What is said from here on is LMTP, or is not. */
static void
note_protocol(struct session *s, enum verb verb)
{
	s->lmtp = verb == VERB_LHLO;
	s->extended = verb != VERB_HELO;
}

static void
note_ehlo(struct session *s, const struct expected *due, const struct reply *reply)
{
	enum verb verb = (enum verb)due->verb;

	if (due->subject != SUBJECT_COMMAND || reply->code != 250 ||
	    !verb_is_hello(verb))
		return;
	note_protocol(s, verb);
	s->enhanced = verb != VERB_HELO && ehlo_offers(reply, "ENHANCEDSTATUSCODES");
	s->pipelining = verb != VERB_HELO && ehlo_offers(reply, "PIPELINING");
	s->chunking = verb != VERB_HELO && s->cfg->chunking &&
	              ehlo_offers(reply, "CHUNKING");
	s->binarymime = s->chunking && ehlo_offers(reply, "BINARYMIME");
	if (!answers_hello(s, due, reply))
		return;
	s->auth_offered |= ehlo_offers(reply, "AUTH");
	s->trusted |= ehlo_offers(reply, "XCLIENT") || ehlo_offers(reply, "XFORWARD");
}

void
session_server_leaves(struct session *s, const struct reply *reply)
{
	reply_forward(reply, conn_output(s->client));
	evbuffer_drain(conn_input(s->server), reply->size);
	session_end(s, END_SERVER_CLOSED);
}

/* Nothing was asked.  421 may come at any time (RFC 5321 3.8); all else would shift every
 * reply that follows. */
static void
on_other_reply(struct session *s, const struct reply *reply)
{
	if (reply->code == 421) {
		session_server_leaves(s, reply);
		return;
	}
	session_log_nonsense(s, "nobody has asked for this reply");
	session_end(s, END_PROTOCOL);
}

/* What is not simply passed on. */
static bool
goes_elsewhere(struct session *s, const struct expected *due, const struct reply *reply)
{
	if (due->subject == SUBJECT_PIECE)
		session_chunk_reply(s, reply);
	else if (due->subject == SUBJECT_HELD)
		session_hold_reply(s, due, reply);
	else if (due->subject == SUBJECT_CONTENT)
		session_content_reply(s, reply);
	else if (due->plan == PLAN_SWALLOW && due->subject != SUBJECT_CHALLENGED)
		session_introduction_reply(s, due, reply);
	else if (due->plan == PLAN_SWALLOW && reply->code == 421)
		session_server_leaves(s, reply); /* said to our "*" */
	else
		return false;
	return true;
}

/* The entry leaves the queue before its consequences: they may queue others. */
static void
on_due_reply(struct session *s, struct expected *due, const struct reply *reply)
{
	struct expected was = *due;
	int code = reply->code;
	char words[256] = "";

	if (due->subject == SUBJECT_COMMAND)
		session_note_refused_hello(s, (enum verb)due->verb, code);
	if (!makes_sense(s, due, code)) {
		session_log_nonsense(s, "the reply does not fit what was asked");
		session_end(s, END_PROTOCOL);
		return;
	}
	if (goes_elsewhere(s, due, reply))
		return;
	if (due->subject == SUBJECT_GREETING && code == 220 &&
	    !session_screen_greeting(s))
		return;
	note_ehlo(s, due, reply);
	forward(s, due, reply);
	if (code >= 400)
		reply_first_words(reply, words, sizeof(words));
	evbuffer_drain(conn_input(s->server), reply->size);
	due->text = NULL; /* ours now */
	pipeline_done(&s->owed);

	/* The others went elsewhere, or mean nothing. */
	if (was.subject == SUBJECT_COMMAND)
		command_answered(s, &was, code, words);
	else if (was.subject == SUBJECT_CHALLENGED && was.plan == PLAN_FORWARD)
		auth_answered(s, code);
	free(was.text);
	if (s->state != SESSION_CLOSING)
		session_answer_due(s);
}

/* False: those were the last words. */
static bool
answer(struct session *s, const struct expected *due)
{
	enum session_end end = (enum session_end)due->end;

	session_say(s, due->code, due->enhanced, due->text);
	pipeline_done(&s->owed);
	if (end != END_NONE)
		session_end(s, end);
	return end == END_NONE;
}

static void
ask_later_due(struct session *s, const struct expected *due)
{
	enum reply_subject subject = (enum reply_subject)due->subject;
	enum verb verb = (enum verb)due->verb;
	struct chunk chunk = { due->size, due->last, due->faulty };

	pipeline_done(&s->owed);
	if (subject == SUBJECT_COMMAND && verb == VERB_BDAT)
		session_chunk_due(s, &chunk);
	else
		session_hold_due(s, subject, verb);
}

void
session_answer_due(struct session *s)
{
	struct expected *due;

	while ((due = pipeline_due(&s->owed))) {
		switch ((enum reply_plan)due->plan) {
		case PLAN_FORWARD:
		case PLAN_SWALLOW:
			return;
		case PLAN_ANSWER:
			if (!answer(s, due))
				return;
			break;
		case PLAN_LATER:
			ask_later_due(s, due);
			break;
		}
	}
}

static void
on_reply(struct session *s, const struct reply *reply)
{
	struct expected *due = pipeline_due(&s->owed);

	if (log_wanted(LOG_REPLY_EVENT))
		log_event(&s->log, LOG_REPLY_EVENT, log_number("code", reply->code));
	s->last_code = reply->code;
	route_call_greeted(&s->call);
	if (due)
		on_due_reply(s, due, reply);
	else
		on_other_reply(s, reply);
}

void
session_take_replies(struct session *s)
{
	struct reply reply;

	while (s->state == SESSION_RELAYING || s->state == SESSION_DELIVERING ||
	       s->state == SESSION_OFFERING || s->state == SESSION_INTRODUCING ||
	       s->state == SESSION_NAMING) {
		switch (reply_read(&s->replies, conn_input(s->server), &reply)) {
		case REPLY_MORE:
			return;
		case REPLY_WHOLE:
			on_reply(s, &reply);
			break;
		case REPLY_MALFORMED:
			session_log_nonsense(s, "this is no reply of SMTP");
			session_end(s, END_PROTOCOL);
			return;
		}
	}
}
