#ifndef QUARANTINE_INTERNAL_H
#define QUARANTINE_INTERNAL_H

#include "quarantine.h"

#include <jansson.h>
#include <stdio.h>
#include <time.h>

/*
 * The inside of the quarantine, for quarantine*.c alone.
 *
 * First the files (quarantine_store.c).  A name that we make up ends in one of these; all
 * other names in the directory are none of our business.
 */
enum store_kind {
	STORE_MESSAGE,		/* ID.eml */
	STORE_NOTE,		/* ID.json, the last that is written */
};

enum {
	STORE_NAME_SIZE = QUARANTINE_ID_SIZE + 16,
	STORE_NOTE_MOST = 1 << 20,	/* bytes of a note that we read */
	STORE_BLOCK = 4096,		/* files take whole ones */
};

/* The ID of a message of that TIME; ATTEMPT is 0, or tells it from others of that ID. */
void store_id(char id[static QUARANTINE_ID_SIZE], time_t time,
	      const struct log_ctx *log, unsigned attempt);

/* What the IDs of that TIME begin with; returns its size. */
size_t store_begin_id(char id[static QUARANTINE_ID_SIZE], time_t time);

/* True if TEXT is an ID; its time. */
bool store_is_id(const char *text);
time_t store_time(const char *id);

/* Descriptor of the directory at PATH; -1: errno. */
int store_open(const char *path) MUST_CHECK;

/* The name of one of the files; of the same while it is written. */
void store_name(char name[static STORE_NAME_SIZE], const char *id, enum store_kind kind);
void store_half_name(char name[static STORE_NAME_SIZE], const char *id,
		     enum store_kind kind);

/* A new file under its half name, to be written; -1: errno. */
int store_begin(int directory, const char *id, enum store_kind kind,
		mode_t mode) MUST_CHECK;

/* Closes FD and gives what was begun its name, unless there is a file of that name.
 * False: errno, and nothing is left. */
bool store_finish(int directory, int fd, const char *id,
		  enum store_kind kind) MUST_CHECK;
void store_abort(int directory, int fd, const char *id, enum store_kind kind);

/* False: errno. */
bool store_write(int fd, const void *bytes, size_t size) MUST_CHECK;

/* Opens a file to be read, if it is one: no link, no pipe, and of one name only; -1:
 * errno. */
int store_read(int directory, const char *id, enum store_kind kind) MUST_CHECK;

/* Removes both files, the message last.  False: errno; ENOENT: there was no message. */
bool store_remove(int directory, const char *id);

/* Bytes that a file of SIZE takes. */
uint64_t store_blocks(uint64_t size);

/* A message, or a part of one: what is found in the directory is a file at a time. */
struct store_entry {
	char id[QUARANTINE_ID_SIZE];
	uint64_t charge;
	bool is_message;	/* else its note alone */
};

/* One that takes SIZE bytes and those of its note. */
struct store_entry store_entry(const char *id, uint64_t size);

struct store_scan;

struct store_scan *store_scan_begin(int directory) MUST_CHECK;	/* NULL: errno */
/* Looks at MOST names, which are in no order; removes those that were never finished, an hour ago.  Calls EACH.
 * False: there are no more. */
bool store_scan_some(struct store_scan *scan, unsigned most,
		     void (*each)(const struct store_entry *entry, void *arg),
		     void *arg) MUST_CHECK;
void store_scan_end(struct store_scan *scan);

/*
 * Those that are known, the oldest of them in front (quarantine_list.c).
 */
struct store_list {
	struct store_entry *at;
	size_t count, room;
	size_t messages;	/* of these */
	uint64_t charge;	/* of all of them */
};

void store_list_add(struct store_list *list, const struct store_entry *entry);
/* NULL: there is none. */
const struct store_entry *store_list_oldest(const struct store_list *list);
void store_list_drop_oldest(struct store_list *list);
/* Looks at all of them. */
void store_list_forget(struct store_list *list, const char *id);
void store_list_clear(struct store_list *list);

/*
 * What is kept, and what has to go for it (quarantine_room.c).  Others may change the
 * directory, too: then all names are looked at again, a step at a time.
 */
struct room {
	const char *path;
	int directory;
	const struct quarantine_limits *limits;
	bool (*is_busy)(const char *id, void *arg); /* being written; NULL: is any? */
	void *arg;
	/* The room's: */
	struct store_list kept;	 /* as far as we know */
	struct store_scan *scan; /* under way, or NULL */
	struct store_list found; /* by it */
	time_t scanned;		 /* it finds what is older: */
	char unfound[QUARANTINE_ID_SIZE]; /* IDs before this one */
	bool waits;		 /* it will begin */
	struct timespec changed; /* the directory, by ourselves */
	bool is_shared;		 /* others have changed it since it was scanned */
	bool is_stuck;		 /* what has to go cannot be removed */
};

/* Looks at all names at once: for the start. */
void room_open(struct room *room);
void room_close(struct room *room);

void room_add(struct room *room, const char *id, uint64_t size);
void room_forget(struct room *room, const char *id);

/* Around whatever we change in the directory: so changes by others are seen. */
void room_before_change(struct room *room);
void room_after_change(struct room *room);

enum room_step {
	ROOM_DONE,
	ROOM_MORE,	/* in the next turn of the loop */
	ROOM_LATER,	/* in some tenths of a second */
};
enum room_step room_go_on(struct room *room);

/* From time to time: tries again what could not be done, looks whether others were there. */
void room_look(struct room *room);

/*
 * The note (quarantine_note.c): what is in ID.json.
 */
enum {
	NOTE_SCHEMA = 1,
};

/* What its server speaks. */
#define NOTE_SMTP "smtp"
#define NOTE_LMTP "lmtp"

json_t *note_new(const char *id, time_t time, const struct quarantine_note *note,
		 uint64_t size) MUST_CHECK;
void note_set_hash(json_t *note, const unsigned char *hash, size_t size);
/* Its text, ASCII only, with a newline; to be freed. */
char *note_text(const json_t *note) MUST_CHECK;

/* Reads one from FD; NULL: WHY. */
json_t *note_read(int fd, char *why, size_t why_size) MUST_CHECK;

/* What it says; "" or 0 if that is not there or otherwise. */
const char *note_string(const json_t *note, const char *key);
int64_t note_number(const json_t *note, const char *key);
/* "ADDRESS" of the client or server; its port. */
const char *note_host(const json_t *note, const char *peer);
int note_port(const json_t *note, const char *peer);

/*
 * Releasing (quarantine_release.c): a client of SMTP that waits for each reply.
 */
struct release {
	const char *host;
	int port;
	const char *name;	/* ours, for EHLO */
	const json_t *note;
	int message;		/* descriptor of it */
	uint64_t size;
	bool lmtp;		/* the server is thought to speak LMTP */
};

/* Says what became of it; returns the exit code. */
int release_to_server(const struct release *release);

#endif
