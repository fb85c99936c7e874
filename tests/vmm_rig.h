/* SPDX-License-Identifier: BSD-2-Clause */
/* vmm_rig - what tests of the machine's chips share
 *
 * What:    a clock that stands still until a test moves it, timers that run on
 *          it, and interrupt lines that count their edges.
 * Units:   virtual nanoseconds.
 * Owns:    nothing.
 */
#ifndef TESTS_VMM_RIG_H
#define TESTS_VMM_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vmm/irqline.h"
#include "vmm/vtimer.h"

struct vmm_rig {
	struct vclock clock;
	struct vtimers timers;
};

void rig_init(struct vmm_rig *r);

/* Moves the clock without running timers: the machine did not get to run. */
void rig_skip(struct vmm_rig *r, u64 now_ns);

/* Lets the time pass up to now_ns as the vCPU loop does, stopping at each
 * deadline. Returns how many stops there were. */
unsigned rig_run(struct vmm_rig *r, u64 now_ns);

static inline u64
rig_now(const struct vmm_rig *r)
{
	return vclock_now_ns(&r->clock);
}

struct rig_line {
	bool level;
	unsigned rises, falls;
};

/* A wire that ends at l. */
struct irqline rig_wire(struct rig_line *l);

#endif
