#include "icap.h"
#include "pieces.h"

/*
 * The first byte is the size of the pieces in which the rest arrives the second time.
 *
 * Promises kept for any input: the pieces do not matter; what waits for its end is bounded;
 * codes have three digits, names and tags are printable and end.
 */
static void
keep(const char *at, size_t size, void *arg)
{
	assert(size > 0);
	evbuffer_add(arg, at, size);
}

static void
check_text(const char *text, size_t size)
{
	assert(memchr(text, '\0', size));
	for (; *text; text++)
		assert(*text >= ' ' && *text <= '~');
}

static void
check_answer(const struct icap_answer *answer, struct evbuffer *told)
{
	assert(answer->code > 100 && answer->code <= 999);
	assert(answer->http_code == 0 ||
	       (answer->http_code >= 100 && answer->http_code <= 999));
	assert(answer->preview >= -1 && answer->ttl_s >= -1);
	assert(answer->connections >= -1);
	check_text(answer->name, sizeof(answer->name));
	check_text(answer->tag, sizeof(answer->tag));
	evbuffer_add_printf(told, "\nwhole %d %d %d %s %s\n", answer->code,
	                    answer->http_code, answer->threat, answer->name,
	                    answer->tag);
}

/* Reads what there is, and writes what came of it to TOLD; false when it is malformed. */
static bool
take(void *arg, struct evbuffer *in, struct evbuffer *told)
{
	struct icap_reader *reader = arg;

	for (;;) {
		switch (icap_read(reader, in, keep, told)) {
		case ICAP_MORE:
			assert(evbuffer_get_length(in) < ICAP_LINE_MAX);
			return true;
		case ICAP_CONTINUE:
			evbuffer_add_printf(told, "\ncontinue\n");
			break;
		case ICAP_WHOLE:
			check_answer(&reader->answer, told);
			*reader = (struct icap_reader){ 0 };
			break;
		case ICAP_MALFORMED:
			evbuffer_add_printf(told, "\nmalformed\n");
			return false;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct icap_reader whole = { 0 }, pieces = { 0 };

	if (size < 2)
		return 0;
	pieces_check(data + 1, size - 1, (size_t)data[0] + 1, take, &whole, &pieces);
	return 0;
}
