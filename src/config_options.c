#include "config_internal.h"

#include "dnsbl.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	LONGEST_TEXT = 400, /* with name and code it must fit into a reply line, 512 */
	LONGEST_STRING = 1000,
	LONGEST_HEADER = 64, /* its name */
};

/* ---- the rows of the table ------------------------------------------------------------- */

const struct option *
option_find(const char *name, size_t size)
{
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE; opt++)
		if (opt->name && strlen(opt->name) == size &&
		    memcmp(opt->name, name, size) == 0)
			return opt;
	return NULL;
}

bool
option_is_many(const struct option *opt)
{
	return opt->kind == OPTION_LIST || opt->kind == OPTION_NETS ||
	       opt->kind == OPTION_MASK;
}

void *
option_field(const struct config *cfg, const struct option *opt)
{
	return (char *)cfg + opt->field;
}

/* ---- reading ------------------------------------------------------------------------ */

static const struct word *
word_find(const struct option *opt, const char *text)
{
	char *end;
	long number = strtol(text, &end, 10);
	bool is_number = (opt->flags & OPT_NUMBERS) && end != text && !*end;

	for (const struct word *word = opt->words; word->text; word++)
		if (strcasecmp(word->text, text) == 0 ||
		    (is_number && word->value == number))
			return word;
	return NULL;
}

static const struct {
	const char *text;
	bool value;
} bool_words[] = {
	{ "true", true }, { "false", false }, { "yes", true }, { "no", false },
	{ "on", true },   { "off", false },   { "1", true },   { "0", false },
};

static bool
bool_read(const char *text, bool *value)
{
	for (size_t i = 0; i < sizeof(bool_words) / sizeof(bool_words[0]); i++)
		if (strcasecmp(bool_words[i].text, text) == 0) {
			*value = bool_words[i].value;
			return true;
		}
	return false;
}

/* What a suffix multiplies by; 0: there is none such. */
static int64_t
suffix_factor(const char *unit, const char *suffix)
{
	if (!*suffix)
		return 1;
	if (suffix[1])
		return 0;
	if (strcmp(unit, "bytes") == 0)
		switch (toupper((unsigned char)*suffix)) {
		case 'K':
			return INT64_C(1) << 10;
		case 'M':
			return INT64_C(1) << 20;
		case 'G':
			return INT64_C(1) << 30;
		}
	if (strcmp(unit, "s") == 0)
		switch (*suffix) {
		case 's':
			return 1;
		case 'm':
			return 60;
		case 'h':
			return 3600;
		case 'd':
			return 86400;
		}
	return 0;
}

bool
option_is_octal(const struct option *opt)
{
	return strcmp(opt->unit, "octal") == 0;
}

bool
option_is_points(const struct option *opt)
{
	return strcmp(opt->unit, "points") == 0;
}

/* Of "6.5": 6500.  No exponents, no more than thousandths. */
static bool
read_points(const char *text, int64_t *number)
{
	int64_t sign = *text == '-' ? -1 : 1, whole, part = 0;
	const char *digits = *text == '-' ? text + 1 : text;
	char *end;

	if (!isdigit((unsigned char)*digits))
		return false;
	whole = strtoll(digits, &end, 10);
	if (*end == '.') {
		const char *at = end + 1;
		size_t places = strspn(at, "0123456789");

		if (places == 0 || places > 3 || at[places])
			return false;
		for (size_t i = 0; i < 3; i++)
			part = part * 10 + (i < places ? at[i] - '0' : 0);
	} else if (*end) {
		return false;
	}
	if (whole > INT64_MAX / 1000 - 1)
		whole = INT64_MAX / 1000 - 1;
	*number = sign * (whole * 1000 + part);
	return true;
}

