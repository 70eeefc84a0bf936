#ifndef HELPER_INTERNAL_H
#define HELPER_INTERNAL_H

#include "addr.h"
#include "lookup.h"

#include <event2/event.h>

/*
 * smtp-gated-helper: the router's side of the modes remote-udp and remote.
 *
 * Gateways ask where a connection that came to them was meant to go; connection tracking
 * knows.  It answers the networks that it was told, and whoever knows the secrets; for all
 * others it is not there.
 */
struct helper {
	struct event_base *base;
	struct addr_nets allowed;
	struct lookup_secrets secrets;
	bool plain;		/* datagrams of version 0x0402 are answered */
	unsigned found, not_found, failed, refused;	/* since the start */
	int64_t refusal_said, failure_said;	/* ms: when last logged; 0: never */
	unsigned unsaid;	/* refusals since then */
};

/* helper_answer.c: what connection tracking says to a question. */
void helper_answer(struct helper *helper, const struct lookup_question *question,
		   struct lookup_answer *answer);

/* Somebody is not answered.  Said at most every ten seconds, with a count. */
void helper_refuse(struct helper *helper, const struct addr *who, const char *why);

/* Asks connection tracking about nothing.  0, or an errno: it cannot be asked. */
int helper_try_conntrack(void);

/* helper_udp.c: answers what comes to a bound UDP socket, which is the callee's. */
struct helper_datagrams;
struct helper_datagrams *helper_datagrams_new(struct helper *helper, int fd);
void helper_datagrams_free(struct helper_datagrams *datagrams);

/* helper_tcp.c: answers who connects to a listening socket, which is the callee's. */
struct helper_lines;
struct helper_lines *helper_lines_new(struct helper *helper, int fd);
void helper_lines_free(struct helper_lines *lines);

#endif
