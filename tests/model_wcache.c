/* SPDX-License-Identifier: BSD-2-Clause */
/* model_wcache - the write cache against a naive array of versions
 *
 *     model_wcache [--seed N] [--ops N]
 *
 * Every write of a sector makes a new version of it, which its bytes name. The
 * model knows for each sector the newest version submitted (U), completed (C)
 * and promised durable (L). A read must see whole sectors of C (when it was
 * submitted) to U; after a power cut every sector must be whole and of L to U
 * (disk-rules). Requests overlap in time, the store does them in any order,
 * fails, and loses what a failed flush should have kept. An epoch is a cache
 * with its own configuration; it ends with a cut or with a flush and a close.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/wcache_store.h"
#include "cache/wcache.h"

#define SECTORS	  4101U /* not whole blocks */
#define REQS	  8U
#define MAX_COUNT 700U
/* Under ThreadSanitizer an operation takes thirty times as long, and one
 * thread does them all. */
#ifdef __SANITIZE_THREAD__
#define DEFAULT_OPS 100000
#else
#define DEFAULT_OPS 1000000ULL
#endif

struct op {
	struct wcache_req req;
	struct iovec iov[8];
	u8 *data;
	u64 seen[MAX_COUNT]; /* C of its sectors when it was submitted */
	u64 version[MAX_COUNT];
	u64 *c_at_submit; /* of a flush: of all sectors */
	bool busy, done;
	bool off; /* the cache was off when it came */
};

struct model {
	struct mem_store m;
	struct wcache *w;
	struct wcache_config cfg;
	u64 submitted[SECTORS], completed[SECTORS], durable[SECTORS];
	u64 base[SECTORS];  /* what it held after the last cut, and */
	u64 cut[SECTORS];   /* the newest version before it */
	u64 zeros[SECTORS]; /* the newest version that is zeros */
	struct op op[REQS];
	struct mem_sector *after;
	u64 seed, first_seed, ops, epochs, cuts, errors, oks, sequential;
	u32 writing[SECTORS]; /* mutations in flight */
	bool off;
};

static u64
rnd(struct model *x)
{
	x->seed ^= x->seed << 13;
	x->seed ^= x->seed >> 7;
	x->seed ^= x->seed << 17;
	return x->seed * 0x2545f4914f6cdd1dULL >> 16;
}

static void
fail(struct model *x, const char *what, u64 lba, u64 got, u64 low, u64 high)
{
	fprintf(stderr,
		"model_wcache: seed %llu, op %llu, epoch %llu: %s: sector %llu"
		" has %llu, allowed %llu..%llu\n",
		(unsigned long long)x->first_seed, (unsigned long long)x->ops,
		(unsigned long long)x->epochs, what, (unsigned long long)lba,
		(unsigned long long)got, (unsigned long long)low,
		(unsigned long long)high);
	fprintf(stderr,
		"model_wcache: mode %d, dirty max %llu, read-ahead %llu, write "
		"max %llu, write errors %u%%, flush errors %u%%, recovers %d, "
		"off %d\n",
		(int)x->cfg.mode, (unsigned long long)x->cfg.dirty_max_bytes,
		(unsigned long long)x->cfg.readahead_bytes,
		(unsigned long long)x->cfg.write_max_bytes, x->m.write_fail_pct,
		x->m.flush_fail_pct, x->m.ops.recover != NULL, x->off);
	abort();
}

static void
sector_fill(u8 *p, u64 lba, u64 version)
{
	for (unsigned i = 0; i < SECTOR_BYTES; i += 8)
		put_le64(p + i, version << 16 | lba);
}

/* The version of a sector's bytes; 0 is zeros. Torn or foreign ones fail. */
static u64
sector_version(struct model *x, const u8 *p, u64 lba, const char *what)
{
	u64 word = get_le64(p);

	for (unsigned i = 8; i < SECTOR_BYTES; i += 8)
		if (get_le64(p + i) != word)
			fail(x, "torn", lba, word >> 16, get_le64(p + i) >> 16,
			     0);
	if (word != 0 && (word & 0xffff) != lba)
		fail(x, what, lba, word & 0xffff, lba, lba);
	return word >> 16;
}

/* One sector must be a version from low on. */
static u64
check_sector(struct model *x, const u8 *p, u64 lba, u64 low, const char *what)
{
	u64 v = sector_version(x, p, lba, what);

	if (v == 0)
		v = x->zeros[lba];
	if (v < low || v > x->submitted[lba] ||
	    (v != x->base[lba] && v <= x->cut[lba] && x->cut[lba] != 0))
		fail(x, what, lba, v, low, x->submitted[lba]);
	return v;
}

static bool
is_mutation(const struct wcache_req *r)
{
	return r->op == WCACHE_WRITE || r->op == WCACHE_DISCARD ||
	       r->op == WCACHE_ZERO;
}

