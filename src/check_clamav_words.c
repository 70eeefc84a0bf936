#include "check_clamav_internal.h"

#include "clock.h"
#include "log.h"
#include "stats.h"

#include <stdio.h>
#include <string.h>

/*
 * What libclamav says: to whom it belongs, and how much of it is logged.
 *
 * It says it on the thread that called it, and mostly without the context of the scan: so
 * whoever calls it lays out where its words go.  No thread logs; the words come home with
 * the job.
 *
 * Much of it is about what peers send, in words of theirs: names of files, and as many
 * lines as they like to cause.  The log quotes; here it is seen to that a mail causes no
 * more than a few lines, the same line once, and that all mails together cause no more
 * than so many in a minute.  What is left out is counted.
 */
enum {
	MINUTE_MS = 60000,
	LINES_A_MINUTE = 60, /* of complaints; who wants debug gets all */
};

static _Thread_local struct clamav_words *collected;

/* -- hearing, in any thread ---------------------------------------------------------- */

static struct clamav_line *
find_line(struct clamav_words *words, enum cl_msg level, const char *text)
{
	for (unsigned i = 0; i < words->lines; i++)
		if (words->line[i].level == level &&
		    strcmp(words->line[i].text, text) == 0)
			return &words->line[i];
	return NULL;
}

/* A new one; when there are too many, in place of the first that matters less. */
static struct clamav_line *
find_room(struct clamav_words *words, enum cl_msg level)
{
	struct clamav_line *line;

	if (words->lines < CLAMAV_LINES)
		return &words->line[words->lines++];
	for (line = words->line; line < words->line + CLAMAV_LINES; line++) {
		if (line->level >= level)
			continue;
		words->left_out += line->times;
		return line;
	}
	words->left_out++;
	return NULL;
}

static void
keep(struct clamav_words *words, enum cl_msg level, const char *text)
{
	char cut[CLAMAV_LINE_SIZE];
	struct clamav_line *line;

	snprintf(cut, sizeof cut, "%.*s", (int)strcspn(text, "\r\n"), text);
	line = find_line(words, level, cut);
	if (line) {
		line->times++;
		return;
	}
	line = find_room(words, level);
	if (!line)
		return;
	line->level = level;
	line->times = 1;
	memcpy(line->text, cut, sizeof cut);
}

static void
hear(enum cl_msg level, const char *full, const char *text, void *context)
{
	(void)full;
	(void)context; /* NULL as often as not */
	if (!collected)
		return;
	keep(collected, level, text);
	if (collected->listen)
		collected->listen(collected->listener, level, text);
}

void
clamav_hear_words(void)
{
	cl_set_clcb_msg(hear);
}

void
clamav_collect_words(struct clamav_words *words)
{
	collected = words;
}

void
clamav_join_words(const struct clamav_words *words, char *to, size_t size)
{
	size_t used = 0;

	to[0] = '\0';
	for (unsigned i = 0; i < words->lines && used < size; i++)
		if (words->line[i].level >= CL_MSG_ERROR)
			used += (size_t)snprintf(to + used, size - used, "%s%s",
			                         used > 0 ? "; " : "",
			                         words->line[i].text);
}

/* -- logging, in the loop ------------------------------------------------------------- */

/* Lines of this minute, and those that were not logged. */
static struct {
	int64_t since_ms;
	unsigned lines;
	uint64_t left_out;
} minute;

static void
say_left_out(void)
{
	if (minute.left_out > 0)
		log_event(NULL, LOG_SCANNER_COMPLAINS_EVENT,
		          log_text("scanner", "libclamav"),
		          log_text("text", "and more, which was not logged"),
		          log_number("times", (int64_t)minute.left_out));
	minute.left_out = 0;
}

static bool
may_log(unsigned times)
{
	int64_t now = clock_ms();

	if (minute.lines == 0 || now - minute.since_ms >= MINUTE_MS) {
		say_left_out();
		minute.since_ms = now;
		minute.lines = 0;
	}
	if (minute.lines < LINES_A_MINUTE) {
		minute.lines++;
		return true;
	}
	minute.left_out += times;
	return false;
}

static struct log_field
times_field(unsigned times)
{
	struct log_field none = log_text("times", NULL);

	return times > 1 ? log_number("times", times) : none;
}

static void
log_line(const struct clamav_line *line, const struct log_ctx *log)
{
	if (line->level < CL_MSG_WARN) {
		log_event(log, LOG_SCANNER_SAYS_EVENT, log_text("scanner", "libclamav"),
		          log_text("text", line->text), times_field(line->times));
		return;
	}
	stats_add(STAT_scan_complaints, line->times);
	if (may_log(line->times))
		log_event(log, LOG_SCANNER_COMPLAINS_EVENT,
		          log_text("scanner", "libclamav"),
		          log_text("level",
		                   line->level >= CL_MSG_ERROR ? "error" : "warning"),
		          log_text("text", line->text), times_field(line->times));
}

void
clamav_log_words(const struct clamav_words *words, const struct log_ctx *log)
{
	for (unsigned i = 0; i < words->lines; i++)
		log_line(&words->line[i], log);
	if (words->left_out == 0)
		return;
	stats_add(STAT_scan_complaints, words->left_out);
	if (may_log(words->left_out))
		log_event(log, LOG_SCANNER_COMPLAINS_EVENT,
		          log_text("scanner", "libclamav"),
		          log_text("text", "and more, which is not logged"),
		          log_number("times", words->left_out));
}

void
clamav_log_last_words(void)
{
	say_left_out();
	minute.lines = 0;
}
