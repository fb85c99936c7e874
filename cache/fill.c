/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads: what is here is copied, what is not is fetched.
 *
 * A read of the store into cache memory (a fill) goes into blocks that nobody
 * writes to meanwhile: a block that is not there is put into the index, busy;
 * a block that is there in part gets the fill as its shadow, and what it lacks
 * is copied when that is done. So what was written while the fill was on its
 * way is never replaced by what the store had before (disk-rules 3).
 *
 * Reads past the cache (direct): in mode NONE, when the request is large
 * beside the cache, for FUA and VERIFY, and when a fill failed: then by
 * halves, down to the exact sector that cannot be read. Their data is never
 * kept: guests may write to the memory while it is on its way. */
#include "base/clock.h"
#include "cache/cache_trace.h"
#include "cache/wcache_int.h"

#define DIRECT_MAX 2048U /* sectors of one read past the cache */

/* Takes the block of one fill into io; false when there is no memory. */
static bool
fill_block(struct wcache *w, struct wio *io, u64 key, bool cheap)
    REQUIRES(w->lock)
{
	u32 after = io->blocks == 0 ? w->last_block : io->block[io->blocks - 1];
	struct block *s = block_get(w, key, after, cheap), *b;

	if (s == NULL)
		return false;
	/* Looked up now: getting s may have given it up. */
	b = extent_find(w, key);
	assert(b == NULL || (!b->busy && b->shadow == NONE));
	s->busy = BUSY_FILL;
	s->busy_mask = block_mask(w, key);
	if (cheap)
		s->flags |= BLOCK_AHEAD;
	if (b == NULL) {
		extent_insert(w, key, s);
		block_settle(w, s);
	} else {
		block_settle(w, s);
		b->shadow = block_index(w, s);
		block_settle(w, b);
	}
	wio_add(io, block_data(w, s),
		(unsigned)__builtin_popcount(s->busy_mask) * SECTOR_BYTES);
	io->block[io->blocks++] = block_index(w, s);
	w->last_block = block_index(w, s);
	return true;
}

static bool
needs_fill(struct wcache *w, u64 key) REQUIRES(w->lock)
{
	struct block *b = extent_find(w, key);

	if (b != NULL &&
	    (b->busy || b->shadow != NONE || b->valid == block_mask(w, key)))
		return false;
	if (zero_lost(w, key * BLOCK_SECTORS))
		return false;
	return w->nr_zeroing == 0 ||
	       !zero_covers(w, key * BLOCK_SECTORS, BLOCK_SECTORS);
}

/* One read of as many blocks from key on as lie together. */
static struct wio *
fill_run(struct wcache *w, u64 key, u64 end, u64 demand_end) REQUIRES(w->lock)
{
	u32 max = MIN(w->write_max / BLOCK_SECTORS, IOPOOL_IOV_MAX);
	struct wio *io = wio_get(w, &w->reads, WIO_FILL);
	u64 at = key, last;

	while (at < end && io->blocks < max && needs_fill(w, at) &&
	       w->nr_filling < w->block_count / 4) {
		if (!fill_block(w, io, at, at >= demand_end))
			break;
		at++;
	}
	if (io->blocks == 0) {
		wio_put(w, &w->reads, io);
		return NULL;
	}
	last = MIN(at * BLOCK_SECTORS, w->store->sectors);
	wio_queue(w, io, STORE_READ, key * BLOCK_SECTORS,
		  (u32)(last - key * BLOCK_SECTORS), 0);
	return io;
}

void
fill_start(struct wcache *w, u64 key, u64 end, u64 demand_end)
{
	assert(key < end);
	while (key < end) {
		unsigned busy = 0;
		struct wio *io;

		if (!needs_fill(w, key)) {
			key++;
			continue;
		}
		for (unsigned i = 0; i < ALL_SLOTS; i++)
			busy +=
			    w->ios[i].in_flight && w->ios[i].kind == WIO_FILL;
		if (busy >= FILL_SLOTS || list_empty(&w->reads))
			return;
		io = fill_run(w, key, end, demand_end);
		if (io == NULL)
			return;
		key += io->blocks;
	}
}

/* The fill of s is over. */
static void
block_filled(struct wcache *w, struct block *s, bool good) REQUIRES(w->lock)
{
	u8 mask = s->busy_mask, missing;
	struct block *b = s;

	assert(s->busy == BUSY_FILL && s->dirty == 0);
	s->busy = BUSY_NO;
	s->busy_mask = 0;
	if (s->flags & BLOCK_DETACHED) {
		b = extent_find(w, s->key);
		assert(b != NULL && b->shadow == block_index(w, s));
		b->shadow = NONE;
		missing = good ? mask & (u8)~b->valid : 0;
		for (unsigned i = 0; i < BLOCK_SECTORS; i++)
			if (missing >> i & 1)
				memcpy(block_data(w, b) + i * SECTOR_BYTES,
				       block_data(w, s) + i * SECTOR_BYTES,
				       SECTOR_BYTES);
		b->valid |= missing;
		block_settle(w, s);
		block_put(w, s);
	} else {
		s->valid = good ? mask : 0;
	}
	block_settle(w, b);
}

