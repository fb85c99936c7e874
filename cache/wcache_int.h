/* SPDX-License-Identifier: BSD-2-Clause */
/* wcache_int - inside the write cache
 *
 * What:    the structures that wcache.c, extent.c, block.c, flush.c, fill.c,
 *          readahead.c and zero.c share, and the invariants that they keep.
 *
 *          Memory is cut into blocks of 4 KiB, aligned as the disk is. Each
 *          block has a bit per sector for: valid (the newest version is
 *          here), dirty (the store does not have it), unsynced (the store has
 *          it, but no flush since). A block is in one of these places:
 *
 *                  block_get
 *           FREE ------------> HELD ----block_settle----> SMALL -----> MAIN
 *            ^                 ^  |  (neither dirty nor     |  block_    |
 *            |                 |  |   unsynced nor busy)    |  evict     |
 *            |                 +--|---- accept_write -------+------------+
 *            +-- block_put -------+<--- block_evict --------+------------+
 *
 *          HELD:  dirty, unsynced, or an I/O of the store uses its memory
 *                 (busy), or its shadow's. Never evicted.
 *          SMALL, MAIN: clean, in the queues of S3-FIFO (block.c).
 *
 *          Of one sector, with who moves it on:
 *
 *            accept_write          flush_sweep        write_done
 *           ------------> dirty ---------------> writing ----> unsynced
 *                          ^ ^                     |             | |
 *                          | +----- write_done ----+             | | sync_done
 *                          |        (failed)       sync_done     | v
 *                          +-------------------------------------+ clean
 *                                                  (failed)
 *
 *          Bytes under an I/O never change: who writes to a busy block makes
 *          a successor, which takes the busy one's place in the index; the
 *          busy one is its shadow until the I/O is done (disk-rules 4).
 *
 *          Of the cache (disk-rules 10-14):
 *
 *             OK --- write_done failed ---> ERROR
 *             OK, ERROR --- sync_done failed ---> ERROR + store_failed
 *             ERROR --- sync_done, no block is bad any more ---> OK
 *             store_failed --- barrier_end: all written anew, and
 *                              store->recover() worked ---> ERROR
 *          In ERROR flushes try everything again; FUA and write-through
 *          writes become flushes. With store_failed and no way to recover
 *          they all fail at once, for ever.
 *          Disk-rules 13 asks that an error of the background surfaces at the
 *          next flush. It does, unless that flush itself has written every
 *          version that was promised, from memory that never let go of it:
 *          then nothing was lost, and saying so is the truth.
 *
 * Model:   [I1] a block that is not FREE is in the index under its key, or is
 *               the shadow of the block that is.
 *          [I2] dirty, unsynced and valid: the former two are parts of the
 *               latter and have no sector in common.
 *          [I3] at most one write of a sector is in flight: a block with a
 *               busy shadow is not written back.
 *          [I4] nr_dirty counts the blocks that are dirty or being written,
 *               nr_old those of them that the running barrier waits for,
 *               nr_held those that are dirty, being written or unsynced.
 *          [I5] nr_held is at most held_max (but for what a failed flush made
 *               dirty again).
 *          [I6] a block is in the list unsynced or syncing if and only if it
 *               has unsynced sectors; syncing is empty when no flush of the
 *               store is in flight.
 *          [I7] a chunk's dirty bit is set if and only if its block is dirty;
 *               the table of dirty chunks holds the chunks with such bits.
 *          [I8] no block in a range that is being zeroed is busy once the
 *               store has the request (zero.c).
 *          [I9] SMALL and MAIN blocks are valid, not dirty, not unsynced, not
 *               busy and have no shadow.
 * Units:   key: number of a 4 KiB block of the disk; lba and count sectors.
 * Threads: everything here under the cache's lock. Whoever holds it never
 *          calls the store or a done(): requests are queued (to_submit, fin)
 *          and go out in wcache_leave().
 * Owns:    nothing outside struct wcache.
 */
#ifndef CACHE_WCACHE_INT_H
#define CACHE_WCACHE_INT_H

#include "base/lock.h"
#include "cache/wcache.h"

#define BLOCK_BYTES   4096U
#define BLOCK_SECTORS 8U
#define CHUNK_BLOCKS  64U
#define NONE	      UINT32_MAX
#define ALL_SECTORS   0xffU

