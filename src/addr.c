#include "addr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
addr_unmap(struct addr *addr)
{
	struct in6_addr six;
	in_port_t port;

	if (addr->any.sa_family != AF_INET6 ||
	    !IN6_IS_ADDR_V4MAPPED(&addr->v6.sin6_addr))
		return;
	six = addr->v6.sin6_addr;
	port = addr->v6.sin6_port;
	memset(addr, 0, sizeof(*addr));
	addr->v4.sin_family = AF_INET;
	addr->v4.sin_port = port;
	memcpy(&addr->v4.sin_addr, &six.s6_addr[12], sizeof(addr->v4.sin_addr));
}

struct addr
addr_from(const struct sockaddr *kernel)
{
	struct addr addr = { 0 };

	if (kernel->sa_family == AF_INET)
		memcpy(&addr.v4, kernel, sizeof(addr.v4));
	else if (kernel->sa_family == AF_INET6)
		memcpy(&addr.v6, kernel, sizeof(addr.v6));
	addr_unmap(&addr);
	return addr;
}

static struct addr
addr_first(const char *name, uint16_t port, int family, int flags, int *error)
{
	struct addrinfo hints = { .ai_flags = flags,
		                  .ai_family = family,
		                  .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	struct addr addr = { 0 };

	*error = getaddrinfo(name, NULL, &hints, &list);
	if (*error != 0)
		return addr;
	addr = addr_from(list->ai_addr);
	freeaddrinfo(list);
	addr_set_port(&addr, port);
	return addr;
}

/* Four numbers and nothing else: a "25" in a list of addresses is not 0.0.0.25. */
static struct addr
addr_dotted(const char *text, uint16_t port)
{
	struct addr addr = { 0 };

	if (inet_pton(AF_INET, text, &addr.v4.sin_addr) != 1)
		return addr;
	addr.v4.sin_family = AF_INET;
	addr_set_port(&addr, port);
	return addr;
}

bool
addr_parse(struct addr *addr, const char *text, uint16_t port)
{
	size_t size = strlen(text);
	char bare[ADDR_TEXT_SIZE];
	int error;

	if (size >= 2 && text[0] == '[' && text[size - 1] == ']') {
		text++;
		size -= 2;
	}
	if (size == 0 || size >= sizeof(bare))
		return false;
	memcpy(bare, text, size);
	bare[size] = '\0';
	*addr = addr_dotted(bare, port);
	/* The resolver knows scopes; IPv4 it would take too leniently. */
	if (addr_family(addr) == AF_UNSPEC)
		*addr = addr_first(bare, port, AF_INET6, AI_NUMERICHOST, &error);
	return addr_family(addr) != AF_UNSPEC;
}

bool
addr_parse_port(struct addr *addr, const char *text)
{
	const char *colon = strrchr(text, ':');
	char host[ADDR_TEXT_SIZE];
	size_t size;
	long port;

	if (!colon || colon == text || (text[0] != '[' && strchr(text, ':') != colon))
		return false;
	size = strspn(colon + 1, "0123456789");
	if (size == 0 || size > 5 || colon[1 + size] ||
	    (size_t)(colon - text) >= sizeof(host))
		return false;
	port = strtol(colon + 1, NULL, 10);
	if (port == 0 || port > UINT16_MAX)
		return false;
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	return addr_parse(addr, host, (uint16_t)port);
}

bool
addr_resolve(struct addr *addr, const char *name, uint16_t port, const char **why)
{
	int error;

	if (addr_parse(addr, name, port))
		return true;
	*addr = addr_first(name, port, AF_UNSPEC, AI_ADDRCONFIG, &error);
	*why = error != 0 ? gai_strerror(error) : "no IPv4 or IPv6 address";
	return addr_family(addr) != AF_UNSPEC;
}

static struct addr
addr_of(int fd, int (*ask)(int, struct sockaddr *restrict, socklen_t *restrict))
{
	struct sockaddr_storage kernel = { 0 };
	socklen_t size = sizeof(kernel);

	if (ask(fd, (struct sockaddr *)&kernel, &size) != 0)
		return (struct addr){ 0 };
	return addr_from((struct sockaddr *)&kernel);
}

struct addr
addr_local(int fd)
{
	return addr_of(fd, getsockname);
}

struct addr
addr_peer(int fd)
{
	return addr_of(fd, getpeername);
}

int
addr_family(const struct addr *addr)
{
	return addr->any.sa_family;
}

socklen_t
addr_size(const struct addr *addr)
{
	return addr_family(addr) == AF_INET6 ? sizeof(addr->v6) : sizeof(addr->v4);
}

uint16_t
addr_port(const struct addr *addr)
{
	return ntohs(addr_family(addr) == AF_INET6 ? addr->v6.sin6_port
	                                           : addr->v4.sin_port);
}

void
addr_set_port(struct addr *addr, uint16_t port)
{
	if (addr_family(addr) == AF_INET6)
		addr->v6.sin6_port = htons(port);
	else
		addr->v4.sin_port = htons(port);
}

/* The same link-local address on two links is two hosts; no scope fits any. */
static bool
scopes_differ(uint32_t a, uint32_t b)
{
	return a != 0 && b != 0 && a != b;
}

bool
addr_same_host(const struct addr *a, const struct addr *b)
{
	if (addr_family(a) != addr_family(b) || addr_family(a) == AF_UNSPEC)
		return false;
	if (addr_family(a) == AF_INET)
		return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&a->v6.sin6_addr, &b->v6.sin6_addr) &&
	       !scopes_differ(a->v6.sin6_scope_id, b->v6.sin6_scope_id);
}

