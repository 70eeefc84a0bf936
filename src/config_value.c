#include "config_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>

void
string_list_add(struct string_list *list, const char *text)
{
	list->at = xrealloc(list->at, (list->count + 1) * sizeof(*list->at));
	list->at[list->count++] = xstrdup(text);
}

void
option_defaults(struct config *cfg)
{
#define OPT_BOOL(n, def, ...) cfg->n = (def);
#define OPT_INT(n, def, ...)  cfg->n = (def);
#define OPT_WORD(n, def, ...) cfg->n = (def);
#define OPT_STR(n, def, ...)  cfg->n = xstrdup(def);
#define OPT_REGEX(n, ...)     cfg->n = NULL;
#define OPT_TEXT(n, def, ...) cfg->n = xstrdup(def);
#include "options.def"
}

void
option_clear(struct config *cfg, const struct option *opt)
{
	struct string_list *list = option_field(cfg, opt);

	switch (opt->kind) {
	case OPTION_STR:
	case OPTION_TEXT:
		free(*(char **)option_field(cfg, opt));
		*(char **)option_field(cfg, opt) = NULL;
		break;
	case OPTION_REGEX:
		pattern_drop(*(struct pattern **)option_field(cfg, opt));
		*(struct pattern **)option_field(cfg, opt) = NULL;
		break;
	case OPTION_LIST:
		for (size_t i = 0; i < list->count; i++)
			free(list->at[i]);
		free(list->at);
		*list = (struct string_list){ 0 };
		break;
	case OPTION_NETS:
		addr_nets_clear(option_field(cfg, opt));
		break;
	case OPTION_NONE:
	case OPTION_SECTION:
	case OPTION_BOOL:
	case OPTION_INT:
	case OPTION_WORD:
	case OPTION_MASK:
		break;
	}
}

void
option_clear_all(struct config *cfg)
{
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE; opt++)
		option_clear(cfg, opt);
}

void
option_copy(struct config *to, const struct option *opt, const struct config *from)
{
	const void *value = option_field(from, opt);
	void *field = option_field(to, opt);
	const struct string_list *list = value;
	const struct addr_nets *nets = value;

	option_clear(to, opt);
	switch (opt->kind) {
	case OPTION_BOOL:
		*(bool *)field = *(const bool *)value;
		break;
	case OPTION_INT:
		*(int64_t *)field = *(const int64_t *)value;
		break;
	case OPTION_WORD:
		*(int *)field = *(const int *)value;
		break;
	case OPTION_MASK:
		*(unsigned *)field = *(const unsigned *)value;
		break;
	case OPTION_STR:
	case OPTION_TEXT:
		*(char **)field = xstrdup(*(char *const *)value);
		break;
	case OPTION_REGEX:
		*(struct pattern **)field = pattern_hold(
			*(struct pattern *const *)value);
		break;
	case OPTION_LIST:
		for (size_t i = 0; i < list->count; i++)
			string_list_add(field, list->at[i]);
		break;
	case OPTION_NETS:
		for (size_t i = 0; i < nets->count; i++)
			addr_nets_add(field, &nets->at[i]);
		break;
	case OPTION_NONE:
	case OPTION_SECTION:
		break;
	}
}

bool
option_is_nothing(const struct option *opt, const char *text, size_t size)
{
	if (opt->kind != OPTION_MASK)
		return false;
	for (const struct word *word = opt->words; word->text; word++)
		if (word->value == 0 && strlen(word->text) == size &&
		    strncasecmp(word->text, text, size) == 0)
			return true;
	return false;
}

static bool
list_equal(const struct string_list *a, const struct string_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->at[i], b->at[i]) != 0)
			return false;
	return true;
}

bool
option_equal(const struct option *opt, const struct config *a, const struct config *b)
{
	const void *x = option_field(a, opt), *y = option_field(b, opt);

	switch (opt->kind) {
	case OPTION_BOOL:
		return *(const bool *)x == *(const bool *)y;
	case OPTION_INT:
		return *(const int64_t *)x == *(const int64_t *)y;
	case OPTION_WORD:
		return *(const int *)x == *(const int *)y;
	case OPTION_MASK:
		return *(const unsigned *)x == *(const unsigned *)y;
	case OPTION_STR:
	case OPTION_TEXT:
		return strcmp(*(char *const *)x, *(char *const *)y) == 0;
	case OPTION_REGEX:
		return strcmp(pattern_text(*(struct pattern *const *)x),
		              pattern_text(*(struct pattern *const *)y)) == 0;
	case OPTION_LIST:
		return list_equal(x, y);
	case OPTION_NETS:
		return addr_nets_equal(x, y);
	case OPTION_NONE:
	case OPTION_SECTION:
		break;
	}
	return true;
}

