#include "verdict.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	MOST_GRAVE = 4,
};

const char *
finding_word(enum finding_kind kind)
{
	switch (kind) {
	case FOUND_NOTHING:
		return "clean";
	case FOUND_VIRUS:
		return "virus";
	case FOUND_UNSCANNABLE:
		return "unscannable";
	case FOUND_FAILED:
		return "failed";
	case FOUND_BARE_NEWLINE:
		return "bare-newline";
	}
	abort(); /* no such thing: a kind of finding */
}

const char *
verdict_word(enum verdict_act act)
{
	switch (act) {
	case VERDICT_DELIVER:
		return "deliver";
	case VERDICT_REFUSE:
		return "refuse";
	case VERDICT_DEFER:
		return "defer";
	}
	abort(); /* no such thing: a verdict */
}

int
finding_gravity(enum finding_kind kind)
{
	switch (kind) {
	case FOUND_NOTHING:
		return 0;
	case FOUND_UNSCANNABLE:
		return 1;
	case FOUND_FAILED:
		return 2;
	case FOUND_BARE_NEWLINE:
		return 3;
	case FOUND_VIRUS:
		return MOST_GRAVE;
	}
	abort(); /* no such thing: a kind of finding */
}

/* What the configuration says of a finding. */
struct rule {
	enum verdict_act act;
	int code;
	const char *enhanced;
	const char *text;
	bool names; /* the finding's name follows the text */
};

static const struct rule deliver = { .act = VERDICT_DELIVER };

static struct rule
unscannable_rule(const struct config *cfg)
{
	switch ((enum on_unscannable)cfg->on_unscannable) {
	case UNSCANNABLE_PASS:
		return deliver;
	case UNSCANNABLE_REFUSE:
		return (struct rule){ VERDICT_REFUSE, 554, "5.7.1",
			              cfg->msg_unscannable, true };
	case UNSCANNABLE_DEFER:
		return (struct rule){ VERDICT_DEFER, 451, "4.7.1", cfg->msg_unscannable,
			              true };
	}
	abort(); /* no such thing: a value of on_unscannable */
}

/* The name of a failure is for the log: it is no business of the client's. */
static struct rule
failed_rule(const struct config *cfg)
{
	if (cfg->ignore_errors)
		return deliver;
	switch ((enum on_scan_failed)cfg->on_scan_failed) {
	case FAILED_PASS:
		return deliver;
	case FAILED_REFUSE:
		return (struct rule){ VERDICT_REFUSE, 554, "5.3.0",
			              cfg->msg_scanner_failed, false };
	case FAILED_DEFER:
		return (struct rule){ VERDICT_DEFER, 451, "4.3.0",
			              cfg->msg_scanner_failed, false };
	}
	abort(); /* no such thing: a value of on_scan_failed */
}

static struct rule
rule_for(const struct config *cfg, enum finding_kind kind)
{
	switch (kind) {
	case FOUND_NOTHING:
		return deliver;
	case FOUND_VIRUS:
		return (struct rule){ VERDICT_REFUSE, 550, "5.7.1",
			              cfg->msg_virus_found, true };
	case FOUND_UNSCANNABLE:
		return unscannable_rule(cfg);
	case FOUND_FAILED:
		return failed_rule(cfg);
	case FOUND_BARE_NEWLINE:
		return (struct rule){ VERDICT_REFUSE, 550, "5.6.0",
			              cfg->msg_bare_newline, false };
	}
	abort(); /* no such thing: a kind of finding */
}

/* What is let pass weighs less than what is not, whatever it is. */
static int
weight(const struct config *cfg, enum finding_kind kind)
{
	bool delivers = rule_for(cfg, kind).act == VERDICT_DELIVER;

	return finding_gravity(kind) + (delivers ? 0 : MOST_GRAVE + 1);
}

static void
fill_text(struct verdict *verdict, const struct rule *rule)
{
	const char *name = rule->names ? verdict->because.name : "";

	snprintf(verdict->text, sizeof(verdict->text), "%s%s%s", rule->text,
	         *name != '\0' ? " " : "", name);
	for (char *at = verdict->text; *at != '\0'; at++) {
		if (*at < ' ' || *at > '~')
			*at = '?';
	}
}

void
verdict_weigh(struct verdict *verdict, const struct config *cfg,
              const struct finding *found, size_t count)
{
	struct rule rule;

	*verdict = (struct verdict){ .act = VERDICT_DELIVER };
	for (size_t i = 0; i < count; i++) {
		if (i == 0 ||
		    weight(cfg, found[i].kind) > weight(cfg, verdict->because.kind))
			verdict->because = found[i];
	}
	rule = rule_for(cfg, verdict->because.kind);
	verdict->act = rule.act;
	verdict->code = rule.code;
	verdict->enhanced = rule.enhanced;
	if (rule.act != VERDICT_DELIVER)
		fill_text(verdict, &rule);
}
