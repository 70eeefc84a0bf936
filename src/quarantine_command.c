#include "quarantine_internal.h"

#include "terminal.h"
#include "verdict.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * --quarantine.  The daemon is not needed for it; it notices what is gone.
 *
 * Whoever has broken into the daemon's user can write anything into the directory.  So
 * root does not work in it as root, but as the owner of the directory: what such a file
 * may lead to, that user could do before.
 */
enum {
	EXIT_WRONG = 2, /* the command line */
	COPY_PIECE = 64 * 1024,
};

struct command {
	const struct quarantine_wish *wish;
	char *path;
	int directory;
	int out;       /* --to; -1: none */
	bool new_file; /* OUT is one that we have made */
};

/* ---- notes -------------------------------------------------------------------------- */

/* NULL: WHY. */
static json_t *
read_note(const struct command *c, const char *id, char *why, size_t why_size)
{
	int fd = store_read(c->directory, id, STORE_NOTE);
	json_t *note;

	if (fd < 0) {
		snprintf(why, why_size, "%s", strerror(errno));
		return NULL;
	}
	note = note_read(fd, why, why_size);
	close(fd);
	return note;
}

static json_t *
need_note(const struct command *c, const char *id)
{
	char why[256];
	json_t *note = read_note(c, id, why, sizeof(why));

	if (!note)
		terminal_failure(0, "%s/%s.json: %s", c->path, id, why);
	return note;
}

/* ---- list ----------------------------------------------------------------------------- */

static const char *
quoted(char *out, size_t size, const char *text)
{
	return log_quote(out, size, *text ? text : "-", *text ? strlen(text) : 1);
}

/* Of a message whose note is not there, or is no note, as much as is known. */
static void
print_row(const struct command *c, const char *id)
{
	char from[400], host[ADDR_TEXT_SIZE + 8], finding[64], name[300], why[256];
	json_t *note = read_note(c, id, why, sizeof(why));
	const char *sender = note_string(note, "sender");

	if (!*sender && json_is_string(json_object_get(note, "sender")))
		sender = "<>";
	printf("%s\t%s\t%s\t%s\t%s\t%lld\n", id,
	       quoted(finding, sizeof(finding), note_string(note, "finding")),
	       quoted(name, sizeof(name), note_string(note, "name")),
	       quoted(host, sizeof(host), note_host(note, "client")),
	       quoted(from, sizeof(from), sender),
	       note ? (long long)note_number(note, "size") : -1LL);
	json_decref(note);
}

static void
note_entry(const struct store_entry *entry, void *arg)
{
	store_list_add(arg, entry);
}

/* False: it has been said why. */
static bool
find_all(const struct command *c, struct store_list *list)
{
	struct store_scan *scan = store_scan_begin(c->directory);

	if (!scan)
		return terminal_failure(false, "%s: %s", c->path, strerror(errno));
	while (store_scan_some(scan, 1000, note_entry, list))
		;
	store_scan_end(scan);
	return true;
}

/* Takes the oldest from LIST.  False: there are no more. */
static bool
next_id(struct store_list *list, char id[static QUARANTINE_ID_SIZE])
{
	const struct store_entry *oldest = store_list_oldest(list);

	if (!oldest)
		return false;
	memcpy(id, oldest->id, QUARANTINE_ID_SIZE);
	while ((oldest = store_list_oldest(list)) && strcmp(oldest->id, id) == 0)
		store_list_drop_oldest(list); /* its message, and its note */
	return true;
}

static int
list_all(const struct command *c)
{
	struct store_list list = { 0 };
	char id[QUARANTINE_ID_SIZE];

	if (!find_all(c, &list))
		return EXIT_FAILURE;
	while (next_id(&list, id))
		print_row(c, id);
	store_list_clear(&list);
	return EXIT_SUCCESS;
}

/* ---- show ------------------------------------------------------------------------------ */

static int
show_one(const struct command *c, const char *id)
{
	json_t *note = need_note(c, id);
	char *text;

	if (!note)
		return EXIT_FAILURE;
	text = note_text(note);
	fputs(text, stdout);
	free(text);
	json_decref(note);
	return EXIT_SUCCESS;
}

/* ---- delete ------------------------------------------------------------------------------ */

