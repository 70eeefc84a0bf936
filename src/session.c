#include "session_internal.h"

#include "stats.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

TAILQ_HEAD(session_list, session);

struct sessions {
	struct session_world world;
	struct session_list alive, graves;
	struct event *reaper;
	unsigned count;
	uint64_t next_id;
	struct session_gate *gate;
	void (*emptied)(void *arg);
	void *arg;
};

/* ---- events of the connections ------------------------------------------ */

static void
on_moved(struct conn *conn, void *owner)
{
	struct session *s = owner;

	(void)conn;
	session_stir(s);
	session_turn(s);
}

/* While the server owes a reply, or is to take a message from us, what a client sends on
 * is no sign of life of it. */
static void
on_client_input(struct conn *conn, void *owner)
{
	struct session *s = owner;

	(void)conn;
	if (s->state != SESSION_REPLAYING &&
	    (s->state != SESSION_RELAYING || !pipeline_awaits_server(&s->owed)))
		session_stir(s);
	session_turn(s);
}

/* Nothing is owed but an answer to our NOOP, between the chunks of a held message. */
static bool
only_we_have_asked(const struct session *s)
{
	return session_between_chunks(s) && s->owed.count == 1 &&
	       pipeline_due(&s->owed)->subject == SUBJECT_HELD;
}

/* Nor is it one of the client in the middle of a message that a server takes our NOOPs. */
static void
on_server_input(struct conn *conn, void *owner)
{
	struct session *s = owner;

	(void)conn;
	if (s->state != SESSION_BODY && !only_we_have_asked(s))
		session_stir(s);
	session_turn(s);
}

static void
on_client_lost(struct conn *conn, enum conn_end why, int error, void *owner)
{
	(void)conn;
	(void)why;
	(void)error;
	session_close(owner, END_CLIENT_LOST);
}

static void
relay(struct session *s)
{
	struct expected *greeting = pipeline_push(&s->owed, PLAN_FORWARD);

	greeting->subject = SUBJECT_GREETING;
	/* What comes before it is for the checks, if any, and not for the server. */
	greeting->ends_group = check_stages(s->cfg) & STAGE_GREETING;
	session_enter(s, SESSION_RELAYING);
}

static void
on_server_connected(struct conn *conn, void *owner)
{
	struct session *s = owner;

	if (s->cfg->spf == SPF_OUTGOING)
		s->outgoing_addr = addr_local(conn_fd(conn));
	session_source_heard(s);
	if (s->cfg->mode == ROUTE_BY_FIXED_XCLIENT)
		session_introduction_begin(s);
	else
		relay(s);
	session_turn(s);
}

static void
connect_failed(struct session *s, int error)
{
	log_event(&s->log, LOG_TROUBLE_EVENT,
	          log_text("text", session_source_fault(s, error)),
	          log_addr("client", &s->client_addr),
	          log_addr("server", &s->server_addr), log_error(error));
	session_end(s, error == ETIMEDOUT ? END_CONNECT_TIMEOUT : END_CONNECT_FAILED);
}

static void
on_server_lost(struct conn *conn, enum conn_end why, int error, void *owner)
{
	struct session *s = owner;

	(void)conn;
	s->server_lost = true;
	if (why == CONN_UNREACHABLE)
		connect_failed(s, error);
	session_turn(s);
}

static const struct conn_events client_events = {
	.input = on_client_input,
	.drained = on_moved,
	.lost = on_client_lost,
};

static const struct conn_events server_events = {
	.connected = on_server_connected,
	.input = on_server_input,
	.drained = on_moved,
	.lost = on_server_lost,
};

/* ---- birth --------------------------------------------------------------- */

/* Eight letters that do not come again soon, not even after a restart. */
static void
make_id(uint64_t number, char id[static 12])
{
	static const char letters[] = "0123456789abcdefghjkmnpqrstvwxyz";

	for (int i = 7; i >= 0; i--) {
		id[i] = letters[number & 31];
		number >>= 5;
	}
	id[8] = '\0';
}

static struct session *
session_new(struct sessions *all, struct config *cfg, int fd, const struct addr *client)
{
	struct session *s = xcalloc(1, sizeof(*s));

	s->all = all;
	s->world = &all->world;
	s->cfg = config_hold(cfg);
	s->peer = s->client_addr = *client;
	make_id(all->next_id++, s->log.session);
	s->log.hides_mailboxes = mailbox_is_private(cfg);
	pipeline_init(&s->owed);
	s->client = conn_accepted(all->world.base, fd, &client_events, s);
	TAILQ_INSERT_TAIL(&all->alive, s, link);
	all->count++;
	stats_add(STAT_connections, 1);
	stats_set(STAT_sessions_now, all->count);
	if (all->count > stats_get(STAT_sessions_most))
		stats_set(STAT_sessions_most, all->count);
	s->state = SESSION_PROXY;
	if (!session_awaits_header(s)) {
		s->state = SESSION_ROUTING;
		session_count_host(s);
	}
	session_begin_time(s);
	return s;
}

