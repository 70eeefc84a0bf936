#include "service_internal.h"

#include "conn.h"
#include "log.h"
#include "memory.h"
#include "stats.h"
#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const int signals_wanted[SERVICE_SIGNALS] = { SIGTERM, SIGQUIT, SIGINT,
	                                             SIGHUP,  SIGUSR1, SIGUSR2 };

/* ---- stopping ---------------------------------------------------------------------- */

static void
on_drained(evutil_socket_t fd, short what, void *arg)
{
	struct service *service = arg;

	(void)fd, (void)what;
	log_event(NULL, LOG_STOP_EVENT,
	          log_text("text", "timeout_drain is over; ending those under way"),
	          log_number("sessions", sessions_count(service->sessions)));
	event_base_loopbreak(service->base);
}

/* Those that are under way by then are ended. */
static void
limit_patience(struct service *service)
{
	struct timeval patience = { .tv_sec = (time_t)service->cfg->timeout_drain };

	service->drained = evtimer_new(service->base, on_drained, service);
	event_add(service->drained, &patience);
}

/* Nobody is handed to us any more: at once where nobody would answer, but in good time for
 * others who have the same sockets. */
static void
leave_wire(struct service *service)
{
	wire_free(service->wire, service->handed || service->gave_way);
	service->wire = NULL;
}

/* Once: no new sessions, the others may end in peace.  Twice: now.  But who has given way
 * may hear TERM more than once for one stop: the service manager tells all of a service,
 * and what is left of it when its main process has ended once more. */
static void
stop(struct service *service, int number)
{
	unsigned left = sessions_count(service->sessions);
	bool again = service->stopping;

	upgrade_cancel(service);
	if (service->gave_way && number == SIGTERM) {
		if (!service->drained)
			limit_patience(service);
		return;
	}
	service->stopping = true;
	notices_stopping(service);
	if (again || left == 0) {
		event_base_loopbreak(service->base);
		return;
	}
	leave_wire(service);
	entrances_close(service);
	limit_patience(service);
	log_event(NULL, LOG_STOP_EVENT,
	          log_text("text", "no new sessions; waiting for those under way"),
	          log_number("sessions", left),
	          log_number("timeout_drain", service->cfg->timeout_drain));
}

static void on_emptied(void *arg);

void
service_give_way(struct service *service, pid_t pid)
{
	unsigned left = sessions_count(service->sessions);

	notices_pass_on(service, pid);
	pidfile_leave(service->pidfile);
	service->pidfile = NULL;
	entrances_close(service);
	log_event(NULL, LOG_STOP_EVENT,
	          log_text("text",
	                   "another process serves from now on; waiting for the "
	                   "sessions under way here"),
	          log_number("pid", pid), log_number("sessions", left));
	service->stopping = service->gave_way = true;
	leave_wire(service);
	if (left == 0)
		on_emptied(service);
}

/* Who has given way is in nobody's way: its scripts end as they would have. */
static void
on_emptied(void *arg)
{
	struct service *service = arg;

	if (service->gave_way && reactions_are_busy(service->reactions))
		return;
	if (service->stopping && sessions_count(service->sessions) == 0)
		event_base_loopbreak(service->base);
}

/* ---- reloading ----------------------------------------------------------------------- */

static void
note(const char *words, void *arg)
{
	(void)arg;
	log_event(NULL, LOG_CONFIG_EVENT, log_text("text", words));
}

static void
note_restart(const char *listener, const char *option, void *arg)
{
	(void)arg;
	log_event(NULL, LOG_CONFIG_EVENT,
	          log_text("text", "changed, but takes effect at a restart only"),
	          log_text("listener", listener), log_text("option", option));
}

static void
note_unscanned(const struct config *cfg)
{
	if (!config_any(cfg, check_looks))
		note("nothing is scanned: antivirus_type and antispam_type are off",
		     NULL);
}

static struct spool_limits
spool_limits(const struct config *cfg)
{
	return (struct spool_limits){
		.path = cfg->spool_path,
		.memory_each = (size_t)cfg->spool_memory_each,
		.memory_all = (size_t)cfg->spool_memory_all,
		.disk_all = (uint64_t)cfg->spool_disk_all,
		.prefix6 = (unsigned)cfg->host_prefix6,
	};
}

static void
reconfigure_shared(struct service *service, const struct config *fresh)
{
	struct lockfile_rules rules = lockfile_rules(fresh);

	if (service->shared)
		statestore_set_locks(service->shared, &rules);
}

