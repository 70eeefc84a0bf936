#include "log.h"
#include "stats.h"
#include "status.h"

#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A real file in a directory of its own; sessions between real sockets, where needed. */

static char directory[64], path[128], why[512];
static struct config *cfg;

static const char *
in_directory(const char *name)
{
	static char text[128];

	snprintf(text, sizeof(text), "%s/%s", directory, name);
	return text;
}

static struct config *
configure(const char *types, int port)
{
	char *name = xstrdup(in_directory("conf"));
	FILE *file = fopen(name, "we");
	struct config *made;

	assert_non_null(file);
	fprintf(file,
	        "mode = fixed\nfixed_server = 127.0.0.1\nfixed_server_port = %d\n"
	        "antivirus_type = off\nstatefile = \"%s\"\nstatefile_type = {%s}\n"
	        "statefile_perm = 0640\npidfile = \"\"\n",
	        port, path, types);
	assert_int_equal(fclose(file), 0);
	made = config_load(name, why, sizeof(why), NULL, NULL);
	if (!made || !config_resolve(made, why, sizeof(why)))
		fail_msg("%s", why);
	free(name);
	return made;
}

static int
set_up(void **unused)
{
	(void)unused;
	for (enum counter i = 0; i < STAT_COUNT; i++)
		stats_set(i, 0);
	strcpy(directory, "/tmp/test_status.XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s", in_directory("state"));
	cfg = configure("human", 25);
	return 0;
}

static int
tear_down(void **unused)
{
	char *command = xasprintf("rm -rf '%s'", directory);
	int code = system(command);

	(void)unused;
	free(command);
	config_drop(cfg);
	return code;
}

static char *
content(void)
{
	static char text[65536];
	FILE *file = fopen(path, "re");

	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	return text;
}

static void
write_or_fail(const struct status_source *source)
{
	if (!status_write(source, why, sizeof(why)))
		fail_msg("%s", why);
}

static void
on_emptied(void *arg)
{
	(void)arg;
}

/* ---- the forms --------------------------------------------------------------------- */

static void
people_see_what_they_saw_in_1_4(void **unused)
{
	static const char words[] = "Start time: Thu Mar  3 17:06:21 2005\n"
				    "Restart time: Tue Mar 15 14:34:41 2005\n"
				    "Uptime: 11d 21h 28m 22s\n"
				    "Found: 43/7 (viruses/spam)\n"
				    "Children: 1/18 (current/max)\n"
				    "Requests: 25238/113/7506 (total/direct/empty)\n"
				    "Rejects: 20/15/10/12 (host/ident/lock/other)\n"
				    "\nversion: " PROGRAM_VERSION "\n";
	struct status_source source = { .cfg = cfg,
		                        .started = 1109869581,
		                        .reloaded = 1110897281 };
	const char *uptime;
	char *text;

	(void)unused;
	stats_set(STAT_mails_infected, 43);
	stats_set(STAT_mails_spam, 7);
	stats_set(STAT_sessions_now, 1);
	stats_set(STAT_sessions_most, 18);
	stats_set(STAT_connections, 25238);
	stats_set(STAT_sessions_direct, 113);
	stats_set(STAT_sessions_empty, 7506);
	stats_set(STAT_connections_refused, 57);
	stats_set(STAT_refused_host, 20);
	stats_set(STAT_refused_ident, 15);
	stats_set(STAT_refused_lock, 10);
	stats_set(STAT_refused_other, 12);
	write_or_fail(&source);
	text = content();
	uptime = strstr(words, "Uptime: ");
	assert_memory_equal(text, words, (size_t)(uptime - words));
	text = strstr(text, "\nFound: ") + 1;
	assert_memory_equal(text, strstr(words, "Found: "),
	                    strlen(strstr(words, "Found: ")));
}

static void
the_time_is_told(void **unused)
{
	static const struct {
		long ago;
		const char *words;
	} rows[] = {
		/* Seconds after the last: this may take one. */
		{ 0, "Uptime: 0d 0h 0m " },
		{ 11L * 86400 + 21 * 3600 + 28 * 60 + 22, "Uptime: 11d 21h 28m 2" },
		{ 86400, "Uptime: 1d 0h 0m " },
		{ -5000, "Uptime: 0d 0h 0m 0s\n" }, /* the clock was set back */
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct status_source source = { .cfg = cfg,
			                        .started = time(NULL) - rows[i].ago };

		write_or_fail(&source);
		if (!strstr(content(), rows[i].words))
			fail_msg("no \"%s\" in\n%s", rows[i].words, content());
		assert_non_null(strstr(content(), "\nRestart time: never\n"));
	}
}

