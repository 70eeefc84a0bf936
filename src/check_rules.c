#include "check_internal.h"

/* To add a check: write it (check_internal.h says how), and give it a row here. */
const struct check_rule *const check_rules[] = {
	&check_limit_host, &check_limit_ident, &check_limit_load, &check_limit_size,
	&check_lock,       &check_early,       &check_regex,      &check_auth,
	&check_rate,       &check_dnsbl,       &check_spf,        &check_clamav,
	&check_clamd,      &check_icap,        &check_spamd,      &check_rspamd,
};

const size_t check_rule_count = sizeof check_rules / sizeof check_rules[0];

_Static_assert(sizeof check_rules / sizeof check_rules[0] <= CHECKS_MOST,
               "room for a finding of each");
