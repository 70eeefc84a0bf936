#ifndef CONFIG_INTERNAL_H
#define CONFIG_INTERNAL_H

#include "config.h"

/*
 * One option: a row of options.def, as a value that code can walk over.
 */
enum option_kind {
	OPTION_NONE,		/* no such option */
	OPTION_SECTION,		/* a heading: its title is in help */
	OPTION_BOOL,
	OPTION_INT,
	OPTION_STR,
	OPTION_REGEX,
	OPTION_WORD,
	OPTION_MASK,
	OPTION_LIST,
	OPTION_NETS,
	OPTION_TEXT,
};

/* config_results.c: NULL, or what is wrong with an OPTION, to be said behind its name; and what
 * is doubtful, which one of some options led to.  Returns how many. */
enum {
	RESULT_DOUBTS = 6,
};

struct result_doubt {
	const char *options[7];	/* ends with NULL */
	char words[320];
};

const char *config_results_fault(const struct config *cfg, const char **option);
size_t config_results_doubts(const struct config *cfg,
			     struct result_doubt doubts[static RESULT_DOUBTS]);

enum {			      /* flags: */
	OPT_RESTART = 1 << 0, /* a reload does not change it */
	OPT_NEEDED = 1 << 1,  /* must not be empty */
	OPT_ADDRESS = 1 << 2, /* numeric IPv4 or IPv6 address */
	OPT_PATH = 1 << 3,    /* absolute path */
	OPT_TOKEN = 1 << 4,   /* printable ASCII without blanks */
	OPT_HEADER = 1 << 5,  /* name of a header field */
	OPT_NUMBERS = 1 << 6, /* a word's value may be given in its place */
	OPT_NAME = 1 << 7,    /* a name that the kernel has for something */
	OPT_PORT = 1 << 8,    /* number of a TCP port */
	OPT_URL = 1 << 13,    /* http:// or https:// */
	OPT_ZONE = 1 << 14,   /* a list in DNS, see dnsbl.h */
	OPT_SERVER = 1 << 15, /* absolute path of a socket, or ADDRESS:PORT */
	OPT_ICAP = 1 << 16,   /* icap://ADDRESS[:PORT]/SERVICE */
	OPT_STATE = 1 << 24,  /* a server of shared state, see stateurl.h */
	/* Where it may stand, if not in all of: the main part, listen and policy sections. */
	OPT_PROCESS = 1 << 9,	    /* the main part only */
	OPT_LISTENER = 1 << 10,	    /* not in policy sections */
	OPT_ONLY_LISTEN = 1 << 11,   /* listen sections only */
	OPT_ONLY_POLICY = 1 << 12,  /* policy sections only */
};

struct word {
	const char *text;
	int value;
};

struct option {
	const char *name;	  /* NULL: a section */
	size_t field;		  /* where it is in struct config */
	int64_t low, high;	  /* of a number */
	const char *unit;	  /* "", "s", "bytes", "octal" or "points" */
	const struct word *words; /* ends with a NULL text */
	const char *help;
	enum option_kind kind;
	unsigned flags;
};

enum {
	OPTION_COUNT = 0 /* headings included */
#define OPT_SECTION(...) +1
#define OPT_BOOL(...) +1
#define OPT_INT(...) +1
#define OPT_STR(...) +1
#define OPT_REGEX(...) +1
#define OPT_WORD(...) +1
#define OPT_MASK(...) +1
#define OPT_LIST(...) +1
#define OPT_NETS(...) +1
#define OPT_TEXT(...) +1
#include "options.def"
};

/* All of them in their order, sections included; ends with kind OPTION_NONE. */
extern const struct option config_options[];

/* The option called NAME (not necessarily terminated), or NULL. */
const struct option *option_find(const char *name, size_t size);
/* True if it may have several values, in braces. */
bool option_is_many(const struct option *opt);
void *option_field(const struct config *cfg, const struct option *opt);

/* True if TEXT (not necessarily terminated) is a mask's word for nothing: off, none, never. */
bool option_is_nothing(const struct option *opt, const char *text, size_t size);

/* True if TEXT can be a value of it (of a list, nets or mask: one element).  False: WHY says what is
 * wrong with TEXT and what would be right. */
bool option_check(const struct option *opt, const char *text, char *why,
		  size_t why_size) MUST_CHECK;

/* What is wrong with TEXT as a URL that we may call; NULL: nothing. */
const char *config_url_fault(const char *text);
const char *config_state_fault(const char *text);	/* the same, of a state server */
const char *config_login_fault(const struct config *cfg);	/* and of who logs in there */

/* Gives the option a value that option_check() has passed; a list, nets or
 * mask grow by an element. */
void option_set(struct config *cfg, const struct option *opt, const char *text);
void option_clear(struct config *cfg, const struct option *opt);
void option_clear_all(struct config *cfg);
void option_defaults(struct config *cfg); /* lists and masks start empty */
void option_copy(struct config *to, const struct option *opt,
		 const struct config *from);
