/* SPDX-License-Identifier: BSD-2-Clause */
/* Write-back: dirty blocks become requests to the store, in LBA order.
 *
 * A sweep takes the dirty chunks in order and makes runs of them, as many at a
 * time as there are slots; a finished write makes room for the next. Sweeps go
 * on as long as somebody wants them (sweep_wanted). What a write must wait for
 * in the meantime (a busy block, a shadow, a range being zeroed) is left for
 * the next sweep. */
#include "base/clock.h"
#include "cache/cache_trace.h"
#include "cache/wcache_int.h"

/* May b be written now? [I3] */
static bool
eligible(struct wcache *w, struct block *b) REQUIRES(w->lock)
{
	if (b->dirty == 0 || b->busy || b->shadow != NONE)
		return false;
	if ((b->flags & BLOCK_BAD) && b->attempt == w->attempt)
		return false;
	return w->nr_zeroing == 0 ||
	       !zero_covers(w, b->key * BLOCK_SECTORS, BLOCK_SECTORS);
}

/* Which sectors of b one write takes: from the first dirty one to the last if
 * all between are here (and whole units of the store, if they are: it saves
 * the store a read), else the first that lie together. */
static u8
span_of(struct wcache *w, const struct block *b) REQUIRES(w->lock)
{
	unsigned lo = (unsigned)__builtin_ctz(b->dirty);
	unsigned hi = 31U - (unsigned)__builtin_clz(b->dirty);
	unsigned unit = MIN(w->store->align_sectors, BLOCK_SECTORS);
	u8 span, wide;

	span = sector_mask(lo, hi - lo + 1);
	if (unit > 1) {
		unsigned a = lo - lo % unit, z = hi - hi % unit + unit;

		wide = sector_mask(a, MIN(z, BLOCK_SECTORS) - a);
		wide &= block_mask(w, b->key);
		if (!(wide & ~b->valid))
			return wide;
	}
	if (!(span & ~b->valid))
		return span;
	for (hi = lo; hi + 1 < BLOCK_SECTORS && (b->dirty >> (hi + 1) & 1);)
		hi++;
	return sector_mask(lo, hi - lo + 1);
}

/* One write of the run that begins with b. */
static void
run_start(struct wcache *w, struct wio *io, struct block *b) REQUIRES(w->lock)
{
	u64 lba = 0;
	u32 sectors = 0;

	while (io->blocks < IOPOOL_IOV_MAX) {
		u8 m = span_of(w, b);
		unsigned first = (unsigned)__builtin_ctz(m);
		unsigned n = (unsigned)__builtin_popcount(m);
		u64 key = b->key;

		if (io->blocks == 0)
			lba = key * BLOCK_SECTORS + first;
		else if (first != 0 || sectors + n > w->write_max)
			break;
		assert(b->busy == BUSY_NO && b->shadow == NONE);
		assert((m & ~b->valid) == 0);
		wio_add(io, block_data(w, b) + first * SECTOR_BYTES,
			n * SECTOR_BYTES);
		io->block[io->blocks++] = block_index(w, b);
		b->busy = BUSY_WRITE;
		b->busy_mask = m;
		b->dirty &= (u8)~m;
		b->flags &= (u8)~BLOCK_BAD;
		sectors += n;
		block_settle(w, b);
		if (first + n != BLOCK_SECTORS || (b->flags & BLOCK_ALONE))
			break;
		b = extent_find(w, key + 1);
		if (b == NULL || !eligible(w, b) || (b->flags & BLOCK_ALONE))
			break;
	}
	STAT_ADD(w->stats.writebacks, 1);
	STAT_ADD(w->stats.writeback_sectors, sectors);
	wio_queue(w, io, STORE_WRITE, lba, sectors, 0);
}

static bool
sweep_wanted(struct wcache *w) REQUIRES(w->lock)
{
	u32 waiting = w->nr_dirty - w->nr_writing;

	if (waiting == 0)
		w->background = false;
	else if (waiting >= w->held_max / 4)
		w->background = true;
	return (w->barrier_running && w->nr_old != 0) || w->background ||
	       !list_empty(&w->writers);
}

