#include "privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	GROUPS_MAX = 256,
};

/* Whom to become. */
struct identity {
	uid_t user;
	gid_t group;
	gid_t groups[GROUPS_MAX];
	int count;
	bool change; /* else stay who we are */
};

struct words {
	char *at;
	size_t size;
};

static bool PRINTF(2, 3) fail(struct words why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why.at, why.size, format, args);
	va_end(args);
	return false;
}

/* ---- limits ----------------------------------------------------------------------- */

static bool
limit_one(int resource, const char *option, int64_t value, struct words why)
{
	struct rlimit limit;

	if (value < 0)
		return true;
	limit.rlim_cur = limit.rlim_max = (rlim_t)value;
	if (setrlimit(resource, &limit) == 0)
		return true;
	return fail(why, "%s = %lld: %s", option, (long long)value, strerror(errno));
}

bool
privilege_limit(const struct config *cfg, char *why, size_t why_size)
{
	struct words words = { why, why_size };

	if (cfg->priority != 0 && setpriority(PRIO_PROCESS, 0, (int)cfg->priority) != 0)
		return fail(words, "priority = %d: %s", (int)cfg->priority,
		            strerror(errno));
	return limit_one(RLIMIT_CORE, "limit_core_size", cfg->limit_core_size, words) &&
	       limit_one(RLIMIT_AS, "limit_virt_size", cfg->limit_virt_size, words) &&
	       limit_one(RLIMIT_DATA, "limit_data_size", cfg->limit_data_size, words) &&
	       limit_one(RLIMIT_FSIZE, "limit_fsize", cfg->limit_fsize, words);
}

/* ---- who ---------------------------------------------------------------------------- */

/* A number in decimal, all of it. */
static bool
is_number(const char *text, unsigned long *number)
{
	char *end;

	errno = 0;
	*number = strtoul(text, &end, 10);
	return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 &&
	       *number < (uid_t)-1;
}

static bool
find_group(const struct config *cfg, struct identity *who, struct words why)
{
	unsigned long number;
	struct group *group;

	if (is_number(cfg->set_group, &number)) {
		who->group = (gid_t)number;
		return true;
	}
	group = getgrnam(cfg->set_group);
	if (!group)
		return fail(why, "set_group = \"%s\": there is no such group",
		            cfg->set_group);
	who->group = group->gr_gid;
	return true;
}

/* The groups that the user is in, set_group in place of its own. */
static bool
find_groups(const struct config *cfg, const struct passwd *user, struct identity *who,
            struct words why)
{
	if (cfg->set_group[0] && !find_group(cfg, who, why))
		return false;
	who->count = GROUPS_MAX;
	if (!user) {
		who->groups[0] = who->group;
		who->count = 1;
	} else if (getgrouplist(user->pw_name, who->group, who->groups, &who->count) <
	           0) {
		return fail(why, "set_user = \"%s\": is in more than %d groups",
		            cfg->set_user, GROUPS_MAX);
	}
	return true;
}

/* A service manager may have seen to it, and forbidden the system calls besides. */
static bool
is_already(const struct identity *who)
{
	uid_t user[3];
	gid_t group[3];

	if (geteuid() == 0 || getresuid(&user[0], &user[1], &user[2]) != 0 ||
	    getresgid(&group[0], &group[1], &group[2]) != 0)
		return false;
	for (int i = 0; i < 3; i++)
		if (user[i] != who->user || group[i] != who->group)
			return false;
	return true;
}

static bool
identify(const struct config *cfg, struct identity *who, struct words why)
{
	unsigned long number = 0;
	bool numeric = is_number(cfg->set_user, &number);
	struct passwd *user;

	*who = (struct identity){ .user = geteuid(), .group = getegid() };
	who->change = cfg->set_user[0] || cfg->set_group[0];
	if (!who->change)
		return true;
	if (!cfg->set_user[0])
		user = getpwuid(geteuid());
	else
		user = numeric ? getpwuid((uid_t)number) : getpwnam(cfg->set_user);
	if (!user && !numeric && cfg->set_user[0])
		return fail(why, "set_user = \"%s\": there is no such user",
		            cfg->set_user);
	if (!user && !cfg->set_group[0])
		return fail(why,
		            "set_user = \"%s\": this number has no name, and so no "
		            "group: set_group is needed",
		            cfg->set_user);
	if (user) {
		who->user = user->pw_uid;
		who->group = user->pw_gid;
	} else if (numeric) {
		who->user = (uid_t)number;
	}
	if (!find_groups(cfg, user, who, why))
		return false;
	who->change = !is_already(who);
	return true;
}

