#include "check_clamav_internal.h"

#include "stats.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	/* Measured: 100 zips in each other take 1.9 MB, and nothing that was tried takes
	 * more.  Room for what was not tried; untouched pages cost nothing. */
	STACK_SIZE = 16 << 20,
	/* What a scan costs, however small the message is, in bytes of one. */
	SCAN_COST = 16384,
};

/* -- scans -------------------------------------------------------------------------- */

static void
leave_engine(struct clamav_scan *scan)
{
	struct clamav_engine *engine = scan->engine;

	scan->engine = NULL;
	if (engine)
		clamav_engine_drop(engine);
}

static void
scan_free(struct clamav_scan *scan)
{
	stats_add(STAT_scans_now, -1);
	TAILQ_REMOVE(&scan->clamav->scans, scan, link);
	leave_engine(scan);
	spool_drop(scan->message);
	free(scan->header_blank);
	free(scan);
}

/* Whether it was known; how many are, now. */
static void
count_known(const struct clamav_scan *scan)
{
	const struct clamav_engine *engine = scan->clamav->engine;

	if (!scan->has_digest)
		return;
	stats_add(scan->found.cached ? STAT_scan_cache_hits : STAT_scan_cache_misses,
	          1);
	stats_set(STAT_scan_cache_entries,
	          engine ? clamav_known_count(engine->known) : 0);
}

/* Each message that it happens to is told of as well; this is for whoever can mend it. */
static void
note_room(struct clamav_scan *scan)
{
	struct episode *no_room = &scan->clamav->no_room;
	const char *directory = scan->clamav->recipe.directory;
	uint64_t times;

	if (scan->no_room != 0 && episode_meets(no_room, scan->no_room))
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text",
		                   "scans fail: libclamav cannot have temporary files; "
		                   "see the free space and the permissions of "
		                   "scan_path"),
		          log_text("scan_path", directory), log_error(scan->no_room));
	if (scan->no_room == 0 && scan->found.kind != FOUND_FAILED &&
	    episode_ends(no_room, &times))
		log_event(NULL, LOG_RECOVERED_EVENT,
		          log_text("text", "temporary files can be had again"),
		          log_text("scan_path", directory),
		          log_number("failed", (int64_t)times));
}

static void
scan_done(struct work *work)
{
	struct clamav_scan *scan = (struct clamav_scan *)work;

	count_known(scan);
	clamav_log_words(&scan->words, &scan->log);
	note_room(scan);
	if (scan->run) {
		*scan->run->found = scan->found;
		check_answer(scan->run);
	}
	scan_free(scan);
}

/* With the engine that is in force, at last. */
static void
scan_begin(struct clamav_scan *scan)
{
	scan->engine = scan->clamav->engine;
	scan->engine->references++;
	workers_start(scan->clamav->pool, &scan->work);
}

static void
scan_fail(struct clamav_scan *scan)
{
	scan->found.kind = FOUND_FAILED;
	strcpy(scan->found.name, "no signatures");
	scan_done(&scan->work);
}

void
clamav_hold_scans(struct clamav *clamav)
{
	struct clamav_scan *scan;

	TAILQ_FOREACH(scan, &clamav->scans, link)
	if (scan->engine && workers_cancel(clamav->pool, &scan->work))
		leave_engine(scan);
}

static void
begin_or_fail(struct clamav_scan *scan)
{
	struct clamav *clamav = scan->clamav;

	if (scan->engine)
		return;
	if (clamav->engine)
		scan_begin(scan);
	else if (!clamav_reload_is_loading(clamav->reload))
		scan_fail(scan);
}

void
clamav_begin_scans(struct clamav *clamav)
{
	struct clamav_scan *scan, *next;

	for (scan = TAILQ_FIRST(&clamav->scans); scan; scan = next) {
		next = TAILQ_NEXT(scan, link);
		begin_or_fail(scan);
	}
}

static struct clamav_scan *
scan_new(struct check_run *run)
{
	struct clamav_scan *scan = xcalloc(1, sizeof *scan);

	scan->work.run = clamav_scan_run;
	scan->work.done = scan_done;
	scan->run = run;
	scan->clamav = run->state;
	scan->message = spool_hold(run->evidence->message);
	if (run->evidence->log)
		scan->log = *run->evidence->log;
	if (run->evidence->header_blank)
		scan->header_blank = xstrdup(run->evidence->header_blank);
	scan->header_at = run->evidence->header_at;
	scan->work.client = spool_client(scan->message);
	scan->work.cost = spool_size(scan->message) + SCAN_COST;
	/* In case that it never runs. */
	scan->found = (struct finding){ .kind = FOUND_FAILED,
		                        .check = run->rule->name,
		                        .name = "shutting down" };
	stats_add(STAT_scans_now, 1);
	TAILQ_INSERT_TAIL(&scan->clamav->scans, scan, link);
	return scan;
}

static void
clamav_start(struct check_run *run)
{
	struct clamav_scan *scan;

	if (check_is_too_big(run))
		return;
	scan = scan_new(run);
	run->job = scan;
	begin_or_fail(scan);
}

/* A scan that runs is told to stop, and ends without anyone to tell. */
static void
clamav_cancel(struct check_run *run)
{
	struct clamav *clamav = run->state;
	struct clamav_scan *scan = run->job;

	scan->run = NULL;
	atomic_store(&scan->cancelled, true);
	if (!scan->engine || workers_cancel(clamav->pool, &scan->work))
		scan_free(scan);
}

/* -- the engine ------------------------------------------------------------------------ */

static bool
clamav_wanted(const struct config *cfg)
{
	return config_has_libclamav(cfg);
}

