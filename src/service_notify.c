#include "service_internal.h"

#include "log.h"
#include "stats.h"
#include "systemd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * What the service manager is told about us.  There are two kinds of news: a new state
 * (READY=1 and its like), which is due until it was taken, and the words of STATUS=, which
 * are sent again when they have changed.
 */
enum {
	REFRESH_MS = 2000,
	SOON_MS = 100,            /* when the manager's socket was full */
	SUCCESSOR_MS = 1000,      /* for the predecessor to say who it is now */
	WATCHDOG_PARTS = 3,       /* of its time: two may come late */
	LOADING_PATIENCE_S = 600, /* for a large database on a slow machine */
	STOPPING_PATIENCE_S = 20, /* beyond timeout_drain: threads end, too */
};

static struct timeval
milliseconds(uint64_t count)
{
	return (struct timeval){ .tv_sec = (time_t)(count / 1000),
		                 .tv_usec = (suseconds_t)(count % 1000 * 1000) };
}

/* ---- words for people ---------------------------------------------------------------- */

static const char *
plural(int64_t count)
{
	return count == 1 ? "" : "s";
}

/* What is to be known of them at a glance: until it is well again. */
static const char *
signatures_words(const struct config *cfg)
{
	if (!config_any(cfg, config_has_libclamav))
		return "";
	if (stats_get(STAT_signatures_loading))
		return "; loading signatures";
	if (stats_get(STAT_signatures) == 0)
		return "; NO SIGNATURES, nothing can be scanned: see the log";
	return stats_get(STAT_signatures_stale)
	               ? "; new signatures are faulty, the old ones stay: see the log"
	               : "";
}

static void
describe(const struct service *service, char status[static NOTICE_SIZE])
{
	int64_t sessions = sessions_count(service->sessions);
	int64_t mails = stats_get(STAT_mails);
	const char *fault = service->notices.fault;

	if (service->stopping)
		snprintf(status, NOTICE_SIZE, "draining %" PRId64 " session%s",
		         sessions, plural(sessions));
	else
		snprintf(status, NOTICE_SIZE,
		         "serving %" PRId64 " session%s, %" PRId64 " mail%s, %" PRId64
		         " infected%s%s%s",
		         sessions, plural(sessions), mails, plural(mails),
		         stats_get(STAT_mails_infected), signatures_words(service->cfg),
		         fault[0] ? "; " : "", fault);
	systemd_clean(status);
}

/* ---- telling ------------------------------------------------------------------------- */

/* Once for each time that the manager goes away. */
static void
complain(struct notices *notices)
{
	if (!notices->unheard)
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "the service manager does not hear us "
		                           "(NOTIFY_SOCKET)"),
		          log_error(errno));
	notices->unheard = true;
}

/* What is due and the words, unless neither is new. */
static void
tell(struct service *service)
{
	struct notices *notices = &service->notices;
	struct timeval soon = milliseconds(SOON_MS);
	char status[NOTICE_SIZE];

	describe(service, status);
	if (!notices->due[0] && strcmp(status, notices->told) == 0)
		return;
	if (systemd_notify("%s%sSTATUS=%s", notices->due, notices->due[0] ? "\n" : "",
	                   status)) {
		memcpy(notices->told, status, sizeof(status));
		notices->due[0] = '\0';
		notices->unheard = false;
	} else if (errno != EAGAIN) {
		complain(notices);
	} else if (notices->refresh) {
		event_add(notices->refresh, &soon);
	}
}

static void
on_refresh(evutil_socket_t fd, short what, void *arg)
{
	struct service *service = arg;
	struct timeval pause = milliseconds(REFRESH_MS);

	(void)fd, (void)what;
	event_add(service->notices.refresh, &pause);
	if (service->stopping) /* a reload of the manager has made it forget */
		(void)systemd_notify("EXTEND_TIMEOUT_USEC=%d000000",
		                     STOPPING_PATIENCE_S);
	tell(service);
}

static void
on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	(void)systemd_notify("WATCHDOG=1");
}

/* The loop itself: threads may take what time they need. */
static void
feed_watchdog(struct service *service)
{
	struct timeval part = milliseconds(systemd_watchdog() / 1000 / WATCHDOG_PARTS);

	if (!evutil_timerisset(&part))
		return;
	service->notices.watchdog = event_new(service->base, -1, EV_PERSIST,
	                                      on_watchdog, service);
	event_add(service->notices.watchdog, &part);
}

/* ---- news ---------------------------------------------------------------------------- */

void
notices_open(void)
{
	char why[256];

	if (!systemd_open(why, sizeof(why)))
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "cannot tell the service manager anything"),
		          log_text("why", why));
}

void
notices_loading(void)
{
	if (upgrade_waited_for())
		return;
	(void)systemd_notify("EXTEND_TIMEOUT_USEC=%d000000\nSTATUS=loading signatures",
	                     LOADING_PATIENCE_S);
}

void
notices_failed(const char *why)
{
	char words[NOTICE_SIZE];

	if (upgrade_waited_for())
		return;
	snprintf(words, sizeof(words), "%s", why);
	(void)systemd_notify("STATUS=%s", systemd_clean(words));
}

void
notices_serving(struct service *service)
{
	struct notices *notices = &service->notices;
	bool succeeds = upgrade_waited_for();
	struct timeval pause = milliseconds(succeeds ? SUCCESSOR_MS : REFRESH_MS);

	if (!systemd_is_told())
		return;
	notices->refresh = event_new(service->base, -1, 0, on_refresh, service);
	event_add(notices->refresh, &pause);
	feed_watchdog(service);
	strcpy(notices->due, "READY=1");
	if (!succeeds)
		tell(service);
}

void
notices_reloading(struct service *service)
{
	if (!systemd_is_told() || service->stopping)
		return;
	snprintf(service->notices.due, sizeof(service->notices.due),
	         "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, systemd_now());
	tell(service);
}

void
notices_reloaded(struct service *service, const char *why)
{
	struct notices *notices = &service->notices;

	if (!systemd_is_told() || service->stopping)
		return;
	snprintf(notices->fault, sizeof(notices->fault), "%s%s",
	         why ? "the configuration stays as it was: " : "", why ? why : "");
	strcpy(notices->due, "READY=1");
	tell(service);
}

void
notices_stopping(struct service *service)
{
	struct notices *notices = &service->notices;
	int64_t patience = service->cfg->timeout_drain + STOPPING_PATIENCE_S;

	if (!systemd_is_told())
		return;
	snprintf(notices->due, sizeof(notices->due),
	         "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRId64 "000000", patience);
	tell(service);
}

void
notices_pass_on(struct service *service, pid_t pid)
{
	if (!systemd_pass_on(pid))
		complain(&service->notices);
	notices_close(service);
}

void
notices_close(struct service *service)
{
	struct notices *notices = &service->notices;

	if (notices->refresh)
		event_free(notices->refresh);
	if (notices->watchdog)
		event_free(notices->watchdog);
	notices->refresh = notices->watchdog = NULL;
	systemd_close();
}
