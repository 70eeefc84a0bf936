#include "config_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

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
