/* SPDX-License-Identifier: BSD-2-Clause */
/* The I/O pool as one io_uring and one thread.
 *
 * The ring thread alone touches the ring: it takes requests from the line,
 * submits what they ask of the host and reaps what came of it, with one
 * io_uring_enter() for both. Other threads put requests in line, and write to
 * an eventfd, which the ring reads, when the ring thread sleeps. Why not let
 * each of them submit:
 * - The kernel completes a request on the thread that submitted it: it would
 *   interrupt a vCPU, for every request, to post the completion, and would
 *   keep kernel threads for flushes for each submitter instead of one set.
 * - A vCPU pays for one write() at most, and for nothing while the ring
 *   thread is awake; pinning pages and the block layer are not its business.
 * - What done() submits, as a flush after writes, goes out with the next
 *   enter of the same thread.
 *
 *      round:  start requests from the line -> enter (submit, wait for one)
 *              -> reap all completions: next step, or finish and done()
 */
#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "cache/iopool_int.h"

#define DEPTH_DEFAULT 64
#define PIECE_BYTES   BIT(30) /* the host's limit for one pinned buffer */
#define PIECES_MAX    64U
#define SPIN_LOOKS    32U
#define SPIN_MIN_NS   (10 * NS_PER_US)
#define SPIN_MAX_NS   (400 * NS_PER_US)
#define STEP_MAX      BIT(30) /* bytes of one SQE: its length has 32 bits */

/* A request at the host: it has one SQE at a time. */
struct slot {
	struct ioreq *r;
	struct hostop o;
	struct __kernel_timespec delay;
	struct iovec scratch[HOSTOP_IOV_MAX];
};

struct iouring {
	struct iopool pool;
	bool asleep; /* [lock] the ring thread waits for completions only */
	bool stop;   /* [lock] */

	/* start-up: what the ring thread says to the opener */
	struct cond said; /* [lock] */
	bool up;	  /* [lock] */
	int up_rc;	  /* [lock] */
	struct err up_err;

	/* the ring thread's */
	struct io_uring ring;
	u64 wakes; /* what the ring reads from wake_fd */
	struct slot *slots;
	unsigned *spare; /* indexes of slots without a request */
	unsigned spare_count;
	unsigned flushes; /* at the host */
	u64 spin_ns;	  /* how long to stay awake */
	u8 *pinned;	  /* memory, or NULL */
	u64 pinned_bytes;
	bool has_files;
	struct hostfile *fixed[IOPOOL_FILES_MAX]; /* as the ring knows them */

	/* [const] */
	int wake_fd;
	unsigned depth;
	pthread_t thread;
};

static _Thread_local struct iouring *my_ring;

static struct iouring *
uring_of(struct iopool *p)
{
	return CONTAINER_OF(p, struct iouring, pool);
}

/* --- from other threads ------------------------------------------------ */

static bool
uring_more_locked(struct iopool *p, unsigned count)
{
	struct iouring *u = uring_of(p);
	bool wake = u->asleep;

	(void)count;
	u->asleep = false;
	return wake;
}

static void
uring_wake(struct iopool *p)
{
	u64 one = 1;

	iopool_count_call(p);
	while (write(uring_of(p)->wake_fd, &one, sizeof(one)) < 0)
		assert(errno == EINTR);
}

/* A call that only the ring thread may make. */
struct errand {
	struct ioreq r;
	void (*fn)(struct iouring *u, const struct errand *e);
	u8 *base;
	u64 size_bytes;
	unsigned file;
	struct cond ran;
	bool done; /* [pool.lock] */
};

static void
errand_done(struct ioreq *r)
{
	struct errand *e = CONTAINER_OF(r, struct errand, r);
	struct iouring *u = my_ring;

	e->fn(u, e);
	lock_acquire(&u->pool.lock);
	e->done = true;
	cond_wake_all(&e->ran);
	lock_release(&u->pool.lock);
}

static void
run_errand(struct iouring *u, struct errand *e)
{
	struct ioreq *r = &e->r;

	if (my_ring == u) {
		e->fn(u, e);
		return;
	}
	r->op = IO_CALL;
	r->done = errand_done;
	cond_init(&e->ran);
	iopool_submit(&u->pool, &r, 1);
	lock_acquire(&u->pool.lock);
	while (!e->done)
		cond_wait(&e->ran, &u->pool.lock);
	lock_release(&u->pool.lock);
	cond_destroy(&e->ran);
}

