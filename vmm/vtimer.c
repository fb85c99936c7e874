/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/vtimer.h"

void
vtimers_init(struct vtimers *ts, struct vclock *clock)
{
	ts->clock = clock;
	ts->next_ns = VCLOCK_NEVER;
	ts->count = 0;
}

void
vtimer_add(struct vtimers *ts, struct vtimer *t, vtimer_fn fire, void *ctx)
{
	assert(ts->count < VTIMERS_MAX);
	t->deadline_ns = VCLOCK_NEVER;
	t->fire = fire;
	t->ctx = ctx;
	ts->timer[ts->count++] = t;
}

static void
find_next(struct vtimers *ts)
{
	u64 next = VCLOCK_NEVER;

	for (unsigned i = 0; i < ts->count; i++)
		next = MIN(next, ts->timer[i]->deadline_ns);
	ts->next_ns = next;
}

void
vtimer_arm(struct vtimers *ts, struct vtimer *t, u64 deadline_ns)
{
	bool was_next = t->deadline_ns == ts->next_ns;

	t->deadline_ns = deadline_ns;
	if (deadline_ns <= ts->next_ns)
		ts->next_ns = deadline_ns;
	else if (was_next)
		find_next(ts);
}

void
vtimer_disarm(struct vtimers *ts, struct vtimer *t)
{
	vtimer_arm(ts, t, VCLOCK_NEVER);
}

void
vtimers_run(struct vtimers *ts)
{
	u64 now;

	if (ts->next_ns == VCLOCK_NEVER)
		return;
	now = vtimers_now(ts);
	if (now < ts->next_ns)
		return;
	for (unsigned i = 0; i < ts->count; i++) {
		struct vtimer *t = ts->timer[i];

		if (t->deadline_ns > now)
			continue;
		t->deadline_ns = VCLOCK_NEVER;
		t->fire(t->ctx);
	}
	find_next(ts);
}
