/* SPDX-License-Identifier: BSD-2-Clause */
/* Cleaning: what is live in sparse segments is written to the log once more,
 * so that the next checkpoint finds them empty. Records say which blocks a
 * segment may hold; the map says which it does. Nodes are not copied: they are
 * touched, and the next checkpoint writes them elsewhere. */
#include "hdd/image_int.h"

#include <errno.h>

#define VICTIMS_AT_ONCE 16U
#define DENSE_PERCENT	85U /* live of what was there: not worth it */

static u64
live_bytes(const struct image *img, const struct seg *s)
{
	u64 all = 1ULL << img->seg_shift;

	return s->filled == 0 ? 0 : all * MIN(s->refs, s->filled) / s->filled;
}

static bool
can_be_cleaned(const struct image *img, u32 i)
{
	const struct seg *s = &img->segs.seg[i];

	return s->state == SEG_USED && s->refs != 0 && !s->cleaned &&
	       s->pin < img->interval && i != img->log.seg &&
	       i != img->log.next && i != img->node_seg &&
	       s->birth > img->parent_generation &&
	       (u64)s->refs * 100 < (u64)s->filled * DENSE_PERCENT;
}

/* Checkpoints come the more often the less is live, because what an interval
 * has written is garbage that cannot be cleaned before its end. */
bool
image_clean_wanted(struct image *img)
{
	u64 used = 0, live = 0, all = 1ULL << img->seg_shift;
	u64 slack = img->limits.slack * all;

	for (u32 i = 0; i < img->segs.count; i++) {
		const struct seg *s = &img->segs.seg[i];

		if (s->state == SEG_FREE)
			continue;
		used += all;
		live += live_bytes(img, s);
	}
	img->log_trigger_bytes =
	    MIN(img->limits.log_trigger_bytes, MAX(slack, live / 16));
	if (!img->limits.thread)
		img->log_trigger_bytes = img->limits.log_trigger_bytes;
	img->pressure =
	    img->limits.thread && used > live + live / 5 + 2 * slack;
	if (img->pressure)
		img->credit = MAX(img->credit, 0);
	return used > live + live / 10 + slack;
}

static u32
sparsest(struct image *img)
{
	u32 best = SEG_NONE;

	lock_acquire(&img->lock);
	for (u32 i = 0; i < img->segs.count; i++)
		if (can_be_cleaned(img, i) &&
		    (best == SEG_NONE ||
		     live_bytes(img, &img->segs.seg[i]) <
			 live_bytes(img, &img->segs.seg[best])))
			best = i;
	if (best != SEG_NONE)
		img->segs.seg[best].cleaned = true;
	lock_release(&img->lock);
	return best;
}

/* --- what a failed flush undoes ---------------------------------------- */

void
image_undo(struct image *img)
{
	lock_acquire(&img->lock);
	for (u32 i = img->moves; i-- > 0;) {
		const struct move *m = &img->move[i];
		struct mapentry e;

		if (m->seq <= img->durable_seq)
			continue;
		if (mapdelta_get(active_delta(img), m->block, &e)) {
			if (e.place == m->place)
				mapdelta_put(active_delta(img), m->block,
					     m->old);
		} else if (img->frozen &&
			   mapdelta_get(frozen_delta(img), m->block, &e) &&
			   e.place == m->place) {
			mapdelta_put(frozen_delta(img), m->block, m->old);
		}
	}
	img->moves = 0;
	lock_release(&img->lock);
}

bool
image_undo_room(struct image *img)
{
	bool durable;

	lock_acquire(&img->lock);
	durable = img->moves == 0 ||
		  img->move[img->moves - 1].seq <= img->durable_seq;
	lock_release(&img->lock);
	if (durable)
		img->moves = 0;
	return img->moves < MOVES_MAX;
}

void
image_undo_note(struct image *img, u64 block, struct mapentry old)
{
	struct mapentry e = {PLACE_ABSENT, 0};

	lock_acquire(&img->lock);
	(void)mapdelta_get(active_delta(img), block, &e);
	lock_release(&img->lock);
	img->move[img->moves++] = (struct move){.block = block,
						.seq = img->log.seq,
						.old = old,
						.place = e.place};
}

/* --- moving ------------------------------------------------------------ */

