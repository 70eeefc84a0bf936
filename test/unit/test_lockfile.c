#include "lockfile.h"

#include "loop.h"
#include "stats.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Real files in a directory of its own, made and changed behind the module's back. */

enum {
	HOUR = 3600,
	STRANGER = 65534,
};

static char directory[64], name[LOCKFILE_NAME_SIZE];
static struct lockfiles *locks;
static const struct lockfile_rules usual = { 0660, 64, HOUR };

static struct addr
addr(const char *text)
{
	struct addr parsed;

	if (!addr_parse(&parsed, text, 25))
		fail_msg("%s", text);
	return parsed;
}

static const char *
path_of(const char *file)
{
	static char path[sizeof(directory) + LOCKFILE_NAME_SIZE];

	snprintf(path, sizeof(path), "%s/%s", directory, file);
	return path;
}

static bool
is_there(const char *file)
{
	struct stat info;

	return lstat(path_of(file), &info) == 0;
}

/* By hand. */
static void
touch(const char *file, int seconds_ago)
{
	struct timespec times[2] = { { .tv_sec = time(NULL) - seconds_ago } };
	int fd = open(path_of(file), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	times[1] = times[0];
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

static void
touch_as_stranger(const char *file)
{
	if (geteuid() != 0)
		skip();
	touch(file, 0);
	assert_int_equal(lchown(path_of(file), STRANGER, STRANGER), 0);
}

static enum lockfile_state
look(const char *client, const char *ident)
{
	struct addr host = addr(client);

	return lockfile_look(locks, &host, ident, HOUR, name);
}

static enum lockfile_result
make(const char *client, const char *ident)
{
	struct addr host = addr(client);

	return lockfile_make(locks, &host, ident, HOUR, "virus Eicar-Test", name);
}

static int
setup(void **state)
{
	char why[512];

	(void)state;
	strcpy(directory, "/tmp/test-lockfile.XXXXXX");
	assert_non_null(mkdtemp(directory));
	locks = lockfile_new(directory, &usual);
	if (!lockfile_ready(locks, why, sizeof(why)))
		fail_msg("%s", why);
	return 0;
}

static int
teardown(void **state)
{
	char *command = xasprintf("rm -rf %s", directory);

	(void)state;
	lockfile_free(locks);
	locks = NULL;
	assert_int_equal(system(command), 0); /* NOLINT: a test's own directory */
	free(command);
	return 0;
}

/* ---- names ---------------------------------------------------------------- */

static void
assert_name(const char *net, const char *ident, const char *expected)
{
	char why[256], back[LOCKFILE_IDENT_SIZE];
	struct addr_net parsed, again;

	assert_true(addr_net_parse(&parsed, net, why, sizeof(why)));
	assert_true(lockfile_name(name, &parsed, ident));
	assert_string_equal(name, expected);
	assert_true(lockfile_parse(name, &again, back));
	assert_true(addr_net_equal(&parsed, &again));
	assert_string_equal(back, ident);
}

static void
test_names(void **state)
{
	(void)state;
	assert_name("192.0.2.1", "", "192.0.2.1");
	assert_name("::ffff:192.0.2.1", "", "192.0.2.1");
	assert_name("192.0.2.1", "bob", "192.0.2.1-bob");
	assert_name("2001:DB8:0::1", "", "2001:db8::1");
	assert_name("2001:db8:1:2::/64", "", "2001:db8:1:2::_64");
	assert_name("2001:db8:1:2::/64", "64", "2001:db8:1:2::_64-64");
	assert_name("::/0", "", "::_0");
	assert_name("fe80::1%lo", "", "fe80::1%lo");
	assert_name("fe80::1%lo", "a_b", "fe80::1%lo-a_b");
}

/* An ident is a stranger's word: it must not lead out of the directory, nor be another's. */
static void
test_hostile_idents(void **state)
{
	char longest[LOCKFILE_IDENT_SIZE], more[LOCKFILE_IDENT_SIZE + 1];
	struct addr host = addr("192.0.2.1"),
		    six = addr("2001:db8:1111:2222:3333:4444:5:6");
	struct addr_net net = addr_net_of(&host, 32);

	(void)state;
	assert_name("192.0.2.1", "../../etc/passwd",
	            "192.0.2.1-..%2F..%2Fetc%2Fpasswd");
	assert_name("192.0.2.1", "%2F", "192.0.2.1-%252F");
	assert_name("192.0.2.1", "a b\n\x01\xff", "192.0.2.1-a%20b%0A%01%FF");
	assert_name("192.0.2.1", "-", "192.0.2.1--");
	assert_name("192.0.2.1", "x.y_z@h+1:2", "192.0.2.1-x.y_z@h+1:2");
	memset(longest, '\xe4', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	net = addr_net_of(&six, 127);
	assert_true(lockfile_name(name, &net, longest));
	assert_true(strlen(name) <= 255);
	memset(more, 'a', sizeof(more));
	more[sizeof(more) - 1] = '\0';
	assert_false(lockfile_name(name, &net, more));
	assert_int_equal(make("192.0.2.1", more), LOCKFILE_FAILED);
	assert_int_equal(errno, ENAMETOOLONG);
	assert_int_equal(make("192.0.2.1", "../x"), LOCKFILE_MADE);
	assert_true(is_there("192.0.2.1-..%2Fx"));
}

/* What nobody would write so is no name: else one client could have two. */
static void
test_other_names(void **state)
{
	static const char too_long[] = "192.0.2.1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
				       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	static const char *const wrong[] = {
		"",
		".",
		"..",
		"README",
		"192.0.2",
		"192.0.2.1-",
		"192.0.2.01",
		"192.0.2.1_",
		"192.0.2.1_32",
		"192.0.2.1_24",
		"192.0.2.1_x",
		"2001:DB8::1",
		"2001:db8:0::1",
		"2001:db8::1_64",
		"2001:db8::_064",
		"2001:db8::_129",
		"2001:db8::_128",
		"2001:db8::_-1",
		"[2001:db8::1]",
		"::ffff:192.0.2.1",
		"192.0.2.1-%2f",
		"192.0.2.1-%41",
		"192.0.2.1-%",
		"192.0.2.1-%4",
		"192.0.2.1-%00",
		"192.0.2.1-a b",
		"-x",
		"_64",
		"%lo",
		"fe80::1%none-such",
		"192.0.2.1.swp",
		"192.0.2.1~",
		too_long,
	};
	char ident[LOCKFILE_IDENT_SIZE];
	struct addr_net net;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (lockfile_parse(wrong[i], &net, ident))
			fail_msg("%s is taken for a lock", wrong[i]);
}

/* ---- looking and making --------------------------------------------------- */

static void
test_made_and_found(void **state)
{
	char words[64] = "";
	struct stat info;
	FILE *file;

	(void)state;
	assert_int_equal(look("192.0.2.1", ""), LOCKFILE_FREE);
	assert_string_equal(name, "");
	assert_int_equal(make("192.0.2.1", ""), LOCKFILE_MADE);
	assert_string_equal(name, "192.0.2.1");
	assert_int_equal(stat(path_of(name), &info), 0);
	assert_int_equal(info.st_mode, S_IFREG | 0660);
	file = fopen(path_of(name), "re");
	assert_non_null(fgets(words, sizeof(words), file));
	fclose(file);
	assert_string_equal(words, "virus Eicar-Test\n");
	assert_int_equal(look("192.0.2.1", ""), LOCKFILE_LOCKED);
	assert_string_equal(name, "192.0.2.1");
	assert_int_equal(make("192.0.2.1", ""), LOCKFILE_ALREADY);
	assert_int_equal(look("192.0.2.2", ""), LOCKFILE_FREE);
	assert_int_equal(look("192.0.2.11", ""), LOCKFILE_FREE);
}

/* What is said of a client comes from mail. */
static void
test_words_are_one_line(void **state)
{
	char words[2 * LOCKFILE_WORDS_SIZE], found[2 * LOCKFILE_WORDS_SIZE] = "";
	struct addr host = addr("192.0.2.1");
	FILE *file;

	(void)state;
	memset(words, 'x', sizeof(words));
	memcpy(words, "a\nb\033[2J\x7f", 8);
	words[sizeof(words) - 1] = '\0';
	assert_int_equal(lockfile_make(locks, &host, "", HOUR, words, name),
	                 LOCKFILE_MADE);
	file = fopen(path_of(name), "re");
	assert_non_null(fgets(found, sizeof(found), file));
	assert_int_equal(fgetc(file), EOF);
	fclose(file);
	assert_memory_equal(found, "a?b?[2J?xxx", 11);
	assert_true(strlen(found) < LOCKFILE_WORDS_SIZE);
}

/* No file is remembered: who makes and removes one by hand is obeyed at once. */
static void
test_by_hand(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		touch("192.0.2.1", 0);
		assert_int_equal(look("192.0.2.1", ""), LOCKFILE_LOCKED);
		assert_int_equal(unlink(path_of("192.0.2.1")), 0);
		assert_int_equal(look("192.0.2.1", ""), LOCKFILE_FREE);
	}
	touch("192.0.2.1", HOUR - 60);
	assert_int_equal(look("192.0.2.1", ""), LOCKFILE_LOCKED);
	touch("192.0.2.1", -HOUR); /* in the future */
	assert_int_equal(look("192.0.2.1", ""), LOCKFILE_LOCKED);
}

static void
test_stale(void **state)
{
	int64_t expired = stats_get(STAT_locks_expired);

	(void)state;
	touch("192.0.2.1", HOUR + 60);
	assert_int_equal(look("192.0.2.1", ""), LOCKFILE_FREE);
	assert_false(is_there("192.0.2.1"));
	assert_int_equal(stats_get(STAT_locks_expired), expired + 1);
	touch("192.0.2.1", HOUR + 60);
	assert_int_equal(make("192.0.2.1", ""), LOCKFILE_MADE);
	assert_int_equal(look("192.0.2.1", ""), LOCKFILE_LOCKED);
}

/* One configuration's locks end sooner than another's: the file stays for that. */
static void
test_durations_differ(void **state)
{
	struct addr host = addr("192.0.2.1");

	(void)state;
	touch("192.0.2.1", 600);
	assert_int_equal(lockfile_look(locks, &host, "", 60, name), LOCKFILE_FREE);
	assert_int_equal(lockfile_look(locks, &host, "", HOUR, name), LOCKFILE_LOCKED);
	assert_int_equal(lockfile_make(locks, &host, "", 60, "", name), LOCKFILE_MADE);
	assert_int_equal(lockfile_look(locks, &host, "", 60, name), LOCKFILE_LOCKED);
	lockfile_set(locks, &(struct lockfile_rules){ 0600, 64, LOCKFILE_FOR_EVER });
	touch("192.0.2.1", 10 * 365 * 24 * HOUR);
	assert_int_equal(lockfile_look(locks, &host, "", LOCKFILE_FOR_EVER, name),
	                 LOCKFILE_LOCKED);
	assert_int_equal(lockfile_look(locks, &host, "", HOUR, name), LOCKFILE_FREE);
	assert_true(is_there("192.0.2.1"));
}

static void
test_networks(void **state)
{
	(void)state;
	assert_int_equal(make("2001:db8:1:2::5", ""), LOCKFILE_MADE);
	assert_string_equal(name, "2001:db8:1:2::_64");
	assert_int_equal(look("2001:db8:1:2:aaaa::1", ""), LOCKFILE_LOCKED);
	assert_int_equal(look("2001:db8:1:3::5", ""), LOCKFILE_FREE);
	assert_int_equal(make("fe80::1%lo", ""), LOCKFILE_MADE);
	assert_string_equal(name, "fe80::1%lo");
	assert_int_equal(look("fe80::2%lo", ""), LOCKFILE_FREE);
	touch("2001:db8:1:3::5", 0);
	assert_int_equal(look("2001:db8:1:3::5", ""), LOCKFILE_LOCKED);
	assert_int_equal(look("2001:db8:1:3::6", ""), LOCKFILE_FREE);
	lockfile_set(locks, &(struct lockfile_rules){ 0600, 128, HOUR });
	assert_int_equal(look("2001:db8:1:2::5", ""), LOCKFILE_FREE);
	assert_int_equal(make("2001:db8:1:2::5", ""), LOCKFILE_MADE);
	assert_string_equal(name, "2001:db8:1:2::5");
	lockfile_set(locks, &(struct lockfile_rules){ 0600, 48, HOUR });
	assert_int_equal(make("2001:db8:1:9::5", ""), LOCKFILE_MADE);
	assert_string_equal(name, "2001:db8:1::_48");
}

static void
test_idents(void **state)
{
	(void)state;
	assert_int_equal(make("192.0.2.1", "bob"), LOCKFILE_MADE);
	assert_string_equal(name, "192.0.2.1-bob");
	assert_int_equal(look("192.0.2.1", "bob"), LOCKFILE_LOCKED);
	assert_int_equal(look("192.0.2.1", "ann"), LOCKFILE_FREE);
	assert_int_equal(look("192.0.2.1", ""), LOCKFILE_FREE);
	touch("192.0.2.7", 0);
	assert_int_equal(look("192.0.2.7", "ann"), LOCKFILE_LOCKED);
	assert_string_equal(name, "192.0.2.7");
}

/* ---- the white list ------------------------------------------------------- */

static void
test_never(void **state)
{
	(void)state;
	touch_as_stranger("192.0.2.1");
	assert_int_equal(look("192.0.2.1", ""), LOCKFILE_NEVER);
	assert_string_equal(name, "192.0.2.1");
	assert_int_equal(make("192.0.2.1", ""), LOCKFILE_IS_NEVER);
	assert_int_equal(look("192.0.2.1", "bob"), LOCKFILE_NEVER);
	touch("192.0.2.1", 10 * HOUR);
	assert_int_equal(look("192.0.2.1", ""), LOCKFILE_NEVER);
	assert_true(is_there("192.0.2.1"));
}

/* One host of a network can be spared, and one can be locked in a network that is. */
static void
test_most_special_first(void **state)
{
	(void)state;
	touch_as_stranger("2001:db8::5");
	assert_int_equal(make("2001:db8::5", ""), LOCKFILE_IS_NEVER);
	assert_int_equal(make("2001:db8::6", ""), LOCKFILE_MADE);
	assert_string_equal(name, "2001:db8::_64");
	assert_int_equal(look("2001:db8::5", ""), LOCKFILE_NEVER);
	assert_int_equal(look("2001:db8::6", ""), LOCKFILE_LOCKED);
	touch_as_stranger("2001:db8:0:1::_64");
	touch("2001:db8:0:1::7", 0);
	assert_int_equal(look("2001:db8:0:1::7", ""), LOCKFILE_LOCKED);
	assert_int_equal(look("2001:db8:0:1::8", ""), LOCKFILE_NEVER);
	touch_as_stranger("2001:db8::6-bob");
	assert_int_equal(look("2001:db8::6", "bob"), LOCKFILE_NEVER);
	assert_int_equal(look("2001:db8::6", "ann"), LOCKFILE_LOCKED);
}

/* ---- what is no file ------------------------------------------------------ */

static void
assert_means_nothing(const char *file)
{
	assert_int_equal(look(file, ""), LOCKFILE_FREE);
	assert_int_equal(make(file, ""), LOCKFILE_FAILED);
	assert_int_equal(errno, EEXIST);
	assert_true(is_there(file));
}

/* Neither are links followed nor pipes waited for, and all of them stay. */
static void
test_no_files(void **state)
{
	char target[sizeof(directory) + 16];

	(void)state;
	snprintf(target, sizeof(target), "%s.target", directory);
	assert_int_equal(symlink(target, path_of("192.0.2.1")), 0);
	assert_means_nothing("192.0.2.1");
	assert_int_equal(access(target, F_OK), -1);
	touch("192.0.2.9", 0);
	assert_int_equal(symlink("192.0.2.9", path_of("192.0.2.2")), 0);
	assert_means_nothing("192.0.2.2");
	assert_int_equal(mkfifo(path_of("192.0.2.3"), 0600), 0);
	assert_means_nothing("192.0.2.3");
	assert_int_equal(mkdir(path_of("192.0.2.4"), 0700), 0);
	assert_means_nothing("192.0.2.4");
	assert_int_equal(make("192.0.2.5", ""), LOCKFILE_MADE);
}

/* ---- the directory -------------------------------------------------------- */

static void
test_directory_comes_and_goes(void **state)
{
	char *other = xasprintf("%s.other", directory);

	(void)state;
	assert_int_equal(make("192.0.2.1", ""), LOCKFILE_MADE);
	assert_int_equal(rename(directory, other), 0);
	assert_int_equal(look("192.0.2.1", ""), LOCKFILE_FREE);
	assert_int_equal(make("192.0.2.2", ""), LOCKFILE_MADE);
	assert_true(is_there("192.0.2.2"));
	assert_int_equal(look("192.0.2.1", ""), LOCKFILE_FREE);
	assert_int_equal(unlink(path_of("192.0.2.2")), 0);
	assert_int_equal(rmdir(directory), 0);
	assert_int_equal(rename(other, directory), 0);
	assert_int_equal(look("192.0.2.1", ""), LOCKFILE_LOCKED);
	free(other);
}

static bool
is_refused(const char *path, const char *words)
{
	struct lockfiles *other = lockfile_new(path, &usual);
	char why[512] = "";
	bool refused = !lockfile_ready(other, why, sizeof(why));

	lockfile_free(other);
	return refused && strncmp(why, "lock_path = \"", 13) == 0 && strstr(why, words);
}

static void
test_directory_that_cannot_be(void **state)
{
	(void)state;
	touch("file", 0);
	assert_true(is_refused(path_of("file"),
	                       "Not a directory; lock_duration = 0 does without"));
	assert_true(is_refused(path_of("no/such"), "No such file or directory"));
	assert_false(is_refused(path_of("new"), ""));
	assert_true(is_there("new"));
}

/* A directory that the user who looks cannot write to is told at once. */
static void
test_directory_of_another(void **state)
{
	pid_t child;
	int code;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(directory, 0755), 0);
	child = fork();
	if (child == 0)
		_exit(setresuid(STRANGER, STRANGER, STRANGER) == 0 &&
		                      is_refused(directory, "writable for set_user")
		              ? 0
		              : 1);
	assert_int_equal(waitpid(child, &code, 0), child);
	assert_int_equal(code, 0);
}

/* ---- sweeping ------------------------------------------------------------- */

static void
test_sweep(void **state)
{
	struct event_base *base = event_base_new();
	int64_t expired = stats_get(STAT_locks_expired);
	char file[64];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(file, sizeof(file), "10.0.%d.%d", i / 250, i % 250);
		touch(file, i % 2 ? 0 : 2 * HOUR);
	}
	touch("README", 2 * HOUR);
	touch("2001:db8::_48", 2 * HOUR); /* of another lock_prefix6 */
	assert_int_equal(mkdir(path_of("192.0.2.4"), 0700), 0);
	lockfile_start(locks, base);
	LOOP_UNTIL(base, stats_get(STAT_locks_expired) == expired + 501);
	assert_int_equal(stats_get(STAT_locks_expired), expired + 501);
	assert_true(is_there("10.0.0.1") && !is_there("10.0.0.0"));
	assert_true(is_there("README") && is_there("192.0.2.4"));
	assert_false(is_there("2001:db8::_48"));
	/* Again and again; a quarter of the time that they last is soon enough. */
	lockfile_set(locks, &(struct lockfile_rules){ 0600, 64, 1 });
	touch("10.0.0.1", 5);
	LOOP_UNTIL(base, !is_there("10.0.0.1"));
	touch("10.0.0.1", 5);
	LOOP_UNTIL(base, !is_there("10.0.0.1"));
	assert_false(is_there("10.0.0.1"));
	lockfile_free(locks);
	locks = NULL;
	event_base_free(base);
}