/* What an answer says about the versions. */
static void
op_account(struct model *x, struct op *o)
{
	struct wcache_req *r = &o->req;
	u64 at = r->lba;

	if (r->rc != 0)
		x->errors++;
	else
		x->oks++;
	switch (r->op) {
	case WCACHE_READ:
		if (r->rc != 0 &&
		    (r->bad_lba < r->lba || r->bad_lba >= r->lba + r->count))
			fail(x, "bad_lba of a read", r->lba, r->bad_lba, r->lba,
			     r->lba + r->count);
		for (u32 i = 0; i < r->count && r->rc == 0; i++)
			check_sector(x, o->data + i * SECTOR_BYTES, at + i,
				     o->seen[i], "read");
		break;
	case WCACHE_WRITE:
	case WCACHE_DISCARD:
	case WCACHE_ZERO:
		for (u32 i = 0; i < r->count; i++) {
			x->writing[at + i]--;
			if (r->rc != 0)
				continue;
			x->completed[at + i] = o->version[i];
			if (o->off || (r->flags & WCACHE_FUA))
				x->durable[at + i] = o->version[i];
		}
		break;
	case WCACHE_CACHE_OFF:
		x->off = r->rc == 0 ? true : x->off;
		__attribute__((fallthrough));
	case WCACHE_FLUSH:
		for (u32 i = 0; i < SECTORS && r->rc == 0; i++)
			x->durable[i] = MAX(x->durable[i], o->c_at_submit[i]);
		break;
	case WCACHE_VERIFY:
		for (u32 i = 0; i < r->count && r->rc == 0; i++)
			x->durable[at + i] =
			    MAX(x->durable[at + i], o->seen[i]);
		break;
	case WCACHE_CACHE_ON:
		x->off = false;
		break;
	}
	o->busy = false;
}

static void
op_done(struct wcache_req *r)
{
	CONTAINER_OF(r, struct op, req)->done = true;
}

static void
collect(struct model *x)
{
	for (unsigned i = 0; i < REQS; i++)
		if (x->op[i].busy && x->op[i].done)
			op_account(x, &x->op[i]);
}

/* Pieces of any size, 1 byte included. */
static void
op_pieces(struct model *x, struct op *o)
{
	u64 left = o->req.count * SECTOR_BYTES, at = 0;
	unsigned n = 0, most = 1 + (unsigned)(rnd(x) % 7);

	while (left != 0) {
		u64 piece = n + 1 == most ? left : rnd(x) % left;

		o->iov[n++] = (struct iovec){o->data + at, piece};
		at += piece;
		left -= piece;
	}
	o->req.iov = o->iov;
	o->req.iov_count = n;
}

static void
op_place(struct model *x, struct op *o)
{
	u64 kind = rnd(x) % 16;
	u32 most = kind == 0 ? MAX_COUNT : kind < 4 ? 64 : 17;

	o->req.count = 1 + (u32)(rnd(x) % most);
	if (kind == 5) { /* a stream */
		o->req.count = 1 + (u32)(rnd(x) % 40);
		o->req.lba = x->sequential;
		x->sequential += o->req.count;
	} else if (kind < 11) { /* a few places again and again */
		o->req.lba = rnd(x) % 9 * 131 + rnd(x) % 24;
	} else {
		o->req.lba = rnd(x) % SECTORS;
	}
	if (o->req.lba + o->req.count > SECTORS) {
		o->req.lba = SECTORS - o->req.count;
		x->sequential = 0;
	}
}

static enum wcache_op
op_kind(struct model *x, u32 *flags)
{
	u64 k = rnd(x) % 1000;

	*flags = rnd(x) % 16 == 0 ? WCACHE_FUA : 0;
	if (k < 400)
		return WCACHE_WRITE;
	if (k < 850)
		return WCACHE_READ;
	if (k < 910)
		return WCACHE_FLUSH;
	if (k < 945)
		return WCACHE_DISCARD;
	if (k < 970)
		return WCACHE_ZERO;
	if (k < 985)
		return WCACHE_VERIFY;
	return k < 992 ? WCACHE_CACHE_OFF : WCACHE_CACHE_ON;
}

/* Can o begin beside what is in flight? Overlapping writes have no order, and
 * switching the cache would make it unclear what a write promised. */
static bool
op_allowed(struct model *x, const struct op *o)
{
	const struct wcache_req *r = &o->req;

	if (r->op == WCACHE_CACHE_ON || r->op == WCACHE_CACHE_OFF) {
		for (unsigned i = 0; i < REQS; i++)
			if (x->op[i].busy)
				return false;
		return true;
	}
	for (unsigned i = 0; i < REQS; i++)
		if (x->op[i].busy && x->op[i].req.op == WCACHE_CACHE_OFF &&
		    r->op != WCACHE_READ)
			return false;
	for (u32 i = 0; i < r->count && is_mutation(r); i++)
		if (x->writing[r->lba + i] != 0)
			return false;
	return true;
}

