/* SPDX-License-Identifier: BSD-2-Clause */
/* image_int - inside the image engine
 *
 * What:    the struct that the files of the engine share, and what each of
 *          them offers to the others.
 *
 *          image.c         create, open, close, statistics
 *          image_read.c    reads: map walk, host reads, checksums
 *          image_write.c   writes, zeros, discards: into the open batch
 *          image_flush.c   guest flushes; failing and recovering
 *          imglog.c        batches: open, filled, sealed, written
 *          imgreplay.c     opening: superblocks, tables, the log's chain
 *          imgcommit.c     checkpoints: superblock, segment table
 *          mapmerge.c      checkpoints: delta into nodes
 *          imgwork.c       the engine's thread: when to do what
 *          imgclean.c      moving what is live out of sparse segments
 *          imgsnap.c       snapshots, resize
 *          imgcheck.c      the walk over everything
 *
 *          A block's newest version is found in this order: active delta,
 *          frozen delta, map. Where its place lies in a batch that is not
 *          written yet, its bytes are in the batch's memory.
 *
 *          A batch:  FREE --log_open--> OPEN --log_seal--> SEALED
 *                     ^                                    ^ | image_kick
 *                     |                   batch_done, failed | |
 *                     +----- batch_done ---- WRITING <-------+-+
 *
 *          Checkpoint g. Freeze, with writers held off: seal; the active
 *          delta becomes the frozen one; interval g ends. Then, beside guest
 *          I/O: new nodes, flush, superblock, flush. Then, in one step: new
 *          root, frozen delta dropped, segments given back. Where it fails
 *          the frozen delta stays, and the next one holds writers off and
 *          takes both.
 *
 * Model:   [M1] what a durable superblock or the log after it names is never
 *               written to (hdd/segment_int.h).
 *          [M2] a place in the frozen delta or the map lies in a batch that
 *               was written before a superblock names it.
 *          [M3] seq of batches grows in the order in which they were sealed;
 *               durable_seq <= every batch in flight.
 *          [M4] a segment that a read may still be looking at is not taken:
 *               freed segments wait for the readers of their time.
 *          docs/image.5.md; disk-rules.
 * Units:   at: host sectors; off: bytes; block: 4096 bytes; lba, count:
 * sectors. Threads: work_lock serialises checkpoints, snapshots, cleaning;
 * wlock the writers and the log; lock everything in memory. In that order. No
 *          host call is made under lock; under wlock only by stopped
 *          checkpoints.
 * Owns:    everything in struct image.
 * Errors:  -errno as hdd/image.h.
 */
#ifndef HDD_IMAGE_INT_H
#define HDD_IMAGE_INT_H

#include "base/list.h"
#include "base/lock.h"
#include "hdd/image.h"
#include "hdd/imgio_int.h"
#include "hdd/lz4_run_int.h"
#include "hdd/mapdelta_int.h"
#include "hdd/mapnode_int.h"
#include "hdd/segment_int.h"

#define BATCH_BYTES	(1U << 20)
#define BATCH_MIN_BYTES (2 * IMG_BLOCK) /* a record and one block */
#define ROP_BLOCKS	64U
#define NODEBUF_BYTES	(1U << 20)

/* How much of everything. Tests have little of each. */
struct image_limits {
	u32 batches;	   /* 1 MiB each */
	u32 rops;	   /* reads at once; about 400 KiB each */
	u32 nodes;	   /* in the cache */
	u32 delta_blocks;  /* most entries of a delta */
	u32 delta_trigger; /* a checkpoint begins */
	u32 ranges;
	u64 log_trigger_bytes; /* the same */
	u64 close_log_bytes;   /* a checkpoint when closed with more */
	u32 segments_max;
	u32 reserve; /* free segments to prepare; 0: none */
	u32 slack;   /* segments of garbage to bear before cleaning */
	bool thread; /* else writers do the work; for a host file that is
			done inside submit() */
};
extern const struct image_limits image_default_limits;

enum batch_state { BATCH_FREE, BATCH_OPEN, BATCH_SEALED, BATCH_WRITING };

struct batch {
	struct image *img;
	struct list link; /* free, to_write or held */
	enum batch_state state;
	u8 *buf;  /* the record's block, then data */
	u32 cap;  /* of bytes */
	u32 used; /* bytes, the record's included; padded when sealed */
	u32 runs, sums;
	u32 last_run_used; /* how long it was before the last run's data */
	struct run run[IMG_RECORD_ROOM / 16];
	u64 sum[IMG_RECORD_ROOM / 8];
	u64 at, seq;
	struct ioreq io;
	struct iovec iov;
};

struct logpos {
	u32 seg, off, next;
	u64 seq, prev; /* of the next record */
};

