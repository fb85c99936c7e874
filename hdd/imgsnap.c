/* SPDX-License-Identifier: BSD-2-Clause */
/* Snapshots: roots of maps that are kept (docs/image.5.md 4, 6). And another
 * size for the disk. */
#include "hdd/image_int.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* --- finding them ------------------------------------------------------ */

static struct snap *
find_id(struct snap *all, u32 count, u64 id)
{
	for (u32 i = 0; i < count; i++)
		if (all[i].id == id)
			return &all[i];
	return NULL;
}

static struct snap *
find_name(struct image *img, const char *name)
{
	for (u32 i = 0; i < img->snaps; i++)
		if (strcmp(img->snap[i].name, name) == 0)
			return &img->snap[i];
	return NULL;
}

u64
snap_generation(const struct image *img, u64 id)
{
	const struct snap *s = find_id(img->snap, img->snaps, id);

	return s ? s->generation : 0;
}

/* --- deleting ---------------------------------------------------------- */

struct deletion {
	u64 parent_generation; /* what is older is the parent's */
	u8 *mine[IMG_LEVELS_MAX], *child[IMG_LEVELS_MAX];
};

static bool
is_parents(struct image *img, const struct deletion *d, u64 at)
{
	u32 seg = seg_of_at(img, at);
	bool older;

	lock_acquire(&img->lock);
	older = seg >= img->segs.count ||
		img->segs.seg[seg].birth <= d->parent_generation;
	lock_release(&img->lock);
	return older;
}

/* What e has and neither the parent nor the child does. c: the child's entry
 * at the same place in its map. Where both maps have the same node they have
 * the same below it. */
static int
delete_tree(struct image *img, struct deletion *d, struct mapentry e,
	    struct mapentry c, unsigned level, u64 first)
    REQUIRES(img->work_lock)
{
	u64 span = map_span(level);
	bool both = place_stored(c.place);
	int rc;

	if (!place_stored(e.place) || e.place == c.place ||
	    is_parents(img, d, place_at(e.place)))
		return 0;
	rc = map_node_read(img, e, level, first, d->mine[level]);
	if (rc == 0 && both)
		rc = map_node_read(img, c, level, first, d->child[level]);
	for (u32 i = 0; rc == 0 && i < IMG_FANOUT; i++) {
		struct mapentry m = node_get(d->mine[level], i);
		struct mapentry n = {PLACE_ABSENT, 0};

		if (both)
			n = node_get(d->child[level], i);
		if (level != 0)
			rc = delete_tree(img, d, m, n, level - 1,
					 first + i * span);
		else if (place_stored(m.place) && m.place != n.place &&
			 !is_parents(img, d, place_at(m.place)))
			commit_drop_hard(img, place_at(m.place));
	}
	if (rc == 0)
		commit_drop_hard(img, place_at(e.place));
	return rc;
}

static int
delete_map(struct image *img, const struct snap *s, u64 parent_generation,
	   struct mapentry child) REQUIRES(img->work_lock)
{
	struct deletion d = {.parent_generation = parent_generation};
	u8 *memory =
	    aligned_alloc(IMG_BLOCK, (size_t)2 * IMG_LEVELS_MAX * IMG_BLOCK);
	int rc;

	if (!memory)
		return -ENOMEM;
	for (unsigned i = 0; i < IMG_LEVELS_MAX; i++) {
		d.mine[i] = memory + (size_t)2 * i * IMG_BLOCK;
		d.child[i] = d.mine[i] + IMG_BLOCK;
	}
	rc = delete_tree(img, &d, s->root, child, s->map_levels - 1, 0);
	free(memory);
	return rc;
}

