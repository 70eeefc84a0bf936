#include "config_internal.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/*
 * Listen and policy sections, and the snapshots that they lead to: one for each listener
 * with each policy that can apply there.  All are made when the file is read, so that what
 * a session is given is looked up, not composed.
 */

/* ---- sections ------------------------------------------------------------------------- */

static struct section_list *
list_of(struct sections *sections, enum section_kind kind)
{
	return kind == SECTION_LISTEN ? &sections->listens : &sections->policies;
}

struct section *
section_find(struct sections *sections, enum section_kind kind, const char *name)
{
	const struct section_list *list = list_of(sections, kind);

	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->at[i]->name, name) == 0)
			return list->at[i];
	return NULL;
}

void
section_append(struct section_list *list, struct section *section)
{
	list->at = xrealloc(list->at, (list->count + 1) * sizeof(struct section *));
	list->at[list->count++] = section;
}

struct section *
section_add(struct sections *sections, enum section_kind kind, const char *name,
            int line)
{
	struct section_list *list = list_of(sections, kind);
	struct section *section;

	if (list->count == SECTIONS_MOST)
		return NULL;
	section = xcalloc(1, sizeof(*section));
	section->kind = kind;
	section->name = xstrdup(name);
	section->line = line;
	section_append(list, section);
	return section;
}

static void
section_free(struct section *section)
{
	option_clear_all(&section->values);
	free(section->name);
	free(section);
}

bool
section_gives(const struct section *section, const struct option *opt)
{
	return section && section->given[opt - config_options];
}

void
section_copy_option(struct section *section, const struct option *opt,
                    const struct section *from)
{
	section->given[opt - config_options] = from->given[opt - config_options];
	if (section_gives(from, opt))
		option_copy(&section->values, opt, &from->values);
	else
		option_clear(&section->values, opt);
}

struct section *
section_copy(const struct section *from)
{
	struct section *section = xcalloc(1, sizeof(*section));

	section->kind = from->kind;
	section->name = xstrdup(from->name);
	section->line = from->line;
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE; opt++)
		if (section_gives(from, opt))
			section_copy_option(section, opt, from);
	return section;
}

void
sections_clear(struct section_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		section_free(list->at[i]);
	free(list->at);
	*list = (struct section_list){ 0 };
}

/* ---- snapshots ------------------------------------------------------------------------- */

static void
copy_list(struct string_list *to, const struct string_list *from)
{
	for (size_t i = 0; i < from->count; i++)
		string_list_add(to, from->at[i]);
}

static const struct config *
source_of(const struct config *root, const struct section *listen,
          const struct section *policy, const struct option *opt)
{
	if (section_gives(policy, opt))
		return &policy->values;
	return section_gives(listen, opt) ? &listen->values : root;
}

/* LISTEN: NULL for the listener of the main part; POLICY: NULL if none applies. */
static struct config *
derive(struct config *root, const struct section *listen, const struct section *policy)
{
	static const struct option *bind_address, *address;
	struct config *cfg = xcalloc(1, sizeof(*cfg));

	if (!address) {
		bind_address = option_find("bind_address", strlen("bind_address"));
		address = option_find("address", strlen("address"));
	}
	cfg->root = root;
	cfg->file = root->file;
	cfg->legacy = root->legacy;
	cfg->listen_section = listen;
	cfg->policy_section = policy;
	cfg->listener = listen ? listen->name : CONFIG_DEFAULT_LISTENER;
	cfg->policy = policy ? policy->name : NULL;
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE; opt++)
		option_copy(cfg, opt, source_of(root, listen, policy, opt));
	if (section_gives(listen, address)) {
		option_clear(cfg, bind_address);
		copy_list(&cfg->bind_address, &cfg->address);
	}
	return cfg;
}

static bool
is_for_listener(const struct section *policy, const char *listener)
{
	const struct string_list *names = &policy->values.listeners;

	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->at[i], listener) == 0)
			return true;
	return names->count == 0;
}