enum rmw_state { RMW_IDLE, RMW_READING, RMW_READY };

struct rmw {
	enum rmw_state state; /* [wlock] */
	bool begin;	      /* [wlock] its read is to be submitted */
	struct store_req read;
	struct iovec iov;
	u8 *buf;
	u32 sectors; /* of it that the disk has */
	struct image *img;
};

struct move {
	u64 block, seq;
	struct mapentry old;
	u64 place; /* the new one */
};

struct rop;

struct image {
	struct lock work_lock;
	struct lock wlock;
	struct lock lock;
	struct cond changed; /* [lock] batches, readers, work, checkpoints */

	struct store store;
	struct imgio *io;	    /* [const] */
	struct image_limits limits; /* [const] */
	char *path;		    /* [const] */
	u64 image_id;		    /* [const] */
	u32 seg_shift, codec;	    /* [const] */
	u64 blocks;		    /* [const] while requests are in flight */

	/* the log [wlock] */
	struct logpos log;
	u64 salt;
	struct batch *open; /* NULL: none */
	struct list wwait;  /* store_req.io.link: writes, in their order */
	struct rmw rmw;
	struct list to_write; /* batches that were sealed */
	struct list held;     /* sealed, and the host failed to write them */
	u8 *pack;	      /* LZ4_OUT_BYTES */
	u32 pack_skip, pack_fails;
	bool relogged; /* the log goes on where no superblock leads to */

	/* [lock] */
	struct batch *batch;
	struct list batch_free;
	unsigned batches_busy; /* sealed or being written */
	struct mapdelta delta[2];
	unsigned active; /* which of the two; the other is frozen */
	bool frozen;
	struct mapnodes nodes;
	struct segtable segs;
	struct super super; /* the last that is durable */
	u64 interval;	    /* the generation of the next checkpoint */
	u64 log_bytes;	    /* since the last checkpoint */

	/* flushes [lock] */
	struct list flush_wait; /* store_req.io.link; io.off: seq to cover */
	u64 sealed_seq, durable_seq, flush_covers;
	bool flushing;
	bool holding; /* nothing sets out to the host */
	struct ioreq flush_io;
	int failed; /* 0 or -errno: no flush may succeed */
	int dead;   /* and recover() failed at a flush: for ever */

	/* reads [lock] */
	struct list rop_free, read_wait;
	struct rop *rop;
	u8 *rop_memory;
	unsigned epoch;
	u64 readers[2];

	/* snapshots [lock] */
	struct snap *snap;
	u32 snaps;
	u64 parent_generation; /* of head_parent; 0: none */
	/* as the checkpoint that is being made will have them [work_lock] */
	struct snap *next_snap;
	u32 next_snaps;
	bool snaps_dirty;
	u64 commit_generation;

	/* work [lock] */
	bool stop, want_commit, want_reserve, want_clean;
	bool working; /* without a thread: image_work() runs */
	bool threaded;
	pthread_t thread;
	int commit_rc;
	u64 log_trigger_bytes; /* of a checkpoint; less where little is live */
	bool pressure;	       /* writers go on as fast as the cleaner does */
	s64 credit;	       /* blocks that they may write meanwhile */

	/* the checkpoint's [work_lock] */
	u8 *nodebuf;
	u32 nodebuf_used;
	u64 nodebuf_off;
	u32 node_seg, node_off; /* where the next node goes */
	struct deltaslot *sorted;
	u8 *level[IMG_LEVELS_MAX + 1]; /* a node for each level, and one */
	u64 *touch; /* first blocks of leaves that the cleaner moves */
	u32 touches;
	u8 *cleanbuf; /* a segment */
	u8 *plain;    /* LZ4_RUN_BYTES */
	bool rewrite_snaps;

	/* what a failed flush undoes [wlock] */
	struct move *move;
	u32 moves;

	struct {
		u64 replayed, checkpoints, moved, batches, batch_bytes,
		    host_flushes;
	} stats; /* [lock] */
};

#define TOUCH_MAX 1024U
#define MOVES_MAX 32768U

static inline struct image *
image_of(struct store *s)
{
	return CONTAINER_OF(s, struct image, store);
}

static inline u32
seg_of_at(const struct image *img, u64 at)
{
	return (u32)((at * IMG_SECTOR - IMG_DATA_OFF) >> img->seg_shift);
}

static inline u64
at_of(const struct image *img, u32 seg, u32 off)
{
	return (seg_off(seg, img->seg_shift) + off) / IMG_SECTOR;
}

static inline struct mapdelta *
active_delta(struct image *img)
{
	return &img->delta[img->active];
}

static inline struct mapdelta *
frozen_delta(struct image *img)
{
	return &img->delta[!img->active];
}

