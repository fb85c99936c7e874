/* SPDX-License-Identifier: BSD-2-Clause */
/* The log: batches are opened, filled, sealed and written. */
#include "hdd/image_int.h"

#include <errno.h>
#include <sys/random.h>

/* --- opening one ------------------------------------------------------- */

static u32
seg_left(const struct image *img)
{
	return (1U << img->seg_shift) - img->log.off;
}

/* The log leaves its segment for the next, and gets a new next one. */
static int
next_segment_locked(struct image *img) REQUIRES(img->wlock, img->lock)
{
	u32 next = segtable_take(&img->segs, img->interval);

	if (next == SEG_NONE)
		return -ENOSPC;
	segtable_enter(&img->segs, img->log.next, img->interval);
	img->segs.seg[img->log.next].birth = img->interval;
	img->log.seg = img->log.next;
	img->log.off = 0;
	img->log.next = next;
	if (img->segs.free_written < img->limits.reserve / 2)
		img->want_reserve = true;
	return 0;
}

static int
open_locked(struct image *img) REQUIRES(img->wlock, img->lock)
{
	struct batch *b;
	int rc = 0;

	if (list_empty(&img->batch_free))
		return -EAGAIN;
	if (seg_left(img) < BATCH_MIN_BYTES)
		rc = next_segment_locked(img);
	if (rc != 0)
		return rc;
	segtable_enter(&img->segs, img->log.seg, img->interval); /* pins */
	b = LIST_ENTRY(list_pop(&img->batch_free), struct batch, link);
	assert(b->state == BATCH_FREE);
	b->state = BATCH_OPEN;
	b->cap = MIN(BATCH_BYTES, seg_left(img));
	b->used = IMG_BLOCK;
	b->runs = b->sums = 0;
	b->at = at_of(img, img->log.seg, img->log.off);
	img->open = b;
	return 0;
}

static bool
fits_one(const struct batch *b)
{
	return ALIGN_UP(b->used, IMG_BLOCK) + IMG_BLOCK <= b->cap &&
	       (b->runs + 1) * 16 + (b->sums + 1) * 8 <= IMG_RECORD_ROOM;
}

int
log_room(struct image *img)
{
	int rc;

	if (img->open && fits_one(img->open))
		return 0;
	log_seal(img);
	lock_acquire(&img->lock);
	rc = open_locked(img);
	if (rc == -EAGAIN && img->failed != 0 && !list_empty(&img->held)) {
		/* Nothing gets free by itself: they are tried again, and the
		 * caller is told. */
		rc = img->failed;
		list_move_all(&img->to_write, &img->held);
	}
	lock_release(&img->lock);
	assert(rc != 0 || fits_one(img->open));
	return rc;
}

u8 *
log_data(struct image *img)
{
	return img->open->buf + ALIGN_UP(img->open->used, IMG_BLOCK);
}

u32
log_blocks_left(struct image *img)
{
	const struct batch *b = img->open;
	u32 bytes = b->cap - ALIGN_UP(b->used, IMG_BLOCK);
	u32 room = IMG_RECORD_ROOM - (b->runs + 1) * 16 - b->sums * 8;

	assert(fits_one(b));
	return MIN(bytes / IMG_BLOCK, room / 8);
}

/* --- filling it -------------------------------------------------------- */

/* Bytes that nobody meant to write are zeros. */
static void
pad(struct batch *b)
{
	u32 to = ALIGN_UP(b->used, IMG_BLOCK);

	memset(b->buf + b->used, 0, to - b->used);
	b->used = to;
}

static struct run *
last_run(struct batch *b, u8 kind, u64 block)
{
	struct run *r = b->runs != 0 ? &b->run[b->runs - 1] : NULL;

	return r && r->kind == kind && r->block + r->count == block ? r : NULL;
}

static void
add_run(struct batch *b, struct run r)
{
	assert((b->runs + 1) * 16 + b->sums * 8 <= IMG_RECORD_ROOM);
	b->run[b->runs++] = r;
}

static void
add_sums(struct batch *b, const u64 *sums, u32 count)
{
	assert(b->runs * 16 + (b->sums + count) * 8 <= IMG_RECORD_ROOM);
	memcpy(b->sum + b->sums, sums, count * sizeof(*sums));
	b->sums += count;
}

