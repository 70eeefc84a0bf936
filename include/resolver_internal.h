#ifndef RESOLVER_INTERNAL_H
#define RESOLVER_INTERNAL_H

#include "resolver.h"

/*
 * Answers: from packets (resolver_answer.c), and kept for a while (resolver_cache.c).
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

void resolver_cache_put(struct resolver_cache *cache, enum resolver_type type,
			const char *name, const struct resolver_answer *answer,
			uint32_t seconds);

#endif
