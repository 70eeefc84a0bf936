#include "session_internal.h"

#include "memory.h"
#include "stats.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

/*
 * What every state is, how long it may last, what may follow, and how a session ends.
 */

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
	[SESSION_PROXY] = { "proxy", LIMIT(timeout_proxy), session_turn_proxy,
	                    session_proxy_expired, MAY(ROUTING) | MAY(CLOSING), false },
	[SESSION_ROUTING] = { "routing", LIMIT(timeout_lookup), session_turn_routing,
	                      session_routing_expired, MAY(SCREENING) | MAY(CLOSING),
	                      false },
	[SESSION_SCREENING] = { "screening", LIMIT(timeout_lookup), turn_connecting,
	                        session_screening_expired,
	                        MAY(CONNECTING) | MAY(CLOSING), false },
	[SESSION_CONNECTING] = { "connecting", LIMIT(timeout_connect), turn_connecting,
	                         expired_connecting,
	                         MAY(RELAYING) | MAY(INTRODUCING) | MAY(CLOSING),
	                         false },
	[SESSION_INTRODUCING] = { "introducing", LIMIT(timeout_idle),
	                          session_turn_introducing, expired_server,
	                          MAY(NAMING) | MAY(RELAYING) | MAY(CLOSING), false },
	[SESSION_NAMING] = { "naming", LIMIT(timeout_lookup), session_turn_introducing,
	                     session_naming_expired, MAY(INTRODUCING) | MAY(CLOSING),
	                     false },
	[SESSION_RELAYING] = { "relaying", LIMIT(timeout_idle), turn_relaying,
	                       expired_relaying, MAY(BODY) | MAY(DIRECT) | MAY(CLOSING),
	                       true },
	[SESSION_BODY] = { "body", LIMIT(timeout_body), session_turn_body,
	                   session_body_expired,
	                   MAY(JUDGING) | MAY(OFFERING) | MAY(DELIVERING) |
	                           MAY(RELAYING) | MAY(TAKEOVER) | MAY(CLOSING),
	                   true },
	[SESSION_JUDGING] = { "judging", LIMIT(timeout_judging), session_turn_judging,
	                      session_judging_expired,
	                      MAY(OFFERING) | MAY(DELIVERING) | MAY(RELAYING) |
	                              MAY(TAKEOVER) | MAY(CLOSING),
	                      false },
	[SESSION_OFFERING] = { "offering", LIMIT(timeout_idle), session_turn_offering,
	                       expired_server,
	                       MAY(REPLAYING) | MAY(DELIVERING) | MAY(BODY) |
	                               MAY(RELAYING) | MAY(CLOSING),
	                       false },
	[SESSION_REPLAYING] = { "replaying", LIMIT(timeout_body),
	                        session_turn_replaying, expired_server,
	                        MAY(OFFERING) | MAY(DELIVERING) | MAY(BODY) |
	                                MAY(RELAYING) | MAY(TAKEOVER) | MAY(CLOSING),
	                        true },
	[SESSION_DELIVERING] = { "delivering", LIMIT(timeout_delivery), turn_delivering,
	                         expired_server, MAY(RELAYING) | MAY(CLOSING), false },
	[SESSION_DIRECT] = { "direct", LIMIT(timeout_direct), session_turn_direct,
	                     expired_client, MAY(CLOSING), true },
	[SESSION_TAKEOVER] = { "takeover", LIMIT(timeout_session),
	                       session_turn_takeover, expired_client, MAY(CLOSING),
	                       false },
	[SESSION_CLOSING] = { "closing", LIMIT(timeout_close), turn_closing,
	                      expired_closing, 0, false },
	[SESSION_DEAD] = { "dead", LIMIT(timeout_close), turn_nothing, expired_closing,
	                   0, false },
};

/* ---- time -------------------------------------------------------------- */

/* Coarse is enough for limits of seconds, and costs next to nothing. */
int64_t
session_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t
sooner(int64_t time, int64_t other)
{
	return other != 0 && other < time ? other : time;
}

static int64_t
next_time(const struct session *s)
{
	return sooner(sooner(s->deadline, s->due), s->noop_at);
}

static void
timer_set(struct session *s, int64_t now)
{
	int64_t left = next_time(s) > now ? next_time(s) - now : 0;
	struct timeval in = { left / 1000, left % 1000 * 1000 };

	s->timer_at = next_time(s);
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
	int64_t now = session_now();
	int64_t seconds = *(int64_t *)((char *)s->cfg + rules[s->state].limit);

	s->deadline = now + seconds * 1000;
	if (s->timer_at == 0 || s->timer_at > s->deadline)
		timer_set(s, now);
}

static void
set_time(struct session *s, int64_t *time, int64_t seconds)
{
	int64_t now = session_now();

	*time = now + seconds * 1000;
	if (s->timer_at == 0 || s->timer_at > *time)
		timer_set(s, now);
}

void
session_set_due(struct session *s, int64_t seconds)
{
	set_time(s, &s->due, seconds);
}

void
session_set_noop(struct session *s, int64_t seconds)
{
	set_time(s, &s->noop_at, seconds);
}

/* Bytes come, and yet what is due has not been done. */
static void
on_due(struct session *s)
{
	s->due = 0;
	if (s->state == SESSION_BODY)
		session_body_window_over(s);
	else if (s->state == SESSION_RELAYING && s->chunk_left > 0)
		session_chunk_window_over(s);
	else
		session_end(s, END_CLIENT_SLOW);
}

