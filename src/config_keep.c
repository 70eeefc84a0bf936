#include "config_internal.h"

#include <assert.h>

/*
 * What a reload does not change.
 */

struct keeping {
	struct config *fresh;
	const struct config *running;
	config_changed_cb *changed;
	void *arg;
};

static bool
is_kept(const struct option *opt)
{
	return opt->flags & OPT_RESTART;
}

static void
keep_main(const struct keeping *keep)
{
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE;
	     opt++) {
		if (!is_kept(opt) || option_equal(opt, keep->running, keep->fresh))
			continue;
		option_copy(keep->fresh, opt, keep->running);
		keep->changed(NULL, opt->name, keep->arg);
	}
}

static void
keep_listener(const struct keeping *keep, struct section *fresh,
              const struct section *running)
{
	const struct config *is = config_listener(keep->running, running->name);
	const struct config *wanted = config_listener(keep->fresh, running->name);

	for (const struct option *opt = config_options; opt->kind != OPTION_NONE;
	     opt++) {
		if (!is_kept(opt) || opt->flags & OPT_PROCESS ||
		    option_equal(opt, is, wanted))
			continue;
		section_copy_option(fresh, opt, running);
		keep->changed(running->name, opt->name, keep->arg);
	}
}

/* Sockets are opened at the start, when there is the right to do so: those that are there
 * stay, and are served as their section says, or said. */
static void
keep_listeners(const struct keeping *keep)
{
	struct sections *fresh = keep->fresh->sections;
	const struct section_list *running = &keep->running->sections->listens;
	struct section_list kept = { 0 };

	for (size_t i = 0; i < running->count; i++) {
		const struct section *was = running->at[i];
		struct section *now = section_find(fresh, SECTION_LISTEN, was->name);

		if (now)
			keep_listener(keep, now, was);
		else
			keep->changed(was->name, "listen", keep->arg);
		section_append(&kept, section_copy(now ?: was));
	}
	for (size_t i = 0; i < fresh->listens.count; i++)
		if (!section_find(keep->running->sections, SECTION_LISTEN,
		                  fresh->listens.at[i]->name))
			keep->changed(fresh->listens.at[i]->name, "listen", keep->arg);
	sections_forget(keep->fresh); /* they point to what goes now */
	sections_clear(&fresh->listens);
	fresh->listens = kept;
}

static void
scan_not(struct config *cfg, void *arg)
{
	(void)arg;
	cfg->antivirus_type &= ~(unsigned)ANTIVIRUS_LIBCLAMAV;
}

/* What nobody wanted so far has not been loaded. */
static void
keep_unscanned(const struct keeping *keep)
{
	if (config_any(keep->running, config_has_libclamav) ||
	    !config_any(keep->fresh, config_has_libclamav))
		return;
	config_each(keep->fresh, scan_not, NULL);
	keep->changed(NULL, "antivirus_type", keep->arg);
}

static void
keep_address(struct config *cfg, void *running)
{
	cfg->fixed = config_listener(running, cfg->listener)->fixed;
}

void
config_keep(struct config *fresh, const struct config *running,
            config_changed_cb *changed, void *arg)
{
	struct keeping keep = { fresh, running->root, changed, arg };

	assert(fresh->root == fresh);
	keep_main(&keep);
	sections_derive(fresh);
	keep_listeners(&keep);
	sections_derive(fresh);
	keep_unscanned(&keep);
	config_each(fresh, keep_address, running->root);
	fresh->remote_key = running->root->remote_key;
}