const char *
session_listener(const struct config *cfg)
{
	return cfg->listen_section ? cfg->listener : NULL;
}

void
session_connect(struct session *s)
{
	struct conn_source from = session_source(s);

	session_enter(s, SESSION_CONNECTING);
	s->server = conn_connect(s->world->base, &s->server_addr, &from, &server_events,
	                         s);
	if (!s->server) {
		connect_failed(s, errno);
		return;
	}
	route_call_begin(&s->call, conn_fd(s->server), &s->server_addr);
	session_send_header(s);
}

void
session_begin(struct sessions *all, struct config *listener, int fd,
              const struct addr *client)
{
	struct session *s;

	assert(listener);
	if (!session_gate_admits(all->gate, listener, fd, client, all->count))
		return;
	s = session_new(all, listener, fd, client);
	if (s->state == SESSION_ROUTING)
		session_route(s);
	session_turn(s);
}

void
session_begin_not(struct sessions *all, const struct config *listener, int fd,
                  const struct addr *client)
{
	session_gate_turn_away(all->gate, listener, fd, client, AWAY_DESCRIPTORS);
}

/* ---- the registry -------------------------------------------------------- */

void
session_count_host(struct session *s)
{
	session_gate_count_host(s->all->gate, s);
}

void
session_count_ident(struct session *s)
{
	session_gate_count_ident(s->all->gate, s);
}

void
session_bury(struct session *s)
{
	struct sessions *all = s->all;

	session_gate_discount(all->gate, s);
	TAILQ_REMOVE(&all->alive, s, link);
	TAILQ_INSERT_TAIL(&all->graves, s, link);
	all->count--;
	stats_set(STAT_sessions_now, all->count);
	event_active(all->reaper, 0, 0); /* our caller may still be using it */
}

static void
reap(evutil_socket_t fd, short what, void *arg)
{
	struct sessions *all = arg;
	struct session *s;

	(void)fd;
	(void)what;
	while ((s = TAILQ_FIRST(&all->graves))) {
		TAILQ_REMOVE(&all->graves, s, link);
		config_drop(s->cfg);
		free(s);
	}
	if (all->count == 0)
		all->emptied(all->arg);
}

struct sessions *
sessions_new(const struct session_world *world, void (*emptied)(void *arg), void *arg)
{
	struct sessions *all = xcalloc(1, sizeof(*all));

	all->world = *world;
	all->world.cfg = config_hold(world->cfg);
	all->gate = session_gate_new();
	session_gate_set(all->gate, all->world.cfg);
	all->emptied = emptied;
	all->arg = arg;
	TAILQ_INIT(&all->alive);
	TAILQ_INIT(&all->graves);
	all->reaper = event_new(world->base, -1, 0, reap, all);
	if (getrandom(&all->next_id, sizeof(all->next_id), 0) < 0)
		all->next_id = (uint64_t)time(NULL) << 20;
	return all;
}

void
sessions_free(struct sessions *all)
{
	struct session *s;

	if (!all)
		return;
	while ((s = TAILQ_FIRST(&all->alive))) {
		session_end(s, END_SHUTDOWN);
		conn_flush(s->client);
		session_close(s, s->end);
	}
	reap(-1, 0, all);
	event_free(all->reaper);
	session_gate_free(all->gate);
	config_drop(all->world.cfg);
	free(all);
}

void
sessions_reconfigure(struct sessions *all, struct config *cfg)
{
	struct config *old = all->world.cfg;

	all->world.cfg = config_hold(cfg); /* first: it may be the same */
	config_drop(old);
	session_gate_set(all->gate, cfg);
}

static void
describe(const struct session *s, struct session_info *info)
{
	*info = (struct session_info){
		.id = s->log.session,
		.state = session_state_word(s->state),
		.listener = s->cfg->listener,
		.policy = s->cfg->policy,
		.client = s->client_addr,
		.server = s->server_addr,
		.ident = s->ident,
		.client_received = conn_received(s->client),
		.server_received = s->server_received,
		.age_ms = session_now() - s->born,
		.mail = s->mails,
		.auth_offered = s->auth_offered,
		.authenticated = s->authenticated,
	};
	if (s->server)
		info->server_received += conn_received(s->server);
}

void
sessions_each(const struct sessions *all,
              void (*each)(const struct session_info *info, void *arg), void *arg)
{
	const struct session *s;
	struct session_info info;

	TAILQ_FOREACH(s, &all->alive, link)
	{
		describe(s, &info);
		each(&info, arg);
	}
}

unsigned
sessions_count(const struct sessions *all)
{
	return all ? all->count : 0;
}
