#include "statestore_internal.h"

#include "log.h"
#include "statecode.h"
#include "stats.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 * Who is locked out.  PREFIX:locks is a hash: for each lock file's name what became of it
 * last, locked or removed, and when.  Of two that differ the later one holds, everywhere:
 * so all can be told again, in any order, and a server that has lost everything gets it
 * back.  What was removed is remembered as long as the lock would have lasted.
 *
 * The files of each gateway follow, whoever makes or removes them; a gateway's white list
 * (files of other users) is its own.
 */
enum {
	SCAN_COUNT = 256, /* about as many in one answer */
	SEEN_MOST = 4 * MIRROR_MOST,
	PUTS_MOST = 256,
	FORGET_MOST = 1000,
	SWEEP_S = 30,
	RETRY_S = 10,
	AGREE_S = 300,      /* somebody may have removed what he should not */
	LOOK_S = 60,        /* for all of it, where inotify cannot be had */
	AHEAD_MS = 3600000, /* whose clock is so wrong is not believed */
	FOR_EVER_S = 30 * 86400,
	KEY_SIZE = 256,
};

struct state_locks {
	struct statestore *store;
	struct lockfiles *files;
	char *path;
	struct lockfile_rules rules;
	struct mirror *mirror;
	struct watch *watch;
	unsigned pass;   /* of reading all that the server has */
	bool is_passing; /* that is under way */
	size_t seen;     /* in this pass */
	size_t bucket; /* of the mirror: what the server lacks of those before is told */
	size_t puts;   /* under way */
	size_t forgotten;                             /* by this sweep */
	unsigned until_sweep, until_pass, until_look; /* seconds; 0: not planned */
	bool full_said;
};

static void catch_up(struct state_locks *locks);

/* How long something about a lock matters, in seconds. */
static int64_t
lifetime_s(const struct state_locks *locks)
{
	return locks->rules.longest == LOCKFILE_FOR_EVER ? FOR_EVER_S
	                                                 : locks->rules.longest;
}

static bool
is_over(const struct state_locks *locks, int64_t when, bool is_locked)
{
	if (is_locked && locks->rules.longest == LOCKFILE_FOR_EVER)
		return false;
	return when + lifetime_s(locks) * 1000 < ratestore_now();
}

static bool
are_wanted(const struct state_locks *locks)
{
	return locks->rules.longest != 0;
}

/* ---- telling the server ----------------------------------------------------------------- */

/* The later one holds; of two at one time, what removes. */
static const char put_script[] =
	"local had = redis.call('HGET', KEYS[1], ARGV[1]) "
	"local when, what = string.match(had or '', '^(%d+) ([-+]) ') "
	"when = tonumber(when or '-1') "
	"if when > tonumber(ARGV[2]) or (when == tonumber(ARGV[2]) and "
	"(what == '-' or string.sub(ARGV[3], 1, 1) == '+')) then return 0 end "
	"redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3]) "
	"if ARGV[4] == '0' then redis.call('PERSIST', KEYS[1]) "
	"else redis.call('PEXPIRE', KEYS[1], ARGV[4]) end "
	"redis.call('PUBLISH', ARGV[5], 'lock ' .. ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. "
	"ARGV[3]) "
	"return 1";

static const char forget_script[] = "local had = redis.call('HGET', KEYS[1], ARGV[1]) "
				    "if had and tonumber(string.match(had, '^%d+') or "
				    "'0') <= tonumber(ARGV[2]) then "
				    "return redis.call('HDEL', KEYS[1], ARGV[1]) end "
				    "return 0";

static struct link_word
key_of(const struct state_locks *locks, char key[static KEY_SIZE])
{
	int size = snprintf(key, KEY_SIZE, "%.200s:locks",
	                    statestore_prefix(locks->store));

	return (struct link_word){ key, (size_t)size };
}

static void
on_put(const struct link_answer *answer, void *arg)
{
	struct state_locks *locks = arg;

	locks->puts--;
	if (!answer)
		return; /* the next pass finds it */
	if (answer->kind == LINK_REFUSAL && strstr(answer->text, "WRONGTYPE")) {
		statestore_odd(locks->store, answer->text);
		locks->until_pass = RETRY_S;
	} else if (answer->kind == LINK_REFUSAL) {
		statestore_refused(locks->store, answer->text);
		locks->until_pass = RETRY_S;
	} else {
		statestore_taken(locks->store);
		catch_up(locks);
	}
}

static struct link_word
number_word(char text[static 24], int64_t number)
{
	return (struct link_word){ text,
		                   (size_t)snprintf(text, 24, "%" PRId64, number) };
}

