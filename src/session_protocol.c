#include "session_internal.h"

#include <ctype.h>
#include <string.h>

/*
 * What a peer said that cannot be followed, for whoever reads why a session has ended, or a
 * message was thrown away.  Nothing that may be of a password, or of an address of mail
 * where these are hidden.
 */
enum {
	SHOWN_MOST = 100, /* of a line */
};

void
session_log_fault(struct session *s, const char *what, const struct command *command)
{
	bool hidden = command->verb != VERB_BDAT || s->log.hides_mailboxes;
	size_t size = strlen(command->argument);

	if (s->fault_logged)
		return;
	s->fault_logged = true;
	log_event(s->mail ? &s->mail->log : &s->log, LOG_PROTOCOL_EVENT,
	          log_text("by", "client"), log_text("text", what),
	          log_text("command", verb_name(command->verb)),
	          log_bytes("argument", hidden ? NULL : command->argument,
	                    size < SHOWN_MOST ? size : SHOWN_MOST),
	          log_addr("client", &s->client_addr));
}

/* While somebody logs in its words may be of that, whatever the command was called. */
static bool
is_secret(const struct session *s, const struct expected *due)
{
	if (s->log.hides_mailboxes || s->opaque)
		return true;
	if (!due)
		return false;
	return due->subject == SUBJECT_CHALLENGED || due->verb == VERB_AUTH ||
	       (due->subject == SUBJECT_COMMAND && due->verb == VERB_UNKNOWN);
}

/* What of the line may be shown: its code at least, if it has one. */
static size_t
shown(const char *line, size_t size, bool secret)
{
	const char *end = memchr(line, '\n', size);

	if (end)
		size = (size_t)(end - line);
	if (size > 0 && line[size - 1] == '\r')
		size--;
	if (!secret)
		return size;
	return size >= 3 && isdigit((unsigned char)line[0]) &&
	                       isdigit((unsigned char)line[1]) &&
	                       isdigit((unsigned char)line[2])
	               ? 3
	               : 0;
}

/* The line is what comes next in the input; of a reply, behind its lines that were right. */
static size_t
copy_line(const struct session *s, char line[static SHOWN_MOST])
{
	struct evbuffer *input = conn_input(s->server);
	struct evbuffer_ptr at;
	ev_ssize_t size;

	if (evbuffer_ptr_set(input, &at, s->replies.size, EVBUFFER_PTR_SET) < 0)
		return 0;
	size = evbuffer_copyout_from(input, &at, line, SHOWN_MOST);
	return size > 0 ? (size_t)size : 0;
}

void
session_log_nonsense(struct session *s, const char *what)
{
	const struct expected *due = pipeline_due(&s->owed);
	bool asked = due && due->verb != VERB_UNKNOWN;
	char line[SHOWN_MOST] = "";
	size_t size = shown(line, copy_line(s, line), is_secret(s, due));

	log_event(s->mail ? &s->mail->log : &s->log, LOG_PROTOCOL_EVENT,
	          log_text("by", "server"), log_text("text", what),
	          log_text("command", asked ? verb_name((enum verb)due->verb) : NULL),
	          log_bytes("reply", size > 0 ? line : NULL, size),
	          log_addr("client", &s->client_addr),
	          log_addr("server", &s->server_addr));
}

/* Of its protocol, that is: these two codes mean that it does not know the verb. */
static const char *
doubt_about_server(const struct session *s, enum verb verb)
{
	if (s->cfg->server_protocol == SERVER_LMTP)
		return "the server does not know LHLO: if it speaks SMTP, "
		       "server_protocol has to be smtp";
	if (verb == VERB_HELO)
		return "the server knows neither EHLO nor HELO: if it speaks LMTP, "
		       "server_protocol has to be lmtp";
	return NULL;
}

void
session_note_refused_hello(struct session *s, enum verb verb, int code)
{
	const char *doubt = doubt_about_server(s, verb);

	if (!verb_is_hello(verb) || (code != 500 && code != 502) || !doubt ||
	    s->hello_doubted)
		return;
	s->hello_doubted = true;
	session_log_nonsense(s, doubt);
}
