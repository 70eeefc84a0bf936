#include "control.h"

#include "lockfile.h"
#include "log.h"
#include "pidfile.h"
#include "privilege.h"
#include "terminal.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/*
 * Locks are files, so nobody has to ask the daemon about them; but whose files are locks,
 * and whose the white list, depends on who the daemon is.
 */
struct view {
	char *path; /* seen from where we are */
	uid_t daemon;
	struct lockfile_entry *entries;
	size_t count;
	bool is_shared; /* with other gateways */
};

enum {
	TIME_SIZE = 32,
	WORDS_SHOWN = 4 * LOCKFILE_WORDS_SIZE +
	              3, /* each byte as an escape, and quotes */
};

/* ---- the daemon's user ------------------------------------------------------ */

/* The user that process PID is; false: nobody knows. */
static bool
user_of(pid_t pid, uid_t *user)
{
	char path[64], line[256];
	bool found = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file))
		if (strncmp(line, "Uid:", 4) == 0) {
			*user = (uid_t)strtoul(line + 4, NULL, 10);
			found = true;
		}
	fclose(file);
	return found;
}

/* set_user, or whom a service manager has made it: then it is who it is, or else owns the
 * directory that it has made. */
static bool
find_daemon(const struct config *cfg, struct view *view)
{
	struct stat info;
	char why[1024];
	pid_t pid;

	if (cfg->set_user[0])
		return privilege_user(cfg, &view->daemon, why, sizeof(why)) ||
		       (terminal_failure(EXIT_FAILURE, "%s", why), false);
	pid = cfg->pidfile[0] ? pidfile_owner(cfg->pidfile, why, sizeof(why)) : 0;
	if (pid > 0 && user_of(pid, &view->daemon))
		return true;
	view->daemon = geteuid();
	if (view->daemon == 0 && stat(view->path, &info) == 0)
		view->daemon = info.st_uid;
	return true;
}

/* ---- looking ---------------------------------------------------------------- */

static bool
view_open(struct view *view, const struct config *cfg)
{
	struct lockfile_rules rules = lockfile_rules(cfg);

	*view = (struct view){
		.path = xasprintf("%s%s", cfg->chroot_path, cfg->lock_path),
		.is_shared = cfg->state_server[0],
	};
	if (!find_daemon(cfg, view))
		return false;
	if (lockfile_list(view->path, view->daemon, &rules, &view->entries,
	                  &view->count))
		return true;
	if (errno == ENOENT) /* which the daemon takes for nobody's being locked */
		return true;
	terminal_failure(
		EXIT_FAILURE, "lock_path = \"%s\": %s%s", view->path, strerror(errno),
		errno == EACCES ? "; do this as root, or as the user that the daemon "
				  "runs as"
				: "");
	return false;
}

static int
view_close(struct view *view, int code)
{
	free(view->entries);
	free(view->path);
	return code;
}

/* ---- --locks ---------------------------------------------------------------- */

static const char *
time_text(time_t when, char text[static TIME_SIZE])
{
	struct tm parts;

	snprintf(text, TIME_SIZE, "-");
	if (localtime_r(&when, &parts))
		strftime(text, TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &parts);
	return text;
}

static const char *
until_text(const struct lockfile_entry *entry, char text[static TIME_SIZE])
{
	if (entry->kind == LOCKFILE_KIND_NEVER || entry->kind == LOCKFILE_KIND_ODD)
		return "-";
	return entry->until == 0 ? "for-ever" : time_text(entry->until, text);
}

/* What others wrote goes to a terminal as log_quote() has it. */
static const char *
quoted(const char *text, char out[static WORDS_SHOWN])
{
	return text[0] ? log_quote(out, WORDS_SHOWN, text, strlen(text)) : "-";
}

