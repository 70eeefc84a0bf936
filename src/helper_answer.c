#include "helper_internal.h"

#include "clock.h"
#include "conntrack.h"
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

enum {
	SILENCE = 10000, /* ms between two lines about the same */
};

static bool
is_time(int64_t *said)
{
	int64_t ms = clock_ms();

	if (*said != 0 && ms - *said < SILENCE)
		return false;
	*said = ms;
	return true;
}

void
helper_refuse(struct helper *helper, const struct addr *who, const char *why)
{
	helper->refused++;
	helper->unsaid++;
	if (!is_time(&helper->refusal_said))
		return;
	log_event(NULL, LOG_REFUSE_EVENT, log_text("why", why), log_addr("client", who),
	          log_number("count", helper->unsaid));
	helper->unsaid = 0;
}

int
helper_try_conntrack(void)
{
	struct conntrack_entry entry;
	struct addr nobody = { 0 };
	int error;

	nobody.v4.sin_family = AF_INET;
	error = conntrack_find(&nobody, &nobody, 0, &entry);
	return error == ENOENT ? 0 : error;
}

static void
complain(struct helper *helper, int error)
{
	helper->failed++;
	if (is_time(&helper->failure_said))
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "connection tracking cannot be asked"),
		          log_error(error));
}

/* The client's own address, if the gateway does not see it. */
static void
identify(const struct lookup_question *question, const struct conntrack_entry *entry,
         struct lookup_answer *answer)
{
	char text[ADDR_TEXT_SIZE];

	if (addr_same_host(&entry->client, &question->client))
		return;
	addr_text(&entry->client, text);
	lookup_clean_ident(answer->ident, text, sizeof(text));
}

void
helper_answer(struct helper *helper, const struct lookup_question *question,
              struct lookup_answer *answer)
{
	struct conntrack_entry entry = { 0 };
	int error = conntrack_find(&question->gateway, &question->client, 0, &entry);

	*answer = (struct lookup_answer){ .result = LOOKUP_FAILED };
	if (error != 0 && error != ENOENT) {
		complain(helper, error);
		return;
	}
	if (error == ENOENT || addr_equal(&entry.server, &question->gateway)) {
		answer->result = LOOKUP_NOT_FOUND;
		helper->not_found++;
	} else {
		answer->result = LOOKUP_FOUND;
		answer->server = entry.server;
		identify(question, &entry, answer);
		helper->found++;
	}
	if (log_wanted(LOG_REPLY_EVENT))
		log_event(NULL, LOG_REPLY_EVENT,
		          log_addr("gateway", &question->gateway),
		          log_addr("client", &question->client),
		          log_addr("server", &answer->server),
		          log_text("ident", answer->ident[0] ? answer->ident : NULL));
}
