#include "route_internal.h"

#include "log.h"

#include <errno.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
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

static void
tuple_set(struct nf_conntrack *tuple, const struct addr *from, const struct addr *to)
{
	nfct_set_attr_u8(tuple, ATTR_L3PROTO, (uint8_t)addr_family(from));
	nfct_set_attr_u8(tuple, ATTR_L4PROTO, IPPROTO_TCP);
	nfct_set_attr_u16(tuple, ATTR_PORT_SRC, htons(addr_port(from)));
	nfct_set_attr_u16(tuple, ATTR_PORT_DST, htons(addr_port(to)));
	if (addr_family(from) == AF_INET) {
		nfct_set_attr_u32(tuple, ATTR_IPV4_SRC, from->v4.sin_addr.s_addr);
		nfct_set_attr_u32(tuple, ATTR_IPV4_DST, to->v4.sin_addr.s_addr);
	} else {
		nfct_set_attr(tuple, ATTR_IPV6_SRC, &from->v6.sin6_addr);
		nfct_set_attr(tuple, ATTR_IPV6_DST, &to->v6.sin6_addr);
	}
}

static int
on_entry(enum nf_conntrack_msg_type type, struct nf_conntrack *entry, void *arg)
{
	struct addr *server = arg;

	(void)type;
	memset(server, 0, sizeof(*server));
	if (nfct_get_attr_u8(entry, ATTR_ORIG_L3PROTO) == AF_INET) {
		server->v4.sin_family = AF_INET;
		server->v4.sin_addr.s_addr = nfct_get_attr_u32(entry,
		                                               ATTR_ORIG_IPV4_DST);
	} else {
		server->v6.sin6_family = AF_INET6;
		memcpy(&server->v6.sin6_addr, nfct_get_attr(entry, ATTR_ORIG_IPV6_DST),
		       sizeof(server->v6.sin6_addr));
	}
	addr_set_port(server, ntohs(nfct_get_attr_u16(entry, ATTR_ORIG_PORT_DST)));
	return NFCT_CB_STOP;
}

/*
 * The thorough way: the entry whose replies go from our end of the connection to the
 * client's.  The kernel takes the reply tuple in the attributes of the original one.
 */
static int
ask_conntrack(const struct config *cfg, const struct route_query *query,
              struct addr *server)
{
	struct nfct_handle *handle = nfct_open(CONNTRACK, 0);
	struct nf_conntrack *tuple;
	int error = 0;

	if (!handle)
		return errno;
	tuple = nfct_new();
	if (!tuple) {
		nfct_close(handle);
		return ENOMEM;
	}
	tuple_set(tuple, &query->local, &query->client);
	if (cfg->conntrack_zone != 0) /* of which the socket knows nothing */
		nfct_set_attr_u16(tuple, ATTR_ZONE, (uint16_t)cfg->conntrack_zone);
	nfct_callback_register(handle, NFCT_T_ALL, on_entry, server);
	*server = (struct addr){ 0 };
	if (nfct_query(handle, NFCT_Q_GET, tuple) != 0)
		error = errno;
	else if (addr_family(server) == AF_UNSPEC)
		error = ENOENT;
	nfct_destroy(tuple);
	nfct_close(handle);
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