static bool
overwritten(struct image *img, u64 block)
{
	struct mapentry e;
	bool is;

	lock_acquire(&img->lock);
	is = mapdelta_get(active_delta(img), block, &e) ||
	     (img->frozen && mapdelta_get(frozen_delta(img), block, &e));
	lock_release(&img->lock);
	return is;
}

/* Waits for a batch. False: something else is missing. */
static bool
wait_for_batch(struct image *img) REQUIRES(img->work_lock)
{
	bool ok;

	lock_acquire(&img->lock);
	ok = img->limits.thread &&
	     mapdelta_has_room(active_delta(img), DELTA_SMALL);
	while (ok && list_empty(&img->batch_free)) {
		cond_wait(&img->changed, &img->lock);
		ok = img->failed == 0 && !img->stop;
	}
	lock_release(&img->lock);
	return ok;
}

/* Unless space is short, whoever writes goes first. */
static bool
gives_way(struct image *img) REQUIRES(img->wlock)
{
	bool way;

	lock_acquire(&img->lock);
	way = img->failed != 0 || img->stop ||
	      (!img->pressure && !list_empty(&img->wwait));
	lock_release(&img->lock);
	return way;
}

static int
try_move(struct image *img, u64 block, struct mapentry e, u8 *data)
    REQUIRES(img->work_lock, img->wlock)
{
	struct iovec iov = {data, IMG_BLOCK};
	int rc;

	if (overwritten(img, block))
		return 0;
	rc = (int)image_append(img, block, 1, &iov, 1, 0);
	if (rc > 0) {
		image_undo_note(img, block, e);
		lock_acquire(&img->lock);
		img->stats.moved++;
		lock_release(&img->lock);
	}
	return rc;
}

/* One block whose map entry is e. 1: moved, 0: somebody was faster, or
 * -errno: not now. */
static int
move_block(struct image *img, u64 block, struct mapentry e, u8 *data)
    REQUIRES(img->work_lock)
{
	bool way;
	int rc;

	do {
		lock_acquire(&img->wlock);
		way = gives_way(img) || !image_undo_room(img);
		rc = way ? -EAGAIN : try_move(img, block, e, data);
		lock_release(&img->wlock);
		image_kick(img);
	} while (rc == -EAGAIN && !way && wait_for_batch(img));
	return rc;
}

