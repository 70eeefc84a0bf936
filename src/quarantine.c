#include "quarantine_internal.h"

#include "stats.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The daemon's side: keeping, and making room.  Whatever takes time is done in steps, one
 * for each turn of the loop.
 */
enum {
	STEP_BYTES = 256 * 1024, /* read, hashed and perhaps copied in a step */
	STEP_NAMES = 128,        /* looked at in a step */
	STEP_DROPS = 32,         /* messages removed in a step */
	ATTEMPTS = 10,           /* at a name that is not taken yet */
	LOOK_SECONDS = 300,      /* between two looks whether any has become too old */
	RESCAN_LEAST = 5,        /* seconds between two looks at all names */
	RESCAN_MOST = 3600,
};

/* A message on its way. */
struct job {
	char id[QUARANTINE_ID_SIZE];
	struct log_ctx log;
	struct spool *spool; /* held */
	json_t *note;
	EVP_MD_CTX *hash;
	uint64_t at;
	int copy; /* descriptor; -1: the message has its name already */
	STAILQ_ENTRY(job) link;
};

struct quarantine {
	char *path;
	int directory;
	struct quarantine_limits limits;
	struct store_list kept;  /* jobs included */
	struct store_scan *scan; /* under way, or NULL */
	struct store_list found; /* by it, and kept meanwhile */
	time_t scanned;          /* when it began */
	struct timespec changed; /* the directory, by ourselves */
	bool is_shared;          /* others have changed it since it was scanned */
	bool is_stuck;           /* what has to go cannot be removed */
	STAILQ_HEAD(, job) jobs;
	struct event *step, *look;
	char *buffer; /* of STEP_BYTES, while there are jobs */
};

/* ---- what there is -------------------------------------------------------------------- */

static void
count(const struct quarantine *q)
{
	stats_set(STAT_quarantine_now, (int64_t)(q->kept.end - q->kept.first));
	stats_set(STAT_quarantine_bytes, (int64_t)q->kept.charge);
}

static void
add(struct quarantine *q, const char *id, uint64_t size)
{
	store_list_insert(&q->kept, id, store_charge(size));
	if (q->scan)
		store_list_add(&q->found, id, store_charge(size));
	count(q);
}

static void
forget(struct quarantine *q, const char *id)
{
	store_list_forget(&q->kept, id);
	store_list_forget(&q->found, id);
	count(q);
}

static struct timespec
change_time(const struct quarantine *q)
{
	struct stat info = { 0 };

	(void)fstat(q->directory, &info);
	return info.st_mtim;
}

/* Some may have been deleted or released, or put there by another daemon.  To be called
 * before we change the directory ourselves. */
static void
look_for_others(struct quarantine *q)
{
	struct timespec now = change_time(q);

	q->is_shared |= now.tv_sec != q->changed.tv_sec ||
	                now.tv_nsec != q->changed.tv_nsec;
}

static void
turn_soon(struct quarantine *q)
{
	static const struct timeval at_once = { 0 };

	if (!event_pending(q->step, EV_TIMEOUT, NULL))
		evtimer_add(q->step, &at_once);
}

static void
scan_begin(struct quarantine *q)
{
	assert(!q->scan);
	q->scanned = time(NULL);
	q->changed = change_time(q);
	q->is_shared = false;
	q->scan = store_scan_begin(q->directory);
	if (!q->scan)
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "cannot see what is in the quarantine"),
		          log_text("quarantine_path", q->path), log_error(errno));
	else
		turn_soon(q);
}

static void
note_found(const struct store_entry *entry, void *arg)
{
	store_list_add(arg, entry->id, entry->charge);
}

/* What was found is all there is, and what has no name yet. */
static void
scan_some(struct quarantine *q)
{
	struct job *job;

	if (store_scan_some(q->scan, STEP_NAMES, note_found, &q->found))
		return;
	store_scan_end(q->scan);
	q->scan = NULL;
	STAILQ_FOREACH(job, &q->jobs, link)
	store_list_add(&q->found, job->id,
	               store_charge(spool_message_size(job->spool)));
	store_list_clear(&q->kept);
	q->kept = q->found;
	q->found = (struct store_list){ 0 };
	store_list_sort(&q->kept);
	count(q);
}

/* ---- making room ------------------------------------------------------------------------ */

static const struct job *
job_of(const struct quarantine *q, const char *id)
{
	const struct job *job;

	STAILQ_FOREACH(job, &q->jobs, link)
	if (strcmp(job->id, id) == 0)
		return job;
	return NULL;
}

static bool
is_over(const struct quarantine *q)
{
	return q->limits.size > 0 && q->kept.charge > q->limits.size;
}