void
fill_done(struct wcache *w, struct wio *io)
{
	u64 lba = io->req.lba, count = io->req.count;
	bool good = io->req.rc == 0 && !io->suspect;

	assert(io->kind == WIO_FILL && io->blocks > 0);
	hist_add(&w->stats.store_read, clock_now_ns() - io->start_ns);
	for (unsigned i = 0; i < io->blocks; i++)
		block_filled(w, &w->blocks[io->block[i]], good);
	/* Who waits for it asks again, exactly. */
	if (io->req.rc != 0) {
		LIST_FOR(l, &w->readers)
		{
			struct wcache_req *r =
			    LIST_ENTRY(l, struct wcache_req, link);

			if (r->at_lba < lba + count &&
			    r->lba + r->count > lba && r->limit == 0)
				r->limit = DIRECT_MAX;
		}
	}
	w->sweep_stalled = false;
	wio_put(w, &w->reads, io);
}

/* The sectors of b that a read may take from it. A FUA read and VERIFY are
 * about the store's, unless there is a newer version (disk-rules 18). */
static u8
usable(const struct wcache_req *r, const struct block *b)
{
	if (b->busy == BUSY_FILL)
		return 0;
	if (r->op != WCACHE_VERIFY && !(r->flags & WCACHE_FUA))
		return b->valid;
	if (b->busy == BUSY_WRITE || b->shadow != NONE)
		return b->valid;
	return b->dirty | b->unsynced;
}

/* The sectors from lba on, at most count and in one block, that are here: how
 * many, and where; *data is NULL for zeros. */
static unsigned
here(struct wcache *w, const struct wcache_req *r, u64 count, const u8 **data)
    REQUIRES(w->lock)
{
	u64 lba = r->at_lba;
	struct block *b = extent_find(w, lba / BLOCK_SECTORS);
	unsigned first = lba % BLOCK_SECTORS, n = 0;
	bool lost = zero_lost(w, lba);
	u8 have = 0;

	*data = NULL;
	if (b != NULL) {
		have = lost && b->busy != BUSY_FILL ? b->valid : usable(r, b);
		n = (unsigned)__builtin_ctz(~(u32)(have >> first));
		*data = block_data(w, b) + first * SECTOR_BYTES;
	}
	if (n != 0) {
		if (b->flags & BLOCK_AHEAD) {
			b->flags &= (u8)~BLOCK_AHEAD;
			STAT_ADD(w->stats.readahead_hits, 1);
		}
		/* Small pieces of one block in a row are one use of it. */
		if (first == 0 || b->freq == 0)
			b->freq = (u8)MIN(b->freq + 1, 3);
	} else if (lost) {
		*data = NULL;
		n = 1;
	}
	return (unsigned)MIN(n, count);
}

/* Copies what is here, from at_lba on, as far as it goes. */
static void
read_copy(struct wcache *w, struct wcache_req *r) REQUIRES(w->lock)
{
	u64 end = r->lba + r->count;
	struct iov_cursor s = {NULL, NULL, 0};

	assert(r->at_lba >= r->lba && r->at_lba <= end);
	if (r->at_lba < end && r->op == WCACHE_READ)
		s = req_memory(r);
	while (r->at_lba < end) {
		const u8 *data;
		unsigned n = here(w, r, end - r->at_lba, &data);

		if (n == 0)
			return;
		if (r->op == WCACHE_READ)
			iov_cursor_write(&s, data, n * SECTOR_BYTES);
		r->at_lba += n;
	}
}

/* Gives io the memory of up to count sectors of r from at_lba on; how many it
 * has become: 0 when a guest cut one sector into too many pieces. */
static u64
direct_pieces(struct wio *io, const struct wcache_req *r, u64 count)
{
	struct iov_cursor s = req_memory(r);
	u64 left = count * SECTOR_BYTES, cut;

	while (left != 0 && io->req.iov_count < IOPOOL_IOV_MAX) {
		u8 *piece;
		size_t n = iov_next(&s, left, &piece);

		wio_add(io, piece, n);
		left -= n;
	}
	left = count * SECTOR_BYTES - left;
	for (cut = left % SECTOR_BYTES; cut != 0;) {
		struct iovec *v = &io->iov[io->req.iov_count - 1];
		size_t n = MIN(cut, v->iov_len);

		v->iov_len -= n;
		cut -= n;
		io->req.iov_count -= v->iov_len == 0;
	}
	return left / SECTOR_BYTES;
}

/* Reads the sectors from at_lba on that are not here, past the cache. False:
 * there is no slot now. */
