#include "mailbox.h"

static struct log_field
field(const struct config *cfg, const char *key, unsigned how, const char *path)
{
	if (how == 0)
		return log_text(key, NULL);
	return log_mailbox(key, path, how & LOG_ADDRESSES_BASE64,
	                   (size_t)cfg->email_length);
}

struct log_field
mailbox_from(const struct config *cfg, const char *path)
{
	return field(cfg, "from", cfg->log_mail_from, path);
}

struct log_field
mailbox_to(const struct config *cfg, const char *path)
{
	return field(cfg, "to", cfg->log_rcpt_to, path);
}

static bool
is_private(unsigned how)
{
	return how == 0 || (how & LOG_ADDRESSES_BASE64);
}

bool
mailbox_is_private(const struct config *cfg)
{
	return is_private(cfg->log_mail_from) || is_private(cfg->log_rcpt_to);
}

struct log_field
mailbox_user(const struct config *cfg, const char *name)
{
	return log_mailbox("user", mailbox_is_private(cfg) ? NULL : name, false,
	                   (size_t)cfg->email_length);
}
