/* SPDX-License-Identifier: BSD-2-Clause */
/* list - circular doubly linked lists of things that hold their own links
 *
 * What:    a struct list is both the head of a list and a link in one. Adding
 *          and taking away are a few stores; nothing is allocated.
 * Threads: the caller's lock.
 * Owns:    nothing.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/bits.h"

struct list {
	struct list *next, *prev;
};

static inline void
list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool
list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void
list_add_before(struct list *at, struct list *l)
{
	l->next = at;
	l->prev = at->prev;
	at->prev->next = l;
	at->prev = l;
}

static inline void
list_add_tail(struct list *head, struct list *l)
{
	list_add_before(head, l);
}

static inline void
list_add_head(struct list *head, struct list *l)
{
	list_add_before(head->next, l);
}

/* The link is left empty: removing it again has no effect. */
static inline void
list_remove(struct list *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	list_init(l);
}

/* Takes the first; the list must not be empty. */
static inline struct list *
list_pop(struct list *head)
{
	struct list *l = head->next;

	assert(l != head);
	list_remove(l);
	return l;
}

/* Moves all of from to the end of to. */
static inline void
list_move_all(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define LIST_ENTRY(l, type, member) CONTAINER_OF(l, type, member)
#define LIST_FOR(l, head) \
	for (struct list *l = (head)->next; l != (head); l = l->next)

#endif
