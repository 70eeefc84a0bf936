#include "helper_internal.h"

#include "config.h"
#include "conn.h"
#include "listener.h"
#include "log.h"
#include "privilege.h"
#include "systemd.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	PORT = 114,
	SOCKETS_MOST = 64,
	READ_SIZE = 4096,
	BACKLOG = 1024,

	EXIT_USAGE = 2,
};

static const char usage[] =
	"usage: smtp-gated-helper --allow NETWORK... [option...]\n"
	"  -a, --allow NETWORK     answer this network; may be repeated\n"
	"  -l, --listen ADDRESS[:PORT]  answer here (default: all addresses, port "
	"114);\n"
	"                          may be repeated\n"
	"  -o, --only udp|tcp      answer one of the two protocols only\n"
	"  -k, --key-file FILE     key of datagrams of version 0x0500\n"
	"  -s, --secret-file FILE  number of datagrams of version 0x0402\n"
	"  -u, --user USER         user to become\n"
	"  -d, --debug             log each answer\n"
	"  -h, --help              print this\n"
	"  -V, --version           print the version\n"
	"Stays in the foreground; logs to the standard error stream.  See "
	"smtp-gated-helper(8).\n";

/* What the command line asks for. */
struct wish {
	struct addr listen[SOCKETS_MOST];
	size_t count;
	bool no_udp, no_tcp;
	const char *user, *key_file, *secret_file;
	int level;
};

/* Sockets that are open, and who serves them. */
struct sockets {
	size_t count;
	struct {
		int fd;
		bool is_datagram;
		struct helper_datagrams *datagrams;
		struct helper_lines *lines;
	} at[SOCKETS_MOST];
};

static bool PRINTF(1, 2) fail(const char *format, ...)
{
	char words[512];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	log_event(NULL, LOG_FATAL_EVENT, log_text("text", words));
	return false;
}

/* ---- command line ------------------------------------------------------------------- */

/* ADDRESS, ADDRESS:PORT, [ADDRESS]:PORT */
static bool
parse_listen(struct wish *wish, const char *text)
{
	const char *colon = strrchr(text, ':');
	char host[ADDR_TEXT_SIZE];
	unsigned long port = PORT;
	size_t size = strlen(text);
	char *end;

	if (wish->count == SOCKETS_MOST / 2)
		return fail("--listen: %d at most", SOCKETS_MOST / 2);
	if (colon &&
	    (strchr(text, ':') == colon || (colon > text && colon[-1] == ']'))) {
		port = strtoul(colon + 1, &end, 10);
		if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || port == 0 ||
		    port > 65535)
			return fail("--listen: %s: \"%s\" is no port", text, colon + 1);
		size = (size_t)(colon - text);
	}
	snprintf(host, sizeof(host), "%.*s", (int)size, text);
	if (size >= sizeof(host) ||
	    !addr_parse(&wish->listen[wish->count], host, (uint16_t)port))
		return fail("--listen: %s is no IPv4 or IPv6 address, nor one with a "
		            "port",
		            text);
	wish->count++;
	return true;
}

static bool
parse_allow(struct helper *helper, const char *text)
{
	struct addr_net net;
	char why[256];

	if (!addr_net_parse(&net, text, why, sizeof(why)))
		return fail("--allow: %s %s", text, why);
	addr_nets_add(&helper->allowed, &net);
	return true;
}

static bool
parse_only(struct wish *wish, const char *text)
{
	wish->no_tcp = strcmp(text, "udp") == 0;
	wish->no_udp = strcmp(text, "tcp") == 0;
	return wish->no_tcp || wish->no_udp || fail("--only: %s? udp or tcp", text);
}

/* True, or an exit code is in CODE. */
static bool
take_option(struct wish *wish, struct helper *helper, int letter, int *code)
{
	switch (letter) {
	case 'a':
		return parse_allow(helper, optarg);
	case 'l':
		return parse_listen(wish, optarg);
	case 'o':
		return parse_only(wish, optarg);
	case 'k':
		wish->key_file = optarg;
		return true;
	case 's':
		wish->secret_file = optarg;
		return true;
	case 'u':
		wish->user = optarg;
		return true;
	case 'd':
		wish->level = LOG_DEBUG;
		return true;
	case 'V':
		puts("smtp-gated-helper " PROGRAM_VERSION);
		*code = EXIT_SUCCESS;
		return false;
	case 'h':
		fputs(usage, stdout);
		*code = EXIT_SUCCESS;
		return false;
	}
	fputs(usage, stderr);
	return false;
}