static void
print_entry(const struct lockfile_entry *entry)
{
	static const char *const kinds[] = {
		[LOCKFILE_KIND_LOCKED] = "locked",
		[LOCKFILE_KIND_STALE] = "stale",
		[LOCKFILE_KIND_NEVER] = "never",
		[LOCKFILE_KIND_ODD] = "odd",
	};
	char client[WORDS_SHOWN], ident[WORDS_SHOWN], since[TIME_SIZE],
		until[TIME_SIZE];
	bool is_client = addr_family(&entry->net.first) != AF_UNSPEC;

	if (is_client)
		addr_net_text(&entry->net, client);
	else
		quoted(entry->name, client);
	printf("%-6s %-24s %-8s %-19s %-19s %s\n", kinds[entry->kind], client,
	       quoted(entry->ident, ident), time_text(entry->since, since),
	       until_text(entry, until), entry->words[0] ? entry->words : "-");
}

int
control_locks(const struct config *cfg)
{
	struct view view;

	if (!view_open(&view, cfg))
		return view_close(&view, EXIT_FAILURE);
	printf("%-6s %-24s %-8s %-19s %-19s %s\n", "kind", "client", "ident", "since",
	       "until", "why");
	for (size_t i = 0; i < view.count; i++)
		print_entry(&view.entries[i]);
	return view_close(&view, terminal_printed());
}

/* ---- --unlock --------------------------------------------------------------- */

/* A network as --locks prints it, or any one address. */
static bool
read_client(const char *text, struct addr_net *client)
{
	char why[256];

	if (addr_net_parse(client, text, why, sizeof(why)))
		return true;
	terminal_failure(EXIT_FAILURE, "--unlock: %s %s", text, why);
	return false;
}

/* Who asks for an address means the network that it is locked with, too; and who asks for a
 * network means all that is in it. */
static bool
is_about(const struct lockfile_entry *entry, const struct addr_net *client)
{
	return addr_net_contains(&entry->net, &client->first) ||
	       addr_net_contains(client, &entry->net.first);
}

static void
note_never(const struct view *view, const struct lockfile_entry *entry)
{
	const struct passwd *owner = getpwuid(entry->owner);

	terminal_failure(
		EXIT_FAILURE,
		"%s/%s is not removed: it belongs to user %s%s%u, and so means that "
		"this client is never locked%s",
		view->path, entry->name, owner ? owner->pw_name : "", owner ? ", " : "",
		(unsigned)entry->owner,
		view->is_shared ? " here; if another gateway of state_server has it "
				  "locked, unlock it there"
				: "");
}

struct tally {
	unsigned removed, failed, never;
};

static void
unlock(const struct view *view, const struct lockfile_entry *entry, struct tally *tally)
{
	if (entry->owner != view->daemon) {
		note_never(view, entry);
		tally->never++;
	} else if (lockfile_remove(view->path, view->daemon, entry)) {
		printf("removed %s\n", entry->name);
		tally->removed++;
	} else if (errno != ENOENT) {
		terminal_failure(EXIT_FAILURE, "cannot remove %s/%s: %s%s", view->path,
		                 entry->name, strerror(errno),
		                 errno == EACCES
		                         ? "; do this as root, or as the user that the "
		                           "daemon runs as"
		                         : "");
		tally->failed++;
	}
}

int
control_unlock(const struct config *cfg, const char *client)
{
	struct tally tally = { 0 };
	struct addr_net net;
	struct view view;

	if (!read_client(client, &net))
		return EXIT_USAGE;
	if (!view_open(&view, cfg))
		return view_close(&view, EXIT_FAILURE);
	for (size_t i = 0; i < view.count; i++)
		if (is_about(&view.entries[i], &net))
			unlock(&view, &view.entries[i], &tally);
	if (tally.removed + tally.failed + tally.never == 0)
		terminal_failure(EXIT_FAILURE,
		                 "%s is not locked: there is no lock of it in %s",
		                 client, view.path);
	return view_close(&view, tally.removed == 0 || tally.failed > 0
	                                 ? EXIT_FAILURE
	                                 : terminal_printed());
}
