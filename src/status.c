#include "status.h"

#include "stats.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- for people ------------------------------------------------------------------------ */

static void
print_time(FILE *out, const char *what, time_t when)
{
	char text[64] = "never";
	struct tm parts;

	if (when != 0 && localtime_r(&when, &parts))
		strftime(text, sizeof(text), "%a %b %e %H:%M:%S %Y", &parts);
	fprintf(out, "%s: %s\n", what, text);
}

static int64_t
uptime(const struct status_source *source)
{
	int64_t seconds = (int64_t)time(NULL) - source->started;

	return seconds > 0 ? seconds : 0; /* clocks are set */
}

/* Line for line what 1.4 wrote: scripts of its users read this. */
static void
print_old_lines(const struct status_source *source, FILE *out)
{
	long long up = uptime(source);

	print_time(out, "Start time", source->started);
	print_time(out, "Restart time", source->reloaded);
	fprintf(out, "Uptime: %lldd %lldh %lldm %llds\n", up / 86400, up / 3600 % 24,
	        up / 60 % 60, up % 60);
	fprintf(out, "Found: %" PRId64 "/%" PRId64 " (viruses/spam)\n",
	        stats_get(STAT_mails_infected), stats_get(STAT_mails_spam));
	fprintf(out, "Children: %" PRId64 "/%" PRId64 " (current/max)\n",
	        stats_get(STAT_sessions_now), stats_get(STAT_sessions_most));
	fprintf(out,
	        "Requests: %" PRId64 "/%" PRId64 "/%" PRId64 " (total/direct/empty)\n",
	        stats_get(STAT_connections), stats_get(STAT_sessions_direct),
	        stats_get(STAT_sessions_empty));
	fprintf(out,
	        "Rejects: %" PRId64 "/%" PRId64 "/%" PRId64 "/%" PRId64
	        " (host/ident/lock/other)\n",
	        stats_get(STAT_refused_host), stats_get(STAT_refused_ident),
	        stats_get(STAT_refused_lock), stats_get(STAT_refused_other));
}

static void
print_human(const struct status_source *source, FILE *out)
{
	print_old_lines(source, out);
	fprintf(out, "\nversion: %s\npid: %d\n", PROGRAM_VERSION, (int)getpid());
	for (enum counter i = 0; i < STAT_COUNT; i++)
		fprintf(out, "%s:%*" PRId64 "  %s\n", stats_name(i),
		        34 - (int)strlen(stats_name(i)), stats_get(i), stats_help(i));
}

/* ---- for scripts -------------------------------------------------------------------------- */

/* These names and those of stats.def stay; new ones may come.  Times are seconds since
 * 1970; a restart_time of 0 means never. */
static void
print_flat(const struct status_source *source, FILE *out)
{
	fprintf(out,
	        "version: %s\npid: %d\nstart_time: %lld\nrestart_time: %lld\n"
	        "uptime: %" PRId64 "\n",
	        PROGRAM_VERSION, (int)getpid(), (long long)source->started,
	        (long long)source->reloaded, uptime(source));
	for (enum counter i = 0; i < STAT_COUNT; i++)
		fprintf(out, "%s: %" PRId64 "\n", stats_name(i), stats_get(i));
}

int64_t
status_number(const char *text, const char *name)
{
	size_t size = strlen(name);
	const char *line = text;

	while (strncmp(line, name, size) != 0 || line[size] != ':') {
		line = strchr(line, '\n');
		if (!line++)
			return -1;
	}
	return strtoll(line + size + 1, NULL, 10);
}

/* ---- the sessions ---------------------------------------------------------------------------- */

struct table {
	FILE *out;
	unsigned slot;
	int pid;
};

/* Bits a millisecond are kilobits a second. */
static double
kilobits(const struct session_info *info)
{
	double bytes = (double)info->client_received + (double)info->server_received;

	return info->age_ms > 0 ? bytes * 8 / (double)info->age_ms : 0;
}

static const char *
auth_flag(const struct session_info *info)
{
	if (info->authenticated)
		return "A";
	return info->auth_offered ? "a" : "-";
}

