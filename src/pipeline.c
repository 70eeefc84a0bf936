#include "pipeline.h"

#include <assert.h>
#include <stdlib.h>

enum {
	FIRST_SIZE = 8,
};

_Static_assert(VERB_COUNT <= 256, "struct expected keeps a verb in one byte");

void
pipeline_init(struct pipeline *line)
{
	*line = (struct pipeline){ 0 };
}

void
pipeline_fini(struct pipeline *line)
{
	while (line->count > 0)
		pipeline_done(line);
	free(line->ring);
	*line = (struct pipeline){ 0 };
}

/* The entry that is due after INDEX others. */
static struct expected *
entry(const struct pipeline *line, unsigned index)
{
	assert(index < line->count);
	return &line->ring[(line->first + index) % line->size];
}

static void
grow(struct pipeline *line)
{
	unsigned size = line->size > 0 ? line->size * 2 : FIRST_SIZE;
	struct expected *ring = xcalloc(size, sizeof(*ring));

	for (unsigned i = 0; i < line->count; i++)
		ring[i] = *entry(line, i);
	free(line->ring);
	line->ring = ring;
	line->size = size;
	line->first = 0;
}

struct expected *
pipeline_push(struct pipeline *line, enum reply_plan plan)
{
	struct expected *last;

	if (line->count == line->size)
		grow(line);
	line->count++;
	last = entry(line, line->count - 1);
	*last = (struct expected){ .plan = (unsigned char)plan };
	return last;
}

struct expected *
pipeline_due(const struct pipeline *line)
{
	return line->count > 0 ? entry(line, 0) : NULL;
}

void
pipeline_done(struct pipeline *line)
{
	free(entry(line, 0)->text);
	line->first = (line->first + 1) % line->size;
	line->count--;
}

bool
pipeline_awaits_server(const struct pipeline *line)
{
	for (unsigned i = 0; i < line->count; i++) {
		unsigned plan = entry(line, i)->plan;

		if (plan == PLAN_FORWARD || plan == PLAN_SWALLOW)
			return true;
	}
	return false;
}

bool
pipeline_owes_pieces(const struct pipeline *line)
{
	for (unsigned i = 0; i < line->count; i++)
		if (entry(line, i)->subject != SUBJECT_PIECE)
			return false;
	return true;
}

bool
pipeline_group_ended(const struct pipeline *line)
{
	return line->count > 0 && entry(line, line->count - 1)->ends_group;
}
