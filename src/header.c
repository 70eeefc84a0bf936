#include "header.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what it says ----------------------------------------------------------------- */

bool
header_is_name(const char *name)
{
	size_t size = strlen(name);

	for (const char *at = name; *at; at++)
		if (*at <= ' ' || *at > '~' || *at == ':')
			return false;
	return size > 0 && size <= HEADER_NAME_MAX;
}

/* A header in the making. */
struct text {
	char *at;
	size_t size;
	size_t line; /* characters in its last line */
};

static void
append(struct text *text, const char *word, size_t size)
{
	assert(text->size + size < HEADER_MAX);
	memcpy(text->at + text->size, word, size);
	text->size += size;
	text->at[text->size] = '\0';
	text->line += size;
}

static void
end_line(struct text *text)
{
	append(text, "\r\n", 2);
	text->line = 0;
}

static void
fold(struct text *text)
{
	end_line(text);
	append(text, "\t", 1);
}

static bool
begins_line(const struct text *text)
{
	return text->line <= 1;
}

/* Appends a word with a blank in front, in another line if this one has no room for it. */
static void
put_word(struct text *text, const char *word, size_t size)
{
	if (size == 0) /* a line may not be all blanks */
		return;
	if (!begins_line(text) && text->line + 1 + size > HEADER_LINE)
		fold(text);
	if (!begins_line(text))
		append(text, " ", 1);
	if (size > HEADER_LINE_MAX - text->line)
		size = HEADER_LINE_MAX - text->line;
	append(text, word, size);
}

static void PRINTF(2, 3) put(struct text *text, const char *format, ...)
{
	char word[HEADER_LINE_MAX + 1];
	va_list args;

	va_start(args, format);
	vsnprintf(word, sizeof(word), format, args);
	va_end(args);
	put_word(text, word, strlen(word));
}

enum {
	VALUE_SIZE = 1024, /* no option is longer */
};

/* FROM, which may come from anybody, with '?' for what could end a line or, of ODD, end
 * what it stands in. */
static const char *
clean(const char *from, const char *odd, char to[static VALUE_SIZE])
{
	size_t size = 0;

	for (; from[size] && size < VALUE_SIZE - 1; size++) {
		bool plain = from[size] >= ' ' && from[size] <= '~' &&
		             !strchr(odd, from[size]);

		to[size] = plain ? from[size] : '?';
	}
	to[size] = '\0';
	return to;
}

/* Without the scope that a link-local address may have: it means nothing elsewhere. */
static const char *
host(const struct addr *addr, char text[static INET6_ADDRSTRLEN])
{
	const char *done;

	if (addr_family(addr) == AF_INET)
		done = inet_ntop(AF_INET, &addr->v4.sin_addr, text, INET6_ADDRSTRLEN);
	else
		done = inet_ntop(AF_INET6, &addr->v6.sin6_addr, text, INET6_ADDRSTRLEN);
	assert(done);
	return done;
}

static void
begin(struct text *text, const struct header_facts *facts, char at[static HEADER_MAX])
{
	assert(header_is_name(facts->name));
	*text = (struct text){ .at = at };
	append(text, facts->name, strlen(facts->name));
	append(text, ":", 1);
}

/* What differs from mail to mail, or as many zeros. */
static const char *
differing(char *value, const struct header_facts *facts)
{
	if (facts->blank)
		memset(value, '0', strlen(value));
	return value;
}

static void
put_client(struct text *text, const struct header_facts *facts)
{
	bool six = addr_family(&facts->client) == AF_INET6;
	char address[INET6_ADDRSTRLEN], value[VALUE_SIZE], port[8];

	snprintf(port, sizeof(port), "%u", (unsigned)addr_port(&facts->client));
	put(text, "from");
	put(text, "[%s%s]:%s", six ? "IPv6:" : "", host(&facts->client, address),
	    differing(port, facts));
	if (facts->ident[0])
		put(text, "[ident %s]", clean(facts->ident, " []", value));
	else
		put(text, "[ident-empty]");
}

/* All its words, as far as there is room. */
static void
put_abuse(struct text *text, const char *abuse)
{
	char value[VALUE_SIZE];
	const char *at = clean(abuse, "", value);

	at += strspn(at, " ");
	if (!*at)
		return;
	fold(text);
	put(text, "abuse-to");
	for (; *at; at += strspn(at, " ")) {
		put_word(text, at, strcspn(at, " "));
		at += strcspn(at, " ");
	}
}

