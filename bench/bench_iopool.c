/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_iopool - what the I/O pool adds to a host's write and flush
 *
 * What:    the median time of a 4 KiB uncached write, of a write and a flush
 *          after it, of the same pair when done() of the write submits the
 *          flush, and of IO_CALL; on each backend, and beside a bare loop of
 *          pwrite() and fdatasync() on the same file. One request at a time,
 *          from a thread that waits for it; the ways take turns with every
 *          request, so that what else the disk does meets all alike.
 *          A row of the pool is met when its median is at most LIMIT times
 *          that of the bare loop, or CALL_US for IO_CALL.
 * Use:     bench_iopool [FILE [ROUNDS]]
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hist.h"
#include "base/lock.h"
#include "cache/iopool.h"

#define FILE_BYTES  (64U << 20)
#define BLOCK_BYTES 4096U
#define ROUNDS	    500
#define LIMIT	    1.5
#define CALL_US	    30.0

enum row { ROW_WRITE, ROW_FLUSH, ROW_CHAIN, ROW_CALL, ROWS };
enum way { WAY_BARE, WAY_URING, WAY_THREADS, WAYS };

static const char *const row_names[] = {"4 KiB write", "write, flush",
					"write -> flush in done()", "IO_CALL"};
static const char *const way_names[] = {"bare", "uring", "threads"};

struct bench {
	const char *path;
	u8 *block;
	int fd; /* of the bare loop */
	struct hostfile *file;
	struct iopool *pools[WAYS]; /* NULL: cannot be had */
	struct hist hist[ROWS][WAYS];
	u64 rng;
};

/* One request and who waits for it. */
struct waiter {
	struct ioreq io;
	struct iovec iov;
	struct iopool *pool;
	bool chain; /* a flush follows */
	struct lock lock;
	struct cond cond;
	bool done; /* [lock] */
	int rc;	   /* [lock] */
};

static u64
next_off(struct bench *b)
{
	b->rng ^= b->rng >> 12;
	b->rng ^= b->rng << 25;
	b->rng ^= b->rng >> 27;
	return (b->rng * 0x2545f4914f6cdd1dULL >> 40) %
	       (FILE_BYTES / BLOCK_BYTES) * BLOCK_BYTES;
}

static void
on_done(struct ioreq *r)
{
	struct waiter *w = CONTAINER_OF(r, struct waiter, io);

	if (w->chain && r->op == IO_WRITE && r->rc == 0) {
		r->op = IO_FLUSH;
		iopool_submit(w->pool, &r, 1);
		return;
	}
	lock_acquire(&w->lock);
	w->rc = r->rc;
	w->done = true;
	cond_wake_one(&w->cond);
	lock_release(&w->lock);
}

static int
pool_do(struct bench *b, struct iopool *pool, enum io_op op, bool chain)
{
	struct waiter w = {
	    .io = {.op = op,
		   .file = b->file,
		   .off = next_off(b),
		   .size_bytes = op == IO_WRITE ? BLOCK_BYTES : 0,
		   .iov = &w.iov,
		   .iov_count = 1,
		   .done = on_done},
	    .iov = {b->block, op == IO_WRITE ? BLOCK_BYTES : 0},
	    .pool = pool,
	    .chain = chain,
	};
	struct ioreq *r = &w.io;

	lock_init(&w.lock);
	cond_init(&w.cond);
	iopool_submit(pool, &r, 1);
	lock_acquire(&w.lock);
	while (!w.done)
		cond_wait(&w.cond, &w.lock);
	lock_release(&w.lock);
	cond_destroy(&w.cond);
	lock_destroy(&w.lock);
	return w.rc;
}

static int
run_pool(struct bench *b, struct iopool *pool, enum row row)
{
	int rc;

	switch (row) {
	case ROW_WRITE:
		return pool_do(b, pool, IO_WRITE, false);
	case ROW_FLUSH:
		rc = pool_do(b, pool, IO_WRITE, false);
		return rc != 0 ? rc : pool_do(b, pool, IO_FLUSH, false);
	case ROW_CHAIN:
		return pool_do(b, pool, IO_WRITE, true);
	case ROW_CALL:
	case ROWS:
		break;
	}
	return pool_do(b, pool, IO_CALL, false);
}

static int
run_bare(struct bench *b, enum row row)
{
	if (pwrite(b->fd, b->block, BLOCK_BYTES, (off_t)next_off(b)) !=
	    (ssize_t)BLOCK_BYTES)
		return -EIO;
	return row != ROW_WRITE && fdatasync(b->fd) != 0 ? -errno : 0;
}

