#include "verdict.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum told {
	PLAIN,
	NAMED, /* the finding's name follows the text */
};

struct reply_code {
	int code;
	const char *enhanced;
};

static const struct rule {
	const char *word;
	const char *option; /* says what it leads to */
	size_t action;      /* which one that is of struct config */
	enum finding_class class;
	size_t text; /* which option */
	enum told told;
	enum counter counter;
	const char *script;
	struct reply_code refuse, defer;
} rules[] = {
#define FINDING(id, word, option, class, text, told, counter, script, code5, \
                enhanced5, code4, enhanced4) \
	[FOUND_##id] = { word, \
		         #option, \
		         offsetof(struct config, option), \
		         CLASS_##class, \
		         offsetof(struct config, text), \
		         told, \
		         STAT_##counter, \
		         script, \
		         { code5, enhanced5 }, \
		         { code4, enhanced4 } },
#include "findings.def"
	[FOUND_NOTHING] = { .word = "clean",
	                    .class = CLASS_CLEAN,
	                    .counter = STAT_mails_clean,
	                    .script = "" },
};

const char *
finding_word(enum finding_kind kind)
{
	return rules[kind].word;
}

enum finding_class
finding_class(enum finding_kind kind)
{
	return rules[kind].class;
}

enum counter
finding_counter(enum finding_kind kind)
{
	return rules[kind].counter;
}

const char *
finding_script_word(enum finding_kind kind)
{
	return rules[kind].script;
}

int
finding_gravity(enum finding_kind kind)
{
	return (int)kind;
}

const char *
verdict_word(enum verdict_act act)
{
	switch (act) {
	case VERDICT_DELIVER:
		return "deliver";
	case VERDICT_TAG:
		return "tag";
	case VERDICT_DEFER:
		return "defer";
	case VERDICT_REFUSE:
		return "refuse";
	case VERDICT_HANG_UP:
		return "hang-up";
	}
	abort(); /* no such thing: a verdict */
}

static bool
is_scanners_failure(enum finding_kind kind)
{
	return kind == FOUND_FAILED || kind == FOUND_ENGINE_FAILED ||
	       kind == FOUND_SPAM_FAILED;
}

/* The spelling of 1.4 for scanners that fail wins over ours. */
static bool
is_ignored(const struct config *cfg, enum finding_kind kind)
{
	return is_scanners_failure(kind) && cfg->ignore_errors;
}

/* What the configuration says of a finding. */
static enum finding_action
action_for(const struct config *cfg, enum finding_kind kind)
{
	if (kind == FOUND_NOTHING || is_ignored(cfg, kind))
		return ACTION_PASS;
	return (enum finding_action) *
	       (const int *)((const char *)cfg + rules[kind].action);
}

/* What is let pass weighs less than what is tagged, and that less than what is not
 * delivered, whatever it is. */
static int
weight(const struct config *cfg, enum finding_kind kind)
{
	enum finding_action action = action_for(cfg, kind);
	int stops = action > ACTION_TAG ? 2 : action == ACTION_TAG;

	return finding_gravity(kind) + stops * FOUND_KINDS;
}

static const char *
text_for(const struct config *cfg, enum finding_kind kind)
{
	return *(char *const *)((const char *)cfg + rules[kind].text);
}

static void
fill_text(struct verdict *verdict, const struct config *cfg)
{
	const struct finding *because = &verdict->because;
	const char *name = rules[because->kind].told == NAMED ? because->name : "";

	snprintf(verdict->text, sizeof(verdict->text), "%s%s%s",
	         text_for(cfg, because->kind), *name != '\0' ? " " : "", name);
	for (char *at = verdict->text; *at != '\0'; at++) {
		if (*at < ' ' || *at > '~')
			*at = '?';
	}
}

static void
answer(struct verdict *verdict, const struct config *cfg, enum verdict_act act,
       const struct reply_code *reply)
{
	verdict->act = act;
	verdict->code = reply->code;
	verdict->enhanced = reply->enhanced;
	fill_text(verdict, cfg);
}

/* Scanners count in ways of their own: if one decided, its points are meant. */
static void
take_score(struct verdict *verdict, const struct finding *found, size_t count)
{
	const struct finding *because = &verdict->because;
	bool decided = because->kind != FOUND_NOTHING && because->has_score;

	for (size_t i = 0; i < count && !decided; i++)
		if (found[i].has_score &&
		    (!verdict->has_score || found[i].score > verdict->score)) {
			verdict->has_score = true;
			verdict->score = found[i].score;
		}
	if (decided) {
		verdict->has_score = true;
		verdict->score = because->score;
	}
}

static void
take_skipped(struct verdict *verdict, const struct finding *found, size_t count)
{
	size_t size = 0;

	for (size_t i = 0; i < count && size < sizeof(verdict->skipped); i++)
		if (found[i].skipped)
			size += (size_t)snprintf(verdict->skipped + size,
			                         sizeof(verdict->skipped) - size,
			                         "%s%s:%s", size > 0 ? "," : "",
			                         found[i].check, found[i].skipped);
}

/* Of two that found nothing, the one that looked says so. */
static bool
is_graver(const struct config *cfg, const struct finding *a, const struct finding *b)
{
	int by = weight(cfg, a->kind) - weight(cfg, b->kind);

	return by > 0 || (by == 0 && b->skipped && !a->skipped);
}