/* Both forms can be read by name, and that is how -r and -K read them. */
static void
every_counter_is_in_both_forms(void **unused)
{
	static const char *const forms[] = { "human", "flat", "human, flat",
		                             "flat, slots" };
	struct status_source source = { .started = time(NULL) };

	(void)unused;
	for (enum counter i = 0; i < STAT_COUNT; i++)
		stats_set(i, i == STAT_mails ? INT64_MAX : 1000 + (int64_t)i);
	for (size_t n = 0; n < sizeof(forms) / sizeof(forms[0]); n++) {
		struct config *form = configure(forms[n], 25);
		struct event_base *base = event_base_new();
		struct session_world world = { .base = base, .cfg = form };

		struct sessions *sessions = sessions_new(&world, on_emptied, NULL);

		source.cfg = form;
		source.sessions = sessions;
		write_or_fail(&source);
		for (enum counter i = 0; i < STAT_COUNT; i++)
			assert_true(status_number(content(), stats_name(i)) ==
			            stats_get(i));
		assert_int_equal(status_number(content(), "pid"), getpid());
		assert_int_equal(status_number(content(), "pi"), -1);
		assert_int_equal(status_number(content(), "mail"), -1);
		assert_int_equal(status_number("", "mail"), -1);
		sessions_free(sessions);
		event_base_free(base);
		config_drop(form);
	}
}

static void
scripts_see_names_and_values_only(void **unused)
{
	struct config *flat = configure("flat", 25);
	struct status_source source = { .cfg = flat,
		                        .started = 1000,
		                        .reloaded = 2000 };
	unsigned lines = 0;
	char *line;

	(void)unused;
	write_or_fail(&source);
	assert_int_equal(status_number(content(), "start_time"), 1000);
	assert_int_equal(status_number(content(), "restart_time"), 2000);
	assert_true(status_number(content(), "uptime") > 1000000000);
	assert_non_null(strstr(content(), "version: " PROGRAM_VERSION "\n"));
	for (line = strtok(content(), "\n"); line; line = strtok(NULL, "\n")) {
		size_t name = strspn(line, "abcdefghijklmnopqrstuvwxyz_");

		assert_true(name > 0);
		assert_memory_equal(line + name, ": ", 2);
		assert_int_equal(
			line[name + 2 + strspn(line + name + 2, "-.0123456789")], '\0');
		lines++;
	}
	assert_int_equal(lines, 5 + STAT_COUNT);
	config_drop(flat);
}

/* ---- the file ------------------------------------------------------------------------ */

static void
permissions_are_those_of_the_option(void **unused)
{
	struct status_source source = { .cfg = cfg, .started = 1 };
	struct stat info;
	mode_t mask = umask(0777);

	(void)unused;
	write_or_fail(&source);
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode, S_IFREG | 0640);
	umask(0);
	assert_int_equal(chmod(path, 0777), 0);
	write_or_fail(&source);
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode, S_IFREG | 0640);
	umask(mask);
}

/* What lies in the way of the new file is removed, never followed or written to. */
static void
leftovers_and_links_do_no_harm(void **unused)
{
	struct status_source source = { .cfg = cfg, .started = 1 };
	char *beside = xasprintf("%s.new", path);
	char *other = xstrdup(in_directory("other"));
	struct stat info;
	int fd;

	(void)unused;
	fd = open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(symlink(other, beside), 0);
	assert_int_equal(symlink(other, path), 0);
	write_or_fail(&source);
	assert_int_equal(stat(other, &info), 0);
	assert_int_equal(info.st_size, 0);
	assert_int_equal(info.st_mode, S_IFREG | 0600);
	assert_int_equal(lstat(path, &info), 0);
	assert_int_equal(info.st_mode, S_IFREG | 0640);
	assert_int_equal(link(other, beside), 0);
	write_or_fail(&source);
	assert_int_equal(stat(other, &info), 0);
	assert_int_equal(info.st_size, 0);
	assert_int_equal(lstat(beside, &info), -1);
	free(beside);
	free(other);
}

static void
assert_cannot(const struct config *form, const char *words)
{
	struct status_source source = { .cfg = form, .started = 1 };

	why[0] = '\0';
	assert_false(status_write(&source, why, sizeof(why)));
	if (!strstr(why, words) || strncmp(why, "statefile ", 10) != 0)
		fail_msg("not \"%s\" in: %s", words, why);
}

