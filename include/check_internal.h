#ifndef CHECK_INTERNAL_H
#define CHECK_INTERNAL_H

#include "check.h"

/*
 * What a check is, for those who write one: a row in the table of check_rules.c.
 *
 * start() looks, or begins to: it may answer at once (a regex, a list of addresses) or
 * later from the loop (a scanner in a thread, a question to DNS).  Each run is answered
 * once, unless it is cancelled first.
 */
struct check_run { /* one check in one round */
	const struct check_rule *rule;
	void (*start)(struct check_run *run); /* the rule's, if it was loaded */
	void *state;                          /* what load() gave */
	struct resolver *resolver;            /* to ask DNS */
	const struct config *cfg; /* these live until the answer, or cancel() */
	enum stage stage;
	const struct evidence *evidence;
	void *job;             /* the check's own, for cancel() */
	struct finding *found; /* FOUND_NOTHING by this check, until it says more */
	struct check_round *round;
	bool answered; /* or need not answer any more: */
	bool ended;    /* before it could, or asked at all: it has not looked */
};

struct check_rule {
	const char *name;
	enum check_family family; /* what of them fails, and what that is called */
	unsigned stages;
	unsigned skip; /* enum auth_skip: not for authenticated clients, if it is wanted */
	bool reads;    /* the message itself, which must be spooled for it */
	bool standby;  /* loaded even if it is not wanted: a reload may want it */
	bool (*wanted)(const struct config *cfg);

	/* Once in the process; each may be NULL if nothing is to be done.  load() returns
	 * NULL with WHY; ready() false with WHY; begin() false with errno. */
	void *(*load)(const struct config *cfg, char *why, size_t why_size);
	bool (*ready)(void *state, char *why, size_t why_size);
	bool (*begin)(void *state, struct event_base *base);
	void (*reconfigure)(void *state, const struct config *cfg);
	void (*unload)(void *state);

	void (*start)(struct check_run *run);
	/* Only for a run that has not been answered; RUN is gone afterwards.  NULL: it
	 * always answers at once. */
	void (*cancel)(struct check_run *run);
	/* Another process will serve: what that has to know is written when this returns;
	 * and, in the other, is read.  NULL: nothing is to be known. */
	void (*hand_over)(void *state);
	void (*take_over)(void *state);
	/* What it knows may be shared with other gateways.  NULL: nothing of it. */
	void (*share)(void *state, struct statestore *store);
	/* NULL: it does not count what happens. */
	void (*note)(void *state, const struct config *cfg, enum happening what,
		     const struct evidence *evidence);
};

/* All of them, in the order in which they begin; at most CHECKS_MOST. */
extern const struct check_rule *const check_rules[];
extern const size_t check_rule_count;

/* Says that RUN->found stands.  In the loop's thread. */
void check_answer(struct check_run *run);

/* The load average over a minute, not more than a second old. */
double check_load(void);

/* For virus scanners: true if the message is beyond scan_max_size, and this is answered. */
bool check_is_too_big(struct check_run *run) MUST_CHECK;

extern const struct check_rule check_limit_host, check_limit_ident, check_limit_load,
	check_limit_size;
extern const struct check_rule check_early;
extern const struct check_rule check_regex;
extern const struct check_rule check_auth;
extern const struct check_rule check_dnsbl;
extern const struct check_rule check_spf;
extern const struct check_rule check_rate;
extern const struct check_rule check_clamav;
extern const struct check_rule check_clamd;
extern const struct check_rule check_icap;
extern const struct check_rule check_spamd, check_rspamd;
extern const struct check_rule check_lock;

#endif
