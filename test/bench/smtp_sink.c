/*
 * An SMTP server that takes everything and keeps nothing, as fast as it can: what stands
 * before it is to be measured, not this.
 *
 *      smtp-bench-sink [-a ADDRESS] [-p PORT]
 *
 * Prints "port=N" when it listens (-p 0: the kernel chooses), "sessions= messages= bytes="
 * for every line on its standard input, and ends when that is closed.  BYTES are those of
 * the messages as on the wire, without the final dot.
 */
#include "tool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define COMMAND_MAX 1024 /* bytes of one command line */
#define READ_SIZE   262144
#define REPLY_SIZE  16384 /* replies to all that one read brought */
#define EVENTS      256

struct peer {
	int fd;
	bool content;          /* DATA was given, the dot not yet */
	unsigned char matched; /* bytes of CRLF . CRLF seen so far */
	bool quit;
	unsigned short have; /* bytes of a command that is not complete */
	char command[COMMAND_MAX];
};

static struct {
	uint64_t sessions, messages, bytes;
} seen;

/* What epoll reports that is no peer. */
static char listener_mark, question_mark;

static char input[COMMAND_MAX + READ_SIZE];
static char replies[REPLY_SIZE];
static size_t replies_size;

static void
reply_add(const char *text)
{
	size_t size = strlen(text);

	if (replies_size + size >= sizeof(replies))
		tool_die("a client has pipelined more than this sink foresees");
	memcpy(replies + replies_size, text, size + 1);
	replies_size += size;
}

/* Replies are small: a socket that does not take them belongs to no client of ours. */
static bool
reply_flush(struct peer *peer)
{
	ssize_t sent;

	if (!replies_size)
		return true;
	sent = send(peer->fd, replies, replies_size, MSG_NOSIGNAL);
	if (sent == (ssize_t)replies_size) {
		replies_size = 0;
		return true;
	}
	replies_size = 0;
	return false;
}

/* One byte of the search for CRLF . CRLF. */
static unsigned char
match_step(unsigned char matched, char byte)
{
	if (byte == "\r\n.\r\n"[matched])
		return matched + 1;
	return byte == '\r';
}

/* How much of CRLF . CRLF stands at the end of what has no dot in it. */
static unsigned char
match_tail(const char *at, size_t size)
{
	if (size >= 1 && at[size - 1] == '\r')
		return 1;
	if (size >= 2 && at[size - 2] == '\r' && at[size - 1] == '\n')
		return 2;
	return 0;
}

/* Takes content up to its end, or all.  Jumps from dot to dot, since they are rare. */
static size_t
content_take(struct peer *peer, const char *at, size_t size)
{
	size_t i = 0;

	while (i < size && peer->matched < 5) {
		const char *dot;
		size_t before;

		if (peer->matched) {
			peer->matched = match_step(peer->matched, at[i++]);
			continue;
		}
		dot = memchr(at + i, '.', size - i);
		if (!dot) {
			peer->matched = match_tail(at + i, size - i);
			i = size;
			break;
		}
		before = (size_t)(dot - at) - i;
		if (match_tail(at + i, before) == 2)
			peer->matched = 3;
		i += before + 1;
	}
	seen.bytes += i;
	if (peer->matched == 5) {
		peer->content = false;
		seen.messages++;
		seen.bytes -= strlen(".\r\n");
		reply_add("250 2.0.0 Taken\r\n");
	}
	return i;
}

static bool
command_is(const char *line, size_t size, const char *verb)
{
	return size >= 4 && !strncasecmp(line, verb, 4);
}

static void
command_obey(struct peer *peer, const char *line, size_t size)
{
	if (command_is(line, size, "EHLO")) {
		reply_add("250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
		          "250 ENHANCEDSTATUSCODES\r\n");
	} else if (command_is(line, size, "DATA")) {
		peer->content = true;
		peer->matched = 2; /* the end of the command's line counts */
		reply_add("354 Go ahead\r\n");
	} else if (command_is(line, size, "QUIT")) {
		peer->quit = true;
		reply_add("221 2.0.0 Bye\r\n");
	} else {
		reply_add("250 2.0.0 Ok\r\n");
	}
}