/* Is what a map says inside of the file, and sound? Of anything foreign. */
bool image_place_ok(const struct image *img, u64 place, bool leaf);

/* --- image.c ----------------------------------------------------------- */

/* On any host file; takes it over, whether it works or not. */
int image_open_io(struct image **out, struct imgio *io, const char *path,
		  bool read_only, const struct image_limits *limits,
		  struct err *e) MUST_CHECK;
int image_create_io(struct imgio *io, const struct image_create_options *o,
		    const u8 *uuid, u32 prepared, struct err *e) MUST_CHECK;

/* One request, waited for. */
int image_do(struct image *img, enum store_op op, u64 lba, u32 count)
    EXCLUDES(img->wlock, img->lock) MUST_CHECK;

/* Without any flush or write: as if the process had died. */
void image_drop(struct image *img);

/* --- imgreplay.c ------------------------------------------------------- */

int image_load(struct image *img, struct err *e) MUST_CHECK;

/* --- imglog.c ---------------------------------------------------------- */

/* An open batch with room for one block and one run. 0, -EAGAIN: none is
 * free, or -ENOSPC. */
int log_room(struct image *img) REQUIRES(img->wlock) MUST_CHECK;

/* Where the next data goes in the open batch. */
u8 *log_data(struct image *img) REQUIRES(img->wlock);
u64 log_at(struct image *img) REQUIRES(img->wlock);
u32 log_blocks_left(struct image *img) REQUIRES(img->wlock);

void log_add_raw(struct image *img, u64 block, u32 count, const u64 *sums)
    REQUIRES(img->wlock);
void log_add_lz4(struct image *img, u64 block, u32 count, u32 sectors,
		 const u64 *sums) REQUIRES(img->wlock);
void log_add_zero(struct image *img, u64 block, u32 count) REQUIRES(img->wlock);

/* Closes the open batch, if it holds anything, and queues it. */
void log_seal(struct image *img) REQUIRES(img->wlock);

/* Goes on in another segment; new_chain: where nothing leads to. */
int log_move(struct image *img, bool new_chain) REQUIRES(img->wlock) MUST_CHECK;

/* Hands what is queued to the host. */
void image_kick(struct image *img) EXCLUDES(img->wlock, img->lock);

/* Writes what is queued or on its way, blocking. */
int log_write_all(struct image *img) REQUIRES(img->wlock) MUST_CHECK;

/* The bytes of a place in a batch that is not written, or NULL. */
const u8 *log_pending(struct image *img, u64 place) REQUIRES(img->lock);

/* --- image_write.c ----------------------------------------------------- */

void image_write(struct image *img, struct store_req *r);

/* Goes on with writes that had to wait. */
void image_pump(struct image *img) EXCLUDES(img->wlock, img->lock);

/* Appends full blocks, as many as there is room for, and says how many, or
 * -errno; data lies flat. */
s64 image_append(struct image *img, u64 block, u32 count,
		 const struct iovec *iov, unsigned iov_count, u64 iov_at)
    REQUIRES(img->wlock) MUST_CHECK;

/* --- image_read.c ------------------------------------------------------ */

/* The entry of a block, as far as memory knows it. */
bool image_peek(struct image *img, u64 block, struct mapentry *e)
    REQUIRES(img->lock) MUST_CHECK;

int rops_init(struct image *img) MUST_CHECK;
void rops_release(struct image *img);
void image_read(struct image *img, struct store_req *r);

/* --- image_flush.c ----------------------------------------------------- */

void image_flush_req(struct image *img, struct store_req *r);
void flush_try(struct image *img) EXCLUDES(img->wlock, img->lock);

/* A host write or flush failed: nothing since the last good flush is sure. */
void image_fail(struct image *img, int rc) EXCLUDES(img->wlock, img->lock);
void image_fail_locked(struct image *img, int rc) REQUIRES(img->wlock)
    EXCLUDES(img->lock);
int image_recover(struct store *s);

/* --- imgcommit.c ------------------------------------------------------- */

/* Takes a node's place; its bytes are put there by commit_node(). */
int commit_alloc(struct image *img, u64 *at)
    REQUIRES(img->work_lock) MUST_CHECK;
int commit_node(struct image *img, u64 at, const u8 *node)
    REQUIRES(img->work_lock) MUST_CHECK;
void commit_retain(struct image *img, u64 at) REQUIRES(img->work_lock);

/* Of the disk: what it shares with its parent stays. */
void commit_drop(struct image *img, u64 at) REQUIRES(img->work_lock);
/* Whoever else has it. */
void commit_drop_hard(struct image *img, u64 at) REQUIRES(img->work_lock);
bool commit_is_shared(struct image *img, u64 at);