/* With lock_duration = 0 no lock counts: they stay for when they do again. */
static void
test_no_sweep(void **state)
{
	struct event_base *base = event_base_new();

	(void)state;
	lockfile_set(locks, &(struct lockfile_rules){ 0600, 64, 0 });
	touch("192.0.2.1", 10 * HOUR);
	lockfile_start(locks, base);
	loop_turn(base, 50);
	assert_true(is_there("192.0.2.1"));
	lockfile_free(locks);
	locks = NULL;
	event_base_free(base);
}

static void
test_sweep_spares_the_white_list(void **state)
{
	struct event_base *base = event_base_new();

	(void)state;
	touch_as_stranger("192.0.2.1");
	touch("192.0.2.1", 10 * HOUR);
	touch("192.0.2.2", 10 * HOUR);
	lockfile_start(locks, base);
	LOOP_UNTIL(base, !is_there("192.0.2.2"));
	assert_false(is_there("192.0.2.2"));
	assert_true(is_there("192.0.2.1"));
	lockfile_free(locks);
	locks = NULL;
	event_base_free(base);
}

static enum lockfile_result
lock_number(unsigned number)
{
	struct addr host = addr("172.16.0.0");

	host.v4.sin_addr.s_addr |= htonl(number);
	return lockfile_make(locks, &host, "", HOUR, "", name);
}

