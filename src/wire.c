#include "wire.h"

#include "log.h"
#include "route.h"

#include <errno.h>
#include <inttypes.h>
#include <nftables/libnftables.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>

/* ---- the rules --------------------------------------------------------------------- */

struct printing {
	const struct config *cfg;
	enum wire_fail fail;
	FILE *out;
};

static void
print_elements(const struct string_list *list, FILE *out)
{
	for (size_t i = 0; i < list->count; i++)
		fprintf(out, "%s%s", i > 0 ? ", " : "", list->at[i]);
}

/* What comes from clients: all that comes from elsewhere, or through their interfaces. */
static void
print_clients(const struct printing *p)
{
	const struct string_list *interfaces = &p->cfg->nft_interfaces;

	fputs(interfaces->count == 0 ? "iifname != \"lo\" " : "iifname { ", p->out);
	for (size_t i = 0; i < interfaces->count; i++)
		fprintf(p->out, "%s\"%s\"", i > 0 ? ", " : "", interfaces->at[i]);
	if (interfaces->count > 0)
		fputs(" } ", p->out);
}

/* A rule for what goes to our ports, whether or not anybody serves. */
static void
print_rule(const struct printing *p, const char *source, const char *action)
{
	fputs("\t\t", p->out);
	print_clients(p);
	fprintf(p->out, "%stcp dport { ", source);
	print_elements(&p->cfg->nft_ports, p->out);
	fprintf(p->out, " } %s\n", action);
}

/* The same, only while somebody serves. */
static void
print_handing(const struct printing *p, const char *source, const char *action)
{
	if (!p->cfg->nft_alive) {
		print_rule(p, source, action);
		return;
	}
	fputs("\t\t", p->out);
	print_clients(p);
	fprintf(p->out, "%stcp dport @alive %s\n", source, action);
}

/* With as long to live as if they had just been renewed: loading the rules once more does
 * not leave a gap. */
static void
print_set(const struct printing *p)
{
	const struct string_list *ports = &p->cfg->nft_ports;

	if (!p->cfg->nft_alive)
		return;
	fprintf(p->out,
	        "\t# Ports that the daemon serves: it renews them, or they expire.\n"
	        "\tset alive {\n\t\ttype inet_service\n\t\tflags timeout\n"
	        "\t\telements = { ");
	for (size_t i = 0; i < ports->count; i++)
		fprintf(p->out, "%s%s timeout %" PRId64 "s", i > 0 ? ", " : "",
		        ports->at[i], p->cfg->nft_timeout);
	fputs(" }\n\t}\n\n", p->out);
}

static void
print_chain(const struct printing *p, const char *name, const char *type,
            const char *hook, const char *priority)
{
	fprintf(p->out,
	        "\tchain %s {\n\t\ttype %s hook %s priority %s; policy accept;\n", name,
	        type, hook, priority);
}

static void
print_end(const struct printing *p)
{
	fputs("\t}\n\n", p->out);
}

/* Servers of this machine would take clients for it: what is for it is not handed over. */
static bool
spares_ourselves(const struct config *cfg)
{
	return route_takes_foreign(cfg) ||
	       (!config_is_fixed(cfg) && !cfg->local_servers);
}

/* Whatever still has one of our ports as its destination was not handed to us, but for what
 * TPROXY has marked. */
static void
print_refusals(const struct printing *p)
{
	static const struct {
		const char *hook, *name;
	} rest[] = { { "forward", "rest_forward" }, { "input", "rest_input" } };
	size_t count = spares_ourselves(p->cfg) ? 1 : 2;

	if (p->fail != WIRE_CLOSED)
		return;
	for (size_t i = 0; i < count; i++) {
		print_chain(p, rest[i].name, "filter", rest[i].hook, "filter");
		print_rule(p, route_takes_foreign(p->cfg) ? "meta mark != 1 " : "",
		           "reject with tcp reset");
		print_end(p);
	}
}

#define SPARE_OURSELVES "\t\tfib daddr type local accept\n"

enum {
	PASSED_BY =
		25, /* of connections that nobody was there for: they stay as they are */
};

/* By REDIRECT what comes from these sources. */
static void
print_redirect(const struct printing *p, const char *source4, const char *source6)
{
	char action[64];

	snprintf(action, sizeof(action), "redirect to :%" PRId64, p->cfg->port);
	print_chain(p, "redirected", "nat", "prerouting", "dstnat");
	if (spares_ourselves(p->cfg))
		fputs(SPARE_OURSELVES, p->out);
	print_handing(p, source4, action);
	if (source6)
		print_handing(p, source6, action);
	print_end(p);
}

