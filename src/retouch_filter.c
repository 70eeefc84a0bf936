#include "retouch_internal.h"

#include "xalloc.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	LOOK = 1024, /* so much of a line is looked at: its name is there, or it has none */
	VALUE_LOOK = 2 * LOOK, /* its text, too */
};

enum line_end {
	END_CRLF, /* or the beginning of the message */
	END_BARE, /* a CR or LF that stands alone: for some readers it ends a line */
	END_NONE, /* in the middle of a line */
};

#define TRUSTED_NAME "authentication-results"

struct retouch_filter {
	const struct retouch *what;
	struct evbuffer *in;  /* not looked at yet; or not enough of it */
	struct evbuffer *out; /* done, till our fields are placed */
	char *fields;         /* of ours; NULL: none */
	struct header_place place;
	enum line_end end;  /* what came last */
	bool is_over;       /* what is to be looked at: the rest passes unread */
	bool has_begun;     /* a line has passed */
	bool has_fields;    /* one of them was a field */
	bool drops;         /* the line, and those that go on it */
	bool owes_end;      /* what is dropped ended the line of another reader */
	bool wants_subject; /* there has been none yet */
	unsigned seen[];    /* of the fields to be removed */
};

/* ---- the message ------------------------------------------------------------------ */

static void
keep(struct retouch_filter *f, size_t size)
{
	int moved = evbuffer_remove_buffer(f->in, f->out, size);

	assert(moved >= 0 && (size_t)moved == size);
}

static void
take(struct retouch_filter *f, size_t size)
{
	if (f->drops)
		evbuffer_drain(f->in, size);
	else
		keep(f, size);
}

/* A line's end, of SIZE bytes. */
static void
take_end(struct retouch_filter *f, size_t size, enum line_end end)
{
	take(f, size);
	if (f->drops && f->owes_end && end == END_CRLF) {
		evbuffer_add(f->out, "\r\n", 2);
		f->owes_end = false;
	}
	f->end = end;
}

/* A line's end in front of what was not looked at yet, and its SIZE; 0: more must be known
 * before that. */
static enum line_end
end_in_front(struct retouch_filter *f, bool all, size_t *size)
{
	char next[2];
	ev_ssize_t got = evbuffer_copyout(f->in, next, sizeof(next));

	*size = 1;
	if (next[0] == '\n')
		return END_BARE;
	if (next[0] != '\r')
		return END_NONE;
	if (got == 2 && next[1] == '\n') {
		*size = 2;
		return END_CRLF;
	}
	if (got < 2 && !all)
		*size = 0;
	return END_BARE;
}

/* The line, as far as it is here.  False: more is needed. */
static bool
take_line(struct retouch_filter *f, bool all)
{
	size_t size = evbuffer_get_contiguous_space(f->in), at = 0;
	const unsigned char *text = evbuffer_pullup(f->in, (ev_ssize_t)size);
	enum line_end end;

	while (at < size && text[at] != '\r' && text[at] != '\n')
		at++;
	if (at > 0) {
		take(f, at);
		return true;
	}
	end = end_in_front(f, all, &size);
	if (size == 0)
		return false;
	take_end(f, size, end);
	return true;
}

/* ---- what a line is --------------------------------------------------------------- */

struct line {
	bool is_known; /* enough of it is here */
	bool is_field;
	bool is_name;                   /* and no more: it has no colon */
	size_t colon;                   /* where that is, if it is a field */
	size_t size;                    /* of its name, as far as it can be one */
	char name[HEADER_NAME_MAX + 1]; /* in small letters */
};

/* One more character of what may be a name.  False: then it is none. */
static bool
add_char(struct line *line, unsigned char c, bool *blank)
{
	if (c == ' ' || c == '\t') {
		*blank = true;
		return true;
	}
	if (c < ' ' || c == 0x7f)
		return true;
	if (*blank)
		return false;
	if (line->size <= HEADER_NAME_MAX) {
		if (line->size < HEADER_NAME_MAX)
			line->name[line->size] = (char)tolower(c);
		line->size++;
	}
	return true;
}

/* A name that is too long is none that anybody asks for. */
static void
end_name(struct line *line)
{
	line->name[line->size <= HEADER_NAME_MAX ? line->size : 0] = '\0';
}

static bool
ends_name(unsigned char c)
{
	return c == ':' || c == '\r' || c == '\n';
}

