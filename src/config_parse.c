#include "config_internal.h"

#include <assert.h>
#include <confuse.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* What libconfuse is told.  All values reach us as they were written: its own numbers
 * and booleans are read otherwise than administrators expect (025 is 21), and without
 * words on what would be right. */
static cfg_opt_t grammar[] = {
#define OPT_BOOL(n, ...)      CFG_STR(#n, NULL, CFGF_NONE),
#define OPT_INT(n, ...)       CFG_STR(#n, NULL, CFGF_NONE),
#define OPT_STR(n, ...)       CFG_STR(#n, NULL, CFGF_NONE),
#define OPT_REGEX(n, ...)     CFG_STR(#n, NULL, CFGF_NONE),
#define OPT_WORD(n, ...)      CFG_STR(#n, NULL, CFGF_NONE),
#define OPT_MASK(n, def, ...) CFG_STR_LIST(#n, (char[]){ def }, CFGF_NONE),
#define OPT_LIST(n, def, ...) CFG_STR_LIST(#n, (char[]){ def }, CFGF_NONE),
#define OPT_NETS(n, def, ...) CFG_STR_LIST(#n, (char[]){ def }, CFGF_NONE),
#define OPT_TEXT(n, ...)      CFG_STR(#n, NULL, CFGF_NONE),
#include "options.def"
	CFG_END()
};

/* A section on its way: libconfuse sees it as if it were a file of its own. */
struct part {
	struct section *section; /* NULL: there are too many, or it is misnamed */
	char *begin;             /* behind its head */
	size_t size;
	int line; /* at which that is */
	int head_line;
};

/* One call of config_parse(). */
struct parsing {
	char *text;
	struct report *report;
	struct sections *sections;
	struct part parts[2 * SECTIONS_MOST];
	size_t count;
	struct part open;    /* that of the statement */
	bool is_open, empty; /* it is there; no option was in it */
	int first_line;      /* of what libconfuse reads */
};

/* libconfuse's callbacks have no argument for us: set while it is at work. */
static struct parsing *current;

/* ---- names ---------------------------------------------------------------------------- */

static void
refuse_unknown(struct parsing *work, const struct statement *walk)
{
	char *name = xstrndup(walk->name, walk->size);
	const char *nearest = config_nearest(name);
	char words[256];

	if (config_old_option(walk->name, walk->size, words, sizeof(words)))
		report_fault(work->report, walk->line, "%s: %s; delete it", name,
		             words);
	else if (nearest)
		report_fault(work->report, walk->line,
		             "no such option: \"%s\"; did you mean \"%s\"?", name,
		             nearest);
	else
		report_fault(work->report, walk->line,
		             "no such option: \"%s\"; \"smtp-gated -t\" "
		             "prints all that there are",
		             name);
	free(name);
}

/* Why OPT may not stand in a section of that KIND; NULL: it may. */
static const char *
misplacement(const struct option *opt, enum section_kind kind)
{
	if (kind == SECTION_UNKNOWN)
		return NULL;
	if (opt->flags & OPT_ONLY_LISTEN && kind != SECTION_LISTEN)
		return "stands in listen sections only";
	if (opt->flags & OPT_ONLY_POLICY && kind != SECTION_POLICY)
		return "stands in policy sections only";
	if (opt->flags & OPT_LISTENER && kind == SECTION_POLICY)
		return "is needed before a policy is found, and cannot stand in one; "
		       "it may stand in a listen section";
	if (opt->flags & OPT_PROCESS && kind == SECTION_LISTEN &&
	    strcmp(opt->name, "bind_address") == 0)
		return "is the main part's; in a listen section write address";
	if (opt->flags & OPT_PROCESS && kind != SECTION_MAIN)
		return "is for the whole daemon, and cannot stand in a section";
	return NULL;
}

/* ---- statements ------------------------------------------------------------------------ */

/* Lines in which options of this part of the file are given. */
static int *
given_here(struct parsing *work)
{
	if (!work->is_open)
		return work->sections->given;
	return work->open.section ? work->open.section->given : NULL;
}

/* Notes what is given twice. */
static void
see_again(struct parsing *work, const struct statement *walk)
{
	int *given = given_here(work), *line;

	if (!given)
		return;
	line = &given[walk->opt - config_options];
	if (*line && !walk->adds)
		report_note_at(work->report, walk->line,
		               "%s: given again; this line counts, line %d does not",
		               walk->opt->name, *line);
	*line = walk->line;
}

static void
blank(char *from, const char *to)
{
	for (char *at = from; at < to; at++)
		if (*at != '\n')
			*at = ' ';
}

