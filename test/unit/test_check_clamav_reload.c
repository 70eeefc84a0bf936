#include "clamav_world.h"

#include <fcntl.h>
#include <sys/inotify.h>

/*
 * Signatures that change while it scans, with the real libclamav.  A mail with WORD in it
 * tells by the name of what is found which signatures are in force.
 */

enum {
	PATIENCE_MS = 60000, /* only a failing test waits that long */
	LARGE = 150000,      /* signatures that take a while to load */
};

#define WORD "MARKED-FOR-THE-TEST-OF-SIGNATURES"

/* -- time ------------------------------------------------------------------------- */

static void
pass(double for_ms)
{
	double end = milliseconds() + for_ms;

	while (milliseconds() < end) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(1000);
	}
}

static int64_t
reloads(void)
{
	return stats_get(STAT_signature_reloads);
}

static int64_t
failures(void)
{
	return stats_get(STAT_signature_reloads_failed);
}

/* -- files -------------------------------------------------------------------------- */

static void
run(const char *format, ...)
{
	char *command, *there = xasprintf("cd '%s' && ", top), *whole;
	va_list args;

	va_start(args, format);
	assert_true(vasprintf(&command, format, args) >= 0);
	va_end(args);
	whole = xasprintf("%s%s", there, command);
	if (system(whole) != 0)
		fail_msg("%s", whole);
	free(whole);
	free(there);
	free(command);
}

/* The text of a database by which WORD is found as NAME. */
static char *
signature(const char *name)
{
	char *text = xasprintf("%s:0:*:", name), *longer;

	for (const char *at = WORD; *at != '\0'; at++) {
		longer = xasprintf("%s%02x", text, (unsigned)*at);
		free(text);
		text = longer;
	}
	longer = xasprintf("%s\n", text);
	free(text);
	return longer;
}

static void
write_file(const char *name, const char *text)
{
	char *path = path_of(name);
	FILE *file = fopen(path, "w");

	if (!file)
		fail_msg("%s: %s", path, strerror(errno));
	fputs(text, file);
	fclose(file);
	free(path);
}

static void
sign_in_place(const char *file, const char *name)
{
	char *text = signature(name);

	write_file(file, text);
	free(text);
}

/* As freshclam does it. */
static void
sign(const char *file, const char *name)
{
	char *from = path_of("db/tmp.abc/new.tmp"), *to = path_of(file);

	run("mkdir -p db/tmp.abc");
	sign_in_place("db/tmp.abc/new.tmp", name);
	assert_int_equal(rename(from, to), 0);
	run("rmdir db/tmp.abc");
	free(from);
	free(to);
}

static void
sign_large(const char *file)
{
	char *path = path_of(file);
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	for (unsigned i = 0; i < LARGE; i++)
		fprintf(out, "%08x%08x%08x%08x:%u:Many.%u\n", i, i * 7, i * 31, ~i,
		        1000 + i, i);
	fclose(out);
	free(path);
}

/* -- the world ---------------------------------------------------------------------- */

/* And listens to changes. */
static void
world_begin_and_wait(void)
{
	world_begin();
	pass(clamav_pace.settle_ms + 50);
}

static int
setup(void **state)
{
	(void)state;
	if (checks) /* of a test that failed: what it left would disturb all others */
		exit(1);
	config_defaults();
	cfg.scan_workers = 1;
	cfg.timeout_scanner = 300; /* of a busy machine, with sanitizers */
	clamav_pace = (struct clamav_pace){ 100, 700, 3600000 };
	run("rm -rf db* link tmp; mkdir db tmp");
	sign("db/test.ndb", "First");
	usleep(30000); /* or it would be looked at once more: it could change unseen */
	stats_set(STAT_signature_reloads, 0);
	stats_set(STAT_signature_reloads_failed, 0);
	return 0;
}