bool
addr_equal(const struct addr *a, const struct addr *b)
{
	return addr_same_host(a, b) && addr_port(a) == addr_port(b);
}

bool
addr_is_any(const struct addr *addr)
{
	if (addr_family(addr) == AF_INET)
		return addr->v4.sin_addr.s_addr == htonl(INADDR_ANY);
	return addr_family(addr) == AF_INET6 &&
	       IN6_IS_ADDR_UNSPECIFIED(&addr->v6.sin6_addr);
}

/* To an address of our own the kernel would talk from that very address. */
bool
addr_is_ours(const struct addr *addr)
{
	struct addr target = *addr, source = { 0 };
	int fd;

	if (addr_family(addr) == AF_UNSPEC)
		return false;
	if (addr_is_any(addr))
		return true;
	fd = socket(addr_family(addr), SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	if (addr_port(&target) == 0)
		addr_set_port(&target, 9);
	if (connect(fd, &target.any, addr_size(&target)) == 0)
		source = addr_local(fd);
	close(fd);
	return addr_same_host(&source, addr) ||
	       (addr_family(addr) == AF_INET &&
	        ntohl(addr->v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET);
}

const char *
addr_text(const struct addr *addr, char text[static ADDR_TEXT_SIZE])
{
	char scope[IF_NAMESIZE];
	size_t used;

	memcpy(text, "-", sizeof("-"));
	if (addr_family(addr) == AF_INET)
		inet_ntop(AF_INET, &addr->v4.sin_addr, text, ADDR_TEXT_SIZE);
	if (addr_family(addr) != AF_INET6)
		return text;
	inet_ntop(AF_INET6, &addr->v6.sin6_addr, text, ADDR_TEXT_SIZE);
	if (addr->v6.sin6_scope_id == 0)
		return text;
	used = strlen(text);
	if (if_indextoname(addr->v6.sin6_scope_id, scope))
		snprintf(text + used, ADDR_TEXT_SIZE - used, "%%%s", scope);
	else
		snprintf(text + used, ADDR_TEXT_SIZE - used, "%%%u",
		         (unsigned)addr->v6.sin6_scope_id);
	return text;
}

const char *
addr_full(const struct addr *addr, char text[static ADDR_TEXT_SIZE])
{
	char host[ADDR_TEXT_SIZE];

	if (addr_family(addr) == AF_UNSPEC)
		return addr_text(addr, text);
	addr_text(addr, host);
	/* The longest host is 39 + 1 + 15 bytes, its brackets and port 8 more. */
	snprintf(text, ADDR_TEXT_SIZE,
	         addr_family(addr) == AF_INET6 ? "[%.54s]:%u" : "%.54s:%u", host,
	         addr_port(addr));
	return text;
}

void
addr_reverse(const struct addr *addr, char name[static ADDR_REVERSE_SIZE])
{
	const uint8_t *at = (const uint8_t *)&addr->v4.sin_addr;
	size_t size = 0;

	if (addr_family(addr) == AF_INET) {
		snprintf(name, ADDR_REVERSE_SIZE, "%u.%u.%u.%u.in-addr.arpa", at[3],
		         at[2], at[1], at[0]);
		return;
	}
	assert(addr_family(addr) == AF_INET6);
	at = addr->v6.sin6_addr.s6_addr;
	for (int i = 15; i >= 0; i--)
		size += (size_t)sprintf(name + size, "%x.%x.", at[i] & 15u, at[i] >> 4);
	snprintf(name + size, ADDR_REVERSE_SIZE - size, "ip6.arpa");
}
