#include "check_clamav_internal.h"
#include "check_talk_internal.h"
#include "clamdproto.h"

#include <stdlib.h>
#include <string.h>

/*
 * clamd: libclamav in another process, asked by INSTREAM, so that it needs to read none of
 * our files.
 *
 * Each message has a connection of its own.  One that is kept (IDSESSION) would save 0.6 ms
 * of a message (measured; a scan of 10 KB takes 1 to 10), and cost a thread of clamd's, a
 * time limit of its own, and a second try for each that clamd has closed meanwhile.
 */
struct job {
	struct check_talk talk;
	enum clamdproto_answer answer;
	bool has_all; /* of the message: it may be clean */
};

/* ---- the protocol ----------------------------------------------------------------------- */

static void
begin(struct evbuffer *out, void *owner)
{
	struct job *job = owner;

	job->has_all = false;
	evbuffer_add(out, clamdproto_instream, clamdproto_instream_size);
}

static void
piece(struct evbuffer *out, const char *at, size_t size, void *owner)
{
	unsigned char front[CLAMDPROTO_CHUNK_SIZE];

	(void)owner;
	clamdproto_chunk(front, (uint32_t)size);
	evbuffer_add(out, front, sizeof(front));
	evbuffer_add(out, at, size);
}

static void
end(struct evbuffer *out, void *owner)
{
	unsigned char front[CLAMDPROTO_CHUNK_SIZE];
	struct job *job = owner;

	job->has_all = true;
	clamdproto_chunk(front, 0);
	evbuffer_add(out, front, sizeof(front));
}

/* Something is wrong with the message, or with clamd: then another one may do better. */
static enum backend_word
take_error(const struct job *job)
{
	struct finding found = { .kind = FOUND_NOTHING };

	clamav_note_words(&found, job->talk.words);
	return found.kind == FOUND_FAILED ? BACKEND_UNABLE : BACKEND_DONE;
}

/* It cannot know that of what it has not got. */
static enum backend_word
take_clean(struct job *job)
{
	if (job->has_all)
		return BACKEND_DONE;
	snprintf(job->talk.words, sizeof(job->talk.words),
	         "it answered before it had all of the message");
	return BACKEND_BABBLE;
}

static enum backend_word
answer(struct evbuffer *in, bool eof, void *owner)
{
	struct job *job = owner;

	(void)eof; /* without a NUL it is no answer */
	job->answer = clamdproto_read(in, job->talk.words, sizeof(job->talk.words));
	switch (job->answer) {
	case CLAMDPROTO_MORE:
		return BACKEND_MORE;
	case CLAMDPROTO_CLEAN:
		return take_clean(job);
	case CLAMDPROTO_FOUND:
	case CLAMDPROTO_TOO_BIG:
		return BACKEND_DONE;
	case CLAMDPROTO_ERROR:
		return take_error(job);
	case CLAMDPROTO_MALFORMED:
		return BACKEND_BABBLE;
	}
	abort(); /* no such thing: an answer */
}

static const struct backend_engine engine = {
	.name = "clamd",
	.option = "antivirus_path",
	.begin = begin,
	.piece = piece,
	.end = end,
	.answer = answer,
	.fault = check_talk_fault,
};

/* ---- the check -------------------------------------------------------------------------- */

static void
say(struct check_talk *talk)
{
	struct job *job = (struct job *)talk;
	struct finding *found = talk->run->found;

	switch (job->answer) {
	case CLAMDPROTO_CLEAN:
		return;
	case CLAMDPROTO_FOUND:
		clamav_note_virus(found, talk->words);
		return;
	case CLAMDPROTO_TOO_BIG:
		clamav_note(found, FOUND_UNSCANNABLE, "too big (StreamMaxLength)");
		return;
	case CLAMDPROTO_ERROR:
		clamav_note_words(found, talk->words);
		return;
	case CLAMDPROTO_MORE:
	case CLAMDPROTO_MALFORMED:
		break;
	}
	abort(); /* or it was no answer */
}

static bool
is_wanted(const struct config *cfg)
{
	return cfg->antivirus_type & ANTIVIRUS_CLAMD;
}

static void
start(struct check_run *run)
{
	check_talk_start(run, &engine, &run->cfg->antivirus_path, sizeof(struct job),
	                 say);
}

const struct check_rule check_clamd = {
	.name = "clamd",
	.family = FAMILY_ANTIVIRUS,
	.stages = STAGE_MESSAGE,
	.skip = AUTH_SKIP_ANTIVIRUS,
	.reads = true,
	.standby = true,
	.wanted = is_wanted,
	.load = check_talk_load,
	.begin = check_talk_begin,
	.unload = check_talk_unload,
	.start = start,
	.cancel = check_talk_cancel,
};
