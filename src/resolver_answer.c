/* Newer versions of c-ares call half of what older ones have deprecated. */
#define CARES_NO_DEPRECATED

#include "resolver_internal.h"

#include <ares.h>
#include <assert.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

/*
 * What a packet says: see resolver_internal.h.
 */
enum {
	SUB = 0x1a,       /* what ASCII has in place of what cannot be there */
	HEAD_SIZE = 12,   /* RFC 1035 4.1.1 */
	RECORD_HEAD = 10, /* 3.2.1, behind its name: type, class, TTL, length */
	TYPE_SOA = 6,
};

void
resolver_answer_clear(struct resolver_answer *answer)
{
	for (size_t i = 0; answer->texts && i < answer->count; i++)
		free(answer->texts[i]);
	free(answer->texts);
	free(answer->addrs);
	*answer = (struct resolver_answer){ .result = RESOLVER_FAILED };
}

void
resolver_answer_copy(struct resolver_answer *to, const struct resolver_answer *from)
{
	*to = *from;
	if (from->addrs)
		to->addrs = xmalloc(from->count * sizeof(*to->addrs));
	if (from->addrs)
		memcpy(to->addrs, from->addrs, from->count * sizeof(*to->addrs));
	if (from->texts)
		to->texts = xcalloc(from->count, sizeof(*to->texts));
	for (size_t i = 0; from->texts && i < from->count; i++)
		to->texts[i] = xstrdup(from->texts[i]);
}

/* SIZE bytes of text.  A NUL would end it, and hide what follows. */
static void
add_text(struct resolver_answer *answer, const char *text, size_t size)
{
	char *copy;

	if (answer->count == RESOLVER_ANSWERS_MAX)
		return;
	if (!answer->texts)
		answer->texts = xcalloc(RESOLVER_ANSWERS_MAX, sizeof(*answer->texts));
	copy = xmalloc(size + 1);
	for (size_t i = 0; i < size; i++)
		copy[i] = (char)(text[i] == '\0' ? SUB : text[i]);
	copy[size] = '\0';
	answer->texts[answer->count++] = copy;
}

static void
add_host(struct resolver_answer *answer, const struct hostent *host)
{
	struct addr addr = { 0 };

	if (!answer->addrs)
		answer->addrs = xcalloc(RESOLVER_ANSWERS_MAX, sizeof(*answer->addrs));
	for (char **at = host->h_addr_list; *at && answer->count < RESOLVER_ANSWERS_MAX;
	     at++) {
		addr.any.sa_family = (sa_family_t)host->h_addrtype;
		if (host->h_addrtype == AF_INET)
			memcpy(&addr.v4.sin_addr, *at, sizeof(addr.v4.sin_addr));
		else
			memcpy(&addr.v6.sin6_addr, *at, sizeof(addr.v6.sin6_addr));
		answer->addrs[answer->count++] = addr_from(&addr.any);
	}
}

static int
read_addresses(struct resolver_answer *answer, enum resolver_type type,
               const unsigned char *packet, int size)
{
	struct hostent *host = NULL;
	int status = type == RESOLVER_A
	                     ? ares_parse_a_reply(packet, size, &host, NULL, NULL)
	                     : ares_parse_aaaa_reply(packet, size, &host, NULL, NULL);

	if (status != ARES_SUCCESS)
		return status;
	add_host(answer, host);
	ares_free_hostent(host);
	return status;
}

/* The address that c-ares wants here goes into the hostent and nowhere else.  It refuses
 * what can be no host name: then there is none, and asking again would not help. */
static int
read_names(struct resolver_answer *answer, const unsigned char *packet, int size)
{
	struct in_addr none = { 0 };
	struct hostent *host = NULL;
	int status = ares_parse_ptr_reply(packet, size, &none, sizeof(none), AF_INET,
	                                  &host);

	if (status != ARES_SUCCESS)
		return status == ARES_EBADRESP ? ARES_ENODATA : status;
	for (char **at = host->h_aliases; at && *at; at++)
		add_text(answer, *at, strlen(*at));
	ares_free_hostent(host);
	return status;
}

/* A record is one or more strings, which belong together (RFC 7208 3.3). */
static int
read_texts(struct resolver_answer *answer, const unsigned char *packet, int size)
{
	struct ares_txt_ext *list = NULL, *next;
	int status = ares_parse_txt_reply_ext(packet, size, &list);
	char *whole = xmalloc((size_t)size + 1);
	size_t length = 0;

	for (struct ares_txt_ext *part = list; part; part = next) {
		next = part->next;
		assert(length + part->length <= (size_t)size);
		memcpy(whole + length, part->txt, part->length);
		length += part->length;
		if (next && !next->record_start)
			continue;
		add_text(answer, whole, length);
		length = 0;
	}
	free(whole);
	if (list)
		ares_free_data(list);
	return status;
}

