#include "config_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Any file is read, or refused with words that name it.  What is read survives being
 * written and read again.  What is not of 1.4 is tried as that too: the text made of it
 * must hold nothing but names and values that libconfuse is allowed to see.
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
write_and_read_again(const struct config *cfg)
{
	char *text, why[512];
	size_t size;
	FILE *out = open_memstream(&text, &size);
	struct config *again;

	MUST(out);
	config_dump(cfg, true, out);
	fclose(out);
	again = load(text, size, why, sizeof(why));
	MUST(again && !again->legacy);
	for (const struct option *opt = config_options; opt->kind != OPTION_NONE; opt++)
		MUST(option_equal(opt, cfg, again));
	config_drop(again);
	free(text);
}

/* The names that stand before a '=' in what was made of TEXT are those of its lines. */
static void
rewrite(const char *text)
{
	char why[512] = "",
	     *native = config_from_legacy(text, false, why, sizeof(why), NULL, NULL);
	struct name_walk walk = { .line = 1 };
	int last = 0;

	MUST(native || why[0]);
	if (native && config_tidy(native, why, sizeof(why))) {
		walk.at = native;
		while (config_next_name(&walk)) {
			MUST(walk.line > last);
			last = walk.line;
		}
	}
	free(native);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[512], *text = xmalloc(size + 1);
	struct config *cfg = load(data, size, why, sizeof(why));

	if (cfg)
		write_and_read_again(cfg);
	config_drop(cfg);
	memcpy(text, data, size);
	text[size] = '\0';
	rewrite(text);
	free(text);
	return 0;
}
