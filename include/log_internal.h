#ifndef LOG_INTERNAL_H
#define LOG_INTERNAL_H

#include "log.h"

/* The loggers' sockets, for tests; the paths are not copied.  Before log_open(). */
void log_set_sockets(const char *syslog, const char *journal);

/* FIELD as a line with CTX shall have it: of an address what the caller of log_mailbox()
 * wanted, and of texts what may be read (log_mailbox.c).  May use BOX, and lives as long. */
enum {
	LOG_SHOWN_SIZE = 1024,
};
struct log_field log_shown(const struct log_ctx *ctx, const struct log_field *field,
			   char box[static LOG_SHOWN_SIZE]);

#endif
