#include "lookup_internal.h"

#include <stdio.h>
#include <string.h>

/*
 * Lines: see lookup.h.
 */

/* A place in a line, and whether all was well so far. */
struct place {
	const char *at;
	bool good;
};

static void
skip_blanks(struct place *place)
{
	place->at += strspn(place->at, " \t");
}

static void
want(struct place *place, char c)
{
	skip_blanks(place);
	if (*place->at == c)
		place->at++;
	else
		place->good = false;
}

/* 1 to 65535, in plain decimal. */
static uint16_t
want_port(struct place *place)
{
	unsigned port = 0;
	int digits = 0;

	skip_blanks(place);
	for (; *place->at >= '0' && *place->at <= '9' && digits < 6; digits++)
		port = port * 10 + (unsigned)(*place->at++ - '0');
	if (port == 0 || port > 65535)
		place->good = false;
	return (uint16_t)port;
}

static bool
want_word(struct place *place, const char *word)
{
	size_t size = strlen(word);

	skip_blanks(place);
	if (strncmp(place->at, word, size) != 0 ||
	    strchr(" \t:", place->at[size]) == NULL || place->at[size] == '\0')
		return false;
	place->at += size;
	return true;
}

static struct addr
want_host(struct place *place, uint16_t port)
{
	char text[ADDR_TEXT_SIZE];
	struct addr addr = { 0 };
	size_t size;
	bool six;

	skip_blanks(place);
	six = *place->at == '[';
	if (six)
		place->at++;
	size = strspn(place->at, six ? "0123456789abcdefABCDEF:." : "0123456789.");
	if (size == 0 || size >= sizeof(text)) {
		place->good = false;
		return addr;
	}
	snprintf(text, sizeof(text), "%.*s", (int)size, place->at);
	place->at += size;
	if (six)
		want(place, ']');
	if (!addr_parse(&addr, text, port))
		place->good = false;
	return addr;
}

static void
want_end(struct place *place)
{
	skip_blanks(place);
	if (*place->at != '\0')
		place->good = false;
}

static const char *
host_text(const struct addr *addr, char text[static ADDR_TEXT_SIZE])
{
	char bare[ADDR_TEXT_SIZE];

	addr_text(addr, bare);
	snprintf(text, ADDR_TEXT_SIZE, addr_family(addr) == AF_INET6 ? "[%.61s]" : "%s",
	         bare);
	return text;
}

/* ---- questions ---------------------------------------------------------------------- */

void
lookup_write_question_line(const struct lookup_question *question,
                           char to[static LOOKUP_LINE_SIZE])
{
	char client[ADDR_TEXT_SIZE], gateway[ADDR_TEXT_SIZE];
	unsigned client_port = addr_port(&question->client);
	unsigned gateway_port = addr_port(&question->gateway);

	if (question->names_hosts)
		snprintf(to, LOOKUP_LINE_SIZE, "%u , %u : FOR : %s , %s\r\n",
		         client_port, gateway_port,
		         host_text(&question->client, client),
		         host_text(&question->gateway, gateway));
	else
		snprintf(to, LOOKUP_LINE_SIZE, "%u , %u\r\n", client_port,
		         gateway_port);
}

enum lookup_fault
lookup_read_question_line(const char *line, struct lookup_question *question)
{
	struct lookup_question read = *question;
	struct place place = { line, true };
	uint16_t client, gateway;

	client = want_port(&place);
	want(&place, ',');
	gateway = want_port(&place);
	skip_blanks(&place);
	read.names_hosts = *place.at == ':';
	if (read.names_hosts) {
		place.at++;
		place.good = want_word(&place, "FOR") && place.good;
		want(&place, ':');
		read.client = want_host(&place, 0);
		want(&place, ',');
		read.gateway = want_host(&place, 0);
	}
	want_end(&place);
	if (!place.good || addr_family(&read.client) != addr_family(&read.gateway))
		return LOOKUP_MALFORMED;
	addr_set_port(&read.client, client);
	addr_set_port(&read.gateway, gateway);
	*question = read;
	return LOOKUP_FINE;
}

