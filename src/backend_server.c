#include "backend_internal.h"

#include "clock.h"
#include "log.h"
#include "stats.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * Servers, and when they are asked.
 *
 * A server that is not reached is down: nobody asks it for a while, then one call does, and
 * the while doubles if that fails, too.  What goes wrong once it has been reached, and be it
 * only that it takes too long, may come of the message, and whoever sends such messages must
 * not be able to take the server from all others: it is down after several in a row.
 */
struct backend_pace backend_pace = {
	.first_us = 1000000,
	.most_us = 60000000,
	.connect_us = 5000000,
};

enum {
	FORGET_S = 3600, /* of a server that nobody looks for */
};

/* ---- places --------------------------------------------------------------------------- */

static bool
read_path(struct sockaddr_un *to, const char *path)
{
	size_t size = strlen(path) + 1;

	if (size > sizeof(to->sun_path))
		return false;
	to->sun_family = AF_UNIX;
	memcpy(to->sun_path, path, size);
	return true;
}

bool
backend_place_read(struct backend_place *place, const char *text, uint16_t port)
{
	const char *scheme = strstr(text, "://");
	char host[ADDR_TEXT_SIZE];
	size_t size;

	*place = (struct backend_place){ 0 };
	if (text[0] == '/')
		return read_path(&place->path, text);
	if (scheme)
		text = scheme + 3;
	size = strcspn(text, "/?");
	if (size >= sizeof(host))
		return false;
	memcpy(host, text, size);
	host[size] = '\0';
	return addr_parse_port(&place->addr, host) ||
	       (port != 0 && addr_parse(&place->addr, host, port));
}

/* ---- which there are ------------------------------------------------------------------ */

static void
server_free(struct backends *backends, struct backend_server *server)
{
	assert(server->calls == 0);
	if (backoff_rests(&server->backoff))
		stats_add(STAT_scanners_down, -1);
	TAILQ_REMOVE(&backends->servers, server, link);
	free(server->name);
	free(server);
}

void
backend_servers_free(struct backends *backends)
{
	struct backend_server *server;

	while ((server = TAILQ_FIRST(&backends->servers)))
		server_free(backends, server);
}

/* A reload may have taken them out of the configuration. */
static void
forget_old(struct backends *backends, int64_t now_us)
{
	struct backend_server *server, *next;

	for (server = TAILQ_FIRST(&backends->servers); server; server = next) {
		next = TAILQ_NEXT(server, link);
		if (server->calls == 0 &&
		    now_us - server->asked_us > (int64_t)FORGET_S * 1000000)
			server_free(backends, server);
	}
}

static struct backend_server *
server_new(struct backends *backends, const struct backend_engine *engine,
           const char *name)
{
	struct backend_server *server = xcalloc(1, sizeof(*server));

	server->engine = engine;
	server->name = xstrdup(name);
	TAILQ_INSERT_TAIL(&backends->servers, server, link);
	return server;
}

struct backend_server *
backend_server_hold(struct backends *backends, const struct backend_engine *engine,
                    const char *name)
{
	struct backend_server *server;
	int64_t now_us = clock_us();

	TAILQ_FOREACH(server, &backends->servers, link)
	if (server->engine == engine && strcmp(server->name, name) == 0)
		break;
	if (!server) {
		forget_old(backends, now_us);
		server = server_new(backends, engine, name);
	}
	server->asked_us = now_us;
	server->calls++;
	return server;
}

/* What is known of one that is well is nothing. */
void
backend_server_drop(struct backends *backends, struct backend_server *server)
{
	assert(server->calls > 0);
	if (--server->calls == 0 && server->backoff.failures == 0)
		server_free(backends, server);
}

/* ---- when they are asked -------------------------------------------------------------- */

bool
backend_server_is_ready(const struct backend_server *server, int64_t now_us)
{
	const struct backoff *backoff = &server->backoff;

	return !backoff_rests(backoff) ||
	       (backoff->until_us <= now_us && !backoff->on_trial);
}

bool
backend_server_is_full(const struct backend_server *server)
{
	return server->most > 0 && server->talks >= server->most;
}

/* One more, or less, may be down. */
static void
count_down(const struct backend_server *server, bool was_down)
{
	stats_add(STAT_scanners_down, backoff_rests(&server->backoff) - was_down);
}

void
backend_server_begin(struct backend_server *server, bool *tried)
{
	enum backoff_turn turn = backoff_turn(&server->backoff, clock_us());

	assert(turn != BACKOFF_LEAVE); /* or it was not ready */
	server->talks++;
	*tried = turn == BACKOFF_TRY;
}

static void
end_talk(struct backend_server *server)
{
	assert(server->talks > 0);
	server->talks--;
}

/* If that was all that it lacked, others need not wait until it has answered. */
void
backend_server_reached(struct backend_server *server, bool tried)
{
	bool was_down = backoff_rests(&server->backoff);

	if (!tried || !server->was_missed)
		return;
	server->backoff.on_trial = false;
	server->backoff.until_us = 0;
	count_down(server, was_down);
}

void
backend_server_answered(struct backend_server *server, bool tried)
{
	bool was_down = backoff_rests(&server->backoff);

	(void)tried; /* it is up, whoever has found out */
	server->answered_us = clock_us();
	end_talk(server);
	if (backoff_answered(&server->backoff))
		log_event(NULL, LOG_RECOVERED_EVENT,
		          log_text("text", "this scanner answers again"),
		          log_text("scanner", server->engine->name),
		          log_text(server->engine->option, server->name));
	count_down(server, was_down);
}

static void
say_down(const struct backend_server *server, const char *why)
{
	log_event(NULL, LOG_TROUBLE_EVENT,
	          log_text("text", "this scanner fails, and will be left alone for a "
	                           "while: see that it runs, that we may reach it, and "
	                           "what it says in its own log"),
	          log_text("scanner", server->engine->name),
	          log_text(server->engine->option, server->name), log_text("why", why));
}

static void
fail(struct backend_server *server, bool tried, unsigned patience, const char *why)
{
	const struct backoff_pace pace = { patience, backend_pace.first_us,
		                           backend_pace.most_us };
	bool was_down = backoff_rests(&server->backoff);

	end_talk(server);
	stats_add(STAT_scanner_failures, 1);
	if (backoff_failed(&server->backoff, &pace, tried, clock_us()))
		say_down(server, why);
	if (!was_down || tried)
		server->was_missed = patience == 1;
	count_down(server, was_down);
}

void
backend_server_missed(struct backend_server *server, bool tried, const char *why)
{
	fail(server, tried, 1, why);
}

void
backend_server_failed(struct backend_server *server, bool tried, const char *why)
{
	fail(server, tried, BACKEND_DOUBTS, why);
}

void
backend_server_left(struct backend_server *server, bool tried)
{
	end_talk(server);
	backoff_left(&server->backoff, tried);
}

void
backend_server_slow(struct backend_server *server, bool tried, int64_t since_us)
{
	if (server->answered_us > since_us)
		backend_server_left(server, tried);
	else
		backend_server_failed(server, tried, "no answer in time");
}
