/* SPDX-License-Identifier: BSD-2-Clause */
/* mapnode_int - the nodes of an image's map that are in memory
 *
 * What:    a cache of fixed size, keyed by where a node lies and by its
 *          checksum, so that what was written anew at the same place is never
 *          taken for what lay there before. The least recently used ones go
 *          first, nearly (second chance).
 * Units:   at: host sectors.
 * Threads: the caller's lock.
 * Owns:    copies of nodes.
 * Errors:  init: -ENOMEM.
 */
#ifndef HDD_MAPNODE_INT_H
#define HDD_MAPNODE_INT_H

#include "hdd/imgformat_int.h"

struct mapnodeslot {
	u64 at, sum; /* at 0: empty */
	u32 next;    /* in its bucket; index + 1 */
	bool used;   /* since the hand came by */
};

struct mapnodes {
	u8 *data; /* max nodes */
	struct mapnodeslot *slot;
	u32 *bucket; /* index + 1 */
	u32 max, mask, hand;
	u64 hits, misses;
};

int mapnodes_init(struct mapnodes *c, u32 max) MUST_CHECK;
void mapnodes_release(struct mapnodes *c);

/* Valid until the lock is given up; NULL: not here. */
const u8 *mapnodes_find(struct mapnodes *c, u64 at, u64 sum);

/* Is it here? Does not count as a use. */
bool mapnodes_has(const struct mapnodes *c, u64 at, u64 sum);
void mapnodes_put(struct mapnodes *c, u64 at, u64 sum, const u8 *node);

#endif
