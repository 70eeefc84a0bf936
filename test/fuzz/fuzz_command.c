#include "command.h"
#include "pieces.h"

#include <strings.h>

/*
 * The first byte says how the rest is treated: bit 0, whether lines answer a challenge;
 * the others, the size of the pieces in which it arrives the second time.
 *
 * Promises kept for any input: the pieces do not matter; no more is kept than the longest
 * line; a line has no NUL, CR or LF; what is found in it lies in it.
 */
struct taker {
	struct command_reader reader;
	bool opaque;
};

static char line[COMMAND_AUTH_MAX + 1];

static void
check_argument(const struct command *command)
{
	const char *end = command->line + command->size;
	size_t size = 0;
	uint64_t declared = 0;
	struct chunk chunk = { 0 };
	const char *path;

	for (int to = 0; to < 2; to++) {
		path = command_path(command->argument, to ? "TO" : "FROM", &size);
		assert(!path || (path > command->argument && path + size <= end));
	}
	if (command_size(command->argument, &declared))
		assert(strchr(command->argument, '='));
	if (command_chunk(command->argument, &chunk)) {
		const char *rest = command->argument +
		                   strspn(command->argument, "0123456789");

		assert(chunk.size <= UINT64_C(1) << 62);
		assert(rest > command->argument);
		assert(*rest == '\0' || strchr(" \t\v\f", *rest));
		rest += strspn(rest, " \t\v\f");
		assert(chunk.last || chunk.faulty == (*rest != '\0'));
		assert(!chunk.last || strncasecmp(rest, "LAST", 4) == 0);
	}
}

static void
check_line(const struct command *command, bool opaque)
{
	size_t limit = opaque || command->verb == VERB_AUTH ? COMMAND_AUTH_MAX
	                                                    : COMMAND_MAX;

	assert(command->line == line);
	assert(command->size < limit);
	assert(strlen(line) == command->size);
	assert(!strpbrk(line, "\r\n"));
	assert(command->argument >= line && command->argument <= line + command->size);
	assert(!opaque || command->verb == VERB_UNKNOWN);
	check_argument(command);
}

/* Reads what there is, and writes what came of it to TOLD. */
static bool
take(void *arg, struct evbuffer *input, struct evbuffer *told)
{
	struct taker *taker = arg;
	struct command_reader *reader = &taker->reader;
	bool opaque = taker->opaque;

	for (;;) {
		struct command command;
		enum command_step step = command_read(reader, input, opaque, line,
		                                      &command);

		if (step == COMMAND_MORE)
			break;
		evbuffer_add_printf(told, "%d ", (int)step);
		if (step == COMMAND_LINE) {
			check_line(&command, opaque);
			evbuffer_add_printf(told, "%d ", (int)command.verb);
			evbuffer_add(told, line, command.size);
		}
		evbuffer_add(told, "\n", 1);
	}
	assert(evbuffer_get_length(input) < COMMAND_AUTH_MAX);
	assert(reader->skipping ? evbuffer_get_length(input) == 0
	                        : reader->searched == evbuffer_get_length(input));
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct taker whole = { 0 }, pieces;

	if (size < 2)
		return 0;
	whole.opaque = data[0] & 1;
	pieces = whole;
	pieces_check(data + 1, size - 1, (size_t)(data[0] >> 1) + 1, take, &whole,
	             &pieces);
	return 0;
}
