#include "spf.h"

#include <assert.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <yaml.h>

/*
 * The evaluator of SPF against zones that are written down: README.md beside this says how
 * such files look, and what the answers are.
 */
enum {
	DOCUMENTS_MAX = 64,
	VALUES_MAX = 64,
	ALIASES_MAX = 8, /* CNAMEs one behind the other */
	ASKED_MAX = 16,
};

enum order {
	AT_ONCE, /* each question before the next is asked for */
	FIRST_FIRST,
	LAST_FIRST,
	INSIDE_OUT,
	ORDERS,
};

static yaml_document_t documents[DOCUMENTS_MAX];
static size_t document_count;
static bool is_traced;

static _Noreturn void
give_up(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("spf-check: ", stderr);
	vfprintf(stderr, format, args);
	fputs("\n", stderr);
	va_end(args);
	exit(2);
}

/* ---- the file ---------------------------------------------------------------------- */

static void
load(const char *path)
{
	FILE *file = fopen(path, "r");
	yaml_parser_t parser;

	if (!file)
		give_up("%s: %m", path);
	yaml_parser_initialize(&parser);
	yaml_parser_set_input_file(&parser, file);
	for (;;) {
		yaml_document_t *document = &documents[document_count];

		if (document_count == DOCUMENTS_MAX)
			give_up("%s: more than %d documents", path, DOCUMENTS_MAX);
		if (!yaml_parser_load(&parser, document))
			give_up("%s:%zu: %s", path, parser.problem_mark.line + 1,
			        parser.problem);
		if (!yaml_document_get_root_node(document))
			break;
		document_count++;
	}
	yaml_parser_delete(&parser);
	fclose(file);
}

static void
unload(void)
{
	while (document_count > 0)
		yaml_document_delete(&documents[--document_count]);
}

/* A name or text.  What is no text ends in a SUB, as the resolver does it. */
static char *
text_of(const yaml_node_t *node)
{
	char *text;

	if (!node || node->type != YAML_SCALAR_NODE)
		return xstrdup("");
	text = xmalloc(node->data.scalar.length + 1);
	memcpy(text, node->data.scalar.value, node->data.scalar.length);
	for (size_t i = 0; i < node->data.scalar.length; i++)
		if (text[i] == '\0')
			text[i] = '\x1a';
	text[node->data.scalar.length] = '\0';
	return text;
}

static bool
is_text(const yaml_node_t *node, const char *text)
{
	return node && node->type == YAML_SCALAR_NODE &&
	       node->data.scalar.length == strlen(text) &&
	       memcmp(node->data.scalar.value, text, strlen(text)) == 0;
}

static bool
is_name(const yaml_node_t *node, const char *name)
{
	size_t size = node->type == YAML_SCALAR_NODE ? node->data.scalar.length : 0;

	if (size > 1 && node->data.scalar.value[size - 1] == '.')
		size--;
	return size == strlen(name) &&
	       strncasecmp((const char *)node->data.scalar.value, name, size) == 0;
}

/* The value of KEY in a mapping, or NULL. */
static yaml_node_t *
value_of(yaml_document_t *document, const yaml_node_t *map, const char *key)
{
	if (!map || map->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *pair = map->data.mapping.pairs.start;
	     pair < map->data.mapping.pairs.top; pair++)
		if (is_text(yaml_document_get_node(document, pair->key), key))
			return yaml_document_get_node(document, pair->value);
	return NULL;
}

static size_t
item_count(const yaml_node_t *list)
{
	if (!list || list->type != YAML_SEQUENCE_NODE)
		return 0;
	return (size_t)(list->data.sequence.items.top -
	                list->data.sequence.items.start);
}

static yaml_node_t *
item(yaml_document_t *document, const yaml_node_t *list, size_t index)
{
	assert(list && list->type == YAML_SEQUENCE_NODE);
	return yaml_document_get_node(document, list->data.sequence.items.start[index]);
}

/* ---- a zone -------------------------------------------------------------------------- */

struct values {
	struct spf_answer answer;
	struct addr addrs[VALUES_MAX];
	char *texts[VALUES_MAX];
};

static const char *
type_word(enum spf_type type)
{
	static const char *const words[] = { "TXT", "A", "AAAA", "MX", "PTR" };

	return words[type];
}

static void
values_clear(struct values *values)
{
	for (size_t i = 0; i < VALUES_MAX; i++)
		free(values->texts[i]);
	*values = (struct values){ .answer = { .found = SPF_NO_NAME } };
}

/* The strings of a TXT make one text; of an MX, the second is the name. */
static char *
join(yaml_document_t *document, const yaml_node_t *value, size_t from)
{
	char *whole = xstrdup("");

	for (size_t i = from; i < item_count(value); i++) {
		char *part = text_of(item(document, value, i));
		char *longer = xasprintf("%s%s", whole, part);

		free(part);
		free(whole);
		whole = longer;
	}
	return whole;
}

static void
add_value(yaml_document_t *document, const yaml_node_t *value, enum spf_type type,
          struct values *values)
{
	size_t at = values->answer.count;
	char *text = value->type == YAML_SEQUENCE_NODE
	                     ? join(document, value, type == SPF_MX ? 1 : 0)
	                     : text_of(value);

