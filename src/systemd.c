#include "systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	SOCKETS_FIRST = 3, /* SD_LISTEN_FDS_START */
	SOCKETS_MOST = 256,
};

/* A number of the environment; -1: there is none. */
static long
environment_number(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long number;

	if (!text || text[0] < '0' || text[0] > '9')
		return -1;
	errno = 0;
	number = strtol(text, &end, 10);
	return *end == '\0' && errno == 0 ? number : -1;
}

/* How many are meant for us; a shell in between may have inherited the words only. */
static long
count_handed(void)
{
	long count = environment_number("LISTEN_FDS");

	if (environment_number("LISTEN_PID") != (long)getpid() || count <= 0)
		return 0;
	return count < SOCKETS_MOST ? count : SOCKETS_MOST;
}

int
systemd_first_free(void)
{
	return SOCKETS_FIRST + (int)count_handed();
}

/* The name at the front of LIST, which is moved behind it; xstrdup'd. */
static char *
next_name(const char **list)
{
	size_t size = strcspn(*list, ":");
	char *name = size > 0 ? xstrndup(*list, size) : xstrdup("unknown");

	*list += size + ((*list)[size] == ':');
	return name;
}

static bool
is_listening(int fd)
{
	int family = 0, type = 0, listens = 0;
	socklen_t size = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 &&
	       (family == AF_INET || family == AF_INET6) && type == SOCK_STREAM &&
	       listens;
}

static bool
adopt(const struct systemd_socket *socket, char *why, size_t why_size)
{
	int fd = socket->fd;
	int flags = fcntl(fd, F_GETFL);

	if (!is_listening(fd)) {
		snprintf(
			why, why_size,
			"descriptor %d (%s), handed over by the service manager, is no "
			"listening TCP socket: see ListenStream= of the socket unit",
			fd, socket->name);
		return false;
	}
	if (flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
	    fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
		return true;
	snprintf(why, why_size, "descriptor %d (%s): %s", fd, socket->name,
	         strerror(errno));
	return false;
}

bool
systemd_take_sockets(struct systemd_socket **sockets, size_t *count, char *why,
                     size_t why_size)
{
	const char *names = getenv("LISTEN_FDNAMES");
	bool good = true;

	*count = (size_t)count_handed();
	*sockets = *count > 0 ? xcalloc(*count, sizeof(**sockets)) : NULL;
	names = names ? names : "";
	for (size_t i = 0; i < *count; i++) {
		(*sockets)[i].fd = SOCKETS_FIRST + (int)i;
		(*sockets)[i].name = next_name(&names);
	}
	for (size_t i = 0; good && i < *count; i++)
		good = adopt(&(*sockets)[i], why, why_size);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return good;
}