/* What a checkpoint changes besides. */
struct commit {
	bool twice;	 /* both superblocks */
	bool recovering; /* on a thread of the pool: waits for nobody */
	bool new_head;	 /* root, map_levels, sectors, head_parent of change;
			    the deltas are dropped, and the old map with them
			    if drop_old is set */
	bool drop_old;
	struct super change;
	const char *snap_name; /* a new snapshot; stopped ones only */
	u64 snap_delete;       /* id of one that goes; 0: none */
	u64 sectors;	       /* a new size; stopped ones only; 0: none */
};

/* One checkpoint, beside the writers. */
int image_commit(struct image *img, const struct commit *c)
    REQUIRES(img->work_lock) EXCLUDES(img->wlock, img->lock) MUST_CHECK;

/* Waits until no write or flush is at the host. Not on a thread of the pool. */
void image_wait_idle(struct image *img) REQUIRES(img->lock);

/* Takes wlock when no write or flush is at the host, and keeps it so. Not on a
 * thread of the pool. */
void image_hold(struct image *img) LOCK_ATTR(acquire_capability(img->wlock))
    EXCLUDES(img->lock);
void image_let_go(struct image *img) LOCK_ATTR(release_capability(img->wlock))
    EXCLUDES(img->lock);

/* The same with writers held off, so that nothing is in a delta afterwards. */
int image_commit_stopped(struct image *img, const struct commit *c)
    REQUIRES(img->work_lock, img->wlock) EXCLUDES(img->lock) MUST_CHECK;

/* Between image_hold() and image_let_go(). */
int image_commit_held(struct image *img, const struct commit *c)
    REQUIRES(img->work_lock) EXCLUDES(img->wlock, img->lock) MUST_CHECK;

/* --- mapmerge.c -------------------------------------------------------- */

/* Puts d into the map below *root, which becomes the new one. */
int map_merge(struct image *img, const struct mapdelta *d,
	      struct mapentry *root, unsigned levels, u64 blocks)
    REQUIRES(img->work_lock) MUST_CHECK;

/* A node, checked against everything that is known of it; through the cache,
 * not into it. */
int map_node_read(struct image *img, struct mapentry e, unsigned level,
		  u64 first, u8 *buf) REQUIRES(img->work_lock) MUST_CHECK;
bool map_node_ok(const struct image *img, const u8 *buf, struct mapentry e,
		 unsigned level, u64 first);

/* The entry of a block in a map, blocking. */
int map_look(struct image *img, struct mapentry root, unsigned levels,
	     u64 block, u8 *buf, struct mapentry *e)
    REQUIRES(img->work_lock) MUST_CHECK;

/* The map gets as many levels as the new size needs; what is cut off is zeros
 * already. */
int map_resize(struct image *img, struct mapentry *root, u32 *levels,
	       unsigned want) REQUIRES(img->work_lock) MUST_CHECK;

/* Everything below e goes; what a snapshot has, and all below it, stays. */
int map_drop(struct image *img, struct mapentry e, unsigned level, u64 first)
    REQUIRES(img->work_lock) MUST_CHECK;

/* --- imgsnap.c --------------------------------------------------------- */

/* The tables as c wants them, and what a deleted snapshot alone has goes;
 * root is the disk's new one. */
int snaps_prepare(struct image *img, const struct commit *c, struct super *next,
		  struct mapentry root, u64 generation)
    REQUIRES(img->work_lock) MUST_CHECK;
u64 snap_generation(const struct image *img, u64 id);

/* --- imgwork.c --------------------------------------------------------- */

int image_work_start(struct image *img) MUST_CHECK;
void image_work_stop(struct image *img);

/* Whatever is due, in the caller's thread. True: something was done. */
bool image_work(struct image *img);

/* Waits until reads that began before are done. False: it could not wait,
 * because a flush failed and recover() may have the only thread of the pool. */
bool image_wait_readers(struct image *img) EXCLUDES(img->lock) MUST_CHECK;

/* --- imgclean.c -------------------------------------------------------- */

/* Moves some of what is live out of sparse segments. True: it did. */
bool image_clean(struct image *img) REQUIRES(img->work_lock);
/* After a checkpoint: what is used and what is live. True: clean. */
bool image_clean_wanted(struct image *img) REQUIRES(img->lock);

/* Blocks that were moved, or of which a part was written, and that no flush
 * has covered yet: when it fails they are what they were before. The part is
 * written again by whoever wrote it (disk-rules 12), and finds the rest. */
void image_undo(struct image *img) REQUIRES(img->wlock) EXCLUDES(img->lock);
bool image_undo_room(struct image *img) REQUIRES(img->wlock)
    EXCLUDES(img->lock) MUST_CHECK;
void image_undo_note(struct image *img, u64 block, struct mapentry old)
    REQUIRES(img->wlock) EXCLUDES(img->lock);

#endif
