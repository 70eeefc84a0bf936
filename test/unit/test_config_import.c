#include "config_rows.h"

#define ROUTER       SOURCE_DIR "/test/data/router-1.4.conf"
#define ROUTER_TODAY SOURCE_DIR "/test/data/router.conf"
#define EVERYTHING   SOURCE_DIR "/test/data/all-1.4.conf"

/* ---- tools -------------------------------------------------------------------------- */

static char *
read_whole(const char *file)
{
	FILE *in = fopen(file, "re");
	char *text = xcalloc(1, 65536);

	if (!in)
		fail_msg("%s cannot be opened", file);
	assert_in_range(fread(text, 1, 65535, in), 1, 65534);
	fclose(in);
	return text;
}

static struct config *
load_text(const char *text)
{
	char *file = config_row_write(text, strlen(text)), why[1024];
	struct config *cfg = config_load(file, why, sizeof(why), NULL, NULL);

	if (!cfg)
		print_error("%s\nin\n%s", why, text);
	unlink(file);
	free(file);
	return cfg;
}

/* What is printed, or "!" and the complaint without the name of the file. */
static char *
import_text(const char *text)
{
	char *file = config_row_write(text, strlen(text)), why[1024], *out_text;
	size_t size;
	FILE *out = open_memstream(&out_text, &size);
	bool good = config_import(file, out, why, sizeof(why), NULL, NULL);

	assert_int_equal(ftell(out) > 0 && !good, false);
	if (!good) {
		assert_memory_equal(why, file, strlen(file));
		fprintf(out, "!%s", why + strlen(file));
	}
	fclose(out);
	unlink(file);
	free(file);
	return out_text;
}

static size_t
count_lines(const char *text)
{
	size_t lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

/* The file of 1.4 and what it was turned into lead to the same, line by line. */
static void
check_same(const char *old_text, const char *new_text)
{
	struct config *old = load_text(old_text), *new = load_text(new_text);

	assert_non_null(old);
	assert_non_null(new);
	assert_false(new->legacy);
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE; opt++)
		if (!option_equal(opt, old, new))
			fail_msg("%s is not the same in\n%s", opt->name, new_text);
	assert_int_equal(count_lines(new_text), count_lines(old_text));
	config_drop(old);
	config_drop(new);
}

/* ---- files -------------------------------------------------------------------------- */

static void
test_router(void **state)
{
	char *old = read_whole(ROUTER), *today = read_whole(ROUTER_TODAY);
	char *imported = import_text(old);

	(void)state;
	assert_string_equal(imported, today);
	check_same(old, imported);
	free(imported);
	free(today);
	free(old);
}

/* The same file with the ends of lines of DOS, and with none at its end. */
static void
test_other_ends_of_lines(void **state)
{
	char *old = read_whole(ROUTER), *today = read_whole(ROUTER_TODAY), *imported;
	char *dos = xcalloc(2, strlen(old) + 1), *to = dos;

	(void)state;
	for (const char *at = old; *at; at++) {
		if (*at == '\n')
			*to++ = '\r';
		*to++ = *at;
	}
	imported = import_text(dos);
	assert_string_equal(imported, today);
	free(imported);
	old[strlen(old) - 1] = '\0';
	today[strlen(today) - 1] = '\0';
	imported = import_text(old);
	assert_string_equal(imported, today);
	free(imported);
	free(dos);
	free(today);
	free(old);
}

static void
test_every_option_together(void **state)
{
	char *old = read_whole(EVERYTHING), *imported = import_text(old);

	(void)state;
	check_same(old, imported);
	free(imported);
	free(old);
}

