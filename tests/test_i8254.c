/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/vmm_rig.h"
#include "vmm/i8254.h"

static struct vmm_rig rig;
static struct i8254 pit;
static struct rig_line irq;

static void
out(u16 port, u8 v)
{
	i8254_write(&pit, port, 1, v);
}

static u8
in(u16 port)
{
	return (u8)i8254_read(&pit, port, 1);
}

/* The first nanosecond of a tick. */
static u64
at(u64 tick)
{
	return tick_ns(tick, I8254_HZ);
}

static u64
tick(void)
{
	return ticks_at(rig_now(&rig), I8254_HZ);
}

static void
program(unsigned counter, unsigned mode, u16 count)
{
	out(0x43, (u8)(counter << 6 | 3 << 4 | mode << 1));
	out((u16)(0x40 + counter), (u8)count);
	out((u16)(0x40 + counter), (u8)(count >> 8));
}

static u16
latched(unsigned counter)
{
	u8 low;

	out(0x43, (u8)(counter << 6));
	low = in((u16)(0x40 + counter));
	return (u16)(low | in((u16)(0x40 + counter)) << 8);
}

static u8
status(unsigned counter)
{
	out(0x43, (u8)(0xe0 | 1 << (counter + 1)));
	return in((u16)(0x40 + counter));
}

static bool
out2(void)
{
	return in(0x61) & 0x20;
}

static int
setup(void **state)
{
	(void)state;
	rig_init(&rig);
	i8254_init(&pit, &rig.timers, rig_wire(&irq));
	rig_skip(&rig, at(1000));
	return 0;
}

static void
test_i8254_mode_0_interrupts_once_at_the_end(void **state)
{
	u64 start;

	(void)state;
	program(0, 0, 100);
	assert_false(irq.level);
	irq.rises = 0;
	start = tick() + 1; /* the load takes one clock */
	assert_int_equal(rig.timers.next_ns, at(start + 100));
	rig_run(&rig, at(start + 100) - 1);
	assert_int_equal(irq.rises, 0);
	assert_int_equal(latched(0), 1);
	rig_run(&rig, at(start + 100));
	assert_int_equal(irq.rises, 1);
	assert_true(irq.level);
	/* counting goes on from FFFFh, without another interrupt */
	assert_int_equal(rig_run(&rig, at(start + 1000)), 0);
	assert_int_equal(latched(0), (u16)(100 - 1000));
	assert_int_equal(status(0), 0xb0);
}

static void
test_i8254_mode_2_has_a_period_of_the_count(void **state)
{
	u64 start;

	(void)state;
	program(0, 2, 1000);
	start = tick() + 1;
	irq.rises = 0;
	assert_int_equal(rig_run(&rig, at(start + 10 * 1000)), 10);
	assert_int_equal(irq.rises, 10);
	rig_run(&rig, at(start + 10 * 1000 + 300));
	assert_int_equal(latched(0), 700);
	/* low for the last clock of the period only */
	rig_run(&rig, at(start + 11 * 1000 - 2));
	assert_int_equal(status(0) & 0x80, 0x80);
	rig_run(&rig, at(start + 11 * 1000 - 1));
	assert_int_equal(status(0) & 0x80, 0);
	assert_int_equal(latched(0), 1);
}

/* 100 Hz for ten hours: 3.6 million interrupts, at the right moments. */
static void
test_i8254_mode_2_does_not_drift(void **state)
{
	u64 start;

	(void)state;
	program(0, 2, 11932);
	start = tick() + 1;
	rig_skip(&rig, at(start + 3599999ULL * 11932) + 1);
	vtimers_run(&rig.timers); /* late: one interrupt, not millions */
	assert_int_equal(rig.timers.next_ns, at(start + 3600000ULL * 11932));
}

static void
test_i8254_mode_2_takes_a_new_count_at_the_period_end(void **state)
{
	u64 start;

	(void)state;
	program(0, 2, 1000);
	start = tick() + 1;
	rig_run(&rig, at(start + 2500));
	out(0x40, 500 & 0xff);
	out(0x40, 500 >> 8);
	assert_int_equal(status(0) & 0x40, 0x40); /* null count */
	assert_int_equal(rig.timers.next_ns, at(start + 3000));
	assert_int_equal(latched(0), 500); /* of the old period */
	rig_run(&rig, at(start + 3000));
	assert_int_equal(status(0) & 0x40, 0);
	assert_int_equal(rig.timers.next_ns, at(start + 3500));
	rig_run(&rig, at(start + 3100));
	assert_int_equal(latched(0), 400);
}

