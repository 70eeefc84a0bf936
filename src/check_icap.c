#include "check_clamav_internal.h"
#include "check_talk_internal.h"
#include "clock.h"
#include "icap.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * ICAP: the message is shown as the content of an answer of HTTP, and what comes back is
 * the same, or it is not wanted.
 *
 * 204 means that nothing is to be changed.  An answer that has content is clean if that is
 * the message itself, byte by byte; anything else would be sent in its place, and we send
 * nothing but what the client has sent.
 */
enum {
	PREVIEW_MOST = 65536,
	TTL_USUAL_S = 3600, /* of options that do not say */
	TTL_LEAST_S = 10,   /* they must last until we have connected again */
	TTL_MOST_S = 86400,
	SERVICES = 16, /* that are remembered; others are asked each time */
};

/* What a service has said of itself. */
struct service {
	char *url; /* owned; NULL: there is none */
	int64_t until_us;
	int64_t preview; /* -1: it wants none */
	unsigned most;   /* connections at the same time; 0: it does not say */
	char tag[ICAP_TAG_SIZE];
};

struct state {
	struct check_talk_state talk;
	struct service services[SERVICES];
};

struct job {
	struct check_talk talk;
	struct icap_reader reader;
	enum {
		ASKED_OPTIONS,
		SENT_PREVIEW, /* or is about to: more may be asked for */
		SENT_ALL,
	} at;
	bool with_options; /* asked for on this connection, before the message */
	bool differs;      /* what came back */
	uint64_t size, preview, sent, same;
};

/* ---- what services have said ------------------------------------------------------------ */

static struct service *
service_named(struct state *state, const char *url)
{
	for (size_t i = 0; i < SERVICES; i++)
		if (state->services[i].url && strcmp(state->services[i].url, url) == 0)
			return &state->services[i];
	return NULL;
}

static void
service_forget(struct state *state, const char *url)
{
	struct service *service = service_named(state, url);

	if (!service)
		return;
	free(service->url);
	*service = (struct service){ 0 };
}

/* NULL: nothing, or too long ago. */
static const struct service *
service_find(struct state *state, const char *url)
{
	const struct service *service = service_named(state, url);

	return service && service->until_us > clock_us() ? service : NULL;
}

/* One that is free, or what will be forgotten first. */
static struct service *
service_room(struct state *state)
{
	struct service *room = &state->services[0];

	for (size_t i = 1; i < SERVICES; i++)
		if (state->services[i].until_us < room->until_us)
			room = &state->services[i];
	return room;
}

static int64_t
lasts_us(const struct icap_answer *answer)
{
	int64_t ttl_s = answer->ttl_s < 0 ? TTL_USUAL_S : answer->ttl_s;

	if (ttl_s < TTL_LEAST_S)
		ttl_s = TTL_LEAST_S;
	return (ttl_s < TTL_MOST_S ? ttl_s : TTL_MOST_S) * 1000000;
}

static void
service_learn(struct state *state, const char *url, const struct icap_answer *answer)
{
	struct service *service;

	service_forget(state, url);
	service = service_room(state);
	free(service->url);
	*service = (struct service){
		.url = xstrdup(url),
		.until_us = clock_us() + lasts_us(answer),
		.preview = answer->preview,
		.most = answer->connections > 0 && answer->connections < UINT_MAX
		                ? (unsigned)answer->connections
		                : 0,
	};
	memcpy(service->tag, answer->tag, sizeof(service->tag));
}

/* ---- requests --------------------------------------------------------------------------- */

static struct state *
state_of(const struct job *job)
{
	return job->talk.run->state;
}

static const char *
url_of(const struct job *job)
{
	return backend_server(job->talk.call);
}

static void
put_message(struct job *job, struct evbuffer *out, int64_t preview)
{
	struct icap_request request = { .url = url_of(job), .size = job->size };

	request.has_preview = preview >= 0;
	if (request.has_preview)
		request.preview = (uint64_t)preview < job->size ? (uint64_t)preview
		                                                : job->size;
	if (request.preview > PREVIEW_MOST)
		request.preview = PREVIEW_MOST;
	icap_put_respmod(out, &request);
	job->preview = request.preview;
	job->at = request.has_preview ? SENT_PREVIEW : SENT_ALL;
	backend_limit(job->talk.call,
	              request.has_preview ? request.preview : UINT64_MAX);
	if (request.has_preview && request.preview == 0)
		icap_put_stop(out, ICAP_STOP_PREVIEW);
}

