/* SPDX-License-Identifier: BSD-2-Clause */
/* A checkpoint's map: the delta goes into new nodes, from the leaves up; what
 * did not change stays where it is, and is shared. */
#include "hdd/image_int.h"

#include <errno.h>

#include "base/range.h"

struct merge {
	struct image *img;
	const struct mapdelta *d;
	const struct deltaslot *slot; /* in order */
	u32 at, count;		      /* of it: the next, and all */
	u32 touch_at;
	u64 blocks;
};

/* --- nodes ------------------------------------------------------------- */

bool
image_place_ok(const struct image *img, u64 place, bool leaf)
{
	u64 off = place_at(place) * IMG_SECTOR;
	u64 size_bytes = (u64)place_sectors(place) * IMG_SECTOR;
	u64 mask = BIT(img->seg_shift) - 1;

	if (!place_is_sound(place, leaf))
		return false;
	if (!place_stored(place))
		return true;
	if (!leaf && place_at(place) % IMG_BLOCK_SECTORS != 0)
		return false;
	return range_within(off, size_bytes, IMG_DATA_OFF,
			    (u64)img->limits.segments_max << img->seg_shift) &&
	       ((off - IMG_DATA_OFF) & mask) + size_bytes <= mask + 1;
}

bool
map_node_ok(const struct image *img, const u8 *buf, struct mapentry e,
	    unsigned level, u64 first)
{
	struct nodehead h;

	return node_decode(&h, buf, place_at(e.place)) == 0 && h.sum == e.sum &&
	       h.kind == NODE_MAP && h.level == level && h.first == first &&
	       h.image_id == img->image_id;
}

int
map_node_read(struct image *img, struct mapentry e, unsigned level, u64 first,
	      u8 *buf)
{
	const u8 *node;
	int rc;

	if (!image_place_ok(img, e.place, false))
		return -EUCLEAN;
	lock_acquire(&img->lock);
	node = mapnodes_find(&img->nodes, place_at(e.place), e.sum);
	if (node)
		memcpy(buf, node, IMG_BLOCK);
	lock_release(&img->lock);
	if (node)
		return 0;
	/* A node of the checkpoint that is being made. */
	if (range_within(place_at(e.place) * IMG_SECTOR, IMG_BLOCK,
			 img->nodebuf_off, img->nodebuf_used)) {
		memcpy(buf,
		       img->nodebuf +
			   (place_at(e.place) * IMG_SECTOR - img->nodebuf_off),
		       IMG_BLOCK);
		return map_node_ok(img, buf, e, level, first) ? 0 : -EBADMSG;
	}
	rc =
	    imgio_read(img->io, place_at(e.place) * IMG_SECTOR, buf, IMG_BLOCK);
	if (rc == 0 && !map_node_ok(img, buf, e, level, first))
		rc = -EBADMSG;
	return rc;
}

int
map_look(struct image *img, struct mapentry root, unsigned levels, u64 block,
	 u8 *buf, struct mapentry *e)
{
	u64 first = 0;

	*e = root;
	for (unsigned level = levels; level-- > 0 && place_stored(e->place);) {
		u64 span = map_span(level);
		int rc = map_node_read(img, *e, level, first, buf);

		if (rc != 0)
			return rc;
		*e = node_get(buf, (u32)((block - first) / span));
		first += (block - first) / span * span;
	}
	return 0;
}

/* A node full of what its parent said of all of it. */
static void
fill(u8 *buf, enum place_type type)
{
	memset(buf, 0, IMG_BLOCK);
	for (u32 i = 0; i < IMG_FANOUT; i++)
		node_put(buf, i, (struct mapentry){(u64)type, 0});
}

/* --- dropping ---------------------------------------------------------- */