static void
test_i8254_mode_3_is_high_for_the_first_half(void **state)
{
	u64 start;

	(void)state;
	program(0, 3, 1001);
	start = tick() + 1;
	rig_run(&rig, at(start + 500));
	assert_int_equal(status(0) & 0x80, 0x80);
	rig_run(&rig, at(start + 501));
	assert_int_equal(status(0) & 0x80, 0);
	irq.rises = 0;
	rig_run(&rig, at(start + 4 * 1001));
	assert_int_equal(irq.rises, 4);
	/* counts by two */
	rig_run(&rig, at(start + 4 * 1001 + 100));
	assert_int_equal(latched(0), 1000 - 200);
}

static void
test_i8254_mode_4_strobes_after_the_count(void **state)
{
	u64 start;

	(void)state;
	program(0, 4, 50);
	start = tick() + 1;
	assert_int_equal(status(0) & 0x80, 0x80);
	irq.rises = 0;
	rig_run(&rig, at(start + 50));
	assert_int_equal(status(0) & 0x80, 0); /* one clock low */
	rig_run(&rig, at(start + 51));
	assert_int_equal(status(0) & 0x80, 0x80);
	assert_int_equal(irq.rises, 1);
	assert_int_equal(rig_run(&rig, at(start + 200000)), 0);
	/* a new count strobes again */
	out(0x40, 10);
	out(0x40, 0);
	assert_int_equal(rig_run(&rig, at(start + 300000)), 1);
	assert_int_equal(irq.rises, 2);
}

static void
test_i8254_count_of_zero_is_65536(void **state)
{
	(void)state;
	program(0, 2, 0);
	assert_int_equal(rig.timers.next_ns, at(tick() + 1 + 65536));
}

static void
test_i8254_bcd_counts_in_decimal(void **state)
{
	u64 start;

	(void)state;
	out(0x43, 0x31); /* counter 0, both bytes, mode 0, BCD */
	out(0x40, 0x00);
	out(0x40, 0x10); /* 1000 */
	start = tick() + 1;
	rig_run(&rig, at(start + 1));
	assert_int_equal(latched(0), 0x0999);
	rig_run(&rig, at(start + 1001));
	assert_int_equal(latched(0), 0x9999);
	out(0x40, 0);
	out(0x40, 0); /* 10000 */
	assert_int_equal(rig.timers.next_ns, at(tick() + 1 + 10000));
}

static void
test_i8254_single_byte_access(void **state)
{
	(void)state;
	out(0x43, 0x14); /* counter 0, LSB, mode 2 */
	out(0x40, 100);
	assert_int_equal(rig.timers.next_ns, at(tick() + 101));
	assert_int_equal(in(0x40), 100);
	assert_int_equal(in(0x40), 100);
	out(0x43, 0x24); /* MSB */
	out(0x40, 2);
	assert_int_equal(rig.timers.next_ns, at(tick() + 1 + 512));
	assert_int_equal(in(0x40), 2);
}

static void
test_i8254_latch_holds_until_it_is_read(void **state)
{
	u64 start;

	(void)state;
	program(0, 2, 0x1234);
	start = tick() + 1;
	rig_run(&rig, at(start + 0x34));
	out(0x43, 0x00);
	rig_run(&rig, at(start + 0x100));
	out(0x43, 0x00); /* ignored: the first latch stands */
	assert_int_equal(in(0x40), 0x00);
	assert_int_equal(in(0x40), 0x12);
	assert_int_equal(in(0x40), 0x34); /* not latched any more */
	assert_int_equal(in(0x40), 0x11);
}

