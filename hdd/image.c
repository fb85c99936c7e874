/* SPDX-License-Identifier: BSD-2-Clause */
#include "hdd/image.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/range.h"
#include "hdd/image_int.h"

#define PREPARED 8U /* segments of a new image */

const struct image_limits image_default_limits = {
    .batches = 4,
    .rops = 32,
    .nodes = 5120,
    .delta_blocks = 196608,
    .delta_trigger = 131072,
    .ranges = 1024,
    .log_trigger_bytes = 320U << 20,
    .close_log_bytes = 4U << 20,
    .segments_max = IMG_SEGMENTS_MAX,
    .reserve = PREPARED,
    .slack = 16,
    .thread = true,
};

/* --- making one -------------------------------------------------------- */

/* Segments 0 and 1 are the log's, 2 has the segment table. */
static void
first_table(u8 *buf, const struct super *s)
{
	struct nodehead h = {
	    .kind = NODE_SEGMENTS,
	    .count = (u16)s->segment_count,
	    .image_id = super_image_id(s),
	    .generation = 1,
	    .at = s->table[0].at,
	};
	struct seg seg[IMG_FANOUT];
	struct segtable t = {.seg = seg, .count = s->segment_count};

	assert(s->segment_count <= IMG_FANOUT);
	memset(buf, 0, IMG_BLOCK);
	for (u32 i = 0; i < s->segment_count; i++) {
		seg[i] = (struct seg){.state = SEG_FREE, .written = true};
		if (i == 2)
			seg[i] = (struct seg){.state = SEG_USED,
					      .next_refs = 1,
					      .birth = 1};
		segtable_encode(&t, i, 1, node_entry(buf, i));
	}
	node_seal(buf, &h);
}

static int
write_zeros(struct imgio *io, u64 off, u64 size_bytes)
{
	u8 *zeros = aligned_alloc(IMG_BLOCK, 1U << 20);
	int rc = zeros ? 0 : -ENOMEM;

	if (zeros)
		memset(zeros, 0, 1U << 20);
	for (; rc == 0 && size_bytes != 0; off += 1U << 20) {
		rc = imgio_write(io, off, zeros, 1U << 20);
		size_bytes -= 1U << 20;
	}
	free(zeros);
	return rc;
}

static int
write_first(struct imgio *io, struct super *s, u8 *buf)
{
	int rc;

	first_table(buf, s);
	rc = imgio_write(io, s->table[0].at * IMG_SECTOR, buf, IMG_BLOCK);
	if (rc == 0)
		rc = imgio_flush(io);
	for (int i = 0; rc == 0 && i < 2; i++) {
		s->own_off = i == 0 ? IMG_SUPER_A : IMG_SUPER_B;
		s->generation = 1 + (u64)i;
		super_encode(s, buf);
		rc = imgio_write(io, s->own_off, buf, IMG_BLOCK);
		if (rc == 0)
			rc = imgio_flush(io);
	}
	return rc;
}

static int
check_options(const struct image_create_options *o, struct err *e)
{
	u32 bytes = o->segment_bytes;

	if (o->sectors == 0 || o->sectors > IMG_SECTORS_MAX)
		return err_set(e, -EINVAL,
			       "a disk has 1 to 2^48 sectors, not %llu",
			       (unsigned long long)o->sectors);
	if (bytes != 0 && bytes != 1U << 20 && bytes != 1U << 21 &&
	    bytes != 1U << 22)
		return err_set(e, -EINVAL,
			       "a segment has 1, 2 or 4 MiB, not %u bytes",
			       bytes);
	return 0;
}

