#ifndef ROUTE_INTERNAL_H
#define ROUTE_INTERNAL_H

#include "route.h"

/* SO_ORIGINAL_DST / IP6T_SO_ORIGINAL_DST, then conntrack itself where they are silent. */
enum route_result route_netfilter(const struct route_query *query, struct addr *server,
				  struct route_words *why);

#endif
