/* SPDX-License-Identifier: BSD-2-Clause */
/* mapdelta_int - what was written since the last checkpoint
 *
 * What:    block -> place and checksum, in a hash table of fixed size; and
 *          long ranges of zeros, in a sorted array of fixed size. A block's
 *          entry in the table was made after any range that holds it, or says
 *          ZERO.
 * Units:   blocks of 4096 bytes.
 * Threads: the caller's lock.
 * Owns:    its arrays. Only mapdelta_init() and mapdelta_grow() allocate.
 * Errors:  -ENOMEM.
 */
#ifndef HDD_MAPDELTA_INT_H
#define HDD_MAPDELTA_INT_H

#include "hdd/imgformat_int.h"

#define DELTA_SMALL 64U /* zeros of no more blocks than this are no range */

struct deltaslot {
	u64 key; /* block + 1; 0: empty */
	struct mapentry e;
};

struct deltarange {
	u64 block, count;
};

struct mapdelta {
	struct deltaslot *slot;
	u32 mask;
	u32 used, max; /* blocks: now, and at most */
	struct deltarange *range;
	u32 ranges, ranges_max;
};

int mapdelta_init(struct mapdelta *d, u32 max, u32 ranges_max) MUST_CHECK;
void mapdelta_release(struct mapdelta *d);
void mapdelta_clear(struct mapdelta *d);

/* Twice as large; for opening only. */
int mapdelta_grow(struct mapdelta *d) MUST_CHECK;

static inline bool
mapdelta_empty(const struct mapdelta *d)
{
	return d->used == 0 && d->ranges == 0;
}

/* Is there room for so many blocks and one range, whatever they are? */
static inline bool
mapdelta_has_room(const struct mapdelta *d, u32 blocks)
{
	return d->max - d->used >= blocks && d->ranges_max - d->ranges >= 2;
}

void mapdelta_put(struct mapdelta *d, u64 block, struct mapentry e);
void mapdelta_zero(struct mapdelta *d, u64 block, u64 count);

/* False: nothing known of it. */
bool mapdelta_get(const struct mapdelta *d, u64 block, struct mapentry *e);

enum delta_cover { COVER_NONE, COVER_PART, COVER_ALL };

/* How much of [block, block + count) lies in ranges. */
enum delta_cover mapdelta_cover(const struct mapdelta *d, u64 block, u64 count);

/* The slots in use, in the order of their blocks, into out (used of them). */
void mapdelta_sorted(const struct mapdelta *d, struct deltaslot *out);

#endif