static void
print_slot(const struct session_info *info, void *arg)
{
	char client[ADDR_TEXT_SIZE], server[ADDR_TEXT_SIZE];
	struct table *table = arg;

	fprintf(table->out,
	        "%4u %7d %-10s %-5s %6" PRId64 " %-15s %-15s %4u %10" PRIu64
	        " %10" PRIu64 " %8.1f %-5s %-8s %-10s %s\n",
	        table->slot++, table->pid, info->state, auth_flag(info),
	        info->age_ms / 1000, addr_text(&info->client, client),
	        addr_text(&info->server, server), info->mail, info->client_received,
	        info->server_received, kilobits(info),
	        info->ident[0] ? info->ident : "-", info->id, info->listener,
	        info->policy ?: "-");
}

/* The columns of 1.4, then those of our own: the session's id in the log, and whose options
 * it has. */
static void
print_slots(const struct status_source *source, FILE *out)
{
	struct table table = { .out = out, .pid = (int)getpid() };

	fprintf(out,
	        "%4s %7s %-10s %-5s %6s %-15s %-15s %4s %10s %10s %8s %-5s %-8s %-10s "
	        "%s\n",
	        "slot", "pid", "state", "flags", "time", "source", "target", "trns",
	        "cli_rx", "srv_rx", "kbps", "ident", "session", "listener", "policy");
	sessions_each(source->sessions, print_slot, &table);
}

/* ---- all of it --------------------------------------------------------------------------------- */

static const struct part {
	int type;
	void (*print)(const struct status_source *source, FILE *out);
} parts[] = {
	{ STATEFILE_HUMAN, print_human },
	{ STATEFILE_FLAT, print_flat },
	{ STATEFILE_SLOTS, print_slots },
};

/* Owned by the caller; NULL with errno. */
static char *
compose(const struct status_source *source, size_t *size)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, size);
	bool empty = true;

	if (!out)
		return NULL;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (!((unsigned)source->cfg->statefile_type & parts[i].type))
			continue;
		if (!empty)
			fputc('\n', out);
		parts[i].print(source, out);
		empty = false;
	}
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

/* ---- the file ---------------------------------------------------------------------------------- */

/* A file that a crash has left in the way goes; what a link leads to is not touched. */
static int
create(const char *path)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = open(path, flags, 0600);

	if (fd < 0 && errno == EEXIST && unlink(path) == 0)
		fd = open(path, flags, 0600);
	return fd;
}

static bool
write_all(int fd, const char *text, size_t size)
{
	ssize_t done;

	while (size > 0) {
		done = write(fd, text, size);
		if (done < 0)
			return false;
		text += done;
		size -= (size_t)done;
	}
	return true;
}

/* False: errno. */
static bool
replace(const char *path, mode_t mode, const char *text, size_t size)
{
	char *beside = xasprintf("%s.new", path);
	int fd = create(beside), error = errno;
	bool done = fd >= 0;

	if (done) {
		done = fchmod(fd, mode) == 0 && write_all(fd, text, size);
		error = errno;
		close(fd);
	}
	if (done && rename(beside, path) != 0) {
		error = errno;
		done = false;
	}
	if (!done && fd >= 0)
		unlink(beside);
	free(beside);
	errno = error;
	return done;
}

static const char *
advice(int error)
{
	if (error == EACCES || error == EPERM || error == EROFS)
		return "; the user of the daemon (set_user) must be able to make files "
		       "in its directory";
	if (error == ENOENT || error == ENOTDIR)
		return "; its directory must be there (RuntimeDirectory= of a systemd "
		       "unit makes it)";
	return "";
}

bool
status_write(const struct status_source *source, char *why, size_t why_size)
{
	const char *path = source->cfg->statefile;
	size_t size = 0;
	int error;
	char *text;
	bool done;

	if (!path[0]) {
		snprintf(why, why_size,
		         "statefile is empty, so the state is not written anywhere");
		return false;
	}
	text = compose(source, &size);
	done = text && replace(path, (mode_t)source->cfg->statefile_perm, text, size);
	error = errno;
	if (!done)
		snprintf(why, why_size, "statefile = \"%s\": cannot write it: %s%s",
		         path, strerror(error), advice(error));
	free(text);
	return done;
}
