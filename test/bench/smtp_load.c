/*
 * Keeps N SMTP sessions busy and says how many messages went through, and how long the
 * reply to the final dot took.
 *
 *      smtp-bench-load -p PORT [-a ADDRESS] [-s SESSIONS] [-k MESSAGES A SESSION]
 *              [-m MESSAGES] [-d SECONDS] [-z BYTES] [-P] [-A ADDRESSES] [-l FILE]
 *      smtp-bench-load -i -p PORT -s SESSIONS ...
 *
 * It begins no message after -m or -d, and gives up 30 seconds after -d.  -P: MAIL, RCPT
 * and DATA in one write.  -A: come from that many addresses, 127.0.0.2 and up, for when
 * one has no ports left.  -l: write the microseconds from each dot to its reply, a line
 * each, in their order.  One line of key=value is the result; anything that was not as it
 * should be counts under errors=, and the first of it is told on standard error.
 *
 * -i: opens the sessions up to the reply to EHLO, prints "open=", holds them until
 * standard input is closed or -d is over, then asks each for a sign of life: "alive=".
 */
#include "tool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define GRACE_SECONDS   30
#define REPLY_MAX       2048 /* bytes of one reply */
#define EVENTS          256
#define MESSAGES_MAX    10000000
#define OPENING_AT_ONCE 200 /* of idle sessions: spare the listen queue */
#define HEAD_FORMAT     "Message-ID: <%016" PRIx64 ".%08x@load.example>\r\n"
#define HEAD_SIZE       54 /* the same for every message */

#define LOAD_STEPS(S) \
	/* id      code  command */ \
	S(BANNER, 220, "") \
	S(EHLO, 250, "EHLO load.example\r\n") \
	S(MAIL, 250, "MAIL FROM:<from@load.example>\r\n") \
	S(RCPT, 250, "RCPT TO:<to@sink.example>\r\n") \
	S(DATA, 354, "DATA\r\n") \
	S(CONTENT, 250, "") \
	S(QUIT, 221, "QUIT\r\n") \
	S(HELD, 0, "") \
	S(NOOP, 250, "NOOP\r\n")

/* What a session waits for the reply to. */
enum step {
#define S(id, code, command) STEP_##id,
	LOAD_STEPS(S)
#undef S
};

static const struct {
	const char *name;
	int code;
	const char *command;
} steps[] = {
#define S(id, code, command) { #id, code, command },
	LOAD_STEPS(S)
#undef S
};

struct session {
	int fd;
	enum step step;
	unsigned mails;   /* begun in this session */
	size_t sent;      /* of head and body together */
	bool wants_write; /* epoll knows that the socket was full */
	uint64_t dot_at;  /* when the write began that held the last byte */
	size_t have;
	char reply[REPLY_MAX];
	char head[HEAD_SIZE + 1];
};

static struct {
	struct sockaddr_in to;
	unsigned sessions, mails_each, addresses;
	uint64_t messages, seconds;
	size_t size;
	bool pipelining, idle;
	const char *latencies;
} want = {
	.sessions = 1,
	.mails_each = 1,
	.messages = 1000,
	.seconds = 60,
	.size = 4096,
};

static struct {
	uint64_t begun, done, errors, connects, held, alive;
	unsigned running, opening;
	bool asking; /* idle: the signs of life are being collected */
	uint64_t started_at, stop_at, give_up_at;
	uint32_t *waited; /* microseconds, one for each message done */
} run;

static struct session *sessions;
static char *body; /* behind the head, with the final dot */
static size_t body_size;
static int epoll;
static char input_mark;

static void
trouble(const struct session *session, const char *what)
{
	if (!run.errors++)
		fprintf(stderr,
		        "first error: %s while waiting for the reply to %s: %.*s\n",
		        what, session ? steps[session->step].name : "connect",
		        session ? (int)session->have : 0,
		        session ? session->reply : "");
}

