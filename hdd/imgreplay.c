/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening: the superblock that counts, the tables, and the log's chain. All
 * bytes are foreign. Nothing is written. */
#include "hdd/image_int.h"

#include <errno.h>

#include "base/range.h"

#define GROWTH_MAX    4U /* deltas that may have piled up behind a checkpoint */
#define WINDOW_SPARSE 131072U /* records further apart are read alone */

/* --- superblocks ------------------------------------------------------- */

static bool
is_blank(const u8 *buf)
{
	for (u32 i = 0; i < IMG_BLOCK; i++)
		if (buf[i] != 0)
			return false;
	return true;
}

static int
no_superblock(struct image *img, int a, int b, struct err *e)
{
	if (a == -ENOENT && b == -ENOENT)
		return err_set(e, -EUCLEAN, "'%s' is no .hdd image", img->path);
	return err_set(e, -EBADMSG, "both superblocks of '%s' are damaged",
		       img->path);
}

static int
refuse(struct image *img, int rc, struct err *e)
{
	if (rc == -ENOTSUP)
		return err_set(e, rc,
			       "'%s' was made by a newer version: it has a "
			       "feature that this one does not know",
			       img->path);
	return err_set(e, rc, "the superblock of '%s' is out of bounds",
		       img->path);
}

/* careful: the other one may yet come back to life. */
static int
choose(struct image *img, bool *careful, struct err *e)
{
	static const u64 offs[2] = {IMG_SUPER_A, IMG_SUPER_B};
	struct super s[2];
	int rc[2], best = -1;
	bool blank[2];

	for (int i = 0; i < 2; i++) {
		rc[i] = imgio_read(img->io, offs[i], img->level[0], IMG_BLOCK);
		if (rc[i] != 0)
			return err_errno(e, rc[i], "cannot read '%s'",
					 img->path);
		blank[i] = is_blank(img->level[0]);
		rc[i] = super_decode(&s[i], img->level[0], offs[i]);
		if (rc[i] == -ENOENT || rc[i] == -EBADMSG)
			continue;
		if (best < 0 || s[i].generation > s[best].generation)
			best = i;
	}
	if (best < 0)
		return no_superblock(img, rc[0], rc[1], e);
	if (rc[best] != 0)
		return refuse(img, rc[best], e);
	*careful = rc[!best] != 0 && !blank[!best];
	img->super = s[best];
	return 0;
}

/* --- tables ------------------------------------------------------------ */

static int
read_table_node(struct image *img, u64 at, u8 kind, u64 first, u32 count,
		u8 *buf)
{
	struct nodehead h;
	int rc = imgio_read(img->io, at * IMG_SECTOR, buf, IMG_BLOCK);

	if (rc == 0)
		rc = node_decode(&h, buf, at);
	if (rc == 0 && (h.kind != kind || h.first != first ||
			h.count != count || h.image_id != img->image_id))
		rc = -EUCLEAN;
	return rc;
}