/* Each line alone: an option with its effect, or a comment that says that it has none. */
static void
test_every_option_alone(void **state)
{
	char *old = read_whole(EVERYTHING), *rest, words[256];
	unsigned count = 0;

	(void)state;
	for (char *line = strtok_r(old, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		size_t size = strcspn(line, " ");
		char *imported, *expected, *value;

		if (strchr("#;", *line))
			continue;
		imported = import_text(line);
		value = line + size + strspn(line + size, " ");
		if (option_find(line, size)) {
			expected = xasprintf("%.*s = ", (int)size, line);
			assert_memory_equal(imported, expected, strlen(expected));
		} else {
			assert_true(
				config_old_option(line, size, words, sizeof(words)));
			expected = xasprintf("# %.*s%s%s   # %s", (int)size, line,
			                     *value ? " " : "", value, words);
			if (strncmp(line, "ratelimit_expiration", size) == 0) {
				free(expected);
				expected = xstrdup("ratelimit_period = 0   # was "
				                   "ratelimit_expiration");
			}
			assert_string_equal(imported, expected);
		}
		check_same(line, imported);
		free(expected);
		free(imported);
		count++;
	}
	assert_in_range(count, 140, 160);
	free(old);
}

/* ---- lines -------------------------------------------------------------------------- */

static const struct config_row rows[] = {
	/* what stays as it is */
	{ "", "" },
	{ "\n", "\n" },
	{ "# only\n  ; comments  \n\n#\r\n", "# only\n  ; comments\n\n#\n" },
	{ "#\tport 25 \"${HOME} /* \\ \033[1m\nport 25",
	  "#\tport 25 \"${HOME} /* \\ \033[1m\nport = 25" },
	{ ";;; /*\nport 25\n#*/\n", ";;; /*\nport = 25\n#*/\n" },
	/* another name */
	{ "ratelimit_expiration 3600\n",
	  "ratelimit_period = 3600   # was ratelimit_expiration\n" },
	{ "ratelimit_expiration 0x10 # old\n",
	  "ratelimit_period = 16   # was ratelimit_expiration   # old\n" },
	{ "ratelimit_expiration often\n", "!:1: ratelimit_period: \"often\" is no "
	                                  "whole number or has an unknown unit; "
	                                  "allowed: 0 to 31536000 s, or with m, h, d" },
	/* numbers */
	{ "port\t 25 \t\n", "port = 25\n" },
	{ "port 0x19\n", "port = 25\n" },
	{ "port 25#\n", "!:1: port: \"25#\" is no whole number; allowed: 1 to 65535" },
	{ "port 031 ;the usual\n", "port = 25   #the usual\n" },
	{ "port 25 # a ; b \"\n", "port = 25   # a ; b \"\n" },
	{ "scan_max_size 5M\n", "scan_max_size = 5M\n" },
	{ "antivirus_type off\nscan_max_size 0 # none\n",
	  "antivirus_type = {off}\n# scan_max_size   # was 0   # none\n" },
	{ "spool_header X\nscan_max_size 0x1000K\n",
	  "spool_header = \"X\"\nscan_max_size = 4194304\n" },
	{ "statefile_perm 0640\n", "statefile_perm = 0640\n" },
	{ "statefile_perm 416\n", "statefile_perm = 0640\n" },
	{ "statefile_perm 0\n", "statefile_perm = 0\n" },
	{ "timeout_idle 0 # never\n", "timeout_idle = 86400   # was 0   # never\n" },
	{ "pipeline_size 99999999\n", "pipeline_size = 4096   # was 99999999\n" },
	/* words */
	{ "forbid_starttls ON\nlog_level 7 # all\n",
	  "forbid_starttls = ON\nlog_level = 7   # all\n" },
	{ "lock_on never, virus,spam\n",
	  "lock_on = {virus, spam}   # was never, virus,spam\n" },
	{ "log_level warn\n", "log_level = warning   # was warn\n" },
	{ "outgoing_addr 0.0.0.0\n", "outgoing_addr = \"\"   # was 0.0.0.0\n" },
	{ "statefile_type slots , flat\n", "statefile_type = {slots, flat}\n" },
	{ "statefile_type 2\n", "statefile_type = {flat}   # was 2\n" },
	{ "bind_address 10.0.0.1,::1\n", "bind_address = {\"10.0.0.1\", \"::1\"}\n" },
	{ "log_level \"info\"\n",
	  "!:1: log_level: no such word: \"\"info\"\"; allowed: emerg, alert, crit, "
	  "err, warning, notice, info, debug" },
	/* strings */
	{ "msg_hello \"\\\\\" '${X}' $(id) # ; // /* {a} = b,+*\n",
	  "msg_hello = \"\\\"\\\\\\\\\\\" '\\${X}' \\$(id) # ; // /* {a} = b,+*\"\n" },
	{ "msg_hello \\\n", "msg_hello = \"\\\\\"\n" },
	{ "msg_hello a\tb \t \r\n", "msg_hello = \"a\tb\"\n" },
	{ "msg_hello\n", "msg_hello = \"\"\n" },
	{ "msg_hello \xC5\xBC\xF1\n", "msg_hello = \"\xC5\xBC\xF1\"\n" },
	{ "msg_hello a\rb\n", "!:1: there is a control character in a string" },
	/* without effect */
	{ "msg_nomem\n",
	  "# msg_nomem   # has no effect any more: this cannot happen any "
	  "more\n" },
	{ "\tpid_hash_size a , b # c\n", "# pid_hash_size a , b # c   # has no effect "
	                                 "any more: there is no such table "
	                                 "any more\n" },
	{ "msg_nomem \"${x}\" */ \\\n",
	  "# msg_nomem \"${x}\" */ \\   # has no effect any "
	  "more: this cannot happen any more\n" },
	/* given twice */
	{ "port 25\nport 26\n", "port = 25\nport = 26\n" },
	{ "bind_address ::1\nbind_address 10.0.0.1\n",
	  "bind_address = {\"::1\"}\nbind_address = {\"10.0.0.1\"}\n" },
	{ "statefile_type flat\nstatefile_type human\n",
	  "statefile_type = {flat}\nstatefile_type = {human}\n" },
	/* what config_load() refuses as well */
	{ "\nprot 25\n", "!:2: no such option: \"prot\"; did you mean \"port\"?" },
	{ "dspam_storage /x\n",
	  "!:1: dspam_storage: cannot be used any more: DSPAM is no "
	  "longer supported; delete it" },
	{ "mode pf\n",
	  "!:1: mode: \"pf\" is for BSD systems, and this one is for Linux; "
	  "allowed: fixed, \"fixed+xclient\", netfilter, tproxy, \"tproxy,netfilter\", "
	  "getsockname, remote-udp, remote" },
	{ "mode tproxy,netfilter\n", "mode = \"tproxy,netfilter\"\n" },
	{ "mode fixed\n",
	  "!:1: mode: fixed needs fixed_server, an address or a host name" },
	{ "port 25\nport = 26\n",
	  "!:2: port: there is a \"=\", but the file began in the "
	  "syntax of 1.4, which has none; write all lines one "
	  "way" },
	/* what is not of 1.4 */
	{ "# today\nport = 25\n",
	  "!: is not in the syntax of smtp-gated 1.4 (\"name value\", without \"=\"): "
	  "there is nothing to convert" },
	{ "// port 25\n",
	  "!: is not in the syntax of smtp-gated 1.4 (\"name value\", without \"=\"): "
	  "there is nothing to convert" },
};

static char *
outcome_of_import(const char *text)
{
	char *outcome = import_text(text);

	if (*outcome != '!')
		check_same(text, outcome);
	return outcome;
}

static void
test_lines(void **state)
{
	(void)state;
	config_rows_check(rows, sizeof(rows) / sizeof(rows[0]), outcome_of_import);
}

/* ---- lengths ------------------------------------------------------------------------ */

static char *
long_line(const char *begin, char filling, size_t size)
{
	char *line = xasprintf("%s%*s\n", begin, (int)size, ""), *at = line;

	for (at += strlen(begin); *at == ' '; at++)
		*at = filling;
	return line;
}

static void
test_long_lines(void **state)
{
	static const struct {
		const char *begin;
		char filling;
		size_t size;
		const char *complaint; /* NULL: it is taken */
	} lengths[] = {
		{ "# ", '"', 100000, NULL },
		{ "msg_hello ", '"', 400, NULL },
		{ "msg_hello ", '$', 401, "!:1: msg_hello: is longer than 400 bytes" },
		{ "pidfile /", '\\', 999, NULL },
		{ "pidfile /", 'x', 200000, "!:1: pidfile: is longer than 1000 bytes" },
		{ "msg_nomem ", 'x', 200000, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		char *line = long_line(lengths[i].begin, lengths[i].filling,
		                       lengths[i].size);
		char *imported = import_text(line);

		if (lengths[i].complaint)
			assert_string_equal(imported, lengths[i].complaint);
		else
			check_same(line, imported);
		free(imported);
		free(line);
	}
}

/* Comments make a file grow; it must not grow into one that is not read. */
static void
test_too_large(void **state)
{
	static const char line[] = "pid_hash_size 1\n";
	size_t count = CONFIG_LARGEST_FILE / strlen(line) / 2;
	char *text = xcalloc(count, strlen(line) + 1), *imported;

	(void)state;
	for (size_t i = 0; i < count; i++)
		memcpy(text + i * strlen(line), line, strlen(line));
	imported = import_text(text);
	assert_string_equal(imported, "!: would become larger than 262144 bytes");
	free(imported);
	free(text);
}

static void
test_no_file(void **state)
{
	char why[256], *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	assert_false(
		config_import("/nowhere/at.all", out, why, sizeof(why), NULL, NULL));
	assert_string_equal(
		why, "/nowhere/at.all: cannot be opened: No such file or directory");
	fclose(out);
	assert_int_equal(size, 0);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_router),
		cmocka_unit_test(test_other_ends_of_lines),
		cmocka_unit_test(test_every_option_together),
		cmocka_unit_test(test_every_option_alone),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
