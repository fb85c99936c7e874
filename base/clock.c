/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/clock.h"

#include <time.h>

static u64
read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (u64)ts.tv_sec * NS_PER_SEC + (u64)ts.tv_nsec;
}

u64
clock_now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

u64
clock_cpu_ns(void)
{
	return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

void
vclock_init(struct vclock *vc, u64 start_ns)
{
	atomic_init(&vc->seq, 0);
	atomic_init(&vc->base_ns, 0);
	atomic_init(&vc->stopped_ns, start_ns);
	atomic_init(&vc->running, false);
}

/* What the fields say now; consistent only under the sequence count. The
 * acquires keep a later look at the count behind these loads. */
static u64
read_fields(const struct vclock *vc)
{
	if (!atomic_load_explicit(&vc->running, memory_order_acquire))
		return atomic_load_explicit(&vc->stopped_ns,
					    memory_order_acquire);
	return clock_now_ns() -
	       atomic_load_explicit(&vc->base_ns, memory_order_acquire);
}

/* The count turns odd, and is seen to be odd, before the host's clock is read
 * for the change: whoever read a time under the old fields read an earlier
 * one. The stores in between release, so none is seen before the odd count. */
static void
change_begin(struct vclock *vc)
{
	atomic_fetch_add_explicit(&vc->seq, 1, memory_order_seq_cst);
}

static void
change_end(struct vclock *vc)
{
	atomic_fetch_add_explicit(&vc->seq, 1, memory_order_release);
}

void
vclock_start(struct vclock *vc)
{
	u64 stopped;

	if (atomic_load_explicit(&vc->running, memory_order_relaxed))
		return;
	change_begin(vc);
	stopped = atomic_load_explicit(&vc->stopped_ns, memory_order_relaxed);
	atomic_store_explicit(&vc->base_ns, clock_now_ns() - stopped,
			      memory_order_release);
	atomic_store_explicit(&vc->running, true, memory_order_release);
	change_end(vc);
}

void
vclock_stop(struct vclock *vc)
{
	if (!atomic_load_explicit(&vc->running, memory_order_relaxed))
		return;
	change_begin(vc);
	atomic_store_explicit(&vc->stopped_ns, read_fields(vc),
			      memory_order_release);
	atomic_store_explicit(&vc->running, false, memory_order_release);
	change_end(vc);
}

void
vclock_step(struct vclock *vc, u64 now_ns)
{
	assert(!atomic_load_explicit(&vc->running, memory_order_relaxed));
	if (now_ns <= read_fields(vc))
		return;
	change_begin(vc);
	atomic_store_explicit(&vc->stopped_ns, now_ns, memory_order_release);
	change_end(vc);
}

u64
vclock_now_ns(const struct vclock *vc)
{
	u32 seq;
	u64 now;

	do {
		seq = atomic_load_explicit(&vc->seq, memory_order_acquire);
		now = read_fields(vc);
	} while (seq & 1 ||
		 seq != atomic_load_explicit(&vc->seq, memory_order_relaxed));
	return now;
}
