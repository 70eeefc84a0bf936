#include "session_internal.h"

#include <stdlib.h>
#include <string.h>

/*
 * What each command of a client leads to.
 *
 * Most are passed on as they are and the server decides.  The others are those behind
 * which we could not follow the session, or that a client must not be able to send.
 */

typedef void command_cb(struct session *s, const struct command *command);

enum {
	LMTP_RECIPIENTS = 1000, /* of one mail, about */
};

/* ---- replies of our own -------------------------------------------------- */

void
session_answer(struct session *s, int code, const char *enhanced, const char *text)
{
	struct expected *answer = pipeline_push(&s->owed, PLAN_ANSWER);

	answer->code = code;
	answer->enhanced = enhanced;
	answer->text = xstrdup(text);
	session_answer_due(s);
}

void
session_answer_finding(struct session *s, const struct verdict *verdict)
{
	struct expected *answer = pipeline_push(&s->owed, PLAN_ANSWER);

	answer->code = verdict->code;
	answer->enhanced = verdict->enhanced;
	answer->text = xstrdup(verdict->text);
	if (verdict->act == VERDICT_HANG_UP) {
		answer->end = END_FINDING;
		answer->ends_group = true;
	}
	session_answer_due(s);
}

void
session_answer_last(struct session *s, enum session_end why, int code,
                    const char *enhanced, const char *text)
{
	struct expected *answer = pipeline_push(&s->owed, PLAN_ANSWER);

	answer->code = code;
	answer->enhanced = enhanced;
	answer->text = xstrdup(text);
	answer->end = (unsigned char)why;
	answer->ends_group = true;
	session_answer_due(s);
}

/* ---- passing on ----------------------------------------------------------- */

static struct expected *
expect(struct session *s, enum verb verb)
{
	struct expected *reply = pipeline_push(&s->owed, PLAN_FORWARD);

	reply->subject = SUBJECT_COMMAND;
	reply->verb = (unsigned char)verb;
	return reply;
}

static struct expected *
pass(struct session *s, const struct command *command)
{
	struct evbuffer *out = conn_output(s->server);

	evbuffer_add(out, command->line, command->size);
	evbuffer_add(out, "\r\n", 2);
	return expect(s, command->verb);
}

static void
on_plain(struct session *s, const struct command *command)
{
	pass(s, command);
}

/* The mail whose chunks came is over, or not. */
static void
on_reset(struct session *s, const struct command *command)
{
	pass(s, command)->ends_group = session_between_chunks(s);
}

/* Its reply changes what the next line means, or the client must wait for it anyway
 * (RFC 2920 3.1). */
static void
on_last_of_group(struct session *s, const struct command *command)
{
	pass(s, command)->ends_group = true;
}

/* The server's word on it will say whether that is who it is. */
static void
on_auth(struct session *s, const struct command *command)
{
	saslname_begin(&s->auth, command->argument);
	on_last_of_group(s, command);
}

bool
session_translates(const struct session *s)
{
	return s->cfg->server_protocol == SERVER_LMTP && !s->lmtp;
}

static struct expected *
pass_as_lhlo(struct session *s, const struct command *command)
{
	const char *name = command->argument;

	evbuffer_add_printf(conn_output(s->server), "LHLO%s%s\r\n", *name ? " " : "",
	                    name);
	return expect(s, command->verb);
}

/* XFORWARD tells the server what the client said here. */
static void
on_hello(struct session *s, const struct command *command)
{
	bool is_lmtp = s->cfg->server_protocol == SERVER_LMTP;
	struct expected *reply = is_lmtp ? pass_as_lhlo(s, command) : pass(s, command);

	reply->ends_group = true;
	reply->text = xstrdup(command->argument);
}

/* Passes on a command about an address, which is remembered until its reply. */
static struct expected *
pass_address(struct session *s, const struct command *command, const char *keyword)
{
	size_t size;
	const char *path = command_path(command->argument, keyword, &size);
	struct expected *reply = pass(s, command);

	if (path)
		reply->text = xstrndup(path, size);
	return reply;
}