/* Whoever can come from many addresses cannot fill the file system. */
static void
test_not_too_many(void **state)
{
	struct event_base *base = event_base_new();
	unsigned more = 0;
	struct addr_net net;
	struct addr host;
	int fd;

	(void)state;
	for (unsigned i = 0; i < LOCKFILE_MOST; i++) {
		host = addr("10.0.0.0");
		host.v4.sin_addr.s_addr |= htonl(i);
		net = addr_net_of(&host, 32);
		assert_true(lockfile_name(name, &net, ""));
		fd = open(path_of(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		close(fd);
	}
	assert_int_equal(make("192.0.2.1", ""), LOCKFILE_MADE);
	lockfile_start(locks, base);
	/* They are not known to be that many before the first sweep has seen them. */
	LOOP_UNTIL(base, lock_number(++more) == LOCKFILE_FAILED);
	assert_int_equal(lock_number(++more), LOCKFILE_FAILED);
	assert_int_equal(errno, EDQUOT);
	assert_int_equal(look("10.0.0.1", ""), LOCKFILE_LOCKED);
	lockfile_free(locks);
	locks = NULL;
	event_base_free(base);
}

/* ---- the list -------------------------------------------------------------- */

static const struct lockfile_entry *
entry_of(const struct lockfile_entry *entries, size_t count, const char *file)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(entries[i].name, file) == 0)
			return &entries[i];
	fail_msg("%s is not listed", file);
	return NULL;
}