#define WRITE_SLOTS 16U /* writes to the store at once */
#define READ_SLOTS  24U
#define FILL_SLOTS  16U /* of these, reads into the cache */
#define ZERO_SLOTS  8U
#define ALL_SLOTS   (WRITE_SLOTS + READ_SLOTS + ZERO_SLOTS + 1)
#define ZERO_RANGES 64U	   /* discards that a flush has to cover */
#define ZERO_MAX    65536U /* sectors of one discard of the store */
#define STREAMS	    8U
#define JUNK_BYTES  65536U

enum place { FREE, HELD, SMALL, MAIN };
enum busy { BUSY_NO, BUSY_WRITE, BUSY_FILL };

#define BLOCK_DETACHED BIT(0) /* a shadow: not in the index */
#define BLOCK_BAD      BIT(1) /* its last write failed */
#define BLOCK_ALONE    BIT(2) /* was in a run that failed: goes alone */
#define BLOCK_SEEN     BIT(3) /* was in MAIN or SMALL before */
#define BLOCK_WAS_MAIN BIT(4)
#define BLOCK_AHEAD    BIT(5) /* was read ahead, and not used since */

#define COUNT_DIRTY    BIT(0)
#define COUNT_HELD     BIT(1)
#define COUNT_UNSYNCED BIT(2)
#define COUNT_WRITING  BIT(3)
#define COUNT_FILLING  BIT(4)
#define COUNT_BAD      BIT(5)

struct block {
	struct list link; /* free, small, main, unsynced or syncing */
	u64 key;
	u64 gen;	 /* of the oldest sector that is dirty or in flight */
	u64 counted_gen; /* gen when it was counted */
	u32 shadow;	 /* index of the block whose I/O must end first */
	u32 attempt;	 /* the one in which it failed */
	u8 valid, dirty, unsynced, busy_mask; /* a bit per sector */
	u8 place, busy, freq, counted, flags;
};

struct chunk {
	u64 no; /* key / CHUNK_BLOCKS */
	u64 present, dirty;
	u32 next;      /* in its hash bucket, or of the free ones */
	u32 dirty_pos; /* in the table of dirty chunks */
	u32 block[CHUNK_BLOCKS];
};

enum wio_kind { WIO_WRITE, WIO_FILL, WIO_DIRECT, WIO_ZERO, WIO_SYNC };

/* One request to the store. */
struct wio {
	struct store_req req;
	struct list link; /* idle, or to_submit */
	struct wcache *w;
	struct wcache_req *r; /* WIO_DIRECT */
	struct zeroing *z;    /* WIO_ZERO */
	enum wio_kind kind;
	bool in_flight;
	bool junk;    /* it reads into w->junk */
	bool suspect; /* a flush failed meanwhile: it may be lost */
	u64 start_ns;
	unsigned blocks;
	struct iovec iov[IOPOOL_IOV_MAX];
	u32 block[IOPOOL_IOV_MAX];
};

/* A range that is being zeroed by the store: nobody else touches it. */
struct zeroing {
	bool used, started;
	u64 lba;
	u32 count;
	struct wcache_req *r; /* NULL: done anew after a failed flush */
};

/* A range that was zeroed and that no flush covers yet. */
struct zeroed {
	u64 lba, count;
	bool syncing; /* the flush that runs covers it */
	bool lost;    /* a flush that failed did */
};

struct stream {
	u64 next, ahead; /* LBAs: it goes on here; read ahead up to here */
	u64 used;
	u32 hits, window;
};

struct ghost {
	u32 tag, stamp;
};

/* What a request waits for, in wcache_req.state. */
enum { REQ_SUBMITTING = 1, REQ_FINISHED = 2, REQ_SYNCED = 4 };

struct wcache {
	struct lock lock;
	struct cond idle;

	struct store *store; /* [const] down to the next line */
	enum wcache_mode mode;
	void *map; /* what memory lies in */
	u64 map_bytes;
	u8 *memory, *junk;
	u32 block_count, held_max, write_max, ahead_max;

	_Atomic bool on; /* [atomic] relaxed; written under the lock */
	bool going_off;	 /* [lock] all from here on */
	bool closing, submitting, kick_wanted, kick_pending, again;
	unsigned inside, in_flight;
	struct ioreq kick;

	/* extent.c */
	struct chunk *chunks, *last_chunk;
	u32 *buckets, *dirty_chunk, chunk_free, bucket_mask;
	u64 *dirty_no, *sweep_no, *sweep_other;
	u32 nr_dirty_chunks;

