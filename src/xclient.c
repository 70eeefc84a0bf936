#include "xclient.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
	HOST_NAME_SIZE = 253, /* RFC 1035 2.3.4, without the root's dot */
	LABEL_SIZE = 63,
};

static const char unavailable[] = "[UNAVAILABLE]";
static const char unsure[] = "[TEMPUNAVAIL]";

/* ---- values -------------------------------------------------------------------- */

/* One value, not encoded yet. */
struct value {
	char text[XCLIENT_VALUE_MAX + 1];
};

static void
put_text(struct value *value, const char *text)
{
	snprintf(value->text, sizeof(value->text), "%s", text);
}

/* Without the scope that a link-local address may have: it means nothing elsewhere. */
static void
put_host(struct value *value, const struct addr *addr)
{
	char text[INET6_ADDRSTRLEN];

	if (addr_family(addr) == AF_INET)
		put_text(value,
		         inet_ntop(AF_INET, &addr->v4.sin_addr, text, sizeof(text)));
	else if (addr_family(addr) == AF_INET6)
		snprintf(value->text, sizeof(value->text), "IPV6:%s",
		         inet_ntop(AF_INET6, &addr->v6.sin6_addr, text, sizeof(text)));
}

static void
put_port(struct value *value, const struct addr *addr)
{
	if (addr_family(addr) != AF_UNSPEC && addr_port(addr) != 0)
		snprintf(value->text, sizeof(value->text), "%u",
		         (unsigned)addr_port(addr));
}

/* A name that we were told by whomever: it is checked here as well as there. */
static void
put_name(struct value *value, const char *name, bool may_come)
{
	if (name && xclient_is_host_name(name))
		put_text(value, name);
	else if (may_come)
		put_text(value, unsure);
}

/* The client may say anything; what could not stand in a header is left out. */
static void
put_helo(struct value *value, const char *helo)
{
	if (!helo || strlen(helo) > XCLIENT_VALUE_MAX)
		return;
	for (const char *at = helo; *at; at++)
		if (*at <= ' ' || *at > '~')
			return;
	put_text(value, helo);
}

static struct value
value_of(unsigned attribute, const struct xclient_facts *facts)
{
	struct value value = { "" };

	switch (attribute) {
	case XCLIENT_ADDR:
		put_host(&value, &facts->client);
		break;
	case XCLIENT_PORT:
		put_port(&value, &facts->client);
		break;
	case XCLIENT_NAME:
		put_name(&value, facts->name, facts->name_unsure);
		break;
	case XCLIENT_REVERSE_NAME:
		put_name(&value, facts->reverse_name, facts->name_unsure);
		break;
	case XCLIENT_DESTADDR:
		put_host(&value, &facts->dialled);
		break;
	case XCLIENT_DESTPORT:
		put_port(&value, &facts->dialled);
		break;
	case XCLIENT_SOURCE:
		put_text(&value, facts->is_local ? "LOCAL" : "REMOTE");
		break;
	case XCLIENT_PROTO:
		if (facts->helo)
			put_text(&value, facts->esmtp ? "ESMTP" : "SMTP");
		break;
	case XCLIENT_HELO:
		put_helo(&value, facts->helo);
		break;
	}
	if (!value.text[0])
		put_text(&value, unavailable);
	return value;
}

/* ---- commands ------------------------------------------------------------------- */

/* In the order in which they are written: what may be too long comes last. */
static const struct attribute {
	const char *word;
	unsigned bit;
} attributes[] = {
	{ "ADDR", XCLIENT_ADDR },         { "PORT", XCLIENT_PORT },
	{ "DESTADDR", XCLIENT_DESTADDR }, { "DESTPORT", XCLIENT_DESTPORT },
	{ "NAME", XCLIENT_NAME },         { "REVERSE_NAME", XCLIENT_REVERSE_NAME },
	{ "SOURCE", XCLIENT_SOURCE },     { "PROTO", XCLIENT_PROTO },
	{ "HELO", XCLIENT_HELO },
};

enum {
	ATTRIBUTES = sizeof(attributes) / sizeof(attributes[0]),
};

/* A command in the making; there is always room for the CRLF. */
struct line {
	char *text;
	size_t size;
};

static bool
is_plain(char c)
{
	return c > ' ' && c <= '~' && c != '+' && c != '=';
}

/* Appends " WORD=VALUE", the value as xtext.  False: it does not fit, and is not there. */
static bool
append(struct line *line, const char *word, const char *value)
{
	size_t before = line->size, most = XCLIENT_COMMAND_MAX - strlen("\r\n");
	size_t need = strlen(word) + strlen(" =");

	for (const char *at = value; *at; at++)
		need += is_plain(*at) ? 1 : strlen("+XX");
	if (need > most - before)
		return false;
	line->size += (size_t)sprintf(line->text + line->size, " %s=", word);
	for (const char *at = value; *at; at++)
		line->size += (size_t)sprintf(line->text + line->size,
		                              is_plain(*at) ? "%c" : "+%02X",
		                              (unsigned char)*at);
	assert(line->size == before + need);
	return true;
}

size_t
xclient_command(const char *verb, unsigned wanted, const struct xclient_facts *facts,
                char text[static XCLIENT_COMMAND_MAX + 1])
{
	struct line line = { .text = text };

	line.size = (size_t)sprintf(text, "%s", verb);
	for (size_t i = 0; i < ATTRIBUTES; i++) {
		struct value value;

		if (!(wanted & attributes[i].bit))
			continue;
		/* The server takes NAME for both, and both may be long. */
		if (attributes[i].bit == XCLIENT_REVERSE_NAME && facts->name)
			continue;
		value = value_of(attributes[i].bit, facts);
		if (!append(&line, attributes[i].word, value.text) &&
		    !append(&line, attributes[i].word, unavailable))
			assert(!"the longest values fit");
	}
	return line.size + (size_t)sprintf(text + line.size, "\r\n");
}

/* ---- what a server offers ---------------------------------------------------------- */

static unsigned
attribute_of(const char *word, size_t size)
{
	for (size_t i = 0; i < ATTRIBUTES; i++)
		if (strlen(attributes[i].word) == size &&
		    strncasecmp(attributes[i].word, word, size) == 0)
			return attributes[i].bit;
	return 0;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\v' || c == '\f';
}

unsigned
xclient_offered(const struct reply_line *line, const char *keyword)
{
	const char *at = line->text, *end = line->text + line->size, *word;
	unsigned offered = 0;

	if (!reply_offers(line, keyword))
		return 0;
	while (at < end) {
		while (at < end && is_blank(*at))
			at++;
		word = at;
		while (at < end && !is_blank(*at))
			at++;
		offered |= attribute_of(word, (size_t)(at - word));
	}
	return offered;
}

/* ---- host names --------------------------------------------------------------------- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* One label; NUMERIC says whether it is all digits. */
static bool
is_label(const char *label, size_t size, bool *numeric)
{
	*numeric = true;
	if (size == 0 || size > LABEL_SIZE || label[0] == '-' || label[size - 1] == '-')
		return false;
	for (size_t i = 0; i < size; i++) {
		*numeric &= is_digit(label[i]);
		if (!is_digit(label[i]) && !is_letter(label[i]) && label[i] != '-')
			return false;
	}
	return true;
}

bool
xclient_is_host_name(const char *name)
{
	bool numeric = true;
	size_t size;

	if (strlen(name) > HOST_NAME_SIZE)
		return false;
	for (;; name += size + 1) {
		size = strcspn(name, ".");
		if (!is_label(name, size, &numeric))
			return false;
		if (name[size] == '\0')
			return !numeric; /* the last label of an address is digits */
	}
}
