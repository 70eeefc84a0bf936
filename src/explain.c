#include "explain_internal.h"

#include "check.h"
#include "log.h"
#include "privilege.h"
#include "resultheader.h"
#include "terminal.h"
#include "transaction.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	SIGNALS = 3,
};

static const int signals_wanted[SIGNALS] = { SIGINT, SIGTERM, SIGHUP };

struct explain {
	const struct explain_wish *wish;
	struct config *cfg;
	struct explain_input input;
	struct event_base *base;
	struct checks *checks;
	struct spool_budget *budget;
	struct spool *spool; /* NULL: nobody reads the message */
	struct event *deadline, *signals[SIGNALS];
	struct check_round *round;                 /* under way */
	struct finding faults[TRANSACTION_FAULTS]; /* that can be seen without them */
	size_t fault_count;
	struct findings found;
	struct retouch *changes; /* NULL: the server would have its header section */
	int signal;              /* that ended it; 0: none */
};

static bool
fail(const struct explain *explain, const char *why)
{
	(void)terminal_failure(0, "%s: %s", explain->cfg->file, why);
	return false;
}

/* ---- in whose name, and where --------------------------------------------------------- */

static void
use(char **option, const char *value)
{
	char *own = xstrdup(value);

	free(*option);
	*option = own;
}

/* Whoever may not write to the daemon's directories has one of his own. */
static void
use_own_directory(char **option)
{
	const char *own = getenv("TMPDIR");

	if ((*option)[0] && !spool_try(*option))
		use(option, own && own[0] ? own : "/tmp");
}

/* What a stranger wrote is not read by root.  As the daemon does it; others than root stay
 * who they are, and where. */
static bool
become_reader(const struct explain *explain)
{
	char why[512];

	return geteuid() != 0 || privilege_drop(explain->cfg, why, sizeof(why)) ||
	       fail(explain, why);
}

static void
prepare_reader(const struct explain *explain)
{
	struct config *cfg = explain->cfg;

	config_name_host(cfg);
	if (geteuid() == 0)
		return;
	if (cfg->chroot_path[0])
		(void)terminal_failure(
			0, "only root can go to chroot_path: paths are taken as they "
			   "are outside of it");
	use(&cfg->chroot_path, "");
	use_own_directory(&cfg->scan_path);
}

/* ---- the message ------------------------------------------------------------------------ */

/* There is always room for one. */
static void
on_space(void *arg)
{
	(void)arg;
}

static void
make_spool(struct explain *explain)
{
	const struct config *cfg = explain->cfg;
	struct spool_limits limits = { .path = cfg->spool_path,
		                       .memory_each = (size_t)cfg->spool_memory_each,
		                       .memory_all = (size_t)cfg->spool_memory_each };
	char head[CHECK_HEAD_SIZE];
	size_t size = check_head(cfg, head);

	explain->budget = spool_budget_new(explain->base, &limits);
	explain->spool = spool_new(explain->budget, head, size, on_space, NULL);
}

static bool
read_message(struct explain *explain)
{
	use_own_directory(&explain->cfg->spool_path);
	if (check_reads(explain->cfg, false))
		make_spool(explain);
	return explain_read(&explain->input, explain->cfg, explain->spool);
}

/* ---- the scanners ------------------------------------------------------------------------ */

static bool
load_scanners(struct explain *explain)
{
	char why[1024];

	explain->checks = checks_new_to_explain(explain->cfg, why, sizeof(why));
	return explain->checks || fail(explain, why);
}

static bool
start_scanners(struct explain *explain)
{
	char why[1024];

	if (!checks_ready(explain->checks, why, sizeof(why)))
		return fail(explain, why);
	return checks_start(explain->checks, explain->base, NULL) ||
	       fail(explain, strerror(errno));
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct explain *explain = arg;

	(void)fd, (void)what;
	check_expire(explain->round, &explain->found);
	explain->round = NULL;
	event_base_loopbreak(explain->base);
}

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	struct explain *explain = arg;

	(void)what;
	explain->signal = number;
	event_base_loopbreak(explain->base);
}

static void
on_found(const struct findings *found, void *arg)
{
	struct explain *explain = arg;

	explain->found = *found;
	explain->round = NULL;
	event_base_loopbreak(explain->base);
}

static void
wait_for_answers(struct explain *explain)
{
	struct timeval patience = { .tv_sec = explain->cfg->timeout_judging };

	explain->deadline = evtimer_new(explain->base, on_deadline, explain);
	event_add(explain->deadline, &patience);
	for (int i = 0; i < SIGNALS; i++) {
		explain->signals[i] = evsignal_new(explain->base, signals_wanted[i],
		                                   on_signal, explain);
		event_add(explain->signals[i], NULL);
	}
	event_base_dispatch(explain->base);
}

static void
stop_waiting(struct explain *explain)
{
	if (explain->deadline)
		event_free(explain->deadline);
	for (int i = 0; i < SIGNALS; i++)
		if (explain->signals[i])
			event_free(explain->signals[i]);
}

