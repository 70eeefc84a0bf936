#ifndef SCRIPT_INTERNAL_H
#define SCRIPT_INTERNAL_H

#include "script.h"

#include <signal.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

/*
 * The inside of script*.c.
 */
struct script_call {
	TAILQ_ENTRY(script_call) link; /* of those that wait */
	struct log_ctx log;
	char *finding;
	struct addr client;
	char **arguments;	/* the path first; ends with NULL */
	char **environment;	/* ends with NULL */
	size_t argument_count, variable_count;
};

/* One that runs. */
struct script_child {
	pid_t pid;		/* and process group, and session; our child until waited for */
	int pidfd;
	int output;		/* what it says can be read here, without waiting */
};

/* Starts it; 0, or an error number.  In a thread of ours for nothing else: this gives up
 * the capabilities of the thread, and a priority that is better than usual. */
int script_start(const struct script_call *call, struct script_child *child) MUST_CHECK;

/* What an administrator should look at. */
const char *script_hint_start(int error);
const char *script_hint_end(const siginfo_t *end, bool too_long);

/* What a program says: the beginning is kept, and the end of that is logged. */
struct script_words {
	size_t used;
	uint64_t unkept;	/* bytes */
	char at[4096];
};

/* Reads what there is, some at least.  False: there will be no more. */
bool script_words_read(struct script_words *words, int fd);
bool script_words_are_full(const struct script_words *words);

/* One event for each line, the first of them, and one for what is left out. */
void script_words_log(const struct script_words *words, const struct script_call *call);

/* The last line that was kept, without its end; its size. */
size_t script_words_last(const struct script_words *words, const char **line);

#endif