static void
derive_row(struct config *root, const struct section *listen, struct config **row)
{
	const struct section_list *policies = &root->sections->policies;

	row[0] = listen ? derive(root, listen, NULL) : root;
	for (size_t i = 0; i < policies->count; i++)
		if (is_for_listener(policies->at[i], row[0]->listener))
			row[1 + i] = derive(root, listen, policies->at[i]);
	for (size_t i = 0; i <= policies->count; i++)
		if (row[i])
			row[i]->row = row;
}

void
sections_forget(struct config *root)
{
	struct sections *sections = root->sections;

	for (size_t i = 0; i < sections->snapshot_count; i++) {
		struct config *cfg = sections->snapshots[i];

		if (!cfg || cfg == root)
			continue;
		option_clear_all(cfg);
		free(cfg);
	}
	free(sections->snapshots);
	sections->snapshots = NULL;
	sections->snapshot_count = 0;
}

void
sections_derive(struct config *root)
{
	struct sections *sections = root->sections;
	size_t rows = 1 + sections->listens.count;
	size_t columns = 1 + sections->policies.count;

	sections_forget(root);
	sections->snapshot_count = rows * columns;
	sections->snapshots = xcalloc(rows * columns, sizeof(struct config *));
	for (size_t i = 0; i < rows; i++)
		derive_row(root, i == 0 ? NULL : sections->listens.at[i - 1],
		           sections->snapshots + i * columns);
}

void
sections_free(struct config *root)
{
	sections_forget(root);
	sections_clear(&root->sections->listens);
	sections_clear(&root->sections->policies);
	free(root->sections);
}

/* ---- finding --------------------------------------------------------------------------- */

struct config *
config_listener_at(const struct config *cfg, size_t index)
{
	const struct sections *sections = cfg->root ? cfg->root->sections : NULL;
	size_t columns = sections ? 1 + sections->policies.count : 0;

	if (!sections)
		return index == 0 ? (struct config *)cfg : NULL;
	return index <= sections->listens.count ? sections->snapshots[index * columns]
	                                        : NULL;
}

struct config *
config_listener(const struct config *cfg, const char *name)
{
	struct config *listener;

	for (size_t i = 0; (listener = config_listener_at(cfg, i)); i++)
		if (strcmp(listener->listener, name) == 0)
			return listener;
	return NULL;
}

static bool
is_in(const struct addr_nets *nets, const struct addr *addr)
{
	return nets->count == 0 || addr_nets_contain(nets, addr);
}

struct config *
config_policy(struct config *cfg, const struct addr *client, const struct addr *server)
{
	size_t count = cfg->root ? cfg->root->sections->policies.count : 0;

	for (size_t i = 1; i <= count; i++) {
		struct config *policy = cfg->row[i];

		if (policy && is_in(&policy->clients, client) &&
		    is_in(&policy->servers, server))
			return policy;
	}
	return cfg->root ? cfg->row[0] : cfg;
}

bool
config_serves(const struct config *cfg)
{
	return !cfg->root || cfg->listen_section || cfg->bind_address.count > 0;
}

bool
config_has_libclamav(const struct config *cfg)
{
	return cfg->antivirus_type & ANTIVIRUS_LIBCLAMAV;
}

bool
config_any(const struct config *cfg, bool (*is)(const struct config *cfg))
{
	const struct sections *sections = cfg->root ? cfg->root->sections : NULL;

	if (!sections)
		return is(cfg);
	for (size_t i = 0; i < sections->snapshot_count; i++)
		if (sections->snapshots[i] && config_serves(sections->snapshots[i]) &&
		    is(sections->snapshots[i]))
			return true;
	return false;
}

void
config_each(struct config *cfg, void (*each)(struct config *cfg, void *arg), void *arg)
{
	const struct sections *sections = cfg->root->sections;

	for (size_t i = 0; i < sections->snapshot_count; i++)
		if (sections->snapshots[i])
			each(sections->snapshots[i], arg);
}

