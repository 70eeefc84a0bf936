#include "backend_internal.h"

#include "clock.h"
#include "log.h"
#include "stats.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

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
	if (server->until_us != 0)
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
	if (--server->calls == 0 && server->strikes == 0 && server->doubts == 0)
		server_free(backends, server);
}

/* ---- when they are asked -------------------------------------------------------------- */

bool
backend_server_is_ready(const struct backend_server *server, int64_t now_us)
{
	return server->until_us == 0 ||
	       (server->until_us <= now_us && !server->on_trial);
}

bool
backend_server_is_full(const struct backend_server *server)
{
	return server->most > 0 && server->talks >= server->most;
}

static void
set_until(struct backend_server *server, int64_t until_us)
{
	if ((until_us != 0) != (server->until_us != 0))
		stats_add(STAT_scanners_down, until_us != 0 ? 1 : -1);
	server->until_us = until_us;
}

/* Twice as long each time, and never quite: gateways that share a server must not all come
 * back at the same moment. */
static int64_t
pause_us(const struct backend_server *server)
{
	int64_t pause = backend_pace.first_us;
	uint16_t dice = 0;

	for (unsigned i = 1; i < server->strikes && pause < backend_pace.most_us; i++)
		pause *= 2;
	if (pause > backend_pace.most_us)
		pause = backend_pace.most_us;
	if (getrandom(&dice, sizeof(dice), 0) < 0)
		dice = 0;
	return pause * 3 / 4 + pause / 2 * dice / UINT16_MAX;
}

static void
end_talk(struct backend_server *server, bool tried)
{
	assert(server->talks > 0);
	server->talks--;
	if (tried)
		server->on_trial = false;
}

void
backend_server_begin(struct backend_server *server, bool *tried)
{
	server->talks++;
	*tried = server->until_us != 0;
	if (*tried)
		server->on_trial = true;
}

/* If that was all that it lacked, others need not wait until it has answered. */
void
backend_server_reached(struct backend_server *server, bool tried)
{
	if (!tried || !server->was_missed)
		return;
	server->on_trial = false;
	set_until(server, 0);
}

void
backend_server_answered(struct backend_server *server, bool tried)
{
	end_talk(server, tried);
	server->strikes = 0;
	server->doubts = 0;
	set_until(server, 0);
	if (server->was_said)
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "this scanner answers again"),
		          log_text("scanner", server->engine->name),
		          log_text(server->engine->option, server->name));
	server->was_said = false;
}

static void
say_down(struct backend_server *server, const char *why)
{
	if (!server->was_said)
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text",
		                   "this scanner fails, and will be left alone for a "
		                   "while: see that it runs, that we may reach it, and "
		                   "what it says in its own log"),
		          log_text("scanner", server->engine->name),
		          log_text(server->engine->option, server->name),
		          log_text("why", why));
	server->was_said = true;
}

/* Of many calls that were under way when it died, only one counts. */
static void
find_down(struct backend_server *server, bool tried, bool missed, const char *why)
{
	if (server->until_us != 0 && !tried)
		return;
	server->strikes++;
	server->was_missed = missed;
	set_until(server, clock_us() + pause_us(server));
	say_down(server, why);
}

void
backend_server_missed(struct backend_server *server, bool tried, const char *why)
{
	end_talk(server, tried);
	stats_add(STAT_scanner_failures, 1);
	find_down(server, tried, true, why);
}

void
backend_server_failed(struct backend_server *server, bool tried, const char *why)
{
	end_talk(server, tried);
	stats_add(STAT_scanner_failures, 1);
	if (++server->doubts >= BACKEND_DOUBTS || tried)
		find_down(server, tried, false, why);
}

void
backend_server_left(struct backend_server *server, bool tried)
{
	end_talk(server, tried);
}