static void
test_i8254_read_back_gives_status_before_count(void **state)
{
	u64 start;

	(void)state;
	program(0, 2, 0x1000);
	program(2, 3, 0x2000);
	start = tick() + 1;
	rig_run(&rig, at(start + 0x10));
	out(0x43, 0xca); /* status and count of counters 0 and 2 */
	assert_int_equal(in(0x40), 0xb4);
	assert_int_equal(in(0x40), 0xf0);
	assert_int_equal(in(0x40), 0x0f);
	assert_int_equal(in(0x42), 0xb6);
	assert_int_equal(in(0x42), 0x00);
	assert_int_equal(in(0x42), 0x20);
}

static void
test_i8254_gate_2_stops_mode_0_and_lets_it_go_on(void **state)
{
	(void)state;
	out(0x61, 0x01);
	program(2, 0, 1000);
	assert_false(out2());
	rig_run(&rig, at(tick() + 1 + 300));
	out(0x61, 0x00);
	rig_run(&rig, at(tick() + 5000));
	assert_int_equal(latched(2), 700);
	assert_false(out2());
	out(0x61, 0x01);
	rig_run(&rig, at(tick() + 699));
	assert_false(out2());
	rig_run(&rig, at(tick() + 1));
	assert_true(out2());
}

static void
test_i8254_gate_2_triggers_mode_1(void **state)
{
	u64 start;

	(void)state;
	program(2, 1, 100);
	rig_run(&rig, at(tick() + 1000));
	assert_true(out2()); /* waits */
	out(0x61, 0x01);
	start = tick() + 1;
	assert_false(out2());
	rig_run(&rig, at(start + 60));
	out(0x61, 0x00);
	out(0x61, 0x01); /* retriggered */
	start = tick() + 1;
	rig_run(&rig, at(start + 99));
	assert_false(out2());
	rig_run(&rig, at(start + 100));
	assert_true(out2());
}

static void
test_i8254_gate_2_low_holds_mode_3_high(void **state)
{
	(void)state;
	program(2, 3, 100);
	for (int i = 0; i < 200; i += 10) {
		rig_run(&rig, at(tick() + 10));
		assert_true(out2());
	}
	out(0x61, 0x01);
	rig_run(&rig, at(tick() + 1 + 50));
	assert_false(out2());
}

static void
test_i8254_port_61_reads_back_and_toggles_refresh(void **state)
{
	u8 first;

	(void)state;
	out(0x61, 0xff);
	assert_int_equal(in(0x61) & 0x0f, 0x0f);
	assert_int_equal(in(0x61) & 0xc0, 0);
	first = in(0x61) & 0x10;
	rig_run(&rig, rig_now(&rig) + 15086);
	assert_int_not_equal(in(0x61) & 0x10, first);
}

static void
test_i8254_periodic_storm_is_held_to_its_limit(void **state)
{
	unsigned stops;

	(void)state;
	program(0, 2, 2);
	stops = rig_run(&rig, rig_now(&rig) + NS_PER_MS);
	assert_in_range(stops, 90, 101);
}

/* The other counters interrupt nobody. */
static void
test_i8254_counter_2_has_no_deadline(void **state)
{
	(void)state;
	out(0x61, 0x01);
	program(2, 2, 100);
	assert_true(rig.timers.next_ns == VCLOCK_NEVER);
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_i8254_mode_0_interrupts_once_at_the_end),
	    CASE(test_i8254_mode_2_has_a_period_of_the_count),
	    CASE(test_i8254_mode_2_does_not_drift),
	    CASE(test_i8254_mode_2_takes_a_new_count_at_the_period_end),
	    CASE(test_i8254_mode_3_is_high_for_the_first_half),
	    CASE(test_i8254_mode_4_strobes_after_the_count),
	    CASE(test_i8254_count_of_zero_is_65536),
	    CASE(test_i8254_bcd_counts_in_decimal),
	    CASE(test_i8254_single_byte_access),
	    CASE(test_i8254_latch_holds_until_it_is_read),
	    CASE(test_i8254_read_back_gives_status_before_count),
	    CASE(test_i8254_gate_2_stops_mode_0_and_lets_it_go_on),
	    CASE(test_i8254_gate_2_triggers_mode_1),
	    CASE(test_i8254_gate_2_low_holds_mode_3_high),
	    CASE(test_i8254_port_61_reads_back_and_toggles_refresh),
	    CASE(test_i8254_periodic_storm_is_held_to_its_limit),
	    CASE(test_i8254_counter_2_has_no_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
