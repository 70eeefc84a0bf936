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
#define OPT_WORD(n, ...)      CFG_STR(#n, NULL, CFGF_NONE),
#define OPT_MASK(n, def, ...) CFG_STR_LIST(#n, (char[]){ def }, CFGF_NONE),
#define OPT_LIST(n, def, ...) CFG_STR_LIST(#n, (char[]){ def }, CFGF_NONE),
#define OPT_NETS(n, def, ...) CFG_STR_LIST(#n, (char[]){ def }, CFGF_NONE),
#define OPT_TEXT(n, ...)      CFG_STR(#n, NULL, CFGF_NONE),
#include "options.def"
	CFG_END()
};

/* One call of config_parse(). */
struct parsing {
	char *text;
	struct report *report;
};

/* libconfuse's callbacks have no argument for us: set while it is at work. */
static struct parsing *current;

/* ---- before libconfuse ---------------------------------------------------------------- */

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

/* Notes what is given twice. */
static void
see_again(struct parsing *work, const struct statement *walk, int *line)
{
	if (*line && !walk->adds)
		report_note_at(work->report, walk->line,
		               "%s: given again; this line counts, line %d does not",
		               walk->opt->name, *line);
	*line = walk->line;
}

/* What is wrong is blanked, so that libconfuse finds only what it can take or what it
 * alone finds fault with. */
static void
blank(struct parsing *work, const struct statement *walk)
{
	for (char *at = work->text + (walk->name - work->text); at < walk->next; at++)
		if (*at != '\n')
			*at = ' ';
}

/* libconfuse would tell of most of this as well, but not what to do about it. */
static void
check_statements(struct parsing *work)
{
	struct statement walk = { .next = work->text, .next_line = 1 };
	int seen[OPTION_COUNT] = { 0 };

	while (config_next_statement(&walk)) {
		if (walk.size > 0 && !walk.opt)
			refuse_unknown(work, &walk);
		else if (walk.why[0])
			report_fault(work->report, walk.why_line, "%s%s%s",
			             walk.opt ? walk.opt->name : "",
			             walk.opt ? ": " : "", walk.why);
		else
			see_again(work, &walk, &seen[walk.opt - config_options]);
		if (!walk.opt || walk.why[0])
			blank(work, &walk);
	}
}

/* ---- libconfuse ------------------------------------------------------------------------ */

static void
confuse_complains(cfg_t *parsed, const char *format, va_list args)
{
	char *words;

	if (vasprintf(&words, format, args) < 0)
		abort();
	report_fault(current->report, parsed->line, "%s", words);
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
		if (!is_listed_twice(opt, given))
			return 0;
		snprintf(why, sizeof(why), "\"%s\" is listed twice", text);
	}
	words = xasprintf("%s: %s", name, why);
	if (!option_is_many(opt) || !report_has(current->report, words))
		report_words(parsed->line, words, current->report);
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

static void
parse(struct parsing *work, cfg_t *parser)
{
	FILE *in;
	bool good;

	if (!work->text[0])
		return;
	in = fmemopen(work->text, strlen(work->text), "r");
	assert(in);
	current = work;
	good = cfg_parse_fp(parser, in) == CFG_SUCCESS;
	current = NULL;
	fclose(in);
	if (!good && work->report->fault_count == 0)
		report_fault(work->report, parser->line,
		             "this line cannot be understood");
}

static void
take(struct config *cfg, cfg_t *parser)
{
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE;
	     opt++) {
		unsigned count = opt->name ? cfg_size(parser, opt->name) : 0;

		for (unsigned i = 0; i < count; i++)
			if (cfg_getnstr(parser, opt->name, i))
				option_set(cfg, opt, cfg_getnstr(parser, opt->name, i));
	}
}

int
config_line_of(const char *text, const char *name)
{
	struct statement walk = { .next = text, .next_line = 1 };
	int line = 0;

	while (config_next_statement(&walk))
		if (walk.opt && strcmp(walk.opt->name, name) == 0)
			line = walk.line;
	return line;
}

void
config_parse(char *text, struct report *report, struct config *cfg)
{
	struct parsing work = { .text = text, .report = report };
	cfg_t *parser = parser_new();

	if (text) {
		check_statements(&work);
		parse(&work, parser);
	}
	if (report->fault_count == 0)
		take(cfg, parser);
	cfg_free(parser);
}
