/* SPDX-License-Identifier: BSD-2-Clause */
/* Barriers: a flush that is a flush (disk-rules 5-14).
 *
 *   flush_join     barrier_begin     barrier_end      sync_begin    sync_done
 *  ----------> next ---------> now ----------> sync_next -----> sync_now ---->
 *
 * A barrier takes everybody who waits for it, closes the generation and sweeps
 * until no block of it is dirty or in flight; writes that come meanwhile are
 * of the next generation and stay dirty (disk-rules 6). Then one flush of the
 * store serves all who are that far, those whose own writes went a shorter way
 * (ranges) included. A flush of the store covers what was done before it was
 * submitted: what ends while it runs waits for the next one. */
#include "base/clock.h"
#include "cache/cache_trace.h"
#include "cache/wcache_int.h"

/* Can a failed flush of the store be made up for? */
bool
cache_recovers(const struct wcache *w)
{
	struct store *s = w->store;

	return s->ops->recover != NULL && !w->lost &&
	       (s->ops->may_recover == NULL || s->ops->may_recover(s));
}

/* Is there nothing that a flush would do? */
static bool
nothing_to_do(struct wcache *w) REQUIRES(w->lock)
{
	return w->nr_dirty == 0 && !w->unflushed && !w->sync_running &&
	       w->error == 0 && w->nr_zeroing == 0;
}

void
flush_join(struct wcache *w, struct list *fin, struct wcache_req *r)
{
	if (w->mode == WCACHE_UNSAFE)
		req_finish(w, fin, r, w->error, w->error_lba);
	else if (w->store_failed && !cache_recovers(w))
		req_finish(w, fin, r, w->error, w->error_lba);
	else if (nothing_to_do(w))
		sync_join(w, fin, r);
	else
		list_add_tail(&w->barrier_next, &r->link);
	w->again = true; /* it may be its turn */
}

void
barrier_begin(struct wcache *w, struct list *fin)
{
	if (w->barrier_running ||
	    (list_empty(&w->barrier_next) && !w->auto_barrier))
		return;
	w->auto_barrier = false;
	if (w->store_failed && !cache_recovers(w)) {
		req_fail_all(w, fin, &w->barrier_next, w->error, w->error_lba);
		return;
	}
	assert(list_empty(&w->barrier_now));
	list_move_all(&w->barrier_now, &w->barrier_next);
	w->barrier_running = true;
	w->barrier_gen = w->gen++;
	w->nr_old = w->nr_dirty;
	w->attempt++;
	w->nr_bad_old = 0;
	w->barrier_rc = w->redo_rc = 0;
	w->sweep_stalled = false;
	TRACE(cache_barrier_begin, w->barrier_gen, w->nr_old, w->nr_unsynced,
	      0);
}

/* Is anything that a failed flush may have lost still to be written anew? */
static bool
redo_pending(struct wcache *w) REQUIRES(w->lock)
{
	for (unsigned i = 0; i < ALL_SLOTS; i++)
		if (w->ios[i].suspect &&
		    (w->ios[i].kind == WIO_WRITE || w->ios[i].kind == WIO_ZERO))
			return true;
	return zero_redo(w);
}

/* Calls the store without the lock; nobody else does meanwhile. */
static int
recover(struct wcache *w) REQUIRES(w->lock)
{
	int rc;

	w->recovering = true;
	lock_release(&w->lock);
	rc = w->store->ops->recover(w->store);
	lock_acquire(&w->lock);
	w->recovering = false;
	return rc;
}

void
barrier_end(struct wcache *w, struct list *fin)
{
	int rc;

	if (!w->barrier_running || w->recovering || w->nr_old != w->nr_bad_old)
		return;
	if (w->store_failed && w->redo_rc == 0 && redo_pending(w))
		return;
	TRACE(cache_barrier_end, w->barrier_gen, w->nr_old, -w->barrier_rc, 0);
	w->again = true;
	if (w->nr_old != 0) {
		assert(w->barrier_rc != 0);
		w->barrier_running = false;
		req_fail_all(w, fin, &w->barrier_now, w->barrier_rc,
			     w->barrier_bad);
		/* Whoever waits for room would wait for what cannot be. */
		if (w->nr_unsynced == 0)
			req_fail_all(w, fin, &w->writers, w->barrier_rc,
				     w->barrier_bad);
		return;
	}
	if (w->store_failed) {
		rc = w->redo_rc;
		if (rc == 0)
			rc = cache_recovers(w) ? recover(w) : w->error;
		if (rc != 0) {
			w->barrier_running = false;
			req_fail_all(w, fin, &w->barrier_now, rc, w->error_lba);
			req_fail_all(w, fin, &w->writers, rc, w->error_lba);
			return;
		}
		w->store_failed = false;
		w->unflushed = true;
	}
	w->barrier_running = false;
	while (!list_empty(&w->barrier_now))
		sync_join(w, fin,
			  LIST_ENTRY(list_pop(&w->barrier_now),
				     struct wcache_req, link));
}

