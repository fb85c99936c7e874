/* SPDX-License-Identifier: BSD-2-Clause */
/* Every case runs on both backends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "cache/hostfile_int.h"
#include "tests/pool_rig.h"

#define TMPFS_MAGIC_ 0x01021994

static const char *backend;

static int
set_up(void **state)
{
	static struct pool_rig g;

	pool_rig_open(&g, backend, 0, 0);
	*state = &g;
	return 0;
}

static int
tear_down(void **state)
{
	pool_rig_close(*state);
	return 0;
}

static u64
host_flushes(struct pool_rig *g)
{
	return atomic_load(&hostfile_stats(g->file)->flushes);
}

static void
pattern(u8 *p, size_t n, u8 seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (u8)(seed + i * 7 + (i >> 9));
}

/* What the file holds, past every cache of ours. */
static void
assert_file_holds(struct pool_rig *g, u64 off, const u8 *bytes, u64 size_bytes)
{
	u8 *copy = malloc(size_bytes);

	assert_non_null(copy);
	assert_int_equal(hostfile_read(g->file, off, copy, size_bytes), 0);
	assert_memory_equal(copy, bytes, size_bytes);
	free(copy);
}

static bool
all_zero(const u8 *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != 0)
			return false;
	return true;
}

/* --- transfers --------------------------------------------------------- */

static void
test_iopool_reads_back_what_it_wrote(void **state)
{
	struct pool_rig *g = *state;
	u8 *back = g->mem + 65536;

	pattern(g->mem, 65536, 3);
	assert_int_equal(pool_rig_do(g, IO_WRITE, 8192, 65536, g->mem), 0);
	assert_file_holds(g, 8192, g->mem, 65536);
	assert_int_equal(pool_rig_do(g, IO_READ, 8192, 65536, back), 0);
	assert_memory_equal(back, g->mem, 65536);
}

/* Odd offsets, sizes and memory go through the page cache. */
static void
test_iopool_takes_what_is_not_aligned(void **state)
{
	static const struct {
		u64 off, size_bytes, mem;
	} odd[] = {{1, 1, 0},	   {511, 3, 1},	      {4095, 4098, 3},
		   {512, 512, 7},  {4096, 100, 4096}, {77777, 55555, 2},
		   {100, 4096, 0}, {8192, 4096, 2}};
	struct pool_rig *g = *state;
	u8 *back = g->mem + 500001;

	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		u8 *m = g->mem + odd[i].mem;

		pattern(m, odd[i].size_bytes, (u8)(i + 1));
		assert_int_equal(pool_rig_do(g, IO_WRITE, odd[i].off,
					     odd[i].size_bytes, m),
				 0);
		assert_int_equal(pool_rig_do(g, IO_READ, odd[i].off,
					     odd[i].size_bytes, back),
				 0);
		assert_memory_equal(back, m, odd[i].size_bytes);
	}
	assert_int_equal(pool_rig_do(g, IO_FLUSH, 0, 0, NULL), 0);
}

static void
test_iopool_gathers_and_scatters_pieces(void **state)
{
	struct pool_rig *g = *state;
	struct iovec iov[IOPOOL_IOV_MAX];
	struct pool_rig_req q;

	pattern(g->mem, 512 * IOPOOL_IOV_MAX, 9);
	pool_rig_fill(g, &q, IO_WRITE, 4096, 512 * IOPOOL_IOV_MAX, NULL);
	for (unsigned i = 0; i < IOPOOL_IOV_MAX; i++) /* backwards */
		iov[i] =
		    (struct iovec){g->mem + 512 * (u64)(IOPOOL_IOV_MAX - 1 - i),
				   512};
	q.io.iov = iov;
	q.io.iov_count = IOPOOL_IOV_MAX;
	pool_rig_submit(g, &q, 1);
	pool_rig_wait(&q, 1);
	assert_int_equal(q.io.rc, 0);
	assert_int_equal(q.io.moved_bytes, 512 * IOPOOL_IOV_MAX);
	for (unsigned i = 0; i < IOPOOL_IOV_MAX; i++)
		assert_file_holds(g, 4096 + 512 * (u64)i, iov[i].iov_base, 512);
	q.io.op = IO_READ;
	q.done = false;
	memset(g->mem, 0, POOL_RIG_MEM_BYTES);
	pool_rig_submit(g, &q, 1);
	pool_rig_wait(&q, 1);
	assert_int_equal(q.io.rc, 0);
	for (unsigned i = 0; i < IOPOOL_IOV_MAX; i++)
		assert_file_holds(g, 4096 + 512 * (u64)i, iov[i].iov_base, 512);
}

static void
test_iopool_moves_nothing_for_no_bytes(void **state)
{
	struct pool_rig *g = *state;

	assert_int_equal(pool_rig_do(g, IO_READ, 4096, 0, g->mem), 0);
	assert_int_equal(pool_rig_do(g, IO_WRITE, 4096, 0, g->mem), 0);
	assert_int_equal(pool_rig_do(g, IO_DISCARD, 4096, 0, g->mem), 0);
	assert_int_equal(atomic_load(&hostfile_stats(g->file)->writes), 0);
}

