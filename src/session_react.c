#include "session_internal.h"

void
session_react(struct session *s, const struct evidence *evidence,
              const struct verdict *verdict)
{
	struct occurrence what = {
		.cfg = s->cfg,
		.evidence = evidence,
		.verdict = verdict,
		.local = addr_local(conn_fd(s->client)),
	};

	reaction_to(s->world->reactions, &what);
}
