#include "session_internal.h"

#include "resultheader.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/*
 * The content of a message: decoded and put at rest; session_judge.c goes on when
 * all of it is here.  When and how the server gets it is the way's: session_stream.c,
 * session_hold.c, session_chunk.c.
 */

/* ---- the beginning ------------------------------------------------------------ */

static void
on_space(void *arg)
{
	struct session *s = arg;

	s->mail->waits_for_space = false;
	session_turn(s);
}

static bool
keeps_all(const struct session *s)
{
	return s->cfg->spool_leave_on & CLASS_CLEAN;
}

static struct spool *
spool_begin(struct session *s)
{
	char head[CHECK_HEAD_SIZE];
	size_t size = check_head(s->cfg, head);
	struct spool *spool = spool_new(s->world->budget, head, size, on_space, s);

	spool_set_client(spool, &s->client_addr);
	return spool;
}

/* The header of ours that the mail shall have; NULL: none.  Its id has the time, and what
 * the log calls session and mail.  BLANK: without what no other mail has. */
static char *
make_header(const struct session *s, bool blank)
{
	const struct log_ctx *log = &s->mail->log;
	char text[HEADER_MAX], id[64];
	struct header_facts facts = {
		.name = s->cfg->nat_header,
		.client = s->client_addr,
		.ident = s->ident,
		.by = s->cfg->proxy_name,
		.id = id,
		.abuse = s->cfg->abuse,
		.blank = blank,
	};

	switch ((enum nat_header_type)s->cfg->nat_header_type) {
	case NAT_HEADER_NONE:
		return NULL;
	case NAT_HEADER_GENERIC:
		snprintf(id, sizeof(id), "%lld.%s.%u", (long long)time(NULL),
		         log->session, log->mail);
		header_generic(&facts, text);
		break;
	case NAT_HEADER_IP_ONLY:
		header_ip_only(&facts, text);
		break;
	}
	return xstrdup(text);
}

/* Of time: so much of the message has to come in it. */
static void
begin_window(struct session *s)
{
	s->window_from = conn_received(s->client);
	if (s->cfg->min_body_rate > 0)
		session_set_due(s, s->cfg->timeout_body);
	s->window_until = s->due;
}

void
session_body_resume(struct session *s)
{
	session_enter(s, SESSION_BODY);
	begin_window(s);
}

bool
session_body_is_kept(const struct session *s)
{
	return check_reads(s->cfg, s->authenticated) || keeps_all(s);
}

/* A server may take DATA without a MAIL that we saw accepted: content is content. */
void
session_body_begin(struct session *s, const struct delivery *way)
{
	if (!s->mail)
		s->mail = transaction_new(&s->log, ++s->mails, NULL);
	s->mail->way = way;
	s->mail->message = evbuffer_new();
	s->mail->header = make_header(s, false);
	s->mail->intake = resultheader_intake(s->cfg);
	if (s->mail->intake)
		s->mail->filter = retouch_filter_new(s->mail->intake);
	if (s->mail->binary)
		s->mail->decoder.newlines = BODY_BINARY;
	else if (s->cfg->bare_newline == NEWLINE_PASS)
		s->mail->decoder.newlines = BODY_PASS;
	if (session_body_is_kept(s)) {
		s->mail->spool = spool_begin(s);
		s->mail->header_blank = make_header(s, true);
	}
	session_body_resume(s);
}

/* ---- messages that are lost before their end --------------------------------------- */

void
session_doom(struct session *s, int why)
{
	struct transaction *mail = s->mail;

	mail->doom = why;
	mail->waits_for_space = false;
	if (!mail->way->keeps_server)
		session_drop_server(s);
	if (mail->gathered)
		evbuffer_drain(mail->gathered, evbuffer_get_length(mail->gathered));
	transaction_drop_spool(mail);
}

void
session_doom_by_reply(struct session *s, const struct reply *reply)
{
	struct verdict *verdict = &s->mail->verdict;

	verdict->code = reply->code; /* an enhanced code is in the text already */
	reply_first_words(reply, verdict->text, sizeof(verdict->text));
	session_doom(s, DOOM_BY_REPLY);
}

static bool
is_known(const struct transaction *mail, enum finding_kind kind)
{
	for (unsigned i = 0; i < mail->early_count; i++)
		if (mail->early[i].kind == kind)
			return true;
	return false;
}

/* What the configuration lets pass is weighed once more at the end. */
static void
doom_by(struct session *s, const struct finding *finding)
{
	struct transaction *mail = s->mail;

	if (is_known(mail, finding->kind))
		return;
	verdict_weigh(&mail->verdict, s->cfg, finding, 1);
	if (mail->verdict.act != VERDICT_DELIVER) {
		session_doom(s, DOOM_BY_VERDICT);
		return;
	}
	assert(mail->early_count < EARLY_MOST);
	mail->early[mail->early_count++] = *finding;
}

/* ---- content --------------------------------------------------------------------- */

/* What was not stored cannot be sent later, even if failing scans let mail pass. */
static void
doom_held(struct session *s)
{
	s->mail->verdict.act = VERDICT_DEFER;
	session_doom(s, DOOM_BY_VERDICT);
}

/* No room for the message: that is a scan which failed, unless failing scans let mail
 * pass, and then it passes. */
static void
on_spool_failed(struct session *s, int error)
{
	struct finding finding = { .kind = FOUND_FAILED, .check = "spool" };

	snprintf(finding.name, sizeof(finding.name), "spool: %s", strerror(error));
	doom_by(s, &finding);
	if (!s->mail->doom && s->mail->way->holds)
		doom_held(s);
	if (s->mail->verdict.act == VERDICT_DEFER) {
		s->mail->verdict.code = 452;
		s->mail->verdict.enhanced = "4.3.1";
		snprintf(s->mail->verdict.text, sizeof(s->mail->verdict.text), "%s",
		         s->cfg->msg_spool_problem);
	}
	if (s->mail->doom)
		return;
	s->mail->unchecked = true;
	transaction_drop_spool(s->mail);
}

