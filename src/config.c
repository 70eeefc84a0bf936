#include "config_internal.h"

#include <assert.h>
#include <confuse.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
	OPTION_COUNT = 0
#define OPT_SECTION(...) +1
#define OPT_BOOL(...)    +1
#define OPT_INT(...)     +1
#define OPT_STR(...)     +1
#define OPT_WORD(...)    +1
#define OPT_MASK(...)    +1
#define OPT_LIST(...)    +1
#define OPT_NETS(...)    +1
#define OPT_TEXT(...)    +1
#include "options.def"
};

/* Today's database of ClamAV needs more. */
#define SIGNATURES_SIZE (INT64_C(1) << 30)

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

/* ---- words -------------------------------------------------------------------------- */

enum {
	FAULTS_TOLD = 10,
};

struct fault {
	int line;
	char *words;
};

/* One call of config_load_at() or config_import(). */
struct reading {
	int directory;
	const char *path; /* in it; NULL: defaults only */
	const char *file; /* its name in messages */
	char *text;       /* native and tidy */
	bool imports;
	char *imported; /* native, as a person would write it */
	struct config *cfg;
	struct fault faults[FAULTS_TOLD]; /* by their lines */
	size_t fault_count;
	char *why;
	size_t why_size;
	config_note_cb *noted;
	void *arg;
};

/* libconfuse's callbacks have no argument for us: set while it is at work. */
static struct reading *current;

/* Keeps WORDS for tell_faults(); those of the last lines go if there are too many. */
static void
add_fault(struct reading *reading, int line, char *words)
{
	struct fault *faults = reading->faults;
	size_t at = reading->fault_count;

	if (at == FAULTS_TOLD && line >= faults[at - 1].line) {
		free(words);
		return;
	}
	if (at == FAULTS_TOLD)
		free(faults[--at].words);
	else
		reading->fault_count++;
	for (; at > 0 && faults[at - 1].line > line; at--)
		faults[at] = faults[at - 1];
	faults[at] = (struct fault){ line, words };
}

static void PRINTF(3, 4)
	complain(struct reading *reading, int line, const char *format, ...)
{
	va_list args;
	char *words;

	va_start(args, format);
	if (vasprintf(&words, format, args) < 0)
		abort();
	va_end(args);
	add_fault(reading, line, words);
}

static void
refused(int line, const char *words, void *reading)
{
	add_fault(reading, line, xstrdup(words));
}

/* "FILE:LINE: ...", a line for each that there is room for. */
static void
tell_faults(struct reading *reading)
{
	char *to = reading->why;
	size_t room = reading->why_size;

	for (size_t i = 0; i < reading->fault_count; i++) {
		const struct fault *fault = &reading->faults[i];
		int size = snprintf(to, room, "%s%s:%d: %s", i > 0 ? "\n" : "",
		                    reading->file, fault->line, fault->words);

		if ((size_t)size >= room) {
			if (i > 0)
				*to = '\0';
			return;
		}
		to += size;
		room -= (size_t)size;
	}
}

/* WORDS begin with "LINE: ". */
static void
note(const char *words, void *arg)
{
	struct reading *reading = arg;
	char *whole;

	if (!reading->noted)
		return;
	whole = xasprintf("%s:%s", reading->file, words);
	reading->noted(whole, reading->arg);
	free(whole);
}

static void PRINTF(3, 4)
	note_at(struct reading *reading, int line, const char *format, ...)
{
	va_list args;
	char *words, *whole;

	va_start(args, format);
	if (vasprintf(&words, format, args) < 0)
		abort();
	va_end(args);
	whole = xasprintf("%d: %s", line, words);
	note(whole, reading);
	free(whole);
	free(words);
}

/* The line in which NAME is given last; 0: it is not given. */
static int
line_of(const struct reading *reading, const char *name)
{
	struct statement walk = { .next = reading->text, .next_line = 1 };
	int line = 0;

	while (config_next_statement(&walk))
		if (walk.opt && strcmp(walk.opt->name, name) == 0)
			line = walk.line;
	return line;
}

/* ---- reading ------------------------------------------------------------------------ */

