#include "check_spam_internal.h"
#include "check_talk_internal.h"
#include "spamc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * SpamAssassin, by its daemon.  It says how many points a message has; how many are too
 * many is ours to say (spam_threshold), for all its users alike.
 */
struct job {
	struct check_talk talk;
	struct spamc_answer answer;
	bool has_all; /* of the message: it may answer */
};

/* ---- the conversation ------------------------------------------------------------ */

/* spamd takes the length 0 for none that is known, and waits for the end of the connection:
 * an empty message is an empty line to it. */
static const char empty_line[] = "\r\n";

static bool
is_empty(const struct job *job)
{
	return spool_message_size(job->talk.run->evidence->message) == 0;
}

static void
begin(struct evbuffer *out, void *owner)
{
	struct job *job = owner;
	uint64_t size = spool_message_size(job->talk.run->evidence->message);
	char request[SPAMC_REQUEST_SIZE];

	job->has_all = false;
	job->talk.words[0] = '\0';
	if (is_empty(job))
		size = strlen(empty_line);
	evbuffer_add(out, request, spamc_request(request, size));
}

static void
send_piece(struct evbuffer *out, const char *at, size_t size, void *owner)
{
	(void)owner;
	evbuffer_add(out, at, size);
}

static void
end(struct evbuffer *out, void *owner)
{
	struct job *job = owner;

	if (is_empty(job))
		evbuffer_add(out, empty_line, strlen(empty_line));
	job->has_all = true;
}

/* Points for what it has not read are none. */
static enum backend_word
hear_whole(struct job *job)
{
	const struct spamc_answer *answer = &job->answer;

	if (answer->code != 0) {
		snprintf(job->talk.words, sizeof(job->talk.words),
		         "it refuses it: %d %.80s", answer->code, answer->words);
		return BACKEND_UNABLE;
	}
	if (job->has_all)
		return BACKEND_DONE;
	strcpy(job->talk.words, "it answered before it had all of the message");
	return BACKEND_BABBLE;
}

/* If it hangs up without a word, the call knows what to say. */
static enum backend_word
hear(struct evbuffer *in, bool eof, void *owner)
{
	struct job *job = owner;
	size_t size = evbuffer_get_length(in);

	if (size == 0)
		return BACKEND_MORE;
	switch (spamc_read((const char *)evbuffer_pullup(in, -1), size, eof,
	                   &job->answer)) {
	case SPAMC_MORE:
		return BACKEND_MORE;
	case SPAMC_WHOLE:
		return hear_whole(job);
	case SPAMC_MALFORMED:
		return BACKEND_BABBLE;
	}
	abort(); /* no such thing: a step */
}

static const struct backend_engine engine = {
	.name = "spamassassin",
	.option = "antispam_path",
	.begin = begin,
	.piece = send_piece,
	.end = end,
	.answer = hear,
	.fault = check_talk_fault,
};

/* ---- the finding ----------------------------------------------------------------- */

/* Both have three decimals at most, so they are compared as such. */
static bool
is_spam(const struct config *cfg, const struct spamc_answer *answer)
{
	return llround(answer->score * 1000) >= cfg->spam_threshold;
}

static void
say(struct check_talk *talk)
{
	const struct spamc_answer *answer = &((struct job *)talk)->answer;
	const struct config *cfg = talk->run->cfg;

	check_spam_scored(talk->run, is_spam(cfg, answer) ? FOUND_SPAM : FOUND_NOTHING,
	                  answer->score, answer->rules);
}

static bool
is_wanted(const struct config *cfg)
{
	return cfg->antispam_type & ANTISPAM_SPAMASSASSIN;
}

static void
start(struct check_run *run)
{
	check_talk_start(run, &engine, &run->cfg->antispam_path, sizeof(struct job),
	                 say);
}

const struct check_rule check_spamd = {
	.name = "spamassassin",
	.family = FAMILY_ANTISPAM,
	.stages = STAGE_MESSAGE,
	.skip = AUTH_SKIP_ANTISPAM,
	.reads = true,
	.standby = true,
	.wanted = is_wanted,
	.load = check_talk_load,
	.begin = check_talk_begin,
	.unload = check_talk_unload,
	.start = start,
	.cancel = check_talk_cancel,
};
