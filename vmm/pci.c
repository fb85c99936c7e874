/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/pci.h"

#define ADDRESS_ENABLE	 BIT(31)
#define ADDRESS_WRITABLE 0x80fffffc
#define ADDRESS_BUS(a)	 ((a) >> 16 & 0xff)
#define ADDRESS_DEVFN(a) ((a) >> 8 & 0xff)
#define ADDRESS_REG(a)	 ((a)&0xfc)
#define ADDRESS_PORT	 0xcf8

void
pci_init(struct pci *bus)
{
	memset(bus, 0, sizeof(*bus));
}

void
pci_reset(struct pci *bus)
{
	bus->s.address = 0;
}

void
pci_add(struct pci *bus, u8 devfn, struct pci_function *f)
{
	assert(bus->function[devfn] == NULL);
	bus->function[devfn] = f;
}

void
pci_function_init(struct pci_function *f, u16 vendor, u16 device, u8 revision,
		  u32 class_code)
{
	memset(f, 0, sizeof(*f));
	put_le16(f->s.config + PCI_VENDOR, vendor);
	put_le16(f->s.config + PCI_DEVICE, device);
	put_le32(f->s.config + PCI_REVISION, class_code << 8 | revision);
	f->writable[PCI_INTERRUPT_LINE] = 0xff;
}

u32
pci_address_read(void *dev, u16 port, unsigned size_bytes)
{
	struct pci *bus = dev;

	if (port == ADDRESS_PORT && size_bytes == 4)
		return bus->s.address;
	return UINT32_MAX;
}

void
pci_address_write(void *dev, u16 port, unsigned size_bytes, u32 v)
{
	struct pci *bus = dev;

	if (port == ADDRESS_PORT && size_bytes == 4)
		bus->s.address = v & ADDRESS_WRITABLE;
}

/* The function that the address register selects, or NULL. */
static struct pci_function *
selected(struct pci *bus)
{
	u32 a = bus->s.address;

	if (!(a & ADDRESS_ENABLE) || ADDRESS_BUS(a) != 0)
		return NULL;
	return bus->function[ADDRESS_DEVFN(a)];
}

u32
pci_data_read(void *dev, u16 port, unsigned size_bytes)
{
	struct pci *bus = dev;
	struct pci_function *f = selected(bus);
	unsigned reg = ADDRESS_REG(bus->s.address) | (port & 3);
	u32 v = 0;

	if (f == NULL || reg + size_bytes > PCI_CONFIG_BYTES)
		return UINT32_MAX;
	memcpy(&v, f->s.config + reg, size_bytes);
	return v;
}

void
pci_data_write(void *dev, u16 port, unsigned size_bytes, u32 v)
{
	struct pci *bus = dev;
	struct pci_function *f = selected(bus);
	unsigned reg = ADDRESS_REG(bus->s.address) | (port & 3);

	if (f == NULL || reg + size_bytes > PCI_CONFIG_BYTES)
		return;
	for (unsigned i = 0; i < size_bytes; i++) {
		u8 *c = &f->s.config[reg + i], mask = f->writable[reg + i];

		*c = (u8)((*c & ~mask) | ((v >> (i * 8)) & mask));
	}
	if (f->written != NULL)
		f->written(f->ctx, (u8)reg, size_bytes);
}
