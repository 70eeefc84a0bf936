#include "quarantine_internal.h"

#include "loop.h"
#include "stats.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char head[] = "Received: from us\r\n";

enum {
	MEMORY = 4096, /* what is larger goes to a file */
	BIG = 3 << 20,
};

/* A directory for spools, one for the quarantine, and both at work. */
struct world {
	char directory[64], spools[80], kept[80];
	struct event_base *base;
	struct spool_budget *budget;
	struct quarantine *quarantine;
	struct quarantine_limits limits;
	struct addr client, server;
	struct log_ctx log;
	struct quarantine_note note;
};

static char bob[] = "bob@example.test", eve[] = "eve@example.test";
static char *const recipients[] = { bob, eve };

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct spool_limits limits = { .memory_each = MEMORY, .memory_all = 1 << 20 };

	strcpy(w->directory, "/tmp/test_quarantine.XXXXXX");
	assert_non_null(mkdtemp(w->directory));
	snprintf(w->spools, sizeof(w->spools), "%s/spools", w->directory);
	snprintf(w->kept, sizeof(w->kept), "%s/kept", w->directory);
	assert_int_equal(mkdir(w->spools, 0700) | mkdir(w->kept, 0700), 0);
	w->base = event_base_new();
	limits.path = w->spools;
	w->budget = spool_budget_new(w->base, &limits);
	w->limits.mode = 0640;
	assert_true(addr_parse(&w->client, "2001:db8::7", 4711));
	assert_true(addr_parse(&w->server, "192.0.2.25", 25));
	w->log = (struct log_ctx){ .session = "k3rrhdxz", .mail = 2 };
	w->note = (struct quarantine_note){
		.log = &w->log,
		.client = &w->client,
		.server = &w->server,
		.ident = "joe",
		.helo = "client.example",
		.sender = "ann@example.test",
		.recipients = recipients,
		.recipient_count = 2,
		.recipients_total = 2,
		.finding = "virus",
		.name = "Eicar",
		.check = "libclamav",
		.action = "refuse",
	};
	*state = w;
	return 0;
}

static void
open_quarantine(struct world *w)
{
	char why[256];

	w->quarantine = quarantine_new(w->base, w->kept, &w->limits, why, sizeof(why));
	if (!w->quarantine)
		fail_msg("%s", why);
}

static void
remove_all(const char *directory)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	assert_int_equal(system(command), 0);
}

static int
teardown(void **state)
{
	struct world *w = *state;

	quarantine_free(w->quarantine);
	spool_budget_free(w->budget);
	event_base_free(w->base);
	assert_int_equal(stats_get(STAT_spool_memory), 0);
	assert_int_equal(stats_get(STAT_spool_disk), 0);
	remove_all(w->directory);
	free(w);
	return 0;
}

static char
letter(size_t n)
{
	return (char)(n * 131 >> 3 ^ n);
}

static struct spool *
message(struct world *w, size_t size)
{
	struct spool *spool = spool_new(w->budget, head, sizeof(head) - 1, NULL, NULL);
	struct evbuffer *bytes = evbuffer_new();

	for (size_t i = 0; i < size; i++) {
		char c = letter(i);

		evbuffer_add(bytes, &c, 1);
	}
	assert_int_equal(spool_append(spool, bytes), SPOOL_OK);
	evbuffer_free(bytes);
	spool_seal(spool);
	return spool;
}

/* Keeps a message of this size, which nobody else holds. */
static bool
keep(struct world *w, size_t size, char id[static QUARANTINE_ID_SIZE])
{
	struct spool *spool = message(w, size);
	bool kept = quarantine_keep(w->quarantine, spool, &w->note, id);

	spool_drop(spool);
	return kept;
}

static char *
path_of(const struct world *w, const char *id, const char *ending)
{
	return xasprintf("%s/%s%s", w->kept, id, ending);
}

static bool
is_there(const struct world *w, const char *id, const char *ending)
{
	char *path = path_of(w, id, ending);
	bool there = access(path, F_OK) == 0;

	free(path);
	return there;
}

/* Names in the directory, those with a dot in front included. */
static unsigned
names(const char *directory)
{
	DIR *stream = opendir(directory);
	unsigned count = 0;

	while (readdir(stream))
		count++;
	closedir(stream);
	return count - 2;
}

