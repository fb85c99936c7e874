/* SPDX-License-Identifier: BSD-2-Clause */
/* Checkpoints: new nodes, the tables, flush, the other superblock, flush. */
#include "hdd/image_int.h"

#include <errno.h>

/* What a checkpoint writes down. */
struct plan {
	u64 generation;
	struct logpos pos;
	struct mapentry root;
	struct super super; /* the next one */
};

/* --- where nodes go ---------------------------------------------------- */

static int
write_nodes(struct image *img) REQUIRES(img->work_lock)
{
	int rc = 0;

	if (img->nodebuf_used != 0)
		rc = imgio_write(img->io, img->nodebuf_off, img->nodebuf,
				 img->nodebuf_used);
	img->nodebuf_used = 0;
	return rc;
}

/* Prepared segments are the log's, unless there are many. */
static int
next_node_segment(struct image *img) REQUIRES(img->work_lock)
{
	u32 seg;

	lock_acquire(&img->lock);
	if (img->segs.free_written > img->limits.reserve)
		seg = segtable_take(&img->segs, img->interval);
	else
		seg = segtable_take_hole(&img->segs, img->interval);
	if (seg == SEG_NONE)
		seg = segtable_take(&img->segs, img->interval);
	if (seg != SEG_NONE) {
		img->segs.seg[img->node_seg].written = true;
		img->segs.seg[seg].nodes = true;
		img->segs.seg[seg].birth = img->commit_generation;
	}
	lock_release(&img->lock);
	if (seg == SEG_NONE)
		return -ENOSPC;
	img->node_seg = seg;
	img->node_off = 0;
	return 0;
}

int
commit_alloc(struct image *img, u64 *at)
{
	bool fresh;
	int rc = 0;

	if (img->node_off + IMG_BLOCK > 1U << img->seg_shift)
		rc = next_node_segment(img);
	if (rc != 0)
		return rc;
	*at = at_of(img, img->node_seg, img->node_off);
	img->node_off += IMG_BLOCK;
	lock_acquire(&img->lock);
	fresh = img->segs.seg[img->node_seg].state != SEG_USED;
	segtable_enter(&img->segs, img->node_seg, img->interval); /* pins */
	if (fresh)
		img->segs.seg[img->node_seg].birth = img->commit_generation;
	segtable_retain(&img->segs, img->node_seg);
	lock_release(&img->lock);
	return 0;
}

int
commit_node(struct image *img, u64 at, const u8 *node)
{
	int rc = 0;

	if (img->nodebuf_used == NODEBUF_BYTES ||
	    (img->nodebuf_used != 0 &&
	     at * IMG_SECTOR != img->nodebuf_off + img->nodebuf_used))
		rc = write_nodes(img);
	if (img->nodebuf_used == 0)
		img->nodebuf_off = at * IMG_SECTOR;
	memcpy(img->nodebuf + img->nodebuf_used, node, IMG_BLOCK);
	img->nodebuf_used += IMG_BLOCK;
	return rc;
}

void
commit_retain(struct image *img, u64 at)
{
	lock_acquire(&img->lock);
	segtable_retain(&img->segs, seg_of_at(img, at));
	lock_release(&img->lock);
}

void
commit_drop_hard(struct image *img, u64 at)
{
	u32 seg = seg_of_at(img, at);

	lock_acquire(&img->lock);
	if (seg < img->segs.count)
		segtable_drop(&img->segs, seg);
	lock_release(&img->lock);
}

bool
commit_is_shared(struct image *img, u64 at)
{
	u32 seg = seg_of_at(img, at);
	bool shared;

	lock_acquire(&img->lock);
	shared = seg < img->segs.count &&
		 img->segs.seg[seg].birth <= img->parent_generation;
	lock_release(&img->lock);
	return shared;
}

void
commit_drop(struct image *img, u64 at)
{
	if (!commit_is_shared(img, at))
		commit_drop_hard(img, at);
}

/* --- the tables -------------------------------------------------------- */

static void
drop_nodes(struct image *img, u64 at, u32 nodes) REQUIRES(img->work_lock)
{
	for (u32 i = 0; i < nodes; i++)
		commit_drop_hard(img, at + (u64)i * IMG_BLOCK_SECTORS);
}

