#include "config_internal.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* Today's database of ClamAV needs more. */
#define SIGNATURES_SIZE (INT64_C(1) << 30)

/* One call of config_load_at() or config_import(). */
struct reading {
	int directory;
	const char *path; /* in it; NULL: defaults only */
	char *text;       /* native and tidy */
	bool imports;
	char *imported; /* native, as a person would write it */
	struct config *cfg;
	struct report report;
	char *why;
	size_t why_size;
};

/* The line in which NAME is given last; 0: it is not given. */
static int
line_of(const struct reading *reading, const char *name)
{
	return config_line_of(reading->text, name);
}

/* ---- all of it together ---------------------------------------------------------------- */

/* A limit that the signatures would exceed: libclamav fails, or the daemon later. */
static void
note_memory_limit(struct reading *reading, const char *name, int64_t limit)
{
	if (reading->cfg->antivirus_type != ANTIVIRUS_OFF && limit >= 0 &&
	    limit < SIGNATURES_SIZE)
		report_note_at(
			&reading->report, line_of(reading, name),
			"%s: a signature database alone needs over 1 GiB; loading it "
			"may fail",
			name);
}

/* Who is listed may name any client, and mostly any destination. */
static void
note_proxies(struct reading *reading)
{
	const struct config *cfg = reading->cfg;
	char text[ADDR_TEXT_SIZE];

	for (size_t i = 0; i < cfg->proxy_protocol_from.count; i++)
		if (cfg->proxy_protocol_from.at[i].bits == 0)
			report_note_at(
				&reading->report,
				line_of(reading, "proxy_protocol_from"),
				"proxy_protocol_from: %s lets everybody say who they "
				"are and where they want to go",
				addr_net_text(&cfg->proxy_protocol_from.at[i], text));
	if (cfg->send_proxy != SEND_PROXY_NO && !config_is_fixed(cfg))
		report_note_at(&reading->report, line_of(reading, "send_proxy"),
		               "send_proxy: unless mode is fixed, every server that "
		               "clients call must expect the header");
}

/* What is allowed, but may not do what was meant. */
static void
note_doubtful(struct reading *reading)
{
	const struct config *cfg = reading->cfg;

	if (cfg->legacy && !line_of(reading, "antivirus_type"))
		report_note_at(
			&reading->report, 1,
			"antivirus_type: is not given; 1.4 did not scan then, and "
			"this version does");
	note_memory_limit(reading, "limit_virt_size", cfg->limit_virt_size);
	note_memory_limit(reading, "limit_data_size", cfg->limit_data_size);
	if (!config_is_fixed(cfg) && cfg->fixed_server[0])
		report_note_at(&reading->report, line_of(reading, "fixed_server"),
		               "fixed_server: has no effect unless mode is fixed");
	if (cfg->mode == ROUTE_BY_TPROXY && cfg->outgoing_addr[0])
		report_note_at(&reading->report, line_of(reading, "outgoing_addr"),
		               "outgoing_addr: has no effect in mode tproxy, in which "
		               "servers see the client's own address");
	note_proxies(reading);
	if (cfg->scan_max_unpacked < cfg->scan_max_size)
		report_note_at(
			&reading->report,
			line_of(reading, "scan_max_size")
				?: line_of(reading, "scan_max_unpacked"),
			"scan_max_size: a message larger than scan_max_unpacked is "
			"never "
			"scanned in full");
	if (cfg->timeout_judging < cfg->timeout_scanner)
		report_note_at(
			&reading->report,
			line_of(reading, "timeout_judging")
				?: line_of(reading, "timeout_scanner"),
			"timeout_judging: is over before timeout_scanner; a scan that "
			"takes longer counts as failed, not as unscannable");
}

/* What each option alone does not tell. */
static void
check_together(struct reading *reading)
{
	const struct config *cfg = reading->cfg;

	if (cfg->bind_address.count == 0)
		report_fault(&reading->report, line_of(reading, "bind_address"),
		             "bind_address: at least one address is needed");
	if (config_is_fixed(cfg) && !cfg->fixed_server[0])
		report_fault(&reading->report, line_of(reading, "mode"),
		             "mode: %s needs fixed_server, an address or a host name",
		             config_word(cfg, "mode"));
	if (!cfg->statefile_type)
		report_fault(&reading->report, line_of(reading, "statefile_type"),
		             "statefile_type: at least one word is needed; for no file "
		             "at all let statefile be empty");
}

/* ---- reading --------------------------------------------------------------------------- */

/* Rewrites a file of 1.4. */
static void
rewrite(struct reading *reading)
{
	char *text = reading->text;

	if (!reading->imports)
		report_note_at(
			&reading->report, 1,
			"written in the syntax of smtp-gated 1.4, which is still "
			"understood; \"smtp-gated --import %s\" prints it in today's",
			reading->report.file);
	reading->text = config_from_legacy(text, reading->imports, report_words,
	                                   report_note, &reading->report);
	free(text);
	if (reading->imports)
		reading->imported = xstrdup(reading->text);
}

