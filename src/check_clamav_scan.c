#include "check_clamav_internal.h"

#include "clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

/*
 * One message in a thread, looked at by libclamav.
 *
 * It says "clean" of much that it did not look at; nearly all of this file is about
 * telling that apart (measured on 1.4):
 *
 *  - Whether a file is mail at all it decides by the first bytes: check_head() of check.c.
 *  - Limits and encryption are "clean", unless asked to be told as a kind of virus:
 *    the options, and clamav_note_virus().
 *  - Of two things that only look like a virus it names the last, so that an encrypted
 *    attachment hides a phishing: look_twice().
 *  - It needs temporary files.  When they fail the mail is "clean": clamav_has_room()
 *    before and after, note_words() during the scan.  A small attachment that does
 *    not fit on the disk is lost without a word (the error of fclose() is not looked
 *    at), and the disk may have room again at the end: disk_full.
 *  - A false "clean" is remembered for the next mail like it: its cache is off.  Ours
 *    keeps what nobody complained about: check_clamav_known.c.
 */

enum {
	FILES_LEAST = 64, /* that must be possible in the directory */
};

/* -- what is found ---------------------------------------------------------------- */

static void
note(struct clamav_scan *scan, enum finding_kind kind, const char *name)
{
	scan->doubtful |= kind != FOUND_VIRUS;
	clamav_note(&scan->found, kind, name);
}

/* What else counts as found, if anything does. */
static void
note_seen(struct clamav_scan *scan, const struct finding *seen)
{
	if (seen->kind != FOUND_NOTHING)
		note(scan, seen->kind, seen->name);
}

static void
note_virus(struct clamav_scan *scan, const char *virus)
{
	struct finding seen = { .kind = FOUND_NOTHING };

	clamav_note_virus(&seen, virus);
	note_seen(scan, &seen);
}

static void
note_code(struct clamav_scan *scan, cl_error_t code)
{
	struct finding seen = { .kind = FOUND_NOTHING };

	clamav_note_code(&seen, code);
	note_seen(scan, &seen);
}

static void
note_error(struct clamav_scan *scan, const char *what, int error)
{
	char words[FINDING_NAME_SIZE];

	snprintf(words, sizeof words, "%.80s: %.44s", what, strerror(error));
	note(scan, FOUND_FAILED, words);
}

/* Before each file in the mail.  No other answer ends the whole scan. */
static cl_error_t
may_go_on(int fd, const char *type, void *context)
{
	const struct clamav_scan *scan = context;

	(void)fd;
	(void)type;
	return scan && atomic_load(&scan->cancelled) ? CL_VIRUS : CL_CLEAN;
}

/* True if the words are about this machine, not about the mail. */
static bool
is_our_trouble(const char *words)
{
	static const char *const troubles[] = {
		"creat",
		"write",
		"writing",
		"temporary",
		"temp file",
		"tempfile",
		"mmap",
		"fmap()",
		"could not map",
		"allocat",
		"alloc fail",
		"memory",
		"fstat",
		"Can't stat",
		"Can't open",
		"Cannot open",
		"unlink",
		"pread",
		"not saved",
		"fullname == NULL",
		"CRITICAL",
		"No space left",
		"quota",
		"Too many open files",
		"Permission denied",
		"Read-only",
		"Input/output error",
	};

	for (size_t i = 0; i < sizeof troubles / sizeof troubles[0]; i++)
		if (strcasestr(words, troubles[i]))
			return true;
	return false;
}

/* A mail that is broken makes libclamav complain, and so does a broken disk.  The first
 * stays so however often it comes: unscannable.  The other will pass: failed. */
static void
note_complaint(struct clamav_scan *scan, enum cl_msg severity, const char *words)
{
	char name[FINDING_NAME_SIZE];

	if (strstr(words, "too large to scan")) {
		note(scan, FOUND_UNSCANNABLE, "too big unpacked");
	} else if (is_our_trouble(words)) {
		note(scan, FOUND_FAILED, words);
	} else if (severity >= CL_MSG_ERROR) {
		snprintf(name, sizeof name, "broken: %s", words);
		note(scan, FOUND_UNSCANNABLE, name);
	}
	/* These words come from write(2) alone, no name in the mail can forge them. */
	if (strncmp(words, "cli_writen: write error", 23) == 0)
		atomic_fetch_add(&scan->clamav->disk_full, 1);
}

/* What libclamav says to the thread that scans. */
static void
note_words(void *listener, enum cl_msg severity, const char *words)
{
	struct clamav_scan *scan = listener;

	if (severity < CL_MSG_WARN)
		return;
	scan->doubtful = true;
	note_complaint(scan, severity, words);
}

void
clamav_set_callbacks(struct cl_engine *engine)
{
	cl_engine_set_clcb_pre_scan(engine, may_go_on);
}

/* -- in the thread ---------------------------------------------------------------- */

/* A file of ours, to see that there can be files: there are descriptors, the directory
 * is there and may be written, the quota is not used up. */
