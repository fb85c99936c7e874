/* SPDX-License-Identifier: BSD-2-Clause */
/* wcache - the write-coalescing cache
 *
 * What:    stands between a disk and its store, keyed by guest LBA. A write
 *          is copied once into cache memory and is done, in the call that
 *          submits it; so is a read of sectors that are there. Small writes
 *          next to each other become one large one on their way to the store,
 *          which they reach in LBA order. Reads that go on where the last
 *          ended are read ahead. Clean sectors are kept for reading; a scan
 *          does not drive out what is used again and again.
 *          What was written stays in memory until a flush after it succeeded
 *          (disk-rules 11): dirty, then unsynced, then clean. Both of the
 *          former are bounded; a writer that is ahead of the store waits.
 *          Write-back begins when a quarter of the bound is dirty, at a flush,
 *          and under pressure. There is no timer: what an idle guest never
 *          flushed stays in memory, as in a drive's cache, until a flush.
 *          A large discard goes to the store at once; it is done when the
 *          store has it, and durable after a flush (disk-rules 19).
 * Model:   disk-rules 1-19 (cited by number in the code).
 * Units:   lba and count in 512-byte sectors; memory in bytes.
 * Threads: wcache_submit() from any thread, with no lock held that done()
 *          takes. done() runs on a thread of the I/O pool with no lock held
 *          (or inside the submit of a store that is done there).
 *          Requests of different submits that overlap in time and in LBA have
 *          no order; those done before another is submitted have (disk-rules
 *          3, 4).
 * Owns:    its memory, made at open; nothing is allocated later. A request
 *          belongs to the cache from submit to done, its iov as well.
 * Errors:  rc 0 or -errno, with bad_lba for reads, writes and flushes that
 *          failed. After a failed write-back or flush the cache is in state
 *          ERROR: flushes, FUA and write-through writes fail until a flush
 *          has written everything anew and the store's flush works
 *          (disk-rules 10-14). Reads go on: what is in memory is the newest.
 */
#ifndef CACHE_WCACHE_H
#define CACHE_WCACHE_H

#include "base/hist.h"
#include "base/iov.h"
#include "cache/store.h"

enum wcache_mode {
	WCACHE_WRITEBACK,    /* everything above */
	WCACHE_WRITETHROUGH, /* keeps sectors for reading; a write is durable
				before it is done */
	WCACHE_NONE,	     /* keeps nothing: a write is in the store when it
				is done, and durable after a flush */
	WCACHE_UNSAFE,	     /* as writeback, but flushes are done at once and
				never reach the store; the disk says so to guest
				and user (disk-rules 25) */
};

enum wcache_op {
	WCACHE_READ,
	WCACHE_WRITE,
	WCACHE_FLUSH,
	WCACHE_DISCARD, /* a write of zeros (disk-rules 19) */
	WCACHE_ZERO,
	WCACHE_VERIFY,	  /* makes dirty sectors durable, then reads them back
			     from the store (disk-rules 18); no iov */
	WCACHE_CACHE_ON,  /* SET FEATURES 02h */
	WCACHE_CACHE_OFF, /* SET FEATURES 82h: drains and flushes; on failure
			     the cache stays on (disk-rules 15) */
};

#define WCACHE_FUA BIT(0) /* durable when done (disk-rules 17, 18) */

struct wcache_req {
	/* the caller's */
	enum wcache_op op;
	u32 flags;
	u64 lba;
	u32 count;
	const struct iovec *iov; /* count sectors, pieces of any size */
	unsigned iov_count;
	u64 id;
	void (*done)(struct wcache_req *r);

	/* the answer */
	int rc;
	u64 bad_lba;

	/* the cache's */
	struct list link;
	u32 state;
	u32 limit; /* sectors of its next read past the cache; 0: none yet */
	u64 at_lba, generation;
};

struct wcache_config {
	enum wcache_mode mode;
	u64 memory_bytes;    /* of data; 0: 64 MiB. At least 1 MiB */
	u64 dirty_max_bytes; /* dirty and unsynced together; 0: half of it */
	u64 readahead_bytes; /* the most to read ahead; 0: 4 MiB; 1: none */
	u64 write_max_bytes; /* the largest write to the store; 0: 1 MiB */
};

struct wcache;

int wcache_open(struct wcache **out, struct store *s,
		const struct wcache_config *cfg, struct err *e) MUST_CHECK;

/* Nothing may be in flight. Writes nothing: flush first (disk-rules 24). */
void wcache_close(struct wcache *w);

/* True: done in this call, rc is the answer and done() is not called. */
bool wcache_submit(struct wcache *w, struct wcache_req *r);

/* Is a write that is done only promised after a flush? Word 85 bit 5. */
bool wcache_is_on(const struct wcache *w);

/* Is there anything that a power cut would lose? */
bool wcache_is_dirty(struct wcache *w);

struct wcache_stats {
	_Atomic u64 read_hits, read_misses;
	_Atomic u64 readahead_sectors, readahead_hits; /* hits: blocks */
	_Atomic u64 writes, write_sectors, writebacks, writeback_sectors;
	_Atomic u64 flushes, store_flushes; /* asked for, passed on */
	_Atomic u64 stalls;		    /* writers that had to wait */
	_Atomic u64 errors;
	_Atomic u64 dirty_bytes, unsynced_bytes, clean_bytes; /* now */
	struct hist store_read, store_write, store_flush;
};
const struct wcache_stats *wcache_stats(const struct wcache *w);

/* Asserts the invariants of wcache_int.h; for tests. */
void wcache_check(struct wcache *w);

#endif
