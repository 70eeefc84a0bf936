#include "spool_internal.h"

#include "clock.h"
#include "log.h"
#include "stats.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- life -------------------------------------------------------------- */

struct spool *
spool_new(struct spool_budget *budget, const char *head, size_t size,
          spool_space_cb *space, void *arg)
{
	static const struct addr nobody;
	struct spool *spool = xcalloc(1, sizeof(*spool));

	spool->references = 1;
	spool->budget = budget;
	spool->fd = -1;
	spool->space = space;
	spool->arg = arg;
	spool->head = spool->size = size;
	spool->capacity = size + 1;
	spool->memory = xmalloc(spool->capacity);
	memcpy(spool->memory, head, size);
	spool_enter(spool, &nobody);
	return spool;
}

void
spool_set_client(struct spool *spool, const struct addr *client)
{
	assert(spool->open && !spool->waiting && spool->size == spool->head);
	spool_leave(spool);
	spool_enter(spool, client);
}

const void *
spool_client(const struct spool *spool)
{
	return spool->share;
}

struct spool *
spool_hold(struct spool *spool)
{
	spool->references++;
	return spool;
}

void
spool_drop(struct spool *spool)
{
	if (!spool || --spool->references > 0)
		return;
	spool_leave(spool);
	if (spool->fd >= 0)
		close(spool->fd);
	free(spool->memory);
	free(spool);
}

void
spool_seal(struct spool *spool)
{
	if (spool->fd >= 0)
		spool_note_whole(spool->budget);
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
	spool_charge(spool, -(ssize_t)spool->capacity, (int64_t)spool->size);
	return true;
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
		spool_charge(spool, 0, (int64_t)run.iov_len);
		left -= run.iov_len;
		evbuffer_ptr_set(message, &at, run.iov_len, EVBUFFER_PTR_ADD);
	}
	return true;
}

static bool
memory_append(struct spool *spool, struct evbuffer *message)
{
	size_t more = evbuffer_get_length(message);
	size_t capacity = spool_capacity_for(spool, more);

	if (capacity == 0)
		return false;
	if (capacity > spool->capacity) {
		spool_charge(spool, (ssize_t)(capacity - spool->capacity), 0);
		spool->memory = xrealloc(spool->memory, capacity);
		spool->capacity = capacity;
	}
	evbuffer_copyout(message, spool->memory + spool->size, more);
	spool->size += more;
	return true;
}

/* The loop stands still meanwhile, and with it all sessions. */
static bool
write_down(struct spool *spool, struct evbuffer *message)
{
	int64_t begin = clock_ms();
	bool done = (spool->fd >= 0 || spill(spool)) && file_append(spool, message);

	spool_note(spool->budget, done ? 0 : errno, clock_ms() - begin);
	return done;
}

enum spool_result
spool_append(struct spool *spool, struct evbuffer *message)
{
	size_t more = evbuffer_get_length(message);

	assert(spool->open && !spool->waiting);
	if (spool->fd < 0 && memory_append(spool, message))
		return SPOOL_OK;
	if (!spool_may_write(spool, more)) {
		spool_wait(spool, more);
		return SPOOL_WAIT;
	}
	return write_down(spool, message) ? SPOOL_OK : SPOOL_FAILED;
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
