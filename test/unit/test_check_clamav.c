#include "clamav_world.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

/*
 * With the real libclamav, a signature of EICAR, and mails that clamav_mails.py made.
 */

static unsigned skipped;

static int
setup(void **state)
{
	(void)state;
	config_defaults();
	/* Most send the same mail again, to have it scanned again. */
	cfg.scan_cache = 0;
	return 0;
}

static struct spool *
spool_mail(const char *name, enum where where)
{
	size_t size;
	char *data = mail_bytes(name, &size);
	struct spool *spool = spool_bytes(data, size, where);

	free(data);
	return spool;
}

static struct finding
judge(const char *mail, enum where where)
{
	struct judged judged;

	begin(spool_mail(mail, where), &judged);
	finish(&judged);
	return judged.found;
}

static void
assert_found(const char *mail, enum finding_kind kind, const char *name)
{
	for (int where = IN_MEMORY; where <= IN_FILE; where++) {
		struct finding found = judge(mail, where);

		if (found.kind != kind || strcmp(found.name, name) != 0)
			fail_msg("%s from %s: kind %d \"%s\", expected %d \"%s\"", mail,
			         where == IN_FILE ? "file" : "memory", (int)found.kind,
			         found.name, (int)kind, name);
	}
}

#define VIRUS        FOUND_VIRUS, "Eicar-Test.UNOFFICIAL"
#define CLEAN        FOUND_NOTHING, ""
#define BECAUSE(why) FOUND_UNSCANNABLE, why

/* -- what is found ---------------------------------------------------------------- */

static void
viruses_are_found_wherever_they_are(void **state)
{
	(void)state;
	world_begin();
	assert_found("clean", CLEAN);
	assert_found("plain", VIRUS);
	assert_found("base64", VIRUS);
	assert_found("zip", VIRUS);
	assert_found("zip-5000000", VIRUS);
	assert_found("text-5000000", CLEAN);
	assert_found("eicar-600", VIRUS);
	world_end();
}

static void
every_shape_is_taken_for_mail(void **state)
{
	char *path = path_of("shapes");
	DIR *shapes = opendir(path);
	const struct dirent *entry;
	unsigned count = 0;

	(void)state;
	world_begin();
	while ((entry = readdir(shapes))) {
		char name[300];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof name, "shapes/%s", entry->d_name);
		assert_found(name, VIRUS);
		count++;
	}
	assert_int_equal(count, 32);
	closedir(shapes);
	free(path);
	world_end();
}

/* The head is what does it: an attachment behind a strange first line is lost without. */
static void
without_the_head_they_are_missed(void **state)
{
	size_t size;
	char *data = mail_bytes("shapes/first-00", &size);
	struct evbuffer *message = evbuffer_new();
	struct spool *spool;
	struct judged judged;

	(void)state;
	world_begin();
	spool = spool_new(budgets[IN_MEMORY], "", 0, NULL, NULL);
	evbuffer_add(message, data, size);
	assert_int_equal(spool_append(spool, message), SPOOL_OK);
	spool_seal(spool);
	begin(spool, &judged);
	finish(&judged);
	assert_int_equal(judged.found.kind, FOUND_NOTHING);
	evbuffer_free(message);
	free(data);
	world_end();
}

static void
the_head_is_a_header_whatever_the_option_says(void **state)
{
	static const char received[] = "Received: from smtp-gated\r\n";
	char head[CHECK_HEAD_SIZE], long_name[CHECK_HEAD_SIZE + 1];
	const struct {
		const char *name, *line;
	} rows[] = {
		{ "X-Proxy-Spool-Info", "X-Proxy-Spool-Info: smtp-gated\r\n" },
		{ "", "" },
		{ "X Y", "" },
		{ "X:Y", "" },
		{ "X\r\n\r\nY", "" },
		{ "\xc4\x85", "" },
		{ long_name, "" },
	};

	(void)state;
	memset(long_name, 'x', sizeof long_name - 1);
	long_name[sizeof long_name - 1] = '\0';
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct config with = { .spool_header = (char *)rows[i].name };
		size_t size = check_head(&with, head);

		assert_int_equal(size, strlen(received) + strlen(rows[i].line));
		assert_memory_equal(head, received, strlen(received));
		assert_memory_equal(head + strlen(received), rows[i].line,
		                    strlen(rows[i].line));
	}
}

