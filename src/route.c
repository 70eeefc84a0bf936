#include "route_internal.h"

#include <stdio.h>

static enum route_result
route_fixed(const struct config *cfg, struct addr *server)
{
	*server = cfg->fixed;
	return ROUTE_FOUND;
}

/* Any address of this machine with our port: a connection there would come back to us. */
static bool
leads_back(const struct config *cfg, const struct route_query *query,
           const struct addr *server)
{
	if (addr_equal(server, &query->local))
		return true;
	return addr_port(server) == cfg->port && addr_is_ours(server);
}

enum route_result
route_find(const struct config *cfg, const struct route_query *query,
           struct addr *server, struct route_words *why)
{
	enum route_result result = ROUTE_UNKNOWN;

	why->text[0] = '\0';
	switch ((enum route_mode)cfg->mode) {
	case ROUTE_BY_FIXED:
		result = route_fixed(cfg, server);
		break;
	case ROUTE_BY_NETFILTER:
		result = route_netfilter(query, server, why);
		break;
	}
	if (result == ROUTE_FOUND && leads_back(cfg, query, server))
		result = ROUTE_LOOP;
	return result;
}

bool
route_check(const struct config *cfg, struct route_words *why)
{
	why->text[0] = '\0';
	if (cfg->mode == ROUTE_BY_FIXED && !cfg->fixed_server[0])
		snprintf(why->text, sizeof(why->text),
		         "mode = fixed needs fixed_server = \"address or name\"");
	else if (cfg->mode == ROUTE_BY_FIXED && addr_port(&cfg->fixed) == cfg->port &&
	         addr_is_ours(&cfg->fixed))
		snprintf(why->text, sizeof(why->text),
		         "fixed_server and fixed_server_port are this gateway itself: "
		         "every session would come back here");
	return why->text[0] == '\0';
}
