#include "body.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* From this size on, a piece of memory that needs no change is moved, not
	 * copied.  Below, moving would let a peer fill the queues with nearly empty
	 * pieces, each of which costs a kilobyte. */
	MOVE_MIN = 4096,
};

/* evbuffer_add() fails for want of memory, or on a buffer that was frozen: ours both. */
static void
put(struct evbuffer *out, const char *text, size_t size)
{
	int failed = evbuffer_add(out, text, size);

	assert(!failed);
}

static void
move(struct evbuffer *out, struct evbuffer *in, size_t size)
{
	int moved = evbuffer_remove_buffer(in, out, size);

	assert(moved >= 0 && (size_t)moved == size);
}

/* The first piece of contiguous memory in IN, which is not empty. */
static struct evbuffer_iovec
first_piece(struct evbuffer *in)
{
	struct evbuffer_iovec piece;
	int pieces = evbuffer_peek(in, -1, NULL, &piece, 1);

	assert(pieces > 0 && piece.iov_len > 0);
	return piece;
}

/*
 * One piece of wire on its way through the decoder.
 *
 * Bytes that pass as they are make runs, which are written when something other than
 * what stands in the wire must follow.  CR and LF are the next ones at or behind AT (END
 * if there are none): so no byte is searched twice, however the newlines are mixed.
 */
struct piece {
	struct evbuffer *message;
	const char *run; /* not yet written; ends at AT */
	const char *at;  /* the next byte to look at */
	const char *end;
	const char *cr, *lf;
	bool holds_cr; /* a CR from the piece before; it is in no run */
};

static const char *
find(const char *from, const char *end, char c)
{
	const char *found = memchr(from, c, (size_t)(end - from));

	return found ? found : end;
}

/* Writes the run, then INSTEAD; the next run starts at NEXT. */
static void
end_run(struct piece *piece, const char *instead, const char *next)
{
	if (piece->at > piece->run)
		put(piece->message, piece->run, (size_t)(piece->at - piece->run));
	put(piece->message, instead, strlen(instead));
	piece->run = next;
}

static void
release_cr(struct piece *piece)
{
	if (piece->holds_cr)
		put(piece->message, "\r", 1);
	piece->holds_cr = false;
}

/* Goes to the next CR or LF. */
static void
skip_text(struct piece *piece)
{
	if (piece->cr < piece->at)
		piece->cr = find(piece->at, piece->end, '\r');
	if (piece->lf < piece->at)
		piece->lf = find(piece->at, piece->end, '\n');
	piece->at = piece->cr < piece->lf ? piece->cr : piece->lf;
}

/* The byte before AT is a CR that stands alone. */
static void
bare_cr(struct body_decoder *dec, struct piece *piece)
{
	dec->bare++;
	release_cr(piece);
	if (dec->newlines == BODY_NORMALISE)
		end_run(piece, "\n", piece->at);
	dec->state = dec->newlines == BODY_NORMALISE ? DECODE_BARE : DECODE_TEXT;
}

/* The byte at AT is an LF that stands alone. */
static void
bare_lf(struct body_decoder *dec, struct piece *piece)
{
	dec->bare++;
	if (dec->newlines == BODY_NORMALISE)
		end_run(piece, "\r", piece->at);
	piece->at++;
	dec->state = dec->newlines == BODY_NORMALISE ? DECODE_BARE : DECODE_TEXT;
}

/* At the first byte of a line of the message that is not the first of a wire line, or no
 * dot. */
static void
line_begins(struct body_decoder *dec, const struct piece *piece)
{
	bool nul = dec->newlines == BODY_NORMALISE && *piece->at == '\0';

	dec->state = nul ? DECODE_NULS : DECODE_TEXT;
}

enum {
	BLOCK = 64,
};

/*
 * True if the bytes at AT, and the one behind them, need no change: every CR is followed
 * by an LF, every LF follows a CR, and behind an LF stands no dot and no NUL.  No branches
 * and a fixed length: the compiler makes vector instructions of it, and most mail goes
 * through at the speed of memory.
 */
static bool
block_is_plain(const char *at)
{
	unsigned char odd = 0;

	for (int i = 0; i < BLOCK; i++) {
		unsigned char lf = at[i] == '\n';

		odd |= (at[i] == '\r') ^ (at[i + 1] == '\n');
		odd |= lf & ((at[i + 1] == '.') | (at[i + 1] == '\0'));
	}
	return odd == 0;
}