static void
refuse_unknown(struct reading *reading, const struct statement *walk)
{
	char *name = xstrndup(walk->name, walk->size);
	const char *nearest = config_nearest(name);
	char words[256];

	if (config_old_option(walk->name, walk->size, words, sizeof(words)))
		complain(reading, walk->line, "%s: %s; delete it", name, words);
	else if (nearest)
		complain(reading, walk->line,
		         "no such option: \"%s\"; did you mean \"%s\"?", name, nearest);
	else
		complain(reading, walk->line,
		         "no such option: \"%s\"; \"smtp-gated -t\" "
		         "prints all that there are",
		         name);
	free(name);
}

/* Notes what is given twice. */
static void
see_again(struct reading *reading, const struct statement *walk, int *line)
{
	if (*line && !walk->adds)
		note_at(reading, walk->line,
		        "%s: given again; this line counts, line %d does not",
		        walk->opt->name, *line);
	*line = walk->line;
}

/* What is wrong is blanked, so that libconfuse finds only what it can take or what it
 * alone finds fault with. */
static void
blank(struct reading *reading, const struct statement *walk)
{
	for (char *at = reading->text + (walk->name - reading->text); at < walk->next;
	     at++)
		if (*at != '\n')
			*at = ' ';
}

/* libconfuse would tell of most of this as well, but not what to do about it. */
static void
check_statements(struct reading *reading)
{
	struct statement walk = { .next = reading->text, .next_line = 1 };
	int seen[OPTION_COUNT] = { 0 };

	while (config_next_statement(&walk)) {
		if (walk.size > 0 && !walk.opt)
			refuse_unknown(reading, &walk);
		else if (walk.why[0])
			complain(reading, walk.why_line, "%s%s%s",
			         walk.opt ? walk.opt->name : "", walk.opt ? ": " : "",
			         walk.why);
		else
			see_again(reading, &walk, &seen[walk.opt - config_options]);
		if (!walk.opt || walk.why[0])
			blank(reading, &walk);
	}
}

