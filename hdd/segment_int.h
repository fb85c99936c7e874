/* SPDX-License-Identifier: BSD-2-Clause */
/* segment_int - who uses which segment of an image
 *
 * What:    a segment's way:
 *
 *                    segtable_take        the log or nodes have left it,
 *             FREE ----------------> USED  and refs is 0 at checkpoint g
 *              ^                       |
 *              |                       v  segtable_commit(g)
 *              +-------------------- DYING
 *                segtable_commit(g + 1): the superblock of g + 1 is durable
 *
 *          USED:  refs of the last checkpoint in refs, of the one that is
 *                 being made in next_refs. pin is the greatest interval in
 *                 which something was written to it; interval g ends when
 *                 checkpoint g begins.
 *          DYING: nothing that checkpoint g, or the log after it, names lies
 *                 in it; something that g - 1 names may.
 *          FREE:  nothing names it. "written": every byte was written once,
 *                 so that a host flush after a write has no metadata to write.
 * Model:   [S1] FREE and DYING segments have refs 0.
 *          [S2] a segment is written to only in state USED.
 *          docs/image.5.md 4, 6.
 * Units:   generations; segments by number.
 * Threads: the caller's lock (struct image, lock).
 * Owns:    its array: address space for the most there can be, memory for
 *          what is there.
 * Errors:  init: -ENOMEM.
 */
#ifndef HDD_SEGMENT_INT_H
#define HDD_SEGMENT_INT_H

#include "hdd/imgformat_int.h"

#define SEG_NONE UINT32_MAX

enum seg_state { SEG_FREE, SEG_USED, SEG_DYING };

struct seg {
	u32 refs, next_refs;
	u32 filled; /* the greatest refs so far */
	u8 state;   /* enum seg_state */
	bool written;
	bool nodes;   /* USED for nodes, as far as we know */
	bool cleaned; /* what was live has been moved since pin */
	u64 birth;
	u64 pin; /* USED; DYING: the checkpoint at which it was empty */
};

struct segtable {
	struct seg *seg;
	u32 count, max;
	u32 free_written, free_holes; /* of state FREE */
	u32 hint;		      /* where the search begins */
};

int segtable_init(struct segtable *t, u32 max) MUST_CHECK;
void segtable_release(struct segtable *t);

/* A segment to write to, written before if there is one; SEG_NONE: no more. */
u32 segtable_take(struct segtable *t, u64 interval);

/* A free one that was never written, or a new one behind the end, to be
 * prepared: USED until segtable_give(). */
u32 segtable_take_hole(struct segtable *t, u64 interval);
void segtable_give(struct segtable *t, u32 seg, bool written);

/* The log or nodes write to it in this interval. Extends the table: a log may
 * run through segments that its superblock does not know. */
void segtable_enter(struct segtable *t, u32 seg, u64 interval);

void segtable_retain(struct segtable *t, u32 seg);
void segtable_drop(struct segtable *t, u32 seg);

/* Checkpoint generation is durable; keep: segments that are written to. */
void segtable_commit(struct segtable *t, u64 generation, const u32 *keep,
		     unsigned keeps);
void segtable_abort(struct segtable *t);

/* Entry i of the table as checkpoint generation is to have it, and back.
 * careful: free ones wait for the next checkpoint. */
void segtable_encode(const struct segtable *t, u32 i, u64 generation, u8 *buf);
void segtable_decode(struct segtable *t, u32 i, u64 generation, bool careful,
		     const u8 *buf);

/* Sums over all USED segments. */
struct seg_usage {
	u32 used, free, dying, written;
	u64 refs;
};
void segtable_usage(const struct segtable *t, struct seg_usage *u);

#endif
