#include "body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * All strings of up to N bytes (9, or what argv[1] says) over the bytes that mean
 * something in framing, and one that does not.
 *
 * Each goes through the decoder, whole and byte by byte and (the shorter ones) cut in two
 * at every place, and must come out as the reference says, which is written from
 * RFC 5321 without regard to speed.  What was decoded, encoded again must have one end of
 * message to every receiver that we can think of, and decode to the same bytes.
 */
static const char alphabet[] = { '\r', '\n', '.', '\0', 'x' };
static const char ending[] = "\r\n.\r\n";

enum {
	LONGEST = 12,
	CUT_LONGEST = 6, /* up to this length, also cut at every place */
	ROOM = 64,       /* for a string, coded, with its ending */
};

struct text {
	size_t size;
	char at[ROOM];
};

static unsigned long strings, checks;

/* -- what must hold, or we say which string broke it -- */

static void
print(const char *what, const struct text *text)
{
	printf("  %-10s", what);
	for (size_t i = 0; i < text->size; i++) {
		switch (text->at[i]) {
		case '\r':
			printf(" CR");
			break;
		case '\n':
			printf(" LF");
			break;
		case '\0':
			printf(" NUL");
			break;
		default:
			printf(" %c", text->at[i]);
		}
	}
	printf("\n");
}

static void
must(bool holds, const char *promise, const struct text *input, const struct text *got,
     const struct text *wanted)
{
	checks++;
	if (holds)
		return;
	printf("broken: %s\n", promise);
	print("input", input);
	print("got", got);
	if (wanted)
		print("wanted", wanted);
	exit(1);
}

static bool
same(const struct text *a, const struct text *b)
{
	return a->size == b->size && memcmp(a->at, b->at, a->size) == 0;
}

static void
append(struct text *text, const void *bytes, size_t size)
{
	if (text->size + size > ROOM)
		abort();
	memcpy(text->at + text->size, bytes, size);
	text->size += size;
}

/* -- the reference -- */

static bool
is_lone_dot_but_for_nuls(const char *line, size_t size)
{
	size_t dots = 0;

	for (size_t i = 0; i < size; i++) {
		if (line[i] != '\0' && line[i] != '.')
			return false;
		dots += line[i] == '.';
	}
	return dots == 1;
}

/* A line of the message; a dot in front will be doubled, and is harmless. */
static void
reference_line(struct text *message, const char *line, size_t size, bool normalise)
{
	append(message, line, size);
	if (normalise && size > 0 && line[0] == '\0' &&
	    is_lone_dot_but_for_nuls(line, size))
		append(message, ".", 1);
	append(message, "\r\n", 2);
}

static unsigned
reference_bare(struct text *message, const struct text *line, bool normalise)
{
	struct text part = { 0 };
	unsigned bare = 0;

	for (size_t i = 0; i < line->size; i++) {
		bool newline = line->at[i] == '\r' || line->at[i] == '\n';

		bare += newline;
		if (newline && normalise) {
			reference_line(message, part.at, part.size, true);
			part.size = 0;
		} else {
			append(&part, &line->at[i], 1);
		}
	}
	reference_line(message, part.at, part.size, normalise);
	return bare;
}

/* Decodes WIRE, which has an end of message in it; returns how much of it that took. */
static size_t
reference(const struct text *wire, bool normalise, struct text *message, unsigned *bare)
{
	size_t at = 0;

	message->size = 0;
	*bare = 0;
	for (;;) {
		const char *end = memmem(wire->at + at, wire->size - at, "\r\n", 2);
		struct text line = { 0 };

		append(&line, wire->at + at, (size_t)(end - wire->at) - at);
		at += line.size + 2;
		if (line.size == 1 && line.at[0] == '.')
			return at;
		if (line.size > 0 && line.at[0] == '.') {
			line.size--;
			memmove(line.at, line.at + 1, line.size);
		}
		*bare += reference_bare(message, &line, normalise);
	}
}

/* -- receivers, from the strictest to those that no one should have written -- */