/* Goes over all that needs no change, as far as whole blocks reach. */
static void
skip_plain(struct body_decoder *dec, struct piece *piece)
{
	const char *start = piece->at;

	if (*piece->at == '\n')
		return;
	while (piece->end - piece->at > BLOCK && block_is_plain(piece->at))
		piece->at += BLOCK;
	if (piece->at == start)
		return;
	if (piece->at[-1] == '\r')
		dec->state = DECODE_CR;
	else if (piece->at[-1] == '\n')
		dec->state = DECODE_LINE_START;
}

static void
text(struct body_decoder *dec, struct piece *piece)
{
	skip_plain(dec, piece);
	if (dec->state != DECODE_TEXT)
		return;
	skip_text(piece);
	if (piece->at == piece->end)
		return;
	if (*piece->at == '\n') {
		bare_lf(dec, piece);
	} else {
		piece->at++;
		dec->state = DECODE_CR;
	}
}

static void
dot(struct body_decoder *dec, struct piece *piece)
{
	if (*piece->at != '\r') {
		line_begins(dec, piece);
		return;
	}
	piece->at++;
	dec->state = DECODE_DOT_CR;
}

static void
nuls_dot(struct body_decoder *dec, struct piece *piece)
{
	switch (*piece->at) {
	case '\0':
		piece->at++;
		break;
	case '\r':
	case '\n':
		end_run(piece, ".", piece->at);
		dec->state = DECODE_TEXT;
		break;
	default:
		dec->state = DECODE_TEXT;
	}
}

/* Takes at least one byte, or changes the state to one that does.  True at the end of the
 * message. */
static bool
decode_step(struct body_decoder *dec, struct piece *piece)
{
	switch (dec->state) {
	case DECODE_LINE_START:
		if (*piece->at == '.') {
			end_run(piece, "", piece->at + 1);
			piece->at++;
			dec->state = DECODE_DOT;
		} else {
			line_begins(dec, piece);
		}
		return false;
	case DECODE_TEXT:
		text(dec, piece);
		return false;
	case DECODE_CR:
		if (*piece->at == '\n') {
			release_cr(piece);
			piece->at++;
			dec->state = DECODE_LINE_START;
		} else {
			bare_cr(dec, piece);
		}
		return false;
	case DECODE_DOT:
		dot(dec, piece);
		return false;
	case DECODE_DOT_CR:
		if (*piece->at == '\n')
			return true;
		bare_cr(dec, piece);
		return false;
	case DECODE_BARE:
		line_begins(dec, piece);
		return false;
	case DECODE_NULS:
		if (*piece->at == '.')
			dec->state = DECODE_NULS_DOT;
		else if (*piece->at != '\0')
			dec->state = DECODE_TEXT;
		if (dec->state != DECODE_TEXT)
			piece->at++;
		return false;
	case DECODE_NULS_DOT:
		nuls_dot(dec, piece);
		return false;
	}
	abort(); /* no such thing: a state of the decoder */
}

/* Writes the last run of a piece, which was all used, and drains it from WIRE. */
static void
finish_piece(struct body_decoder *dec, struct piece *piece, struct evbuffer *wire,
             size_t size)
{
	bool holds_cr = dec->state == DECODE_CR || dec->state == DECODE_DOT_CR;
	size_t run = (size_t)(piece->end - piece->run) - holds_cr;

	if (run == size && run >= MOVE_MIN) {
		move(piece->message, wire, size);
		return;
	}
	put(piece->message, piece->run, run);
	evbuffer_drain(wire, size);
}

static enum body_step
decode_piece(struct body_decoder *dec, struct evbuffer *wire, struct evbuffer *message)
{
	struct evbuffer_iovec memory = first_piece(wire);
	const char *start = memory.iov_base;
	struct piece piece = {
		.message = message,
		.run = start,
		.at = start,
		.end = start + memory.iov_len,
		.cr = find(start, start + memory.iov_len, '\r'),
		.lf = find(start, start + memory.iov_len, '\n'),
		.holds_cr = dec->state == DECODE_CR || dec->state == DECODE_DOT_CR,
	};

	while (piece.at < piece.end) {
		if (decode_step(dec, &piece)) {
			evbuffer_drain(wire, (size_t)(piece.at + 1 - start));
			return BODY_END;
		}
	}
	finish_piece(dec, &piece, wire, memory.iov_len);
	return BODY_MORE;
}

enum body_step
body_decode(struct body_decoder *dec, struct evbuffer *wire, struct evbuffer *message)
{
	enum body_step step = BODY_MORE;

	while (step == BODY_MORE && evbuffer_get_length(wire) > 0)
		step = decode_piece(dec, wire, message);
	return step;
}

