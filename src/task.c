#include "task.h"

#include "config.h"
#include "control.h"
#include "explain.h"
#include "log.h"
#include "quarantine.h"
#include "rates.h"
#include "service.h"
#include "terminal.h"
#include "verdict.h"
#include "wire.h"

#include <ares.h>
#include <clamav.h>
#include <confuse.h>
#include <event2/event.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
task_misused(const char *why)
{
	if (why)
		fprintf(stderr, "smtp-gated: %s\n", why);
	fputs("Try: smtp-gated -h\n", stderr);
	return EXIT_USAGE;
}

static void
note_to_terminal(const char *words, void *arg)
{
	(void)arg;
	fprintf(stderr, "smtp-gated: %s\n", words);
}

static void
note_to_log(const char *words, void *arg)
{
	(void)arg;
	log_event(NULL, LOG_CONFIG_EVENT, log_text("text", words));
}

static struct config *
load(const char *file, config_note_cb *noted)
{
	char why[4096];
	struct config *cfg = config_load(file, why, sizeof(why), noted, NULL);

	if (!cfg)
		fprintf(stderr, "smtp-gated: %s\n", why);
	return cfg;
}

static int
dump_with(const struct wish *wish, bool texts)
{
	struct config *cfg = load(wish->file, note_to_terminal);

	if (!cfg)
		return EXIT_FAILURE;
	config_dump(cfg, texts, stdout);
	config_drop(cfg);
	return terminal_printed();
}

int
task_dump(const struct wish *wish)
{
	return dump_with(wish, false);
}

int
task_dump_all(const struct wish *wish)
{
	return dump_with(wish, true);
}

static int
no_option(const char *name)
{
	const char *nearest = config_nearest(name);
	char became[256];

	if (config_old_option(name, strlen(name), became, sizeof(became))) {
		fprintf(stderr, "smtp-gated: %s: %s\n", name, became);
		return EXIT_FAILURE;
	}
	fprintf(stderr, "smtp-gated: there is no option %s%s%s%s\n", name,
	        nearest ? "; did you mean " : "", nearest ? nearest : "",
	        nearest ? "?" : "");
	return EXIT_FAILURE;
}

static bool
read_address(const char *what, const char *text, struct addr *addr)
{
	if (!text || addr_parse(addr, text, 0))
		return true;
	fprintf(stderr, "smtp-gated: --%s: %s is no IPv4 or IPv6 address\n", what,
	        text);
	return false;
}

/* The session that --client, --server and --listener describe. */
struct example {
	struct addr client, server; /* no address: not known */
	const char *listener;       /* NULL: that of the main part */
};

static int
read_example(struct config *cfg, const struct wish *wish, struct example *of)
{
	*of = (struct example){ .listener = wish->details[DETAIL_LISTENER] };
	if (!read_address("client", wish->details[DETAIL_CLIENT], &of->client) ||
	    !read_address("server", wish->details[DETAIL_SERVER], &of->server))
		return EXIT_USAGE;
	if (!of->listener || config_listener(cfg, of->listener))
		return EXIT_SUCCESS;
	fprintf(stderr,
	        "smtp-gated: %s: there is no section listen \"%s\"; \"%s\" is "
	        "the listener of the main part\n",
	        wish->file, of->listener, CONFIG_DEFAULT_LISTENER);
	return EXIT_FAILURE;
}

/* With what applies to one session, and why. */
static int
show_for(struct config *cfg, const struct wish *wish)
{
	struct example of;
	int code = read_example(cfg, wish, &of);

	if (code != EXIT_SUCCESS)
		return code;
	if (config_show_for(cfg, wish->argument, of.listener,
	                    wish->details[DETAIL_CLIENT] ? &of.client : NULL,
	                    wish->details[DETAIL_SERVER] ? &of.server : NULL, stdout))
		return terminal_printed();
	return no_option(wish->argument);
}

int
task_show(const struct wish *wish)
{
	struct config *cfg = load(wish->file, NULL);
	int code;

	if (!cfg)
		return EXIT_FAILURE;
	if (wish->details[DETAIL_CLIENT] || wish->details[DETAIL_SERVER] ||
	    wish->details[DETAIL_LISTENER])
		code = show_for(cfg, wish);
	else if (config_show(cfg, wish->argument, stdout))
		code = EXIT_SUCCESS;
	else
		code = no_option(wish->argument);
	config_drop(cfg);
	return code;
}

/* What applies to it. */
static struct config *
config_of(const struct config *cfg, const struct example *of)
{
	struct config *is = config_listener(cfg,
	                                    of->listener ?: CONFIG_DEFAULT_LISTENER);

	return config_policy(is, &of->client, &of->server);
}

int
task_findings(const struct wish *wish)
{
	struct config *cfg = load(wish->file, note_to_terminal);
	struct example of;
	int code;

	if (!cfg)
		return EXIT_FAILURE;
	code = read_example(cfg, wish, &of);
	if (code == EXIT_SUCCESS) {
		findings_print(config_of(cfg, &of), stdout);
		code = terminal_printed();
	}
	config_drop(cfg);
	return code;
}

int
task_scan(const struct wish *wish)
{
	struct config *cfg = load(wish->file, NULL);
	struct example of;
	int code;

	if (!cfg)
		return EXIT_FAILURE;
	code = read_example(cfg, wish, &of);
	if (code == EXIT_SUCCESS)
		code = explain_message(&(struct explain_wish){
			.cfg = config_of(cfg, &of),
			.message = wish->argument,
			.client = &of.client,
			.server = &of.server,
			.helo = wish->details[DETAIL_HELO],
			.sender = wish->details[DETAIL_FROM],
			.recipient = wish->details[DETAIL_RCPT],
		});
	config_drop(cfg);
	return code;
}

