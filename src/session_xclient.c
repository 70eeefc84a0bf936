#include "session_internal.h"

#include "resolver.h"
#include "stats.h"
#include "xclient.h"

#include <stdlib.h>
#include <string.h>

/*
 * Telling the server who the client is, with mode fixed+xclient.
 *
 * We are the first to talk: the server's greeting is held, and our EHLO, which the client
 * never hears of, shows what the server lets us do.
 *
 * XCLIENT: the server begins anew.  What it greets with then is for this client, and from
 * there on the session is as any other.
 *
 * XFORWARD, if there is nothing better: the client gets the greeting that was held.  What
 * we say holds for one mail, so it is said before each: a MAIL waits until the server has
 * taken it.
 *
 * Until the server knows who the client is, no word of the client reaches it: it would
 * come from an address that the server trusts.
 */
struct introduction {
	struct evbuffer *greeting;  /* what the client will be greeted with */
	unsigned xclient, xforward; /* attributes that the server lets us tell */
	struct resolver_naming *naming;
	struct resolver_host host;
	char *helo; /* owned; NULL: the client has not said HELO yet */
	bool esmtp;
	bool armed; /* XFORWARD holds for the next mail */
};

/* ---- the server's words ------------------------------------------------------------ */

/* Each is a command of ours whose reply is due; the greeting is to none. */
static enum verb
asked(const struct expected *due)
{
	return due->subject == SUBJECT_COMMAND ? (enum verb)due->verb : VERB_UNKNOWN;
}

/* The server will not serve, us or this client; not: it has no such command. */
static bool
turns_away(enum verb verb, int code)
{
	if (code < 400)
		return false;
	if (verb == VERB_XCLIENT)
		return !(code >= 500 && code <= 504) && code != 550;
	return code == 421 || verb == VERB_UNKNOWN;
}

static bool
accepted(int code)
{
	return code >= 200 && code <= 299;
}

static void
hold_greeting(struct introduction *intro, const struct reply *reply)
{
	evbuffer_drain(intro->greeting, evbuffer_get_length(intro->greeting));
	reply_forward(reply, intro->greeting);
}

static void
note_offers(struct introduction *intro, const struct reply *reply)
{
	struct reply_line line;
	size_t at = 0;

	if (reply->code != 250 || !reply_next_line(reply, &at, &line))
		return;
	while (reply_next_line(reply, &at, &line)) {
		intro->xclient |= xclient_offered(&line, "XCLIENT") & XCLIENT_ALL;
		intro->xforward |= xclient_offered(&line, "XFORWARD") & XFORWARD_ALL;
	}
}

/* ---- saying ------------------------------------------------------------------------ */

static void
say(struct session *s, enum verb verb, const char *line, size_t size)
{
	struct expected *reply = pipeline_push(&s->owed, PLAN_SWALLOW);

	evbuffer_add(conn_output(s->server), line, size);
	reply->subject = SUBJECT_COMMAND;
	reply->verb = (unsigned char)verb;
	reply->ends_group = true;
}

/* What is there already is no answer to what we are going to ask. */
static bool
speaks_unasked(struct session *s)
{
	if (evbuffer_get_length(conn_input(s->server)) == 0)
		return false;
	session_log_nonsense(s, "nobody has asked for this reply");
	session_end(s, END_PROTOCOL);
	return true;
}

static void
say_ehlo(struct session *s)
{
	enum verb verb = session_server_is_lmtp(s) ? VERB_LHLO : VERB_EHLO;
	char *line = xasprintf("%s %s\r\n", verb_name(verb), s->cfg->proxy_name);

	if (!speaks_unasked(s))
		say(s, VERB_EHLO, line, strlen(line));
	free(line);
}

static void
tell(struct session *s, enum verb verb, unsigned attributes)
{
	const struct introduction *intro = s->intro;
	const struct resolver_host *host = &intro->host;
	struct xclient_facts facts = {
		.client = s->client_addr,
		.dialled = session_dialled(s),
		.name = host->verified ? host->name : NULL,
		.reverse_name = host->name[0] ? host->name : NULL,
		.name_unsure = host->unsure,
		.is_local = addr_is_ours(&s->client_addr),
		.helo = intro->helo,
		.esmtp = intro->esmtp,
	};
	char line[XCLIENT_COMMAND_MAX + 1];

	say(s, verb, line, xclient_command(verb_name(verb), attributes, &facts, line));
}

/* ---- from step to step --------------------------------------------------------------- */

/* Whom the server does not let us introduce it would take for us: that is no service. */
static void
refused(struct session *s, const char *what, int code, const char *words)
{
	struct addr us = addr_local(conn_fd(s->server));

	log_event(
		&s->log, LOG_TROUBLE_EVENT, log_text("text", what),
		log_text("todo",
	                 "let the server take XCLIENT (or XFORWARD) from this gateway; "
	                 "Postfix: smtpd_authorized_xclient_hosts"),
		log_addr("gateway", &us), log_addr("server", &s->server_addr),
		log_number("code", code), log_text("reply", words));
	session_end(s, END_XCLIENT);
}

/* From here on the client and the server talk to each other. */
static void
introduced(struct session *s, const char *by)
{
	const struct resolver_host *host = &s->intro->host;

	if (!session_screen_greeting(s))
		return;
	stats_add(STAT_sessions_introduced, 1);
	log_event(&s->log, LOG_INTRODUCED_EVENT, log_text("by", by),
	          log_addr("client", &s->client_addr),
	          log_text("name", host->verified ? host->name : NULL));
	evbuffer_add_buffer(conn_output(s->client), s->intro->greeting);
	session_enter(s, SESSION_RELAYING);
}

