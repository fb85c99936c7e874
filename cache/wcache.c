/* SPDX-License-Identifier: BSD-2-Clause */
/* The cache's face: requests come in, the engine moves what waits, requests
 * are done. The story of a write: accept.c; of what follows: flush.c and
 * barrier.c; of a read: fill.c. */
#include "cache/wcache.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/range.h"
#include "cache/cache_trace.h"
#include "cache/wcache_int.h"

#define MEMORY_DEFAULT (64ULL << 20)
#define MEMORY_MIN     (1ULL << 20)
#define MEMORY_MAX     (1ULL << 40)
#define AHEAD_DEFAULT  (4ULL << 20)
#define WRITE_DEFAULT  (1ULL << 20)
#define SUBMIT_BATCH   16U
#define SUBMIT_ROUNDS  4U /* of a guest's thread; then the pool's goes on */

static void io_done(struct store_req *req);
static void kick_done(struct ioreq *io);

/* --- requests and slots --- */

static bool
has_range(const struct wcache_req *r)
{
	return r->op != WCACHE_FLUSH && r->op < WCACHE_CACHE_ON;
}

void
req_finish(struct wcache *w, struct list *fin, struct wcache_req *r, int rc,
	   u64 bad_lba)
{
	bool reads = r->op == WCACHE_READ || r->op == WCACHE_VERIFY;

	assert(!(r->state & REQ_FINISHED) && rc <= 0);
	if (rc == 0 && reads && (r->state & REQ_SYNCED)) {
		r->state &= ~(u32)REQ_SYNCED; /* durable: now read it */
		read_start(w, fin, r);
		return;
	}
	if (r->op == WCACHE_CACHE_OFF) {
		w->going_off = false;
		if (rc == 0)
			atomic_store_explicit(&w->on, false,
					      memory_order_relaxed);
	}
	/* A request for sectors names one of them, also when what failed is the
	 * flush that it came with. */
	if (has_range(r) && (bad_lba < r->lba || bad_lba - r->lba >= r->count))
		bad_lba = r->lba;
	r->rc = rc;
	r->bad_lba = rc == 0 ? 0 : bad_lba;
	r->state |= REQ_FINISHED;
	TRACE(cache_done, r->id, r->op, -rc, bad_lba);
	if (!(r->state & REQ_SUBMITTING))
		list_add_tail(fin, &r->link);
}

void
req_fail_all(struct wcache *w, struct list *fin, struct list *reqs, int rc,
	     u64 bad_lba)
{
	assert(rc < 0);
	while (!list_empty(reqs))
		req_finish(w, fin,
			   LIST_ENTRY(list_pop(reqs), struct wcache_req, link),
			   rc, bad_lba);
}

struct wio *
wio_get(struct wcache *w, struct list *idle, enum wio_kind kind)
{
	struct wio *io = LIST_ENTRY(list_pop(idle), struct wio, link);

	assert(!io->in_flight && !io->suspect && io->w == w);
	io->kind = kind;
	io->blocks = 0;
	io->junk = false;
	io->r = NULL;
	io->z = NULL;
	io->req.iov_count = 0;
	return io;
}

void
wio_put(struct wcache *w, struct list *idle, struct wio *io)
{
	assert(!io->in_flight && io->w == w);
	io->suspect = false;
	list_add_head(idle, &io->link);
}

void
wio_add(struct wio *io, void *p, size_t size_bytes)
{
	struct iovec *last = &io->iov[io->req.iov_count];

	if (io->req.iov_count != 0 &&
	    (u8 *)last[-1].iov_base + last[-1].iov_len == (u8 *)p) {
		last[-1].iov_len += size_bytes;
		return;
	}
	assert(io->req.iov_count < IOPOOL_IOV_MAX);
	*last = (struct iovec){p, size_bytes};
	io->req.iov_count++;
}

