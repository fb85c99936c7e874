/* SPDX-License-Identifier: BSD-2-Clause */
/* Discards and large writes of zeros (disk-rules 19).
 *
 * They go to the store as they come, and take no cache memory: the whole
 * blocks of the range are the store's business, its ragged ends are written as
 * zeros through the cache. While the store has a range nobody else touches it:
 * reads that miss, writes and write-back of it wait; what is in flight in it
 * is waited for [I8]. When the store is done, what the cache holds of the
 * range is older than the zeros and is dropped, dirty or not. When the store
 * failed, nothing is dropped: the cache's version is still the newest one that
 * was promised.
 *
 * A range that was zeroed is remembered until a flush of the store covers it:
 * should that flush fail, it is zeroed anew (disk-rules 11, 12). What was
 * written to the range since is dirty or unsynced then, and is written after.
 */
#include "base/range.h"
#include "cache/cache_trace.h"
#include "cache/wcache_int.h"

/* A write of zeros up to this many sectors is cached like any other. */
#define SMALL_ZERO 512U

void
zero_open(struct wcache *w)
{
	assert(w->nr_zeroing == 0 && w->nr_zeroed == 0);
}

bool
zero_covers(struct wcache *w, u64 lba, u64 count)
{
	for (unsigned i = 0; i < ZERO_SLOTS; i++)
		if (w->zeroing[i].used &&
		    range_overlap(w->zeroing[i].lba, w->zeroing[i].count, lba,
				  count))
			return true;
	return false;
}

/* Takes a range for zeroing; false when there is no slot or somebody else is
 * at it. */
static bool
zeroing_start(struct wcache *w, u64 lba, u32 count, struct wcache_req *r)
    REQUIRES(w->lock)
{
	assert(lba % BLOCK_SECTORS == 0 && count % BLOCK_SECTORS == 0);
	if (w->nr_zeroing == ZERO_SLOTS || zero_covers(w, lba, count))
		return false;
	for (unsigned i = 0; i < ZERO_SLOTS; i++) {
		if (w->zeroing[i].used)
			continue;
		w->zeroing[i] = (struct zeroing){.used = true,
						 .lba = lba,
						 .count = count,
						 .r = r};
		w->nr_zeroing++;
		return true;
	}
	assert(false);
	return false;
}

bool
zero_advance(struct wcache *w, struct wcache_req *r)
{
	u64 end = r->lba + r->count;
	bool small = r->op == WCACHE_ZERO && r->count <= SMALL_ZERO;

	while (r->at_lba < end) {
		u64 up = ALIGN_UP(r->at_lba, BLOCK_SECTORS);
		u64 down = ALIGN_DOWN(end, BLOCK_SECTORS);

		if (small || up != r->at_lba || down <= r->at_lba) {
			if (!accept_write(w, r,
					  small || down <= r->at_lba
					      ? end
					      : MIN(up, end)))
				return false;
			continue;
		}
		if (w->nr_zeroed + w->nr_zeroing >= ZERO_RANGES - ZERO_SLOTS) {
			w->zeroed_full = true; /* wants a flush */
			return false;
		}
		return zeroing_start(w, r->at_lba,
				     (u32)MIN(down - r->at_lba, ZERO_MAX), r);
	}
	return true;
}

/* Ranges that nobody is in any more go to the store. */
void
zero_pump(struct wcache *w)
{
	for (unsigned i = 0; i < ZERO_SLOTS && w->nr_zeroing != 0; i++) {
		struct zeroing *z = &w->zeroing[i];
		u64 key = z->lba / BLOCK_SECTORS;
		u64 end = key + z->count / BLOCK_SECTORS;
		bool busy = false, zero = !w->store->can_discard;
		struct block *b;
		struct wio *io;

		if (!z->used || z->started)
			continue;
		while (!busy && (b = extent_next(w, key, end)) != NULL) {
			busy = b->busy || b->shadow != NONE;
			key = b->key + 1;
		}
		if (busy)
			continue;
		io = wio_get(w, &w->zeros, WIO_ZERO);
		io->z = z;
		z->started = true;
		zero |= z->r == NULL || z->r->op == WCACHE_ZERO;
		wio_queue(w, io, zero ? STORE_ZERO : STORE_DISCARD, z->lba,
			  z->count, z->r == NULL ? 0 : z->r->id);
	}
}

/* Drops what the cache has of a range, or (keep) makes what the store may have
 * lost to the zeros dirty again. */
