#include "log_internal.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	VALUE_MAX = 512,  /* of one value, quoted */
	LINE_SIZE = 4096, /* of one line; what does not fit is left out */
	WORDS = 4,        /* that are put into a line together */
};

static const struct {
	const char *word;
	int level;
} events[] = {
#define E(id, word, level, meaning) [LOG_##id##_EVENT] = { word, level },
	LOG_EVENTS(E)
#undef E
};

static enum log_sink sink = LOG_TO_STDERR;
static int level_wanted = LOG_INFO;
static int facility = LOG_DAEMON;
static const char *program = "smtp-gated";
static int sink_fd = -1;
static uint64_t lost;
static const char *syslog_path = "/dev/log";
static const char *journal_path = "/run/systemd/journal/socket";

/* ---- fields ------------------------------------------------------------ */

struct log_field
log_bytes(const char *key, const char *text, size_t size)
{
	return (struct log_field){ .key = key,
		                   .kind = LOG_FIELD_TEXT,
		                   .text = { .at = text, .size = size } };
}

struct log_field
log_text(const char *key, const char *text)
{
	return log_bytes(key, text, text ? strlen(text) : 0);
}

struct log_field
log_number(const char *key, int64_t number)
{
	return (struct log_field){ .key = key,
		                   .kind = LOG_FIELD_NUMBER,
		                   .number = number };
}

struct log_field
log_real(const char *key, double real)
{
	return (struct log_field){ .key = key, .kind = LOG_FIELD_REAL, .real = real };
}

struct log_field
log_addr(const char *key, const struct addr *addr)
{
	return (struct log_field){ .key = key, .kind = LOG_FIELD_ADDR, .addr = addr };
}

struct log_field
log_error(int error)
{
	struct log_field field = log_text("error", strerror(error));

	field.kind = LOG_FIELD_SYSTEM;
	return field;
}

/* ---- quoting ----------------------------------------------------------- */

static bool
is_bare(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (text[i] <= ' ' || text[i] >= 0x7f || text[i] == '"' ||
		    text[i] == '\\' || text[i] == '=')
			return false;
	return size > 0;
}

/* The C escape of one byte, into OUT of at least 5.  UTF8: a part of it is none. */
static size_t
escape(char *out, unsigned char c, bool utf8)
{
	static const char letters[] = "\"\\\n\r\t", names[] = "\"\\nrt";
	const char *known = c ? strchr(letters, c) : NULL;

	if (known) {
		out[0] = '\\';
		out[1] = names[known - letters];
		return 2;
	}
	if ((c >= ' ' && c < 0x7f) || (utf8 && c >= 0x80)) {
		out[0] = (char)c;
		return 1;
	}
	return (size_t)sprintf(out, "\\x%02x", c);
}

static const char *
quote(char *out, size_t out_size, const char *text, size_t size, bool utf8)
{
	static const char cut[] = "...\"";
	size_t used = 0;

	assert(out_size >= LOG_QUOTE_MIN);
	if (is_bare(text, size) && size < out_size) {
		memcpy(out, text, size);
		out[size] = '\0';
		return out;
	}
	out[used++] = '"';
	for (size_t i = 0; i < size; i++) {
		if (used + 4 + sizeof(cut) > out_size) {
			memcpy(out + used, cut, sizeof(cut));
			return out;
		}
		used += escape(out + used, (unsigned char)text[i], utf8);
	}
	out[used++] = '"';
	out[used] = '\0';
	return out;
}

const char *
log_quote(char *out, size_t out_size, const char *text, size_t size)
{
	return quote(out, out_size, text, size, false);
}