static void
op_begin(struct model *x, struct op *o)
{
	struct wcache_req *r = &o->req;

	r->op = op_kind(x, &r->flags);
	op_place(x, o);
	if (!op_allowed(x, o))
		return;
	op_pieces(x, o);
	o->off = x->off;
	for (u32 i = 0; i < r->count; i++) {
		u64 lba = r->lba + i;

		o->seen[i] = x->completed[lba];
		if (!is_mutation(r))
			continue;
		o->version[i] = ++x->submitted[lba];
		x->writing[lba]++;
		if (r->op == WCACHE_WRITE)
			sector_fill(o->data + i * SECTOR_BYTES, lba,
				    o->version[i]);
		else
			x->zeros[lba] = o->version[i];
	}
	if (r->op == WCACHE_FLUSH || r->op == WCACHE_CACHE_OFF)
		memcpy(o->c_at_submit, x->completed, sizeof(x->completed));
	r->done = op_done;
	r->id = ++x->ops;
	o->done = false;
	o->busy = true;
	if (wcache_submit(x->w, r))
		o->done = true;
	collect(x);
}

static bool
anything_busy(struct model *x)
{
	for (unsigned i = 0; i < REQS; i++)
		if (x->op[i].busy)
			return true;
	return false;
}

/* Everything that is in flight ends, or it hangs. */
static void
settle(struct model *x)
{
	mem_drain(&x->m);
	collect(x);
	for (unsigned i = 0; i < REQS; i++)
		if (x->op[i].busy)
			fail(x, "request hangs", x->op[i].req.lba,
			     (u64)x->op[i].req.op, x->op[i].req.count, 0);
}

static void
epoch_begin(struct model *x)
{
	static const enum wcache_mode modes[] = {WCACHE_WRITEBACK,
						 WCACHE_WRITEBACK,
						 WCACHE_WRITEBACK,
						 WCACHE_WRITETHROUGH,
						 WCACHE_NONE};
	struct err e;

	x->epochs++;
	x->cfg = (struct wcache_config){
	    .mode = modes[rnd(x) % ARRAY_SIZE(modes)],
	    .memory_bytes = 1 << 20,
	    .dirty_max_bytes = (1 + rnd(x) % 12) << 16,
	    .readahead_bytes = rnd(x) % 3 == 0 ? 1 : (1 + rnd(x) % 8) << 14,
	    .write_max_bytes = (1 + rnd(x) % 16) << 12,
	};
	x->off = x->cfg.mode == WCACHE_WRITETHROUGH;
	x->m.hold = true;
	x->m.seed = rnd(x) | 1;
	/* What mode NONE lost it cannot show. */
	x->m.revert = rnd(x) % 2 && x->cfg.mode != WCACHE_NONE;
	x->m.store.align_sectors = rnd(x) % 2 ? 8 : 1;
	x->m.store.can_discard = rnd(x) % 4 != 0;
	x->m.write_fail_pct = rnd(x) % 3 == 0 ? (unsigned)(rnd(x) % 30) : 0;
	x->m.flush_fail_pct = rnd(x) % 3 == 0 ? (unsigned)(rnd(x) % 30) : 0;
	if (wcache_open(&x->w, &x->m.store, &x->cfg, &e) != 0) {
		fprintf(stderr, "model_wcache: %s\n", e.text);
		abort();
	}
}

/* The power is cut: what is left must obey L <= v <= U. */
static void
epoch_cut(struct model *x)
{
	x->cuts++;
	collect(x);
	mem_cut(&x->m, x->after);
	for (u64 i = 0; i < SECTORS; i++) {
		u64 v = check_sector(x, x->after[i].data, i, x->durable[i],
				     "after a cut");

		x->base[i] = v;
	}
	/* The old machine runs out, unseen. */
	mem_drain(&x->m);
	for (unsigned i = 0; i < REQS; i++) {
		if (x->op[i].busy && !x->op[i].done)
			fail(x, "request hangs after the cut", x->op[i].req.lba,
			     (u64)x->op[i].req.op, 0, 0);
		x->op[i].busy = false;
	}
	wcache_check(x->w);
	wcache_close(x->w);
	memset(x->writing, 0, sizeof(x->writing));
	memcpy(x->completed, x->base, sizeof(x->base));
	memcpy(x->durable, x->base, sizeof(x->base));
	memcpy(x->cut, x->submitted, sizeof(x->cut));
	mem_restart(&x->m, x->after);
	memset(x->m.bad, 0, SECTORS);
}