static void
test_iopool_refuses_ranges_no_file_has(void **state)
{
	struct pool_rig *g = *state;

	assert_int_equal(pool_rig_do(g, IO_READ, INT64_MAX, 512, g->mem),
			 -EINVAL);
	assert_int_equal(pool_rig_do(g, IO_WRITE, UINT64_MAX - 511, 512,
				     g->mem),
			 -EINVAL);
	assert_int_equal(pool_rig_do(g, IO_ZERO, 512, UINT64_MAX, g->mem),
			 -EINVAL);
}

static void
test_iopool_tells_the_end_of_the_file(void **state)
{
	struct pool_rig *g = *state;
	struct pool_rig_req q;

	assert_int_equal(pool_rig_do(g, IO_READ, POOL_RIG_FILE_BYTES, 512,
				     g->mem),
			 -ENODATA);
	pool_rig_fill(g, &q, IO_READ, POOL_RIG_FILE_BYTES - 1024, 4096, g->mem);
	pool_rig_submit(g, &q, 1);
	pool_rig_wait(&q, 1);
	assert_int_equal(q.io.rc, -ENODATA);
	assert_int_equal(q.io.moved_bytes, 1024);
}

/* The end of the file need not be aligned. */
static void
test_iopool_reads_zeros_behind_the_end_when_asked(void **state)
{
	struct pool_rig *g = *state;
	struct pool_rig_req q;
	u64 size_bytes = POOL_RIG_FILE_BYTES - 300;

	assert_int_equal(hostfile_resize(g->file, size_bytes), 0);
	pattern(g->mem, 1024, 5);
	assert_int_equal(pool_rig_do(g, IO_WRITE, size_bytes - 212, 212,
				     g->mem),
			 0);
	memset(g->mem + 4096, 0xee, 8192);
	pool_rig_fill(g, &q, IO_READ, size_bytes - 212, 8192, g->mem + 4096);
	q.io.flags = IO_EOF_ZERO;
	pool_rig_submit(g, &q, 1);
	pool_rig_wait(&q, 1);
	assert_int_equal(q.io.rc, 0);
	assert_memory_equal(g->mem + 4096, g->mem, 212);
	assert_true(all_zero(g->mem + 4096 + 212, 8192 - 212));
	assert_int_equal(pool_rig_do(g, IO_READ, size_bytes - 212, 8192,
				     g->mem),
			 -ENODATA);
}

static void
test_iopool_grows_the_file_when_it_writes_behind_it(void **state)
{
	struct pool_rig *g = *state;

	pattern(g->mem, 4096, 6);
	assert_int_equal(pool_rig_do(g, IO_WRITE, POOL_RIG_FILE_BYTES + 4096,
				     4096, g->mem),
			 0);
	assert_int_equal(hostfile_size_bytes(g->file),
			 POOL_RIG_FILE_BYTES + 8192);
	assert_file_holds(g, POOL_RIG_FILE_BYTES + 4096, g->mem, 4096);
}

static void
test_iopool_writes_nothing_to_a_read_only_file(void **state)
{
	struct pool_rig *g = *state;
	struct hostfile_options o = {.read_only = true, .shared = true};
	struct hostfile *rw = g->file;
	struct err e;

	assert_int_equal(hostfile_open(&g->file, g->path, &o, &e), 0);
	assert_int_equal(pool_rig_do(g, IO_WRITE, 0, 512, g->mem), -EROFS);
	assert_int_equal(pool_rig_do(g, IO_ZERO, 0, 512, g->mem), -EROFS);
	assert_int_equal(pool_rig_do(g, IO_DISCARD, 0, 512, g->mem), -EROFS);
	assert_int_equal(pool_rig_do(g, IO_READ, 0, 512, g->mem), 0);
	assert_int_equal(pool_rig_do(g, IO_FLUSH, 0, 0, NULL), 0);
	hostfile_close(g->file);
	g->file = rw;
}

static void
test_iopool_discards_to_zeros(void **state)
{
	struct pool_rig *g = *state;

	memset(g->mem, 0x77, 65536);
	assert_int_equal(pool_rig_do(g, IO_WRITE, 0, 65536, g->mem), 0);
	assert_int_equal(pool_rig_do(g, IO_DISCARD, 8192, 16384, NULL), 0);
	assert_int_equal(pool_rig_do(g, IO_ZERO, 32768 + 100, 1000, NULL), 0);
	assert_int_equal(pool_rig_do(g, IO_READ, 0, 65536, g->mem + 65536), 0);
	memset(g->mem + 8192, 0, 16384);
	memset(g->mem + 32768 + 100, 0, 1000);
	assert_memory_equal(g->mem + 65536, g->mem, 65536);
}

