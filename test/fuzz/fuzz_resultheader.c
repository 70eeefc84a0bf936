#include "resultheader.h"

#include <assert.h>
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/*
 * Two bytes of flags, then texts that end with a NUL each: sender, name of HELO, user, what a
 * scanner found; and a message.
 *
 * The message loses results of others, and gets ours, as when it is held.  Promises kept for
 * any input: on top stand our fields, in lines of ASCII that are not too long, and
 * say what we say and no more; and none of several readers, each of which takes lines in its
 * own way, sees a field of these names below, but by those who are trusted.
 */
enum {
	IS_AUTHENTICATED = 1,
	HAS_SPF = 2,
	IS_SPAM = 4,
	FIELDS = 5, /* of ours */
};

static char gate[] = "gate.example", ours[] = "mx.gate.example",
	    edge[] = "edge.example";
static char nothing[] = "";
static char *trusted[] = { edge };

static const struct config cfg = {
	.result_headers = RESULT_HEADERS_VIRUS | RESULT_HEADERS_SPAM |
	                  RESULT_HEADERS_AUTH,
	.proxy_name = gate,
	.authserv_id = ours,
	.authserv_trusted = { 1, trusted },
	.subject_tag = nothing,
	.spam_threshold = 7000,
};

static const char *const names[FIELDS] = {
	"Authentication-Results", "X-Virus-Scanned", "X-Spam-Flag",
	"X-Spam-Score",           "X-Spam-Status",
};

static void
pass(const struct retouch *what, struct evbuffer *message, size_t piece)
{
	struct retouch_filter *filter = retouch_filter_new(what);
	struct evbuffer *in = retouch_filter_input(filter), *out = evbuffer_new();

	while (evbuffer_get_length(message) > 0) {
		evbuffer_remove_buffer(message, in, piece);
		retouch_filter(filter, out, false);
	}
	retouch_filter(filter, out, true);
	evbuffer_add_buffer(message, out);
	retouch_filter_free(filter);
	evbuffer_free(out);
}

/* ---- what is ours ------------------------------------------------------------------ */

/* Unfolds in place the field at TEXT, which is ours; returns what follows it. */
static char *
unfold(char *text)
{
	char *to = text;

	for (size_t line = 0;; text++, line++) {
		if (*text != '\r') {
			assert((*text >= ' ' && *text <= '~') || *text == '\t');
			*to++ = *text;
			continue;
		}
		assert(text[1] == '\n' && line <= HEADER_LINE_MAX);
		line = 0;
		text++;
		if (text[1] != ' ' && text[1] != '\t')
			break;
	}
	*to = '\0';
	return text + 1;
}

/* Past a value: a token, an address or a quoted string. */
static const char *
skip_value(const char *at)
{
	if (*at != '"')
		return at + strcspn(at, " ;\"");
	for (at++; *at != '"'; at++) {
		at += *at == '\\';
		assert(*at);
	}
	return at + 1;
}

static const char *
skip_word(const char *at, const char *word)
{
	assert(strncmp(at, word, strlen(word)) == 0);
	return at + strlen(word);
}

static const char *
skip_property(const char *at, const char *word)
{
	return strncmp(at, word, strlen(word)) == 0 ? skip_value(at + strlen(word))
	                                            : at;
}

/* RFC 8601 2.2, of it what we write. */
static void
check_authentication(const char *at, unsigned flags)
{
	at = skip_word(at, "Authentication-Results: mx.gate.example");
	if (flags & IS_AUTHENTICATED)
		at = skip_property(skip_word(at, "; auth=pass"), " smtp.auth=");
	if (flags & HAS_SPF) {
		at = skip_word(at, "; spf=pass");
		at = skip_property(skip_property(at, " smtp.mailfrom="), " smtp.helo=");
	}
	if (!(flags & (IS_AUTHENTICATED | HAS_SPF)))
		at = skip_word(at, "; none");
	assert(*at == '\0');
}

static char *
check_ours(char *text, unsigned flags)
{
	for (int i = 0; i < FIELDS; i++) {
		char *next = unfold(text);

		assert(strncmp(text, names[i], strlen(names[i])) == 0 &&
		       text[strlen(names[i])] == ':');
		if (i == 0)
			check_authentication(text, flags);
		if (i == 2)
			assert(strcmp(text, flags & IS_SPAM ? "X-Spam-Flag: YES"
			                                    : "X-Spam-Flag: NO") == 0);
		text = next;
	}
	return text;
}

/* ---- how others read it -------------------------------------------------------------- */

struct reader {
	bool drops_controls; /* before anything else */
	bool takes_bare;     /* a CR or LF that stands alone ends a line */
	bool unfolds_first;  /* and looks for the colon then */
};

static size_t
prepare(const struct reader *reader, char *text, size_t size)
{
	size_t to = 0;

	for (size_t at = 0; at < size; at++) {
		bool is_end = text[at] == '\r' || text[at] == '\n';
		bool is_control = (unsigned char)text[at] < ' ' && text[at] != '\t';

		if (is_end || !is_control || !reader->drops_controls)
			text[to++] = text[at];
	}
	return to;
}

