#ifndef STATESTORE_INTERNAL_H
#define STATESTORE_INTERNAL_H

#include "addr.h"
#include "statestore.h"

/*
 * statestore_link.c: one connection to Redis or Valkey, and the only file that knows
 * hiredis.
 *
 * Its reader and writer are used, and not its asynchronous half: that takes what a server
 * sends for what it should send (assert), and holds as much of it as comes.
 */
struct link;

enum link_kind {
	LINK_NOTHING,
	LINK_TEXT,
	LINK_NUMBER,
	LINK_REFUSAL,		/* an error: its text */
	LINK_LIST,
};

/* Lives until the call that brings it returns. */
struct link_answer {
	enum link_kind kind;
	int64_t number;
	size_t size;			/* of the text, or the list */
	struct link_answer **list;	/* none of them NULL */
	char text[];			/* terminated; it may have NULs inside */
};

struct link_target {
	const struct addr *addr;	/* NULL: it is PATH */
	const char *path;
	const char *tls_name;		/* NULL: without TLS */
	const char *ca_file;		/* "": the system's */
};

/* From the loop, never from within a call of this header.  The link may be closed then. */
struct link_ears {
	void (*ready)(void *arg);		/* it is connected */
	void (*lost)(const char *why, void *arg); /* nothing will come any more: close it */
	/* Unasked; NULL: who sends such things is lost. */
	void (*heard)(const struct link_answer *what, void *arg);
};

/* EARS must live as long.  NULL: WHY. */
struct link *link_open(struct event_base *base, const struct link_target *target,
		       const struct link_ears *ears, void *arg, char *why,
		       size_t why_size) MUST_CHECK;

/* Whoever waits for an answer gets NULL.  NULL is fine. */
void link_close(struct link *link);

/* One word of a command: any bytes. */
struct link_word {
	const char *at;
	size_t size;
};

struct link_word link_text(const char *text);

/* ANSWER NULL: there will be none. */
typedef void link_answer_cb(const struct link_answer *answer, void *arg);

/* Asks; ANSWERED may be NULL. */
void link_ask(struct link *link, const struct link_word *words, size_t count,
	      link_answer_cb *answered, void *arg);

/* The same for what has no answer of its own: it is heard. */
void link_tell(struct link *link, const struct link_word *words, size_t count);

/* Milliseconds that the oldest question waits, or 0; and since something came. */
int64_t link_waits(const struct link *link);
int64_t link_silent(const struct link *link);

/* True if TEXT of the answer begins so; NULL does not. */
bool link_says(const struct link_answer *answer, const char *text);

/*
 * statestore_tls.c: only if this hiredis has TLS.
 */
struct ssl_st;				/* SSL, of OpenSSL */

enum tls_step {
	TLS_DONE,
	TLS_READS,		/* again when FD can be read, */
	TLS_WRITES,		/* written */
	TLS_FAILED,		/* WHY */
};

/* Over FD, with a certificate for NAME that goes back to CA_FILE ("": the system's).  NULL:
 * WHY. */
struct ssl_st *tls_new(int fd, const char *name, const char *ca_file, char *why,
		       size_t why_size) MUST_CHECK;
enum tls_step tls_shake_hands(struct ssl_st *ssl, char *why, size_t why_size) MUST_CHECK;
/* WHY it has failed last. */
void tls_fault(struct ssl_st *ssl, char *why, size_t why_size);
void tls_free(struct ssl_st *ssl);	/* NULL is fine */

/*
 * statestore_call.c: the server, by two connections to it.
 */
struct caller;

/* From the loop, or from within caller_call(). */
struct caller_ears {
	void (*up)(void *arg);
	void (*lost)(const char *why, void *arg);	/* to be hung up */
	void (*news)(const struct link_answer *text, void *arg);
};

/* NULL: WHY. */
struct caller *caller_new(const struct statestore_setup *setup, char *why,
			  size_t why_size) MUST_CHECK;
void caller_free(struct caller *caller);	/* NULL is fine */
void caller_start(struct caller *caller, struct event_base *base, struct resolver *resolver,
		  const struct caller_ears *tell, void *arg);