enum {
	TAKES_LF = 1, /* for the end of a line */
	TAKES_CR = 2,
	IGNORES_NUL = 4,
	ENDS_AT_NUL = 8, /* handles lines as C strings */
	RECEIVERS = 16,
};

/* How many bytes of WIRE a receiver takes for one message; 0: it sees no end. */
static size_t
receive(const struct text *wire, unsigned receiver)
{
	size_t line = 0; /* bytes of it, as far as they are of interest */
	bool dot = false, cut = false;

	for (size_t i = 0; i < wire->size; i++) {
		char c = wire->at[i];
		bool crlf = c == '\n' && i > 0 && wire->at[i - 1] == '\r';

		if (crlf || (c == '\n' && (receiver & TAKES_LF)) ||
		    (c == '\r' && (receiver & TAKES_CR))) {
			if (crlf && line > 0 && !cut && !(receiver & TAKES_CR))
				line--; /* the CR was taken for text */
			if (dot && line == 1)
				return c == '\r' && wire->at[i + 1] == '\n' ? i + 2
				                                            : i + 1;
			line = 0;
			dot = cut = false;
			continue;
		}
		if (c == '\0' && (receiver & ENDS_AT_NUL))
			cut = true;
		if (cut || (c == '\0' && (receiver & IGNORES_NUL)))
			continue;
		if (line == 0)
			dot = c == '.';
		line++;
	}
	return 0;
}

/* -- the coders, run on small texts -- */

static struct evbuffer *in, *out;

static void
take_out(struct text *text)
{
	size_t size = evbuffer_get_length(out);

	if (text->size + size > ROOM)
		abort();
	evbuffer_remove(out, text->at + text->size, size);
	text->size += size;
}

/* Decodes SIZE more bytes; returns how many were used up to the end, 0 without end. */
static size_t
decode(struct body_decoder *dec, const char *bytes, size_t size, struct text *message)
{
	enum body_step step;
	size_t left;

	evbuffer_add(in, bytes, size);
	step = body_decode(dec, in, out);
	left = evbuffer_get_length(in);
	evbuffer_drain(in, left);
	take_out(message);
	return step == BODY_END ? size - left : 0;
}

static void
encode(struct body_encoder *enc, const char *bytes, size_t size, struct text *wire)
{
	evbuffer_add(in, bytes, size);
	body_encode(enc, in, out);
	take_out(wire);
}

static void
encode_end(const struct body_encoder *enc, struct text *wire)
{
	body_encode_end(enc, out);
	take_out(wire);
}

/* -- the promises -- */

/* What a string became on its way, byte by byte, until here. */
struct way {
	struct body_decoder dec;
	struct text message;
	size_t used; /* when its end was seen: bytes up to there */
	struct body_encoder enc;
	struct text coded;
};

static void
check_coded(const struct text *message, enum body_newlines newlines)
{
	struct body_encoder enc = { 0 };
	struct body_decoder dec = { .newlines = newlines };
	struct text wire = { 0 }, again = { 0 }, wanted = *message;
	unsigned receivers = newlines == BODY_NORMALISE ? RECEIVERS : 1;
	size_t used;

	encode(&enc, message->at, message->size, &wire);
	encode_end(&enc, &wire);
	for (unsigned receiver = 0; receiver < receivers; receiver++)
		must(receive(&wire, receiver) == wire.size,
		     "one end of message, at the end, for every receiver", message,
		     &wire, NULL);

	if (wanted.size > 0 &&
	    (wanted.size < 2 || memcmp(wanted.at + wanted.size - 2, "\r\n", 2) != 0))
		append(&wanted, "\r\n", 2);
	used = decode(&dec, wire.at, wire.size, &again);
	must(used == wire.size, "the decoder sees the end where the encoder put it",
	     message, &wire, NULL);
	must(same(&again, &wanted), "decode(encode(x)) is x", message, &again, &wanted);
}

