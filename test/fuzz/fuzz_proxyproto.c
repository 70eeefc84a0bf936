#include "proxyproto.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * Promises kept for any input: what is said of it does not depend on how much more has
 * come, so that the pieces do not matter; no more than PROXYPROTO_MAX bytes are asked for;
 * a header's addresses survive being written, in both versions.
 */
struct outcome {
	enum proxyproto_step step;
	struct proxyproto header;
	const char *why;
	size_t after; /* bytes, when it was certain */
};

/* Each look is at memory of just that size, so that reading beyond is found. */
static struct outcome
look(const uint8_t *data, size_t size)
{
	struct outcome outcome = { .after = size };
	uint8_t *copy = malloc(size > 0 ? size : 1);

	assert(copy);
	memcpy(copy, data, size);
	outcome.step = proxyproto_read(copy, size, &outcome.header, &outcome.why);
	free(copy);
	return outcome;
}

static struct outcome
read_in_bytes(const uint8_t *data, size_t size)
{
	struct outcome outcome = look(data, 0);

	for (size_t at = 1; at <= size && outcome.step == PROXYPROTO_MORE; at++)
		outcome = look(data, at);
	return outcome;
}

static void
check_same(const struct outcome *a, const struct outcome *b)
{
	assert(a->step == b->step);
	if (a->step == PROXYPROTO_MALFORMED)
		assert(strcmp(a->why, b->why) == 0);
	if (a->step != PROXYPROTO_WHOLE)
		return;
	assert(a->header.version == b->header.version);
	assert(a->header.kind == b->header.kind);
	assert(a->header.size == b->header.size);
	assert(memcmp(&a->header.client, &b->header.client, sizeof(struct addr)) == 0);
	assert(memcmp(&a->header.server, &b->header.server, sizeof(struct addr)) == 0);
}

static void
write_and_read_again(const struct proxyproto *header, unsigned version)
{
	char out[PROXYPROTO_OURS_MAX];
	size_t size = proxyproto_write(out, version, &header->client, &header->server);
	struct outcome again = look((const uint8_t *)out, size);

	assert(size < PROXYPROTO_OURS_MAX);
	assert(again.step == PROXYPROTO_WHOLE && again.header.size == size);
	assert(again.header.version == version);
	assert(again.header.kind == PROXYPROTO_TCP);
	assert(addr_equal(&again.header.client, &header->client));
	assert(addr_equal(&again.header.server, &header->server));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole = look(data, size), bytes = read_in_bytes(data, size);

	check_same(&whole, &bytes);
	if (whole.step == PROXYPROTO_MORE)
		assert(size < PROXYPROTO_MAX);
	if (whole.step != PROXYPROTO_WHOLE)
		return 0;
	assert(whole.header.size == bytes.after);
	assert(whole.header.size <= PROXYPROTO_MAX);
	assert(whole.header.version == 2 || whole.header.size <= PROXYPROTO_V1_MAX);
	if (whole.header.kind == PROXYPROTO_TCP) {
		write_and_read_again(&whole.header, 1);
		write_and_read_again(&whole.header, 2);
	}
	return 0;
}