static void
on_mail(struct session *s, const struct command *command)
{
	bool binary = command_has_parameter(command->argument, "BODY=BINARYMIME");
	struct expected *reply;
	uint64_t size;

	if (binary && !s->binarymime) {
		session_answer(s, 555, "5.5.4", s->cfg->msg_unimpl_command);
		return;
	}
	reply = pass_address(s, command, "FROM");
	reply->spf = s->spf;
	reply->binary = binary;
	if (command_size(command->argument, &size))
		reply->size = size;
}

/* An LMTP client gets a reply for each of them in the end, and if these are ours they are
 * all made at once. */
static void
on_rcpt(struct session *s, const struct command *command)
{
	if (s->lmtp && s->mail && s->mail->recipients >= LMTP_RECIPIENTS)
		session_answer(s, 452, "4.5.3", s->cfg->msg_ratelimit_rcptto);
	else
		pass_address(s, command, "TO");
}

/* Whether the server hears of it now is seen when all before it is answered: not of one that
 * is to be held, and never of one whose content has no lines. */
static void
on_data(struct session *s, const struct command *command)
{
	bool is_held_maybe = s->cfg->delivery != DELIVERY_STREAM;

	if ((!is_held_maybe && !s->binarymime) || *command->argument)
		on_last_of_group(s, command);
	else
		session_ask_later(s, SUBJECT_COMMAND, VERB_DATA);
}

/* ---- not passing on ------------------------------------------------------- */

void
session_refuse_command(struct session *s, const struct command *command)
{
	if (!s->refusal_logged)
		log_event(&s->log, LOG_REFUSE_EVENT, log_text("why", "command"),
		          log_text("command", verb_name(command->verb)),
		          log_addr("client", &s->client_addr));
	s->refusal_logged = true;
	session_answer(s, 502, "5.5.1", s->cfg->msg_unimpl_command);
}

/* Whatever is already behind it would be taken for the first words of the secured
 * session (CVE-2011-0411).  Without EHLO, which RFC 3207 wants first, we do not know
 * whether the server would take XCLIENT in there. */
static void
on_starttls(struct session *s, const struct command *command)
{
	if (session_hides_starttls(s)) {
		session_refuse_command(s, command);
		return;
	}
	if (!s->extended) {
		session_answer(s, 503, "5.5.1", s->cfg->msg_ehlo_first);
		return;
	}
	if (evbuffer_get_length(conn_input(s->client)) > 0) {
		session_end(s, END_INJECTION);
		return;
	}
	pass(s, command)->ends_group = true;
}

static command_cb *const handlers[VERB_COUNT] = {
	[VERB_UNKNOWN] = on_last_of_group,
	[VERB_HELO] = on_hello,
	[VERB_EHLO] = on_hello,
	[VERB_LHLO] = on_hello,
	[VERB_MAIL] = on_mail,
	[VERB_RCPT] = on_rcpt,
	[VERB_DATA] = on_data,
	[VERB_BDAT] = session_chunk_command,
	[VERB_RSET] = on_reset,
	[VERB_NOOP] = on_plain,
	[VERB_QUIT] = on_last_of_group,
	[VERB_VRFY] = on_plain,
	[VERB_EXPN] = on_plain,
	[VERB_HELP] = on_plain,
	[VERB_AUTH] = on_auth,
	[VERB_STARTTLS] = on_starttls,
	[VERB_ETRN] = on_plain,
	[VERB_TURN] = session_refuse_command,
	[VERB_ATRN] = session_refuse_command,
	[VERB_BURL] = session_refuse_command,
	[VERB_XCLIENT] = session_refuse_command,
	[VERB_XFORWARD] = session_refuse_command,
	[VERB_XEXCH50] = session_refuse_command,
};

/* ---- AUTH (RFC 4954 section 4) --------------------------------------------- */

/* An answer to a challenge: opaque, never logged, never taken for a command. */
static void
pass_answer(struct session *s, const struct command *answer)
{
	struct expected *reply = pass(s, answer);

	saslname_hear(&s->auth, answer->line);
	reply->subject = SUBJECT_CHALLENGED;
	reply->ends_group = true;
	s->opaque = false;
}

