/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache/hostop_int.h"

#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "base/iov.h"
#include "base/range.h"

#define AGAIN_MAX   1000 /* tries, 1 ms apart */
#define OFF_MAX	    ((u64)INT64_MAX)
#define ZEROS_BYTES 65536U
#define ZEROS_MAX   16U /* pieces of one write */

/* Aligned for every uncached write. Nobody writes to it. */
static u8 zeros[ZEROS_BYTES] __attribute__((aligned(4096)));

static void
count(_Atomic u64 *counter, u64 n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static void
end(struct hostop *o, int rc)
{
	assert(!o->ended && rc <= 0);
	if (rc != 0)
		count(&o->f->stats.errors, 1);
	if (rc != 0 && o->kind == HOSTOP_KIND_FLUSH) {
		int none = 0;

		atomic_compare_exchange_strong(&o->f->flush_error, &none, rc);
	}
	o->rc = rc;
	o->ended = true;
}

static bool
moves_data(const struct hostop *o)
{
	return o->kind == HOSTOP_KIND_READ || o->kind == HOSTOP_KIND_WRITE;
}

static bool
is_aligned(const struct hostop *o, u64 off, u64 size_bytes,
	   const struct iovec *iov, unsigned iov_count)
{
	u64 all = off | size_bytes;

	for (unsigned i = 0; i < iov_count; i++)
		all |= (u64)(uintptr_t)iov[i].iov_base | iov[i].iov_len;
	return (all & (o->f->align_bytes - 1)) == 0;
}

void
hostop_init(struct hostop *o)
{
	assert(o->f != NULL);
	assert(!moves_data(o) ||
	       (o->iov_count <= HOSTOP_IOV_MAX &&
		iov_bytes(o->iov, o->iov_count) == o->size_bytes));
	o->rc = 0;
	o->moved_bytes = 0;
	o->ended = o->judged = o->cached = o->by_hand = false;
	o->again = 0;
	if (o->kind == HOSTOP_KIND_FLUSH)
		return;
	if (o->kind != HOSTOP_KIND_READ && o->f->read_only)
		end(o, -EROFS);
	else if (!range_inside(o->off, o->size_bytes, OFF_MAX))
		end(o, -EINVAL);
	else if (o->size_bytes == 0)
		end(o, 0);
	o->cached = !is_aligned(o, o->off, o->size_bytes, o->iov,
				moves_data(o) ? o->iov_count : 0);
}

/* Steps of a write keep to what this says: see step_transfer(). */
enum hostgate
hostop_gate(const struct hostop *o)
{
	if (o->ended)
		return GATE_NONE;
	if (o->kind == HOSTOP_KIND_FLUSH)
		return GATE_FLUSH;
	if (!o->f->direct ||
	    (o->kind != HOSTOP_KIND_WRITE && o->kind != HOSTOP_KIND_ZERO))
		return GATE_NONE;
	return o->cached ? GATE_CACHED : GATE_UNCACHED;
}

/* --- the next step ----------------------------------------------------- */

static void
ask_faults(struct hostop *o)
{
	static const enum fault_op ops[] = {
	    [HOSTOP_KIND_READ] = FAULT_READ,
	    [HOSTOP_KIND_WRITE] = FAULT_WRITE,
	    [HOSTOP_KIND_FLUSH] = FAULT_FLUSH,
	    [HOSTOP_KIND_DISCARD] = FAULT_DISCARD,
	    [HOSTOP_KIND_ZERO] = FAULT_DISCARD,
	};
	struct fault_set *s =
	    atomic_load_explicit(&o->f->faults, memory_order_acquire);

	o->judged = true;
	if (!s)
		o->verdict = (struct fault_verdict){.max_bytes = UINT64_MAX};
	else if (o->kind == HOSTOP_KIND_FLUSH) /* touches every byte */
		o->verdict = fault_check(s, FAULT_FLUSH, 0, UINT64_MAX);
	else
		o->verdict =
		    fault_check(s, ops[o->kind], o->off + o->moved_bytes,
				o->size_bytes - o->moved_bytes);
}

/* The rest of a transfer, or as much of it as a fault lets through. An
 * uncached write stays aligned, so that it stays uncached; a read may meet an
 * end of file that is not. */
static void
step_transfer(struct hostop *o)
{
	u64 some = o->verdict.max_bytes;

	o->step = o->kind == HOSTOP_KIND_READ ? HOSTOP_READ : HOSTOP_WRITE;
	if (!o->cached)
		some =
		    MAX(ALIGN_DOWN(some, o->f->align_bytes), o->f->align_bytes);
	o->step_bytes = MIN(o->step_bytes, some);
	o->step_iov = o->iov;
	o->step_iov_count = o->iov_count;
	if (o->step_bytes != o->size_bytes) {
		o->step_iov_count =
		    iov_slice(o->scratch, HOSTOP_IOV_MAX, o->iov, o->iov_count,
			      o->moved_bytes, o->step_bytes);
		o->step_iov = o->scratch;
		assert(o->step_iov_count != 0);
	}
	if (o->kind == HOSTOP_KIND_READ &&
	    !is_aligned(o, o->step_off, o->step_bytes, NULL, 0))
		o->cached = true;
	o->fd = o->cached ? o->f->fd_cached : o->f->fd;
}

static void
step_zeros(struct hostop *o)
{
	u64 left = MIN(o->step_bytes, (u64)ZEROS_MAX * ZEROS_BYTES);
	unsigned n = 0;

	o->step = HOSTOP_WRITE;
	o->step_bytes = left;
	for (; left != 0; left -= o->scratch[n++].iov_len)
		o->scratch[n] =
		    (struct iovec){zeros, MIN(left, (u64)ZEROS_BYTES)};
	o->step_iov = o->scratch;
	o->step_iov_count = n;
	o->fd = o->cached ? o->f->fd_cached : o->f->fd;
}

enum hostop_step
hostop_next(struct hostop *o)
{
	int failed = atomic_load(&o->f->flush_error);

	if (o->kind == HOSTOP_KIND_FLUSH && !o->ended && failed != 0)
		end(o, failed); /* disk-rules 12: the host is not asked */
	if (!o->ended && !o->judged)
		ask_faults(o);
	if (!o->ended && o->verdict.delay_ns == 0 && o->verdict.error != 0 &&
	    !o->verdict.after)
		end(o, o->verdict.error);
	if (o->ended)
		return o->step = HOSTOP_DONE;
	if (o->verdict.delay_ns != 0)
		return o->step = HOSTOP_DELAY;

	o->fd = o->f->fd_cached;
	o->step_off = o->off + o->moved_bytes;
	o->step_bytes = o->size_bytes - o->moved_bytes;
	switch (o->kind) {
	case HOSTOP_KIND_READ:
	case HOSTOP_KIND_WRITE:
		step_transfer(o);
		break;
	case HOSTOP_KIND_FLUSH:
		o->step = HOSTOP_FLUSH;
		break;
	case HOSTOP_KIND_DISCARD:
		o->step = HOSTOP_PUNCH;
		break;
	case HOSTOP_KIND_ZERO:
		o->step = HOSTOP_ZERO;
		if (o->by_hand)
			step_zeros(o);
		break;
	}
	return o->step;
}

/* --- what came of it --------------------------------------------------- */

static void
grow_size(struct hostfile *f, u64 size_bytes)
{
	u64 now = atomic_load(&f->size_bytes);

	while (now < size_bytes &&
	       !atomic_compare_exchange_weak(&f->size_bytes, &now, size_bytes))
		;
}

static void
tally(struct hostop *o, u64 bytes)
{
	struct hostfile_stats *st = &o->f->stats;

	switch (o->step) {
	case HOSTOP_READ:
		count(&st->reads, 1);
		count(&st->read_bytes, bytes);
		break;
	case HOSTOP_WRITE:
		count(&st->writes, 1);
		count(&st->write_bytes, bytes);
		break;
	case HOSTOP_FLUSH:
		count(&st->flushes, 1);
		break;
	case HOSTOP_PUNCH:
	case HOSTOP_ZERO:
		count(&st->discards, 1);
		break;
	case HOSTOP_DONE:
	case HOSTOP_DELAY:
		break;
	}
}

/* True when the error is no end: another way is tried. */
static bool
goes_on(struct hostop *o, s64 res)
{
	if (res == -EINTR)
		return true;
	if (res == -EAGAIN && o->again++ < AGAIN_MAX) {
		o->verdict.delay_ns = NS_PER_MS;
		return true;
	}
	if (o->step == HOSTOP_ZERO &&
	    (res == -EOPNOTSUPP || res == -ENOSYS || res == -EINVAL))
		return o->by_hand = true;
	if (res == -EINVAL && o->step == HOSTOP_READ && !o->cached)
		return o->cached = true;
	return false;
}

/* A read that met the end of the file. */
static void
end_of_file(struct hostop *o)
{
	if (!o->eof_zero) {
		end(o, -ENODATA);
		return;
	}
	iov_zero(o->iov, o->iov_count, o->moved_bytes,
		 o->size_bytes - o->moved_bytes);
	end(o, 0);
}

static void
moved(struct hostop *o, u64 bytes)
{
	assert(bytes <= o->step_bytes);
	o->moved_bytes += bytes;
	o->judged = false; /* what follows is another access */
	o->again = 0;
	if (o->moved_bytes == o->size_bytes)
		end(o, 0);
	else if (bytes == 0 && o->step == HOSTOP_READ)
		end_of_file(o);
	else if (bytes == 0)
		end(o, -EIO);
}

void
hostop_done(struct hostop *o, s64 res)
{
	assert(!o->ended);
	if (o->step == HOSTOP_DELAY) {
		o->verdict.delay_ns = 0;
		return;
	}
	if (res < 0 && goes_on(o, res))
		return;
	tally(o, res > 0 ? (u64)res : 0);
	if (o->step == HOSTOP_WRITE && res > 0)
		grow_size(o->f, o->step_off + (u64)res);
	if (o->verdict.error != 0)
		end(o, o->verdict.error);
	else if (res < 0)
		end(o, (int)res);
	else if (o->step == HOSTOP_READ || o->step == HOSTOP_WRITE)
		moved(o, (u64)res);
	else if (o->step == HOSTOP_ZERO) {
		grow_size(o->f, o->step_off + o->step_bytes);
		moved(o, o->step_bytes);
	} else
		end(o, 0);
}

/* --- blocking ---------------------------------------------------------- */

static void
sleep_ns(u64 ns)
{
	struct timespec ts = {(time_t)(ns / NS_PER_SEC),
			      (long)(ns % NS_PER_SEC)};

	while (nanosleep(&ts, &ts) != 0 && errno == EINTR)
		;
}

s64
hostop_call(const struct hostop *o)
{
	switch (o->step) {
	case HOSTOP_DELAY:
		sleep_ns(o->verdict.delay_ns);
		return 0;
	case HOSTOP_READ:
		return hostfile_os_readv(o->fd, o->step_iov, o->step_iov_count,
					 o->step_off);
	case HOSTOP_WRITE:
		return hostfile_os_writev(o->fd, o->step_iov, o->step_iov_count,
					  o->step_off);
	case HOSTOP_FLUSH:
		return hostfile_os_flush(o->fd);
	case HOSTOP_PUNCH:
		return hostfile_os_punch(o->fd, o->step_off, o->step_bytes);
	case HOSTOP_ZERO:
		return hostfile_os_zero(o->fd, o->step_off, o->step_bytes);
	case HOSTOP_DONE:
		break;
	}
	assert(!"a step");
	return -EINVAL;
}
