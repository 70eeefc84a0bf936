#include "pieces.h"
#include "reply.h"

#include <stdlib.h>

/*
 * The first byte is the size of the pieces in which the rest arrives the second time.
 *
 * Promises kept for any input: the pieces do not matter; a reply keeps its limits; what
 * we forward of it is a reply, with its code and its lines, but those that were to be
 * hidden; what we make of any text is a reply in printable ASCII.
 */
static bool
hide_s(const struct reply_line *line, void *arg)
{
	(void)arg;
	return line->size > 0 && (line->text[0] == 's' || line->text[0] == 'S');
}

/* OUT holds one whole reply and nothing else. */
static struct reply
read_only_reply(struct evbuffer *out)
{
	struct reply_reader reader = { 0 };
	struct reply reply = { 0 };
	enum reply_step step = reply_read(&reader, out, &reply);

	assert(step == REPLY_WHOLE);
	assert(reply.size == evbuffer_get_length(out));
	return reply;
}

/* SENT has the lines of REPLY, but for those that HIDE (NULL: none) says. */
static void
assert_same_lines(const struct reply *reply, const struct reply *sent,
                  bool (*hide)(const struct reply_line *, void *))
{
	struct reply_line line, other;
	size_t at = 0, sent_at = 0;
	bool first = true;

	assert(sent->code == reply->code);
	while (reply_next_line(reply, &at, &line)) {
		bool more;

		if (!first && hide && hide(&line, NULL))
			continue;
		first = false;
		more = reply_next_line(sent, &sent_at, &other);
		assert(more && line.size == other.size);
		assert(memcmp(line.text, other.text, line.size) == 0);
	}
	assert(!reply_next_line(sent, &sent_at, &other));
}

static bool
keep_others(struct reply_line *line, void *arg)
{
	return !hide_s(line, arg);
}

static void
check_forwarded(const struct reply *reply)
{
	/* With a CR more, a line or a reply may pass its limit, and is not read back. */
	bool small = reply->size < REPLY_LINE_MAX - 1;
	struct evbuffer *out = evbuffer_new();
	struct reply sent;

	reply_forward(reply, out);
	if (small || evbuffer_get_length(out) == reply->size) {
		sent = read_only_reply(out);
		assert_same_lines(reply, &sent, NULL);
	}
	evbuffer_drain(out, evbuffer_get_length(out));

	reply_forward_edited(reply, out, keep_others, NULL);
	if (small) {
		sent = read_only_reply(out);
		assert_same_lines(reply, &sent, hide_s);
	}
	evbuffer_free(out);
}

static void
check_reply(const struct reply *reply)
{
	struct reply_line line;
	size_t at = 0;

	assert(reply->code >= 200 && reply->code <= 599);
	assert(reply->size > 3 && reply->size <= REPLY_MAX);
	while (reply_next_line(reply, &at, &line)) {
		assert(line.size < REPLY_LINE_MAX);
		assert(line.text >= reply->text + 3);
		assert(line.text + line.size < reply->text + reply->size);
		assert(!memchr(line.text, '\r', line.size));
		assert(!memchr(line.text, '\0', line.size));
		(void)reply_offers(&line, "STARTTLS");
		(void)reply_offers(&line, "AUTH");
	}
	assert(at == reply->size);
	check_forwarded(reply);
}

/* Reads what there is, and writes what came of it to TOLD; false when it is malformed. */
static bool
take(void *arg, struct evbuffer *input, struct evbuffer *told)
{
	struct reply_reader *reader = arg;
	struct reply reply;

	for (;;) {
		switch (reply_read(reader, input, &reply)) {
		case REPLY_MORE:
			assert(evbuffer_get_length(input) <= REPLY_MAX);
			return true;
		case REPLY_WHOLE:
			evbuffer_add_printf(told, "whole %d\n", reply.code);
			evbuffer_add(told, reply.text, reply.size);
			check_reply(&reply);
			evbuffer_drain(input, reply.size);
			break;
		case REPLY_MALFORMED:
			evbuffer_add_printf(told, "malformed\n");
			return false;
		}
	}
}

static void
check_made(const uint8_t *data, size_t size)
{
	struct evbuffer *out = evbuffer_new();
	char *text = malloc(size + 1);
	struct reply_reader reader = { 0 };
	struct reply reply;
	const char *at, *end;

	assert(text);
	memcpy(text, data, size);
	text[size] = '\0';
	reply_make(out, 550, size % 2 ? "5.7.1" : NULL, text);
	free(text);
	if (evbuffer_get_length(out) <= REPLY_MAX) {
		enum reply_step step = reply_read(&reader, out, &reply);

		assert(step == REPLY_WHOLE && reply.size == evbuffer_get_length(out));
		at = reply.text;
		for (; at < reply.text + reply.size; at = end + 2) {
			end = memmem(at, (size_t)(reply.text + reply.size - at), "\r\n",
			             2);
			assert(end && end + 2 - at <= REPLY_OURS_MAX);
			for (const char *c = at; c < end; c++)
				assert(*c >= ' ' && *c <= '~');
		}
	}
	evbuffer_free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reply_reader whole = { 0 }, pieces = { 0 };

	if (size < 2)
		return 0;
	pieces_check(data + 1, size - 1, (size_t)data[0] + 1, take, &whole, &pieces);
	check_made(data + 1, size - 1);
	return 0;
}