/* Why the oldest has to go; NULL: it may stay, or must until it has been written. */
static const char *
why_drop(const struct quarantine *q)
{
	const struct store_entry *oldest = store_list_oldest(&q->kept);
	const char *why = NULL;

	if (!oldest || q->scan || q->is_stuck)
		return NULL;
	if (q->limits.age > 0 && store_time(oldest->id) <= time(NULL) - q->limits.age)
		why = "age";
	else if (is_over(q))
		why = "size";
	return why && !job_of(q, oldest->id) ? why : NULL;
}

struct dropped {
	unsigned count;
	uint64_t bytes;
	char oldest[QUARANTINE_ID_SIZE], newest[QUARANTINE_ID_SIZE];
};

/* What others have removed already makes room as well. */
static void
drop_oldest(struct quarantine *q, struct dropped *dropped)
{
	const struct store_entry *oldest = store_list_oldest(&q->kept);
	bool removed = store_remove(q->directory, oldest->id);

	q->is_stuck = !removed && errno != ENOENT;
	if (q->is_stuck) {
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "a kept message cannot be removed; it will "
		                           "be tried again"),
		          log_text("quarantine_path", q->path),
		          log_text("id", oldest->id), log_error(errno));
		return;
	}
	if (removed) {
		if (dropped->count++ == 0)
			memcpy(dropped->oldest, oldest->id, QUARANTINE_ID_SIZE);
		memcpy(dropped->newest, oldest->id, QUARANTINE_ID_SIZE);
		dropped->bytes += oldest->charge;
	}
	store_list_drop_oldest(&q->kept);
}

/* Those of one reason, so that it can be told in a line. */
static void
drop_some(struct quarantine *q)
{
	struct dropped dropped = { 0 };
	const char *why = why_drop(q);

	look_for_others(q);
	for (unsigned i = 0; i < STEP_DROPS && why_drop(q) == why; i++)
		drop_oldest(q, &dropped);
	q->changed = change_time(q);
	count(q);
	if (dropped.count == 0)
		return;
	stats_add(STAT_quarantine_dropped, dropped.count);
	log_event(NULL, LOG_DISCARDED_EVENT, log_text("why", why),
	          log_number("messages", dropped.count),
	          log_number("bytes", (int64_t)dropped.bytes),
	          log_text("oldest", dropped.oldest),
	          log_text("newest", dropped.newest));
}

/* Before any is dropped for its size it must be known what there still is. */
static bool
scan_is_due(struct quarantine *q)
{
	time_t since = time(NULL) - q->scanned;

	look_for_others(q);
	if (q->scan || (since >= 0 && since < RESCAN_LEAST))
		return false;
	return since < 0 || since > RESCAN_MOST || q->is_shared;
}

/* ---- writing ----------------------------------------------------------------------------- */

static void
job_free(struct job *job)
{
	spool_drop(job->spool);
	json_decref(job->note);
	EVP_MD_CTX_free(job->hash);
	free(job);
}

static void
job_end(struct quarantine *q, struct job *job)
{
	assert(job == STAILQ_FIRST(&q->jobs));
	STAILQ_REMOVE_HEAD(&q->jobs, link);
	job_free(job);
	if (!STAILQ_EMPTY(&q->jobs))
		return;
	free(q->buffer);
	q->buffer = NULL;
}

static const char *
advice(int error)
{
	if (error == ENOSPC || error == EDQUOT)
		return "a message could not be kept: make room there, or set "
		       "quarantine_max_size to less than there is";
	if (error == EACCES || error == EPERM || error == EROFS)
		return "a message could not be kept: the user of the daemon must be "
		       "able to write there";
	return "a message could not be kept";
}

static void
tell_failure(const struct quarantine *q, const struct log_ctx *log, int error)
{
	stats_add(STAT_quarantine_failed, 1);
	log_event(log, LOG_TROUBLE_EVENT, log_text("text", advice(error)),
	          log_text("quarantine_path", q->path), log_error(error));
}

static void
job_fail(struct quarantine *q, struct job *job, int error)
{
	tell_failure(q, &job->log, error);
	if (job->copy >= 0)
		store_abort(q->directory, job->copy, job->id, STORE_MESSAGE);
	else
		(void)store_remove(q->directory, job->id);
	forget(q, job->id);
	job_end(q, job);
}

