/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/hist.h"

#define STEPS_LOG2 3
#define STEPS	   (1U << STEPS_LOG2)

static unsigned
bucket_of(u64 ns)
{
	unsigned log2, i;

	if (ns < STEPS)
		return (unsigned)ns;
	log2 = 63 - (unsigned)__builtin_clzll(ns);
	i = (log2 - STEPS_LOG2 + 1) * STEPS +
	    (unsigned)(ns >> (log2 - STEPS_LOG2)) % STEPS;
	return MIN(i, HIST_BUCKETS - 1U);
}

u64
hist_bucket_ns(unsigned i)
{
	unsigned shift = i / STEPS;

	if (shift == 0)
		return i;
	return (u64)(STEPS + i % STEPS) << (shift - 1);
}

static void
add(_Atomic u64 *counter, u64 n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

void
hist_add(struct hist *h, u64 ns)
{
	u64 max = atomic_load_explicit(&h->max_ns, memory_order_relaxed);

	add(&h->count, 1);
	add(&h->sum_ns, ns);
	add(&h->bucket[bucket_of(ns)], 1);
	while (ns > max &&
	       !atomic_compare_exchange_weak_explicit(&h->max_ns, &max, ns,
						      memory_order_relaxed,
						      memory_order_relaxed))
		;
}

u64
hist_quantile_ns(const struct hist *h, double p)
{
	u64 count = 0, want, seen = 0, top;

	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		count +=
		    atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
	if (count == 0)
		return 0;
	want = (u64)(p * (double)count + 0.5);
	want = MAX(want, 1);
	for (unsigned i = 0; i < HIST_BUCKETS - 1; i++) {
		seen +=
		    atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
		top = hist_bucket_ns(i + 1) - 1;
		if (seen >= want)
			return MIN(top,
				   atomic_load_explicit(&h->max_ns,
							memory_order_relaxed));
	}
	return atomic_load_explicit(&h->max_ns, memory_order_relaxed);
}
