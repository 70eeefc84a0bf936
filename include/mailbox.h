#ifndef MAILBOX_H
#define MAILBOX_H

#include "config.h"
#include "log.h"

/*
 * Addresses of mail, as options log_mail_from, log_rcpt_to and email_length want them in
 * the log: fields "from" and "to".  Whoever logs one takes it from here.
 *
 * PATH is that of MAIL or RCPT; NULL: it is not known, and the line has no such field.
 */
struct log_field mailbox_from(const struct config *cfg, const char *path);
struct log_field mailbox_to(const struct config *cfg, const char *path);

/* Who has authenticated, for field "user": often an address, and hidden where these are;
 * NULL: not known. */
struct log_field mailbox_user(const struct config *cfg, const char *name);

/* True if no address is to be read in the log: then a session's log context must hide
 * those in the words of others. */
bool mailbox_is_private(const struct config *cfg);

#endif
