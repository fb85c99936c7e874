/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads. A request is cut into pieces of at most ROP_BLOCKS blocks; for each a
 * read operation finds the entries of its blocks (a step at the host for each
 * node that is not in memory), then reads runs of neighbours at once, side by
 * side, and compressed runs one after the other; then everything is compared
 * with its checksum, and only then copied to the caller. */
#include "hdd/image_int.h"

#include <errno.h>
#include <stdlib.h>

#include "base/iov.h"

#define COMP_BYTES (LZ4_OUT_BYTES + 2 * IMG_BLOCK) /* and what aligns it */

enum rop_block_state { RB_WAIT, RB_READ, RB_GOOD, RB_BAD };

struct rop {
	struct list link;
	struct image *img;
	struct store_req *req;
	u32 first_sector; /* of the request */
	u64 block;	  /* the first */
	u32 skip, count;  /* sectors: of the first block left out, in all */
	u32 blocks, resolved, at_lz4;
	unsigned epoch, pending;
	int rc;
	u32 bad; /* the block that rc is about */
	struct mapentry e[ROP_BLOCKS];
	u8 state[ROP_BLOCKS];
	u8 *buf, *comp, *plain; /* ROP_BLOCKS; COMP_BYTES; LZ4_RUN_BYTES */
	struct {
		struct ioreq io;
		struct iovec iov;
		struct rop *rop;
		u32 first;
	} part[ROP_BLOCKS];
	struct ioreq *start[ROP_BLOCKS];
	/* the node that is being read */
	struct mapentry node;
	unsigned level;
	u64 node_first;
};

#define ROP_BYTES (ROP_BLOCKS * IMG_BLOCK + COMP_BYTES + LZ4_RUN_BYTES)

static_assert(ROP_BYTES % IMG_BLOCK == 0 || IMG_BLOCK % 512 == 0, "aligned");

int
rops_init(struct image *img)
{
	size_t each = ALIGN_UP((size_t)ROP_BYTES, IMG_BLOCK);

	img->rop = calloc(img->limits.rops, sizeof(*img->rop));
	img->rop_memory = aligned_alloc(IMG_BLOCK, img->limits.rops * each);
	if (!img->rop || !img->rop_memory)
		return -ENOMEM;
	for (u32 i = 0; i < img->limits.rops; i++) {
		struct rop *o = &img->rop[i];

		o->img = img;
		o->buf = img->rop_memory + i * each;
		o->plain = o->buf + ROP_BLOCKS * IMG_BLOCK;
		o->comp = o->plain + LZ4_RUN_BYTES;
		list_add_tail(&img->rop_free, &o->link);
	}
	return 0;
}

void
rops_release(struct image *img)
{
	free(img->rop);
	free(img->rop_memory);
}

static void
bad_block(struct rop *o, u32 i, int rc)
{
	o->state[i] = RB_BAD;
	if (o->rc == 0 || i < o->bad) {
		o->rc = rc;
		o->bad = i;
	}
}

/* --- the end ----------------------------------------------------------- */

static void start_more(struct image *img);

static void
copy_out(struct rop *o)
{
	iov_write(o->req->iov, o->req->iov_count,
		  (u64)o->first_sector * IMG_SECTOR,
		  o->buf + (size_t)o->skip * IMG_SECTOR,
		  (u64)o->count * IMG_SECTOR);
}

static u64
bad_lba(const struct rop *o)
{
	u64 lba = (o->block + o->bad) * IMG_BLOCK_SECTORS;

	return MAX(lba, o->req->lba + o->first_sector);
}

static void
rop_end(struct rop *o)
{
	struct image *img = o->img;
	struct store_req *r = o->req;
	bool last;

	if (o->rc == 0)
		copy_out(o);
	lock_acquire(&img->lock);
	if (o->rc != 0 && (r->rc == 0 || bad_lba(o) < r->bad_lba)) {
		r->rc = o->rc;
		r->bad_lba = bad_lba(o);
	}
	assert(img->readers[o->epoch] != 0 && r->io.size_bytes != 0);
	if (--img->readers[o->epoch] == 0)
		cond_wake_all(&img->changed);
	list_add_tail(&img->rop_free, &o->link);
	last = --r->io.size_bytes == 0 && r->io.off == r->count;
	lock_release(&img->lock);
	if (last)
		r->done(r);
	start_more(img);
}