int
map_drop(struct image *img, struct mapentry e, unsigned level, u64 first)
{
	u8 *buf = img->level[level];
	u64 span = map_span(level);
	int rc;

	if (!place_stored(e.place) || commit_is_shared(img, place_at(e.place)))
		return 0;
	rc = map_node_read(img, e, level, first, buf);
	for (u32 i = 0; rc == 0 && i < IMG_FANOUT; i++) {
		struct mapentry c = node_get(buf, i);

		if (level != 0)
			rc = map_drop(img, c, level - 1, first + i * span);
		else if (place_stored(c.place))
			commit_drop(img, place_at(c.place));
	}
	if (rc == 0)
		commit_drop(img, place_at(e.place));
	return rc;
}

/* --- merging ----------------------------------------------------------- */

/* Is anything in [first, first + span) to be changed? */
static bool
slots_inside(const struct merge *m, u64 first, u64 span)
{
	return m->at < m->count && m->slot[m->at].key - 1 < first + span;
}

static bool
touched(struct merge *m, u64 first, u64 span)
{
	const struct image *img = m->img;

	while (m->touch_at < img->touches && img->touch[m->touch_at] < first)
		m->touch_at++;
	return m->touch_at < img->touches &&
	       img->touch[m->touch_at] < first + span;
}

/* One entry of a leaf. True: it changed. */
static bool
merge_block(struct image *img, struct merge *m, u8 *buf, u32 i, u64 block)
    REQUIRES(img->work_lock)
{
	struct mapentry old = node_get(buf, i), new = old;

	if (mapdelta_cover(m->d, block, 1) == COVER_ALL)
		new = (struct mapentry){PLACE_ZERO, 0};
	if (slots_inside(m, block, 1)) {
		assert(m->slot[m->at].key - 1 == block);
		new = m->slot[m->at++].e;
	}
	if (new.place == old.place &&new.sum == old.sum)
		return false;
	if (place_stored(old.place))
		commit_drop(img, place_at(old.place));
	if (place_stored(new.place))
		commit_retain(img, place_at(new.place));
	node_put(buf, i, new);
	return true;
}

static int merge_node(struct image *img, struct merge *m, struct mapentry *e,
		      unsigned level, u64 first) REQUIRES(img->work_lock);

/* One entry of an inner node: 0, 1 it changed, or -errno. */
static int
merge_child(struct image *img, struct merge *m, u8 *buf, u32 i, unsigned level,
	    u64 first) REQUIRES(img->work_lock)
{
	struct mapentry old = node_get(buf, i), e = old;
	u64 span = map_span(level), size = MIN(span, m->blocks - first);
	enum delta_cover cover = mapdelta_cover(m->d, first, size);
	bool rewrite = place_stored(e.place) && touched(m, first, span);
	int rc = 0;

	if (cover == COVER_ALL) {
		rc = map_drop(img, e, level - 1, first);
		e = (struct mapentry){PLACE_ZERO, 0};
	}
	if (rc == 0 &&
	    (slots_inside(m, first, span) || cover == COVER_PART || rewrite))
		rc = merge_node(img, m, &e, level - 1, first);
	if (rc != 0)
		return rc;
	node_put(buf, i, e);
	return e.place != old.place || e.sum != old.sum;
}

/* Are all entries that stand for something the same, and is nothing stored? */
static bool
is_uniform(const u8 *buf, u32 entries, u64 *place)
{
	*place = node_get(buf, 0).place;
	if (place_stored(*place))
		return false;
	for (u32 i = 1; i < entries; i++)
		if (node_get(buf, i).place != *place)
			return false;
	return true;
}

/* Writes the node that is in buf, or finds that none is needed. */
static int
put_node(struct image *img, u8 *buf, struct mapentry *e, unsigned level,
	 u64 first, u32 entries) REQUIRES(img->work_lock)
{
	struct nodehead h = {
	    .kind = NODE_MAP,
	    .level = (u8)level,
	    .count = IMG_FANOUT,
	    .image_id = img->image_id,
	    .first = first,
	};
	struct mapentry old = *e;
	bool cached = false;
	u64 place;
	int rc;

	if (place_stored(old.place)) {
		lock_acquire(&img->lock);
		cached =
		    mapnodes_has(&img->nodes, place_at(old.place), old.sum);
		lock_release(&img->lock);
		commit_drop(img, place_at(old.place));
	}
	if (is_uniform(buf, entries, &place)) {
		*e = (struct mapentry){place, 0};
		return 0;
	}
	rc = commit_alloc(img, &h.at);
	if (rc != 0)
		return rc;
	h.generation = img->commit_generation;
	*e = (struct mapentry){place_raw(h.at), node_seal(buf, &h)};
	if (cached || !place_stored(old.place)) {
		lock_acquire(&img->lock);
		mapnodes_put(&img->nodes, h.at, e->sum, buf);
		lock_release(&img->lock);
	}
	return commit_node(img, h.at, buf);
}

