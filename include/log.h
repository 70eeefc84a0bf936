#ifndef LOG_H
#define LOG_H

#include "addr.h"

#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

/*
 * One line per event:   EVENT s=ID [t=N] key=value key="value with spaces" ...
 *
 * The event comes first, from a fixed list that smtp-gated(8) explains.  Session and mail
 * are put on by the context.  A value is bare if it is printable and has no space, quote,
 * backslash or '='; else it is quoted, with C escapes.  All values pass here, so no peer
 * can forge a line; an over-long value is cut and ends in "...".  Bytes beyond ASCII are
 * escaped, but for those of the system's own words (option locale).
 *
 * The journal gets each key as a field of its own, in capitals, its value quoted only if it
 * is not printable.
 *
 * Nothing here blocks: syslog and journal are datagrams that are dropped, and counted,
 * when the logger does not keep up; so are lines to a stderr that nobody reads.  Use from
 * the loop's thread only.
 */

#define LOG_EVENTS(E) \
	/* id        word         level        meaning, as smtp-gated(8) says */ \
	E(START,     "start",     LOG_NOTICE,  "the daemon serves from now on") \
	E(STOP,      "stop",      LOG_NOTICE,  "the daemon ends") \
	E(CONFIG,    "config",    LOG_NOTICE,  "about the configuration file") \
	E(TROUBLE,   "trouble",   LOG_WARNING, "something that we need is failing") \
	E(RECOVERED, "recovered", LOG_NOTICE,  "what was failing works again") \
	E(FATAL,     "fatal",     LOG_ERR,     "the daemon cannot go on") \
	E(SIGNATURES, "signatures", LOG_NOTICE, "virus signatures are loaded") \
	E(NO_SIGNATURES, "no-signatures", LOG_ERR, "nothing can be scanned: no signatures") \
	E(CONNECT,   "connect",   LOG_INFO,    "a client came; where it wants to go") \
	E(INTRODUCED, "introduced", LOG_INFO,  "the server was told who the client is") \
	E(REFUSE,    "refuse",    LOG_NOTICE,  "a client or a command was turned away") \
	E(HELO,      "helo",      LOG_INFO,    "a client gave its name (log_helo)") \
	E(MAIL,      "mail",      LOG_INFO,    "a mail has begun") \
	E(RCPT,      "rcpt",      LOG_INFO,    "the server accepted a recipient (log_rcpt_to)") \
	E(REJECTED,  "rejected",  LOG_INFO,    "a sender or recipient was refused (log_*)") \
	E(VERDICT,   "verdict",   LOG_INFO,    "a mail was judged, nothing was found") \
	E(SCANNER_COMPLAINS, "scanner-complains", LOG_WARNING, "what a scanner had trouble with") \
	E(SCANNER_SAYS, "scanner-says", LOG_DEBUG, "what a scanner says besides") \
	E(DNSBL,     "dnsbl",     LOG_INFO,    "what lists in DNS know of a client") \
	E(SPF,       "spf",       LOG_INFO,    "what a sender's domain says of who sends") \
	E(FOUND,     "found",     LOG_NOTICE,  "a mail was judged, something was found") \
	E(LOCK,      "lock",      LOG_NOTICE,  "a client is locked out from now on") \
	E(SHARED,    "shared",    LOG_NOTICE,  "about sharing locks and counts with other gateways") \
	E(DELIVERED, "delivered", LOG_INFO,    "the server's last word on a mail") \
	E(KEPT,      "kept",       LOG_INFO,    "a message is in the quarantine") \
	E(DISCARDED, "discarded",  LOG_NOTICE,  "kept messages had to go") \
	E(TAKEOVER,  "takeover",  LOG_NOTICE,  "the server is gone, we answer the client") \
	E(DIRECT,    "direct",    LOG_INFO,    "the session passes unread from now on") \
	E(SCRIPT,    "script",    LOG_INFO,    "an action script has ended well") \
	E(SCRIPT_FAILED, "script-failed", LOG_WARNING, "one did not, or was not run") \
	E(SCRIPT_SAYS, "script-says", LOG_INFO, "what an action script has said") \
	E(EVENT,     "event",     LOG_INFO,    "event_url was told of a finding, and took it") \
	E(EVENT_FAILED, "event-failed", LOG_WARNING, "it did not, or not yet") \
	E(PROTOCOL,  "protocol",  LOG_INFO,    "a peer said what cannot be followed") \
	E(CLOSE,     "close",     LOG_INFO,    "a session has ended") \
	E(STATE,     "state",     LOG_DEBUG,   "a session went from one state to another") \
	E(COMMAND,   "command",   LOG_DEBUG,   "a command of a client (never its AUTH)") \
	E(REPLY,     "reply",     LOG_DEBUG,   "a reply of a server")

