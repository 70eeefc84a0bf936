#include "session_internal.h"

#include "stats.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/*
 * What checks say before something is passed on: a client before its server is called, the
 * greeting, a command.  (Messages are session_body's.)  Most answer at once; while others
 * are asked the session waits, and the command with it.
 */
struct screening {
	struct check_round *round;
	struct command command; /* points into LINE; at STAGE_CONNECT there is none */
	size_t size;            /* of LINE */
	char line[];
};

static void
screening_free(struct screening *screening)
{
	explicit_bzero(screening->line, screening->size); /* AUTH says passwords */
	free(screening);
}

enum {
	/* What a check cannot decide may have cost milliseconds of all sessions' time: whoever
	 * goes on like that is shown the door. */
	FAILURES_MOST = 3,
};

/* ---- what was found ------------------------------------------------------------- */

struct evidence
session_evidence(const struct session *s)
{
	return (struct evidence){
		.log = s->mail ? &s->mail->log : &s->log,
		.client = &s->client_addr,
		.server = &s->server_addr,
		.outgoing = &s->outgoing_addr,
		.ident = s->ident,
		.helo = s->helo,
		.sender = s->mail ? s->mail->sender : NULL,
		.recipients = s->mail ? s->mail->recipients : 0,
		.paths = s->mail ? s->mail->paths : NULL,
		.path_count = s->mail ? s->mail->path_count : 0,
		.size = s->mail ? s->mail->size : 0,
		.binary = s->mail && s->mail->binary,
		.lmtp = session_server_is_lmtp(s),
		.of_host = peer_count(s->of_host),
		.of_ident = peer_count(s->of_ident),
		.auth_offered = s->auth_offered,
		.authenticated = s->authenticated,
		.user = s->user,
	};
}

/* A client can make any number of commands: of each kind of finding a session logs and
 * causes the first alone, but all are counted. */
static bool
is_new(struct session *s, enum finding_kind kind)
{
	uint64_t bit = UINT64_C(1) << kind;
	bool is = !(s->found & bit);

	_Static_assert((int)FOUND_KINDS <= 64, "a bit for each");
	s->found |= bit;
	return is;
}

static void
log_found(const struct session *s, enum stage stage, const struct evidence *evidence,
          const struct verdict *verdict)
{
	const struct finding *because = &verdict->because;

	log_event(evidence->log, LOG_FOUND_EVENT,
	          log_text("finding", finding_word(because->kind)),
	          log_text("name", because->name[0] ? because->name : NULL),
	          log_text("action", verdict_word(verdict->act)),
	          log_text("stage", stage_word(stage)),
	          log_addr("client", &s->client_addr),
	          log_addr("server", &s->server_addr),
	          log_text("ident", s->ident[0] ? s->ident : NULL),
	          log_text("helo", s->helo), mailbox_from(s->cfg, evidence->sender),
	          mailbox_to(s->cfg, evidence->recipient));
}

static void
weigh(struct session *s, enum stage stage, const struct evidence *evidence,
      const struct findings *found, struct verdict *verdict)
{
	const struct finding *because = &verdict->because;

	verdict_weigh(verdict, s->cfg, found->at, found->count);
	if (because->kind == FOUND_NOTHING)
		return;
	stats_add(finding_counter(because->kind), 1);
	if (because->kind == FOUND_CHECK_FAILED && verdict->act != VERDICT_DELIVER &&
	    ++s->check_failures == FAILURES_MOST)
		verdict->act = VERDICT_HANG_UP;
	if (!is_new(s, because->kind))
		return;
	log_found(s, stage, evidence, verdict);
	session_react(s, evidence, verdict);
}

/* ---- before the greeting --------------------------------------------------------- */

/* The others have counters of their own. */
static bool
is_other(enum finding_kind kind)
{
	return kind != FOUND_MAX_HOST && kind != FOUND_MAX_IDENT &&
	       kind != FOUND_LOCKED;
}

static void
turn_away(struct session *s, const struct verdict *verdict)
{
	char *words = xasprintf("%s %s", s->cfg->proxy_name, verdict->text);

	stats_add(STAT_connections_refused, 1);
	stats_add(STAT_refused_other, is_other(verdict->because.kind));
	session_say(s, verdict_greeting_code(verdict), NULL, words);
	free(words);
	session_end(s, END_FINDING);
}

static void
connect_judged(struct session *s, const struct findings *found)
{
	struct evidence evidence = session_evidence(s);
	struct verdict verdict;

	weigh(s, STAGE_CONNECT, &evidence, found, &verdict);
	if (verdict.act == VERDICT_DELIVER)
		session_connect(s);
	else
		turn_away(s, &verdict);
}

static void
on_connect_judged(const struct findings *found, void *arg)
{
	struct session *s = arg;

	screening_free(s->screening);
	s->screening = NULL;
	connect_judged(s, found);
	session_turn(s);
}

void
session_screen_client(struct session *s)
{
	struct evidence evidence = session_evidence(s);
	struct check_round *round;
	struct findings found;

	session_enter(s, SESSION_SCREENING);
	round = check_start(s->world->checks, s->cfg, STAGE_CONNECT, &evidence, &found,
	                    on_connect_judged, s);
	if (!round) {
		connect_judged(s, &found);
		return;
	}
	s->screening = xcalloc(1, sizeof(*s->screening));
	s->screening->round = round;
}

/* Nobody could tell in time. */
void
session_screening_expired(struct session *s)
{
	struct findings late = { .count = 1 };

	late.at[0] = (struct finding){ .kind = FOUND_CHECK_FAILED,
		                       .check = "timeout_lookup",
		                       .name = "no answer in time" };
	session_screening_end(s);
	connect_judged(s, &late);
}

/* Whoever gives up waiting may say so. */
static bool
speaks_early(const struct session *s)
{
	char word[4];
	ev_ssize_t size = evbuffer_copyout(conn_input(s->client), word, sizeof(word));

	return size > 0 &&
	       (size < (ev_ssize_t)sizeof(word) || strncasecmp(word, "QUIT", 4) != 0);
}

/* The checks of this stage need no time: what they want to know is here. */
bool
session_screen_greeting(struct session *s)
{
	struct evidence evidence = session_evidence(s);
	struct check_round *round;
	struct findings found;
	struct verdict verdict;

	evidence.spoke_early = speaks_early(s);
	round = check_start(s->world->checks, s->cfg, STAGE_GREETING, &evidence, &found,
	                    NULL, NULL);
	assert(!round);
	weigh(s, STAGE_GREETING, &evidence, &found, &verdict);
	if (verdict.act == VERDICT_DELIVER)
		return true;
	turn_away(s, &verdict);
	return false;
}

/* ---- commands --------------------------------------------------------------------- */

static const enum stage stages[VERB_COUNT] = {
	[VERB_HELO] = STAGE_HELO, [VERB_EHLO] = STAGE_HELO, [VERB_LHLO] = STAGE_HELO,
	[VERB_AUTH] = STAGE_AUTH, [VERB_MAIL] = STAGE_MAIL, [VERB_RCPT] = STAGE_RCPT,
	[VERB_DATA] = STAGE_DATA, [VERB_BDAT] = STAGE_DATA,
};

/* Paths are cut out of the command: BOX holds them as strings. */
static struct evidence
evidence_of(const struct session *s, const struct command *command, char *box)
{
	struct evidence evidence = session_evidence(s);
	const char *path = NULL;
	size_t size;

	if (command->verb == VERB_MAIL)
		path = command_path(command->argument, "FROM", &size);
	else if (command->verb == VERB_RCPT)
		path = command_path(command->argument, "TO", &size);
	if (path) {
		memcpy(box, path, size);
		box[size] = '\0';
	}
	if (command->verb == VERB_MAIL)
		evidence.sender = path ? box : NULL;
	else if (command->verb == VERB_RCPT)
		evidence.recipient = path ? box : NULL;
	else if (verb_is_hello(command->verb))
		evidence.helo = command->argument;
	if (command->verb != VERB_AUTH)
		evidence.argument = command->argument;
	return evidence;
}

/* NULL: it was not asked. */
static const char *
spf_of(const struct findings *found)
{
	for (size_t i = 0; i < found->count; i++)
		if (found->at[i].result)
			return found->at[i].result;
	return NULL;
}

/* True if the command may go on. */
static bool
command_judged(struct session *s, const struct command *command,
               const struct evidence *evidence, const struct findings *found)
{
	struct verdict verdict;

	weigh(s, stages[command->verb], evidence, found, &verdict);
	if (command->verb == VERB_MAIL)
		s->spf = spf_of(found);
	if (verdict.act == VERDICT_DELIVER)
		return true;
	session_answer_finding(s, &verdict);
	if (command->verb == VERB_MAIL || command->verb == VERB_RCPT)
		session_log_rejected(s, command->verb,
		                     command->verb == VERB_MAIL ? evidence->sender
		                                                : evidence->recipient,
		                     verdict.code, NULL);
	else if (command->verb == VERB_BDAT)
		session_chunk_throw(s, command);
	return false;
}

static void
on_command_judged(const struct findings *found, void *arg)
{
	struct session *s = arg;
	struct screening *screening = s->screening;
	struct command *command = &screening->command;
	struct evidence evidence = evidence_of(s, command,
	                                       screening->line + command->size + 1);

	s->screening = NULL;
	if (command_judged(s, command, &evidence, found))
		session_pass_command(s, command);
	screening_free(screening);
	session_turn(s);
}

/* The line as its own, with room for a path behind it. */
static struct screening *
screening_of(const struct command *command)
{
	size_t size = 2 * (command->size + 1);
	struct screening *screening = xmalloc(sizeof(*screening) + size);

	screening->size = size;
	memcpy(screening->line, command->line, command->size + 1);
	screening->command = *command;
	screening->command.line = screening->line;
	screening->command.argument = screening->line +
	                              (command->argument - command->line);
	return screening;
}

bool
session_screen_command(struct session *s, const struct command *command)
{
	enum stage stage = stages[command->verb];
	struct screening *screening;
	struct evidence evidence;
	struct findings found;
	bool goes_on;

	if (stage == 0 || !(check_stages(s->cfg) & stage))
		return true;
	if (command->verb == VERB_BDAT && session_between_chunks(s))
		return true;
	screening = screening_of(command);
	evidence = evidence_of(s, &screening->command,
	                       screening->line + command->size + 1);
	screening->round = check_start(s->world->checks, s->cfg, stage, &evidence,
	                               &found, on_command_judged, s);
	if (screening->round) {
		s->screening = screening;
		return false;
	}
	goes_on = command_judged(s, command, &evidence, &found);
	screening_free(screening);
	return goes_on;
}

/* ---- the end ------------------------------------------------------------------------ */

void
session_screening_end(struct session *s)
{
	if (!s->screening)
		return;
	check_cancel(s->screening->round);
	screening_free(s->screening);
	s->screening = NULL;
}

void
session_note(struct session *s, enum happening what, const char *path)
{
	struct evidence evidence = session_evidence(s);

	if (what == HAPPENED_MAIL_ACCEPTED || what == HAPPENED_MAIL_REJECTED)
		evidence.sender = path;
	if (what == HAPPENED_RCPT_ACCEPTED || what == HAPPENED_RCPT_REJECTED)
		evidence.recipient = path;
	check_note(s->world->checks, s->cfg, what, &evidence);
}
