#include "route_internal.h"

#include "conntrack.h"
#include "log.h"

#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <stdio.h>
#include <string.h>

_Static_assert(SO_ORIGINAL_DST == IP6T_SO_ORIGINAL_DST, "one option, two families");

bool
route_original(const struct route_query *query, struct addr *server)
{
	struct sockaddr_storage kernel = { 0 };
	socklen_t size = sizeof(kernel);
	int level = addr_family(&query->local) == AF_INET6 ? SOL_IPV6 : SOL_IP;
	int option = SO_ORIGINAL_DST; /* the same number in both families */

	if (getsockopt(query->fd, level, option, &kernel, &size) != 0)
		return false;
	*server = addr_from((struct sockaddr *)&kernel);
	return true;
}

/* The thorough way: the entry whose replies go from our end of the connection to the
 * client's.  Of its zone the socket knows nothing. */
static int
ask_conntrack(const struct config *cfg, const struct route_query *query,
              struct addr *server)
{
	struct conntrack_entry entry = { 0 };
	int error = conntrack_find(&query->local, &query->client,
	                           (uint16_t)cfg->conntrack_zone, &entry);

	*server = entry.server;
	return error;
}

/* Once is enough: it is the same for every session until somebody mends it. */
static void
complain_once(int error)
{
	static bool said;

	if (said)
		return;
	said = true;
	log_event(NULL, LOG_TROUBLE_EVENT,
	          log_text("text",
	                   "mode netfilter: connection tracking cannot be asked, so "
	                   "only REDIRECT on this machine works; the daemon needs "
	                   "the capability CAP_NET_ADMIN"),
	          log_error(error));
}

void
route_netfilter(const struct config *cfg, const struct route_query *query,
                struct route_answer *answer)
{
	int error = 0;

	if (!route_original(query, &answer->server))
		error = ask_conntrack(cfg, query, &answer->server);
	if (error == EPERM)
		complain_once(error);
	if (error == EPERM || error == ENOENT) {
		answer->result = ROUTE_NOT_REDIRECTED;
		return;
	}
	if (error != 0) {
		snprintf(answer->why.text, sizeof(answer->why.text),
		         "connection tracking: %s", strerror(error));
		answer->result = ROUTE_UNKNOWN;
		return;
	}
	answer->result = addr_equal(&answer->server, &query->local)
	                         ? ROUTE_NOT_REDIRECTED
	                         : ROUTE_FOUND;
}
