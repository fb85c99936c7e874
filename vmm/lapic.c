/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/lapic.h"

/* Register offsets, SDM 3A table 11-1 */
enum {
	R_ID = 0x020,
	R_VERSION = 0x030,
	R_TPR = 0x080,
	R_APR = 0x090,
	R_PPR = 0x0a0,
	R_EOI = 0x0b0,
	R_LDR = 0x0d0,
	R_DFR = 0x0e0,
	R_SVR = 0x0f0,
	R_ISR = 0x100,
	R_TMR = 0x180,
	R_IRR = 0x200,
	R_ESR = 0x280,
	R_ICR_LOW = 0x300,
	R_ICR_HIGH = 0x310,
	R_LVT = 0x320,
	R_LVT_LAST = 0x370,
	R_INITIAL = 0x380,
	R_CURRENT = 0x390,
	R_DIVIDE = 0x3e0
};

#define VERSION		(0x14 | (LVT_COUNT - 1) << 16)
#define SVR_ENABLE	BIT(8)
#define SVR_MASK	0x3ff
#define DFR_FLAT	0xf
#define LVT_MASKED	BIT(16)
#define LVT_TIMER_MODE	0x60000
#define TIMER_ONE_SHOT	0x00000
#define TIMER_PERIODIC	0x20000
#define TIMER_DEADLINE	0x40000
#define ESR_SEND_VECTOR BIT(5)
#define ESR_RECV_VECTOR BIT(6)
#define ESR_ADDRESS	BIT(7)
#define BASE_BSP	BIT(8)
#define BASE_X2APIC	BIT(10)
#define BASE_ENABLE	BIT(11)
#define BASE_WRITABLE	(BASE_ENABLE | BITS(39, 12))

#define ICR_MODE(v)	 ((enum apic_mode)((v) >> 8 & 7))
#define ICR_LOGICAL	 BIT(11)
#define ICR_SHORTHAND(v) ((v) >> 18 & 3)
enum { TO_DEST, TO_SELF, TO_ALL, TO_OTHERS };

