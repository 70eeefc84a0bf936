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
 * The sockets that clients come to.  Each listener has those that were handed to us for it,
 * already listening, or else those of its addresses.
 */

/* FD belongs to LISTENER from now on. */
static struct entrance *
add(struct service *service, const struct config *listener, int fd)
{
	struct entrance *entrance;

	service->entrances = xrealloc(service->entrances,
	                              (service->entrance_count + 1) *
	                                      sizeof(*service->entrances));
	entrance = &service->entrances[service->entrance_count++];
	*entrance = (struct entrance){ .service = service,
		                       .name = xstrdup(listener->listener),
		                       .fd = fd };
	return entrance;
}

static bool
has_sections(const struct service *service)
{
	return config_listener_at(service->cfg, 1);
}

/* ---- handed over ------------------------------------------------------------------ */

/* NULL: it is for nobody, which has been said. */
static const struct config *
listener_for(const struct service *service, const char *name)
{
	const struct config *listener = config_listener(service->cfg, name)
	                                        ?: service->cfg;

	if (config_serves(listener))
		return listener;
	service_fail(
		"the socket \"%s\" was handed over, but there is no section listen "
		"\"%s\", and the main part has no bind_address: correct "
		"FileDescriptorName= of the socket unit, or the name of the section",
		name, name);
	return NULL;
}

static void
tell_of(const struct service *service, const struct systemd_socket *handed,
        const struct config *listener)
{
	struct addr addr = addr_local(handed->fd);
	bool is_named = strcmp(handed->name, listener->listener) == 0;

	log_event(NULL, LOG_CONFIG_EVENT,
	          log_text("text",
	                   upgrade_waited_for() ? "listening where the predecessor did"
	                   : !has_sections(service)
	                           ? "listening on a socket that was handed over; "
	                             "bind_address and port have no effect"
	                   : is_named
	                           ? "listening on a socket that was handed over; "
	                             "address and port of its listener have no effect"
	                           : "listening on a socket that was handed over; no "
	                             "listen section has its name, so it belongs to "
	                             "the main part"),
	          log_text("name", handed->name), log_addr("address", &addr),
	          log_text("listener",
	                   has_sections(service) ? listener->listener : NULL));
}

/* What a predecessor listened on, and this configuration does not: its clients are not to
 * be served as if they had come to another listener. */
static bool
is_left_over(const struct service *service, const char *name)
{
	const struct config *listener = config_listener(service->cfg, name);

	return upgrade_waited_for() && !(listener && config_serves(listener));
}

static void
leave_closed(const struct systemd_socket *handed)
{
	struct addr addr = addr_local(handed->fd);

	log_event(NULL, LOG_CONFIG_EVENT,
	          log_text("text", "nobody listens here any more: the listener is gone "
	                           "from the configuration"),
	          log_text("name", handed->name), log_addr("address", &addr));
	close(handed->fd);
}

/* Gives each to a listener. */
static bool
give_out(struct service *service, const struct systemd_socket *handed, size_t count)
{
	bool good = true;

	for (size_t i = 0; i < count; i++) {
		const struct config *listener;

		if (is_left_over(service, handed[i].name)) {
			leave_closed(&handed[i]);
			continue;
		}
		listener = listener_for(service, handed[i].name);
		if (!listener) {
			close(handed[i].fd);
			good = false;
			continue;
		}
		add(service, listener, handed[i].fd)->is_handed = true;
		tell_of(service, &handed[i], listener);
	}
	return good;
}

static bool
take_handed(struct service *service)
{
	struct systemd_socket *handed;
	char why[256];
	size_t count;
	bool good = systemd_take_sockets(&handed, &count, false, why, sizeof(why));

	if (!good)
		service_fail("%s", why);
	good = good && give_out(service, handed, count);
	for (size_t i = 0; i < count; i++)
		free(handed[i].name);
	free(handed);
	service->handed = count > 0;
	return good;
}

/* ---- bound by ourselves ------------------------------------------------------------ */

static void
tell_of_bound(const struct service *service, const struct config *listener, int fd)
{
	struct addr addr = addr_local(fd);

	if (has_sections(service))
		log_event(NULL, LOG_CONFIG_EVENT, log_text("text", "listening"),
		          log_addr("address", &addr),
		          log_text("listener", listener->listener));
}

