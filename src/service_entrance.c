#include "service_internal.h"

#include "log.h"
#include "route.h"
#include "route_loop.h"
#include "systemd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * The sockets that clients come to: handed to us already listening, or else those of
 * bind_address.
 */

static struct entrance *
add(struct service *service, char *name, int fd)
{
	struct entrance *entrance;

	service->entrances = xrealloc(service->entrances,
	                              (service->entrance_count + 1) *
	                                      sizeof(*service->entrances));
	entrance = &service->entrances[service->entrance_count++];
	*entrance = (struct entrance){ .name = name, .fd = fd };
	return entrance;
}

/* ---- handed over ------------------------------------------------------------------ */

static void
tell_of(const struct entrance *entrance)
{
	struct addr addr = addr_local(entrance->fd);

	log_event(NULL, LOG_CONFIG_EVENT,
	          log_text("text", "listening on a socket that was handed over; "
	                           "bind_address and port have no effect"),
	          log_text("name", entrance->name), log_addr("address", &addr));
}

static bool
take_handed(struct service *service)
{
	struct systemd_socket *sockets;
	char why[256];
	size_t count;
	bool good = systemd_take_sockets(&sockets, &count, why, sizeof(why));

	for (size_t i = 0; i < count; i++)
		add(service, sockets[i].name, sockets[i].fd)->is_handed = true;
	free(sockets);
	for (size_t i = 0; good && i < count; i++)
		tell_of(&service->entrances[i]);
	service->handed = count > 0;
	return good || service_fail("%s", why);
}

/* ---- bound by ourselves ------------------------------------------------------------ */

static bool
bind_one(struct service *service, const char *text)
{
	const struct config *cfg = service->cfg;
	struct addr addr;
	int fd;

	if (!addr_parse(&addr, text, (uint16_t)cfg->port))
		return service_fail("bind_address: %s is no IPv4 or IPv6 address",
		                    text);
	fd = listener_bind(&addr, (int)cfg->connect_queue);
	if (fd >= 0) {
		add(service, xstrdup("default"), fd);
		return true;
	}
	if (errno == EAFNOSUPPORT && cfg->bind_address.count > 1) {
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text",
		                   "this kernel does not have the address "
		                   "family of one bind_address; it is left out"),
		          log_text("bind_address", text));
		return true;
	}
	return service_fail("cannot listen on %s port %d (bind_address, port): %s%s",
	                    text, (int)cfg->port, strerror(errno),
	                    errno == EADDRINUSE ? "; is another smtp-gated running?"
	                                        : "");
}

/* ---- all of them ------------------------------------------------------------------ */

static bool
make_transparent(const struct service *service, const struct entrance *entrance)
{
	struct addr at = addr_local(entrance->fd);
	char text[ADDR_TEXT_SIZE];

	if (!route_takes_foreign(service->cfg) ||
	    listener_make_transparent(entrance->fd))
		return true;
	return service_fail(
		"mode = %s: the socket \"%s\" (%s) cannot be made transparent, so "
		"that connections would pass unscanned: %s; %sgive the daemon "
		"CAP_NET_RAW (AmbientCapabilities= of the unit), or start it as root",
		config_word(service->cfg, "mode"), entrance->name, addr_full(&at, text),
		strerror(errno),
		entrance->is_handed ? "write Transparent=yes into its socket unit, or "
				    : "");
}

/* What comes from whom, and what would come back, depends on where we listen. */
static bool
announce(const struct service *service)
{
	for (size_t i = 0; i < service->entrance_count; i++) {
		struct addr at = addr_local(service->entrances[i].fd);

		if (!make_transparent(service, &service->entrances[i]))
			return false;
		route_loop_add_entrance(&at);
	}
	return true;
}

bool
entrances_open(struct service *service)
{
	const struct string_list *wanted = &service->cfg->bind_address;

	if (!take_handed(service))
		return false;
	if (service->entrance_count > 0)
		return announce(service);
	if (wanted->count == 0)
		return service_fail(
			"bind_address is empty: there is nothing to listen on");
	for (size_t i = 0; i < wanted->count; i++)
		if (!bind_one(service, wanted->at[i]))
			return false;
	return announce(service);
}

/* ---- clients ------------------------------------------------------------------------- */

static void
on_client(int fd, const struct addr *client, void *arg)
{
	struct service *service = arg;

	session_begin(service->sessions, fd, client);
}

void
entrances_listen(struct service *service)
{
	unsigned rest = (unsigned)service->cfg->enfile_sleep;

	for (size_t i = 0; i < service->entrance_count; i++) {
		struct entrance *entrance = &service->entrances[i];

		entrance->listener = listener_new(service->base, entrance->fd, rest,
		                                  on_client, service);
	}
}

void
entrances_close(struct service *service)
{
	for (size_t i = 0; i < service->entrance_count; i++) {
		struct entrance *entrance = &service->entrances[i];

		if (entrance->listener)
			listener_free(entrance->listener);
		else
			close(entrance->fd);
		free(entrance->name);
	}
	free(service->entrances);
	service->entrances = NULL;
	service->entrance_count = 0;
	route_loop_forget_entrances();
}
