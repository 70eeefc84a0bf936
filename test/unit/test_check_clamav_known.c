#include "clamav_world.h"
#include "header.h"

#include <dirent.h>

/*
 * Verdicts that are known: with the real libclamav, a signature of EICAR, and mails that
 * clamav_mails.py made.
 */

/* -- the world ------------------------------------------------------------------------ */

static int
setup(void **state)
{
	(void)state;
	config_defaults();
	return 0;
}

struct mail {
	char *data;
	size_t size;
	const char *header_blank;
	uint64_t header_at;
};

static struct mail
read_mail(const char *folder, const char *name)
{
	char *path = xasprintf("%s/%s", folder, name);
	struct mail mail = { 0 };

	mail.data = mail_bytes(path, &mail.size);
	free(path);
	return mail;
}

static struct check_round *
begin_in(const struct mail *mail, enum where where, struct judged *judged)
{
	struct log_ctx log = { .session = "S", .mail = 7 };
	struct evidence evidence = { .message = spool_bytes(mail->data, mail->size,
		                                            where),
		                     .log = &log,
		                     .header_blank = mail->header_blank,
		                     .header_at = mail->header_at };

	return begin_with(&evidence, judged);
}

static struct finding
judge_in(const struct mail *mail, enum where where)
{
	struct judged judged;

	begin_in(mail, where, &judged);
	finish(&judged);
	return judged.found;
}

static struct finding
judge(const struct mail *mail)
{
	return judge_in(mail, IN_MEMORY);
}

static struct finding
judge_name(const char *name)
{
	struct mail mail = read_mail("mails", name);
	struct finding found = judge(&mail);

	free(mail.data);
	return found;
}

static bool
is_known(const struct mail *mail)
{
	return judge(mail).cached;
}

/* -- what is known ---------------------------------------------------------------------- */

static void
assert_known_after(const char *name, enum finding_kind kind, const char *virus)
{
	struct mail mail = read_mail("mails", name);
	struct finding first = judge(&mail);

	assert_false(first.cached);
	for (int i = 0; i < 4; i++) {
		struct finding again = judge_in(&mail, i % 2 ? IN_FILE : IN_MEMORY);

		if (!again.cached)
			fail_msg("%s is not known", name);
		assert_int_equal(again.kind, kind);
		assert_string_equal(again.name, virus);
		assert_string_equal(again.check, "libclamav");
	}
	free(mail.data);
}

static void
a_message_that_comes_again_is_known(void **state)
{
	(void)state;
	world_begin();
	assert_known_after("clean", FOUND_NOTHING, "");
	assert_known_after("text-5000000", FOUND_NOTHING, "");
	assert_known_after("zip", FOUND_VIRUS, "Eicar-Test.UNOFFICIAL");
	assert_known_after("zip-5000000", FOUND_VIRUS, "Eicar-Test.UNOFFICIAL");
	assert_int_equal(stats_get(STAT_scan_cache_hits), 16);
	assert_int_equal(stats_get(STAT_scan_cache_misses), 4);
	assert_int_equal(stats_get(STAT_scan_cache_entries), 4);
	world_end();
}

/* Wherever it differs: at the beginning, the end, on both sides of a piece that is read. */
static void
one_byte_makes_another_message(void **state)
{
	char head[CHECK_HEAD_SIZE];
	size_t piece = 65536 - check_head(&cfg, head); /* where another one begins */
	const size_t places[] = { 0, 1, piece - 1, piece, piece + 1, 99999 };
	struct mail mail = read_mail("mails", "text-100000");

	(void)state;
	world_begin();
	assert_false(is_known(&mail));
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		assert_true(places[i] < mail.size);
		mail.data[places[i]] ^= 1;
		assert_false(judge_in(&mail, i % 2 ? IN_FILE : IN_MEMORY).cached);
		mail.data[places[i]] ^= 1;
		assert_true(judge_in(&mail, i % 2 ? IN_FILE : IN_MEMORY).cached);
	}
	mail.size--;
	assert_false(is_known(&mail));
	world_end();
	free(mail.data);
}

static void
without_room_none_is_known(void **state)
{
	struct mail mail = read_mail("mails", "zip");

	(void)state;
	cfg.scan_cache = 0;
	world_begin();
	assert_false(is_known(&mail));
	assert_false(is_known(&mail));
	assert_int_equal(stats_get(STAT_scan_cache_misses), 0);
	cfg.scan_cache = 1; /* and now there is */
	checks_reconfigure(checks, &cfg);
	assert_false(is_known(&mail));
	assert_true(is_known(&mail));
	assert_false(judge_name("clean").cached);
	assert_true(judge_name("clean").cached);
	assert_false(is_known(&mail)); /* one at a time */
	assert_int_equal(stats_get(STAT_scan_cache_entries), 1);
	cfg.scan_cache = 0;
	checks_reconfigure(checks, &cfg);
	assert_false(is_known(&mail));
	world_end();
	free(mail.data);
}