static bool
read_number(const struct option *opt, const char *text, int base, int64_t *number)
{
	const char *digits = *text == '-' ? text + 1 : text;
	char *end;
	long long value;
	int64_t factor;

	if (option_is_points(opt))
		return read_points(text, number);
	if (!isdigit((unsigned char)*digits))
		return false; /* strtoll() would skip blanks and take a '+' */
	value = strtoll(text, &end, base); /* too large a number: the largest */
	factor = suffix_factor(opt->unit, end);
	if (factor > 0 && __builtin_mul_overflow(value, factor, number))
		*number = value < 0 ? INT64_MIN : INT64_MAX;
	return factor > 0;
}

bool
option_number(const struct option *opt, const char *text, int64_t *number)
{
	return read_number(opt, text, option_is_octal(opt) ? 8 : 10, number);
}

bool
option_number_of_old(const struct option *opt, const char *text, int64_t *number)
{
	return read_number(opt, text, 0, number);
}

static void
range_text(const struct option *opt, char *text, size_t size)
{
	FILE *out = fmemopen(text, size, "w");

	assert(out);
	option_print_range(opt, out);
	if (strcmp(opt->unit, "bytes") == 0)
		fputs(", or with K, M, G", out);
	if (strcmp(opt->unit, "s") == 0)
		fputs(", or with m, h, d", out);
	fclose(out);
}

static bool
check_number(const struct option *opt, const char *text, char *why, size_t why_size)
{
	const char *digits = *text == '-' ? text + 1 : text;
	char range[128];
	int64_t number;

	/* 025 was 21 in files of 1.4, and is 25 for whoever writes it today. */
	if (!option_is_octal(opt) && digits[0] == '0' &&
	    isalnum((unsigned char)digits[1]) &&
	    option_number_of_old(opt, text, &number)) {
		snprintf(why, why_size,
		         "\"%s\" may be taken for octal or hexadecimal; "
		         "write a plain decimal number",
		         text);
		return false;
	}
	range_text(opt, range, sizeof(range));
	if (!option_number(opt, text, &number)) {
		snprintf(why, why_size, "\"%s\" is no %s; allowed: %s", text,
		         option_is_octal(opt)    ? "octal number"
		         : option_is_points(opt) ? "number with up to three decimals"
		         : opt->unit[0]          ? "whole number or has an unknown unit"
		                                 : "whole number",
		         range);
		return false;
	}
	if (number < opt->low || number > opt->high) {
		snprintf(why, why_size, "\"%s\" is out of range; allowed: %s", text,
		         range);
		return false;
	}
	return true;
}

static bool
check_word(const struct option *opt, const char *text, char *why, size_t why_size)
{
	char words[256] = "";
	FILE *out;

	if (word_find(opt, text))
		return true;
	if (config_old_value(opt->name, text, why, why_size))
		return false;
	out = fmemopen(words, sizeof(words), "w");
	assert(out);
	option_print_words(opt, out);
	fclose(out);
	snprintf(why, why_size, "no such word: \"%s\"; allowed: %s", text, words);
	return false;
}

static bool
is_token(const char *text, const char *but)
{
	for (; *text; text++)
		if (*text <= ' ' || *text > '~' || strchr(but, *text))
			return false;
	return true;
}

/* Of interfaces and tables: nothing that would say more in a rule of netfilter's. */
static bool
is_name(const char *text)
{
	size_t size = strspn(text,
	                     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                     "0123456789_-.@");

	return text[size] == '\0' && size <= 15;
}

static bool
is_header(const char *text)
{
	return is_token(text, ":") && strlen(text) <= LONGEST_HEADER;
}

static bool
is_port(const char *text)
{
	size_t size = strspn(text, "0123456789");
	long port = size > 0 && size <= 5 ? strtol(text, NULL, 10) : 0;

	return text[size] == '\0' && text[0] != '0' && port > 0 && port <= UINT16_MAX;
}

static bool
lacks_interface(const struct addr *addr)
{
	return addr_family(addr) == AF_INET6 && addr->v6.sin6_scope_id == 0 &&
	       IN6_IS_ADDR_LINKLOCAL(&addr->v6.sin6_addr);
}