static void
test_list(void **state)
{
	const struct lockfile_entry *entry;
	struct lockfile_entry *entries;
	size_t count;

	(void)state;
	assert_int_equal(make("2001:db8::1", "bob"), LOCKFILE_MADE);
	touch("10.0.0.1", 2 * HOUR);
	touch("2001:db8::_48", 0);
	touch("192.0.2.0_24", 0);
	touch("README", 0);
	assert_int_equal(mkfifo(path_of("10.0.0.2"), 0600), 0);
	assert_true(lockfile_list(directory, geteuid(), &usual, &entries, &count));
	assert_int_equal(count, 6);
	entry = entry_of(entries, count, "2001:db8::_64-bob");
	assert_int_equal(entry->kind, LOCKFILE_KIND_LOCKED);
	assert_string_equal(entry->ident, "bob");
	assert_string_equal(entry->words, "virus Eicar-Test");
	assert_int_equal(entry->until, entry->since + HOUR);
	assert_int_equal(entry_of(entries, count, "10.0.0.1")->kind,
	                 LOCKFILE_KIND_STALE);
	assert_int_equal(entry_of(entries, count, "10.0.0.2")->kind, LOCKFILE_KIND_ODD);
	assert_int_equal(entry_of(entries, count, "README")->kind, LOCKFILE_KIND_ODD);
	assert_int_equal(entry_of(entries, count, "2001:db8::_48")->kind,
	                 LOCKFILE_KIND_ODD);
	assert_int_equal(entry_of(entries, count, "192.0.2.0_24")->kind,
	                 LOCKFILE_KIND_ODD);
	assert_true(lockfile_remove(directory, geteuid(), entry));
	assert_false(is_there("2001:db8::_64-bob"));
	assert_false(lockfile_remove(directory, geteuid(),
	                             entry_of(entries, count, "10.0.0.2")));
	assert_true(is_there("10.0.0.2"));
	free(entries);
}

