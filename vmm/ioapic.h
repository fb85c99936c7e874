/* SPDX-License-Identifier: BSD-2-Clause */
/* ioapic - I/O APIC with 24 inputs
 *
 * What:    turns levels of its inputs into messages to the local APIC, by the
 *          redirection table. Lines are logical levels: an entry's polarity bit
 *          is kept and has no effect. An edge at a masked input is lost, as the
 *          data sheet has it; a level is not.
 * Model:   Intel 82093AA data sheet (290566).
 * Threads: the vCPU thread only.
 * Owns:    nothing.
 */
#ifndef VMM_IOAPIC_H
#define VMM_IOAPIC_H

#include "vmm/lapic.h"

#define IOAPIC_GPA  0xfec00000ULL
#define IOAPIC_SIZE 0x1000
#define IOAPIC_PINS 24

struct ioapic_state {
	u64 redirection[IOAPIC_PINS];
	u32 line; /* level of each input */
	u32 id;
	u8 select;
};

struct ioapic {
	struct ioapic_state s;
	struct lapic *lapic;
};

void ioapic_init(struct ioapic *io, struct lapic *lapic);
void ioapic_reset(struct ioapic *io);

void ioapic_set(struct ioapic *io, unsigned pin, bool level);

/* The local APIC ended a level interrupt. */
void ioapic_eoi(struct ioapic *io, u8 vector);

u64 ioapic_read(void *dev, u64 off, unsigned size_bytes);
void ioapic_write(void *dev, u64 off, unsigned size_bytes, u64 v);

#endif
