#include "quarantine_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * A heap: whatever is added costs little, in any order, and the oldest is in front.  (To
 * sort a hundred thousand would take the loop a tenth of a second.)
 */

static bool
is_older(const struct store_entry *a, const struct store_entry *b)
{
	return strcmp(a->id, b->id) < 0;
}

static void
swap(struct store_entry *a, struct store_entry *b)
{
	struct store_entry was = *a;

	*a = *b;
	*b = was;
}

static void
rise(struct store_list *list, size_t i)
{
	for (; i > 0 && is_older(&list->at[i], &list->at[(i - 1) / 2]); i = (i - 1) / 2)
		swap(&list->at[i], &list->at[(i - 1) / 2]);
}

static void
sink(struct store_list *list, size_t i)
{
	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < list->count &&
		    is_older(&list->at[child + 1], &list->at[child]))
			child++;
		if (child >= list->count || !is_older(&list->at[child], &list->at[i]))
			return;
		swap(&list->at[i], &list->at[child]);
		i = child;
	}
}

void
store_list_add(struct store_list *list, const struct store_entry *entry)
{
	if (list->count == list->room) {
		list->room = list->room ? 2 * list->room : 64;
		list->at = xrealloc(list->at, list->room * sizeof(*list->at));
	}
	list->at[list->count++] = *entry;
	list->charge += entry->charge;
	list->messages += entry->is_message;
	rise(list, list->count - 1);
}

const struct store_entry *
store_list_oldest(const struct store_list *list)
{
	return list->count > 0 ? &list->at[0] : NULL;
}

static void
take_out(struct store_list *list, size_t i)
{
	assert(i < list->count);
	list->charge -= list->at[i].charge;
	list->messages -= list->at[i].is_message;
	list->at[i] = list->at[--list->count];
	if (i == list->count)
		return;
	rise(list, i);
	sink(list, i);
}

void
store_list_drop_oldest(struct store_list *list)
{
	take_out(list, 0);
}

void
store_list_forget(struct store_list *list, const char *id)
{
	for (size_t i = list->count; i-- > 0;)
		if (strcmp(list->at[i].id, id) == 0) {
			take_out(list, i);
			return;
		}
}

void
store_list_clear(struct store_list *list)
{
	free(list->at);
	*list = (struct store_list){ 0 };
}
