#include "route_internal.h"

#include "route_loop.h"

#include <stdio.h>
#include <stdlib.h>

/* A connection there would come back to us.  With tproxy the destination is where the
 * client came in; in all other ways nothing else can be there but ourselves. */
static bool
leads_back(const struct config *cfg, const struct route_query *query,
           const struct addr *server)
{
	return route_loop_is_entrance(server) ||
	       (addr_equal(server, &query->local) && !route_takes_foreign(cfg));
}

/* It is one of our own connections, as it was when it left us. */
static bool
is_our_call(const struct route_query *query)
{
	struct addr peer = addr_peer(query->fd);
	struct addr dialled;

	if (!route_original(query, &dialled))
		dialled = query->local;
	return route_loop_is_call(&peer, &dialled);
}

/* What is wrong with the way to the server, or NULL.  Empty: no more need be said. */
static const char *
loop_words(const struct config *cfg, const struct route_query *query,
           const struct route_answer *answer)
{
	if (leads_back(cfg, query, &answer->server))
		return "";
	if (is_our_call(query))
		return "this is our own connection to that server, come back to us: "
		       "let no rule hand over what this machine sends itself";
	if (answer->hops == 1)
		return "it has no hops left: it goes round among gateways that hand "
		       "over each other's connections";
	if (config_is_fixed(cfg) || !addr_is_ours(&answer->server))
		return NULL;
	if (route_as_client(cfg, &query->client))
		return "the destination is this machine, which would reply to the "
		       "client past us: let the rule hand over nothing that is for it "
		       "(fib daddr type != local)";
	if (!cfg->local_servers)
		return "the destination is this machine, whose servers would take the "
		       "client for it, and trust it: let the rule hand over nothing "
		       "that is for it (fib daddr type != local), or see local_servers";
	return NULL;
}

static void
judge(const struct config *cfg, const struct route_query *query,
      struct route_answer *answer)
{
	const char *words;

	if (answer->result != ROUTE_FOUND)
		return;
	answer->hops = route_loop_hops(query->fd);
	words = loop_words(cfg, query, answer);
	if (!words)
		return;
	answer->result = ROUTE_LOOP;
	snprintf(answer->why.text, sizeof(answer->why.text), "%s", words);
}

/* A proxy has told.  To 0.0.0.0 or port 0 nobody can have been connected. */
static void
route_meant(const struct addr *meant, struct route_answer *answer)
{
	answer->server = *meant;
	answer->result = ROUTE_FOUND;
	if (!addr_is_any(meant) && addr_port(meant) != 0)
		return;
	answer->result = ROUTE_UNKNOWN;
	snprintf(answer->why.text, sizeof(answer->why.text),
	         "the PROXY header names no destination that can be called");
}

/* The way that takes time, or NULL: then the answer is there. */
static const struct route_way *
way_of(const struct config *cfg, const struct route_query *query,
       struct route_answer *answer)
{
	if (!config_is_fixed(cfg) && addr_family(&query->meant) != AF_UNSPEC) {
		route_meant(&query->meant, answer);
		return NULL;
	}
	switch ((enum route_mode)cfg->mode) {
	case ROUTE_BY_FIXED:
	case ROUTE_BY_FIXED_XCLIENT:
		answer->server = cfg->fixed;
		answer->result = ROUTE_FOUND;
		return NULL;
	case ROUTE_BY_NETFILTER:
		route_netfilter(cfg, query, answer);
		return NULL;
	case ROUTE_BY_TPROXY:
	case ROUTE_BY_GETSOCKNAME:
		route_local(query, answer);
		return NULL;
	case ROUTE_BY_TPROXY_NETFILTER:
		route_by_kind(cfg, query, answer);
		return NULL;
	case ROUTE_BY_REMOTE_UDP:
		return &route_by_datagrams;
	case ROUTE_BY_REMOTE:
		return &route_by_line;
	}
	return NULL;
}

struct route *
route_start(struct event_base *base, const struct config *cfg,
            const struct route_query *query, struct route_answer *answer,
            route_done_cb *done, void *arg)
{
	const struct route_way *way;
	struct route *route;

	*answer = (struct route_answer){ .result = ROUTE_UNKNOWN };
	way = way_of(cfg, query, answer);
	if (!way) {
		judge(cfg, query, answer);
		return NULL;
	}
	route = xcalloc(1, sizeof(*route));
	*route = (struct route){ way, base, cfg, *query, *answer, NULL, done, arg };
	if (way->start(route))
		return route;
	*answer = route->answer;
	judge(cfg, query, answer);
	free(route);
	return NULL;
}

void
route_answered(struct route *route)
{
	struct route_answer answer = route->answer;
	route_done_cb *done = route->done;
	void *arg = route->arg;

	judge(route->cfg, &route->query, &answer);
	route_cancel(route);
	done(&answer, arg);
}

void
route_cancel(struct route *route)
{
	if (!route)
		return;
	route->way->stop(route);
	free(route);
}

void
route_describe(const struct route *route, struct route_words *words)
{
	words->text[0] = '\0';
	route->way->describe(route, words);
}

static void
check_one(const struct config *cfg, struct route_words *why)
{
	if (config_is_fixed(cfg) && !cfg->fixed_server[0])
		snprintf(why->text, sizeof(why->text),
		         "mode = %s needs fixed_server = \"address or name\"",
		         config_word(cfg, "mode"));
	else if (config_is_fixed(cfg) && route_loop_is_entrance(&cfg->fixed))
		snprintf(why->text, sizeof(why->text),
		         "%s%s%sfixed_server and fixed_server_port are this gateway "
		         "itself: every session would come back here",
		         cfg->listen_section ? "listen \"" : "",
		         cfg->listen_section ? cfg->listener : "",
		         cfg->listen_section ? "\": " : "");
}

bool
route_check(const struct config *cfg, struct route_words *why)
{
	const struct config *listener;

	why->text[0] = '\0';
	for (size_t i = 0; (listener = config_listener_at(cfg, i)); i++)
		if (why->text[0] == '\0' && config_serves(listener))
			check_one(listener, why);
	return why->text[0] == '\0';
}
