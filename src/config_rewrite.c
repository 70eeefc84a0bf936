#include "config_internal.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct rewriting {
	int line;
	bool keep;      /* for people to read: with comments */
	bool unscanned; /* it says antivirus_type off */
	FILE *out;
	config_fault_cb *refused;
	config_note_cb *noted;
	void *arg;
};

static void PRINTF(2, 3) refuse(struct rewriting *work, const char *format, ...)
{
	char words[512];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	work->refused(work->line, words, work->arg);
}

static void PRINTF(2, 3) note(struct rewriting *work, const char *format, ...)
{
	char words[512];
	int used = snprintf(words, sizeof(words), "%d: ", work->line);
	va_list args;

	va_start(args, format);
	vsnprintf(words + used, sizeof(words) - (size_t)used, format, args);
	va_end(args);
	if (work->noted)
		work->noted(words, work->arg);
}

/* Without quotes, if there is nothing in it that needs some. */
static void
write_word(struct rewriting *work, const char *text, size_t size)
{
	bool plain = size > 0;

	for (size_t i = 0; i < size; i++)
		plain &= isalnum((unsigned char)text[i]) || strchr("-_", text[i]);
	if (plain)
		fwrite(text, 1, size, work->out);
	else
		print_quoted(text, size, work->out);
}

/* The next part between commas, without the blanks around it; NULL: there is no more. */
static const char *
next_part(const char **rest, size_t *size)
{
	const char *part = *rest + strspn(*rest, " \t,");

	*size = strcspn(part, ",");
	*rest = part + *size;
	while (*size > 0 && strchr(" \t", part[*size - 1]))
		--*size;
	return *size > 0 ? part : NULL;
}

static bool
says_something(const struct option *opt, const char *value)
{
	const char *part;
	size_t size;

	while ((part = next_part(&value, &size)))
		if (!option_is_nothing(opt, part, size))
			return true;
	return false;
}

/* In 1.4 a word such as never was no more than nothing that is added to the others. */
static void
note_nothing(struct rewriting *work, const struct option *opt, const char *value)
{
	note(work,
	     "%s: \"%s\": the word for nothing at all is left out, the others "
	     "count, as in 1.4",
	     opt->name, value);
	if (work->keep)
		fprintf(work->out, "   # was %s", value);
}

static void
write_list(struct rewriting *work, const struct option *opt, const char *value)
{
	const char *comma = "", *rest = value, *part;
	bool says = says_something(opt, value), left_out = false;
	size_t size;

	fputc('{', work->out);
	while ((part = next_part(&rest, &size))) {
		if (says && option_is_nothing(opt, part, size)) {
			left_out = true;
			continue;
		}
		fputs(comma, work->out);
		if (opt->kind == OPTION_MASK)
			write_word(work, part, size);
		else
			print_quoted(part, size, work->out);
		comma = ", ";
	}
	fputc('}', work->out);
	if (left_out)
		note_nothing(work, opt, value);
}

/* Low numbers that 1.4 took, and what they were meant to say.  (The limits are for what
 * held no signatures: the daemon would not even start.) */
static const struct {
	const char *name;
	int64_t least; /* 0: the lowest that is allowed */
	enum { HIGHEST, LOWEST } instead;
} low_numbers[] = {
	{ "timeout_direct", 0, HIGHEST },
	{ "timeout_connect", 0, HIGHEST },
	{ "timeout_scanner", 0, HIGHEST },
	{ "timeout_session", 0, HIGHEST },
	{ "timeout_idle", 0, HIGHEST },
	{ "buffer_size", 0, LOWEST },
	{ "connect_queue", 0, LOWEST },
	{ "pipeline_size", 0, LOWEST },
	{ "enfile_sleep", 0, LOWEST },
	{ "priority", 0, LOWEST },
	{ "limit_core_size", 0, LOWEST },
	{ "limit_virt_size", INT64_C(1) << 30, LOWEST },
	{ "limit_data_size", INT64_C(1) << 30, LOWEST },
	{ "limit_fsize", 0, LOWEST },
};

/* 1.4 had hardly any bounds.  What lies beyond ours is brought within where it is clear
 * what was meant; all the rest is left to be refused. */
static int64_t
bring_within(const struct option *opt, int64_t number)
{
	bool is_strict = strcmp(opt->name, "port") == 0 ||
	                 strcmp(opt->name, "fixed_server_port") == 0 ||
	                 strcmp(opt->unit, "octal") == 0;

	if (number > opt->high && !is_strict)
		return opt->high;
	for (size_t i = 0; i < sizeof(low_numbers) / sizeof(low_numbers[0]); i++)
		if (strcmp(low_numbers[i].name, opt->name) == 0 &&
		    number < (low_numbers[i].least ?: opt->low))
			return low_numbers[i].instead == HIGHEST ? opt->high : opt->low;
	return number;
}

