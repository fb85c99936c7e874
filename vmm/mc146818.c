/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/mc146818.h"

/* Registers, data sheet table 2 */
enum {
	SECONDS,
	SECONDS_ALARM,
	MINUTES,
	MINUTES_ALARM,
	HOURS,
	HOURS_ALARM,
	WEEKDAY,
	DAY,
	MONTH,
	YEAR,
	REG_A,
	REG_B,
	REG_C,
	REG_D,
	CENTURY = 0x32
}; /* where ACPI's FADT says it is */

#define A_UIP	   BIT(7)
#define A_DV	   0x70
#define A_DV_RUN   0x20 /* 32.768 kHz, counting */
#define A_DV_RESET 0x60 /* 11x: divider held in reset */
#define A_RS	   0x0f
#define B_SET	   BIT(7)
#define B_PIE	   BIT(6)
#define B_AIE	   BIT(5)
#define B_UIE	   BIT(4)
#define B_DM	   BIT(2)
#define B_24H	   BIT(1)
#define C_IRQF	   BIT(7)
#define C_PF	   BIT(6) /* the same places as their enables in B */
#define C_AF	   BIT(5)
#define C_UF	   BIT(4)
#define D_VRT	   BIT(7)

#define HOUR_PM	       BIT(7)
#define ALARM_ANY      0xc0 /* both bits: matches every value */
#define RTC_HZ	       32768ULL
#define UIP_NS	       (244 * NS_PER_US)
#define SECS_PER_DAY   86400
#define AFTER_RESET_NS (NS_PER_SEC / 2)
#define FLAGS	       (C_PF | C_AF | C_UF)

struct date {
	int year, month, day, hour, minute, second; /* month, day from 1 */
	int weekday;				    /* 0 is Sunday */
};

/* Days since 1970 of a date in the Gregorian calendar: years begin in March,
 * so that the leap day is the last, and 400 years have 146097 days. */