/* tmpfs can punch holes but cannot zero: zeros are written, in several goes. */
static void
test_iopool_writes_zeros_where_the_host_cannot_zero(void **state)
{
	struct pool_rig *g = *state;
	struct hostfile_options o = {.create = true, .size_bytes = 4 << 20};
	struct hostfile *disk = g->file;
	struct statfs fs;
	char path[64];
	u8 *all = malloc(4 << 20);
	struct err e;

	if (statfs("/dev/shm", &fs) != 0 || fs.f_type != TMPFS_MAGIC_) {
		free(all);
		printf("skip: /dev/shm is no tmpfs\n");
		skip();
	}
	assert_non_null(all);
	snprintf(path, sizeof(path), "/dev/shm/spindle-test.%d", (int)getpid());
	assert_int_equal(hostfile_open(&g->file, path, &o, &e), 0);
	memset(all, 0x55, 4 << 20);
	assert_int_equal(hostfile_write(g->file, 0, all, 4 << 20), 0);
	assert_int_equal(pool_rig_do(g, IO_ZERO, 4096, 3 << 20, NULL), 0);
	assert_int_equal(pool_rig_do(g, IO_ZERO, (3 << 20) + 8192 + 5, 11,
				     NULL),
			 0);
	assert_true(atomic_load(&hostfile_stats(g->file)->writes) >= 5);
	memset(all + 4096, 0, 3 << 20);
	memset(all + (3 << 20) + 8192 + 5, 0, 11);
	assert_file_holds(g, 0, all, 4 << 20);
	hostfile_close(g->file);
	unlink(path);
	g->file = disk;
	free(all);
}

static void
test_iopool_pinned_memory_and_files_give_the_same(void **state)
{
	struct pool_rig *g = *state;
	struct hostfile_options o = {0};
	struct iovec two[2] = {{g->mem, 4096}, {g->mem + 8192, 4096}};
	u8 *other = aligned_alloc(4096, 8192);
	struct pool_rig_req q;
	struct err e;
	int fd;

	assert_non_null(other);
	iopool_register_memory(g->pool, g->mem + 4096, POOL_RIG_MEM_BYTES / 2);
	iopool_register_file(g->pool, g->file);
	pattern(g->mem, 65536, 11);
	/* inside, across its beginning, outside, in two pieces */
	assert_int_equal(pool_rig_do(g, IO_WRITE, 4096, 8192, g->mem + 4096),
			 0);
	assert_file_holds(g, 4096, g->mem + 4096, 8192);
	assert_int_equal(pool_rig_do(g, IO_WRITE, 0, 8192, g->mem), 0);
	assert_file_holds(g, 0, g->mem, 8192);
	pattern(other, 8192, 12);
	assert_int_equal(pool_rig_do(g, IO_WRITE, 65536, 8192, other), 0);
	assert_int_equal(pool_rig_do(g, IO_READ, 65536, 8192, g->mem + 65536),
			 0);
	assert_memory_equal(g->mem + 65536, other, 8192);
	assert_int_equal(pool_rig_do(g, IO_WRITE, 65536 + 1, 77, other), 0);
	assert_file_holds(g, 65536 + 1, other, 77);
	pool_rig_fill(g, &q, IO_WRITE, 131072, 8192, NULL);
	q.io.iov = two;
	q.io.iov_count = 2;
	pool_rig_submit(g, &q, 1);
	pool_rig_wait(&q, 1);
	assert_file_holds(g, 131072 + 4096, g->mem + 8192, 4096);
	assert_int_equal(pool_rig_do(g, IO_FLUSH, 0, 0, NULL), 0);
	/* Forgotten and closed, nobody has it open: a lease can be had. */
	iopool_forget_file(g->pool, g->file);
	hostfile_close(g->file);
	fd = open(g->path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_SETLEASE, F_WRLCK), 0);
	close(fd);
	assert_int_equal(hostfile_open(&g->file, g->path, &o, &e), 0);
	assert_int_equal(pool_rig_do(g, IO_READ, 4096, 8192, other), 0);
	assert_memory_equal(other, g->mem + 4096, 8192);
	free(other);
}

/* More files than the table holds; the hint of one may name another. */
static void
test_iopool_serves_files_that_are_not_remembered(void **state)
{
	struct pool_rig *g = *state;
	struct hostfile_options o = {.create = true, .size_bytes = 4096};
	struct hostfile *files[70], *own = g->file;
	char path[300];
	struct err e;

	for (unsigned i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s-%u", g->path, i);
		assert_int_equal(hostfile_open(&files[i], path, &o, &e), 0);
		unlink(path);
		iopool_register_file(g->pool, files[i]);
	}
	iopool_forget_file(g->pool, files[3]);
	for (unsigned i = 0; i < ARRAY_SIZE(files); i++) {
		g->file = files[i];
		memset(g->mem, (int)i + 1, 4096);
		assert_int_equal(pool_rig_do(g, IO_WRITE, 0, 4096, g->mem), 0);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(files); i++) {
		g->file = files[i];
		memset(g->mem, (int)i + 1, 4096);
		assert_file_holds(g, 0, g->mem, 4096);
		iopool_forget_file(g->pool, files[i]);
		hostfile_close(files[i]);
	}
	g->file = own;
}

/* --- faults ------------------------------------------------------------ */

/* disk-rules 14: a short write is carried on, or it is an error. */
static void
test_iopool_rule14_short_transfers_become_whole(void **state)
{
	struct pool_rig *g = *state;
	u64 writes;

	pool_rig_fault(g, "write:short:bytes=700");
	pool_rig_fault(g, "read:short:bytes=1");
	pattern(g->mem, 16384, 21);
	assert_int_equal(pool_rig_do(g, IO_WRITE, 4096, 16384, g->mem), 0);
	writes = atomic_load(&hostfile_stats(g->file)->writes);
	/* Uncached ones stay aligned: 512 of the 700. */
	assert_int_equal(writes, hostfile_direct(g->file) ? 32 : 24);
	assert_int_equal(pool_rig_do(g, IO_READ, 4096, 16384, g->mem + 65536),
			 0);
	assert_memory_equal(g->mem + 65536, g->mem, 16384);
}

