#include "reaction_internal.h"

bool
reaction_may_keep(const struct config *cfg)
{
	return check_looks(cfg) || (cfg->spool_leave_on & CLASS_CLEAN);
}

bool
reaction_keeper(struct quarantine **quarantine, struct event_base *base,
                const struct config *cfg, char *why, size_t why_size)
{
	struct quarantine_limits limits = {
		.size = (uint64_t)cfg->quarantine_max_size,
		.age = cfg->quarantine_max_age,
		.mode = (mode_t)cfg->spool_perm,
	};

	if (*quarantine) {
		quarantine_set(*quarantine, &limits);
		return true;
	}
	if (!config_any(cfg, reaction_may_keep))
		return true;
	*quarantine = quarantine_new(base, quarantine_directory(cfg), &limits, why,
	                             why_size);
	return *quarantine != NULL;
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

char *
reaction_keep(struct quarantine *quarantine, const struct occurrence *what)
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
		.user = evidence->log->hides_mailboxes ? NULL : evidence->user,
		.binary = evidence->binary,
		.lmtp = evidence->lmtp,
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

	if (!quarantine || !quarantine_keep(quarantine, evidence->message, &note, id))
		return NULL;
	return quarantine_path(quarantine, id);
}
