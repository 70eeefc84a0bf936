#include "statestore_internal.h"

#include "clock.h"
#include "stateurl.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 * Two connections to one server: whoever has subscribed to news can ask nothing else.
 */
enum {
	ADDRESSES_MOST = 8,
	GRACE_MS = 1000, /* an answer to what is asked once a second */
};

struct side {
	struct caller *caller;
	struct link *link; /* NULL: there is none */
	bool is_ready;     /* to be used */
};

struct caller {
	struct stateurl url;
	char *server; /* for the log */
	char *channel, *ca_file;
	struct secret password;
	unsigned patience_s;
	struct event_base *base;
	struct resolver *resolver;
	struct resolver_question *question;
	struct addr addrs[ADDRESSES_MOST]; /* of the server */
	size_t addr_count, addr_next;
	struct side talk, ears;
	int64_t began_ms;
	bool is_up;
	const struct caller_ears *tell;
	void *arg;
};

static void
fail(struct caller *caller, const char *why)
{
	caller->tell->lost(why, caller->arg);
}

void
caller_hang_up(struct caller *caller)
{
	struct link *talk = caller->talk.link, *ears = caller->ears.link;

	caller->is_up = false;
	caller->talk = (struct side){ .caller = caller };
	caller->ears = caller->talk;
	resolver_cancel(caller->question);
	caller->question = NULL;
	link_close(talk);
	link_close(ears);
}

/* ---- logging in ------------------------------------------------------------------------- */

static void
on_side_ready(struct side *side)
{
	struct caller *caller = side->caller;

	side->is_ready = true;
	if (!caller->talk.is_ready || !caller->ears.is_ready)
		return;
	caller->is_up = true;
	caller->tell->up(caller->arg);
}

static void
on_login(const struct link_answer *answer, void *arg)
{
	struct side *side = arg;

	if (answer && answer->kind == LINK_REFUSAL && side->link)
		fail(side->caller, answer->text);
}

static void
log_in(struct side *side)
{
	const struct caller *caller = side->caller;
	const struct secret *secret = &caller->password;
	struct link_word words[3] = { link_text("AUTH") };
	size_t count = 1;

	if (!caller->url.password && secret->size == 0)
		return;
	if (caller->url.user)
		words[count++] = link_text(caller->url.user);
	words[count].at = secret->size > 0 ? (const char *)secret->bytes
	                                   : caller->url.password;
	words[count].size = secret->size > 0 ? secret->size
	                                     : strlen(caller->url.password);
	link_ask(side->link, words, count + 1, on_login, side);
}

/* PONG is what no other server says. */
static void
on_first_pong(const struct link_answer *answer, void *arg)
{
	struct side *side = arg;

	if (!answer || !side->link)
		return;
	if (link_says(answer, "PONG"))
		on_side_ready(side);
	else
		fail(side->caller, answer->kind == LINK_REFUSAL
		                           ? answer->text
		                           : "it answers PING with something else");
}

static void
talk_ready(void *arg)
{
	struct side *side = arg;
	char number[16];
	struct link_word select[] = { link_text("SELECT"), { number, 0 } };
	struct link_word ping[] = { link_text("PING") };

	log_in(side);
	select[1].size = (size_t)snprintf(number, sizeof(number), "%u",
	                                  side->caller->url.database);
	if (side->caller->url.database > 0)
		link_ask(side->link, select, 2, on_login, side);
	link_ask(side->link, ping, 1, on_first_pong, side);
}

static void
ears_ready(void *arg)
{
	struct side *side = arg;
	struct link_word subscribe[] = { link_text("SUBSCRIBE"),
		                         link_text(side->caller->channel) };

	log_in(side);
	link_tell(side->link, subscribe, 2);
}

static void
ears_heard(const struct link_answer *what, void *arg)
{
	struct side *side = arg;
	struct caller *caller = side->caller;

	if (what->kind == LINK_REFUSAL)
		fail(caller, what->text);
	else if (what->kind != LINK_LIST || what->size < 2)
		fail(caller, "it answers what was not asked");
	else if (link_says(what->list[0], "subscribe") && !side->is_ready)
		on_side_ready(side);
	else if (link_says(what->list[0], "message") && what->size == 3 &&
	         what->list[2]->kind == LINK_TEXT && caller->is_up)
		caller->tell->news(what->list[2], caller->arg);
}

static void
on_lost(const char *why, void *arg)
{
	const struct side *side = arg;

	fail(side->caller, why);
}

/* ---- calling ---------------------------------------------------------------------------- */

static void
call_at(struct caller *caller, const struct addr *addr)
{
	static const struct link_ears for_talk = { .ready = talk_ready,
		                                   .lost = on_lost };
	static const struct link_ears for_ears = { .ready = ears_ready,
		                                   .lost = on_lost,
		                                   .heard = ears_heard };
	struct link_target target = {
		.addr = addr,
		.path = caller->url.path,
		.tls_name = caller->url.is_tls ? caller->url.host : NULL,
		.ca_file = caller->ca_file,
	};
	char why[256];

	caller->began_ms = clock_ms();
	caller->talk.link = link_open(caller->base, &target, &for_talk, &caller->talk,
	                              why, sizeof(why));
	if (caller->talk.link)
		caller->ears.link = link_open(caller->base, &target, &for_ears,
		                              &caller->ears, why, sizeof(why));
	if (!caller->ears.link)
		fail(caller, why);
}

