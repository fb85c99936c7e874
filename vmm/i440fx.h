/* SPDX-License-Identifier: BSD-2-Clause */
/* i440fx - host bridge
 *
 * What:    the configuration space of an 82441FX. Its memory attribute
 *          registers can be written and read back, but C0000h-FFFFFh is always
 *          readable and writable RAM (docs/quirks.md).
 * Model:   Intel 82441FX data sheet (290549) 3.2.
 * Threads: the vCPU thread only.
 * Owns:    nothing.
 */
#ifndef VMM_I440FX_H
#define VMM_I440FX_H

#include "vmm/pci.h"

struct i440fx {
	struct pci_function f;
};

void i440fx_init(struct i440fx *h, struct pci *bus);
void i440fx_reset(struct i440fx *h);

#endif
