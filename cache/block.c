/* SPDX-License-Identifier: BSD-2-Clause */
/* Blocks: their states, their counts, and which clean ones are kept.
 *
 * Clean blocks are kept by S3-FIFO: new ones enter SMALL, a tenth of all. When
 * one leaves it, it goes on to MAIN if it was used more than once meanwhile,
 * else it is given up and its key remembered for a while (a ghost). A key that
 * comes back while it is remembered enters MAIN at once. A scan passes through
 * SMALL and leaves MAIN alone. A hit costs one increment and no list. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "cache/wcache_int.h"

#define EVICT_BATCH 16U /* so that neighbours are given up together */
#define FREQ_MAX    3U
#define HUGE_BYTES  (2UL << 20)

int
block_open(struct wcache *w)
{
	u32 n = w->block_count, ghosts = 1;
	u64 bytes = (u64)n * BLOCK_BYTES;

	assert(n > 0);
	while (ghosts < 2 * n)
		ghosts *= 2;
	w->ghost_mask = ghosts - 1;
	list_init(&w->free);
	list_init(&w->small);
	list_init(&w->main);
	list_init(&w->unsynced);
	list_init(&w->syncing);
	w->map_bytes = bytes + JUNK_BYTES + HUGE_BYTES;
	w->map = mmap(NULL, w->map_bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (w->map == MAP_FAILED) {
		w->map = NULL;
		return -ENOMEM;
	}
	/* The host pins what it moves past its page cache page by page: 1 MiB
	 * in small pages takes twice as long to read. */
	w->memory = (u8 *)ALIGN_UP((uintptr_t)w->map, HUGE_BYTES);
	(void)madvise(w->memory, ALIGN_DOWN(bytes, HUGE_BYTES), MADV_HUGEPAGE);
	w->junk = w->memory + bytes;
	w->blocks = calloc(n, sizeof(*w->blocks));
	w->ghosts = calloc(ghosts, sizeof(*w->ghosts));
	if (w->blocks == NULL || w->ghosts == NULL)
		return -ENOMEM;
	for (u32 i = 0; i < n; i++) {
		w->blocks[i].shadow = NONE;
		w->blocks[i].flags = BLOCK_DETACHED;
		list_add_tail(&w->free, &w->blocks[i].link);
	}
	w->nr_free = n;
	w->evictions = n; /* the empty ghosts are old */
	return 0;
}

void
block_close(struct wcache *w)
{
	assert(w->inside == 0);
	if (w->map != NULL)
		munmap(w->map, w->map_bytes);
	free(w->blocks);
	free(w->ghosts);
}

static struct ghost *
ghost_of(struct wcache *w, u64 key, u32 *tag)
{
	u64 h = key * 0x9e3779b97f4a7c15ULL;

	*tag = (u32)h | 1;
	return &w->ghosts[(h >> 32) & w->ghost_mask];
}

static void
ghost_add(struct wcache *w, u64 key) REQUIRES(w->lock)
{
	u32 tag;
	struct ghost *g = ghost_of(w, key, &tag);

	*g = (struct ghost){tag, w->evictions++};
}

static bool
ghost_hit(struct wcache *w, u64 key) REQUIRES(w->lock)
{
	u32 tag;
	struct ghost *g = ghost_of(w, key, &tag);

	return g->tag == tag && w->evictions - g->stamp < w->block_count;
}

/* Takes a clean block out of its queue. */
static void
queue_leave(struct wcache *w, struct block *b) REQUIRES(w->lock)
{
	assert(b->place == SMALL || b->place == MAIN);
	if (b->place == SMALL) {
		w->nr_small--;
	} else {
		w->nr_main--;
		b->flags |= BLOCK_WAS_MAIN;
	}
	list_remove(&b->link);
	b->place = HELD;
}

static void
queue_enter(struct wcache *w, struct block *b) REQUIRES(w->lock)
{
	bool again = b->flags & BLOCK_WAS_MAIN ||
		     (!(b->flags & BLOCK_SEEN) && ghost_hit(w, b->key));

	assert(b->place == HELD && list_empty(&b->link));
	b->flags |= BLOCK_SEEN;
	b->place = again ? MAIN : SMALL;
	if (again) {
		w->nr_main++;
		list_add_tail(&w->main, &b->link);
	} else {
		w->nr_small++;
		list_add_tail(&w->small, &b->link);
	}
}

/* Gives one clean block up. cheap: not one of MAIN. */
static bool
block_evict(struct wcache *w, bool cheap) REQUIRES(w->lock)
{
	for (;;) {
		bool from_small =
		    !list_empty(&w->small) &&
		    (cheap || list_empty(&w->main) ||
		     w->nr_small > (w->nr_small + w->nr_main) / 10);
		struct list *from = from_small ? &w->small : &w->main;
		struct block *b;

		if (list_empty(from) || (cheap && !from_small))
			return false;
		b = LIST_ENTRY(from->next, struct block, link);
		assert(b->dirty == 0 && b->unsynced == 0 && !b->busy);
		queue_leave(w, b);
		if (from_small && b->freq > 1) {
			b->freq = 0;
			b->flags |= BLOCK_WAS_MAIN;
			queue_enter(w, b);
		} else if (!from_small && b->freq > 0) {
			b->freq--;
			queue_enter(w, b);
		} else {
			if (from_small)
				ghost_add(w, b->key);
			b->valid = 0;
			extent_remove(w, b);
			block_put(w, b);
			return true;
		}
	}
}

struct block *
block_get(struct wcache *w, u64 key, u32 after, bool cheap)
{
	struct block *b;

	if (list_empty(&w->free))
		for (u32 i = 0; i < EVICT_BATCH && block_evict(w, cheap);)
			i++;
	if (list_empty(&w->free))
		return NULL;
	if (after != NONE && after + 1 < w->block_count &&
	    w->blocks[after + 1].place == FREE) {
		b = &w->blocks[after + 1];
		list_remove(&b->link);
	} else {
		b = LIST_ENTRY(list_pop(&w->free), struct block, link);
	}
	assert(b->place == FREE && b->counted == 0 && b->shadow == NONE);
	w->nr_free--;
	b->place = HELD;
	b->key = key;
	b->gen = 0;
	b->valid = b->dirty = b->unsynced = b->busy_mask = 0;
	b->busy = BUSY_NO;
	b->freq = 0;
	b->flags = BLOCK_DETACHED;
	return b;
}

void
block_put(struct wcache *w, struct block *b)
{
	assert(b->flags & BLOCK_DETACHED);
	assert(b->counted == 0 && !b->busy && b->shadow == NONE);
	assert(b->place == HELD && b->dirty == 0 && b->unsynced == 0);
	list_remove(&b->link);
	b->place = FREE;
	b->valid = 0;
	w->nr_free++;
	list_add_tail(&w->free, &b->link);
}

/* Adds n (1 or -1) to the counts that b stands in. */
static void
count(struct wcache *w, struct block *b, u32 n) REQUIRES(w->lock)
{
	bool old = b->counted_gen <= w->barrier_gen;

	if (b->counted & COUNT_DIRTY) {
		w->nr_dirty += n;
		w->nr_old += old ? n : 0;
	}
	if (b->counted & COUNT_HELD)
		w->nr_held += n;
	if (b->counted & COUNT_UNSYNCED)
		w->nr_unsynced += n;
	if (b->counted & COUNT_WRITING)
		w->nr_writing += n;
	if (b->counted & COUNT_FILLING)
		w->nr_filling += n;
	if (b->counted & COUNT_BAD) {
		w->nr_bad += n;
		if (old && b->attempt == w->attempt)
			w->nr_bad_old += n;
	}
}

/* The counts that b should stand in now [I4]. */
static u8
wanted_counts(const struct block *b)
{
	u8 c = 0;

	if (b->dirty != 0 || b->busy == BUSY_WRITE)
		c |= COUNT_DIRTY | COUNT_HELD;
	if (b->unsynced != 0)
		c |= COUNT_HELD | COUNT_UNSYNCED;
	if (b->busy == BUSY_WRITE)
		c |= COUNT_WRITING;
	if (b->busy == BUSY_FILL)
		c |= COUNT_FILLING;
	if ((b->flags & BLOCK_BAD) && b->dirty != 0)
		c |= COUNT_BAD;
	return c;
}

void
block_settle(struct wcache *w, struct block *b)
{
	bool detached = b->flags & BLOCK_DETACHED;

	assert(b->place != FREE);
	assert(((b->dirty | b->unsynced) & ~b->valid) == 0 &&
	       (b->dirty & b->unsynced) == 0); /* [I2] */
	count(w, b, UINT32_MAX);
	b->counted = wanted_counts(b);
	b->counted_gen = b->gen;
	count(w, b, 1);
	if (!detached)
		extent_mark(w, b);
	if (b->counted != 0 || b->shadow != NONE || detached) {
		if (b->place != HELD)
			queue_leave(w, b);
		if (b->unsynced == 0)
			list_remove(&b->link);
		else if (list_empty(&b->link))
			list_add_tail(&w->unsynced, &b->link);
	} else if (b->place == HELD || b->valid == 0) {
		if (b->place != HELD)
			queue_leave(w, b);
		list_remove(&b->link);
		b->flags &= (u8) ~(BLOCK_BAD | BLOCK_ALONE);
		if (b->valid == 0 || w->mode == WCACHE_NONE) {
			b->valid = 0;
			extent_remove(w, b);
			block_put(w, b);
		} else {
			queue_enter(w, b);
		}
	}
}

static u32
list_length(const struct list *l)
{
	u32 n = 0;

	LIST_FOR(at, l)
	n++;
	return n;
}

void
block_check(struct wcache *w)
{
	u32 dirty = 0, old = 0, held = 0, unsynced = 0, places[4] = {0};

	for (u32 i = 0; i < w->block_count; i++) {
		struct block *b = &w->blocks[i];
		bool is_dirty = b->dirty != 0 || b->busy == BUSY_WRITE;
		struct block *s =
		    b->shadow == NONE ? NULL : &w->blocks[b->shadow];

		places[b->place]++;
		if (b->place == FREE) {
			assert(b->counted == 0 && b->valid == 0);
			continue;
		}
		assert(!(b->dirty & b->unsynced));		 /* [I2] */
		assert(!((b->dirty | b->unsynced) & ~b->valid)); /* [I2] */
		assert((b->busy == BUSY_NO) == (b->busy_mask == 0));
		if (s != NULL) { /* [I1], [I3] */
			assert(s->key == b->key && s->busy && !s->dirty);
			assert(s->flags & BLOCK_DETACHED);
			assert(!b->busy && s->shadow == NONE);
		}
		if (b->place != HELD) /* [I9] */
			assert(b->counted == 0 && b->valid != 0 && !b->busy &&
			       s == NULL);
		if (!(b->flags & BLOCK_DETACHED))
			assert(extent_find(w, b->key) == b); /* [I1] */
		dirty += is_dirty;
		old += is_dirty && b->gen <= w->barrier_gen;
		held += is_dirty || b->unsynced != 0;
		unsynced += b->unsynced != 0;
		assert((b->counted & COUNT_DIRTY) ==
		       (is_dirty ? COUNT_DIRTY : 0));
	}
	assert(dirty == w->nr_dirty && old == w->nr_old && held == w->nr_held);
	assert(unsynced == w->nr_unsynced);
	assert(places[FREE] == w->nr_free && places[SMALL] == w->nr_small);
	assert(places[MAIN] == w->nr_main);
	assert(list_length(&w->small) == w->nr_small);
	assert(list_length(&w->main) == w->nr_main);
	assert(list_length(&w->free) == w->nr_free);
	assert(list_length(&w->unsynced) +
		   list_length(&w->syncing) == /* [I6] */
	       unsynced);
}