/* -- our header ---------------------------------------------------------------------------- */

struct sent {
	const char *client;
	in_port_t port;
	const char *ident, *id;
	const char *before; /* it in the message */
};

/* CONTENT as it is when our header is put in for SENT. */
static struct mail
with_header(const struct mail *content, const struct sent *sent)
{
	struct header_facts facts = { .name = "X-Nat-Received",
		                      .ident = sent->ident,
		                      .by = "gate.example",
		                      .id = sent->id,
		                      .abuse = "abuse@example.org" };
	static char header[HEADER_MAX], blank[HEADER_MAX];
	size_t before = strlen(sent->before), size;
	struct mail mail;

	assert_true(addr_parse(&facts.client, sent->client, sent->port));
	size = header_generic(&facts, header);
	facts.blank = true;
	assert_int_equal(header_generic(&facts, blank), size);
	mail = (struct mail){ .data = xmalloc(before + size + content->size),
		              .size = before + size + content->size,
		              .header_blank = blank,
		              .header_at = before };
	memcpy(mail.data, sent->before, before);
	memcpy(mail.data + before, header, size);
	memcpy(mail.data + before + size, content->data, content->size);
	return mail;
}

static void
only_port_and_id_of_our_header_do_not_count(void **state)
{
	static const struct sent first = { "192.0.2.7", 40711, "",
		                           "1795405860.abcdefgh.1", "" };
	static const struct {
		struct sent sent;
		bool known;
	} rows[] = {
		{ { "192.0.2.7", 40711, "", "1795405860.abcdefgh.1", "" }, true },
		{ { "192.0.2.7", 59999, "", "1795405999.zyxwvuts.9", "" }, true },
		{ { "192.0.2.8", 40711, "", "1795405860.abcdefgh.1", "" }, false },
		{ { "192.0.2.7", 40711, "u7", "1795405860.abcdefgh.1", "" }, false },
		{ { "192.0.2.7", 40711, "u8", "1795405860.abcdefgh.1", "" }, false },
		{ { "192.0.2.7", 711, "", "1795405860.abcdefgh.1", "" }, false },
		{ { "192.0.2.7", 40711, "", "1795405860.abcdefgh.10", "" }, false },
		{ { "192.0.2.7", 40711, "", "1795405860.abcdefgh.1", "From x\r\n" },
		  false },
		{ { "192.0.2.7", 51111, "", "1795406860.hgfedcba.2", "From x\r\n" },
		  true },
		{ { "2001:db8::1", 40711, "", "1795405860.abcdefgh.1", "" }, false },
	};
	struct mail content = read_mail("mails", "zip");
	struct mail mail = with_header(&content, &first);

	(void)state;
	world_begin();
	assert_int_equal(judge(&mail).kind, FOUND_VIRUS);
	free(mail.data);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct finding found;

		mail = with_header(&content, &rows[i].sent);
		found = judge_in(&mail, i % 2 ? IN_FILE : IN_MEMORY);
		assert_int_equal(found.kind, FOUND_VIRUS);
		if (found.cached != rows[i].known)
			fail_msg("row %zu: cached %d", i, found.cached);
		free(mail.data);
	}
	world_end();
	free(content.data);
}

/* Then it is no header of ours, and nothing may be left out; nor is more read than is
 * there. */
static void
a_header_beyond_the_end_is_none(void **state)
{
	struct mail mail = read_mail("mails", "zip");

	(void)state;
	world_begin();
	mail.header_blank = "X: 0000\r\n";
	mail.header_at = mail.size - 8;
	assert_false(is_known(&mail));
	assert_true(is_known(&mail));
	mail.data[mail.size - 1] ^= 1;
	assert_false(is_known(&mail));
	world_end();
	free(mail.data);
}

/* -- what is not kept ------------------------------------------------------------------------ */

static void
assert_never_known(const char *name, enum finding_kind kind)
{
	for (int i = 0; i < 3; i++) {
		struct finding found = judge_name(name);

		if (found.cached || found.kind != kind)
			fail_msg("%s: kind %d \"%s\"%s", name, (int)found.kind,
			         found.name, found.cached ? ", cached" : "");
	}
}

