#include "siphash.h"

#include <assert.h>
#include <string.h>
#include <sys/random.h>

struct sip {
	uint64_t v0, v1, v2, v3;
};

static uint64_t
rotate(uint64_t value, unsigned bits)
{
	return value << bits | value >> (64 - bits);
}

static void
sip_rounds(struct sip *s, int count)
{
	while (count-- > 0) {
		s->v0 += s->v1;
		s->v2 += s->v3;
		s->v1 = rotate(s->v1, 13) ^ s->v0;
		s->v3 = rotate(s->v3, 16) ^ s->v2;
		s->v0 = rotate(s->v0, 32);
		s->v2 += s->v1;
		s->v0 += s->v3;
		s->v1 = rotate(s->v1, 17) ^ s->v2;
		s->v3 = rotate(s->v3, 21) ^ s->v0;
		s->v2 = rotate(s->v2, 32);
	}
}

static void
sip_word(struct sip *s, uint64_t word)
{
	s->v3 ^= word;
	sip_rounds(s, 2);
	s->v0 ^= word;
}

/* Up to eight bytes, the first one lowest, whatever the machine's order is. */
static uint64_t
little_endian(const uint8_t *bytes, size_t size)
{
	uint64_t word = 0;

	for (size_t i = 0; i < size; i++)
		word |= (uint64_t)bytes[i] << 8 * i;
	return word;
}

uint64_t
siphash(const struct siphash_key *key, const void *data, size_t size)
{
	const uint8_t *at = data;
	uint64_t last = (uint64_t)size << 56;
	struct sip s = {
		.v0 = key->half[0] ^ UINT64_C(0x736f6d6570736575),
		.v1 = key->half[1] ^ UINT64_C(0x646f72616e646f6d),
		.v2 = key->half[0] ^ UINT64_C(0x6c7967656e657261),
		.v3 = key->half[1] ^ UINT64_C(0x7465646279746573),
	};

	for (; size >= 8; at += 8, size -= 8)
		sip_word(&s, little_endian(at, 8));
	sip_word(&s, last | little_endian(at, size));
	s.v2 ^= 0xff;
	sip_rounds(&s, 4);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

/* So few bytes come whole, and always, once the machine has booted (getrandom(2)). */
struct siphash_key
siphash_random_key(void)
{
	struct siphash_key key;
	ssize_t got = getrandom(&key, sizeof(key), 0);

	assert(got == (ssize_t)sizeof(key));
	return key;
}