static bool
write_note(const struct quarantine *q, struct job *job)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	char *words;
	bool good;
	int fd;

	EVP_DigestFinal_ex(job->hash, hash, &size);
	note_set_hash(job->note, hash, size);
	fd = store_begin(q->directory, job->id, STORE_NOTE, q->limits.mode);
	if (fd < 0)
		return false;
	words = note_text(job->note);
	good = store_write(fd, words, strlen(words));
	if (!good) {
		int error = errno;

		store_abort(q->directory, fd, job->id, STORE_NOTE);
		errno = error;
	}
	free(words);
	return good && store_finish(q->directory, fd, job->id, STORE_NOTE);
}

static bool
finish(const struct quarantine *q, struct job *job)
{
	int copy = job->copy;

	job->copy = -1;
	if (copy >= 0 && !store_finish(q->directory, copy, job->id, STORE_MESSAGE))
		return false;
	return write_note(q, job);
}

static void
job_finish(struct quarantine *q, struct job *job)
{
	if (!finish(q, job)) {
		job_fail(q, job, errno);
		return;
	}
	stats_add(STAT_quarantine_kept, 1);
	log_event(&job->log, LOG_KEPT_EVENT, log_text("id", job->id),
	          log_text("finding", note_string(job->note, "finding")),
	          log_number("size", (int64_t)spool_message_size(job->spool)));
	job_end(q, job);
}

/* A piece of MOST bytes at most.  Returns how many they were; 0 at the end, -1: errno. */
static ssize_t
job_go_on(struct quarantine *q, struct job *job, size_t most)
{
	ssize_t got = spool_read_message(job->spool, q->buffer, most, job->at);

	if (got == 0 && job->at < spool_message_size(job->spool)) {
		errno = EIO;
		return -1;
	}
	if (got <= 0)
		return got;
	EVP_DigestUpdate(job->hash, q->buffer, (size_t)got);
	if (job->copy >= 0 && !store_write(job->copy, q->buffer, (size_t)got))
		return -1;
	job->at += (uint64_t)got;
	return got;
}

/* Of one large message, or several small ones. */
static void
write_some(struct quarantine *q)
{
	size_t left = STEP_BYTES;
	struct job *job;

	look_for_others(q);
	while (left > STEP_BYTES / 64 && (job = STAILQ_FIRST(&q->jobs))) {
		ssize_t got = job_go_on(q, job, left);

		if (got < 0) {
			job_fail(q, job, errno);
			break;
		}
		left -= (size_t)got;
		if (job->at < spool_message_size(job->spool))
			continue;
		left -= left < STEP_BYTES / 64 ? left : STEP_BYTES / 64;
		job_finish(q, job);
	}
	q->changed = change_time(q);
}

/* ---- keeping ------------------------------------------------------------------------------ */

static bool
is_taken(const struct quarantine *q, const char *id)
{
	char name[STORE_NAME_SIZE];
	struct stat info;

	store_name(name, id, STORE_NOTE);
	return job_of(q, id) ||
	       fstatat(q->directory, name, &info, AT_SYMLINK_NOFOLLOW) == 0;
}

/* At once if it can be, else as a copy that begins here. */
static bool
job_place(struct quarantine *q, struct job *job)
{
	char name[STORE_NAME_SIZE];

	store_name(name, job->id, STORE_MESSAGE);
	job->copy = -1;
	if (spool_link(job->spool, q->directory, name, q->limits.mode))
		return true;
	if (errno == EEXIST || errno == ENOSPC)
		return false;
	if (faccessat(q->directory, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		errno = EEXIST;
		return false;
	}
	job->copy = store_begin(q->directory, job->id, STORE_MESSAGE, q->limits.mode);
	return job->copy >= 0;
}

/* Its ID may have been taken, by whatever somebody has put there. */
static bool
job_begin(struct quarantine *q, struct job *job, time_t now)
{
	for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
		store_id(job->id, now, &job->log, attempt);
		if (is_taken(q, job->id)) {
			errno = EEXIST;
			continue;
		}
		if (job_place(q, job))
			return true;
		if (errno != EEXIST)
			return false;
	}
	return false;
}

static struct job *
job_new(struct spool *spool, const struct log_ctx *log)
{
	struct job *job = xcalloc(1, sizeof(*job));

	job->log = *log;
	job->spool = spool_hold(spool);
	job->hash = EVP_MD_CTX_new();
	job->copy = -1;
	if (!job->hash || !EVP_DigestInit_ex(job->hash, EVP_sha256(), NULL))
		abort(); /* there is no memory, or no SHA-256 */
	return job;
}