/* Size of the line end at TEXT; 0: there is none. */
static size_t
end_size(const struct reader *reader, const char *text, const char *end)
{
	if (end - text > 1 && text[0] == '\r' && text[1] == '\n')
		return 2;
	return reader->takes_bare && (text[0] == '\r' || text[0] == '\n');
}

/* Of these names, results by who is trusted alone. */
static bool
may_stay(int name, const char *value, const char *end)
{
	while (value < end && *value && strchr(" \t\r\n", *value))
		value++;
	return name == 0 && end - value >= 12 && strncasecmp(value, edge, 12) == 0;
}

/* What may stay is told from VALUE, where its line or lines go on. */
static void
check_field(const char *line, size_t size, const char *value, const char *end)
{
	const char *colon = memchr(line, ':', size);

	size = colon ? (size_t)(colon - line) : 0;
	while (size > 0 && (line[size - 1] == ' ' || line[size - 1] == '\t'))
		size--;
	for (int i = 0; i < FIELDS; i++)
		assert(size != strlen(names[i]) ||
		       strncasecmp(line, names[i], size) != 0 ||
		       may_stay(i, value, end));
}

/* The header section of a message, as this READER has it, which changes TEXT. */
static void
read_fields(const struct reader *reader, char *text, size_t size)
{
	const char *at = text, *end = text + prepare(reader, text, size), *value;
	char *line = malloc(size + 1);
	size_t ends = 0, first = 0;

	while (at < end && end_size(reader, at, end) == 0) {
		size = first = 0;
		value = NULL;
		do {
			for (at += ends; at < end; at++) {
				if ((ends = end_size(reader, at, end)) > 0)
					break;
				line[size++] = *at;
				if (*at == ':' && !value)
					value = at + 1;
			}
			first = first > 0 ? first : size;
		} while (at + ends < end && (at[ends] == ' ' || at[ends] == '\t'));
		check_field(line, reader->unfolds_first ? size : first, value, end);
		at += at < end ? ends : 0;
		ends = 0;
	}
	free(line);
}

static void
check_rest(const char *text, size_t size)
{
	for (int i = 0; i < 8; i++) {
		struct reader reader = { i & 1, i & 2, i & 4 };
		char *copy = malloc(size + 1);

		memcpy(copy, text, size);
		copy[size] = '\0';
		read_fields(&reader, copy, size);
		free(copy);
	}
}

/* ---- one input ----------------------------------------------------------------------- */

static const char *
next(const char **rest, const char *end)
{
	const char *text = *rest, *nul = memchr(text, '\0', (size_t)(end - text));

	*rest = nul ? nul + 1 : end;
	return text;
}

static void
add_ours(struct evbuffer *message, unsigned flags, const char **texts)
{
	const char *sender = next(texts, texts[1]), *helo = next(texts, texts[1]);
	const char *user = next(texts, texts[1]), *found = next(texts, texts[1]);
	struct evidence evidence = { .sender = sender,
		                     .helo = helo,
		                     .user = user,
		                     .authenticated = flags & IS_AUTHENTICATED };
	struct finding findings[2] = {
		{ .family = FAMILY_ANTIVIRUS, .check = "clamd", .kind = FOUND_VIRUS },
		{ .family = FAMILY_ANTISPAM, .check = "rspamd", .has_score = true },
	};
	struct verdict verdict;
	struct resultheader_facts facts = { &evidence, findings, 2, &verdict,
		                            flags & HAS_SPF ? "pass" : NULL };
	struct retouch *changes = retouch_new();

	findings[1].kind = flags & IS_SPAM ? FOUND_SPAM : FOUND_NOTHING;
	strncpy(findings[0].name, found, sizeof(findings[0].name) - 1);
	strncpy(findings[1].name, found, sizeof(findings[1].name) - 1);
	verdict_weigh(&verdict, &cfg, findings, 2);
	resultheader_add(changes, &cfg, &facts);
	pass(changes, message, SIZE_MAX / 2);
	retouch_free(changes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct evbuffer *message = evbuffer_new();
	struct retouch *intake = resultheader_intake(&cfg);
	unsigned flags = size > 0 ? data[0] : 0;
	size_t piece = size > 1 ? data[1] + 1 : 1, left = size > 2 ? size - 2 : 0;
	char *copy = calloc(1, left + 1), *text, *rest;
	const char *texts[2] = { copy, copy + left };

	if (left > 0)
		memcpy(copy, data + 2, left);
	for (int i = 0; i < 4; i++)
		next(texts, texts[1]);
	evbuffer_add(message, texts[0], (size_t)(texts[1] - texts[0]));
	pass(intake, message, piece);
	texts[0] = copy;
	add_ours(message, flags, texts);
	evbuffer_add(message, "", 1);
	left = evbuffer_get_length(message) - 1;
	text = malloc(left + 1);
	evbuffer_remove(message, text, left + 1);
	rest = strncmp(text, "From ", 5) == 0 || strncmp(text, ">From ", 6) == 0
	               ? NULL
	               : check_ours(text, flags);
	if (rest)
		check_rest(rest, left - (size_t)(rest - text));
	free(text);
	free(copy);
	retouch_free(intake);
	evbuffer_free(message);
	return 0;
}
