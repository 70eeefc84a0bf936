#include "lookup_internal.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * What strangers may send, as datagram and as line, to both sides.  Half of the datagrams
 * get the right code, for no fuzzer guesses it: bit 0 of the first byte.
 *
 * Promises kept for any input: nothing is read beyond it; what is taken can be used (an
 * ident is clean, a destination has a family, a port, a host) and, written again, is read
 * as the same.
 */
static struct lookup_secrets secrets = {
	.number = 7,
	.key = { .size = 20, .bytes = "0123456789abcdef-key" },
};

static struct addr
at(const char *host, uint16_t port)
{
	struct addr addr;
	bool good = addr_parse(&addr, host, port);

	assert(good);
	return addr;
}

static void
check_answer(const struct lookup_question *question, const struct lookup_answer *answer)
{
	assert(strlen(answer->ident) < LOOKUP_IDENT_SIZE);
	assert(strspn(answer->ident,
	              "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	              "0123456789.:_-@+") == strlen(answer->ident));
	if (answer->result != LOOKUP_FOUND)
		return;
	assert(addr_family(&answer->server) == addr_family(&question->client));
	assert(addr_port(&answer->server) != 0 && !addr_is_any(&answer->server));
}

static void
read_datagram(const uint8_t *data, size_t size, const struct lookup_question *question)
{
	struct lookup_question read = { 0 };
	struct lookup_answer answer = { 0 }, again = { 0 };
	unsigned char written[LOOKUP_DATAGRAM_MAX];
	enum lookup_fault fault;

	if (lookup_read_question(data, size, &secrets, &read) == LOOKUP_FINE) {
		assert(addr_port(&read.client) != 0 && addr_port(&read.gateway) != 0);
		assert(lookup_can_carry(&read, &secrets));
	}
	if (lookup_read_answer(data, size, &secrets, question, &answer) != LOOKUP_FINE)
		return;
	check_answer(question, &answer);
	size = lookup_write_answer(question, &answer, &secrets, written);
	fault = lookup_read_answer(written, size, &secrets, question, &again);
	assert(fault == LOOKUP_FINE && again.result == answer.result);
	assert(strcmp(again.ident, answer.ident) == 0);
}

static void
read_line(const uint8_t *data, size_t size, const struct lookup_question *question)
{
	struct evbuffer *input = evbuffer_new();
	struct lookup_question read = *question;
	struct lookup_answer answer = { 0 };
	char line[LOOKUP_LINE_SIZE];

	evbuffer_add(input, data, size);
	if (lookup_take_line(input, true, line) == LOOKUP_LINE) {
		assert(strlen(line) < LOOKUP_LINE_SIZE);
		if (lookup_read_question_line(line, &read) == LOOKUP_FINE) {
			assert(addr_family(&read.client) == addr_family(&read.gateway));
			assert(addr_port(&read.client) && addr_port(&read.gateway));
		}
		if (lookup_read_answer_line(line, question, &answer) == LOOKUP_FINE)
			check_answer(question, &answer);
	}
	evbuffer_free(input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;
	bool is_six;
	struct lookup_question question;

	if (size < 2)
		return 0;
	is_six = data[0] & 2;
	question = (struct lookup_question){
		.version = data[0] & 4 ? LOOKUP_KEYED : LOOKUP_PLAIN,
		.cookie = 0x1122334455667788,
		.client = at(is_six ? "2001:db8::7" : "192.0.2.7", 40001),
		.gateway = at(is_six ? "2001:db8::9" : "10.0.0.9", 9199),
	};
	copy = malloc(size - 1); /* so that what lies behind it is noticed */
	memcpy(copy, data + 1, size - 1);
	if (size - 1 == LOOKUP_KEYED_SIZE && (data[0] & 1))
		lookup_sign(copy, &secrets.key, copy + LOOKUP_KEYED_SIZE - 16);
	read_datagram(copy, size - 1, &question);
	read_line(copy, size - 1, &question);
	free(copy);
	return 0;
}
