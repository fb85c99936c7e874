/* SPDX-License-Identifier: BSD-2-Clause */
/* image - the .hdd disk image: checksummed, compressed, crash-proof
 *
 * What:    a store (cache/store.h) that keeps a disk in one host file as
 *          docs/image.5.md says. A guest flush is one write and one host
 *          flush; what was flushed is never overwritten in place; every block
 *          is checked when it is read. Opening after a crash needs no repair
 *          and writes nothing. Snapshots share what they have in common.
 *          A thread of the image's own makes checkpoints, gives space back and
 *          prepares segments; a guest waits for it only when it has written
 *          more than it could keep up with.
 * Model:   docs/image.5.md; disk-rules.
 * Units:   lba and count in sectors of 512 bytes; blocks of 4096 bytes.
 * Threads: the store as cache/store.h; of the rest one call at a time for one
 *          image, while the store may be in use, except where it says
 *          otherwise. None of them on a thread of the I/O pool.
 * Owns:    host file, memory (image_memory_bytes at most) and thread, until
 *          image_close().
 * Errors:  open: -errno with a sentence: -EUCLEAN broken structure, -EBADMSG
 *          checksum, -ENOTSUP a feature of the future, -EBUSY in use.
 *          A block that does not compare: -EBADMSG and the exact bad_lba.
 *          A failed flush: all flushes fail until the store's recover(),
 *          before which everything since the last good one must have been
 *          submitted again.
 */
#ifndef HDD_IMAGE_H
#define HDD_IMAGE_H

#include "cache/store.h"

struct fault_set;
struct image;

struct image_create_options {
	u64 sectors;
	u32 segment_bytes; /* 1, 2 or 4 MiB; 0: 2 MiB */
	bool plain;	   /* never compress */
	bool buffered;
};

/* Makes a new image; -EEXIST. What could not be finished is removed. */
int image_create(const char *path, const struct image_create_options *o,
		 struct iopool *pool, struct err *e) MUST_CHECK;

struct image_options {
	bool read_only;
	bool shared;		  /* read_only: others may write to it */
	bool buffered;		  /* through the host's page cache */
	struct fault_set *faults; /* or NULL; the caller's */
};

int image_open(struct image **out, const char *path,
	       const struct image_options *o, struct iopool *pool,
	       struct err *e) MUST_CHECK;

/* Flushes, waits for everything, releases. Nothing may be in flight. -errno
 * when the last flush failed. Harmless on NULL. */
int image_close(struct image *img, struct err *e);

struct store *image_store(struct image *img);

/* Flushes and waits. */
int image_flush(struct image *img) MUST_CHECK;

/* Makes a checkpoint now and waits for it: opening gets faster, and two of
 * them let all unused segments be used again. */
int image_checkpoint(struct image *img) MUST_CHECK;

/* --- snapshots --------------------------------------------------------- */

struct image_snapshot {
	u64 id, parent, time_s, sectors;
	char name[64];
	bool is_parent; /* the disk goes on from it */
};

/* Covers what was done before the call. -EEXIST the name, -EINVAL a name that
 * is empty or too long, -ENOSPC too many. */
int image_snapshot_create(struct image *img, const char *name,
			  struct err *e) MUST_CHECK;
int image_snapshot_delete(struct image *img, const char *name,
			  struct err *e) MUST_CHECK;

/* The disk is as it was then; what it was before is gone unless another
 * snapshot keeps it. No request may be in flight, no cache above be dirty. */
int image_snapshot_revert(struct image *img, const char *name,
			  struct err *e) MUST_CHECK;

/* At most max of them into out; returns how many there are. */
unsigned image_snapshots(struct image *img, struct image_snapshot *out,
			 unsigned max);

/* --- about it ---------------------------------------------------------- */

struct image_info {
	u64 sectors, generation;
	u32 segment_bytes, map_levels, snapshots;
	u64 file_bytes;
	u64 live_blocks; /* stored: map entries and nodes */
	u32 segments, segments_free, segments_used;
	u64 replayed_records;	/* when it was opened */
	u64 checkpoints, moved; /* since then: blocks that the cleaner moved */
	u64 batches, batch_bytes, host_flushes;
	bool failed;
};
void image_info(struct image *img, struct image_info *info);

struct image_check {
	u64 nodes, blocks, bad_nodes, bad_blocks;
	u64 first_bad_lba; /* UINT64_MAX: none */
	u64 leaked_refs, missing_refs;
	bool data; /* in: read and compare all blocks, too */
};

/* Makes a checkpoint, then walks everything. 0 and counts, or what kept it
 * from looking. */
int image_check(struct image *img, struct image_check *c,
		struct err *e) MUST_CHECK;

/* Larger or smaller; what is cut off is gone from the disk, not from
 * snapshots. No request may be in flight. */
int image_resize(struct image *img, u64 sectors, struct err *e) MUST_CHECK;

#endif