/* By TPROXY all that none of the rules in BUT accepts before. */
static void
print_tproxy(const struct printing *p, const char *but)
{
	char action[64];

	snprintf(action, sizeof(action),
	         "tproxy to :%" PRId64 " meta mark set 1 accept", p->cfg->port);
	print_chain(p, "handed", "filter", "prerouting", "mangle");
	fprintf(p->out,
	        "\t\t# Of connections that it has already, also with clients' "
	        "addresses.\n"
	        "\t\tmeta l4proto tcp socket transparent 1 meta mark set 1 "
	        "accept\n" SPARE_OURSELVES "%s",
	        but);
	if (p->fail == WIRE_OPEN)
		fprintf(p->out, "\t\tct mark %d accept\n", PASSED_BY);
	print_handing(p, "", action);
	print_end(p);
}

static void
print_routing(const struct printing *p)
{
	fputs("# What is marked must be taken for this machine's own; once, when the "
	      "network starts:\n"
	      "#\tip    rule add fwmark 1 lookup 100\n"
	      "#\tip -6 rule add fwmark 1 lookup 100\n"
	      "#\tip    route add local default dev lo table 100\n"
	      "#\tip -6 route add local default dev lo table 100\n",
	      p->out);
}

/* What route_local.c takes for private. */
#define PRIVATE4 "{ 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16 }"
#define PRIVATE6 "{ fc00::/7, fe80::/10 }"

static void
print_way(const struct printing *p)
{
	switch ((enum route_mode)p->cfg->mode) {
	case ROUTE_BY_FIXED:
	case ROUTE_BY_FIXED_XCLIENT:
	case ROUTE_BY_NETFILTER:
		print_redirect(p, "", NULL);
		break;
	case ROUTE_BY_TPROXY:
	case ROUTE_BY_GETSOCKNAME:
		print_tproxy(p, "");
		break;
	case ROUTE_BY_TPROXY_NETFILTER:
		print_tproxy(p, "\t\tip saddr " PRIVATE4 " accept\n"
		                "\t\tip6 saddr " PRIVATE6 " accept\n");
		print_redirect(p, "ip saddr " PRIVATE4 " ", "ip6 saddr " PRIVATE6 " ");
		break;
	case ROUTE_BY_REMOTE_UDP: /* wire_print() */
	case ROUTE_BY_REMOTE:
		break;
	}
}

/* TPROXY takes single packets; those of a connection that has begun without us would be
 * answered with a reset. */
static void
print_passed_by(const struct printing *p)
{
	char action[64];

	if (p->fail != WIRE_OPEN || !route_takes_foreign(p->cfg))
		return;
	snprintf(action, sizeof(action), "ct mark set %d", PASSED_BY);
	print_chain(p, "passed_by", "filter", "forward", "filter");
	print_rule(p, "meta mark != 1 ", action);
	print_end(p);
}

bool
wire_print(const struct config *cfg, enum wire_fail fail, FILE *out, char *why,
           size_t why_size)
{
	const struct printing p = { .cfg = cfg, .fail = fail, .out = out };

	if (cfg->mode == ROUTE_BY_REMOTE_UDP || cfg->mode == ROUTE_BY_REMOTE) {
		snprintf(why, why_size,
		         "mode %s: it is the router that hands clients over, by rules "
		         "of "
		         "its own; see smtp-gated-helper(8)",
		         config_word(cfg, "mode"));
		return false;
	}
	if (fail == WIRE_OPEN && !cfg->nft_alive) {
		snprintf(why, why_size,
		         "rules that let mail pass when the daemon does not serve need "
		         "it to renew them: set nft_alive = yes");
		return false;
	}
	fprintf(out,
	        "#!/usr/sbin/nft -f\n"
	        "# Hands SMTP to smtp-gated, mode %s; when that does not serve, mail "
	        "%s.\n"
	        "# Printed by smtp-gated " PROGRAM_VERSION
	        " --nft; load it with nft -f, "
	        "once more to replace it.\n",
	        config_word(cfg, "mode"),
	        fail == WIRE_OPEN ? "passes unscanned" : "is refused");
	if (route_takes_foreign(cfg))
		print_routing(&p);
	fprintf(out, "\ntable inet %s\ndelete table inet %s\n\ntable inet %s {\n",
	        cfg->nft_table, cfg->nft_table, cfg->nft_table);
	print_set(&p);
	print_way(&p);
	print_passed_by(&p);
	print_refusals(&p);
	fputs("}\n", out);
	return true;
}

