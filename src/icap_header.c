#include "icap_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What headers of answers say.
 */

/* To SIZE bytes of TO: printable, without quotes and blanks around it. */
static void
keep_name(char *to, size_t size, const char *from)
{
	size_t length;

	from += strspn(from, " \t\"");
	length = strlen(from);
	while (length > 0 && strchr(" \t\"", from[length - 1]))
		length--;
	if (length >= size)
		length = size - 1;
	for (size_t i = 0; i < length; i++)
		to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
	to[length] = '\0';
}

/* Plain decimal of up to 15 digits; -1: something else. */
static int64_t
number_of(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 15 || text[digits + strspn(text + digits, " \t")])
		return -1;
	return strtoll(text, NULL, 10);
}

static void
note_threat(struct icap_answer *answer, enum icap_threat threat, const char *name)
{
	if (answer->threat == ICAP_NO_THREAT)
		answer->threat = threat;
	if (!answer->name[0])
		keep_name(answer->name, sizeof(answer->name), name);
}

/* "Type=0; Resolution=2; Threat=Some.Name;" */
static void
note_infection(struct icap_answer *answer, const char *text)
{
	static const char threat[] = "Threat=";
	const char *type = strcasestr(text, "Type="), *found = strcasestr(text, threat);
	char name[ICAP_NAME_SIZE] = "";

	if (found) {
		found += sizeof(threat) - 1;
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(found, ";"), found);
	}
	/* It says more than other headers of the same answer. */
	answer->threat = ICAP_NO_THREAT;
	if (type && type[5] == '1')
		note_threat(answer, ICAP_POLICY, name);
	else if (type && type[5] == '2')
		note_threat(answer, ICAP_CONTAINER, name);
	else
		note_threat(answer, ICAP_VIRUS, name);
}

/* Some say in words that there is none. */
static void
note_virus(struct icap_answer *answer, const char *text)
{
	static const char *const none[] = { "", "-", "none", "no threats", "no virus" };
	char name[ICAP_NAME_SIZE];

	keep_name(name, sizeof(name), text);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		if (strcasecmp(name, none[i]) == 0)
			return;
	note_threat(answer, ICAP_VIRUS, name);
}

static void
note_violations(struct icap_answer *answer, const char *text)
{
	if (number_of(text) != 0)
		note_threat(answer, ICAP_VIRUS, "");
}

static void
note_connection(struct icap_answer *answer, const char *text)
{
	answer->is_last = strcasestr(text, "close");
}

static void
note_tag(struct icap_answer *answer, const char *text)
{
	keep_name(answer->tag, sizeof(answer->tag), text);
}

static void
note_methods(struct icap_answer *answer, const char *text)
{
	answer->offers_respmod = strcasestr(text, "RESPMOD");
}

static void
note_preview(struct icap_answer *answer, const char *text)
{
	answer->preview = number_of(text);
}

static void
note_ttl(struct icap_answer *answer, const char *text)
{
	answer->ttl_s = number_of(text);
}

static void
note_connections(struct icap_answer *answer, const char *text)
{
	answer->connections = number_of(text);
}

/* Of ICAP, or of HTTP in it (INNER); the rest is of no interest. */
static const struct {
	const char *name;
	bool inner;
	void (*note)(struct icap_answer *answer, const char *text);
} headers[] = {
	{ "X-Infection-Found", true, note_infection },
	{ "X-Virus-ID", true, note_virus },
	{ "X-Virus-Name", true, note_virus },
	{ "X-FSecure-Infection-Name", true, note_virus },
	{ "X-Violations-Found", true, note_violations },
	{ "Connection", false, note_connection },
	{ "ISTag", false, note_tag },
	{ "Methods", false, note_methods },
	{ "Preview", false, note_preview },
	{ "Options-TTL", false, note_ttl },
	{ "Max-Connections", false, note_connections },
};

enum {
	HEADERS = sizeof(headers) / sizeof(headers[0]),
};

/* The second line that continues it has the name; the first is that of the file. */
static void
read_folded(struct icap_reader *reader, const char *line)
{
	struct icap_answer *answer = &reader->answer;

	if (++reader->folded == 2 && reader->which < HEADERS &&
	    headers[reader->which].note == note_violations && !answer->name[0])
		keep_name(answer->name, sizeof(answer->name), line);
}

bool
icap_note_header(struct icap_reader *reader, const char *line, bool inner)
{
	size_t size = strcspn(line, ": \t");
	int which = 0;

	if (line[0] == ' ' || line[0] == '\t') {
		read_folded(reader, line);
		return true;
	}
	if (size == 0 || line[size] != ':')
		return false;
	while (which < HEADERS && (strlen(headers[which].name) != size ||
	                           strncasecmp(headers[which].name, line, size) != 0 ||
	                           (inner && !headers[which].inner)))
		which++;
	reader->which = which;
	reader->folded = 0;
	line += size + 1;
	if (which < HEADERS)
		headers[which].note(&reader->answer, line + strspn(line, " \t"));
	return true;
}