static bool
direct_start(struct wcache *w, struct wcache_req *r) REQUIRES(w->lock)
{
	u64 end = MIN(r->lba + r->count, r->at_lba + r->limit);
	u64 at = r->at_lba;
	bool verify = r->op == WCACHE_VERIFY;
	struct wio *io;

	if (list_empty(&w->reads) || w->junk_busy)
		return false;
	if (verify)
		end = MIN(end, at + JUNK_BYTES / SECTOR_BYTES);
	for (; at < end; at++) {
		struct block *b = extent_find(w, at / BLOCK_SECTORS);

		if (b != NULL && (usable(r, b) >> at % BLOCK_SECTORS & 1))
			break;
		if (w->nr_zeroing != 0 && zero_covers(w, at, 1))
			break;
		if (zero_lost(w, at))
			break;
	}
	assert(at > r->at_lba);
	io = wio_get(w, &w->reads, WIO_DIRECT);
	io->r = r;
	if (!verify)
		at = r->at_lba + direct_pieces(io, r, at - r->at_lba);
	if (verify || at == r->at_lba) {
		at = MAX(at, r->at_lba + 1);
		io->junk = w->junk_busy = true;
		wio_add(io, w->junk, (at - r->at_lba) * SECTOR_BYTES);
	}
	wio_queue(w, io, STORE_READ, r->at_lba, (u32)(at - r->at_lba), r->id);
	return true;
}

/* Goes on with r; what lies behind it up to ahead is fetched in one go. */
static void
read_advance(struct wcache *w, struct list *fin, struct wcache_req *r,
	     u64 ahead) REQUIRES(w->lock)
{
	u64 end = r->lba + r->count;
	struct block *b;

	read_copy(w, r);
	if (r->at_lba == end) {
		req_finish(w, fin, r, 0, 0);
		return;
	}
	b = extent_find(w, r->at_lba / BLOCK_SECTORS);
	if ((b == NULL || (!b->busy && b->shadow == NONE) || r->limit != 0) &&
	    !(w->nr_zeroing != 0 && zero_covers(w, r->at_lba, 1)) &&
	    !zero_lost(w, r->at_lba)) {
		if (r->limit == 0)
			fill_start(w, r->at_lba / BLOCK_SECTORS,
				   (MAX(end, ahead) + BLOCK_SECTORS - 1) /
				       BLOCK_SECTORS,
				   (end + BLOCK_SECTORS - 1) / BLOCK_SECTORS);
		else if (direct_start(w, r))
			return;
	}
	list_add_tail(&w->readers, &r->link);
}

void
read_start(struct wcache *w, struct list *fin, struct wcache_req *r)
{
	u64 end = r->lba + r->count, from = 0, to = 0;
	bool plain = r->op == WCACHE_READ && !(r->flags & WCACHE_FUA);

	assert(r->at_lba == r->lba);
	if (!plain || w->mode == WCACHE_NONE ||
	    r->count > w->block_count * BLOCK_SECTORS / 8)
		r->limit = DIRECT_MAX;
	else
		to = stream_note(w, r->lba, end, &from);
	read_copy(w, r);
	if (r->at_lba == end)
		STAT_ADD(w->stats.read_hits, 1);
	else
		STAT_ADD(w->stats.read_misses, 1);
	read_advance(w, fin, r, to);
	if (to != 0 && from < to)
		fill_start(w, from / BLOCK_SECTORS,
			   (to + BLOCK_SECTORS - 1) / BLOCK_SECTORS, 0);
}

void
readers_retry(struct wcache *w, struct list *fin)
{
	struct list all;

	list_init(&all);
	list_move_all(&all, &w->readers);
	while (!list_empty(&all))
		read_advance(w, fin,
			     LIST_ENTRY(list_pop(&all), struct wcache_req,
					link),
			     0);
}

void
direct_done(struct wcache *w, struct list *fin, struct wio *io)
{
	struct wcache_req *r = io->r;
	u64 bad = io->req.bad_lba, at = io->req.lba;
	u32 count = io->req.count;
	int rc = io->req.rc;
	bool again = io->suspect;

	assert(io->kind == WIO_DIRECT && at == r->at_lba);
	hist_add(&w->stats.store_read, clock_now_ns() - io->start_ns);
	if (io->junk)
		w->junk_busy = false;
	if (io->junk && r->op == WCACHE_READ && rc == 0 && !again) {
		struct iov_cursor s = req_memory(r);

		iov_cursor_write(&s, w->junk, count * SECTOR_BYTES);
	}
	wio_put(w, &w->reads, io);
	if (rc == 0 && again) {
		/* A flush failed meanwhile: what it saw may be old. */
	} else if (rc == 0) {
		r->at_lba += count;
		r->limit = MIN(r->limit * 2, DIRECT_MAX);
	} else if (count == 1) {
		TRACE(cache_read_bad, r->id, at, -rc, 0);
		STAT_ADD(w->stats.errors, 1);
		req_finish(w, fin, r, rc, at);
		return;
	} else {
		/* Up to where it is bad; from there on by halves. */
		r->limit =
		    bad > at && bad < at + count ? (u32)(bad - at) : count / 2;
	}
	read_advance(w, fin, r, 0);
}
