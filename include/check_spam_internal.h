#ifndef CHECK_SPAM_INTERNAL_H
#define CHECK_SPAM_INTERNAL_H

#include "backend.h"
#include "check_internal.h"

/*
 * What checks have in common that ask a spam scanner.
 */

/* True if the message of RUN need not be examined, and that is answered: it is too big, or
 * the load too high. */
bool check_spam_is_spared(struct check_run *run) MUST_CHECK;

/* It was not examined: END, but for BACKEND_ANSWERED, which is the scanner's refusal. */
void check_spam_failed(struct check_run *run, enum backend_end end, const char *why);

/* It was examined, and got these points. */
void check_spam_scored(struct check_run *run, enum finding_kind kind, double score,
		       const char *name);

#endif