	if (at == VALUES_MAX)
		give_up("more than %d values for one name", VALUES_MAX);
	values->answer.found = SPF_THERE_IS;
	if (type == SPF_A || type == SPF_AAAA) {
		if (!addr_parse(&values->addrs[at], text, 0))
			give_up("%s is no address", text);
		free(text);
	} else {
		values->texts[at] = text;
	}
	values->answer.count++;
}

/* An SPF without any TXT is one, too. */
static bool
has_key(yaml_document_t *document, const yaml_node_t *list, const char *key)
{
	for (size_t i = 0; i < item_count(list); i++)
		if (value_of(document, item(document, list, i), key))
			return true;
	return false;
}

static yaml_node_t *
find_name(yaml_document_t *document, const char *name)
{
	yaml_node_t *zone = value_of(document, yaml_document_get_root_node(document),
	                             "zonedata");

	if (!zone || zone->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *pair = zone->data.mapping.pairs.start;
	     pair < zone->data.mapping.pairs.top; pair++)
		if (is_name(yaml_document_get_node(document, pair->key), name))
			return yaml_document_get_node(document, pair->value);
	return NULL;
}

/* Reads one entry.  False: the answer stands, and what follows does not matter. */
static bool
read_entry(yaml_document_t *document, const yaml_node_t *entry, enum spf_type type,
           const char *key, struct values *values)
{
	yaml_node_t *value = value_of(document, entry, key);

	if (is_text(entry, "TIMEOUT") || is_text(value, "TIMEOUT")) {
		if (values->answer.count == 0)
			values->answer.found = SPF_NO_ANSWER;
		return false;
	}
	if (value && !is_text(value, "NONE"))
		add_value(document, value, type, values);
	return true;
}

static void
look_up(yaml_document_t *document, const char *name, enum spf_type type, int aliases,
        struct values *values)
{
	yaml_node_t *list = find_name(document, name);
	const char *key = type_word(type);
	char *alias = NULL;

	if (!list)
		return;
	values->answer.found = SPF_NO_DATA;
	if (type == SPF_TXT && !has_key(document, list, "TXT"))
		key = "SPF";
	for (size_t i = 0; i < item_count(list); i++) {
		yaml_node_t *entry = item(document, list, i);
		yaml_node_t *other = value_of(document, entry, "CNAME");

		if (!read_entry(document, entry, type, key, values))
			break;
		if (other && !alias)
			alias = text_of(other);
	}
	if (alias && aliases == ALIASES_MAX)
		values->answer.found = SPF_NO_ANSWER;
	else if (alias && values->answer.count == 0)
		look_up(document, alias, type, aliases + 1, values);
	free(alias);
}

/* DOCUMENT NULL: in any of them. */
static void
answer(struct spf *spf, yaml_document_t *document, const struct spf_question *question)
{
	struct values values = { .answer = { .found = SPF_NO_NAME } };
	static const char *const words[] = { "found", "no such name", "no data",
		                             "no answer" };

	for (size_t i = 0; i < document_count; i++)
		if ((!document || document == &documents[i]) &&
		    values.answer.found == SPF_NO_NAME)
			look_up(&documents[i], question->name, question->type, 0,
			        &values);
	if (is_traced)
		printf("  %s %s: %s (%zu)\n", type_word(question->type), question->name,
		       words[values.answer.found], values.answer.count);
	values.answer.addrs = values.addrs;
	values.answer.texts = (const char *const *)values.texts;
	spf_answer(spf, question->id, &values.answer);
	values_clear(&values);
}

/* ---- an evaluation ---------------------------------------------------------------------- */

static size_t
choose(enum order order, size_t count)
{
	switch (order) {
	case AT_ONCE:
	case FIRST_FIRST:
		return 0;
	case LAST_FIRST:
		return count - 1;
	case INSIDE_OUT:
		return count / 2;
	case ORDERS:
		break;
	}
	abort(); /* no such thing: an order */
}

/* Some orders must not answer while others still are asked. */
static struct spf_result
evaluate(const struct spf_subject *subject, yaml_document_t *document, enum order order)
{
	struct spf *spf = spf_new(subject);
	struct spf_question asked[ASKED_MAX];
	struct spf_result result;
	size_t count = 0, total = 0;

	while (!spf_result(spf)) {
		size_t index;

		while (count < (order == AT_ONCE ? 1 : ASKED_MAX) &&
		       spf_ask(spf, &asked[count]))
			count++, total++;
		if (count == 0 || total > SPF_QUESTIONS_MAX)
			give_up("no result behind %zu questions", total);
		index = choose(order, count);
		answer(spf, document, &asked[index]);
		count--;
		memmove(&asked[index], &asked[index + 1],
		        (count - index) * sizeof(asked[0]));
	}
	result = *spf_result(spf);
	spf_free(spf);
	return result;
}

