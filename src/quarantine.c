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
 * The daemon's side.  Whatever takes time is done in steps, one for each turn of the loop.
 */
enum {
	STEP_BYTES = 256 * 1024, /* read, hashed and perhaps copied in a step */
	ATTEMPTS = 10,           /* at a name that is not taken yet */
	LOOK_SECONDS = 300,      /* between two looks whether any has become too old */
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
	struct room room;
	STAILQ_HEAD(, job) jobs;
	struct event *step, *look;
	char *buffer; /* of STEP_BYTES, while there are jobs */
};

static void
turn_soon(struct quarantine *q)
{
	static const struct timeval at_once = { 0 };

	evtimer_add(q->step, &at_once);
}

/* For the room: NULL asks about any. */
static bool
is_on_its_way(const char *id, void *arg)
{
	const struct quarantine *q = arg;
	const struct job *job;

	STAILQ_FOREACH(job, &q->jobs, link)
	if (!id || strcmp(job->id, id) == 0)
		return true;
	return false;
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
	room_forget(&q->room, job->id);
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

	room_before_change(&q->room);
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
	room_after_change(&q->room);
}

/* ---- keeping ------------------------------------------------------------------------------ */

static bool
is_taken(struct quarantine *q, const char *id)
{
	char name[STORE_NAME_SIZE];
	struct stat info;

	store_name(name, id, STORE_NOTE);
	return is_on_its_way(id, q) ||
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

	if (q->limits.size == 0 || store_entry("", size).charge <= q->limits.size)
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
	room_before_change(&q->room);
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
	room_add(&q->room, id, size);
	room_after_change(&q->room);
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
	static const struct timeval later = { .tv_usec = 100000 };
	struct quarantine *q = arg;
	enum room_step left;

	(void)fd, (void)what;
	if (!STAILQ_EMPTY(&q->jobs))
		write_some(q);
	left = room_go_on(&q->room);
	if (!STAILQ_EMPTY(&q->jobs) || left == ROOM_MORE)
		turn_soon(q);
	else if (left == ROOM_LATER)
		evtimer_add(q->step, &later);
}

static void
on_look(evutil_socket_t fd, short what, void *arg)
{
	struct quarantine *q = arg;

	(void)fd, (void)what;
	room_look(&q->room);
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
	q->room = (struct room){
		.path = q->path,
		.directory = q->directory,
		.limits = &q->limits,
		.is_busy = is_on_its_way,
		.arg = q,
	};
	room_open(&q->room);
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
	room_close(&q->room);
	if (q->step)
		event_free(q->step);
	if (q->look)
		event_free(q->look);
	if (q->directory >= 0)
		close(q->directory);
	free(q->path);
	free(q);
}
