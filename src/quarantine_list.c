#include "quarantine_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void
store_list_add(struct store_list *list, const char *id, uint64_t charge)
{
	struct store_entry *entry;

	if (list->end == list->room) {
		list->room = list->room ? 2 * list->room : 64;
		list->at = xrealloc(list->at, list->room * sizeof(*list->at));
	}
	entry = &list->at[list->end++];
	*entry = (struct store_entry){ .charge = charge };
	snprintf(entry->id, sizeof(entry->id), "%s", id);
	list->charge += charge;
}

/* Behind those of the same second and before: at the end, but when a clock has gone back. */
void
store_list_insert(struct store_list *list, const char *id, uint64_t charge)
{
	struct store_entry entry;
	size_t place;

	store_list_add(list, id, charge);
	place = list->end - 1;
	entry = list->at[place];
	for (; place > list->first &&
	       strncmp(list->at[place - 1].id, id, STORE_TIME_SIZE) > 0;
	     place--)
		list->at[place] = list->at[place - 1];
	list->at[place] = entry;
}

/* By ID, and so by time; of the same ID, the larger first. */
static int
compare(const void *a, const void *b)
{
	const struct store_entry *left = a, *right = b;
	int order = strcmp(left->id, right->id);

	if (order != 0)
		return order;
	return (left->charge < right->charge) - (left->charge > right->charge);
}

void
store_list_sort(struct store_list *list)
{
	size_t kept = 0;

	if (list->first < list->end)
		qsort(list->at + list->first, list->end - list->first,
		      sizeof(*list->at), compare);
	list->charge = 0;
	for (size_t i = list->first; i < list->end; i++) {
		if (kept > 0 && strcmp(list->at[kept - 1].id, list->at[i].id) == 0)
			continue;
		list->charge += list->at[i].charge;
		list->at[kept++] = list->at[i];
	}
	list->first = 0;
	list->end = kept;
}

const struct store_entry *
store_list_oldest(const struct store_list *list)
{
	return list->first < list->end ? &list->at[list->first] : NULL;
}

/* Those that have gone leave room in front; it is used when it is half of all. */
void
store_list_drop_oldest(struct store_list *list)
{
	assert(list->first < list->end);
	list->charge -= list->at[list->first++].charge;
	if (2 * list->first < list->end)
		return;
	list->end -= list->first;
	memmove(list->at, list->at + list->first, list->end * sizeof(*list->at));
	list->first = 0;
}

void
store_list_forget(struct store_list *list, const char *id)
{
	for (size_t i = list->end; i-- > list->first;) {
		if (strcmp(list->at[i].id, id) != 0)
			continue;
		list->charge -= list->at[i].charge;
		list->end--;
		memmove(list->at + i, list->at + i + 1,
		        (list->end - i) * sizeof(*list->at));
		return;
	}
}

void
store_list_clear(struct store_list *list)
{
	free(list->at);
	*list = (struct store_list){ 0 };
}
