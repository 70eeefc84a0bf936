#include "config_internal.h"

#include "stateurl.h"

#include <string.h>

/*
 * What may be called: http and https, and nothing in it that would have to be kept secret
 * where it is logged.
 */

/* Behind the "//"; NULL: it is for something else. */
static const char *
authority(const char *text)
{
	static const char *const schemes[] = { "http://", "https://" };

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (strncmp(text, schemes[i], strlen(schemes[i])) == 0)
			return text + strlen(schemes[i]);
	return NULL;
}

/* Of SIZE: a name or an address, maybe with a port. */
static bool
is_host(const char *text, size_t size)
{
	static const char name[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789-_.";
	const char *end = text + size;
	size_t length = *text == '[' ? strcspn(text, "]") + 1 : strspn(text, name);
	unsigned port = 0;

	if (length == 0 || length > size)
		return false;
	text += length;
	if (text == end)
		return true;
	if (*text++ != ':' || text == end)
		return false;
	for (; text < end && *text >= '0' && *text <= '9' && port <= 65535; text++)
		port = 10 * port + (unsigned)(*text - '0');
	return text == end && port > 0 && port <= 65535;
}

const char *
config_url_fault(const char *text)
{
	const char *host = authority(text);
	size_t size;

	for (const char *at = text; *at; at++)
		if (*at <= ' ' || *at > '~')
			return "must be plain ASCII without blanks; write others as "
			       "%XX";
	if (!host)
		return "must begin with http:// or https://";
	size = strcspn(host, "/?#");
	if (memchr(host, '@', size))
		return "must have no user and no password in it: put a token into the "
		       "path, or let the receiver know us by our address";
	if (!is_host(host, size))
		return "has no host, or a wrong port, behind the \"//\"";
	return NULL;
}

const char *
config_state_fault(const char *text)
{
	struct stateurl url;
	const char *fault = stateurl_read(&url, text);

	stateurl_clear(&url);
	return fault;
}

const char *
config_login_fault(const struct config *cfg)
{
	struct stateurl url;
	const char *fault;

	if (!cfg->state_server[0])
		return NULL;
	fault = stateurl_read(&url, cfg->state_server)
	                ?: stateurl_login_fault(&url, cfg->state_password_file[0]);
	stateurl_clear(&url);
	return fault;
}
