#include "config.h"
#include "log.h"
#include "service.h"

#include <clamav.h>
#include <confuse.h>
#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	EXIT_USAGE = 2,
};

enum task {
	TASK_SERVE,
	TASK_DUMP,
	TASK_DUMP_ALL,
	TASK_SHOW,
	TASK_HELP,
	TASK_VERSION,
	TASK_VERSIONS,
};

struct wish {
	enum task task;
	bool foreground;
	const char *option; /* of -C */
	const char *file;
};

static const char usage[] =
	"usage: smtp-gated [-f] FILE          serve; -f: in the foreground, log to "
	"stderr\n"
	"       smtp-gated -t [FILE]          check FILE and print the configuration\n"
	"       smtp-gated -T [FILE]          the same, with the messages to clients\n"
	"       smtp-gated -C NAME FILE       print the value of one option\n"
	"       smtp-gated -h | -v | -V       this help; version; versions of the "
	"libraries\n"
	"\n"
	"FILE is described in smtp-gated.conf(5); files of smtp-gated 1.4 are read as "
	"well.\n"
	"A template in which everything is commented out:\n"
	"       smtp-gated -t | sed -e 's/^[a-z]/;&/' >/etc/smtp-gated.conf\n";

/* ---- tasks ------------------------------------------------------------------------ */

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
	char why[1024];
	struct config *cfg = config_load(file, why, sizeof(why), noted, NULL);

	if (!cfg)
		fprintf(stderr, "smtp-gated: %s\n", why);
	return cfg;
}

static int
dump(const struct wish *wish)
{
	struct config *cfg = load(wish->file, note_to_terminal);

	if (!cfg)
		return EXIT_FAILURE;
	config_dump(cfg, wish->task == TASK_DUMP_ALL, stdout);
	config_drop(cfg);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int
show(const struct wish *wish)
{
	struct config *cfg = load(wish->file, note_to_terminal);
	const char *nearest = config_nearest(wish->option);
	bool known;

	if (!cfg)
		return EXIT_FAILURE;
	known = config_show(cfg, wish->option, stdout);
	config_drop(cfg);
	if (known)
		return EXIT_SUCCESS;
	fprintf(stderr, "smtp-gated: there is no option %s%s%s%s\n", wish->option,
	        nearest ? "; did you mean " : "", nearest ? nearest : "",
	        nearest ? "?" : "");
	return EXIT_FAILURE;
}

static int
versions(void)
{
	printf("smtp-gated %s\nlibevent %s\nlibconfuse %s\nlibclamav %s\n"
	       "modes: fixed, netfilter\nscanners: libclamav\n",
	       PROGRAM_VERSION, event_get_version(), confuse_version, cl_retver());
	return EXIT_SUCCESS;
}

static enum log_sink
sink_for(bool foreground)
{
	if (foreground)
		return log_stderr_is_journal() ? LOG_TO_JOURNAL : LOG_TO_STDERR;
	return access("/run/systemd/journal/socket", W_OK) == 0 ? LOG_TO_JOURNAL
	                                                        : LOG_TO_SYSLOG;
}

static int
serve(const struct wish *wish)
{
	enum log_sink sink = sink_for(wish->foreground);
	struct config *cfg;
	int code;

	log_open(sink, LOG_INFO, LOG_DAEMON);
	cfg = load(wish->file, note_to_log);
	if (!cfg)
		return EXIT_FAILURE;
	log_open(sink, cfg->log_level, cfg->log_facility);
	code = service_run(cfg, wish->foreground);
	log_close();
	return code;
}

/* ---- arguments ---------------------------------------------------------------------- */

static int
misused(const char *why)
{
	if (why)
		fprintf(stderr, "smtp-gated: %s\n", why);
	fputs("Try: smtp-gated -h\n", stderr);
	return EXIT_USAGE;
}

/* False: it has been said what is wrong. */
static bool
parse(struct wish *wish, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "foreground", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	static const char letters[] = "tTChvV";
	static const enum task tasks[] = { TASK_DUMP, TASK_DUMP_ALL, TASK_SHOW,
		                           TASK_HELP, TASK_VERSION,  TASK_VERSIONS };
	const char *known;
	int letter;

	while ((letter = getopt_long(argc, argv, "ftTC:hvV", longs, NULL)) != -1) {
		known = strchr(letters, letter);
		if (known)
			wish->task = tasks[known - letters];
		else if (letter == 'f')
			wish->foreground = true;
		else
			return misused(NULL), false;
		if (letter == 'C')
			wish->option = optarg;
	}
	if (argc - optind > 1)
		return misused("one configuration file at most"), false;
	wish->file = argv[optind];
	if (!wish->file && (wish->task == TASK_SERVE || wish->task == TASK_SHOW))
		return misused("which configuration file?"), false;
	return true;
}

/* Some start us with standard descriptors closed.  The next sockets would take their
 * numbers, and log lines or the way to the background their place. */
static void
occupy_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

int
main(int argc, char **argv)
{
	struct wish wish = { .task = TASK_SERVE };

	occupy_standard_descriptors();
	if (!parse(&wish, argc, argv))
		return EXIT_USAGE;
	switch (wish.task) {
	case TASK_SERVE:
		return serve(&wish);
	case TASK_DUMP:
	case TASK_DUMP_ALL:
		return dump(&wish);
	case TASK_SHOW:
		return show(&wish);
	case TASK_HELP:
		fputs(usage, stdout);
		return EXIT_SUCCESS;
	case TASK_VERSION:
		puts("smtp-gated " PROGRAM_VERSION);
		return EXIT_SUCCESS;
	case TASK_VERSIONS:
		return versions();
	}
	return EXIT_FAILURE;
}
