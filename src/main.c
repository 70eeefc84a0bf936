#include "control.h"
#include "task.h"
#include "terminal.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What can be asked of the program: one row each, also of -h and of the options. */
struct task {
	int letter; /* or WORD_ONLY */
	const char *word;
	const char *argument; /* NULL: none */
	enum { FILE_NONE, FILE_MAY, FILE_MUST, FILE_AND_WORDS } file;
	int (*run)(const struct wish *wish);
	const char *help;
};

static int help(const struct wish *wish);

enum {
	WORD_ONLY = 256,
};

static const struct task tasks[] = {
	{ 0, NULL, NULL, FILE_MUST, task_serve, "serve, in the background" },
	{ 'K', "stop", NULL, FILE_MUST, task_stop,
	  "end the daemon when its sessions have ended; twice: at once" },
	{ 'r', "reload", NULL, FILE_MUST, task_reload,
	  "let the daemon read FILE again" },
	{ WORD_ONLY, "upgrade", NULL, FILE_MUST, task_upgrade,
	  "let a new process of the program take over; no session is lost" },
	{ 's', "status", NULL, FILE_MUST, task_status,
	  "let the daemon write its state; print it" },
	{ 'S', "status-file", NULL, FILE_MUST, task_status_file,
	  "the same; print the name of the state file" },
	{ 't', "dump", NULL, FILE_MAY, task_dump,
	  "check FILE, print the configuration that it gives" },
	{ 'T', "dump-all", NULL, FILE_MAY, task_dump_all,
	  "the same, with the messages to clients" },
	{ 'C', "show", "NAME", FILE_MUST, task_show,
	  "print one option with its value" },
	{ WORD_ONLY, "findings", NULL, FILE_MAY, task_findings,
	  "print what each finding leads to" },
	{ WORD_ONLY, "scan", "MESSAGE", FILE_MUST, task_scan,
	  "say what becomes of a message (-: standard input), and why" },
	{ WORD_ONLY, "check", NULL, FILE_MUST, task_check,
	  "check FILE, print nothing if it is right" },
	{ WORD_ONLY, "import", NULL, FILE_MUST, task_import,
	  "print a FILE of smtp-gated 1.4 in native syntax" },
	{ WORD_ONLY, "nft", "FAIL", FILE_MUST, task_nft,
	  "print rules for nft(8); FAIL: open, closed" },
	{ WORD_ONLY, "locks", NULL, FILE_MUST, task_locks,
	  "list the clients that are locked, or never are" },
	{ WORD_ONLY, "unlock", "ADDR", FILE_MUST, task_unlock,
	  "remove all locks of ADDR" },
	{ 'L', "rates", "ADDR", FILE_MUST, task_rates,
	  "print what the client ADDR did lately, and its limits" },
	{ WORD_ONLY, "quarantine", NULL, FILE_AND_WORDS, task_quarantine,
	  "list, show, delete, release kept messages" },
	{ 'h', "help", NULL, FILE_NONE, help, "this" },
	{ 'v', "version", NULL, FILE_NONE, task_version, "print the version" },
	{ 'V', "versions", NULL, FILE_NONE, task_versions,
	  "the same, with libraries and what was compiled in" },
};

enum {
	TASKS_OF_DETAIL = 4,
};

static const struct {
	const char *word;
	bool bare;                                           /* it has no argument */
	int (*of[TASKS_OF_DETAIL])(const struct wish *wish); /* tasks */
} details[] = {
	[DETAIL_CLIENT] = { "client", false, { task_show, task_findings, task_scan } },
	[DETAIL_SERVER] = { "server",
	                    false,
	                    { task_show, task_findings, task_scan, task_quarantine } },
	[DETAIL_LISTENER] = { "listener",
	                      false,
	                      { task_show, task_findings, task_scan } },
	[DETAIL_TO] = { "to", false, { task_quarantine } },
	[DETAIL_OLDER] = { "older", false, { task_quarantine } },
	[DETAIL_DELETE] = { "delete", true, { task_quarantine } },
	[DETAIL_HELO] = { "helo", false, { task_scan } },
	[DETAIL_FROM] = { "from", false, { task_scan } },
	[DETAIL_RCPT] = { "rcpt", false, { task_scan } },
};

enum {
	DETAIL = 512,
};

enum {
	TASKS = sizeof(tasks) / sizeof(tasks[0]),
};

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
	     "       smtp-gated --scan MESSAGE [--client ADDR] [--server ADDR] "
	     "[--listener NAME]\n"
	     "                [--helo NAME] [--from ADDR] [--rcpt ADDR] FILE\n"
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
	return terminal_printed();
}

/* ---- arguments ---------------------------------------------------------------------- */

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
	for (size_t i = 0; i < TASKS_OF_DETAIL && wish->details[detail]; i++)
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
		return task_misused(words), true;
	}
	return false;
}

/* What is left when the options are gone.  False: it has been said what is wrong. */
static bool
take_words(struct wish *wish, char **words)
{
	if (words[0] && words[1] && wish->task->file != FILE_AND_WORDS)
		return task_misused("one configuration file at most"), false;
	wish->file = words[0];
	wish->words = words[0] ? words + 1 : words;
	if (!wish->file && wish->task->file >= FILE_MUST)
		return task_misused("which configuration file?"), false;
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
			return task_misused("no such option, or it lacks its argument"),
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
			return task_misused("one task at a time"), false;
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
