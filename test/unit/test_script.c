#include "script_internal.h"

#include "loop.h"
#include "stats.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- what a program is called with ------------------------------------------------- */

static const char *
clean(const char *text)
{
	static char to[64];

	script_clean(to, sizeof(to), text);
	return to;
}

static void
values_keep_their_characters_and_lose_what_does_harm(void **state)
{
	static const struct {
		const char *from, *to;
	} rows[] = {
		{ "", "" },
		{ "a@b.example", "a@b.example" },
		{ "$(reboot) `x` %s %n ' \" \\", "$(reboot) `x` %s %n ' \" \\" },
		{ "a\r\nb\tc\033[2Jd\x7f\x01", "a??b?c?[2Jd??" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "\xe2\x82\xac \xf0\x9f\x93\xa7", "\xe2\x82\xac \xf0\x9f\x93\xa7" },
		{ "\xc2\xa0\xc2\x80\xc2\x9b\xc2\x9f.", "\xc2\xa0???." },
		{ "\x80\x9b\xff\xfe", "????" },   /* no UTF-8 */
		{ "\xc0\x80 \xc1\xbf", "?? ??" }, /* too long a form */
		{ "\xe0\x80\x8a \xf0\x80\x80\x8a", "??? ????" },
		{ "\xed\xa0\x80\xed\xbf\xbf", "??????" }, /* surrogates */
		{ "\xf4\x90\x80\x80 \xf8\x88\x80\x80\x80", "???? ?????" },
		{ "cut \xe2\x82", "cut ??" },
		{ "cut \xf0\x9f\x93", "cut ???" },
		{ "\xe2\x80\xa8\xe2\x80\xae\xe2\x81\xa6\xef\xbb\xbf", "????" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(clean(rows[i].from), rows[i].to);
}

/* Every pair of bytes, against the rule as a person would say it. */
static void
nothing_harmful_comes_through(void **state)
{
	char from[3] = { 0 }, to[8];

	(void)state;
	for (unsigned pair = 0x101; pair < 0x10000; pair++) {
		if (!(pair & 0xff) || pair < 0x100)
			continue;
		from[0] = (char)(pair >> 8);
		from[1] = (char)pair;
		assert_true(script_clean(to, sizeof(to), from) <= 2);
		for (const char *at = to; *at; at++) {
			assert_true((unsigned char)*at >= 0x20 && *at != 0x7f);
			if ((unsigned char)*at < 0x80)
				continue;
			/* U+00A0 to U+07FF, and nothing but that */
			assert_true((unsigned char)at[0] >= 0xc2 &&
			            (unsigned char)at[0] <= 0xdf);
			assert_int_equal((unsigned char)at[1] & 0xc0, 0x80);
			assert_true((unsigned char)at[0] > 0xc2 ||
			            (unsigned char)at[1] >= 0xa0);
			at++;
		}
	}
}

static void
long_values_are_cut_at_a_character(void **state)
{
	char to[8];

	(void)state;
	assert_int_equal(script_clean(to, sizeof(to), "abcdefghij"), 7);
	assert_string_equal(to, "abcdefg");
	assert_int_equal(script_clean(to, sizeof(to), "abcdef\xc3\xbc"), 6);
	assert_string_equal(to, "abcdef");
	assert_int_equal(script_clean(to, sizeof(to), "abcde\xc3\xbcx"), 7);
	assert_string_equal(to, "abcde\xc3\xbc");
}

static struct script_call *
call_of(const char *path)
{
	static const struct log_ctx log = { .session = "unit", .mail = 1 };
	struct addr client;

	assert_true(addr_parse(&client, "192.0.2.7", 1234));
	return script_call_new(path, &(struct script_subject){ .log = &log,
	                                                       .finding = "virus",
	                                                       .client = &client });
}

static void
a_call_has_its_path_its_values_and_a_path(void **state)
{
	struct script_call *call = call_of("/bin/true");
	char *endless = calloc(1, 100001);

	(void)state;
	memset(endless, 'x', 100000);
	script_call_argument(call, "VIRUS");
	script_call_argument(call, "-");
	script_call_argument(call, "-rf\n");
	script_call_argument(call, "");
	script_call_variable(call, "HELO", "a\nPATH=/tmp");
	script_call_variable(call, "EMPTY", "");
	script_call_variable(call, "LONG", endless);
	assert_string_equal(call->arguments[0], "/bin/true");
	assert_string_equal(call->arguments[1], "VIRUS");
	assert_string_equal(call->arguments[2], "-");
	assert_string_equal(call->arguments[3], "?rf?");
	assert_string_equal(call->arguments[4], "");
	assert_null(call->arguments[5]);
	assert_memory_equal(call->environment[0], "PATH=/usr/", 10);
	assert_string_equal(call->environment[1], "HELO=a?PATH=/tmp");
	assert_string_equal(call->environment[2], "EMPTY=");
	assert_int_equal(strlen(call->environment[3]), 5 + SCRIPT_VALUE_MAX);
	assert_null(call->environment[4]);
	script_call_free(call);
	free(endless);
}

/* ---- programs that run -------------------------------------------------------------- */

static struct event_base *base;
static char folder[64];

/* The path of NAME in the folder of this run. */
static char *
path_of(const char *name)
{
	static char paths[4][128];
	static int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static char *
script_of(const char *words)
{
	char *path = path_of("script");
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fprintf(file, "#!/bin/sh\ncd %s || exit 99\n%s\n", folder, words);
	fclose(file);
	assert_int_equal(chmod(path, 0755), 0);
	return path;
}

static const char *
content(const char *name)
{
	static char text[4096];
	FILE *file = fopen(path_of(name), "r");

	text[0] = '\0';
	if (!file)
		return text;
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	return text;
}

static bool
is_there(const char *name)
{
	return access(path_of(name), F_OK) == 0;
}

static int
set_up(void **state)
{
	(void)state;
	base = event_base_new();
	strcpy(folder, "/tmp/gated-script-XXXXXX");
	stats_set(STAT_scripts, 0);
	stats_set(STAT_scripts_failed, 0);
	stats_set(STAT_scripts_dropped, 0);
	return mkdtemp(folder) && base ? 0 : -1;
}

static int
tear_down(void **state)
{
	char command[128];

	(void)state;
	event_base_free(base);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command); /* NOLINT(bugprone-command-processor,cert-env33-c) */
}

static struct scripts *
scripts_of(unsigned most, unsigned waiting, unsigned seconds)
{
	return scripts_new(base, &(struct script_limits){ most, waiting, seconds });
}

static void
it_runs_with_what_it_is_given_and_no_more(void **state)
{
	struct scripts *scripts = scripts_of(1, 0, 10);
	/* Neither of them is for others; one may not even be marked as such. */
	int open_one = open("/dev/null", O_RDONLY); /* NOLINT(android-cloexec-open) */
	struct script_call *call;

	(void)state;
	setenv("NOTIFY_SOCKET", "/run/systemd/notify", 1);
	signal(SIGPIPE, SIG_IGN);
	call = call_of(
		script_of("{ echo \"$0|$#|$1|$2\"; env | grep -v ^_ | sort; pwd\n"
	                  "ls /proc/self/fd | wc -l; read x || echo eof\n"
	                  "# 32 and 33 are libc's own\n"
	                  "sed -n '/^SigIgn/s/0000000180/0000000000/p;"
	                  "/^SigBlk/p' /proc/self/status\n"
	                  "ps -o pid=,pgid=,sid= -p $$ | "
	                  "awk '{ print $1 == $2, $2 == $3 }'\n"
	                  "} >out 2>&1; mv out done"));
	script_call_argument(call, "VIRUS");
	script_call_argument(call, "a b;c");
	script_call_variable(call, "HELO", "$(touch evil)");
	scripts_run(scripts, call);
	LOOP_UNTIL(base, stats_get(STAT_scripts_now) == 0);
	assert_int_equal(stats_get(STAT_scripts), 1);
	assert_int_equal(stats_get(STAT_scripts_failed), 0);
	scripts_free(scripts);
	close(open_one);
	unsetenv("NOTIFY_SOCKET");
	signal(SIGPIPE, SIG_DFL);

	char expected[1024];
	snprintf(expected, sizeof(expected),
	         "%s|2|VIRUS|a b;c\n"
	         "HELO=$(touch evil)\n"
	         "OLDPWD=/\n" /* the shell's own two */
	         "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
	         "PWD=%s\n"
	         "%s\n"
	         "4\n" /* of ls: the standard ones and the directory */
	         "eof\n"
	         "SigBlk:\t0000000000000000\n"
	         "SigIgn:\t0000000000000000\n"
	         "1 1\n",
	         path_of("script"), folder, folder);
	assert_string_equal(content("done"), expected);
	assert_false(is_there("evil"));
}

static void
one_that_takes_too_long_is_told_and_then_killed(void **state)
{
	struct scripts *scripts = scripts_of(2, 0, 1);
	double began = loop_clock();

	(void)state;
	scripts_run(scripts, call_of(script_of("trap 'touch told; exit' TERM\n"
	                                       "while :; do sleep 0.1; done")));
	LOOP_UNTIL(base, stats_get(STAT_scripts_now) == 0);
	assert_true(is_there("told"));
	assert_in_range((int)(loop_clock() - began), 1, 50);
	assert_int_equal(stats_get(STAT_scripts_failed), 1);

	began = loop_clock();
	scripts_run(scripts, call_of(script_of("trap '' TERM\n"
	                                       "while :; do sleep 0.1; done")));
	LOOP_UNTIL(base, stats_get(STAT_scripts_now) == 0);
	assert_in_range((int)(loop_clock() - began), 6, 50);
	assert_int_equal(stats_get(STAT_scripts_failed), 2);
	scripts_free(scripts);
}

static bool
is_alive(const char *name)
{
	return kill((pid_t)strtol(content(name), NULL, 10), 0) == 0;
}

/* One in the group, with the output open; one that has left it on purpose. */
static void
what_it_leaves_in_its_group_ends_with_it(void **state)
{
	struct scripts *scripts = scripts_of(1, 0, 10);

	(void)state;
	scripts_run(scripts, call_of(script_of("sleep 60 & echo $! >left\n"
	                                       "setsid sleep 60 </dev/null >/dev/null "
	                                       "2>&1 & echo $! >apart\n"
	                                       "sleep 0.2")));
	LOOP_UNTIL(base, stats_get(STAT_scripts_now) == 0);
	assert_int_equal(stats_get(STAT_scripts_failed), 0);
	assert_true(content("left")[0] != '\0' && content("apart")[0] != '\0');
	LOOP_UNTIL(base, !is_alive("left"));
	assert_false(is_alive("left"));
	assert_true(is_alive("apart"));
	kill((pid_t)strtol(content("apart"), NULL, 10), SIGKILL);
	scripts_free(scripts);
}

static void
so_many_run_and_so_many_wait(void **state)
{
	struct scripts *scripts = scripts_of(3, 10, 10);
	const char *path = script_of("echo + >>trace; sleep 0.1; echo - >>trace");
	int now = 0, most = 0, all = 0;

	(void)state;
	for (int i = 0; i < 50; i++)
		scripts_run(scripts, call_of(path));
	assert_int_equal(stats_get(STAT_scripts_now), 3);
	assert_int_equal(stats_get(STAT_scripts_dropped), 50 - 3 - 10);
	LOOP_UNTIL(base, stats_get(STAT_scripts_now) == 0);
	for (const char *at = content("trace"); *at; at++) {
		now += *at == '+' ? 1 : *at == '-' ? -1 : 0;
		all += *at == '+';
		most = now > most ? now : most;
	}
	assert_int_equal(all, 13);
	assert_in_range(most, 1, 3);
	assert_int_equal(stats_get(STAT_scripts), 13);
	assert_int_equal(stats_get(STAT_scripts_failed), 0);
	scripts_free(scripts);
}

static void
what_cannot_be_started_is_counted_and_makes_way(void **state)
{
	struct scripts *scripts = scripts_of(1, 10, 10);
	char *path = path_of("plain");
	char why[256];

	(void)state;
	fclose(fopen(path, "w"));
	assert_false(script_is_there(path, why, sizeof(why)));
	assert_non_null(strstr(why, "Permission denied"));
	assert_false(script_is_there("/nonexistent", why, sizeof(why)));
	assert_non_null(strstr(why, "No such file"));
	assert_false(script_is_there("/tmp", why, sizeof(why)));
	scripts_run(scripts, call_of(path));
	scripts_run(scripts, call_of("/nonexistent/x"));
	scripts_run(scripts, call_of(script_of("touch ran")));
	LOOP_UNTIL(base, stats_get(STAT_scripts_now) == 0);
	assert_int_equal(stats_get(STAT_scripts_failed), 2);
	assert_int_equal(stats_get(STAT_scripts), 1);
	assert_true(is_there("ran"));
	assert_true(script_is_there(path_of("script"), why, sizeof(why)));
	scripts_free(scripts);
}

static void
count_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	++*(int *)arg;
}

/* The loop is free all the time, and the program is not held up for ever. */
static void
a_flood_is_read_slowly_and_forgotten(void **state)
{
	struct scripts *scripts = scripts_of(1, 0, 2);
	struct event *tick;
	clock_t used = clock();
	int count = 0;

	(void)state;
	tick = event_new(base, -1, EV_PERSIST, count_turn, &count);
	event_add(tick, &(struct timeval){ .tv_usec = 10000 });
	scripts_run(scripts, call_of(script_of("exec yes")));
	LOOP_UNTIL(base, stats_get(STAT_scripts_now) == 0);
	assert_int_equal(stats_get(STAT_scripts_failed), 1);
	assert_true(count > 30);
	assert_true((double)(clock() - used) / CLOCKS_PER_SEC < 0.5);
	scripts_run(scripts, call_of(script_of("head -c 300000 /dev/zero; touch end")));
	LOOP_UNTIL(base, stats_get(STAT_scripts_now) == 0);
	assert_true(is_there("end"));
	assert_int_equal(stats_get(STAT_scripts_failed), 1);
	event_free(tick);
	scripts_free(scripts);
}

static void
the_end_waits_for_what_runs_and_drops_what_waits(void **state)
{
	struct scripts *scripts = scripts_of(1, 5, 60);
	double began = loop_here();

	(void)state;
	scripts_run(scripts, call_of(script_of("sleep 0.5; echo x >>ended")));
	scripts_run(scripts, call_of(path_of("script")));
	scripts_free(scripts);
	assert_string_equal(content("ended"), "x\n");
	assert_int_equal(stats_get(STAT_scripts_dropped), 1);
	assert_int_equal(stats_get(STAT_scripts_failed), 0);
	assert_true(loop_here() - began < 4);

	began = loop_clock();
	scripts = scripts_of(1, 5, 60);
	scripts_run(scripts, call_of(script_of("exec sleep 60")));
	scripts_free(scripts);
	assert_in_range((int)(loop_clock() - began), 4, 50);
	assert_int_equal(stats_get(STAT_scripts_failed), 1);
	scripts_free(NULL);
}

static void
limits_can_change(void **state)
{
	struct scripts *scripts = scripts_of(1, 10, 10);
	const char *path = script_of("sleep 0.5");

	(void)state;
	for (int i = 0; i < 4; i++)
		scripts_run(scripts, call_of(path));
	assert_int_equal(stats_get(STAT_scripts_now), 1);
	scripts_set(scripts, &(struct script_limits){ 3, 0, 10 });
	assert_int_equal(stats_get(STAT_scripts_now), 3);
	scripts_run(scripts, call_of(path));
	assert_int_equal(stats_get(STAT_scripts_dropped), 1);
	LOOP_UNTIL(base, stats_get(STAT_scripts_now) == 0);
	assert_int_equal(stats_get(STAT_scripts), 4);
	scripts_free(scripts);
}

/* As some init systems start daemons. */
static void
it_does_not_matter_that_ends_of_children_were_ignored(void **state)
{
	struct scripts *scripts;

	(void)state;
	signal(SIGCHLD, SIG_IGN);
	scripts = scripts_of(1, 0, 10);
	scripts_run(scripts, call_of(script_of("exit 3")));
	LOOP_UNTIL(base, stats_get(STAT_scripts_now) == 0);
	assert_int_equal(stats_get(STAT_scripts_failed), 1);
	scripts_free(scripts);
}

#define RUNS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_keep_their_characters_and_lose_what_does_harm),
		cmocka_unit_test(nothing_harmful_comes_through),
		cmocka_unit_test(long_values_are_cut_at_a_character),
		cmocka_unit_test(a_call_has_its_path_its_values_and_a_path),
		RUNS(it_runs_with_what_it_is_given_and_no_more),
		RUNS(one_that_takes_too_long_is_told_and_then_killed),
		RUNS(what_it_leaves_in_its_group_ends_with_it),
		RUNS(so_many_run_and_so_many_wait),
		RUNS(what_cannot_be_started_is_counted_and_makes_way),
		RUNS(a_flood_is_read_slowly_and_forgotten),
		RUNS(the_end_waits_for_what_runs_and_drops_what_waits),
		RUNS(limits_can_change),
		RUNS(it_does_not_matter_that_ends_of_children_were_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
