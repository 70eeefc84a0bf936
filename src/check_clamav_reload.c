#include "check_clamav_internal.h"

#include "clock.h"
#include "stats.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * When another engine is built, and what becomes of the old one.
 *
 *    RESTING -> LOOKING -> RESTING               nothing is new, or not settled yet
 *               LOOKING -> DRAINING -> BUILDING -> RESTING
 *
 * Looking, building, and the end of an engine are jobs in a thread of its own: each may
 * take long (a directory that hangs, a million signatures).  Whoever asks meanwhile is
 * heard at the end.  There are two engines at most: DRAINING waits until all others are
 * gone; with in_place it gives up the one in force, too.
 */

enum {
	STACK_SIZE = 16 << 20, /* as much as a scan has; untouched pages cost nothing */
	TRIES_APART_MOST = 10, /* ticks */
};

struct clamav_pace clamav_pace = {
	.settle_ms = 2000,
	.patience_ms = 30000,
	.tick_ms = 60000,
};

struct look {
	struct work work;
	struct clamav_reload *reload;
	char *path;
	bool asked, retry;
	struct clamav_aim aim;
	struct clamav_files files;
};

struct build {
	struct work work;
	struct clamav_reload *reload;
	struct clamav_recipe recipe;
	struct clamav_engine *made;
	struct clamav_words words;
	char why[CLAMAV_WHY_SIZE];
};

struct clamav_reload {
	struct clamav *clamav;
	struct workers *builder;
	struct clamav_watch *watch;
	struct event *soon; /* a change was heard of: let it settle */
	struct event *tick;
	enum { RESTING, LOOKING, DRAINING, BUILDING } phase;
	struct look look;
	struct build build;
	unsigned leaving; /* engines that are not in force, and not gone */
	atomic_bool closing;

	bool again;     /* somebody asked while we were busy */
	bool asked;     /* it was an administrator: now, and also what failed before */
	bool retry;     /* it is time to try again what failed before */
	bool unsettled; /* files were seen to be young; since then: */
	int64_t unsettled_ms;

	uint64_t known; /* the files, and below the recipe, of the last try */
	struct clamav_recipe known_recipe;
	bool failed; /* it did */
	unsigned ticks_to_try, ticks_apart;
	bool deaf; /* and it was said */
};

static void start_look(struct clamav_reload *reload);
static void build_if_alone(struct clamav_reload *reload);

/* -- the end of engines -------------------------------------------------------------- */

static void
run_end(struct work *work)
{
	struct clamav_engine *engine = (struct clamav_engine *)work;

	cl_engine_free(engine->engine);
	engine->engine = NULL;
	tempdir_free(engine->room);
	engine->room = NULL;
	malloc_trim(0);
}

static void
end_done(struct work *work)
{
	struct clamav_engine *engine = (struct clamav_engine *)work;
	struct clamav_reload *reload = engine->clamav->reload;

	clamav_engine_free(engine);
	reload->leaving--;
	build_if_alone(reload);
}

void
clamav_engine_drop(struct clamav_engine *engine)
{
	struct clamav_reload *reload = engine->clamav->reload;

	assert(engine->references > 0);
	if (--engine->references > 0)
		return;
	if (!reload || atomic_load(&reload->closing)) {
		clamav_engine_free(engine);
		return;
	}
	engine->work.run = run_end;
	engine->work.done = end_done;
	workers_start(reload->builder, &engine->work);
}

/* The engine in force is so no longer. */
static void
give_up(struct clamav_reload *reload)
{
	struct clamav_engine *old = reload->clamav->engine;

	if (!old)
		return;
	reload->clamav->engine = NULL;
	reload->leaving++;
	clamav_engine_drop(old);
}

/* -- how it went ------------------------------------------------------------------------ */

static void
rest(struct clamav_reload *reload)
{
	reload->phase = RESTING;
	if (reload->again)
		start_look(reload);
}

/* The next try at a change, and after a while: one minute, two, four... but when
 * nothing can be scanned, each minute. */