/* At most one goes on from it: the caller has seen to that. */
static int
drop_one(struct image *img, u64 id, struct super *next, struct mapentry root)
    REQUIRES(img->work_lock)
{
	struct snap *s = find_id(img->next_snap, img->next_snaps, id);
	struct mapentry child = {PLACE_ABSENT, 0};
	const struct snap *p;
	struct snap gone;

	assert(s != NULL);
	gone = *s;
	p = find_id(img->next_snap, img->next_snaps, gone.parent);
	for (u32 i = 0; i < img->next_snaps; i++)
		if (img->next_snap[i].parent == id) {
			child = img->next_snap[i].root;
			img->next_snap[i].parent = gone.parent;
		}
	if (next->head_parent == id) {
		child = root;
		next->head_parent = gone.parent;
	}
	memmove(s, s + 1,
		(size_t)(img->next_snap + img->next_snaps - (s + 1)) *
		    sizeof(*s));
	img->next_snaps--;
	return delete_map(img, &gone, p ? p->generation : 0, child);
}

/* --- a part of a checkpoint -------------------------------------------- */

static void
add_one(struct image *img, const char *name, struct super *next,
	struct mapentry root, u64 generation)
{
	struct snap *s = &img->next_snap[img->next_snaps++];

	assert(img->next_snaps <= IMG_SNAPSHOTS_MAX);
	*s = (struct snap){
	    .id = next->snap_next++,
	    .parent = next->head_parent,
	    .generation = generation,
	    .time_s = (u64)time(NULL),
	    .root = root,
	    .sectors = next->sectors,
	    .map_levels = next->map_levels,
	};
	memcpy(s->name, name, strlen(name) + 1);
	next->head_parent = s->id;
}

int
snaps_prepare(struct image *img, const struct commit *c, struct super *next,
	      struct mapentry root, u64 generation)
{
	memcpy(img->next_snap, img->snap, img->snaps * sizeof(*img->snap));
	img->next_snaps = img->snaps;
	img->snaps_dirty =
	    c->snap_name || c->snap_delete != 0 || img->rewrite_snaps;
	img->rewrite_snaps = false;
	if (c->snap_name)
		add_one(img, c->snap_name, next, root, generation);
	if (c->snap_delete != 0)
		return drop_one(img, c->snap_delete, next, root);
	return 0;
}

/* --- what is asked for ------------------------------------------------- */

static int
check_writable(struct image *img, struct err *e)
{
	if (img->store.read_only)
		return err_set(e, -EROFS, "'%s' is open for reading only",
			       img->path);
	return 0;
}

static int
check_new(struct image *img, const char *name, struct err *e)
{
	size_t n = strlen(name);

	if (n == 0 || n >= IMG_NAME_BYTES)
		return err_set(e, -EINVAL,
			       "a snapshot's name has 1 to %u bytes, not %zu",
			       IMG_NAME_BYTES - 1, n);
	if (find_name(img, name))
		return err_set(e, -EEXIST, "there is a snapshot '%s' already",
			       name);
	if (img->snaps == IMG_SNAPSHOTS_MAX)
		return err_set(e, -ENOSPC, "'%s' has %u snapshots, no more fit",
			       img->path, img->snaps);
	return check_writable(img, e);
}

/* What is in the delta by far goes beside the writers; they are held off for
 * the little that came meanwhile. */
int
image_snapshot_create(struct image *img, const char *name, struct err *e)
{
	struct commit c = {.twice = true, .snap_name = name};
	int rc;

	lock_acquire(&img->work_lock);
	rc = check_new(img, name, e);
	if (rc != 0)
		goto out;
	rc = image_commit(img, NULL);
	if (rc == 0)
		rc = image_commit_held(img, &c);
	if (rc != 0)
		err_errno(e, rc, "cannot make the snapshot '%s'", name);
out:
	lock_release(&img->work_lock);
	return rc;
}

static unsigned
children(const struct image *img, u64 id)
{
	unsigned n = img->super.head_parent == id;

	for (u32 i = 0; i < img->snaps; i++)
		n += img->snap[i].parent == id;
	return n;
}