static void
what_is_neither_clean_nor_a_virus_is_not_kept(void **state)
{
	(void)state;
	cfg.scan_max_unpacked = 2000000;
	cfg.scan_max_files = 50;
	cfg.scan_max_depth = 5;
	world_begin();
	assert_never_known("deep", FOUND_UNSCANNABLE);
	assert_never_known("big-member", FOUND_UNSCANNABLE);
	assert_never_known("many-files", FOUND_UNSCANNABLE);
	assert_never_known("encrypted", FOUND_UNSCANNABLE);
	assert_never_known("broken-xz", FOUND_UNSCANNABLE);
	assert_int_equal(stats_get(STAT_scan_cache_entries), 0);
	world_end();
}

/* A virus, but libclamav had to complain about what came before it. */
static void
what_was_found_with_complaints_is_not_kept(void **state)
{
	(void)state;
	world_begin();
	assert_never_known("broken-xz+eicar", FOUND_VIRUS);
	world_end();
}

static void
what_was_not_finished_is_not_kept(void **state)
{
	(void)state;
	cfg.scan_max_unpacked = 1073741823;
	cfg.timeout_scanner = 1;
	world_begin();
	for (int i = 0; i < 2; i++) {
		struct finding found = judge_name("bomb");

		assert_false(found.cached);
		assert_int_equal(found.kind, FOUND_UNSCANNABLE);
		assert_string_equal(found.name, "timed out");
	}
	assert_int_equal(stats_get(STAT_scan_cache_entries), 0);
	world_end();
}

static void
what_was_cancelled_is_not_kept(void **state)
{
	struct mail mail = read_mail("mails", "zip-5000000");
	struct check_round *round;
	struct judged judged;

	(void)state;
	world_begin();
	for (int i = 0; i < 6; i++) {
		struct finding found;

		mail.data[mail.size - 3] = (char)('a' + i);
		round = begin_in(&mail, IN_MEMORY, &judged);
		usleep((useconds_t)i * 10000);
		check_cancel(round);
		while (stats_get(STAT_scans_now) > 0)
			event_base_loop(base, EVLOOP_ONCE);
		assert_int_equal(judged.calls, 0);
		found = judge(&mail);
		assert_int_equal(found.kind, FOUND_VIRUS);
		assert_string_equal(found.name, "Eicar-Test.UNOFFICIAL");
	}
	world_end();
	free(mail.data);
}

static void
what_failed_is_not_kept(void **state)
{
	char *elsewhere = path_of("elsewhere");

	(void)state;
	world_begin();
	assert_int_equal(rename(cfg.scan_path, elsewhere), 0);
	assert_never_known("zip", FOUND_FAILED);
	assert_never_known("clean", FOUND_FAILED);
	assert_int_equal(rename(elsewhere, cfg.scan_path), 0);
	assert_int_equal(judge_name("zip").kind, FOUND_VIRUS);
	assert_int_equal(judge_name("clean").kind, FOUND_NOTHING);
	world_end();
	free(elsewhere);
}

/* What was clean before is not believed: the disk may have been full then already. */
static void
a_shortage_makes_known_verdicts_doubtful(void **state)
{
	char *elsewhere = path_of("elsewhere");

	(void)state;
	world_begin();
	judge_name("clean");
	assert_true(judge_name("clean").cached);
	assert_int_equal(rename(cfg.scan_path, elsewhere), 0);
	assert_int_equal(judge_name("zip").kind, FOUND_FAILED); /* it is noticed */
	assert_int_equal(rename(elsewhere, cfg.scan_path), 0);
	assert_false(judge_name("clean").cached);
	assert_true(judge_name("clean").cached);
	world_end();
	free(elsewhere);
}

/* -- the same with and without ----------------------------------------------------------------- */

static void
each_mail(const char *folder, void (*each)(const char *folder, const char *name))
{
	char *path = path_of(folder);
	DIR *directory = opendir(path);
	const struct dirent *entry;

	assert_non_null(directory);
	while ((entry = readdir(directory)))
		if (entry->d_name[0] != '.' && !strstr(entry->d_name, "bomb"))
			each(folder, entry->d_name);
	closedir(directory);
	free(path);
}

static struct {
	struct finding found;
	char name[64];
} without[200];
static size_t without_count;
static unsigned cached_count;

static void
judge_without(const char *folder, const char *name)
{
	struct mail mail = read_mail(folder, name);

	assert_true(without_count < sizeof without / sizeof without[0]);
	without[without_count].found = judge(&mail);
	snprintf(without[without_count].name, sizeof without[0].name, "%s", name);
	without_count++;
	free(mail.data);
}