static void
limits_are_unscannable_and_hide_no_virus(void **state)
{
	(void)state;
	cfg.scan_max_unpacked = 2000000;
	cfg.scan_max_files = 50;
	cfg.scan_max_depth = 5;
	world_begin();
	assert_found("deep", BECAUSE("too deep"));
	assert_found("deep+eicar", VIRUS);
	assert_found("big-member", BECAUSE("too big unpacked"));
	assert_found("big-member+eicar", VIRUS);
	assert_found("big-gzip", BECAUSE("too big unpacked"));
	assert_found("big-bzip2", BECAUSE("too big unpacked"));
	assert_found("big-xz", BECAUSE("too big unpacked"));
	assert_found("many-files", BECAUSE("too many files"));
	assert_found("many-files+eicar", BECAUSE("too many files")); /* it ends there */
	assert_found("eicar+many-files", VIRUS);
	assert_found("clean", CLEAN);
	world_end();
}

/* A part as large as the limit to the byte, or one more or less, is not cut in silence. */
static void
no_part_is_left_out_at_the_edge_of_a_limit(void **state)
{
	(void)state;
	for (int edge = -2; edge <= 2; edge++) {
		cfg.scan_max_unpacked = 5000000 + edge;
		world_begin();
		assert_found("big-member", BECAUSE("too big unpacked"));
		world_end();
	}
}

static void
too_big_is_said_without_a_scan(void **state)
{
	struct finding found;
	size_t size;

	(void)state;
	free(mail_bytes("base64", &size));
	cfg.scan_max_size = (int64_t)size - 1;
	world_begin();
	found = judge("base64", IN_MEMORY);
	assert_int_equal(found.kind, FOUND_UNSCANNABLE);
	assert_string_equal(found.name, "too big");
	assert_int_equal(found.scan_us, 0);
	cfg.scan_max_size++; /* the head does not count */
	assert_found("base64", VIRUS);
	world_end();
}

static void
too_big_for_all_together_is_unscannable(void **state)
{
	(void)state;
	cfg.scan_max_unpacked = 50000;
	world_begin();
	assert_found("text-100000", BECAUSE("too big unpacked"));
	world_end();
}

static void
encrypted_is_unscannable_if_asked(void **state)
{
	(void)state;
	world_begin();
	assert_found("encrypted", BECAUSE("encrypted"));
	assert_found("encrypted+eicar", VIRUS);
	world_end();
	cfg.scan_encrypted = false;
	world_begin();
	assert_found("encrypted", CLEAN);
	assert_found("encrypted+eicar", VIRUS);
	world_end();
}

static void
what_looks_like_a_virus_is_not_hidden_by_encryption(void **state)
{
	(void)state;
	free(cfg.signature_path);
	cfg.signature_path = path_of("db-phishing");
	world_begin();
	assert_found("encrypted+phishing", FOUND_VIRUS,
	             "Heuristics.Phishing.Email.SpoofedDomain");
	world_end();
	cfg.scan_heuristics = false;
	world_begin();
	assert_found("encrypted+phishing", BECAUSE("encrypted"));
	world_end();
}

/* The same again, however often it is sent: not a failure of ours. */
static void
a_broken_archive_is_unscannable(void **state)
{
	struct finding found;

	(void)state;
	world_begin();
	found = judge("broken-xz", IN_MEMORY);
	assert_int_equal(found.kind, FOUND_UNSCANNABLE);
	assert_memory_equal(found.name, "broken: ", 8);
	assert_null(strpbrk(found.name, "\r\n"));
	world_end();
}

