#include "statestore_internal.h"

#include "clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <hiredis.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#ifdef STATE_TLS
#include <hiredis_ssl.h>
#endif

enum {
	LIST_MOST = 65536,      /* of one answer */
	LISTS_MOST = 8,         /* lists in a list */
	ANSWER_MOST = 16 << 20, /* bytes of one, whatever it is about */
	READS_IN_A_TURN = 16,   /* of 16 kB each */
};

/* A question that is to be answered. */
struct question {
	STAILQ_ENTRY(question) link;
	link_answer_cb *answered;
	void *arg;
	int64_t asked_ms;
};

struct link {
	redisContext *context;
	struct event *readable, *writable;
	const struct link_ears *ears;
	void *arg;
	STAILQ_HEAD(, question) questions;
	int64_t heard_ms;
	size_t unfinished; /* bytes of an answer that is not whole */
	bool is_connected;
	bool is_lost;
	bool is_busy;       /* in a call of ours: it is freed when that returns */
	bool is_closed;     /* while that is so */
	struct ssl_st *ssl; /* NULL: it is not to be TLS */
	bool is_tls;        /* by now: it is the context's */
};

/* ---- answers ---------------------------------------------------------------------------- */

static struct link_answer *
answer_new(enum link_kind kind, const redisReadTask *task, const char *text,
           size_t size)
{
	struct link_answer *answer = xcalloc(1, sizeof(*answer) + size + 1);
	struct link_answer *parent = task->parent ? task->parent->obj : NULL;

	answer->kind = kind;
	answer->size = size;
	if (text)
		memcpy(answer->text, text, size);
	if (parent)
		parent->list[task->idx] = answer;
	return answer;
}

static void *
make_text(const redisReadTask *task, char *text, size_t size)
{
	return answer_new(task->type == REDIS_REPLY_ERROR ? LINK_REFUSAL : LINK_TEXT,
	                  task, text, size);
}

static void *
make_nothing(const redisReadTask *task)
{
	return answer_new(LINK_NOTHING, task, NULL, 0);
}

static void *
make_number(const redisReadTask *task, long long number)
{
	struct link_answer *answer = answer_new(LINK_NUMBER, task, NULL, 0);

	answer->number = number;
	return answer;
}

#if HIREDIS_MAJOR > 0
typedef size_t list_size;
#else
typedef int list_size;
#endif

/* Nothing that a server says sizes what we allocate: NULL ends the connection. */
static void *
make_list(const redisReadTask *task, list_size count)
{
	const struct link_answer *parent = task->parent ? task->parent->obj : NULL;
	struct link_answer *answer;

	if (count > LIST_MOST || (parent && parent->size > LISTS_MOST))
		return NULL;
	answer = answer_new(LINK_LIST, task, NULL, 0);
	answer->size = (size_t)count;
	answer->list = xcalloc((size_t)count + 1, sizeof(struct link_answer *));
	return answer;
}

#if HIREDIS_MAJOR > 0
static void *
make_real(const redisReadTask *task, double number, char *text, size_t size)
{
	(void)number;
	return answer_new(LINK_TEXT, task, text, size);
}

static void *
make_truth(const redisReadTask *task, int truth)
{
	return make_number(task, truth);
}
#endif

static void
answer_free(void *arg)
{
	struct link_answer *answer = arg;

	if (!answer)
		return;
	for (size_t i = 0; answer->kind == LINK_LIST && i < answer->size; i++)
		answer_free(answer->list[i]);
	free(answer->list);
	free(answer);
}

static redisReplyObjectFunctions makers = {
	.createString = make_text,
	.createArray = make_list,
	.createInteger = make_number,
	.createNil = make_nothing,
#if HIREDIS_MAJOR > 0
	.createDouble = make_real,
	.createBool = make_truth,
#endif
	.freeObject = answer_free,
};

bool
link_says(const struct link_answer *answer, const char *text)
{
	return answer && (answer->kind == LINK_TEXT || answer->kind == LINK_REFUSAL) &&
	       strncmp(answer->text, text, strlen(text)) == 0;
}

/* ---- the end ---------------------------------------------------------------------------- */

static void shake_hands(struct link *link);

static void
forget_questions(struct link *link)
{
	struct question *question;

	while ((question = STAILQ_FIRST(&link->questions))) {
		STAILQ_REMOVE_HEAD(&link->questions, link);
		if (question->answered)
			question->answered(NULL, question->arg);
		free(question);
	}
}

static void
release(struct link *link)
{
	event_free(link->readable);
	event_free(link->writable);
	redisFree(link->context);
#ifdef STATE_TLS
	if (!link->is_tls)
		tls_free(link->ssl);
#endif
	free(link);
}