/* ---- printing ----------------------------------------------------------------------- */

void
print_quoted(const char *text, size_t size, FILE *out)
{
	fputc('"', out);
	for (size_t i = 0; i < size; i++) {
		if (strchr("\"\\$", text[i]))
			fputc('\\', out);
		fputc(text[i], out);
	}
	fputc('"', out);
}

/* As short as it can be. */
static void
print_points(int64_t number, FILE *out)
{
	int64_t part = number < 0 ? -(number % 1000) : number % 1000;
	int places = 3;

	fprintf(out, "%s%" PRId64, number < 0 ? "-" : "",
	        number < 0 ? -(number / 1000) : number / 1000);
	if (part == 0)
		return;
	for (; part % 10 == 0; part /= 10)
		places--;
	fprintf(out, ".%0*" PRId64, places, part);
}

void
option_print_number(const struct option *opt, int64_t number, FILE *out)
{
	if (option_is_octal(opt))
		fprintf(out, "%04" PRIo64, (uint64_t)number);
	else if (option_is_points(opt))
		print_points(number, out);
	else
		fprintf(out, "%" PRId64, number);
}

/* With quotes, if it could not be read back without. */
static void
print_word_text(const struct word *word, FILE *out)
{
	if (strpbrk(word->text, "+,"))
		print_quoted(word->text, strlen(word->text), out);
	else
		fputs(word->text, out);
}

static void
print_word(const struct option *opt, int value, FILE *out)
{
	for (const struct word *word = opt->words; word->text; word++)
		if (word->value == value) {
			print_word_text(word, out);
			return;
		}
	abort();
}

static void
print_mask(const struct option *opt, unsigned mask, FILE *out)
{
	const char *comma = "";

	fputc('{', out);
	for (const struct word *word = opt->words; word->text; word++)
		if (mask & (unsigned)word->value) {
			fprintf(out, "%s%s", comma, word->text);
			comma = ", ";
		}
	fputc('}', out);
}

static void
print_list(const struct string_list *list, FILE *out)
{
	fputc('{', out);
	for (size_t i = 0; i < list->count; i++) {
		fputs(i > 0 ? ", " : "", out);
		print_quoted(list->at[i], strlen(list->at[i]), out);
	}
	fputc('}', out);
}

static void
print_nets(const struct addr_nets *nets, FILE *out)
{
	char text[ADDR_TEXT_SIZE];

	fputc('{', out);
	for (size_t i = 0; i < nets->count; i++)
		fprintf(out, "%s\"%s\"", i > 0 ? ", " : "",
		        addr_net_text(&nets->at[i], text));
	fputc('}', out);
}

void
option_print(const struct config *cfg, const struct option *opt, FILE *out)
{
	const void *field = option_field(cfg, opt);
	const char *text;

	fprintf(out, "%s = ", opt->name);
	switch (opt->kind) {
	case OPTION_BOOL:
		fputs(*(const bool *)field ? "true" : "false", out);
		break;
	case OPTION_INT:
		option_print_number(opt, *(const int64_t *)field, out);
		break;
	case OPTION_WORD:
		print_word(opt, *(const int *)field, out);
		break;
	case OPTION_MASK:
		print_mask(opt, *(const unsigned *)field, out);
		break;
	case OPTION_STR:
	case OPTION_TEXT:
		text = *(char *const *)field;
		print_quoted(text, strlen(text), out);
		break;
	case OPTION_REGEX:
		text = pattern_text(*(struct pattern *const *)field);
		print_quoted(text, strlen(text), out);
		break;
	case OPTION_LIST:
		print_list(field, out);
		break;
	case OPTION_NETS:
		print_nets(field, out);
		break;
	case OPTION_NONE:
	case OPTION_SECTION:
		abort();
	}
	fputc('\n', out);
}

void
option_print_words(const struct option *opt, FILE *out)
{
	for (const struct word *word = opt->words; word->text; word++) {
		fputs(word == opt->words ? "" : ", ", out);
		print_word_text(word, out);
	}
}

void
option_print_range(const struct option *opt, FILE *out)
{
	option_print_number(opt, opt->low, out);
	fputs(" to ", out);
	option_print_number(opt, opt->high, out);
	if (opt->unit[0])
		fprintf(out, " %s", opt->unit);
}
