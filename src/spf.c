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
enum {
	FRAMES_MAX = SPF_TERMS_MAX + 1, /* an include is a term that counts */
};

typedef void spf_step(struct spf *spf);

/* A record that is evaluated: the first, or one that another includes. */
struct frame {
	char domain[SPF_NAME_SIZE];
	char *record;
	struct spf_span rest; /* of its terms */
	struct spf_term term; /* the one that is looked at */
	struct spf_term redirect, exp;
	bool is_redirected;
};

struct query {
	enum spf_type type;
	char name[SPF_NAME_SIZE];
	bool is_answered;
};

struct host { /* a name of an MX or a PTR */
	char name[SPF_NAME_SIZE];
	bool is_clients; /* it has the client's address */
};

struct hosts {
	size_t count;
	struct host at[SPF_NAMES_MAX];
};

struct spf {
	/* Who is asked about. */
	struct addr client;
	char local[SPF_LOCAL_SIZE], helo[SPF_LOCAL_SIZE];
	char sender_domain[SPF_NAME_SIZE], receiver[SPF_NAME_SIZE];
	int64_t now;

	/* What is done. */
	struct frame frames[FRAMES_MAX];
	size_t depth;
	spf_step *next;
	char target[SPF_NAME_SIZE]; /* of the term that is looked at */
	unsigned terms, voids;
	bool is_void_counted; /* for this term */
	bool is_explaining;

	/* Questions, and what their answers say. */
	unsigned first_id; /* of these queries */
	size_t queries, given, answered;
	struct query query[SPF_NAMES_MAX];
	void (*take)(struct spf *spf, size_t index, const struct spf_answer *answer);
	bool has_match, has_void, has_failed, has_too_many;
	unsigned records;
	char *text;        /* the first of these */
	struct hosts mail; /* of an MX */

	/* The names of the client, asked for once. */
	bool is_named;
	struct hosts names;
	spf_step *named; /* goes on with them */

	bool is_over;
	struct spf_result result;
};

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

static struct frame *
top(struct spf *spf)
{
	return &spf->frames[spf->depth];
}

/* ---- the end ------------------------------------------------------------------------ */

static void
note_term(struct spf *spf, const struct spf_term *term)
{
	if (term->whole.size > 0)
		snprintf(spf->result.term, sizeof(spf->result.term), "%.*s",
		         (int)term->whole.size, term->whole.at);
}

static void
finish(struct spf *spf, enum spf_verdict verdict)
{
	spf->result.verdict = verdict;
	spf->is_over = true;
}

/* Whatever it is in, an error is all there is to say (5.2, 6.1). */
static void
fail_for(struct spf *spf, enum spf_verdict verdict, const char *problem)
{
	note_term(spf, &spf->frames[0].term);
	spf->result.problem = problem;
	finish(spf, verdict);
}

/* ---- questions ------------------------------------------------------------------------ */

/* From now on, answers are TAKEn, and NEXT comes behind the last of them. */
static void
prepare(struct spf *spf, spf_step *next,
        void (*take)(struct spf *spf, size_t index, const struct spf_answer *answer))
{
	assert(spf->answered == spf->queries);
	spf->first_id += (unsigned)spf->queries;
	spf->queries = spf->given = spf->answered = 0;
	spf->take = take;
	spf->next = next;
	spf->has_match = spf->has_void = spf->has_failed = spf->has_too_many = false;
}

static void
ask(struct spf *spf, enum spf_type type, const char *name)
{
	struct query *query = &spf->query[spf->queries++];

	assert(spf->queries <= SPF_NAMES_MAX && spf_can_ask(name));
	*query = (struct query){ .type = type };
	snprintf(query->name, sizeof(query->name), "%s", name);
}

/* Where the client's own address would be. */
static enum spf_type
address_type(const struct spf *spf)
{
	return addr_family(&spf->client) == AF_INET6 ? SPF_AAAA : SPF_A;
}

static void
ask_hosts(struct spf *spf, const struct hosts *hosts)
{
	for (size_t i = 0; i < hosts->count; i++)
		ask(spf, address_type(spf), hosts->at[i].name);
}