bool
privilege_user(const struct config *cfg, uid_t *user, char *why, size_t why_size)
{
	struct words words = { why, why_size };
	struct identity who;

	if (!identify(cfg, &who, words))
		return false;
	*user = who.user;
	return true;
}

/* ---- directories ---------------------------------------------------------------------- */

/* Only the directory itself: whoever may write to the one it is in could put a link in its
 * place meanwhile, and would be given what that leads to. */
static bool
give_away(const char *path, const struct identity *who)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	bool given = fd >= 0 && fchown(fd, who->user, who->group) == 0;
	int error = errno;

	if (fd >= 0)
		close(fd);
	errno = error;
	return given;
}

/* Makes one directory for WHO; the one it is in is there. */
static bool
make_one(const char *path, const struct identity *who, struct words why)
{
	if (mkdir(path, 0750) != 0)
		return errno == EEXIST || fail(why, "cannot make the directory %s: %s",
		                               path, strerror(errno));
	if (who->change && !give_away(path, who))
		return fail(why, "cannot give the directory %s to set_user: %s", path,
		            strerror(errno));
	return true;
}

bool
privilege_make_directory(const struct config *cfg, const char *path, char *why,
                         size_t why_size)
{
	struct words words = { why, why_size };
	char *part = xstrdup(path);
	struct identity who;
	bool made = identify(cfg, &who, words);

	for (char *slash = strchr(part + 1, '/'); made && slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		made = make_one(part, &who, words);
		*slash = '/';
	}
	made = made && make_one(part, &who, words);
	free(part);
	return made;
}

/* ---- capabilities ----------------------------------------------------------------------- */

/* What each mode keeps: to ask connection tracking, to call servers as the client.  One
 * that is not listed here keeps nothing. */
static const struct mode_capability {
	enum route_mode mode;
	cap_value_t capability;
	const char *without; /* the mode cannot be: its name then; NULL: it can */
} mode_capabilities[] = {
	{ ROUTE_BY_NETFILTER, CAP_NET_ADMIN, NULL },
	{ ROUTE_BY_TPROXY, CAP_NET_RAW, "CAP_NET_RAW" },
	{ ROUTE_BY_TPROXY_NETFILTER, CAP_NET_RAW, "CAP_NET_RAW" },
	{ ROUTE_BY_TPROXY_NETFILTER, CAP_NET_ADMIN, NULL },
};

enum { MODE_CAPABILITIES = sizeof(mode_capabilities) / sizeof(mode_capabilities[0]) };

static bool
has(cap_t set, cap_value_t cap, cap_flag_t flag)
{
	cap_flag_value_t value = CAP_CLEAR;

	return cap_get_flag(set, cap, flag, &value) == 0 && value == CAP_SET;
}

static bool
is_permitted(cap_value_t capability)
{
	cap_t own = cap_get_proc();
	bool permitted = has(own, capability, CAP_PERMITTED);

	cap_free(own);
	return permitted;
}

static void
keep(cap_t set, cap_value_t capability)
{
	if (!is_permitted(capability))
		return;
	cap_set_flag(set, CAP_PERMITTED, 1, &capability, CAP_SET);
	cap_set_flag(set, CAP_EFFECTIVE, 1, &capability, CAP_SET);
}

/* NULL: none is. */
static const struct config *
listener_in_mode(const struct config *cfg, enum route_mode mode)
{
	const struct config *listener;

	for (size_t i = 0; (listener = config_listener_at(cfg, i)); i++)
		if ((int)mode == listener->mode && config_serves(listener))
			return listener;
	return NULL;
}

/* Those that this configuration needs, as far as we have them. */
static cap_t
capabilities_needed(const struct config *cfg)
{
	cap_t need = cap_init();

	for (size_t i = 0; need && i < MODE_CAPABILITIES; i++)
		if (listener_in_mode(cfg, mode_capabilities[i].mode))
			keep(need, mode_capabilities[i].capability);
	if (need && cfg->nft_alive)
		keep(need, CAP_NET_ADMIN);
	return need;
}