static void
look_at_line(struct retouch_filter *f, bool all, struct line *line)
{
	size_t size = evbuffer_get_length(f->in), at = 0;
	bool blank = false, is_text = false;
	const unsigned char *text;

	*line = (struct line){ .is_known = all || size >= LOOK };
	if (size > LOOK)
		size = LOOK;
	text = evbuffer_pullup(f->in, (ev_ssize_t)size);
	while (at < size && !ends_name(text[at]) && !is_text)
		is_text = !add_char(line, text[at++], &blank);
	if (is_text)
		line->size = 0;
	line->is_known |= is_text || at < size;
	line->is_field = !is_text && at < size && text[at] == ':';
	line->is_name = !is_text && !line->is_field && (at < size || size < LOOK);
	line->colon = at;
	end_name(line);
}

/* As in header.h. */
static bool
is_mailbox_line(struct retouch_filter *f, bool all, bool *sure)
{
	static const char mark[] = "From ";
	enum { MARK = sizeof(mark) - 1 };
	char begin[MARK + 1];
	size_t size = (size_t)evbuffer_copyout(f->in, begin, sizeof(begin));
	size_t quote = size > 0 && begin[0] == '>', known = size - quote;
	bool alike = memcmp(begin + quote, mark, known < MARK ? known : MARK) == 0;

	*sure = all || !alike || known >= MARK;
	return alike && known >= MARK;
}

/* Past blanks and folds; SIZE: there is nothing else. */
static size_t
skip_blanks(const unsigned char *text, size_t size, size_t at)
{
	while (at < size && text[at] && strchr(" \t\r\n", text[at]))
		at++;
	return at;
}

static bool
is_id(const unsigned char *text, size_t size, const char *id)
{
	return strlen(id) == size && strncasecmp((const char *)text, id, size) == 0;
}

/* Results of somebody who is trusted.  What is not plainly so is not: of a comment in front
 * of the name another reader might see another end.  SURE: more of it would not change that. */
static bool
is_trusted(struct retouch_filter *f, const struct line *line, bool all, bool *sure)
{
	const struct string_list *ids = f->what->trusted;
	size_t size = evbuffer_get_length(f->in), at, end;
	const unsigned char *text;

	*sure = true;
	if (!ids || strcmp(line->name, TRUSTED_NAME) != 0)
		return false;
	if (size > VALUE_LOOK)
		size = VALUE_LOOK;
	text = evbuffer_pullup(f->in, (ev_ssize_t)size);
	at = end = skip_blanks(text, size, line->colon + 1);
	while (end < size &&
	       (isalnum(text[end]) || (text[end] && strchr(".-_:", text[end]))))
		end++;
	*sure = all || end < size || size == VALUE_LOOK;
	if (end == size || !text[end] || !strchr("; \t\r\n", text[end]) ||
	    is_id(text + at, end - at, f->what->ours))
		return false;
	for (size_t i = 0; i < ids->count; i++)
		if (is_id(text + at, end - at, ids->at[i]))
			return true;
	return false;
}

/* Counts it, too. */
static bool
is_to_be_removed(struct retouch_filter *f, const struct line *line)
{
	const struct retouch *what = f->what;
	bool removed = what->subject && strcmp(line->name, "subject") == 0;

	for (unsigned i = 0; i < what->removal_count; i++) {
		if (strcmp(what->removals[i].name, line->name) != 0)
			continue;
		f->seen[i]++;
		if (what->removals[i].which == 0 ||
		    what->removals[i].which == f->seen[i])
			removed = true;
	}
	return removed;
}

/* Nobody writes a name with a thousand blanks and control characters in or behind it, or
 * alone in a line: for some readers its colon may follow in the next one. */
static bool
hides_a_name(const struct retouch_filter *f, const struct line *line)
{
	const struct retouch *what = f->what;
	bool has_no_end = line->colon >= LOOK;
	size_t size = has_no_end ? line->size : sizeof(line->name);

	if (!(has_no_end || line->is_name) || line->size == 0 ||
	    line->size > HEADER_NAME_MAX)
		return false;
	for (unsigned i = 0; i < what->removal_count; i++)
		if (strncmp(what->removals[i].name, line->name, size) == 0)
			return true;
	return false;
}

/* ---- the subject ------------------------------------------------------------------ */