static void
confuse_complains(cfg_t *parsed, const char *format, va_list args)
{
	char *words;

	if (vasprintf(&words, format, args) < 0)
		abort();
	add_fault(current, parsed->line, words);
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

/* Of the last value of a list libconfuse makes us complain once more at the brace. */
static bool
is_told(const struct reading *reading, const struct option *opt, const char *words)
{
	if (!option_is_many(opt))
		return false;
	for (size_t i = 0; i < reading->fault_count; i++)
		if (strcmp(reading->faults[i].words, words) == 0)
			return true;
	return false;
}

/* Called by libconfuse after each value, while it still knows the line.  It is let go on:
 * there may be more to tell. */
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
	if (is_told(current, opt, words))
		free(words);
	else
		add_fault(current, parsed->line, words);
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
parse(struct reading *reading, cfg_t *parser)
{
	FILE *in;
	bool good;

	if (!reading->text[0])
		return;
	in = fmemopen(reading->text, strlen(reading->text), "r");
	assert(in);
	current = reading;
	good = cfg_parse_fp(parser, in) == CFG_SUCCESS;
	current = NULL;
	fclose(in);
	if (!good && reading->fault_count == 0)
		complain(reading, parser->line, "this line cannot be understood");
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

/* A limit that the signatures would exceed: libclamav fails, or the daemon later. */
static void
note_memory_limit(struct reading *reading, const char *name, int64_t limit)
{
	if (reading->cfg->antivirus_type != ANTIVIRUS_OFF && limit >= 0 &&
	    limit < SIGNATURES_SIZE)
		note_at(reading, line_of(reading, name),
		        "%s: a signature database alone needs over 1 GiB; loading it "
		        "may fail",
		        name);
}

/* What is allowed, but may not do what was meant. */
static void
note_doubtful(struct reading *reading)
{
	const struct config *cfg = reading->cfg;

	if (cfg->legacy && !line_of(reading, "antivirus_type"))
		note_at(reading, 1,
		        "antivirus_type: is not given; 1.4 did not scan then, and "
		        "this version does");
	note_memory_limit(reading, "limit_virt_size", cfg->limit_virt_size);
	note_memory_limit(reading, "limit_data_size", cfg->limit_data_size);
	if (cfg->mode != ROUTE_BY_FIXED && cfg->fixed_server[0])
		note_at(reading, line_of(reading, "fixed_server"),
		        "fixed_server: has no effect unless mode is fixed");
	if (cfg->scan_max_unpacked < cfg->scan_max_size)
		note_at(reading,
		        line_of(reading, "scan_max_size")
		                ?: line_of(reading, "scan_max_unpacked"),
		        "scan_max_size: a message larger than scan_max_unpacked is "
		        "never "
		        "scanned in full");
	if (cfg->timeout_judging < cfg->timeout_scanner)
		note_at(reading,
		        line_of(reading, "timeout_judging")
		                ?: line_of(reading, "timeout_scanner"),
		        "timeout_judging: is over before timeout_scanner; a scan that "
		        "takes longer counts as failed, not as unscannable");
}

/* What each option alone does not tell. */
static void
check_together(struct reading *reading)
{
	const struct config *cfg = reading->cfg;

	if (cfg->bind_address.count == 0)
		complain(reading, line_of(reading, "bind_address"),
		         "bind_address: at least one address is needed");
	if (cfg->mode == ROUTE_BY_FIXED && !cfg->fixed_server[0])
		complain(reading, line_of(reading, "mode"),
		         "mode: fixed needs fixed_server, an address or a host name");
	if (!cfg->statefile_type)
		complain(reading, line_of(reading, "statefile_type"),
		         "statefile_type: at least one word is needed; for no file "
		         "at all let statefile be empty");
}

/* Rewrites a file of 1.4. */
static void
rewrite(struct reading *reading)
{
	char *text = reading->text;

	if (!reading->imports)
		note_at(reading, 1,
		        "written in the syntax of smtp-gated 1.4, which is still "
		        "understood; \"smtp-gated --import %s\" prints it in today's",
		        reading->file);
	reading->text = config_from_legacy(text, reading->imports, refused, note,
	                                   reading);
	free(text);
	if (reading->imports)
		reading->imported = xstrdup(reading->text);
}

/* From the file to text that libconfuse may see. */
static bool
read_text(struct reading *reading)
{
	enum config_syntax syntax;

	reading->text = config_read_text(reading->directory, reading->path,
	                                 reading->file, reading->why,
	                                 reading->why_size);
	if (!reading->text)
		return false;
	syntax = config_syntax_of(reading->text);
	reading->cfg->legacy = syntax == SYNTAX_LEGACY;
	if (reading->imports && syntax == SYNTAX_NATIVE) {
		snprintf(reading->why, reading->why_size,
		         "%s: is not in the syntax of smtp-gated 1.4 (\"name value\", "
		         "without \"=\"): there is nothing to convert",
		         reading->file);
		return false;
	}
	if (reading->imports || reading->cfg->legacy)
		rewrite(reading);
	config_tidy(reading->text, refused, reading);
	return true;
}

static bool
read_file(struct reading *reading, cfg_t *parser)
{
	if (!reading->path) {
		take(reading->cfg, parser);
		return true;
	}
	if (!read_text(reading))
		return false;
	check_statements(reading);
	parse(reading, parser);
	if (reading->fault_count == 0) {
		take(reading->cfg, parser);
		check_together(reading);
	}
	if (reading->fault_count == 0) {
		note_doubtful(reading);
		return true;
	}
	tell_faults(reading);
	return false;
}

static struct config *
load(struct reading *reading)
{
	struct config *cfg = xcalloc(1, sizeof(*cfg));
	cfg_t *parser = parser_new();
	bool good;

	reading->cfg = cfg;
	reading->why[0] = '\0';
	cfg->references = 1;
	cfg->file = reading->path ? xstrdup(reading->file) : NULL;
	option_defaults(cfg);
	good = read_file(reading, parser);
	cfg_free(parser);
	free(reading->text);
	for (size_t i = 0; i < reading->fault_count; i++)
		free(reading->faults[i].words);
	if (good)
		return cfg;
	config_drop(cfg);
	return NULL;
}

struct config *
config_load_at(int directory, const char *file, const char *shown, char *why,
               size_t why_size, config_note_cb *noted, void *arg)
{
	struct reading reading = {
		.directory = directory,
		.path = file,
		.file = shown,
		.why = why,
		.why_size = why_size,
		.noted = noted,
		.arg = arg,
	};

	return load(&reading);
}

struct config *
config_load(const char *file, char *why, size_t why_size, config_note_cb *noted,
            void *arg)
{
	return config_load_at(AT_FDCWD, file, file, why, why_size, noted, arg);
}

bool
config_import(const char *file, FILE *out, char *why, size_t why_size,
              config_note_cb *noted, void *arg)
{
	struct reading reading = {
		.directory = AT_FDCWD,
		.path = file,
		.file = file,
		.imports = true,
		.why = why,
		.why_size = why_size,
		.noted = noted,
		.arg = arg,
	};
	struct config *cfg = load(&reading);
	bool fits;

	assert(!cfg || reading.imported);
	fits = cfg && strlen(reading.imported) <= CONFIG_LARGEST_FILE;
	if (fits)
		fputs(reading.imported, out);
	else if (cfg)
		snprintf(why, why_size, "%s: would become larger than %d bytes", file,
		         CONFIG_LARGEST_FILE);
	config_drop(cfg);
	free(reading.imported);
	return fits;
}

bool
config_resolve(struct config *cfg, char *why, size_t why_size)
{
	const char *words;

	if (cfg->mode != ROUTE_BY_FIXED || addr_resolve(&cfg->fixed, cfg->fixed_server,
	                                                cfg->fixed_server_port, &words))
		return true;
	snprintf(why, why_size, "%s: fixed_server: \"%s\" cannot be looked up: %s",
	         cfg->file ? cfg->file : "defaults", cfg->fixed_server, words);
	return false;
}

/* ---- sharing ------------------------------------------------------------------------ */

struct config *
config_hold(struct config *cfg)
{
	assert(cfg->references > 0);
	cfg->references++;
	return cfg;
}

void
config_drop(struct config *cfg)
{
	if (!cfg || --cfg->references > 0)
		return;
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE; opt++)
		option_clear(cfg, opt);
	free(cfg->file);
	free(cfg);
}

void
config_keep(struct config *fresh, const struct config *running,
            void (*changed)(const char *name, void *arg), void *arg)
{
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE;
	     opt++) {
		if (!(opt->flags & OPT_RESTART) || option_equal(opt, running, fresh))
			continue;
		option_copy(fresh, opt, running);
		changed(opt->name, arg);
	}
	fresh->fixed = running->fixed;
}