static void
check_bytes(const struct world *w, const char *id, size_t size)
{
	char *path = path_of(w, id, ".eml");
	char *bytes = malloc(size + 1);
	int fd = open(path, O_RDONLY);
	struct stat info;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0640);
	assert_int_equal(info.st_nlink, 1);
	assert_int_equal(read(fd, bytes, size + 1), size);
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != letter(i))
			fail_msg("byte %zu is wrong", i);
	close(fd);
	free(bytes);
	free(path);
}

static json_t *
load_note(const struct world *w, const char *id)
{
	char *path = path_of(w, id, ".json"), why[256];
	int fd = open(path, O_RDONLY);
	json_t *note = note_read(fd, why, sizeof(why));

	if (!note)
		fail_msg("%s: %s", path, why);
	close(fd);
	free(path);
	return note;
}

static void
check_note(const struct world *w, const char *id, size_t size)
{
	unsigned char hash[SHA256_DIGEST_LENGTH];
	char *bytes = malloc(size + 1), words[65];
	json_t *note = load_note(w, id);

	for (size_t i = 0; i < size; i++)
		bytes[i] = letter(i);
	SHA256((unsigned char *)bytes, size, hash);
	for (int i = 0; i < 32; i++)
		snprintf(words + 2 * i, 3, "%02x", hash[i]);
	assert_string_equal(note_string(note, "sha256"), words);
	assert_string_equal(note_string(note, "id"), id);
	assert_string_equal(note_string(note, "session"), "k3rrhdxz");
	assert_int_equal(note_number(note, "mail"), 2);
	assert_int_equal(note_number(note, "size"), size);
	assert_int_equal(note_number(note, "unixtime"), store_time(id));
	assert_string_equal(note_host(note, "client"), "2001:db8::7");
	assert_int_equal(note_port(note, "client"), 4711);
	assert_string_equal(note_host(note, "server"), "192.0.2.25");
	assert_string_equal(note_string(note, "ident"), "joe");
	assert_string_equal(note_string(note, "helo"), "client.example");
	assert_string_equal(note_string(note, "sender"), "ann@example.test");
	assert_int_equal(json_array_size(json_object_get(note, "recipients")), 2);
	assert_true(json_is_true(json_object_get(note, "envelope_complete")));
	assert_true(json_is_false(json_object_get(note, "authenticated")));
	assert_true(json_is_null(json_object_get(note, "user")));
	assert_true(json_is_false(json_object_get(note, "binarymime")));
	assert_string_equal(note_string(note, "finding"), "virus");
	assert_string_equal(note_string(note, "name"), "Eicar");
	assert_string_equal(note_string(note, "check"), "libclamav");
	assert_string_equal(note_string(note, "action"), "refuse");
	json_decref(note);
	free(bytes);
}

/* ---- keeping ------------------------------------------------------------------------- */

/* Of every size: nothing, in memory, in a file, of many steps. */
static void
the_message_is_kept_byte_for_byte(void **state)
{
	static const size_t sizes[] = { 0, 1, MEMORY, MEMORY + 1, BIG, BIG + 1 };
	struct world *w = *state;
	char id[QUARANTINE_ID_SIZE];

	open_quarantine(w);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_true(keep(w, sizes[i], id));
		LOOP_UNTIL(w->base, is_there(w, id, ".json"));
		check_bytes(w, id, sizes[i]);
		check_note(w, id, sizes[i]);
		w->log.mail = 2;
	}
	assert_int_equal(names(w->kept), 12);
	assert_int_equal(stats_get(STAT_quarantine_now), 6);
}

/* The file of a large one is there without a turn of the loop, and is not a copy. */
static void
a_file_gets_its_name_at_once(void **state)
{
	struct world *w = *state;
	char id[QUARANTINE_ID_SIZE];

	open_quarantine(w);
	assert_true(keep(w, BIG, id));
	check_bytes(w, id, BIG);
	assert_false(is_there(w, id, ".json"));
	assert_int_equal(names(w->kept), 1);
}