bool option_equal(const struct option *opt, const struct config *a,
		  const struct config *b);

/* Writes "NAME = VALUE\n"; a number; the words; "1 to 65535 bytes". */
void option_print(const struct config *cfg, const struct option *opt, FILE *out);
void option_print_number(const struct option *opt, int64_t number, FILE *out);
void option_print_words(const struct option *opt, FILE *out);
void option_print_range(const struct option *opt, FILE *out);

/* Writes TEXT in double quotes, so that it is read back as it is. */
void print_quoted(const char *text, size_t size, FILE *out);

/* Reads a number with its suffix: bytes K M G, seconds s m h d. */
bool option_number(const struct option *opt, const char *text,
		   int64_t *number) MUST_CHECK;

/* The same as 1.4 read it: 0660 is octal, 0x1f hexadecimal. */
bool option_number_of_old(const struct option *opt, const char *text,
			  int64_t *number) MUST_CHECK;

bool option_is_octal(const struct option *opt);
bool option_is_points(const struct option *opt);
void string_list_add(struct string_list *list, const char *text);

/* Called with what is wrong with a file, for each thing and in no certain order. */
typedef void config_fault_cb(int line, const char *words, void *arg);

/*
 * What there is to be said of one file: faults, told together and in the order of their
 * lines, and notes, told at once.
 */
enum {
	FAULTS_TOLD = 10, /* those of the first lines */
};

struct fault {
	int line;
	char *words;
};

struct report {
	const char *file; /* its name in messages */
	struct fault faults[FAULTS_TOLD]; /* by their lines */
	size_t fault_count;
	config_note_cb *noted; /* NULL: nobody wants to know */
	void *arg;
};

void report_fault(struct report *report, int line, const char *format,
		  ...) PRINTF(3, 4);
void report_note_at(struct report *report, int line, const char *format,
		    ...) PRINTF(3, 4);
/* The same as callbacks whose argument is a report.  The words of a note begin with
 * "LINE: ". */
void report_words(int line, const char *words, void *report);
void report_note(const char *words, void *report);
bool report_has(const struct report *report, const char *words);
/* "FILE:LINE: ...", a line for each fault that there is room for. */
void report_tell(const struct report *report, char *why, size_t why_size);
void report_clear(struct report *report);

enum section_kind {
	SECTION_MAIN, /* what is in no section */
	SECTION_LISTEN,
	SECTION_POLICY,
	SECTION_UNKNOWN, /* it begins like one, but with another word */
};

/* The word that begins it. */
const char *section_word(enum section_kind kind);

/* "policy \"lan\": ", to be freed; "" for NULL, the main part. */
char *section_prefix(const struct section *section);

/*
 * A section: what it gives in place of what the main part says.
 */
enum {
	SECTIONS_MOST = 64, /* of each kind */
};

struct section {
	enum section_kind kind;
	char *name;
	int line;
	int given[OPTION_COUNT]; /* in which line; 0: it is not */
	struct config values;	 /* of what is given */
};

struct section_list {
	size_t count;
	struct section **at;
};

struct sections {
	int given[OPTION_COUNT]; /* in the main part */
	struct section_list listens, policies;
	/* A row for each listener, that of the main part first; in it that without a
	 * policy, and one for each policy: NULL if that is for other listeners. */
	struct config **snapshots;
	size_t snapshot_count;
};

/* NULL: there are as many as there can be. */
struct section *section_add(struct sections *sections, enum section_kind kind,
			    const char *name, int line);
struct section *section_find(struct sections *sections, enum section_kind kind,
			     const char *name);
void section_append(struct section_list *list, struct section *section);
struct section *section_copy(const struct section *from);
void sections_clear(struct section_list *list);

/* Gives SECTION what FROM gives of OPT, be it nothing. */
void section_copy_option(struct section *section, const struct option *opt,
			 const struct section *from);

/* False for a section that is NULL. */
bool section_gives(const struct section *section, const struct option *opt);

/* Makes the snapshots from ROOT and its sections, in place of those that were there. */
void sections_derive(struct config *root);

/* True if ID is what we call ourselves with CFG in Authentication-Results, before or after
 * config_name_host(). */
bool config_is_own_name(const struct config *cfg, const char *id);

/* What a file comes to: its snapshots, faults that lie between options, and, if there are
 * none of any kind, notes about what is doubtful.  False: there are faults. */
bool config_check_together(struct report *report, struct config *cfg) MUST_CHECK;
void sections_forget(struct config *root); /* all but ROOT itself */
void sections_free(struct config *root);

/* What sections do not tell alone: which of them get in each other's way. */
void sections_check(const struct config *root, struct report *report);