static void
judge_with(const char *folder, const char *name)
{
	struct mail mail = read_mail(folder, name);
	size_t at = 0;

	while (strcmp(without[at].name, name) != 0)
		assert_true(++at < without_count);
	for (int i = 0; i < 2; i++) {
		struct finding found = judge_in(&mail, i ? IN_FILE : IN_MEMORY);

		if (found.kind != without[at].found.kind ||
		    strcmp(found.name, without[at].found.name) != 0)
			fail_msg("%s: %d \"%s\", without: %d \"%s\"", name,
			         (int)found.kind, found.name,
			         (int)without[at].found.kind, without[at].found.name);
		cached_count += found.cached;
	}
	free(mail.data);
}

static void
verdicts_are_the_same_with_and_without(void **state)
{
	(void)state;
	cfg.scan_cache = 0;
	world_begin();
	each_mail("mails", judge_without);
	each_mail("shapes", judge_without);
	world_end();
	cfg.scan_cache = 10000;
	world_begin();
	each_mail("mails", judge_with);
	each_mail("shapes", judge_with);
	world_end();
	print_message("%zu mails, %u times known\n", without_count, cached_count);
	assert_true(cached_count > without_count / 2);
}

static void
threads_judge_the_same(void **state)
{
	enum { AT_ONCE = 8, ALL = 400 };
	static const char *const names[] = { "clean", "zip", "encrypted", "plain" };
	static const enum finding_kind kinds[] = { FOUND_NOTHING, FOUND_VIRUS,
		                                   FOUND_UNSCANNABLE, FOUND_VIRUS };
	struct judged judged[AT_ONCE];
	struct mail mails[4];

	(void)state;
	cfg.scan_cache = 2; /* so that there is always something to put */
	world_begin();
	for (int i = 0; i < 4; i++)
		mails[i] = read_mail("mails", names[i]);
	for (int i = 0; i < ALL; i += AT_ONCE) {
		for (int k = 0; k < AT_ONCE; k++)
			begin_in(&mails[(i / 16 + k) % 4], IN_MEMORY, &judged[k]);
		for (int k = 0; k < AT_ONCE; k++) {
			finish(&judged[k]);
			assert_int_equal(judged[k].found.kind, kinds[(i / 16 + k) % 4]);
		}
	}
	print_message("of %d: %d times known\n", ALL,
	              (int)stats_get(STAT_scan_cache_hits));
	assert_true(stats_get(STAT_scan_cache_hits) > 0);
	world_end();
	for (int i = 0; i < 4; i++)
		free(mails[i].data);
}

/* -- what it costs ------------------------------------------------------------------------------ */

static void
times(void **state)
{
	static const char *const names[] = { "text-4000", "text-100000",
		                             "text-5000000" };

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct mail mail = read_mail("mails", names[i]);
		unsigned best[2] = { ~0U, ~0U }, known = ~0U;

		for (int on = 0; on < 2; on++) {
			cfg.scan_cache = on ? 1000 : 0;
			world_begin();
			for (int k = 0; k < 3; k++) {
				struct finding found;

				mail.data[mail.size - 3] = (char)('a' + k);
				found = judge(&mail);
				if (found.scan_us < best[on])
					best[on] = found.scan_us;
				found = judge(&mail);
				assert_int_equal(found.cached, on);
				if (on && found.scan_us < known)
					known = found.scan_us;
			}
			world_end();
		}
		print_message(
			"%-14s scan %8.3f ms, with the digest %8.3f, known %.3f\n",
			names[i], best[0] / 1e3, best[1] / 1e3, known / 1e3);
		free(mail.data);
	}
}

/* -- ---------------------------------------------------------------------------------------------- */

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_message_that_comes_again_is_known),
		T(one_byte_makes_another_message),
		T(without_room_none_is_known),
		T(only_port_and_id_of_our_header_do_not_count),
		T(a_header_beyond_the_end_is_none),
		T(what_is_neither_clean_nor_a_virus_is_not_kept),
		T(what_was_found_with_complaints_is_not_kept),
		T(what_was_not_finished_is_not_kept),
		T(what_was_cancelled_is_not_kept),
		T(what_failed_is_not_kept),
		T(a_shortage_makes_known_verdicts_doubtful),
		T(verdicts_are_the_same_with_and_without),
		T(threads_judge_the_same),
		T(times),
	};

	return cmocka_run_group_tests_name("check_clamav_known", tests,
	                                   group_setup_with_mails, group_teardown);
}
