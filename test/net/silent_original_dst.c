/*
 * To be preloaded: a kernel whose sockets do not tell where a connection was meant to go
 * (SO_ORIGINAL_DST), as it is where connection tracking knows and the socket does not.
 * So a test makes the gateway ask connection tracking itself.
 */
#include <netinet/in.h> /* before those of the kernel */

#include <dlfcn.h>
#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <sys/socket.h>

int
getsockopt(int fd, int level, int option, void *restrict value,
           socklen_t *restrict size)
{
	int (*real)(int, int, int, void *, socklen_t *);

	if ((level == SOL_IP && option == SO_ORIGINAL_DST) ||
	    (level == SOL_IPV6 && option == IP6T_SO_ORIGINAL_DST)) {
		errno = ENOPROTOOPT;
		return -1;
	}
	*(void **)&real = dlsym(RTLD_NEXT, "getsockopt");
	return real(fd, level, option, value, size);
}
