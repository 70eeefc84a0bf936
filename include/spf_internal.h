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

/* ---- an evaluation, for spf.c and spf_ask.c ---- */

enum {
	SPF_FRAMES_MAX = SPF_TERMS_MAX + 1, /* an include is a term that counts */
};

typedef void spf_step(struct spf *spf);

/* A record that is evaluated: the first, or one that another includes. */
struct spf_frame {
	char domain[SPF_NAME_SIZE];
	char *record;
	struct spf_span rest; /* of its terms */
	struct spf_term term; /* the one that is looked at */
	struct spf_term redirect, exp;
	bool is_redirected;
};

struct spf_query {
	enum spf_type type;
	char name[SPF_NAME_SIZE];
	bool is_answered;
};

struct spf_host { /* a name of an MX or a PTR */
	char name[SPF_NAME_SIZE];
	bool is_clients; /* it has the client's address */
};

struct spf_hosts {
	size_t count;
	struct spf_host at[SPF_NAMES_MAX];
};

struct spf {
	/* Who is asked about. */
	struct addr client;
	char local[SPF_LOCAL_SIZE], helo[SPF_LOCAL_SIZE];
	char sender_domain[SPF_NAME_SIZE], receiver[SPF_NAME_SIZE];
	int64_t now;

	/* What is done. */
	struct spf_frame frames[SPF_FRAMES_MAX];
	size_t depth;
	spf_step *next;
	char target[SPF_NAME_SIZE]; /* of the term that is looked at */
	unsigned terms, voids;
	bool is_void_counted; /* for this term */
	bool is_explaining;

	/* Questions, and what their answers say. */
	unsigned first_id; /* of these queries */
	size_t queries, given, answered;
	struct spf_query query[SPF_NAMES_MAX];
	void (*take)(struct spf *spf, size_t index, const struct spf_answer *answer);
	bool has_match, has_void, has_failed, has_too_many;
	unsigned records;
	char *text;        /* the first of these */
	struct spf_hosts mail; /* of an MX */

	/* The names of the client, asked for once. */
	bool is_named;
	struct spf_hosts names;
	spf_step *named; /* goes on with them */

	bool is_over;
	struct spf_result result;
};

/* The record that is evaluated now. */
struct spf_frame *spf_top(struct spf *spf);

/* The end: with a verdict, or with an error, which is all there is to say then (5.2, 6.1).  The
 * term that led to it may be noted first. */
void spf_note_term(struct spf *spf, const struct spf_term *term);
void spf_finish(struct spf *spf, enum spf_verdict verdict);
void spf_fail_for(struct spf *spf, enum spf_verdict verdict, const char *problem);

/* From now on, answers are TAKEn, and NEXT comes behind the last of them. */
void spf_prepare(struct spf *spf, spf_step *next,
		 void (*take)(struct spf *spf, size_t index,
			      const struct spf_answer *answer));

/* Puts a question; one for the address of each host. */
void spf_want(struct spf *spf, enum spf_type type, const char *name);
void spf_want_hosts(struct spf *spf, const struct spf_hosts *hosts);

/* Where the client's own address would be. */
enum spf_type spf_address_type(const struct spf *spf);

/* True if there was something for it; what else it was is noted. */
bool spf_is_found(struct spf *spf, const struct spf_answer *answer);

/* A host may have no address of this kind, but it has to be there. */
void spf_note_void_host(struct spf *spf, const struct spf_answer *answer);

/* Terms for which there is nothing are few (4.6.4).  False: that was one too many, and the end. */
bool spf_count_void(struct spf *spf);

/* Is the client's address among these, BITS of it; how many does a term look at? */
bool spf_same_prefix(const struct addr *a, const struct addr *b, unsigned bits);
bool spf_has_client(const struct spf *spf, const struct spf_answer *answer,
		    unsigned bits);
unsigned spf_client_bits(const struct spf *spf, const struct spf_term *term);

/* False: it is none that DNS could be asked for, or one too many. */
bool spf_add_host(struct spf_hosts *hosts, const char *name);

/* Finds out which names the client has, once, and goes on with NEXT; the best of them (7.3). */
void spf_name_client(struct spf *spf, spf_step *next);
const char *spf_validated_name(struct spf *spf);

#endif