static int
merge_node(struct image *img, struct merge *m, struct mapentry *e,
	   unsigned level, u64 first)
{
	u8 *buf = img->level[level];
	u64 span = map_span(level);
	u32 entries =
	    (u32)MIN(IMG_FANOUT, (m->blocks - first + span - 1) / span);
	bool changed =
	    place_stored(e->place) && touched(m, first, span * IMG_FANOUT);
	int rc = 0;

	if (place_stored(e->place))
		rc = map_node_read(img, *e, level, first, buf);
	else
		fill(buf, place_type(e->place));
	for (u32 i = 0; rc >= 0 && i < entries; i++) {
		if (level == 0)
			rc = merge_block(img, m, buf, i, first + i);
		else
			rc = merge_child(img, m, buf, i, level,
					 first + i * span);
		changed |= rc > 0;
	}
	if (rc < 0 || !changed)
		return MIN(rc, 0);
	return put_node(img, buf, e, level, first, entries);
}

int
map_merge(struct image *img, const struct mapdelta *d, struct mapentry *root,
	  unsigned levels, u64 blocks)
{
	struct merge m = {
	    .img = img,
	    .d = d,
	    .slot = img->sorted,
	    .count = d->used,
	    .blocks = blocks,
	};
	struct mapentry e = *root;
	int rc;

	assert(levels == map_levels_for(blocks));
	mapdelta_sorted(d, img->sorted);
	if (m.count != 0 && m.slot[m.count - 1].key > blocks)
		return -EUCLEAN;
	if (m.count == 0 && d->ranges == 0 && img->touches == 0)
		return 0;
	rc = merge_node(img, &m, &e, levels - 1, 0);
	assert(rc != 0 || m.at == m.count);
	if (rc == 0)
		*root = e;
	return rc;
}

/* --- another size ------------------------------------------------------ */

/* A root above the root. */
static int
add_level(struct image *img, struct mapentry *root, unsigned level)
    REQUIRES(img->work_lock)
{
	struct nodehead h = {
	    .kind = NODE_MAP,
	    .level = (u8)level,
	    .count = IMG_FANOUT,
	    .image_id = img->image_id,
	    .generation = img->commit_generation,
	};
	u8 *buf = img->level[level];
	int rc;

	if (!place_stored(root->place))
		return 0; /* it stands for all of the larger disk as well */
	fill(buf, PLACE_ABSENT);
	node_put(buf, 0, *root);
	rc = commit_alloc(img, &h.at);
	if (rc != 0)
		return rc;
	*root = (struct mapentry){place_raw(h.at), node_seal(buf, &h)};
	return commit_node(img, h.at, buf);
}

/* Its first child becomes the root. */
static int
remove_level(struct image *img, struct mapentry *root, unsigned level)
    REQUIRES(img->work_lock)
{
	u8 *buf = img->level[level];
	int rc;

	if (!place_stored(root->place))
		return 0;
	rc = map_node_read(img, *root, level, 0, buf);
	if (rc != 0)
		return rc;
	commit_drop(img, place_at(root->place));
	*root = node_get(buf, 0);
	return 0;
}

int
map_resize(struct image *img, struct mapentry *root, u32 *levels, unsigned want)
{
	int rc = 0;

	assert(want != 0 && want <= IMG_LEVELS_MAX);
	while (rc == 0 && *levels < want)
		rc = add_level(img, root, (*levels)++);
	while (rc == 0 && *levels > want)
		rc = remove_level(img, root, --*levels);
	return rc;
}
