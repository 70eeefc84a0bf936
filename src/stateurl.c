#include "stateurl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

enum {
	PORT = 6379,
	DATABASES_MOST = 16384,
};

#ifdef STATE_TLS
static const bool has_tls = true;
#else
static const bool has_tls = false;
#endif

struct scheme {
	const char *text;
	bool is_path, is_tls;
};

static const struct scheme schemes[] = {
	{ .text = "redis://" },
	{ .text = "rediss://", .is_tls = true },
	{ .text = "unix://", .is_path = true },
};

static const struct scheme *
scheme_of(const char *text)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (strncmp(text, schemes[i].text, strlen(schemes[i].text)) == 0)
			return &schemes[i];
	return NULL;
}

/* All of TEXT, at most MOST. */
static bool
read_number(const char *text, unsigned long most, unsigned long *number)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 6 || text[digits] != '\0')
		return false;
	*number = strtoul(text, NULL, 10);
	return *number <= most;
}

static int
digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c | ('A' <= c && c <= 'F' ? 32 : 0)) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* SIZE bytes, %XX decoded; NULL: that is not what they are. */
static char *
decode(const char *text, size_t size)
{
	char *plain = xmalloc(size + 1), *to = plain;

	for (size_t i = 0; i < size; i++) {
		int high, low;

		if (text[i] != '%') {
			*to++ = text[i];
			continue;
		}
		high = i + 2 < size ? digit(text[i + 1]) : -1;
		low = i + 2 < size ? digit(text[i + 2]) : -1;
		if (high < 0 || low < 0 || (high == 0 && low == 0)) {
			free(plain);
			return NULL;
		}
		*to++ = (char)(16 * high + low);
		i += 2;
	}
	*to = '\0';
	return plain;
}

/* What is before the last "@" of SIZE bytes. */
static const char *
read_login(struct stateurl *url, const char *text, size_t size)
{
	const char *colon = memchr(text, ':', size);

	size_t user = colon ? (size_t)(colon - text) : size;

	if (size == 0)
		return "has nobody before its \"@\": write redis://USER:PASSWORD@HOST, "
		       "redis://:PASSWORD@HOST, or redis://HOST";
	if (user > 0)
		url->user = decode(text, user);
	if (colon)
		url->password = decode(colon + 1, size - user - 1);
	if ((user > 0 && !url->user) || (colon && !url->password))
		return "has a \"%\" in its user or password without two hexadecimal "
		       "digits behind it: a % itself is %25";
	return NULL;
}

/* What has behind it is left in TEXT. */
static const char *
take_login(struct stateurl *url, const char **text)
{
	const char *end = *text + strcspn(*text, "/?#"), *at;
	const char *start = *text;

	at = memrchr(start, '@', (size_t)(end - start));
	if (!at)
		return NULL;
	*text = at + 1;
	return read_login(url, start, (size_t)(at - start));
}

static bool
is_host(const char *text, size_t size)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789-_.";

	return size > 0 && size < 256 && strspn(text, plain) >= size;
}

/* HOST, or [ADDRESS]: left in TEXT is what comes behind. */
static bool
take_host(struct stateurl *url, const char **text)
{
	const char *from = *text;
	size_t size = strcspn(from, ":/");

	if (*from == '[') {
		size = strcspn(++from, "]");
		if (from[size] != ']' || size == 0 || size >= 64 ||
		    strspn(from, "0123456789abcdefABCDEF:.") < size)
			return false;
		*text = from + size + 1;
	} else {
		if (!is_host(from, size))
			return false;
		*text = from + size;
	}
	url->host = xstrndup(from, size);
	return true;
}

static const char *
read_network(struct stateurl *url, const char *text)
{
	unsigned long number = PORT;
	const char *end;

	if (!take_host(url, &text))
		return "has no host, or one that cannot be, behind the \"//\"";
	end = text + strcspn(text, "/");
	if (*text == ':') {
		char *port = xstrndup(text + 1, (size_t)(end - text - 1));
		bool good = read_number(port, 65535, &number) && number > 0;

		free(port);
		if (!good)
			return "has a wrong port: a number from 1 to 65535";
	} else if (text != end) {
		return "has something behind its host that is no port";
	}
	url->port = (uint16_t)number;
	number = 0;
	if (end[0] == '/' && end[1] &&
	    !read_number(end + 1, DATABASES_MOST - 1, &number))
		return "has a wrong database: a number behind the \"/\"";
	url->database = (unsigned)number;
	return NULL;
}

static const char *
read_path(struct stateurl *url, const char *text)
{
	size_t size = strcspn(text, "?#");
	unsigned long number = 0;

	if (*text != '/')
		return "has no absolute path: unix:///run/redis/redis-server.sock";
	if (size >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return "has a path that is too long for a socket";
	if (text[size] && (strncmp(text + size, "?db=", 4) != 0 ||
	                   !read_number(text + size + 4, DATABASES_MOST - 1, &number)))
		return "has something behind its path that is no database: ?db=NUMBER";
	url->path = xstrndup(text, size);
	url->database = (unsigned)number;
	return NULL;
}

const char *
stateurl_read(struct stateurl *url, const char *text)
{
	const struct scheme *scheme = scheme_of(text);
	const char *fault;

	*url = (struct stateurl){ 0 };
	for (const char *at = text; *at; at++)
		if (*at <= ' ' || *at > '~')
			return "must be plain ASCII without blanks; write others as "
			       "%XX";
	if (!scheme)
		return "must begin with redis://, rediss:// or unix://";
	text += strlen(scheme->text);
	url->is_tls = scheme->is_tls;
	if (url->is_tls && !has_tls)
		return "needs TLS, which this program was built without: its hiredis "
		       "has "
		       "no libhiredis_ssl; use redis:// to a TLS proxy on this "
		       "machine, "
		       "such as stunnel";
	fault = take_login(url, &text);
	if (!fault)
		fault = scheme->is_path ? read_path(url, text)
		                        : read_network(url, text);
	if (fault)
		stateurl_clear(url);
	return fault;
}

static void
forget(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

void
stateurl_clear(struct stateurl *url)
{
	free(url->user);
	forget(url->password);
	free(url->host);
	free(url->path);
	*url = (struct stateurl){ 0 };
}

const char *
stateurl_login_fault(const struct stateurl *url, bool has_file)
{
	if (!url->user || url->password || has_file)
		return NULL;
	return "has a user without a password: write it into state_password_file, or "
	       "redis://USER:PASSWORD@HOST";
}

char *
stateurl_text(const struct stateurl *url)
{
	bool is_six = url->host && strchr(url->host, ':');

	if (url->path)
		return xasprintf("unix://%s?db=%u", url->path, url->database);
	return xasprintf("redis%s://%s%s%s:%u/%u", url->is_tls ? "s" : "",
	                 is_six ? "[" : "", url->host, is_six ? "]" : "", url->port,
	                 url->database);
}
