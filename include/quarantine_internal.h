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
	STORE_TIME_SIZE = 16,		/* of an ID's time, with which it begins */
	STORE_NOTE_MOST = 1 << 20,	/* bytes of a note that we read */
	STORE_BLOCK = 4096,		/* files take whole ones */
};

/* The ID of a message of that TIME; ATTEMPT is 0, or tells it from others of that ID. */
void store_id(char id[static QUARANTINE_ID_SIZE], time_t time,
	      const struct log_ctx *log, unsigned attempt);

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

/* Bytes that a message of SIZE takes, with its note. */
uint64_t store_charge(uint64_t size);

/* What is in the directory, name by name and in no order: each kept message comes once or
 * twice, once for each of its files. */
struct store_entry {
	char id[QUARANTINE_ID_SIZE];
	uint64_t charge;
};

struct store_scan;

struct store_scan *store_scan_begin(int directory) MUST_CHECK;	/* NULL: errno */
/* Looks at MOST names; removes those that were never finished, an hour ago.  Calls EACH.
 * False: there are no more. */
bool store_scan_some(struct store_scan *scan, unsigned most,
		     void (*each)(const struct store_entry *entry, void *arg),
		     void *arg) MUST_CHECK;
void store_scan_end(struct store_scan *scan);

/*
 * A sorted list of them, oldest first (quarantine_list.c).
 */
struct store_list {
	struct store_entry *at;
	size_t first, end, room;	/* those from FIRST to END are there */
	uint64_t charge;		/* of all of them */
};

void store_list_add(struct store_list *list, const char *id, uint64_t charge);
void store_list_insert(struct store_list *list, const char *id, uint64_t charge);
/* Brings those that were added in order, and makes one of those that came twice. */
void store_list_sort(struct store_list *list);
const struct store_entry *store_list_oldest(const struct store_list *list);
void store_list_drop_oldest(struct store_list *list);
/* Those at the end are looked at first. */
void store_list_forget(struct store_list *list, const char *id);
void store_list_clear(struct store_list *list);

/*
 * The note (quarantine_note.c): what is in ID.json.
 */
enum {
	NOTE_SCHEMA = 1,
};

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
};

/* Says what became of it; returns the exit code. */
int release_to_server(const struct release *release);

/* Says something on stderr; returns CODE. */
int quarantine_failure(int code, const char *format, ...) PRINTF(2, 3);

#endif
