#ifndef CHECK_CLAMAV_INTERNAL_H
#define CHECK_CLAMAV_INTERNAL_H

#include "check_internal.h"
#include "scancache.h"
#include "tempdir.h"
#include "episode.h"
#include "workers.h"

#include <clamav.h>
#include <stdatomic.h>

/*
 * libclamav, for check_clam*.c alone:
 *
 *   check_clamav.c         the check in the loop: scans that wait, run, have ended
 *   check_clamav_scan.c    what happens to one message in a thread
 *   check_clamav_codes.c   what its names and codes mean; those of clamd, too
 *   check_clamav_known.c   what is not scanned again
 *   check_clamav_words.c   what libclamav says, and how much of it is logged
 *   check_clamav_files.c   what lies at signature_path, and whether it has changed
 *   check_clamav_engine.c  engines: how they are built, who holds them, how they go
 *   check_clamav_watch.c   inotify: something may have changed
 *   check_clamav_reload.c  when another engine is built, and what becomes of the old one
 */

/* -- what was found (any thread) ------------------------------------------------------ */

/* Keeps in FOUND the gravest; of two like it, the first. */
void clamav_note(struct finding *found, enum finding_kind kind, const char *name);

/* What a "virus" is: one, or the name of a limit.  NULL: the message is too big. */
void clamav_note_virus(struct finding *found, const char *virus);

/* What a code is, or the words for it that clamd says: nothing, if it is about what was
 * found. */
void clamav_note_code(struct finding *found, cl_error_t code);
void clamav_note_words(struct finding *found, const char *words);

/* -- what lies at signature_path (any thread) -------------------------------------- */

enum {
	CLAMAV_FILES_WHY_SIZE = 384,
	CLAMAV_WHY_SIZE = 1024,
};

struct clamav_files {
	uint64_t print;		/* another one when anything of the files is another */
	int64_t quiet_ms;	/* since the last change in them */
	bool unsure;		/* we could not look: no descriptors, no memory */
	bool pipe;		/* that alone is wrong: one of them would make us wait */
	char why[CLAMAV_FILES_WHY_SIZE]; /* it must not be loaded like that; else "" */
};

/* PATH may be a file or a directory, or not be there.  Reads no file. */
void clamav_files_look(const char *path, struct clamav_files *files);

/* What is wrong with them, and what to do about it. */
void clamav_say_files(const struct clamav_files *files, const char *path, bool chrooted,
		      char *why, size_t why_size);

/* True if libclamav would load a file of that name out of a directory. */
bool clamav_files_is_database(const char *name);

/* -- what libclamav says -------------------------------------------------------------- */

enum {
	CLAMAV_LINES = 8,		/* that are kept of what one job causes */
	CLAMAV_LINE_SIZE = 256,
};

/* Of one job.  Starts as { 0 }. */
struct clamav_words {
	struct clamav_line {
		enum cl_msg level;
		unsigned times;
		char text[CLAMAV_LINE_SIZE];	/* from outside, in part */
	} line[CLAMAV_LINES];
	unsigned lines;
	unsigned left_out;		/* for want of room */
	/* NULL, or told at once, in the thread. */
	void (*listen)(void *listener, enum cl_msg level, const char *text);
	void *listener;
};

/* Before anything else of libclamav. */
void clamav_hear_words(void);

/* What it says to this thread is kept in WORDS from now on; NULL: it is lost. */
void clamav_collect_words(struct clamav_words *words);

/* Errors alone, one after another. */
void clamav_join_words(const struct clamav_words *words, char *to, size_t size);

/* In the loop: errors and warnings as complaints, not too many; the rest for debugging. */
void clamav_log_words(const struct clamav_words *words, const struct log_ctx *log);

/* How many have not been logged, if any: at the end. */
void clamav_log_last_words(void);

/* -- engines ------------------------------------------------------------------------ */

/* What an engine is made from, and what scans with it need to know. */
struct clamav_recipe {
	char *signatures;	/* file or directory */
	char *directory;	/* of temporary files */
	struct cl_scan_options options;
	int64_t max_unpacked, max_files, max_depth, timeout_s;
};

void clamav_recipe_init(struct clamav_recipe *recipe, const struct config *cfg);
void clamav_recipe_copy(struct clamav_recipe *to, const struct clamav_recipe *from);
bool clamav_recipe_equal(const struct clamav_recipe *a, const struct clamav_recipe *b);
void clamav_recipe_fini(struct clamav_recipe *recipe);

struct clamav_engine {
	struct work work;	/* for its end in a thread */
	struct clamav *clamav;	/* not owned */
	struct clamav_recipe recipe;
	struct cl_engine *engine;
	struct clamav_known *known;	/* verdicts of this engine's */
	struct tempdir *room;		/* for temporary files; NULL: until clamav_engine_settle() */
	uint64_t print;		/* of the files that it was loaded from */
	unsigned signatures;
	unsigned load_ms;
	unsigned references;	/* the loop's */
};

/* A directory of our own below PARENT, which has some space; NULL: WHY. */
struct tempdir *clamav_make_room(const char *parent, char *why,
				 size_t why_size) MUST_CHECK;

/* Loads, for as long as STOP stays false: the engine, or NULL with WHY.  Blocks for
 * seconds; in any thread.  STOP may be NULL: at the start a signal does, and who wants to
 * may let us wait for a pipe.  ROOM: for temporary files meanwhile.  WORDS: what libclamav
 * says to it all. */
struct clamav_engine *clamav_engine_build(const struct clamav_recipe *recipe,
					  const struct tempdir *room,
					  const atomic_bool *stop,
					  struct clamav_words *words, char *why,
					  size_t why_size) MUST_CHECK;