static void
pin_memory(struct iouring *u, const struct errand *e)
{
	struct iovec pieces[PIECES_MAX];
	unsigned n = 0;

	if (u->pinned)
		return;
	for (u64 at = 0; at < e->size_bytes; at += PIECE_BYTES)
		pieces[n++] =
		    (struct iovec){e->base + at,
				   MIN(PIECE_BYTES, e->size_bytes - at)};
	/* Refused, say by RLIMIT_MEMLOCK, it is as it was. */
	if (io_uring_register_buffers(&u->ring, pieces, n) != 0)
		return;
	u->pinned = e->base;
	u->pinned_bytes = e->size_bytes;
}

static void
uring_register_memory(struct iopool *p, void *base, u64 size_bytes)
{
	struct errand e = {.fn = pin_memory,
			   .base = base,
			   .size_bytes = size_bytes};

	if (size_bytes != 0 && size_bytes <= PIECES_MAX * PIECE_BYTES)
		run_errand(uring_of(p), &e);
}

static void
unpin_memory(struct iouring *u, const struct errand *e)
{
	if (u->pinned == NULL || u->pinned != e->base)
		return;
	(void)io_uring_unregister_buffers(&u->ring);
	u->pinned = NULL;
	u->pinned_bytes = 0;
}

static void
uring_forget_memory(struct iopool *p, void *base)
{
	struct errand e = {.fn = unpin_memory, .base = base};

	run_errand(uring_of(p), &e);
}

/* The ring's table holds both descriptors of each file. */
static void
update_file(struct iouring *u, const struct errand *e)
{
	int fds[2] = {-1, -1};
	struct hostfile *f;

	if (!u->has_files)
		return;
	lock_acquire(&u->pool.lock);
	f = u->pool.files[e->file];
	lock_release(&u->pool.lock);
	if (f) {
		fds[0] = f->fd;
		fds[1] = f->fd_cached;
	}
	if (io_uring_register_files_update(&u->ring, 2 * e->file, fds, 2) != 2)
		f = NULL;
	u->fixed[e->file] = f;
}

static void
uring_file_changed(struct iopool *p, unsigned file)
{
	struct errand e = {.fn = update_file, .file = file};

	run_errand(uring_of(p), &e);
}

/* --- a step as an SQE -------------------------------------------------- */

/* The pinned piece that one stretch of memory lies in, or -1. */
static int
pinned_piece(const struct iouring *u, const struct iovec *iov)
{
	u64 at = (u64)((u8 *)iov->iov_base - u->pinned);
	u64 last;

	if (!u->pinned || (u8 *)iov->iov_base < u->pinned ||
	    at >= u->pinned_bytes || iov->iov_len > u->pinned_bytes - at)
		return -1;
	last = at + iov->iov_len - 1;
	return at / PIECE_BYTES == last / PIECE_BYTES ? (int)(at / PIECE_BYTES)
						      : -1;
}

static void
prep_transfer(struct iouring *u, struct io_uring_sqe *sqe,
	      const struct hostop *o)
{
	const struct iovec *iov = o->step_iov;
	unsigned n = (unsigned)MIN(iov->iov_len, STEP_MAX);
	bool write = o->step == HOSTOP_WRITE;
	int piece = o->step_iov_count == 1 ? pinned_piece(u, iov) : -1;

	if (piece >= 0 && write)
		io_uring_prep_write_fixed(sqe, o->fd, iov->iov_base, n,
					  o->step_off, piece);
	else if (piece >= 0)
		io_uring_prep_read_fixed(sqe, o->fd, iov->iov_base, n,
					 o->step_off, piece);
	else if (o->step_iov_count == 1 && write)
		io_uring_prep_write(sqe, o->fd, iov->iov_base, n, o->step_off);
	else if (o->step_iov_count == 1)
		io_uring_prep_read(sqe, o->fd, iov->iov_base, n, o->step_off);
	else if (write)
		io_uring_prep_writev(sqe, o->fd, iov, o->step_iov_count,
				     o->step_off);
	else
		io_uring_prep_readv(sqe, o->fd, iov, o->step_iov_count,
				    o->step_off);
}

/* The ring's table of files spares the host a look-up. */
static void
use_fixed_file(struct iouring *u, struct io_uring_sqe *sqe,
	       const struct hostop *o)
{
	unsigned i = atomic_load(&o->f->pool_slot);

	if (i >= IOPOOL_FILES_MAX || u->fixed[i] != o->f)
		return;
	sqe->fd = (int)(2 * i + (o->fd == o->f->fd ? 0 : 1));
	sqe->flags |= IOSQE_FIXED_FILE;
}

