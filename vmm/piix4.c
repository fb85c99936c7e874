/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/piix4.h"

#include "base/log.h"

/* Function 0 registers, 4.1 */
#define IORT	0x4c
#define XBCS	0x4e /* ..4Fh */
#define PIRQRC	0x60 /* ..63h: PIRQA..D */
#define SERIRQC 0x64
#define TOM	0x69
#define MSTAT	0x6a
#define DLC	0x82
#define GENCFG	0xb0 /* ..B3h */
#define RTCCFG	0xcb

#define PIRQRC_DISABLED BIT(7)
#define PIRQRC_IRQ	0x0f
#define PIRQRC_VALID	0xdef8 /* IRQs that a PIRQ can be routed to */

/* Function 3 registers, 7.1 */
#define PMBA	  0x40
#define CNTA	  0x44 /* ..57h: device activity */
#define PMREGMISC 0x80
#define SMBBA	  0x90

#define PMBA_ADDRESS   0xffc0
#define PMREGMISC_IOSE BIT(0)

#define RESET_PORT 0xcf9
#define RC_RCPU	   BIT(2) /* 0 to 1: reset */
#define RC_KEPT	   (BIT(1) | RC_RCPU)

/* The ISA interrupt that PIRQ n drives, or -1. */
static int
target(const struct piix4 *p, unsigned n)
{
	u8 rc = p->isa.s.config[PIRQRC + n];

	if ((rc & PIRQRC_DISABLED) || !(PIRQRC_VALID >> (rc & PIRQRC_IRQ) & 1))
		return -1;
	return rc & PIRQRC_IRQ;
}

/* Several PIRQs may share an interrupt: it is asserted while any is. */
static void
drive(struct piix4 *p, int irq)
{
	bool level = false;

	if (irq < 0)
		return;
	for (unsigned n = 0; n < 4; n++)
		if ((p->s.pirq_line >> n & 1) && target(p, n) == irq)
			level = true;
	p->irq(p->ctx, (unsigned)irq, level);
}

void
piix4_pirq(void *ctx, unsigned n, bool level)
{
	struct piix4 *p = ctx;

	assert(n < 4);
	p->s.pirq_line &= (u8)~BIT(n);
	p->s.pirq_line |= (u8)(level << n);
	drive(p, target(p, n));
}

/* A route changed: the interrupts that lost or gained a PIRQ follow. Others are
 * not touched, they may belong to ISA devices. */
static void
reroute(struct piix4 *p)
{
	for (unsigned n = 0; n < 4; n++) {
		int old = p->s.route[n], now = target(p, n);

		p->s.route[n] = (s8)now;
		if (old == now)
			continue;
		drive(p, old);
		drive(p, now);
	}
}

static void
isa_written(void *ctx, u8 reg, unsigned size_bytes)
{
	if (reg + size_bytes > PIRQRC && reg <= PIRQRC + 3)
		reroute(ctx);
}

/* Puts the ACPI registers where PMBA and PMREGMISC say. */
static void
place_pm(struct piix4 *p)
{
	const u8 *c = p->pm.s.config;
	u16 port = get_le16(c + PMBA) & PMBA_ADDRESS;
	struct pio_region r = {.port = port,
			       .count = ACPI_PM_PORTS,
			       .width_bytes = 4,
			       .read = acpi_pm_read,
			       .write = acpi_pm_write,
			       .dev = p->acpi};

	if (!(c[PMREGMISC] & PMREGMISC_IOSE))
		port = 0;
	if (port == p->s.pm_port)
		return;
	if (p->s.pm_port != 0)
		pio_remove(p->pio, p->s.pm_port);
	p->s.pm_port = 0;
	if (port == 0)
		return;
	if (pio_add(p->pio, &r) == 0)
		p->s.pm_port = port;
	else
		log_guest("guest placed ACPI registers on ports in use, %xh",
			  (unsigned)port);
}

static void
pm_written(void *ctx, u8 reg, unsigned size_bytes)
{
	(void)reg;
	(void)size_bytes;
	place_pm(ctx);
}

