/* SPDX-License-Identifier: BSD-2-Clause */
/* i8259 - the pair of interrupt controllers of a PC
 *
 * What:    two 8259As, the second on input 2 of the first, with PIIX's
 *          edge/level control registers. All modes of the data sheet but MCS-80
 *          and buffered mode, which a PC cannot use.
 *          An edge stays latched until it is acknowledged, even when the line
 *          falls before that (docs/quirks.md); a level input follows its line.
 * Model:   Intel 8259A data sheet (231468); 82371AB 4.2.5 (ELCR). ICW1's LTIM
 *          is ignored in favour of ELCR, as in the PIIX.
 * Units:   irq 0..15; 8..15 are the second chip's.
 * Threads: the vCPU thread only.
 * Owns:    nothing.
 */
#ifndef VMM_I8259_H
#define VMM_I8259_H

#include "base/bits.h"

struct i8259_chip {
	u8 irr, imr, isr;
	u8 line;     /* level of each input */
	u8 elcr;     /* 1: level triggered */
	u8 base;     /* ICW2: vector of input 0 */
	u8 lowest;   /* input of lowest priority; 7 after ICW1 */
	u8 icw_next; /* 0: initialised, else the ICW number that is expected */
	bool icw4_wanted, single;
	bool auto_eoi, rotate_aeoi;
	bool nested; /* ICW4 SFNM */
	bool special_mask;
	bool read_isr; /* OCW3: which register a read of A0=0 gives */
	bool poll;     /* OCW3: the next read is a poll */
};

struct i8259 {
	struct i8259_chip chip[2];
};

void i8259_reset(struct i8259 *p);

/* For struct irqline: ctx is the pair. */
void i8259_set(void *ctx, unsigned irq, bool level);

/* The INT output of the first chip. */
bool i8259_pending(const struct i8259 *p);

/* The INTA cycle: returns the vector. Without a request that still stands,
 * the data sheet's spurious one, input 7. */
u8 i8259_ack(struct i8259 *p);

/* Ports 20h-21h, A0h-A1h and 4D0h-4D1h; dev is the pair. */
u32 i8259_read(void *dev, u16 port, unsigned size_bytes);
void i8259_write(void *dev, u16 port, unsigned size_bytes, u32 v);

#endif
