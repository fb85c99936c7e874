/* SPDX-License-Identifier: BSD-2-Clause */
/* lapic - the processor's local APIC (xAPIC)
 *
 * What:    interrupt priorities, local vector table, interrupts to itself, and
 *          the timer in its three modes: one-shot, periodic, TSC deadline. The
 *          state is computed from the time; only the next expiry of an unmasked
 *          timer is a deadline. The page stays at FEE00000h. CR8 is not coupled
 *          to TPR (docs/quirks.md).
 * Model:   Intel SDM 3A chapter 11 (register offsets: table 11-1; timer:
 *          11.5.4; priorities: 11.8.3).
 * Units:   the timer's input clock and the TSC tick once a nanosecond.
 * Threads: the vCPU thread only.
 * Owns:    nothing.
 */
#ifndef VMM_LAPIC_H
#define VMM_LAPIC_H

#include "vmm/vtimer.h"

#define LAPIC_GPA	      0xfee00000ULL
#define LAPIC_SIZE	      0x1000
#define MSR_IA32_APIC_BASE    0x1b
#define MSR_IA32_TSC_DEADLINE 0x6e0
#define LAPIC_PERIOD_MIN_NS   (10 * NS_PER_US)

/* Bits 10..8 of a redirection entry, an LVT entry or the ICR */
enum apic_mode {
	APIC_FIXED,
	APIC_LOWEST,
	APIC_SMI,
	APIC_RESERVED,
	APIC_NMI,
	APIC_INIT,
	APIC_STARTUP,
	APIC_EXTINT
};

enum {
	LVT_TIMER,
	LVT_THERMAL,
	LVT_PERF,
	LVT_LINT0,
	LVT_LINT1,
	LVT_ERROR,
	LVT_COUNT
};

struct lapic_state {
	u32 id, tpr, ldr, dfr, svr;
	u32 esr, esr_new; /* errors seen by software, and since then */
	u32 icr_low, icr_high;
	u32 lvt[LVT_COUNT];
	u32 irr[8], isr[8], tmr[8];
	u32 initial_count, divide;
	u64 timer_start_ns; /* when initial_count was loaded */
	u64 tsc_deadline;   /* 0: disarmed */
	bool timer_done;    /* one-shot: expired */
	u64 base;	    /* IA32_APIC_BASE */
};

struct lapic_wiring {
	void *ctx;
	void (*eoi)(void *ctx, u8 vector); /* of a level interrupt */
	void (*nmi)(void *ctx);
	u64 (*tsc)(void *ctx); /* the guest's TSC now */
};

struct lapic {
	struct lapic_state s;
	struct lapic_wiring wiring;
	struct vtimers *timers;
	struct vtimer timer;
};

void lapic_init(struct lapic *l, struct vtimers *timers,
		const struct lapic_wiring *wiring);

/* Power-on, and then as a PC's firmware leaves it: enabled, LINT0 passes the
 * 8259's interrupts through, LINT1 is NMI (virtual wire mode). */
void lapic_reset(struct lapic *l);

/* A message from the I/O APIC. Ignored unless it is addressed to us. */
void lapic_message(struct lapic *l, u8 dest, bool logical, enum apic_mode mode,
		   u8 vector, bool level);

/* The vector that may interrupt now, or -1. lapic_ack() takes that vector into
 * service. */
int lapic_vector(const struct lapic *l);
void lapic_ack(struct lapic *l, u8 vector);

/* Does an 8259 request get through? */
bool lapic_passes_extint(const struct lapic *l);

u64 lapic_read(void *dev, u64 off, unsigned size_bytes);
void lapic_write(void *dev, u64 off, unsigned size_bytes, u64 v);

/* False when the MSR is not one of ours or the value is not allowed: #GP. */
bool lapic_msr_read(struct lapic *l, u32 index, u64 *v);
bool lapic_msr_write(struct lapic *l, u32 index, u64 v);

#endif