/* As session_holds() has it, of a message that is here in full. */
static bool
is_held(const struct explain *explain)
{
	const struct config *cfg = explain->cfg;

	if (!check_reads(cfg, false) && !(cfg->spool_leave_on & CLASS_CLEAN))
		return false;
	return config_judges_first(cfg, explain->input.size);
}

/* The daemon would not have it scanned either. */
static bool
is_refused_unseen(struct explain *explain)
{
	struct verdict verdict;

	explain->fault_count = transaction_faults(explain->cfg, explain->input.size,
	                                          explain->input.bare, explain->faults);
	verdict_weigh(&verdict, explain->cfg, explain->faults, explain->fault_count);
	return verdict.act > VERDICT_TAG;
}

/* All of them.  False: a signal came before they had answered. */
static bool
ask_scanners(struct explain *explain)
{
	const struct explain_wish *wish = explain->wish;
	const struct log_ctx log = { .session = "scan", .mail = 1 };
	char *paths[] = { (char *)wish->recipient };
	struct evidence evidence = {
		.log = &log,
		.client = wish->client,
		.server = wish->server,
		.ident = "",
		.helo = wish->helo,
		.sender = wish->sender,
		.recipients = wish->recipient ? 1 : 0,
		.path_count = wish->recipient ? 1 : 0,
		.paths = paths,
		.size = explain->input.size,
		.message = explain->spool,
	};

	if (is_held(explain))
		evidence.changes = explain->changes = retouch_new();
	if (is_refused_unseen(explain))
		return true;
	explain->round = check_start(explain->checks, explain->cfg, STAGE_MESSAGE,
	                             &evidence, &explain->found, on_found, explain);
	if (explain->round)
		wait_for_answers(explain);
	stop_waiting(explain); /* a second signal ends us at once */
	check_cancel(explain->round);
	return explain->signal == 0;
}

/* ---- all of it ----------------------------------------------------------------------------- */

static int
status_of(enum verdict_act act)
{
	switch (act) {
	case VERDICT_DELIVER:
	case VERDICT_TAG:
		return EXIT_SUCCESS;
	case VERDICT_DEFER:
		return EXIT_DEFERRED;
	case VERDICT_REFUSE:
	case VERDICT_HANG_UP:
		break;
	}
	return EXIT_REFUSED;
}

/* What is known in a session only is left out. */
static void
change(struct explain *explain, struct explain_outcome *outcome,
       struct verdict *verdict)
{
	const struct evidence evidence = { .helo = "" };
	struct config without = *explain->cfg; /* borrows all that it has */
	struct resultheader_facts facts = {
		.evidence = &evidence,
		.found = outcome->found,
		.count = outcome->count,
		.verdict = verdict,
	};

	without.result_headers &= ~RESULT_HEADERS_AUTH;
	outcome->changes = explain->changes;
	if (explain->changes && verdict->act <= VERDICT_TAG)
		resultheader_add(explain->changes, &without, &facts);
	if (explain->changes || verdict->act != VERDICT_TAG)
		return;
	verdict->act = VERDICT_DELIVER;
	outcome->untagged = true;
}

static int
conclude(struct explain *explain)
{
	struct finding all[TRANSACTION_FAULTS + CHECKS_MOST];
	size_t count = explain->fault_count;
	struct verdict verdict;
	struct explain_outcome outcome = { .found = all, .verdict = &verdict };
	int code;

	memcpy(all, explain->faults, count * sizeof(all[0]));
	for (size_t i = 0; i < explain->found.count; i++)
		all[count++] = explain->found.at[i];
	verdict_weigh(&verdict, explain->cfg, all, count);
	outcome.count = count;
	change(explain, &outcome, &verdict);
	explain_print(explain->wish, &explain->input, &outcome);
	code = terminal_printed();
	return code == EXIT_SUCCESS ? status_of(verdict.act) : code;
}

static void
forget(struct explain *explain)
{
	checks_free(explain->checks);
	retouch_free(explain->changes);
	spool_drop(explain->spool);
	spool_budget_free(explain->budget);
	explain_close(&explain->input);
	event_base_free(explain->base);
}

int
explain_message(const struct explain_wish *wish)
{
	struct explain explain = { .wish = wish, .cfg = wish->cfg };
	int code = EXIT_FAILURE;

	signal(SIGPIPE, SIG_IGN);
	log_open(LOG_TO_STDERR, LOG_WARNING, LOG_DAEMON);
	if (!explain_open(&explain.input, wish->message))
		return EXIT_FAILURE;
	explain.base = event_base_new();
	prepare_reader(&explain);
	if (load_scanners(&explain) && become_reader(&explain) &&
	    read_message(&explain) && start_scanners(&explain) &&
	    ask_scanners(&explain))
		code = conclude(&explain);
	forget(&explain);
	if (explain.signal)
		raise(explain.signal);
	return code;
}
