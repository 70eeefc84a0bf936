#ifndef CHECK_TALK_INTERNAL_H
#define CHECK_TALK_INTERNAL_H

#include "backend.h"
#include "check_internal.h"

/*
 * What checks have in common that ask a scanner in another process by backend.h.
 *
 * The job of such a check begins with a struct check_talk.  Its engine's functions get that
 * job; SAY is called when the answer is whole, and writes what it means into run->found.
 */
struct check_talk {
	struct check_run *run;
	struct backend_call *call;
	int64_t begin_us;
	char words[FINDING_NAME_SIZE];	/* of the answer, or of what is wrong with it; or "" */
	void (*say)(struct check_talk *talk);
};

/* What the state of such a check begins with. */
struct check_talk_state {
	struct backends *backends;	/* NULL until begun */
};

/* For their engines: the words of an answer that is none, or NULL. */
const char *check_talk_fault(void *owner);

/* For the rows of their rules. */
void *check_talk_load(const struct config *cfg, char *why, size_t why_size);
bool check_talk_begin(void *state, struct event_base *base);
void check_talk_unload(void *state);
void check_talk_cancel(struct check_run *run);

/* Asks one of SERVERS with a job of SIZE bytes, unless the message need not be looked at, as
 * the rule's family has it.  Virus scanners get the head that makes it mail to them. */
void check_talk_start(struct check_run *run,
		      const struct backend_engine *engine,
		      const struct string_list *servers, size_t size,
		      void (*say)(struct check_talk *talk));

#endif