static bool
is_same_today(const struct option *opt, const char *value, int64_t number)
{
	char why[128];
	int64_t today;

	return option_check(opt, value, why, sizeof(why)) &&
	       option_number(opt, value, &today) && today == number;
}

/* NUMBER is what 1.4 took VALUE for. */
static void
write_number(struct rewriting *work, const struct option *opt, const char *value,
             int64_t number)
{
	int64_t fresh = bring_within(opt, number);

	if (is_same_today(opt, value, fresh)) {
		fputs(value, work->out);
		return;
	}
	option_print_number(opt, fresh, work->out);
	if (fresh == number)
		return;
	note(work, "%s: %" PRId64 " is not possible any more; %" PRId64 " is used",
	     opt->name, number, fresh);
	if (work->keep)
		fprintf(work->out, "   # was %s", value);
}

/* 1.4 read a number as far as it went, so that there may be a comment behind.  Cuts it
 * off; NULL: there is none. */
static char *
split_comment(char *value)
{
	char *end = value + strcspn(value, " \t");
	char *comment = end + strspn(end, " \t");

	if (*comment != '#' && *comment != ';')
		return NULL;
	*end = '\0';
	return comment + 1;
}

/* 1.4 had numbers that need not be whole.  Up, for 0 turns them off. */
static bool
round_up(const struct option *opt, const char *value, int64_t *number)
{
	const char *fraction = value + strspn(value, "0123456789");
	bool is_load = strcmp(opt->name, "max_load") == 0 ||
	               strcmp(opt->name, "spam_max_load") == 0;

	if (!is_load || *fraction != '.' || fraction - value > 9 ||
	    fraction[1 + strspn(fraction + 1, "0123456789")])
		return false;
	*number = strtoll(value, NULL, 10);
	if (fraction[1 + strspn(fraction + 1, "0")])
		++*number;
	return true;
}

static void
write_rounded(struct rewriting *work, const struct option *opt, const char *value,
              int64_t number)
{
	option_print_number(opt, number, work->out);
	if (number == strtoll(value, NULL, 10))
		return;
	note(work, "%s: %s is not possible any more; %" PRId64 " is used", opt->name,
	     value, number);
	if (work->keep)
		fprintf(work->out, "   # was %s", value);
}

static void
write_value(struct rewriting *work, const struct option *opt, const char *value)
{
	int64_t number;

	fprintf(work->out, "%s = ", opt->name);
	switch (opt->kind) {
	case OPTION_INT:
		if (option_number_of_old(opt, value, &number))
			write_number(work, opt, value, number);
		else if (round_up(opt, value, &number))
			write_rounded(work, opt, value, number);
		else
			print_quoted(value, strlen(value), work->out);
		break;
	case OPTION_BOOL:
	case OPTION_WORD:
		write_word(work, value, strlen(value));
		break;
	case OPTION_MASK:
	case OPTION_LIST:
	case OPTION_NETS:
		write_list(work, opt, value);
		break;
	case OPTION_STR:
	case OPTION_REGEX:
	case OPTION_TEXT:
		print_quoted(value, strlen(value), work->out);
		break;
	case OPTION_NONE:
	case OPTION_SECTION:
		abort();
	}
}

/* An option that we have not: said, and left out, or left as a comment. */
static void
pass_over(struct rewriting *work, const struct old_option *old, const char *value)
{
	char words[256];

	legacy_fate_words(old, words, sizeof(words));
	if (old->fate == GONE) {
		refuse(work, "%s: %s; delete it", old->name, words);
		return;
	}
	if (work->keep)
		fprintf(work->out, "# %s%s%s   # %s", old->name, *value ? " " : "",
		        value, words);
	if (*value && strcmp(value, old->off) != 0)
		note(work, "%s: %s", old->name, words);
}

/* Without the 0 in front 1.4 took permissions for a decimal number, 660 for 01224. */
static bool
is_misread_octal(const struct option *opt, const char *value)
{
	int64_t number;

	return strcmp(opt->unit, "octal") == 0 &&
	       option_number_of_old(opt, value, &number) &&
	       (number < opt->low || number > opt->high);
}

/* What has one word as its value cannot hold a comment. */
static bool
is_commented(const struct option *opt, const char *value)
{
	bool has_blanks = opt->kind == OPTION_TEXT || opt->kind == OPTION_REGEX ||
	                  (opt->kind == OPTION_STR &&
	                   !(opt->flags & (OPT_ADDRESS | OPT_TOKEN | OPT_URL |
	                                   OPT_STATE | OPT_HEADER)));

	while (!has_blanks && (value = strpbrk(value, " \t"))) {
		value += strspn(value, " \t");
		if (strchr("#;", *value))
			return true;
	}
	return false;
}