/* There is an SQE for each slot and one for wake_fd: never NULL. */
static struct io_uring_sqe *
get_sqe(struct iouring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	assert(sqe != NULL);
	return sqe;
}

static void
prep_step(struct iouring *u, struct slot *s)
{
	struct io_uring_sqe *sqe = get_sqe(u);
	const struct hostop *o = &s->o;

	switch (o->step) {
	case HOSTOP_DELAY:
		s->delay.tv_sec = (s64)(o->verdict.delay_ns / NS_PER_SEC);
		s->delay.tv_nsec = (s64)(o->verdict.delay_ns % NS_PER_SEC);
		io_uring_prep_timeout(sqe, &s->delay, 0, 0);
		break;
	case HOSTOP_READ:
	case HOSTOP_WRITE:
		prep_transfer(u, sqe, o);
		break;
	case HOSTOP_FLUSH: /* what hostfile_os_flush() does on this host */
		u->flushes++;
		io_uring_prep_fsync(sqe, o->fd, IORING_FSYNC_DATASYNC);
		break;
	case HOSTOP_PUNCH:
		io_uring_prep_fallocate(sqe, o->fd,
					FALLOC_FL_PUNCH_HOLE |
					    FALLOC_FL_KEEP_SIZE,
					(off_t)o->step_off,
					(off_t)o->step_bytes);
		break;
	case HOSTOP_ZERO:
		io_uring_prep_fallocate(sqe, o->fd, FALLOC_FL_ZERO_RANGE,
					(off_t)o->step_off,
					(off_t)o->step_bytes);
		break;
	case HOSTOP_DONE:
		assert(!"a step");
		break;
	}
	if (o->step != HOSTOP_DELAY)
		use_fixed_file(u, sqe, o);
	io_uring_sqe_set_data(sqe, s);
}

/* Completions of wake_fd have no slot. */
static void
prep_wake(struct iouring *u)
{
	struct io_uring_sqe *sqe = get_sqe(u);

	io_uring_prep_read(sqe, u->wake_fd, &u->wakes, sizeof(u->wakes), 0);
	io_uring_sqe_set_data(sqe, NULL);
}

/* --- the ring thread --------------------------------------------------- */

/* The next step of a request, or its end. */
static void
advance(struct iouring *u, struct slot *s)
{
	struct ioreq *r = s->r;
	u64 moved_bytes;
	int rc;

	if (hostop_next(&s->o) != HOSTOP_DONE) {
		iopool_step_begin(r, &s->o);
		prep_step(u, s);
		return;
	}
	rc = s->o.rc;
	moved_bytes = s->o.moved_bytes;
	s->r = NULL;
	u->spare[u->spare_count++] = (unsigned)(s - u->slots);
	iopool_finish(r, rc, moved_bytes);
}

/* Is the first in line one that can go on now? Without a spare slot only a
 * request that is cancelled is. */
static bool
can_take_locked(struct iouring *u) REQUIRES(u->pool.lock)
{
	struct iopool *p = &u->pool;
	struct ioreq *r;

	if (u->spare_count != 0)
		return !list_empty(&p->first) || !list_empty(&p->line);
	if (list_empty(&p->first))
		return false;
	r = LIST_ENTRY(p->first.next, struct ioreq, link);
	return (r->state & IOREQ_ENDED) != 0;
}

static struct ioreq *
take(struct iouring *u)
{
	struct ioreq *r = NULL;

	lock_acquire(&u->pool.lock);
	u->asleep = false;
	if (can_take_locked(u))
		r = iopool_take_locked(&u->pool);
	lock_release(&u->pool.lock);
	return r;
}

/* Not more than depth of them, so that completions get their turn. */
static void
start_some(struct iouring *u)
{
	struct ioreq *r;
	struct hostop none;
	struct slot *s;

	for (unsigned n = 0; n < u->depth && (r = take(u)) != NULL; n++) {
		if (u->spare_count == 0) {
			bool runs = iopool_begin(r, &none, NULL);

			assert(!runs);
			continue;
		}
		s = &u->slots[u->spare[u->spare_count - 1]];
		if (!iopool_begin(r, &s->o, s->scratch))
			continue;
		u->spare_count--;
		s->r = r;
		advance(u, s);
	}
}

static void
complete(struct iouring *u, struct slot *s, s64 res)
{
	assert(s->r != NULL);
	if (s->o.step == HOSTOP_DELAY && res == -ETIME)
		res = 0;
	u->flushes -= s->o.step == HOSTOP_FLUSH;
	iopool_step_done(s->r, &s->o, res);
	advance(u, s);
}