void
link_close(struct link *link)
{
	if (!link || link->is_closed)
		return;
	link->is_closed = true;
	event_del(link->readable);
	event_del(link->writable);
	forget_questions(link);
	if (!link->is_busy)
		release(link);
}

/* Who called out asks this afterwards: true, and the link is gone. */
static bool
is_over(struct link *link)
{
	link->is_busy = false;
	if (!link->is_closed)
		return false;
	release(link);
	return true;
}

/* True: the link is gone, or is to be left alone. */
static void
lose(struct link *link, const char *why)
{
	if (link->is_lost)
		return;
	link->is_lost = true;
	event_del(link->readable);
	event_del(link->writable);
	link->is_busy = true;
	link->ears->lost(why, link->arg);
	(void)is_over(link);
}

static void
lose_context(struct link *link)
{
	const redisReader *reader = link->context->reader;
	char why[256];

	if (reader->err == REDIS_ERR_OOM)
		snprintf(why, sizeof(why), "an answer of it is too long");
	else if (reader->err)
		snprintf(why, sizeof(why), "what answers there is no such server: %s",
		         reader->errstr);
	else
		snprintf(why, sizeof(why), "%s", link->context->errstr);
	lose(link, why);
}

static void
lose_unasked(struct link *link, struct link_answer *answer)
{
	char why[256] = "it answers what was not asked";

	if (answer->kind == LINK_REFUSAL)
		snprintf(why, sizeof(why), "%s", answer->text);
	answer_free(answer);
	lose(link, why);
}

/* ---- reading ---------------------------------------------------------------------------- */

/* False: the link is gone, or is no good any more. */
static bool
deliver(struct link *link, struct link_answer *answer)
{
	struct question *question = STAILQ_FIRST(&link->questions);

	link->unfinished = 0;
	if (!question && !link->ears->heard) {
		lose_unasked(link, answer);
		return false;
	}
	link->is_busy = true;
	if (question) {
		STAILQ_REMOVE_HEAD(&link->questions, link);
		if (question->answered)
			question->answered(answer, question->arg);
		free(question);
	} else {
		link->ears->heard(answer, link->arg);
	}
	answer_free(answer);
	return !is_over(link);
}

/* False: as above. */
static bool
deliver_all(struct link *link)
{
	redisReader *reader = link->context->reader;
	void *answer = NULL;

	while (redisReaderGetReply(reader, &answer) == REDIS_OK) {
		if (!answer)
			break;
		if (!deliver(link, answer) || link->is_lost)
			return false;
		answer = NULL;
	}
	if (reader->err) {
		lose_context(link);
		return false;
	}
	if (link->unfinished > ANSWER_MOST) {
		lose(link, "an answer of it has no end");
		return false;
	}
	return true;
}

/* False: there was nothing, or the link is gone. */
static bool
read_some(struct link *link)
{
	size_t had = link->context->reader->len;

	if (redisBufferRead(link->context) != REDIS_OK) {
		lose_context(link);
		return false;
	}
	if (link->context->reader->len == had)
		return false;
	link->unfinished += link->context->reader->len - had;
	return deliver_all(link);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct link *link = arg;

	(void)fd, (void)what;
	if (!link->is_connected) {
		shake_hands(link);
		return;
	}
	link->heard_ms = clock_ms();
	for (int i = 0; i < READS_IN_A_TURN; i++)
		if (!read_some(link))
			return;
	if (link->is_tls) /* what it has read already nobody tells us of */
		event_active(link->readable, EV_READ, 0);
}

/* ---- writing ---------------------------------------------------------------------------- */

static void
wake_writer(struct link *link)
{
	if (link->is_connected && !link->is_lost && !link->is_closed)
		event_add(link->writable, NULL);
}

static void
write_some(struct link *link)
{
	int done = 0;

	if (redisBufferWrite(link->context, &done) != REDIS_OK)
		lose_context(link);
	else if (!done)
		event_add(link->writable, NULL);
}

static void
append(struct link *link, const struct link_word *words, size_t count)
{
	const char *at[16];
	size_t sizes[16];

	assert(count <= 16);
	for (size_t i = 0; i < count; i++) {
		at[i] = words[i].at;
		sizes[i] = words[i].size;
	}
	if (redisAppendCommandArgv(link->context, (int)count, at, sizes) != REDIS_OK)
		abort(); /* there is no memory: see xalloc.h */
	wake_writer(link);
}

struct link_word
link_text(const char *text)
{
	return (struct link_word){ text, strlen(text) };
}