int
image_create_io(struct imgio *io, const struct image_create_options *o,
		const u8 *uuid, u32 prepared, struct err *e)
{
	u32 bytes = o->segment_bytes != 0 ? o->segment_bytes : 2U << 20;
	u32 shift = (u32)__builtin_ctz(bytes);
	u8 *buf = aligned_alloc(IMG_BLOCK, IMG_BLOCK);
	struct super s = {
	    .segment_shift = shift,
	    .sectors = o->sectors,
	    .segment_count = MAX(prepared, 3U),
	    .codec = o->plain ? IMG_CODEC_NONE : IMG_CODEC_LZ4,
	    .snap_next = 1,
	    .log_next = 1,
	    .log_seq = 1,
	    .node_segment = 2,
	    .node_off = IMG_BLOCK,
	    .table_extents = 1,
	    .table = {{seg_off(2, shift) / IMG_SECTOR, 1}},
	};
	int rc = check_options(o, e);

	if (rc == 0 && !buf)
		rc = err_set(e, -ENOMEM, "no memory for an image");
	if (rc != 0)
		goto out;
	s.map_levels = map_levels_for(blocks_of(o->sectors));
	memcpy(s.uuid, uuid, sizeof(s.uuid));
	s.log_prev = checksum64(uuid, sizeof(s.uuid), 1);
	rc = write_zeros(io, IMG_DATA_OFF, (u64)prepared << shift);
	if (rc == 0)
		rc = write_first(io, &s, buf);
	if (rc != 0)
		err_errno(e, rc, "cannot write the image");
out:
	free(buf);
	return rc;
}

int
image_create(const char *path, const struct image_create_options *o,
	     struct iopool *pool, struct err *e)
{
	struct imgio_options host = {
	    .host = {.create = true,
		     .exclusive = true,
		     .buffered = o->buffered,
		     .size_bytes = IMG_DATA_OFF},
	};
	struct imgio *io;
	u8 uuid[16];
	int rc = check_options(o, e);

	if (rc != 0)
		return rc;
	if (getrandom(uuid, sizeof(uuid), 0) != (ssize_t)sizeof(uuid))
		return err_set(e, -EIO, "the host has no random numbers");
	rc = imgio_open(&io, path, &host, pool, e);
	if (rc != 0)
		return rc;
	rc = image_create_io(io, o, uuid, PREPARED, e);
	io->ops->close(io);
	if (rc != 0)
		unlink(path);
	return rc;
}

/* --- opening ----------------------------------------------------------- */

static void
image_submit(struct store *s, struct store_req *const *reqs, unsigned count)
{
	struct image *img = image_of(s);

	for (unsigned i = 0; i < count; i++) {
		struct store_req *r = reqs[i];

		assert(r->op == STORE_FLUSH ||
		       range_inside(r->lba, r->count, s->sectors));
		if (r->op == STORE_READ) {
			image_read(img, r);
		} else if (s->read_only && r->op != STORE_FLUSH) {
			r->rc = -EROFS;
			r->bad_lba = r->lba;
			r->done(r);
		} else if (r->op == STORE_FLUSH) {
			image_flush_req(img, r);
		} else {
			image_write(img, r);
		}
	}
}

static const struct store_ops image_ops = {.submit = image_submit,
					   .recover = image_recover};

static int
init_batches(struct image *img)
{
	img->batch = calloc(img->limits.batches, sizeof(*img->batch));
	if (!img->batch)
		return -ENOMEM;
	for (u32 i = 0; i < img->limits.batches; i++) {
		struct batch *b = &img->batch[i];

		b->img = img;
		b->buf = aligned_alloc(IMG_BLOCK, BATCH_BYTES);
		if (!b->buf)
			return -ENOMEM;
		list_add_tail(&img->batch_free, &b->link);
	}
	return 0;
}

static int
init_buffers(struct image *img)
{
	bool ok = true;

	img->pack = malloc(LZ4_OUT_BYTES);
	img->rmw.buf = aligned_alloc(IMG_BLOCK, IMG_BLOCK);
	img->nodebuf = aligned_alloc(IMG_BLOCK, NODEBUF_BYTES);
	img->plain = aligned_alloc(IMG_BLOCK, LZ4_RUN_BYTES);
	img->touch = calloc(TOUCH_MAX, sizeof(*img->touch));
	img->move = calloc(MOVES_MAX, sizeof(*img->move));
	img->snap = calloc(IMG_SNAPSHOTS_MAX, sizeof(*img->snap));
	img->next_snap = calloc(IMG_SNAPSHOTS_MAX, sizeof(*img->snap));
	for (unsigned i = 0; i < ARRAY_SIZE(img->level); i++) {
		img->level[i] = aligned_alloc(IMG_BLOCK, IMG_BLOCK);
		ok &= img->level[i] != NULL;
	}
	ok &= img->pack && img->rmw.buf && img->nodebuf && img->plain &&
	      img->touch && img->move && img->snap && img->next_snap;
	return ok ? 0 : -ENOMEM;
}

