/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/vmm_rig.h"

void
rig_init(struct vmm_rig *r)
{
	vclock_init(&r->clock, 0);
	vtimers_init(&r->timers, &r->clock);
}

void
rig_skip(struct vmm_rig *r, u64 now_ns)
{
	assert_true(now_ns >= rig_now(r));
	vclock_init(&r->clock, now_ns);
}

unsigned
rig_run(struct vmm_rig *r, u64 now_ns)
{
	unsigned stops = 0;

	while (r->timers.next_ns <= now_ns) {
		rig_skip(r, MAX(r->timers.next_ns, rig_now(r)));
		vtimers_run(&r->timers);
		stops++;
		assert_true(stops < 1000000);
	}
	rig_skip(r, now_ns);
	return stops;
}

static void
set(void *ctx, unsigned n, bool level)
{
	struct rig_line *l = ctx;

	(void)n;
	l->rises += level && !l->level;
	l->falls += !level && l->level;
	l->level = level;
}

struct irqline
rig_wire(struct rig_line *l)
{
	*l = (struct rig_line){.level = false};
	return (struct irqline){.set = set, .ctx = l};
}
