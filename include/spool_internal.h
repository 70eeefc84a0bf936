#ifndef SPOOL_INTERNAL_H
#define SPOOL_INTERNAL_H

#include "episode.h"
#include "peers.h"
#include "spool.h"

#include <sys/queue.h>

/*
 * The inside of spools, for spool*.c alone: spool.c has one message, spool_budget.c what
 * all of them may take, and who waits for whom.
 */
TAILQ_HEAD(spool_list, spool);

/* What one client's messages take.  It is there as long as one of them is. */
struct spool_share {
	size_t memory;
	uint64_t disk;
	uint64_t sealed;		/* of disk: of messages that will soon be gone */
	struct spool_list by_age;	/* the open ones, oldest first */
};

struct spool {
	unsigned references;
	struct spool_budget *budget;
	struct peer *client;		/* whose share it is of */
	struct spool_share *share;
	char *memory;	 /* head and message; the head alone once that is in a file */
	size_t capacity; /* of memory: what the budget is charged, unless in a file */
	int fd;		 /* of the message, without the head; -1 until it is in a file */
	size_t head;
	uint64_t size;	 /* the head included */
	uint64_t number; /* who came earlier has a smaller one */
	size_t wants;	 /* bytes that it waits to append */
	bool open;	 /* may be appended to: it is in by_age, twice */
	bool waiting;	 /* it is in waiters */
	spool_space_cb *space;
	void *arg;
	TAILQ_ENTRY(spool) of_all;	/* in the budget's by_age */
	TAILQ_ENTRY(spool) of_client;	/* in the share's */
	TAILQ_ENTRY(spool) wait;
};

struct spool_budget {
	struct spool_limits limits;	/* limits.path is ours */
	struct peers *clients;
	size_t memory_used;
	uint64_t disk_used;
	uint64_t disk_sealed;		/* of disk_used: of messages that will soon be gone */
	uint64_t number;		/* of the last spool */
	struct spool_list by_age;	/* the open ones, oldest first */
	struct spool_list waiters;
	struct event *wake;
	struct episode trouble;		/* with files, and with how long they take */
	struct episode slowness;
};

/* It takes, or gives back, so many bytes of memory and of files. */
void spool_charge(struct spool *spool, ssize_t memory, int64_t disk);

/* It is there: charged to its client, and open.  It is open no more.  It is gone. */
void spool_enter(struct spool *spool, const struct addr *client);
void spool_close(struct spool *spool);
void spool_leave(struct spool *spool);

/* True if MORE bytes may be appended in its file. */
bool spool_may_write(const struct spool *spool, size_t more);

/* What its memory has to be, so that MORE bytes fit; 0: so much it may not have. */
size_t spool_capacity_for(const struct spool *spool, size_t more);

/* It will be told when it may append so many bytes. */
void spool_wait(struct spool *spool, size_t wants);

/* A file was written to, within so many milliseconds; ERROR is an errno, or 0.  Said, if that
 * is news. */
void spool_note(struct spool_budget *budget, int error, int64_t ms);

/* A file holds all of its message: whatever was wrong with files is over. */
void spool_note_whole(struct spool_budget *budget);

#endif