static void
test_iopool_rule14_enospc_says_how_far_it_came(void **state)
{
	struct pool_rig *g = *state;
	struct pool_rig_req q;

	pool_rig_fault(g, "write:short:bytes=4096:count=1");
	pool_rig_fault(g, "write:ENOSPC");
	pool_rig_fill(g, &q, IO_WRITE, 0, 16384, g->mem);
	pool_rig_submit(g, &q, 1);
	pool_rig_wait(&q, 1);
	assert_int_equal(q.io.rc, -ENOSPC);
	assert_int_equal(q.io.moved_bytes, 4096);
	assert_int_equal(atomic_load(&hostfile_stats(g->file)->errors), 1);
}

/* What the host itself says: the limit of a file's size is met in the middle
 * of the second write. */
static void
test_iopool_rule14_errors_of_the_host_are_told(void **state)
{
	struct pool_rig *g = *state;
	struct rlimit old, low;
	struct pool_rig_req q[2];
	void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	low = old;
	low.rlim_cur = 2 * POOL_RIG_FILE_BYTES;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	pool_rig_fill(g, &q[0], IO_WRITE, 4 * POOL_RIG_FILE_BYTES, 4096,
		      g->mem);
	pool_rig_fill(g, &q[1], IO_WRITE, 2 * POOL_RIG_FILE_BYTES - 8192, 65536,
		      g->mem);
	pool_rig_submit(g, q, 2);
	pool_rig_wait(q, 2);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	signal(SIGXFSZ, handler);
	assert_int_equal(q[0].io.rc, -EFBIG);
	assert_int_equal(q[0].io.moved_bytes, 0);
	assert_int_equal(q[1].io.rc, -EFBIG);
	assert_int_equal(q[1].io.moved_bytes, 8192);
}

/* A host flush that fails by itself: behind the descriptor is a pipe. */
static void
test_iopool_rule11_failing_host_is_asked_once(void **state)
{
	struct pool_rig *g = *state;
	int ends[2], saved = dup(g->file->fd_cached);

	assert_int_equal(pipe(ends), 0);
	assert_true(saved >= 0);
	assert_int_equal(dup2(ends[0], g->file->fd_cached), g->file->fd_cached);
	assert_int_equal(pool_rig_do(g, IO_FLUSH, 0, 0, NULL), -EINVAL);
	assert_int_equal(dup2(saved, g->file->fd_cached), g->file->fd_cached);
	assert_int_equal(pool_rig_do(g, IO_FLUSH, 0, 0, NULL), -EINVAL);
	assert_int_equal(host_flushes(g), 1);
	close(saved);
	close(ends[0]);
	close(ends[1]);
}

static void
test_iopool_error_with_done_has_written(void **state)
{
	struct pool_rig *g = *state;

	pattern(g->mem, 4096, 30);
	pool_rig_fault(g, "write:EIO:done=1:count=1");
	pool_rig_fault(g, "write:EIO:count=1");
	assert_int_equal(pool_rig_do(g, IO_WRITE, 4096, 4096, g->mem), -EIO);
	assert_file_holds(g, 4096, g->mem, 4096);
	assert_int_equal(pool_rig_do(g, IO_WRITE, 65536, 4096, g->mem), -EIO);
	memset(g->mem, 0, 4096);
	assert_file_holds(g, 65536, g->mem, 4096);
}

/* A delayed request keeps no other from being done. */
static void
test_iopool_delay_holds_up_nobody_else(void **state)
{
	struct pool_rig *g = *state;
	struct pool_rig_req q[6];

	pool_rig_fault(g, "write:delay:ms=300:off=0-4096");
	for (unsigned i = 0; i < ARRAY_SIZE(q); i++)
		pool_rig_fill(g, &q[i], IO_WRITE, 4096 * (u64)i, 4096, NULL);
	pool_rig_submit(g, q, ARRAY_SIZE(q));
	pool_rig_wait(q, ARRAY_SIZE(q));
	for (unsigned i = 1; i < ARRAY_SIZE(q); i++) {
		assert_int_equal(q[i].io.rc, 0);
		assert_true(q[i].order < q[0].order);
	}
	assert_int_equal(q[0].io.rc, 0);
}

/* --- flushes ----------------------------------------------------------- */

static void
test_iopool_rule7_one_flush_is_one_host_flush(void **state)
{
	struct pool_rig *g = *state;
	struct pool_rig_req q[5];

	assert_int_equal(pool_rig_do(g, IO_WRITE, 0, 4096, g->mem), 0);
	assert_int_equal(pool_rig_do(g, IO_WRITE, 1, 1, g->mem), 0);
	assert_int_equal(pool_rig_do(g, IO_DISCARD, 4096, 4096, NULL), 0);
	assert_int_equal(pool_rig_do(g, IO_READ, 0, 4096, g->mem), 0);
	assert_int_equal(host_flushes(g), 0);
	assert_int_equal(pool_rig_do(g, IO_FLUSH, 0, 0, NULL), 0);
	assert_int_equal(host_flushes(g), 1);
	for (unsigned i = 0; i < ARRAY_SIZE(q); i++)
		pool_rig_fill(g, &q[i], IO_FLUSH, 0, 0, NULL);
	pool_rig_submit(g, q, ARRAY_SIZE(q));
	pool_rig_wait(q, ARRAY_SIZE(q));
	assert_int_equal(host_flushes(g), 1 + ARRAY_SIZE(q));
}