static int
delete_one(const struct command *c, const char *id)
{
	if (store_remove(c->directory, id))
		return EXIT_SUCCESS;
	return terminal_failure(EXIT_FAILURE, "%s/%s.eml: %s", c->path, id,
	                        errno == ENOENT ? "there is no such message"
	                                        : strerror(errno));
}

/* "30d"; -1: it is no age. */
static int64_t
age_of(const char *text)
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = {
		{ '\0', 1 }, { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }
	};
	char *end;
	long number;

	if (!isdigit((unsigned char)*text))
		return -1;
	errno = 0;
	number = strtol(text, &end, 10);
	if (errno != 0 || number > INT_MAX)
		return -1;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (*end == units[i].unit && (!*end || !end[1]))
			return number * units[i].seconds;
	return -1;
}

static int
delete_old(const struct command *c)
{
	int64_t age = age_of(c->wish->older);
	struct store_list list = { 0 };
	char id[QUARANTINE_ID_SIZE];
	int code = EXIT_SUCCESS;
	unsigned deleted = 0;

	if (age < 0)
		return terminal_failure(EXIT_WRONG,
		                        "--older %s: is no age; write 12h or 7d",
		                        c->wish->older);
	if (!find_all(c, &list))
		return EXIT_FAILURE;
	while (next_id(&list, id) && store_time(id) < time(NULL) - age) {
		if (delete_one(c, id) == EXIT_SUCCESS)
			deleted++;
		else
			code = EXIT_FAILURE;
	}
	store_list_clear(&list);
	printf("deleted %u\n", deleted);
	return code;
}

/* ---- release ----------------------------------------------------------------------------- */

static bool
copy(int from, int to)
{
	char piece[COPY_PIECE];
	ssize_t got;

	while ((got = read(from, piece, sizeof(piece))) > 0)
		if (!store_write(to, piece, (size_t)got))
			return false;
	return got == 0;
}

static int
release_to_file(const struct command *c, int message)
{
	if (copy(message, c->out) && (c->out == STDOUT_FILENO || fsync(c->out) == 0 ||
	                              errno == EINVAL || errno == EROFS))
		return EXIT_SUCCESS;
	return terminal_failure(EXIT_FAILURE, "--to %s: %s", c->wish->to,
	                        strerror(errno));
}

/* An address that would be more than one word to a server was not in an envelope. */
static bool
is_address(const json_t *value)
{
	const char *text = json_string_value(value);

	for (; text && *text; text++)
		if (iscntrl((unsigned char)*text))
			return false;
	return text != NULL;
}

/* Its server got all of it when it came. */
static bool
was_passed_on(const json_t *note)
{
	const char *action = note_string(note, "action");

	return strcmp(action, verdict_word(VERDICT_DELIVER)) == 0 ||
	       strcmp(action, verdict_word(VERDICT_TAG)) == 0;
}

/* NULL: it can be told a server again. */
static const char *
envelope_fault(const json_t *note)
{
	const json_t *recipients = json_object_get(note, "recipients");
	size_t i;
	json_t *one;

	if (!json_is_true(json_object_get(note, "envelope_complete")) ||
	    json_array_size(recipients) == 0)
		return "its envelope is not known in full (\"show\" says what is)";
	if (!is_address(json_object_get(note, "sender")))
		return "its sender is no address";
	json_array_foreach(
		recipients, i,
		one) if (!is_address(one)) return "one of its recipients is no address";
	if (was_passed_on(note))
		return "it was passed on to its server when it came, and would be "
		       "delivered twice";
	return NULL;
}

static bool
is_port(const char *text, int *port)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 5 || text[digits])
		return false;
	*port = atoi(text);
	return *port > 0 && *port <= 65535;
}