static bool
can_be(const struct config *cfg, struct words why)
{
	for (size_t i = 0; i < MODE_CAPABILITIES; i++) {
		const struct mode_capability *row = &mode_capabilities[i];
		const struct config *listener = listener_in_mode(cfg, row->mode);

		if (listener && row->without && !is_permitted(row->capability))
			return fail(why,
			            "mode = %s calls servers with the addresses of "
			            "clients, which needs %s: add it to "
			            "AmbientCapabilities= (and "
			            "CapabilityBoundingSet=) of the unit, or start as "
			            "root",
			            config_word(listener, "mode"), row->without);
	}
	return true;
}

/* No program that we might start can have what we gave up.  Needs CAP_SETPCAP; without
 * it no_new_privs does the same. */
static void
bound(cap_t needed)
{
	for (cap_value_t cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (!has(needed, cap, CAP_PERMITTED))
			(void)cap_drop_bound(cap);
}

void
privilege_lend(bool lend)
{
	cap_t own = cap_get_proc();

	if (!own)
		return;
	if (!lend)
		(void)cap_reset_ambient();
	for (cap_value_t cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (has(own, cap, CAP_PERMITTED))
			cap_set_flag(own, CAP_INHERITABLE, 1, &cap,
			             lend ? CAP_SET : CAP_CLEAR);
	(void)cap_set_proc(own);
	for (cap_value_t cap = 0; lend && cap <= CAP_LAST_CAP; cap++)
		if (has(own, cap, CAP_PERMITTED))
			(void)cap_set_ambient(cap, CAP_SET);
	cap_free(own);
}

/* ---- becoming ----------------------------------------------------------------------------- */

static bool
change_root(const struct config *cfg, struct words why)
{
	if (!cfg->chroot_path[0])
		return true;
	if (chroot(cfg->chroot_path) == 0 && chdir("/") == 0)
		return true;
	return fail(why, "chroot_path = \"%s\": %s", cfg->chroot_path, strerror(errno));
}

static bool
become(const struct identity *who, struct words why)
{
	uid_t real, effective, saved;

	if (!who->change)
		return true;
	if (setgroups((size_t)who->count, who->groups) != 0 && geteuid() == 0)
		return fail(why, "set_group: cannot change groups: %s",
		            strerror(errno));
	if (setresgid(who->group, who->group, who->group) != 0)
		return fail(why, "set_group: cannot become group %u: %s",
		            (unsigned)who->group, strerror(errno));
	if (setresuid(who->user, who->user, who->user) != 0)
		return fail(why, "set_user: cannot become user %u: %s%s",
		            (unsigned)who->user, strerror(errno),
		            errno == EPERM ? "; only root can" : "");
	if (getresuid(&real, &effective, &saved) != 0 || real != who->user ||
	    effective != who->user || saved != who->user)
		return fail(why, "set_user: the kernel did not let us become user %u",
		            (unsigned)who->user);
	if (who->user != 0 && (setuid(0) == 0 || seteuid(0) == 0))
		return fail(why, "set_user: root could be had again");
	return true;
}

static bool
keep_capabilities(cap_t needed, struct words why)
{
	if (cap_set_proc(needed) != 0)
		return fail(why, "cannot give up capabilities: %s", strerror(errno));
	(void)cap_reset_ambient();
	return true;
}

static bool
seal(struct words why)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return fail(why, "cannot set no_new_privs: %s", strerror(errno));
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return fail(why, "cannot become undumpable: %s", strerror(errno));
	return true;
}

static bool
drop(const struct config *cfg, const struct identity *who, struct words why)
{
	cap_t needed = capabilities_needed(cfg);
	bool good;

	if (!needed)
		return fail(why, "cannot ask for capabilities: %s", strerror(errno));
	if (geteuid() == 0)
		bound(needed);
	prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
	good = change_root(cfg, why) && become(who, why) &&
	       keep_capabilities(needed, why) && seal(why);
	cap_free(needed);
	return good;
}

static bool
may_be(const struct config *cfg, const struct identity *who, struct words why)
{
	if (who->user == 0 && !cfg->allow_root)
		return fail(why, "sessions would be served as root: name an ordinary "
		                 "user in set_user, or say allow_root = yes");
	return true;
}

bool
privilege_check(const struct config *cfg, char *why, size_t why_size)
{
	struct words words = { why, why_size };
	struct identity who;

	return identify(cfg, &who, words) && may_be(cfg, &who, words) &&
	       can_be(cfg, words);
}

bool
privilege_drop(const struct config *cfg, char *why, size_t why_size)
{
	struct words words = { why, why_size };
	struct identity who;

	if (!identify(cfg, &who, words))
		return false;
	return may_be(cfg, &who, words) && drop(cfg, &who, words);
}
