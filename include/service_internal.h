#ifndef SERVICE_INTERNAL_H
#define SERVICE_INTERNAL_H

#include "check.h"
#include "listener.h"
#include "pidfile.h"
#include "reaction.h"
#include "resolver.h"
#include "script.h"
#include "service.h"
#include "session.h"
#include "spool.h"
#include "statestore.h"
#include "wire.h"

#include <event2/event.h>
#include <time.h>

/*
 * The inside of the daemon, for service*.c alone.
 */
enum {
	SERVICE_SIGNALS = 6,
	NOTICE_SIZE = 1024,	/* of the words for STATUS= */
};

/* One socket that clients come to. */
struct entrance {
	struct service *service;	/* whose it is */
	char *name;			/* of the listener that it belongs to */
	int fd;				/* listening */
	bool is_handed;			/* over, by who started us */
	struct listener *listener;	/* which owns fd then; NULL: not yet */
};

/* What the service manager knows of us, and what it is still to be told. */
struct notices {
	struct event *refresh;		/* NULL: nobody is there to be told */
	struct event *watchdog;		/* NULL: not wanted */
	char told[NOTICE_SIZE];		/* the words that it has */
	char due[128];			/* assignments that it does not have yet */
	char fault[NOTICE_SIZE / 2];	/* of the last reload; empty: none */
	bool unheard;			/* the last one was not heard, which was said */
};

struct service {
	struct config *cfg;		/* in force; held */
	struct event_base *base;
	struct checks *checks;
	struct reactions *reactions;
	struct spool_budget *budget;
	struct resolver *resolver;
	struct statestore *shared;	/* with other gateways; NULL: nothing is */
	struct sessions *sessions;
	struct pidfile *pidfile;	/* NULL: none is wanted */
	struct entrance *entrances;
	size_t entrance_count;
	struct event *signals[SERVICE_SIGNALS];
	struct event *drained;		/* when patience with sessions ends */
	struct notices notices;
	char *config_name;		/* of the file; NULL: none */
	int config_directory;		/* where that begins, unless at the root */
	char *program, *config_path;	/* as a successor is started; NULL: unknown */
	struct wire *wire;		/* NULL: rules outlive us */
	struct upgrade *upgrade;	/* under way; NULL: none */
	int null;			/* /dev/null, for the background */
	time_t started, reloaded;
	bool foreground;
	bool handed;			/* the sockets are not our own */
	bool stopping;
	bool gave_way;			/* stopping since a successor serves */
};

/* What can go wrong before anything is served: it is said on stderr, in one sentence.
 * service_prepare() needs what root can do; after it, that is given up. */
bool service_prepare(struct service *service);

/* Says what went wrong; returns false. */
bool service_fail(const char *format, ...) PRINTF(1, 2);

/* Opens those that the configuration, or whoever started us, wants; accepts clients on
 * them; closes them all (that there are none is fine). */
bool entrances_open(struct service *service) MUST_CHECK;
void entrances_listen(struct service *service);
void entrances_close(struct service *service);

/* The port of the main part's; 0: clients cannot come to it. */
unsigned entrances_main_port(const struct service *service) MUST_CHECK;

/* Sees to it that there can be as many descriptors as max_connections may need, or says
 * that there cannot. */
void service_raise_descriptors(const struct config *cfg);

/* Says of each action script that is not there; so does what comes of a finding. */
void service_note_scripts(struct config *cfg);

/*
 * News for the service manager, systemd.h; without one these do nothing.  The first three
 * are for the time before the loop turns.  A successor is not heard before its predecessor
 * has made way, and says nothing until then.
 */
void notices_open(void);
void notices_loading(void);
void notices_failed(const char *why);
void notices_serving(struct service *service);
void notices_reloading(struct service *service);
void notices_reloaded(struct service *service, const char *why);	/* NULL: fine */
void notices_stopping(struct service *service);
/* Process PID is told and watched from now on; we tell nothing more. */
void notices_pass_on(struct service *service, pid_t pid);
void notices_close(struct service *service);

/*
 * Giving way to a new program that takes the sockets over (service_upgrade.c).
 */

/* Notes what a successor will be started with: before the root or working directory is
 * another. */
void upgrade_remember(struct service *service);

/* Starts it; what becomes of that is logged.  Calls service_give_way() when it serves. */
void upgrade_begin(struct service *service);

/* Nobody waits for it any more: it will end.  That there is none is fine. */
void upgrade_cancel(struct service *service);

/* Process PID serves in our place: no new sessions, and the end with the last. */
void service_give_way(struct service *service, pid_t pid);

/* The successor's side.  True if a predecessor waits for us. */
bool upgrade_waited_for(void);

/* Its pidfile; NULL: none was handed over. */
struct pidfile *upgrade_pidfile(const struct config *cfg) MUST_CHECK;

/* Tells it that we serve.  False: it does not want that any more. */
bool upgrade_ready(void) MUST_CHECK;

/*
 * Going to the background, in two steps: the parent waits in the first until the child
 * has done the second, and ends with the code that tells how it went.  So what fails in
 * between is still told on the terminal and by the exit code.
 */
struct background {
	bool begun;	/* else in the foreground */
	int report;	/* -1: nobody waits */
};
bool background_begin(struct background *background);
void background_done(struct background *background, int null);

#endif