/* Puts the decoded piece at rest.  False: it waits for room. */
static bool
store(struct session *s)
{
	struct transaction *mail = s->mail;

	if (!mail->spool || evbuffer_get_length(mail->message) == 0)
		return true;
	switch (spool_append(mail->spool, mail->message)) {
	case SPOOL_OK:
		break;
	case SPOOL_WAIT:
		mail->waits_for_space = true;
		return false;
	case SPOOL_FAILED:
		on_spool_failed(s, errno);
		break;
	}
	return true;
}

/* Those that do not pass end it. */
static void
find_faults(struct session *s)
{
	struct finding found[TRANSACTION_FAULTS];
	const struct transaction *mail = s->mail;
	size_t count = transaction_faults(s->cfg, mail->size, mail->decoder.bare,
	                                  found);

	for (size_t i = 0; i < count && !mail->doom; i++)
		doom_by(s, &found[i]);
}

/* False: no more is to be taken now. */
static bool
pass_on(struct session *s)
{
	struct transaction *mail = s->mail;

	if (!mail->doom)
		return mail->way->pass(s);
	evbuffer_drain(mail->message, evbuffer_get_length(mail->message));
	return true;
}

/* Our header, into what is not stored yet.  False: that may not be passed on yet. */
static bool
put_header(struct transaction *mail)
{
	bool is_new = mail->place.state != HEADER_PLACED;
	bool ready = header_put(&mail->place, mail->header, mail->message,
	                        mail->complete);

	if (is_new && mail->place.state == HEADER_PLACED && mail->spool)
		mail->header_at = spool_message_size(mail->spool) + mail->place.at;
	return ready;
}

/* True at the end of the message. */
static bool
decode(struct session *s, struct evbuffer *to)
{
	struct transaction *mail = s->mail;
	struct evbuffer *wire = conn_input(s->client);

	if (mail->chunks == 0)
		return body_decode(&mail->decoder, wire, to) == BODY_END;
	body_decode_chunk(&mail->decoder, wire, &mail->chunk_left, to);
	if (mail->chunk_left > 0 || !mail->last_chunk)
		return false;
	body_decode_last_chunk(&mail->decoder, to);
	return true;
}

/* Headers of others that would be taken for ours go before anybody has seen them. */
static void
take_in(struct session *s)
{
	struct transaction *mail = s->mail;
	struct evbuffer *to = mail->filter ? retouch_filter_input(mail->filter)
	                                   : mail->message;
	size_t before = evbuffer_get_length(to);

	mail->complete = decode(s, to);
	mail->size += evbuffer_get_length(to) - before;
	if (mail->filter)
		retouch_filter(mail->filter, mail->message, mail->complete);
}

/* Takes what has come.  False: of that nothing may be passed on yet.
 *
 * Our header is content from here on: it is scanned and spooled as it is sent. */
static bool
take_content(struct session *s)
{
	struct transaction *mail = s->mail;

	if (mail->complete)
		return true;
	take_in(s);
	return !mail->header || mail->doom || put_header(mail);
}

void
session_turn_body(struct session *s)
{
	struct transaction *mail = s->mail;
	bool ready, chunk_ended;

	if (s->server)
		mail->way->hear(s);
	if (mail->waits_for_space)
		return;
	ready = take_content(s);
	find_faults(s);
	if (ready && !store(s))
		return;
	if (ready && !pass_on(s))
		return;
	chunk_ended = mail->chunks > 0 && mail->chunk_left == 0;
	if (mail->complete || (chunk_ended && mail->doom)) {
		session_note(s, HAPPENED_CONTENT, NULL);
		session_body_complete(s);
	} else if (chunk_ended) {
		session_chunk_over(s);
	} else if (conn_at_eof(s->client)) {
		session_end(s, END_CLIENT_CLOSED);
	}
}

/* What gathers for the next piece waits for the client, unless one is unanswered. */
static bool
server_is_slow(const struct session *s)
{
	return s->server && (conn_backlog(s->server) > 0 ||
	                     (session_server_backlog(s) > 0 && s->owed.count > 0));
}

/* Whose fault is it that nothing moves? */
void
session_body_expired(struct session *s)
{
	if (s->mail->waits_for_space)
		session_end(s, END_SPOOL);
	else if (server_is_slow(s))
		session_end(s, END_SERVER_TIMEOUT);
	else
		session_end(s, END_CLIENT_TIMEOUT);
}

/* A window reaches over chunks, and over the time between them: else many short ones would
 * take as long as they like. */
void
session_body_next_chunk(struct session *s)
{
	int64_t left = s->window_until - session_now();

	session_enter(s, SESSION_BODY);
	if (s->window_until == 0)
		return;
	if (left <= 0)
		session_body_window_over(s);
	else
		session_set_due(s, (left + 999) / 1000);
}

/* We may have stopped reading for want of room: then no client can be blamed. */
static bool
is_dripping(const struct session *s)
{
	uint64_t least = (uint64_t)(s->cfg->min_body_rate * s->cfg->timeout_body);

	return conn_received(s->client) - s->window_from < least &&
	       !s->mail->waits_for_space && !server_is_slow(s);
}

void
session_body_window_over(struct session *s)
{
	if (is_dripping(s))
		session_end(s, END_CLIENT_SLOW);
	else
		begin_window(s);
}
