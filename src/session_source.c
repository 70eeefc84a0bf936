#include "session_internal.h"

#include <errno.h>

/*
 * From where a session calls its server: from an address of ours, or as its client.
 */

/* Whether any server has ever replied to a call that was made as a client. */
static bool was_heard;

static bool
is_as_client(const struct session *s)
{
	return route_as_client(s->cfg, &s->client_addr) &&
	       addr_family(&s->client_addr) == addr_family(&s->server_addr);
}

struct conn_source
session_source(const struct session *s)
{
	struct conn_source from = { .hops = s->hops > 1 ? s->hops - 1 : 0 };

	if (is_as_client(s)) {
		from.addr = s->client_addr;
		addr_set_port(&from.addr, 0);
		from.is_foreign = true;
		return from;
	}
	if (!s->cfg->outgoing_addr[0] ||
	    !addr_parse(&from.addr, s->cfg->outgoing_addr, 0) ||
	    addr_is_any(&from.addr) ||
	    addr_family(&from.addr) != addr_family(&s->server_addr))
		from.addr = (struct addr){ 0 };
	return from;
}

const char *
session_source_fault(const struct session *s, int error)
{
	if (!is_as_client(s))
		return "cannot connect";
	switch (error) {
	case EADDRNOTAVAIL:
	case EADDRINUSE:
		return "cannot connect with the client's address: no port is left "
		       "between "
		       "this client and this server; see the sysctl "
		       "net.ipv4.ip_local_port_range, which holds for IPv6, too";
	case EPERM:
	case EACCES:
		return "cannot connect with the client's address: the kernel forbids "
		       "it; "
		       "the daemon needs CAP_NET_RAW, and no rule may drop what this "
		       "machine sends with foreign addresses";
	default:
		return "cannot connect with the client's address";
	}
}

void
session_source_heard(const struct session *s)
{
	was_heard |= is_as_client(s);
}

void
session_source_unheard(const struct session *s)
{
	static bool said;

	if (said || was_heard || !is_as_client(s))
		return;
	said = true;
	log_event(&s->log, LOG_TROUBLE_EVENT,
	          log_text("text",
	                   "no server has answered yet that was called with a "
	                   "client's address; its reply has to come back to this "
	                   "machine: see the rule \"socket transparent 1\" and the "
	                   "routing table for the mark in smtp-gated(8)"),
	          log_addr("client", &s->client_addr),
	          log_addr("server", &s->server_addr));
}
