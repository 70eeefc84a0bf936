#include "reaction.h"

#include "quarantine.h"

#include <stdlib.h>

struct reactions {
	struct event_base *base;       /* NULL until reactions_start() */
	struct quarantine *quarantine; /* NULL: no message is ever kept */
};

/* ---- keeping ------------------------------------------------------------------------ */

static struct quarantine_limits
quarantine_limits(const struct config *cfg)
{
	return (struct quarantine_limits){
		.size = (uint64_t)cfg->quarantine_max_size,
		.age = cfg->quarantine_max_age,
		.mode = (mode_t)cfg->spool_perm,
	};
}

bool
reaction_may_keep(const struct config *cfg)
{
	return check_looks(cfg) || (cfg->spool_leave_on & CLASS_CLEAN);
}

/* False: WHY. */
static bool
open_quarantine(struct reactions *reactions, const struct config *cfg, char *why,
                size_t why_size)
{
	struct quarantine_limits limits = quarantine_limits(cfg);

	if (!config_any(cfg, reaction_may_keep))
		return true;
	reactions->quarantine = quarantine_new(
		reactions->base, quarantine_directory(cfg), &limits, why, why_size);
	return reactions->quarantine != NULL;
}

/* What nobody read is not clean. */
static const char *
word_of(const struct occurrence *what)
{
	enum finding_kind kind = what->verdict->because.kind;

	if (kind == FOUND_NOTHING &&
	    !check_reads(what->cfg, what->evidence->authenticated))
		return "unscanned";
	return finding_word(kind);
}

static void
keep(struct reactions *reactions, const struct occurrence *what)
{
	const struct evidence *evidence = what->evidence;
	const struct finding *because = &what->verdict->because;
	struct quarantine_note note = {
		.log = evidence->log,
		.client = evidence->client,
		.server = evidence->server,
		.ident = evidence->ident,
		.helo = evidence->helo,
		.authenticated = evidence->authenticated,
		.sender = evidence->sender,
		.recipients = evidence->paths,
		.recipient_count = evidence->path_count,
		.recipients_total = evidence->recipients,
		.finding = word_of(what),
		.name = because->name,
		.check = because->check,
		.action = verdict_word(what->verdict->act),
	};
	char id[QUARANTINE_ID_SIZE];

	if (reactions->quarantine)
		(void)!quarantine_keep(reactions->quarantine, evidence->message, &note,
		                       id);
}

/* ---- all of them --------------------------------------------------------------------- */

struct reactions *
reactions_new(const struct config *cfg, char *why, size_t why_size)
{
	struct reactions *reactions = xcalloc(1, sizeof(*reactions));

	(void)cfg;
	(void)why;
	(void)why_size;
	return reactions;
}

bool
reactions_start(struct reactions *reactions, struct event_base *base,
                const struct config *cfg, char *why, size_t why_size)
{
	reactions->base = base;
	return open_quarantine(reactions, cfg, why, why_size);
}

void
reactions_reconfigure(struct reactions *reactions, const struct config *cfg)
{
	struct quarantine_limits limits = quarantine_limits(cfg);
	char why[512];

	if (reactions->quarantine)
		quarantine_set(reactions->quarantine, &limits);
	else if (!open_quarantine(reactions, cfg, why, sizeof(why)))
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "no message will be kept"),
		          log_text("why", why));
}

void
reactions_free(struct reactions *reactions)
{
	if (!reactions)
		return;
	quarantine_free(reactions->quarantine);
	free(reactions);
}

/* The order matters: the script is told of the file that was kept and of the lock. */
void
reaction_to(struct reactions *reactions, const struct occurrence *what)
{
	unsigned class = finding_class(what->verdict->because.kind);
	bool keeps = what->evidence->message &&
	             (what->cfg->spool_leave_on & (class | CLASS_CLEAN));
	bool found = what->verdict->because.kind != FOUND_NOTHING;
	bool locks = found && (what->cfg->lock_on & class);
	bool runs = found && (what->cfg->script_on & class);

	if (keeps)
		keep(reactions, what);
	(void)locks;
	(void)runs;
}