/* Lines of letters, as of base64 but without a dot, up to SIZE bytes with the head. */
static void
body_make(size_t size)
{
	static const char intro[] =
		"From: <from@load.example>\r\nTo: <to@sink.example>\r\n"
		"Subject: bench\r\nMIME-Version: 1.0\r\n"
		"Content-Type: text/plain\r\n\r\n";
	uint32_t seed = 1;
	size_t at = strlen(intro);

	if (size < HEAD_SIZE + sizeof(intro) + 2)
		tool_die("-z: a message has at least %zu bytes",
		         HEAD_SIZE + sizeof(intro) + 2);
	size -= HEAD_SIZE;
	body_size = size + strlen(".\r\n");
	body = malloc(body_size + 1);
	if (!body)
		tool_die("no memory");
	memcpy(body, intro, at);
	for (unsigned column = 0; at < size; at++, column++) {
		seed = seed * 1664525 + 1013904223;
		body[at] = (char)('a' + (seed >> 24) % 26);
		if (column >= 76) {
			body[at] = column == 76 ? '\r' : '\n';
			column = column == 76 ? 76 : (unsigned)-1;
		}
	}
	memcpy(body + size - 2, "\r\n.\r\n", 6);
	if (body[size - 3] == '\r')
		body[size - 3] = 'x';
}

static bool
may_begin(void)
{
	return run.begun < want.messages && tool_now() < run.stop_at;
}

static void
session_watch(struct session *session, int operation, bool write)
{
	struct epoll_event event = {
		.events = EPOLLIN | (write ? EPOLLOUT : 0),
		.data.ptr = session,
	};

	session->wants_write = write;
	if (epoll_ctl(epoll, operation, session->fd, &event) < 0)
		tool_die_errno("epoll_ctl");
}

static bool
session_connect(struct session *session)
{
	struct sockaddr_in from = tool_address("127.0.0.2", 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		tool_die_errno("socket");
	tool_no_delay(fd);
	if (want.addresses) {
		uint32_t which = (uint32_t)(run.connects % want.addresses);

		from.sin_addr.s_addr = htonl(ntohl(from.sin_addr.s_addr) + which);
		if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on,
		               sizeof(on)) < 0 ||
		    bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0)
			tool_die_errno("bind");
	}
	run.connects++;
	*session = (struct session){ .fd = fd, .step = STEP_BANNER };
	if (connect(fd, (struct sockaddr *)&want.to, sizeof(want.to)) < 0 &&
	    errno != EINPROGRESS) {
		trouble(NULL, strerror(errno));
		close(fd);
		session->fd = -1;
		return false;
	}
	session_watch(session, EPOLL_CTL_ADD, false);
	run.running++;
	return true;
}

/* Ends a session; another takes its place while there is something left to send. */
static void
session_end(struct session *session)
{
	close(session->fd);
	session->fd = -1;
	run.running--;
	while (!want.idle && may_begin() && !session_connect(session))
		;
}

static bool
session_say(struct session *session, const char *text)
{
	size_t size = strlen(text);

	return send(session->fd, text, size, MSG_NOSIGNAL) == (ssize_t)size;
}

/* Sends what the socket takes of the message. */
static bool
session_send(struct session *session)
{
	size_t head_left = session->sent < HEAD_SIZE ? HEAD_SIZE - session->sent : 0;
	size_t body_sent = head_left ? 0 : session->sent - HEAD_SIZE;
	struct iovec parts[] = {
		{ session->head + HEAD_SIZE - head_left, head_left },
		{ body + body_sent, body_size - body_sent },
	};
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	uint64_t now = tool_now();
	ssize_t sent = sendmsg(session->fd, &message, MSG_NOSIGNAL);
	bool all;

	if (sent < 0 && errno != EAGAIN)
		return false;
	session->sent += sent > 0 ? (size_t)sent : 0;
	all = session->sent == HEAD_SIZE + body_size;
	if (all)
		session->dot_at = now;
	if (all == session->wants_write)
		session_watch(session, EPOLL_CTL_MOD, !all);
	return true;
}

static bool
session_step(struct session *session, enum step step)
{
	bool said_before = want.pipelining && (step == STEP_RCPT || step == STEP_DATA);

	session->step = step;
	if (said_before)
		return true;
	if (want.pipelining && step == STEP_MAIL) {
		char together[256];

		snprintf(together, sizeof(together), "%s%s%s", steps[STEP_MAIL].command,
		         steps[STEP_RCPT].command, steps[STEP_DATA].command);
		return session_say(session, together);
	}
	return session_say(session, steps[step].command);
}

static bool
session_next_mail(struct session *session)
{
	if (want.idle) {
		session->step = STEP_HELD;
		run.opening--;
		run.held++;
		return true;
	}
	if (session->mails == want.mails_each || !may_begin())
		return session_step(session, STEP_QUIT);
	session->mails++;
	run.begun++;
	return session_step(session, STEP_MAIL);
}