static s64
days_from_date(int year, int month, int day)
{
	s64 y = month <= 2 ? year - 1 : year;
	s64 era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
	s64 doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static struct date
date_from_secs(s64 secs)
{
	s64 days = secs / SECS_PER_DAY, rest = secs % SECS_PER_DAY, z, era;
	s64 doe, yoe, doy, mp;
	struct date d;

	if (rest < 0) {
		rest += SECS_PER_DAY;
		days--;
	}
	z = days + 719468;
	era = (z >= 0 ? z : z - 146096) / 146097;
	doe = z - era * 146097;
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	d.day = (int)(doy - (153 * mp + 2) / 5 + 1);
	d.month = (int)(mp < 10 ? mp + 3 : mp - 9);
	d.year = (int)(yoe + era * 400 + (d.month <= 2));
	d.weekday = (int)(((days + 4) % 7 + 7) % 7);
	d.hour = (int)(rest / 3600);
	d.minute = (int)(rest / 60 % 60);
	d.second = (int)(rest % 60);
	return d;
}

/* --- how values look in registers --------------------------------------- */

static u8
encode(const struct mc146818 *r, int v)
{
	return (u8)(r->s.ram[REG_B] & B_DM ? v : v / 10 << 4 | v % 10);
}

static int
decode(const struct mc146818 *r, u8 v)
{
	return r->s.ram[REG_B] & B_DM ? v : (v >> 4) * 10 + (v & 15);
}

static u8
encode_hour(const struct mc146818 *r, int hour)
{
	int h12 = hour % 12 == 0 ? 12 : hour % 12;

	if (r->s.ram[REG_B] & B_24H)
		return encode(r, hour);
	return encode(r, h12) | (hour >= 12 ? HOUR_PM : 0);
}

static int
decode_hour(const struct mc146818 *r, u8 v)
{
	int hour;

	if (r->s.ram[REG_B] & B_24H)
		return decode(r, v);
	hour = decode(r, v & (u8)~HOUR_PM) % 12;
	return v & HOUR_PM ? hour + 12 : hour;
}

/* --- time --------------------------------------------------------------- */

static bool
running(const struct mc146818 *r)
{
	return !(r->s.ram[REG_B] & B_SET) &&
	       (r->s.ram[REG_A] & A_DV_RESET) != A_DV_RESET;
}

/* Wall time in whole seconds at virtual time ns, and the part below. */
static s64
wall_secs(const struct mc146818 *r, u64 ns, u64 *part_ns)
{
	u64 sum = r->s.wall_part_ns + ns;

	if (part_ns != NULL)
		*part_ns = sum % NS_PER_SEC;
	return r->s.wall_secs + (s64)(sum / NS_PER_SEC);
}

/* Lets it be secs and part_ns (at most a second) at virtual time ns. */
static void
set_time(struct mc146818 *r, u64 ns, s64 secs, u64 part_ns)
{
	u64 part = (part_ns + NS_PER_SEC - ns % NS_PER_SEC) % NS_PER_SEC;

	r->s.wall_part_ns = part;
	/* part + ns is part_ns, but for whole seconds */
	r->s.wall_secs = secs - (s64)((part + ns - part_ns) / NS_PER_SEC);
}

/* Writes the time into the registers, as an update cycle does. */
static void
registers_from_time(struct mc146818 *r)
{
	struct date d =
	    date_from_secs(wall_secs(r, vtimers_now(r->timers), NULL));
	u8 *ram = r->s.ram;

	ram[SECONDS] = encode(r, d.second);
	ram[MINUTES] = encode(r, d.minute);
	ram[HOURS] = encode_hour(r, d.hour);
	ram[WEEKDAY] = encode(r, d.weekday + 1);
	ram[DAY] = encode(r, d.day);
	ram[MONTH] = encode(r, d.month);
	ram[YEAR] = encode(r, d.year % 100);
	ram[CENTURY] = encode(r, d.year / 100);
}

/* Takes the time from the registers; the next second begins in rest_ns. */
static void
time_from_registers(struct mc146818 *r, u64 rest_ns)
{
	const u8 *ram = r->s.ram;
	u64 now = vtimers_now(r->timers);
	int month = MIN(MAX(decode(r, ram[MONTH]), 1), 12);
	s64 secs =
	    days_from_date(decode(r, ram[CENTURY]) * 100 + decode(r, ram[YEAR]),
			   month, decode(r, ram[DAY])) *
	    SECS_PER_DAY;

	secs += decode_hour(r, ram[HOURS]) * 3600 +
		decode(r, ram[MINUTES]) * 60 + decode(r, ram[SECONDS]);
	set_time(r, now, secs, NS_PER_SEC - rest_ns);
	r->s.c_ns = now;
}

static u64
rest_of_second(const struct mc146818 *r)
{
	u64 part;

	(void)wall_secs(r, vtimers_now(r->timers), &part);
	return NS_PER_SEC - part;
}

/* --- events ------------------------------------------------------------- */

/* Data sheet table 5: ticks of 32.768 kHz between periodic interrupts. */
static u64
periodic_ticks(const struct mc146818 *r)
{
	unsigned rs = r->s.ram[REG_A] & A_RS;

	if (rs == 0)
		return 0;
	return 1ULL << (rs <= 2 ? rs + 6 : rs - 1);
}

/* First periodic event after virtual time ns. */
static u64
next_periodic(const struct mc146818 *r, u64 ns)
{
	u64 period = periodic_ticks(r), tick;

	if (period == 0 || (r->s.ram[REG_A] & A_DV_RESET) == A_DV_RESET)
		return VCLOCK_NEVER;
	tick = ticks_at(ns, RTC_HZ) / period + 1;
	return tick_ns(tick * period, RTC_HZ);
}

/* First update-ended event after virtual time ns. */
static u64
next_update(const struct mc146818 *r, u64 ns)
{
	u64 part;

	if (!running(r))
		return VCLOCK_NEVER;
	(void)wall_secs(r, ns, &part);
	return ns + NS_PER_SEC - part;
}

static bool
alarm_matches(u8 alarm, int alarm_value, int value)
{
	return (alarm & ALARM_ANY) == ALARM_ANY || alarm_value == value;
}

/* First second whose time of day matches the alarm, after virtual time ns.
 * Whole hours and minutes that cannot match are stepped over, so the search
 * takes at most some 150 steps. */
static u64
next_alarm(const struct mc146818 *r, u64 ns)
{
	const u8 *ram = r->s.ram;
	int hour = decode_hour(r, ram[HOURS_ALARM]);
	int minute = decode(r, ram[MINUTES_ALARM]);
	int second = decode(r, ram[SECONDS_ALARM]);
	u64 first = next_update(r, ns);
	s64 t, day, end;

	if (first == VCLOCK_NEVER)
		return VCLOCK_NEVER;
	t = wall_secs(r, first, NULL);
	end = t + SECS_PER_DAY;
	for (s64 at = t; at < end;) {
		day = (at % SECS_PER_DAY + SECS_PER_DAY) % SECS_PER_DAY;
		if (!alarm_matches(ram[HOURS_ALARM], hour, (int)(day / 3600)))
			at += 3600 - day % 3600;
		else if (!alarm_matches(ram[MINUTES_ALARM], minute,
					(int)(day / 60 % 60)))
			at += 60 - day % 60;
		else if (!alarm_matches(ram[SECONDS_ALARM], second,
					(int)(day % 60)))
			at++;
		else
			return first + (u64)(at - t) * NS_PER_SEC;
	}
	return VCLOCK_NEVER;
}

/* Brings register C up to now. */
static void
account(struct mc146818 *r)
{
	u64 now = vtimers_now(r->timers);
	u8 *c = &r->s.ram[REG_C];

	if (next_periodic(r, r->s.c_ns) <= now)
		*c |= C_PF;
	if (next_update(r, r->s.c_ns) <= now)
		*c |= C_UF;
	if (!(*c & C_AF) && next_alarm(r, r->s.c_ns) <= now)
		*c |= C_AF;
	r->s.c_ns = now;
}

/* Sets IRQF and the line, and the deadline of the next enabled event unless
 * the line is already asserted. */
static void
update_irq(struct mc146818 *r)
{
	u8 b = r->s.ram[REG_B], *c = &r->s.ram[REG_C];
	u64 next = VCLOCK_NEVER;

	if (*c & b & FLAGS)
		*c |= C_IRQF;
	else
		*c &= (u8)~C_IRQF;
	irqline_set(&r->irq, *c & C_IRQF);
	if (!(*c & C_IRQF)) {
		if (b & B_PIE)
			next = MIN(next, next_periodic(r, r->s.c_ns));
		if (b & B_UIE)
			next = MIN(next, next_update(r, r->s.c_ns));
		if (b & B_AIE)
			next = MIN(next, next_alarm(r, r->s.c_ns));
	}
	vtimer_arm(r->timers, &r->timer, next);
}

static void
timer_fire(void *ctx)
{
	struct mc146818 *r = ctx;

	account(r);
	update_irq(r);
}

/* --- registers ---------------------------------------------------------- */

static bool
is_time(u8 reg)
{
	return reg == SECONDS || reg == MINUTES || reg == HOURS ||
	       (reg >= WEEKDAY && reg <= YEAR) || reg == CENTURY;
}

static u8
read_reg(struct mc146818 *r, u8 reg)
{
	u8 v;

	switch (reg) {
	case REG_A:
		v = r->s.ram[REG_A];
		if (running(r) && rest_of_second(r) <= UIP_NS)
			v |= A_UIP;
		return v;
	case REG_C:
		account(r);
		update_irq(r);
		v = r->s.ram[REG_C];
		r->s.ram[REG_C] = 0;
		update_irq(r);
		return v;
	default:
		if (is_time(reg) && running(r))
			registers_from_time(r);
		return r->s.ram[reg];
	}
}

/* A or B are about to change what time means: freezes the registers, changes,
 * and lets the time go on from them. Leaving divider reset, the first update
 * comes after half a second (data sheet, "divider control"). */
static void
write_control(struct mc146818 *r, u8 reg, u8 v)
{
	bool was_running = running(r), was_held;
	u64 rest = rest_of_second(r);
	u8 old_b = r->s.ram[REG_B];

	was_held = (r->s.ram[REG_A] & A_DV_RESET) == A_DV_RESET;
	account(r);
	if (was_running)
		registers_from_time(r);
	r->s.ram[reg] = v;
	if (running(r) && !was_running)
		time_from_registers(r, was_held ? AFTER_RESET_NS : rest);
	/* SET clears UIE (data sheet, register B) */
	if (r->s.ram[REG_B] & ~old_b & B_SET)
		r->s.ram[REG_B] &= (u8)~B_UIE;
	update_irq(r);
}

static void
write_reg(struct mc146818 *r, u8 reg, u8 v)
{
	switch (reg) {
	case REG_A:
		write_control(r, reg, v & (u8)~A_UIP);
		return;
	case REG_B:
		write_control(r, reg, v);
		return;
	case REG_C:
	case REG_D:
		return; /* read only */
	default:
		break;
	}
	account(r);
	if (is_time(reg) && running(r)) {
		u64 rest = rest_of_second(r);

		registers_from_time(r);
		r->s.ram[reg] = v;
		time_from_registers(r, rest);
	} else {
		r->s.ram[reg] = v;
	}
	update_irq(r);
}

u32
mc146818_read(void *dev, u16 port, unsigned size_bytes)
{
	struct mc146818 *r = dev;

	(void)size_bytes;
	if (!(port & 1))
		return 0xff; /* 70h is write only */
	return read_reg(r, r->s.index);
}

void
mc146818_write(void *dev, u16 port, unsigned size_bytes, u32 v)
{
	struct mc146818 *r = dev;

	(void)size_bytes;
	if (port & 1)
		write_reg(r, r->s.index, (u8)v);
	else
		r->s.index = v & 0x7f; /* bit 7 masks NMI, which nobody makes */
}

void
mc146818_init(struct mc146818 *r, struct vtimers *timers, struct irqline irq,
	      u64 wall_ns)
{
	memset(&r->s, 0, sizeof(r->s));
	r->timers = timers;
	r->irq = irq;
	vtimer_add(timers, &r->timer, timer_fire, r);
	r->s.wall_secs = (s64)(wall_ns / NS_PER_SEC);
	r->s.wall_part_ns = wall_ns % NS_PER_SEC;
	r->s.ram[REG_A] = A_DV_RUN | 6; /* 976.5625 us, as a BIOS leaves it */
	r->s.ram[REG_B] = B_24H;
	r->s.ram[REG_D] = D_VRT;
	r->s.c_ns = vtimers_now(timers);
}

void
mc146818_reset(struct mc146818 *r)
{
	account(r);
	r->s.ram[REG_B] &= (u8) ~(B_PIE | B_AIE | B_UIE);
	r->s.ram[REG_C] = 0;
	update_irq(r);
}