u32
piix4_cf8_read(void *dev, u16 port, unsigned size_bytes)
{
	struct piix4 *p = dev;

	if (port == RESET_PORT && size_bytes == 1)
		return p->s.reset_control;
	return pci_address_read(p->bus, port, size_bytes);
}

void
piix4_cf8_write(void *dev, u16 port, unsigned size_bytes, u32 v)
{
	struct piix4 *p = dev;
	u8 old = p->s.reset_control;

	if (port != RESET_PORT || size_bytes != 1) {
		pci_address_write(p->bus, port, size_bytes, v);
		return;
	}
	p->s.reset_control = v & RC_KEPT;
	if (v & ~old & RC_RCPU)
		p->reset(p->ctx);
}

void
piix4_reset(struct piix4 *p)
{
	u8 *c = p->isa.s.config;

	p->s.reset_control = 0;
	put_le16(c + PCI_COMMAND, 0x0007);
	put_le16(c + PCI_STATUS, 0x0280);
	memset(c + 0x40, 0, 0x100 - 0x40);
	c[IORT] = 0x4d;
	c[XBCS] = 0x03;
	c[PIRQRC + 0] = c[PIRQRC + 2] = PIIX4_IRQ_AC;
	c[PIRQRC + 1] = c[PIRQRC + 3] = PIIX4_IRQ_BD;
	c[SERIRQC] = 0x10;
	c[TOM] = 0x02;
	c[RTCCFG] = 0x21;
	reroute(p);

	c = p->pm.s.config;
	put_le16(c + PCI_COMMAND, PCI_COMMAND_IO);
	put_le16(c + PCI_STATUS, 0x0280);
	memset(c + 0x40, 0, 0x100 - 0x40);
	c[PCI_INTERRUPT_LINE] = ACPI_SCI_IRQ;
	c[PCI_INTERRUPT_PIN] = 1; /* INTA#, hard-wired to IRQ 9 */
	put_le32(c + PMBA, PIIX4_PM_BASE | 1);
	put_le32(c + SMBBA, 1);
	c[PMREGMISC] = PMREGMISC_IOSE;
	place_pm(p);
}

void
piix4_init(struct piix4 *p)
{
	struct pci_function *f = &p->isa;

	memset(&p->s, 0, sizeof(p->s));
	memset(p->s.route, -1, sizeof(p->s.route));
	pci_function_init(f, 0x8086, 0x7110, 2, 0x060100);
	f->s.config[PCI_HEADER_TYPE] = PCI_MULTIFUNCTION;
	f->writable[PCI_INTERRUPT_LINE] = 0;
	f->writable[PCI_COMMAND] = 0x08; /* special cycles */
	f->writable[IORT] = 0x7f;
	pci_writable(f, XBCS, XBCS + 1, 0xff);
	pci_writable(f, PIRQRC, PIRQRC + 3, PIRQRC_DISABLED | PIRQRC_IRQ);
	f->writable[SERIRQC] = 0xff;
	pci_writable(f, TOM, MSTAT + 1, 0xff);
	f->writable[DLC] = 0x0f;
	pci_writable(f, GENCFG, GENCFG + 3, 0xff);
	f->writable[RTCCFG] = 0x3f;
	f->written = isa_written;
	f->ctx = p;

	f = &p->pm;
	/* revision 3: the first whose PM timer needs no triple reading */
	pci_function_init(f, 0x8086, 0x7113, 3, 0x068000);
	f->writable[PCI_COMMAND] = PCI_COMMAND_IO;
	f->writable[PMBA] = 0xc0;
	f->writable[PMBA + 1] = 0xff;
	pci_writable(f, CNTA, 0x7b, 0xff);
	f->writable[PMREGMISC] = PMREGMISC_IOSE;
	f->writable[SMBBA] = 0xf0;
	f->writable[SMBBA + 1] = 0xff;
	f->written = pm_written;
	f->ctx = p;

	piix4_reset(p);
	pci_add(p->bus, PCI_DEVFN(PIIX4_DEVICE, 0), &p->isa);
	pci_add(p->bus, PCI_DEVFN(PIIX4_DEVICE, 3), &p->pm);
}