/* From now on sessions are born with FRESH; those under way keep what they have. */
static void
put_in_force(struct service *service, struct config *fresh)
{
	struct spool_limits limits = spool_limits(fresh);

	config_drop(service->cfg);
	service->cfg = fresh;
	service->reloaded = time(NULL);
	config_name_host(fresh);
	service_raise_descriptors(fresh);
	sessions_reconfigure(service->sessions, fresh);
	checks_reconfigure(service->checks, fresh);
	reactions_reconfigure(service->reactions, fresh);
	memory_limit((uint64_t)fresh->memory_budget);
	reconfigure_shared(service, fresh);
	spool_budget_set(service->budget, &limits);
	service_note_scripts(fresh);
	note_unscanned(fresh);
	log_set_level(fresh->log_level);
	stats_add(STAT_reloads, 1);
}

/* NULL: WHY.  All sessions would wait for a pipe that has come in place of the file. */
static struct config *
load_again(const struct service *service, char *why, size_t why_size)
{
	struct stat info;

	if (fstatat(service->config_directory, service->config_name, &info, 0) == 0 &&
	    !S_ISREG(info.st_mode)) {
		snprintf(why, why_size, "%s: is no file", service->cfg->file);
		return NULL;
	}
	return config_load_at(service->config_directory, service->config_name,
	                      service->cfg->file, why, why_size, note, NULL);
}

static void
reload(struct service *service)
{
	struct config *fresh;
	char why[1024];

	if (!service->config_name) {
		note("there is no file to read again", NULL);
		return;
	}
	notices_reloading(service);
	fresh = load_again(service, why, sizeof(why));
	if (!fresh) {
		notices_reloaded(service, why);
		stats_add(STAT_reloads_failed, 1);
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "the configuration stays as it was"),
		          log_text("why", why));
		return;
	}
	config_keep(fresh, service->cfg, note_restart, NULL);
	put_in_force(service, fresh);
	notices_reloaded(service, NULL);
	log_event(NULL, LOG_CONFIG_EVENT, log_text("text", "read again"),
	          log_text("config", fresh->file));
}

/* ---- signals -------------------------------------------------------------------------- */

static void
write_status(struct service *service)
{
	struct status_source source = {
		.cfg = service->cfg,
		.sessions = service->sessions,
		.started = service->started,
		.reloaded = service->reloaded,
	};
	char why[512];

	if (!status_write(&source, why, sizeof(why)))
		log_event(NULL, LOG_TROUBLE_EVENT, log_text("text", why));
}

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	(void)what;
	if (number == SIGHUP)
		reload(arg);
	else if (number == SIGUSR1)
		write_status(arg);
	else if (number == SIGUSR2)
		upgrade_begin(arg);
	else
		stop(arg, (int)number);
}

/* ---- serving --------------------------------------------------------------------------- */

static void
make_sessions(struct service *service)
{
	struct spool_limits limits = spool_limits(service->cfg);
	struct session_world world = {
		.base = service->base,
		.cfg = service->cfg,
		.checks = service->checks,
		.reactions = service->reactions,
		.resolver = service->resolver,
	};

	memory_limit((uint64_t)service->cfg->memory_budget);
	world.budget = service->budget = spool_budget_new(service->base, &limits);
	service->sessions = sessions_new(&world, on_emptied, service);
	reactions_on_idle(service->reactions, on_emptied, service);
}

/* At all other times: a reload that is asked for while signatures load waits, being told
 * to end ends us; at the end nothing does any more. */
static void
hold_signals(bool starting)
{
	sigset_t held;

	sigemptyset(&held);
	for (size_t i = 0; i < SERVICE_SIGNALS; i++)
		if (!starting || signals_wanted[i] == SIGHUP ||
		    signals_wanted[i] == SIGUSR1 || signals_wanted[i] == SIGUSR2)
			sigaddset(&held, signals_wanted[i]);
	sigprocmask(SIG_SETMASK, &held, NULL);
}

