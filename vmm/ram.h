/* SPDX-License-Identifier: BSD-2-Clause */
/* ram - the guest's memory, and the one way devices touch it
 *
 * What:    anonymous host memory in one piece, seen by the guest in three: to
 *          A0000h, from C0000h to at most 3 GiB, and the rest above 4 GiB.
 *          Between A0000h and C0000h lies the (absent) VGA, between 3 and
 *          4 GiB the PCI hole.
 * Model:   Intel 82441FX data sheet 3.3 (system address map).
 * Units:   gpa a guest physical address; bytes.
 * Threads: ram_read/ram_write from any thread, on bytes the guest handed out;
 *          like DMA they race with the guest only where the guest lets them.
 * Owns:    the mapping, until ram_release.
 * Errors:  ram_init: -EINVAL, -ENOMEM with a sentence. The accessors return
 *          false when the range is not all RAM; then nothing was copied.
 */
#ifndef VMM_RAM_H
#define VMM_RAM_H

#include "base/err.h"
#include "driver/hv.h"

#define RAM_LOW_MAX   0xc0000000ULL  /* the PCI hole begins */
#define RAM_HIGH_BASE 0x100000000ULL /* it ends */
#define RAM_VGA_BASE  0xa0000ULL
#define RAM_VGA_END   0xc0000ULL
#define RAM_MIN_BYTES (4ULL << 20)
#define RAM_MAX_BYTES (512ULL << 30)

struct ram_slot {
	u64 gpa, size_bytes;
	u8 *host;
};

struct ram {
	u64 size_bytes;
	u64 low_end;  /* first address after the low part */
	u64 high_end; /* first address after the high part; RAM_HIGH_BASE when
			 there is none */
	u8 *host;
	unsigned slot_count;
	struct ram_slot slot[3];
	struct hv *hv; /* told of device writes; may be NULL */
};

/* Refuses more memory than the host has available. */
int ram_init(struct ram *r, u64 size_bytes, struct err *e) MUST_CHECK;
void ram_release(struct ram *r);

/* Asks the host for huge pages. For a processor that walks page tables of its
 * own they halve the walk, and a disk that reads past the host's page cache
 * reads 1 MiB into them in a third of the time. The software CPU, which sees
 * 4 KiB pages only, gains nothing, and its guests boot 0.2 s of CPU time later
 * with them. */
void ram_want_huge(struct ram *r);

/* Maps every slot into hv, and remembers hv. */
int ram_map(struct ram *r, struct hv *hv, struct err *e) MUST_CHECK;

/* Makes all of it read as zeros, as after power-on. */
void ram_clear(struct ram *r);

/* Host address of [gpa, gpa + size_bytes), or NULL when it is not all RAM or
 * not contiguous. After writing through it, call ram_touched(). */
u8 *ram_at(const struct ram *r, u64 gpa, u64 size_bytes);
void ram_touched(const struct ram *r, u64 gpa, u64 size_bytes);

bool ram_read(const struct ram *r, u64 gpa, void *buf, u64 size_bytes);
bool ram_write(const struct ram *r, u64 gpa, const void *buf, u64 size_bytes);

#endif
