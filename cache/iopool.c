/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache/iopool.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/clock.h"
#include "cache/cache_trace.h"
#include "cache/iopool_int.h"

#define DEPTH_MAX   4096U
#define THREADS_MAX 256U

/* --- opening ----------------------------------------------------------- */

/* io_uring where the host lets us, else threads. */
static int
open_auto(struct iopool **out, const struct iopool_config *cfg, struct err *e)
{
	struct err no;
	int rc = iopool_uring_open(out, cfg, &no);

	if (rc == 0)
		return 0;
	rc = iopool_threads_open(out, cfg, e);
	if (rc == 0)
		snprintf((*out)->why, sizeof((*out)->why), "%.*s",
			 (int)sizeof((*out)->why) - 1, no.text);
	return rc;
}

int
iopool_open(struct iopool **out, const struct iopool_config *cfg, struct err *e)
{
	if (cfg->depth > DEPTH_MAX || cfg->threads > THREADS_MAX)
		return err_set(e, -EINVAL,
			       "an I/O pool has at most %u requests and %u "
			       "threads",
			       DEPTH_MAX, THREADS_MAX);
	if (strcmp(cfg->backend, "auto") == 0)
		return open_auto(out, cfg, e);
	if (strcmp(cfg->backend, "uring") == 0)
		return iopool_uring_open(out, cfg, e);
	if (strcmp(cfg->backend, "threads") == 0)
		return iopool_threads_open(out, cfg, e);
	return err_set(e, -EINVAL,
		       "an I/O pool is auto, uring or threads, not '%s'",
		       cfg->backend);
}

void
iopool_init(struct iopool *p, const struct iopool_ops *ops, unsigned width)
{
	lock_init(&p->lock);
	cond_init(&p->drained);
	list_init(&p->first);
	list_init(&p->line);
	p->ops = ops;
	p->width = width;
}

void
iopool_release(struct iopool *p)
{
	cond_destroy(&p->drained);
	lock_destroy(&p->lock);
}

void
iopool_close(struct iopool *p)
{
	if (!p)
		return;
	assert(p->present == 0 && list_empty(&p->line));
	p->ops->close(p);
}

const char *
iopool_backend(const struct iopool *p)
{
	return p->ops->name;
}

const char *
iopool_why(const struct iopool *p)
{
	return p->why;
}

void
iopool_stats(struct iopool *p, struct iopool_stats *st)
{
	lock_acquire(&p->lock);
	*st = p->stats;
	st->host_calls = atomic_load(&p->host_calls);
	lock_release(&p->lock);
}

void
iopool_count_call(struct iopool *p)
{
	atomic_fetch_add_explicit(&p->host_calls, 1, memory_order_relaxed);
}

int
iopool_start_thread(pthread_t *id, void *(*body)(void *), void *arg)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(id, NULL, body, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -rc;
}

/* --- what the host pins ------------------------------------------------ */

void
iopool_register_memory(struct iopool *p, void *base, u64 size_bytes)
{
	if (p->ops->register_memory)
		p->ops->register_memory(p, base, size_bytes);
}

void
iopool_forget_memory(struct iopool *p, void *base)
{
	if (p->ops->forget_memory)
		p->ops->forget_memory(p, base);
}

/* Puts f, or nothing, where old is in the table of files. */
static void
replace_file(struct iopool *p, struct hostfile *old, struct hostfile *f)
{
	unsigned i;

	lock_acquire(&p->lock);
	for (i = 0; i < IOPOOL_FILES_MAX && p->files[i] != old; i++)
		;
	if (i < IOPOOL_FILES_MAX) {
		p->files[i] = f;
		if (f)
			atomic_store(&f->pool_slot, i);
	}
	lock_release(&p->lock);
	if (i < IOPOOL_FILES_MAX && p->ops->file_changed)
		p->ops->file_changed(p, i);
}

void
iopool_register_file(struct iopool *p, struct hostfile *f)
{
	assert(f != NULL);
	replace_file(p, NULL, f);
}

void
iopool_forget_file(struct iopool *p, struct hostfile *f)
{
	assert(f != NULL);
	replace_file(p, f, NULL);
}

/* --- the way in -------------------------------------------------------- */

static void
enter_locked(struct iopool *p, struct ioreq *r) REQUIRES(p->lock)
{
	r->pool = p;
	r->rc = 0;
	r->inside = false;
	r->moved_bytes = 0;
	r->state = IOREQ_LINE | (p->epoch ? IOREQ_EPOCH : 0);
	p->in_epoch[p->epoch]++;
	if (p->present++ >= p->width)
		p->stats.waited++;
	p->stats.submitted++;
	list_add_tail(&p->line, &r->link);
}

void
iopool_submit(struct iopool *p, struct ioreq *const *reqs, unsigned count)
{
	u64 now = clock_now_ns();
	bool wake;

	for (unsigned i = 0; i < count; i++) {
		assert(reqs[i]->done != NULL);
		assert(reqs[i]->file != NULL || reqs[i]->op == IO_CALL);
		reqs[i]->start_ns = now;
		TRACE(io_submit, reqs[i]->id, reqs[i]->op, reqs[i]->off,
		      reqs[i]->size_bytes);
	}
	lock_acquire(&p->lock);
	for (unsigned i = 0; i < count; i++)
		enter_locked(p, reqs[i]);
	wake = count != 0 && p->ops->more_locked(p, count);
	lock_release(&p->lock);
	if (wake)
		p->ops->wake(p);
}