/* The store has everything of r's: durable, or soon. */
void
sync_join(struct wcache *w, struct list *fin, struct wcache_req *r)
{
	if (w->store_failed) {
		req_finish(w, fin, r, w->error, w->error_lba);
	} else if (!w->unflushed && !w->sync_running) {
		/* No write since the last good flush (disk-rules 8). */
		r->state |= REQ_SYNCED;
		req_finish(w, fin, r, 0, 0);
	} else if (!w->unflushed) {
		/* The flush that runs was submitted after the last write. */
		list_add_tail(&w->sync_now, &r->link);
	} else {
		list_add_tail(&w->sync_next, &r->link);
		w->again = true;
	}
}

/* Does the cache want a flush for itself, so that memory gets free? */
static bool
sync_wanted(struct wcache *w) REQUIRES(w->lock)
{
	if (!w->unflushed)
		return false;
	if (w->zeroed_full)
		return true;
	if (w->nr_unsynced == 0)
		return false;
	if (w->nr_held >= w->held_max / 4 * 3 &&
	    w->nr_unsynced >= w->held_max / 4)
		return true;
	return !list_empty(&w->writers) && w->nr_writing == 0 &&
	       (w->nr_dirty == 0 || w->sweep_stalled);
}

void
sync_begin(struct wcache *w)
{
	u64 id = 0; /* of the first who waits for it */

	if (w->sync_running || w->store_failed || w->mode == WCACHE_UNSAFE)
		return;
	if (list_empty(&w->sync_next) && !sync_wanted(w))
		return;
	assert(list_empty(&w->syncing)); /* [I6] */
	list_move_all(&w->sync_now, &w->sync_next);
	list_move_all(&w->syncing, &w->unsynced);
	zero_sync_begin(w);
	w->sync_running = true;
	w->unflushed = false;
	STAT_ADD(w->stats.store_flushes, 1);
	if (!list_empty(&w->sync_now))
		id = LIST_ENTRY(w->sync_now.next, struct wcache_req, link)->id;
	TRACE(cache_sync_begin, id, w->nr_unsynced, 0, 0);
	w->sync->kind = WIO_SYNC;
	wio_queue(w, w->sync, STORE_FLUSH, 0, 0, id);
}

/* Everything since the last good flush is unknown: it is in memory and becomes
 * dirty again, what is in flight when it ends (disk-rules 11). Reads in flight
 * may see what was before: they are made again. */
static void
sync_failed(struct wcache *w, struct list *fin, int rc) REQUIRES(w->lock)
{
	struct list all;
	u64 first = UINT64_MAX;

	list_init(&all);
	list_move_all(&all, &w->syncing);
	list_move_all(&all, &w->unsynced);
	while (!list_empty(&all)) {
		struct block *b =
		    LIST_ENTRY(list_pop(&all), struct block, link);

		first = MIN(first, b->key * BLOCK_SECTORS +
				       (unsigned)__builtin_ctz(b->unsynced));
		b->dirty |= b->unsynced;
		b->unsynced = 0;
		b->gen = 0;
		block_settle(w, b);
	}
	for (unsigned i = 0; i < ALL_SLOTS; i++)
		w->ios[i].suspect =
		    w->ios[i].in_flight && &w->ios[i] != w->sync;
	if (w->mode == WCACHE_NONE)
		w->lost = true; /* the data is not here any more */
	zero_sync_end(w, false);
	w->store_failed = true;
	w->unflushed = true;
	w->error = rc;
	w->error_lba = first == UINT64_MAX ? 0 : first;
	STAT_ADD(w->stats.errors, 1);
	req_fail_all(w, fin, &w->sync_now, rc, w->error_lba);
	req_fail_all(w, fin, &w->sync_next, rc, w->error_lba);
	if (!cache_recovers(w)) {
		w->barrier_running = false;
		req_fail_all(w, fin, &w->barrier_now, rc, w->error_lba);
		req_fail_all(w, fin, &w->barrier_next, rc, w->error_lba);
	}
}

void
sync_done(struct wcache *w, struct list *fin, struct wio *io)
{
	assert(w->sync_running && io == w->sync);
	TRACE(cache_sync_end, io->req.id, -io->req.rc,
	      clock_now_ns() - io->start_ns, 0);
	hist_add(&w->stats.store_flush, clock_now_ns() - io->start_ns);
	w->sync_running = false;
	w->sweep_stalled = false;
	if (io->req.rc != 0) {
		sync_failed(w, fin, io->req.rc);
		return;
	}
	while (!list_empty(&w->syncing)) {
		struct block *b =
		    LIST_ENTRY(list_pop(&w->syncing), struct block, link);

		b->unsynced = 0;
		block_settle(w, b);
	}
	zero_sync_end(w, true);
	if (w->nr_bad == 0)
		w->error = 0;
	while (!list_empty(&w->sync_now)) {
		struct wcache_req *r =
		    LIST_ENTRY(list_pop(&w->sync_now), struct wcache_req, link);

		r->state |= REQ_SYNCED;
		req_finish(w, fin, r, 0, 0);
	}
}
