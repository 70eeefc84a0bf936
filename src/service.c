#include "service.h"

#include "check.h"
#include "conn.h"
#include "listener.h"
#include "log.h"
#include "route.h"
#include "session.h"
#include "spool.h"
#include "stats.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct service {
	struct config *cfg;
	struct event_base *base;
	struct checks *checks;
	struct spool_budget *budget;
	struct sessions *sessions;
	struct listener **listeners; /* as many as bind_address has */
	int *sockets;                /* the same, before they are listeners; else -1 */
	struct event *signals[5];
	char name[256]; /* of this host, for our replies */
	bool stopping;
};

static const int signals_wanted[] = { SIGTERM, SIGQUIT, SIGINT, SIGHUP, SIGUSR1 };

/* ---- before the fork: what can go wrong is said on the terminal ------------------ */

static bool PRINTF(1, 2) fail(const char *format, ...)
{
	va_list args;

	fputs("smtp-gated: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return false;
}

static void
name_host(struct service *service)
{
	if (strcmp(service->cfg->proxy_name, "*") != 0)
		snprintf(service->name, sizeof(service->name), "%s",
		         service->cfg->proxy_name);
	else if (gethostname(service->name, sizeof(service->name) - 1) != 0)
		strcpy(service->name, "localhost");
}

static bool
check_route(struct service *service)
{
	struct route_words why;
	char words[512];

	if (!config_resolve(service->cfg, words, sizeof(words)))
		return fail("%s", words);
	if (!route_check(service->cfg, &why))
		return fail("%s", why.text);
	return true;
}

/* Two descriptors a session, and some for everything else. */
static void
raise_descriptors(const struct config *cfg)
{
	rlim_t want = 2 * (rlim_t)cfg->max_connections + 256;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= want)
		return;
	limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
	if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == want)
		return;
	log_event(NULL, LOG_TROUBLE_EVENT,
	          log_text("text",
	                   "not enough file descriptors for max_connections: raise "
	                   "the limit (LimitNOFILE= of the unit, ulimit -n) or "
	                   "lower max_connections"),
	          log_number("max_connections", cfg->max_connections),
	          log_number("descriptors", (int64_t)limit.rlim_cur));
}

static bool
check_spool(const struct config *cfg)
{
	if (check_stages(cfg) == 0)
		return true;
	if (mkdir(cfg->spool_path, 0700) != 0 && errno != EEXIST)
		return fail("spool_path = \"%s\": cannot make this directory: %s",
		            cfg->spool_path, strerror(errno));
	if (access(cfg->spool_path, W_OK | X_OK) != 0)
		return fail("spool_path = \"%s\": cannot write there: %s",
		            cfg->spool_path, strerror(errno));
	return true;
}

static bool
bind_one(struct service *service, size_t i)
{
	const struct config *cfg = service->cfg;
	const char *text = cfg->bind_address.at[i];
	struct addr addr;

	if (!addr_parse(&addr, text, (uint16_t)cfg->port))
		return fail("bind_address: %s is no IPv4 or IPv6 address", text);
	service->sockets[i] = listener_bind(&addr, (int)cfg->connect_queue);
	if (service->sockets[i] >= 0)
		return true;
	if (errno == EAFNOSUPPORT && cfg->bind_address.count > 1) {
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text",
		                   "this kernel does not have the address family "
		                   "of one bind_address; it is left out"),
		          log_text("bind_address", text));
		return true;
	}
	return fail("cannot listen on %s port %d (bind_address, port): %s%s", text,
	            (int)cfg->port, strerror(errno),
	            errno == EADDRINUSE ? "; is another smtp-gated running?" : "");
}

static bool
bind_all(struct service *service)
{
	size_t count = service->cfg->bind_address.count;

	if (count == 0)
		return fail("bind_address is empty: there is nothing to listen on");
	service->listeners = xcalloc(count, sizeof(struct listener *));
	service->sockets = xcalloc(count, sizeof(*service->sockets));
	for (size_t i = 0; i < count; i++)
		service->sockets[i] = -1;
	for (size_t i = 0; i < count; i++)
		if (!bind_one(service, i))
			return false;
	return true;
}

static bool
prepare(struct service *service)
{
	char why[1024];

	name_host(service);
	if (!check_route(service) || !check_spool(service->cfg) || !bind_all(service))
		return false;
	service->checks = checks_new(service->cfg, why, sizeof(why));
	return service->checks ? true : fail("%s", why);
}

/* ---- background ------------------------------------------------------------------- */

static bool
write_pidfile(const char *path)
{
	FILE *file;

	if (!path[0])
		return true;
	file = fopen(path, "we");
	if (!file)
		return fail("pidfile = \"%s\": %s", path, strerror(errno));
	fprintf(file, "%d\n", (int)getpid());
	return fclose(file) == 0 ? true
	                         : fail("pidfile = \"%s\": %s", path, strerror(errno));
}

