#ifndef CONFIG_H
#define CONFIG_H

#include "addr.h"
#include "pattern.h"
#include "secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * The configuration: immutable snapshots, shared by reference.
 *
 * A file gives one for its main part, which config_load() returns, and one for each of its
 * listeners with each of its policies: the same options, some with other values.  They live
 * and die together: whoever holds one holds all of them.  A session has that of its
 * listener and, once its destination is known, that of its policy, and keeps it to its end;
 * a reload makes new ones for the sessions born later.  The fields are the rows of
 * options.def.
 */
enum route_mode {
	ROUTE_BY_FIXED,
	ROUTE_BY_FIXED_XCLIENT,	/* and the server is told who the client is */
	ROUTE_BY_NETFILTER,
	ROUTE_BY_TPROXY,	/* the server sees the client's own address */
	ROUTE_BY_TPROXY_NETFILTER, /* the one or the other, by the client's address */
	ROUTE_BY_GETSOCKNAME,	/* as tproxy, from our own address */
	ROUTE_BY_REMOTE_UDP,	/* a helper on the router is asked: datagrams */
	ROUTE_BY_REMOTE,	/* the same: a line over TCP */
};

enum send_proxy {
	SEND_PROXY_NO,
	SEND_PROXY_V1,
	SEND_PROXY_V2,
};

enum server_protocol {
	SERVER_SMTP,
	SERVER_LMTP,		/* RFC 2033 */
};

enum newline_policy {
	NEWLINE_NORMALISE,	/* each becomes CRLF */
	NEWLINE_REJECT,		/* the message is refused */
	NEWLINE_PASS,		/* they stay as they are */
};

enum delivery_way {
	DELIVERY_STREAM,	/* the server gets it while it comes, and its end when judged */
	DELIVERY_HOLD,		/* the server hears of it when it is judged */
	DELIVERY_AUTO,		/* small ones are held, large ones streamed */
};

enum antivirus_type {	/* any of them together */
	ANTIVIRUS_LIBCLAMAV = 1 << 0, /* inside of the daemon */
	ANTIVIRUS_CLAMD = 1 << 1,
	ANTIVIRUS_ICAP = 1 << 2,
};

enum antispam_type {	/* any of them together */
	ANTISPAM_SPAMASSASSIN = 1 << 0,
	ANTISPAM_RSPAMD = 1 << 1,
};

enum result_headers {	/* any of them together */
	RESULT_HEADERS_VIRUS = 1 << 0,
	RESULT_HEADERS_SPAM = 1 << 1,
	RESULT_HEADERS_AUTH = 1 << 2,
};

enum signature_reload {
	SIGNATURE_RELOAD_CONCURRENT,
	SIGNATURE_RELOAD_IN_PLACE,
};

/* What a finding leads to. */
enum finding_action {
	ACTION_PASS,		/* nothing but a line in the log, and what the masks say */
	ACTION_TAG,		/* delivered, with a mark; spam only */
	ACTION_DEFER,		/* the client is to try again: 4yz */
	ACTION_REFUSE,		/* for good: 5yz */
	ACTION_HANG_UP,		/* the same, and then we close */
};

/* Findings that go together, in masks.  Words of 1.4, then ours. */
enum finding_class {
	CLASS_VIRUS = 1 << 0,
	CLASS_SPAM = 1 << 1,
	CLASS_MAXHOST = 1 << 2,
	CLASS_MAXIDENT = 1 << 3,
	CLASS_DNSBL = 1 << 4,
	CLASS_SPF = 1 << 5,
	CLASS_REGEX = 1 << 6,
	CLASS_EARLYTALK = 1 << 7,
	CLASS_RATELIMIT = 1 << 8,	/* too much that a server refused: who guesses */
	CLASS_ERROR = 1 << 9,	/* a check failed */
	CLASS_UNSCANNABLE = 1 << 10,
	CLASS_NEWLINE = 1 << 11,
	CLASS_SIZE = 1 << 12,
	CLASS_NOAUTH = 1 << 13,
	CLASS_LOAD = 1 << 14,
	CLASS_LOCKED = 1 << 15,
	CLASS_RATE = 1 << 17,	/* too much within a time, but nothing worse */
	CLASS_SPF_OTHER = 1 << 18, /* softfail, and its errors */
	CLASS_SUSPECT = 1 << 19, /* possible spam */
	CLASS_CLEAN = 1 << 16,	/* nothing was found; in a mask it means always */
};