static int
init_memory(struct image *img)
{
	const struct image_limits *l = &img->limits;
	int rc = init_batches(img);

	if (rc == 0)
		rc = init_buffers(img);
	if (rc == 0)
		rc = rops_init(img);
	if (rc == 0)
		rc = mapnodes_init(&img->nodes, l->nodes);
	if (rc == 0)
		rc = segtable_init(&img->segs, l->segments_max);
	for (int i = 0; rc == 0 && i < 2; i++)
		rc = mapdelta_init(&img->delta[i], l->delta_blocks, l->ranges);
	return rc;
}

static void
init_lists(struct image *img)
{
	lock_init(&img->work_lock);
	lock_init(&img->wlock);
	lock_init(&img->lock);
	cond_init(&img->changed);
	list_init(&img->wwait);
	list_init(&img->to_write);
	list_init(&img->held);
	list_init(&img->batch_free);
	list_init(&img->flush_wait);
	list_init(&img->rop_free);
	list_init(&img->read_wait);
	img->rmw.img = img;
}

/* What depends on what was opened: a log that was long has made a delta
 * larger; the other one stays as it is. */
static int
init_late(struct image *img)
{
	u32 most = MAX(img->delta[0].max, img->delta[1].max);

	if (img->store.read_only)
		return 0;
	img->sorted = calloc(most, sizeof(*img->sorted));
	img->cleanbuf = aligned_alloc(IMG_BLOCK, 1U << img->seg_shift);
	return img->sorted && img->cleanbuf ? 0 : -ENOMEM;
}

/* What was only in the host's page cache when its writer died may have been
 * read, and must not change any more (disk-rules 23). */
static int
settle(struct image *img, struct err *e)
{
	int rc = 0;

	if (!img->store.read_only || img->stats.replayed != 0)
		rc = imgio_flush(img->io);
	return rc == 0 ? 0 : err_errno(e, rc, "cannot flush '%s'", img->path);
}

int
image_open_io(struct image **out, struct imgio *io, const char *path,
	      bool read_only, const struct image_limits *limits, struct err *e)
{
	struct image *img = calloc(1, sizeof(*img));
	int rc;

	if (!img) {
		io->ops->close(io);
		return err_set(e, -ENOMEM, "no memory for an image");
	}
	img->io = io;
	img->limits = *limits;
	img->log_trigger_bytes = limits->log_trigger_bytes;
	init_lists(img);
	img->path = strdup(path);
	rc = img->path ? init_memory(img) : -ENOMEM;
	if (rc == 0 &&
	    getrandom(&img->salt, sizeof(img->salt), 0) != sizeof(img->salt))
		rc = -EIO;
	if (rc != 0)
		err_errno(e, rc, "cannot set up '%s'", path);
	if (rc == 0)
		rc = image_load(img, e);
	img->store = (struct store){
	    .ops = &image_ops,
	    .pool = io->pool,
	    .sectors = img->super.sectors,
	    .align_sectors = IMG_BLOCK_SECTORS,
	    .read_only = read_only,
	    .can_discard = !read_only,
	};
	if (rc == 0 && init_late(img) != 0)
		rc = err_set(e, -ENOMEM, "no memory for '%s'", path);
	if (rc == 0)
		rc = settle(img, e);
	if (rc == 0 && (rc = image_work_start(img)) != 0)
		err_errno(e, rc, "cannot start the thread of '%s'", path);
	if (rc != 0)
		image_drop(img);
	else
		*out = img;
	return rc;
}

int
image_open(struct image **out, const char *path, const struct image_options *o,
	   struct iopool *pool, struct err *e)
{
	struct imgio_options host = {
	    .host = {.read_only = o->read_only,
		     .shared = o->shared,
		     .buffered = o->buffered},
	    .faults = o->faults,
	};
	struct imgio *io;
	int rc = imgio_open(&io, path, &host, pool, e);

	if (rc != 0)
		return rc;
	return image_open_io(out, io, path, o->read_only, &image_default_limits,
			     e);
}

