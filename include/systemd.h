#ifndef SYSTEMD_H
#define SYSTEMD_H

#include "xalloc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What a service manager and a service tell each other: sd_listen_fds(3), sd_notify(3),
 * sd_watchdog_enabled(3).
 *
 * Without libsystemd on purpose: the protocol is a promise of systemd's and a few lines,
 * others speak it as well, and so does our own predecessor when it hands its sockets on.
 */
struct systemd_socket {
	int fd;		/* close-on-exec, non-blocking; the caller's */
	bool is_datagram;	/* it is a UDP socket */
	char *name;	/* FileDescriptorName=, or "unknown" */
};

/* Takes the listening TCP sockets that were handed to this process, once: the environment
 * forgets them.  SOCKETS is malloc'd (free its names, too), NULL if there are none.  False:
 * WHY says which descriptor is no listening TCP socket (nor, with DATAGRAMS, a UDP one). */
bool systemd_take_sockets(struct systemd_socket **sockets, size_t *count, bool datagrams,
			  char *why, size_t why_size) MUST_CHECK;

/* The first descriptor behind those that systemd_take_sockets() will take, 3 or more. */
int systemd_first_free(void);

/*
 * Telling the service manager: systemd_open() connects to NOTIFY_SOCKET, a path or an
 * abstract name, before chroot_path and set_user would be in the way.  Nothing here
 * blocks; without NOTIFY_SOCKET nothing here does anything.
 */

/* False: WHY.  That is no reason not to serve; each message tries again. */
bool systemd_open(char *why, size_t why_size) MUST_CHECK;
void systemd_close(void);

/* Whether there is anybody to tell. */
bool systemd_is_told(void);

/* Sends lines of NAME=value, as sd_notify(3) has them.  Texts for STATUS= must have passed
 * systemd_clean().  False: errno; EAGAIN: the same again later may be heard.  True if there
 * is nobody to tell. */
bool systemd_notify(const char *format, ...) PRINTF(1, 2);

/* Makes TEXT, in place, one line of ASCII, so that it is one value and no more: what was
 * lines is parted by semicolons. */
char *systemd_clean(char *text);

/* From now on the service is process PID; only who is it now can say so. */
bool systemd_pass_on(pid_t pid);

/* How often the manager wants to hear WATCHDOG=1 from this process, at the least, in
 * microseconds; 0: it does not. */
uint64_t systemd_watchdog(void);

/* Now, as RELOADING=1 wants it: MONOTONIC_USEC=. */
uint64_t systemd_now(void);

#endif
