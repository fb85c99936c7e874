/* SPDX-License-Identifier: BSD-2-Clause */
/* The walk over everything: every node, every reference, every block. */
#include "hdd/image_int.h"

#include <errno.h>
#include <stdlib.h>

#include "base/range.h"

struct checker {
	struct image *img;
	struct image_check *c;
	u32 *refs; /* of each segment, counted anew */
	u32 segments;
	u8 *level[IMG_LEVELS_MAX];
	u64 blocks; /* of the map that is being walked */
	u64 born;   /* what is not younger belongs to the parent's walk */
	u8 *data, *plain;
};

static void
bad_block(struct checker *k, u64 block)
{
	k->c->bad_blocks++;
	k->c->first_bad_lba =
	    MIN(k->c->first_bad_lba, block * IMG_BLOCK_SECTORS);
}

static void
count_ref(struct checker *k, u64 at)
{
	u32 seg = seg_of_at(k->img, at);

	if (seg < k->segments)
		k->refs[seg]++;
	else
		k->c->missing_refs++;
}

/* Does the parent snapshot have it, too? Then it is counted there. */
static bool
is_inherited(const struct checker *k, u64 at)
{
	u32 seg = seg_of_at(k->img, at);

	return k->born != 0 && seg < k->segments &&
	       k->img->segs.seg[seg].birth <= k->born;
}

static bool
block_holds(struct checker *k, u64 block, struct mapentry e)
{
	u64 at = place_at(e.place);
	u32 skip = (u32)(at % IMG_BLOCK_SECTORS);
	u64 size_bytes =
	    ALIGN_UP((skip + place_sectors(e.place)) * 512ULL, IMG_BLOCK);
	const u8 *data = k->data + (size_t)skip * IMG_SECTOR;

	if (imgio_read(k->img->io, (at - skip) * IMG_SECTOR, k->data,
		       size_bytes) != 0)
		return false;
	if (place_type(e.place) == PLACE_LZ4) {
		if (lz4_run_unpack(k->plain, place_run(e.place), data,
				   place_sectors(e.place)) != 0)
			return false;
		data = k->plain + (size_t)place_index(e.place) * IMG_BLOCK;
	}
	return checksum64(data, IMG_BLOCK, block) == e.sum;
}

static void
walk_block(struct checker *k, u64 block, struct mapentry e)
{
	if (!place_stored(e.place)) {
		if (!place_is_sound(e.place, true))
			bad_block(k, block);
		return;
	}
	if (!image_place_ok(k->img, e.place, true)) {
		bad_block(k, block);
		return;
	}
	if (is_inherited(k, place_at(e.place)))
		return;
	k->c->blocks++;
	count_ref(k, place_at(e.place));
	if (k->c->data && !block_holds(k, block, e))
		bad_block(k, block);
}

/* As deep as there are levels. */
static void
walk_map(struct image *img, struct checker *k, struct mapentry e,
	 unsigned level, u64 first) REQUIRES(img->work_lock)
{
	u64 span = map_span(level);
	int rc;

	if (!place_stored(e.place) || first >= k->blocks)
		return;
	rc = map_node_read(img, e, level, first, k->level[level]);
	if (rc != 0) {
		k->c->bad_nodes++;
		k->c->first_bad_lba =
		    MIN(k->c->first_bad_lba, first * IMG_BLOCK_SECTORS);
		return;
	}
	if (is_inherited(k, place_at(e.place)))
		return;
	k->c->nodes++;
	count_ref(k, place_at(e.place));
	for (u32 i = 0; i < IMG_FANOUT; i++) {
		struct mapentry c = node_get(k->level[level], i);

		if (level != 0)
			walk_map(img, k, c, level - 1, first + i * span);
		else if (range_inside(first + i, 1, k->blocks))
			walk_block(k, first + i, c);
	}
}

static u64
generation_of(const struct image *img, u64 id)
{
	for (u32 i = 0; i < img->snaps; i++)
		if (img->snap[i].id == id)
			return img->snap[i].generation;
	return 0;
}

static void
count_tables(struct checker *k)
{
	const struct super *s = &k->img->super;

	for (u32 x = 0; x < s->table_extents; x++)
		for (u32 n = 0; n < s->table[x].nodes; n++)
			count_ref(k,
				  s->table[x].at + (u64)n * IMG_BLOCK_SECTORS);
	for (u32 n = 0; n < s->snap_nodes; n++)
		count_ref(k, s->snap_at + (u64)n * IMG_BLOCK_SECTORS);
	k->c->nodes += s->snap_nodes;
}

static void
compare(struct checker *k)
{
	for (u32 i = 0; i < k->segments; i++) {
		u32 have = k->img->segs.seg[i].refs;

		if (have > k->refs[i])
			k->c->leaked_refs += have - k->refs[i];
		else
			k->c->missing_refs += k->refs[i] - have;
	}
}

static void
walk_all(struct image *img, struct checker *k) REQUIRES(img->work_lock)
{
	for (u32 i = 0; i < img->snaps; i++) {
		const struct snap *s = &img->snap[i];

		k->blocks = blocks_of(s->sectors);
		k->born = generation_of(img, s->parent);
		walk_map(img, k, s->root, s->map_levels - 1, 0);
	}
	k->blocks = img->blocks;
	k->born = img->parent_generation;
	walk_map(img, k, img->super.root, img->super.map_levels - 1, 0);
	count_tables(k);
	compare(k);
}

static int
look(struct image *img, struct image_check *c) REQUIRES(img->work_lock)
{
	struct checker k = {.img = img, .c = c, .segments = img->segs.count};
	bool ok = true;

	k.refs = calloc(k.segments + 1, sizeof(*k.refs));
	k.data = aligned_alloc(IMG_BLOCK, LZ4_RUN_BYTES + IMG_BLOCK);
	k.plain = malloc(LZ4_RUN_BYTES);
	for (unsigned i = 0; i < IMG_LEVELS_MAX; i++) {
		k.level[i] = aligned_alloc(IMG_BLOCK, IMG_BLOCK);
		ok &= k.level[i] != NULL;
	}
	ok &= k.refs && k.data && k.plain;
	if (ok)
		walk_all(img, &k);
	for (unsigned i = 0; i < IMG_LEVELS_MAX; i++)
		free(k.level[i]);
	free(k.refs);
	free(k.data);
	free(k.plain);
	return ok ? 0 : -ENOMEM;
}

int
image_check(struct image *img, struct image_check *c, struct err *e)
{
	bool data = c->data;
	int rc = 0;

	*c = (struct image_check){.data = data, .first_bad_lba = UINT64_MAX};
	lock_acquire(&img->work_lock);
	if (!img->store.read_only)
		rc = image_commit(img, NULL);
	if (rc == 0)
		rc = look(img, c);
	lock_release(&img->work_lock);
	return rc == 0 ? 0 : err_errno(e, rc, "cannot check '%s'", img->path);
}