/* --- data -------------------------------------------------------------- */

static void
check_block(struct rop *o, u32 i, const u8 *data)
{
	if (checksum64(data, IMG_BLOCK, o->block + i) != o->e[i].sum)
		bad_block(o, i, -EBADMSG);
	else
		o->state[i] = RB_GOOD;
}

/* Are blocks i and i + 1 of one compressed run, or neighbours at the host? */
static bool
goes_on(const struct rop *o, u32 i)
{
	u64 a = o->e[i].place, b;

	if (i + 1 >= o->blocks || o->state[i + 1] != RB_READ)
		return false;
	b = o->e[i + 1].place;
	if (place_type(a) != place_type(b))
		return false;
	if (place_type(a) == PLACE_RAW)
		return place_at(b) == place_at(a) + IMG_BLOCK_SECTORS;
	return place_at(a) == place_at(b);
}

static void
unpack_run(struct rop *o, u32 first, u32 count, const u8 *comp)
{
	u64 place = o->e[first].place;
	int rc = lz4_run_unpack(o->plain, place_run(place), comp,
				place_sectors(place));

	for (u32 i = first; i < first + count; i++) {
		u64 p = o->e[i].place;

		if (rc != 0 || place_run(p) != place_run(place) ||
		    place_sectors(p) != place_sectors(place)) {
			bad_block(o, i, -EBADMSG);
			continue;
		}
		memcpy(o->buf + (size_t)i * IMG_BLOCK,
		       o->plain + (size_t)place_index(p) * IMG_BLOCK,
		       IMG_BLOCK);
		check_block(o, i, o->buf + (size_t)i * IMG_BLOCK);
	}
}

static u32
run_length(const struct rop *o, u32 i)
{
	u32 n = 1;

	while (goes_on(o, i + n - 1))
		n++;
	return n;
}

static void next_lz4(struct rop *o);

static void
lz4_done(struct ioreq *io)
{
	struct rop *o = CONTAINER_OF(io, struct rop, part[0].io)->part[0].rop;
	u32 i = o->at_lz4, n = run_length(o, i);
	u64 at = place_at(o->e[i].place);

	if (io->rc != 0) {
		for (u32 k = i; k < i + n; k++)
			bad_block(o, k, io->rc);
	} else {
		unpack_run(o, i, n,
			   o->comp + at % IMG_BLOCK_SECTORS * IMG_SECTOR);
	}
	o->at_lz4 = i + n;
	next_lz4(o);
}

/* One compressed run after the other; then the end. */
static void
next_lz4(struct rop *o)
{
	struct ioreq *io = &o->part[0].io;
	u64 at, end;

	while (o->at_lz4 < o->blocks && o->state[o->at_lz4] != RB_READ)
		o->at_lz4++;
	if (o->at_lz4 == o->blocks) {
		rop_end(o);
		return;
	}
	at = place_at(o->e[o->at_lz4].place);
	end = ALIGN_UP(at + place_sectors(o->e[o->at_lz4].place),
		       IMG_BLOCK_SECTORS);
	at = ALIGN_DOWN(at, IMG_BLOCK_SECTORS);
	assert((end - at) * IMG_SECTOR <= COMP_BYTES);
	o->part[0].rop = o;
	o->part[0].iov = (struct iovec){o->comp, (end - at) * IMG_SECTOR};
	*io = (struct ioreq){
	    .op = IO_READ,
	    .off = at * IMG_SECTOR,
	    .size_bytes = (end - at) * IMG_SECTOR,
	    .iov = &o->part[0].iov,
	    .iov_count = 1,
	    .id = o->req->id,
	    .done = lz4_done,
	};
	imgio_submit(o->img->io, &io, 1);
}

static void
raw_end(struct rop *o)
{
	struct image *img = o->img;
	bool last;

	lock_acquire(&img->lock);
	last = --o->pending == 0;
	lock_release(&img->lock);
	if (last)
		next_lz4(o);
}

