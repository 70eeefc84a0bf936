#include "quarantine_internal.h"

#include "body.h"
#include "clock.h"
#include "reply.h"
#include "terminal.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A message to a server, by one who has time: each command waits for its reply
 * (RFC 5321 3.3).  One recipient who is refused is a message that is not released: nobody
 * shall get it twice because another one was missing.  (A server of LMTP may say so of one
 * when others have it already.)
 */
enum {
	CALL_MS = 30 * 1000,
	REPLY_MS = 300 * 1000, /* RFC 5321 4.5.3.2 */
	LAST_MS = 600 * 1000,
	PIECE = 64 * 1024,
	WORDS = 1100,
};

struct talk {
	const struct release *release;
	int fd;
	struct evbuffer *in, *out;
	struct reply_reader reader;
	int code;         /* of the last reply */
	char words[1024]; /* of it */
	char where[320];
	bool offers_size, offers_8bit, offers_utf8, offers_chunks, offers_binary;
	bool has_lines; /* its content is what DATA can carry */
	bool is_ended;  /* and ends with a line's end */
	bool is_lmtp;   /* each recipient is answered when the message is there */
};

/* ---- bytes ------------------------------------------------------------------------------ */

/* False: it has been said why. */
static bool
lost(const struct talk *talk, const char *doing, const char *why)
{
	terminal_failure(0, "%s: %s: %s", talk->where, doing, why);
	return false;
}

static bool
wait_for(const struct talk *talk, short what, int64_t until)
{
	struct pollfd ready = { .fd = talk->fd, .events = what };
	int64_t left = until - clock_ms();

	while (left > 0) {
		int got = poll(&ready, 1, (int)left);

		if (got > 0)
			return true;
		if (got < 0 && errno != EINTR)
			return false;
		left = until - clock_ms();
	}
	errno = ETIMEDOUT;
	return false;
}

static bool
flush(struct talk *talk, const char *doing)
{
	int64_t until = clock_ms() + REPLY_MS;

	while (evbuffer_get_length(talk->out) > 0) {
		if (!wait_for(talk, POLLOUT, until))
			return lost(talk, doing, strerror(errno));
		if (evbuffer_write(talk->out, talk->fd) < 0 && errno != EAGAIN &&
		    errno != EINTR)
			return lost(talk, doing, strerror(errno));
	}
	return true;
}

static bool
fill(struct talk *talk, const char *doing, int64_t until)
{
	int got;

	if (!wait_for(talk, POLLIN, until))
		return lost(talk, doing, strerror(errno));
	got = evbuffer_read(talk->in, talk->fd, PIECE);
	if (got == 0)
		return lost(talk, doing, "the server has closed the connection");
	if (got < 0 && errno != EAGAIN && errno != EINTR)
		return lost(talk, doing, strerror(errno));
	return true;
}

/* ---- replies ------------------------------------------------------------------------------ */

static void
note_extensions(struct talk *talk, const struct reply *reply)
{
	struct reply_line line;
	size_t at = 0;

	if (!reply_next_line(reply, &at, &line))
		return;
	while (reply_next_line(reply, &at, &line)) {
		talk->offers_size |= reply_offers(&line, "SIZE");
		talk->offers_8bit |= reply_offers(&line, "8BITMIME");
		talk->offers_utf8 |= reply_offers(&line, "SMTPUTF8");
		talk->offers_chunks |= reply_offers(&line, "CHUNKING");
		talk->offers_binary |= reply_offers(&line, "BINARYMIME");
	}
}

static bool
hear(struct talk *talk, const char *doing, int patience_ms)
{
	int64_t until = clock_ms() + patience_ms;
	struct reply reply;

	for (;;) {
		switch (reply_read(&talk->reader, talk->in, &reply)) {
		case REPLY_WHOLE:
			talk->code = reply.code;
			reply_first_words(&reply, talk->words, sizeof(talk->words));
			note_extensions(talk, &reply);
			evbuffer_drain(talk->in, reply.size);
			return true;
		case REPLY_MALFORMED:
			return lost(talk, doing, "the server said what is no reply");
		case REPLY_MORE:
			break;
		}
		if (!fill(talk, doing, until))
			return false;
	}
}