/* It may be that of a mail that is over: the deadline still stands. */
static void
on_noop_due(struct session *s, int64_t now)
{
	session_hold_noop(s);
	if (s->timer_at == 0)
		timer_set(s, now);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	int64_t now = session_now();

	(void)fd;
	(void)what;
	s->timer_at = 0;
	if (now < next_time(s)) {
		timer_set(s, now);
		return;
	}
	if (now >= s->deadline)
		rules[s->state].expired(s);
	else if (s->due != 0 && now >= s->due)
		on_due(s);
	else
		on_noop_due(s, now);
	session_turn(s);
}

void
session_begin_time(struct session *s)
{
	evtimer_assign(&s->timer, s->world->base, on_timer, s);
	s->born = session_now();
	deadline_begin(s);
}

void
session_stir(struct session *s)
{
	if (rules[s->state].of_silence)
		deadline_begin(s);
}

static void
expired_connecting(struct session *s)
{
	session_source_unheard(s);
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
	s->due = 0;
	deadline_begin(s);
}

const char *
session_end_word(enum session_end end)
{
	return ends[end].word;
}

const char *
session_state_word(enum session_state state)
{
	return rules[state].name;
}

void
session_forget_mail(struct session *s)
{
	session_content_cut(s);
	transaction_free(s->mail);
	s->mail = NULL;
}

void
session_drop_server(struct session *s)
{
	if (s->server) {
		s->server_received += conn_received(s->server);
		stats_add(STAT_bytes_server, (int64_t)conn_received(s->server));
	}
	route_call_end(&s->call);
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
	return memory_share((size_t)s->cfg->relay_buffer, MEMORY_LEAST);
}

size_t
session_server_backlog(const struct session *s)
{
	size_t all = s->server ? conn_backlog(s->server) : 0;

	if (s->mail && s->mail->gathered)
		all += evbuffer_get_length(s->mail->gathered);
	return all;
}

bool
session_has_room(const struct session *s)
{
	size_t most = session_backlog_max(s);

	return conn_backlog(s->client) < most && session_server_backlog(s) < most;
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
	session_forget_route(s);
	session_screening_end(s);
	session_introduction_end(s);
	if (ends[why].code != 0 && s->state != SESSION_DIRECT &&
	    s->state != SESSION_PROXY) {
		words = xasprintf("%s %s", s->cfg->proxy_name, text);
		session_say_last(s, ends[why].code, ends[why].enhanced, words);
		free(words);
	}
	session_forget_mail(s);
	if (why != END_CLIENT_QUIT)
		session_drop_server(s);
	session_enter(s, SESSION_CLOSING);
}

/* So many bytes wait here, for a peer or for us. */
static void
hold(struct session *s, size_t bytes)
{
	if (bytes == s->holds)
		return;
	memory_take((int64_t)bytes - (int64_t)s->holds);
	stats_add(STAT_buffers, (int64_t)bytes - (int64_t)s->holds);
	s->holds = bytes;
}

static void
log_close_line(const struct session *s)
{
	log_event(&s->log, LOG_CLOSE_EVENT, log_text("end", ends[s->end].word),
	          log_text("phase", rules[s->phase].name),
	          log_addr("client", &s->client_addr),
	          log_addr("server", &s->server_addr),
	          log_number("in", (int64_t)conn_received(s->client)),
	          log_real("seconds", (double)(session_now() - s->born) / 1000),
	          log_number("mails", s->mails), log_number("delivered", s->delivered),
	          log_text("auth", s->authenticated ? "yes" : NULL),
	          mailbox_user(s->cfg, s->user));
}

void
session_close(struct session *s, enum session_end why)
{
	if (s->state == SESSION_DEAD)
		return;
	if (s->state != SESSION_CLOSING) {
		s->end = why;
		s->phase = s->state;
	}
	log_close_line(s);
	if (s->mails == 0 && s->phase != SESSION_DIRECT)
		stats_add(STAT_sessions_empty, 1);
	stats_add(STAT_bytes_client, (int64_t)conn_received(s->client));
	session_forget_route(s);
	session_screening_end(s);
	session_forget_mail(s);
	hold(s, 0);
	session_introduction_end(s);
	free(s->helo);
	s->helo = NULL;
	saslname_forget(&s->auth);
	free(s->user);
	s->user = NULL;
	pipeline_fini(&s->owed);
	session_drop_server(s);
	conn_free(s->client);
	s->client = NULL;
	evtimer_del(&s->timer);
	s->state = SESSION_DEAD;
	session_bury(s);
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
	    s->owed.count == 0 && !s->paused)
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

/* Reading a peer stops above the limit and starts again at half of it.  What was read may
 * have LONGEST bytes at least, or a line would never be whole. */
static void
want_input(struct conn *from, size_t waiting, size_t most, size_t longest)
{
	size_t whole = most > longest ? most : longest + 1;

	if (waiting >= most || evbuffer_get_length(conn_input(from)) >= whole)
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
	size_t to_server = session_server_backlog(s);

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

static size_t
all_that_waits(const struct session *s)
{
	size_t all = evbuffer_get_length(conn_input(s->client)) +
	             conn_backlog(s->client) + session_server_backlog(s);

	if (s->server)
		all += evbuffer_get_length(conn_input(s->server));
	if (s->mail && s->mail->message)
		all += evbuffer_get_length(s->mail->message);
	if (s->mail)
		all += s->mail->outcome.safest.size;
	return all;
}

static void
session_settle(struct session *s)
{
	size_t most;

	hold(s, all_that_waits(s));
	most = session_backlog_max(s);
	/* The kernel took all at once: no event will tell. */
	if (s->state == SESSION_REPLAYING && session_server_backlog(s) == 0)
		conn_rouse(s->server);
	want_input(s->client, client_waits_for(s), most, COMMAND_AUTH_MAX);
	if (s->server)
		want_input(s->server, conn_backlog(s->client), most, REPLY_MAX);
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