/* How many flushes the block layer has completed on a device. */
static u64
device_flushes(const char *device)
{
	char path[100];
	unsigned long long n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/block/%s/stat",
		 strrchr(device, '/') + 1);
	f = fopen(path, "r");
	assert_non_null(f);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(fscanf(f, "%llu", &n), 1);
	fclose(f);
	return n;
}

/* Counted by the kernel's block layer: with each IO_FLUSH one flush reaches
 * the device, and none without. */
static void
test_iopool_rule7_flushes_reach_the_block_device(void **state)
{
	struct pool_rig *g = *state;
	struct hostfile_options o = {0};
	struct hostfile *file = g->file;
	char device[64];
	struct err e;
	u64 before;
	int rc;

	if (!pool_rig_make_loop(g->path, device, sizeof(device))) {
		printf("skip: no loop device can be made here\n");
		skip();
	}
	rc = hostfile_open(&g->file, device, &o, &e);
	pool_rig_remove_loop(device); /* goes when it is closed */
	if (rc != 0)
		fail_msg("%s", e.text);
	before = device_flushes(device);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(pool_rig_do(g, IO_WRITE, 4096 * (u64)i, 4096,
					     NULL),
				 0);
	assert_int_equal(device_flushes(device), before);
	for (unsigned i = 1; i <= 5; i++) {
		assert_int_equal(pool_rig_do(g, IO_WRITE, 0, 4096, NULL), 0);
		assert_int_equal(pool_rig_do(g, IO_FLUSH, 0, 0, NULL), 0);
		assert_int_equal(device_flushes(device), before + i);
	}
	hostfile_close(g->file);
	g->file = file;
}

static void
test_iopool_rule11_failed_flush_is_never_retried(void **state)
{
	struct pool_rig *g = *state;

	pool_rig_fault(g, "flush:EIO:done=1:count=1");
	assert_int_equal(pool_rig_do(g, IO_FLUSH, 0, 0, NULL), -EIO);
	assert_int_equal(host_flushes(g), 1);
	assert_int_equal(hostfile_flush_error(g->file), -EIO);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(pool_rig_do(g, IO_WRITE, 0, 4096, g->mem), 0);
		assert_int_equal(pool_rig_do(g, IO_FLUSH, 0, 0, NULL), -EIO);
	}
	assert_int_equal(hostfile_flush(g->file), -EIO);
	assert_int_equal(host_flushes(g), 1); /* the host was not asked */
	assert_int_equal(pool_rig_do(g, IO_READ, 0, 4096, g->mem), 0);
}

/* Those that overlap the one that fails fail as well: the host may have told
 * the error to one of them only. */
static void
test_iopool_rule11_flushes_in_flight_fail_together(void **state)
{
	struct pool_rig *g = *state;
	struct pool_rig_req q[8], *good = NULL;
	unsigned bad = 0;

	pool_rig_fault(g, "flush:delay:ms=20:count=1");
	pool_rig_fault(g, "flush:ENOSPC:done=1:count=1");
	for (unsigned i = 0; i < ARRAY_SIZE(q); i++)
		pool_rig_fill(g, &q[i], IO_FLUSH, 0, 0, NULL);
	pool_rig_submit(g, q, ARRAY_SIZE(q));
	pool_rig_wait(q, ARRAY_SIZE(q));
	for (unsigned i = 0; i < ARRAY_SIZE(q); i++) {
		if (q[i].io.rc == 0)
			good = &q[i];
		else
			assert_int_equal(q[i].io.rc, -ENOSPC);
		bad += q[i].io.rc != 0;
	}
	assert_int_equal(bad, ARRAY_SIZE(q) - 1);
	for (unsigned i = 0; i < ARRAY_SIZE(q); i++)
		assert_true(good->order <= q[i].order);
	assert_int_equal(host_flushes(g), 2);
}

/* The first is delayed; if another could be at the host meanwhile it would be
 * done at once. */
static void
test_iopool_rule11_one_host_flush_at_a_time(void **state)
{
	struct pool_rig *g = *state;
	u64 start_ns = clock_now_ns();
	struct pool_rig_req q[2];

	pool_rig_fault(g, "flush:delay:ms=50:count=1");
	pool_rig_fill(g, &q[0], IO_FLUSH, 0, 0, NULL);
	pool_rig_fill(g, &q[1], IO_FLUSH, 0, 0, NULL);
	pool_rig_submit(g, q, 2);
	assert_int_equal(hostfile_flush(g->file), 0); /* waits, too */
	assert_true(clock_now_ns() - start_ns >= 50 * NS_PER_MS);
	pool_rig_wait(q, 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(q[i].io.rc, 0);
		assert_true(q[i].done_ns - start_ns >= 50 * NS_PER_MS);
	}
	assert_int_equal(host_flushes(g), 3);
}