/* Said in full, for what is to be done about it. */
static bool
fits(const struct quarantine *q, const struct spool *spool, const struct log_ctx *log)
{
	uint64_t size = spool_message_size(spool);

	if (q->limits.size == 0 || store_charge(size) <= q->limits.size)
		return true;
	stats_add(STAT_quarantine_failed, 1);
	log_event(log, LOG_TROUBLE_EVENT,
	          log_text("text", "a message was not kept: it is larger than all that "
	                           "may be kept; raise quarantine_max_size"),
	          log_number("size", (int64_t)size),
	          log_number("quarantine_max_size", (int64_t)q->limits.size));
	return false;
}

bool
quarantine_keep(struct quarantine *q, struct spool *spool,
                const struct quarantine_note *note, char id[static QUARANTINE_ID_SIZE])
{
	uint64_t size = spool_message_size(spool);
	time_t now = time(NULL);
	struct job *job;

	if (!fits(q, spool, note->log))
		return false;
	look_for_others(q);
	job = job_new(spool, note->log);
	if (!job_begin(q, job, now)) {
		tell_failure(q, note->log, errno);
		job_free(job);
		return false;
	}
	STAILQ_INSERT_TAIL(&q->jobs, job, link);
	if (!q->buffer)
		q->buffer = xmalloc(STEP_BYTES);
	job->note = note_new(job->id, now, note, size);
	memcpy(id, job->id, QUARANTINE_ID_SIZE);
	add(q, id, size);
	q->changed = change_time(q);
	turn_soon(q);
	return true;
}

char *
quarantine_path(const struct quarantine *q, const char *id)
{
	char name[STORE_NAME_SIZE];

	store_name(name, id, STORE_MESSAGE);
	return xasprintf("%s/%s", q->path, name);
}

const char *
quarantine_directory(const struct config *cfg)
{
	if (cfg->quarantine_path[0])
		return cfg->quarantine_path;
	return cfg->spool_path;
}

/* ---- the loop ------------------------------------------------------------------------------ */

static void
on_step(evutil_socket_t fd, short what, void *arg)
{
	struct quarantine *q = arg;

	(void)fd, (void)what;
	if (!STAILQ_EMPTY(&q->jobs))
		write_some(q);
	if (q->scan)
		scan_some(q);
	if (why_drop(q)) {
		if (scan_is_due(q))
			scan_begin(q);
		else
			drop_some(q);
	}
	if (q->scan || !STAILQ_EMPTY(&q->jobs) || why_drop(q))
		turn_soon(q);
}

static void
on_look(evutil_socket_t fd, short what, void *arg)
{
	struct quarantine *q = arg;

	(void)fd, (void)what;
	q->is_stuck = false;
	if (scan_is_due(q))
		scan_begin(q);
	else if (why_drop(q))
		turn_soon(q);
}

/* Often enough for a limit that is short. */
static void
look_regularly(struct quarantine *q)
{
	struct timeval pause = { .tv_sec = LOOK_SECONDS };

	if (q->limits.age > 0 && q->limits.age < 10 * (int64_t)LOOK_SECONDS)
		pause.tv_sec = (time_t)(q->limits.age + 9) / 10;
	event_add(q->look, &pause);
}

void
quarantine_set(struct quarantine *q, const struct quarantine_limits *limits)
{
	q->limits = *limits;
	look_regularly(q);
	turn_soon(q);
}

/* False: errno. */
static bool
can_write(const struct quarantine *q)
{
	return faccessat(q->directory, ".", W_OK | X_OK, AT_EACCESS) == 0;
}

struct quarantine *
quarantine_new(struct event_base *base, const char *directory,
               const struct quarantine_limits *limits, char *why, size_t why_size)
{
	struct quarantine *q = xcalloc(1, sizeof(*q));

	STAILQ_INIT(&q->jobs);
	q->path = xstrdup(directory);
	q->directory = store_open(directory);
	if (q->directory < 0 || !can_write(q)) {
		snprintf(why, why_size, "cannot keep messages in %s: %s%s", directory,
		         strerror(errno),
		         errno == EACCES ? "; it must be writable for set_user" : "");
		quarantine_free(q);
		return NULL;
	}
	q->step = evtimer_new(base, on_step, q);
	q->look = event_new(base, -1, EV_PERSIST, on_look, q);
	scan_begin(q);
	quarantine_set(q, limits);
	return q;
}

void
quarantine_free(struct quarantine *q)
{
	if (!q)
		return;
	while (!STAILQ_EMPTY(&q->jobs))
		write_some(q);
	store_scan_end(q->scan);
	store_list_clear(&q->kept);
	store_list_clear(&q->found);
	if (q->step)
		event_free(q->step);
	if (q->look)
		event_free(q->look);
	if (q->directory >= 0)
		close(q->directory);
	free(q->path);
	free(q);
}