enum log_event {
#define E(id, word, level, meaning) LOG_##id##_EVENT,
	LOG_EVENTS(E)
#undef E
};

enum log_sink {
	LOG_TO_STDERR,
	LOG_TO_SYSLOG,		/* datagrams to /dev/log */
	LOG_TO_JOURNAL,		/* datagrams to systemd's journal, with fields */
};

/* What every line of a session carries.  Made once, embedded in session and mail. */
struct log_ctx {
	char session[12];	/* empty: not about a session */
	unsigned mail;		/* 0: not about a mail */
	bool hides_mailboxes;	/* of texts, what looks like an address of mail */
};

/* One key=value.  The text must live until the call that logs it returns. */
struct log_field {
	const char *key;
	enum {
		LOG_FIELD_TEXT,
		LOG_FIELD_SYSTEM,	/* text of the system's: it may have UTF-8 */
		LOG_FIELD_NUMBER,
		LOG_FIELD_REAL,
		LOG_FIELD_ADDR,
		LOG_FIELD_MAILBOX,
	} kind;
	union {
		struct {
			const char *at;
			size_t size;
			size_t longest;	/* of a mailbox, these two */
			bool hashed;
		} text;
		int64_t number;
		double real;
		const struct addr *addr;
	};
};

/* Fields, by kind.  NULL text is left out of the line altogether. */
struct log_field log_text(const char *key, const char *text);
struct log_field log_bytes(const char *key, const char *text, size_t size);
struct log_field log_number(const char *key, int64_t number);
struct log_field log_real(const char *key, double real);	/* three decimals */
struct log_field log_addr(const char *key, const struct addr *addr);	/* with port */
/* An address of mail, cut to LONGEST bytes and marked with "..." (0: whole), or HASHED: its
 * MD5 in base64. */
struct log_field log_mailbox(const char *key, const char *path, bool hashed,
			     size_t longest);
struct log_field log_error(int error);		/* error="words of errno", in any language */

/* log_event(ctx or NULL, LOG_CLOSE_EVENT, log_text("end", word), ...) */
#define log_event(ctx, event, ...) \
	log_write(ctx, event, (const struct log_field[]){ __VA_ARGS__ __VA_OPT__(, ) { 0 } })

/* Writes one line if the event's level is wanted.  FIELDS ends with a NULL key. */
void log_write(const struct log_ctx *ctx, enum log_event event,
	       const struct log_field *fields);

/* True if lines of this event go anywhere: to spare the making of fields. */
bool log_wanted(enum log_event event);

/* Chooses where lines go.  LEVEL is the least urgent that is written (LOG_DEBUG: all),
 * FACILITY one of syslog(3).  Until called: stderr, LOG_INFO. */
void log_open(enum log_sink sink, int level, int facility);
void log_close(void);

/* What syslog and journal call us; until called, smtp-gated.  NAME is not copied. */
void log_name_program(const char *name);

/* Changes the level alone: the connection to the logger stays. */
void log_set_level(int level);

/* True if stderr is connected to systemd's journal (JOURNAL_STREAM). */
bool log_stderr_is_journal(void);

/* Lines that the logger did not take since the start. */
uint64_t log_lost(void);

enum {
	LOG_QUOTE_MIN = 16,
};

/* Puts SIZE bytes of TEXT as a log value into OUT (bare or quoted, always terminated,
 * cut with "..." to fit in OUT_SIZE, which is at least LOG_QUOTE_MIN).  Returns OUT.  For
 * tests, and for words to the terminal. */
const char *log_quote(char *out, size_t out_size, const char *text, size_t size);

#endif