/* STRING as wire bytes, which must decode to MESSAGE, USED up, with BARE newlines. */
static void
check_decoded(const struct text *string, enum body_newlines newlines,
              const struct text *message, size_t used, unsigned bare)
{
	size_t longest = sizeof(ending) - 1 + CUT_LONGEST;

	for (size_t cut = 0; cut < (string->size <= longest ? string->size : 1);
	     cut++) {
		struct body_decoder dec = { .newlines = newlines };
		struct text got = { 0 };
		size_t n = cut > 0 ? decode(&dec, string->at, cut, &got) : 0;

		if (n == 0) {
			n = decode(&dec, string->at + cut, string->size - cut, &got);
			n += n > 0 ? cut : 0;
		}
		must(same(&got, message), "decodes as the reference, cut or whole",
		     string, &got, message);
		must(n == used, "ends where the reference ends", string, &got, message);
		must(dec.bare == bare, "counts stray newlines", string, &got, message);
	}
}

static void
check_wire(const struct text *string, const struct way *way,
           enum body_newlines newlines)
{
	struct text whole = *string, wanted;
	struct way here = *way;
	unsigned bare;
	size_t used;

	append(&whole, ending, sizeof(ending) - 1);
	used = reference(&whole, newlines == BODY_NORMALISE, &wanted, &bare);
	check_decoded(&whole, newlines, &wanted, used, bare);

	if (here.used == 0) {
		here.used = decode(&here.dec, ending, sizeof(ending) - 1,
		                   &here.message);
		must(here.used > 0, "sees the end byte by byte", string, &here.message,
		     NULL);
		here.used += string->size;
	}
	must(same(&here.message, &wanted), "decodes as the reference, byte by byte",
	     string, &here.message, &wanted);
	must(here.used == used, "ends there, byte by byte", string, &here.message,
	     &wanted);
	must(here.dec.bare == bare, "counts the same, byte by byte", string,
	     &here.message, &wanted);
	check_coded(&wanted, newlines);
}

/* STRING as a message: with BODY_PASS, there may be anything in one. */
static void
check_message(const struct text *string, const struct way *way)
{
	struct body_encoder enc = { 0 };
	struct text wire = { 0 };

	encode(&enc, string->at, string->size, &wire);
	must(same(&wire, &way->coded), "encodes the same byte by byte", string,
	     &way->coded, &wire);
	check_coded(string, BODY_PASS);
}

static void
walk(struct text *string, const struct way ways[2], size_t longest)
{
	strings++;
	for (int newlines = BODY_NORMALISE; newlines <= BODY_PASS; newlines++)
		check_wire(string, &ways[newlines], newlines);
	check_message(string, &ways[0]);
	if (string->size == longest)
		return;

	for (size_t i = 0; i < sizeof(alphabet); i++) {
		struct way next[2] = { ways[0], ways[1] };

		append(string, &alphabet[i], 1);
		for (int n = 0; n < 2; n++) {
			if (next[n].used == 0 &&
			    decode(&next[n].dec, &alphabet[i], 1, &next[n].message) > 0)
				next[n].used = string->size;
		}
		encode(&next[0].enc, &alphabet[i], 1, &next[0].coded);
		walk(string, next, longest);
		string->size--;
	}
}

int
main(int argc, char **argv)
{
	struct way ways[2] = { 0 };
	struct text string = { 0 };
	int longest = argc > 1 ? atoi(argv[1]) : 9;
	clock_t start = clock();

	if (longest < 1 || longest > LONGEST) {
		fprintf(stderr, "usage: %s [length, 1 to %d]\n", argv[0], LONGEST);
		return 2;
	}
	in = evbuffer_new();
	out = evbuffer_new();
	ways[BODY_PASS].dec.newlines = BODY_PASS;
	walk(&string, ways, (size_t)longest);
	printf("%lu strings of up to %d bytes, %lu checks, %.1f s: all hold\n", strings,
	       longest, checks, (double)(clock() - start) / CLOCKS_PER_SEC);
	evbuffer_free(in);
	evbuffer_free(out);
	return 0;
}
