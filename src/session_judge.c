#include "session_internal.h"

#include "clock.h"
#include "resultheader.h"
#include "stats.h"

#include <assert.h>

/*
 * A message is complete, or doomed: the checks say what they found, that is weighed, and
 * what comes of it is carried out.  How it then reaches the server is the way's.
 */

static void
count_verdict(const struct finding *because)
{
	stats_add(STAT_mails, 1);
	if (!because->skipped)
		stats_add(finding_counter(because->kind), 1);
}

static void
count_way(const struct transaction *mail)
{
	stats_add(mail->way->holds ? STAT_mails_held : STAT_mails_streamed, 1);
	stats_add(STAT_mails_chunked, mail->chunks > 0);
	stats_add(STAT_mails_tagged, mail->verdict.act == VERDICT_TAG);
	stats_add(STAT_mails_untagged, mail->untagged);
}

static void
log_verdict(const struct session *s)
{
	const struct transaction *mail = s->mail;
	const struct finding *because = &mail->verdict.because;
	bool found = because->kind != FOUND_NOTHING;

	log_event(&mail->log, found ? LOG_FOUND_EVENT : LOG_VERDICT_EVENT,
	          log_text("finding",
	                   because->skipped ? "skipped" : finding_word(because->kind)),
	          log_text("name", because->name[0] ? because->name : NULL),
	          log_text("skipped",
	                   mail->verdict.skipped[0] ? mail->verdict.skipped : NULL),
	          mail->verdict.has_score ? log_real("score", mail->verdict.score)
	                                  : log_text("score", NULL),
	          log_text("action", verdict_word(mail->verdict.act)),
	          log_text("tagged", mail->untagged ? "no" : NULL),
	          log_text("delivery", mail->way->holds ? "hold" : NULL),
	          log_addr("client", &s->client_addr),
	          log_addr("server", &s->server_addr),
	          mailbox_from(s->cfg, mail->sender),
	          mailbox_to(s->cfg, transaction_recipient(mail)),
	          log_number("rcpts", mail->recipients),
	          log_number("size", (int64_t)mail->size),
	          log_text("by", found ? because->check : NULL),
	          log_real("scan_ms", (double)because->scan_us / 1000),
	          log_text("cached", because->cached ? "yes" : NULL),
	          session_chunks_field(s),
	          log_real("wait_ms", (double)(clock_us() - mail->judged_at) / 1000));
}

/* What the server was to get of it, it gets, however fast the verdict was. */
static void
refuse(struct session *s)
{
	const struct verdict *verdict = &s->mail->verdict;

	if (s->server)
		conn_flush(s->server);
	session_say_last(s, verdict->code, verdict->enhanced, verdict->text);
	if (verdict->act == VERDICT_HANG_UP) {
		session_end(s, END_FINDING);
		return;
	}
	s->mail->way->give_up(s);
}

static void
react(struct session *s)
{
	struct evidence evidence;

	if (s->mail->verdict.because.kind == FOUND_NOTHING &&
	    !(s->cfg->spool_leave_on & CLASS_CLEAN))
		return;
	evidence = session_evidence(s);
	evidence.message = s->mail->spool;
	session_react(s, &evidence, &s->mail->verdict);
}

/* Nothing read it, so nothing is said about it either. */
static bool
is_unread(const struct session *s)
{
	return s->mail->verdict.because.kind == FOUND_NOTHING &&
	       !check_reads(s->cfg, s->authenticated);
}

static void
carry_out(struct session *s)
{
	const struct verdict *verdict = &s->mail->verdict;

	if (is_unread(s)) {
		stats_add(STAT_mails, 1);
	} else {
		count_verdict(&verdict->because);
		log_verdict(s);
	}
	count_way(s->mail);
	react(s);
	if (verdict->act <= VERDICT_TAG)
		s->mail->way->release(s);
	else
		refuse(s);
}

/* What the server has not got yet can be changed. */
static void
change(struct session *s, const struct finding *found, size_t count)
{
	struct transaction *mail = s->mail;
	struct evidence evidence = session_evidence(s);
	struct resultheader_facts facts = {
		.evidence = &evidence,
		.found = found,
		.count = count,
		.verdict = &mail->verdict,
		.spf = mail->spf,
	};

	if (mail->changes && mail->verdict.act <= VERDICT_TAG)
		resultheader_add(mail->changes, s->cfg, &facts);
	if (mail->changes || mail->verdict.act != VERDICT_TAG)
		return;
	mail->verdict.act = VERDICT_DELIVER;
	mail->untagged = true;
}

/* With what was found before the end and let pass. */
static void
weigh(struct session *s, const struct finding *found, size_t count)
{
	struct transaction *mail = s->mail;
	struct finding all[CHECKS_MOST + EARLY_MOST];

	assert(count <= CHECKS_MOST);
	for (size_t i = 0; i < mail->early_count; i++)
		all[i] = mail->early[i];
	for (size_t i = 0; i < count; i++)
		all[mail->early_count + i] = found[i];
	verdict_weigh(&mail->verdict, s->cfg, all, mail->early_count + count);
	change(s, all, mail->early_count + count);
}

static void
on_judged(const struct findings *found, void *arg)
{
	struct session *s = arg;

	s->mail->round = NULL;
	weigh(s, found->at, found->count);
	carry_out(s);
	session_turn(s);
}

static void
judge(struct session *s)
{
	struct transaction *mail = s->mail;
	struct evidence evidence = session_evidence(s);
	struct findings found;

	evidence.message = mail->spool;
	evidence.header_blank = mail->header_blank;
	evidence.header_at = mail->header_at;
	if (mail->way->holds)
		mail->changes = retouch_new();
	evidence.changes = mail->changes;
	if (mail->spool)
		spool_seal(mail->spool);
	session_enter(s, SESSION_JUDGING);
	mail->round = check_start(s->world->checks, s->cfg, STAGE_MESSAGE, &evidence,
	                          &found, on_judged, s);
	if (mail->round)
		return;
	weigh(s, found.at, found.count);
	carry_out(s);
}

void
session_judging_expired(struct session *s)
{
	struct findings found;

	check_expire(s->mail->round, &found);
	s->mail->round = NULL;
	weigh(s, found.at, found.count);
	carry_out(s);
}

void
session_body_complete(struct session *s)
{
	struct transaction *mail = s->mail;

	mail->judged_at = clock_us();
	switch (mail->doom) {
	case DOOM_NONE:
		if (mail->unchecked) {
			weigh(s, NULL, 0);
			carry_out(s);
		} else {
			judge(s);
		}
		break;
	case DOOM_BY_VERDICT:
		carry_out(s);
		break;
	case DOOM_BY_REPLY:
		session_content_refused(s);
		refuse(s);
		break;
	case DOOM_BY_LOSS:
		session_end(s, END_SERVER_LOST);
		break;
	}
}

void
session_turn_judging(struct session *s)
{
	s->mail->way->hear(s);
	if (!s->mail->doom)
		return;
	check_cancel(s->mail->round);
	s->mail->round = NULL;
	session_body_complete(s);
}