/* The parent ends only when the child has its pidfile, or has said why not. */
static bool
go_background(const struct config *cfg)
{
	int report[2], null;
	char good = 0;
	pid_t child;

	if (pipe2(report, O_CLOEXEC) != 0 || (child = fork()) < 0)
		return fail("cannot go to the background: %s", strerror(errno));
	if (child > 0) {
		close(report[1]);
		_exit(read(report[0], &good, 1) == 1 && good ? 0 : 1);
	}
	setsid();
	if (!write_pidfile(cfg->pidfile) || chdir("/") != 0)
		_exit(1);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd <= 2 && null >= 0; fd++)
		dup2(null, fd);
	good = 1;
	(void)!write(report[1], &good, 1);
	close(report[0]);
	close(report[1]);
	return true;
}

/* ---- signals ------------------------------------------------------------------------ */

static void
close_listeners(struct service *service)
{
	for (size_t i = 0; i < service->cfg->bind_address.count; i++) {
		listener_free(service->listeners[i]);
		service->listeners[i] = NULL;
	}
}

/* Once: no new sessions, the others may end in peace.  Twice: now. */
static void
on_stop(struct service *service)
{
	unsigned left = sessions_count(service->sessions);

	if (service->stopping || left == 0) {
		event_base_loopbreak(service->base);
		return;
	}
	service->stopping = true;
	close_listeners(service);
	log_event(NULL, LOG_STOP_EVENT,
	          log_text("text", "no new sessions; waiting for those under way"),
	          log_number("sessions", left));
}

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	(void)what;
	if (number == SIGTERM || number == SIGQUIT || number == SIGINT) {
		on_stop(arg);
		return;
	}
	log_event(NULL, LOG_CONFIG_EVENT,
	          log_text("text",
	                   "this version does nothing on this signal; restart it to "
	                   "read the configuration again"),
	          log_number("signal", number));
}

static void
on_emptied(void *arg)
{
	struct service *service = arg;

	if (service->stopping)
		event_base_loopbreak(service->base);
}

/* ---- serving -------------------------------------------------------------------------- */

static void
on_client(int fd, const struct addr *client, void *arg)
{
	struct service *service = arg;

	session_begin(service->sessions, fd, client);
}

static void
make_sessions(struct service *service)
{
	const struct config *cfg = service->cfg;
	struct spool_limits limits = {
		.path = cfg->spool_path,
		.memory_each = (size_t)cfg->spool_memory_each,
		.memory_all = (size_t)cfg->spool_memory_all,
		.disk_all = (uint64_t)cfg->spool_disk_all,
	};
	struct session_world world = {
		.base = service->base,
		.cfg = service->cfg,
		.checks = service->checks,
		.name = service->name,
	};

	world.budget = service->budget = spool_budget_new(service->base, &limits);
	service->sessions = sessions_new(&world, on_emptied, service);
}

static bool
start(struct service *service)
{
	const struct config *cfg = service->cfg;

	service->base = event_base_new();
	if (!service->base || !checks_start(service->checks, service->base))
		return fail("cannot start threads or the event loop: %s",
		            strerror(errno));
	conn_set_read_size((size_t)cfg->buffer_size);
	make_sessions(service);
	for (size_t i = 0; i < cfg->bind_address.count; i++) {
		if (service->sockets[i] >= 0)
			service->listeners[i] = listener_new(
				service->base, service->sockets[i],
				(unsigned)cfg->enfile_sleep, on_client, service);
		service->sockets[i] = -1;
	}
	for (size_t i = 0; i < sizeof(signals_wanted) / sizeof(signals_wanted[0]);
	     i++) {
		service->signals[i] = evsignal_new(service->base, signals_wanted[i],
		                                   on_signal, service);
		event_add(service->signals[i], NULL);
	}
	log_event(NULL, LOG_START_EVENT, log_text("version", PROGRAM_VERSION),
	          log_number("pid", getpid()), log_text("config", cfg->file),
	          log_number("port", cfg->port));
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

/* Each accepts what was never made. */
static void
tear_down(struct service *service)
{
	if (service->listeners)
		close_listeners(service);
	sessions_free(service->sessions);
	checks_free(service->checks);
	spool_budget_free(service->budget);
	for (size_t i = 0; i < sizeof(signals_wanted) / sizeof(signals_wanted[0]); i++)
		if (service->signals[i])
			event_free(service->signals[i]);
	for (size_t i = 0; service->sockets && i < service->cfg->bind_address.count;
	     i++)
		if (service->sockets[i] >= 0)
			close(service->sockets[i]);
	if (service->base)
		event_base_free(service->base);
	free(service->listeners);
	free(service->sockets);
	config_drop(service->cfg);
}

int
service_run(struct config *cfg, bool foreground)
{
	struct service service = { .cfg = cfg };
	bool served = false;

	signal(SIGPIPE, SIG_IGN);
	raise_descriptors(cfg);
	if (prepare(&service) && (foreground || go_background(cfg)) &&
	    start(&service)) {
		event_base_dispatch(service.base);
		sessions_free(service.sessions);
		service.sessions = NULL;
		log_stop();
		if (!foreground && cfg->pidfile[0])
			unlink(cfg->pidfile);
		served = true;
	}
	tear_down(&service);
	return served ? 0 : 1;
}