/* From the file to text that libconfuse may see. */
static bool
read_text(struct reading *reading)
{
	enum config_syntax syntax;

	reading->text = config_read_text(reading->directory, reading->path,
	                                 reading->report.file, reading->why,
	                                 reading->why_size);
	if (!reading->text)
		return false;
	syntax = config_syntax_of(reading->text);
	reading->cfg->legacy = syntax == SYNTAX_LEGACY;
	if (reading->imports && syntax == SYNTAX_NATIVE) {
		snprintf(reading->why, reading->why_size,
		         "%s: is not in the syntax of smtp-gated 1.4 (\"name value\", "
		         "without \"=\"): there is nothing to convert",
		         reading->report.file);
		return false;
	}
	if (reading->imports || reading->cfg->legacy)
		rewrite(reading);
	config_tidy(reading->text, report_words, &reading->report);
	return true;
}

static bool
read_file(struct reading *reading)
{
	struct report *report = &reading->report;

	if (!reading->path) {
		config_parse(NULL, report, reading->cfg);
		return true;
	}
	if (!read_text(reading))
		return false;
	config_parse(reading->text, report, reading->cfg);
	if (report->fault_count == 0)
		check_together(reading);
	if (report->fault_count == 0) {
		note_doubtful(reading);
		return true;
	}
	report_tell(report, reading->why, reading->why_size);
	return false;
}

static struct config *
load(struct reading *reading)
{
	struct config *cfg = xcalloc(1, sizeof(*cfg));
	bool good;

	reading->cfg = cfg;
	reading->why[0] = '\0';
	cfg->references = 1;
	cfg->file = reading->path ? xstrdup(reading->report.file) : NULL;
	option_defaults(cfg);
	good = read_file(reading);
	free(reading->text);
	report_clear(&reading->report);
	if (good)
		return cfg;
	config_drop(cfg);
	return NULL;
}

struct config *
config_load_at(int directory, const char *file, const char *shown, char *why,
               size_t why_size, config_note_cb *noted, void *arg)
{
	struct reading reading = {
		.directory = directory,
		.path = file,
		.report = { .file = shown, .noted = noted, .arg = arg },
		.why = why,
		.why_size = why_size,
	};

	return load(&reading);
}

struct config *
config_load(const char *file, char *why, size_t why_size, config_note_cb *noted,
            void *arg)
{
	return config_load_at(AT_FDCWD, file, file, why, why_size, noted, arg);
}

bool
config_import(const char *file, FILE *out, char *why, size_t why_size,
              config_note_cb *noted, void *arg)
{
	struct reading reading = {
		.directory = AT_FDCWD,
		.path = file,
		.report = { .file = file, .noted = noted, .arg = arg },
		.imports = true,
		.why = why,
		.why_size = why_size,
	};
	struct config *cfg = load(&reading);
	bool fits;

	assert(!cfg || reading.imported);
	fits = cfg && strlen(reading.imported) <= CONFIG_LARGEST_FILE;
	if (fits)
		fputs(reading.imported, out);
	else if (cfg)
		snprintf(why, why_size, "%s: would become larger than %d bytes", file,
		         CONFIG_LARGEST_FILE);
	config_drop(cfg);
	free(reading.imported);
	return fits;
}

bool
config_resolve(struct config *cfg, char *why, size_t why_size)
{
	const char *words;

	if (!config_is_fixed(cfg) || addr_resolve(&cfg->fixed, cfg->fixed_server,
	                                          cfg->fixed_server_port, &words))
		return true;
	snprintf(why, why_size, "%s: fixed_server: \"%s\" cannot be looked up: %s",
	         cfg->file ? cfg->file : "defaults", cfg->fixed_server, words);
	return false;
}

/* ---- sharing ------------------------------------------------------------------------ */

struct config *
config_hold(struct config *cfg)
{
	assert(cfg->references > 0);
	cfg->references++;
	return cfg;
}

void
config_drop(struct config *cfg)
{
	if (!cfg || --cfg->references > 0)
		return;
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE; opt++)
		option_clear(cfg, opt);
	free(cfg->file);
	free(cfg);
}

void
config_keep(struct config *fresh, const struct config *running,
            void (*changed)(const char *name, void *arg), void *arg)
{
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE;
	     opt++) {
		if (!(opt->flags & OPT_RESTART) || option_equal(opt, running, fresh))
			continue;
		option_copy(fresh, opt, running);
		changed(opt->name, arg);
	}
	fresh->fixed = running->fixed;
}
