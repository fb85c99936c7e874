/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_wcache - what the write cache itself costs
 *
 * Over a store in memory that is done at once: ns of a cached 4 KiB write and
 * read (and of the copy alone), of a sequential 1 MiB, and how many 4 KiB
 * writes become one write of the store. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "cache/wcache.h"

#define SECTORS (1ULL << 21) /* 1 GiB, of which nothing is kept */

static u64 store_writes, store_write_sectors, store_reads, store_read_sectors;

static void
null_submit(struct store *s, struct store_req *const *reqs, unsigned count)
{
	(void)s;
	for (unsigned i = 0; i < count; i++) {
		store_writes += reqs[i]->op == STORE_WRITE;
		store_reads += reqs[i]->op == STORE_READ;
		if (reqs[i]->op == STORE_WRITE)
			store_write_sectors += reqs[i]->count;
		if (reqs[i]->op == STORE_READ)
			store_read_sectors += reqs[i]->count;
		reqs[i]->rc = 0;
		reqs[i]->done(reqs[i]);
	}
}

static const struct store_ops null_ops = {.submit = null_submit};
static struct store null_store = {.ops = &null_ops,
				  .sectors = SECTORS,
				  .align_sectors = 8};

static void
never(struct wcache_req *r)
{
	(void)r;
	abort();
}

static void
request(struct wcache *w, enum wcache_op op, u64 lba, u32 count, void *buf)
{
	struct iovec v = {buf, (u64)count * SECTOR_BYTES};
	struct wcache_req r = {.op = op,
			       .lba = lba,
			       .count = count,
			       .iov = &v,
			       .iov_count = 1,
			       .done = never};

	if (!wcache_submit(w, &r) || r.rc != 0)
		abort();
}

static struct wcache *
cache(u64 memory_bytes)
{
	struct wcache_config cfg = {.memory_bytes = memory_bytes};
	struct wcache *w;
	struct err e;

	if (wcache_open(&w, &null_store, &cfg, &e) != 0) {
		fprintf(stderr, "bench_wcache: %s\n", e.text);
		exit(1);
	}
	store_writes = store_write_sectors = 0;
	store_reads = store_read_sectors = 0;
	return w;
}

static unsigned met, missed;

static void
row(const char *what, double value, const char *unit, double at_most)
{
	bool ok = at_most == 0 || value <= at_most;

	printf("%-44s %10.2f %-6s", what, value, unit);
	if (at_most != 0)
		printf(" %s %.2f", ok ? "<=" : "MISSED", at_most);
	printf("\n");
	met += at_most != 0 && ok;
	missed += !ok;
}

/* ns of n requests of 4 KiB within a range of 4 MiB. */
static double
hits(struct wcache *w, enum wcache_op op, u8 *buf, unsigned n)
{
	u64 start = clock_now_ns();

	for (unsigned i = 0; i < n; i++)
		request(w, op, (u64)(i * 2654435761U % 1024) * 8, 8,
			buf + i % 16 * 4096);
	return (double)(clock_now_ns() - start) / n;
}

static double
copies(u8 *to, const u8 *from, unsigned n)
{
	u64 start = clock_now_ns();

	for (unsigned i = 0; i < n; i++) {
		memcpy(to + (u64)(i * 2654435761U % 1024) * 4096,
		       from + i % 16 * 4096, 4096);
		__asm__ volatile("" ::: "memory");
	}
	return (double)(clock_now_ns() - start) / n;
}

int
main(void)
{
	const unsigned n = 1000000;
	/* Page-aligned, as guests' buffers are. */
	u8 *buf = aligned_alloc(4096, 1 << 20);
	u8 *to = aligned_alloc(4096, 4 << 20);
	struct wcache *w = cache(64 << 20);
	double copy, ns;
	u64 start;

	if (buf == NULL || to == NULL)
		return 1;
	memset(buf, 1, 1 << 20);
	copies(to, buf, n);
	copy = copies(to, buf, n);
	row("copy of 4 KiB alone", copy, "ns", 0);
	hits(w, WCACHE_WRITE, buf, n);
	ns = hits(w, WCACHE_WRITE, buf, n);
	row("4 KiB write that hits, copy not counted", ns - copy, "ns", 1000);
	ns = hits(w, WCACHE_READ, buf, n);
	row("4 KiB read that hits, copy not counted", ns - copy, "ns", 1000);
	request(w, WCACHE_FLUSH, 0, 0, NULL);
	wcache_close(w);

	w = cache(64 << 20);
	start = clock_now_ns();
	for (u64 i = 0; i < SECTORS / 8; i++)
		request(w, WCACHE_WRITE, i * 8, 8, buf);
	row("4 KiB writes in a row, write-back included",
	    (double)(clock_now_ns() - start) / (SECTORS / 8), "ns", 0);
	request(w, WCACHE_FLUSH, 0, 0, NULL);
	row("256 of them reach the store as",
	    (double)store_writes / (SECTORS / 2048), "writes", 2);
	wcache_close(w);

	w = cache(64 << 20);
	start = clock_now_ns();
	for (u64 i = 0; i < SECTORS / 2048; i++)
		request(w, WCACHE_WRITE, i * 2048, 2048, buf);
	row("1 MiB writes in a row",
	    (double)(clock_now_ns() - start) / (SECTORS / 2048) / 1000, "us",
	    0);
	request(w, WCACHE_FLUSH, 0, 0, NULL);
	wcache_close(w);

	w = cache(64 << 20);
	start = clock_now_ns();
	for (u64 i = 0; i < SECTORS / 128; i++)
		request(w, WCACHE_READ, i * 128, 128, buf);
	row("64 KiB reads in a row, read-ahead included",
	    (double)(clock_now_ns() - start) / (SECTORS / 128) / 1000, "us", 0);
	row("16 of them reach the store as",
	    (double)store_reads / (SECTORS / 2048), "reads", 4);
	wcache_close(w);
	free(buf);
	free(to);
	printf("targets: %u met, %u missed\n", met, missed);
	return missed != 0;
}