static void
raw_done(struct ioreq *io)
{
	typeof(((struct rop *)0)->part[0]) *p =
	    CONTAINER_OF(io, typeof(*p), io);
	struct rop *o = p->rop;
	u32 n = (u32)(io->size_bytes / IMG_BLOCK);

	/* Blocks of different parts are different: only rc needs the lock. */
	for (u32 i = p->first; i < p->first + n; i++) {
		bool good = io->rc == 0 &&
			    checksum64(o->buf + (size_t)i * IMG_BLOCK,
				       IMG_BLOCK, o->block + i) == o->e[i].sum;

		lock_acquire(&o->img->lock);
		if (good)
			o->state[i] = RB_GOOD;
		else
			bad_block(o, i, io->rc != 0 ? io->rc : -EBADMSG);
		lock_release(&o->img->lock);
	}
	raw_end(o);
}

/* All reads of what is not compressed, at once. */
static void
read_raw(struct rop *o)
{
	u32 parts = 0;

	for (u32 i = 0; i < o->blocks;) {
		u32 n = 1;

		if (o->state[i] != RB_READ ||
		    place_type(o->e[i].place) != PLACE_RAW) {
			i++;
			continue;
		}
		n = run_length(o, i);
		o->part[parts].rop = o;
		o->part[parts].first = i;
		o->part[parts].iov =
		    (struct iovec){o->buf + (size_t)i * IMG_BLOCK,
				   (size_t)n * IMG_BLOCK};
		o->part[parts].io = (struct ioreq){
		    .op = IO_READ,
		    .off = place_at(o->e[i].place) * IMG_SECTOR,
		    .size_bytes = (u64)n * IMG_BLOCK,
		    .iov = &o->part[parts].iov,
		    .iov_count = 1,
		    .id = o->req->id,
		    .done = raw_done,
		};
		o->start[parts] = &o->part[parts].io;
		parts++;
		i += n;
	}
	o->at_lz4 = 0;
	o->pending = parts + 1; /* ours, so that the end is not seen early */
	if (parts != 0)
		imgio_submit(o->img->io, o->start, parts);
	raw_end(o);
}

/* --- the map ----------------------------------------------------------- */

static void
zero_block(struct rop *o, u32 i)
{
	memset(o->buf + (size_t)i * IMG_BLOCK, 0, IMG_BLOCK);
	o->state[i] = RB_GOOD;
}

/* What is not at the host yet. The bytes are ours: nothing to compare. */
static void
from_memory(struct rop *o, u32 i, const u8 *data)
{
	if (place_type(o->e[i].place) == PLACE_RAW) {
		memcpy(o->buf + (size_t)i * IMG_BLOCK, data, IMG_BLOCK);
		o->state[i] = RB_GOOD;
		return;
	}
	unpack_run(o, i, 1, data);
}

static void
take_entry(struct rop *o, u32 i, struct mapentry e)
{
	o->e[i] = e;
	if (!place_stored(e.place))
		zero_block(o, i);
	else if (image_place_ok(o->img, e.place, true))
		o->state[i] = RB_READ;
	else
		bad_block(o, i, -EUCLEAN);
}

static bool
from_delta(struct image *img, struct rop *o, u32 i) REQUIRES(img->lock)
{
	struct mapentry e;
	const u8 *data;

	if (!mapdelta_get(active_delta(img), o->block + i, &e) &&
	    !(img->frozen && mapdelta_get(frozen_delta(img), o->block + i, &e)))
		return false;
	o->e[i] = e;
	data = place_stored(e.place) ? log_pending(img, e.place) : NULL;
	if (data)
		from_memory(o, i, data);
	else
		take_entry(o, i, e);
	return true;
}

/* Walks down as far as memory goes. True: there is an entry, or none can be;
 * false: the node that is missing is in o->node. */
static bool
from_map(struct image *img, struct rop *o, u32 i) REQUIRES(img->lock)
{
	u64 block = o->block + i, first = 0;
	struct mapentry e = img->super.root;

	for (unsigned level = img->super.map_levels; level-- > 0;) {
		u64 span = map_span(level);
		const u8 *node;

		if (!place_stored(e.place))
			break;
		if (!image_place_ok(img, e.place, false)) {
			bad_block(o, i, -EUCLEAN);
			return true;
		}
		node = mapnodes_find(&img->nodes, place_at(e.place), e.sum);
		if (!node) {
			o->node = e;
			o->level = level;
			o->node_first = first;
			return false;
		}
		e = node_get(node, (u32)((block - first) / span));
		first += (block - first) / span * span;
	}
	take_entry(o, i, e);
	return true;
}