/* True: the line cannot be taken, and it has been said why. */
static bool
is_refused(struct rewriting *work, const char *name, const char *value)
{
	const struct old_value *was = legacy_old_value(name, value);
	const struct option *opt = option_find(name, strlen(name));

	if (*value == '=' || (value[0] == '+' && value[1] == '='))
		refuse(work,
		       "%s: there is a \"=\", but the file began in the syntax of 1.4, "
		       "which has none; write all lines one way",
		       name);
	else if (was && was->why)
		refuse(work, "%s: \"%s\" %s", name, value, was->why);
	else if (opt && is_commented(opt, value))
		refuse(work,
		       "%s: \"%s\" is all value: in files of 1.4 only a number may "
		       "have "
		       "a comment behind it; give it a line of its own",
		       name, value);
	else if (opt && opt->kind == OPTION_INT && is_misread_octal(opt, value))
		refuse(work,
		       "%s: \"%s\" is out of range; in a file of 1.4 a number is "
		       "decimal "
		       "unless it begins with 0: allowed are 0000 to 0777",
		       name, value);
	else
		return false;
	return true;
}

static void
rewrite_option(struct rewriting *work, const char *name, char *value)
{
	const struct old_option *old = legacy_old_option(name, strlen(name));
	const char *today = old && old->fate == RENAMED ? old->hint : name;
	const struct option *opt = option_find(today, strlen(today));
	bool has_number = opt && (opt->kind == OPTION_INT || opt->flags & OPT_NUMBERS);
	const char *comment = has_number ? split_comment(value) : NULL;
	const struct old_value *was = legacy_old_value(name, value);

	if (work->unscanned && was && strcmp(name, "scan_max_size") == 0)
		fputs("# scan_max_size", work->out); /* and antivirus_type is off */
	else if (is_refused(work, today, value))
		return;
	else if (old && !opt)
		pass_over(work, old, value);
	else if (opt)
		write_value(work, opt, was ? was->fresh : value);
	else
		fprintf(work->out, "%s = \"\"",
		        name); /* will be refused, as any other */
	if (work->keep && old && opt)
		fprintf(work->out, "   # was %s", name);
	if (work->keep && was)
		fprintf(work->out, "   # was %s", value);
	if (work->keep && comment)
		fprintf(work->out, "   #%s", comment);
}

/* LINE is all of it, without its end. */
static void
rewrite_line(struct rewriting *work, char *line)
{
	size_t size = strlen(line);
	char *whole = line, *value;

	while (size > 0 && strchr(" \t\r", line[size - 1]))
		line[--size] = '\0';
	line += strspn(line, " \t");
	if (strchr("#;", *line)) {
		fputs(work->keep ? whole : "", work->out);
		return;
	}
	if (legacy_is_section(line)) {
		refuse(work, "sections cannot stand in the syntax of 1.4; "
		             "\"smtp-gated --import\" prints a file in which they can");
		return;
	}
	size = legacy_name_size(line);
	value = line + size;
	if (size == 0 || !strchr(" \t", *value)) {
		refuse(work, "there is no name of an option at the beginning of this "
		             "line");
		return;
	}
	value += strspn(value, " \t");
	line[size] = '\0';
	rewrite_option(work, line, value);
}

/* By its last line, which counts. */
static bool
is_unscanned(const char *text)
{
	static const char name[] = "antivirus_type";
	bool is_off = false;

	for (const char *at = text; *at; at = legacy_next_line(at)) {
		at += strspn(at, " \t");
		if (legacy_name_size(at) != strlen(name) ||
		    memcmp(at, name, strlen(name)) != 0)
			continue;
		at += strlen(name);
		at += strspn(at, " \t");
		is_off = strncasecmp(at, "off", 3) == 0 &&
		         strchr("\n", at[3 + strspn(at + 3, " \t\r")]);
	}
	return is_off;
}

static void
rewrite_all(struct rewriting *work, char *text)
{
	char *line;

	for (work->line = 1; (line = strsep(&text, "\n")); work->line++) {
		rewrite_line(work, line);
		if (text)
			fputc('\n', work->out);
	}
}

char *
config_from_legacy(const char *text, bool keep, config_fault_cb *refused,
                   config_note_cb *noted, void *arg)
{
	struct rewriting work = { .keep = keep,
		                  .unscanned = is_unscanned(text),
		                  .refused = refused,
		                  .noted = noted,
		                  .arg = arg };
	char *copy = xstrdup(text), *native;
	size_t size;

	work.out = open_memstream(&native, &size);
	if (!work.out)
		abort();
	rewrite_all(&work, copy);
	free(copy);
	if (fclose(work.out) != 0)
		abort();
	return native;
}
