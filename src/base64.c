#include "base64.h"

#include <openssl/evp.h>
#include <string.h>

enum {
	PIECE = 64, /* characters that are decoded at once */
};

static size_t
padding(const char *text, size_t size)
{
	size_t count = 0;

	while (count < 2 && text[size - 1 - count] == '=')
		count++;
	return count;
}

/* libcrypto takes blanks around it, padding within, and any bits in the last character: what
 * it is can be seen by the way back.  TEXT may be a secret. */
static bool
decode_piece(const char *text, size_t size, unsigned char *to, size_t *got)
{
	size_t left_out = padding(text, size);
	unsigned char again[PIECE + 1];
	int bytes = EVP_DecodeBlock(to, (const unsigned char *)text, (int)size);
	bool same;

	if (bytes < (int)left_out)
		return false;
	*got = (size_t)bytes - left_out;
	same = EVP_EncodeBlock(again, to, (int)*got) == (int)size &&
	       memcmp(again, text, size) == 0;
	explicit_bzero(again, sizeof(again));
	return same;
}

bool
base64_decode(const char *text, size_t size, unsigned char *to, size_t *got)
{
	size_t more = 0;

	*got = 0;
	if (size % 4 != 0)
		return false;
	for (size_t at = 0; at < size; at += PIECE, *got += more)
		if (*got != BASE64_BYTES(at) ||
		    !decode_piece(text + at, size - at < PIECE ? size - at : PIECE,
		                  to + *got, &more))
			return false;
	return true;
}
