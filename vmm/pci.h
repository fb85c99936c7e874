/* SPDX-License-Identifier: BSD-2-Clause */
/* pci - one PCI bus and its configuration space
 *
 * What:    configuration mechanism #1 (ports CF8h and CFCh), and for each
 *          function 256 bytes of configuration with a mask that says which bits
 *          a guest can change. A function that must act on a change has a
 *          written() hook.
 * Model:   PCI Local Bus Specification 2.1, 3.7.4 (mechanism #1), 6.1 (header).
 * Units:   devfn is device << 3 | function.
 * Threads: the vCPU thread only.
 * Owns:    nothing: functions are embedded in their devices.
 */
#ifndef VMM_PCI_H
#define VMM_PCI_H

#include "base/bits.h"

/* Configuration header, 6.1 */
#define PCI_VENDOR	   0x00
#define PCI_DEVICE	   0x02
#define PCI_COMMAND	   0x04
#define PCI_STATUS	   0x06
#define PCI_REVISION	   0x08
#define PCI_CLASS	   0x09
#define PCI_HEADER_TYPE	   0x0e
#define PCI_INTERRUPT_LINE 0x3c
#define PCI_INTERRUPT_PIN  0x3d
#define PCI_COMMAND_IO	   BIT(0)
#define PCI_COMMAND_MEMORY BIT(1)
#define PCI_COMMAND_MASTER BIT(2)
#define PCI_MULTIFUNCTION  0x80

#define PCI_CONFIG_BYTES   256
#define PCI_DEVFN(dev, fn) ((dev) << 3 | (fn))

struct pci_function_state {
	u8 config[PCI_CONFIG_BYTES];
};

struct pci_function {
	struct pci_function_state s;
	u8 writable[PCI_CONFIG_BYTES]; /* bits a guest can change */
	/* Bytes [reg, reg + size_bytes) were written. May be NULL. */
	void (*written)(void *ctx, u8 reg, unsigned size_bytes);
	void *ctx;
};

struct pci_state {
	u32 address; /* CF8h */
};

struct pci {
	struct pci_state s;
	struct pci_function *function[256]; /* by devfn */
};

void pci_init(struct pci *bus);
void pci_reset(struct pci *bus);
void pci_add(struct pci *bus, u8 devfn, struct pci_function *f);

/* Clears f and fills in the identity; class_code is base, sub, interface. */
void pci_function_init(struct pci_function *f, u16 vendor, u16 device,
		       u8 revision, u32 class_code);

static inline void
pci_writable(struct pci_function *f, u8 first, u8 last, u8 mask)
{
	for (unsigned i = first; i <= last; i++)
		f->writable[i] = mask;
}

/* CF8h-CFBh and CFCh-CFFh. Only a 4-byte access at CF8h is the address
 * register. */
u32 pci_address_read(void *dev, u16 port, unsigned size_bytes);
void pci_address_write(void *dev, u16 port, unsigned size_bytes, u32 v);
u32 pci_data_read(void *dev, u16 port, unsigned size_bytes);
void pci_data_write(void *dev, u16 port, unsigned size_bytes, u32 v);

#endif