/* The blocks of one run of a record, those that the map still has there. */
static int
move_run(struct image *img, const struct run *r, u64 sector, u8 *data)
    REQUIRES(img->work_lock)
{
	static const u32 node_level = IMG_LEVELS_MAX;
	u8 *plain = img->plain;
	bool unpacked = false;

	for (u32 i = 0; i < r->count; i++) {
		u64 want = r->kind == PLACE_RAW
			       ? place_raw(sector + (u64)i * 8)
			       : place_lz4(sector, r->sectors, i, r->count);
		u8 *block = data + (size_t)i * IMG_BLOCK;
		struct mapentry e;
		int rc = map_look(img, img->super.root, img->super.map_levels,
				  r->block + i, img->level[node_level], &e);

		if (rc != 0 || e.place != want)
			continue;
		if (r->kind == PLACE_LZ4) {
			if (!unpacked && lz4_run_unpack(plain, r->count, data,
							r->sectors) != 0)
				return 0;
			unpacked = true;
			block = plain + (size_t)i * IMG_BLOCK;
		}
		/* What is damaged stays where it is, and is an error there. */
		if (checksum64(block, IMG_BLOCK, r->block + i) != e.sum)
			continue;
		rc = move_block(img, r->block + i, e, block);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int
move_batch(struct image *img, const u8 *rec, const struct recordhead *h,
	   u8 *seg, u64 seg_at) REQUIRES(img->work_lock)
{
	u64 sector = h->at + IMG_BLOCK_SECTORS;
	int rc = 0;

	for (u32 i = 0; rc == 0 && i < h->runs; i++) {
		struct run r = record_run(rec, i);

		if (r.kind == PLACE_ZERO)
			continue;
		sector = run_begin(sector, r.kind);
		rc = move_run(img, &r, sector,
			      seg + (sector - seg_at) * IMG_SECTOR);
		sector += r.sectors;
	}
	return rc;
}

static int
move_data(struct image *img, u8 *seg, u64 seg_at) REQUIRES(img->work_lock)
{
	u32 seg_bytes = 1U << img->seg_shift;
	int rc = 0;

	for (u32 off = 0; rc == 0 && off + IMG_BLOCK <= seg_bytes;) {
		struct recordhead h;
		u64 at = seg_at + off / IMG_SECTOR;

		if (record_decode(&h, seg + off, at, img->blocks) != 0 ||
		    h.image_id != img->image_id ||
		    h.batch_bytes > seg_bytes - off)
			break;
		rc = move_batch(img, seg + off, &h, seg, seg_at);
		off += h.batch_bytes;
	}
	return rc;
}

/* --- nodes ------------------------------------------------------------- */

/* Is this node a part of the disk's map? */
static bool
is_in_map(struct image *img, const struct nodehead *h) REQUIRES(img->work_lock)
{
	struct mapentry e = img->super.root;
	u64 first = 0;
	u8 *buf = img->level[IMG_LEVELS_MAX];

	for (unsigned level = img->super.map_levels; level-- > h->level;) {
		u64 span = map_span(level);

		if (!place_stored(e.place))
			return false;
		if (level == h->level)
			return place_at(e.place) == h->at;
		if (map_node_read(img, e, level, first, buf) != 0)
			return false;
		if (h->first < first || (h->first - first) / span >= IMG_FANOUT)
			return false;
		e = node_get(buf, (u32)((h->first - first) / span));
		first += (h->first - first) / span * span;
	}
	return false;
}

static void
add_touch(struct image *img, u64 first)
{
	u32 i = img->touches;

	while (i > 0 && img->touch[i - 1] > first)
		i--;
	if (i > 0 && img->touch[i - 1] == first)
		return;
	memmove(&img->touch[i + 1], &img->touch[i],
		(img->touches - i) * sizeof(*img->touch));
	img->touch[i] = first;
	img->touches++;
}

static int
touch_nodes(struct image *img, u8 *seg, u64 seg_at) REQUIRES(img->work_lock)
{
	u32 seg_bytes = 1U << img->seg_shift;

	for (u32 off = 0; off < seg_bytes; off += IMG_BLOCK) {
		struct nodehead h;

		if (img->touches == TOUCH_MAX)
			return -EAGAIN;
		if (node_decode(&h, seg + off, seg_at + off / IMG_SECTOR) !=
			0 ||
		    h.image_id != img->image_id)
			continue;
		if (h.kind == NODE_SNAPSHOTS)
			img->rewrite_snaps = true;
		else if (h.kind == NODE_MAP && is_in_map(img, &h))
			add_touch(img, h.first);
	}
	return 0;
}

/* --- one segment after the other --------------------------------------- */

static int
clean_one(struct image *img, u32 seg) REQUIRES(img->work_lock)
{
	u64 off = seg_off(seg, img->seg_shift);
	struct nodehead h;
	int rc =
	    imgio_read(img->io, off, img->cleanbuf, 1ULL << img->seg_shift);

	if (rc != 0)
		return rc;
	if (node_decode(&h, img->cleanbuf, off / IMG_SECTOR) == 0)
		return touch_nodes(img, img->cleanbuf, off / IMG_SECTOR);
	return move_data(img, img->cleanbuf, off / IMG_SECTOR);
}

/* It is done with, or, with an error, may be tried again. */
static void
account(struct image *img, u32 seg, int rc) REQUIRES(img->work_lock)
{
	struct seg *s = &img->segs.seg[seg];

	lock_acquire(&img->lock);
	if (rc == -EAGAIN)
		s->cleaned = false;
	else
		img->credit +=
		    (s64)(((1ULL << img->seg_shift) - live_bytes(img, s)) /
			  IMG_BLOCK);
	lock_release(&img->lock);
	image_pump(img);
}

bool
image_clean(struct image *img)
{
	u64 before = img->stats.moved;
	bool did = false;

	lock_acquire(&img->lock);
	img->want_clean = false;
	lock_release(&img->lock);
	for (u32 i = 0; i < VICTIMS_AT_ONCE; i++) {
		u32 seg = sparsest(img);
		int rc;

		if (seg == SEG_NONE) {
			lock_acquire(&img->lock);
			img->pressure = false; /* there is nothing to clean */
			lock_release(&img->lock);
			break;
		}
		rc = clean_one(img, seg);
		account(img, seg, rc);
		did |= rc != -EAGAIN;
		if (rc != 0)
			break;
	}
	did |= img->stats.moved != before;
	if (did) { /* what was left is empty after it */
		lock_acquire(&img->lock);
		img->want_commit = true;
		lock_release(&img->lock);
	}
	return did;
}
