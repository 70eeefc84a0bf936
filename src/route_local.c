#include "route_internal.h"

#include "route_loop.h"

#include <stdio.h>

/*
 * The near end of the client's socket is the destination: TPROXY leaves it as it was.
 */

static bool
is_private_v4(uint32_t host)
{
	return host >> 24 == 10 || host >> 24 == IN_LOOPBACKNET ||
	       host >> 20 == 0xac1 /* 172.16/12 */ || host >> 16 == 0xc0a8 ||
	       host >> 16 == 0xa9fe /* 169.254/16 */;
}

/* Nobody outside could reply to it: private and link-local IPv4 (RFC 1918, RFC 3927),
 * unique local and link-local IPv6 (RFC 4193, RFC 4291), and this machine's loopback. */
static bool
is_private(const struct addr *addr)
{
	const struct in6_addr *six = &addr->v6.sin6_addr;

	if (addr_family(addr) == AF_INET)
		return is_private_v4(ntohl(addr->v4.sin_addr.s_addr));
	return (six->s6_addr[0] & 0xfe) == 0xfc || IN6_IS_ADDR_LINKLOCAL(six) ||
	       IN6_IS_ADDR_LOOPBACK(six);
}

bool
route_as_client(const struct config *cfg, const struct addr *client)
{
	switch ((enum route_mode)cfg->mode) {
	case ROUTE_BY_TPROXY:
		return true;
	case ROUTE_BY_TPROXY_NETFILTER:
		return !is_private(client);
	case ROUTE_BY_FIXED:
	case ROUTE_BY_FIXED_XCLIENT:
	case ROUTE_BY_NETFILTER:
	case ROUTE_BY_REMOTE_UDP:
	case ROUTE_BY_REMOTE:
	case ROUTE_BY_GETSOCKNAME:
		return false;
	}
	return false;
}

bool
route_takes_foreign(const struct config *cfg)
{
	switch ((enum route_mode)cfg->mode) {
	case ROUTE_BY_TPROXY:
	case ROUTE_BY_TPROXY_NETFILTER:
	case ROUTE_BY_GETSOCKNAME:
		return true;
	case ROUTE_BY_FIXED:
	case ROUTE_BY_FIXED_XCLIENT:
	case ROUTE_BY_NETFILTER:
	case ROUTE_BY_REMOTE_UDP:
	case ROUTE_BY_REMOTE:
		return false;
	}
	return false;
}

void
route_local(const struct route_query *query, struct route_answer *answer)
{
	answer->server = query->local;
	answer->result = route_loop_is_entrance(&query->local) ? ROUTE_NOT_REDIRECTED
	                                                       : ROUTE_FOUND;
}

void
route_by_kind(const struct config *cfg, const struct route_query *query,
              struct route_answer *answer)
{
	bool is_inside = is_private(&query->client);

	if (is_inside)
		route_netfilter(cfg, query, answer);
	else
		route_local(query, answer);
	if (answer->result == ROUTE_NOT_REDIRECTED)
		snprintf(answer->why.text, sizeof(answer->why.text),
		         "a client with a %s address has to come by a rule with %s",
		         is_inside ? "private" : "public",
		         is_inside ? "redirect, not tproxy" : "tproxy, not redirect");
}
