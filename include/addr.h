#ifndef ADDR_H
#define ADDR_H

#include "xalloc.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * Socket addresses, IPv4 and IPv6: read, print, compare; and networks of them.
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
	ADDR_REVERSE_SIZE = 80,
};

/* Reads a numeric address: 192.0.2.1, 2001:db8::1, or [2001:db8::1].  Never asks DNS. */
bool addr_parse(struct addr *addr, const char *text, uint16_t port) MUST_CHECK;

/* The same with a port behind it: 192.0.2.1:25, [2001:db8::1]:25. */
bool addr_parse_port(struct addr *addr, const char *text) MUST_CHECK;

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

/* Puts the name that DNS has its PTR at into NAME: 4.3.2.1.in-addr.arpa, or below ip6.arpa.
 * ADDR is an address. */
void addr_reverse(const struct addr *addr, char name[static ADDR_REVERSE_SIZE]);

/*
 * A network: all addresses that begin with the same bits.  One host is a network, too.
 *
 * ::/0 is all of IPv6 and nothing of IPv4, however it arrived: that is 0.0.0.0/0.
 */
struct addr_net {
	struct addr first;	/* the bits behind BITS are 0; no port */
	unsigned bits;		/* 0 to 32, or 0 to 128 */
};

/* Any number of them; { 0 } is none. */
struct addr_nets {
	size_t count;
	struct addr_net *at;
};

/* Reads 192.0.2.0/24, 2001:db8::/32, fe80::%eth0/10, or an address alone.  What is written
 * as ::ffff:192.0.2.0/120 is IPv4.  False: WHY says of TEXT what is wrong with it ("is no
 * ..."); an address that is not the first of its network is refused, for nobody can tell
 * which of the two was meant. */
bool addr_net_parse(struct addr_net *net, const char *text, char *why,
		    size_t why_size) MUST_CHECK;

/* The network that ADDR is in, of the first BITS bits or of all that it has. */
struct addr_net addr_net_of(const struct addr *addr, unsigned bits);

/* True if it is one host. */
bool addr_net_is_host(const struct addr_net *net);

/* True if ADDR means something on one link only (fe80::/10). */
bool addr_is_link_local(const struct addr *addr);

/* True if ADDR is in it.  A link-local network without a scope is that of every link. */
bool addr_net_contains(const struct addr_net *net, const struct addr *addr);

/* True if they are the same network, and not only overlap. */
bool addr_net_equal(const struct addr_net *a, const struct addr_net *b);

/* Prints into TEXT as addr_net_parse() reads it, and returns it. */
const char *addr_net_text(const struct addr_net *net, char text[static ADDR_TEXT_SIZE]);

/* True if ADDR is in one of them. */
bool addr_nets_contain(const struct addr_nets *nets, const struct addr *addr);

/* The list owns its memory: add copies NET, clear leaves none. */
void addr_nets_add(struct addr_nets *nets, const struct addr_net *net);
void addr_nets_clear(struct addr_nets *nets);
bool addr_nets_equal(const struct addr_nets *a, const struct addr_nets *b);

#endif