static void
range_drop(struct wcache *w, struct zeroing *z, bool keep) REQUIRES(w->lock)
{
	u64 key = z->lba / BLOCK_SECTORS;
	u64 end = key + z->count / BLOCK_SECTORS;
	struct block *b;

	while ((b = extent_next(w, key, end)) != NULL) {
		key = b->key + 1;
		assert(!b->busy && b->shadow == NONE); /* [I8] */
		if (keep && b->unsynced != 0) {
			b->dirty |= b->unsynced;
			b->gen = 0;
		} else if (!keep) {
			b->valid = b->dirty = 0;
		}
		if (!keep || b->unsynced != 0) {
			b->unsynced = 0;
			block_settle(w, b);
		}
	}
}

static void
zeroed_add(struct wcache *w, u64 lba, u32 count, bool lost) REQUIRES(w->lock)
{
	for (unsigned i = 0; i < w->nr_zeroed; i++) {
		struct zeroed *z = &w->zeroed[i];

		if (!z->syncing && z->lost == lost &&
		    z->lba + z->count == lba) {
			z->count += count;
			return;
		}
	}
	assert(w->nr_zeroed < ZERO_RANGES);
	w->zeroed[w->nr_zeroed++] =
	    (struct zeroed){.lba = lba, .count = count, .lost = lost};
}

bool
zero_lost(struct wcache *w, u64 lba)
{
	if (!w->store_failed || w->mode == WCACHE_NONE)
		return false; /* NONE: what was written over them is not here */
	for (unsigned i = 0; i < w->nr_zeroed; i++)
		if (w->zeroed[i].lost && lba >= w->zeroed[i].lba &&
		    lba - w->zeroed[i].lba < w->zeroed[i].count)
			return true;
	return false;
}

/* The rest of a request one piece of which is done. */
static void
zero_next(struct wcache *w, struct list *fin, struct wcache_req *r)
    REQUIRES(w->lock)
{
	if (r->at_lba < r->lba + r->count)
		list_add_head(&w->writers, &r->link); /* its turn goes on */
	else
		flush_write(w, fin, r);
}

void
zero_done(struct wcache *w, struct list *fin, struct wio *io)
{
	struct zeroing *z = io->z;
	struct wcache_req *r = z->r;
	bool good = io->req.rc == 0 && !io->suspect;
	u64 bad = io->req.bad_lba;

	assert(z->used && z->started && z->lba == io->req.lba);
	TRACE(cache_zero_done, io->req.id, z->lba, z->count, -io->req.rc);
	w->sweep_stalled = false;
	if (w->mode != WCACHE_UNSAFE)
		w->unflushed = true;
	if ((good || r == NULL) && w->mode != WCACHE_UNSAFE)
		zeroed_add(w, z->lba, z->count, !good);
	if (good)
		range_drop(w, z, r == NULL);
	z->used = false;
	w->nr_zeroing--;
	if (r != NULL && good) {
		r->at_lba += z->count;
		zero_next(w, fin, r);
	} else if (r != NULL) {
		STAT_ADD(w->stats.errors, 1);
		if (io->req.rc == 0 || bad < z->lba || bad - z->lba >= z->count)
			bad = z->lba;
		req_finish(w, fin, r, io->req.rc != 0 ? io->req.rc : w->error,
			   bad);
	} else if (!good) {
		w->redo_rc = io->req.rc != 0 ? io->req.rc : w->error;
	}
	wio_put(w, &w->zeros, io);
}

void
zero_sync_begin(struct wcache *w)
{
	for (unsigned i = 0; i < w->nr_zeroed; i++)
		w->zeroed[i].syncing = true;
}

void
zero_sync_end(struct wcache *w, bool good)
{
	unsigned left = 0;

	for (unsigned i = 0; i < w->nr_zeroed; i++) {
		struct zeroed z = w->zeroed[i];

		if (good && z.syncing)
			continue;
		z.lost |= !good;
		z.syncing = false;
		w->zeroed[left++] = z;
	}
	assert(left <= ZERO_RANGES);
	w->nr_zeroed = left;
	w->zeroed_full = false;
}

bool
zero_redo(struct wcache *w)
{
	bool pending = false;

	assert(w->store_failed);
	for (unsigned i = 0; i < ZERO_SLOTS; i++)
		pending |= w->zeroing[i].used && w->zeroing[i].r == NULL;
	for (unsigned i = 0; i < w->nr_zeroed;) {
		struct zeroed *z = &w->zeroed[i];
		u32 n = (u32)MIN(z->count, ZERO_MAX);

		if (!z->lost) {
			i++;
			continue;
		}
		pending = true;
		if (!zeroing_start(w, z->lba, n, NULL))
			return true;
		w->again = true; /* for zero_pump */
		z->lba += n;
		z->count -= n;
		if (z->count == 0)
			*z = w->zeroed[--w->nr_zeroed];
	}
	return pending;
}