void
wio_queue(struct wcache *w, struct wio *io, enum store_op op, u64 lba,
	  u32 count, u64 id)
{
	assert(range_inside(lba, count, w->store->sectors));
	io->req.op = op;
	io->req.lba = lba;
	io->req.count = count;
	io->req.id = id;
	io->req.iov = io->iov;
	io->req.rc = 0;
	io->req.bad_lba = lba;
	io->req.done = io_done;
	io->start_ns = clock_now_ns();
	io->in_flight = true;
	w->in_flight++;
	if (op == STORE_WRITE)
		TRACE(cache_write_begin, id, lba, count, 0);
	list_add_tail(&w->to_submit, &io->link);
}

/* --- the engine --- */

/* Writers in the order they came: nobody overtakes the first. */
static void
writers_retry(struct wcache *w, struct list *fin) REQUIRES(w->lock)
{
	while (!list_empty(&w->writers)) {
		struct wcache_req *r =
		    LIST_ENTRY(w->writers.next, struct wcache_req, link);
		u64 end = r->lba + r->count, at = r->at_lba;
		bool in = r->op == WCACHE_WRITE ? accept_write(w, r, end)
						: zero_advance(w, r);

		/* What is in now can be written back, to make room. */
		w->again |= in || r->at_lba != at;
		if (!in)
			return;
		list_remove(&r->link);
		if (r->at_lba == end)
			flush_write(w, fin, r);
	}
}

/* Waiting writers of whom nothing that is under way will make room. */
static void
writers_give_up(struct wcache *w, struct list *fin) REQUIRES(w->lock)
{
	if (list_empty(&w->writers) || w->error == 0 || w->nr_writing != 0 ||
	    w->sync_running || w->barrier_running || w->nr_zeroing != 0 ||
	    (w->nr_held < w->held_max && !w->zeroed_full))
		return;
	if (w->store_failed && !cache_recovers(w)) {
		req_fail_all(w, fin, &w->writers, w->error, w->error_lba);
	} else if (w->store_failed || w->nr_unsynced == 0) {
		w->auto_barrier = true; /* it makes room, or fails them */
		w->again = true;
	}
}

/* Whatever can go on goes on. Called after anything changed. */
static void
engine(struct wcache *w, struct list *fin) REQUIRES(w->lock)
{
	do {
		w->again = false;
		barrier_begin(w, fin);
		zero_pump(w);
		ranges_pump(w, fin);
		flush_sweep(w);
		barrier_end(w, fin);
		sync_begin(w);
		writers_retry(w, fin);
		writers_give_up(w, fin);
	} while (w->again);
}

static void
gauges(struct wcache *w) REQUIRES(w->lock)
{
	atomic_store_explicit(&w->stats.dirty_bytes,
			      (u64)w->nr_dirty * BLOCK_BYTES,
			      memory_order_relaxed);
	atomic_store_explicit(&w->stats.unsynced_bytes,
			      (u64)w->nr_unsynced * BLOCK_BYTES,
			      memory_order_relaxed);
	atomic_store_explicit(&w->stats.clean_bytes,
			      (u64)(w->nr_small + w->nr_main) * BLOCK_BYTES,
			      memory_order_relaxed);
}

/* Sends what is queued, in batches, with the lock given up meanwhile. One
 * thread does at a time: a store that is done in its submit comes back here
 * and leaves its follow-ups to the one that is sending. */
static void
send_queued(struct wcache *w, unsigned rounds) REQUIRES(w->lock)
{
	struct store_req *reqs[SUBMIT_BATCH];

	if (w->submitting)
		return;
	w->submitting = true;
	for (; rounds != 0 && !list_empty(&w->to_submit); rounds--) {
		unsigned n = 0;

		while (n < SUBMIT_BATCH && !list_empty(&w->to_submit))
			reqs[n++] = &LIST_ENTRY(list_pop(&w->to_submit),
						struct wio, link)
					 ->req;
		lock_release(&w->lock);
		store_submit(w->store, reqs, n);
		lock_acquire(&w->lock);
	}
	w->submitting = false;
	if (!list_empty(&w->to_submit))
		w->kick_wanted = true;
}

