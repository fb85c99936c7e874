/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/i8254.h"

#define CONTROL_PORT 0x43
#define PORT61	     0x61

#define READ_BACK	 3	/* "counter" of a read-back command */
#define READ_BACK_COUNT	 BIT(5) /* active low */
#define READ_BACK_STATUS BIT(4) /* active low */
#define STATUS_OUT	 BIT(7)
#define STATUS_NULL	 BIT(6)

#define P61_GATE2     BIT(0)
#define P61_WRITABLE  0x0f
#define P61_REFRESH   BIT(4)
#define P61_OUT2      BIT(5)
#define REFRESH_TICKS 18 /* 15 us, counter 1 as the BIOS sets it */

static u64
now_tick(const struct i8254 *p)
{
	return ticks_at(vtimers_now(p->timers), I8254_HZ);
}

/* CLK pulses counted since the load. Modes 0 and 4 stand still while the gate
 * is low; the load itself takes one pulse. */
static u64
elapsed(const struct i8254_counter *c, u64 now)
{
	if (!c->gate && (c->mode == 0 || c->mode == 4))
		return c->held;
	return now < c->start_tick ? 0 : now - c->start_tick;
}

/* Modes 2 and 3: a new count takes over when the running period ends. */
static void
settle(struct i8254_counter *c, u64 now)
{
	u64 t = elapsed(c, now);

	if (c->reload == c->count || t < c->count)
		return;
	c->start_tick += c->count;
	c->count = c->reload;
	c->null = false;
}

static bool
periodic(const struct i8254_counter *c)
{
	return c->mode == 2 || c->mode == 3;
}

static bool
output(const struct i8254_counter *c, u64 now)
{
	u64 t = elapsed(c, now);

	switch (c->mode) {
	case 0:
		return c->armed && t >= c->count;
	case 1:
		return !c->armed || t >= c->count;
	case 2:
		return !c->armed || !c->gate || t % c->count != c->count - 1;
	case 3:
		return !c->armed || !c->gate ||
		       t % c->count < (c->count + 1) / 2;
	default: /* 4, 5: low for the one pulse at the terminal count */
		return !c->armed || t != c->count;
	}
}

/* The counting element as a read shows it. */
static u16
reading(const struct i8254_counter *c, u64 now)
{
	u64 wrap = c->bcd ? 10000 : 0x10000, t = elapsed(c, now), v, half;

	if (!c->armed || (periodic(c) && !c->gate))
		v = c->count;
	else if (c->mode == 2)
		v = c->count - t % c->count;
	else if (c->mode == 3) {
		/* counts down by two, once for each half of the period; an odd
		 * count is made even first */
		t %= c->count;
		half = (c->count + 1) / 2;
		v = (c->count & ~1U) - 2 * (t < half ? t : t - half);
	} else {
		v = wrap - (t % wrap) + c->count;
	}
	v %= wrap;
	if (c->bcd)
		v = v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 |
		    v / 1000 << 12;
	return (u16)v;
}

/* The first rising edge of the output after tick `after`. */
static u64
next_edge(const struct i8254_counter *c, u64 after)
{
	u64 edge;

	if (!c->armed || !c->gate)
		return VCLOCK_NEVER;
	if (periodic(c)) {
		if (after < c->start_tick)
			return c->start_tick + c->count;
		/* settle() has run: the next period has the same length or
		 * the reload is taken up at that very edge */
		return after + c->count - (after - c->start_tick) % c->count;
	}
	edge = c->start_tick + c->count + (c->mode >= 4 ? 1 : 0);
	return edge > after ? edge : VCLOCK_NEVER;
}

/* Periods shorter than I8254_PERIOD_MIN would leave no time for the guest: it
 * gets one interrupt in that time. */
static void
arm(struct i8254 *p, u64 now)
{
	const struct i8254_counter *c = &p->s.counter[0];
	u64 edge = next_edge(c, now);

	if (edge != VCLOCK_NEVER && periodic(c) && c->count < I8254_PERIOD_MIN)
		edge = now + I8254_PERIOD_MIN;
	if (edge == VCLOCK_NEVER)
		vtimer_disarm(p->timers, &p->timer);
	else
		vtimer_arm(p->timers, &p->timer, tick_ns(edge, I8254_HZ));
}

static void
timer_fire(void *ctx)
{
	struct i8254 *p = ctx;
	struct i8254_counter *c = &p->s.counter[0];
	u64 now = now_tick(p);

	/* The low phase may be as short as one CLK and long over. */
	irqline_set(&p->irq, false);
	irqline_set(&p->irq, true);
	settle(c, now);
	arm(p, now);
}

/* A whole count has been written. */
static void
load(struct i8254 *p, struct i8254_counter *c, u16 written)
{
	u64 now = now_tick(p);
	u32 v = written;

	if (c->bcd)
		v = (v >> 12) * 1000 + (v >> 8 & 15) * 100 +
		    (v >> 4 & 15) * 10 + (v & 15);
	if (v == 0)
		v = c->bcd ? 10000 : 0x10000;
	settle(c, now);
	c->written = true;
	if (periodic(c) && c->armed) {
		/* taken up when the running period ends: see settle() */
		c->start_tick += elapsed(c, now) / c->count * c->count;
		c->reload = v;
		c->null = v != c->count;
		return;
	}
	c->reload = v;
	if (c->mode == 1 || c->mode == 5) {
		/* waits for the gate; a running one-shot is not disturbed */
		c->null = true;
		return;
	}
	c->count = v;
	c->null = false;
	c->start_tick = now + 1;
	c->held = 0;
	c->armed = true;
}