/* A mail with WORD in it, and some text in front. */
static struct spool *
mail(size_t size)
{
	struct evbuffer *message = evbuffer_new();

	evbuffer_add_printf(message, "Subject: test\r\n\r\n");
	for (size_t i = 0; i < size; i += 64)
		evbuffer_add_printf(message, "%061zu,\r\n", i);
	evbuffer_add_printf(message, "%s\r\n", WORD);
	return spool_of(message, IN_MEMORY);
}

static struct finding
judge(void)
{
	struct judged judged;

	begin(mail(0), &judged);
	finish(&judged);
	return judged.found;
}

static void
assert_finds(const char *name)
{
	struct finding found = judge();

	assert_int_equal(found.kind, FOUND_VIRUS);
	assert_memory_equal(found.name, name, strlen(name));
}

static void
wait_for(int64_t (*what)(void), int64_t count)
{
	double end = milliseconds() + PATIENCE_MS;

	while (what() < count) {
		if (milliseconds() > end)
			fail_msg("%d loaded, %d failed", (int)reloads(),
			         (int)failures());
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(500);
	}
}

/* One more load, which ends well, and then they are found as NAME. */
static void
assert_becomes(const char *name)
{
	static int64_t before;

	before = reloads();
	for (double end = milliseconds() + PATIENCE_MS; milliseconds() < end;) {
		struct finding found = judge();

		assert_int_equal(found.kind, FOUND_VIRUS);
		if (memcmp(found.name, name, strlen(name)) == 0)
			return;
		pass(5);
	}
	fail_msg("not found as %s; %d loaded before, %d now, %d failed", name,
	         (int)before, (int)reloads(), (int)failures());
}

/* -- what is noticed ------------------------------------------------------------------ */

static void
every_kind_of_change_is_noticed(void **state)
{
	(void)state;
	world_begin_and_wait();
	assert_finds("First");
	sign("db/test.ndb", "Renamed");
	assert_becomes("Renamed");
	sign_in_place("db/test.ndb", "InPlace");
	assert_becomes("InPlace");
	write_file("db/test2.ndb", "Else:0:*:4e6f7468696e67206c696b65207468617421\n");
	wait_for(reloads, 3);
	assert_int_equal(stats_get(STAT_signatures), 2);
	run("rm db/test2.ndb");
	wait_for(reloads, 4);
	assert_int_equal(stats_get(STAT_signatures), 1);
	run("mkdir db.new");
	sign_in_place("db.new/test.ndb", "Directory");
	run("mv db db.old && mv db.new db");
	assert_becomes("Directory");
	sign_in_place("db/test.ndb", "WatchedAsWell");
	assert_becomes("WatchedAsWell");
	run("rm -r db && mkdir db");
	sign_in_place("db/test.ndb", "MadeAnew");
	assert_becomes("MadeAnew");
	world_end();
}

static void
a_path_may_be_a_file_or_a_link(void **state)
{
	(void)state;
	free(cfg.signature_path);
	cfg.signature_path = path_of("db/test.ndb");
	world_begin_and_wait();
	sign("db/other.ndb", "Other"); /* is none of our business */
	sign("db/test.ndb", "File");
	assert_becomes("File");
	sign_in_place("db/test.ndb", "Again");
	assert_becomes("Again");
	world_end();
	free(cfg.signature_path);
	cfg.signature_path = path_of("link");
	run("ln -s db link; mkdir db.new");
	sign_in_place("db.new/test.ndb", "Turned");
	world_begin_and_wait();
	run("ln -s db.new link.new && mv -T link.new link");
	assert_becomes("Turned");
	sign_in_place("db.new/test.ndb", "Behind");
	assert_becomes("Behind");
	world_end();
}

/* The same size, the same second, the same file: the last one counts. */
static void
changes_within_one_second_are_seen(void **state)
{
	char name[16];

	(void)state;
	world_begin_and_wait();
	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof name, "Name%d", i);
		sign_in_place("db/test.ndb", name);
		checks_reconfigure(checks, &cfg);
		pass(i * 3);
	}
	assert_becomes("Name5");
	world_end();
}