/* Of the loop's thread: how much it does, however busy the machine is. */
static double
processor_seconds(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* No single turn takes long, whatever the size: a timer is seldom late. */
static void
large_messages_do_not_stall_the_loop(void **state)
{
	struct world *w = *state;
	char ids[8][QUARANTINE_ID_SIZE];
	double longest = 0;

	open_quarantine(w);
	for (size_t i = 0; i < 8; i++)
		assert_true(keep(w, BIG, ids[i]));
	while (!is_there(w, ids[7], ".json")) {
		double before = processor_seconds();

		event_base_loop(w->base, EVLOOP_ONCE);
		if (processor_seconds() - before > longest)
			longest = processor_seconds() - before;
	}
	for (size_t i = 0; i < 8; i++)
		check_note(w, ids[i], BIG);
	assert_true(longest < 0.1); /* all of it takes 8 * 12 such turns */
}

/* A quarantine on a file system of its own, where nothing can be linked to. */
static void
other_file_systems_get_a_copy(void **state)
{
	struct world *w = *state;
	char id[QUARANTINE_ID_SIZE];

	if (geteuid() != 0 || mount("none", w->kept, "tmpfs", 0, "size=8m") != 0)
		skip();
	open_quarantine(w);
	assert_true(keep(w, BIG, id));
	assert_false(is_there(w, id, ".eml"));
	LOOP_UNTIL(w->base, is_there(w, id, ".json"));
	check_bytes(w, id, BIG);
	check_note(w, id, BIG);
	assert_int_equal(names(w->kept), 2);
	quarantine_free(w->quarantine);
	w->quarantine = NULL;
	umount(w->kept);
}

/* Nothing is left of one for which there is no room, and the next small one is kept. */
static void
a_full_disk_is_told(void **state)
{
	struct world *w = *state;
	int64_t failed = stats_get(STAT_quarantine_failed);
	char id[QUARANTINE_ID_SIZE];

	if (geteuid() != 0 || mount("none", w->kept, "tmpfs", 0, "size=1m") != 0)
		skip();
	open_quarantine(w);
	assert_true(keep(w, BIG, id));
	LOOP_UNTIL(w->base, stats_get(STAT_quarantine_failed) > failed);
	assert_int_equal(stats_get(STAT_quarantine_failed), failed + 1);
	assert_int_equal(names(w->kept), 0);
	assert_int_equal(stats_get(STAT_quarantine_now), 0);
	assert_int_equal(stats_get(STAT_quarantine_bytes), 0);
	assert_true(keep(w, 1000, id));
	LOOP_UNTIL(w->base, is_there(w, id, ".json"));
	check_note(w, id, 1000);
	quarantine_free(w->quarantine);
	w->quarantine = NULL;
	umount(w->kept);
}

static void
what_is_under_way_at_the_end_is_finished(void **state)
{
	struct world *w = *state;
	char small[QUARANTINE_ID_SIZE], large[QUARANTINE_ID_SIZE];

	open_quarantine(w);
	assert_true(keep(w, 100, small));
	assert_true(keep(w, BIG, large));
	quarantine_free(w->quarantine);
	w->quarantine = NULL;
	check_note(w, small, 100);
	check_note(w, large, BIG);
}

static void
a_directory_that_cannot_be_is_told(void **state)
{
	struct world *w = *state;
	char why[256];

	strcat(w->kept, "/none");
	assert_null(quarantine_new(w->base, w->kept, &w->limits, why, sizeof(why)));
	assert_non_null(strstr(why, w->kept));
	assert_non_null(strstr(why, strerror(ENOENT)));
}

/* ---- what peers say ---------------------------------------------------------------------- */

static void
check_evil(struct world *w, const char *evil, const char *becomes, bool complete)
{
	char id[QUARANTINE_ID_SIZE];
	json_t *note;

	w->note.sender = w->note.helo = w->note.ident = w->note.name = evil;
	w->note.recipients = (char *const *)&evil;
	w->note.recipient_count = w->note.recipients_total = 1;
	assert_true(keep(w, 10, id));
	LOOP_UNTIL(w->base, is_there(w, id, ".json"));
	note = load_note(w, id);
	assert_string_equal(note_string(note, "sender"), becomes);
	assert_string_equal(note_string(note, "helo"), becomes);
	assert_string_equal(note_string(note, "ident"), becomes);
	assert_string_equal(note_string(note, "name"), becomes);
	assert_string_equal(json_string_value(json_array_get(
				    json_object_get(note, "recipients"), 0)),
	                    becomes);
	assert_int_equal(json_is_true(json_object_get(note, "envelope_complete")),
	                 complete);
	json_decref(note);
}

/* Whatever they send, the note is JSON, and says whether the envelope is exact. */
static void
texts_of_peers_are_data(void **state)
{
	struct world *w = *state;
	char endless[3000];

	memset(endless, '"', sizeof(endless) - 1);
	endless[sizeof(endless) - 1] = '\0';
	open_quarantine(w);
	check_evil(w, "", "", true);
	check_evil(w, "../../etc/passwd\", \"x\": {", "../../etc/passwd\", \"x\": {",
	           true);
	check_evil(w, "\x1b[2J\r\n\t\x01\x7f", "\x1b[2J\r\n\t\x01\x7f", true);
	check_evil(w, "J\xc3\xb6rg@\xf0\x9f\x90\xa7.test",
	           "J\xc3\xb6rg@\xf0\x9f\x90\xa7.test", true);
	check_evil(w, "J\xf6rg", "J\xef\xbf\xbdrg", false);
	check_evil(w, "\xc0\xaf\xed\xa0\x80\xff\xf4\x90\x80\x80",
	           "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
	           "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd",
	           false);
	check_evil(w, "cut\xe2\x82", "cut\xef\xbf\xbd\xef\xbf\xbd", false);
	check_evil(w, "%s%n", "%s%n", true);
	check_evil(w, endless, endless, true);
}

/* A terminal that shows the file is safe. */
static void
the_note_is_printable_ascii(void **state)
{
	struct world *w = *state;
	json_t *note;
	char *text;

	w->note.helo = "\x1b]0;\xc2\x9b"
		       "31m\xe2\x80\xae \xff";
	note = note_new("20260101T000000Z-a-1", 0, &w->note, 1);
	text = note_text(note);
	for (const char *c = text; *c; c++)
		if (*c != '\n' && (*c < 32 || *c > 126))
			fail_msg("byte %02x", (unsigned char)*c);
	assert_non_null(strstr(text, "\"\\u001B]0;\\u009B31m\\u202E \\uFFFD\""));
	free(text);
	json_decref(note);
}

static void
an_envelope_that_is_not_known_is_not_complete(void **state)
{
	struct world *w = *state;
	json_t *note;

	w->note.recipients_total = 3;
	w->note.authenticated = true;
	w->note.user = "j\xff\x01";
	w->note.binary = true;
	note = note_new("20260101T000000Z-a-1", 0, &w->note, 1);
	assert_true(json_is_false(json_object_get(note, "envelope_complete")));
	assert_true(json_is_true(json_object_get(note, "authenticated")));
	assert_string_equal(note_string(note, "user"), "j\xef\xbf\xbd\x01");
	assert_true(json_is_true(json_object_get(note, "binarymime")));
	json_decref(note);
	w->note.recipients_total = 2;
	w->note.sender = NULL;
	note = note_new("20260101T000000Z-a-1", 0, &w->note, 1);
	assert_true(json_is_false(json_object_get(note, "envelope_complete")));
	assert_true(json_is_null(json_object_get(note, "sender")));
	json_decref(note);
}

/* ---- names --------------------------------------------------------------------------------- */

static void
ids_are_ours(void **state)
{
	static const char *const right[] = { "20261123T033012Z-k3rrhdxz-1",
		                             "19700101T000000Z-0-4294967295-9" };
	static const char *const wrong[] = {
		"",
		".",
		"..",
		"20261123T033012Z",
		"20261123T033012Z-",
		"20261123T033012Z-k3rrhdxz",
		"20261123T033012Z-k3rrhdxz-",
		"20261123T033012Z--1",
		"20261123T033012Z-k3rrhdxz-1-",
		"20261123T033012Z-k3rrhdxz-1-x",
		"20261123T033012Z-k3rrhdxz-1-2-3",
		"20261123T033012Z-k3rrhdxz-12345678901",
		"20261123T033012Z-twelveletters-1",
		"20261123T033012Z-../../etc-1",
		"20261123T033012Z-k3rrhdxz-1/../x",
		"20261123T033012Z-k3rrhdxz-1.eml",
		"2026112xT033012Z-k3rrhdxz-1",
		"../20261123T033012Z-k3rrhdxz-1",
	};
	struct log_ctx log = { .session = "k3rrhdxz", .mail = 1 };
	char id[QUARANTINE_ID_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
		assert_true(store_is_id(right[i]));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (store_is_id(wrong[i]))
			fail_msg("%s", wrong[i]);
	store_id(id, 1795404612, &log, 0);
	assert_string_equal(id, "20261123T033012Z-k3rrhdxz-1");
	assert_int_equal(store_time(id), 1795404612);
	store_id(id, 1795404612, &log, 3);
	assert_string_equal(id, "20261123T033012Z-k3rrhdxz-1-3");
	log = (struct log_ctx){ .session = "elevenchars", .mail = 4294967295 };
	store_id(id, 253402300799, &log, 9);
	assert_true(store_is_id(id));
}

/* Two of one session in one second get two names. */
static void
names_that_are_taken_are_not_used(void **state)
{
	struct world *w = *state;
	char ids[3][QUARANTINE_ID_SIZE];

	open_quarantine(w);
	for (int i = 0; i < 3; i++)
		assert_true(keep(w, i == 1 ? BIG : 10, ids[i]));
	LOOP_UNTIL(w->base, is_there(w, ids[2], ".json"));
	assert_int_equal(names(w->kept), 6);
	check_bytes(w, ids[0], 10);
	check_bytes(w, ids[1], BIG);
}

/* ---- what others plant ------------------------------------------------------------------------ */

/* Plants something under each name that the next message could get. */
static void
plant(const struct world *w, const char *format,
      void (*make)(const char *path, const char *victim), const char *victim)
{
	for (time_t at = time(NULL) - 1; at < time(NULL) + 6; at++) {
		char id[QUARANTINE_ID_SIZE], *path;

		store_id(id, at, &w->log, 0);
		path = xasprintf(format, w->kept, id);
		make(path, victim);
		free(path);
	}
}

static void
make_symlink(const char *path, const char *victim)
{
	assert_int_equal(symlink(victim, path), 0);
}

static void
make_link(const char *path, const char *victim)
{
	assert_int_equal(link(victim, path), 0);
}

static void
make_pipe(const char *path, const char *victim)
{
	(void)victim;
	assert_int_equal(mkfifo(path, 0666), 0);
}

static void
make_directory(const char *path, const char *victim)
{
	(void)victim;
	assert_int_equal(mkdir(path, 0777), 0);
}

/* Nothing is written through it, nothing waits for it, and the message is kept. */
static void
planted_files_are_harmless(void **state)
{
	static void (*const makes[])(const char *,
	                             const char *) = { make_symlink, make_link,
		                                       make_pipe, make_directory };
	static const char *const formats[] = { "%s/%s.eml", "%s/%s.json" };
	struct world *w = *state;
	char *victim = xasprintf("%s/victim", w->directory);
	struct stat info;
	int fd;

	fd = open(victim, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, "precious", 8), 8);
	close(fd);
	for (size_t i = 0; i < 16; i++) {
		size_t size = i & 1 ? BIG : 10;
		char id[QUARANTINE_ID_SIZE];

		open_quarantine(w);
		plant(w, formats[i / 2 % 2], makes[i / 4], victim);
		assert_true(keep(w, size, id));
		LOOP_UNTIL(w->base, is_there(w, id, ".json"));
		check_bytes(w, id, size);
		check_note(w, id, size);
		quarantine_free(w->quarantine);
		w->quarantine = NULL;
		assert_int_equal(stat(victim, &info), 0);
		assert_int_equal(info.st_size, 8);
		assert_int_equal(info.st_mode & 07777, 0600);
		remove_all(w->kept);
		assert_int_equal(mkdir(w->kept, 0700), 0);
	}
	free(victim);
}

/* A half name that is taken: by a crash, or by somebody. */
static void
half_names_that_are_taken_are_no_way_in(void **state)
{
	struct world *w = *state;
	char *victim = xasprintf("%s/victim", w->directory);
	char id[QUARANTINE_ID_SIZE];

	open_quarantine(w);
	plant(w, "%s/.%s.eml.tmp", make_symlink, victim);
	assert_true(keep(w, 10, id));
	LOOP_UNTIL(w->base, is_there(w, id, ".json"));
	check_bytes(w, id, 10);
	assert_int_not_equal(access(victim, F_OK), 0);
	free(victim);
}

/* What is not an ordinary file of one name is not read. */
static void
planted_files_are_not_read(void **state)
{
	static const char id[] = "20261123T033012Z-k3rrhdxz-1";
	static void (*const makes[])(const char *,
	                             const char *) = { make_symlink, make_link,
		                                       make_pipe, make_directory };
	struct world *w = *state;
	char *victim = xasprintf("%s/victim", w->directory);
	char *path = path_of(w, id, ".eml");
	int directory = store_open(w->kept);

	close(open(victim, O_CREAT | O_WRONLY, 0600));
	for (size_t i = 0; i < 4; i++) {
		makes[i](path, victim);
		assert_int_equal(store_read(directory, id, STORE_MESSAGE), -1);
		remove(path);
	}
	assert_int_equal(store_read(directory, id, STORE_MESSAGE), -1);
	assert_int_equal(errno, ENOENT);
	close(directory);
	free(victim);
	free(path);
}

/* ---- room --------------------------------------------------------------------------------------- */

static void
write_file(const struct world *w, const char *id, const char *ending, size_t size)
{
	char *path = path_of(w, id, ending);
	int fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	close(fd);
	free(path);
}

/* As another daemon, or this one before, has left it. */
static void
leave(const struct world *w, time_t at, size_t size)
{
	struct log_ctx log = { .session = "before", .mail = 1 };
	char id[QUARANTINE_ID_SIZE];

	store_id(id, at, &log, 0);
	write_file(w, id, ".eml", size);
	write_file(w, id, ".json", 100);
}

/* The oldest go, those of before first, and never more than needed. */
static void
the_oldest_make_room(void **state)
{
	struct world *w = *state;
	int64_t dropped = stats_get(STAT_quarantine_dropped);
	char ids[8][QUARANTINE_ID_SIZE];

	w->limits.size = 5 * store_entry("", 10000).charge;
	leave(w, time(NULL) - 100, 10000);
	leave(w, time(NULL) - 200, 10000);
	write_file(w, "README", "", 1 << 20); /* not ours */
	open_quarantine(w);
	LOOP_UNTIL(w->base, stats_get(STAT_quarantine_now) == 2);
	for (unsigned i = 0; i < 8; i++) {
		w->log.mail = i;
		assert_true(keep(w, 10000, ids[i]));
		LOOP_UNTIL(w->base, is_there(w, ids[i], ".json") &&
		                            stats_get(STAT_quarantine_bytes) <=
		                                    (int64_t)w->limits.size);
		assert_true(stats_get(STAT_quarantine_bytes) <=
		            (int64_t)w->limits.size);
	}
	assert_int_equal(stats_get(STAT_quarantine_dropped) - dropped, 5);
	assert_int_equal(names(w->kept), 11);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(is_there(w, ids[i], ".eml"), i >= 3);
		assert_int_equal(is_there(w, ids[i], ".json"), i >= 3);
	}
	assert_true(is_there(w, "README", ""));
}