bool
image_peek(struct image *img, u64 block, struct mapentry *e)
{
	u64 first = 0;

	if (mapdelta_get(active_delta(img), block, e) ||
	    (img->frozen && mapdelta_get(frozen_delta(img), block, e)))
		return true;
	*e = img->super.root;
	for (unsigned level = img->super.map_levels;
	     level-- > 0 && place_stored(e->place);) {
		u64 span = map_span(level);
		const u8 *node =
		    mapnodes_find(&img->nodes, place_at(e->place), e->sum);

		if (!node)
			return false;
		*e = node_get(node, (u32)((block - first) / span));
		first += (block - first) / span * span;
	}
	return true;
}

static void resolve(struct rop *o);

static void
node_done(struct ioreq *io)
{
	struct rop *o = CONTAINER_OF(io, struct rop, part[0].io)->part[0].rop;
	struct image *img = o->img;
	int rc = io->rc;

	if (rc == 0 &&
	    !map_node_ok(img, o->plain, o->node, o->level, o->node_first))
		rc = -EBADMSG;
	lock_acquire(&img->lock);
	if (rc != 0)
		bad_block(o, o->resolved++, rc);
	else
		mapnodes_put(&img->nodes, place_at(o->node.place), o->node.sum,
			     o->plain);
	lock_release(&img->lock);
	resolve(o);
}

static void
read_node(struct rop *o)
{
	struct ioreq *io = &o->part[0].io;

	o->part[0].rop = o;
	o->part[0].iov = (struct iovec){o->plain, IMG_BLOCK};
	*io = (struct ioreq){
	    .op = IO_READ,
	    .off = place_at(o->node.place) * IMG_SECTOR,
	    .size_bytes = IMG_BLOCK,
	    .iov = &o->part[0].iov,
	    .iov_count = 1,
	    .id = o->req->id,
	    .done = node_done,
	};
	imgio_submit(o->img->io, &io, 1);
}

static void
resolve(struct rop *o)
{
	struct image *img = o->img;
	bool missing = false;

	lock_acquire(&img->lock);
	while (o->resolved < o->blocks) {
		if (!from_delta(img, o, o->resolved) &&
		    !from_map(img, o, o->resolved)) {
			missing = true;
			break;
		}
		o->resolved++;
	}
	lock_release(&img->lock);
	if (missing)
		read_node(o);
	else
		read_raw(o);
}

/* --- the way in -------------------------------------------------------- */

/* The next piece of r. */
static void
cut_locked(struct image *img, struct rop *o, struct store_req *r)
    REQUIRES(img->lock)
{
	u64 lba = r->lba + r->io.off;
	u32 left = r->count - (u32)r->io.off, most;

	o->req = r;
	o->first_sector = (u32)r->io.off;
	o->block = lba / IMG_BLOCK_SECTORS;
	o->skip = (u32)(lba % IMG_BLOCK_SECTORS);
	most = ROP_BLOCKS * IMG_BLOCK_SECTORS - o->skip;
	o->count = MIN(left, most);
	o->blocks =
	    (o->skip + o->count + IMG_BLOCK_SECTORS - 1) / IMG_BLOCK_SECTORS;
	o->resolved = o->pending = 0;
	o->rc = 0;
	o->bad = 0;
	memset(o->state, RB_WAIT, sizeof(o->state));
	o->epoch = img->epoch;
	img->readers[o->epoch]++;
	r->io.off += o->count;
	r->io.size_bytes++; /* pieces on their way */
}

static void
start_more(struct image *img)
{
	for (;;) {
		struct rop *o = NULL;

		lock_acquire(&img->lock);
		if (!list_empty(&img->read_wait) &&
		    !list_empty(&img->rop_free)) {
			struct store_req *r =
			    LIST_ENTRY(img->read_wait.next, struct store_req,
				       io.link);

			o = LIST_ENTRY(list_pop(&img->rop_free), struct rop,
				       link);
			cut_locked(img, o, r);
			if (r->io.off == r->count)
				list_remove(&r->io.link);
		}
		lock_release(&img->lock);
		if (!o)
			return;
		resolve(o);
	}
}

void
image_read(struct image *img, struct store_req *r)
{
	assert(r->count != 0);
	r->rc = 0;
	r->io.off = r->io.size_bytes = 0;
	lock_acquire(&img->lock);
	list_add_tail(&img->read_wait, &r->io.link);
	lock_release(&img->lock);
	start_more(img);
}