/* True if there was something for it. */
static bool
is_found(struct spf *spf, const struct spf_answer *answer)
{
	if (answer->found == SPF_NO_ANSWER)
		spf->has_failed = true;
	else if (answer->found != SPF_THERE_IS || answer->count == 0)
		spf->has_void = true;
	else
		return true;
	return false;
}

/* Terms for which there is nothing are few (4.6.4).  False: that was one too many. */
static bool
count_void(struct spf *spf)
{
	if (spf->has_void && !spf->is_void_counted && !spf->is_explaining) {
		spf->is_void_counted = true;
		spf->voids++;
	}
	if (spf->voids <= SPF_VOIDS_MAX)
		return true;
	fail_for(spf, SPF_PERMERROR, "too many terms ask for what is not there");
	return false;
}

/* ---- addresses --------------------------------------------------------------------------- */

static bool
same_prefix(const struct addr *a, const struct addr *b, unsigned bits)
{
	bool is_four = addr_family(a) == AF_INET;
	const uint8_t *at = is_four ? (const uint8_t *)&a->v4.sin_addr
	                            : a->v6.sin6_addr.s6_addr;
	const uint8_t *to = is_four ? (const uint8_t *)&b->v4.sin_addr
	                            : b->v6.sin6_addr.s6_addr;
	unsigned rest;

	if (is_four && bits > 32)
		bits = 32;
	rest = 8 - bits % 8;
	if (addr_family(a) != addr_family(b) || addr_family(a) == AF_UNSPEC ||
	    memcmp(at, to, bits / 8) != 0)
		return false;
	return rest == 8 || at[bits / 8] >> rest == to[bits / 8] >> rest;
}

static bool
has_client(const struct spf *spf, const struct spf_answer *answer, unsigned bits)
{
	for (size_t i = 0; i < answer->count; i++)
		if (same_prefix(&spf->client, &answer->addrs[i], bits))
			return true;
	return false;
}

static unsigned
client_bits(const struct spf *spf, const struct spf_term *term)
{
	return addr_family(&spf->client) == AF_INET6 ? term->bits6 : term->bits4;
}

/* ---- names ----------------------------------------------------------------------------------- */

/* False: it is none that DNS could be asked for. */
static bool
add_host(struct hosts *hosts, const char *name)
{
	struct host *host = &hosts->at[hosts->count];
	size_t size = strlen(name);

	if (size > 0 && name[size - 1] == '.')
		size--;
	if (hosts->count == SPF_NAMES_MAX || size >= sizeof(host->name))
		return false;
	*host = (struct host){ .is_clients = false };
	memcpy(host->name, name, size);
	host->name[size] = '\0';
	if (!spf_can_ask(host->name))
		return false;
	hosts->count++;
	return true;
}

static void
take_client_names(struct spf *spf, size_t index, const struct spf_answer *answer)
{
	(void)index;
	if (!is_found(spf, answer))
		return;
	for (size_t i = 0; i < answer->count && i < SPF_NAMES_MAX; i++)
		(void)add_host(&spf->names, answer->texts[i]);
}

/* A host may have no address of this kind, but it has to be there. */
static void
note_void_host(struct spf *spf, const struct spf_answer *answer)
{
	if (answer->found == SPF_NO_NAME)
		spf->has_void = true;
}

static void
take_client_name(struct spf *spf, size_t index, const struct spf_answer *answer)
{
	note_void_host(spf, answer);
	if (answer->found == SPF_THERE_IS)
		spf->names.at[index].is_clients = has_client(spf, answer, 128);
}

static void
client_named(struct spf *spf)
{
	spf->is_named = true;
	if (count_void(spf))
		spf->next = spf->named;
}

/* 5.5: a failure is no name. */
static void
client_names_known(struct spf *spf)
{
	if (!count_void(spf))
		return;
	prepare(spf, client_named, take_client_name);
	ask_hosts(spf, &spf->names);
}

/* Finds out which names the client has, and goes on with NEXT. */
static void
name_client(struct spf *spf, spf_step *next)
{
	char name[ADDR_REVERSE_SIZE];

	spf->next = next;
	if (spf->is_named)
		return;
	if (addr_family(&spf->client) == AF_UNSPEC) {
		spf->is_named = true;
		return;
	}
	spf->named = next;
	addr_reverse(&spf->client, name);
	prepare(spf, client_names_known, take_client_names);
	ask(spf, SPF_PTR, name);
}