/* "HOST", "HOST:PORT", "[HOST]:PORT", "ADDRESS" of IPv6. */
static bool
split_server(const char *text, char host[static 256], int *port)
{
	const char *end = strrchr(text, ':');
	size_t size;

	*port = 25;
	if (*text == '[') {
		text++;
		end = strchr(text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return false;
		size = (size_t)(end - text);
		end = end[1] ? end + 1 : NULL;
	} else {
		if (end && strchr(text, ':') != end)
			end = NULL; /* IPv6 */
		size = end ? (size_t)(end - text) : strlen(text);
	}
	if (size == 0 || size > 255)
		return false;
	memcpy(host, text, size);
	host[size] = '\0';
	if (!end)
		return true;
	return is_port(end + 1, port);
}

static void
our_name(const struct config *cfg, char name[static HOST_NAME_MAX + 1])
{
	if (strcmp(cfg->proxy_name, "*") != 0)
		snprintf(name, HOST_NAME_MAX + 1, "%s", cfg->proxy_name);
	else if (gethostname(name, HOST_NAME_MAX) != 0 || !name[0])
		snprintf(name, HOST_NAME_MAX + 1, "localhost");
	name[HOST_NAME_MAX] = '\0';
}

/* Older notes do not say. */
static bool
speaks_lmtp(const struct command *c, const json_t *note)
{
	const char *protocol = note_string(note, "protocol");

	return *protocol ? strcmp(protocol, NOTE_LMTP) == 0
	                 : c->wish->cfg->server_protocol == SERVER_LMTP;
}

static int
release_by_note(const struct command *c, const char *id, const json_t *note,
                int message)
{
	const char *fault = envelope_fault(note);
	char name[HOST_NAME_MAX + 1] = "", host[256] = "";
	struct release release = {
		.host = host, .name = name, .note = note, .message = message
	};
	struct stat info;

	if (fault)
		return terminal_failure(EXIT_FAILURE,
		                        "%s: %s; --to writes it to a file", id, fault);
	our_name(c->wish->cfg, name);
	if (c->wish->server && !split_server(c->wish->server, host, &release.port))
		return terminal_failure(EXIT_WRONG, "--server %s: is not HOST:PORT",
		                        c->wish->server);
	if (!c->wish->server) {
		snprintf(host, sizeof(host), "%s", note_host(note, "server"));
		release.port = note_port(note, "server");
	}
	if (!host[0] || release.port == 0)
		return terminal_failure(
			EXIT_FAILURE, "%s: its server is not known; say --server", id);
	if (fstat(message, &info) != 0 ||
	    (int64_t)info.st_size != note_number(note, "size"))
		return terminal_failure(EXIT_FAILURE,
		                        "%s: the message is not as large as its note "
		                        "says",
		                        id);
	release.size = (uint64_t)info.st_size;
	release.lmtp = speaks_lmtp(c, note);
	return release_to_server(&release);
}

static int
release_to_its_server(const struct command *c, const char *id, int message)
{
	json_t *note = need_note(c, id);
	int code = note ? release_by_note(c, id, note, message) : EXIT_FAILURE;

	json_decref(note);
	return code;
}

static int
release_one(const struct command *c, const char *id)
{
	int message = store_read(c->directory, id, STORE_MESSAGE), code;

	if (message < 0)
		return terminal_failure(EXIT_FAILURE, "%s/%s.eml: %s", c->path, id,
		                        errno == ENOENT ? "there is no such message"
		                                        : strerror(errno));
	code = c->out >= 0 ? release_to_file(c, message)
	                   : release_to_its_server(c, id, message);
	close(message);
	if (code == EXIT_SUCCESS && c->wish->remove)
		code = delete_one(c, id);
	return code;
}

/* ---- what is asked for --------------------------------------------------------------------- */

enum takes {
	TAKES_NONE,
	TAKES_ONE,
	TAKES_SOME,
};

/* One row each: what it is called, how many IDs it takes, and which further options. */
static const struct action {
	const char *word;
	enum takes takes;
	int (*all)(const struct command *c);
	int (*one)(const struct command *c, const char *id);
	bool may_to, may_server, may_older, may_remove;
} actions[] = {
	{ "list", TAKES_NONE, list_all, NULL, false, false, false, false },
	{ "show", TAKES_SOME, NULL, show_one, false, false, false, false },
	{ "delete", TAKES_SOME, delete_old, delete_one, false, false, true, false },
	{ "release", TAKES_ONE, NULL, release_one, true, true, false, true },
};

enum {
	ACTIONS = sizeof(actions) / sizeof(actions[0]),
};

static int
wrong(const char *words)
{
	return terminal_failure(
		EXIT_WRONG,
		"--quarantine: %s\nTry: smtp-gated --quarantine FILE "
		"[list | show ID... | delete ID... | delete --older AGE |\n"
		"        release ID [--to FILE | --server HOST:PORT] [--delete]]",
		words);
}

static const struct action *
action_of(const char *word)
{
	for (size_t i = 0; i < ACTIONS; i++)
		if (strcmp(actions[i].word, word) == 0)
			return &actions[i];
	return NULL;
}

/* NULL: all is well. */
static const char *
fault_of(const struct quarantine_wish *wish, const struct action *action, char **ids)
{
	if ((wish->to && !action->may_to) || (wish->server && !action->may_server) ||
	    (wish->older && !action->may_older) ||
	    (wish->remove && !action->may_remove))
		return "an option does not belong to this";
	if (wish->to && wish->server)
		return "--to or --server, not both";
	if (wish->older ? ids[0] != NULL : (action->takes != TAKES_NONE && !ids[0]))
		return wish->older ? "--older, or IDs" : "which message?  Name its ID";
	if (ids[0] &&
	    (action->takes == TAKES_NONE || (action->takes == TAKES_ONE && ids[1])))
		return "that are too many words";
	for (; *ids; ids++)
		if (!store_is_id(*ids))
			return "that is no ID; \"list\" prints them";
	return NULL;
}

static bool
is_there(const struct command *c, const char *id)
{
	char name[STORE_NAME_SIZE];

	store_name(name, id, STORE_MESSAGE);
	return faccessat(c->directory, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A file that is there is not written over, and none is made in vain. */
static bool
open_out(struct command *c, const char *id)
{
	const char *to = c->wish->to;

	if (!to || !is_there(c, id))
		return true;
	if (strcmp(to, "-") == 0) {
		c->out = STDOUT_FILENO;
		return true;
	}
	c->out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	c->new_file = c->out >= 0;
	if (c->out < 0)
		terminal_failure(0, "--to %s: %s", to, strerror(errno));
	return c->out >= 0;
}

static bool
become_owner(const struct command *c)
{
	struct stat info;

	if (geteuid() != 0)
		return true;
	if (fstat(c->directory, &info) != 0)
		return terminal_failure(false, "%s: %s", c->path, strerror(errno));
	if (info.st_uid == 0)
		return true;
	if (setgroups(1, &info.st_gid) == 0 &&
	    setresgid(info.st_gid, info.st_gid, info.st_gid) == 0 &&
	    setresuid(info.st_uid, info.st_uid, info.st_uid) == 0)
		return true;
	return terminal_failure(false, "cannot become the owner of %s: %s", c->path,
	                        strerror(errno));
}

static bool
open_all(struct command *c, const char *id)
{
	c->directory = store_open(c->path);
	if (c->directory >= 0)
		return open_out(c, id) && become_owner(c);
	return terminal_failure(
		false, "%s: %s%s", c->path, strerror(errno),
		errno == EACCES ? "; do this as root, or as the user of the daemon"
		: errno == ENOENT
			? "; nothing has been kept there yet, or quarantine_path "
			  "(spool_path) is another"
			: "");
}

static int
carry_out(const struct command *c, const struct action *action, char **ids)
{
	int code = EXIT_SUCCESS;

	if (action->all && !ids[0])
		return action->all(c);
	for (; *ids; ids++) {
		int its = action->one(c, *ids);

		code = its != EXIT_SUCCESS ? its : code;
	}
	return code;
}

static int
close_all(struct command *c, int code)
{
	if (c->directory >= 0)
		close(c->directory);
	if (c->new_file && (close(c->out) != 0 && code == EXIT_SUCCESS))
		code = terminal_failure(EXIT_FAILURE, "--to %s: %s", c->wish->to,
		                        strerror(errno));
	if (code == EXIT_SUCCESS)
		code = terminal_printed();
	free(c->path);
	return code;
}

int
quarantine_command(const struct quarantine_wish *wish)
{
	struct command c = { .wish = wish, .directory = -1, .out = -1 };
	const struct action *action = action_of(wish->args[0] ? wish->args[0] : "list");
	char **ids = wish->args + (wish->args[0] ? 1 : 0);
	const char *fault;

	if (!action)
		return wrong("list, show, delete or release?");
	fault = fault_of(wish, action, ids);
	if (fault)
		return wrong(fault);
	signal(SIGPIPE, SIG_IGN);
	c.path = xasprintf("%s%s", wish->cfg->chroot_path,
	                   quarantine_directory(wish->cfg));
	return close_all(&c, open_all(&c, ids[0]) ? carry_out(&c, action, ids)
	                                          : EXIT_FAILURE);
}