/* The way out: with the lock given up, a pool thread is woken if one is
 * wanted, and the requests in fin are done. After that the cache may be gone.
 */
static void
leave(struct wcache *w, struct list *fin) LOCK_ATTR(release_capability(w->lock))
{
	bool kick = w->kick_wanted && !w->kick_pending;

	assert(w->inside > 0);
	if (kick) {
		w->kick_wanted = false;
		w->kick_pending = true;
	}
	gauges(w);
	w->inside--;
	if (w->closing)
		cond_wake_all(&w->idle);
	lock_release(&w->lock);
	if (kick)
		iopool_submit(w->store->pool, &(struct ioreq *){&w->kick}, 1);
	while (!list_empty(fin)) {
		struct wcache_req *r =
		    LIST_ENTRY(list_pop(fin), struct wcache_req, link);

		r->done(r);
	}
}

static void
kick_done(struct ioreq *io)
{
	struct wcache *w = CONTAINER_OF(io, struct wcache, kick);
	struct list fin;

	list_init(&fin);
	lock_acquire(&w->lock);
	assert(w->kick_pending);
	w->inside++;
	w->kick_pending = false;
	engine(w, &fin);
	send_queued(w, UINT32_MAX);
	leave(w, &fin);
}

static void
io_done(struct store_req *req)
{
	struct wio *io = CONTAINER_OF(req, struct wio, req);
	struct wcache *w = io->w;
	struct list fin;

	list_init(&fin);
	lock_acquire(&w->lock);
	assert(io->in_flight && w->in_flight > 0 && req->rc <= 0);
	w->inside++;
	w->in_flight--;
	io->in_flight = false;
	switch (io->kind) {
	case WIO_WRITE:
		write_done(w, io);
		break;
	case WIO_FILL:
		fill_done(w, io);
		break;
	case WIO_DIRECT:
		direct_done(w, &fin, io);
		break;
	case WIO_ZERO:
		zero_done(w, &fin, io);
		break;
	case WIO_SYNC:
		sync_done(w, &fin, io);
		break;
	}
	readers_retry(w, &fin);
	engine(w, &fin);
	send_queued(w, UINT32_MAX);
	leave(w, &fin);
}

/* --- submit --- */

static void
start_write(struct wcache *w, struct list *fin, struct wcache_req *r)
    REQUIRES(w->lock)
{
	u64 end = r->lba + r->count;
	u32 idle_dirty;

	STAT_ADD(w->stats.writes, 1);
	STAT_ADD(w->stats.write_sectors, r->count);
	if (!list_empty(&w->writers) ||
	    !(r->op == WCACHE_WRITE ? accept_write(w, r, end)
				    : zero_advance(w, r))) {
		STAT_ADD(w->stats.stalls, 1);
		list_add_tail(&w->writers, &r->link);
	} else if (r->at_lba == end) {
		flush_write(w, fin, r);
	}
	idle_dirty = w->nr_dirty - w->nr_writing;
	if (idle_dirty >= w->held_max / 4 && w->nr_writing == 0)
		w->kick_wanted = true;
}

static void
start(struct wcache *w, struct list *fin, struct wcache_req *r)
    REQUIRES(w->lock)
{
	switch (r->op) {
	case WCACHE_READ:
		if (r->flags & WCACHE_FUA)
			flush_join(w, fin, r);
		else
			read_start(w, fin, r);
		break;
	case WCACHE_WRITE:
	case WCACHE_DISCARD:
	case WCACHE_ZERO:
		start_write(w, fin, r);
		break;
	case WCACHE_VERIFY:
		flush_join(w, fin, r);
		break;
	case WCACHE_FLUSH:
		STAT_ADD(w->stats.flushes, 1);
		flush_join(w, fin, r);
		break;
	case WCACHE_CACHE_ON:
		atomic_store_explicit(&w->on, true, memory_order_relaxed);
		req_finish(w, fin, r, 0, 0);
		break;
	case WCACHE_CACHE_OFF:
		w->going_off = true; /* a write from now on is durable */
		flush_join(w, fin, r);
		break;
	}
}

