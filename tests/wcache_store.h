/* SPDX-License-Identifier: BSD-2-Clause */
/* wcache_store - a store in memory whose power can be cut
 *
 * What:    keeps for each sector what is durable and what is only written, and
 *          does requests when it is told to: at once, or held back until
 *          mem_step() and then in any order. Writes, flushes and reads fail on
 *          demand. A flush makes durable what was written when it was
 *          submitted, nothing else. After a failed flush what it should have
 *          covered, and what was in flight, is lost to later flushes unless it
 *          is written anew, and may read as before (crash-model: fsyncgate).
 *          It asserts what a cache must never do: two writes of one sector in
 *          flight, memory of a write changed under way, two flushes at once.
 * Units:   lba and count in sectors.
 * Threads: one at a time.
 * Owns:    its arrays, from mem_open() to mem_close().
 * Errors:  as cache/store.h.
 */
#ifndef TESTS_WCACHE_STORE_H
#define TESTS_WCACHE_STORE_H

#include "cache/store.h"

#define MEM_PENDING 256U

struct mem_sector {
	u8 data[SECTOR_BYTES];
};

struct mem_pending {
	struct store_req *req;
	u64 sum;     /* of the data of a write when it came */
	bool doomed; /* a flush failed meanwhile */
};

/* What was asked, for tests that look at it. */
struct mem_event {
	enum store_op op;
	u64 lba;
	u32 count;
	unsigned pieces;
};

#define MEM_EVENTS 4096U

struct mem_store {
	struct store store;
	struct store_ops ops;
	u64 seed;

	struct mem_sector *written, *durable, *middle, *begun;
	u8 *limbo, *bad, *writing, *touched; /* a byte per sector */

	struct mem_pending pending[MEM_PENDING];
	unsigned nr_pending;

	/* for the test to set */
	bool hold;		 /* nothing is done before mem_step() */
	unsigned write_fail_pct; /* of 100 */
	unsigned flush_fail_pct;
	unsigned read_fail_next, write_fail_next, flush_fail_next;
	int fail_with;
	bool revert; /* after a failed flush reads see the old data */
	bool quiet;  /* no failures of any kind */

	/* for the test to read */
	bool failed; /* flushes fail until recover() */
	bool flushing;
	u64 writes, write_sectors, reads, flushes, discards, recovers;
	u64 read_sectors, most_reads; /* in flight at once */
	struct mem_event event[MEM_EVENTS];
	unsigned nr_events;
};

void mem_open(struct mem_store *m, u64 sectors, bool recovers);
void mem_close(struct mem_store *m);

/* Does one held request, any; false when there is none. */
bool mem_step(struct mem_store *m);
/* The one that came as number i of those that are held. */
void mem_do(struct mem_store *m, unsigned i);
void mem_drain(struct mem_store *m);

/* What a power cut now would leave, one choice of many, into out. */
void mem_cut(struct mem_store *m, struct mem_sector *out);
/* Power is back: this is what there is. */
void mem_restart(struct mem_store *m, const struct mem_sector *content);

u64 mem_random(struct mem_store *m);

#endif