/* ---- showing ------------------------------------------------------------------------ */

/* Writes TEXT as a comment, in lines that fit a terminal. */
static void
print_comment(const char *text, FILE *out)
{
	enum { WIDTH = 80 };
	size_t column = 0;

	while (*text) {
		size_t size = strcspn(text, " ");

		if (column > 0 && column + 1 + size > WIDTH) {
			fputc('\n', out);
			column = 0;
		}
		fprintf(out, "%s%.*s", column == 0 ? "# " : " ", (int)size, text);
		column += size + (column == 0 ? 2 : 1);
		text += size + strspn(text + size, " ");
	}
	fputc('\n', out);
}

/* The help, what may be given, and whether a reload is enough. */
static void
print_help(const struct option *opt, FILE *out)
{
	char *text;
	size_t size;
	FILE *words = open_memstream(&text, &size);

	assert(words);
	fputs(opt->help, words);
	if (opt->kind == OPTION_INT) {
		fputs("  Allowed: ", words);
		option_print_range(opt, words);
		fputc('.', words);
	}
	if (opt->kind == OPTION_WORD || opt->kind == OPTION_MASK) {
		fputs(opt->kind == OPTION_WORD ? "  One of: " : "  Any of: ", words);
		option_print_words(opt, words);
		fputc('.', words);
	}
	if (opt->flags & OPT_RESTART)
		fputs(" [restart]", words);
	fclose(words);
	print_comment(text, out);
	free(text);
}

void
config_dump(const struct config *cfg, bool texts, FILE *out)
{
	fprintf(out, "# Configuration of smtp-gated " PROGRAM_VERSION
	             ", see smtp-gated.conf(5).\n"
	             "# What is marked [restart] is not changed by a reload.\n");
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE;
	     opt++) {
		if (!texts &&
		    (opt->kind == OPTION_TEXT ||
		     (opt->kind == OPTION_SECTION && opt[1].kind == OPTION_TEXT)))
			continue;
		if (opt->kind == OPTION_SECTION) {
			fprintf(out, "\n\n## %s\n", opt->help);
			continue;
		}
		fputc('\n', out);
		print_help(opt, out);
		option_print(cfg, opt, out);
	}
}

bool
config_show(const struct config *cfg, const char *name, FILE *out)
{
	const struct option *opt = option_find(name, strlen(name));

	if (!opt)
		return false;
	option_print(cfg, opt, out);
	return true;
}
