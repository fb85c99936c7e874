/* SPDX-License-Identifier: BSD-2-Clause */
/* i8042 - keyboard controller, without keyboard or mouse
 *
 * What:    the controller's own commands, so that an operating system's probe
 *          finds a sane part with nothing plugged in, and the two lines a PC
 *          misuses it for: reset and A20. A20 can be switched and read back but
 *          masks no address (docs/quirks.md). Port 92h has the same two lines.
 * Model:   Intel 8042 as in the IBM PC/AT technical reference (1984), system
 *          board, keyboard controller; 82371AB 4.2.6 (port 92h).
 * Threads: the vCPU thread only.
 * Owns:    nothing.
 */
#ifndef VMM_I8042_H
#define VMM_I8042_H

#include "vmm/irqline.h"

struct i8042_state {
	u8 ram[32];	/* ram[0] is the command byte */
	u8 output_port; /* bit 0 reset (active low), bit 1 A20 */
	u8 pending;	/* command that waits for its data byte, or 0 */
	u8 out;		/* output buffer */
	bool out_full, out_aux;
	bool last_was_command; /* status bit 3 */
};

struct i8042 {
	struct i8042_state s;
	struct irqline irq1, irq12;
	void (*reset)(void *ctx); /* the processor's reset line was pulsed */
	void *ctx;
};

void i8042_init(struct i8042 *k, struct irqline irq1, struct irqline irq12,
		void (*reset)(void *ctx), void *ctx);
void i8042_reset(struct i8042 *k);

/* Ports 60h, 64h and 92h. */
u32 i8042_read(void *dev, u16 port, unsigned size_bytes);
void i8042_write(void *dev, u16 port, unsigned size_bytes, u32 v);

#endif
