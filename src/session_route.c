#include "session_internal.h"

#include "stats.h"

#include <stdio.h>

/*
 * Where did the client mean to go?  The answer is there at once, or the session waits for
 * it; then the question is withdrawn when the session ends.
 */

/* The ending that a route leads to; NONE when there is a destination. */
static enum session_end
route_end(enum route_result result)
{
	switch (result) {
	case ROUTE_FOUND:
		return END_NONE;
	case ROUTE_NOT_REDIRECTED:
		return END_NOT_REDIRECTED;
	case ROUTE_LOOP:
		return END_LOOP;
	case ROUTE_MISMATCH:
		return END_LOOKUP_MISMATCH;
	case ROUTE_UNKNOWN:
		return END_NO_ROUTE;
	}
	return END_NO_ROUTE;
}

void
session_refuse(struct session *s, enum session_end why, const char *text)
{
	char via[ADDR_TEXT_SIZE];

	stats_add(STAT_connections_refused, 1);
	stats_add(STAT_refused_other, 1);
	log_event(&s->log, LOG_REFUSE_EVENT, log_text("why", session_end_word(why)),
	          log_addr("client", &s->client_addr),
	          log_addr("server", &s->server_addr),
	          log_text("ident", s->ident[0] ? s->ident : NULL),
	          log_text("listener", session_listener(s->cfg)),
	          log_text("policy", s->cfg->policy),
	          log_text("text", text && text[0] ? text : NULL), session_via(s, via));
	session_end(s, why);
}

/* What goes round would take all sessions, and so would all clients of one dead server.
 * In mode fixed there is no other server that could suffer. */
static bool
is_crowded(const struct session *s)
{
	int64_t most = s->cfg->max_waiting ?: (s->cfg->max_connections + 1) / 2;

	return !config_is_fixed(s->cfg) && route_loop_waiting(&s->server_addr) >= most;
}

/* Both ends are known: from now on the session has the options of its policy. */
static void
apply_policy(struct session *s)
{
	struct config *born = s->cfg;

	s->cfg = config_hold(config_policy(born, &s->client_addr, &s->server_addr));
	config_drop(born);
	s->log.hides_mailboxes = mailbox_is_private(s->cfg);
}

static void
session_routed(struct session *s, const struct route_answer *answer)
{
	enum session_end refusal = route_end(answer->result);
	char via[ADDR_TEXT_SIZE];

	s->server_addr = answer->server;
	s->hops = answer->hops;
	if (refusal == END_NONE)
		apply_policy(s);
	if (refusal == END_NONE && is_crowded(s))
		refusal = END_TOO_MANY_WAITING;
	snprintf(s->ident, sizeof(s->ident), "%s", answer->ident);
	session_count_ident(s);
	if (refusal != END_NONE) {
		session_refuse(s, refusal, answer->why.text);
		return;
	}
	log_event(&s->log, LOG_CONNECT_EVENT, log_addr("client", &s->client_addr),
	          log_addr("server", &s->server_addr),
	          log_text("ident", s->ident[0] ? s->ident : NULL), session_via(s, via),
	          log_text("header", s->header),
	          log_text("listener", session_listener(s->cfg)),
	          log_text("policy", s->cfg->policy));
	session_screen_client(s);
}

static void
on_route(const struct route_answer *answer, void *arg)
{
	struct session *s = arg;

	s->route = NULL;
	session_routed(s, answer);
	session_turn(s);
}

void
session_route(struct session *s)
{
	struct route_query query = {
		.fd = conn_fd(s->client),
		.client = s->peer,
		.local = addr_local(conn_fd(s->client)),
		.meant = s->meant,
	};
	struct route_answer answer;

	s->route = route_start(s->world->base, s->cfg, &query, &answer, on_route, s);
	if (!s->route)
		session_routed(s, &answer);
}

void
session_turn_routing(struct session *s)
{
	if (conn_at_eof(s->client))
		session_end(s, END_CLIENT_CLOSED);
}

void
session_routing_expired(struct session *s)
{
	struct route_words words;

	route_describe(s->route, &words);
	session_refuse(s, END_LOOKUP_TIMEOUT, words.text);
}

void
session_forget_route(struct session *s)
{
	route_cancel(s->route);
	s->route = NULL;
}
