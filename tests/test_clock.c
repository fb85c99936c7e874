/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "base/clock.h"

static void
spin_ns(u64 ns)
{
	u64 end = clock_now_ns() + ns;

	while (clock_now_ns() < end)
		;
}

static void
test_clock_now_never_goes_back(void **state)
{
	u64 last = clock_now_ns(), now;
	unsigned i;

	(void)state;
	for (i = 0; i < 100000; i++) {
		now = clock_now_ns();
		assert_true(now >= last);
		last = now;
	}
}

static void
test_clock_cpu_counts_work(void **state)
{
	u64 before = clock_cpu_ns();

	(void)state;
	while (clock_cpu_ns() - before < NS_PER_MS)
		;
	assert_true(clock_cpu_ns() - before >= NS_PER_MS);
}

static void
test_vclock_stands_still_until_started(void **state)
{
	struct vclock vc;

	(void)state;
	vclock_init(&vc, 500);
	assert_int_equal(vclock_now_ns(&vc), 500);
	spin_ns(NS_PER_MS);
	assert_int_equal(vclock_now_ns(&vc), 500);
	vclock_stop(&vc);
	assert_int_equal(vclock_now_ns(&vc), 500);
}

static void
test_vclock_steps_on_while_it_stands_and_never_back(void **state)
{
	struct vclock vc;

	(void)state;
	vclock_init(&vc, 500);
	vclock_step(&vc, 700);
	assert_int_equal(vclock_now_ns(&vc), 700);
	vclock_step(&vc, 600);
	assert_int_equal(vclock_now_ns(&vc), 700);
	vclock_start(&vc);
	spin_ns(NS_PER_MS);
	vclock_stop(&vc);
	assert_true(vclock_now_ns(&vc) >= 700 + NS_PER_MS);
	vclock_step(&vc, 10 * NS_PER_SEC);
	assert_int_equal(vclock_now_ns(&vc), 10 * NS_PER_SEC);
}

static void
test_vclock_runs_at_the_hosts_pace(void **state)
{
	u64 h0, h1, h2, h3, v0, v1;
	struct vclock vc;

	(void)state;
	vclock_init(&vc, 0);
	vclock_start(&vc);
	h0 = clock_now_ns();
	v0 = vclock_now_ns(&vc);
	h1 = clock_now_ns();
	spin_ns(2 * NS_PER_MS);
	h2 = clock_now_ns();
	v1 = vclock_now_ns(&vc);
	h3 = clock_now_ns();
	assert_true(v1 - v0 >= h2 - h1);
	assert_true(v1 - v0 <= h3 - h0);
}

static void
test_vclock_hides_a_pause(void **state)
{
	struct vclock vc;
	u64 at_stop, after, host;

	(void)state;
	vclock_init(&vc, 0);
	host = clock_now_ns();
	vclock_start(&vc);
	spin_ns(NS_PER_MS);
	vclock_stop(&vc);
	at_stop = vclock_now_ns(&vc);
	assert_true(at_stop >= NS_PER_MS);
	spin_ns(5 * NS_PER_MS);
	assert_int_equal(vclock_now_ns(&vc), at_stop);
	vclock_start(&vc);
	vclock_start(&vc); /* a second start changes nothing */
	after = vclock_now_ns(&vc);
	assert_true(after >= at_stop);
	assert_true(after <= clock_now_ns() - host - 5 * NS_PER_MS);
}

static void *
watch(void *arg)
{
	struct vclock *vc = arg;
	u64 last = 0, now, worst = 0;

	do {
		now = vclock_now_ns(vc);
		if (last > now && last - now > worst)
			worst = last - now;
		last = now > last ? now : last;
	} while (last < 20 * NS_PER_MS);
	return worst < NS_PER_US ? NULL : vc;
}

/* Another thread sees no step back (the processors' clocks may differ by
 * less than a microsecond) and no leap, whatever starts and stops it meets. */
static void
test_vclock_is_read_from_another_thread(void **state)
{
	struct vclock vc;
	pthread_t thread;
	void *leapt;

	(void)state;
	vclock_init(&vc, 0);
	vclock_start(&vc);
	assert_int_equal(pthread_create(&thread, NULL, watch, &vc), 0);
	while (vclock_now_ns(&vc) < 21 * NS_PER_MS) {
		vclock_stop(&vc);
		vclock_start(&vc);
		spin_ns(1000);
	}
	pthread_join(thread, &leapt);
	assert_null(leapt);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_clock_now_never_goes_back),
	    cmocka_unit_test(test_clock_cpu_counts_work),
	    cmocka_unit_test(test_vclock_stands_still_until_started),
	    cmocka_unit_test(
		test_vclock_steps_on_while_it_stands_and_never_back),
	    cmocka_unit_test(test_vclock_runs_at_the_hosts_pace),
	    cmocka_unit_test(test_vclock_hides_a_pause),
	    cmocka_unit_test(test_vclock_is_read_from_another_thread),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
