#include "rates.h"

#include "ratestore.h"
#include "terminal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct showing {
	const struct config *cfg; /* with the policy that applies */
	const char *client;       /* its address, or its network */
	int64_t now;
	unsigned shown;
};

static const struct {
	const char *word;
	enum rate rate;
	size_t limit;
} rows[] = {
#define ROW(name, which) \
	{ \
#name, RATE_##which, offsetof(struct config, ratelimit_##name) \
	}
	ROW(connections, CONNECTIONS),
	ROW(messages, MESSAGES),
	ROW(recipients, RECIPIENTS),
	ROW(bytes, BYTES),
	ROW(mailfrom_rejects, MAILFROM_REJECTS),
	ROW(rcptto_rejects, RCPTTO_REJECTS),
	ROW(auth_rejects, AUTH_REJECTS),
#undef ROW
};

static void
print_row(const char *word, uint64_t count, int64_t limit)
{
	if (limit > 0)
		printf("%-16s  %14" PRIu64 "  %14" PRId64 "\n", word, count, limit);
	else
		printf("%-16s  %14" PRIu64 "               -\n", word, count);
}

static void
print_servers(const struct showing *showing, const struct rate_record *record)
{
	char text[INET6_ADDRSTRLEN];

	print_row("servers", record->server_count,
	          showing->cfg->ratelimit_dst_expiration > 0
	                  ? showing->cfg->ratelimit_dst
	                  : 0);
	for (uint32_t i = 0; i < record->server_count; i++) {
		const struct rate_server *server = &record->servers[i];
		bool is_four = memcmp(server->host, "\0\0\0\0\0\0\0\0\0\0\xff\xff",
		                      12) == 0;

		inet_ntop(is_four ? AF_INET : AF_INET6,
		          server->host + (is_four ? 12 : 0), text, sizeof(text));
		printf("  %s, %" PRId64 " s ago\n", text,
		       (showing->now - server->used) / 1000);
	}
}

static int64_t
servers_ms(const struct config *cfg)
{
	int64_t seconds = cfg->ratelimit_dst_expiration;

	return seconds > 0 ? seconds * 1000 : 0;
}

static void
show(const char *ident, struct rate_record *record, void *arg)
{
	struct showing *showing = arg;
	const struct config *cfg = showing->cfg;

	if (record->generation != (uint32_t)cfg->ratelimit_generation)
		return;
	rate_record_advance(record, cfg->ratelimit_period * 1000, showing->now);
	rate_record_forget(record, showing->now - servers_ms(cfg));
	printf("%s%s", showing->shown++ > 0 ? "\n" : "", showing->client);
	printf("%s%s%s%s, last seen %" PRId64 " s ago\n", ident[0] ? ", ident " : "",
	       ident, cfg->policy ? ", policy " : "", cfg->policy ?: "",
	       (showing->now - record->touched) / 1000);
	printf("in %" PRId64 " s             counted           limit\n",
	       cfg->ratelimit_period);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t limit;

		memcpy(&limit, (const char *)cfg + rows[i].limit, sizeof(limit));
		print_row(rows[i].word, rate_record_sum(record, rows[i].rate), limit);
	}
	print_servers(showing, record);
}

/* ---- reading, as who may ---------------------------------------------------------- */

/* Root does not open what the daemon's user put there: it looks as that user. */
static bool
become_owner(const char *path)
{
	struct stat info;

	if (geteuid() != 0 || stat(path, &info) != 0 || info.st_uid == 0)
		return true;
	if (setgroups(0, NULL) == 0 &&
	    setresgid(info.st_gid, info.st_gid, info.st_gid) == 0 &&
	    setresuid(info.st_uid, info.st_uid, info.st_uid) == 0)
		return true;
	fprintf(stderr, "smtp-gated: %s: cannot become its owner: %s\n", path,
	        strerror(errno));
	return false;
}

static int
look(struct showing *showing, const char *path, const struct addr *client)
{
	unsigned prefix6 = (unsigned)showing->cfg->ratelimit_prefix6;
	char why[512];

	if (!become_owner(path))
		return EXIT_FAILURE;
	if (!ratestore_look(path, client, prefix6, show, showing, why, sizeof(why))) {
		fprintf(stderr, "smtp-gated: ratelimit_path: %s\n", why);
		return EXIT_FAILURE;
	}
	if (showing->shown == 0)
		printf("%s: nothing has been counted\n", showing->client);
	if (showing->cfg->root->state_server[0])
		printf("\nBy this gateway: what others of state_server have counted "
		       "is not shown.\n");
	return terminal_printed();
}

/* Of a damaged file LMDB dies. */
static int
look_apart(struct showing *showing, const char *path, const struct addr *client)
{
	int status = 0;
	pid_t child = fork();

	if (child < 0) {
		perror("smtp-gated: fork");
		return EXIT_FAILURE;
	}
	if (child == 0) {
		ratestore_die_quietly();
		_exit(look(showing, path, client));
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	fprintf(stderr,
	        "smtp-gated: %s: the counts in it are damaged (who reads them dies: "
	        "%s); the daemon moves them aside when it is restarted\n",
	        path, strsignal(WTERMSIG(status)));
	return EXIT_FAILURE;
}

/* ADDRESS, or the network that is counted as one. */
static void
name_client(const struct config *cfg, const struct addr *client,
            char text[static ADDR_TEXT_SIZE])
{
	struct rate_key key = rate_key_of(client, (unsigned)cfg->ratelimit_prefix6, "");
	char host[INET6_ADDRSTRLEN];

	if (addr_family(client) != AF_INET6) {
		addr_text(client, text);
		return;
	}
	inet_ntop(AF_INET6, key.at + 1, host, sizeof(host));
	snprintf(text, ADDR_TEXT_SIZE, "%s/%d", host, (int)cfg->ratelimit_prefix6);
}

int
rates_show(struct config *cfg, const struct addr *client)
{
	char name[ADDR_TEXT_SIZE];
	struct showing showing = { .cfg = config_policy(cfg, client, NULL),
		                   .client = name,
		                   .now = ratestore_now() };
	char *path;
	int code;

	if (cfg->ratelimit_period == 0) {
		fprintf(stderr,
		        "smtp-gated: ratelimit_period is 0 in %s: nothing is "
		        "counted\n",
		        cfg->file ?: "this configuration");
		return EXIT_FAILURE;
	}
	name_client(cfg, client, name);
	path = xasprintf("%s%s", cfg->chroot_path, cfg->ratelimit_path);
	code = look_apart(&showing, path, client);
	free(path);
	return code;
}
