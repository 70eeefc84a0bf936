#include "service_internal.h"

#include "log.h"
#include "privilege.h"
#include "route.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <libintl.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * From a configuration to a process that may serve: everything that can go wrong at the
 * start goes wrong here, while somebody reads what we say.
 */

bool
service_fail(const char *format, ...)
{
	char words[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	fprintf(stderr, "smtp-gated: %s\n", words);
	notices_failed(words);
	return false;
}

/* Of messages alone: what we read and write ourselves is the same in all languages.  The
 * first error loads the words, while the root directory is the one that has them. */
static void
choose_language(const struct config *cfg)
{
	if (!cfg->locale[0])
		return;
	unsetenv("LANGUAGE");                     /* it would have precedence */
	bind_textdomain_codeset("libc", "UTF-8"); /* whatever the locale's own is */
	if (setlocale(LC_MESSAGES, cfg->locale)) {
		(void)strerror(ENOENT);
		return;
	}
	log_event(NULL, LOG_TROUBLE_EVENT,
	          log_text("text",
	                   "this machine has no such locale (\"locale -a\" lists "
	                   "those it has): errors are told in English"),
	          log_text("locale", cfg->locale));
}

static bool
resolve(struct service *service)
{
	char words[512];

	return config_resolve(service->cfg, words, sizeof(words)) ||
	       service_fail("%s", words);
}

/* Once it is known where we listen. */
static bool
check_route(const struct service *service)
{
	struct route_words why;

	return route_check(service->cfg, &why) || service_fail("%s", why.text);
}

void
service_raise_descriptors(const struct config *cfg)
{
	rlim_t want = (rlim_t)sessions_descriptors(cfg->max_connections);
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= want)
		return;
	limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
	if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == want)
		return;
	log_event(NULL, LOG_TROUBLE_EVENT,
	          log_text("text", "not enough file descriptors for max_connections: "
	                           "raise the limit (LimitNOFILE= of the unit, ulimit "
	                           "-n) or lower max_connections; until then there "
	                           "are fewer sessions"),
	          log_number("max_connections", cfg->max_connections),
	          log_number("sessions", sessions_possible(limit.rlim_cur)),
	          log_number("needed", (int64_t)want),
	          log_number("descriptors", (int64_t)limit.rlim_cur));
}

/* ---- files and directories ----------------------------------------------------- */

/* A reload opens the file again by its path; if that will not lead there any more, by a
 * descriptor of its directory. */
static bool
remember_file(struct service *service)
{
	const char *file = service->cfg->file;
	char *copy;

	service->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (!file)
		return true;
	if (file[0] == '/' && !service->cfg->chroot_path[0]) {
		service->config_name = xstrdup(file);
		return true;
	}
	copy = xstrdup(file);
	service->config_directory = open(dirname(copy),
	                                 O_PATH | O_DIRECTORY | O_CLOEXEC);
	free(copy);
	if (service->config_directory < 0)
		return service_fail("%s: cannot open its directory: %s", file,
		                    strerror(errno));
	copy = xstrdup(file);
	service->config_name = xstrdup(basename(copy));
	free(copy);
	return true;
}

/* The directory that PATH is in: made if need be, and writable. */
static bool
parent_is_there(const struct config *cfg, const char *path, char *why, size_t why_size)
{
	char *copy = xstrdup(path);
	const char *parent = dirname(copy);
	bool good = privilege_make_directory(cfg, parent, why, why_size);

	if (good && access(parent, W_OK | X_OK) != 0) {
		snprintf(why, why_size, "cannot write to %s: %s", parent,
		         strerror(errno));
		good = false;
	}
	free(copy);
	return good;
}

/* In the foreground somebody else knows who we are: there a pidfile that cannot be is no
 * reason not to serve.  One that another daemon holds always is. */
static bool
take_pidfile(struct service *service)
{
	const struct config *cfg = service->cfg;
	char why[512];

	if (!cfg->pidfile[0])
		return true;
	service->pidfile = upgrade_pidfile(cfg);
	if (service->pidfile)
		return true;
	if (!parent_is_there(cfg, cfg->pidfile, why, sizeof(why))) {
		if (!service->foreground)
			return service_fail("pidfile = \"%s\": %s", cfg->pidfile, why);
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text",
		                   "no pidfile: -K, -r and -s will not find this "
		                   "daemon"),
		          log_text("pidfile", cfg->pidfile), log_text("why", why));
		return true;
	}
	service->pidfile = pidfile_take(cfg->pidfile, why, sizeof(why));
	return service->pidfile || service_fail("%s", why);
}

