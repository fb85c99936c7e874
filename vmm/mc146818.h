/* SPDX-License-Identifier: BSD-2-Clause */
/* mc146818 - real-time clock and CMOS memory
 *
 * What:    time of day in UTC, alarm, periodic and update-ended interrupts,
 *          and 114 bytes of memory. Nothing ticks: the time is an offset to
 *          virtual time, the flags of register C are worked out from when it
 *          was last read, and a deadline exists only for an interrupt that the
 *          guest has enabled and that is not already asserted.
 * Model:   Motorola MC146818A data sheet; 82371AB 4.2.7 (ports 70h, 71h).
 * Units:   wall times since 1970, without leap seconds.
 * Threads: the vCPU thread only.
 * Owns:    nothing.
 */
#ifndef VMM_MC146818_H
#define VMM_MC146818_H

#include "vmm/irqline.h"
#include "vmm/vtimer.h"

#define MC146818_BYTES 128

struct mc146818_state {
	u8 ram[MC146818_BYTES]; /* time registers only while SET is on */
	u8 index;		/* port 70h */
	s64 wall_secs;	  /* wall time at virtual time 0, seconds since 1970 */
	u64 wall_part_ns; /* and the part below a second */
	u64 c_ns;	  /* virtual time up to which flags are accounted for */
};

struct mc146818 {
	struct mc146818_state s;
	struct vtimers *timers;
	struct vtimer timer;
	struct irqline irq;
};

/* wall_ns: what time it is at virtual time 0. */
void mc146818_init(struct mc146818 *r, struct vtimers *timers,
		   struct irqline irq, u64 wall_ns);

/* RESET#: interrupts off. Time and memory live on a battery. */
void mc146818_reset(struct mc146818 *r);

/* Ports 70h-71h. */
u32 mc146818_read(void *dev, u16 port, unsigned size_bytes);
void mc146818_write(void *dev, u16 port, unsigned size_bytes, u32 v);

#endif
