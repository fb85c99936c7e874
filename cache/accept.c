/* SPDX-License-Identifier: BSD-2-Clause */
/* Data into the cache: the one copy that a guest's write is. */
#include "cache/wcache_int.h"

/* n takes the place of b, whose memory an I/O uses (disk-rules 4). Everything
 * that is in b is in n, too: should b's write fail, n can be written. */
static void
succeed(struct wcache *w, struct block *b, struct block *n, u8 mask)
    REQUIRES(w->lock)
{
	assert(b->busy && b->shadow == NONE && n->valid == 0);
	if (b->valid & ~mask)
		memcpy(block_data(w, n), block_data(w, b), BLOCK_BYTES);
	n->valid = b->valid;
	n->dirty = b->dirty;
	n->unsynced = b->unsynced;
	n->gen = b->gen;
	n->freq = b->freq;
	n->flags = b->flags;
	n->attempt = b->attempt;
	n->shadow = block_index(w, b);
	b->dirty = b->unsynced = 0;
	block_settle(w, b);
	extent_replace(w, b, n);
	block_settle(w, b);
}

/* The block that sectors of key can be written into; NULL: none now. */
static struct block *
block_for_write(struct wcache *w, u64 key, u8 mask) REQUIRES(w->lock)
{
	struct block *b = extent_find(w, key), *n;

	if (b != NULL && !b->busy && (b->counted & COUNT_HELD))
		return b;
	if (w->nr_held >= w->held_max)
		return NULL; /* [I5] */
	if (b != NULL && !b->busy)
		return b;
	/* b is not there, or busy and so not what is given up for n. */
	n = block_get(w, key, w->last_block, false);
	if (n == NULL)
		return NULL;
	w->last_block = block_index(w, n);
	if (b != NULL)
		succeed(w, b, n, mask);
	else
		extent_insert(w, key, n);
	return n;
}

bool
accept_write(struct wcache *w, struct wcache_req *r, u64 end)
{
	struct iov_cursor s = {NULL, NULL, 0};

	assert(r->at_lba >= r->lba && end <= r->lba + r->count);
	if (r->op == WCACHE_WRITE)
		s = req_memory(r);
	while (r->at_lba < end) {
		u64 key = r->at_lba / BLOCK_SECTORS;
		unsigned first = r->at_lba % BLOCK_SECTORS;
		unsigned n =
		    (unsigned)MIN(BLOCK_SECTORS - first, end - r->at_lba);
		u8 mask = sector_mask(first, n), was_unsynced, *to;
		struct block *b;

		if (w->nr_zeroing != 0 && zero_covers(w, r->at_lba, n))
			return false;
		b = block_for_write(w, key, mask);
		if (b == NULL)
			return false;
		to = block_data(w, b) + first * SECTOR_BYTES;
		if (r->op == WCACHE_WRITE)
			iov_cursor_read(&s, to, n * SECTOR_BYTES);
		else
			memset(to, 0, n * SECTOR_BYTES);
		if (b->dirty == 0)
			b->gen = w->gen;
		was_unsynced = b->unsynced;
		b->valid |= mask;
		b->dirty |= mask;
		b->unsynced &= (u8)~mask;
		if (!(b->counted & COUNT_DIRTY) || was_unsynced != b->unsynced)
			block_settle(w, b);
		r->at_lba += n;
	}
	return true;
}
