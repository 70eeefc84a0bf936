#include "ratestore_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * LMDB keeps its promises as long as the file is what it wrote: a transaction is on disk
 * or it is not, and a crash or a power cut damages nothing.  Of a file that something else
 * has damaged it may die: ratestore_whole.c.
 */

#define DATA RATEFILE_DATA

struct ratefile {
	char *path;
	MDB_env *env;
	MDB_dbi table;
	size_t room, most_room;
};

bool
ratefile_fail(char *why, size_t why_size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, why_size, format, args);
	va_end(args);
	return false;
}

/* Not the disk's, not the permissions': what is in the file. */
static bool
is_damage(int error)
{
	return error == MDB_INVALID || error == MDB_CORRUPTED ||
	       error == MDB_PAGE_NOTFOUND || error == MDB_VERSION_MISMATCH ||
	       error == MDB_PANIC || error == MDB_CURSOR_FULL ||
	       error == MDB_PAGE_FULL || error == MDB_INCOMPATIBLE;
}

/* ---- opening ------------------------------------------------------------------------ */

/* It fails while another process opens or closes it. */
static int
open_patiently(MDB_env **env, const char *path, size_t room, unsigned flags)
{
	int error = EAGAIN;

	for (int tries = 0; tries < 50 && (error == EAGAIN || error == EBUSY);
	     tries++) {
		if (tries > 0)
			nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
		error = mdb_env_create(env);
		if (error != 0)
			return error;
		if (room > 0)
			(void)mdb_env_set_mapsize(*env, room);
		error = mdb_env_open(*env, path, flags | MDB_NOTLS, 0600);
		if (error != 0)
			mdb_env_close(*env);
	}
	return error;
}

static int
open_table(MDB_env *env, unsigned flags, MDB_dbi *table)
{
	MDB_txn *txn;
	int error = mdb_txn_begin(env, NULL, flags, &txn);

	if (error != 0)
		return error;
	error = mdb_dbi_open(txn, NULL, 0, table);
	if (error == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return error;
}

/* Programs that we start have no business with it. */
static void
hide_from_children(MDB_env *env)
{
	int fd;

	if (mdb_env_get_fd(env, &fd) == 0)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

struct ratefile *
ratefile_open(const char *path, size_t room, size_t most_room, bool *damaged, char *why,
              size_t why_size)
{
	struct ratefile *file;
	MDB_env *env;
	MDB_dbi table;
	int error = open_patiently(&env, path, room, 0), readers;

	if (error == 0) {
		hide_from_children(env);
		(void)mdb_reader_check(env, &readers);
		error = open_table(env, 0, &table);
		if (error != 0)
			mdb_env_close(env);
	}
	*damaged = is_damage(error);
	if (error != 0) {
		(void)ratefile_fail(
			why, why_size, "cannot open " DATA " in it: %s%s",
			mdb_strerror(error),
			error == EACCES   ? "; it must be writable for set_user"
			: error == ENOMEM ? "; see limit_virt_size, and ratelimit_max"
					  : "");
		return NULL;
	}
	file = xcalloc(1, sizeof(*file));
	file->path = xstrdup(path);
	file->env = env;
	file->table = table;
	file->room = room;
	file->most_room = most_room;
	return file;
}

void
ratefile_close(struct ratefile *file)
{
	if (!file)
		return;
	mdb_env_close(file->env);
	free(file->path);
	free(file);
}

/* ---- writing ------------------------------------------------------------------------ */

static MDB_val
key_val(const struct rate_key *key)
{
	return (MDB_val){ .mv_size = key->size, .mv_data = (void *)key->at };
}

/* What is there, advanced to now.  None, or what nobody can read: all zero. */
static int
get(struct ratefile *file, MDB_txn *txn, const struct rate_batch *batch,
    const struct rate_key *key, struct rate_record *record)
{
	MDB_val at = key_val(key), value;
	int error = mdb_get(txn, file->table, &at, &value);

	*record = (struct rate_record){ 0 };
	if (error != 0)
		return error == MDB_NOTFOUND ? 0 : error;
	if (!rate_record_decode(record, value.mv_data, value.mv_size) ||
	    record->generation != batch->generation)
		rate_record_clear(record);
	return 0;
}

static int
put(struct ratefile *file, MDB_txn *txn, const struct rate_key *key,
    const struct rate_record *record)
{
	static _Thread_local char bytes[RATE_ENCODED_MAX];
	MDB_val at = key_val(key);
	MDB_val value = { .mv_data = bytes };

	value.mv_size = rate_record_encode(record, bytes, sizeof(bytes));
	return mdb_put(txn, file->table, &at, &value, 0);
}

/* SUM becomes what is there from now on. */
static int
add(struct ratefile *file, MDB_txn *txn, const struct rate_batch *batch,
    const struct rate_item *item, struct rate_record *sum)
{
	struct rate_record more;
	int error = get(file, txn, batch, &item->key, sum);

	if (error != 0)
		return error;
	rate_record_copy(&more, &item->record);
	rate_record_advance(sum, batch->period_ms, batch->now);
	rate_record_advance(&more, batch->period_ms, batch->now);
	rate_record_merge(sum, &more);
	rate_record_clear(&more);
	rate_record_forget(sum, batch->now - batch->servers_ms);
	sum->generation = batch->generation;
	return put(file, txn, &item->key, sum);
}

static int
forget(struct ratefile *file, MDB_txn *txn, const struct rate_batch *batch,
       const struct rate_item *item)
{
	MDB_val at = key_val(&item->key);
	struct rate_record there;
	int error = get(file, txn, batch, &item->key, &there);
	bool is_newer = there.touched > item->record.touched;

	rate_record_clear(&there);
	if (error != 0 || is_newer)
		return error;
	error = mdb_del(txn, file->table, &at, NULL);
	return error == MDB_NOTFOUND ? 0 : error;
}

static int
apply(struct ratefile *file, MDB_txn *txn, const struct rate_batch *batch,
      struct rate_record *sums)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i < batch->count; i++)
		if (batch->items[i].forget)
			error = forget(file, txn, batch, &batch->items[i]);
	for (size_t i = 0; error == 0 && i < batch->count; i++)
		if (!batch->items[i].forget)
			error = add(file, txn, batch, &batch->items[i], &sums[i]);
	return error;
}

