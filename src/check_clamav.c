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
};

static void
scan_free(struct clamav_scan *scan)
{
	stats_add(STAT_scans_now, -1);
	cl_engine_free(scan->engine);
	spool_drop(scan->message);
	free(scan);
}

static void
scan_done(struct work *work)
{
	struct clamav_scan *scan = (struct clamav_scan *)work;

	if (scan->run) {
		*scan->run->found = scan->found;
		check_answer(scan->run);
	}
	scan_free(scan);
}

static void
clamav_start(struct check_run *run)
{
	struct clamav *clamav = run->state;
	struct spool *message = run->evidence->message;
	struct clamav_scan *scan;

	if (spool_message_size(message) > (uint64_t)run->cfg->scan_max_size) {
		run->found->kind = FOUND_UNSCANNABLE;
		strcpy(run->found->name, "too big");
		check_answer(run);
		return;
	}
	stats_add(STAT_scans_now, 1);
	scan = xcalloc(1, sizeof *scan);
	scan->work.run = clamav_scan_run;
	scan->work.done = scan_done;
	scan->run = run;
	scan->clamav = clamav;
	cl_engine_addref(clamav->engine);
	scan->engine = clamav->engine;
	scan->message = spool_hold(message);
	/* In case that it never runs. */
	scan->found = (struct finding){ .kind = FOUND_FAILED,
		                        .check = run->rule->name,
		                        .name = "shutting down" };
	run->job = scan;
	workers_start(clamav->pool, &scan->work);
}

/* A scan that runs is told to stop, and ends without anyone to tell. */
static void
clamav_cancel(struct check_run *run)
{
	struct clamav *clamav = run->state;
	struct clamav_scan *scan = run->job;

	scan->run = NULL;
	atomic_store(&scan->cancelled, true);
	if (workers_cancel(clamav->pool, &scan->work))
		scan_free(scan);
}

static bool
clamav_wanted(const struct config *cfg)
{
	return cfg->antivirus_type == ANTIVIRUS_LIBCLAMAV;
}

static struct cl_scan_options
options_for(const struct config *cfg)
{
	struct cl_scan_options options = {
		.parse = ~0U, /* whatever it knows */
		.heuristic = CL_SCAN_HEURISTIC_EXCEEDS_MAX,
	};

	if (cfg->scan_heuristics)
		options.general |= CL_SCAN_GENERAL_HEURISTICS;
	if (cfg->scan_encrypted)
		options.heuristic |= CL_SCAN_HEURISTIC_ENCRYPTED_ARCHIVE |
		                     CL_SCAN_HEURISTIC_ENCRYPTED_DOC;
	return options;
}

static cl_error_t
set_limits(struct cl_engine *engine, const struct config *cfg, const char *directory)
{
	const struct {
		enum cl_engine_field field;
		long long value;
	} limits[] = {
		/* One file may be as large as all: what exceeds the first of these two is
		 * cut or left out without a word when it is in a zip. */
		{ CL_ENGINE_MAX_FILESIZE, cfg->scan_max_unpacked },
		{ CL_ENGINE_MAX_SCANSIZE, cfg->scan_max_unpacked },
		{ CL_ENGINE_MAX_FILES, cfg->scan_max_files },
		{ CL_ENGINE_MAX_RECURSION, cfg->scan_max_depth },
		{ CL_ENGINE_MAX_SCANTIME, cfg->timeout_scanner * 1000 },
		{ CL_ENGINE_DISABLE_CACHE, 1 },
	};
	cl_error_t code = cl_engine_set_str(engine, CL_ENGINE_TMPDIR, directory);

	for (size_t i = 0; code == CL_SUCCESS && i < sizeof limits / sizeof limits[0];
	     i++)
		code = cl_engine_set_num(engine, limits[i].field, limits[i].value);
	return code;
}

static const char *
signatures(const struct config *cfg)
{
	return cfg->signature_path[0] != '\0' ? cfg->signature_path : cl_retdbdir();
}

static void
say_no_signatures(const struct config *cfg, const char *words, char *why,
                  size_t why_size)
{
	const char *complaint = clamav_complaint();

	snprintf(
		why, why_size,
		"signature_path: no virus signatures from %s: %s%s%s; run freshclam to "
		"get them (Debian: apt install clamav-freshclam), or set "
		"signature_path "
		"to where they are",
		signatures(cfg), words, complaint[0] != '\0' ? ": " : "", complaint);
}

