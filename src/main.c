#include "config.h"
#include "control.h"
#include "log.h"
#include "quarantine.h"
#include "rates.h"
#include "service.h"
#include "verdict.h"
#include "wire.h"

#include <ares.h>
#include <clamav.h>
#include <confuse.h>
#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a task may be told beside its argument: long options, numbered from DETAIL. */
enum {
	DETAIL_CLIENT,
	DETAIL_SERVER,
	DETAIL_LISTENER,
	DETAIL_TO,
	DETAIL_OLDER,
	DETAIL_DELETE,
	DETAILS,
};

struct wish {
	const struct task *task;
	bool foreground;
	const char *argument; /* of the task */
	const char *file;
	char **words; /* behind the file; ends with NULL */
	const char *details[DETAILS];
};

/* What can be asked of the program: one row each, also of -h and of the options. */
struct task {
	int letter; /* or WORD_ONLY */
	const char *word;
	const char *argument; /* NULL: none */
	enum { FILE_NONE, FILE_MAY, FILE_MUST, FILE_AND_WORDS } file;
	int (*run)(const struct wish *wish);
	const char *help;
};

static int serve(const struct wish *wish);
static int dump(const struct wish *wish);
static int dump_all(const struct wish *wish);
static int show(const struct wish *wish);
static int findings(const struct wish *wish);
static int check(const struct wish *wish);
static int import(const struct wish *wish);
static int status(const struct wish *wish);
static int status_file(const struct wish *wish);
static int reload(const struct wish *wish);
static int upgrade(const struct wish *wish);
static int stop(const struct wish *wish);
static int nft(const struct wish *wish);
static int locks(const struct wish *wish);
static int unlock(const struct wish *wish);
static int rates(const struct wish *wish);
static int quarantine(const struct wish *wish);
static int help(const struct wish *wish);
static int version(const struct wish *wish);
static int versions(const struct wish *wish);

enum {
	WORD_ONLY = 256,
};

static const struct task tasks[] = {
	{ 0, NULL, NULL, FILE_MUST, serve, "serve, in the background" },
	{ 'K', "stop", NULL, FILE_MUST, stop,
	  "end the daemon when its sessions have ended; twice: at once" },
	{ 'r', "reload", NULL, FILE_MUST, reload, "let the daemon read FILE again" },
	{ WORD_ONLY, "upgrade", NULL, FILE_MUST, upgrade,
	  "let a new process of the program take over; no session is lost" },
	{ 's', "status", NULL, FILE_MUST, status,
	  "let the daemon write its state; print it" },
	{ 'S', "status-file", NULL, FILE_MUST, status_file,
	  "the same; print the name of the state file" },
	{ 't', "dump", NULL, FILE_MAY, dump,
	  "check FILE, print the configuration that it gives" },
	{ 'T', "dump-all", NULL, FILE_MAY, dump_all,
	  "the same, with the messages to clients" },
	{ 'C', "show", "NAME", FILE_MUST, show, "print one option with its value" },
	{ WORD_ONLY, "findings", NULL, FILE_MAY, findings,
	  "print what each finding leads to" },
	{ WORD_ONLY, "check", NULL, FILE_MUST, check,
	  "check FILE, print nothing if it is right" },
	{ WORD_ONLY, "import", NULL, FILE_MUST, import,
	  "print a FILE of smtp-gated 1.4 in native syntax" },
	{ WORD_ONLY, "nft", "FAIL", FILE_MUST, nft,
	  "print rules for nft(8); FAIL: open, closed" },
	{ WORD_ONLY, "locks", NULL, FILE_MUST, locks,
	  "list the clients that are locked, or never are" },
	{ WORD_ONLY, "unlock", "ADDR", FILE_MUST, unlock, "remove all locks of ADDR" },
	{ 'L', "rates", "ADDR", FILE_MUST, rates,
	  "print what the client ADDR did lately, and its limits" },
	{ WORD_ONLY, "quarantine", NULL, FILE_AND_WORDS, quarantine,
	  "list, show, delete, release kept messages" },
	{ 'h', "help", NULL, FILE_NONE, help, "this" },
	{ 'v', "version", NULL, FILE_NONE, version, "print the version" },
	{ 'V', "versions", NULL, FILE_NONE, versions,
	  "the same, with libraries and what was compiled in" },
};

static const struct {
	const char *word;
	bool bare;                             /* it has no argument */
	int (*of[3])(const struct wish *wish); /* tasks */
} details[] = {
	[DETAIL_CLIENT] = { "client", false, { show, findings } },
	[DETAIL_SERVER] = { "server", false, { show, findings, quarantine } },
	[DETAIL_LISTENER] = { "listener", false, { show, findings } },
	[DETAIL_TO] = { "to", false, { quarantine } },
	[DETAIL_OLDER] = { "older", false, { quarantine } },
	[DETAIL_DELETE] = { "delete", true, { quarantine } },
};