	/* block.c */
	struct block *blocks;
	struct list free, small, main, unsynced, syncing;
	struct ghost *ghosts;
	u32 ghost_mask, evictions;
	u32 nr_free, nr_small, nr_main;
	u32 nr_dirty, nr_old, nr_held, nr_unsynced, nr_writing, nr_filling;
	u32 nr_bad, nr_bad_old, last_block;

	/* flush.c */
	struct list to_submit, writes, reads, zeros;
	struct wio *ios;
	struct wio *sync;
	u64 gen, barrier_gen;
	u32 attempt;
	bool barrier_running, auto_barrier, recovering;
	int barrier_rc, redo_rc;
	u64 barrier_bad;
	struct list barrier_next, barrier_now, sync_next, sync_now;
	struct list ranges, writers, readers;
	u32 sweep_at, sweep_count, sweep_issued;
	bool sweep_stalled, background;
	bool sync_running, unflushed, store_failed, lost;
	int error; /* not 0: state ERROR */
	u64 error_lba;

	/* zero.c */
	struct zeroing zeroing[ZERO_SLOTS];
	struct zeroed zeroed[ZERO_RANGES];
	unsigned nr_zeroing, nr_zeroed;
	bool zeroed_full;

	/* readahead.c */
	struct stream streams[STREAMS];
	u64 stream_clock;

	bool junk_busy;
	unsigned nr_direct;
	struct wcache_stats stats;
};

#define STAT_ADD(field, n) \
	atomic_store_explicit(&(field), \
			      atomic_load_explicit(&(field), \
						   memory_order_relaxed) + \
				  (n), \
			      memory_order_relaxed)

static inline u32
block_index(const struct wcache *w, const struct block *b)
{
	return (u32)(b - w->blocks);
}

static inline u8 *
block_data(const struct wcache *w, const struct block *b)
{
	return w->memory + (u64)block_index(w, b) * BLOCK_BYTES;
}

/* Where in its memory a request is. */
static inline struct iov_cursor
req_memory(const struct wcache_req *r)
{
	return iov_cursor(r->iov, r->iov_count,
			  (r->at_lba - r->lba) * SECTOR_BYTES);
}

/* The sectors [first, first + n) of a block as bits. */
static inline u8
sector_mask(unsigned first, unsigned n)
{
	assert(first + n <= BLOCK_SECTORS);
	return (u8)(((1U << n) - 1) << first);
}

/* The sectors of a block that the disk has: fewer in its last one. */
static inline u8
block_mask(const struct wcache *w, u64 key)
{
	u64 left = w->store->sectors - key * BLOCK_SECTORS;

	return left >= BLOCK_SECTORS ? ALL_SECTORS
				     : sector_mask(0, (unsigned)left);
}

/* --- extent.c: what is where --- */
int extent_open(struct wcache *w) MUST_CHECK;
void extent_close(struct wcache *w);
struct block *extent_find(struct wcache *w, u64 key) REQUIRES(w->lock);
void extent_insert(struct wcache *w, u64 key, struct block *b)
    REQUIRES(w->lock);
void extent_replace(struct wcache *w, struct block *old, struct block *b)
    REQUIRES(w->lock);
void extent_remove(struct wcache *w, struct block *b) REQUIRES(w->lock);
void extent_mark(struct wcache *w, struct block *b) REQUIRES(w->lock);
/* The next block in the index with key in [key, end), or NULL. */
struct block *extent_next(struct wcache *w, u64 key, u64 end) REQUIRES(w->lock);
/* The numbers of the dirty chunks, in order, into w->sweep_no. */
u32 extent_snapshot(struct wcache *w) REQUIRES(w->lock);
/* The dirty blocks of a chunk as bits. */
u64 extent_dirty(struct wcache *w, u64 chunk_no) REQUIRES(w->lock);
void extent_check(struct wcache *w) REQUIRES(w->lock);

/* --- block.c: memory and what is kept --- */
int block_open(struct wcache *w) MUST_CHECK;
void block_close(struct wcache *w);
/* A block for key, not in the index yet; NULL when all are held. after: the
 * memory behind that block's is preferred. cheap: nothing that may be used
 * again is given up for it. */
struct block *block_get(struct wcache *w, u64 key, u32 after, bool cheap)
    REQUIRES(w->lock);
void block_put(struct wcache *w, struct block *b) REQUIRES(w->lock);
/* To be called after any change of a block: counts it and puts it where it
 * belongs. A block with nothing in it is gone afterwards. */