void
log_add_raw(struct image *img, u64 block, u32 count, const u64 *sums)
{
	struct batch *b = img->open;
	struct run *r;
	u64 at;

	pad(b);
	at = b->at + b->used / IMG_SECTOR;
	r = last_run(b, PLACE_RAW, block);
	if (r && r->sectors + count * IMG_BLOCK_SECTORS <= UINT16_MAX) {
		r->count += count;
		r->sectors = (u16)(r->sectors + count * IMG_BLOCK_SECTORS);
	} else {
		add_run(b, (struct run){block, count,
					(u16)(count * IMG_BLOCK_SECTORS),
					PLACE_RAW});
	}
	add_sums(b, sums, count);
	b->used += count * IMG_BLOCK;
	assert(b->used <= b->cap);
	lock_acquire(&img->lock);
	for (u32 i = 0; i < count; i++)
		mapdelta_put(active_delta(img), block + i,
			     (struct mapentry){place_raw(at +
							 i * IMG_BLOCK_SECTORS),
					       sums[i]});
	lock_release(&img->lock);
}

void
log_add_lz4(struct image *img, u64 block, u32 count, u32 sectors,
	    const u64 *sums)
{
	struct batch *b = img->open;
	u64 at = b->at + b->used / IMG_SECTOR;

	assert(b->used + sectors * IMG_SECTOR <= b->cap);
	add_run(b, (struct run){block, count, (u16)sectors, PLACE_LZ4});
	add_sums(b, sums, count);
	memcpy(b->buf + b->used, img->pack, (size_t)sectors * IMG_SECTOR);
	b->used += sectors * IMG_SECTOR;
	lock_acquire(&img->lock);
	for (u32 i = 0; i < count; i++)
		mapdelta_put(active_delta(img), block + i,
			     (struct mapentry){place_lz4(at, sectors, i, count),
					       sums[i]});
	lock_release(&img->lock);
}

void
log_add_zero(struct image *img, u64 block, u32 count)
{
	struct run *r = last_run(img->open, PLACE_ZERO, block);

	if (r && r->count <= UINT32_MAX - count)
		r->count += count;
	else
		add_run(img->open, (struct run){block, count, 0, PLACE_ZERO});
	lock_acquire(&img->lock);
	mapdelta_zero(active_delta(img), block, count);
	lock_release(&img->lock);
}

/* --- sealing it -------------------------------------------------------- */

static void
build_record(struct image *img, struct batch *b) REQUIRES(img->wlock)
{
	struct recordhead h = {
	    .image_id = img->image_id,
	    .salt = img->salt,
	    .seq = img->log.seq,
	    .prev = img->log.prev,
	    .at = b->at,
	    .batch_bytes = b->used,
	    .next_segment = img->log.next,
	    .runs = b->runs,
	    .sums = b->sums,
	};

	lock_acquire(&img->lock);
	h.durable = img->durable_seq;
	lock_release(&img->lock);
	memset(b->buf, 0, IMG_BLOCK);
	for (u32 i = 0; i < b->runs; i++)
		record_put_run(b->buf, i, b->run[i]);
	memcpy(b->buf + IMG_RECORD_HEAD + (size_t)16 * b->runs, b->sum,
	       b->sums * sizeof(b->sum[0]));
	img->log.prev = record_seal(b->buf, &h);
	b->seq = img->log.seq++;
}

void
log_seal(struct image *img)
{
	struct batch *b = img->open;

	img->open = NULL;
	if (!b)
		return;
	assert(b->state == BATCH_OPEN);
	if (b->runs == 0) {
		lock_acquire(&img->lock);
		b->state = BATCH_FREE;
		list_add_head(&img->batch_free, &b->link);
		lock_release(&img->lock);
		return;
	}
	pad(b);
	build_record(img, b);
	img->log.off += b->used;
	assert(img->log.off <= 1U << img->seg_shift);
	lock_acquire(&img->lock);
	b->state = BATCH_SEALED;
	img->batches_busy++;
	assert(img->sealed_seq < b->seq); /* [M3] */
	img->sealed_seq = b->seq;
	img->log_bytes += b->used;
	img->stats.batches++;
	img->stats.batch_bytes += b->used;
	lock_release(&img->lock);
	list_add_tail(&img->to_write, &b->link);
}

