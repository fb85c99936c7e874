/* SPDX-License-Identifier: BSD-2-Clause */
/* mail - how other threads reach the vCPU thread, and how it sleeps
 *
 * What:    devices are touched on the vCPU thread only. Another thread posts
 *          a call, which the vCPU thread runs between two exits; or it just
 *          wakes the vCPU thread, after it has left word in an atomic or under
 *          a lock. The vCPU thread sleeps in one futex wait until it is woken
 *          or a deadline has come: one system call a sleep, none to wake up.
 * Model:   futex(2). wake is the futex word: mail_wake() sets it, then looks at
 *          asleep; the sleeper sets asleep, then lets the kernel compare wake
 *          with 0. Both are sequentially consistent, so one of them sees the
 *          other, and no wake-up is lost.
 * Units:   host nanoseconds (CLOCK_MONOTONIC).
 * Threads: as each function says.
 * Owns:    its lock. A posted call lives on the caller's stack.
 */
#ifndef VMM_MAIL_H
#define VMM_MAIL_H

#include <stdatomic.h>

#include "base/lock.h"

struct mail_call;

struct mail {
	struct lock lock; /* recursive: a call may call */
	struct cond done;
	struct mail_call *first; /* [lock] posted and not yet taken */
	bool open;		 /* [lock] the vCPU thread is in its loop */
	pthread_t thread;	 /* [lock] which one it is, while open */
	atomic_uint wake;	 /* [atomic] pairs with asleep, seq_cst */
	atomic_bool asleep;	 /* [atomic] pairs with wake, seq_cst */
	void (*kick)(void *ctx); /* [const] makes the driver return */
	void *ctx;
};

typedef void (*mail_fn)(void *ctx, void *arg);

void mail_init(struct mail *m, void (*kick)(void *ctx), void *ctx);
void mail_release(struct mail *m);

/* Any thread: fn(ctx, arg) has run when this returns. While no loop runs it
 * runs here, under the lock; on the vCPU thread it runs at once. */
void mail_call(struct mail *m, mail_fn fn, void *arg);

/* Any thread, and signal handlers. */
void mail_wake(struct mail *m);

/* The vCPU thread: around its loop. mail_end() runs what is still posted. */
void mail_begin(struct mail *m);
void mail_end(struct mail *m);

/* The vCPU thread: was it woken since the last call? */
static inline bool
mail_woken(struct mail *m)
{
	return atomic_load_explicit(&m->wake, memory_order_relaxed) != 0 &&
	       atomic_exchange(&m->wake, 0) != 0;
}

/* The vCPU thread: runs what was posted. */
void mail_run(struct mail *m);

/* The vCPU thread: as mail_sleep(), but stays awake for up to spin_ns first.
 * To wake a processor of the host that has halted takes tens of microseconds,
 * more than a disk may need. True: it was woken meanwhile. */
bool mail_spin(struct mail *m, u64 deadline_ns, u64 spin_ns);

/* The vCPU thread: sleeps until woken or, unless it is UINT64_MAX, the host
 * clock has reached deadline_ns. May return early. */
void mail_sleep(struct mail *m, u64 deadline_ns);

#endif