void block_settle(struct wcache *w, struct block *b) REQUIRES(w->lock);
void block_check(struct wcache *w) REQUIRES(w->lock);

/* --- accept.c: data into the cache --- */
/* Takes r's data (or zeros) in from at_lba up to end; false: it must wait. */
bool accept_write(struct wcache *w, struct wcache_req *r, u64 end)
    REQUIRES(w->lock);

/* --- fill.c: reads --- */
/* Begins or goes on with a read or a verify. */
void read_start(struct wcache *w, struct list *fin, struct wcache_req *r)
    REQUIRES(w->lock);
void readers_retry(struct wcache *w, struct list *fin) REQUIRES(w->lock);
/* Reads the blocks [key, end) that are not there; those from demand_end on
 * only if it costs nothing. */
void fill_start(struct wcache *w, u64 key, u64 end, u64 demand_end)
    REQUIRES(w->lock);
void fill_done(struct wcache *w, struct wio *io) REQUIRES(w->lock);
void direct_done(struct wcache *w, struct list *fin, struct wio *io)
    REQUIRES(w->lock);

/* --- readahead.c --- */
/* Notes a read of [lba, end). Where reading ahead should go on from and to, in
 * LBAs; to is 0 for not at all. */
u64 stream_note(struct wcache *w, u64 lba, u64 end, u64 *from)
    REQUIRES(w->lock);

/* --- zero.c --- */
void zero_open(struct wcache *w);
/* False: it must wait. */
bool zero_advance(struct wcache *w, struct wcache_req *r) REQUIRES(w->lock);
/* Is any sector of [lba, lba + count) being zeroed by the store? */
bool zero_covers(struct wcache *w, u64 lba, u64 count) REQUIRES(w->lock);
/* May a failed flush have lost the zeros of this sector? They are here. */
bool zero_lost(struct wcache *w, u64 lba) REQUIRES(w->lock);
void zero_pump(struct wcache *w) REQUIRES(w->lock);
void zero_done(struct wcache *w, struct list *fin, struct wio *io)
    REQUIRES(w->lock);
void zero_sync_begin(struct wcache *w) REQUIRES(w->lock);
void zero_sync_end(struct wcache *w, bool good) REQUIRES(w->lock);
/* Zeroes anew what a failed flush may have lost; true while it is at it. */
bool zero_redo(struct wcache *w) REQUIRES(w->lock);

/* --- flush.c --- */
/* The rest of a write whose data is in: done, or what makes it durable. */
void flush_write(struct wcache *w, struct list *fin, struct wcache_req *r)
    REQUIRES(w->lock);
void flush_join(struct wcache *w, struct list *fin, struct wcache_req *r)
    REQUIRES(w->lock);
void ranges_pump(struct wcache *w, struct list *fin) REQUIRES(w->lock);
void flush_sweep(struct wcache *w) REQUIRES(w->lock);
void write_done(struct wcache *w, struct wio *io) REQUIRES(w->lock);

/* --- barrier.c --- */
void barrier_begin(struct wcache *w, struct list *fin) REQUIRES(w->lock);
void barrier_end(struct wcache *w, struct list *fin) REQUIRES(w->lock);
void sync_join(struct wcache *w, struct list *fin, struct wcache_req *r)
    REQUIRES(w->lock);
void sync_begin(struct wcache *w) REQUIRES(w->lock);
void sync_done(struct wcache *w, struct list *fin, struct wio *io)
    REQUIRES(w->lock);
bool cache_recovers(const struct wcache *w);

/* --- wcache.c --- */
void req_finish(struct wcache *w, struct list *fin, struct wcache_req *r,
		int rc, u64 bad_lba) REQUIRES(w->lock);
void req_fail_all(struct wcache *w, struct list *fin, struct list *reqs, int rc,
		  u64 bad_lba) REQUIRES(w->lock);
struct wio *wio_get(struct wcache *w, struct list *idle, enum wio_kind kind)
    REQUIRES(w->lock);
void wio_put(struct wcache *w, struct list *idle, struct wio *io)
    REQUIRES(w->lock);
/* Adds memory to a request, one piece with what lies before it. */
void wio_add(struct wio *io, void *p, size_t size_bytes);
void wio_queue(struct wcache *w, struct wio *io, enum store_op op, u64 lba,
	       u32 count, u64 id) REQUIRES(w->lock);

#endif