void
verdict_weigh(struct verdict *verdict, const struct config *cfg,
              const struct finding *found, size_t count)
{
	const struct rule *rule;

	*verdict = (struct verdict){ .act = VERDICT_DELIVER };
	for (size_t i = 0; i < count; i++)
		if (i == 0 || is_graver(cfg, &found[i], &verdict->because))
			verdict->because = found[i];
	take_skipped(verdict, found, count);
	take_score(verdict, found, count);
	rule = &rules[verdict->because.kind];
	switch (action_for(cfg, verdict->because.kind)) {
	case ACTION_PASS:
		break;
	case ACTION_TAG:
		verdict->act = VERDICT_TAG;
		break;
	case ACTION_DEFER:
		answer(verdict, cfg, VERDICT_DEFER, &rule->defer);
		break;
	case ACTION_REFUSE:
		answer(verdict, cfg, VERDICT_REFUSE, &rule->refuse);
		break;
	case ACTION_HANG_UP:
		answer(verdict, cfg, VERDICT_HANG_UP, &rule->refuse);
		break;
	}
}

bool
verdict_is_certain(const struct config *cfg, const struct finding *found)
{
	return action_for(cfg, found->kind) >= ACTION_REFUSE;
}

static int
greeting_code(bool for_now)
{
	return for_now ? 421 : 554;
}

int
verdict_greeting_code(const struct verdict *verdict)
{
	return greeting_code(verdict->act == VERDICT_DEFER);
}

const char *
finding_action_word(enum finding_action action)
{
	switch (action) {
	case ACTION_PASS:
		return "pass";
	case ACTION_TAG:
		return "tag";
	case ACTION_DEFER:
		return "defer";
	case ACTION_REFUSE:
		return "refuse";
	case ACTION_HANG_UP:
		return "hangup";
	}
	abort(); /* no such thing: an action */
}

/* ---- the table, for people ------------------------------------------------------- */

/* Of what is found before a message is there, or dropped in the middle, none can be kept. */
static bool
has_message(const struct config *cfg, enum finding_kind kind)
{
	if (kind == FOUND_SIZE || kind == FOUND_BARE_NEWLINE)
		return action_for(cfg, kind) == ACTION_PASS;
	return kind == FOUND_NOTHING || kind == FOUND_VIRUS ||
	       kind == FOUND_UNSCANNABLE || is_scanners_failure(kind) ||
	       kind == FOUND_LOCKED || kind == FOUND_SPAM ||
	       kind == FOUND_SPAM_SUSPECT || kind == FOUND_GREYLIST ||
	       kind == FOUND_RATELIMIT_BYTES;
}

/* What is found before the greeting is answered in its place. */
static bool
comes_before_greeting(enum finding_kind kind)
{
	return kind == FOUND_LOAD || kind == FOUND_MAX_HOST ||
	       kind == FOUND_MAX_IDENT || kind == FOUND_RATELIMIT_CONNECTIONS ||
	       kind == FOUND_RATELIMIT_DST || kind == FOUND_EARLYTALK;
}

static void
print_reply(const struct config *cfg, enum finding_kind kind, FILE *out)
{
	const struct rule *rule = &rules[kind];
	enum finding_action action = action_for(cfg, kind);
	const struct reply_code *reply = action == ACTION_DEFER ? &rule->defer
	                                                        : &rule->refuse;

	if (action == ACTION_TAG && cfg->delivery == DELIVERY_AUTO)
		fprintf(out, "- (if held: up to %" PRId64 " bytes)\n",
		        cfg->hold_max_size);
	else if (action <= ACTION_TAG)
		fputs("-\n", out);
	else if (comes_before_greeting(kind))
		fprintf(out, "%d %s\n", greeting_code(action == ACTION_DEFER),
		        text_for(cfg, kind));
	else
		fprintf(out, "%d %s %s%s\n", reply->code, reply->enhanced,
		        text_for(cfg, kind), rule->told == NAMED ? " NAME" : "");
}

void
finding_effect(struct finding_effect *effect, const struct config *cfg,
               enum finding_kind kind)
{
	unsigned class = rules[kind].class;
	bool found = kind != FOUND_NOTHING;

	*effect = (struct finding_effect){
		.option = is_ignored(cfg, kind) ? "ignore_errors" : rules[kind].option,
		.action = action_for(cfg, kind),
		.runs_script = found && cfg->action_script[0] &&
		               (cfg->script_on & class),
		.tells = found && cfg->event_url[0] && (cfg->event_on & class),
		.keeps = has_message(cfg, kind) &&
		         (cfg->spool_leave_on & (class | CLASS_CLEAN)),
	};
	effect->locks = cfg->lock_duration != 0 && effect->action >= ACTION_REFUSE &&
	                (cfg->lock_on & class);
}

static const char *
yes(bool is)
{
	return is ? "yes" : "no";
}

void
findings_print(const struct config *cfg, FILE *out)
{
	struct finding_effect effect;

	fprintf(out, "%-27s %-7s %-4s %-6s %-5s %-4s %s\n", "finding", "action", "lock",
	        "script", "event", "keep", "reply");
	for (enum finding_kind kind = FOUND_NOTHING + 1; kind < FOUND_KINDS; kind++) {
		finding_effect(&effect, cfg, kind);
		fprintf(out, "%-27s %-7s %-4s %-6s %-5s %-4s ", rules[kind].word,
		        finding_action_word(effect.action), yes(effect.locks),
		        yes(effect.runs_script), yes(effect.tells), yes(effect.keeps));
		print_reply(cfg, kind, out);
	}
}
