#include "check_clamav_internal.h"

#include "clock.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

/*
 * Verdicts that are known: a message like one that was scanned is not scanned again.
 *
 * Like it: of the same SHA-256, over all that libclamav is given, to the byte, but for two
 * words of the header that we put in ourselves (below).  What else a verdict depends on is
 * the engine (one state of the signatures, one set of options and limits); so the table is
 * the engine's, and goes with it.  The digest begins with a secret of the engine's: nobody
 * can make messages whose digests begin alike.
 *
 * Kept is a verdict of "clean" or "virus" of a scan about which libclamav had nothing to
 * complain, no warning even, that met no limit, that nobody cancelled, and during which
 * temporary files were not short.  What is unscannable is scanned again: some of it would
 * be the same again, but whether it is so nobody tells us.  That temporary files were short
 * may be noticed late, by another scan: how often it was noticed is in the digest, so that
 * no verdict from before is believed.
 *
 * Our header: with nat_header_type = generic no message is the same twice, for it has the
 * port of the client and an id.  The digest is made with zeros in place of their digits and
 * letters (header.h): two messages of one digest have our header in the same place, as long,
 * folded alike, and the same in it but for five digits and an id that nobody outside has
 * made.  A signature could tell them apart only if it were one of our ids.  The address of
 * the client, and what its router calls it, do count: somebody might have a signature that
 * names them.
 *
 * Attachments that come again, in messages that do not, are scanned again.  libclamav could
 * be told to skip them (CL_BREAK), but then it does not count what is in them: a message
 * beyond scan_max_unpacked or scan_max_files, unscannable as a whole, would be clean if one
 * of its archives was known; and whether a signature matches depends on what a file is in.
 * (Tried on 1.4.6.)
 */

enum {
	PIECE = 65536,
};

struct clamav_known {
	struct scancache *verdicts;
	EVP_MD *sha256;
	unsigned char secret[SCANCACHE_DIGEST];
};

struct clamav_known *
clamav_known_new(void)
{
	struct clamav_known *known = xcalloc(1, sizeof *known);

	known->verdicts = scancache_new(0);
	known->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (!known->sha256 || RAND_bytes(known->secret, sizeof known->secret) != 1)
		abort(); /* libcrypto without what it is there for, or without memory */
	return known;
}

void
clamav_known_free(struct clamav_known *known)
{
	if (!known)
		return;
	scancache_free(known->verdicts);
	EVP_MD_free(known->sha256);
	free(known);
}

void
clamav_known_limit(struct clamav_known *known, unsigned most)
{
	scancache_limit(known->verdicts, most);
}

unsigned
clamav_known_count(struct clamav_known *known)
{
	return scancache_count(known->verdicts);
}

/* -- digests ---------------------------------------------------------------------------- */

static bool
add_piece(EVP_MD_CTX *digest, const struct spool *message, uint64_t from, size_t size)
{
	const char *memory = spool_memory(message);
	char piece[PIECE];

	if (memory)
		return EVP_DigestUpdate(digest, memory + from, size) == 1;
	assert(size <= sizeof piece);
	return spool_read(message, piece, size, from) == (ssize_t)size &&
	       EVP_DigestUpdate(digest, piece, size) == 1;
}

/* From FROM up to, and without, TO. */
static bool
add_range(EVP_MD_CTX *digest, const struct spool *message, uint64_t from, uint64_t to)
{
	while (from < to) {
		size_t size = to - from < PIECE ? (size_t)(to - from) : PIECE;

		if (!add_piece(digest, message, from, size))
			return false;
		from += size;
	}
	return true;
}

/* The message, but our header as it would be with zeros. */
static bool
add_message(EVP_MD_CTX *digest, const struct clamav_scan *scan)
{
	const struct spool *message = scan->message;
	uint64_t all = spool_size(message), begin, end;

	if (!scan->header_blank)
		return add_range(digest, message, 0, all);
	begin = all - spool_message_size(message) + scan->header_at;
	end = begin + strlen(scan->header_blank);
	if (end > all) /* it is not where it should be: as it is, then */
		return add_range(digest, message, 0, all);
	return add_range(digest, message, 0, begin) &&
	       EVP_DigestUpdate(digest, scan->header_blank, (size_t)(end - begin)) ==
	               1 &&
	       add_range(digest, message, end, all);
}

/* False: it cannot be read, which the scan will say; or for want of memory. */
static bool
make_digest(struct clamav_scan *scan)
{
	const struct clamav_known *known = scan->engine->known;
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	bool done;

	done = digest && EVP_DigestInit_ex2(digest, known->sha256, NULL) == 1 &&
	       EVP_DigestUpdate(digest, known->secret, sizeof known->secret) == 1 &&
	       EVP_DigestUpdate(digest, &scan->shortages, sizeof scan->shortages) ==
	               1 &&
	       add_message(digest, scan) &&
	       EVP_DigestFinal_ex(digest, scan->digest, NULL) == 1;
	EVP_MD_CTX_free(digest);
	return done;
}

/* -- in the thread, around a scan ---------------------------------------------------------- */

bool
clamav_known_find(struct clamav_scan *scan)
{
	struct clamav_known *known = scan->engine->known;
	struct finding *found = &scan->found;

	scan->shortages = atomic_load(&scan->clamav->disk_full);
	if (!scancache_is_on(known->verdicts) || !make_digest(scan))
		return false;
	scan->has_digest = true;
	if (!scancache_find(known->verdicts, scan->digest, found->name,
	                    sizeof found->name))
		return false;
	found->kind = found->name[0] != '\0' ? FOUND_VIRUS : FOUND_NOTHING;
	found->cached = true;
	return true;
}

void
clamav_known_keep(struct clamav_scan *scan)
{
	const struct finding *found = &scan->found;

	if (!scan->has_digest || scan->doubtful || atomic_load(&scan->cancelled) ||
	    atomic_load(&scan->clamav->disk_full) != scan->shortages)
		return;
	if (found->kind == FOUND_NOTHING ||
	    (found->kind == FOUND_VIRUS && found->name[0] != '\0'))
		scancache_put(scan->engine->known->verdicts, scan->digest, found->name);
}