enum {
	DETAIL = 512,
};

enum {
	TASKS = sizeof(tasks) / sizeof(tasks[0]),
};

static int misused(const char *why);

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
	char why[4096];
	struct config *cfg = config_load(file, why, sizeof(why), noted, NULL);

	if (!cfg)
		fprintf(stderr, "smtp-gated: %s\n", why);
	return cfg;
}

/* The end of a task that prints. */
static int
printed(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_SUCCESS;
	perror("smtp-gated: standard output");
	return EXIT_FAILURE;
}

static int
dump_with(const struct wish *wish, bool texts)
{
	struct config *cfg = load(wish->file, note_to_terminal);

	if (!cfg)
		return EXIT_FAILURE;
	config_dump(cfg, texts, stdout);
	config_drop(cfg);
	return printed();
}

static int
dump(const struct wish *wish)
{
	return dump_with(wish, false);
}

static int
dump_all(const struct wish *wish)
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
	if (!read_address(details[DETAIL_CLIENT].word, wish->details[DETAIL_CLIENT],
	                  &of->client) ||
	    !read_address(details[DETAIL_SERVER].word, wish->details[DETAIL_SERVER],
	                  &of->server))
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
		return printed();
	return no_option(wish->argument);
}

static int
show(const struct wish *wish)
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

static int
findings(const struct wish *wish)
{
	struct config *cfg = load(wish->file, note_to_terminal), *is;
	struct example of;
	int code;

	if (!cfg)
		return EXIT_FAILURE;
	code = read_example(cfg, wish, &of);
	if (code == EXIT_SUCCESS) {
		is = config_listener(cfg, of.listener ?: CONFIG_DEFAULT_LISTENER);
		findings_print(config_policy(is, &of.client, &of.server), stdout);
		code = printed();
	}
	config_drop(cfg);
	return code;
}