static int
begin(struct ratefile *file, MDB_txn **txn)
{
	int error = mdb_txn_begin(file->env, NULL, 0, txn);

	if (error != MDB_MAP_RESIZED) /* by another process */
		return error;
	error = mdb_env_set_mapsize(file->env, 0);
	return error != 0 ? error : mdb_txn_begin(file->env, NULL, 0, txn);
}

static int
write_once(struct ratefile *file, const struct rate_batch *batch,
           struct rate_record *sums)
{
	MDB_txn *txn;
	int error = begin(file, &txn);

	if (error != 0)
		return error;
	error = apply(file, txn, batch, sums);
	if (error == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return error;
}

static bool
grow(struct ratefile *file)
{
	MDB_envinfo info;

	if (mdb_env_info(file->env, &info) != 0 ||
	    info.me_mapsize > file->most_room / 2)
		return false;
	return mdb_env_set_mapsize(file->env, 2 * info.me_mapsize) == 0;
}

static void
clear_all(struct rate_record *records, size_t count)
{
	for (size_t i = 0; i < count; i++)
		rate_record_clear(&records[i]);
}

bool
ratefile_write(struct ratefile *file, struct rate_batch *batch, char *why,
               size_t why_size)
{
	struct rate_record *sums = xcalloc(batch->count, sizeof(*sums));
	int error;

	while ((error = write_once(file, batch, sums)) == MDB_MAP_FULL && grow(file))
		clear_all(sums, batch->count);
	for (size_t i = 0; i < batch->count && error == 0; i++) {
		struct rate_record was = batch->items[i].record;

		batch->items[i].record = sums[i];
		sums[i] = was;
	}
	clear_all(sums, batch->count);
	free(sums);
	return error == 0 ||
	       ratefile_fail(why, why_size, "cannot write " DATA " in it: %s",
	                     mdb_strerror(error));
}

/* ---- reading -------------------------------------------------------------------------- */

static bool
key_from(struct rate_key *key, const MDB_val *val)
{
	*key = (struct rate_key){ .size = val->mv_size };
	if (val->mv_size > sizeof(key->at))
		return false;
	memcpy(key->at, val->mv_data, val->mv_size);
	return true;
}

static bool
begins_with(const struct rate_key *key, const struct rate_key *prefix)
{
	return key->size >= prefix->size &&
	       memcmp(key->at, prefix->at, prefix->size) == 0;
}

/* Passes over what nobody can read: another version may have written it. */
static int
walk(MDB_cursor *cursor, const struct rate_key *prefix, ratefile_each_cb *each,
     void *arg)
{
	MDB_val at = key_val(prefix), value;
	int error = mdb_cursor_get(cursor, &at, &value,
	                           prefix->size > 0 ? MDB_SET_RANGE : MDB_FIRST);
	struct rate_record record;
	struct rate_key key;

	for (; error == 0; error = mdb_cursor_get(cursor, &at, &value, MDB_NEXT)) {
		if (!key_from(&key, &at))
			continue;
		if (!begins_with(&key, prefix))
			return 0;
		if (rate_record_decode(&record, value.mv_data, value.mv_size))
			each(&key, &record, arg);
	}
	return error == MDB_NOTFOUND ? 0 : error;
}

static int
read_all(MDB_env *env, MDB_dbi table, const struct rate_key *prefix,
         ratefile_each_cb *each, void *arg)
{
	MDB_cursor *cursor;
	MDB_txn *txn;
	int error = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);

	if (error != 0)
		return error;
	error = mdb_cursor_open(txn, table, &cursor);
	if (error == 0) {
		error = walk(cursor, prefix, each, arg);
		mdb_cursor_close(cursor);
	}
	mdb_txn_abort(txn);
	return error;
}