/* False: it has been said what is wrong. */
static bool
check_option(struct parsing *work, const struct statement *walk)
{
	const struct option *opt = walk->opt;
	const char *wrong = opt ? misplacement(opt, walk->section) : NULL;

	if (walk->size > 0 && !opt)
		refuse_unknown(work, walk);
	else if (wrong)
		report_fault(work->report, walk->line, "%s: %s", opt->name, wrong);
	else if (walk->why[0])
		report_fault(work->report, walk->why_line, "%s%s%s",
		             opt ? opt->name : "", opt ? ": " : "", walk->why);
	else if (opt && walk->adds && walk->section != SECTION_MAIN)
		report_fault(work->report, walk->line,
		             "%s: += adds to what the main part says, and to nothing "
		             "in a section; write the whole list",
		             opt->name);
	else
		return true;
	return false;
}

static void
take_option(struct parsing *work, const struct statement *walk)
{
	work->empty = false;
	if (check_option(work, walk))
		see_again(work, walk);
	else /* that libconfuse finds only what it can take, or alone finds fault with */
		blank(work->text + (walk->name - work->text), walk->next);
}

/* ---- sections --------------------------------------------------------------------------- */

static struct section *
add_section(struct parsing *work, const struct statement *head)
{
	struct section *same, *section;
	const char *word = section_word(head->section);

	if (!head->title[0])
		return NULL;
	same = section_find(work->sections, head->section, head->title);
	if (same) {
		report_fault(work->report, head->line,
		             "%s \"%s\": there is one of that name in line %d", word,
		             head->title, same->line);
		return NULL;
	}
	if (head->section == SECTION_LISTEN &&
	    strcmp(head->title, CONFIG_DEFAULT_LISTENER) == 0) {
		report_fault(work->report, head->line,
		             "listen \"%s\": is the listener that the main part "
		             "describes; take another name",
		             head->title);
		return NULL;
	}
	section = section_add(work->sections, head->section, head->title, head->line);
	if (!section)
		report_fault(work->report, head->line,
		             "%s \"%s\": there can be %d %s sections, and no more",
		             word, head->title, SECTIONS_MOST, word);
	return section;
}

/* What it holds is kept, and blanked in the main part. */
static void
end_section(struct parsing *work, const char *at)
{
	struct part *part = &work->open;

	if (!work->is_open)
		return;
	part->size = (size_t)(at - part->begin);
	if (work->empty)
		report_fault(work->report, part->head_line,
		             "the section has no option in it");
	if (part->section)
		work->parts[work->count++] = *part;
	work->is_open = false;
}

static void
begin_section(struct parsing *work, const struct statement *head)
{
	end_section(work, head->name);
	if (head->why[0])
		report_fault(work->report, head->why_line, "%s", head->why);
	work->open = (struct part){ .begin = work->text + (head->next - work->text),
		                    .line = head->next_line,
		                    .head_line = head->line };
	work->open.section = add_section(work, head);
	work->is_open = true;
	work->empty = true;
	blank(work->text + (head->name - work->text), head->next);
}

static void
close_section(struct parsing *work, const struct statement *close)
{
	if (close->why[0])
		report_fault(work->report, close->why_line, "%s", close->why);
	end_section(work, close->name);
	blank(work->text + (close->name - work->text), close->next);
}

/* libconfuse would tell of most of this as well, but not what to do about it. */
static void
check_statements(struct parsing *work)
{
	struct statement walk = { .next = work->text, .next_line = 1 };

	while (config_next_statement(&walk))
		switch (walk.kind) {
		case STATEMENT_OPTION:
			take_option(work, &walk);
			if (walk.leaves)
				end_section(work, walk.name);
			break;
		case STATEMENT_HEAD:
			begin_section(work, &walk);
			break;
		case STATEMENT_CLOSE:
			close_section(work, &walk);
			break;
		}
}

/* ---- libconfuse ------------------------------------------------------------------------ */

static void
confuse_complains(cfg_t *parsed, const char *format, va_list args)
{
	char *words;

	if (vasprintf(&words, format, args) < 0)
		abort();
	report_fault(current->report, current->first_line + parsed->line - 1, "%s",
	             words);
	free(words);
}

/* Both are written rightly, and are the same address or network. */
static bool
is_same(const char *a, const char *b)
{
	char why[256];
	struct addr_net x, y;

	return addr_net_parse(&x, a, why, sizeof(why)) &&
	       addr_net_parse(&y, b, why, sizeof(why)) && addr_net_equal(&x, &y);
}