static int
check(const struct wish *wish)
{
	struct config *cfg = load(wish->file, note_to_terminal);

	config_drop(cfg);
	return cfg ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int
import(const struct wish *wish)
{
	char why[4096];

	if (config_import(wish->file, stdout, why, sizeof(why), note_to_terminal, NULL))
		return printed();
	fprintf(stderr, "smtp-gated: %s\n", why);
	return EXIT_FAILURE;
}

static int
nft(const struct wish *wish)
{
	enum wire_fail fail = WIRE_OPEN;
	struct config *cfg;
	char why[256];
	bool good;

	if (strcmp(wish->argument, "closed") == 0)
		fail = WIRE_CLOSED;
	else if (strcmp(wish->argument, "open") != 0)
		return misused("--nft open, or --nft closed: what becomes of mail when "
		               "the daemon does not serve?");
	cfg = load(wish->file, note_to_terminal);
	if (!cfg)
		return EXIT_FAILURE;
	good = wire_print(cfg, fail, stdout, why, sizeof(why));
	config_drop(cfg);
	if (good)
		return printed();
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

static int
status(const struct wish *wish)
{
	return control(wish, control_status);
}

static int
status_file(const struct wish *wish)
{
	return control(wish, control_statefile);
}

static int
reload(const struct wish *wish)
{
	return control(wish, control_reload);
}

static int
upgrade(const struct wish *wish)
{
	return control(wish, control_upgrade);
}

static int
stop(const struct wish *wish)
{
	return control(wish, control_stop);
}

static int
locks(const struct wish *wish)
{
	return control(wish, control_locks);
}

static int
unlock(const struct wish *wish)
{
	struct config *cfg = load(wish->file, NULL);
	int code;

	if (!cfg)
		return EXIT_FAILURE;
	code = control_unlock(cfg, wish->argument);
	config_drop(cfg);
	return code;
}

static int
rates(const struct wish *wish)
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

static int
quarantine(const struct wish *wish)
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

static int
help(const struct wish *wish)
{
	(void)wish;
	puts("usage: smtp-gated [-f] FILE        serve; -f, --foreground: stay "
	     "attached, "
	     "log to stderr\n"
	     "       smtp-gated TASK [FILE]\n"
	     "       smtp-gated -C NAME [--client ADDR] [--server ADDR] [--listener "
	     "NAME] FILE\n"
	     "                                   what applies to such a session, and "
	     "why\n"
	     "       smtp-gated --quarantine FILE [list | show ID... | delete ID... |\n"
	     "                delete --older AGE |\n"
	     "                release ID [--to FILE | --server HOST:PORT] "
	     "[--delete]]\n");
	for (size_t i = 1; i < TASKS; i++) {
		char word[32];

		snprintf(word, sizeof(word), "--%s%s%s", tasks[i].word,
		         tasks[i].argument ? " " : "",
		         tasks[i].argument ? tasks[i].argument : "");
		if (tasks[i].letter < WORD_ONLY)
			printf("  -%c, %-16s  %s\n", tasks[i].letter, word,
			       tasks[i].help);
		else
			printf("      %-16s  %s\n", word, tasks[i].help);
	}
	puts("\nFILE is described in smtp-gated.conf(5); files of smtp-gated 1.4 are "
	     "read "
	     "as well.\n"
	     "A template in which everything is commented out:\n"
	     "       smtp-gated -t | sed -e 's/^[^#]/;&/' >/etc/smtp-gated.conf");
	return printed();
}

static int
version(const struct wish *wish)
{
	(void)wish;
	puts("smtp-gated " PROGRAM_VERSION);
	return EXIT_SUCCESS;
}

static int
versions(const struct wish *wish)
{
	version(wish);
	printf("libevent %s\nlibconfuse %s\nlibclamav %s\nc-ares %s\n%s\nmodes: ",
	       event_get_version(), confuse_version, cl_retver(), ares_version(NULL),
	       mdb_version(NULL, NULL, NULL));
	config_print_words("mode", stdout);
	puts("\nscanners: libclamav");
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

/* ---- arguments ---------------------------------------------------------------------- */

static int
misused(const char *why)
{
	if (why)
		fprintf(stderr, "smtp-gated: %s\n", why);
	fputs("Try: smtp-gated -h\n", stderr);
	return EXIT_USAGE;
}

/* What getopt_long(3) says for it: its letter, or a number beyond all letters. */
static int
sign_of(size_t task)
{
	return tasks[task].letter < WORD_ONLY ? tasks[task].letter
	                                      : WORD_ONLY + (int)task;
}

static const struct task *
task_of(int sign)
{
	for (size_t i = 1; i < TASKS; i++)
		if (sign_of(i) == sign)
			return &tasks[i];
	return NULL;
}

enum {
	LONGS = 1 + TASKS - 1 + DETAILS + 1, /* --foreground, and the end */
};

/* The tasks, and the rest, as getopt_long(3) wants them. */
static void
options_of_tasks(char letters[static 3 * TASKS], struct option longs[static LONGS])
{
	size_t used = 0, words = 0;

	letters[used++] = 'f';
	longs[words++] = (struct option){ "foreground", no_argument, NULL, 'f' };
	for (size_t i = 1; i < TASKS; i++) {
		bool takes = tasks[i].argument;

		longs[words++] = (struct option){ tasks[i].word,
			                          takes ? required_argument
			                                : no_argument,
			                          NULL, sign_of(i) };
		if (tasks[i].letter >= WORD_ONLY)
			continue;
		letters[used++] = (char)tasks[i].letter;
		if (takes)
			letters[used++] = ':';
	}
	for (int i = 0; i < DETAILS; i++)
		longs[words++] = (struct option){ details[i].word,
			                          details[i].bare ? no_argument
			                                          : required_argument,
			                          NULL, DETAIL + i };
	letters[used] = '\0';
	longs[words] = (struct option){ NULL, 0, NULL, 0 };
}

static bool
is_misused(const struct wish *wish, size_t detail)
{
	for (size_t i = 0; i < 3 && wish->details[detail]; i++)
		if (details[detail].of[i] == wish->task->run)
			return false;
	return wish->details[detail];
}

static bool
misused_details(const struct wish *wish)
{
	const char *task = wish->task->word;
	char words[128];

	for (size_t i = 0; i < DETAILS; i++) {
		if (!is_misused(wish, i))
			continue;
		snprintf(words, sizeof(words), "--%s is not for %s%s", details[i].word,
		         task ? "--" : "", task ? task : "serving");
		return misused(words), true;
	}
	return false;
}

/* What is left when the options are gone.  False: it has been said what is wrong. */
static bool
take_words(struct wish *wish, char **words)
{
	if (words[0] && words[1] && wish->task->file != FILE_AND_WORDS)
		return misused("one configuration file at most"), false;
	wish->file = words[0];
	wish->words = words[0] ? words + 1 : words;
	if (!wish->file && wish->task->file >= FILE_MUST)
		return misused("which configuration file?"), false;
	return true;
}

/* False: it has been said what is wrong. */
static bool
parse(struct wish *wish, int argc, char **argv)
{
	char letters[3 * TASKS];
	struct option longs[LONGS];
	int letter;

	options_of_tasks(letters, longs);
	opterr = 0;
	while ((letter = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		if (letter == '?')
			return misused("no such option, or it lacks its argument"),
			       false;
		if (letter == 'f') {
			wish->foreground = true;
			continue;
		}
		if (letter >= DETAIL) {
			wish->details[letter - DETAIL] = optarg ? optarg : "";
			continue;
		}
		if (wish->task != &tasks[0])
			return misused("one task at a time"), false;
		wish->task = task_of(letter);
		wish->argument = optarg;
	}
	return !misused_details(wish) && take_words(wish, argv + optind);
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
	struct wish wish = { .task = &tasks[0] };

	occupy_standard_descriptors();
	if (!parse(&wish, argc, argv))
		return EXIT_USAGE;
	return wish.task->run(&wish);
}