static void
hear_signals(struct service *service)
{
	sigset_t none;

	for (size_t i = 0; i < SERVICE_SIGNALS; i++) {
		service->signals[i] = evsignal_new(service->base, signals_wanted[i],
		                                   on_signal, service);
		event_add(service->signals[i], NULL);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void
log_start(const struct service *service)
{
	struct config *cfg = service->cfg;
	char modes[CONFIG_WORDS_SIZE], scanners[CONFIG_WORDS_SIZE];
	char spam[CONFIG_WORDS_SIZE];
	unsigned port = entrances_main_port(service);

	log_event(NULL, LOG_START_EVENT, log_text("version", PROGRAM_VERSION),
	          log_number("pid", getpid()), log_text("config", cfg->file),
	          log_text("mode", config_words(cfg, "mode", modes)),
	          log_text("scanner", config_words(cfg, "antivirus_type", scanners)),
	          log_text("spam", config_words(cfg, "antispam_type", spam)),
	          port > 0 ? log_number("port", port) : log_text("port", NULL),
	          log_number("user", geteuid()));
	note_unscanned(cfg);
}

static bool
start(struct service *service)
{
	const struct config *cfg = service->cfg;
	char why[512];

	service->base = event_base_new();
	if (!service->base ||
	    !checks_start(service->checks, service->base, service->resolver))
		return service_fail("cannot start threads or the event loop: %s",
		                    strerror(errno));
	if (!reactions_start(service->reactions, service->base, cfg, why, sizeof(why)))
		return service_fail("%s", why);
	if (service->pidfile && !upgrade_waited_for() &&
	    !pidfile_write(service->pidfile))
		return service_fail("pidfile = \"%s\": %s", cfg->pidfile,
		                    strerror(errno));
	resolver_start(service->resolver, service->base);
	conn_set_read_size((size_t)cfg->buffer_size);
	make_sessions(service);
	entrances_listen(service);
	hear_signals(service);
	if (cfg->nft_alive && !(service->wire = wire_new(service->base, cfg)))
		return service_fail(
			"nft_alive: %s%s", strerror(errno),
			errno == EPERM ? "; give the daemon CAP_NET_ADMIN "
					 "(AmbientCapabilities= of the unit), or start "
					 "it as root"
				       : "");
	service->started = time(NULL);
	log_start(service);
	notices_serving(service);
	return true;
}

static void
log_stop(void)
{
	log_event(NULL, LOG_STOP_EVENT,
	          log_number("sessions", stats_get(STAT_connections)),
	          log_number("mails", stats_get(STAT_mails)),
	          log_number("delivered", stats_get(STAT_mails_delivered)),
	          log_number("infected", stats_get(STAT_mails_infected)),
	          log_number("unscannable", stats_get(STAT_mails_unscannable)),
	          log_number("failed", stats_get(STAT_mails_failed)),
	          log_number("lines_lost", (int64_t)log_lost()));
}

/* Nobody comes any more, sessions end at once, and scripts in a few seconds.  Each of
 * these accepts what was never made. */
static void
wind_down(struct service *service)
{
	hold_signals(false);
	upgrade_cancel(service);
	leave_wire(service);
	entrances_close(service);
	sessions_free(service->sessions);
	service->sessions = NULL;
	reactions_finish(service->reactions);
	statestore_finish(service->shared);
}

static void
tear_down(struct service *service)
{
	statestore_free(service->shared);
	checks_free(service->checks);
	reactions_free(service->reactions);
	resolver_free(service->resolver);
	spool_budget_free(service->budget);
	for (size_t i = 0; i < SERVICE_SIGNALS; i++)
		if (service->signals[i])
			event_free(service->signals[i]);
	if (service->drained)
		event_free(service->drained);
	notices_close(service);
	if (service->base)
		event_base_free(service->base);
	if (service->config_directory >= 0)
		close(service->config_directory);
	if (service->null >= 0)
		close(service->null);
	pidfile_drop(service->pidfile);
	free(service->config_name);
	free(service->config_path);
	free(service->program);
	config_drop(service->cfg);
}

/* From now on we are the daemon: the terminal is told, or the predecessor, if it is still
 * there to step back. */
static bool
take_over(struct service *service, struct background *background)
{
	bool succeeds = upgrade_waited_for();

	background_done(background, service->null);
	if (!upgrade_ready()) {
		note("the process that was to be replaced has been told to end: so do "
		     "we",
		     NULL);
		return false;
	}
	if (succeeds)
		checks_take_over(service->checks);
	if (service->shared)
		statestore_start(service->shared, service->base, service->resolver);
	if (succeeds && service->pidfile && !pidfile_write(service->pidfile))
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "the pidfile still names our predecessor"),
		          log_text("pidfile", service->cfg->pidfile), log_error(errno));
	return true;
}

int
service_run(struct config *cfg, bool foreground)
{
	struct service service = {
		.cfg = cfg, .foreground = foreground, .config_directory = -1, .null = -1
	};
	struct background background = { .report = -1 };
	bool served = false;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* limit_fsize: one message fails, not the daemon */
	hold_signals(true);
	if (service_prepare(&service) &&
	    (foreground || background_begin(&background)) && start(&service) &&
	    take_over(&service, &background)) {
		event_base_dispatch(service.base);
		wind_down(&service);
		log_stop();
		served = true;
	}
	wind_down(&service);
	tear_down(&service);
	return served ? EXIT_SUCCESS : EXIT_FAILURE;
}
