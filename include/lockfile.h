#ifndef LOCKFILE_H
#define LOCKFILE_H

#include "config.h"
#include "xalloc.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Who is locked out, and until when: a file for each client, in one directory.
 *
 * The files are all there is.  Administrators make, touch and remove them while we run,
 * and so may other daemons that share the directory: nothing is remembered that is not
 * looked up again, and the directory itself may come and go.
 *
 * A file is named by the client's address, with "-" and the ident behind it if there is
 * one.  IPv6 clients are locked by networks: the address of that, "_", and its bits
 * (2001:db8:1:2::_64), for whoever has one address has all of its network.  A link-local
 * address is locked alone.  Whether a client is locked the most special file says that
 * is there: address and ident, network and ident, address, network.
 *
 * - A file of our own user locks, until it is older than a lock may be: it is stale then.
 * - A file of another user means the opposite: this client is never locked.
 * - What is ours but no file (a link, a pipe) means nothing, and is left alone.
 */
enum {
	LOCKFILE_IDENT_SIZE = 64,	/* with its NUL */
	LOCKFILE_NAME_SIZE = 256,
	LOCKFILE_WORDS_SIZE = 256,
	LOCKFILE_MOST = 100000,		/* more are not made */
};

#define LOCKFILE_FOR_EVER (-1)

/* ---- names ---------------------------------------------------------------- */

/* Puts into NAME what a lock of NET and IDENT (may be empty) is called.  Nothing is in it
 * but what an address is made of, and letters, digits and ". _ - @ + :" of an ident; each
 * other byte of that becomes %XX.  False: the ident is too long. */
bool lockfile_name(char name[static LOCKFILE_NAME_SIZE], const struct addr_net *net,
		   const char *ident) MUST_CHECK;

/* The reverse; false if NAME is not as lockfile_name() would write it. */
bool lockfile_parse(const char *name, struct addr_net *net,
		    char ident[static LOCKFILE_IDENT_SIZE]) MUST_CHECK;

/* ---- the daemon's side ----------------------------------------------------- */

struct lockfiles;

struct lockfile_rules {
	unsigned mode;		/* permissions of what is made */
	unsigned prefix6;	/* bits of an IPv6 network that is locked as one */
	int64_t longest;	/* seconds; what is older is removed; LOCKFILE_FOR_EVER */
};

/* As CFG has it; a lock may be as old as the longest lock_duration of all its snapshots. */
struct lockfile_rules lockfile_rules(const struct config *cfg);

enum lockfile_state {
	LOCKFILE_FREE,		/* also if it cannot be looked up, which is logged, once */
	LOCKFILE_LOCKED,
	LOCKFILE_NEVER,		/* and never shall be */
};

enum lockfile_result {
	LOCKFILE_MADE,
	LOCKFILE_ALREADY,	/* there was one, which stays as old as it is */
	LOCKFILE_IS_NEVER,	/* this client is never locked */
	LOCKFILE_FAILED,	/* errno; it is logged */
};

/* Those in the directory PATH, which need not be there.  Their user is who this process is
 * at the time. */
struct lockfiles *lockfile_new(const char *path, const struct lockfile_rules *rules);
void lockfile_set(struct lockfiles *locks, const struct lockfile_rules *rules);
void lockfile_free(struct lockfiles *locks);	/* NULL is fine */

/* Can they be used?  The directory is made if its parent allows that.  False: WHY. */
bool lockfile_ready(struct lockfiles *locks, char *why, size_t why_size) MUST_CHECK;

/* From now on stale files are removed from time to time, a few in each turn of the loop;
 * never, and there is no timer, while the longest duration is 0. */
void lockfile_start(struct lockfiles *locks, struct event_base *base);

/* Is CLIENT locked, where locks older than DURATION (or LOCKFILE_FOR_EVER) do not count?
 * IDENT may be empty.  NAME becomes that of the file which says so, else empty.  Stale
 * files in its way are removed. */
enum lockfile_state lockfile_look(struct lockfiles *locks, const struct addr *client,
				  const char *ident, int64_t duration,
				  char name[static LOCKFILE_NAME_SIZE]) MUST_CHECK;

/* Locks CLIENT unless it is locked already, or never to be.  WORDS, one line for people,
 * are what is in the file; NAME becomes its name. */
enum lockfile_result lockfile_make(struct lockfiles *locks, const struct addr *client,
				   const char *ident, int64_t duration,
				   const char *words,
				   char name[static LOCKFILE_NAME_SIZE]) MUST_CHECK;

/* ---- what other gateways know (statestore.h) --------------------------------- */

/* One file, by its name. */
struct lockfile_fact {
	int64_t since_ms;			/* milliseconds since 1970 */
	char words[LOCKFILE_WORDS_SIZE];	/* its first line, printable */
};

/* What it says: FREE also if it is stale, or no file of ours. */
enum lockfile_state lockfile_read(struct lockfiles *locks, const char *name,
				  struct lockfile_fact *fact) MUST_CHECK;

/* Makes it, as old as FACT says; an older one becomes as old.  Whom this gateway never locks
 * is not locked.  FAILED: errno; EINVAL: no client can have that name here. */
enum lockfile_result lockfile_put(struct lockfiles *locks, const char *name,
				  const struct lockfile_fact *fact) MUST_CHECK;

/* Removes it, unless it is younger than UNTIL_MS or not ours: false. */
bool lockfile_take_away(struct lockfiles *locks, const char *name, int64_t until_ms);

/* ---- the administrator's side ---------------------------------------------- */

enum lockfile_kind {
	LOCKFILE_KIND_LOCKED,
	LOCKFILE_KIND_STALE,
	LOCKFILE_KIND_NEVER,
	LOCKFILE_KIND_ODD,	/* no client has that name, or it is no file */
};

struct lockfile_entry {
	enum lockfile_kind kind;
	char name[LOCKFILE_NAME_SIZE];
	struct addr_net net;	/* no address if the name is none of ours */
	char ident[LOCKFILE_IDENT_SIZE];
	time_t since, until;	/* until 0: for ever */
	uid_t owner;
	char words[LOCKFILE_WORDS_SIZE];	/* its first line, printable */
};

/* All that is in the directory PATH of a daemon that runs as USER, sorted by name; to be
 * freed.  False: errno. */
bool lockfile_list(const char *path, uid_t user, const struct lockfile_rules *rules,
		   struct lockfile_entry **entries, size_t *count) MUST_CHECK;

/* Removes one of them, unless it is not (or no more) a file of USER.  False: errno. */
bool lockfile_remove(const char *path, uid_t user,
		     const struct lockfile_entry *entry) MUST_CHECK;

#endif
