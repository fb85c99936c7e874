/* SPDX-License-Identifier: BSD-2-Clause */
/* i8254 - the programmable interval timer, and port 61h
 *
 * What:    three 16-bit counters in all six modes, binary and BCD, with latch
 *          and read-back commands. Counter 0 drives IRQ 0; counter 2 is gated
 *          by port 61h, and its output is seen there. Nothing runs: counts and
 *          outputs are computed from the time when somebody looks, and only
 *          counter 0's next rising edge is a deadline. Edges that pass while
 *          the machine does not get to run are not made up for
 *          (docs/quirks.md).
 * Model:   Intel 8254 data sheet (231164); 82371AB 4.2.4 (NMI status and
 *          control, port 61h).
 * Units:   ticks of 1.193182 MHz since virtual time 0.
 * Threads: the vCPU thread only.
 * Owns:    nothing.
 */
#ifndef VMM_I8254_H
#define VMM_I8254_H

#include "vmm/irqline.h"
#include "vmm/vtimer.h"

#define I8254_HZ	 1193182ULL
#define I8254_PERIOD_MIN 12ULL /* ticks, about 10 us */

struct i8254_counter {
	u64 start_tick; /* when the count in use was loaded */
	u32 count;	/* in use, 1..65536 */
	u32 reload;	/* modes 2 and 3 take it up at the end of the period */
	u64 held;	/* ticks that had passed when the gate fell */
	u16 latch;
	u8 latch_bytes; /* bytes of latch still to be read */
	u8 status;
	bool status_latched;
	u8 access; /* 1 LSB, 2 MSB, 3 both */
	u8 mode;
	bool bcd;
	bool gate;
	bool written; /* a count, since the control word */
	bool null;    /* the last count written is not in use yet */
	bool armed;   /* counting: a count was loaded or a trigger has come */
	bool read_msb, write_msb;
	u8 write_lsb;
};

struct i8254_state {
	struct i8254_counter counter[3];
	u8 port61; /* bits 3..0 as written */
};

struct i8254 {
	struct i8254_state s;
	struct vtimers *timers;
	struct vtimer timer; /* counter 0's next edge */
	struct irqline irq;
};

void i8254_init(struct i8254 *p, struct vtimers *timers, struct irqline irq);
void i8254_reset(struct i8254 *p);

/* Ports 40h-43h and 61h. */
u32 i8254_read(void *dev, u16 port, unsigned size_bytes);
void i8254_write(void *dev, u16 port, unsigned size_bytes, u32 v);

#endif
