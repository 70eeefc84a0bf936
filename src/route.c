#include "route_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* Any address of this machine with our port: a connection there would come back to us. */
static bool
leads_back(const struct config *cfg, const struct route_query *query,
           const struct addr *server)
{
	if (addr_equal(server, &query->local))
		return true;
	return addr_port(server) == cfg->port && addr_is_ours(server);
}

static void
judge(const struct config *cfg, const struct route_query *query,
      struct route_answer *answer)
{
	if (answer->result == ROUTE_FOUND && leads_back(cfg, query, &answer->server))
		answer->result = ROUTE_LOOP;
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
		route_netfilter(query, answer);
		return NULL;
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

bool
route_check(const struct config *cfg, struct route_words *why)
{
	why->text[0] = '\0';
	if (config_is_fixed(cfg) && !cfg->fixed_server[0])
		snprintf(why->text, sizeof(why->text),
		         "mode = %s needs fixed_server = \"address or name\"",
		         config_word(cfg, "mode"));
	else if (config_is_fixed(cfg) && addr_port(&cfg->fixed) == cfg->port &&
	         addr_is_ours(&cfg->fixed))
		snprintf(why->text, sizeof(why->text),
		         "fixed_server and fixed_server_port are this gateway itself: "
		         "every session would come back here");
	return why->text[0] == '\0';
}