static bool
try_file(const char *directory)
{
	static const char block[4096];
	int fd = spool_file(directory), error;

	if (fd < 0)
		return false;
	error = write(fd, block, sizeof block) == sizeof block ? 0 : errno;
	close(fd);
	errno = error;
	return error == 0;
}

bool
clamav_has_room(const char *directory, uint64_t size)
{
	struct statvfs disk;

	if (statvfs(directory, &disk) < 0)
		return false;
	/* No number of files at all: there is no limit (btrfs). */
	if ((uint64_t)disk.f_bavail * disk.f_frsize < size ||
	    (disk.f_files > 0 && disk.f_favail < FILES_LEAST)) {
		errno = ENOSPC;
		return false;
	}
	return try_file(directory);
}

static off_t
read_spool(void *handle, void *to, size_t size, off_t offset)
{
	struct clamav_scan *scan = handle;
	ssize_t got;

	got = spool_read(scan->message, to, size, (uint64_t)offset);
	if (got < 0)
		scan->read_error = errno;
	return got;
}

static cl_fmap_t *
map_message(struct clamav_scan *scan)
{
	size_t size = spool_size(scan->message);
	const char *memory = spool_memory(scan->message);

	if (memory)
		return cl_fmap_open_memory(memory, size);
	return cl_fmap_open_handle(scan, 0, size, read_spool, true);
}

/* Looks once, and leaves what it saw. */
static void
look(struct clamav_scan *scan, struct cl_scan_options options)
{
	unsigned long scanned = 0;
	const char *virus = NULL;
	cl_error_t code;
	cl_fmap_t *map;

	map = map_message(scan);
	if (!map) {
		note(scan, FOUND_FAILED, "cannot map the message");
		return;
	}
	code = cl_scanmap_callback(map, NULL, &virus, &scanned, scan->engine->engine,
	                           &options, scan);
	cl_fmap_close(map);
	if (scan->read_error)
		note_error(scan, "cannot read the message", scan->read_error);
	if (code == CL_VIRUS)
		note_virus(scan, virus);
	note_code(scan, code);
}

/*
 * Of things that only look like a virus libclamav names the last, and to it a limit is
 * one of them.  So an encrypted attachment could hide a phishing: look again without
 * the limits being told, unless it takes long (a bomb).  A real virus needs no second look, it
 * comes before all others.
 */
static void
look_twice(struct clamav_scan *scan)
{
	struct cl_scan_options options = scan->engine->recipe.options;
	int64_t begin = clock_us();

	look(scan, options);
	if (scan->found.kind != FOUND_UNSCANNABLE ||
	    !(options.general & CL_SCAN_GENERAL_HEURISTICS) ||
	    clock_us() - begin > scan->engine->recipe.timeout_s * 100000)
		return;
	options.heuristic = 0;
	look(scan, options);
}

/* Says so if there is no room, to scans that run beside this one, too. */
static bool
find_room(struct clamav_scan *scan, uint64_t size)
{
	struct tempdir *room = scan->engine->room;
	const char *path = tempdir_path(room);
	char what[FINDING_NAME_SIZE];

	if (tempdir_ready(room) && clamav_has_room(path, size))
		return true;
	scan->no_room = errno;
	snprintf(what, sizeof what, "no temporary files in %.80s",
	         scan->engine->recipe.directory);
	note_error(scan, what, scan->no_room);
	if (!clamav_has_room(path, CLAMAV_ROOM_LEAST))
		atomic_fetch_add(&scan->clamav->disk_full, 1);
	return false;
}

/* The message, with enough room for its parts around the scan, or it is not clean.  Two
 * times its size: as attachments, and once more while they are unpacked further. */
static void
scan_with_room(struct clamav_scan *scan)
{
	struct tempdir *room = scan->engine->room;
	unsigned disk_full = atomic_load(&scan->clamav->disk_full), losses;

	if (!find_room(scan, CLAMAV_ROOM_LEAST + 2 * spool_size(scan->message)))
		return;
	losses = tempdir_losses(room);
	look_twice(scan);
	if (!find_room(scan, CLAMAV_ROOM_LEAST))
		return;
	if (atomic_load(&scan->clamav->disk_full) != disk_full) {
		scan->no_room = ENOSPC;
		note(scan, FOUND_FAILED, "temporary files were short meanwhile");
	}
	if (tempdir_losses(room) != losses) {
		scan->no_room = ENOENT;
		note(scan, FOUND_FAILED, "temporary files were removed meanwhile");
	}
}

void
clamav_scan_run(struct work *work)
{
	struct clamav_scan *scan = (struct clamav_scan *)work;
	int64_t begin = clock_us();

	scan->found.kind = FOUND_NOTHING;
	scan->found.name[0] = '\0';
	scan->words.listen = note_words;
	scan->words.listener = scan;
	clamav_collect_words(&scan->words);
	if (!clamav_known_find(scan)) {
		scan_with_room(scan);
		clamav_known_keep(scan);
	}
	clamav_collect_words(NULL);
	scan->found.scan_us = (unsigned)(clock_us() - begin);
}
