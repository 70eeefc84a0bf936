#ifndef CONFIG_H
#define CONFIG_H

#include "addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * The configuration: one immutable snapshot, shared by reference.
 *
 * A session holds the snapshot that it was born with to its end; a reload makes a new one
 * for the sessions born later.  The fields are the rows of options.def.
 */
enum route_mode {
	ROUTE_BY_FIXED,
	ROUTE_BY_FIXED_XCLIENT,	/* and the server is told who the client is */
	ROUTE_BY_NETFILTER,
	ROUTE_BY_TPROXY,	/* the server sees the client's own address */
	ROUTE_BY_TPROXY_NETFILTER, /* the one or the other, by the client's address */
	ROUTE_BY_GETSOCKNAME,	/* as tproxy, from our own address */
};

enum send_proxy {
	SEND_PROXY_NO,
	SEND_PROXY_V1,
	SEND_PROXY_V2,
};

enum newline_policy {
	NEWLINE_NORMALISE,	/* each becomes CRLF */
	NEWLINE_REJECT,		/* the message is refused */
	NEWLINE_PASS,		/* they stay as they are */
};

enum antivirus_type {
	ANTIVIRUS_OFF,
	ANTIVIRUS_LIBCLAMAV,
};

enum on_unscannable {
	UNSCANNABLE_PASS,
	UNSCANNABLE_REFUSE,
	UNSCANNABLE_DEFER,
};

enum on_scan_failed {
	FAILED_PASS,
	FAILED_REFUSE,
	FAILED_DEFER,
};

enum statefile_type {	/* any of them together */
	STATEFILE_HUMAN = 1 << 0, /* for people */
	STATEFILE_FLAT = 1 << 1,  /* for scripts: "name: value" */
	STATEFILE_SLOTS = 1 << 2, /* a row for each session */
};

struct string_list {
	size_t count;
	char **at;
};

struct config {
	unsigned references;
	char *file;		/* where it was read from; NULL: defaults only */
	bool legacy;		/* it was written in the syntax of 1.4 */
	struct addr fixed;	/* fixed_server and its port, looked up by config_resolve() */
#define OPT_BOOL(name, ...)	bool name;
#define OPT_INT(name, ...)	int64_t name;
#define OPT_STR(name, ...)	char *name;		/* never NULL */
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
 * so that the snapshot is what is really in force (the address of fixed_server, too: it is
 * not looked up again); calls CHANGED with the name of each that differed. */
void config_keep(struct config *fresh, const struct config *running,
		 void (*changed)(const char *name, void *arg), void *arg);

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

struct config *config_hold(struct config *cfg);
void config_drop(struct config *cfg);	/* NULL is fine */

/* Writes a commented native file which, read back, gives the same snapshot.  Each option
 * is one line that begins with its name.  TEXTS: with the messages to clients. */
void config_dump(const struct config *cfg, bool texts, FILE *out);

/* Writes the value of one option, as in "NAME = VALUE"; false when there is none of that
 * name. */
bool config_show(const struct config *cfg, const char *name, FILE *out);

/* The word that an option of the kind "one of" has; NULL if there is none of that name. */
const char *config_word(const struct config *cfg, const char *name);

/* Puts into WORDS what became of an option of 1.4 that we do not have.  False: 1.4 had
 * none of that name, or we have it. */
bool config_old_option(const char *name, size_t size, char *words, size_t words_size);

/* The option's name that is nearest to a misspelt one, or NULL. */
const char *config_nearest(const char *name);

#endif