void
iopool_cancel(struct iopool *p, struct ioreq *r)
{
	bool wake = false;

	lock_acquire(&p->lock);
	if ((r->state & IOREQ_STATE) == IOREQ_LINE &&
	    !(r->state & IOREQ_ENDED)) {
		assert(r->pool == p);
		r->state |= IOREQ_ENDED;
		r->rc = -ECANCELED;
		list_remove(&r->link);
		/* Ahead of what needs the host. */
		list_add_head(&p->first, &r->link);
		wake = p->ops->more_locked(p, 1);
	}
	lock_release(&p->lock);
	if (wake)
		p->ops->wake(p);
}

/* A request that waited is inside the gate of its file. */
static void
gate_opened(struct hostfile_waiter *w)
{
	struct ioreq *r = CONTAINER_OF(w, struct ioreq, waiter);
	struct iopool *p = r->pool;
	bool wake;

	r->inside = true;
	lock_acquire(&p->lock);
	list_add_tail(&p->first, &r->link);
	wake = p->ops->more_locked(p, 1);
	lock_release(&p->lock);
	if (wake)
		p->ops->wake(p);
}

/* --- the way through --------------------------------------------------- */

struct ioreq *
iopool_take_locked(struct iopool *p)
{
	struct ioreq *r;

	if (list_empty(&p->first) && list_empty(&p->line))
		return NULL;
	r = LIST_ENTRY(list_pop(list_empty(&p->first) ? &p->line : &p->first),
		       struct ioreq, link);
	r->state = (r->state & ~IOREQ_STATE) | IOREQ_TAKEN;
	return r;
}

bool
iopool_begin(struct ioreq *r, struct hostop *o, struct iovec *scratch)
{
	static const enum hostop_kind kinds[] = {
	    [IO_READ] = HOSTOP_KIND_READ,	[IO_WRITE] = HOSTOP_KIND_WRITE,
	    [IO_FLUSH] = HOSTOP_KIND_FLUSH,	[IO_ZERO] = HOSTOP_KIND_ZERO,
	    [IO_DISCARD] = HOSTOP_KIND_DISCARD,
	};

	if (r->state & IOREQ_ENDED || r->op == IO_CALL) {
		iopool_finish(r, r->rc, 0);
		return false;
	}
	assert((unsigned)r->op < ARRAY_SIZE(kinds));
	o->kind = kinds[r->op];
	o->eof_zero = (r->flags & IO_EOF_ZERO) != 0;
	o->f = r->file;
	o->off = r->off;
	o->size_bytes = r->size_bytes;
	o->iov = r->iov;
	o->iov_count = r->iov_count;
	o->scratch = scratch;
	hostop_init(o);
	if (r->inside)
		return true;
	/* Out of the gate's queue, r may be done before this returns. */
	r->gate = hostop_gate(o);
	r->waiter.go = gate_opened;
	if (!hostgate_enter(&r->file->gates, r->gate, &r->waiter))
		return false;
	r->inside = true;
	return true;
}

void
iopool_step_begin(const struct ioreq *r, struct hostop *o)
{
	if (o->step != HOSTOP_FLUSH)
		return;
	o->step_start_ns = clock_now_ns();
	TRACE(io_flush_begin, r->id, o->fd, 0, 0);
}

void
iopool_step_done(const struct ioreq *r, struct hostop *o, s64 res)
{
	if (o->step == HOSTOP_FLUSH)
		TRACE(io_flush_done, r->id, o->fd, res < 0 ? -res : 0,
		      clock_now_ns() - o->step_start_ns);
	hostop_done(o, res);
}

/* done() may free r or submit it again: nothing of r is read after it. */
void
iopool_finish(struct ioreq *r, int rc, u64 moved_bytes)
{
	struct iopool *p = r->pool;
	unsigned epoch = r->state & IOREQ_EPOCH ? 1 : 0;

	assert((r->state & IOREQ_STATE) == IOREQ_TAKEN && rc <= 0);
	TRACE(io_done, r->id, r->op, -rc, clock_now_ns() - r->start_ns);
	if (r->inside)
		hostgate_leave(&r->file->gates, r->gate);
	lock_acquire(&p->lock);
	r->state = IOREQ_IDLE;
	r->rc = rc;
	r->moved_bytes = moved_bytes;
	p->present--;
	p->stats.finished++;
	p->stats.failed += rc != 0;
	lock_release(&p->lock);

	r->done(r);

	lock_acquire(&p->lock);
	assert(p->in_epoch[epoch] != 0);
	if (--p->in_epoch[epoch] == 0 && p->draining)
		cond_wake_all(&p->drained);
	lock_release(&p->lock);
}

void
iopool_drain(struct iopool *p)
{
	unsigned old;

	lock_acquire(&p->lock);
	while (p->draining)
		cond_wait(&p->drained, &p->lock);
	p->draining = true;
	old = p->epoch;
	assert(p->in_epoch[!old] == 0);
	p->epoch = !old;
	while (p->in_epoch[old] != 0)
		cond_wait(&p->drained, &p->lock);
	p->draining = false;
	cond_wake_all(&p->drained);
	lock_release(&p->lock);
}
