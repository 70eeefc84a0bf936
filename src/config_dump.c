#include "config_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Writes TEXT as a comment, in lines that fit a terminal. */
static void
print_comment(const char *text, FILE *out)
{
	enum { WIDTH = 80 };
	size_t column = 0;

	while (*text) {
		size_t size = strcspn(text, " ");

		if (column > 0 && column + 1 + size > WIDTH) {
			fputc('\n', out);
			column = 0;
		}
		fprintf(out, "%s%.*s", column == 0 ? "# " : " ", (int)size, text);
		column += size + (column == 0 ? 2 : 1);
		text += size + strspn(text + size, " ");
	}
	fputc('\n', out);
}

/* Where it may stand, if not everywhere, and whether a reload is enough. */
static void
print_marks(const struct option *opt, FILE *out)
{
	static const struct {
		unsigned flag;
		const char *mark;
	} marks[] = {
		{ OPT_PROCESS, "process" },         { OPT_LISTENER, "listener" },
		{ OPT_ONLY_LISTEN, "only listen" }, { OPT_ONLY_POLICY, "only policy" },
		{ OPT_RESTART, "restart" },
	};
	const char *before = " [";

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (opt->flags & marks[i].flag) {
			fprintf(out, "%s%s", before, marks[i].mark);
			before = ", ";
		}
	if (*before == ',')
		fputc(']', out);
}

/* The help, what may be given, and the marks. */
static void
print_help(const struct option *opt, FILE *out)
{
	char *text;
	size_t size;
	FILE *words = open_memstream(&text, &size);

	assert(words);
	fputs(opt->help, words);
	if (opt->kind == OPTION_INT) {
		fputs("  Allowed: ", words);
		option_print_range(opt, words);
		fputc('.', words);
	}
	if (opt->kind == OPTION_WORD || opt->kind == OPTION_MASK) {
		fputs(opt->kind == OPTION_WORD ? "  One of: " : "  Any of: ", words);
		option_print_words(opt, words);
		fputc('.', words);
	}
	print_marks(opt, words);
	fclose(words);
	print_comment(text, out);
	free(text);
}

static bool
is_of_texts(const struct option *opt)
{
	return opt->kind == OPTION_TEXT ||
	       (opt->kind == OPTION_SECTION && opt[1].kind == OPTION_TEXT);
}

static void
dump_option(const struct config *cfg, const struct option *opt, FILE *out)
{
	if (opt->kind == OPTION_SECTION) {
		fprintf(out, "\n\n## %s\n", opt->help);
		return;
	}
	fputc('\n', out);
	print_help(opt, out);
	if (opt->flags & (OPT_ONLY_LISTEN | OPT_ONLY_POLICY))
		fputs("# ", out);
	option_print(cfg, opt, out);
}

static void
dump_given(const struct section *section, bool its_own, FILE *out)
{
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE;
	     opt++) {
		bool is_own = opt->flags & (OPT_ONLY_LISTEN | OPT_ONLY_POLICY);

		if (is_own != its_own || !section_gives(section, opt))
			continue;
		fputc('\t', out);
		option_print(&section->values, opt, out);
	}
}

/* First what or whom it is for. */
static void
dump_section(const struct section *section, FILE *out)
{
	fprintf(out, "\n%s \"%s\" {\n", section_word(section->kind), section->name);
	dump_given(section, true, out);
	dump_given(section, false, out);
	fputs("}\n", out);
}

static void
dump_sections(const struct section_list *list, FILE *out)
{
	for (size_t i = 0; i < list->count; i++)
		dump_section(list->at[i], out);
}

void
config_dump(const struct config *cfg, bool texts, FILE *out)
{
	const struct sections *sections = cfg->root->sections;

	fprintf(out,
	        "# Configuration of smtp-gated " PROGRAM_VERSION
	        ", see smtp-gated.conf(5).\n"
	        "# [restart]: not changed by a reload.  [process]: not in listen and "
	        "policy\n# sections.  [listener]: not in policy sections.\n");
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE; opt++)
		if (texts || !is_of_texts(opt))
			dump_option(cfg->root, opt, out);
	if (sections->listens.count + sections->policies.count > 0)
		fputc('\n', out);
	dump_sections(&sections->listens, out);
	dump_sections(&sections->policies, out);
}