/* --- closing ----------------------------------------------------------- */

static void
release_memory(struct image *img)
{
	for (u32 i = 0; img->batch && i < img->limits.batches; i++)
		free(img->batch[i].buf);
	free(img->batch);
	free(img->pack);
	free(img->rmw.buf);
	free(img->nodebuf);
	free(img->cleanbuf);
	free(img->plain);
	free(img->touch);
	free(img->move);
	free(img->snap);
	free(img->next_snap);
	free(img->sorted);
	for (unsigned i = 0; i < ARRAY_SIZE(img->level); i++)
		free(img->level[i]);
	rops_release(img);
	mapnodes_release(&img->nodes);
	segtable_release(&img->segs);
	mapdelta_release(&img->delta[0]);
	mapdelta_release(&img->delta[1]);
	free(img->path);
}

void
image_drop(struct image *img)
{
	image_work_stop(img);
	img->io->ops->close(img->io);
	release_memory(img);
	cond_destroy(&img->changed);
	lock_destroy(&img->lock);
	lock_destroy(&img->wlock);
	lock_destroy(&img->work_lock);
	free(img);
}

/* A request of the engine's own that somebody waits for. */
struct waiter {
	struct store_req r;
	struct image *img;
	bool done;
};

static void
waiter_done(struct store_req *r)
{
	struct waiter *w = CONTAINER_OF(r, struct waiter, r);
	struct image *img = w->img;

	lock_acquire(&img->lock);
	w->done = true;
	cond_wake_all(&img->changed);
	lock_release(&img->lock);
}

int
image_do(struct image *img, enum store_op op, u64 lba, u32 count)
{
	struct waiter w = {
	    .r = {.op = op, .lba = lba, .count = count, .done = waiter_done},
	    .img = img};
	struct store_req *r = &w.r;

	assert(op == STORE_FLUSH || op == STORE_ZERO);
	image_submit(&img->store, &r, 1);
	lock_acquire(&img->lock);
	while (!w.done)
		cond_wait(&img->changed, &img->lock);
	lock_release(&img->lock);
	return w.r.rc;
}

int
image_flush(struct image *img)
{
	return image_do(img, STORE_FLUSH, 0, 0);
}

int
image_checkpoint(struct image *img)
{
	int rc;

	if (img->store.read_only)
		return -EROFS;
	lock_acquire(&img->work_lock);
	rc = image_commit(img, NULL);
	lock_release(&img->work_lock);
	return rc;
}

int
image_close(struct image *img, struct err *e)
{
	int rc = 0;

	if (!img)
		return 0;
	if (!img->store.read_only) {
		rc = image_flush(img);
		image_work_stop(img);
		if (rc == 0 && img->log_bytes > img->limits.close_log_bytes)
			rc = image_checkpoint(img);
		lock_acquire(&img->lock);
		image_wait_idle(img);
		lock_release(&img->lock);
	}
	if (rc != 0)
		err_errno(e, rc,
			  "the last flush of '%s' failed: what was written "
			  "since the one before may be lost",
			  img->path);
	image_drop(img);
	return rc;
}

struct store *
image_store(struct image *img)
{
	return &img->store;
}

void
image_info(struct image *img, struct image_info *info)
{
	struct seg_usage u;

	lock_acquire(&img->lock);
	segtable_usage(&img->segs, &u);
	*info = (struct image_info){
	    .sectors = img->super.sectors,
	    .generation = img->super.generation,
	    .segment_bytes = 1U << img->seg_shift,
	    .map_levels = img->super.map_levels,
	    .snapshots = img->snaps,
	    .file_bytes = img->io->ops->size_bytes(img->io),
	    .live_blocks = u.refs,
	    .segments = img->segs.count,
	    .segments_free = u.free + u.dying,
	    .segments_used = u.used,
	    .replayed_records = img->stats.replayed,
	    .checkpoints = img->stats.checkpoints,
	    .moved = img->stats.moved,
	    .batches = img->stats.batches,
	    .batch_bytes = img->stats.batch_bytes,
	    .host_flushes = img->stats.host_flushes,
	    .failed = img->failed != 0,
	};
	lock_release(&img->lock);
}
