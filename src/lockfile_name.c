#include "lockfile.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What locks are called:	ADDRESS[%SCOPE][_BITS][-IDENT]
 *
 * The first "-" begins the ident, a "_" before it the bits: so neither may stand in a
 * scope, which is the name of an interface.
 */

/* What a helper's ident may have in it, see lookup.h: none of it says anything to a file
 * system. */
static const char of_idents[] = "._-@+:";
static const char of_scopes[] = ".";

/* Appends TEXT, each byte that is neither a letter or digit nor in PLAIN as %XX.  False:
 * there is no room. */
static bool
put(char *name, const char *text, const char *plain)
{
	size_t used = strlen(name);

	for (; *text; text++) {
		unsigned char byte = (unsigned char)*text;
		bool is_plain = (isascii(byte) && isalnum(byte)) || strchr(plain, byte);

		if (used + 4 > LOCKFILE_NAME_SIZE)
			return false;
		used += (size_t)sprintf(name + used, is_plain ? "%c" : "%%%02X", byte);
	}
	return true;
}

bool
lockfile_name(char name[static LOCKFILE_NAME_SIZE], const struct addr_net *net,
              const char *ident)
{
	char text[ADDR_TEXT_SIZE], *scope;

	assert(addr_family(&net->first) != AF_UNSPEC);
	addr_text(&net->first, text);
	scope = strchr(text, '%');
	if (scope)
		*scope++ = '\0';
	snprintf(name, LOCKFILE_NAME_SIZE, "%s%s", text, scope ? "%" : "");
	if (scope && !put(name, scope, of_scopes))
		return false;
	if (!addr_net_is_host(net)) {
		snprintf(text, sizeof(text), "_%u", net->bits);
		if (!put(name, text, "_"))
			return false;
	}
	return !ident[0] || (strlen(ident) < LOCKFILE_IDENT_SIZE &&
	                     put(name, "-", of_idents) && put(name, ident, of_idents));
}

/* Decodes %XX in SIZE bytes of FROM; false if that is not what it is, or there is no
 * room. */
static bool
take(char *to, size_t to_size, const char *from, size_t size)
{
	const char *end = from + size;

	while (from < end) {
		char digits[3] = "";

		if (to_size < 2)
			return false;
		if (*from != '%') {
			*to++ = *from++;
		} else {
			if (end - from < 3 || !isxdigit((unsigned char)from[1]) ||
			    !isxdigit((unsigned char)from[2]))
				return false;
			memcpy(digits, from + 1, 2);
			*to++ = (char)strtoul(digits, NULL, 16);
			from += 3;
		}
		to_size--;
	}
	*to = '\0';
	return true;
}

static bool
take_host(const char *name, size_t size, struct addr *host)
{
	char text[ADDR_TEXT_SIZE];
	size_t bare = strcspn(name, "%");

	if (bare > size)
		bare = size;
	if (bare >= sizeof(text) - 2)
		return false;
	memcpy(text, name, bare);
	text[bare] = '\0';
	if (bare < size) {
		text[bare++] = '%';
		if (!take(text + bare, sizeof(text) - bare, name + bare, size - bare))
			return false;
	}
	return addr_parse(host, text, 0);
}

/* Whatever was read, written again it must be the same: one client has one name. */
bool
lockfile_parse(const char *name, struct addr_net *net,
               char ident[static LOCKFILE_IDENT_SIZE])
{
	size_t size = strcspn(name, "-"), host = size;
	char again[LOCKFILE_NAME_SIZE];
	struct addr first;
	unsigned bits = 128;

	ident[0] = '\0';
	if (name[size] == '-' &&
	    !take(ident, LOCKFILE_IDENT_SIZE, name + size + 1, strlen(name + size + 1)))
		return false;
	if (memchr(name, '_', size)) {
		host = strcspn(name, "_");
		bits = (unsigned)strtoul(name + host + 1, NULL, 10);
	}
	if (!take_host(name, host, &first))
		return false;
	*net = addr_net_of(&first, bits);
	return lockfile_name(again, net, ident) && strcmp(again, name) == 0;
}
