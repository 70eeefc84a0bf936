#include "spf_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/*
 * Macros (section 7): see spf_internal.h.
 */
enum {
	/* What one macro stands for: local@domain is the longest. */
	VALUE_SIZE = SPF_LOCAL_SIZE + SPF_NAME_SIZE,
	PARTS_MAX = VALUE_SIZE, /* each but the last has a delimiter behind it */
	NAME_ROOM = 4096,       /* of a name before it is cut; a longer one is none */
	KEEP_ALL = 1000,        /* more parts than there can be */
};

static const char delimiter_letters[] = ".-+,/_=";

struct macro {
	char letter; /* in lower case, or one of % _ - */
	bool escapes;
	bool reverses;
	unsigned keeps;            /* so many parts, from the right */
	struct spf_span delimiter; /* empty: the dot */
};

/* ---- grammar ------------------------------------------------------------------------ */

static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9');
}

static bool
is_delimiter(char c)
{
	return c != '\0' && strchr(delimiter_letters, c);
}

static bool
is_macro_letter(char c, enum spf_letters letters)
{
	return c != '\0' &&
	       strchr(letters == SPF_OF_NAMES ? "slodipvh" : "slodipvhcrt", c);
}

/* Takes what stands between the letter and the brace.  False: it is wrong. */
static bool
take_transformers(struct spf_span *text, struct macro *macro)
{
	bool has_digits = false;

	for (; text->size > 0 && *text->at >= '0' && *text->at <= '9';
	     text->at++, text->size--) {
		has_digits = true;
		macro->keeps = macro->keeps * 10 + (unsigned)(*text->at - '0');
		if (macro->keeps > KEEP_ALL)
			macro->keeps = KEEP_ALL;
	}
	if (has_digits && macro->keeps == 0)
		return false; /* 7.1: it must not be zero */
	if (!has_digits)
		macro->keeps = KEEP_ALL;
	macro->reverses = text->size > 0 && (*text->at == 'r' || *text->at == 'R');
	if (macro->reverses)
		text->at++, text->size--;
	macro->delimiter = (struct spf_span){ text->at, 0 };
	for (; text->size > 0 && is_delimiter(*text->at); text->at++, text->size--)
		macro->delimiter.size++;
	return true;
}

/* Takes what stands behind a percent sign.  False: it is no macro. */
static bool
take_macro(struct spf_span *text, enum spf_letters letters, struct macro *macro)
{
	*macro = (struct macro){ .keeps = 0 };
	if (text->size == 0)
		return false;
	macro->letter = *text->at++;
	text->size--;
	if (strchr("%_-", macro->letter) && macro->letter != '\0')
		return true;
	if (macro->letter != '{' || text->size == 0)
		return false;
	macro->escapes = *text->at >= 'A' && *text->at <= 'Z';
	macro->letter = (char)(macro->escapes ? *text->at - 'A' + 'a' : *text->at);
	text->at++, text->size--;
	if (!is_macro_letter(macro->letter, letters) ||
	    !take_transformers(text, macro) || text->size == 0 || *text->at != '}')
		return false;
	text->at++, text->size--;
	return true;
}

/* Takes the next character or macro: the letter of a character's is NUL.  False: it is
 * neither. */
static bool
take_piece(struct spf_span *text, enum spf_letters letters, char *c,
           struct macro *macro)
{
	*c = *text->at++;
	text->size--;
	macro->letter = '\0';
	if (*c == '%')
		return take_macro(text, letters, macro);
	return (*c > ' ' && *c <= '~') || (*c == ' ' && letters == SPF_OF_EXPLANATIONS);
}

bool
spf_is_macro_string(struct spf_span text, enum spf_letters letters)
{
	struct macro macro;
	char c;

	while (text.size > 0)
		if (!take_piece(&text, letters, &c, &macro))
			return false;
	return true;
}