static void
put(struct state_locks *locks, const struct mirror_entry *entry, const char *why)
{
	struct link *talk = statestore_talk(locks->store);
	bool for_ever = locks->rules.longest == LOCKFILE_FOR_EVER;
	char key[KEY_SIZE], when[24], lifetime[24];
	char words[STATECODE_WORDS_SIZE + 2];
	struct link_word eval[] = {
		link_text("EVAL"),
		link_text(put_script),
		link_text("1"),
		key_of(locks, key),
		link_text(entry->name),
		number_word(when, entry->when),
		{ words, 0 },
		number_word(lifetime,
		            for_ever ? 0 : (lifetime_s(locks) + SWEEP_S) * 1000),
		link_text(statestore_channel(locks->store)),
	};

	if (!talk)
		return; /* the same */
	eval[6].size = (size_t)snprintf(words, sizeof(words), "%c %s",
	                                entry->is_locked ? '+' : '-', why);
	stats_add(STAT_state_locks_told, 1);
	link_ask(talk, eval, sizeof(eval) / sizeof(eval[0]), on_put, locks);
	locks->puts++;
}

static void
forget_there(struct state_locks *locks, const char *name, int64_t when)
{
	struct link *talk = statestore_talk(locks->store);
	char key[KEY_SIZE], text[24];
	struct link_word eval[] = {
		link_text("EVAL"),  link_text(forget_script), link_text("1"),
		key_of(locks, key), link_text(name),          number_word(text, when),
	};

	if (talk)
		link_ask(talk, eval, sizeof(eval) / sizeof(eval[0]), NULL, NULL);
}

/* ---- what happens here ------------------------------------------------------------------ */

static struct mirror_entry *
add(struct state_locks *locks, const char *name)
{
	struct mirror_entry *entry = mirror_add(locks->mirror, name);

	if (!entry && !locks->full_said) {
		locks->full_said = true;
		log_event(NULL, LOG_TROUBLE_EVENT,
		          log_text("text", "there are more locks than can be shared"),
		          log_number("most", MIRROR_MOST));
	}
	return entry;
}

/* What the mirror does not have yet is news. */
static void
found_locked(struct state_locks *locks, const char *name,
             const struct lockfile_fact *fact)
{
	struct mirror_entry *entry = mirror_find(locks->mirror, name);
	bool is_new = !entry || !entry->is_locked || entry->when < fact->since_ms;
	int64_t now = ratestore_now();

	if (!entry && !(entry = add(locks, name)))
		return;
	entry->has_file = true;
	entry->since = fact->since_ms;
	if (!is_new)
		return;
	if (!entry->is_locked && entry->when >= fact->since_ms)
		entry->when++; /* it was made after it had been removed */
	else
		entry->when = fact->since_ms < now ? fact->since_ms : now;
	entry->is_locked = true;
	put(locks, entry, fact->words);
}

/* If there was one: somebody has removed it, or its time was over. */
static void
found_free(struct state_locks *locks, const char *name)
{
	struct mirror_entry *entry = mirror_find(locks->mirror, name);
	int64_t now = ratestore_now();

	if (!entry || !entry->is_locked || !entry->has_file)
		return;
	entry->has_file = false;
	if (is_over(locks, entry->since, true))
		return;
	entry->is_locked = false;
	entry->when = entry->when < now ? now : entry->when + 1;
	put(locks, entry, "");
}

static void
look_at(const char *name, void *arg)
{
	char ident[LOCKFILE_IDENT_SIZE];
	struct state_locks *locks = arg;
	struct lockfile_fact fact;
	struct mirror_entry *entry;
	struct addr_net net;

	if (!are_wanted(locks) || strlen(name) >= LOCKFILE_NAME_SIZE ||
	    !lockfile_parse(name, &net, ident))
		return;
	switch (lockfile_read(locks->files, name, &fact)) {
	case LOCKFILE_LOCKED:
		found_locked(locks, name, &fact);
		break;
	case LOCKFILE_FREE:
		found_free(locks, name);
		break;
	case LOCKFILE_NEVER: /* here: it means nothing to others */
		entry = mirror_find(locks->mirror, name);
		if (entry)
			entry->has_file = false;
		break;
	}
}

static void
look_again(struct mirror_entry *entry, void *arg)
{
	if (entry->is_locked && entry->has_file)
		look_at(entry->name, arg);
}

/* Removed, and inotify has not said so. */
static void
all_seen(void *arg)
{
	struct state_locks *locks = arg;

	mirror_each(locks->mirror, look_again, locks);
}

/* ---- what happens elsewhere ------------------------------------------------------------- */

static void
log_heard(const char *name, const char *result)
{
	char ident[LOCKFILE_IDENT_SIZE] = "", text[ADDR_TEXT_SIZE];
	struct addr_net net;

	if (!lockfile_parse(name, &net, ident))
		return;
	log_event(NULL, LOG_LOCK_EVENT, log_text("result", result),
	          log_text("client", addr_net_text(&net, text)),
	          log_text("ident", ident[0] ? ident : NULL), log_text("file", name));
}

