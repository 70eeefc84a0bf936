#include "route_internal.h"

#include "stats.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Mode remote-udp.  Each question has a socket of its own, connected to the helper: so the
 * kernel keeps replies of all others from it, its port is another one each time, and a
 * helper that is not there is told by ICMP.
 */
enum {
	REPLIES_AT_ONCE = 16, /* read before others get their turn */
	SHORTEST_WAIT = 20,   /* ms */
};

struct asking {
	struct route_helper helper;
	struct lookup_secrets secrets;
	struct event readable, again;
	int fd;
	int wait_ms;
	unsigned asked, ignored;
	enum lookup_fault fault; /* of the last reply that was ignored */
	int error;               /* the last one of the socket */
};

/* ---- asking ------------------------------------------------------------------------- */

static void
ask(struct route *route)
{
	struct asking *own = route->own;
	unsigned char datagram[LOOKUP_DATAGRAM_MAX];
	size_t size = lookup_write_question(&own->helper.question, &own->secrets,
	                                    datagram);
	struct timeval wait = { own->wait_ms / 1000, own->wait_ms % 1000 * 1000L };

	if (send(own->fd, datagram, size, MSG_NOSIGNAL) < 0)
		own->error = errno; /* perhaps it goes the next time */
	own->asked++;
	stats_add(STAT_lookups, 1);
	if (own->asked < route->cfg->remote_udp_retries)
		evtimer_add(&own->again, &wait);
	own->wait_ms *= 2;
}

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	ask(arg);
}

/* ---- answers ------------------------------------------------------------------------ */

/* True when the question is over. */
static bool
take(struct route *route, const unsigned char *datagram, size_t size)
{
	struct asking *own = route->own;
	struct lookup_answer answer;

	own->fault = lookup_read_answer(datagram, size, &own->secrets,
	                                &own->helper.question, &answer);
	switch (own->fault) {
	case LOOKUP_FINE:
		route_helper_take(route, &own->helper, &answer);
		return true;
	case LOOKUP_UNUSABLE:
		route_helper_fail(route, &own->helper, ROUTE_MISMATCH,
		                  "names a destination that cannot be one");
		return true;
	case LOOKUP_MALFORMED:
	case LOOKUP_STRANGE:
	case LOOKUP_FORGED:
		own->ignored++;
		stats_add(STAT_lookups_ignored, 1);
		return false;
	}
	return false;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct route *route = arg;
	struct asking *own = route->own;
	unsigned char datagram[LOOKUP_DATAGRAM_MAX + 1]; /* a longer one shows */

	(void)what;
	for (int i = 0; i < REPLIES_AT_ONCE; i++) {
		ssize_t got = recv(fd, datagram, sizeof(datagram), 0);

		if (got < 0) {
			if (errno != EAGAIN && errno != EINTR)
				own->error = errno;
			return;
		}
		if (take(route, datagram, (size_t)got)) {
			route_answered(route);
			return;
		}
	}
}

/* ---- the way ------------------------------------------------------------------------ */

/* -1: errno. */
static int
open_socket(const struct route_helper *helper)
{
	int fd = socket(addr_family(&helper->asked),
	                SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error;

	if (fd < 0)
		return -1;
	if ((addr_family(&helper->from) == AF_UNSPEC ||
	     bind(fd, &helper->from.any, addr_size(&helper->from)) == 0) &&
	    connect(fd, &helper->asked.any, addr_size(&helper->asked)) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static const char *
begin(struct asking *own)
{
	if (!lookup_can_carry(&own->helper.question, &own->secrets))
		return "cannot be asked about IPv6 without a key: set "
		       "remote_udp_keyfile";
	own->fd = open_socket(&own->helper);
	return own->fd < 0 ? strerror(errno) : NULL;
}

static bool
start(struct route *route)
{
	struct asking *own = xcalloc(1, sizeof(*own));
	const struct config *cfg = route->cfg;
	const char *trouble;

	route_helper_init(&own->helper, route);
	own->secrets.number = (uint32_t)cfg->remote_udp_secret;
	own->secrets.key = cfg->root->remote_key;
	trouble = begin(own);
	if (trouble) {
		route_helper_fail(route, &own->helper, ROUTE_UNKNOWN, trouble);
		free(own);
		return false;
	}
	route->own = own;
	own->wait_ms = (int)(cfg->timeout_lookup * 1000 >>
	                     (cfg->remote_udp_retries + 1));
	if (own->wait_ms < SHORTEST_WAIT)
		own->wait_ms = SHORTEST_WAIT;
	event_assign(&own->readable, route->base, own->fd, EV_READ | EV_PERSIST,
	             on_readable, route);
	evtimer_assign(&own->again, route->base, on_again, route);
	event_add(&own->readable, NULL);
	ask(route);
	return true;
}

static void
stop(struct route *route)
{
	struct asking *own = route->own;

	event_del(&own->readable);
	evtimer_del(&own->again);
	close(own->fd);
	explicit_bzero(&own->secrets, sizeof(own->secrets));
	free(own);
}

static void
describe(const struct route *route, struct route_words *words)
{
	const struct asking *own = route->own;
	char asked[ADDR_TEXT_SIZE], ignored[96] = "";

	if (own->ignored > 0)
		snprintf(ignored, sizeof(ignored),
		         "; replies ignored: %u, the last: %s", own->ignored,
		         lookup_fault_words(own->fault));
	snprintf(words->text, sizeof(words->text),
	         "the helper at %s has not answered; asked: %u%s%s%s",
	         addr_full(&own->helper.asked, asked), own->asked, ignored,
	         own->error ? "; " : "", own->error ? strerror(own->error) : "");
}

const struct route_way route_by_datagrams = { start, stop, describe };
