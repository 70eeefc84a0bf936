#include "session_internal.h"

#include "proxyproto.h"
#include "stats.h"

#include <assert.h>

/*
 * Proxies before us and servers behind us that speak the PROXY protocol.
 *
 * From a listed proxy the header is mandatory, and comes first; before it is whole nothing
 * is said to the client, nothing is done for it, and nothing else is read.  From all
 * others it is never read: whoever could send one could be anybody.
 */

bool
session_awaits_header(const struct session *s)
{
	return addr_nets_contain(&s->cfg->proxy_protocol_from, &s->peer);
}

struct log_field
session_via(const struct session *s, char text[static ADDR_TEXT_SIZE])
{
	return log_text("via", s->header ? addr_full(&s->peer, text) : NULL);
}

/* ---- what a proxy sends -------------------------------------------------------- */

/* Nothing is replied: who sends this does not speak SMTP yet.  The specification wants the
 * connection aborted at once, so that the proxy notices. */
static void
refuse_header(struct session *s, const char *text)
{
	struct evbuffer *input = conn_input(s->client);
	char begins[24];
	ev_ssize_t size = evbuffer_copyout(input, begins, sizeof(begins));

	stats_add(STAT_connections_refused, 1);
	stats_add(STAT_refused_other, 1);
	log_event(&s->log, LOG_REFUSE_EVENT,
	          log_text("why", session_end_word(END_PROXY_HEADER)),
	          log_addr("client", &s->peer), log_text("text", text),
	          log_bytes("begins", s->log.hides_mailboxes ? NULL : begins,
	                    size > 0 ? (size_t)size : 0));
	session_close(s, END_PROXY_HEADER);
}

/* The proxy was called by ourselves: what we send there comes back here, and would do so
 * until there are no more connections to be had. */
static bool
comes_from_us(const struct session *s)
{
	return route_loop_is_call(&s->client_addr, &s->meant);
}

static void
on_header(struct session *s, const struct proxyproto *header)
{
	evbuffer_drain(conn_input(s->client), header->size);
	stats_add(STAT_connections_proxied, 1);
	s->header = proxyproto_kind_word(header->kind);
	if (header->kind == PROXYPROTO_TCP) {
		s->client_addr = header->client;
		s->meant = header->server;
	}
	session_count_host(s);
	session_enter(s, SESSION_ROUTING);
	if (comes_from_us(s))
		session_refuse(s, END_LOOP, "the proxy was called by this gateway");
	else
		session_route(s);
}

/* Some of a header, or nothing, and no more will come.  Balancers look that way whether
 * we are alive: nothing and the end is no fault. */
static void
on_end(struct session *s)
{
	if (evbuffer_get_length(conn_input(s->client)) == 0)
		session_end(s, END_CLIENT_CLOSED);
	else
		refuse_header(s, "the connection ended in the middle of it");
}

void
session_turn_proxy(struct session *s)
{
	struct evbuffer *input = conn_input(s->client);
	size_t size = evbuffer_get_length(input);
	struct proxyproto header;
	const char *why;

	if (size > PROXYPROTO_MAX)
		size = PROXYPROTO_MAX;
	switch (proxyproto_read(evbuffer_pullup(input, (ev_ssize_t)size), size, &header,
	                        &why)) {
	case PROXYPROTO_MORE:
		assert(size < PROXYPROTO_MAX);
		if (conn_at_eof(s->client))
			on_end(s);
		break;
	case PROXYPROTO_WHOLE:
		on_header(s, &header);
		break;
	case PROXYPROTO_MALFORMED:
		refuse_header(s, why);
		break;
	}
}

void
session_proxy_expired(struct session *s)
{
	refuse_header(s, evbuffer_get_length(conn_input(s->client)) == 0
	                         ? "nothing came within timeout_proxy; let this proxy "
	                           "send a PROXY header, or take it out of "
	                           "proxy_protocol_from"
	                         : "it was not whole within timeout_proxy");
}

/* ---- what we send --------------------------------------------------------------- */

struct addr
session_dialled(const struct session *s)
{
	if (addr_family(&s->meant) != AF_UNSPEC)
		return s->meant;
	if (config_is_fixed(s->cfg))
		return addr_local(conn_fd(s->client));
	return s->server_addr;
}

/* It waits in the output until the connection is there, and then goes out in one write and
 * alone: no command is taken before that. */
void
session_send_header(struct session *s)
{
	char header[PROXYPROTO_OURS_MAX];
	unsigned version = s->cfg->send_proxy == SEND_PROXY_V2 ? 2 : 1;
	struct addr server = session_dialled(s);
	size_t size;

	if (s->cfg->send_proxy == SEND_PROXY_NO)
		return;
	assert(evbuffer_get_length(conn_output(s->server)) == 0);
	size = proxyproto_write(header, version, &s->client_addr, &server);
	evbuffer_add(conn_output(s->server), header, size);
}
