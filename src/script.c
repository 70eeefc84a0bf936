#include "script_internal.h"

#include "clock.h"
#include "stats.h"
#include "workers.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	GRACE_S = 5,       /* from being told to end to being killed */
	PATIENCE_S = 5,    /* with those that run when the daemon ends */
	DROPPED_S = 60,    /* between two lines about dropped calls */
	FLOOD_US = 100000, /* between two looks at what nobody will read */
	STACK_SIZE = 256 * 1024,
};

/* One call, from its beginning to its end. */
struct run {
	struct work work; /* first: the two are cast into each other */
	struct scripts *scripts;
	struct script_call *call;
	TAILQ_ENTRY(run) link;
	int error; /* that kept it from being started; from the thread, as is child */
	struct script_child child;
	struct event *ended, *deadline, *said, *rested; /* NULL: not started yet */
	int64_t began_ms;
	bool told_to_end;
	struct script_words words;
};

TAILQ_HEAD(run_list, run);

struct scripts {
	struct event_base *base;
	struct script_limits limits;
	struct workers *starter; /* NULL until there is something to start */
	TAILQ_HEAD(, script_call) waiting;
	struct run_list running;
	unsigned waiting_count, running_count;
	struct event *silence; /* pending: a line about dropped calls was just logged */
	unsigned dropped;      /* since then */
	bool closing;
	void (*idle)(void *arg); /* NULL: nobody wants to know */
	void *arg;
};

static void start_next(struct scripts *scripts);

/* ---- those that are too many ----------------------------------------------------- */

static void
log_dropped(struct scripts *scripts)
{
	log_event(
		NULL, LOG_SCRIPT_FAILED_EVENT,
		log_text("text",
	                 scripts->closing
	                         ? "not run: the daemon ends"
	                         : "not run: script_max of them run, and script_queue "
	                           "wait; make them faster, or raise these"),
		log_number("dropped", scripts->dropped),
		log_number("script_max", scripts->limits.most),
		log_number("script_queue", scripts->limits.waiting));
	scripts->dropped = 0;
}

static void
on_silence_over(evutil_socket_t fd, short what, void *arg)
{
	struct scripts *scripts = arg;

	(void)fd, (void)what;
	if (scripts->dropped == 0)
		return;
	log_dropped(scripts);
	event_add(scripts->silence, &(struct timeval){ .tv_sec = DROPPED_S });
}

static void
drop(struct scripts *scripts, struct script_call *call)
{
	stats_add(STAT_scripts_dropped, 1);
	scripts->dropped++;
	script_call_free(call);
	if (scripts->closing || evtimer_pending(scripts->silence, NULL))
		return;
	log_dropped(scripts);
	event_add(scripts->silence, &(struct timeval){ .tv_sec = DROPPED_S });
}

/* ---- the end of one -------------------------------------------------------------- */

static void
free_event(struct event *event)
{
	if (event)
		event_free(event);
}

static void
run_free(struct run *run)
{
	struct scripts *scripts = run->scripts;

	TAILQ_REMOVE(&scripts->running, run, link);
	scripts->running_count--;
	stats_set(STAT_scripts_now, scripts->running_count);
	free_event(run->ended);
	free_event(run->deadline);
	free_event(run->said);
	free_event(run->rested);
	if (run->child.pidfd >= 0)
		close(run->child.pidfd);
	if (run->child.output >= 0)
		close(run->child.output);
	script_call_free(run->call);
	free(run);
}

static void
not_started(struct run *run)
{
	const struct script_call *call = run->call;

	log_event(&call->log, LOG_SCRIPT_FAILED_EVENT,
	          log_text("script", call->arguments[0]),
	          log_text("finding", call->finding), log_addr("client", &call->client),
	          log_error(run->error),
	          log_text("text", script_hint_start(run->error)));
	stats_add(STAT_scripts_failed, 1);
	run_free(run);
}

