#include "config_internal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- the file ----------------------------------------------------------------------- */

static char *
read_all(FILE *in, size_t *size)
{
	static const char mark[] =
		"\xEF\xBB\xBF"; /* some editors begin UTF-8 with it */
	char *text = xmalloc(CONFIG_LARGEST_FILE + 2);

	errno = 0;
	*size = fread(text, 1, CONFIG_LARGEST_FILE + 1, in);
	if (ferror(in)) {
		free(text);
		return NULL;
	}
	text[*size] = '\0';
	if (strncmp(text, mark, strlen(mark)) == 0)
		memset(text, ' ', strlen(mark));
	return text;
}

static int
count_lines(const char *text)
{
	int lines = 1;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

/* What else there is might block, or do something when it is opened. */
static bool
is_file(int directory, const char *file)
{
	struct stat is;

	return fstatat(directory, file, &is, 0) != 0 || S_ISREG(is.st_mode) ||
	       S_ISDIR(is.st_mode);
}

static FILE *
open_in(int directory, const char *file)
{
	int fd = openat(directory, file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	FILE *in = fd < 0 ? NULL : fdopen(fd, "r");

	if (fd >= 0 && !in)
		abort();
	return in;
}

char *
config_read_text(int directory, const char *file, const char *shown, char *why,
                 size_t why_size)
{
	FILE *in;
	char *text;
	size_t size;

	if (!*file) {
		snprintf(why, why_size, "the name of the configuration file is empty");
		return NULL;
	}
	if (!is_file(directory, file)) {
		snprintf(why, why_size,
		         "%s: is no regular file; a configuration is not read from a "
		         "pipe, socket or device",
		         shown);
		return NULL;
	}
	in = open_in(directory, file);
	if (!in) {
		snprintf(why, why_size, "%s: cannot be opened: %s", shown,
		         strerror(errno));
		return NULL;
	}
	text = read_all(in, &size);
	if (!text)
		snprintf(why, why_size, "%s: cannot be read: %s", shown,
		         strerror(errno));
	fclose(in);
	if (!text)
		return NULL;
	if (size > CONFIG_LARGEST_FILE)
		snprintf(why, why_size,
		         "%s: is larger than %d bytes: this is no "
		         "configuration file",
		         shown, CONFIG_LARGEST_FILE);
	else if (strlen(text) < size)
		snprintf(why, why_size,
		         "%s:%d: there is a NUL byte: this is no text file", shown,
		         count_lines(text));
	else
		return text;
	free(text);
	return NULL;
}

/* ---- tidying ------------------------------------------------------------------------ */

struct tidying {
	char *at;
	char *line_start;
	int line;
	bool line_begins;  /* only blanks in this line so far */
	bool token_begins; /* the last character cannot be part of a word */
	config_fault_cb *refused;
	void *arg;
};

static bool
refuse(struct tidying *tidy, int line, const char *words)
{
	tidy->refused(line, words, tidy->arg);
	return false;
}

static void
blank_line(struct tidying *tidy)
{
	while (*tidy->at && *tidy->at != '\n')
		*tidy->at++ = ' ';
}

static bool
blank_block(struct tidying *tidy)
{
	char *end = strstr(tidy->at + 2, "*/");
	int line = tidy->line;

	if (!end) {
		*tidy->at = '\0';
		return refuse(tidy, line,
		              "the comment that begins here with /* "
		              "does not end: */ is missing");
	}
	for (; tidy->at < end + 2; tidy->at++) {
		if (*tidy->at == '\n') {
			tidy->line++;
			tidy->line_start = tidy->at + 1;
		} else {
			*tidy->at = ' ';
		}
	}
	tidy->token_begins = true;
	return true;
}

static bool
is_environment(const char *at)
{
	return at[0] == '$' && at[1] == '{';
}

static bool
refuse_environment(struct tidying *tidy)
{
	return refuse(tidy, tidy->line,
	              "${...} is not replaced by anything here; for "
	              "these very characters write \"\\${\" or '${'");
}

static bool
pass_string(struct tidying *tidy)
{
	char quote = *tidy->at++;
	const char *escapes = quote == '"' ? "\"\\$" : "'\\";

	for (; *tidy->at != quote; tidy->at++) {
		if (!*tidy->at || *tidy->at == '\n')
			return refuse(tidy, tidy->line,
			              quote == '"' ? "a string begins with \" and does "
			                             "not end in this line"
			                           : "a string begins with ' and does "
			                             "not end in this line");
		if (*tidy->at != '\t' && iscntrl((unsigned char)*tidy->at))
			return refuse(tidy, tidy->line,
			              "there is a control character in a string");
		if (quote == '"' && is_environment(tidy->at))
			return refuse_environment(tidy);
		if (*tidy->at != '\\')
			continue;
		if (tidy->at[1] && strchr(escapes, tidy->at[1]))
			tidy->at++;
		else if (quote == '"')
			return refuse(tidy, tidy->line,
			              "a backslash in a string must be "
			              "one of \\\" \\\\ \\$; or use 'single quotes'");
	}
	tidy->at++;
	tidy->token_begins = true;
	return true;
}

/* What libconfuse's lexer would drop without a word. */
static bool
is_strange(const char *at)
{
	if (*at == '+')
		return at[1] != '=';
	return strchr("*()", *at) || (*at != '\t' && iscntrl((unsigned char)*at));
}

static bool
pass_other(struct tidying *tidy)
{
	char words[64];

	if (tidy->at[0] == '\r' && (tidy->at[1] == '\n' || !tidy->at[1]))
		*tidy->at = ' ';
	if (*tidy->at != '\n' && is_strange(tidy->at)) {
		snprintf(words, sizeof(words), "\"%c\" needs quotes around its value",
		         *tidy->at);
		return refuse(tidy, tidy->line,
		              isprint((unsigned char)*tidy->at)
		                      ? words
		                      : "there is a control character");
	}
	tidy->token_begins = strchr(" \t\n={},", *tidy->at);
	tidy->line_begins = *tidy->at == '\n' ||
	                    (tidy->line_begins && strchr(" \t", *tidy->at));
	if (*tidy->at++ == '\n') {
		tidy->line++;
		tidy->line_start = tidy->at;
	}
	return true;
}

static bool
tidy_step(struct tidying *tidy)
{
	char *at = tidy->at;

	if (at[0] == '#' && !tidy->token_begins)
		return refuse(tidy, tidy->line,
		              "\"#\" in a value needs quotes around all of it; before "
		              "a comment there must be a blank");
	if ((at[0] == ';' && tidy->line_begins) || at[0] == '#' ||
	    (tidy->token_begins && at[0] == '/' && at[1] == '/')) {
		blank_line(tidy);
		return true;
	}
	if (tidy->token_begins && at[0] == '/' && at[1] == '*')
		return blank_block(tidy);
	if (at[0] == '"' || at[0] == '\'') {
		tidy->line_begins = false;
		return pass_string(tidy);
	}
	if (is_environment(at))
		return refuse_environment(tidy);
	return pass_other(tidy);
}

void
config_tidy(char *text, config_fault_cb *refused, void *arg)
{
	struct tidying tidy = { .at = text,
		                .line_start = text,
		                .line = 1,
		                .line_begins = true,
		                .token_begins = true,
		                .refused = refused,
		                .arg = arg };

	while (*tidy.at) {
		if (tidy_step(&tidy))
			continue;
		tidy.at = tidy.line_start;
		blank_line(&tidy);
	}
}