/* Neighbours are read at once. */
static int
load_extent(struct image *img, const struct imgextent *x, bool careful)
{
	const u32 most = NODEBUF_BYTES / IMG_BLOCK;
	const struct super *s = &img->super;

	for (u32 n = 0; n < x->nodes; n += most) {
		u32 count = MIN(most, x->nodes - n);
		u64 at = x->at + (u64)n * IMG_BLOCK_SECTORS;
		int rc = imgio_read(img->io, at * IMG_SECTOR, img->nodebuf,
				    (u64)count * IMG_BLOCK);

		for (u32 i = 0; rc == 0 && i < count; i++) {
			const u8 *buf = img->nodebuf + (size_t)i * IMG_BLOCK;
			u32 left = s->segment_count - img->segs.count;
			struct nodehead h;

			rc = node_decode(&h, buf, at + i * IMG_BLOCK_SECTORS);
			if (rc == 0 && (h.kind != NODE_SEGMENTS ||
					h.first != img->segs.count ||
					h.image_id != img->image_id ||
					h.count != MIN(left, IMG_FANOUT)))
				rc = -EUCLEAN;
			for (u32 k = 0; rc == 0 && k < h.count; k++)
				segtable_decode(&img->segs, img->segs.count,
						s->generation, careful,
						buf + 64 + (size_t)16 * k);
		}
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int
load_segments(struct image *img, bool careful, struct err *e)
{
	const struct super *s = &img->super;
	int rc = 0;

	if (s->segment_count >= img->limits.segments_max)
		return err_set(e, -EFBIG, "'%s' has too many segments",
			       img->path);
	for (u32 x = 0; rc == 0 && x < s->table_extents; x++)
		rc = load_extent(img, &s->table[x], careful);
	if (rc != 0)
		return err_errno(e, rc, "the segment table of '%s' is damaged",
				 img->path);
	assert(img->segs.count == s->segment_count);
	return 0;
}

static int
load_snapshots(struct image *img, struct err *e)
{
	const struct super *s = &img->super;
	bool found = s->head_parent == 0;
	int rc = 0;

	for (u32 n = 0; rc == 0 && n < s->snap_nodes; n++) {
		u32 first = n * IMG_SNAPS_PER_NODE;
		u32 count = MIN(s->snap_count - first, IMG_SNAPS_PER_NODE);
		u8 *buf = img->level[0];

		rc = read_table_node(img,
				     s->snap_at + (u64)n * IMG_BLOCK_SECTORS,
				     NODE_SNAPSHOTS, first, count, buf);
		for (u32 i = 0; rc == 0 && i < count; i++) {
			struct snap *snap = &img->snap[img->snaps];

			rc = snap_decode(snap, buf + 64 + 128 * (size_t)i);
			if (rc == 0 && img->snaps != 0 &&
			    snap->id <= snap[-1].id)
				rc = -EUCLEAN;
			if (rc == 0 &&
			    !image_place_ok(img, snap->root.place, false))
				rc = -EUCLEAN;
			if (rc == 0 && snap->id == s->head_parent) {
				img->parent_generation = snap->generation;
				found = true;
			}
			img->snaps += rc == 0;
		}
	}
	if (rc == 0 && !found)
		rc = -EUCLEAN;
	if (rc != 0)
		return err_errno(e, rc, "the snapshot table of '%s' is damaged",
				 img->path);
	return 0;
}

/* --- the chain --------------------------------------------------------- */

struct walk {
	struct logpos pos;
	u64 durable; /* the greatest seen */
	struct recordhead h;
	u64 records;
	/* what nodebuf holds of the file; more each time, while records are
	 * close to each other */
	u64 win_off;
	u32 win_bytes, win_next;
};

static int
read_record(struct image *img, struct walk *w, u64 off, u8 *buf)
{
	u64 end = ALIGN_DOWN(off - IMG_DATA_OFF, BIT(img->seg_shift)) +
		  IMG_DATA_OFF + BIT(img->seg_shift);
	int rc;

	if (!range_within(off, IMG_BLOCK, w->win_off, w->win_bytes)) {
		w->win_next = w->h.batch_bytes > WINDOW_SPARSE
				  ? IMG_BLOCK
				  : MIN(w->win_next * 2, NODEBUF_BYTES);
		w->win_off = off;
		w->win_bytes = (u32)MIN(w->win_next, end - off);
		rc = imgio_read(img->io, off, img->nodebuf, w->win_bytes);
		if (rc != 0) {
			w->win_bytes = 0;
			return rc;
		}
	}
	memcpy(buf, img->nodebuf + (off - w->win_off), IMG_BLOCK);
	return 0;
}

/* Is the next record at this place? Its bytes are in buf then. */
static int
try_record(struct image *img, struct walk *w, u32 seg, u32 off, u8 *buf)
{
	u64 at = at_of(img, seg, off);
	u32 seg_bytes = 1U << img->seg_shift;
	int rc;

	if (off + IMG_BLOCK > seg_bytes)
		return -ENOENT;
	rc = read_record(img, w, at * IMG_SECTOR, buf);
	if (rc != 0)
		return rc;
	rc = record_decode(&w->h, buf, at, img->blocks);
	if (rc != 0)
		return -ENOENT;
	if (w->h.image_id != img->image_id || w->h.seq != w->pos.seq ||
	    w->h.prev != w->pos.prev || w->h.durable >= w->h.seq ||
	    w->h.batch_bytes > seg_bytes - off ||
	    w->h.next_segment >= img->limits.segments_max ||
	    w->h.next_segment == seg)
		return -ENOENT;
	w->pos = (struct logpos){
	    .seg = seg,
	    .off = off + w->h.batch_bytes,
	    .next = w->h.next_segment,
	    .seq = w->h.seq + 1,
	    .prev = w->h.sum,
	};
	return 0;
}

static int
next_record(struct image *img, struct walk *w, u8 *buf)
{
	int rc = try_record(img, w, w->pos.seg, w->pos.off, buf);

	if (rc == -ENOENT)
		rc = try_record(img, w, w->pos.next, 0, buf);
	return rc;
}

static void
begin_walk(struct image *img, struct walk *w)
{
	const struct super *s = &img->super;

	*w = (struct walk){
	    .pos = {.seg = s->log_segment,
		    .off = s->log_off,
		    .next = s->log_next,
		    .seq = s->log_seq,
		    .prev = s->log_prev},
	    .durable = s->log_seq - 1,
	    .win_next = IMG_BLOCK,
	};
}

/* Does one run compare with its checksums? data: its bytes. */
static bool
run_holds(struct image *img, const struct run *r, const u64 *sums,
	  const u8 *data)
{
	u8 *plain = img->plain;

	if (r->kind == PLACE_LZ4) {
		if (lz4_run_unpack(plain, r->count, data, r->sectors) != 0)
			return false;
		data = plain;
	}
	for (u32 i = 0; i < r->count; i++)
		if (checksum64(data + (size_t)i * IMG_BLOCK, IMG_BLOCK,
			       r->block + i) != sums[i])
			return false;
	return true;
}

/* Do all data of the record compare? 0, 1 yes, or -errno. */
static int
data_holds(struct image *img, const struct walk *w, const u8 *rec)
{
	u32 size_bytes = w->h.batch_bytes - IMG_BLOCK, sum = 0;
	u8 *data = img->batch[0].buf;
	u64 sector = 0;
	int rc;

	/* At most what a batch of ours has: or nobody wrote it. */
	if (w->h.batch_bytes > BATCH_BYTES)
		return 0;
	rc = size_bytes == 0
		 ? 0
		 : imgio_read(img->io, w->h.at * IMG_SECTOR + IMG_BLOCK, data,
			      size_bytes);
	for (u32 i = 0; rc == 0 && i < w->h.runs; i++) {
		struct run r = record_run(rec, i);
		u64 sums[IMG_RECORD_ROOM / 8];

		if (r.kind == PLACE_ZERO)
			continue;
		sector = run_begin(sector, r.kind);
		for (u32 k = 0; k < r.count; k++)
			sums[k] = record_sum(rec, w->h.runs, sum + k);
		if (!run_holds(img, &r, sums, data + sector * IMG_SECTOR))
			return 0;
		sector += r.sectors;
		sum += r.count;
	}
	return rc != 0 ? rc : 1;
}

static int
make_room(struct image *img, u32 blocks)
{
	struct mapdelta *d = active_delta(img);
	int rc = 0;

	while (rc == 0 && !mapdelta_has_room(d, blocks))
		rc = d->max / GROWTH_MAX / 2 < img->limits.delta_blocks
			 ? mapdelta_grow(d)
			 : -EFBIG;
	return rc;
}

static int
apply(struct image *img, const struct walk *w, const u8 *rec)
    REQUIRES(img->lock)
{
	u64 sector = w->h.at + IMG_BLOCK_SECTORS;
	u32 sum = 0;
	int rc = 0;

	for (u32 i = 0; rc == 0 && i < w->h.runs; i++) {
		struct run r = record_run(rec, i);

		rc = make_room(img, r.kind == PLACE_ZERO
					? DELTA_SMALL
					: MAX(r.count, DELTA_SMALL));
		if (rc != 0)
			break;
		if (r.kind == PLACE_ZERO) {
			mapdelta_zero(active_delta(img), r.block, r.count);
			continue;
		}
		sector = run_begin(sector, r.kind);
		for (u32 k = 0; k < r.count; k++) {
			u64 place =
			    r.kind == PLACE_RAW
				? place_raw(sector + (u64)k * 8)
				: place_lz4(sector, r.sectors, k, r.count);

			mapdelta_put(
			    active_delta(img), r.block + k,
			    (struct mapentry){place, record_sum(rec, w->h.runs,
								sum + k)});
		}
		sector += r.sectors;
		sum += r.count;
	}
	segtable_enter(&img->segs, seg_of_at(img, w->h.at), img->interval);
	segtable_enter(&img->segs, w->h.next_segment, img->interval);
	img->log_bytes += w->h.batch_bytes;
	return rc;
}

static int
replay(struct image *img)
{
	struct walk scan, w, before;
	u8 *rec = img->level[0];
	int rc = 0, good = 1;

	begin_walk(img, &scan);
	while ((rc = next_record(img, &scan, rec)) == 0)
		scan.durable = MAX(scan.durable, scan.h.durable);
	if (rc != -ENOENT)
		return rc;
	begin_walk(img, &w);
	for (;;) {
		before = w;
		rc = next_record(img, &w, rec);
		if (rc != 0)
			break;
		if (w.h.seq > scan.durable)
			good = data_holds(img, &w, rec);
		if (good <= 0) {
			rc = good;
			w = before;
			break;
		}
		lock_acquire(&img->lock);
		rc = apply(img, &w, rec);
		lock_release(&img->lock);
		if (rc != 0)
			return rc;
		w.records++;
	}
	if (rc != 0 && rc != -ENOENT)
		return rc;
	img->log = w.pos;
	img->stats.replayed = w.records;
	return 0;
}

int
image_load(struct image *img, struct err *e)
{
	bool careful;
	int rc = choose(img, &careful, e);

	if (rc != 0)
		return rc;
	img->image_id = super_image_id(&img->super);
	img->seg_shift = img->super.segment_shift;
	img->codec = img->super.codec;
	img->blocks = blocks_of(img->super.sectors);
	img->interval = img->super.generation + 1;
	rc = load_segments(img, careful, e);
	if (rc == 0)
		rc = load_snapshots(img, e);
	if (rc != 0)
		return rc;
	lock_acquire(&img->lock);
	segtable_enter(&img->segs, img->super.log_segment, img->interval);
	segtable_enter(&img->segs, img->super.log_next, img->interval);
	lock_release(&img->lock);
	img->node_seg = img->super.node_segment;
	img->node_off = careful ? 1U << img->seg_shift : img->super.node_off;
	rc = replay(img);
	if (rc == -EFBIG)
		return err_set(e, rc, "the log of '%s' is too long", img->path);
	if (rc != 0)
		return err_errno(e, rc, "cannot read the log of '%s'",
				 img->path);
	img->sealed_seq = img->durable_seq = img->log.seq - 1;
	return 0;
}