static void
introduce(struct session *s)
{
	const struct introduction *intro = s->intro;

	if (intro->xclient & XCLIENT_ADDR)
		tell(s, VERB_XCLIENT, intro->xclient);
	else
		introduced(s, "xforward");
}

/* The name may not be here yet. */
static void
on_ehlo(struct session *s, int code, const char *words)
{
	const struct introduction *intro = s->intro;
	unsigned takes = intro->xclient & XCLIENT_ADDR ? intro->xclient
	                                               : intro->xforward;

	if (!(takes & XCLIENT_ADDR))
		refused(s, "the server offers neither XCLIENT nor XFORWARD", code,
		        words);
	else if (speaks_unasked(s))
		return;
	else if (intro->naming && (takes & (XCLIENT_NAME | XCLIENT_REVERSE_NAME)))
		session_enter(s, SESSION_NAMING);
	else
		introduce(s);
}

/* It may be that a mail is open: then the MAIL that waits will be refused, too. */
static void
on_xforward(struct session *s, int code, const char *words)
{
	s->intro->armed = accepted(code) || code == 503;
	if (!s->intro->armed)
		refused(s, "the server refused XFORWARD", code, words);
}

static void
go_on(struct session *s, enum verb verb, int code, const char *words)
{
	if (turns_away(verb, code))
		session_end(s, END_TURNED_AWAY);
	else if (verb == VERB_EHLO)
		on_ehlo(s, code, words);
	else if (verb == VERB_XFORWARD)
		on_xforward(s, code, words);
	else if (verb == VERB_UNKNOWN)
		say_ehlo(s);
	else if (accepted(code))
		introduced(s, "xclient");
	else
		refused(s, "the server refused XCLIENT", code, words);
}

/* 220 to XCLIENT is the greeting for this client; servers that know XCLIENT from its first
 * days say 250 instead, and do not greet again. */
void
session_introduction_reply(struct session *s, const struct expected *due,
                           const struct reply *reply)
{
	enum verb verb = asked(due);
	int code = reply->code;
	char words[256];

	reply_first_words(reply, words, sizeof(words));
	if (turns_away(verb, code))
		reply_forward(reply, conn_output(s->client));
	else if (verb == VERB_UNKNOWN || (verb == VERB_XCLIENT && code == 220))
		hold_greeting(s->intro, reply);
	else if (verb == VERB_EHLO)
		note_offers(s->intro, reply);
	evbuffer_drain(conn_input(s->server), reply->size);
	pipeline_done(&s->owed);
	go_on(s, verb, code, words);
}

/* ---- beginning, and waiting ------------------------------------------------------------ */

static void
on_named(const struct resolver_host *host, void *arg)
{
	struct session *s = arg;

	s->intro->naming = NULL;
	s->intro->host = *host;
	if (s->state == SESSION_NAMING) {
		session_enter(s, SESSION_INTRODUCING);
		introduce(s);
	}
	session_turn(s);
}

void
session_introduction_begin(struct session *s)
{
	struct introduction *intro = xcalloc(1, sizeof(*intro));
	struct expected *greeting = pipeline_push(&s->owed, PLAN_SWALLOW);

	greeting->subject = SUBJECT_GREETING;
	greeting->ends_group = true;
	intro->greeting = evbuffer_new();
	s->intro = intro;
	if (s->cfg->xclient_name)
		intro->naming = resolver_name_start(s->world->resolver, &s->client_addr,
		                                    (unsigned)s->cfg->timeout_lookup,
		                                    on_named, s);
	session_enter(s, SESSION_INTRODUCING);
}

/* DNS is slow: the name may come later, and the server is told so. */
void
session_naming_expired(struct session *s)
{
	resolver_name_cancel(s->intro->naming);
	s->intro->naming = NULL;
	s->intro->host = (struct resolver_host){ .unsure = true };
	session_enter(s, SESSION_INTRODUCING);
	introduce(s);
}

void
session_turn_introducing(struct session *s)
{
	enum session_state before = s->state;

	session_take_replies(s);
	if (s->state != before)
		return;
	if (session_server_gone(s))
		session_end(s, END_SERVER_LOST);
	else if (conn_at_eof(s->client))
		session_end(s, END_CLIENT_CLOSED);
}

void
session_introduction_end(struct session *s)
{
	if (!s->intro)
		return;
	resolver_name_cancel(s->intro->naming);
	evbuffer_free(s->intro->greeting);
	free(s->intro->helo);
	free(s->intro);
	s->intro = NULL;
}

/* ---- XFORWARD, and STARTTLS ------------------------------------------------------------- */

void
session_note_hello(struct session *s, enum verb verb, const char *name)
{
	if (!s->intro)
		return;
	free(s->intro->helo);
	s->intro->helo = xstrdup(name);
	s->intro->esmtp = verb != VERB_HELO;
}

/* The MAIL is put back, to be read again when the reply has come. */
bool
session_xforward_first(struct session *s, const struct command *mail)
{
	struct evbuffer *input = conn_input(s->client);

	if (!s->intro || (s->intro->xclient & XCLIENT_ADDR))
		return false;
	if (s->intro->armed) {
		s->intro->armed = false;
		return false;
	}
	evbuffer_prepend(input, "\r\n", 2);
	evbuffer_prepend(input, mail->line, mail->size);
	tell(s, VERB_XFORWARD, s->intro->xforward);
	return true;
}

bool
session_hides_starttls(const struct session *s)
{
	return s->cfg->forbid_starttls || s->trusted || s->intro ||
	       session_translates(s);
}
