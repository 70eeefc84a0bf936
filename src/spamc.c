#include "spamc.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
	DIGITS_MOST = 9, /* of a score, before and behind the point */
};

/* A stretch of the text. */
struct words {
	const char *at;
	size_t size;
};

size_t
spamc_request(char to[static SPAMC_REQUEST_SIZE], uint64_t size)
{
	int length = snprintf(
		to, SPAMC_REQUEST_SIZE,
		"SYMBOLS SPAMC/1.5\r\nContent-length: %" PRIu64 "\r\n\r\n", size);

	assert(length > 0 && length < SPAMC_REQUEST_SIZE);
	return (size_t)length;
}

/* ---- words ----------------------------------------------------------------------- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void
skip(struct words *words, size_t count)
{
	words->at += count;
	words->size -= count;
}

static void
skip_blanks(struct words *words)
{
	while (words->size > 0 && is_blank(*words->at))
		skip(words, 1);
}

static bool
take_char(struct words *words, char c)
{
	skip_blanks(words);
	if (words->size == 0 || *words->at != c)
		return false;
	skip(words, 1);
	return true;
}

/* The next line of TEXT, without its end.  False: it is not whole yet. */
static bool
take_line(struct words *text, struct words *line)
{
	const char *end = memchr(text->at, '\n', text->size);

	if (!end)
		return false;
	*line = (struct words){ text->at, (size_t)(end - text->at) };
	skip(text, line->size + 1);
	if (line->size > 0 && line->at[line->size - 1] == '\r')
		line->size--;
	return true;
}

/* Of WORD, in any case. */
static bool
take_word(struct words *words, const char *word)
{
	size_t size = strlen(word);

	if (words->size < size || strncasecmp(words->at, word, size) != 0)
		return false;
	skip(words, size);
	return true;
}

/* What stands behind "NAME:" in LINE. */
static bool
take_header(struct words *line, const char *name)
{
	struct words rest = *line;

	if (!take_word(&rest, name) || !take_char(&rest, ':'))
		return false;
	skip_blanks(&rest);
	*line = rest;
	return true;
}

static bool
take_number(struct words *words, uint64_t most, uint64_t *number)
{
	size_t digits = 0;

	for (*number = 0; words->size > 0 && is_digit(*words->at); digits++) {
		*number = 10 * *number + (uint64_t)(*words->at - '0');
		if (digits >= DIGITS_MOST || *number > most)
			return false;
		skip(words, 1);
	}
	return digits > 0;
}

/* It is written in the language that spamd was started in: "5.0" or "5,0". */
static bool
take_score(struct words *words, double *score)
{
	bool is_negative = take_char(words, '-');
	uint64_t whole, part = 0;
	double parts = 1;

	if (!take_number(words, UINT32_MAX, &whole))
		return false;
	if (words->size > 0 && (*words->at == '.' || *words->at == ',')) {
		const char *point = words->at;

		skip(words, 1);
		if (!take_number(words, UINT32_MAX, &part))
			return false;
		for (const char *at = point + 1; at < words->at; at++)
			parts *= 10;
	}
	*score = (double)whole + (double)part / parts;
	if (is_negative)
		*score = -*score;
	return true;
}

/* As many as fit, and what cannot be printed as '?'. */
static void
copy_words(char *to, size_t size, struct words from)
{
	size_t length = from.size < size ? from.size : size - 1;

	for (size_t i = 0; i < length; i++)
		to[i] = from.at[i] > ' ' && from.at[i] <= '~' ? from.at[i]
		        : is_blank(from.at[i])                ? ' '
		                                              : '?';
	to[length] = '\0';
}

/* ---- the answer ------------------------------------------------------------------ */

