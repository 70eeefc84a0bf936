#ifndef ADDR_H
#define ADDR_H

#include "xalloc.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * Socket addresses, IPv4 and IPv6: read, print, compare.
 *
 * An IPv4 address that arrived on an IPv6 socket (::ffff:a.b.c.d) is turned into plain
 * IPv4 by every function that makes an addr, so that nobody else has to think of it.
 * A struct addr is a value: copy it, it owns nothing.  { 0 } is no address (AF_UNSPEC).
 */
struct addr {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
};

enum {
	ADDR_TEXT_SIZE = 64,	/* "[address%scope]:port" and its NUL */
};

/* Reads a numeric address: 192.0.2.1, 2001:db8::1, or [2001:db8::1].  Never asks DNS. */
bool addr_parse(struct addr *addr, const char *text, uint16_t port) MUST_CHECK;

/* Like addr_parse(), but looks a name up as well.  Blocks: for start-up only.  On failure
 * returns false and points WHY at the resolver's (static) words. */
bool addr_resolve(struct addr *addr, const char *name, uint16_t port,
		  const char **why) MUST_CHECK;

/* Takes what the kernel gave; anything but IPv4 and IPv6 becomes no address. */
struct addr addr_from(const struct sockaddr *kernel);

/* The two ends of a connected socket; no address if the kernel does not tell. */
struct addr addr_local(int fd);
struct addr addr_peer(int fd);

socklen_t addr_size(const struct addr *addr);
int addr_family(const struct addr *addr);
uint16_t addr_port(const struct addr *addr);
void addr_set_port(struct addr *addr, uint16_t port);

/* Same host and same port; same host. */
bool addr_equal(const struct addr *a, const struct addr *b);
bool addr_same_host(const struct addr *a, const struct addr *b);

/* True for 0.0.0.0 and ::. */
bool addr_is_any(const struct addr *addr);

/* True if the address is one of this machine's own, in this network namespace.  Asks the
 * kernel's routing table; a few microseconds. */
bool addr_is_ours(const struct addr *addr);

/* Print into TEXT and return it.  addr_text: host only.  addr_full: 192.0.2.1:25 or
 * [2001:db8::1]:25.  No address prints as "-". */
const char *addr_text(const struct addr *addr, char text[static ADDR_TEXT_SIZE]);
const char *addr_full(const struct addr *addr, char text[static ADDR_TEXT_SIZE]);

#endif