/* The first dirty block of a chunk that can be written, or NULL. */
static struct block *
first_eligible(struct wcache *w, u64 chunk_no) REQUIRES(w->lock)
{
	u64 dirty = extent_dirty(w, chunk_no);

	for (; dirty != 0; dirty &= dirty - 1) {
		struct block *b =
		    extent_find(w, chunk_no * CHUNK_BLOCKS +
				       (unsigned)__builtin_ctzll(dirty));

		if (eligible(w, b))
			return b;
	}
	return NULL;
}

void
flush_sweep(struct wcache *w)
{
	assert(w->sweep_at <= w->sweep_count);
	while (!list_empty(&w->writes)) {
		struct block *b;

		if (w->sweep_at == w->sweep_count) {
			if (w->sweep_count != 0 && w->sweep_issued == 0)
				w->sweep_stalled = true;
			w->sweep_at = w->sweep_count = w->sweep_issued = 0;
			w->background = false; /* one sweep each time */
			if (w->sweep_stalled || !sweep_wanted(w))
				return;
			w->sweep_count = extent_snapshot(w);
			if (w->sweep_count == 0)
				return;
		}
		b = first_eligible(w, w->sweep_no[w->sweep_at]);
		if (b == NULL) {
			w->sweep_at++;
			continue;
		}
		w->sweep_issued++;
		run_start(w, wio_get(w, &w->writes, WIO_WRITE), b);
	}
}

/* The write of b is over; what it was about goes to the block that is in the
 * index now: b itself or its successor. */
static void
block_written(struct wcache *w, struct wio *io, struct block *b, bool good)
    REQUIRES(w->lock)
{
	bool volatile_store =
	    w->mode != WCACHE_UNSAFE && w->mode != WCACHE_NONE;
	u8 mask = b->busy_mask;
	struct block *n = b;

	assert(b->busy == BUSY_WRITE && b->place == HELD);
	if (b->flags & BLOCK_DETACHED) {
		n = extent_find(w, b->key);
		assert(n != NULL && n->shadow == block_index(w, b));
		n->shadow = NONE;
	}
	b->busy = BUSY_NO;
	b->busy_mask = 0;
	if (good && !io->suspect) {
		n->flags &= (u8) ~(BLOCK_ALONE | BLOCK_BAD);
		if (volatile_store)
			n->unsynced |= mask & (u8)~n->dirty;
		if (n->unsynced != 0) { /* not what a running flush covers */
			list_remove(&n->link);
			list_add_tail(&w->unsynced, &n->link);
		}
	} else {
		n->gen = n->dirty != 0 ? MIN(n->gen, b->gen) : b->gen;
		if (io->suspect)
			n->gen = 0;
		n->dirty |= mask;
		n->unsynced &= (u8)~mask;
	}
	if (!good && io->blocks > 1) {
		n->flags |= BLOCK_ALONE;
	} else if (!good) {
		n->flags |= BLOCK_ALONE | BLOCK_BAD;
		n->attempt = w->attempt;
	}
	if (n != b) {
		block_settle(w, b);
		block_put(w, b);
	}
	block_settle(w, n);
}

static void
write_failed(struct wcache *w, struct wio *io) REQUIRES(w->lock)
{
	u64 bad = io->req.bad_lba;

	/* A run is tried again block by block before it counts. */
	if (io->blocks > 1)
		return;
	if (bad < io->req.lba || bad - io->req.lba >= io->req.count)
		bad = io->req.lba;
	STAT_ADD(w->stats.errors, 1);
	if (w->error == 0 || bad < w->error_lba)
		w->error_lba = bad;
	w->error = io->req.rc;
	if (w->barrier_rc == 0 || bad < w->barrier_bad)
		w->barrier_bad = bad;
	w->barrier_rc = io->req.rc;
}

