#include "spf_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The evaluation of records: see spf.h.
 *
 * It goes in steps.  A step looks at what is known, and either sets the next one, or asks
 * questions first: then the next comes when all of them are answered, so that the order of
 * the answers does not matter.
 */
const char *
spf_word(enum spf_verdict verdict)
{
	switch (verdict) {
	case SPF_NONE:
		return "none";
	case SPF_NEUTRAL:
		return "neutral";
	case SPF_PASS:
		return "pass";
	case SPF_FAIL:
		return "fail";
	case SPF_SOFTFAIL:
		return "softfail";
	case SPF_TEMPERROR:
		return "temperror";
	case SPF_PERMERROR:
		return "permerror";
	}
	abort(); /* no such thing: a verdict */
}

static struct spf_facts
facts(struct spf *spf)
{
	return (struct spf_facts){
		.client = spf->client,
		.local = spf->local,
		.sender_domain = spf->sender_domain,
		.domain = spf_top(spf)->domain,
		.helo = spf->helo,
		.receiver = spf->receiver,
		.validated = spf_validated_name(spf),
		.now = spf->now,
	};
}

static bool
expand_name(struct spf *spf, struct spf_span spec)
{
	struct spf_facts about = facts(spf);

	return spf_expand_name(spec, &about, spf->target);
}

/* ---- explanations (6.2) ---------------------------------------------------------------------- */

static void
take_text(struct spf *spf, const char *text)
{
	spf->records++;
	if (!spf->text)
		spf->text = xstrdup(text);
}

static void
drop_text(struct spf *spf)
{
	free(spf->text);
	spf->text = NULL;
	spf->records = 0;
}

static void
take_explanation(struct spf *spf, size_t index, const struct spf_answer *answer)
{
	(void)index;
	if (!spf_is_found(spf, answer))
		return;
	for (size_t i = 0; i < answer->count; i++)
		take_text(spf, answer->texts[i]);
}

static void
explain(struct spf *spf)
{
	struct spf_span text = { spf->text, spf->text ? strlen(spf->text) : 0 };
	struct spf_facts about;

	if (spf->records != 1 || text.size > SPF_RECORD_MAX) {
		spf_finish(spf, SPF_FAIL);
		return;
	}
	if (spf_wants_validated(text) && !spf->is_named) {
		spf_name_client(spf, explain);
		return;
	}
	about = facts(spf);
	spf_expand_explanation(text, &about, spf->result.explanation);
	spf_finish(spf, SPF_FAIL);
}

static void
find_explanation(struct spf *spf)
{
	struct spf_span domain = spf_top(spf)->exp.domain;

	spf->is_explaining = true;
	if (spf_wants_validated(domain) && !spf->is_named) {
		spf_name_client(spf, find_explanation);
		return;
	}
	if (!expand_name(spf, domain)) {
		spf_finish(spf, SPF_FAIL);
		return;
	}
	drop_text(spf);
	spf_prepare(spf, explain, take_explanation);
	spf_want(spf, SPF_TXT, spf->target);
}

/* ---- records ------------------------------------------------------------------------------------- */

static void next_term(struct spf *spf);
static void find_target(struct spf *spf);

static void
match(struct spf *spf)
{
	const struct spf_term *term = &spf_top(spf)->term;

	while (spf->depth > 0) {
		enum spf_verdict verdict = term->qualifier;

		free(spf_top(spf)->record);
		spf_top(spf)->record = NULL;
		spf->depth--;
		term = &spf_top(spf)->term;
		if (verdict != SPF_PASS) { /* 5.2: that is no match */
			spf->next = next_term;
			return;
		}
	}
	spf_note_term(spf, term);
	if (term->qualifier == SPF_FAIL && spf_top(spf)->exp.domain.size > 0)
		spf->next = find_explanation;
	else
		spf_finish(spf, term->qualifier);
}

