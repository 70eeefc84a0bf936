#include "tempdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PREFIX "gated-scan-"

static char *top; /* the parent, and beside it what is not in it */
static char *parent;

static char *
path_of(const char *name)
{
	return xasprintf("%s/%s", parent, name);
}

static bool
is_there(const char *path)
{
	struct stat is;

	return lstat(path, &is) == 0;
}

static void
make_file(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "text", 4), 4);
	close(fd);
}

static void
make_in(const char *directory, const char *name, bool is_directory)
{
	char *path = xasprintf("%s/%s", directory, name);

	if (is_directory)
		assert_int_equal(mkdir(path, 0700), 0);
	else
		make_file(path);
	free(path);
}

static unsigned
entries(const char *path)
{
	DIR *directory = opendir(path);
	unsigned count = 0;

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count - 2;
}

static struct tempdir *new (void)
{
	struct tempdir *tempdir = tempdir_new(parent, PREFIX);

	if (!tempdir)
		fail_msg("tempdir_new: %s", strerror(errno));
	return tempdir;
}

/* What a process leaves that is killed: a directory of that name with things in it. */
static char *
leave_behind(const char *suffix)
{
	char *path = xasprintf("%s/" PREFIX "%s", parent, suffix);
	char *deep = xasprintf("%s/20261123-scantemp.0a/mail/zip", path);

	assert_int_equal(mkdir(path, 0700), 0);
	make_in(path, "file", false);
	make_in(path, "20261123-scantemp.0a", true);
	make_in(path, "20261123-scantemp.0a/mail", true);
	make_in(path, "20261123-scantemp.0a/mail/zip", true);
	make_in(deep, "member", false);
	free(deep);
	return path;
}

static int
setup(void **state)
{
	(void)state;
	top = xasprintf("%s/gated-tempdir-XXXXXX",
	                getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(top))
		return -1;
	parent = xasprintf("%s/parent", top);
	return mkdir(parent, 0777);
}

static int
teardown(void **state)
{
	char *command = xasprintf("rm -rf '%s'", top);
	int result = system(command);

	(void)state;
	free(command);
	free(parent);
	free(top);
	return result;
}

/* -- making it, and its end ------------------------------------------------------------ */

static void
it_is_ours_alone_and_goes(void **state)
{
	struct tempdir *tempdir = new ();
	const char *path = tempdir_path(tempdir);
	struct stat is;

	(void)state;
	assert_memory_equal(path, parent, strlen(parent));
	assert_memory_equal(path + strlen(parent), "/" PREFIX, strlen("/" PREFIX));
	assert_int_equal(lstat(path, &is), 0);
	assert_true(S_ISDIR(is.st_mode));
	assert_int_equal(is.st_mode & 0777, 0700);
	assert_true(tempdir_ready(tempdir));
	assert_int_equal(tempdir_losses(tempdir), 0);
	make_in(path, "file", false);
	tempdir_free(tempdir);
	assert_int_equal(entries(parent), 0);
	tempdir_free(NULL);
}

static void
without_a_parent_there_is_none(void **state)
{
	char *missing = path_of("missing"), *file = path_of("file");

	(void)state;
	assert_null(tempdir_new(missing, PREFIX));
	assert_int_equal(errno, ENOENT);
	make_file(file);
	assert_null(tempdir_new(file, PREFIX));
	assert_int_equal(errno, ENOTDIR);
	free(missing);
	free(file);
}

/* -- what others left ------------------------------------------------------------------- */

static void
what_a_dead_process_left_goes(void **state)
{
	char *left = leave_behind("000000"), *other = leave_behind("v9u8t7");
	struct tempdir *tempdir = new ();

	(void)state;
	assert_false(is_there(left));
	assert_false(is_there(other));
	assert_int_equal(entries(parent), 1);
	tempdir_free(tempdir);
	free(left);
	free(other);
}

static void
what_a_living_process_has_stays(void **state)
{
	struct tempdir *first = new (), *second;

	(void)state;
	make_in(tempdir_path(first), "file", false);
	second = new ();
	make_in(tempdir_path(second), "file", false);
	assert_int_equal(entries(tempdir_path(first)), 1);
	assert_true(tempdir_ready(first));
	assert_int_equal(tempdir_losses(first), 0);
	tempdir_free(first);
	assert_int_equal(entries(tempdir_path(second)), 1);
	tempdir_free(second);
	assert_int_equal(entries(parent), 0);
}

/* Killed, not ended: the lock goes with the process, whatever it was doing. */
static void
a_process_that_is_killed_leaves_what_the_next_removes(void **state)
{
	struct tempdir *tempdir;
	int ends[2];
	char byte;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* whatever fails here */
		tempdir = new ();
		make_in(tempdir_path(tempdir), "deep", true);
		make_in(tempdir_path(tempdir), "deep/file", false);
		if (write(ends[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ends[0], &byte, 1), 1);
	tempdir = new ();
	assert_int_equal(entries(parent), 2); /* it lives */
	tempdir_free(tempdir);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(entries(parent), 1);
	tempdir = new ();
	assert_int_equal(entries(parent), 1); /* that of this one */
	tempdir_free(tempdir);
	assert_int_equal(entries(parent), 0);
	close(ends[0]);
	close(ends[1]);
}

/* In a directory where anybody may put anything. */
static void
nothing_that_is_not_ours_is_touched(void **state)
{
	static const char *const names[] = {
		"",   "short", "toolong1", "UPPER1", "zzzzzz", /* no such characters */
		"..", "0.000a"
	};
	char *outside = xasprintf("%s/outside", top), *name;
	struct tempdir *tempdir;

	(void)state;
	assert_int_equal(mkdir(outside, 0700), 0);
	make_in(outside, "precious", false);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		name = leave_behind(names[i]);
		free(name);
	}
	name = path_of(PREFIX "link00");
	assert_int_equal(symlink(outside, name), 0);
	free(name);
	name = path_of(PREFIX "fifo00");
	assert_int_equal(mkfifo(name, 0666), 0);
	free(name);
	name = path_of(PREFIX "file00");
	make_file(name);
	free(name);
	name = path_of(PREFIX "open00");
	assert_int_equal(mkdir(name, 0700), 0);
	assert_int_equal(chmod(name, 0770), 0);
	free(name);
	tempdir = new ();
	assert_int_equal(entries(outside), 1);
	assert_int_equal(entries(parent), sizeof names / sizeof names[0] + 5);
	tempdir_free(tempdir);
	assert_int_equal(entries(parent), sizeof names / sizeof names[0] + 4);
	free(outside);
}

