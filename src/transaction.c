#include "transaction.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct transaction *
transaction_new(const struct log_ctx *session, unsigned number, const char *sender)
{
	struct transaction *mail = xcalloc(1, sizeof(*mail));

	mail->log = *session;
	mail->log.mail = number;
	mail->sender = sender ? xstrdup(sender) : NULL;
	return mail;
}

void
transaction_add_recipient(struct transaction *mail, const char *path)
{
	size_t size = path ? strlen(path) + 1 : 0;

	mail->recipients++;
	if (!path || mail->path_count == TRANSACTION_PATHS ||
	    mail->path_bytes + size > TRANSACTION_PATH_BYTES)
		return;
	mail->paths = xrealloc(mail->paths,
	                       (mail->path_count + 1) * sizeof(*mail->paths));
	mail->paths[mail->path_count++] = xstrdup(path);
	mail->path_bytes += size;
}

const char *
transaction_recipient(const struct transaction *mail)
{
	return mail->path_count > 0 ? mail->paths[0] : NULL;
}

size_t
transaction_faults(const struct config *cfg, uint64_t size, uint64_t bare,
                   struct finding found[static TRANSACTION_FAULTS])
{
	size_t count = 0;

	if (cfg->bare_newline == NEWLINE_REJECT && bare > 0)
		found[count++] = (struct finding){ .kind = FOUND_BARE_NEWLINE,
			                           .check = "bare_newline" };
	if (cfg->size_limit == 0 || size <= (uint64_t)cfg->size_limit)
		return count;
	found[count] = (struct finding){ .kind = FOUND_SIZE, .check = "size_limit" };
	snprintf(found[count].name, sizeof(found[count].name), "limit %" PRId64,
	         cfg->size_limit);
	return count + 1;
}

void
transaction_drop_spool(struct transaction *mail)
{
	if (mail->spool)
		spool_abandon(mail->spool);
	spool_drop(mail->spool);
	mail->spool = NULL;
}

void
transaction_free(struct transaction *mail)
{
	if (!mail)
		return;
	check_cancel(mail->round);
	transaction_drop_spool(mail);
	outcome_fini(&mail->outcome);
	if (mail->message)
		evbuffer_free(mail->message);
	retouch_filter_free(mail->filter);
	retouch_free(mail->intake);
	retouch_free(mail->changes);
	if (mail->gathered)
		evbuffer_free(mail->gathered);
	free(mail->header);
	free(mail->header_blank);
	free(mail->sender);
	for (unsigned i = 0; i < mail->path_count; i++)
		free(mail->paths[i]);
	free(mail->paths);
	free(mail);
}
