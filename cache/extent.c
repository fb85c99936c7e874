/* SPDX-License-Identifier: BSD-2-Clause */
/* The index: which block of the disk is in which block of memory.
 *
 * Chunks of 64 blocks (256 KiB) in a hash table, each with a bit per block for
 * "present" and "dirty". One look-up serves a whole run of small writes. The
 * chunks with dirty blocks stand in a table without order; write-back takes a
 * copy of it and sorts that, so a write never pays for LBA order. */
#include <errno.h>
#include <stdlib.h>

#include "cache/wcache_int.h"

int
extent_open(struct wcache *w)
{
	u32 n = w->block_count, buckets = 1;

	assert(n > 0);
	while (buckets < n / 4)
		buckets *= 2;
	w->bucket_mask = buckets - 1;
	w->chunks = calloc(n, sizeof(*w->chunks));
	w->buckets = malloc(buckets * sizeof(*w->buckets));
	w->dirty_chunk = calloc(n, sizeof(*w->dirty_chunk));
	w->dirty_no = calloc(n, sizeof(*w->dirty_no));
	w->sweep_no = calloc(n, sizeof(*w->sweep_no));
	w->sweep_other = calloc(n, sizeof(*w->sweep_other));
	if (w->chunks == NULL || w->buckets == NULL || w->dirty_chunk == NULL ||
	    w->dirty_no == NULL || w->sweep_no == NULL ||
	    w->sweep_other == NULL)
		return -ENOMEM;
	for (u32 i = 0; i < buckets; i++)
		w->buckets[i] = NONE;
	for (u32 i = 0; i < n; i++)
		w->chunks[i].next = i + 1 < n ? i + 1 : NONE;
	w->chunk_free = 0;
	return 0;
}

void
extent_close(struct wcache *w)
{
	assert(w->inside == 0);
	free(w->chunks);
	free(w->buckets);
	free(w->dirty_chunk);
	free(w->dirty_no);
	free(w->sweep_no);
	free(w->sweep_other);
}

static u32 *
bucket_of(struct wcache *w, u64 no)
{
	return &w->buckets[(no * 0x9e3779b97f4a7c15ULL >> 32) & w->bucket_mask];
}

static struct chunk *
chunk_find(struct wcache *w, u64 no) REQUIRES(w->lock)
{
	struct chunk *c = w->last_chunk;
	u32 i;

	if (c != NULL && c->no == no)
		return c;
	for (i = *bucket_of(w, no); i != NONE; i = c->next) {
		c = &w->chunks[i];
		if (c->no == no) {
			w->last_chunk = c;
			return c;
		}
	}
	return NULL;
}

/* There are as many chunks as blocks: one is always free. */
static struct chunk *
chunk_get(struct wcache *w, u64 no) REQUIRES(w->lock)
{
	struct chunk *c = chunk_find(w, no);
	u32 *bucket = bucket_of(w, no);

	if (c != NULL)
		return c;
	assert(w->chunk_free != NONE);
	c = &w->chunks[w->chunk_free];
	w->chunk_free = c->next;
	c->no = no;
	c->present = c->dirty = 0;
	c->next = *bucket;
	*bucket = (u32)(c - w->chunks);
	w->last_chunk = c;
	return c;
}

static void
chunk_put(struct wcache *w, struct chunk *c) REQUIRES(w->lock)
{
	u32 i = (u32)(c - w->chunks), *at = bucket_of(w, c->no);

	assert(c->present == 0 && c->dirty == 0);
	while (*at != i)
		at = &w->chunks[*at].next;
	*at = c->next;
	c->next = w->chunk_free;
	w->chunk_free = i;
	w->last_chunk = NULL;
}

struct block *
extent_find(struct wcache *w, u64 key)
{
	struct chunk *c = chunk_find(w, key / CHUNK_BLOCKS);
	unsigned i = key % CHUNK_BLOCKS;

	if (c == NULL || !(c->present & BIT(i)))
		return NULL;
	assert(w->blocks[c->block[i]].key == key);
	return &w->blocks[c->block[i]];
}

void
extent_insert(struct wcache *w, u64 key, struct block *b)
{
	struct chunk *c = chunk_get(w, key / CHUNK_BLOCKS);
	unsigned i = key % CHUNK_BLOCKS;

	assert(!(c->present & BIT(i)) && b->dirty == 0);
	b->key = key;
	b->flags &= (u8)~BLOCK_DETACHED;
	c->present |= BIT(i);
	c->block[i] = block_index(w, b);
}

void
extent_replace(struct wcache *w, struct block *old, struct block *b)
{
	struct chunk *c = chunk_find(w, old->key / CHUNK_BLOCKS);
	unsigned i = old->key % CHUNK_BLOCKS;

	assert(c != NULL && c->block[i] == block_index(w, old));
	b->key = old->key;
	b->flags &= (u8)~BLOCK_DETACHED;
	old->flags |= BLOCK_DETACHED;
	c->block[i] = block_index(w, b);
}

