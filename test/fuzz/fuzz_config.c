#include "config_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Any file is read, or refused with words that name it.  What is read survives being
 * written and read again.  What is not of 1.4 is tried as that too: the text made of it
 * must hold nothing but names and values that libconfuse is allowed to see.  What can be
 * imported gives the same when it is imported or read as it is.  A reload to it, from what
 * has no sections, keeps the listeners.
 */

#define MUST(condition) \
	do { \
		if (!(condition)) \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config *
load(const void *data, size_t size, char *why, size_t why_size)
{
	int fd = memfd_create("config", MFD_CLOEXEC);
	char file[64];
	struct config *cfg;

	MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(file, sizeof(file), "/proc/self/fd/%d", fd);
	cfg = config_load(file, why, why_size, NULL, NULL);
	MUST(cfg || strncmp(why, file, strlen(file)) == 0);
	MUST(cfg || why[strlen(file)] == ':');
	close(fd);
	return cfg;
}

static void
must_be_same_options(const struct config *a, const struct config *b)
{
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE; opt++)
		MUST(option_equal(opt, a, b));
}

/* Those of all listeners and policies. */
static void
must_be_same_snapshots(const struct config *a, const struct config *b)
{
	const struct sections *as = a->sections, *bs = b->sections;

	MUST(as->snapshot_count == bs->snapshot_count);
	for (size_t i = 0; i < as->snapshot_count; i++) {
		const struct config *x = as->snapshots[i], *y = bs->snapshots[i];

		MUST(!x == !y);
		if (!x)
			continue;
		must_be_same_options(x, y);
		MUST(strcmp(x->listener, y->listener) == 0);
		MUST(strcmp(x->policy ?: "", y->policy ?: "") == 0);
	}
}

static void
must_give_the_same(const char *text, size_t size, const struct config *cfg)
{
	char why[512];
	struct config *again = load(text, size, why, sizeof(why));

	MUST(again && !again->legacy);
	must_be_same_options(cfg, again);
	must_be_same_snapshots(cfg, again);
	config_drop(again);
}

static void
write_and_read_again(const struct config *cfg)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	MUST(out);
	config_dump(cfg, true, out);
	fclose(out);
	must_give_the_same(text, size, cfg);
	free(text);
}

static size_t
count_lines(const char *text, size_t size)
{
	size_t lines = 0;

	for (size_t i = 0; i < size; i++)
		lines += text[i] == '\n';
	return lines;
}

/* CFG: what the same file is as it is, or NULL. */
static void
import_and_read(const void *data, size_t size, const struct config *cfg)
{
	int fd = memfd_create("config", MFD_CLOEXEC);
	char file[64], why[512], *text;
	size_t text_size;
	FILE *out = open_memstream(&text, &text_size);
	bool good;

	MUST(out && fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(file, sizeof(file), "/proc/self/fd/%d", fd);
	good = config_import(file, out, why, sizeof(why), NULL, NULL);
	fclose(out);
	close(fd);
	MUST(good || (text_size == 0 && strncmp(why, file, strlen(file)) == 0));
	MUST(good || !cfg || !cfg->legacy);
	if (good) {
		MUST(cfg);
		must_give_the_same(text, text_size, cfg);
		MUST(count_lines(text, text_size) == count_lines(data, size));
	}
	free(text);
}

static void
refused(int line, const char *words, void *arg)
{
	MUST(line > 0 && words[0] && !arg);
}

/* The names that stand before a '=' in what was made of TEXT are those of its lines. */
static void
rewrite(const char *text)
{
	char *native = config_from_legacy(text, false, refused, NULL, NULL);
	struct statement walk = { .next_line = 1 };
	int last = 0;

	config_tidy(native, refused, NULL);
	walk.next = native;
	while (config_next_statement(&walk)) {
		MUST(walk.kind == STATEMENT_OPTION && walk.line > last && !walk.why[0]);
		last = walk.line;
	}
	free(native);
}

static void
changed(const char *listener, const char *option, void *arg)
{
	MUST(!arg && option[0] && (!listener || listener[0]));
}

static void
reload(const void *data, size_t size)
{
	char why[512];
	struct config *running = config_load(NULL, why, sizeof(why), NULL, NULL);
	struct config *fresh = load(data, size, why, sizeof(why));

	MUST(running);
	if (fresh) {
		config_keep(fresh, running, changed, NULL);
		MUST(!config_listener_at(fresh, 1) && fresh->port == running->port);
		config_keep(running, fresh, changed, NULL);
	}
	config_drop(running);
	config_drop(fresh);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[512], *text = xmalloc(size + 1);
	struct config *cfg = load(data, size, why, sizeof(why));

	if (cfg)
		write_and_read_again(cfg);
	import_and_read(data, size, cfg);
	reload(data, size);
	config_drop(cfg);
	memcpy(text, data, size);
	text[size] = '\0';
	rewrite(text);
	free(text);
	return 0;
}