/* It had none, and behind this point it could have none any more.  A line that would go on
 * it is none of the header section: an empty one parts them. */
static void
add_subject(struct retouch_filter *f, bool parted)
{
	if (!f->wants_subject || f->end == END_BARE)
		return;
	f->wants_subject = false;
	retouch_put_subject(f->out, f->what->prefix, "");
	if (parted)
		evbuffer_add(f->out, "\r\n", 2);
}

/* What follows the colon: a text in this line, and does it begin with an encoded-word? */
static void
look_at_subject(const unsigned char *text, size_t size, bool *is_empty, bool *is_word)
{
	size_t at = 0;

	while (at < size && (text[at] == ' ' || text[at] == '\t'))
		at++;
	*is_empty = at < size && (text[at] == '\r' || text[at] == '\n');
	while (at < size && strchr(" \t\r\n", text[at]) && text[at])
		at++;
	*is_word = at + 1 < size && text[at] == '=' && text[at + 1] == '?';
}

static size_t
line_size(const unsigned char *text, size_t size)
{
	size_t at = 0;

	while (at < size && text[at] != '\r' && text[at] != '\n')
		at++;
	return at;
}

/* Puts the prefix behind the colon, unless another gateway has; a blank that was there is
 * there in front of it. */
static void
tag_subject(struct retouch_filter *f, const struct line *line)
{
	size_t size = evbuffer_get_length(f->in), begin = line->colon + 1;
	const unsigned char *text;
	bool is_empty, is_word, has_blank;
	size_t first;

	if (size > VALUE_LOOK)
		size = VALUE_LOOK;
	text = evbuffer_pullup(f->in, (ev_ssize_t)size);
	f->wants_subject = false;
	if (retouch_is_tagged(text + begin, size - begin, f->what->prefix))
		return;
	first = line_size(text, size);
	look_at_subject(text + begin, size - begin, &is_empty, &is_word);
	has_blank = !is_empty && size > begin &&
	            (text[begin] == ' ' || text[begin] == '\t');
	keep(f, begin);
	retouch_put_prefix(f->out, f->what->prefix, first, is_empty || size == begin,
	                   is_word);
	if (has_blank)
		evbuffer_drain(f->in, 1);
}

/* ---- lines ------------------------------------------------------------------------ */

static void
begin_line(struct retouch_filter *f, bool drops)
{
	f->owes_end = drops && (f->end == END_BARE) && (!f->drops || f->owes_end);
	f->drops = drops;
	f->end = END_NONE;
	f->has_begun = true;
}

/* An empty line, for somebody; for all, it is the header section's end. */
static void
take_empty_line(struct retouch_filter *f, enum line_end end, size_t size)
{
	if (end == END_CRLF && f->end == END_CRLF) {
		add_subject(f, false);
		f->is_over = true;
		return;
	}
	if (f->end != END_BARE || end != END_CRLF)
		f->drops = false;
	take_end(f, size, end);
}

/* A line that cannot be a field, C its first character: for many the text begins here. */
static void
take_text(struct retouch_filter *f, unsigned char c)
{
	add_subject(f, c <= ' ');
	begin_line(f, false);
}

static bool
is_to_be_tagged(const struct retouch_filter *f, const struct line *line)
{
	return line->is_field && f->what->prefix && !f->what->subject &&
	       strcmp(line->name, "subject") == 0;
}

/* True if enough is known of the line, its value too if that is to be tagged. */
static bool
is_known(const struct retouch_filter *f, const struct line *line, bool all)
{
	return line->is_known && (all || !is_to_be_tagged(f, line) ||
	                          evbuffer_get_length(f->in) >= VALUE_LOOK);
}

/* A field, or a line that is none. */
static bool
take_other(struct retouch_filter *f, unsigned char c, bool all)
{
	struct line line;
	bool removed, trusted, sure;

	look_at_line(f, all, &line);
	if (!is_known(f, &line, all))
		return false;
	if (!line.is_field) {
		if (hides_a_name(f, &line))
			begin_line(f, true);
		else
			take_text(f, c);
		return true;
	}
	trusted = is_trusted(f, &line, all, &sure);
	if (!sure)
		return false;
	removed = is_to_be_removed(f, &line) && !trusted;
	begin_line(f, removed);
	f->has_fields = true;
	if (!removed && is_to_be_tagged(f, &line))
		tag_subject(f, &line);
	return true;
}