static void
test_list_of_others(void **state)
{
	struct lockfile_entry *entries, before;
	size_t count;

	(void)state;
	touch_as_stranger("192.0.2.1");
	touch("192.0.2.2", 0);
	assert_true(lockfile_list(directory, geteuid(), &usual, &entries, &count));
	assert_int_equal(count, 2);
	assert_int_equal(entries[0].kind, LOCKFILE_KIND_NEVER);
	assert_int_equal(entries[0].owner, STRANGER);
	before = entries[1];
	free(entries);
	/* seen from root, of a daemon that runs as that user */
	assert_true(lockfile_list(directory, STRANGER, &usual, &entries, &count));
	assert_int_equal(entries[0].kind, LOCKFILE_KIND_LOCKED);
	assert_int_equal(entries[1].kind, LOCKFILE_KIND_NEVER);
	free(entries);
	touch_as_stranger("192.0.2.2"); /* meanwhile */
	assert_false(lockfile_remove(directory, geteuid(), &before));
	assert_int_equal(errno, EPERM);
	assert_false(lockfile_list("/no/such", 0, &usual, &entries, &count));
	assert_null(entries);
}

int
main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH(test_names),
		WITH(test_hostile_idents),
		WITH(test_other_names),
		WITH(test_made_and_found),
		WITH(test_words_are_one_line),
		WITH(test_by_hand),
		WITH(test_stale),
		WITH(test_durations_differ),
		WITH(test_networks),
		WITH(test_idents),
		WITH(test_never),
		WITH(test_most_special_first),
		WITH(test_no_files),
		WITH(test_directory_comes_and_goes),
		WITH(test_directory_that_cannot_be),
		WITH(test_directory_of_another),
		WITH(test_sweep),
		WITH(test_no_sweep),
		WITH(test_not_too_many),
		WITH(test_sweep_spares_the_white_list),
		WITH(test_list),
		WITH(test_list_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