/* What is in out, and then the reply. */
static bool
ask(struct talk *talk, const char *doing, int patience_ms)
{
	return flush(talk, doing) && hear(talk, doing, patience_ms);
}

static bool
accepted(const struct talk *talk)
{
	return talk->code >= 200 && talk->code <= 299;
}

/* A server's words go to a terminal. */
static void
print_words(const struct talk *talk, char to[static WORDS])
{
	snprintf(to, WORDS, "%d %s", talk->code, talk->words);
	for (char *c = to; *c; c++)
		if (!isprint((unsigned char)*c))
			*c = '?';
}

static bool
refused(const struct talk *talk, const char *doing)
{
	char words[WORDS];

	print_words(talk, words);
	return lost(talk, doing, words);
}

/* ---- what the content is --------------------------------------------------------------------- */

struct look {
	size_t line; /* so long by now */
	char last;
	bool has_lines;
	bool is_ended;
};

/* RFC 5321 4.5.3.1.6, 2.3.8. */
static void
look_at(struct look *look, char c)
{
	enum { LINE_MOST = 998 };

	look->is_ended = c == '\n' && look->last == '\r';
	if (c == '\0' || (c == '\n' && !look->is_ended) ||
	    (c != '\n' && look->last == '\r'))
		look->has_lines = false;
	if (c == '\n')
		look->line = 0;
	else if (c != '\r' && ++look->line > LINE_MOST)
		look->has_lines = false;
	look->last = c;
}

/* Reads all of it. */
static bool
look_at_content(struct talk *talk)
{
	struct look look = { .has_lines = true };
	int fd = talk->release->message;
	char piece[PIECE];
	ssize_t got;

	while ((got = read(fd, piece, sizeof(piece))) > 0)
		for (ssize_t i = 0; i < got; i++)
			look_at(&look, piece[i]);
	if (got < 0 || lseek(fd, 0, SEEK_SET) != 0)
		return lost(talk, "content", strerror(errno));
	talk->is_ended = look.is_ended;
	talk->has_lines = look.has_lines && look.is_ended;
	return true;
}

/* It was sent as such, and cannot go otherwise. */
static bool
is_binary(const struct talk *talk)
{
	return !talk->has_lines &&
	       json_is_true(json_object_get(talk->release->note, "binarymime"));
}

/* Without an end to its last line it came by chunks. */
static bool
goes_by_chunks(const struct talk *talk)
{
	return talk->offers_chunks && (is_binary(talk) || !talk->is_ended);
}

/* ---- the dialogue ---------------------------------------------------------------------------- */

static bool
say_hello(struct talk *talk, const char *verb)
{
	evbuffer_add_printf(talk->out, "%s %s\r\n", verb, talk->release->name);
	return ask(talk, verb, REPLY_MS);
}

static bool
is_unknown(const struct talk *talk)
{
	return talk->code >= 500 && talk->code <= 502;
}

static bool
greet_by_smtp(struct talk *talk)
{
	return say_hello(talk, "EHLO") && (accepted(talk) || say_hello(talk, "HELO"));
}

static bool
greet_by_lmtp(struct talk *talk)
{
	if (!say_hello(talk, "LHLO"))
		return false;
	talk->is_lmtp = accepted(talk);
	return true;
}

/* What it is thought to speak comes first: many servers of LMTP take HELO, too, and answer
 * like one of SMTP, or not, from then on.  The other comes when that is unknown there. */
static bool
greet(struct talk *talk)
{
	bool lmtp = talk->release->lmtp;

	if (!hear(talk, "greeting", REPLY_MS))
		return false;
	if (!accepted(talk))
		return refused(talk, "greeting");
	if (!(lmtp ? greet_by_lmtp(talk) : greet_by_smtp(talk)))
		return false;
	if (!is_unknown(talk))
		return accepted(talk) || refused(talk, lmtp ? "LHLO" : "HELO");
	if (!(lmtp ? greet_by_smtp(talk) : greet_by_lmtp(talk)))
		return false;
	return accepted(talk) || refused(talk, lmtp ? "HELO" : "LHLO");
}

static bool
is_ascii(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text > 126)
			return false;
	return true;
}

