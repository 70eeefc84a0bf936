#include "icap_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- requests --------------------------------------------------------------------------- */

/* What stands between "//" and the next '/'. */
static int
host_of(const char *url, const char **host)
{
	const char *start = strstr(url, "://");

	assert(start); /* config.c has seen to it */
	*host = start + 3;
	return (int)strcspn(*host, "/");
}

static void
put_start(struct evbuffer *out, const char *method, const char *url)
{
	const char *host;
	int size = host_of(url, &host);

	evbuffer_add_printf(out,
	                    "%s %s ICAP/1.0\r\n"
	                    "Host: %.*s\r\n"
	                    "User-Agent: smtp-gated/" PROGRAM_VERSION "\r\n",
	                    method, url, size, host);
}

void
icap_put_options(struct evbuffer *out, const char *url)
{
	put_start(out, "OPTIONS", url);
	evbuffer_add_printf(out, "Encapsulated: null-body=0\r\n\r\n");
}

/* Engines look at the kind and the name's end to see how to unpack it. */
void
icap_put_respmod(struct evbuffer *out, const struct icap_request *request)
{
	static const char asked[] = "GET http://mail.invalid/message.eml HTTP/1.1\r\n"
				    "Host: mail.invalid\r\n\r\n";
	char got[200];
	int size = snprintf(got, sizeof(got),
	                    "HTTP/1.1 200 OK\r\n"
	                    "Content-Type: message/rfc822\r\n"
	                    "Content-Length: %" PRIu64 "\r\n\r\n",
	                    request->size);

	assert(!request->has_preview || request->preview <= request->size);
	put_start(out, "RESPMOD", request->url);
	evbuffer_add_printf(out, "Allow: 204\r\n");
	if (request->has_preview)
		evbuffer_add_printf(out, "Preview: %" PRIu64 "\r\n", request->preview);
	evbuffer_add_printf(
		out, "Encapsulated: req-hdr=0, res-hdr=%zu, res-body=%zu\r\n\r\n",
		sizeof(asked) - 1, sizeof(asked) - 1 + (size_t)size);
	evbuffer_add(out, asked, sizeof(asked) - 1);
	evbuffer_add(out, got, (size_t)size);
}

void
icap_put_chunk(struct evbuffer *out, const char *at, size_t size)
{
	assert(size > 0);
	evbuffer_add_printf(out, "%zx\r\n", size);
	evbuffer_add(out, at, size);
	evbuffer_add(out, "\r\n", 2);
}

void
icap_put_stop(struct evbuffer *out, enum icap_stop stop)
{
	evbuffer_add_printf(out, "%s\r\n\r\n",
	                    stop == ICAP_STOP_SHORT ? "0; ieof" : "0");
}

/* ---- lines ------------------------------------------------------------------------------ */

static enum icap_step
take_line(struct icap_reader *reader, struct evbuffer *in,
          char line[static ICAP_LINE_MAX])
{
	size_t end_size = 0, size;
	struct evbuffer_ptr end = evbuffer_search_eol(in, NULL, &end_size,
	                                              EVBUFFER_EOL_LF);

	if (end.pos < 0)
		return evbuffer_get_length(in) < ICAP_LINE_MAX ? ICAP_MORE
		                                               : ICAP_MALFORMED;
	size = (size_t)end.pos + 1;
	reader->lines += size;
	if (size > ICAP_LINE_MAX || reader->lines > ICAP_HEADER_MAX || size < 2)
		return ICAP_MALFORMED;
	evbuffer_remove(in, line, size);
	if (line[size - 2] != '\r' || memchr(line, '\r', size - 2) ||
	    memchr(line, '\0', size))
		return ICAP_MALFORMED;
	line[size - 2] = '\0';
	return ICAP_WHOLE;
}

/* "ICAP/1.0 204 No Content"; -1: it is no such line. */
static int
code_of(const char *line, const char *protocol)
{
	size_t size = strlen(protocol);
	int code = 0;

	if (strncmp(line, protocol, size) != 0)
		return -1;
	line += size;
	if (strspn(line, "0123456789") != 3 || (line[3] && line[3] != ' '))
		return -1;
	for (int i = 0; i < 3; i++)
		code = 10 * code + line[i] - '0';
	return code >= 100 ? code : -1;
}

/* "res-hdr=0, res-body=137": headers up to where the content begins, or would. */
static bool
read_encapsulated(struct icap_reader *reader, const char *text)
{
	int64_t at = -1;
	bool is_body = false;

	for (;;) {
		size_t name, digits;
		char number[16] = "";

		text += strspn(text, " \t");
		name = strcspn(text, "=, \t");
		digits = text[name] == '=' ? strspn(text + name + 1, "0123456789") : 0;
		if (is_body || name < 5 || digits == 0 || digits > 9)
			return false;
		memcpy(number, text + name + 1, digits);
		if (strtoll(number, NULL, 10) < at || (at < 0 && atoi(number) != 0))
			return false;
		at = strtoll(number, NULL, 10);
		is_body = strncasecmp(text + name - 5, "-body", 5) == 0;
		if (is_body)
			reader->answer.has_content = strncasecmp(text, "null", 4) != 0;
		text += name + 1 + digits;
		text += strspn(text, " \t");
		if (*text == '\0')
			break;
		if (*text++ != ',')
			return false;
	}
	reader->left = (uint64_t)at;
	return is_body && at <= ICAP_HEADER_MAX;
}