static bool
parse(struct wish *wish, struct helper *helper, int argc, char **argv, int *code)
{
	static const struct option options[] = {
		{ "allow", required_argument, NULL, 'a' },
		{ "listen", required_argument, NULL, 'l' },
		{ "only", required_argument, NULL, 'o' },
		{ "key-file", required_argument, NULL, 'k' },
		{ "secret-file", required_argument, NULL, 's' },
		{ "user", required_argument, NULL, 'u' },
		{ "debug", no_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	int letter;

	*code = EXIT_USAGE;
	while ((letter = getopt_long(argc, argv, "a:l:o:k:s:u:dhV", options, NULL)) !=
	       -1)
		if (!take_option(wish, helper, letter, code))
			return false;
	if (optind < argc)
		return fail("%s: not an option; networks are given with --allow",
		            argv[optind]);
	if (helper->allowed.count == 0)
		return fail("whom to answer? --allow NETWORK, that of the gateway");
	return true;
}

/* ---- secrets ------------------------------------------------------------------------ */

/* A 32-bit number as 1.4 wrote it: decimal, 0octal, 0xhexadecimal. */
static bool
read_number(struct helper *helper, const char *file)
{
	struct secret text = { 0 };
	char digits[SECRET_MAX + 1], why[512], *end;
	unsigned long long number;

	if (!secret_read(&text, file, 1, why, sizeof(why)))
		return fail("--secret-file: %s", why);
	memcpy(digits, text.bytes, text.size);
	digits[text.size] = '\0';
	errno = 0;
	number = strtoull(digits, &end, 0);
	if (digits[0] < '0' || digits[0] > '9' || *end != '\0' || errno != 0 ||
	    number > UINT32_MAX)
		return fail("--secret-file: %s must hold a number of 32 bits, as "
		            "remote_udp_secret",
		            file);
	helper->secrets.number = (uint32_t)number;
	return true;
}

static bool
read_secrets(struct helper *helper, const struct wish *wish)
{
	char why[512];

	helper->plain = wish->secret_file || !wish->key_file;
	if (wish->key_file && !secret_read(&helper->secrets.key, wish->key_file,
	                                   SECRET_MIN, why, sizeof(why)))
		return fail("--key-file: %s", why);
	return !wish->secret_file || read_number(helper, wish->secret_file);
}

/* ---- sockets ------------------------------------------------------------------------ */

static int
bind_datagrams(const struct addr *addr)
{
	int fd = socket(addr_family(addr), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	                0);
	int on = 1, error;

	if (fd < 0)
		return -1;
	if (addr_family(addr) == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, &addr->any, addr_size(addr)) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static bool
add_socket(struct sockets *sockets, int fd, bool is_datagram)
{
	if (sockets->count == SOCKETS_MOST)
		return fail("too many sockets: %d at most", SOCKETS_MOST);
	sockets->at[sockets->count].fd = fd;
	sockets->at[sockets->count].is_datagram = is_datagram;
	sockets->count++;
	return true;
}

static bool
open_one(struct sockets *sockets, const struct addr *addr, bool is_datagram)
{
	int fd = is_datagram ? bind_datagrams(addr) : listener_bind(addr, BACKLOG);
	char text[ADDR_TEXT_SIZE];

	if (fd < 0 && errno == EAFNOSUPPORT)
		return true; /* a kernel without IPv6 */
	if (fd < 0)
		return fail("cannot listen on %s, %s: %s%s", addr_full(addr, text),
		            is_datagram ? "UDP" : "TCP", strerror(errno),
		            errno == EACCES ? "; ports below 1024 take root, "
		                              "CAP_NET_BIND_SERVICE, or a socket unit"
		                            : "");
	return add_socket(sockets, fd, is_datagram);
}

static bool
take_handed(struct sockets *sockets)
{
	struct systemd_socket *handed;
	size_t count;
	char why[512];
	bool good = systemd_take_sockets(&handed, &count, true, why, sizeof(why)) ||
	            fail("%s", why);

	for (size_t i = 0; i < count; i++) {
		good = good && add_socket(sockets, handed[i].fd, handed[i].is_datagram);
		free(handed[i].name);
	}
	free(handed);
	return good;
}

/* Those that a service manager hands over, else those of --listen, else all addresses. */
static bool
open_sockets(struct sockets *sockets, struct wish *wish)
{
	if (!take_handed(sockets))
		return false;
	if (sockets->count > 0)
		return wish->count == 0 ||
		       fail("--listen: the service manager has opened the sockets; "
		            "write the address into the socket unit");
	if (wish->count == 0 &&
	    (!parse_listen(wish, "0.0.0.0") || !parse_listen(wish, "[::]")))
		return false;
	for (size_t i = 0; i < wish->count; i++)
		if ((!wish->no_udp && !open_one(sockets, &wish->listen[i], true)) ||
		    (!wish->no_tcp && !open_one(sockets, &wish->listen[i], false)))
			return false;
	return true;
}

static void
serve_sockets(struct helper *helper, struct sockets *sockets)
{
	for (size_t i = 0; i < sockets->count; i++) {
		if (sockets->at[i].is_datagram)
			sockets->at[i].datagrams = helper_datagrams_new(
				helper, sockets->at[i].fd);
		else
			sockets->at[i].lines = helper_lines_new(helper,
			                                        sockets->at[i].fd);
	}
}

static void
close_sockets(struct sockets *sockets)
{
	for (size_t i = 0; i < sockets->count; i++) {
		helper_datagrams_free(sockets->at[i].datagrams);
		helper_lines_free(sockets->at[i].lines);
	}
}

/* ---- privileges --------------------------------------------------------------------- */

/* What the daemon does with its defaults, but for set_user: of mode netfilter the one
 * capability that connection tracking takes is left. */
static bool
drop_privileges(const struct wish *wish)
{
	char why[512];
	struct config *cfg = config_load(NULL, why, sizeof(why), NULL, NULL);
	bool good;
	int error;

	assert(cfg && cfg->mode == ROUTE_BY_NETFILTER);
	free(cfg->set_user);
	cfg->set_user = xstrdup(wish->user ? wish->user : "");
	if (geteuid() == 0 && !wish->user)
		good = fail("would run as root: name an ordinary user with --user");
	else
		good = privilege_drop(cfg, why, sizeof(why)) || fail("--user: %s", why);
	config_drop(cfg);
	error = good ? helper_try_conntrack() : 0;
	if (error == EPERM)
		return fail("connection tracking cannot be asked: that takes the "
		            "capability CAP_NET_ADMIN; start it as root with --user, "
		            "or with AmbientCapabilities=");
	if (error != 0)
		return fail("connection tracking cannot be asked: %s; is the module "
		            "nf_conntrack_netlink there?",
		            strerror(error));
	return good;
}

/* ---- running ------------------------------------------------------------------------ */

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	(void)number;
	(void)what;
	event_base_loopbreak(arg);
}

static void
run(struct helper *helper, struct sockets *sockets)
{
	struct event *ends[] = {
		evsignal_new(helper->base, SIGTERM, on_signal, helper->base),
		evsignal_new(helper->base, SIGINT, on_signal, helper->base),
	};

	for (int i = 0; i < 2; i++)
		event_add(ends[i], NULL);
	serve_sockets(helper, sockets);
	log_event(NULL, LOG_START_EVENT, log_text("version", PROGRAM_VERSION),
	          log_number("sockets", (int64_t)sockets->count),
	          log_number("networks", (int64_t)helper->allowed.count),
	          log_text("key", helper->secrets.key.size > 0 ? "yes" : "no"));
	event_base_dispatch(helper->base);
	log_event(NULL, LOG_STOP_EVENT, log_number("found", helper->found),
	          log_number("not_found", helper->not_found),
	          log_number("failed", helper->failed),
	          log_number("refused", helper->refused));
	close_sockets(sockets);
	for (int i = 0; i < 2; i++)
		event_free(ends[i]);
}

int
main(int argc, char **argv)
{
	struct wish wish = { .level = LOG_INFO };
	struct sockets sockets = { 0 };
	struct helper helper = { 0 };
	enum log_sink sink = log_stderr_is_journal() ? LOG_TO_JOURNAL : LOG_TO_STDERR;
	int code = EXIT_FAILURE;

	log_name_program("smtp-gated-helper");
	log_open(sink, LOG_INFO, LOG_DAEMON);
	signal(SIGPIPE, SIG_IGN);
	if (parse(&wish, &helper, argc, argv, &code)) {
		code = EXIT_FAILURE;
		log_open(sink, wish.level, LOG_DAEMON);
		conn_set_read_size(READ_SIZE);
		if (read_secrets(&helper, &wish) && open_sockets(&sockets, &wish) &&
		    drop_privileges(&wish)) {
			helper.base = event_base_new();
			run(&helper, &sockets);
			event_base_free(helper.base);
			code = EXIT_SUCCESS;
		}
	}
	addr_nets_clear(&helper.allowed);
	explicit_bzero(&helper.secrets, sizeof(helper.secrets));
	log_close();
	return code;
}