static void
failures_name_the_option(void **unused)
{
	char *beside = xasprintf("%s.new", path);
	struct config form = *cfg;
	char none[] = "/proc/none/state", empty[] = "";

	(void)unused;
	form.statefile = none;
	assert_cannot(&form, "/proc/none/state\": cannot write it: No such file or "
	                     "directory; its directory must be there");
	form.statefile = empty;
	assert_cannot(&form, "statefile is empty");
	assert_int_equal(mkdir(path, 0700), 0);
	assert_cannot(cfg, "Is a directory");
	assert_int_equal(access(beside, F_OK), -1); /* no litter */
	rmdir(path);
	free(beside);
}

/* The process that writes may be no root, and the disk may be full. */
static void
an_old_state_outlives_a_failure(void **unused)
{
	struct status_source source = { .cfg = cfg, .started = 1 };
	char *before;
	int status;
	pid_t child;

	(void)unused;
	write_or_fail(&source);
	before = xstrdup(content());
	child = fork();
	if (child == 0) {
		struct rlimit little = { 100, 100 };

		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &little);
		if (status_write(&source, why, sizeof(why)) ||
		    !strstr(why, strerror(EFBIG)))
			_exit(1);
		if (chmod(directory, 0555) != 0 ||
		    (geteuid() == 0 && setuid(65534) != 0))
			_exit(2);
		if (status_write(&source, why, sizeof(why)) || !strstr(why, "set_user"))
			_exit(3);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(chmod(directory, 0755), 0);
	assert_string_equal(content(), before);
	assert_int_equal(access(in_directory("state.new"), F_OK), -1);
	free(before);
}

/* ---- sessions ---------------------------------------------------------------------------- */

/* A client and a server, with a session between. */
struct line {
	int client, server;
};

struct net {
	struct event_base *base;
	struct config *cfg;
	struct sessions *sessions;
	struct checks *checks;
	struct reactions *reactions;
	int listener; /* of the server */
	int door;     /* where clients come in */
};

static int
listen_somewhere(struct addr *where)
{
	struct addr any;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(addr_parse(&any, "127.0.0.1", 0));
	assert_int_equal(bind(fd, &any.any, addr_size(&any)), 0);
	assert_int_equal(listen(fd, 1024), 0);
	*where = addr_local(fd);
	return fd;
}

static void
net_begin(struct net *net)
{
	struct addr server, door;
	struct session_world world = { 0 };

	net->listener = listen_somewhere(&server);
	net->door = listen_somewhere(&door);
	net->cfg = configure("slots", addr_port(&server));
	net->base = event_base_new();
	world.base = net->base;
	world.cfg = net->cfg;
	world.checks = net->checks = checks_new(net->cfg, why, sizeof(why));
	world.reactions = net->reactions = reactions_new(net->cfg);
	assert_true(world.checks && world.reactions);
	assert_true(checks_start(net->checks, net->base, NULL));
	assert_true(
		reactions_start(net->reactions, net->base, net->cfg, why, sizeof(why)));
	net->sessions = sessions_new(&world, on_emptied, NULL);
}

static void
net_end(struct net *net)
{
	sessions_free(net->sessions);
	checks_free(net->checks);
	reactions_free(net->reactions);
	config_drop(net->cfg);
	event_base_free(net->base);
	close(net->listener);
	close(net->door);
}

static void
client_comes(struct net *net, struct line *line)
{
	struct addr door = addr_local(net->door), client;
	int fd;

	line->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(line->client, &door.any, addr_size(&door)), 0);
	client = addr_local(line->client);
	fd = accept4(net->door, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fd >= 0);
	session_begin(net->sessions, net->cfg, fd, &client);
	line->server = -1;
}