enum auth_require {	/* who must have authenticated before DATA */
	AUTH_REQUIRE_NO,
	AUTH_REQUIRE_IF_SUPPORTED, /* whoever was offered AUTH */
	AUTH_REQUIRE_MANDATORY,	/* everybody */
};

enum auth_skip {	/* any of them together */
	AUTH_SKIP_DIRECT = 1 << 0, /* the session passes unread */
	AUTH_SKIP_ANTIVIRUS = 1 << 1,
	AUTH_SKIP_ANTISPAM = 1 << 2,
	AUTH_SKIP_DNSBL = 1 << 3,
	AUTH_SKIP_REGEX = 1 << 4,
};

enum spf_address {	/* what SPF is asked about */
	SPF_OFF,
	SPF_INCOMING,		/* the client's */
	SPF_OUTGOING,		/* that from which we call the server */
	SPF_FIXED,		/* option spf_fixed_ip */
};

enum statefile_type {	/* any of them together */
	STATEFILE_HUMAN = 1 << 0, /* for people */
	STATEFILE_FLAT = 1 << 1,  /* for scripts: "name: value" */
	STATEFILE_SLOTS = 1 << 2, /* a row for each session */
};

enum log_addresses {	/* which, any of them together; 0: none is ever written */
	LOG_ADDRESSES_FIRST = 1 << 0, /* in lines about a mail, as with the others, too */
	LOG_ADDRESSES_ACCEPTED = 1 << 1,
	LOG_ADDRESSES_REJECTED = 1 << 2,
	LOG_ADDRESSES_BASE64 = 1 << 3, /* of their MD5 */
};

enum nat_header_type {	/* numbered as in 1.4 */
	NAT_HEADER_NONE = 0,
	NAT_HEADER_GENERIC = 1,	/* address, port, ident; who we are, and what we call the mail */
	NAT_HEADER_IP_ONLY = 2,	/* the address alone */
};

struct string_list {
	size_t count;
	char **at;
};

struct section;			/* of the file */
struct sections;

struct config {
	struct config *root;	/* the snapshot of the main part; NULL: it stands alone */
	unsigned references;	/* to it and all others; in the root */
	char *file;		/* where it was read from; NULL: defaults only */
	bool legacy;		/* it was written in the syntax of 1.4 */
	struct addr fixed;	/* fixed_server and its port, looked up by config_resolve() */
	struct secret remote_key; /* what is in remote_udp_keyfile, read by the same */
	const char *listener;	/* CONFIG_DEFAULT_LISTENER, or that of a section */
	const char *policy;	/* NULL: none applies */
	const struct section *listen_section, *policy_section; /* NULL: none */
	struct config **row;	/* those of the same listener */
	struct sections *sections; /* in the root; owned */
#define OPT_BOOL(name, ...)	bool name;
#define OPT_INT(name, ...)	int64_t name;
#define OPT_STR(name, ...)	char *name;		/* never NULL */
#define OPT_REGEX(name, ...)	struct pattern *name;	/* NULL: none */
#define OPT_WORD(name, ...)	int name;		/* an enum's value */
#define OPT_MASK(name, ...)	unsigned name;		/* of an enum's values */
#define OPT_LIST(name, ...)	struct string_list name;
#define OPT_NETS(name, ...)	struct addr_nets name;
#define OPT_TEXT(name, ...)	char *name;		/* never NULL */
#include "options.def"
};

/*
 * Reads FILE, native or of 1.4, or only the defaults when it is NULL.  On failure returns
 * NULL and leaves in WHY what to tell the administrator: "FILE:LINE: option: ...", one
 * line for each of the first faults.
 * NOTED, unless NULL, is called for each thing that is no error but should be known: an
 * old syntax, an option of 1.4 that has no effect (any more, or yet).
 */
typedef void config_note_cb(const char *words, void *arg);

struct config *config_load(const char *file, char *why, size_t why_size,
			   config_note_cb *noted, void *arg) MUST_CHECK;

/* The same, FILE being relative to the directory that descriptor DIRECTORY stands for
 * (AT_FDCWD: the working directory); SHOWN is its name in messages. */
struct config *config_load_at(int directory, const char *file, const char *shown,
			      char *why, size_t why_size, config_note_cb *noted,
			      void *arg) MUST_CHECK;

