#include "pidfile.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* Real files, real locks, real processes, in a directory of its own. */

static char directory[64], path[128], why[512];

static const char *
in_directory(const char *name)
{
	static char text[128];

	snprintf(text, sizeof(text), "%s/%s", directory, name);
	return text;
}

static void
write_file(const char *name, const char *text)
{
	FILE *file = fopen(name, "we");

	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static void
assert_content(const char *name, const char *text)
{
	char found[64] = "";
	FILE *file = fopen(name, "re");

	assert_non_null(file);
	found[fread(found, 1, sizeof(found) - 1, file)] = '\0';
	fclose(file);
	assert_string_equal(found, text);
}

static struct pidfile *
must_take(const char *name)
{
	struct pidfile *file = pidfile_take(name, why, sizeof(why));

	if (!file)
		fail_msg("%s", why);
	return file;
}

static void
assert_refused(const char *name, const char *words)
{
	why[0] = '\0';
	assert_null(pidfile_take(name, why, sizeof(why)));
	assert_memory_equal(why, "pidfile = \"", 11);
	assert_non_null(strstr(why, name));
	if (!strstr(why, words))
		fail_msg("not \"%s\" in: %s", words, why);
}

static pid_t
owner(void)
{
	return pidfile_owner(path, why, sizeof(why));
}

static void
sleep_ms(long milliseconds)
{
	struct timespec pause = { milliseconds / 1000, milliseconds % 1000 * 1000000 };

	nanosleep(&pause, NULL);
}

static bool
exists(const char *name)
{
	struct stat info;

	return lstat(name, &info) == 0;
}

static void
assert_child_is_well(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int
set_up(void **unused)
{
	(void)unused;
	strcpy(directory, "/tmp/test_pidfile.XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s", in_directory("pid"));
	return 0;
}

static int
tear_down(void **unused)
{
	char *command = xasprintf("rm -rf '%s'", directory);
	int code = system(command);

	(void)unused;
	free(command);
	return code;
}

/* ---- one process ----------------------------------------------------------------- */

static void
it_is_made_written_and_removed(void **unused)
{
	mode_t mask = umask(077);
	struct pidfile *file = must_take(path);
	char number[32];
	struct stat info;

	(void)unused;
	assert_int_equal(umask(mask), 077);
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode, S_IFREG | 0644);
	assert_true(pidfile_write(file));
	snprintf(number, sizeof(number), "%d\n", (int)getpid());
	assert_content(path, number);
	assert_true(pidfile_write(file)); /* again: not behind it */
	assert_content(path, number);
	assert_int_equal(owner(), getpid());
	pidfile_drop(file);
	assert_false(exists(path));
	assert_int_equal(owner(), 0);
	pidfile_drop(NULL);
}

static void
a_second_one_is_told_of_the_first(void **unused)
{
	struct pidfile *file = must_take(path);
	char number[32];

	(void)unused;
	assert_refused(path, "another smtp-gated runs with this file;");
	assert_true(pidfile_write(file));
	snprintf(number, sizeof(number), "this file, pid %d;", (int)getpid());
	assert_refused(path, number);
	assert_refused(path, "smtp-gated -K");
	assert_int_equal(owner(), getpid());
	pidfile_drop(file);
	pidfile_drop(must_take(path));
}

/* The number alone says nothing: here it is of a process that lives, ours. */
static void
a_stale_one_is_taken_over(void **unused)
{
	static const char *const left[] = { "", "1", "1\n", "999999999\n" };
	char number[32];
	struct pidfile *file;

	(void)unused;
	for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
		write_file(path, left[i]);
		assert_int_equal(owner(), 0);
		file = must_take(path);
		assert_true(pidfile_write(file));
		snprintf(number, sizeof(number), "%d\n", (int)getpid());
		assert_content(path, number);
		pidfile_drop(file);
	}
}

static void
what_is_no_pidfile_is_left_alone(void **unused)
{
	static const char *const texts[] = { "port = 25\n", "1 \n",
		                             "12\n13\n",    "-1\n",
		                             " 1\n",        "1234567890123456\n",
		                             "\n",          "99999999999\n" };
	const char *other;

	(void)unused;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		write_file(path, texts[i]);
		assert_refused(path, "no pidfile, it is left alone");
		assert_content(path, texts[i]);
	}
	unlink(path);

	other = in_directory("other");
	write_file(other, "7\n");
	assert_int_equal(link(other, path), 0);
	assert_refused(path, "no pidfile, it is left alone");
	unlink(path);

	assert_int_equal(symlink(other, path), 0);
	assert_refused(path, "symbolic link");
	assert_content(other, "7\n");
	unlink(other); /* a link to nowhere makes no file there */
	assert_refused(path, "symbolic link");
	assert_false(exists(in_directory("other")));
	assert_int_equal(owner(), -1);
	assert_non_null(strstr(why, "symbolic link"));
	unlink(path);

	assert_int_equal(mkfifo(path, 0600), 0);
	assert_refused(path, "no pidfile, it is left alone");
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_refused(path, "Is a directory");
	rmdir(path);
}

static void
a_directory_that_is_missing_is_named(void **unused)
{
	(void)unused;
	assert_refused(in_directory("none/pid"), "No such file or directory; make its");
	assert_int_equal(pidfile_owner(in_directory("none/pid"), why, sizeof(why)), 0);
	write_file(path, "");
	assert_refused(in_directory("pid/pid"), "Not a directory");
}

static void
only_our_own_file_is_removed(void **unused)
{
	struct pidfile *file = must_take(path);

	(void)unused;
	write_file(in_directory("other"), "7\n");
	assert_int_equal(rename(in_directory("other"), path), 0);
	pidfile_drop(file);
	assert_content(path, "7\n");
}

