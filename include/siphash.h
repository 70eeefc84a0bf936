#ifndef SIPHASH_H
#define SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/*
 * SipHash-2-4 (Aumasson and Bernstein, 2012): a hash that nobody can steer who does not
 * know the key, for tables whose keys peers choose.
 */
struct siphash_key {
	uint64_t half[2];
};

/* A key that nobody knows. */
struct siphash_key siphash_random_key(void);

uint64_t siphash(const struct siphash_key *key, const void *data, size_t size);

#endif