static bool
init_library(char *why, size_t why_size)
{
	static bool ready;
	cl_error_t code;

	if (ready)
		return true;
	clamav_hear_words();
	code = cl_init(CL_INIT_DEFAULT);
	if (code != CL_SUCCESS) {
		snprintf(why, why_size, "cannot start libclamav: %s",
		         cl_strerror(code));
		return false;
	}
	ready = true;
	return true;
}

/* Processors that we may use, not those of the machine. */
static unsigned
processors(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof set, &set) < 0)
		return 1;
	return (unsigned)CPU_COUNT(&set);
}

static void
clamav_unload(void *state)
{
	struct clamav *clamav = state;

	clamav_reload_free(clamav->reload);
	clamav->reload = NULL; /* engines go at once from now on */
	workers_free(clamav->pool);
	if (clamav->engine)
		clamav_engine_drop(clamav->engine);
	clamav_log_last_words();
	clamav_recipe_fini(&clamav->recipe);
	free(clamav);
}

static void
use_options(struct clamav *clamav, const struct config *cfg)
{
	clamav_recipe_fini(&clamav->recipe);
	clamav_recipe_init(&clamav->recipe, cfg);
	clamav->in_place = cfg->signature_reload == SIGNATURE_RELOAD_IN_PLACE;
	clamav->known_most = (unsigned)cfg->scan_cache;
	if (clamav->engine)
		clamav_known_limit(clamav->engine->known, clamav->known_most);
}

static struct clamav *
clamav_new(const struct config *cfg)
{
	struct clamav *clamav = xcalloc(1, sizeof *clamav);

	TAILQ_INIT(&clamav->scans);
	use_options(clamav, cfg);
	clamav->chrooted = cfg->chroot_path[0] != '\0';
	clamav->threads = cfg->scan_workers > 0 ? (unsigned)cfg->scan_workers
	                                        : processors();
	return clamav;
}

static void
take_first_engine(struct clamav *clamav, struct clamav_engine *engine)
{
	engine->clamav = clamav;
	clamav->engine = engine;
	clamav_known_limit(engine->known, clamav->known_most);
	clamav->known = engine->print;
	stats_set(STAT_signatures, engine->signatures);
	stats_set(STAT_signature_load_ms, engine->load_ms);
	log_event(NULL, LOG_SIGNATURES_EVENT, log_text("text", "loaded"),
	          log_number("signatures", engine->signatures),
	          log_number("ms", engine->load_ms),
	          log_text("from", engine->recipe.signatures),
	          log_text("libclamav", cl_retver()));
}

/* The first: where we are now, temporary files are in DIRECTORY. */
static struct clamav_engine *
build_first(const struct clamav *clamav, const char *directory, char *why,
            size_t why_size)
{
	struct tempdir *room = clamav_make_room(directory, why, why_size);
	struct clamav_engine *engine = NULL;
	struct clamav_words words = { 0 };

	if (room && init_library(why, why_size))
		engine = clamav_engine_build(&clamav->recipe, room, NULL, &words, why,
		                             why_size);
	tempdir_free(room);
	if (engine)
		clamav_log_words(&words, NULL);
	return engine;
}

static void *
clamav_load(const struct config *cfg, char *why, size_t why_size)
{
	struct clamav *clamav = clamav_new(cfg);
	char *directory = xasprintf("%s%s", cfg->chroot_path, clamav->recipe.directory);
	struct clamav_engine *engine = build_first(clamav, directory, why, why_size);

	free(directory);
	if (engine) {
		take_first_engine(clamav, engine);
		return clamav;
	}
	clamav_unload(clamav);
	return NULL;
}

/* What could be read with the privileges of the start need not be so any more. */
static void
see_whether_they_can_be_read(struct clamav *clamav)
{
	const char *path = clamav->recipe.signatures;
	struct clamav_files files;
	char why[CLAMAV_WHY_SIZE];

	clamav_files_look(path, &files);
	if (files.why[0] == '\0')
		return;
	clamav->known = files.print;
	clamav_say_files(&files, path, clamav->chrooted, why, sizeof why);
	log_event(NULL, LOG_TROUBLE_EVENT,
	          log_text("text",
	                   "signatures that change cannot be loaded: those of the "
	                   "start stay"),
	          log_text("why", why));
}

/* Temporary files are where we find them, and may write, from now on. */
static bool
clamav_ready(void *state, char *why, size_t why_size)
{
	struct clamav *clamav = state;
	struct tempdir *room = clamav_make_room(clamav->recipe.directory, why,
	                                        why_size);

	if (!room || !clamav_engine_settle(clamav->engine, room, why, why_size))
		return false;
	see_whether_they_can_be_read(clamav);
	return true;
}

/* The thread that builds comes first: as long as there are few, it has an arena of the
 * heap for itself. */
static bool
clamav_begin(void *state, struct event_base *base)
{
	struct clamav *clamav = state;

	clamav->reload = clamav_reload_new(clamav, base, clamav->known);
	if (clamav->reload)
		clamav->pool = workers_new(base, "scan", clamav->threads, STACK_SIZE);
	return clamav->pool;
}

static void
clamav_reconfigure(void *state, const struct config *cfg)
{
	struct clamav *clamav = state;

	use_options(clamav, cfg);
	clamav_reload_ask(clamav->reload);
}

const struct check_rule check_clamav = {
	.name = "libclamav",
	.family = FAMILY_ANTIVIRUS,
	.stages = STAGE_MESSAGE,
	.skip = AUTH_SKIP_ANTIVIRUS,
	.reads = true,
	.wanted = clamav_wanted,
	.load = clamav_load,
	.ready = clamav_ready,
	.begin = clamav_begin,
	.reconfigure = clamav_reconfigure,
	.unload = clamav_unload,
	.start = clamav_start,
	.cancel = clamav_cancel,
};