/* 7.3: best the domain itself, then what is below it, then any. */
static const char *
validated_name(struct spf *spf)
{
	const char *domain = top(spf)->domain;
	const char *best = "unknown";
	size_t quality = 0;

	for (size_t i = spf->names.count; i-- > 0;) {
		const struct host *host = &spf->names.at[i];
		size_t its = !spf_is_below(host->name, domain)  ? 1
		             : spf_is_below(domain, host->name) ? 3
		                                                : 2;

		if (host->is_clients && its >= quality) {
			best = host->name;
			quality = its;
		}
	}
	return best;
}

static struct spf_facts
facts(struct spf *spf)
{
	return (struct spf_facts){
		.client = spf->client,
		.local = spf->local,
		.sender_domain = spf->sender_domain,
		.domain = top(spf)->domain,
		.helo = spf->helo,
		.receiver = spf->receiver,
		.validated = validated_name(spf),
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
	if (!is_found(spf, answer))
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
		finish(spf, SPF_FAIL);
		return;
	}
	if (spf_wants_validated(text) && !spf->is_named) {
		name_client(spf, explain);
		return;
	}
	about = facts(spf);
	spf_expand_explanation(text, &about, spf->result.explanation);
	finish(spf, SPF_FAIL);
}

static void
find_explanation(struct spf *spf)
{
	struct spf_span domain = top(spf)->exp.domain;

	spf->is_explaining = true;
	if (spf_wants_validated(domain) && !spf->is_named) {
		name_client(spf, find_explanation);
		return;
	}
	if (!expand_name(spf, domain)) {
		finish(spf, SPF_FAIL);
		return;
	}
	drop_text(spf);
	prepare(spf, explain, take_explanation);
	ask(spf, SPF_TXT, spf->target);
}

/* ---- records ------------------------------------------------------------------------------------- */

static void next_term(struct spf *spf);
static void find_target(struct spf *spf);

static void
match(struct spf *spf)
{
	const struct spf_term *term = &top(spf)->term;

	while (spf->depth > 0) {
		enum spf_verdict verdict = term->qualifier;

		free(top(spf)->record);
		top(spf)->record = NULL;
		spf->depth--;
		term = &top(spf)->term;
		if (verdict != SPF_PASS) { /* 5.2: that is no match */
			spf->next = next_term;
			return;
		}
	}
	note_term(spf, term);
	if (term->qualifier == SPF_FAIL && top(spf)->exp.domain.size > 0)
		spf->next = find_explanation;
	else
		finish(spf, term->qualifier);
}

static void
take_record(struct spf *spf, size_t index, const struct spf_answer *answer)
{
	(void)index;
	if (!is_found(spf, answer))
		return;
	for (size_t i = 0; i < answer->count; i++)
		if (spf_is_record(answer->texts[i]))
			take_text(spf, answer->texts[i]);
}

/* 5.2, 6.1: a domain that another's record names must have one. */
static void
no_record(struct spf *spf)
{
	fail_for(spf, SPF_PERMERROR, "a domain that the record names has none");
}

