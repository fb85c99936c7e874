/* SPDX-License-Identifier: BSD-2-Clause */
/* pio - the I/O port space
 *
 * What:    who answers at which port. A lookup is one table read, whatever
 *          the number of regions. A port nobody owns reads as all ones and
 *          swallows writes, as on a PC whose bus floats high. Accesses wider
 *          than a region's width, or that reach over its edge, are split as
 *          the ISA bus does it: low half first.
 * Model:   Intel 82371AB data sheet 2.4 (I/O map); ISA byte steering.
 * Units:   bytes; size_bytes is 1, 2 or 4.
 * Threads: the vCPU thread only.
 * Owns:    nothing; dev belongs to the caller and outlives the region.
 * Errors:  pio_add: -EEXIST a port is taken, -ENOSPC table full.
 */
#ifndef VMM_PIO_H
#define VMM_PIO_H

#include "base/bits.h"
#include "driver/hv.h"

#define PIO_PORTS	0x10000
#define PIO_REGIONS_MAX 64

typedef u32 (*pio_read_fn)(void *dev, u16 port, unsigned size_bytes);
typedef void (*pio_write_fn)(void *dev, u16 port, unsigned size_bytes, u32 v);

/* The first items of a string instruction at once: as many of count as the
 * device likes, which are returned. For the rest it is asked again; after 0
 * the next item goes to read or write. */
typedef u32 (*pio_string_fn)(void *dev, u16 port, unsigned size_bytes,
			     bool write, u8 *data, u32 count);

struct pio_region {
	u16 port;
	u16 count;	/* ports; 0 marks a free row */
	u8 width_bytes; /* widest access that reaches the handlers whole */
	pio_read_fn read;
	pio_write_fn write;
	void *dev;
	pio_string_fn string; /* may be NULL */
};

struct pio {
	u8 index[PIO_PORTS]; /* row + 1 of the port's region, 0 for nobody */
	struct pio_region row[PIO_REGIONS_MAX];
};

void pio_init(struct pio *p);
int pio_add(struct pio *p, const struct pio_region *r) MUST_CHECK;

/* Takes away the region that begins at port. No effect without one. */
void pio_remove(struct pio *p, u16 port);

u32 pio_read(struct pio *p, u16 port, unsigned size_bytes);
void pio_write(struct pio *p, u16 port, unsigned size_bytes, u32 v);

/* Answers a HV_EXIT_IO, string instructions included. */
void pio_exit(struct pio *p, struct vm_exit *x);

#endif
