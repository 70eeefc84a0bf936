#include "check_clamav_internal.h"

#include <stdio.h>
#include <string.h>

/*
 * What libclamav's names and codes mean.  clamd is libclamav in another process: it says the
 * same, in words.
 */

/* Keeps the gravest; of two like it, the first. */
void
clamav_note(struct finding *found, enum finding_kind kind, const char *name)
{
	if (finding_gravity(kind) <= finding_gravity(found->kind))
		return;
	found->kind = kind;
	snprintf(found->name, sizeof found->name, "%s", name);
	found->name[strcspn(found->name, "\r\n")] = '\0';
}

/* Why a part was not looked at, by the name of the virus that is none; else NULL. */
static const char *
limit_reason(const char *virus)
{
	static const struct {
		const char *begin, *reason;
	} limits[] = {
		{ "Heuristics.Limits.Exceeded.MaxRecursion", "too deep" },
		{ "Heuristics.Limits.Exceeded.MaxScanSize", "too big unpacked" },
		{ "Heuristics.Limits.Exceeded.MaxFileSize", "too big unpacked" },
		{ "Heuristics.Limits.Exceeded.MaxFiles", "too many files" },
		{ "Heuristics.Limits.Exceeded.MaxScanTime", "timed out" },
		{ "Heuristics.Limits.Exceeded.EmailMIMEParts", "too many parts" },
		{ "Heuristics.Limits.Exceeded.Email", "header too big" },
		{ "Heuristics.Limits.Exceeded", "beyond a limit" },
		{ "Heuristics.XZ.DicSizeLimit", "too big unpacked" },
		{ "Heuristics.Encrypted.", "encrypted" },
	};

	for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
		if (strncmp(virus, limits[i].begin, strlen(limits[i].begin)) == 0)
			return limits[i].reason;
	return NULL;
}

void
clamav_note_virus(struct finding *found, const char *virus)
{
	const char *reason = virus ? limit_reason(virus) : "too big unpacked";

	if (reason)
		clamav_note(found, FOUND_UNSCANNABLE, reason);
	else
		clamav_note(found, FOUND_VIRUS, virus);
}

/* What is neither found nor clean. */
void
clamav_note_code(struct finding *found, cl_error_t code)
{
	switch (code) {
	case CL_CLEAN:
	case CL_VIRUS:
		return;
	case CL_ETIMEOUT:
		clamav_note(found, FOUND_UNSCANNABLE, "timed out");
		return;
	case CL_EMAXREC:
		clamav_note(found, FOUND_UNSCANNABLE, "too deep");
		return;
	case CL_EMAXSIZE:
		clamav_note(found, FOUND_UNSCANNABLE, "too big unpacked");
		return;
	case CL_EMAXFILES:
		clamav_note(found, FOUND_UNSCANNABLE, "too many files");
		return;
	case CL_EFORMAT: /* the same again, however often it is tried */
	case CL_EPARSE:
	case CL_EUNPACK:
	case CL_BREAK:
		clamav_note(found, FOUND_UNSCANNABLE, cl_strerror(code));
		return;
	case CL_EWRITE:
	case CL_ECREAT:
	case CL_ETMPFILE:
	case CL_ETMPDIR:
	case CL_EOPEN:
	case CL_EUNLINK:
	case CL_ESTAT:
	case CL_EREAD:
	case CL_ESEEK:
	case CL_EDUP:
	case CL_EACCES:
	case CL_EMAP:
	case CL_EMEM:
	case CL_ENULLARG: /* from here on: never of a scan, by its documentation */
	case CL_EARG:
	case CL_EMALFDB:
	case CL_ECVD:
	case CL_EVERIFY:
	case CL_EBYTECODE:
	case CL_EBYTECODE_TESTFAIL:
	case CL_ELOCK:
	case CL_EBUSY:
	case CL_ESTATE:
	case CL_VERIFIED: /* of a file in the mail, never of the mail */
	case CL_ERROR:
	case CL_ELAST_ERROR:
		break;
	}
	/* A code that later versions add, too: not clean. */
	clamav_note(found, FOUND_FAILED, cl_strerror(code));
}

/* In what its versions call a code. */
void
clamav_note_words(struct finding *found, const char *words)
{
	char name[FINDING_NAME_SIZE];

	for (int code = CL_CLEAN + 1; code < CL_ELAST_ERROR; code++)
		if (code != CL_VIRUS && strcmp(words, cl_strerror(code)) == 0) {
			clamav_note_code(found, (cl_error_t)code);
			return;
		}
	snprintf(name, sizeof name, "clamd says: %.100s", words);
	clamav_note(found, FOUND_FAILED, name);
}