static void
a_bomb_takes_no_more_than_the_limit(void **state)
{
	struct finding found;

	(void)state;
	cfg.scan_max_unpacked = 100000000;
	world_begin();
	found = judge("small-bomb", IN_MEMORY);
	assert_int_equal(found.kind, FOUND_UNSCANNABLE);
	assert_string_equal(found.name, "too big unpacked");
	print_message("bomb of 400 MB, 100 MB allowed: %.1f ms\n", found.scan_us / 1e3);
	assert_true(found.scan_us < cfg.timeout_scanner * 1000000);
	world_end();
}

static void
a_scan_ends_when_its_time_is_over(void **state)
{
	struct finding found;

	(void)state;
	cfg.scan_max_unpacked = 1073741823;
	cfg.timeout_scanner = 1;
	world_begin();
	found = judge("bomb", IN_MEMORY);
	print_message("a second allowed: \"%s\" after %.1f ms\n", found.name,
	              found.scan_us / 1e3);
	assert_int_equal(found.kind, FOUND_UNSCANNABLE);
	assert_string_equal(found.name, "timed out");
	assert_in_range(found.scan_us, 1000000, 8000000); /* 1.1 on an idle machine */
	assert_found("zip", VIRUS);                       /* the thread is free */
	world_end();
}

/* -- rounds ----------------------------------------------------------------------- */

static void
scans_are_counted_while_they_last(void **state)
{
	struct judged judged;

	(void)state;
	world_begin();
	begin(spool_mail("clean", IN_MEMORY), &judged);
	assert_int_equal(stats_get(STAT_scans_now), 1);
	finish(&judged);
	assert_int_equal(stats_get(STAT_scans_now), 0);
	world_end();
}

static void
nothing_is_started_for_a_stage_without_checks(void **state)
{
	struct evidence evidence = { 0 };
	struct findings at_once;

	(void)state;
	world_begin();
	assert_true(check_reads(&cfg, false));
	assert_true(check_reads(&cfg, true));
	cfg.auth_skip = AUTH_SKIP_ANTIVIRUS;
	assert_true(check_reads(&cfg, false));
	assert_false(check_reads(&cfg, true));
	cfg.antivirus_type = 0;
	assert_false(check_reads(&cfg, false));
	assert_null(check_start(checks, &cfg, STAGE_MESSAGE, &evidence, &at_once, NULL,
	                        NULL));
	for (size_t i = 0; i < at_once.count; i++)
		assert_int_equal(at_once.at[i].kind, FOUND_NOTHING);
	world_end();
	check_cancel(NULL);
	checks_free(NULL);
}

/* A reload cannot load an engine; what it asks for is not clean for all that. */
static void
a_check_that_was_not_loaded_fails(void **state)
{
	struct judged judged;

	(void)state;
	cfg.antivirus_type = 0;
	world_begin();
	cfg.antivirus_type = ANTIVIRUS_LIBCLAMAV;
	begin(spool_mail("clean", IN_MEMORY), &judged);
	finish(&judged);
	assert_int_equal(judged.found.kind, FOUND_FAILED);
	world_end();
}