static bool
session_send_message(struct session *session)
{
	int size = snprintf(session->head, sizeof(session->head), HEAD_FORMAT,
	                    run.started_at + run.connects, session->mails);

	if (size != HEAD_SIZE)
		tool_die("HEAD_SIZE should be %d", size);
	session->step = STEP_CONTENT;
	session->sent = 0;
	return session_send(session);
}

static bool
session_message_done(struct session *session)
{
	if (session->sent != HEAD_SIZE + body_size)
		return false;
	run.waited[run.done++] = (uint32_t)((tool_now() - session->dot_at) / 1000);
	return session_next_mail(session);
}

/* The reply was as it should be.  False: the session is over, in *GOOD order or not. */
static bool
session_go_on(struct session *session, bool *good)
{
	switch (session->step) {
	case STEP_BANNER:
		return *good = session_step(session, STEP_EHLO);
	case STEP_EHLO:
		return *good = session_next_mail(session);
	case STEP_MAIL:
		return *good = session_step(session, STEP_RCPT);
	case STEP_RCPT:
		return *good = session_step(session, STEP_DATA);
	case STEP_DATA:
		return *good = session_send_message(session);
	case STEP_CONTENT:
		return *good = session_message_done(session);
	case STEP_NOOP:
		run.alive++;
		return false;
	case STEP_QUIT:
	case STEP_HELD:
		return false;
	}
	return false;
}

/* Takes the lines that are complete.  False: the session is over. */
static bool
session_obey(struct session *session, bool *good)
{
	char *line = session->reply;
	char *end;
	size_t left = session->have;

	while ((end = memchr(line, '\n', left))) {
		bool last = end - line >= 4 && line[3] != '-';

		if (last && atoi(line) != steps[session->step].code) {
			trouble(session, "another reply than expected");
			return false;
		}
		left -= (size_t)(end + 1 - line);
		line = end + 1;
		if (last && !session_go_on(session, good))
			return false;
	}
	memmove(session->reply, line, left);
	session->have = left;
	return true;
}

/* False: the session is over. */
static bool
session_read(struct session *session)
{
	bool good = true;
	ssize_t got = recv(session->fd, session->reply + session->have,
	                   sizeof(session->reply) - session->have, 0);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (got <= 0) {
		trouble(session, got ? strerror(errno) : "hung up on");
		return false;
	}
	session->have += (size_t)got;
	if (session_obey(session, &good))
		return true;
	if (!good)
		trouble(session, "cannot send");
	return false;
}

static void
session_event(struct session *session, uint32_t events)
{
	if (session->fd < 0)
		return;
	if (events & EPOLLOUT && session->wants_write && !session_send(session)) {
		trouble(session, "cannot send the message");
		session_end(session);
		return;
	}
	if (events & ~(uint32_t)EPOLLOUT && !session_read(session)) {
		if (want.idle && session->step < STEP_HELD)
			run.opening--;
		session_end(session);
	}
}

/* Idle sessions are opened a handful at a time. */
static void
idle_open_more(unsigned *opened)
{
	while (*opened < want.sessions && run.opening < OPENING_AT_ONCE) {
		if (session_connect(&sessions[*opened]))
			run.opening++;
		++*opened;
	}
}

/* The holding is over: one NOOP each. */
static void
idle_ask(void)
{
	run.asking = true;
	for (unsigned i = 0; i < want.sessions; i++) {
		if (sessions[i].fd >= 0 && !session_step(&sessions[i], STEP_NOOP)) {
			trouble(&sessions[i], "cannot send");
			session_end(&sessions[i]);
		}
	}
}

static void
events_serve(int timeout_ms)
{
	struct epoll_event events[EVENTS];
	int count = epoll_wait(epoll, events, EVENTS, timeout_ms);

	for (int i = 0; i < count; i++) {
		if (events[i].data.ptr != &input_mark)
			session_event(events[i].data.ptr, events[i].events);
		else if (!run.asking)
			idle_ask();
	}
}