bool
ratefile_each(struct ratefile *file, const struct rate_key *prefix,
              ratefile_each_cb *each, void *arg, char *why, size_t why_size)
{
	int error = read_all(file->env, file->table, prefix, each, arg);

	return error == 0 ||
	       ratefile_fail(why, why_size, "cannot read " DATA " in it: %s",
	                     mdb_strerror(error));
}

/* ---- is it whole? ----------------------------------------------------------------------- */

static int
count_in(MDB_txn *txn, MDB_dbi table, size_t *count)
{
	MDB_val at, value;
	MDB_cursor *cursor;
	int error = mdb_cursor_open(txn, table, &cursor);

	*count = 0;
	if (error != 0)
		return error;
	while (!(error = mdb_cursor_get(cursor, &at, &value, MDB_NEXT)))
		++*count;
	mdb_cursor_close(cursor);
	return error == MDB_NOTFOUND ? 0 : error;
}

/* Are as many there as there should be?  A page of nonsense may look like an empty one. */
static int
count(MDB_env *env, MDB_dbi table)
{
	MDB_stat stat;
	MDB_txn *txn;
	size_t is;
	int error = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);

	if (error != 0)
		return error;
	error = mdb_stat(txn, table, &stat);
	if (error == 0)
		error = count_in(txn, table, &is);
	if (error == 0 && is != stat.ms_entries)
		error = MDB_CORRUPTED;
	mdb_txn_abort(txn);
	return error;
}

static void
look_over(const struct rate_key *key, struct rate_record *record, void *arg)
{
	(void)key, (void)arg;
	rate_record_clear(record);
}

/* The list of pages that are free: LMDB's first table. */
static int
read_free(struct ratefile *file)
{
	MDB_val at, pages;
	MDB_cursor *cursor;
	MDB_txn *txn;
	int error = mdb_txn_begin(file->env, NULL, MDB_RDONLY, &txn);

	if (error != 0)
		return error;
	error = mdb_cursor_open(txn, 0, &cursor);
	if (error == 0) {
		while (!(error = mdb_cursor_get(cursor, &at, &pages, MDB_NEXT)))
			;
		mdb_cursor_close(cursor);
	}
	mdb_txn_abort(txn);
	return error == MDB_NOTFOUND ? 0 : error;
}

static int
try_to_write(struct ratefile *file)
{
	static const struct rate_key key = { .size = 1, .at = "?" };
	MDB_val at = key_val(&key), value = { .mv_size = 1, .mv_data = (void *)key.at };
	MDB_txn *txn;
	int error = begin(file, &txn);

	if (error != 0)
		return error;
	error = mdb_put(txn, file->table, &at, &value, 0);
	mdb_txn_abort(txn);
	return error == MDB_MAP_FULL ? 0 : error;
}

enum ratefile_state
ratefile_examine(const char *path, char *why, size_t why_size)
{
	static const struct rate_key all;
	bool damaged;
	struct ratefile *file = ratefile_open(path, 0, 0, &damaged, why, why_size);
	int error;

	if (!file)
		return damaged ? RATEFILE_DAMAGED : RATEFILE_FAILED;
	error = count(file->env, file->table);
	if (error == 0)
		error = read_all(file->env, file->table, &all, look_over, NULL);
	if (error == 0)
		error = read_free(file);
	if (error == 0)
		error = try_to_write(file);
	ratefile_close(file);
	if (error == 0)
		return RATEFILE_GOOD;
	(void)ratefile_fail(why, why_size, "%s", mdb_strerror(error));
	return is_damage(error) ? RATEFILE_DAMAGED : RATEFILE_FAILED;
}

/* ---- looking from outside ------------------------------------------------------------------ */

struct look {
	const struct rate_key *prefix;
	ratestore_each_cb *each;
	void *arg;
};

static void
look_at(const struct rate_key *key, struct rate_record *record, void *arg)
{
	const struct look *look = arg;

	/* Its end is zero: rate_key_of() leaves room. */
	look->each(key->at + look->prefix->size, record, look->arg);
	rate_record_clear(record);
}

bool
ratestore_look(const char *path, const struct addr *client, unsigned prefix6,
               ratestore_each_cb *each, void *arg, char *why, size_t why_size)
{
	struct rate_key prefix = rate_key_of(client, prefix6, "");
	struct look look = { .prefix = &prefix, .each = each, .arg = arg };
	char *data = xasprintf("%s/" DATA, path);
	bool is_there = access(data, R_OK) == 0 || errno != ENOENT;
	MDB_env *env;
	MDB_dbi table;
	int error;

	free(data);
	if (!is_there)
		return true;
	error = open_patiently(&env, path, 0, MDB_RDONLY);
	if (error == 0) {
		error = open_table(env, MDB_RDONLY, &table);
		if (error == 0)
			error = count(env, table);
		if (error == 0)
			error = read_all(env, table, &prefix, look_at, &look);
		mdb_env_close(env);
	}
	return error == 0 ||
	       ratefile_fail(why, why_size, "cannot read " DATA " in %s: %s%s", path,
	                     mdb_strerror(error),
	                     error == EACCES ? "; do this as root, or as the user "
	                                       "that the daemon runs as"
	                                     : "");
}