/* A line of headers; the first one of HTTP's is another. */
static enum icap_step
read_header(struct icap_reader *reader, const char *line, bool inner)
{
	static const char encapsulated[] = "Encapsulated:";
	size_t size = sizeof(encapsulated) - 1;

	if (!inner && strncasecmp(line, encapsulated, size) == 0)
		return read_encapsulated(reader, line + size) ? ICAP_MORE
		                                              : ICAP_MALFORMED;
	return icap_note_header(reader, line, inner) ? ICAP_MORE : ICAP_MALFORMED;
}

/* ---- the parts of an answer ------------------------------------------------------------- */

static enum icap_step
read_status(struct icap_reader *reader, const char *line)
{
	struct icap_answer *answer = &reader->answer;

	answer->preview = answer->ttl_s = answer->connections = -1;
	answer->code = code_of(line, "ICAP/1.0 ");
	reader->at = ICAP_AT_HEADER;
	return answer->code < 0 ? ICAP_MALFORMED : ICAP_MORE;
}

/* What is read next, when all headers have been. */
static enum icap_step
begin_content(struct icap_reader *reader)
{
	reader->is_known = true;
	reader->at = ICAP_AT_CHUNK;
	return reader->answer.has_content ? ICAP_MORE : ICAP_WHOLE;
}

static enum icap_step
read_outer(struct icap_reader *reader, const char *line)
{
	if (line[0])
		return read_header(reader, line, false);
	if (reader->answer.code == 100) {
		bool plain = reader->left == 0 && !reader->answer.has_content;

		*reader = (struct icap_reader){ 0 };
		return plain ? ICAP_CONTINUE : ICAP_MALFORMED;
	}
	if (reader->left == 0)
		return begin_content(reader);
	reader->at = ICAP_AT_INNER;
	reader->was_blank = true;
	return ICAP_MORE;
}

/* There may be two blocks, of a request and of an answer, each with a blank line behind. */
static enum icap_step
read_inner(struct icap_reader *reader, const char *line)
{
	size_t size = strlen(line) + 2;
	bool first = reader->was_blank;
	int code = first ? code_of(line, "HTTP/1.1 ") : -1;

	if (first && code < 0)
		code = code_of(line, "HTTP/1.0 ");
	if (size > reader->left)
		return ICAP_MALFORMED;
	reader->left -= size;
	reader->was_blank = !line[0];
	if (code > 0)
		reader->answer.http_code = code;
	if (!first && line[0] && read_header(reader, line, true) == ICAP_MALFORMED)
		return ICAP_MALFORMED;
	if (reader->left > 0)
		return ICAP_MORE;
	return reader->was_blank ? begin_content(reader) : ICAP_MALFORMED;
}

/* In hexadecimal; what may stand behind it is of no interest. */
static enum icap_step
read_chunk(struct icap_reader *reader, const char *line)
{
	size_t digits = strspn(line, "0123456789abcdefABCDEF");

	if (digits == 0 || digits > 8 || !strchr("; \t", line[digits]))
		return ICAP_MALFORMED;
	reader->left = strtoull(line, NULL, 16);
	reader->lines = 0;
	reader->at = reader->left > 0 ? ICAP_AT_CONTENT : ICAP_AT_TRAILER;
	return ICAP_MORE;
}

static enum icap_step
read_line(struct icap_reader *reader, const char *line)
{
	switch (reader->at) {
	case ICAP_AT_STATUS:
		return read_status(reader, line);
	case ICAP_AT_HEADER:
		return read_outer(reader, line);
	case ICAP_AT_INNER:
		return read_inner(reader, line);
	case ICAP_AT_CHUNK:
		return read_chunk(reader, line);
	case ICAP_AT_CHUNK_END:
		reader->at = ICAP_AT_CHUNK;
		return line[0] ? ICAP_MALFORMED : ICAP_MORE;
	case ICAP_AT_TRAILER:
		return line[0] ? ICAP_MORE : ICAP_WHOLE;
	case ICAP_AT_CONTENT:
		break;
	}
	abort(); /* content has no lines */
}

static void
read_content(struct icap_reader *reader, struct evbuffer *in, icap_content_cb *content,
             void *arg)
{
	struct evbuffer_iovec run;

	if (evbuffer_peek(in, -1, NULL, &run, 1) < 1)
		return;
	if (run.iov_len > reader->left)
		run.iov_len = (size_t)reader->left;
	content(run.iov_base, run.iov_len, arg);
	reader->left -= run.iov_len;
	evbuffer_drain(in, run.iov_len);
	if (reader->left == 0)
		reader->at = ICAP_AT_CHUNK_END;
}

enum icap_step
icap_read(struct icap_reader *reader, struct evbuffer *in, icap_content_cb *content,
          void *arg)
{
	char line[ICAP_LINE_MAX];
	enum icap_step step = ICAP_MORE;

	while (step == ICAP_MORE) {
		if (reader->at == ICAP_AT_CONTENT) {
			if (evbuffer_get_length(in) == 0)
				return ICAP_MORE;
			read_content(reader, in, content, arg);
			continue;
		}
		step = take_line(reader, in, line);
		if (step != ICAP_WHOLE)
			return step;
		step = read_line(reader, line);
	}
	return step;
}
