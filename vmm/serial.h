/* SPDX-License-Identifier: BSD-2-Clause */
/* serial - a serial port: the UART and the cable to its host end
 *
 * What:    stands between the 16550 and a struct chardev. Output is gathered
 *          and handed over when the guest halts, when the buffer is full, or
 *          a millisecond after its first byte. Input waits in a ring until the
 *          UART has room. A guest that keeps reading gets at most
 *          SERIAL_BURST bytes before a pause, so that no interrupt handler of
 *          its finds data for ever.
 * Units:   bytes.
 * Threads: serial_input() from any thread; the rest on the vCPU thread.
 *          write() and ready() of the chardev run without the lock held and
 *          may call serial_input().
 * Owns:    its buffers.
 */
#ifndef VMM_SERIAL_H
#define VMM_SERIAL_H

#include <stdatomic.h>

#include "base/lock.h"
#include "vmm/chardev.h"
#include "vmm/i16550.h"

#define SERIAL_RING   4096
#define SERIAL_OUT    512
#define SERIAL_BURST  256
#define SERIAL_GAP_NS (100 * NS_PER_US)

struct serial {
	struct lock lock;
	u8 ring[SERIAL_RING];	 /* [lock] host to guest */
	unsigned head, count;	 /* [lock] */
	bool refused;		 /* [lock] input found the ring full */
	atomic_uint ring_count;	 /* [atomic] a hint of count; relaxed, each
				    raise is followed by a kick */
	struct i16550 uart;	 /* [vcpu] */
	struct chardev *cd;	 /* [const] NULL: nothing is connected */
	struct vtimers *timers;	 /* [const] */
	struct vtimer out_timer; /* [vcpu] */
	struct vtimer gap_timer; /* [vcpu] */
	unsigned burst;		 /* [vcpu] bytes given since the last pause */
	unsigned out_count;	 /* [vcpu] */
	u8 out[SERIAL_OUT];	 /* [vcpu] */
};

void serial_init(struct serial *s, struct vtimers *timers, struct irqline irq,
		 struct chardev *cd);
void serial_release(struct serial *s);
void serial_reset(struct serial *s);

/* Takes up to count bytes for the guest; returns how many fitted. The caller
 * makes the vCPU thread call serial_pump() soon. */
size_t serial_input(struct serial *s, const u8 *bytes, size_t count);

/* Moves waiting input into the UART. */
void serial_pump(struct serial *s);

/* Hands gathered output to the chardev. */
void serial_flush(struct serial *s);

#endif