static bool
envelope_is_ascii(const json_t *note)
{
	const json_t *recipients = json_object_get(note, "recipients");
	size_t i;
	json_t *one;

	if (!is_ascii(note_string(note, "sender")))
		return false;
	json_array_foreach(recipients, i,
	                   one) if (!is_ascii(json_string_value(one))) return false;
	return true;
}

static void
put_body(struct talk *talk)
{
	if (is_binary(talk))
		evbuffer_add_printf(talk->out, " BODY=BINARYMIME");
	else if (talk->offers_8bit)
		evbuffer_add_printf(talk->out, " BODY=8BITMIME");
}

static bool
name_sender(struct talk *talk)
{
	const json_t *note = talk->release->note;
	bool ascii = envelope_is_ascii(note);

	if (is_binary(talk) && !(talk->offers_chunks && talk->offers_binary))
		return lost(talk, "MAIL",
		            "the message is binary, and the server does not offer "
		            "CHUNKING and BINARYMIME: sent otherwise it would be "
		            "another one; release it to another server (--server), or "
		            "to a file (--to)");
	if (!ascii && !talk->offers_utf8)
		return lost(talk, "MAIL",
		            "an address is not ASCII, and the server does not offer "
		            "SMTPUTF8");
	evbuffer_add_printf(talk->out, "MAIL FROM:<%s>", note_string(note, "sender"));
	if (talk->offers_size)
		evbuffer_add_printf(talk->out, " SIZE=%llu",
		                    (unsigned long long)talk->release->size);
	put_body(talk);
	if (!ascii)
		evbuffer_add_printf(talk->out, " SMTPUTF8");
	evbuffer_add_printf(talk->out, "\r\n");
	return ask(talk, "MAIL", REPLY_MS) && (accepted(talk) || refused(talk, "MAIL"));
}

static bool
name_recipients(struct talk *talk)
{
	const json_t *recipients = json_object_get(talk->release->note, "recipients");
	size_t i;
	json_t *one;

	json_array_foreach(recipients, i, one)
	{
		char doing[300];

		snprintf(doing, sizeof(doing), "RCPT %s", json_string_value(one));
		evbuffer_add_printf(talk->out, "RCPT TO:<%s>\r\n",
		                    json_string_value(one));
		if (!ask(talk, doing, REPLY_MS))
			return false;
		if (!accepted(talk))
			return refused(talk, doing);
	}
	return true;
}

/* The next piece, encoded for DATA; 0: there is no more, -1: errno. */
static ssize_t
put_piece(struct talk *talk, struct body_encoder *encoder, struct evbuffer *message)
{
	char piece[PIECE];
	ssize_t got = read(talk->release->message, piece, sizeof(piece));

	if (got <= 0)
		return got;
	evbuffer_add(message, piece, (size_t)got);
	if (encoder)
		body_encode(encoder, message, talk->out);
	else
		evbuffer_add_buffer(talk->out, message);
	return got;
}

/* All of it, or it is said why not. */
static bool
send_pieces(struct talk *talk, struct body_encoder *encoder)
{
	struct evbuffer *message = evbuffer_new();
	uint64_t sent = 0;
	bool flushed = true;
	ssize_t got = 1;

	while (flushed && got > 0) {
		got = put_piece(talk, encoder, message);
		sent += got > 0 ? (uint64_t)got : 0;
		flushed = flush(talk, "content");
	}
	evbuffer_free(message);
	if (!flushed)
		return false;
	if (got < 0 || sent != talk->release->size)
		return lost(talk, "content",
		            got < 0 ? strerror(errno) : "the message has changed");
	return true;
}

/* Nothing but the whole message may have an end. */
static bool
send_by_data(struct talk *talk)
{
	struct body_encoder encoder = { 0 };

	evbuffer_add_printf(talk->out, "DATA\r\n");
	if (!ask(talk, "DATA", REPLY_MS))
		return false;
	if (talk->code != 354)
		return refused(talk, "DATA");
	if (!send_pieces(talk, &encoder))
		return false;
	body_encode_end(&encoder, talk->out);
	return true;
}

/* One chunk, which is none until it is whole. */
static bool
send_by_chunk(struct talk *talk)
{
	evbuffer_add_printf(talk->out, "BDAT %llu LAST\r\n",
	                    (unsigned long long)talk->release->size);
	return send_pieces(talk, NULL);
}