/* The child of another depth has no node at the same place. */
static bool
child_differs(const struct image *img, const struct snap *s)
{
	if (img->super.head_parent == s->id &&
	    img->super.map_levels != s->map_levels)
		return true;
	for (u32 i = 0; i < img->snaps; i++)
		if (img->snap[i].parent == s->id &&
		    img->snap[i].map_levels != s->map_levels)
			return true;
	return false;
}

int
image_snapshot_delete(struct image *img, const char *name, struct err *e)
{
	struct commit c = {.twice = false};
	const struct snap *s;
	int rc;

	lock_acquire(&img->work_lock);
	rc = check_writable(img, e);
	s = find_name(img, name);
	if (rc == 0 && !s)
		rc = err_set(e, -ENOENT, "there is no snapshot '%s'", name);
	if (rc == 0 && (children(img, s->id) > 1 || child_differs(img, s)))
		rc = err_set(e, -EBUSY,
			     "more than one disk goes on from the snapshot "
			     "'%s'",
			     name);
	if (rc != 0)
		goto out;
	c.snap_delete = s->id;
	rc = image_commit(img, &c);
	if (rc != 0)
		err_errno(e, rc, "cannot delete the snapshot '%s'", name);
out:
	lock_release(&img->work_lock);
	return rc;
}

int
image_snapshot_revert(struct image *img, const char *name, struct err *e)
{
	struct commit c = {.twice = true, .new_head = true, .drop_old = true};
	const struct snap *s;
	int rc;

	lock_acquire(&img->work_lock);
	rc = check_writable(img, e);
	s = find_name(img, name);
	if (rc == 0 && !s)
		rc = err_set(e, -ENOENT, "there is no snapshot '%s'", name);
	if (rc != 0)
		goto out;
	c.change.root = s->root;
	c.change.map_levels = s->map_levels;
	c.change.sectors = s->sectors;
	c.change.head_parent = s->id;
	rc = image_commit_held(img, &c);
	if (rc != 0)
		err_errno(e, rc, "cannot go back to the snapshot '%s'", name);
	img->store.sectors = img->super.sectors;
	img->blocks = blocks_of(img->super.sectors);
out:
	lock_release(&img->work_lock);
	return rc;
}

unsigned
image_snapshots(struct image *img, struct image_snapshot *out, unsigned max)
{
	unsigned n;

	lock_acquire(&img->lock);
	n = img->snaps;
	for (unsigned i = 0; i < MIN(n, max); i++) {
		const struct snap *s = &img->snap[i];

		out[i] = (struct image_snapshot){
		    .id = s->id,
		    .parent = s->parent,
		    .time_s = s->time_s,
		    .sectors = s->sectors,
		    .is_parent = s->id == img->super.head_parent,
		};
		memcpy(out[i].name, s->name, sizeof(out[i].name));
	}
	lock_release(&img->lock);
	return n;
}

/* --- another size ------------------------------------------------------ */

#define ZERO_AT_ONCE BIT(30) /* sectors */

int
image_resize(struct image *img, u64 sectors, struct err *e)
{
	struct commit c = {.twice = true, .sectors = sectors};
	u64 lba = sectors;
	int rc = check_writable(img, e);

	if (rc != 0)
		return rc;
	if (sectors == 0 || sectors > IMG_SECTORS_MAX)
		return err_set(e, -EINVAL,
			       "a disk has 1 to 2^48 sectors, not %llu",
			       (unsigned long long)sectors);
	while (rc == 0 && lba < img->store.sectors) {
		u32 n = (u32)MIN(img->store.sectors - lba, ZERO_AT_ONCE);

		rc = image_do(img, STORE_ZERO, lba, n);
		lba += n;
	}
	lock_acquire(&img->work_lock);
	if (rc == 0)
		rc = image_commit_held(img, &c);
	img->store.sectors = img->super.sectors;
	img->blocks = blocks_of(img->super.sectors);
	lock_release(&img->work_lock);
	return rc == 0 ? 0 : err_errno(e, rc, "cannot resize '%s'", img->path);
}
