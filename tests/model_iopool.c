/* SPDX-License-Identifier: BSD-2-Clause */
/* model_iopool - random requests with faults, against an array
 *
 * model_iopool [SEED [BATCHES]]
 *
 * A batch is up to sixteen requests that do not overlap, handed over at once.
 * The model knows for each byte the one or two values that it may have: a
 * write that failed leaves old or new bytes, in any mix. Flushes must fail for
 * ever once one has (disk-rules 12), and ask the host exactly once each
 * (disk-rules 7). Each round runs on both backends, past the page cache and
 * through it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/range.h"
#include "tests/pool_rig.h"

#define BATCH	   16
#define BATCHES	   100
#define FILE_BYTES (256U << 10)
#define AREA_BYTES 40000U /* of memory, for one request */
#define IOVS	   5

struct model {
	u8 now[FILE_BYTES];   /* what a byte is, or may be */
	u8 other[FILE_BYTES]; /* what else it may be */
	bool failed;	      /* a flush has */
};

struct request {
	struct pool_rig_req q;
	struct iovec iov[IOVS];
	u8 *memory; /* AREA_BYTES and a page */
	u8 *expect; /* what a write puts there */
};

static u64 rng;
static const char *what = "";

/* xorshift64* (Vigna 2016), uniform enough below n. */
static u32
pick(u32 n)
{
	rng ^= rng >> 12;
	rng ^= rng << 25;
	rng ^= rng >> 27;
	return (u32)((rng * 0x2545f4914f6cdd1dULL) >> 32) % n;
}

static void
fail(const struct ioreq *r, const char *why, u64 at)
{
	printf("FAIL %s: %s: op %d off %llu bytes %llu rc %d, at %llu\n", what,
	       why, (int)r->op, (unsigned long long)r->off,
	       (unsigned long long)r->size_bytes, r->rc,
	       (unsigned long long)at);
	exit(1);
}

/* --- what is asked ----------------------------------------------------- */

static void
choose_range(u64 *off, u64 *size_bytes)
{
	u32 unit = pick(3) == 0 ? 1 : pick(2) ? 512 : 4096;

	*off = pick(FILE_BYTES / unit) * (u64)unit;
	*size_bytes = (1 + pick(AREA_BYTES / unit)) * (u64)unit;
	*size_bytes = MIN(*size_bytes, AREA_BYTES / unit * unit);
	*size_bytes = MIN(*size_bytes, FILE_BYTES - *off);
}

static bool
overlaps(const struct request *req, unsigned count, u64 off, u64 size_bytes)
{
	for (unsigned i = 0; i < count; i++)
		if (range_overlap(off, size_bytes, req[i].q.io.off,
				  req[i].q.io.size_bytes))
			return true;
	return false;
}

/* Cuts the memory of a request into pieces, some of them odd. */
static void
cut(struct request *r, u64 size_bytes)
{
	u8 *at = r->memory + (pick(3) == 0 ? pick(64) : 0);
	struct ioreq *io = &r->q.io;
	u64 part;

	io->iov = r->iov;
	io->iov_count = 0;
	while (size_bytes != 0) {
		part = io->iov_count == IOVS - 1 ? size_bytes
						 : 1 + pick((u32)size_bytes);
		if (pick(2))
			part = MIN(ALIGN_UP(part, 512), size_bytes);
		r->iov[io->iov_count++] = (struct iovec){at, part};
		at += part;
		size_bytes -= part;
	}
}

static void
copy_iov(const struct request *r, u8 *to)
{
	for (unsigned i = 0; i < r->q.io.iov_count; i++) {
		memcpy(to, r->iov[i].iov_base, r->iov[i].iov_len);
		to += r->iov[i].iov_len;
	}
}

