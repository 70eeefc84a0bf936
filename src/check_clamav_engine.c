#include "check_clamav_internal.h"

#include "clock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* -- recipes ----------------------------------------------------------------------- */

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

void
clamav_recipe_init(struct clamav_recipe *recipe, const struct config *cfg)
{
	*recipe = (struct clamav_recipe){
		.signatures = xstrdup(cfg->signature_path[0] != '\0'
		                              ? cfg->signature_path
		                              : cl_retdbdir()),
		.directory = xstrdup(temporary_directory(cfg)),
		.options = options_for(cfg),
		.max_unpacked = cfg->scan_max_unpacked,
		.max_files = cfg->scan_max_files,
		.max_depth = cfg->scan_max_depth,
		.timeout_s = cfg->timeout_scanner,
	};
}

void
clamav_recipe_copy(struct clamav_recipe *to, const struct clamav_recipe *from)
{
	*to = *from;
	to->signatures = xstrdup(from->signatures);
	to->directory = xstrdup(from->directory);
}

bool
clamav_recipe_equal(const struct clamav_recipe *a, const struct clamav_recipe *b)
{
	return strcmp(a->signatures, b->signatures) == 0 &&
	       strcmp(a->directory, b->directory) == 0 &&
	       memcmp(&a->options, &b->options, sizeof a->options) == 0 &&
	       a->max_unpacked == b->max_unpacked && a->max_files == b->max_files &&
	       a->max_depth == b->max_depth && a->timeout_s == b->timeout_s;
}

void
clamav_recipe_fini(struct clamav_recipe *recipe)
{
	free(recipe->signatures);
	free(recipe->directory);
	*recipe = (struct clamav_recipe){ 0 };
}

/* -- building ------------------------------------------------------------------------ */

static cl_error_t
set_limits(struct cl_engine *engine, const struct clamav_recipe *recipe,
           const char *directory)
{
	const struct {
		enum cl_engine_field field;
		long long value;
	} limits[] = {
		/* One file may be as large as all: what exceeds the first of these two is
		 * cut or left out without a word when it is in a zip. */
		{ CL_ENGINE_MAX_FILESIZE, recipe->max_unpacked },
		{ CL_ENGINE_MAX_SCANSIZE, recipe->max_unpacked },
		{ CL_ENGINE_MAX_FILES, recipe->max_files },
		{ CL_ENGINE_MAX_RECURSION, recipe->max_depth },
		{ CL_ENGINE_MAX_SCANTIME, recipe->timeout_s * 1000 },
		{ CL_ENGINE_DISABLE_CACHE, 1 },
	};
	cl_error_t code = cl_engine_set_str(engine, CL_ENGINE_TMPDIR, directory);

	for (size_t i = 0; code == CL_SUCCESS && i < sizeof limits / sizeof limits[0];
	     i++)
		code = cl_engine_set_num(engine, limits[i].field, limits[i].value);
	return code;
}

static void
say_no_signatures(const char *path, const char *words,
                  const struct clamav_words *complaints, char *why, size_t why_size)
{
	char complaint[512];

	clamav_join_words(complaints, complaint, sizeof complaint);

	snprintf(
		why, why_size,
		"signature_path: no virus signatures from %s: %s%s%s; run freshclam to "
		"get them (Debian: apt install clamav-freshclam), or set "
		"signature_path to where they are",
		path, words, complaint[0] != '\0' ? ": " : "", complaint);
}

/* For each signature: true to leave it out.  So the rest of a million takes a quarter of
 * a second. */
static int
leave_out(const char *type, const char *name, unsigned custom, void *stop)
{
	(void)type;
	(void)name;
	(void)custom;
	return stop && atomic_load((const atomic_bool *)stop);
}

static cl_error_t
load(struct clamav_engine *made, const char *directory, const atomic_bool *stop)
{
	const struct clamav_recipe *recipe = &made->recipe;
	unsigned flags = CL_DB_BYTECODE;
	cl_error_t code;

	if (recipe->options.general & CL_SCAN_GENERAL_HEURISTICS)
		flags |= CL_DB_PHISHING | CL_DB_PHISHING_URLS;
	code = set_limits(made->engine, recipe, directory);
	cl_engine_set_clcb_sigload(made->engine, leave_out, (void *)(uintptr_t)stop);
	if (code == CL_SUCCESS)
		code = cl_load(recipe->signatures, made->engine, &made->signatures,
		               flags);
	cl_engine_set_clcb_sigload(made->engine, NULL, NULL);
	if (code == CL_SUCCESS && made->signatures > 0)
		code = cl_engine_compile(made->engine);
	return code;
}