/* The directory of OPTION, where it will be once chroot_path is the root. */
static bool
make_directory(const struct config *cfg, const char *option, const char *path)
{
	char *whole = xasprintf("%s%s", cfg->chroot_path, path), why[512];
	bool good = privilege_make_directory(cfg, whole, why, sizeof(why));

	free(whole);
	return good || service_fail("%s = \"%s\": %s", option, path, why);
}

static bool
locks_clients(const struct config *cfg)
{
	return cfg->lock_duration != 0;
}

static void
make_statefile_directory(const struct config *cfg)
{
	char *state = xasprintf("%s%s", cfg->chroot_path, cfg->statefile), why[512];

	if (cfg->statefile[0]) /* if not: it will be said when it is to be written */
		(void)!parent_is_there(cfg, state, why, sizeof(why));
	free(state);
}

static bool
make_directories(const struct config *cfg)
{
	if (cfg->chroot_path[0] && access(cfg->chroot_path, X_OK) != 0)
		return service_fail("chroot_path = \"%s\": %s", cfg->chroot_path,
		                    strerror(errno));
	make_statefile_directory(cfg);
	if (cfg->ratelimit_period != 0 &&
	    !make_directory(cfg, "ratelimit_path", cfg->ratelimit_path))
		return false;
	if (config_any(cfg, locks_clients) &&
	    !make_directory(cfg, "lock_path", cfg->lock_path))
		return false;
	if (!config_any(cfg, reaction_may_keep))
		return true;
	return make_directory(cfg, "spool_path", cfg->spool_path) &&
	       (!cfg->quarantine_path[0] ||
	        make_directory(cfg, "quarantine_path", cfg->quarantine_path));
}

/* Without a state file mail passes all the same: it is said, and we go on. */
static void
note_statefile(const struct config *cfg)
{
	char *copy = xstrdup(cfg->statefile);

	if (cfg->statefile[0] && access(dirname(copy), W_OK | X_OK) != 0)
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "the state file cannot be written there; -s "
		                           "will not answer"),
		          log_text("statefile", cfg->statefile), log_error(errno));
	free(copy);
}

static void
note_script(struct config *cfg, void *arg)
{
	const char *path = cfg->action_script, **noted = arg;
	char why[512];

	if (!path[0] || strcmp(path, *noted) == 0 ||
	    script_is_there(path, why, sizeof(why)))
		return;
	*noted = path;
	log_event(NULL, LOG_TROUBLE_EVENT,
	          log_text("text", "action_script cannot be run"),
	          log_text("script", path), log_text("why", why));
}

void
service_note_scripts(struct config *cfg)
{
	const char *noted = "";

	config_each(cfg, note_script, &noted);
}

/* NULL, or what will go wrong later, as the user that we are by now.  With a chroot_path
 * there are no upgrades. */
static const char *
doubt_about_password(const struct config *cfg)
{
	const char *path = cfg->state_password_file;

	if (!cfg->state_server[0] || !path[0] || cfg->chroot_path[0] ||
	    access(path, R_OK) == 0)
		return NULL;
	return "set_user cannot read state_password_file: --upgrade will fail, for the "
	       "new process reads it as that user; let it be the file's group, and "
	       "chmod 640";
}

static void
note_password(const struct config *cfg)
{
	const char *doubt = doubt_about_password(cfg);

	if (doubt)
		log_event(NULL, LOG_TROUBLE_EVENT, log_text("text", doubt),
		          log_text("file", cfg->state_password_file), log_error(errno));
}

/* As the user that we are by now, and from the root that we have. */
static bool
check_directories(const struct service *service)
{
	const struct config *cfg = service->cfg;
	char why[512];

	if (config_any(cfg, reaction_may_keep) && !spool_try(cfg->spool_path))
		return service_fail(
			"spool_path = \"%s\": cannot make a file there: %s%s",
			cfg->spool_path, strerror(errno),
			errno == EACCES ? "; it must be writable for set_user" : "");
	note_statefile(cfg);
	note_password(cfg);
	service_note_scripts(service->cfg);
	return checks_ready(service->checks, why, sizeof(why)) ||
	       service_fail("%s", why);
}

