/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/acpi_pm.h"

#include "base/log.h"

/* PM1 status and enable bits, ACPI 4.8.3.1 */
#define PM1_TMR	   BIT(0)
#define PM1_BM	   BIT(4)
#define PM1_GBL	   BIT(5)
#define PM1_PWRBTN BIT(8)
#define PM1_RTC	   BIT(10)
#define PM1_WAK	   BIT(15)
#define PM1_EN_ALL (PM1_TMR | PM1_GBL | PM1_PWRBTN | PM1_RTC)

/* PM1 control, ACPI 4.8.3.2 */
#define CNT_SCI_EN     BIT(0)
#define CNT_BM_RLD     BIT(1)
#define CNT_SLP_TYP(v) ((v) >> 10 & 7)
#define CNT_SLP_EN     BIT(13)
#define CNT_KEPT       (CNT_BM_RLD | BITS(12, 10))

static u64
ticks(const struct acpi_pm *pm)
{
	return ticks_at(vtimers_now(pm->timers), ACPI_PM_HZ);
}

/* TMR_STS is set whenever bit 31 of the timer changes. */
static void
account(struct acpi_pm *pm)
{
	u64 carry = ticks(pm) >> 31;

	if (carry != pm->s.carry)
		pm->s.sts |= PM1_TMR;
	pm->s.carry = carry;
}

static void
update(struct acpi_pm *pm)
{
	irqline_set(&pm->sci, pm->s.sts & pm->s.en & PM1_EN_ALL);
	if ((pm->s.en & PM1_TMR) && !(pm->s.sts & PM1_TMR))
		vtimer_arm(pm->timers, &pm->timer,
			   tick_ns((pm->s.carry + 1) << 31, ACPI_PM_HZ));
	else
		vtimer_disarm(pm->timers, &pm->timer);
}

static void
timer_fire(void *ctx)
{
	struct acpi_pm *pm = ctx;

	account(pm);
	update(pm);
}

void
acpi_pm_button(struct acpi_pm *pm)
{
	pm->s.sts |= PM1_PWRBTN;
	update(pm);
}

static void
write_control(struct acpi_pm *pm, u16 v)
{
	pm->s.cnt = (v & CNT_KEPT) | CNT_SCI_EN;
	if (!(v & CNT_SLP_EN))
		return;
	if (CNT_SLP_TYP(v) == ACPI_S5_TYPE)
		pm->poweroff(pm->ctx);
	else
		log_guest("guest asked for sleep type %u, which this machine "
			  "does not have",
			  (unsigned)CNT_SLP_TYP(v));
}

/* The registers as one 32-bit value at each multiple of 4. */
static u32
read_word(struct acpi_pm *pm, unsigned reg)
{
	switch (reg) {
	case ACPI_PM_EVT:
		account(pm);
		return (u32)pm->s.en << 16 | pm->s.sts;
	case ACPI_PM_CNT:
		return pm->s.cnt;
	case ACPI_PM_TMR:
		return (u32)ticks(pm);
	default:
		return 0;
	}
}

u32
acpi_pm_read(void *dev, u16 port, unsigned size_bytes)
{
	unsigned reg = port & (ACPI_PM_PORTS - 1);
	u32 v = read_word(dev, reg & ~3U) >> ((reg & 3) * 8);

	return v & (u32)BITS(size_bytes * 8 - 1, 0);
}

void
acpi_pm_write(void *dev, u16 port, unsigned size_bytes, u32 v)
{
	struct acpi_pm *pm = dev;
	unsigned reg = port & (ACPI_PM_PORTS - 1), shift = (reg & 3) * 8;
	u32 mask = (u32)BITS(size_bytes * 8 - 1, 0) << shift;

	v = v << shift & mask;
	switch (reg & ~3U) {
	case ACPI_PM_EVT:
		account(pm);
		pm->s.sts &= (u16)~v; /* written ones clear */
		pm->s.en =
		    (u16)((pm->s.en & ~(mask >> 16)) | (v >> 16 & PM1_EN_ALL));
		update(pm);
		break;
	case ACPI_PM_CNT:
		if (mask & 0xffff)
			write_control(pm, (u16)((pm->s.cnt & ~mask) | v));
		break;
	default: /* the timer is read only */
		break;
	}
}

void
acpi_pm_init(struct acpi_pm *pm, struct vtimers *timers, struct irqline sci,
	     void (*poweroff)(void *ctx), void *ctx)
{
	pm->timers = timers;
	pm->sci = sci;
	pm->poweroff = poweroff;
	pm->ctx = ctx;
	vtimer_add(timers, &pm->timer, timer_fire, pm);
	acpi_pm_reset(pm);
}

void
acpi_pm_reset(struct acpi_pm *pm)
{
	memset(&pm->s, 0, sizeof(pm->s));
	pm->s.cnt = CNT_SCI_EN;
	pm->s.carry = ticks(pm) >> 31;
	update(pm);
}
