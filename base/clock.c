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
	atomic_init(&vc->base_ns, 0);
	atomic_init(&vc->stopped_ns, start_ns);
	atomic_init(&vc->running, false);
}

void
vclock_start(struct vclock *vc)
{
	u64 stopped = atomic_load_explicit(&vc->stopped_ns,
					   memory_order_relaxed);

	if (atomic_load_explicit(&vc->running, memory_order_relaxed))
		return;
	atomic_store_explicit(&vc->base_ns, clock_now_ns() - stopped,
			      memory_order_relaxed);
	atomic_store_explicit(&vc->running, true, memory_order_release);
}

void
vclock_stop(struct vclock *vc)
{
	if (!atomic_load_explicit(&vc->running, memory_order_relaxed))
		return;
	atomic_store_explicit(&vc->stopped_ns, vclock_now_ns(vc),
			      memory_order_relaxed);
	atomic_store_explicit(&vc->running, false, memory_order_release);
}

u64
vclock_now_ns(const struct vclock *vc)
{
	if (atomic_load_explicit(&vc->running, memory_order_acquire))
		return clock_now_ns() -
		       atomic_load_explicit(&vc->base_ns,
					    memory_order_relaxed);
	return atomic_load_explicit(&vc->stopped_ns, memory_order_relaxed);
}