static void
one_that_is_larger_than_all_is_not_kept(void **state)
{
	struct world *w = *state;
	int64_t failed = stats_get(STAT_quarantine_failed);
	char id[QUARANTINE_ID_SIZE];

	w->limits.size = 100000;
	leave(w, time(NULL) - 100, 10000);
	open_quarantine(w);
	assert_false(keep(w, BIG, id));
	loop_turn(w->base, 20);
	assert_int_equal(names(w->kept), 2);
	assert_int_equal(stats_get(STAT_quarantine_failed), failed + 1);
}

/* At the start, and while it runs. */
static void
the_aged_go(void **state)
{
	struct world *w = *state;
	char id[QUARANTINE_ID_SIZE];

	w->limits.age = 60;
	leave(w, time(NULL) - 61, 10);
	leave(w, time(NULL) - 58, 10);
	leave(w, time(NULL) - 7200, 10);
	leave(w, time(NULL) + 1000000, 10); /* the clock was wrong */
	open_quarantine(w);
	LOOP_UNTIL(w->base, names(w->kept) == 4);
	assert_int_equal(names(w->kept), 4);
	assert_true(keep(w, 10, id));
	w->limits.age = 1;
	quarantine_set(w->quarantine, &w->limits);
	LOOP_UNTIL(w->base, names(w->kept) == 2);
	assert_int_equal(names(w->kept), 2);
	assert_false(is_there(w, id, ".eml"));
}

