#ifndef PATTERN_H
#define PATTERN_H

#include "xalloc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A regular expression (PCRE2), compiled once and shared by reference, looked for in
 * bytes that strangers chose.
 *
 * It is searched for, not anchored; case counts; a byte is a character.  What it may cost
 * has a limit.  PCRE2's own does not suffice: it counts anew at every byte where a match
 * could begin.  So we count the items of the expression that are tried, all together.
 */
struct pattern;

/* NULL: WHY says what is wrong with TEXT, and at which byte. */
struct pattern *pattern_new(const char *text, char *why, size_t why_size) MUST_CHECK;

struct pattern *pattern_hold(struct pattern *pattern);	/* NULL is fine: NULL */
void pattern_drop(struct pattern *pattern);		/* NULL is fine */

/* As it was written; "" for NULL. */
const char *pattern_text(const struct pattern *pattern);

enum pattern_answer {
	PATTERN_ABSENT,
	PATTERN_FOUND,
	PATTERN_UNDECIDED, /* it would cost too much to know, or SUBJECT is not for it */
};

/* Looks for it in SUBJECT, of SIZE bytes, in at most STEPS steps.  PATTERN_UNDECIDED: WHY
 * says what stood against it. */
enum pattern_answer pattern_find(const struct pattern *pattern, const char *subject,
				 size_t size, uint64_t steps, char *why,
				 size_t why_size) MUST_CHECK;

#endif