static int
run_one(struct bench *b, enum row row, enum way way)
{
	u64 start_ns;
	int rc;

	if (way == WAY_BARE ? row == ROW_CALL : !b->pools[way])
		return 0;
	start_ns = clock_now_ns();
	rc = way == WAY_BARE ? run_bare(b, row)
			     : run_pool(b, b->pools[way], row);
	hist_add(&b->hist[row][way], clock_now_ns() - start_ns);
	return rc;
}

static double
us(struct bench *b, enum row row, enum way way, double share)
{
	return (double)hist_quantile_ns(&b->hist[row][way], share) / 1e3;
}

static unsigned
print_row(struct bench *b, enum row row, unsigned *met)
{
	unsigned missed = 0;
	double bare = us(b, row, WAY_BARE, 0.5), limit, p50;
	bool good;

	limit = row == ROW_CALL ? CALL_US : LIMIT * bare;
	for (enum way way = WAY_BARE; way < WAYS; way++) {
		if (atomic_load(&b->hist[row][way].count) == 0)
			continue;
		p50 = us(b, row, way, 0.5);
		good = p50 <= limit;
		printf("%-25s %-8s %9.1f %9.1f", row_names[row], way_names[way],
		       p50, us(b, row, way, 0.99));
		if (way == WAY_BARE) {
			printf("\n");
			continue;
		}
		printf("  x %5.2f  limit %8.1f  %s\n",
		       bare > 0 ? p50 / bare : 0, limit,
		       good ? "met" : "missed");
		*met += good;
		missed += !good;
	}
	return missed;
}

static int
open_all(struct bench *b)
{
	struct hostfile_options o = {.create = true, .size_bytes = FILE_BYTES};
	struct iopool_config cfg = {0};
	struct err e;
	int rc = hostfile_open(&b->file, b->path, &o, &e);

	for (enum way way = WAY_URING; rc == 0 && way < WAYS; way++) {
		cfg.backend = way_names[way];
		if (iopool_open(&b->pools[way], &cfg, &e) != 0) {
			printf("skip: %s: %s\n", way_names[way], e.text);
			continue;
		}
		iopool_register_memory(b->pools[way], b->block, BLOCK_BYTES);
	}
	if (rc != 0) {
		fprintf(stderr, "bench_iopool: %s\n", e.text);
		return rc;
	}
	if (b->pools[WAY_URING])
		iopool_register_file(b->pools[WAY_URING], b->file);
	b->fd = open(b->path, O_RDWR | O_CLOEXEC |
				  (hostfile_direct(b->file) ? O_DIRECT : 0));
	return b->fd < 0 ? -errno : 0;
}

/* Blocks that were never written cost the file system more. */
static int
fill_file(struct bench *b)
{
	int rc = 0;

	for (u64 off = 0; rc == 0 && off < FILE_BYTES; off += BLOCK_BYTES)
		rc = hostfile_write(b->file, off, b->block, BLOCK_BYTES);
	return rc == 0 ? hostfile_flush(b->file) : rc;
}

static int
measure(struct bench *b, unsigned rounds)
{
	int rc = fill_file(b);

	for (unsigned i = 0; i < rounds; i++)
		for (enum row row = ROW_WRITE; row < ROWS; row++)
			for (enum way way = WAY_BARE; way < WAYS; way++)
				if (rc == 0)
					rc = run_one(b, row, way);
	return rc;
}

int
main(int argc, char **argv)
{
	static struct bench b = {.rng = 1, .fd = -1};
	unsigned met = 0, missed = 0, rounds = ROUNDS;
	int rc;

	b.path = argc > 1 ? argv[1] : "bench_iopool.img";
	if (argc > 2)
		rounds = (unsigned)strtoul(argv[2], NULL, 0);
	b.block = aligned_alloc(BLOCK_BYTES, BLOCK_BYTES);
	if (!b.block)
		return 1;
	memset(b.block, 0xa5, BLOCK_BYTES);
	rc = open_all(&b);
	if (rc == 0)
		rc = measure(&b, rounds);
	if (b.pools[WAY_URING])
		iopool_forget_file(b.pools[WAY_URING], b.file);
	for (enum way way = WAY_URING; way < WAYS; way++)
		iopool_close(b.pools[way]);
	if (b.fd >= 0)
		close(b.fd);
	hostfile_close(b.file);
	unlink(b.path);
	if (rc != 0) {
		fprintf(stderr, "bench_iopool: %s\n", strerror(-rc));
		return 1;
	}
	printf("%-25s %-8s %9s %9s  in microseconds\n", "", "", "p50", "p99");
	for (enum row row = ROW_WRITE; row < ROWS; row++)
		missed += print_row(&b, row, &met);
	printf("targets: %u met, %u missed\n", met, missed);
	free(b.block);
	return missed != 0;
}