/*
 * From a tidied text, which is changed, to the values and the sections of CFG, whose
 * options have their defaults and whose lists are empty.  NULL: lists get their defaults.
 * If there is any fault, CFG is good for nothing.
 */
void config_parse(char *text, struct report *report, struct config *cfg);

/*
 * The text of a file, before libconfuse sees it.
 *
 * libconfuse 3.3 puts environment variables into strings, keeps control characters that
 * escapes make, eats what it does not know, and after a string that does not end its
 * lexer would begin the next file inside of it.  So what it gets is plain: config_tidy()
 * turns comments into blanks and refuses whatever would surprise.
 */

enum {
	CONFIG_LARGEST_FILE = 1 << 18, /* nobody writes that; some may name /dev/zero */
};

/* Reads FILE in DIRECTORY; malloc'd, or NULL with WHY, which begins with SHOWN. */
char *config_read_text(int directory, const char *file, const char *shown, char *why,
		       size_t why_size) MUST_CHECK;

/* Tidies TEXT in place.  Lines that are refused become blank. */
void config_tidy(char *text, config_fault_cb *refused, void *arg);

/*
 * One statement in a tidied text: an option, the head of a section, or its end.
 *
 * An option is "NAME = VALUE" or "NAME += VALUE", in a line of its own; only a list in
 * braces may go on in others.  A section is all that stands between a line
 * listen "NAME" {, or policy "NAME" {, and a line }.  What libconfuse would read too, but
 * otherwise than it was meant, is a fault.
 */
enum statement_kind {
	STATEMENT_OPTION,
	STATEMENT_HEAD,	 /* of a section: listen "NAME" { */
	STATEMENT_CLOSE, /* of a section: } in a line of its own, or the end of the text */
};

struct statement {
	enum statement_kind kind;
	enum section_kind section; /* in which it is; of a head: which it begins */
	int section_line;
	bool leaves;		   /* the section ends with it */
	char title[65];		   /* of a head; "": it has none that is allowed */
	const char *next; /* set it to the text, and NEXT_LINE to 1 */
	int next_line;
	int line;		  /* of the name */
	const char *name;	  /* not terminated; all ends before NEXT */
	size_t size;		  /* 0: there is none */
	const struct option *opt; /* NULL: there is none of that name */
	bool adds;		  /* += */
	int why_line;
	char why[256]; /* what is wrong; empty: nothing */
};

/* Call until it says that there is no more. */
bool config_next_statement(struct statement *found);

/*
 * Files of smtp-gated 1.4: "name value" lines (reference: smtp-gated.conf(5), "Files of
 * 1.4").  Rewritten to native syntax before libconfuse sees them, line for line, so that
 * line numbers stay right.
 */

enum config_syntax {
	SYNTAX_NONE,   /* there are only comments */
	SYNTAX_NATIVE, /* it may be wrong, though */
	SYNTAX_LEGACY, /* of 1.4: the first line that says anything has a name and a
	                  value with no '=' between */
};
enum config_syntax config_syntax_of(const char *text);

/* Returns the native form of TEXT, malloc'd.  What is noted begins with "LINE: ".  A line
 * that is refused is left empty.  KEEP: with the comments, and with new ones about what is
 * not as it was. */
char *config_from_legacy(const char *text, bool keep, config_fault_cb *refused,
			 config_note_cb *noted, void *arg) MUST_CHECK;

/* In a file of 1.4: how long the name at TEXT is; the line behind that of AT. */
size_t legacy_name_size(const char *text);
const char *legacy_next_line(const char *at);

/* LINE begins with listen or policy: no file of 1.4 has that. */
bool legacy_is_section(const char *line);

/* What became of it: rows of config_legacy.c. */
enum old_fate {
	OBSOLETE, /* what it was for is no more */
	GONE,	  /* a file with it is refused */
	RENAMED,  /* to what the hint says */
};

struct old_option { /* that options.def does not have */
	const char *name;
	enum old_fate fate;
	const char *off;  /* the value which meant that nothing happens; "": only empty */
	const char *hint; /* what to do instead, or why it is not missed */
};

/* Values that are written otherwise now, or mean what we cannot do.  Never may one silently
 * become another. */
struct old_value {
	const char *name, *value;
	const char *fresh; /* what to write instead; NULL: the file is refused */
	const char *why;
};

const struct old_option *legacy_old_option(const char *name, size_t size);
const struct old_value *legacy_old_value(const char *name, const char *value);
void legacy_fate_words(const struct old_option *old, char *words, size_t size);

/* Puts into WORDS what became of a value of an option of 1.4 that we do not have.  False:
 * 1.4 had none of that name. */
bool config_old_value(const char *name, const char *value, char *words,
		      size_t words_size);

/* The names of 1.4 that we do not have, one by one; NULL when INDEX is beyond the last. */
const char *config_old_name(size_t index);

#endif
