#include "spf_internal.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

/*
 * Records: see spf_internal.h.  A record is read from its beginning each time, a term at a
 * time: its terms need no memory of their own, however many there are.
 */
enum argument {
	ARGUMENT_NONE,
	ARGUMENT_DOMAIN,
	ARGUMENT_MAY_BE_DOMAIN,
	ARGUMENT_IS_NETWORK,
};

/* Section 5, and its grammar. */
static const struct mechanism {
	const char *name;
	enum spf_kind kind;
	enum argument argument;
	bool has_bits; /* /24//64 */
} mechanisms[] = {
	{ "all", SPF_ALL, ARGUMENT_NONE, false },
	{ "include", SPF_INCLUDE, ARGUMENT_DOMAIN, false },
	{ "a", SPF_HAS_A, ARGUMENT_MAY_BE_DOMAIN, true },
	{ "mx", SPF_HAS_MX, ARGUMENT_MAY_BE_DOMAIN, true },
	{ "ptr", SPF_HAS_PTR, ARGUMENT_MAY_BE_DOMAIN, false },
	{ "ip4", SPF_IP4, ARGUMENT_IS_NETWORK, true },
	{ "ip6", SPF_IP6, ARGUMENT_IS_NETWORK, true },
	{ "exists", SPF_EXISTS, ARGUMENT_DOMAIN, false },
};

static const char malformed[] = "a term of the record is malformed";

/* ---- characters ------------------------------------------------------------------- */

bool
spf_span_is(struct spf_span span, const char *word)
{
	return span.size == strlen(word) && strncasecmp(span.at, word, span.size) == 0;
}

static bool
is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_of_name(char c)
{
	return is_alpha(c) || is_digit(c) || c == '-' || c == '_' || c == '.';
}

/* name = ALPHA *( ALPHA / DIGIT / "-" / "_" / "." ), as much of it as there is. */
static struct spf_span
name_of(struct spf_span text)
{
	size_t size = 0;

	if (text.size == 0 || !is_alpha(text.at[0]))
		return (struct spf_span){ text.at, 0 };
	while (size < text.size && is_of_name(text.at[size]))
		size++;
	return (struct spf_span){ text.at, size };
}

static struct spf_span
behind(struct spf_span text, size_t size)
{
	return (struct spf_span){ text.at + size, text.size - size };
}

/* ---- lengths of prefixes ------------------------------------------------------------ */

/* Takes SLASHES and a number off the end, if they are there: "0" / %x31-39 *DIGIT.
 * False: the number is wrong. */
static bool
take_bits(struct spf_span *text, const char *slashes, unsigned most, unsigned *bits)
{
	size_t digits = 0, before;
	unsigned number = 0;

	while (digits < text->size && is_digit(text->at[text->size - digits - 1]))
		digits++;
	before = text->size - digits;
	if (digits == 0 || before < strlen(slashes) ||
	    memcmp(text->at + before - strlen(slashes), slashes, strlen(slashes)) != 0)
		return true;
	if (digits > 3 || (digits > 1 && text->at[before] == '0'))
		return false;
	for (size_t i = before; i < text->size; i++)
		number = number * 10 + (unsigned)(text->at[i] - '0');
	text->size = before - strlen(slashes);
	*bits = number;
	return number <= most;
}

/* 5.6: one prefix of its own family. */
static bool
read_network(struct spf_span text, struct spf_term *term)
{
	bool is_four = term->kind == SPF_IP4;
	char address[INET6_ADDRSTRLEN];

	if (!take_bits(&text, "/", is_four ? 32 : 128,
	               is_four ? &term->bits4 : &term->bits6))
		return false;
	if (text.size < 2 || text.at[0] != ':' || text.size > sizeof(address))
		return false;
	memcpy(address, text.at + 1, text.size - 1);
	address[text.size - 1] = '\0';
	if (strlen(address) != text.size - 1)
		return false;
	term->network.any.sa_family = is_four ? AF_INET : AF_INET6;
	if (is_four)
		return inet_pton(AF_INET, address, &term->network.v4.sin_addr) == 1;
	return inet_pton(AF_INET6, address, &term->network.v6.sin6_addr) == 1;
}

/* ---- terms --------------------------------------------------------------------------- */

static bool
read_domain(struct spf_span text, struct spf_term *term)
{
	if (text.size < 2 || text.at[0] != ':')
		return false;
	term->domain = behind(text, 1);
	return spf_is_domain_spec(term->domain);
}

