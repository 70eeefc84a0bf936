#include "reaction_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * What the action script is told: names and meanings are those of 1.4, for scripts are
 * older than we are.  Nothing of AUTH but whether it was, never with what.
 */
enum {
	NUMBER_SIZE = 24,
};

static const char *
number(char box[static NUMBER_SIZE], int64_t value)
{
	snprintf(box, NUMBER_SIZE, "%" PRId64, value);
	return box;
}

static const char *
host(char box[static ADDR_TEXT_SIZE], const struct addr *addr)
{
	return addr_family(addr) == AF_UNSPEC ? "" : addr_text(addr, box);
}

static const char *
port(char box[static NUMBER_SIZE], const struct addr *addr)
{
	return addr_family(addr) == AF_UNSPEC ? "" : number(box, addr_port(addr));
}

static const char *
local_time(char box[static NUMBER_SIZE], time_t now)
{
	struct tm parts;

	if (!localtime_r(&now, &parts) ||
	    strftime(box, NUMBER_SIZE, "%Y-%m-%d %H:%M:%S", &parts) == 0)
		return "";
	return box;
}

static const char *
or_nothing(const char *text)
{
	return text ? text : "";
}

static void
add_variables(struct script_call *call, const struct occurrence *what,
              const struct reaction_marks *marks, time_t now)
{
	const struct evidence *evidence = what->evidence;
	const struct finding *because = &what->verdict->because;
	char hosts[3][ADDR_TEXT_SIZE], numbers[10][NUMBER_SIZE];
	const struct {
		const char *name, *value;
	} variables[] = {
		{ "PROXY_NAME", what->cfg->proxy_name },
		{ "FOUND", finding_script_word(because->kind) },
		{ "VIRUS_NAME", because->name },
		{ "SPAM_SCORE", "" }, /* nobody scores yet */
		{ "SOURCE_IP", host(hosts[0], evidence->client) },
		{ "SOURCE_PORT", port(numbers[0], evidence->client) },
		{ "TARGET_IP", host(hosts[1], evidence->server) },
		{ "TARGET_PORT", port(numbers[1], evidence->server) },
		{ "LOCAL_IP", host(hosts[2], &what->local) },
		{ "LOCAL_PORT", port(numbers[2], &what->local) },
		{ "IDENT", or_nothing(evidence->ident) },
		{ "IDENT_COUNT", number(numbers[3], evidence->of_ident) },
		{ "HELO", or_nothing(evidence->helo) },
		{ "MAIL_FROM", or_nothing(evidence->sender) },
		{ "RCPTS_TOTAL", number(numbers[4], evidence->recipients) },
		{ "SIZE", number(numbers[5], (int64_t)evidence->size) },
		{ "TRANSACTION", number(numbers[6], evidence->log->mail) },
		{ "AUTH", evidence->authenticated ? "1" : "0" },
		{ "SPOOL_NAME", or_nothing(marks->spool_name) },
		{ "LOCK_FILE", or_nothing(marks->lock_file) },
		{ "LOCK_DURATION", number(numbers[7], marks->lock_duration) },
		{ "TIME", local_time(numbers[8], now) },
		{ "UNIXTIME", number(numbers[9], now) },
	};

	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		script_call_variable(call, variables[i].name, variables[i].value);
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
