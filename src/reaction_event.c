#include "reaction_internal.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>

/*
 * What event_url is told: the facts of the action script, and which finding it was, what
 * was done, and where to look in the log.
 */
enum {
	SCHEMA = 1, /* another number: something is gone, or means something else */
	KEY_SIZE = 32,
	DIGITS = 10, /* of a real number: 7.3, not 7.2999999999999998 */
};

/* What a stranger wrote is as clean as for scripts; the rest is UTF-8, then. */
static json_t *
text(const char *words)
{
	char clean[SCRIPT_VALUE_MAX + 1];

	if (!words || !*words)
		return json_null();
	script_clean(clean, sizeof(clean), words);
	return json_string(clean);
}

static json_t *
value_of(const struct fact *fact)
{
	switch (fact->kind) {
	case FACT_TEXT:
		return text(fact->text);
	case FACT_NUMBER:
		return fact->is_unknown ? json_null() : json_integer(fact->number);
	case FACT_REAL:
		return fact->is_unknown ? json_null() : json_real(fact->real);
	case FACT_YES_NO:
		return json_boolean(fact->number);
	}
	abort(); /* no such thing: a kind */
}

static void
add_fact(json_t *json, const struct fact *fact)
{
	char key[KEY_SIZE];
	size_t size = 0;

	for (const char *at = fact->name; *at && size < KEY_SIZE - 1; at++)
		key[size++] = (char)tolower((unsigned char)*at);
	key[size] = '\0';
	json_object_set_new(json, key, value_of(fact));
}

char *
reaction_event_body(const struct occurrence *what, const struct reaction_marks *marks,
                    time_t now)
{
	const struct log_ctx *log = what->evidence->log;
	json_t *json = json_object();
	struct facts facts;
	char *body;

	json_object_set_new(json, "schema", json_integer(SCHEMA));
	json_object_set_new(json, "finding",
	                    text(finding_word(what->verdict->because.kind)));
	json_object_set_new(json, "action", text(verdict_word(what->verdict->act)));
	json_object_set_new(json, "session", text(log->session));
	json_object_set_new(json, "mail",
	                    log->mail ? json_integer(log->mail) : json_null());
	reaction_facts(&facts, what, marks, now);
	for (size_t i = 0; i < FACT_COUNT; i++)
		add_fact(json, &facts.at[i]);
	body = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(DIGITS));
	json_decref(json);
	if (!body)
		abort(); /* there is no memory: see xalloc.h */
	return body;
}

void
reaction_event(struct events *events, const struct occurrence *what,
               const struct reaction_marks *marks)
{
	const struct evidence *evidence = what->evidence;
	struct events_subject subject = {
		.log = evidence->log,
		.finding = finding_word(what->verdict->because.kind),
		.client = evidence->client,
	};

	if (what->cfg->event_url[0])
		events_post(events, what->cfg->event_url, &subject,
		            reaction_event_body(what, marks, time(NULL)));
}

struct events_limits
reaction_event_limits(const struct config *cfg)
{
	return (struct events_limits){
		.waiting = (unsigned)cfg->event_queue,
		.seconds = (unsigned)cfg->event_timeout,
		.retries = (unsigned)cfg->event_retries,
		.ca_file = cfg->event_ca_file,
	};
}
