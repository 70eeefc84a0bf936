#include "reaction_internal.h"

#include <inttypes.h>
#include <stdio.h>

/*
 * What the action script is told: names and meanings are those of 1.4, for scripts are
 * older than we are.
 */
enum {
	NUMBER_SIZE = 24,
};

static const char *
words_of(const struct fact *fact, char box[static NUMBER_SIZE])
{
	if (fact->kind == FACT_TEXT)
		return fact->text;
	if (fact->is_unknown)
		return "";
	if (fact->kind == FACT_REAL)
		snprintf(box, NUMBER_SIZE, "%.2f", fact->real);
	else
		snprintf(box, NUMBER_SIZE, "%" PRId64, fact->number);
	return box;
}

static void
add_variables(struct script_call *call, const struct occurrence *what,
              const struct reaction_marks *marks, time_t now)
{
	struct facts facts;
	char box[NUMBER_SIZE];

	reaction_facts(&facts, what, marks, now);
	for (size_t i = 0; i < FACT_COUNT; i++)
		script_call_variable(call, facts.at[i].name,
		                     words_of(&facts.at[i], box));
}

struct script_call *
reaction_script_call(const struct occurrence *what, const struct reaction_marks *marks,
                     time_t now)
{
	const struct evidence *evidence = what->evidence;
	enum finding_kind kind = what->verdict->because.kind;
	struct script_subject subject = { .log = evidence->log,
		                          .finding = finding_word(kind),
		                          .client = evidence->client };
	struct script_call *call = script_call_new(what->cfg->action_script, &subject);
	char text[ADDR_TEXT_SIZE];
	bool named = evidence->ident && evidence->ident[0];

	script_call_argument(call, finding_script_word(kind));
	script_call_argument(call, addr_text(evidence->client, text));
	script_call_argument(call, named ? evidence->ident : "-");
	script_call_argument(call, addr_text(evidence->server, text));
	add_variables(call, what, marks, now);
	return call;
}

void
reaction_script(struct scripts *scripts, const struct occurrence *what,
                const struct reaction_marks *marks)
{
	if (what->cfg->action_script[0])
		scripts_run(scripts, reaction_script_call(what, marks, time(NULL)));
}

struct script_limits
reaction_script_limits(const struct config *cfg)
{
	return (struct script_limits){
		.most = (unsigned)cfg->script_max,
		.waiting = (unsigned)cfg->script_queue,
		.seconds = (unsigned)cfg->timeout_script,
	};
}
