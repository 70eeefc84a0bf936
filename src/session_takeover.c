#include "session_internal.h"

#include "stats.h"

#include <assert.h>
#include <stdlib.h>

/*
 * The server is gone and we answer the client, as smtp-gated 1.4 did: it hears no server's
 * word any more, and no mail is accepted.
 */

void
session_takeover(struct session *s)
{
	session_drop_server(s);
	assert(s->owed.count == 0);
	stats_add(STAT_sessions_takeover, 1);
	log_event(&s->log, LOG_TAKEOVER_EVENT, log_addr("client", &s->client_addr),
	          log_addr("server", &s->server_addr));
	session_enter(s, SESSION_TAKEOVER);
}

static void
say_hello(struct session *s)
{
	char *words = xasprintf("%s %s", s->cfg->proxy_name, s->cfg->msg_hello);

	reply_make(conn_output(s->client), 250, NULL, words);
	free(words);
}

static void
answer(struct session *s, enum verb verb)
{
	switch (verb) {
	case VERB_HELO:
	case VERB_EHLO:
	case VERB_LHLO:
		say_hello(s);
		break;
	case VERB_NOOP:
	case VERB_RSET:
		session_say(s, 250, "2.0.0", s->cfg->msg_ok);
		break;
	case VERB_MAIL:
		session_say(s, 451, "4.3.0", s->cfg->msg_temp_unavail);
		break;
	case VERB_RCPT:
	case VERB_DATA:
		session_say(s, 503, "5.5.1", s->cfg->msg_mail_first);
		break;
	case VERB_QUIT:
		session_end(s, END_TAKEOVER_QUIT);
		break;
	case VERB_UNKNOWN:
	case VERB_BDAT:
	case VERB_VRFY:
	case VERB_EXPN:
	case VERB_HELP:
	case VERB_AUTH:
	case VERB_STARTTLS:
	case VERB_ETRN:
	case VERB_TURN:
	case VERB_ATRN:
	case VERB_BURL:
	case VERB_XCLIENT:
	case VERB_XFORWARD:
	case VERB_XEXCH50:
	case VERB_COUNT:
		session_say(s, 502, "5.5.1", s->cfg->msg_unimpl_command);
		break;
	}
}

static void
on_command(struct session *s, const struct command *command)
{
	bool quit = command->verb == VERB_QUIT;

	/* Behind BDAT comes a chunk, which is no command. */
	if (command->verb == VERB_BDAT ||
	    (!quit && ++s->takeover_commands > (uint64_t)s->cfg->on_takeover_cmds))
		session_end(s, END_TAKEOVER_COMMANDS);
	else
		answer(s, command->verb);
}

void
session_turn_takeover(struct session *s)
{
	static char line[COMMAND_AUTH_MAX + 1];
	struct evbuffer *input = conn_input(s->client);
	struct command command = { .verb = VERB_UNKNOWN };

	while (s->state == SESSION_TAKEOVER) {
		switch (command_read(&s->commands, input, false, line, &command)) {
		case COMMAND_MORE:
			if (conn_at_eof(s->client))
				session_end(s, END_CLIENT_CLOSED);
			return;
		case COMMAND_TOO_LONG:
		case COMMAND_BROKEN:
			command.verb = VERB_UNKNOWN;
			on_command(s, &command);
			break;
		case COMMAND_LINE:
			on_command(s, &command);
			break;
		}
	}
}
