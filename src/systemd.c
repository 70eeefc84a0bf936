#include "systemd.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
	SOCKETS_FIRST = 3, /* SD_LISTEN_FDS_START */
	SOCKETS_MOST = 256,
	MESSAGE_SIZE = 2048, /* systemd reads no more than 4096 of one */
	PATIENCE_MS = 1000,
};

/* NOTIFY_SOCKET; a size of 0: there is none. */
static struct sockaddr_un manager;
static socklen_t manager_size;
static int manager_fd = -1;

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

/* ---- sockets ----------------------------------------------------------------------- */

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

/* The number that the kernel has for a socket; -1: none. */
static int
ask_socket(int fd, int option)
{
	socklen_t size = sizeof(int);
	int value = -1;

	return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

static bool
is_internet(int fd)
{
	int family = ask_socket(fd, SO_DOMAIN);

	return family == AF_INET || family == AF_INET6;
}

static bool
is_listening(int fd)
{
	return is_internet(fd) && ask_socket(fd, SO_TYPE) == SOCK_STREAM &&
	       ask_socket(fd, SO_ACCEPTCONN) == 1;
}

static bool
adopt(struct systemd_socket *socket, bool datagrams, char *why, size_t why_size)
{
	int fd = socket->fd;
	int flags = fcntl(fd, F_GETFL);

	socket->is_datagram = datagrams && is_internet(fd) &&
	                      ask_socket(fd, SO_TYPE) == SOCK_DGRAM;
	if (!socket->is_datagram && !is_listening(fd)) {
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
systemd_take_sockets(struct systemd_socket **sockets, size_t *count, bool datagrams,
                     char *why, size_t why_size)
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
		good = adopt(&(*sockets)[i], datagrams, why, why_size);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return good;
}

/* ---- messages ---------------------------------------------------------------------- */

/* False: it is no address of a kind that we know. */
static bool
find_manager(const char *text)
{
	size_t size = strlen(text);

	if ((text[0] != '/' && text[0] != '@') || size < 2 ||
	    size >= sizeof(manager.sun_path))
		return false;
	manager = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(manager.sun_path, text, size);
	if (text[0] == '@')
		manager.sun_path[0] = '\0';
	/* The name of an abstract socket ends where the address does. */
	manager_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size +
	                           (text[0] == '/'));
	return true;
}

/* (Re)connects; false: errno. */
static bool
connect_manager(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error;

	if (fd >= 0 && connect(fd, (struct sockaddr *)&manager, manager_size) == 0) {
		if (manager_fd >= 0)
			close(manager_fd);
		manager_fd = fd;
		return true;
	}
	error = errno;
	if (fd >= 0)
		close(fd);
	errno = error;
	return false;
}

bool
systemd_open(char *why, size_t why_size)
{
	const char *text = getenv("NOTIFY_SOCKET");

	if (!text || !text[0])
		return true;
	if (!find_manager(text)) {
		snprintf(why, why_size,
		         "NOTIFY_SOCKET=%s is neither a path nor an abstract name",
		         text);
		return false;
	}
	if (connect_manager())
		return true;
	snprintf(why, why_size, "NOTIFY_SOCKET=%s: %s", text, strerror(errno));
	return false;
}

void
systemd_close(void)
{
	if (manager_fd >= 0)
		close(manager_fd);
	manager_fd = -1;
	manager_size = 0;
}

bool
systemd_is_told(void)
{
	return manager_size > 0;
}

static bool
message_send(const char *text, size_t size)
{
	if (manager_fd >= 0 && send(manager_fd, text, size, MSG_NOSIGNAL) >= 0)
		return true;
	if (manager_fd >= 0 && (errno == EAGAIN || errno == ENOBUFS)) {
		errno = EAGAIN;
		return false;
	}
	return connect_manager() && send(manager_fd, text, size, MSG_NOSIGNAL) >= 0;
}

bool
systemd_notify(const char *format, ...)
{
	char text[MESSAGE_SIZE];
	va_list args;
	int size;

	if (!systemd_is_told())
		return true;
	va_start(args, format);
	size = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (size < 0 || (size_t)size >= sizeof(text)) {
		errno = EMSGSIZE;
		return false;
	}
	return message_send(text, (size_t)size);
}

char *
systemd_clean(char *text)
{
	for (char *at = text; *at; at++)
		if (*at < ' ' || *at > '~')
			*at = *at == '\n' ? ';' : '?';
	return text;
}

bool
systemd_pass_on(pid_t pid)
{
	struct pollfd room = { .fd = manager_fd, .events = POLLOUT };

	if (systemd_notify("MAINPID=%ld", (long)pid))
		return true;
	/* This has to be heard, and who says it has little else to do. */
	return errno == EAGAIN && poll(&room, 1, PATIENCE_MS) > 0 &&
	       systemd_notify("MAINPID=%ld", (long)pid);
}

/* ---- time -------------------------------------------------------------------------- */

uint64_t
systemd_watchdog(void)
{
	long microseconds = environment_number("WATCHDOG_USEC");

	if (!systemd_is_told() || microseconds <= 0)
		return 0;
	/* A shell in between may have inherited the words only. */
	if (getenv("WATCHDOG_PID") &&
	    environment_number("WATCHDOG_PID") != (long)getpid())
		return 0;
	return (uint64_t)microseconds;
}

uint64_t
systemd_now(void)
{
	return (uint64_t)clock_us();
}
