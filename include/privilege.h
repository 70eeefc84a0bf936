#ifndef PRIVILEGE_H
#define PRIVILEGE_H

#include "config.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * What the process may do: limits, priority, root directory, user, groups, capabilities.
 *
 * Everything is checked, also that nothing is left which was given up.  Used once, by the
 * daemon, when what needs privilege (sockets, signatures, pidfile) is open.
 */

/* Resource limits and priority.  False: WHY names the option. */
bool privilege_limit(const struct config *cfg, char *why, size_t why_size) MUST_CHECK;

/* Says whether the configuration names somebody to become, and not root unless it says so,
 * and whether we have what its mode cannot do without: before anything is made for them.  False: WHY. */
bool privilege_check(const struct config *cfg, char *why, size_t why_size) MUST_CHECK;

/* Puts into USER whom the daemon becomes (itself, if set_user is empty).  False: WHY. */
bool privilege_user(const struct config *cfg, uid_t *user, char *why,
		    size_t why_size) MUST_CHECK;

/* Makes a directory and those above it, unless they are there; what is made belongs to
 * set_user.  False: WHY. */
bool privilege_make_directory(const struct config *cfg, const char *path, char *why,
			      size_t why_size) MUST_CHECK;

/* While it is true, a program that this process starts has the capabilities that this
 * process kept (ambient, capabilities(7)): it is to do the same work. */
void privilege_lend(bool lend);

/*
 * Goes to chroot_path, becomes set_user and set_group with their supplementary groups,
 * keeps the capabilities that the mode needs (CAP_NET_ADMIN for netfilter's connection
 * tracking, CAP_NET_RAW for tproxy's connections) and no others, and sees to it that nothing more can be had (no_new_privs) and
 * that nobody looks into the process (not dumpable).  Root without set_user is refused
 * unless allow_root says otherwise.  False: WHY.
 */
bool privilege_drop(const struct config *cfg, char *why, size_t why_size) MUST_CHECK;

#endif
