#ifndef CONFIG_INTERNAL_H
#define CONFIG_INTERNAL_H

#include "config.h"

/*
 * Files of smtp-gated 1.4: "name value" lines (reference: smtp-gated.conf(5), "Files of
 * 1.4").  Rewritten to native syntax before libconfuse sees them, line for line, so that
 * line numbers stay right.
 */

/* True if TEXT is a file in the syntax of 1.4: its first line that says anything has a
 * name and a value with no '=' between. */
bool config_is_legacy(const char *text);

/* Returns the native form of TEXT (malloc'd), or NULL with the complaint, which begins
 * with "LINE: ", in WHY. */
char *config_from_legacy(const char *text, char *why, size_t why_size,
			 config_note_cb *noted, void *arg) MUST_CHECK;

/* What config_legacy needs to know of an option of ours. */
enum option_kind {
	OPTION_NONE,		/* no such option */
	OPTION_BOOL,
	OPTION_INT,
	OPTION_STR,
	OPTION_WORD,
	OPTION_LIST,
};
enum option_kind config_option_kind(const char *name);

#endif
