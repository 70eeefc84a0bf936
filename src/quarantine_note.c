#include "quarantine_internal.h"

#include "xalloc.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- texts from outside ------------------------------------------------------------- */

/* How many bytes at TEXT are one character of UTF-8, as jansson takes it; 0: none. */
static size_t
character(const char *text)
{
	size_t size = strlen(text);
	json_t *alone;

	for (size_t i = 1; i <= 4 && i <= size; i++) {
		alone = json_stringn(text, i);
		json_decref(alone);
		if (alone)
			return i;
	}
	return 0;
}

/* TEXT with a sign of its own (U+FFFD) for each byte that is no UTF-8. */
static json_t *
repaired(const char *text)
{
	char *copy = xmalloc(3 * strlen(text) + 1);
	size_t at = 0, size;
	json_t *string;

	for (; *text; text += size ? size : 1) {
		size = character(text);
		at += (size_t)sprintf(copy + at, "%.*s", size ? (int)size : 3,
		                      size ? text : "\xef\xbf\xbd");
	}
	string = json_stringn(copy, at);
	free(copy);
	return string;
}

/* EXACT becomes false if the bytes cannot be had back from it. */
static json_t *
text(const char *from_outside, bool *exact)
{
	json_t *string;

	if (!from_outside) {
		*exact = false;
		return json_null();
	}
	string = json_string(from_outside);
	if (string)
		return string;
	*exact = false;
	return repaired(from_outside);
}

static void
set_text(json_t *note, const char *key, const char *from_outside)
{
	bool exact;

	json_object_set_new(note, key, text(from_outside, &exact));
}

/* ---- making -------------------------------------------------------------------------- */

static void
set_peer(json_t *note, const char *key, const struct addr *addr)
{
	char host[ADDR_TEXT_SIZE];

	if (addr)
		json_object_set_new(note, key,
		                    json_pack("{s:s, s:i}", "address",
		                              addr_text(addr, host), "port",
		                              (int)addr_port(addr)));
	else
		json_object_set_new(note, key, json_null());
}

/* Complete: a server can be told the same again. */
static void
set_envelope(json_t *json, const struct quarantine_note *note)
{
	json_t *recipients = json_array();
	bool complete = note->recipient_count == note->recipients_total &&
	                note->recipient_count > 0;

	json_object_set_new(json, "sender", text(note->sender, &complete));
	for (unsigned i = 0; i < note->recipient_count; i++)
		json_array_append_new(recipients, text(note->recipients[i], &complete));
	json_object_set_new(json, "recipients", recipients);
	json_object_set_new(json, "recipients_total",
	                    json_integer(note->recipients_total));
	json_object_set_new(json, "envelope_complete", json_boolean(complete));
}

static void
set_time(json_t *note, time_t time)
{
	char words[64];
	struct tm utc;

	gmtime_r(&time, &utc);
	strftime(words, sizeof(words), "%Y-%m-%dT%H:%M:%SZ", &utc);
	json_object_set_new(note, "time", json_string(words));
	json_object_set_new(note, "unixtime", json_integer(time));
}

json_t *
note_new(const char *id, time_t time, const struct quarantine_note *note, uint64_t size)
{
	json_t *json;

	json_set_alloc_funcs(xmalloc, free);
	json = json_pack("{s:i, s:s}", "schema", NOTE_SCHEMA, "id", id);
	set_time(json, time);
	set_text(json, "session", note->log->session);
	json_object_set_new(json, "mail", json_integer(note->log->mail));
	set_peer(json, "client", note->client);
	set_peer(json, "server", note->server);
	set_text(json, "ident", note->ident);
	set_text(json, "helo", note->helo);
	json_object_set_new(json, "authenticated", json_boolean(note->authenticated));
	set_text(json, "user", note->user);
	set_envelope(json, note);
	set_text(json, "finding", note->finding);
	set_text(json, "name", note->name);
	set_text(json, "check", note->check);
	set_text(json, "action", note->action);
	json_object_set_new(json, "binarymime", json_boolean(note->binary));
	set_text(json, "protocol", note->lmtp ? NOTE_LMTP : NOTE_SMTP);
	json_object_set_new(json, "size", json_integer((json_int_t)size));
	return json;
}

void
note_set_hash(json_t *note, const unsigned char *hash, size_t size)
{
	char words[129];

	assert(2 * size < sizeof(words));
	for (size_t i = 0; i < size; i++)
		snprintf(words + 2 * i, 3, "%02x", hash[i]);
	json_object_set_new(note, "sha256", json_string(words));
}

char *
note_text(const json_t *note)
{
	char *bare = json_dumps(note, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	char *whole = xasprintf("%s\n", bare);

	free(bare);
	return whole;
}

/* ---- reading --------------------------------------------------------------------------- */

/* Returns how many bytes; -1: errno. */
static ssize_t
read_whole(int fd, char *to, size_t most)
{
	size_t size = 0;
	ssize_t got;

	while (size < most && (got = read(fd, to + size, most - size)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		size += (size_t)got;
	}
	return (ssize_t)size;
}

static json_t *
parse(const char *bytes, size_t size, char *why, size_t why_size)
{
	json_error_t error;
	json_t *note = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &error);

	if (!note) {
		snprintf(why, why_size, "line %d: %s", error.line, error.text);
		return NULL;
	}
	if (note_number(note, "schema") == NOTE_SCHEMA)
		return note;
	snprintf(why, why_size, "its schema is not %d, the one that this version knows",
	         NOTE_SCHEMA);
	json_decref(note);
	return NULL;
}

json_t *
note_read(int fd, char *why, size_t why_size)
{
	char *bytes = xmalloc(STORE_NOTE_MOST);
	ssize_t size = read_whole(fd, bytes, STORE_NOTE_MOST);
	json_t *note = NULL;

	json_set_alloc_funcs(xmalloc, free);
	if (size < 0)
		snprintf(why, why_size, "%s", strerror(errno));
	else if (size == STORE_NOTE_MOST)
		snprintf(why, why_size, "it is too large");
	else
		note = parse(bytes, (size_t)size, why, why_size);
	free(bytes);
	return note;
}

const char *
note_string(const json_t *note, const char *key)
{
	const char *value = json_string_value(json_object_get(note, key));

	return value ? value : "";
}

int64_t
note_number(const json_t *note, const char *key)
{
	return json_integer_value(json_object_get(note, key));
}

const char *
note_host(const json_t *note, const char *peer)
{
	return note_string(json_object_get(note, peer), "address");
}

int
note_port(const json_t *note, const char *peer)
{
	int64_t port = note_number(json_object_get(note, peer), "port");

	return port > 0 && port <= 65535 ? (int)port : 0;
}