static void
update_irq(struct i8254 *p)
{
	u64 now = now_tick(p);

	settle(&p->s.counter[0], now);
	irqline_set(&p->irq, output(&p->s.counter[0], now));
	arm(p, now);
}

static void
set_gate(struct i8254 *p, struct i8254_counter *c, bool gate)
{
	u64 now = now_tick(p);

	if (gate == c->gate)
		return;
	if (!gate) {
		c->held = elapsed(c, now);
		c->gate = false;
		return;
	}
	c->gate = true;
	if (c->mode == 0 || c->mode == 4) { /* goes on where it stood */
		c->start_tick = now - c->held;
		return;
	}
	/* the trigger of modes 1 and 5; modes 2 and 3 begin a new period */
	if (!c->written)
		return;
	c->armed = true;
	c->null = false;
	c->count = c->reload;
	c->start_tick = now + 1;
}

static void
latch_count(struct i8254_counter *c, u64 now)
{
	if (c->latch_bytes != 0)
		return; /* the first latch stands until it is read */
	settle(c, now);
	c->latch = reading(c, now);
	c->latch_bytes = c->access == 3 ? 2 : 1;
}

static void
latch_status(struct i8254_counter *c, u64 now)
{
	if (c->status_latched)
		return;
	settle(c, now);
	c->status = (u8)(c->access << 4 | c->mode << 1 | c->bcd);
	if (output(c, now))
		c->status |= STATUS_OUT;
	if (c->null)
		c->status |= STATUS_NULL;
	c->status_latched = true;
}

static void
read_back(struct i8254 *p, u8 v)
{
	u64 now = now_tick(p);

	for (int i = 0; i < 3; i++) {
		if (!(v & BIT(i + 1)))
			continue;
		if (!(v & READ_BACK_COUNT))
			latch_count(&p->s.counter[i], now);
		if (!(v & READ_BACK_STATUS))
			latch_status(&p->s.counter[i], now);
	}
}

static void
write_control(struct i8254 *p, u8 v)
{
	struct i8254_counter *c;
	u8 mode = v >> 1 & 7;

	if (v >> 6 == READ_BACK) {
		read_back(p, v);
		return;
	}
	c = &p->s.counter[v >> 6];
	if ((v >> 4 & 3) == 0) {
		latch_count(c, now_tick(p));
		return;
	}
	c->access = v >> 4 & 3;
	c->mode = mode > 5 ? mode - 4 : mode;
	c->bcd = v & 1;
	c->null = true;
	c->written = false;
	c->armed = false;
	c->read_msb = c->write_msb = false;
	c->latch_bytes = 0;
	c->status_latched = false;
}

static void
write_count(struct i8254 *p, struct i8254_counter *c, u8 v)
{
	switch (c->access) {
	case 1:
		load(p, c, v);
		break;
	case 2:
		load(p, c, (u16)(v << 8));
		break;
	default:
		if (c->write_msb) {
			load(p, c, (u16)(v << 8 | c->write_lsb));
		} else {
			c->write_lsb = v;
			if (c->mode == 0)
				c->armed = false; /* stops; OUT goes low */
		}
		c->write_msb = !c->write_msb;
	}
}

static u8
read_counter(struct i8254 *p, struct i8254_counter *c)
{
	u64 now = now_tick(p);
	u16 v;
	bool msb;

	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	settle(c, now);
	v = c->latch_bytes != 0 ? c->latch : reading(c, now);
	if (c->latch_bytes != 0)
		c->latch_bytes--;
	msb = c->access == 2 || (c->access == 3 && c->read_msb);
	if (c->access == 3)
		c->read_msb = !c->read_msb;
	return (u8)(msb ? v >> 8 : v);
}

static u8
read_port61(struct i8254 *p)
{
	struct i8254_counter *c = &p->s.counter[2];
	u64 now = now_tick(p);
	u8 v = p->s.port61;

	settle(c, now);
	if (output(c, now))
		v |= P61_OUT2;
	if (now / REFRESH_TICKS & 1)
		v |= P61_REFRESH;
	return v;
}

u32
i8254_read(void *dev, u16 port, unsigned size_bytes)
{
	struct i8254 *p = dev;

	(void)size_bytes;
	if (port == PORT61)
		return read_port61(p);
	if (port == CONTROL_PORT)
		return 0xff; /* write only */
	return read_counter(p, &p->s.counter[port & 3]);
}

void
i8254_write(void *dev, u16 port, unsigned size_bytes, u32 value)
{
	struct i8254 *p = dev;
	u8 v = (u8)value;

	(void)size_bytes;
	if (port == PORT61) {
		p->s.port61 = v & P61_WRITABLE;
		set_gate(p, &p->s.counter[2], v & P61_GATE2);
		return;
	}
	if (port == CONTROL_PORT)
		write_control(p, v);
	else
		write_count(p, &p->s.counter[port & 3], v);
	if (port == CONTROL_PORT ? v >> 6 == 0 : (port & 3) == 0)
		update_irq(p);
}

void
i8254_init(struct i8254 *p, struct vtimers *timers, struct irqline irq)
{
	p->timers = timers;
	p->irq = irq;
	vtimer_add(timers, &p->timer, timer_fire, p);
	i8254_reset(p);
}

void
i8254_reset(struct i8254 *p)
{
	memset(&p->s, 0, sizeof(p->s));
	for (int i = 0; i < 3; i++) {
		struct i8254_counter *c = &p->s.counter[i];

		/* undefined in the data sheet; counts that mean something */
		c->count = c->reload = 0x10000;
		c->access = 3;
		c->mode = 3;
		c->null = true;
		c->gate = i != 2;
	}
	vtimer_disarm(p->timers, &p->timer);
	irqline_set(&p->irq, false);
}
