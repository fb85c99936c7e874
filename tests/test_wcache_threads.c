/* SPDX-License-Identifier: BSD-2-Clause */
/* The write cache between several threads and a pool of several threads: each
 * submitter has sectors of its own and checks what it reads; flushes of all
 * run into each other. What tsan has to say about it is the test, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/lock.h"
#include "cache/wcache.h"

#define THREADS 4
#define SHARE	512U /* sectors of each */
#define ROUNDS	1500
#define COUNT	24U

/* A store whose requests are done by the pool's threads. */
struct pool_store {
	struct store store;
	struct lock lock;
	u8 *data;
};

static void
pool_done(struct ioreq *io)
{
	struct store_req *r = CONTAINER_OF(io, struct store_req, io);
	struct pool_store *p = r->priv;
	u64 at = r->lba * SECTOR_BYTES;

	lock_acquire(&p->lock);
	for (unsigned i = 0; i < r->iov_count; i++) {
		struct iovec v = r->iov[i];

		if (r->op == STORE_READ)
			memcpy(v.iov_base, p->data + at, v.iov_len);
		else if (r->op == STORE_WRITE)
			memcpy(p->data + at, v.iov_base, v.iov_len);
		at += v.iov_len;
	}
	if (r->op == STORE_DISCARD || r->op == STORE_ZERO)
		memset(p->data + r->lba * SECTOR_BYTES, 0,
		       (u64)r->count * SECTOR_BYTES);
	lock_release(&p->lock);
	r->rc = 0;
	r->done(r);
}

static void
pool_submit(struct store *s, struct store_req *const *reqs, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		reqs[i]->priv = CONTAINER_OF(s, struct pool_store, store);
		reqs[i]->io = (struct ioreq){.op = IO_CALL, .done = pool_done};
		iopool_submit(s->pool, &(struct ioreq *){&reqs[i]->io}, 1);
	}
}

static const struct store_ops pool_ops = {.submit = pool_submit};

struct worker {
	pthread_t thread;
	struct wcache *w;
	u64 first, seed;
	struct lock lock;
	struct cond done;
	bool finished; /* [lock] */
	u64 version[SHARE];
	unsigned bad;
};

struct call {
	struct wcache_req req;
	struct worker *of;
};

static void
call_done(struct wcache_req *r)
{
	struct worker *k = CONTAINER_OF(r, struct call, req)->of;

	lock_acquire(&k->lock);
	k->finished = true;
	cond_wake_all(&k->done);
	lock_release(&k->lock);
}

static int
call(struct worker *k, enum wcache_op op, u32 flags, u64 lba, u32 count,
     void *buf)
{
	struct iovec v = {buf, (u64)count * SECTOR_BYTES};
	struct call c = {.req = {.op = op,
				 .flags = flags,
				 .lba = lba,
				 .count = count,
				 .iov = &v,
				 .iov_count = 1,
				 .done = call_done},
			 .of = k};

	k->finished = false;
	if (wcache_submit(k->w, &c.req))
		return c.req.rc;
	lock_acquire(&k->lock);
	while (!k->finished)
		cond_wait(&k->done, &k->lock);
	lock_release(&k->lock);
	return c.req.rc;
}

static u64
next(struct worker *k)
{
	k->seed ^= k->seed << 13;
	k->seed ^= k->seed >> 7;
	k->seed ^= k->seed << 17;
	return k->seed;
}

