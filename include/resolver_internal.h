#ifndef RESOLVER_INTERNAL_H
#define RESOLVER_INTERNAL_H

#include "resolver.h"

/*
 * Answers: from packets (resolver_answer.c), and kept for a while (resolver_cache.c).
 * Nobody who answers: see resolver_rest.c.
 */

/* Reads what c-ares brought: STATUS of its own, and the packet, if there is one. */
void resolver_answer_read(struct resolver_answer *answer, enum resolver_type type,
			  int status, const unsigned char *packet, size_t size);

/* Leaves FAILED, with nothing in it. */
void resolver_answer_clear(struct resolver_answer *answer);

void resolver_answer_copy(struct resolver_answer *to,
			  const struct resolver_answer *from);

/* For how many seconds the records of a packet hold, or, if IS_NEGATIVE, that there are
 * none (RFC 2308, 5).  0: it does not say, or is no packet. */
uint32_t resolver_packet_ttl(const unsigned char *packet, size_t size, bool is_negative);

/* Keeps answers until their time is over, in not more than BYTES; the one that was not
 * asked for the longest goes first. */
struct resolver_cache;

struct resolver_cache *resolver_cache_new(size_t bytes);
void resolver_cache_free(struct resolver_cache *cache);

/* True: ANSWER, which has nothing in it, gets a copy. */
bool resolver_cache_get(struct resolver_cache *cache, enum resolver_type type,
			const char *name, struct resolver_answer *answer);

/* True if there is one that holds. */
bool resolver_cache_has(const struct resolver_cache *cache, enum resolver_type type,
			const char *name);

void resolver_cache_put(struct resolver_cache *cache, enum resolver_type type,
			const char *name, const struct resolver_answer *answer,
			uint32_t seconds);

/*
 * Are the name servers all gone?  Then nobody has to wait for them.  While they are, they
 * are asked now and then whether they are back.
 */
struct resolver_rest;

struct resolver_rest_calls {
	bool (*is_busy)(void *arg);	/* there are questions that were not answered */
	/* Asks them for something.  Returns the milliseconds that it takes to know that
	 * nobody answers. */
	unsigned (*probe)(void *arg);
	void (*gone)(void *arg);	/* they are; it may call nothing of these in turn */
};

struct resolver_rest *resolver_rest_new(struct event_base *base,
					const struct resolver_rest_calls *calls,
					void *arg);
void resolver_rest_free(struct resolver_rest *rest);	/* NULL is fine */

/* True while they are gone. */
bool resolver_rest_lasts(const struct resolver_rest *rest);

/* What has been seen: somebody asks, a packet of theirs has come, or the system says that
 * none of them is there. */
void resolver_rest_asked(struct resolver_rest *rest);
void resolver_rest_heard(struct resolver_rest *rest);
void resolver_rest_refused(struct resolver_rest *rest);

/* True if no packet has come since then. */
bool resolver_rest_silent(const struct resolver_rest *rest, int64_t since_us);

#endif
