#include "explain_internal.h"

#include "body.h"
#include "resultheader.h"
#include "terminal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PIECE = 65536,
	/* More than any option lets a scanner look at; and what has no end must not fill a
	 * disk. */
	MESSAGE_MOST = 1 << 30,
	HEAD_MOST = 1 << 20, /* no header section is longer */
};

/* What is on its way from the file into the spool. */
struct passage {
	bool after_cr;
	struct body_encoder encoder;
	struct body_decoder decoder;
	struct retouch_filter *filter; /* NULL: nothing is removed */
	struct evbuffer *lines, *wire, *raw, *message;
};

static bool
is_no_message(const char *name, int fd)
{
	struct stat is;

	if (fstat(fd, &is) == 0 && S_ISDIR(is.st_mode)) {
		(void)terminal_failure(0, "%s: is a directory, not a message", name);
		return true;
	}
	if (isatty(fd))
		(void)terminal_failure(0,
		                       "%s is a terminal: type a message, end it with "
		                       "Ctrl-D",
		                       name);
	return false;
}

bool
explain_open(struct explain_input *input, const char *file)
{
	bool is_standard = strcmp(file, "-") == 0;

	*input = (struct explain_input){ .name = is_standard ? "standard input" : file,
		                         .fd = STDIN_FILENO };
	if (!is_standard)
		input->fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (input->fd < 0) {
		(void)terminal_failure(0, "%s: %s", file, strerror(errno));
		return false;
	}
	if (!is_no_message(input->name, input->fd))
		return true;
	explain_close(input);
	return false;
}

void
explain_close(struct explain_input *input)
{
	if (input->fd > STDERR_FILENO)
		close(input->fd);
	input->fd = -1;
	if (input->head)
		evbuffer_free(input->head);
	input->head = NULL;
	retouch_free(input->intake);
	input->intake = NULL;
}

/* The end of a line on disk is LF, or CRLF if it came so. */
static void
add_lines(struct passage *passage, const char *at, size_t size)
{
	const char *end = at + size, *line;

	while ((line = memchr(at, '\n', (size_t)(end - at)))) {
		bool has_cr = line > at ? line[-1] == '\r' : passage->after_cr;

		evbuffer_add(passage->lines, at, (size_t)(line - at));
		if (!has_cr)
			evbuffer_add(passage->lines, "\r", 1);
		evbuffer_add(passage->lines, "\n", 1);
		at = line + 1;
		passage->after_cr = false;
	}
	if (at < end) {
		evbuffer_add(passage->lines, at, (size_t)(end - at));
		passage->after_cr = end[-1] == '\r';
	}
}

static void
remember(struct explain_input *input, struct evbuffer *raw)
{
	size_t size = evbuffer_get_length(raw), room;

	room = HEAD_MOST - evbuffer_get_length(input->head);
	if (size > room)
		size = room;
	evbuffer_add(input->head, evbuffer_pullup(raw, (ev_ssize_t)size), size);
}

/* Before it is scanned, as when it comes from a client. */
static void
take_in(struct passage *passage, bool all)
{
	if (!passage->filter) {
		evbuffer_add_buffer(passage->message, passage->raw);
		return;
	}
	evbuffer_add_buffer(retouch_filter_input(passage->filter), passage->raw);
	retouch_filter(passage->filter, passage->message, all);
}

/* What has been decoded, to where it is read from. */
static bool
store(struct explain_input *input, struct passage *passage, struct spool *spool,
      bool all)
{
	size_t more;

	input->size += evbuffer_get_length(passage->raw);
	remember(input, passage->raw);
	take_in(passage, all);
	more = evbuffer_get_length(passage->message);
	if (spool && more > 0 && spool_append(spool, passage->message) != SPOOL_OK) {
		(void)terminal_failure(0,
		                       "the message cannot be stored for scanning: %s",
		                       strerror(errno));
		return false;
	}
	evbuffer_drain(passage->message, evbuffer_get_length(passage->message));
	if (input->size <= MESSAGE_MOST)
		return true;
	(void)terminal_failure(
		0, "%s: has more than %d bytes, and no scanner looks at such a message",
		input->name, MESSAGE_MOST);
	return false;
}

/* By way of the wire, with the coders that mail passes through. */
static bool
pass(struct explain_input *input, struct passage *passage, struct spool *spool)
{
	body_encode(&passage->encoder, passage->lines, passage->wire);
	(void)body_decode(&passage->decoder, passage->wire, passage->raw);
	return store(input, passage, spool, false);
}

static bool
pass_end(struct explain_input *input, struct passage *passage, struct spool *spool)
{
	enum body_step step;

	body_encode_end(&passage->encoder, passage->wire);
	step = body_decode(&passage->decoder, passage->wire, passage->raw);
	assert(step == BODY_END);
	input->bare = passage->decoder.bare;
	return store(input, passage, spool, true);
}

static bool
read_all(struct explain_input *input, struct passage *passage, struct spool *spool)
{
	static char piece[PIECE];
	ssize_t got;

	while ((got = read(input->fd, piece, sizeof(piece))) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			(void)terminal_failure(0, "%s: %s", input->name,
			                       strerror(errno));
			return false;
		}
		add_lines(passage, piece, (size_t)got);
		if (!pass(input, passage, spool))
			return false;
	}
	return pass_end(input, passage, spool);
}

static void
end_passage(struct passage *passage)
{
	retouch_filter_free(passage->filter);
	evbuffer_free(passage->lines);
	evbuffer_free(passage->wire);
	evbuffer_free(passage->raw);
	evbuffer_free(passage->message);
}

bool
explain_read(struct explain_input *input, const struct config *cfg, struct spool *spool)
{
	struct passage passage = { .lines = evbuffer_new(),
		                   .wire = evbuffer_new(),
		                   .raw = evbuffer_new(),
		                   .message = evbuffer_new() };
	bool whole;

	input->head = evbuffer_new();
	input->intake = resultheader_intake(cfg);
	if (input->intake)
		passage.filter = retouch_filter_new(input->intake);
	if (cfg->bare_newline == NEWLINE_PASS)
		passage.decoder.newlines = BODY_PASS;
	whole = read_all(input, &passage, spool);
	end_passage(&passage);
	if (whole && spool)
		spool_seal(spool);
	return whole;
}
