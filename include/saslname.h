#ifndef SASLNAME_H
#define SASLNAME_H

#include "xalloc.h"

#include <stdbool.h>

/*
 * Who authenticates (RFC 4954), read from what the client says on the way to its server.
 *
 * The name is the one whose password, or token, the server looks at:
 *
 *	PLAIN		the authentication identity, not the one to act as (RFC 4616): a server
 *			may overlook the latter, and whoever has a password could claim any
 *	LOGIN		the first answer
 *	CRAM-MD5	what stands before the last blank (RFC 2195)
 *	SCRAM-...	n= of the first message (RFC 5802)
 *	XOAUTH2		user=
 *	OAUTHBEARER	a= (RFC 7628)
 *
 * With any other mechanism it is not known, nor if it is longer than SASLNAME_MAX bytes or
 * has a control character, or if the talk goes on other than the mechanism has it: then who
 * was accepted might be another one than who was named at first.  Of the secrets, which are
 * in the same base64, nothing is kept.
 */
enum {
	SASLNAME_MAX = 255,
};

struct saslname_mechanism;

struct saslname {
	const struct saslname_mechanism *mechanism;	/* NULL: none that we know */
	char *name;		/* owned; NULL: not said yet, or not known */
	unsigned char lines;	/* that the client has sent behind it */
	bool is_said;		/* it was time for the name */
};

/* AUTH, with this ARGUMENT; forgets what was. */
void saslname_begin(struct saslname *auth, const char *argument);

/* The client answers a challenge. */
void saslname_hear(struct saslname *auth, const char *line);

/* The server has accepted: who it is, to be freed; NULL: not known.  Forgets. */
char *saslname_take(struct saslname *auth) MUST_CHECK;

/* It has not, or this is the end. */
void saslname_forget(struct saslname *auth);

#endif