static void
a_cancelled_round_is_not_heard_of(void **state)
{
	enum { ROUNDS = 60 };
	struct judged judged[ROUNDS];
	struct check_round *round[ROUNDS];
	const char *mails[] = { "clean", "zip", "text-100000" };
	unsigned heard = 0;

	(void)state;
	world_begin();
	for (int i = 0; i < ROUNDS; i++)
		round[i] = begin(spool_mail(mails[i % 3], i % 2), &judged[i]);
	for (int i = 0; i < ROUNDS; i++) {
		if (i % 4 == 3 && judged[i].calls == 0) /* or nothing might come */
			event_base_loop(base, EVLOOP_ONCE);
		if (judged[i].calls == 0) /* waits, runs, or has an answer on its way */
			check_cancel(round[i]);
		else
			heard++;
		judged[i].calls += 100;
	}
	for (int i = 0; i < 10; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	for (int i = 0; i < ROUNDS; i++)
		assert_in_range(judged[i].calls, 100, 101);
	print_message("%u of %u were over before they were cancelled\n", heard, ROUNDS);
	assert_found("zip", VIRUS);
	world_end();
}

/* The engine goes while its scans run: they hold it, and are told to stop. */
static void
freeing_stops_scans_that_run(void **state)
{
	struct check_round *round[3];
	struct judged judged[3];
	double begun;

	(void)state;
	cfg.scan_max_unpacked = 1073741823;
	world_begin();
	for (int i = 0; i < 3; i++)
		round[i] = begin(spool_mail("bomb", IN_MEMORY), &judged[i]);
	usleep(100000);
	for (int i = 0; i < 3; i++)
		check_cancel(round[i]);
	begun = milliseconds();
	world_end();
	print_message("stopped after %.1f ms\n", milliseconds() - begun);
	assert_true(milliseconds() - begun < 10000); /* 30000 if they are deaf */
	for (int i = 0; i < 3; i++)
		assert_int_equal(judged[i].calls, 0);
}

static void
two_threads_judge_rightly(void **state)
{
	enum { AT_ONCE = 8, ALL = 400 };
	static const char *const mails[] = { "clean", "base64",    "zip",
		                             "plain", "encrypted", "text-100000" };
	static const enum finding_kind kinds[] = { FOUND_NOTHING,     FOUND_VIRUS,
		                                   FOUND_VIRUS,       FOUND_VIRUS,
		                                   FOUND_UNSCANNABLE, FOUND_NOTHING };
	struct judged judged[AT_ONCE];

	(void)state;
	world_begin();
	for (int i = 0; i < ALL; i += AT_ONCE) {
		for (int k = 0; k < AT_ONCE; k++)
			begin(spool_mail(mails[(i + k) % 6], k % 2), &judged[k]);
		for (int k = 0; k < AT_ONCE; k++) {
			finish(&judged[k]);
			assert_int_equal(judged[k].found.kind, kinds[(i + k) % 6]);
		}
	}
	world_end();
}

/* -- when something is missing ---------------------------------------------------- */

static void
assert_refused(const char *signatures)
{
	char why[512] = "";

	free(cfg.signature_path);
	cfg.signature_path = path_of(signatures);
	assert_null(checks_new(&cfg, why, sizeof why));
	print_message("%s\n", why);
	assert_non_null(strstr(why, cfg.signature_path));
	assert_non_null(strstr(why, "signature_path"));
	assert_non_null(strstr(why, "freshclam"));
	assert_non_null(strstr(why, "clamav-freshclam"));
	assert_null(strpbrk(why, "\r\n"));
}

static void
put_file(const char *name, const char *text)
{
	char *path = path_of(name);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	free(path);
}

static void
make_directory(const char *name)
{
	char *path = path_of(name);

	assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
	free(path);
}

static void
without_signatures_it_does_not_start(void **state)
{
	(void)state;
	assert_refused("missing");
	make_directory("db-empty");
	assert_refused("db-empty");
	make_directory("db-other");
	put_file("db-other/README", "no signatures\n");
	assert_refused("db-other");
	make_directory("db-zero");
	put_file("db-zero/test.ndb", "");
	assert_refused("db-zero");
	make_directory("db-malformed");
	put_file("db-malformed/test.ndb", "Name:no:such:thing:zz:\n");
	assert_refused("db-malformed");
	assert_refused("db-malformed/test.ndb");
	make_directory("db-comment");
	put_file("db-comment/test.ndb", "# nothing\n");
	assert_refused("db-comment");
}

static void
without_temporary_files_it_does_not_start(void **state)
{
	char why[512] = "";

	(void)state;
	free(cfg.scan_path);
	cfg.scan_path = path_of("no-such-directory");
	assert_null(checks_new(&cfg, why, sizeof why));
	print_message("%s\n", why);
	assert_non_null(strstr(why, "scan_path"));
	assert_non_null(strstr(why, cfg.scan_path));
	assert_non_null(strstr(why, strerror(ENOENT)));
	free(cfg.scan_path);
	cfg.scan_path = path_of("db/test.ndb");
	assert_null(checks_new(&cfg, why, sizeof why));
	assert_non_null(strstr(why, strerror(ENOTDIR)));
}

static void
assert_failed(const char *mail)
{
	for (int where = IN_MEMORY; where <= IN_FILE; where++) {
		struct finding found = judge(mail, where);

		if (found.kind != FOUND_FAILED)
			fail_msg("%s: kind %d \"%s\", expected a failure", mail,
			         (int)found.kind, found.name);
		if (where == IN_MEMORY)
			print_message("%s: %s\n", mail, found.name);
		assert_null(strpbrk(found.name, "\r\n"));
	}
}

static void
a_lost_directory_fails_and_is_not_remembered(void **state)
{
	char *elsewhere = path_of("elsewhere");

	(void)state;
	world_begin();
	assert_int_equal(rename(cfg.scan_path, elsewhere), 0);
	assert_failed("base64");
	assert_failed("clean");
	assert_int_equal(rename(elsewhere, cfg.scan_path), 0);
	assert_found("base64", VIRUS);
	assert_found("clean", CLEAN);
	world_end();
	free(elsewhere);
}

/* Only scans run while the descriptors are gone: the spools are there before. */
static struct finding
judge_with_descriptors(const char *mail, rlim_t more)
{
	struct rlimit limit, few;
	struct spool *spool = spool_mail(mail, IN_MEMORY);
	struct judged judged;
	int next;

	getrlimit(RLIMIT_NOFILE, &limit);
	next = dup(0);
	close(next);
	few = limit;
	few.rlim_cur = (rlim_t)next + more;
	setrlimit(RLIMIT_NOFILE, &few);
	begin(spool, &judged);
	finish(&judged);
	setrlimit(RLIMIT_NOFILE, &limit);
	return judged.found;
}

static void
without_descriptors_it_fails_and_is_not_remembered(void **state)
{
	(void)state;
	world_begin();
	for (rlim_t more = 0; more < 6; more++) {
		static const char *const mails[] = { "base64", "zip" };

		for (int i = 0; i < 2; i++) {
			struct finding found = judge_with_descriptors(mails[i], more);

			if (more < 3)
				print_message("%s, %u free: %s\n", mails[i],
				              (unsigned)more, found.name);
			assert_true(found.kind == FOUND_FAILED ||
			            found.kind == FOUND_VIRUS);
			if (more == 0)
				assert_int_equal(found.kind, FOUND_FAILED);
			assert_found(mails[i], VIRUS);
		}
	}
	assert_int_equal(judge_with_descriptors("big-gzip", 1).kind, FOUND_FAILED);
	assert_found("big-gzip", CLEAN);
	world_end();
}

/* A file system of SIZE in place of scan_path; false if we may not. */
static bool
mount_small(const char *size)
{
	static bool alone;

	if (!alone && (unshare(CLONE_NEWNS) < 0 ||
	               mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0))
		goto skip;
	alone = true;
	if (mount("scan", cfg.scan_path, "tmpfs", 0, size) == 0)
		return true;
skip:
	print_message("skipped: no small file system: %s\n", strerror(errno));
	skipped++;
	return false;
}

static uint64_t
room_left(void)
{
	struct statvfs disk;

	assert_int_equal(statvfs(cfg.scan_path, &disk), 0);
	return (uint64_t)disk.f_bavail * disk.f_frsize;
}

/* Fills the file system but for LEFT bytes, quickly. */
static void
fill(size_t left)
{
	char *path = xasprintf("%s/filler", cfg.scan_path);
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	off_t size = lseek(fd, 0, SEEK_END);
	uint64_t room;

	while ((room = room_left()) > left)
		if (fallocate(fd, 0, size, (off_t)(room - left)) == 0)
			size += (off_t)(room - left);
		else /* a scan was quicker */
			assert_int_equal(errno, ENOSPC);
	close(fd);
	free(path);
}

static void
unfill(void)
{
	char *path = xasprintf("%s/filler", cfg.scan_path);

	unlink(path);
	free(path);
}

static void
a_full_disk_fails_and_is_not_remembered(void **state)
{
	static const size_t lefts[] = { 0, 4096, 8192, 65536, 900000 };

	(void)state;
	if (!mount_small("size=4m"))
		skip();
	world_begin();
	for (size_t i = 0; i < sizeof lefts / sizeof lefts[0]; i++) {
		fill(lefts[i]);
		assert_failed("base64");
		assert_failed("zip");
		unfill();
		assert_found("base64", VIRUS);
		assert_found("zip", VIRUS);
		assert_found("clean", CLEAN);
	}
	assert_failed("big-gzip"); /* 5 MB do not fit */
	assert_found("clean", CLEAN);
	world_end();
	assert_int_equal(umount(cfg.scan_path), 0);
}

/* The directory that the engine has in scan_path. */
static char *
room_path(void)
{
	DIR *directory = opendir(cfg.scan_path);
	const struct dirent *entry;
	char *path = NULL;

	assert_non_null(directory);
	while ((entry = readdir(directory)))
		if (strncmp(entry->d_name, "smtp-gated-scan-", 16) == 0) {
			assert_null(path);
			path = xasprintf("%s/%s", cfg.scan_path, entry->d_name);
		}
	closedir(directory);
	assert_non_null(path);
	return path;
}

/*
 * Begins a mail with EICAR attached between megabytes that are no file to libclamav, and
 * returns when libclamav reads the first of them: it has written no file yet.
 */
static void
begin_slow(struct judged *judged)
{
	struct spool *spool = spool_mail("slow+eicar+slow", IN_MEMORY);
	struct stat before, now;
	char *room = room_path();

	assert_int_equal(stat(room, &before), 0);
	begin(spool, judged);
	do
		assert_int_equal(stat(room, &now), 0);
	while (now.st_nlink == before.st_nlink); /* it makes itself a directory */
	free(room);
}

/* Libclamav does not notice that a small attachment did not fit.  We do, if the disk is
 * still full afterwards... */
static void
a_disk_that_fills_meanwhile_is_no_clean_mail(void **state)
{
	unsigned failed = 0;

	(void)state;
	if (!mount_small("size=64m"))
		skip();
	world_begin();
	for (int i = 0; i < 20 && failed < 3; i++) {
		struct judged slow;

		begin_slow(&slow);
		fill(0);
		finish(&slow);
		unfill();
		assert_int_not_equal(slow.found.kind, FOUND_NOTHING);
		failed += slow.found.kind == FOUND_FAILED; /* or we were too late */
	}
	assert_true(failed > 0);
	assert_found("slow+eicar+slow", VIRUS);
	world_end();
	assert_int_equal(umount(cfg.scan_path), 0);
}

/* ...or if another scan has seen that it was. */
static void
a_disk_that_was_full_for_a_while_is_no_clean_mail(void **state)
{
	enum { STEPS = 60 };
	struct judged slow, other;
	unsigned seen = 0;
	double whole;

	(void)state;
	if (!mount_small("size=64m"))
		skip();
	world_begin();
	whole = milliseconds();
	begin_slow(&slow);
	finish(&slow);
	whole = milliseconds() - whole;
	for (int i = 0; i < 4 * STEPS && seen == 0; i++) {
		begin_slow(&slow);
		fill(0);
		begin(spool_mail("clean", IN_MEMORY), &other);
		finish(&other);
		assert_int_equal(other.found.kind, FOUND_FAILED);
		/* Until EICAR is lost, not until the end: somewhere in between. */
		usleep((useconds_t)(whole * 1000 * (i % STEPS) / STEPS));
		unfill();
		finish(&slow);
		assert_int_not_equal(slow.found.kind, FOUND_NOTHING);
		seen += strstr(slow.found.name, "meanwhile") != NULL;
	}
	assert_true(seen > 0);
	world_end();
	assert_int_equal(umount(cfg.scan_path), 0);
}

/* A large file fills the disk for a moment, again and again. */
static void
scans_that_fill_the_disk_make_no_mail_clean(void **state)
{
	unsigned failed = 0, wrong = 0;

	(void)state;
	if (!mount_small("size=4m"))
		skip();
	world_begin();
	for (int i = 0; i < 50; i++) {
		struct judged big, small[12];

		begin(spool_mail("big-member", IN_MEMORY), &big);
		for (int k = 0; k < 12; k++)
			begin(spool_mail("base64", IN_MEMORY), &small[k]);
		finish(&big);
		assert_int_equal(big.found.kind, FOUND_FAILED);
		for (int k = 0; k < 12; k++) {
			finish(&small[k]);
			failed += small[k].found.kind == FOUND_FAILED;
			wrong += small[k].found.kind == FOUND_NOTHING;
		}
	}
	print_message("of 600 mails %u failed, %u wrongly clean\n", failed, wrong);
	assert_int_equal(wrong, 0);
	world_end();
	assert_int_equal(umount(cfg.scan_path), 0);
}

static void
a_read_only_disk_fails(void **state)
{
	(void)state;
	if (!mount_small("size=4m"))
		skip();
	world_begin();
	assert_int_equal(
		mount("none", cfg.scan_path, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	assert_failed("base64");
	assert_int_equal(mount("none", cfg.scan_path, NULL, MS_REMOUNT, "size=4m"), 0);
	assert_found("base64", VIRUS);
	world_end();
	assert_int_equal(umount(cfg.scan_path), 0);
}

/* -- how long it takes ------------------------------------------------------------ */

/* Figures of sanitizers mean nothing: there it is enough that they come. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { TIMES = 2 };
#else
enum { TIMES = 10 };
#endif

static void
times(void **state)
{
	static const char *const mails[] = { "base64",          "zip",
		                             "text-4000",       "attached-4000",
		                             "zip-4000",        "text-100000",
		                             "attached-100000", "zip-100000",
		                             "text-5000000",    "attached-5000000",
		                             "zip-5000000" };

	(void)state;
	world_begin();
	for (size_t i = 0; i < sizeof mails / sizeof mails[0]; i++) {
		unsigned best[2] = { ~0U, ~0U };

		for (int k = 0; k < TIMES; k++) {
			unsigned took = judge(mails[i], k % 2).scan_us;

			assert_true(took > 0);
			if (took < best[k % 2])
				best[k % 2] = took;
		}
		print_message("%-18s memory %8.2f ms  file %8.2f ms\n", mails[i],
		              best[0] / 1e3, best[1] / 1e3);
	}
	world_end();
}

static int
group_teardown_counted(void **state)
{
	print_message("%u skipped\n", skipped);
	return group_teardown(state);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		T(viruses_are_found_wherever_they_are),
		T(every_shape_is_taken_for_mail),
		T(without_the_head_they_are_missed),
		T(the_head_is_a_header_whatever_the_option_says),
		T(limits_are_unscannable_and_hide_no_virus),
		T(no_part_is_left_out_at_the_edge_of_a_limit),
		T(too_big_is_said_without_a_scan),
		T(too_big_for_all_together_is_unscannable),
		T(encrypted_is_unscannable_if_asked),
		T(what_looks_like_a_virus_is_not_hidden_by_encryption),
		T(a_broken_archive_is_unscannable),
		T(a_bomb_takes_no_more_than_the_limit),
		T(a_scan_ends_when_its_time_is_over),
		T(scans_are_counted_while_they_last),
		T(nothing_is_started_for_a_stage_without_checks),
		T(a_check_that_was_not_loaded_fails),
		T(a_cancelled_round_is_not_heard_of),
		T(freeing_stops_scans_that_run),
		T(two_threads_judge_rightly),
		T(without_signatures_it_does_not_start),
		T(without_temporary_files_it_does_not_start),
		T(a_lost_directory_fails_and_is_not_remembered),
		T(without_descriptors_it_fails_and_is_not_remembered),
		T(a_full_disk_fails_and_is_not_remembered),
		T(a_disk_that_fills_meanwhile_is_no_clean_mail),
		T(a_disk_that_was_full_for_a_while_is_no_clean_mail),
		T(scans_that_fill_the_disk_make_no_mail_clean),
		T(a_read_only_disk_fails),
		T(times),
	};

	return cmocka_run_group_tests_name(
		"check_clamav", tests, group_setup_with_mails, group_teardown_counted);
}
