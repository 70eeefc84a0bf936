#include "reaction_internal.h"

static struct fact
text(const char *name, const char *text)
{
	return (struct fact){ .name = name,
		              .kind = FACT_TEXT,
		              .text = text ? text : "" };
}

static struct fact
number(const char *name, int64_t number)
{
	return (struct fact){ .name = name, .kind = FACT_NUMBER, .number = number };
}

static struct fact
points(const char *name, const struct verdict *verdict)
{
	return (struct fact){ .name = name,
		              .kind = FACT_REAL,
		              .real = verdict->score,
		              .is_unknown = !verdict->has_score };
}

static struct fact
yes_no(const char *name, bool yes)
{
	return (struct fact){ .name = name, .kind = FACT_YES_NO, .number = yes };
}

static struct fact
host(const char *name, char box[static ADDR_TEXT_SIZE], const struct addr *addr)
{
	bool known = addr_family(addr) != AF_UNSPEC;

	return text(name, known ? addr_text(addr, box) : "");
}

static struct fact
port(const char *name, const struct addr *addr)
{
	bool known = addr_family(addr) != AF_UNSPEC;
	struct fact fact = number(name, known ? addr_port(addr) : 0);

	fact.is_unknown = !known;
	return fact;
}

static struct fact
local_time(const char *name, char box[static FACT_TIME_SIZE], time_t now)
{
	struct tm parts;

	if (!localtime_r(&now, &parts) ||
	    strftime(box, FACT_TIME_SIZE, "%Y-%m-%d %H:%M:%S", &parts) == 0)
		return text(name, "");
	return text(name, box);
}

void
reaction_facts(struct facts *facts, const struct occurrence *what,
               const struct reaction_marks *marks, time_t now)
{
	const struct evidence *evidence = what->evidence;
	const struct finding *because = &what->verdict->because;
	const struct fact all[] = {
		text("PROXY_NAME", what->cfg->proxy_name),
		text("FOUND", finding_script_word(because->kind)),
		text("VIRUS_NAME", because->name),
		points("SPAM_SCORE", what->verdict),
		host("SOURCE_IP", facts->hosts[0], evidence->client),
		port("SOURCE_PORT", evidence->client),
		host("TARGET_IP", facts->hosts[1], evidence->server),
		port("TARGET_PORT", evidence->server),
		host("LOCAL_IP", facts->hosts[2], &what->local),
		port("LOCAL_PORT", &what->local),
		text("IDENT", evidence->ident),
		number("IDENT_COUNT", evidence->of_ident),
		text("HELO", evidence->helo),
		text("MAIL_FROM", evidence->sender),
		number("RCPTS_TOTAL", evidence->recipients),
		number("SIZE", (int64_t)evidence->size),
		number("TRANSACTION", evidence->log->mail),
		yes_no("AUTH", evidence->authenticated),
		text("AUTH_USER", evidence->user),
		text("SPOOL_NAME", marks->spool_name),
		text("LOCK_FILE", marks->lock_file),
		number("LOCK_DURATION", marks->lock_duration),
		local_time("TIME", facts->time, now),
		number("UNIXTIME", now),
	};

	_Static_assert(sizeof(all) == sizeof(facts->at), "FACT_COUNT is their number");
	for (size_t i = 0; i < FACT_COUNT; i++)
		facts->at[i] = all[i];
}