static void
it_is_found_again_from_elsewhere(void **unused)
{
	char before[256];
	struct pidfile *file;

	(void)unused;
	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(directory), 0);
	file = must_take("pid");
	assert_true(exists(path));
	assert_int_equal(chdir("/"), 0);
	pidfile_drop(file);
	assert_false(exists(path));
	assert_int_equal(chdir(before), 0);
}

static void
it_is_emptied_where_it_cannot_be_removed(void **unused)
{
	struct pidfile *file = must_take(path);
	pid_t child;

	(void)unused;
	assert_true(pidfile_write(file));
	assert_int_equal(chmod(directory, 0555), 0);
	child = fork();
	if (child == 0) {
		if (geteuid() == 0 && setuid(65534) != 0)
			_exit(1);
		pidfile_drop(file);
		_exit(0);
	}
	assert_child_is_well(child);
	assert_int_equal(chmod(directory, 0755), 0);
	assert_content(path, "");
	pidfile_drop(file);
}

/* ---- several ------------------------------------------------------------------------- */

/* However the test ends, what it has started ends as well. */
static pid_t
fork_for_a_while(void)
{
	pid_t child = fork();

	if (child == 0)
		alarm(60);
	return child;
}

/* A daemon that goes to the background: starts, leaves its child, ends. */
static pid_t
daemonize(int hold)
{
	int told[2];
	pid_t child = -1, daemon;

	assert_int_equal(pipe(told), 0);
	daemon = fork();
	if (daemon == 0) {
		struct pidfile *file = pidfile_take(path, why, sizeof(why));

		child = file ? fork_for_a_while() : -1;
		if (child != 0)
			_exit(child < 0);
		child = pidfile_write(file) ? getpid() : -1;
		(void)!write(told[1], &child, sizeof(child));
		(void)!read(hold, &child, 1); /* until the test is over */
		_exit(0);
	}
	assert_child_is_well(daemon);
	assert_int_equal(read(told[0], &child, sizeof(child)), sizeof(child));
	close(told[0]);
	close(told[1]);
	return child;
}

static void
the_lock_survives_fork_and_not_the_process(void **unused)
{
	int hold[2];
	pid_t daemon;

	(void)unused;
	assert_int_equal(pipe(hold), 0);
	daemon = daemonize(hold[0]);
	assert_true(daemon > 0);
	assert_int_equal(owner(), daemon);
	assert_refused(path, "another smtp-gated");
	assert_int_equal(kill(daemon, SIGKILL), 0);
	for (int i = 0; i < 500 && owner() != 0; i++)
		sleep_ms(10);
	assert_int_equal(owner(), 0);
	assert_true(exists(path)); /* stale */
	pidfile_drop(must_take(path));
	close(hold[0]);
	close(hold[1]);
}

static void
who_asks_waits_for_a_daemon_that_starts(void **unused)
{
	struct pidfile *file = must_take(path);
	pid_t child = fork();

	(void)unused;
	if (child == 0) {
		sleep_ms(200);
		_exit(pidfile_write(file) ? 0 : 1);
	}
	assert_int_equal(owner(), child);
	assert_child_is_well(child);
	assert_true(pidfile_write(file));
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(owner(), -1);
	assert_non_null(strstr(why, "just starting or ending"));
	pidfile_drop(file);
}

/* Asking takes nothing, not even for a moment. */
static void
who_asks_is_in_nobodys_way(void **unused)
{
	pid_t child = fork_for_a_while();

	(void)unused;
	if (child == 0)
		for (;;)
			(void)!owner();
	for (int i = 0; i < 500; i++) {
		struct pidfile *file = must_take(path);

		assert_true(pidfile_write(file));
		pidfile_drop(file);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

struct contest {
	int holders;
	int taken[4];
};

/* False: somebody else had it as well. */
static bool
contend(struct contest *contest, int *taken)
{
	struct pidfile *file = pidfile_take(path, why, sizeof(why));
	bool alone;

	if (!file)
		return strstr(why, "another smtp-gated");
	alone = __atomic_add_fetch(&contest->holders, 1, __ATOMIC_SEQ_CST) == 1;
	alone &= pidfile_write(file) && owner() == getpid();
	__atomic_sub_fetch(&contest->holders, 1, __ATOMIC_SEQ_CST);
	++*taken;
	pidfile_drop(file);
	return alone;
}

/* Each removes the file when it has had it: what another has opened is not the file. */
static void
never_do_two_have_it(void **unused)
{
	struct contest *contest = mmap(NULL, sizeof(*contest), PROT_READ | PROT_WRITE,
	                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t children[4];

	(void)unused;
	assert_true(contest != MAP_FAILED);
	for (int i = 0; i < 4; i++) {
		children[i] = fork_for_a_while();
		if (children[i] != 0)
			continue;
		while (contest->taken[i] < 200)
			if (!contend(contest, &contest->taken[i]))
				_exit(1);
		_exit(0);
	}
	for (int i = 0; i < 4; i++)
		assert_child_is_well(children[i]);
	munmap(contest, sizeof(*contest));
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ROW(it_is_made_written_and_removed),
		ROW(a_second_one_is_told_of_the_first),
		ROW(a_stale_one_is_taken_over),
		ROW(what_is_no_pidfile_is_left_alone),
		ROW(a_directory_that_is_missing_is_named),
		ROW(only_our_own_file_is_removed),
		ROW(it_is_found_again_from_elsewhere),
		ROW(it_is_emptied_where_it_cannot_be_removed),
		ROW(the_lock_survives_fork_and_not_the_process),
		ROW(who_asks_waits_for_a_daemon_that_starts),
		ROW(who_asks_is_in_nobodys_way),
		ROW(never_do_two_have_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
