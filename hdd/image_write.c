/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes, zeros and discards: into the open batch, in the order in which they
 * came. Only the first of those that wait goes on, so a block that is read,
 * modified and written meets no other writer. */
#include "hdd/image_int.h"

#include <errno.h>

#include "base/iov.h"

#define PACK_PATIENCE 4U /* runs that did not pay, before some are skipped */
#define PACK_SKIP_MAX 64U

/* --- appending --------------------------------------------------------- */

static bool
is_zero(const u8 *block)
{
	return get_le64(block) == 0 &&
	       memcmp(block, block + 8, IMG_BLOCK - 8) == 0;
}

/* Compresses where it pays; data that did not pay before is not even tried,
 * but for one run in a while. */
static u32
pack(struct image *img, const u8 *data, u32 count) REQUIRES(img->wlock)
{
	u32 sectors;

	if (img->codec != IMG_CODEC_LZ4)
		return 0;
	if (img->pack_skip != 0) {
		img->pack_skip--;
		return 0;
	}
	sectors = lz4_run_pack(img->pack, data, count);
	if (sectors != 0) {
		img->pack_fails = 0;
	} else if (++img->pack_fails >= PACK_PATIENCE) {
		img->pack_skip =
		    MIN(1U << MIN(img->pack_fails, 16U), PACK_SKIP_MAX);
	}
	return sectors;
}

/* At most a run of blocks, and only blocks of one kind: zeros or not. */
static u32
append_group(struct image *img, u64 block, u32 count, const struct iovec *iov,
	     unsigned iov_count, u64 iov_at) REQUIRES(img->wlock)
{
	u8 *data = log_data(img);
	u64 sums[IMG_RUN_BLOCKS];
	u32 n = 0, sectors;
	bool zero;

	assert(count != 0 && count <= IMG_RUN_BLOCKS);
	iov_read(data, iov, iov_count, iov_at, (u64)count * IMG_BLOCK);
	zero = is_zero(data);
	while (++n < count && is_zero(data + (size_t)n * IMG_BLOCK) == zero)
		;
	if (zero) {
		log_add_zero(img, block, n);
		return n;
	}
	for (u32 i = 0; i < n; i++)
		sums[i] = checksum64(data + (size_t)i * IMG_BLOCK, IMG_BLOCK,
				     block + i);
	sectors = pack(img, data, n);
	if (sectors != 0)
		log_add_lz4(img, block, n, sectors, sums);
	else
		log_add_raw(img, block, n, sums);
	return n;
}

/* Room in the delta, or -EAGAIN when a checkpoint will make some. */
static int
delta_room(struct image *img) REQUIRES(img->wlock)
{
	struct mapdelta *d = active_delta(img);
	int rc = 0;

	lock_acquire(&img->lock);
	if (d->used >= img->limits.delta_trigger ||
	    d->ranges >= d->ranges_max / 4 * 3 ||
	    img->log_bytes >= img->log_trigger_bytes) {
		if (!img->want_commit && img->failed == 0) {
			img->want_commit = true;
			cond_wake_all(&img->changed);
		}
	}
	if (!mapdelta_has_room(d, DELTA_SMALL))
		rc = img->failed != 0	   ? img->failed
		     : img->commit_rc != 0 ? img->commit_rc
					   : -EAGAIN;
	lock_release(&img->lock);
	return rc;
}

static int
room(struct image *img) REQUIRES(img->wlock)
{
	int rc = delta_room(img);

	return rc != 0 ? rc : log_room(img);
}

s64
image_append(struct image *img, u64 block, u32 count, const struct iovec *iov,
	     unsigned iov_count, u64 iov_at)
{
	u32 done = 0;

	while (done < count) {
		int rc = room(img);
		u32 n;

		if (rc != 0)
			return done != 0 ? (s64)done : rc;
		n = MIN(count - done, log_blocks_left(img));
		done +=
		    append_group(img, block + done, MIN(n, IMG_RUN_BLOCKS), iov,
				 iov_count, iov_at + (u64)done * IMG_BLOCK);
	}
	return done;
}

static s64
append_zeros(struct image *img, u64 block, u32 count) REQUIRES(img->wlock)
{
	int rc = room(img);

	if (rc != 0)
		return rc;
	log_add_zero(img, block, count);
	return count;
}

/* --- a part of a block ------------------------------------------------- */

static void
rmw_read_done(struct store_req *r)
{
	struct rmw *m = CONTAINER_OF(r, struct rmw, read);
	struct image *img = m->img;

	lock_acquire(&img->wlock);
	assert(m->state == RMW_READING);
	m->state = RMW_READY;
	lock_release(&img->wlock);
	image_pump(img);
}

/* n: sectors that will be replaced. The disk's last block may have no more. */
static void
rmw_begin(struct image *img, u64 block, u32 n) REQUIRES(img->wlock)
{
	struct rmw *m = &img->rmw;

	m->sectors = (u32)MIN(IMG_BLOCK_SECTORS,
			      img->store.sectors - block * IMG_BLOCK_SECTORS);
	memset(m->buf, 0, IMG_BLOCK);
	m->read.rc = 0;
	m->begin = n != m->sectors;
	m->state = m->begin ? RMW_READING : RMW_READY;
	if (!m->begin)
		return;
	m->iov = (struct iovec){m->buf, m->sectors * IMG_SECTOR};
	m->read = (struct store_req){
	    .op = STORE_READ,
	    .lba = block * IMG_BLOCK_SECTORS,
	    .count = m->sectors,
	    .iov = &m->iov,
	    .iov_count = 1,
	    .done = rmw_read_done,
	};
}