void caller_call(struct caller *caller);
void caller_hang_up(struct caller *caller);
void caller_tick(struct caller *caller);	/* once a second: is it still there? */
struct link *caller_talk(const struct caller *caller);	/* NULL: it is not up */
const char *caller_server(const struct caller *caller);	/* for the log */
const char *caller_channel(const struct caller *caller);

/*
 * statestore_name.c: the name of this gateway, kept in DIRECTORY ("": nowhere).
 */
enum {
	NAME_SIZE = 17,		/* with its NUL */
};

void name_make(char name[static NAME_SIZE]);
void name_keep(const char name[static NAME_SIZE], const char *directory);
void name_find(char name[static NAME_SIZE], const char *directory);

/*
 * statestore.c: what is said of the server, and when it is called again.
 */

/* NULL while it cannot be asked. */
struct link *statestore_talk(struct statestore *store);
struct event_base *statestore_base(struct statestore *store);
const char *statestore_prefix(const struct statestore *store);
const char *statestore_channel(const struct statestore *store);

/* The server has done what it was asked to write, or refuses it: WHY. */
void statestore_taken(struct statestore *store);
void statestore_refused(struct statestore *store, const char *why);

/* What it has cannot be what a gateway has put there. */
void statestore_odd(struct statestore *store, const char *what);

/*
 * statestore_counts.c and statestore_locks.c: what is shared.
 */
struct state_counts;
struct state_locks;

struct state_counts *counts_new(struct statestore *store, struct ratestore *rates);
void counts_start(struct state_counts *counts, const char *identity);
void counts_free(struct state_counts *counts);	/* NULL is fine, as below */
void counts_up(struct state_counts *counts);	/* the server can be asked from now on */
void counts_down(struct state_counts *counts);
void counts_tick(struct state_counts *counts);	/* once a second */
/* Another one came with our name: it is another one from now on. */
void counts_rename(struct state_counts *counts, const char *identity);
/* True while something is on its way, or waits for it. */
bool counts_are_busy(const struct state_counts *counts);

/* What is known of locks: made, or removed. */
enum {
	MIRROR_MOST = 2 * LOCKFILE_MOST,
	MIRROR_BUCKETS = 16384,
};

struct mirror;

struct mirror_entry {
	struct mirror_entry *next;	/* the mirror's */
	int64_t when;			/* it was made or removed: milliseconds since 1970 */
	int64_t since;			/* as old as its file is: clocks may differ */
	unsigned pass;			/* when the server had it last */
	bool is_locked;
	bool has_file;			/* here */
	char name[];			/* of the file */
};

struct mirror *mirror_new(void);
void mirror_free(struct mirror *mirror);
struct mirror_entry *mirror_find(struct mirror *mirror, const char *name);
/* NULL: there are too many. */
struct mirror_entry *mirror_add(struct mirror *mirror, const char *name);
void mirror_remove(struct mirror *mirror, struct mirror_entry *entry);
/* EACH may remove its entry, and no other. */
typedef void mirror_each_cb(struct mirror_entry *entry, void *arg);
void mirror_each(struct mirror *mirror, mirror_each_cb *each, void *arg);
/* Those of one bucket. */
void mirror_slice(struct mirror *mirror, size_t bucket, mirror_each_cb *each, void *arg);

/* A directory of lock files; it may come and go. */
struct watch;

struct watch_ears {
	void (*seen)(const char *name, void *arg);	/* there is, or was, such a file */
	void (*all_seen)(void *arg);	/* all that are there have been seen since watch_scan() */
};

struct watch *watch_new(struct event_base *base, const char *path,
			const struct watch_ears *ears, void *arg);
void watch_free(struct watch *watch);	/* NULL is fine */
void watch_scan(struct watch *watch);
void watch_tick(struct watch *watch);
/* False: the directory is not there, or inotify cannot be had. */
bool watch_hears(const struct watch *watch);

struct state_locks *locks_new(struct statestore *store, const char *path,
			      const struct lockfile_rules *rules);
void locks_free(struct state_locks *locks);
void locks_set(struct state_locks *locks, const struct lockfile_rules *rules);
void locks_start(struct state_locks *locks);
void locks_up(struct state_locks *locks);
void locks_down(struct state_locks *locks);
void locks_tick(struct state_locks *locks);
/* Another gateway says so, in the channel. */
void locks_heard(struct state_locks *locks, const char *text, size_t size);

#endif