/* What freshclam writes beside them, and what others do next to them. */
static void
other_files_are_no_change(void **state)
{
	(void)state;
	world_begin_and_wait();
	run("echo x >db/freshclam.dat; mkdir db/tmp.12; echo x >db/tmp.12/a.ndb; "
	    "mkdir db-beside; touch db-beside/x.ndb; rm -r db/tmp.12");
	pass(400);
	checks_reconfigure(checks, &cfg);
	pass(400);
	assert_int_equal(reloads() + failures(), 0);
	world_end();
}

static void
files_being_written_are_let_be_for_a_while(void **state)
{
	char *text = signature("Slowly"), *path = path_of("db/test.ndb");
	size_t size = strlen(text);
	double begun, last, rest = 0;
	int64_t before;
	FILE *file;

	(void)state;
	clamav_pace.settle_ms = 1500; /* this process may have to rest itself */
	clamav_pace.patience_ms = 3000;
	world_begin_and_wait();
	file = fopen(path, "w");
	for (size_t i = 0; i < size; i += 8) {
		fwrite(text + i, 1, size - i < 8 ? size - i : 8, file);
		fflush(file);
		pass(40);
		assert_int_equal(reloads() + failures(), 0);
	}
	fclose(file);
	assert_becomes("Slowly");
	pass(clamav_pace.settle_ms + 500); /* what was young is looked at once more */
	before = reloads();
	begun = last = milliseconds();
	while (reloads() == before) { /* one writer that never rests */
		sign_in_place("db/test.ndb", "Restless");
		pass(20);
		rest = milliseconds() - last > rest ? milliseconds() - last : rest;
		last = milliseconds();
		assert_true(milliseconds() - begun < PATIENCE_MS);
	}
	/* On a busy machine it may have rested. */
	assert_true(milliseconds() - begun >= clamav_pace.patience_ms ||
	            rest >= clamav_pace.settle_ms);
	assert_finds(
		"Restless"); /* maybe not at the first try: it is half written at times */
	world_end();
	free(text);
	free(path);
}

static void
without_inotify_it_looks_now_and_then(void **state)
{
	enum { MOST = 4096 };
	static int taken[MOST];
	int count = 0;

	(void)state;
	clamav_pace.tick_ms = 300;
	while (count < MOST && (taken[count] = inotify_init1(IN_CLOEXEC)) >= 0)
		count++;
	assert_in_range(count, 1, MOST - 1);
	world_begin_and_wait();
	sign("db/test.ndb", "Ticked");
	wait_for(reloads, 1);
	assert_finds("Ticked");
	while (count > 0)
		close(taken[--count]);
	pass(400); /* from the next look on it listens again */
	clamav_pace.tick_ms = 3600000;
	sign("db/test.ndb", "Heard");
	assert_becomes("Heard");
	world_end();
}

/* Every name that libclamav would load, by its own word, and no other. */
static void
names_are_those_of_libclamav(void **state)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
	static const char *const more[] = { "x.yara", "x.pwdb", "x.ign2",    "x.info",
		                            "x.sign", "x.json", "x.cvd.tmp", "x.NDB",
		                            ".x.ndb", "ndb",    "x.ndb~" };
	unsigned ours = 0;
	struct cl_stat theirs = { 0 };
	char *path = path_of("db"), name[32];

	(void)state;
	assert_int_equal(chdir(path), 0);
	for (int i = 0; i < 26; i++)
		for (int k = 0; k < 26; k++)
			for (int n = 0; n <= 26; n++) { /* 26: none */
				snprintf(name, sizeof name, "x.%c%c%.1s", letters[i],
				         letters[k], &letters[n]);
				close(open(name, O_CREAT | O_WRONLY, 0600));
				ours += clamav_files_is_database(name);
			}
	for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
		close(open(more[i], O_CREAT | O_WRONLY, 0600));
		ours += clamav_files_is_database(more[i]);
	}
	assert_int_equal(cl_statinidir(path, &theirs), CL_SUCCESS);
	assert_int_equal(theirs.entries, ours + 1); /* test.ndb of setup() */
	cl_statfree(&theirs);
	assert_int_equal(chdir("/"), 0);
	free(path);
}

