/* SPDX-License-Identifier: BSD-2-Clause */
/* piix4 - southbridge: ISA bridge and power management function
 *
 * What:    function 0 (8086:7110) routes PCI interrupts to ISA ones and owns
 *          the reset control register at CF9h; function 3 (8086:7113) places
 *          the ACPI registers in the port space. Function 1, IDE, is a file of
 *          its own. The state after reset is what a PC's firmware would have
 *          programmed: PIRQA, C to IRQ 10, PIRQB, D to IRQ 11, the ACPI
 *          registers at PIIX4_PM_BASE.
 * Model:   Intel 82371AB data sheet (290562): 4.1 (function 0), 7.1
 *          (function 3), 4.2.8 (CF9h).
 * Threads: the vCPU thread only.
 * Owns:    the port region of the ACPI registers.
 */
#ifndef VMM_PIIX4_H
#define VMM_PIIX4_H

#include "vmm/acpi_pm.h"
#include "vmm/irqline.h"
#include "vmm/pci.h"
#include "vmm/pio.h"

#define PIIX4_DEVICE  1 /* on bus 0 */
#define PIIX4_PM_BASE 0x600
#define PIIX4_IRQ_AC  10
#define PIIX4_IRQ_BD  11

struct piix4_state {
	u8 pirq_line;	  /* level of PIRQA..D in bits 0..3 */
	s8 route[4];	  /* the ISA interrupt of each, or -1 */
	u8 reset_control; /* CF9h */
	u16 pm_port;	  /* where the ACPI registers are, 0: nowhere */
};

struct piix4 {
	struct piix4_state s;
	struct pci_function isa, pm;
	struct pci *bus;
	struct pio *pio;
	struct acpi_pm *acpi;
	void (*irq)(void *ctx, unsigned irq, bool level);
	void (*reset)(void *ctx);
	void *ctx;
};

/* Members bus, pio, acpi, irq, reset and ctx are the caller's to fill. */
void piix4_init(struct piix4 *p);
void piix4_reset(struct piix4 *p);

/* For struct irqline: level of PIRQA..D, n 0..3. */
void piix4_pirq(void *ctx, unsigned n, bool level);

/* CF8h-CFBh: the reset control register lies inside PCI's address register. */
u32 piix4_cf8_read(void *dev, u16 port, unsigned size_bytes);
void piix4_cf8_write(void *dev, u16 port, unsigned size_bytes, u32 v);

#endif