static void
take_record(struct spf *spf, size_t index, const struct spf_answer *answer)
{
	(void)index;
	if (!spf_is_found(spf, answer))
		return;
	for (size_t i = 0; i < answer->count; i++)
		if (spf_is_record(answer->texts[i]))
			take_text(spf, answer->texts[i]);
}

/* 5.2, 6.1: a domain that another's record names must have one. */
static void
no_record(struct spf *spf)
{
	spf_fail_for(spf, SPF_PERMERROR, "a domain that the record names has none");
}

/* 4.5, 4.6. */
static void
begin_record(struct spf *spf)
{
	struct spf_frame *frame = spf_top(spf);
	const char *why;

	if (spf->has_failed) {
		spf_fail_for(spf, SPF_TEMPERROR, "DNS gave no answer about a record");
		return;
	}
	if (spf->records == 0 && spf->depth == 0 && !frame->is_redirected) {
		spf_finish(spf, SPF_NONE);
		return;
	}
	if (spf->records == 0) {
		no_record(spf);
		return;
	}
	if (spf->records > 1) {
		spf_fail_for(spf, SPF_PERMERROR, "a domain has more than one record");
		return;
	}
	frame->record = spf->text;
	spf->text = NULL;
	why = spf_check_record(frame->record, &frame->redirect, &frame->exp);
	if (why) {
		spf_fail_for(spf, SPF_PERMERROR, why);
		return;
	}
	frame->rest = spf_terms_of(frame->record);
	spf->next = next_term;
}

/* Goes on with the record of the top frame's domain. */
static void
enter(struct spf *spf)
{
	drop_text(spf);
	spf_prepare(spf, begin_record, take_record);
	spf_want(spf, SPF_TXT, spf_top(spf)->domain);
}

/* ---- terms ------------------------------------------------------------------------------------------ */

static void
addresses_known(struct spf *spf)
{
	if (spf->has_match) {
		match(spf);
		return;
	}
	if (spf->has_failed)
		spf_fail_for(spf, SPF_TEMPERROR, "DNS gave no answer about a host");
	else if (spf_count_void(spf))
		spf->next = next_term;
}

static void
take_addresses(struct spf *spf, size_t index, const struct spf_answer *answer)
{
	(void)index;
	if (spf_is_found(spf, answer))
		spf->has_match |= spf_has_client(
			spf, answer, spf_client_bits(spf, &spf_top(spf)->term));
}

static void
do_a(struct spf *spf)
{
	spf_prepare(spf, addresses_known, take_addresses);
	spf_want(spf, spf_address_type(spf), spf->target);
}

static void
take_existence(struct spf *spf, size_t index, const struct spf_answer *answer)
{
	(void)index;
	spf->has_match |= spf_is_found(spf, answer);
}

/* 5.7: whatever the client's address, it is A that is asked for. */
static void
do_exists(struct spf *spf)
{
	spf_prepare(spf, addresses_known, take_existence);
	spf_want(spf, SPF_A, spf->target);
}

static void
take_mail_host(struct spf *spf, size_t index, const struct spf_answer *answer)
{
	(void)index;
	spf_note_void_host(spf, answer);
	if (answer->found == SPF_NO_ANSWER)
		spf->has_failed = true;
	else if (answer->found == SPF_THERE_IS)
		spf->has_match |= spf_has_client(
			spf, answer, spf_client_bits(spf, &spf_top(spf)->term));
}

static void
mail_hosts_known(struct spf *spf)
{
	if (spf->has_failed) {
		spf_fail_for(spf, SPF_TEMPERROR, "DNS gave no answer about mail hosts");
		return;
	}
	if (spf->has_too_many) {
		spf_fail_for(spf, SPF_PERMERROR,
		             "a domain has more than 10 mail hosts");
		return;
	}
	if (!spf_count_void(spf))
		return;
	spf_prepare(spf, addresses_known, take_mail_host);
	spf_want_hosts(spf, &spf->mail);
}

