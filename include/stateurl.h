#ifndef STATEURL_H
#define STATEURL_H

#include "xalloc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Where several gateways share what they know: the URL of a server of Redis or Valkey.
 *
 *	redis://[[USER][:PASSWORD]@]HOST[:6379][/DATABASE]
 *	rediss://...					the same, by TLS
 *	unix://[[USER][:PASSWORD]@]/PATH[?db=DATABASE]
 *
 * Users and passwords have %XX for what a URL cannot hold.
 */
struct stateurl {
	char *user, *password;		/* NULL: none */
	char *host;			/* a name or an address; NULL: it is PATH */
	uint16_t port;
	char *path;
	bool is_tls;
	unsigned database;
};

/* What is wrong with TEXT, for people; NULL: nothing, and URL, to be cleared, is it. */
const char *stateurl_read(struct stateurl *url, const char *text) MUST_CHECK;

/* The same, of who has a user and no password, unless a file HAS it. */
const char *stateurl_login_fault(const struct stateurl *url, bool has_file) MUST_CHECK;

void stateurl_clear(struct stateurl *url);

/* The URL without what is secret; to be freed. */
char *stateurl_text(const struct stateurl *url) MUST_CHECK;

#endif