/* ---- all of it, in the order in which it is possible ------------------------------- */

static bool
drop_privileges(const struct config *cfg)
{
	char why[512];

	return (privilege_limit(cfg, why, sizeof(why)) &&
	        privilege_drop(cfg, why, sizeof(why))) ||
	       service_fail("%s", why);
}

static struct statestore_setup
setup_of_sharing(const struct config *cfg)
{
	return (struct statestore_setup){
		.server = cfg->state_server,
		.password_file = cfg->state_password_file,
		.prefix = cfg->state_prefix,
		.ca_file = cfg->state_ca_file,
		.seconds = (unsigned)cfg->timeout_state,
		.identity_path = cfg->ratelimit_period > 0 ? cfg->ratelimit_path : "",
	};
}

/* With other gateways. */
static bool
share(struct service *service)
{
	const struct config *cfg = service->cfg;
	struct statestore_setup setup = setup_of_sharing(cfg);
	struct lockfile_rules rules = lockfile_rules(cfg);
	char why[512];

	if (!cfg->state_server[0])
		return true;
	service->shared = statestore_new(&setup, why, sizeof(why));
	if (!service->shared)
		return service_fail("%s", why);
	checks_share(service->checks, service->shared);
	statestore_share_locks(service->shared, cfg->lock_path, &rules);
	return true;
}

bool
service_check(const struct config *cfg)
{
	struct statestore_setup setup = setup_of_sharing(cfg);
	struct statestore *store;
	const char *doubt;
	char why[512];

	if (!cfg->state_server[0])
		return true;
	store = statestore_new(&setup, why, sizeof(why));
	if (!store) {
		fprintf(stderr, "smtp-gated: %s\n", why);
		return false;
	}
	statestore_free(store);
	if (geteuid() == 0 && cfg->set_user[0] && !cfg->chroot_path[0] &&
	    privilege_drop(cfg, why, sizeof(why)) &&
	    (doubt = doubt_about_password(cfg)))
		fprintf(stderr, "smtp-gated: %s: %s\n", cfg->state_password_file,
		        doubt);
	return true;
}

bool
service_prepare(struct service *service)
{
	const struct config *cfg = service->cfg;
	char why[1024];

	notices_open();
	service_raise_descriptors(cfg);
	config_name_host(service->cfg);
	choose_language(cfg);
	if (!privilege_check(cfg, why, sizeof(why)))
		return service_fail("%s", why);
	upgrade_remember(service);
	if (!resolve(service) || !remember_file(service) || !take_pidfile(service) ||
	    !make_directories(cfg) || !entrances_open(service) || !check_route(service))
		return false;
	if (config_any(cfg, check_looks))
		notices_loading();
	service->checks = checks_new(cfg, why, sizeof(why));
	if (!service->checks)
		return service_fail("%s", why);
	service->reactions = reactions_new(cfg);
	service->resolver = resolver_new(cfg, why, sizeof(why));
	if (!service->resolver)
		return service_fail("%s", why);
	return share(service) && drop_privileges(cfg) && check_directories(service);
}

/* ---- background --------------------------------------------------------------------- */

/* Returns in the child. */
static bool
leave_parent(struct background *background)
{
	int pipe[2];
	char good = 0;
	pid_t child;

	if (pipe2(pipe, O_CLOEXEC) != 0 || (child = fork()) < 0)
		return service_fail("cannot go to the background: %s", strerror(errno));
	if (child > 0) {
		close(pipe[1]);
		_exit(read(pipe[0], &good, 1) == 1 && good ? EXIT_SUCCESS
		                                           : EXIT_FAILURE);
	}
	close(pipe[0]);
	background->report = pipe[1];
	return true;
}

/* A successor is there already: service_inherit(). */
bool
background_begin(struct background *background)
{
	if (!upgrade_waited_for() && !leave_parent(background))
		return false;
	background->begun = true;
	setsid();
	return chdir("/") == 0 || service_fail("cannot go to /: %s", strerror(errno));
}

void
background_done(struct background *background, int null)
{
	char good = 1;

	if (!background->begun)
		return;
	for (int fd = 0; fd <= 2 && null >= 0; fd++)
		dup2(null, fd);
	if (background->report < 0)
		return;
	(void)!write(background->report, &good, 1);
	close(background->report);
	background->report = -1;
}