static void
name_host(struct config *cfg, void *name)
{
	if (strcmp(cfg->proxy_name, "*") != 0)
		return;
	free(cfg->proxy_name);
	cfg->proxy_name = xstrdup(name);
}

static void
own_name(char name[static HOST_NAME_MAX + 1])
{
	memset(name, 0, HOST_NAME_MAX + 1);
	if (gethostname(name, HOST_NAME_MAX) != 0 || !name[0])
		snprintf(name, HOST_NAME_MAX + 1, "localhost");
}

void
config_name_host(struct config *cfg)
{
	char name[HOST_NAME_MAX + 1];

	own_name(name);
	config_each(cfg, name_host, name);
}

bool
config_is_own_name(const struct config *cfg, const char *id)
{
	const char *ours = cfg->authserv_id[0] ? cfg->authserv_id : cfg->proxy_name;
	char host[HOST_NAME_MAX + 1];

	if (strcmp(ours, "*") != 0)
		return strcasecmp(ours, id) == 0;
	own_name(host);
	return strcasecmp(host, id) == 0;
}

/* ---- together ------------------------------------------------------------------------------ */

static bool
same_place(const struct config *a, const char *text, const struct config *b)
{
	struct addr ours, its;

	if (a->port != b->port || !addr_parse(&ours, text, 0))
		return false;
	for (size_t i = 0; i < b->bind_address.count; i++)
		if (addr_parse(&its, b->bind_address.at[i], 0) &&
		    addr_same_host(&ours, &its))
			return true;
	return false;
}

static void
check_place(const struct config *cfg, const char *text, const struct config *other,
            struct report *report)
{
	bool is_main = !other->listen_section;

	if (!same_place(cfg, text, other))
		return;
	report_fault(report, cfg->listen_section->line,
	             "listen \"%s\": %s port %d is where %s%s%s listens: give it an "
	             "address or a port of its own",
	             cfg->listener, text, (int)cfg->port,
	             is_main ? "the main part" : "listen \"",
	             is_main ? "" : other->listener, is_main ? "" : "\"");
}

static void
check_listener(const struct config *root, size_t index, struct report *report)
{
	const struct config *cfg = config_listener_at(root, index);

	for (size_t before = 0; before < index; before++)
		for (size_t i = 0; i < cfg->bind_address.count; i++)
			check_place(cfg, cfg->bind_address.at[i],
			            config_listener_at(root, before), report);
}

static int
line_given(const struct section *section, const char *name)
{
	return section->given[option_find(name, strlen(name)) - config_options];
}

static void
check_names(const struct config *root, const struct section *policy,
            struct report *report)
{
	const struct string_list *names = &policy->values.listeners;

	for (size_t i = 0; i < names->count; i++)
		if (!config_listener(root, names->at[i]))
			report_fault(report, line_given(policy, "listeners"),
			             "listeners: there is no section listen \"%s\"; "
			             "\"%s\" is that of the main part",
			             names->at[i], CONFIG_DEFAULT_LISTENER);
}

static bool
is_for_all(const struct section *policy)
{
	return policy->values.clients.count == 0 && policy->values.servers.count == 0 &&
	       policy->values.listeners.count == 0;
}

/* Of the first that leaves nothing to those behind it. */
static void
note_for_all(const struct section_list *policies, struct report *report)
{
	for (size_t i = 0; i + 1 < policies->count; i++)
		if (is_for_all(policies->at[i])) {
			report_note_at(report, policies->at[i]->line,
			               "policy \"%s\": is for everything, so that no "
			               "policy behind it ever applies",
			               policies->at[i]->name);
			return;
		}
}

void
sections_check(const struct config *root, struct report *report)
{
	const struct sections *sections = root->sections;

	for (size_t i = 1; i <= sections->listens.count; i++)
		check_listener(root, i, report);
	for (size_t i = 0; i < sections->policies.count; i++)
		check_names(root, sections->policies.at[i], report);
	if (report->fault_count == 0)
		note_for_all(&sections->policies, report);
}
