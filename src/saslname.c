#include "saslname.h"

#include "base64.h"
#include "command.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- names ----------------------------------------------------------------------- */

struct span {
	const char *at;
	size_t size;
};

/* NULL: this can be nobody's name. */
static char *
name_of(struct span span)
{
	if (span.size == 0 || span.size > SASLNAME_MAX)
		return NULL;
	for (size_t i = 0; i < span.size; i++)
		if ((unsigned char)span.at[i] < ' ' || span.at[i] == '\x7f')
			return NULL;
	return xstrndup(span.at, span.size);
}

/* "=2C" is a comma, "=3D" is "="; any other "=" is wrong: NUL. */
static char
unescaped(const char *at, size_t left)
{
	if (left >= 3 && strncasecmp(at, "=2C", 3) == 0)
		return ',';
	if (left >= 3 && strncasecmp(at, "=3D", 3) == 0)
		return '=';
	return '\0';
}

/* A saslname of RFC 5802. */
static char *
escaped_name_of(struct span span)
{
	char box[SASLNAME_MAX + 1];
	size_t size = 0;

	for (size_t i = 0; i < span.size && size < sizeof(box); i++) {
		box[size] = span.at[i];
		if (span.at[i] == '=') {
			box[size] = unescaped(span.at + i, span.size - i);
			i += 2;
		}
		size++;
	}
	return name_of((struct span){ box, size }); /* which may have no NUL */
}

/* Cuts off what stands before END; false: there is none. */
static bool
cut(struct span *text, char end, struct span *piece)
{
	const char *found = memchr(text->at, end, text->size);

	if (!found)
		return false;
	*piece = (struct span){ text->at, (size_t)(found - text->at) };
	text->at = found + 1;
	text->size -= piece->size + 1;
	return true;
}

static bool
skip_word(struct span *text, const char *word)
{
	size_t size = strlen(word);

	if (text->size < size || memcmp(text->at, word, size) != 0)
		return false;
	text->at += size;
	text->size -= size;
	return true;
}

/* ---- where they stand ------------------------------------------------------------- */

static char *
in_plain(struct span text)
{
	struct span other, name;

	if (!cut(&text, '\0', &other) || !cut(&text, '\0', &name) ||
	    memchr(text.at, '\0', text.size))
		return NULL;
	return name_of(name);
}

static char *
in_login(struct span text)
{
	return name_of(text);
}

static char *
in_cram(struct span text)
{
	const char *blank = memrchr(text.at, ' ', text.size);

	if (!blank)
		return NULL;
	return name_of((struct span){ text.at, (size_t)(blank - text.at) });
}

/* "n,a=somebody," (RFC 5801): how the channel is bound, and who to act as. */
static bool
skip_gs2_header(struct span *text, struct span *act_as)
{
	struct span binding;

	return cut(text, ',', &binding) && binding.size > 0 && cut(text, ',', act_as);
}

static char *
in_scram(struct span text)
{
	struct span act_as, name;

	if (!skip_gs2_header(&text, &act_as) || !skip_word(&text, "n=") ||
	    !cut(&text, ',', &name))
		return NULL;
	return escaped_name_of(name);
}

static char *
in_xoauth2(struct span text)
{
	struct span name;

	if (!skip_word(&text, "user=") || !cut(&text, '\1', &name))
		return NULL;
	return name_of(name);
}

static char *
in_oauthbearer(struct span text)
{
	struct span name;

	if (!skip_gs2_header(&text, &name) || !skip_word(&name, "a="))
		return NULL;
	return escaped_name_of(name);
}

/*
 * A server that overlooks the initial response, or asks twice, has heard a name that we
 * have not: how many lines follow the one with the name is part of each mechanism.  (The
 * last of SCRAM's is the empty answer to the server's own signature, if that comes in a
 * challenge of its own.)
 */
struct saslname_mechanism {
	const char *word;
	bool is_family;            /* WORD is how their names begin */
	bool has_initial;          /* the client may begin, in the command itself */
	unsigned char least, most; /* lines behind the name */
	char *(*find)(struct span text);
};

static const struct saslname_mechanism mechanisms[] = {
	{ "PLAIN", false, true, 0, 0, in_plain },
	{ "LOGIN", false, true, 1, 1, in_login },
	{ "CRAM-MD5", false, false, 0, 0, in_cram },
	{ "SCRAM-", true, true, 1, 2, in_scram },
	{ "XOAUTH2", false, true, 0, 0, in_xoauth2 },
	{ "OAUTHBEARER", false, true, 0, 0, in_oauthbearer },
};

static const struct saslname_mechanism *
mechanism_of(struct span word)
{
	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
		const struct saslname_mechanism *row = &mechanisms[i];
		size_t size = strlen(row->word);

		if (strncasecmp(row->word, word.at, size) == 0 &&
		    (row->is_family ? word.size > size : word.size == size))
			return row;
	}
	return NULL;
}

/* ---- what a mechanism says ---------------------------------------------------------- */

/* The secret is in it, too. */
static char *
find_name(const struct saslname_mechanism *mechanism, struct span text)
{
	unsigned char decoded[BASE64_BYTES(COMMAND_AUTH_MAX)];
	char *name = NULL;
	size_t size;

	if (text.size > COMMAND_AUTH_MAX)
		return NULL;
	if (base64_decode(text.at, text.size, decoded, &size)) /* servers would agree */
		name = mechanism->find((struct span){ (const char *)decoded, size });
	explicit_bzero(decoded, BASE64_BYTES(text.size));
	return name;
}

/* ---- the talk ----------------------------------------------------------------------- */

static const char blanks[] = " \t\v\f";

static struct span
next_word(const char **text)
{
	struct span word;

	*text += strspn(*text, blanks);
	word = (struct span){ *text, strcspn(*text, blanks) };
	*text += word.size;
	return word;
}

static void
say_name(struct saslname *auth, struct span text)
{
	auth->is_said = true;
	auth->name = find_name(auth->mechanism, text);
}

void
saslname_begin(struct saslname *auth, const char *argument)
{
	struct span word = next_word(&argument), initial = next_word(&argument);

	saslname_forget(auth);
	auth->mechanism = mechanism_of(word);
	if (!auth->mechanism || initial.size == 0)
		return;
	if (auth->mechanism->has_initial && next_word(&argument).size == 0)
		say_name(auth, initial);
	else
		auth->mechanism = NULL;
}

void
saslname_hear(struct saslname *auth, const char *line)
{
	if (!auth->mechanism)
		return;
	if (!auth->is_said)
		say_name(auth, (struct span){ line, strlen(line) });
	else if (auth->lines <= auth->mechanism->most)
		auth->lines++;
}

char *
saslname_take(struct saslname *auth)
{
	char *name = NULL;

	if (auth->name && auth->lines >= auth->mechanism->least &&
	    auth->lines <= auth->mechanism->most) {
		name = auth->name;
		auth->name = NULL;
	}
	saslname_forget(auth);
	return name;
}

void
saslname_forget(struct saslname *auth)
{
	free(auth->name);
	*auth = (struct saslname){ 0 };
}
