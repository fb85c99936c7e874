/* SPDX-License-Identifier: BSD-2-Clause */
#include "hdd/mapnode_int.h"

#include <errno.h>
#include <stdlib.h>

int
mapnodes_init(struct mapnodes *c, u32 max)
{
	u32 buckets = 16;

	assert(max != 0);
	while (buckets < max)
		buckets *= 2;
	memset(c, 0, sizeof(*c));
	c->data = malloc((size_t)max * IMG_BLOCK);
	c->slot = calloc(max, sizeof(*c->slot));
	c->bucket = calloc(buckets, sizeof(*c->bucket));
	if (!c->data || !c->slot || !c->bucket) {
		mapnodes_release(c);
		return -ENOMEM;
	}
	c->max = max;
	c->mask = buckets - 1;
	return 0;
}

void
mapnodes_release(struct mapnodes *c)
{
	free(c->data);
	free(c->slot);
	free(c->bucket);
	memset(c, 0, sizeof(*c));
}

static u32 *
bucket_of(const struct mapnodes *c, u64 at)
{
	return &c->bucket[(u32)((at * 0x9e3779b97f4a7c15ULL) >> 40) & c->mask];
}

static u32
find(const struct mapnodes *c, u64 at, u64 sum)
{
	u32 i = *bucket_of(c, at);

	while (i != 0 && (c->slot[i - 1].at != at || c->slot[i - 1].sum != sum))
		i = c->slot[i - 1].next;
	return i;
}

const u8 *
mapnodes_find(struct mapnodes *c, u64 at, u64 sum)
{
	u32 i = find(c, at, sum);

	if (i == 0) {
		c->misses++;
		return NULL;
	}
	c->hits++;
	c->slot[i - 1].used = true;
	return c->data + (size_t)(i - 1) * IMG_BLOCK;
}

bool
mapnodes_has(const struct mapnodes *c, u64 at, u64 sum)
{
	return find(c, at, sum) != 0;
}

static void
unlink_slot(struct mapnodes *c, u32 i)
{
	u32 *p = bucket_of(c, c->slot[i].at);

	while (*p != i + 1) {
		assert(*p != 0);
		p = &c->slot[*p - 1].next;
	}
	*p = c->slot[i].next;
	c->slot[i].at = 0;
}

/* At most two rounds: the first takes every second chance away. */
static u32
victim(struct mapnodes *c)
{
	for (;;) {
		u32 i = c->hand;

		c->hand = (c->hand + 1) % c->max;
		if (c->slot[i].at == 0)
			return i;
		if (!c->slot[i].used) {
			unlink_slot(c, i);
			return i;
		}
		c->slot[i].used = false;
	}
}

void
mapnodes_put(struct mapnodes *c, u64 at, u64 sum, const u8 *node)
{
	u32 i, *b;

	assert(at != 0);
	if (find(c, at, sum) != 0)
		return;
	i = victim(c);
	b = bucket_of(c, at);
	c->slot[i] = (struct mapnodeslot){at, sum, *b, true};
	*b = i + 1;
	memcpy(c->data + (size_t)i * IMG_BLOCK, node, IMG_BLOCK);
}