/* -- what is broken --------------------------------------------------------------------- */

static void
what_is_broken_changes_nothing(void **state)
{
	static const struct {
		const char *what, *how;
	} rows[] = {
		{ "zero bytes", ": >db/zero.ndb" },
		{ "zero bytes of a container", ": >db/daily.cvd" },
		{ "garbage", "head -c 3000 /dev/zero | tr '\\0' 'x' >db/test.ndb" },
		{ "cut in a line",
		  "printf 'A:0:*:414243444546\\nB:0:*:4142434' >db/x.ndb" },
		{ "bad hash", "echo 'abc:1:x' >db/x.hdb" },
		{ "bad rule", "rm db/*; echo 'rule x { st' >db/x.yar" },
		{ "a directory by that name", "mkdir db/x.ndb" },
		{ "a pipe by that name", "mkfifo db/x.ndb" },
		{ "a link that leads nowhere", "ln -s /nowhere db/x.ndb" },
		{ "nothing in it", "rm db/*" },
		{ "nothing there", "rm -r db" },
		{ "a file in its place", "rm -r db; echo hello >db" },
	};
	int64_t broken = 0, mended = 0;

	(void)state;
	world_begin_and_wait();
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		print_message("%s\n", rows[i].what);
		run("%s", rows[i].how);
		wait_for(failures, ++broken);
		assert_finds("First");
		assert_int_equal(stats_get(STAT_signatures), 1);
		pass(150); /* it is not tried over and over */
		assert_int_equal(failures(), broken);
		run("rm -rf db; mkdir db");
		sign_in_place("db/test.ndb", "First");
		wait_for(reloads, ++mended);
		assert_finds("First");
		assert_int_equal(failures(), broken);
	}
	world_end();
}

/* Then nothing is built: what is in force is what there is. */
static void
what_comes_back_is_not_loaded_again(void **state)
{
	(void)state;
	world_begin_and_wait();
	run("mv db db.away");
	wait_for(failures, 1);
	run("mv db.away db");
	pass(400);
	checks_reconfigure(checks, &cfg);
	pass(200);
	assert_int_equal(reloads(), 0);
	assert_int_equal(failures(), 1);
	assert_finds("First");
	world_end();
}

/* The files are well; it was something else, which gives no sign when it has passed. */
static void
after_a_failure_it_is_tried_again(void **state)
{
	(void)state;
	clamav_pace.tick_ms = 200;
	world_begin_and_wait();
	run("mv tmp tmp.away");
	sign("db/test.ndb", "Later");
	wait_for(failures, 3);
	run("mv tmp.away tmp");
	wait_for(reloads, 1);
	assert_finds("Later");
	world_end();
}

static void
at_the_start_too_no_directory_is_read_for_ever(void **state)
{
	char why[CLAMAV_WHY_SIZE] = "";

	(void)state;
	run("mkdir db/x.ndb");
	assert_null(checks_new(&cfg, why, sizeof why));
	assert_non_null(strstr(why, "x.ndb: is no file"));
}

/* -- a reload of the configuration -------------------------------------------------------- */