static void
test_iopool_rule12_only_forgiving_leads_out(void **state)
{
	struct pool_rig *g = *state;

	pool_rig_fault(g, "flush:EIO:count=1");
	assert_int_equal(pool_rig_do(g, IO_FLUSH, 0, 0, NULL), -EIO);
	fault_clear(g->faults);
	assert_int_equal(pool_rig_do(g, IO_FLUSH, 0, 0, NULL), -EIO);
	hostfile_forgive(g->file);
	assert_int_equal(pool_rig_do(g, IO_FLUSH, 0, 0, NULL), 0);
	assert_int_equal(host_flushes(g), 1);
}

/* A write through the page cache next to uncached ones, in the same page: the
 * host must not see them at the same time (cache/hostgate_int.h). */
static void
test_iopool_rule11_odd_writes_do_not_fail_the_flush(void **state)
{
	struct pool_rig *g = *state;
	struct pool_rig_req q[16];

	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < ARRAY_SIZE(q); i++)
			if (i % 2 == 0)
				pool_rig_fill(g, &q[i], IO_WRITE, 512 * (u64)i,
					      512, NULL);
			else
				pool_rig_fill(g, &q[i], IO_WRITE,
					      512 * (u64)i + 1, 510, NULL);
		memset(g->mem, (int)round, 8192);
		pool_rig_submit(g, q, ARRAY_SIZE(q));
		pool_rig_wait(q, ARRAY_SIZE(q));
		for (unsigned i = 0; i < ARRAY_SIZE(q); i++)
			assert_int_equal(q[i].io.rc, 0);
		assert_int_equal(pool_rig_do(g, IO_FLUSH, 0, 0, NULL), 0);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(q); i++)
		assert_file_holds(g, q[i].io.off, g->mem, q[i].io.size_bytes);
}

/* --- order, threads, line ---------------------------------------------- */

static void
test_iopool_calls_done_on_its_own_thread(void **state)
{
	struct pool_rig *g = *state;
	struct pool_rig_req q;
	enum io_op ops[] = {IO_CALL, IO_WRITE, IO_FLUSH};

	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
		pool_rig_fill(g, &q, ops[i], 0, 512, NULL);
		if (ops[i] == IO_CALL)
			q.io.file = NULL;
		pool_rig_submit(g, &q, 1);
		pool_rig_wait(&q, 1);
		assert_int_equal(q.io.rc, 0);
		assert_false(pthread_equal(q.ran_on, pthread_self()));
	}
}

struct chain {
	struct pool_rig_req q;
	struct pool_rig *g;
	void (*then)(struct ioreq *r);
	unsigned steps;
	pthread_t ran_on;
};

/* write -> flush -> write -> flush ..., each from done() of the last. */
static void
next_of_chain(struct ioreq *r)
{
	struct chain *c = CONTAINER_OF(r, struct chain, q.io);

	if (c->steps == 0)
		c->ran_on = pthread_self();
	if (r->rc != 0 || ++c->steps == 100) {
		r->done = c->then;
		r->op = IO_CALL;
	} else {
		r->op = r->op == IO_WRITE ? IO_FLUSH : IO_WRITE;
	}
	iopool_submit(c->g->pool, &r, 1);
}

static void
test_iopool_done_may_submit(void **state)
{
	struct pool_rig *g = *state;
	struct chain c = {.g = g};

	pool_rig_fill(g, &c.q, IO_WRITE, 0, 4096, NULL);
	c.then = c.q.io.done;
	c.q.io.done = next_of_chain;
	pool_rig_submit(g, &c.q, 1);
	pool_rig_wait(&c.q, 1);
	assert_int_equal(c.steps, 100);
	assert_int_equal(host_flushes(g), 50);
	/* No other thread was needed. */
	assert_true(pthread_equal(c.ran_on, c.q.ran_on));
}

static void
test_iopool_more_requests_than_fit_wait_in_line(void **state)
{
	struct pool_rig *g = *state;
	static struct pool_rig_req q[256];
	struct iopool_stats st;

	pool_rig_close(g);
	pool_rig_open(g, backend, 4, 4);
	pattern(g->mem, POOL_RIG_MEM_BYTES, 44);
	for (unsigned i = 0; i < ARRAY_SIZE(q); i++)
		pool_rig_fill(g, &q[i], IO_WRITE, 4096 * (u64)i, 4096, NULL);
	pool_rig_submit(g, q, ARRAY_SIZE(q));
	pool_rig_wait(q, ARRAY_SIZE(q));
	assert_file_holds(g, 0, g->mem, POOL_RIG_MEM_BYTES);
	iopool_drain(g->pool);
	iopool_stats(g->pool, &st);
	assert_int_equal(st.submitted, ARRAY_SIZE(q));
	assert_int_equal(st.finished, ARRAY_SIZE(q));
	assert_int_equal(st.failed, 0);
	assert_int_equal(st.waited, ARRAY_SIZE(q) - 4);
	assert_true(st.host_calls >= ARRAY_SIZE(q) / 4);
}