/* Fills a new engine; false with WHY. */
static bool
fill_engine(struct cl_engine *engine, const struct config *cfg, const char *directory,
            char *why, size_t why_size)
{
	unsigned flags = CL_DB_BYTECODE;
	unsigned count = 0;
	struct stat file;
	cl_error_t code;

	if (cfg->scan_heuristics)
		flags |= CL_DB_PHISHING | CL_DB_PHISHING_URLS;
	if (stat(signatures(cfg), &file) < 0) {
		say_no_signatures(cfg, strerror(errno), why, why_size);
		return false;
	}
	code = set_limits(engine, cfg, directory);
	if (code == CL_SUCCESS)
		code = cl_load(signatures(cfg), engine, &count, flags);
	if (code == CL_SUCCESS && count > 0)
		code = cl_engine_compile(engine);
	if (code != CL_SUCCESS || count == 0) {
		say_no_signatures(cfg,
		                  count == 0 && code == CL_SUCCESS ? "there is none"
		                                                   : cl_strerror(code),
		                  why, why_size);
		return false;
	}
	clamav_set_callbacks(engine);
	log_event(NULL, LOG_SCANNER_EVENT, log_text("text", "signatures are loaded"),
	          log_number("signatures", count), log_text("from", signatures(cfg)),
	          log_text("libclamav", cl_retver()));
	return true;
}

static struct cl_engine *
load_engine(const struct config *cfg, const char *directory, char *why, size_t why_size)
{
	struct cl_engine *engine;

	clamav_complaint();
	engine = cl_engine_new();
	if (!engine) {
		snprintf(why, why_size, "cannot make an engine of libclamav: %s",
		         clamav_complaint());
		return NULL;
	}
	if (fill_engine(engine, cfg, directory, why, why_size))
		return engine;
	cl_engine_free(engine);
	return NULL;
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

static const char *
temporary_directory(const struct config *cfg)
{
	const char *from_environment = getenv("TMPDIR");

	if (cfg->scan_path[0] != '\0')
		return cfg->scan_path;
	if (from_environment && from_environment[0] != '\0')
		return from_environment;
	return "/tmp";
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

	workers_free(clamav->pool);
	if (clamav->engine)
		cl_engine_free(clamav->engine);
	free(clamav->directory);
	free(clamav);
}

static bool
say_room(const char *directory, char *why, size_t why_size)
{
	if (clamav_has_room(directory, CLAMAV_ROOM_LEAST))
		return true;
	snprintf(why, why_size,
	         "scan_path: no temporary files in %s: %s; libclamav needs a "
	         "directory that it may write to, with some space",
	         directory, strerror(errno));
	return false;
}

static struct clamav *
clamav_new(const struct config *cfg)
{
	struct clamav *clamav = xcalloc(1, sizeof *clamav);

	clamav->directory = xstrdup(temporary_directory(cfg));
	clamav->options = options_for(cfg);
	clamav->timeout_us = (unsigned)cfg->timeout_scanner * 1000000;
	clamav->threads = cfg->scan_workers > 0 ? (unsigned)cfg->scan_workers
	                                        : processors();
	return clamav;
}

static void *
clamav_load(const struct config *cfg, char *why, size_t why_size)
{
	struct clamav *clamav = clamav_new(cfg);
	char *directory = xasprintf("%s%s", cfg->chroot_path, clamav->directory);

	if (say_room(directory, why, why_size) && init_library(why, why_size))
		clamav->engine = load_engine(cfg, directory, why, why_size);
	free(directory);
	if (clamav->engine)
		return clamav;
	clamav_unload(clamav);
	return NULL;
}

/* The engine is told by which name it finds the directory from now on. */
static bool
clamav_ready(void *state, char *why, size_t why_size)
{
	struct clamav *clamav = state;
	cl_error_t code;

	if (!say_room(clamav->directory, why, why_size))
		return false;
	code = cl_engine_set_str(clamav->engine, CL_ENGINE_TMPDIR, clamav->directory);
	if (code != CL_SUCCESS)
		snprintf(why, why_size, "scan_path: %s", cl_strerror(code));
	return code == CL_SUCCESS;
}

static bool
clamav_begin(void *state, struct event_base *base)
{
	struct clamav *clamav = state;

	clamav->pool = workers_new(base, clamav->threads, STACK_SIZE);
	return clamav->pool;
}

const struct check_rule check_clamav = {
	.name = "clamav",
	.stages = STAGE_MESSAGE,
	.wanted = clamav_wanted,
	.load = clamav_load,
	.ready = clamav_ready,
	.begin = clamav_begin,
	.unload = clamav_unload,
	.start = clamav_start,
	.cancel = clamav_cancel,
};