static void
a_thousand_reloads_without_a_change_load_nothing(void **state)
{
	(void)state;
	world_begin();
	for (int i = 0; i < 1000; i++) {
		checks_reconfigure(checks, &cfg);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	pass(300);
	assert_int_equal(reloads() + failures(), 0);
	world_end();
}

/* At once, and once: not as each change settles. */
static void
a_reload_sees_files_and_options(void **state)
{
	struct finding found;

	(void)state;
	clamav_pace.settle_ms = 60000;
	world_begin();
	sign("db/test.ndb", "Asked");
	pass(50);
	checks_reconfigure(checks, &cfg);
	wait_for(reloads, 1);
	assert_finds("Asked");
	cfg.scan_max_unpacked = 1024;
	checks_reconfigure(checks, &cfg);
	wait_for(reloads, 2);
	{
		struct judged judged;

		begin(mail(100000), &judged);
		finish(&judged);
		found = judged.found;
	}
	assert_int_equal(found.kind, FOUND_UNSCANNABLE);
	assert_string_equal(found.name, "too big unpacked");
	free(cfg.signature_path);
	cfg.signature_path = path_of("db2");
	checks_reconfigure(checks, &cfg);
	wait_for(failures, 1);
	checks_reconfigure(checks, &cfg); /* tries again what failed */
	wait_for(failures, 2);
	run("mkdir db2");
	sign_in_place("db2/test.ndb", "Elsewhere");
	checks_reconfigure(checks, &cfg);
	wait_for(reloads, 3);
	assert_finds("Elsewhere");
	world_end();
}

/* -- scans meanwhile ------------------------------------------------------------------------ */

static void
wait_for_loading(void)
{
	double end = milliseconds() + PATIENCE_MS;

	/* One pass each time: it may not take long. */
	while (!stats_get(STAT_signatures_loading) && milliseconds() < end)
		event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	assert_int_equal(stats_get(STAT_signatures_loading), 1);
}

static void
scanning_goes_on_while_others_are_loaded(void **state)
{
	double longest = 0, before;
	unsigned scans = 0;

	(void)state;
	world_begin_and_wait();
	sign_large("db/many.hdb");
	checks_reconfigure(checks, &cfg);
	wait_for_loading();
	while (stats_get(STAT_signatures_loading)) {
		before = milliseconds();
		assert_finds("First");
		scans += stats_get(STAT_signatures_loading) != 0;
		if (milliseconds() - before > longest)
			longest = milliseconds() - before;
	}
	print_message("%u scans meanwhile, the longest %.1f ms; loading took %d ms\n",
	              scans, longest, (int)stats_get(STAT_signature_load_ms));
	assert_int_equal(stats_get(STAT_signatures), LARGE + 1);
	assert_in_range(scans, 5, 1000000);
	world_end();
}

/* The scan has been begun: somebody does something while we do nothing. */
static void
until_it_computes(void)
{
	double end = milliseconds() + PATIENCE_MS / 10;
	clock_t begun = clock();

	while (clock() - begun < CLOCKS_PER_SEC / 50 && milliseconds() < end)
		usleep(1000);
}

/* A scan ends with the engine that it began with; what waits for a thread has the new
 * one.  A third engine is not loaded before the first is gone. */
static void
scans_under_way_keep_their_engine(void **state)
{
	struct judged slow, queued;

	(void)state;
	world_begin_and_wait();
	begin(mail(20 << 20), &slow);
	begin(mail(0), &queued);
	until_it_computes();
	sign("db/test.ndb", "Second");
	checks_reconfigure(checks, &cfg);
	wait_for(reloads, 1);
	assert_int_equal(slow.calls, 0); /* else it was not slow enough */
	sign("db/test.ndb", "Third");
	checks_reconfigure(checks, &cfg);
	pass(100);
	if (slow.calls == 0)
		assert_int_equal(reloads(), 1);
	finish(&slow);
	finish(&queued);
	assert_memory_equal(slow.found.name, "First", 5);
	assert_memory_equal(queued.found.name, "Second", 6);
	wait_for(reloads, 2);
	assert_finds("Third");
	world_end();
}

static void
in_place_gives_up_the_old_first(void **state)
{
	struct judged running, waiting[20];
	struct check_round *round;

	(void)state;
	cfg.signature_reload = SIGNATURE_RELOAD_IN_PLACE;
	world_begin_and_wait();
	sign_large("db/many.hdb");
	sign("db/test.ndb", "Second");
	begin(mail(4 << 20), &running);
	begin(mail(0), &waiting[0]); /* no thread has begun it */
	until_it_computes();
	checks_reconfigure(checks, &cfg);
	wait_for_loading();
	assert_int_equal(stats_get(STAT_signatures), 0);
	for (int i = 1; i < 20; i++)
		begin(mail(0), &waiting[i]);
	round = begin(mail(0), &waiting[7]);
	finish(&running);
	assert_memory_equal(running.found.name, "First", 5);
	assert_int_equal(reloads(), 0);
	check_cancel(round); /* its time is over */
	wait_for(reloads, 1);
	for (int i = 0; i < 20; i++)
		if (i != 7) {
			finish(&waiting[i]);
			assert_memory_equal(waiting[i].found.name, "Second", 6);
		}
	assert_int_equal(waiting[7].calls, 1); /* of the round that was not cancelled */
	world_end();
}

static void
in_place_without_signatures_scans_fail(void **state)
{
	struct judged waiting;

	(void)state;
	cfg.signature_reload = SIGNATURE_RELOAD_IN_PLACE;
	world_begin_and_wait();
	run("mv db db.away"); /* that is seen before the old one is given up */
	checks_reconfigure(checks, &cfg);
	wait_for(failures, 1);
	assert_finds("First");
	run("mv db.away db");
	sign_in_place("db/broken.ndb", "Broken:::");
	checks_reconfigure(checks, &cfg);
	wait_for_loading();
	begin(mail(0), &waiting);
	finish(&waiting);
	assert_int_equal(waiting.found.kind, FOUND_FAILED);
	assert_string_equal(waiting.found.name, "no signatures");
	wait_for(failures, 2);
	assert_int_equal(stats_get(STAT_signatures), 0);
	assert_string_equal(judge().name, "no signatures");
	run("rm db/broken.ndb");
	wait_for(reloads, 1);
	assert_finds("First");
	world_end();
}

static void
freeing_while_others_are_loaded(void **state)
{
	double begun;

	(void)state;
	for (int i = 0; i < 5; i++) {
		world_begin();
		sign_large("db/many.hdb");
		checks_reconfigure(checks, &cfg);
		wait_for_loading();
		usleep(i * 20000);
		begun = milliseconds();
		world_end();
		print_message("freed after %.1f ms\n", milliseconds() - begun);
		run("rm db/many.hdb");
	}
}

static unsigned
count_descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void
nothing_is_left_open(void **state)
{
	unsigned before = count_descriptors(), under_way;

	(void)state;
	world_begin_and_wait();
	under_way = count_descriptors();
	for (int i = 0; i < 20; i++) {
		sign("db/test.ndb", i % 2 ? "Odd" : "Even");
		checks_reconfigure(checks, &cfg);
		wait_for(reloads, i + 1);
	}
	pass(50);
	assert_int_equal(count_descriptors(), under_way);
	world_end();
	assert_int_equal(count_descriptors(), before);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		T(every_kind_of_change_is_noticed),
		T(a_path_may_be_a_file_or_a_link),
		T(changes_within_one_second_are_seen),
		T(other_files_are_no_change),
		T(files_being_written_are_let_be_for_a_while),
		T(without_inotify_it_looks_now_and_then),
		T(names_are_those_of_libclamav),
		T(what_is_broken_changes_nothing),
		T(what_comes_back_is_not_loaded_again),
		T(after_a_failure_it_is_tried_again),
		T(at_the_start_too_no_directory_is_read_for_ever),
		T(a_thousand_reloads_without_a_change_load_nothing),
		T(a_reload_sees_files_and_options),
		T(scanning_goes_on_while_others_are_loaded),
		T(scans_under_way_keep_their_engine),
		T(in_place_gives_up_the_old_first),
		T(in_place_without_signatures_scans_fail),
		T(freeing_while_others_are_loaded),
		T(nothing_is_left_open),
	};

	return cmocka_run_group_tests_name("check_clamav_reload", tests, group_setup,
	                                   group_teardown);
}