static void
value_print(char value[static VALUE_MAX], const struct log_field *field)
{
	_Static_assert((int)ADDR_TEXT_SIZE <= (int)VALUE_MAX, "it fits");

	switch (field->kind) {
	case LOG_FIELD_TEXT:
	case LOG_FIELD_SYSTEM:
	case LOG_FIELD_MAILBOX: /* no such thing behind log_shown() */
		quote(value, VALUE_MAX, field->text.at, field->text.size,
		      field->kind == LOG_FIELD_SYSTEM);
		break;
	case LOG_FIELD_NUMBER:
		snprintf(value, VALUE_MAX, "%" PRId64, field->number);
		break;
	case LOG_FIELD_REAL:
		snprintf(value, VALUE_MAX, "%.3f", field->real);
		break;
	case LOG_FIELD_ADDR:
		addr_full(field->addr, value);
		break;
	}
}

/* The journal needs no quotes around spaces, and who asks it for a value would have to
 * write them.  What could end a field, or move a cursor, keeps them and its escapes. */
static const char *
value_field(char plain[static VALUE_MAX], const struct log_field *field,
            const char *value)
{
	bool is_system = field->kind == LOG_FIELD_SYSTEM;

	if ((field->kind != LOG_FIELD_TEXT && !is_system) || value[0] != '"' ||
	    field->text.size >= VALUE_MAX)
		return value;
	for (size_t i = 0; i < field->text.size; i++) {
		unsigned char c = (unsigned char)field->text.at[i];

		if (c < ' ' || c == 0x7f || (c > 0x7f && !is_system))
			return value;
	}
	memcpy(plain, field->text.at, field->text.size);
	plain[field->text.size] = '\0';
	return plain;
}

/* ---- lines ------------------------------------------------------------- */

/* Two texts side by side: the line, and the same as fields of the journal. */
struct line {
	char text[LINE_SIZE];
	size_t text_used;
	char fields[2 * LINE_SIZE];
	size_t fields_used;
};

/* All of it or nothing of it.  Not by printf(), which would be a sixth of all that a short
 * mail costs. */
static void
append(char *to, size_t size, size_t *used, const char *const words[static WORDS])
{
	char *at = to + *used;
	size_t more = 0;

	for (size_t i = 0; i < WORDS; i++)
		more += strlen(words[i]);
	if (more >= size - *used)
		return;
	for (size_t i = 0; i < WORDS; i++)
		at = stpcpy(at, words[i]);
	*used += more;
}

static void
line_put(struct line *line, const char *key, const char *value)
{
	append(line->text, sizeof(line->text), &line->text_used,
	       (const char *const[WORDS]){ " ", key, "=", value });
}

static void
field_put(struct line *line, const char *field, const char *value)
{
	char upper[32];
	size_t i;

	if (sink != LOG_TO_JOURNAL)
		return;
	for (i = 0; field[i] && i < sizeof(upper) - 1; i++)
		upper[i] = (char)toupper((unsigned char)field[i]);
	upper[i] = '\0';
	append(line->fields, sizeof(line->fields), &line->fields_used,
	       (const char *const[WORDS]){ upper, "=", value, "\n" });
}

static bool
is_absent(const struct log_field *field)
{
	return (field->kind == LOG_FIELD_TEXT || field->kind == LOG_FIELD_MAILBOX) &&
	       !field->text.at;
}

static void
line_make(struct line *line, const struct log_ctx *ctx, enum log_event event,
          const struct log_field *fields)
{
	char value[VALUE_MAX], plain[VALUE_MAX], box[LOG_SHOWN_SIZE];

	line->text_used = (size_t)(stpcpy(line->text, events[event].word) - line->text);
	line->fields_used = 0;
	if (ctx && ctx->session[0]) {
		line_put(line, "s", ctx->session);
		field_put(line, "session", ctx->session);
	}
	if (ctx && ctx->mail > 0) {
		snprintf(value, sizeof(value), "%u", ctx->mail);
		line_put(line, "t", value);
		field_put(line, "mail", value);
	}
	for (; fields->key; fields++) {
		struct log_field field;

		if (is_absent(fields))
			continue;
		field = log_shown(ctx, fields, box);
		value_print(value, &field);
		line_put(line, field.key, value);
		field_put(line, field.key, value_field(plain, &field, value));
	}
}