/* A domain that takes no mail says so with an empty name (RFC 7505). */
static void
take_mail_hosts(struct spf *spf, size_t index, const struct spf_answer *answer)
{
	(void)index;
	if (!spf_is_found(spf, answer))
		return;
	spf->has_too_many = answer->count > SPF_NAMES_MAX;
	for (size_t i = 0; i < answer->count && i < SPF_NAMES_MAX; i++)
		(void)spf_add_host(&spf->mail, answer->texts[i]);
}

static void
do_mx(struct spf *spf)
{
	spf->mail.count = 0;
	spf_prepare(spf, mail_hosts_known, take_mail_hosts);
	spf_want(spf, SPF_MX, spf->target);
}

static void
ptr_known(struct spf *spf)
{
	spf->next = next_term;
	for (size_t i = 0; i < spf->names.count; i++) {
		if (spf->names.at[i].is_clients &&
		    spf_is_below(spf->names.at[i].name, spf->target)) {
			match(spf);
			return;
		}
	}
}

static void
do_ptr(struct spf *spf)
{
	spf_name_client(spf, ptr_known);
}

static void
do_network(struct spf *spf)
{
	const struct spf_term *term = &spf_top(spf)->term;

	spf->next = next_term;
	if (spf_same_prefix(&spf->client, &term->network, spf_client_bits(spf, term)))
		match(spf);
}

static void
set_domain(struct spf *spf)
{
	struct spf_frame *frame = spf_top(spf);

	free(frame->record);
	*frame = (struct spf_frame){ .is_redirected = spf->depth == 0 };
	memcpy(frame->domain, spf->target, sizeof(frame->domain));
	enter(spf);
}

static void
do_include(struct spf *spf)
{
	spf->depth++;
	assert(spf->depth < SPF_FRAMES_MAX);
	set_domain(spf);
}

/* Each kind: does it count among those that ask DNS, and what does it do? */
static const struct rule {
	bool asks;
	bool needs_record; /* its target is nothing without one */
	spf_step *start;
} rules[] = {
	[SPF_ALL] = { false, false, match },
	[SPF_INCLUDE] = { true, true, do_include },
	[SPF_HAS_A] = { true, false, do_a },
	[SPF_HAS_MX] = { true, false, do_mx },
	[SPF_HAS_PTR] = { true, false, do_ptr },
	[SPF_IP4] = { false, false, do_network },
	[SPF_IP6] = { false, false, do_network },
	[SPF_EXISTS] = { true, false, do_exists },
	[SPF_REDIRECT] = { true, true, set_domain },
	[SPF_EXP] = { false, false, NULL }, /* not a term that matches */
	[SPF_UNKNOWN_MODIFIER] = { false, false, NULL },
};

/* What cannot be asked for is not there (4.8 leaves that open). */
static void
find_target(struct spf *spf)
{
	const struct spf_term *term = &spf_top(spf)->term;
	const struct rule *rule = &rules[term->kind];
	bool is_name = true;

	if (spf_wants_validated(term->domain) && !spf->is_named) {
		spf_name_client(spf, find_target);
		return;
	}
	if (term->domain.size == 0)
		memcpy(spf->target, spf_top(spf)->domain, sizeof(spf->target));
	else
		is_name = expand_name(spf, term->domain);
	if (rule->needs_record && (!is_name || !strchr(spf->target, '.')))
		no_record(spf);
	else if (is_name)
		rule->start(spf);
	else
		spf->next = next_term;
}

static void
begin_term(struct spf *spf)
{
	spf->is_void_counted = false;
	if (rules[spf_top(spf)->term.kind].asks && ++spf->terms > SPF_TERMS_MAX)
		spf_fail_for(spf, SPF_PERMERROR, "more than 10 terms ask DNS");
	else
		spf->next = find_target;
}

/* 4.7: without a match it is neutral, unless another record decides. */
static void
end_record(struct spf *spf)
{
	struct spf_frame *frame = spf_top(spf);

	if (frame->redirect.domain.size > 0) {
		frame->term = frame->redirect;
		begin_term(spf);
		return;
	}
	frame->term = (struct spf_term){ .kind = SPF_ALL, .qualifier = SPF_NEUTRAL };
	match(spf);
}

