#include "route_internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/*
 * As 1.4 did, the far end of the connection is asked: a router that puts its own address in
 * the place of its clients' is that far end.  One that leaves theirs is named by the option
 * remote_host.
 */

static uint64_t
make_cookie(void)
{
	uint64_t cookie = 0;

	if (getrandom(&cookie, sizeof(cookie), 0) != sizeof(cookie))
		cookie = 0; /* it is one of the guards, not the only one */
	return cookie;
}

void
route_helper_init(struct route_helper *helper, const struct route *route)
{
	const struct config *cfg = route->cfg;
	bool named = cfg->remote_host[0] &&
	             addr_parse(&helper->asked, cfg->remote_host, 0);

	if (!named) {
		helper->asked = route->query.client;
		helper->from = route->query.local;
		addr_set_port(&helper->from, 0);
	}
	addr_set_port(&helper->asked, (uint16_t)cfg->remote_port);
	helper->question = (struct lookup_question){
		.version = cfg->root->remote_key.size > 0 ? LOOKUP_KEYED : LOOKUP_PLAIN,
		.cookie = make_cookie(),
		.client = route->query.client,
		.gateway = route->query.local,
		.names_hosts = named,
	};
}

void
route_helper_fail(struct route *route, const struct route_helper *helper,
                  enum route_result result, const char *words)
{
	struct route_answer *answer = &route->answer;
	char asked[ADDR_TEXT_SIZE];

	answer->result = result;
	snprintf(answer->why.text, sizeof(answer->why.text), "the helper at %s %s",
	         addr_full(&helper->asked, asked), words);
}

static void
take_found(struct route *route, const struct route_helper *helper,
           const struct lookup_answer *answer)
{
	route->answer.server = answer->server;
	if (addr_equal(&answer->server, &route->query.local))
		route_helper_fail(route, helper, ROUTE_NOT_REDIRECTED,
		                  "says that it was not redirected");
	else
		route->answer.result = ROUTE_FOUND;
}

_Static_assert((int)LOOKUP_IDENT_SIZE == (int)ROUTE_IDENT_SIZE, "an ident fits");

void
route_helper_take(struct route *route, const struct route_helper *helper,
                  const struct lookup_answer *answer)
{
	memcpy(route->answer.ident, answer->ident, sizeof(route->answer.ident));
	switch (answer->result) {
	case LOOKUP_FOUND:
		take_found(route, helper, answer);
		break;
	case LOOKUP_NOT_FOUND:
		route_helper_fail(route, helper, ROUTE_NOT_REDIRECTED,
		                  "knows of no such redirected connection");
		break;
	case LOOKUP_FAILED:
		route_helper_fail(route, helper, ROUTE_UNKNOWN,
		                  "cannot find it out; see its log");
		break;
	}
}