/* ---- answers ------------------------------------------------------------------------ */

static const char *
result_word(enum lookup_result result)
{
	switch (result) {
	case LOOKUP_FOUND:
		return "";
	case LOOKUP_NOT_FOUND:
		return "NO-USER";
	case LOOKUP_FAILED:
		return "UNKNOWN-ERROR";
	}
	return "";
}

/* 1.4 reads no ident that is empty, so that one is written as "-". */
void
lookup_write_answer_line(const struct lookup_question *question,
                         const struct lookup_answer *answer,
                         char to[static LOOKUP_LINE_SIZE])
{
	unsigned client = addr_port(&question->client);
	unsigned gateway = addr_port(&question->gateway);
	char server[ADDR_TEXT_SIZE];

	if (answer->result == LOOKUP_FOUND)
		snprintf(to, LOOKUP_LINE_SIZE, "%u , %u : ORIGIN : %s : %u : %s\r\n",
		         client, gateway, host_text(&answer->server, server),
		         (unsigned)addr_port(&answer->server),
		         answer->ident[0] ? answer->ident : "-");
	else
		snprintf(to, LOOKUP_LINE_SIZE, "%u , %u : ERROR : %s\r\n", client,
		         gateway, result_word(answer->result));
}

static void
read_origin(struct place *place, struct lookup_answer *answer)
{
	size_t size;

	want(place, ':');
	answer->server = want_host(place, 0);
	want(place, ':');
	addr_set_port(&answer->server, want_port(place));
	want(place, ':');
	skip_blanks(place);
	size = strlen(place->at);
	while (size > 0 && strchr(" \t", place->at[size - 1]))
		size--;
	lookup_clean_ident(answer->ident, place->at, size);
}

static void
read_error(struct place *place, struct lookup_answer *answer)
{
	want(place, ':');
	skip_blanks(place);
	answer->result = LOOKUP_FAILED;
	if (strncmp(place->at, "NO-USER", 7) == 0) {
		place->at += 7;
		answer->result = LOOKUP_NOT_FOUND;
		want_end(place);
	}
}

enum lookup_fault
lookup_read_answer_line(const char *line, const struct lookup_question *question,
                        struct lookup_answer *answer)
{
	struct lookup_answer read = { .result = LOOKUP_FOUND };
	struct place place = { line, true };
	uint16_t client, gateway;

	client = want_port(&place);
	want(&place, ',');
	gateway = want_port(&place);
	want(&place, ':');
	if (want_word(&place, "ORIGIN"))
		read_origin(&place, &read);
	else if (want_word(&place, "ERROR"))
		read_error(&place, &read);
	else
		place.good = false;
	if (!place.good)
		return LOOKUP_MALFORMED;
	if (client != addr_port(&question->client) ||
	    gateway != addr_port(&question->gateway))
		return LOOKUP_STRANGE;
	if (read.result == LOOKUP_FOUND &&
	    !lookup_is_usable(&read.server, &question->client))
		return LOOKUP_UNUSABLE;
	*answer = read;
	return LOOKUP_FINE;
}

/* ---- reading ------------------------------------------------------------------------ */

enum lookup_step
lookup_take_line(struct evbuffer *input, bool at_eof,
                 char line[static LOOKUP_LINE_SIZE])
{
	struct evbuffer_ptr end = evbuffer_search_eol(input, NULL, NULL,
	                                              EVBUFFER_EOL_LF);
	size_t size = end.pos >= 0 ? (size_t)end.pos : evbuffer_get_length(input);

	if (size >= LOOKUP_LINE_SIZE)
		return LOOKUP_TOO_LONG;
	if (end.pos < 0 && (!at_eof || size == 0))
		return LOOKUP_MORE;
	evbuffer_remove(input, line, size);
	if (end.pos >= 0)
		evbuffer_drain(input, 1);
	if (size > 0 && line[size - 1] == '\r')
		size--;
	line[size] = '\0';
	return strlen(line) == size ? LOOKUP_LINE : LOOKUP_TOO_LONG;
}