/* All of the nodes lie side by side in one segment. */
static int
write_snapshots(struct image *img, struct super *s) REQUIRES(img->work_lock)
{
	u32 snaps = img->next_snaps;
	u32 nodes = (snaps + IMG_SNAPS_PER_NODE - 1) / IMG_SNAPS_PER_NODE;
	u32 left = (1U << img->seg_shift) - img->node_off;
	u8 *buf = img->level[0];
	int rc = 0;

	if (!img->snaps_dirty)
		return 0;
	drop_nodes(img, s->snap_at, s->snap_nodes);
	s->snap_at = 0;
	s->snap_nodes = nodes;
	s->snap_count = snaps;
	if (left < nodes * IMG_BLOCK)
		rc = next_node_segment(img);
	for (u32 n = 0; rc == 0 && n < nodes; n++) {
		u32 first = n * IMG_SNAPS_PER_NODE;
		struct nodehead h = {
		    .kind = NODE_SNAPSHOTS,
		    .count = (u16)MIN(snaps - first, IMG_SNAPS_PER_NODE),
		    .image_id = img->image_id,
		    .generation = s->generation,
		    .first = first,
		};

		memset(buf, 0, IMG_BLOCK);
		for (u32 i = 0; i < h.count; i++)
			snap_encode(&img->next_snap[first + i],
				    buf + 64 + 128 * (size_t)i);
		rc = commit_alloc(img, &h.at);
		if (rc != 0)
			break;
		if (n == 0)
			s->snap_at = h.at;
		node_seal(buf, &h);
		rc = commit_node(img, h.at, buf);
	}
	return rc;
}

/* One more node of the segment table, next to the last one if it can be. */
static int
add_table_node(struct image *img, struct super *s) REQUIRES(img->work_lock)
{
	struct imgextent *x = &s->table[s->table_extents];
	u64 at;
	int rc = commit_alloc(img, &at);

	if (rc != 0)
		return rc;
	if (s->table_extents != 0 &&
	    at == x[-1].at + (u64)x[-1].nodes * IMG_BLOCK_SECTORS &&
	    seg_of_at(img, at) == seg_of_at(img, x[-1].at)) {
		x[-1].nodes++;
		return 0;
	}
	if (s->table_extents == IMG_EXTENTS_MAX)
		return -EFBIG;
	*x = (struct imgextent){at, 1};
	s->table_extents++;
	return 0;
}

/* The places first, until there is one for every segment, their own included;
 * then nothing changes refs any more. */
static int
place_table(struct image *img, struct super *s) REQUIRES(img->work_lock)
{
	u32 nodes = 0;

	for (u32 i = 0; i < s->table_extents; i++)
		drop_nodes(img, s->table[i].at, s->table[i].nodes);
	memset(s->table, 0, sizeof(s->table));
	s->table_extents = 0;
	for (;;) {
		u32 want;
		int rc;

		lock_acquire(&img->lock);
		s->segment_count = img->segs.count;
		lock_release(&img->lock);
		want = (s->segment_count + IMG_FANOUT - 1) / IMG_FANOUT;
		if (nodes == want)
			return 0;
		assert(nodes < want);
		rc = add_table_node(img, s);
		if (rc != 0)
			return rc;
		nodes++;
	}
}

static int
write_table(struct image *img, struct super *s) REQUIRES(img->work_lock)
{
	u8 *buf = img->level[0];
	u32 first = 0;
	int rc = place_table(img, s);

	for (u32 x = 0; rc == 0 && x < s->table_extents; x++) {
		for (u32 n = 0; rc == 0 && n < s->table[x].nodes; n++) {
			struct nodehead h = {
			    .kind = NODE_SEGMENTS,
			    .count =
				(u16)MIN(s->segment_count - first, IMG_FANOUT),
			    .image_id = img->image_id,
			    .generation = s->generation,
			    .at = s->table[x].at + (u64)n * IMG_BLOCK_SECTORS,
			    .first = first,
			};

			memset(buf, 0, IMG_BLOCK);
			lock_acquire(&img->lock);
			for (u32 i = 0; i < h.count; i++)
				segtable_encode(&img->segs, first + i,
						s->generation,
						node_entry(buf, i));
			lock_release(&img->lock);
			node_seal(buf, &h);
			rc = commit_node(img, h.at, buf);
			first += h.count;
		}
	}
	return rc != 0 ? rc : write_nodes(img);
}

/* --- superblocks ------------------------------------------------------- */

/* The slot of the last durable one is never written to (disk-rules 11). */
static int
write_super(struct image *img, struct super *s) REQUIRES(img->work_lock)
{
	u8 *buf = img->level[0];
	int rc;

	s->own_off = s->own_off == IMG_SUPER_A ? IMG_SUPER_B : IMG_SUPER_A;
	super_encode(s, buf);
	rc = imgio_write(img->io, s->own_off, buf, IMG_BLOCK);
	return rc != 0 ? rc : imgio_flush(img->io);
}

