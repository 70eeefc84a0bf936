#include "session_internal.h"

#include "route.h"
#include "stats.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
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
	int64_t turned_away_said; /* ms: when last logged */
	unsigned turned_away;     /* since then */
	void (*emptied)(void *arg);
	void *arg;
};

static const struct {
	const char *word;
	int code;
	const char *enhanced;
	size_t text; /* which option holds it */
} ends[] = {
#define E(id, word, code, enhanced, text, meaning) \
	[END_##id] = { word, code, enhanced, offsetof(struct config, text) },
	SESSION_ENDS(E)
#undef E
};

/* ---- states ------------------------------------------------------------ */

static void turn_nothing(struct session *s);
static void turn_connecting(struct session *s);
static void turn_relaying(struct session *s);
static void turn_delivering(struct session *s);
static void turn_closing(struct session *s);
static void expired_connecting(struct session *s);
static void expired_relaying(struct session *s);
static void expired_server(struct session *s);
static void expired_client(struct session *s);
static void expired_closing(struct session *s);

#define LIMIT(option) offsetof(struct config, option)
#define MAY(state)    (1u << SESSION_##state)

/* What every state is: its name, the option that limits its time, what it does then and
 * before, what may follow, and whether the limit is one of silence or of all its time. */
static const struct session_rule {
	const char *name;
	size_t limit;
	void (*turn)(struct session *s);
	void (*expired)(struct session *s);
	unsigned next;
	bool of_silence;
} rules[] = {
	[SESSION_ROUTING] = { "routing", LIMIT(timeout_connect), turn_nothing,
	                      expired_connecting, MAY(CONNECTING) | MAY(CLOSING),
	                      false },
	[SESSION_CONNECTING] = { "connecting", LIMIT(timeout_connect), turn_connecting,
	                         expired_connecting, MAY(RELAYING) | MAY(CLOSING),
	                         false },
	[SESSION_RELAYING] = { "relaying", LIMIT(timeout_idle), turn_relaying,
	                       expired_relaying, MAY(BODY) | MAY(DIRECT) | MAY(CLOSING),
	                       true },
	[SESSION_BODY] = { "body", LIMIT(timeout_body), session_turn_body,
	                   session_body_expired,
	                   MAY(JUDGING) | MAY(DELIVERING) | MAY(TAKEOVER) |
	                           MAY(CLOSING),
	                   true },
	[SESSION_JUDGING] = { "judging", LIMIT(timeout_judging), session_turn_judging,
	                      session_judging_expired,
	                      MAY(DELIVERING) | MAY(TAKEOVER) | MAY(CLOSING), false },
	[SESSION_DELIVERING] = { "delivering", LIMIT(timeout_delivery), turn_delivering,
	                         expired_server, MAY(RELAYING) | MAY(CLOSING), false },
	[SESSION_DIRECT] = { "direct", LIMIT(timeout_direct), session_turn_direct,
	                     expired_client, MAY(CLOSING), true },
	[SESSION_TAKEOVER] = { "takeover", LIMIT(timeout_session),
	                       session_turn_takeover, expired_client, MAY(CLOSING),
	                       true },
	[SESSION_CLOSING] = { "closing", LIMIT(timeout_close), turn_closing,
	                      expired_closing, 0, false },
	[SESSION_DEAD] = { "dead", LIMIT(timeout_close), turn_nothing, expired_closing,
	                   0, false },
};

/* ---- time -------------------------------------------------------------- */

/* Coarse is enough for limits of seconds, and costs next to nothing. */
static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
timer_set(struct session *s, int64_t now)
{
	int64_t left = s->deadline > now ? s->deadline - now : 0;
	struct timeval in = { left / 1000, left % 1000 * 1000 };

	s->timer_at = s->deadline;
	evtimer_add(&s->timer, &in);
}

/*
 * A deadline that moves away with every byte would be a heap operation a byte.  So the
 * timer is left where it is, and looks at the deadline when it fires; only a deadline
 * that is nearer sets it anew.
 */
static void
deadline_begin(struct session *s)
{
	int64_t now = now_ms();
	int64_t seconds = *(int64_t *)((char *)s->cfg + rules[s->state].limit);

	s->deadline = now + seconds * 1000;
	if (s->timer_at == 0 || s->timer_at > s->deadline)
		timer_set(s, now);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	int64_t now = now_ms();

	(void)fd;
	(void)what;
	s->timer_at = 0;
	if (now < s->deadline) {
		timer_set(s, now);
		return;
	}
	rules[s->state].expired(s);
	session_turn(s);
}

/* Something has moved: silence begins anew. */
static void
session_stir(struct session *s)
{
	if (rules[s->state].of_silence)
		deadline_begin(s);
}

static void
expired_connecting(struct session *s)
{
	session_end(s, END_CONNECT_TIMEOUT);
}

static void
expired_relaying(struct session *s)
{
	session_end(s, pipeline_awaits_server(&s->owed) ? END_SERVER_TIMEOUT
	                                                : END_CLIENT_TIMEOUT);
}

static void
expired_server(struct session *s)
{
	session_end(s, END_SERVER_TIMEOUT);
}

static void
expired_client(struct session *s)
{
	session_end(s, END_CLIENT_TIMEOUT);
}

static void
expired_closing(struct session *s)
{
	session_close(s, s->end);
}

/* ---- from state to state ----------------------------------------------- */

void
session_enter(struct session *s, enum session_state next)
{
	assert(rules[s->state].next & (1u << next));
	if (log_wanted(LOG_STATE_EVENT))
		log_event(&s->log, LOG_STATE_EVENT,
		          log_text("from", rules[s->state].name),
		          log_text("to", rules[next].name));
	s->state = next;
	deadline_begin(s);
}

void
session_drop_server(struct session *s)
{
	if (s->server)
		stats_add(STAT_bytes_server, (int64_t)conn_received(s->server));
	conn_free(s->server);
	s->server = NULL;
}

bool
session_server_gone(const struct session *s)
{
	return !s->server || s->server_lost || conn_at_eof(s->server);
}

size_t
session_backlog_max(const struct session *s)
{
	return (size_t)s->cfg->relay_buffer;
}

bool
session_has_room(const struct session *s)
{
	size_t most = session_backlog_max(s);

	return conn_backlog(s->client) < most &&
	       (!s->server || conn_backlog(s->server) < most);
}

void
session_say(struct session *s, int code, const char *enhanced, const char *text)
{
	reply_make(conn_output(s->client), code, s->enhanced ? enhanced : NULL, text);
}

void
session_end(struct session *s, enum session_end why)
{
	const char *text = *(char **)((char *)s->cfg + ends[why].text);
	char *words;

	if (s->state == SESSION_CLOSING || s->state == SESSION_DEAD)
		return;
	s->end = why;
	s->phase = s->state;
	transaction_free(s->mail);
	s->mail = NULL;
	if (ends[why].code != 0 && s->state != SESSION_DIRECT) {
		words = xasprintf("%s %s", s->world->name, text);
		session_say(s, ends[why].code, ends[why].enhanced, words);
		free(words);
	}
	if (why != END_CLIENT_QUIT)
		session_drop_server(s);
	session_enter(s, SESSION_CLOSING);
}

static void
log_close_line(const struct session *s)
{
	log_event(&s->log, LOG_CLOSE_EVENT, log_text("end", ends[s->end].word),
	          log_text("phase", rules[s->phase].name),
	          log_addr("client", &s->client_addr),
	          log_addr("server", &s->server_addr),
	          log_number("in", (int64_t)conn_received(s->client)),
	          log_real("seconds", (double)(now_ms() - s->born) / 1000),
	          log_number("mails", s->mails), log_number("delivered", s->delivered),
	          log_text("auth", s->authenticated ? "yes" : NULL));
}

void
session_close(struct session *s, enum session_end why)
{
	struct sessions *all = s->all;

	if (s->state == SESSION_DEAD)
		return;
	if (s->state != SESSION_CLOSING) {
		s->end = why;
		s->phase = s->state;
	}
	log_close_line(s);
	stats_add(STAT_bytes_client, (int64_t)conn_received(s->client));
	transaction_free(s->mail);
	s->mail = NULL;
	pipeline_fini(&s->owed);
	session_drop_server(s);
	conn_free(s->client);
	s->client = NULL;
	evtimer_del(&s->timer);
	s->state = SESSION_DEAD;
	TAILQ_REMOVE(&all->alive, s, link);
	TAILQ_INSERT_TAIL(&all->graves, s, link);
	all->count--;
	stats_set(STAT_sessions_now, all->count);
	event_active(all->reaper, 0, 0); /* our caller may still be using it */
}

/* ---- turns ------------------------------------------------------------- */

static void
turn_nothing(struct session *s)
{
	(void)s;
}

static void
turn_connecting(struct session *s)
{
	if (conn_at_eof(s->client))
		session_end(s, END_CLIENT_CLOSED);
}

/* The server closed and all it said is read: was that its last word, or is it lost? */
static enum session_end
server_farewell(const struct session *s)
{
	if (s->last_code == 421)
		return END_SERVER_CLOSED;
	if (s->last_code == 554 && !pipeline_awaits_server(&s->owed))
		return END_SERVER_CLOSED;
	return END_SERVER_LOST;
}

static void
turn_relaying(struct session *s)
{
	session_take_replies(s);
	if (s->state == SESSION_RELAYING && session_server_gone(s)) {
		session_end(s, server_farewell(s));
		return;
	}
	session_take_commands(s);
	if (s->state == SESSION_RELAYING && conn_at_eof(s->client) &&
	    s->owed.count == 0)
		session_end(s, END_CLIENT_CLOSED);
}

static void
turn_delivering(struct session *s)
{
	session_take_replies(s);
	if (s->state == SESSION_DELIVERING && session_server_gone(s))
		session_end(s, END_SERVER_LOST);
}

/*
 * What a peer still sends is thrown away: closing a socket with unread input would reset
 * it, and the reset may overtake our last words.  After QUIT the server closes first; so
 * the TIME-WAIT is where it is with no gateway between.
 */
static void
turn_closing(struct session *s)
{
	evbuffer_drain(conn_input(s->client),
	               evbuffer_get_length(conn_input(s->client)));
	if (s->server)
		evbuffer_drain(conn_input(s->server),
		               evbuffer_get_length(conn_input(s->server)));
	if (session_server_gone(s))
		session_drop_server(s);
	conn_finish(s->client);
	if (!s->server && conn_finished(s->client) && conn_at_eof(s->client))
		session_close(s, s->end);
}

/* Reading a peer stops above the limit and starts again at half of it. */
static void
want_input(struct conn *from, size_t waiting, size_t most)
{
	if (waiting >= most || evbuffer_get_length(conn_input(from)) >= most)
		conn_want_input(from, false);
	else if (waiting <= most / 2)
		conn_want_input(from, true);
}

/* What must go out before more is read from the client.  Its commands make replies, so
 * one that does not take these must wait as well; bytes that pass unread make none. */
static size_t
client_waits_for(const struct session *s)
{
	size_t to_client = conn_backlog(s->client);
	size_t to_server = s->server ? conn_backlog(s->server) : 0;

	if (s->mail && s->mail->waits_for_space)
		return session_backlog_max(s);
	if (s->state == SESSION_DIRECT)
		return to_server;
	return to_client > to_server ? to_client : to_server;
}

static void
session_flush(struct session *s)
{
	if (s->server)
		conn_flush(s->server);
	conn_flush(s->client);
}

static void
session_settle(struct session *s)
{
	size_t most = session_backlog_max(s);

	want_input(s->client, client_waits_for(s), most);
	if (s->server)
		want_input(s->server, conn_backlog(s->client), most);
}

static void
turn_until_steady(struct session *s)
{
	enum session_state before;

	do {
		before = s->state;
		rules[before].turn(s);
	} while (s->state != before);
}

/* If the kernel takes at once what commands had to stop for, no event will tell: they go
 * on here.  What has been read bounds how often. */
void
session_turn(struct session *s)
{
	do {
		s->paused = false;
		turn_until_steady(s);
		if (s->state == SESSION_DEAD)
			return;
		session_flush(s);
	} while (s->paused && session_has_room(s));
	session_settle(s);
}

/* ---- events of the connections ------------------------------------------ */

static void
on_moved(struct conn *conn, void *owner)
{
	struct session *s = owner;

	(void)conn;
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
on_server_connected(struct conn *conn, void *owner)
{
	struct session *s = owner;
	struct expected *greeting = pipeline_push(&s->owed, PLAN_FORWARD);

	(void)conn;
	greeting->subject = SUBJECT_GREETING;
	session_enter(s, SESSION_RELAYING);
	session_turn(s);
}

static void
connect_failed(struct session *s, int error)
{
	log_event(&s->log, LOG_TROUBLE_EVENT, log_text("text", "cannot connect"),
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
	.input = on_moved,
	.drained = on_moved,
	.lost = on_client_lost,
};

static const struct conn_events server_events = {
	.connected = on_server_connected,
	.input = on_moved,
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
session_new(struct sessions *all, int fd, const struct addr *client)
{
	struct session *s = xcalloc(1, sizeof(*s));

	s->all = all;
	s->world = &all->world;
	s->cfg = config_hold(all->world.cfg);
	s->client_addr = *client;
	s->born = now_ms();
	make_id(all->next_id++, s->log.session);
	pipeline_init(&s->owed);
	evtimer_assign(&s->timer, all->world.base, on_timer, s);
	s->client = conn_accepted(all->world.base, fd, &client_events, s);
	TAILQ_INSERT_TAIL(&all->alive, s, link);
	all->count++;
	stats_add(STAT_connections, 1);
	stats_set(STAT_sessions_now, all->count);
	if (all->count > stats_get(STAT_sessions_most))
		stats_set(STAT_sessions_most, all->count);
	deadline_begin(s);
	return s;
}

/* The ending that a route leads to; NONE when there is a destination. */
static enum session_end
route_end(struct session *s, struct route_words *why)
{
	struct route_query query = {
		.fd = conn_fd(s->client),
		.client = s->client_addr,
		.local = addr_local(conn_fd(s->client)),
	};

	switch (route_find(s->cfg, &query, &s->server_addr, why)) {
	case ROUTE_FOUND:
		return END_NONE;
	case ROUTE_NOT_REDIRECTED:
		return END_NOT_REDIRECTED;
	case ROUTE_LOOP:
		return END_LOOP;
	case ROUTE_UNKNOWN:
		return END_NO_ROUTE;
	}
	return END_NO_ROUTE;
}

static void
session_refuse(struct session *s, enum session_end why, const struct route_words *words)
{
	stats_add(STAT_connections_refused, 1);
	log_event(&s->log, LOG_REFUSE_EVENT, log_text("why", ends[why].word),
	          log_addr("client", &s->client_addr),
	          log_addr("server", &s->server_addr),
	          log_text("text", words->text[0] ? words->text : NULL));
	session_end(s, why);
}

static void
session_connect(struct session *s)
{
	struct addr from = { 0 };

	if (s->cfg->outgoing_addr[0] && !addr_parse(&from, s->cfg->outgoing_addr, 0))
		from = (struct addr){ 0 };
	if (addr_is_any(&from) || addr_family(&from) != addr_family(&s->server_addr))
		from = (struct addr){ 0 };
	session_enter(s, SESSION_CONNECTING);
	s->server = conn_connect(s->world->base, &s->server_addr, &from, &server_events,
	                         s);
	if (!s->server)
		connect_failed(s, errno);
}

/* Too many: one line, and the door.  Said at most every ten seconds, with a count. */
static void
turn_away(struct sessions *all, int fd, const struct addr *client)
{
	struct config *cfg = all->world.cfg;
	char *line = xasprintf("421 %s %s\r\n", all->world.name, cfg->msg_max_reached);
	int64_t now = now_ms();

	(void)!send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
	free(line);
	close(fd);
	stats_add(STAT_connections_refused, 1);
	all->turned_away++;
	if (all->turned_away_said != 0 && now - all->turned_away_said < 10000)
		return;
	log_event(NULL, LOG_REFUSE_EVENT, log_text("why", "max_connections"),
	          log_addr("client", client), log_number("count", all->turned_away));
	all->turned_away_said = now;
	all->turned_away = 0;
}

void
session_begin(struct sessions *all, int fd, const struct addr *client)
{
	struct route_words why;
	struct session *s;
	enum session_end refusal;

	if (all->count >= all->world.cfg->max_connections) {
		turn_away(all, fd, client);
		return;
	}
	s = session_new(all, fd, client);
	refusal = route_end(s, &why);
	if (refusal != END_NONE) {
		session_refuse(s, refusal, &why);
	} else {
		log_event(&s->log, LOG_CONNECT_EVENT, log_addr("client", client),
		          log_addr("server", &s->server_addr));
		session_connect(s);
	}
	session_turn(s);
}

/* ---- the registry -------------------------------------------------------- */

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
	free(all);
}

unsigned
sessions_count(const struct sessions *all)
{
	return all->count;
}