static const char *
address_fault(const char *text)
{
	struct addr addr;

	if (!addr_parse(&addr, text, 0))
		return strchr(text, '%') ? "is no IPv6 address, or this host has no "
		                           "such interface"
		                         : "is no IPv4 or IPv6 address";
	if (lacks_interface(&addr))
		return "is a link-local address and needs its interface, as in "
		       "fe80::1%eth0";
	return NULL;
}

static const char *
server_fault(const char *text)
{
	struct addr addr;

	if (*text == '/' || addr_parse_port(&addr, text))
		return NULL;
	return "is no server: the absolute path of its socket, or ADDRESS:PORT, with "
	       "an "
	       "IPv6 address in brackets";
}

/* The name of the service is up to the server; nothing in it ends a line of its protocol. */
static const char *
icap_fault(const char *text)
{
	static const char scheme[] = "icap://";
	const char *host = text + strlen(scheme), *slash;
	char *server;
	struct addr addr;
	bool good;

	if (strncasecmp(text, scheme, strlen(scheme)) != 0 || !is_token(text, ""))
		return "is no icap://ADDRESS:PORT/SERVICE";
	slash = strchr(host, '/');
	if (!slash || !slash[1])
		return "lacks the name of a service, as in icap://ADDRESS:PORT/SERVICE";
	server = xasprintf("%.*s", (int)(slash - host), host);
	good = addr_parse(&addr, server, 0) || addr_parse_port(&addr, server);
	free(server);
	return good ? NULL
	            : "has no numeric address, or no port: "
	              "icap://ADDRESS:PORT/SERVICE, "
	              "with an IPv6 address in brackets";
}

static bool
check_string(const struct option *opt, const char *text, char *why, size_t why_size)
{
	size_t longest = opt->kind == OPTION_TEXT ? LONGEST_TEXT : LONGEST_STRING;
	struct dnsbl_zone zone;
	const char *fault = NULL;

	if (strlen(text) > longest) {
		snprintf(why, why_size, "is longer than %zu bytes", longest);
		return false;
	}
	if (!*text && (opt->flags & OPT_NEEDED || opt->kind == OPTION_LIST))
		fault = "must not be empty";
	else if (!*text)
		return true;
	else if (opt->flags & OPT_ADDRESS)
		fault = address_fault(text);
	else if (opt->flags & OPT_PATH && *text != '/')
		fault = "is no absolute path: it must begin with \"/\"";
	else if (opt->flags & OPT_TOKEN && !is_token(text, ""))
		fault = "must be one word of plain ASCII, without blanks";
	else if (opt->flags & OPT_NAME && !is_name(text))
		fault = "is no name: up to 15 letters, digits, or any of _-.@";
	else if (opt->flags & OPT_PORT && !is_port(text))
		fault = "is no port: a number from 1 to 65535";
	else if (opt->flags & OPT_URL)
		fault = opt->flags & OPT_SERVER && *text == '/'
		                ? NULL /* the path of a socket */
		                : config_url_fault(text);
	else if (opt->flags & OPT_HEADER && !is_header(text))
		fault = "is no name of a header: up to 64 characters of plain ASCII, "
			"no blank, no colon";
	else if (opt->flags & OPT_SERVER)
		fault = server_fault(text);
	else if (opt->flags & OPT_ICAP)
		fault = icap_fault(text);
	else if (opt->flags & OPT_ZONE)
		fault = dnsbl_zone_read(&zone, text);
	else if (opt->flags & OPT_STATE)
		fault = config_state_fault(text);
	if (fault &&
	    (!*text || opt->flags & OPT_STATE)) /* there may be a password in it */
		snprintf(why, why_size, "it %s", fault);
	else if (fault)
		snprintf(why, why_size, "\"%s\" %s", text, fault);
	return !fault;
}

static bool
check_regex(const char *text, char *why, size_t why_size)
{
	struct pattern *pattern;
	char fault[256];

	if (strlen(text) > LONGEST_STRING) {
		snprintf(why, why_size, "is longer than %d bytes", LONGEST_STRING);
		return false;
	}
	if (!*text)
		return true;
	pattern = pattern_new(text, fault, sizeof(fault));
	if (!pattern)
		snprintf(why, why_size, "\"%s\" is no regular expression: %s", text,
		         fault);
	pattern_drop(pattern);
	return pattern;
}