/* Nodes and data are at the host. *broken: a flush failed. */
static int
make_durable(struct image *img, struct plan *p, bool twice, bool *broken)
    REQUIRES(img->work_lock)
{
	int rc = imgio_flush(img->io);

	if (rc == 0)
		rc = write_super(img, &p->super);
	if (rc == 0 && twice) {
		lock_acquire(&img->lock);
		img->super.own_off = p->super.own_off; /* the one to keep */
		lock_release(&img->lock);
		p->super.generation++;
		rc = write_super(img, &p->super);
	}
	*broken = rc != 0;
	return rc;
}

static int
write_all(struct image *img, struct plan *p, const struct commit *c,
	  bool *broken) REQUIRES(img->work_lock)
{
	struct super *s = &p->super;
	int rc;

	*broken = false;
	rc = snaps_prepare(img, c, s, p->root, p->generation);
	if (rc == 0)
		rc = write_snapshots(img, s);
	if (rc == 0)
		rc = write_table(img, s);
	if (rc != 0)
		return rc;
	/* What comes must not look as if the snapshot had it, too. */
	if (c->snap_name)
		img->node_off = 1U << img->seg_shift;
	s->root = p->root;
	s->log_segment = p->pos.seg;
	s->log_off = p->pos.off;
	s->log_next = p->pos.next;
	s->log_seq = p->pos.seq;
	s->log_prev = p->pos.prev;
	s->node_segment = img->node_seg;
	s->node_off = img->node_off;
	return make_durable(img, p, c->twice, broken);
}

/* The new map in one step; then segments, once nobody looks at them. With
 * writers held off nobody is waited for, and nothing is freed: the next
 * checkpoint does. */
static void
take_over(struct image *img, const struct plan *p, bool stopped)
    REQUIRES(img->work_lock)
{
	u64 generation = 0; /* frees nothing */
	u32 keep[3];

	lock_acquire(&img->lock);
	img->super = p->super;
	if (stopped)
		mapdelta_clear(active_delta(img));
	mapdelta_clear(frozen_delta(img));
	img->frozen = false;
	img->touches = 0;
	if (img->snaps_dirty) {
		struct snap *old = img->snap;

		img->snap = img->next_snap;
		img->snaps = img->next_snaps;
		img->next_snap = old;
		img->snaps_dirty = false;
	}
	img->parent_generation = snap_generation(img, img->super.head_parent);
	img->commit_rc = 0;
	img->durable_seq = MAX(img->durable_seq, p->pos.seq - 1);
	img->stats.checkpoints++;
	lock_release(&img->lock);
	if (!stopped && image_wait_readers(img))
		generation = p->super.generation;
	lock_acquire(&img->lock);
	keep[0] = img->log.seg;
	keep[1] = img->log.next;
	keep[2] = img->node_seg;
	segtable_commit(&img->segs, generation, keep, ARRAY_SIZE(keep));
	cond_wake_all(&img->changed);
	lock_release(&img->lock);
}

static void
give_up(struct image *img, int rc) REQUIRES(img->work_lock)
{
	img->nodebuf_used = 0;
	/* Nodes of an unknown state are not added to. */
	img->node_off = 1U << img->seg_shift;
	lock_acquire(&img->lock);
	segtable_abort(&img->segs);
	img->commit_rc = rc;
	img->snaps_dirty = false;
	cond_wake_all(&img->changed);
	lock_release(&img->lock);
}

/* --- a checkpoint ------------------------------------------------------ */

static void
begin_plan(struct image *img, struct plan *p, bool twice)
    REQUIRES(img->work_lock, img->wlock, img->lock)
{
	p->generation = img->interval;
	img->interval += twice ? 2 : 1;
	p->pos = img->log;
	p->super = img->super;
	p->root = img->super.root;
	p->super.generation = img->commit_generation = p->generation;
	img->log_bytes = 0;
}

static int
merge(struct image *img, const struct mapdelta *d, struct plan *p)
    REQUIRES(img->work_lock)
{
	return map_merge(img, d, &p->root, p->super.map_levels,
			 blocks_of(p->super.sectors));
}

/* The map of a stopped checkpoint. */
static int
new_map(struct image *img, const struct commit *c, struct plan *p)
    REQUIRES(img->work_lock)
{
	struct super *s = &p->super;
	int rc = 0;

	if (c->new_head) {
		if (c->drop_old)
			rc = map_drop(img, p->root, s->map_levels - 1, 0);
		p->root = c->change.root;
		s->map_levels = c->change.map_levels;
		s->sectors = c->change.sectors;
		s->head_parent = c->change.head_parent;
		return rc;
	}
	if (img->frozen)
		rc = merge(img, frozen_delta(img), p);
	if (rc == 0)
		rc = merge(img, active_delta(img), p);
	if (rc == 0 && c->sectors != 0) {
		s->sectors = c->sectors;
		rc = map_resize(img, &p->root, &s->map_levels,
				map_levels_for(blocks_of(c->sectors)));
	}
	return rc;
}

