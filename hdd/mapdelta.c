/* SPDX-License-Identifier: BSD-2-Clause */
#include "hdd/mapdelta_int.h"

#include <errno.h>
#include <stdlib.h>

static u32
slots_for(u32 max)
{
	u32 slots = 16;

	while (slots / 4 * 3 < max)
		slots *= 2;
	return slots;
}

int
mapdelta_init(struct mapdelta *d, u32 max, u32 ranges_max)
{
	u32 slots = slots_for(max);

	assert(max != 0 && ranges_max >= 2);
	memset(d, 0, sizeof(*d));
	d->slot = calloc(slots, sizeof(*d->slot));
	d->range = calloc(ranges_max, sizeof(*d->range));
	if (!d->slot || !d->range) {
		mapdelta_release(d);
		return -ENOMEM;
	}
	d->mask = slots - 1;
	d->max = max;
	d->ranges_max = ranges_max;
	return 0;
}

void
mapdelta_release(struct mapdelta *d)
{
	free(d->slot);
	free(d->range);
	memset(d, 0, sizeof(*d));
}

void
mapdelta_clear(struct mapdelta *d)
{
	if (d->used != 0)
		memset(d->slot, 0, ((size_t)d->mask + 1) * sizeof(*d->slot));
	d->used = d->ranges = 0;
}

static u32
hash(u64 block)
{
	return (u32)((block * 0x9e3779b97f4a7c15ULL) >> 32);
}

/* Where it is, or where it would be put. */
static struct deltaslot *
find(const struct mapdelta *d, u64 block)
{
	u32 i = hash(block) & d->mask;

	while (d->slot[i].key != 0 && d->slot[i].key != block + 1)
		i = (i + 1) & d->mask;
	return &d->slot[i];
}

void
mapdelta_put(struct mapdelta *d, u64 block, struct mapentry e)
{
	struct deltaslot *s = find(d, block);

	if (s->key == 0) {
		assert(d->used < d->max);
		s->key = block + 1;
		d->used++;
	}
	s->e = e;
}

int
mapdelta_grow(struct mapdelta *d)
{
	struct mapdelta bigger;
	int rc = mapdelta_init(&bigger, d->max * 2, d->ranges_max * 2);

	if (rc != 0)
		return rc;
	for (u32 i = 0; i <= d->mask; i++)
		if (d->slot[i].key != 0)
			mapdelta_put(&bigger, d->slot[i].key - 1, d->slot[i].e);
	memcpy(bigger.range, d->range, d->ranges * sizeof(*d->range));
	bigger.ranges = d->ranges;
	mapdelta_release(d);
	*d = bigger;
	return 0;
}

/* --- ranges ------------------------------------------------------------ */

/* The first range that ends behind block. */
static u32
range_at(const struct mapdelta *d, u64 block)
{
	u32 lo = 0, hi = d->ranges;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (d->range[mid].block + d->range[mid].count > block)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* Takes in what it touches. */
static void
add_range(struct mapdelta *d, u64 block, u64 count)
{
	u32 first = range_at(d, block == 0 ? 0 : block - 1), last = first;
	u64 end = block + count;

	for (; last < d->ranges && d->range[last].block <= end; last++) {
		struct deltarange *r = &d->range[last];

		block = MIN(block, r->block);
		end = MAX(end, r->block + r->count);
	}
	assert(d->ranges - (last - first) < d->ranges_max);
	memmove(&d->range[first + 1], &d->range[last],
		(d->ranges - last) * sizeof(*d->range));
	d->range[first] = (struct deltarange){block, end - block};
	d->ranges = d->ranges - (last - first) + 1;
}

void
mapdelta_zero(struct mapdelta *d, u64 block, u64 count)
{
	struct mapentry zero = {PLACE_ZERO, 0};

	if (count <= DELTA_SMALL) {
		for (u64 b = block; b < block + count; b++)
			mapdelta_put(d, b, zero);
		return;
	}
	add_range(d, block, count);
	if (count <= d->mask) {
		for (u64 b = block; b < block + count; b++) {
			struct deltaslot *s = find(d, b);

			if (s->key != 0)
				s->e = zero;
		}
		return;
	}
	for (u32 i = 0; i <= d->mask; i++)
		if (d->slot[i].key != 0 && d->slot[i].key - 1 >= block &&
		    d->slot[i].key - 1 < block + count)
			d->slot[i].e = zero;
}

bool
mapdelta_get(const struct mapdelta *d, u64 block, struct mapentry *e)
{
	const struct deltaslot *s = find(d, block);

	if (s->key != 0)
		*e = s->e;
	else if (mapdelta_cover(d, block, 1) == COVER_ALL)
		*e = (struct mapentry){PLACE_ZERO, 0};
	else
		return false;
	return true;
}

enum delta_cover
mapdelta_cover(const struct mapdelta *d, u64 block, u64 count)
{
	u32 i = range_at(d, block);
	const struct deltarange *r = &d->range[i];

	if (i == d->ranges || r->block >= block + count)
		return COVER_NONE;
	return r->block <= block && r->block + r->count >= block + count
		   ? COVER_ALL
		   : COVER_PART;
}

/* --- in order ---------------------------------------------------------- */

static int
by_key(const void *a, const void *b)
{
	u64 x = ((const struct deltaslot *)a)->key;
	u64 y = ((const struct deltaslot *)b)->key;

	return x < y ? -1 : x > y;
}

void
mapdelta_sorted(const struct mapdelta *d, struct deltaslot *out)
{
	u32 n = 0;

	for (u32 i = 0; i <= d->mask && n < d->used; i++)
		if (d->slot[i].key != 0)
			out[n++] = d->slot[i];
	assert(n == d->used);
	qsort(out, n, sizeof(*out), by_key);
}
