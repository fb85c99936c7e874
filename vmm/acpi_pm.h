/* SPDX-License-Identifier: BSD-2-Clause */
/* acpi_pm - ACPI power management registers
 *
 * What:    PM1a event and control blocks and the PM timer, at the offsets of
 *          PIIX4's function 3. Soft-off (S5), power button and PM timer carry
 *          raise the SCI. There is no SMI and no legacy mode: SCI_EN reads 1.
 *          The timer has 32 bits (PIIX4's has 24; the FADT says so). Only an
 *          enabled carry is a deadline.
 * Model:   ACPI 6.4 section 4.8.3; Intel 82371AB data sheet 7.2.
 * Units:   ticks of 3.579545 MHz since virtual time 0.
 * Threads: the vCPU thread only.
 * Owns:    nothing.
 */
#ifndef VMM_ACPI_PM_H
#define VMM_ACPI_PM_H

#include "vmm/irqline.h"
#include "vmm/vtimer.h"

#define ACPI_PM_HZ    3579545ULL
#define ACPI_PM_PORTS 64 /* the block's size and alignment */
#define ACPI_PM_EVT   0	 /* PM1_STS, PM1_EN */
#define ACPI_PM_CNT   4
#define ACPI_PM_TMR   8
#define ACPI_S5_TYPE  0 /* SLP_TYP of soft-off, 82371AB 7.2.3 */
#define ACPI_SCI_IRQ  9

struct acpi_pm_state {
	u16 sts, en, cnt;
	u64 carry; /* ticks >> 31 up to which TMR_STS is accounted for */
};

struct acpi_pm {
	struct acpi_pm_state s;
	struct vtimers *timers;
	struct vtimer timer;
	struct irqline sci;
	void (*poweroff)(void *ctx);
	void *ctx;
};

void acpi_pm_init(struct acpi_pm *pm, struct vtimers *timers,
		  struct irqline sci, void (*poweroff)(void *ctx), void *ctx);
void acpi_pm_reset(struct acpi_pm *pm);

/* The user presses the power button. */
void acpi_pm_button(struct acpi_pm *pm);

/* Accesses of 1, 2 and 4 bytes, not across a 4-byte boundary. */
u32 acpi_pm_read(void *dev, u16 port, unsigned size_bytes);
void acpi_pm_write(void *dev, u16 port, unsigned size_bytes, u32 v);

#endif