static void
server_answers(struct net *net, struct line *line)
{
	line->server = accept4(net->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(line->server >= 0);
}

/* What one side says, until the other has it, word for word. */
static void
passes(struct net *net, int from, int to, const char *text)
{
	char heard[256] = "";
	size_t size = strlen(text), at = 0;
	ssize_t got;

	assert_int_equal(write(from, text, size), size);
	for (int i = 0; i < 2000 && at < size; i++) {
		loop_turn(net->base, 2);
		got = recv(to, heard + at, sizeof(heard) - 1 - at, MSG_DONTWAIT);
		at += got > 0 ? (size_t)got : 0;
	}
	assert_string_equal(heard, text);
}

static char *
table(const struct net *net)
{
	struct status_source source = { .cfg = net->cfg, .sessions = net->sessions };

	write_or_fail(&source);
	return content();
}

enum {
	SLOT,
	PID,
	STATE,
	FLAGS,
	TIME,
	SOURCE,
	TARGET,
	TRNS,
	CLI_RX,
	SRV_RX,
	KBPS,
	IDENT,
	SESSION,
	LISTENER,
	POLICY,
	WORDS,
};

/* The words of one row; as many as there are columns. */
static void
row(const struct net *net, unsigned number, char words[WORDS][64])
{
	char *at = table(net), *end;
	int used = 0;

	for (unsigned i = 0; i < number + 1; i++) {
		at = strchr(at, '\n');
		assert_non_null(at);
		at++;
	}
	end = strchr(at, '\n');
	assert_non_null(end);
	*end = '\0';
	assert_int_equal(
		sscanf(at,
	               "%63s %63s %63s %63s %63s %63s %63s %63s %63s %63s %63s "
	               "%63s %63s %63s %63s%n",
	               words[0], words[1], words[2], words[3], words[4], words[5],
	               words[6], words[7], words[8], words[9], words[10], words[11],
	               words[12], words[13], words[14], &used),
		WORDS);
	assert_int_equal(at[used], '\0');
}

static void
assert_head_only(const struct net *net)
{
	char *text = table(net);

	assert_memory_equal(text, "slot ", 5);
	assert_ptr_equal(strchr(text, '\n') + 1, text + strlen(text));
}

static void
a_row_tells_how_a_session_stands(void **unused)
{
	char words[WORDS][64], pid[16];
	struct line line;
	struct net net;

	(void)unused;
	net_begin(&net);
	assert_head_only(&net);
	client_comes(&net, &line);
	row(&net, 0, words);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	assert_string_equal(words[SLOT], "0");
	assert_string_equal(words[PID], pid);
	assert_string_equal(words[STATE], "connecting");
	assert_string_equal(words[FLAGS], "-");
	assert_string_equal(words[TIME], "0");
	assert_string_equal(words[SOURCE], "127.0.0.1");
	assert_string_equal(words[TARGET], "127.0.0.1");
	assert_string_equal(words[TRNS], "0");
	assert_string_equal(words[CLI_RX], "0");
	assert_string_equal(words[SRV_RX], "0");
	assert_string_equal(words[KBPS], "0.0");
	assert_string_equal(words[IDENT], "-");
	assert_int_equal(strlen(words[SESSION]), 8);
	assert_string_equal(words[LISTENER], "default");
	assert_string_equal(words[POLICY], "-");

	server_answers(&net, &line);
	passes(&net, line.server, line.client, "220 x ESMTP\r\n");
	passes(&net, line.client, line.server, "EHLO c\r\n");
	row(&net, 0, words);
	assert_string_equal(words[STATE], "relaying");
	assert_string_equal(words[FLAGS], "-");
	passes(&net, line.server, line.client, "250-x\r\n250 AUTH PLAIN\r\n");
	row(&net, 0, words);
	assert_string_equal(words[FLAGS], "a");
	passes(&net, line.client, line.server, "AUTH PLAIN x\r\n");
	passes(&net, line.server, line.client, "535 no\r\n");
	row(&net, 0, words);
	assert_string_equal(words[FLAGS], "a");
	assert_int_equal(stats_get(STAT_auth_rejected), 1);
	passes(&net, line.client, line.server, "AUTH LOGIN\r\n");
	passes(&net, line.server, line.client, "334 x\r\n");
	passes(&net, line.client, line.server, "x\r\n");
	passes(&net, line.server, line.client, "235 yes\r\n");
	passes(&net, line.client, line.server, "XYZZY\r\n");
	passes(&net, line.server, line.client, "500 what?\r\n");
	passes(&net, line.client, line.server, "MAIL FROM:<a@b.example>\r\n");
	passes(&net, line.server, line.client, "250 ok\r\n");
	row(&net, 0, words);
	assert_string_equal(words[FLAGS], "A");
	assert_string_equal(words[TRNS], "1");
	assert_string_equal(words[CLI_RX], "69");
	assert_string_equal(words[SRV_RX], "79");
	assert_true(atof(words[KBPS]) > 0);
	assert_int_equal(stats_get(STAT_auth_accepted), 1);
	assert_int_equal(stats_get(STAT_auth_rejected), 1); /* XYZZY was none */

	close(line.client);
	LOOP_UNTIL(net.base, sessions_count(net.sessions) == 0);
	assert_head_only(&net);
	assert_int_equal(stats_get(STAT_sessions_empty), 0);
	close(line.server);
	net_end(&net);
}

/* Sessions without a mail are empty, but not those that passed unread: nobody knows. */
static void
empty_sessions_are_counted(void **unused)
{
	struct line line;
	struct net net;

	(void)unused;
	net_begin(&net);
	client_comes(&net, &line);
	server_answers(&net, &line);
	passes(&net, line.server, line.client, "220 x ESMTP\r\n");
	close(line.client);
	LOOP_UNTIL(net.base, sessions_count(net.sessions) == 0);
	assert_int_equal(stats_get(STAT_sessions_empty), 1);
	close(line.server);

	client_comes(&net, &line);
	server_answers(&net, &line);
	passes(&net, line.server, line.client, "220 x ESMTP\r\n");
	passes(&net, line.client, line.server, "EHLO c\r\n");
	passes(&net, line.server, line.client, "250 x\r\n");
	passes(&net, line.client, line.server, "STARTTLS\r\n");
	passes(&net, line.server, line.client, "220 go\r\n");
	close(line.client);
	close(line.server);
	LOOP_UNTIL(net.base, sessions_count(net.sessions) == 0);
	assert_int_equal(stats_get(STAT_sessions_direct), 1);
	assert_int_equal(stats_get(STAT_sessions_empty), 1);
	net_end(&net);
}

static void
rows_are_in_the_order_of_coming(void **unused)
{
	char words[WORDS][64], ids[3][64];
	struct line lines[3];
	struct net net;

	(void)unused;
	net_begin(&net);
	for (unsigned i = 0; i < 3; i++) {
		client_comes(&net, &lines[i]);
		server_answers(&net, &lines[i]);
		row(&net, i, words);
		strcpy(ids[i], words[SESSION]);
		assert_int_equal(atoi(words[SLOT]), i);
	}
	passes(&net, lines[1].server, lines[1].client, "220 x ESMTP\r\n");
	close(lines[1].client);
	LOOP_UNTIL(net.base, sessions_count(net.sessions) == 2);
	row(&net, 0, words);
	assert_string_equal(words[SESSION], ids[0]);
	row(&net, 1, words);
	assert_string_equal(words[SESSION], ids[2]);
	assert_string_equal(words[SLOT], "1");
	for (unsigned i = 0; i < 3; i++) {
		if (i != 1)
			close(lines[i].client);
		close(lines[i].server);
	}
	net_end(&net);
}

/* Those under way keep what they were born with. */
static void
new_sessions_are_born_with_the_new_configuration(void **unused)
{
	struct line line;
	struct net net;
	struct config *fresh, *old;
	char reply[256] = "";

	(void)unused;
	net_begin(&net);
	client_comes(&net, &line);
	server_answers(&net, &line);
	fresh = configure("slots", addr_port(&net.cfg->fixed));
	fresh->max_connections = 1;
	sessions_reconfigure(net.sessions, fresh);
	sessions_reconfigure(net.sessions, fresh); /* the same again does no harm */
	assert_int_equal(fresh->references, 2);
	assert_int_equal(net.cfg->references, 2); /* ours, and the session's */
	old = net.cfg;
	net.cfg = fresh;
	passes(&net, line.server, line.client, "220 x ESMTP\r\n");
	close(line.client);
	client_comes(&net, &line); /* the other one is still there */
	assert_true(recv(line.client, reply, sizeof(reply) - 1, 0) > 0);
	assert_memory_equal(reply, "421 ", 4);
	close(line.client);
	close(line.server);
	LOOP_UNTIL(net.base, sessions_count(net.sessions) == 0);
	loop_turn(net.base, 2);
	assert_int_equal(old->references, 1);
	config_drop(old);
	assert_int_equal(fresh->references, 2);
	config_hold(fresh);
	net_end(&net);
	assert_int_equal(fresh->references, 1);
	config_drop(fresh);
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ROW(people_see_what_they_saw_in_1_4),
		ROW(the_time_is_told),
		ROW(every_counter_is_in_both_forms),
		ROW(scripts_see_names_and_values_only),
		ROW(permissions_are_those_of_the_option),
		ROW(leftovers_and_links_do_no_harm),
		ROW(failures_name_the_option),
		ROW(an_old_state_outlives_a_failure),
		ROW(a_row_tells_how_a_session_stands),
		ROW(empty_sessions_are_counted),
		ROW(rows_are_in_the_order_of_coming),
		ROW(new_sessions_are_born_with_the_new_configuration),
	};

	setenv("TZ", "UTC", 1);
	log_open(LOG_TO_STDERR, LOG_ERR, LOG_DAEMON);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
