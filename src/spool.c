#include "spool.h"

#include "stats.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct spool {
	unsigned references;
	struct spool_budget *budget;
	char *memory;    /* head and message; the head alone once that is in a file */
	size_t capacity; /* of memory: what the budget is charged, unless in a file */
	int fd; /* of the message, without the head; -1 until it is in a file */
	size_t head;
	uint64_t size; /* the head included */
	bool open;     /* may be appended to: it is in by_age */
	bool waiting;  /* it is in waiters */
	spool_space_cb *space;
	void *arg;
	TAILQ_ENTRY(spool) by_age;
	TAILQ_ENTRY(spool) wait;
};

TAILQ_HEAD(spool_list, spool);

struct spool_budget {
	struct spool_limits limits; /* limits.path is ours */
	size_t memory_used;
	uint64_t disk_used;
	uint64_t disk_sealed;     /* of disk_used: of messages that will soon be gone */
	struct spool_list by_age; /* the open ones, oldest first */
	struct spool_list waiters;
	struct event *wake;
};

/* ---- the budget -------------------------------------------------------- */

/* There may be room: who waits tries again when the loop turns. */
static void
budget_rouse(struct spool_budget *budget)
{
	if (!TAILQ_EMPTY(&budget->waiters))
		event_active(budget->wake, 0, 0);
}

static void
budget_charge(struct spool_budget *budget, ssize_t memory, int64_t disk)
{
	budget->memory_used += (size_t)memory;
	budget->disk_used += (uint64_t)disk;
	stats_set(STAT_spool_memory, (int64_t)budget->memory_used);
	stats_set(STAT_spool_disk, (int64_t)budget->disk_used);
	if (memory < 0 || disk < 0)
		budget_rouse(budget);
}

static void
waiter_remove(struct spool *spool)
{
	if (!spool->waiting)
		return;
	TAILQ_REMOVE(&spool->budget->waiters, spool, wait);
	spool->waiting = false;
}

/* Whoever waits tries again; who has to wait once more goes to the end of the line. */
static void
budget_wake(evutil_socket_t fd, short what, void *arg)
{
	struct spool_budget *budget = arg;
	struct spool *spool;
	unsigned turns = 0;

	(void)fd;
	(void)what;
	/* Counted, for any of them may be gone before its turn comes. */
	for (spool = TAILQ_FIRST(&budget->waiters); spool;
	     spool = TAILQ_NEXT(spool, wait))
		turns++;
	while (turns-- > 0 && (spool = TAILQ_FIRST(&budget->waiters))) {
		waiter_remove(spool);
		spool->space(spool->arg);
	}
}

struct spool_budget *
spool_budget_new(struct event_base *base, const struct spool_limits *limits)
{
	struct spool_budget *budget = xcalloc(1, sizeof(*budget));

	TAILQ_INIT(&budget->by_age);
	TAILQ_INIT(&budget->waiters);
	budget->wake = event_new(base, -1, 0, budget_wake, budget);
	spool_budget_set(budget, limits);
	return budget;
}

void
spool_budget_set(struct spool_budget *budget, const struct spool_limits *limits)
{
	char *path = xstrdup(limits->path);

	free((char *)budget->limits.path);
	budget->limits = *limits;
	budget->limits.path = path;
	budget_rouse(budget);
}

void
spool_budget_free(struct spool_budget *budget)
{
	if (!budget)
		return;
	assert(TAILQ_EMPTY(&budget->by_age));
	event_free(budget->wake);
	free((char *)budget->limits.path);
	free(budget);
}

/* ---- life -------------------------------------------------------------- */

struct spool *
spool_new(struct spool_budget *budget, const char *head, size_t size,
          spool_space_cb *space, void *arg)
{
	struct spool *spool = xcalloc(1, sizeof(*spool));

	spool->references = 1;
	spool->budget = budget;
	spool->fd = -1;
	spool->open = true;
	spool->space = space;
	spool->arg = arg;
	spool->head = spool->size = size;
	spool->capacity = size + 1;
	spool->memory = xmalloc(spool->capacity);
	memcpy(spool->memory, head, size);
	budget_charge(budget, (ssize_t)spool->capacity, 0);
	TAILQ_INSERT_TAIL(&budget->by_age, spool, by_age);
	return spool;
}

