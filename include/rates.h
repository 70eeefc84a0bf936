#ifndef RATES_H
#define RATES_H

#include "config.h"

/*
 * For people: what a client did lately, beside its limits.
 *
 * Prints what the daemon of CFG keeps of CLIENT, be it running or not; of an IPv6 client
 * what its network did, and of one behind a router what each of its idents did.  The limits
 * are those of a client of the main part's listener whose server is not known.  An exit
 * code; what is wrong has been said.
 */
int rates_show(struct config *cfg, const struct addr *client);

#endif