/* Gives FRESH the values of RUNNING for all options that take effect at a restart only,
 * and its listeners, so that the snapshots are what is really in force (the addresses of
 * fixed_server, too: they are not looked up again); calls CHANGED for each OPTION that
 * differed, of a LISTENER or else (NULL) of the main part; it is "listen" for a listener
 * that came or went.  Other snapshots of FRESH than its root may not be in use yet. */
typedef void config_changed_cb(const char *listener, const char *option, void *arg);

void config_keep(struct config *fresh, const struct config *running,
		 config_changed_cb *changed, void *arg);

/* Prints the native file that a file of 1.4 turns into, line for line, its comments kept
 * in place; read, it gives the same snapshot.  Options without effect become comments that
 * say why.  False, and nothing is printed: WHY; config_load() would have refused it with
 * the same words, or it is not in the syntax of 1.4. */
bool config_import(const char *file, FILE *out, char *why, size_t why_size,
		   config_note_cb *noted, void *arg) MUST_CHECK;

/* True if every session goes to fixed_server. */
static inline bool
config_is_fixed(const struct config *cfg)
{
	return cfg->mode == ROUTE_BY_FIXED || cfg->mode == ROUTE_BY_FIXED_XCLIENT;
}

/* Looks up the names in it (fixed_server).  Blocks; at start and reload only. */
bool config_resolve(struct config *cfg, char *why, size_t why_size) MUST_CHECK;

/* Puts the name of this host in place of a proxy_name of "*", in all snapshots. */
void config_name_host(struct config *cfg);

/* The name of the listener that the main part describes.  Nothing listens there if it has
 * no bind_address. */
#define CONFIG_DEFAULT_LISTENER "default"

/* The snapshot of a listener where no policy applies; NULL: there is none of that name.
 * By number, from 0 (that of the main part) until NULL comes. */
struct config *config_listener(const struct config *cfg, const char *name);
struct config *config_listener_at(const struct config *cfg, size_t index);

/* The snapshot for a session from CLIENT to SERVER, of the same listener as CFG: that of
 * the first policy which is for both.  No address is in no network. */
struct config *config_policy(struct config *cfg, const struct addr *client,
			     const struct addr *server);

/* True if sessions may get it: the main part may be there only for what others inherit. */
bool config_serves(const struct config *cfg);

/* True if any snapshot that a session may get IS so. */
bool config_any(const struct config *cfg, bool (*is)(const struct config *cfg));

/* True if a message of SIZE bytes is judged before its server hears of it (delivery). */
bool config_judges_first(const struct config *cfg, uint64_t size);

/* True if libclamav, which must be loaded for that, is to scan messages. */
bool config_has_libclamav(const struct config *cfg);

/* Calls EACH with every snapshot. */
void config_each(struct config *cfg, void (*each)(struct config *cfg, void *arg),
		 void *arg);

struct config *config_hold(struct config *cfg);
void config_drop(struct config *cfg);	/* NULL is fine */

/* Writes a commented native file which, read back, gives the same snapshots.  Each option
 * of the main part is one line that begins with its name.  TEXTS: with the messages to clients. */
void config_dump(const struct config *cfg, bool texts, FILE *out);

/* Writes the value of one option, as in "NAME = VALUE"; false when there is none of that
 * name. */
bool config_show(const struct config *cfg, const char *name, FILE *out);

/* The same, of what applies to a session of that LISTENER; as a comment it says why.  NULL
 * for an address that is not known: a policy that asks for it does not apply.  False:
 * there is no such option, or no such listener. */
bool config_show_for(struct config *cfg, const char *name, const char *listener,
		     const struct addr *client, const struct addr *server, FILE *out);

/* The word that an option of the kind "one of" has; NULL if there is none of that name. */
const char *config_word(const struct config *cfg, const char *name);

/* Puts the words that an option of the kind "one of" or "any of" has into TEXT, in any
 * snapshot that a session may get, with commas between: "off" for none of them. */
enum {
	CONFIG_WORDS_SIZE = 128,
};
const char *config_words(struct config *cfg, const char *name,
			 char text[static CONFIG_WORDS_SIZE]);

/* Writes all the words that such an option may have, with commas between. */
void config_print_words(const char *name, FILE *out);

/* Puts into WORDS what became of an option of 1.4 that we do not have.  False: 1.4 had
 * none of that name, or we have it. */
bool config_old_option(const char *name, size_t size, char *words, size_t words_size);

/* The option's name that is nearest to a misspelt one, or NULL. */
const char *config_nearest(const char *name);

#endif
