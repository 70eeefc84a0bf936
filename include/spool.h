#ifndef SPOOL_H
#define SPOOL_H

#include "addr.h"
#include "xalloc.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * One message at rest: in memory up to a limit, then in an unlinked file.
 *
 * A spool begins with a head that is ours (it makes scanners take the rest for mail, see
 * check_clamav.c), then comes the message.  The head stays in memory: a file holds the
 * message and nothing else, so that it can be kept as it is.  It is written by the loop, then sealed; from
 * then on it never changes, and a thread may read it.  References change in the loop's
 * thread only.  No crash leaves a file behind: it never had a name (O_TMPFILE).
 */
struct spool;

/*
 * What all spools together may use.  When memory is used up, messages go to files
 * earlier; when files are used up, messages wait (SPOOL_WAIT).  There is always one that
 * can go on: if none is sealed, and so about to go, the oldest may exceed the limit.  So
 * the files never hold more than the limit and one message.
 *
 * The messages of one client take no more of either than they leave to others.  Of those
 * that wait, the client that has least in files goes first, and of its messages the oldest.
 */
struct spool_budget;

struct spool_limits {
	const char *path;	/* directory of the files; copied */
	size_t memory_each;	/* bytes of one message in memory */
	size_t memory_all;	/* bytes of all messages in memory */
	uint64_t disk_all;	/* bytes of all messages in files; 0: no limit of ours */
	unsigned prefix6;	/* bits that the addresses of one client share, with IPv6 */
};

enum spool_result {
	SPOOL_OK,
	SPOOL_WAIT,		/* nothing was taken: try again when space_cb comes */
	SPOOL_FAILED,		/* errno says why (ENOSPC, EIO ...); the spool is useless */
};

/* Called from the loop when a spool that was told to wait may try again. */
typedef void spool_space_cb(void *arg);

/* A new file in DIRECTORY that has no name, or soon has none.  -1: errno. */
int spool_file(const char *directory) MUST_CHECK;

/* True if a file for a message can be made in DIRECTORY; false: errno. */
bool spool_try(const char *directory) MUST_CHECK;

/* The budget outlives every spool; wake-ups come from BASE. */
struct spool_budget *spool_budget_new(struct event_base *base,
				      const struct spool_limits *limits);
void spool_budget_set(struct spool_budget *budget, const struct spool_limits *limits);
void spool_budget_free(struct spool_budget *budget);

/* A new spool with HEAD (SIZE bytes, copied) in front. */
struct spool *spool_new(struct spool_budget *budget, const char *head, size_t size,
			spool_space_cb *space, void *arg);

/* It is CLIENT's, while it is empty.  Until then it is nobody's, like others of that kind. */
void spool_set_client(struct spool *spool, const struct addr *client);

/* Whose it is: equal for spools of one client, as long as they live.  Never NULL. */
const void *spool_client(const struct spool *spool);

struct spool *spool_hold(struct spool *spool);
void spool_drop(struct spool *spool);

/* Appends a copy of all of MESSAGE, which stays as it is. */
enum spool_result spool_append(struct spool *spool, struct evbuffer *message) MUST_CHECK;

/* Nothing is appended any more: threads may read.  space_cb will not be called again. */
void spool_seal(struct spool *spool);

/* The owner is going away: space_cb will not be called again. */
void spool_abandon(struct spool *spool);

/* Bytes of the message, without the head; of both. */
uint64_t spool_message_size(const struct spool *spool);
uint64_t spool_size(const struct spool *spool);

/* All of a sealed spool that is in memory, head first; NULL if it is in a file. */
const char *spool_memory(const struct spool *spool);

/* Reads from a spool at OFFSET (head included): a sealed one in any thread, an open one in
 * the loop's.  Returns the bytes read, fewer only at the end, or -1 with errno. */
ssize_t spool_read(const struct spool *spool, void *to, size_t size, uint64_t offset);

/* The same, OFFSET being that in the message alone. */
ssize_t spool_read_message(const struct spool *spool, void *to, size_t size,
			   uint64_t offset);

/* Gives the file of a sealed spool a NAME in DIRECTORY, a descriptor, with the permissions
 * MODE: at once, whatever its size, and never in place of a file that is there.  False:
 * errno is EEXIST, or it must be copied, being in memory, or on another file system, or
 * on one whose files cannot be named later. */
bool spool_link(const struct spool *spool, int directory, const char *name,
		mode_t mode) MUST_CHECK;

#endif
