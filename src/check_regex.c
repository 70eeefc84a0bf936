#include "check_internal.h"

#include <stdio.h>
#include <string.h>

/*
 * What a client says, held against the expressions of the configuration: its name, the
 * sender, each recipient.
 */
struct subject {
	enum finding_kind kind;
	size_t enforce, reject; /* options */
	const char *enforce_name, *reject_name;
};

#define SUBJECT(what, kind) \
	{ \
		FOUND_REGEX_##kind, offsetof(struct config, regex_enforce_##what), \
			offsetof(struct config, regex_reject_##what), \
			"regex_enforce_" #what, "regex_reject_" #what \
	}

static const struct subject helo = SUBJECT(helo, HELO);
static const struct subject sender = SUBJECT(mail_from, MAIL_FROM);
static const struct subject recipient = SUBJECT(rcpt_to, RCPT_TO);

static const struct pattern *
pattern_at(const struct config *cfg, size_t option)
{
	return *(struct pattern *const *)((const char *)cfg + option);
}

static bool
is_wanted(const struct config *cfg)
{
	const struct subject *subjects[] = { &helo, &sender, &recipient };

	for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++)
		if (pattern_at(cfg, subjects[i]->enforce) ||
		    pattern_at(cfg, subjects[i]->reject))
			return true;
	return false;
}

/* Only what is graver than what was found before. */
static void
found(struct check_run *run, enum finding_kind kind, const char *option,
      const char *why)
{
	if (finding_gravity(kind) <= finding_gravity(run->found->kind))
		return;
	run->found->kind = kind;
	snprintf(run->found->name, sizeof(run->found->name), "%s%s%s", option,
	         *why ? ": " : "", why);
}

/* OBJECTS: the answer that speaks against the client. */
static void
look_for(struct check_run *run, const struct subject *about, size_t option,
         const char *name, enum pattern_answer objects, const char *text, size_t size)
{
	const struct pattern *pattern = pattern_at(run->cfg, option);
	enum pattern_answer answer;
	char why[128];

	if (!pattern)
		return;
	answer = pattern_find(pattern, text, size,
	                      (uint64_t)run->cfg->regex_match_limit, why, sizeof(why));
	if (answer == objects)
		found(run, about->kind, name, "");
	else if (answer == PATTERN_UNDECIDED)
		found(run, FOUND_CHECK_FAILED, name, why);
}

static void
look_at(struct check_run *run, const struct subject *about, const char *text,
        size_t size)
{
	look_for(run, about, about->enforce, about->enforce_name, PATTERN_ABSENT, text,
	         size);
	look_for(run, about, about->reject, about->reject_name, PATTERN_FOUND, text,
	         size);
}

/* Servers ignore blanks behind it.  None at all is one without a name. */
static void
look_at_helo(struct check_run *run)
{
	const char *text = run->evidence->helo ?: "";
	size_t size = strlen(text);

	while (size > 0 && strchr(" \t\v\f", text[size - 1]))
		size--;
	look_at(run, &helo, text, size);
}

/* Where we can tell no address, a server might: then we do not know what it is. */
static void
look_at_path(struct check_run *run, const struct subject *about, const char *path)
{
	const char *option = pattern_at(run->cfg, about->reject) ? about->reject_name
	                                                         : about->enforce_name;

	if (path)
		look_at(run, about, path, strlen(path));
	else if (pattern_at(run->cfg, about->enforce) ||
	         pattern_at(run->cfg, about->reject))
		found(run, about->kind, option, "no address in it");
}

/*
 * A client that was refused at HELO may go on to MAIL, and its server may take that: so
 * the name is looked at there again.  If who authenticates is to be spared, it is looked
 * at only there, for before that nobody can tell.
 */
static void
start(struct check_run *run)
{
	switch (run->stage) {
	case STAGE_HELO:
		if (!(run->cfg->auth_skip & AUTH_SKIP_REGEX))
			look_at_helo(run);
		break;
	case STAGE_MAIL:
		look_at_helo(run);
		look_at_path(run, &sender, run->evidence->sender);
		break;
	case STAGE_RCPT:
		look_at_path(run, &recipient, run->evidence->recipient);
		break;
	case STAGE_CONNECT:
	case STAGE_GREETING:
	case STAGE_AUTH:
	case STAGE_DATA:
	case STAGE_MESSAGE:
		break;
	}
	check_answer(run);
}

const struct check_rule check_regex = {
	.name = "regex",
	.stages = STAGE_HELO | STAGE_MAIL | STAGE_RCPT,
	.skip = AUTH_SKIP_REGEX,
	.wanted = is_wanted,
	.start = start,
};
