/* SPDX-License-Identifier: BSD-2-Clause */
/* i16550 - serial port controller (16550A)
 *
 * What:    registers, 16-byte receive FIFO with trigger levels and character
 *          timeout, interrupt identification, modem lines, loopback. A byte
 *          sent is gone at once: the transmitter is always empty. OUT2 gates
 *          the interrupt, as the PC wires it.
 * Model:   National PC16550D data sheet, section 8.
 * Units:   bytes; the line's bit time follows the divisor at 1.8432 MHz.
 * Threads: the vCPU thread only. tx() and drained() are called on it, and may
 *          call i16550_receive().
 * Owns:    nothing.
 */
#ifndef VMM_I16550_H
#define VMM_I16550_H

#include "vmm/irqline.h"
#include "vmm/vtimer.h"

#define I16550_FIFO 16

struct i16550_state {
	u8 ier, lcr, mcr, msr, scr;
	u8 lsr_errors; /* OE PE FE BI, until LSR is read */
	u8 fcr;	       /* bits 7, 6 and 0 */
	u8 dll, dlm;
	u8 fifo[I16550_FIFO];
	u8 head, count;	   /* of fifo; without FIFO mode at most one byte */
	bool thr_pending;  /* THR became empty and nobody was told yet */
	bool rx_timed_out; /* character timeout indication */
};

struct i16550 {
	struct i16550_state s;
	struct vtimers *timers;
	struct vtimer rx_timer;
	struct irqline irq;
	void (*tx)(void *ctx, u8 byte);
	void (*drained)(void *ctx); /* there is room to receive again */
	void *ctx;
	bool connected; /* DSR, DCD and CTS come from a peer */
};

/* Members tx, drained, ctx and connected are the caller's to fill first. */
void i16550_init(struct i16550 *u, struct vtimers *timers, struct irqline irq);
void i16550_reset(struct i16550 *u);

/* Bytes that may be sent to the guest now: room in the FIFO, none while the
 * guest holds RTS down or loops back. So input that comes before a driver has
 * opened the port waits, instead of being lost when the driver clears the
 * FIFO. */
unsigned i16550_room(const struct i16550 *u);

/* A byte arrives from the line. More than i16550_room() is an overrun. */
void i16550_receive(struct i16550 *u, u8 byte);

/* Eight ports; the low three bits of port select the register. */
u32 i16550_read(void *dev, u16 port, unsigned size_bytes);
void i16550_write(void *dev, u16 port, unsigned size_bytes, u32 v);

#endif
