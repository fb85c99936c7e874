/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache/hostgate_int.h"

static void
lane_init(struct hostlane *l)
{
	l->many = 0;
	l->one = false;
	list_init(&l->many_line);
	list_init(&l->one_line);
}

static void
lane_check(const struct hostlane *l)
{
	assert(!l->one || l->many == 0);
}

static bool
lane_enter(struct hostlane *l, bool one, struct hostfile_waiter *w)
{
	bool waits = l->one || !list_empty(&l->one_line) ||
		     !list_empty(&l->many_line) || (one && l->many != 0);

	lane_check(l);
	if (waits)
		list_add_tail(one ? &l->one_line : &l->many_line, &w->link);
	else if (one)
		l->one = true;
	else
		l->many++;
	return !waits;
}

/* Moves those who are inside now to go. */
static void
lane_leave(struct hostlane *l, bool one, struct list *go)
{
	assert(one ? l->one : l->many != 0);
	if (one)
		l->one = false;
	else
		l->many--;
	if (l->many == 0 && !list_empty(&l->one_line) &&
	    (!one || list_empty(&l->many_line))) {
		l->one = true;
		list_add_tail(go, list_pop(&l->one_line));
	} else if (one) {
		LIST_FOR(w, &l->many_line)
		l->many++;
		list_move_all(go, &l->many_line);
	}
	lane_check(l);
}

void
hostgates_init(struct hostgates *g)
{
	lock_init(&g->lock);
	lane_init(&g->flushes);
	lane_init(&g->writes);
}

void
hostgates_release(struct hostgates *g)
{
	assert(!g->flushes.one && g->writes.many == 0 && !g->writes.one);
	lock_destroy(&g->lock);
}

static struct hostlane *
lane_of(struct hostgates *g, enum hostgate gate)
{
	return gate == GATE_FLUSH ? &g->flushes : &g->writes;
}

bool
hostgate_enter(struct hostgates *g, enum hostgate gate,
	       struct hostfile_waiter *w)
{
	bool inside;

	if (gate == GATE_NONE)
		return true;
	lock_acquire(&g->lock);
	inside = lane_enter(lane_of(g, gate), gate != GATE_UNCACHED, w);
	lock_release(&g->lock);
	return inside;
}

void
hostgate_leave(struct hostgates *g, enum hostgate gate)
{
	struct hostfile_waiter *w;
	struct list go;

	if (gate == GATE_NONE)
		return;
	list_init(&go);
	lock_acquire(&g->lock);
	lane_leave(lane_of(g, gate), gate != GATE_UNCACHED, &go);
	lock_release(&g->lock);
	while (!list_empty(&go)) {
		w = LIST_ENTRY(list_pop(&go), struct hostfile_waiter, link);
		w->go(w);
	}
}

/* --- blocking ---------------------------------------------------------- */

struct sleeper {
	struct hostfile_waiter waiter;
	struct lock lock;
	struct cond wake;
	bool inside; /* [lock] */
};

static void
wake_up(struct hostfile_waiter *w)
{
	struct sleeper *s = CONTAINER_OF(w, struct sleeper, waiter);

	lock_acquire(&s->lock);
	s->inside = true;
	cond_wake_one(&s->wake);
	lock_release(&s->lock);
}

void
hostgate_enter_wait(struct hostgates *g, enum hostgate gate)
{
	struct sleeper s = {.waiter.go = wake_up};

	lock_init(&s.lock);
	cond_init(&s.wake);
	if (!hostgate_enter(g, gate, &s.waiter)) {
		lock_acquire(&s.lock);
		while (!s.inside)
			cond_wait(&s.wake, &s.lock);
		lock_release(&s.lock);
	}
	cond_destroy(&s.wake);
	lock_destroy(&s.lock);
}