static bool
choose(struct pool_rig *g, struct request *req, unsigned i)
{
	static const enum io_op ops[] = {IO_READ,    IO_READ,  IO_READ,
					 IO_WRITE,   IO_WRITE, IO_WRITE,
					 IO_DISCARD, IO_ZERO,  IO_FLUSH,
					 IO_CALL};
	enum io_op op = ops[pick(ARRAY_SIZE(ops))];
	struct request *r = &req[i];
	u64 off = 0, size_bytes = 0;

	if (op != IO_FLUSH && op != IO_CALL) {
		choose_range(&off, &size_bytes);
		if (overlaps(req, i, off, size_bytes))
			return false;
	}
	pool_rig_fill(g, &r->q, op, off, size_bytes, r->memory);
	r->q.io.iov_count = 0;
	if (op != IO_READ && op != IO_WRITE)
		return true;
	cut(r, size_bytes);
	for (unsigned n = 0; n < AREA_BYTES + 64; n++)
		r->memory[n] = (u8)(rng >> (n % 5)) + (u8)n;
	copy_iov(r, r->expect);
	return true;
}

/* --- what must come of it ---------------------------------------------- */

/* Bytes that are or may be v now. */
static void
put(struct model *m, const struct ioreq *r, const u8 *bytes)
{
	for (u64 i = 0; i < r->size_bytes; i++) {
		u64 at = r->off + i;
		u8 v = bytes ? bytes[i] : 0;

		m->other[at] = v;
		if (r->rc == 0)
			m->now[at] = v;
	}
}

/* What a failed change left is read at once, past all faults: there are never
 * three values that a byte may have. */
static void
settle(struct pool_rig *g, struct model *m, const struct ioreq *r)
{
	static u8 copy[AREA_BYTES];

	hostfile_set_faults(g->file, NULL);
	if (hostfile_read(g->file, r->off, copy, r->size_bytes) != 0)
		fail(r, "cannot be read back", 0);
	hostfile_set_faults(g->file, g->faults);
	for (u64 i = 0; i < r->size_bytes; i++) {
		u64 at = r->off + i;

		if (copy[i] != m->now[at] && copy[i] != m->other[at])
			fail(r, "neither old nor new", at);
		m->now[at] = m->other[at] = copy[i];
	}
}

static void
check_read(struct model *m, struct request *req)
{
	const struct ioreq *r = &req->q.io;

	if (r->rc != 0)
		return;
	copy_iov(req, req->expect);
	for (u64 i = 0; i < r->size_bytes; i++)
		if (req->expect[i] != m->now[r->off + i])
			fail(r, "wrong byte", r->off + i);
}

/* Flushes of one batch have no order, but as many succeed as came before the
 * first that failed. */
static void
check_flush(struct pool_rig *g, struct model *m, const struct ioreq *r)
{
	if (r->rc == 0 && m->failed)
		fail(r, "a flush succeeded after one had failed", 0);
	if (r->rc != 0 && hostfile_flush_error(g->file) != r->rc)
		fail(r, "not the first error", 0);
}

static void
check(struct pool_rig *g, struct model *m, struct request *req, bool faults)
{
	struct ioreq *r = &req->q.io;

	if (r->rc != 0 && !faults)
		fail(r, "an error that nobody injected", 0);
	if (r->rc != 0 && r->rc != -EIO && r->rc != -ENOSPC)
		fail(r, "another error", 0);
	switch (r->op) {
	case IO_READ:
		check_read(m, req);
		break;
	case IO_WRITE:
		put(m, r, req->expect);
		break;
	case IO_DISCARD:
	case IO_ZERO:
		put(m, r, NULL);
		break;
	case IO_FLUSH:
		check_flush(g, m, r);
		break;
	case IO_CALL:
		if (r->rc != 0)
			fail(r, "a call failed", 0);
		break;
	}
	if (r->rc != 0 && r->op != IO_READ && r->op != IO_FLUSH)
		settle(g, m, r);
}

static u64
host_flushes(struct pool_rig *g)
{
	return atomic_load(&hostfile_stats(g->file)->flushes);
}

static void
run_batch(struct pool_rig *g, struct model *m, struct request *req, bool faults)
{
	struct ioreq *reqs[BATCH];
	unsigned count = 0, want = 1 + pick(BATCH), good = 0;
	u64 before = host_flushes(g);

	while (count < want)
		if (choose(g, req, count))
			count++;
	for (unsigned i = 0; i < count; i++)
		reqs[i] = &req[i].q.io;
	iopool_submit(g->pool, reqs, count);
	for (unsigned i = 0; i < count; i++)
		pool_rig_wait(&req[i].q, 1);
	for (unsigned i = 0; i < count; i++) {
		check(g, m, &req[i], faults);
		good += reqs[i]->op == IO_FLUSH && reqs[i]->rc == 0;
	}
	if (host_flushes(g) - before < good ||
	    host_flushes(g) - before > good + 1)
		fail(reqs[0], "host flushes are not one for each", good);
	m->failed = hostfile_flush_error(g->file) != 0;
	if (m->failed && host_flushes(g) - before == 0 && pick(8) == 0) {
		hostfile_forgive(g->file);
		m->failed = false;
	}
}

