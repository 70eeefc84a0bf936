#ifndef CHECK_DNSBL_INTERNAL_H
#define CHECK_DNSBL_INTERNAL_H

#include "check_internal.h"

#include "backoff.h"
#include "dnsbl.h"

#include <event2/event_struct.h>
#include <sys/queue.h>

/*
 * For check_dnsbl*.c alone:
 *
 *   check_dnsbl.c          one client: lists are asked, and answer, or do not
 *   check_dnsbl_verdict.c  what they say, taken together
 *   check_dnsbl_lists.c    lists that do not answer, and are left alone for a while
 */
enum {
	DNSBL_WAIT_MS = 5000,	/* for all lists together, at most */
};

enum dnsbl_answer {
	DNSBL_ASKED,
	DNSBL_TELLS_NOTHING,
	DNSBL_TELLS_LISTED,
	DNSBL_FAILED,
};

/* One of the options' entries. */
struct dnsbl_entry {
	struct dnsbl_job *job;
	struct dnsbl_zone zone;
	bool is_white;
	enum dnsbl_answer answer;
	struct resolver_question
		*question; /* NULL: it is answered, or another asks it */
	bool is_known;     /* to the resolver: the answer says nothing of the list */
	bool is_trial;     /* the list was left alone before */
};

/* One client, under way. */
struct dnsbl_job {
	TAILQ_ENTRY(dnsbl_job) link;
	struct check_run *run;
	struct event late;
	struct event turn;                /* goes on when the loop turns */
	struct resolver_question *reason; /* NULL: it is not asked for */
	char words[FINDING_NAME_SIZE];    /* the reason */
	bool is_late;
	bool is_alone; /* a list was not asked, or not waited for, as it is left alone */
	size_t count;
	struct dnsbl_entry entries[2 * DNSBL_ZONES_MAX];
};

/* Any of the white or of the black ones that answers so. */
bool dnsbl_some(const struct dnsbl_job *job, bool is_white, enum dnsbl_answer answer);

/* Entries of one list are asked once. */
bool dnsbl_same_list(const struct dnsbl_entry *a, const struct dnsbl_entry *b);

/* What it comes to by now. */
enum finding_kind dnsbl_kind(const struct dnsbl_job *job);

/* Of those that have the client, the first of which none weighs more; there must be one. */
const struct dnsbl_entry *dnsbl_gravest(const struct dnsbl_job *job);

/* To the log, and in the name of the finding. */
void dnsbl_tell(const struct dnsbl_job *job, enum finding_kind kind);

/* What we know of lists that have failed; one for the process, whatever the snapshot. */
struct dnsbl_lists;

struct dnsbl_lists *dnsbl_lists_new(void);
void dnsbl_lists_free(struct dnsbl_lists *lists);	/* NULL is fine */

/* Forgets those that no snapshot of CFG's file asks. */
void dnsbl_lists_keep(struct dnsbl_lists *lists, const struct config *cfg);

/* May the list NAME be asked now?  Whoever does tells with one of the next three. */
enum backoff_turn dnsbl_lists_turn(struct dnsbl_lists *lists, const char *name);

void dnsbl_lists_answered(struct dnsbl_lists *lists, const char *name);
void dnsbl_lists_left(struct dnsbl_lists *lists, const char *name, bool tried);

/* WHY, and OPTION that has the list, are for the log.  True: it is left alone now. */
bool dnsbl_lists_failed(struct dnsbl_lists *lists, const char *name, bool tried,
			const char *option, const char *why);

bool dnsbl_lists_rests(const struct dnsbl_lists *lists, const char *name);

#endif