struct spool *
spool_hold(struct spool *spool)
{
	spool->references++;
	return spool;
}

static void
spool_close(struct spool *spool)
{
	struct spool_budget *budget = spool->budget;

	if (!spool->open)
		return;
	waiter_remove(spool);
	spool->open = false;
	if (spool->fd >= 0)
		budget->disk_sealed += spool->size;
	TAILQ_REMOVE(&budget->by_age, spool, by_age);
	budget_rouse(budget); /* another one is the oldest now */
}

void
spool_drop(struct spool *spool)
{
	if (!spool || --spool->references > 0)
		return;
	spool_close(spool);
	if (spool->fd >= 0) {
		close(spool->fd);
		spool->budget->disk_sealed -= spool->size;
		budget_charge(spool->budget, 0, -(int64_t)spool->size);
	} else {
		budget_charge(spool->budget, -(ssize_t)spool->capacity, 0);
	}
	free(spool->memory);
	free(spool);
}

void
spool_seal(struct spool *spool)
{
	spool_close(spool);
}

void
spool_abandon(struct spool *spool)
{
	spool_close(spool);
}

/* ---- writing ----------------------------------------------------------- */

/* Not every file system can make a file without a name (O_TMPFILE); there it has one for a
 * moment. */
int
spool_file(const char *directory)
{
	int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char *name;

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd;
	name = xasprintf("%s/message.XXXXXX", directory);
	fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0)
		unlink(name);
	free(name);
	return fd;
}