/* --- rounds ------------------------------------------------------------ */

static void
add_faults(struct pool_rig *g)
{
	static const char *const rules[] = {
	    "read:EIO:prob=0.05",	    "write:ENOSPC:prob=0.05",
	    "write:EIO:done=1:prob=0.03",   "any:short:bytes=700:prob=0.1",
	    "any:short:bytes=8192:prob=.1", "discard:EIO:prob=0.1",
	    "flush:EIO:prob=0.1",	    "flush:ENOSPC:done=1:prob=0.1",
	    "any:delay:ms=1:prob=0.02"};
	char rule[100];

	for (unsigned i = 0; i < ARRAY_SIZE(rules); i++) {
		snprintf(rule, sizeof(rule), "%s:seed=%u", rules[i],
			 1 + pick(1000000));
		pool_rig_fault(g, rule);
	}
}

static void
verify_all(struct pool_rig *g, struct model *m)
{
	static u8 all[FILE_BYTES];
	struct ioreq none = {.op = IO_READ, .size_bytes = FILE_BYTES};

	hostfile_set_faults(g->file, NULL);
	if (hostfile_read(g->file, 0, all, FILE_BYTES) != 0)
		fail(&none, "cannot be read at the end", 0);
	for (u64 i = 0; i < FILE_BYTES; i++)
		if (all[i] != m->now[i])
			fail(&none, "wrong byte at the end", i);
}

static void
run_round(struct pool_rig *g, const char *backend, bool buffered, bool faults,
	  unsigned batches)
{
	static struct request req[BATCH];
	static struct model m;
	struct hostfile_options o = {.buffered = buffered};
	char name[100];
	struct err e;

	memset(&m, 0, sizeof(m));
	pool_rig_open(g, backend, 1 + pick(8), 1 + pick(8));
	hostfile_close(g->file);
	if (hostfile_open(&g->file, g->path, &o, &e) != 0)
		abort();
	hostfile_set_faults(g->file, g->faults);
	if (faults)
		add_faults(g);
	iopool_register_memory(g->pool, g->mem, POOL_RIG_MEM_BYTES);
	if (pick(2))
		iopool_register_file(g->pool, g->file);
	for (unsigned i = 0; i < BATCH; i++) {
		req[i].memory =
		    g->mem + i * (ALIGN_UP(AREA_BYTES, 4096) + 8192);
		req[i].expect = realloc(req[i].expect, AREA_BYTES);
		assert(req[i].expect != NULL);
	}
	snprintf(name, sizeof(name), "%s%s%s", backend,
		 buffered ? ", buffered" : "", faults ? ", faults" : "");
	what = name;
	for (unsigned i = 0; i < batches; i++)
		run_batch(g, &m, req, faults);
	verify_all(g, &m);
	printf("ok %s: %u batches\n", name, batches);
	iopool_forget_file(g->pool, g->file);
	pool_rig_close(g);
	for (unsigned i = 0; i < BATCH; i++) {
		free(req[i].expect);
		req[i].expect = NULL;
	}
}

int
main(int argc, char **argv)
{
	static const char *const backends[] = {"threads", "uring"};
	const char *is_long = getenv("TEST_LONG");
	unsigned batches = is_long && *is_long ? 50 * BATCHES : BATCHES;
	static struct pool_rig g;
	u64 seed;

	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	if (argc > 2)
		batches = (unsigned)strtoul(argv[2], NULL, 0);
	printf("seed %llu\n", (unsigned long long)seed);
	for (unsigned b = 0; b < ARRAY_SIZE(backends); b++) {
		if (!pool_rig_has(backends[b]))
			continue;
		for (unsigned kind = 0; kind < 4; kind++) {
			rng = seed != 0 ? seed : 1;
			run_round(&g, backends[b], kind & 1, kind & 2, batches);
		}
	}
	return 0;
}