/* SPAMD/1.1 0 EX_OK */
static bool
read_first(struct words line, struct spamc_answer *answer)
{
	uint64_t ignored, code;

	if (!take_word(&line, "SPAMD/") || !take_number(&line, 99, &ignored) ||
	    !take_char(&line, '.') || !take_number(&line, 99, &ignored) ||
	    line.size == 0 || !is_blank(*line.at))
		return false;
	skip_blanks(&line);
	if (!take_number(&line, 999, &code) || (line.size > 0 && !is_blank(*line.at)))
		return false;
	skip_blanks(&line);
	answer->code = (int)code;
	copy_words(answer->words, sizeof(answer->words), line);
	return true;
}

/* True ; 1000.0 / 5.0 */
static bool
read_spam(struct words value, struct spamc_answer *answer)
{
	answer->is_spam = take_word(&value, "true") || take_word(&value, "yes");
	if (!answer->is_spam && !take_word(&value, "false") && !take_word(&value, "no"))
		return false;
	if (!take_char(&value, ';'))
		return false;
	skip_blanks(&value);
	if (!take_score(&value, &answer->score) || !take_char(&value, '/'))
		return false;
	skip_blanks(&value);
	if (!take_score(&value, &answer->threshold))
		return false;
	skip_blanks(&value);
	return value.size == 0;
}

struct head {
	bool has_spam, has_length;
	uint64_t length;
};

static bool
read_header(struct words line, struct head *head, struct spamc_answer *answer)
{
	if (take_header(&line, "Spam")) {
		if (head->has_spam)
			return false;
		head->has_spam = true;
		return read_spam(line, answer);
	}
	if (!take_header(&line, "Content-length"))
		return true; /* DidSet, and what may come */
	if (head->has_length || !take_number(&line, SPAMC_ANSWER_MAX, &head->length))
		return false;
	head->has_length = true;
	skip_blanks(&line);
	return line.size == 0;
}

/* Names of rules with commas in between; the last that does not fit is left out. */
static void
read_rules(struct words body, struct spamc_answer *answer)
{
	size_t length = 0;

	for (size_t i = 0; i < body.size && length < sizeof(answer->rules) - 1; i++)
		if (body.at[i] > ' ' && body.at[i] <= '~')
			answer->rules[length++] = body.at[i];
	if (length == sizeof(answer->rules) - 1)
		while (length > 0 && answer->rules[--length] != ',')
			;
	answer->rules[length] = '\0';
}

/* Behind the head; without a length, all that comes is of it. */
static enum spamc_step
read_body(struct words rest, bool at_eof, const struct head *head,
          struct spamc_answer *answer)
{
	if (!head->has_spam)
		return SPAMC_MALFORMED;
	if (head->has_length && rest.size > head->length)
		rest.size = head->length;
	if (head->has_length ? rest.size < head->length : !at_eof)
		return at_eof ? SPAMC_MALFORMED : SPAMC_MORE;
	read_rules(rest, answer);
	return SPAMC_WHOLE;
}

static enum spamc_step
read_lines(struct words text, bool at_eof, struct spamc_answer *answer)
{
	struct head head = { 0 };
	struct words line;

	if (!take_line(&text, &line))
		return at_eof ? SPAMC_MALFORMED : SPAMC_MORE;
	if (!read_first(line, answer))
		return SPAMC_MALFORMED;
	if (answer->code != 0)
		return SPAMC_WHOLE;
	while (take_line(&text, &line)) {
		if (line.size == 0)
			return read_body(text, at_eof, &head, answer);
		if (!read_header(line, &head, answer))
			return SPAMC_MALFORMED;
	}
	return at_eof ? SPAMC_MALFORMED : SPAMC_MORE;
}

enum spamc_step
spamc_read(const char *text, size_t size, bool at_eof, struct spamc_answer *answer)
{
	enum spamc_step step;

	*answer = (struct spamc_answer){ 0 };
	if (size == 0)
		return at_eof ? SPAMC_MALFORMED : SPAMC_MORE;
	if (size > SPAMC_ANSWER_MAX || memchr(text, '\0', size))
		return SPAMC_MALFORMED;
	step = read_lines((struct words){ text, size }, at_eof, answer);
	return step == SPAMC_MORE && size == SPAMC_ANSWER_MAX ? SPAMC_MALFORMED : step;
}