/* 4.5, 4.6. */
static void
begin_record(struct spf *spf)
{
	struct frame *frame = top(spf);
	const char *why;

	if (spf->has_failed) {
		fail_for(spf, SPF_TEMPERROR, "DNS gave no answer about a record");
		return;
	}
	if (spf->records == 0 && spf->depth == 0 && !frame->is_redirected) {
		finish(spf, SPF_NONE);
		return;
	}
	if (spf->records == 0) {
		no_record(spf);
		return;
	}
	if (spf->records > 1) {
		fail_for(spf, SPF_PERMERROR, "a domain has more than one record");
		return;
	}
	frame->record = spf->text;
	spf->text = NULL;
	why = spf_check_record(frame->record, &frame->redirect, &frame->exp);
	if (why) {
		fail_for(spf, SPF_PERMERROR, why);
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
	prepare(spf, begin_record, take_record);
	ask(spf, SPF_TXT, top(spf)->domain);
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
		fail_for(spf, SPF_TEMPERROR, "DNS gave no answer about a host");
	else if (count_void(spf))
		spf->next = next_term;
}

static void
take_addresses(struct spf *spf, size_t index, const struct spf_answer *answer)
{
	(void)index;
	if (is_found(spf, answer))
		spf->has_match |= has_client(spf, answer,
		                             client_bits(spf, &top(spf)->term));
}

static void
do_a(struct spf *spf)
{
	prepare(spf, addresses_known, take_addresses);
	ask(spf, address_type(spf), spf->target);
}

static void
take_existence(struct spf *spf, size_t index, const struct spf_answer *answer)
{
	(void)index;
	spf->has_match |= is_found(spf, answer);
}

/* 5.7: whatever the client's address, it is A that is asked for. */
static void
do_exists(struct spf *spf)
{
	prepare(spf, addresses_known, take_existence);
	ask(spf, SPF_A, spf->target);
}

static void
take_mail_host(struct spf *spf, size_t index, const struct spf_answer *answer)
{
	(void)index;
	note_void_host(spf, answer);
	if (answer->found == SPF_NO_ANSWER)
		spf->has_failed = true;
	else if (answer->found == SPF_THERE_IS)
		spf->has_match |= has_client(spf, answer,
		                             client_bits(spf, &top(spf)->term));
}

static void
mail_hosts_known(struct spf *spf)
{
	if (spf->has_failed) {
		fail_for(spf, SPF_TEMPERROR, "DNS gave no answer about mail hosts");
		return;
	}
	if (spf->has_too_many) {
		fail_for(spf, SPF_PERMERROR, "a domain has more than 10 mail hosts");
		return;
	}
	if (!count_void(spf))
		return;
	prepare(spf, addresses_known, take_mail_host);
	ask_hosts(spf, &spf->mail);
}

/* A domain that takes no mail says so with an empty name (RFC 7505). */
static void
take_mail_hosts(struct spf *spf, size_t index, const struct spf_answer *answer)
{
	(void)index;
	if (!is_found(spf, answer))
		return;
	spf->has_too_many = answer->count > SPF_NAMES_MAX;
	for (size_t i = 0; i < answer->count && i < SPF_NAMES_MAX; i++)
		(void)add_host(&spf->mail, answer->texts[i]);
}

static void
do_mx(struct spf *spf)
{
	spf->mail.count = 0;
	prepare(spf, mail_hosts_known, take_mail_hosts);
	ask(spf, SPF_MX, spf->target);
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
	name_client(spf, ptr_known);
}

static void
do_network(struct spf *spf)
{
	const struct spf_term *term = &top(spf)->term;

	spf->next = next_term;
	if (same_prefix(&spf->client, &term->network, client_bits(spf, term)))
		match(spf);
}

static void
set_domain(struct spf *spf)
{
	struct frame *frame = top(spf);

	free(frame->record);
	*frame = (struct frame){ .is_redirected = spf->depth == 0 };
	memcpy(frame->domain, spf->target, sizeof(frame->domain));
	enter(spf);
}

static void
do_include(struct spf *spf)
{
	spf->depth++;
	assert(spf->depth < FRAMES_MAX);
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
	const struct spf_term *term = &top(spf)->term;
	const struct rule *rule = &rules[term->kind];
	bool is_name = true;

	if (spf_wants_validated(term->domain) && !spf->is_named) {
		name_client(spf, find_target);
		return;
	}
	if (term->domain.size == 0)
		memcpy(spf->target, top(spf)->domain, sizeof(spf->target));
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
	if (rules[top(spf)->term.kind].asks && ++spf->terms > SPF_TERMS_MAX)
		fail_for(spf, SPF_PERMERROR, "more than 10 terms ask DNS");
	else
		spf->next = find_target;
}

/* 4.7: without a match it is neutral, unless another record decides. */
static void
end_record(struct spf *spf)
{
	struct frame *frame = top(spf);

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
	struct frame *frame = top(spf);
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
		finish(spf, SPF_NONE);
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
	const struct query *query = &spf->query[spf->given];

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
