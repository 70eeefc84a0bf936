#include "session_internal.h"

#include "stats.h"

/*
 * Bytes pass unread, both ways, until both sides have closed.
 *
 * After STARTTLS the client speaks first (its ClientHello).  A byte from the server before
 * that was there before TLS was, and would be taken for part of the secured session.
 */

void
session_direct(struct session *s)
{
	stats_add(STAT_sessions_direct, 1);
	log_event(&s->log, LOG_DIRECT_EVENT, log_text("why", "starttls"));
	session_forget_mail(s);
	session_enter(s, SESSION_DIRECT);
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
