#ifndef RESULTHEADER_H
#define RESULTHEADER_H

#include "check.h"
#include "retouch.h"

/*
 * What we say of a message in its own header section: X-Virus-Scanned, X-Spam-*,
 * Authentication-Results (RFC 8601).
 *
 * Whoever reads these must be able to trust them.  So those of others go when the message
 * comes in, before it is scanned, and ours are put on top when it is delivered.  What was
 * not looked at is never called clean, and what was not asked for is left out.
 */

/* True if messages that are held with CFG may be changed for what was found. */
bool resultheader_writes(const struct config *cfg);

/* Headers that are ours alone with CFG, as wishes to remove those of others; NULL: none
 * is.  CFG must live as long. */
struct retouch *resultheader_intake(const struct config *cfg);

struct resultheader_facts {
	const struct evidence *evidence;
	const struct finding *found;	/* by the checks of the message */
	size_t count;
	const struct verdict *verdict;
	const char *spf;		/* word of SPF's result; NULL: not asked */
};

/* The headers of a message that is delivered with CFG, and with VERDICT_TAG its subject.  They
 * stand above what checks have added to CHANGES; of that, what has the name of one of ours is
 * left out, but for Authentication-Results that say something. */
void resultheader_add(struct retouch *changes, const struct config *cfg,
		      const struct resultheader_facts *facts);

#endif