/* --- one request ------------------------------------------------------- */

static bool
has_data(const struct store_req *r)
{
	return r->op == STORE_WRITE;
}

/* Sectors put, or -errno; -EAGAIN: later. done: sectors before them. */
static s64
put_part(struct image *img, struct store_req *r, u32 done, u32 skip, u32 n)
    REQUIRES(img->wlock)
{
	u64 block = (r->lba + done) / IMG_BLOCK_SECTORS;
	struct rmw *m = &img->rmw;
	struct iovec iov = {m->buf, IMG_BLOCK};
	struct mapentry old;
	bool known;
	s64 put;

	if (m->state == RMW_IDLE)
		rmw_begin(img, block, n);
	if (m->state == RMW_READING)
		return -EAGAIN;
	if (m->read.rc != 0) {
		m->state = RMW_IDLE;
		return m->read.rc;
	}
	if (has_data(r))
		iov_read(m->buf + (size_t)skip * IMG_SECTOR, r->iov,
			 r->iov_count, (u64)done * IMG_SECTOR,
			 (u64)n * IMG_SECTOR);
	else
		memset(m->buf + (size_t)skip * IMG_SECTOR, 0,
		       (size_t)n * IMG_SECTOR);
	known = image_undo_room(img);
	lock_acquire(&img->lock);
	known = known && image_peek(img, block, &old);
	lock_release(&img->lock);
	put = image_append(img, block, 1, &iov, 1, 0);
	if (put == -EAGAIN)
		return put;
	if (put > 0 && known)
		image_undo_note(img, block, old);
	m->state = RMW_IDLE;
	return put < 0 ? put : (s64)n;
}

/* Where garbage piles up, writers wait for the cleaner. */
static bool
must_wait(struct image *img) REQUIRES(img->wlock)
{
	bool wait;

	lock_acquire(&img->lock);
	wait = img->pressure && img->credit <= 0 && img->failed == 0;
	lock_release(&img->lock);
	return wait;
}

static void
spend(struct image *img, s64 sectors) REQUIRES(img->wlock)
{
	lock_acquire(&img->lock);
	if (img->pressure)
		img->credit -= (sectors + 7) / IMG_BLOCK_SECTORS;
	lock_release(&img->lock);
}

static s64
put_some(struct image *img, struct store_req *r, u32 done) REQUIRES(img->wlock)
{
	u64 lba = r->lba + done;
	u32 skip = (u32)(lba % IMG_BLOCK_SECTORS), left = r->count - done;
	u64 block = lba / IMG_BLOCK_SECTORS;
	s64 put;

	if (skip != 0 || left < IMG_BLOCK_SECTORS)
		return put_part(img, r, done, skip,
				MIN(left, IMG_BLOCK_SECTORS - skip));
	if (has_data(r))
		put = image_append(img, block, left / IMG_BLOCK_SECTORS, r->iov,
				   r->iov_count, (u64)done * IMG_SECTOR);
	else
		put = append_zeros(img, block, left / IMG_BLOCK_SECTORS);
	return put < 0 ? put : put * IMG_BLOCK_SECTORS;
}

/* True: r is done. r->io.off counts its sectors. */
static bool
go_on(struct image *img, struct store_req *r) REQUIRES(img->wlock)
{
	while (r->io.off < r->count) {
		s64 put =
		    must_wait(img) ? -EAGAIN : put_some(img, r, (u32)r->io.off);

		if (put == -EAGAIN)
			return false;
		if (put < 0) {
			r->rc = (int)put;
			r->bad_lba = r->lba + r->io.off;
			return true;
		}
		if (has_data(r))
			spend(img, put);
		r->io.off += (u64)put;
	}
	r->rc = 0;
	return true;
}

/* True: a read must be begun for the first of those that wait. */
static bool
pump_locked(struct image *img, struct list *fin) REQUIRES(img->wlock)
{
	bool begin;

	while (!list_empty(&img->wwait)) {
		struct store_req *r =
		    LIST_ENTRY(img->wwait.next, struct store_req, io.link);

		if (!go_on(img, r))
			break;
		list_remove(&r->io.link);
		list_add_tail(fin, &r->io.link);
	}
	begin = img->rmw.begin;
	img->rmw.begin = false;
	return begin;
}

void
image_pump(struct image *img)
{
	struct list fin;
	bool begin_read;

	list_init(&fin);
	do {
		lock_acquire(&img->wlock);
		begin_read = pump_locked(img, &fin);
		lock_release(&img->wlock);
		image_kick(img);
		while (!list_empty(&fin)) {
			struct store_req *r =
			    LIST_ENTRY(list_pop(&fin), struct store_req,
				       io.link);

			r->done(r);
		}
		if (begin_read)
			image_read(img, &img->rmw.read);
		/* Without a thread of its own the work is the writer's. */
	} while (!img->limits.thread && image_work(img));
}

void
image_write(struct image *img, struct store_req *r)
{
	bool waiting;

	assert(r->count != 0);
	r->io.off = 0;
	lock_acquire(&img->wlock);
	waiting = !list_empty(&img->wwait);
	list_add_tail(&img->wwait, &r->io.link);
	lock_release(&img->wlock);
	if (!waiting)
		image_pump(img);
}