static void
remember_failure(struct clamav_reload *reload)
{
	unsigned apart = reload->failed ? 2 * reload->ticks_apart : 1;

	if (!reload->clamav->engine)
		apart = 1;
	if (apart > TRIES_APART_MOST)
		apart = TRIES_APART_MOST;
	reload->failed = true;
	reload->ticks_apart = reload->ticks_to_try = apart;
	stats_add(STAT_signature_reloads_failed, 1);
	stats_set(STAT_signatures_stale, 1);
}

static void
say_failure(const struct clamav_reload *reload, const char *why)
{
	struct log_field next = log_number("next_try_s", (int64_t)reload->ticks_to_try *
	                                                         clamav_pace.tick_ms /
	                                                         1000);

	if (reload->clamav->engine)
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "the virus signatures stay as they were"),
		          log_text("why", why),
		          log_number("signatures", reload->clamav->engine->signatures),
		          next);
	else
		log_event(NULL, LOG_NO_SIGNATURES_EVENT,
		          log_text("text", "no mail can be scanned, on_scan_failed "
		                           "decides what becomes of it"),
		          log_text("why", why), next);
}

static void
note_failure(struct clamav_reload *reload, const char *why)
{
	remember_failure(reload);
	say_failure(reload, why);
	clamav_begin_scans(reload->clamav);
	rest(reload);
}

static void
remember_try(struct clamav_reload *reload, const struct clamav_recipe *recipe,
             uint64_t print)
{
	clamav_recipe_fini(&reload->known_recipe);
	clamav_recipe_copy(&reload->known_recipe, recipe);
	reload->known = print;
}

static void
note_success(struct clamav_reload *reload)
{
	reload->failed = false;
	reload->ticks_to_try = 0;
	stats_set(STAT_signatures_stale, 0);
}

/* -- building ------------------------------------------------------------------------------ */

static void
drop_made(struct build *build)
{
	clamav_engine_free(build->made);
	build->made = NULL;
}

static void
run_build(struct work *work)
{
	struct build *build = (struct build *)work;
	struct tempdir *room;

	room = clamav_make_room(build->recipe.directory, build->why, sizeof build->why);
	if (room)
		build->made = clamav_engine_build(
			&build->recipe, room, &build->reload->closing, &build->words,
			build->why, sizeof build->why);
	if (!build->made)
		tempdir_free(room);
	else if (!clamav_engine_settle(build->made, room, build->why,
	                               sizeof build->why))
		drop_made(build);
	if (!build->made)
		malloc_trim(0);
}

/* Scans under way end with the engine they have; all others have the new one. */
static void
put_in_force(struct clamav_reload *reload, struct clamav_engine *made)
{
	struct clamav *clamav = reload->clamav;
	struct log_field before = log_number("before", stats_get(STAT_signatures));

	clamav_hold_scans(clamav);
	give_up(reload);
	made->clamav = clamav;
	clamav->engine = made;
	clamav_known_limit(made->known, clamav->known_most);
	clamav_begin_scans(clamav);
	stats_set(STAT_signatures, made->signatures);
	stats_set(STAT_signature_load_ms, made->load_ms);
	stats_set(STAT_scan_cache_entries, 0);
	stats_add(STAT_signature_reloads, 1);
	log_event(NULL, LOG_SIGNATURES_EVENT, log_text("text", "loaded again"),
	          log_number("signatures", made->signatures), before,
	          log_number("ms", made->load_ms),
	          log_text("from", made->recipe.signatures),
	          log_text("libclamav", cl_retver()));
}

static void
build_done(struct work *work)
{
	struct build *build = (struct build *)work;
	struct clamav_reload *reload = build->reload;
	struct clamav_engine *made = build->made;

	clamav_recipe_fini(&build->recipe);
	stats_set(STAT_signatures_loading, 0);
	if (atomic_load(&reload->closing)) {
		clamav_engine_free(made);
		return;
	}
	reload->phase = RESTING;
	if (!made) {
		note_failure(reload, build->why);
		return;
	}
	clamav_log_words(&build->words, NULL);
	remember_try(reload, &made->recipe, made->print);
	note_success(reload);
	put_in_force(reload, made);
	rest(reload);
}