void
link_ask(struct link *link, const struct link_word *words, size_t count,
         link_answer_cb *answered, void *arg)
{
	struct question *question = xcalloc(1, sizeof(*question));

	question->answered = answered;
	question->arg = arg;
	question->asked_ms = clock_ms();
	STAILQ_INSERT_TAIL(&link->questions, question, link);
	append(link, words, count);
}

void
link_tell(struct link *link, const struct link_word *words, size_t count)
{
	append(link, words, count);
}

int64_t
link_waits(const struct link *link)
{
	const struct question *oldest = STAILQ_FIRST(&link->questions);

	return oldest ? clock_ms() - oldest->asked_ms : 0;
}

int64_t
link_silent(const struct link *link)
{
	return clock_ms() - link->heard_ms;
}

/* ---- TLS -------------------------------------------------------------------------------- */

static void become_ready(struct link *link);

#ifdef STATE_TLS
static bool
prepare_tls(struct link *link, const struct link_target *target, char *why,
            size_t why_size)
{
	if (target->tls_name)
		link->ssl = tls_new(link->context->fd, target->tls_name,
		                    target->ca_file, why, why_size);
	return !target->tls_name || link->ssl;
}

/* From then on it is the context's; but we see to it that hands are shaken, since that would
 * try to write again and again meanwhile. */
static bool
begin_tls(struct link *link)
{
	char why[256];

	if (redisInitiateSSL(link->context, link->ssl) != REDIS_OK) {
		tls_fault(link->ssl, why, sizeof(why));
		lose(link, why);
		return false;
	}
	link->is_tls = true;
	return true;
}

static void
shake_hands(struct link *link)
{
	char why[256];

	if (!link->ssl) {
		become_ready(link);
		return;
	}
	event_del(link->readable);
	if (!link->is_tls && !begin_tls(link))
		return;
	switch (tls_shake_hands(link->ssl, why, sizeof(why))) {
	case TLS_DONE:
		become_ready(link);
		break;
	case TLS_READS:
		event_add(link->readable, NULL);
		break;
	case TLS_WRITES:
		event_add(link->writable, NULL);
		break;
	case TLS_FAILED:
		lose(link, why);
		break;
	}
}
#else
static bool
prepare_tls(struct link *link, const struct link_target *target, char *why,
            size_t why_size)
{
	(void)link, (void)why, (void)why_size;
	assert(!target->tls_name); /* stateurl_read() has refused it */
	return true;
}

static void
shake_hands(struct link *link)
{
	become_ready(link);
}
#endif

/* ---- connecting ------------------------------------------------------------------------- */

static void
become_ready(struct link *link)
{
	link->is_connected = true;
	link->heard_ms = clock_ms();
	event_add(link->readable, NULL);
	link->is_busy = true;
	link->ears->ready(link->arg);
	if (!is_over(link))
		write_some(link);
}

static void
on_called(struct link *link)
{
	socklen_t size = sizeof(int);
	int error = 0;

	if (getsockopt(link->context->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
		error = errno;
	if (error != 0)
		lose(link, strerror(error));
	else
		shake_hands(link);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct link *link = arg;

	(void)fd, (void)what;
	if (!link->is_connected)
		on_called(link);
	else
		write_some(link);
}

/* -1: errno. */
static int
connect_path(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error;

	assert(strlen(path) < sizeof(at.sun_path));
	memcpy(at.sun_path, path, strlen(path) + 1);
	if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0 ||
	    errno == EINPROGRESS)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static int
connect_addr(const struct addr *addr)
{
	int fd = socket(addr_family(addr), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	                0);
	int yes = 1, error;

	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	if (connect(fd, &addr->any, addr_size(addr)) == 0 || errno == EINPROGRESS)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

struct link *
link_open(struct event_base *base, const struct link_target *target,
          const struct link_ears *ears, void *arg, char *why, size_t why_size)
{
	int fd = target->addr ? connect_addr(target->addr) : connect_path(target->path);
	struct link *link;

	if (fd < 0) {
		snprintf(why, why_size, "%s", strerror(errno));
		return NULL;
	}
	link = xcalloc(1, sizeof(*link));
	link->context = redisConnectFd(fd);
	if (!link->context)
		abort(); /* there is no memory: see xalloc.h */
	link->context->flags &= ~REDIS_BLOCK;
	link->context->reader->fn = &makers;
	link->ears = ears;
	link->arg = arg;
	link->heard_ms = clock_ms();
	STAILQ_INIT(&link->questions);
	link->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, link);
	link->writable = event_new(base, fd, EV_WRITE, on_writable, link);
	if (!link->readable || !link->writable)
		abort(); /* the same */
	if (!prepare_tls(link, target, why, why_size)) {
		release(link);
		return NULL;
	}
	event_add(link->writable, NULL);
	return link;
}
