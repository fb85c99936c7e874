/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/vmm_rig.h"

struct bell {
	struct vmm_rig *rig;
	struct vtimer timer;
	unsigned rings;
	u64 again_ns; /* added to now on each ring; 0: no more */
};

static void
ring(void *ctx)
{
	struct bell *b = ctx;

	assert_true(b->timer.deadline_ns == VCLOCK_NEVER);
	b->rings++;
	if (b->again_ns != 0)
		vtimer_arm(&b->rig->timers, &b->timer,
			   rig_now(b->rig) + b->again_ns);
}

static void
bell_init(struct bell *b, struct vmm_rig *r)
{
	*b = (struct bell){.rig = r};
	vtimer_add(&r->timers, &b->timer, ring, b);
}

static void
test_vtimer_next_is_the_earliest_whatever_the_order(void **state)
{
	struct vmm_rig r;
	struct bell a, b;

	(void)state;
	rig_init(&r);
	bell_init(&a, &r);
	bell_init(&b, &r);
	assert_true(r.timers.next_ns == VCLOCK_NEVER);
	vtimer_arm(&r.timers, &a.timer, 100);
	vtimer_arm(&r.timers, &b.timer, 50);
	assert_int_equal(r.timers.next_ns, 50);
	vtimer_arm(&r.timers, &b.timer, 200);
	assert_int_equal(r.timers.next_ns, 100);
	vtimer_disarm(&r.timers, &a.timer);
	assert_int_equal(r.timers.next_ns, 200);
	vtimer_disarm(&r.timers, &b.timer);
	assert_true(r.timers.next_ns == VCLOCK_NEVER);
}

static void
test_vtimer_fires_what_is_due_and_only_that(void **state)
{
	struct vmm_rig r;
	struct bell a, b;

	(void)state;
	rig_init(&r);
	bell_init(&a, &r);
	bell_init(&b, &r);
	vtimer_arm(&r.timers, &a.timer, 100);
	vtimer_arm(&r.timers, &b.timer, 101);
	rig_skip(&r, 99);
	vtimers_run(&r.timers);
	assert_int_equal(a.rings + b.rings, 0);
	rig_skip(&r, 100);
	vtimers_run(&r.timers);
	assert_int_equal(a.rings, 1);
	assert_int_equal(b.rings, 0);
	assert_int_equal(r.timers.next_ns, 101);
}

static void
test_vtimer_rearmed_while_firing_fires_in_the_next_run(void **state)
{
	struct vmm_rig r;
	struct bell a;

	(void)state;
	rig_init(&r);
	bell_init(&a, &r);
	a.again_ns = 10;
	vtimer_arm(&r.timers, &a.timer, 10);
	rig_skip(&r, 1000);
	vtimers_run(&r.timers);
	assert_int_equal(a.rings, 1);
	assert_int_equal(r.timers.next_ns, 1010);
	assert_int_equal(rig_run(&r, 1100), 10);
	assert_int_equal(a.rings, 11);
}

/* ticks_at and tick_ns invert each other at every tick, also after years. */
static void
test_vtimer_ticks_never_drift(void **state)
{
	static const u64 hz[] = {32768, 1193182, 3579545, 1000000000};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hz); i++) {
		u64 first = 100ULL * 365 * 86400 * hz[i];

		for (u64 t = first; t < first + 1000; t++) {
			u64 ns = tick_ns(t, hz[i]);

			assert_int_equal(ticks_at(ns, hz[i]), t);
			assert_int_equal(ticks_at(ns - 1, hz[i]), t - 1);
		}
	}
	assert_true(tick_ns(UINT64_MAX, 32768) == VCLOCK_NEVER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		test_vtimer_next_is_the_earliest_whatever_the_order),
	    cmocka_unit_test(test_vtimer_fires_what_is_due_and_only_that),
	    cmocka_unit_test(
		test_vtimer_rearmed_while_firing_fires_in_the_next_run),
	    cmocka_unit_test(test_vtimer_ticks_never_drift),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
