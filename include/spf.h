#ifndef SPF_H
#define SPF_H

#include "addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The Sender Policy Framework (RFC 7208): may this host send mail of this domain?
 *
 * Records in, questions out: an evaluation asks questions to DNS and is given the answers;
 * it knows no socket and no clock.  Section numbers below and in the code are the RFC's.
 *
 *	struct spf *spf = spf_new(&subject);
 *	while (!spf_result(spf)) {
 *		while (spf_ask(spf, &question))
 *			...put it to DNS, and later spf_answer(spf, question.id, &answer)
 *	}
 *	spf_free(spf);
 *
 * Records, names and addresses come from whoever owns a domain.  What they can make us
 * ask, hold and do is bounded: 4.6.4, and the constants here.
 */
enum {
	SPF_TERMS_MAX = 10,		/* that ask DNS, of all records together (4.6.4) */
	SPF_VOIDS_MAX = 2,		/* of these, for which there was nothing (4.6.4) */
	SPF_NAMES_MAX = 10,		/* hosts of an MX or a PTR (4.6.4) */
	SPF_RECORD_MAX = 16384,		/* bytes; a longer one is a permerror */
	SPF_NAME_SIZE = 254,		/* a name for DNS and its NUL (7.3) */
	SPF_LOCAL_SIZE = 256,		/* of a local part, of a HELO; the rest is cut off */
	SPF_TERM_SIZE = 128,		/* a term as it was written; the rest is cut off */
	SPF_EXPLANATION_SIZE = 512,	/* a longer one is none */
	SPF_QUESTIONS_MAX = 123,	/* follows: a record, 10 MX of 10 hosts, the client's
					 * names, an explanation */
};

/* Who is asked about.  Only spf_new() reads it. */
struct spf_subject {
	struct addr client;	/* no address: it is in no network */
	const char *helo;	/* NULL: none */
	const char *sender;	/* path of MAIL; empty or NULL: the HELO is asked about */
	const char *receiver;	/* ourselves, for %{r}; NULL: "unknown" */
	int64_t now;		/* seconds since 1970, for %{t} */
};

enum spf_verdict {		/* 2.6 */
	SPF_NONE,		/* no domain, or it has no record */
	SPF_NEUTRAL,
	SPF_PASS,
	SPF_FAIL,
	SPF_SOFTFAIL,
	SPF_TEMPERROR,		/* DNS failed: ask again later */
	SPF_PERMERROR,		/* a record is wrong */
};

/* "none", "pass" ...: the words of 9.1. */
const char *spf_word(enum spf_verdict verdict);

struct spf_result {
	enum spf_verdict verdict;
	char domain[SPF_NAME_SIZE];	/* that was asked about */
	char term[SPF_TERM_SIZE];	/* of its record, which decided; "default" if none did */
	char explanation[SPF_EXPLANATION_SIZE];	/* of a fail: what the domain has to say;
						 * printable ASCII from outside, or empty */
	const char *problem;		/* of an error, static; else "" */
};

enum spf_type {
	SPF_TXT,
	SPF_A,
	SPF_AAAA,
	SPF_MX,
	SPF_PTR,
};

struct spf_question {
	unsigned id;
	enum spf_type type;
	const char *name;	/* lives until this question is answered; any ASCII that
				 * prints, and spaces, in labels of 1 to 63; no dot behind */
};

enum spf_found {
	SPF_THERE_IS,		/* with no value at all, it is the same as no data */
	SPF_NO_NAME,
	SPF_NO_DATA,		/* the name is there, but not a record of this type */
	SPF_NO_ANSWER,		/* time is up, or the server failed */
};

struct spf_answer {
	enum spf_found found;
	size_t count;
	const struct addr *addrs;	/* of A and AAAA */
	const char *const *texts;	/* of TXT: the strings of a record joined (3.3); of MX
					 * and PTR: names, with or without the dot behind */
};

struct spf;

struct spf *spf_new(const struct spf_subject *subject);
void spf_free(struct spf *spf);		/* at any time; NULL is fine */

/* Gives a question that was not given before; false: there is none for now. */
bool spf_ask(struct spf *spf, struct spf_question *question) MUST_CHECK;

/* Answers one of them, each once, in any order.  There may be others to ask now. */
void spf_answer(struct spf *spf, unsigned id, const struct spf_answer *answer);

/* NULL: there are answers to come.  Lives as long as SPF. */
const struct spf_result *spf_result(const struct spf *spf);

#endif
