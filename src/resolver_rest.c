#include "resolver_internal.h"

#include "backoff.h"
#include "clock.h"
#include "log.h"
#include "stats.h"

#include <event2/event_struct.h>
#include <stdlib.h>

/*
 * Name servers that are all gone: see resolver_internal.h.
 *
 * A name that nobody answers for is not enough to tell: its owner may want that.  So they
 * are asked for what every name server has an opinion about, and if then nothing at all
 * comes from any of them, they are gone.
 */
static const struct backoff_pace pace = {
	.patience = 1,
	.first_us = 5000000,
	.most_us = 60000000,
};

enum {
	SILENCE_US = 1500000, /* that makes us wonder, while questions are under way */
};

struct resolver_rest {
	struct resolver_rest_calls calls;
	void *arg;
	struct backoff backoff;
	struct event timer;
	int64_t heard_us; /* when the last packet came, whatever it was */
	enum {
		AT_EASE,  /* the timer is not set */
		WATCHING, /* there are questions */
		PROBING,
		RESTING, /* they are gone */
	} doing;
	bool is_refused; /* the system says so, to the last probe */
};

static void
next(struct resolver_rest *rest, int doing, int64_t us)
{
	struct timeval limit = { us / 1000000, us % 1000000 };

	rest->doing = doing;
	evtimer_add(&rest->timer, &limit);
}

/* That there is nobody may be known at once. */
static void
probe(struct resolver_rest *rest)
{
	unsigned ms;

	rest->doing = PROBING;
	rest->is_refused = false;
	ms = rest->calls.probe(rest->arg);
	next(rest, PROBING, rest->is_refused ? 0 : (int64_t)ms * 1000);
}

static void
gone(struct resolver_rest *rest)
{
	bool rested = backoff_rests(&rest->backoff);

	if (backoff_failed(&rest->backoff, &pace, rested, clock_us()))
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text",
		                   "no name server answers: until one does, "
		                   "what has to be asked of DNS fails at once "
		                   "(dnsbl, spf, xclient_name); see that they "
		                   "run and can be reached, or change the option, "
		                   "if it is empty /etc/resolv.conf"),
		          log_text("option", "resolver"));
	next(rest, RESTING, rest->backoff.until_us - clock_us());
	if (!rested)
		stats_add(STAT_dns_gone, 1);
	if (!rested)
		rest->calls.gone(rest->arg);
}

static void
watch(struct resolver_rest *rest)
{
	int64_t left_us = rest->heard_us + SILENCE_US - clock_us();

	if (!rest->calls.is_busy(rest->arg))
		rest->doing = AT_EASE;
	else if (left_us > 0)
		next(rest, WATCHING, left_us);
	else
		probe(rest);
}

static void
on_time(int fd, short what, void *arg)
{
	struct resolver_rest *rest = arg;

	(void)fd;
	(void)what;
	switch (rest->doing) {
	case AT_EASE:
		break;
	case WATCHING:
		watch(rest);
		break;
	case PROBING:
		gone(rest);
		break;
	case RESTING:
		probe(rest);
		break;
	}
}

struct resolver_rest *
resolver_rest_new(struct event_base *base, const struct resolver_rest_calls *calls,
                  void *arg)
{
	struct resolver_rest *rest = xcalloc(1, sizeof(*rest));

	rest->calls = *calls;
	rest->arg = arg;
	evtimer_assign(&rest->timer, base, on_time, rest);
	return rest;
}

void
resolver_rest_free(struct resolver_rest *rest)
{
	if (!rest)
		return;
	evtimer_del(&rest->timer);
	if (resolver_rest_lasts(rest))
		stats_add(STAT_dns_gone, -1);
	free(rest);
}

bool
resolver_rest_lasts(const struct resolver_rest *rest)
{
	return backoff_rests(&rest->backoff);
}

void
resolver_rest_asked(struct resolver_rest *rest)
{
	if (rest->doing == AT_EASE)
		next(rest, WATCHING, SILENCE_US);
}

void
resolver_rest_heard(struct resolver_rest *rest)
{
	rest->heard_us = clock_us();
	if (rest->doing != PROBING && rest->doing != RESTING)
		return;
	if (resolver_rest_lasts(rest))
		stats_add(STAT_dns_gone, -1);
	if (backoff_answered(&rest->backoff))
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "name servers answer again"),
		          log_text("option", "resolver"));
	next(rest, WATCHING, SILENCE_US);
}

bool
resolver_rest_silent(const struct resolver_rest *rest, int64_t since_us)
{
	return rest->heard_us < since_us;
}

void
resolver_rest_refused(struct resolver_rest *rest)
{
	if (rest->doing == PROBING) {
		rest->is_refused = true;
		next(rest, PROBING, 0);
	} else if (!resolver_rest_lasts(rest)) {
		probe(rest);
	}
}