static bool
read_argument(const struct mechanism *mechanism, struct spf_span text,
              struct spf_term *term)
{
	if (mechanism->argument == ARGUMENT_IS_NETWORK)
		return read_network(text, term);
	if (mechanism->has_bits && (!take_bits(&text, "//", 128, &term->bits6) ||
	                            !take_bits(&text, "/", 32, &term->bits4)))
		return false;
	if (mechanism->argument == ARGUMENT_DOMAIN)
		return read_domain(text, term);
	if (text.size == 0)
		return true;
	return mechanism->argument == ARGUMENT_MAY_BE_DOMAIN && read_domain(text, term);
}

static bool
read_mechanism(struct spf_span name, struct spf_span rest, struct spf_term *term)
{
	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
		if (!spf_span_is(name, mechanisms[i].name))
			continue;
		term->kind = mechanisms[i].kind;
		return read_argument(&mechanisms[i], rest, term);
	}
	return false;
}

/* Section 6.  Of what nobody knows, it is the form alone that counts. */
static bool
read_modifier(struct spf_span name, struct spf_span value, struct spf_term *term)
{
	term->kind = SPF_UNKNOWN_MODIFIER;
	if (spf_span_is(name, "redirect"))
		term->kind = SPF_REDIRECT;
	else if (spf_span_is(name, "exp"))
		term->kind = SPF_EXP;
	else
		return spf_is_macro_string(value, SPF_OF_EXPLANATIONS);
	term->domain = value;
	return spf_is_domain_spec(value);
}

static enum spf_verdict
read_qualifier(char c)
{
	switch (c) {
	case '-':
		return SPF_FAIL;
	case '~':
		return SPF_SOFTFAIL;
	case '?':
		return SPF_NEUTRAL;
	case '+':
		return SPF_PASS;
	}
	return SPF_NONE; /* it is none */
}

static bool
read_term(struct spf_span text, struct spf_term *term)
{
	enum spf_verdict qualifier = read_qualifier(text.at[0]);
	struct spf_span name, rest;

	*term = (struct spf_term){ .whole = text, .bits4 = 32, .bits6 = 128 };
	term->qualifier = qualifier == SPF_NONE ? SPF_PASS : qualifier;
	if (qualifier != SPF_NONE)
		text = behind(text, 1);
	name = name_of(text);
	rest = behind(text, name.size);
	if (name.size == 0)
		return false;
	if (rest.size > 0 && rest.at[0] == '=')
		return qualifier == SPF_NONE &&
		       read_modifier(name, behind(rest, 1), term);
	return read_mechanism(name, rest, term);
}

bool
spf_next_term(struct spf_span *rest, struct spf_term *term, const char **why)
{
	struct spf_span text;
	const char *end;

	*why = NULL;
	while (rest->size > 0 && rest->at[0] == ' ')
		*rest = behind(*rest, 1);
	if (rest->size == 0)
		return false;
	end = memchr(rest->at, ' ', rest->size);
	text.at = rest->at;
	text.size = end ? (size_t)(end - rest->at) : rest->size;
	*rest = behind(*rest, text.size);
	if (read_term(text, term))
		return true;
	*why = malformed;
	return false;
}

/* ---- records -------------------------------------------------------------------------- */

static const char version[] = "v=spf1";

bool
spf_is_record(const char *text)
{
	size_t size = strlen(version);

	return strncasecmp(text, version, size) == 0 &&
	       (text[size] == ' ' || text[size] == '\0');
}

struct spf_span
spf_terms_of(const char *record)
{
	const char *terms = record + strlen(version);

	return (struct spf_span){ terms, strlen(terms) };
}

const char *
spf_check_record(const char *record, struct spf_term *redirect, struct spf_term *exp)
{
	struct spf_span rest = spf_terms_of(record);
	struct spf_term term;
	const char *why;

	if (rest.size > SPF_RECORD_MAX)
		return "the record is too long";
	*redirect = *exp = (struct spf_term){ .kind = SPF_UNKNOWN_MODIFIER };
	while (spf_next_term(&rest, &term, &why)) {
		struct spf_term *one = term.kind == SPF_REDIRECT ? redirect
		                       : term.kind == SPF_EXP    ? exp
		                                                 : NULL;

		if (one && one->domain.size > 0)
			return "a modifier of the record is there twice";
		if (one)
			*one = term;
	}
	return why;
}
