/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "base/hist.h"

static struct hist *
new_hist(void)
{
	struct hist *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	return h;
}

/* Which bucket a single value went into. */
static unsigned
bucket_of(u64 ns)
{
	struct hist *h = new_hist();
	unsigned i;

	hist_add(h, ns);
	for (i = 0; i < HIST_BUCKETS && atomic_load(&h->bucket[i]) == 0; i++)
		;
	free(h);
	return i;
}

static void
test_hist_buckets_are_at_most_an_eighth_wide(void **state)
{
	(void)state;
	for (unsigned i = 0; i + 1 < HIST_BUCKETS; i++) {
		u64 from = hist_bucket_ns(i), next = hist_bucket_ns(i + 1);

		assert_true(next > from);
		assert_true(next - from == 1 || (next - from) * 8 <= from);
		assert_int_equal(bucket_of(from), i);
		assert_int_equal(bucket_of(next - 1), i);
	}
	assert_true(hist_bucket_ns(HIST_BUCKETS - 1) < 1ULL << 40);
	assert_int_equal(bucket_of((1ULL << 40) - 1), HIST_BUCKETS - 1);
	assert_int_equal(bucket_of(UINT64_MAX), HIST_BUCKETS - 1);
}

static void
test_hist_quantiles_are_near_the_truth(void **state)
{
	static const double shares[] = {0.01, 0.5, 0.9, 0.99, 1};
	struct hist *h = new_hist();

	(void)state;
	assert_int_equal(hist_quantile_ns(h, 0.5), 0);
	for (u64 ns = 1; ns <= 100000; ns++)
		hist_add(h, ns);
	for (size_t i = 0; i < ARRAY_SIZE(shares); i++) {
		double truth = shares[i] * 100000;
		double got = (double)hist_quantile_ns(h, shares[i]);

		assert_true(got >= truth * 0.999 && got <= truth * 1.13);
	}
	assert_int_equal(hist_quantile_ns(h, 1), 100000);
	assert_int_equal(atomic_load(&h->count), 100000);
	assert_int_equal(atomic_load(&h->sum_ns), 5000050000ULL);
	assert_int_equal(atomic_load(&h->max_ns), 100000);
	free(h);
}

static void
test_hist_one_value_is_every_quantile(void **state)
{
	struct hist *h = new_hist();

	(void)state;
	hist_add(h, 12345);
	assert_int_equal(hist_quantile_ns(h, 0), 12345);
	assert_int_equal(hist_quantile_ns(h, 1), 12345);
	free(h);
}

#define THREADS	   4
#define PER_THREAD 50000

static void *
add_many(void *arg)
{
	for (u64 i = 0; i < PER_THREAD; i++)
		hist_add(arg, i);
	return NULL;
}

static void
test_hist_loses_nothing_between_threads(void **state)
{
	struct hist *h = new_hist();
	pthread_t ids[THREADS];
	u64 sum = 0;

	(void)state;
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&ids[i], NULL, add_many, h), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(ids[i], NULL);
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		sum += atomic_load(&h->bucket[i]);
	assert_int_equal(sum, THREADS * PER_THREAD);
	assert_int_equal(atomic_load(&h->count), THREADS * PER_THREAD);
	assert_int_equal(atomic_load(&h->max_ns), PER_THREAD - 1);
	free(h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_hist_buckets_are_at_most_an_eighth_wide),
	    cmocka_unit_test(test_hist_quantiles_are_near_the_truth),
	    cmocka_unit_test(test_hist_one_value_is_every_quantile),
	    cmocka_unit_test(test_hist_loses_nothing_between_threads),
	};

	return cmocka_run_group_tests_name("hist", tests, NULL, NULL);
}
