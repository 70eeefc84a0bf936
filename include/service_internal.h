#ifndef SERVICE_INTERNAL_H
#define SERVICE_INTERNAL_H

#include "check.h"
#include "listener.h"
#include "pidfile.h"
#include "service.h"
#include "session.h"
#include "spool.h"

#include <event2/event.h>
#include <time.h>

/*
 * The inside of the daemon, for service*.c alone.
 */
enum {
	SERVICE_SIGNALS = 5,
};

struct service {
	struct config *cfg;		/* in force; held */
	struct event_base *base;
	struct checks *checks;
	struct spool_budget *budget;
	struct sessions *sessions;
	struct pidfile *pidfile;	/* NULL: none is wanted */
	struct listener **listeners;	/* as many as bind_address has */
	int *sockets;			/* the same, before they are listeners; else -1 */
	struct event *signals[SERVICE_SIGNALS];
	char name[256];			/* of this host, for our replies */
	char *config_name;		/* of the file, in its directory; NULL: no file */
	int config_directory;		/* stays reachable when the root changes */
	int null;			/* /dev/null, for the background */
	time_t started, reloaded;
	bool foreground;
	bool stopping;
};

/* What can go wrong before anything is served: it is said on stderr, in one sentence.
 * service_prepare() needs what root can do; after it, that is given up. */
bool service_prepare(struct service *service);

/* Says what went wrong; returns false. */
bool service_fail(const char *format, ...) PRINTF(1, 2);

/* The name of this host in our replies, as proxy_name says. */
void service_name_host(struct service *service);

/*
 * Going to the background, in two steps: the parent waits in the first until the child
 * has done the second, and ends with the code that tells how it went.  So what fails in
 * between is still told on the terminal and by the exit code.
 */
struct background {
	int report;	/* -1: in the foreground */
};
bool background_begin(struct background *background);
void background_done(struct background *background, int null);

#endif