static void
print(const struct spf_result *result)
{
	printf("result=%s domain=%s term=\"%s\"", spf_word(result->verdict),
	       result->domain, result->term);
	if (result->problem[0])
		printf(" problem=\"%s\"", result->problem);
	if (result->explanation[0])
		printf(" explanation=\"%s\"", result->explanation);
	putchar('\n');
}

/* ---- tests -------------------------------------------------------------------------------- */

static bool
is_wanted(yaml_document_t *document, const yaml_node_t *wanted, const char *word)
{
	if (!wanted || wanted->type != YAML_SEQUENCE_NODE)
		return is_text(wanted, word);
	for (size_t i = 0; i < item_count(wanted); i++)
		if (is_text(item(document, wanted, i), word))
			return true;
	return false;
}

/* DEFAULT: the domain has none. */
static bool
is_explained(const yaml_node_t *wanted, const struct spf_result *result)
{
	if (!wanted || result->verdict != SPF_FAIL)
		return true;
	return is_text(wanted,
	               result->explanation[0] ? result->explanation : "DEFAULT");
}

static bool
is_same(const struct spf_result *a, const struct spf_result *b)
{
	return a->verdict == b->verdict && strcmp(a->term, b->term) == 0 &&
	       strcmp(a->explanation, b->explanation) == 0;
}

/* As often as there are orders. */
static bool
run_test(yaml_document_t *document, const yaml_node_t *test,
         const struct spf_subject *subject)
{
	struct spf_result result = evaluate(subject, document, AT_ONCE);
	const yaml_node_t *wanted = value_of(document, test, "result");
	const yaml_node_t *words = value_of(document, test, "explanation");
	const yaml_node_t *term = value_of(document, test, "term");
	bool good = is_wanted(document, wanted, spf_word(result.verdict)) &&
	            is_explained(words, &result) &&
	            (!term || is_text(term, result.term));

	for (enum order order = AT_ONCE + 1; order < ORDERS; order++) {
		struct spf_result other = evaluate(subject, document, order);

		if (is_same(&result, &other))
			continue;
		good = false;
		printf("  order %d: ", order);
		print(&other);
	}
	if (!good)
		print(&result);
	return good;
}

static bool
run_named(yaml_document_t *document, const yaml_node_t *name, const yaml_node_t *test)
{
	char *words = text_of(name);
	char *helo = text_of(value_of(document, test, "helo"));
	char *sender = text_of(value_of(document, test, "mailfrom"));
	char *host = text_of(value_of(document, test, "host"));
	struct spf_subject subject = { .helo = helo,
		                       .sender = sender,
		                       .now = time(NULL) };
	bool good;

	if (!addr_parse(&subject.client, host, 0))
		give_up("%s: host %s is no address", words, host);
	good = run_test(document, test, &subject);
	printf("%s %s\n", good ? "ok    " : "FAILED", words);
	free(words);
	free(helo);
	free(sender);
	free(host);
	return good;
}

static int
run_all(void)
{
	size_t count = 0, failed = 0;

	for (size_t i = 0; i < document_count; i++) {
		yaml_document_t *document = &documents[i];
		yaml_node_t *tests = value_of(
			document, yaml_document_get_root_node(document), "tests");

		if (!tests || tests->type != YAML_MAPPING_NODE)
			continue;
		for (yaml_node_pair_t *pair = tests->data.mapping.pairs.start;
		     pair < tests->data.mapping.pairs.top; pair++) {
			count++;
			failed += !run_named(
				document, yaml_document_get_node(document, pair->key),
				yaml_document_get_node(document, pair->value));
		}
	}
	printf("%zu tests, %zu failed\n", count, failed);
	return failed > 0 || count == 0;
}

static _Noreturn void
usage(void)
{
	fputs("usage: spf-check --zone FILE                  runs the tests of FILE\n"
	      "       spf-check --zone FILE --ip ADDRESS [--helo NAME] [--from "
	      "ADDRESS]\n"
	      "                                              asks one question\n"
	      "       --trace shows what is asked of DNS\n",
	      stderr);
	exit(2);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "zone", required_argument, NULL, 'z' },
		{ "helo", required_argument, NULL, 'h' },
		{ "from", required_argument, NULL, 'f' },
		{ "ip", required_argument, NULL, 'i' },
		{ "trace", no_argument, NULL, 't' },
		{ NULL, 0, NULL, 0 },
	};
	struct spf_subject subject = { .helo = NULL, .now = time(NULL) };
	struct spf_result result;
	const char *ip = NULL;
	int option, status;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'z')
			load(optarg);
		else if (option == 'h')
			subject.helo = optarg;
		else if (option == 'f')
			subject.sender = optarg;
		else if (option == 'i')
			ip = optarg;
		else if (option == 't')
			is_traced = true;
		else
			usage();
	}
	if (optind < argc || document_count == 0 ||
	    (!ip && (subject.helo || subject.sender)))
		usage();
	if (!ip) {
		status = run_all();
		unload();
		return status;
	}
	if (!addr_parse(&subject.client, ip, 0))
		give_up("%s is no address", ip);
	result = evaluate(&subject, NULL, AT_ONCE);
	print(&result);
	unload();
	return 0;
}
