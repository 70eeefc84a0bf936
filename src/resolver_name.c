#include "resolver.h"

#include "xclient.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * From an address to a name and back again.  A PTR is written by whoever has the address,
 * and may say anything: only the way back shows that the name's owner agrees.
 */
struct resolver_naming {
	struct resolver *resolver;
	struct addr addr;
	unsigned seconds;
	struct resolver_question *question;
	struct resolver_host host;
	resolver_host_cb *named;
	void *arg;
};

static void
naming_done(struct resolver_naming *naming)
{
	struct resolver_naming was = *naming;

	free(naming);
	was.named(&was.host, was.arg);
}

static void
on_address(const struct resolver_answer *answer, void *arg)
{
	struct resolver_naming *naming = arg;

	naming->question = NULL;
	naming->host.unsure = answer->result == RESOLVER_FAILED;
	for (size_t i = 0; i < answer->count; i++)
		naming->host.verified |= addr_same_host(&answer->addrs[i],
		                                        &naming->addr);
	naming_done(naming);
}

/* The first that is a host name. */
static void
choose_name(struct resolver_host *host, const struct resolver_answer *answer)
{
	for (size_t i = 0; i < answer->count && !host->name[0]; i++)
		if (xclient_is_host_name(answer->texts[i]))
			snprintf(host->name, sizeof(host->name), "%s",
			         answer->texts[i]);
}

static void
on_name(const struct resolver_answer *answer, void *arg)
{
	struct resolver_naming *naming = arg;
	bool four = addr_family(&naming->addr) == AF_INET;

	naming->question = NULL;
	naming->host.unsure = answer->result == RESOLVER_FAILED;
	choose_name(&naming->host, answer);
	if (naming->host.name[0])
		naming->question = resolver_ask(
			naming->resolver, four ? RESOLVER_A : RESOLVER_AAAA,
			naming->host.name, naming->seconds, on_address, naming);
	else
		naming_done(naming);
}

struct resolver_naming *
resolver_name_start(struct resolver *resolver, const struct addr *addr,
                    unsigned seconds, resolver_host_cb *named, void *arg)
{
	struct resolver_naming *naming = xcalloc(1, sizeof(*naming));
	char reverse[ADDR_REVERSE_SIZE];

	naming->resolver = resolver;
	naming->addr = *addr;
	naming->seconds = seconds;
	naming->named = named;
	naming->arg = arg;
	addr_reverse(addr, reverse);
	naming->question = resolver_ask(resolver, RESOLVER_PTR, reverse, seconds,
	                                on_name, naming);
	return naming;
}

void
resolver_name_cancel(struct resolver_naming *naming)
{
	if (!naming)
		return;
	resolver_cancel(naming->question);
	free(naming);
}