void
write_done(struct wcache *w, struct wio *io)
{
	bool good = io->req.rc == 0;

	assert(io->kind == WIO_WRITE && io->blocks > 0);
	TRACE(cache_write_done, io->req.id, io->req.lba, io->req.count,
	      -io->req.rc);
	hist_add(&w->stats.store_write, clock_now_ns() - io->start_ns);
	if (w->mode != WCACHE_UNSAFE)
		w->unflushed = true;
	for (unsigned i = 0; i < io->blocks; i++)
		block_written(w, io, &w->blocks[io->block[i]], good);
	if (!good)
		write_failed(w, io);
	w->sweep_stalled = false;
	wio_put(w, &w->writes, io);
}

enum range_state { RANGE_CLEAN, RANGE_PENDING, RANGE_BAD };

/* What was written of a request's range before its generation: in the store?
 * Starts what can be started. */
static enum range_state
range_write(struct wcache *w, struct wcache_req *r) REQUIRES(w->lock)
{
	enum range_state state = RANGE_CLEAN;
	u64 key = r->lba / BLOCK_SECTORS;
	u64 end = (r->lba + r->count - 1) / BLOCK_SECTORS + 1;
	struct block *b;

	while ((b = extent_next(w, key, end)) != NULL) {
		struct block *s =
		    b->shadow == NONE ? NULL : &w->blocks[b->shadow];

		key = b->key + 1;
		if (b->counted & COUNT_DIRTY && b->gen <= r->generation) {
			if ((b->flags & BLOCK_BAD) && b->dirty != 0 &&
			    b->attempt == w->attempt)
				return RANGE_BAD;
			state = RANGE_PENDING;
			if (eligible(w, b) && !list_empty(&w->writes))
				run_start(w, wio_get(w, &w->writes, WIO_WRITE),
					  b);
		}
		if (s != NULL && s->busy == BUSY_WRITE &&
		    s->gen <= r->generation)
			state = RANGE_PENDING;
	}
	return state;
}

/* A range is in the store: is that enough? */
static void
range_end(struct wcache *w, struct list *fin, struct wcache_req *r)
    REQUIRES(w->lock)
{
	bool on = atomic_load_explicit(&w->on, memory_order_relaxed);

	if (on && !w->going_off && !(r->flags & WCACHE_FUA))
		req_finish(w, fin, r, 0, 0);
	else if (w->error != 0)
		flush_join(w, fin, r);
	else
		sync_join(w, fin, r);
}

void
ranges_pump(struct wcache *w, struct list *fin)
{
	struct list all;

	list_init(&all);
	list_move_all(&all, &w->ranges);
	while (!list_empty(&all)) {
		struct wcache_req *r =
		    LIST_ENTRY(list_pop(&all), struct wcache_req, link);

		assert(r->count != 0);
		switch (range_write(w, r)) {
		case RANGE_CLEAN:
			range_end(w, fin, r);
			break;
		case RANGE_PENDING:
			list_add_tail(&w->ranges, &r->link);
			break;
		case RANGE_BAD:
			req_finish(w, fin, r, w->error, w->error_lba);
			break;
		}
	}
}

/* With the cache on, a write is done when its data is in. Otherwise its range
 * goes to the store at once, and (but in mode NONE) a flush of the store
 * follows (disk-rules 15, 17). In state ERROR it is only as good as a flush. */
void
flush_write(struct wcache *w, struct list *fin, struct wcache_req *r)
{
	bool on =
	    atomic_load_explicit(&w->on, memory_order_relaxed) && !w->going_off;
	bool durable = !on || (r->flags & WCACHE_FUA);

	assert(r->at_lba == r->lba + r->count);
	if (w->mode == WCACHE_UNSAFE || (!durable && w->mode != WCACHE_NONE)) {
		req_finish(w, fin, r, 0, 0);
	} else if (durable && w->error != 0) {
		flush_join(w, fin, r);
	} else {
		r->generation = w->gen++;
		list_add_tail(&w->ranges, &r->link);
	}
}