/* ---- chunks ----------------------------------------------------------------------- */

/* Takes at least one byte, or changes the state to one that does. */
static void
chunk_step(struct body_decoder *dec, struct piece *piece)
{
	if (dec->state != DECODE_CR) {
		dec->state = DECODE_TEXT;
		text(dec, piece);
	} else if (*piece->at == '\n') {
		release_cr(piece);
		piece->at++;
		dec->state = DECODE_TEXT;
	} else {
		bare_cr(dec, piece);
	}
}

static void
decode_chunk_piece(struct body_decoder *dec, struct evbuffer *wire, size_t size,
                   struct evbuffer *message)
{
	struct evbuffer_iovec memory = first_piece(wire);
	const char *start = memory.iov_base, *end = start + size;
	struct piece piece = {
		.message = message,
		.run = start,
		.at = start,
		.end = end,
		.cr = find(start, end, '\r'),
		.lf = find(start, end, '\n'),
		.holds_cr = dec->state == DECODE_CR,
	};

	if (dec->newlines == BODY_BINARY)
		piece.at = end;
	while (piece.at < end)
		chunk_step(dec, &piece);
	finish_piece(dec, &piece, wire, size);
}

void
body_decode_chunk(struct body_decoder *dec, struct evbuffer *wire, uint64_t *left,
                  struct evbuffer *message)
{
	while (*left > 0 && evbuffer_get_length(wire) > 0) {
		size_t size = first_piece(wire).iov_len;

		if (size > *left)
			size = (size_t)*left;
		decode_chunk_piece(dec, wire, size, message);
		*left -= size;
	}
}

void
body_decode_last_chunk(struct body_decoder *dec, struct evbuffer *message)
{
	if (dec->state != DECODE_CR)
		return;
	dec->bare++;
	dec->state = DECODE_TEXT;
	put(message, "\r", 1);
	if (dec->newlines == BODY_NORMALISE)
		put(message, "\n", 1);
}

void
body_move(struct evbuffer *to, struct evbuffer *from)
{
	while (evbuffer_get_length(from) > 0) {
		struct evbuffer_iovec memory = first_piece(from);

		if (memory.iov_len >= MOVE_MIN) {
			move(to, from, memory.iov_len);
			continue;
		}
		put(to, memory.iov_base, memory.iov_len);
		evbuffer_drain(from, memory.iov_len);
	}
}

/* ---- encoding --------------------------------------------------------------------- */

/* The encoder's state behind SIZE bytes of TEXT: the last two of them say it. */
static int
state_behind(const struct body_encoder *enc, const char *text, size_t size)
{
	bool behind_cr;

	if (size == 0)
		return enc->state;
	if (text[size - 1] == '\r')
		return ENCODE_CR;
	behind_cr = size > 1 ? text[size - 2] == '\r' : enc->state == ENCODE_CR;
	return text[size - 1] == '\n' && behind_cr ? ENCODE_LINE_START : ENCODE_TEXT;
}

/* Most content has few dots, so we look for dots that stand at the start of a line, not
 * for lines that start with a dot. */
static void
encode_piece(struct body_encoder *enc, struct evbuffer *message, struct evbuffer *wire)
{
	struct evbuffer_iovec memory = first_piece(message);
	const char *text = memory.iov_base, *end = text + memory.iov_len;
	const char *run = text;

	for (const char *at = find(text, end, '.'); at < end;
	     at = find(at + 1, end, '.')) {
		if (state_behind(enc, text, (size_t)(at - text)) != ENCODE_LINE_START)
			continue;
		put(wire, run, (size_t)(at + 1 - run));
		run = at;
	}
	enc->state = state_behind(enc, text, memory.iov_len);
	if (run == text && memory.iov_len >= MOVE_MIN) {
		move(wire, message, memory.iov_len);
	} else {
		put(wire, run, (size_t)(end - run));
		evbuffer_drain(message, memory.iov_len);
	}
}

void
body_encode(struct body_encoder *enc, struct evbuffer *message, struct evbuffer *wire)
{
	while (evbuffer_get_length(message) > 0)
		encode_piece(enc, message, wire);
}

void
body_encode_end(const struct body_encoder *enc, struct evbuffer *wire)
{
	if (enc->state != ENCODE_LINE_START)
		put(wire, "\r\n", 2);
	put(wire, ".\r\n", 3);
}