static void
begin(struct evbuffer *out, void *owner)
{
	struct job *job = owner;
	const struct service *service = service_find(state_of(job), url_of(job));

	job->reader = (struct icap_reader){ 0 };
	job->size = spool_size(job->talk.run->evidence->message);
	job->sent = job->same = 0;
	job->differs = false;
	job->with_options = !service;
	if (service) {
		backend_most(job->talk.call, service->most);
		put_message(job, out, service->preview);
		return;
	}
	job->at = ASKED_OPTIONS;
	icap_put_options(out, url_of(job));
	backend_limit(job->talk.call, 0);
}

static void
piece(struct evbuffer *out, const char *at, size_t size, void *owner)
{
	struct job *job = owner;

	icap_put_chunk(out, at, size);
	job->sent += size;
	if (job->at == SENT_PREVIEW && job->sent == job->preview &&
	    job->preview < job->size)
		icap_put_stop(out, ICAP_STOP_PREVIEW);
}

static void
end(struct evbuffer *out, void *owner)
{
	struct job *job = owner;

	icap_put_stop(out, job->at == SENT_PREVIEW ? ICAP_STOP_SHORT : ICAP_STOP_ALL);
	job->at = SENT_ALL;
}

/* ---- answers ---------------------------------------------------------------------------- */

/* Compares with the message itself, of which the spool's head is a part here. */
static void
compare(const char *at, size_t size, void *arg)
{
	struct job *job = arg;
	const struct spool *message = job->talk.run->evidence->message;
	char own[4096];

	while (size > 0 && !job->differs) {
		size_t part = size < sizeof(own) ? size : sizeof(own);

		if (spool_read(message, own, part, job->same) != (ssize_t)part ||
		    memcmp(own, at, part) != 0)
			job->differs = true;
		job->same += part;
		at += part;
		size -= part;
	}
}

static enum backend_word
take_options(struct job *job)
{
	const struct icap_answer *answer = &job->reader.answer;
	bool is_last = answer->is_last;

	if (answer->code != 200) {
		snprintf(job->talk.words, sizeof(job->talk.words),
		         "answers %d to OPTIONS%s", answer->code,
		         answer->code == 404 ? ": is that service there?" : "");
		return BACKEND_UNABLE;
	}
	if (!answer->offers_respmod) {
		snprintf(job->talk.words, sizeof(job->talk.words),
		         "does not offer RESPMOD");
		return BACKEND_UNABLE;
	}
	service_learn(state_of(job), url_of(job), answer);
	if (is_last)
		return BACKEND_AGAIN;
	backend_dismiss(job->talk.call);
	put_message(job, backend_output(job->talk.call), answer->preview);
	job->reader = (struct icap_reader){ 0 };
	return BACKEND_MORE;
}

/* It wants the rest. */
static enum backend_word
go_on(struct job *job)
{
	if (job->at != SENT_PREVIEW || job->sent < job->preview) {
		snprintf(job->talk.words, sizeof(job->talk.words),
		         "asks for what it has");
		return BACKEND_BABBLE;
	}
	job->at = SENT_ALL;
	job->with_options = false; /* it does not close for these */
	backend_dismiss(job->talk.call);
	backend_limit(job->talk.call, UINT64_MAX);
	return BACKEND_MORE;
}

/* Another tag: what it has said of itself counts no more (RFC 3507 4.7). */
static void
look_at_tag(struct job *job)
{
	const struct service *service = service_find(state_of(job), url_of(job));
	const char *tag = job->reader.answer.tag;

	if (service && tag[0] && strcmp(tag, service->tag) != 0)
		service_forget(state_of(job), url_of(job));
}

static enum backend_word
take_verdict(struct job *job)
{
	const struct icap_answer *answer = &job->reader.answer;

	look_at_tag(job);
	if (answer->threat != ICAP_NO_THREAT || answer->code == 204 ||
	    answer->code == 413)
		return BACKEND_DONE;
	if ((answer->code == 200 || answer->code == 201) && answer->http_code > 0 &&
	    answer->http_code < 500)
		return BACKEND_DONE;
	service_forget(state_of(job), url_of(job));
	snprintf(job->talk.words, sizeof(job->talk.words), "answers %d%s", answer->code,
	         answer->http_code > 0 ? ", and what it shows is an error" : "");
	return BACKEND_UNABLE;
}