static void
another_users_stays(void **state)
{
	char *name = leave_behind("000000");
	struct tempdir *tempdir;

	(void)state;
	if (chown(name, 12345, (gid_t)-1) == 0) {
		tempdir = new ();
		assert_int_equal(entries(name), 2);
		tempdir_free(tempdir);
		assert_int_equal(entries(name), 2);
	} else {
		print_message("skipped: cannot give a directory away\n");
	}
	free(name);
}

/* Links, pipes and deep trees within what is emptied. */
static void
emptying_follows_nothing(void **state)
{
	char *outside = xasprintf("%s/outside", top);
	char *left = leave_behind("000000");
	char *name = xasprintf("%s/link", left), *fifo = xasprintf("%s/fifo", left);
	struct tempdir *tempdir;

	(void)state;
	assert_int_equal(mkdir(outside, 0700), 0);
	make_in(outside, "precious", false);
	assert_int_equal(symlink(outside, name), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	tempdir = new ();
	assert_false(is_there(left));
	assert_int_equal(entries(outside), 1);
	tempdir_free(tempdir);
	free(fifo);
	free(name);
	free(left);
	free(outside);
}

/* -- when it vanishes ---------------------------------------------------------------------- */

static void
it_is_made_again(void **state)
{
	struct tempdir *tempdir = new (), *other;

	(void)state;
	assert_int_equal(rmdir(tempdir_path(tempdir)), 0);
	assert_true(tempdir_ready(tempdir));
	assert_int_equal(tempdir_losses(tempdir), 1);
	make_in(tempdir_path(tempdir), "file", false);
	other = new (); /* what was made again is locked as well */
	assert_int_equal(entries(tempdir_path(tempdir)), 1);
	assert_true(tempdir_ready(tempdir));
	assert_int_equal(tempdir_losses(tempdir), 1);
	tempdir_free(other);
	tempdir_free(tempdir);
	assert_int_equal(entries(parent), 0);
}

static void
without_its_parent_it_is_not(void **state)
{
	struct tempdir *tempdir = new ();
	char *elsewhere = xasprintf("%s/elsewhere", top);

	(void)state;
	assert_int_equal(rename(parent, elsewhere), 0);
	assert_false(tempdir_ready(tempdir));
	assert_int_equal(errno, ENOENT);
	assert_int_equal(tempdir_losses(tempdir), 0);
	assert_int_equal(mkdir(parent, 0700), 0);
	assert_true(tempdir_ready(tempdir));
	assert_int_equal(tempdir_losses(tempdir), 1);
	tempdir_free(tempdir);
	free(elsewhere);
}

/* Whoever may write to the parent can put something else there; it is not used. */
static void
what_stands_in_its_place_is_not_used(void **state)
{
	char *outside = xasprintf("%s/outside", top);
	struct tempdir *tempdir = new ();
	const char *path = tempdir_path(tempdir);

	(void)state;
	assert_int_equal(mkdir(outside, 0700), 0);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(symlink(outside, path), 0);
	assert_false(tempdir_ready(tempdir));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0666), 0);
	assert_false(tempdir_ready(tempdir));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chmod(path, 0777), 0);
	assert_false(tempdir_ready(tempdir));
	assert_int_equal(chmod(path, 0700), 0);
	assert_true(tempdir_ready(tempdir));
	tempdir_free(tempdir);
	assert_int_equal(entries(outside), 0);
	free(outside);
}

/* -- threads --------------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 300 };

static void *
ask(void *tempdir)
{
	for (unsigned i = 0; i < ROUNDS; i++)
		if (!tempdir_ready(tempdir))
			return tempdir;
	return NULL;
}

static void
threads_may_ask(void **state)
{
	struct tempdir *tempdir = new ();
	pthread_t threads[THREADS];
	unsigned removed = 0;
	void *wrong;

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask, tempdir), 0);
	for (int i = 0; i < 50; i++)
		removed += rmdir(tempdir_path(tempdir)) == 0;
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		/* Removed between being made and being opened: then it says so. */
		if (wrong)
			print_message("a thread saw that it was not there\n");
	}
	assert_true(removed > 0);
	assert_true(tempdir_ready(tempdir));
	assert_in_range(tempdir_losses(tempdir), 1, removed);
	assert_int_equal(entries(parent), 1);
	tempdir_free(tempdir);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		T(it_is_ours_alone_and_goes),
		T(without_a_parent_there_is_none),
		T(what_a_dead_process_left_goes),
		T(what_a_living_process_has_stays),
		T(a_process_that_is_killed_leaves_what_the_next_removes),
		T(nothing_that_is_not_ours_is_touched),
		T(another_users_stays),
		T(emptying_follows_nothing),
		T(it_is_made_again),
		T(without_its_parent_it_is_not),
		T(what_stands_in_its_place_is_not_used),
		T(threads_may_ask),
	};

	return cmocka_run_group_tests_name("tempdir", tests, NULL, NULL);
}
