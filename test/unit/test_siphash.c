#include "siphash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Vectors of the paper's reference implementation: key 00 to 0f, data 00, 01, 02 ... */
static void
it_gives_the_published_values(void **state)
{
	static const struct {
		size_t size;
		uint64_t hash;
	} vectors[] = {
		{ 0, UINT64_C(0x726fdb47dd0e0e31) },
		{ 1, UINT64_C(0x74f839c593dc67fd) },
		{ 7, UINT64_C(0xab0200f58b01d137) },
		{ 8, UINT64_C(0x93f5f5799a932462) },
		{ 15, UINT64_C(0xa129ca6149be45e5) },
		{ 63, UINT64_C(0x958a324ceb064572) },
	};
	struct siphash_key key = { { UINT64_C(0x0706050403020100),
		                     UINT64_C(0x0f0e0d0c0b0a0908) } };
	uint8_t data[64];

	(void)state;
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		assert_int_equal(siphash(&key, data, vectors[i].size), vectors[i].hash);
}

static void
each_key_is_another(void **state)
{
	struct siphash_key a = siphash_random_key(), b = siphash_random_key();

	(void)state;
	assert_memory_not_equal(&a, &b, sizeof(a));
	assert_true(siphash(&a, "client", 6) != siphash(&b, "client", 6));
	assert_true(siphash(&a, "client", 6) == siphash(&a, "client", 6));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_gives_the_published_values),
		cmocka_unit_test(each_key_is_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
