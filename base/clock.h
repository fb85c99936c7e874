/* SPDX-License-Identifier: BSD-2-Clause */
/* clock - host time, and the virtual time of a machine
 *
 * What:    clock_now_ns() is the host's monotonic clock. A struct vclock is a
 *          machine's own time: it starts at 0, runs at the host's pace while
 *          the machine runs and stands still while it is paused. Every guest
 *          clock (TSC, PIT, RTC, PM timer, LAPIC) is derived from it, so a
 *          pause is invisible to the guest. The virtual TSC ticks once a
 *          nanosecond (VCLOCK_TSC_HZ) on the software CPU.
 * Units:   nanoseconds.
 * Threads: vclock_now_ns() from any thread, and it never runs backwards for
 *          any of them; vclock_start/stop only by the thread that runs the
 *          vCPU.
 * Owns:    nothing.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdatomic.h>

#include "base/bits.h"

#define NS_PER_SEC    1000000000ULL
#define NS_PER_MS     1000000ULL
#define NS_PER_US     1000ULL
#define VCLOCK_TSC_HZ 1000000000ULL
#define VCLOCK_NEVER  UINT64_MAX

struct vclock {
	_Atomic u32 seq; /* [atomic] odd while the vCPU thread changes the rest;
			    a reader tries again when it moved under him */
	/* now = running ? host - base_ns : stopped_ns */
	_Atomic u64 base_ns;	/* [seq] */
	_Atomic u64 stopped_ns; /* [seq] */
	atomic_bool running;	/* [seq] */
};

u64 clock_now_ns(void);

/* CPU time this process has used. */
u64 clock_cpu_ns(void);

void vclock_init(struct vclock *vc, u64 start_ns);
void vclock_start(struct vclock *vc);
void vclock_stop(struct vclock *vc);

/* Moves a clock that stands still on to now_ns: time that a test gives by hand.
 * Never back: an earlier time has no effect. As start/stop for threads. */
void vclock_step(struct vclock *vc, u64 now_ns);

u64 vclock_now_ns(const struct vclock *vc);

#endif