int
task_check(const struct wish *wish)
{
	struct config *cfg = load(wish->file, note_to_terminal);
	bool good = cfg && service_check(cfg);

	config_drop(cfg);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
task_import(const struct wish *wish)
{
	char why[4096];

	if (config_import(wish->file, stdout, why, sizeof(why), note_to_terminal, NULL))
		return terminal_printed();
	fprintf(stderr, "smtp-gated: %s\n", why);
	return EXIT_FAILURE;
}

int
task_nft(const struct wish *wish)
{
	enum wire_fail fail = WIRE_OPEN;
	struct config *cfg;
	char why[256];
	bool good;

	if (strcmp(wish->argument, "closed") == 0)
		fail = WIRE_CLOSED;
	else if (strcmp(wish->argument, "open") != 0)
		return task_misused(
			"--nft open, or --nft closed: what becomes of mail when "
			"the daemon does not serve?");
	cfg = load(wish->file, note_to_terminal);
	if (!cfg)
		return EXIT_FAILURE;
	good = wire_print(cfg, fail, stdout, why, sizeof(why));
	config_drop(cfg);
	if (good)
		return terminal_printed();
	fprintf(stderr, "smtp-gated: %s: %s\n", wish->file, why);
	return EXIT_FAILURE;
}

/* The file says which daemon is meant: what it notes has been said when that started. */
static int
control(const struct wish *wish, int (*order)(const struct config *cfg))
{
	struct config *cfg = load(wish->file, NULL);
	int code;

	if (!cfg)
		return EXIT_FAILURE;
	code = order(cfg);
	config_drop(cfg);
	return code;
}

int
task_status(const struct wish *wish)
{
	return control(wish, control_status);
}

int
task_status_file(const struct wish *wish)
{
	return control(wish, control_statefile);
}

static enum log_sink
sink_for(bool foreground)
{
	if (foreground)
		return log_stderr_is_journal() ? LOG_TO_JOURNAL : LOG_TO_STDERR;
	return access("/run/systemd/journal/socket", W_OK) == 0 ? LOG_TO_JOURNAL
	                                                        : LOG_TO_SYSLOG;
}

/* Whoever looks into the log afterwards shall see why nothing has changed. */
static int
refuse_reload(const char *why)
{
	fprintf(stderr, "smtp-gated: %s\n", why);
	log_open(sink_for(false), LOG_INFO, LOG_DAEMON);
	log_event(NULL, LOG_TROUBLE_EVENT,
	          log_text("text",
	                   "a reload was asked for with a file that is wrong; the "
	                   "daemon was not told"),
	          log_text("why", why));
	log_close();
	return EXIT_FAILURE;
}

int
task_reload(const struct wish *wish)
{
	char why[4096];
	struct config *cfg = config_load(wish->file, why, sizeof(why), note_to_terminal,
	                                 NULL);
	int code;

	if (!cfg)
		return refuse_reload(why);
	code = control_reload(cfg);
	config_drop(cfg);
	return code;
}

int
task_upgrade(const struct wish *wish)
{
	return control(wish, control_upgrade);
}

int
task_stop(const struct wish *wish)
{
	return control(wish, control_stop);
}

int
task_locks(const struct wish *wish)
{
	return control(wish, control_locks);
}

int
task_unlock(const struct wish *wish)
{
	struct config *cfg = load(wish->file, NULL);
	int code;

	if (!cfg)
		return EXIT_FAILURE;
	code = control_unlock(cfg, wish->argument);
	config_drop(cfg);
	return code;
}

int
task_rates(const struct wish *wish)
{
	struct config *cfg;
	struct addr client;
	int code;

	if (!read_address("rates", wish->argument, &client))
		return EXIT_USAGE;
	cfg = load(wish->file, NULL);
	if (!cfg)
		return EXIT_FAILURE;
	code = rates_show(cfg, &client);
	config_drop(cfg);
	return code;
}

int
task_quarantine(const struct wish *wish)
{
	struct config *cfg = load(wish->file, NULL);
	struct quarantine_wish kept = {
		.cfg = cfg,
		.args = wish->words,
		.to = wish->details[DETAIL_TO],
		.server = wish->details[DETAIL_SERVER],
		.older = wish->details[DETAIL_OLDER],
		.remove = wish->details[DETAIL_DELETE],
	};
	int code;

	if (!cfg)
		return EXIT_FAILURE;
	code = quarantine_command(&kept);
	config_drop(cfg);
	return code;
}

int
task_version(const struct wish *wish)
{
	(void)wish;
	puts("smtp-gated " PROGRAM_VERSION);
	return EXIT_SUCCESS;
}

int
task_versions(const struct wish *wish)
{
	task_version(wish);
	printf("libevent %s\nlibconfuse %s\nlibclamav %s\nc-ares %s\n%s\nmodes: ",
	       event_get_version(), confuse_version, cl_retver(), ares_version(NULL),
	       mdb_version(NULL, NULL, NULL));
	config_print_words("mode", stdout);
	puts("\nscanners: libclamav");
	return EXIT_SUCCESS;
}

int
task_serve(const struct wish *wish)
{
	enum log_sink sink = sink_for(wish->foreground);
	unsigned first = service_inherit();
	struct config *cfg;
	int code;

	if (!wish->foreground) /* no lock or pipe of a script's shall live as long as we */
		(void)close_range(first, ~0U, 0);
	log_open(sink, LOG_INFO, LOG_DAEMON);
	cfg = load(wish->file, note_to_log);
	if (!cfg)
		return EXIT_FAILURE;
	log_open(sink, cfg->log_level, cfg->log_facility);
	code = service_run(cfg, wish->foreground);
	log_close();
	return code;
}