/* ---- renewing -------------------------------------------------------------------------- */

enum {
	WITHDRAWALS = 5,
};

struct wire {
	struct nft_ctx *nft;
	struct event *due;
	char *renew, *withdraw; /* commands */
	bool troubled;          /* it has been said */
};

/* COMMAND for each of our ports, e.g. "add element inet smtp_gated alive { 25MORE }". */
static void
add_command(FILE *out, const struct config *cfg, const char *command, const char *more)
{
	fprintf(out, "%s element inet %s alive { ", command, cfg->nft_table);
	for (size_t i = 0; i < cfg->nft_ports.count; i++)
		fprintf(out, "%s%s%s", i > 0 ? ", " : "", cfg->nft_ports.at[i], more);
	fputs(" }\n", out);
}

/* An element that is there keeps its time when it is added: it is made anew.  To delete
 * what is not there would fail, so it is added first.  All of it is one transaction. */
static char *
commands(const struct config *cfg, bool renew)
{
	char timeout[32], *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort(); /* there is no memory: see xalloc.h */
	snprintf(timeout, sizeof(timeout), " timeout %" PRId64 "s", cfg->nft_timeout);
	add_command(out, cfg, "add", "");
	add_command(out, cfg, "delete", "");
	if (renew)
		add_command(out, cfg, "add", timeout);
	if (fclose(out) != 0)
		abort();
	return text;
}

/* Once is enough until it is well again. */
static void
tell(struct wire *wire, bool good)
{
	const char *words = nft_ctx_get_error_buffer(wire->nft);
	char line[160];

	if (good == !wire->troubled)
		return;
	wire->troubled = !good;
	snprintf(line, sizeof(line), "%.*s", (int)strcspn(words, "\n"), words);
	if (good)
		log_event(NULL, LOG_CONFIG_EVENT,
		          log_text("text", "nftables' set alive is renewed again"));
	else
		log_event(
			NULL, LOG_TROUBLE_EVENT,
			log_text("text",
		                 "nft_alive: the set alive cannot be renewed: load the "
		                 "rules of --nft, see nft_table; CAP_NET_ADMIN is "
		                 "needed"),
			log_text("why", line));
}

static void
renew(evutil_socket_t fd, short what, void *arg)
{
	struct wire *wire = arg;

	(void)fd;
	(void)what;
	tell(wire, nft_run_cmd_from_buffer(wire->nft, wire->renew) == 0);
}

/* libnftables says that it lacks it on stderr, each time. */
static bool
may_renew(void)
{
	cap_t own = cap_get_proc();
	cap_flag_value_t value = CAP_CLEAR;

	if (own)
		cap_get_flag(own, CAP_NET_ADMIN, CAP_EFFECTIVE, &value);
	cap_free(own);
	return value == CAP_SET;
}

struct wire *
wire_new(struct event_base *base, const struct config *cfg)
{
	struct wire *wire = xcalloc(1, sizeof(*wire));
	struct timeval third = { .tv_sec = cfg->nft_timeout / 3,
		                 .tv_usec = cfg->nft_timeout % 3 * 1000000 / 3 };

	if (!may_renew()) {
		free(wire);
		errno = EPERM;
		return NULL;
	}
	wire->renew = commands(cfg, true);
	wire->withdraw = commands(cfg, false);
	wire->nft = nft_ctx_new(NFT_CTX_DEFAULT);
	wire->due = event_new(base, -1, EV_PERSIST, renew, wire);
	if (!wire->nft || !wire->due || nft_ctx_buffer_error(wire->nft) != 0 ||
	    nft_ctx_buffer_output(wire->nft) != 0 ||
	    event_add(wire->due, &third) != 0) {
		wire_free(wire, true);
		return NULL;
	}
	renew(-1, 0, wire);
	return wire;
}

/* Another transaction may have come between; then it is tried again. */
static void
withdraw(struct wire *wire)
{
	for (int i = 0; i < WITHDRAWALS; i++)
		if (nft_run_cmd_from_buffer(wire->nft, wire->withdraw) == 0)
			return;
	tell(wire, false);
}

void
wire_free(struct wire *wire, bool stay)
{
	if (!wire)
		return;
	if (!stay) /* the table may have come since we looked */
		withdraw(wire);
	if (wire->due)
		event_free(wire->due);
	if (wire->nft)
		nft_ctx_free(wire->nft);
	free(wire->renew);
	free(wire->withdraw);
	free(wire);
}