/* Obeys all that is complete; keeps the beginning of a command for later. */
static bool
input_obey(struct peer *peer, const char *at, size_t size)
{
	while (size && !peer->quit) {
		const char *end;
		size_t taken;

		if (peer->content) {
			taken = content_take(peer, at, size);
		} else {
			end = memchr(at, '\n', size);
			if (!end)
				break;
			taken = (size_t)(end - at) + 1;
			command_obey(peer, at, taken);
		}
		at += taken;
		size -= taken;
	}
	if (size > sizeof(peer->command))
		return false;
	memcpy(peer->command, at, size);
	peer->have = (unsigned short)size;
	return true;
}

static bool
peer_read(struct peer *peer)
{
	ssize_t got;
	bool sane;

	memcpy(input, peer->command, peer->have);
	got = recv(peer->fd, input + peer->have, READ_SIZE, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (got <= 0)
		return false;
	sane = input_obey(peer, input, peer->have + (size_t)got);
	return reply_flush(peer) && sane && !peer->quit;
}

static void
peer_accept(int epoll, int listener)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct peer *peer;
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 && (errno == EMFILE || errno == ENFILE))
		tool_die_errno("too many sessions for this sink");
	if (fd < 0)
		return;
	tool_no_delay(fd);
	peer = calloc(1, sizeof(*peer));
	if (!peer)
		tool_die("no memory");
	peer->fd = fd;
	event.data.ptr = peer;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		tool_die_errno("epoll_ctl");
	seen.sessions++;
	reply_add("220 sink.example ESMTP\r\n");
	(void)reply_flush(peer); /* if it failed, reading will tell */
}

static int
listen_on(const char *address, uint16_t port)
{
	struct sockaddr_in in = tool_address(address, port);
	socklen_t size = sizeof(in);
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		tool_die_errno("socket");
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		tool_die_errno("SO_REUSEADDR");
	if (bind(fd, (struct sockaddr *)&in, size) < 0 || listen(fd, 4096) < 0)
		tool_die_errno("listen");
	if (getsockname(fd, (struct sockaddr *)&in, &size) < 0)
		tool_die_errno("getsockname");
	printf("port=%u\n", ntohs(in.sin_port));
	fflush(stdout);
	return fd;
}

/* Somebody asks how things stand.  False: he is gone, and so are we. */
static bool
question_answer(void)
{
	char line[64];

	if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
		return false;
	printf("sessions=%" PRIu64 " messages=%" PRIu64 " bytes=%" PRIu64 "\n",
	       seen.sessions, seen.messages, seen.bytes);
	fflush(stdout);
	return true;
}

static void
serve(int epoll, int listener)
{
	struct epoll_event events[EVENTS];

	for (;;) {
		int count = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < count; i++) {
			struct peer *peer = events[i].data.ptr;

			if (events[i].data.ptr == &listener_mark) {
				peer_accept(epoll, listener);
			} else if (events[i].data.ptr == &question_mark) {
				if (!question_answer())
					return;
			} else if (!peer_read(peer)) {
				close(peer->fd);
				free(peer);
			}
		}
	}
}

static void
watch(int epoll, int fd, void *mark)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = mark };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		tool_die_errno("epoll_ctl");
}

int
main(int argc, char **argv)
{
	const char *address = "127.0.0.1";
	uint16_t port = 0;
	int epoll, listener, option;

	while ((option = getopt(argc, argv, "a:p:")) != -1) {
		if (option == 'a')
			address = optarg;
		else if (option == 'p')
			port = (uint16_t)tool_number('p', optarg, 0, 65535);
		else
			tool_die("usage: [-a ADDRESS] [-p PORT]");
	}
	tool_raise_descriptors();
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0)
		tool_die_errno("epoll_create1");
	listener = listen_on(address, port);
	watch(epoll, listener, &listener_mark);
	watch(epoll, STDIN_FILENO, &question_mark);
	serve(epoll, listener);
	return 0;
}