static void
next_term(struct spf *spf)
{
	struct spf_frame *frame = spf_top(spf);
	const char *why;
	bool has_more = spf_next_term(&frame->rest, &frame->term, &why);

	assert(!why); /* it was looked at as a whole */
	if (!has_more)
		end_record(spf);
	else if (rules[frame->term.kind].start && frame->term.kind != SPF_REDIRECT)
		begin_term(spf);
}

/* ---- from outside ------------------------------------------------------------------------------------- */

static void
run(struct spf *spf)
{
	while (!spf->is_over && spf->answered == spf->queries)
		spf->next(spf);
}

/* 4.3: what mail can come from.  Other names can be in DNS, but have no mail. */
static bool
is_mail_domain(const char *domain)
{
	return spf_can_ask(domain) && strchr(domain, '.') &&
	       domain[strspn(domain, "abcdefghijklmnopqrstuvwxyz"
	                             "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")] ==
	               '\0';
}

/* 2.4, 4.1: where there is no sender, or no local part. */
static const char *
set_sender(struct spf *spf, const char *sender)
{
	const char *at = strrchr(sender, '@');
	size_t local = at ? (size_t)(at - sender) : 0;

	snprintf(spf->local, sizeof(spf->local), "%.*s", (int)local, sender);
	if (local == 0)
		snprintf(spf->local, sizeof(spf->local), "postmaster");
	return at ? at + 1 : sender;
}

/* False: it is no domain to ask about. */
static bool
set_sender_domain(struct spf *spf, const char *domain)
{
	size_t size = strlen(domain);

	if (size > 0 && domain[size - 1] == '.')
		size--;
	if (size >= sizeof(spf->sender_domain))
		return false;
	memcpy(spf->sender_domain, domain, size);
	if (!is_mail_domain(spf->sender_domain))
		return false;
	memcpy(spf->result.domain, spf->sender_domain, sizeof(spf->result.domain));
	memcpy(spf->frames[0].domain, spf->sender_domain, sizeof(spf->sender_domain));
	return true;
}

struct spf *
spf_new(const struct spf_subject *subject)
{
	struct spf *spf = xcalloc(1, sizeof(*spf));
	const char *helo = subject->helo ? subject->helo : "";
	const char *sender = subject->sender && subject->sender[0] ? subject->sender
	                                                           : helo;

	spf->client = addr_from(&subject->client.any);
	spf->now = subject->now;
	spf->result.problem = "";
	snprintf(spf->result.term, sizeof(spf->result.term), "default");
	snprintf(spf->helo, sizeof(spf->helo), "%s", helo);
	snprintf(spf->receiver, sizeof(spf->receiver), "%s",
	         subject->receiver ? subject->receiver : "unknown");
	if (set_sender_domain(spf, set_sender(spf, sender)))
		enter(spf);
	else
		spf_finish(spf, SPF_NONE);
	return spf;
}

void
spf_free(struct spf *spf)
{
	if (!spf)
		return;
	for (size_t i = 0; i <= spf->depth; i++)
		free(spf->frames[i].record);
	free(spf->text);
	free(spf);
}

bool
spf_ask(struct spf *spf, struct spf_question *question)
{
	const struct spf_query *query = &spf->query[spf->given];

	if (spf->is_over || spf->given == spf->queries)
		return false;
	question->id = spf->first_id + (unsigned)spf->given++;
	question->type = query->type;
	question->name = query->name;
	return true;
}

void
spf_answer(struct spf *spf, unsigned id, const struct spf_answer *answer)
{
	size_t index = id - spf->first_id;

	assert(index < spf->given && !spf->query[index].is_answered);
	spf->query[index].is_answered = true;
	spf->answered++;
	spf->take(spf, index, answer);
	run(spf);
}

const struct spf_result *
spf_result(const struct spf *spf)
{
	return spf->is_over ? &spf->result : NULL;
}