/* Fills a new engine; false with WHY. */
static bool
fill(struct clamav_engine *made, const struct tempdir *room, const atomic_bool *stop,
     const struct clamav_words *words, char *why, size_t why_size)
{
	const char *path = made->recipe.signatures;
	cl_error_t code = load(made, tempdir_path(room), stop);

	if (stop && atomic_load(stop)) {
		snprintf(why, why_size, "shutting down");
		return false;
	}
	if (code != CL_SUCCESS || made->signatures == 0) {
		say_no_signatures(
			path, code == CL_SUCCESS ? "there is none" : cl_strerror(code),
			words, why, why_size);
		return false;
	}
	clamav_set_callbacks(made->engine);
	return true;
}

/* A new one, empty; NULL with WHY. */
static struct clamav_engine *
engine_new(const struct clamav_recipe *recipe, const struct clamav_words *words,
           char *why, size_t why_size)
{
	struct clamav_engine *made = xcalloc(1, sizeof *made);
	char complaint[512];

	clamav_recipe_copy(&made->recipe, recipe);
	made->references = 1;
	made->known = clamav_known_new();
	made->engine = cl_engine_new();
	if (made->engine)
		return made;
	clamav_join_words(words, complaint, sizeof complaint);
	snprintf(why, why_size, "cannot make an engine of libclamav: %s", complaint);
	clamav_engine_free(made);
	return NULL;
}

/* libclamav's words are kept by the caller. */
static struct clamav_engine *
build(const struct clamav_recipe *recipe, const struct tempdir *room,
      const atomic_bool *stop, const struct clamav_words *words, char *why,
      size_t why_size)
{
	int64_t begin = clock_ms();
	struct clamav_engine *made = engine_new(recipe, words, why, why_size);
	struct clamav_files files;

	if (!made)
		return NULL;
	/* Before it is loaded: what changes meanwhile must be seen as a change. */
	clamav_files_look(recipe->signatures, &files);
	made->print = files.print;
	if (files.why[0] != '\0' && (stop || !files.pipe)) {
		say_no_signatures(recipe->signatures, files.why, words, why, why_size);
	} else if (fill(made, room, stop, words, why, why_size)) {
		made->load_ms = (unsigned)(clock_ms() - begin);
		return made;
	}
	clamav_engine_free(made);
	return NULL;
}

struct clamav_engine *
clamav_engine_build(const struct clamav_recipe *recipe, const struct tempdir *room,
                    const atomic_bool *stop, struct clamav_words *words, char *why,
                    size_t why_size)
{
	struct clamav_engine *made;

	clamav_collect_words(words);
	made = build(recipe, room, stop, words, why, why_size);
	clamav_collect_words(NULL);
	return made;
}

struct tempdir *
clamav_make_room(const char *parent, char *why, size_t why_size)
{
	struct tempdir *room = NULL;

	if (clamav_has_room(parent, CLAMAV_ROOM_LEAST))
		room = tempdir_new(parent, "smtp-gated-scan-");
	if (!room)
		snprintf(why, why_size,
		         "scan_path: no temporary files in %s: %s; libclamav needs a "
		         "directory that it may write to, with some space",
		         parent, strerror(errno));
	return room;
}

bool
clamav_engine_settle(struct clamav_engine *engine, struct tempdir *room, char *why,
                     size_t why_size)
{
	cl_error_t code;

	assert(!engine->room);
	engine->room = room;
	code = cl_engine_set_str(engine->engine, CL_ENGINE_TMPDIR, tempdir_path(room));
	if (code != CL_SUCCESS)
		snprintf(why, why_size, "scan_path: %s", cl_strerror(code));
	return code == CL_SUCCESS;
}

void
clamav_engine_free(struct clamav_engine *engine)
{
	if (!engine)
		return;
	if (engine->engine)
		cl_engine_free(engine->engine);
	tempdir_free(engine->room);
	clamav_known_free(engine->known);
	clamav_recipe_fini(&engine->recipe);
	free(engine);
}
