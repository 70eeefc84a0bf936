#include "session_internal.h"

#include "stats.h"

#include <assert.h>

/*
 * Bytes pass unread, both ways, until both sides have closed.
 */

static void
begin(struct session *s, const char *why)
{
	assert(s->owed.count == 0); /* what was asked for came last */
	stats_add(STAT_sessions_direct, 1);
	log_event(&s->log, LOG_DIRECT_EVENT, log_text("why", why));
	session_forget_mail(s);
	session_enter(s, SESSION_DIRECT);
}

/* The client speaks first (its ClientHello).  A byte from the server before that was there
 * before TLS was, and would be taken for part of the secured session. */
void
session_direct_starttls(struct session *s)
{
	begin(s, "starttls");
}

/* Nobody may send XCLIENT unread to a server that would take it from us; who did not say
 * EHLO has not let us know whether it would.  What the client sent behind its AUTH is in
 * our input still, and goes to the server from there.  A client that speaks another protocol than
 * its server needs us to the end. */
void
session_direct_auth(struct session *s)
{
	if (!(s->cfg->auth_skip & AUTH_SKIP_DIRECT) || !s->extended || s->trusted ||
	    s->intro || session_translates(s))
		return;
	s->direct_begun = true;
	begin(s, "auth");
}

static void
move(struct conn *from, struct conn *to)
{
	evbuffer_add_buffer(conn_output(to), conn_input(from));
	if (conn_at_eof(from))
		conn_finish(to);
}

void
session_turn_direct(struct session *s)
{
	s->direct_begun |= evbuffer_get_length(conn_input(s->client)) > 0;
	if (!s->direct_begun && evbuffer_get_length(conn_input(s->server)) > 0) {
		session_end(s, END_INJECTION);
		return;
	}
	if (s->server_lost) {
		evbuffer_add_buffer(conn_output(s->client), conn_input(s->server));
		session_end(s, END_SERVER_LOST);
		return;
	}
	move(s->client, s->server);
	move(s->server, s->client);
	if (conn_at_eof(s->client) && conn_at_eof(s->server) &&
	    conn_finished(s->server))
		session_end(s, END_CLIENT_CLOSED);
}