static void
log_end(const struct run *run, const siginfo_t *end)
{
	const struct script_call *call = run->call;
	bool exited = end->si_code == CLD_EXITED;
	bool good = exited && end->si_status == 0 && !run->told_to_end;
	const char *last;
	size_t last_size = good ? 0 : script_words_last(&run->words, &last);

	log_event(
		&call->log, good ? LOG_SCRIPT_EVENT : LOG_SCRIPT_FAILED_EVENT,
		log_text("script", call->arguments[0]),
		log_text("finding", call->finding), log_addr("client", &call->client),
		log_number(exited ? "exit" : "signal", end->si_status),
		log_number("ms", clock_ms() - run->began_ms),
		log_bytes("said", last_size > 0 ? last : NULL, last_size),
		log_text("text", good ? NULL : script_hint_end(end, run->told_to_end)));
	if (!good)
		stats_add(STAT_scripts_failed, 1);
}

/* What it says from now on, it says to nobody. */
static void
read_rest(struct run *run)
{
	size_t before;

	do
		before = run->words.used;
	while (!script_words_are_full(&run->words) &&
	       script_words_read(&run->words, run->child.output) &&
	       run->words.used > before);
}

/* While it has not been waited for, nobody else can be the group of its number. */
static void
on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct run *run = arg;
	struct scripts *scripts = run->scripts;
	id_t child = (id_t)run->child.pid;
	siginfo_t end = { 0 };
	int result;

	(void)fd, (void)what;
	result = waitid(P_PID, child, &end, WEXITED | WNOWAIT | WNOHANG);
	assert(result == 0); /* it is ours, and nobody else waits for it */
	if (end.si_pid == 0)
		return;
	kill(-run->child.pid, SIGKILL);
	waitid(P_PID, child, &end, WEXITED);
	read_rest(run);
	script_words_log(&run->words, run->call);
	log_end(run, &end);
	run_free(run);
	start_next(scripts);
}

/* ---- while it runs --------------------------------------------------------------- */

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct run *run = arg;

	(void)fd, (void)what;
	kill(-run->child.pid, run->told_to_end ? SIGKILL : SIGTERM);
	run->told_to_end = true;
	event_add(run->deadline, &(struct timeval){ .tv_sec = GRACE_S });
}

/* A flood that nobody will read must not keep the loop busy. */
static void
on_said(evutil_socket_t fd, short what, void *arg)
{
	struct run *run = arg;

	(void)what;
	if (!script_words_read(&run->words, fd)) {
		event_del(run->said);
		return;
	}
	if (!script_words_are_full(&run->words))
		return;
	event_del(run->said);
	event_add(run->rested, &(struct timeval){ .tv_usec = FLOOD_US });
}

static void
on_rested(evutil_socket_t fd, short what, void *arg)
{
	struct run *run = arg;

	(void)fd, (void)what;
	event_add(run->said, NULL);
}

static void
listen_to(struct run *run)
{
	struct scripts *scripts = run->scripts;
	struct timeval limit = { .tv_sec = scripts->closing ? PATIENCE_S
		                                            : scripts->limits.seconds };

	run->ended = event_new(scripts->base, run->child.pidfd, EV_READ | EV_PERSIST,
	                       on_ended, run);
	run->said = event_new(scripts->base, run->child.output, EV_READ | EV_PERSIST,
	                      on_said, run);
	run->deadline = evtimer_new(scripts->base, on_deadline, run);
	run->rested = evtimer_new(scripts->base, on_rested, run);
	event_add(run->ended, NULL);
	event_add(run->said, NULL);
	event_add(run->deadline, &limit);
}

/* ---- the beginning --------------------------------------------------------------- */

static void
run_in_thread(struct work *work)
{
	struct run *run = (struct run *)work;

	run->error = script_start(run->call, &run->child);
}

static void
on_started(struct work *work)
{
	struct run *run = (struct run *)work;
	struct scripts *scripts = run->scripts;

	if (run->error == 0) {
		stats_add(STAT_scripts, 1);
		run->began_ms = clock_ms();
		listen_to(run);
		return;
	}
	not_started(run);
	start_next(scripts);
}

