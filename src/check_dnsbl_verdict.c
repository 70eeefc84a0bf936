#include "check_dnsbl_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/*
 * What lists say of a client, taken together; and how that is told.
 */
enum {
	NAMES_SIZE = 1024, /* of lists, for the log */
};

/* ---- what they say together ----------------------------------------------------------- */

bool
dnsbl_some(const struct dnsbl_job *job, bool is_white, enum dnsbl_answer answer)
{
	for (size_t i = 0; i < job->count; i++)
		if (job->entries[i].is_white == is_white &&
		    job->entries[i].answer == answer)
			return true;
	return false;
}

static int64_t
score_of(const struct dnsbl_job *job)
{
	int64_t score = 0;

	for (size_t i = 0; i < job->count; i++)
		if (!job->entries[i].is_white &&
		    job->entries[i].answer == DNSBL_TELLS_LISTED)
			score += job->entries[i].zone.weight;
	return score;
}

/* Who is listed by enough while nobody can tell whether a white list spares it has not been
 * decided on, nor has who might be listed by more. */
enum finding_kind
dnsbl_kind(const struct dnsbl_job *job)
{
	bool is_listed = score_of(job) >= job->run->cfg->dnsbl_threshold;

	if (dnsbl_some(job, true, DNSBL_TELLS_LISTED))
		return FOUND_NOTHING;
	if (is_listed)
		return dnsbl_some(job, true, DNSBL_FAILED) ? FOUND_DNSBL_FAILED
		                                           : FOUND_DNSBL;
	return dnsbl_some(job, false, DNSBL_FAILED) ? FOUND_DNSBL_FAILED
	                                            : FOUND_NOTHING;
}

const struct dnsbl_entry *
dnsbl_gravest(const struct dnsbl_job *job)
{
	const struct dnsbl_entry *found = NULL;

	for (size_t i = 0; i < job->count; i++)
		if (job->entries[i].answer == DNSBL_TELLS_LISTED &&
		    !job->entries[i].is_white &&
		    (!found || job->entries[i].zone.weight > found->zone.weight))
			found = &job->entries[i];
	assert(found); /* or the score would be 0 */
	return found;
}

static const struct dnsbl_entry *
any_failed(const struct dnsbl_job *job)
{
	for (size_t i = 0; i < job->count; i++)
		if (job->entries[i].answer == DNSBL_FAILED)
			return &job->entries[i];
	abort(); /* or there was no such finding */
}

/* ---- what came out ------------------------------------------------------------------- */

bool
dnsbl_same_list(const struct dnsbl_entry *a, const struct dnsbl_entry *b)
{
	return strcasecmp(a->zone.name, b->zone.name) == 0;
}

/* "a.example,b.example"; one that has entries in a row is named once. */
static const char *
names_of(const struct dnsbl_job *job, bool is_white, enum dnsbl_answer answer,
         char names[static NAMES_SIZE])
{
	size_t size = 0;

	for (size_t i = 0; i < job->count; i++) {
		const struct dnsbl_entry *entry = &job->entries[i];

		if (entry->is_white != is_white || entry->answer != answer ||
		    (i > 0 && dnsbl_same_list(entry - 1, entry) &&
		     entry[-1].is_white == is_white && entry[-1].answer == answer) ||
		    size + strlen(entry->zone.name) + 2 > NAMES_SIZE)
			continue;
		size += (size_t)sprintf(names + size, "%s%s", size ? "," : "",
		                        entry->zone.name);
	}
	return size ? names : NULL;
}

static void
log_result(const struct dnsbl_job *job, enum finding_kind kind)
{
	const struct evidence *evidence = job->run->evidence;
	bool is_spared = dnsbl_some(job, true, DNSBL_TELLS_LISTED);
	char black[NAMES_SIZE], white[NAMES_SIZE], failed[NAMES_SIZE];
	char no_white[NAMES_SIZE];
	const char *listed_by = names_of(job, false, DNSBL_TELLS_LISTED, black);
	const char *spared_by = names_of(job, true, DNSBL_TELLS_LISTED, white);
	const char *unknown = names_of(job, false, DNSBL_FAILED, failed);
	const char *no_sparing = names_of(job, true, DNSBL_FAILED, no_white);

	if (!listed_by && !spared_by && !unknown && !no_sparing)
		return; /* nobody knows it: so it is with most */
	log_event(evidence->log, LOG_DNSBL_EVENT,
	          log_text("result", is_spared ? "spared" : finding_word(kind)),
	          log_addr("client", evidence->client),
	          log_number("score", score_of(job)), log_text("lists", listed_by),
	          log_text("white", spared_by), log_text("failed", unknown),
	          log_text("white-failed", no_sparing),
	          log_text("why", job->is_late    ? "too-slow"
	                          : job->is_alone ? "left-alone"
	                                          : NULL),
	          log_text("reason", job->words[0] ? job->words : NULL));
}

/* "list: its reason"; of a long name its end, which tells most. */
static void
name_finding(const struct dnsbl_job *job, enum finding_kind kind)
{
	enum { ZONE_MOST = FINDING_NAME_SIZE / 2 };
	struct finding *found = job->run->found;
	const struct dnsbl_entry *entry = kind == FOUND_DNSBL ? dnsbl_gravest(job)
	                                                      : any_failed(job);
	const char *name = entry->zone.name;
	size_t size = strlen(name);
	size_t skipped = size > ZONE_MOST ? size - ZONE_MOST : 0;
	const char *words = kind == FOUND_DNSBL ? job->words : "no answer";

	size = (size_t)snprintf(found->name, sizeof(found->name), "%s%s%s",
	                        skipped ? "..." : "", name + skipped,
	                        *words ? ": " : "");
	snprintf(found->name + size, sizeof(found->name) - size, "%.*s",
	         (int)(sizeof(found->name) - size - 1), words);
}

void
dnsbl_tell(const struct dnsbl_job *job, enum finding_kind kind)
{
	log_result(job, kind);
	if (kind != FOUND_NOTHING)
		name_finding(job, kind);
}