bool
config_show(const struct config *cfg, const char *name, FILE *out)
{
	const struct option *opt = option_find(name, strlen(name));

	if (!opt)
		return false;
	option_print(cfg, opt, out);
	return true;
}

/* ---- why ------------------------------------------------------------------------------- */

static void
print_match(const char *what, const struct addr_nets *nets, const struct addr *addr,
            FILE *out)
{
	char host[ADDR_TEXT_SIZE], net[ADDR_TEXT_SIZE];

	for (size_t i = 0; addr && i < nets->count; i++)
		if (addr_net_contains(&nets->at[i], addr)) {
			fprintf(out, "; %s %s is in %s", what, addr_text(addr, host),
			        addr_net_text(&nets->at[i], net));
			return;
		}
}

/* A policy that would have been first, were that known which is not. */
static const struct config *
undecided(const struct config *cfg, const struct addr *client,
          const struct addr *server)
{
	const struct config *row = cfg->row[0];
	size_t count = cfg->root->sections->policies.count;

	for (size_t i = 1; i <= count && row->row[i] != cfg; i++) {
		const struct config *policy = row->row[i];

		if (!policy ||
		    (client && policy->clients.count > 0 &&
		     !addr_nets_contain(&policy->clients, client)) ||
		    (server && policy->servers.count > 0 &&
		     !addr_nets_contain(&policy->servers, server)))
			continue;
		return policy;
	}
	return NULL;
}

static void
print_undecided(const struct config *cfg, const struct addr *client,
                const struct addr *server, FILE *out)
{
	const struct config *policy = undecided(cfg, client, server);

	if (policy)
		fprintf(out, "# policy \"%s\" may apply instead: it asks for a %s\n",
		        policy->policy,
		        !client && policy->clients.count > 0 ? "client" : "server");
}

/* A listener's bind_address is what its section calls address. */
static bool
gives(const struct section *section, const struct option *opt)
{
	if (section && section->kind == SECTION_LISTEN &&
	    strcmp(opt->name, "bind_address") == 0)
		opt = option_find("address", strlen("address"));
	return section_gives(section, opt);
}

static void
print_origin(const struct config *cfg, const struct option *opt, FILE *out)
{
	int line = cfg->root->sections->given[opt - config_options];

	fprintf(out, "# %s: ", opt->name);
	if (gives(cfg->policy_section, opt))
		fprintf(out, "policy \"%s\" says so\n", cfg->policy);
	else if (gives(cfg->listen_section, opt))
		fprintf(out, "listen \"%s\" says so\n", cfg->listener);
	else if (line > 0)
		fprintf(out, "the main part says so, line %d\n", line);
	else
		fputs("the default\n", out);
}

bool
config_show_for(struct config *cfg, const char *name, const char *listener,
                const struct addr *client, const struct addr *server, FILE *out)
{
	static const struct addr unknown;
	const struct option *opt = option_find(name, strlen(name));
	struct config *is = config_listener(cfg, listener ?: CONFIG_DEFAULT_LISTENER);

	if (!opt || !is)
		return false;
	is = config_policy(is, client ?: &unknown, server ?: &unknown);
	option_print(is, opt, out);
	fprintf(out, "# listener \"%s\", ", is->listener);
	if (is->policy) {
		fprintf(out, "policy \"%s\"", is->policy);
		print_match("client", &is->clients, client, out);
		print_match("server", &is->servers, server, out);
	} else {
		fputs("no policy", out);
	}
	fputc('\n', out);
	print_undecided(is, client, server, out);
	print_origin(is, opt, out);
	return true;
}

void
config_print_words(const char *name, FILE *out)
{
	const struct option *opt = option_find(name, strlen(name));

	assert(opt && opt->words);
	option_print_words(opt, out);
}