static void *
work(void *arg)
{
	struct worker *k = arg;
	u64 buf[COUNT * SECTOR_BYTES / 8];

	for (unsigned i = 0; i < ROUNDS; i++) {
		u64 at = next(k) % (SHARE - COUNT), kind = next(k) % 16;
		u32 n = 1 + (u32)(next(k) % COUNT);

		if (kind < 7) {
			for (u32 s = 0; s < n; s++) {
				k->version[at + s] = i + 1;
				for (unsigned q = 0; q < 64; q++)
					buf[s * 64 + q] = i + 1;
			}
			k->bad +=
			    call(k, WCACHE_WRITE, kind == 0 ? WCACHE_FUA : 0,
				 k->first + at, n, buf) != 0;
		} else if (kind < 13) {
			k->bad +=
			    call(k, WCACHE_READ, 0, k->first + at, n, buf) != 0;
			for (u32 s = 0; s < n; s++)
				for (unsigned q = 0; q < 64; q += 63)
					k->bad += buf[s * 64 + q] !=
						  k->version[at + s];
		} else if (kind < 15) {
			k->bad += call(k, WCACHE_FLUSH, 0, 0, 0, NULL) != 0;
		} else {
			for (u32 s = 0; s < n; s++)
				k->version[at + s] = 0;
			k->bad += call(k, WCACHE_DISCARD, 0, k->first + at, n,
				       NULL) != 0;
		}
	}
	return NULL;
}

static void
stress(const char *backend, enum wcache_mode mode)
{
	struct pool_store p = {.store = {.ops = &pool_ops,
					 .sectors = THREADS * SHARE,
					 .align_sectors = 8,
					 .can_discard = true}};
	struct iopool_config pc = {.backend = backend, .threads = 3};
	struct wcache_config wc = {.mode = mode,
				   .memory_bytes = 1 << 20,
				   .dirty_max_bytes = 256 << 10};
	struct worker *k = calloc(THREADS, sizeof(*k));
	struct wcache *w;
	struct err e;

	lock_init(&p.lock);
	p.data = calloc(p.store.sectors, SECTOR_BYTES);
	if (iopool_open(&p.store.pool, &pc, &e) != 0) {
		print_message("skip: %s\n", e.text);
		skip();
	}
	assert_int_equal(wcache_open(&w, &p.store, &wc, &e), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		k[i].w = w;
		k[i].first = i * SHARE;
		k[i].seed = 1000 + i;
		lock_init(&k[i].lock);
		cond_init(&k[i].done);
		assert_int_equal(pthread_create(&k[i].thread, NULL, work,
						&k[i]),
				 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(k[i].thread, NULL);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(k[i].bad, 0);
	/* A flush, and the store itself holds every version. */
	assert_int_equal(call(&k[0], WCACHE_FLUSH, 0, 0, 0, NULL), 0);
	for (u64 i = 0; i < p.store.sectors; i++)
		assert_int_equal(get_le64(p.data + i * SECTOR_BYTES),
				 k[i / SHARE].version[i % SHARE]);
	wcache_check(w);
	assert_false(wcache_is_dirty(w));
	wcache_close(w);
	iopool_close(p.store.pool);
	for (unsigned i = 0; i < THREADS; i++) {
		lock_destroy(&k[i].lock);
		cond_destroy(&k[i].done);
	}
	free(k);
	free(p.data);
	lock_destroy(&p.lock);
}

static void
test_wcache_threads_agree_in_writeback(void **state)
{
	(void)state;
	stress("threads", WCACHE_WRITEBACK);
}

static void
test_wcache_threads_agree_in_writethrough(void **state)
{
	(void)state;
	stress("threads", WCACHE_WRITETHROUGH);
}

static void
test_wcache_threads_agree_in_none(void **state)
{
	(void)state;
	stress("threads", WCACHE_NONE);
}

static void
test_wcache_threads_agree_over_the_default_pool(void **state)
{
	(void)state;
	stress("auto", WCACHE_WRITEBACK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_wcache_threads_agree_in_writeback),
	    cmocka_unit_test(test_wcache_threads_agree_in_writethrough),
	    cmocka_unit_test(test_wcache_threads_agree_in_none),
	    cmocka_unit_test(test_wcache_threads_agree_over_the_default_pool),
	};

	return cmocka_run_group_tests_name("wcache_threads", tests, NULL, NULL);
}