static void
reap(struct iouring *u)
{
	struct io_uring_cqe *cqe;
	struct slot *s;
	s64 res;

	while (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
		s = io_uring_cqe_get_data(cqe);
		res = cqe->res;
		io_uring_cqe_seen(&u->ring, cqe);
		if (s)
			complete(u, s, res);
		else
			prep_wake(u);
	}
}

/* Is there anything to reap, or a hint that there will be? */
static bool
has_news(struct iouring *u)
{
	return io_uring_cq_ready(&u->ring) != 0 ||
	       (__atomic_load_n(u->ring.sq.kflags, __ATOMIC_RELAXED) &
		IORING_SQ_TASKRUN) != 0;
}

/* Stays awake for a while: to wake a processor that has halted takes longer
 * than many disks. Only memory is looked at. While a flush is at the host its
 * kernel thread gets the processor. True: there is something to do. */
static bool
stay_awake(struct iouring *u)
{
	u64 end_ns = clock_now_ns() + u->spin_ns;
	bool more = false;

	if (u->spin_ns == 0 || u->flushes != 0)
		return false;
	while (!has_news(u) && !more && clock_now_ns() < end_ns) {
		for (unsigned i = 0; i < SPIN_LOOKS; i++)
			__builtin_ia32_pause();
		lock_acquire(&u->pool.lock);
		more = can_take_locked(u) || u->stop;
		lock_release(&u->pool.lock);
	}
	return more || has_news(u);
}

/* Was it worth it? Waits that end soon make it stay awake longer the next
 * time, long ones make it give up. */
static void
learn(struct iouring *u, u64 waited_ns)
{
	if (waited_ns > SPIN_MAX_NS)
		u->spin_ns /= 2;
	else if (waited_ns > u->spin_ns)
		u->spin_ns = MIN(MAX(u->spin_ns * 2, SPIN_MIN_NS), SPIN_MAX_NS);
	if (u->spin_ns < SPIN_MIN_NS)
		u->spin_ns = 0;
}

/* Submits, and waits for a completion unless there is something to start. */
static void
enter(struct iouring *u)
{
	u64 start_ns;
	bool more;
	int rc;

	if (io_uring_sq_ready(&u->ring) != 0) {
		iopool_count_call(&u->pool);
		rc = io_uring_submit(&u->ring);
		assert(rc >= 0 || rc == -EINTR || rc == -EAGAIN ||
		       rc == -EBUSY);
	}
	start_ns = clock_now_ns();
	if (stay_awake(u)) {
		learn(u, clock_now_ns() - start_ns);
		return;
	}
	lock_acquire(&u->pool.lock);
	more = can_take_locked(u) || u->stop;
	u->asleep = !more;
	lock_release(&u->pool.lock);
	iopool_count_call(&u->pool);
	rc = more ? io_uring_submit_and_get_events(&u->ring)
		  : io_uring_submit_and_wait(&u->ring, 1);
	/* Not now: what was not submitted is, next time. */
	assert(rc >= 0 || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY);
	learn(u, clock_now_ns() - start_ns);
}

static bool
stopped(struct iouring *u)
{
	bool stop;

	lock_acquire(&u->pool.lock);
	stop = u->stop;
	lock_release(&u->pool.lock);
	return stop;
}

/* --- start and stop ---------------------------------------------------- */

/* Newest way first: completions run only when this thread asks for them. */
static int
setup_ring(struct iouring *u, struct err *e)
{
	static const unsigned flags[] = {
	    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
		IORING_SETUP_TASKRUN_FLAG,
	    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
	    0,
	};
	int rc = -EINVAL;

	for (unsigned i = 0; i < ARRAY_SIZE(flags) && rc == -EINVAL; i++)
		rc = io_uring_queue_init(u->depth + 1, &u->ring, flags[i]);
	if (rc != 0)
		return err_errno(e, rc,
				 "io_uring is not to be had on this host");
	return 0;
}

static int
check_ops(struct iouring *u, struct err *e)
{
	static const int ops[] = {
	    IORING_OP_READ,   IORING_OP_WRITE,	    IORING_OP_READV,
	    IORING_OP_WRITEV, IORING_OP_READ_FIXED, IORING_OP_WRITE_FIXED,
	    IORING_OP_FSYNC,  IORING_OP_FALLOCATE,  IORING_OP_TIMEOUT,
	};
	struct io_uring_probe *probe = io_uring_get_probe_ring(&u->ring);
	bool has = probe != NULL;

	for (unsigned i = 0; has && i < ARRAY_SIZE(ops); i++)
		has = io_uring_opcode_supported(probe, ops[i]);
	io_uring_free_probe(probe);
	if (!has)
		return err_set(e, -ENOTSUP,
			       "io_uring of this host lacks operations that "
			       "are needed");
	return 0;
}

