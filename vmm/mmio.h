/* SPDX-License-Identifier: BSD-2-Clause */
/* mmio - device registers in guest physical memory
 *
 * What:    who answers at which address outside RAM. Addresses nobody owns
 *          read as all ones and swallow writes. Accesses of more than 8 bytes
 *          are split, low part first.
 * Units:   gpa in bytes; off is relative to the region.
 * Threads: the vCPU thread only.
 * Owns:    nothing; dev outlives the region.
 * Errors:  mmio_add: -EEXIST overlap, -ENOSPC table full.
 */
#ifndef VMM_MMIO_H
#define VMM_MMIO_H

#include "base/bits.h"
#include "driver/hv.h"

#define MMIO_REGIONS_MAX 16

/* size_bytes is 1, 2, 4 or 8, or what is left of an odd access. */
typedef u64 (*mmio_read_fn)(void *dev, u64 off, unsigned size_bytes);
typedef void (*mmio_write_fn)(void *dev, u64 off, unsigned size_bytes, u64 v);

struct mmio_region {
	u64 gpa, size_bytes;
	mmio_read_fn read;
	mmio_write_fn write;
	void *dev;
};

struct mmio {
	unsigned count;
	struct mmio_region row[MMIO_REGIONS_MAX];
};

void mmio_init(struct mmio *m);
int mmio_add(struct mmio *m, const struct mmio_region *r) MUST_CHECK;

/* Answers a HV_EXIT_MMIO. */
void mmio_exit(struct mmio *m, struct vm_exit *x);

#endif