/* The server waits for an answer that we cannot pass on: it gets a cancel instead. */
static void
cancel_auth(struct session *s)
{
	struct expected *reply = pipeline_push(&s->owed, PLAN_SWALLOW);

	saslname_forget(&s->auth);
	evbuffer_add(conn_output(s->server), "*\r\n", 3);
	reply->subject = SUBJECT_CHALLENGED;
	s->opaque = false;
}

/* ---- taking ----------------------------------------------------------------- */

static void
on_bad_line(struct session *s, const char *text)
{
	if (s->opaque)
		cancel_auth(s);
	session_answer(s, 500, "5.5.2", text);
}

void
session_pass_command(struct session *s, const struct command *command)
{
	handlers[command->verb](s, command);
}

/* Whether it is passed on or not: checks shall know what the client said last. */
static void
note_name(struct session *s, const struct command *command)
{
	if (!verb_is_hello(command->verb))
		return;
	free(s->helo);
	s->helo = xstrdup(command->argument);
}

/* What is no address to us, as a name alone, may be one to the server; and some write it
 * where nothing is expected, as behind NOOP. */
static bool
is_hidden(const struct session *s, enum verb verb)
{
	if (verb == VERB_AUTH)
		return true;
	return s->log.hides_mailboxes && !verb_is_hello(verb);
}

static void
on_command(struct session *s, const struct command *command)
{
	if (s->opaque) {
		pass_answer(s, command);
		return;
	}
	if (command->verb == VERB_MAIL && !session_between_chunks(s) &&
	    session_xforward_first(s, command))
		return;
	if (log_wanted(LOG_COMMAND_EVENT) && command->verb != VERB_UNKNOWN)
		log_event(&s->log, LOG_COMMAND_EVENT,
		          log_text("verb", verb_name(command->verb)),
		          log_text("argument", is_hidden(s, command->verb)
		                                       ? NULL
		                                       : command->argument));
	note_name(s, command);
	if (session_chunk_intruded(s, command) || session_chunk_refused(s, command))
		return;
	if (session_screen_command(s, command))
		session_pass_command(s, command);
}

/* A refused chunk goes where nobody reads it.  True when it is gone. */
static bool
skip_chunk(struct session *s)
{
	struct evbuffer *input = conn_input(s->client);
	size_t size = evbuffer_get_length(input);

	if (size > s->chunk_left)
		size = (size_t)s->chunk_left;
	evbuffer_drain(input, size);
	s->chunk_left -= size;
	return s->chunk_left == 0;
}

/* A line, or a refused chunk, has begun, and its end is not here; or nothing is. */
static void
await_rest(struct session *s)
{
	bool begun = s->commands.skipping || s->chunk_left > 0 ||
	             evbuffer_get_length(conn_input(s->client)) > 0;

	if (!begun)
		s->due = 0;
	else if (s->due == 0)
		session_set_due(s, s->cfg->timeout_command);
}

static bool
may_take(const struct session *s)
{
	return s->state == SESSION_RELAYING && !s->screening &&
	       !pipeline_group_ended(&s->owed) && s->owed.count < s->cfg->pipeline_size;
}

/* False: there is no more to be taken now. */
static bool
take_command(struct session *s)
{
	static char line[COMMAND_AUTH_MAX + 1];
	struct command command;
	bool secret;

	switch (command_read(&s->commands, conn_input(s->client), s->opaque, line,
	                     &command)) {
	case COMMAND_MORE:
		return false;
	case COMMAND_LINE:
		s->due = 0;
		secret = s->opaque || command.verb == VERB_AUTH;
		on_command(s, &command);
		if (secret)
			explicit_bzero(line, command.size);
		break;
	case COMMAND_TOO_LONG:
		s->due = 0;
		on_bad_line(s, s->cfg->msg_line_too_long);
		break;
	case COMMAND_BROKEN:
		s->due = 0;
		on_bad_line(s, s->cfg->msg_line_broken);
		break;
	}
	return true;
}

void
session_take_commands(struct session *s)
{
	while (may_take(s)) {
		s->paused = !session_has_room(s);
		if (s->paused)
			return;
		if (!skip_chunk(s) || !take_command(s)) {
			await_rest(s);
			return;
		}
	}
}
