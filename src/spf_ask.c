#include "spf_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What an evaluation asks, and what it makes of the answers: addresses, and the names of
 * hosts; and how it ends.
 */

struct spf_frame *
spf_top(struct spf *spf)
{
	return &spf->frames[spf->depth];
}

/* ---- the end ------------------------------------------------------------------------ */

void
spf_note_term(struct spf *spf, const struct spf_term *term)
{
	if (term->whole.size > 0)
		snprintf(spf->result.term, sizeof(spf->result.term), "%.*s",
		         (int)term->whole.size, term->whole.at);
}

void
spf_finish(struct spf *spf, enum spf_verdict verdict)
{
	spf->result.verdict = verdict;
	spf->is_over = true;
}

/* Whatever it is in, an error is all there is to say (5.2, 6.1). */
void
spf_fail_for(struct spf *spf, enum spf_verdict verdict, const char *problem)
{
	spf_note_term(spf, &spf->frames[0].term);
	spf->result.problem = problem;
	spf_finish(spf, verdict);
}

/* ---- questions ------------------------------------------------------------------------ */

/* From now on, answers are TAKEn, and NEXT comes behind the last of them. */
void
spf_prepare(struct spf *spf, spf_step *next,
            void (*take)(struct spf *spf, size_t index,
                         const struct spf_answer *answer))
{
	assert(spf->answered == spf->queries);
	spf->first_id += (unsigned)spf->queries;
	spf->queries = spf->given = spf->answered = 0;
	spf->take = take;
	spf->next = next;
	spf->has_match = spf->has_void = spf->has_failed = spf->has_too_many = false;
}

void
spf_want(struct spf *spf, enum spf_type type, const char *name)
{
	struct spf_query *query = &spf->query[spf->queries++];

	assert(spf->queries <= SPF_NAMES_MAX && spf_can_ask(name));
	*query = (struct spf_query){ .type = type };
	snprintf(query->name, sizeof(query->name), "%s", name);
}

/* Where the client's own address would be. */
enum spf_type
spf_address_type(const struct spf *spf)
{
	return addr_family(&spf->client) == AF_INET6 ? SPF_AAAA : SPF_A;
}

void
spf_want_hosts(struct spf *spf, const struct spf_hosts *hosts)
{
	for (size_t i = 0; i < hosts->count; i++)
		spf_want(spf, spf_address_type(spf), hosts->at[i].name);
}

/* True if there was something for it. */
bool
spf_is_found(struct spf *spf, const struct spf_answer *answer)
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
bool
spf_count_void(struct spf *spf)
{
	if (spf->has_void && !spf->is_void_counted && !spf->is_explaining) {
		spf->is_void_counted = true;
		spf->voids++;
	}
	if (spf->voids <= SPF_VOIDS_MAX)
		return true;
	spf_fail_for(spf, SPF_PERMERROR, "too many terms ask for what is not there");
	return false;
}

/* ---- addresses --------------------------------------------------------------------------- */

bool
spf_same_prefix(const struct addr *a, const struct addr *b, unsigned bits)
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

bool
spf_has_client(const struct spf *spf, const struct spf_answer *answer, unsigned bits)
{
	for (size_t i = 0; i < answer->count; i++)
		if (spf_same_prefix(&spf->client, &answer->addrs[i], bits))
			return true;
	return false;
}

unsigned
spf_client_bits(const struct spf *spf, const struct spf_term *term)
{
	return addr_family(&spf->client) == AF_INET6 ? term->bits6 : term->bits4;
}

/* ---- names ----------------------------------------------------------------------------------- */

/* False: it is none that DNS could be asked for. */
bool
spf_add_host(struct spf_hosts *hosts, const char *name)
{
	struct spf_host *host = &hosts->at[hosts->count];
	size_t size = strlen(name);

	if (size > 0 && name[size - 1] == '.')
		size--;
	if (hosts->count == SPF_NAMES_MAX || size >= sizeof(host->name))
		return false;
	*host = (struct spf_host){ .is_clients = false };
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
	if (!spf_is_found(spf, answer))
		return;
	for (size_t i = 0; i < answer->count && i < SPF_NAMES_MAX; i++)
		(void)spf_add_host(&spf->names, answer->texts[i]);
}

/* A host may have no address of this kind, but it has to be there. */
void
spf_note_void_host(struct spf *spf, const struct spf_answer *answer)
{
	if (answer->found == SPF_NO_NAME)
		spf->has_void = true;
}

static void
take_client_name(struct spf *spf, size_t index, const struct spf_answer *answer)
{
	spf_note_void_host(spf, answer);
	if (answer->found == SPF_THERE_IS)
		spf->names.at[index].is_clients = spf_has_client(spf, answer, 128);
}

static void
client_named(struct spf *spf)
{
	spf->is_named = true;
	if (spf_count_void(spf))
		spf->next = spf->named;
}

/* 5.5: a failure is no name. */
static void
client_names_known(struct spf *spf)
{
	if (!spf_count_void(spf))
		return;
	spf_prepare(spf, client_named, take_client_name);
	spf_want_hosts(spf, &spf->names);
}

/* Finds out which names the client has, and goes on with NEXT. */
void
spf_name_client(struct spf *spf, spf_step *next)
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
	spf_prepare(spf, client_names_known, take_client_names);
	spf_want(spf, SPF_PTR, name);
}

/* 7.3: best the domain itself, then what is below it, then any. */
const char *
spf_validated_name(struct spf *spf)
{
	const char *domain = spf_top(spf)->domain;
	const char *best = "unknown";
	size_t quality = 0;

	for (size_t i = spf->names.count; i-- > 0;) {
		const struct spf_host *host = &spf->names.at[i];
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