/* What is deleted by hand counts no more: others need not go. */
static void
what_others_delete_makes_room(void **state)
{
	enum { MANY = 16, DELETED = 5 };
	struct world *w = *state;
	int directory = store_open(w->kept);
	char id[QUARANTINE_ID_SIZE];
	time_t begin = time(NULL) - 100;

	w->limits.size = MANY * store_entry("", 10000).charge;
	for (int i = 0; i < MANY; i++)
		leave(w, begin + i, 10000);
	open_quarantine(w);
	assert_int_equal(stats_get(STAT_quarantine_now), MANY);
	for (int i = 1; i <= DELETED; i++) {
		struct log_ctx log = { .session = "before", .mail = 1 };

		store_id(id, begin + i, &log, 0);
		assert_true(store_remove(directory, id));
	}
	sleep(6); /* names are not looked at more often */
	assert_true(keep(w, 10000, id));
	LOOP_UNTIL(w->base, stats_get(STAT_quarantine_now) == MANY - DELETED + 1);
	loop_turn(w->base, 20);
	assert_int_equal(stats_get(STAT_quarantine_now), MANY - DELETED + 1);
	assert_int_equal(names(w->kept), 2 * (MANY - DELETED + 1));
	close(directory);
}

/* Litter of a crash: half files go after an hour, notes without a message with the time. */
static void
litter_is_removed(void **state)
{
	struct world *w = *state;
	struct timespec long_ago[2] = { { time(NULL) - 4000, 0 },
		                        { time(NULL) - 4000, 0 } };
	char *path = path_of(w, ".20200101T000000Z-old-1", ".eml.tmp");

	write_file(w, ".20200101T000000Z-old-1", ".eml.tmp", 100);
	assert_int_equal(utimensat(AT_FDCWD, path, long_ago, 0), 0);
	write_file(w, ".20200101T000000Z-new-1", ".eml.tmp", 100);
	write_file(w, "20200101T000000Z-lone-1", ".json", 100);
	w->limits.age = 3600;
	open_quarantine(w);
	LOOP_UNTIL(w->base, names(w->kept) == 1);
	assert_int_equal(names(w->kept), 1);
	assert_true(is_there(w, ".20200101T000000Z-new-1", ".eml.tmp"));
	free(path);
}