static void
build_if_alone(struct clamav_reload *reload)
{
	struct build *build = &reload->build;

	if (reload->phase != DRAINING || reload->leaving > 0 ||
	    atomic_load(&reload->closing))
		return;
	reload->phase = BUILDING;
	build->work.run = run_build;
	build->work.done = build_done;
	build->reload = reload;
	build->made = NULL;
	build->words = (struct clamav_words){ 0 };
	build->why[0] = '\0';
	clamav_recipe_copy(&build->recipe, &reload->clamav->recipe);
	workers_start(reload->builder, &build->work);
}

static void
start_build(struct clamav_reload *reload)
{
	struct clamav *clamav = reload->clamav;

	log_event(NULL, LOG_SIGNATURES_EVENT,
	          log_text("text",
	                   clamav->in_place
	                           ? "loading others, nothing is scanned meanwhile"
	                           : "loading others beside those in force"),
	          log_text("from", clamav->recipe.signatures));
	stats_set(STAT_signatures_loading, 1);
	reload->phase = DRAINING;
	if (clamav->in_place) {
		clamav_hold_scans(clamav);
		give_up(reload);
		stats_set(STAT_signatures, 0);
	}
	build_if_alone(reload);
}

/* -- looking -------------------------------------------------------------------------------- */

static void
run_look(struct work *work)
{
	struct look *look = (struct look *)work;

	/* In this order: what changes behind our back is told. */
	clamav_watch_aim(&look->aim, look->path);
	clamav_files_look(look->path, &look->files);
}

/* Once, until it works again. */
static void
say_deaf(struct clamav_reload *reload, int error)
{
	if (error != 0 && !reload->deaf)
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text",
		                   "changed signatures are seen after a minute, not at "
		                   "once: no inotify (sysctl fs.inotify, descriptors)"),
		          log_error(error));
	reload->deaf = error != 0;
}

static struct timeval
interval(unsigned ms)
{
	return (struct timeval){ .tv_sec = ms / 1000,
		                 .tv_usec = (suseconds_t)(ms % 1000) * 1000 };
}

static void
look_soon(struct clamav_reload *reload)
{
	struct timeval settle = interval(clamav_pace.settle_ms);

	event_add(reload->soon, &settle);
}

/* Files that are being written are let be, but not for ever. */
static bool
is_settled(struct clamav_reload *reload, const struct clamav_files *files)
{
	bool young = files->quiet_ms < clamav_pace.settle_ms;

	if (young && !reload->unsettled)
		reload->unsettled_ms = clock_ms();
	reload->unsettled = young &&
	                    clock_ms() - reload->unsettled_ms < clamav_pace.patience_ms;
	return !reload->unsettled;
}

/* What is in force is what there should be. */
static bool
is_in_force(const struct clamav_reload *reload, const struct clamav_files *files)
{
	const struct clamav_engine *engine = reload->clamav->engine;

	return engine && engine->print == files->print &&
	       clamav_recipe_equal(&engine->recipe, &reload->clamav->recipe);
}

static void
nothing_to_do(struct clamav_reload *reload, uint64_t print)
{
	if (reload->failed)
		log_event(NULL, LOG_SIGNATURES_EVENT,
		          log_text("text", "they are again what is loaded"),
		          log_text("from", reload->clamav->recipe.signatures));
	note_success(reload);
	remember_try(reload, &reload->clamav->recipe, print);
}

/* True if another engine is to be built; then, and if one would have to be but cannot, it
 * is remembered. */
static bool
is_to_be_built(struct clamav_reload *reload, const struct look *look)
{
	const struct clamav_recipe *recipe = &reload->clamav->recipe;
	const struct clamav_files *files = &look->files;
	bool same = clamav_recipe_equal(&reload->known_recipe, recipe);

	if (is_in_force(reload, files)) {
		nothing_to_do(reload, files->print);
		return false;
	}
	if (same && reload->known == files->print)
		return reload->failed && (look->asked || look->retry);
	if (files->unsure || (same && !look->asked && !is_settled(reload, files))) {
		look_soon(reload);
		return false;
	}
	return true;
}