/* From now on its temporary files are in ROOM, which it owns; to be called once, before it
 * scans.  False: WHY. */
bool clamav_engine_settle(struct clamav_engine *engine, struct tempdir *room, char *why,
			  size_t why_size) MUST_CHECK;

/* At once.  Takes a tenth of a second for a million signatures. */
void clamav_engine_free(struct clamav_engine *engine);

/* -- the check ---------------------------------------------------------------------- */

/* How patient it is; tests are less so. */
struct clamav_pace {
	unsigned settle_ms;	/* without a change, then files are taken for whole */
	unsigned patience_ms;	/* but no longer than this */
	unsigned tick_ms;	/* looks that nothing has asked for; tries after failures */
};
extern struct clamav_pace clamav_pace;

struct clamav_reload;
struct clamav_known;

struct clamav {
	struct clamav_engine *engine;	/* NULL: in_place, between two, or none at all */
	struct clamav_recipe recipe;	/* of the next one */
	bool in_place;			/* signature_reload */
	bool chrooted;
	uint64_t known;			/* what files were like when it was begun */
	unsigned threads;
	unsigned known_most;	/* scan_cache */
	struct workers *pool;		/* NULL until begun; scans */
	TAILQ_HEAD(, clamav_scan) scans; /* all, in the order in which they came */
	struct clamav_reload *reload;	/* NULL until begun */
	atomic_uint disk_full;		/* how often a scan has seen that */
	struct episode no_room;		/* for temporary files; the loop's */
};

/* One message, looked at by a thread. */
struct clamav_scan {
	struct work work;
	TAILQ_ENTRY(clamav_scan) link;
	struct check_run *run;	/* NULL: nobody waits for it.  The loop's */
	struct clamav *clamav;
	struct clamav_engine *engine; /* held; changes in the loop's thread only.  NULL:
				       * waits for one */
	struct spool *message;	/* held; likewise */
	struct log_ctx log;
	char *header_blank;	/* our header in the message, as struct evidence has it; */
	uint64_t header_at;	/* owned, or NULL */
	atomic_bool cancelled;	/* stop as soon as you can */
	int read_error;		/* of the spool */
	struct clamav_words words;
	bool doubtful;		/* not just clean, or just a virus: not to be kept */
	bool has_digest;	/* it was looked for among what is known, by */
	unsigned char digest[SCANCACHE_DIGEST];
	unsigned shortages;	/* disk_full at the beginning */
	int no_room;		/* for temporary files: an errno */
	struct finding found;
};

/* Takes back every scan that no thread has begun; those have no engine then. */
void clamav_hold_scans(struct clamav *clamav);

/* Begins scans without an engine with the one that there is now; if there is none, and
 * none is being loaded, they fail. */
void clamav_begin_scans(struct clamav *clamav);

/* -- reloading (the loop) ------------------------------------------------------------ */

/* KNOWN: the print of files that need no thought any more.  NULL: errno. */
struct clamav_reload *clamav_reload_new(struct clamav *clamav, struct event_base *base,
					uint64_t known) MUST_CHECK;

/* Looks whether another engine is to be built, and builds it, without waiting for files to
 * settle. */
void clamav_reload_ask(struct clamav_reload *reload);

/* True if scans may wait for an engine. */
bool clamav_reload_is_loading(const struct clamav_reload *reload);

/* One hold less; the last one leads to its end, in a thread. */
void clamav_engine_drop(struct clamav_engine *engine);

/* Waits for what is under way in its thread, and tells it to hurry. */
void clamav_reload_free(struct clamav_reload *reload);

/* -- inotify --------------------------------------------------------------------------- */

struct clamav_watch;

/* CHANGED is called once, then not again until clamav_watch_listen(). */
struct clamav_watch *clamav_watch_new(struct event_base *base,
				      void (*changed)(void *arg), void *arg);
void clamav_watch_free(struct clamav_watch *watch);

/* What a watch is to be aimed at: by a thread, since paths may lead to where it takes long
 * to look. */
struct clamav_aim {
	int inotify;		/* not owned; -1: there is none */
	int self, parent;	/* watches; -1: none */
	int error;		/* why changes will not be heard of; else 0 */
};

/* In the loop; forgets what it has heard.  What changes from now on is told. */
struct clamav_aim clamav_watch_listen(struct clamav_watch *watch);

/* In any thread: aims at PATH, and at its name in the directory that it is in. */
void clamav_watch_aim(struct clamav_aim *aim, const char *path);

/* In the loop: what was aimed at counts from now on. */
void clamav_watch_aimed(struct clamav_watch *watch, const struct clamav_aim *aim,
			const char *path);

/* -- one message, in a thread ------------------------------------------------------------ */

/* Room for temporary files that there must always be. */
enum {
	CLAMAV_ROOM_LEAST = 1 << 20,
};

/* True if SIZE bytes of temporary files can be had; else errno. */
bool clamav_has_room(const char *directory, uint64_t size) MUST_CHECK;

/* The job: leaves what it saw in found. */
void clamav_scan_run(struct work *work);

/* -- verdicts that are known ------------------------------------------------------------- */

/* None is kept until there is a limit. */
struct clamav_known *clamav_known_new(void) MUST_CHECK;
void clamav_known_free(struct clamav_known *known);
void clamav_known_limit(struct clamav_known *known, unsigned most);
unsigned clamav_known_count(struct clamav_known *known);

/* In a thread.  True: what is to be found is known, and in found. */
bool clamav_known_find(struct clamav_scan *scan) MUST_CHECK;

/* Afterwards: what was found, if that can be relied on. */
void clamav_known_keep(struct clamav_scan *scan);

/* To a new engine: how it tells what it finds. */
void clamav_set_callbacks(struct cl_engine *engine);

#endif
