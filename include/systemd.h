#ifndef SYSTEMD_H
#define SYSTEMD_H

#include "xalloc.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * What a service manager and a service tell each other: sd_listen_fds(3).
 *
 * Without libsystemd on purpose: the protocol is a promise of systemd's and a few lines,
 * others speak it as well, and so does our own predecessor when it hands its sockets on.
 */
struct systemd_socket {
	int fd;		/* close-on-exec, non-blocking; the caller's */
	char *name;	/* FileDescriptorName=, or "unknown" */
};

/* Takes the listening TCP sockets that were handed to this process, once: the environment
 * forgets them.  SOCKETS is malloc'd (free its names, too), NULL if there are none.  False:
 * WHY says which descriptor is no listening TCP socket. */
bool systemd_take_sockets(struct systemd_socket **sockets, size_t *count, char *why,
			  size_t why_size) MUST_CHECK;

/* The first descriptor behind those that systemd_take_sockets() will take, 3 or more. */
int systemd_first_free(void);

#endif
