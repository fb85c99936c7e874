/* SPDX-License-Identifier: BSD-2-Clause */
/* The I/O pool as a pool of threads that make blocking calls. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cache/iopool_int.h"

#define THREADS_DEFAULT 8

struct iothreads {
	struct iopool pool;
	struct cond work;
	unsigned idle; /* [lock] threads that wait for work */
	bool stop;     /* [lock] */
	unsigned count;
	pthread_t ids[];
};

/* On a thread of a pool: the pool, and whether its next request is spoken
 * for. What done() submits first is taken by the same thread afterwards, with
 * nobody woken. */
static _Thread_local struct iopool *my_pool;
static _Thread_local bool my_next_is_taken;

static struct iothreads *
threads_of(struct iopool *p)
{
	return CONTAINER_OF(p, struct iothreads, pool);
}

static bool
threads_more_locked(struct iopool *p, unsigned count)
{
	struct iothreads *t = threads_of(p);

	if (my_pool == p && !my_next_is_taken) {
		my_next_is_taken = true;
		count--;
	}
	for (unsigned n = MIN(count, t->idle); n != 0; n--)
		cond_wake_one(&t->work);
	return false;
}

static void
run(struct ioreq *r, struct iovec *scratch)
{
	struct iopool *p = r->pool;
	struct hostop o;

	if (!iopool_begin(r, &o, scratch))
		return;
	while (hostop_next(&o) != HOSTOP_DONE) {
		iopool_step_begin(r, &o);
		iopool_count_call(p);
		iopool_step_done(r, &o, hostop_call(&o));
	}
	iopool_finish(r, o.rc, o.moved_bytes);
}

static struct ioreq *
next_or_null(struct iothreads *t)
{
	struct ioreq *r;

	lock_acquire(&t->pool.lock);
	my_next_is_taken = false;
	while ((r = iopool_take_locked(&t->pool)) == NULL && !t->stop) {
		t->idle++;
		cond_wait(&t->work, &t->pool.lock);
		t->idle--;
	}
	lock_release(&t->pool.lock);
	return r;
}

static void *
worker(void *arg)
{
	struct iovec scratch[HOSTOP_IOV_MAX];
	struct iothreads *t = arg;
	struct ioreq *r;

	my_pool = &t->pool;
	while ((r = next_or_null(t)) != NULL)
		run(r, scratch);
	return NULL;
}

static void
threads_close(struct iopool *p)
{
	struct iothreads *t = threads_of(p);

	lock_acquire(&p->lock);
	t->stop = true;
	cond_wake_all(&t->work);
	lock_release(&p->lock);
	for (unsigned i = 0; i < t->count; i++)
		pthread_join(t->ids[i], NULL);
	cond_destroy(&t->work);
	iopool_release(p);
	free(t);
}

static const struct iopool_ops threads_ops = {
    .name = "threads",
    .more_locked = threads_more_locked,
    .close = threads_close,
};

int
iopool_threads_open(struct iopool **out, const struct iopool_config *cfg,
		    struct err *e)
{
	unsigned want = cfg->threads != 0 ? cfg->threads : THREADS_DEFAULT;
	struct iothreads *t = calloc(1, sizeof(*t) + want * sizeof(t->ids[0]));
	int rc;

	if (!t)
		return err_set(e, -ENOMEM, "no memory for the I/O pool");
	iopool_init(&t->pool, &threads_ops, want);
	cond_init(&t->work);
	snprintf(t->pool.why, sizeof(t->pool.why), "threads were asked for");
	for (; t->count < want; t->count++) {
		rc = iopool_start_thread(&t->ids[t->count], worker, t);
		if (rc != 0) {
			threads_close(&t->pool);
			return err_errno(e, rc,
					 "cannot start a thread of the I/O "
					 "pool");
		}
	}
	*out = &t->pool;
	return 0;
}
