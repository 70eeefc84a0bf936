#include "explain_internal.h"

#include "check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void
explain_print_outside(const char *text)
{
	for (; *text != '\0'; text++)
		putchar(*text >= ' ' && *text <= '~' ? *text : '?');
}

static void
print_finding(const struct finding *found)
{
	const char *between = "  ";

	printf("%-13s %-13s", found->check,
	       found->skipped ? "skipped" : finding_word(found->kind));
	if (found->scan_us > 0)
		printf(" %9.1f ms", (double)found->scan_us / 1000);
	else
		printf(" %12s", "");
	if (found->has_score) {
		printf("%sscore %.1f", between, found->score + 0.0); /* no -0.0 */
		between = ", ";
	}
	if (found->skipped)
		printf("%snot asked: %s", between, found->skipped);
	if (found->name[0]) {
		fputs(between, stdout);
		explain_print_outside(found->name);
	}
	putchar('\n');
}

static const char *
yes(bool is)
{
	return is ? "yes" : "no";
}

static void
print_verdict(const struct config *cfg, const struct verdict *verdict)
{
	const struct finding *because = &verdict->because;
	struct finding_effect effect;

	finding_effect(&effect, cfg, because->kind);
	printf("%-13s %s", "verdict", verdict_word(verdict->act));
	if (because->kind != FOUND_NOTHING)
		printf("  %s by %s, %s = %s", finding_word(because->kind),
		       because->check, effect.option,
		       strcmp(effect.option, "ignore_errors") == 0
		               ? "yes"
		               : finding_action_word(effect.action));
	putchar('\n');
	if (verdict->act > VERDICT_TAG)
		printf("%-13s %d %s %s\n", "reply", verdict->code, verdict->enhanced,
		       verdict->text);
	printf("%-13s lock %s, script %s, event %s, keep %s\n", "effects",
	       yes(effect.locks), yes(effect.runs_script), yes(effect.tells),
	       yes(effect.keeps));
}

/* SPF and AUTH are of a session. */
static void
print_changes(const struct config *cfg, const struct explain_input *input,
              const struct explain_outcome *outcome)
{
	explain_print_changes(input, outcome->changes);
	if (outcome->changes && cfg->result_headers & RESULT_HEADERS_AUTH)
		printf("%-13s Authentication-Results: (SPF and AUTH are known in a "
		       "session only)\n",
		       "writes");
	if (outcome->untagged)
		printf("%-13s larger than hold_max_size = %" PRId64 ": the server has "
		       "its beginning by then, and it passes untagged\n",
		       "-", cfg->hold_max_size);
}

void
explain_print(const struct explain_wish *wish, const struct explain_input *input,
              const struct explain_outcome *outcome)
{
	const struct config *cfg = wish->cfg;

	printf("%-13s %s, %" PRIu64 " bytes\n", "message", input->name, input->size);
	if (cfg->policy)
		printf("%-13s %s\n", "policy", cfg->policy);
	for (size_t i = 0; i < outcome->count; i++)
		print_finding(&outcome->found[i]);
	if (!check_looks(cfg))
		printf("%-13s antivirus_type and antispam_type are off: nothing looks "
		       "at the message\n",
		       "-");
	print_verdict(cfg, outcome->verdict);
	if (outcome->verdict->act <= VERDICT_TAG)
		print_changes(cfg, input, outcome);
}