bool
spool_try(const char *directory)
{
	int fd = spool_file(directory);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static bool
write_all(int fd, const char *bytes, size_t size, uint64_t offset)
{
	while (size > 0) {
		ssize_t done = pwrite(fd, bytes, size, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		bytes += done;
		size -= (size_t)done;
		offset += (uint64_t)done;
	}
	return true;
}

static bool
spill(struct spool *spool)
{
	int fd = spool_file(spool->budget->limits.path);

	if (fd < 0)
		return false;
	if (!write_all(fd, spool->memory + spool->head, spool->size - spool->head, 0)) {
		int error = errno;

		close(fd);
		errno = error;
		return false;
	}
	spool->fd = fd;
	spool->memory = xrealloc(spool->memory, spool->head + 1);
	budget_charge(spool->budget, -(ssize_t)spool->capacity, (int64_t)spool->size);
	return true;
}

/* Makes room in memory for MORE bytes, if limit and budget allow it. */
static bool
grow(struct spool *spool, size_t more)
{
	const struct spool_budget *budget = spool->budget;
	size_t most = spool->head + budget->limits.memory_each;
	size_t want = spool->size + more, capacity = 2 * spool->capacity;

	if (want <= spool->capacity)
		return true;
	if (want > most)
		return false;
	if (capacity > most)
		capacity = most;
	if (capacity < want)
		capacity = want;
	if (budget->memory_used - spool->capacity + capacity >
	    budget->limits.memory_all)
		return false;
	budget_charge(spool->budget, (ssize_t)(capacity - spool->capacity), 0);
	spool->memory = xrealloc(spool->memory, capacity);
	spool->capacity = capacity;
	return true;
}

/* Beyond the limit only the oldest may go on, and not even that one while there are
 * messages to wait for that are complete and will soon be gone. */
static bool
disk_allows(const struct spool *spool, size_t more)
{
	const struct spool_budget *budget = spool->budget;
	uint64_t new_bytes = more + (spool->fd < 0 ? spool->size : 0);

	if (budget->limits.disk_all == 0 ||
	    budget->disk_used + new_bytes <= budget->limits.disk_all)
		return true;
	return TAILQ_FIRST(&budget->by_age) == spool && budget->disk_sealed == 0;
}

static bool
file_append(struct spool *spool, struct evbuffer *message)
{
	struct evbuffer_ptr at;
	size_t left = evbuffer_get_length(message);

	evbuffer_ptr_set(message, &at, 0, EVBUFFER_PTR_SET);
	while (left > 0) {
		struct evbuffer_iovec run;

		evbuffer_peek(message, -1, &at, &run, 1);
		if (run.iov_len > left)
			run.iov_len = left;
		if (!write_all(spool->fd, run.iov_base, run.iov_len,
		               spool->size - spool->head))
			return false;
		spool->size += run.iov_len;
		budget_charge(spool->budget, 0, (int64_t)run.iov_len);
		left -= run.iov_len;
		evbuffer_ptr_set(message, &at, run.iov_len, EVBUFFER_PTR_ADD);
	}
	return true;
}

enum spool_result
spool_append(struct spool *spool, struct evbuffer *message)
{
	size_t more = evbuffer_get_length(message);

	assert(spool->open && !spool->waiting);
	if (spool->fd < 0 && grow(spool, more)) {
		evbuffer_copyout(message, spool->memory + spool->size, more);
		spool->size += more;
		return SPOOL_OK;
	}
	if (!disk_allows(spool, more)) {
		TAILQ_INSERT_TAIL(&spool->budget->waiters, spool, wait);
		spool->waiting = true;
		stats_add(STAT_spool_waits, 1);
		return SPOOL_WAIT;
	}
	if (spool->fd < 0 && !spill(spool))
		return SPOOL_FAILED;
	return file_append(spool, message) ? SPOOL_OK : SPOOL_FAILED;
}

/* ---- reading ----------------------------------------------------------- */

uint64_t
spool_message_size(const struct spool *spool)
{
	return spool->size - spool->head;
}

uint64_t
spool_size(const struct spool *spool)
{
	return spool->size;
}

const char *
spool_memory(const struct spool *spool)
{
	return spool->fd < 0 ? spool->memory : NULL;
}

static ssize_t
file_read(const struct spool *spool, char *to, size_t size, uint64_t offset)
{
	size_t got = 0;

	while (got < size) {
		ssize_t more = pread(spool->fd, to + got, size - got,
		                     (off_t)(offset + got));

		if (more < 0 && errno == EINTR)
			continue;
		if (more < 0)
			return -1;
		if (more == 0)
			break;
		got += (size_t)more;
	}
	return (ssize_t)got;
}

/* The head has stayed in memory. */
static ssize_t
read_behind_head(const struct spool *spool, char *to, size_t size, uint64_t offset)
{
	size_t front = 0;
	ssize_t more;

	if (offset < spool->head) {
		front = spool->head - (size_t)offset;
		if (front > size)
			front = size;
		memcpy(to, spool->memory + offset, front);
	}
	more = file_read(spool, to + front, size - front, offset + front - spool->head);
	return more < 0 ? -1 : (ssize_t)front + more;
}

ssize_t
spool_read(const struct spool *spool, void *to, size_t size, uint64_t offset)
{
	if (offset >= spool->size)
		return 0;
	if (size > spool->size - offset)
		size = spool->size - offset;
	if (spool->fd >= 0)
		return read_behind_head(spool, to, size, offset);
	memcpy(to, spool->memory + offset, size);
	return (ssize_t)size;
}

ssize_t
spool_read_message(const struct spool *spool, void *to, size_t size, uint64_t offset)
{
	return spool_read(spool, to, size, spool->head + offset);
}

/* ---- keeping ----------------------------------------------------------- */

/* By the descriptor itself, which newer kernels allow to whoever opened it, or by its name
 * in /proc, where there is one. */
static bool
name_file(int fd, int directory, const char *name)
{
	char path[32];

	if (linkat(fd, "", directory, name, AT_EMPTY_PATH) == 0)
		return true;
	if (errno == EEXIST)
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, path, directory, name, AT_SYMLINK_FOLLOW) == 0;
}

bool
spool_link(const struct spool *spool, int directory, const char *name, mode_t mode)
{
	assert(!spool->open);
	if (spool->fd < 0) {
		errno = EXDEV;
		return false;
	}
	return fchmod(spool->fd, mode) == 0 && name_file(spool->fd, directory, name);
}