static void
call_next(struct caller *caller)
{
	assert(caller->addr_count > 0);
	call_at(caller, &caller->addrs[caller->addr_next++ % caller->addr_count]);
}

static void
on_resolved(const struct resolver_answer *answer, void *arg)
{
	struct caller *caller = arg;

	caller->question = NULL;
	for (size_t i = 0; i < answer->count && caller->addr_count < ADDRESSES_MOST;
	     i++) {
		caller->addrs[caller->addr_count] = answer->addrs[i];
		addr_set_port(&caller->addrs[caller->addr_count++], caller->url.port);
	}
	if (caller->addr_count > 0)
		call_next(caller);
	else
		fail(caller, answer->result == RESOLVER_NOTHING
		                     ? "DNS has no address of that name"
		                     : "DNS does not say what its address is");
}

static void
on_resolved_four(const struct resolver_answer *answer, void *arg)
{
	struct caller *caller = arg;

	if (answer->result != RESOLVER_NOTHING) {
		on_resolved(answer, arg);
		return;
	}
	caller->question = resolver_ask(caller->resolver, RESOLVER_AAAA,
	                                caller->url.host, caller->patience_s,
	                                on_resolved, caller);
}

/* True: no DNS is needed. */
static bool
knows_address(struct caller *caller)
{
	const char *host = caller->url.host;
	uint16_t port = caller->url.port;

	if (strcmp(host, "localhost") == 0)
		caller->addr_count = (size_t)(addr_parse(&caller->addrs[0], "127.0.0.1",
		                                         port) +
		                              addr_parse(&caller->addrs[1], "::1",
		                                         port));
	else
		caller->addr_count = addr_parse(&caller->addrs[0], host, port);
	return caller->addr_count > 0;
}

/* Addresses are asked for anew: the server may have moved. */
void
caller_call(struct caller *caller)
{
	if (caller->url.path) {
		call_at(caller, NULL);
	} else if (knows_address(caller)) {
		call_next(caller);
	} else {
		caller->addr_count = 0;
		caller->question = resolver_ask(caller->resolver, RESOLVER_A,
		                                caller->url.host, caller->patience_s,
		                                on_resolved_four, caller);
	}
}

/* ---- once it is there ------------------------------------------------------------------- */

static bool
is_silent(const struct caller *caller)
{
	int64_t patience = (int64_t)caller->patience_s * 1000;

	if (!caller->talk.link)
		return false;
	if (!caller->is_up)
		return clock_ms() - caller->began_ms > patience;
	return link_waits(caller->talk.link) > patience ||
	       link_silent(caller->ears.link) > patience + GRACE_MS;
}

void
caller_tick(struct caller *caller)
{
	struct link_word ping[] = { link_text("PING") };
	char why[64];

	if (is_silent(caller)) {
		snprintf(why, sizeof(why), "no answer for %u s (timeout_state)",
		         caller->patience_s);
		fail(caller, why);
	}
	if (!caller->is_up)
		return;
	if (link_waits(caller->talk.link) == 0)
		link_ask(caller->talk.link, ping, 1, NULL, NULL);
	link_tell(caller->ears.link, ping, 1);
}

struct link *
caller_talk(const struct caller *caller)
{
	return caller->is_up ? caller->talk.link : NULL;
}

const char *
caller_server(const struct caller *caller)
{
	return caller->server;
}

const char *
caller_channel(const struct caller *caller)
{
	return caller->channel;
}

/* ---- birth and death -------------------------------------------------------------------- */

struct caller *
caller_new(const struct statestore_setup *setup, char *why, size_t why_size)
{
	struct caller *caller = xcalloc(1, sizeof(*caller));
	const char *fault = stateurl_read(&caller->url, setup->server)
	                            ?: stateurl_login_fault(&caller->url,
	                                                    setup->password_file[0]);
	char words[256];

	if (fault)
		snprintf(why, why_size, "state_server: it %s", fault);
	else if (setup->password_file[0] &&
	         !secret_read(&caller->password, setup->password_file, 1, words,
	                      sizeof(words)))
		snprintf(why, why_size, "state_password_file: %s", words);
	else
		caller->server = stateurl_text(&caller->url);
	if (!caller->server) {
		caller_free(caller);
		return NULL;
	}
	caller->channel = xasprintf("%s:news:%u", setup->prefix, caller->url.database);
	caller->ca_file = xstrdup(setup->ca_file);
	caller->patience_s = setup->seconds;
	caller->talk.caller = caller->ears.caller = caller;
	return caller;
}

void
caller_start(struct caller *caller, struct event_base *base, struct resolver *resolver,
             const struct caller_ears *tell, void *arg)
{
	caller->base = base;
	caller->resolver = resolver;
	caller->tell = tell;
	caller->arg = arg;
}

void
caller_free(struct caller *caller)
{
	if (!caller)
		return;
	caller_hang_up(caller);
	stateurl_clear(&caller->url);
	explicit_bzero(&caller->password, sizeof(caller->password));
	free(caller->server);
	free(caller->channel);
	free(caller->ca_file);
	free(caller);
}
