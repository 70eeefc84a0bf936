#ifndef SPF_INTERNAL_H
#define SPF_INTERNAL_H

#include "spf.h"

/*
 * Records and their macros, for the evaluator: spf_record.c, spf_macro.c.
 */

/* A part of a record, which is not ended by a NUL. */
struct spf_span {
	const char *at;
	size_t size;
};

bool spf_span_is(struct spf_span span, const char *word);	/* in any case of letters */

enum spf_kind {
	SPF_ALL,
	SPF_INCLUDE,
	SPF_HAS_A,		/* mechanism a */
	SPF_HAS_MX,
	SPF_HAS_PTR,
	SPF_IP4,
	SPF_IP6,
	SPF_EXISTS,
	SPF_REDIRECT,
	SPF_EXP,
	SPF_UNKNOWN_MODIFIER,
};

struct spf_term {
	enum spf_kind kind;
	enum spf_verdict qualifier;	/* what a match leads to */
	struct spf_span whole;		/* as it was written */
	struct spf_span domain;		/* domain-spec; empty: none */
	struct addr network;		/* of ip4 and ip6 */
	unsigned bits4, bits6;		/* of networks; 32 and 128 if it says none */
};

/* True if TEXT is a record of this version (4.5). */
bool spf_is_record(const char *text);

/* What stands behind the version of a record. */
struct spf_span spf_terms_of(const char *record);

/* Takes the next term off REST, the terms of a record.  False: there is none, or it is
 * wrong, and WHY is no longer NULL. */
bool spf_next_term(struct spf_span *rest, struct spf_term *term,
		   const char **why) MUST_CHECK;

/* What is wrong with a record, or NULL.  REDIRECT and EXP are these modifiers, their
 * domain empty if it has none. */
const char *spf_check_record(const char *record, struct spf_term *redirect,
			     struct spf_term *exp);

/* What macros stand for (7.2). */
struct spf_facts {
	struct addr client;
	const char *local, *sender_domain, *domain, *helo, *receiver;
	const char *validated;		/* name of the client, for %{p} */
	int64_t now;
};

/* Macros that may stand in a domain-spec, or in an explanation as well (7.2). */
enum spf_letters {
	SPF_OF_NAMES,
	SPF_OF_EXPLANATIONS,
};

/* The grammar of 7.1: is it a macro-string; is it a domain-spec? */
bool spf_is_macro_string(struct spf_span text, enum spf_letters letters);
bool spf_is_domain_spec(struct spf_span text);

/* True if it says %{p}: that needs to be asked for. */
bool spf_wants_validated(struct spf_span text);

/* Expands a domain-spec to a name for DNS.  False: it is none that can be asked for. */
bool spf_expand_name(struct spf_span spec, const struct spf_facts *facts,
		     char name[static SPF_NAME_SIZE]) MUST_CHECK;

/* Expands an explanation; it is empty if it is none. */
void spf_expand_explanation(struct spf_span text, const struct spf_facts *facts,
			    char to[static SPF_EXPLANATION_SIZE]);

/* True if DNS can be asked for it: labels of 1 to 63, 253 in all, ASCII without controls. */
bool spf_can_ask(const char *name);

/* True if SUB is NAME, or below it; in any case of letters. */
bool spf_is_below(const char *sub, const char *name);

#endif