/* The file follows.  True: it was changed. */
static bool
follow(struct state_locks *locks, struct mirror_entry *entry,
       const struct state_lock *lock)
{
	struct lockfile_fact fact = { .since_ms = lock->when };
	enum lockfile_result result;

	if (!lock->is_locked) {
		entry->has_file = false;
		return lockfile_take_away(locks->files, entry->name, lock->when);
	}
	if (fact.since_ms > ratestore_now())
		fact.since_ms = ratestore_now();
	entry->since = fact.since_ms;
	memcpy(fact.words, lock->words, sizeof(fact.words));
	result = lockfile_put(locks->files, entry->name, &fact);
	entry->has_file = result == LOCKFILE_MADE || result == LOCKFILE_ALREADY;
	if (result == LOCKFILE_FAILED && errno == EINVAL)
		statestore_odd(locks->store,
		               "a lock of a network that is no client's here: see "
		               "lock_prefix6, which must be the same");
	return result == LOCKFILE_MADE;
}

enum heard {
	HEARD_NEWS, /* and the file has changed */
	HEARD_KNOWN,
	HEARD_OLD, /* we know better */
};

static enum heard
hear(struct state_locks *locks, const char *name, const struct state_lock *lock)
{
	struct mirror_entry *entry = mirror_find(locks->mirror, name);

	if (entry &&
	    (entry->when > lock->when ||
	     (entry->when == lock->when && !entry->is_locked && lock->is_locked)))
		return HEARD_OLD;
	if (!entry && !(entry = add(locks, name)))
		return HEARD_KNOWN;
	entry->pass = locks->pass;
	if (entry->when == lock->when && entry->is_locked == lock->is_locked)
		return HEARD_KNOWN;
	entry->when = lock->when;
	entry->is_locked = lock->is_locked;
	stats_add(STAT_state_locks_heard, 1);
	return follow(locks, entry, lock) ? HEARD_NEWS : HEARD_KNOWN;
}

/* False: no gateway can have said that. */
static bool
read_lock(struct state_locks *locks, const char *name, const char *text, size_t size,
          struct state_lock *lock)
{
	char ident[LOCKFILE_IDENT_SIZE];
	struct addr_net net;

	if (strlen(name) < LOCKFILE_NAME_SIZE && lockfile_parse(name, &net, ident) &&
	    statecode_take_lock(lock, text, size) &&
	    lock->when <= ratestore_now() + AHEAD_MS)
		return true;
	statestore_odd(locks->store,
	               "a lock that cannot be read, or is from the future");
	return false;
}

/* NAME VALUE */
void
locks_heard(struct state_locks *locks, const char *text, size_t size)
{
	const char *space = memchr(text, ' ', size);
	struct state_lock lock;
	char *name;

	if (!are_wanted(locks) || !space)
		return;
	name = xstrndup(text, (size_t)(space - text));
	if (read_lock(locks, name, space + 1, size - (size_t)(space + 1 - text),
	              &lock) &&
	    !is_over(locks, lock.when, lock.is_locked) &&
	    hear(locks, name, &lock) == HEARD_NEWS)
		log_heard(name, lock.is_locked ? "elsewhere" : "removed");
	free(name);
}

/* ---- all that the server has ------------------------------------------------------------ */

static void ask_more(struct state_locks *locks, const char *cursor);

static void
hear_stored(struct state_locks *locks, const struct link_answer *name,
            const struct link_answer *value)
{
	struct state_lock lock;

	if (name->kind != LINK_TEXT || value->kind != LINK_TEXT ||
	    strlen(name->text) != name->size ||
	    !read_lock(locks, name->text, value->text, value->size, &lock))
		return;
	if (is_over(locks, lock.when, lock.is_locked))
		forget_there(locks, name->text, lock.when);
	else
		(void)hear(locks, name->text, &lock);
}

/* With the words that the file has. */
static void
put_missing(struct mirror_entry *entry, void *arg)
{
	struct state_locks *locks = arg;
	struct lockfile_fact fact = { 0 };

	if (entry->pass == locks->pass || is_over(locks, entry->when, entry->is_locked))
		return;
	if (entry->is_locked)
		(void)!lockfile_read(locks->files, entry->name, &fact);
	put(locks, entry, fact.words);
}

/* A few at a time. */
static void
catch_up(struct state_locks *locks)
{
	while (locks->bucket < MIRROR_BUCKETS && locks->puts < PUTS_MOST)
		mirror_slice(locks->mirror, locks->bucket++, put_missing, locks);
}

static void
pass_end(struct state_locks *locks)
{
	locks->is_passing = false;
	if (locks->until_pass == 0)
		locks->until_pass = AGREE_S;
	locks->bucket = 0;
	catch_up(locks);
}

