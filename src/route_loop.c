#include "route_loop.h"

#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/random.h>

enum {
	CALL_LISTS = 4096, /* powers of two */
	WAIT_COUNTS = 4096,
	HOPS_V4 = 8, /* where a header has them: RFC 791, RFC 8200 */
	HOPS_V6 = 7,
};

static struct {
	struct addr *at;
	size_t count;
} entrances;

static LIST_HEAD(call_list, route_call) calls[CALL_LISTS];
static unsigned waits[WAIT_COUNTS];

/* ---- where it leads ----------------------------------------------------------------- */

void
route_loop_add_entrance(const struct addr *at)
{
	entrances.at = xrealloc(entrances.at,
	                        (entrances.count + 1) * sizeof(*entrances.at));
	entrances.at[entrances.count++] = *at;
}

void
route_loop_forget_entrances(void)
{
	free(entrances.at);
	entrances.at = NULL;
	entrances.count = 0;
}

/* Whichever address we listen on: rules may bring what goes to another one there. */
bool
route_loop_is_entrance(const struct addr *server)
{
	for (size_t i = 0; i < entrances.count; i++)
		if (addr_port(&entrances.at[i]) == addr_port(server))
			return addr_is_ours(server);
	return false;
}

/* ---- where it comes from ------------------------------------------------------------ */

/* With a secret of this process, or peers could choose addresses that meet. */
static uint32_t
hash(const struct addr *addr)
{
	static uint64_t secret;
	bool is_six = addr_family(addr) == AF_INET6;
	const unsigned char *at = is_six ? addr->v6.sin6_addr.s6_addr
	                                 : (const void *)&addr->v4.sin_addr;
	size_t size = is_six ? sizeof(addr->v6.sin6_addr) : sizeof(addr->v4.sin_addr);
	uint64_t mixed;

	while (secret == 0)
		if (getrandom(&secret, sizeof(secret), 0) < 0)
			secret = 1;
	mixed = secret ^ addr_port(addr);
	for (size_t i = 0; i < size; i++)
		mixed = (mixed ^ at[i]) * UINT64_C(0x100000001b3);
	return (uint32_t)(mixed >> 32);
}

void
route_call_begin(struct route_call *call, int fd, const struct addr *server)
{
	route_call_end(call);
	call->from = addr_local(fd);
	call->to = *server;
	LIST_INSERT_HEAD(&calls[hash(&call->from) % CALL_LISTS], call, link);
	call->is_known = true;
	call->waiting = &waits[hash(server) % WAIT_COUNTS];
	(*call->waiting)++;
}

void
route_call_greeted(struct route_call *call)
{
	if (!call->waiting)
		return;
	(*call->waiting)--;
	call->waiting = NULL;
}

void
route_call_end(struct route_call *call)
{
	route_call_greeted(call);
	if (call->is_known)
		LIST_REMOVE(call, link);
	call->is_known = false;
}

bool
route_loop_is_call(const struct addr *client, const struct addr *dialled)
{
	const struct route_call *call;

	LIST_FOREACH(call, &calls[hash(client) % CALL_LISTS], link)
	{
		if (addr_equal(&call->from, client) && addr_equal(&call->to, dialled))
			return true;
	}
	return false;
}

unsigned
route_loop_waiting(const struct addr *server)
{
	return waits[hash(server) % WAIT_COUNTS];
}

/* ---- how far it has come ------------------------------------------------------------ */

unsigned
route_loop_hops(int fd)
{
	unsigned char
		header[256]; /* of IP and TCP, as the client's first packet had them */
	socklen_t size = sizeof(header);

	if (getsockopt(fd, IPPROTO_TCP, TCP_SAVED_SYN, header, &size) != 0 ||
	    size <= HOPS_V4)
		return 0;
	return header[0] >> 4 == 6 ? header[HOPS_V6] : header[HOPS_V4];
}
