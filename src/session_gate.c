#include "session_internal.h"

#include "stats.h"

#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * Who may not even begin, and the counts of those who did.
 *
 * One client must not take the place of all others, nor all clients together the
 * descriptors that messages and scanners need.  Who is refused here costs an accept, a line
 * and a close: no session, no look at any table of policy.
 */
enum {
	OTHER_DESCRIPTORS = 64, /* those that no session needs */
	SAY_AGAIN_MS = 10000,
	/* So many more than max_per_host come as far as the check of that name, which
	 * tells of them; those behind them learn no more by it. */
	PER_HOST_SLACK = 8,
};

static const struct {
	const char *why;
	size_t text; /* which option holds it */
} reasons[AWAY_REASONS] = {
	[AWAY_CONNECTIONS] = { "max_connections",
	                       offsetof(struct config, msg_max_reached) },
	[AWAY_HOST] = { "max_per_host", offsetof(struct config, msg_max_per_host) },
	[AWAY_DESCRIPTORS] = { "descriptors",
	                       offsetof(struct config, msg_max_reached) },
};

struct session_gate {
	struct peers *peers;
	unsigned max_connections, prefix6;
	unsigned possible;   /* sessions, with the descriptors that there are */
	int64_t most_of_one; /* max_per_host, the largest of all; 0: no limit */
	struct {
		int64_t said;   /* ms: when last logged */
		unsigned count; /* since then */
	} away[AWAY_REASONS];
};

/* ---- descriptors ---------------------------------------------------------------- */

/* Two each; and one, for a message in a file, or for what a scanner unpacks, for most of
 * them: so sessions leave a quarter of all to those. */
uint64_t
sessions_descriptors(int64_t sessions)
{
	return (uint64_t)sessions * 8 / 3 + OTHER_DESCRIPTORS + 1;
}

unsigned
sessions_possible(uint64_t descriptors)
{
	uint64_t left = descriptors > OTHER_DESCRIPTORS
	                        ? descriptors - OTHER_DESCRIPTORS
	                        : 0;

	if (left > UINT32_MAX)
		left = UINT32_MAX;
	return left < 3 ? 1 : (unsigned)(left * 3 / 8);
}

/* ---- settings --------------------------------------------------------------------- */

struct session_gate *
session_gate_new(void)
{
	struct session_gate *gate = xcalloc(1, sizeof(*gate));

	gate->peers = peers_new();
	return gate;
}

void
session_gate_free(struct session_gate *gate)
{
	if (!gate)
		return;
	peers_free(gate->peers);
	free(gate);
}

static bool
has_no_limit(const struct config *cfg)
{
	return cfg->max_per_host == 0 || cfg->on_maxhost == ACTION_PASS;
}

static void
see_limit(struct config *cfg, void *most)
{
	if (config_serves(cfg) && cfg->max_per_host > *(int64_t *)most)
		*(int64_t *)most = cfg->max_per_host;
}

/* Where a client goes, and so its policy, is not known yet. */
void
session_gate_set(struct session_gate *gate, struct config *cfg)
{
	struct rlimit limit;

	gate->prefix6 = (unsigned)cfg->host_prefix6;
	gate->max_connections = (unsigned)cfg->max_connections;
	gate->possible = UINT_MAX;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		gate->possible = sessions_possible(limit.rlim_cur);
	gate->most_of_one = 0;
	if (!config_any(cfg, has_no_limit))
		config_each(cfg, see_limit, &gate->most_of_one);
}

/* ---- turning away ------------------------------------------------------------------- */

static void
log_away(const struct config *cfg, enum away why, const struct addr *client,
         unsigned count)
{
	if (why == AWAY_DESCRIPTORS)
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text",
		                   "no file descriptor was left for a client: raise "
		                   "the limit (LimitNOFILE= of the unit, ulimit -n), "
		                   "or lower max_connections"),
		          log_addr("client", client),
		          log_text("listener", session_listener(cfg)),
		          log_number("count", count));
	else
		log_event(NULL, LOG_REFUSE_EVENT, log_text("why", reasons[why].why),
		          log_addr("client", client),
		          log_text("listener", session_listener(cfg)),
		          log_number("count", count));
}

/* Said at most every ten seconds, with a count. */
static void
note_away(struct session_gate *gate, const struct config *cfg, enum away why,
          const struct addr *client)
{
	int64_t now = session_now();

	stats_add(STAT_connections_refused, 1);
	stats_add(why == AWAY_HOST ? STAT_refused_host : STAT_refused_other, 1);
	gate->away[why].count++;
	if (gate->away[why].said != 0 && now - gate->away[why].said < SAY_AGAIN_MS)
		return;
	log_away(cfg, why, client, gate->away[why].count);
	gate->away[why].said = now;
	gate->away[why].count = 0;
}

/* The only words that a client hears who gets no session. */
static void
say(int fd, int code, const char *name, const char *text)
{
	struct evbuffer *line = evbuffer_new();
	char *words = xasprintf("%s %s", name, text);

	reply_make(line, code, NULL, words);
	(void)!send(fd, evbuffer_pullup(line, -1), evbuffer_get_length(line),
	            MSG_NOSIGNAL | MSG_DONTWAIT);
	free(words);
	evbuffer_free(line);
}

void
session_gate_turn_away(struct session_gate *gate, const struct config *cfg, int fd,
                       const struct addr *client, enum away why)
{
	const char *text = *(char **)((char *)cfg + reasons[why].text);
	bool for_good = why == AWAY_HOST && cfg->on_maxhost != ACTION_DEFER;

	say(fd, for_good ? 554 : 421, cfg->proxy_name, text);
	close(fd);
	note_away(gate, cfg, why, client);
}

/* ---- letting in ----------------------------------------------------------------------- */

static bool
is_one_of_too_many(const struct session_gate *gate, const struct addr *client)
{
	struct addr_net host = addr_net_of(client, gate->prefix6);

	return gate->most_of_one > 0 &&
	       peers_sessions(gate->peers, &host) >= gate->most_of_one + PER_HOST_SLACK;
}

bool
session_gate_admits(struct session_gate *gate, const struct config *cfg, int fd,
                    const struct addr *client, unsigned sessions)
{
	enum away why;

	if (sessions >= gate->max_connections)
		why = AWAY_CONNECTIONS;
	else if (sessions >= gate->possible)
		why = AWAY_DESCRIPTORS;
	else if (!addr_nets_contain(&cfg->proxy_protocol_from, client) &&
	         is_one_of_too_many(gate, client))
		why = AWAY_HOST;
	else
		return true;
	session_gate_turn_away(gate, cfg, fd, client, why);
	return false;
}

/* ---- counting -------------------------------------------------------------------------- */

void
session_gate_count_host(struct session_gate *gate, struct session *s)
{
	struct addr_net host = addr_net_of(&s->client_addr, gate->prefix6);

	s->of_host = peers_enter(gate->peers, &host, NULL);
}

void
session_gate_count_ident(struct session_gate *gate, struct session *s)
{
	struct addr_net host = addr_net_of(&s->client_addr, 128);

	if (s->ident[0])
		s->of_ident = peers_enter(gate->peers, &host, s->ident);
}

void
session_gate_discount(struct session_gate *gate, struct session *s)
{
	peers_leave(gate->peers, s->of_host);
	peers_leave(gate->peers, s->of_ident);
	s->of_host = s->of_ident = NULL;
}