int
image_commit_stopped(struct image *img, const struct commit *c)
{
	struct plan p;
	bool broken = false;
	int rc = log_write_all(img);

	if (rc != 0)
		return rc;
	lock_acquire(&img->lock);
	begin_plan(img, &p, c->twice);
	lock_release(&img->lock);
	/* A snapshot's successor begins in segments that are younger; what
	 * another head writes must not follow on what the old one wrote. */
	if (c->snap_name || c->new_head)
		rc = log_move(img, c->new_head);
	p.pos = img->log;
	if (rc == 0)
		rc = new_map(img, c, &p);
	if (rc == 0)
		rc = write_all(img, &p, c, &broken);
	if (rc == 0) {
		take_over(img, &p, true);
		return 0;
	}
	give_up(img, rc);
	if (broken && c->recovering)
		img->dead = rc;
	if (broken)
		image_fail_locked(img, rc);
	return rc;
}

/* Batches that the frozen delta is about are at the host, or one failed. */
static int
wait_written(struct image *img, u64 seq) REQUIRES(img->work_lock)
{
	int rc;

	lock_acquire(&img->lock);
	for (;;) {
		u64 first = UINT64_MAX;

		for (u32 i = 0; i < img->limits.batches; i++)
			if (img->batch[i].state == BATCH_SEALED ||
			    img->batch[i].state == BATCH_WRITING)
				first = MIN(first, img->batch[i].seq);
		rc = img->failed;
		if (rc != 0 || first >= seq)
			break;
		cond_wait(&img->changed, &img->lock);
	}
	lock_release(&img->lock);
	return rc;
}

void
image_wait_idle(struct image *img)
{
	for (;;) {
		bool busy = img->flushing;

		for (u32 i = 0; i < img->limits.batches; i++)
			busy |= img->batch[i].state == BATCH_WRITING;
		if (!busy)
			break;
		cond_wait(&img->changed, &img->lock);
	}
}

/* Nothing is on its way to the host, and nothing sets out: then wlock may be
 * held while the host is waited for, though threads of the pool want it. */
void
image_hold(struct image *img)
{
	lock_acquire(&img->lock);
	img->holding = true;
	image_wait_idle(img);
	lock_release(&img->lock);
	lock_acquire(&img->wlock);
}

void
image_let_go(struct image *img)
{
	lock_acquire(&img->lock);
	img->holding = false;
	lock_release(&img->lock);
	lock_release(&img->wlock);
	image_kick(img);
	flush_try(img);
	/* Batches may be free that nobody waited for. Without a thread nobody
	 * ever waits, and the work's lock is ours. */
	if (img->limits.thread)
		image_pump(img);
}

int
image_commit_held(struct image *img, const struct commit *c)
{
	int rc;

	image_hold(img);
	rc = image_commit_stopped(img, c);
	image_let_go(img);
	return rc;
}

int
image_commit(struct image *img, const struct commit *c)
{
	static const struct commit plain;
	struct plan p;
	bool frozen, broken = false;
	int rc;

	c = c ? c : &plain;
	assert(!c->snap_name && !c->new_head && !c->twice && !c->sectors);

	lock_acquire(&img->lock);
	frozen = img->frozen;
	rc = img->failed;
	lock_release(&img->lock);
	if (rc != 0)
		return rc;
	if (frozen) /* what an earlier one could not finish is taken up */
		return image_commit_held(img, c);
	lock_acquire(&img->wlock);
	log_seal(img);
	lock_acquire(&img->lock);
	begin_plan(img, &p, false);
	img->active = !img->active;
	img->frozen = true;
	assert(mapdelta_empty(active_delta(img)));
	lock_release(&img->lock);
	lock_release(&img->wlock);
	image_kick(img);

	rc = wait_written(img, p.pos.seq);
	if (rc == 0)
		rc = merge(img, frozen_delta(img), &p);
	if (rc == 0)
		rc = write_all(img, &p, c, &broken);
	if (rc == 0) {
		take_over(img, &p, false);
		flush_try(img);
		return 0;
	}
	give_up(img, rc);
	if (broken)
		image_fail(img, rc);
	return rc;
}