/* Ten thousand messages: all are known, and a hundred drops need no long turn. */
static void
many_are_dropped_in_small_steps(void **state)
{
	enum { MANY = 5000 };
	struct world *w = *state;
	double longest = 0;

	for (int i = 0; i < MANY; i++)
		leave(w, time(NULL) - 2 * MANY + i, 10);
	open_quarantine(w);
	LOOP_UNTIL(w->base, stats_get(STAT_quarantine_now) == MANY);
	assert_int_equal(stats_get(STAT_quarantine_now), MANY);
	w->limits.size = 1000 * store_entry("", 10).charge;
	quarantine_set(w->quarantine, &w->limits);
	while (stats_get(STAT_quarantine_now) > 1000) {
		double before = processor_seconds();

		event_base_loop(w->base, EVLOOP_ONCE);
		if (processor_seconds() - before > longest)
			longest = processor_seconds() - before;
	}
	assert_int_equal(names(w->kept), 2000);
	assert_true(longest < 0.1);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_WORLD(the_message_is_kept_byte_for_byte),
		IN_WORLD(a_file_gets_its_name_at_once),
		IN_WORLD(large_messages_do_not_stall_the_loop),
		IN_WORLD(other_file_systems_get_a_copy),
		IN_WORLD(a_full_disk_is_told),
		IN_WORLD(what_is_under_way_at_the_end_is_finished),
		IN_WORLD(a_directory_that_cannot_be_is_told),
		IN_WORLD(texts_of_peers_are_data),
		IN_WORLD(the_note_is_printable_ascii),
		IN_WORLD(an_envelope_that_is_not_known_is_not_complete),
		cmocka_unit_test(ids_are_ours),
		IN_WORLD(names_that_are_taken_are_not_used),
		IN_WORLD(planted_files_are_harmless),
		IN_WORLD(half_names_that_are_taken_are_no_way_in),
		IN_WORLD(planted_files_are_not_read),
		IN_WORLD(the_oldest_make_room),
		IN_WORLD(one_that_is_larger_than_all_is_not_kept),
		IN_WORLD(the_aged_go),
		IN_WORLD(what_others_delete_makes_room),
		IN_WORLD(litter_is_removed),
		IN_WORLD(many_are_dropped_in_small_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