/* An orderly end: flush without faults, then every sector is read. */
static void
epoch_end(struct model *x)
{
	struct op *o = &x->op[0];

	settle(x);
	x->m.quiet = true;
	o->req = (struct wcache_req){.op = WCACHE_FLUSH, .done = op_done};
	memcpy(o->c_at_submit, x->completed, sizeof(x->completed));
	o->busy = true;
	o->done = wcache_submit(x->w, &o->req);
	settle(x);
	if (o->req.rc != 0 && x->m.ops.recover != NULL &&
	    x->cfg.mode != WCACHE_NONE)
		fail(x, "flush fails though it could recover", o->req.bad_lba,
		     (u64)-o->req.rc, 0, 0);
	for (u64 at = 0; at < SECTORS; at += o->req.count) {
		u32 n = (u32)MIN(MAX_COUNT, SECTORS - at);

		o->req = (struct wcache_req){.op = WCACHE_READ,
					     .lba = at,
					     .count = n,
					     .done = op_done};
		op_pieces(x, o);
		memcpy(o->seen, &x->completed[at], n * sizeof(u64));
		o->busy = true;
		o->done = wcache_submit(x->w, &o->req);
		settle(x);
		if (o->req.rc != 0)
			fail(x, "read fails", at, (u64)-o->req.rc, 0, 0);
	}
	x->m.quiet = false;
	epoch_cut(x);
}

static void
model_step(struct model *x)
{
	u64 k = rnd(x);

	if (k % 100 < 60) {
		struct op *o = &x->op[rnd(x) % REQS];

		if (!o->busy)
			op_begin(x, o);
	} else {
		for (u64 n = 1 + rnd(x) % 8; n != 0 && mem_step(&x->m); n--)
			;
		collect(x);
	}
	if (rnd(x) % 512 == 0)
		settle(x);
	if (rnd(x) % 4096 == 0 && x->cfg.mode != WCACHE_UNSAFE)
		x->m.bad[rnd(x) % SECTORS] = 1;
	if (rnd(x) % 64 == 0)
		wcache_check(x->w);
	if (rnd(x) % 1500 == 0) {
		if (rnd(x) % 4 == 0)
			epoch_end(x);
		else
			epoch_cut(x);
		epoch_begin(x);
	}
}

static int
run(struct model *x, u64 ops)
{
	x->seed = x->first_seed * 0x9e3779b97f4a7c15ULL | 1;
	x->after = calloc(SECTORS, sizeof(*x->after));
	for (unsigned i = 0; i < REQS; i++) {
		x->op[i].data = malloc(MAX_COUNT * SECTOR_BYTES);
		x->op[i].c_at_submit = malloc(sizeof(x->completed));
	}
	mem_open(&x->m, SECTORS, rnd(x) % 2);
	epoch_begin(x);
	while (x->ops < ops)
		model_step(x);
	epoch_end(x);
	printf("seed %llu: %llu ops, %llu epochs, %llu cuts, %llu answers good,"
	       " %llu errors, %llu store writes, %llu flushes, %llu recoveries"
	       "\n",
	       (unsigned long long)x->first_seed, (unsigned long long)x->ops,
	       (unsigned long long)x->epochs, (unsigned long long)x->cuts,
	       (unsigned long long)x->oks, (unsigned long long)x->errors,
	       (unsigned long long)x->m.writes,
	       (unsigned long long)x->m.flushes,
	       (unsigned long long)x->m.recovers);
	for (unsigned i = 0; i < REQS; i++) {
		free(x->op[i].data);
		free(x->op[i].c_at_submit);
	}
	free(x->after);
	mem_close(&x->m);
	return anything_busy(x);
}

int
main(int argc, char **argv)
{
	u64 ops = DEFAULT_OPS, seed = 0, seeds = 20;
	struct model *x = calloc(1, sizeof(*x));
	int bad = 0;

	for (int i = 1; i + 1 < argc; i += 2) {
		u64 n = strtoull(argv[i + 1], NULL, 0);

		if (strcmp(argv[i], "--seed") == 0)
			seed = n;
		else if (strcmp(argv[i], "--ops") == 0)
			ops = n;
		else
			bad = 2;
	}
	if (x == NULL || bad != 0 || argc % 2 == 0) {
		fprintf(stderr, "usage: model_wcache [--seed N] [--ops N]\n");
		return 2;
	}
	/* Without a seed: many short runs, so that all kinds of store meet. */
	for (u64 i = 0; i < (seed != 0 ? 1 : seeds); i++) {
		memset(x, 0, sizeof(*x));
		x->first_seed = seed != 0 ? seed : i + 1;
		bad |= run(x, seed != 0 ? ops : ops / seeds);
	}
	free(x);
	return bad;
}