/* The kernel makes a thread of its own for what may block; the first flush of
 * the guest shall not wait for that. An eventfd cannot be flushed, but asking
 * takes the same way, and the thread stays. */
static void
warm_up(struct iouring *u)
{
	struct io_uring_sqe *sqe = get_sqe(u);
	struct io_uring_cqe *cqe;

	io_uring_prep_fsync(sqe, u->wake_fd, IORING_FSYNC_DATASYNC);
	io_uring_submit(&u->ring);
	if (io_uring_wait_cqe(&u->ring, &cqe) == 0)
		io_uring_cqe_seen(&u->ring, cqe);
}

static int
start_up(struct iouring *u)
{
	int rc = setup_ring(u, &u->up_err);

	if (rc == 0 && (rc = check_ops(u, &u->up_err)) != 0)
		io_uring_queue_exit(&u->ring);
	if (rc == 0) {
		u->has_files =
		    io_uring_register_files_sparse(&u->ring,
						   2 * IOPOOL_FILES_MAX) == 0;
		warm_up(u);
		prep_wake(u);
	}
	lock_acquire(&u->pool.lock);
	u->up = true;
	u->up_rc = rc;
	cond_wake_all(&u->said);
	lock_release(&u->pool.lock);
	return rc;
}

static void *
ring_thread(void *arg)
{
	struct iouring *u = arg;

	my_ring = u;
	if (start_up(u) != 0)
		return NULL;
	while (!stopped(u)) {
		start_some(u);
		enter(u);
		reap(u);
	}
	io_uring_queue_exit(&u->ring);
	return NULL;
}

static void
release(struct iouring *u)
{
	if (u->wake_fd >= 0)
		close(u->wake_fd);
	cond_destroy(&u->said);
	iopool_release(&u->pool);
	free(u->slots);
	free(u->spare);
	free(u);
}

static void
uring_close(struct iopool *p)
{
	struct iouring *u = uring_of(p);

	lock_acquire(&p->lock);
	u->stop = true;
	lock_release(&p->lock);
	uring_wake(p);
	pthread_join(u->thread, NULL);
	release(u);
}

static const struct iopool_ops uring_ops = {
    .name = "uring",
    .more_locked = uring_more_locked,
    .wake = uring_wake,
    .close = uring_close,
    .register_memory = uring_register_memory,
    .forget_memory = uring_forget_memory,
    .file_changed = uring_file_changed,
};

/* Starts the ring thread and waits for what it has to say. */
static int
start_thread(struct iouring *u, struct err *e)
{
	int rc = iopool_start_thread(&u->thread, ring_thread, u);

	if (rc != 0)
		return err_errno(e, rc,
				 "cannot start a thread of the I/O pool");
	lock_acquire(&u->pool.lock);
	while (!u->up)
		cond_wait(&u->said, &u->pool.lock);
	rc = u->up_rc;
	lock_release(&u->pool.lock);
	if (rc == 0)
		return 0;
	pthread_join(u->thread, NULL);
	return err_set(e, rc, "%s", u->up_err.text);
}

int
iopool_uring_open(struct iopool **out, const struct iopool_config *cfg,
		  struct err *e)
{
	struct iouring *u = calloc(1, sizeof(*u));
	int rc;

	if (!u)
		return err_set(e, -ENOMEM, "no memory for the I/O pool");
	u->depth = cfg->depth != 0 ? cfg->depth : DEPTH_DEFAULT;
	iopool_init(&u->pool, &uring_ops, u->depth);
	cond_init(&u->said);
	snprintf(u->pool.why, sizeof(u->pool.why),
		 "io_uring works on this host");
	u->wake_fd = eventfd(0, EFD_CLOEXEC);
	u->slots = calloc(u->depth, sizeof(*u->slots));
	u->spare = calloc(u->depth, sizeof(*u->spare));
	if (u->wake_fd < 0 || !u->slots || !u->spare)
		rc = err_set(e, -ENOMEM, "no memory for the I/O pool");
	else
		rc = 0;
	for (unsigned i = 0; rc == 0 && i < u->depth; i++)
		u->spare[u->spare_count++] = i;
	if (rc == 0)
		rc = start_thread(u, e);
	if (rc != 0) {
		release(u);
		return rc;
	}
	*out = &u->pool;
	return 0;
}