/* The last of the values is an address or network that is there already. */
static bool
is_listed_twice(const struct option *opt, cfg_opt_t *given)
{
	unsigned last = cfg_opt_size(given) - 1;

	if (opt->kind != OPTION_NETS && !(opt->flags & OPT_ADDRESS))
		return false;
	for (unsigned i = 0; i < last; i++)
		if (is_same(cfg_opt_getnstr(given, i), cfg_opt_getnstr(given, last)))
			return true;
	return false;
}

/* The first of the values of a mask that means nothing at all, or that does not; NULL:
 * there is none. */
static const char *
first_word(const struct option *opt, cfg_opt_t *given, bool nothing)
{
	for (unsigned i = 0; i < cfg_opt_size(given); i++) {
		const char *text = cfg_opt_getnstr(given, i);

		if (option_is_nothing(opt, text, strlen(text)) == nothing)
			return text;
	}
	return NULL;
}

/* False: there is no fault in the values together. */
static bool
contradicts(const struct option *opt, cfg_opt_t *given, char *why, size_t why_size)
{
	const char *nothing, *other;

	if (opt->kind != OPTION_MASK)
		return false;
	nothing = first_word(opt, given, true);
	other = first_word(opt, given, false);
	if (!nothing || !other)
		return false;
	snprintf(why, why_size,
	         "\"%s\" means nothing at all, and contradicts \"%s\"; leave out "
	         "one of them",
	         nothing, other);
	return true;
}

/* Called by libconfuse after each value, while it still knows the line.  It is let go on:
 * there may be more to tell.  Of the last value of a list it calls once more at the
 * brace. */
static int
confuse_checks(cfg_t *parsed, cfg_opt_t *given)
{
	const char *name = cfg_opt_name(given);
	const struct option *opt = option_find(name, strlen(name));
	const char *text = cfg_opt_getnstr(given, cfg_opt_size(given) - 1);
	char why[1500], *words;

	if (option_check(opt, text, why, sizeof(why))) {
		if (is_listed_twice(opt, given))
			snprintf(why, sizeof(why), "\"%s\" is listed twice", text);
		else if (!contradicts(opt, given, why, sizeof(why)))
			return 0;
	}
	words = xasprintf("%s: %s", name, why);
	if (!option_is_many(opt) || !report_has(current->report, words))
		report_words(current->first_line + parsed->line - 1, words,
		             current->report);
	free(words);
	return 0;
}

static cfg_t *
parser_new(void)
{
	cfg_t *parser = cfg_init(grammar, CFGF_NONE);

	assert(parser);
	cfg_set_error_function(parser, confuse_complains);
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE; opt++)
		if (opt->name)
			cfg_set_validate_func(parser, opt->name, confuse_checks);
	return parser;
}

/* Without FROM: only the defaults of lists.  Has libconfuse look at SIZE bytes; NULL if it
 * finds fault. */
static cfg_t *
parse(struct parsing *work, char *from, size_t size, int line)
{
	cfg_t *parser = parser_new();
	FILE *in;
	bool good;

	if (!from || size == 0)
		return parser;
	in = fmemopen(from, size, "r");
	assert(in);
	work->first_line = line;
	current = work;
	good = cfg_parse_fp(parser, in) == CFG_SUCCESS;
	current = NULL;
	fclose(in);
	if (!good && work->report->fault_count == 0)
		report_fault(work->report, line + parser->line - 1,
		             "this line cannot be understood");
	return parser;
}

/* GIVEN: what counts; NULL: all. */
static void
take(struct config *cfg, cfg_t *parser, const int *given)
{
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE;
	     opt++) {
		unsigned count = opt->name ? cfg_size(parser, opt->name) : 0;

		if (given && !given[opt - config_options])
			continue;
		for (unsigned i = 0; i < count; i++)
			if (cfg_getnstr(parser, opt->name, i))
				option_set(cfg, opt, cfg_getnstr(parser, opt->name, i));
	}
}

static void
take_part(struct parsing *work, const struct part *part)
{
	cfg_t *parser = parse(work, part->begin, part->size, part->line);

	if (work->report->fault_count == 0)
		take(&part->section->values, parser, part->section->given);
	cfg_free(parser);
	blank(part->begin, part->begin + part->size);
}

void
config_parse(char *text, struct report *report, struct config *cfg)
{
	struct parsing work = { .text = text,
		                .report = report,
		                .sections = cfg->sections };
	cfg_t *parser;

	if (text)
		check_statements(&work);
	for (size_t i = 0; i < work.count; i++)
		take_part(&work, &work.parts[i]);
	parser = parse(&work, text, text ? strlen(text) : 0, 1);
	if (report->fault_count == 0)
		take(cfg, parser, NULL);
	cfg_free(parser);
}