/* Does r name sectors that the disk has? Others are for nobody to answer. */
static bool
well_formed(const struct wcache *w, const struct wcache_req *r)
{
	if ((unsigned)r->op > WCACHE_CACHE_OFF)
		return false;
	if (!has_range(r))
		return true;
	if (!range_inside(r->lba, r->count, w->store->sectors))
		return false;
	return (r->op != WCACHE_READ && r->op != WCACHE_WRITE) ||
	       iov_bytes(r->iov, r->iov_count) >= (u64)r->count * SECTOR_BYTES;
}

bool
wcache_submit(struct wcache *w, struct wcache_req *r)
{
	struct list fin;
	bool finished;

	r->rc = 0;
	r->bad_lba = 0;
	r->state = REQ_SUBMITTING;
	r->limit = 0;
	r->at_lba = r->lba;
	r->generation = 0;
	TRACE(cache_submit, r->id, r->op, r->lba, r->count);
	if (!well_formed(w, r) || (has_range(r) && r->count == 0)) {
		r->rc = well_formed(w, r) ? 0 : -EINVAL;
		return true;
	}
	list_init(&fin);
	lock_acquire(&w->lock);
	w->inside++;
	start(w, &fin, r);
	if (!(r->state & REQ_FINISHED) ||
	    (w->kick_wanted && w->store->pool == NULL)) {
		w->kick_wanted &= w->store->pool != NULL;
		engine(w, &fin);
	}
	if (!list_empty(&w->to_submit))
		send_queued(w, w->store->pool != NULL ? SUBMIT_ROUNDS
						      : UINT32_MAX);
	finished = r->state & REQ_FINISHED;
	r->state &= ~(u32)REQ_SUBMITTING;
	leave(w, &fin);
	return finished;
}

/* --- open, close, questions --- */

static int
configure(struct wcache *w, const struct wcache_config *cfg, struct err *e)
{
	u64 memory =
	    cfg->memory_bytes != 0 ? cfg->memory_bytes : MEMORY_DEFAULT;
	u64 dirty =
	    cfg->dirty_max_bytes != 0 ? cfg->dirty_max_bytes : memory / 2;
	u64 ahead =
	    cfg->readahead_bytes != 0 ? cfg->readahead_bytes : AHEAD_DEFAULT;
	u64 most =
	    cfg->write_max_bytes != 0 ? cfg->write_max_bytes : WRITE_DEFAULT;

	if (memory < MEMORY_MIN || memory > MEMORY_MAX)
		return err_set(e, -EINVAL,
			       "a write cache of %llu bytes is not between "
			       "1 MiB and 1 TiB",
			       (unsigned long long)memory);
	w->mode = cfg->mode;
	w->block_count = (u32)(memory / BLOCK_BYTES);
	/* A quarter is always left for reads: whoever needs a block and finds
	 * none waits for an I/O that is in flight, never for nothing. */
	w->held_max = (u32)MIN(MAX(dirty / BLOCK_BYTES, 16),
			       w->block_count - w->block_count / 4);
	w->ahead_max = ahead == 1 || cfg->mode == WCACHE_NONE
			   ? 0
			   : (u32)(MIN(ahead, memory / 8) / SECTOR_BYTES);
	w->write_max = (u32)(MIN(MAX(most, BLOCK_BYTES),
				 (u64)IOPOOL_IOV_MAX * BLOCK_BYTES) /
			     SECTOR_BYTES);
	atomic_init(&w->on, cfg->mode != WCACHE_WRITETHROUGH);
	return 0;
}