static bool
is_batch(const struct link_answer *answer)
{
	return answer->kind == LINK_LIST && answer->size == 2 &&
	       answer->list[0]->kind == LINK_TEXT && answer->list[1]->kind == LINK_LIST;
}

static void
on_batch(const struct link_answer *answer, void *arg)
{
	struct state_locks *locks = arg;
	const struct link_answer *list;

	if (!answer)
		return;
	if (!is_batch(answer)) {
		statestore_odd(locks->store, answer->kind == LINK_REFUSAL
		                                     ? answer->text
		                                     : "no list of locks");
		locks->is_passing = false;
		locks->until_pass = RETRY_S;
		return;
	}
	list = answer->list[1];
	for (size_t i = 0; i + 1 < list->size; i += 2)
		hear_stored(locks, list->list[i], list->list[i + 1]);
	locks->seen += list->size / 2 + 1;
	if (strcmp(answer->list[0]->text, "0") == 0)
		pass_end(locks);
	else if (locks->seen < SEEN_MOST)
		ask_more(locks, answer->list[0]->text);
	else
		locks->is_passing = false;
}

static void
ask_more(struct state_locks *locks, const char *cursor)
{
	struct link *talk = statestore_talk(locks->store);
	char key[KEY_SIZE], count[24];
	struct link_word scan[] = { link_text("HSCAN"), key_of(locks, key),
		                    link_text(cursor), link_text("COUNT"),
		                    number_word(count, SCAN_COUNT) };

	if (talk)
		link_ask(talk, scan, 5, on_batch, locks);
}

static void
pass_begin(struct state_locks *locks)
{
	if (!are_wanted(locks) || !statestore_talk(locks->store))
		return;
	locks->until_pass = locks->is_passing; /* as soon as this one is done */
	if (locks->is_passing)
		return;
	locks->is_passing = true;
	locks->bucket = MIRROR_BUCKETS;
	locks->pass++;
	locks->seen = 0;
	ask_more(locks, "0");
}

/* ---- time ------------------------------------------------------------------------------- */

static void
drop_old(struct mirror_entry *entry, void *arg)
{
	struct state_locks *locks = arg;

	if (!is_over(locks, entry->when, entry->is_locked))
		return;
	if (locks->forgotten++ < FORGET_MOST) /* the next pass finds more */
		forget_there(locks, entry->name, entry->when);
	mirror_remove(locks->mirror, entry);
}

/* True: now. */
static bool
is_due(unsigned *left)
{
	return *left > 0 && --*left == 0;
}

void
locks_tick(struct state_locks *locks)
{
	watch_tick(locks->watch);
	if (is_due(&locks->until_look)) {
		locks->until_look = LOOK_S;
		if (!watch_hears(locks->watch))
			watch_scan(locks->watch);
	}
	if (is_due(&locks->until_sweep)) {
		locks->until_sweep = SWEEP_S;
		locks->forgotten = 0;
		mirror_each(locks->mirror, drop_old, locks);
	}
	if (is_due(&locks->until_pass))
		pass_begin(locks);
}

void
locks_up(struct state_locks *locks)
{
	pass_begin(locks);
}

void
locks_down(struct state_locks *locks)
{
	locks->is_passing = false;
	locks->bucket = MIRROR_BUCKETS;
	locks->until_pass = 0;
}

/* ---- birth and death -------------------------------------------------------------------- */

struct state_locks *
locks_new(struct statestore *store, const char *path,
          const struct lockfile_rules *rules)
{
	struct state_locks *locks = xcalloc(1, sizeof(*locks));

	locks->store = store;
	locks->rules = *rules;
	locks->path = xstrdup(path);
	locks->files = lockfile_new(path, rules);
	locks->mirror = mirror_new();
	return locks;
}

void
locks_start(struct state_locks *locks)
{
	static const struct watch_ears ears = { .seen = look_at, .all_seen = all_seen };

	locks->until_sweep = SWEEP_S;
	locks->until_look = LOOK_S;
	locks->watch = watch_new(statestore_base(locks->store), locks->path, &ears,
	                         locks);
}

void
locks_set(struct state_locks *locks, const struct lockfile_rules *rules)
{
	bool were_wanted = are_wanted(locks);

	locks->rules = *rules;
	lockfile_set(locks->files, rules);
	if (were_wanted || !are_wanted(locks) || !locks->watch)
		return;
	watch_scan(locks->watch);
	pass_begin(locks);
}

void
locks_free(struct state_locks *locks)
{
	if (!locks)
		return;
	watch_free(locks->watch);
	mirror_free(locks->mirror);
	lockfile_free(locks->files);
	free(locks->path);
	free(locks);
}
