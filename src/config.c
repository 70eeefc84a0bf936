#include "config_internal.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

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
		sections_derive(reading->cfg);
		return true;
	}
	if (!read_text(reading))
		return false;
	config_parse(reading->text, report, reading->cfg);
	if (report->fault_count == 0 && config_check_together(report, reading->cfg))
		return true;
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
	cfg->root = cfg;
	cfg->listener = CONFIG_DEFAULT_LISTENER;
	cfg->sections = xcalloc(1, sizeof(*cfg->sections));
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

struct resolving {
	const struct config *listener;
	struct addr fixed;
};

static void
take_address(struct config *cfg, void *arg)
{
	const struct resolving *work = arg;

	if (cfg->row == work->listener->row)
		cfg->fixed = work->fixed;
}

static bool
resolve_one(struct config *listener, char *why, size_t why_size)
{
	struct resolving work = { .listener = listener };
	const char *words;
	char *prefix;

	if (!config_is_fixed(listener) || !config_serves(listener))
		return true;
	if (addr_resolve(&work.fixed, listener->fixed_server,
	                 listener->fixed_server_port, &words)) {
		config_each(listener, take_address, &work);
		return true;
	}
	prefix = section_prefix(listener->listen_section);
	snprintf(why, why_size, "%s: %sfixed_server: \"%s\" cannot be looked up: %s",
	         listener->file ? listener->file : "defaults", prefix,
	         listener->fixed_server, words);
	free(prefix);
	return false;
}

static bool
read_key(struct config *root, char *why, size_t why_size)
{
	char fault[256];

	if (!root->remote_udp_keyfile[0] ||
	    secret_read(&root->remote_key, root->remote_udp_keyfile, SECRET_MIN, fault,
	                sizeof(fault)))
		return true;
	snprintf(why, why_size, "remote_udp_keyfile: %s", fault);
	return false;
}

bool
config_resolve(struct config *cfg, char *why, size_t why_size)
{
	struct config *listener;

	if (!read_key(cfg->root, why, why_size))
		return false;
	for (size_t i = 0; (listener = config_listener_at(cfg, i)); i++)
		if (!resolve_one(listener, why, why_size))
			return false;
	return true;
}

bool
config_judges_first(const struct config *cfg, uint64_t size)
{
	switch ((enum delivery_way)cfg->delivery) {
	case DELIVERY_STREAM:
		return false;
	case DELIVERY_HOLD:
		return true;
	case DELIVERY_AUTO:
		return size <= (uint64_t)cfg->hold_max_size;
	}
	return false;
}

/* ---- sharing ------------------------------------------------------------------------ */

struct config *
config_hold(struct config *cfg)
{
	assert(cfg->root->references > 0);
	cfg->root->references++;
	return cfg;
}

void
config_drop(struct config *cfg)
{
	struct config *root = cfg ? cfg->root : NULL;

	if (!root || --root->references > 0)
		return;
	sections_free(root);
	option_clear_all(root);
	explicit_bzero(&root->remote_key, sizeof(root->remote_key));
	free(root->file);
	free(root);
}
