/* SPDX-License-Identifier: BSD-2-Clause */
/* acpi_tables - what the firmware tells the operating system about the board
 *
 * What:    builds RSDP, RSDT, XSDT, FADT, FACS, DSDT and, for a machine with
 *          local and I/O APIC, MADT. PCI interrupts are hard-wired (no link
 *          devices): the same numbers in PIC and in APIC mode.
 * Model:   ACPI 6.4 chapter 5 (tables); the FADT is revision 3 (ACPI 2.0), and
 *          says: no SMI, no VGA, no MSI, no keyboard controller to look for.
 * Units:   gpa where the block will lie; bytes.
 * Threads: pure.
 * Owns:    nothing; the caller copies the block into guest memory.
 */
#ifndef VMM_ACPI_TABLES_H
#define VMM_ACPI_TABLES_H

#include "base/bits.h"

#define ACPI_TABLES_GPA	  0xf0000 /* the RSDP is its first bytes */
#define ACPI_TABLES_BYTES 0x4000

struct acpi_config {
	u64 ram_low_end;   /* PCI's memory window begins here */
	bool has_apic;	   /* local APIC and I/O APIC */
	unsigned irq0_gsi; /* I/O APIC input of the timer */
};

/* Fills block with ACPI_TABLES_BYTES bytes that belong at gpa. */
void acpi_tables_build(u8 *block, u32 gpa, const struct acpi_config *cfg);

#endif