size_t
header_generic(const struct header_facts *facts, char at[static HEADER_MAX])
{
	char value[VALUE_SIZE];
	struct text text;

	begin(&text, facts, at);
	put_client(&text, facts);
	fold(&text);
	put(&text, "by");
	put(&text, "%s", clean(facts->by, " ", value));
	put(&text, "with");
	put(&text, "TPROXY");
	put(&text, "id");
	clean(facts->id, " ", value);
	put(&text, "%s", differing(value, facts));
	put_abuse(&text, facts->abuse);
	end_line(&text);
	return text.size;
}

size_t
header_ip_only(const struct header_facts *facts, char at[static HEADER_MAX])
{
	char address[INET6_ADDRSTRLEN];
	struct text text;

	begin(&text, facts, at);
	put(&text, "%s", host(&facts->client, address));
	end_line(&text);
	return text.size;
}

/* ---- where it stands -------------------------------------------------------------- */

static void
insert(struct evbuffer *message, size_t at, const char *text)
{
	struct evbuffer *front = evbuffer_new();
	int moved = front ? evbuffer_remove_buffer(message, front, at) : -1;

	/* For want of memory, or on a buffer that was frozen: ours both. */
	assert(moved >= 0 && (size_t)moved == at);
	if (evbuffer_add(front, text, strlen(text)) != 0 ||
	    evbuffer_prepend_buffer(message, front) != 0)
		assert(!"bytes are moved");
	evbuffer_free(front);
}

/* Up to SIZE bytes of MESSAGE at AT; returns how many there are. */
static size_t
look(struct evbuffer *message, size_t at, char *to, size_t size)
{
	struct evbuffer_ptr from;
	ev_ssize_t got;

	if (evbuffer_ptr_set(message, &from, at, EVBUFFER_PTR_SET) != 0)
		return 0;
	got = evbuffer_copyout_from(message, &from, to, size);
	return got > 0 ? (size_t)got : 0;
}

/* Between two lines, at AT.  False: what follows there must be known first. */
static bool
put_at(struct header_place *place, const char *header, struct evbuffer *message,
       size_t at, bool all)
{
	char next[2];
	size_t size = look(message, at, next, sizeof(next));
	bool blank = size > 0 && (unsigned char)next[0] <= ' ';

	if (!all && (size == 0 || (size == 1 && next[0] == '\r')))
		return false;
	if (size == 2 && next[0] == '\r' && next[1] == '\n')
		blank = false;
	if (blank)
		insert(message, at, "\r\n");
	insert(message, at, header);
	place->at = at;
	place->state = HEADER_PLACED;
	return true;
}

/* True if MESSAGE begins with a mailbox's line.  SURE: more of it would not change that. */
static bool
is_mailbox_line(struct evbuffer *message, bool *sure)
{
	static const char mark[] = "From ";
	enum { MARK = sizeof(mark) - 1 };
	char begin[MARK + 1];
	size_t size = look(message, 0, begin, sizeof(begin));
	size_t quote = size > 0 && begin[0] == '>', known = size - quote;
	bool alike = memcmp(begin + quote, mark, known < MARK ? known : MARK) == 0;

	*sure = !alike || known >= MARK;
	return alike && known >= MARK;
}

/* Behind the mailbox's line, when its end has come. */
static bool
put_behind_line(struct header_place *place, const char *header,
                struct evbuffer *message, bool all)
{
	struct evbuffer_ptr end = evbuffer_search(message, "\r\n", 2, NULL);

	if (end.pos >= 0)
		return put_at(place, header, message, (size_t)end.pos + 2, all);
	if (!all)
		return true;
	insert(message, evbuffer_get_length(message), "\r\n"); /* it has no end */
	return put_at(place, header, message, evbuffer_get_length(message), all);
}

bool
header_put(struct header_place *place, const char *header, struct evbuffer *message,
           bool all)
{
	bool mailbox, sure;

	switch (place->state) {
	case HEADER_AT_START:
		mailbox = is_mailbox_line(message, &sure);
		if (!sure && !all)
			return false;
		if (!mailbox)
			return put_at(place, header, message, 0, all);
		place->state = HEADER_IN_MAILBOX_LINE;
		return put_behind_line(place, header, message, all);
	case HEADER_IN_MAILBOX_LINE:
		return put_behind_line(place, header, message, all);
	case HEADER_PLACED:
		return true;
	}
	abort(); /* no such thing: a state */
}