int
log_move(struct image *img, bool new_chain)
{
	u64 prev;
	int rc;

	log_seal(img);
	lock_acquire(&img->lock);
	rc = next_segment_locked(img);
	lock_release(&img->lock);
	if (rc != 0 || !new_chain)
		return rc;
	if (getrandom(&prev, sizeof(prev), 0) != (ssize_t)sizeof(prev))
		return -EIO;
	img->log.prev = prev;
	return 0;
}

/* --- writing it -------------------------------------------------------- */

static void
give_back_locked(struct image *img, struct batch *b) REQUIRES(img->lock)
{
	assert(b->state == BATCH_SEALED || b->state == BATCH_WRITING);
	b->state = BATCH_FREE;
	img->batches_busy--;
	list_add_tail(&img->batch_free, &b->link);
	cond_wake_all(&img->changed);
}

/* What the host did not take stays in memory until it does. */
static void
hold(struct image *img, struct batch *b) EXCLUDES(img->wlock)
{
	lock_acquire(&img->wlock);
	lock_acquire(&img->lock);
	b->state = BATCH_SEALED;
	lock_release(&img->lock);
	list_add_tail(&img->held, &b->link);
	lock_release(&img->wlock);
}

static void
batch_done(struct ioreq *io)
{
	struct batch *b = CONTAINER_OF(io, struct batch, io);
	struct image *img = b->img;

	if (io->rc != 0) {
		hold(img, b);
		image_fail(img, io->rc);
	} else {
		lock_acquire(&img->lock);
		give_back_locked(img, b);
		lock_release(&img->lock);
	}
	flush_try(img);
	image_pump(img);
}

static void
batch_io(struct batch *b)
{
	b->iov = (struct iovec){b->buf, b->used};
	b->io = (struct ioreq){
	    .op = IO_WRITE,
	    .off = b->at * IMG_SECTOR,
	    .size_bytes = b->used,
	    .iov = &b->iov,
	    .iov_count = 1,
	    .done = batch_done,
	};
}

void
image_kick(struct image *img)
{
	for (;;) {
		struct ioreq *io = NULL;

		lock_acquire(&img->wlock);
		lock_acquire(&img->lock);
		if (!list_empty(&img->to_write) && !img->holding) {
			struct batch *b = LIST_ENTRY(list_pop(&img->to_write),
						     struct batch, link);

			b->state = BATCH_WRITING;
			batch_io(b);
			io = &b->io;
		}
		lock_release(&img->lock);
		lock_release(&img->wlock);
		if (!io)
			return;
		imgio_submit(img->io, &io, 1);
	}
}

/* What is on its way is written once more: the same bytes to the same place,
 * and its memory does not change while wlock is held. */
int
log_write_all(struct image *img)
{
	int rc = 0;

	log_seal(img);
	for (u32 i = 0; i < img->limits.batches && rc == 0; i++) {
		struct batch *b = &img->batch[i];
		bool busy, queued;

		lock_acquire(&img->lock);
		queued = b->state == BATCH_SEALED;
		busy = queued || b->state == BATCH_WRITING;
		lock_release(&img->lock);
		if (!busy)
			continue;
		rc = imgio_write(img->io, b->at * IMG_SECTOR, b->buf, b->used);
		if (!queued || rc != 0)
			continue;
		list_remove(&b->link);
		lock_acquire(&img->lock);
		give_back_locked(img, b);
		lock_release(&img->lock);
	}
	return rc;
}

const u8 *
log_pending(struct image *img, u64 place)
{
	u64 at = place_at(place);

	for (u32 i = 0; i < img->limits.batches; i++) {
		struct batch *b = &img->batch[i];
		u32 size_bytes;

		if (b->state == BATCH_FREE)
			continue;
		/* Behind a sealed one there may be the next. */
		size_bytes = b->state == BATCH_OPEN ? b->cap : b->used;
		if (at >= b->at && at < b->at + size_bytes / IMG_SECTOR)
			return b->buf + (at - b->at) * IMG_SECTOR;
	}
	return NULL;
}