/* The chunk's dirty bit follows the block [I7]. */
void
extent_mark(struct wcache *w, struct block *b)
{
	struct chunk *c = chunk_find(w, b->key / CHUNK_BLOCKS);
	u64 bit = BIT(b->key % CHUNK_BLOCKS);
	u64 before;

	assert(c != NULL && (c->present & bit));
	before = c->dirty;
	if ((b->dirty != 0) == ((before & bit) != 0))
		return;
	c->dirty ^= bit;
	if (before == 0) {
		c->dirty_pos = w->nr_dirty_chunks++;
		w->dirty_no[c->dirty_pos] = c->no;
		w->dirty_chunk[c->dirty_pos] = (u32)(c - w->chunks);
	} else if (c->dirty == 0) {
		u32 last = --w->nr_dirty_chunks, at = c->dirty_pos;

		w->dirty_no[at] = w->dirty_no[last];
		w->dirty_chunk[at] = w->dirty_chunk[last];
		w->chunks[w->dirty_chunk[at]].dirty_pos = at;
	}
}

void
extent_remove(struct wcache *w, struct block *b)
{
	struct chunk *c = chunk_find(w, b->key / CHUNK_BLOCKS);
	unsigned i = b->key % CHUNK_BLOCKS;

	assert(c != NULL && c->block[i] == block_index(w, b) && b->dirty == 0);
	extent_mark(w, b);
	c->present &= ~BIT(i);
	b->flags |= BLOCK_DETACHED;
	if (c->present == 0)
		chunk_put(w, c);
}

struct block *
extent_next(struct wcache *w, u64 key, u64 end)
{
	while (key < end) {
		struct chunk *c = chunk_find(w, key / CHUNK_BLOCKS);
		unsigned i = key % CHUNK_BLOCKS;
		u64 left = c == NULL ? 0 : c->present >> i;

		if (left == 0) {
			key = ALIGN_DOWN(key, CHUNK_BLOCKS) + CHUNK_BLOCKS;
			continue;
		}
		i += (unsigned)__builtin_ctzll(left);
		key = ALIGN_DOWN(key, CHUNK_BLOCKS) + i;
		return key < end ? &w->blocks[c->block[i]] : NULL;
	}
	return NULL;
}

u64
extent_dirty(struct wcache *w, u64 chunk_no)
{
	struct chunk *c = chunk_find(w, chunk_no);

	return c == NULL ? 0 : c->dirty;
}

/* Merges the sorted runs [at, mid) and [mid, end) of from into to. */
static void
merge(u64 *to, const u64 *from, u32 at, u32 mid, u32 end)
{
	u32 a = at, b = mid;

	for (u32 i = at; i < end; i++)
		to[i] = b == end || (a < mid && from[a] <= from[b]) ? from[a++]
								    : from[b++];
}

u32
extent_snapshot(struct wcache *w)
{
	u32 n = w->nr_dirty_chunks, sorted = 1;
	u64 *swap;

	memcpy(w->sweep_no, w->dirty_no, n * sizeof(u64));
	while (sorted < n && w->sweep_no[sorted - 1] < w->sweep_no[sorted])
		sorted++;
	if (sorted >= n)
		return n; /* a linear writer's chunks come in order */
	for (u32 run = 1; run < n; run *= 2) {
		for (u32 at = 0; at < n; at += 2 * run)
			merge(w->sweep_other, w->sweep_no, at, MIN(at + run, n),
			      MIN(at + 2 * run, n));
		swap = w->sweep_no;
		w->sweep_no = w->sweep_other;
		w->sweep_other = swap;
	}
	return n;
}

void
extent_check(struct wcache *w)
{
	u32 dirty = 0;

	for (u32 n = 0; n <= w->bucket_mask; n++) {
		for (u32 i = w->buckets[n]; i != NONE; i = w->chunks[i].next) {
			struct chunk *c = &w->chunks[i];

			assert(c->present != 0 && !(c->dirty & ~c->present));
			for (unsigned k = 0; k < CHUNK_BLOCKS; k++) {
				struct block *b = &w->blocks[c->block[k]];

				if (!(c->present & BIT(k)))
					continue;
				assert(b->key == c->no * CHUNK_BLOCKS + k);
				assert(b->place != FREE);
				assert(!(b->flags & BLOCK_DETACHED));
				assert((b->dirty != 0) ==
				       ((c->dirty & BIT(k)) != 0)); /* [I7] */
			}
			if (c->dirty == 0)
				continue;
			dirty++;
			assert(w->dirty_no[c->dirty_pos] == c->no);
		}
	}
	assert(dirty == w->nr_dirty_chunks);
}