/* Only those who want scripts have a thread for them. */
static bool
have_starter(struct scripts *scripts)
{
	if (!scripts->starter)
		scripts->starter = workers_new(scripts->base, "script", 1, STACK_SIZE);
	return scripts->starter;
}

static void
start(struct scripts *scripts, struct script_call *call)
{
	struct run *run = xcalloc(1, sizeof(*run));

	run->work = (struct work){ .run = run_in_thread, .done = on_started };
	run->scripts = scripts;
	run->call = call;
	run->child = (struct script_child){ .pidfd = -1, .output = -1 };
	TAILQ_INSERT_TAIL(&scripts->running, run, link);
	stats_set(STAT_scripts_now, ++scripts->running_count);
	if (have_starter(scripts)) {
		workers_start(scripts->starter, &run->work);
		return;
	}
	run->error = errno;
	not_started(run);
}

static void
start_next(struct scripts *scripts)
{
	struct script_call *call;

	while (!scripts->closing && scripts->running_count < scripts->limits.most &&
	       (call = TAILQ_FIRST(&scripts->waiting))) {
		TAILQ_REMOVE(&scripts->waiting, call, link);
		scripts->waiting_count--;
		start(scripts, call);
	}
	if (scripts->idle && !scripts->closing && !scripts_are_busy(scripts))
		scripts->idle(scripts->arg);
}

bool
scripts_are_busy(const struct scripts *scripts)
{
	return scripts->running_count > 0 || scripts->waiting_count > 0;
}

void
scripts_on_idle(struct scripts *scripts, void (*idle)(void *arg), void *arg)
{
	scripts->idle = idle;
	scripts->arg = arg;
}

void
scripts_run(struct scripts *scripts, struct script_call *call)
{
	assert(!scripts->closing);
	if (scripts->running_count >= scripts->limits.most &&
	    scripts->waiting_count >= scripts->limits.waiting) {
		drop(scripts, call);
		return;
	}
	TAILQ_INSERT_TAIL(&scripts->waiting, call, link);
	scripts->waiting_count++;
	start_next(scripts);
}

/* ---- all of them ----------------------------------------------------------------- */

struct scripts *
scripts_new(struct event_base *base, const struct script_limits *limits)
{
	struct scripts *scripts = xcalloc(1, sizeof(*scripts));

	/* Whoever started us may ignore it; then there is nothing to wait for. */
	signal(SIGCHLD, SIG_DFL);
	scripts->base = base;
	TAILQ_INIT(&scripts->waiting);
	TAILQ_INIT(&scripts->running);
	scripts->silence = evtimer_new(base, on_silence_over, scripts);
	scripts_set(scripts, limits);
	return scripts;
}

void
scripts_set(struct scripts *scripts, const struct script_limits *limits)
{
	assert(limits->most > 0);
	scripts->limits = *limits;
	start_next(scripts);
}

static void
drop_waiting(struct scripts *scripts)
{
	struct script_call *call;

	if (scripts->dropped > 0)
		log_dropped(scripts);
	scripts->closing = true;
	while ((call = TAILQ_FIRST(&scripts->waiting))) {
		TAILQ_REMOVE(&scripts->waiting, call, link);
		drop(scripts, call);
	}
	if (scripts->dropped > 0)
		log_dropped(scripts);
}

/* It may have less time left than this. */
static void
limit_patience(struct run *run)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	int64_t taken_ms = clock_ms() - run->began_ms;

	if (run->deadline && !run->told_to_end &&
	    taken_ms < ((int64_t)run->scripts->limits.seconds - PATIENCE_S) * 1000)
		event_add(run->deadline, &patience);
}

void
scripts_free(struct scripts *scripts)
{
	struct run *run;

	if (!scripts)
		return;
	drop_waiting(scripts);
	TAILQ_FOREACH(run, &scripts->running, link)
	limit_patience(run);
	/* Each ends at the latest when it is killed. */
	while (scripts->running_count > 0 &&
	       event_base_loop(scripts->base, EVLOOP_ONCE) == 0)
		;
	workers_free(scripts->starter);
	event_free(scripts->silence);
	free(scripts);
}
