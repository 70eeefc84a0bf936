#include "log_internal.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

/*
 * Addresses of people, in a log that others read.
 */
enum {
	MD5_SIZE = 16,
	BASE64_SIZE = 25, /* of that, with its NUL */
};

static const char hidden[] = "(hidden)", cut[] = "...";

struct log_field
log_mailbox(const char *key, const char *path, bool hashed, size_t longest)
{
	return (struct log_field){
		.key = key,
		.kind = LOG_FIELD_MAILBOX,
		.text = { .at = path,
		          .size = path ? strlen(path) : 0,
		          .hashed = hashed,
		          .longest = longest },
	};
}

static struct log_field
as_text(const struct log_field *field, const char *box)
{
	return log_bytes(field->key, box, strlen(box));
}

/* Who knows an address finds its lines: echo -n ADDRESS | openssl md5 -binary | base64.  A
 * library that has no MD5 any more makes it one that nobody finds. */
static struct log_field
hash(const struct log_field *field, char box[static LOG_SHOWN_SIZE])
{
	unsigned char md5[MD5_SIZE];
	size_t size = 0;

	_Static_assert((int)BASE64_SIZE <= (int)LOG_SHOWN_SIZE, "it fits");
	if (EVP_Q_digest(NULL, "MD5", NULL, field->text.at, field->text.size, md5,
	                 &size) &&
	    size == sizeof(md5))
		EVP_EncodeBlock((unsigned char *)box, md5, sizeof(md5));
	else
		memcpy(box, hidden, sizeof(hidden));
	return as_text(field, box);
}

static struct log_field
shorten(const struct log_field *field, char box[static LOG_SHOWN_SIZE])
{
	size_t longest = field->text.longest;

	if (longest == 0 || field->text.size <= longest ||
	    longest > LOG_SHOWN_SIZE - sizeof(cut))
		return log_bytes(field->key, field->text.at, field->text.size);
	memcpy(box, field->text.at, longest);
	memcpy(box + longest, cut, sizeof(cut));
	return as_text(field, box);
}

/* ---- in the words of others ------------------------------------------------------------ */

/* Between what addresses stand in sentences.  A quoted local part is one of these cases. */
static bool
is_between(char c)
{
	return (unsigned char)c <= ' ' || strchr("<>()[]\"',;:", c);
}

/* Where the address begins whose @ is at AT. */
static size_t
begin_of(const char *text, size_t at, size_t least)
{
	size_t begin = at;

	if (begin > least && text[begin - 1] == '"') {
		for (begin--; begin > least && text[begin - 1] != '"';)
			begin--;
		return begin > least ? begin - 1 : least;
	}
	if (begin > least && strchr(")]>", text[begin - 1]))
		while (begin > least && (unsigned char)text[begin - 1] > ' ')
			begin--;
	while (begin > least && !is_between(text[begin - 1]))
		begin--;
	return begin;
}

static size_t
end_of(const char *text, size_t at, size_t size)
{
	if (at + 1 < size && text[at + 1] == '[') { /* an address of a host */
		while (at < size && text[at] != ']' && text[at] != ' ')
			at++;
		return at < size && text[at] == ']' ? at + 1 : at;
	}
	do {
		at++;
	} while (at < size && !is_between(text[at]));
	return at;
}

struct shown {
	char *box;
	size_t size;
};

/* What does not fit is left out. */
static void
put(struct shown *shown, const char *text, size_t size)
{
	if (size > LOG_SHOWN_SIZE - 1 - shown->size)
		size = LOG_SHOWN_SIZE - 1 - shown->size;
	memcpy(shown->box + shown->size, text, size);
	shown->size += size;
	shown->box[shown->size] = '\0';
}

static struct log_field
hide(const struct log_field *field, char box[static LOG_SHOWN_SIZE])
{
	const char *text = field->text.at, *at;
	size_t size = field->text.size, done = 0, begin;
	struct shown shown = { box, 0 };

	while ((at = memchr(text + done, '@', size - done))) {
		begin = begin_of(text, (size_t)(at - text), done);
		put(&shown, text + done, begin - done);
		put(&shown, hidden, strlen(hidden));
		done = end_of(text, (size_t)(at - text), size);
	}
	put(&shown, text + done, size - done);
	return log_bytes(field->key, box, shown.size);
}

struct log_field
log_shown(const struct log_ctx *ctx, const struct log_field *field,
          char box[static LOG_SHOWN_SIZE])
{
	bool is_text = field->kind == LOG_FIELD_TEXT;

	if (field->kind == LOG_FIELD_MAILBOX)
		return field->text.hashed && field->text.size > 0 ? hash(field, box)
		                                                  : shorten(field, box);
	if (is_text && ctx && ctx->hides_mailboxes &&
	    memchr(field->text.at, '@', field->text.size))
		return hide(field, box);
	return *field;
}