/* Writable bits of each LVT entry, figure 11-8 */
static const u32 lvt_mask[LVT_COUNT] = {
    [LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_PERF] = 0x107ff,
    [LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff,   [LVT_ERROR] = 0x100ff,
};

static bool
enabled(const struct lapic *l)
{
	return (l->s.base & BASE_ENABLE) && (l->s.svr & SVR_ENABLE);
}

/* --- vectors ------------------------------------------------------------ */

static void
set_bit(u32 *set, u8 v, bool on)
{
	if (on)
		set[v >> 5] |= 1U << (v & 31);
	else
		set[v >> 5] &= ~(1U << (v & 31));
}

static bool
get_bit(const u32 *set, u8 v)
{
	return set[v >> 5] >> (v & 31) & 1;
}

static int
highest(const u32 *set)
{
	for (int i = 7; i >= 0; i--)
		if (set[i] != 0)
			return i * 32 + 31 - __builtin_clz(set[i]);
	return -1;
}

/* SDM 3A 11.8.3.1 */
static u32
ppr(const struct lapic *l)
{
	int served = highest(l->s.isr);
	u32 isr = served < 0 ? 0 : (u32)served & 0xf0;

	return (l->s.tpr & 0xf0) >= isr ? l->s.tpr : isr;
}

int
lapic_vector(const struct lapic *l)
{
	int v;

	if (!enabled(l))
		return -1;
	v = highest(l->s.irr);
	return v >= 0 && ((u32)v & 0xf0) > (ppr(l) & 0xf0) ? v : -1;
}

void
lapic_ack(struct lapic *l, u8 vector)
{
	set_bit(l->s.irr, vector, false);
	set_bit(l->s.isr, vector, true);
}

bool
lapic_passes_extint(const struct lapic *l)
{
	u32 lint0 = l->s.lvt[LVT_LINT0];

	if (!(l->s.base & BASE_ENABLE))
		return true; /* LINT0 is the processor's INTR pin then */
	return !(lint0 & LVT_MASKED) && ICR_MODE(lint0) == APIC_EXTINT;
}

static void local_interrupt(struct lapic *l, unsigned entry);

static void
error(struct lapic *l, u32 bit)
{
	bool is_new = !(l->s.esr_new & bit);

	l->s.esr_new |= bit;
	if (is_new)
		local_interrupt(l, LVT_ERROR);
}

static void
accept(struct lapic *l, u8 vector, bool level)
{
	if (!enabled(l))
		return;
	if (vector < 16) {
		error(l, ESR_RECV_VECTOR);
		return;
	}
	set_bit(l->s.irr, vector, true);
	set_bit(l->s.tmr, vector, level);
}

static void
deliver(struct lapic *l, enum apic_mode mode, u8 vector, bool level)
{
	if (mode == APIC_FIXED || mode == APIC_LOWEST)
		accept(l, vector, level);
	else if (mode == APIC_NMI)
		l->wiring.nmi(l->wiring.ctx);
	/* SMI, INIT and STARTUP have no one to go to; ExtINT comes by wire */
}

static void
local_interrupt(struct lapic *l, unsigned entry)
{
	u32 lvt = l->s.lvt[entry];

	if (lvt & LVT_MASKED)
		return;
	if (entry == LVT_TIMER || entry == LVT_ERROR) {
		/* no delivery mode field; an illegal vector of the error entry
		 * itself must not report itself for ever */
		if ((lvt & 0xff) >= 16 || entry == LVT_TIMER)
			accept(l, (u8)lvt, false);
	} else {
		deliver(l, ICR_MODE(lvt), (u8)lvt, false);
	}
}

/* SDM 3A 11.6.2 */
static bool
addressed(const struct lapic *l, u8 dest, bool logical)
{
	u32 id = l->s.ldr >> 24;

	if (dest == 0xff)
		return true;
	if (!logical)
		return dest == l->s.id >> 24;
	if (l->s.dfr >> 28 == DFR_FLAT)
		return dest & id;
	return dest >> 4 == id >> 4 && (dest & id & 15); /* cluster */
}

void
lapic_message(struct lapic *l, u8 dest, bool logical, enum apic_mode mode,
	      u8 vector, bool level)
{
	if (addressed(l, dest, logical))
		deliver(l, mode, vector, level);
}

static void
write_icr(struct lapic *l, u32 v)
{
	u8 vector = (u8)v;
	enum apic_mode mode = ICR_MODE(v);
	bool to_us;

	l->s.icr_low = v & 0xccfff; /* delivery status is always idle */
	if ((mode == APIC_FIXED || mode == APIC_LOWEST) && vector < 16) {
		error(l, ESR_SEND_VECTOR);
		return;
	}
	switch (ICR_SHORTHAND(v)) {
	case TO_DEST:
		to_us =
		    addressed(l, (u8)(l->s.icr_high >> 24), v & ICR_LOGICAL);
		break;
	case TO_OTHERS:
		to_us = false;
		break;
	default:
		to_us = true;
	}
	if (to_us)
		deliver(l, mode, vector, false);
}

static void
end_of_interrupt(struct lapic *l)
{
	int v = highest(l->s.isr);

	if (v < 0)
		return;
	set_bit(l->s.isr, (u8)v, false);
	if (get_bit(l->s.tmr, (u8)v))
		l->wiring.eoi(l->wiring.ctx, (u8)v);
}

/* --- timer -------------------------------------------------------------- */

static u32
timer_mode(const struct lapic *l)
{
	return l->s.lvt[LVT_TIMER] & LVT_TIMER_MODE;
}

/* Figure 11-10: 2, 4, ... 128, and 1 last. */
static u64
divisor(const struct lapic *l)
{
	unsigned n = (l->s.divide & 3) | (l->s.divide >> 1 & 4);

	return n == 7 ? 1 : 2ULL << n;
}

static u64
period_ns(const struct lapic *l)
{
	return l->s.initial_count * divisor(l);
}

static u32
current_count(const struct lapic *l)
{
	u64 passed = vtimers_now(l->timers) - l->s.timer_start_ns;

	if (l->s.initial_count == 0 || timer_mode(l) == TIMER_DEADLINE)
		return 0;
	if (timer_mode(l) == TIMER_PERIODIC)
		passed %= period_ns(l);
	else if (passed >= period_ns(l) || l->s.timer_done)
		return 0;
	return l->s.initial_count - (u32)(passed / divisor(l));
}

/* The next expiry, whether or not it is past; VCLOCK_NEVER when stopped. */
static u64
expiry_ns(struct lapic *l)
{
	u64 now = vtimers_now(l->timers), tsc;

	if (timer_mode(l) == TIMER_DEADLINE) {
		if (l->s.tsc_deadline == 0)
			return VCLOCK_NEVER;
		tsc = l->wiring.tsc(l->wiring.ctx);
		if (l->s.tsc_deadline <= tsc)
			return now;
		return l->s.tsc_deadline - tsc >= VCLOCK_NEVER - now
			   ? VCLOCK_NEVER
			   : now + (l->s.tsc_deadline - tsc);
	}
	if (l->s.initial_count == 0 || l->s.timer_done)
		return VCLOCK_NEVER;
	return l->s.timer_start_ns + period_ns(l);
}

/* Moves the state past an expiry that has come. */
static void
timer_settle(struct lapic *l)
{
	u64 now = vtimers_now(l->timers), period = period_ns(l);

	if (expiry_ns(l) > now)
		return;
	if (timer_mode(l) == TIMER_DEADLINE)
		l->s.tsc_deadline = 0;
	else if (timer_mode(l) == TIMER_PERIODIC)
		l->s.timer_start_ns +=
		    (now - l->s.timer_start_ns) / period * period;
	else
		l->s.timer_done = true;
}

static void
timer_arm(struct lapic *l)
{
	if (l->s.lvt[LVT_TIMER] & LVT_MASKED)
		vtimer_disarm(l->timers, &l->timer);
	else
		vtimer_arm(l->timers, &l->timer, expiry_ns(l));
}

/* A period shorter than LAPIC_PERIOD_MIN_NS would leave no time for the
 * guest; it gets one interrupt in that time. */
static void
timer_fire(void *ctx)
{
	struct lapic *l = ctx;
	u64 now = vtimers_now(l->timers), period = period_ns(l), next;

	timer_settle(l);
	local_interrupt(l, LVT_TIMER);
	if (timer_mode(l) != TIMER_PERIODIC || period == 0)
		return;
	next = l->s.timer_start_ns + period;
	if (period < LAPIC_PERIOD_MIN_NS)
		next = now + LAPIC_PERIOD_MIN_NS;
	vtimer_arm(l->timers, &l->timer, next);
}

static void
write_lvt(struct lapic *l, unsigned entry, u32 v)
{
	u32 old_mode = timer_mode(l);

	if (entry == LVT_TIMER && (l->s.lvt[LVT_TIMER] & LVT_MASKED))
		timer_settle(l);
	v &= lvt_mask[entry];
	if (!(l->s.svr & SVR_ENABLE))
		v |= LVT_MASKED;
	l->s.lvt[entry] = v;
	if (entry != LVT_TIMER)
		return;
	/* to or from TSC-deadline mode: the timer is disarmed */
	if ((old_mode ^ timer_mode(l)) & TIMER_DEADLINE) {
		l->s.tsc_deadline = 0;
		l->s.initial_count = 0;
	}
	timer_arm(l);
}

static void
write_svr(struct lapic *l, u32 v)
{
	l->s.svr = v & SVR_MASK;
	if (v & SVR_ENABLE)
		return;
	for (unsigned i = 0; i < LVT_COUNT; i++)
		l->s.lvt[i] |= LVT_MASKED;
	timer_arm(l);
}

/* --- registers ---------------------------------------------------------- */

static u32
read_reg(struct lapic *l, u32 off)
{
	switch (off) {
	case R_ID:
		return l->s.id;
	case R_VERSION:
		return VERSION;
	case R_TPR:
		return l->s.tpr;
	case R_APR: /* only one processor takes part in arbitration */
	case R_PPR:
		return ppr(l);
	case R_LDR:
		return l->s.ldr;
	case R_DFR:
		return l->s.dfr;
	case R_SVR:
		return l->s.svr;
	case R_ISR ... R_ISR + 0x70:
		return l->s.isr[(off - R_ISR) >> 4];
	case R_TMR ... R_TMR + 0x70:
		return l->s.tmr[(off - R_TMR) >> 4];
	case R_IRR ... R_IRR + 0x70:
		return l->s.irr[(off - R_IRR) >> 4];
	case R_ESR:
		return l->s.esr;
	case R_ICR_LOW:
		return l->s.icr_low;
	case R_ICR_HIGH:
		return l->s.icr_high;
	case R_LVT ... R_LVT_LAST:
		return l->s.lvt[(off - R_LVT) >> 4];
	case R_INITIAL:
		return l->s.initial_count;
	case R_CURRENT:
		return current_count(l);
	case R_DIVIDE:
		return l->s.divide;
	case R_EOI: /* write only */
		return 0;
	default:
		error(l, ESR_ADDRESS);
		return 0;
	}
}

static void
write_timer_reg(struct lapic *l, u32 off, u32 v)
{
	u32 left = current_count(l);

	if (off == R_DIVIDE) { /* the count goes on at the new rate */
		u64 shift;

		l->s.divide = v & 0xb;
		shift = (l->s.initial_count - left) * divisor(l);
		l->s.timer_start_ns = vtimers_now(l->timers) - shift;
	} else if (timer_mode(l) != TIMER_DEADLINE) {
		l->s.initial_count = v;
		l->s.timer_done = false;
		l->s.timer_start_ns = vtimers_now(l->timers);
	}
	timer_arm(l);
}

static void
write_reg(struct lapic *l, u32 off, u32 v)
{
	switch (off) {
	case R_ID:
		l->s.id = v & 0xff000000;
		break;
	case R_TPR:
		l->s.tpr = v & 0xff;
		break;
	case R_EOI:
		end_of_interrupt(l);
		break;
	case R_LDR:
		l->s.ldr = v & 0xff000000;
		break;
	case R_DFR:
		l->s.dfr = v | 0x0fffffff;
		break;
	case R_SVR:
		write_svr(l, v);
		break;
	case R_ESR: /* a write makes what was collected readable */
		l->s.esr = l->s.esr_new;
		l->s.esr_new = 0;
		break;
	case R_ICR_LOW:
		write_icr(l, v);
		break;
	case R_ICR_HIGH:
		l->s.icr_high = v & 0xff000000;
		break;
	case R_LVT ... R_LVT_LAST:
		write_lvt(l, (off - R_LVT) >> 4, v);
		break;
	case R_INITIAL:
	case R_DIVIDE:
		write_timer_reg(l, off, v);
		break;
	case R_VERSION ... R_VERSION + 15: /* read only */
	case R_APR:
	case R_PPR:
	case R_ISR ... R_IRR + 0x70:
	case R_CURRENT:
		break;
	default:
		error(l, ESR_ADDRESS);
	}
}

/* Registers are 32 bits wide at multiples of 16 (11.4.1). Anything else is
 * undefined there: here a part of a register can be read, and is not written.
 */
u64
lapic_read(void *dev, u64 off, unsigned size_bytes)
{
	struct lapic *l = dev;
	unsigned in = off & 15;

	(void)size_bytes;
	if (!(l->s.base & BASE_ENABLE))
		return UINT64_MAX;
	return in < 4 ? read_reg(l, off & ~15U) >> (in * 8) : 0;
}

void
lapic_write(void *dev, u64 off, unsigned size_bytes, u64 v)
{
	struct lapic *l = dev;

	if ((l->s.base & BASE_ENABLE) && (off & 15) == 0 && size_bytes >= 4)
		write_reg(l, (u32)off, (u32)v);
}

bool
lapic_msr_read(struct lapic *l, u32 index, u64 *v)
{
	if (index == MSR_IA32_APIC_BASE)
		*v = l->s.base;
	else if (index == MSR_IA32_TSC_DEADLINE)
		*v = timer_mode(l) == TIMER_DEADLINE ? l->s.tsc_deadline : 0;
	else
		return false;
	return true;
}

bool
lapic_msr_write(struct lapic *l, u32 index, u64 v)
{
	switch (index) {
	case MSR_IA32_APIC_BASE:
		if (v & ~(BASE_WRITABLE | BASE_BSP))
			return false;
		l->s.base = (v & BASE_WRITABLE) | BASE_BSP;
		return true;
	case MSR_IA32_TSC_DEADLINE:
		if (timer_mode(l) == TIMER_DEADLINE) {
			l->s.tsc_deadline = v;
			timer_arm(l);
		}
		return true;
	default:
		return false;
	}
}

void
lapic_init(struct lapic *l, struct vtimers *timers,
	   const struct lapic_wiring *wiring)
{
	l->timers = timers;
	l->wiring = *wiring;
	vtimer_add(timers, &l->timer, timer_fire, l);
	lapic_reset(l);
}

void
lapic_reset(struct lapic *l)
{
	memset(&l->s, 0, sizeof(l->s));
	l->s.dfr = 0xffffffff;
	l->s.base = LAPIC_GPA | BASE_ENABLE | BASE_BSP;
	for (unsigned i = 0; i < LVT_COUNT; i++)
		l->s.lvt[i] = LVT_MASKED;
	l->s.svr = SVR_ENABLE | 0x0f;
	l->s.lvt[LVT_LINT0] = APIC_EXTINT << 8;
	l->s.lvt[LVT_LINT1] = APIC_NMI << 8;
	vtimer_disarm(l->timers, &l->timer);
}