static void
refuse_files(struct clamav_reload *reload, const struct clamav_files *files)
{
	const char *path = reload->clamav->recipe.signatures;
	char why[CLAMAV_WHY_SIZE];

	clamav_say_files(files, path, reload->clamav->chrooted, why, sizeof why);
	note_failure(reload, why);
}

static void
look_done(struct work *work)
{
	struct look *look = (struct look *)work;
	struct clamav_reload *reload = look->reload;
	bool build;

	if (!atomic_load(&reload->closing))
		clamav_watch_aimed(reload->watch, &look->aim, look->path);
	free(look->path);
	look->path = NULL;
	if (atomic_load(&reload->closing))
		return;
	say_deaf(reload, look->aim.error);
	reload->phase = RESTING;
	build = is_to_be_built(reload, look);
	if (build)
		remember_try(reload, &reload->clamav->recipe, look->files.print);
	if (build && look->files.why[0] != '\0')
		refuse_files(reload, &look->files);
	else if (build)
		start_build(reload);
	else
		rest(reload);
}

static void
start_look(struct clamav_reload *reload)
{
	struct look *look = &reload->look;

	if (reload->phase != RESTING) {
		reload->again = true;
		return;
	}
	reload->phase = LOOKING;
	event_del(reload->soon);
	look->work.run = run_look;
	look->work.done = look_done;
	look->reload = reload;
	look->path = xstrdup(reload->clamav->recipe.signatures);
	look->asked = reload->asked;
	look->retry = reload->retry;
	look->aim = clamav_watch_listen(reload->watch);
	reload->again = reload->asked = reload->retry = false;
	workers_start(reload->builder, &look->work);
}

/* -- who asks ---------------------------------------------------------------------------- */

static void
on_changed(void *arg)
{
	look_soon(arg);
}

static void
on_soon(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	start_look(arg);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct clamav_reload *reload = arg;

	(void)fd;
	(void)what;
	if (reload->failed && reload->ticks_to_try > 0 && --reload->ticks_to_try == 0)
		reload->retry = true;
	start_look(reload);
}

void
clamav_reload_ask(struct clamav_reload *reload)
{
	reload->asked = true;
	start_look(reload);
}

bool
clamav_reload_is_loading(const struct clamav_reload *reload)
{
	return reload->phase == DRAINING || reload->phase == BUILDING;
}

/* -- its own life --------------------------------------------------------------------------- */

static void
make_events(struct clamav_reload *reload, struct event_base *base)
{
	struct timeval tick = interval(clamav_pace.tick_ms);

	reload->watch = clamav_watch_new(base, on_changed, reload);
	reload->soon = evtimer_new(base, on_soon, reload);
	reload->tick = event_new(base, -1, EV_PERSIST, on_tick, reload);
	if (!reload->soon || !reload->tick || event_add(reload->tick, &tick) < 0)
		abort(); /* there is no memory: see xalloc.h */
}

struct clamav_reload *
clamav_reload_new(struct clamav *clamav, struct event_base *base, uint64_t known)
{
	struct clamav_reload *reload = xcalloc(1, sizeof *reload);

	reload->clamav = clamav;
	reload->builder = workers_new(base, "sign", 1, STACK_SIZE);
	if (!reload->builder) {
		free(reload);
		return NULL;
	}
	remember_try(reload, &clamav->recipe, known);
	make_events(reload, base);
	look_soon(reload);
	return reload;
}

void
clamav_reload_free(struct clamav_reload *reload)
{
	if (!reload)
		return;
	atomic_store(&reload->closing, true);
	workers_free(reload->builder);
	clamav_watch_free(reload->watch);
	event_free(reload->soon);
	event_free(reload->tick);
	clamav_recipe_fini(&reload->known_recipe);
	free(reload);
}