/* True if all that matters has been read: it need not be told to the end. */
static bool
is_decided(const struct job *job)
{
	return job->at != ASKED_OPTIONS && job->reader.is_known &&
	       (job->differs || job->reader.answer.http_code != 200 ||
	        job->reader.answer.threat != ICAP_NO_THREAT);
}

/* There is no more to come.  Some close behind their options without having said so. */
static enum backend_word
take_end(struct job *job)
{
	if (job->at == ASKED_OPTIONS) {
		snprintf(job->talk.words, sizeof(job->talk.words),
		         "has hung up while it told its options");
		return BACKEND_UNABLE;
	}
	return job->with_options && job->reader.at == ICAP_AT_STATUS ? BACKEND_AGAIN
	                                                             : BACKEND_MORE;
}

static enum backend_word
take_nonsense(struct job *job)
{
	service_forget(state_of(job), url_of(job));
	snprintf(job->talk.words, sizeof(job->talk.words), "does not speak ICAP");
	return job->at == ASKED_OPTIONS ? BACKEND_UNABLE : BACKEND_BABBLE;
}

static enum backend_word
answer(struct evbuffer *in, bool eof, void *owner)
{
	struct job *job = owner;

	switch (icap_read(&job->reader, in, compare, job)) {
	case ICAP_MORE:
		break;
	case ICAP_CONTINUE:
		return go_on(job);
	case ICAP_WHOLE:
		return job->at == ASKED_OPTIONS ? take_options(job) : take_verdict(job);
	case ICAP_MALFORMED:
		return take_nonsense(job);
	}
	if (is_decided(job))
		return take_verdict(job);
	return eof ? take_end(job) : BACKEND_MORE;
}

static const struct backend_engine engine = {
	.name = "icap",
	.option = "icap_url",
	.port = ICAP_PORT,
	.begin = begin,
	.piece = piece,
	.end = end,
	.answer = answer,
	.fault = check_talk_fault,
};

/* ---- the check -------------------------------------------------------------------------- */

static void
say_threat(struct finding *found, const struct icap_answer *answer)
{
	const char *name = answer->name[0] ? answer->name : "without a name";

	switch (answer->threat) {
	case ICAP_VIRUS:
	case ICAP_POLICY:
		clamav_note_virus(found, name);
		return;
	case ICAP_CONTAINER:
		clamav_note(found, FOUND_UNSCANNABLE, name);
		return;
	case ICAP_NO_THREAT:
		break;
	}
	abort(); /* whoever calls has seen one */
}

static void
say(struct check_talk *talk)
{
	const struct job *job = (struct job *)talk;
	const struct icap_answer *answer = &job->reader.answer;
	struct finding *found = talk->run->found;
	char name[FINDING_NAME_SIZE];

	if (answer->threat != ICAP_NO_THREAT) {
		say_threat(found, answer);
	} else if (answer->code == 413) {
		clamav_note(found, FOUND_UNSCANNABLE, "too big (ICAP)");
	} else if (answer->code != 204 && answer->http_code != 200) {
		snprintf(name, sizeof(name), "blocked by ICAP (HTTP %d)",
		         answer->http_code);
		clamav_note(found, FOUND_VIRUS, name);
	} else if (answer->code != 204 && (job->differs || job->same != job->size)) {
		clamav_note(found, FOUND_VIRUS, "replaced by ICAP");
	}
}

static bool
is_wanted(const struct config *cfg)
{
	return cfg->antivirus_type & ANTIVIRUS_ICAP;
}

static void *
load(const struct config *cfg, char *why, size_t why_size)
{
	(void)cfg, (void)why, (void)why_size;
	return xcalloc(1, sizeof(struct state));
}

static void
unload(void *arg)
{
	struct state *state = arg;

	for (size_t i = 0; i < SERVICES; i++)
		free(state->services[i].url);
	check_talk_unload(state);
}

static void
start(struct check_run *run)
{
	check_talk_start(run, &engine, &run->cfg->icap_url, sizeof(struct job), say);
}

const struct check_rule check_icap = {
	.name = "icap",
	.family = FAMILY_ANTIVIRUS,
	.stages = STAGE_MESSAGE,
	.skip = AUTH_SKIP_ANTIVIRUS,
	.reads = true,
	.standby = true,
	.wanted = is_wanted,
	.load = load,
	.begin = check_talk_begin,
	.unload = unload,
	.start = start,
	.cancel = check_talk_cancel,
};