static bool
check_net(const char *text, char *why, size_t why_size)
{
	char fault[256];
	struct addr_net net;

	if (addr_net_parse(&net, text, fault, sizeof(fault)))
		return true;
	snprintf(why, why_size, "\"%s\" %s", text, fault);
	return false;
}

bool
option_check(const struct option *opt, const char *text, char *why, size_t why_size)
{
	bool value;

	switch (opt->kind) {
	case OPTION_BOOL:
		if (bool_read(text, &value))
			return true;
		snprintf(why, why_size,
		         "\"%s\" is neither true nor false; allowed: "
		         "true, false, yes, no, on, off, 1, 0",
		         text);
		return false;
	case OPTION_INT:
		return check_number(opt, text, why, why_size);
	case OPTION_WORD:
	case OPTION_MASK:
		return check_word(opt, text, why, why_size);
	case OPTION_STR:
	case OPTION_LIST:
	case OPTION_TEXT:
		return check_string(opt, text, why, why_size);
	case OPTION_REGEX:
		return check_regex(text, why, why_size);
	case OPTION_NETS:
		return check_net(text, why, why_size);
	case OPTION_NONE:
	case OPTION_SECTION:
		break;
	}
	abort();
}

static void
regex_set(struct pattern **pattern, const char *text)
{
	char why[256];

	pattern_drop(*pattern);
	*pattern = *text ? pattern_new(text, why, sizeof(why)) : NULL;
	assert(!*text || *pattern);
}

static void
nets_append(struct addr_nets *nets, const char *text)
{
	char why[256];
	struct addr_net net;
	bool good = addr_net_parse(&net, text, why, sizeof(why));

	assert(good);
	addr_nets_add(nets, &net);
}

void
option_set(struct config *cfg, const struct option *opt, const char *text)
{
	void *field = option_field(cfg, opt);
	bool good = true;

	switch (opt->kind) {
	case OPTION_BOOL:
		good = bool_read(text, field);
		break;
	case OPTION_INT:
		good = option_number(opt, text, field);
		break;
	case OPTION_WORD:
		*(int *)field = word_find(opt, text)->value;
		break;
	case OPTION_MASK:
		*(unsigned *)field |= (unsigned)word_find(opt, text)->value;
		break;
	case OPTION_STR:
	case OPTION_TEXT:
		free(*(char **)field);
		*(char **)field = xstrdup(text);
		break;
	case OPTION_REGEX:
		regex_set(field, text);
		break;
	case OPTION_LIST:
		string_list_add(field, text);
		break;
	case OPTION_NETS:
		nets_append(field, text);
		break;
	case OPTION_NONE:
	case OPTION_SECTION:
		abort();
	}
	assert(good);
}

/* ---- names -------------------------------------------------------------------------- */

/* How many characters must change, come or go to make one of the other. */
static size_t
distance(const char *a, const char *b)
{
	enum { LONGEST = 48 };
	size_t row[LONGEST + 1], b_size = strlen(b);

	if (b_size > LONGEST)
		return SIZE_MAX;
	for (size_t j = 0; j <= b_size; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_size; j++) {
			size_t best = corner +
			              (tolower((unsigned char)a[i - 1]) != b[j - 1]);

			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			corner = row[j];
			row[j] = best;
		}
	}
	return row[b_size];
}

const char *
config_nearest(const char *name)
{
	size_t nearest = strlen(name) / 3 + 2; /* what is farther is no misspelling */
	const char *found = NULL;

	for (const struct option *opt = config_options; opt->kind != OPTION_NONE;
	     opt++) {
		size_t far = opt->name ? distance(name, opt->name) : SIZE_MAX;

		if (far < nearest) {
			nearest = far;
			found = opt->name;
		}
	}
	return found;
}