static void
test_iopool_cancels_what_waits_in_line(void **state)
{
	struct pool_rig *g = *state;
	struct pool_rig_req q[4];

	pool_rig_close(g);
	pool_rig_open(g, backend, 1, 1);
	memset(g->mem, 0x99, 16384);
	pool_rig_fault(g, "write:delay:ms=300:count=1");
	for (unsigned i = 0; i < ARRAY_SIZE(q); i++)
		pool_rig_fill(g, &q[i], IO_WRITE, 4096 * (u64)i, 4096, NULL);
	pool_rig_submit(g, q, ARRAY_SIZE(q));
	iopool_cancel(g->pool, &q[2].io);
	iopool_cancel(g->pool, &q[2].io);
	pool_rig_wait(q, ARRAY_SIZE(q));
	assert_int_equal(q[0].io.rc, 0);
	assert_int_equal(q[1].io.rc, 0);
	assert_int_equal(q[2].io.rc, -ECANCELED);
	assert_int_equal(q[3].io.rc, 0);
	assert_true(q[2].order < q[1].order); /* soon */
	iopool_cancel(g->pool, &q[3].io);     /* done: no effect */
	memset(g->mem, 0, 4096);
	assert_file_holds(g, 2 * 4096, g->mem, 4096);
}

/* Only a thread that sleeps in nanosleep() has begun without a doubt. */
static void
test_iopool_cancel_leaves_what_has_begun(void **state)
{
	struct pool_rig *g = *state;
	struct pool_rig_req q[2];

	pool_rig_close(g);
	pool_rig_open(g, backend, 2, 2);
	pool_rig_fault(g, "write:delay:ms=50:off=0-4096");
	pool_rig_fill(g, &q[0], IO_WRITE, 0, 4096, NULL);
	pool_rig_fill(g, &q[1], IO_WRITE, 4096, 4096, NULL);
	pool_rig_submit(g, q, 2);
	pool_rig_wait(&q[1], 1); /* taken later than q[0] */
	iopool_cancel(g->pool, &q[0].io);
	pool_rig_wait(q, 2);
	assert_int_equal(q[0].io.rc, 0);
}

static void
test_iopool_drain_waits_for_all_before_it(void **state)
{
	struct pool_rig *g = *state;
	struct pool_rig_req q[20];

	pool_rig_fault(g, "write:delay:ms=30:prob=0.5:seed=7");
	for (unsigned i = 0; i < ARRAY_SIZE(q); i++)
		pool_rig_fill(g, &q[i], IO_WRITE, 4096 * (u64)i, 4096, NULL);
	pool_rig_submit(g, q, ARRAY_SIZE(q));
	iopool_drain(g->pool);
	for (unsigned i = 0; i < ARRAY_SIZE(q); i++)
		assert_true(pool_rig_is_done(&q[i]));
	iopool_drain(g->pool);
}

static atomic_bool go_on;

static void
again(struct ioreq *r)
{
	struct chain *c = CONTAINER_OF(r, struct chain, q.io);

	if (!atomic_load(&go_on))
		r->done = c->then;
	iopool_submit(c->g->pool, &r, 1);
}

/* A request that is submitted again for ever does not keep drain. */
static void
test_iopool_drain_does_not_wait_for_what_comes_later(void **state)
{
	struct pool_rig *g = *state;
	struct chain c[3];

	atomic_store(&go_on, true);
	for (unsigned i = 0; i < ARRAY_SIZE(c); i++) {
		c[i].g = g;
		pool_rig_fill(g, &c[i].q, IO_READ, 0, 512, NULL);
		c[i].then = c[i].q.io.done;
		c[i].q.io.done = again;
		pool_rig_submit(g, &c[i].q, 1);
	}
	for (unsigned i = 0; i < 20; i++)
		iopool_drain(g->pool);
	atomic_store(&go_on, false);
	for (unsigned i = 0; i < ARRAY_SIZE(c); i++)
		pool_rig_wait(&c[i].q, 1);
	iopool_drain(g->pool);
}

struct hammer {
	struct pool_rig *g;
	unsigned n;
	int bad;
};

static void *
hammer(void *arg)
{
	struct hammer *h = arg;
	struct pool_rig_req q[8];
	u64 base = h->n * 65536;

	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < ARRAY_SIZE(q); i++)
			pool_rig_fill(h->g, &q[i], i == 7 ? IO_FLUSH : IO_WRITE,
				      base + 4096 * (u64)i, i == 7 ? 0 : 4096,
				      NULL);
		memset(h->g->mem + base, (int)(round + h->n), 32768);
		pool_rig_submit(h->g, q, ARRAY_SIZE(q));
		if (round % 8 == 0)
			iopool_drain(h->g->pool);
		pool_rig_wait(q, ARRAY_SIZE(q));
		for (unsigned i = 0; i < ARRAY_SIZE(q); i++)
			h->bad |= q[i].io.rc;
	}
	return NULL;
}