/* toplabel of 7.1: a label with a letter or an inner dash in it. */
static bool
is_toplabel(const char *at, size_t size)
{
	bool has_more = false;

	if (size == 0 || at[0] == '-' || at[size - 1] == '-')
		return false;
	for (size_t i = 0; i < size; i++) {
		if (!is_alnum(at[i]) && at[i] != '-')
			return false;
		has_more |= at[i] < '0' || at[i] > '9';
	}
	return has_more;
}

/* domain-end of 7.1: a macro, or a dot and a toplabel. */
bool
spf_is_domain_spec(struct spf_span text)
{
	struct spf_span tail = text; /* behind the last macro */
	struct macro macro;
	const char *dot;
	char c;

	if (text.size == 0)
		return false;
	while (text.size > 0) {
		if (!take_piece(&text, SPF_OF_NAMES, &c, &macro))
			return false;
		if (macro.letter != '\0')
			tail = text;
	}
	if (tail.size == 0)
		return true;
	if (tail.at[tail.size - 1] == '.')
		tail.size--;
	dot = memrchr(tail.at, '.', tail.size);
	return dot && is_toplabel(dot + 1, tail.size - (size_t)(dot + 1 - tail.at));
}

bool
spf_wants_validated(struct spf_span text)
{
	struct macro macro;
	char c;

	while (text.size > 0)
		if (!take_piece(&text, SPF_OF_EXPLANATIONS, &c, &macro))
			return false;
		else if (macro.letter == 'p')
			return true;
	return false;
}

/* ---- what letters stand for ------------------------------------------------------------ */

/* 7.3: IPv4 as it is written, IPv6 in nibbles. */
static void
write_client(const struct addr *client, char to[static VALUE_SIZE])
{
	const uint8_t *at = client->v6.sin6_addr.s6_addr;
	size_t size = 0;

	if (addr_family(client) != AF_INET6) {
		snprintf(to, VALUE_SIZE, "%s",
		         addr_text(client, (char[ADDR_TEXT_SIZE]){ 0 }));
		return;
	}
	for (size_t i = 0; i < 16; i++)
		size += (size_t)snprintf(to + size, VALUE_SIZE - size, "%s%x.%x",
		                         i > 0 ? "." : "", at[i] >> 4, at[i] & 15u);
}

/* As people write it; a scope says nothing to them. */
static void
write_readable(const struct addr *client, char to[static VALUE_SIZE])
{
	struct addr plain = *client;

	if (addr_family(client) == AF_INET6)
		plain.v6.sin6_scope_id = 0;
	snprintf(to, VALUE_SIZE, "%s", addr_text(&plain, (char[ADDR_TEXT_SIZE]){ 0 }));
}

static const char *
value_of(char letter, const struct spf_facts *facts, char box[static VALUE_SIZE])
{
	switch (letter) {
	case 's':
		snprintf(box, VALUE_SIZE, "%s@%s", facts->local, facts->sender_domain);
		return box;
	case 'l':
		return facts->local;
	case 'o':
		return facts->sender_domain;
	case 'd':
		return facts->domain;
	case 'i':
		write_client(&facts->client, box);
		return box;
	case 'p':
		return facts->validated;
	case 'v':
		return addr_family(&facts->client) == AF_INET6 ? "ip6" : "in-addr";
	case 'h':
		return facts->helo;
	case 'c':
		write_readable(&facts->client, box);
		return box;
	case 'r':
		return facts->receiver;
	case 't':
		snprintf(box, VALUE_SIZE, "%" PRId64, facts->now);
		return box;
	}
	return "";
}

/* ---- expansion --------------------------------------------------------------------------- */

struct text {
	char *at;
	size_t size, room;
	bool overflowed; /* what is there is not all */
};

static void
put(struct text *text, char c)
{
	if (text->size == text->room)
		text->overflowed = true;
	else
		text->at[text->size++] = c;
}

static bool
is_unreserved(char c)
{
	return is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

/* Upper case of a letter: as in a URL (RFC 3986, 2.3). */
static void
put_value(struct text *text, const char *at, size_t size, bool escapes)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < size; i++) {
		if (!escapes || is_unreserved(at[i])) {
			put(text, at[i]);
			continue;
		}
		put(text, '%');
		put(text, hex[(unsigned char)at[i] >> 4]);
		put(text, hex[(unsigned char)at[i] & 15]);
	}
}