static bool
bind_failed(const struct config *cfg, const char *text)
{
	return service_fail(
		"cannot listen on %s port %d (%s%s%s): %s%s", text, (int)cfg->port,
		cfg->listen_section ? "listen \"" : "bind_address, port",
		cfg->listen_section ? cfg->listener : "",
		cfg->listen_section ? "\"" : "", strerror(errno),
		errno == EADDRINUSE ? "; is another smtp-gated running?" : "");
}

static bool
bind_one(struct service *service, const struct config *cfg, const char *text)
{
	struct addr addr;
	int fd;

	if (!addr_parse(&addr, text, (uint16_t)cfg->port))
		return service_fail("bind_address: %s is no IPv4 or IPv6 address",
		                    text);
	fd = listener_bind(&addr, (int)cfg->connect_queue);
	if (fd >= 0) {
		add(service, cfg, fd);
		tell_of_bound(service, cfg, fd);
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
	return bind_failed(cfg, text);
}

static bool
was_handed(const struct service *service, const struct config *listener)
{
	for (size_t i = 0; i < service->entrance_count; i++)
		if (strcmp(service->entrances[i].name, listener->listener) == 0)
			return true;
	return false;
}

/* All addresses of one listener, unless it has been given sockets. */
static bool
bind_listener(struct service *service, const struct config *listener)
{
	const struct string_list *wanted = &listener->bind_address;

	if (was_handed(service, listener))
		return true;
	if (wanted->count == 0 && listener->listen_section)
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "nothing listens here: there is no address, "
		                           "and no socket was handed over"),
		          log_text("listener", listener->listener));
	for (size_t i = 0; i < wanted->count; i++)
		if (!bind_one(service, listener, wanted->at[i]))
			return false;
	return true;
}

/* ---- all of them ------------------------------------------------------------------ */

static bool
make_transparent(const struct service *service, const struct entrance *entrance)
{
	const struct config *cfg = config_listener(service->cfg, entrance->name);
	struct addr at = addr_local(entrance->fd);
	char text[ADDR_TEXT_SIZE];

	if (!route_takes_foreign(cfg) || listener_make_transparent(entrance->fd))
		return true;
	return service_fail(
		"mode = %s: the socket \"%s\" (%s) cannot be made transparent, so "
		"that connections would pass unscanned: %s; %sgive the daemon "
		"CAP_NET_RAW (AmbientCapabilities= of the unit), or start it as root",
		config_word(cfg, "mode"), entrance->name, addr_full(&at, text),
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
	const struct config *listener;

	if (!take_handed(service))
		return false;
	for (size_t i = 0; (listener = config_listener_at(service->cfg, i)); i++)
		if (!bind_listener(service, listener))
			return false;
	if (service->entrance_count > 0)
		return announce(service);
	return service_fail("there is nothing to listen on: bind_address is empty, and "
	                    "so is address of all listen sections");
}

/* ---- clients ------------------------------------------------------------------------- */

/* Listeners stay the same over all reloads: config_keep(). */
static void
on_client(int fd, const struct addr *client, void *arg)
{
	const struct entrance *entrance = arg;
	struct service *service = entrance->service;

	session_begin(service->sessions, config_listener(service->cfg, entrance->name),
	              fd, client);
}

static void
on_crowd(int fd, const struct addr *client, void *arg)
{
	const struct entrance *entrance = arg;
	struct service *service = entrance->service;

	session_begin_not(service->sessions,
	                  config_listener(service->cfg, entrance->name), fd, client);
}

static const struct listener_events client_events = {
	.accepted = on_client,
	.crowded = on_crowd,
};

void
entrances_listen(struct service *service)
{
	unsigned rest = (unsigned)service->cfg->enfile_sleep;

	for (size_t i = 0; i < service->entrance_count; i++) {
		struct entrance *entrance = &service->entrances[i];

		entrance->listener = listener_new(service->base, entrance->fd, rest,
		                                  &client_events, entrance);
	}
}

unsigned
entrances_main_port(const struct service *service)
{
	for (size_t i = 0; i < service->entrance_count; i++) {
		struct addr at = addr_local(service->entrances[i].fd);

		if (strcmp(service->entrances[i].name, service->cfg->listener) == 0)
			return addr_port(&at);
	}
	return 0;
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
