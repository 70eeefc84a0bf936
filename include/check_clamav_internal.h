#ifndef CHECK_CLAMAV_INTERNAL_H
#define CHECK_CLAMAV_INTERNAL_H

#include "check_internal.h"
#include "workers.h"

#include <clamav.h>
#include <stdatomic.h>

/*
 * libclamav: check_clamav.c is the engine's life and the check in the loop;
 * check_clamav_scan.c is what happens to one message in a thread.
 */
struct clamav {
	struct cl_engine *engine;
	struct cl_scan_options options;
	unsigned timeout_us;
	char *directory; /* of temporary files */
	unsigned threads;
	struct workers *pool;
	atomic_uint disk_full; /* how often a scan has seen that */
};

/* One message, looked at by a thread. */
struct clamav_scan {
	struct work work;
	struct check_run *run; /* NULL: nobody waits for it.  The loop's */
	struct clamav *clamav;
	struct cl_engine *engine; /* held; changes in the loop's thread only */
	struct spool *message;    /* held; likewise */
	atomic_bool cancelled;    /* stop as soon as you can */
	int read_error;           /* of the spool */
	struct finding found;
};

/* Room for temporary files that there must always be. */
enum {
	CLAMAV_ROOM_LEAST = 1 << 20,
};

/* True if SIZE bytes of temporary files can be had; else errno. */
bool clamav_has_room(const char *directory, uint64_t size) MUST_CHECK;

/* The job: leaves what it saw in found. */
void clamav_scan_run(struct work *work);

/* Before anything else of libclamav: its words go to the scan that they are about, or to
 * clamav_complaint(). */
void clamav_hear_words(void);

/* The first error that libclamav told this thread outside of scans, or ""; forgets it. */
const char *clamav_complaint(void);

/* To a new engine: how it tells what it finds. */
void clamav_set_callbacks(struct cl_engine *engine);

#endif