/* Names, in no order: nobody here is to send them mail. */
static int
read_mail_hosts(struct resolver_answer *answer, const unsigned char *packet, int size)
{
	struct ares_mx_reply *list = NULL;
	int status = ares_parse_mx_reply(packet, size, &list);

	for (struct ares_mx_reply *at = list; at; at = at->next)
		add_text(answer, at->host, strlen(at->host));
	if (list)
		ares_free_data(list);
	return status;
}

static int
read_packet(struct resolver_answer *answer, enum resolver_type type,
            const unsigned char *packet, int size)
{
	switch (type) {
	case RESOLVER_A:
	case RESOLVER_AAAA:
		return read_addresses(answer, type, packet, size);
	case RESOLVER_PTR:
		return read_names(answer, packet, size);
	case RESOLVER_TXT:
		return read_texts(answer, packet, size);
	case RESOLVER_MX:
		return read_mail_hosts(answer, packet, size);
	}
	return ARES_EBADRESP;
}

static enum resolver_result
result_of(int status, size_t count)
{
	if (status == ARES_ENOTFOUND || status == ARES_ENODATA ||
	    status == ARES_EBADNAME)
		return RESOLVER_NOTHING;
	if (status != ARES_SUCCESS)
		return RESOLVER_FAILED;
	return count > 0 ? RESOLVER_FOUND : RESOLVER_NOTHING;
}

void
resolver_answer_read(struct resolver_answer *answer, enum resolver_type type,
                     int status, const unsigned char *packet, size_t size)
{
	if (status == ARES_SUCCESS)
		status = read_packet(answer, type, packet, (int)size);
	answer->result = result_of(status, answer->count);
	answer->has_no_name = status == ARES_ENOTFOUND || status == ARES_EBADNAME;
}

/* ---- for how long ------------------------------------------------------------------- */

/* The part of a packet that was not read yet.  AT is NULL if it ended too early. */
struct rest {
	const unsigned char *at, *end;
};

static const unsigned char *
take(struct rest *rest, size_t size)
{
	const unsigned char *taken = rest->at;

	if (!taken || (size_t)(rest->end - taken) < size) {
		rest->at = NULL;
		return NULL;
	}
	rest->at += size;
	return taken;
}

/* Labels, until an empty one or one that points elsewhere (RFC 1035 4.1.4). */
static void
skip_name(struct rest *rest)
{
	const unsigned char *length;

	while ((length = take(rest, 1)) && *length != 0) {
		if (*length >= 0xc0) {
			take(rest, 1);
			return;
		}
		take(rest, *length);
	}
}

static uint32_t
number(const unsigned char *at, size_t size)
{
	uint32_t number = 0;

	for (size_t i = 0; i < size; i++)
		number = number << 8 | at[i];
	return number;
}

/* RFC 2181, 8. */
static uint32_t
ttl_at(const unsigned char *at)
{
	uint32_t ttl = number(at, 4);

	return ttl > INT32_MAX ? 0 : ttl;
}

/* Takes a record: the least of TTL and its own; of an SOA, its last field, too. */
static bool
take_record(struct rest *rest, bool *is_soa, uint32_t *ttl)
{
	const unsigned char *head, *data;
	uint32_t its;
	size_t size;

	skip_name(rest);
	head = take(rest, RECORD_HEAD);
	if (!head)
		return false;
	size = number(head + 8, 2);
	data = take(rest, size);
	if (!data)
		return false;
	its = ttl_at(head + 4);
	*is_soa = number(head, 2) == TYPE_SOA && size >= 4;
	if (*is_soa && ttl_at(data + size - 4) < its)
		its = ttl_at(data + size - 4);
	if (its < *ttl)
		*ttl = its;
	return true;
}

/* The records are in the first section; that there are none is said by an SOA in the
 * second. */
uint32_t
resolver_packet_ttl(const unsigned char *packet, size_t size, bool is_negative)
{
	struct rest rest = { packet, packet + size };
	const unsigned char *head = packet ? take(&rest, HEAD_SIZE) : NULL;
	uint32_t ttl = INT32_MAX, its;
	bool is_soa = false;

	if (!head)
		return 0;
	for (uint32_t left = number(head + 4, 2); left > 0 && rest.at; left--) {
		skip_name(&rest);
		take(&rest, 4);
	}
	for (uint32_t left = number(head + 6, 2); left > 0; left--)
		if (!take_record(&rest, &is_soa, &ttl))
			return 0;
	if (!is_negative)
		return number(head + 6, 2) > 0 ? ttl : 0;
	for (uint32_t left = number(head + 8, 2); left > 0; left--) {
		its = ttl;
		if (!take_record(&rest, &is_soa, &its))
			return 0;
		if (is_soa)
			return its;
	}
	return 0;
}
