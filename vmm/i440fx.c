/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/i440fx.h"

/* Device-specific registers, data sheet table 3-1 */
#define PMCCFG_FIRST 0x50 /* PMC configuration .. DRAM timing */
#define PAM0	     0x59 /* ..5Fh */
#define DRB0	     0x60 /* ..67h: DRAM row boundaries */
#define FDHC	     0x68
#define MTT	     0x70
#define CLT	     0x71
#define SMRAM	     0x72
#define ERRCMD	     0x90

void
i440fx_reset(struct i440fx *h)
{
	u8 *c = h->f.s.config;

	put_le16(c + PCI_COMMAND, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	put_le16(c + PCI_STATUS,
		 0x0280); /* medium DEVSEL#, fast back-to-back */
	memset(c + PMCCFG_FIRST, 0, 0x100 - PMCCFG_FIRST);
	memset(c + PAM0, 0x33, DRB0 - PAM0); /* as a BIOS leaves it: all RAM */
	c[SMRAM] = 0x02;
}

void
i440fx_init(struct i440fx *h, struct pci *bus)
{
	struct pci_function *f = &h->f;

	pci_function_init(f, 0x8086, 0x1237, 2, 0x060000);
	f->writable[PCI_INTERRUPT_LINE] = 0;
	f->writable[PCI_COMMAND + 1] = 0x01; /* SERR# enable */
	f->writable[0x0d] = 0xf8;	     /* latency timer */
	pci_writable(f, PMCCFG_FIRST, 0x53, 0xff);
	pci_writable(f, 0x55, FDHC, 0xff);
	pci_writable(f, MTT, CLT, 0xff);
	f->writable[SMRAM] = 0x78;
	f->writable[ERRCMD] = 0xff;
	i440fx_reset(h);
	pci_add(bus, PCI_DEVFN(0, 0), f);
}