static void
test_iopool_takes_requests_from_many_threads(void **state)
{
	struct pool_rig *g = *state;
	struct hammer h[4];
	pthread_t ids[4];

	for (unsigned i = 0; i < 4; i++) {
		h[i] = (struct hammer){g, i, 0};
		assert_int_equal(pthread_create(&ids[i], NULL, hammer, &h[i]),
				 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(ids[i], NULL);
		assert_int_equal(h[i].bad, 0);
		assert_file_holds(g, h[i].n * 65536, g->mem + h[i].n * 65536,
				  28672);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static const struct CMUnitTest on_both[] = {
    CASE(test_iopool_reads_back_what_it_wrote),
    CASE(test_iopool_takes_what_is_not_aligned),
    CASE(test_iopool_gathers_and_scatters_pieces),
    CASE(test_iopool_moves_nothing_for_no_bytes),
    CASE(test_iopool_refuses_ranges_no_file_has),
    CASE(test_iopool_tells_the_end_of_the_file),
    CASE(test_iopool_reads_zeros_behind_the_end_when_asked),
    CASE(test_iopool_grows_the_file_when_it_writes_behind_it),
    CASE(test_iopool_writes_nothing_to_a_read_only_file),
    CASE(test_iopool_discards_to_zeros),
    CASE(test_iopool_writes_zeros_where_the_host_cannot_zero),
    CASE(test_iopool_pinned_memory_and_files_give_the_same),
    CASE(test_iopool_serves_files_that_are_not_remembered),
    CASE(test_iopool_rule14_short_transfers_become_whole),
    CASE(test_iopool_rule14_enospc_says_how_far_it_came),
    CASE(test_iopool_rule14_errors_of_the_host_are_told),
    CASE(test_iopool_rule11_failing_host_is_asked_once),
    CASE(test_iopool_error_with_done_has_written),
    CASE(test_iopool_delay_holds_up_nobody_else),
    CASE(test_iopool_rule7_one_flush_is_one_host_flush),
    CASE(test_iopool_rule7_flushes_reach_the_block_device),
    CASE(test_iopool_rule11_failed_flush_is_never_retried),
    CASE(test_iopool_rule11_flushes_in_flight_fail_together),
    CASE(test_iopool_rule11_one_host_flush_at_a_time),
    CASE(test_iopool_rule12_only_forgiving_leads_out),
    CASE(test_iopool_rule11_odd_writes_do_not_fail_the_flush),
    CASE(test_iopool_calls_done_on_its_own_thread),
    CASE(test_iopool_done_may_submit),
    CASE(test_iopool_more_requests_than_fit_wait_in_line),
    CASE(test_iopool_cancels_what_waits_in_line),
    CASE(test_iopool_cancel_leaves_what_has_begun),
    CASE(test_iopool_drain_waits_for_all_before_it),
    CASE(test_iopool_drain_does_not_wait_for_what_comes_later),
    CASE(test_iopool_takes_requests_from_many_threads),
};

/* --- for tests/test_iopool_calls.sh ------------------------------------ */

static void
say(const char *text)
{
	if (write(STDOUT_FILENO, text, strlen(text)) < 0)
		abort();
}

#define LOAD_ROUNDS 50

/* What a tracer sees between the two lines is the I/O path: in each round 16
 * writes at once, some of them odd, a read, a discard, zeroing and a call, and
 * one flush. */
static int
load(void)
{
	struct pool_rig_req q[20];
	struct pool_rig g;
	int bad = 0;

	pool_rig_open(&g, backend, 8, 4);
	iopool_register_memory(g.pool, g.mem, POOL_RIG_MEM_BYTES);
	iopool_register_file(g.pool, g.file);
	bad |= pool_rig_do(&g, IO_WRITE, 0, POOL_RIG_MEM_BYTES, g.mem);
	say("--- begin\n");
	for (unsigned round = 0; round < LOAD_ROUNDS; round++) {
		for (unsigned i = 0; i < 16; i++)
			pool_rig_fill(&g, &q[i], IO_WRITE, 8192 * (u64)i,
				      i % 8 == 7 ? 777 : 4096, NULL);
		pool_rig_fill(&g, &q[16], IO_READ, 262144, 65536, NULL);
		pool_rig_fill(&g, &q[17], IO_DISCARD, 524288, 65536, NULL);
		pool_rig_fill(&g, &q[18], IO_ZERO, 655360, 65536, NULL);
		pool_rig_fill(&g, &q[19], IO_CALL, 0, 0, NULL);
		pool_rig_submit(&g, q, ARRAY_SIZE(q));
		pool_rig_wait(q, ARRAY_SIZE(q));
		for (unsigned i = 0; i < ARRAY_SIZE(q); i++)
			bad |= q[i].io.rc;
		bad |= pool_rig_do(&g, IO_FLUSH, 0, 0, NULL);
	}
	say("--- end\n");
	bad |= host_flushes(&g) != LOAD_ROUNDS;
	iopool_forget_file(g.pool, g.file);
	pool_rig_close(&g);
	return bad != 0;
}

int
main(int argc, char **argv)
{
	int bad;

	if (argc == 3 && strcmp(argv[1], "load") == 0) {
		backend = argv[2];
		return pool_rig_has(backend) ? load() : 77;
	}
	backend = "threads";
	bad =
	    cmocka_run_group_tests_name("iopool-threads", on_both, NULL, NULL);
	backend = "uring";
	if (pool_rig_has(backend))
		bad |= cmocka_run_group_tests_name("iopool-uring", on_both,
						   NULL, NULL);
	return bad;
}