/* False: more is needed. */
static bool
take_line_start(struct retouch_filter *f, bool all)
{
	enum line_end end;
	bool sure = true;
	unsigned char c;
	size_t size;

	evbuffer_copyout(f->in, &c, 1);
	end = end_in_front(f, all, &size);
	if (size == 0)
		return false;
	if (end != END_NONE) {
		take_empty_line(f, end, size);
		return true;
	}
	if (c == ' ' || c == '\t') {
		if (!f->has_fields && !f->drops)
			take_text(f, c);
		else
			f->end = END_NONE; /* it goes on */
		return true;
	}
	if (!f->has_begun && is_mailbox_line(f, all, &sure)) {
		begin_line(f, false);
		return true;
	}
	return sure && take_other(f, c, all);
}

/* ---- all of it -------------------------------------------------------------------- */

static void
put_new_subject(struct evbuffer *to, const struct retouch *what)
{
	if (!what->subject_is_value)
		retouch_put_subject(to, what->prefix, what->subject);
	else if (retouch_is_value(what->subject))
		retouch_put_field(to, "Subject", what->subject);
	else
		retouch_put_subject(to, NULL, what->subject);
}

/* All that goes in as a whole; NULL: nothing does. */
static char *
make_fields(const struct retouch *what)
{
	struct evbuffer *fields;

	if (what->field_count == 0 && !what->subject)
		return NULL;
	fields = evbuffer_new();
	assert(fields); /* see xalloc.h */
	for (unsigned i = 0; i < what->field_count; i++)
		evbuffer_add(fields, what->fields[i], strlen(what->fields[i]));
	if (what->subject)
		put_new_subject(fields, what);
	return retouch_take_text(fields);
}

struct retouch_filter *
retouch_filter_new(const struct retouch *what)
{
	struct retouch_filter *f = xcalloc(1, sizeof(*f) + what->removal_count *
	                                                           sizeof(*f->seen));

	f->what = what;
	f->in = evbuffer_new();
	f->out = evbuffer_new();
	assert(f->in && f->out); /* see xalloc.h */
	f->fields = make_fields(what);
	f->is_over = what->removal_count == 0 && !what->prefix && !what->subject;
	f->wants_subject = what->prefix && !what->subject;
	return f;
}

void
retouch_filter_free(struct retouch_filter *f)
{
	if (!f)
		return;
	evbuffer_free(f->in);
	evbuffer_free(f->out);
	free(f->fields);
	free(f);
}

static bool
ends_with_cr(struct evbuffer *buffer)
{
	size_t size = evbuffer_get_length(buffer);
	struct evbuffer_ptr last;
	char c = '\0';

	if (size > 0 &&
	    evbuffer_ptr_set(buffer, &last, size - 1, EVBUFFER_PTR_SET) == 0)
		evbuffer_copyout_from(buffer, &last, &c, 1);
	return c == '\r';
}

/* Unread; but till our fields are placed no CRLF may be divided: see header.h. */
static void
take_rest(struct retouch_filter *f, bool all)
{
	bool is_placed = !f->fields || f->place.state == HEADER_PLACED;

	if (all || is_placed || !ends_with_cr(f->in))
		evbuffer_add_buffer(f->out, f->in);
	else
		keep(f, evbuffer_get_length(f->in) - 1);
}

/* The message has ended in its header section. */
static void
end_all(struct retouch_filter *f)
{
	if (f->end == END_NONE && f->wants_subject && !f->drops)
		evbuffer_add(f->out, "\r\n", 2);
	if (f->end == END_NONE)
		f->end = END_CRLF;
	add_subject(f, false);
}

struct evbuffer *
retouch_filter_input(struct retouch_filter *f)
{
	return f->in;
}

void
retouch_filter(struct retouch_filter *f, struct evbuffer *to, bool all)
{
	bool goes_on = true;

	while (goes_on && !f->is_over && evbuffer_get_length(f->in) > 0)
		goes_on = f->end == END_NONE ? take_line(f, all)
		                             : take_line_start(f, all);
	if (f->is_over)
		take_rest(f, all);
	else if (all)
		end_all(f);
	if (!f->fields || header_put(&f->place, f->fields, f->out, all))
		evbuffer_add_buffer(to, f->out);
}
