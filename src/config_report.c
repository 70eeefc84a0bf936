#include "config_internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Those of the last lines go if there are too many. */
static void
add(struct report *report, int line, char *words)
{
	struct fault *faults = report->faults;
	size_t at = report->fault_count;

	if (at == FAULTS_TOLD && line >= faults[at - 1].line) {
		free(words);
		return;
	}
	if (at == FAULTS_TOLD)
		free(faults[--at].words);
	else
		report->fault_count++;
	for (; at > 0 && faults[at - 1].line > line; at--)
		faults[at] = faults[at - 1];
	faults[at] = (struct fault){ line, words };
}

void
report_fault(struct report *report, int line, const char *format, ...)
{
	va_list args;
	char *words;

	va_start(args, format);
	if (vasprintf(&words, format, args) < 0)
		abort();
	va_end(args);
	add(report, line, words);
}

void
report_words(int line, const char *words, void *report)
{
	add(report, line, xstrdup(words));
}

bool
report_has(const struct report *report, const char *words)
{
	for (size_t i = 0; i < report->fault_count; i++)
		if (strcmp(report->faults[i].words, words) == 0)
			return true;
	return false;
}

void
report_tell(const struct report *report, char *why, size_t why_size)
{
	char *to = why;
	size_t room = why_size;

	for (size_t i = 0; i < report->fault_count; i++) {
		const struct fault *fault = &report->faults[i];
		int size = snprintf(to, room, "%s%s:%d: %s", i > 0 ? "\n" : "",
		                    report->file, fault->line, fault->words);

		if ((size_t)size >= room) {
			if (i > 0)
				*to = '\0';
			return;
		}
		to += size;
		room -= (size_t)size;
	}
}

void
report_note(const char *words, void *arg)
{
	struct report *report = arg;
	char *whole;

	if (!report->noted)
		return;
	whole = xasprintf("%s:%s", report->file, words);
	report->noted(whole, report->arg);
	free(whole);
}

void
report_note_at(struct report *report, int line, const char *format, ...)
{
	va_list args;
	char *words, *whole;

	va_start(args, format);
	if (vasprintf(&words, format, args) < 0)
		abort();
	va_end(args);
	whole = xasprintf("%d: %s", line, words);
	report_note(whole, report);
	free(whole);
	free(words);
}

void
report_clear(struct report *report)
{
	for (size_t i = 0; i < report->fault_count; i++)
		free(report->faults[i].words);
	report->fault_count = 0;
}