static int
slots_open(struct wcache *w)
{
	struct list *const pool[] = {&w->writes, &w->reads, &w->zeros};
	const unsigned size[] = {WRITE_SLOTS, READ_SLOTS, ZERO_SLOTS};
	struct list *const all[] = {&w->to_submit,   &w->barrier_next,
				    &w->barrier_now, &w->sync_next,
				    &w->sync_now,    &w->ranges,
				    &w->writers,     &w->readers};
	unsigned at = 0;

	assert(w->ios == NULL);
	w->ios = calloc(ALL_SLOTS, sizeof(*w->ios));
	if (w->ios == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
		list_init(all[i]);
	for (unsigned i = 0; i < ALL_SLOTS; i++) {
		w->ios[i].w = w;
		list_init(&w->ios[i].link);
	}
	for (unsigned p = 0; p < ARRAY_SIZE(pool); p++) {
		list_init(pool[p]);
		for (unsigned i = 0; i < size[p]; i++)
			list_add_tail(pool[p], &w->ios[at++].link);
	}
	w->sync = &w->ios[at];
	return 0;
}

static void
wcache_free(struct wcache *w)
{
	assert(w->inside == 0);
	extent_close(w);
	block_close(w);
	free(w->ios);
	lock_destroy(&w->lock);
	cond_destroy(&w->idle);
	free(w);
}

int
wcache_open(struct wcache **out, struct store *s,
	    const struct wcache_config *cfg, struct err *e)
{
	struct wcache *w = calloc(1, sizeof(*w));
	int rc;

	if (w == NULL)
		return err_errno(e, -ENOMEM, "cannot make a write cache");
	lock_init(&w->lock);
	cond_init(&w->idle);
	w->store = s;
	w->gen = 1;
	w->last_block = NONE;
	w->kick.op = IO_CALL;
	w->kick.done = kick_done;
	rc = configure(w, cfg, e);
	if (rc != 0)
		goto fail;
	rc = extent_open(w);
	if (rc == 0)
		rc = block_open(w);
	if (rc == 0)
		rc = slots_open(w);
	if (rc != 0) {
		err_errno(e, rc, "cannot make a write cache of %u MiB",
			  w->block_count / 256);
		goto fail;
	}
	if (s->pool != NULL)
		iopool_register_memory(s->pool, w->memory,
				       (u64)w->block_count * BLOCK_BYTES);
	*out = w;
	return 0;
fail:
	wcache_free(w);
	return rc;
}

void
wcache_close(struct wcache *w)
{
	if (w == NULL)
		return;
	lock_acquire(&w->lock);
	w->closing = true;
	while (w->inside != 0 || w->in_flight != 0 || w->kick_pending)
		cond_wait(&w->idle, &w->lock);
	assert(list_empty(&w->writers) && list_empty(&w->readers));
	assert(list_empty(&w->barrier_next) && list_empty(&w->ranges));
	lock_release(&w->lock);
	if (w->store->pool != NULL)
		iopool_forget_memory(w->store->pool, w->memory);
	wcache_free(w);
}

bool
wcache_is_on(const struct wcache *w)
{
	return atomic_load_explicit(&w->on, memory_order_relaxed);
}

bool
wcache_is_dirty(struct wcache *w)
{
	bool dirty;

	lock_acquire(&w->lock);
	dirty = w->nr_held != 0 || w->unflushed || w->nr_zeroing != 0 ||
		w->error != 0;
	lock_release(&w->lock);
	return dirty;
}

const struct wcache_stats *
wcache_stats(const struct wcache *w)
{
	return &w->stats;
}

void
wcache_check(struct wcache *w)
{
	lock_acquire(&w->lock);
	extent_check(w);
	block_check(w);
	assert(w->sync_running || list_empty(&w->syncing)); /* [I6] */
	assert(w->nr_old <= w->nr_dirty && w->nr_dirty <= w->nr_held);
	assert(w->nr_zeroed <= ZERO_RANGES && w->nr_zeroing <= ZERO_SLOTS);
	assert(!w->store_failed || w->error != 0);
	lock_release(&w->lock);
}