static void
idle_run(void)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = &input_mark };
	unsigned opened = 0;

	while ((opened < want.sessions || run.opening) && tool_now() < run.stop_at) {
		idle_open_more(&opened);
		events_serve(100);
	}
	printf("open=%" PRIu64 " seconds=%.3f errors=%" PRIu64 "\n", run.held,
	       (double)(tool_now() - run.started_at) / 1e9, run.errors);
	fflush(stdout);
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) < 0)
		tool_die_errno("standard input should be a pipe");
	while (!run.asking && tool_now() < run.stop_at)
		events_serve(100);
	if (!run.asking)
		idle_ask();
	epoll_ctl(epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
	while (run.running && tool_now() < run.give_up_at)
		events_serve(100);
	printf("alive=%" PRIu64 " errors=%" PRIu64 "\n", run.alive, run.errors);
}

static int
by_size(const void *one, const void *other)
{
	uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;

	return (a > b) - (a < b);
}

static void
latencies_write(void)
{
	FILE *file = fopen(want.latencies, "w");

	if (!file)
		tool_die_errno(want.latencies);
	for (uint64_t i = 0; i < run.done; i++)
		fprintf(file, "%" PRIu32 "\n", run.waited[i]);
	if (fclose(file))
		tool_die_errno(want.latencies);
}

/* The wait that PERCENT of the messages did not exceed. */
static uint32_t
waited(double percent)
{
	if (!run.done)
		return 0;
	return run.waited[(uint64_t)((double)(run.done - 1) * percent / 100)];
}

static void
busy_run(void)
{
	double seconds;

	for (unsigned i = 0; i < want.sessions && may_begin(); i++)
		session_connect(&sessions[i]);
	while (run.running && tool_now() < run.give_up_at)
		events_serve(1000);
	if (run.running)
		trouble(NULL, "time is over and sessions still wait");
	seconds = (double)(tool_now() - run.started_at) / 1e9;
	if (want.latencies)
		latencies_write();
	qsort(run.waited, run.done, sizeof(*run.waited), by_size);
	printf("messages=%" PRIu64 " seconds=%.4f rate=%.1f mbytes=%.1f errors=%" PRIu64
	       " p50_us=%" PRIu32 " p90_us=%" PRIu32 " p99_us=%" PRIu32
	       " max_us=%" PRIu32 "\n",
	       run.done, seconds, (double)run.done / seconds,
	       (double)run.done * (double)want.size / seconds / 1e6, run.errors,
	       waited(50), waited(90), waited(99), waited(100));
}

static void
options_read(int argc, char **argv)
{
	const char *address = "127.0.0.1";
	uint16_t port = 0;
	int option;

	while ((option = getopt(argc, argv, "a:p:s:k:m:d:z:PA:l:i")) != -1) {
		switch (option) {
		case 'a':
			address = optarg;
			break;
		case 'p':
			port = (uint16_t)tool_number('p', optarg, 1, 65535);
			break;
		case 's':
			want.sessions = (unsigned)tool_number('s', optarg, 1, 100000);
			break;
		case 'k':
			want.mails_each = (unsigned)tool_number('k', optarg, 1,
			                                        1000000);
			break;
		case 'm':
			want.messages = tool_number('m', optarg, 1, MESSAGES_MAX);
			break;
		case 'd':
			want.seconds = tool_number('d', optarg, 1, 3600);
			break;
		case 'z':
			want.size = tool_number('z', optarg, 1, 1 << 30);
			break;
		case 'P':
			want.pipelining = true;
			break;
		case 'A':
			want.addresses = (unsigned)tool_number('A', optarg, 0, 200);
			break;
		case 'l':
			want.latencies = optarg;
			break;
		case 'i':
			want.idle = true;
			break;
		default:
			tool_die("see the head of smtp_load.c for the options");
		}
	}
	if (!port || optind != argc)
		tool_die("-p PORT is wanted, and no other arguments");
	want.to = tool_address(address, port);
}

int
main(int argc, char **argv)
{
	options_read(argc, argv);
	tool_raise_descriptors();
	body_make(want.size);
	sessions = malloc(want.sessions * sizeof(*sessions));
	run.waited = malloc(want.messages * sizeof(*run.waited));
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!sessions || !run.waited || epoll < 0)
		tool_die("no memory");
	for (unsigned i = 0; i < want.sessions; i++)
		sessions[i].fd = -1;
	run.started_at = tool_now();
	run.stop_at = run.started_at + want.seconds * 1000000000;
	run.give_up_at = run.stop_at + GRACE_SECONDS * (uint64_t)1000000000;
	if (want.idle)
		idle_run();
	else
		busy_run();
	return run.errors ? 1 : 0;
}
