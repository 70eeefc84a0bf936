#ifndef CONFIG_ROWS_H
#define CONFIG_ROWS_H

#include "config_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * What a configuration text leads to, as one string to compare:
 * the notes ("note LINE: ..."), then either the complaints ("LINE: ...") or each option
 * that differs from its default ("name = value"), a line each.
 */
struct config_row {
	const char *text;
	const char *outcome;
};

static char *config_row_file;

static void
config_row_note(const char *words, void *arg)
{
	size_t size = strlen(config_row_file);

	assert_memory_equal(words, config_row_file, size);
	fprintf(arg, "note %s\n", words + size + 1);
}

static void
config_row_differences(const struct config *cfg, FILE *out)
{
	char why[512];
	struct config *plain = config_load(NULL, why, sizeof(why), NULL, NULL);

	assert_non_null(plain);
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE; opt++)
		if (opt->name && !option_equal(opt, cfg, plain))
			option_print(cfg, opt, out);
	config_drop(plain);
}

/* The text in a file of its own; free the name after unlinking it. */
static char *
config_row_write(const char *text, size_t size)
{
	char *file = xstrdup("/tmp/test_config.XXXXXX");
	int fd = mkstemp(file);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, size), size);
	close(fd);
	return file;
}

/* Each line begins with the name of the file. */
static void
config_row_complaints(char *why, FILE *out)
{
	size_t size = strlen(config_row_file);
	char *rest;

	for (char *line = strtok_r(why, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest))
		if (strncmp(line, config_row_file, size) == 0)
			fprintf(out, "%s\n", line + size + 1);
		else
			fprintf(out, "no file name in: %s\n", line);
}

__attribute__((unused)) static char *
config_row_outcome(const char *text)
{
	char why[4096], *outcome;
	size_t size;
	FILE *out = open_memstream(&outcome, &size);
	struct config *cfg;

	config_row_file = config_row_write(text, strlen(text));
	cfg = config_load(config_row_file, why, sizeof(why), config_row_note, out);
	if (cfg)
		config_row_differences(cfg, out);
	else
		config_row_complaints(why, out);
	config_drop(cfg);
	fclose(out);
	unlink(config_row_file);
	free(config_row_file);
	return outcome;
}

__attribute__((unused)) static struct config *
config_row_load(const char *text)
{
	char *file = config_row_write(text, strlen(text)), why[2048];
	struct config *cfg = config_load(file, why, sizeof(why), NULL, NULL);

	if (!cfg)
		fail_msg("%s", why);
	unlink(file);
	free(file);
	return cfg;
}

__attribute__((unused)) static void
config_rows_check(const struct config_row *rows, size_t count,
                  char *(*outcome_of)(const char *text))
{
	unsigned faults = 0;

	for (size_t i = 0; i < count; i++) {
		char *outcome = outcome_of(rows[i].text);

		if (strcmp(outcome, rows[i].outcome) != 0) {
			print_error("---- of\n%s\n---- came\n%s---- not\n%s",
			            rows[i].text, outcome, rows[i].outcome);
			faults++;
		}
		free(outcome);
	}
	assert_int_equal(faults, 0);
}

#endif