static bool
refused_in_part(const struct talk *talk, const char *recipient, size_t count,
                size_t all)
{
	char doing[400];

	snprintf(doing, sizeof(doing),
	         "end of the message: %zu of %zu recipients are refused, and those who "
	         "are not have it now; RCPT %s",
	         count, all, recipient);
	return refused(talk, doing);
}

/* The words of the last refusal, if there is any, stay. */
static bool
hear_each(struct talk *talk)
{
	const json_t *recipients = json_object_get(talk->release->note, "recipients");
	const char *who = NULL;
	struct talk refusal = *talk;
	size_t i, count = 0;
	json_t *one;

	json_array_foreach(recipients, i, one)
	{
		if (!ask(talk, "end of the message", LAST_MS))
			return lost(talk, "end of the message",
			            "which recipients have it is not known: look there "
			            "before you release it again");
		if (accepted(talk))
			continue;
		who = json_string_value(one);
		refusal = *talk;
		count++;
	}
	return count == 0 || refused_in_part(&refusal, who, count, i);
}

/* Once the end is under way, it may have arrived. */
static bool
hand_over(struct talk *talk)
{
	if (goes_by_chunks(talk) ? !send_by_chunk(talk) : !send_by_data(talk))
		return false;
	if (talk->is_lmtp)
		return hear_each(talk);
	if (!ask(talk, "end of the message", LAST_MS))
		return lost(talk, "end of the message",
		            "whether the server has taken it is not known: look there "
		            "before you release it again");
	return accepted(talk) || refused(talk, "end of the message");
}

static void
part(struct talk *talk)
{
	evbuffer_drain(talk->out, evbuffer_get_length(talk->out));
	evbuffer_add_printf(talk->out, "QUIT\r\n");
	(void)evbuffer_write(talk->out, talk->fd);
}

/* ---- the connection ------------------------------------------------------------------------------ */

static int
call_one(const struct addrinfo *to, int *error)
{
	struct pollfd ready = { .events = POLLOUT };
	socklen_t size = sizeof(*error);
	int fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*error = errno;
	if (fd < 0)
		return -1;
	ready.fd = fd;
	*error = connect(fd, to->ai_addr, to->ai_addrlen) == 0 ? 0 : errno;
	if (*error == EINPROGRESS) {
		*error = ETIMEDOUT;
		if (poll(&ready, 1, CALL_MS) > 0)
			getsockopt(fd, SOL_SOCKET, SO_ERROR, error, &size);
	}
	if (*error == 0)
		return fd;
	close(fd);
	return -1;
}

/* The first that answers. */
static bool
call(struct talk *talk)
{
	struct addrinfo wish = { .ai_socktype = SOCK_STREAM,
		                 .ai_flags = AI_NUMERICSERV };
	struct addrinfo *found, *one;
	char port[16];
	int error;

	snprintf(port, sizeof(port), "%d", talk->release->port);
	error = getaddrinfo(talk->release->host, port, &wish, &found);
	if (error != 0)
		return lost(talk, "address", gai_strerror(error));
	for (one = found; one && talk->fd < 0; one = one->ai_next)
		talk->fd = call_one(one, &error);
	freeaddrinfo(found);
	return talk->fd >= 0 || lost(talk, "connect", strerror(error));
}

int
release_to_server(const struct release *release)
{
	struct talk talk = { .release = release, .fd = -1 };
	char words[WORDS];
	bool taken;

	snprintf(talk.where, sizeof(talk.where), "%s port %d", release->host,
	         release->port);
	talk.in = evbuffer_new();
	talk.out = evbuffer_new();
	taken = look_at_content(&talk) && call(&talk) && greet(&talk) &&
	        name_sender(&talk) && name_recipients(&talk) && hand_over(&talk);
	if (taken) {
		print_words(&talk, words);
		printf("%s: %s\n", talk.where, words);
	}
	if (talk.fd >= 0) {
		part(&talk);
		close(talk.fd);
	}
	evbuffer_free(talk.in);
	evbuffer_free(talk.out);
	return taken ? EXIT_SUCCESS : EXIT_NOT_TAKEN;
}