/* ---- sinks ------------------------------------------------------------- */

void
log_set_sockets(const char *syslog, const char *journal)
{
	syslog_path = syslog;
	journal_path = journal;
}

/* (Re)connects: the logger may have been restarted. */
static bool
sink_connect(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	if (sink_fd >= 0)
		close(sink_fd);
	snprintf(to.sun_path, sizeof(to.sun_path), "%s",
	         sink == LOG_TO_JOURNAL ? journal_path : syslog_path);
	sink_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return sink_fd >= 0 &&
	       connect(sink_fd, (struct sockaddr *)&to, sizeof(to)) == 0;
}

static void
datagram(const char *text, size_t size)
{
	if (send(sink_fd, text, size, MSG_NOSIGNAL) >= 0)
		return;
	if (errno != EAGAIN && sink_connect() &&
	    send(sink_fd, text, size, MSG_NOSIGNAL) >= 0)
		return;
	lost++;
}

/* A pipe that has room has it for PIPE_BUF bytes, and no line is longer: so a reader that
 * stops reading costs lines, and does not stop the mail. */
static bool
stderr_has_room(void)
{
	struct pollfd at = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&at, 1, 0) == 1 && (at.revents & POLLOUT);
}

_Static_assert(LINE_SIZE <= PIPE_BUF, "a line that pipes take whole");

static void
line_write(struct line *line, int level)
{
	char packet[sizeof(line->text) + sizeof(line->fields) + 128];
	int size = 0;

	switch (sink) {
	case LOG_TO_STDERR:
		line->text[line->text_used++] = '\n'; /* append() left room for a NUL */
		if (!stderr_has_room() ||
		    write(STDERR_FILENO, line->text, line->text_used) < 0)
			lost++;
		return;
	case LOG_TO_SYSLOG:
		size = snprintf(packet, sizeof(packet), "<%d>%s[%d]: %s",
		                facility | level, program, (int)getpid(), line->text);
		break;
	case LOG_TO_JOURNAL:
		size = snprintf(packet, sizeof(packet),
		                "PRIORITY=%d\nSYSLOG_FACILITY=%d\n"
		                "SYSLOG_IDENTIFIER=%s\nMESSAGE=%s\n%s",
		                level, facility >> 3, program, line->text,
		                line->fields);
		break;
	}
	datagram(packet, (size_t)size);
}

void
log_name_program(const char *name)
{
	program = name;
}

bool
log_wanted(enum log_event event)
{
	return events[event].level <= level_wanted;
}

void
log_write(const struct log_ctx *ctx, enum log_event event,
          const struct log_field *fields)
{
	struct line line;

	if (!log_wanted(event))
		return;
	line.fields[0] = '\0';
	line_make(&line, ctx, event, fields);
	line_write(&line, events[event].level);
}

void
log_open(enum log_sink where, int level, int syslog_facility)
{
	log_close();
	sink = where;
	level_wanted = level;
	facility = syslog_facility;
	if (sink != LOG_TO_STDERR)
		(void)sink_connect(); /* else tried again with the first line */
}

void
log_set_level(int level)
{
	level_wanted = level;
}

void
log_close(void)
{
	if (sink_fd >= 0)
		close(sink_fd);
	sink_fd = -1;
}

/* JOURNAL_STREAM is "device:inode" of the stream that systemd gave us: systemd.exec(5). */
bool
log_stderr_is_journal(void)
{
	const char *named = getenv("JOURNAL_STREAM");
	uint64_t device, inode;
	struct stat is;

	return named && sscanf(named, "%" SCNu64 ":%" SCNu64, &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &is) == 0 && is.st_dev == device &&
	       is.st_ino == inode;
}

uint64_t
log_lost(void)
{
	return lost;
}
