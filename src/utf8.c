#include "utf8.h"

static size_t
size_by_first(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first < 0xc2)
		return 0;
	return first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
}

size_t
utf8_size(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t size = size_by_first(at[0]);

	for (size_t i = 1; i < size; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
	    (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
		return 0;
	return size;
}

bool
utf8_is(const char *text)
{
	while (*text) {
		size_t size = utf8_size(text);

		if (size == 0)
			return false;
		text += size;
	}
	return true;
}
