#include "transaction.h"

#include <stdlib.h>

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
	if (mail->recipients++ == 0 && path)
		mail->recipient = xstrdup(path);
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
	if (mail->message)
		evbuffer_free(mail->message);
	free(mail->header);
	free(mail->sender);
	free(mail->recipient);
	free(mail);
}
