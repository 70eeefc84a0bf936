#ifndef RESOLVER_H
#define RESOLVER_H

#include "addr.h"
#include "config.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * DNS questions, answered later (c-ares).
 *
 * The answer comes from the loop, never from within a call of this header, unless it was
 * cancelled; who asked may do anything then.  Only DNS is asked: no /etc/hosts, no search
 * list.  What comes back is data that anybody may have written: names and texts have to be
 * looked at before they are used.
 */
enum {
	RESOLVER_QUESTIONS_MAX = 1000,	/* under way at one time; more fail at once */
	RESOLVER_ANSWERS_MAX = 64,	/* records of one answer; more are left out */
	RESOLVER_NAME_SIZE = 256,	/* a host name and its NUL */
};

struct resolver;

/* Reads options resolver and resolver_port, or /etc/resolv.conf: while that is still
 * there, before the root directory changes.  NULL: WHY. */
struct resolver *resolver_new(const struct config *cfg, char *why,
			      size_t why_size) MUST_CHECK;

/* From now on questions may be asked. */
void resolver_start(struct resolver *resolver, struct event_base *base);

/* No question may be under way but cancelled ones.  NULL is fine. */
void resolver_free(struct resolver *resolver);

enum resolver_type {
	RESOLVER_A,
	RESOLVER_AAAA,
	RESOLVER_PTR,
	RESOLVER_TXT,
	RESOLVER_MX,
};

enum resolver_result {
	RESOLVER_FOUND,
	RESOLVER_NOTHING,	/* DNS says that there is no such name or record */
	RESOLVER_FAILED,	/* DNS says nothing that helps: there may be one */
};

/* Lives until the call that brings it returns. */
struct resolver_answer {
	enum resolver_result result;
	size_t count;		/* 0 unless FOUND */
	struct addr *addrs;	/* of A and AAAA; port 0 */
	char **texts;		/* of PTR, TXT and MX, each terminated; a NUL inside is a SUB
				 * (0x1a); names have no dot behind, those of MX no order */
	bool has_no_name;	/* NOTHING, as there is not even such a name */
	bool is_unasked;	/* FAILED, as nobody was asked: too many questions are under
				 * way, or no name server answers at all */
};

typedef void resolver_answer_cb(const struct resolver_answer *answer, void *arg);

struct resolver_question;

/* Asks for the records of NAME, which may be any text; FAILED is the answer after SECONDS
 * at the latest.  What was answered before is not asked again while it holds: options
 * resolver_cache, resolver_ttl_min and resolver_ttl_max. */
struct resolver_question *resolver_ask(struct resolver *resolver,
				       enum resolver_type type, const char *name,
				       unsigned seconds, resolver_answer_cb *answered,
				       void *arg);

/* True if the answer is there, and nobody would be asked for it. */
bool resolver_knows(const struct resolver *resolver, enum resolver_type type,
		    const char *name);

/* It will not be answered.  NULL is fine; one that was answered is gone already. */
void resolver_cancel(struct resolver_question *question);

/*
 * The name of a host, from its address: what its PTR says if that is a host name, and
 * verified if the name has that address in turn.
 */
struct resolver_host {
	char name[RESOLVER_NAME_SIZE];	/* empty: none */
	bool verified;
	bool unsure;			/* DNS failed: there may be more to it */
};

typedef void resolver_host_cb(const struct resolver_host *host, void *arg);

struct resolver_naming;			/* asking for it, under way */

/* Each of the two questions has SECONDS. */
struct resolver_naming *resolver_name_start(struct resolver *resolver,
					    const struct addr *addr, unsigned seconds,
					    resolver_host_cb *named, void *arg);
void resolver_name_cancel(struct resolver_naming *naming);	/* NULL is fine */

#endif