static size_t
split(const char *value, struct spf_span delimiter, struct spf_span *parts)
{
	size_t count = 0;

	if (delimiter.size == 0)
		delimiter = (struct spf_span){ ".", 1 };
	parts[0] = (struct spf_span){ value, 0 };
	for (const char *at = value; *at; at++) {
		if (memchr(delimiter.at, *at, delimiter.size) && count < PARTS_MAX - 1)
			parts[++count] = (struct spf_span){ at + 1, 0 };
		else
			parts[count].size++;
	}
	return count + 1;
}

static void
put_macro(struct text *text, const struct macro *macro, const struct spf_facts *facts)
{
	struct spf_span parts[PARTS_MAX];
	char box[VALUE_SIZE];
	size_t count = split(value_of(macro->letter, facts, box), macro->delimiter,
	                     parts);
	size_t first = count > macro->keeps ? count - macro->keeps : 0;

	for (size_t i = first; i < count; i++) {
		const struct spf_span
			*part = &parts[macro->reverses ? count - 1 - i : i];

		if (i > first)
			put(text, '.');
		put_value(text, part->at, part->size, macro->escapes);
	}
}

static void
expand(struct spf_span from, enum spf_letters letters, const struct spf_facts *facts,
       struct text *text)
{
	struct macro macro;
	char c;

	while (from.size > 0 && !text->overflowed &&
	       take_piece(&from, letters, &c, &macro)) {
		if (macro.letter == '\0' || macro.letter == '%')
			put(text, c);
		else if (macro.letter == '_')
			put(text, ' ');
		else if (macro.letter == '-')
			put_value(text, " ", 1, true);
		else
			put_macro(text, &macro, facts);
	}
}

/* 7.3: what is too long loses labels on its left. */
static const char *
cut_left(const char *name)
{
	while (strlen(name) >= SPF_NAME_SIZE) {
		name = strchr(name, '.');
		if (!name)
			return "";
		name++;
	}
	return name;
}

bool
spf_expand_name(struct spf_span spec, const struct spf_facts *facts,
                char name[static SPF_NAME_SIZE])
{
	char room[NAME_ROOM + 1];
	struct text text = { .at = room, .room = NAME_ROOM };

	expand(spec, SPF_OF_NAMES, facts, &text);
	if (text.size > 0 && room[text.size - 1] == '.')
		text.size--;
	room[text.size] = '\0';
	snprintf(name, SPF_NAME_SIZE, "%s", cut_left(room));
	return !text.overflowed && spf_can_ask(name);
}

void
spf_expand_explanation(struct spf_span from, const struct spf_facts *facts,
                       char to[static SPF_EXPLANATION_SIZE])
{
	struct text text = { .at = to, .room = SPF_EXPLANATION_SIZE - 1 };

	to[0] = '\0';
	if (!spf_is_macro_string(from, SPF_OF_EXPLANATIONS))
		return;
	expand(from, SPF_OF_EXPLANATIONS, facts, &text);
	to[text.size] = '\0';
	for (size_t i = 0; i < text.size; i++) /* a HELO may be anything */
		text.overflowed |= to[i] < ' ' || to[i] > '~';
	if (text.overflowed)
		to[0] = '\0';
}

/* ---- names -------------------------------------------------------------------------------- */

bool
spf_can_ask(const char *name)
{
	size_t label = 0, size = 0;

	for (; name[size] != '\0'; size++) {
		if (name[size] < ' ' || name[size] > '~')
			return false;
		if (name[size] == '.' && label == 0)
			return false;
		label = name[size] == '.' ? 0 : label + 1;
		if (label > 63)
			return false;
	}
	return label > 0 && size < SPF_NAME_SIZE;
}

bool
spf_is_below(const char *sub, const char *name)
{
	size_t size = strlen(sub), above = strlen(name);

	if (size < above || strcasecmp(sub + size - above, name) != 0)
		return false;
	return size == above || sub[size - above - 1] == '.';
}
